# The receivers and databases: their own may be missing, dropped and made
# again, and another one must not have to wait for them.  And those of another
# server, which may want the same port.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Tls;
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
is($bridge->sql('SELECT DISTINCT database FROM webhook_bridge.status()'), 'hooks', 'and status() names it');

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
my $halfway = begun_delivery();
$begun = time;
$node->safe_psql('postgres', 'DROP DATABASE hooks WITH (FORCE)');
diag sprintf 'DROP DATABASE of its own WITH (FORCE) took %.2f s', time - $begun;
ok($idle->is_closed, 'DROP DATABASE WITH (FORCE) ends connections');
is_refused($halfway, 'DROP DATABASE WITH (FORCE)');
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
$halfway = begun_delivery();
$offset  = (stat $node->logfile)[7];
prompt('DROP DATABASE hooks', 'under load');
is_refused($halfway, 'DROP DATABASE');
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
is($bridge->sql('SELECT DISTINCT database FROM webhook_bridge.status()'), 'Second "db"', 'status() says so');

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

# Each time PostgreSQL has a worker of its own, which is started before ours.
$node->append_conf('postgresql.conf', "max_logical_replication_workers = 4\nwebhook_bridge.receivers = 2\n");
for my $row (
    # max_worker_processes, launchers and receivers that there is room for, what would be enough
    [ 1, 0, 0, 5 ],
    [ 2, 1, 0, 5 ],
    [ 3, 1, 1, 5 ],
    [ 4, 1, 2, 5 ],
    [ 5, 1, 2 ])
{
    my ($max, $launchers, $receivers, $enough) = @$row;
    my $name = "max_worker_processes = $max";
    my @warnings;

    $offset = (stat $node->logfile)[7];
    $node->append_conf('postgresql.conf', "max_worker_processes = $max\n");
    $node->start;
    poll_until(sub { ($enough ? @warnings = warnings() : 1) && $bridge->workers('receiver') == $receivers }, "a warning, $name")
      if $enough || $receivers;
    # the launcher tries again after ten seconds
    my $until = time + ($max == 2 ? 12 : 0);
    while (time < $until && @warnings == 1)
    {
        @warnings = warnings();
        sleep 0.1;
    }
    is(scalar $bridge->workers('launcher'), $launchers, "$name: launchers");
    is(scalar $bridge->workers('receiver'), $receivers, "$name: receivers");
    if ($enough)
    {
        is(scalar @warnings, 1, "$name: one warning") or diag join "\n", @warnings;
        my $who = $receivers < 2 ? 'a webhook receiver' : 'the webhook keeper';
        like($warnings[0], qr/could not start $who/, "$name: which says what does not work");
        like(scalar $bridge->log_text($offset), qr/DETAIL:.* max_worker_processes is $max\.\n.*HINT:.* needs 4 of them .* Set max_worker_processes to $enough or more /,
            "$name: and what is needed");
    }
    else
    {
        poll_until(sub { state_is($bridge, 'listening', $receivers) }, 'the receivers');
        is(scalar warnings(), 0, "$name: no warning");
    }
    $node->stop;
}

unlike(scalar $bridge->log_text, qr/PANIC|TRAP|terminated by signal/, 'nothing has crashed');

# ---------------------------------------------------------------------------
# Two servers, one port
# ---------------------------------------------------------------------------

$node->append_conf('postgresql.conf', "max_worker_processes = 8\nrestart_after_crash = on\n");
$node->start;
my $rival = WebhookBridge->start('rival', conf => "restart_after_crash = on\nshared_buffers = 64MB\nlog_statement = none\n");
my $tls   = Tls->new(tempdir(CLEANUP => 1));
$tls->make('server', names => 'IP:127.0.0.1');
for my $one ($bridge, $rival)
{
    for my $kind (qw(crt key))
    {
        my $file = $one->node->data_dir . "/server.$kind";
        copy($tls->file('server', $kind), $file) or die "$file: $!";
        chmod 0600, $file;
    }
}

for my $with_tls (0, 1)
{
    for my $count (1, 2)
    {
        for my $rivals (1, 2)
        {
            taken($count, $rivals, $with_tls);
        }
    }
}
changes_of_two();
both_at_once($_) for 1 .. 5;
$rival->stop;
$node->stop;
done_testing();

# ---------------------------------------------------------------------------

# The rival's receivers want a port that ours have.
sub taken
{
    my ($count, $rivals, $with_tls) = @_;
    my $name  = "$count and $rivals receivers" . ($with_tls ? ', TLS' : '');
    my $port  = settle($count, $rivals, $with_tls);
    my $start = (stat $rival->node->logfile)[7];

    $rival->reload(ports($port, $with_tls));
    poll_until(sub { state_is($rival, 'blocked', $rivals) }, "the rival to be blocked, $name");
    poll_until(sub { scalar($rival->log_text($start)) =~ /WARNING/ }, "the rival to say so, $name");
    like(scalar $rival->log_text($start),
        qr/WARNING:  webhook_bridge could not listen on "127\.0\.0\.1", port $port\n.*DETAIL:  Address already in use/,
        "$name: the port is taken");
    is(owner($port), 'ours', "$name: all connections are ours");
    return;
}

