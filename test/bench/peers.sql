-- The table of those who do without webhook_bridge, in a database of its own:
-- what a user would make.
CREATE TABLE webhook_events (
    id text PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    topic text NOT NULL,
    payload json NOT NULL
);

-- The rows that we store, in a table without us: what is asked of a delivery with
-- an id is one row in "events" and one in "dedup", here two unique indexes.
CREATE TABLE rows (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    endpoint text NOT NULL,
    topic text,
    external_id text COLLATE "C" UNIQUE,
    source text,
    webhook_remote_id text,
    occurred_at timestamptz,
    error_code text,
    method text NOT NULL,
    query text,
    headers json NOT NULL,
    payload json,
    raw_body bytea,
    remote_addr inet,
    secret_label text,
    verified boolean NOT NULL
) WITH (toast_tuple_target = 8160);
