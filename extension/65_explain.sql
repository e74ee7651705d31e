-- ---------------------------------------------------------------------------
-- Why a signature does not match
-- ---------------------------------------------------------------------------

-- What explain_signature() looks at, and looks at again with one thing changed.
CREATE TYPE webhook_bridge.signed_request AS (
    kind webhook_bridge.providers,
    header_names text[],
    header_values text[],
    body bytea,
    method text,
    url text,
    at timestamptz,
    param_names text[],
    param_values text[]
);
COMMENT ON TYPE webhook_bridge.signed_request IS
'Private: a delivery as it was signed, with the provider''s row';

CREATE FUNCTION webhook_bridge.inspect_signature(
    request webhook_bridge.signed_request,
    secret text,
    OUT verdict text,
    OUT matched boolean,
    OUT problem text,
    OUT signature bytea,
    OUT elements integer,
    OUT candidates integer,
    OUT ts bytea,
    OUT signed_at timestamptz,
    OUT content bytea,
    OUT missing text,
    OUT expected text)
RETURNS record
LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_inspect_signature';
COMMENT ON FUNCTION webhook_bridge.inspect_signature(webhook_bridge.signed_request, text) IS
'Private: verifies as a receiver does and tells what it saw on the way; "problem" says why scheme or secret cannot be used';

CREATE FUNCTION webhook_bridge.fits(request webhook_bridge.signed_request, secret text)
RETURNS boolean
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT (webhook_bridge.inspect_signature(request, secret)).matched;
END;
COMMENT ON FUNCTION webhook_bridge.fits(webhook_bridge.signed_request, text) IS
'Private: whether the signature of a request is right, whenever it was made';

CREATE FUNCTION webhook_bridge.readable(bytes bytea)
RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $$
DECLARE
    shown text;
BEGIN
    BEGIN
        shown := convert_from(bytes, 'UTF8');
    EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
        shown := encode(bytes, 'escape');
    END;
    IF length(shown) > 600 THEN
        shown := format('%s … (%s bytes in all) … %s', left(shown, 400), octet_length(bytes), right(shown, 100));
    END IF;
    RETURN replace(replace(replace(shown, E'\r', '\r'), E'\n', '\n'), E'\t', '\t');
END
$$;
COMMENT ON FUNCTION webhook_bridge.readable(bytea) IS
'Private: bytes as text for people, long ones shortened, line ends and tabs visible';

