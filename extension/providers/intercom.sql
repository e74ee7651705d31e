-- Intercom.
-- Each attempt has its number in the body, so that only the id identifies it.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, element_prefix, topic_from,
     external_id_from, source_from, occurred_at_from, content_from, remarks, evidence)
VALUES
    ('intercom', 'Intercom', true, 'https://developers.intercom.com/docs/webhooks',
     'hmac-sha1', 'header:X-Hub-Signature', 'sha1=',
     '{json:topic}', '{json:id}', '{json:app_id}', '{json:created_at}',
     '{json:id}',
     'The secret is the application''s client secret.', 'secondary');
