-- Xero.  The check of the endpoint sends right and wrong signatures and wants
-- 200 and 401, which is what verification answers.  A delivery holds a list of
-- events.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, remarks, evidence)
VALUES
    ('xero', 'Xero', true, 'https://developer.xero.com/documentation/guides/webhooks/overview/',
     'base64', 'header:x-xero-signature',
     'The secret is the webhook''s signing key, as it stands. Xero''s check of the endpoint also sends '
     'wrong signatures and wants them refused. A delivery holds a list of events, so that topic and id '
     'are empty.',
     'secondary');
