-- Zoho Payments.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, list_separator, element_prefix,
     signed_content, timestamp_from, timestamp_format, topic_from, external_id_from, source_from,
     occurred_at_from, occurred_at_format, remarks, evidence)
VALUES
    ('zoho_payments', 'Zoho Payments', true, 'https://zoho.com/in/payments/developerdocs/webhooks/verification',
     'header:X-Zoho-Webhook-Signature', ',', 'v=', '{ts}.{body}',
     'sig:t', 'ms',
     '{json:event_type}', '{json:event_id}', '{json:account_id}', '{json:event_time}', 'ms',
     'The secret is the webhook''s signing key, as it stands. Zoho states no window of time and none is '
     'checked. Registering sends one request to the URL; whether that is signed is not documented.',
     'documentation');
