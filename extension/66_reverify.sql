-- ---------------------------------------------------------------------------
-- Whether a stored delivery verifies today
-- ---------------------------------------------------------------------------

CREATE FUNCTION webhook_bridge.reverify_event(
    id bigint,
    OUT verified boolean,
    OUT secret_label text,
    OUT reason text)
RETURNS record
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event webhook_bridge.events;
    place webhook_bridge.endpoints;
    kind webhook_bridge.providers;
    request webhook_bridge.signed_request;
    key record;
    seen record;
    tried text;
BEGIN
    SELECT e.* INTO event FROM webhook_bridge.events e WHERE e.id = reverify_event.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'event % does not exist', id
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT id FROM webhook_bridge.events shows those there are.';
    END IF;
    SELECT e.* INTO place FROM webhook_bridge.endpoints e WHERE e.name = event.endpoint;
    IF NOT FOUND THEN
        reason := format('endpoint "%s" does not exist any more', event.endpoint);
        RETURN;
    END IF;
    SELECT p.* INTO STRICT kind FROM webhook_bridge.providers p WHERE p.name = place.provider;
    IF kind.algorithm = 'none' THEN
        reason := format('provider "%s" signs nothing', kind.name);
        RETURN;
    ELSIF kind.algorithm = 'token' AND kind.signature_from NOT LIKE 'json:%' THEN
        -- *** stands there, also where it was wrong
        reason := format('the token at %s is not kept; when it was received it was %s', kind.signature_from,
                         CASE WHEN event.verified THEN format('that of secret "%s"', event.secret_label) ELSE 'not that of a secret' END);
        RETURN;
    END IF;

    request.kind := kind;
    request.body := webhook_bridge.event_body(event);
    request.method := event.method;
    request.url := webhook_bridge.base_url() || place.path || coalesce('?' || event.query, '');
    request.at := event.received_at;
    SELECT coalesce(array_agg(h.key ORDER BY h.place), '{}'), coalesce(array_agg(h.value ORDER BY h.place), '{}')
    INTO request.header_names, request.header_values
    FROM json_each_text(event.headers) WITH ORDINALITY AS h (key, value, place);
    SELECT coalesce(array_agg(m.key ORDER BY m.key), '{}'), coalesce(array_agg(m.value ORDER BY m.key), '{}')
    INTO request.param_names, request.param_values
    FROM jsonb_each_text(place.params) AS m;

    FOR key IN
        SELECT s.label, s.secret FROM webhook_bridge.secrets s
        WHERE s.endpoint = event.endpoint AND (s.expires_at IS NULL OR s.expires_at > now())
        ORDER BY s.created_at DESC, s.label
    LOOP
        SELECT i.* INTO seen FROM webhook_bridge.inspect_signature(request, key.secret) AS i;
        IF seen.matched OR tried IS NULL THEN
            tried := key.secret;
        END IF;
        IF seen.matched THEN
            secret_label := key.label;
            EXIT;
        END IF;
    END LOOP;
    IF tried IS NULL THEN
        reason := 'no secret to verify with';
        RETURN;
    END IF;
    verified := coalesce(seen.verdict = 'signature verified', false);
    reason := CASE WHEN verified THEN 'signature verified' ELSE coalesce(
        (SELECT format('The signature is right with secret "%s", which has expired.', s.label)
         FROM webhook_bridge.secrets s
         WHERE NOT seen.matched AND s.endpoint = event.endpoint AND s.expires_at <= now() AND webhook_bridge.fits(request, s.secret)
         ORDER BY s.expires_at DESC LIMIT 1),
        webhook_bridge.find_cause(request, tried, event.endpoint)) END;
END
$$;
COMMENT ON FUNCTION webhook_bridge.reverify_event(bigint) IS
'Whether a stored event verifies with the secrets that its endpoint has today, and why not; its time of signing is judged as of received_at. Null where that cannot be known, as of a token, which is not kept. Never shows a secret';
