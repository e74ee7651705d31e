-- Ecomanager.  The documentation does not say how the digest is written, hence
-- "auto".  A GET is sent when a webhook is activated and must succeed; with
-- http_method = get deliveries are GETs as well; register with post, because
-- the signature of a GET covers nothing but its empty body.

-- Headers and payload are sent as [{"key": "K", "value": "V"}] and come back as
-- [{"K": "V"}]; here they are {"K": "V"}.
CREATE FUNCTION webhook_bridge.ecomanager_members(value jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(m.key, m.value ORDER BY a.item) FILTER (WHERE m.key <> ''), '{}')
    FROM jsonb_array_elements(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE jsonb_build_array(value) END)
             WITH ORDINALITY AS a(element, item)
         CROSS JOIN LATERAL jsonb_each(
             CASE WHEN jsonb_typeof(a.element) <> 'object' THEN '{}'
                  WHEN a.element ?& '{key,value}' THEN jsonb_build_object(coalesce(a.element ->> 'key', ''), a.element -> 'value')
                  ELSE a.element END) AS m;
END;
COMMENT ON FUNCTION webhook_bridge.ecomanager_members(jsonb) IS
'Private: headers or payload as Ecomanager has them, as a JSON object';

CREATE FUNCTION webhook_bridge.ecomanager_pairs(members jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(jsonb_build_object('key', m.key, 'value', m.value) ORDER BY m.key COLLATE "C"), '[]')
    FROM jsonb_each(members) AS m;
END;
COMMENT ON FUNCTION webhook_bridge.ecomanager_pairs(jsonb) IS
'Private: headers or payload as Ecomanager takes them';

CREATE FUNCTION webhook_bridge.ecomanager_check(name text, members jsonb, most integer)
RETURNS void
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    member record;
BEGIN
    IF members IS NULL THEN
        RETURN;
    END IF;
    IF jsonb_typeof(members) <> 'object' THEN
        PERFORM webhook_bridge.bad_option(name, 'It is not a JSON object whose values are strings.', 'For example {"X-Shop": "main"}.');
    END IF;
    IF (SELECT count(*) FROM jsonb_object_keys(members)) > most THEN
        PERFORM webhook_bridge.bad_option(name, format('Ecomanager takes up to %s.', most), 'Nothing was sent.');
    END IF;
    FOR member IN SELECT m.key, m.value FROM jsonb_each(members) AS m LOOP
        IF member.key = '' OR jsonb_typeof(member.value) <> 'string' THEN
            PERFORM webhook_bridge.bad_option(name, 'It is not a JSON object whose values are strings.',
                                              'For example {"X-Shop": "main"}.');
        END IF;
        IF name = 'headers' AND (member.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]+$' OR member.value #>> '{}' ~ '[[:cntrl:]]') THEN
            PERFORM webhook_bridge.bad_option(name, format('"%s" is not a header that can be sent.', left(member.key, 80)),
                                              'A name has letters, digits and hyphens; a value is one line.');
        END IF;
    END LOOP;
    IF (SELECT count(DISTINCT lower(k)) <> count(*) FROM jsonb_object_keys(members) AS k) THEN
        PERFORM webhook_bridge.bad_option(name, 'A name occurs twice.', 'Nothing was sent.');
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.ecomanager_check(text, jsonb, integer) IS
'Private: refuses headers or payload that Ecomanager does not take';

CREATE FUNCTION webhook_bridge.ecomanager_request(operation text, account webhook_bridge.account_info, webhook jsonb)
RETURNS webhook_bridge.http_request
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    base text := rtrim((account).base_url, '/') || '/api/shop/v2/webhooks';
    headers jsonb := jsonb_build_object('Authorization', 'Bearer ' || ((account).credentials ->> 'token'),
                                        'Content-Type', 'application/json', 'Accept', 'application/json');
    current jsonb := webhook -> 'current';
    options jsonb;
    body jsonb;
