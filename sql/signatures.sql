-- verify() and sign(): what one makes the other accepts, and nothing else.
SET timezone = 'UTC';
\set SHOW_CONTEXT never

CREATE TEMP TABLE samples (provider text, secret text, body text, headers jsonb);
INSERT INTO samples VALUES
    ('ecomanager', 's3cret', '{"id":1}', '{}'),
    ('api2cart', 's3cret', '{"id":"86"}', '{"X-Webhook-Entity":"product","X-Webhook-Action":"add","X-Webhook-Store-Id":"1"}'),
    ('ecwid', 's3cret', '{"eventId":"a-b","eventCreated":1469429915,"x":"ü"}', '{}'),
    ('shoplazza', 's3cret', '{"id":"ü / \\"}', '{}'),
    ('standard_webhooks', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{}', '{"webhook-id":"msg_1"}'),
    ('github', 's3cret', '', '{}'),
    ('shopify', 's3cret', 'not json', '{}'),
    ('stripe', 'whsec_s3cret', '{"id":"evt_1"}', '{}'),
    ('generic', 's3cret', '{"id":1}', '{}');

SELECT provider, headers || webhook_bridge.sign(provider, secret, body, headers, at => '2026-01-01 12:00Z') AS signed
FROM samples ORDER BY provider COLLATE "C";

SELECT provider,
       webhook_bridge.verify(provider, secret, signed, body) AS right,
       webhook_bridge.verify(provider, secret, signed, convert_to(body, 'UTF8')) AS right_as_bytea,
       webhook_bridge.verify(provider, secret || 'abcd', signed, body) AS other_secret,
       webhook_bridge.verify(provider, secret, signed, replace(body, '"', '''') || ' ') AS other_body,
       webhook_bridge.verify(provider, secret, headers, body) AS unsigned,
       webhook_bridge.verify(provider, secret, signed, body, at => now() - interval '301 seconds') AS early,
       webhook_bridge.verify(provider, secret, signed, body, at => now() + interval '301 seconds') AS late
FROM (SELECT *, webhook_bridge.sign(provider, secret, body, headers) AS signed FROM samples) s
ORDER BY provider COLLATE "C";

-- header names in any case, repeated headers with the same and with different values
WITH s AS (SELECT webhook_bridge.sign('github', 'k', 'x') ->> 'X-Hub-Signature-256' AS v)
SELECT webhook_bridge.verify('github', 'k', jsonb_build_object('x-hub-signature-256', v), 'x') AS lower_case,
       webhook_bridge.verify('github', 'k', jsonb_build_object('X-Hub-Signature-256', upper(v)), 'x') AS upper_prefix,
       webhook_bridge.verify('github', 'k', jsonb_build_object('X-Hub-Signature-256', 'sha256=' || upper(substr(v, 8))), 'x') AS upper_digits,
       webhook_bridge.verify('github', 'k', jsonb_build_object('X-Hub-Signature-256', jsonb_build_array(v, v)), 'x') AS repeated,
       webhook_bridge.verify('github', 'k', jsonb_build_object('X-Hub-Signature-256', jsonb_build_array(v, 'sha256=00')), 'x') AS different,
       webhook_bridge.verify('github', 'k', jsonb_build_object('X-Hub-Signature-256', left(v, -2)), 'x') AS truncated,
       webhook_bridge.verify('github', 'k', jsonb_build_object('X-Hub-Signature-256', v || '00'), 'x') AS extended
FROM s;

-- a token
SELECT webhook_bridge.verify('blaze', 'abc', '{}', '', url => 'https://x/hooks/b?token=abc') AS right,
       webhook_bridge.verify('blaze', 'abc', '{}', '', url => 'https://x/hooks/b?token=abd') AS wrong,
       webhook_bridge.verify('blaze', 'abc', '{}', '', url => 'https://x/hooks/b?token=abc&token=abd') AS two,
       webhook_bridge.verify('blaze', 'abc', '{}', '', url => 'https://x/hooks/b') AS missing;

-- a signature that does not travel in a header
SELECT webhook_bridge.sign('blaze', 'a b', '');
WITH m AS (SELECT '{"signature": {"token": "t-1", "timestamp": "1767225600"}, "event-data": {}}'::jsonb AS body),
     s AS (SELECT body, webhook_bridge.sign('mailgun', 'k', body::text) ->> 'json:signature.signature' AS signature FROM m)
SELECT signature,
       webhook_bridge.verify('mailgun', 'k', '{}', jsonb_set(body, '{signature,signature}', to_jsonb(signature))::text, at => '2026-01-01Z') AS right,
       webhook_bridge.verify('mailgun', 'l', '{}', jsonb_set(body, '{signature,signature}', to_jsonb(signature))::text, at => '2026-01-01Z') AS wrong
FROM s;

-- base64 has one spelling: neither without padding nor with other spare bits
WITH s AS (SELECT webhook_bridge.sign('shopify', 'k', 'x') ->> 'X-Shopify-Hmac-Sha256' AS v)
SELECT right(v, 4) AS ending, c.ending AS changed, webhook_bridge.verify('shopify', 'k', jsonb_build_object('X-Shopify-Hmac-Sha256', left(v, -4) || c.ending), 'x') AS verified
FROM s, LATERAL (VALUES (right(v, 4)), (left(right(v, 4), 3)), (translate(left(right(v, 4), 3), right(left(v, -1), 1), chr(ascii(right(left(v, -1), 1)) + 1)) || '=')) AS c (ending);

-- errors
SELECT webhook_bridge.verify('nobody', 'k', '{}', '');
SELECT webhook_bridge.verify('github', NULL, '{}', '');
SELECT webhook_bridge.verify('github', 'k', NULL, '');
SELECT webhook_bridge.verify('github', 'k', '{}', NULL::text);
SELECT webhook_bridge.verify('github', '', '{}', '');
SELECT webhook_bridge.verify('standard_webhooks', 'whsec_not base64', '{}', '');
SELECT webhook_bridge.verify('github', 'k', '[]', '');
SELECT webhook_bridge.verify('github', 'k', '{"a": {"b": 1}}', '');
SELECT webhook_bridge.verify('github', 'k', '{"a": [["b"]]}', '');
SELECT webhook_bridge.verify('github', 'k', '"a"', '');
SELECT webhook_bridge.verify('github', 'k', '{"a": null}', '');
SELECT webhook_bridge.verify('github', 'k', '{}', '', params => '{"a": {}}');
SELECT webhook_bridge.verify('github', 'k', '{}', '', params => '[1]');
INSERT INTO webhook_bridge.providers (name, title, algorithm) VALUES ('silent', 'Silent', 'none');
SELECT webhook_bridge.sign('silent', 'k', '');
DELETE FROM webhook_bridge.providers WHERE name = 'silent';
SELECT webhook_bridge.sign('ecwid', 'k', 'not json');
SELECT webhook_bridge.sign('standard_webhooks', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{}');
BEGIN;
INSERT INTO webhook_bridge.providers (name, title, algorithm, signature_from, secret_encoding)
VALUES ('bytes', 'Bytes', 'token', 'header:X-Token', 'hex');
SELECT webhook_bridge.sign('bytes', '6162', '');
SAVEPOINT s;
SELECT webhook_bridge.sign('bytes', '61ff', '');
ROLLBACK TO s;
SELECT webhook_bridge.sign('bytes', '610062', '');
ROLLBACK;
SELECT webhook_bridge.sign('stripe', 'k', '', at => 'infinity');
