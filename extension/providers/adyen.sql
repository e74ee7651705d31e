-- Adyen, payments.  Signature and signed members are in the body; only the
-- first of its items is looked at, and Adyen sends one unless asked for more.
-- Adyen recognises duplicates by two members of which a later delivery may
-- change others, hence no id.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, signed_content, secret_encoding,
     topic_from, source_from, occurred_at_from, occurred_at_format, remarks, evidence)
VALUES
    ('adyen', 'Adyen (payments)', true,
     'https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures',
     'base64', 'json:notificationItems.0.NotificationRequestItem.additionalData.hmacSignature',
     '{json:notificationItems.0.NotificationRequestItem.pspReference}:'
     '{json:notificationItems.0.NotificationRequestItem.originalReference?}:'
     '{json:notificationItems.0.NotificationRequestItem.merchantAccountCode}:'
     '{json:notificationItems.0.NotificationRequestItem.merchantReference}:'
     '{json:notificationItems.0.NotificationRequestItem.amount.value}:'
     '{json:notificationItems.0.NotificationRequestItem.amount.currency}:'
     '{json:notificationItems.0.NotificationRequestItem.eventCode}:'
     '{json:notificationItems.0.NotificationRequestItem.success}',
     'hex',
     '{json:notificationItems.0.NotificationRequestItem.eventCode}',
     '{json:notificationItems.0.NotificationRequestItem.merchantAccountCode}',
     '{json:notificationItems.0.NotificationRequestItem.eventDate}', 'iso8601',
     'The secret is the HMAC key, hex. References, account, amount, event code and success are signed, '
     'the rest of the body is not. Only for one item per message, which is Adyen''s default: further items '
     'would not be verified.',
     'vector');
