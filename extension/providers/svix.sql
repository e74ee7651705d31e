-- Svix: Standard Webhooks with headers of its own names.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, list_separator, element_prefix,
     signed_content, secret_encoding, timestamp_from, timestamp_format, tolerance, topic_from,
     external_id_from, occurred_at_from, remarks, evidence)
VALUES
    ('svix', 'Svix', true, 'https://docs.svix.com/receiving/verifying-payloads/how-manual',
     'base64', 'header:svix-signature', ' ', 'v1,', '{header:svix-id}.{ts}.{body}', 'base64:whsec_',
     'header:svix-timestamp', 's', '5 minutes',
     '{json:type}', '{header:svix-id}', '{header:svix-timestamp}',
     'The secret is the endpoint''s, whsec_ and base64. For platforms that send through Svix: the topic is '
     'the body''s member "type" where there is one.',
     'vector');
