-- Accounts and remote webhooks, with answers that are written down here in place
-- of a network: what is sent is shown, and what becomes of each answer.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset null '(null)'
SET timezone = 'UTC';
SET datestyle = 'ISO';
-- no time for trying again
SET webhook_bridge.http_timeout = '100ms';

-- takes the place of the client; a sequence, because what was sent is not undone
CREATE TABLE replaced AS SELECT pg_get_functiondef(p.oid) AS definition
FROM pg_proc p WHERE p.pronamespace = 'webhook_bridge'::regnamespace AND p.proname = 'http_call';
CREATE TABLE answers (i bigint, status integer, body text, headers jsonb, code text);
CREATE SEQUENCE answered;
CREATE OR REPLACE FUNCTION webhook_bridge.http_call(request webhook_bridge.http_request, idempotent boolean)
RETURNS webhook_bridge.http_response LANGUAGE plpgsql AS $$
DECLARE
    n bigint := nextval('public.answered');
    a public.answers;
BEGIN
    RAISE NOTICE '% %', (request).method, concat_ws(' ', replace((request).url, webhook_bridge.url_encode(webhook_bridge.base_url()), 'BASE'),
        CASE WHEN idempotent THEN '(may be repeated)' END,
        replace(regexp_replace((request).body, '"idempotency_key": "[^"]*"', '"idempotency_key": "..."'), webhook_bridge.base_url(), 'BASE'));
    SELECT * INTO a FROM public.answers WHERE i = n;
    IF a.code IS NOT NULL THEN
        RAISE EXCEPTION 'could not reach the server' USING ERRCODE = a.code, DETAIL = 'As written.';
    END IF;
    RETURN ROW(coalesce(a.status, 200), coalesce(a.headers, '{}'), replace(a.body, 'BASE', webhook_bridge.base_url()))::webhook_bridge.http_response;
END
$$;
CREATE PROCEDURE will_answer(VARIADIC bodies text[]) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.answers;
    PERFORM setval('public.answered', 1, false);
    INSERT INTO public.answers (i, status, code, body)
    SELECT n, CASE WHEN b ~ '^\d{3} ' THEN left(b, 3)::integer END, CASE WHEN b ~ '^WB' THEN b END, CASE WHEN b ~ '^\d{3} ' THEN substr(b, 5) ELSE b END
    FROM unnest(bodies) WITH ORDINALITY AS t(b, n);
END
$$;
CREATE VIEW known AS SELECT account, endpoint, topic, label, options, desired_active, remote_id, remote_state, checked_at IS NOT NULL AS checked FROM webhook_bridge.webhooks ORDER BY id;
CREATE FUNCTION short(w webhook_bridge.webhook_info) RETURNS text LANGUAGE sql AS $$
    SELECT format('endpoint %s topic %s remote_id %s url %s label %s active %s state %s known %s', (w).endpoint, (w).topic, (w).remote_id,
                  replace((w).delivery_url, webhook_bridge.base_url(), 'BASE'), (w).label, (w).active, (w).state, (w).id IS NOT NULL);
$$;

-- accounts
SELECT * FROM webhook_bridge.create_account('shop', 'ecomanager', 'https://shop.ecomanager.dz/', '{"token": "never shown"}');
SELECT * FROM webhook_bridge.create_account('carts', 'api2cart', 'https://api.api2cart.com/v1.1', '{"api_key": "never shown", "store_key": "never shown either"}');
SELECT * FROM webhook_bridge.create_account('pos', 'blaze', 'https://api.partners.blaze.me', '{"partner_key": "p", "developer_key": "d"}');
SELECT * FROM webhook_bridge.create_account('plaza', 'shoplazza', 'https://s.myshoplaza.com/openapi/2022-01', '{"access_token": "a", "client_secret": "c"}');
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
SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'orders', options => '{"lifetime": 3}');
UPDATE webhook_bridge.endpoints SET enabled = false WHERE name = 'orders';
SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'orders');
UPDATE webhook_bridge.endpoints SET enabled = true WHERE name = 'orders';
SELECT * FROM known;

