-- explain_signature(): every step is shown, and the usual causes are recognised.
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never

-- what is right
SELECT * FROM webhook_bridge.explain_signature('github', 'k',
    webhook_bridge.sign('github', 'k', '{"a":1}'), '{"a":1}');
SELECT * FROM webhook_bridge.explain_signature('stripe', 'whsec_k',
    webhook_bridge.sign('stripe', 'whsec_k', E'{"a":\r\n"\u00fc"}', at => '2026-01-02 03:04:05Z'),
    E'{"a":\r\n"\u00fc"}', at => '2026-01-02 03:05:05Z');
-- what is signed is shown, a long body shortened, and never the secret
SELECT step, expected, actual, ok FROM webhook_bridge.explain_signature('hubspot_v2', 'very secret',
    webhook_bridge.sign('hubspot_v2', 'very secret', repeat('x', 1000) || 'end', url => 'https://db.example.com/h'),
    repeat('x', 1000) || 'end', url => 'https://db.example.com/h');
SELECT step, expected, actual, ok FROM webhook_bridge.explain_signature('gitlab_token', 'very secret', '{"X-Gitlab-Token": "very secret"}', '');
SELECT step, expected, actual, ok FROM webhook_bridge.explain_signature('gitlab_token', 'very secret', '{"X-Gitlab-Token": "not so secret"}', '');
SELECT step, expected, actual, ok FROM webhook_bridge.explain_signature('github', 'k', '{"X-Hub-Signature-256": "sha256=00"}', convert_to(E'\u00fc', 'LATIN1'));

-- What is wrong: one fault each.  Everything is signed rightly first.
CREATE TEMP TABLE samples AS
SELECT body, webhook_bridge.sign('github', 'top secret', body) AS headers
FROM (VALUES ('{"id":1,"name":"Zoë / Noël","list":[1,2.50,{}],"o":{"x":null}}')) AS v (body);

CREATE FUNCTION pg_temp.diagnosis(provider text, secret text, headers jsonb, body text,
    url text DEFAULT NULL, at timestamptz DEFAULT now(), params jsonb DEFAULT '{}')
RETURNS text
LANGUAGE sql
BEGIN ATOMIC
    SELECT string_agg(actual, ' | ')
    FROM webhook_bridge.explain_signature(provider, secret, headers, body, url => url, at => at, params => params)
    WHERE step = 'diagnosis';
END;

-- the body written again
SELECT 'jsonb with the same order' AS fault, pg_temp.diagnosis('github', 'top secret',
           webhook_bridge.sign('github', 'top secret', '{"a":1,"bb":"x/y"}'), '{"a":1,"bb":"x/y"}'::jsonb::text)
UNION ALL SELECT 'indented by 2', pg_temp.diagnosis('github', 'top secret', headers, E'{\n  "id": 1,\n  "name": "Zoë / Noël",\n  "list": [\n    1,\n    2.50,\n    {}\n  ],\n  "o": {\n    "x": null\n  }\n}') FROM samples
UNION ALL SELECT 'was indented by 4', pg_temp.diagnosis('github', 'top secret', webhook_bridge.sign('github', 'top secret', E'{\n    "a": [],\n    "b": [\n        true\n    ]\n}'), '{"a":[],"b":[true]}')
UNION ALL SELECT 'unescaped', pg_temp.diagnosis('github', 'top secret', webhook_bridge.sign('github', 'top secret', '{"a":"\u00fc\ud83d\ude00\/"}'), '{"a":"ü😀/"}')
UNION ALL SELECT 'escaped', pg_temp.diagnosis('github', 'top secret', headers, replace(replace(body, 'ë', '\u00eb'), '/', '\/')) FROM samples;
SELECT pg_temp.diagnosis('github', 'top secret', headers, body::jsonb::text) AS order_lost FROM samples;
-- its line ends, and other bytes around it
SELECT change, pg_temp.diagnosis('github', 'top secret', webhook_bridge.sign('github', 'top secret', signed), received)
FROM (VALUES
    ('line end cut', E'a=1\n', 'a=1'),
    ('CR LF cut', E'a=1\r\n', 'a=1'),
    ('line end added', 'a=1', E'a=1\n'),
    ('LF made CR LF', E'a\nb\n', E'a\r\nb\r\n'),
    ('CR LF made LF', E'a\r\nb\r\n', E'a\nb\n'),
    ('white space added', 'a=1', E'  a=1 \n'),
    ('byte order mark cut', E'\ufeffa=1', 'a=1'),
    ('byte order mark added', 'a=1', E'\ufeffa=1')) AS v (change, signed, received);
