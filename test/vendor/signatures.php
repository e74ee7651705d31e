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
