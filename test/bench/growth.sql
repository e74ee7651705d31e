-- What a server has that has been used for long, as receivers would have left
-- it.  In the database that receives.

-- So many endpoints of GitHub's, each with its secret (see deliveries.sql).
CREATE PROCEDURE make_endpoints(how_many integer) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_bridge.endpoints (name, provider, path, dedup_retention)
    SELECT 'endpoint-' || n, 'github', '/hooks/endpoint-' || n, '30 days' FROM generate_series(0, how_many - 1) n;
    INSERT INTO webhook_bridge.secrets (endpoint, label, secret)
    SELECT 'endpoint-' || n, 'default', md5('endpoint-' || n) FROM generate_series(0, how_many - 1) n;
    COMMIT;
    ANALYZE webhook_bridge.endpoints, webhook_bridge.secrets;
END
$$;

-- So many events, of today and nine days before, each with a random id in the
-- ledger.  They are small: what is stored beside a new row is nothing to it,
-- only how large the indexes are.  The ledger's get their rows in order, as full
-- as random insertion leaves them.
CREATE PROCEDURE make_events(how_many bigint) LANGUAGE plpgsql AS $$
DECLARE
    index regclass;
BEGIN
    PERFORM webhook_bridge.create_event_partitions((now() AT TIME ZONE 'UTC')::date - 9, 11);
    FOR day IN 0 .. 9 LOOP
        INSERT INTO webhook_bridge.events
            (received_at, endpoint, topic, external_id, webhook_remote_id, method, headers, payload, remote_addr, secret_label, verified)
        SELECT now() - day * interval '1 day', 'endpoint-0', 'push', gen_random_uuid()::text, '292430182',
               'POST', '[]', '{}', '127.0.0.1', 'default', true
        FROM generate_series(1, how_many / 10);
        COMMIT;
    END LOOP;

    FOR index IN SELECT indexrelid FROM pg_index WHERE indrelid = 'webhook_bridge.dedup'::regclass LOOP
        EXECUTE format('ALTER INDEX %s SET (fillfactor = 70)', index);
    END LOOP;
    SET LOCAL work_mem = '1GB';
    INSERT INTO webhook_bridge.dedup (event_id, received_at, endpoint, key)
    SELECT v.id, v.received_at, e.id, webhook_bridge.ledger_key(v.external_id)
    FROM webhook_bridge.events v JOIN webhook_bridge.endpoints e ON e.name = v.endpoint ORDER BY 4;
    FOR index IN SELECT indexrelid FROM pg_index WHERE indrelid = 'webhook_bridge.dedup'::regclass LOOP
        EXECUTE format('ALTER INDEX %s RESET (fillfactor)', index);
    END LOOP;
    COMMIT;
END
$$;
