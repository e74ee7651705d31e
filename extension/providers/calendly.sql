-- Calendly.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, list_separator, element_prefix,
     signed_content, timestamp_from, timestamp_format, tolerance, topic_from, occurred_at_from,
     occurred_at_format, remarks, evidence)
VALUES
    ('calendly', 'Calendly', true, 'https://developer.calendly.com/api-docs/webhook-signatures',
     'header:Calendly-Webhook-Signature', ',', 'v1=', '{ts}.{body}',
     'sig:t', 's', '3 minutes',
     '{json:event}', '{json:created_at}', 'iso8601',
     'The secret is the signing key that you gave when subscribing. Deliveries have no id.', 'secondary');
