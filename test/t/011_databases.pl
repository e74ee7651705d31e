# The receivers and databases: their own may be missing, dropped and made
# again, and another one must not have to wait for them.

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
    'main',
    database  => 'hooks',
    extension => 0,
    conf      => <<'CONF');
log_statement = none
shared_buffers = 64MB
CONF
my $node   = $bridge->node;
my $offset = 0;

# ---------------------------------------------------------------------------
# Its own database is missing
# ---------------------------------------------------------------------------

my ($launcher) = poll_until(sub { $bridge->workers('launcher') && ($bridge->workers('launcher'))[0] }, 'a launcher');
stays_quiet(3, 'while the database is missing');

$node->safe_psql('postgres', 'CREATE DATABASE hooks');
$bridge->sql('CREATE EXTENSION webhook_bridge');
my $begun = time;
$bridge->wait_until_listening;
diag sprintf 'listens %.2f s after CREATE DATABASE and CREATE EXTENSION', time - $begun;
$bridge->create_endpoint('shop', $secret);
is(deliver(), 200, 'the new database takes deliveries');
is($bridge->sql('SELECT database FROM webhook_bridge.status()'), 'hooks', 'and status() names it');

# ---------------------------------------------------------------------------
# Other databases: DROP and CREATE wait until every process has taken notice
# ---------------------------------------------------------------------------

for my $load (0, 1)
{
    my $how = $load ? 'under load' : 'idle';
    my $storm;
    if ($load)
    {
        $storm = $bridge->storm(path => '/hooks/shop', secret => $secret);
        $storm->wait_for_more(1000);
    }
    prompt('CREATE DATABASE other',                                            $how);
    prompt('CREATE DATABASE another TEMPLATE other',                           $how);
    prompt("CREATE DATABASE third TEMPLATE other STRATEGY file_copy",          $how);
    prompt('DROP DATABASE other',                                              $how);
    prompt('DROP DATABASE another WITH (FORCE)',                               $how);
    prompt('DROP DATABASE third',                                              $how);
    if ($load)
    {
        my $sent = $storm->finish;
        cmp_ok($sent->{acknowledged}, '>=', 1000, 'the load went on');
        is($sent->{refused} + $sent->{lost}, 0, 'and nothing was refused');
    }
}

# ---------------------------------------------------------------------------
# Its own database is dropped
# ---------------------------------------------------------------------------

$offset = (stat $node->logfile)[7];
my $idle = $bridge->connect;
is($idle->request('GET', '/hooks/shop')->{status}, 200, 'a connection is kept open');
$begun = time;
$node->safe_psql('postgres', 'DROP DATABASE hooks WITH (FORCE)');
diag sprintf 'DROP DATABASE of its own WITH (FORCE) took %.2f s', time - $begun;
ok($idle->is_closed, 'DROP DATABASE WITH (FORCE) ends connections');
$bridge->wait_until_not_listening;
poll_until(sub { $bridge->workers('receiver') == 0 }, 'no receiver');
stays_quiet(3, 'after its database was dropped');

$node->safe_psql('postgres', 'CREATE DATABASE hooks');
$bridge->sql('CREATE EXTENSION webhook_bridge');
$begun = time;
$bridge->wait_until_listening;
diag sprintf 'listens %.2f s after the database was made again', time - $begun;
$bridge->create_endpoint('shop', $secret);
is(deliver(), 200, 'made again, it takes deliveries');
is($bridge->count('webhook_bridge.events'), 1, 'into an empty table');

# ---------------------------------------------------------------------------
# Its own database is wanted by somebody else: moved, renamed, copied, dropped
# ---------------------------------------------------------------------------

# Nobody who may not do it ends a receiver by trying.
{
    my ($pid) = $bridge->workers('receiver');
    $node->safe_psql('postgres', 'CREATE ROLE stranger');
    for my $sql ('DROP DATABASE hooks', 'ALTER DATABASE hooks RENAME TO mine', 'CREATE DATABASE mine TEMPLATE hooks')
    {
        my ($status, $out, $error) = $node->psql('postgres', "SET ROLE stranger; $sql");
        like($error, qr/must be owner|permission denied/, "$sql: refused");
    }
    is_deeply([ $bridge->workers('receiver') ], [$pid], 'and the receiver is the same');
    is(deliver(), 200, 'and takes deliveries');
}