SELECT pg_temp.diagnosis('github', 'top secret', webhook_bridge.sign('github', 'top secret', convert_to('zoë', 'LATIN1')), 'zoë') AS latin1;

-- prefix, hexadecimal, base64
WITH s AS (SELECT body, headers ->> 'X-Hub-Signature-256' AS signature FROM samples)
SELECT pg_temp.diagnosis('github', 'top secret', jsonb_build_object('X-Hub-Signature-256', substr(signature, 8)), body) AS no_prefix,
       pg_temp.diagnosis('github', 'top secret', jsonb_build_object('X-Hub-Signature-256', 'v1=' || substr(signature, 8)), body) AS other_prefix,
       pg_temp.diagnosis('github', 'top secret', jsonb_build_object('X-Hub-Signature-256', 'sha256=' || encode(decode(substr(signature, 8), 'hex'), 'base64')), body) AS base64,
       pg_temp.diagnosis('github', 'top secret', jsonb_build_object('X-Hub-Signature-256', encode(decode(substr(signature, 8), 'hex'), 'base64')), body) AS both,
       pg_temp.diagnosis('shopify', 'top secret', jsonb_build_object('X-Shopify-Hmac-Sha256', substr(signature, 8)), body) AS hex,
       pg_temp.diagnosis('shopify', 'top secret', jsonb_build_object('X-Shopify-Hmac-Sha256', signature), body) AS hex_with_prefix
FROM s \gx

-- the secret
SELECT pg_temp.diagnosis('github', E' top secret\n', headers, body) AS white_space,
       pg_temp.diagnosis('github', 'top secret', webhook_bridge.sign('github', E'top secret\n', body), body) AS of_the_sender,
       pg_temp.diagnosis('github', 'nobody''s', headers, body) AS wrong
FROM samples \gx
SELECT pg_temp.diagnosis('standard_webhooks', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
           '{"webhook-id": "1"}' || webhook_bridge.sign('bigcommerce', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'x', '{"webhook-id": "1"}'), 'x') AS not_decoded,
       pg_temp.diagnosis('standard_webhooks', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
           '{"webhook-id": "1"}' || webhook_bridge.sign('bigcommerce', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'x', '{"webhook-id": "1"}'), 'x') AS only_stripped,
       pg_temp.diagnosis('bigcommerce', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
           webhook_bridge.sign('standard_webhooks', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'x', '{"webhook-id": "1"}'), 'x') AS decoded,
       pg_temp.diagnosis('shopify', '44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056',
           jsonb_build_object('X-Shopify-Hmac-Sha256', webhook_bridge.sign('adyen_platform',
               '44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056', 'x') ->> 'HmacSignature'), 'x') AS decoded_hex,
       pg_temp.diagnosis('standard_webhooks', 'whsec_not base64', '{"webhook-id": "1"}', 'x') AS unusable \gx

