# The receiver and the life of the extension: waits quietly while it is not
# there, listens as soon as it is, stops when it is dropped.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WebhookBridge;

my $secret = 'a secret';
my $body   = '{"id":1}';
my $bridge = WebhookBridge->start('main', extension => 0, conf => "log_statement = none\n");
my $node   = $bridge->node;

# ---------------------------------------------------------------------------
# Without the extension
# ---------------------------------------------------------------------------

poll_until(sub { scalar $bridge->workers('receiver') }, 'a receiver');
my ($pid) = $bridge->workers('receiver');
my $catalogs = catalog_sizes();

stays_waiting(3, 'without the extension');

$bridge->sql(<<'SQL');
CREATE SCHEMA webhook_bridge;
CREATE TABLE webhook_bridge.events (id int);
CREATE TABLE webhook_bridge.endpoints (name text);
SQL
stays_waiting(1, 'with a schema and tables that only look like it');
$bridge->sql('DROP SCHEMA webhook_bridge CASCADE');

$bridge->sql('BEGIN; CREATE EXTENSION webhook_bridge; SELECT pg_sleep(0.8); ROLLBACK');
stays_waiting(1, 'after a CREATE EXTENSION that was rolled back');

my ($log) = $bridge->log_text;
unlike($log, qr{(?<!/)webhook|WARNING|ERROR|FATAL|background worker}, 'nothing of all that is in the log');

# ---------------------------------------------------------------------------
# CREATE and DROP
# ---------------------------------------------------------------------------

create();
is_deeply([ $bridge->workers('receiver') ], [$pid], 'the same receiver listens');
is(deliver()->{status}, 200, 'a delivery is taken');

my $idle = $bridge->connect;
is($idle->request('GET', '/hooks/shop')->{status}, 200, 'a connection is kept open');
my $halfway = $bridge->connect;
my $request = http_request('POST', '/hooks/shop', ecomanager_headers($secret, $body), $body);
$halfway->send(substr $request, 0, -3);
poll_until(sub { $bridge->sql('SELECT sum(connections) FROM webhook_bridge.status()') >= 2 }, 'two connections');
is($bridge->sql('SELECT state FROM webhook_bridge.status() WHERE receiver = 0'), 'listening', 'status() says so');

$bridge->sql('DROP EXTENSION webhook_bridge');
$bridge->wait_until_not_listening;
ok($idle->is_closed, 'DROP EXTENSION ends idle connections');
my $answer = $halfway->response;
is($answer->{status}, 503, 'a request under way is answered 503');
ok($answer->{headers}{'retry-after'}, 'and asked to come again');
ok($halfway->is_closed, 'and its connection ended');
is_deeply(catalog_sizes(), $catalogs, 'nothing is left in the catalogs');
is_deeply([ $bridge->workers('receiver') ], [$pid], 'the receiver waits again');

