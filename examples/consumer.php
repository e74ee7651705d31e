#!/usr/bin/env php
<?php
// Handles every order exactly once: a consumer of webhook_bridge, with PDO.
//
// The database is that of libpq's variables (PGHOST, PGDATABASE, ...); the consumer's
// name is the first argument.  See README.md in this directory.

declare(strict_types=1);

const CHANNEL = 'webhook_bridge';
const LOOK_EVERY = 5; // seconds; a notification may be lost, an event never is
const LONGEST_PAUSE = 30;

$consumer = $argv[1] ?? 'orders';

// Your own work, in the transaction that also acknowledges the event.
function handle(PDO $db, array $event): void
{
    $db->prepare("INSERT INTO orders_seen (event_id, order_id) VALUES (?, (?::json ->> 'id')::bigint)")
        ->execute([$event['id'], $event['payload']]);
}

// Fetches, handles and acknowledges in one transaction; returns how many there were.
// An error that leaves this function ends the connection, and with it the transaction.
function handle_some(PDO $db, string $consumer): int
{
    $db->beginTransaction();
    $fetch = $db->prepare('SELECT id, topic, payload::text FROM webhook_bridge.fetch_events(?)');
    $fetch->execute([$consumer]);
    $events = $fetch->fetchAll(PDO::FETCH_ASSOC);
    $done = [];
    foreach ($events as $event) {
        $db->exec('SAVEPOINT event'); // what fails does not spoil the others
        try {
            handle($db, $event);
            $db->exec('RELEASE event');
            $done[] = $event['id'];
        } catch (Exception $error) {
            $db->exec('ROLLBACK TO event'); // raises an error if the database has gone
            fprintf(STDERR, "event %s failed: %s\n", $event['id'], $error->getMessage());
            $db->prepare('SELECT webhook_bridge.fail_event(?, ?, ?)')
                ->execute([$consumer, $event['id'], $error->getMessage()]);
        }
    }
    if ($done) {
        $db->prepare('SELECT webhook_bridge.ack_events(?, ?)')
            ->execute([$consumer, '{' . implode(',', $done) . '}']);
    }
    $db->commit();
    return count($events);
}

// SIGTERM and SIGINT ask for the end; what is in hand is finished first.
$stopping = false;
pcntl_async_signals(true);
foreach ([SIGTERM, SIGINT] as $signal) {
    pcntl_signal($signal, function () use (&$stopping) { $stopping = true; }, false);
}

$pause = 1;
while (!$stopping) {
    try {
        $db = new PDO('pgsql:', null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
        $db->exec('LISTEN ' . CHANNEL);
        fwrite(STDERR, "connected\n");
        $pause = 1;
        while (!$stopping) {
            if (handle_some($db, $consumer) === 0 && !$stopping) {
                $db->pgsqlGetNotify(PDO::FETCH_ASSOC, LOOK_EVERY * 1000); // a signal ends it, too
            }
        }
    } catch (PDOException $error) {
        $db = null;
        if (!$stopping) {
            fprintf(STDERR, "connection lost, next attempt in %d s: %s\n", $pause, $error->getMessage());
            sleep($pause); // a signal ends it, too
            $pause = min($pause * 2, LONGEST_PAUSE);
        }
    }
}
