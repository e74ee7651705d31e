# shellcheck shell=bash
#
# The rows that receivers store, stored by PostgreSQL's own programs without HTTP
# and without verifying anything, in table "rows" of peers.sql; sourced by
# script/bench.

# What a receiver makes of the headers that deliver.lua sends.
headers_of_rows='{"X-GitHub-Delivery":"72d3162e-cc78-11e3-81ab-4c9367dc0958","Host":"127.0.0.1:12345","X-Hub-Signature-256":"sha256=f17ea2d8b17f4c5d1f1bbf2ed3bb3c0dd3ca54f9b5a3ee3c2d8b6ab9a0b8a9d0","X-GitHub-Hook-ID":"292430182","X-GitHub-Event":"push","User-Agent":"bench","Content-Type":"application/json","Content-Length":"1024"}'

# quoted TEXT: as a literal.
quoted() {
    printf "'%s'" "${1//\'/\'\'}"
}

# pgbench_rows NAME FILE PROTOCOL ROUND SECONDS CLIENTS [ROWS]: transactions of so
# many rows.
pgbench_rows() {
    local log=$WB_WORK/pgbench.log cpu tps mean p50=NULL body headers rows=${7:-1} count options=()
    if (($6 == 1)); then
        options=(-l --log-prefix="$WB_WORK/tmp/transactions")
        rm -f "$WB_WORK"/tmp/transactions.*
    fi
    body=$(head -n 1 "$(deliveries_file github 1024)" | cut -f 3)
    headers=$headers_of_rows
    if [[ $3 == simple ]]; then
        body=$(quoted "$body")
        headers=$(quoted "$headers")
    fi
    cpu=$(tree_ticks "$postmaster_pid")
    run "$log" "$WB_BIN/pgbench" -n -M "$3" -c "$6" -j "$((threads < $6 ? threads : $6))" -T "$5" "${options[@]}" \
        -D headers="$headers" -D payload="$body" -D rows="$rows" -f "test/bench/$2" peers >/dev/null || {
        cat "$log" >&2
        die "pgbench failed"
    }
    cpu=$(($(tree_ticks "$postmaster_pid") - cpu))
    tps=$(awk '/^tps/ { print $3 }' "$log")
    mean=$(awk '/^latency average/ { print $4 * 1000 }' "$log")
    if (($6 == 1)); then
        p50=$(cut -d ' ' -f 3 "$WB_WORK"/tmp/transactions.* | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
    fi
    count=$(peers_sql -c "SELECT count(*) FROM rows")
    results -c "INSERT INTO storing VALUES ('$1', $4, $tps * $rows, $mean, $p50, $rows, $cpu * $tick_us / $count.0)"
}

# In one transaction from a file of 100,000 rows.
copy_rows() {
    local rows=100000 file=$WB_WORK/tmp/rows cpu ms
    [[ -e $file ]] || for ((i = 0; i < rows / 10000; i++)); do cut -f 3 "$(deliveries_file github 1024)"; done |
        headers="$headers_of_rows" perl -e 'open my $random, "<", "/dev/urandom";
                 my $between = join "\t", "github-1024", "push", "292430182", "POST", $ENV{headers};
                 while (<>) { chomp; read $random, my $id, 16;
                              print join("\t", join("-", unpack("H8 H4 H4 H4 H12", $id)), $between, $_, "127.0.0.1", "default", "t"), "\n" }' >"$file"
    cpu=$(tree_ticks "$postmaster_pid")
    ms=$(peers_sql -c '\timing on' -c "COPY rows (external_id, endpoint, topic, webhook_remote_id, method, headers, payload, remote_addr,
        secret_label, verified) FROM '$file'" | awk '/^Time:/ { print $2 }')
    cpu=$(($(tree_ticks "$postmaster_pid") - cpu))
    [[ $(peers_sql -c "SELECT count(*) FROM rows") == "$rows" ]] || die "COPY has not stored all"
    results -c "INSERT INTO storing VALUES ('copy', $1, $rows / $ms * 1000, $ms * 1000, NULL, $rows, $cpu * $tick_us / $rows.0)"
}

# measure_storing NAME ROUND SECONDS
measure_storing() {
    local batch
    use_server main
    peers_sql -c "TRUNCATE rows" -c CHECKPOINT
    case $1 in
        insert) pgbench_rows "$1" insert.sql simple "$2" "$3" 32 ;;
        insert_prepared) pgbench_rows "$1" insert.sql prepared "$2" "$3" 32 ;;
        single_insert) pgbench_rows "$1" insert.sql simple "$2" "$3" 1 ;;
        single_prepared) pgbench_rows "$1" insert.sql prepared "$2" "$3" 1 ;;
        insert_notify)
            PGDATABASE=peers start_listeners 1
            pgbench_rows "$1" insert_notify.sql simple "$2" "$3" 32
            stop_listeners 0
            ;;
        batch)
            batch=$(results -c "SELECT round(rows::numeric / batches) FROM measurements
                WHERE case_id = $case_id AND target = 'webhook_bridge' ORDER BY round DESC LIMIT 1")
            [[ -z $batch ]] || pgbench_rows "$1" insert_batch.sql prepared "$2" "$3" 1 "$batch"
            ;;
        copy) copy_rows "$2" ;;
    esac
}
