-- GitLab, secret token: sends the secret along and signs nothing.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, topic_from, external_id_from,
     source_from, webhook_remote_id_from, remarks, evidence)
VALUES
    ('gitlab_token', 'GitLab (secret token)', true,
     'https://docs.gitlab.com/user/project/integrations/webhooks/',
     'token', 'header:X-Gitlab-Token',
     '{json:object_kind}', '{header:Idempotency-Key}', '{json:project.path_with_namespace}',
     '{header:X-Gitlab-Webhook-UUID}',
     'The secret is the webhook''s secret token, which is sent along: nothing is signed. Prefer '
     'gitlab_signing where GitLab offers it. Older versions send no id.',
     'documentation');
