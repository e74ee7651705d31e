-- Lemon Squeezy.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, topic_from, source_from, remarks, evidence)
VALUES
    ('lemonsqueezy', 'Lemon Squeezy', true, 'https://docs.lemonsqueezy.com/help/webhooks/signing-requests',
     'header:X-Signature',
     '{json:meta.event_name}', '{json:data.attributes.store_id}',
     'The secret is the webhook''s. Deliveries have no id. All of this is general knowledge.', 'unchecked');
