-- ---------------------------------------------------------------------------
-- Providers
-- ---------------------------------------------------------------------------

CREATE FUNCTION webhook_bridge.check_remote_functions(request_function text, response_function text, registration_function text)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind text;
    name text;
    arguments text;
    result text;
    resolved regprocedure;
BEGIN
    IF (request_function IS NULL) <> (response_function IS NULL) THEN
        RAISE EXCEPTION 'a provider has request_function and response_function, or neither'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'One makes the requests to the management API, the other reads its answers.';
    END IF;
    FOR kind, name, arguments, result IN VALUES
        ('request_function', request_function, 'text, webhook_bridge.account_info, jsonb', 'webhook_bridge.http_request'),
        ('response_function', response_function, 'text, integer, jsonb, text', 'SETOF webhook_bridge.remote_webhook'),
        ('registration_function', registration_function, 'text, text[], jsonb', 'text')
    LOOP
        CONTINUE WHEN name IS NULL;
        resolved := to_regprocedure(name || '(' || arguments || ')');
        IF resolved IS NULL OR pg_get_function_result(resolved) <> result THEN
            RAISE EXCEPTION 'there is no function %(%) that returns %', name, arguments, result
                USING ERRCODE = 'undefined_function',
                      DETAIL = format('It is named as %s of a provider.', kind),
                      HINT = 'Create the function first, and name it with its schema, as in "public.acme_request".';
        END IF;
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION webhook_bridge.check_remote_functions(text, text, text) IS
'Private: raises an error if the arguments are not the functions of a provider''s management API';

