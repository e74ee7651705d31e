-- Accounts, endpoints of accounts, and what is refused before a provider is asked.
-- Nothing here needs a network; test/t/052_remote.pl and those after it have one.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset null '(null)'

-- accounts
SELECT * FROM webhook_bridge.create_account('shop', 'ecomanager', 'https://127.0.0.1:1/', '{"token": "never shown"}');
SELECT * FROM webhook_bridge.create_account('carts', 'api2cart', 'https://127.0.0.1:1/v1.1', '{"api_key": "never shown", "store_key": "never shown either"}');
SELECT * FROM webhook_bridge.create_account('pos', 'blaze', 'https://127.0.0.1:1', '{"partner_key": "p", "developer_key": "d"}');
SELECT * FROM webhook_bridge.create_account('plaza', 'shoplazza', 'https://127.0.0.1:1/openapi/2022-01', '{"access_token": "a", "client_secret": "c"}');
SELECT * FROM webhook_bridge.create_account('app', 'ecwid', 'https://app.ecwid.com', '{"client_secret": "e"}');
SELECT webhook_bridge.create_account('shop', 'ecomanager', 'https://shop.ecomanager.dz', '{"token": "never shown"}');
SELECT webhook_bridge.create_account('x', 'ecomanager', 'https://shop.ecomanager.dz', '{}');
SELECT webhook_bridge.create_account('x', 'ecomanager', 'https://shop.ecomanager.dz', '{"token": ""}');
SELECT webhook_bridge.create_account('x', 'ecomanager', 'https://shop.ecomanager.dz', '{"token": "never shown\n"}');
SELECT webhook_bridge.create_account('x', 'ecomanager', 'https://shop.ecomanager.dz', '{"token": 5}');
SELECT webhook_bridge.create_account('x', 'ecomanager', 'https://shop.ecomanager.dz', '["never shown"]');
SELECT webhook_bridge.create_account('x', 'ecomanager', 'https://shop.ecomanager.dz', '{"token": "never shown", "never shown": "x"}');
SELECT webhook_bridge.create_account('x', 'ecomanager', 'https://shop.ecomanager.dz', NULL);
SELECT webhook_bridge.create_account('x', 'ecomanager', 'https://me:never-shown@shop.ecomanager.dz', '{"token": "never shown"}');
SELECT webhook_bridge.create_account('x', 'ecomanager', NULL, '{"token": "never shown"}');
SELECT webhook_bridge.create_account('x', 'api2cart', 'https://api.api2cart.com', '{"api_key": "a", "store_key": "b"}');
SELECT webhook_bridge.create_account('x', 'nobody', 'https://x', '{}');
SELECT webhook_bridge.create_account('x', 'github', 'https://x', '{}');
SELECT webhook_bridge.create_account('a b', 'ecomanager', 'https://x', '{"token": "never shown"}');
SELECT webhook_bridge.create_account(NULL, 'ecomanager', 'https://x', '{"token": "never shown"}');
SELECT webhook_bridge.drop_account('nothing');

-- endpoints of accounts: where the secret comes from
SELECT name, account FROM webhook_bridge.create_endpoint('orders', 'ecomanager', secret => 's3cret', account => 'shop');
SELECT name, account FROM webhook_bridge.create_endpoint('orders2', 'ecomanager', account => 'shop');
SELECT name, account FROM webhook_bridge.create_endpoint('cart', 'api2cart', account => 'carts');
SELECT name, account FROM webhook_bridge.create_endpoint('till', 'blaze', secret => 'T0KEN', account => 'pos', params => '{"topic": "NEW_MEMBER"}');
SELECT name, account FROM webhook_bridge.create_endpoint('plaza', 'shoplazza', account => 'plaza');
SELECT name, account FROM webhook_bridge.create_endpoint('ecwid', 'ecwid', account => 'app');
SELECT webhook_bridge.create_endpoint('x', 'ecomanager', account => 'nothing');
SELECT webhook_bridge.create_endpoint('x', 'ecomanager', account => 'carts');
SELECT webhook_bridge.create_endpoint('x', 'ecomanager');
UPDATE webhook_bridge.endpoints SET provider = 'generic' WHERE name = 'ecwid';
SELECT endpoint, CASE WHEN secret ~ '^[0-9a-f]{64}$' THEN 'random' ELSE secret END FROM webhook_bridge.secrets
WHERE endpoint IN ('orders', 'orders2', 'cart', 'plaza', 'ecwid') ORDER BY endpoint COLLATE "C";

-- an endpoint that is not committed cannot be called
BEGIN;
SELECT name FROM webhook_bridge.create_endpoint('early', 'ecomanager', secret => 'k', account => 'shop');
SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'early');
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT name FROM webhook_bridge.create_endpoint('early', 'ecomanager', secret => 'k', account => 'shop');
RELEASE a;
SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'early');
ROLLBACK;
SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'nothing');
SELECT webhook_bridge.register_webhook('nothing', 'OrderCreated', 'orders');
SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'cart');
SELECT webhook_bridge.register_webhook('shop', NULL, 'orders');
SELECT name FROM webhook_bridge.create_endpoint('stranger', 'api2cart', 'another secret');
SELECT webhook_bridge.register_webhook('carts', 'order.add', 'stranger');
-- the account's secret changes, and its endpoints follow
UPDATE webhook_bridge.accounts SET credentials = credentials || '{"store_key": "new key"}' WHERE name = 'carts';
SELECT endpoint, label = 'default' AS is_default, secret FROM webhook_bridge.secrets WHERE endpoint IN ('cart', 'stranger') ORDER BY endpoint COLLATE "C", created_at;
UPDATE webhook_bridge.accounts SET credentials = credentials || '{"api_key": "another"}' WHERE name = 'carts';
SELECT count(*) FROM webhook_bridge.secrets WHERE endpoint = 'cart';
UPDATE webhook_bridge.accounts SET created_at = NULL WHERE name = 'carts';
SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'orders', options => '{"lifetime": 3}');
SELECT webhook_bridge.register_webhook('pos', 'NEW_MEMBER', 'till', active => false);
UPDATE webhook_bridge.endpoints SET enabled = false WHERE name = 'orders';
SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'orders');
SELECT count(*) FROM webhook_bridge.webhooks;

-- what is known without asking
SELECT topic FROM webhook_bridge.list_topics('shop');
SELECT count(*) FROM webhook_bridge.list_topics('app');
SELECT * FROM webhook_bridge.list_failed_deliveries('shop');
SELECT webhook_bridge.list_webhooks('app');

-- Ecwid: people
SELECT webhook_bridge.registration_request('ecwid');
SELECT webhook_bridge.register_webhook('app', 'order.created', 'ecwid');
SELECT webhook_bridge.registration_request('orders');

SELECT webhook_bridge.drop_account('shop');
SELECT webhook_bridge.drop_endpoint(e.name) FROM webhook_bridge.endpoints e WHERE e.account IS NOT NULL;
SELECT webhook_bridge.drop_account(a.name) FROM webhook_bridge.accounts a;
