# shellcheck shell=bash
#
# What a receiver keeps for open connections; sourced by script/bench.

# Anonymous memory: not shared buffers, not the program's code.
receiver_kb() {
    awk '/^RssAnon:/ { print $2 }' "/proc/$(receiver_pids)/status"
}

# measure_memory NAME PORT ROUND: of a fresh receiver, with one connection that
# has delivered and with a thousand.
measure_memory() {
    local connections line kb pid from to
    progress "memory: $1"
    use_server main
    set_receivers 0
    set_receivers 1
    for connections in 1 1000; do
        coproc HOLD { exec node test/bench/hold.js "$connections" "$1" "$2" "$(deliveries_file github 1024)"; }
        pid=$HOLD_PID
        exec {from}<&"${HOLD[0]}" {to}>&"${HOLD[1]}"
        read -r -t 60 line <&"$from" && [[ $line == held ]] || die "$connections connections could not be held: ${line:-}"
        [[ $(psql -c "SELECT sum(connections) FROM webhook_bridge.status() WHERE receiver IS NOT NULL") == "$connections" ]] ||
            die "the receiver does not have $connections connections"
        kb=$(receiver_kb)
        echo >&"$to"
        exec {from}<&- {to}>&-
        wait "$pid" || die "connections could not be held"
        wait_until 30 no_connections || die "connections stay open"
        results -c "INSERT INTO memory VALUES ('$1', $3, $connections, $kb)"
    done
}
