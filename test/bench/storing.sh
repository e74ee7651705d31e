# shellcheck shell=bash
#
# The same rows stored by PostgreSQL's own programs, without HTTP and without
# verifying anything, in the table of peers.sh; sourced by script/bench.

# pgbench_rows NAME FILE ROUND SECONDS CLIENTS [ROWS]: transactions of so many rows.
pgbench_rows() {
    local log=$WB_WORK/pgbench.log cpu tps mean p50=NULL body rows=${6:-1} count options=()
    if (($5 == 1)); then
        options=(-l --log-prefix="$WB_WORK/tmp/transactions")
        rm -f "$WB_WORK"/tmp/transactions.*
    fi
    body=$(head -n 1 "$(deliveries_file github 1024)" | cut -f 3)
    cpu=$(tree_ticks "$postmaster_pid")
    run "$log" "$WB_BIN/pgbench" -n -M prepared -c "$5" -j "$((threads < $5 ? threads : $5))" -T "$4" "${options[@]}" \
        -D payload="$body" -D rows="$rows" -f "test/bench/$2" peers >/dev/null || {
        cat "$log" >&2
        die "pgbench failed"
    }
    cpu=$(($(tree_ticks "$postmaster_pid") - cpu))
    tps=$(awk '/^tps/ { print $3 }' "$log")
    mean=$(awk '/^latency average/ { print $4 * 1000 }' "$log")
    if (($5 == 1)); then
        p50=$(cut -d ' ' -f 3 "$WB_WORK"/tmp/transactions.* | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
    fi
    count=$(peers_sql -c "SELECT count(*) FROM webhook_events")
    results -c "INSERT INTO storing VALUES ('$1', $3, $tps * $rows, $mean, $p50, $rows, $cpu * $tick_us / $count.0)"
}

# In one transaction from a file of 100,000 rows.
copy_rows() {
    local rows=100000 file=$WB_WORK/tmp/rows cpu ms
    [[ -e $file ]] || for ((i = 0; i < rows / 10000; i++)); do cut -f 3 "$(deliveries_file github 1024)"; done |
        perl -e 'open my $random, "<", "/dev/urandom";
                 while (<>) { read $random, my $id, 16; print join("-", unpack("H8 H4 H4 H4 H12", $id)), "\tpush\t$_" }' >"$file"
    cpu=$(tree_ticks "$postmaster_pid")
    ms=$(peers_sql -c '\timing on' -c "COPY webhook_events (id, topic, payload) FROM '$file'" | awk '/^Time:/ { print $2 }')
    cpu=$(($(tree_ticks "$postmaster_pid") - cpu))
    [[ $(peers_sql -c "SELECT count(*) FROM webhook_events") == "$rows" ]] || die "COPY has not stored all"
    results -c "INSERT INTO storing VALUES ('copy', $1, $rows / $ms * 1000, $ms * 1000, NULL, $rows, $cpu * $tick_us / $rows.0)"
}

# measure_storing NAME ROUND SECONDS
measure_storing() {
    local batch
    use_server main
    peers_sql -c "TRUNCATE webhook_events" -c CHECKPOINT
    case $1 in
        insert) pgbench_rows "$1" insert.sql "$2" "$3" 32 ;;
        single_insert) pgbench_rows "$1" insert.sql "$2" "$3" 1 ;;
        insert_notify)
            PGDATABASE=peers start_listeners 1
            pgbench_rows "$1" insert_notify.sql "$2" "$3" 32
            stop_listeners 0
            ;;
        batch)
            batch=$(results -c "SELECT round(rows::numeric / batches) FROM measurements
                WHERE case_id = $case_id AND target = 'webhook_bridge' ORDER BY round DESC LIMIT 1")
            [[ -z $batch ]] || pgbench_rows "$1" insert_batch.sql "$2" "$3" 1 "$batch"
            ;;
        copy) copy_rows "$2" ;;
    esac
}
