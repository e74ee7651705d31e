-- What is sent to providers' management APIs, and what is made of their answers;
-- the functions are pure, nothing here needs a network.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset null '(null)'

CREATE FUNCTION pg_temp.request(base_url text, operation text, webhook jsonb DEFAULT '{}')
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    provider text := substring(base_url FROM '(ecomanager|api2cart|blaze|shoplaz)');
    r webhook_bridge.http_request;
BEGIN
    IF provider = 'shoplaz' THEN
        provider := 'shoplazza';
    END IF;
    EXECUTE format('SELECT (webhook_bridge.%I($1, $2, $3)).*', provider || '_request') INTO r
    USING operation, ROW('main', provider, base_url, jsonb_build_object(
              'token', 'TOKEN', 'api_key', 'APIKEY', 'store_key', 'STOREKEY', 'partner_key', 'PARTNERKEY',
              'developer_key', 'DEVELOPERKEY', 'access_token', 'ACCESSTOKEN', 'client_secret', 'CLIENTSECRET'))::webhook_bridge.account_info,
          webhook;
    RETURN CASE WHEN r.method IS NULL THEN 'no ' || operation
                ELSE concat_ws(E'\n', r.method || ' ' || r.url, r.headers::text, r.body) END;
END
$$;

-- one line per row; what is null is left out
CREATE FUNCTION pg_temp.answer(provider text, operation text, status integer, body text, headers jsonb DEFAULT '{}')
RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
DECLARE
    r webhook_bridge.remote_webhook;
BEGIN
    FOR r IN EXECUTE format('SELECT * FROM webhook_bridge.%I($1, $2, $3, $4)', provider || '_response')
             USING operation, status, headers, body
    LOOP
        RETURN NEXT jsonb_strip_nulls(to_jsonb(r));
    END LOOP;
END
$$;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET jit = off;

-- the rows of the table
SELECT name, request_function, response_function, registration_function, credentials, account_secret,
       base_url_pattern, base_url_example, cardinality(topics), update_needs_current
FROM webhook_bridge.providers
WHERE coalesce(request_function, registration_function) IS NOT NULL ORDER BY name COLLATE "C";
SELECT p.name, u.url, u.url ~ p.base_url_pattern AS taken
FROM webhook_bridge.providers p,
     unnest(ARRAY['https://a.example', 'https://a.example/', 'http://127.0.0.1:1/x/y', 'https://a.example?x=1', 'ftp://a.example',
                  'https://user:password@a.example', 'https://api.api2cart.com/v1.1', 'http://127.0.0.1:1/api2cart/v1.0/',
                  'https://api.api2cart.com/v2.0', 'https://s.myshoplaza.com/openapi/2022-01',
                  'http://127.0.0.1:1/shoplazza/openapi/2025-06/', 'https://s.myshoplaza.com/openapi/latest', E'https://a.example/\n']) AS u(url)
WHERE p.base_url_pattern IS NOT NULL ORDER BY p.name COLLATE "C", u.url COLLATE "C";

-- what providers' functions have to be
INSERT INTO webhook_bridge.providers (name, title, signature_from, request_function) VALUES ('bad', 't', 'header:X', 'public.no');
INSERT INTO webhook_bridge.providers (name, title, signature_from, request_function, response_function) VALUES ('bad', 't', 'header:X', 'public.no', 'public.no');
INSERT INTO webhook_bridge.providers (name, title, signature_from, request_function, response_function) VALUES ('bad', 't', 'header:X', 'ecomanager_request', 'ecomanager_response');
INSERT INTO webhook_bridge.providers (name, title, signature_from, registration_function) VALUES ('bad', 't', 'header:X', 'now(); drop');
\set VERBOSITY terse
INSERT INTO webhook_bridge.providers (name, title, signature_from, account_secret) VALUES ('bad', 't', 'header:X', 'k');
INSERT INTO webhook_bridge.providers (name, title, signature_from, base_url_pattern) VALUES ('bad', 't', 'header:X', '^https');
INSERT INTO webhook_bridge.providers (name, title, signature_from, base_url_pattern) VALUES ('bad', 't', 'header:X', '(');
\set VERBOSITY default

