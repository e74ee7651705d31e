-- GitHub.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, element_prefix, topic_from, external_id_from,
     source_from, webhook_remote_id_from, remarks, evidence)
VALUES
    ('github', 'GitHub', true,
     'https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries',
     'header:X-Hub-Signature-256', 'sha256=',
     '{header:X-GitHub-Event}', '{header:X-GitHub-Delivery}', '{json:repository.full_name}',
     '{header:X-GitHub-Hook-ID}',
     'The secret is the webhook''s. Topic and id are headers and not signed.', 'vector');
