-- ---------------------------------------------------------------------------
-- Self-test
-- ---------------------------------------------------------------------------

-- Written before a sample is sent and deleted with all that came of it, so that
-- whatever interrupts a self-test, somebody later knows what to remove.
CREATE TABLE webhook_bridge.self_tests (
    token text NOT NULL,
    endpoint text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    after_id bigint NOT NULL,
    CONSTRAINT self_tests_pkey PRIMARY KEY (token)
);
COMMENT ON TABLE webhook_bridge.self_tests IS
'Self-tests that are under way; a row of one that was interrupted is removed by the keeper or the next one, with what it has left behind';
COMMENT ON INDEX webhook_bridge.self_tests_pkey IS 'One row for each';
COMMENT ON COLUMN webhook_bridge.self_tests.token IS 'What its sample has in a header and its consumer in its name';
COMMENT ON COLUMN webhook_bridge.self_tests.endpoint IS 'Name of the endpoint';
COMMENT ON COLUMN webhook_bridge.self_tests.begun_at IS 'When it began; its event is not older';
COMMENT ON COLUMN webhook_bridge.self_tests.after_id IS 'The id of its event is greater';

CREATE FUNCTION webhook_bridge.self_test(
    endpoint text,
    OUT step text,
    OUT ok boolean,
    OUT milliseconds double precision,
    OUT detail text)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_self_test';
COMMENT ON FUNCTION webhook_bridge.self_test(text) IS
'Sends a sample delivery to an endpoint through its listener and follows it to the row, the notification and a consumer of its own; a row per step, ok is null where a step could not be tried. Other consumers are not offered the sample, and nothing of it remains';

CREATE FUNCTION webhook_bridge.settle_self_test(token text)
RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_settle_self_test';
COMMENT ON FUNCTION webhook_bridge.settle_self_test(text) IS
'Private: whether a self-test is over; then waits until no receiver is storing its sample any more';

CREATE FUNCTION webhook_bridge.remove_self_tests()
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    test webhook_bridge.self_tests;
    event webhook_bridge.events;
    removed integer := 0;
BEGIN
    FOR test IN SELECT t.* FROM webhook_bridge.self_tests t FOR UPDATE SKIP LOCKED LOOP
        CONTINUE WHEN NOT webhook_bridge.settle_self_test(test.token);
        FOR event IN
            DELETE FROM webhook_bridge.events e
            WHERE e.endpoint = test.endpoint AND e.id > test.after_id AND e.received_at > test.begun_at - interval '1 hour'
              AND e.headers ->> 'Webhook-Bridge-Self-Test' = test.token
            RETURNING e.*
        LOOP
            DELETE FROM webhook_bridge.dedup d USING webhook_bridge.endpoints e
            WHERE e.name = event.endpoint AND d.endpoint = e.id AND d.key = webhook_bridge.ledger_key(event.external_id) AND d.event_id = event.id;
            IF NOT FOUND THEN
                -- recognised by its content: the event does not say what its key is
                DELETE FROM webhook_bridge.dedup d USING webhook_bridge.endpoints e
                WHERE e.name = event.endpoint AND d.endpoint = e.id AND d.event_id = event.id;
            END IF;
        END LOOP;
        PERFORM webhook_bridge.drop_consumer(c.name) FROM webhook_bridge.consumers c WHERE c.name = 'self_test' || test.token;
        DELETE FROM webhook_bridge.self_tests t WHERE t.token = test.token;
        removed := removed + 1;
    END LOOP;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION webhook_bridge.remove_self_tests() IS
'Private: removes events, ledger rows and consumers of self-tests that are over, and returns of how many';

-- Member at a path, as in {json:a.0.b}, with what is missing on the way.
CREATE FUNCTION webhook_bridge.with_member(document jsonb, path text[], value jsonb)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_array constant boolean := path[1] ~ '^[0-9]{1,3}$' AND coalesce(jsonb_typeof(document), 'array') <> 'object';
    member jsonb;
