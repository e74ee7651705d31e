-- ---------------------------------------------------------------------------
-- Remote webhooks
-- ---------------------------------------------------------------------------

-- A remote call cannot be rolled back: whatever happens here after it, the next
-- call of the same function finds what it left there and goes on from that.

-- What runs with the owner's rights does so with debug_print_plan off: anybody
-- can turn that on, and plans have the values of arguments, credentials too.

CREATE TABLE webhook_bridge.webhooks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL
        CONSTRAINT webhooks_account_fkey REFERENCES webhook_bridge.accounts ON UPDATE CASCADE,
    endpoint text NOT NULL
        CONSTRAINT webhooks_endpoint_fkey REFERENCES webhook_bridge.endpoints ON UPDATE CASCADE,
    topic text NOT NULL,
    label text,
    options jsonb NOT NULL DEFAULT '{}',
    desired_active boolean NOT NULL DEFAULT true,
    remote_id text,
    remote_state text NOT NULL DEFAULT 'unknown'
        CONSTRAINT webhooks_remote_state_check CHECK (remote_state IN ('unknown', 'active', 'inactive', 'missing', 'manual')),
    checked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhooks_registration_key UNIQUE (account, endpoint, topic),
    CONSTRAINT webhooks_remote_id_key UNIQUE (account, remote_id)
);
COMMENT ON TABLE webhook_bridge.webhooks IS
'Registrations at providers that were made or adopted from here: what is wanted, and what was last seen';
COMMENT ON COLUMN webhook_bridge.webhooks.id IS 'Number by which the functions refer to it';
COMMENT ON COLUMN webhook_bridge.webhooks.account IS 'Where it is registered';
COMMENT ON COLUMN webhook_bridge.webhooks.endpoint IS 'Where its deliveries arrive';
COMMENT ON COLUMN webhook_bridge.webhooks.topic IS 'What it tells of';
COMMENT ON COLUMN webhook_bridge.webhooks.label IS 'Name for people, where the provider has one';
COMMENT ON COLUMN webhook_bridge.webhooks.options IS 'Options of the provider''s own that are wanted; those that are not here are as the provider has them';
COMMENT ON COLUMN webhook_bridge.webhooks.desired_active IS 'Whether it shall deliver';
COMMENT ON COLUMN webhook_bridge.webhooks.remote_id IS 'The provider''s id; null: not there, or not known';
COMMENT ON COLUMN webhook_bridge.webhooks.remote_state IS
'What was last seen at the provider: active, inactive (also where it was deleted because there is no switch), missing or unknown; manual: people register there';
COMMENT ON COLUMN webhook_bridge.webhooks.checked_at IS 'When that was';
COMMENT ON COLUMN webhook_bridge.webhooks.created_at IS 'When it was registered or adopted from here';

COMMENT ON SEQUENCE webhook_bridge.webhooks_id_seq IS 'Numbers of webhooks';

SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.webhooks', '');
SELECT pg_catalog.pg_extension_config_dump('webhook_bridge.webhooks_id_seq', '');

CREATE TYPE webhook_bridge.webhook_info AS (
    id bigint,
    account text,
    endpoint text,
    topic text,
    remote_id text,
    delivery_url text,
    label text,
    active boolean,
    state text,
    options jsonb,
    created_at timestamptz,
    updated_at timestamptz,
    raw jsonb
);
COMMENT ON TYPE webhook_bridge.webhook_info IS
'A webhook as its provider has it, with id and endpoint if it is known here, and in raw the provider''s own object; a token in the delivery URL is masked';

-- ---------------------------------------------------------------------------
-- Calling a provider
-- ---------------------------------------------------------------------------

CREATE FUNCTION webhook_bridge.account_row(name text)
RETURNS webhook_bridge.accounts
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result webhook_bridge.accounts;
BEGIN
    SELECT a.* INTO result FROM webhook_bridge.accounts a WHERE a.name = account_row.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'account "%" does not exist', name
            USING ERRCODE = 'undefined_object',
                  HINT = 'Create it with webhook_bridge.create_account().';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION webhook_bridge.account_row(text) IS 'Private: an account, or an error that there is none';

CREATE FUNCTION webhook_bridge.webhook_row(id bigint)
RETURNS webhook_bridge.webhooks
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result webhook_bridge.webhooks;
BEGIN
    SELECT w.* INTO result FROM webhook_bridge.webhooks w WHERE w.id = webhook_row.id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'webhook % does not exist', coalesce(id::text, 'null')
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT id FROM webhook_bridge.webhooks shows those there are; others can be adopted.';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION webhook_bridge.webhook_row(bigint) IS 'Private: a webhook, locked, or an error that there is none';

CREATE FUNCTION webhook_bridge.has_api(account webhook_bridge.accounts)
RETURNS boolean
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.request_function IS NOT NULL FROM webhook_bridge.providers p WHERE p.name = (account).provider;
END;
COMMENT ON FUNCTION webhook_bridge.has_api(webhook_bridge.accounts) IS
'Private: whether the provider has a management API; else people register webhooks there';

-- What a provider was told it may tell to others: in its errors, and in members of
-- its answers that nobody expects.  As it is, percent-encoded, and as in JSON.
CREATE FUNCTION webhook_bridge.account_secrets(account webhook_bridge.accounts)
RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(array_agg(f.form ORDER BY length(f.form) DESC, f.form), '{}')
    FROM (SELECT DISTINCT unnest(ARRAY[s.secret, webhook_bridge.url_encode(s.secret), j.escaped, replace(j.escaped, '/', '\/')]) AS form
          FROM (SELECT c.value AS secret FROM jsonb_each_text((account).credentials) AS c
                UNION ALL
                SELECT x.secret FROM webhook_bridge.secrets x JOIN webhook_bridge.endpoints e ON e.name = x.endpoint
                WHERE e.provider = (account_secrets.account).provider
                  AND coalesce(e.account, (account_secrets.account).name) = (account_secrets.account).name) AS s,
               LATERAL (SELECT substr(to_json(s.secret)::text, 2, length(to_json(s.secret)::text) - 2) AS escaped) AS j) AS f
    WHERE f.form <> '';
END;
COMMENT ON FUNCTION webhook_bridge.account_secrets(webhook_bridge.accounts) IS
'Private: what a provider knows of an account and its endpoints and nobody else must, in all forms, the longest first';

CREATE FUNCTION webhook_bridge.mask_secrets(value text, secrets text[])
RETURNS text
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret text;
BEGIN
    FOREACH secret IN ARRAY secrets LOOP
        value := replace(value, secret, '***');
    END LOOP;
    RETURN value;
END
$$;
COMMENT ON FUNCTION webhook_bridge.mask_secrets(text, text[]) IS 'Private: a text with asterisks where secrets were';