{
    my $place = PostgreSQL::Test::Utils::tempdir;
    $node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$place'");
}
my $storm = $bridge->storm(path => '/hooks/shop', secret => $secret, connections => 8);
for my $row (
    [ 'ALTER DATABASE hooks SET TABLESPACE elsewhere' ],
    [ 'CREATE DATABASE copy TEMPLATE hooks' ],
    [ 'CREATE DATABASE copy2 TEMPLATE hooks STRATEGY file_copy' ],
    [ 'ALTER DATABASE hooks RENAME TO parked', 'ALTER DATABASE parked RENAME TO hooks' ],
    [ 'ALTER DATABASE hooks ALLOW_CONNECTIONS false', 'ALTER DATABASE hooks ALLOW_CONNECTIONS true' ])
{
    my ($sql, $back) = @$row;
    my ($pid) = $bridge->workers('receiver');

    $storm->wait_for_more(100);
    prompt($sql, 'under load');
    if ($back)
    {
        poll_until(sub { $bridge->workers('receiver') == 0 }, 'no receiver');
        ok(!$bridge->is_listening, 'nobody listens then');
        prompt($back, 'afterwards');
    }
    $begun = time;
    $bridge->wait_until_listening;
    diag sprintf 'listens %.2f s after %s', time - $begun, $back // $sql;
    $storm->wait_for_more(100);
    pass('and deliveries are taken again');
}
is(acknowledged_but_not_stored($storm->finish, $storm->outcomes), 0, 'everything acknowledged is stored');

# Dropped without FORCE as well, under load, and then it ends quietly.
$storm = $bridge->storm(path => '/hooks/shop', secret => $secret, connections => 8);
$storm->wait_for_more(100);
$offset = (stat $node->logfile)[7];
prompt('DROP DATABASE hooks', 'under load');
$bridge->wait_until_not_listening;
poll_until(sub { $bridge->workers('receiver') == 0 }, 'no receiver');
stays_quiet(3, 'after its database was dropped under load');
my $sent = $storm->finish;
diag "dropped under load: sent $sent->{sent}, acknowledged $sent->{acknowledged}, refused $sent->{refused}, "
  . "without an answer $sent->{lost}";
is($sent->{lost}, 0, 'every delivery until then was answered');

# And with FORCE under load.
$node->safe_psql('postgres', 'CREATE DATABASE hooks TEMPLATE copy');
$bridge->wait_until_listening;
is(deliver(), 200, 'a copy has its endpoints and takes deliveries');
$storm = $bridge->storm(path => '/hooks/shop', secret => $secret, connections => 8);
$storm->wait_for_more(100);
$offset = (stat $node->logfile)[7];
prompt('DROP DATABASE hooks WITH (FORCE)', 'under load');
$bridge->wait_until_not_listening;
stays_quiet(3, 'after its database was dropped with force under load');
$sent = $storm->finish;
is($sent->{lost}, 0, 'every delivery until then was answered');
$node->safe_psql('postgres', 'ALTER DATABASE copy2 RENAME TO hooks');
$bridge->wait_until_listening;
is(deliver(), 200, 'a database that gets its name is served');

# ---------------------------------------------------------------------------
# Another database by a reload
# ---------------------------------------------------------------------------

$node->safe_psql('postgres', 'CREATE DATABASE "Second ""db"""');
$node->safe_psql('Second "db"', 'CREATE EXTENSION webhook_bridge');
$node->safe_psql('Second "db"',
    "SELECT webhook_bridge.create_endpoint('shop', 'ecomanager', '$secret', path => '/hooks/second')");
my ($first) = $bridge->workers('receiver');
$bridge->reload('webhook_bridge.database' => 'Second "db"');
poll_until(sub { deliver('/hooks/second') == 200 }, 'a delivery to the second database');
is($node->safe_psql('Second "db"', 'SELECT count(*) FROM webhook_bridge.events'), 1, 'a reload moves the receiver');
is(deliver('/hooks/shop'), 404, 'the first database is no longer served');
is($bridge->sql('SELECT database FROM webhook_bridge.status()'), 'Second "db"', 'status() says so');

