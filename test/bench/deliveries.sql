-- Prints deliveries for deliver.lua: path, signature and body of each.
--     provider, bytes    of the endpoint and the bodies
--     count              how many
--     endpoints          0: all go to PROVIDER-BYTES; else to so many endpoints
--                        named endpoint-N, evenly
-- Signed by pgcrypto, which knows nothing of us.  The secret is a digest of the
-- endpoint's name.
COPY (
    SELECT '/hooks/' || endpoint, encode(hmac(convert_to(body, 'UTF8'), md5(endpoint)::bytea, 'sha256'), 'hex'), body
    FROM generate_series(0, :count - 1) i,
         LATERAL (SELECT CASE WHEN :endpoints = 0 THEN format('%s-%s', :'provider', :bytes)
                         ELSE 'endpoint-' || i::bigint * :endpoints / :count END AS endpoint,
                         format('{"id": %s, "reference": "CMD-%s", "customer": {"name": "Amina", "phone": "05%s"}, "total": %s.50, "note": "',
                                1000000 + i, lpad(i::text, 6, '0'), lpad((i * 7919 % 100000000)::text, 8, '0'), i * 13) AS start) d,
         LATERAL (SELECT rpad(start, :bytes - 2, 'The quick brown fox jumps over the lazy dog. ') || '"}' AS body) b
) TO STDOUT;
