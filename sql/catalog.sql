-- What the extension consists of: a change of the surface shows as a difference.
\pset format unaligned

-- members without a comment (none; array and row types have none of their own)
SELECT pg_describe_object(d.classid, d.objid, 0)
FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass
WHERE e.extname = 'webhook_bridge' AND d.deptype = 'e'
  AND d.classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass)
  AND obj_description(d.objid, d.classid::regclass::name) IS NULL
ORDER BY 1;

-- columns without a comment (none)
SELECT a.attrelid::regclass, a.attname
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'webhook_bridge'::regnamespace AND c.relkind IN ('r', 'p', 'v')
  AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
  AND col_description(a.attrelid, a.attnum) IS NULL
ORDER BY 1, 2;

-- triggers and types without a comment (none)
SELECT t.tgrelid::regclass, t.tgname
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'webhook_bridge'::regnamespace AND NOT t.tgisinternal
  AND obj_description(t.oid, 'pg_trigger') IS NULL;
SELECT t.typname
FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
WHERE t.typnamespace = 'webhook_bridge'::regnamespace
  AND obj_description(t.oid, 'pg_type') IS NULL;

-- functions: signature, labels, who may execute
SELECT p.oid::regprocedure AS function,
       pg_get_function_result(p.oid) AS result,
       CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
       p.proisstrict AS strict,
       CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END AS parallel,
       p.prosecdef AS definer,
       (SELECT string_agg(CASE WHEN a.grantee = 0 THEN 'PUBLIC'
                               WHEN a.grantee = p.proowner THEN 'owner'
                               ELSE a.grantee::regrole::text END, ',' ORDER BY a.grantee <> p.proowner, a.grantee)
        FROM aclexplode(p.proacl) a) AS executable_by
FROM pg_proc p
WHERE p.pronamespace = 'webhook_bridge'::regnamespace
ORDER BY p.proname, p.oid::regprocedure::text COLLATE "C";

-- tables and sequences: who may do anything
SELECT c.relname,
       (SELECT string_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC'
                                        WHEN a.grantee = c.relowner THEN 'owner'
                                        ELSE a.grantee::regrole::text END, ',')
        FROM aclexplode(c.relacl) a) AS accessible_to
FROM pg_class c
WHERE c.relnamespace = 'webhook_bridge'::regnamespace AND c.relkind IN ('r', 'p', 'S', 'v')
  AND NOT c.relispartition
ORDER BY c.relname;

-- the schema
SELECT (SELECT string_agg(CASE WHEN a.grantee = 0 THEN 'PUBLIC'
                               WHEN a.grantee = n.nspowner THEN 'owner'
                               ELSE a.grantee::regrole::text END || ':' || a.privilege_type, ','
                          ORDER BY a.grantee::regrole::text, a.privilege_type)
        FROM aclexplode(n.nspacl) a WHERE a.grantee <> n.nspowner) AS others_may
FROM pg_namespace n WHERE n.nspname = 'webhook_bridge';

-- columns
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       pg_get_expr(d.adbin, d.adrelid) AS default_value
FROM pg_class c
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'webhook_bridge'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname, a.attnum;

-- what dumps take along
SELECT c.oid::regclass AS dumped, coalesce(nullif(e.condition, ''), 'all rows') AS rows
FROM pg_extension x, unnest(x.extconfig, x.extcondition) AS e(oid, condition) JOIN pg_class c ON c.oid = e.oid
WHERE x.extname = 'webhook_bridge'
ORDER BY c.relname;
