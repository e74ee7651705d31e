-- Coinbase Commerce.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, topic_from, external_id_from,
     occurred_at_from, occurred_at_format, remarks, evidence)
VALUES
    ('coinbase_commerce', 'Coinbase Commerce', true,
     'https://docs.cdp.coinbase.com/commerce/api-arcitecture/webhooks-security',
     'header:X-CC-Webhook-Signature',
     '{json:event.type}', '{json:event.id}', '{json:event.created_at}', 'iso8601',
     'The secret is the webhook''s shared secret.', 'vector');
