# Standbys: one does not listen until it is promoted, and a synchronous one
# has what was acknowledged.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WebhookBridge;

my $secret  = 'a secret';
my $next    = 1;
my $primary = WebhookBridge->start(
    'primary',
    init => [ allows_streaming => 1 ],
    conf => "log_statement = none\n");
$primary->create_endpoint('shop', $secret);
$primary->sql(<<"SQL");
INSERT INTO webhook_bridge.providers (name, title, signature_from, external_id_from)
VALUES ('acme', 'Acme', 'header:X-Acme-Signature', '{json:id}');
SELECT webhook_bridge.create_endpoint('acme', 'acme', '$secret');
SQL
$primary->node->backup('base');

my $node    = PostgreSQL::Test::Cluster->new('standby');
my $standby = WebhookBridge->of_node($node, PostgreSQL::Test::Cluster::get_free_port());
$node->init_from_backup($primary->node, 'base', has_streaming => 1);
$node->append_conf('postgresql.conf', 'webhook_bridge.port = ' . $standby->port);
$node->start;

# ---------------------------------------------------------------------------
# A standby does not listen
# ---------------------------------------------------------------------------

{
    my $end = time + 2;
    my %seen;
    while (time < $end)
    {
        $seen{$_}++ for $standby->workers('launcher'), $standby->workers('receiver');
        $seen{listens}++ if $standby->is_listening;
        sleep 0.1;
    }
    is_deeply(\%seen, {}, 'a standby has no receiver');
    is(shop($primary)->{status}, 200, 'the primary has one');
    $primary->node->wait_for_catchup('standby');
    is($standby->count('webhook_bridge.events'), 1, 'the standby has what the primary stores');
    is($standby->sql('SELECT DISTINCT state FROM webhook_bridge.status()'), 'stopped', 'status() works there');
    like(($node->psql('postgres', q(SELECT * FROM webhook_bridge.self_test('shop'))))[2], qr/a standby receives no deliveries/,
        'self_test() does not, and says so');
}

# ---------------------------------------------------------------------------
# A synchronous standby
# ---------------------------------------------------------------------------

$primary->reload(synchronous_standby_names => 'standby');
wait_for_sync();
is(shop($primary)->{status}, 200, 'with a synchronous standby, a delivery is acknowledged');
# "on" waits for the standby's disk, so that replay is all that may be missing
my $received = $primary->count('webhook_bridge.events');
$node->stop('immediate');
$node->start;
$node->poll_query_until('postgres', "SELECT count(*) = $received FROM webhook_bridge.events")
  or die 'the standby has not replayed it';
pass('and the standby has it on disk');
wait_for_sync();

{
    $node->stop;
    my $begun  = time;
    my $answer = shop($primary);
    diag sprintf 'without its synchronous standby: %d after %.2f s', $answer->{status}, time - $begun;
    is($answer->{status}, 503, 'while the standby is away, a delivery is not acknowledged');
    ok($answer->{headers}{'retry-after'}, 'but asked for again');
    cmp_ok(time - $begun, '<', 5, 'before the provider loses patience');

    # An attempt that finds the event on the primary is no proof of more.
    is(acme($primary, 'a')->{status}, 503, 'nor is one that has an id');
    is(acme($primary, 'a')->{status}, 503, 'nor is its next attempt');

    # The wait must not keep the receiver from ending.
    my ($pid) = $primary->workers('receiver');
    my $connection = $primary->connect;
    my $body = '{"id":"last"}';
    $connection->send(http_request('POST', '/hooks/shop', ecomanager_headers($secret, $body), $body));
    poll_until(
        sub { $primary->sql("SELECT wait_event FROM pg_stat_activity WHERE pid = $pid") eq 'SyncRep' },
        'the wait for the standby');
    $begun = time;
    kill 'TERM', $pid;
    poll_until(sub { !kill 0, $pid }, 'the end of the receiver');
    diag sprintf 'a receiver that waits for a standby ended after %.2f s', time - $begun;
    cmp_ok(time - $begun, '<', 5, 'a receiver that waits for a standby can be ended');
    is($connection->response->{status}, 503, 'and does not acknowledge');

    $primary->wait_until_listening;
    $node->start;
    wait_for_sync();
    my $stored = $primary->count("webhook_bridge.events WHERE endpoint = 'acme'");
    is($stored, 1, 'an attempt that was not acknowledged is stored nevertheless');
    my $again = acme($primary, 'a');
    is($again->{status}, 200, 'when the standby is back, the next attempt is acknowledged');
    like($again->{body}, qr/duplicate/, 'as a duplicate');
    is(shop($primary)->{status}, 200, 'and others are as before');
}

{
    $node->stop;
    is(shop($primary)->{status}, 503, 'the standby is away again');
    $primary->reload(synchronous_standby_names => '');
    poll_until(sub { shop($primary)->{status} == 200 }, 'an acknowledgement');
    pass('without synchronous_standby_names nobody waits for it');
    $node->start;
}

# ---------------------------------------------------------------------------
# Promotion
# ---------------------------------------------------------------------------

# Providers try again and again, at an address that means the standby by now.
my $storm = $standby->storm(path => '/hooks/shop', secret => $secret, connections => 16, first => 1_000_000);

{
    $primary->node->wait_for_catchup('standby');
    my $before = $standby->count('webhook_bridge.events');
    $primary->node->stop('immediate');
    my $begun = time;
    $node->promote;
    my $promoted = time;
    $standby->wait_until_listening;
    diag sprintf 'under load, listens %.2f s after the promotion began and %.2f s after it ended', time - $begun, time - $promoted;
    # one second is claimed; the rest is for a busy machine
    cmp_ok(time - $promoted, '<', 5, 'listens soon after the promotion');
    is(shop($standby)->{status}, 200, 'a promoted standby takes deliveries');
    $storm->wait_for_more(500);
    my $sent = $storm->finish;
    diag "under load: sent $sent->{sent}, acknowledged $sent->{acknowledged}, refused $sent->{refused}, without an answer $sent->{lost}";
    $standby->sql(sprintf q{CREATE TABLE storm (id bigint, status int); COPY storm FROM '%s'}, $storm->outcomes);
    is($standby->count(<<'SQL'), 0, 'everything that it has acknowledged is stored');
storm WHERE status = 200 AND id::text NOT IN (SELECT payload->>'id' FROM webhook_bridge.events WHERE endpoint = 'shop')
SQL
    is($sent->{refused} + $sent->{lost}, 0, 'and nothing was refused');
    is($standby->count(q(webhook_bridge.events WHERE payload->>'id' !~ '^\d{7}')), $before + 1,
        'single deliveries are stored as well');
    like(acme($standby, 'a')->{body}, qr/duplicate/, 'and knows what the primary has stored');
    is($standby->count('(SELECT id FROM webhook_bridge.events GROUP BY id HAVING count(*) > 1) twice'),
        0, 'no id is given twice');
    $node->stop;
}

done_testing();

# ---------------------------------------------------------------------------

sub wait_for_sync
{
    $primary->node->poll_query_until('postgres',
        "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'")
      or die 'there is no synchronous standby';
    return;
}

sub shop
{
    my ($bridge) = @_;
    my $body = sprintf '{"id":%d}', $next++;
    return $bridge->post('/hooks/shop', $body, ecomanager_headers($secret, $body));
}

sub acme
{
    my ($bridge, $id) = @_;
    my $body = qq({"id":"$id"});
    return $bridge->post('/hooks/acme', $body, [ 'X-Acme-Signature' => hmac_sha256_hex($body, $secret) ]);
}
