# shellcheck shell=bash
#
# Deliveries, sent by wrk to receivers and to peers; sourced by script/bench.

# --- What is sent ------------------------------------------------------------

# deliveries_file PROVIDER BYTES [ENDPOINTS]
deliveries_file() {
    echo "$WB_WORK/deliveries/$1-$2${3:+-$3}"
}

# prepare_deliveries PROVIDER BYTES [ENDPOINTS]: makes the file, of 10,000 that
# differ if they are small.
prepare_deliveries() {
    local file count=$((16 * 1024 * 1024 / $2))
    file=$(deliveries_file "$@")
    [[ ! -e $file ]] || return 0
    mkdir -p "$(dirname "$file")"
    results -v provider="$1" -v bytes="$2" -v endpoints="${3:-0}" -v count="$((count < 10000 ? count : 10000))" \
        -f test/bench/deliveries.sql >"$file"
}

# secret_of ENDPOINT: see deliveries.sql.
secret_of() {
    printf '%s' "$1" | md5sum | cut -d ' ' -f 1
}

# load SECONDS CONNECTIONS REUSE TLS PROVIDER FILE PORT: sets answers and
# handshakes to what deliver.lua and full_handshake.c report.  One thread, which
# leaves the server a core of two: while wrk waits in a handshake it does not
# sleep, and with a thread for each core it takes from the server what it measures.
load() {
    local log=$WB_WORK/wrk.log scheme=http preload=()
    if [[ -n $4 ]]; then
        scheme=https
        [[ $3 == keep-alive ]] || preload=(env "LD_PRELOAD=$PWD/build/bench/full_handshake.so")
    fi
    run "$log" "${preload[@]}" wrk -t 1 -c "$2" -d "$1s" --timeout 10s \
        -s test/bench/deliver.lua "$scheme://127.0.0.1:$7/" -- "$5" "$6" "$3" >/dev/null || {
        cat "$log" >&2
        die "wrk failed"
    }
    answers=$(sed -n 's/^result,//p' "$log")
    handshakes=$(sed -n 's/^handshakes,//p' "$log")
    handshakes=${handshakes:-NULL,NULL}
    [[ -n $answers ]] || {
        cat "$log" >&2
        die "wrk gave no result"
    }
}

# --- Sessions that listen ----------------------------------------------------

# start_listeners COUNT
start_listeners() {
    local line
    (($1 > 0)) || return 0
    coproc LISTENERS { exec build/bench/listen "$1" webhook_bridge; }
    listeners_pid=$LISTENERS_PID
    exec {from_listeners}<&"${LISTENERS[0]}" {to_listeners}>&"${LISTENERS[1]}"
    read -r -t 30 line <&"$from_listeners" && [[ $line == listening ]] || die "the sessions do not listen"
}

# stop_listeners EXPECTED: waits until they have so many notifications; sets
# notified to how many they have.
stop_listeners() {
    notified=NULL
    [[ -n ${listeners_pid:-} ]] || return 0
    echo "$1" >&"$to_listeners"
    read -r -t 90 notified <&"$from_listeners" || die "the sessions that listen do not answer"
    wait "$listeners_pid" || die "the sessions that listen have failed"
    exec {from_listeners}<&- {to_listeners}>&-
    listeners_pid=
}

# --- Receivers ---------------------------------------------------------------

receiver_counters() {
    psql -F ' ' -c "SELECT sum(stored), sum(duplicates + probes + unauthorized + not_found + bad_method + too_large +
        malformed + timed_out + rate_limited + unavailable), sum(batches) FROM webhook_bridge.status() WHERE receiver IS NOT NULL"
}

receiver_pids() {
    psql -c "SELECT pid FROM webhook_bridge.status() WHERE receiver IS NOT NULL AND pid IS NOT NULL"
}

no_connections() {
    [[ $(psql -c "SELECT sum(connections) FROM webhook_bridge.status() WHERE receiver IS NOT NULL") == 0 ]]
}

