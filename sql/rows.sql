-- Deliveries reach a table directly as long as it is as it was made; whatever
-- users do to it is heeded all the same.
SET client_min_messages = warning;
BEGIN;
SELECT webhook_bridge.create_endpoint('rows', 'generic', allow_unverified => true) IS NULL AS missing;
CREATE FUNCTION today() RETURNS text LANGUAGE sql AS
$$ SELECT 'webhook_bridge.events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD') $$;
CREATE PROCEDURE on_today(command text) LANGUAGE plpgsql AS
$$ BEGIN EXECUTE format(command, today()::regclass); END $$;
-- Stores a delivery, and shows what became of it.
CREATE FUNCTION arrive(topic text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    got record;
BEGIN
    got := webhook_bridge.admit('/hooks/rows', now(), 'POST', 'a=1', ARRAY['X-Webhook-Topic', 'X-Webhook-Source'], ARRAY[topic, 'here'],
                                convert_to('{"a":1}', 'UTF8'), '10.0.0.1');
    RETURN coalesce((SELECT format('%s %s %s %s %s', e.topic, e.source, e.payload, e.query, host(e.remote_addr))
                     FROM webhook_bridge.events e WHERE e.id = got.event_id), got.refusal, 'nothing stored');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '\d{8}', 'DAY');
END
$$;
SELECT FROM webhook_bridge.create_event_partitions((now() AT TIME ZONE 'UTC')::date, 3);
SELECT arrive('plain');

-- Triggers of every kind
CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.topic := NEW.topic || ' (' || TG_NAME || ')'; RETURN NEW; END $$;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes VALUES (TG_NAME); RETURN NULL; END $$;
CREATE TABLE notes (note text);
CREATE TRIGGER on_all BEFORE INSERT ON webhook_bridge.events FOR EACH ROW EXECUTE FUNCTION mark();
SELECT arrive('triggers');
DROP TRIGGER on_all ON webhook_bridge.events;
CALL on_today('CREATE TRIGGER on_one BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION mark()');
SELECT arrive('triggers');
CALL on_today('DROP TRIGGER on_one ON %s');
CREATE TRIGGER afterwards AFTER INSERT ON webhook_bridge.events FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT arrive('triggers');
DROP TRIGGER afterwards ON webhook_bridge.events;
CREATE RULE too AS ON INSERT TO webhook_bridge.events DO ALSO INSERT INTO notes VALUES ('rule for ' || NEW.topic);
SELECT arrive('rules');
DROP RULE too ON webhook_bridge.events;
SELECT arrive('plain again');
SELECT * FROM notes;

-- Columns: with a default, computed, dropped again
ALTER TABLE webhook_bridge.events ADD COLUMN state text DEFAULT 'new';
SELECT arrive('default');
ALTER TABLE webhook_bridge.events ADD COLUMN wide boolean GENERATED ALWAYS AS (length(topic) > 20) STORED;
SELECT arrive('computed for a long topic');
SELECT topic, state, wide FROM webhook_bridge.events WHERE topic IN ('default', 'computed for a long topic') ORDER BY id;
ALTER TABLE webhook_bridge.events DROP COLUMN state, DROP COLUMN wide;
SELECT arrive('dropped');

-- Constraints and indexes
ALTER TABLE webhook_bridge.events ADD CONSTRAINT polite CHECK (topic <> 'rude');
SELECT arrive('rude');
CREATE INDEX ON webhook_bridge.events (lower(topic)) WHERE source = 'here';
SELECT arrive('Indexed');
SET enable_seqscan = off;
SELECT topic FROM webhook_bridge.events WHERE lower(topic) = 'indexed' AND source = 'here';
RESET enable_seqscan;
CALL on_today('CREATE UNIQUE INDEX once ON %s (topic)');
SELECT arrive('once');
SELECT arrive('once');
DROP INDEX webhook_bridge.once;

