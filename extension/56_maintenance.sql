-- ---------------------------------------------------------------------------
-- Maintenance
-- ---------------------------------------------------------------------------

-- What is too old is decided here, as of a time that is an argument; the keeper
-- passes now() and runs each step in a transaction of its own.

-- What one server did; dumps leave it out.
CREATE TABLE webhook_bridge.maintenance (
    task text NOT NULL,
    last_run timestamptz,
    last_change timestamptz,
    detail text,
    failed_at timestamptz,
    error text,
    CONSTRAINT maintenance_pkey PRIMARY KEY (task)
);
COMMENT ON TABLE webhook_bridge.maintenance IS
'What the keeper does and when it did it last: partitions (making them ahead), events (dropping what is over its retention), ledger (the same of what duplicates are recognised by), rejections, and consumers (the places of dropped events in their queues, and what interrupted self-tests have left)';
COMMENT ON INDEX webhook_bridge.maintenance_pkey IS 'One row per task';
COMMENT ON COLUMN webhook_bridge.maintenance.task IS 'partitions, events, ledger, rejections or consumers';
COMMENT ON COLUMN webhook_bridge.maintenance.last_run IS 'When it was last done without an error';
COMMENT ON COLUMN webhook_bridge.maintenance.last_change IS 'When there was something to do';
COMMENT ON COLUMN webhook_bridge.maintenance.detail IS 'What was done then';
COMMENT ON COLUMN webhook_bridge.maintenance.failed_at IS 'When it last failed';
COMMENT ON COLUMN webhook_bridge.maintenance.error IS 'Why it fails; null if the last attempt was a success';

CREATE FUNCTION webhook_bridge.record_maintenance(task text, at timestamptz, detail text, error text)
RETURNS void
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    INSERT INTO webhook_bridge.maintenance AS m (task, last_run, last_change, detail, failed_at, error)
    VALUES (record_maintenance.task,
            CASE WHEN record_maintenance.error IS NULL THEN record_maintenance.at END,
            CASE WHEN record_maintenance.detail IS NOT NULL THEN record_maintenance.at END,
            record_maintenance.detail,
            CASE WHEN record_maintenance.error IS NOT NULL THEN record_maintenance.at END,
            record_maintenance.error)
    ON CONFLICT ON CONSTRAINT maintenance_pkey DO UPDATE
    SET last_run = coalesce(excluded.last_run, m.last_run),
        last_change = coalesce(excluded.last_change, m.last_change),
        detail = coalesce(excluded.detail, m.detail),
        failed_at = coalesce(excluded.failed_at, m.failed_at),
        error = excluded.error;
END;
COMMENT ON FUNCTION webhook_bridge.record_maintenance(text, timestamptz, text, text) IS
'Private: notes that a task was done, what it has changed if anything, and the error if it failed';

-- Events of an endpoint that is gone are kept as long as those of one that says nothing.
CREATE FUNCTION webhook_bridge.is_expired(endpoint text, until timestamptz, at timestamptz)
RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET timezone = 'UTC'
BEGIN ATOMIC
    SELECT CASE WHEN count(*) = 0 THEN is_expired.until <= is_expired.at - interval '30 days'
                ELSE coalesce(is_expired.until <= is_expired.at - min(e.retention), false) END
    FROM webhook_bridge.endpoints e WHERE e.name = is_expired.endpoint;
END;
COMMENT ON FUNCTION webhook_bridge.is_expired(text, timestamptz, timestamptz) IS
'Private: whether all events of an endpoint from before a time are over its retention';

