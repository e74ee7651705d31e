-- ---------------------------------------------------------------------------
-- Events
-- ---------------------------------------------------------------------------

CREATE SEQUENCE webhook_bridge.event_ids;
COMMENT ON SEQUENCE webhook_bridge.event_ids IS 'Ids of events';
SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.event_ids', '');

-- The primary key belongs to the partitions (see create_event_partitions) and
-- contains "endpoint", so that the table can be distributed by it.  A key of
-- the parent would be there again as soon as CREATE EXTENSION has run, and give
-- one to every partition that pg_restore attaches; the key that it restores
-- later, because partitions are no members of the extension, would be refused.
CREATE TABLE webhook_bridge.events (
    id bigint NOT NULL DEFAULT nextval('webhook_bridge.event_ids'),
    received_at timestamptz NOT NULL DEFAULT now(),
    endpoint text NOT NULL,
    topic text,
    external_id text,
    source text,
    webhook_remote_id text,
    occurred_at timestamptz,
    error_code text,
    method text NOT NULL,
    query text,
    headers json NOT NULL,
    payload json,
    raw_body bytea,
    remote_addr inet,
    secret_label text,
    verified boolean NOT NULL
) PARTITION BY RANGE (received_at);
COMMENT ON TABLE webhook_bridge.events IS
'Stored deliveries, one partition per day (UTC)';
COMMENT ON COLUMN webhook_bridge.events.id IS 'Identifies the event; grows with time, with gaps';
COMMENT ON COLUMN webhook_bridge.events.received_at IS 'When the transaction that stored it began';
COMMENT ON COLUMN webhook_bridge.events.endpoint IS 'Name of the endpoint that received it';
COMMENT ON COLUMN webhook_bridge.events.topic IS 'What happened, in the provider''s words';
COMMENT ON COLUMN webhook_bridge.events.external_id IS 'The provider''s id of the delivery or event';
COMMENT ON COLUMN webhook_bridge.events.source IS 'Shop, store or account it came from, as the provider names it';
COMMENT ON COLUMN webhook_bridge.events.webhook_remote_id IS 'The provider''s id of the registration that caused it';
COMMENT ON COLUMN webhook_bridge.events.occurred_at IS 'When it happened or was sent, as the provider says';
COMMENT ON COLUMN webhook_bridge.events.error_code IS 'Set if the delivery reports an error of the provider instead of an event';
COMMENT ON COLUMN webhook_bridge.events.method IS 'Method of the request';
COMMENT ON COLUMN webhook_bridge.events.query IS 'Query of the request, as received; a token in it is replaced by ***';
COMMENT ON COLUMN webhook_bridge.events.headers IS
'Header fields in order of arrival, with their spelling; repeated ones are repeated; a token is replaced by ***';
COMMENT ON COLUMN webhook_bridge.events.payload IS
'The body, byte for byte, if it is JSON that can be cast to jsonb; else null';
COMMENT ON COLUMN webhook_bridge.events.raw_body IS 'The body if it is not in payload; else null';
COMMENT ON COLUMN webhook_bridge.events.remote_addr IS 'Address of the client: who has connected, or whom one of webhook_bridge.trusted_proxies names';
COMMENT ON COLUMN webhook_bridge.events.secret_label IS 'Label of the secret that matched';
COMMENT ON COLUMN webhook_bridge.events.verified IS
'Whether the signature was right; only endpoints with allow_unverified have others';

CREATE FUNCTION webhook_bridge.event_body(event webhook_bridge.events)
RETURNS bytea
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce((event).raw_body, convert_to((event).payload::text, 'UTF8'));
END;
COMMENT ON FUNCTION webhook_bridge.event_body(webhook_bridge.events) IS
'The body of an event exactly as it was received';

CREATE FUNCTION webhook_bridge.is_event_partition(name text)
RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                   WHERE i.inhparent = 'webhook_bridge.events'::regclass AND NOT i.inhdetachpending
                     AND c.relname = name AND c.relnamespace = 'webhook_bridge'::regnamespace);
END;
COMMENT ON FUNCTION webhook_bridge.is_event_partition(text) IS
'Private: whether events has a partition of this name';