BEGIN
    IF cardinality(path) = 0 THEN
        RETURN value;
    ELSIF is_array THEN
        document := CASE jsonb_typeof(document) WHEN 'array' THEN document ELSE '[]' END;
        member := webhook_bridge.with_member(document -> path[1]::integer, path[2:], value);
        WHILE jsonb_array_length(document) <= path[1]::integer LOOP
            document := document || 'null'::jsonb;
        END LOOP;
        RETURN jsonb_set(document, path[1:1], member);
    END IF;
    document := CASE jsonb_typeof(document) WHEN 'object' THEN document ELSE '{}' END;
    RETURN document || jsonb_build_object(path[1], webhook_bridge.with_member(document -> path[1], path[2:], value));
END
$$;
COMMENT ON FUNCTION webhook_bridge.with_member(jsonb, text[], jsonb) IS
'Private: a JSON document with a value at a path';

-- What the provider's templates look for is what the sample has.
CREATE FUNCTION webhook_bridge.make_sample(
    endpoint text,
    token text,
    OUT problem text,
    OUT summary text,
    OUT expected text,
    OUT channel text,
    OUT notify text,
    OUT target text,
    OUT header_names text[],
    OUT header_values text[],
    OUT body bytea)
RETURNS record
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    place webhook_bridge.endpoints;
    kind webhook_bridge.providers;
    key webhook_bridge.secrets;
    filler constant text := 'self-test-' || left(token, 16);
    now_at constant timestamptz := clock_timestamp();
    templates text;
    spot record;
    document jsonb;
    headers jsonb := jsonb_build_object('Webhook-Bridge-Self-Test', token);
    query jsonb := '{}';
    url text;
