-- Adyen, platforms and management.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, secret_encoding, topic_from,
     occurred_at_from, occurred_at_format, remarks, evidence)
VALUES
    ('adyen_platform', 'Adyen (platforms, management)', true,
     'https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures',
     'base64', 'header:HmacSignature', 'hex',
     '{json:type}', '{json:timestamp}', 'iso8601',
     'The secret is the HMAC key, hex. Deliveries have no id.', 'vector');