-- helpers
SELECT webhook_bridge.url_encode('a&b=c/d ü?~%+'), webhook_bridge.url_encode('') = '';
SELECT webhook_bridge.url_with_query('http://x/y', 'a', '1', 'b', NULL, 'c d', '&');
SELECT webhook_bridge.url_with_query('http://x/y', 'a', NULL);
SELECT b, webhook_bridge.try_json(b) FROM unnest(ARRAY['{"a": 1}', '', ' ', '{', '"\u0000"', '1e999999999', '[1] x', repeat('[', 100000)]) WITH ORDINALITY AS t(b, i) WHERE length(b) < 100 ORDER BY i;
SELECT webhook_bridge.try_json(repeat('[', 1000000));
SELECT webhook_bridge.remote_message(repeat('[', 2000) || repeat(']', 2000)) IS NULL;
SELECT v, webhook_bridge.as_text(v), webhook_bridge.as_boolean(v), webhook_bridge.as_bigint(v), webhook_bridge.as_time(v), webhook_bridge.as_time_ms(v)
FROM unnest(ARRAY['null', 'true', 'false', '0', '1', '-1', '1.5', '"1"', '"x"', '""', '[]', '{}', '1700000000123', '1e300', '999999999999999999999',
                  '"2024-02-30"', '"2024-02-29"', '"2024-02-29 10:11:12"', '"2024-02-29T10:11:12Z"', '"2024-02-29T10:11:12.5+02:00"',
                  '"2024-02-29T10:11:12+0200"', '"2024-13-01T00:00:00Z"', '"0000-00-00 00:00:00"', '"now"', '"infinity"']::jsonb[])
     WITH ORDINALITY AS t(v, i) ORDER BY i;
SELECT m, webhook_bridge.remote_message(m)
FROM unnest(ARRAY['', 'Bad Request', '"Record not found"', '{"message": "a"}', '{"error": "a", "message": "b", "status": 400}',
                  '{"error": {"code": 1, "message": "a"}}', '{"errors": ["a", "b"]}', '{"errors": {"f": ["a", "b"], "g": "c"}}', '{"errors": "a"}',
                  '{"errors": {"f": {"g": ["deep"]}}}', '{"errors": 1, "message": null}', '["a", 1]', '12', 'null',
                  '<html><head><title>502 Bad Gateway</title></head><body>nginx</body>', '<p>Not <b>here</b></p>', '{"secret": "half of', E'two\nlines\t!'])
     WITH ORDINALITY AS t(m, i) ORDER BY i;
SELECT length(webhook_bridge.remote_message(repeat('x', 100000)));
SELECT s, (webhook_bridge.remote_failure(s, '{"message": "m"}')).error
FROM unnest(ARRAY[NULL, 0, 100, 200, 301, 307, 400, 401, 403, 404, 405, 408, 409, 410, 418, 422, 429, 499, 500, 502, 503, 504, 599, 600]) WITH ORDINALITY AS t(s, i) ORDER BY i;
SELECT webhook_bridge.next_page(NULL, '{"skip": 100, "total": 250}'),
       webhook_bridge.next_page('{"skip": 100, "total": 250}', '{"skip": 100, "total": 250}'),
       webhook_bridge.next_page('{"skip": 200, "total": 250}', '{"skip": 50, "total": 250}'),
       webhook_bridge.next_page('{"skip": 250}', '{"skip": 250}'),
       webhook_bridge.next_page('{"cursor": "a"}', '{"cursor": "b"}'),
       webhook_bridge.next_page('{"cursor": "a"}', NULL);

-- ---------------------------------------------------------------------------
-- Ecomanager
-- ---------------------------------------------------------------------------
\set base '''https://shop.ecomanager.dz'''
SELECT pg_temp.request(:base, 'list');
SELECT pg_temp.request('http://127.0.0.1:8099/ecomanager/', 'list', '{"page": {"cursor": "eyJp/=&"}, "filters": {"ids": [1, "2"], "topic": "OrderCreated"}}');
SELECT pg_temp.request(:base, 'list', '{"filters": {"ids": "1,2"}}');
SELECT pg_temp.request(:base, 'get', '{"remote_id": "003"}');
SELECT pg_temp.request(:base, 'get', '{"remote_id": "../orders?x"}');
SELECT pg_temp.request(:base, 'create', '{"topic": "OrderCreated", "delivery_url": "https://db.example.com/hooks/a", "secret": "s3cret"}');
SELECT pg_temp.request(:base, 'create', '{"topic": "OrderCreated", "delivery_url": "https://db.example.com/hooks/a", "secret": "s3cret", "label": "My \"shop\"", "active": false,
    "options": {"http_method": "get", "headers": {"X-B": "2", "X-A": "1"}, "payload": {"k": "v", "m": "n"}}}');
SELECT pg_temp.request(:base, 'update', '{"remote_id": "7", "active": true, "current": {"id": 7, "name": "n", "event": "OrderDeleted", "http_method": "post",
    "delivery_url": "https://x/y", "headers": [{"X-A": "1"}, {"key": "value"}], "payload": null, "is_active": 0, "created_at": "2024-01-01 00:00:00"}}');
SELECT pg_temp.request(:base, 'update', '{"remote_id": "7", "delivery_url": "https://x/z", "topic": "OrderCreated", "label": "new", "secret": "other", "options": {"headers": {}},
    "current": {"id": 7, "name": "n", "event": "OrderDeleted", "delivery_url": "https://x/y", "headers": [{"X-A": "1"}], "payload": [{"a": "b"}, "odd"], "is_active": 0}}');