create();
$bridge->sql('DROP EXTENSION webhook_bridge; CREATE EXTENSION webhook_bridge');
$bridge->create_endpoint('shop', $secret);
poll_until(sub { (eval { deliver() } // { status => 0 })->{status} == 200 }, 'a delivery is taken');
pass('dropped and made again at once, it is served');
is($bridge->count('webhook_bridge.events'), 1, 'and has one event');

# ---------------------------------------------------------------------------
# DROP and CREATE under load
# ---------------------------------------------------------------------------

my $offset = (stat $node->logfile)[7];
my $storm  = $bridge->storm(path => '/hooks/shop', secret => $secret, connections => 16);
my $losers = 0;
for my $cycle (1 .. 20)
{
    $storm->wait_for_more(50) if $cycle % 2;
    poll_until(\&drop_and_create, "cycle $cycle");
}
$storm->wait_for_more(500);
my $known = $storm->progress->{sent};
$storm->wait_for_more(1000);
my $sent = $storm->finish;
diag "20 cycles: sent $sent->{sent}, acknowledged $sent->{acknowledged}, "
  . "refused $sent->{refused}, without an answer $sent->{lost}; deadlocks $losers";

# What was sent so late can only have been acknowledged by the last extension.
$bridge->sql(sprintf q{CREATE TABLE storm (id bigint, status int); COPY storm FROM '%s'}, $storm->outcomes);
is( $bridge->count(
        "storm WHERE status = 200 AND id > $known AND id NOT IN (SELECT (payload->>'id')::bigint FROM webhook_bridge.events)"
    ),
    0, 'everything that the last extension acknowledged is stored');
is( $bridge->count("(SELECT payload->>'id' FROM webhook_bridge.events GROUP BY 1 HAVING count(*) > 1) twice"),
    0, 'and once');
is($bridge->sql("SELECT DISTINCT status FROM storm WHERE status NOT IN (0, 200, 404, 503)"),
    '', 'there were no other answers than 200, 404 and 503');
ok($bridge->is_listening, 'the receiver listens in the end');
is_deeply([ $bridge->workers('receiver') ], [$pid], 'and is still the first');
unlike(scalar $bridge->log_text($offset), qr/terminated by signal|PANIC|server process|background worker/,
    'no process has ended');
$bridge->sql('DROP TABLE storm');

# ---------------------------------------------------------------------------
# Another version
# ---------------------------------------------------------------------------

$offset = (stat $node->logfile)[7];
my $version = $bridge->sql(q{SELECT extversion FROM pg_extension WHERE extname = 'webhook_bridge'});
set_version('9.9');
$bridge->wait_until_not_listening;
stays_waiting(1, 'with an extension of another version');
set_version($version);
$bridge->wait_until_listening;
my @warnings = grep { /WARNING|HINT/ } split /\n/, $bridge->log_text($offset);
is(scalar @warnings, 2, 'this is said once') or diag join "\n", @warnings;
like($warnings[0], qr/WARNING:.* version 9\.9/, 'in a warning that names the version');
like($warnings[1], qr/HINT:.*ALTER EXTENSION/, 'with a hint');
$node->stop;

# ---------------------------------------------------------------------------
# Not preloaded
# ---------------------------------------------------------------------------

my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
$plain->append_conf('postgresql.conf', <<'CONF');
log_statement = none
webhook_bridge.port = 8091
webhook_bridge.public_url = 'https://example.com/in'
webhook_bridge.max_body_size = '2MB'
CONF
$plain->start;
unlike(slurp_file($plain->logfile), qr{(?<!/)webhook|WARNING|ERROR}, 'settings alone cause no message');

$plain->safe_psql('postgres', 'CREATE EXTENSION webhook_bridge');
is( $plain->safe_psql('postgres',
        q{SELECT webhook_bridge.verify('github', 'k', webhook_bridge.sign('github', 'k', 'body'), 'body')}),
    't', 'sign and verify work without the server preloading the library');
is( $plain->safe_psql('postgres', q{SELECT (webhook_bridge.create_endpoint('shop', 'ecomanager', 'k')).url}),
    'https://example.com/in/hooks/shop', 'and so does create_endpoint');
my ($status, $out, $error) =
  $plain->psql('postgres', "\\set VERBOSITY verbose\nSELECT * FROM webhook_bridge.status()");
like($error, qr/ERROR:  55000:/, 'status() fails with the right code');
like($error, qr/HINT:.*shared_preload_libraries/, 'and a hint');
unlike(slurp_file($plain->logfile), qr/WARNING/, 'nobody was warned of anything');
$plain->safe_psql('postgres', 'DROP EXTENSION webhook_bridge');
$plain->stop;

done_testing();

# ---------------------------------------------------------------------------

sub create
{
    $bridge->sql('CREATE EXTENSION webhook_bridge');
    my $begun = time;
    $bridge->wait_until_listening;
    my $took = time - $begun;
    diag sprintf 'listens %.2f s after CREATE EXTENSION', $took;
    cmp_ok($took, '<', 5, 'listens soon after CREATE EXTENSION');
    $bridge->create_endpoint('shop', $secret);
    return;
}

sub deliver
{
    return $bridge->post('/hooks/shop', $body, ecomanager_headers($secret, $body));
}

# Watches for some seconds that one and the same receiver is there and does not
# listen.
sub stays_waiting
{
    my ($seconds, $when) = @_;
    my $end = time + $seconds;
    my ($looks, %seen, $listened) = (0);
    while (time < $end)
    {
        $seen{ join ' ', $bridge->workers('receiver') } = 1;
        $listened ||= $bridge->is_listening;
        $looks++;
    }
    is(join(', ', keys %seen), $pid, "one receiver waits $when");
    ok(!$listened, "and does not listen ($looks looks)");
    return;
}

# DROP takes its locks in another order than a batch; who loses tries again.
sub drop_and_create
{
    my ($result, $out, $error) = $node->psql('postgres', <<"SQL");
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS webhook_bridge;
CREATE EXTENSION webhook_bridge;
SELECT webhook_bridge.create_endpoint('shop', 'ecomanager', '$secret');
SQL
    return 1 if $result == 0 && $error eq '';
    die $error unless $error =~ /deadlock detected/;
    $losers++;
    return 0;
}

sub set_version
{
    my ($value) = @_;
    $bridge->sql("UPDATE pg_extension SET extversion = '$value' WHERE extname = 'webhook_bridge'");
    return;
}

sub catalog_sizes
{
    my @catalogs = qw(pg_class pg_attribute pg_type pg_proc pg_namespace pg_constraint pg_trigger pg_index
      pg_attrdef pg_inherits pg_partitioned_table pg_sequence pg_depend pg_shdepend pg_description
      pg_init_privs pg_extension pg_default_acl pg_rewrite);
    return { map { $_ => $bridge->count($_) } @catalogs };
}
