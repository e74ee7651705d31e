-- Twilio, deliveries as forms.
-- The URL is part of the content: what a callback is about may be in its query.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, encoding, signature_from, signed_content, content_from, remarks,
     evidence)
VALUES
    ('twilio', 'Twilio (form)', true, 'https://www.twilio.com/docs/usage/security#validating-requests',
     'hmac-sha1', 'base64', 'header:X-Twilio-Signature', '{url}{form_sorted}',
     '{url} {body}',
     'The secret is the account''s auth token. The URL is signed: webhook_bridge.public_url must give it '
     'as Twilio calls it, without a port. Meant for status callbacks: the answer is not TwiML. Topic and '
     'id are left empty.',
     'vector');
