-- ---------------------------------------------------------------------------
-- Privileges
-- ---------------------------------------------------------------------------

-- Nobody but the owner, until the owner grants something: what changes state,
-- reads secrets or computes with them.  The README has the grants.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA webhook_bridge FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA webhook_bridge FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA webhook_bridge FROM PUBLIC;
REVOKE ALL ON SCHEMA webhook_bridge FROM PUBLIC;

GRANT USAGE ON SCHEMA webhook_bridge TO pg_monitor;
GRANT EXECUTE ON FUNCTION webhook_bridge.status() TO pg_monitor;
GRANT SELECT ON webhook_bridge.maintenance TO pg_monitor;
