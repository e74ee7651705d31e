-- What script/bench measures, and what it makes of that.  In a database of its
-- own beside the one that is measured.

CREATE EXTENSION pgcrypto;

-- One factor at a time, from the first: cases.csv.
CREATE TABLE cases (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    receivers integer NOT NULL,
    connections integer NOT NULL,
    reuse text NOT NULL CHECK (reuse IN ('keep-alive', 'per request')),
    tls text CHECK (tls IN ('ecdsa', 'rsa')),   -- certificate; null: none
    provider text NOT NULL,
    body_bytes integer NOT NULL,
    notify text NOT NULL,
    listeners integer NOT NULL,
    dedup text NOT NULL,
    consumers integer NOT NULL,             -- that get every event
    endpoints integer,                      -- null: one of several that are there
    events integer,                         -- stored before; null: none
    peers text,                             -- who is measured in turn with it
    quick boolean NOT NULL                  -- whether --quick has it
);

CREATE TABLE facts (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    value text NOT NULL
);

-- Whether something was left out, so that not every check can be made.
CREATE TABLE run (partial boolean NOT NULL);

-- The columns up to "timeouts" are what wrk says, the others what we know.
-- Processor time is user and system, as the kernel accounts it.
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
    handshakes bigint,                      -- with connections per request
    resumed bigint,                         -- those that were not full
    stored bigint,                          -- answered so by the receivers
    other_answers bigint,                   -- anything else
    batches bigint,
    rows bigint,                            -- in the table afterwards
    notified bigint,                        -- all listeners together
    cpu_us bigint,                          -- of who speaks HTTP: receivers, or the peer
    all_cpu_us bigint,                      -- with every process of the database server
    PRIMARY KEY (case_id, round, target)
);

-- Rows stored without webhook_bridge: storing.sh.
CREATE TABLE storing (
    name text NOT NULL CHECK (name IN ('insert', 'insert_prepared', 'insert_notify', 'copy', 'batch', 'single_insert', 'single_prepared')),
    round integer NOT NULL,                 -- 0: to warm up
    rows_per_second numeric NOT NULL,
    mean_us numeric NOT NULL,               -- of a transaction
    p50_us numeric,
    rows_per_commit integer NOT NULL,
    cpu_us_per_row numeric NOT NULL,        -- of every process of the database server
    PRIMARY KEY (name, round)
);

-- Anonymous memory of a receiver with open connections: memory.sh.
CREATE TABLE memory (
    name text NOT NULL,
    round integer NOT NULL,
    connections integer NOT NULL,
    kb integer NOT NULL
);

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

-- --- Medians over the rounds ------------------------------------------------

-- Of a peer that stores, events are its rows; of nginx, requests.
CREATE VIEW summary AS
SELECT c.id, c.name, target, c.body_bytes, c.connections,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY requests / seconds)::numeric AS per_second,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY p50_us)::numeric / 1000 AS p50_ms,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY p99_us)::numeric / 1000 AS p99_ms,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY cpu_us::numeric / coalesce(nullif(rows, 0), requests))::numeric AS cpu_us,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY all_cpu_us::numeric / coalesce(nullif(rows, 0), requests))::numeric AS all_cpu_us,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY rows::numeric / nullif(batches, 0))::numeric AS batch
FROM measurements m JOIN cases c ON c.id = m.case_id
WHERE round > 0
GROUP BY c.id, target;

CREATE VIEW storing_summary AS
SELECT name,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY rows_per_second)::numeric AS per_second,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY mean_us)::numeric AS mean_us,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY p50_us)::numeric AS p50_us,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY rows_per_commit)::integer AS rows_per_commit,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY cpu_us_per_row)::numeric AS cpu_us
FROM storing
WHERE round > 0
GROUP BY name;

CREATE VIEW memory_summary AS
SELECT o.name, percentile_cont(0.5) WITHIN GROUP (ORDER BY i.kb / 1024.0)::numeric AS idle_mb,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY (o.kb - i.kb) / 1024.0)::numeric AS over_idle_mb
FROM memory o JOIN memory i USING (name, round)
WHERE o.connections > 1 AND i.connections = 1
GROUP BY o.name;

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

-- --- Relative to others -----------------------------------------------------

-- Ratios are medians of what each round found, where both were measured in turn.
CREATE VIEW case_ratios AS
SELECT c.id, c.name, peer.target AS peer,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY (ours.requests / ours.seconds) / (peer.requests / peer.seconds))::numeric AS rate,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY (ours.cpu_us::numeric / ours.rows) / nullif(peer.cpu_us::numeric / peer.rows, 0))::numeric AS cpu,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY (ours.all_cpu_us::numeric / ours.rows) / nullif(peer.all_cpu_us::numeric / peer.rows, 0))::numeric AS all_cpu,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ours.p50_us::numeric / peer.p50_us)::numeric AS p50
FROM measurements ours JOIN measurements peer USING (case_id, round) JOIN cases c ON c.id = case_id
WHERE ours.target = 'webhook_bridge' AND peer.target <> 'webhook_bridge' AND round > 0 AND ours.rows > 0
GROUP BY c.id, peer.target;

