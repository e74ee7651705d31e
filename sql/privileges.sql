-- Who may what, and the grants of the README.
\set SHOW_CONTEXT never
\pset format unaligned
-- every object of the extension, and what others than its owner may do with it
SELECT o.type, o.identity,
       coalesce((SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END || ':' || a.privilege_type, ' ')
                 FROM aclexplode(m.acl) a WHERE a.grantee <> m.owner), 'nothing') AS others
FROM pg_extension e
JOIN pg_depend d ON d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
JOIN (SELECT 'pg_class'::regclass AS class, oid, relowner AS owner,
             coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) AS acl FROM pg_class
      UNION ALL SELECT 'pg_proc', oid, proowner, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc
      UNION ALL SELECT 'pg_type', oid, typowner, coalesce(typacl, acldefault('T', typowner)) FROM pg_type
      UNION ALL SELECT 'pg_namespace', oid, nspowner, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace) m
    ON m.class = d.classid AND m.oid = d.objid
CROSS JOIN pg_identify_object(d.classid, d.objid, 0) o
WHERE e.extname = 'webhook_bridge'
ORDER BY o.type COLLATE "C", o.identity COLLATE "C";
-- members of other kinds, which have no privileges
SELECT DISTINCT d.classid::regclass FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
WHERE e.extname = 'webhook_bridge' AND d.deptype = 'e'
  AND d.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass, 'pg_namespace'::regclass);
-- privileges of single columns
SELECT attrelid::regclass, attname, attacl FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
WHERE c.relnamespace = 'webhook_bridge'::regnamespace AND attacl IS NOT NULL;
-- partitions of events can only be reached through it
SELECT c.oid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'webhook_bridge.events'::regclass AND c.relacl IS NOT NULL;
\pset format aligned

CREATE ROLE regress_wb_nobody;
CREATE ROLE regress_wb_reader;
CREATE ROLE regress_wb_monitor IN ROLE pg_monitor;

SET ROLE regress_wb_nobody;
SELECT count(*) FROM webhook_bridge.events;
SELECT webhook_bridge.verify('github', 'k', '{}', '');
SELECT * FROM webhook_bridge.status();
RESET ROLE;

-- a consumer of events
GRANT USAGE ON SCHEMA webhook_bridge TO regress_wb_reader;
GRANT SELECT ON webhook_bridge.events TO regress_wb_reader;
GRANT EXECUTE ON FUNCTION webhook_bridge.event_body(webhook_bridge.events) TO regress_wb_reader;
SELECT webhook_bridge.create_event_partitions('2026-03-01', 1);
INSERT INTO webhook_bridge.events (endpoint, received_at, method, headers, payload, verified)
VALUES ('shop', '2026-03-01 12:00Z', 'POST', '{"A":"1","A":"2"}', '{"a": 1}', true);
SET ROLE regress_wb_reader;
SELECT endpoint, headers, payload ->> 'a' AS a, convert_from(webhook_bridge.event_body(e), 'UTF8') AS body
FROM webhook_bridge.events e WHERE received_at = '2026-03-01 12:00Z';
SELECT count(*) FROM webhook_bridge.secrets;
SELECT count(*) FROM webhook_bridge.endpoints;
DELETE FROM webhook_bridge.events;
SELECT webhook_bridge.create_endpoint('mine', 'github', 'k');
SELECT webhook_bridge.delivery_url('mine');
RESET ROLE;

SET ROLE regress_wb_monitor;
SELECT count(*) FROM webhook_bridge.secrets;
RESET ROLE;
SELECT has_function_privilege('regress_wb_monitor', 'webhook_bridge.status()', 'EXECUTE');

DROP TABLE webhook_bridge.events_20260301;
REVOKE ALL ON SCHEMA webhook_bridge FROM regress_wb_reader;
REVOKE ALL ON webhook_bridge.events FROM regress_wb_reader;
REVOKE ALL ON FUNCTION webhook_bridge.event_body(webhook_bridge.events) FROM regress_wb_reader;
DROP ROLE regress_wb_nobody, regress_wb_reader, regress_wb_monitor;

-- accounts and webhooks: who has been granted nothing
CREATE ROLE regress_wb_nobody;
CREATE ROLE regress_wb_admin;
SELECT webhook_bridge.create_account('shop', 'ecomanager', 'http://127.0.0.1:1', '{"token": "regress-token"}');
SELECT webhook_bridge.create_account('app', 'ecwid', 'https://app.ecwid.com', '{"client_secret": "regress-secret"}');
SELECT name FROM webhook_bridge.create_endpoint('orders', 'ecomanager', account => 'shop');

