<?php

// send.php URL SECRETS PUBLIC
//
// Delivers as API2Cart, Ecwid and others do: PHP's json_encode, hash_hmac,
// openssl_sign and HTTP.
// SECRETS is a JSON object by endpoint; endpoints are named as providers and
// are at URL/hooks/NAME.  Prints a JSON line per delivery: what was sent and
// answered, and what has to be stored.

declare(strict_types=1);

require __DIR__ . '/signatures.php';

[, $url, $secrets, $public_url] = $argv;
$secrets = json_decode($secrets, true, 512, JSON_THROW_ON_ERROR);

$orders = json_encode(['id' => '1/86', 'name' => 'Café "Zoë" 😀', 'price' => 0.1]);
$raw_utf8 = json_encode(['note' => 'Ünïcödé и 漢字 🛒 a/b'], JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);

// What API2Cart says about itself, and how the cases differ from that.
$known = [
    'X-Webhook-Store-Id' => '1',
    'X-Webhook-Action' => 'update',
    'X-Webhook-Entity' => 'product',
    'X-Webhook-Error-Code' => '0',
    'X-Webhook-Timestamp' => '1516291592',
];
$lost = ['X-Webhook-Error-Code' => '101', 'X-Webhook-Error-Try-Count' => '4'];
$api2cart_cases = [
    'plain' => [],
    'escapes in the body' => ['body' => $orders],
    'UTF-8 in the body' => ['body' => $raw_utf8],
    'another store and entity' => ['headers' => [
        'X-Webhook-Store-Id' => '7/b', 'X-Webhook-Entity' => 'order', 'X-Webhook-Action' => 'add']],
    'lost connection' => ['body' => '', 'headers' => $lost + [
        'X-Webhook-Error-Reason' => 'store https://shop.example.com/admin not found',
        'X-Webhook-Error-Message' => 'Update the "key", otherwise the webhook is disabled.']],
    'lost connection, not ASCII' => ['body' => '', 'headers' => $lost + [
        'X-Webhook-Error-Reason' => 'Clé incorrecte — проверьте ключ',
        'X-Webhook-Error-Message' => 'shop 🛒 closed' . " \u{2028} \u{85} \u{fffd} \u{10ffff}"]],
    'everything that is escaped, and what is not' => ['headers' => [
        'X-Webhook-Error-Message' => "a/b \\ \" \t ' < > & % \u{80} é"]],
    'empty value' => ['headers' => ['X-Webhook-Error-Message' => '']],
    'names in byte order' => ['headers' => [
        'X-Webhook-Zeta' => '1', 'X-Webhook-A1' => '2', 'X-Webhook-A-B' => '3', 'X-Webhook-A' => '4']],
    'names in lower case on the wire' => ['lower' => true, 'headers' => ['X-Webhook-Error-Message' => 'a/b é']],
    'names in upper case on the wire' => ['upper' => true],
    'other headers take no part' => ['unsigned' => ['X-Webhookish' => 'no', 'X-Forwarded-For' => '10.0.0.1']],
    'body is not JSON' => ['body' => "id=86&name=\xff\xfe\x01"],
    'body changed' => ['tampered' => 'body'],
    'header changed' => ['tampered' => 'header'],
];

foreach ($api2cart_cases as $case => $change) {
    $headers = ($change['headers'] ?? []) + $known;
    $body = $change['body'] ?? json_encode(['id' => '86', 'name' => 'test product']);
    $tampered = $change['tampered'] ?? null;
    $code = $headers['X-Webhook-Error-Code'];
    $expected = [
        'topic' => $headers['X-Webhook-Entity'] . '.' . $headers['X-Webhook-Action'],
        'external_id' => null,
        'source' => $headers['X-Webhook-Store-Id'],
        'occurred_at' => (int) $headers['X-Webhook-Timestamp'],
        'error_code' => $code === '0' ? null : $code,
        'has_payload' => json_validates($body),
    ];
    $headers['X-Webhook-Signature'] = api2cart_signature($headers, $body, $secrets['api2cart']);
    if ($tampered === 'header') {
        $headers['X-Webhook-Store-Id'] = '2';
    }
    if ($change['lower'] ?? false) {
        $headers = array_change_key_case($headers, CASE_LOWER);
    }
    if ($change['upper'] ?? false) {
        $headers = array_change_key_case($headers, CASE_UPPER);
    }
    deliver('api2cart', $case, "$url/hooks/api2cart", $headers + ($change['unsigned'] ?? []),
        $body, $tampered, $expected);
}

