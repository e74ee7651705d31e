-- Stripe.  The whole whsec_... text is the key.  Stripe's own libraries accept
-- timestamps in the future; the window here is symmetric.
-- The number of webhooks still to be told is in the body and goes down, so that only the id identifies an event.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, list_separator, element_prefix,
     signed_content, timestamp_from, timestamp_format, tolerance, topic_from, external_id_from,
     source_from, occurred_at_from, content_from, remarks, evidence)
VALUES
    ('stripe', 'Stripe', true, 'https://docs.stripe.com/webhooks',
     'header:Stripe-Signature', ',', 'v1=', '{ts}.{body}',
     'sig:t', 's', '5 minutes',
     '{json:type}', '{json:id}', '{json:account}', '{json:created}',
     '{json:id}',
     'The secret is the endpoint''s, the whole whsec_ text. Stripe''s own libraries accept times in the '
     'future; here they have the same window as those in the past.',
     'vector');
