-- Blaze.  Documents no signature, and neither body nor headers of a delivery.
-- The delivery URL carries a random token instead; give the topic as params =>
-- '{"topic": "NEW_MEMBER"}' and register one endpoint for each.

-- A webhook may deliver to several URLs: ours is the one that differs in its token
-- at most, or the only one; others are somebody's.
CREATE FUNCTION webhook_bridge.blaze_urls(urls jsonb, delivery_url text)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place integer;
BEGIN
    IF jsonb_typeof(urls) IS DISTINCT FROM 'array' OR jsonb_array_length(urls) < 2 THEN
        RETURN jsonb_build_array(delivery_url);
    END IF;
    SELECT u.place - 1 INTO place FROM jsonb_array_elements_text(urls) WITH ORDINALITY AS u(url, place)
    WHERE split_part(u.url, '?', 1) = split_part(delivery_url, '?', 1) ORDER BY u.url <> delivery_url LIMIT 1;
    IF place IS NULL THEN
        PERFORM webhook_bridge.bad_option('delivery_url', 'The webhook delivers to several URLs, and to none of this endpoint.',
                                          'Register one of your own with webhook_bridge.register_webhook().');
    END IF;
    RETURN jsonb_set(urls, ARRAY[place::text], to_jsonb(delivery_url));
END
$$;
COMMENT ON FUNCTION webhook_bridge.blaze_urls(jsonb, text) IS
'Private: the URLs of a BLAZE webhook with ours as it is now';

-- An update sends the whole object.  Which of url and webHookUrls is used when
-- both are set is not documented: only the latter is set here, and a url that
-- was there before is kept the same.
CREATE FUNCTION webhook_bridge.blaze_request(operation text, account webhook_bridge.account_info, webhook jsonb)
RETURNS webhook_bridge.http_request
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    base text := rtrim((account).base_url, '/') || '/api/v1/partner/webHooks';
    headers jsonb := jsonb_build_object('x-api-key', (account).credentials ->> 'partner_key',
                                        'Authorization', (account).credentials ->> 'developer_key',
                                        'Accept', 'application/json');
    given jsonb;
    body jsonb;
BEGIN
    IF operation = 'list' THEN
        given := webhook_bridge.check_options('filters', webhook -> 'filters',
                                              'topic', 'delivery_url', 'label', 'active', 'shopId');
        RETURN ROW('GET', webhook_bridge.url_with_query(base,
                       'start', coalesce(webhook -> 'page' ->> 'skip', '0'), 'limit', '100',
                       'shopId', given ->> 'shopId'), headers, NULL)::webhook_bridge.http_request;
    END IF;
    IF operation IN ('get', 'delete') THEN
        RETURN ROW(CASE operation WHEN 'get' THEN 'GET' ELSE 'DELETE' END,
                   base || '/' || webhook_bridge.url_encode(webhook_bridge.needed(webhook, 'remote_id')), headers, NULL)::webhook_bridge.http_request;
    END IF;
    IF operation NOT IN ('create', 'update') THEN
        RETURN NULL;
    END IF;

    given := webhook_bridge.check_options('options', webhook -> 'options', 'shopId');
    IF given ? 'shopId' AND (jsonb_typeof(given -> 'shopId') <> 'string' OR given ->> 'shopId' = '') THEN
        PERFORM webhook_bridge.bad_option('shopId', 'It is not a text.', 'It is the id of a shop of the company.');
    END IF;
    IF webhook_bridge.as_boolean(webhook -> 'active') IS FALSE THEN
        PERFORM webhook_bridge.bad_option('active', 'BLAZE has no webhooks that are not active.', 'Delete the webhook.');
    END IF;
    headers := headers || '{"Content-Type": "application/json"}';

    IF operation = 'create' THEN
        body := jsonb_build_object('webHookType', webhook_bridge.needed(webhook, 'topic'),
                                   'webHookUrls', jsonb_build_array(webhook_bridge.needed(webhook, 'delivery_url')));
        RETURN ROW('POST', base, headers, (body || given)::text)::webhook_bridge.http_request;
    END IF;

    PERFORM webhook_bridge.needed(webhook, 'remote_id');
    body := webhook -> 'current';
    IF jsonb_typeof(body) IS DISTINCT FROM 'object' THEN
        PERFORM webhook_bridge.bad_option('current', 'It is not the webhook as BLAZE has it.', 'Get it first.');
    END IF;
    IF webhook ->> 'topic' IS NOT NULL THEN
        body := body || jsonb_build_object('webHookType', webhook -> 'topic');
    END IF;
    IF webhook ->> 'delivery_url' IS NOT NULL THEN
        body := body || jsonb_build_object('webHookUrls', webhook_bridge.blaze_urls(body -> 'webHookUrls', webhook ->> 'delivery_url'));
        IF coalesce(body ->> 'url', '') <> '' THEN
            body := body || jsonb_build_object('url', webhook -> 'delivery_url');
        END IF;
    END IF;
    RETURN ROW('PUT', base || '/' || webhook_bridge.url_encode(webhook ->> 'remote_id'), headers, (body || given)::text)::webhook_bridge.http_request;
