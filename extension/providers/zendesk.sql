-- Zendesk.  The secret looks like base64 and is used as text.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, signed_content, timestamp_from,
     timestamp_format, tolerance, topic_from, external_id_from, source_from, webhook_remote_id_from,
     remarks, evidence)
VALUES
    ('zendesk', 'Zendesk', true, 'https://developer.zendesk.com/documentation/webhooks/verifying/',
     'base64', 'header:X-Zendesk-Webhook-Signature', '{ts}{body}',
     'header:X-Zendesk-Webhook-Signature-Timestamp', 'iso8601', '5 minutes',
     '{json:type}', '{header:X-Zendesk-Webhook-Invocation-Id}', '{header:X-Zendesk-Account-Id}',
     '{header:X-Zendesk-Webhook-Id}',
     'The secret is the webhook''s signing secret, as it stands although it looks like base64. Id and '
     'account are headers and not signed. That the time is ISO 8601 is general knowledge, and the 5 '
     'minutes are assumed.',
     'documentation');
