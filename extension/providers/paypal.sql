-- PayPal, with a pinned certificate: PayPal names the address of the current
-- one in each delivery, and nothing is fetched from there.  Of the body only a
-- CRC-32 is signed, which whoever has one signed delivery can match with
-- another body.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, encoding, signature_from, signed_content,
     secret_encoding, timestamp_from, timestamp_format, tolerance, topic_from, external_id_from,
     occurred_at_from, occurred_at_format, remarks, evidence)
VALUES
    ('paypal', 'PayPal', true, 'https://developer.paypal.com/api/rest/webhooks/rest/#message-verification',
     'rsa-sha256', 'base64', 'header:PAYPAL-TRANSMISSION-SIG',
     '{header:PAYPAL-TRANSMISSION-ID}|{ts}|{param:webhook_id}|{body_crc32}', 'pem',
     'header:PAYPAL-TRANSMISSION-TIME', 'iso8601', '5 minutes',
     '{json:event_type}', '{json:id}', '{json:create_time}', 'iso8601',
     'The secret is the certificate behind PAYPAL-CERT-URL or its public key, PEM; PayPal changes it, '
     'then add the new one. Give the webhook''s id as params => ''{"webhook_id": "..."}''. Of the body only '
     'a CRC-32 is signed: read the object again before trusting it. The 5 minutes are assumed.',
     'secondary');