SELECT pg_temp.request(:base, 'set_active', '{"remote_id": "7", "active": false}');
SELECT pg_temp.request(:base, 'delete', '{"remote_id": "7"}');
SELECT pg_temp.request(:base, o) FROM unnest('{count,topics,failed,nonsense}'::text[]) AS o;
-- refused before anything is sent
SELECT pg_temp.request(:base, 'create', '{"topic": "OrderCreated", "delivery_url": "https://x/y"}');
SELECT pg_temp.request(:base, 'create', '{"delivery_url": "https://x/y", "secret": "s"}');
SELECT pg_temp.request(:base, 'create', '{"topic": "OrderCreated", "secret": "s"}');
SELECT pg_temp.request(:base, 'get');
SELECT pg_temp.request(:base, 'delete', '{"remote_id": ".."}');
SELECT pg_temp.request(:base, 'set_active', '{"remote_id": "7"}');
SELECT pg_temp.request(:base, 'update', '{"remote_id": "7"}');
SELECT pg_temp.request(:base, 'list', '{"filters": {"entity": "order"}}');
SELECT pg_temp.request(:base, 'list', '{"filters": []}');
PREPARE refused(text) AS SELECT pg_temp.request('https://shop.ecomanager.dz', 'create', jsonb_build_object('topic', 'OrderCreated', 'delivery_url', 'https://x/y', 'secret', 's', 'options', $1::jsonb));
EXECUTE refused('{"shopId": "1"}');
EXECUTE refused('{"http_method": "PUT"}');
EXECUTE refused('{"http_method": null}');
EXECUTE refused('{"headers": {"a": "1", "b": "2", "c": "3", "d": "4", "e": "5", "f": "6"}}');
EXECUTE refused('{"headers": {"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}}');
EXECUTE refused('{"payload": {"1": "", "2": "", "3": "", "4": "", "5": "", "6": "", "7": "", "8": "", "9": "", "10": "", "11": ""}}');
EXECUTE refused('{"headers": {"X-A": "1\r\nX-Evil: 2"}}');
EXECUTE refused('{"headers": {"X A": "1"}}');
EXECUTE refused('{"headers": {"X-A": 1}}');
EXECUTE refused('{"headers": "X-A: 1"}');
EXECUTE refused('{"headers": {"X-A": "1", "x-a": "2"}}');
EXECUTE refused('{"payload": {"": "1"}}');
EXECUTE refused('{"payload": [{"a": "1"}]}');

-- answers
\set object '{"id": 7, "name": "n", "event": "OrderCreated", "http_method": "post", "delivery_url": "https://x/y", "headers": [{"X-A": "1"}], "payload": [], "secret": "never shown", "is_active": 1, "created_at": "2024-05-06 07:08:09", "updated_at": null}'
SELECT pg_temp.answer('ecomanager', o, 200, :'object') FROM unnest('{create,get,update,set_active}'::text[]) AS o;
SELECT pg_temp.answer('ecomanager', 'get', 200, '{"data": ' || :'object' || '}');
SELECT pg_temp.answer('ecomanager', 'list', 200, '{"data": [' || :'object' || ', {"id": "003", "is_active": 0}], "links": {}, "meta": {"next_cursor": "abc"}}');
SELECT pg_temp.answer('ecomanager', 'list', 200, '{"data": [], "meta": {"next_cursor": null}}');
SELECT count(*) FROM pg_temp.answer('ecomanager', 'delete', 201, '{"success": "Webhook deleted successfully."}');
SELECT pg_temp.answer('ecomanager', 'get', 401, '{"message": "Unauthenticated."}');
SELECT pg_temp.answer('ecomanager', 'get', 404, '{"message": "No query results for model [Webhook] 7"}');
SELECT pg_temp.answer('ecomanager', 'get', 404, '<html><title>404 Not Found</title></html>');
SELECT pg_temp.answer('ecomanager', 'create', 422, '{"message": "The given data was invalid.", "errors": {"event": ["The selected event is invalid."], "delivery_url": ["The delivery url format is invalid.", "It must be HTTPS."]}}');
SELECT pg_temp.answer('ecomanager', 'create', 422, '{"message": "The given data was invalid.", "errors": {"name": ["The name has already been taken."]}}');
SELECT pg_temp.answer('ecomanager', 'create', 429, '{"message": "Too Many Attempts."}', '{"retry-after": "5"}');
SELECT pg_temp.answer('ecomanager', 'create', 500, '{"message": "Server Error"}');

