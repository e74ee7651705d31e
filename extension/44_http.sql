-- ---------------------------------------------------------------------------
-- Calling providers
-- ---------------------------------------------------------------------------

CREATE FUNCTION webhook_bridge.http_call(
    request webhook_bridge.http_request,
    idempotent boolean)
RETURNS webhook_bridge.http_response
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_http_call';
COMMENT ON FUNCTION webhook_bridge.http_call(webhook_bridge.http_request, boolean) IS
'Private: sends a request and waits for the answer; one that is idempotent is sent again if the connection fails. Raises WB001 could not connect or connection lost, WB002 timed out, WB003 address not allowed, WB004 answer too large or not readable as text';