BEGIN
    SELECT e.* INTO place FROM webhook_bridge.endpoints e WHERE e.name = endpoint;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'endpoint "%" does not exist', endpoint
            USING ERRCODE = 'undefined_object',
                  DETAIL = 'One that a transaction has created exists for others when it has been committed.',
                  HINT = 'SELECT name FROM webhook_bridge.endpoints shows those there are.';
    END IF;
    SELECT p.* INTO STRICT kind FROM webhook_bridge.providers p WHERE p.name = place.provider;
    SELECT s.* INTO key FROM webhook_bridge.secrets s
    WHERE s.endpoint = endpoint AND (s.expires_at IS NULL OR s.expires_at > now_at)
    ORDER BY s.created_at DESC, s.label LIMIT 1;
    channel := place.channel;
    notify := place.notify;

    expected := CASE WHEN kind.algorithm IN ('ed25519', 'ecdsa-p256-sha256', 'rsa-sha256')
                         THEN CASE WHEN place.allow_unverified THEN 'unverified' ELSE 'refused' END
                     WHEN kind.algorithm = 'none' OR key.secret IS NULL THEN 'unverified'
                     ELSE 'verified' END;
    summary := format('provider "%s", ', kind.name) ||
               CASE WHEN expected = 'verified' THEN format('signed with secret "%s"', key.label)
                    WHEN kind.algorithm = 'none' THEN 'which signs nothing'
                    WHEN expected = 'refused' OR key.secret IS NOT NULL THEN 'not signed: only the provider has the private key'
                    ELSE 'not signed for want of a valid secret' END;
    IF NOT place.enabled THEN
        problem := format('The endpoint is disabled: UPDATE webhook_bridge.endpoints SET enabled = true WHERE name = %L.', endpoint);
        RETURN;
    ELSIF key.secret IS NULL AND NOT place.allow_unverified THEN
        problem := 'The endpoint has no valid secret, so that every delivery is refused: add one with webhook_bridge.add_secret().';
        RETURN;
    END IF;

    -- where the templates look, and what they shall find
    FOR spot IN
        WITH wanted (rank, template, value) AS (VALUES
            (1, '{' || kind.timestamp_from || '}', CASE kind.timestamp_format
                 WHEN 's' THEN floor(extract(epoch FROM now_at))::text
                 WHEN 'ms' THEN floor(extract(epoch FROM now_at) * 1000)::text
                 ELSE to_char(now_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END),
            (2, kind.external_id_from, filler),
            (3, kind.occurred_at_from, CASE kind.occurred_at_format
                 WHEN 's' THEN floor(extract(epoch FROM now_at))::text
                 WHEN 'ms' THEN floor(extract(epoch FROM now_at) * 1000)::text
                 ELSE to_char(now_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END),
            (4, kind.topic_from, 'self_test'),
            (5, kind.source_from, filler),
            (6, kind.webhook_remote_id_from, filler),
            (7, kind.signed_content, filler))
        SELECT DISTINCT ON (part[1], CASE part[1] WHEN 'header' THEN lower(part[2]) ELSE part[2] END)
               part[1] AS place, part[2] AS name, w.value
        FROM wanted w, regexp_matches(replace(w.template, '{{', ''), '\{(header|json|query):([^}?]+)\??\}', 'g') AS part
        ORDER BY part[1], CASE part[1] WHEN 'header' THEN lower(part[2]) ELSE part[2] END, w.rank
    LOOP
        CASE spot.place
            WHEN 'header' THEN headers := headers || jsonb_build_object(spot.name, spot.value);
            WHEN 'query' THEN query := query || jsonb_build_object(spot.name, spot.value);
            ELSE document := webhook_bridge.with_member(document, string_to_array(spot.name, '.'), to_jsonb(spot.value));
        END CASE;
    END LOOP;
    IF coalesce(jsonb_typeof(document), 'object') = 'object' THEN
        document := coalesce(document, '{}') || jsonb_build_object('webhook_bridge_self_test', filler);
    END IF;
    IF kind.signed_content LIKE '%{form_sorted}%' THEN
        headers := headers || '{"Content-Type": "application/x-www-form-urlencoded"}';
        body := convert_to('SelfTest=' || filler, 'UTF8');
        document := NULL;
    ELSE
        headers := headers || '{"Content-Type": "application/json"}';
        body := convert_to(document::text, 'UTF8');
    END IF;
    IF kind.body_digest_from LIKE 'header:%' THEN
        headers := headers || jsonb_build_object(substr(kind.body_digest_from, 8), encode(sha256(body), 'hex'));
    ELSIF kind.body_digest_from LIKE 'query:%' THEN
        query := query || jsonb_build_object(substr(kind.body_digest_from, 7), encode(sha256(body), 'hex'));
    END IF;

    IF expected = 'verified' THEN
        url := webhook_bridge.url_with_query(webhook_bridge.base_url() || place.path, VARIADIC (
                   SELECT coalesce(array_agg(v.part ORDER BY q.key, v.number), '{}')
                   FROM jsonb_each_text(query) AS q, LATERAL (VALUES (1, q.key), (2, q.value)) AS v (number, part)));
        headers := webhook_bridge.sign(kind.name, key.secret, body, headers, url => url, at => now_at, params => place.params);
        IF kind.signature_from LIKE 'query:%' THEN
            query := query || jsonb_build_object(substr(kind.signature_from, 7), headers ->> kind.signature_from);
        ELSIF kind.signature_from LIKE 'json:%' THEN
            body := convert_to(webhook_bridge.with_member(
                        document, string_to_array(substr(kind.signature_from, 6), '.'), headers -> kind.signature_from)::text, 'UTF8');
        END IF;
        headers := headers - CASE WHEN kind.signature_from LIKE 'header:%' THEN '' ELSE kind.signature_from END;
    END IF;
    target := webhook_bridge.url_with_query(place.path, VARIADIC (
                  SELECT coalesce(array_agg(v.part ORDER BY q.key, v.number), '{}')
                  FROM jsonb_each_text(query) AS q, LATERAL (VALUES (1, q.key), (2, q.value)) AS v (number, part)));
    SELECT array_agg(h.key ORDER BY h.key), array_agg(h.value ORDER BY h.key)
    INTO header_names, header_values
    FROM jsonb_each_text(headers) AS h;
END
$$;
COMMENT ON FUNCTION webhook_bridge.make_sample(text, text) IS
'Private: the sample that self_test() sends, signed as the provider would, or why there is none';

CREATE FUNCTION webhook_bridge.begin_self_test(endpoint text, token text)
RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO webhook_bridge.self_tests (token, endpoint, after_id)
    SELECT begin_self_test.token, begin_self_test.endpoint, i.last_value - (NOT i.is_called)::integer
    FROM webhook_bridge.event_ids i;
    -- no topic is like that: it gets the sample and nothing else
    PERFORM webhook_bridge.create_consumer('self_test' || token, ARRAY[endpoint], topics => ARRAY[token]);
END
$$;
COMMENT ON FUNCTION webhook_bridge.begin_self_test(text, text) IS
'Private: notes a self-test and makes its consumer';

CREATE FUNCTION webhook_bridge.find_sample(
    token text, body bytea, expected text,
    OUT problem text,
    OUT summary text,
    OUT event_id bigint)
RETURNS record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    event webhook_bridge.events;
BEGIN
    SELECT e.* INTO event
    FROM webhook_bridge.self_tests t JOIN webhook_bridge.events e ON e.endpoint = t.endpoint AND e.id > t.after_id
    WHERE t.token = token AND e.received_at > t.begun_at - interval '1 hour'
      AND e.headers ->> 'Webhook-Bridge-Self-Test' = token;
    event_id := event.id;
    IF event_id IS NULL THEN
        problem := 'It was answered 200 and is not in webhook_bridge.events: something on the way to the receiver has changed its headers, or a trigger has deleted it.';
    ELSIF webhook_bridge.event_body(event) IS DISTINCT FROM body THEN
        problem := format('The body was stored with other bytes (%s instead of %s): a trigger on webhook_bridge.events has changed it.',
                          octet_length(webhook_bridge.event_body(event)), octet_length(body));
    ELSIF event.verified <> (expected = 'verified') THEN
        problem := format('It was stored as %s: compare the endpoint''s secrets with those that were there when the self-test began.',
                          CASE WHEN event.verified THEN 'verified' ELSE 'not verified' END);
    END IF;
    summary := concat_ws(', ', format('event %s', event.id), format('%s bytes', octet_length(body)),
        CASE WHEN event.verified THEN format('verified with secret "%s"', event.secret_label) ELSE 'not verified' END,
        CASE WHEN event.topic IS NOT NULL THEN format('topic "%s"', left(event.topic, 100)) END);
END
$$;
COMMENT ON FUNCTION webhook_bridge.find_sample(text, bytea, text) IS
'Private: the event of a self-test''s sample, and what is wrong with it';

CREATE FUNCTION webhook_bridge.consume_sample(token text, event_id bigint)
RETURNS text
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    consumer constant text := 'self_test' || token;
    ids bigint[];
BEGIN
    SELECT coalesce(array_agg(e.id), '{}') INTO ids FROM webhook_bridge.fetch_events(consumer, 10, interval '1 minute') AS e;
    IF ids = '{}' THEN
        RETURN 'fetch_events() does not return the event.';
    ELSIF ids <> ARRAY[event_id] THEN
        RETURN format('fetch_events() returns %s instead of %s.', ids, event_id);
    ELSIF webhook_bridge.ack_events(consumer, ids) <> 1 THEN
        RETURN 'ack_events() does not acknowledge the event.';
    ELSIF EXISTS (SELECT FROM webhook_bridge.fetch_events(consumer, 10, interval '1 minute')) THEN
        RETURN 'fetch_events() returns the event again after ack_events().';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION webhook_bridge.consume_sample(text, bigint) IS
'Private: fetches and acknowledges a self-test''s event as its consumer; null if all is well';
