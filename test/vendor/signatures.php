<?php

// Signatures as the providers document them, in the language of their examples.

// https://api2cart.com/docs/working-with-webhooks/: the X-Webhook-* headers
// sorted by name, as JSON, and the body after them.
function api2cart_signature(array $headers, string $body, string $store_key): string
{
    $signed = [];
    foreach ($headers as $name => $value) {
        if (str_starts_with($name, 'X-Webhook-') && $name !== 'X-Webhook-Signature') {
            $signed[$name] = (string) $value;
        }
    }
    ksort($signed);
    return base64_encode(hash_hmac('sha256', json_encode($signed) . $body, $store_key, true));
}

// https://api-docs.ecwid.com/reference/webhook-security: two members of the
// decoded body.
function ecwid_signature(string $body, string $client_secret): string
{
    $event = json_decode($body, true, 512, JSON_THROW_ON_ERROR);
    $signed = $event['eventCreated'] . '.' . $event['eventId'];
    return base64_encode(hash_hmac('sha256', $signed, $client_secret, true));
}

// https://www.shoplazza.dev/docs/app/building-blocks/webhooks/overview
function shoplazza_signature(string $body, string $client_secret): string
{
    return base64_encode(hash_hmac('sha256', $body, $client_secret, true));
}

// Ecomanager documents HMAC-SHA256 of the body and not how it is written; this
// is what PHP's hash_hmac gives.
function ecomanager_signature(string $body, string $secret): string
{
    return hash_hmac('sha256', $body, $secret);
}

// The headers that a delivery carries, of providers that sign as follows.
// $secret is a private key where there is one, $ms the time in milliseconds.
function documented_headers(string $provider, string $secret, string $body, string $url, int $ms): array
{
    $time = intdiv($ms, 1000);
    $base64 = fn(string $algorithm, string $text, string $key): string =>
        base64_encode(hash_hmac($algorithm, $text, $key, true));
    return match ($provider) {
        // https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures
        'adyen_platform' => ['HmacSignature' => $base64('sha256', $body, hex2bin($secret))],
        // https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
        'hubspot_v1' => ['X-HubSpot-Signature' => hash('sha256', $secret . $body)],
        'hubspot_v2' => ['X-HubSpot-Signature' => hash('sha256', $secret . 'POST' . $url . $body)],
        'hubspot_v3' => ['X-HubSpot-Request-Timestamp' => (string) $ms,
            'X-HubSpot-Signature-v3' => $base64('sha256', 'POST' . $url . $body . $ms, $secret)],
        // https://docs.oracle.com/en/cloud/saas/cx-commerce/ccdev/secure-webhooks.html
        'oracle_commerce' => ['X-Oracle-CC-WebHook-Signature' => $base64('sha512', $body, $secret)],
        // https://developer.paypal.com/api/rest/webhooks/rest/#message-verification
        'paypal' => paypal_headers($secret, $body, gmdate('Y-m-d\TH:i:s\Z', $time)),
        // https://paystack.com/docs/payments/webhooks/
        'paystack' => ['x-paystack-signature' => hash_hmac('sha512', $body, $secret)],
        // https://docs.slack.dev/authentication/verifying-requests-from-slack/
        'slack' => ['X-Slack-Request-Timestamp' => (string) $time,
            'X-Slack-Signature' => 'v0=' . hash_hmac('sha256', "v0:$time:$body", $secret)],
        // https://developer.squareup.com/docs/webhooks/step3validate
        'square' => ['x-square-hmacsha256-signature' => $base64('sha256', $url . $body, $secret)],
        // https://vercel.com/docs/webhooks
        'vercel' => ['x-vercel-signature' => hash_hmac('sha1', $body, $secret)],
    };
}

const PAYPAL_WEBHOOK_ID = '8PT597110X687430LKGECATA';

function paypal_content(string $id, string $time, string $body): string
{
    return implode('|', [$id, $time, PAYPAL_WEBHOOK_ID, sprintf('%u', crc32($body))]);
}

function paypal_headers(string $private_key, string $body, string $time): array
{
    $id = '69cd13f0-d67a-11e5-baa3-778b53f4ae55';
    openssl_sign(paypal_content($id, $time, $body), $signature, $private_key, OPENSSL_ALGO_SHA256);
    return ['PAYPAL-TRANSMISSION-ID' => $id, 'PAYPAL-TRANSMISSION-TIME' => $time,
        'PAYPAL-TRANSMISSION-SIG' => base64_encode($signature)];
}
