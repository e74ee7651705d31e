-- Microsoft Graph, change notifications.  Signs nothing; each notification
-- repeats a secret of the subscriber's choice.  Creating a subscription calls
-- the URL with a token that has to be returned.
-- The same resource may change again, so that no content identifies that.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, topic_from, source_from,
     webhook_remote_id_from, handshake_if, handshake_equals, handshake_reply, handshake_signed,
     content_from, remarks, evidence)
VALUES
    ('microsoft_graph', 'Microsoft Graph', true,
     'https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks',
     'token', 'json:value.0.clientState',
     '{json:value.0.changeType}', '{json:value.0.tenantId}', '{json:value.0.subscriptionId}',
     '{method}', 'POST', '{query:validationToken}', false,
     NULL,
     'The secret is the subscription''s clientState, which is sent along and stored with the body: nothing '
     'is signed. A request may hold several notifications; the clientState, topic and source of the first '
     'count. All of this is general knowledge.',
     'unchecked');
