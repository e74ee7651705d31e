-- reverify_event(): stored bytes, and the secrets of today.
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never
BEGIN;
SELECT webhook_bridge.create_event_partitions('2026-01-02', 1);
SELECT name FROM webhook_bridge.create_endpoint('r-github', 'github', 'old secret');
SELECT name FROM webhook_bridge.create_endpoint('r-stripe', 'stripe', 'whsec_k');
SELECT name FROM webhook_bridge.create_endpoint('r-token', 'gitlab_token', 'very secret');
SELECT name FROM webhook_bridge.create_endpoint('r-graph', 'microsoft_graph', 'very secret');
SELECT name FROM webhook_bridge.create_endpoint('r-twilio', 'twilio_json', 'twilio secret');
INSERT INTO webhook_bridge.providers (name, title, algorithm) VALUES ('r_unsigned', 'Unsigned', 'none');
SELECT name FROM webhook_bridge.create_endpoint('r-none', 'r_unsigned', allow_unverified => true);
SELECT name FROM webhook_bridge.create_endpoint('r-open', 'github', allow_unverified => true);

-- An event as a receiver stores it.
CREATE FUNCTION pg_temp.stored(endpoint text, headers json, body bytea, label text, query text DEFAULT NULL,
    at timestamptz DEFAULT '2026-01-02 03:04:05Z')
RETURNS bigint
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO webhook_bridge.events (received_at, endpoint, method, query, headers, payload, raw_body, secret_label, verified)
    VALUES (at, endpoint, 'POST', query, headers,
            CASE WHEN body::text LIKE '\\x7b%' THEN convert_from(body, 'UTF8')::json END,
            CASE WHEN body::text NOT LIKE '\\x7b%' THEN body END, label, label IS NOT NULL)
    RETURNING id;
END;
CREATE FUNCTION pg_temp.signed(provider text, secret text, body bytea, url text DEFAULT NULL)
RETURNS json
LANGUAGE sql
BEGIN ATOMIC
    SELECT webhook_bridge.sign(provider, secret, body, url => url, at => '2026-01-02 03:04:00Z')::json;
END;

SELECT pg_temp.stored('r-github', pg_temp.signed('github', 'old secret', E'{"a":  "\u00e9"}'), E'{"a":  "\u00e9"}', 'default') AS json,
       pg_temp.stored('r-github', pg_temp.signed('github', 'old secret', '\x00ff0a'), '\x00ff0a', 'default') AS bytes,
       pg_temp.stored('r-github', pg_temp.signed('github', 'old secret', '{"a":1}'), '{"a":2}', 'default') AS changed,
       pg_temp.stored('r-stripe', pg_temp.signed('stripe', 'whsec_k', '{"a":1}'), '{"a":1}', 'default') AS stripe,
       pg_temp.stored('r-stripe', pg_temp.signed('stripe', 'whsec_k', '{"a":1}'), '{"a":1}', 'default', at => '2026-01-02 04:04:05Z') AS late,
       pg_temp.stored('r-token', '{"X-Gitlab-Token": "***"}', '{"a":1}', 'default') AS token,
       pg_temp.stored('r-graph', '{}', '{"value":[{"clientState":"very secret"}]}', 'default') AS json_token,
       pg_temp.stored('r-twilio', pg_temp.signed('twilio_json', 'twilio secret', '{"a":1}',
                          webhook_bridge.base_url() || '/hooks/r-twilio?x=%20y&bodySHA256=' || encode(sha256('{"a":1}'), 'hex')),
                      '{"a":1}', 'default', 'x=%20y&bodySHA256=' || encode(sha256('{"a":1}'), 'hex')) AS url,
       pg_temp.stored('r-none', '{}', '{"a":1}', NULL) AS none,
       pg_temp.stored('r-open', pg_temp.signed('github', 'a secret', '{"a":1}'), '{"a":1}', NULL) AS open
\gset
SELECT * FROM webhook_bridge.reverify_event(:json);
SELECT * FROM webhook_bridge.reverify_event(:bytes);
SELECT * FROM webhook_bridge.reverify_event(:changed);
SELECT * FROM webhook_bridge.reverify_event(:stripe);
SELECT * FROM webhook_bridge.reverify_event(:late);
SELECT * FROM webhook_bridge.reverify_event(:token);
SELECT * FROM webhook_bridge.reverify_event(:json_token);
SELECT * FROM webhook_bridge.reverify_event(:url);
SELECT * FROM webhook_bridge.reverify_event(:none);
SELECT * FROM webhook_bridge.reverify_event(:open);

-- other secrets, and none
SELECT webhook_bridge.add_secret('r-github', 'new secret', '2026-02');
SELECT * FROM webhook_bridge.reverify_event(:json);
UPDATE webhook_bridge.secrets SET expires_at = '2026-01-03' WHERE endpoint = 'r-github' AND label = 'default';
SELECT * FROM webhook_bridge.reverify_event(:json);
DELETE FROM webhook_bridge.secrets WHERE endpoint = 'r-github' AND label = 'default';
SELECT * FROM webhook_bridge.reverify_event(:json);
DELETE FROM webhook_bridge.secrets WHERE endpoint = 'r-github';
SELECT * FROM webhook_bridge.reverify_event(:json);
SELECT webhook_bridge.add_secret('r-open', 'a secret', 'found');
SELECT * FROM webhook_bridge.reverify_event(:open);
SELECT webhook_bridge.drop_endpoint('r-github');
SELECT * FROM webhook_bridge.reverify_event(:json);

SAVEPOINT s;
SELECT * FROM webhook_bridge.reverify_event(-1);
ROLLBACK TO s;
SELECT * FROM webhook_bridge.reverify_event(NULL);
-- who may read events may not do this
CREATE ROLE regress_wb_verifier;
GRANT USAGE ON SCHEMA webhook_bridge TO regress_wb_verifier;
GRANT SELECT ON webhook_bridge.events TO regress_wb_verifier;
SET ROLE regress_wb_verifier;
SELECT * FROM webhook_bridge.reverify_event(:stripe);
ROLLBACK;
