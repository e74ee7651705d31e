<?php

// verify.php
//
// Reads JSON lines, each a signed delivery { provider, secret, body (hex),
// headers, url }, and prints for each whether its receiver would accept it, judging
// as the providers' documentation says.

declare(strict_types=1);

require __DIR__ . '/signatures.php';

while (($line = fgets(STDIN)) !== false) {
    $delivery = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
    $headers = $delivery['headers'];
    $secret = $delivery['secret'];
    $body = hex2bin($delivery['body']);
    $accepted = match ($delivery['provider']) {
        'api2cart' => has($headers, ['X-Webhook-Signature' => api2cart_signature($headers, $body, $secret)]),
        'ecwid' => has($headers, ['X-Ecwid-Webhook-Signature' => ecwid_signature($body, $secret)]),
        'shoplazza' => has($headers, ['X-Shoplazza-Hmac-Sha256' => shoplazza_signature($body, $secret)]),
        'ecomanager' => has($headers, ['X-Ecomanager-Signature' => ecomanager_signature($body, $secret)]),
        'paypal' => openssl_verify(
            paypal_content($headers['PAYPAL-TRANSMISSION-ID'], $headers['PAYPAL-TRANSMISSION-TIME'], $body),
            base64_decode($headers['PAYPAL-TRANSMISSION-SIG'], true), $secret, OPENSSL_ALGO_SHA256) === 1,
        default => has($headers, documented_headers($delivery['provider'], $secret, $body, $delivery['url'],
            signed_at($headers))),
    };
    echo $accepted ? "accepted\n" : "refused\n";
}

function has(array $headers, array $expected): bool
{
    foreach ($expected as $name => $value) {
        if (!hash_equals($value, $headers[$name] ?? '')) {
            return false;
        }
    }
    return true;
}

// The time of signing in milliseconds; 0 if it plays no part.
function signed_at(array $headers): int
{
    return (int) ($headers['X-HubSpot-Request-Timestamp'] ?? 1000 * (int) ($headers['X-Slack-Request-Timestamp'] ?? 0));
}