-- what there is to be used: nothing
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'webhook_bridge'::regnamespace AND has_function_privilege('regress_wb_nobody', p.oid, 'EXECUTE');
SELECT c.oid::regclass FROM pg_class c
WHERE c.relnamespace = 'webhook_bridge'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
  AND (has_table_privilege('regress_wb_nobody', c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER')
       OR has_any_column_privilege('regress_wb_nobody', c.oid, 'SELECT,INSERT,UPDATE,REFERENCES'));
SELECT c.oid::regclass FROM pg_class c
WHERE c.relnamespace = 'webhook_bridge'::regnamespace
  AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege('regress_wb_nobody', c.oid, 'USAGE,SELECT,UPDATE') END;

-- also when it may look into the schema
GRANT USAGE ON SCHEMA webhook_bridge TO regress_wb_nobody;
SET ROLE regress_wb_nobody;
SELECT credentials FROM webhook_bridge.accounts;
SELECT a FROM webhook_bridge.accounts a WHERE a.credentials ->> 'token' = 'regress-token';
SELECT secret FROM webhook_bridge.secrets;
SELECT * FROM webhook_bridge.webhooks;
SELECT webhook_bridge.account_row('shop');
SELECT webhook_bridge.webhook_secret(NULL, 'orders');
SELECT webhook_bridge.remote_request(NULL, 'list', '{}');
SELECT webhook_bridge.http_call(ROW('GET', 'https://example.com', '{}', NULL), true);
SELECT webhook_bridge.ecomanager_request('list', ROW('a', 'ecomanager', 'https://x', '{}'), '{}');
SELECT webhook_bridge.create_account('mine', 'ecomanager', 'https://x', '{"token": "t"}');
SELECT webhook_bridge.drop_account('shop');
SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'orders');
SELECT webhook_bridge.list_webhooks('shop');
SELECT webhook_bridge.get_webhook('shop', '1');
SELECT webhook_bridge.count_webhooks('shop');
SELECT webhook_bridge.list_topics('shop');
SELECT webhook_bridge.list_failed_deliveries('shop');
SELECT webhook_bridge.adopt_webhook('shop', '1', 'orders');
SELECT webhook_bridge.update_webhook(1, 'OrderDeleted');
SELECT webhook_bridge.set_webhook_active(1, false);
SELECT webhook_bridge.delete_webhook(1);
SELECT webhook_bridge.sync_webhooks('shop');
SELECT webhook_bridge.registration_request('orders');
-- what the operators of the planner might tell of a table that cannot be read
CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$;
EXPLAIN SELECT FROM webhook_bridge.accounts WHERE pg_temp.tell(credentials::text);
SELECT FROM pg_stats WHERE schemaname = 'webhook_bridge';
RESET ROLE;
DROP FUNCTION pg_temp.tell(text);

-- who registers and lists; calls that fail say nothing of credentials
GRANT USAGE ON SCHEMA webhook_bridge TO regress_wb_admin;
GRANT EXECUTE ON FUNCTION
    webhook_bridge.register_webhook(text, text, text, text, boolean, jsonb),
    webhook_bridge.list_webhooks(text, jsonb),
    webhook_bridge.list_topics(text) TO regress_wb_admin;
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'webhook_bridge'::regnamespace AND has_function_privilege('regress_wb_admin', p.oid, 'EXECUTE')
ORDER BY p.proname;
SET ROLE regress_wb_admin;
SELECT topic FROM webhook_bridge.list_topics('shop') LIMIT 1;
SELECT webhook_bridge.list_webhooks('shop');
SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'orders');
SELECT webhook_bridge.list_webhooks('shop', '{"no such": 1}');
SELECT webhook_bridge.list_webhooks('app');
SET webhook_bridge.http_allow_insecure = on;
SELECT credentials FROM webhook_bridge.accounts;
SELECT webhook_bridge.delete_webhook(1);
SELECT webhook_bridge.create_endpoint('mine', 'github', 'k');
-- names that shadow those that the functions use
CREATE FUNCTION pg_temp.account_row(text) RETURNS record LANGUAGE sql AS $$ SELECT 1, 2 $$;
CREATE TEMP TABLE accounts (name text);
SET search_path = pg_temp, public;
SELECT webhook_bridge.list_webhooks('shop', '{"no such": 1}');
RESET search_path;
RESET ROLE;
DROP OWNED BY regress_wb_admin, regress_wb_nobody;
DROP ROLE regress_wb_admin, regress_wb_nobody;
SELECT webhook_bridge.drop_endpoint('orders'), webhook_bridge.drop_account('shop'), webhook_bridge.drop_account('app');
