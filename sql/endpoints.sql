-- Endpoints and secrets: what create_endpoint() makes and what it refuses.
\pset null '(null)'
\set SHOW_CONTEXT never

SELECT name, provider, replace(url, webhook_bridge.base_url(), 'BASE') AS url, path, channel, notify, dedup,
       max_body_size, allow_unverified, enabled, params
FROM webhook_bridge.create_endpoint('shop', 'ecomanager', secret => 's3cret');
SELECT name, replace(url, webhook_bridge.base_url(), 'BASE') AS url, channel, notify, dedup, max_body_size, params
FROM webhook_bridge.create_endpoint('store', 'shoplazza', 's3cret', path => '/in/store', channel => 'Store',
     notify => 'batch', dedup => 'none', max_body_size => 5000, params => '{"a": "b"}');

SELECT retention, dedup_retention FROM webhook_bridge.create_endpoint('defaults', 'ecomanager', 'k');
SELECT retention, dedup_retention
FROM webhook_bridge.create_endpoint('archive', 'ecomanager', 'k', retention => NULL, dedup_retention => '1 hour');
UPDATE webhook_bridge.endpoints SET retention = '1 minute' WHERE name = 'defaults';
SELECT webhook_bridge.drop_endpoint('defaults'), webhook_bridge.drop_endpoint('archive');

-- a provider without signatures gets a random token, part of the URL
SELECT regexp_replace(url, '^.*\?token=[0-9a-f]{64}$', 'a token of 64 digits') AS url
FROM webhook_bridge.create_endpoint('pos', 'blaze', params => '{"topic": "NEW_MEMBER"}');
SELECT url LIKE '%/hooks/pos2?token=mine' AS given
FROM webhook_bridge.create_endpoint('pos2', 'blaze', secret => 'mine');
SELECT webhook_bridge.delivery_url('pos2') LIKE '%/hooks/pos2?token=mine' AS again;
SELECT substring(url FROM '\?.*') AS encoded
FROM webhook_bridge.create_endpoint('pos3', 'blaze', secret => 'a&b=c/d ü?~');
SELECT webhook_bridge.delivery_url('nothing');

-- fails closed
SELECT webhook_bridge.create_endpoint('x', 'ecomanager');
SELECT webhook_bridge.create_endpoint('x', 'github', secret => '');
SELECT webhook_bridge.create_endpoint('x', 'standard_webhooks', secret => 'whsec_***');
INSERT INTO webhook_bridge.providers (name, title, algorithm) VALUES ('unsigned', 'Signs nothing', 'none');
SELECT webhook_bridge.create_endpoint('x', 'unsigned');
SELECT webhook_bridge.create_endpoint('x', 'unsigned', secret => 'k');
INSERT INTO webhook_bridge.endpoints (name, provider, path) VALUES ('x', 'unsigned', '/x');
SELECT name, allow_unverified FROM webhook_bridge.create_endpoint('open', 'unsigned', allow_unverified => true);
SELECT name, allow_unverified FROM webhook_bridge.create_endpoint('lenient', 'github', allow_unverified => true);
UPDATE webhook_bridge.endpoints SET allow_unverified = false WHERE name = 'open';

