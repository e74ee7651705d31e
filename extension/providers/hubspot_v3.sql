-- HubSpot, version 3.  Signs method and URL as well, so public_url must be the
-- URL that HubSpot calls.
-- Each attempt has its number in the body, so that no content identifies it.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, signed_content, timestamp_from,
     timestamp_format, tolerance, topic_from, source_from, occurred_at_from, occurred_at_format,
     content_from, remarks, evidence)
VALUES
    ('hubspot_v3', 'HubSpot (v3)', true,
     'https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation',
     'base64', 'header:X-HubSpot-Signature-v3', '{method}{url}{body}{ts}',
     'header:X-HubSpot-Request-Timestamp', 'ms', '5 minutes',
     '{json:0.subscriptionType}', '{json:0.portalId}', '{json:0.occurredAt}', 'ms',
     NULL,
     'The secret is the application''s client secret. The URL is signed: webhook_bridge.public_url must be '
     'right. A delivery is a list of events; topic, source and time are those of the first.',
     'vector');
