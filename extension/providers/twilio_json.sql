-- Twilio, deliveries as JSON.  The signature covers the URL, and the URL a
-- digest of the body.
-- The URL is part of the content: what a callback is about may be in its query.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, encoding, signature_from, signed_content,
     body_digest_from, content_from, remarks, evidence)
VALUES
    ('twilio_json', 'Twilio (JSON)', true, 'https://www.twilio.com/docs/usage/security#validating-requests',
     'hmac-sha1', 'base64', 'header:X-Twilio-Signature', '{url}',
     'query:bodySHA256',
     '{url} {body}',
     'The secret is the account''s auth token. The URL is signed: webhook_bridge.public_url must give it '
     'as Twilio calls it, without a port. Topic and id are left empty.',
     'vector');
