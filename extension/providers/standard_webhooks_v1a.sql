-- Standard Webhooks, asymmetric: the secret is the sender's public key, with
-- which nobody can sign.  Elements of the symmetric kind beside it do not
-- count.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, encoding, signature_from, list_separator,
     element_prefix, signed_content, secret_encoding, timestamp_from, timestamp_format, tolerance,
     topic_from, external_id_from, occurred_at_from, remarks, evidence)
VALUES
    ('standard_webhooks_v1a', 'Standard Webhooks (asymmetric)', true,
     'https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md',
     'ed25519', 'base64', 'header:webhook-signature', ' ', 'v1a,', '{header:webhook-id}.{ts}.{body}',
     'base64:whpk_:whsk_',
     'header:webhook-timestamp', 's', '5 minutes',
     '{json:type}', '{header:webhook-id}', '{header:webhook-timestamp}',
     'The secret is the sender''s public key, whpk_ and base64. Id, time and body are signed.', 'vector');
