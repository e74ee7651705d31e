-- Zoom.  The endpoint is checked by a challenge that is answered with its HMAC.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, element_prefix, signed_content,
     timestamp_from, timestamp_format, tolerance, topic_from, source_from, occurred_at_from,
     occurred_at_format, handshake_if, handshake_equals, handshake_reply, handshake_type, remarks,
     evidence)
VALUES
    ('zoom', 'Zoom', true, 'https://github.com/zoom/webhook-sample',
     'header:x-zm-signature', 'v0=', 'v0:{ts}:{body}',
     'header:x-zm-request-timestamp', 's', '5 minutes',
     '{json:event}', '{json:payload.account_id}', '{json:event_ts}', 'ms',
     '{json:event}', 'endpoint.url_validation',
     '{{"plainToken":"{json:payload.plainToken}","encryptedToken":"{hmac:json:payload.plainToken}"}}',
     'application/json',
     'The secret is the application''s secret token. Zoom states no window of time; 5 minutes are assumed.',
     'documentation');
