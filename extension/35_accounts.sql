-- ---------------------------------------------------------------------------
-- Accounts
-- ---------------------------------------------------------------------------

CREATE TABLE webhook_bridge.accounts (
    name text PRIMARY KEY,
    provider text NOT NULL
        CONSTRAINT accounts_provider_fkey REFERENCES webhook_bridge.providers ON UPDATE CASCADE,
    base_url text NOT NULL,
    credentials jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE webhook_bridge.accounts IS
'Stores, shops and tenants at providers, whose webhooks are managed from here. Not to be granted to anybody';
COMMENT ON COLUMN webhook_bridge.accounts.name IS 'Name by which the functions refer to the account';
COMMENT ON COLUMN webhook_bridge.accounts.provider IS 'Where the account is';
COMMENT ON COLUMN webhook_bridge.accounts.base_url IS 'What URLs of the provider''s management API start with, for this account';
COMMENT ON COLUMN webhook_bridge.accounts.credentials IS
'JSON object of strings with the members that the provider needs: see providers.credentials';
COMMENT ON COLUMN webhook_bridge.accounts.created_at IS 'When the account was created';

CREATE FUNCTION webhook_bridge.check_account()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind webhook_bridge.providers;
    member text;
BEGIN
    -- a constraint would show the whole row when it is violated
    NEW.created_at := coalesce(NEW.created_at, now());
    IF (NEW.name ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$') IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid account name "%"', left(NEW.name, 80)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'A name has 1 to 63 letters, digits, underscores and hyphens, and starts with a letter or digit.',
                  HINT = 'For example "main-shop".';
    END IF;
    SELECT p.* INTO kind FROM webhook_bridge.providers p WHERE p.name = NEW.provider;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'provider "%" does not exist', NEW.provider
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM webhook_bridge.providers shows those there are.';
    END IF;
    IF kind.request_function IS NULL AND kind.registration_function IS NULL THEN
        RAISE EXCEPTION 'webhooks of provider "%" are not managed from here', NEW.provider
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = 'Nothing is known of a management API.',
                  HINT = 'Register webhooks in the provider''s settings, with the URL of an endpoint.';
    END IF;
    IF (NEW.base_url ~ '^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?$'
        AND NEW.base_url !~ '/[.][.]?(/|$)' AND octet_length(NEW.base_url) <= 1000
        AND NEW.base_url ~ coalesce(kind.base_url_pattern, '')) IS NOT TRUE THEN
        -- it may contain a password
        RAISE EXCEPTION 'invalid base URL of account "%"', NEW.name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is not such a URL as the provider has, without user, query and fragment.',
                  HINT = format('For example "%s".', coalesce(kind.base_url_example, 'https://api.example.com'));
    END IF;
    IF (jsonb_typeof(NEW.credentials) = 'object'
        AND NOT jsonb_path_exists(NEW.credentials, '$.* ? (@.type() <> "string")')) IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid credentials of account "%"', NEW.name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'They are not a JSON object whose values are strings.',
                  HINT = format('The provider needs: %s.', array_to_string(kind.credentials, ', '));
    END IF;
    FOREACH member IN ARRAY kind.credentials LOOP
        IF coalesce(NEW.credentials ->> member, '') = '' OR NEW.credentials ->> member ~ '[[:cntrl:]]' THEN
            RAISE EXCEPTION 'invalid credentials of account "%"', NEW.name
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = format('"%s" is missing or empty, or has control characters.', member),
                      HINT = format('The provider needs: %s.', array_to_string(kind.credentials, ', '));
        END IF;
    END LOOP;
    SELECT k INTO member FROM jsonb_object_keys(NEW.credentials) AS k WHERE k <> ALL (kind.credentials) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'invalid credentials of account "%"', NEW.name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'They have a member that the provider does not use.',
                  HINT = format('The provider needs: %s.', array_to_string(kind.credentials, ', '));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION webhook_bridge.check_account() IS
'Private: refuses accounts that cannot work, without showing their credentials';

CREATE TRIGGER check_account
    BEFORE INSERT OR UPDATE ON webhook_bridge.accounts
    FOR EACH ROW EXECUTE FUNCTION webhook_bridge.check_account();
COMMENT ON TRIGGER check_account ON webhook_bridge.accounts IS 'Refuses accounts that cannot work';

SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.accounts', '');

CREATE TYPE webhook_bridge.account_description AS (
    name text,
    provider text,
    base_url text
);
COMMENT ON TYPE webhook_bridge.account_description IS 'An account without its credentials';

CREATE FUNCTION webhook_bridge.create_account(name text, provider text, base_url text, credentials jsonb)
RETURNS webhook_bridge.account_description
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO webhook_bridge.accounts (name, provider, base_url, credentials)
    VALUES (create_account.name, create_account.provider, rtrim(create_account.base_url, '/'), create_account.credentials);
    RETURN ROW(name, provider, rtrim(base_url, '/'))::webhook_bridge.account_description;
END
$$;
COMMENT ON FUNCTION webhook_bridge.create_account(text, text, text, jsonb) IS
'Creates an account; nothing is sent to the provider. Which members the credentials have is in providers.credentials';

CREATE FUNCTION webhook_bridge.drop_account(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    webhooks bigint;
    endpoints bigint;
BEGIN
    -- waits for whoever is registering a webhook of it
    PERFORM FROM webhook_bridge.accounts a WHERE a.name = drop_account.name FOR UPDATE;
    SELECT count(*) INTO webhooks FROM webhook_bridge.webhooks w WHERE w.account = drop_account.name;
    SELECT count(*) INTO endpoints FROM webhook_bridge.endpoints e WHERE e.account = drop_account.name;
    IF webhooks + endpoints > 0 THEN
        RAISE EXCEPTION 'account "%" is in use', name
            USING ERRCODE = 'object_in_use',
                  DETAIL = format('It has %s webhooks and %s endpoints.', webhooks, endpoints),
                  HINT = 'Remove them first with webhook_bridge.delete_webhook() and drop_endpoint().';
    END IF;
    DELETE FROM webhook_bridge.accounts a WHERE a.name = drop_account.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'account "%" does not exist', name
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM webhook_bridge.accounts shows those there are.';
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.drop_account(text) IS
'Removes an account and its credentials, unless it has webhooks or endpoints';