# Prepares the server in use for the case.  One that growth is measured on keeps
# what it has.
prepare_receivers() {
    receivers_listen "$receivers" || set_receivers "$receivers"
    [[ -z $tls ]] || set_certificate "$tls"
    psql -c "UPDATE webhook_bridge.endpoints SET notify = '$notify', dedup = '$dedup' WHERE (notify, dedup) <> ('$notify', '$dedup')"
    [[ -n $events ]] || psql -c "TRUNCATE webhook_bridge.events, webhook_bridge.dedup, webhook_bridge.queue" -c CHECKPOINT
    psql -c "SELECT FROM generate_series(1, $consumers) n, webhook_bridge.create_consumer('ingest_' || n)" >/dev/null
}

# measure_receivers TARGET ROUND SECONDS: the case on the server in use.
measure_receivers() {
    local before after start cpu all_cpu rows stored pids file port
    prepare_receivers
    start_listeners "$listeners"
    file=$(deliveries_file "$provider" "$bytes" "$endpoints")
    port=${http_port[$server]}
    [[ -z $tls ]] || port=${https_port[$server]}
    read -r -a before < <(receiver_counters)
    mapfile -t pids < <(receiver_pids)
    start=$(psql -c "SELECT clock_timestamp()")
    cpu=$(ticks_of "${pids[@]}")
    all_cpu=$(tree_ticks "$postmaster_pid")
    load "$3" "$connections" "$reuse" "$tls" "$provider" "$file" "$port"
    wait_until 30 no_connections || die "connections stay open"
    cpu=$(($(ticks_of "${pids[@]}") - cpu))
    all_cpu=$(($(tree_ticks "$postmaster_pid") - all_cpu))
    read -r -a after < <(receiver_counters)
    rows=$(psql -c "SELECT count(*) FROM webhook_bridge.events WHERE verified AND received_at > '$start'")
    stored=$((after[0] - before[0]))
    if [[ $notify == event ]] && ((listeners <= 10)); then
        stop_listeners "$((rows * listeners))"
    else
        # hundreds of sessions cannot keep up
        stop_listeners 0
        notified=NULL
    fi
    if ((consumers > 0)); then
        [[ $(psql -c "SELECT count(*) FROM webhook_bridge.consumer_status() WHERE lag_events <> $rows") == 0 ]] ||
            die "consumers do not have every event"
        psql -c "SELECT webhook_bridge.drop_consumer(name) FROM webhook_bridge.consumers" >/dev/null
    fi
    results -c "INSERT INTO measurements VALUES ($case_id, $2, '$1', $answers, $handshakes,
        $stored, $((after[1] - before[1])), $((after[2] - before[2])), $rows, $notified, $((cpu * tick_us)), $((all_cpu * tick_us)))"
}

# measure_reference ROUND SECONDS: the case without what makes it differ from the
# reference, where those two are compared.
measure_reference() {
    local tls='' consumers=0
    use_server main
    measure_receivers reference "$@"
}

# --- Cases -------------------------------------------------------------------

# take_case ID: sets case_name and what is in cases.csv.
take_case() {
    case_id=$1
    IFS='|' read -r case_name receivers connections reuse tls provider bytes notify listeners dedup consumers endpoints events peers < <(
        results -c "SELECT name, receivers, connections, reuse, tls, provider, body_bytes, notify, listeners, dedup, consumers,
            endpoints, events, peers FROM cases WHERE id = $1"
    )
}

# measure_case ROUND SECONDS: the case that was taken, ours and its peers in
# turn; every second round the other way round.
measure_case() {
    local target targets=()
    read -r -a targets <<<"webhook_bridge $peers"
    if (($1 % 2 == 0)); then
        mapfile -t targets < <(printf '%s\n' "${targets[@]}" | tac)
    fi
    for target in "${targets[@]}"; do
        progress "$case_name: $target"
        case $target in
            webhook_bridge) measure_receivers "$target" "$@" ;;
            small) measure_small "$@" ;;
            reference) measure_reference "$@" ;;
            nginx | fastify | starlette | webhook) measure_peer "$target" "$@" ;;
            *) measure_storing "$target" "$@" ;;
        esac
    done
}
