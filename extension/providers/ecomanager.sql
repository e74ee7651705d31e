-- Ecomanager.  The documentation does not say how the digest is written, hence
-- "auto".  A GET is sent when a webhook is activated and must succeed; with
-- http_method = get deliveries are GETs as well; register with post, because
-- the signature of a GET covers nothing but its empty body.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, encoding, signature_from, get_deliveries, topic_from, source_from,
     webhook_remote_id_from, remarks, evidence)
VALUES
    ('ecomanager', 'Ecomanager', true,
     'auto', 'header:X-Ecomanager-Signature',
     true,
     '{header:X-Ecomanager-Event}', '{header:X-Ecomanager-Source}', '{header:X-Ecomanager-Webhook-ID}',
     'The secret is the webhook''s. Create the endpoint before the webhook and register with http_method '
     'post. Topic and source are not signed. The documentation does not say whether the signature is hex '
     'or base64; both are accepted.',
     'documentation');
