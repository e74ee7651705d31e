-- Providers: what is refused, and one of the user's own.
\set SHOW_CONTEXT never
SELECT name, algorithm, encoding, signature_from, list_separator, element_prefix, signed_content,
       secret_encoding, timestamp_from, timestamp_format, tolerance
FROM webhook_bridge.providers ORDER BY name COLLATE "C";
SELECT name, topic_from, external_id_from, source_from, webhook_remote_id_from, error_code_from,
       occurred_at_from, occurred_at_format, generates_secret, get_deliveries
FROM webhook_bridge.providers ORDER BY name COLLATE "C";

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
