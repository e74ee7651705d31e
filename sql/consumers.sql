-- Consumers: what they get, acknowledge and fail, in one session.
\pset null '(null)'
\set SHOW_CONTEXT never
CREATE FUNCTION fetched(consumer text, max integer DEFAULT 100, lease interval DEFAULT '1 minute') RETURNS text
LANGUAGE sql AS $$ SELECT string_agg(e.external_id, ' ' ORDER BY e.id) FROM webhook_bridge.fetch_events(consumer, max, lease) e $$;
CREATE FUNCTION acked(consumer text, names text) RETURNS bigint
LANGUAGE sql AS $$ SELECT webhook_bridge.ack_events(consumer, array_agg(id)) FROM webhook_bridge.events
                   WHERE external_id = ANY (string_to_array(names, ' ')) $$;
CREATE FUNCTION id_of(name text) RETURNS bigint
LANGUAGE sql AS $$ SELECT id FROM webhook_bridge.events WHERE external_id = name $$;
CREATE FUNCTION status_of(consumer text, OUT lag bigint, OUT late boolean, OUT in_flight bigint, OUT failed bigint, OUT dead bigint, OUT due boolean)
LANGUAGE sql AS $$ SELECT lag_events, lag_seconds > 0, in_flight, failed, dead, next_due_at > now()
                   FROM webhook_bridge.consumer_status(consumer) $$;

SELECT name FROM webhook_bridge.create_endpoint('orders', 'ecomanager', 's3cret');
SELECT name FROM webhook_bridge.create_endpoint('stock', 'ecomanager', 's3cret');
SELECT count(webhook_bridge.create_event_partitions((now() AT TIME ZONE 'UTC')::date - 1, 3));
INSERT INTO webhook_bridge.events (endpoint, external_id, topic, source, method, headers, payload, verified)
VALUES ('orders', 'o1', 'order.created', 'dz', 'POST', '[]', '{"order": {"id": 1}}', true),
       ('orders', 'o2', 'order.paid', 'fr', 'POST', '[]', '{"order": {"id": 1}}', true),
       ('orders', 'o3', 'order.created', 'dz', 'POST', '[]', '{"order": {"id": 2}}', true),
       ('orders', 'o4', NULL, NULL, 'POST', '[]', NULL, true),
       ('stock', 's1', 'stock_changed', 'dz', 'POST', '[]', '{"order": null}', true),
       ('stock', 's2', 'stock%changed', 'fr', 'POST', '[]', '{"order": {"id": {"n": 1}}}', true);

-- what is refused
SELECT webhook_bridge.create_consumer(NULL);
SELECT webhook_bridge.create_consumer('');
SELECT webhook_bridge.create_consumer('x y');
SELECT webhook_bridge.create_consumer('x', '{}');
SELECT webhook_bridge.create_consumer('x', '{orders,nowhere}');
SELECT webhook_bridge.create_consumer('x', topics => '{a,NULL}');
SELECT webhook_bridge.create_consumer('x', starting => 'yesterday');
SELECT webhook_bridge.create_consumer('x', order_by => 'topic');
SELECT webhook_bridge.create_consumer('x', order_by => 'payload.');
SELECT webhook_bridge.create_consumer('x', max_attempts => 0);
SELECT webhook_bridge.fetch_events('x');
SELECT webhook_bridge.ack_events('x', '{1}');
SELECT webhook_bridge.fail_event('x', 1);
SELECT webhook_bridge.replay_events('x');
SELECT webhook_bridge.consumer_status('x');
SELECT webhook_bridge.dead_events('x');
SELECT webhook_bridge.drop_consumer('x');
SELECT webhook_bridge.drop_consumer(NULL);

-- who gets what
SELECT webhook_bridge.create_consumer('all', starting => 'earliest', max_attempts => 2);
SELECT webhook_bridge.create_consumer('all');
SELECT webhook_bridge.create_consumer('late');
SELECT webhook_bridge.create_consumer('orders', endpoints => '{orders}', starting => 'earliest');
SELECT webhook_bridge.create_consumer('created', topics => '{*.created}', starting => 'earliest');
SELECT webhook_bridge.create_consumer('exact', topics => '{stock%changed,ORDER.*,o_der.paid}', starting => 'earliest');
SELECT webhook_bridge.create_consumer('shops', order_by => 'source', starting => 'earliest');
SELECT webhook_bridge.create_consumer('by_order', order_by => 'payload.order.id', starting => 'earliest');
SELECT fetched('late'), fetched('orders'), fetched('created'), fetched('exact');

