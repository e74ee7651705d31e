# Retention: old events go without anybody waiting for that, and the room they
# took with them; what is in the way delays it and does no harm.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use File::Temp;
use List::Util qw(sum0);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WebhookBridge;

my $days       = 40;
my $per_day    = 25_000;
my $secret     = 'a secret';
my $bridge     = WebhookBridge->start('retention', conf => <<'CONF');
log_statement = none
autovacuum = off
max_wal_size = 4GB
deadlock_timeout = 100ms
webhook_bridge.keeper_interval = '1d'
CONF
my $node   = $bridge->node;
my $today  = $bridge->sql(q(SELECT (now() AT TIME ZONE 'UTC')::date));
my $offset = (stat $node->logfile)[7];

# Looks at the keeper: to start a psql each time would be felt by the deliveries.
my $session = $node->background_psql('postgres', timeout => 1800);

# The keeper looks at a reload; until then and in between it is idle.
$bridge->sql("SELECT webhook_bridge.create_endpoint('shop', 'ecomanager', '$secret', retention => NULL)");
$bridge->sql("SELECT webhook_bridge.create_endpoint('other', 'ecomanager', '$secret', retention => NULL)");
rounds(1);

# ---------------------------------------------------------------------------
# Forty days, a million events, and a receiver that goes on
# ---------------------------------------------------------------------------

