-- Published and recomputed signatures, test/data/signature-vectors.json: each
-- valid one is accepted and each invalid one refused.  A scheme there is the
-- provider of that name here.
\set vectors `cat "$PG_ABS_SRCDIR/test/data/signature-vectors.json"`

CREATE TEMP TABLE vectors AS
SELECT replace(v->>'scheme', '-', '_') AS provider, v->>'name' AS name, (v->>'valid')::boolean AS valid,
       coalesce((v->>'ambiguous')::boolean, false) AS ambiguous,
       webhook_bridge.verify(
           replace(v->>'scheme', '-', '_'), v->>'secret', v->'headers', v->>'body',
           method => v->>'method', url => v->>'url',
           at => coalesce(to_timestamp((v->>'now')::bigint), now()),
           params => coalesce(v->'params', '{}')) AS verified
FROM jsonb_array_elements(:'vectors'::jsonb) AS v
WHERE EXISTS (SELECT FROM webhook_bridge.providers p WHERE p.name = replace(v->>'scheme', '-', '_'));

SELECT provider, count(*) FILTER (WHERE valid) AS valid, count(*) FILTER (WHERE NOT valid) AS invalid,
       count(*) FILTER (WHERE valid = verified) AS as_expected
FROM vectors GROUP BY provider ORDER BY provider COLLATE "C";

-- Stripe's library accepts timestamps from the future; our window is symmetric.
SELECT provider, name, valid, verified, ambiguous FROM vectors WHERE valid <> verified;

-- The built-in providers without vectors there sign as these do.
SELECT name FROM webhook_bridge.providers
WHERE builtin AND name NOT IN (SELECT provider FROM vectors) ORDER BY name COLLATE "C";
