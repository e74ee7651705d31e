INSERT INTO webhook_events (id, topic, payload) VALUES (gen_random_uuid()::text, 'push', :payload);
