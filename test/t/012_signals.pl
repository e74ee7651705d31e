# Signals, restarts, crashes and reloads: what the processes do and what
# clients see of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WebhookBridge;

# Claimed are two seconds; the rest is for a busy machine.
use constant STOP_LIMIT => 5;

my $secret = 'a secret';
my $next   = 1_000_000_000;    # ids of single deliveries, apart from the storms'
my $bridge = WebhookBridge->start('signals', conf => <<'CONF');
log_statement = none
restart_after_crash = on
shared_buffers = 64MB
webhook_bridge.request_timeout = '20s'
CONF
my $node = $bridge->node;
$bridge->create_endpoint('shop', $secret);
$bridge->sql('CREATE TABLE storm (id bigint, status int)');

# ---------------------------------------------------------------------------
# pg_ctl stop -m fast
# ---------------------------------------------------------------------------

{
    my @idle = map { $bridge->connect } 1 .. 8;
    is($_->request('GET', '/hooks/shop')->{status}, 200, 'a connection is open') for @idle[ 0, 1 ];
    timed_stop('with idle connections');
    is(scalar(grep { $_->is_closed } @idle), 8, 'they are closed');
    $node->start;
    $bridge->wait_until_listening;
}

{
    my @halfway = map { $bridge->connect } 1 .. 4;
    my $request = delivery($next++);
    $halfway[0]->send(substr $request, 0, 10);
    $halfway[1]->send(substr $request, 0, -1);
    $halfway[2]->send($request . substr delivery($next++), 0, -1);
    is($halfway[2]->response->{status}, 200, 'a request before a half-sent one is answered');
    poll_until(sub { $bridge->sql('SELECT sum(connections) FROM webhook_bridge.status()') >= 4 }, 'connections');
    timed_stop('with half-sent requests');
    for my $connection (@halfway[ 0 .. 2 ])
    {
        my $answer = $connection->response;
        is($answer->{status},               503, 'a half-sent request is answered 503');
        is($answer->{headers}{'connection'}, 'close', 'as the last of its connection');
        ok($answer->{headers}{'retry-after'}, 'with Retry-After');
    }
    is(scalar(grep { $_->is_closed } @halfway), 4, 'all connections are closed');
    $node->start;
    $bridge->wait_until_listening;
}

{
    my $storm = storm();
    $storm->wait_for_more(1000);
    timed_stop('under load');
    $node->start;
    $storm->wait_for_more(1000);
    check_storm($storm, 'stopped fast under load');
}

# Every row takes its time and fails: the attempts one by one would take minutes.
{
    $bridge->sql(<<'SQL');
CREATE FUNCTION slow_failure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.05);
    RAISE EXCEPTION 'not this one';
END
$$;
CREATE TRIGGER slow_failure BEFORE INSERT ON webhook_bridge.events FOR EACH ROW EXECUTE FUNCTION slow_failure();
SQL
    my $before = $bridge->count('webhook_bridge.events');
    my @busy = map { $bridge->connect } 1 .. 8;
    $_->send(join '', map { delivery(-$_) } 1 .. 50) for @busy;
    poll_until(sub { $bridge->sql('SELECT sum(unavailable) FROM webhook_bridge.status()') > 0 }, 'the first refusal');
    timed_stop('while every delivery fails slowly');
    $node->start;
    $bridge->wait_until_listening;
    is($bridge->count('webhook_bridge.events'), $before, 'nothing of them is stored');
    $bridge->sql('DROP TRIGGER slow_failure ON webhook_bridge.events');
}

# ---------------------------------------------------------------------------
# Signals to the processes
# ---------------------------------------------------------------------------

