# The consumers in examples/: each handles every event exactly once, though it is
# killed, the database restarts, and one event cannot be handled; and it ends when
# it is asked to.

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../perl";
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookBridge;

my $secret   = 'a secret of the shop';
my $examples = "$FindBin::RealBin/../../examples";
my $scratch  = tempdir(CLEANUP => 1);
my $bridge   = WebhookBridge->start('examples', conf => <<'CONF');
shared_preload_libraries = 'webhook_bridge, pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = on
max_worker_processes = 16
log_statement = none
CONF
my $node = $bridge->node;

# --- The programs ------------------------------------------------------------

{
    my $said;
    local %ENV = (%ENV, GO111MODULE => 'off', GOPATH => '/usr/share/gocode', GOCACHE => "$scratch/cache", HOME => $scratch);
    IPC::Run::run([ 'go', 'build', '-o', "$scratch/consumer", "$examples/consumer.go" ], '<', '/dev/null', '>&', \$said)
      or die "go build: $said\n";
}
my %program = (
    go     => ["$scratch/consumer"],
    node   => [ 'node', "$examples/consumer.js" ],
    php    => [ 'php', "$examples/consumer.php" ],
    python => [ '/usr/bin/python3', "$examples/consumer.py" ],
);
my @languages = sort keys %program;
my %running;