-- ---------------------------------------------------------------------------
-- API2Cart
-- ---------------------------------------------------------------------------
\set old '''https://api.api2cart.com/v1.0'''
\set new '''https://api.api2cart.com/v1.1/'''
SELECT pg_temp.request(b, o) FROM unnest(ARRAY[:old, :new, 'http://127.0.0.1:8099/api2cart/v1.0']) AS b, unnest('{topics,count,list,failed}'::text[]) AS o;
SELECT pg_temp.request(b, 'list', '{"filters": {"topic": "order.add", "active": true, "ids": [1, 2]}, "page": {"skip": 250}}') FROM unnest(ARRAY[:old, :new]) AS b;
SELECT pg_temp.request(:new, 'list', '{"filters": {"entity": "order", "action": "update", "ids": "3", "delivery_url": "https://x"}}');
SELECT pg_temp.request(:new, 'count', '{"filters": {"topic": "order.add", "active": false}}');
SELECT pg_temp.request(:new, 'count', '{"filters": {"delivery_url": "https://x"}}');
SELECT pg_temp.request(b, 'get', '{"remote_id": "7"}') FROM unnest(ARRAY[:old, :new]) AS b;
SELECT pg_temp.request(b, 'delete', '{"remote_id": "7&x"}') FROM unnest(ARRAY[:old, :new]) AS b;
SELECT pg_temp.request(b, 'create', '{"topic": "order.add", "delivery_url": "https://x/y?z=1", "label": "l & m", "active": true, "idempotency_key": "key-1",
    "options": {"fields": "id,total", "store_id": "1"}}') FROM unnest(ARRAY[:old, :new]) AS b;
SELECT pg_temp.request(:new, 'create', '{"topic": "order.add", "delivery_url": "https://x/y", "active": false,
    "options": {"fields": ["id", "total"], "store_id": 2, "response_fields": "{result}", "lang_id": "en", "filtering_conditions": {"and": [{"field": "a", "operator": "=", "value": null}]}}}');
SELECT pg_temp.request(b, 'update', '{"remote_id": "7", "delivery_url": "https://x/z", "label": "new", "active": true, "options": {"fields": "force_all"}, "topic": "order.add",
    "current": {"entity": "order", "action": "add"}}') FROM unnest(ARRAY[:old, :new]) AS b;
SELECT pg_temp.request(b, 'set_active', '{"remote_id": "7", "active": false}') FROM unnest(ARRAY[:old, :new]) AS b;
-- refused
SELECT pg_temp.request(:new, 'update', '{"remote_id": "7", "topic": "order.update", "current": {"entity": "order", "action": "add"}}');
SELECT pg_temp.request(:new, 'update', '{"remote_id": "7", "options": {"store_id": "2"}, "current": {"store_id": "1"}}');
SELECT pg_temp.request(:new, 'update', '{"remote_id": "7", "options": {"store_id": "1", "fields": "id"}, "current": {"store_id": "1"}}');
SELECT pg_temp.request(:old, 'create', '{"topic": "order.add", "delivery_url": "https://x/y", "options": {"lang_id": "en"}}');
SELECT pg_temp.request(:new, 'create', '{"topic": "order", "delivery_url": "https://x/y"}');
SELECT pg_temp.request(:new, 'create', '{"topic": "order.add"}');
SELECT pg_temp.request(:new, 'create', '{"topic": "order.add", "delivery_url": "https://x/y", "options": {"lifetime": 3}}');
SELECT pg_temp.request(:new, 'create', '{"topic": "order.add", "delivery_url": "https://x/y", "options": {"fields": {"a": 1}}}');
SELECT pg_temp.request(:new, 'create', '{"topic": "order.add", "delivery_url": "https://x/y", "options": {"filtering_conditions": []}}');
SELECT pg_temp.request(:new, 'create', '{"topic": "order.add", "delivery_url": "https://x/y", "options": {"filtering_conditions": {"field": "a"}}}');
SELECT pg_temp.request(:new, 'list', '{"filters": {"shopId": "1"}}');
SELECT pg_temp.request(:new, 'set_active', '{"remote_id": "7"}');

-- answers
SELECT pg_temp.answer('api2cart', 'topics', 200, '{"return_code": 0, "return_message": "", "result": {"events": [{"webhook_name": "Order add", "entity": "order", "action": "add", "filterable_fields": {"a": []}}]}}');
SELECT pg_temp.answer('api2cart', 'count', 200, '{"return_code": 0, "return_message": "", "result": {"webhook_count": 3}}');
SELECT pg_temp.answer('api2cart', 'count', 200, '{"return_code": "0", "result": {"webhook_count": "3"}}');
SELECT pg_temp.answer('api2cart', 'create', 200, '{"return_code": 0, "return_message": "", "result": {"id": 7}}');
SELECT count(*) FROM pg_temp.answer('api2cart', 'update', 200, '{"return_code": 0, "return_message": "", "result": {"updated": "1"}}');
SELECT count(*) FROM pg_temp.answer('api2cart', 'set_active', 200, '{"return_code": 0, "return_message": "", "result": {"updated": 1}}');
SELECT count(*) FROM pg_temp.answer('api2cart', 'delete', 200, '{"return_code": 0, "return_message": "", "result": {"deleted": "1"}}');
SELECT pg_temp.answer('api2cart', 'delete', 200, '{"return_code": 0, "return_message": "", "result": {"deleted": "0"}}');
SELECT pg_temp.answer('api2cart', o, 200, '{"return_code": 0, "return_message": "", "result": {"webhook": [{"id": 7, "label": "l", "store_id": "1", "active": true, "callback": "https://x/y",
    "fields": "force_all", "created_at": "2024-05-06 07:08:09", "updated_at": {"value": "2024-05-06T07:08:10+0000", "format": "Y-m-d\\TH:i:sO"}, "entity": "order", "action": "add"}]}}')
