-- Coinbase Developer Platform.  The element v1 signs headers whose list is in
-- the signature, which cannot be declared; v0 signs time and body.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, signature_from, list_separator, element_prefix,
     signed_content, timestamp_from, timestamp_format, tolerance, remarks, evidence)
VALUES
    ('coinbase_cdp', 'Coinbase Developer Platform', true,
     'https://docs.cdp.coinbase.com/webhooks/verify-signatures',
     'header:X-Hook0-Signature', ',', 'v0=', '{ts}.{body}',
     'sig:t', 's', '5 minutes',
     'The secret is the subscription''s. Only the element v0 of the signature is verified; a delivery that '
     'has v1 alone, as some of Coinbase''s pages show it, is refused. Topic and id are left empty.',
     'secondary');