-- A partition with columns in another order, one with partitions, one that is a foreign table
CALL on_today('ALTER TABLE webhook_bridge.events DETACH PARTITION %s');
CALL on_today('ALTER TABLE %s RENAME TO before');
DO $$
BEGIN
    EXECUTE (SELECT format('CREATE TABLE %s (%s)', today(), string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum DESC))
             FROM pg_attribute WHERE attrelid = 'webhook_bridge.events'::regclass AND attnum > 0 AND NOT attisdropped);
    EXECUTE format('ALTER TABLE %s ADD CHECK (topic <> ''rude''), ALTER id SET NOT NULL, ALTER received_at SET NOT NULL, ALTER endpoint SET NOT NULL, '
                   'ALTER method SET NOT NULL, ALTER headers SET NOT NULL, ALTER verified SET NOT NULL', today());
    EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO polite', today(), (SELECT conname FROM pg_constraint WHERE conrelid = today()::regclass));
    EXECUTE format('ALTER TABLE webhook_bridge.events ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', today(),
                   date_trunc('day', now(), 'UTC'), date_trunc('day', now(), 'UTC') + interval '24 h');
END
$$;
SELECT arrive('other order');
CALL on_today('DROP TABLE %s');
SELECT arrive('without a partition');
DO $$
BEGIN
    EXECUTE format('CREATE TABLE %s PARTITION OF webhook_bridge.events FOR VALUES FROM (%L) TO (%L) PARTITION BY LIST (topic)', today(),
                   date_trunc('day', now(), 'UTC'), date_trunc('day', now(), 'UTC') + interval '24 h');
END
$$;
CALL on_today('CREATE TABLE named PARTITION OF %s FOR VALUES IN (''by topic'')');
SELECT arrive('by topic');
SELECT count(*) FROM named;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER far FOREIGN DATA WRAPPER nowhere;
CALL on_today('CREATE FOREIGN TABLE far_away PARTITION OF %s FOR VALUES IN (''foreign'') SERVER far');
SELECT arrive('foreign');

-- The ledger: found taken by a row, free again, with a trigger
SELECT webhook_bridge.create_endpoint('rows-hub', 'github', repeat('s', 16)) IS NULL AS missing;
CALL on_today('CREATE TABLE others PARTITION OF %s DEFAULT');
CREATE FUNCTION deliver(id text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(substr(refusal, 1, 60), CASE WHEN event_id IS NULL THEN 'duplicate' ELSE 'stored' END)
    FROM webhook_bridge.admit('/hooks/rows-hub', now(), 'POST', NULL, ARRAY['X-GitHub-Event', 'X-GitHub-Delivery', 'X-Hub-Signature-256'],
        ARRAY['push', id, webhook_bridge.sign('github', repeat('s', 16), '{}') ->> 'X-Hub-Signature-256'], '{}', NULL)
$$;
SELECT deliver('a');
SELECT deliver('a'), deliver('b'), deliver('b');
SAVEPOINT before;
SELECT deliver('c'), deliver('c');
ROLLBACK TO before;
SELECT deliver('c'), deliver('c');
SELECT i.id, count(d.key)
FROM webhook_bridge.endpoints e, unnest('{a,b,c,d}'::text[]) i (id)
     LEFT JOIN webhook_bridge.dedup d ON d.key = webhook_bridge.ledger_key(i.id) WHERE e.name = 'rows-hub' AND d.endpoint = e.id GROUP BY 1 ORDER BY 1;
CREATE FUNCTION blur() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.key := webhook_bridge.ledger_key('all the same'); RETURN NEW; END $$;
CREATE TRIGGER blur BEFORE INSERT ON webhook_bridge.dedup FOR EACH ROW EXECUTE FUNCTION blur();
SELECT deliver('abc'), deliver('d'), deliver('d1');
DROP TRIGGER blur ON webhook_bridge.dedup;

-- Nothing in a read-only transaction
SET TRANSACTION READ ONLY;
SELECT arrive('read only');
ROLLBACK;