CREATE FUNCTION ratio_of_rates(case_name text, peer_name text) RETURNS numeric
LANGUAGE sql STABLE STRICT AS $$
    SELECT rate FROM case_ratios r WHERE r.name = case_name AND r.peer = peer_name
$$;

-- To a row of "storing", round by round.
CREATE FUNCTION ratio_to_storing(case_name text, storing_name text) RETURNS TABLE (rate numeric, p99_to_mean numeric, p50 numeric)
LANGUAGE sql STABLE STRICT AS $$
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY (m.requests / m.seconds) / s.rows_per_second)::numeric,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY m.p99_us / s.mean_us)::numeric,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY m.p50_us / s.p50_us)::numeric
    FROM measurements m JOIN cases c ON c.id = m.case_id JOIN storing s USING (round)
    WHERE c.name = case_name AND s.name = storing_name AND m.target = 'webhook_bridge' AND round > 0
$$;

-- With consumers: against the same case without, in turn with it.
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
       (SELECT round(cpu, 3) FROM case_ratios WHERE case_ratios.name = '2 consumers' AND peer = 'reference') AS ingest_cpu_ratio,
       (SELECT round(rate, 3) FROM case_ratios WHERE case_ratios.name = '2 consumers' AND peer = 'reference') AS ingest_rate_ratio;

-- --- What must hold ---------------------------------------------------------

-- What is found is compared with what it must be: at least that much, or at
-- most.  What we aim at is only shown.
CREATE VIEW targets (id, what, found, must, aim, at_most) AS
VALUES
    (1, 'reference, rate: of nginx', ratio_of_rates('reference', 'nginx'), 0.36, 0.55, false),
    (2, 'reference, rate: times fastify', ratio_of_rates('reference', 'fastify'), 7, 12, false),
    (3, 'reference, rate: times pgbench with an INSERT per transaction, 32 clients',
     (SELECT rate FROM ratio_to_storing('reference', 'insert')), 2.5, 4, false),
    (4, 'reference, p99: times the mean time of a bare commit of as many rows as a batch has',
     (SELECT p99_to_mean FROM ratio_to_storing('reference', 'batch')), NULL, 3, true),
    (5, 'connection per request, 32 at a time, rate: of nginx',
     ratio_of_rates('connection per request, 32 at a time', 'nginx'), 0.8, 1.0, false),
    (6, 'connection per request, 128 at a time, rate: of nginx', ratio_of_rates('connection per request', 'nginx'), 0.8, 1.0, false),
    (7, 'TLS 1.3, kept alive, rate: of ours without TLS', ratio_of_rates('TLS 1.3', 'reference'), 0.8, 0.9, false),
    (8, 'TLS 1.3, full handshake per request, ECDSA, rate: of nginx',
     ratio_of_rates('TLS 1.3, full handshake per request', 'nginx'), 1.0, 1.4, false),
    (9, 'TLS 1.3, full handshake per request, RSA, rate: of nginx',
     ratio_of_rates('TLS 1.3, full handshake per request, RSA', 'nginx'), 1.0, 1.4, false),
    (10, '100,000 endpoints, CPU per event: times that with one',
     (SELECT cpu FROM case_ratios WHERE name = 'growth: 100,000 endpoints'), 1.1, 1.02, true),
    (11, '10 million stored events, CPU per event: times that with none',
     (SELECT cpu FROM case_ratios WHERE name = 'growth: 10 million events'), 1.15, 1.05, true),
    (12, '1,000 connections, memory of a receiver: MB over idle', (SELECT over_idle_mb FROM memory_summary WHERE name = 'plain'), 40, 20, true),
    (13, '1 connection, median latency: times that of a bare commit of one row',
     (SELECT p50 FROM ratio_to_storing('1 connection', 'single_insert')), 1.3, 1.15, true),
    (21, '1 connection, median latency: times that of a prepared one',
     (SELECT p50 FROM ratio_to_storing('1 connection', 'single_prepared')), NULL, NULL, true),
    (14, '2 consumers: times the CPU per delivery', (SELECT ingest_cpu_ratio FROM consumer_summary), 1.15, NULL, true),
    (15, '2 consumers: times the rate', (SELECT ingest_rate_ratio FROM consumer_summary), 0.85, NULL, false),
    (16, 'fetch and acknowledge in one session: events/s', (SELECT events_per_second FROM consumer_summary), 40000, NULL, false),
    (17, 'fetch and acknowledge in two sessions: times one', (SELECT scaling FROM consumer_summary), 1.3, NULL, false),
    (18, 'from sending a delivery to its handler: ms', (SELECT wake_ms FROM consumer_summary), 5, NULL, true),
    (19, 'fetch of an idle consumer beside 10 million events: ms', (SELECT idle_fetch_ms FROM consumer_summary), 1, NULL, true),
    (20, 'verify() in a query: times pgcrypto', (SELECT ratio FROM sql_summary), 1, NULL, true);