-- fetched, acknowledged, not again
SELECT fetched('all', 0);
SELECT fetched('all', 10001);
SELECT fetched('all', NULL);
SELECT fetched('all', 1, '0');
SELECT fetched('all', 2);
SELECT fetched('all', 1);
SELECT * FROM status_of('all');
SELECT acked('all', 'o1 o3'), acked('all', 'o1'), webhook_bridge.ack_events('all', NULL), webhook_bridge.ack_events('all', '{}');
SELECT * FROM status_of('all');

-- a rollback puts it back at once
BEGIN;
SELECT fetched('all', 2);
SAVEPOINT a;
SELECT fetched('all', 2);
SELECT acked('all', 's2');
ROLLBACK TO a;
SELECT fetched('all', 1);
ROLLBACK;
SELECT fetched('all');

-- a lease that ends; the second time it is dead
UPDATE webhook_bridge.attempts SET due_at = now() - interval '1 second' WHERE event_id = id_of('o2');
SELECT fetched('all');
UPDATE webhook_bridge.attempts SET due_at = now() - interval '1 second' WHERE event_id = id_of('o2');
SELECT fetched('all');
SELECT endpoint, topic, attempts, died_at > now() - interval '1 minute' AS died, error FROM webhook_bridge.dead_events('all');

-- failures
SELECT webhook_bridge.fail_event('all', id_of('o2'));
SELECT webhook_bridge.fail_event('all', NULL);
SELECT webhook_bridge.fail_event('all', id_of('o4'), 'no', '-1 s');
SELECT date_trunc('second', webhook_bridge.fail_event('all', id_of('o4'), 'not yet') - now());
SELECT * FROM status_of('all');
SELECT fetched('all');
UPDATE webhook_bridge.attempts SET due_at = now() - interval '1 second' WHERE NOT in_flight AND due_at IS NOT NULL;
SELECT fetched('all');
SELECT webhook_bridge.fail_event('all', id_of('o4'), 'never');
SELECT endpoint, topic, attempts, error FROM webhook_bridge.dead_events('all');
SELECT * FROM status_of('all');
BEGIN;
SELECT webhook_bridge.fail_event('all', id_of('s1'), retry_in => '0') <= clock_timestamp() AS at_once;
COMMIT;
SELECT fetched('all');
-- the pauses
UPDATE webhook_bridge.consumers SET max_attempts = 100 WHERE name = 'all';
DO $$
DECLARE
    pauses interval[] := '{}';
BEGIN
    FOR n IN 1 .. 12 LOOP
        UPDATE webhook_bridge.attempts SET attempts = n, in_flight = true WHERE event_id = id_of('s1');
        pauses := pauses || date_trunc('second', webhook_bridge.fail_event('all', id_of('s1')) - clock_timestamp() + interval '0.5 s');
    END LOOP;
    RAISE NOTICE '%', pauses;
END
$$;

-- once more
SELECT acked('all', 's1 s2 o3');
SELECT webhook_bridge.replay_events('all', topic => 'order.*'), fetched('all');
SELECT webhook_bridge.replay_events('all', endpoint => 'stock'), webhook_bridge.replay_events('all', endpoint => 'stock');
SELECT webhook_bridge.replay_events('all', since => now() + interval '1 s'), webhook_bridge.replay_events('all', until => now() - interval '1 hour');
SELECT fetched('all'), fetched('all');
SELECT webhook_bridge.replay_events('created');
SELECT acked('created', 'o1 o3'), webhook_bridge.replay_events('created'), fetched('created');

-- one of each key, in order
SELECT fetched('shops');
SELECT acked('shops', 'o1');
SELECT fetched('shops');
SELECT acked('shops', 'o2 o4');
SELECT webhook_bridge.fail_event('shops', id_of('o3')) > now();
SELECT fetched('shops');
UPDATE webhook_bridge.attempts SET due_at = NULL WHERE event_id = id_of('o3');
SELECT fetched('shops', 1);
SELECT fetched('by_order');
SELECT acked('by_order', 'o1 o3'), fetched('by_order');

