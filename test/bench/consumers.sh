# shellcheck shell=bash
#
# Consumers of events that are stored, that come, and of none: consumers.sql,
# fetch_*.sql, wake.c; sourced by script/bench.

# keep_values NAME ROUND: keeps the numbers on standard input.
keep_values() {
    sed "s/^/$1,$2,/" | results -c "\\copy consumer_measurements (name, round, value) FROM pstdin CSV"
}

# measure_sessions SESSIONS NAME ROUND: they share the events of consumers.sql.
measure_sessions() {
    local log=$WB_WORK/pgbench.log
    psql -c "SELECT webhook_bridge.replay_events('bench')" -c "VACUUM webhook_bridge.queue, webhook_bridge.attempts" -c CHECKPOINT >/dev/null
    run "$log" "$WB_BIN/pgbench" -n -M prepared -c "$1" -j "$1" -t "$((1000 / $1))" -f test/bench/fetch_ack.sql postgres >/dev/null || {
        cat "$log" >&2
        die "pgbench failed"
    }
    [[ $(psql -c "SELECT lag_events FROM webhook_bridge.consumer_status('bench')") == 0 ]] || die "events are left"
    awk '/^tps/ { print $3 * 100 }' "$log" | keep_values "$2" "$3"
}

# Deliveries one by one, each waited for by its consumer.
measure_wake() {
    psql -c "SELECT webhook_bridge.create_consumer('bench')" >/dev/null
    build/bench/wake "${http_port[main]}" "$(deliveries_file ecomanager 1024)" 1000 | keep_values wake 1
    psql -c "SELECT webhook_bridge.drop_consumer('bench')" >/dev/null
}

# A consumer that has nothing to get, beside the events of the server in use.
measure_idle() {
    psql -c "SELECT webhook_bridge.create_consumer('bench')" >/dev/null
    (cd "$WB_WORK/tmp" && "$WB_BIN/pgbench" -n -t 2000 -l --log-prefix=idle -f "$WB_WORK/tree/test/bench/fetch_idle.sql" postgres >/dev/null)
    cut -d ' ' -f 3 "$WB_WORK"/tmp/idle.* | keep_values 'idle fetch' 1
}

measure_consumers() {
    local round
    progress "consumers"
    use_server main
    set_receivers 1
    psql -f test/bench/consumers.sql >/dev/null
    for ((round = 0; round <= rounds; round++)); do
        measure_sessions 1 '1 session' "$round"
        measure_sessions 2 '2 sessions' "$round"
    done
    psql -c "SELECT webhook_bridge.drop_consumer('bench')" >/dev/null
    measure_wake
}
