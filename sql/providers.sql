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
           'time ' || occurred_at_from || ' ' || occurred_at_format)
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
INSERT INTO webhook_bridge.providers (name, title, signature_from, topic_from) VALUES ('bad', 't', 'header:X', '{header:X-Topic} and }');
INSERT INTO webhook_bridge.providers (name, title, signature_from, source_from) VALUES ('bad', 't', 'header:X', repeat('{body}{method}', 40));
INSERT INTO webhook_bridge.providers (name, title, signature_from, algorithm, signed_content) VALUES ('bad', 't', 'header:X', 'sha256', '{body}');
INSERT INTO webhook_bridge.providers (name, title, signature_from, handshake_if) VALUES ('bad', 't', 'header:X', '{json:type}');
INSERT INTO webhook_bridge.providers (name, title, signature_from, handshake_if, handshake_equals, handshake_reply) VALUES ('bad', 't', 'header:X', '{json:type}', 'ping', '{secret}');
INSERT INTO webhook_bridge.providers (name, title, signature_from, handshake_if, handshake_equals, handshake_reply, handshake_signed) VALUES ('bad', 't', 'header:X', '{json:type}', 'ping', '{hmac:json:token}', false);
INSERT INTO webhook_bridge.providers (name, title, signature_from, handshake_type) VALUES ('bad', 't', 'header:X', 'text/html');
INSERT INTO webhook_bridge.providers (name, title, signature_from, evidence) VALUES ('bad', 't', 'header:X', 'hearsay');
UPDATE webhook_bridge.providers SET signed_content = '{nonsense}' WHERE name = 'github';

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