-- Endpoints with the same retention are one class, and those that are gone
-- another.  "rule" is which of them are kept: what was deleted by a rule need
-- not be looked at again.  Without any endpoint nothing is expired: pg_restore
-- may bring the events first.
CREATE FUNCTION webhook_bridge.expired_partitions(
    at timestamptz,
    OUT partition regclass,
    OUT until timestamptz,
    OUT whole boolean,
    OUT rule text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH class AS (
        SELECT e.retention, md5(string_agg(e.name, ' ' ORDER BY e.name COLLATE "C")) AS names
        FROM webhook_bridge.endpoints e GROUP BY e.retention
        UNION ALL SELECT interval '30 days', 'gone'
    ), part AS (
        SELECT c.oid::regclass AS name,
               substring(pg_get_expr(c.relpartbound, c.oid) FROM ' TO [(]''([^'']+)''[)]')::timestamptz AS until
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'webhook_bridge.events'::regclass AND NOT i.inhdetachpending AND c.relkind = 'r'
    )
    SELECT p.name, p.until,
           NOT bool_or(expired_partitions.at - k.retention < p.until OR k.retention IS NULL),
           md5(coalesce(string_agg(k.names, ' ' ORDER BY k.names COLLATE "C")
                        FILTER (WHERE expired_partitions.at - k.retention < p.until OR k.retention IS NULL), ''))
    FROM part p CROSS JOIN class k
    WHERE EXISTS (SELECT FROM webhook_bridge.endpoints)
    GROUP BY p.name, p.until
    HAVING bool_or(expired_partitions.at - k.retention >= p.until)
    ORDER BY p.until;
END
$$;
COMMENT ON FUNCTION webhook_bridge.expired_partitions(timestamptz) IS
'Private: partitions of events that have, or may have, events over their retention, with their upper bounds; "whole" if all endpoints'' are';

CREATE FUNCTION webhook_bridge.has_events_to_keep(partition regclass, until timestamptz, at timestamptz)
RETURNS boolean
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM (SELECT DISTINCT v.endpoint FROM ONLY %s v) n '
                   'WHERE NOT webhook_bridge.is_expired(n.endpoint, $1, $2))', partition)
    INTO found USING until, at;
    RETURN found;
END
$$;
COMMENT ON FUNCTION webhook_bridge.has_events_to_keep(regclass, timestamptz, timestamptz) IS
'Private: whether a partition, with its upper bound, has events that are not over their retention';

CREATE FUNCTION webhook_bridge.delete_expired_events(
    partition regclass, until timestamptz, at timestamptz, first_page bigint, pages integer)
RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    range text := format('ctid >= ''(%s,0)'' AND ctid < ''(%s,0)''', first_page, first_page + pages);
    deleted bigint;
BEGIN
    EXECUTE format('DELETE FROM ONLY %1$s WHERE %2$s AND endpoint IN ('
                   'SELECT n.endpoint FROM (SELECT DISTINCT endpoint FROM ONLY %1$s WHERE %2$s) n '
                   'WHERE webhook_bridge.is_expired(n.endpoint, $1, $2))', partition, range)
    USING until, at;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION webhook_bridge.delete_expired_events(regclass, timestamptz, timestamptz, bigint, integer) IS
'Private: deletes the events over their retention that are on some pages of a partition, and returns how many';