BEGIN
    IF operation = 'list' THEN
        options := webhook_bridge.check_options('filters', webhook -> 'filters',
                                                'topic', 'delivery_url', 'label', 'active', 'ids');
        RETURN ROW('GET', webhook_bridge.url_with_query(base,
                       'ids', CASE jsonb_typeof(options -> 'ids')
                                  WHEN 'array' THEN (SELECT string_agg(i, ',') FROM jsonb_array_elements_text(options -> 'ids') AS i)
                                  ELSE options ->> 'ids' END,
                       'per_page', '100',
                       'cursor', webhook -> 'page' ->> 'cursor'), headers, NULL)::webhook_bridge.http_request;
    END IF;
    IF operation IN ('get', 'delete') THEN
        RETURN ROW(CASE operation WHEN 'get' THEN 'GET' ELSE 'DELETE' END,
                   base || '/' || webhook_bridge.url_encode(webhook_bridge.needed(webhook, 'remote_id')), headers, NULL)::webhook_bridge.http_request;
    END IF;
    IF operation = 'set_active' THEN
        PERFORM webhook_bridge.needed(webhook, 'active');
        RETURN ROW('PUT', base || '/' || webhook_bridge.url_encode(webhook_bridge.needed(webhook, 'remote_id')) || '/status',
                   headers, jsonb_build_object('status', webhook_bridge.as_boolean(webhook -> 'active'))::text)::webhook_bridge.http_request;
    END IF;
    IF operation NOT IN ('create', 'update') THEN
        RETURN NULL;
    END IF;

    options := webhook_bridge.check_options('options', webhook -> 'options', 'http_method', 'headers', 'payload');
    IF options ? 'http_method' AND coalesce(options ->> 'http_method', '') NOT IN ('post', 'get') THEN
        PERFORM webhook_bridge.bad_option('http_method', 'It is neither "post" nor "get".',
                                          'The signature of a GET covers nothing but its empty body: use "post".');
    END IF;
    PERFORM webhook_bridge.ecomanager_check('headers', options -> 'headers', 5),
            webhook_bridge.ecomanager_check('payload', options -> 'payload', 10);
    IF operation = 'create' THEN
        current := '{"http_method": "post", "is_active": true}';
        PERFORM webhook_bridge.needed(webhook, 'topic'), webhook_bridge.needed(webhook, 'delivery_url'),
                webhook_bridge.needed(webhook, 'secret');
    ELSIF jsonb_typeof(current) IS DISTINCT FROM 'object' THEN
        PERFORM webhook_bridge.bad_option('current', 'It is not the webhook as Ecomanager has it.', 'Get it first.');
    END IF;
    body := jsonb_build_object(
        'name', coalesce(webhook ->> 'label', current ->> 'name', webhook ->> 'topic', current ->> 'event'),
        'event', coalesce(webhook ->> 'topic', current ->> 'event'),
        'http_method', coalesce(options ->> 'http_method', current ->> 'http_method', 'post'),
        'delivery_url', coalesce(webhook ->> 'delivery_url', current ->> 'delivery_url'),
        'headers', webhook_bridge.ecomanager_pairs(
            coalesce(options -> 'headers', webhook_bridge.ecomanager_members(current -> 'headers'), '{}')),
        'payload', webhook_bridge.ecomanager_pairs(
            coalesce(options -> 'payload', webhook_bridge.ecomanager_members(current -> 'payload'), '{}')),
        'is_active', coalesce(webhook_bridge.as_boolean(webhook -> 'active'), webhook_bridge.as_boolean(current -> 'is_active'), true));
    IF webhook ->> 'secret' IS NOT NULL THEN
        body := body || jsonb_build_object('secret', webhook -> 'secret');
    END IF;
    IF operation = 'create' THEN
        RETURN ROW('POST', base, headers, body::text)::webhook_bridge.http_request;
    END IF;
    RETURN ROW('PUT', base || '/' || webhook_bridge.url_encode(webhook_bridge.needed(webhook, 'remote_id')),
               headers, body::text)::webhook_bridge.http_request;
END
$$;
COMMENT ON FUNCTION webhook_bridge.ecomanager_request(text, webhook_bridge.account_info, jsonb) IS
'Private: requests of Ecomanager''s management API';

