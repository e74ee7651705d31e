# Consumers under load: deliveries over several connections to two receivers and
# sessions that store in transactions of their own, which commit late and out of
# the order of ids; eight sessions that consume, roll back, fail and are killed;
# and all the time an old transaction that has written and stays open.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use IPC::Run;
use POSIX qw(WNOHANG _exit);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use WebhookBridge;

use constant {
    SENDERS     => 2,
    CONNECTIONS => 4,       # of each sender
    DELIVERIES  => 1500,    # on each connection
    STORERS     => 2,
    STORED      => 3000,    # by each storer
    WORKERS     => 4,       # of each consumer
    KILLS       => 30,
    LEASED      => 2000,
    PASSED      => 110_000,
    KEYS        => 20_000,
};

my $bridge = WebhookBridge->start('main', conf => <<'CONF');
webhook_bridge.receivers = 2
max_prepared_transactions = 2
client_connection_check_interval = 100ms
log_statement = none
restart_after_crash = on
CONF
my $node   = $bridge->node;
my $secret = 'shared secret';
my $said   = PostgreSQL::Test::Utils::tempdir();    # a file for each process that is started below
my @psql   = ('psql', '-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'));

$bridge->sql(<<"SQL");
CREATE TABLE old (n int);
CREATE TABLE going_on (yes boolean);
CREATE TABLE handled (number bigserial, consumer text, event_id bigint, session int DEFAULT pg_backend_pid());
CREATE TABLE leases (number bigserial, event_id bigint, ends_after timestamptz, fetched_before timestamptz, acked_at timestamptz, over boolean);
SELECT webhook_bridge.create_endpoint('shop', 'ecomanager', '$secret');
SELECT webhook_bridge.create_endpoint('open', 'generic', allow_unverified => true);
-- receivers make them before they store anything, but storers are none
SELECT webhook_bridge.create_event_partitions((now() AT TIME ZONE 'UTC')::date, 2);
SQL

my $old = IPC::Run::start([ @psql, '-f', '-' ], '<', \my $to_old, '>', \my $from_old, '2>', \my $old_errors);
$to_old = "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO old VALUES (1); SELECT count(*) FROM webhook_bridge.events;\n";
$old->pump until $from_old =~ /0/;

exactly_once();
leases();
prepared();
long_transaction();

$to_old = "SELECT 'still ' || count(*) FROM old; COMMIT;\n";
$old->finish;
like($from_old, qr/still 1/, 'the old transaction was open all the time');
crash();
done_testing();

# ---------------------------------------------------------------------------
# In one transaction with the work
# ---------------------------------------------------------------------------

