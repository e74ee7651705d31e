-- HubSpot, version 1: a plain digest of secret and body.
-- Each attempt has its number in the body, so that no content identifies it.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, signature_from, signed_content, topic_from,
     source_from, occurred_at_from, occurred_at_format, content_from, remarks, evidence)
VALUES
    ('hubspot_v1', 'HubSpot (v1)', true,
     'https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation',
     'sha256', 'header:X-HubSpot-Signature', '{secret}{body}',
     '{json:0.subscriptionType}', '{json:0.portalId}', '{json:0.occurredAt}', 'ms',
     NULL,
     'The secret is the application''s client secret. Prefer hubspot_v3: to a plain digest, whoever has seen a delivery can append. A delivery is a list of events; '
     'topic, source and time are those of the first.',
     'vector');
