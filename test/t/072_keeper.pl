# The keeper as a process: it starts and ends like a receiver, is in nobody's way,
# outlives what fails, and says so once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WebhookBridge;

# Seconds that a statement may take that has no reason to wait for anybody.
use constant PROMPT => 10;

my $secret = 'a secret';
my $bridge = WebhookBridge->start(
    'keeper',
    database  => 'hooks',
    extension => 0,
    init      => [ allows_streaming => 1 ],
    conf      => <<'CONF');
log_statement = none
autovacuum = off
restart_after_crash = on
shared_buffers = 64MB
webhook_bridge.keeper_interval = '1s'
CONF
my $node   = $bridge->node;
my $offset = (stat $node->logfile)[7];

# ---------------------------------------------------------------------------
# The extension comes and goes
# ---------------------------------------------------------------------------

poll_until(sub { $bridge->workers('launcher') }, 'a launcher');
is(scalar $bridge->workers('keeper'), 0, 'without its database there is no keeper');
$node->safe_psql('postgres', 'CREATE DATABASE hooks');
my ($keeper) = poll_until(sub { $bridge->workers('keeper') && ($bridge->workers('keeper'))[0] }, 'a keeper');
$node->safe_psql('postgres', 'CREATE DATABASE other');
prompt('DROP DATABASE other', 'another database');
$bridge->sql('CREATE EXTENSION webhook_bridge');
poll_until(sub { state() eq 'running' }, 'the keeper to run');
poll_until(sub { last_run() }, 'a round');
is($bridge->sql(q(SELECT string_agg(task, ',' ORDER BY task) FROM webhook_bridge.maintenance WHERE error IS NULL)),
    'consumers,events,ledger,partitions,rejections', 'every task has been done');
is($bridge->count('pg_inherits'), 0, 'without an endpoint there is no partition');
$bridge->create_endpoint('shop', $secret);
poll_until(sub { $bridge->count(q(pg_inherits WHERE inhparent = 'webhook_bridge.events'::regclass)) == 3 }, 'partitions');
is($bridge->sql('SELECT count(*) FROM webhook_bridge.status() WHERE receiver IS NULL AND stored IS NULL AND connections IS NULL'),
    1, 'it has a row in status(), without what only receivers have');

for my $round (1 .. 3)
{
    $bridge->sql('DROP EXTENSION webhook_bridge CASCADE');
    is_deeply([ $bridge->workers('keeper') ], [$keeper], "DROP EXTENSION, round $round: the keeper waits");
    $bridge->sql('CREATE EXTENSION webhook_bridge');
    poll_until(sub { last_run_recorded() }, 'a round');
    $bridge->create_endpoint('shop', $secret);
}
$bridge->sql('BEGIN; DROP EXTENSION webhook_bridge CASCADE; ROLLBACK');
$bridge->wait_until_listening;
unlike(scalar $bridge->log_text($offset), qr/keeper.*(ERROR|FATAL)|webhook_bridge failed in/, 'quietly');

# ---------------------------------------------------------------------------
# Signals and crashes
# ---------------------------------------------------------------------------

my $seen = last_run();
$bridge->sql("SELECT pg_cancel_backend($keeper)") for 1 .. 3;
poll_until(sub { last_run() ne $seen }, 'another round');
is_deeply([ $bridge->workers('keeper') ], [$keeper], 'pg_cancel_backend() does not end it');

$offset = (stat $node->logfile)[7];
my @receivers = $bridge->workers('receiver');
$bridge->sql("SELECT pg_terminate_backend($keeper)");
$keeper = poll_until(sub { other($keeper) }, 'another keeper');
is_deeply([ $bridge->workers('receiver') ], \@receivers, 'terminated, there is another one, and the receiver is the same');
is(delivered(), 200, 'and takes deliveries');
unlike(scalar $bridge->log_text($offset), qr/WARNING|ERROR|FATAL/, 'and nothing of it is in the log');