END
$$;
COMMENT ON FUNCTION webhook_bridge.blaze_request(text, webhook_bridge.account_info, jsonb) IS
'Private: requests of BLAZE''s partner API';

CREATE FUNCTION webhook_bridge.blaze_response(operation text, status integer, headers jsonb, body text)
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
    IF (status BETWEEN 200 AND 299) IS NOT TRUE THEN
        RETURN NEXT webhook_bridge.remote_failure(status, body);
        RETURN;
    END IF;
    IF operation = 'delete' THEN
        RETURN QUERY SELECT * FROM webhook_bridge.remote_done(body);
        RETURN;    -- what is answered is not documented
    END IF;

    list := jsonb_build_array(document);
    IF operation = 'list' THEN
        -- the wrappers that this API has in its other parts
        list := coalesce(document -> 'searchResult', document -> 'values', document -> 'results', document);
        IF jsonb_typeof(list) IS DISTINCT FROM 'array' THEN
            RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has no list of webhooks.');
            RETURN;
        END IF;
    END IF;

    FOR item IN SELECT e FROM jsonb_array_elements(list) AS e LOOP
        hook := NULL;
        hook.remote_id := webhook_bridge.as_text(item -> 'id');
        IF coalesce(hook.remote_id, '') = '' THEN
            RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has a webhook without id, or none.');
            RETURN;
        END IF;
        IF webhook_bridge.as_boolean(item -> 'deleted') THEN
            IF operation = 'get' THEN
                RETURN NEXT webhook_bridge.remote_error('not_found', 'The webhook is deleted.');
            END IF;
            CONTINUE;
        END IF;
        hook.topic := webhook_bridge.as_text(item -> 'webHookType');
        hook.delivery_url := coalesce(webhook_bridge.as_text(item -> 'webHookUrls' -> 0),
                                       nullif(webhook_bridge.as_text(item -> 'url'), ''));
        hook.active := true;
        hook.options := webhook_bridge.without_empty(jsonb_build_object('shopId', item -> 'shopId'));
        hook.created_at := webhook_bridge.as_time_ms(item -> 'created');
        hook.updated_at := webhook_bridge.as_time_ms(item -> 'modified');
        hook.raw := webhook_bridge.without_secrets(item);
        RETURN NEXT hook;
    END LOOP;

    IF operation = 'list' AND jsonb_array_length(list) > 0 THEN
        hook := NULL;
        -- of all pages, deleted ones included
        IF jsonb_array_length(list) < webhook_bridge.as_bigint(document -> 'total') THEN
            hook.next_page := jsonb_build_object('skip', jsonb_array_length(list), 'total', document -> 'total');
            RETURN NEXT hook;
        ELSIF webhook_bridge.as_bigint(document -> 'total') IS NULL THEN    -- pages may be shorter than asked for
            hook.next_page := jsonb_build_object('skip', jsonb_array_length(list));
            RETURN NEXT hook;
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.blaze_response(text, integer, jsonb, text) IS
'Private: answers of BLAZE''s partner API';

INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, generates_secret, topic_from,
     request_function, response_function, credentials, base_url_pattern, base_url_example,
     update_needs_current, topics, remarks, evidence)
VALUES
    ('blaze', 'BLAZE', true, 'https://apidocs.blaze.me/getting-started/webhooks-overview',
     'token', 'query:token',
     true,
     '{param:topic}',
     'webhook_bridge.blaze_request', 'webhook_bridge.blaze_response', '{partner_key,developer_key}',
     '^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?$', 'https://api.partners.blaze.me',
     true,
     '{NEW_CONSUMER_ORDER,NEW_CONSUMER_SIGNUP,UPDATE_CONSUMER_ORDER,UPDATE_CONSUMER_USER,NEW_MEMBER,UPDATE_MEMBER,'
     'CREATE_TRANSACTION,UPDATE_TRANSACTION,CANCEL_TRANSACTION,COMPLETE_TRANSACTION,UPDATE_PRODUCT}',
     'Blaze signs nothing: a random token is made and becomes part of the delivery URL, so keep that '
     'secret. Register one endpoint for each kind of webhook and give the topic in its params.',
     'documentation');