FROM unnest('{list,get}'::text[]) AS o;
SELECT pg_temp.answer('api2cart', 'list', 200, '{"return_code": 0, "return_message": "", "result": {"webhook": [{"id": "7", "entity": "order", "action": "add", "callback": "https://x/y"}]}}');
SELECT pg_temp.answer('api2cart', 'get', 200, '{"return_code": 0, "return_message": "", "result": {"webhook": []}}');
SELECT count(*) AS rows, max(next_page::text) FROM webhook_bridge.api2cart_response('list', 200, '{}',
    (SELECT jsonb_build_object('return_code', 0, 'result', jsonb_build_object('webhook', jsonb_agg(jsonb_build_object('id', i))))::text FROM generate_series(1, 250) AS i));
SELECT pg_temp.answer('api2cart', 'failed', 200, '{"return_code": 0, "return_message": "", "result": {"all_failed_webhook": "3", "webhook": [{"webhook_id": 7, "entity_id": "86", "time": {"value": "2024-05-06 07:08:09", "format": "Y-m-d H:i:s"}}]}}');
SELECT pg_temp.answer('api2cart', 'failed', 200, '{"return_code": 0, "return_message": "", "result": {"all_failed_webhook": "0", "webhook": []}}');
SELECT code, pg_temp.answer('api2cart', 'create', 200, format('{"return_code": %s, "return_message": "Said so.", "result": {}}', code))
FROM unnest('{1,2,3,4,5,6,7,8,9,10,100,101,102,103,104,105,106,107,109,110,111,112,113,114,115,116,999}'::integer[]) AS code;
-- return_code decides
SELECT pg_temp.answer('api2cart', 'create', 500, '{"return_code": 114, "return_message": "Entity is required", "result": {}}');
SELECT pg_temp.answer('api2cart', 'create', 400, '{"return_code": 0, "return_message": "", "result": {"id": 7}}');
SELECT pg_temp.answer('api2cart', 'create', 200, '{"return_code": 2, "result": null}');
SELECT pg_temp.answer('api2cart', 'create', 401, '{"message": "no"}');

-- ---------------------------------------------------------------------------
-- BLAZE
-- ---------------------------------------------------------------------------
\set base '''https://api.partners.blaze.me'''
SELECT pg_temp.request(:base, 'list');
SELECT pg_temp.request('http://127.0.0.1:8099/blaze/', 'list', '{"filters": {"shopId": "a b", "topic": "NEW_MEMBER"}, "page": {"skip": 200, "total": 250}}');
SELECT pg_temp.request(:base, 'get', '{"remote_id": "5f/1"}');
SELECT pg_temp.request(:base, 'create', '{"topic": "NEW_MEMBER", "delivery_url": "https://x/y?token=t"}');
SELECT pg_temp.request(:base, 'create', '{"topic": "TRANSACTION_UPDATE", "delivery_url": "https://x/y", "label": "l", "active": true, "options": {"shopId": "s1"}}');
SELECT pg_temp.request(:base, 'update', '{"remote_id": "5f", "delivery_url": "https://x/z?token=new", "options": {"shopId": "s2"},
    "current": {"id": "5f", "companyId": "c", "shopId": "s1", "created": 1, "modified": 2, "deleted": false, "updated": true, "url": "https://x/z?token=old", "webHookType": "NEW_MEMBER", "webHookUrls": ["https://other", "https://x/z?token=old"]}}');
-- it delivers to others
SELECT pg_temp.request(:base, 'update', '{"remote_id": "5f", "delivery_url": "https://x/z", "current": {"id": "5f", "webHookUrls": ["https://other", "https://x/y"]}}');
SELECT pg_temp.request(:base, 'update', '{"remote_id": "5f", "topic": "UPDATE_MEMBER", "delivery_url": "https://x/z", "current": {"id": "5f", "url": null, "webHookUrls": []}}');
SELECT pg_temp.request(:base, 'delete', '{"remote_id": "5f"}');
SELECT pg_temp.request(:base, o) FROM unnest('{set_active,count,topics,failed,nonsense}'::text[]) AS o;
-- refused
SELECT pg_temp.request(:base, 'update', '{"remote_id": "5f", "delivery_url": "https://x/z"}');
SELECT pg_temp.request(:base, 'create', '{"topic": "NEW_MEMBER", "delivery_url": "https://x/y", "active": false}');
SELECT pg_temp.request(:base, 'create', '{"topic": "NEW_MEMBER", "delivery_url": "https://x/y", "options": {"shopId": 1}}');
SELECT pg_temp.request(:base, 'create', '{"topic": "NEW_MEMBER", "delivery_url": "https://x/y", "options": {"headers": {}}}');
SELECT pg_temp.request(:base, 'create', '{"delivery_url": "https://x/y"}');
SELECT pg_temp.request(:base, 'create', '{"topic": "NEW_MEMBER"}');

