INSERT INTO webhook_events (id, topic, payload) SELECT gen_random_uuid()::text, 'push', :payload FROM generate_series(1, :rows);
