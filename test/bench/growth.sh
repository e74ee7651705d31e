# shellcheck shell=bash
#
# Servers that have much, beside one that has little, measured in turn; sourced
# by script/bench.  Neither loses what it gets meanwhile: where files are truncated,
# those that grow next get memory that is still in the processor's caches.

# What the little one begins with.
few_events=1000

# measure_small ROUND SECONDS: the case without what makes it a case of growth.
measure_small() {
    local endpoints=1 events=$few_events listeners=0
    use_server small
    measure_receivers small "$@"
    use_server grown
}

# measure_growth ID: one factor, on a server that is made for it.
measure_growth() {
    local round
    take_case "$1"
    progress "$case_name: filling"
    if [[ ! -v sql_port[small] ]]; then
        start_bench_server small
        psql -c "CALL make_endpoints(1)"
    fi
    use_server small
    psql -c "TRUNCATE webhook_bridge.events, webhook_bridge.dedup, webhook_bridge.queue" -c "CALL make_events($few_events)" -c CHECKPOINT
    start_bench_server grown
    psql -c "CALL make_endpoints($endpoints)"
    prepare_deliveries "$provider" "$bytes" 1
    prepare_deliveries "$provider" "$bytes" "$endpoints"
    psql -c "CALL make_events($events)"
    if ((events > few_events)); then
        psql -c "VACUUM (ANALYZE, FREEZE) webhook_bridge.events, webhook_bridge.dedup" -c CHECKPOINT
        check_shape
        fact "$case_name" "$(psql -c "SELECT pg_size_pretty(sum(pg_total_relation_size(relid))) FROM pg_partition_tree('webhook_bridge.events')") of events, $(
            psql -c "SELECT pg_size_pretty(pg_total_relation_size('webhook_bridge.dedup'))") of ledger, payloads of 2 bytes"
    fi
    # long enough for most pages of the ledger to be written once after the checkpoint
    measure_case 0 "$((events > few_events ? 15 : 2))"
    for ((round = 1; round <= rounds; round++)); do
        measure_case "$round" "$seconds"
    done
    if ((events >= 10000000)) && wanted consumers; then
        measure_idle
    fi
    remove_bench_server grown
}

# What was filled in must be what receivers would have left: a delivery that was
# stored so is recognised when it is repeated.
check_shape() {
    local id path signature body status
    id=$(psql -c "SELECT external_id FROM webhook_bridge.events LIMIT 1")
    IFS=$'\t' read -r path signature body <"$(deliveries_file github 1024 1)"
    status=$(curl -s -H "X-GitHub-Event: push" -H "X-GitHub-Delivery: $id" -H "X-Hub-Signature-256: sha256=$signature" \
        -H "Content-Type: application/json" --data-binary "$body" "http://127.0.0.1:${http_port[$server]}$path")
    [[ $status == *duplicate* ]] || die "the ledger was not filled as receivers do: $status"
}
