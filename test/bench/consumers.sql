-- Events for consumers: a hundred thousand, of 1 kB, received a hundred at a time.
SELECT FROM webhook_bridge.create_event_partitions((now() AT TIME ZONE 'UTC')::date, 2);
TRUNCATE webhook_bridge.events, webhook_bridge.dedup, webhook_bridge.queue, webhook_bridge.attempts;
INSERT INTO webhook_bridge.events (received_at, endpoint, topic, method, headers, payload, verified)
SELECT now() + n / 100 * interval '1 us', 'ecomanager-1024', 'OrderCreated', 'POST', '[["Content-Type","application/json"]]',
       json_build_object('id', n, 'note', repeat('The quick brown fox jumps over the lazy dog. ', 22)), true
FROM generate_series(0, 99999) n;
VACUUM ANALYZE webhook_bridge.events;
SELECT webhook_bridge.create_consumer('bench');
