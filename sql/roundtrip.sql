-- Every provider, with bodies, headers, URLs and secrets at random: what sign()
-- makes verifies, and nothing does of which a single character was changed.
-- This needs the command openssl.
--
-- "Random" is SHA-256 of the seed and of what the value is for, so that a run
-- can be repeated, and so that what is printed is the same on every machine;
-- only the key pairs are new each time.
SET timezone = 'UTC';
SET jit = off;
\set SHOW_CONTEXT never
\set seed 1
\set rounds 36

CREATE FUNCTION pg_temp.random_bytes(what text, len int) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT substr(string_agg(sha256(convert_to(what || ' ' || i, 'UTF8')), NULL ORDER BY i), 1, len)
    FROM generate_series(0, len / 32) AS i
$$;
-- from 0 to n - 1, n up to 65536
CREATE FUNCTION pg_temp.random_int(what text, n int) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT (get_byte(h, 0) * 65536 + get_byte(h, 1) * 256 + get_byte(h, 2)) % n FROM sha256(convert_to(what, 'UTF8')) AS h
$$;
CREATE FUNCTION pg_temp.random_text(what text, letters text, len int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(string_agg(substr(letters, pg_temp.random_int(what || ' ' || i, length(letters)) + 1, 1), '' ORDER BY i), '')
    FROM generate_series(1, len) AS i
$$;
-- HMAC-SHA256 without our own code (RFC 2104)
CREATE FUNCTION pg_temp.hmac(key bytea, message bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    inner_pad bytea := decode(repeat('36', 64), 'hex');
    outer_pad bytea := decode(repeat('5c', 64), 'hex');
BEGIN
    IF length(key) > 64 THEN
        key := sha256(key);
    END IF;
    FOR i IN 0 .. length(key) - 1 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # get_byte(key, i));
        outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # get_byte(key, i));
    END LOOP;
    RETURN sha256(outer_pad || sha256(inner_pad || message));
END
$$;

-- Other digits for those of a signature or of an encoded key.  What is compared
-- is the decoded bytes, so that they have to stand for others: hexadecimal may
-- be written in either case, and of the last digit of base64 two or four bits
-- are not used.  The digit whose highest bit differs always decodes to other
-- bytes.
CREATE FUNCTION pg_temp.other_digits(digits text, encoding text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN encoding IN ('hex', 'auto')
        THEN translate(digits, '0123456789abcdefABCDEF', '89abcdef01234567234567')
        ELSE translate(digits, 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_',
                               'ghijklmnopqrstuvwxyz0123456789+/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefef') END
$$;
-- Text with one character replaced by the one at the same place of another
-- text, or if they are the same by one that occurs in no signature.
CREATE FUNCTION pg_temp.change(t text, i int, other text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT overlay(t PLACING CASE substr(t, i, 1) WHEN substr(other, i, 1) THEN '!' ELSE substr(other, i, 1) END FROM i FOR 1)
$$;
-- The same with letters, which need only be others.
CREATE FUNCTION pg_temp.change(t text, i int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT overlay(t PLACING CASE substr(t, i, 1) WHEN '7' THEN '3' ELSE '7' END FROM i FOR 1)
$$;

-- Key pairs, in DER.
\set ed25519 `openssl genpkey -algorithm ed25519 -outform DER | openssl base64 -A`
\set ed25519_public `echo :'ed25519' | openssl base64 -A -d | openssl pkey -inform DER -pubout -outform DER | openssl base64 -A`
\set ed25519_other `openssl genpkey -algorithm ed25519 | openssl pkey -pubout -outform DER | openssl base64 -A`
\set ecdsa `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER | openssl pkcs8 -topk8 -nocrypt -inform DER -outform DER | openssl base64 -A`
\set ecdsa_public `echo :'ecdsa' | openssl base64 -A -d | openssl pkey -inform DER -pubout -outform DER | openssl base64 -A`
\set ecdsa_other `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkey -pubout -outform DER | openssl base64 -A`
\set rsa `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER 2>/dev/null | openssl pkcs8 -topk8 -nocrypt -inform DER -outform DER | openssl base64 -A`
\set rsa_public `echo :'rsa' | openssl base64 -A -d | openssl pkey -inform DER -pubout -outform DER | openssl base64 -A`
\set rsa_other `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null | openssl pkey -pubout -outform DER | openssl base64 -A`

CREATE TEMP TABLE key_pairs (algorithm text, private bytea, public bytea, other bytea);
INSERT INTO key_pairs VALUES
    ('ed25519', decode(:'ed25519', 'base64'), decode(:'ed25519_public', 'base64'), decode(:'ed25519_other', 'base64')),
    ('ecdsa-p256-sha256', decode(:'ecdsa', 'base64'), decode(:'ecdsa_public', 'base64'), decode(:'ecdsa_other', 'base64')),
    ('rsa-sha256', decode(:'rsa', 'base64'), decode(:'rsa_public', 'base64'), decode(:'rsa_other', 'base64'));

-- The keys as a provider's secret; those of Ed25519 end with their 32 bytes.
CREATE FUNCTION pg_temp.key_text(der bytea, kind text, encoding text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE encoding
        WHEN 'pem' THEN format(E'-----BEGIN %1$s KEY-----\n%2$s\n-----END %1$s KEY-----\n', kind, encode(der, 'base64'))
        WHEN 'spki' THEN replace(encode(der, 'base64'), E'\n', '')
        WHEN 'hex' THEN encode(substr(der, length(der) - 31), 'hex')
        ELSE encode(substr(der, length(der) - 31), 'base64') END
$$;

-- Those that are built in, and schemes that none of them has.
BEGIN;
INSERT INTO webhook_bridge.providers
    (name, title, algorithm, encoding, signature_from, list_separator, element_prefix, signed_content,
     secret_encoding, timestamp_from, timestamp_format, tolerance)
VALUES
    ('zz_sha1_base64url', '', 'hmac-sha1', 'base64url', 'header:X-Sig', '', '', '{body}', 'base64', NULL, NULL, NULL),
    ('zz_sha512_base64url', '', 'hmac-sha512', 'base64url', 'header:X-Sig', ',', 's=', '{sig:t}.{method} {url}{body}',
     'hex:k_', 'sig:t', 'ms', '1 second'),
    ('zz_sha512_auto', '', 'hmac-sha512', 'auto', 'header:X-Sig', ';', '', '{header:X-A}{header:X-B}{param:p}{ts}{body_crc32}',
     'base64:a_:b_', 'header:X-Time', 'iso8601', '1 hour'),
    ('zz_ed25519_auto', '', 'ed25519', 'auto', 'header:X-Sig', ';', 'e:', '{ts}.{url}{body}', 'pem', 'sig:t', 's', '1 day'),
    ('zz_ed25519_spki', '', 'ed25519', 'base64url', 'header:X-Sig', '', '', '{header:X-A}.{body}', 'spki', NULL, NULL, NULL),
    ('zz_ecdsa_pem', '', 'ecdsa-p256-sha256', 'hex', 'header:X-Sig', '', '', '{json:a}.{json:b}', 'pem', NULL, NULL, NULL),
    ('zz_rsa_spki', '', 'rsa-sha256', 'base64url', 'header:X-Sig', ' ', 'r=', '{form_sorted}', 'spki', NULL, NULL, NULL);

CREATE TEMP TABLE schemes AS
SELECT p.*, split_part(secret_encoding, ':', 1) AS secret_kind, split_part(secret_encoding, ':', 2) AS secret_prefix,
       coalesce(signed_content, '') || coalesce('{' || timestamp_from || '}', '') AS signed_places
FROM webhook_bridge.providers p WHERE builtin OR name LIKE 'zz\_%';

-- those that sign() makes no delivery of, all of which are done by hand below
SELECT name, algorithm, signature_from FROM schemes
WHERE algorithm = 'none' OR signature_from NOT LIKE 'header:%' ORDER BY name COLLATE "C";

-- ---------------------------------------------------------------------------
-- Deliveries
-- ---------------------------------------------------------------------------

-- signing_secret: a private key where secret is the public one; other_secret:
-- another public key, or what secret is changed to; covered: texts in the body,
-- which are all of it that is signed, null if everything is
CREATE TEMP TABLE deliveries (
    provider text, round int, signing_secret text, secret text, other_secret text, method text, url text, params jsonb,
    at timestamptz, headers jsonb, body bytea, covered text[], signature text);

-- What is signed, but for the body.
INSERT INTO deliveries (provider, round, signing_secret, secret, other_secret, method, url, params, at, headers)
SELECT name, round,
    CASE
        WHEN k.private IS NOT NULL THEN secret_prefix || pg_temp.key_text(k.private, 'PRIVATE', secret_kind)
        WHEN secret_kind = 'raw' THEN pg_temp.random_text(seed || 'secret',
            CASE algorithm WHEN 'token' THEN '' ELSE E' \t' END || 'abcXYZ0189"\/:+=é漢😀',
            CASE round % 4 WHEN 0 THEN 1 WHEN 1 THEN 32 WHEN 2 THEN 1 + pg_temp.random_int(seed, 40) ELSE 130 END)
        WHEN secret_kind = 'hex' THEN secret_prefix
            || encode(pg_temp.random_bytes(seed || 'secret', 1 + pg_temp.random_int(seed, 80)), 'hex')
        ELSE secret_prefix || replace(encode(
            pg_temp.random_bytes(seed || 'secret', 1 + pg_temp.random_int(seed, 80)), 'base64'), E'\n', '') END,
    secret_prefix || pg_temp.key_text(k.public, 'PUBLIC', secret_kind),
    secret_prefix || pg_temp.key_text(k.other, 'PUBLIC', secret_kind),
    (ARRAY['POST', 'PUT', 'GET', 'PATCH'])[1 + pg_temp.random_int(seed || 'method', 4)],
    'https://' || pg_temp.random_text(seed || 'host', 'abc.-09', 12) || '/hooks/' || pg_temp.random_text(seed || 'path', 'aB7%~_', 9)
        || CASE WHEN round % 2 = 0 OR body_digest_from IS NOT NULL
                THEN '?' || pg_temp.random_text(seed || 'query', 'aB7+_', 5) || '=' || pg_temp.random_text(seed || 'value', 'xy=/', 5)
                ELSE '' END,
    coalesce((SELECT jsonb_object_agg(m[1], pg_temp.random_text(seed || m[1], 'ABC123é', 8))
              FROM regexp_matches(signed_content, '{param:([^}]*)}', 'g') AS m), '{}'),
    '2026-01-01Z'::timestamptz + pg_temp.random_int(seed || 'days', 3000) * interval '1 day'
        + pg_temp.random_int(seed || 'seconds', 65536) * interval '1 second'
        + CASE WHEN timestamp_format = 'ms' THEN pg_temp.random_int(seed || 'ms', 1000) ELSE 0 END * interval '1 ms',
    coalesce((SELECT jsonb_object_agg(m[1], pg_temp.random_text(seed || m[1], 'msg_0189.|- é漢', 1 + pg_temp.random_int(seed || m[1], 12)))
              FROM regexp_matches(signed_content, '{header:([^}]*)}', 'g') AS m), '{}')
    || coalesce((SELECT jsonb_object_agg(m[1] || initcap(pg_temp.random_text(seed || i, 'abcdefgh', 6)),
                     pg_temp.random_text(seed || i, E'ab/"\\<&\x7f é漢😀\u2028', pg_temp.random_int(seed || i, 10)))
                 FROM regexp_matches(signed_content, '{headers_json:([^}]*)}', 'g') AS m, generate_series(1, round % 6) AS i), '{}')
FROM schemes LEFT JOIN key_pairs k USING (algorithm), generate_series(0, :rounds - 1) AS round,
     LATERAL (VALUES (format('%s %s %s ', :seed, name, round))) AS s (seed);
UPDATE deliveries SET secret = signing_secret, other_secret = pg_temp.other_digits(signing_secret, secret_kind)
FROM schemes WHERE provider = name AND secret IS NULL;

-- The bodies: those that sign() takes members of, forms, and any kind of bytes.
CREATE TEMP VIEW seeds AS
SELECT d.provider AS p, d.round AS r, format('%s %s %s ', :seed, d.provider, d.round) AS seed, d.at AS signed_at, s.*
FROM deliveries d JOIN schemes s ON s.name = d.provider;

UPDATE deliveries SET
    covered = CASE WHEN signed_content !~ '{body|{form_sorted' AND body_digest_from IS NULL THEN members END,
    body = convert_to(format('{"pad":%s,%s,"more":[{"a":null}]}', to_json(pg_temp.random_text(seed, 'ab"\é', 5)), list), 'UTF8')
FROM seeds, LATERAL (
    SELECT array_agg(value) AS members,
           string_agg(format('"%s" : %s', member, CASE WHEN value ~ '^[0-9]*$' THEN value ELSE to_json(value)::text END), ',') AS list
    FROM (SELECT DISTINCT ON (m[1]) m[1] AS member,
              CASE WHEN timestamp_from = 'json:' || m[1] THEN (extract(epoch FROM signed_at) * 1000)::bigint::text
                   WHEN pg_temp.random_int(seed || m[1], 2) = 0 THEN '1' || pg_temp.random_text(seed || m[1], '0123456789', 11)
                   ELSE 'i' || pg_temp.random_text(seed || m[1], 'AB12-é漢😀', 11) END AS value
          FROM regexp_matches(signed_places, '{json:([^}.?]*)}', 'g') AS m) m
    ) AS fields
WHERE provider = p AND round = r AND signed_places ~ '{json:' AND signed_places !~ '{json:[^}]*[.?]';

UPDATE deliveries SET body = convert_to(form, 'UTF8')
FROM seeds, LATERAL (
    SELECT string_agg(replace(pg_temp.random_text(seed || 'name' || i, 'abAB_%+', 1 + i), '%', '%26') || '='
                      || pg_temp.random_text(seed || 'value' || i, 'xyZ09+.-', pg_temp.random_int(seed || i, 9)) || '%C3%a9', '&')
    FROM generate_series(0, r % 5) AS i) AS f (form)
WHERE provider = p AND round = r AND signed_content ~ '{form_sorted}';

UPDATE deliveries SET body = CASE round % 12
    WHEN 0 THEN ''
    WHEN 1 THEN pg_temp.random_bytes(seed, 1 + pg_temp.random_int(seed, 60))
    WHEN 2 THEN convert_to(pg_temp.random_text(seed, E'{}[]":, é漢😀\r\n\t', 20), 'UTF8')
    WHEN 3 THEN convert_to(format(E'{"id": %s, "é": "\\u00e9"}\r\n', pg_temp.random_int(seed, 1000)), 'UTF8')
    WHEN 4 THEN pg_temp.random_bytes(seed, 10000)
    WHEN 5 THEN decode(repeat('00', 1 + pg_temp.random_int(seed, 60)), 'hex')
    ELSE pg_temp.random_bytes(seed, 1 + pg_temp.random_int(seed, 60)) END
FROM seeds WHERE provider = p AND round = r AND body IS NULL;

-- The URL that contains the body's digest.
UPDATE deliveries d SET url = url || '&' || substr(body_digest_from, 7) || '=' || encode(sha256(body), 'hex')
FROM schemes s WHERE d.provider = s.name AND body_digest_from LIKE 'query:%';

-- Those that sign() does not make: tokens in the URL and in the body, ...
UPDATE deliveries SET secret = token, signature = token,
    url = CASE provider WHEN 'blaze' THEN 'https://example.com/hooks/blaze?a=1&token=' || token || '&z=%20' ELSE url END,
    body = CASE provider WHEN 'blaze' THEN body
           ELSE convert_to(format('{"value": [{"id": "1", "clientState": "%s"}, {"clientState": "x"}]}', token), 'UTF8') END
FROM (SELECT round AS r, pg_temp.random_text(:seed || 'token' || round, 'abcXYZ0189-_.~', 1 + round) AS token
      FROM generate_series(0, :rounds - 1) AS round) v
WHERE provider IN ('blaze', 'microsoft_graph') AND round = r;

-- ... and signatures in the body.
UPDATE deliveries SET covered = ARRAY[ts, token], signature = hmac,
    body = convert_to(format('{"signature":{"token":"%s","timestamp":"%s","signature":"%s"},"event-data":{"event":"opened"}}',
                             token, ts, hmac), 'UTF8')
FROM (SELECT round AS r, ts, token, encode(pg_temp.hmac(convert_to(secret, 'UTF8'), convert_to(ts || token, 'UTF8')), 'hex') AS hmac
      FROM deliveries, LATERAL (SELECT extract(epoch FROM at)::bigint::text AS ts,
                                       pg_temp.random_text(provider || round, '0123456789abcdef', 50) AS token) v
      WHERE provider = 'mailgun') v
WHERE provider = 'mailgun' AND round = r;

UPDATE deliveries SET covered = members, signature = hmac,
    body = convert_to(format(
        '{"live":"false","notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":"%s"},'
        '"pspReference":"%s",%s"merchantAccountCode":"%s","merchantReference":"%s","amount":{"currency":"%s","value":%s},'
        '"eventCode":"%s","success":"%s","eventDate":"2026-01-01T12:00:00+01:00"}}]}',
        hmac, members[1], CASE WHEN round % 2 = 0 THEN format('"originalReference":"%s",', members[2]) ELSE '' END,
        members[3], members[4], members[6], members[5], members[7], members[8]), 'UTF8')
FROM (SELECT round AS r, members, encode(pg_temp.hmac(decode(secret, 'hex'),
                 convert_to(array_to_string(members, ':'), 'UTF8')), 'base64') AS hmac
      FROM deliveries, LATERAL (
          SELECT array_agg(CASE WHEN i = 5 THEN '1' || pg_temp.random_text('value' || round, '0123456789', 9)
                                WHEN i = 2 AND round % 2 = 1 THEN ''
                                ELSE i || pg_temp.random_text(i || 'member' || round, 'ABé漢 _', 9) END ORDER BY i) AS members
          FROM generate_series(1, 8) AS i) v
      WHERE provider = 'adyen') v
WHERE provider = 'adyen' AND round = r;

-- All others.
UPDATE deliveries d SET
    headers = webhook_bridge.sign(provider, signing_secret, body, headers, method, url, at, params)
FROM schemes s WHERE d.provider = s.name AND signature_from LIKE 'header:%' AND algorithm <> 'none';
UPDATE deliveries d SET signature = headers ->> substr(signature_from, 8)
FROM schemes s WHERE d.provider = s.name AND signature_from LIKE 'header:%';

-- ---------------------------------------------------------------------------
-- Outcomes
-- ---------------------------------------------------------------------------

CREATE TEMP TABLE cases AS
SELECT d.*, pg_temp.other_digits(signature, encoding) AS other_signature, s.algorithm, s.encoding, s.signed_content,
       s.list_separator, s.element_prefix, s.timestamp_format, s.tolerance, s.secret_kind,
       s.secret_prefix, k.public IS NOT NULL AS is_asymmetric,
       split_part(signature_from, ':', 1) AS signature_kind, substr(signature_from, 8) AS signature_header,
       algorithm = 'token' OR signed_content !~ '{url}' AS any_url,
       algorithm = 'token' OR signed_content !~ '{method}' AS any_method
FROM deliveries d JOIN schemes s ON s.name = d.provider LEFT JOIN key_pairs k USING (algorithm)
ORDER BY provider COLLATE "C", round;

CREATE TEMP TABLE outcomes (provider text, round int, kind text, number int, expected boolean, verified boolean);

-- What has to be accepted: the delivery, ...
INSERT INTO outcomes
SELECT provider, round, 'delivery', 0, true, webhook_bridge.verify(provider, secret, headers, body, method, url, at, params)
FROM cases;
-- names of headers in any case, other headers, and what the signature does not cover
INSERT INTO outcomes
SELECT provider, round, 'not signed', 0, true, webhook_bridge.verify(provider, secret,
    '{"X-Other": "1"}' || coalesce((SELECT jsonb_object_agg(CASE round % 2 WHEN 0 THEN upper(key) ELSE lower(key) END, value)
                                    FROM jsonb_each(headers)), '{}'),
    CASE WHEN algorithm = 'token' AND signature_kind <> 'json' THEN 'other'
         WHEN covered IS NOT NULL THEN convert_to(regexp_replace(convert_from(body, 'UTF8'), '}$', ',"other":[1]} '), 'UTF8')
         ELSE body END,
    CASE WHEN any_method THEN 'DELETE' ELSE method END,
    CASE WHEN any_url AND signature_kind <> 'query' THEN 'http://other/?x=y' ELSE url END, at, params || '{"other": "1"}')
FROM cases;
-- elements of other keys beside the right one, and spaces around elements
INSERT INTO outcomes
SELECT provider, round, 'list', number, true, webhook_bridge.verify(provider, secret,
    jsonb_set(headers, ARRAY[signature_header], to_jsonb(list)), body, method, url, at, params)
FROM cases, LATERAL (SELECT reverse(split_part(reverse(signature), list_separator, 1)) AS element) e,
    LATERAL (SELECT pg_temp.change(element, length(element_prefix) + 1, pg_temp.other_digits(element, encoding)) AS wrong) w,
    LATERAL (VALUES (1, signature || list_separator || wrong),
                    (2, replace(signature, element, wrong || list_separator || element)),
                    (3, replace(signature, list_separator, list_separator || '  ') || list_separator),
                    (4, replace(signature, element, 'x' || list_separator || list_separator || element))) AS l (number, list)
WHERE list_separator <> '';
-- base64 where the encoding is not known
INSERT INTO outcomes
SELECT provider, round, 'list', 5, true, webhook_bridge.verify(provider, secret,
    jsonb_set(headers, ARRAY[signature_header], to_jsonb(replace(encode(decode(signature, 'hex'), 'base64'), E'\n', ''))),
    body, method, url, at, params)
FROM cases WHERE encoding = 'auto' AND list_separator = '';
-- any time within the window, and none beyond
INSERT INTO outcomes
SELECT provider, round, 'time', number, expected, webhook_bridge.verify(provider, secret, headers, body, method, url,
    at + sign * (tolerance + CASE WHEN expected THEN '0'
                                  WHEN timestamp_format = 'ms' THEN '1 ms' ELSE '1 s' END::interval), params)
FROM cases, (VALUES (1, true, 1), (2, true, -1), (3, false, 1), (4, false, -1)) AS v (number, expected, sign)
WHERE tolerance IS NOT NULL;

-- What has to be refused.  Each character of the signature changed, to another
-- digit and to what is none, ...
INSERT INTO outcomes
SELECT provider, round, 'signature', i, false, webhook_bridge.verify(provider, secret,
    CASE signature_kind WHEN 'header' THEN jsonb_set(headers, ARRAY[signature_header], to_jsonb(changed)) ELSE headers END,
    CASE signature_kind WHEN 'json' THEN convert_to(replace(convert_from(body, 'UTF8'), '"' || signature || '"', '"' || changed || '"'), 'UTF8')
                        ELSE body END,
    method, CASE signature_kind WHEN 'query' THEN replace(url, signature, changed) ELSE url END, at, params)
FROM cases, LATERAL generate_series(1, length(signature)) AS i,
    LATERAL (SELECT CASE j WHEN 1 THEN pg_temp.change(signature, i, other_signature)
                           ELSE overlay(signature PLACING '!' FROM i FOR 1) END AS changed
             FROM generate_series(1, CASE WHEN round < 6 THEN 2 ELSE 1 END) AS j) AS c
WHERE round < 12 OR NOT is_asymmetric;
-- a part of it, and more than it
INSERT INTO outcomes
SELECT provider, round, 'signature', -i, false, webhook_bridge.verify(provider, secret,
    jsonb_set(headers, ARRAY[signature_header], to_jsonb(left(signature, i) || CASE WHEN i = length(signature) THEN 'AA' ELSE '' END)),
    body, method, url, at, params)
FROM cases, LATERAL generate_series(0, length(signature)) AS i
WHERE signature_kind = 'header' AND round < 6;
-- each byte of the body, or 40 of a large one; of forms, each character
INSERT INTO outcomes
SELECT provider, round, 'body', i, false, webhook_bridge.verify(provider, secret, headers,
    CASE WHEN signed_content ~ '{form'
         THEN convert_to(pg_temp.change(form, i + 1), 'UTF8')
         ELSE set_byte(body, i, get_byte(body, i) # (1 + pg_temp.random_int(provider || round || i, 255))) END,
    method, url, at, params)
FROM cases, LATERAL (SELECT CASE WHEN signed_content ~ '{form' THEN convert_from(body, 'UTF8') END AS form) f,
    LATERAL (SELECT i FROM generate_series(0, length(body) - 1) AS i WHERE length(body) < 1000
             UNION ALL
             SELECT pg_temp.random_int(provider || round || i, length(body)) FROM generate_series(1, 40) AS i
             WHERE length(body) >= 1000) AS p (i)
WHERE algorithm <> 'token' AND covered IS NULL;
INSERT INTO outcomes
SELECT provider, round, 'body', -1, false, webhook_bridge.verify(provider, secret, headers, changed, method, url, at, params)
FROM cases, LATERAL (VALUES (body || '\x00'), (substr(body, 1, length(body) - 1))) AS b (changed)
WHERE algorithm <> 'token' AND covered IS NULL AND length(body) > 0;
-- ... or each character of the members of it that are signed
INSERT INTO outcomes
SELECT provider, round, 'body', i, false, webhook_bridge.verify(provider, secret, headers,
    convert_to(replace(convert_from(body, 'UTF8'), member, pg_temp.change(member, i)), 'UTF8'),
    method, url, at, params)
FROM cases, unnest(covered) AS member, generate_series(1, length(member)) AS i;
-- each character of a header that is signed, and its absence
INSERT INTO outcomes
SELECT provider, round, 'header', i, false, webhook_bridge.verify(provider, secret,
    CASE i WHEN 0 THEN headers - key
           ELSE headers || jsonb_build_object(key, pg_temp.change(value, i)) END,
    body, method, url, at, params)
FROM cases, jsonb_each_text(headers) AS h (key, value), generate_series(0, length(value)) AS i
WHERE key <> signature_header;
INSERT INTO outcomes
SELECT provider, round, 'header', -1, false, webhook_bridge.verify(provider, secret,
    headers || jsonb_build_object((regexp_match(signed_content, '{headers_json:([^}]*)}'))[1] || 'Other', ''), body, method, url, at, params)
FROM cases WHERE signed_content ~ '{headers_json:';
-- each character of the URL and of the endpoint's constants, and the method
INSERT INTO outcomes
SELECT provider, round, 'url', i, false, webhook_bridge.verify(provider, secret, headers, body, method,
    pg_temp.change(url, i), at, params)
FROM cases, generate_series(1, length(url)) AS i WHERE NOT any_url;
INSERT INTO outcomes
SELECT provider, round, 'url', 0, false, webhook_bridge.verify(provider, secret, headers, body, 'DELETE', url, at, params)
FROM cases WHERE NOT any_method;
INSERT INTO outcomes
SELECT provider, round, 'url', i, false, webhook_bridge.verify(provider, secret, headers, body, method, url, at,
    params || jsonb_build_object(key, pg_temp.change(value, i)))
FROM cases, jsonb_each_text(params) AS p (key, value), generate_series(1, length(value)) AS i;
-- each character of the secret; another public key
INSERT INTO outcomes
SELECT provider, round, 'secret', i, false, webhook_bridge.verify(provider,
    CASE secret_kind WHEN 'raw' THEN pg_temp.change(secret, i) ELSE pg_temp.change(secret, i, other_secret) END,
    headers, body, method, url, at, params)
FROM cases, generate_series(length(secret_prefix) + 1, length(secret)) AS i
WHERE NOT is_asymmetric AND (secret_kind = 'raw' OR substr(secret, i, 1) <> '=');
INSERT INTO outcomes
SELECT provider, round, 'secret', 0, false, webhook_bridge.verify(provider, other_secret, headers, body, method, url, at, params)
FROM cases WHERE is_asymmetric;

-- How many changes were tried of each part.  Signatures of ECDSA differ in
-- length and so in number.
SELECT provider, count(DISTINCT round) AS rounds,
       count(*) FILTER (WHERE kind = 'body') AS body,
       CASE WHEN bool_and(s.algorithm NOT LIKE 'ecdsa%') THEN count(*) FILTER (WHERE kind = 'signature') END AS signature,
       count(*) FILTER (WHERE kind = 'header') AS header,
       count(*) FILTER (WHERE kind = 'url') AS url,
       count(*) FILTER (WHERE kind = 'secret') AS secret,
       count(*) FILTER (WHERE kind = 'time') AS time,
       count(*) FILTER (WHERE NOT expected AND verified IS DISTINCT FROM false) AS wrongly_accepted,
       count(*) FILTER (WHERE expected AND verified IS DISTINCT FROM true) AS wrongly_refused
FROM outcomes JOIN schemes s ON s.name = provider
GROUP BY provider ORDER BY provider COLLATE "C";

-- providers without a delivery (none)
SELECT name FROM schemes WHERE algorithm <> 'none' AND name NOT IN (SELECT provider FROM deliveries WHERE signature <> '');

-- what was wrong (nothing)
SELECT o.*, method, url, params, at, headers, encode(body, 'hex') AS body, secret
FROM outcomes o JOIN deliveries USING (provider, round)
WHERE expected IS DISTINCT FROM verified ORDER BY provider COLLATE "C", round, kind, number LIMIT 10;

ROLLBACK;
