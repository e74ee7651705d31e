-- Typeform.  The prefix says sha256=, the digest after it is base64.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, element_prefix, topic_from,
     external_id_from, source_from, occurred_at_from, occurred_at_format, remarks, evidence)
VALUES
    ('typeform', 'Typeform', true, 'https://www.typeform.com/developers/webhooks/secure-your-webhooks/',
     'base64', 'header:Typeform-Signature', 'sha256=',
     '{json:event_type}', '{json:event_id}', '{json:form_response.form_id}',
     '{json:form_response.submitted_at}', 'iso8601',
     'The secret is the webhook''s.', 'secondary');