CREATE TABLE webhook_bridge.providers (
    name text PRIMARY KEY
        CONSTRAINT providers_name_check CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    title text NOT NULL,
    docs_url text,
    algorithm text NOT NULL DEFAULT 'hmac-sha256',
    encoding text NOT NULL DEFAULT 'hex',
    signature_from text,
    list_separator text NOT NULL DEFAULT '',
    element_prefix text NOT NULL DEFAULT '',
    signed_content text NOT NULL DEFAULT '{body}',
    secret_encoding text NOT NULL DEFAULT 'raw',
    timestamp_from text,
    timestamp_format text,
    tolerance interval,
    body_digest_from text,
    generates_secret boolean NOT NULL DEFAULT false,
    get_deliveries boolean NOT NULL DEFAULT false,
    topic_from text
        CONSTRAINT providers_topic_from_check CHECK (webhook_bridge.check_template(topic_from)),
    external_id_from text
        CONSTRAINT providers_external_id_from_check CHECK (webhook_bridge.check_template(external_id_from)),
    source_from text
        CONSTRAINT providers_source_from_check CHECK (webhook_bridge.check_template(source_from)),
    webhook_remote_id_from text
        CONSTRAINT providers_webhook_remote_id_from_check CHECK (webhook_bridge.check_template(webhook_remote_id_from)),
    error_code_from text
        CONSTRAINT providers_error_code_from_check CHECK (webhook_bridge.check_template(error_code_from)),
    occurred_at_from text
        CONSTRAINT providers_occurred_at_from_check CHECK (webhook_bridge.check_template(occurred_at_from)),
    occurred_at_format text NOT NULL DEFAULT 's'
        CONSTRAINT providers_occurred_at_format_check CHECK (occurred_at_format IN ('s', 'ms', 'iso8601')),
    content_from text DEFAULT '{body}'
        CONSTRAINT providers_content_from_check CHECK (webhook_bridge.check_template(content_from)),
    handshake_if text,
    handshake_equals text,
    handshake_reply text,
    handshake_type text NOT NULL DEFAULT 'text/plain'
        CONSTRAINT providers_handshake_type_check CHECK (handshake_type IN ('text/plain', 'application/json')),
    handshake_signed boolean NOT NULL DEFAULT true,
    request_function text,
    response_function text,
    registration_function text,
    credentials text[] NOT NULL DEFAULT '{}'
        CONSTRAINT providers_credentials_check CHECK (array_position(credentials, NULL) IS NULL),
    account_secret text
        CONSTRAINT providers_account_secret_check CHECK (account_secret IS NULL OR account_secret = ANY (credentials)),
    base_url_pattern text
        CONSTRAINT providers_base_url_pattern_check CHECK (base_url_pattern IS NULL OR coalesce(base_url_example, '') ~ base_url_pattern),
    base_url_example text,
    topics text[]
        CONSTRAINT providers_topics_check CHECK (array_position(topics, NULL) IS NULL),
    update_needs_current boolean NOT NULL DEFAULT false,
    remarks text,
    evidence text
        CONSTRAINT providers_evidence_check CHECK (evidence IN ('vector', 'documentation', 'secondary', 'unchecked')),
    builtin boolean NOT NULL DEFAULT false,
    CONSTRAINT providers_scheme_check CHECK (webhook_bridge.check_scheme(
        algorithm, encoding, signature_from, list_separator, element_prefix,
        signed_content, secret_encoding, timestamp_from, timestamp_format,
        body_digest_from, extract(epoch FROM tolerance)::bigint)),
    CONSTRAINT providers_handshake_check CHECK (webhook_bridge.check_handshake(
        handshake_if, handshake_equals, handshake_reply, handshake_signed, algorithm)),
    CONSTRAINT providers_remote_functions_check CHECK (webhook_bridge.check_remote_functions(
        request_function, response_function, registration_function))
);
COMMENT ON TABLE webhook_bridge.providers IS
'Kinds of remote systems: how each signs its deliveries and where a delivery carries topic, id, source and time. Add your own with INSERT; change a copy, not a built-in row, because dumps leave those out';
COMMENT ON COLUMN webhook_bridge.providers.name IS 'Name by which endpoints refer to the provider';
COMMENT ON COLUMN webhook_bridge.providers.title IS 'Name for people';
COMMENT ON COLUMN webhook_bridge.providers.docs_url IS 'Where the provider documents its webhooks';
COMMENT ON COLUMN webhook_bridge.providers.algorithm IS
'none, token (the signature is the secret itself), hmac-sha1, hmac-sha256, hmac-sha512, sha256 (plain digest of text that contains {secret}), or with the public key as secret ed25519, ecdsa-p256-sha256 (DER), rsa-sha256 (PKCS#1 v1.5)';
COMMENT ON COLUMN webhook_bridge.providers.encoding IS 'How the signature is written: hex, base64, base64url, or auto (hex or base64, told apart by the length)';
COMMENT ON COLUMN webhook_bridge.providers.signature_from IS
'Where the signature is: header:Name, json:path or query:name';
COMMENT ON COLUMN webhook_bridge.providers.list_separator IS
'Character between the elements of a signature that has several, else empty';
COMMENT ON COLUMN webhook_bridge.providers.element_prefix IS
'What an element starts with to count as a signature, such as sha256= or v1=';
COMMENT ON COLUMN webhook_bridge.providers.signed_content IS 'Template of the text that is signed';
COMMENT ON COLUMN webhook_bridge.providers.secret_encoding IS
'How secrets are written: raw (the text is the key), hex or base64; public keys as pem (also a certificate), spki (base64 of a DER SubjectPublicKeyInfo), or for ed25519 hex or base64 of the 32 bytes. Prefixes behind it are stripped, as in base64:whsec_ or base64:whpk_:whsk_';
COMMENT ON COLUMN webhook_bridge.providers.timestamp_from IS
'Where the time of signing is: header:Name, json:path, query:name, or sig:key for an element of the signature';
COMMENT ON COLUMN webhook_bridge.providers.timestamp_format IS
'Of timestamp_from: Unix seconds (s) or milliseconds (ms), or iso8601';
COMMENT ON COLUMN webhook_bridge.providers.tolerance IS
'How far the time of signing may be from now, in both directions; null: not checked';
COMMENT ON COLUMN webhook_bridge.providers.body_digest_from IS
'Where the SHA-256 of the body is, in hex, if the signature covers that and not the body itself: header:Name, json:path or query:name';
COMMENT ON COLUMN webhook_bridge.providers.generates_secret IS
'Whether create_endpoint makes a random secret when none is given';
COMMENT ON COLUMN webhook_bridge.providers.get_deliveries IS
'Whether a GET that carries signature and topic is a delivery; other GETs are answered 200 and not stored';
COMMENT ON COLUMN webhook_bridge.providers.topic_from IS 'Template of events.topic';
COMMENT ON COLUMN webhook_bridge.providers.external_id_from IS
'Template of events.external_id, by which duplicates are recognised where endpoints.dedup is id';
COMMENT ON COLUMN webhook_bridge.providers.source_from IS 'Template of events.source';
COMMENT ON COLUMN webhook_bridge.providers.webhook_remote_id_from IS 'Template of events.webhook_remote_id';
COMMENT ON COLUMN webhook_bridge.providers.error_code_from IS 'Template of events.error_code; 0 means no error';
COMMENT ON COLUMN webhook_bridge.providers.occurred_at_from IS 'Template of events.occurred_at';
COMMENT ON COLUMN webhook_bridge.providers.occurred_at_format IS 'Unix seconds (s) or milliseconds (ms), or iso8601';
COMMENT ON COLUMN webhook_bridge.providers.content_from IS
'Template of what is the same in all attempts of a delivery and in no other one, besides topic and source; a digest of it recognises duplicates where endpoints.dedup is content. Null: there is no such thing';
COMMENT ON COLUMN webhook_bridge.providers.handshake_if IS
'Template that tells a handshake, by which a provider checks the endpoint, from a delivery: what it makes of the request equals handshake_equals. A handshake is answered and not stored; null: there is none';
COMMENT ON COLUMN webhook_bridge.providers.handshake_equals IS 'Template of what handshake_if makes of a handshake';
COMMENT ON COLUMN webhook_bridge.providers.handshake_reply IS
'Template of the answer to a handshake, which may also contain {hmac:locator}';
COMMENT ON COLUMN webhook_bridge.providers.handshake_type IS
'Content type of the answer: text/plain, or application/json, in which values are escaped as in a JSON string';
COMMENT ON COLUMN webhook_bridge.providers.handshake_signed IS
'Whether a handshake is signed like a delivery and answered only if that verifies';
COMMENT ON COLUMN webhook_bridge.providers.request_function IS
'Function that makes a request of the provider''s management API, with its schema: NAME(operation text, account webhook_bridge.account_info, webhook jsonb) returns webhook_bridge.http_request, null for an operation that the API does not have; null: no such API';
COMMENT ON COLUMN webhook_bridge.providers.response_function IS
'Function that reads an answer of that API: NAME(operation text, status integer, headers jsonb, body text) returns setof webhook_bridge.remote_webhook. It never raises an error, whatever the answer is';
COMMENT ON COLUMN webhook_bridge.providers.registration_function IS
'Where people register webhooks, function that makes the text to send them: NAME(delivery_url text, topics text[], options jsonb) returns text';
COMMENT ON COLUMN webhook_bridge.providers.credentials IS
'Members that the credentials of an account must have';
COMMENT ON COLUMN webhook_bridge.providers.account_secret IS
'Which of them is the signing secret of the account''s endpoints; null: each endpoint has its own';
COMMENT ON COLUMN webhook_bridge.providers.base_url_pattern IS
'Regular expression that the base URL of an account must match';
COMMENT ON COLUMN webhook_bridge.providers.base_url_example IS 'A base URL, for people';
COMMENT ON COLUMN webhook_bridge.providers.topics IS
'Topics that webhooks can be registered for, where the API lists none; others are not refused';
COMMENT ON COLUMN webhook_bridge.providers.update_needs_current IS
'Whether an update sends the whole webhook, so that it has to be read first';
COMMENT ON COLUMN webhook_bridge.providers.remarks IS 'What to know before using it: which secret, what is not signed, what is peculiar';
COMMENT ON COLUMN webhook_bridge.providers.evidence IS
'How sure the row is: vector (recomputed from signatures that the provider or its library made), documentation (the provider''s), secondary (others who cite it), unchecked (general knowledge: try it before relying on it)';
COMMENT ON COLUMN webhook_bridge.providers.builtin IS 'Whether the row came with the extension';

CREATE TRIGGER invalidate
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON webhook_bridge.providers
    FOR EACH STATEMENT EXECUTE FUNCTION webhook_bridge.invalidate();
COMMENT ON TRIGGER invalidate ON webhook_bridge.providers IS 'Makes changes take effect in the receivers';

SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.providers', 'WHERE NOT builtin');
