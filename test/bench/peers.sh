# shellcheck shell=bash
#
# Programs that answer the same deliveries; sourced by script/bench.  Each runs
# as long as the benchmark.  Those that store do so in the database "peers".

declare -A peer_port=() peer_pid=()

# start_peers: those that cases name and that are programs to start.
start_peers() {
    local peer
    while read -r peer; do
        declare -F "start_$peer" >/dev/null || continue
        peer_port[$peer]=$(free_port)
        "start_$peer"
        wait_until 20 port_answers "${peer_port[$peer]}" || die "$peer does not listen: $(tail -n 5 "$WB_WORK/$peer.log")"
    done < <(results -c "SELECT DISTINCT unnest(string_to_array(peers, ' ')) FROM cases")
}

start_nginx() {
    local dir=$WB_WORK/nginx
    mkdir "$dir"
    peer_port[nginx-ecdsa]=$(free_port)
    peer_port[nginx-rsa]=$(free_port)
    sed -e "s|@DIR@|$dir|g" -e "s|@WORK@|$WB_WORK|g" -e "s|@PORT@|${peer_port[nginx]}|g" \
        -e "s|@ECDSA_PORT@|${peer_port[nginx-ecdsa]}|g" -e "s|@RSA_PORT@|${peer_port[nginx-rsa]}|g" \
        test/bench/nginx.conf >"$dir/nginx.conf"
    nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/error.log" -g 'daemon off;' >"$WB_WORK/nginx.log" 2>&1 &
    peer_pid[nginx]=$!
}

start_fastify() {
    PGDATABASE=peers node test/bench/fastify.js "${peer_port[fastify]}" "$(secret_of github-1024)" >"$WB_WORK/fastify.log" 2>&1 &
    peer_pid[fastify]=$!
}

start_starlette() {
    PGDATABASE=peers /usr/bin/python3 test/bench/starlette_app.py "${peer_port[starlette]}" "$(secret_of github-1024)" >"$WB_WORK/starlette.log" 2>&1 &
    peer_pid[starlette]=$!
}

start_webhook() {
    sed -e "s|@TREE@|$PWD|" -e "s|@SECRET@|$(secret_of github-1024)|" test/bench/webhook.json >"$WB_WORK/webhook.json"
    PGDATABASE=peers PATH="$WB_BIN:$PATH" webhook -hooks "$WB_WORK/webhook.json" -ip 127.0.0.1 -port "${peer_port[webhook]}" >"$WB_WORK/webhook.log" 2>&1 &
    peer_pid[webhook]=$!
}

stop_peers() {
    kill -TERM "${peer_pid[@]}" 2>/dev/null
    wait "${peer_pid[@]}" 2>/dev/null
}

# measure_peer NAME ROUND SECONDS: the case.
measure_peer() {
    local cpu all_cpu port=${peer_port[$1${tls:+-$tls}]} rows=NULL
    use_server main
    if [[ $1 != nginx ]]; then
        peers_sql -c "TRUNCATE webhook_events" -c CHECKPOINT
    fi
    all_cpu=$(tree_ticks "$postmaster_pid")
    cpu=$(tree_ticks "${peer_pid[$1]}")
    load "$3" "$connections" "$reuse" "$tls" "$provider" "$(deliveries_file "$provider" "$bytes")" "$port"
    cpu=$(($(tree_ticks "${peer_pid[$1]}") - cpu))
    all_cpu=$(($(tree_ticks "$postmaster_pid") - all_cpu + cpu))
    if [[ $1 == nginx ]]; then
        all_cpu=$cpu
    else
        rows=$(stored_by_peer)
    fi
    results -c "INSERT INTO measurements VALUES ($case_id, $2, '$1', $answers, $handshakes,
        NULL, NULL, NULL, $rows, NULL, $((cpu * tick_us)), $((all_cpu * tick_us)))"
}

# What wrk left unfinished may still come in.
stored_by_peer() {
    local count=-1 before=
    until [[ $count == "$before" ]]; do
        before=$count
        sleep 0.3
        count=$(peers_sql -c "SELECT count(*) FROM webhook_events")
    done
    echo "$count"
}

peers_sql() {
    PGPORT=${sql_port[main]} psql -d peers "$@"
}
