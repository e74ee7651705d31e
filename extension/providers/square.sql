-- Square.  Signs the notification URL as it was entered there.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, signed_content, topic_from,
     external_id_from, source_from, occurred_at_from, occurred_at_format, remarks, evidence)
VALUES
    ('square', 'Square', true, 'https://developer.squareup.com/docs/webhooks/step3validate',
     'base64', 'header:x-square-hmacsha256-signature', '{url}{body}',
     '{json:type}', '{json:event_id}', '{json:merchant_id}', '{json:created_at}', 'iso8601',
     'The secret is the subscription''s signature key, as it stands. The URL is signed: '
     'webhook_bridge.public_url must give it as it was entered at Square.',
     'vector');