-- Ecomanager: looks, creates
\set nothing '{"data": [], "meta": {"next_cursor": null}}'
\set object '{"id": 7, "name": "orders", "event": "OrderCreated", "http_method": "post", "delivery_url": "BASE/hooks/orders", "headers": [{"X-A": "1"}], "payload": [], "secret": "s3cret", "is_active": 1}'
CALL will_answer(:'nothing', :'object');
SELECT short(w) FROM webhook_bridge.register_webhook('shop', 'OrderCreated', 'orders') AS w;
SELECT * FROM known;
-- again: finds it, tells it the secret
CALL will_answer('{"data": [{"id": 6, "event": "OrderCreated", "delivery_url": "https://elsewhere/"}, ' || :'object' || ']}', :'object');
SELECT short(w) FROM webhook_bridge.register_webhook('shop', 'OrderCreated', 'orders', options => '{"headers": {"X-A": "1"}}') AS w;
SELECT * FROM known;
-- what is on the second page is found, too
CALL will_answer('{"data": [{"id": 6, "event": "OrderCreated", "delivery_url": "https://elsewhere/"}], "meta": {"next_cursor": "c1"}}', '{"data": [' || :'object' || ']}', :'object');
SELECT short(w) FROM webhook_bridge.register_webhook('shop', 'OrderCreated', 'orders') AS w;
-- a page that is its own successor
CALL will_answer('{"data": [], "meta": {"next_cursor": "c1"}}', '{"data": [], "meta": {"next_cursor": "c1"}}');
SELECT webhook_bridge.list_webhooks('shop');
-- the answer is lost: looks again, adopts
\set other '{"id": 8, "name": "orders", "event": "OrderDeleted", "delivery_url": "BASE/hooks/orders", "is_active": 0}'
CALL will_answer(:'nothing', 'WB002', '{"data": [' || :'other' || ']}', :'other', :'other');
SELECT short(w) FROM webhook_bridge.register_webhook('shop', 'OrderDeleted', 'orders') AS w;
-- lost, and not there: the first error; nothing is left here
CALL will_answer(:'nothing', 'WB002', :'nothing');
SELECT webhook_bridge.register_webhook('shop', 'OrderStatusChanged', 'orders');
CALL will_answer(:'nothing', '500 {"message": "Server Error s3cret never shown"}', 'WB001');
SELECT webhook_bridge.register_webhook('shop', 'OrderStatusChanged', 'orders');
CALL will_answer(:'nothing', '422 {"message": "The given data was invalid.", "errors": {"event": ["The selected event is invalid."]}}');
SELECT webhook_bridge.register_webhook('shop', 'OrderStatusChanged', 'orders');
CALL will_answer('401 {"message": "Unauthenticated."}');
SELECT webhook_bridge.register_webhook('shop', 'OrderStatusChanged', 'orders');
CALL will_answer('WB001');
SELECT webhook_bridge.register_webhook('shop', 'OrderStatusChanged', 'orders');
CALL will_answer('429 {"message": "Too Many Attempts."}');
UPDATE answers SET headers = '{"retry-after": "30"}';
SELECT webhook_bridge.register_webhook('shop', 'OrderStatusChanged', 'orders');
SELECT * FROM known;
-- the SQLSTATE of each error
DO $$
DECLARE
    answer text;
BEGIN
    FOREACH answer IN ARRAY ARRAY['401 ', '404 ', '409 ', '422 ', '429 ', '503 ', '200 <html>', 'WB001', 'WB002', 'WB003', 'WB004'] LOOP
        CALL will_answer(answer);
        BEGIN
            PERFORM webhook_bridge.get_webhook('shop', '7');
        EXCEPTION WHEN OTHERS THEN
            RAISE NOTICE '% -> % %', answer, SQLSTATE, SQLERRM;
        END;
    END LOOP;
END
$$;

-- a transaction that is rolled back after the webhook was created: the next call finds it
CALL will_answer(:'nothing', :'object');
BEGIN;
DELETE FROM webhook_bridge.webhooks WHERE topic = 'OrderCreated';
SELECT short(w) FROM webhook_bridge.register_webhook('shop', 'OrderCreated', 'orders') AS w;
ROLLBACK;
SELECT count(*) FROM webhook_bridge.webhooks WHERE topic = 'OrderCreated';

