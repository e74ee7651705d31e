-- ---------------------------------------------------------------------------
-- Remote webhooks: what the functions of providers are made of
-- ---------------------------------------------------------------------------

-- Those that read an answer take whatever is there and return null where it is
-- not what they look for; those that check what a caller wants raise errors.

CREATE FUNCTION webhook_bridge.url_encode(value text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    -- percent-encoding (RFC 3986, section 2.1)
    SELECT coalesce(string_agg(CASE WHEN chr(get_byte(t.bytes, i)) ~ '[A-Za-z0-9._~-]'
                                    THEN chr(get_byte(t.bytes, i))
                                    ELSE '%' || upper(lpad(to_hex(get_byte(t.bytes, i)), 2, '0')) END,
                               '' ORDER BY i), '')
    FROM (SELECT convert_to(value, 'UTF8') AS bytes) t,
         generate_series(0, octet_length(t.bytes) - 1) AS i;
END;
COMMENT ON FUNCTION webhook_bridge.url_encode(text) IS
'A text as part of a path or query, percent-encoded';

CREATE FUNCTION webhook_bridge.url_with_query(url text, VARIADIC parameters text[])
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT url || coalesce('?' || string_agg(webhook_bridge.url_encode(parameters[i]) || '=' ||
                                             webhook_bridge.url_encode(parameters[i + 1]), '&' ORDER BY i), '')
    FROM generate_series(1, cardinality(parameters) - 1, 2) AS i
    WHERE parameters[i + 1] IS NOT NULL;
END;
COMMENT ON FUNCTION webhook_bridge.url_with_query(text, text[]) IS
'A URL with parameters, given as name, value, name, value; those whose value is null are left out';

-- A JSON text that is nested too deeply, or a number beyond numeric's range,
-- is an error of its own kind each; all mean the same here.
CREATE FUNCTION webhook_bridge.try_json(body text)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN body::jsonb;
EXCEPTION
    WHEN others THEN
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION webhook_bridge.try_json(text) IS
'A text as jsonb, or null if that is not possible';

CREATE FUNCTION webhook_bridge.as_text(value jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN jsonb_typeof(value) IN ('string', 'number', 'boolean') THEN value #>> '{}' END;
END;
COMMENT ON FUNCTION webhook_bridge.as_text(jsonb) IS
'A string, number or boolean as text, else null';

CREATE FUNCTION webhook_bridge.as_boolean(value jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE lower(webhook_bridge.as_text(value))
               WHEN 'true' THEN true
               WHEN '1' THEN true
               WHEN 'false' THEN false
               WHEN '0' THEN false
           END;
END;
COMMENT ON FUNCTION webhook_bridge.as_boolean(jsonb) IS
'true, 1, "true" and "1" as true, their opposites as false, else null';

CREATE FUNCTION webhook_bridge.as_bigint(value jsonb)
RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN webhook_bridge.as_text(value) ~ '^[0-9]{1,18}$'
                THEN webhook_bridge.as_text(value)::bigint END;
END;
COMMENT ON FUNCTION webhook_bridge.as_bigint(jsonb) IS
'A number without sign and fraction, also one in a string, else null';

CREATE FUNCTION webhook_bridge.as_time(value jsonb)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
BEGIN
    IF webhook_bridge.as_text(value) ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?)?$' THEN
        RETURN replace(webhook_bridge.as_text(value), ',', '.')::timestamptz;
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN others THEN
        RETURN NULL;    -- the 30th of February
END
$$;
COMMENT ON FUNCTION webhook_bridge.as_time(jsonb) IS
'A time in ISO 8601 or as in SQL, in UTC unless it says otherwise, else null';

CREATE FUNCTION webhook_bridge.as_time_ms(value jsonb)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT to_timestamp(CASE WHEN webhook_bridge.as_bigint(value) < 253402300800000
                             THEN webhook_bridge.as_bigint(value) / 1000.0 END);
END;
COMMENT ON FUNCTION webhook_bridge.as_time_ms(jsonb) IS
'A time in milliseconds since 1970, else null';

CREATE FUNCTION webhook_bridge.without_empty(members jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}')
    FROM jsonb_each(CASE jsonb_typeof(members) WHEN 'object' THEN members END) AS m
    WHERE m.value NOT IN ('null', '""');
END;
COMMENT ON FUNCTION webhook_bridge.without_empty(jsonb) IS
'A JSON object without the members that are null or an empty string';

CREATE FUNCTION webhook_bridge.without_secrets(raw jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE jsonb_typeof(raw)
               WHEN 'object' THEN raw - '{secret,token,api_key,store_key,client_secret,access_token}'::text[]
               ELSE raw
           END;
END;
COMMENT ON FUNCTION webhook_bridge.without_secrets(jsonb) IS
'A provider''s object without the members that are secrets';

CREATE FUNCTION webhook_bridge.remote_message(body text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    document jsonb := webhook_bridge.try_json(body);
    result text;
BEGIN
    IF document IS NULL THEN
        -- half of a JSON text may contain anything, also a secret
        IF body !~ '^[[:space:]]*[[{"]' THEN
            result := left(body, 4000);
            result := coalesce(substring(result FROM '(?i)<title[^>]*>([^<]*)</title>'),
                               regexp_replace(result, '<[^>]*>', ' ', 'g'));
        END IF;
    ELSIF jsonb_typeof(document) = 'object' THEN
        SELECT string_agg(m.text, '; ' ORDER BY m.place, m.item)
        INTO result
        FROM (SELECT CASE WHEN parts.field IS NULL OR parts.field ~ '^[0-9]+$'
                          THEN v.value #>> '{}'
                          ELSE parts.field || ': ' || (v.value #>> '{}') END AS text,
                     parts.place, row_number() OVER () AS item
              FROM (SELECT 1 AS place, NULL::text AS field, document -> 'message' AS value
                    UNION ALL
                    SELECT 2, NULL, e.value FROM (SELECT document -> 'error' AS value) e
                    WHERE e.value IS DISTINCT FROM document -> 'message'
                    UNION ALL
                    SELECT 3, NULL, document -> 'errors'
                    WHERE jsonb_typeof(document -> 'errors') IS DISTINCT FROM 'object'
                    UNION ALL
                    SELECT 3, f.key, f.value
                    FROM jsonb_each(CASE jsonb_typeof(document -> 'errors')
                                        WHEN 'object' THEN document -> 'errors' END) AS f) AS parts,
                   jsonb_path_query(parts.value, 'strict $.**{0 to 3} ? (@.type() == "string")') AS v(value)) AS m;
    ELSE
        SELECT string_agg(v.value #>> '{}', '; ')
        INTO result
        FROM jsonb_path_query(document, 'strict $.**{0 to 2} ? (@.type() == "string")') AS v(value);
    END IF;
    RETURN nullif(left(btrim(regexp_replace(result, '[[:space:][:cntrl:]]+', ' ', 'g')), 1000), '');
END
$$;
COMMENT ON FUNCTION webhook_bridge.remote_message(text) IS
'What a provider says in an answer that tells of an error, of whatever shape: message, error and errors with the fields they belong to, plain text, or the title of a page';

CREATE FUNCTION webhook_bridge.remote_error(error text, message text)
RETURNS webhook_bridge.remote_webhook
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT ROW(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, error, message)::webhook_bridge.remote_webhook;
END;
COMMENT ON FUNCTION webhook_bridge.remote_error(text, text) IS
'An error as row of a provider''s answer: unauthorized, not_found, already_exists, invalid, rate_limited, server_failure or not_understood';

CREATE FUNCTION webhook_bridge.remote_failure(status integer, body text)
RETURNS webhook_bridge.remote_webhook
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message text := webhook_bridge.remote_message(body);
BEGIN
    RETURN webhook_bridge.remote_error(
        CASE WHEN status IN (401, 403, 407) THEN 'unauthorized'
             -- a page is not what an API answers
             WHEN status = 404 AND body ~ '^[[:space:]]*<' THEN 'not_understood'
             WHEN status IN (404, 410) THEN 'not_found'
             WHEN status = 409 THEN 'already_exists'
             WHEN status = 422 AND message ~* 'already (exists|been taken)' THEN 'already_exists'
             WHEN status = 429 THEN 'rate_limited'
             WHEN status IN (408, 425) THEN 'server_failure'
             WHEN status BETWEEN 400 AND 499 THEN 'invalid'
             WHEN status BETWEEN 500 AND 599 THEN 'server_failure'
             ELSE 'not_understood' END,
        CASE WHEN status BETWEEN 300 AND 399 THEN 'A redirect, which is not followed.' ELSE message END);
END
$$;
COMMENT ON FUNCTION webhook_bridge.remote_failure(integer, text) IS
'The error that the status of an answer stands for, with what its body says';

CREATE FUNCTION webhook_bridge.remote_done(body text)
RETURNS SETOF webhook_bridge.remote_webhook
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF body ~ '^[[:space:]]*<' OR (body ~ '^[[:space:]]*[[{]' AND webhook_bridge.try_json(body) IS NULL) THEN
        RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer is not what tells of success.');
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.remote_done(text) IS
'No row where an answer needs no content, an error where its content is a page or half of a JSON text';

-- RFC 9110, section 10.2.3: a number of seconds, or a date, which is compared with
-- the provider's own clock where the answer has it.
CREATE FUNCTION webhook_bridge.retry_after(headers jsonb)
RETURNS interval
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    wait text := btrim(headers ->> 'retry-after');
BEGIN
    IF wait ~ '^[0-9]{1,9}([.][0-9]{1,9})?$' THEN
        RETURN make_interval(secs => wait::double precision);
    ELSIF wait ~ '^[A-Za-z]{3,9}, ' THEN
        RETURN greatest(wait::timestamptz - coalesce((headers ->> 'date')::timestamptz, clock_timestamp()), interval '0');
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN others THEN
        RETURN NULL;    -- no such day
END
$$;
COMMENT ON FUNCTION webhook_bridge.retry_after(jsonb) IS
'Private: how long the provider asks to wait in the headers of its answer; null: it does not say';

CREATE FUNCTION webhook_bridge.next_page(previous jsonb, next jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN next ? 'skip' THEN (
               SELECT CASE WHEN s.skip >= coalesce(webhook_bridge.as_bigint(next -> 'total'), s.skip + 1) THEN NULL
                           ELSE next || jsonb_build_object('skip', s.skip) END
               FROM (SELECT coalesce(webhook_bridge.as_bigint(previous -> 'skip'), 0) +
                            coalesce(webhook_bridge.as_bigint(next -> 'skip'), 0) AS skip) s)
           ELSE next END;
END;
COMMENT ON FUNCTION webhook_bridge.next_page(jsonb, jsonb) IS
'Private: the page to ask for after the previous one, from the next_page of its answer. A member "skip" is added up over the pages, and ends where it reaches a member "total"; everything else is passed on as it is';

CREATE FUNCTION webhook_bridge.check_options(what text, given jsonb, VARIADIC allowed text[])
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown text;
BEGIN
    given := coalesce(nullif(given, 'null'), '{}');
    IF jsonb_typeof(given) <> 'object' THEN
        RAISE EXCEPTION '% are not a JSON object', what
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('They are of type %s.', jsonb_typeof(given)),
                  HINT = 'An empty object is {}.';
    END IF;
    SELECT k INTO unknown FROM jsonb_object_keys(given) AS k WHERE k <> ALL (allowed) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% have no member "%"', what, left(unknown, 80)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = CASE cardinality(allowed) WHEN 0 THEN 'There are none.'
                           ELSE format('There are: %s.', array_to_string(allowed, ', ')) END,
                  HINT = 'Nothing was sent.';
    END IF;
    RETURN given;
END
$$;
COMMENT ON FUNCTION webhook_bridge.check_options(text, jsonb, text[]) IS
'A JSON object, empty for null, after a check that it has no other members than those that are allowed';

CREATE FUNCTION webhook_bridge.bad_option(option text, detail text, hint text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'invalid value of "%"', option
        USING ERRCODE = 'invalid_parameter_value', DETAIL = detail, HINT = hint;
END
$$;
COMMENT ON FUNCTION webhook_bridge.bad_option(text, text, text) IS
'Raises the error for something that a provider''s management API does not take, before it is sent';

CREATE FUNCTION webhook_bridge.needed(webhook jsonb, member text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    value text := webhook_bridge.as_text(webhook -> member);
BEGIN
    -- dots would be taken for steps of a path
    IF coalesce(value, '') IN ('', '.', '..') THEN
        RAISE EXCEPTION 'the provider needs "%"', member
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is null or empty, or not a text.',
                  HINT = 'Nothing was sent.';
    END IF;
    RETURN value;
END
$$;
COMMENT ON FUNCTION webhook_bridge.needed(jsonb, text) IS
'A member of what a caller wants, after a check that it is there';