-- answers
\set object '{"id": "5f", "companyId": "c", "shopId": "s1", "created": 1714979289123, "modified": 1714979290000, "deleted": false, "updated": true, "url": "", "webHookType": "NEW_MEMBER", "webHookUrls": ["https://x/y", "https://other"]}'
SELECT pg_temp.answer('blaze', o, 200, :'object') FROM unnest('{create,get,update}'::text[]) AS o;
SELECT pg_temp.answer('blaze', 'get', 200, '{"id": "5f", "deleted": true}');
SELECT pg_temp.answer('blaze', 'get', 200, '{"id": "5f", "url": "https://x/y"}');
SELECT pg_temp.answer('blaze', 'list', 200, '{"count": 2, "total": 5, "searchResult": [' || :'object' || ', {"id": "60", "deleted": true}]}');
SELECT pg_temp.answer('blaze', 'list', 200, '{"count": 1, "total": 1, "searchResult": [{"id": "60", "deleted": true}]}');
SELECT pg_temp.answer('blaze', 'list', 200, w) FROM unnest(ARRAY['{"values": [{"id": "1"}]}', '{"count": 1, "cursor": "x", "results": [{"id": "2"}]}', '[{"id": "3"}]', '[]', '{"searchResult": []}']) AS w;
SELECT count(*) AS rows, max(next_page::text) FROM webhook_bridge.blaze_response('list', 200, '{}',
    (SELECT jsonb_build_object('values', jsonb_agg(jsonb_build_object('id', i, 'deleted', i > 10)))::text FROM generate_series(1, 100) AS i));
SELECT count(*) FROM unnest(ARRAY['', '{}', 'true', 'OK']) AS b, pg_temp.answer('blaze', 'delete', 200, b);
SELECT s, pg_temp.answer('blaze', 'get', s, format('{"error": "Some kind", "message": "In words.", "status": %s}', s)) FROM unnest('{400,401,403,404,429,500}'::integer[]) AS s;

-- ---------------------------------------------------------------------------
-- Shoplazza
-- ---------------------------------------------------------------------------
\set old '''https://shop.myshoplaza.com/openapi/2022-01'''
\set new '''https://shop.myshoplaza.com/openapi/2025-06/'''
SELECT pg_temp.request(b, o, '{"filters": {"topic": "orders/create", "delivery_url": "https://x/y?z"}}')
FROM unnest(ARRAY[:old, :new, 'http://127.0.0.1:8099/shoplazza/openapi/2026-01']) AS b, unnest('{list,count}'::text[]) AS o;
SELECT pg_temp.request(:old, 'list', '{"page": {"skip": 2}, "filters": {"created_at_min": "2024-01-01T00:00:00Z"}}');
SELECT pg_temp.request(:new, 'list', '{"page": {"cursor": "abc="}, "options": {"version": "2026-07"}}');
SELECT pg_temp.request(:new, 'count', '{"filters": {"active": true}}');
SELECT pg_temp.request(b, o, '{"remote_id": "6d5e/"}') FROM unnest(ARRAY[:old, :new]) AS b, unnest('{get,delete}'::text[]) AS o;
SELECT pg_temp.request(b, 'create', '{"topic": "orders/create", "delivery_url": "https://x/y", "label": "l", "active": true}') FROM unnest(ARRAY[:old, :new]) AS b;
SELECT pg_temp.request(b, 'update', '{"remote_id": "6d5e", "delivery_url": "https://x/z"}') FROM unnest(ARRAY[:old, :new]) AS b;
SELECT pg_temp.request(:new, 'create', '{"topic": "orders/create", "delivery_url": "https://x/y", "options": {"version": "2022-01"}}');
SELECT pg_temp.request(:new, o) FROM unnest('{set_active,topics,failed,nonsense}'::text[]) AS o;
-- refused
SELECT pg_temp.request(:new, 'create', '{"topic": "orders/create", "delivery_url": "https://x/y", "options": {"version": "../admin"}}');
SELECT pg_temp.request(:new, 'create', '{"topic": "orders/create", "delivery_url": "https://x/y", "active": false}');
SELECT pg_temp.request(:new, 'create', '{"topic": "orders/create"}');
SELECT pg_temp.request(:new, 'create', '{"topic": "orders/create", "delivery_url": "https://x/y", "options": {"format": "json"}}');
SELECT pg_temp.request(:new, 'list', '{"filters": {"ids": "1"}}');

