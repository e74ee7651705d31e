-- API2Cart.  Signs its own headers, as PHP's json_encode writes them, and the
-- body; the key is the account's store_key.  A lost connection to the store is
-- told by a delivery with an empty body and an error code other than 0.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, signed_content, topic_from,
     source_from, error_code_from, occurred_at_from, remarks, evidence)
VALUES
    ('api2cart', 'API2Cart', true, 'https://api2cart.com/docs/working-with-webhooks/',
     'base64', 'header:X-Webhook-Signature', '{headers_json:X-Webhook-}{body}',
     '{header:X-Webhook-Entity}.{header:X-Webhook-Action}', '{header:X-Webhook-Store-Id}',
     '{header:X-Webhook-Error-Code}', '{header:X-Webhook-Timestamp}',
     'The secret is the account''s store_key. Notices of a lost connection to the store arrive as events '
     'with error_code set. Deliveries have no id, so that repeated ones are not recognised.',
     'vector');
