-- ---------------------------------------------------------------------------
-- Consumers
-- ---------------------------------------------------------------------------

CREATE SEQUENCE webhook_bridge.consumer_ids AS integer;
COMMENT ON SEQUENCE webhook_bridge.consumer_ids IS 'Ids of consumers';
SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.consumer_ids', '');

CREATE FUNCTION webhook_bridge.like_patterns(topics text[])
RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT array_agg(replace(regexp_replace(t.topic, '([\\%_])', '\\\1', 'g'), '*', '%') ORDER BY t.number)
    FROM unnest(topics) WITH ORDINALITY AS t (topic, number);
END;
COMMENT ON FUNCTION webhook_bridge.like_patterns(text[]) IS
'Private: patterns of topics, in which * stands for any characters, as patterns of LIKE';

CREATE TABLE webhook_bridge.consumers (
    name text PRIMARY KEY,
    id integer NOT NULL DEFAULT nextval('webhook_bridge.consumer_ids')
        CONSTRAINT consumers_id_key UNIQUE,
    endpoints text[],
    topics text[],
    patterns text[] GENERATED ALWAYS AS (webhook_bridge.like_patterns(topics)) STORED,
    order_by text,
    max_attempts integer NOT NULL DEFAULT 10,
    backlog_of xid8,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE webhook_bridge.consumers IS 'Named readers of events, each with its own progress';
COMMENT ON COLUMN webhook_bridge.consumers.name IS 'Name';
COMMENT ON COLUMN webhook_bridge.consumers.id IS 'What stands for the name in queue and attempts';
COMMENT ON COLUMN webhook_bridge.consumers.endpoints IS 'Endpoints whose events it gets; null: all, also later ones';
COMMENT ON COLUMN webhook_bridge.consumers.topics IS
'Topics that it gets, where * stands for any characters; null: all, also events without a topic';
COMMENT ON COLUMN webhook_bridge.consumers.patterns IS 'The same for LIKE';
COMMENT ON COLUMN webhook_bridge.consumers.order_by IS
'What events have to have in common to be handled one after the other: source, or a path in the payload such as payload.order.id; null: nothing';
COMMENT ON COLUMN webhook_bridge.consumers.max_attempts IS 'How often an event is handed out before it is dead';
COMMENT ON COLUMN webhook_bridge.consumers.backlog_of IS
'The transaction that created it, if what was stored before it has still to be queued; else null';
COMMENT ON COLUMN webhook_bridge.consumers.created_at IS 'When it was created';
SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.consumers', '');

CREATE FUNCTION webhook_bridge.check_endpoints(consumer text, names text[])
RETURNS void
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown text;
BEGIN
    SELECT u.name INTO unknown FROM unnest(names) u (name)
    WHERE NOT EXISTS (SELECT FROM webhook_bridge.endpoints e WHERE e.name = u.name);
    IF FOUND THEN
        RAISE EXCEPTION 'endpoint "%" does not exist', unknown
            USING ERRCODE = 'undefined_object',
                  DETAIL = format('It is one of the endpoints of consumer "%s".', consumer),
                  HINT = 'SELECT name FROM webhook_bridge.endpoints shows those there are.';
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.check_endpoints(text, text[]) IS
'Private: refuses endpoints that do not exist for a consumer';

CREATE FUNCTION webhook_bridge.check_consumer()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (NEW.name ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$') IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid consumer name "%"', left(NEW.name, 80)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'A name has 1 to 63 letters, digits, underscores and hyphens, and starts with a letter or digit.',
                  HINT = 'For example "billing".';
    END IF;
    IF NEW.endpoints = '{}' OR NEW.topics = '{}'
       OR array_position(NEW.endpoints, NULL) IS NOT NULL OR array_position(NEW.topics, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'consumer "%" would get no events', NEW.name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'Its endpoints or topics are an empty array or contain null.',
                  HINT = 'Null instead of an array stands for all.';
    END IF;
    -- not for INSERT, by which consumers are restored before endpoints
    IF TG_OP = 'UPDATE' AND NEW.endpoints IS DISTINCT FROM OLD.endpoints THEN
        PERFORM webhook_bridge.check_endpoints(NEW.name, ARRAY(
            SELECT u.name FROM unnest(NEW.endpoints) u (name)
            WHERE u.name <> ALL (coalesce(OLD.endpoints, '{}'))));
    END IF;
    IF NEW.order_by IS NOT NULL AND NEW.order_by !~ '^(source|payload([.][^.]+)+)$' THEN
        RAISE EXCEPTION 'invalid value for order_by: "%"', left(NEW.order_by, 80)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is neither "source" nor a path in the payload.',
                  HINT = 'For example "payload.order.id".';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.order_by IS DISTINCT FROM OLD.order_by OR NEW.id <> OLD.id) THEN
        RAISE EXCEPTION 'order_by of consumer "%" cannot be changed', OLD.name
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = 'Its events are queued by it.',
                  HINT = 'Create another consumer.';
    END IF;
    IF NEW.max_attempts < 1 THEN
        RAISE EXCEPTION 'invalid value for max_attempts: %', NEW.max_attempts
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is less than 1.',
                  HINT = 'With 1, an event that fails once is dead.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION webhook_bridge.check_consumer() IS
'Private: refuses consumers that cannot work, with an error that says why';

CREATE TRIGGER check_consumer
    BEFORE INSERT OR UPDATE ON webhook_bridge.consumers
    FOR EACH ROW EXECUTE FUNCTION webhook_bridge.check_consumer();
COMMENT ON TRIGGER check_consumer ON webhook_bridge.consumers IS 'Refuses consumers that cannot work';

CREATE TRIGGER invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON webhook_bridge.consumers
    FOR EACH STATEMENT EXECUTE FUNCTION webhook_bridge.invalidate();
COMMENT ON TRIGGER invalidate ON webhook_bridge.consumers IS 'Makes changes take effect in the receivers';

CREATE FUNCTION webhook_bridge.follow_endpoint()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE webhook_bridge.consumers c SET endpoints = array_replace(c.endpoints, OLD.name, NEW.name)
    WHERE OLD.name = ANY (c.endpoints);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION webhook_bridge.follow_endpoint() IS 'Private: lets consumers follow an endpoint that is renamed';

CREATE TRIGGER follow_endpoint
    AFTER UPDATE OF name ON webhook_bridge.endpoints
    FOR EACH ROW EXECUTE FUNCTION webhook_bridge.follow_endpoint();
COMMENT ON TRIGGER follow_endpoint ON webhook_bridge.endpoints IS 'Lets consumers follow an endpoint that is renamed';

-- What a consumer has still to get.  The transaction that stores events queues
-- them too, many of them up to 16 in a row, so that a consumer costs a delivery
-- little; who fetches of a row locks it, and others pass it by.
CREATE TABLE webhook_bridge.queue (
    consumer integer NOT NULL,
    position bigint NOT NULL,
    received_at timestamptz NOT NULL,
    ids bigint[] NOT NULL,
    key text COLLATE "C",
    CONSTRAINT queue_pkey PRIMARY KEY (consumer, position)
);
CREATE UNIQUE INDEX queue_key_idx ON webhook_bridge.queue (consumer, key, position) WHERE key IS NOT NULL;
COMMENT ON TABLE webhook_bridge.queue IS 'Events that consumers have still to fetch';
COMMENT ON INDEX webhook_bridge.queue_pkey IS 'Finds the next of a consumer';
COMMENT ON INDEX webhook_bridge.queue_key_idx IS 'Finds the next of a key, and the next key';
COMMENT ON COLUMN webhook_bridge.queue.consumer IS 'Id of the consumer';
COMMENT ON COLUMN webhook_bridge.queue.position IS 'The first of ids';
COMMENT ON COLUMN webhook_bridge.queue.received_at IS 'When they were received; with it an event is found';
COMMENT ON COLUMN webhook_bridge.queue.ids IS 'Ids of events, in ascending order';
COMMENT ON COLUMN webhook_bridge.queue.key IS
'With order_by: its value, cut at 200 characters, or # and the id of an event that has none; the event is then alone in its row';
SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.queue', '');

CREATE TABLE webhook_bridge.attempts (
    consumer integer NOT NULL,
    event_id bigint NOT NULL,
    received_at timestamptz NOT NULL,
    key text COLLATE "C",
    attempts integer NOT NULL,
    due_at timestamptz,
    in_flight boolean NOT NULL,
    failed_at timestamptz,
    error text,
    CONSTRAINT attempts_pkey PRIMARY KEY (consumer, event_id)
);
CREATE INDEX attempts_due_idx ON webhook_bridge.attempts (due_at, consumer) WHERE due_at IS NOT NULL;
CREATE INDEX attempts_key_idx ON webhook_bridge.attempts (consumer, key) WHERE key IS NOT NULL AND due_at IS NOT NULL;
COMMENT ON TABLE webhook_bridge.attempts IS 'Events that consumers have fetched and not acknowledged';
COMMENT ON INDEX webhook_bridge.attempts_pkey IS 'Finds what is acknowledged';
COMMENT ON INDEX webhook_bridge.attempts_due_idx IS 'Finds what is to be handed out again';
COMMENT ON INDEX webhook_bridge.attempts_key_idx IS 'Tells whether an event of a key is being handled';
COMMENT ON COLUMN webhook_bridge.attempts.consumer IS 'Id of the consumer';
COMMENT ON COLUMN webhook_bridge.attempts.event_id IS 'The event';
COMMENT ON COLUMN webhook_bridge.attempts.received_at IS 'When it was received; with it an event is found';
COMMENT ON COLUMN webhook_bridge.attempts.key IS 'As in queue';
COMMENT ON COLUMN webhook_bridge.attempts.attempts IS 'How often it was fetched';
COMMENT ON COLUMN webhook_bridge.attempts.due_at IS
'When it is handed out again: at the end of the lease or of the pause after a failure; null: it is dead';
COMMENT ON COLUMN webhook_bridge.attempts.in_flight IS 'Whether it is being handled, under a lease';
COMMENT ON COLUMN webhook_bridge.attempts.failed_at IS 'When it failed last';
COMMENT ON COLUMN webhook_bridge.attempts.error IS 'How it failed last';
SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.attempts', '');

-- Rows come and go: what is dead is to be taken away before it is in the way.
ALTER TABLE webhook_bridge.queue SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
ALTER TABLE webhook_bridge.attempts SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);

CREATE FUNCTION webhook_bridge.consumer_row(name text)
RETURNS webhook_bridge.consumers
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result webhook_bridge.consumers;
BEGIN
    IF name IS NULL THEN
        RAISE EXCEPTION 'consumer must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT c.* INTO result FROM webhook_bridge.consumers c WHERE c.name = consumer_row.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'consumer "%" does not exist', name
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM webhook_bridge.consumers shows those there are.';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION webhook_bridge.consumer_row(text) IS 'Private: the consumer of a name, or an error that there is none';

-- A receiver learns that a consumer is gone when that is committed, and what it
-- has queued meanwhile stays behind, until the next one is created or dropped or
-- the keeper comes.  So does what is left by DELETE.
CREATE FUNCTION webhook_bridge.sweep_queue()
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    DELETE FROM webhook_bridge.queue q
    WHERE NOT EXISTS (SELECT FROM webhook_bridge.consumers c WHERE c.id = q.consumer);
    -- locked in the order in which ack_events() does it
    WITH left_over AS (
        SELECT a.consumer, a.event_id FROM webhook_bridge.attempts a
        WHERE NOT EXISTS (SELECT FROM webhook_bridge.consumers c WHERE c.id = a.consumer)
        ORDER BY a.consumer, a.event_id FOR UPDATE
    )
    DELETE FROM webhook_bridge.attempts a USING left_over l
    WHERE a.consumer = l.consumer AND a.event_id = l.event_id;
END;
COMMENT ON FUNCTION webhook_bridge.sweep_queue() IS
'Private: removes what is left of consumers that are gone';

CREATE FUNCTION webhook_bridge.create_consumer(
    name text,
    endpoints text[] DEFAULT NULL,
    topics text[] DEFAULT NULL,
    starting text DEFAULT 'now',
    order_by text DEFAULT NULL,
    max_attempts integer DEFAULT 10)
RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF name IS NULL OR starting IS NULL OR max_attempts IS NULL THEN
        RAISE EXCEPTION 'name, starting and max_attempts must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF starting NOT IN ('now', 'earliest') THEN
        RAISE EXCEPTION 'invalid value for starting: "%"', left(starting, 80)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is neither "now" nor "earliest".',
                  HINT = 'With "earliest", the consumer also gets the events that are already stored.';
    END IF;
    IF EXISTS (SELECT FROM webhook_bridge.consumers c WHERE c.name = name) THEN
        RAISE EXCEPTION 'consumer "%" already exists', name
            USING ERRCODE = 'duplicate_object',
                  HINT = 'Drop it with webhook_bridge.drop_consumer(), or choose another name.';
    END IF;
    PERFORM webhook_bridge.check_endpoints(name, endpoints);
    PERFORM webhook_bridge.sweep_queue();
    INSERT INTO webhook_bridge.consumers (name, endpoints, topics, order_by, max_attempts, backlog_of)
    VALUES (name, endpoints, topics, order_by, max_attempts,
            CASE starting WHEN 'earliest' THEN pg_current_xact_id() END);
END
$$;
COMMENT ON FUNCTION webhook_bridge.create_consumer(text, text[], text[], text, text, integer) IS
'Creates a consumer, which gets every delivery that arrives after the commit and matches, and with starting => ''earliest'' every event that is there already';

CREATE FUNCTION webhook_bridge.drop_consumer(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reader webhook_bridge.consumers := webhook_bridge.consumer_row(name);
BEGIN
    DELETE FROM webhook_bridge.consumers c WHERE c.id = reader.id;
    PERFORM webhook_bridge.sweep_queue();
END
$$;
COMMENT ON FUNCTION webhook_bridge.drop_consumer(text) IS 'Removes a consumer with its progress; events stay';

-- src/queue.c queues new events by the same rules.  How many events there are and
-- how many are queued is seldom known to the planner: no loop within a loop.
CREATE FUNCTION webhook_bridge.queue_stored(
    reader webhook_bridge.consumers, since timestamptz, until timestamptz, endpoint text, topic text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on
SET enable_bitmapscan = on
SET enable_nestloop = off
SET jit = on
AS $$
#variable_conflict use_variable
DECLARE
    queued bigint;
BEGIN
    WITH known AS (
        SELECT unnest(q.ids) AS id FROM webhook_bridge.queue q WHERE q.consumer = reader.id
        UNION ALL
        SELECT a.event_id FROM webhook_bridge.attempts a WHERE a.consumer = reader.id
    ), offered AS (
        SELECT e.id, e.received_at,
               CASE WHEN reader.order_by IS NOT NULL THEN
                   coalesce(left(CASE reader.order_by WHEN 'source' THEN e.source
                                 ELSE e.payload #>> (string_to_array(reader.order_by, '.'))[2:] END, 200), '#' || e.id)
               END AS key
        FROM webhook_bridge.events e
        WHERE (reader.endpoints IS NULL OR e.endpoint = ANY (reader.endpoints))
          AND (reader.patterns IS NULL OR e.topic LIKE ANY (reader.patterns))
          AND e.received_at >= coalesce(since, '-infinity') AND e.received_at < coalesce(until, 'infinity')
          AND (endpoint IS NULL OR e.endpoint = endpoint)
          AND (topic IS NULL OR e.topic LIKE ANY (webhook_bridge.like_patterns(ARRAY[topic])))
          AND NOT EXISTS (SELECT FROM known k WHERE k.id = e.id)
          -- the sample of a self-test that is under way is for nobody else
          AND NOT EXISTS (SELECT FROM webhook_bridge.self_tests t
                          WHERE t.endpoint = e.endpoint AND t.after_id < e.id
                            AND t.token = e.headers ->> 'Webhook-Bridge-Self-Test')
    ), width AS MATERIALIZED (
        SELECT least(greatest(count(*) / 16, 1), 16) AS ids FROM offered
    ), entered AS (
        INSERT INTO webhook_bridge.queue (consumer, position, received_at, ids, key)
        SELECT reader.id, min(o.id), o.received_at, array_agg(o.id ORDER BY o.id), o.key
        FROM offered o, width w
        GROUP BY o.received_at, o.key, CASE WHEN o.key IS NULL THEN o.id / w.ids ELSE o.id END
        RETURNING cardinality(ids) AS events
    )
    SELECT coalesce(sum(e.events), 0) INTO queued FROM entered e;
    RETURN queued;
END
$$;
COMMENT ON FUNCTION webhook_bridge.queue_stored(webhook_bridge.consumers, timestamptz, timestamptz, text, text) IS
'Private: queues stored events that a consumer gets and does not have, and returns how many';

CREATE FUNCTION webhook_bridge.wait_for_storing(created_by xid8)
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_wait_for_storing';
COMMENT ON FUNCTION webhook_bridge.wait_for_storing(xid8) IS
'Private: waits for the transactions that are storing events and may not know a consumer, and for no later ones';

CREATE FUNCTION webhook_bridge.try_key(consumer integer, key text)
RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_try_key';
COMMENT ON FUNCTION webhook_bridge.try_key(integer, text) IS
'Private: reserves a key of a consumer until the end of the transaction; false if somebody else has it';

CREATE FUNCTION webhook_bridge.look_from(consumer integer, OUT place bigint, OUT due_at timestamptz)
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_look_from';
COMMENT ON FUNCTION webhook_bridge.look_from(integer) IS
'Private: before what place in queue and in attempts this session found no rows of a consumer a moment ago';

CREATE FUNCTION webhook_bridge.looked(consumer integer, place bigint, due_at timestamptz)
RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_looked';
COMMENT ON FUNCTION webhook_bridge.looked(integer, bigint, timestamptz) IS
'Private: remembers for look_from() where the first rows of a consumer are';

-- Whoever was storing events when the consumer became known may not have known
-- it.  Once they have ended, every event is either queued or there to be found.
CREATE FUNCTION webhook_bridge.queue_backlog(reader webhook_bridge.consumers)
RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- deliveries do not know it yet
    IF reader.backlog_of = pg_current_xact_id_if_assigned() THEN
        RETURN false;
    END IF;
    PERFORM FROM webhook_bridge.consumers c WHERE c.id = reader.id AND c.backlog_of IS NOT NULL FOR UPDATE;
    IF FOUND THEN
        PERFORM webhook_bridge.wait_for_storing(reader.backlog_of);
        PERFORM webhook_bridge.queue_stored(reader, NULL, NULL, NULL, NULL);
        UPDATE webhook_bridge.consumers c SET backlog_of = NULL WHERE c.id = reader.id;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION webhook_bridge.queue_backlog(webhook_bridge.consumers) IS
'Private: queues what was stored before a consumer that starts with the earliest; false if that is too early';

CREATE FUNCTION webhook_bridge.need_read_committed()
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
        RAISE EXCEPTION 'events cannot be handed out in isolation level %', current_setting('transaction_isolation')
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = 'The transaction does not see what other sessions of the consumer have done since it began.',
                  HINT = 'Use READ COMMITTED, PostgreSQL''s default.';
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.need_read_committed() IS
'Private: refuses transactions that do not see what others have just fetched or acknowledged';

-- Statistics of tables whose rows come and go are wrong most of the time: by them
-- every index is as good as any other.  So there are settings that leave the
-- planner no choice but the indexes that were made for these statements: where
-- more than one would do, only one has the rows in the order that is asked for.
CREATE FUNCTION webhook_bridge.take_events(
    reader webhook_bridge.consumers,
    max integer,
    taken_at timestamptz,
    ends_at timestamptz,
    OUT fetched bigint[],
    OUT earliest timestamptz,
    OUT latest timestamptz)
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET enable_sort = off
AS $$
DECLARE
    first record;
    fresh CURSOR FOR
        SELECT q.position, q.received_at, q.ids FROM webhook_bridge.queue q
        WHERE q.consumer = reader.id AND q.position >= first.position ORDER BY q.position
        FOR UPDATE SKIP LOCKED;
    part record;
    taken bigint[];
    emptied bigint[] := '{}';
    ids bigint[] := '{}';
    times timestamptz[] := '{}';
    keys text[];
    wanted integer;
    looks integer;
    waiting bigint;
    few_keys text[] COLLATE "C";
    start integer;
    wrapped boolean := false;
    first_key text COLLATE "C";
    this_key text COLLATE "C";
BEGIN
    fetched := '{}';
    -- the first rows, whoever may have locked them; without any, those to come
    SELECT l.place AS position, l.due_at, i.last_value AS last_id INTO first
    FROM webhook_bridge.look_from(reader.id) l, webhook_bridge.event_ids i;
    SELECT coalesce((SELECT q.position FROM webhook_bridge.queue q
                     WHERE q.consumer = reader.id AND q.position >= first.position ORDER BY q.position LIMIT 1),
                    first.last_id) AS position,
           coalesce((SELECT a.due_at FROM webhook_bridge.attempts a
                     WHERE a.consumer = reader.id AND a.due_at >= first.due_at AND a.due_at <= taken_at
                     ORDER BY a.due_at LIMIT 1),
                    taken_at) AS due_at
    INTO first;
    PERFORM webhook_bridge.looked(reader.id, first.position, first.due_at);

    -- what is due again: after a failure, or because a lease has ended
    IF first.due_at < taken_at THEN
        WITH due AS (
            SELECT a.ctid AS place FROM webhook_bridge.attempts a
            WHERE a.consumer = reader.id AND a.due_at BETWEEN first.due_at AND taken_at
            ORDER BY a.due_at LIMIT max FOR UPDATE SKIP LOCKED
        ), again AS (
            UPDATE webhook_bridge.attempts a
            SET attempts = a.attempts + 1, due_at = ends_at, in_flight = true
            WHERE a.ctid = ANY (ARRAY(SELECT d.place FROM due d)) AND a.attempts < reader.max_attempts
            RETURNING a.event_id, a.received_at
        ), ended AS (
            UPDATE webhook_bridge.attempts a
            SET due_at = NULL, in_flight = false, failed_at = taken_at,
                error = concat_ws('; then ', a.error, 'the lease ended without an acknowledgement')
            WHERE a.ctid = ANY (ARRAY(SELECT d.place FROM due d)) AND a.attempts >= reader.max_attempts
        )
        SELECT coalesce(array_agg(g.event_id), '{}'), min(g.received_at), max(g.received_at)
        INTO fetched, earliest, latest FROM again g;
    END IF;

    wanted := max - cardinality(fetched);
    IF reader.order_by IS NULL THEN
        OPEN fresh;
        WHILE wanted > 0 LOOP
            FETCH fresh INTO part;
            EXIT WHEN NOT FOUND;
            taken := part.ids;
            IF cardinality(taken) <= wanted THEN
                emptied := emptied || part.position;
            ELSE
                UPDATE webhook_bridge.queue q SET position = taken[wanted + 1], ids = taken[wanted + 1:]
                WHERE CURRENT OF fresh;
                taken := taken[:wanted];
            END IF;
            wanted := wanted - cardinality(taken);
            ids := ids || taken;
            times := times || array_fill(part.received_at, ARRAY[cardinality(taken)]);
        END LOOP;
        CLOSE fresh;
        -- the range says what to read, whatever the planner makes of the rest
        DELETE FROM webhook_bridge.queue q
        WHERE q.consumer = reader.id AND q.position = ANY (emptied)
          AND q.position BETWEEN emptied[1] AND emptied[cardinality(emptied)];
    ELSE
        -- One event of a key at a time, beginning at a random place so that no key
        -- is left behind.  Keys that are being handled are passed by, but not without end.
        looks := 10 * wanted + 100;
        -- of few events, as most of the time, all keys: those that are gone are not in the way
        SELECT count(*), array_agg(DISTINCT n.key) INTO waiting, few_keys
        FROM (SELECT q.key FROM webhook_bridge.queue q
              WHERE q.consumer = reader.id AND q.position >= first.position ORDER BY q.position LIMIT looks) n;
        IF waiting < looks THEN
            looks := coalesce(cardinality(few_keys), 0);
            start := floor(random() * looks);
        ELSE
            few_keys := NULL;
            SELECT q.key INTO first_key FROM webhook_bridge.queue q
            WHERE q.consumer = reader.id AND q.position >= (
                SELECT min(b.position) + floor(random() * (max(b.position) - min(b.position)))::bigint
                FROM webhook_bridge.queue b WHERE b.consumer = reader.id AND b.position >= first.position)
            ORDER BY q.position LIMIT 1;
            this_key := first_key;
        END IF;
        WHILE wanted > 0 AND looks > 0 LOOP
            IF few_keys IS NOT NULL THEN
                this_key := few_keys[(start + looks) % cardinality(few_keys) + 1];
            END IF;
            EXIT WHEN this_key IS NULL;
            looks := looks - 1;
            IF webhook_bridge.try_key(reader.id, this_key) THEN
                -- a statement of its own sees what was committed before the key became ours;
                -- only drop_consumer() locks the first of a key without having the key;
                -- ranges, because a column that is equal to something has no order
                DELETE FROM webhook_bridge.queue q
                WHERE q.consumer = reader.id
                  AND (SELECT a.event_id FROM webhook_bridge.attempts a
                       WHERE a.consumer = reader.id AND a.key BETWEEN this_key AND this_key AND a.due_at IS NOT NULL
                       ORDER BY a.key LIMIT 1) IS NULL
                  AND q.position = (
                    SELECT l.position FROM webhook_bridge.queue l
                    WHERE l.consumer = reader.id AND l.position = (
                        SELECT h.position FROM webhook_bridge.queue h
                        WHERE h.consumer = reader.id AND h.key BETWEEN this_key AND this_key
                        ORDER BY h.key, h.position LIMIT 1)
                    FOR UPDATE SKIP LOCKED)
                RETURNING q.position, q.received_at INTO part;
                IF FOUND THEN
                    wanted := wanted - 1;
                    ids := ids || part.position;
                    times := times || part.received_at;
                    keys := keys || this_key::text;
                END IF;
            END IF;
            CONTINUE WHEN few_keys IS NOT NULL;
            SELECT q.key INTO this_key FROM webhook_bridge.queue q
            WHERE q.consumer = reader.id AND q.key > this_key AND q.position >= first.position ORDER BY q.key LIMIT 1;
            IF NOT FOUND AND NOT wrapped THEN
                wrapped := true;
                SELECT q.key INTO this_key FROM webhook_bridge.queue q
                WHERE q.consumer = reader.id AND q.key IS NOT NULL AND q.position >= first.position ORDER BY q.key LIMIT 1;
            END IF;
            EXIT WHEN wrapped AND this_key >= first_key;
        END LOOP;
    END IF;
    IF ids <> '{}' THEN
        INSERT INTO webhook_bridge.attempts (consumer, event_id, received_at, key, attempts, due_at, in_flight)
        SELECT reader.id, n.id, n.received_at, n.key, 1, ends_at, true
        FROM unnest(ids, times, keys) n (id, received_at, key);
        fetched := fetched || ids;
        SELECT least(earliest, min(t.at)), greatest(latest, max(t.at)) INTO earliest, latest FROM unnest(times) t (at);
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.take_events(webhook_bridge.consumers, integer, timestamptz, timestamptz) IS
'Private: takes the next events of a consumer out of its queue, or those that are due again, and returns their ids and between what times they were received';

CREATE FUNCTION webhook_bridge.fetch_events(
    consumer text,
    max integer DEFAULT 100,
    lease interval DEFAULT '5 minutes')
RETURNS SETOF webhook_bridge.events
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    reader webhook_bridge.consumers := webhook_bridge.consumer_row(consumer);
    begun_at timestamptz := clock_timestamp();
    taken_at timestamptz := begun_at;
    taken record;
    returned integer;
BEGIN
    IF max IS NULL OR lease IS NULL THEN
        RAISE EXCEPTION 'max and lease must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF max NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'invalid number of events: %', max
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is not between 1 and 10000.',
                  HINT = 'Fetch again for more.';
    END IF;
    IF lease <= interval '0' THEN
        RAISE EXCEPTION 'invalid lease: %', lease
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is not positive.',
                  HINT = 'It is the time after which the events are handed out again, unless acknowledged.';
    END IF;
    PERFORM webhook_bridge.need_read_committed();
    IF reader.backlog_of IS NOT NULL AND NOT webhook_bridge.queue_backlog(reader) THEN
        RETURN;
    END IF;

    LOOP
        SELECT t.fetched, t.earliest, t.latest INTO taken
        FROM webhook_bridge.take_events(reader, max, taken_at, taken_at + lease) t;
        EXIT WHEN taken.fetched = '{}';
        RETURN QUERY
            SELECT e.* FROM webhook_bridge.events e
            WHERE e.received_at BETWEEN taken.earliest AND taken.latest AND e.id = ANY (taken.fetched)
            ORDER BY e.id;
        GET DIAGNOSTICS returned = ROW_COUNT;
        EXIT WHEN returned = cardinality(taken.fetched);
        -- what has been dropped since needs no acknowledgement
        DELETE FROM webhook_bridge.attempts a
        WHERE a.consumer = reader.id AND a.event_id = ANY (taken.fetched)
          AND NOT EXISTS (SELECT FROM webhook_bridge.events e
                          WHERE e.id = a.event_id AND e.received_at = a.received_at);
        -- a time-out must not undo it for ever
        taken_at := clock_timestamp();
        EXIT WHEN returned > 0 OR taken_at > begun_at + interval '1 second';
    END LOOP;
END
$$;
COMMENT ON FUNCTION webhook_bridge.fetch_events(text, integer, interval) IS
'Hands out the next events of a consumer, in order of their ids, to this session and no other: until they are acknowledged or have failed, the transaction is rolled back, or after its commit the lease ends. Ordered by a key, one event of each';

CREATE FUNCTION webhook_bridge.ack_events(consumer text, ids bigint[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
    reader webhook_bridge.consumers := webhook_bridge.consumer_row(consumer);
    part record;
    acknowledged bigint;
    total bigint := 0;
BEGIN
    -- neighbours at a time, between two ids: with a list alone, the planner may choose to
    -- look through all that the consumer ever had
    FOR part IN
        SELECT array_agg(n.id) AS ids, min(n.id) AS first, max(n.id) AS last
        FROM unnest(ids) n (id) GROUP BY n.id / 1000 ORDER BY 2
    LOOP
        DELETE FROM webhook_bridge.attempts a
        WHERE a.consumer = reader.id AND a.event_id = ANY (part.ids) AND a.event_id BETWEEN part.first AND part.last;
        GET DIAGNOSTICS acknowledged = ROW_COUNT;
        total := total + acknowledged;
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION webhook_bridge.ack_events(text, bigint[]) IS
'Says that a consumer has handled events that it fetched, and returns how many of them it had; null, which array_agg() makes of no rows, is none';

CREATE FUNCTION webhook_bridge.fail_event(
    consumer text,
    id bigint,
    error text DEFAULT NULL,
    retry_in interval DEFAULT NULL)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_variable
DECLARE
    reader webhook_bridge.consumers := webhook_bridge.consumer_row(consumer);
    next_at timestamptz;
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION 'id must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF retry_in < interval '0' THEN
        RAISE EXCEPTION 'invalid pause: %', retry_in
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is negative.',
                  HINT = 'Null stands for pauses that grow from ten seconds to an hour.';
    END IF;
    UPDATE webhook_bridge.attempts a
    SET in_flight = false, failed_at = clock_timestamp(), error = error,
        due_at = CASE WHEN a.attempts < reader.max_attempts THEN
            clock_timestamp() + coalesce(retry_in, least(interval '10 seconds' * 2 ^ least(a.attempts - 1, 20), interval '1 hour')) END
    WHERE a.consumer = reader.id AND a.event_id = id AND a.in_flight
    RETURNING a.due_at INTO next_at;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'consumer "%" is not handling event %', consumer, id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'It has not fetched the event, or has acknowledged it or said that it failed.',
                  HINT = 'An event fails between webhook_bridge.fetch_events() and webhook_bridge.ack_events().';
    END IF;
    RETURN next_at;
END
$$;
COMMENT ON FUNCTION webhook_bridge.fail_event(text, bigint, text, interval) IS
'Says that a consumer could not handle an event, and returns when it is handed out again: after retry_in, or 10 s, 20 s, 40 s up to an hour; null if it is dead, because it was handed out max_attempts times';

CREATE FUNCTION webhook_bridge.replay_events(
    consumer text,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    endpoint text DEFAULT NULL,
    topic text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    reader webhook_bridge.consumers := webhook_bridge.consumer_row(consumer);
BEGIN
    PERFORM webhook_bridge.need_read_committed();
    -- one at a time
    PERFORM FROM webhook_bridge.consumers c WHERE c.id = reader.id FOR UPDATE;
    DELETE FROM webhook_bridge.attempts a
    USING webhook_bridge.events e
    WHERE a.consumer = reader.id AND a.due_at IS NULL
      AND e.id = a.event_id AND e.received_at = a.received_at
      AND e.received_at >= coalesce(since, '-infinity') AND e.received_at < coalesce(until, 'infinity')
      AND (endpoint IS NULL OR e.endpoint = endpoint)
      AND (topic IS NULL OR e.topic LIKE ANY (webhook_bridge.like_patterns(ARRAY[topic])));
    RETURN webhook_bridge.queue_stored(reader, since, until, endpoint, topic);
END
$$;
COMMENT ON FUNCTION webhook_bridge.replay_events(text, timestamptz, timestamptz, text, text) IS
'Hands stored events that a consumer has handled, or that are dead for it, out to it again, and returns how many: those it gets anyway, received from since until before until, of an endpoint and of a topic, in which * stands for any characters';

CREATE FUNCTION webhook_bridge.consumer_status(
    consumer text DEFAULT NULL,
    OUT name text,
    OUT lag_events bigint,
    OUT lag_seconds double precision,
    OUT in_flight bigint,
    OUT failed bigint,
    OUT dead bigint,
    OUT next_due_at timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER ROWS 10
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF consumer IS NOT NULL THEN
        PERFORM webhook_bridge.consumer_row(consumer);
    END IF;
    RETURN QUERY
        SELECT c.name, CASE WHEN c.backlog_of IS NULL THEN coalesce(q.events, 0) + a.in_flight + a.failed END,
               CASE WHEN c.backlog_of IS NULL THEN
                   coalesce(extract(epoch FROM clock_timestamp() - least(q.oldest, a.oldest)), 0)::double precision END,
               a.in_flight, a.failed, a.dead, a.next_due_at
        FROM webhook_bridge.consumers c
        CROSS JOIN LATERAL (
            SELECT sum(cardinality(q.ids)) AS events, min(q.received_at) AS oldest
            FROM webhook_bridge.queue q WHERE q.consumer = c.id) q
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE a.in_flight) AS in_flight,
                   count(*) FILTER (WHERE NOT a.in_flight AND a.due_at IS NOT NULL) AS failed,
                   count(*) FILTER (WHERE a.due_at IS NULL) AS dead,
                   min(a.received_at) FILTER (WHERE a.due_at IS NOT NULL) AS oldest,
                   min(a.due_at) AS next_due_at
            FROM webhook_bridge.attempts a WHERE a.consumer = c.id) a
        WHERE consumer IS NULL OR c.name = consumer
        ORDER BY c.name;
END
$$;
COMMENT ON FUNCTION webhook_bridge.consumer_status(text) IS
'Per consumer: events it has not handled and the age of the oldest (null before the first fetch of one that starts with the earliest), how many of them it is handling and how many wait after a failure, how many are dead, and when the next is handed out again';

CREATE FUNCTION webhook_bridge.dead_events(
    consumer text,
    OUT id bigint,
    OUT received_at timestamptz,
    OUT endpoint text,
    OUT topic text,
    OUT attempts integer,
    OUT died_at timestamptz,
    OUT error text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    reader webhook_bridge.consumers := webhook_bridge.consumer_row(consumer);
BEGIN
    RETURN QUERY
        SELECT a.event_id, a.received_at, e.endpoint, e.topic, a.attempts, a.failed_at, a.error
        FROM webhook_bridge.attempts a
        LEFT JOIN webhook_bridge.events e ON e.id = a.event_id AND e.received_at = a.received_at
        WHERE a.consumer = reader.id AND a.due_at IS NULL
        ORDER BY a.event_id;
END
$$;
COMMENT ON FUNCTION webhook_bridge.dead_events(text) IS
'Events that a consumer has failed to handle max_attempts times, each with the last error; the endpoint is null if the event itself is gone';
