# shellcheck shell=bash
#
# Where it was measured, and the report in Markdown; sourced by script/bench.

fact() {
    results -v name="$1" -v value="$2" <<<"INSERT INTO facts (name, value) VALUES (:'name', :'value')"
}

state_facts() {
    local settings
    fact processor "$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)"
    fact cores "$(nproc), shared with the load generator"
    fact company "load average of the last minute $(cut -d ' ' -f 1 /proc/loadavg) before anything was measured"
    fact memory "$(awk '/^MemTotal/ { printf "%.1f GB", $2 / 1048576 }' /proc/meminfo)"
    fact filesystem "$(df --output=fstype,source "$WB_WORK" | tail -n 1 | tr -s ' ')"
    fact system "$(uname -sr), $(. /etc/os-release && echo "$PRETTY_NAME")"
    fact postgresql "$("$PG_CONFIG" --version)"
    fact compiler "$("$PG_CONFIG" --cc) $("$PG_CONFIG" --cflags | grep -o -- '-O[0-9s]' | tail -n 1)"
    fact openssl "$(openssl version)"
    fact wrk "$({ wrk -v 2>&1 || true; } | head -n 1 | cut -d ' ' -f 2), 1 thread"
    fact nginx "$(nginx -v 2>&1 | sed 's/^.*: //'), 1 worker"
    fact fastify "$(node -p 'require("./test/bench/node_modules/fastify/package.json").version'), pg $(
        node -p 'require("./test/bench/node_modules/pg/package.json").version'), node $(node --version), 1 process, pool of 32"
    fact starlette "$(/usr/bin/python3 -c 'import asyncpg, platform, starlette, uvicorn
print(f"{starlette.__version__}, uvicorn {uvicorn.__version__} with uvloop and httptools, asyncpg {asyncpg.__version__}, Python {platform.python_version()}")'), 1 process, pool of 32"
    fact webhook "$(webhook -version | cut -d ' ' -f 3), a psql with an INSERT for each delivery"
    settings=$(printf '%s, ' "${server_settings[@]}")
    fact settings "${settings%, }"
    fact load "$rounds rounds of $seconds s for each measurement, in turn; a checkpoint before each, but not where growth is measured; medians"
}