my ($launcher) = $bridge->workers('launcher');
$bridge->sql("SELECT pg_terminate_backend($launcher)");
poll_until(sub { my ($now) = $bridge->workers('launcher'); $now && $now != $launcher }, 'another launcher');
$seen = last_run();
poll_until(sub { last_run() ne $seen }, 'another round');
is_deeply([ $bridge->workers('keeper') ], [$keeper], 'a new launcher leaves it alone');

is(kill('KILL', $keeper), 1, 'it is killed');
$keeper = poll_until(sub { eval { other($keeper) } }, 'another keeper');
$bridge->wait_until_listening;
poll_until(sub { last_run() }, 'a round of the new one');
is(delivered(), 200, 'killed, there is another one, and deliveries are taken');

$bridge->reload('webhook_bridge.receivers' => 0);
poll_until(sub { $bridge->workers('keeper') == 0 }, 'no keeper');
is($bridge->count('webhook_bridge.status()'), 0, 'receivers = 0 ends it');
$bridge->reload('webhook_bridge.receivers' => 1);
$keeper = poll_until(sub { ($bridge->workers('keeper'))[0] }, 'a keeper');
$bridge->wait_until_listening;

# ---------------------------------------------------------------------------
# What it cannot do
# ---------------------------------------------------------------------------