-- answers
\set object '{"id": "6d5e", "address": "https://x/y", "topic": "orders/create", "created_at": "2024-05-06T07:08:09Z", "updated_at": "2024-05-06T07:08:10.123Z", "format": "json"}'
SELECT pg_temp.answer('shoplazza', 'create', 200, b)
FROM unnest(ARRAY['{"webhook": ' || :'object' || '}', '{"code": "Success", "data": {"webhook": ' || :'object' || '}}', '{"ok": true, "data": ' || :'object' || '}', :'object']) AS b;
SELECT pg_temp.answer('shoplazza', 'list', 200, b)
FROM unnest(ARRAY['{"webhooks": [' || :'object' || ']}', '{"code": "Success", "data": {"webhooks": [{"id": "1"}], "cursor": "abc", "has_more": true}}',
                  '{"code": "Success", "data": {"webhooks": [{"id": "1"}], "cursor": "abc", "has_more": false}}',
                  '{"code": "Success", "data": {"webhooks": [], "cursor": "abc", "has_more": true}}', '{"webhooks": []}']) AS b;
SELECT count(*) AS rows, max(next_page::text) FROM webhook_bridge.shoplazza_response('list', 200, '{}',
    (SELECT jsonb_build_object('webhooks', jsonb_agg(jsonb_build_object('id', i)))::text FROM generate_series(1, 250) AS i));
SELECT pg_temp.answer('shoplazza', 'count', 200, b) FROM unnest(ARRAY['{"count": 5}', '{"code": "Success", "data": {"count": 5}}', '{}']) AS b;
SELECT count(*) FROM unnest(ARRAY['{}', '{"code": "Success", "data": {}}', '']) AS b, pg_temp.answer('shoplazza', 'delete', 200, b);
-- the four shapes of errors, and those since 2025-06
SELECT pg_temp.answer('shoplazza', 'get', 404, b) FROM unnest(ARRAY['{"errors": ["record not found!"]}', '"Record not found"', 'Record not found', '{"error": "page not found"}']) AS b;
SELECT pg_temp.answer('shoplazza', 'create', 422, b)
FROM unnest(ARRAY['{"errors": {"address": ["can''t be blank", "is invalid"], "topic": ["can''t be blank"]}}', '{"errors": ["Topic already exists"]}', '{"errors": {"topic": ["already exists"]}}',
                  '{"errors": ["Topic is not allowed, allowed topic are: app/expired"]}', '{"error": "Address is invalid"}']) AS b;
SELECT s, pg_temp.answer('shoplazza', 'create', s, 'Bad Request') FROM unnest('{400,401,403,404,405,406,429,500}'::integer[]) AS s;
SELECT pg_temp.answer('shoplazza', 'create', 400, b)
FROM unnest(ARRAY['{"code": "InvalidArgument", "message": "Topic already exists"}', '{"code": "Unauthorized", "message": "invalid access-token"}', '{"code": "NotFound", "message": "Record not found"}']) AS b;
SELECT pg_temp.answer('shoplazza', 'create', 200, '{"code": "InvalidArgument", "message": "Address is invalid"}');
SELECT pg_temp.answer('shoplazza', 'create', 200, '{"ok": false, "error": {"message": "no"}}');

-- ---------------------------------------------------------------------------
-- Ecwid
-- ---------------------------------------------------------------------------
SELECT webhook_bridge.ecwid_registration('https://db.example.com/hooks/ecwid', ARRAY['order.created', 'product.updated', 'customer.created', 'customer.personalDataExportRequest',
    'discount_coupon.created', 'promotion.deleted', 'review.created', 'invoice.created', 'application.installed', 'unheard.of'],
    '{"application": "our-app", "headers": {"X-Shop": "main", "X-A": "b"}}');
SELECT webhook_bridge.ecwid_registration('https://db.example.com:8443/hooks/ecwid', '{order.created}', NULL);
-- each event has a scope
SELECT t FROM webhook_bridge.providers p, unnest(p.topics) AS t
WHERE p.name = 'ecwid' AND webhook_bridge.ecwid_registration('https://x', ARRAY[t], NULL) ~ 'as documented';
SELECT webhook_bridge.ecwid_registration('http://db.example.com/hooks/ecwid', '{order.created}', NULL);
SELECT webhook_bridge.ecwid_registration('https://db.example.com:81/hooks/ecwid', '{order.created}', NULL);
SELECT webhook_bridge.ecwid_registration('https://[2001:db8::1]:22/hooks/ecwid', '{order.created}', NULL);
SELECT webhook_bridge.ecwid_registration('https://db.example.com:/hooks/ecwid', '{order.created}', NULL);
SELECT webhook_bridge.ecwid_registration(NULL, '{order.created}', NULL);
SELECT webhook_bridge.ecwid_registration('https://db.example.com', '{}', NULL);
SELECT webhook_bridge.ecwid_registration('https://db.example.com', ARRAY[E'order.created\nBcc: x'], NULL);
SELECT webhook_bridge.ecwid_registration('https://db.example.com', '{order.created}', '{"headers": {"X": "a\nb"}}');
SELECT webhook_bridge.ecwid_registration('https://db.example.com', '{order.created}', '{"port": 1}');

