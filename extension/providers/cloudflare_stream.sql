-- Cloudflare Stream.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, list_separator, element_prefix,
     signed_content, timestamp_from, timestamp_format, tolerance, topic_from, remarks, evidence)
VALUES
    ('cloudflare_stream', 'Cloudflare Stream', true,
     'https://developers.cloudflare.com/stream/manage-video-library/using-webhooks/',
     'header:Webhook-Signature', ',', 'sig1=', '{ts}.{body}',
     'sig:time', 's', '5 minutes',
     '{json:status.state}',
     'The secret is the one that Cloudflare returned when the webhook was set. The topic is the video''s '
     'state. Deliveries have no id. The window of time is the receiver''s choice.',
     'secondary');
