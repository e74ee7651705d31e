-- What script/bench measures, and what it makes of that.  In a database of its
-- own beside the one that is measured.

CREATE TABLE cases (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    provider text NOT NULL,
    body_bytes integer NOT NULL,
    connections integer NOT NULL,
    consumers integer NOT NULL,             -- that get every event
    least_ratio numeric,                    -- to nginx; null: only shown
    UNIQUE (name, connections, consumers)
);

CREATE TABLE facts (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    value text NOT NULL
);

-- The columns up to "timeouts" are what wrk says, the others what we know of
-- the receiver.
CREATE TABLE measurements (
    case_id integer NOT NULL REFERENCES cases,
    round integer NOT NULL,                 -- 0: to warm up
    target text NOT NULL,
    requests bigint NOT NULL,               -- answered
    seconds numeric NOT NULL,
    p50_us integer NOT NULL,
    p99_us integer NOT NULL,
    bad_statuses bigint NOT NULL,
    connect_errors bigint NOT NULL,
    read_errors bigint NOT NULL,
    write_errors bigint NOT NULL,
    timeouts bigint NOT NULL,
    stored bigint,                          -- answered so by the receiver
    other_answers bigint,                   -- anything else
    batches bigint,
    rows bigint,                            -- in the table afterwards
    cpu_us bigint,                          -- of the receiver, user and system
    PRIMARY KEY (case_id, round, target)
);

CREATE TABLE notifications (received bigint NOT NULL);

-- What verify.sql measures: a scan over deliveries that checks every signature.
CREATE TABLE sql_measurements (
    round integer NOT NULL,                 -- 0: to warm up
    turn integer NOT NULL,
    name text NOT NULL,
    us_per_row numeric NOT NULL,
    wrong bigint NOT NULL,                  -- rows not found to be right
    PRIMARY KEY (round, turn, name)
);

-- What verify_speed.c says.
CREATE TABLE schemes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    ns integer NOT NULL,
    limit_ns integer                        -- null: only shown
);

-- What consumers do: events per second that are fetched and acknowledged in
-- batches of 100, by so many sessions; microseconds for the others.
CREATE TABLE consumer_measurements (
    name text NOT NULL CHECK (name IN ('1 session', '2 sessions', 'idle fetch', 'wake')),
    round integer NOT NULL,                 -- 0: to warm up
    value numeric NOT NULL
);

CREATE VIEW sql_summary AS
WITH medians AS (
    SELECT name, percentile_cont(0.5) WITHIN GROUP (ORDER BY us_per_row)::numeric AS us
    FROM sql_measurements
    WHERE round > 0
    GROUP BY name)
SELECT round(ours.us, 2) AS verify_us_per_row, round(pgcrypto.us, 2) AS pgcrypto_us_per_row,
       round(ours.us / pgcrypto.us, 3) AS ratio
FROM medians ours, medians pgcrypto
WHERE ours.name = 'verify()' AND pgcrypto.name = 'pgcrypto';

-- Medians over the rounds.
CREATE VIEW summary AS
WITH medians AS (
    SELECT case_id, target,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY requests / seconds)::numeric AS per_second,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY p50_us)::numeric / 1000 AS p50_ms,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY p99_us)::numeric / 1000 AS p99_ms,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY cpu_us::numeric / nullif(rows, 0))::numeric AS cpu_us,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY cpu_us / seconds / 10000)::numeric AS cpu_percent,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY rows::numeric / nullif(batches, 0))::numeric AS batch
    FROM measurements
    WHERE round > 0
    GROUP BY case_id, target)
SELECT c.id, c.name, c.provider, c.body_bytes, c.connections, c.consumers, c.least_ratio,
       round(ours.per_second) AS events_per_second, round(ours.p50_ms, 2) AS p50_ms,
       round(ours.p99_ms, 2) AS p99_ms, round(ours.cpu_us, 1) AS cpu_us_per_event,
       round(ours.cpu_percent) AS cpu_percent, round(ours.batch) AS events_per_batch,
       round(nginx.per_second) AS nginx_per_second, round(nginx.p99_ms, 2) AS nginx_p99_ms,
       round(ours.per_second / nginx.per_second, 3) AS ratio
FROM cases c
     JOIN medians ours ON ours.case_id = c.id AND ours.target = 'webhook_bridge'
     JOIN medians nginx ON nginx.case_id = c.id AND nginx.target = 'nginx';

-- Medians again.  With consumers: against the same case without, in turn with it.
CREATE VIEW consumer_summary AS
WITH medians AS (
    SELECT name, percentile_cont(0.5) WITHIN GROUP (ORDER BY value)::numeric AS value
    FROM consumer_measurements
    WHERE round > 0
    GROUP BY name)
SELECT (SELECT round(value) FROM medians WHERE name = '1 session') AS events_per_second,
       (SELECT round(value) FROM medians WHERE name = '2 sessions') AS by_two_per_second,
       (SELECT round(two.value / one.value, 2) FROM medians one, medians two
        WHERE one.name = '1 session' AND two.name = '2 sessions') AS scaling,
       (SELECT round(value / 1000, 2) FROM medians WHERE name = 'idle fetch') AS idle_fetch_ms,
       (SELECT round(value / 1000, 2) FROM medians WHERE name = 'wake') AS wake_ms,
       (SELECT round(w.cpu_us_per_event / o.cpu_us_per_event, 3)
        FROM summary w JOIN summary o USING (provider, body_bytes, connections)
        WHERE w.consumers > 0 AND o.consumers = 0) AS ingest_cpu_ratio,
       (SELECT round(w.events_per_second / o.events_per_second, 3)
        FROM summary w JOIN summary o USING (provider, body_bytes, connections)
        WHERE w.consumers > 0 AND o.consumers = 0) AS ingest_rate_ratio;

