-- ---------------------------------------------------------------------------
-- Endpoints
-- ---------------------------------------------------------------------------

CREATE SEQUENCE webhook_bridge.endpoint_ids AS integer;
COMMENT ON SEQUENCE webhook_bridge.endpoint_ids IS 'Ids of endpoints';
SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.endpoint_ids', '');

CREATE TABLE webhook_bridge.endpoints (
    name text PRIMARY KEY,
    provider text NOT NULL
        CONSTRAINT endpoints_provider_fkey REFERENCES webhook_bridge.providers ON UPDATE CASCADE,
    path text NOT NULL
        CONSTRAINT endpoints_path_key UNIQUE,
    channel text NOT NULL DEFAULT 'webhook_bridge',
    notify text NOT NULL DEFAULT 'event',
    dedup text NOT NULL DEFAULT 'id',
    max_body_size integer,
    allow_unverified boolean NOT NULL DEFAULT false,
    enabled boolean NOT NULL DEFAULT true,
    params jsonb NOT NULL DEFAULT '{}',
    account text
        CONSTRAINT endpoints_account_fkey REFERENCES webhook_bridge.accounts ON UPDATE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    retention interval DEFAULT '30 days',
    dedup_retention interval NOT NULL DEFAULT '7 days',
    id integer NOT NULL DEFAULT nextval('webhook_bridge.endpoint_ids')
        CONSTRAINT endpoints_id_key UNIQUE
);
COMMENT ON TABLE webhook_bridge.endpoints IS
'Local addresses that receive the deliveries of one provider each; a change takes effect for the first request after its commit';
COMMENT ON COLUMN webhook_bridge.endpoints.name IS 'Name, also in events.endpoint';
COMMENT ON COLUMN webhook_bridge.endpoints.provider IS 'Who sends';
COMMENT ON COLUMN webhook_bridge.endpoints.path IS 'Path of the delivery URL; unless given, /hooks/NAME';
COMMENT ON COLUMN webhook_bridge.endpoints.channel IS 'Channel that is notified of events';
COMMENT ON COLUMN webhook_bridge.endpoints.notify IS
'event: one notification per event; batch: one per transaction; none';
COMMENT ON COLUMN webhook_bridge.endpoints.dedup IS
'id: a verified delivery whose external_id this endpoint has already stored is answered 200 and not stored again; content: the same of topic, source and what providers.content_from makes of it; none: every delivery is stored';
COMMENT ON COLUMN webhook_bridge.endpoints.max_body_size IS
'Largest body in bytes; null: webhook_bridge.max_body_size';
COMMENT ON COLUMN webhook_bridge.endpoints.allow_unverified IS
'Whether deliveries that cannot be verified are stored too, with events.verified = false';
COMMENT ON COLUMN webhook_bridge.endpoints.enabled IS 'Whether deliveries are taken; if not, they are answered 404';
COMMENT ON COLUMN webhook_bridge.endpoints.params IS
'Constants for the provider''s templates, as {param:name}: a JSON object of strings';
COMMENT ON COLUMN webhook_bridge.endpoints.account IS
'Whose deliveries it receives, if webhooks are managed from here';
COMMENT ON COLUMN webhook_bridge.endpoints.created_at IS 'When the endpoint was created';
COMMENT ON COLUMN webhook_bridge.endpoints.retention IS
'How long events are kept, at least; they go when the whole day (UTC) is older. Null: for ever';
COMMENT ON COLUMN webhook_bridge.endpoints.dedup_retention IS
'How long repeated deliveries are recognised, at least';
COMMENT ON COLUMN webhook_bridge.endpoints.id IS 'What stands for the name in the ledger of duplicates';