# What happens to two receivers while the rival waits for their port.
sub changes_of_two
{
    my $port   = settle(2, 2);
    my $start  = (stat $node->logfile)[7];
    my @before = $rival->workers('receiver');

    $rival->reload(ports($port));
    poll_until(sub { state_is($rival, 'blocked', 2) }, 'the rival to be blocked');
    for my $number (0, 1)
    {
        my ($ended) = $bridge->sql("SELECT pid FROM webhook_bridge.status() WHERE receiver = $number");
        $bridge->sql("SELECT pg_terminate_backend($ended)");
        poll_until(sub { state_is($bridge, 'listening', 2) && !grep { $_ == $ended } $bridge->workers('receiver') },
            'two receivers again');
        is(owner($port), 'ours', "receiver $number is terminated: the port stays ours");
    }
    $bridge->reload('webhook_bridge.receivers' => 1);
    poll_until(sub { $bridge->workers('receiver') == 1 }, 'one receiver');
    is(owner($port), 'ours', 'one is left: the port stays ours');
    unlike(scalar $bridge->log_text($start), qr/WARNING/, 'nobody is warned of all that');
    $bridge->reload('webhook_bridge.receivers' => 2);
    poll_until(sub { state_is($bridge, 'listening', 2) }, 'two receivers');
    is(owner($port), 'ours', 'two again: the port stays ours');

    # Between closing and opening somebody else can come.
    $bridge->reload('webhook_bridge.listen_addresses' => '127.0.0.1, 127.0.0.2');
    one_has($port, 'other addresses');

    my ($killed) = $bridge->workers('receiver');
    is(kill('KILL', $killed), 1, 'a receiver is killed');
    poll_until(sub { eval { $bridge->workers('receiver') == 2 && !grep { $_ == $killed } $bridge->workers('receiver') } },
        'two receivers again');
    one_has($port, 'killed');
    is_deeply([ $rival->workers('receiver') ], \@before, "the rival's receivers have never ended");
    $bridge->reload('webhook_bridge.listen_addresses' => '127.0.0.1');
    return;
}

# All receivers of both want a port that is free.
sub both_at_once
{
    my ($round) = @_;
    my $with_tls = $round % 2;
    settle(2, 2, $with_tls);
    my $port = PostgreSQL::Test::Cluster::get_free_port();

    $_->reload(ports($port, $with_tls)) for $bridge, $rival;
    one_has($port, "both at once, round $round");
    return;
}

# Gives each a port of its own, and so many receivers.  Returns the port of ours.
sub settle
{
    my ($count, $rivals, $with_tls) = @_;
    my $mine;

    for ([ $rival, $rivals ], [ $bridge, $count ])
    {
        my ($one, $receivers) = @$_;
        $mine = PostgreSQL::Test::Cluster::get_free_port();
        $one->reload('webhook_bridge.receivers' => $receivers, ports($mine, $with_tls));
        poll_until(sub { state_is($one, 'listening', $receivers) && eval { WebhookBridge::Connection->new($mine) } },
            "$receivers receivers on port $mine");
    }
    return $mine;
}

sub ports
{
    my ($port, $with_tls) = @_;
    my @ports = $with_tls ? (0, $port) : ($port, 0);
    return ('webhook_bridge.port' => $ports[0], 'webhook_bridge.tls_port' => $ports[1]);
}

sub state_is
{
    my ($one, $state, $count) = @_;
    return $one->sql('SELECT array_agg(DISTINCT state), count(*) FROM webhook_bridge.status() WHERE receiver IS NOT NULL') eq "{$state}|$count";
}

# Tests that one of the two comes to have the port, and the other not.
sub one_has
{
    my ($port, $name) = @_;
    my $has = sub {
        return eval { state_is($_[0], 'listening', 2) && state_is($_[1], 'blocked', 2) };
    };

    poll_until(sub { $has->($bridge, $rival) || $has->($rival, $bridge) }, "one to have port $port, $name");
    is(owner($port), $has->($bridge, $rival) ? 'ours' : "the rival's", "$name: one has the port and the other is blocked");
    return;
}

# Whose receivers take connections to a port, of which there are many, so that
# each receiver that listens there has some of them.
sub owner
{
    my ($port)  = @_;
    my @clients = map { WebhookBridge::Connection->new($port) } 1 .. 64;
    my $here    = sub { $_[0]->sql('SELECT sum(connections) FROM webhook_bridge.status()') };
    my ($ours, $theirs);

    poll_until(sub { ($ours, $theirs) = map { $here->($_) } $bridge, $rival; $ours + $theirs == @clients },
        'connections to be accepted');
    $_->close for @clients;
    poll_until(sub { $here->($bridge) + $here->($rival) == 0 }, 'connections to be closed');
    return $ours && $theirs ? "both: $ours and $theirs" : $ours ? 'ours' : "the rival's";
}

sub deliver
{
    my ($path) = @_;
    my $body   = '{"id":1}';
    my $answer = eval { $bridge->post($path // '/hooks/shop', $body, ecomanager_headers($secret, $body)) };
    return $answer ? $answer->{status} : 0;
}

# A connection with a delivery of which the last byte is missing.
sub begun_delivery
{
    my $connection = $bridge->connect;
    my $body       = '{"id":1}';
    # what is answered shows that the receiver has read what follows
    $connection->send(http_request('GET', '/hooks/shop')
          . substr http_request('POST', '/hooks/shop', ecomanager_headers($secret, $body), $body), 0, -1);
    is($connection->response->{status}, 200, 'a delivery is under way');
    return $connection;
}

sub is_refused
{
    my ($connection, $name) = @_;
    my $answer = $connection->response;
    is($answer->{status}, 503, "$name: a delivery under way is answered 503");
    ok($answer->{headers}{'retry-after'}, "$name: with Retry-After");
    ok($connection->is_closed, "$name: and its connection closed");
    return;
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