-- What must hold, and whether it does.
CREATE VIEW checks AS
WITH ours AS (SELECT * FROM measurements WHERE target = 'webhook_bridge')
SELECT 'every answer was 200' AS what,
       coalesce(sum(bad_statuses) + sum(other_answers), 0) = 0 AS holds,
       format('%s others at wrk, %s at the receiver', sum(bad_statuses), sum(other_answers)) AS found
FROM measurements
UNION ALL
SELECT 'no connection failed',
       sum(connect_errors + read_errors + write_errors + timeouts) = 0,
       format('%s connect, %s read, %s write, %s timeout', sum(connect_errors), sum(read_errors),
              sum(write_errors), sum(timeouts))
FROM measurements
UNION ALL
SELECT 'as many rows as deliveries answered as stored',
       bool_and(rows = stored), format('%s rows, %s answers', sum(rows), sum(stored))
FROM ours
UNION ALL
-- wrk leaves requests unfinished when its time is over, at most one for each connection
SELECT 'wrk''s answers are among them, and no others',
       bool_and(rows BETWEEN requests AND requests + connections),
       format('%s answers at wrk, %s more rows', sum(requests), sum(rows) - sum(requests))
FROM ours JOIN cases c ON c.id = case_id
UNION ALL
SELECT 'as many notifications as rows',
       n.received = sum(rows), format('%s notifications, %s rows', n.received, sum(rows))
FROM ours, notifications n
GROUP BY n.received
UNION ALL
SELECT format('at least %s of nginx: %s, %s connections', least_ratio, name, connections),
       ratio >= least_ratio, ratio::text
FROM summary
WHERE least_ratio IS NOT NULL
UNION ALL
SELECT 'two consumers: at most 15 % more CPU per delivery', coalesce(ingest_cpu_ratio <= 1.15, false), format('%s times', ingest_cpu_ratio)
FROM consumer_summary
UNION ALL
SELECT 'two consumers: at least 85 % of the rate', coalesce(ingest_rate_ratio >= 0.85, false), format('%s times', ingest_rate_ratio)
FROM consumer_summary
UNION ALL
SELECT 'fetch and acknowledge: at least 40,000 events/s in one session', coalesce(events_per_second >= 40000, false), events_per_second::text
FROM consumer_summary
UNION ALL
SELECT 'fetch and acknowledge: two sessions are at least 1.3 times as fast', coalesce(scaling >= 1.3, false), scaling::text
FROM consumer_summary
UNION ALL
SELECT 'from sending a delivery to its handler: less than 5 ms', coalesce(wake_ms < 5, false), format('%s ms', wake_ms)
FROM consumer_summary
UNION ALL
SELECT 'fetch of an idle consumer beside 10 million events: less than 1 ms', idle_fetch_ms < 1, format('%s ms', idle_fetch_ms)
FROM consumer_summary
WHERE idle_fetch_ms IS NOT NULL
UNION ALL
SELECT 'verify() and pgcrypto found every signature right',
       coalesce(sum(wrong) = 0, false), format('%s rows wrong', sum(wrong))
FROM sql_measurements
UNION ALL
SELECT 'verify() in a query takes no longer than pgcrypto',
       ratio <= 1, format('%s of it', ratio)
FROM (SELECT) one LEFT JOIN sql_summary ON true
UNION ALL
SELECT format('at most %s µs in a receiver: %s', round(limit_ns / 1000.0, 1), name),
       ns <= limit_ns, format('%s µs', round(ns / 1000.0, 2))
FROM schemes
WHERE limit_ns IS NOT NULL;

CREATE VIEW report AS
SELECT jsonb_pretty(jsonb_build_object(
    'facts', (SELECT jsonb_object_agg(name, value) FROM facts),
    'summary', (SELECT jsonb_agg(to_jsonb(s) - 'id' ORDER BY id) FROM summary s),
    'consumers', (SELECT to_jsonb(s) FROM consumer_summary s),
    'verify_in_sql', (SELECT to_jsonb(s) FROM sql_summary s),
    'verify_in_receiver', (SELECT jsonb_agg(to_jsonb(s) - 'id' ORDER BY id) FROM schemes s),
    'checks', (SELECT jsonb_agg(to_jsonb(c)) FROM checks c),
    'measurements', (
        SELECT jsonb_agg(jsonb_build_object('name', c.name, 'connections', c.connections, 'consumers', c.consumers)
                         || to_jsonb(m) - 'case_id' ORDER BY round, case_id, target DESC)
        FROM measurements m JOIN cases c ON c.id = case_id),
    'sql_measurements', (SELECT jsonb_agg(to_jsonb(m) ORDER BY round, turn, name) FROM sql_measurements m),
    'passed', (SELECT coalesce(bool_and(holds), false) FROM checks))) AS json;