{
    my $connection = $bridge->connect;
    is(deliver($connection), 200, 'a connection is open');

    my ($pid) = $bridge->workers('receiver');
    $bridge->sql("SELECT pg_cancel_backend($pid)") for 1 .. 3;
    is(deliver($connection), 200, 'pg_cancel_backend() does not close it');
    is_deeply([ $bridge->workers('receiver') ], [$pid], 'nor end the receiver');

    $bridge->reload('webhook_bridge.max_body_size' => '2kB');
    poll_until(
        sub { $bridge->post('/hooks/shop', 'x' x 4000, [])->{status} == 413 }, 'the new limit');
    pass('a reload takes effect');
    is(deliver($connection), 200, 'and does not close open connections');
    is_deeply([ $bridge->workers('receiver') ], [$pid], 'nor end the receiver');
    $bridge->reload('webhook_bridge.max_body_size' => '1MB');
    poll_until(
        sub { $bridge->post('/hooks/shop', 'x' x 4000, [])->{status} != 413 }, 'the old limit');

    $bridge->sql("SELECT pg_terminate_backend($pid)");
    ok($connection->is_closed, 'pg_terminate_backend() closes it');
    poll_until(other_receiver($pid), 'another receiver');
    $bridge->wait_until_listening;
    is(deliver(), 200, 'and another receiver takes over');
}

{
    my ($receiver) = $bridge->workers('receiver');
    my ($launcher) = $bridge->workers('launcher');
    my $connection = $bridge->connect;
    is(deliver($connection), 200, 'a connection is open');

    $bridge->sql("SELECT pg_terminate_backend($launcher)");
    poll_until(
        sub {
            my ($now) = $bridge->workers('launcher');
            return $now && $now != $launcher;
        },
        'another launcher');
    pass('there is a new launcher after the old one was terminated');
    # It shows that it works by starting what is missing, and nothing else.
    $bridge->reload('webhook_bridge.receivers' => 2);
    poll_until(sub { $bridge->workers('receiver') == 2 }, 'a second receiver');
    ok(scalar(grep { $_ == $receiver } $bridge->workers('receiver')), 'the receiver is the same');
    is(deliver($connection), 200, 'and so is the connection');
    $bridge->reload('webhook_bridge.receivers' => 1);
    poll_until(sub { $bridge->workers('receiver') == 1 }, 'one receiver');
    is_deeply([ $bridge->workers('receiver') ], [$receiver], 'and still the same');
    $bridge->wait_until_listening;
}

# ---------------------------------------------------------------------------
# Crashes
# ---------------------------------------------------------------------------

{
    my ($pid) = $bridge->workers('receiver');
    my $storm = storm();
    $storm->wait_for_more(1000);
    is(kill('KILL', $pid), 1, 'the receiver is killed under load');
    poll_until(sub { eval { $bridge->workers('receiver') == 1 && ($bridge->workers('receiver'))[0] != $pid } },
        'another receiver');
    $storm->wait_for_more(1000);
    check_storm($storm, 'killed under load');
}

{
    my $storm = storm();
    $storm->wait_for_more(1000);
    $node->stop('immediate');
    $node->start;
    $storm->wait_for_more(1000);
    check_storm($storm, 'restarted immediately under load');
}

# ---------------------------------------------------------------------------
# The port
# ---------------------------------------------------------------------------

{
    my $offset = (stat $node->logfile)[7];
    my $port   = PostgreSQL::Test::Cluster::get_free_port();
    my $other  = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 5, ReuseAddr => 1)
      or die "could not listen on port $port: $!";

    $bridge->reload('webhook_bridge.port' => $port);
    poll_until(\&is_blocked, "state blocked");
    pass('state is blocked while somebody else has the port');
    $bridge->wait_until_not_listening;
    my $until = time + 2.5;
    while (time < $until)
    {
        next if is_blocked();
        fail('state stays blocked');
        last;
    }
    my @warnings = $bridge->log_text($offset) =~ /^.*WARNING:.*$/mg;
    is(scalar @warnings, 1, 'which is said once') or diag join "\n", @warnings;
    like($warnings[0], qr/could not listen on .*port $port/, 'and what the port is');

    close $other;
    $bridge->{port} = $port;
    $bridge->wait_until_listening;
    is(deliver(), 200, 'it listens when the port is free');
    is($bridge->sql('SELECT state FROM webhook_bridge.status() WHERE receiver = 0'), 'listening', 'and says so');
}

# ---------------------------------------------------------------------------
# How many receivers
# ---------------------------------------------------------------------------

