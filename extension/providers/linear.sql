-- Linear.  The time that its window is about is a member of the body and so is
-- signed.
-- Each attempt has its time in the body, so that only the id identifies it.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, timestamp_from, timestamp_format, tolerance,
     topic_from, external_id_from, source_from, webhook_remote_id_from, occurred_at_from,
     occurred_at_format, content_from, remarks, evidence)
VALUES
    ('linear', 'Linear', true,
     'https://developers.linear.app/docs/graphql/working-with-the-graphql-api/webhooks',
     'header:Linear-Signature',
     'json:webhookTimestamp', 'ms', '1 minute',
     '{json:type}.{json:action}', '{header:Linear-Delivery}', '{json:organizationId}', '{json:webhookId}',
     '{json:webhookTimestamp}', 'ms',
     '{header:Linear-Delivery}',
     'The secret is the webhook''s. The id is a header and not signed. The time (webhookTimestamp, in '
     'milliseconds) and its window of one minute are general knowledge; a delivery without it is refused.',
     'secondary');