-- Every answer has the secret in clear, which goes no further than this.
CREATE FUNCTION webhook_bridge.ecomanager_response(operation text, status integer, headers jsonb, body text)
RETURNS SETOF webhook_bridge.remote_webhook
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    document jsonb := webhook_bridge.try_json(body);
    item jsonb;
    hook webhook_bridge.remote_webhook;
BEGIN
    IF (status BETWEEN 200 AND 299) IS NOT TRUE THEN
        RETURN NEXT webhook_bridge.remote_failure(status, body);
        RETURN;
    END IF;
    IF operation = 'delete' THEN
        RETURN QUERY SELECT * FROM webhook_bridge.remote_done(body);
        RETURN;    -- answered 201
    END IF;
    IF operation = 'list' AND jsonb_typeof(document -> 'data') IS DISTINCT FROM 'array' THEN
        RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer is not a list of webhooks.');
        RETURN;
    END IF;

    FOR item IN
        SELECT e FROM jsonb_array_elements(CASE WHEN operation = 'list' THEN document -> 'data'
                          WHEN jsonb_typeof(document -> 'data') = 'object' THEN jsonb_build_array(document -> 'data')
                          ELSE jsonb_build_array(document) END) AS e
    LOOP
        hook := NULL;
        hook.remote_id := webhook_bridge.as_text(item -> 'id');
        IF coalesce(hook.remote_id, '') = '' THEN
            RETURN NEXT webhook_bridge.remote_error('not_understood', 'The answer has a webhook without id, or none.');
            RETURN;
        END IF;
        hook.topic := webhook_bridge.as_text(item -> 'event');
        hook.delivery_url := webhook_bridge.as_text(item -> 'delivery_url');
        hook.label := webhook_bridge.as_text(item -> 'name');
        hook.active := webhook_bridge.as_boolean(item -> 'is_active');
        hook.options := webhook_bridge.without_empty(jsonb_build_object(
            'http_method', item -> 'http_method', 'headers', webhook_bridge.ecomanager_members(item -> 'headers'),
            'payload', webhook_bridge.ecomanager_members(item -> 'payload')));
        -- without zone in the documentation's examples
        hook.created_at := webhook_bridge.as_time(item -> 'created_at');
        hook.updated_at := webhook_bridge.as_time(item -> 'updated_at');
        hook.raw := webhook_bridge.without_secrets(item);
        RETURN NEXT hook;
    END LOOP;

    IF operation = 'list' AND coalesce(webhook_bridge.as_text(document -> 'meta' -> 'next_cursor'), '') <> '' THEN
        hook := NULL;
        hook.next_page := jsonb_build_object('cursor', document -> 'meta' -> 'next_cursor');
        RETURN NEXT hook;
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.ecomanager_response(text, integer, jsonb, text) IS
'Private: answers of Ecomanager''s management API';

-- Nothing but content tells deliveries apart; what a GET carries is in its query.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, encoding, signature_from, get_deliveries, topic_from, source_from,
     webhook_remote_id_from, request_function, response_function, credentials,
     base_url_pattern, base_url_example, update_needs_current, topics, content_from, remarks, evidence)
VALUES
    ('ecomanager', 'Ecomanager', true,
     'auto', 'header:X-Ecomanager-Signature',
     true,
     '{header:X-Ecomanager-Event}', '{header:X-Ecomanager-Source}', '{header:X-Ecomanager-Webhook-ID}',
     'webhook_bridge.ecomanager_request', 'webhook_bridge.ecomanager_response', '{token}',
     '^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?$', 'https://shop.ecomanager.dz', true,
     '{OrderCreated,OrderDeleted,OrderStatusChanged,OrderConfirmationStatusChanged,OrderShippingStatusChanged}',
     '{header:X-Ecomanager-Webhook-ID?} {url} {body}',
     'The secret is the webhook''s. Create the endpoint before the webhook and register with http_method '
     'post. Topic and source are not signed. The documentation does not say whether the signature is hex '
     'or base64; both are accepted.',
     'documentation');
