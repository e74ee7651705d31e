-- Maintenance: what is too old, as of a time that is given, and how it goes.
-- The keeper does the same with transactions of its own (test/t/071_retention.pl).
\set SHOW_CONTEXT never
\pset null '(null)'
SET TimeZone = 'America/New_York';
SET DateStyle = 'SQL, DMY';

-- nothing is expired where there is no endpoint: a restore may bring events first
BEGIN;
DELETE FROM webhook_bridge.webhooks;
DELETE FROM webhook_bridge.endpoints;
SELECT webhook_bridge.create_event_partitions('2025-01-01', 60);
SELECT count(*) FROM webhook_bridge.expired_partitions('2026-01-01Z');

-- a partition goes when all of its day is older
SELECT retention FROM webhook_bridge.create_endpoint('month', 'ecomanager', 'k');
CREATE VIEW pg_temp.expired AS
SELECT at.at AT TIME ZONE 'UTC' AS at, count(e.partition), count(*) FILTER (WHERE e.whole) AS whole,
       max(e.partition::text) AS last, max(e.until) AT TIME ZONE 'UTC' AS until
FROM (VALUES ('2025-01-31 23:59:59Z'::timestamptz), ('2025-02-01 00:00:00Z'), ('2025-02-01 23:59:59Z'),
             ('2025-02-02 00:00:00Z'), ('2025-02-08 12:00:00Z')) AS at (at)
     LEFT JOIN LATERAL webhook_bridge.expired_partitions(at.at) e ON true
GROUP BY at.at ORDER BY at.at;
SELECT * FROM pg_temp.expired;

-- one endpoint keeps less, another more, and one for ever
SELECT retention FROM webhook_bridge.create_endpoint('week', 'ecomanager', 'k', retention => '7 days');
SELECT * FROM pg_temp.expired;
SELECT retention FROM webhook_bridge.create_endpoint('ever', 'ecomanager', 'k', retention => NULL);
SELECT * FROM pg_temp.expired;
SELECT name, webhook_bridge.is_expired(name, '2025-01-02Z', at) AS expired, at AT TIME ZONE 'UTC' AS at
FROM unnest('{week,month,ever,gone}'::text[]) name,
     (VALUES ('2025-01-08 23:00Z'::timestamptz), ('2025-01-09Z'), ('2025-01-31Z'), ('2025-02-01Z')) AS at (at)
ORDER BY at, name;

-- the rule changes with what is kept, and not with the clock
SELECT e.partition, count(DISTINCT e.rule) AS rules
FROM generate_series('2025-01-12Z'::timestamptz, '2025-01-26Z', '1 hour') at (at),
     webhook_bridge.expired_partitions(at.at) e
WHERE e.until <= '2025-01-05Z' GROUP BY e.partition ORDER BY e.partition::text;
SELECT count(DISTINCT e.rule) AS rules
FROM (VALUES ('2025-01-09Z'::timestamptz), ('2025-02-01Z')) AS at (at), webhook_bridge.expired_partitions(at.at) e
WHERE e.partition = 'webhook_bridge.events_20250101'::regclass;

-- events of several endpoints in one partition
INSERT INTO webhook_bridge.events (endpoint, received_at, method, headers, payload, verified)
SELECT endpoint, '2025-01-01 12:00Z', 'POST', '{}', json_build_object('text', repeat('x', 1000)), true
FROM unnest('{week,month,ever,gone}'::text[]) endpoint, generate_series(1, 100) n;
CREATE FUNCTION pg_temp.left_over() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(endpoint || ' ' || count, ', ' ORDER BY endpoint COLLATE "C")
    FROM (SELECT endpoint, count(*) FROM webhook_bridge.events WHERE received_at < '2025-01-02Z' GROUP BY endpoint) e
$$;
SELECT webhook_bridge.delete_expired_events('webhook_bridge.events_20250101', '2025-01-02Z', '2025-01-08Z', 0, 1000), pg_temp.left_over();
SELECT webhook_bridge.delete_expired_events('webhook_bridge.events_20250101', '2025-01-02Z', '2025-01-09Z', 1000, 1000), pg_temp.left_over();
SELECT sum(webhook_bridge.delete_expired_events('webhook_bridge.events_20250101', '2025-01-02Z', '2025-01-09Z', page, 3))
FROM generate_series(0, 100, 3) page;
SELECT pg_temp.left_over();
SELECT webhook_bridge.has_events_to_keep('webhook_bridge.events_20250101', '2025-01-02Z', '2025-02-01Z');
SELECT webhook_bridge.delete_expired_events('webhook_bridge.events_20250101', '2025-01-02Z', '2025-02-01Z', 0, 1000), pg_temp.left_over();
UPDATE webhook_bridge.endpoints SET retention = '40 days' WHERE name = 'ever';
SELECT webhook_bridge.has_events_to_keep('webhook_bridge.events_20250101', '2025-01-02Z', '2025-02-10Z') AS on_the_39th,
       webhook_bridge.has_events_to_keep('webhook_bridge.events_20250101', '2025-01-02Z', '2025-02-11Z') AS on_the_40th;