SELECT id AS created FROM webhook_bridge.webhooks WHERE topic = 'OrderCreated' \gset
SELECT id AS deleted FROM webhook_bridge.webhooks WHERE topic = 'OrderDeleted' \gset
CALL will_answer('{"data": [' || :'object' || ', ' || :'other' || ', {"id": 9, "event": "OrderCreated", "delivery_url": "https://elsewhere/", "is_active": "0"}]}');
SELECT short(w) FROM webhook_bridge.list_webhooks('shop', '{"topic": "OrderCreated"}') AS w;
CALL will_answer('{"data": [' || :'object' || ', ' || :'other' || ']}');
SELECT webhook_bridge.count_webhooks('shop', '{"active": true}');
CALL will_answer(:'object');
SELECT raw - 'delivery_url' FROM webhook_bridge.get_webhook('shop', '7');
SELECT topic FROM webhook_bridge.list_topics('shop');
SELECT * FROM webhook_bridge.list_failed_deliveries('shop');
CALL will_answer(:'object', :'object');
SELECT short(w) FROM webhook_bridge.update_webhook(:created, label => 'new', options => '{"payload": {"a": "b"}}') AS w;
CALL will_answer(:'object', replace(:'object', '"is_active": 1', '"is_active": 0'));
SELECT short(w) FROM webhook_bridge.set_webhook_active(:created, false) AS w;
CALL will_answer(:'other');
SELECT short(w) FROM webhook_bridge.set_webhook_active(:deleted, false) AS w;
SELECT * FROM known;
-- what differs
CALL will_answer('{"data": [' || :'object' || ', {"id": 9, "event": "OrderCreated", "delivery_url": "https://elsewhere/?key=never+shown", "is_active": 1}]}');
SELECT endpoint, topic, remote_id, difference, replace(wanted, webhook_bridge.base_url(), 'BASE') AS wanted, replace(actual, webhook_bridge.base_url(), 'BASE') AS actual, repaired FROM webhook_bridge.sync_webhooks('shop');
UPDATE webhook_bridge.webhooks SET desired_active = true WHERE account = 'shop';
CALL will_answer('{"data": [' || replace(:'object', '"is_active": 1', '"is_active": 0') || ']}', replace(:'object', '"is_active": 1', '"is_active": 0'), :'object', :'nothing', :'other');
SELECT endpoint, topic, remote_id, difference, replace(wanted, webhook_bridge.base_url(), 'BASE') AS wanted, replace(actual, webhook_bridge.base_url(), 'BASE') AS actual, repaired FROM webhook_bridge.sync_webhooks('shop', repair => true);
SELECT * FROM known;
-- deleting: what is not there any more is deleted as well
CALL will_answer('201 {"success": "Webhook deleted successfully."}', '404 {"message": "Not Found"}');
SELECT webhook_bridge.delete_webhook(:created);
SELECT webhook_bridge.delete_webhook(:deleted);
SELECT webhook_bridge.delete_webhook(:deleted);
-- adopting
CALL will_answer(replace(:'object', 'BASE/hooks/orders', 'https://elsewhere/'), :'object');
SELECT short(w) FROM webhook_bridge.adopt_webhook('shop', '7', 'orders') AS w;
SELECT webhook_bridge.drop_endpoint('orders');
SELECT webhook_bridge.drop_account('shop');

-- API2Cart: says little about what was done
CALL will_answer('{"return_code": 0, "result": {"webhook": []}}', '{"return_code": 0, "result": {"id": 7}}');
SELECT short(w) FROM webhook_bridge.register_webhook('carts', 'order.add', 'cart', label => 'mine', options => '{"fields": "id", "store_id": "1"}') AS w;
CALL will_answer('{"return_code": 0, "result": {"webhook": [{"id": 7, "entity": "order", "action": "add", "callback": "BASE/hooks/cart", "label": "mine", "active": true, "store_id": "1"}]}}', '{"return_code": 0, "result": {"updated": "1"}}');
SELECT short(w) FROM webhook_bridge.register_webhook('carts', 'order.add', 'cart', active => false) AS w;
SELECT id AS cart FROM webhook_bridge.webhooks WHERE account = 'carts' \gset
CALL will_answer('{"return_code": 0, "result": {"webhook_count": 1}}');
SELECT webhook_bridge.count_webhooks('carts');
CALL will_answer('{"return_code": 0, "result": {"events": [{"webhook_name": "Order add", "entity": "order", "action": "add"}]}}');
SELECT topic, label FROM webhook_bridge.list_topics('carts');
CALL will_answer('{"return_code": 0, "result": {"all_failed_webhook": "2", "webhook": [{"webhook_id": 7, "entity_id": "1", "time": "2024-05-06 07:08:09"}]}}',
                 '{"return_code": 0, "result": {"all_failed_webhook": "2", "webhook": [{"webhook_id": 8, "entity_id": "2"}]}}');
SELECT id IS NOT NULL AS known, remote_id, failed_at, raw ->> 'entity_id' FROM webhook_bridge.list_failed_deliveries('carts');
CALL will_answer('{"return_code": 0, "result": {"webhook": [{"id": 7, "entity": "order", "action": "add"}]}}');
SELECT webhook_bridge.update_webhook(:cart, topic => 'order.update');
CALL will_answer('{"return_code": 10, "return_message": "store_key never shown either: limit"}');
SELECT webhook_bridge.get_webhook('carts', '7');

