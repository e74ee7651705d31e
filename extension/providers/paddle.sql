-- Paddle Billing.  The window is that of its Node library.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, list_separator, element_prefix,
     signed_content, timestamp_from, timestamp_format, tolerance, topic_from, external_id_from,
     occurred_at_from, occurred_at_format, remarks, evidence)
VALUES
    ('paddle', 'Paddle Billing', true, 'https://developer.paddle.com/webhooks/about/signature-verification',
     'header:Paddle-Signature', ';', 'h1=', '{ts}:{body}',
     'sig:ts', 's', '5 seconds',
     '{json:event_type}', '{json:event_id}', '{json:occurred_at}', 'iso8601',
     'The secret is the destination''s, the whole pdl_ntfset_ text. The window of 5 seconds needs a clock '
     'that is right; a replay from Paddle''s dashboard has the id of the first delivery and counts as a '
     'duplicate.',
     'vector');
