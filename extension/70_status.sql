-- ---------------------------------------------------------------------------
-- Operating
-- ---------------------------------------------------------------------------

CREATE FUNCTION webhook_bridge.status(
    OUT receiver integer,
    OUT pid integer,
    OUT state text,
    OUT since timestamptz,
    OUT database text,
    OUT connections integer,
    OUT batches bigint,
    OUT stored bigint,
    OUT duplicates bigint,
    OUT probes bigint,
    OUT unauthorized bigint,
    OUT not_found bigint,
    OUT bad_method bigint,
    OUT too_large bigint,
    OUT malformed bigint,
    OUT timed_out bigint,
    OUT unavailable bigint,
    OUT rate_limited bigint,
    OUT tls_failures bigint,
    OUT closed_ports integer[],
    OUT last_run timestamptz,
    OUT failing text[])
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'webhook_bridge_status';
COMMENT ON FUNCTION webhook_bridge.status() IS
'One row per receiver, and one with receiver null for the keeper: its process, its state (listening; waiting for the extension; blocked: cannot open any port; starting; draining; stopped; of the keeper running), open connections, transactions, how its requests were answered since the server started, how many connections failed to begin with TLS, and which ports it should listen on but cannot open; of the keeper when it last did its work, and which tasks failed then (webhook_bridge.maintenance says more)';
