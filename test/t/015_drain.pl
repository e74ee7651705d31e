# A receiver that is to end while requests wait behind a full batch: they are
# answered for what they are, whatever arrives meanwhile on their connection.

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tls;
use WebhookBridge;

my $secret   = 'shared secret';
my $tls      = Tls->new(tempdir(CLEANUP => 1));
my $tls_port = PostgreSQL::Test::Cluster::get_free_port();
$tls->make('authority', ca => 1);
$tls->make('server', by => 'authority', names => 'IP:127.0.0.1');

my $bridge = WebhookBridge->start('drain', conf => <<"CONF");
webhook_bridge.max_batch = 1
webhook_bridge.tls_port = $tls_port
webhook_bridge.tls_cert_file = '@{[ $tls->file('server', 'crt') ]}'
webhook_bridge.tls_key_file = '@{[ $tls->file('server', 'key') ]}'
CONF
my $node = $bridge->node;
$bridge->create_endpoint('shop', $secret);
$bridge->sql(<<'SQL');
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.payload->>'kind' = 'slow' THEN
        PERFORM pg_sleep(0.5);
    ELSIF NEW.payload->>'kind' = 'deaf' THEN
        BEGIN
            PERFORM pg_sleep(60);
        EXCEPTION WHEN query_canceled THEN
            PERFORM pg_sleep(60);
        END;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER take_time BEFORE INSERT ON webhook_bridge.events FOR EACH ROW EXECUTE FUNCTION take_time();
SQL