sub exactly_once
{
    my $expected = SENDERS * CONNECTIONS * DELIVERIES + STORERS * STORED;
    my $begun    = time;

    # Events of a key come one after the other, each when the one before is
    # stored; the number in external_id or topic says which is which.
    $bridge->sql(<<'SQL');
SELECT webhook_bridge.create_consumer('all', max_attempts => 1000);
SELECT webhook_bridge.create_consumer('by_key', order_by => 'source', max_attempts => 1000);

CREATE PROCEDURE work(consumer text) LANGUAGE plpgsql AS $$
DECLARE
    event record;
    good bigint[];
    any_event boolean;
BEGIN
    WHILE EXISTS (SELECT FROM going_on) LOOP
        IF random() < 0.05 THEN
            BEGIN
                PERFORM webhook_bridge.fetch_events(consumer, 10);
                RAISE EXCEPTION 'on second thoughts';
            EXCEPTION WHEN raise_exception THEN
            END;
        END IF;
        good := '{}';
        any_event := false;
        FOR event IN SELECT id FROM webhook_bridge.fetch_events(consumer, 1 + (random() * 60)::int) LOOP
            any_event := true;
            IF random() < 0.03 THEN
                PERFORM webhook_bridge.fail_event(consumer, event.id, 'bad luck', '0 s');
            ELSE
                INSERT INTO handled (consumer, event_id) VALUES (consumer, event.id);
                good := good || event.id;
            END IF;
        END LOOP;
        PERFORM webhook_bridge.ack_events(consumer, good);
        IF random() < 0.1 THEN
            ROLLBACK;
        ELSE
            COMMIT;
        END IF;
        IF NOT any_event THEN
            PERFORM pg_sleep(0.01);
            COMMIT;
        END IF;
    END LOOP;
END
$$;

CREATE PROCEDURE store(storer text, count int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. count LOOP
        PERFORM webhook_bridge.admit('/hooks/open', now(), 'POST', NULL,
            ARRAY['X-Webhook-Topic', 'X-Webhook-Source'], ARRAY[n::text, storer || n % 3], '{}', NULL);
        CONTINUE WHEN n < count AND random() < 0.6;
        PERFORM pg_sleep(random() * 0.01);    -- others commit larger ids meanwhile
        COMMIT;
    END LOOP;
END
$$;

INSERT INTO going_on VALUES (true);
SQL

    my @senders = map { start_sender($_) } 1 .. SENDERS;
    my @storers = map { start_psql("CALL store('storer $_ ', @{[STORED]})") } 1 .. STORERS;
    my @workers = map { { consumer => $_ } } ('all', 'by_key') x WORKERS;
    my ($terminated, $killed) = (0, 0);

    my $look_at_workers = sub {
        for my $worker (@workers)
        {
            $worker->{pid} = start_psql("CALL work('$worker->{consumer}')")
              unless $worker->{pid} && waitpid($worker->{pid}, WNOHANG) == 0;
        }
    };
    my $lag = sub { return $bridge->sql('SELECT sum(lag_events) FROM webhook_bridge.consumer_status()') };

    while ($terminated + $killed < KILLS)
    {
        $look_at_workers->();
        my $worker = $workers[ rand @workers ];
        if (rand() < 0.5)
        {
            $terminated += $bridge->sql(<<"SQL");
SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
WHERE query LIKE 'CALL work(%' AND state = 'active' ORDER BY random() LIMIT 1) w
SQL
        }
        else
        {
            $killed += kill 'KILL', $worker->{pid};
        }
        sleep rand 0.2;
    }
    finish($_) for @senders, @storers;
    poll_until(
        sub {
            $look_at_workers->();
            return $lag->() == 0;
        },
        'consumers to have handled everything',
        4 * $WebhookBridge::DEADLINE);
    $bridge->sql('DELETE FROM going_on');
    waitpid $_->{pid}, 0 for @workers;

    is($bridge->count('webhook_bridge.events'), $expected, 'every delivery is stored');
    for my $consumer ('all', 'by_key')
    {
        my $result = $bridge->sql(<<"SQL");
SELECT count(*), count(*) FILTER (WHERE times > 1), count(*) FILTER (WHERE times IS NULL)
FROM webhook_bridge.events e
LEFT JOIN (SELECT event_id, count(*) AS times FROM handled WHERE consumer = '$consumer' GROUP BY 1) h ON h.event_id = e.id
SQL
        is($result, "$expected|0|0", "$consumer: handled every event exactly once: all, more than once, never");
    }
    is( $bridge->sql(<<'SQL'), '0', 'by_key: in order');
SELECT count(*) FROM (
    SELECT h.number, lag(h.number) OVER (PARTITION BY e.source ORDER BY coalesce(e.payload ->> 'number', e.topic)::int) AS before
    FROM handled h JOIN webhook_bridge.events e ON e.id = h.event_id WHERE h.consumer = 'by_key') n
WHERE number < before
SQL
    is($bridge->sql('SELECT count(*) FROM webhook_bridge.queue') + $bridge->sql('SELECT count(*) FROM webhook_bridge.attempts'),
        0, 'nothing is left in queue and attempts');
    my $out_of_order = $bridge->sql(<<'SQL');
SELECT count(*) FROM (SELECT number, lag(number) OVER (ORDER BY event_id) AS before FROM handled WHERE consumer = 'all') n WHERE number < before
SQL
    my $sessions = $bridge->sql('SELECT count(DISTINCT session) FROM handled');
    note sprintf '%d events, handled by 2 consumers in %d sessions, %d terminated and %d clients killed, in %d s; %d out of order for all',
        $expected, $sessions, $terminated, $killed, time - $begun, $out_of_order;
    $bridge->sql("SELECT webhook_bridge.drop_consumer(name) FROM webhook_bridge.consumers");
    return;
}

# A process that delivers over some connections, on each the next one when the
# one before is answered.
sub start_sender
{
    my ($sender) = @_;
    my $pid = start_process();
    return $pid if $pid;
    eval {
        my @connections = map { $bridge->connect } 1 .. CONNECTIONS;
        for my $n (1 .. DELIVERIES)
        {
            my @waiting = 0 .. $#connections;
            while (@waiting)
            {
                for my $c (@waiting)
                {
                    my $body = qq({"number":$n});
                    $connections[$c]->send(http_request('POST', '/hooks/shop',
                            ecomanager_headers($secret, $body, source => "sender $sender $c " . $n % 2), $body));
                }
                @waiting = grep { $connections[$_]->response->{status} != 200 } @waiting;
            }
        }
    };
    warn $@ if $@;
    _exit($@ ? 1 : 0);
}

# A client that runs a statement.
sub start_psql
{
    my ($sql) = @_;
    my $pid = start_process();
    return $pid if $pid;
    open STDIN,  '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    exec @psql, '-c', $sql or _exit(1);
}

