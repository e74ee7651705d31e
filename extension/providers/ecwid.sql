-- Ecwid.  Signs two members of the body and not the body itself: an event is an
-- authentic trigger with content that could have been altered; read the entity
-- again.  The key is the application's client_secret.

-- There is no API: people at Ecwid set an application's one URL, its events and
-- headers after an e-mail.  Each event needs a scope of the application's token.
CREATE FUNCTION webhook_bridge.ecwid_registration(delivery_url text, topics text[], options jsonb)
RETURNS text
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    port text := substring(delivery_url FROM '^[A-Za-z]+://[^/?#]*:([0-9]*)(?:[/?#]|$)');
    headers jsonb;
BEGIN
    IF coalesce(delivery_url, '') !~* '^https://[^/?#@[:space:]]+(/[^#[:space:]]*)?$' THEN
        PERFORM webhook_bridge.bad_option('delivery_url', 'Ecwid delivers to HTTPS only, with the certificate of a public authority.',
                                          'Set webhook_bridge.public_url to how the world reaches the receiver.');
    END IF;
    IF port IS NOT NULL AND (port !~ '^[0-9]{1,5}$' OR port::integer NOT IN (80, 443) AND port::integer NOT BETWEEN 1024 AND 65535) THEN
        PERFORM webhook_bridge.bad_option('delivery_url', format('Ecwid does not deliver to port %s.', left(port, 10)),
                                          'It delivers to 80, 443 and 1024 to 65535.');
    END IF;
    IF topics IS NULL OR array_position(topics, NULL) IS NOT NULL OR '' = ANY (topics)
       OR array_to_string(topics, '') ~ '[[:space:][:cntrl:]]' THEN
        PERFORM webhook_bridge.bad_option('topic', 'It is not an event.', 'For example "order.created".');
    END IF;
    options := webhook_bridge.check_options('options', options, 'application', 'headers');
    headers := coalesce(options -> 'headers', '{}');
    IF jsonb_typeof(headers) <> 'object'
       OR EXISTS (SELECT FROM jsonb_each(headers) AS h
                  WHERE h.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]+$' OR jsonb_typeof(h.value) <> 'string'
                     OR h.value #>> '{}' ~ '[[:cntrl:]]') THEN
        PERFORM webhook_bridge.bad_option('headers', 'They are not a JSON object of header names and values.',
                                          'For example {"X-Shop": "main"}.');
    END IF;

    RETURN concat_ws(E'\n',
        'To: ec.apps@lightspeedhq.com',
        'Subject: Webhooks of our application',
        '',
        CASE WHEN topics = '{}' THEN 'Please remove the webhooks of our application.' ELSE 'Please set up webhooks for our application.' END,
        '',
        'Application (name or client_id): ' || coalesce(options ->> 'application', '................'),
        'Webhook URL: ' || delivery_url,
        E'\nEvents, and the access scopes that they need:\n' ||
        (SELECT string_agg(format('  %s (%s)', t.topic,
                    CASE WHEN t.topic ~ '^(profile|application)[.]|^customer[.]personalData' THEN 'read_store_profile'
                         WHEN t.topic ~ '^(order|unfinished_order)[.]' THEN 'read_orders'
                         WHEN t.topic ~ '^(product|category|product_class)[.]' THEN 'read_catalog'
                         WHEN t.topic ~ '^(customer|customer_group)[.]' THEN 'read_customers'
                         WHEN t.topic ~ '^discount_coupon[.]' THEN 'read_discount_coupons'
                         WHEN t.topic ~ '^promotion[.]' THEN 'read_promotion'
                         WHEN t.topic ~ '^review[.]' THEN 'read_reviews'
                         WHEN t.topic ~ '^invoice[.]' THEN 'read_invoices'
                         ELSE 'scope as documented' END), E'\n' ORDER BY t.place)
         FROM unnest(topics) WITH ORDINALITY AS t(topic, place)),
        CASE WHEN headers <> '{}' AND topics <> '{}' THEN E'\nCustom HTTP headers:\n' ||
            (SELECT string_agg(format('  %s: %s', h.key, h.value), E'\n' ORDER BY h.key COLLATE "C")
             FROM jsonb_each_text(headers) AS h) END,
        '',
        'Thank you.');
END
$$;
COMMENT ON FUNCTION webhook_bridge.ecwid_registration(text, text[], jsonb) IS
'Private: the e-mail that asks Ecwid to set up the webhooks of an application';

INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, signed_content, topic_from,
     external_id_from, source_from, occurred_at_from, registration_function, credentials, account_secret,
     base_url_pattern, base_url_example, topics, remarks, evidence)
VALUES
    ('ecwid', 'Ecwid by Lightspeed', true, 'https://api-docs.ecwid.com/reference/webhook-security',
     'base64', 'header:X-Ecwid-Webhook-Signature', '{json:eventCreated}.{json:eventId}',
     '{json:eventType}', '{json:eventId}', '{json:storeId}', '{json:eventCreated}',
     'webhook_bridge.ecwid_registration', '{client_secret}', 'client_secret',
     '^https?://[^/?#@[:space:]]+(/[^?#[:space:]]*)?$', 'https://app.ecwid.com',
     '{profile.updated,profile.subscriptionStatusChanged,profile.personalDataRemovalRequest,'
     'profile.personalDataExportRequest,order.created,order.updated,order.deleted,unfinished_order.created,'
     'unfinished_order.updated,unfinished_order.deleted,product.created,product.updated,product.deleted,'
     'category.created,category.updated,category.deleted,customer.created,customer.updated,customer.deleted,'
     'customer.personalDataRemovalRequest,customer.personalDataExportRequest,customer_group.created,'
     'customer_group.updated,customer_group.deleted,discount_coupon.created,discount_coupon.updated,'
     'discount_coupon.deleted,promotion.created,promotion.updated,promotion.deleted,product_class.created,'
     'product_class.updated,product_class.deleted,review.created,review.updated,review.deleted,invoice.created,'
     'invoice.deleted,application.installed,application.uninstalled,application.subscriptionStatusChanged,'
     'application.storageChanged}',
     'The secret is the application''s client_secret. Only id and time of the event are signed, not the '
     'rest of the body: read the entity again before trusting it.',
     'vector');
