# shellcheck shell=bash
#
# The servers that receive, each a cluster of its own; sourced by script/bench.

server_settings=(
    "fsync = on"
    "synchronous_commit = on"
    "full_page_writes = on"
    "shared_buffers = 2GB"
    "min_wal_size = 4GB"
    "max_wal_size = 8GB"
    "checkpoint_timeout = 30min"
    "max_connections = 300"
    "webhook_bridge.receivers = 1"
    "webhook_bridge.tls_min_version = 'TLSv1.3'"
)

# Of each by its name: the port that names its socket, and those of its receivers.
declare -A sql_port=() http_port=() https_port=()

# start_bench_server NAME: starts it and uses it.
start_bench_server() {
    sql_port[$1]=$((5432 + ${#sql_port[@]}))
    http_port[$1]=$(free_port)
    https_port[$1]=$(free_port)
    export PGPORT=${sql_port[$1]}
    start_server "$WB_WORK/$1" < <(
        printf '%s\n' "${server_settings[@]}" "port = $PGPORT" \
            "shared_preload_libraries = 'webhook_bridge'" "webhook_bridge.port = ${http_port[$1]}" \
            "webhook_bridge.tls_port = ${https_port[$1]}" \
            "webhook_bridge.tls_cert_file = '$WB_WORK/ecdsa.crt'" "webhook_bridge.tls_key_file = '$WB_WORK/ecdsa.key'"
    )
    use_server "$1"
    psql -c "CREATE EXTENSION webhook_bridge" -f test/bench/growth.sql
    make_used
    wait_until 10 port_answers "${http_port[$1]}" || die "nothing listens on port ${http_port[$1]}"
    wait_until 10 port_answers "${https_port[$1]}" || die "nothing listens on port ${https_port[$1]}"
}

# A new server makes its WAL files while it needs them, gets its shared memory from
# the system page by page, and has buffers that nothing else has to leave first.  It
# is who just stores something that pays for that, and nobody in a server in use.
make_used() {
    psql -c "CREATE TABLE used (page text)" -c "ALTER TABLE used ALTER page SET STORAGE PLAIN" \
        -c "INSERT INTO used SELECT repeat('-', 7000) FROM pg_settings, generate_series(1, setting::integer) WHERE name = 'shared_buffers'" \
        -c "VACUUM used"
    psql -c "SELECT pg_logical_emit_message(false, 'bench', repeat('-', 1000000)) FROM generate_series(1, 2200)" \
        -c CHECKPOINT >/dev/null
}

# use_server NAME: sets server, what psql speaks to, and the postmaster's pid.
use_server() {
    server=$1
    export PGPORT=${sql_port[$1]}
    read -r postmaster_pid <"$WB_WORK/$1/postmaster.pid"
}

# remove_bench_server NAME
remove_bench_server() {
    stop_server "$WB_WORK/$1"
    rm -rf "${WB_WORK:?}/$1"
    unset "sql_port[$1]" "http_port[$1]" "https_port[$1]"
}

# set_receivers COUNT: returns when so many listen.
set_receivers() {
    psql -c "ALTER SYSTEM SET webhook_bridge.receivers = $1" -c "SELECT pg_reload_conf()" >/dev/null
    wait_until 20 receivers_listen "$1" || die "there are not $1 receivers"
}

receivers_listen() {
    [[ $(psql -F ' ' -c "SELECT count(*) FILTER (WHERE state = 'listening'), count(pid) FROM webhook_bridge.status() WHERE receiver IS NOT NULL") == "$1 $1" ]]
}

# set_certificate KIND: ecdsa or rsa.
set_certificate() {
    serves_certificate "$1" && return
    psql -c "ALTER SYSTEM SET webhook_bridge.tls_cert_file = '$WB_WORK/$1.crt'" \
        -c "ALTER SYSTEM SET webhook_bridge.tls_key_file = '$WB_WORK/$1.key'" -c "SELECT pg_reload_conf()" >/dev/null
    wait_until 10 serves_certificate "$1" || die "the certificate was not replaced"
}

serves_certificate() {
    local served
    served=$(openssl s_client -connect "127.0.0.1:${https_port[$server]}" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint)
    [[ $served == "$(openssl x509 -noout -fingerprint -in "$WB_WORK/$1.crt")" ]]
}

make_certificates() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -keyout "$WB_WORK/ecdsa.key" -out "$WB_WORK/ecdsa.crt" 2>/dev/null
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
        -keyout "$WB_WORK/rsa.key" -out "$WB_WORK/rsa.crt" 2>/dev/null
}

# --- Processor time ----------------------------------------------------------

# ticks_of PID...: clock ticks that the processes have spent, in user and in
# system mode.  What precedes the fields, the name, may contain spaces.
ticks_of() {
    local pid stat fields sum=0
    for pid in "$@"; do
        stat=$(<"/proc/$pid/stat")
        read -r -a fields <<<"${stat##*) }"
        sum=$((sum + fields[11] + fields[12]))
    done
    echo "$sum"
}

# tree_ticks PID: of a process and all its descendants, those that are gone
# included; but one must not go meanwhile.
tree_ticks() {
    sleep 0.2
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v root="$1" '
        { pid = $1; sub(/^.*\) /, ""); parent[pid] = $2; ticks[pid] = $12 + $13 + $14 + $15 }
        END {
            for (pid in ticks) {
                for (p = pid; p != root && p > 1; p = parent[p]);
                if (p == root)
                    sum += ticks[pid]
            }
            print sum + 0
        }'
}

tick_us=$((1000000 / $(getconf CLK_TCK)))
