-- Ecwid.  Signs two members of the body and not the body itself: an event is an
-- authentic trigger with content that could have been altered; read the entity
-- again.  The key is the application's client_secret.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, signed_content, topic_from,
     external_id_from, source_from, occurred_at_from, remarks, evidence)
VALUES
    ('ecwid', 'Ecwid by Lightspeed', true, 'https://api-docs.ecwid.com/reference/webhook-security',
     'base64', 'header:X-Ecwid-Webhook-Signature', '{json:eventCreated}.{json:eventId}',
     '{json:eventType}', '{json:eventId}', '{json:storeId}', '{json:eventCreated}',
     'The secret is the application''s client_secret. Only id and time of the event are signed, not the '
     'rest of the body: read the entity again before trusting it.',
     'vector');
