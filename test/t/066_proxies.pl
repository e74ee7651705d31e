# Who a client is: behind proxies that are trusted, behind others, and how much
# one address may have.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use IO::Socket::IP;
use JSON::PP;
use Test::More;
use WebhookBridge;

my $secret = 'proxy-secret';
my $bridge = WebhookBridge->start('proxies');
my $number = 0;
my $reloads = 0;
$bridge->create_endpoint('shop', $secret);

# The bytes of a delivery with a number of its own, and that number.  Each of
# the values makes a line of X-Forwarded-For; %options: path, secret.
sub delivery
{
    my ($values, %options) = @_;
    my $body = '{"n":' . ++$number . '}';
    return (
        http_request('POST', $options{path} // '/hooks/shop',
            [ @{ ecomanager_headers($options{secret} // $secret, $body) }, map { ('X-Forwarded-For' => $_) } @$values ], $body),
        $number);
}

# Sends one from an address and returns the response.
sub deliver
{
    my ($from, $values, %options) = @_;
    my $connection = $bridge->connect($from);
    $connection->send((delivery($values, %options))[0]);
    return $connection->response;
}

# The address that the event with that number has, 127.0.0.1 without its mask.
sub address_of
{
    my ($n) = @_;
    return $bridge->sql("SELECT host(remote_addr) FROM webhook_bridge.events WHERE payload->>'n' = '$n'");
}

# Changes settings, and waits until the receiver has seen the last of them.
sub set
{
    my (%settings) = @_;
    $bridge->reload(%settings);
    # signals are handled between turns: a header that is too large now tells
    my $limit = 2000 + ++$reloads;
    $bridge->reload('webhook_bridge.max_header_size' => $limit);
    poll_until(
        sub {
            my $head  = "GET /hooks/shop HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Fill: ";
            my $check = $bridge->connect('127.0.0.99');
            $check->send($head . 'x' x ($limit - 4 - length $head) . "\r\n\r\n");
            my $largest = $check->response;
            $check = $bridge->connect('127.0.0.98');
            $check->send($head . 'x' x ($limit - 3 - length $head) . "\r\n\r\n");
            my $larger = $check->response;
            return $largest && $larger && $largest->{status} == 200 && $larger->{status} == 431;
        },
        'the receiver to see its settings');
    return;
}

# --- The setting -------------------------------------------------------------

for my $bad ('localhost', '10.0.0.1/8', '127.0.0.1, 10.0.0.0/33', '*', '::1/64')
{
    my ($status, undef, $error) = $bridge->node->psql('postgres', "ALTER SYSTEM SET webhook_bridge.trusted_proxies = '$bad'");
    isnt($status, 0, "trusted_proxies: '$bad' is refused");
    like($error, qr/DETAIL:  "[^"]+" is neither an address nor a network such as 10\.0\.0\.0\/8\./, "trusted_proxies: '$bad': detail");
}

# --- Nobody is trusted --------------------------------------------------------

{
    my ($request, $n) = delivery(['192.0.2.1']);
    my $connection = $bridge->connect;
    $connection->send($request);
    answer_is($connection->response, 200, 'stored', 'no proxy is trusted');
    is(address_of($n), '127.0.0.1', 'no proxy is trusted: the header is ignored');
    is(deliver(undef, ['192.0.2.1'], secret => 'wrong')->{status}, 401, 'a forged delivery');
    is($bridge->sql('SELECT host(remote_addr) FROM webhook_bridge.rejections'), '127.0.0.1', 'the header is ignored for rejections');
}

# --- Some are -----------------------------------------------------------------

set('webhook_bridge.trusted_proxies' => '127.0.0.2, 10.0.0.0/8,2001:db8::/32');
for my $case (
    [ '127.0.0.1', ['192.0.2.1'],                            '127.0.0.1',  'who is not trusted is not believed' ],
    [ '127.0.0.3', [ '192.0.2.1', '127.0.0.2' ],             '127.0.0.3',  'nor who names a proxy' ],
    [ '127.0.0.2', ['192.0.2.1'],                            '192.0.2.1',  'who is trusted is' ],
    [ '127.0.0.2', [],                                       '127.0.0.2',  'without the header it is the proxy itself' ],
    [ '127.0.0.2', ['198.51.100.1, 192.0.2.2'],              '192.0.2.2',  'the last one counts' ],
    [ '127.0.0.2', ['198.51.100.1, 192.0.2.3, 10.1.2.3'],    '192.0.2.3',  'the last one before a trusted proxy' ],
    [ '127.0.0.2', [ '192.0.2.4', '10.9.9.9, 2001:db8::7' ], '192.0.2.4',  'lines are one list' ],
    [ '127.0.0.2', ['10.0.0.1, 127.0.0.2'],                  '127.0.0.2',  'nobody but proxies' ],
    [ '127.0.0.2', ['nonsense, 2001:db9::5'],                '2001:db9::5', 'what the client invented is not looked at' ],
    [ '127.0.0.2', ['192.0.2.5, nonsense'],                  '127.0.0.2',  'what the proxy wrote must be an address' ],
    [ '127.0.0.2', ['[2001:db9::6]:443'],                    '2001:db9::6', 'a port does not matter' ],
    [ '127.0.0.2', ['::ffff:192.0.2.6'],                     '192.0.2.6',  'IPv4 in IPv6 is IPv4' ])
{
    my ($from, $values, $expected, $name) = @$case;
    my ($request, $n) = delivery($values);
    my $connection = $bridge->connect($from);
    $connection->send($request);
    answer_is($connection->response, 200, 'stored', $name);
    is(address_of($n), $expected, "$name: the address");
}

is(deliver('127.0.0.2', ['192.0.2.77'], secret => 'wrong')->{status}, 401, 'a forged delivery through the proxy');
is($bridge->sql('SELECT host(remote_addr) FROM webhook_bridge.rejections ORDER BY id DESC LIMIT 1'), '192.0.2.77', 'the rejection has the address');

{
    my $connection = $bridge->connect('127.0.0.2');
    my @deliveries = map { [ delivery(["192.0.2.$_"]) ] } 11 .. 20;
    $connection->send(join '', map { $_->[0] } @deliveries);
    is_deeply([ map { $_->{status} } $connection->responses(10) ], [ (200) x 10 ], 'ten clients at once on one connection of a proxy');
    is_deeply([ map { address_of($_->[1]) } @deliveries ], [ map { "192.0.2.$_" } 11 .. 20 ], 'each event has its own address');
}

SKIP:
{
    my $ipv6 = eval { IO::Socket::IP->new(LocalHost => '::1', Listen => 1) } or skip 'no IPv6 here', 2;
    close $ipv6;
    set('webhook_bridge.listen_addresses' => '127.0.0.1,::1', 'webhook_bridge.trusted_proxies' => '127.0.0.2,::1');
    my ($request, $n) = delivery(['192.0.2.8, ::1']);
    my $socket = poll_until(sub { IO::Socket::IP->new(PeerHost => '::1', PeerPort => $bridge->port) }, 'a receiver on ::1');
    syswrite $socket, $request;
    like(scalar(<$socket>), qr/^HTTP\/1\.1 200 /, 'a proxy that connects with IPv6');
    is(address_of($n), '192.0.2.8', 'a proxy that connects with IPv6: the address');
}

# A change counts from the next request on, also on connections that are open.
{
    my $connection = $bridge->connect('127.0.0.2');
    for my $case ([ '10.0.0.0/8', '127.0.0.2' ], [ '127.0.0.0/30', '192.0.2.9' ], [ '', '127.0.0.2' ], [ '127.0.0.2', '192.0.2.9' ])
    {
        my ($proxies, $expected) = @$case;
        set('webhook_bridge.trusted_proxies' => $proxies);
        my ($request, $n) = delivery(['192.0.2.9']);
        $connection->send($request);
        is($connection->response->{status}, 200, "trusted_proxies '$proxies'");
        is(address_of($n), $expected, "trusted_proxies '$proxies': the address");
    }
}

# --- Connections of one address --------------------------------------------------

poll_until(sub { $bridge->status->{connections} == 0 }, 'all connections to end');
set('webhook_bridge.max_connections_per_address' => 3, 'webhook_bridge.trusted_proxies' => '127.0.0.2');
{
    my $before = $bridge->status->{rate_limited};
    my @mine   = map { $bridge->connect('127.0.0.3') } 1 .. 3;
    $_->send((delivery([]))[0]) for @mine;
    is_deeply([ map { $_->response->{status} } @mine ], [ (200) x 3 ], 'connections: three of one address');

    my $fourth = $bridge->connect('127.0.0.3');
    ok($fourth->is_closed && $fourth->{input} eq '', 'connections: the fourth is closed without a word');
    is($bridge->status->{rate_limited}, $before + 1, 'connections: and counted');
    is(deliver('127.0.0.4', [])->{status}, 200, 'connections: another address has its own');
    $mine[1]->close;
    is(poll_until(sub { eval { deliver('127.0.0.3', []) } }, 'a connection again')->{status}, 200, 'connections: who has closed one may open another');
    is($mine[0]->request('GET', '/hooks/shop')->{status}, 200, 'connections: the others are not disturbed');
}
{
    my @idle = map { $bridge->connect('127.0.0.2') } 1 .. 8;
    $_->send((delivery(['192.0.2.1']))[0]) && $_->response for @idle;
    pass('connections: those of a proxy are not counted while they are idle');

    my @halves = map { (delivery(['192.0.2.1']))[0] } 0 .. 2;
    $idle[$_]->send(substr $halves[$_], 0, -1) for 0 .. 2;
    my $refused = poll_until(
        sub {
            my $answer = deliver('127.0.0.2', ['192.0.2.1']);
            return $answer->{status} != 200 && $answer;
        },
        'three requests to be under way');
    answer_is($refused, 429, 'too many requests', 'connections: a fourth request of one client at once');
    is($refused->{headers}{'retry-after'}, 1, 'connections: Retry-After');
    is(deliver('127.0.0.2', ['192.0.2.2'])->{status}, 200, 'connections: another client of the proxy has its own');
    $idle[1]->send(substr $halves[1], -1);
    is($idle[1]->response->{status}, 200, 'connections: one request is complete');
    $idle[7]->send((delivery(['192.0.2.1']))[0]);
    is($idle[7]->response->{status}, 200, 'connections: and another is taken');
    $idle[$_]->send(substr $halves[$_], -1) for 0, 2;
    is_deeply([ map { $idle[$_]->response->{status} } 0, 2 ], [ 200, 200 ], 'connections: those under way are not disturbed');
}

# --- Requests of one address ------------------------------------------------------

# Two that arrive together are one too many, on a machine of any speed.
sub two_at_once
{
    my ($from, $values, $other_values) = @_;
    my $connection = $bridge->connect($from);
    $connection->send((delivery($values))[0] . (delivery($other_values // $values))[0]);
    return join ' ', map { $_->{status} } $connection->responses(2);
}

set('webhook_bridge.max_connections_per_address' => 0, 'webhook_bridge.max_request_rate_per_address' => 1);
{
    my $before = $bridge->status;
    is(two_at_once('127.0.0.5', []), '200 429', 'requests: the second one in a second');
    is(two_at_once('127.0.0.6', [ '192.0.2.1' ], [ '192.0.2.2' ]), '200 429', 'requests: whoever it claims to be');
    is(two_at_once('127.0.0.2', ['192.0.2.3']), '200 429', 'requests: through the proxy');
    is(two_at_once('127.0.0.2', ['192.0.2.4'], ['192.0.2.5']), '200 200', 'requests: two clients of the proxy');
    is(two_at_once('127.0.0.2', ['2001:db9::1'], ['2001:db9::ffff:0:1']), '200 429', 'requests: two addresses of one IPv6 network');
    is(two_at_once('127.0.0.2', ['2001:db9:0:1::1'], ['2001:db9:0:2::1']), '200 200', 'requests: two networks');
    is(two_at_once('127.0.0.2', ['nonsense']), '200 429', 'requests: a proxy that names nobody counts itself');
    my $after = $bridge->status;
    is($after->{rate_limited} - $before->{rate_limited}, 5, 'requests: refused ones are counted');
    is($after->{stored} - $before->{stored}, 9, 'requests: and not stored');

    poll_until(sub { deliver('127.0.0.5', [])->{status} == 200 }, 'the address to be served again');
    pass('requests: who waits is served again');
}
{
    # neither the body nor the path matters
    my $connection = $bridge->connect('127.0.0.7');
    my ($request) = delivery([]);
    $connection->send($request . "POST /hooks/nobody HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n");
    is($connection->response->{status}, 200, 'early: the first');
    my $answer = $connection->response;
    answer_is($answer, 429, 'too many requests', 'early: the second is refused before its body, and not asked to continue');
    is($answer->{headers}{'retry-after'}, 1, 'early: Retry-After');
    is($answer->{headers}{connection}, 'close', 'early: the connection ends');
    ok($connection->is_closed, 'early: really');
}

set('webhook_bridge.max_request_rate_per_address' => 0);
is(two_at_once('127.0.0.5', []), '200 200', 'requests: no limit again');
is($bridge->status->{stored}, $bridge->count('webhook_bridge.events'), 'every delivery that was answered 200 is there');

$bridge->stop;
done_testing;
