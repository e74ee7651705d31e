-- What verify() costs in a query, beside pgcrypto's hmac() over the same rows.
-- In the database that receives; a function because its time is taken here.

CREATE EXTENSION pgcrypto SCHEMA public;

-- Deliveries of 1 KB as GitHub makes them.  For pgcrypto the key's bytes and the
-- text that its digest has to equal are ready in columns of their own.
CREATE TABLE bench_deliveries (
    secret text NOT NULL, key bytea NOT NULL, signature text NOT NULL, headers jsonb NOT NULL, body bytea NOT NULL);

INSERT INTO bench_deliveries
SELECT secret, key, signature,
       jsonb_build_object(
           'Accept', '*/*', 'Content-Type', 'application/json', 'User-Agent', 'GitHub-Hookshot/044aadd',
           'X-GitHub-Delivery', gen_random_uuid(), 'X-GitHub-Event', 'push', 'X-GitHub-Hook-ID', '292430182',
           'X-Hub-Signature-256', 'sha256=' || signature),
       body
FROM generate_series(1, 20000) id,
     LATERAL (SELECT 'It''s a Secret to Everybody' AS secret, 'It''s a Secret to Everybody'::bytea AS key,
                     convert_to(rpad(format('{"id": %s, "note": "', id), 1022,
                                     'The quick brown fox jumps over the lazy dog. ') || '"}', 'UTF8') AS body) d,
     LATERAL (SELECT encode(hmac(body, key, 'sha256'), 'hex') AS signature) s;

VACUUM (ANALYZE) bench_deliveries;

-- Each of these counts the rows whose signature is right.
CREATE TABLE bench_queries (id integer PRIMARY KEY, name text NOT NULL, query text NOT NULL);
INSERT INTO bench_queries VALUES
    (1, 'verify()',
     'SELECT count(*) FROM bench_deliveries WHERE webhook_bridge.verify(''github'', secret, headers, body)'),
    (2, 'pgcrypto',
     'SELECT count(*) FROM bench_deliveries WHERE encode(hmac(body, key, ''sha256''), ''hex'') = signature');

-- Runs each query once, in an order that alternates, and says what a row took.
CREATE FUNCTION bench_verify(turn integer, OUT name text, OUT us_per_row numeric, OUT wrong bigint)
RETURNS SETOF record
LANGUAGE plpgsql
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    total bigint := (SELECT count(*) FROM bench_deliveries);
    query text;
    start timestamptz;
    good bigint;
BEGIN
    FOR name, query IN
        SELECT q.name, q.query FROM bench_queries q ORDER BY CASE WHEN turn % 2 = 0 THEN q.id ELSE -q.id END
    LOOP
        start := clock_timestamp();
        EXECUTE query INTO good;
        us_per_row := round(extract(epoch FROM clock_timestamp() - start) * 1000000 / total, 4);
        wrong := total - good;
        RETURN NEXT;
    END LOOP;
END $$;