-- renamed endpoints; what cannot be changed
UPDATE webhook_bridge.endpoints SET name = 'commands' WHERE name = 'orders';
SELECT name, endpoints FROM webhook_bridge.consumers WHERE endpoints IS NOT NULL;
UPDATE webhook_bridge.consumers SET order_by = NULL WHERE name = 'shops';
UPDATE webhook_bridge.consumers SET topics = '{*}' WHERE name = 'late';

-- an endpoint that is gone is in the way of nothing
SELECT webhook_bridge.drop_endpoint('stock');
UPDATE webhook_bridge.consumers SET endpoints = '{commands,stock}' WHERE name = 'orders';
SELECT name FROM webhook_bridge.create_endpoint('stock', 'ecomanager', 's3cret');
UPDATE webhook_bridge.consumers SET endpoints = '{commands,stock}' WHERE name = 'orders';
SELECT webhook_bridge.drop_endpoint('stock');
UPDATE webhook_bridge.endpoints SET name = 'orders' WHERE name = 'commands';
UPDATE webhook_bridge.endpoints SET name = 'commands' WHERE name = 'orders';
SELECT name, endpoints FROM webhook_bridge.consumers WHERE name = 'orders';

-- isolation levels; a consumer that nobody else knows yet
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT fetched('all');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT webhook_bridge.replay_events('all');
ROLLBACK;
BEGIN;
SELECT webhook_bridge.create_consumer('young', starting => 'earliest');
SELECT fetched('young');
COMMIT;
SELECT * FROM status_of('young');
SELECT fetched('young', 2);
SELECT * FROM status_of('young');

-- events that go although somebody has to handle them, and what they leave behind;
-- the detail names the partition of today
\set VERBOSITY terse
DO $$
BEGIN
    PERFORM webhook_bridge.warn_of_unhandled_events(e.tableoid, e.received_at + interval '1 day', e.received_at + interval '40 days')
    FROM (SELECT tableoid, received_at FROM webhook_bridge.events WHERE external_id = 'o1') e;
END
$$;
\set VERBOSITY default
INSERT INTO webhook_bridge.queue (consumer, position, received_at, ids)
SELECT c.id, -n, '1999-12-31', ARRAY[-n] FROM webhook_bridge.consumers c, generate_series(1, 3) n WHERE c.name = 'late';
SELECT webhook_bridge.trim_queue(2), webhook_bridge.trim_queue(2), webhook_bridge.trim_queue(2);
-- and consumers that are gone
INSERT INTO webhook_bridge.queue (consumer, position, received_at, ids) VALUES (-1, 1, now(), '{1}');
SELECT webhook_bridge.trim_queue(2);
INSERT INTO webhook_bridge.attempts (consumer, event_id, received_at, attempts, in_flight) VALUES (2000000000, 1, now(), 1, true);
SELECT webhook_bridge.trim_queue(2);
SELECT (SELECT count(*) FROM webhook_bridge.queue WHERE consumer = -1) AS queue,
       (SELECT count(*) FROM webhook_bridge.attempts WHERE consumer = 2000000000) AS attempts;

-- events that are gone
DELETE FROM webhook_bridge.events WHERE external_id IN ('o3', 'o4');
SELECT fetched('young');
SELECT * FROM status_of('young');
UPDATE webhook_bridge.attempts SET due_at = NULL WHERE event_id = id_of('o1');
SELECT webhook_bridge.fail_event('young', id_of('s1')) > now();

-- those that are gone do not hide those that are there
SELECT webhook_bridge.create_consumer('one_by_one');
SELECT webhook_bridge.replay_events('one_by_one');
DELETE FROM webhook_bridge.events WHERE id < id_of('s1');
SELECT fetched('one_by_one', 1);
SELECT * FROM status_of('one_by_one');

-- nothing is left of one that is dropped, or deleted
DELETE FROM webhook_bridge.consumers WHERE name = 'one_by_one';
SELECT count(webhook_bridge.drop_consumer(name)) FROM webhook_bridge.consumers;
SELECT (SELECT count(*) FROM webhook_bridge.queue) AS queue, (SELECT count(*) FROM webhook_bridge.attempts) AS attempts;
SELECT webhook_bridge.consumer_status();
DELETE FROM webhook_bridge.events WHERE method = 'POST' AND headers::text = '[]';
SELECT webhook_bridge.drop_endpoint('commands');
DROP FUNCTION fetched, acked, id_of, status_of;
