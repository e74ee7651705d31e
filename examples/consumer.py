#!/usr/bin/env python3
"""Handles every order exactly once: a consumer of webhook_bridge, with psycopg 3.

The database is that of libpq's variables (PGHOST, PGDATABASE, ...); the consumer's
name is the first argument.  See README.md in this directory.
"""
import logging
import select
import signal
import socket
import sys

import psycopg
from psycopg.rows import dict_row

CONSUMER = sys.argv[1] if len(sys.argv) > 1 else "orders"
CHANNEL = "webhook_bridge"
LOOK_EVERY = 5  # seconds; a notification may be lost, an event never is
LONGEST_PAUSE = 30

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")


def handle(conn, event):
    """Your own work, in the transaction that also acknowledges the event."""
    conn.execute(
        "INSERT INTO orders_seen (event_id, order_id) VALUES (%s, (%s::json ->> 'id')::bigint)",
        (event["id"], event["payload"]),
    )


def handle_some(conn):
    """Fetches, handles and acknowledges in one transaction; returns how many there were."""
    with conn.transaction():
        events = conn.execute(
            "SELECT id, topic, payload::text FROM webhook_bridge.fetch_events(%s)", (CONSUMER,)
        ).fetchall()
        done = []
        for event in events:
            try:
                with conn.transaction():  # a savepoint: what fails does not spoil the others
                    handle(conn, event)
                done.append(event["id"])
            except Exception as error:
                if conn.closed:
                    raise  # the database has gone: everything is rolled back and fetched again
                logging.warning("event %s failed: %s", event["id"], error)
                conn.execute("SELECT webhook_bridge.fail_event(%s, %s, %s)", (CONSUMER, event["id"], str(error)))
        if done:
            conn.execute("SELECT webhook_bridge.ack_events(%s, %s)", (CONSUMER, done))
    return len(events)


class Stop:
    """SIGTERM and SIGINT ask for the end; what is in hand is finished first."""

    def __init__(self):
        self.asked = False
        self.wake, writer = socket.socketpair()
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        self.writer = writer
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask)

    def ask(self, *_):
        self.asked = True

    def wait(self, seconds, *sockets):
        """Until a signal, bytes on a socket, or the time has come."""
        if not self.asked:
            select.select([self.wake, *sockets], [], [], seconds)


def consume(stop, connected):
    with psycopg.connect(autocommit=True, row_factory=dict_row, application_name=CONSUMER) as conn:
        notified = []
        conn.add_notify_handler(notified.append)
        conn.execute(f"LISTEN {CHANNEL}")
        connected()
        while not stop.asked:
            notified.clear()
            if handle_some(conn) == 0 and not notified:
                stop.wait(LOOK_EVERY, conn)


def main():
    stop = Stop()
    pause = 1

    def connected():
        nonlocal pause
        pause = 1
        logging.info("connected")

    while not stop.asked:
        try:
            consume(stop, connected)
        except psycopg.Error as error:
            logging.warning("connection lost, next attempt in %s s: %s", pause, error)
            stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


main()
