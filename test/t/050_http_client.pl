# The client for calls to providers: what it sends and takes, what it refuses,
# whom it trusts, and that a session that waits for an answer can be cancelled
# and ended at once.  The other side is test/http/server.mjs; names and public
# addresses are those of test/http/network.c, so that nothing leaves the machine.

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../perl";
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WebhookBridge;

# Calls of the test for leaks, a multiple of 2,000.
my $calls = $ENV{TEST_HTTP_CALLS} || 10_000;

# Milliseconds within which a waiting session has to react.
use constant REACTION_MS => 3000;

# ---------------------------------------------------------------------------
# The other side
# ---------------------------------------------------------------------------

my $directory = tempdir(CLEANUP => 1);
my $sources   = "$FindBin::Bin/../http";

sub run_program
{
    my (@command) = @_;
    my ($out, $err);
    IPC::Run::run(\@command, '<', '/dev/null', '>', \$out, '2>', \$err) or die "@command: $err\n";
    return $out;
}

# A key and a certificate, signed by an authority unless it is one.
sub make_certificate
{
    my ($name, $host, $authority, $days) = @_;
    my @key = (qw(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout), "$directory/$name.key");
    if (!$authority)
    {
        run_program(qw(openssl req -x509 -days 30), @key, '-out', "$directory/$name.crt", '-subj', "/CN=$host");
        return;
    }
    append_to_file("$directory/$name.ext", "subjectAltName = $host\n");
    run_program(qw(openssl req), @key, '-out', "$directory/$name.csr", '-subj', "/CN=$name");
    run_program(qw(openssl x509 -req -CAcreateserial -CA), "$directory/$authority.crt", '-CAkey', "$directory/$authority.key",
        '-days', $days // 30, '-extfile', "$directory/$name.ext", '-in', "$directory/$name.csr", '-out', "$directory/$name.crt");
    return;
}

make_certificate('authority',  'authority of the test');
make_certificate('stranger',   'another authority');
make_certificate('selfsigned', 'good.test');
make_certificate('good',       'DNS:good.test,DNS:*.good.test,IP:127.0.0.1', 'authority');
make_certificate('other',      'DNS:other.test', 'authority');
make_certificate('expired',    'DNS:good.test,IP:127.0.0.1', 'authority', -1);
make_certificate('unknown',    'DNS:good.test,IP:127.0.0.1', 'stranger');

my ($server_in, $server_out, $server_err) = ('', '', '');
my $server = IPC::Run::start([ 'node', "$sources/server.mjs", $directory ], \$server_in, \$server_out, \$server_err);
$server->pump until $server_out =~ /\n/;
my %port = %{ decode_json($server_out) };

# One that accepts connections and says nothing, and one that does not even
# accept: its queue is full.
my $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 100) or die;
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)   or die;
my @fill = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0) } 1 .. 4;
# One that nobody listens on.
my $closed = PostgreSQL::Test::Cluster::get_free_port();

# What names mean: name => [ milliseconds, addresses... ].
sub set_hosts
{
    my (%hosts) = @_;
    open my $file, '>', "$directory/hosts.new" or die;
    print $file "$_ @{$hosts{$_}}\n" for keys %hosts;
    close $file;
    rename "$directory/hosts.new", "$directory/hosts" or die;
    return;
}

my %hosts = (
    'good.test'    => [ 0, '8.8.8.8' ],
    'local.test'   => [ 0, '127.0.0.1' ],
    'private.test' => [ 0, '192.168.1.1', '10.0.0.1' ],
    'mapped.test'  => [ 0, '::ffff:127.0.0.1' ],
    'six.test'     => [ 0, '::1', 'fe80::1', 'fc00::1' ],
    'a.good.test'  => [ 0, '127.0.0.1', '8.8.8.8' ],
    'slow.test'    => [ 200, '8.8.8.8' ],
    'never.test'   => [ 100_000, '8.8.8.8' ]);
set_hosts(%hosts);

my $library = "$directory/network.so";
run_program(qw(cc -shared -fPIC -D_GNU_SOURCE -o), $library, "$sources/network.c", '-ldl');

# ---------------------------------------------------------------------------
# The server and how the client is called
# ---------------------------------------------------------------------------

my $bridge;
{
    # Nothing of the environment must be used.
    local $ENV{LD_PRELOAD}    = $library;
    local $ENV{WB_TEST_HOSTS} = "$directory/hosts";
    local $ENV{http_proxy}    = "http://127.0.0.1:$closed";
    local $ENV{https_proxy}   = $ENV{http_proxy};
    local $ENV{all_proxy}     = $ENV{http_proxy};
    local $ENV{SSLKEYLOGFILE} = "$directory/keys";
    local $ENV{HOME}          = $directory;
    append_to_file("$directory/.netrc", "default login netrc password netrc\n");
    $bridge = WebhookBridge->start('client', conf => <<"CONF");
webhook_bridge.http_ca_file = '$directory/authority.crt'
max_connections = 30
CONF
}
my $node = $bridge->node;

# Calls and returns the answer or the error as JSON.
$bridge->sql(<<'SQL');
CREATE FUNCTION try(method text, url text, headers jsonb DEFAULT NULL, body text DEFAULT NULL, idempotent boolean DEFAULT true)
RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    answer webhook_bridge.http_response;
    message text; detail text; hint text;
BEGIN
    answer := webhook_bridge.http_call(ROW(method, url, headers, body)::webhook_bridge.http_request, idempotent);
    RETURN to_json(answer);
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN json_build_object('sqlstate', SQLSTATE, 'message', message, 'detail', detail, 'hint', hint);
END
$$;
SQL

