-- Dropbox.  Says only which accounts have changes.  The endpoint is checked by
-- a GET.
-- The same account may have changes again, so that no content identifies them.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, handshake_if, handshake_equals,
     handshake_reply, handshake_signed, content_from, remarks, evidence)
VALUES
    ('dropbox', 'Dropbox', true, 'https://www.dropbox.com/developers/reference/webhooks',
     'header:X-Dropbox-Signature',
     '{method}', 'GET', '{query:challenge}', false,
     NULL,
     'The secret is the application''s secret. A delivery only names the accounts that have changes.',
     'secondary');
