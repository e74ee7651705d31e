-- ---------------------------------------------------------------------------
-- Remote webhooks: the types that its parts speak
-- ---------------------------------------------------------------------------

CREATE TYPE webhook_bridge.account_info AS (
    name text,
    provider text,
    base_url text,
    credentials jsonb
);
COMMENT ON TYPE webhook_bridge.account_info IS
'An account as a provider''s request function sees it; contains credentials';

CREATE TYPE webhook_bridge.http_request AS (
    method text,
    url text,
    headers jsonb,
    body text
);
COMMENT ON TYPE webhook_bridge.http_request IS
'A request to a provider''s management API; headers are a JSON object of strings';

CREATE TYPE webhook_bridge.http_response AS (
    status integer,
    headers jsonb,
    body text
);
COMMENT ON TYPE webhook_bridge.http_response IS
'The answer to a request; headers are a JSON object with names in lower case';

CREATE TYPE webhook_bridge.remote_webhook AS (
    remote_id text,
    topic text,
    delivery_url text,
    label text,
    active boolean,
    options jsonb,
    created_at timestamptz,
    updated_at timestamptz,
    raw jsonb,
    total bigint,
    next_page jsonb,
    error text,
    message text
);
COMMENT ON TYPE webhook_bridge.remote_webhook IS
'What a provider''s response function makes of an answer: a webhook with its options, as far as the answer tells them, and the provider''s own object in raw; where remote_id is null, a count (total), a topic, an error with the provider''s message, or how to ask for the next page';
