-- Providers: what is refused, and one of the user's own.
\set SHOW_CONTEXT never
-- how each signs; what is null or empty is left out
\pset format unaligned
\pset tuples_only on
SELECT name, evidence, concat_ws(', ', algorithm || coalesce(' ' || CASE WHEN algorithm NOT IN ('none', 'token') THEN encoding END, ''),
           signature_from, 'separator ' || quote_literal(nullif(list_separator, '')),
           'prefix ' || quote_literal(nullif(element_prefix, '')),
           'signs ' || CASE WHEN algorithm NOT IN ('none', 'token') THEN signed_content END,
           'secret ' || nullif(secret_encoding, 'raw'), 'time ' || timestamp_from || ' ' || timestamp_format,
           'within ' || tolerance, 'body digest ' || body_digest_from,
           CASE WHEN generates_secret THEN 'generates secret' END, CASE WHEN get_deliveries THEN 'get deliveries' END)
FROM webhook_bridge.providers WHERE builtin ORDER BY name COLLATE "C";

-- where each has what
SELECT name, concat_ws(', ', 'topic ' || topic_from, 'id ' || external_id_from, 'source ' || source_from,
           'webhook ' || webhook_remote_id_from, 'error ' || error_code_from,
           'time ' || occurred_at_from || ' ' || occurred_at_format,
           'content ' || coalesce(nullif(content_from, '{body}'), CASE WHEN content_from IS NULL THEN 'none' END))
FROM webhook_bridge.providers WHERE builtin ORDER BY name COLLATE "C";

-- handshakes
SELECT name, handshake_if, handshake_equals, handshake_reply, handshake_type, handshake_signed
FROM webhook_bridge.providers
WHERE builtin AND coalesce(handshake_if, handshake_equals, handshake_reply) IS NOT NULL ORDER BY name COLLATE "C";
\pset tuples_only off
\pset format aligned

-- what users need to know is there; only generic rests on nothing but ourselves,
-- and Ecomanager's documentation has an address of its own for each shop
SELECT name, docs_url IS NULL AS no_docs_url, remarks IS NULL AS no_remarks, evidence IS NULL AS no_evidence
FROM webhook_bridge.providers
WHERE builtin AND (docs_url IS NULL OR remarks IS NULL OR evidence IS NULL) ORDER BY name COLLATE "C";

-- a row of general knowledge that does not say so (none)
SELECT name FROM webhook_bridge.providers WHERE evidence = 'unchecked' AND remarks !~ 'general knowledge';

-- nothing that is taken over into columns is where a token or the signature is (none)
SELECT name FROM webhook_bridge.providers, unnest(ARRAY[topic_from, external_id_from, source_from,
           webhook_remote_id_from, error_code_from, occurred_at_from]) AS template
WHERE strpos(template, signature_from) > 0 OR template ~ '{(secret|sig:)';

