-- Blaze.  Documents no signature, and neither body nor headers of a delivery.
-- The delivery URL carries a random token instead; give the topic as
-- params => '{"topic": "NEW_MEMBER"}' and register one endpoint for each.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, generates_secret, topic_from)
VALUES
    ('blaze', 'BLAZE', true, 'https://apidocs.blaze.me/getting-started/webhooks-overview',
     'token', 'query:token', true, '{param:topic}');
