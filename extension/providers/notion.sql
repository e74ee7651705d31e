-- Notion.  The key is told in the first request, which cannot be verified
-- before it is known.
-- Each attempt has its number in the body, so that only the id identifies it.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, element_prefix, topic_from, external_id_from,
     source_from, webhook_remote_id_from, occurred_at_from, occurred_at_format, content_from, remarks, evidence)
VALUES
    ('notion', 'Notion', true, 'https://developers.notion.com/reference/webhooks',
     'header:X-Notion-Signature', 'sha256=',
     '{json:type}', '{json:id}', '{json:workspace_id}', '{json:subscription_id}', '{json:timestamp}', 'iso8601',
     '{json:id}',
     'The secret is the verification_token of the first request, which is refused and then found in '
     'webhook_bridge.rejections: create the endpoint with any secret, add the token with add_secret, and '
     'enter it at Notion.',
     'vector');
