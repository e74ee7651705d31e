-- Oracle Commerce.
INSERT INTO webhook_bridge.providers
    (name, title, builtin, docs_url, algorithm, encoding, signature_from, remarks, evidence)
VALUES
    ('oracle_commerce', 'Oracle Commerce', true,
     'https://docs.oracle.com/en/cloud/saas/cx-commerce/ccdev/secure-webhooks.html',
     'hmac-sha512', 'base64', 'header:X-Oracle-CC-WebHook-Signature',
     'The secret is the webhook''s secret key, as it stands. Topic and id are left empty.', 'documentation');
