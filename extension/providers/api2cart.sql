-- API2Cart.  Signs its own headers, as PHP's json_encode writes them, and the
-- body; the key is the account's store_key.  A lost connection to the store is
-- told by a delivery with an empty body and an error code other than 0.

-- Version 1.0 of the API takes everything, keys included, in the query of a
-- GET; from 1.1 on keys are headers and changes are JSON.  A topic is
-- ENTITY.ACTION, as in deliveries.
CREATE FUNCTION webhook_bridge.api2cart_request(operation text, account webhook_bridge.account_info, webhook jsonb)
RETURNS webhook_bridge.http_request
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    base text := rtrim((account).base_url, '/') || '/';
    old boolean := base ~ '/v1[.]0/$';
    method text := 'GET';
    call text;
    filters jsonb;
    options jsonb;
    arguments jsonb := '{}';
    keys jsonb := jsonb_build_object('api_key', (account).credentials ->> 'api_key',
                                     'store_key', (account).credentials ->> 'store_key');
    topic text := webhook ->> 'topic';
    name text;
BEGIN
    CASE operation
        WHEN 'topics' THEN
            call := 'webhook.events.json';

        WHEN 'list', 'count' THEN
            filters := webhook_bridge.check_options('filters', webhook -> 'filters',
                           'topic', 'delivery_url', 'label', 'active', 'entity', 'action', 'ids');
            IF operation = 'count' AND (filters ?| '{delivery_url,label,ids}'
                                        OR filters ? 'topic' AND (filters ->> 'topic' !~ '^[^.]+[.][^.]+$' OR filters ?| '{entity,action}')) THEN
                RETURN NULL;
            END IF;
            call := 'webhook.' || operation || '.json';
            arguments := jsonb_build_object(
                'entity', coalesce(filters ->> 'entity', split_part(filters ->> 'topic', '.', 1)),
                'action', coalesce(filters ->> 'action', substring(filters ->> 'topic' FROM '[.](.*)$')),
                'active', webhook_bridge.as_boolean(filters -> 'active'));
            IF operation = 'list' THEN
                arguments := arguments || jsonb_build_object(
                    'start', coalesce(webhook -> 'page' ->> 'skip', '0'), 'count', '250', 'params', 'force_all',
                    'ids', CASE jsonb_typeof(filters -> 'ids')
                               WHEN 'array' THEN (SELECT string_agg(i, ',') FROM jsonb_array_elements_text(filters -> 'ids') AS i)
                               ELSE filters ->> 'ids' END);
            END IF;

        WHEN 'get' THEN    -- there is no call for one
            call := 'webhook.list.json';
            arguments := jsonb_build_object('start', '0', 'count', '10', 'params', 'force_all',
                                            'ids', webhook_bridge.needed(webhook, 'remote_id'));

        WHEN 'delete' THEN
            call := 'webhook.delete.json';
            arguments := jsonb_build_object('id', webhook_bridge.needed(webhook, 'remote_id'));
            method := CASE WHEN old THEN 'GET' ELSE 'DELETE' END;

        WHEN 'failed' THEN
            call := 'account.failed_webhooks.json';
            filters := webhook_bridge.check_options('filters', webhook -> 'filters', 'ids');
            arguments := jsonb_build_object(
                'start', coalesce(webhook -> 'page' ->> 'skip', '0'), 'count', '250',
                'ids', CASE jsonb_typeof(filters -> 'ids')
                           WHEN 'array' THEN (SELECT string_agg(i, ',') FROM jsonb_array_elements_text(filters -> 'ids') AS i)
                           ELSE filters ->> 'ids' END);
            keys := keys - 'store_key';

        WHEN 'create', 'update', 'set_active' THEN
            options := webhook_bridge.check_options('options', webhook -> 'options',
                           VARIADIC ARRAY['fields', 'store_id'] ||
                                    CASE WHEN old THEN '{}' ELSE ARRAY['response_fields', 'lang_id', 'filtering_conditions'] END);
            FOREACH name IN ARRAY '{fields,store_id,response_fields,lang_id}'::text[] LOOP
                CONTINUE WHEN NOT options ? name;
                IF name = 'fields' AND jsonb_typeof(options -> name) = 'array' THEN
                    options := options || jsonb_build_object(name,
                        (SELECT string_agg(f, ',') FROM jsonb_array_elements_text(options -> name) AS f));
                END IF;
                IF coalesce(jsonb_typeof(options -> name), '') NOT IN ('string', 'number') OR options ->> name = '' THEN
                    PERFORM webhook_bridge.bad_option(name, 'It is not a text.', 'For example "id,name,total".');
                END IF;
                arguments := arguments || jsonb_build_object(name, options ->> name);
            END LOOP;
            IF operation <> 'create' AND options ? 'store_id' THEN
                IF options ->> 'store_id' <> coalesce(webhook -> 'current' ->> 'store_id', '') THEN
                    PERFORM webhook_bridge.bad_option('store_id', 'API2Cart cannot change the store of a webhook.',
                                                      'Delete it and register another one.');
                END IF;
                arguments := arguments - 'store_id';
            END IF;
            IF options ? 'filtering_conditions' THEN
                IF jsonb_typeof(options -> 'filtering_conditions') <> 'object'
                   OR NOT (options -> 'filtering_conditions' ?| '{and,or,not}'
                           OR options -> 'filtering_conditions' ?& '{field,operator,value}') THEN
                    PERFORM webhook_bridge.bad_option('filtering_conditions',
                        'It is not an object with "and", "or" or "not", or with "field", "operator" and "value".',
                        'list_topics() shows the fields that each topic can be filtered by.');
                END IF;
                arguments := arguments || jsonb_build_object('filtering_conditions', options -> 'filtering_conditions');
            END IF;

            IF operation = 'create' THEN
                IF coalesce(topic, '') !~ '^[^.]+[.][^.]+$' THEN
                    PERFORM webhook_bridge.bad_option('topic', 'A topic of API2Cart is an entity and an action.',
                                                      'For example "order.add"; list_topics() shows those of the store.');
                END IF;
                call := 'webhook.create.json';
                method := 'POST';
                arguments := arguments || jsonb_build_object('entity', split_part(topic, '.', 1), 'action', split_part(topic, '.', 2),
                                                             'callback', webhook_bridge.needed(webhook, 'delivery_url'));
            ELSE
                IF topic <> concat_ws('.', webhook -> 'current' ->> 'entity', webhook -> 'current' ->> 'action') THEN
                    PERFORM webhook_bridge.bad_option('topic', 'API2Cart cannot change the topic of a webhook.',
                                                      'Delete it and register another one.');
                END IF;
                call := 'webhook.update.json';
                method := 'PUT';
                arguments := arguments || jsonb_build_object('id', webhook_bridge.needed(webhook, 'remote_id'),
                                                             'callback', webhook ->> 'delivery_url');
            END IF;
            IF operation = 'set_active' THEN
                PERFORM webhook_bridge.needed(webhook, 'active');
            END IF;
            arguments := arguments || jsonb_build_object('label', webhook ->> 'label',
                                                         'active', webhook_bridge.as_boolean(webhook -> 'active'));
            IF NOT old AND webhook ->> 'idempotency_key' IS NOT NULL THEN
                arguments := arguments || jsonb_build_object('idempotency_key', webhook ->> 'idempotency_key');
            END IF;
            IF old THEN
                method := 'GET';
            END IF;

        ELSE
            RETURN NULL;
    END CASE;

    IF old THEN
        arguments := keys || arguments;
        keys := '{}';
    ELSE
        keys := (SELECT jsonb_object_agg('x-' || replace(k.key, '_', '-'), k.value) FROM jsonb_each(keys) AS k);
    END IF;
    keys := keys || '{"Accept": "application/json"}';
    IF method IN ('POST', 'PUT') THEN
        RETURN ROW(method, base || call, keys || '{"Content-Type": "application/json"}',
                   (SELECT jsonb_object_agg(a.key, a.value) FROM jsonb_each(arguments) AS a WHERE a.value <> 'null')::text)::webhook_bridge.http_request;
    END IF;
    RETURN ROW(method, webhook_bridge.url_with_query(base || call, VARIADIC (
                           SELECT coalesce(array_agg(v.part ORDER BY a.key IN ('api_key', 'store_key'), a.key COLLATE "C", v.place), '{}')
                           FROM jsonb_each_text(arguments) AS a, LATERAL (VALUES (1, a.key), (2, a.value)) AS v(place, part))),
               keys, NULL)::webhook_bridge.http_request;
