-- ---------------------------------------------------------------------------
-- Signatures
-- ---------------------------------------------------------------------------

CREATE FUNCTION webhook_bridge.verify(
    provider text,
    secret text,
    headers jsonb,
    body bytea,
    method text DEFAULT 'POST',
    url text DEFAULT NULL,
    at timestamptz DEFAULT now(),
    params jsonb DEFAULT '{}')
RETURNS boolean
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_verify';
COMMENT ON FUNCTION webhook_bridge.verify(text, text, jsonb, bytea, text, text, timestamptz, jsonb) IS
'Whether a delivery of a provider is signed with the secret and, where the provider has a window, was signed at about that time';

CREATE FUNCTION webhook_bridge.verify(
    provider text,
    secret text,
    headers jsonb,
    body text,
    method text DEFAULT 'POST',
    url text DEFAULT NULL,
    at timestamptz DEFAULT now(),
    params jsonb DEFAULT '{}')
RETURNS boolean
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT webhook_bridge.verify(provider, secret, headers, convert_to(body, 'UTF8'), method, url, at, params);
END;
COMMENT ON FUNCTION webhook_bridge.verify(text, text, jsonb, text, text, text, timestamptz, jsonb) IS
'The same for a body given as text, which is taken as UTF-8';

CREATE FUNCTION webhook_bridge.sign(
    provider text,
    secret text,
    body bytea,
    headers jsonb DEFAULT '{}',
    method text DEFAULT 'POST',
    url text DEFAULT NULL,
    at timestamptz DEFAULT now(),
    params jsonb DEFAULT '{}')
RETURNS jsonb
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_bridge_sign';
COMMENT ON FUNCTION webhook_bridge.sign(text, text, bytea, jsonb, text, text, timestamptz, jsonb) IS
'Headers to send with a delivery so that it verifies: those given, and those that carry signature and timestamp. A signature that belongs elsewhere is in a member named like its locator, such as query:token or json:signature.signature';

CREATE FUNCTION webhook_bridge.sign(
    provider text,
    secret text,
    body text,
    headers jsonb DEFAULT '{}',
    method text DEFAULT 'POST',
    url text DEFAULT NULL,
    at timestamptz DEFAULT now(),
    params jsonb DEFAULT '{}')
RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT webhook_bridge.sign(provider, secret, convert_to(body, 'UTF8'), headers, method, url, at, params);
END;
COMMENT ON FUNCTION webhook_bridge.sign(text, text, text, jsonb, text, text, timestamptz, jsonb) IS
'The same for a body given as text, which is sent as UTF-8';
