-- Paystack.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, topic_from, remarks, evidence)
VALUES
    ('paystack', 'Paystack', true, 'https://paystack.com/docs/payments/webhooks/',
     'hmac-sha512', 'header:x-paystack-signature',
     '{json:event}',
     'The secret is the account''s secret API key, sk_live_ or sk_test_. Deliveries have no id.', 'secondary');