-- bounds of the user's own
CREATE TABLE webhook_bridge."old Events" (LIKE webhook_bridge.events INCLUDING ALL);
ALTER TABLE webhook_bridge.events ATTACH PARTITION webhook_bridge."old Events" FOR VALUES FROM (MINVALUE) TO ('2025-01-01 Z');
CREATE TABLE webhook_bridge.later (LIKE webhook_bridge.events INCLUDING ALL);
ALTER TABLE webhook_bridge.events ATTACH PARTITION webhook_bridge.later FOR VALUES FROM ('9000-01-01 Z') TO (MAXVALUE);
SELECT e.partition, e.until AT TIME ZONE 'UTC' AS until, whole FROM webhook_bridge.expired_partitions('2025-02-11Z') e LIMIT 2;

-- what is marked to be dropped
SELECT webhook_bridge.condemn_partition('webhook_bridge."old Events"');
SELECT * FROM webhook_bridge.condemned_partitions();
ALTER TABLE webhook_bridge.events DETACH PARTITION webhook_bridge."old Events";
ALTER TABLE webhook_bridge.events DETACH PARTITION webhook_bridge.later;
SELECT * FROM webhook_bridge.condemned_partitions();

-- the ledger, each endpoint in its time, and whose endpoint is gone after 7 days
UPDATE webhook_bridge.endpoints SET dedup_retention = '1 day' WHERE name = 'week';
UPDATE webhook_bridge.endpoints SET dedup_retention = '40 days' WHERE name = 'ever';
DELETE FROM webhook_bridge.dedup;
INSERT INTO webhook_bridge.dedup (endpoint, key, event_id, received_at)
SELECT coalesce(e.id, 0), webhook_bridge.ledger_key('key ' || n), n, '2025-01-01Z'::timestamptz + n * interval '1 day'
FROM unnest('{week,month,ever,gone}'::text[]) name LEFT JOIN webhook_bridge.endpoints e USING (name), generate_series(0, 9) n;
CREATE FUNCTION pg_temp.known() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(endpoint || ' ' || count, ', ' ORDER BY endpoint COLLATE "C")
    FROM (SELECT coalesce(e.name, 'gone') AS endpoint, count(*)
          FROM webhook_bridge.dedup d LEFT JOIN webhook_bridge.endpoints e ON e.id = d.endpoint GROUP BY 1) d
$$;
SELECT webhook_bridge.trim_ledger('2025-01-02Z', 0, 1), pg_temp.known();
SELECT webhook_bridge.trim_ledger('2025-01-11Z', 1, 100), pg_temp.known();
SELECT webhook_bridge.trim_ledger('2025-01-11Z', 0, 1), pg_temp.known();
SELECT webhook_bridge.trim_ledger('2025-02-28Z', 0, 1), pg_temp.known();
SELECT reloptions FROM pg_class WHERE oid = 'webhook_bridge.dedup'::regclass;

-- rejections
DELETE FROM webhook_bridge.rejections;
INSERT INTO webhook_bridge.rejections (endpoint, reason, method, headers, body, body_size)
SELECT endpoint, 'test', 'POST', '{}', '', n FROM unnest('{week,month}'::text[]) endpoint, generate_series(1, 10) n;
SELECT webhook_bridge.trim_rejections(100, 1000), webhook_bridge.trim_rejections(7, 4), webhook_bridge.trim_rejections(7, 4);
SELECT endpoint, min(body_size), count(*) FROM webhook_bridge.rejections GROUP BY endpoint ORDER BY endpoint;
SELECT webhook_bridge.trim_rejections(0, 1000);

-- what is noted
SELECT webhook_bridge.record_maintenance('ledger', '2025-01-01Z', NULL, NULL);
SELECT webhook_bridge.record_maintenance('ledger', '2025-01-02Z', 'deleted: 1', NULL);
SELECT webhook_bridge.record_maintenance('ledger', '2025-01-03Z', 'deleted: 2', 'stuck');
SELECT * FROM webhook_bridge.maintenance WHERE task = 'ledger';
SELECT webhook_bridge.record_maintenance('ledger', '2025-01-04Z', NULL, NULL);
SELECT * FROM webhook_bridge.maintenance WHERE task = 'ledger';
ROLLBACK;
