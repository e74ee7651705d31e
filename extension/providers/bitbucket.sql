-- Bitbucket Cloud.  SHA-256 under the name that GitHub uses for SHA-1.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, element_prefix, topic_from, external_id_from,
     source_from, webhook_remote_id_from, remarks, evidence)
VALUES
    ('bitbucket', 'Bitbucket Cloud', true, 'https://bitbucket.org/blog/enhanced-webhook-security',
     'header:X-Hub-Signature', 'sha256=',
     '{header:X-Event-Key}', '{header:X-Request-UUID}', '{json:repository.full_name}', '{header:X-Hook-UUID}',
     'The secret is the webhook''s; without one Bitbucket signs nothing. Topic and id are headers and not '
     'signed.',
     'vector');