// Ecwid.  The bodies are texts where json_encode would not write them so.
$order = [
    'eventId' => '80aece08-40e8-4145-8764-6c2f0d386781',
    'eventCreated' => 1469429915,
    'storeId' => 1003,
    'entityId' => 103878161,
    'eventType' => 'order.created',
    'data' => ['orderId' => 'XJ12H', 'newPaymentStatus' => 'PAID'],
];
$ecwid_cases = [
    'plain' => [json_encode($order)],
    'the same again' => [json_encode($order), 'duplicate'],
    'slash and quotes in eventId' => [json_encode(['eventId' => 'a/b"c\\d'] + $order)],
    'not ASCII in eventId, escaped' => [json_encode(['eventId' => 'événement-😀'] + $order)],
    'not ASCII in eventId, as it is' => [json_encode(['eventId' => 'событие-🛒'] + $order, JSON_UNESCAPED_UNICODE)],
    'needless escapes in eventId' => ['{"eventId":"08a7\u0038904\u002d4c1a","eventCreated":1634209655,'
        . '"storeId":1003,"entityId":1,"event\u0054ype":"category.updated"}'],
    'numbers beyond 32 and 53 bits' => [json_encode(['eventId' => 'large', 'eventCreated' => 7891234567,
        'storeId' => PHP_INT_MAX] + $order)],
    'eventId is a number' => [json_encode(['eventId' => 9007199254740993] + $order)],
    'other order, white space' => [json_encode(array_reverse(['eventId' => 'reversed'] + $order),
        JSON_PRETTY_PRINT)],
    'members of the same name inside' => ['{"data":{"eventId":"inner","eventCreated":1,"eventType":"inner"},'
        . '"list":[{"eventId":"inner"}],"eventCreated":1469429916,"storeId":"shop 5","eventType":"product.updated",'
        . '"eventId":"outer"}'],
    'UTF-8 in the body' => [json_encode(['eventId' => 'utf8', 'data' => ['customerEmail' => 'zoë@exämple.com 😀']]
        + $order, JSON_UNESCAPED_UNICODE)],
    'eventId changed' => [json_encode(['eventId' => 'changed'] + $order), 'tampered'],
];

foreach ($ecwid_cases as $case => $parts) {
    [$body, $what] = $parts + [1 => 'stored'];
    $event = json_decode($body, true, 512, JSON_THROW_ON_ERROR);
    $headers = [
        'Content-Type' => 'application/json; charset=UTF-8',
        'Cache-Control' => 'no-cache',
        'X-Ecwid-Webhook-Signature' => ecwid_signature($body, $secrets['ecwid']),
    ];
    $expected = [
        'topic' => $event['eventType'],
        'external_id' => (string) $event['eventId'],
        'source' => (string) $event['storeId'],
        'occurred_at' => $event['eventCreated'],
        'error_code' => null,
        'has_payload' => true,
    ];
    deliver('ecwid', $case, "$url/hooks/ecwid?eventtype=" . urlencode($event['eventType']), $headers,
        $body, $what === 'tampered' ? 'body' : null, $what === 'stored' ? $expected : null);
}

