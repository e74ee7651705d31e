<?php

// verify.php
//
// Reads JSON lines, each a signed delivery { provider, secret, body (hex),
// headers }, and prints for each whether its receiver would accept it, judging
// as the providers' documentation says.

declare(strict_types=1);

require __DIR__ . '/signatures.php';

while (($line = fgets(STDIN)) !== false) {
    $delivery = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
    $headers = $delivery['headers'];
    $secret = $delivery['secret'];
    $body = hex2bin($delivery['body']);
    [$name, $expected] = match ($delivery['provider']) {
        'api2cart' => ['X-Webhook-Signature', api2cart_signature($headers, $body, $secret)],
        'ecwid' => ['X-Ecwid-Webhook-Signature', ecwid_signature($body, $secret)],
        'shoplazza' => ['X-Shoplazza-Hmac-Sha256', shoplazza_signature($body, $secret)],
        'ecomanager' => ['X-Ecomanager-Signature', ecomanager_signature($body, $secret)],
    };
    echo hash_equals($expected, $headers[$name] ?? '') ? "accepted\n" : "refused\n";
}