# Each is a role with the rights of the README, and has a table of its own.  What
# pg_cron runs is the owner's.
$bridge->create_endpoint('shop', $secret);
my ($grants) = slurp_file("$FindBin::RealBin/../../README.md") =~ /^CREATE ROLE shop_worker LOGIN;\n(.*?)^```/ms
  or die 'the README has no grants';
my $table = 'orders_seen (event_id bigint, order_id bigint)';
for my $language (@languages)
{
    $bridge->sql("CREATE ROLE $language LOGIN; " . $grants =~ s/shop_worker/$language/gr);
    $bridge->sql(<<"SQL");
CREATE SCHEMA $language AUTHORIZATION $language;
ALTER ROLE $language SET search_path = $language;
SET ROLE $language;
CREATE TABLE $language.$table;
SQL
    $bridge->sql("SELECT webhook_bridge.create_consumer('orders-$language', '{shop}', starting => 'earliest', max_attempts => 1)");
}
$bridge->sql("CREATE TABLE $table; SELECT webhook_bridge.create_consumer('orders', '{shop}', starting => 'earliest', max_attempts => 1)");
$bridge->sql('CREATE EXTENSION pg_cron');
my ($status, $out, $err) = $node->psql('postgres', slurp_file("$examples/consumer.sql"), on_error_stop => 1);
is($status, 0, 'sql: the procedure is made and scheduled') or diag $err;

# --- Events from before, a faulty one, and those that come --------------------

my $next = 1;
deliver(300);
start($_) for @languages;
wait_until_handled($_, 300) for @languages;
pass("$_: what was there before") for @languages;

my $body = '{"id":"no number"}';
answer_is($bridge->post('/hooks/shop', $body, ecomanager_headers($secret, $body)), 200, 'stored', 'an event that cannot be handled');
deliver(1);
for my $language (@languages)
{
    wait_until_handled($language, 301);
    poll_until(sub { $bridge->count("webhook_bridge.dead_events('orders-$language')") == 1 }, "the dead event of $language");
    like($bridge->sql("SELECT error FROM webhook_bridge.dead_events('orders-$language')"), qr/invalid input syntax for type bigint: "no number"/,
        "$language: an event that cannot be handled does not stop the others, and its error is kept");
}

# --- Killed, and the database restarted, while events come ---------------------

my $storm = $bridge->storm(path => '/hooks/shop', secret => $secret, connections => 4, first => $next, interval => 5);
$storm->wait_for_acknowledged(100);
for my $language (@languages)
{
    my $before = handled($language);
    poll_until(sub { handled($language) > $before }, "$language to be in the middle");
    $running{$language}{process}->kill_kill;
    $storm->wait_for_more(20);
    start($language);
}
$storm->wait_for_more(50);
$node->restart;
$bridge->wait_until_listening;
$storm->wait_for_more(100);
$node->stop('immediate');
$node->start;
$bridge->wait_until_listening;
$storm->wait_for_more(100);
my $sent = $storm->finish;
$next += $sent->{sent};
my $good = $bridge->count(q(webhook_bridge.events WHERE payload ->> 'id' <> 'no number'));
diag "sent $sent->{sent}, acknowledged $sent->{acknowledged}, stored in all $good";
for my $language (@languages)
{
    wait_until_handled($language, $good);
    exactly_once($language);
    like($running{$language}{err} . $running{$language}{out}, qr/connection lost, next attempt in .*connected/s, "$language: it has connected again");
}

# --- Asked to end --------------------------------------------------------------

for my $signal ('TERM', 'INT')
{
    for my $language (@languages)
    {
        my $process = $running{$language}{process};
        $process->signal($signal);
        $process->finish;
        is(($process->full_results)[0], 0, "$language: SIG$signal ends it well") or diag $running{$language}{err};
    }
    is($bridge->count("pg_stat_activity WHERE usename IN ('go', 'node', 'php', 'python')"), 0, "SIG$signal: no session is left");
    deliver(25);
    $good += 25;
    start($_) for @languages;
    wait_until_handled($_, $good) for @languages;
    exactly_once($_) for @languages;
}
$running{$_}{process}->signal('TERM') for @languages;
$running{$_}{process}->finish for @languages;

# --- What pg_cron runs ---------------------------------------------------------

poll_until(sub { $bridge->count('public.orders_seen') >= $good }, 'the work of pg_cron', 180);
exactly_once('public');
is($bridge->count(q(webhook_bridge.dead_events('orders'))), 1, 'public: the event that cannot be handled');
is($bridge->sql(q(SELECT DISTINCT status FROM cron.job_run_details WHERE end_time IS NOT NULL AND start_time > (SELECT pg_postmaster_start_time()))), 'succeeded', 'public: pg_cron says that all is well');
is($bridge->sql('SELECT DISTINCT lag_events FROM webhook_bridge.consumer_status()'), '0', 'nothing is left for anybody');
$node->stop;
done_testing();

# ---------------------------------------------------------------------------

# Deliveries that are all stored.
sub deliver
{
    my ($count) = @_;
    my $storm = $bridge->storm(path => '/hooks/shop', secret => $secret, connections => 4, first => $next, count => $count);
    $storm->wait_for_acknowledged($count);
    $storm->finish;
    $next += $count;
    return;
}

sub start
{
    my ($language) = @_;
    my $old = $running{$language};
    my %new = (out => $old->{out} // '', err => $old->{err} // '');
    local %ENV = (%ENV,
        PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres', PGUSER => $language,
        NODE_PATH => "$FindBin::RealBin/../vendor/node_modules");
    $new{process} = IPC::Run::start([ @{ $program{$language} }, "orders-$language" ], '<', '/dev/null', '>>', \$new{out}, '2>>', \$new{err},
        IPC::Run::timeout(600));
    $running{$language} = \%new;
    return;
}

sub handled
{
    my ($schema) = @_;
    return $bridge->count("$schema.orders_seen");
}

sub wait_until_handled
{
    my ($language, $count) = @_;
    eval {
        poll_until(sub { $running{$language}{process}->pump_nb; handled($language) >= $count }, "$count events", 2 * $WebhookBridge::DEADLINE);
        1;
    } or die "$language has handled " . handled($language) . " of $count: $running{$language}{err}$running{$language}{out}";
    return;
}

sub exactly_once
{
    my ($schema) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is($bridge->sql(<<"SQL"), '0|0', "$schema: every event exactly once");
SELECT (SELECT count(*) FROM webhook_bridge.events e FULL JOIN $schema.orders_seen o ON o.event_id = e.id
        WHERE (e.payload ->> 'id' = 'no number') IS DISTINCT FROM (o.event_id IS NULL) OR o.order_id::text <> e.payload ->> 'id'),
       (SELECT count(*) - count(DISTINCT event_id) FROM $schema.orders_seen)
SQL
}
