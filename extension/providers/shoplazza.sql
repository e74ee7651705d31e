-- Shoplazza.  The key is the application's client secret, the same for all its
-- shops, and the shop's domain is not signed.

-- From version 2025-06 on bodies are wrapped, and pages have cursors and no
-- numbers.  The version is the end of the base URL, or an option.
CREATE FUNCTION webhook_bridge.shoplazza_request(operation text, account webhook_bridge.account_info, webhook jsonb)
RETURNS webhook_bridge.http_request
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    options jsonb := webhook_bridge.check_options('options', webhook -> 'options', 'version');
    version text := coalesce(options ->> 'version', substring((account).base_url FROM '/openapi/([^/]*)/?$'));
    base text := regexp_replace((account).base_url, '/openapi/[^/]*/?$', '/openapi/' || version || '/webhooks');
    flat boolean := version COLLATE "C" < '2025-06';
    headers jsonb := jsonb_build_object('access-token', (account).credentials ->> 'access_token', 'Accept', 'application/json');
    filters jsonb;
    body jsonb;
BEGIN
    IF coalesce(version, '') !~ '^[0-9]{4}-[0-9]{2}$' THEN
        PERFORM webhook_bridge.bad_option('version', 'It is not a year and a month.', 'For example "2025-06".');
    END IF;

    IF operation IN ('list', 'count') THEN
        filters := webhook_bridge.check_options('filters', webhook -> 'filters', 'topic', 'delivery_url', 'label', 'active',
                       'created_at_min', 'created_at_max', 'updated_at_min', 'updated_at_max');
        IF operation = 'count' THEN
            IF filters - '{topic,delivery_url}'::text[] <> '{}' THEN
                RETURN NULL;
            END IF;
            RETURN ROW('GET', webhook_bridge.url_with_query(base || '/count',
                           'address', filters ->> 'delivery_url', 'topic', filters ->> 'topic'), headers, NULL)::webhook_bridge.http_request;
        END IF;
        RETURN ROW('GET', webhook_bridge.url_with_query(base,
                       'limit', CASE WHEN flat THEN '250' END,
                       'page', CASE WHEN flat THEN (1 + coalesce((webhook -> 'page' ->> 'skip')::bigint, 0))::text END,
                       'page_size', CASE WHEN NOT flat THEN '50' END,
                       'cursor', CASE WHEN NOT flat THEN webhook -> 'page' ->> 'cursor' END,
                       'address', filters ->> 'delivery_url', 'topic', filters ->> 'topic',
                       'created_at_min', filters ->> 'created_at_min', 'created_at_max', filters ->> 'created_at_max',
                       'updated_at_min', filters ->> 'updated_at_min', 'updated_at_max', filters ->> 'updated_at_max'),
                   headers, NULL)::webhook_bridge.http_request;
    END IF;
    IF operation IN ('get', 'delete') THEN
        RETURN ROW(CASE operation WHEN 'get' THEN 'GET' ELSE 'DELETE' END,
                   base || '/' || webhook_bridge.url_encode(webhook_bridge.needed(webhook, 'remote_id')), headers, NULL)::webhook_bridge.http_request;
    END IF;
    IF operation NOT IN ('create', 'update') THEN
        RETURN NULL;
    END IF;

    IF webhook_bridge.as_boolean(webhook -> 'active') IS FALSE THEN
        PERFORM webhook_bridge.bad_option('active', 'Shoplazza has no webhooks that are not active.', 'Delete the webhook.');
    END IF;
    IF operation = 'create' THEN
        PERFORM webhook_bridge.needed(webhook, 'topic'), webhook_bridge.needed(webhook, 'delivery_url');
    END IF;
    body := jsonb_strip_nulls(jsonb_build_object('address', webhook ->> 'delivery_url', 'topic', webhook ->> 'topic'));
    IF body = '{}' THEN
        RETURN NULL;    -- it has nothing else
    END IF;
    IF NOT flat THEN
        body := jsonb_build_object('webhook', body);
    END IF;
    headers := headers || '{"Content-Type": "application/json"}';
    IF operation = 'create' THEN
        RETURN ROW('POST', base, headers, body::text)::webhook_bridge.http_request;
    END IF;
    RETURN ROW('PUT', base || '/' || webhook_bridge.url_encode(webhook_bridge.needed(webhook, 'remote_id')), headers, body::text)::webhook_bridge.http_request;
END
$$;
COMMENT ON FUNCTION webhook_bridge.shoplazza_request(text, webhook_bridge.account_info, jsonb) IS
'Private: requests of Shoplazza''s management API, up to 2022-01 and from 2025-06 on';

CREATE FUNCTION webhook_bridge.shoplazza_response(operation text, status integer, headers jsonb, body text)
RETURNS SETOF webhook_bridge.remote_webhook
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    document jsonb := webhook_bridge.try_json(body);
    list jsonb;
    item jsonb;
    hook webhook_bridge.remote_webhook;