CREATE FUNCTION webhook_bridge.warn_of_unhandled_events(partition regclass, until timestamptz, at timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    consumer text;
    events bigint;
BEGIN
    FOR consumer, events IN EXECUTE format(
        'SELECT c.name, count(*) FROM webhook_bridge.consumers c '
        'JOIN (SELECT q.consumer, unnest(q.ids) AS id FROM webhook_bridge.queue q WHERE q.received_at < $1 '
        '      UNION ALL SELECT a.consumer, a.event_id FROM webhook_bridge.attempts a '
        '      WHERE a.received_at < $1 AND a.due_at IS NOT NULL) w ON w.consumer = c.id '
        'JOIN ONLY %s e ON e.id = w.id WHERE webhook_bridge.is_expired(e.endpoint, $1, $2) '
        'GROUP BY c.name ORDER BY c.name', partition)
        USING until, at
    LOOP
        RAISE WARNING 'consumer "%" never handled % events, which are now dropped', consumer, events
            USING DETAIL = format('They are over the retention of their endpoints, in partition %s.', partition),
                  HINT = 'See webhook_bridge.consumer_status(). Drop a consumer that is not used any more, or increase endpoints.retention.';
    END LOOP;
END
$$;
COMMENT ON FUNCTION webhook_bridge.warn_of_unhandled_events(regclass, timestamptz, timestamptz) IS
'Private: says in the log that somebody has still to handle events of a partition that are over their retention; called before they go';

-- A partition is detached without blocking anybody, and that cannot be in one
-- transaction with dropping it.  If the keeper ends in between, its comment
-- tells it from a table that somebody has detached to keep it.
CREATE FUNCTION webhook_bridge.condemn_partition(partition regclass)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('COMMENT ON TABLE %s IS %L', partition, 'webhook_bridge: expired, to be dropped');
END
$$;
COMMENT ON FUNCTION webhook_bridge.condemn_partition(regclass) IS
'Private: marks a partition as one that is to be dropped when it has been detached';

CREATE FUNCTION webhook_bridge.condemned_partitions(OUT partition regclass, OUT state text)
RETURNS SETOF record
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.oid::regclass,
           CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'pending' ELSE 'attached' END
    FROM pg_description d
         JOIN pg_class c ON c.oid = d.objoid
         LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE d.classoid = 'pg_class'::regclass AND d.objsubid = 0
      AND d.description = 'webhook_bridge: expired, to be dropped'
      AND c.relkind = 'r'
    ORDER BY c.relname;
END;
COMMENT ON FUNCTION webhook_bridge.condemned_partitions() IS
'Private: tables that are marked to be dropped, which are detached, or about to be (pending), or still attached';

CREATE FUNCTION webhook_bridge.trim_ledger(at timestamptz, first_page bigint, pages integer)
RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    deleted bigint;
BEGIN
    -- literals, so that only these pages are read
    EXECUTE format(
        'DELETE FROM webhook_bridge.dedup d WHERE d.ctid >= ''(%s,0)'' AND d.ctid < ''(%s,0)'' '
        'AND d.received_at < $1 - least(''7 days'', (SELECT min(e.dedup_retention) FROM webhook_bridge.endpoints e)) '
        'AND d.received_at < $1 - coalesce((SELECT e.dedup_retention FROM webhook_bridge.endpoints e WHERE e.id = d.endpoint), ''7 days'')',
        first_page, first_page + pages)
    USING at;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION webhook_bridge.trim_ledger(timestamptz, bigint, integer) IS
'Private: deletes what is over its dedup_retention on some pages of the ledger of duplicates, and returns how many';

CREATE FUNCTION webhook_bridge.trim_rejections(kept integer, most integer)
RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint;
BEGIN
    -- rows that somebody is readmitting are not waited for
    DELETE FROM webhook_bridge.rejections WHERE id = ANY (ARRAY(
        SELECT r.id
        FROM webhook_bridge.endpoints e
             CROSS JOIN LATERAL (SELECT n.id FROM webhook_bridge.rejections n WHERE n.endpoint = e.name
                                 ORDER BY n.id DESC OFFSET kept LIMIT 1) AS last
             JOIN webhook_bridge.rejections r ON r.endpoint = e.name AND r.id <= last.id
        LIMIT most
        FOR UPDATE OF r SKIP LOCKED));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION webhook_bridge.trim_rejections(integer, integer) IS
'Private: deletes rejections of endpoints that have more than so many, the oldest first, and returns how many';

-- Events of the days that are gone.
CREATE FUNCTION webhook_bridge.trim_queue(most integer)
RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET enable_seqscan = off
AS $$
DECLARE
    first_day timestamptz;
    deleted bigint;
BEGIN
    SELECT min(substring(pg_get_expr(c.relpartbound, c.oid) FROM ' FROM [(]''([^'']+)''[)]')::timestamptz)
    INTO first_day
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'webhook_bridge.events'::regclass AND c.relkind = 'r';
    -- rows are in the order of time but for what a clock has done; who fetches passes over the rest
    WITH old AS (
        SELECT q.consumer, q.position
        FROM webhook_bridge.consumers c
             CROSS JOIN LATERAL (SELECT n.* FROM webhook_bridge.queue n WHERE n.consumer = c.id
                                 ORDER BY n.position LIMIT 1) first
             JOIN webhook_bridge.queue q ON q.consumer = first.consumer AND q.received_at < first_day
        WHERE first.received_at < first_day
        LIMIT most
        FOR UPDATE OF q SKIP LOCKED
    )
    DELETE FROM webhook_bridge.queue q USING old o WHERE q.consumer = o.consumer AND q.position = o.position;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    -- from consumer to consumer: what they have is not read to find that there are none that
    -- are gone; nor without any consumer: pg_restore may bring what they have first
    IF EXISTS (SELECT FROM webhook_bridge.consumers) AND EXISTS (
        WITH RECURSIVE queued AS (
            SELECT min(q.consumer) AS id FROM webhook_bridge.queue q
            UNION ALL
            SELECT (SELECT min(q.consumer) FROM webhook_bridge.queue q WHERE q.consumer > p.id) FROM queued p WHERE p.id IS NOT NULL
        ), fetched AS (
            SELECT min(a.consumer) AS id FROM webhook_bridge.attempts a
            UNION ALL
            SELECT (SELECT min(a.consumer) FROM webhook_bridge.attempts a WHERE a.consumer > p.id) FROM fetched p WHERE p.id IS NOT NULL
        )
        SELECT FROM (SELECT q.id FROM queued q UNION ALL SELECT f.id FROM fetched f) k
        WHERE k.id IS NOT NULL AND NOT EXISTS (SELECT FROM webhook_bridge.consumers c WHERE c.id = k.id)) THEN
        PERFORM webhook_bridge.sweep_queue();
    END IF;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION webhook_bridge.trim_queue(integer) IS
'Private: deletes from the queues of consumers what was received before the first partition of events, and returns how many rows; also what is left of consumers that are gone';