INSERT INTO webhook_bridge.providers (name, title, signature_from) VALUES ('Bad Name', 't', 'header:X');
INSERT INTO webhook_bridge.providers (name, title) VALUES ('bad', 't');
INSERT INTO webhook_bridge.providers (name, title, signature_from) VALUES ('bad', 't', 'X-Signature');
INSERT INTO webhook_bridge.providers (name, title, signature_from) VALUES ('bad', 't', 'cookie:a');
INSERT INTO webhook_bridge.providers (name, title, signature_from, algorithm) VALUES ('bad', 't', 'header:X', 'md5');
INSERT INTO webhook_bridge.providers (name, title, signature_from, encoding) VALUES ('bad', 't', 'header:X', 'base32');
INSERT INTO webhook_bridge.providers (name, title, signature_from, list_separator) VALUES ('bad', 't', 'header:X', ', ');
INSERT INTO webhook_bridge.providers (name, title, signature_from, secret_encoding) VALUES ('bad', 't', 'header:X', 'rot13');
INSERT INTO webhook_bridge.providers (name, title, signature_from, signed_content) VALUES ('bad', 't', 'header:X', 'nothing of the message');
INSERT INTO webhook_bridge.providers (name, title, signature_from, signed_content) VALUES ('bad', 't', 'header:X', '{body');
INSERT INTO webhook_bridge.providers (name, title, signature_from, signed_content) VALUES ('bad', 't', 'header:X', '{bodi}');
INSERT INTO webhook_bridge.providers (name, title, signature_from, signed_content) VALUES ('bad', 't', 'header:X', '{ts}.{body}');
INSERT INTO webhook_bridge.providers (name, title, signature_from, timestamp_from) VALUES ('bad', 't', 'header:X', 'header:T');
INSERT INTO webhook_bridge.providers (name, title, signature_from, timestamp_from, timestamp_format) VALUES ('bad', 't', 'header:X', 'header:T', 'days');
INSERT INTO webhook_bridge.providers (name, title, signature_from, tolerance) VALUES ('bad', 't', 'header:X', '5 minutes');
INSERT INTO webhook_bridge.providers (name, title, signature_from, signed_content, timestamp_from, timestamp_format, tolerance) VALUES ('bad', 't', 'header:X', '{ts}{body}', 'header:T', 's', '-5 minutes');
INSERT INTO webhook_bridge.providers (name, title, signature_from, topic_from) VALUES ('bad', 't', 'header:X', '{json:}');
INSERT INTO webhook_bridge.providers (name, title, signature_from, topic_from) VALUES ('bad', 't', 'header:X', '{secret}');
INSERT INTO webhook_bridge.providers (name, title, signature_from, source_from) VALUES ('bad', 't', 'header:X', '{hmac:json:a}');
INSERT INTO webhook_bridge.providers (name, title, algorithm, handshake_if, handshake_equals, handshake_reply) VALUES ('bad', 't', 'none', '{method}', 'GET', 'x');
INSERT INTO webhook_bridge.providers (name, title, signature_from, topic_from) VALUES ('bad', 't', 'header:X', '{header:X-Topic} and }');
INSERT INTO webhook_bridge.providers (name, title, signature_from, source_from) VALUES ('bad', 't', 'header:X', repeat('{body}{method}', 40));
INSERT INTO webhook_bridge.providers (name, title, signature_from, algorithm, signed_content) VALUES ('bad', 't', 'header:X', 'sha256', '{body}');
INSERT INTO webhook_bridge.providers (name, title, signature_from, handshake_type) VALUES ('bad', 't', 'header:X', 'text/html');
INSERT INTO webhook_bridge.providers (name, title, signature_from, evidence) VALUES ('bad', 't', 'header:X', 'hearsay');
UPDATE webhook_bridge.providers SET signed_content = '{nonsense}' WHERE name = 'github';

-- handshakes: what is incomplete, tells the secret, or is no template
CREATE FUNCTION pg_temp.handshake(condition text, equals text, reply text, signed boolean DEFAULT true) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
BEGIN
    INSERT INTO webhook_bridge.providers (name, title, signature_from, timestamp_from, timestamp_format, handshake_if, handshake_equals, handshake_reply, handshake_signed)
    VALUES ('bad', 't', 'header:X', 'header:T', 's', condition, equals, reply, signed);
    DELETE FROM webhook_bridge.providers WHERE name = 'bad';
    RETURN 'taken';
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN message || ': ' || detail;
END
$$;
\pset format unaligned
\pset tuples_only on
\pset null null
SELECT condition, equals, left(reply, 80), pg_temp.handshake(condition, equals, reply) AS verdict
FROM (VALUES
    (1, NULL, NULL, NULL),
    (2, '{json:type}', 'ping', '{json:challenge}'),
    (3, '{json:type}', '', ''),
    (4, '', '', '{body}'),
    (5, '{method} {header:X-Kind?}', '{param:expected} {json:a.0?}', '{{"a":"{hmac:header:X-Nonce}{hmac:query:n}{hmac:json:a.b}"}}'),
    (6, '{json:type}', NULL, NULL),
    (7, '{json:type}', 'ping', NULL),
    (8, '{json:type}', NULL, 'pong'),
    (9, NULL, 'ping', 'pong'),
    (10, NULL, 'ping', NULL),
    (11, NULL, NULL, 'pong'),
    (12, '{secret}', 'ping', 'pong'),
    (13, '{json:type}', '{secret}', 'pong'),
    (14, '{json:type}', 'ping', 'a{secret}'),
    (15, '{ts}', 'ping', 'pong'),
    (16, '{json:type}', '{sig:v1}', 'pong'),
    (17, '{json:type}', 'ping', '{ts}'),
    (18, '{hmac:json:a}', 'ping', 'pong'),
    (19, '{json:type}', '{hmac:json:a}', 'pong'),
    (20, '{json:type', 'ping', 'pong'),
    (21, '{json:type}', 'ping}', 'pong'),
    (22, '{json:type}', 'ping', '{"a":"{json:a}"}'),
    (23, '{json:type}', 'ping', '{challenge}'),
    (24, '{json:type}', 'ping', '{hmac}'),
    (25, '{json:type}', 'ping', '{hmac:}'),
    (26, '{json:type}', 'ping', '{hmac:body}'),
    (27, '{json:type}', 'ping', '{hmac:json:}'),
    (28, '{json:type}', 'ping', '{hmac:hmac:json:a}'),
    (29, '{json:type}', 'ping', '{hmac:json:a?}'),
    (30, '{json:type}', 'ping', repeat('{method}', 33))) AS v (number, condition, equals, reply)