# A process like this one, of which nobody sees what it says unless it fails in
# finish().  Returns as fork does.
sub start_process
{
    my $pid = fork // die "could not fork: $!";
    open STDERR, '>', "$said/$$" if $pid == 0;
    return $pid;
}

sub finish
{
    my ($pid) = @_;
    waitpid $pid, 0;
    die "process $pid ended with status $?: " . slurp_file("$said/$pid") if $?;
    return;
}

# ---------------------------------------------------------------------------
# Under a lease
# ---------------------------------------------------------------------------

# Sessions commit what they have fetched, then acknowledge some of it and forget
# the rest, which comes again.
sub leases
{
    $bridge->sql(<<"SQL");
SELECT webhook_bridge.create_consumer('leased', max_attempts => 1000);
CREATE PROCEDURE work_under_lease() LANGUAGE plpgsql AS \$\$
DECLARE
    begun timestamptz;
    got bigint[];
    lease interval;
BEGIN
    WHILE EXISTS (SELECT FROM webhook_bridge.consumer_status('leased') WHERE lag_events > 0) LOOP
        lease := random() * interval '0.5 s' + interval '0.1 s';
        begun := clock_timestamp();
        SELECT array_agg(id) INTO got FROM webhook_bridge.fetch_events('leased', 20, lease);
        INSERT INTO leases (event_id, ends_after, fetched_before) SELECT id, begun + lease, clock_timestamp() FROM unnest(got) id;
        COMMIT;
        PERFORM pg_sleep(random() * 0.01);
        COMMIT;
        got := ARRAY(SELECT id FROM unnest(got) id WHERE random() < 0.7);
        UPDATE leases SET acked_at = clock_timestamp() WHERE event_id = ANY (got) AND ends_after = begun + lease;
        PERFORM webhook_bridge.ack_events('leased', got);
        COMMIT;
    END LOOP;
END
\$\$;
SELECT webhook_bridge.replay_events('leased', endpoint => 'shop', until => max(received_at))
FROM (SELECT received_at FROM webhook_bridge.events WHERE endpoint = 'shop' ORDER BY received_at LIMIT @{[LEASED]}) e;
SQL
    my $events = $bridge->sql(q(SELECT lag_events FROM webhook_bridge.consumer_status('leased')));
    cmp_ok($events, '>', 0, 'leases: there are events');
    my @workers = map { start_psql('CALL work_under_lease()') } 1 .. 4;
    finish($_) for @workers;

    my $result = $bridge->sql(<<'SQL');
WITH ordered AS (
    SELECT *, lead(fetched_before) OVER w AS next_before, lead(number) OVER w IS NOT NULL AS again
    FROM leases WINDOW w AS (PARTITION BY event_id ORDER BY number))
SELECT count(DISTINCT event_id) FILTER (WHERE acked_at IS NOT NULL), count(*) FILTER (WHERE next_before < ends_after), count(*)
FROM ordered
SQL
    my ($handled, $too_early, $fetched) = split /\|/, $result;
    is($handled,   $events, 'leases: every event was handled at least once');
    is($too_early, 0,       'leases: none was handed out while somebody had it');
    note "$events events were handed out $fetched times";
    return;
}

# ---------------------------------------------------------------------------
# Prepared transactions hold what they have fetched, and give it back
# ---------------------------------------------------------------------------

sub prepared
{
    $bridge->sql(<<'SQL');
SELECT webhook_bridge.create_consumer('two_phases', endpoints => '{open}', order_by => 'source');
SELECT webhook_bridge.replay_events('two_phases', topic => '1');
SELECT webhook_bridge.replay_events('two_phases', topic => '4');
SQL
    my $fetch = q(SELECT count(*) FROM webhook_bridge.fetch_events('two_phases'));
    is($bridge->sql("BEGIN; $fetch; PREPARE TRANSACTION 'a'; $fetch; ROLLBACK PREPARED 'a'"), "2\n0", 'prepared: a key is reserved');
    is($bridge->sql("BEGIN; $fetch; PREPARE TRANSACTION 'a'; COMMIT PREPARED 'a'; $fetch"),   "2\n0", 'prepared: rolled back, it was there again');
    return;
}

# ---------------------------------------------------------------------------
# Beside a transaction that does not end
# ---------------------------------------------------------------------------

