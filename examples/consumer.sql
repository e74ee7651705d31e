-- Handles every order exactly once: a consumer of webhook_bridge without any
-- program, run by pg_cron.  See README.md in this directory.

-- Fetches, handles and acknowledges in one transaction, a hundred at a time,
-- until there are no more.  Two that run at once do not get the same events.
CREATE PROCEDURE handle_orders(consumer text DEFAULT 'orders')
LANGUAGE plpgsql
AS $$
DECLARE
    event webhook_bridge.events;
    done bigint[];
    fetched integer;
    reason text;
BEGIN
    LOOP
        done := '{}';
        fetched := 0;
        FOR event IN SELECT * FROM webhook_bridge.fetch_events(consumer) LOOP
            fetched := fetched + 1;
            BEGIN
                -- your own work; what fails does not spoil the others
                INSERT INTO orders_seen (event_id, order_id) VALUES (event.id, (event.payload ->> 'id')::bigint);
                done := done || event.id;
            EXCEPTION WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT;
                PERFORM webhook_bridge.fail_event(consumer, event.id, reason);
            END;
        END LOOP;
        PERFORM webhook_bridge.ack_events(consumer, done);
        COMMIT;
        EXIT WHEN fetched = 0;
    END LOOP;
END
$$;

-- Every minute; pg_cron 1.5 and later also take '5 seconds'.
SELECT cron.schedule('handle orders', '* * * * *', 'CALL handle_orders()');
