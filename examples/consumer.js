#!/usr/bin/env node
// Handles every order exactly once: a consumer of webhook_bridge, with pg.
//
// The database is that of libpq's variables (PGHOST, PGDATABASE, ...); the consumer's
// name is the first argument.  See README.md in this directory.

'use strict';

const { Client } = require('pg');

const consumer = process.argv[2] ?? 'orders';
const channel = 'webhook_bridge';
const lookEvery = 5000; // ms; a notification may be lost, an event never is
const longestPause = 30000;

// Your own work, in the transaction that also acknowledges the event.
async function handle(client, event) {
  await client.query(
    "INSERT INTO orders_seen (event_id, order_id) VALUES ($1, ($2::json ->> 'id')::bigint)",
    [event.id, event.payload]);
}

// Fetches, handles and acknowledges in one transaction; returns how many there were.
// An error that leaves this function ends the connection, and with it the transaction.
async function handleSome(client) {
  await client.query('BEGIN');
  const { rows: events } = await client.query(
    'SELECT id, topic, payload::text FROM webhook_bridge.fetch_events($1)', [consumer]);
  const done = [];
  for (const event of events) {
    await client.query('SAVEPOINT event'); // what fails does not spoil the others
    try {
      await handle(client, event);
      await client.query('RELEASE event');
      done.push(event.id);
    } catch (error) {
      if (!usable(client)) throw error; // everything is rolled back and fetched again
      console.warn(`event ${event.id} failed: ${error.message}`);
      await client.query('ROLLBACK TO event');
      await client.query('SELECT webhook_bridge.fail_event($1, $2, $3)', [consumer, event.id, error.message]);
    }
  }
  if (done.length > 0) {
    await client.query('SELECT webhook_bridge.ack_events($1, $2)', [consumer, done]);
  }
  await client.query('COMMIT');
  return events.length;
}

// Sleep that a signal or a notification ends.
let stopping = false;
let wake = () => {};

function wait(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
    if (stopping) wake();
  });
}

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => { stopping = true; wake(); }); // what is in hand is finished first
}

const lost = new WeakSet();
const usable = (client) => !lost.has(client);

async function consume(connected) {
  const client = new Client({ application_name: consumer });
  let notified = false;
  client.on('error', () => { lost.add(client); wake(); });
  client.on('end', () => { lost.add(client); wake(); });
  client.on('notification', () => { notified = true; wake(); });
  try {
    await client.connect();
    await client.query(`LISTEN ${channel}`);
    connected();
    while (!stopping && usable(client)) {
      notified = false;
      if (await handleSome(client) === 0 && !notified) await wait(lookEvery);
    }
    if (!stopping) throw new Error('the connection has ended');
  } finally {
    await client.end().catch(() => {});
  }
}

async function main() {
  let pause = 1000;
  while (!stopping) {
    try {
      await consume(() => { pause = 1000; console.log('connected'); });
    } catch (error) {
      console.warn(`connection lost, next attempt in ${pause} ms: ${error.message}`);
      await wait(pause);
      pause = Math.min(pause * 2, longestPause);
    }
  }
}

main();