END
$$;
COMMENT ON FUNCTION webhook_bridge.api2cart_request(text, webhook_bridge.account_info, jsonb) IS
'Private: requests of API2Cart''s management API, versions 1.0 and 1.1';

-- Errors are answered 200 as well: return_code decides.
CREATE FUNCTION webhook_bridge.api2cart_response(operation text, status integer, headers jsonb, body text)
RETURNS SETOF webhook_bridge.remote_webhook
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    document jsonb := webhook_bridge.try_json(body);
    code text := webhook_bridge.as_text(document -> 'return_code');
    result jsonb := document -> 'result';
    list jsonb := result -> CASE operation WHEN 'topics' THEN 'events' ELSE 'webhook' END;
    item jsonb;
    hook webhook_bridge.remote_webhook;
BEGIN
    IF code IS NULL THEN
        IF (status BETWEEN 200 AND 299) IS NOT TRUE THEN
            RETURN NEXT webhook_bridge.remote_failure(status, body);
        ELSE
            RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has no return_code.');
        END IF;
        RETURN;
    END IF;
    IF code <> '0' THEN
        RETURN NEXT webhook_bridge.remote_error(
            CASE
                -- a store that is not found is a wrong store_key
                WHEN code IN ('2', '4', '5', '6', '101') THEN 'unauthorized'
                WHEN code IN ('7', '10', '110') THEN 'rate_limited'
                WHEN code IN ('1', '9', '100', '102', '103', '104', '105', '106', '107') THEN 'server_failure'
                WHEN code IN ('3', '109', '111', '114', '115') THEN 'invalid'
                WHEN code IN ('8', '113', '116') THEN 'already_exists'
                WHEN code = '112' THEN 'not_found'
                ELSE 'not_understood' END,
            concat_ws(' ', webhook_bridge.remote_message(jsonb_build_object('message', document -> 'return_message')::text),
                      format('(return_code %s)', left(code, 20))));
        RETURN;
    END IF;

    IF operation IN ('list', 'get', 'topics', 'failed') AND jsonb_typeof(list) IS DISTINCT FROM 'array' THEN
        RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has no list.');
    ELSIF operation IN ('list', 'get') THEN
        FOR item IN SELECT e FROM jsonb_array_elements(list) AS e LOOP
            hook := NULL;
            hook.remote_id := webhook_bridge.as_text(item -> 'id');
            IF coalesce(hook.remote_id, '') = '' THEN
                RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has a webhook without id.');
                RETURN;
            END IF;
            hook.topic := webhook_bridge.as_text(item -> 'entity') || '.' || webhook_bridge.as_text(item -> 'action');
            hook.delivery_url := webhook_bridge.as_text(item -> 'callback');
            hook.label := webhook_bridge.as_text(item -> 'label');
            hook.active := webhook_bridge.as_boolean(item -> 'active');
            hook.options := webhook_bridge.without_empty((
                SELECT jsonb_object_agg(o, item -> o)
                FROM unnest('{fields,store_id,response_fields,lang_id,filtering_conditions}'::text[]) AS o));
            hook.created_at := webhook_bridge.as_time(coalesce(item -> 'created_at' -> 'value', item -> 'created_at'));
            hook.updated_at := webhook_bridge.as_time(coalesce(item -> 'updated_at' -> 'value', item -> 'updated_at'));
            hook.raw := webhook_bridge.without_secrets(item);
            RETURN NEXT hook;
        END LOOP;
        IF operation = 'get' AND jsonb_array_length(list) = 0 THEN
            RETURN NEXT webhook_bridge.remote_error('not_found', 'There is no webhook with this id.');
        ELSIF operation = 'list' AND jsonb_array_length(list) > 0 THEN    -- pages may be shorter than asked for
            hook := NULL;
            hook.next_page := jsonb_build_object('skip', jsonb_array_length(list));
            RETURN NEXT hook;
        END IF;
    ELSIF operation = 'topics' THEN
        FOR item IN SELECT e FROM jsonb_array_elements(list) AS e LOOP
            hook := NULL;
            hook.topic := webhook_bridge.as_text(item -> 'entity') || '.' || webhook_bridge.as_text(item -> 'action');
            IF hook.topic IS NULL THEN
                RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has an event without entity or action.');
                RETURN;
            END IF;
            hook.label := webhook_bridge.as_text(item -> 'webhook_name');
            hook.raw := item;
            RETURN NEXT hook;
        END LOOP;
    ELSIF operation = 'failed' THEN
        FOR item IN SELECT e FROM jsonb_array_elements(list) AS e LOOP
            hook := NULL;
            hook.remote_id := webhook_bridge.as_text(item -> 'webhook_id');
            IF coalesce(hook.remote_id, '') = '' THEN
                RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has a delivery without webhook_id.');
                RETURN;
            END IF;
            hook.created_at := webhook_bridge.as_time(coalesce(item -> 'time' -> 'value', item -> 'time'));
            hook.raw := webhook_bridge.without_secrets(item);
            RETURN NEXT hook;
        END LOOP;
        hook := NULL;
        hook.total := webhook_bridge.as_bigint(result -> 'all_failed_webhook');
        IF jsonb_array_length(list) > 0 AND jsonb_array_length(list) < coalesce(hook.total, 0) THEN
            hook.next_page := jsonb_build_object('skip', jsonb_array_length(list), 'total', hook.total);
        END IF;
        RETURN NEXT hook;
    ELSIF operation = 'count' THEN
        hook.total := webhook_bridge.as_bigint(result -> 'webhook_count');
        IF hook.total IS NULL THEN
            RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has no webhook_count.');
        ELSE
            RETURN NEXT hook;
        END IF;
    ELSIF operation = 'create' THEN
        hook.remote_id := webhook_bridge.as_text(result -> 'id');
        IF coalesce(hook.remote_id, '') = '' THEN
            RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has no id.');
        ELSE
            hook.raw := webhook_bridge.without_secrets(result);
            RETURN NEXT hook;
        END IF;
    ELSIF operation = 'delete' AND webhook_bridge.as_text(result -> 'deleted') = '0' THEN
        RETURN NEXT webhook_bridge.remote_error('not_found', 'Nothing was deleted.');
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.api2cart_response(text, integer, jsonb, text) IS
'Private: answers of API2Cart''s management API';

INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, signed_content, topic_from,
     source_from, error_code_from, occurred_at_from, request_function, response_function, credentials,
     account_secret, base_url_pattern, base_url_example, remarks, evidence)
VALUES
    ('api2cart', 'API2Cart', true, 'https://api2cart.com/docs/working-with-webhooks/',
     'base64', 'header:X-Webhook-Signature', '{headers_json:X-Webhook-}{body}',
     '{header:X-Webhook-Entity}.{header:X-Webhook-Action}', '{header:X-Webhook-Store-Id}',
     '{header:X-Webhook-Error-Code}', '{header:X-Webhook-Timestamp}',
     'webhook_bridge.api2cart_request', 'webhook_bridge.api2cart_response', '{api_key,store_key}', 'store_key',
     '^https?://[^/?#@[:space:]]+(/[^?#[:space:]]+)*/v1[.][01]/?$', 'https://api.api2cart.com/v1.1',
     'The secret is the account''s store_key. Notices of a lost connection to the store arrive as events '
     'with error_code set. Deliveries have no id: dedup => ''content'' recognises repeated ones.',
     'vector');
