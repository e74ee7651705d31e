BEGIN;
SELECT webhook_bridge.ack_events('bench', array_agg(id)) FROM webhook_bridge.fetch_events('bench', 100);
COMMIT;
