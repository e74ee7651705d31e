// Handles every order exactly once: a consumer of webhook_bridge, with pgx.
//
// The database is that of libpq's variables (PGHOST, PGDATABASE, ...); the consumer's
// name is the first argument.  See README.md in this directory.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

const (
	channel      = "webhook_bridge"
	lookEvery    = 5 * time.Second // a notification may be lost, an event never is
	longestPause = 30 * time.Second
)

var consumer = "orders"

type event struct {
	id      int64
	payload *string
}

// handle is your own work, in the transaction that also acknowledges the event.
func handle(ctx context.Context, tx pgx.Tx, e event) error {
	_, err := tx.Exec(ctx,
		"INSERT INTO orders_seen (event_id, order_id) VALUES ($1, ($2::json ->> 'id')::bigint)", e.id, e.payload)
	return err
}

// handleSome fetches, handles and acknowledges in one transaction, and returns how many there were.
func handleSome(ctx context.Context, conn *pgx.Conn) (int, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback(ctx) // does nothing after a commit

	events, err := fetch(ctx, tx)
	if err != nil {
		return 0, err
	}
	var done []int64
	for _, e := range events {
		err := tx.BeginFunc(ctx, func(savepoint pgx.Tx) error { // what fails does not spoil the others
			return handle(ctx, savepoint, e)
		})
		if err == nil {
			done = append(done, e.id)
			continue
		}
		if conn.IsClosed() {
			return 0, err // everything is rolled back and fetched again
		}
		log.Printf("event %d failed: %v", e.id, err)
		if _, err = tx.Exec(ctx, "SELECT webhook_bridge.fail_event($1, $2, $3)", consumer, e.id, err.Error()); err != nil {
			return 0, err
		}
	}
	if len(done) > 0 {
		if _, err = tx.Exec(ctx, "SELECT webhook_bridge.ack_events($1, $2)", consumer, done); err != nil {
			return 0, err
		}
	}
	return len(events), tx.Commit(ctx)
}

func fetch(ctx context.Context, tx pgx.Tx) ([]event, error) {
	rows, err := tx.Query(ctx, "SELECT id, payload::text FROM webhook_bridge.fetch_events($1)", consumer)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var events []event
	for rows.Next() {
		var e event
		if err := rows.Scan(&e.id, &e.payload); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

// consume works until the connection is lost or stop is done; what is in hand is finished first.
func consume(stop context.Context, connected func()) error {
	ctx := context.Background()
	conn, err := pgx.Connect(stop, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	connected()
	for stop.Err() == nil {
		count, err := handleSome(ctx, conn)
		if err != nil {
			return err
		}
		if count > 0 {
			continue
		}
		wait, cancel := context.WithTimeout(stop, lookEvery)
		_, err = conn.WaitForNotification(wait)
		cancel()
		if err != nil && !pgconn.Timeout(err) && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

func main() {
	if len(os.Args) > 1 {
		consumer = os.Args[1]
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()

	pause := time.Second
	for stop.Err() == nil {
		err := consume(stop, func() { pause = time.Second; log.Print("connected") })
		if err == nil || stop.Err() != nil {
			continue
		}
		log.Printf("connection lost, next attempt in %v: %v", pause, err)
		select {
		case <-stop.Done():
		case <-time.After(pause):
		}
		if pause *= 2; pause > longestPause {
			pause = longestPause
		}
	}
}
