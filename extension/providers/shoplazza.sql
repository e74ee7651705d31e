-- Shoplazza.  The key is the application's client secret, the same for all its
-- shops, and the shop's domain is not signed.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, topic_from, external_id_from,
     source_from, remarks, evidence)
VALUES
    ('shoplazza', 'Shoplazza', true, 'https://www.shoplazza.dev/docs/app/building-blocks/webhooks/overview',
     'base64', 'header:X-Shoplazza-Hmac-Sha256',
     '{header:X-Shoplazza-Topic}', '{header:X-Shoplazza-Deduplication-ID}', '{header:X-Shoplazza-Shop-Domain}',
     'The secret is the application''s client secret, the same for all its shops. Topic, id and shop are '
     'headers and not signed.',
     'documentation');