CREATE FUNCTION webhook_bridge.ascii_json(token text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT string_agg(CASE WHEN code < 128 THEN letter
                           WHEN code < 65536 THEN '\u' || lpad(to_hex(code), 4, '0')
                           ELSE '\u' || to_hex(55296 + (code - 65536) / 1024) || '\u' || to_hex(56320 + (code - 65536) % 1024)
                      END, '' ORDER BY place)
    FROM regexp_split_to_table(token, '') WITH ORDINALITY AS letters (letter, place), ascii(letter) AS code;
END;
COMMENT ON FUNCTION webhook_bridge.ascii_json(text) IS
'Private: JSON text with everything that is not ASCII escaped';

-- White space and escapes can be put back into what was signed; the order of
-- members, once lost, cannot.  The body may be a stranger's: deeply nested, its
-- indentation would grow with the square of its size, so it is left alone.
CREATE FUNCTION webhook_bridge.rewritten_json(body text)
RETURNS SETOF text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $$
BEGIN
    IF length(body) > 100000 OR body !~ '^\s*[{[]' OR body::json IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH tokens AS (
        SELECT match[1] AS token, place, match[1] LIKE '"%' AS is_string,
               CASE WHEN match[1] LIKE '"%' THEN to_json(match[1]::json #>> '{}')::text ELSE match[1] END AS plain
        FROM regexp_matches(body, '"(?:[^"\\]|\\.)*"|[][{}:,]|[^][{}:,"\s]+', 'g') WITH ORDINALITY AS m (match, place)
    ), escaped AS (
        SELECT t.*, CASE WHEN plain ~ '[^\x01-\x7f]' THEN webhook_bridge.ascii_json(plain) ELSE plain END AS ascii
        FROM tokens t
    ), styled AS (
        SELECT place, style, CASE WHEN is_string THEN text ELSE token END AS token
        FROM escaped e, LATERAL (VALUES
            (1, token), (2, plain), (3, e.ascii), (4, replace(plain, '/', '\/')), (5, replace(e.ascii, '/', '\/')))
            AS styles (style, text)
    ), placed AS (
        SELECT s.*, lag(token) OVER w AS before, lead(token) OVER w AS after,
               (sum(CASE WHEN token IN ('{', '[') THEN 1 WHEN token IN ('}', ']') THEN -1 ELSE 0 END) OVER w)::integer AS depth
        FROM styled s
        WINDOW w AS (PARTITION BY style ORDER BY place)
    )
    SELECT DISTINCT string_agg(
        CASE WHEN layout = 'compact' THEN token
             WHEN layout = 'spaced' THEN token || CASE WHEN token IN (',', ':') THEN ' ' ELSE '' END
             WHEN token = ':' THEN ': '
             WHEN token = ',' OR (token IN ('{', '[') AND after NOT IN ('}', ']')) THEN token || line
             WHEN token IN ('}', ']') AND before NOT IN ('{', '[') THEN line || token
             ELSE token
        END, '' ORDER BY place)
    FROM placed, LATERAL (VALUES
        ('compact', ''), ('spaced', ''), ('indented by 2', E'\n' || repeat('  ', depth)), ('by 4', E'\n' || repeat('    ', depth)))
        AS layouts (layout, line)
    WHERE (SELECT max(depth) FROM placed) <= 64
    GROUP BY style, layout;
EXCEPTION WHEN data_exception OR statement_too_complex THEN
    RETURN; -- not JSON, or a string that no text can hold, or nested too deeply
END
$$;
COMMENT ON FUNCTION webhook_bridge.rewritten_json(text) IS
'Private: the usual ways to write the same JSON, one of which a parser and writer may have replaced';

CREATE FUNCTION webhook_bridge.is_jsonb(body bytea)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written text;
BEGIN
    written := convert_from(body, 'UTF8');
    RETURN written LIKE '%: %' AND written = written::jsonb::text;
EXCEPTION WHEN data_exception OR statement_too_complex OR program_limit_exceeded THEN
    RETURN false; -- not JSON, or more than jsonb holds
END
$$;
COMMENT ON FUNCTION webhook_bridge.is_jsonb(bytea) IS
'Private: whether a body is exactly what jsonb makes of it';

CREATE FUNCTION webhook_bridge.changed_bodies(body bytea)
RETURNS TABLE (change text, changed bytea)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $$
DECLARE
    bytes text;
BEGIN
    BEGIN
        -- one character for each byte, so that text functions can be used
        bytes := convert_from(body, 'LATIN1');
        RETURN QUERY
        SELECT c.change, convert_to(c.changed, 'LATIN1')
        FROM (VALUES
            ('without the line end behind it', regexp_replace(bytes, '\r?\n$', '')),
            ('with a line feed behind it', bytes || E'\n'),
            ('with carriage return and line feed behind it', bytes || E'\r\n'),
            ('with line ends LF instead of CR LF', replace(bytes, E'\r\n', E'\n')),
            ('with line ends CR LF instead of LF', regexp_replace(bytes, '\r?\n', E'\r\n', 'g')),
            ('without the white space around it', btrim(bytes, E' \t\r\n')),
            ('without the byte order mark', regexp_replace(bytes, '^\u00ef\u00bb\u00bf', '')),
            ('with a byte order mark', E'\u00ef\u00bb\u00bf' || bytes)) AS c (change, changed)
        WHERE c.changed <> bytes;
    EXCEPTION WHEN data_exception THEN
        NULL; -- it contains a NUL byte
    END;
    BEGIN
        bytes := convert_from(body, 'UTF8');
        RETURN QUERY
        SELECT 'with other white space or escapes: it was parsed and written again, instead of being kept as received',
               convert_to(r, 'UTF8')
        FROM webhook_bridge.rewritten_json(bytes) AS r
        WHERE r <> bytes;
        RETURN QUERY
        SELECT 'encoded as ISO 8859-1 instead of UTF-8', convert_to(bytes, 'LATIN1')
        WHERE bytes ~ '[^\x01-\x7f]';
    EXCEPTION WHEN data_exception THEN
        NULL; -- it is not UTF-8, or not all of it is in ISO 8859-1
    END;
END
$$;
COMMENT ON FUNCTION webhook_bridge.changed_bodies(bytea) IS
'Private: what a body may have been before it was changed on its way';

CREATE FUNCTION webhook_bridge.other_urls(request webhook_bridge.signed_request)
RETURNS SETOF text
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
AS $$
DECLARE
    url constant text := coalesce(request.url, '');
    authority constant text := coalesce(substring(url FROM '^https?://([^/?]*)'), '');
    path constant text := coalesce(substring(url FROM '^https?://[^/?]*([^?]*)'), '');
    query constant text := coalesce(substring(url FROM '\?.*$'), '');
BEGIN
    RETURN QUERY
    WITH headers AS (
        -- a stranger may have sent a hundred: a few are tried
        SELECT lower(n) AS name, v AS value FROM unnest(request.header_names, request.header_values) AS h (n, v)
    ), hosts AS (
        SELECT unnest(ARRAY[authority, regexp_replace(authority, ':\d+$', '')]) AS host
        UNION (SELECT value FROM headers WHERE name IN ('host', 'x-forwarded-host', 'x-original-host') LIMIT 8)
    ), paths AS (
        SELECT unnest(ARRAY[path, rtrim(path, '/'), rtrim(path, '/') || '/']) AS path
        UNION (SELECT split_part(value, '?', 1) FROM headers
               WHERE name IN ('x-forwarded-uri', 'x-original-uri', 'x-original-url') LIMIT 8)
    )
    SELECT DISTINCT s || h.host || port || p.path || q
    FROM hosts h, paths p, unnest(ARRAY['https://', 'http://']) AS s, unnest(ARRAY['', ':443', ':80']) AS port,
         unnest(ARRAY[query, '']) AS q
    WHERE h.host <> '' AND (port = '' OR h.host !~ ':\d+$') AND s || h.host || port || p.path || q <> url;
END
$$;
COMMENT ON FUNCTION webhook_bridge.other_urls(webhook_bridge.signed_request) IS
'Private: URLs under which a provider may know the same endpoint';

CREATE FUNCTION webhook_bridge.plain_name(header_name text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT regexp_replace(replace(lower(header_name), '_', '-'), '^(http-|x-forwarded-|x-original-|x-)+', '');
END;
COMMENT ON FUNCTION webhook_bridge.plain_name(text) IS
'Private: a header''s name without what proxies and frameworks change of it';

-- Headers that the scheme needs and that are there only under a similar name.
CREATE FUNCTION webhook_bridge.renamed_headers(request webhook_bridge.signed_request)
RETURNS TABLE (place bigint, is text, should_be text)
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT DISTINCT ON (h.place) h.place, h.name, needed.match[1]
    FROM unnest((request).header_names) WITH ORDINALITY AS h (name, place),
         regexp_matches(concat_ws(' ', ((request).kind).signature_from, ((request).kind).timestamp_from, ((request).kind).signed_content),
                        'header:([^}? ]+)', 'g') AS needed (match)
    WHERE webhook_bridge.plain_name(h.name) = webhook_bridge.plain_name(needed.match[1])
      AND NOT EXISTS (SELECT FROM unnest((request).header_names) AS given WHERE lower(given) = lower(needed.match[1]))
    ORDER BY h.place, needed.match[1];
END;
COMMENT ON FUNCTION webhook_bridge.renamed_headers(webhook_bridge.signed_request) IS
'Private: headers that something on the way has renamed';

-- A cause is tried before it is named: the sentences that begin with "The
-- signature is right" are certain.
CREATE FUNCTION webhook_bridge.find_cause(
    request webhook_bridge.signed_request, secret text, endpoint text)
RETURNS text
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind constant webhook_bridge.providers := request.kind;
    seen record;
    signature text;
    try webhook_bridge.signed_request := request;
    other webhook_bridge.providers := request.kind;
    item record;
    renamed text;
BEGIN
    SELECT i.* INTO seen FROM webhook_bridge.inspect_signature(request, secret) AS i;
    signature := webhook_bridge.readable(seen.signature);

    -- authentic, and refused all the same
    CASE seen.verdict
        WHEN 'timestamp outside the window' THEN
            RETURN format('The signature is right, but was made %s than the window of %s allows: a clock is wrong, or the delivery is an old one.',
                CASE WHEN seen.signed_at < request.at THEN 'earlier' ELSE 'later' END, kind.tolerance);
        WHEN 'timestamp malformed' THEN
            RETURN format('The signature is right, but the time of signing is not written as "%s": see timestamp_format of provider "%s".',
                kind.timestamp_format, kind.name);
        WHEN 'body does not match its digest' THEN
            RETURN format('The signature is right, but the body is not the one whose digest is at %s: it was changed on its way.',
                kind.body_digest_from);
        WHEN 'several different signatures' THEN
            RETURN format('%s occurs several times with different values: the sender, or something on the way, adds a second one.',
                kind.signature_from);
        ELSE NULL;
    END CASE;

    -- headers under another name
    SELECT string_agg(format('"%s" has become "%s"', r.should_be, r.is), ', ') INTO renamed
    FROM webhook_bridge.renamed_headers(request) AS r;
    IF renamed IS NOT NULL THEN
        FOR item IN SELECT * FROM webhook_bridge.renamed_headers(request) LOOP
            try.header_names[item.place] := item.should_be;
        END LOOP;
        RETURN format('%s renamed on the way, as proxies do: %s.',
            CASE WHEN webhook_bridge.fits(try, secret) THEN 'The signature is right, but headers were' ELSE 'Headers were probably' END,
            renamed);
    END IF;
    IF seen.verdict = 'signature missing' AND kind.signature_from LIKE 'header:%' THEN
        FOR item IN SELECT name, place FROM unnest(request.header_names) WITH ORDINALITY AS h (name, place) LIMIT 100 LOOP
            try := request;
            try.header_names[item.place] := substr(kind.signature_from, 8);
            IF webhook_bridge.fits(try, secret) THEN
                RETURN format('The signature is right, but in header "%s" instead of "%s".', item.name, substr(kind.signature_from, 8));
            END IF;
        END LOOP;
    END IF;

    -- the signature written otherwise
    try := request;
    FOR item IN
        SELECT DISTINCT p.prefix, e.encoding, (p.prefix <> kind.element_prefix)::integer + (e.encoding <> kind.encoding)::integer AS changes
        FROM unnest(ARRAY[kind.element_prefix, '', substring(signature FROM '^[A-Za-z0-9_]{1,20}[=,]')]) AS p (prefix),
             unnest(ARRAY[kind.encoding, 'hex', 'base64', 'base64url']) AS e (encoding)
        WHERE p.prefix IS NOT NULL
        ORDER BY changes
    LOOP
        other.element_prefix := item.prefix;
        other.encoding := item.encoding;
        try.kind := other;
        IF webhook_bridge.fits(try, secret) THEN
            RETURN format('The signature is right, but %s.', concat_ws(' and ',
                CASE WHEN item.prefix = kind.element_prefix THEN NULL
                     WHEN item.prefix = '' THEN format('its prefix "%s" is missing', kind.element_prefix)
                     ELSE format('begins with "%s" instead of "%s"', item.prefix, kind.element_prefix) END,
                CASE WHEN item.encoding <> kind.encoding
                     THEN format('written in %s instead of %s', item.encoding, kind.encoding) END));
        END IF;
    END LOOP;

    -- the secret read otherwise
    other := kind;
    FOR item IN
        SELECT t.*
        FROM (VALUES
            (kind.secret_encoding, btrim(secret, E' \t\r\n'), 'with the secret without the white space around it'),
            (kind.secret_encoding, secret || E'\n', 'with a line feed behind the secret, which the sender seems to read from a file'),
            ('raw', secret, 'with the secret taken as text instead of being decoded'),
            ('raw', regexp_replace(secret, '^[a-z]+_', ''), 'with the secret taken as text without its prefix'),
            ('base64', secret, 'with the secret decoded from base64 instead of being taken as text'),
            ('base64', regexp_replace(secret, '^[a-z]+_', ''), 'with the secret decoded from base64, without its prefix'),
            ('hex', secret, 'with the secret decoded from hexadecimal digits')) AS t (encoding, used, how)
        WHERE t.encoding <> kind.secret_encoding OR t.used <> secret
    LOOP
        other.secret_encoding := item.encoding;
        try.kind := other;
        IF webhook_bridge.fits(try, item.used) THEN
            RETURN format('The signature is right %s.', item.how);
        END IF;
    END LOOP;

    -- another secret
    IF has_table_privilege('webhook_bridge.secrets', 'SELECT') THEN
        FOR item IN
            SELECT s.endpoint, s.label, s.secret, s.expires_at
            FROM webhook_bridge.secrets s
            WHERE s.secret <> find_cause.secret
            ORDER BY s.endpoint IS NOT DISTINCT FROM find_cause.endpoint DESC, s.created_at DESC
            LIMIT 1000
        LOOP
            IF webhook_bridge.fits(request, item.secret) THEN
                RETURN format('The signature is right with secret "%s" of endpoint "%s"%s.', item.label, item.endpoint,
                    CASE WHEN item.expires_at <= request.at THEN ', which had expired' ELSE '' END);
            END IF;
        END LOOP;
    END IF;

    -- another body, or another URL
    try := request;
    FOR item IN SELECT * FROM webhook_bridge.changed_bodies(request.body) LOOP
        try.body := item.changed;
        IF webhook_bridge.fits(try, secret) THEN
            RETURN format('The signature is right for the body %s.', item.change);
        END IF;
    END LOOP;
    IF kind.signed_content LIKE '%{url}%' THEN
        try := request;
        FOR item IN SELECT u AS url FROM webhook_bridge.other_urls(request) AS u LOOP
            try.url := item.url;
            IF webhook_bridge.fits(try, secret) THEN
                RETURN format('The signature is right for the URL %s instead of %s: see webhook_bridge.public_url, and what is registered at the provider.',
                    item.url, coalesce(request.url, '(none)'));
            END IF;
        END LOOP;
    END IF;

    -- another scheme
    try := request;
    FOR other IN SELECT p.* FROM webhook_bridge.providers p WHERE p.algorithm NOT IN ('none', 'token') ORDER BY p.name LOOP
        try.kind := other;
        IF webhook_bridge.fits(try, secret) THEN
            RETURN format('The signature is right as provider "%s" signs.', other.name);
        END IF;
    END LOOP;

    RETURN CASE
        WHEN seen.problem IS NOT NULL THEN 'The secret cannot be used. ' || seen.problem
        WHEN seen.verdict = 'signature missing' THEN
            format('There is no signature at %s: the sender does not sign, or in a way of its own.', kind.signature_from)
        WHEN seen.verdict = 'signature malformed' THEN
            'What is there has not the length or the digits of a signature: it was cut, or is of another kind.'
        WHEN seen.verdict = 'signed content incomplete' THEN
            format('%s has no value in this request, so that what was signed cannot be known.',
                coalesce(nullif(seen.missing, '{ts}'), kind.timestamp_from))
        WHEN kind.algorithm = 'token' THEN 'It is another token.'
        WHEN webhook_bridge.is_jsonb(request.body) THEN
            'The body is as jsonb writes it, which may have changed its white space and the order of its members: the signature needs the bytes as they were received.'
        ELSE 'None of the usual causes fits: most likely the sender signs with another secret, or the body is not the one that was signed.'
    END;
END
$$;
COMMENT ON FUNCTION webhook_bridge.find_cause(webhook_bridge.signed_request, text, text) IS
'Private: why the signature of a request is refused, in a sentence';

CREATE FUNCTION webhook_bridge.explain_request(
    request webhook_bridge.signed_request, labels text[], secrets text[], endpoint text,
    OUT step text, OUT expected text, OUT actual text, OUT ok boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind constant webhook_bridge.providers := request.kind;
    is_token constant boolean := kind.algorithm = 'token';
    best integer;
    seen record;
    compared record;
BEGIN
    step := 'scheme';
    expected := format('provider "%s"', kind.name);
    actual := concat_ws(', ', kind.algorithm, CASE WHEN kind.algorithm NOT IN ('none', 'token') THEN kind.encoding END);
    ok := true;
    RETURN NEXT;
    IF kind.algorithm = 'none' OR cardinality(secrets) = 0 THEN
        step := 'verdict';
        expected := NULL;
        actual := CASE WHEN kind.algorithm = 'none' THEN 'nothing is signed' ELSE 'no secret to verify with' END;
        ok := false;
        RETURN NEXT;
        RETURN;
    END IF;

    -- what does not depend on the secret is shown for the one that fits, or the first
    SELECT coalesce(min(i) FILTER (WHERE webhook_bridge.fits(request, secrets[i])), 1) INTO best
    FROM generate_subscripts(secrets, 1) AS i;
    SELECT i.* INTO seen FROM webhook_bridge.inspect_signature(request, secrets[best]) AS i;

    IF seen.verdict IS NOT NULL THEN
        step := 'signature';
        expected := kind.signature_from;
        actual := CASE WHEN seen.verdict = 'several different signatures' THEN 'several different ones'
                      WHEN seen.signature IS NULL THEN 'nothing'
                      WHEN is_token THEN format('%s bytes', octet_length(seen.signature))
                      ELSE webhook_bridge.readable(seen.signature) END;
        ok := seen.signature IS NOT NULL;
        RETURN NEXT;
        IF seen.signature IS NOT NULL AND NOT is_token THEN
            step := 'elements';
            expected := concat_ws(', ', kind.encoding || ' of the right length',
                CASE WHEN kind.list_separator <> '' THEN format('separated by "%s"', kind.list_separator) END,
                CASE WHEN kind.element_prefix <> '' THEN format('beginning with "%s"', kind.element_prefix) END);
            actual := format('%s of %s', seen.candidates, seen.elements);
            ok := seen.candidates > 0;
            RETURN NEXT;
        END IF;
        IF kind.timestamp_from IS NOT NULL THEN
            step := 'timestamp';
            expected := format('%s, %s', kind.timestamp_from, kind.timestamp_format);
            actual := coalesce(webhook_bridge.readable(seen.ts) || coalesce(', which is ' || seen.signed_at, ''), 'nothing');
            ok := seen.signed_at IS NOT NULL;
            RETURN NEXT;
        END IF;
        IF NOT is_token THEN
            step := 'signed content';
            expected := kind.signed_content;
            actual := coalesce('no value for ' || seen.missing, webhook_bridge.readable(seen.content), 'nothing');
            ok := seen.content IS NOT NULL;
            RETURN NEXT;
        END IF;
    END IF;

    FOR i IN 1 .. cardinality(secrets) LOOP
        SELECT c.* INTO compared FROM webhook_bridge.inspect_signature(request, secrets[i]) AS c;
        step := concat_ws(' ', 'secret', quote_ident(labels[i]));
        expected := CASE WHEN is_token THEN 'the secret itself'
                           ELSE coalesce(compared.expected, 'a signature that the public key confirms') END;
        actual := CASE WHEN compared.problem IS NOT NULL THEN compared.problem
                      WHEN is_token THEN CASE WHEN compared.matched THEN 'the same' ELSE 'another' END
                      ELSE coalesce(webhook_bridge.readable(compared.signature), 'nothing') END;
        ok := compared.matched;
        RETURN NEXT;
    END LOOP;

    IF kind.body_digest_from IS NOT NULL THEN
        step := 'body digest';
        expected := kind.body_digest_from;
        actual := encode(sha256(request.body), 'hex');
        ok := seen.matched AND seen.verdict <> 'body does not match its digest';
        RETURN NEXT;
    END IF;
    IF kind.tolerance IS NOT NULL AND seen.signed_at IS NOT NULL THEN
        step := 'window';
        expected := format('within %s of %s', kind.tolerance, request.at);
        IF isfinite(request.at) THEN
            actual := CASE WHEN seen.signed_at <= request.at THEN format('%s earlier', request.at - seen.signed_at)
                          ELSE format('%s later', seen.signed_at - request.at) END;
            ok := greatest(request.at - seen.signed_at, seen.signed_at - request.at) <= kind.tolerance;
        ELSE
            actual := seen.signed_at::text;
            ok := false;
        END IF;
        RETURN NEXT;
    END IF;

    step := 'verdict';
    expected := NULL;
    actual := coalesce(seen.verdict, 'no secret to verify with');
    ok := actual = 'signature verified';
    RETURN NEXT;
    IF NOT ok THEN
        step := 'diagnosis';
        ok := NULL;
        FOR actual IN
            SELECT DISTINCT webhook_bridge.find_cause(request, s, endpoint)
            FROM unnest(CASE WHEN seen.matched THEN secrets[best:best] ELSE secrets END) AS s
            ORDER BY 1 DESC
        LOOP
            RETURN NEXT;
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.explain_request(webhook_bridge.signed_request, text[], text[], text) IS
'Private: what explain_signature() and explain_rejection() return';

CREATE FUNCTION webhook_bridge.explain_signature(
    provider text,
    secret text,
    headers jsonb,
    body bytea,
    method text DEFAULT 'POST',
    url text DEFAULT NULL,
    at timestamptz DEFAULT now(),
    params jsonb DEFAULT '{}',
    OUT step text,
    OUT expected text,
    OUT actual text,
    OUT ok boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    request webhook_bridge.signed_request;
    kind webhook_bridge.providers;
BEGIN
    IF num_nulls(provider, secret, headers, body, method, at, params) > 0 THEN
        RAISE EXCEPTION 'provider, secret, headers, body, method, at and params must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'An empty body is ''''.';
    END IF;
    SELECT p.* INTO kind FROM webhook_bridge.providers p WHERE p.name = provider;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'provider "%" does not exist', provider
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM webhook_bridge.providers shows those there are; add one with INSERT.';
    END IF;
    IF jsonb_typeof(headers) <> 'object' OR jsonb_typeof(params) <> 'object'
       OR jsonb_path_exists(headers, '$.*[*] ? (@.type() == "object" || @.type() == "array" || @.type() == "null")')
       OR jsonb_path_exists(params, '$.* ? (@.type() == "object" || @.type() == "array" || @.type() == "null")') THEN
        RAISE EXCEPTION '"headers" and "params" must be JSON objects of strings'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'For example {"Content-Type": "application/json"}; an array of strings stands for a repeated header.';
    END IF;

    request.kind := kind;
    request.body := body;
    request.method := method;
    request.url := url;
    request.at := at;
    SELECT coalesce(array_agg(h.key ORDER BY h.key, v.place), '{}'), coalesce(array_agg(v.value ORDER BY h.key, v.place), '{}')
    INTO request.header_names, request.header_values
    FROM jsonb_each(headers) AS h,
         jsonb_array_elements_text(CASE WHEN jsonb_typeof(h.value) = 'array' THEN h.value ELSE jsonb_build_array(h.value) END)
             WITH ORDINALITY AS v (value, place);
    SELECT coalesce(array_agg(p.key ORDER BY p.key), '{}'), coalesce(array_agg(p.value ORDER BY p.key), '{}')
    INTO request.param_names, request.param_values
    FROM jsonb_each_text(params) AS p;
    RETURN QUERY SELECT * FROM webhook_bridge.explain_request(request, ARRAY[NULL::text], ARRAY[secret], NULL);
END
$$;
COMMENT ON FUNCTION webhook_bridge.explain_signature(text, text, jsonb, bytea, text, text, timestamptz, jsonb) IS
'Why verify() says what it says: a row per step with what was expected and what was there, and what is probably wrong. Never shows the secret';

CREATE FUNCTION webhook_bridge.explain_signature(
    provider text,
    secret text,
    headers jsonb,
    body text,
    method text DEFAULT 'POST',
    url text DEFAULT NULL,
    at timestamptz DEFAULT now(),
    params jsonb DEFAULT '{}',
    OUT step text,
    OUT expected text,
    OUT actual text,
    OUT ok boolean)
RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT * FROM webhook_bridge.explain_signature(provider, secret, headers, convert_to(body, 'UTF8'), method, url, at, params);
END;
COMMENT ON FUNCTION webhook_bridge.explain_signature(text, text, jsonb, text, text, text, timestamptz, jsonb) IS
'The same for a body given as text, which is taken as UTF-8';

CREATE FUNCTION webhook_bridge.explain_rejection(
    id bigint,
    OUT step text,
    OUT expected text,
    OUT actual text,
    OUT ok boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    refused webhook_bridge.rejections;
    request webhook_bridge.signed_request;
    kind webhook_bridge.providers;
    labels text[];
    secrets text[];
BEGIN
    SELECT r.* INTO refused FROM webhook_bridge.rejections r WHERE r.id = explain_rejection.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'rejection % does not exist', explain_rejection.id
            USING ERRCODE = 'undefined_object',
                  DETAIL = 'Only the newest rejections of each endpoint are kept.',
                  HINT = 'SELECT id, endpoint, reason FROM webhook_bridge.rejections shows those there are.';
    END IF;
    SELECT p.* INTO STRICT kind
    FROM webhook_bridge.endpoints e JOIN webhook_bridge.providers p ON p.name = e.provider
    WHERE e.name = refused.endpoint;
    SELECT coalesce(array_agg(m.key ORDER BY m.key) FILTER (WHERE m.key IS NOT NULL), '{}'),
           coalesce(array_agg(m.value ORDER BY m.key) FILTER (WHERE m.key IS NOT NULL), '{}'),
           webhook_bridge.base_url() || e.path || coalesce('?' || refused.query, '')
    INTO request.param_names, request.param_values, request.url
    FROM webhook_bridge.endpoints e LEFT JOIN LATERAL jsonb_each_text(e.params) AS m ON true
    WHERE e.name = refused.endpoint
    GROUP BY e.path;
    SELECT coalesce(array_agg(h.key ORDER BY h.place), '{}'), coalesce(array_agg(h.value ORDER BY h.place), '{}')
    INTO request.header_names, request.header_values
    FROM json_each_text(refused.headers) WITH ORDINALITY AS h (key, value, place);
    SELECT coalesce(array_agg(s.label ORDER BY s.created_at DESC, s.label), '{}'),
           coalesce(array_agg(s.secret ORDER BY s.created_at DESC, s.label), '{}')
    INTO labels, secrets
    FROM webhook_bridge.secrets s
    WHERE s.endpoint = refused.endpoint AND (s.expires_at IS NULL OR s.expires_at > refused.rejected_at);
    request.kind := kind;
    request.body := refused.body;
    request.method := refused.method;
    request.at := refused.rejected_at;

    step := 'rejection';
    expected := format('endpoint "%s"', refused.endpoint);
    actual := refused.reason;
    RETURN NEXT;
    IF octet_length(refused.body) < refused.body_size THEN
        step := 'body';
        expected := format('all of its %s bytes', refused.body_size);
        actual := format('its first %s; a signature over it cannot be checked again', octet_length(refused.body));
        ok := false;
        RETURN NEXT;
        IF kind.algorithm <> 'token' OR kind.signature_from LIKE 'json:%' THEN
            -- only what is so whatever the body was: with a part of it no secret fits
            RETURN QUERY
            SELECT * FROM webhook_bridge.explain_request(request, labels, secrets, refused.endpoint) AS e
            WHERE e.step IN ('scheme', 'signature', 'elements', 'timestamp', 'window')
               OR (e.step IN ('verdict', 'diagnosis')
                   AND refused.reason IN ('signature missing', 'signature malformed')
                   AND kind.signature_from NOT LIKE 'json:%');
            RETURN;
        END IF;
    END IF;
    RETURN QUERY SELECT * FROM webhook_bridge.explain_request(request, labels, secrets, refused.endpoint);
END
$$;
COMMENT ON FUNCTION webhook_bridge.explain_rejection(bigint) IS
'The same as explain_signature() for a stored rejection, with the secrets that its endpoint has now';
