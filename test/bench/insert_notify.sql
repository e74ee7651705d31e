WITH stored AS (
    INSERT INTO webhook_events (id, topic, payload) VALUES (gen_random_uuid()::text, 'push', :payload) RETURNING id)
SELECT pg_notify('webhook_bridge', id) FROM stored;
