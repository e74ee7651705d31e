-- The table of those who do without webhook_bridge, in a database of its own:
-- what a user would make.
CREATE TABLE webhook_events (
    id text PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    topic text NOT NULL,
    payload json NOT NULL
);
