-- Meta: Facebook, Instagram, WhatsApp.  A subscription is checked by a GET that
-- carries a token of your choice.  A delivery may hold several entries, each
-- with several changes; topic and source are of the first.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, element_prefix, topic_from, source_from,
     handshake_if, handshake_equals, handshake_reply, handshake_signed, remarks, evidence)
VALUES
    ('meta', 'Meta (Facebook, Instagram, WhatsApp)', true,
     'https://developers.facebook.com/docs/graph-api/webhooks/getting-started',
     'header:X-Hub-Signature-256', 'sha256=',
     '{json:object}', '{json:entry.0.id}',
     '{method} {query:hub.mode} {query:hub.verify_token}', 'GET subscribe {param:verify_token}',
     '{query:hub.challenge}', false,
     'The secret is the application''s secret; enter the verify token as params => ''{"verify_token": '
     '"..."}'' before subscribing. A delivery may hold several entries. All of this is general knowledge.',
     'unchecked');
