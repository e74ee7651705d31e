-- Shopify.  The key is the application's client secret.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, topic_from, external_id_from,
     source_from, occurred_at_from, occurred_at_format, remarks, evidence)
VALUES
    ('shopify', 'Shopify', true, 'https://shopify.dev/docs/apps/build/webhooks/verify-deliveries',
     'base64', 'header:X-Shopify-Hmac-Sha256',
     '{header:X-Shopify-Topic}', '{header:X-Shopify-Webhook-Id}', '{header:X-Shopify-Shop-Domain}',
     '{header:X-Shopify-Triggered-At}', 'iso8601',
     'The secret is the application''s client secret. Topic, id, shop and time are headers and not signed.',
     'documentation');
