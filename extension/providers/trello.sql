-- Trello.  Before a webhook is made the URL is called with HEAD, which any
-- endpoint answers.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, encoding, signature_from, signed_content,
     topic_from, external_id_from, source_from, occurred_at_from, occurred_at_format, remarks,
     evidence)
VALUES
    ('trello', 'Trello', true, 'https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/',
     'hmac-sha1', 'base64', 'header:X-Trello-Webhook', '{body}{url}',
     '{json:action.type}', '{json:action.id}', '{json:model.id}', '{json:action.date}', 'iso8601',
     'The secret is the application''s secret. The URL is signed: webhook_bridge.public_url must give it '
     'as it was registered. An action that several webhooks tell to one endpoint is stored once. All of '
     'this is general knowledge.',
     'unchecked');
