WITH stored AS (
    INSERT INTO rows (external_id, endpoint, topic, webhook_remote_id, method, headers, payload, remote_addr, secret_label, verified)
    VALUES (gen_random_uuid()::text, 'github-1024', 'push', '292430182', 'POST', :headers, :payload, '127.0.0.1', 'default', true)
    RETURNING id)
SELECT pg_notify('webhook_bridge', id::text) FROM stored;