# section TITLE TEXT: a table of the rows that psql prints for the queries on
# standard input, the first for the head, the second for the alignment.  Nothing
# at all if there are no others.
section() {
    local rows
    mapfile -t rows < <(results -F ' | ')
    ((${#rows[@]} > 2)) || return 0
    printf '\n%s%s\n\n' "${1:+## $1$'\n'$'\n'}" "$2"
    printf '| %s |\n' "${rows[@]}"
}

print_report() {
    echo '# script/bench'

    section 'Where' 'Everything was measured in one run on one machine.' <<'SQL'
SELECT '', '';
SELECT '---', '---';
SELECT name, value FROM facts ORDER BY id;
SQL

    section 'Deliveries' 'The reference: 1 receiver, 128 connections kept alive, bodies of 1 KB of JSON, signed with HMAC-SHA256 as by GitHub, an id each that
is looked for in the ledger and kept there, one NOTIFY per event, 1 session that listens, fsync on. Every other line says in what it differs. CPU is the
receivers'\''; "in all" with every process of the database server. Rates, times and ratios are medians of the rounds.' <<'SQL'
SELECT 'case', 'events/s', 'p50 ms', 'p99 ms', 'CPU µs/event', 'in all', 'events/commit', 'nginx requests/s', 'ratio';
SELECT '---', '---:', '---:', '---:', '---:', '---:', '---:', '---:', '---:';
SELECT s.name, round(s.per_second), round(s.p50_ms, 2), round(s.p99_ms, 2), round(s.cpu_us, 1), round(s.all_cpu_us, 1), round(s.batch),
       round(n.per_second), round(r.rate, 2)
FROM summary s
     LEFT JOIN summary n ON n.id = s.id AND n.target = 'nginx'
     LEFT JOIN case_ratios r ON r.id = s.id AND r.peer = 'nginx'
     JOIN cases c ON c.id = s.id
WHERE s.target = 'webhook_bridge' AND c.events IS NULL
ORDER BY s.id;
SQL

    section 'What else there is' 'The same deliveries, verified and stored by others in a table of their own. CPU is that of all their processes and the database server'\''s.' <<'SQL'
SELECT 'who', 'case', 'events/s', 'p50 ms', 'p99 ms', 'CPU µs/event in all', 'our rate', 'our CPU in all';
SELECT '---', '---', '---:', '---:', '---:', '---:', '---:', '---:';
SELECT s.target, s.name, round(s.per_second), round(s.p50_ms, 2), round(s.p99_ms, 2), round(s.all_cpu_us, 1),
       round(r.rate, 2) || ' times', round(r.all_cpu, 2) || ' times'
FROM summary s JOIN case_ratios r ON r.id = s.id AND r.peer = s.target
WHERE s.target NOT IN ('nginx', 'small', 'reference')
ORDER BY s.id, s.target;
SQL

    section '' 'The same rows, stored without HTTP and without a signature by pgbench and by COPY, with two unique indexes as we have. CPU is the database server'\''s.' <<'SQL'
SELECT 'how', 'rows/s', 'mean µs', 'p50 µs', 'rows/commit', 'CPU µs/row';
SELECT '---', '---:', '---:', '---:', '---:', '---:';
SELECT CASE name WHEN 'insert' THEN 'pgbench, 32 clients, one INSERT per transaction'
                 WHEN 'insert_prepared' THEN '... with prepared statements'
                 WHEN 'insert_notify' THEN '... one INSERT and one NOTIFY per transaction, 1 session that listens'
                 WHEN 'single_insert' THEN '1 client, one INSERT per transaction, as psql sends it'
                 WHEN 'single_prepared' THEN '... with a prepared statement'
                 WHEN 'batch' THEN '1 client, as many rows per transaction as a batch of the reference has, prepared'
                 WHEN 'copy' THEN 'COPY of 100,000 rows' END,
       round(per_second), round(mean_us), round(p50_us), rows_per_commit, round(cpu_us, 1)
FROM storing_summary ORDER BY array_position('{insert,insert_prepared,insert_notify,single_insert,single_prepared,batch,copy}', name);
SQL

    section 'Growth' 'In turn with a server that had 1,000 events to begin with, 1 endpoint, and nobody who listens. CPU is the receiver'\''s.' <<'SQL'
SELECT 'what it has', 'events/s', 'p50 ms', 'p99 ms', 'CPU µs/event', 'the little one: CPU µs/event', 'CPU ratio', 'p50 ratio';
SELECT '---', '---:', '---:', '---:', '---:', '---:', '---:', '---:';
SELECT regexp_replace(s.name, '^growth: ', ''), round(s.per_second), round(s.p50_ms, 2), round(s.p99_ms, 2), round(s.cpu_us, 1),
       round(l.cpu_us, 1), round(r.cpu, 2), round(r.p50, 2)
FROM summary s
     JOIN summary l ON l.id = s.id AND l.target = 'small'
     JOIN case_ratios r ON r.id = s.id AND r.peer = 'small'
WHERE s.target = 'webhook_bridge'
ORDER BY s.id;
SQL

    section 'Memory' 'Anonymous memory of a receiver: with one connection, and what 1,000 add that have each delivered once and stay open.' <<'SQL'
SELECT 'connections', 'one', '1,000';
SELECT '---', '---:', '---:';
SELECT name, round(idle_mb, 1) || ' MB', '+ ' || round(over_idle_mb, 1) || ' MB' FROM memory_summary ORDER BY name;
SQL

    section 'Consumers' 'They share the machine with the server.' <<'SQL'
SELECT 'what', '';
SELECT '---', '---:';
SELECT what, value
FROM consumer_summary,
     LATERAL (VALUES ('events/s fetched and acknowledged by 100, 1 session', events_per_second::text),
                     ('the same, 2 sessions', by_two_per_second::text),
                     ('two consumers: CPU per delivery, rate', ingest_cpu_ratio || ' times, ' || ingest_rate_ratio || ' times'),
                     ('from sending a delivery to its handler', wake_ms || ' ms'),
                     ('a fetch of nothing beside 10 million events', idle_fetch_ms || ' ms')) v (what, value)
WHERE value IS NOT NULL;
SQL

    section 'Verifying' 'Signatures over 1 KB, by SQL:' <<'SQL'
SELECT 'query', 'µs/row';
SELECT '---', '---:';
SELECT name, us
FROM sql_summary,
     LATERAL (VALUES ('verify(''github'', secret, headers, body)', verify_us_per_row),
                     ('encode(hmac(body, key, ''sha256''), ''hex'') = signature, of pgcrypto', pgcrypto_us_per_row),
                     ('ratio', ratio)) v (name, us);
SQL
    section '' 'In a receiver:' <<'SQL'
SELECT 'scheme', 'µs of CPU';
SELECT '---', '---:';
SELECT name, round(ns / 1000.0, 2) FROM schemes ORDER BY id;
SQL

    printf '\n## Checks\n\n```\n'
    results -F '' -c "SELECT CASE WHEN holds THEN 'ok - ' ELSE 'not ok - ' END, what, ' (', found, ')' FROM checks"
    echo '```'
}
