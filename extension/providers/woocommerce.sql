-- WooCommerce.  X-WC-Webhook-Delivery-ID is no id: it is made of the webhook
-- and the current second, so that deliveries of the same second share it.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, topic_from, source_from,
     webhook_remote_id_from, remarks, evidence)
VALUES
    ('woocommerce', 'WooCommerce', true, 'https://woocommerce.com/document/webhooks/',
     'base64', 'header:X-WC-Webhook-Signature',
     '{header:X-WC-Webhook-Topic}', '{header:X-WC-Webhook-Source}', '{header:X-WC-Webhook-ID}',
     'The secret is the webhook''s. Topic and source are headers and not signed. From general knowledge: '
     'the first ping is a form without a signature and is refused, and WooCommerce trims the JSON that it '
     'signs.',
     'secondary');
