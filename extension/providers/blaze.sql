-- Blaze.  Documents no signature, and neither body nor headers of a delivery.
-- The delivery URL carries a random token instead; give the topic as params =>
-- '{"topic": "NEW_MEMBER"}' and register one endpoint for each.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, generates_secret, topic_from,
     remarks, evidence)
VALUES
    ('blaze', 'BLAZE', true, 'https://apidocs.blaze.me/getting-started/webhooks-overview',
     'token', 'query:token',
     true,
     '{param:topic}',
     'Blaze signs nothing: a random token is made and becomes part of the delivery URL, so keep that '
     'secret. Register one endpoint for each kind of webhook and give the topic in its params.',
     'documentation');
