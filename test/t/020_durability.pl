# What was acknowledged is on disk, and nothing is stored twice: a storm of
# distinct deliveries, during which the server is stopped hard again and again.
#
# A commit takes a moment only, and what it has handed to the system survives
# the end of a process, so an answer that comes too early would hardly ever be
# caught.  Every other stop therefore happens while commits are slowed down,
# before they write anything.
#
# The moments are chosen by seeds; to repeat a run, give its seed:
#     TEST_SEEDS="1 2 3" script/test tap durability
#
# After that hard stops of two kinds, with and without TLS, and what was told and
# what is stored are compared after each.  To have more than six of these alone:
#     TEST_SEEDS="" TEST_STOPS=100 TEST_SECONDS=3600 script/test tap durability

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Tls;
use WebhookBridge;

use constant DELIVERIES => 102_000;    # acknowledged, per seed
use constant STOPS      => 3;

my @seeds  = split ' ', $ENV{TEST_SEEDS} // '1 2 3';
my $stops  = $ENV{TEST_STOPS} // 6;

my $tls = Tls->new(tempdir(CLEANUP => 1));
$tls->make('authority', ca => 1);
$tls->make('server', by => 'authority', names => 'IP:127.0.0.1');
my $tls_port = PostgreSQL::Test::Cluster::get_free_port();
my $bridge   = WebhookBridge->start('durable', conf => <<"CONF");
fsync = on
full_page_writes = on
shared_buffers = 128MB
log_statement = none
commit_siblings = 0
# weaker than what is promised, to be raised by the receiver
synchronous_commit = off
restart_after_crash = on
webhook_bridge.tls_port = $tls_port
webhook_bridge.tls_cert_file = '@{[ $tls->file('server', 'crt') ]}'
webhook_bridge.tls_key_file = '@{[ $tls->file('server', 'key') ]}'
CONF
my $node = $bridge->node;

$bridge->sql('CREATE TABLE storm (id bigint PRIMARY KEY, status int NOT NULL)');
for my $seed (@seeds)
{
    storm($seed);
}
hard_stops();
done_testing();

sub storm
{
    my ($seed) = @_;
    my $first  = $seed * 10_000_000;
    my $name   = "shop$seed";
    my $begun  = time;

    srand $seed;
    $bridge->create_endpoint($name, "secret $seed");
    my $storm = $bridge->storm(
        path   => "/hooks/$name",
        secret => "secret $seed",
        count  => DELIVERIES,
        first  => $first);
    my $share = DELIVERIES / (STOPS + 1);
    for my $stop (0 .. STOPS - 1)
    {
        $storm->wait_for_acknowledged(int($share * ($stop + 0.5 + rand)));
        if ($stop % 2 == 0)
        {
            $bridge->reload(commit_delay => 20_000);
            $storm->wait_for_more(500 + int(rand 1000));
        }
        $node->stop('immediate');
        $node->append_conf('postgresql.conf', 'commit_delay = 0');
        $node->start;
    }
    $storm->wait_for_acknowledged(DELIVERIES);
    my $sent = $storm->finish;
    $bridge->sql(sprintf q{TRUNCATE storm; COPY storm FROM '%s'}, $storm->outcomes);

    # The bodies are what Node's crypto signed, their ids what it counted.
    $bridge->sql(<<"SQL");
CREATE TABLE stored_$name AS
SELECT (payload->>'id')::bigint AS id FROM webhook_bridge.events WHERE endpoint = '$name';
CREATE INDEX ON stored_$name (id);
ANALYZE stored_$name, storm;
SQL
    my $stored       = $bridge->count("stored_$name");
    my $acknowledged = $bridge->count('storm WHERE status = 200');
    my $lucky        = $bridge->count("storm WHERE status <> 200 AND id IN (SELECT id FROM stored_$name)");
    diag sprintf 'seed %d: sent %d, acknowledged %d, refused %d, without an answer %d; '
      . 'stored %d, of these unacknowledged %d; %.1f s', $seed, $sent->{sent}, $acknowledged,
      $sent->{refused}, $sent->{lost}, $stored, $lucky, time - $begun;

    cmp_ok($acknowledged, '>=', 100_000, "seed $seed: enough deliveries were acknowledged");
    cmp_ok($sent->{lost}, '>', 0, "seed $seed: the server was stopped while deliveries were under way");
    is($bridge->count("storm WHERE status = 200 AND id NOT IN (SELECT id FROM stored_$name)"),
        0, "seed $seed: everything acknowledged is stored");
    is($bridge->count("(SELECT id FROM stored_$name GROUP BY id HAVING count(*) > 1) twice"),
        0, "seed $seed: nothing is stored twice");
    is($bridge->count("stored_$name WHERE id NOT IN (SELECT id FROM storm)"),
        0, "seed $seed: nothing is stored that was not sent");
    is($bridge->sql("SELECT count(*) FROM storm WHERE status NOT IN (0, 200, 503)"),
        0, "seed $seed: there were no other answers than 200 and 503");
    return;
}

