-- Slack, events and commands.  Commands and interactions are forms and have
-- neither topic nor id; Slack shows what it is answered to them.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, element_prefix, signed_content,
     timestamp_from, timestamp_format, tolerance, topic_from, external_id_from, source_from,
     occurred_at_from, handshake_if, handshake_equals, handshake_reply, remarks, evidence)
VALUES
    ('slack', 'Slack', true, 'https://docs.slack.dev/authentication/verifying-requests-from-slack/',
     'header:X-Slack-Signature', 'v0=', 'v0:{ts}:{body}',
     'header:X-Slack-Request-Timestamp', 's', '5 minutes',
     '{json:event.type}', '{json:event_id}', '{json:team_id}', '{json:event_time}',
     '{json:type}', 'url_verification', '{json:challenge}',
     'The secret is the application''s signing secret. Meant for events: commands and interactions are '
     'stored as well, but what Slack is answered is not a message for the user.',
     'vector');