-- ---------------------------------------------------------------------------
-- Whatever the body is, there is no exception, and no webhook without an id
-- ---------------------------------------------------------------------------
CREATE TEMP TABLE bodies (body text);
INSERT INTO bodies VALUES (NULL), (''), (' '), ('null'), ('true'), ('0'), ('"text"'), ('[]'), ('{}'), ('[[]]'), ('[null]'), ('[1,2]'), ('{"data": null}'),
    ('{"data": []}'), ('{"data": [null, 1]}'), ('{"data": {}}'), ('{"data": "x", "meta": []}'), ('{"data": [], "meta": {"next_cursor": {"a": 1}}}'),
    ('{"id": null}'), ('{"id": {}}'), ('{"id": []}'), ('{"id": ""}'), ('{"id": true}'), ('{"id": 1, "event": {}, "delivery_url": [], "is_active": {}, "created_at": {}, "name": 5}'),
    ('{"id": 1, "webHookUrls": {}, "created": "x", "modified": -1, "deleted": "maybe"}'), ('{"id": 1, "created": 1e300, "modified": 999999999999999999}'),
    ('{"return_code": null}'), ('{"return_code": {}}'), ('{"return_code": "x"}'), ('{"return_code": 0}'), ('{"return_code": 0, "result": null}'), ('{"return_code": 0, "result": []}'),
    ('{"return_code": 0, "result": {"webhook": {}, "events": 1, "id": {}, "webhook_count": "many"}}'), ('{"return_code": 0, "result": {"webhook": [null, 1, {}], "events": [null, 1]}}'),
    ('{"return_code": 0, "result": {"webhook": [{"id": 1, "created_at": {"value": {}}, "entity": null}], "all_failed_webhook": -1}}'), ('{"return_code": -5, "return_message": {"a": ["b"]}}'),
    ('{"searchResult": {}}'), ('{"searchResult": null, "total": "x"}'), ('{"searchResult": [{"id": 1}], "total": -1}'), ('{"searchResult": [{"id": 1}], "total": 1e40}'),
    ('{"code": "Success"}'), ('{"code": "Success", "data": []}'), ('{"code": {}}'), ('{"webhook": null}'), ('{"webhook": []}'), ('{"webhook": {"id": 1, "created_at": "2024-02-30T00:00:00Z"}}'),
    ('{"webhooks": null}'), ('{"webhooks": {}}'), ('{"webhooks": [{"id": 1}], "cursor": {}, "has_more": "?"}'), ('{"count": -1}'), ('{"count": 99999999999999999999}'),
    ('{"errors": {"a": {"b": {"c": {"d": {"e": 1}}}}}}'), ('{"errors": null, "error": 5, "message": []}'), ('{"message": "\u0000"}'), ('{"id": "\ud800"}'),
    ('{"data": [{"id": 1}'), ('<html><title>Log in</title>'), ('<'), ('{"id": 1} trailing'), (repeat('[', 100000)), (repeat('{"a":', 5000) || '1' || repeat('}', 5000)),
    ('{"errors": ' || repeat('[', 5000) || repeat(']', 5000) || '}'), (repeat('x', 1000000)), ('{"id": 1e99999}'), (E'\x01\x7f');
SELECT p.name, o.operation, s.status, count(*) AS rows,
       count(*) FILTER (WHERE coalesce(a ->> 'remote_id', a ->> 'topic', a ->> 'total', a ->> 'next_page', a ->> 'error', '') = '') AS empty,
       string_agg(DISTINCT a ->> 'error', ',' ORDER BY a ->> 'error') AS errors
FROM (VALUES ('ecomanager'), ('api2cart'), ('blaze'), ('shoplazza')) AS p(name),
     unnest('{list,get,create,update,set_active,delete,count,topics,failed,nonsense}'::text[]) WITH ORDINALITY AS o(operation, i),
     unnest(ARRAY[NULL, 200, 204, 302, 404, 422, 500]) AS s(status),
     bodies b, pg_temp.answer(p.name, o.operation, s.status, b.body) AS a
GROUP BY p.name, o.operation, o.i, s.status ORDER BY p.name COLLATE "C", o.i, s.status;

-- what is answered where a webhook is expected and there is none
SELECT DISTINCT p.name, o.operation, a ->> 'message'
FROM (VALUES ('ecomanager'), ('api2cart'), ('blaze'), ('shoplazza')) AS p(name),
     unnest('{list,get,create,update,delete}'::text[]) AS o(operation),
     bodies b, pg_temp.answer(p.name, o.operation, 200, b.body) AS a
WHERE b.body IN ('', '{}', '{"data": [{"id": 1}', '<html><title>Log in</title>', '[]', '"text"') AND a ? 'message' ORDER BY 1, 2, 3;
DROP TABLE bodies;