// Others, whose cases are the same.
$documented = [
    'adyen_platform' => ['{"type":"balancePlatform.transfer.created","timestamp":"2024-04-12T12:18:47+02:00"}',
        ['topic' => 'balancePlatform.transfer.created', 'occurred_at' => 1712917127]],
    'hubspot_v1' => ['[{"subscriptionType":"contact.creation","portalId":33,"occurredAt":1564113600000}]',
        ['topic' => 'contact.creation', 'source' => '33', 'occurred_at' => 1564113600]],
    'hubspot_v2' => ['[{"subscriptionType":"contact.deletion","portalId":33,"occurredAt":1564113600000}]',
        ['topic' => 'contact.deletion', 'source' => '33', 'occurred_at' => 1564113600]],
    'hubspot_v3' => ['[{"subscriptionType":"contact.creation","portalId":33,"occurredAt":1564113600000}]',
        ['topic' => 'contact.creation', 'source' => '33', 'occurred_at' => 1564113600]],
    'oracle_commerce' => ['{"type":"order"}', []],
    'paypal' => ['{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED","create_time":"2024-04-12T10:18:47Z"}',
        ['topic' => 'PAYMENT.SALE.COMPLETED', 'external_id' => 'WH-1', 'occurred_at' => 1712917127]],
    'paystack' => ['{"event":"charge.success"}', ['topic' => 'charge.success']],
    'slack' => ['{"type":"event_callback","team_id":"T1","event_id":"Ev1","event_time":1355517523,"event":{"type":"message"}}',
        ['topic' => 'message', 'external_id' => 'Ev1', 'source' => 'T1', 'occurred_at' => 1355517523]],
    'square' => ['{"merchant_id":"M","type":"customer.created","event_id":"e1","created_at":"2024-04-12T10:18:47Z"}',
        ['topic' => 'customer.created', 'external_id' => 'e1', 'source' => 'M', 'occurred_at' => 1712917127]],
    'vercel' => ['{"id":"v1","type":"deployment.created","createdAt":1712917127000}',
        ['topic' => 'deployment.created', 'external_id' => 'v1', 'occurred_at' => 1712917127]],
];
$none = ['topic' => null, 'external_id' => null, 'source' => null, 'occurred_at' => null, 'error_code' => null,
    'has_payload' => true];

foreach ($documented as $provider => [$body, $expected]) {
    $signed = fn(string $body, string $query): array => documented_headers($provider, $secrets[$provider], $body,
        "$public_url/hooks/$provider$query", (int) (microtime(true) * 1000));
    $body .= "\r\n";
    $target = "$url/hooks/$provider";
    deliver($provider, 'plain', $target, $signed($body, ''), $body, null, $expected + $none);
    deliver($provider, 'not authentic', $target, $signed("$body ", ''), $body, 'signature', null);
    deliver($provider, 'body changed', "$target?a=%20b", $signed("86 $body", '?a=%20b'), "86 $body", 'body', null);
}

// Sends a delivery and says how it went.  $tampered: what is changed between
// signing and sending; the delivery must then be refused.  $expected: the row,
// null if there must be none.
function deliver(string $endpoint, string $case, string $url, array $headers, string $body,
    ?string $tampered, ?array $expected): void
{
    if ($tampered === 'body') {
        $body = str_replace(['86', 'changed'], ['87', 'chanced'], $body);
    }
    $lines = ['Connection: close', 'Content-Length: ' . strlen($body)];
    foreach ($headers + ['Content-Type' => 'application/json'] as $name => $value) {
        $lines[] = "$name: $value";
    }
    $answer = file_get_contents($url, false, stream_context_create(['http' => [
        'method' => 'POST',
        'protocol_version' => 1.1,
        'header' => $lines,
        'content' => $body,
        'ignore_errors' => true,
        'timeout' => 10,
    ]]));
    if ($answer === false) {
        fwrite(STDERR, "no answer to: $endpoint, $case\n");
        exit(1);
    }
    echo json_encode([
        'endpoint' => $endpoint,
        'case' => $case,
        'status' => (int) explode(' ', $http_response_header[0])[1],
        'answer' => $answer,
        'body' => bin2hex($body),
        'outcome' => $tampered !== null ? 'refused' : ($expected === null ? 'duplicate' : 'stored'),
        'row' => $tampered !== null ? null : $expected,
    ], JSON_THROW_ON_ERROR), "\n";
}

function json_validates(string $text): bool
{
    json_decode($text);
    return json_last_error() === JSON_ERROR_NONE;
}
