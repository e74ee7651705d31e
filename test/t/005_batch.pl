# Deliveries, transactions and answers: 200 means stored and on disk, 503 means
# not stored, whatever happens in the database; and what listeners and
# administrators see of it.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_base64);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use WebhookBridge;

# The WAL writer sleeps, so that nothing but a commit brings WAL to disk.
my $bridge = WebhookBridge->start('main', conf => <<'CONF');
wal_level = replica
max_wal_senders = 2
wal_writer_delay = 10s
CONF
my $secret = 'shared secret';

# A sender whose deliveries have ids.
$bridge->sql(<<"SQL");
INSERT INTO webhook_bridge.providers (name, title, signature_from, topic_from, external_id_from)
VALUES ('sender', 'Sender', 'header:X-Webhook-Signature', '{header:X-Webhook-Topic}', '{header:X-Webhook-Id}');
SELECT webhook_bridge.create_endpoint('shop', 'sender', '$secret')
SQL
my $connection = $bridge->connect;

# A signed request; its id is new unless given.
my $number = 0;

sub delivery
{
    my (%options) = @_;
    my $id   = $options{id}   // 'd-' . ++$number;
    my $body = $options{body} // qq({"id":"$id"});
    my @headers = (
        'X-Webhook-Topic'     => $options{topic} // 'topic',
        'X-Webhook-Id'        => $id,
        'X-Webhook-Signature' => hmac_sha256_hex($body, $secret));
    return http_request('POST', '/hooks/' . ($options{endpoint} // 'shop'), \@headers, $body);
}

sub deliver
{
    my (%options) = @_;
    $connection->send(delivery(%options));
    return $connection->response;
}

sub rows_of
{
    my ($id) = @_;
    return $bridge->count("webhook_bridge.events WHERE external_id = '$id'");
}

sub unavailable_is
{
    my ($answer, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    answer_is($answer, 503, 'delivery could not be stored', $name);
    return like($answer->{headers}{'retry-after'}, qr/\A[1-9]\d*\z/, "$name: Retry-After");
}

# Reloads settings and returns when the receiver has read them, which shows in
# the size of body it takes.
my $limit = 10_000;

sub reload
{
    my (%settings) = @_;
    $limit++;
    $bridge->reload(%settings, 'webhook_bridge.max_body_size' => $limit);
    # both: before the first time there is another limit
    poll_until(sub { $bridge->post('/hooks/shop', 'x' x $limit)->{status} == 401 && $bridge->post('/hooks/shop', 'x' x ($limit + 1))->{status} == 413 },
        'settings to be read');
    return;
}

# --- Partitions ----------------------------------------------------------------------

# Soon after there is an endpoint, without any delivery.
ok( poll_until(sub { $bridge->sql(<<'SQL') == 3 }, 'the partitions'), 'partitions: for today and the next two days');
SELECT count(to_regclass('webhook_bridge.events_' || to_char((now() AT TIME ZONE 'UTC')::date + n, 'YYYYMMDD')))
FROM generate_series(0, 2) n
SQL
my $partition = $bridge->sql(q(SELECT 'webhook_bridge.events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')));

# --- One that cannot be stored --------------------------------------------------------------------

$bridge->sql(<<'SQL');
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.topic = 'poison' THEN
        RAISE EXCEPTION 'poisoned' USING DETAIL = NEW.payload::text;
    ELSIF NEW.topic = 'swallowed' THEN
        RETURN NULL;
    ELSIF NEW.topic = 'slow' THEN
        PERFORM pg_sleep(0.1);
    ELSIF NEW.topic = 'stuck' THEN
        PERFORM pg_sleep(60);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER poison BEFORE INSERT ON webhook_bridge.events FOR EACH ROW EXECUTE FUNCTION poison();
SQL

# Sends requests with these topics at once.  Tests the answers and rows, and,
# by the number of transactions, that they were in one batch.
sub batch_is
{
    my ($name, $topics, $transactions) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @ids = map { "$name-$_" } 1 .. @$topics;
    my $body = '{"iban":"DE02"}';
    my %bad = map { $_ => 1 } qw(poison swallowed);
    my $before = $bridge->status;

    $connection->send(join '', map { delivery(id => $ids[$_], topic => $topics->[$_], body => $body) } 0 .. $#ids);
    my @answers = $connection->responses(scalar @ids);
    for my $i (0 .. $#ids)
    {
        my $is_bad = $bad{ $topics->[$i] };
        is($answers[$i]{status}, $is_bad ? 503 : 200, "$name: answer $i");
        ok($answers[$i]{headers}{'retry-after'}, "$name: answer $i: Retry-After") if $is_bad;
    }
    is_deeply(
        [ map { $_->{external_id} } $bridge->events("external_id ~ '^$name-'") ],
        [ map { $ids[$_] } grep { !$bad{ $topics->[$_] } } 0 .. $#ids ],
        "$name: one row for each 200, none for a 503");
    my $after = $bridge->status;
    is($after->{batches} - $before->{batches}, $transactions, "$name: transactions");
    is( $after->{unavailable} - $before->{unavailable},
        scalar(grep { $bad{$_} } @$topics),
        "$name: refusals are counted");
    return;
}

{
    batch_is('good',   [ ('topic') x 20 ], 1);
    batch_is('first',  [ 'poison', ('topic') x 19 ], 19);
    batch_is('middle', [ ('topic') x 10, 'poison', ('topic') x 9 ], 19);
    batch_is('last',   [ ('topic') x 19, 'poison' ], 19);
    batch_is('two',    [ ('topic') x 5, 'poison', ('topic') x 5, 'swallowed', ('topic') x 8 ], 18);
    batch_is('swallowed', [ ('topic') x 10, 'swallowed', ('topic') x 9 ], 19);
    unavailable_is(deliver(id => 'alone-1', topic => 'poison'),    'alone, raised');
    unavailable_is(deliver(id => 'alone-2', topic => 'swallowed'), 'alone, swallowed');
    is(rows_of('alone-1') + rows_of('alone-2'), 0, 'neither is stored');

    my $log = $bridge->log_text;
    like($log, qr/WARNING: .*webhook_bridge failed in storing deliveries: error P0001, /, 'the log says what is wrong');
    unlike($log, qr/deliveries: poisoned|DE02/, 'and quotes no delivery');

    # their ids are not used up
    answer_is(deliver(id => 'alone-1'),  200, 'stored',    'a repetition that can be stored is');
    answer_is(deliver(id => 'middle-11'), 200, 'stored',    'the same in what was a batch');
    answer_is(deliver(id => 'middle-1'), 200, 'duplicate', 'and the others of that batch are there');
}

# --- Partitions that are dropped ------------------------------------------------------------

# Right behind the commit, before the receiver looks by itself.
for my $round (1 .. 5)
{
    $bridge->sql("DROP TABLE $partition");
    if ($round % 2)
    {
        answer_is(deliver(id => "p-$round"), 200, 'stored', "partitions: dropped by hand, round $round");
    }
    else
    {
        $connection->send(join '', delivery(id => "p-$round"), map { delivery() } 1 .. 9);
        is(join(' ', map { $_->{status} } $connection->responses(10)), join(' ', (200) x 10),
            "partitions: dropped by hand, a batch, round $round");
    }
    is($bridge->count("$partition WHERE external_id = 'p-$round'"),
        1, "partitions: it is back with the row, round $round");
}

# Detached, which the receiver notices, and dropped later, which it cannot.
{
    $bridge->sql("ALTER TABLE webhook_bridge.events DETACH PARTITION $partition");
    poll_until(
        sub { $bridge->log_text =~ /WARNING: .*is not a partition of webhook_bridge\.events/ },
        'the receiver to find the detached table');
    $bridge->sql("DROP TABLE $partition");
    answer_is(deliver(id => 'detached'), 200, 'stored', 'partitions: a detached one is dropped');
    is(rows_of('detached'), 1, 'partitions: a new one has the row');
}

# A partition with what its parent does not have, and with its columns in another order.
{
    my @days   = map { $bridge->sql("SELECT quote_literal((now() AT TIME ZONE 'UTC')::date + $_ || ' 00:00+00')") } 0, 1;
    my $change = sub {
        $bridge->sql(<<~"SQL");
            BEGIN;
            ALTER TABLE webhook_bridge.events DETACH PARTITION $partition;
            ALTER TABLE $partition DROP source, ADD source text $_[0];
            ALTER TABLE webhook_bridge.events ATTACH PARTITION $partition FOR VALUES FROM ($days[0]) TO ($days[1]);
            COMMIT
            SQL
    };
    $change->(q(GENERATED ALWAYS AS (upper(endpoint)) STORED));
    answer_is(deliver(id => 'generated'), 200, 'stored', 'partitions: one that generates a column');
    is($bridge->sql("SELECT source = upper(endpoint) FROM $partition WHERE external_id = 'generated'"), 't', 'partitions: and has it');
    $change->(", ADD CONSTRAINT placed CHECK (tableoid = '$partition'::regclass)");
    answer_is(deliver(id => 'placed'), 200, 'stored', 'partitions: a constraint that looks at the table');
    $bridge->sql("ALTER TABLE $partition DROP CONSTRAINT placed");
}

# One of later days is missing, and somebody's lock keeps it from being made.
{
    my $later = $bridge->sql("SELECT max(inhrelid::regclass::text) FROM pg_inherits "
          . "WHERE inhparent = 'webhook_bridge.events'::regclass");
    my $holder = $bridge->node->background_psql('postgres');
    $bridge->sql("DROP TABLE $later");
    $holder->query_safe('BEGIN; LOCK TABLE webhook_bridge.events IN SHARE UPDATE EXCLUSIVE MODE;');
    for my $n (1 .. 5)
    {
        answer_is(deliver(), 200, 'stored', "partitions: a lock on events, delivery $n");
    }
    $holder->quit;
}

# --- Triggers that meddle -------------------------------------------------------------------

{
    $bridge->sql(<<'SQL');
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SET default_transaction_read_only = on;
    SET synchronous_commit = off;
    SET search_path = nowhere;
    RETURN NEW;
END
$$;
CREATE TRIGGER meddle BEFORE INSERT ON webhook_bridge.events FOR EACH ROW EXECUTE FUNCTION meddle();
SQL
    answer_is(deliver(), 200, 'stored', 'settings: a trigger changes them');
    answer_is(deliver(), 200, 'stored', 'settings: for its transaction only');
    $bridge->sql('DROP TRIGGER meddle ON webhook_bridge.events');
    answer_is(deliver(), 200, 'stored', 'settings: and not for later ones');
}

# Thirty slow rows take longer than a transaction may; sent again, smaller
# batches get them in.
{
    my @ids = map { "slow-$_" } 1 .. 30;
    my %left = map { $_ => 1 } @ids;
    for my $attempt (1 .. 20)
    {
        my @now = sort keys %left or last;
        $connection->send(join '', map { delivery(id => $_, topic => 'slow') } @now);
        my @answers = $connection->responses(scalar @now);
        $answers[$_]{status} == 200 and delete $left{ $now[$_] } for 0 .. $#now;
    }
    is(join(' ', sort keys %left), '', 'slow rows: all are stored in the end');
    is($bridge->count("webhook_bridge.events WHERE external_id LIKE 'slow-%'"), 30, 'slow rows: once each');
}

# --- Statistics and activity, before other sessions disturb them ---------------------------

{
    my $inserted = sub {
        return $bridge->sql("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relid = '$partition'::regclass");
    };
    answer_is(deliver(), 200, 'stored', "statistics: $_") for 1 .. 10;
    my $now = $bridge->count($partition);
    ok(poll_until(sub { $inserted->() >= $now }, 'statistics of the partition'), 'statistics: every row is counted');
    ok( poll_until(
            sub { $bridge->sql(q(SELECT n_tup_ins >= 10 FROM pg_stat_user_tables WHERE relname = 'dedup')) eq 't' },
            'statistics of the ledger'),
        'statistics: of the ledger as well');

    # in between it looks whether the extension is there, for which it is active for a moment
    my $idle = poll_until(
        sub {
            my $row = $bridge->sql(<<'SQL');
SELECT state, query, xact_start IS NULL, backend_xid IS NULL, backend_xmin IS NULL, datname, usename IS NOT NULL
FROM pg_stat_activity WHERE backend_type = 'webhook_bridge receiver'
SQL
            return $row =~ /\Aidle\|/ && $row;
        },
        'the receiver to be idle');
    like($idle, qr/\Aidle\|(?:storing deliveries|looking for the extension|creating partitions)?\|t\|t\|t\|postgres\|t\z/, 'activity: idle, with no transaction open');
}

# --- NOTIFY ------------------------------------------------------------------------------------

# Notifications that a listening session got until now, as "channel payload".
sub notifications
{
    my ($session) = @_;

    # they arrive in the order of commits, so that our own is the last
    my $output = $session->query_safe(q(NOTIFY webhook_bridge, 'that was all'));
    poll_until(sub { $output =~ /that was all/ || ($output .= "\n" . $session->query_safe('SELECT 1')) && 0 },
        'our own notification');
    my @all = $output =~ /^Asynchronous notification "(.*?)" with payload "(.*)" received/mg;
    my @texts;
    while (my ($channel, $payload) = splice @all, 0, 2)
    {
        push @texts, "$channel $payload" unless $payload eq 'that was all';
    }
    return @texts;
}

{
    my $session = $bridge->node->background_psql('postgres');
    my $long    = 'e' x 63;
    $bridge->sql(<<"SQL");
SELECT webhook_bridge.create_endpoint('batch', 'sender', '$secret', notify => 'batch');
SELECT webhook_bridge.create_endpoint('none', 'sender', '$secret', notify => 'none');
SELECT webhook_bridge.create_endpoint('own', 'sender', '$secret', channel => 'Own "channel"');
SELECT webhook_bridge.create_endpoint('$long', 'ecwid', '$secret');
SQL
    $session->query_safe('LISTEN webhook_bridge; LISTEN "Own ""channel"""');

    for my $row (
        # what, requests, answers, notifications with ids left out
        [ 'event', [ map { delivery(topic => qq(t "$_" \\ \xC3\xA9)) } 1 .. 3 ], '200 200 200',
            map { qq(webhook_bridge {"endpoint":"shop","topic":"t \\"$_\\" \\\\ \xC3\xA9","id":ID}) } 1 .. 3 ],
        [ 'no topic', [ delivery(topic => '') ], '200', 'webhook_bridge {"endpoint":"shop","topic":null,"id":ID}' ],
        [ 'own channel', [ delivery(endpoint => 'own') ], '200',
            'Own "channel" {"endpoint":"own","topic":"topic","id":ID}' ],
        [ 'none', [ delivery(endpoint => 'none') ], '200' ],
        [ 'batch', [ map { delivery(endpoint => 'batch') } 1 .. 10 ], join(' ', (200) x 10),
            'webhook_bridge {"endpoint":"batch","events":10,"id":ID}' ],
        [ 'both', [ map { delivery(endpoint => $_) } qw(batch shop batch none) ], '200 200 200 200',
            'webhook_bridge {"endpoint":"shop","topic":"topic","id":ID}',
            'webhook_bridge {"endpoint":"batch","events":2,"id":ID}' ],
        [ 'a duplicate', [ map { delivery(id => 'twin', endpoint => $_) } qw(shop shop batch batch) ],
            '200 200 200 200',
            'webhook_bridge {"endpoint":"shop","topic":"topic","id":ID}',
            'webhook_bridge {"endpoint":"batch","events":1,"id":ID}' ],
        [ 'a refusal', [ delivery() =~ s/Signature: ./Signature: x/r ], '401' ])
    {
        my ($what, $requests, $statuses, @expected) = @$row;

        $connection->send(join '', @$requests);
        is(join(' ', map { $_->{status} } $connection->responses(scalar @$requests)),
            $statuses, "NOTIFY $what: answers");
        my @got = notifications($session);
        my @ids = map { /"id":(\d+)/ } @got;
        is_deeply([ map { s/"id":\d+/"id":ID/r } @got ], \@expected, "NOTIFY $what: notifications");
        is( $bridge->count('webhook_bridge.events WHERE id IN (' . join(',', 0, @ids) . ')'),
            scalar @expected,
            "NOTIFY $what: ids are those of rows");
    }

    # escapes make a text six times as long, and still it fits
    for my $length (1000, 1001)
    {
        my $topic = '\\u0001' x $length;
        my $body  = qq({"eventId":"long-$length","eventCreated":1700000000,"eventType":"$topic"});
        $connection->send(http_request('POST', "/hooks/$long",
            [ 'X-Ecwid-Webhook-Signature' => hmac_sha256_base64("1700000000.long-$length", $secret) . '=' ], $body));
        answer_is($connection->response, 200, 'stored', "NOTIFY: topic of $length control characters");
        my ($payload) = map { s/\Awebhook_bridge //r } notifications($session);
        cmp_ok(length $payload, '<', 8000, 'NOTIFY: below the limit');
        my $notified = decode_json($payload);
        is($notified->{topic}, $length > 1000 ? undef : "\x01" x 1000, 'NOTIFY: whole, or not at all');
        is($notified->{endpoint}, $long, 'NOTIFY: endpoint');
        is(rows_of("long-$length"), 1, 'NOTIFY: stored');
    }
    $session->quit;
}

# --- A lock ------------------------------------------------------------------------------------------

{
    my $session = $bridge->node->background_psql('postgres');
    $session->query_safe('BEGIN; LOCK TABLE webhook_bridge.events IN ACCESS EXCLUSIVE MODE');
    for my $count (1, 10)
    {
        my $start = time;
        $connection->send(join '', map { delivery(id => "locked-$_") } 1 .. $count);
        unavailable_is($_, 'lock') for $connection->responses($count);
        cmp_ok(time - $start, '<', 4, "lock: $count are answered within a bounded time");
    }

    # what an administrator sees
    $connection->send(delivery(id => 'locked-1'));
    my $seen = poll_until(
        sub {
            # its transaction goes on seeing what it has once seen
            $session->query_safe('SELECT pg_stat_clear_snapshot()');
            return $session->query_safe(<<'SQL');
SELECT state, wait_event_type, query FROM pg_stat_activity
WHERE backend_type = 'webhook_bridge receiver' AND wait_event_type = 'Lock' AND query <> 'creating partitions'
SQL
        },
        'the receiver to wait');
    is($seen, 'active|Lock|storing deliveries', 'lock: the receiver is seen waiting for it');

    $session->query_safe('COMMIT');
    $session->quit;
    like($connection->response->{status}, qr/\A(200|503)\z/, 'lock: who waited when it was released has an answer');
    like(deliver(id => 'locked-1')->{body}, qr/stored|duplicate/, 'lock: then deliveries are stored again');
    is(rows_of('locked-1'), 1, 'lock: once');
    is(rows_of('locked-2'), 0, 'lock: nothing of what was answered 503 is there');
}

# A trigger that never ends is the same.
{
    my $start = time;
    unavailable_is(deliver(topic => 'stuck'), 'a trigger that does not end');
    cmp_ok(time - $start, '<', 4, 'is ended');
    # what comes before the receiver has looked around is refused with it
    ok(poll_until(sub { deliver()->{status} == 200 }, 'a delivery to be stored'), 'and the next are stored');
}

# --- Settings of the system ---------------------------------------------------------------------------

reload('default_transaction_read_only' => 'on');
unavailable_is(deliver(id => 'read-only'), 'read-only');
is(rows_of('read-only'), 0, 'read-only: is not stored');
reload('default_transaction_read_only' => 'off');
answer_is(deliver(id => 'read-only'), 200, 'stored', 'read-only: no longer');

{
    # our own sessions do not want these
    local $ENV{PGOPTIONS} = '-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0';
    my @timeouts = qw(statement_timeout lock_timeout idle_in_transaction_session_timeout);
    if ($bridge->node->pg_version >= 17)
    {
        $ENV{PGOPTIONS} .= ' -c transaction_timeout=0';
        push @timeouts, 'transaction_timeout';
    }
    reload(map { $_ => '1ms' } @timeouts);
    answer_is(deliver(topic => 'slow'), 200, 'stored', 'timeouts of the system do not concern deliveries');

    my $session = $bridge->node->background_psql('postgres');
    $session->query_safe('BEGIN; LOCK TABLE webhook_bridge.events IN ACCESS EXCLUSIVE MODE');
    $connection->send(delivery(id => 'waited'));
    poll_until(
        sub { $session->query_safe('SELECT count(*) FROM pg_locks WHERE NOT granted') > 0 },
        'the receiver to wait');
    $session->query_safe('COMMIT');
    $session->quit;
    answer_is($connection->response, 200, 'stored', 'nor does lock_timeout');
    reload(map { $_ => '0' } @timeouts);
}

# --- Cancellation -----------------------------------------------------------------------------------------

{
    my $pid     = $bridge->sql('SELECT pid FROM webhook_bridge.status() WHERE receiver = 0');
    my $session = $bridge->node->background_psql('postgres');
    my (%answer, $rounds);
    $bridge->sql('CREATE TABLE enough ()');
    $session->query_until(qr/begun/, <<"SQL");
\\echo begun
DO \$\$ BEGIN WHILE NOT EXISTS (SELECT FROM enough) LOOP PERFORM pg_cancel_backend($pid), pg_sleep(0.003); END LOOP; END \$\$;
SQL
    # on a busy machine it may take a while until a transaction is hit
    my ($least, $most) = (time + 1.5, time + $WebhookBridge::DEADLINE);
    while (time < $least || (time < $most && !grep { $_ == 503 } values %answer))
    {
        my @ids = map { 'c-' . ++$rounds } 1 .. 10;
        $connection->send(join '', map { delivery(id => $_) } @ids);
        @answer{@ids} = map { $_->{status} } $connection->responses(10);
    }
    $bridge->sql('INSERT INTO enough DEFAULT VALUES');
    $session->query_safe('SELECT 1');
    $session->quit;
    $bridge->sql('DROP TABLE enough');

    my %rows = map { split /\|/ } split /\n/,
      $bridge->sql(q(SELECT external_id, count(*) FROM webhook_bridge.events WHERE external_id ~ '^c-' GROUP BY 1));
    is(scalar(grep { $answer{$_} == 200 && ($rows{$_} // 0) != 1 } keys %answer), 0, 'cancelled: each 200 has one row');
    is(scalar(grep { $answer{$_} == 503 && $rows{$_} } keys %answer), 0, 'cancelled: no 503 has one');
    cmp_ok(scalar(grep { $_ == 503 } values %answer), '>', 0, 'cancelled: some were hit');
    is(scalar(grep { $_ == 200 || $_ == 503 } values %answer), scalar keys %answer, 'cancelled: all are answered');
    is($bridge->sql('SELECT pid FROM webhook_bridge.status() WHERE receiver = 0'), $pid, 'cancelled: the receiver lives on');
    answer_is(deliver(), 200, 'stored', 'cancelled: and stores');
}

# --- On disk -------------------------------------------------------------------------------------------------

$bridge->sql('DROP TRIGGER poison ON webhook_bridge.events');

# A standby that is not there keeps every commit waiting that waits for more
# than the local disk.
for my $row (
    # synchronous_commit, status without a standby
    [ 'off',          503 ],
    [ 'local',        503 ],
    [ 'remote_apply', 503 ])
{
    my ($level, $status) = @$row;
    reload('synchronous_commit' => $level, 'synchronous_standby_names' => 'nobody');
    is(deliver()->{status}, $status, "synchronous_commit = $level: no 200 without the standby");
}
reload('synchronous_commit' => 'off', 'synchronous_standby_names' => '');
for my $round (1 .. 3)
{
    my $before = $bridge->sql('SELECT pg_current_wal_insert_lsn()');
    answer_is(deliver(id => "disk-$round"), 200, 'stored', "synchronous_commit = off, round $round");
    is($bridge->sql("SELECT pg_current_wal_flush_lsn() > '$before'"), 't', 'what was answered 200 is on disk');
}
answer_is(deliver(id => 'last'), 200, 'stored', 'the last delivery before the end');
$bridge->node->stop('immediate');
$bridge->node->start;
is(rows_of('last'), 1, 'is there after recovery');
$bridge->wait_until_listening;
$connection = $bridge->connect;
answer_is(deliver(id => 'last'), 200, 'duplicate', 'and is known');
answer_is(deliver(),             200, 'stored',    'deliveries are stored again');

is($bridge->sql(<<'SQL'), 0, 'no delivery is there twice');
SELECT count(*) - count(DISTINCT (endpoint, external_id)) FROM webhook_bridge.events WHERE external_id IS NOT NULL
SQL

$bridge->stop;
done_testing;
