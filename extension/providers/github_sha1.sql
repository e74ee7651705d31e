-- GitHub's older signature, which GitHub still sends beside the new one and
-- some that imitate it send alone.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, element_prefix, topic_from,
     external_id_from, source_from, webhook_remote_id_from, remarks, evidence)
VALUES
    ('github_sha1', 'GitHub (SHA-1)', true,
     'https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries',
     'hmac-sha1', 'header:X-Hub-Signature', 'sha1=',
     '{header:X-GitHub-Event}', '{header:X-GitHub-Delivery}', '{json:repository.full_name}',
     '{header:X-GitHub-Hook-ID}',
     'The secret is the webhook''s. Topic and id are headers and not signed. For old senders; GitHub '
     'itself also sends what the provider github verifies.',
     'vector');
