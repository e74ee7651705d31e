-- ---------------------------------------------------------------------------
-- Rejections
-- ---------------------------------------------------------------------------

-- Diagnostics, bounded in rows and rate, and no truth that has to survive: dumps
-- leave out these rows and the sequence.
CREATE SEQUENCE webhook_bridge.rejection_ids;
COMMENT ON SEQUENCE webhook_bridge.rejection_ids IS 'Ids of rejections';

CREATE TABLE webhook_bridge.rejections (
    id bigint NOT NULL DEFAULT nextval('webhook_bridge.rejection_ids'),
    rejected_at timestamptz NOT NULL DEFAULT now(),
    endpoint text NOT NULL
        CONSTRAINT rejections_endpoint_fkey REFERENCES webhook_bridge.endpoints ON DELETE CASCADE ON UPDATE CASCADE,
    reason text NOT NULL,
    method text NOT NULL,
    query text,
    headers json NOT NULL,
    body bytea NOT NULL,
    body_size bigint NOT NULL,
    remote_addr inet,
    CONSTRAINT rejections_pkey PRIMARY KEY (id)
);
CREATE INDEX rejections_endpoint_idx ON webhook_bridge.rejections (endpoint, id);
COMMENT ON TABLE webhook_bridge.rejections IS
'The newest deliveries that each endpoint refused, up to webhook_bridge.max_rejections, and not every one of a flood. Nothing in them is verified. A token that was compared and is wrong is not masked, because it may have to be seen and the delivery readmitted: keep them like secrets';
COMMENT ON INDEX webhook_bridge.rejections_pkey IS 'Finds the one to readmit';
COMMENT ON INDEX webhook_bridge.rejections_endpoint_idx IS 'Finds the newest of an endpoint';
COMMENT ON COLUMN webhook_bridge.rejections.id IS 'Identifies the rejection; grows with time, with gaps';
COMMENT ON COLUMN webhook_bridge.rejections.rejected_at IS 'When it was refused; a time of signing is judged as of then';
COMMENT ON COLUMN webhook_bridge.rejections.endpoint IS 'Name of the endpoint that refused it';
COMMENT ON COLUMN webhook_bridge.rejections.reason IS 'Why; the sender was only told that it is refused';
COMMENT ON COLUMN webhook_bridge.rejections.method IS 'Method of the request';
COMMENT ON COLUMN webhook_bridge.rejections.query IS 'Query of the request, as received';
COMMENT ON COLUMN webhook_bridge.rejections.headers IS
'Header fields in order of arrival, with their spelling; repeated ones are repeated';
COMMENT ON COLUMN webhook_bridge.rejections.body IS 'The body, or its first 8192 bytes';
COMMENT ON COLUMN webhook_bridge.rejections.body_size IS 'Bytes of the whole body, as far as it was announced or read';
COMMENT ON COLUMN webhook_bridge.rejections.remote_addr IS 'Address of the client: who has connected, or whom one of webhook_bridge.trusted_proxies names';

CREATE FUNCTION webhook_bridge.admit(
    path text,
    arrived_at timestamptz,
    method text,
    query text,
    header_names text[],
    header_values text[],
    body bytea,
    remote_addr inet,
    OUT event_id bigint,
    OUT refusal text)
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_admit';
COMMENT ON FUNCTION webhook_bridge.admit(text, timestamptz, text, text, text[], text[], bytea, inet) IS
'Private: judges and stores a delivery as a receiver does, and returns the id of the event or why it is refused; neither if it was stored before';

CREATE FUNCTION webhook_bridge.readmit_rejection(id bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    rejection webhook_bridge.rejections;
    place webhook_bridge.endpoints;
    names text[];
    contents text[];
    event_id bigint;
    refusal text;
BEGIN
    -- whoever comes second waits here, and finds nothing
    DELETE FROM webhook_bridge.rejections r WHERE r.id = readmit_rejection.id
    RETURNING r.* INTO rejection;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'rejection % does not exist', readmit_rejection.id
            USING ERRCODE = 'undefined_object',
                  DETAIL = 'It has been readmitted, or newer ones have taken its place.',
                  HINT = 'SELECT id FROM webhook_bridge.rejections shows those there are.';
    END IF;
    IF octet_length(rejection.body) < rejection.body_size THEN
        RAISE EXCEPTION 'rejection % cannot be readmitted', rejection.id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Only %s of %s bytes of its body were kept.',
                                  octet_length(rejection.body), rejection.body_size),
                  HINT = 'Have the provider send it again.';
    END IF;
    SELECT e.* INTO STRICT place FROM webhook_bridge.endpoints e WHERE e.name = rejection.endpoint;
    IF NOT place.enabled THEN
        RAISE EXCEPTION 'rejection % cannot be readmitted', rejection.id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Endpoint "%s" is disabled.', place.name),
                  HINT = 'UPDATE webhook_bridge.endpoints SET enabled = true makes it take deliveries again.';
    END IF;

    SELECT array_agg(h.name ORDER BY h.number), array_agg(h.content ORDER BY h.number)
    INTO names, contents
    FROM json_each_text(rejection.headers) WITH ORDINALITY AS h (name, content, number);
    PERFORM webhook_bridge.create_event_partitions((now() AT TIME ZONE 'UTC')::date, 1);
    SELECT a.event_id, a.refusal INTO event_id, refusal
    FROM webhook_bridge.admit(place.path, rejection.rejected_at, rejection.method, rejection.query,
                              coalesce(names, '{}'), coalesce(contents, '{}'),
                              rejection.body, rejection.remote_addr) a;
    IF refusal IS NOT NULL THEN
        RAISE EXCEPTION 'rejection % is still refused', rejection.id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('The reason: %s.', refusal),
                  HINT = format('SELECT * FROM webhook_bridge.explain_rejection(%s) says more.', rejection.id);
    END IF;
    IF event_id IS NULL THEN
        RAISE NOTICE 'the delivery of rejection % was stored before', rejection.id
            USING DETAIL = format('Endpoint "%s" has stored its id or content. The rejection is deleted.', place.name);
    END IF;
    RETURN event_id;
END
$$;
COMMENT ON FUNCTION webhook_bridge.readmit_rejection(bigint) IS
'Stores a refused delivery as an event, if the endpoint would take it today, and deletes the rejection; returns the event''s id, or null if it was stored before';
