-- Anything that authenticates with HTTP Basic, Chargebee and Postmark among
-- them: the credentials are in the URL as entered there and arrive in a header.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, remarks, evidence)
VALUES
    ('basic_auth', 'HTTP Basic authentication (Chargebee, Postmark)', true,
     'https://www.rfc-editor.org/rfc/rfc7617',
     'token', 'header:Authorization',
     'The secret is the header''s whole value: Basic, a space, and user:password in base64. Nothing is '
     'signed. Topic and id are left empty; make a provider of your own that has them. The header''s form '
     'is RFC 7617; that a sender uses it has not been tried.',
     'documentation');