-- BLAZE: the token is masked; no switch
\set object '{"id": "5f", "webHookType": "NEW_MEMBER", "webHookUrls": ["BASE/hooks/till?token=T0KEN"], "shopId": "s", "deleted": false}'
CALL will_answer('{"total": 1, "searchResult": [{"id": "5e", "webHookType": "NEW_MEMBER", "webHookUrls": ["BASE/hooks/till?token=T0KEN"], "deleted": true}]}', :'object');
SELECT short(w) FROM webhook_bridge.register_webhook('pos', 'NEW_MEMBER', 'till') AS w;
SELECT id AS till FROM webhook_bridge.webhooks WHERE account = 'pos' \gset
CALL will_answer(:'object', :'object');
SELECT short(w), replace(raw::text, webhook_bridge.base_url(), 'BASE') FROM webhook_bridge.update_webhook(:till, options => '{"shopId": "s"}') AS w;
CALL will_answer('');
SELECT short(w) FROM webhook_bridge.set_webhook_active(:till, false) AS w;
SELECT * FROM known WHERE account = 'pos';
CALL will_answer('{"searchResult": []}', :'object');
SELECT short(w) FROM webhook_bridge.set_webhook_active(:till, true) AS w;
SELECT * FROM known WHERE account = 'pos';
SELECT webhook_bridge.register_webhook('pos', 'NEW_MEMBER', 'till', active => false);

-- Shoplazza: "Topic already exists"
CALL will_answer('{"webhooks": []}', '422 {"errors": ["Topic already exists"]}', '{"webhooks": [{"id": "6d", "topic": "orders/create", "address": "BASE/hooks/plaza"}]}');
SELECT short(w) FROM webhook_bridge.register_webhook('plaza', 'orders/create', 'plaza') AS w;
CALL will_answer('{"webhooks": []}', '422 {"errors": ["Topic already exists"]}', '{"webhooks": []}');
SELECT webhook_bridge.register_webhook('plaza', 'orders/paid', 'plaza');
-- one that delivers here and is not known here is adopted by a repair
CALL will_answer('{"webhooks": [{"id": "6d", "topic": "orders/create", "address": "BASE/hooks/plaza"}, {"id": "6e", "topic": "orders/paid", "address": "BASE/hooks/plaza"}]}', '{"webhook": {"id": "6e", "topic": "orders/paid", "address": "BASE/hooks/plaza"}}');
SELECT endpoint, topic, remote_id, difference, repaired, id IS NOT NULL FROM webhook_bridge.sync_webhooks('plaza', repair => true);
SELECT * FROM known WHERE account = 'plaza';

-- Ecwid: people
SELECT webhook_bridge.registration_request('ecwid');
UPDATE webhook_bridge.endpoints SET provider = 'generic' WHERE name = 'ecwid';
SELECT webhook_bridge.register_webhook('app', 'order.created', 'ecwid');
SELECT webhook_bridge.registration_request('orders');
SELECT webhook_bridge.list_webhooks('app');
SELECT count(*) FROM webhook_bridge.list_topics('app');

-- nobody else may
CREATE ROLE regress_wb_manager;
GRANT USAGE ON SCHEMA webhook_bridge TO regress_wb_manager;
SET ROLE regress_wb_manager;
SELECT webhook_bridge.list_webhooks('shop');
SELECT count(*) FROM webhook_bridge.accounts;
SELECT count(*) FROM webhook_bridge.webhooks;
RESET ROLE;
GRANT EXECUTE ON FUNCTION webhook_bridge.list_webhooks(text, jsonb) TO regress_wb_manager;
CALL will_answer('{"data": [{"id": 1, "secret": "never shown"}]}');
SET ROLE regress_wb_manager;
SELECT raw FROM webhook_bridge.list_webhooks('shop');
SELECT webhook_bridge.delete_webhook(1);
RESET ROLE;
REVOKE ALL ON FUNCTION webhook_bridge.list_webhooks(text, jsonb) FROM regress_wb_manager;
REVOKE ALL ON SCHEMA webhook_bridge FROM regress_wb_manager;
DROP ROLE regress_wb_manager;

DELETE FROM webhook_bridge.webhooks;
SELECT webhook_bridge.drop_endpoint(e.name) FROM webhook_bridge.endpoints e WHERE e.account IS NOT NULL;
SELECT webhook_bridge.drop_account(a.name) FROM webhook_bridge.accounts a;
SELECT definition FROM replaced \gexec
DROP VIEW known;
DROP FUNCTION short;
DROP PROCEDURE will_answer;
DROP TABLE answers, replaced;
DROP SEQUENCE answered;
