-- For senders of your own: HMAC-SHA256 of the body, hex or base64.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, encoding, signature_from,
     topic_from, external_id_from, source_from, occurred_at_from)
VALUES
    ('generic', 'Your own sender', true, 'auto', 'header:X-Webhook-Signature',
     '{header:X-Webhook-Topic}', '{header:X-Webhook-Id}', '{header:X-Webhook-Source}',
     '{header:X-Webhook-Timestamp}');