# Each is said once, however many rounds fail, and over when it is over.
for my $row (
    [
        'a table is locked', 'rejections', qr/deleting rejections: canceling statement due to lock timeout/,
        sub {
            my $session = $node->background_psql('hooks');
            $session->query_safe('BEGIN');
            $session->query_safe('LOCK TABLE webhook_bridge.rejections');
            return sub { $session->query_safe('COMMIT'); $session->quit };
        }
    ],
    [
        'a trigger raises an error', 'ledger', qr/deleting from the ledger of duplicates: error P0001, whose message may quote a delivery/,
        sub {
            $bridge->sql(<<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'quoting %', OLD.key; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON webhook_bridge.dedup FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO webhook_bridge.dedup SELECT 1, now() - interval '8 days', id, webhook_bridge.ledger_key('a secret key') FROM webhook_bridge.endpoints WHERE name = 'shop';
SQL
            return sub { $bridge->sql('DROP FUNCTION refuse CASCADE') };
        }
    ],
    [
        'there is a default partition', 'events', qr/detaching partition webhook_bridge\.events_20\d{6}: cannot detach partitions concurrently/,
        sub {
            $bridge->sql(<<'SQL');
SELECT webhook_bridge.create_event_partitions((now() AT TIME ZONE 'UTC')::date - 40, 1);
CREATE TABLE webhook_bridge.rest PARTITION OF webhook_bridge.events DEFAULT;
SQL
            return sub { $bridge->sql('DROP TABLE webhook_bridge.rest') };
        }
    ])
{
    my ($what, $task, $message, $begin) = @$row;
    $offset = (stat $node->logfile)[7];
    my $end = $begin->();
    poll_until(sub { failing() eq "{$task}" }, "$what: the failure");
    $seen = $bridge->sql("SELECT failed_at FROM webhook_bridge.maintenance WHERE task = '$task'");
    poll_until(sub { $bridge->sql("SELECT failed_at > '$seen' FROM webhook_bridge.maintenance WHERE task = '$task'") eq 't' }, "$what: again")
      for 1 .. 2;
    my @said = scalar($bridge->log_text($offset)) =~ /^.*WARNING:.*$/mg;
    is(scalar @said, 1, "$what: said once") or diag join "\n", @said;
    like($said[0], qr/webhook_bridge failed in $message/, "$what: what it is");
    like(scalar $bridge->log_text($offset), qr/HINT:/, "$what: with a hint");
    like($bridge->sql("SELECT error FROM webhook_bridge.maintenance WHERE task = '$task'"), $message, "$what: maintenance has it");
    is($bridge->sql("SELECT count(*) FROM webhook_bridge.maintenance WHERE error IS NULL AND last_run > '$seen'"), 4, "$what: the other tasks are done");
    is(delivered(), 200, "$what: deliveries are taken");
    $end->();
    poll_until(sub { failing() eq '{}' }, "$what: the end of it");
    is($bridge->count('webhook_bridge.maintenance WHERE error IS NOT NULL'), 0, "$what: it is over by itself");
}
is($bridge->count('webhook_bridge.dedup WHERE received_at < now() - interval \'7 days\''), 0, 'what was left undone is done');
unlike(scalar $bridge->log_text, qr/a secret key|quoting/, 'nothing of a delivery is in the log');

# A partition is missing while nobody delivers.
$bridge->sql(q(DO $$ BEGIN EXECUTE 'DROP TABLE webhook_bridge.events_' || to_char((now() AT TIME ZONE 'UTC')::date + 1, 'YYYYMMDD'); END $$));
poll_until(sub { $bridge->count(q(pg_inherits WHERE inhparent = 'webhook_bridge.events'::regclass)) == 3 }, 'it is made again');
pass('a missing partition is made');

# ---------------------------------------------------------------------------
# Its role
# ---------------------------------------------------------------------------

# Receivers may be in a role that can do less; the keeper works in the owner's.
{
    my ($grants) = slurp_file("$FindBin::Bin/../../README.md") =~ /^```sql\n(CREATE ROLE webhook_receiver;\n.*?)^```/ms
      or die 'the README has no grants';
    my $owner = $bridge->sql('SELECT current_user');
    $bridge->sql($grants);
    $bridge->reload('webhook_bridge.role' => 'webhook_receiver');
    $bridge->sql(<<'SQL');
CREATE TABLE done (role text, restricted boolean);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    restricted boolean := false;
BEGIN
    BEGIN
        RESET SESSION AUTHORIZATION;
    EXCEPTION WHEN insufficient_privilege THEN
        restricted := true;
    END;
    INSERT INTO public.done VALUES (current_user, restricted);
    RETURN OLD;
END
$$;
CREATE TRIGGER note BEFORE DELETE ON webhook_bridge.dedup FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO webhook_bridge.dedup SELECT 2, now() - interval '8 days', id, webhook_bridge.ledger_key('old') FROM webhook_bridge.endpoints WHERE name = 'shop';
SQL
    poll_until(sub { $bridge->count('done') }, 'the keeper to trim the ledger');
    is($bridge->sql('SELECT * FROM done'), "$owner|t", 'it works in the role of the owner, as a restricted operation');
    $bridge->sql(q(SELECT webhook_bridge.create_event_partitions((now() AT TIME ZONE 'UTC')::date - 41, 1)));
    poll_until(sub { $bridge->count(q(pg_inherits WHERE inhparent = 'webhook_bridge.events'::regclass)) == 3 }, 'the old partition to go');
    is(failing(), '{}', 'and can do all of its tasks, whatever the role of the receivers');
    is($bridge->sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'webhook%' AND backend_xmin IS NOT NULL AND state = 'idle'"),
        0, 'no snapshot is kept while it waits');
}

# ---------------------------------------------------------------------------
# Settings for sessions, read-only
# ---------------------------------------------------------------------------

$offset = (stat $node->logfile)[7];
$bridge->sql('ALTER DATABASE hooks SET default_transaction_read_only = on');
$bridge->sql("SET default_transaction_read_only = off; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'webhook_bridge keeper'");
poll_until(sub { scalar($bridge->log_text($offset)) =~ /WARNING:  webhook_bridge failed in/ }, 'what it says of a read-only default');
$keeper = ($bridge->workers('keeper'))[0];
$node->safe_psql('postgres', 'ALTER DATABASE hooks RESET default_transaction_read_only');
$bridge->sql("SELECT pg_terminate_backend($keeper)");
poll_until(sub { eval { other($keeper) } && failing() eq '{}' }, 'another keeper');
pass('a read-only default is said, and over when it is over');

# ---------------------------------------------------------------------------
# Its database is wanted by somebody else
# ---------------------------------------------------------------------------

# Also in the middle of a transaction that takes its time.
$bridge->sql(<<'SQL');
DROP TRIGGER note ON webhook_bridge.dedup;
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN OLD; END $$;
CREATE TRIGGER dawdle BEFORE DELETE ON webhook_bridge.dedup FOR EACH ROW EXECUTE FUNCTION dawdle();
INSERT INTO webhook_bridge.dedup SELECT 3, now() - interval '8 days', id, webhook_bridge.ledger_key('old') FROM webhook_bridge.endpoints WHERE name = 'shop';
SQL
poll_until(sub { $bridge->count("pg_stat_activity WHERE backend_type = 'webhook_bridge keeper' AND wait_event = 'PgSleep'") }, 'the keeper to be busy');
$offset = (stat $node->logfile)[7];
prompt('CREATE DATABASE copy TEMPLATE hooks', 'while the keeper is busy');
$bridge->wait_until_listening;
poll_until(sub { $bridge->count("pg_stat_activity WHERE backend_type = 'webhook_bridge keeper' AND wait_event = 'PgSleep'") }, 'the keeper to be busy again');
$offset = (stat $node->logfile)[7];
prompt('DROP DATABASE hooks', 'with a keeper');
poll_until(sub { $bridge->workers('keeper') == 0 }, 'no keeper');
my $until = time + 2;
while (time < $until)
{
    is(scalar $bridge->workers('keeper'), 0, 'no keeper starts without its database') if time + 0.5 > $until;
    sleep 0.3;
}
unlike(scalar $bridge->log_text($offset), qr/WARNING|ERROR|FATAL/, 'quietly');
$node->safe_psql('copy', 'DROP FUNCTION dawdle CASCADE');
$node->safe_psql('postgres', 'ALTER DATABASE copy RENAME TO hooks');
poll_until(sub { eval { state() eq 'running' } }, 'the keeper to run in a copy');
$seen = last_run();
poll_until(sub { last_run() ne $seen }, 'a round in a copy');
is(failing(), '{}', 'a database that gets its name is kept');

# ---------------------------------------------------------------------------
# A standby
# ---------------------------------------------------------------------------

$node->backup('base');
my $replica = PostgreSQL::Test::Cluster->new('standby');
my $standby = WebhookBridge->of_node($replica, PostgreSQL::Test::Cluster::get_free_port(), 'hooks');
$replica->init_from_backup($node, 'base', has_streaming => 1);
$replica->append_conf('postgresql.conf', 'webhook_bridge.port = ' . $standby->port);
$replica->start;
is($standby->sql('SELECT state FROM webhook_bridge.status() WHERE receiver IS NULL'), 'stopped', 'on a standby it is stopped');
$bridge->stop;
$replica->promote;
poll_until(sub { $standby->workers('keeper') && $standby->sql("SELECT last_run FROM webhook_bridge.status() WHERE receiver IS NULL") ne '' },
    'a keeper of the promoted standby');
pass('it starts when the standby is promoted');
my $begun = time;
$replica->stop;
cmp_ok(time - $begun, '<', PROMPT, 'and ends with the server');

unlike($bridge->log_text . $standby->log_text, qr/PANIC|TRAP/, 'nothing went wrong that nobody saw');
done_testing();

# ---------------------------------------------------------------------------

sub of_status
{
    my ($column) = @_;
    return $bridge->sql("SELECT $column FROM webhook_bridge.status() WHERE receiver IS NULL");
}

sub state    { return of_status('state') }
sub last_run { return of_status('last_run') }
sub failing  { return of_status('failing') }

sub last_run_recorded { return $bridge->count('webhook_bridge.maintenance WHERE last_run IS NOT NULL') == 5 }

# The keeper, if it is not the one given.
sub other
{
    my ($pid) = @_;
    my ($now) = $bridge->workers('keeper');
    return $now && $now != $pid ? $now : 0;
}

sub delivered
{
    my $body = '{"id":1}';
    return $bridge->post('/hooks/shop', $body, ecomanager_headers($secret, $body))->{status};
}

sub prompt
{
    my ($sql, $when) = @_;
    my $begin = time;
    $node->safe_psql('postgres', $sql);
    return cmp_ok(time - $begin, '<', PROMPT, "$sql, $when");
}
