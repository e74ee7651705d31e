-- BigCommerce: Standard Webhooks, but the key is the client secret as it
-- stands. The samples encode it only because their library decodes it again.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, list_separator, element_prefix,
     signed_content, timestamp_from, timestamp_format, tolerance, topic_from, external_id_from,
     source_from, occurred_at_from, remarks, evidence)
VALUES
    ('bigcommerce', 'BigCommerce', true, 'https://github.com/bigcommerce/docs',
     'base64', 'header:webhook-signature', ' ', 'v1,', '{header:webhook-id}.{ts}.{body}',
     'header:webhook-timestamp', 's', '5 minutes',
     '{json:scope}', '{header:webhook-id}', '{json:producer}', '{json:created_at}',
     'The secret is the application''s client secret as it stands, without whsec_ and not in base64. Id, '
     'time and body are signed.',
     'vector');
