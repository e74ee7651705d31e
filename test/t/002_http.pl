# HTTP/1.1 and HTTP/1.0 as clients really speak it: many requests on one
# connection, bodies in every framing, clients that are slow or go away.

use strict;
use warnings;

use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF);
use Test::More;

use WebhookBridge;

# Small batches, so that pipelined requests have to wait for the next one.
my $bridge = WebhookBridge->start('main', conf => 'webhook_bridge.max_batch = 8');
my $secret = 'shared secret';
my $rows   = 0;

$bridge->create_endpoint('shop', $secret);

# A signed request; more headers go behind the others.
sub signed
{
    my ($body, @headers) = @_;
    return http_request('POST', '/hooks/shop', [ @{ ecomanager_headers($secret, $body) }, @headers ], $body);
}

# The same without framing, for those who frame the body themselves.
sub signed_head
{
    my ($body, @headers) = @_;
    my $request = signed($body, @headers, 'Transfer-Encoding' => 'chunked');
    return substr $request, 0, length($request) - length $body;
}

sub is_stored
{
    my ($answer, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $rows++;
    return answer_is($answer, 200, 'stored', $name);
}

# The bodies stored since the last call, in order.
my $last_id = 0;

sub new_bodies
{
    my @events = $bridge->events("id > $last_id");
    $last_id = $events[-1]{id} if @events;
    return [ map { $_->{body} } @events ];
}

sub is_open
{
    my ($connection, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_stored($connection->request('POST', '/hooks/shop', ecomanager_headers($secret, '{}'), '{}'), $name);
}

# --- Many requests on one connection -----------------------------------------

my $connection = $bridge->connect;
for my $i (1 .. 30)
{
    my $body = qq({"n":$i});
    is_stored($connection->request('POST', '/hooks/shop', ecomanager_headers($secret, $body), $body),
        "keep-alive: request $i");
}
is_deeply(new_bodies(), [ map { qq({"n":$_}) } 1 .. 30 ], 'keep-alive: all are stored, in order');
is($bridge->status->{connections}, 1, 'keep-alive: over one connection');

# Requests with different answers, so that their order can be seen.
my @mixed = map {
    (
        [ signed(qq({"n":$_})), 200 ],
        [ http_request('GET',    '/hooks/shop'),             200 ],
        [ http_request('POST',   '/hooks/none', [], 'abc'),  404 ],
        [ http_request('POST',   '/hooks/shop', [], 'abc'),  401 ],
        [ http_request('DELETE', '/hooks/shop'),             405 ])
} 1 .. 10;
my $mixed = join '', map { $_->[0] } @mixed;

sub mixed_answers
{
    my ($sender) = @_;
    $rows += 10;
    return join ' ', map { $_->{status} } $sender->responses(scalar @mixed);
}
my $expected = join ' ', map { $_->[1] } @mixed;

$connection->send($mixed);
is(mixed_answers($connection), $expected, 'pipelining: 50 requests in one write, answered in order');
is_deeply(new_bodies(), [ map { qq({"n":$_}) } 1 .. 10 ], 'pipelining: stored in order');
for my $size (1 .. 3, 7, 100, 1021)
{
    # single bytes only for a part of it, for the time it takes
    my $text = $size == 1 ? substr $mixed, 0, 3000 : '';
    $connection->send($_) for unpack '(a1)*', $text;
    $connection->send($_) for unpack "(a$size)*", substr $mixed, length $text;
    is(mixed_answers($connection), $expected, "pipelining: requests split every $size bytes");
}
new_bodies();

$connection->send(join '', map { signed(qq({"n":$_})) } 1 .. 200);
$rows += 200;
is(join(' ', map { $_->{status} } $connection->responses(200)), join(' ', (200) x 200),
    'pipelining: many more than a batch takes');
is_deeply(new_bodies(), [ map { qq({"n":$_}) } 1 .. 200 ], 'pipelining: none is lost or stored twice');

$connection->send("\r\n" . signed('{}') . "\r\n" . signed('{}'));
is_stored($_, 'an empty line before a request is tolerated') for $connection->responses(2);
is_open($connection, 'and the connection goes on');

# --- Whether the connection goes on ---------------------------------------------

for my $row (
    # version, Connection, goes on, Connection of the answer
    [ '1.1', undef,                    1, undef ],
    [ '1.1', 'keep-alive',             1, undef ],
    [ '1.1', 'close',                  0, 'close' ],
    [ '1.1', 'CLOSE',                  0, 'close' ],
    [ '1.1', 'foo, close',             0, 'close' ],
    [ '1.1', 'keep-alive, close',      0, 'close' ],
    [ '1.0', undef,                    0, 'close' ],
    [ '1.0', 'keep-alive',             1, 'keep-alive' ],
    [ '1.0', 'Keep-Alive',             1, 'keep-alive' ],
    [ '1.0', 'close',                  0, 'close' ],
    [ '1.0', 'keep-alive, close',      0, 'close' ])
{
    my ($version, $option, $goes_on, $answered) = @$row;
    my $what   = "HTTP/$version, Connection: " . ($option // '(none)');
    my $client = $bridge->connect;

    $client->send(signed('{}', defined $option ? (Connection => $option) : ()) =~ s{HTTP/1\.1}{HTTP/$version}r);
    my $answer = $client->response;
    is_stored($answer, $what);
    is($answer->{headers}{connection}, $answered, "$what: what the answer says");
    if ($goes_on)
    {
        is_open($client, "$what: goes on");
    }
    else
    {
        ok($client->is_closed, "$what: is closed");
    }
}

{
    my $client = $bridge->connect;
    $client->send(signed('{}', Connection => 'close') . signed('{}'));
    is_stored($client->response, 'Connection: close: the request is answered');
    ok($client->is_closed && $client->{input} eq '', 'and nothing behind it');

    # HTTP/1.0 needs no Host
    $client = $bridge->connect;
    $client->send("GET /hooks/shop HTTP/1.0\r\n\r\n");
    answer_is($client->response, 200, 'ready', 'HTTP/1.0 without Host');
}

# --- Bodies -----------------------------------------------------------------------

new_bodies();
my $long = '{"a":"' . join('', map { $_ % 10 } 1 .. 70_000) . '"}';
is_stored($connection->request('POST', '/hooks/shop', ecomanager_headers($secret, $long), $long), 'a body of 70 kB');
is_deeply(new_bodies(), [$long], 'is stored whole');
is_stored($connection->request('POST', '/hooks/shop', ecomanager_headers($secret, '')), 'no body at all');
is_deeply(new_bodies(), [''], 'is an empty body');

sub chunk
{
    my ($data, $extension) = @_;
    return sprintf "%x%s\r\n%s\r\n", length $data, $extension // '', $data;
}

for my $row (
    # what, body, chunks
    [ 'one chunk',          'abc',    chunk('abc') . "0\r\n\r\n" ],
    [ 'no chunk',           '',       "0\r\n\r\n" ],
    [ 'three chunks',       'abcdef', chunk('a') . chunk('bc') . chunk('def') . "0\r\n\r\n" ],
    [ 'extensions',         'abcdef', chunk('abc', ';name=value') . chunk('def', ' ; q="a b;c"') . "0;last\r\n\r\n" ],
    [ 'trailers',           'abc',    chunk('abc') . "0\r\nX-Checksum: 1\r\nX-Other: 2\r\n\r\n" ],
    [ 'sizes in any case',  'x' x 26, "00001A\r\n" . ('x' x 26) . "\r\n0000\r\n\r\n" ],
    [ 'chunks in chunks',   "1\r\na\r\n0\r\n\r\n", chunk("1\r\na\r\n0\r\n\r\n") . "0\r\n\r\n" ],
    [ 'a big one',          $long,    join('', map { chunk($_) } unpack '(a999)*', $long) . "0\r\n\r\n" ])
{
    my ($what, $body, $chunks) = @$row;
    $connection->send(signed_head($body) . $chunks);
    is_stored($connection->response, "chunked: $what");

    # the place of the next request is right
    $connection->send(signed_head($body) . $chunks . signed('{"next":1}'));
    is_stored($_, "chunked: $what, and another request behind it") for $connection->responses(2);
    is_deeply(new_bodies(), [ $body, $body, '{"next":1}' ], "chunked: $what, as decoded");

    next if length $chunks > 1000;
    $connection->send($_) for unpack '(a1)*', signed_head($body) . $chunks;
    is_stored($connection->response, "chunked: $what, byte by byte");
    is_deeply(new_bodies(), [$body], "chunked: $what, byte by byte, as decoded");
}

$connection->send($_) for unpack '(a1)*', signed('{"slow":1}');
is_stored($connection->response, 'Content-Length, byte by byte');
is_deeply(new_bodies(), ['{"slow":1}'], 'Content-Length, byte by byte, as stored');

# --- Expect -----------------------------------------------------------------------

for my $framing ('Content-Length', 'Transfer-Encoding')
{
    my $body  = '{"expected":true}';
    my $head  = $framing eq 'Content-Length'
      ? substr(signed($body, Expect => '100-continue'), 0, -length $body)
      : signed_head($body, Expect => '100-Continue');
    my $rest = $framing eq 'Content-Length' ? $body : chunk($body) . "0\r\n\r\n";

    $connection->send($head);
    my $first = $connection->response;
    is($first->{status}, 100, "Expect: 100 before the body, $framing");
    is_deeply($first->{headers}, {}, 'it has no headers');
    $connection->send($rest);
    is_stored($connection->response, "Expect: 200 after the body, $framing");
}
is_deeply(new_bodies(), [ ('{"expected":true}') x 2 ], 'Expect: the bodies are stored');

{
    my $body = '{"at once":1}';
    my $client = $bridge->connect;
    $client->send(signed($body, Expect => '100-continue'));
    my $answer = $client->response;
    $answer = $client->response if $answer->{status} == 100;
    is_stored($answer, 'Expect: with the body sent at once');

    # HTTP/1.0 does not know it
    $client = $bridge->connect;
    $client->send(signed($body, Expect => '100-continue') =~ s{HTTP/1\.1}{HTTP/1.0}r);
    is_stored($client->response, 'Expect: ignored in HTTP/1.0');

    $client = $bridge->connect;
    $client->send(http_request('POST', '/hooks/shop', [ Expect => '100-continue', 'Content-Length' => 2_000_000 ]));
    answer_is($client->response, 413, 'body is too large', 'Expect: no 100 for a body that is too large');
    ok($client->is_closed, 'and the end of the connection');

    for my $expectation ('200-ok', '100-continue, something')
    {
        $client = $bridge->connect;
        $client->send(http_request('POST', '/hooks/shop', [ Expect => $expectation, 'Content-Length' => 2 ]));
        answer_is($client->response, 417, 'expectation cannot be met', qq(Expect: "$expectation" cannot be met));
    }
}

# --- Targets -------------------------------------------------------------------------

for my $row (
    # target, status, query stored
    [ 'http://localhost/hooks/shop',              200, undef ],
    [ 'HTTPS://hooks.example.com:8443/hooks/shop', 200, undef ],
    [ 'http://localhost/hooks/shop?a=b',          200, 'a=b' ],
    [ '/hooks/shop?',                             200, undef ],
    [ '/hooks/shop?a=%20&b=/?&c',                 200, 'a=%20&b=/?&c' ],
    [ '/hooks/shop/',                             404 ],
    [ '/hooks//shop',                             404 ],
    [ '/hooks/./shop',                            404 ],
    [ '/hooks/%73hop',                            404 ],
    [ '/Hooks/shop',                              404 ],
    [ 'http://localhost',                         404 ],
    [ '/',                                        404 ])
{
    my ($target, $status, $query) = @$row;
    my $answer = $connection->request('POST', $target, ecomanager_headers($secret, '{}'), '{}');
    is($answer->{status}, $status, "target $target");
    next if $status != 200;
    $rows++;
    my ($event) = $bridge->events("id = (SELECT max(id) FROM webhook_bridge.events)");
    is($event->{query}, $query, "target $target: query");
}
new_bodies();

# --- Headers of answers ------------------------------------------------------------------

for my $row (
    # method, target, headers, status, a header that must be there and what it looks like
    [ 'POST',   '/hooks/shop', ecomanager_headers($secret, ''), 200, date => qr/./ ],
    [ 'POST',   '/hooks/shop', [],                              401, 'www-authenticate' => qr/\A[!-~]+\z/ ],
    [ 'DELETE', '/hooks/shop', [],                              405, allow => qr/\AGET, HEAD, POST\z/ ],
    [ 'GET',    '/hooks/none', [],                              404, date => qr/./ ])
{
    my ($method, $target, $headers, $status, $header, $pattern) = @$row;
    my $answer = $connection->request($method, $target, $headers);
    $rows++ if $status == 200 && $method eq 'POST';

    is($answer->{status}, $status, "$method $target: status $status");
    like($answer->{headers}{$header} // '', $pattern, "$method $target: $header");
    like($answer->{headers}{date}, qr/\A(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} 2\d{3} \d\d:\d\d:\d\d GMT\z/,
        "$method $target: Date");
    is($answer->{headers}{'content-type'}, 'application/json', "$method $target: Content-Type");
    is($answer->{headers}{'content-length'}, length $answer->{body}, "$method $target: Content-Length");

    # the same for HEAD, with nothing behind the head
    my $head = $connection->request('HEAD', $target);
    is_open($connection, "HEAD $target: has no body");
    is(defined $head->{headers}{'content-length'}, 1, "HEAD $target: has Content-Length");
}
is($connection->request('HEAD', '/hooks/shop')->{status}, 200, 'HEAD of an endpoint');
is($connection->request('HEAD', '/hooks/none')->{status}, 404, 'HEAD of no endpoint');

# --- Clients that go away -----------------------------------------------------------------

{
    # the client has said all it wants to say, and waits
    my $client = $bridge->connect;
    $client->send(signed('{"half":1}') x 20);
    $client->finish_sending;
    is_stored($_, 'half-closed: answered') for $client->responses(20);
    ok($client->is_closed, 'half-closed: closed in the end');

    $client = $bridge->connect;
    $client->send(substr signed($long), 0, 40_000);
    $client->finish_sending;
    ok($client->is_closed && $client->{input} eq '', 'half-closed within a request: closed without an answer');
}
new_bodies();

# Closes a connection so that the other side is told with a reset.
sub reset_connection
{
    my ($client) = @_;
    setsockopt $client->socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $client->close;
    return;
}

for my $part (
    [ 'before a request',      '' ],
    [ 'within the head',       substr signed('{}'), 0, 60 ],
    [ 'within the body',       substr signed($long), 0, 30_000 ],
    [ 'within a chunk',        signed_head('abc') . "3\r\nab" ],
    [ 'after 100-continue',    substr(signed('{}', Expect => '100-continue'), 0, -2) ],
    [ 'after a bad request',   "GET\r\n\r\n" ])
{
    my ($when, $bytes) = @$part;
    for my $end (\&reset_connection, sub { $_[0]->close })
    {
        my @clients = map { $bridge->connect } 1 .. 5;
        $_->send($bytes) for @clients;
        $end->($_)       for @clients;
    }
    is_open($connection, "clients that disappear $when harm nobody");
}

# Without waiting for the answer; the delivery counts all the same.
{
    my @clients = map { $bridge->connect } 1 .. 10;
    $clients[$_]->send(signed(qq({"gone":$_})) x 3) for 0 .. $#clients;
    my ($first, @others) = @clients;
    is_stored($_, 'a client that stays is answered') for $first->responses(3);
    reset_connection($_) for @others;
    poll_until(sub { $bridge->status->{connections} == 2 }, 'the connections to end');
    is_open($connection, 'clients that do not wait for answers harm nobody');
    my $count = $bridge->count(q(webhook_bridge.events WHERE payload->>'gone' <> '0'));
    cmp_ok($count, '<=', 27, 'what they sent is not stored twice');
    $rows += $count;
}

# --- A slow reader ------------------------------------------------------------------------

# Answers pile up until the client reads; meanwhile others are served, and in
# the end each request has exactly one answer, in order.
{
    my $client = WebhookBridge::Connection->new_narrow($bridge->port);
    my $bytes  = (http_request('GET', '/hooks/shop') . http_request('GET', '/hooks/none')) x 2000;
    my $answered = sub { my $status = $bridge->status; return $status->{probes} + $status->{not_found} };
    my $before   = $answered->();
    my $sent     = $client->send($bytes, 0);
    my $progress = 0;

    # it has stopped when it has done some and does no more
    poll_until(
        sub {
            my $last = $progress;
            $progress = $answered->() - $before;
            return $progress > 0 && $progress == $last;
        },
        'the receiver to stop');
    cmp_ok($progress, '<', 4000, 'slow reader: is not served while it does not read');
    is_open($connection, 'slow reader: does not keep others waiting');

    my $statuses = '';
    setsockopt $client->socket, SOL_SOCKET, SO_RCVBUF, 1_000_000;
    while (length $statuses < 4 * 4000)
    {
        $sent += $client->send(substr($bytes, $sent), 0) if $sent < length $bytes;
        last unless $client->_read;
        $statuses .= "$1 " while $client->{input} =~ s{\AHTTP/1\.1 (\d{3}) .*?\r\n\r\n\{[^\}]*\}}{}s;
    }
    ok($statuses eq '200 404 ' x 2000, 'slow reader: every request is answered, in order');
    is_open($client, 'slow reader: the connection goes on');
}

is($bridge->count('webhook_bridge.events'), $rows, 'every delivery that was answered 200 is there, once');

# --- Nothing is left -------------------------------------------------------------------------

$connection->close;
poll_until(sub { $bridge->status->{connections} == 0 }, 'all connections to end');
pass('no connection is left');

$bridge->stop;
done_testing;