{
    $bridge->reload('webhook_bridge.receivers' => 3);
    poll_until(sub { listening() == 3 }, 'three listening receivers');
    is(scalar $bridge->workers('receiver'), 3, 'receivers = 3: three of them listen');

    # The kernel spreads connections by their ports.
    my @connections = map { $bridge->connect } 1 .. 60;
    is(scalar(grep { deliver($_) == 200 } @connections), 60, 'connections are served');
    is($bridge->count('webhook_bridge.status() WHERE connections > 0'), 3, 'by all three');

    my $offset = (stat $node->logfile)[7];
    my ($first) = $bridge->sql('SELECT pid FROM webhook_bridge.status() WHERE receiver = 0');
    $bridge->reload('webhook_bridge.receivers' => 1);
    poll_until(sub { $bridge->workers('receiver') == 1 }, 'one receiver');
    is_deeply([ $bridge->workers('receiver') ], [$first], 'receivers = 1: the first is left');
    is(deliver(), 200, 'and has never ceased to listen');
    is(listening(), 1, 'and says so');
    my @warnings = $bridge->log_text($offset) =~ /^.*WARNING:.*$/mg;
    is(scalar @warnings, 0, 'without a warning') or diag join "\n", @warnings;

    $bridge->reload('webhook_bridge.receivers' => 0);
    $bridge->wait_until_not_listening;
    poll_until(sub { $bridge->workers('receiver') == 0 }, 'no receiver');
    is($bridge->count('webhook_bridge.status()'), 0, 'receivers = 0: there is none');

    $bridge->reload('webhook_bridge.receivers' => 1);
    $bridge->wait_until_listening;
    is(deliver(), 200, 'and again one');
}

# ---------------------------------------------------------------------------
# One of several receivers ends
# ---------------------------------------------------------------------------

{
    $bridge->reload('webhook_bridge.receivers' => 3);
    poll_until(sub { listening() == 3 }, 'three listening receivers');

    # A connection for each delivery, so that there are always some about to be made.
    my $storm = storm(requests => 1);
    for my $round (1 .. 3)
    {
        $storm->wait_for_more(300);
        my @before = $bridge->workers('receiver');
        $bridge->sql("SELECT pg_terminate_backend($before[$round - 1])");
        poll_until(
            sub {
                my %now = map { $_ => 1 } $bridge->workers('receiver');
                return !$now{ $before[ $round - 1 ] } && keys %now == 3 && listening() == 3;
            },
            'three receivers again');
        my %now = map { $_ => 1 } $bridge->workers('receiver');
        is(scalar(grep { $now{$_} } @before), 2, "one of three is terminated, round $round: the others are the same");
    }
    $storm->wait_for_more(300);
    check_storm($storm, 'one of three terminated, three times');

    # The system restarts all processes when one is killed.
    $storm = storm(requests => 10);
    $storm->wait_for_more(1000);
    my @before = $bridge->workers('receiver');
    is(kill('KILL', $before[1]), 1, 'one of three is killed under load');
    poll_until(sub { eval { listening() == 3 && !grep { $_ == $before[1] } $bridge->workers('receiver') } }, 'three receivers again');
    is($bridge->count('webhook_bridge.status() WHERE receiver IS NOT NULL'), 3, 'one of three is killed: there are three again');
    $storm->wait_for_more(1000);
    check_storm($storm, 'one of three killed');

    $bridge->reload('webhook_bridge.receivers' => 1);
    poll_until(sub { $bridge->workers('receiver') == 1 }, 'one receiver');
}

# ---------------------------------------------------------------------------
# A receiver that ends again and again
# ---------------------------------------------------------------------------

# The next but one comes after a second, then after two, then four.  A slow machine only
# adds to that.
{
    my $begun = time;
    for my $round (1 .. 4)
    {
        my ($pid) = $bridge->workers('receiver');
        $bridge->sql("SELECT pg_terminate_backend($pid)");
        poll_until(other_receiver($pid), 'another receiver');
    }
    my $took = time - $begun;
    diag sprintf 'four receivers, each ended at once, took %.2f s', $took;
    cmp_ok($took, '>=', 6, 'a receiver that ends again and again is started ever more slowly');
    $bridge->wait_until_listening;
    is(deliver(), 200, 'and serves when it stays');
}

# ---------------------------------------------------------------------------
# pg_ctl stop -m smart
# ---------------------------------------------------------------------------

