-- Standard Webhooks, symmetric: the scheme of many platforms, for all that
-- follow it.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, list_separator, element_prefix,
     signed_content, secret_encoding, timestamp_from, timestamp_format, tolerance, topic_from,
     external_id_from, occurred_at_from, remarks, evidence)
VALUES
    ('standard_webhooks', 'Standard Webhooks', true,
     'https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md',
     'base64', 'header:webhook-signature', ' ', 'v1,', '{header:webhook-id}.{ts}.{body}', 'base64:whsec_',
     'header:webhook-timestamp', 's', '5 minutes',
     '{json:type}', '{header:webhook-id}', '{header:webhook-timestamp}',
     'The secret is whsec_ and base64. Id, time and body are signed.', 'vector');