ORDER BY number;
\pset null ''
\pset tuples_only off
\pset format aligned
-- what is answered without a signature must not be made with the secret
SELECT reply, pg_temp.handshake('{method}', 'GET', reply, false) AS verdict
FROM unnest(ARRAY['{query:challenge}', '{hmac:query:challenge}', 'a{query:a}{hmac:query:b}c', '{secret}']) AS reply;
UPDATE webhook_bridge.providers SET handshake_signed = false WHERE name = 'zoom';
UPDATE webhook_bridge.providers SET handshake_if = NULL WHERE name = 'slack';
UPDATE webhook_bridge.providers SET handshake_equals = NULL WHERE name = 'dropbox';
UPDATE webhook_bridge.providers SET handshake_reply = NULL WHERE name = 'meta';
UPDATE webhook_bridge.providers SET handshake_reply = '{hmac:query:challenge}' WHERE name = 'dropbox';

-- an own provider is one row
INSERT INTO webhook_bridge.providers
    (name, title, algorithm, encoding, signature_from, element_prefix, signed_content,
     timestamp_from, timestamp_format, tolerance, topic_from, external_id_from)
VALUES
    ('acme', 'Acme', 'hmac-sha512', 'base64', 'header:X-Acme-Signature', 'v2=', '{method} {url} {ts} {body}',
     'header:X-Acme-Time', 'ms', '1 minute', '{json:event.type}', '{json:event.id}');
SELECT webhook_bridge.sign('acme', 'key', '{"a":1}', url => 'https://db.example.com/hooks/acme?x=1', at => '2026-01-02 03:04:05.678Z') AS headers \gset
SELECT :'headers'::jsonb ->> 'X-Acme-Time' AS time;
-- computed with: printf 'POST https://db.example.com/hooks/acme?x=1 1767323045678 {"a":1}' | openssl dgst -sha512 -hmac key -binary | base64 -w0
SELECT :'headers'::jsonb ->> 'X-Acme-Signature' AS signature;
SELECT at, webhook_bridge.verify('acme', 'key', :'headers', '{"a":1}', url => 'https://db.example.com/hooks/acme?x=1', at => at)
FROM unnest(ARRAY['2026-01-02 03:03:05.678Z', '2026-01-02 03:05:05.678Z', '2026-01-02 03:05:06Z', '2026-01-02 03:03:04Z']::timestamptz[]) AS at;
SELECT webhook_bridge.verify('acme', 'key', :'headers', '{"a":1}', url => 'https://db.example.com/hooks/acme?x=2', at => '2026-01-02 03:04:05Z');
SELECT webhook_bridge.verify('acme', 'key', :'headers', '{"a":1}', method => 'PUT', url => 'https://db.example.com/hooks/acme?x=1', at => '2026-01-02 03:04:05Z');