# The end of one receiver or of the whole server, at a random moment, every other
# time while commits are slow.
sub hard_stops
{
    my %total = (killed => 0, stopped => 0, acknowledged => 0, stored => 0, lost => 0);

    srand($seeds[0] // time);
    $bridge->create_endpoint('hard', 'a secret');
    for my $stop (1 .. $stops)
    {
        my $kill   = rand() < 0.5;
        my $slow   = rand() < 0.5;
        my $first  = 1_000_000_000 + 1_000_000 * $stop;
        my @common = (path => '/hooks/hard', secret => 'a secret', connections => 24);
        my @storms = (
            $bridge->storm(@common, first => $first, requests => 100),
            $bridge->storm(
                @common,
                first    => $first + 500_000,
                requests => 20,
                port     => $tls_port,
                ca       => $tls->file('authority', 'crt')));

        $_->wait_for_more(1 + int rand 500) for @storms;
        if ($slow)
        {
            $bridge->reload(commit_delay => 20_000);
            $_->wait_for_more(1 + int rand 100) for @storms;
        }
        $kill ? kill_receiver() : $node->stop('immediate');
        $node->append_conf('postgresql.conf', 'commit_delay = 0');
        $kill ? $node->reload : $node->start;
        $_->wait_for_more(50) for @storms;

        my @sent = map { $_->finish } @storms;
        $bridge->sql('TRUNCATE storm');
        $bridge->sql(sprintf q{COPY storm FROM '%s'}, $_->outcomes) for @storms;
        my ($acknowledged, $stored, $missing, $twice) = split /\|/, $bridge->sql(<<'SQL');
WITH stored AS (
    SELECT (payload->>'id')::bigint AS id, count(*) AS times
    FROM webhook_bridge.events WHERE endpoint = 'hard' GROUP BY 1)
SELECT count(*) FILTER (WHERE status = 200), count(stored.id),
       count(*) FILTER (WHERE status = 200 AND stored.id IS NULL),
       count(*) FILTER (WHERE times > 1 OR status IS NULL OR status NOT IN (0, 200, 503))
FROM storm FULL JOIN stored USING (id)
SQL
        $bridge->sql('TRUNCATE webhook_bridge.events, webhook_bridge.dedup');
        my $lost = $sent[0]{lost} + $sent[1]{lost};
        my $name = sprintf 'stop %d, %s%s', $stop, $kill ? 'a receiver is killed' : 'immediate',
          $slow ? ' while commits are slow' : '';
        diag "$name: acknowledged $acknowledged, without an answer $lost, stored $stored, acknowledged and not stored $missing";
        is($missing, 0, "$name: everything acknowledged is stored");
        is($twice,   0, "$name: nothing is stored twice, or that was not sent, and answers are 200 or 503");
        $total{ $kill ? 'killed' : 'stopped' }++;
        $total{acknowledged} += $acknowledged;
        $total{stored}       += $stored;
        $total{lost}         += $lost;
    }
    diag "$stops hard stops, $total{killed} of them of a receiver: acknowledged $total{acknowledged}, "
      . "without an answer $total{lost}, stored $total{stored}";
    cmp_ok($total{lost}, '>', 0, 'deliveries were under way when it stopped') if $stops > 0;
    return;
}

# Returns when the server has recovered and another one listens.
sub kill_receiver
{
    my ($pid) = $bridge->workers('receiver');
    kill 'KILL', $pid;
    # while the server recovers, not even a client is sure to end well
    poll_until(sub { eval { $bridge->sql("SELECT pid FROM webhook_bridge.status() WHERE receiver = 0 AND pid <> $pid") } }, 'another receiver');
    return;
}