# A session would make a template useless.
$offset = (stat $node->logfile)[7];
$node->safe_psql('template1', 'CREATE EXTENSION webhook_bridge');
$bridge->reload('webhook_bridge.database' => 'template1');
$bridge->wait_until_not_listening;
poll_until(sub { $bridge->workers('receiver') == 0 }, 'no receiver');
stays_quiet(2, 'while the database is a template');
prompt('CREATE DATABASE from_template1', 'with template1 as its database');

# What it is made from has the extension, and is at once what template1 was.
$bridge->reload('webhook_bridge.database' => 'from_template1');
$bridge->wait_until_listening;
pass('a copy of a template with the extension is served');
$node->stop;

# ---------------------------------------------------------------------------
# No room for a receiver
# ---------------------------------------------------------------------------

$offset = (stat $node->logfile)[7];
$node->append_conf('postgresql.conf', <<'CONF');
max_worker_processes = 2
max_logical_replication_workers = 4
webhook_bridge.receivers = 2
CONF
$node->start;
my @warnings;
poll_until(sub { @warnings = warnings() }, 'a warning');
my $until = time + 12;    # the launcher tries again after ten seconds
while (time < $until && @warnings == 1)
{
    @warnings = warnings();
    sleep 0.1;
}
is(scalar @warnings, 1, 'max_worker_processes too small: one warning') or diag join "\n", @warnings;
like($warnings[0], qr/could not start a webhook receiver/, 'which says what does not work');
like(scalar $bridge->log_text($offset), qr/HINT:.* needs 3 of them/, 'and what is needed');
is(scalar $bridge->workers('receiver'), 0, 'there is no receiver');
$node->stop;

unlike(scalar $bridge->log_text, qr/PANIC|TRAP|terminated by signal/, 'nothing has crashed');
done_testing();

# ---------------------------------------------------------------------------

sub deliver
{
    my ($path) = @_;
    my $body   = '{"id":1}';
    my $answer = eval { $bridge->post($path // '/hooks/shop', $body, ecomanager_headers($secret, $body)) };
    return $answer ? $answer->{status} : 0;
}

# Compares what a storm was told with the events of its endpoint.
sub acknowledged_but_not_stored
{
    my ($sent, $outcomes) = @_;
    diag "sent $sent->{sent}, acknowledged $sent->{acknowledged}, refused $sent->{refused}, without an answer $sent->{lost}";
    $bridge->sql(sprintf q{CREATE TABLE storm (id bigint, status int); COPY storm FROM '%s'}, $outcomes);
    return $bridge->count(
        "storm WHERE status = 200 AND id NOT IN (SELECT (payload->>'id')::bigint FROM webhook_bridge.events)");
}

# Runs a statement that must not wait for a receiver.
sub prompt
{
    my ($sql, $how) = @_;
    my $start = time;
    $node->safe_psql('postgres', $sql);
    my $took = time - $start;
    diag sprintf '%s, %s: %.2f s', $sql, $how, $took;
    cmp_ok($took, '<', PROMPT, "$sql is not delayed by a receiver, $how");
    return;
}

sub warnings
{
    my @lines = scalar($bridge->log_text($offset)) =~ /^.*WARNING:.*$/mg;
    return @lines;
}

# Watches for some seconds that nobody listens, no process comes and goes and
# nothing more is logged.  One line may tell of a receiver that came too late.
sub stays_quiet
{
    my ($seconds, $when) = @_;
    my @before   = noise();
    my $end      = time + $seconds;
    my $listened = 0;
    my %seen;
    while (time < $end)
    {
        $listened ||= $bridge->is_listening;
        $seen{ join ' ', $bridge->workers('launcher'), $bridge->workers('receiver') } = 1;
    }
    my @after = noise();
    cmp_ok(scalar @before, '<=', 2, "next to nothing is logged $when");
    diag "logged $when:", map { "\n  $_" } @before if @before;
    is_deeply(\@after, \@before, "nothing is repeated $when");
    ok(!$listened, "and nobody listens $when");
    is(scalar keys %seen, 1, "and no process comes or goes $when") or diag join ', ', keys %seen;
    return;
}

sub noise
{
    my @lines = scalar($bridge->log_text($offset)) =~ m{^.*(?:WARNING|ERROR|FATAL|(?<!/)webhook_bridge|background worker).*$}mg;
    return @lines;
}
