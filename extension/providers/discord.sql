-- Discord.  Interactions are checked by a request of type 1, which is also the
-- type of webhook events; those have a member "event" and must not be taken for
-- handshakes.  Discord also sends wrong signatures and wants 401.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, signed_content, secret_encoding,
     timestamp_from, timestamp_format, tolerance, topic_from, external_id_from, source_from,
     handshake_if, handshake_equals, handshake_reply, handshake_type, remarks, evidence)
VALUES
    ('discord', 'Discord', true, 'https://docs.discord.com/developers/interactions/overview',
     'ed25519', 'header:X-Signature-Ed25519', '{ts}{body}', 'hex',
     'header:X-Signature-Timestamp', 's', '5 minutes',
     '{json:event.type}', '{json:id}', '{json:application_id}',
     '{json:type} {json:event.type?}', '1 ', '{{"type":1}}', 'application/json',
     'The secret is the application''s public key, hex. Interactions are stored, but not answered as '
     'Discord''s users expect. Webhook events begin with a check that wants the answer 204, and gets 200. '
     'Discord states no window of time; 5 minutes are assumed.',
     'vector');
