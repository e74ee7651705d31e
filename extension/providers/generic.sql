-- For senders of your own: HMAC-SHA256 of the body, hex or base64.  An id in a
-- header would not be signed, so that whoever has seen one delivery could make
-- others pass for duplicates; who wants ids uses standard_webhooks.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, encoding, signature_from, topic_from, source_from, occurred_at_from,
     remarks)
VALUES
    ('generic', 'Your own sender', true,
     'auto', 'header:X-Webhook-Signature',
     '{header:X-Webhook-Topic}', '{header:X-Webhook-Source}', '{header:X-Webhook-Timestamp}',
     'The secret is what you agree on with your sender. Topic, source and time are optional headers and '
     'not signed. Senders that repeat deliveries better use standard_webhooks, which signs an id.');