-- bad arguments
SELECT webhook_bridge.create_endpoint(NULL, 'github', 'k');
SELECT webhook_bridge.create_endpoint('x', 'nobody', 'k');
SELECT webhook_bridge.create_endpoint('', 'github', 'k');
SELECT webhook_bridge.create_endpoint('a b', 'github', 'k');
SELECT webhook_bridge.create_endpoint('-a', 'github', 'k');
SELECT webhook_bridge.create_endpoint(repeat('a', 64), 'github', 'k');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => 'x');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => '/');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => '/x/');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => '/a//b');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => '/a/../b');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => '/a/.');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => '/x?y');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => '/x%20y');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => '/ü');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => E'/x\ny');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => '/' || repeat('a', 255));
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', channel => '');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', channel => repeat('c', 64));
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', notify => 'always');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', dedup => 'maybe');
SELECT webhook_bridge.create_endpoint('x', 'hubspot_v3', 'k', dedup => 'content');
SELECT webhook_bridge.create_endpoint('x', 'microsoft_graph', 'k', dedup => 'content');
SELECT dedup FROM webhook_bridge.create_endpoint('contents', 'ecomanager', 'k', dedup => 'content');
UPDATE webhook_bridge.endpoints SET provider = 'dropbox' WHERE name = 'contents';
SELECT webhook_bridge.drop_endpoint('contents');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', max_body_size => 0);
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', retention => '23 hours');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', retention => '-30 days');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', retention => '1001 years');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', dedup_retention => '0');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', dedup_retention => '1001 years');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', dedup_retention => NULL);
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', params => '[]');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', params => '{"a": 1}');
SELECT webhook_bridge.create_endpoint('shop', 'github', 'k');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', path => '/hooks/shop');
SELECT webhook_bridge.create_endpoint('x', 'github', 'k', notify => NULL);
SELECT count(*) FROM webhook_bridge.endpoints WHERE name = 'x';

-- secrets
SELECT webhook_bridge.add_secret('shop', 'next', label => 'second', expires_at => '2099-01-01');
SELECT webhook_bridge.add_secret('shop', 'third') ~ '^\d{4}-\d\d-\d\d ' AS labelled_by_time;
SELECT webhook_bridge.add_secret('shop', 'again', label => 'second');
SELECT webhook_bridge.add_secret('nothing', 'k');
SELECT webhook_bridge.add_secret('shop', NULL);
SELECT webhook_bridge.add_secret('shop', '');
SELECT webhook_bridge.add_secret('shop', 'k', label => '');
INSERT INTO webhook_bridge.secrets (endpoint, label, secret) VALUES ('shop', NULL, 'never shown');
INSERT INTO webhook_bridge.secrets (endpoint, label, secret, created_at) VALUES ('nothing', 'a', 'never shown', now());
UPDATE webhook_bridge.secrets SET label = repeat('x', 64) WHERE label = 'second';
SELECT webhook_bridge.retire_secret('shop', 'unknown');
SELECT webhook_bridge.retire_secret('shop', 'default');
DELETE FROM webhook_bridge.secrets WHERE endpoint = 'shop' AND label <> 'second';
SELECT webhook_bridge.retire_secret('shop', 'second');
SELECT webhook_bridge.add_secret('shop', 'old', label => 'expired', expires_at => '2020-01-01');
SELECT webhook_bridge.retire_secret('shop', 'expired');
SELECT endpoint, label, expires_at FROM webhook_bridge.secrets WHERE endpoint = 'shop';

-- the ledger of duplicates follows its endpoint, ends with its provider, and outlives it
INSERT INTO webhook_bridge.dedup
SELECT v.event_id, now(), e.id, webhook_bridge.ledger_key('a')
FROM (VALUES (1, 'store'), (2, 'pos'), (3, 'pos2')) v (event_id, name) JOIN webhook_bridge.endpoints e USING (name);
UPDATE webhook_bridge.endpoints SET name = 'store2' WHERE name = 'store';
UPDATE webhook_bridge.endpoints SET provider = 'generic' WHERE name = 'pos';
DELETE FROM webhook_bridge.endpoints WHERE name = 'pos2';
SELECT e.name, d.key, d.event_id FROM webhook_bridge.dedup d LEFT JOIN webhook_bridge.endpoints e ON e.id = d.endpoint ORDER BY e.name COLLATE "C";

-- dropping
SELECT webhook_bridge.drop_endpoint('shop');
SELECT webhook_bridge.drop_endpoint('shop');
SELECT count(*) FROM webhook_bridge.secrets WHERE endpoint = 'shop';
DELETE FROM webhook_bridge.providers WHERE name = 'blaze';
