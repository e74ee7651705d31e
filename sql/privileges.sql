-- Who may what, and the grants of the README.
\set SHOW_CONTEXT never
CREATE ROLE regress_wb_nobody;
CREATE ROLE regress_wb_reader;
CREATE ROLE regress_wb_monitor IN ROLE pg_monitor;

SET ROLE regress_wb_nobody;
SELECT count(*) FROM webhook_bridge.events;
SELECT webhook_bridge.verify('github', 'k', '{}', '');
SELECT * FROM webhook_bridge.status();
RESET ROLE;

-- a consumer of events
GRANT USAGE ON SCHEMA webhook_bridge TO regress_wb_reader;
GRANT SELECT ON webhook_bridge.events TO regress_wb_reader;
GRANT EXECUTE ON FUNCTION webhook_bridge.event_body(webhook_bridge.events) TO regress_wb_reader;
SELECT webhook_bridge.create_event_partitions('2026-03-01', 1);
INSERT INTO webhook_bridge.events (endpoint, received_at, method, headers, payload, verified)
VALUES ('shop', '2026-03-01 12:00Z', 'POST', '{"A":"1","A":"2"}', '{"a": 1}', true);
SET ROLE regress_wb_reader;
SELECT endpoint, headers, payload ->> 'a' AS a, convert_from(webhook_bridge.event_body(e), 'UTF8') AS body
FROM webhook_bridge.events e WHERE received_at = '2026-03-01 12:00Z';
SELECT count(*) FROM webhook_bridge.secrets;
SELECT count(*) FROM webhook_bridge.endpoints;
DELETE FROM webhook_bridge.events;
SELECT webhook_bridge.create_endpoint('mine', 'github', 'k');
SELECT webhook_bridge.delivery_url('mine');
RESET ROLE;

SET ROLE regress_wb_monitor;
SELECT count(*) FROM webhook_bridge.secrets;
RESET ROLE;
SELECT has_function_privilege('regress_wb_monitor', 'webhook_bridge.status()', 'EXECUTE');

DROP TABLE webhook_bridge.events_20260301;
REVOKE ALL ON SCHEMA webhook_bridge FROM regress_wb_reader;
REVOKE ALL ON webhook_bridge.events FROM regress_wb_reader;
REVOKE ALL ON FUNCTION webhook_bridge.event_body(webhook_bridge.events) FROM regress_wb_reader;
DROP ROLE regress_wb_nobody, regress_wb_reader, regress_wb_monitor;