# Ten days go in each round, while deliveries arrive; in between there are as many
# deliveries without that.  What is slow on a busy machine is slow in both.
my ($with, $without, $ratio);
for my $attempt (1 .. 3)
{
    fill();
    is($bridge->count(stored_events()), $days * $per_day, "$days days with a million events") if $attempt == 1;
    my $latencies = File::Temp->new;
    my $storm     = $bridge->storm(
        path        => '/hooks/shop',
        secret      => $secret,
        connections => 16,
        interval    => 4,
        first       => 10_000_000 * $attempt,
        latencies   => $latencies->filename);
    $storm->wait_for_more(2000);
    my (@with, @without, @returned);
    for my $kept (30, 20, 10)
    {
        push @without, window($storm);
        my @files  = files($kept + 1, $kept + 10);
        my $before = $bridge->sql('SELECT pg_database_size(current_database())');
        my $sizes  = sum0(map { -s } @files);
        push @with, window($storm, sub {
            $bridge->sql("UPDATE webhook_bridge.endpoints SET retention = '$kept days'");
            rounds(1);
        });
        is($bridge->count(stored_events()), $kept * $per_day, "retention of $kept days, attempt $attempt: ten days are gone");
        is(sum0(map { -s // 0 } @files), 0, "and so are their files");
        push @returned, sprintf '%d MB of %d', ($before - $bridge->sql('SELECT pg_database_size(current_database())')) / 1e6, $sizes / 1e6;
    }
    my $sent = $storm->finish;
    is($sent->{refused} + $sent->{lost}, 0, 'meanwhile nothing was refused');
    my @all = map { [ split /\t/ ] } split /\n/, slurp_file($latencies->filename);
    ($without, $with) = map { median(map { p99($_, \@all) } @$_) } \@without, \@with;
    $ratio = $with / $without;
    diag sprintf 'attempt %d: %d deliveries, p99 %.2f ms without and %.2f ms while ten days go (%.2f), rounds %s and %s; room returned: %s',
      $attempt, scalar @all, $without, $with, $ratio, list(map { p99($_, \@all) } @without), list(map { p99($_, \@all) } @with), "@returned";
    is($bridge->count("webhook_bridge.events WHERE endpoint = 'shop' AND payload->'total' IS NOT NULL"),
        acknowledged($attempt, $sent), 'and everything is stored');
    last if $ratio <= 1.5;
}
cmp_ok($ratio, '<=', 1.5, 'dropping ten days does not raise the p99 of deliveries by more than half');
like(maintenance('events'), qr/^partitions dropped: 10, events deleted: 0$/, 'maintenance says what was done');
unlike(scalar $bridge->log_text($offset), qr/WARNING|ERROR/, 'and nothing was in the way');

# ---------------------------------------------------------------------------
# Not all endpoints keep their events for as long
# ---------------------------------------------------------------------------

{
    my $partition = partition(12);
    $bridge->sql("SELECT webhook_bridge.create_event_partitions('$today'::date - 12, 1)");
    $bridge->sql("UPDATE webhook_bridge.endpoints SET retention = '90 days' WHERE name = 'other'");
    insert(12, $_, 2000) for 'shop', 'other', 'gone';
    rounds(1);
    is(endpoints_in($partition), 'gone 2000, other 2000', 'events of one endpoint are over their retention, the others are kept');
    is(maintenance('events'), 'partitions dropped: 0, events deleted: 2000', 'maintenance says that');
    $bridge->sql("UPDATE webhook_bridge.endpoints SET retention = '11 days' WHERE name = 'other'");
    rounds(1);
    is(endpoints_in($partition), 'gone 2000', 'whose endpoint is gone are kept for 30 days');
    $bridge->sql("DELETE FROM webhook_bridge.events WHERE endpoint = 'gone'");
    rounds(1);
    is($bridge->sql("SELECT to_regclass('$partition')"), '', 'a partition without events to keep is dropped');
}

# ---------------------------------------------------------------------------
# Who is in the way
# ---------------------------------------------------------------------------

for my $row (
    [ 'a reader of the partition',         sub { "SELECT count(*) FROM $_[0]" } ],
    [ 'a reader of events',                sub { 'SELECT count(*) FROM webhook_bridge.events' } ],
    [ 'who has locked the partition',      sub { "LOCK TABLE $_[0] IN ACCESS SHARE MODE" } ])
{
    my ($who, $sql) = @$row;
    my ($partition, $next) = map { partition($_) } 15, 14;
    $bridge->sql("SELECT webhook_bridge.create_event_partitions('$today'::date - 15, 2)");
    insert($_, 'shop', 100) for 15, 14;
    my $start  = (stat $node->logfile)[7];
    my $reader = $node->background_psql('postgres');
    $reader->query_safe('BEGIN');
    $reader->query_safe($sql->($partition));

    my ($keeper) = $bridge->workers('keeper');
    my $took = 0;
    $node->reload;
    # deliveries arrive while the keeper waits
    poll_until(
        sub {
            my $begun = time;
            is_stored("while $who is in the way");
            $took = time - $begun if time - $begun > $took;
            return failing() ne '{}';
        },
        "a round, $who");
    diag sprintf '%s: the slowest delivery took %.0f ms', $who, $took * 1000;
    cmp_ok($took, '<', 1, "$who: deliveries do not wait");
    is(failing(), '{events}', "$who: the keeper cannot detach it, says status()");
    like($bridge->sql("SELECT error FROM webhook_bridge.maintenance WHERE task = 'events'"),
        qr/^detaching partition \Q$partition\E: canceling statement due to lock timeout$/, "$who: so does maintenance");
    rounds(2);
    my @said = scalar($bridge->log_text($start)) =~ /^.*WARNING:.*$/mg;
    is(scalar @said, 1, "$who: the log says it once") or diag join "\n", @said;
    like($said[0], qr/webhook_bridge failed in detaching partition \Q$partition\E/, "$who: and which it is");
    like(scalar $bridge->log_text($start), qr/HINT:  A transaction that has been open for long/, "$who: and why");
    is($bridge->sql("SELECT count(*) FROM pg_inherits WHERE inhdetachpending"), 1, "$who: it is half detached");

    $reader->query_safe('COMMIT');
    $reader->quit;
    rounds(1);
    is($bridge->sql("SELECT coalesce(to_regclass('$partition'), to_regclass('$next'))"), '', "$who: when he has ended, they are dropped");
    is(failing(), '{}', "$who: and all is well");
    is($bridge->sql("SELECT error IS NULL FROM webhook_bridge.maintenance WHERE task = 'events'"), 't', "$who: says maintenance");
    is_deeply([ $bridge->workers('keeper') ], [$keeper], "$who: it is still the same keeper");
}

# ---------------------------------------------------------------------------
# Interrupted
# ---------------------------------------------------------------------------

for my $how (qw(cancel terminate))
{
    my $partition = partition(15);
    $bridge->sql("SELECT webhook_bridge.create_event_partitions('$today'::date - 15, 1)");
    my $reader = $node->background_psql('postgres');
    $reader->query_safe('BEGIN');
    $reader->query_safe("SELECT count(*) FROM $partition");
    my ($keeper) = $bridge->workers('keeper');
    my $start = (stat $node->logfile)[7];
    $node->reload;
    poll_until(sub { $bridge->count("pg_stat_activity WHERE pid = $keeper AND wait_event_type = 'Lock'") }, 'the keeper to wait');
    is($bridge->count('pg_inherits WHERE inhdetachpending'), 1, "$how: in the middle of detaching");
    my $seen = last_run();
    $bridge->sql("SELECT pg_${how}_backend($keeper)");
    if ($how eq 'cancel')
    {
        poll_until(sub { last_run() ne $seen }, 'the end of the round');
        like(scalar $bridge->log_text($start), qr/WARNING:  webhook_bridge failed in detaching .*canceling statement due to user request/, 'cancel: is said');
        is_deeply([ $bridge->workers('keeper') ], [$keeper], 'cancel: does not end the keeper');
    }
    else
    {
        poll_until(sub { my ($now) = $bridge->workers('keeper'); $now && $now != $keeper }, 'another keeper');
        unlike(scalar $bridge->log_text($start), qr/WARNING.*user request|FATAL/, 'terminate: is no failure');
    }
    is_stored("$how: half detached");
    $reader->query_safe('COMMIT');
    $reader->quit;
    rounds(1);
    is($bridge->sql("SELECT to_regclass('$partition')"), '', "$how: it is finished later");
}

# Ended between detaching and dropping, or before: the mark is all that is left.
{
    my ($first, $second, $mine) = map { partition($_) } 17, 16, 15;
    $bridge->sql("SELECT webhook_bridge.create_event_partitions('$today'::date - 17, 3)");
    $bridge->sql("SELECT webhook_bridge.condemn_partition('$first')");
    $bridge->sql("ALTER TABLE webhook_bridge.events DETACH PARTITION $first");
    $bridge->sql("ALTER TABLE webhook_bridge.events DETACH PARTITION $mine");
    $bridge->sql("SELECT webhook_bridge.create_event_partitions('$today'::date - 5, 1)");
    my $kept = partition(5);
    $bridge->sql("SELECT webhook_bridge.condemn_partition('$kept')");
    rounds(1);
    is($bridge->sql("SELECT coalesce(to_regclass('$first'), to_regclass('$second'))"), '', 'a partition that the keeper has detached is dropped');
    isnt($bridge->sql("SELECT to_regclass('$mine')"), '', 'a partition that somebody else has detached is not');
    is($bridge->sql("SELECT obj_description('$kept'::regclass)"), '', 'a mark on one that may stay is removed');
    $bridge->sql("DROP TABLE $mine");
}

# One that cannot be dropped does not keep the others.
{
    my ($first, $second) = map { partition($_) } 17, 16;
    my $start = (stat $node->logfile)[7];
    $bridge->sql("SELECT webhook_bridge.create_event_partitions('$today'::date - 17, 2); CREATE VIEW report AS SELECT id FROM $first");
    rounds(2);
    is($bridge->sql("SELECT to_regclass('$second')"), '', 'a view on one partition does not keep another');
    my @said = scalar($bridge->log_text($start)) =~ /^.*WARNING:.*$/mg;
    is(scalar @said, 1, 'and is said once') or diag join "\n", @said;
    like(scalar $bridge->log_text($start), qr/DETAIL:  view public\.report depends on table/, 'with its name');
    $bridge->sql('DROP VIEW report');
    rounds(1);
    is($bridge->sql("SELECT to_regclass('$first')"), '', 'without it the first one goes');
}

# ---------------------------------------------------------------------------
# The clock
# ---------------------------------------------------------------------------

# A receiver whose clock is early or late finds no partition, as if there were none.
$bridge->reload('webhook_bridge.keeper_interval' => 0);
poll_until(sub { $bridge->workers('keeper') == 0 }, 'no keeper');
is($bridge->count('webhook_bridge.status() WHERE receiver IS NULL'), 0, 'keeper_interval 0: there is no keeper');
for my $name (split /\n/, $bridge->sql(q(SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'webhook_bridge.events'::regclass)))
{
    $bridge->sql("DROP TABLE $name");
}
is_stored('a day without a partition');
$bridge->reload('webhook_bridge.keeper_interval' => '1d');
rounds(1);

# Days to come are not over.
$bridge->sql("SELECT webhook_bridge.create_event_partitions('$today'::date + 400, 2)");
insert(-400, 'shop', 1);
rounds(1);
is($bridge->count('webhook_bridge.events WHERE received_at > now()'), 1, 'events from the future are kept');

# ---------------------------------------------------------------------------
# The ledger
# ---------------------------------------------------------------------------

# 40 days of keys, each day passed over as the keeper does and vacuumed as
# autovacuum does: once it is full, it grows no more.
{
    $bridge->sql('TRUNCATE webhook_bridge.dedup');
    $bridge->sql(join '', map { <<"SQL" } 1 .. $days);
INSERT INTO webhook_bridge.dedup (endpoint, key, event_id, received_at)
SELECT e.id, md5(n || ' of $_')::uuid, n, '2020-01-01Z'::timestamptz + $_ * interval '1 day' FROM webhook_bridge.endpoints e, generate_series(1, 5000) n WHERE e.name = 'shop';
SELECT sum(webhook_bridge.trim_ledger('2020-01-01Z'::timestamptz + $_ * interval '1 day', p, 64))
FROM generate_series(0, pg_relation_size('webhook_bridge.dedup') / 8192, 64) p;
VACUUM webhook_bridge.dedup;
CREATE TABLE IF NOT EXISTS sizes (day int, size bigint);
INSERT INTO sizes VALUES ($_, pg_total_relation_size('webhook_bridge.dedup'));
SQL
    is($bridge->count('webhook_bridge.dedup'), 8 * 5000, 'ledger: seven days are known, and the one that is being received');
    my ($early, $late) = map { $bridge->sql("SELECT max(size) FROM sizes WHERE day BETWEEN $_ AND $_ + 9") } 11, 31;
    diag "ledger: $early bytes after days 11 to 20, $late after days 31 to 40";
    cmp_ok($late, '<=', $early * 1.1, 'ledger: its size stays flat');
}
rounds(1);
is($bridge->count('webhook_bridge.dedup'), 0, 'ledger: the keeper deletes what is too old');
is(maintenance('ledger'), 'deleted: 40000', 'and says so');

# --- Rejections ---------------------------------------------------------------------------------

$bridge->sql(<<'SQL');
INSERT INTO webhook_bridge.rejections (endpoint, reason, method, headers, body, body_size)
SELECT 'shop', 'test', 'POST', '{}', '', n FROM generate_series(1, 2500) n
SQL
$bridge->reload('webhook_bridge.max_rejections' => 20);
rounds(1);
is($bridge->sql('SELECT count(*), min(body_size) FROM webhook_bridge.rejections'), '20|2481', 'rejections: the newest are left');
$bridge->reload('webhook_bridge.max_rejections' => 0);
rounds(1);
is($bridge->count('webhook_bridge.rejections'), 0, 'rejections: none is left if none is wanted');

unlike(scalar $bridge->log_text, qr/PANIC|TRAP|terminated by signal/, 'nothing has crashed');
$session->quit;
$bridge->stop;
done_testing();

# ---------------------------------------------------------------------------

sub partition
{
    my ($ago) = @_;
    return $bridge->sql("SELECT 'webhook_bridge.events_' || to_char('$today'::date - $ago, 'YYYYMMDD')");
}

sub stored_events { return "webhook_bridge.events WHERE received_at < '$today'::date AND endpoint = 'shop'" }

# Events of a day so many days ago.
sub insert
{
    my ($ago, $endpoint, $count) = @_;
    $bridge->sql(<<"SQL");
INSERT INTO webhook_bridge.events (endpoint, received_at, topic, method, headers, payload, verified)
SELECT '$endpoint', ('$today'::date - $ago)::timestamp AT TIME ZONE 'UTC' + n * interval '3 s', 'OrderCreated', 'POST',
       '{"Content-Type":"application/json"}', json_build_object('id', n, 'note', repeat('x', 100)), true
FROM generate_series(1, $count) n
SQL
    return;
}

sub fill
{
    $bridge->sql('UPDATE webhook_bridge.endpoints SET retention = NULL');
    $bridge->sql("SELECT webhook_bridge.create_event_partitions('$today'::date - $days, $days)");
    for my $ago (1 .. $days)
    {
        insert($ago, 'shop', $per_day) unless $bridge->sql("SELECT EXISTS (SELECT FROM @{[ partition($ago) ]})") eq 't';
    }
    $bridge->sql('CHECKPOINT');
    return;
}

sub endpoints_in
{
    my ($partition) = @_;
    return $bridge->sql("SELECT string_agg(e, ', ' ORDER BY e) FROM (SELECT endpoint || ' ' || count(*) AS e FROM $partition GROUP BY endpoint) e");
}

# The files of partitions and all that belongs to them.
sub files
{
    my ($from, $to) = @_;
    my $names = join ', ', map { "'" . partition($_) . "'::regclass" } $from .. $to;
    my @paths = split /\n/, $bridge->sql(<<"SQL");
WITH t AS (SELECT unnest(ARRAY[$names])::oid AS oid)
SELECT pg_relation_filepath(oid) FROM t UNION SELECT pg_relation_filepath(indexrelid) FROM pg_index JOIN t ON indrelid = t.oid
UNION SELECT pg_relation_filepath(reltoastrelid) FROM pg_class JOIN t USING (oid)
SQL
    return map { $node->data_dir . "/$_" } @paths;
}

# Does something while deliveries arrive, or nothing for some seconds; returns when that was.
sub window
{
    my ($storm, $function) = @_;
    my $begun = time;
    if ($function)
    {
        $function->();
    }
    else
    {
        # looks as often at the keeper as the function does; how long is no matter
        my $end = $begun + 5;
        last_run(), sleep 0.1 while time < $end;
    }
    return [ $begun * 1000, time * 1000 ];
}

sub p99
{
    my ($window, $all) = @_;
    my ($from, $to) = @$window;
    my @sorted = sort { $a <=> $b } map { $_->[1] } grep { $_->[0] >= $from && $_->[0] <= $to } @$all;
    return $sorted[ 0.99 * @sorted ];
}

sub median
{
    my @sorted = sort { $a <=> $b } @_;
    return $sorted[ @sorted / 2 ];
}

sub list { return join ' ', map { sprintf '%.2f', $_ } @_ }

# All that the storms of this and earlier attempts were told.
my $acknowledged = 0;

sub acknowledged
{
    my ($attempt, $sent) = @_;
    return $acknowledged += $sent->{acknowledged};
}

sub last_run
{
    return $session->query_safe('SELECT last_run FROM webhook_bridge.status() WHERE receiver IS NULL');
}

sub failing  { return $bridge->sql('SELECT failing FROM webhook_bridge.status() WHERE receiver IS NULL') }

sub maintenance
{
    my ($task) = @_;
    return $bridge->sql("SELECT detail FROM webhook_bridge.maintenance WHERE task = '$task'");
}

# Lets the keeper do its work that many times, at least.  The first round to end
# may have begun before.
sub rounds
{
    my ($count) = @_;
    for (0 .. $count)
    {
        my $seen = last_run();
        $node->reload;
        poll_until(sub { my $now = last_run(); $now ne '' && $now ne $seen }, 'the end of a round');
    }
    return;
}

sub is_stored
{
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $body = '{"id":1}';
    return answer_is($bridge->post('/hooks/shop', $body, ecomanager_headers($secret, $body)), 200, 'stored', "delivery: $name");
}