BEGIN
    IF (status BETWEEN 200 AND 299) IS NOT TRUE
       OR webhook_bridge.as_text(document -> 'code') <> 'Success' OR document -> 'ok' = 'false' THEN
        hook := webhook_bridge.remote_failure(CASE WHEN status BETWEEN 200 AND 299 THEN 400 ELSE status END, body);
        IF hook.error = 'invalid' AND hook.message ~* 'already exists' THEN
            hook.error := 'already_exists';
        -- from 2025-06 on there are few kinds of status, and 400 is also for wrong credentials
        ELSIF hook.error = 'invalid' AND hook.message ~* '(record|webhook) not found' THEN
            hook.error := 'not_found';
        ELSIF hook.error = 'invalid' AND hook.message ~* 'access.?token|unauthori[sz]ed|credential' THEN
            hook.error := 'unauthorized';
        -- a path that is not there at all
        ELSIF hook.error = 'not_found' AND hook.message ~* 'page not found' THEN
            hook.error := 'not_understood';
        END IF;
        RETURN NEXT hook;
        RETURN;
    END IF;
    IF operation = 'delete' THEN
        RETURN QUERY SELECT * FROM webhook_bridge.remote_done(body);
        RETURN;
    END IF;
    IF jsonb_typeof(document -> 'data') = 'object' THEN
        document := document -> 'data';
    END IF;

    IF operation = 'count' THEN
        hook.total := webhook_bridge.as_bigint(document -> 'count');
        IF hook.total IS NULL THEN
            hook.error := 'not_understood';
            hook.message := 'The answer has no count.';
        END IF;
        RETURN NEXT hook;
        RETURN;
    END IF;

    list := CASE WHEN operation = 'list' THEN document -> 'webhooks'
                 ELSE jsonb_build_array(coalesce(document -> 'webhook', document)) END;
    IF jsonb_typeof(list) IS DISTINCT FROM 'array' THEN
        RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has no list of webhooks.');
        RETURN;
    END IF;
    FOR item IN SELECT e FROM jsonb_array_elements(list) AS e LOOP
        hook := NULL;
        hook.remote_id := webhook_bridge.as_text(item -> 'id');
        IF coalesce(hook.remote_id, '') = '' THEN
            RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has a webhook without id, or none.');
            RETURN;
        END IF;
        hook.topic := webhook_bridge.as_text(item -> 'topic');
        hook.delivery_url := webhook_bridge.as_text(item -> 'address');
        hook.active := true;
        hook.created_at := webhook_bridge.as_time(item -> 'created_at');
        hook.updated_at := webhook_bridge.as_time(item -> 'updated_at');
        hook.raw := webhook_bridge.without_secrets(item);
        RETURN NEXT hook;
    END LOOP;

    IF operation = 'list' AND jsonb_array_length(list) > 0 THEN
        hook := NULL;
        IF coalesce(webhook_bridge.as_text(document -> 'cursor'), '') <> ''
           AND webhook_bridge.as_boolean(document -> 'has_more') IS NOT FALSE THEN
            hook.next_page := jsonb_build_object('cursor', document -> 'cursor');
            RETURN NEXT hook;
        ELSIF NOT document ?| '{cursor,has_more}' THEN    -- pages may be shorter than asked for
            hook.next_page := '{"skip": 1}';
            RETURN NEXT hook;
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.shoplazza_response(text, integer, jsonb, text) IS
'Private: answers of Shoplazza''s management API';

INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, topic_from, external_id_from,
     source_from, request_function, response_function, credentials, account_secret, base_url_pattern,
     base_url_example, topics, remarks, evidence)
VALUES
    ('shoplazza', 'Shoplazza', true, 'https://www.shoplazza.dev/docs/app/building-blocks/webhooks/overview',
     'base64', 'header:X-Shoplazza-Hmac-Sha256',
     '{header:X-Shoplazza-Topic}', '{header:X-Shoplazza-Deduplication-ID}', '{header:X-Shoplazza-Shop-Domain}',
     'webhook_bridge.shoplazza_request', 'webhook_bridge.shoplazza_response', '{access_token,client_secret}',
     'client_secret', '^https?://[^/?#@[:space:]]+(/[^?#[:space:]]+)*/openapi/[0-9]{4}-[0-9]{2}/?$',
     'https://shop.myshoplaza.com/openapi/2025-06',
     '{app/expired,app/uninstalled,cart/create,cart/update,collections/create,collections/delete,collections/update,'
     'customers/create,customers/delete,customers/update,fulfillments/create,fulfillments/update,orders/cancelled,'
     'orders/create,orders/delete,orders/finished,orders/fulfilled,orders/paid,orders/partially_fulfilled,'
     'orders/partially_refunded,orders/refunded,orders/update,procurements/create,procurements/update,products/create,'
     'products/delete,products/publish,products/unpublish,products/update,shop/update,stores/subscribe,suppliers/create,'
     'suppliers/delete,suppliers/update}',
     'The secret is the application''s client secret, the same for all its shops. Topic, id and shop are '
     'headers and not signed.',
     'documentation');
