# What is refused: how, counted as what, and that nothing is given away, stored
# or left behind.

use strict;
use warnings;

use IO::Select;
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes qw(time);

use WebhookBridge;

use constant TIMEOUT => 2;    # seconds, of requests and of idle connections, in the end

my $bridge = WebhookBridge->start('main', conf => <<"CONF");
webhook_bridge.request_timeout = '10min'
webhook_bridge.keepalive_timeout = '10min'
webhook_bridge.max_body_size = '64kB'
webhook_bridge.max_buffered = '1MB'
CONF
my $secret = 'shared secret';

$bridge->create_endpoint('shop', $secret);
$bridge->sql(<<"SQL");
SELECT webhook_bridge.create_endpoint('small', 'ecomanager', '$secret', max_body_size => 100);
SELECT webhook_bridge.create_endpoint('huge', 'ecomanager', '$secret', max_body_size => 1000000);
SELECT webhook_bridge.create_endpoint('off', 'ecomanager', '$secret');
UPDATE webhook_bridge.endpoints SET enabled = false WHERE name = 'off';
SQL

sub signed
{
    my ($body, $endpoint, @headers) = @_;
    return http_request('POST', '/hooks/' . ($endpoint // 'shop'),
        [ @{ ecomanager_headers($secret, $body) }, @headers ], $body);
}

sub chunked
{
    my ($chunks, @headers) = @_;
    return http_request('POST', '/hooks/shop', [ 'Transfer-Encoding' => 'chunked', @headers ], $chunks);
}

# What changed in status() since the last call: "name+number" of each counter.
my $last = $bridge->status;

sub counted
{
    my $now = $bridge->status;
    my @changes = map { "$_+" . ($now->{$_} - $last->{$_}) }
      grep { !/\A(connections|batches)\z/ && $now->{$_} != $last->{$_} } sort keys %$now;
    $last = $now;
    return "@changes";
}

# --- Requests that are understood, and refused: the connection goes on ------------

my $wrong = [ 'X-Ecomanager-Event' => 'E', 'X-Ecomanager-Signature' => hmac_sha256_hex('{"amount":1}', 'wrong') ];
my $connection = $bridge->connect;
for my $row (
    # method, target, headers, body, status, text, counter, what
    [ 'POST',    '/nowhere',         [],     '{}', 404, 'no such endpoint',          'not_found' ],
    [ 'GET',     '/nowhere',         [],     undef, 404, 'no such endpoint',         'not_found' ],
    [ 'PUT',     '/',                [],     'x',  404, 'no such endpoint',          'not_found' ],
    [ 'POST',    '/hooks/off',       [],     '{}', 404, 'no such endpoint',          'not_found' ],
    [ 'POST',    '/hooks/shop/more', [],     '{}', 404, 'no such endpoint',          'not_found' ],
    [ 'POST',    '/' . ('x' x 300),  [],     '{}', 404, 'no such endpoint',          'not_found' ],
    [ 'POST',    "/hooks/sh'op",     [],     '{}', 404, 'no such endpoint',          'not_found' ],
    [ 'PUT',     '/hooks/shop',      [],     '{}', 405, 'method not allowed',        'bad_method' ],
    [ 'DELETE',  '/hooks/shop',      [],     undef, 405, 'method not allowed',       'bad_method' ],
    [ 'OPTIONS', '/hooks/shop',      [],     undef, 405, 'method not allowed',       'bad_method' ],
    [ 'post',    '/hooks/shop',      [],     '{}', 405, 'method not allowed',        'bad_method' ],
    [ 'POST',    '/hooks/shop',      [],     '{}', 401, 'delivery is not authentic', 'unauthorized' ],
    [ 'POST',    '/hooks/shop',      $wrong, '{"amount":1}', 401, 'delivery is not authentic', 'unauthorized' ],
    [ 'POST',    '/hooks/small',     [],     'x' x 101, 413, 'body is too large',    'too_large' ],
    [ 'POST',    '/hooks/small',     $wrong, 'x' x 100, 401, 'delivery is not authentic', 'unauthorized' ],
    [ 'POST',    '/hooks/shop',      [],     'x' x 65536, 401, 'delivery is not authentic', 'unauthorized' ],
    [ 'POST',    '/hooks/huge',      [],     'x' x 65537, 401, 'delivery is not authentic', 'unauthorized' ])
{
    my ($method, $target, $headers, $body, $status, $text, $counter) = @$row;
    my $what   = "$method " . (length $target > 50 ? 'a long path' : $target) . ', ' . length($body // '') . ' bytes';
    my $answer = $connection->request($method, $target, $headers, $body);

    answer_is($answer, $status, $text, "$what: $status");
    is(counted(), "$counter+1", "$what: counted");
    is($answer->{headers}{allow}, 'GET, HEAD, POST', "$what: Allow") if $status == 405;
    ok($answer->{headers}{'www-authenticate'}, "$what: WWW-Authenticate") if $status == 401;

    # nothing that would help to forge a signature
    my $all = join "\n", $answer->{reason}, $answer->{body}, %{ $answer->{headers} };
    for my $hidden ($secret, { @$headers }->{'X-Ecomanager-Signature'} // (), hmac_sha256_hex($body // '', $secret))
    {
        ok(index($all, $hidden) < 0, "$what: gives nothing away");
    }
}
answer_is($connection->request('POST', '/hooks/huge', ecomanager_headers($secret, 'x' x 100_000), 'x' x 100_000),
    200, 'stored', 'the connection goes on; an endpoint may take more than the setting says');
answer_is($connection->request('POST', '/hooks/small', ecomanager_headers($secret, 'x' x 100), 'x' x 100),
    200, 'stored', 'or less');
is(counted(), 'stored+2', 'both are counted');

# --- Requests after which nobody knows where the next one begins -------------------
#
# Some of each kind, for what is said and counted; 061_hostile.pl has them all.

my $post = "POST /hooks/shop HTTP/1.1\r\nHost: a\r\n";
my @refused = (
    # what, bytes
    400 => 'malformed request' => malformed => [
        [ 'garbage',                     join '', map { chr($_ * 7 % 256) } 1 .. 300 ],
        [ 'a line that is no request',   "hello\r\n\r\n" ],
        [ 'a version that is none',      "GET /hooks/shop HTTP/1\r\nHost: a\r\n\r\n" ],
        [ 'two spaces',                  "GET  /hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n" ],
        [ 'no Host',                     "GET /hooks/shop HTTP/1.1\r\n\r\n" ],
        [ 'bare LF after the request',   "GET /hooks/shop HTTP/1.1\nHost: a\r\n\r\n" ],
        [ 'a zero byte in a value',      "${post}X: a\0b\r\n\r\n" ],
        [ 'two lengths',                 "${post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab" ],
        [ 'length and coding',           "${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" ],
        [ 'coding in HTTP/1.0',          "POST /hooks/shop HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" ],
        [ 'chunked in two headers',      "${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" ],
        [ 'a coding before chunked',     "${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" ],
        [ 'another coding',              "${post}Transfer-Encoding: identity\r\n\r\n" ],
        [ 'a coding with a control',     "${post}Transfer-Encoding: \x0Bchunked\r\n\r\n0\r\n\r\n" ],
        [ 'a chunk size that is none',   chunked("xyz\r\n") ],
        [ 'a chunk that is longer',      chunked("3\r\nabcd\r\n0\r\n\r\n") ],
        [ 'a long chunk extension',      chunked('3;a=' . ('x' x 300) . "\r\nabc\r\n0\r\n\r\n") ],
        [ 'a long trailer',              chunked("0\r\nA: " . ('x' x 5000) . "\r\n\r\n") ],
    ],
    413 => 'body is too large' => too_large => [
        [ 'declared',                    "${post}Content-Length: 65537\r\n\r\n" ],
        [ 'declared beyond all memory',  "${post}Content-Length: 4000000000000000000\r\n\r\n" ],
        [ 'declared for an endpoint',    "POST /hooks/huge HTTP/1.1\r\nHost: a\r\nContent-Length: 1000001\r\n\r\n" ],
        [ 'declared for nobody',         "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n" ],
        [ 'in chunks',                   chunked((("1000\r\n" . ('x' x 4096) . "\r\n") x 17) . "0\r\n\r\n") ],
        [ 'in one chunk',                chunked("10001\r\n" . ('x' x 65537) . "\r\n0\r\n\r\n") ],
    ],
    414 => 'request target is too long' => too_large => [
        [ 'a path',                      'GET /' . ('a' x 8000) . " HTTP/1.1\r\nHost: a\r\n\r\n" ],
        [ 'a query',                     'GET /hooks/shop?' . ('a' x 9000) . " HTTP/1.1\r\nHost: a\r\n\r\n" ],
        [ 'without an end',              'GET /' . ('a' x 9000) ],
    ],
    431 => 'header is too large' => too_large => [
        [ 'one long header',             "${post}X: " . ('x' x 17_000) . "\r\n\r\n" ],
        [ 'headers without an end',      $post . ("Y: z\r\n" x 90) . 'X: ' . ('x' x 17_000) ],
        [ 'too many headers',            $post . ("Y: z\r\n" x 100) . "\r\n" ],
    ],
    501 => 'method is not supported' => malformed => [
        [ 'a very long method',          ('A' x 33) . " / HTTP/1.1\r\nHost: a\r\n\r\n" ],
    ],
    505 => 'only HTTP/1.0 and HTTP/1.1 are supported' => malformed => [
        [ 'HTTP/1.2',                    "GET /hooks/shop HTTP/1.2\r\nHost: a\r\n\r\n" ],
        [ 'HTTP/2.0',                    "GET /hooks/shop HTTP/2.0\r\nHost: a\r\n\r\n" ],
        [ 'HTTP/2 with prior knowledge', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" ],
    ],
    417 => 'expectation cannot be met' => malformed => [
        [ 'an unknown expectation',      "${post}Expect: 200-ok\r\nContent-Length: 0\r\n\r\n" ],
    ]);

while (my ($status, $text, $counter, $rows) = splice @refused, 0, 4)
{
    for my $row (@$rows)
    {
        my ($what, $bytes) = @$row;
        my $client = $bridge->connect;

        # what a smuggler would like to see answered
        $client->send($bytes . signed('{"smuggled":1}'));
        my $answer = $client->response;
        answer_is($answer, $status, $text, "$status: $what");
        is($answer->{headers}{connection}, 'close', "$status: $what: says that it closes");
        ok($client->is_closed && $client->{input} eq '', "$status: $what: closes");
    }
    is(counted(), "$counter+" . @$rows, "$status: counted");
}
is($bridge->count(q(webhook_bridge.events WHERE payload->>'smuggled' IS NOT NULL)), 0, 'nothing was smuggled in');

# The requests before a bad one are answered, and the one behind it is not.
{
    my $client = $bridge->connect;
    $client->send(signed('{"n":1}') . signed('{"n":2}') . "BAD\r\n\r\n" . signed('{"n":3}'));
    answer_is($client->response, 200, 'stored',            "a request before a bad one, $_") for 1, 2;
    answer_is($client->response, 400, 'malformed request', 'the bad one');
    ok($client->is_closed && $client->{input} eq '', 'and none behind it');
    is(counted(), 'malformed+1 stored+2', 'counted');
}

# --- The answer reaches clients that are still sending ---------------------------------

for my $row (
    # what, head, status
    [ 'a body that is too large', "${post}Content-Length: 20000000\r\n\r\n", 413 ],
    [ 'a bad request',            "${post}Content-Length: x\r\n\r\n",        400 ],
    [ 'chunks without an end',    "${post}Transfer-Encoding: chunked\r\n\r\n1312d00\r\n", 413 ])
{
    my ($what, $head, $status) = @$row;
    my $client = $bridge->connect;
    my $sent   = $client->send($head . ('x' x 20_000_000));
    my $answer = eval { $client->response };
    is($answer && $answer->{status}, $status, "the answer to $what reaches a client that sends on");
    is($sent, 20_000_000 + length $head, 'which is heard out');
}
counted();

# --- Answers to a client that reads slowly, the last of them a refusal ------------------

{
    my $session = $bridge->node->background_psql('postgres');
    my $client  = WebhookBridge::Connection->new_narrow($bridge->port);

    # makes the receiver use a large buffer for this connection
    answer_is($client->request('POST', '/hooks/shop', [], 'x' x 40_000),
        401, 'delivery is not authentic', 'slow reader: first a larger request');

    counted();

    # while the receiver waits for a lock, all that follows gets there
    $session->query_safe('BEGIN; LOCK TABLE webhook_bridge.events IN ACCESS EXCLUSIVE MODE');
    my $other = $bridge->connect;
    $other->send(signed('{}'));
    poll_until(sub { $bridge->count('pg_locks WHERE NOT granted') > 0 }, 'the receiver to wait for the lock');
    $client->send((http_request('GET', '/hooks/shop') x 2000) . "BAD\r\n\r\n");
    $session->query_safe('COMMIT');
    $session->quit;

    my $answered = 0;
    poll_until(
        sub {
            my $before = $answered;
            $answered = $bridge->status->{probes} - $last->{probes};
            return $answered > 0 && $answered == $before;
        },
        'the receiver to have to wait for the client');
    cmp_ok($answered, '<', 2000, 'slow reader: there are no more answers than are read');
    setsockopt $client->socket, SOL_SOCKET, SO_RCVBUF, 1_000_000;
    ok($client->is_closed, 'slow reader: is closed in the end');
    my @statuses = $client->{input} =~ /HTTP\/1\.1 (\d+)/g;
    is(join(' ', splice @statuses, 2000), '400', 'slow reader: 2000 answers are followed by one refusal');
    is(join(' ', @statuses), join(' ', (200) x 2000), 'slow reader: which the others precede');
    like(counted(), qr/\Amalformed\+1 probes\+2000\b/, 'slow reader: each is counted once');
}

# --- Too slow ---------------------------------------------------------------------------

my @too_slow = (
    # what, bytes, is answered
    [ 'no byte at all',        '',                                          0 ],
    [ 'one byte',              'P',                                         1 ],
    [ 'half a head',           substr(signed('{}'), 0, 80),                 1 ],
    [ 'half a body',           substr(signed('{"abc":"def"}'), 0, -5),      1 ],
    [ 'no body',               substr(signed('{"abc":"def"}'), 0, -13),     1 ],
    [ 'half a chunk',          chunked("5\r\nabc"),                         1 ],
    [ 'no last chunk',         chunked("3\r\nabc\r\n"),                     1 ],
    [ 'no body after Expect',  substr(signed('{}', 'shop', Expect => '100-continue'), 0, -2), 1, 1 ],
    [ 'the second request',    signed('{}') . 'POST',                       1, 1 ]);
$bridge->reload('webhook_bridge.request_timeout' => TIMEOUT . 's', 'webhook_bridge.keepalive_timeout' => TIMEOUT . 's');
ok($connection->is_closed, 'a connection has been idle for longer than a new setting allows');
{
    my $start   = time;
    my @clients = map { $bridge->connect } @too_slow;
    my $idle    = $bridge->connect;
    my $drip    = $bridge->connect;

    $clients[$_]->send($too_slow[$_][1]) for 0 .. $#too_slow;
    $idle->send(http_request('GET', '/hooks/shop'));
    $idle->response;

    # a byte now and then does not help
    my @bytes = split //, signed('{}');
    poll_until(
        sub {
            $drip->send(shift @bytes) if @bytes > 1;
            return IO::Select->new($drip->socket)->can_read(0.05);
        },
        'an answer to a client that sends single bytes');
    answer_is($drip->response, 408, 'request took too long', 'too slow: single bytes');

    for my $i (0 .. $#too_slow)
    {
        my ($what, undef, $is_answered, $others) = @{ $too_slow[$i] };
        $clients[$i]->response for 1 .. $others // 0;
        answer_is($clients[$i]->response, 408, 'request took too long', "too slow: $what") if $is_answered;
        ok($clients[$i]->is_closed && $clients[$i]->{input} eq '', "too slow: $what: closed");
    }
    ok($idle->is_closed && $idle->{input} eq '', 'an idle connection is closed silently');
    cmp_ok(time - $start, '>=', TIMEOUT - 0.1, 'not before its time');
    is(counted(), 'probes+1 stored+1 timed_out+9', 'too slow: counted, unless nothing had arrived');
}

# --- Memory ----------------------------------------------------------------------------------

poll_until(sub { $bridge->status->{connections} == 0 }, 'all connections to end');
$bridge->reload('webhook_bridge.request_timeout' => '60s', 'webhook_bridge.keepalive_timeout' => '60s');

# Idle connections are not deliveries being received, whatever their number.
{
    my @idle = map { $bridge->connect } 1 .. 150;
    my %statuses;
    for my $client (@idle)
    {
        my $answer = $client->request('POST', '/hooks/shop', ecomanager_headers($secret, '{}'), '{}');
        $statuses{ $answer->{status} }++;
    }
    is_deeply(\%statuses, { 200 => 150 }, 'memory: idle connections take none away from others');
}
poll_until(sub { $bridge->status->{connections} == 0 }, 'all connections to end');
counted();

{
    # more than there is memory for, so that some are refused and no room is left
    my $request = signed('{"hog":1}');
    my @hogs    = map { $bridge->connect } 1 .. 150;
    $_->send(substr $request, 0, -1) for @hogs;

    my $answer = poll_until(
        sub {
            my $response = $bridge->post('/hooks/shop', '{}', ecomanager_headers($secret, '{}'));
            return $response if $response->{status} != 200;
            # some may have been refused for another reason, on a machine that stood still
            push @hogs, $bridge->connect;
            $hogs[-1]->send(substr $request, 0, -1);
            return 0;
        },
        'memory to be used up');
    answer_is($answer, 503, 'delivery could not be stored', 'memory: newcomers are asked to come again');
    like($answer->{headers}{'retry-after'}, qr/\A[1-9]\d*\z/, 'memory: Retry-After');
    is($answer->{headers}{connection}, 'close', 'memory: and to go');

    my %statuses;
    $_->send(substr $request, -1) for @hogs;
    $statuses{ $_->response->{status} }++ for @hogs;
    is_deeply([ sort keys %statuses ], [ 200, 503 ], 'memory: each of those that used it up is answered');
    cmp_ok($statuses{200}, '>', 100, 'memory: most of them can complete their requests');
    is($bridge->count(q(webhook_bridge.events WHERE payload->>'hog' = '1')), $statuses{200}, 'memory: and are stored');
    like(counted(), qr/ unavailable\+@{[ $statuses{503} + 1 ]}\z/, 'memory: the others are counted');
    answer_is($bridge->post('/hooks/shop', '{}', ecomanager_headers($secret, '{}')),
        200, 'stored', 'memory: then newcomers are served again');
}

# --- Connections --------------------------------------------------------------------------------

sub request_on
{
    my ($client, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return answer_is($client->request('POST', '/hooks/shop', ecomanager_headers($secret, '{}'), '{}'),
        200, 'stored', $name);
}

poll_until(sub { $bridge->status->{connections} == 0 }, 'all connections to end');
$bridge->reload('webhook_bridge.max_connections' => 4);
poll_until(
    sub {
        my @clients = map { $bridge->connect } 1 .. 6;
        $_->request('GET', '/hooks/shop') for @clients;
        return $bridge->status->{connections} <= 4;
    },
    'the limit of connections to be lowered');
poll_until(sub { $bridge->status->{connections} == 0 }, 'all connections to end');

{
    my @clients = map { $bridge->connect } 1 .. 4;
    request_on($clients[$_], "connections: number $_ of 4") for 0 .. 3;
    my $newcomer = $bridge->connect;
    request_on($newcomer, 'connections: one more is served');
    ok($clients[0]->is_closed && $clients[0]->{input} eq '',
        'connections: the one idle for longest gave way, silently');
    is($bridge->status->{connections}, 4, 'connections: the limit is kept');
    request_on($clients[$_], "connections: number $_ did not") for 1 .. 3;
}
poll_until(sub { $bridge->status->{connections} == 0 }, 'all connections to end');

for my $last_words ('keep-alive', 'close')
{
    my @busy = map { $bridge->connect } 1 .. 4;
    my $request = signed('{}', 'shop', Connection => $last_words);
    $_->send(substr $request, 0, -1) for @busy;
    poll_until(sub { $bridge->status->{connections} == 4 }, 'four busy connections');

    my $waiting = $bridge->connect;
    $waiting->send(signed('{"waiting":1}'));
    is(IO::Select->new($waiting->socket)->can_read(0.3), undef, 'connections: with all busy one more has to wait')
      or diag($waiting->{input});
    is($bridge->status->{connections}, 4, 'connections: the limit is kept');

    $busy[2]->send(substr $request, -1);
    answer_is($busy[2]->response, 200, 'stored', "connections: one completes its request ($last_words)");
    answer_is($waiting->response, 200, 'stored', 'connections: and the one that waited is served');
    for my $i (0, 1, 3)
    {
        $busy[$i]->send(substr $request, -1);
        answer_is($busy[$i]->response, 200, 'stored', "connections: number $i was not disturbed");
    }
    undef @busy;
    undef $waiting;
    poll_until(sub { $bridge->status->{connections} == 0 }, 'all connections to end');
}

pass('no connection is left');
is($bridge->status->{stored}, $bridge->count('webhook_bridge.events'), 'every delivery that was answered 200 is there');

$bridge->stop;
done_testing;
