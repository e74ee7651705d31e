-- Events for consumers, and what they do with them.

-- A hundred thousand, of 1 kB, received a hundred at a time.
SELECT FROM webhook_bridge.create_event_partitions((now() AT TIME ZONE 'UTC')::date, 2);
TRUNCATE webhook_bridge.events, webhook_bridge.dedup, webhook_bridge.queue, webhook_bridge.attempts;
INSERT INTO webhook_bridge.events (received_at, endpoint, topic, method, headers, payload, verified)
SELECT now() + n / 100 * interval '1 us', 'ecomanager-1024', 'OrderCreated', 'POST', '[["Content-Type","application/json"]]',
       json_build_object('id', n, 'note', repeat('The quick brown fox jumps over the lazy dog. ', 22)), true
FROM generate_series(0, 99999) n;
VACUUM ANALYZE webhook_bridge.events;
SELECT webhook_bridge.create_consumer('bench');

-- Ten million small ones, over ten days.
CREATE PROCEDURE store_millions() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM webhook_bridge.create_event_partitions((now() AT TIME ZONE 'UTC')::date - 10, 10);
    FOR day IN 1 .. 10 LOOP
        INSERT INTO webhook_bridge.events (received_at, endpoint, topic, method, headers, payload, verified)
        SELECT now() - day * interval '1 day', 'ecomanager-1024', 'OrderCreated', 'POST', '[]', '{}', true
        FROM generate_series(1, 1000000);
        COMMIT;
    END LOOP;
END
$$;