CREATE FUNCTION webhook_bridge.mask_secrets(value jsonb, secrets text[])
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    plain text := value::text;
BEGIN
    IF webhook_bridge.mask_secrets(plain, secrets) IS NOT DISTINCT FROM plain THEN
        RETURN value;
    END IF;
    RETURN CASE jsonb_typeof(value)
        WHEN 'object' THEN (SELECT jsonb_object_agg(webhook_bridge.mask_secrets(m.key, secrets), webhook_bridge.mask_secrets(m.value, secrets))
                            FROM jsonb_each(value) AS m)
        WHEN 'array' THEN (SELECT jsonb_agg(webhook_bridge.mask_secrets(e.value, secrets) ORDER BY e.place)
                           FROM jsonb_array_elements(value) WITH ORDINALITY AS e(value, place))
        ELSE to_jsonb(webhook_bridge.mask_secrets(value #>> '{}', secrets)) END;
END
$$;
COMMENT ON FUNCTION webhook_bridge.mask_secrets(jsonb, text[]) IS 'Private: the same in names and values of JSON';

CREATE FUNCTION webhook_bridge.check_filters(filters jsonb)
RETURNS void
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{topic,delivery_url,label}'::text[] LOOP
        IF jsonb_typeof(filters -> name) <> 'string' THEN
            PERFORM webhook_bridge.bad_option(name, 'As a filter it has to be a string.', 'Nothing was sent.');
        END IF;
    END LOOP;
    IF filters ? 'active' AND webhook_bridge.as_boolean(filters -> 'active') IS NULL THEN
        PERFORM webhook_bridge.bad_option('active', 'As a filter it has to be true or false.', 'Nothing was sent.');
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.check_filters(jsonb) IS
'Private: refuses values that the filters of all providers cannot have';

CREATE FUNCTION webhook_bridge.remote_request(account webhook_bridge.accounts, operation text, webhook jsonb)
RETURNS webhook_bridge.http_request
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    function text;
    request webhook_bridge.http_request;
BEGIN
    SELECT p.request_function INTO function FROM webhook_bridge.providers p WHERE p.name = (account).provider;
    IF function IS NULL THEN
        RAISE EXCEPTION 'provider "%" has no management API', (account).provider
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = 'People register webhooks there.',
                  HINT = 'Ask them with the text that webhook_bridge.registration_request() makes.';
    END IF;
    PERFORM webhook_bridge.check_filters(webhook -> 'filters');
    -- the constraint of providers has made sure that this is the name of a function
    EXECUTE format('SELECT (r).* FROM (SELECT %s($1, $2, $3) AS r OFFSET 0) AS t', function) INTO request
    USING operation, ROW((account).name, (account).provider, (account).base_url, (account).credentials)::webhook_bridge.account_info,
          jsonb_strip_nulls(webhook - '{current,options}'::text[]) ||
          coalesce((SELECT jsonb_object_agg(m.key, m.value) FROM jsonb_each(webhook) AS m
                    WHERE m.key IN ('current', 'options') AND m.value <> 'null'), '{}');
    RETURN request;
END
$$;
COMMENT ON FUNCTION webhook_bridge.remote_request(webhook_bridge.accounts, text, jsonb) IS
'Private: the request for an operation, null if the provider does not have it';

-- Tries again what does no harm a second time: after a failure of the provider's
-- reads and deletions, after "too many requests", which is answered instead of
-- doing anything, all.  No pause is begun that would end after http_timeout.
CREATE FUNCTION webhook_bridge.remote_call(account webhook_bridge.accounts, operation text, webhook jsonb)
RETURNS SETOF webhook_bridge.remote_webhook
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind webhook_bridge.providers;
    request webhook_bridge.http_request := webhook_bridge.remote_request(account, operation, webhook);
    response webhook_bridge.http_response;
    repeatable boolean := operation IN ('list', 'get', 'count', 'topics', 'failed', 'delete');
    deadline timestamptz := clock_timestamp() + current_setting('webhook_bridge.http_timeout')::interval;
    next_pause interval := '200 milliseconds';
    pause interval;
    call text;
    rows webhook_bridge.remote_webhook[];
    row webhook_bridge.remote_webhook;
    wait interval;
    code text;
    said text;
    more text;
    hint text;
BEGIN
    SELECT p.* INTO kind FROM webhook_bridge.providers p WHERE p.name = (account).provider;
    IF (request).method IS NULL THEN
        RAISE EXCEPTION 'provider "%" does not offer this', kind.name
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = format('Its management API has no operation "%s".', operation),
                  HINT = 'What it has is in the documentation of the provider; nothing was sent.';
    END IF;
    call := format('SELECT array_agg(r) FROM %s($1, $2, $3, $4) AS r', kind.response_function);

    LOOP
        BEGIN
            response := webhook_bridge.http_call(request, repeatable);
        EXCEPTION
            WHEN SQLSTATE 'WB001' OR SQLSTATE 'WB002' OR SQLSTATE 'WB003' OR SQLSTATE 'WB004' THEN
                GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT, more = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
                RAISE EXCEPTION USING ERRCODE = code, MESSAGE = said, DETAIL = format('Operation "%s", %s', operation, more),
                    HINT = coalesce(nullif(hint, ''), 'What was done is found by the next call.');
        END;

        EXECUTE call INTO rows USING operation, (response).status, (response).headers, (response).body;
        SELECT (r).* INTO row FROM unnest(rows) AS r WHERE r.error IS NOT NULL LIMIT 1;
        IF FOUND THEN
            -- read once more without secrets: what is cut or taken apart cannot be recognised
            EXECUTE call INTO rows USING operation, (response).status, (response).headers,
                    webhook_bridge.mask_secrets((response).body, webhook_bridge.account_secrets(account));
            row.message := (SELECT r.message FROM unnest(rows) AS r WHERE r.error IS NOT NULL LIMIT 1);
        ELSIF operation IN ('create', 'get') AND rows[1].remote_id IS NULL THEN
            row.error := 'not_understood';
            row.message := 'The answer has no webhook.';
        ELSIF operation = 'get' AND rows[1].remote_id <> webhook ->> 'remote_id' THEN
            row.error := 'not_found';
            row.message := 'The answer is about another webhook.';
        END IF;
        EXIT WHEN row.error IS NULL;

        wait := webhook_bridge.retry_after((response).headers);
        pause := CASE WHEN row.error = 'rate_limited' AND wait IS NOT NULL OR row.error = 'server_failure' AND repeatable
                      THEN greatest(wait, next_pause) END;
        IF clock_timestamp() + pause < deadline THEN
            PERFORM pg_sleep_for(pause);
            next_pause := next_pause * 2;
            CONTINUE;
        END IF;

        RAISE EXCEPTION USING
            ERRCODE = CASE row.error WHEN 'unauthorized' THEN 'WB011' WHEN 'not_found' THEN 'WB012' WHEN 'already_exists' THEN 'WB013'
                                     WHEN 'invalid' THEN 'WB014' WHEN 'rate_limited' THEN 'WB015' WHEN 'server_failure' THEN 'WB016'
                                     ELSE 'WB017' END,
            MESSAGE = format(CASE row.error
                          WHEN 'unauthorized' THEN 'account "%s" is not authorized at %s'
                          WHEN 'not_found' THEN 'account "%s": %s does not have this webhook'
                          WHEN 'already_exists' THEN 'account "%s": %s has such a webhook already'
                          WHEN 'invalid' THEN 'account "%s": %s does not accept the request'
                          WHEN 'rate_limited' THEN 'account "%s": %s was asked too often'
                          WHEN 'server_failure' THEN 'account "%s": %s failed to answer the request'
                          ELSE 'account "%s": the answer of %s is not understood' END, (account).name, kind.title),
            DETAIL = concat_ws(' ', format('Operation "%s", %s %s, status %s.', operation, (request).method,
                                           split_part((request).url, '?', 1), (response).status),
                               row.message),
            HINT = CASE row.error
                       WHEN 'unauthorized' THEN 'Check the credentials of the account, and what they are allowed to do.'
                       WHEN 'not_found' THEN 'webhook_bridge.sync_webhooks() shows what is there; register_webhook() makes it anew.'
                       WHEN 'already_exists' THEN 'webhook_bridge.list_webhooks() shows it; adopt it, or delete it there.'
                       WHEN 'invalid' THEN 'The provider''s own words are in the detail.'
                       WHEN 'rate_limited' THEN CASE WHEN wait IS NULL THEN 'Wait before you try again.'
                           ELSE format('Wait before you try again: %s seconds.', ceil(extract(epoch FROM wait))) END
                       WHEN 'server_failure' THEN 'Try again later; what was done is found then.'
                       ELSE concat('Check the base URL of the account',
                                   CASE WHEN getdatabaseencoding() <> 'UTF8'
                                        THEN ', and whether the encoding of the database has all characters of the answer' END, '.') END;
    END LOOP;

    RETURN QUERY SELECT (r).* FROM unnest(rows) AS r;
END
$$;
COMMENT ON FUNCTION webhook_bridge.remote_call(webhook_bridge.accounts, text, jsonb) IS
'Private: sends the request for an operation and returns the rows of the answer; an error of the provider is raised with its SQLSTATE';

CREATE FUNCTION webhook_bridge.remote_pages(account webhook_bridge.accounts, operation text, filters jsonb)
RETURNS SETOF webhook_bridge.remote_webhook
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    row webhook_bridge.remote_webhook;
    page jsonb;
    next jsonb;
    first text;
    last_first text;
BEGIN
    LOOP
        next := NULL;
        first := NULL;
        FOR row IN SELECT * FROM webhook_bridge.remote_call(account, operation, jsonb_build_object('filters', filters, 'page', page)) LOOP
            next := coalesce(row.next_page, next);
            CONTINUE WHEN row.remote_id IS NULL;
            first := coalesce(first, row::text);
            RETURN NEXT row;
        END LOOP;
        next := webhook_bridge.next_page(page, next);
        EXIT WHEN next IS NULL;
        IF next = page OR first = last_first THEN
            RAISE EXCEPTION 'account "%": the pages of the list do not end', (account).name
                USING ERRCODE = 'WB017',
                      DETAIL = 'The provider has answered with the same page again.',
                      HINT = 'This is an error of the provider, or of a proxy at the base URL of the account.';
        END IF;
        page := next;
        last_first := first;
    END LOOP;
END
$$;
COMMENT ON FUNCTION webhook_bridge.remote_pages(webhook_bridge.accounts, text, jsonb) IS
'Private: the rows of an operation that has pages, page by page';

CREATE FUNCTION webhook_bridge.remote_list(account webhook_bridge.accounts, filters jsonb)
RETURNS SETOF webhook_bridge.remote_webhook
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    -- not every provider filters, and some leave out what they have filtered by
    SELECT r.* FROM webhook_bridge.remote_pages(account, 'list', filters) AS r
    WHERE (r.topic <> filters ->> 'topic' OR r.delivery_url <> filters ->> 'delivery_url'
           OR r.label <> filters ->> 'label' OR r.active <> webhook_bridge.as_boolean(filters -> 'active')) IS NOT TRUE;
END;
COMMENT ON FUNCTION webhook_bridge.remote_list(webhook_bridge.accounts, jsonb) IS
'Private: the webhooks of an account that filters let through';

CREATE FUNCTION webhook_bridge.remote_find(account webhook_bridge.accounts, topic text, delivery_url text)
RETURNS webhook_bridge.remote_webhook
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT r FROM webhook_bridge.remote_list(account, jsonb_build_object('topic', topic, 'delivery_url', delivery_url)) AS r
    WHERE r.topic = remote_find.topic AND r.delivery_url = remote_find.delivery_url
    ORDER BY r.active DESC NULLS LAST, r.created_at, length(r.remote_id), r.remote_id COLLATE "C"
    LIMIT 1;
END;
COMMENT ON FUNCTION webhook_bridge.remote_find(webhook_bridge.accounts, text, text) IS
'Private: the webhook of an account that has this topic and this URL';

CREATE FUNCTION webhook_bridge.remote_get(account webhook_bridge.accounts, remote_id text)
RETURNS webhook_bridge.remote_webhook
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    remote webhook_bridge.remote_webhook;
BEGIN
    IF remote_id IS NOT NULL THEN
        SELECT * INTO remote FROM webhook_bridge.remote_call(account, 'get', jsonb_build_object('remote_id', remote_get.remote_id));
    END IF;
    RETURN remote;
EXCEPTION
    WHEN SQLSTATE 'WB012' THEN
        RETURN NULL;
END
$$;
COMMENT ON FUNCTION webhook_bridge.remote_get(webhook_bridge.accounts, text) IS
'Private: the webhook of an account that has this id, or null';

CREATE FUNCTION webhook_bridge.mask_token(account webhook_bridge.accounts, value text)
RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN p.algorithm = 'token' AND p.signature_from LIKE 'query:%'
                THEN regexp_replace(value, '([?&]' || substr(p.signature_from, 7) || '=)[^&#"]*', '\1***', 'g')
                ELSE value END
    FROM webhook_bridge.providers p WHERE p.name = (account).provider;
END;
COMMENT ON FUNCTION webhook_bridge.mask_token(webhook_bridge.accounts, text) IS
'Private: a text with asterisks where delivery URLs in it have a token';

CREATE FUNCTION webhook_bridge.describe_webhook(
    account webhook_bridge.accounts, remote webhook_bridge.remote_webhook, secrets text[])
RETURNS webhook_bridge.webhook_info
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT ROW(w.id, (describe_webhook.account).name, w.endpoint, (remote).topic, (remote).remote_id,
               webhook_bridge.mask_secrets(webhook_bridge.mask_token(describe_webhook.account, (remote).delivery_url), secrets),
               coalesce(webhook_bridge.mask_secrets((remote).label, secrets), w.label), (remote).active,
               CASE (remote).active WHEN true THEN 'active' WHEN false THEN 'inactive' ELSE 'unknown' END,
               webhook_bridge.mask_secrets((remote).options, secrets), (remote).created_at, (remote).updated_at,
               webhook_bridge.mask_secrets(webhook_bridge.mask_token(describe_webhook.account, (remote).raw::text)::jsonb,
                                           secrets))::webhook_bridge.webhook_info
    FROM (SELECT) AS one LEFT JOIN webhook_bridge.webhooks w
         ON w.account = (describe_webhook.account).name AND w.remote_id = (remote).remote_id;
END;
COMMENT ON FUNCTION webhook_bridge.describe_webhook(webhook_bridge.accounts, webhook_bridge.remote_webhook, text[]) IS
'Private: a webhook as the functions return it';

CREATE FUNCTION webhook_bridge.describe_wanted(webhook webhook_bridge.webhooks)
RETURNS webhook_bridge.webhook_info
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT ROW((webhook).id, (webhook).account, (webhook).endpoint, (webhook).topic, NULL,
               webhook_bridge.mask_token(a, webhook_bridge.delivery_url((webhook).endpoint)),
               (webhook).label, CASE (webhook).remote_state WHEN 'inactive' THEN false END, (webhook).remote_state,
               (webhook).options, NULL, NULL, NULL)::webhook_bridge.webhook_info
    FROM webhook_bridge.accounts a WHERE a.name = (webhook).account;
END;
COMMENT ON FUNCTION webhook_bridge.describe_wanted(webhook_bridge.webhooks) IS
'Private: a webhook that is not at its provider, or that people register there, as the functions return it';

-- ---------------------------------------------------------------------------
-- Looking
-- ---------------------------------------------------------------------------

CREATE FUNCTION webhook_bridge.list_webhooks(account text, filters jsonb DEFAULT '{}')
RETURNS SETOF webhook_bridge.webhook_info
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
DECLARE
    owner webhook_bridge.accounts := webhook_bridge.account_row(account);
    secrets text[] := webhook_bridge.account_secrets(owner);
BEGIN
    RETURN QUERY SELECT (d).* FROM (
        SELECT webhook_bridge.describe_webhook(owner, r, secrets) AS d
        FROM webhook_bridge.remote_list(owner, coalesce(filters, '{}')) AS r OFFSET 0) AS t;
END
$$;
COMMENT ON FUNCTION webhook_bridge.list_webhooks(text, jsonb) IS
'The webhooks that an account has at its provider, known here or not. Filters: topic, delivery_url, label, active, and the provider''s own';

CREATE FUNCTION webhook_bridge.get_webhook(account text, remote_id text)
RETURNS webhook_bridge.webhook_info
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
DECLARE
    owner webhook_bridge.accounts := webhook_bridge.account_row(account);
    remote webhook_bridge.remote_webhook;
BEGIN
    SELECT * INTO remote FROM webhook_bridge.remote_call(owner, 'get', jsonb_build_object('remote_id', get_webhook.remote_id));
    RETURN webhook_bridge.describe_webhook(owner, remote, webhook_bridge.account_secrets(owner));
END
$$;
COMMENT ON FUNCTION webhook_bridge.get_webhook(text, text) IS 'One webhook of an account, by the provider''s id';

CREATE FUNCTION webhook_bridge.count_webhooks(account text, filters jsonb DEFAULT '{}')
RETURNS bigint
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
DECLARE
    owner webhook_bridge.accounts := webhook_bridge.account_row(account);
    wanted jsonb := jsonb_build_object('filters', coalesce(filters, '{}'));
    result bigint;
BEGIN
    IF (webhook_bridge.remote_request(owner, 'count', wanted)).method IS NULL THEN
        SELECT count(*) INTO result FROM webhook_bridge.remote_list(owner, coalesce(filters, '{}'));
    ELSE
        SELECT r.total INTO result FROM webhook_bridge.remote_call(owner, 'count', wanted) AS r;
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION webhook_bridge.count_webhooks(text, jsonb) IS
'How many webhooks an account has at its provider; filters as for list_webhooks';

CREATE FUNCTION webhook_bridge.list_topics(account text)
RETURNS TABLE (topic text, label text, raw jsonb)
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
DECLARE
    owner webhook_bridge.accounts := webhook_bridge.account_row(account);
    secrets text[] := webhook_bridge.account_secrets(owner);
BEGIN
    IF NOT webhook_bridge.has_api(owner) OR (webhook_bridge.remote_request(owner, 'topics', '{}')).method IS NULL THEN
        RETURN QUERY SELECT t, NULL::text, NULL::jsonb FROM webhook_bridge.providers p, unnest(p.topics) AS t WHERE p.name = owner.provider;
    ELSE
        RETURN QUERY SELECT r.topic, webhook_bridge.mask_secrets(r.label, secrets), webhook_bridge.mask_secrets(r.raw, secrets)
                     FROM webhook_bridge.remote_call(owner, 'topics', '{}') AS r WHERE r.topic IS NOT NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.list_topics(text) IS
'What webhooks can be registered for: as the provider says for this account, else as it documents';

CREATE FUNCTION webhook_bridge.list_failed_deliveries(account text, filters jsonb DEFAULT '{}')
RETURNS TABLE (id bigint, remote_id text, failed_at timestamptz, raw jsonb)
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
#variable_conflict use_column
DECLARE
    owner webhook_bridge.accounts := webhook_bridge.account_row(account);
    secrets text[] := webhook_bridge.account_secrets(owner);
BEGIN
    RETURN QUERY SELECT w.id, r.remote_id, r.created_at, webhook_bridge.mask_secrets(r.raw, secrets)
                 FROM webhook_bridge.remote_pages(owner, 'failed', filters) AS r
                      LEFT JOIN webhook_bridge.webhooks w ON w.account = owner.name AND w.remote_id = r.remote_id;
END
$$;
COMMENT ON FUNCTION webhook_bridge.list_failed_deliveries(text, jsonb) IS
'Deliveries that the provider gave up, where it keeps a list of them';

-- ---------------------------------------------------------------------------
-- Registering
-- ---------------------------------------------------------------------------

-- The row is visible, so that a transaction that is in progress is our own.
CREATE FUNCTION webhook_bridge.endpoint_is_committed(endpoint text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now_at bigint := pg_current_xact_id()::text::bigint;
    made_at bigint;
BEGIN
    SELECT now_at - now_at % 4294967296 + e.xmin::text::bigint INTO made_at
    FROM webhook_bridge.endpoints e WHERE e.name = endpoint_is_committed.endpoint;
    IF made_at > now_at + 2147483648 THEN
        made_at := made_at - 4294967296;
    ELSIF made_at < now_at - 2147483648 THEN
        made_at := made_at + 4294967296;
    END IF;
    -- numbers of subtransactions are above that of their transaction
    RETURN made_at < now_at OR pg_xact_status(made_at::text::xid8) IS DISTINCT FROM 'in progress';
EXCEPTION
    WHEN invalid_parameter_value THEN
        RETURN true;    -- an old row, whose number is not of this epoch
END
$$;
COMMENT ON FUNCTION webhook_bridge.endpoint_is_committed(text) IS
'Private: whether an endpoint is there for others than this transaction';

-- Where nothing of a delivery tells its topic, the endpoint's params do.
CREATE FUNCTION webhook_bridge.check_endpoint_for(account webhook_bridge.accounts, endpoint text, topic text)
RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target webhook_bridge.endpoints;
    param text;
BEGIN
    SELECT e.* INTO target FROM webhook_bridge.endpoints e WHERE e.name = check_endpoint_for.endpoint FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'endpoint "%" does not exist', endpoint
            USING ERRCODE = 'undefined_object',
                  HINT = 'Create it with webhook_bridge.create_endpoint().';
    END IF;
    IF target.provider <> (account).provider OR target.account <> (account).name THEN
        RAISE EXCEPTION 'endpoint "%" does not receive for account "%"', endpoint, (account).name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = CASE WHEN target.provider <> (account).provider
                                THEN format('It is for deliveries of provider "%s", and the account is at "%s".', target.provider, (account).provider)
                                ELSE format('It is for account "%s".', target.account) END,
                  HINT = 'Name the account with create_endpoint(..., account => ...).';
    END IF;
    IF NOT target.enabled THEN
        RAISE EXCEPTION 'endpoint "%" is not enabled', endpoint
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Its deliveries would be answered 404.',
                  HINT = 'Set enabled in webhook_bridge.endpoints.';
    END IF;
    IF EXISTS (SELECT FROM webhook_bridge.providers p
               WHERE p.name = target.provider AND p.account_secret IS NOT NULL
                 AND NOT EXISTS (SELECT FROM webhook_bridge.secrets x
                                 WHERE x.endpoint = target.name AND (x.expires_at IS NULL OR x.expires_at > now())
                                   AND x.secret = (check_endpoint_for.account).credentials ->> p.account_secret)) THEN
        RAISE EXCEPTION 'endpoint "%" does not have the secret of account "%"', endpoint, (account).name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Deliveries of the account''s webhooks are signed with it, and would be refused.',
                  HINT = 'Add it with webhook_bridge.add_secret(), or create the endpoint with account => ....';
    END IF;
    SELECT substring(p.topic_from FROM '^[{]param:([^{}]+)[}]$') INTO param FROM webhook_bridge.providers p WHERE p.name = target.provider;
    IF target.params ->> param <> topic THEN
        RAISE EXCEPTION 'endpoint "%" is not for topic "%"', endpoint, topic
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Nothing of a delivery tells its topic, and params of the endpoint say "%s".', target.params ->> param),
                  HINT = 'Create an endpoint for each topic.';
    END IF;
    IF NOT webhook_bridge.endpoint_is_committed(endpoint) THEN
        RAISE EXCEPTION 'endpoint "%" is not committed', endpoint
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'The provider may call it before it answers, and what is not committed cannot be called.',
                  HINT = 'Commit the transaction that created or changed the endpoint, then register the webhook in another one.';
    END IF;
END
$$;
COMMENT ON FUNCTION webhook_bridge.check_endpoint_for(webhook_bridge.accounts, text, text) IS
'Private: refuses an endpoint that cannot receive deliveries of a topic for an account now, and keeps it from being dropped';

-- What to tell the provider: null where the secret is not the webhook's.
CREATE FUNCTION webhook_bridge.webhook_secret(account webhook_bridge.accounts, endpoint text)
RETURNS text
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_bridge.providers p
                   WHERE p.name = (account).provider AND p.account_secret IS NULL AND p.algorithm LIKE 'hmac%') THEN
        RETURN NULL;
    END IF;
    SELECT s.secret INTO result FROM webhook_bridge.secrets s
    WHERE s.endpoint = webhook_secret.endpoint AND (s.expires_at IS NULL OR s.expires_at > now())
    ORDER BY s.created_at DESC, s.label LIMIT 1;
    IF result IS NULL THEN
        result := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
        PERFORM webhook_bridge.add_secret(endpoint, result);
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION webhook_bridge.webhook_secret(webhook_bridge.accounts, text) IS
'Private: the secret that a webhook of this endpoint is registered with, made at random if there is none';

CREATE FUNCTION webhook_bridge.seen(id bigint, remote webhook_bridge.remote_webhook)
RETURNS void
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    -- it was another one's before somebody changed it there
    UPDATE webhook_bridge.webhooks w
    SET remote_id = NULL, remote_state = 'missing', checked_at = clock_timestamp()
    WHERE w.account = (SELECT m.account FROM webhook_bridge.webhooks m WHERE m.id = seen.id)
      AND w.remote_id = (remote).remote_id AND w.id <> seen.id;
    UPDATE webhook_bridge.webhooks w
    SET remote_id = (remote).remote_id,
        remote_state = CASE WHEN (remote).remote_id IS NULL THEN 'missing'
                            WHEN (remote).active THEN 'active'
                            WHEN NOT (remote).active THEN 'inactive'
                            ELSE 'unknown' END,
        checked_at = clock_timestamp()
    WHERE w.id = seen.id;
END;
COMMENT ON FUNCTION webhook_bridge.seen(bigint, webhook_bridge.remote_webhook) IS
'Private: records what was seen of a webhook at its provider';

-- An array of texts is the same as these with commas, and a number as its digits.
CREATE FUNCTION webhook_bridge.option_text(value jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE jsonb_typeof(value)
               WHEN 'array' THEN (SELECT string_agg(e, ',') FROM jsonb_array_elements_text(value) AS e)
               WHEN 'object' THEN value::text
               ELSE value #>> '{}' END;
END;
COMMENT ON FUNCTION webhook_bridge.option_text(jsonb) IS 'Private: an option in a form that can be compared';

-- Of what is wanted, what the provider says and says otherwise.
CREATE FUNCTION webhook_bridge.differences(wanted jsonb, actual jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(w.key, w.value), '{}')
    FROM jsonb_each(wanted) AS w
    WHERE w.value <> 'null' AND actual -> w.key <> 'null'
      AND webhook_bridge.option_text(w.value) IS DISTINCT FROM webhook_bridge.option_text(actual -> w.key);
END;
COMMENT ON FUNCTION webhook_bridge.differences(jsonb, jsonb) IS
'Private: the members of a JSON object that another one has with another value';

-- Brings what is there to what is wanted; "wanted" has the members to change.
CREATE FUNCTION webhook_bridge.change_remote(account webhook_bridge.accounts, remote webhook_bridge.remote_webhook, wanted jsonb)
RETURNS webhook_bridge.remote_webhook
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    answer webhook_bridge.remote_webhook;
    operation text := 'update';
BEGIN
    wanted := jsonb_strip_nulls(wanted - 'options') || jsonb_build_object('options', coalesce(wanted -> 'options', '{}'));
    IF (SELECT p.update_needs_current FROM webhook_bridge.providers p WHERE p.name = (account).provider)
       AND (remote).raw IS NULL THEN
        SELECT * INTO remote FROM webhook_bridge.remote_call(account, 'get', jsonb_build_object('remote_id', (remote).remote_id));
    END IF;
    wanted := wanted || jsonb_build_object('remote_id', (remote).remote_id, 'current', (remote).raw);
    -- the switch of its own, where that is all
    IF wanted ? 'active' AND NOT wanted ?| '{topic,delivery_url,label,secret}' AND wanted -> 'options' = '{}' THEN
        operation := 'set_active';
        wanted := wanted - '{current,options}'::text[];
    END IF;
    IF (webhook_bridge.remote_request(account, operation, wanted)).method IS NULL THEN
        RETURN remote;    -- nothing of this is at the provider
    END IF;
    SELECT * INTO answer FROM webhook_bridge.remote_call(account, operation, wanted) AS r WHERE r.remote_id IS NOT NULL;
    -- some only say that it is done
    remote.topic := coalesce(answer.topic, wanted ->> 'topic', (remote).topic);
    remote.delivery_url := coalesce(answer.delivery_url, wanted ->> 'delivery_url', (remote).delivery_url);
    remote.label := coalesce(answer.label, wanted ->> 'label', (remote).label);
    remote.active := coalesce(answer.active, webhook_bridge.as_boolean(wanted -> 'active'), (remote).active);
    remote.options := coalesce(answer.options, (remote).options || coalesce(wanted -> 'options', '{}'));
    remote.updated_at := coalesce(answer.updated_at, (remote).updated_at);
    remote.raw := coalesce(answer.raw, (remote).raw);
    RETURN remote;
END
$$;
COMMENT ON FUNCTION webhook_bridge.change_remote(webhook_bridge.accounts, webhook_bridge.remote_webhook, jsonb) IS
'Private: changes a webhook at its provider and returns it as it is then';

CREATE FUNCTION webhook_bridge.has_switch(account webhook_bridge.accounts)
RETURNS boolean
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT CASE WHEN webhook_bridge.has_api(account)
                THEN (webhook_bridge.remote_request(account, 'set_active', '{"remote_id": "0", "active": true}')).method IS NOT NULL
                ELSE false END;
END;
COMMENT ON FUNCTION webhook_bridge.has_switch(webhook_bridge.accounts) IS
'Private: whether webhooks of this account''s provider can be inactive';

CREATE FUNCTION webhook_bridge.record_manual(webhook webhook_bridge.webhooks)
RETURNS webhook_bridge.webhook_info
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    text_to_send text;
BEGIN
    -- raises what is wrong with it
    EXECUTE format('SELECT %s($1, $2, $3)',
                   (SELECT p.registration_function FROM webhook_bridge.providers p JOIN webhook_bridge.accounts a ON a.provider = p.name
                    WHERE a.name = (webhook).account))
    INTO text_to_send
    USING webhook_bridge.delivery_url((webhook).endpoint), ARRAY[(webhook).topic], (webhook).options;
    webhook.remote_state := 'manual';
    UPDATE webhook_bridge.webhooks w SET remote_state = (webhook).remote_state WHERE w.id = (webhook).id;
    RETURN webhook_bridge.describe_wanted(webhook);
END
$$;
COMMENT ON FUNCTION webhook_bridge.record_manual(webhook_bridge.webhooks) IS
'Private: records a webhook that people register at the provider, after a check that they can';

-- Changes what the provider says otherwise than it is wanted, and what the caller
-- says besides: a secret is not told.
CREATE FUNCTION webhook_bridge.restore_remote(webhook webhook_bridge.webhooks, remote webhook_bridge.remote_webhook, changes jsonb)
RETURNS webhook_bridge.webhook_info
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner webhook_bridge.accounts := webhook_bridge.account_row((webhook).account);
    active jsonb := CASE WHEN webhook_bridge.has_switch(owner) THEN to_jsonb((webhook).desired_active) END;
    -- those that the provider does not tell go along with what else is to be changed
    options jsonb := coalesce((SELECT jsonb_object_agg(o.key, o.value) FROM jsonb_each((webhook).options) AS o
                               WHERE webhook_bridge.option_text(o.value) IS DISTINCT FROM webhook_bridge.option_text((remote).options -> o.key)),
                              '{}');
BEGIN
    changes := jsonb_strip_nulls(changes)
        || webhook_bridge.differences(
               jsonb_build_object('topic', (webhook).topic, 'label', (webhook).label,
                                  'delivery_url', webhook_bridge.delivery_url((webhook).endpoint)),
               to_jsonb(remote));
    IF changes <> '{}' OR options <> '{}' AND ((remote).options IS NULL
       OR webhook_bridge.differences(options, (remote).options) <> '{}') THEN
        remote := webhook_bridge.change_remote(owner, remote, changes || jsonb_build_object('options', options, 'active', active));
    END IF;
    -- on its own, as an update may leave the switch alone
    IF webhook_bridge.as_boolean(active) <> (remote).active THEN
        remote := webhook_bridge.change_remote(owner, remote, jsonb_build_object('active', active));
    END IF;
    PERFORM webhook_bridge.seen((webhook).id, remote);
    RETURN webhook_bridge.describe_webhook(owner, remote, webhook_bridge.account_secrets(owner));
END
$$;
COMMENT ON FUNCTION webhook_bridge.restore_remote(webhook_bridge.webhooks, webhook_bridge.remote_webhook, jsonb) IS
'Private: brings a webhook at its provider to what is wanted here';

CREATE FUNCTION webhook_bridge.register_webhook(
    account text,
    topic text,
    endpoint text,
    label text DEFAULT NULL,
    active boolean DEFAULT NULL,
    options jsonb DEFAULT '{}')
RETURNS webhook_bridge.webhook_info
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
#variable_conflict use_variable
DECLARE
    owner webhook_bridge.accounts := webhook_bridge.account_row(account);
    mine webhook_bridge.webhooks;
    remote webhook_bridge.remote_webhook;
    result webhook_bridge.webhook_info;
    url text;
    wanted jsonb;
    code text;
    said text;
    more text;
    hint text;
BEGIN
    IF coalesce(topic, '') = '' OR endpoint IS NULL THEN
        RAISE EXCEPTION 'topic and endpoint must not be null or empty'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM webhook_bridge.check_endpoint_for(owner, endpoint, topic);
    url := webhook_bridge.delivery_url(endpoint);

    -- whoever registers the same at the same time waits here
    INSERT INTO webhook_bridge.webhooks AS w (account, endpoint, topic, label, options, desired_active)
    VALUES (owner.name, endpoint, topic, label, coalesce(options, '{}'), coalesce(active, true))
    ON CONFLICT ON CONSTRAINT webhooks_registration_key DO UPDATE
    SET label = coalesce(excluded.label, w.label),
        options = w.options || excluded.options,
        desired_active = coalesce(active, w.desired_active)
    RETURNING w.* INTO mine;

    IF NOT webhook_bridge.has_api(owner) THEN
        RETURN webhook_bridge.record_manual(mine);
    END IF;
    IF active IS NULL AND NOT mine.desired_active AND NOT webhook_bridge.has_switch(owner) THEN
        RETURN webhook_bridge.describe_wanted(mine);    -- it was switched off, and that means deleted
    END IF;

    wanted := jsonb_build_object(
        'topic', topic, 'delivery_url', url, 'label', coalesce(mine.label, endpoint), 'active', mine.desired_active,
        'secret', webhook_bridge.webhook_secret(owner, endpoint), 'options', mine.options,
        'idempotency_key', gen_random_uuid());
    -- raises what is wrong with them before anything is sent
    PERFORM webhook_bridge.remote_request(owner, 'create', wanted);

    -- its URL may have become another one here or there, but not its topic
    remote := webhook_bridge.remote_get(owner, mine.remote_id);
    IF (remote).remote_id IS NULL OR (remote).topic <> topic THEN
        remote := webhook_bridge.remote_find(owner, topic, url);
    END IF;
    IF (remote).remote_id IS NULL THEN
        BEGIN
            SELECT * INTO remote FROM webhook_bridge.remote_call(owner, 'create', wanted);
            remote.topic := coalesce((remote).topic, topic);
            remote.delivery_url := coalesce((remote).delivery_url, url);
            remote.label := coalesce((remote).label, mine.label);
            remote.active := coalesce((remote).active, mine.desired_active);
            remote.options := coalesce((remote).options, mine.options);
            PERFORM webhook_bridge.seen(mine.id, remote);
            result := webhook_bridge.describe_webhook(owner, remote, webhook_bridge.account_secrets(owner));
        EXCEPTION
            -- it may have been created: look before giving up
            WHEN SQLSTATE 'WB001' OR SQLSTATE 'WB002' OR SQLSTATE 'WB004' OR SQLSTATE 'WB013' OR SQLSTATE 'WB016' OR SQLSTATE 'WB017' THEN
                GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT, more = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        END;
    END IF;
    IF code IS NOT NULL THEN
        BEGIN
            remote := webhook_bridge.remote_find(owner, topic, url);
        EXCEPTION
            WHEN SQLSTATE 'WB001' OR SQLSTATE 'WB002' OR SQLSTATE 'WB004' OR SQLSTATE 'WB015' OR SQLSTATE 'WB016' OR SQLSTATE 'WB017' THEN
                remote := NULL;
        END;
        IF (remote).remote_id IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = code, MESSAGE = said, DETAIL = more,
                HINT = coalesce(nullif(hint, ''), 'It may have been created all the same: the next call finds it then.');
        END IF;
    END IF;
    IF result IS NULL THEN
        -- there already: by an earlier call whose answer or transaction was lost, or by somebody else
        result := webhook_bridge.restore_remote(mine, remote, jsonb_build_object('secret', wanted -> 'secret'));
    END IF;
    IF mine.desired_active AND NOT (result).active THEN
        RAISE WARNING 'account "%": the webhook is not active at its provider', account
            USING DETAIL = format('It is registered for topic "%s", and nothing will be delivered.', topic),
                  HINT = 'The provider has to reach the delivery URL; switch it on with webhook_bridge.set_webhook_active().';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION webhook_bridge.register_webhook(text, text, text, text, boolean, jsonb) IS
'Registers a webhook at the account''s provider, or adopts the one that has the same topic and URL there; again, tells the provider what has changed since, the secret too. The endpoint must be committed before. active: null leaves the switch as it is';

CREATE FUNCTION webhook_bridge.adopt_webhook(account text, remote_id text, endpoint text)
RETURNS webhook_bridge.webhook_info
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
#variable_conflict use_variable
DECLARE
    owner webhook_bridge.accounts := webhook_bridge.account_row(account);
    mine webhook_bridge.webhooks;
    remote webhook_bridge.remote_webhook;
BEGIN
    PERFORM webhook_bridge.check_endpoint_for(owner, endpoint, NULL);
    SELECT * INTO remote FROM webhook_bridge.remote_call(owner, 'get', jsonb_build_object('remote_id', remote_id));
    IF (remote).topic IS NULL THEN
        RAISE EXCEPTION 'webhook "%" of account "%" cannot be adopted', remote_id, account
            USING ERRCODE = 'WB017',
                  DETAIL = 'The provider does not say what its topic is.',
                  HINT = 'Register another one with webhook_bridge.register_webhook(), and delete this there.';
    END IF;
    -- before anything is changed there
    PERFORM webhook_bridge.check_endpoint_for(owner, endpoint, (remote).topic);
    BEGIN
        INSERT INTO webhook_bridge.webhooks AS w (account, endpoint, topic, remote_id, label, options, desired_active)
        VALUES (owner.name, endpoint, (remote).topic, (remote).remote_id, (remote).label, coalesce((remote).options, '{}'),
                coalesce((remote).active, true))
        ON CONFLICT ON CONSTRAINT webhooks_registration_key DO UPDATE
        SET desired_active = excluded.desired_active, remote_id = coalesce(w.remote_id, excluded.remote_id)
        RETURNING w.* INTO mine;
    EXCEPTION
        WHEN unique_violation THEN
            SELECT w.* INTO mine FROM webhook_bridge.webhooks w WHERE w.account = owner.name AND w.remote_id = (remote).remote_id;
            RAISE EXCEPTION 'webhook "%" of account "%" is known here already', remote_id, account
                USING ERRCODE = 'object_in_use',
                      DETAIL = format('It is webhook %s, of topic "%s" and endpoint "%s".', mine.id, mine.topic, mine.endpoint),
                      HINT = 'Change it with webhook_bridge.update_webhook().';
    END;
    IF mine.remote_id <> (remote).remote_id THEN
        RAISE EXCEPTION 'endpoint "%" has a webhook of topic "%" already', endpoint, mine.topic
            USING ERRCODE = 'object_in_use',
                  DETAIL = format('It is webhook %s, "%s" at the provider.', mine.id, mine.remote_id),
                  HINT = 'With both, every event would arrive twice: delete it first with webhook_bridge.delete_webhook().';
    END IF;
    RETURN webhook_bridge.restore_remote(mine, remote, jsonb_build_object('secret', webhook_bridge.webhook_secret(owner, endpoint)));
END
$$;
COMMENT ON FUNCTION webhook_bridge.adopt_webhook(text, text, text) IS
'Takes over a webhook that was registered elsewhere: its deliveries arrive at the endpoint from then on, signed with its secret';

CREATE FUNCTION webhook_bridge.update_webhook(
    id bigint,
    topic text DEFAULT NULL,
    endpoint text DEFAULT NULL,
    label text DEFAULT NULL,
    active boolean DEFAULT NULL,
    options jsonb DEFAULT NULL)
RETURNS webhook_bridge.webhook_info
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
#variable_conflict use_variable
DECLARE
    old webhook_bridge.webhooks := webhook_bridge.webhook_row(id);
    mine webhook_bridge.webhooks;
    owner webhook_bridge.accounts := webhook_bridge.account_row(old.account);
    managed boolean := webhook_bridge.has_api(owner);
    remote webhook_bridge.remote_webhook;
    result webhook_bridge.webhook_info;
    changes jsonb;
BEGIN
    IF managed AND old.remote_id IS NULL AND old.desired_active THEN
        RAISE EXCEPTION 'webhook % is not registered', id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Its state is "%s".', old.remote_state),
                  HINT = 'Register it with webhook_bridge.register_webhook().';
    END IF;
    PERFORM webhook_bridge.check_endpoint_for(owner, coalesce(endpoint, old.endpoint), coalesce(topic, old.topic));
    BEGIN
        UPDATE webhook_bridge.webhooks w
        SET topic = coalesce(topic, w.topic), endpoint = coalesce(endpoint, w.endpoint), label = coalesce(label, w.label),
            options = w.options || coalesce(options, '{}')
        WHERE w.id = id
        RETURNING w.* INTO mine;
    EXCEPTION
        WHEN unique_violation THEN
            RAISE EXCEPTION 'endpoint "%" has a webhook of topic "%" already', coalesce(endpoint, old.endpoint), coalesce(topic, old.topic)
                USING ERRCODE = 'object_in_use',
                      DETAIL = 'With both, every event would arrive twice.',
                      HINT = 'Delete one of them with webhook_bridge.delete_webhook().';
    END;
    changes := jsonb_build_object(
        'topic', nullif(mine.topic, old.topic), 'label', label, 'delivery_url', webhook_bridge.delivery_url(mine.endpoint),
        'secret', webhook_bridge.webhook_secret(owner, mine.endpoint));
    IF NOT managed THEN
        result := webhook_bridge.record_manual(mine);
    ELSIF mine.remote_id IS NULL THEN
        -- switched off by deleting it: nothing is there to be changed
        PERFORM webhook_bridge.remote_request(owner, 'create', changes || jsonb_build_object('topic', mine.topic, 'options', mine.options));
        result := webhook_bridge.describe_wanted(mine);
    ELSE
        -- raises what is wrong with them before anything is sent; what is there is not known yet
        PERFORM webhook_bridge.remote_request(owner, 'update', changes || jsonb_build_object(
                    'remote_id', mine.remote_id, 'options', mine.options, 'current', old.options));
        SELECT * INTO remote FROM webhook_bridge.remote_call(owner, 'get', jsonb_build_object('remote_id', mine.remote_id));
        mine.desired_active := coalesce((remote).active, mine.desired_active);    -- not asked for
        result := webhook_bridge.restore_remote(mine, remote, changes);
    END IF;
    IF active IS NOT NULL THEN
        RETURN webhook_bridge.set_webhook_active(id, active);
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION webhook_bridge.update_webhook(bigint, text, text, text, boolean, jsonb) IS
'Changes a webhook at its provider; what is null, and options that are not given, stay as they are. URL and secret become those of the endpoint';

CREATE FUNCTION webhook_bridge.set_webhook_active(id bigint, active boolean)
RETURNS webhook_bridge.webhook_info
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
#variable_conflict use_variable
DECLARE
    mine webhook_bridge.webhooks := webhook_bridge.webhook_row(id);
    owner webhook_bridge.accounts := webhook_bridge.account_row(mine.account);
    switch boolean := webhook_bridge.has_switch(owner);
    remote webhook_bridge.remote_webhook;
BEGIN
    IF active IS NULL THEN
        RAISE EXCEPTION 'active must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    UPDATE webhook_bridge.webhooks w SET desired_active = active WHERE w.id = id RETURNING w.* INTO mine;
    IF NOT webhook_bridge.has_api(owner) THEN
        RAISE NOTICE 'people have to be asked, with the text that webhook_bridge.registration_request() makes';
        RETURN webhook_bridge.record_manual(mine);
    END IF;
    IF active AND NOT switch THEN
        RETURN webhook_bridge.register_webhook(mine.account, mine.topic, mine.endpoint, mine.label, true, mine.options);
    END IF;

    IF mine.remote_id IS NULL THEN
        -- a call whose transaction was lost may have made it
        remote := webhook_bridge.remote_find(owner, mine.topic, webhook_bridge.delivery_url(mine.endpoint));
    ELSE
        remote := webhook_bridge.remote_get(owner, mine.remote_id);
    END IF;
    IF (remote).remote_id IS NULL AND active THEN
        RETURN webhook_bridge.register_webhook(mine.account, mine.topic, mine.endpoint, mine.label, true, mine.options);
    ELSIF (remote).remote_id IS NULL OR NOT switch THEN
        -- what is not there is not active; where there is no switch, it is deleted
        mine.remote_id := (remote).remote_id;
        IF mine.remote_id IS NOT NULL THEN
            PERFORM webhook_bridge.delete_remote(owner, mine);
        END IF;
        UPDATE webhook_bridge.webhooks w SET remote_id = NULL, remote_state = 'inactive', checked_at = clock_timestamp()
        WHERE w.id = id
        RETURNING w.* INTO mine;
        RETURN webhook_bridge.describe_wanted(mine);
    END IF;
    IF (remote).active IS DISTINCT FROM active THEN
        remote := webhook_bridge.change_remote(owner, remote, jsonb_build_object('active', active));
    END IF;
    PERFORM webhook_bridge.seen(id, remote);
    RETURN webhook_bridge.describe_webhook(owner, remote, webhook_bridge.account_secrets(owner));
END
$$;
COMMENT ON FUNCTION webhook_bridge.set_webhook_active(bigint, boolean) IS
'Stops or resumes the deliveries of a webhook. Where a provider has no such switch, it is deleted there and registered again; where people register, it is recorded for them';

CREATE FUNCTION webhook_bridge.delete_remote(account webhook_bridge.accounts, webhook webhook_bridge.webhooks)
RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id text := (webhook).remote_id;
BEGIN
    IF id IS NULL THEN
        -- made by a call whose transaction was lost, or not there
        id := (webhook_bridge.remote_find(
                   account, (webhook).topic, webhook_bridge.delivery_url((webhook).endpoint))).remote_id;
    END IF;
    IF id IS NOT NULL THEN
        PERFORM FROM webhook_bridge.remote_call(account, 'delete', jsonb_build_object('remote_id', id));
    END IF;
EXCEPTION
    WHEN SQLSTATE 'WB012' THEN
        NULL;    -- that is what was wanted
END
$$;
COMMENT ON FUNCTION webhook_bridge.delete_remote(webhook_bridge.accounts, webhook_bridge.webhooks) IS
'Private: deletes a webhook at its provider, unless it is not there any more';

CREATE FUNCTION webhook_bridge.delete_webhook(id bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
DECLARE
    mine webhook_bridge.webhooks := webhook_bridge.webhook_row(id);
BEGIN
    IF mine.remote_state = 'manual' THEN
        RAISE NOTICE 'webhook % was registered by people, who have to be asked to remove it', id;
    ELSE
        PERFORM webhook_bridge.delete_remote(webhook_bridge.account_row(mine.account), mine);
    END IF;
    DELETE FROM webhook_bridge.webhooks w WHERE w.id = delete_webhook.id;
END
$$;
COMMENT ON FUNCTION webhook_bridge.delete_webhook(bigint) IS
'Deletes a webhook at its provider and here';

-- A webhook of ours is the one at the provider that has its id, else the oldest one
-- that has its topic and URL.  The receiver is the endpoint that has the URL.
CREATE FUNCTION webhook_bridge.compare_webhooks(account webhook_bridge.accounts)
RETURNS TABLE (here webhook_bridge.webhooks, there webhook_bridge.remote_webhook, receiver text)
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH receivers AS MATERIALIZED (
        SELECT e.name, webhook_bridge.delivery_url(e.name) AS url FROM webhook_bridge.endpoints e
        WHERE e.provider = (compare_webhooks.account).provider
          AND coalesce(e.account, (compare_webhooks.account).name) = (compare_webhooks.account).name
    ), here AS MATERIALIZED (
        SELECT w, w.id, w.remote_id, w.topic, webhook_bridge.delivery_url(w.endpoint) AS url
        FROM webhook_bridge.webhooks w WHERE w.account = (compare_webhooks.account).name
    ), there AS MATERIALIZED (
        SELECT DISTINCT ON (r.remote_id) r.remote_id, r.topic, r.delivery_url, r.label, r.active, r.options, r.created_at, r.updated_at
        FROM webhook_bridge.remote_list(compare_webhooks.account, '{}') AS r ORDER BY r.remote_id
    ), known AS (
        SELECT h.id, t.remote_id FROM here h JOIN there t ON t.remote_id = h.remote_id
    ), pairs AS (
        SELECT k.id, k.remote_id FROM known k
        UNION ALL
        (SELECT DISTINCT ON (h.id) h.id, t.remote_id
         FROM here h JOIN there t ON t.topic = h.topic AND t.delivery_url = h.url
         WHERE NOT EXISTS (SELECT FROM known k WHERE k.id = h.id OR k.remote_id = t.remote_id)
         ORDER BY h.id, t.active DESC NULLS LAST, t.created_at, length(t.remote_id), t.remote_id COLLATE "C")
    )
    -- not the whole objects: who changes one reads it again
    SELECT h.w, CASE WHEN t.remote_id IS NOT NULL THEN
               ROW(t.remote_id, t.topic, t.delivery_url, t.label, t.active, t.options, t.created_at, t.updated_at, NULL,
                   NULL, NULL, NULL, NULL)::webhook_bridge.remote_webhook END, r.name
    FROM here h LEFT JOIN pairs p ON p.id = h.id FULL JOIN there t ON t.remote_id = p.remote_id
         LEFT JOIN receivers r ON r.url = t.delivery_url
    ORDER BY h.id NULLS LAST, t.created_at, length(t.remote_id), t.remote_id COLLATE "C";
END;
COMMENT ON FUNCTION webhook_bridge.compare_webhooks(webhook_bridge.accounts) IS
'Private: the webhooks of an account, here and at its provider, side by side';

CREATE FUNCTION webhook_bridge.sync_webhooks(account text, repair boolean DEFAULT false)
RETURNS TABLE (id bigint, endpoint text, topic text, remote_id text, difference text, wanted jsonb, actual jsonb, repaired boolean, error text)
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
#variable_conflict use_column
DECLARE
    owner webhook_bridge.accounts := webhook_bridge.account_row(account);
    switch boolean := webhook_bridge.has_switch(owner);
    pair record;
    mine webhook_bridge.webhooks;
    remote webhook_bridge.remote_webhook;
    twin webhook_bridge.webhooks;
    secrets text[] := webhook_bridge.account_secrets(owner);
    options jsonb;
    options_there jsonb := '{}';    -- of our webhooks, by id
    code text;
    more text;
BEGIN
    IF NOT webhook_bridge.has_api(owner) THEN
        RETURN QUERY SELECT w.id, w.endpoint, w.topic, w.remote_id, 'unknown', NULL::jsonb, NULL::jsonb, NULL::boolean, NULL::text
                     FROM webhook_bridge.webhooks w WHERE w.account = owner.name ORDER BY w.id;
        RETURN;
    END IF;
    IF repair THEN
        -- what was done to them meanwhile would not be in the list
        PERFORM FROM webhook_bridge.webhooks w WHERE w.account = owner.name ORDER BY w.id FOR UPDATE;
    END IF;
    FOR pair IN SELECT c.here, c.there, c.receiver FROM webhook_bridge.compare_webhooks(owner) AS c LOOP
        mine := pair.here; remote := pair.there;
        id := mine.id; endpoint := mine.endpoint; topic := coalesce(mine.topic, (remote).topic);
        remote_id := coalesce((remote).remote_id, mine.remote_id);
        difference := NULL; wanted := NULL; actual := NULL; repaired := NULL; error := NULL;
        IF mine.id IS NULL THEN
            difference := 'not known here';
            actual := jsonb_build_object('delivery_url', webhook_bridge.mask_token(owner, (remote).delivery_url),
                                         'active', (remote).active, 'options', (remote).options);
            actual := webhook_bridge.mask_secrets(jsonb_strip_nulls(actual), secrets);
            -- one that delivers to an endpoint is ours, or one too many, or for another
            -- shop or filter, which is somebody's business
            SELECT w.* INTO twin FROM webhook_bridge.webhooks w
            WHERE w.account = owner.name AND w.endpoint = pair.receiver AND w.topic = (remote).topic;
            IF NOT FOUND THEN
                endpoint := pair.receiver;
            ELSIF (remote).active IS NOT FALSE AND options_there -> twin.id::text = coalesce((remote).options, '{}') THEN
                difference := 'duplicate'; endpoint := twin.endpoint; id := twin.id;
            END IF;
        ELSIF (remote).remote_id IS NULL THEN
            IF mine.desired_active THEN
                difference := 'missing';
            END IF;
        ELSE
            options_there := options_there || jsonb_build_object(mine.id, coalesce((remote).options, '{}'));
            wanted := webhook_bridge.differences(
                jsonb_build_object('topic', mine.topic, 'delivery_url', webhook_bridge.delivery_url(mine.endpoint),
                                   'label', mine.label, 'active', mine.desired_active),
                to_jsonb(remote));
            options := webhook_bridge.differences(mine.options, (remote).options);
            IF options <> '{}' THEN
                wanted := wanted || jsonb_build_object('options', options);
            END IF;
            IF mine.remote_id IS DISTINCT FROM (remote).remote_id THEN
                wanted := wanted || jsonb_build_object('remote_id', mine.remote_id);
            END IF;
            actual := (SELECT jsonb_object_agg(k, to_jsonb(remote) -> k) FROM jsonb_object_keys(wanted) AS k);
            IF options <> '{}' THEN
                actual := actual || jsonb_build_object('options', (
                    SELECT jsonb_object_agg(k, (remote).options -> k) FROM jsonb_object_keys(options) AS k));
            END IF;
            wanted := webhook_bridge.mask_secrets(webhook_bridge.mask_token(owner, wanted::text)::jsonb, secrets);
            actual := webhook_bridge.mask_secrets(webhook_bridge.mask_token(owner, actual::text)::jsonb, secrets);
            IF wanted <> '{}' THEN
                difference := 'changed';
            ELSE
                wanted := NULL;
            END IF;
        END IF;

        IF repair AND difference IS NOT NULL AND endpoint IS NOT NULL THEN
            BEGIN
                CASE difference
                    WHEN 'duplicate' THEN
                        twin.remote_id := (remote).remote_id;
                        PERFORM webhook_bridge.delete_remote(owner, twin);
                    WHEN 'not known here' THEN
                        SELECT a.id INTO id FROM webhook_bridge.adopt_webhook(owner.name, (remote).remote_id, endpoint) AS a;
                    WHEN 'missing' THEN
                        SELECT r.remote_id INTO remote_id FROM webhook_bridge.register_webhook(
                            mine.account, mine.topic, mine.endpoint, mine.label, true, mine.options) AS r;
                    WHEN 'changed' THEN
                        PERFORM webhook_bridge.restore_remote(mine, remote,
                                    jsonb_build_object('secret', webhook_bridge.webhook_secret(owner, mine.endpoint)));
                        IF NOT switch AND NOT mine.desired_active THEN
                            PERFORM webhook_bridge.set_webhook_active(mine.id, false);
                        END IF;
                END CASE;
                repaired := true;
            EXCEPTION
                -- what is wrong with the account or the connection is so for the others too
                WHEN SQLSTATE 'WB001' OR SQLSTATE 'WB002' OR SQLSTATE 'WB003' OR SQLSTATE 'WB011' OR SQLSTATE 'WB015' THEN
                    RAISE;
                WHEN others THEN
                    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, error = MESSAGE_TEXT, more = PG_EXCEPTION_DETAIL;
                    error := concat_ws(' ', code || ':', error || '.', more);
                    repaired := false;
            END;
        ELSIF repair AND mine.remote_id IS NOT NULL THEN
            PERFORM webhook_bridge.seen(mine.id, remote);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION webhook_bridge.sync_webhooks(text, boolean) IS
'What is wanted here and what is at the provider, row by row: difference is null where they agree. Nothing is changed unless repair is true; then what is wanted is restored, what delivers to an endpoint is adopted, and what delivers the same once more is deleted';

CREATE FUNCTION webhook_bridge.registration_request(endpoint text, options jsonb DEFAULT '{}')
RETURNS text
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_plan = off
AS $$
DECLARE
    kind webhook_bridge.providers;
    asked jsonb := '{}';
    name text;
    value jsonb;
    result text;
BEGIN
    SELECT p.* INTO kind FROM webhook_bridge.endpoints e JOIN webhook_bridge.providers p ON p.name = e.provider
    WHERE e.name = registration_request.endpoint;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'endpoint "%" does not exist', endpoint
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT name FROM webhook_bridge.endpoints shows those there are.';
    END IF;
    IF kind.registration_function IS NULL THEN
        RAISE EXCEPTION 'nobody has to be asked for webhooks of provider "%"', kind.name
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Register them with webhook_bridge.register_webhook().';
    END IF;
    IF NOT EXISTS (SELECT FROM webhook_bridge.webhooks w WHERE w.endpoint = registration_request.endpoint) THEN
        RAISE EXCEPTION 'there is nothing to ask for'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('No webhook is registered for endpoint "%s".', endpoint),
                  HINT = 'Say what is wanted with webhook_bridge.register_webhook(), once for each topic.';
    END IF;
    FOR name, value IN
        SELECT o.key, o.value FROM webhook_bridge.webhooks w, jsonb_each(w.options) AS o
        WHERE w.endpoint = registration_request.endpoint AND w.desired_active ORDER BY w.id
    LOOP
        -- one text asks for all of them
        asked := asked || jsonb_build_object(name,
            CASE WHEN jsonb_typeof(asked -> name) = 'object' AND jsonb_typeof(value) = 'object' THEN asked -> name || value ELSE value END);
    END LOOP;
    EXECUTE format('SELECT %s($1, $2, $3)', kind.registration_function) INTO result
    USING webhook_bridge.delivery_url(endpoint),
          ARRAY(SELECT w.topic FROM webhook_bridge.webhooks w
                WHERE w.endpoint = registration_request.endpoint AND w.desired_active ORDER BY w.id),
          asked || coalesce(options, '{}');
    RETURN result;
END
$$;
COMMENT ON FUNCTION webhook_bridge.registration_request(text, jsonb) IS
'The text to send to a provider where people register webhooks: URL, topics and what else they have to know; or that they shall remove them, if none is wanted any more';
