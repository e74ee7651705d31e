-- Razorpay.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, topic_from, external_id_from, source_from,
     occurred_at_from, remarks, evidence)
VALUES
    ('razorpay', 'Razorpay', true, 'https://razorpay.com/docs/webhooks/validate-test/',
     'header:X-Razorpay-Signature',
     '{json:event}', '{header:x-razorpay-event-id}', '{json:account_id}', '{json:created_at}',
     'The secret is the webhook''s. The id is a header and not signed.', 'vector');