-- headers that a proxy has renamed
SELECT pg_temp.diagnosis('github', 'top secret', jsonb_build_object('X_HUB_SIGNATURE_256', headers -> 'X-Hub-Signature-256'), body) AS underscores,
       pg_temp.diagnosis('github', 'top secret', jsonb_build_object('HTTP_X_HUB_SIGNATURE_256', headers -> 'X-Hub-Signature-256'), body) AS cgi,
       pg_temp.diagnosis('github', 'top secret', jsonb_build_object('X-Forwarded-Hub-Signature-256', headers -> 'X-Hub-Signature-256'), body || ' ') AS and_the_body,
       pg_temp.diagnosis('github', 'top secret', jsonb_build_object('X-Sig', headers -> 'X-Hub-Signature-256', 'Other', 'x'), body) AS another,
       pg_temp.diagnosis('github', 'top secret', '{"Other": "x"}', body) AS none
FROM samples \gx
SELECT pg_temp.diagnosis('slack', 'k', jsonb_build_object('X-Slack-Signature', s -> 'X-Slack-Signature', 'X_Slack_Request_Timestamp', s -> 'X-Slack-Request-Timestamp'), 'x') AS timestamp_renamed,
       pg_temp.diagnosis('slack', 'k', jsonb_build_object('X-Slack-Signature', s -> 'X-Slack-Signature'), 'x') AS timestamp_missing
FROM webhook_bridge.sign('slack', 'k', 'x') AS s \gx

-- the time of signing
SELECT pg_temp.diagnosis('stripe', 'k', s, 'x', at => '2026-01-02 04:00Z') AS late,
       pg_temp.diagnosis('stripe', 'k', s, 'x', at => '2026-01-02 02:00Z') AS early
FROM webhook_bridge.sign('stripe', 'k', 'x', at => '2026-01-02 03:00Z') AS s \gx
SELECT step, expected, actual, ok FROM webhook_bridge.explain_signature('stripe', 'k',
    webhook_bridge.sign('stripe', 'k', 'x', at => '2026-01-02 03:00Z'), 'x', at => '2026-01-02 04:00Z') WHERE step IN ('timestamp', 'window', 'verdict');

-- the URL
SELECT pg_temp.diagnosis('square', 'k', s, 'x', url => 'http://127.0.0.1:8090/hooks/a') AS behind_a_proxy,
       pg_temp.diagnosis('square', 'k', s - 'Host', 'x', url => 'http://db.example.com/hooks/a') AS scheme,
       pg_temp.diagnosis('square', 'k', s - 'Host', 'x', url => 'https://db.example.com:443/hooks/a') AS port,
       pg_temp.diagnosis('square', 'k', s - 'Host', 'x', url => 'https://db.example.com/hooks/a/') AS slash,
       pg_temp.diagnosis('square', 'k', s - 'Host', 'x', url => 'https://db.example.com/hooks/a?b=1') AS query,
       pg_temp.diagnosis('square', 'k', s - 'Host', 'x') AS none
FROM webhook_bridge.sign('square', 'k', 'x', '{"Host": "db.example.com"}', url => 'https://db.example.com/hooks/a') AS s \gx

-- a secret of another endpoint, and another provider
BEGIN;
SELECT name FROM webhook_bridge.create_endpoint('explain-other', 'github', 'top secret');
SELECT webhook_bridge.add_secret('explain-other', 'old secret', 'old', now() - interval '1 day');
SELECT pg_temp.diagnosis('github', 'my secret', headers, body) AS another_endpoint,
       pg_temp.diagnosis('github', 'my secret', webhook_bridge.sign('github', 'old secret', body), body) AS expired
FROM samples \gx
ROLLBACK;
SELECT pg_temp.diagnosis('github', 'k', webhook_bridge.sign('bitbucket', 'k', 'x'), 'x') AS another_provider,
       pg_temp.diagnosis('hubspot_v1', 'k', webhook_bridge.sign('hubspot_v2', 'k', 'x', url => 'https://db.example.com/h'), 'x', url => 'https://db.example.com/h') AS another_version \gx

