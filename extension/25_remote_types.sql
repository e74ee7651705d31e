-- ---------------------------------------------------------------------------
-- Remote webhooks: what the functions of a provider take and return
-- ---------------------------------------------------------------------------

CREATE TYPE webhook_bridge.account_info AS (
    name text,
    provider text,
    base_url text,
    credentials jsonb);
COMMENT ON TYPE webhook_bridge.account_info IS
'An account at a provider, as its request function gets it; contains secrets';

CREATE TYPE webhook_bridge.http_request AS (
    method text,
    url text,
    headers jsonb,
    body text);
COMMENT ON TYPE webhook_bridge.http_request IS
'What a request function returns: the request to send; a header given as an array of strings is sent several times; contains secrets';

CREATE TYPE webhook_bridge.http_response AS (
    status integer,
    headers jsonb,
    body text);
COMMENT ON TYPE webhook_bridge.http_response IS
'The answer to a request: header names are in lower case, the values of repeated headers joined by commas';

CREATE TYPE webhook_bridge.remote_webhook AS (
    remote_id text,
    topic text,
    delivery_url text,
    label text,
    active boolean,
    created_at timestamptz,
    updated_at timestamptz,
    raw jsonb,
    total bigint,
    next_page jsonb,
    error text,
    message text);
COMMENT ON TYPE webhook_bridge.remote_webhook IS
'What a response function returns: a row per webhook of an answer; a row without remote_id carries only what is not a webhook: a count, a topic, an error, the next page';
COMMENT ON COLUMN webhook_bridge.remote_webhook.raw IS
'The provider''s own object, secrets removed';
COMMENT ON COLUMN webhook_bridge.remote_webhook.total IS
'Of operation "count"';
COMMENT ON COLUMN webhook_bridge.remote_webhook.next_page IS
'On the last row of a page: what to pass as "page" for the next one; null if there are no more';
COMMENT ON COLUMN webhook_bridge.remote_webhook.error IS
'unauthorized, not_found, already_exists, invalid, rate_limited, server_failure or not_understood; null if the provider has done what it was asked';
COMMENT ON COLUMN webhook_bridge.remote_webhook.message IS
'The provider''s own words, messages about fields included, never a secret';