# Nothing of what has passed through the queue can be removed, but it must not be
# looked at again and again.
sub long_transaction
{
    my $passed = PASSED;
    my $result = $bridge->sql(<<"SQL");
INSERT INTO webhook_bridge.events (received_at, endpoint, method, headers, verified)
SELECT clock_timestamp(), 'long', 'POST', '[]', true FROM generate_series(1, $passed);
DO \$\$ BEGIN PERFORM webhook_bridge.create_consumer('long'); END \$\$;
SELECT webhook_bridge.replay_events('long', endpoint => 'long'), webhook_bridge.replay_events('long', endpoint => 'long');
CREATE TABLE batches (number int, took interval);
DO \$\$
DECLARE
    begun timestamptz;
BEGIN
    FOR n IN 1 .. $passed / 100 LOOP
        begun := clock_timestamp();
        IF webhook_bridge.ack_events('long', array_agg(id)) <> 100 FROM webhook_bridge.fetch_events('long', 100) THEN
            RAISE EXCEPTION 'too few';
        END IF;
        COMMIT;
        INSERT INTO batches VALUES (n, clock_timestamp() - begun);
    END LOOP;
END
\$\$;
SQL
    is($result, "$passed|0", 'long transaction: all are queued, once');
    my ($first, $last) = split /\|/, $bridge->sql(<<'SQL');
SELECT round(1000 * extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY took) FILTER (WHERE number BETWEEN 10 AND 110)), 2),
       round(1000 * extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY took) FILTER (WHERE number > (SELECT max(number) - 100 FROM batches))), 2)
FROM batches
SQL
    cmp_ok($last, '<', 3 * $first, "long transaction: as fast after $passed events as at the beginning");
    note "the first batches took $first ms each, the last $last ms (medians)";

    # Nor by a session that has just begun, with what the planner now believes of
    # tables without a row, and not to find the next key.
    $bridge->sql(<<"SQL");
SELECT webhook_bridge.create_consumer('keys', order_by => 'source');
SELECT webhook_bridge.replay_events('keys', endpoint => 'long', until => received_at)
FROM (SELECT received_at FROM webhook_bridge.events WHERE endpoint = 'long' ORDER BY received_at OFFSET @{[KEYS]} LIMIT 1) e;
DO \$\$
BEGIN
    WHILE webhook_bridge.ack_events('keys', array_agg(id)) > 0 FROM webhook_bridge.fetch_events('keys', 1000) LOOP
        COMMIT;
    END LOOP;
END
\$\$;
INSERT INTO webhook_bridge.events (endpoint, method, headers, verified) SELECT 'last', 'POST', '[]', true FROM generate_series(1, 100);
SELECT webhook_bridge.replay_events('long', endpoint => 'last'), webhook_bridge.replay_events('keys', endpoint => 'last');
VACUUM ANALYZE webhook_bridge.queue, webhook_bridge.attempts;
SQL
    my $entries_read = sub {
        return $bridge->sql(<<'SQL');
SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
WHERE indexrelname IN ('attempts_pkey', 'attempts_due_idx', 'attempts_key_idx', 'queue_key_idx')
SQL
    };
    my $before = $entries_read->();
    is($bridge->sql(<<'SQL'), 200, 'long transaction: few events are handled');
CREATE TABLE few (events bigint);
DO $$
BEGIN
    FOR n IN 1 .. 20 LOOP
        INSERT INTO few SELECT webhook_bridge.ack_events(c, array_agg(f.id))
        FROM unnest(ARRAY['long', 'keys']) c, webhook_bridge.fetch_events(c, 5) f GROUP BY c;
        COMMIT;
    END LOOP;
END
$$;
SELECT sum(events) FROM few;
SQL
    my $read = $entries_read->() - $before;
    cmp_ok($read, '<', KEYS, 'long transaction: without reading what is gone');
    note "200 events, $read entries of indexes read";
    return;
}

# ---------------------------------------------------------------------------
# kill -9 of a session that consumes, with which the whole server goes down
# ---------------------------------------------------------------------------

sub crash
{
    my $fetch = q(SELECT string_agg(id::text, ' ' ORDER BY id) FROM webhook_bridge.fetch_events('crashed', 10));
    $bridge->sql("SELECT webhook_bridge.create_consumer('crashed', endpoints => '{open}'), webhook_bridge.replay_events('crashed')");
    my $session = $node->background_psql('postgres');
    my $ids     = $session->query_safe("BEGIN; INSERT INTO old VALUES (2); $fetch");
    like($ids, qr/^\d+( \d+){9}$/, 'crash: ten events are fetched');
    is($session->query_safe("SELECT webhook_bridge.ack_events('crashed', '{@{[ $ids =~ tr/ /,/r ]}}')"), 10, 'crash: and acknowledged');
    my $pid    = $session->query_safe('SELECT pg_backend_pid()');
    my $offset = (stat $node->logfile)[7];
    is(kill('KILL', $pid), 1, 'crash: the session is killed');
    poll_until(sub { scalar($bridge->log_text($offset)) =~ /reinitializing/ && eval { $bridge->sql('SELECT 1') } }, 'the server to recover');
    eval { $session->quit };
    is($bridge->sql($fetch), $ids, 'crash: the same come again');
    is($bridge->count('old WHERE n = 2'), 0, 'crash: and what was done with them is not done');
    return;
}