-- Attached, not created as a partition, because that needs no lock that stops
-- deliveries.  Deliveries of 1 to 8 kB stay in the row: storing them out of
-- line costs more than it saves.
-- With the rights of the owner: receivers may be in a role that owns nothing.
CREATE FUNCTION webhook_bridge.create_event_partitions(first_day date, days integer)
RETURNS integer
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
DECLARE
    day date;
    partition text;
    created integer := 0;
BEGIN
    FOR i IN 0 .. days - 1 LOOP
        day := first_day + i;
        partition := 'events_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN webhook_bridge.is_event_partition(partition);
        -- one session makes a partition, the others wait and find it
        LOCK TABLE ONLY webhook_bridge.events IN SHARE UPDATE EXCLUSIVE MODE;
        CONTINUE WHEN webhook_bridge.is_event_partition(partition);
        IF to_regclass('webhook_bridge.' || partition) IS NOT NULL THEN
            RAISE WARNING 'table "webhook_bridge.%" is not a partition of webhook_bridge.events', partition
                USING ERRCODE = 'duplicate_table',
                      DETAIL = format('Events of %s cannot be stored while it has this name.', day),
                      HINT = 'Drop, rename or attach it.';
            CONTINUE;
        END IF;
        EXECUTE format(
            'CREATE TABLE webhook_bridge.%I (LIKE webhook_bridge.events INCLUDING ALL, '
            'PRIMARY KEY (id, endpoint, received_at)) WITH (toast_tuple_target = 8160)', partition);
        EXECUTE format(
            'ALTER TABLE webhook_bridge.events ATTACH PARTITION webhook_bridge.%I '
            'FOR VALUES FROM (%L) TO (%L)', partition, day::timestamptz, (day + 1)::timestamptz);
        created := created + 1;
    END LOOP;
    RETURN created;
END
$$;
COMMENT ON FUNCTION webhook_bridge.create_event_partitions(date, integer) IS
'Makes the partitions of events for a number of days (UTC) that are not there yet, and returns how many. Receivers and keeper call it by themselves';

-- Rows come and go all the time: vacuumed early, so that their room is used again.
-- The key comes first in the index, because it is what tells two rows apart.
CREATE TABLE webhook_bridge.dedup (
    event_id bigint NOT NULL,
    received_at timestamptz NOT NULL,
    endpoint integer NOT NULL,
    key uuid NOT NULL,
    CONSTRAINT dedup_pkey PRIMARY KEY (key, endpoint)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
COMMENT ON TABLE webhook_bridge.dedup IS
'Ledger by which duplicates are recognised; a row is kept for the endpoint''s dedup_retention, whatever becomes of the event';
COMMENT ON COLUMN webhook_bridge.dedup.event_id IS 'The event that was stored';
COMMENT ON COLUMN webhook_bridge.dedup.received_at IS 'When it was stored';
COMMENT ON COLUMN webhook_bridge.dedup.endpoint IS 'Id of the endpoint';
COMMENT ON COLUMN webhook_bridge.dedup.key IS
'What identifies the delivery: the first 16 bytes of a SHA-256 of its external_id, as ledger_key() makes them, or of its content';
SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.dedup', '');

CREATE FUNCTION webhook_bridge.ledger_key(external_id text)
RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT encode(substr(sha256(convert_to(ledger_key.external_id, 'UTF8')), 1, 16), 'hex')::uuid;
END;
COMMENT ON FUNCTION webhook_bridge.ledger_key(text) IS
'The key in the ledger of duplicates (dedup) of a delivery with this external_id';

CREATE FUNCTION webhook_bridge.forget_ledger()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.provider <> OLD.provider THEN
        DELETE FROM webhook_bridge.dedup d WHERE d.endpoint = OLD.id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION webhook_bridge.forget_ledger() IS
'Private: empties the ledger of an endpoint that gets another provider';

-- What another sender once sent is not a duplicate.  The rows of an endpoint that
-- is dropped are in nobody's way, because its id is not given again; they have their time.
CREATE TRIGGER forget_ledger
    AFTER UPDATE OF provider ON webhook_bridge.endpoints
    FOR EACH ROW EXECUTE FUNCTION webhook_bridge.forget_ledger();
COMMENT ON TRIGGER forget_ledger ON webhook_bridge.endpoints IS
'Ends the ledger of an endpoint with its provider';
