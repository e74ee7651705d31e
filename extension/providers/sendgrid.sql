-- SendGrid's event webhook.  The body is a list of events and ends with CR LF,
-- which is signed.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, encoding, signature_from, signed_content,
     secret_encoding, timestamp_from, timestamp_format, tolerance, occurred_at_from, remarks,
     evidence)
VALUES
    ('sendgrid', 'SendGrid', true,
     'https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-signature-verification',
     'ecdsa-p256-sha256', 'base64', 'header:X-Twilio-Email-Event-Webhook-Signature', '{ts}{body}', 'spki',
     'header:X-Twilio-Email-Event-Webhook-Timestamp', 's', '5 minutes',
     '{header:X-Twilio-Email-Event-Webhook-Timestamp}',
     'The secret is the verification key, a public key in base64. A delivery is a list of events, so that '
     'topic and id are empty: each has its own sg_event_id. SendGrid states no window of time; 5 minutes '
     'are assumed.',
     'vector');