CREATE VIEW checks AS
WITH ours AS (SELECT m.*, listeners FROM measurements m JOIN cases c ON c.id = case_id WHERE stored IS NOT NULL)
SELECT 'every answer was 200' AS what,
       sum(bad_statuses) + coalesce(sum(other_answers), 0) = 0 AS holds,
       format('%s others at wrk, %s at the receivers', sum(bad_statuses), coalesce(sum(other_answers), 0)) AS found
FROM measurements
HAVING count(*) > 0
UNION ALL
SELECT 'no connection failed',
       sum(connect_errors + read_errors + write_errors + timeouts) = 0,
       format('%s connect, %s read, %s write, %s timeout', sum(connect_errors), sum(read_errors),
              sum(write_errors), sum(timeouts))
FROM measurements
HAVING count(*) > 0
UNION ALL
SELECT 'as many rows as deliveries answered as stored',
       bool_and(rows = stored), format('%s rows, %s answers', sum(rows), sum(stored))
FROM ours
HAVING count(*) > 0
UNION ALL
-- wrk leaves requests unfinished when its time is over, at most one for each connection
SELECT 'wrk''s answers are among them, and no others; with peers that store, too',
       bool_and(rows BETWEEN requests AND requests + connections),
       format('%s answers at wrk, %s more rows', sum(requests), sum(rows) - sum(requests))
FROM measurements JOIN cases c ON c.id = case_id
WHERE rows IS NOT NULL
HAVING count(*) > 0
UNION ALL
SELECT 'every listener was notified of every row',
       bool_and(notified = rows * listeners), format('%s notifications, %s rows times listeners', sum(notified), sum(rows * listeners))
FROM ours
WHERE notified IS NOT NULL
HAVING count(*) > 0
UNION ALL
SELECT 'every handshake with TLS for one request was full',
       bool_and(handshakes + connections >= requests AND resumed = 0), format('%s handshakes, %s resumed', sum(handshakes), sum(resumed))
FROM measurements JOIN cases c ON c.id = case_id
WHERE reuse = 'per request' AND tls IS NOT NULL
HAVING count(*) > 0
UNION ALL
SELECT 'verify() and pgcrypto found every signature right',
       sum(wrong) = 0, format('%s rows wrong', sum(wrong))
FROM sql_measurements
HAVING count(*) > 0
UNION ALL
SELECT format('at most %s µs in a receiver: %s', round(limit_ns / 1000.0, 1), name),
       ns <= limit_ns, format('%s µs', round(ns / 1000.0, 2))
FROM schemes
WHERE limit_ns IS NOT NULL
UNION ALL
(SELECT what, coalesce(must IS NULL OR CASE WHEN at_most THEN found <= must ELSE found >= must END, false),
        concat_ws(', ', coalesce(trim_scale(round(found, 2))::text, 'not measured'),
                  CASE WHEN at_most THEN 'at most ' ELSE 'at least ' END || must, 'aim ' || aim)
 FROM targets, run
 WHERE found IS NOT NULL OR NOT partial
 ORDER BY id);

CREATE VIEW report AS
SELECT jsonb_pretty(jsonb_build_object(
    'facts', (SELECT jsonb_object_agg(name, value) FROM facts),
    'cases', (SELECT jsonb_agg(to_jsonb(c) ORDER BY id) FROM cases c),
    'summary', (SELECT jsonb_agg(to_jsonb(s) - 'id' ORDER BY id, target DESC) FROM summary s),
    'ratios', (SELECT jsonb_agg(to_jsonb(r) - 'id' ORDER BY id, peer) FROM case_ratios r),
    'storing', (SELECT jsonb_agg(to_jsonb(s) ORDER BY name) FROM storing_summary s),
    'memory', (SELECT jsonb_agg(to_jsonb(m) ORDER BY name) FROM memory_summary m),
    'consumers', (SELECT to_jsonb(s) FROM consumer_summary s),
    'verify_in_sql', (SELECT to_jsonb(s) FROM sql_summary s),
    'verify_in_receiver', (SELECT jsonb_agg(to_jsonb(s) - 'id' ORDER BY id) FROM schemes s),
    'targets', (SELECT jsonb_agg(to_jsonb(t) - 'id' ORDER BY id) FROM targets t),
    'checks', (SELECT jsonb_agg(to_jsonb(c)) FROM checks c),
    'measurements', (
        SELECT jsonb_agg(jsonb_build_object('name', c.name) || to_jsonb(m) - 'case_id' ORDER BY round, case_id, target DESC)
        FROM measurements m JOIN cases c ON c.id = case_id),
    'storing_measurements', (SELECT jsonb_agg(to_jsonb(m) ORDER BY round, name) FROM storing m),
    'memory_measurements', (SELECT jsonb_agg(to_jsonb(m) ORDER BY name, round, connections) FROM memory m),
    'sql_measurements', (SELECT jsonb_agg(to_jsonb(m) ORDER BY round, turn, name) FROM sql_measurements m),
    'passed', (SELECT coalesce(bool_and(holds), false) FROM checks))) AS json;