# A request; those of one kind and padding are of one length.
sub delivery
{
    my ($id, $kind, %options) = @_;
    my $body = qq({"id":"$id","kind":"$kind","padding":"@{[ 'x' x ($options{padding} // 0) ]}"});
    return http_request('POST', '/hooks/shop', ecomanager_headers($options{secret} // $secret, $body), $body);
}

sub receiver
{
    return ($bridge->workers('receiver'))[0];
}

# Waits until the trigger of a slow row sleeps.
sub wait_for_sleep
{
    poll_until(
        sub { $bridge->count("pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type LIKE 'webhook%'") },
        'the slow row');
    return;
}

sub wait_for_new_receiver
{
    my ($old) = @_;
    poll_until(sub { my $now = receiver(); $now && $now != $old && $bridge->is_listening }, 'a new receiver');
    return;
}

# --- Requests behind the batch, and more on the same connection ------------------

for my $round (1 .. 3)
{
    my $old        = receiver();
    my $connection = $bridge->connect;
    my @ids        = map { "r$round-$_" } 1 .. 4;

    $connection->send(delivery($ids[0], 'slow') . delivery($ids[1], 'fast'));
    wait_for_sleep();
    kill 'TERM', $old;
    $connection->send(delivery($ids[2], 'fast') . delivery($ids[3], 'fast'));
    my @stored;
    for my $id (@ids)
    {
        my $answer = $connection->response or last;
        push @stored, $id if $answer->{status} == 200;
        ok($answer->{status} == 200 || $answer->{status} == 503, "round $round: $id: 200 or 503");
    }
    is($stored[0], $ids[0], "round $round: what was begun is stored");
    wait_for_new_receiver($old);
    is( $bridge->sql("SELECT string_agg(payload->>'id', ' ' ORDER BY id) FROM webhook_bridge.events "
              . "WHERE payload->>'id' LIKE 'r$round-%'"),
        "@stored",
        "round $round: the rows are those answered 200");
}

# --- The client is gone when the rest is looked at ---------------------------------------

for my $round (1 .. 3)
{
    my $old        = receiver();
    my $connection = $bridge->connect;

    # a buffer so large that it is given back to the system when it is freed
    $connection->send(delivery("g$round", 'slow', padding => 900_000) . delivery("f$round", 'fast', secret => 'wrong'));
    wait_for_sleep();
    kill 'TERM', $old;
    $connection->finish_sending;
    wait_for_new_receiver($old);
    is($bridge->count("webhook_bridge.events WHERE payload->>'id' = 'g$round'"), 1, "gone $round: the first is stored");
}
unlike($bridge->log_text, qr/terminated by signal/, 'no process has crashed');

# --- Clients that the kernel has connected, and nobody has accepted -------------------------

# While a slow row is stored, others connect and send; they are accepted when the
# receiver already knows that it is to end.
for my $round (1 .. 3)
{
    my $old   = receiver();
    my $first = $bridge->connect;
    $first->send(delivery("a$round-0", 'slow'));
    wait_for_sleep();
    my @waiting = map { $bridge->connect } 1 .. 100;
    $waiting[ $_ - 1 ]->send(delivery("a$round-$_", 'fast')) for 1 .. @waiting;
    kill 'TERM', $old;
    is($first->response->{status}, 200, "not accepted, round $round: what was begun is stored");
    my %count;
    my @stored;
    for my $n (1 .. @waiting)
    {
        my $answer = eval { $waiting[ $n - 1 ]->response };
        $count{ $answer ? $answer->{status} : 'none' }++;
        push @stored, "a$round-$n" if $answer && $answer->{status} == 200;
        $count{'no Retry-After'}++ if $answer && $answer->{status} == 503 && !$answer->{headers}{'retry-after'};
    }
    is_deeply([ grep { !/^(?:200|503)$/ } keys %count ], [], "not accepted, round $round: all are answered 200 or 503")
      or diag join ', ', map { "$_: $count{$_}" } sort keys %count;
    wait_for_new_receiver($old);
    is($bridge->count("webhook_bridge.events WHERE payload->>'id' LIKE 'a$round-%'"), 1 + @stored,
        "not accepted, round $round: the rows are those answered 200");
}

# --- Over TLS --------------------------------------------------------------------------------

# What was begun is stored, what is incomplete is answered 503, and each end is
# announced: the clients would complain of the end of a file.
{
    my $old = receiver();
    my ($slow, $half, $idle) = map { $tls->connect($tls_port) } 1 .. 3;
    is($idle->request('GET', '/hooks/shop')->{status}, 200, 'TLS: a connection is idle');
    $half->send(http_request('GET', '/hooks/shop') . substr delivery('tls-half', 'fast'), 0, -1);
    is($half->response->{status}, 200, 'TLS: a delivery is under way');
    $slow->send(delivery('tls-slow', 'slow'));
    wait_for_sleep();
    kill 'TERM', $old;
    is($slow->response->{status}, 200, 'TLS: what was begun is stored');
    my $answer = $half->response;
    is($answer->{status}, 503, 'TLS: a half-sent delivery is answered 503');
    ok($answer->{headers}{'retry-after'}, 'TLS: with Retry-After');
    is($answer->{headers}{connection}, 'close', 'TLS: as the last of its connection');
    for ([ $slow, 'stored' ], [ $half, 'half-sent' ], [ $idle, 'idle' ])
    {
        my ($connection, $name) = @$_;
        ok($connection->is_closed, "TLS, $name: closed");
        is($tls->errors($connection), '', "TLS, $name: with an alert that says so");
        $tls->disconnect($connection);
    }
    wait_for_new_receiver($old);
    is($bridge->sql("SELECT string_agg(payload->>'id', ' ') FROM webhook_bridge.events WHERE payload->>'id' LIKE 'tls-%'"),
        'tls-slow', 'TLS: the row is that answered 200');
}

# --- Another port ------------------------------------------------------------------------------

# The same when the receiver goes on, and only its sockets change.
{
    my $old   = receiver();
    my $first = $bridge->connect;
    $first->send(delivery('port-0', 'slow'));
    wait_for_sleep();
    my @waiting = map { $bridge->connect } 1 .. 100;
    $waiting[ $_ - 1 ]->send(delivery("port-$_", 'fast')) for 1 .. @waiting;
    $bridge->{port} = PostgreSQL::Test::Cluster::get_free_port();
    $bridge->reload('webhook_bridge.port' => $bridge->port);
    is(scalar(grep { (eval { $_->response } // { status => 0 })->{status} == 200 } $first, @waiting),
        101, 'another port: who was connected is served');
    is($bridge->count("webhook_bridge.events WHERE payload->>'id' LIKE 'port-%'"), 101, 'another port: and stored');
    $bridge->wait_until_listening;
    is(receiver(), $old, 'another port: it is the same receiver');
}

# --- A trigger that does not want to be cancelled ------------------------------------------

{
    my $old        = receiver();
    my $connection = $bridge->connect;
    $connection->send(delivery('deaf', 'deaf'));
    poll_until(sub { (receiver() // $old) != $old }, 'the end of the receiver');
    is($bridge->count("webhook_bridge.events WHERE payload->>'id' = 'deaf'"), 0, 'deaf: nothing is stored');
    wait_for_new_receiver($old);
    my $again = $bridge->connect;
    $again->send(delivery('after', 'fast'));
    is($again->response->{status}, 200, 'deaf: a new receiver serves');
}

$bridge->stop;
done_testing();