{
    my $session = $node->background_psql('postgres');
    my $idle    = $bridge->connect;
    is(deliver($idle), 200, 'a connection is open');
    my ($pid)      = $bridge->workers('receiver');
    my ($launcher) = $bridge->workers('launcher');
    my $offset = (stat $node->logfile)[7];
    kill 'TERM', slurp_file($node->data_dir . '/postmaster.pid') =~ /\A(\d+)/;
    poll_until(sub { $bridge->log_text($offset) =~ /received smart shutdown request/ }, 'the request');
    is(deliver($idle), 200, 'stop -m smart: deliveries are taken while there is a session');
    is(deliver(),      200, 'stop -m smart: on new connections, too');
    $session->quit;
    ok($idle->is_closed, 'stop -m smart: with the last session, it ends');
    poll_until(sub { !kill(0, $pid) && !kill(0, $launcher) }, 'the end of our processes');
    $node->stop('fast', fail_ok => 1);
    $node->start;
    $bridge->wait_until_listening;
}

is($bridge->count("webhook_bridge.events WHERE endpoint = 'shop' AND (payload->>'id')::bigint >= 1000000000"),
    $next - 1_000_000_000 - 1, 'every single delivery is stored once, except the half-sent');
$node->stop;
unlike(scalar $bridge->log_text, qr/PANIC|TRAP/, 'nothing went wrong that nobody saw');
done_testing();

# ---------------------------------------------------------------------------

# The bytes of a delivery.
sub delivery
{
    my ($id) = @_;
    my $body = qq({"id":$id});
    return http_request('POST', '/hooks/shop', ecomanager_headers($secret, $body), $body);
}

# Makes a delivery and returns the status.
sub deliver
{
    my ($connection) = @_;
    $connection //= $bridge->connect;
    $connection->send(delivery($next++));
    return $connection->response->{status};
}

# A function that returns the receiver, if it is not the one given.
sub other_receiver
{
    my ($pid) = @_;
    return sub {
        my ($now) = $bridge->workers('receiver');
        return $now && $now != $pid ? $now : 0;
    };
}

sub is_blocked
{
    return $bridge->sql('SELECT state FROM webhook_bridge.status() WHERE receiver = 0') eq 'blocked';
}

sub listening
{
    return $bridge->count("webhook_bridge.status() WHERE state = 'listening'");
}

# Stops the server and looks at the time this takes.
sub timed_stop
{
    my ($when) = @_;
    my ($pid)  = $bridge->workers('receiver');
    my $begun  = time;
    kill 'INT', slurp_file($node->data_dir . '/postmaster.pid') =~ /\A(\d+)/;
    poll_until(sub { !kill 0, $pid }, 'the end of the receiver');
    my $took = time - $begun;
    $node->stop('fast', fail_ok => 1);
    diag sprintf 'stop -m fast %s: the receiver ended after %.2f s, the server after %.2f s', $when, $took,
      time - $begun;
    cmp_ok($took, '<', STOP_LIMIT, "the receiver ends soon $when");
    return;
}

my $storms = 0;

sub storm
{
    my (%options) = @_;
    return $bridge->storm(
        path        => '/hooks/shop',
        secret      => $secret,
        connections => 32,
        first       => 1 + 1_000_000 * $storms++,
        %options);
}

# Ends a storm and compares what it was told with what is stored.
sub check_storm
{
    my ($storm, $what) = @_;
    my $sent = $storm->finish;
    $bridge->sql(sprintf q{TRUNCATE storm; COPY storm FROM '%s'}, $storm->outcomes);
    diag "$what: sent $sent->{sent}, acknowledged $sent->{acknowledged}, refused $sent->{refused}, "
      . "without an answer $sent->{lost}";
    is( $bridge->count(
            "storm WHERE status = 200 AND id NOT IN (SELECT (payload->>'id')::bigint FROM webhook_bridge.events)"),
        0, "$what: everything acknowledged is stored");
    is( $bridge->count("(SELECT payload->>'id' FROM webhook_bridge.events GROUP BY 1 HAVING count(*) > 1) twice"),
        0, "$what: nothing is stored twice");
    is($bridge->sql('SELECT DISTINCT status FROM storm WHERE status NOT IN (0, 200, 503)'),
        '', "$what: there were no other answers than 200 and 503");
    return;
}
