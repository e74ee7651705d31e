-- GitLab, signing token: Standard Webhooks.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, list_separator, element_prefix,
     signed_content, secret_encoding, timestamp_from, timestamp_format, tolerance, topic_from,
     external_id_from, source_from, webhook_remote_id_from, occurred_at_from, remarks, evidence)
VALUES
    ('gitlab_signing', 'GitLab (signing token)', true,
     'https://gitlab.com/gitlab-org/gitlab/-/merge_requests/230944',
     'base64', 'header:webhook-signature', ' ', 'v1,', '{header:webhook-id}.{ts}.{body}', 'base64:whsec_',
     'header:webhook-timestamp', 's', '5 minutes',
     '{json:object_kind}', '{header:webhook-id}', '{json:project.path_with_namespace}',
     '{header:X-Gitlab-Webhook-UUID}', '{header:webhook-timestamp}',
     'The secret is the webhook''s signing token, whsec_ and base64; recent versions have it, for others '
     'there is gitlab_token. Id, time and body are signed.',
     'documentation');
