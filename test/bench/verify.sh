# shellcheck shell=bash
#
# What verifying signatures costs: verify.sql, verify_speed.c; sourced by
# script/bench.

# Verifications by SQL in each round, which take a tenth of a second.
sql_turns=7

# measure_sql ROUND
measure_sql() {
    local turn
    progress "verify"
    use_server main
    for ((turn = 1; turn <= sql_turns; turn++)); do
        psql -F , -c "SELECT $1, $turn, name, us_per_row, wrong FROM bench_verify($turn)"
    done | results -c "\\copy sql_measurements FROM pstdin CSV"
}

# Every scheme, by the code that receivers run.
measure_schemes() {
    build/bench/verify_speed | results -c "\\copy schemes (name, ns, limit_ns) FROM pstdin CSV"
}