-- several signatures, half a signature, a body that is not the digested one
SELECT pg_temp.diagnosis('github', 'k', '{"X-Hub-Signature-256": ["sha256=00", "sha256=01"]}', 'x') AS several,
       pg_temp.diagnosis('github', 'top secret', jsonb_build_object('X-Hub-Signature-256', left(headers ->> 'X-Hub-Signature-256', -2)), body) AS cut,
       pg_temp.diagnosis('twilio_json', '12345', '{"X-Twilio-Signature": "Q3Mhbno0ELegm8NX0d4qBQKcMZI="}', 'other',
           url => 'https://example.com/hook?bodySHA256=d5729c000e5de6b3a10698fec78d482db85d744f1be820d1382b6bda1cfb7795') AS digest,
       pg_temp.diagnosis('standard_webhooks', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', webhook_bridge.sign('standard_webhooks', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'x', '{"webhook-id": "1"}') - 'webhook-id', 'x') AS id_missing
FROM samples \gx

-- a public key
SELECT step, expected, actual, ok FROM webhook_bridge.explain_signature('discord', 'ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c',
    '{"X-Signature-Ed25519": "f7caed702889e902c2cde4a4fb00f601284aa47ff4caf84588d7c8c3d8fe7183fd73e13e30d0c07d1515b6684f7b3cfaa231c421768d9667b104f760cf0da302", "X-Signature-Timestamp": "1700000000"}',
    '{"type":1}', at => to_timestamp(1700000002));
SELECT pg_temp.diagnosis('discord', 'ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c',
    '{"X-Signature-Ed25519": "f7caed702889e902c2cde4a4fb00f601284aa47ff4caf84588d7c8c3d8fe7183fd73e13e30d0c07d1515b6684f7b3cfaa231c421768d9667b104f760cf0da302", "X-Signature-Timestamp": "1700000000"}',
    E'{\n  "type": 1\n}', at => to_timestamp(1700000002)) AS written_again;

-- a body nested so deeply that it cannot be indented, or parsed, takes no time and raises no error
SET statement_timeout = '4s';
SELECT n, pg_temp.diagnosis('github', 'k', '{"X-Hub-Signature-256": "sha256=00"}', repeat('[', n) || repeat(']', n)) AS nested,
       pg_temp.diagnosis('github', 'k', jsonb_build_object('X-Hub-Signature-256', 'sha256=' || repeat('0', 64)), repeat('{"a": ', n) || '1' || repeat('}', n)) AS members
FROM (VALUES (4000), (40000)) AS v (n);
RESET statement_timeout;
-- a secret never appears, whatever is wrong
SELECT count(*) FROM webhook_bridge.providers p,
    LATERAL webhook_bridge.explain_signature(p.name, 'S3cretS3cret', jsonb_build_object(coalesce(substring(p.signature_from FROM 'header:(.*)'), 'x'), 'S3cret'), '{"a": 1}', url => 'https://db.example.com/') AS e
WHERE concat(e.expected, e.actual) ~ 'S3cretS3cret';

-- a time that no distance can be told from
SELECT step, expected, actual, ok FROM webhook_bridge.explain_signature('stripe', 'k',
    webhook_bridge.sign('stripe', 'k', 'x', at => '2026-01-02 03:00Z'), 'x', at => 'infinity') WHERE step IN ('window', 'verdict');

-- errors
SELECT * FROM webhook_bridge.explain_signature('nobody', 'k', '{}', '');
SELECT * FROM webhook_bridge.explain_signature('github', NULL, '{}', '');
SELECT * FROM webhook_bridge.explain_signature('github', 'k', '[]', '');
SELECT * FROM webhook_bridge.explain_signature('github', 'k', '{"a": {"b": 1}}', '');
SELECT * FROM webhook_bridge.explain_rejection(0);
SELECT webhook_bridge.inspect_signature(NULL, 'k');
SELECT webhook_bridge.fits(NULL, NULL);
SELECT webhook_bridge.inspect_signature(ROW(NULL, NULL, NULL, NULL, NULL, NULL, now(), NULL, NULL)::webhook_bridge.signed_request, 'k');
