-- Salesforce Marketing Cloud, Event Notification Service.  A callback is
-- created only if its URL answers 200 to a request with a verification key,
-- before the signature key is known.  A delivery is a list of events.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, encoding, signature_from, remarks, evidence)
VALUES
    ('salesforce_ens', 'Salesforce Marketing Cloud (ENS)', true,
     'https://developer.salesforce.com/docs/marketing/marketing-cloud/guide/ens-notification-signing.html',
     'base64', 'header:x-sfmc-ens-signature',
     'The secret is the callback''s signature key, as it stands. Create the endpoint with '
     'allow_unverified: the first event brings callbackId and verificationKey for Salesforce''s '
     'ens-verify; then add the key and turn allow_unverified off. A delivery is a list of events.',
     'documentation');