CREATE FUNCTION webhook_bridge.check_endpoint()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind webhook_bridge.providers;
BEGIN
    IF (NEW.name ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$') IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid endpoint name "%"', left(NEW.name, 80)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'A name has 1 to 63 letters, digits, underscores and hyphens, and starts with a letter or digit.',
                  HINT = 'For example "shop-orders".';
    END IF;
    -- what a client sends as path of the request target (RFC 3986, section 3.3), without escapes
    IF (NEW.path ~ '^(/[A-Za-z0-9._~!$&''()*+,;=:@-]+)+$' AND octet_length(NEW.path) <= 255
        AND NEW.path !~ '/[.][.]?(/|$)') IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid endpoint path "%"', left(NEW.path, 300)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'A path starts with a slash, has no empty or dot segments, no query and no escapes, and at most 255 bytes.',
                  HINT = 'For example "/hooks/shop-orders".';
    END IF;
    IF (octet_length(NEW.channel) BETWEEN 1 AND 63) IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid notification channel "%"', left(NEW.channel, 80)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'The name of a channel has 1 to 63 bytes.',
                  HINT = 'For example "webhook_bridge".';
    END IF;
    IF (NEW.notify IN ('event', 'batch', 'none')) IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid value for notify: "%"', left(NEW.notify, 80)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is neither "event" nor "batch" nor "none".',
                  HINT = 'With "event", every event is notified of.';
    END IF;
    IF (NEW.dedup IN ('id', 'content', 'none')) IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid value for dedup: "%"', left(NEW.dedup, 80)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is neither "id" nor "content" nor "none".',
                  HINT = 'With "id", deliveries with an id that was stored before are not stored again.';
    END IF;
    SELECT p.* INTO kind FROM webhook_bridge.providers p WHERE p.name = NEW.provider;
    IF NEW.dedup = 'content' AND kind.name IS NOT NULL AND kind.content_from IS NULL THEN
        RAISE EXCEPTION 'deliveries of provider "%" cannot be recognised by their content', NEW.provider
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It differs from attempt to attempt, or is the same in different deliveries.',
                  HINT = CASE WHEN kind.external_id_from IS NULL THEN 'Leave dedup out, and let what handles events bear repeated ones.'
                              ELSE 'Use dedup => ''id''.' END;
    END IF;
    IF NEW.max_body_size NOT BETWEEN 1 AND 67108864 THEN
        RAISE EXCEPTION 'invalid value for max_body_size: %', NEW.max_body_size
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is not between 1 and 67108864 bytes.',
                  HINT = 'Null stands for the setting webhook_bridge.max_body_size.';
    END IF;
    IF NEW.retention NOT BETWEEN '1 day' AND '1000 years' THEN
        RAISE EXCEPTION 'invalid value for retention: %', NEW.retention
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is not between 1 day and 1000 years. Events are kept in partitions of a day each.',
                  HINT = 'For example "90 days"; null keeps events for ever.';
    END IF;
    IF (NEW.dedup_retention > '0' AND NEW.dedup_retention <= '1000 years') IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid value for dedup_retention: %', NEW.dedup_retention
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is not longer than 0 and at most 1000 years.',
                  HINT = 'For example "7 days", within which providers have given up repeating a delivery.';
    END IF;
    IF (jsonb_typeof(NEW.params) = 'object'
        AND NOT jsonb_path_exists(NEW.params, '$.* ? (@.type() <> "string")')) IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid parameters of endpoint "%"', NEW.name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'They are not a JSON object whose values are strings.',
                  HINT = 'For example {"topic": "NEW_MEMBER"}.';
    END IF;
    IF EXISTS (SELECT FROM webhook_bridge.accounts a WHERE a.name = NEW.account AND a.provider <> NEW.provider) THEN
        RAISE EXCEPTION 'account "%" is not at provider "%"', NEW.account, NEW.provider
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is the account of endpoint "%s".', NEW.name),
                  HINT = 'The endpoint of an account has the account''s provider.';
    END IF;
    IF NEW.allow_unverified IS NOT TRUE AND kind.algorithm = 'none' THEN
        RAISE EXCEPTION 'deliveries of provider "%" cannot be verified', NEW.provider
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'The provider signs nothing, so anybody who knows the URL could send events.',
                  HINT = 'Set allow_unverified => true if that is what you want.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION webhook_bridge.check_endpoint() IS
'Private: refuses endpoints that cannot work, with an error that says why';

CREATE TRIGGER check_endpoint
    BEFORE INSERT OR UPDATE ON webhook_bridge.endpoints
    FOR EACH ROW EXECUTE FUNCTION webhook_bridge.check_endpoint();
COMMENT ON TRIGGER check_endpoint ON webhook_bridge.endpoints IS 'Refuses endpoints that cannot work';

CREATE TRIGGER invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON webhook_bridge.endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION webhook_bridge.invalidate();
COMMENT ON TRIGGER invalidate ON webhook_bridge.endpoints IS 'Makes changes take effect in the receivers';

SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.endpoints', '');

-- ---------------------------------------------------------------------------
-- Secrets
-- ---------------------------------------------------------------------------

CREATE TABLE webhook_bridge.secrets (
    endpoint text NOT NULL
        CONSTRAINT secrets_endpoint_fkey REFERENCES webhook_bridge.endpoints ON DELETE CASCADE ON UPDATE CASCADE,
    label text NOT NULL,
    secret text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    CONSTRAINT secrets_pkey PRIMARY KEY (endpoint, label)
);
COMMENT ON TABLE webhook_bridge.secrets IS
'Keys of signatures; an endpoint may have several at once, so that they can be changed without losing a delivery. Not to be granted to anybody';
COMMENT ON COLUMN webhook_bridge.secrets.endpoint IS 'Whose deliveries are verified';
COMMENT ON COLUMN webhook_bridge.secrets.label IS 'Name of the secret; events.secret_label says which one matched';
COMMENT ON COLUMN webhook_bridge.secrets.secret IS 'The secret as the provider gives it, in the provider''s secret_encoding';
COMMENT ON COLUMN webhook_bridge.secrets.created_at IS 'When it was added';
COMMENT ON COLUMN webhook_bridge.secrets.expires_at IS 'When it ceases to be accepted; null: never';

CREATE FUNCTION webhook_bridge.check_secret_row()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- a constraint would show the whole row when it is violated
    NEW.created_at := coalesce(NEW.created_at, now());
    IF (octet_length(NEW.label) BETWEEN 1 AND 63) IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid label "%" of a secret', left(NEW.label, 80)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'A label has 1 to 63 bytes.',
                  HINT = 'For example "2026-07".';
    END IF;
    IF NEW.endpoint IS NULL OR NEW.secret IS NULL THEN
        RAISE EXCEPTION 'endpoint and secret must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM webhook_bridge.check_secret(e.provider, NEW.secret)
    FROM webhook_bridge.endpoints e WHERE e.name = NEW.endpoint;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION webhook_bridge.check_secret_row() IS
'Private: refuses secrets that the endpoint''s provider cannot use';

CREATE TRIGGER check_secret
    BEFORE INSERT OR UPDATE ON webhook_bridge.secrets
    FOR EACH ROW EXECUTE FUNCTION webhook_bridge.check_secret_row();
COMMENT ON TRIGGER check_secret ON webhook_bridge.secrets IS 'Refuses secrets that the endpoint''s provider cannot use';

CREATE TRIGGER invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON webhook_bridge.secrets
    FOR EACH STATEMENT EXECUTE FUNCTION webhook_bridge.invalidate();
COMMENT ON TRIGGER invalidate ON webhook_bridge.secrets IS 'Makes changes take effect in the receivers';

SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.secrets', '');

-- ---------------------------------------------------------------------------
-- Managing endpoints and secrets
-- ---------------------------------------------------------------------------

CREATE TYPE webhook_bridge.endpoint_info AS (
    name text,
    provider text,
    url text,
    path text,
    channel text,
    notify text,
    dedup text,
    max_body_size integer,
    allow_unverified boolean,
    enabled boolean,
    params jsonb,
    account text,
    retention interval,
    dedup_retention interval
);
COMMENT ON TYPE webhook_bridge.endpoint_info IS
'An endpoint with its delivery URL, which is what to register at the provider';

CREATE FUNCTION webhook_bridge.delivery_url(endpoint text)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT webhook_bridge.base_url() || e.path ||
           CASE WHEN p.algorithm = 'token' AND p.signature_from LIKE 'query:%' THEN
               '?' || substr(p.signature_from, 7) || '=' || webhook_bridge.url_encode(s.secret)
           ELSE '' END
    FROM webhook_bridge.endpoints e
         JOIN webhook_bridge.providers p ON p.name = e.provider
         LEFT JOIN LATERAL (
             SELECT x.secret FROM webhook_bridge.secrets x
             WHERE x.endpoint = e.name AND (x.expires_at IS NULL OR x.expires_at > now())
             ORDER BY x.created_at DESC, x.label
             LIMIT 1) s ON true
    WHERE e.name = delivery_url.endpoint;
END;
COMMENT ON FUNCTION webhook_bridge.delivery_url(text) IS
'URL to register at the provider; contains the secret where the provider carries it in the URL; null if there is no such endpoint';

CREATE FUNCTION webhook_bridge.create_endpoint(
    name text,
    provider text,
    secret text DEFAULT NULL,
    path text DEFAULT NULL,
    channel text DEFAULT 'webhook_bridge',
    notify text DEFAULT 'event',
    dedup text DEFAULT 'id',
    max_body_size integer DEFAULT NULL,
    allow_unverified boolean DEFAULT false,
    params jsonb DEFAULT '{}',
    account text DEFAULT NULL,
    retention interval DEFAULT '30 days',
    dedup_retention interval DEFAULT '7 days')
RETURNS webhook_bridge.endpoint_info
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    kind webhook_bridge.providers;
    owner webhook_bridge.accounts;
    created webhook_bridge.endpoints;
    result webhook_bridge.endpoint_info;
BEGIN
    IF name IS NULL OR provider IS NULL THEN
        RAISE EXCEPTION 'name and provider must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT p.* INTO kind FROM webhook_bridge.providers p WHERE p.name = provider;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'provider "%" does not exist', provider
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM webhook_bridge.providers shows those there are; "generic" serves senders of your own.';
    END IF;

    IF account IS NOT NULL THEN
        SELECT a.* INTO owner FROM webhook_bridge.accounts a WHERE a.name = account;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'account "%" does not exist', account
                USING ERRCODE = 'undefined_object',
                      HINT = 'SELECT name FROM webhook_bridge.accounts shows those there are.';
        END IF;
        -- of another provider: refused below
        secret := coalesce(secret, owner.credentials ->> kind.account_secret);
    END IF;

    -- where the secret is the webhook's, registering it tells the provider
    IF secret IS NULL AND (kind.generates_secret OR account IS NOT NULL AND kind.account_secret IS NULL
                           AND kind.algorithm LIKE 'hmac%') THEN
        secret := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
    END IF;
    IF secret IS NULL AND kind.algorithm <> 'none' AND allow_unverified IS NOT TRUE THEN
        RAISE EXCEPTION 'endpoint "%" needs a secret', name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Deliveries of provider "%s" are signed; without a secret they cannot be verified.', provider),
                  HINT = 'Pass secret => ''...'', as the provider gives it.';
    END IF;
    IF secret IS NOT NULL AND kind.algorithm = 'none' THEN
        RAISE EXCEPTION 'endpoint "%" cannot use a secret', name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Provider "%s" signs nothing.', provider),
                  HINT = 'Leave the secret out.';
    END IF;

    INSERT INTO webhook_bridge.endpoints
        (name, provider, path, channel, notify, dedup, max_body_size, allow_unverified, params, account,
         retention, dedup_retention)
    VALUES (name, provider, coalesce(path, '/hooks/' || name), channel, notify, dedup,
            max_body_size, allow_unverified, params, account, retention, dedup_retention)
    RETURNING * INTO created;
    IF secret IS NOT NULL THEN
        INSERT INTO webhook_bridge.secrets (endpoint, label, secret)
        VALUES (name, 'default', secret);
    END IF;

    SELECT created.name, created.provider, webhook_bridge.delivery_url(created.name), created.path,
           created.channel, created.notify, created.dedup, created.max_body_size,
           created.allow_unverified, created.enabled, created.params, created.account,
           created.retention, created.dedup_retention
    INTO result;
    RETURN result;
END
$$;
COMMENT ON FUNCTION webhook_bridge.create_endpoint(text, text, text, text, text, text, text, integer, boolean, jsonb, text, interval, interval) IS
'Creates an endpoint and returns it with its delivery URL. The secret is required where the provider signs, except where one is made at random or is the account''s';

CREATE FUNCTION webhook_bridge.drop_endpoint(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- waits for whoever is registering a webhook for it
    PERFORM FROM webhook_bridge.endpoints e WHERE e.name = drop_endpoint.name FOR UPDATE;
    IF EXISTS (SELECT FROM webhook_bridge.webhooks w WHERE w.endpoint = drop_endpoint.name) THEN
        RAISE EXCEPTION 'endpoint "%" is in use', name
            USING ERRCODE = 'object_in_use',
                  DETAIL = 'Webhooks are registered for it.',
                  HINT = 'Remove them first with webhook_bridge.delete_webhook().';
    END IF;
    DELETE FROM webhook_bridge.endpoints e WHERE e.name = drop_endpoint.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'endpoint "%" does not exist', name
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM webhook_bridge.endpoints shows those there are.';
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.drop_endpoint(text) IS
'Removes an endpoint, its secrets and its rejections; its events stay';

CREATE FUNCTION webhook_bridge.add_secret(
    endpoint text,
    secret text,
    label text DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF endpoint IS NULL OR secret IS NULL THEN
        RAISE EXCEPTION 'endpoint and secret must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM FROM webhook_bridge.endpoints e WHERE e.name = endpoint;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'endpoint "%" does not exist', endpoint
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM webhook_bridge.endpoints shows those there are.';
    END IF;
    label := coalesce(label, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'));
    INSERT INTO webhook_bridge.secrets (endpoint, label, secret, expires_at, created_at)
    VALUES (endpoint, label, secret, expires_at, clock_timestamp());
    RETURN label;
END
$$;
COMMENT ON FUNCTION webhook_bridge.add_secret(text, text, text, timestamptz) IS
'Adds a secret to an endpoint, beside those it has, and returns its label; unless given, the label is the time (UTC)';

-- What is signed with the old one is on its way: that stays until it is retired.
CREATE FUNCTION webhook_bridge.follow_credentials()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM webhook_bridge.add_secret(e.name, NEW.credentials ->> p.account_secret)
    FROM webhook_bridge.endpoints e JOIN webhook_bridge.providers p ON p.name = e.provider
    WHERE e.account = NEW.name AND p.account_secret IS NOT NULL
      AND NOT EXISTS (SELECT FROM webhook_bridge.secrets s
                      WHERE s.endpoint = e.name AND s.secret = NEW.credentials ->> p.account_secret AND s.expires_at IS NULL);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION webhook_bridge.follow_credentials() IS
'Private: gives the endpoints of an account its new secret, where the account has the secret';

CREATE TRIGGER follow_credentials
    AFTER UPDATE OF credentials ON webhook_bridge.accounts
    FOR EACH ROW EXECUTE FUNCTION webhook_bridge.follow_credentials();
COMMENT ON TRIGGER follow_credentials ON webhook_bridge.accounts IS 'Gives the endpoints of an account its new secret';

CREATE FUNCTION webhook_bridge.retire_secret(endpoint text, label text)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    expired timestamptz;
BEGIN
    DELETE FROM webhook_bridge.secrets s WHERE s.endpoint = endpoint AND s.label = label
    RETURNING s.expires_at INTO expired;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'endpoint "%" has no secret "%"', endpoint, label
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT label FROM webhook_bridge.secrets shows those it has.';
    END IF;
    IF (expired IS NULL OR expired > now())
       AND NOT EXISTS (SELECT FROM webhook_bridge.secrets s
                   WHERE s.endpoint = endpoint AND (s.expires_at IS NULL OR s.expires_at > now()))
       AND NOT EXISTS (SELECT FROM webhook_bridge.endpoints e
                       WHERE e.name = endpoint AND e.allow_unverified) THEN
        RAISE EXCEPTION 'cannot retire the last valid secret of endpoint "%"', endpoint
            USING ERRCODE = 'object_in_use',
                  DETAIL = 'Every delivery would be refused.',
                  HINT = 'Add the new secret first with webhook_bridge.add_secret(), or drop the endpoint.';
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.retire_secret(text, text) IS
'Removes a secret of an endpoint, from the next delivery on';
