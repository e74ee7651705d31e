\echo Use "CREATE EXTENSION webhook_bridge" to load this file. \quit

-- The schema is made here and not named in the control file, so that it is a
-- member of the extension and is dropped with it.
CREATE SCHEMA webhook_bridge;
COMMENT ON SCHEMA webhook_bridge IS
'Receiving webhooks: providers, endpoints, secrets, events, and the functions to manage them';

-- ---------------------------------------------------------------------------
-- Private functions that tables need
-- ---------------------------------------------------------------------------

CREATE FUNCTION webhook_bridge.check_scheme(
    algorithm text, encoding text, signature_from text, list_separator text,
    element_prefix text, signed_content text, secret_encoding text,
    timestamp_from text, timestamp_format text, body_digest_from text,
    tolerance_seconds bigint)
RETURNS boolean
LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_check_scheme';
COMMENT ON FUNCTION webhook_bridge.check_scheme(text, text, text, text, text, text, text, text, text, text, bigint) IS
'Private: raises an error if the arguments are not a signature scheme';

CREATE FUNCTION webhook_bridge.check_template(template text)
RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_check_template';
COMMENT ON FUNCTION webhook_bridge.check_template(text) IS
'Private: raises an error if the text is not a template';

CREATE FUNCTION webhook_bridge.check_handshake(
    handshake_if text, handshake_equals text, handshake_reply text, handshake_signed boolean, algorithm text)
RETURNS boolean
LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_check_handshake';
COMMENT ON FUNCTION webhook_bridge.check_handshake(text, text, text, boolean, text) IS
'Private: raises an error if the arguments are not a handshake';

CREATE FUNCTION webhook_bridge.check_secret(provider text, secret text)
RETURNS boolean
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_check_secret';
COMMENT ON FUNCTION webhook_bridge.check_secret(text, text) IS
'Private: raises an error if a provider''s scheme cannot use the secret';

CREATE FUNCTION webhook_bridge.invalidate()
RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_invalidate';
COMMENT ON FUNCTION webhook_bridge.invalidate() IS
'Private: tells the receivers that rows they use have changed';

CREATE FUNCTION webhook_bridge.base_url()
RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_base_url';
COMMENT ON FUNCTION webhook_bridge.base_url() IS
'What delivery URLs start with: webhook_bridge.public_url, or the listen address and port';
