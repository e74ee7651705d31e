-- verify() and sign() keep provider and secret of the previous row: what they
-- say must not depend on it.
SET timezone = 'UTC';
\set SHOW_CONTEXT never

BEGIN;
INSERT INTO webhook_bridge.providers (name, title, signature_from)
VALUES ('acme', 'Acme', 'header:X-One'), ('other', 'Other', 'header:X-One'), ('binary', 'Binary', 'header:X-One');
UPDATE webhook_bridge.providers SET secret_encoding = 'hex' WHERE name = 'binary';

-- rows that differ in provider, secret or both, and some that do not
SELECT n, provider, secret, body,
       webhook_bridge.verify(provider, secret, webhook_bridge.sign(provider, secret, body), body) AS right,
       webhook_bridge.verify(provider, '61', webhook_bridge.sign(provider, secret, body), body) AS key_61,
       webhook_bridge.verify('acme', secret, webhook_bridge.sign(provider, secret, body), body) AS acme
FROM unnest(ARRAY['acme', 'acme', 'acme', 'acme', 'other', 'binary', 'binary', 'acme', 'acme'],
            ARRAY['61', '61', '62', '61', '61', '61', '6162', '6162', 'a'],
            ARRAY['x', 'y', 'y', 'y', 'y', 'y', 'y', 'y', 'y'])
     WITH ORDINALITY AS c (provider, secret, body, n)
ORDER BY n;

-- one call site, and a provider that changes between its calls
CREATE FUNCTION pg_temp.signed_as() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT string_agg(key, ', ') FROM jsonb_object_keys(webhook_bridge.sign('acme', 's', 'x')) key);
EXCEPTION WHEN undefined_object THEN
    RETURN SQLERRM;
END $$;
CREATE FUNCTION pg_temp.verified(headers jsonb, secret text DEFAULT 's') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    answer := webhook_bridge.verify('acme', secret, headers, 'x');
    RETURN answer;
EXCEPTION WHEN undefined_object OR invalid_parameter_value THEN
    RETURN SQLERRM;
END $$;
DO $$
DECLARE
    signed jsonb := webhook_bridge.sign('acme', 's', 'x');
BEGIN
    RAISE NOTICE 'first: %, %', pg_temp.verified(signed), pg_temp.signed_as();
    RAISE NOTICE 'again: %, %', pg_temp.verified(signed), pg_temp.signed_as();
    RAISE NOTICE 'unusable secret: %', pg_temp.verified(signed, '');
    RAISE NOTICE 'other secret: %', pg_temp.verified(signed, 't');
    RAISE NOTICE 'again: %', pg_temp.verified(signed);
    UPDATE webhook_bridge.providers SET signature_from = 'header:X-Two' WHERE name = 'acme';
    RAISE NOTICE 'changed: %, %', pg_temp.verified(signed), pg_temp.signed_as();
    BEGIN
        UPDATE webhook_bridge.providers SET signature_from = 'header:X-Three' WHERE name = 'acme';
        RAISE NOTICE 'changed again: %, %', pg_temp.verified(signed), pg_temp.signed_as();
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        RAISE NOTICE 'rolled back: %, %', pg_temp.verified(signed), pg_temp.signed_as();
    END;
    UPDATE webhook_bridge.providers SET signature_from = 'header:X-One' WHERE name = 'acme';
    RAISE NOTICE 'as at first: %, %', pg_temp.verified(signed), pg_temp.signed_as();
    DELETE FROM webhook_bridge.providers WHERE name = 'acme';
    RAISE NOTICE 'gone: %, %', pg_temp.verified(signed), pg_temp.signed_as();
END $$;

-- a cursor's call site outlives the statements in between
DECLARE c CURSOR FOR
    SELECT webhook_bridge.sign('other', 's', 'x') ? 'X-One' AS one FROM generate_series(1, 3);
FETCH c;
UPDATE webhook_bridge.providers SET signature_from = 'header:X-Two' WHERE name = 'other';
FETCH c;
DELETE FROM webhook_bridge.providers WHERE name = 'other';
FETCH c;
ROLLBACK;

-- a body given as text costs a conversion and no call: the function is inlined
\pset format unaligned
EXPLAIN (VERBOSE, COSTS OFF)
SELECT webhook_bridge.verify('github', secret, '{}', body, at => '2026-01-01Z')
FROM (VALUES ('a', 'b'), ('c', 'd')) v (secret, body);