sub quote
{
    my ($text) = @_;
    return 'NULL' unless defined $text;
    return "E'" . ($text =~ s/([\\'])/\\$1/gr) . "'";
}

# Options: settings (SQL that precedes), method, headers, body, body_bytes (for
# a long one), idempotent.
sub query_of
{
    my ($url, %options) = @_;
    my $headers = $options{headers} && encode_json($options{headers});
    my $body    = $options{body_bytes} ? "repeat('x', $options{body_bytes})" : quote($options{body});
    return ($options{settings} // '') . sprintf 'SELECT try(%s, %s, %s, %s, %s);', quote($options{method} // 'GET'), quote($url),
      quote($headers), $body, $options{idempotent} // 1 ? 'true' : 'false';
}

# The answers of several calls in one session.
sub calls
{
    my ($settings, @queries) = @_;
    return map { decode_json($_) } split /\n/, $bridge->sql(join "\n", $settings, @queries);
}

sub call
{
    my ($url, %options) = @_;
    my ($answer) = calls('', query_of($url, %options));
    return $answer;
}

my $allowed = 'SET webhook_bridge.http_allow_insecure = on;';
my $secure  = "https://good.test:$port{https}";
my $plain   = "http://127.0.0.1:$port{http}";

# How many requests the server has seen for a URL's path.
sub requests
{
    my ($path) = @_;
    return decoded(call("$secure/requests")->{body})->{$path} // 0;
}

# JSON in a text that has been decoded already, such as an answer's body.
sub decoded
{
    my ($text) = @_;
    return JSON::PP->new->decode($text);
}

sub fails
{
    my ($answer, $sqlstate, $message, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($answer->{sqlstate}, $sqlstate, "$name: SQLSTATE") or diag explain $answer;
    like(join(' | ', map { $answer->{$_} // '' } qw(message detail hint)), $message, "$name: message");
    unlike(encode_json($answer), qr/sekret/, "$name: no secret is shown");
    return;
}

# ---------------------------------------------------------------------------
# Requests
# ---------------------------------------------------------------------------

{
    my $answer = call("$secure/echo/%C3%A9?key=sekret&x=%20", headers => { 'X-Token' => 'sekret', 'X-List' => [ 'a', 'b' ], 'X-Empty' => '', 'X-Number' => 1 });
    is($answer->{status}, 200, 'an answer');
    is($answer->{headers}{'content-type'}, 'application/json', 'its headers have names in lower case');
    my $got = decoded($answer->{body});
    is($got->{method}, 'GET', 'method');
    is($got->{url}, '/echo/%C3%A9?key=sekret&x=%20', 'path and query as given');
    my @raw = @{ $got->{raw} };
    my %raw = @raw;
    is($raw{'X-Token'},  'sekret', 'a header');
    is($raw{'X-Number'}, '1',      'a header that is a number');
    is($raw{'X-Empty'},  '',       'an empty header is sent');
    is_deeply([ map { $raw[ 2 * $_ + 1 ] } grep { $raw[ 2 * $_ ] eq 'X-List' } 0 .. @raw / 2 - 1 ],
        [ 'a', 'b' ], 'a header with two values is sent twice');
    is($raw{'User-Agent'}, 'webhook_bridge', 'the client has a name');
    ok(!exists $raw{$_}, "no header $_") for qw(Authorization Cookie Content-Type Content-Length Expect Accept-Encoding);
}

for my $method (qw(GET POST PUT PATCH DELETE))
{
    my $body = $method eq 'PUT' ? 'x' x 3_000_000 : '{"name": "a \\ or \' or so"}';
    my $got = decoded(call("$secure/echo", method => $method, body => $body, headers => { 'Content-Type' => 'application/json' })->{body});
    is($got->{method}, $method, "$method with a body");
    is($got->{body}, $body, "$method: the body arrives");
    my %raw = @{ $got->{raw} };
    is($raw{'Content-Type'}, 'application/json', "$method: its type as given");
    ok(!exists $raw{Expect}, "$method: no Expect");

    my $bare = decoded(call("$secure/echo", method => $method)->{body});
    is($bare->{method} . $bare->{body}, $method, "$method without a body");
    %raw = @{ $bare->{raw} };
    is($raw{'Content-Length'}, $method =~ /^P/ ? '0' : undef, "$method without a body: its length");
    ok(!exists $raw{'Content-Type'}, "$method without a body: no type");
}
{
    my $answer = call("$secure/echo", method => 'HEAD', settings => 'SET webhook_bridge.http_max_response = 1;');
    is("$answer->{status} $answer->{body}", '200 ', 'HEAD has no body');
    is(call("$secure/bytes/10000", method => 'HEAD', settings => 'SET webhook_bridge.http_max_response = 1;')->{status},
        200, 'and what it says of a size is no size');
}

# What is refused before anything is sent.
for my $case (
    [ { url => "$secure/refused\r\nX-Injected: 1" },      qr/invalid URL .*Byte \d+/ ],
    [ { url => "$secure/refused\t" },                     qr/invalid URL/ ],
    [ { url => "$secure/refused\x7f" },                   qr/invalid URL/ ],
    [ { url => "$secure/refused x" },                     qr/invalid URL/ ],
    [ { url => "$secure/refused\\u00e9" },                qr/invalid URL/, 'literal' ],
    [ { url => "https://me:sekret\@good.test:$port{https}/refused" }, qr/user name/ ],
    [ { url => "https://sekret\@good.test:$port{https}/refused" },    qr/user name/ ],
    [ { url => "https://\@good.test:$port{https}/refused" },          qr/user name/ ],
    [ { url => '' },                                      qr/invalid URL/ ],
    [ { url => 'good.test/refused' },                     qr/invalid URL/ ],
    [ { url => 'file:///etc/passwd' },                    qr/invalid URL/ ],
    [ { url => 'https://good.test:99999/refused' },       qr/invalid URL/ ],
    [ { url => 'https://[::1/refused' },                  qr/invalid URL/ ],
    [ { url => "https:///good.test:$port{https}/refused" }, qr/invalid URL/ ],
    [ { url => "https:/good.test:$port{https}/refused" }, qr/invalid URL/ ],
    [ { url => "https:good.test:$port{https}/refused" },  qr/invalid URL/ ],
    [ { url => "good.test:$port{https}/refused" },        qr/invalid URL/ ],
    [ { headers => { 'X-Bad' => "sekret\r\nX-Injected: 1" } }, qr/invalid value of header "X-Bad"/ ],
    [ { headers => { 'X-Bad' => "sekret\nX" } },          qr/control/ ],
    [ { headers => { 'X-Bad' => "sekret\x01" } },         qr/control/ ],
    [ { headers => { "X-Bad\r\nX" => 'sekret' } },        qr/invalid name/ ],
    [ { headers => { 'X Bad' => 'sekret' } },             qr/invalid name/ ],
    [ { headers => { 'X-Bad:' => 'sekret' } },            qr/invalid name/ ],
    [ { headers => { '' => 'sekret' } },                  qr/invalid name/ ],
    [ { headers => { 'content-length' => '1' } },         qr/cannot be given/ ],
    [ { headers => { 'Transfer-Encoding' => 'chunked' } },qr/cannot be given/ ],
    [ { headers => { 'Host' => 'internal' } },            qr/cannot be given/ ],
    [ { headers => { 'X-Bad' => { a => 'sekret' } } },    qr/must be a JSON object of strings/ ],
    [ { headers => { 'X-Bad' => undef } },                qr/must be a JSON object of strings/ ],
    [ { headers => ['sekret'] },                          qr/must be a JSON object of strings/ ],
    [ { method => 'CONNECT' },                            qr/invalid method/ ],
    [ { method => "GET / HTTP/1.1\r\nX: " },              qr/invalid method/ ],
    [ { method => 'get' },                                qr/invalid method/ ])
{
    my ($request, $message, $literal) = @$case;
    my %request = (url => "$secure/refused", %$request);
    my $query = query_of(delete $request{url}, %request);
    $query =~ s/\\\\u/\\u/ if $literal;
    my ($answer) = calls('', $query);
    fails($answer, '22023', $message, 'refused: ' . join ' ', map { s/[\r\n\t]/ /gr } map { ref $_ ? encode_json($_) : $_ } %$request);
}
is(requests('/refused'), 0, 'nothing of that was sent');
fails(decode_json($bridge->sql("SELECT try(NULL, '$secure')")), '22004', qr/"method" .* must not be null/, 'no method');
fails(decode_json($bridge->sql("SELECT try('GET', NULL)")), '22004', qr/"url" .* must not be null/, 'no URL');
fails(decode_json($bridge->sql("SELECT try('GET', '$secure', idempotent => NULL)")), '22004', qr/"idempotent" must not be null/, 'not said');

# ---------------------------------------------------------------------------
# Answers
# ---------------------------------------------------------------------------

is(call("$secure/status/$_")->{status}, $_, "status $_ is an answer") for 200, 201, 400, 404, 429, 500, 503;
is_deeply([ @{ call("$secure/empty") }{qw(status body)} ], [ 204, '' ], 'no content is an empty body');
is(call("$secure/redirect")->{headers}{location}, '/echo', 'a redirection is an answer and is not followed');
is(call("$secure/unauthorized")->{status}, 401, 'so is a request for credentials');
{
    my ($first, $second) = calls('', query_of("$secure/cookie"), query_of("$secure/echo"));
    is($first->{headers}{'set-cookie'}, 'a=1; Path=/, b=2; Path=/', 'repeated headers are joined');
    unlike($second->{body}, qr/cookie/i, 'cookies are not sent back');
}
{
    my ($first, $second) =
      calls('', query_of("$secure/echo?sekret", method => 'POST', headers => { 'X-Token' => 'sekret' }, body => 'sekret'), query_of("$secure/echo"));
    like($first->{body}, qr/sekret/, 'a call with credentials');
    unlike($second->{body}, qr/sekret|POST/, 'leaves nothing for the next one');
}
is_deeply(call("$secure/interim")->{headers}, { 'x-late' => '2', 'content-length' => '2' }, 'headers of interim answers are left out');
ok(!grep({ /x-(trailer|head)/ } keys %{ call("$secure/trailers")->{headers} }), 'and trailers');
is_deeply([ @{ call("$secure/lonely") }{qw(headers body)} ], [ { 'http/1.1' => 'yes', 'transfer-encoding' => 'chunked' }, '' ],
    'also without a body, and whatever looks like a status line');
is_deeply(call("$secure/folded")->{headers},
    { 'x-folded' => 'a b', 'x-odd' => '?? c', 'x-twice' => '1, 2', 'x-empty' => '', 'content-length' => '2' }, 'odd headers');
is(call("$secure/utf8")->{body}, "Gr\x{fc}\x{df}e, \x{4e16}\x{754c}", 'text of the world');

{
    my $limit = 'SET webhook_bridge.http_max_response = \'100kB\';';
    is(length call("$secure/bytes/102400", settings => $limit)->{body}, 102400, 'an answer of the largest size');
    fails(call("$secure/bytes/102401?sekret", settings => $limit), 'WB004', qr/too large .*http_max_response/, 'a byte more, announced');
    fails(call("$secure/stream/131072?sekret", settings => $limit), 'WB004', qr/too large .*100 kB/, 'too much, not announced');
    fails(call("$secure/endless?sekret"), 'WB004', qr/too large .*10240 kB/, 'an answer without an end');
    is(scalar keys %{ call("$secure/fields/900")->{headers} }, 901, 'many headers');
    fails(call("$secure/fields/1000?sekret"), 'WB004', qr/too large .*too many headers/, 'too many headers');
    fails(call("$secure/field/3?sekret"), 'WB004', qr/too large/, 'too long headers');
}
fails(call("$secure/latin1?sekret"), 'WB004', qr/cannot be read as text .*GET \Q$secure\E\/latin1: status 200\. It is not UTF-8/, 'not UTF-8');
fails(call("$secure/zero?sekret"), 'WB004', qr/zero byte/, 'a zero byte');
fails(call("$secure/garbage?sekret"), 'WB004', qr/is not HTTP/, 'not HTTP');
fails(call("$secure/switching?sekret"), 'WB004', qr/is not HTTP/, 'another protocol');

# Decompressing it could take for ever.
for my $encoding ('gzip', 'gzip, chunked', 'chunked, gzip', 'deflate', 'gzip, gzip, gzip', '')
{
    my $path = "/transfer/" . $encoding =~ s/([, ])/sprintf '%%%02X', ord $1/ger;
    fails(call("$secure$path?sekret"), 'WB004', qr/encoding that was not asked for/, "Transfer-Encoding: $encoding");
    is(requests("$path?sekret"), 1, "Transfer-Encoding: $encoding: not tried again");
}
fails(call("$secure/content?sekret"), 'WB004', qr/not UTF-8/, 'Content-Encoding: gzip is not undone');

# What never ends.
fails(call("$secure/$_?sekret"), 'WB004', qr/too large .*too many headers/, "without an end: $_") for qw(interims heads);
fails(call("$secure/tails?sekret", settings => 'SET webhook_bridge.http_timeout = 500;'), 'WB002', qr/in time/, 'without an end: tails');
fails(call("$secure/$_?sekret"), 'WB004', qr/too large .*too many headers/, "longer than lines are: $_") for qw(line/200000 line/3000000 reason/200000);
fails(call("$secure/longinterims?sekret"), 'WB004', qr/too large .*too many headers/, 'too long interim answers');

# The database's encoding, in both directions.
$node->safe_psql('postgres', q{CREATE DATABASE western ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'});
$node->safe_psql('western', 'CREATE EXTENSION webhook_bridge');
sub western
{
    my ($expression, $request) = @_;
    return ($node->psql('western', "SELECT $expression FROM webhook_bridge.http_call(ROW($request)::webhook_bridge.http_request, true) AS a"))[ 1, 2 ];
}
is((western("encode(convert_to(a.body, 'LATIN1'), 'hex')", "'GET', '$secure/western', NULL, NULL"))[0], '4772fcdf65', 'the answer is converted');
is((western("encode(convert_to(a.body::json->>'body', 'LATIN1'), 'hex')", "'POST', '$secure/echo', NULL, E'\\u00e9'"))[0], 'c3a9', 'the request is UTF-8');
like((western('a.body', "'GET', '$secure/utf8', NULL, NULL"))[1], qr/cannot be read as text.*\n.*character that the database's encoding does not have/, 'what cannot be converted is an error');

# ---------------------------------------------------------------------------
# Failures, and what is sent again
# ---------------------------------------------------------------------------

my $detail = quotemeta "GET $secure";
fails(call("https://nowhere.test/x?sekret"), 'WB001', qr|could not connect to "nowhere\.test" .*GET https://nowhere\.test/x: Could not resolve host|, 'no such host');
fails(call("https://good.test:$closed/x?sekret"), 'WB001', qr|could not connect .*:$closed/x: Failed to connect|, 'nobody listens');
for my $path (qw(silent reset halfhead halfline truncated badchunk))
{
    fails(call("$secure/$path/?sekret"), 'WB001', qr|lost before its answer .*$detail/$path/: |, $path);
    is(requests("/$path/?sekret"), 3, "$path: tried three times");
    fails(call("$secure/$path/?once", method => 'POST', body => 'sekret', idempotent => 0),
        'WB001', qr|lost before its answer .*POST .*/$path/: .*may have carried out|, "$path, POST");
    is(requests("/$path/?once"), 1, "$path, POST: sent once");
}
is(call("$secure/flaky/2")->{body}, 'attempt 3', 'the third attempt succeeds');
{
    my ($first, $second, $third) = map { decoded($_->{body})->{connection} }
      calls('', query_of("$secure/echo"), query_of("$secure/echo"), query_of("$secure/echo", idempotent => 0));
    is($second, $first, 'a connection is kept for the next call');
    isnt($third, $first, 'what must not be sent twice has one of its own');

    my $session = start_session();
    is(decode_json($session->(query_of("$secure/haunted")))->{body}, 'haunted', 'a connection');
    is(call("$secure/haunt")->{body}, 'done', 'on which comes what nobody has asked for');
    unlike(decode_json($session->(query_of("$secure/echo")))->{body}, qr/ghost/, 'which is not the answer to the next request');
    $session->();

    # The server breaks the kept connection when something comes on it.
    my (undef, $once) = calls('', query_of("$secure/once"), query_of("$secure/echo", method => 'POST', idempotent => 0));
    is($once->{status}, 200, 'that a kept connection has died does not matter to a request that is sent once');
    is(requests('/again'), 0, 'it does not meet it');
    my (undef, $again) = calls('', query_of("$secure/once"), query_of("$secure/echo"));
    is($again->{status}, 200, 'nor to one that may be repeated');
    is(requests('/again'), 1, 'which is repeated');
}

# ---------------------------------------------------------------------------
# Whom it trusts
# ---------------------------------------------------------------------------

{
    my $system = "SET webhook_bridge.http_ca_file = '';";
    fails(call("https://good.test:$port{other}/x?sekret"), 'WB001', qr/could not connect securely .*host name/, 'a certificate for another host');
    fails(call("https://good.test:$port{expired}/x?sekret"), 'WB001', qr/expired/, 'an expired certificate');
    fails(call("https://good.test:$port{selfsigned}/x?sekret"), 'WB001', qr/SSL certificate problem.*http_ca_file/, 'a certificate of nobody');
    fails(call("https://good.test:$port{unknown}/x?sekret"), 'WB001', qr/SSL certificate problem.*http_ca_file/, 'an unknown authority');
    fails(call("https://good.test:$port{http}/x?sekret"), 'WB001', qr/could not connect securely/, 'no TLS');
    fails(call("https://good.test:$port{old}/x?sekret"), 'WB001', qr/could not connect securely/, 'old TLS');
    fails(call("https://good.test:$port{http2}/x?sekret"), 'WB004', qr/HTTP/, 'HTTP/2 only');
    fails(call("$secure/x?sekret", settings => $system), 'WB001', qr/SSL certificate problem/, 'the authorities of the system only');
    fails(call("https://good.test:$port{other}/x", settings => $allowed), 'WB001', qr/host name/, 'insecure, another host');
    fails(call("https://good.test:$port{unknown}/x", settings => $allowed), 'WB001', qr/certificate/, 'insecure, an unknown authority');
    is(call("https://127.0.0.1:$port{https}/echo", settings => $allowed)->{status}, 200, 'insecure, a good certificate');
    fails(call("$secure/x", settings => "SET webhook_bridge.http_ca_file = '$directory/none.crt';"), 'F0000', qr/certificate authorities .*http_ca_file/, 'no such file');

    my ($known, $unknown) = calls('', query_of("$secure/echo"), "SET webhook_bridge.http_ca_file = '$directory/stranger.crt';" . query_of("$secure/echo"));
    is($known->{status}, 200, 'a connection is made and kept');
    fails($unknown, 'WB001', qr/certificate/, 'with other authorities it is not used any more');

    my $session = start_session();
    $session->("SET webhook_bridge.http_ca_file = '$directory/changing.crt'");
    fails(decode_json($session->(query_of("$secure/x"))), 'F0000', qr/http_ca_file/, 'a file that is not there yet');
    append_to_file("$directory/changing.crt", '');
    fails(decode_json($session->(query_of("$secure/x"))), 'F0000', qr/http_ca_file/, 'an empty file');
    append_to_file("$directory/changing.crt", slurp_file("$directory/stranger.crt"));
    fails(decode_json($session->(query_of("$secure/x"))), 'WB001', qr/certificate/, 'a file with other authorities');
    append_to_file("$directory/changing.crt", slurp_file("$directory/authority.crt"));
    is(decode_json($session->(query_of("$secure/x")))->{status}, 200, 'a file that has been put right is read again');
    $session->();
}

# ---------------------------------------------------------------------------
# Where it goes
# ---------------------------------------------------------------------------

is(call("https://a.good.test:$port{https}/echo")->{status}, 200, 'of several addresses the public one is used');
for my $host (qw(127.0.0.1 127.1 2130706433 0x7f.1 0177.0.0.1 0.0.0.0 10.0.0.1 100.64.0.1 169.254.169.254 172.16.0.1 192.168.0.1 224.0.0.1
    255.255.255.255 [::1] [::] [::ffff:127.0.0.1] [::ffff:10.0.0.1] [fe80::1] [fc00::1] [ff02::1] [64:ff9b::7f00:1] %31%32%37.0.0.1 [fe80::1%25lo] localhost
    local.test private.test mapped.test six.test))
{
    fails(call("https://$host:$port{https}/where?sekret"), 'WB003', qr|connecting to .* is not allowed .*/where: The address \S+ is not|, $host);
}
fails(call("http://good.test:$port{http}/where?sekret"), 'WB003', qr|GET http://good.test:$port{http}/where: .*https|, 'HTTP');
fails(call("$_://good.test/where?sekret"), 'WB003', qr/https/, $_) for qw(ftp gopher ldap smb dict telnet);
fails(call("$_://good.test/where?sekret", settings => $allowed), 'WB003', qr/https/, "insecure, $_") for qw(ftp gopher ldap smb dict telnet);
is(requests('/where?sekret'), 0, 'nothing of that was sent');
is(call("$plain/echo", settings => $allowed)->{status}, 200, 'all of that is possible if a superuser allows it');
{
    my ($before, $after) = calls($allowed, query_of("https://127.0.0.1:$port{https}/echo"),
        'RESET webhook_bridge.http_allow_insecure;' . query_of("https://127.0.0.1:$port{https}/echo"));
    is($before->{status}, 200, 'a connection is made and kept while it is allowed');
    fails($after, 'WB003', qr/127\.0\.0\.1/, 'and not used any more when it is not');
}
{
    my $session = start_session();
    is(decode_json($session->(query_of("$secure/echo", idempotent => 0)))->{status}, 200, 'a name of a public address');
    set_hosts(%hosts, 'good.test' => [ 0, '127.0.0.1' ]);
    fails(decode_json($session->(query_of("$secure/where", idempotent => 0))), 'WB003', qr/127\.0\.0\.1/, 'which moves to another one');
    set_hosts(%hosts);
    $session->();
}

# ---------------------------------------------------------------------------
# Who may
# ---------------------------------------------------------------------------

$bridge->sql(<<'SQL');
CREATE ROLE nobody_special LOGIN;
CREATE ROLE caller LOGIN;
GRANT USAGE ON SCHEMA webhook_bridge TO caller;
GRANT EXECUTE ON FUNCTION webhook_bridge.http_call TO caller;
SQL
sub error_as
{
    my ($role, $sql) = @_;
    return ($node->psql('postgres', $sql, extra_params => [ '-U', $role ]))[2];
}
my $direct = "SELECT (webhook_bridge.http_call(ROW('GET', '$secure/echo', NULL, NULL)::webhook_bridge.http_request, true)).status";
like(error_as('nobody_special', $direct), qr/permission denied for schema/, 'nobody calls without a grant');
$bridge->sql('GRANT USAGE ON SCHEMA webhook_bridge TO nobody_special');
like(error_as('nobody_special', $direct), qr/permission denied for function http_call/, 'not even with a grant on the schema');
is(error_as('caller', $direct), '', 'with a grant it works');
like(error_as('caller', "SET webhook_bridge.$_; $direct"), qr/permission denied to set parameter/, "caller cannot: $_")
  for 'http_allow_insecure = on', "http_ca_file = '/x'", 'http_max_response = 100';
is(error_as('caller', "SET webhook_bridge.http_timeout = '5s'; SET webhook_bridge.http_connect_timeout = '1s'; $direct"), '', 'time-outs are everybody\'s');
like(error_as('caller', "$direct; SET webhook_bridge.http_allow_insecure = on"), qr/permission denied to set parameter/, 'also when the library is loaded');

# ---------------------------------------------------------------------------
# Time-outs
# ---------------------------------------------------------------------------

# What a call can wait for.
my %waiting = (
    'look-up'            => "https://never.test:$port{https}/",
    'connection'         => 'https://127.0.0.1:' . $full->sockport . '/',
    'TLS handshake'      => 'https://127.0.0.1:' . $mute->sockport . '/',
    'slow TLS handshake' => "https://127.0.0.1:$port{trickle}/",
    'sending'            => "https://127.0.0.1:$port{https}/unread",
    'answer'             => "https://127.0.0.1:$port{https}/hang",
    'slow head'          => "https://127.0.0.1:$port{https}/driphead",
    'rest'               => "https://127.0.0.1:$port{https}/halfway",
    'slow rest'          => "https://127.0.0.1:$port{https}/drip");

# In place of the limit that is not meant.
my $patient = "SET webhook_bridge.http_timeout = '60s'; SET webhook_bridge.http_connect_timeout = '60s';";

# A body that does not fit into the buffers on the way.
my %waiting_options = ('sending' => { method => 'POST', body_bytes => 30_000_000 });

for my $what (sort keys %waiting)
{
    my @limits = ('http_timeout');
    push @limits, 'http_connect_timeout' if $what =~ /look-up|connection|TLS/;
    for my $limit (@limits)
    {
        my $begun  = time;
        my $answer = call("$waiting{$what}?sekret", %{ $waiting_options{$what} // {} },
            settings => "$allowed $patient SET webhook_bridge.$limit = '300ms';");
        my $took = time - $begun;
        fails($answer, 'WB002', qr/did not answer in time .*http_timeout/, "$limit: $what");
        cmp_ok($took, '<', 30, "$limit: $what: it is over in time");
        cmp_ok($took, '>=', 0.3, "$limit: $what: and not before");
    }
}
like(call($waiting{answer}, method => 'POST', idempotent => 0, settings => "$allowed SET webhook_bridge.http_timeout = 300;")->{hint}, qr/may have carried out/,
    'after a time-out nobody knows whether it was done');
{
    # The third attempt would come after 300 ms.
    my $answer = call("$secure/reset/?hurried", settings => 'SET webhook_bridge.http_timeout = 150;');
    like($answer->{sqlstate}, qr/^WB00[12]$/, 'attempts');
    cmp_ok(requests('/reset/?hurried'), '<', 3, 'attempts are within the time-out');
}
is(call("$secure/slow/500")->{body}, 'slow', 'an answer that takes its time');

# Look-ups that are left to themselves.
{
    my $session = start_session();
    my $pid     = $session->('SELECT pg_backend_pid()');
    $session->("SET webhook_bridge.http_connect_timeout = '10ms'");
    my $outcomes = $session->(
        "SELECT string_agg(DISTINCT o, ' ' ORDER BY o) FROM (SELECT (a->>'sqlstate') || ' x ' || count(*) AS o FROM"
          . " (SELECT try('GET', 'https://never.test/') AS a FROM generate_series(1, 40)) c GROUP BY a->>'sqlstate') s");
    is($outcomes, '53000 x 24 WB002 x 16', 'a session has a limited number of look-ups that were left to themselves');
    is(scalar(() = glob "/proc/$pid/task/*"), 17, 'each of which is a thread');
    $session->();
}

# ---------------------------------------------------------------------------
# Interrupts
# ---------------------------------------------------------------------------

# A psql that executes what it is given and returns the result; without an
# argument it ends.
sub start_session
{
    my ($database) = @_;
    my ($in, $out, $err) = ('', '', '');
    my $process = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($database // 'postgres') ], \$in, \$out, \$err, IPC::Run::timeout(300));
    return sub {
        my ($sql) = @_;
        if (!defined $sql)
        {
            $process->finish;
            return;
        }
        $in .= "$sql;\n\\echo done\n";
        $process->pump until $out =~ s/^done\n\z//m;
        my $result = $out;
        ($out, my $errors) = ('', $err);
        $err = '';
        chomp $result;
        return wantarray ? ($result, $errors) : $result;
    };
}

# A session that waits in a call.  Returns its process id and the psql, whose
# messages are in its {err}.
sub start_waiting
{
    my ($what) = @_;
    my $body   = $waiting_options{$what} ? "repeat('x', $waiting_options{$what}{body_bytes})" : "'{}'";
    my %psql   = (in => '', out => '', err => '');

    # what the other side counts
    my ($counted) = $waiting{$what} =~ m|:$port{https}(/\w+)|;
    $counted = 'trickle' if $waiting{$what} =~ /:$port{trickle}/;
    my $before = $counted ? requests($counted) : 0;
    my $sql = "$allowed $patient SELECT pg_backend_pid(); SELECT webhook_bridge.http_call(ROW('POST', '$waiting{$what}', NULL, $body)::webhook_bridge.http_request, false)";
    $psql{process} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), map { ('-c', $_) } split /(?<=;)/, $sql ],
        \$psql{in}, \$psql{out}, \$psql{err}, IPC::Run::timeout(120));
    $psql{process}->pump until $psql{out} =~ /(\d+)\n/;
    my $pid = $1;
    poll_until(sub { $bridge->sql("SELECT wait_event = 'Extension' FROM pg_stat_activity WHERE pid = $pid") eq 't' }, 'a waiting call');
    # of what comes before, some are waits as well
    poll_until(sub { requests($counted) > $before }, 'a call that waits for the other side') if $counted;
    poll_until(sub { (() = glob "/proc/$pid/task/*") == 2 }, 'a look-up') if $what eq 'look-up';
    return ($pid, \%psql);
}

# Sends a signal by SQL and returns how many milliseconds later a condition on
# pg_stat_activity is false.
sub reaction
{
    my ($signal, $condition) = @_;
    return $bridge->sql(<<"SQL");
DO \$\$
DECLARE begun timestamptz := clock_timestamp();
BEGIN
    PERFORM $signal;
    LOOP
        PERFORM pg_stat_clear_snapshot();
        EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE $condition);
        IF clock_timestamp() > begun + interval '20 s' THEN RAISE 'no reaction'; END IF;
        PERFORM pg_sleep(0.001);
    END LOOP;
    PERFORM set_config('test.took', (extract(epoch FROM clock_timestamp() - begun) * 1000)::int::text, false);
END
\$\$;
SELECT current_setting('test.took');
SQL
}

# On a busy machine a reaction can be late once, but not always.
my %reactions;
sub reacts
{
    my ($kind, $what, $measure) = @_;
    my $name = "$kind while a call waits: $what";
    my @took;
    for (1 .. 3)
    {
        push @took, $measure->();
        last if $took[-1] < REACTION_MS;
    }
    cmp_ok($took[-1], '<', REACTION_MS, "$name (@took ms)");
    push @{ $reactions{$kind} }, $took[-1];
    return;
}

for my $what (sort keys %waiting)
{
    reacts('cancel', $what, sub {
        my ($pid, $psql) = start_waiting($what);
        my $took = reaction("pg_cancel_backend($pid)", "pid = $pid AND state = 'active'");
        $psql->{process}->finish;
        like($psql->{err}, qr/canceling statement due to user request/, "the statement that waits is cancelled: $what");
        return $took;
    });
    reacts('terminate', $what, sub {
        my ($pid, $psql) = start_waiting($what);
        my $took = reaction("pg_terminate_backend($pid)", "pid = $pid");
        $psql->{process}->finish;
        like($psql->{err}, qr/terminating connection due to administrator command/, "the session that waits is terminated: $what");
        return $took;
    });
}

# statement_timeout: how much later.
{
    my $session = start_session();
    $session->("$allowed $patient SET statement_timeout = '200ms'");
    for my $what (sort keys %waiting)
    {
        reacts('statement_timeout', $what, sub {
            my $begun = time;
            my $state = $session->(query_of($waiting{$what}, %{ $waiting_options{$what} // {} }) . "\n\\echo :SQLSTATE\nSELECT 0 WHERE false");
            my $took  = int 1000 * (time - $begun - 0.2);
            is($state, '57014', "the statement that waits is cancelled: $what");
            return $took;
        });
    }
    $session->();
}

# A barrier: how much longer DROP DATABASE takes for one that waits.
{
    my $session = start_session();
    my $drop    = sub {
        $session->('CREATE DATABASE other');
        my $begun = time;
        $session->('DROP DATABASE other');
        return int 1000 * (time - $begun);
    };
    for my $what (sort keys %waiting)
    {
        reacts('DROP DATABASE of another', $what, sub {
            my $alone = $drop->();
            my ($pid, $psql) = start_waiting($what);
            my $took = $drop->();
            is($bridge->sql("SELECT state FROM pg_stat_activity WHERE pid = $pid"), 'active', "the call goes on: $what");
            $bridge->sql("SELECT pg_terminate_backend($pid)");
            $psql->{process}->finish;
            return $took > $alone ? $took - $alone : 0;
        });
    }
    $session->();
}

diag 'reactions in ms: ' . join '; ', map { "$_ @{ $reactions{$_} }" } sort keys %reactions;

# A role's own statement_timeout, and a session that goes on after it.
{
    $bridge->sql(q{ALTER ROLE caller SET statement_timeout = '200ms'; GRANT SET ON PARAMETER webhook_bridge.http_allow_insecure TO caller});
    my $begun = time;
    my ($status, $out, $err) = $node->psql('postgres', <<"SQL", extra_params => [ '-U', 'caller' ], on_error_stop => 0);
$allowed $patient
SELECT webhook_bridge.http_call(ROW('GET', '$waiting{answer}', NULL, NULL)::webhook_bridge.http_request, true);
$direct;
SQL
    like($err, qr/canceling statement due to statement timeout/, 'statement_timeout of a role ends a call');
    is($out, '(200)' =~ s/[()]//gr, 'the session goes on');
    cmp_ok(time - $begun, '<', 30, 'in time');
}

# ---------------------------------------------------------------------------
# Leaks
# ---------------------------------------------------------------------------

{
    my $session = start_session();
    my $pid     = $session->('SELECT pg_backend_pid()');
    # What happens to a call, and to how many of a hundred.
    my @mix = (
        "$secure/echo" => 59, "$secure/status/404" => 5, "$secure/status/500" => 5, "$secure/redirect" => 2,
        "https://nowhere.test/" => 2, "https://good.test:$closed/" => 3, "https://127.0.0.1:1/" => 2, "$secure/bad\n" => 1,
        "https://good.test:$port{unknown}/" => 3, "https://good.test:$port{other}/" => 2, "https://good.test:$port{http}/" => 1,
        "$secure/reset" => 3, "$secure/truncated" => 2, "$secure/garbage" => 2, "$secure/transfer/gzip" => 1, "$secure/latin1" => 2,
        "$secure/bytes/200000" => 2, "$secure/field/3" => 1, "https://slow.test/" => 1, "$secure/hang" => 1);
    my @urls;
    while (my ($url, $times) = splice @mix, 0, 2)
    {
        push @urls, (quote($url)) x $times;
    }
    my $list = join ', ', @urls;
    # not temporary: those are in the session's own memory
    $session->("CREATE UNLOGGED TABLE urls AS SELECT n, (ARRAY[$list])[n % 100 + 1] AS url FROM generate_series(1, $calls) n");
    $session->('CREATE UNLOGGED TABLE outcomes (outcome text)');
    $session->("SET webhook_bridge.http_timeout = '100ms'; SET webhook_bridge.http_connect_timeout = '50ms'; SET webhook_bridge.http_max_response = '100kB'");
    my ($cancels, $attempts) = (0, 0);
    my $round = sub {
        my ($first, $last) = @_;
        $session->(<<"SQL");
DO \$\$
DECLARE u text; n int; answer json;
BEGIN
    FOR n, u IN SELECT * FROM urls WHERE urls.n BETWEEN $first AND $last ORDER BY 1 LOOP
        answer := try('POST', u, '{"X-Token": "sekret"}', repeat('x', n % 1000), n % 3 > 0);
        INSERT INTO outcomes VALUES (coalesce(answer->>'status', answer->>'sqlstate'));
    END LOOP;
END
\$\$;
SQL
        # A cancel leaves the call in the middle.
        $session->("SET statement_timeout = '20ms'");
        for my $url (("$secure/hang", "$secure/halfway", 'https://slow.test/') x int(($last - $first) / 200 + 1))
        {
            my $state = $session->("SELECT try('GET', '$url');\n\\echo :SQLSTATE\nSELECT 0 WHERE false");
            $cancels++ if $state eq '57014';
            $attempts++;
        }
        $session->('RESET statement_timeout');
    };
    my $measure = sub {
        my ($memory) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;
        # look-ups that were left to themselves
        my $threads = () = glob "/proc/$pid/task/*";
        poll_until(sub { (() = glob "/proc/$pid/task/*") == 1 }, 'the end of all look-ups');
        # not the tables, of which PostgreSQL keeps some open
        my $data = $bridge->node->data_dir;
        my @open = grep { (readlink($_) // '') !~ m{^\Q$data\E/} } glob "/proc/$pid/fd/*";
        return ($memory, scalar @open);
    };
    my $warm = 500 * int $calls / 2000;
    my $begun = time;
    # Transactions of one size: what the largest took, the process keeps.
    $round->(500 * $_ - 499, 500 * $_) for 1 .. $warm / 500;
    my ($memory, $files) = $measure->();
    $round->(500 * $_ - 499, 500 * $_) for $warm / 500 + 1 .. $calls / 500;
    my ($memory_after, $files_after) = $measure->();
    my %outcomes = map { split /\|/ } split /\n/, $session->('SELECT outcome, count(*) FROM outcomes GROUP BY 1 ORDER BY 1');
    diag 'outcomes: ' . join ', ', (map { "$_ x $outcomes{$_}" } sort keys %outcomes), "cancelled x $cancels of $attempts";
    is_deeply([ grep { !$outcomes{$_} } qw(200 302 404 500 22023 WB001 WB002 WB003 WB004) ], [], 'the calls have had every outcome');
    cmp_ok($cancels, '>', 0, 'and some were cancelled');
    diag sprintf '%d calls in %.0f s; memory after %d: %d kB, at the end: %d kB; descriptors %d and %d',
      $calls, time - $begun, $warm, $memory, $memory_after, $files, $files_after;
    cmp_ok($files_after, '<=', $files + 2, 'no descriptor is lost');
  SKIP:
    {
        skip 'a sanitizer has its own memory, and keeps what was freed', 1 if $ENV{TEST_SANITIZER};
        cmp_ok($memory_after, '<', $memory + 1500, 'no memory is lost');
    }
    like($session->(query_of("$secure/echo")), qr/"status":200/, 'and the session still works');
    my $contexts = $session->(q{SELECT sum(total_bytes) < 10000000 FROM pg_backend_memory_contexts});
    is($contexts, 't', 'nor in its memory contexts');
    $session->();
}

# ---------------------------------------------------------------------------
# The log
# ---------------------------------------------------------------------------

{
    my $log = $bridge->log_text;
    unlike($log, qr/terminated by signal|PANIC|TRAP/, 'no process has crashed');
    ok(!-e "$directory/keys", 'nor are there keys of connections in a file');
    my @shown = grep { /sekret/ && !/STATEMENT:|statement:|^\t|SELECT try/ } split /\n/, $log;
    is_deeply(\@shown, [], 'nothing but statements shows secrets');
}

$bridge->stop;
$server_in = '';
$server->kill_kill;
done_testing();
