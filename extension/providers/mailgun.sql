-- Mailgun.  Signs a time and a random token and not the event.  The token is
-- the id, so that a signature that was seen serves only once.
-- Time, token and signature in the body are an attempt's; the event has an id.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, signed_content, timestamp_from,
     timestamp_format, tolerance, topic_from, external_id_from, occurred_at_from, content_from, remarks, evidence)
VALUES
    ('mailgun', 'Mailgun', true,
     'https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks',
     'json:signature.signature', '{ts}{json:signature.token}',
     'json:signature.timestamp', 's', '5 minutes',
     '{json:event-data.event}', '{json:signature.token}', '{json:signature.timestamp}',
     '{json:event-data.id}',
     'The secret is the account''s webhook signing key. The event is not signed, only a time and a random '
     'token, which is taken as the id: look the event up at Mailgun before trusting it. The window of 5 '
     'minutes is assumed.',
     'secondary');
