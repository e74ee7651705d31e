-- Webflow.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, signed_content, timestamp_from,
     timestamp_format, tolerance, topic_from, occurred_at_from, occurred_at_format, remarks,
     evidence)
VALUES
    ('webflow', 'Webflow', true, 'https://developers.webflow.com/data/docs/working-with-webhooks',
     'header:x-webflow-signature', '{ts}:{body}',
     'header:x-webflow-timestamp', 'ms', '5 minutes',
     '{json:triggerType}', '{header:x-webflow-timestamp}', 'ms',
     'The secret is the application''s client secret, or the webhook''s own where it was given one. '
     'Deliveries have no id.',
     'secondary');
