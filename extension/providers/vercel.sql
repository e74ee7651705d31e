-- Vercel.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, topic_from, external_id_from,
     occurred_at_from, occurred_at_format, remarks, evidence)
VALUES
    ('vercel', 'Vercel', true, 'https://vercel.com/docs/webhooks',
     'hmac-sha1', 'header:x-vercel-signature',
     '{json:type}', '{json:id}', '{json:createdAt}', 'ms',
     'The secret is the webhook''s; of an integration, its client secret.', 'secondary');
