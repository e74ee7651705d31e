-- Creating and dropping the extension.
CREATE EXTENSION webhook_bridge;

-- everything is a member, so that it is dropped with the extension
SELECT count(*) = 0 AS all_members
FROM pg_class c
WHERE c.relnamespace = 'webhook_bridge'::regnamespace AND c.relkind IN ('r', 'p', 'S', 'v')
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e');

-- partitions are not: they are the user's data
SELECT webhook_bridge.create_event_partitions('2026-02-28', 3);
SELECT webhook_bridge.create_event_partitions('2026-02-28', 4);
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), c.reloptions
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'webhook_bridge.events'::regclass AND c.relname < 'events_20260401'
ORDER BY c.relname;

-- a table that only has the name of a partition
ALTER TABLE webhook_bridge.events DETACH PARTITION webhook_bridge.events_20260302;
SELECT webhook_bridge.create_event_partitions('2026-03-01', 4);
DROP TABLE webhook_bridge.events_20260302;
SELECT webhook_bridge.create_event_partitions('2026-03-01', 4);

DROP EXTENSION webhook_bridge;
SELECT to_regnamespace('webhook_bridge');

-- a transaction that fails leaves nothing
BEGIN;
CREATE EXTENSION webhook_bridge;
ROLLBACK;
SELECT to_regnamespace('webhook_bridge');

-- a schema of that name that is not ours is not touched
CREATE SCHEMA webhook_bridge;
CREATE EXTENSION webhook_bridge;
DROP SCHEMA webhook_bridge;

CREATE EXTENSION webhook_bridge;
SELECT extversion, extnamespace::regnamespace, extrelocatable
FROM pg_extension WHERE extname = 'webhook_bridge';
