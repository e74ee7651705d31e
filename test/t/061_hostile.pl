# What strangers send who mean harm, or speak something else: each row is refused,
# or understood as what it says and as nothing more, whole and in pieces; and
# each is followed by a good request that is stored.

use strict;
use warnings;

use IO::Select;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(time);

use WebhookBridge;

my $bridge = WebhookBridge->start('main', conf => <<'CONF');
webhook_bridge.request_timeout = '60s'
webhook_bridge.keepalive_timeout = '300s'
webhook_bridge.max_body_size = '64kB'
CONF
my $secret = 'shared secret';
$bridge->create_endpoint('shop', $secret);

# A good request.
sub signed
{
    my ($body, @headers) = @_;
    return http_request('POST', '/hooks/shop', [ @{ ecomanager_headers($secret, $body) }, @headers ], $body);
}

# The same in chunks, with anything in their place.
sub chunked
{
    my ($chunks, $body) = @_;
    return http_request('POST', '/hooks/shop',
        [ @{ ecomanager_headers($secret, $body // 'abc') }, 'Transfer-Encoding' => 'chunked' ], $chunks);
}

# A signed request of body "abc" with lines of one's own, not checked by anything.
sub lines
{
    my ($lines, $body) = @_;
    my $signature = hmac_sha256_hex('abc', $secret);
    return "POST /hooks/shop HTTP/1.1\r\nHost: a\r\nX-Ecomanager-Event: E\r\nX-Ecomanager-Signature: $signature\r\n"
      . "$lines\r\n\r\n"
      . ($body // 'abc');
}

# A request for nothing but an answer.
sub get
{
    my ($target, $version, $lines) = @_;
    return "GET $target " . ($version // 'HTTP/1.1') . "\r\n" . ($lines // 'Host: a') . "\r\n\r\n";
}

# What a smuggler would like to be taken for a request: it would be stored.
my $prize = signed('{"prize":1}');

# Good requests, numbered.  All of them have to be found in the end, once each.
my $good = 0;

sub good_request
{
    my ($connection) = @_;
    my $body   = '{"good":' . ++$good . '}';
    my $answer = $connection->request('POST', '/hooks/shop', ecomanager_headers($secret, $body), $body);
    return $answer ? "$answer->{status} $answer->{body}" : 'no answer';
}
my $stored  = '200 {"status":"stored"}';
my $witness = $bridge->connect;

# --- The table ------------------------------------------------------------------
#
# Name, bytes, the statuses of all answers.  After these refusals the place of
# the next request is unknown, so that the connection has to be closed; "close"
# says that it is closed although nothing was refused.  After anything else it
# has to go on.

my $refusal = qr/(?:400|408|413|414|417|431|501|505)/;
my $te      = 'Transfer-Encoding';
my $cl      = 'Content-Length';
my $zero    = "0\r\n\r\n";
my $abc     = "3\r\nabc\r\n$zero";

my @rows = (
    'two lengths' => [
        [ 'CL.TE',                            lines("$cl: 6\r\n$te: chunked", "${zero}G"),             400 ],
        [ 'TE.CL',                            lines("$te: chunked\r\n$cl: 4", "5c\r\n$zero"),          400 ],
        [ 'CL.TE, the length is right',       lines("$cl: " . length($abc) . "\r\n$te: chunked", $abc), 400 ],
        [ 'CL.TE, the length is 0',           lines("$cl: 0\r\n$te: chunked", $abc),                   400 ],
        [ 'CL.TE in other case',              lines("CONTENT-LENGTH: 3\r\ntransfer-encoding: CHUNKED", $abc), 400 ],
        [ 'CL.TE with others between',        lines("$cl: 3\r\nA: b\r\nC: d\r\n$te: chunked", $abc),   400 ],
        [ 'CL.TE with an unknown coding',     lines("$cl: 3\r\n$te: gzip"),                            400 ],
        [ 'CL.TE with identity',              lines("$cl: 3\r\n$te: identity"),                        400 ],
        [ 'CL.TE with an empty coding',       lines("$cl: 3\r\n$te:"),                                 400 ],
        [ 'TE.CL in HTTP/1.0',                lines("$te: chunked\r\n$cl: 3", $abc) =~ s{1\.1}{1.0}r,  400 ],
        [ 'CL.CL, the first is right',        lines("$cl: 3\r\n$cl: 0"),                               400 ],
        [ 'CL.CL, the second is right',       lines("$cl: 0\r\n$cl: 3"),                               400 ],
        [ 'CL.CL, both are right',            lines("$cl: 3\r\nA: b\r\ncontent-length: 3"),            400 ],
        [ 'CL.CL, one with zeros',            lines("$cl: 3\r\n$cl: 03"),                              400 ],
        [ 'CL.CL.CL',                         lines("$cl: 3\r\n$cl: 3\r\n$cl: 3"),                     400 ],
    ],
    'Content-Length' => [
        [ 'a list',                           lines("$cl: 3, 3"),                   400 ],
        [ 'a list of different ones',         lines("$cl: 3,30"),                   400 ],
        [ 'a comma behind',                   lines("$cl: 3,"),                     400 ],
        [ 'a comma before',                   lines("$cl: ,3"),                     400 ],
        [ 'a semicolon',                      lines("$cl: 3;"),                     400 ],
        [ 'plus',                             lines("$cl: +3"),                     400 ],
        [ 'minus',                            lines("$cl: -3"),                     400 ],
        [ 'minus zero',                       lines("$cl: -0", ''),                 400 ],
        [ 'two numbers',                      lines("$cl: 3 0"),                    400 ],
        [ 'two numbers and a tab',            lines("$cl: 3\t0"),                   400 ],
        [ 'hexadecimal',                      lines("$cl: 0x3"),                    400 ],
        [ 'a hexadecimal digit',              lines("$cl: 3a"),                     400 ],
        [ 'a fraction',                       lines("$cl: 3.0"),                    400 ],
        [ 'an exponent',                      lines("$cl: 3e0"),                    400 ],
        [ 'an underscore',                    lines("$cl: 0_3"),                    400 ],
        [ 'quotes',                           lines("$cl: \"3\""),                  400 ],
        [ 'a word',                           lines("$cl: three"),                  400 ],
        [ 'a digit of another script',        lines("$cl: \xEF\xBC\x93"),           400 ],
        [ 'a no-break space',                 lines("$cl: \xC2\xA03"),              400 ],
        [ 'a vertical tab',                   lines("$cl: 3\x0B"),                  400 ],
        [ 'a zero byte',                      lines("$cl: 3\0"),                    400 ],
        [ 'empty, then right',                lines("$cl:\r\n$cl: 3"),              400 ],
        [ 'blank',                            lines("$cl: \t "),                    400 ],
        [ 'folded',                           lines("$cl: 3\r\n 0"),                400 ],
        [ 'folded before the number',         lines("$cl:\r\n 3"),                  400 ],
        [ '2^64 + 3',                         lines("$cl: 18446744073709551619"),   400 ],
        [ '2^63',                             lines("$cl: 9223372036854775808"),    400 ],
        [ '2^32 + 3, too large',              lines("$cl: 4294967299"),             413 ],
        [ '200 digits',                       lines("$cl: " . ('9' x 200)),         400 ],
        [ 'a space before the colon',         lines("$cl : 3"),                     400 ],
        [ 'a zero byte before the colon',     lines("$cl\0: 3"),                    400 ],
        [ 'blanks around it are none of it',  lines("$cl: \t 3 \t"),                200 ],
        [ 'leading zeros are decimal',        lines("$cl: 0003"),                   200 ],
        [ 'an underscore makes another name', lines("Content_Length: 9\r\n$cl: 3"), 200 ],
    ],
    'Transfer-Encoding' => [
        [ 'chunked, identity',                lines("$te: chunked, identity", $abc),             400 ],
        [ 'chunked, then identity',           lines("$te: chunked\r\n$te: identity", $abc),      400 ],
        [ 'identity, then chunked',           lines("$te: identity\r\n$te: chunked", $abc),      400 ],
        [ 'chunked three times',              lines("$te: chunked, chunked, chunked", $abc),     400 ],
        [ 'chunked, then empty',              lines("$te: chunked\r\n$te:", $abc),               400 ],
        [ 'a comma before',                   lines("$te: ,chunked", $abc),                      400 ],
        [ 'a comma behind',                   lines("$te: chunked,", $abc),                      400 ],
        [ 'a parameter',                      lines("$te: chunked;q=1", $abc),                   400 ],
        [ 'quotes',                           lines("$te: \"chunked\"", $abc),                   400 ],
        [ 'apostrophes',                      lines("$te: 'chunked'", $abc),                     400 ],
        [ 'xchunked',                         lines("$te: xchunked", $abc),                      400 ],
        [ 'chunke',                           lines("$te: chunke", $abc),                        400 ],
        [ 'two words',                        lines("$te: chunked x", $abc),                     400 ],
        [ 'a vertical tab before it',         lines("$te:\x0Bchunked", $abc),                    400 ],
        [ 'a form feed behind it',            lines("$te: chunked\x0C", $abc),                   400 ],
        [ 'a zero byte behind it',            lines("$te: chunked\0", $abc),                     400 ],
        [ 'a no-break space',                 lines("$te: \xA0chunked", $abc),                   400 ],
        [ 'a space before the colon',         lines("$te : chunked", $abc),                      400 ],
        [ 'a line feed before the colon',     lines("$te\n: chunked", $abc),                     400 ],
        [ 'folded',                           lines("$te: chunked\r\n , identity", $abc),        400 ],
        [ 'behind a fold',                    lines("A: b\r\n $te: chunked", $abc),              400 ],
        [ 'behind a bare LF',                 lines("A: b\n$te: chunked", $abc),                 400 ],
        [ 'behind a bare CR',                 lines("A: b\r$te: chunked", $abc),                 400 ],
        [ 'compress',                         lines("$te: compress", $abc),                      400 ],
        [ 'deflate, chunked',                 lines("$te: deflate, chunked", $abc),              400 ],
        [ 'a thousand codings',               lines("$te: " . join(',', ('x') x 1000), $abc),    400 ],
        [ 'in HTTP/1.0, kept alive',          lines("Connection: keep-alive\r\n$te: chunked", $abc) =~ s{1\.1}{1.0}r, 400 ],
        [ 'without a space',                  lines("$te:chunked", $abc),                        200 ],
        [ 'in mixed case',                    lines("tRANSFER-eNCODING: cHUNKED", $abc),         200 ],
        [ 'an underscore makes another name', lines("Transfer_Encoding: chunked\r\n$cl: 3"),     200 ],
        [ 'another name',                     lines("X-$te: chunked\r\n$cl: 3"),                 200 ],
    ],
    'chunks' => [
        [ 'a size of 17 digits',              chunked("00000000000000003\r\nabc\r\n$zero"),      400 ],
        [ 'a size that wraps to 3',           chunked("10000000000000003\r\nabc\r\n$zero"),      400 ],
        [ 'a size of 2^63',                   chunked("8000000000000000\r\nabc\r\n$zero"),       400 ],
        [ 'a size of 2^64 - 1',               chunked("FFFFFFFFFFFFFFFF\r\nabc\r\n$zero"),       400 ],
        [ 'a sign',                           chunked("+3\r\nabc\r\n$zero"),                     400 ],
        [ 'a negative size',                  chunked("-3\r\nabc\r\n$zero"),                     400 ],
        [ 'h behind the size',                chunked("3h\r\nabc\r\n$zero"),                     400 ],
        [ 'x behind a zero',                  chunked("0x03\r\nabc\r\n$zero"),                   400 ],
        [ 'a space behind the size',          chunked("3 \r\nabc\r\n$zero"),                     400 ],
        [ 'a tab before the size',            chunked("\t3\r\nabc\r\n$zero"),                    400 ],
        [ 'a comma',                          chunked("3,3\r\nabc\r\n$zero"),                    400 ],
        [ 'a fraction',                       chunked("3.0\r\nabc\r\n$zero"),                    400 ],
        [ 'a zero byte',                      chunked("3\0\r\nabc\r\n$zero"),                    400 ],
        [ 'an empty line for a size',         chunked("\r\n3\r\nabc\r\n$zero"),                  400 ],
        [ 'an extension before a size',       chunked(";a\r\nabc\r\n$zero"),                     400 ],
        [ 'LF behind a size',                 chunked("3\nabc\r\n$zero"),                        400 ],
        [ 'CR behind a size',                 chunked("3\rabc\r\n$zero"),                        400 ],
        [ 'CR CR LF behind a size',           chunked("3\r\r\nabc\r\n$zero"),                    400 ],
        [ 'LF in an extension',               chunked("3;a\nabc\r\n$zero"),                      400 ],
        [ 'LF in a quoted extension',         chunked("3;a=\"\n\"\r\nabc\r\n$zero"),             400 ],
        [ 'CR in an extension',               chunked("3;a\rb\r\nabc\r\n$zero"),                 400 ],
        [ 'a control byte in an extension',   chunked("3;a=\x1F\r\nabc\r\n$zero"),               400 ],
        [ 'an extension without end',         chunked('3;' . ('a' x 300)),                       400 ],
        [ 'many short extensions',            chunked(join('', ("1;abcdefgh\r\nx\r\n") x 40) . $zero, 'x' x 40), 400 ],
        [ 'an extension of the last chunk',   chunked("3\r\nabc\r\n0;" . ('a' x 300) . "\r\n\r\n"), 400 ],
        [ 'no line end behind the data',      chunked("3\r\nabc$zero"),                          400 ],
        [ 'LF behind the data',               chunked("3\r\nabc\n$zero"),                        400 ],
        [ 'CR CR LF behind the data',         chunked("3\r\nabc\r\r\n$zero"),                    400 ],
        [ 'more data than the size says',     chunked("3\r\nabcd\r\n$zero"),                     400 ],
        [ 'less data than the size says',     chunked("4\r\nabc\r\n$zero"),                      400 ],
        [ 'LF LF in the end',                 chunked("3\r\nabc\r\n0\n\n"),                      400 ],
        [ 'LF in the end',                    chunked("3\r\nabc\r\n0\r\n\n"),                    400 ],
        [ 'no empty line in the end',         chunked("3\r\nabc\r\n0\r\n"),                      400 ],
        [ 'data that looks like the end',     chunked("5\r\n$zero\r\n$zero", $zero),             200 ],
        [ 'data that looks like a request',   chunked(sprintf("%x\r\n%s\r\n%s", length $prize, $prize, $zero), $prize), 200 ],
        [ 'a chunk that is too large',        chunked("10001\r\n" . ('x' x 65537) . "\r\n$zero"), 413 ],
        [ 'one that is announced',            chunked("10001\r\n"),                              413 ],
        [ 'one that makes it too much',       chunked("1\r\nx\r\n10000\r\n"),                   413 ],
        [ 'one beyond all memory',            chunked("4000000000000000\r\n"),                   413 ],
        [ 'chunks that are too many',         chunked("4000\r\n" . ('x' x 16384) . "\r\n") . (("4000\r\n" . ('x' x 16384) . "\r\n") x 4) . $zero, 413 ],
    ],
    'trailers' => [
        [ 'too long',                         chunked("3\r\nabc\r\n0\r\nA: " . ('x' x 4100) . "\r\n\r\n"), 400 ],
        [ 'too many',                         chunked("3\r\nabc\r\n0\r\n" . ("A: b\r\n" x 700) . "\r\n"), 400 ],
        [ 'without end',                      chunked("3\r\nabc\r\n0\r\n" . ("A: b\r\n" x 700)),   400 ],
        [ 'folded',                           chunked("3\r\nabc\r\n0\r\nA: b\r\n\tc\r\n\r\n"),     400 ],
        [ 'a space before the colon',         chunked("3\r\nabc\r\n0\r\nA : b\r\n\r\n"),           400 ],
        [ 'no name',                          chunked("3\r\nabc\r\n0\r\n: b\r\n\r\n"),             400 ],
        [ 'no colon',                         chunked("3\r\nabc\r\n0\r\nA\r\n\r\n"),               400 ],
        [ 'a zero byte',                      chunked("3\r\nabc\r\n0\r\nA: \0\r\n\r\n"),           400 ],
        [ 'bare LF',                          chunked("3\r\nabc\r\n0\r\nA: b\n\r\n"),              400 ],
        [ 'bare CR',                          chunked("3\r\nabc\r\n0\r\nA: b\rC: d\r\n\r\n"),      400 ],
        [ 'a length is not heeded',           chunked("3\r\nabc\r\n0\r\n$cl: 1000\r\n\r\n"),       200 ],
        [ 'a coding is not heeded',           chunked("3\r\nabc\r\n0\r\n$te: gzip\r\n\r\n"),       200 ],
        [ 'nor is Connection',                chunked("3\r\nabc\r\n0\r\nConnection: close\r\n\r\n"), 200 ],
        [ 'a signature is none',
            http_request('POST', '/hooks/shop', [ $te => 'chunked', 'X-Ecomanager-Event' => 'E' ],
                "3\r\nabc\r\n0\r\nX-Ecomanager-Signature: " . hmac_sha256_hex('abc', $secret) . "\r\n\r\n"), 401 ],
    ],
    'lines' => [
        [ 'LF everywhere',                    signed('{}') =~ s/\r\n/\n/gr,                        400 ],
        [ 'CR everywhere',                    signed('{}') =~ s/\r\n/\r/gr,                        400 ],
        [ 'LF CR everywhere',                 signed('{}') =~ s/\r\n/\n\r/gr,                      400 ],
        [ 'CR CR LF everywhere',              signed('{}') =~ s/\r\n/\r\r\n/gr,                    400 ],
        [ 'LF instead of the empty line',     signed('{}') =~ s/\r\n\r\n/\r\n\n/r,                 400 ],
        [ 'CR instead of the empty line',     signed('{}') =~ s/\r\n\r\n/\r\n\r/r,                 400 ],
        [ 'a blank in the empty line',        signed('{}') =~ s/\r\n\r\n/\r\n \r\n/r,              400 ],
        [ 'LF first',                         "\n" . signed('{}'),                                 400 ],
        [ 'a space first',                    ' ' . signed('{}'),                                  400 ],
        [ 'a byte order mark first',          "\xEF\xBB\xBF" . signed('{}'),                       400 ],
        [ 'three empty lines first',          "\r\n\r\n\r\n" . signed('{}'),                       400 ],
        [ 'two are tolerated',                "\r\n\r\n" . signed('{}'),                           200 ],
        [ 'a folded header',                  lines("A: b\r\n c\r\n$cl: 3"),                       400 ],
        [ 'folded with a tab',                lines("A: b\r\n\tc\r\n$cl: 3"),                      400 ],
        [ 'a folded empty header',            lines("A:\r\n \r\n$cl: 3"),                          400 ],
        [ 'the last header folded',           lines("$cl: 3\r\nA: b\r\n "),                        400 ],
        [ 'the request line folded',          "POST\r\n /hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n",  400 ],
        [ 'a space before the first header',  "GET /hooks/shop HTTP/1.1\r\n A: b\r\nHost: a\r\n\r\n", 400 ],
        [ 'no colon',                         lines("A\r\n$cl: 3"),                                400 ],
        [ 'no name',                          lines(": b\r\n$cl: 3"),                              400 ],
        [ 'a colon and nothing else',         lines(":\r\n$cl: 3"),                                400 ],
        [ 'a space in a name',                lines("A B: c\r\n$cl: 3"),                           400 ],
        [ 'a space before a colon',           lines("A : c\r\n$cl: 3"),                            400 ],
        [ 'parentheses in a name',            lines("A(b): c\r\n$cl: 3"),                          400 ],
        [ 'a slash in a name',                lines("A/b: c\r\n$cl: 3"),                           400 ],
        [ 'a quote in a name',                lines("A\": c\r\n$cl: 3"),                           400 ],
        [ 'a name that is not ASCII',         lines("\xC3\x84: c\r\n$cl: 3"),                      400 ],
        [ 'DEL in a name',                    lines("A\x7F: c\r\n$cl: 3"),                         400 ],
        (map { [ sprintf('byte %02x in a value', $_), lines('A: b' . chr($_) . "c\r\n$cl: 3"), 400 ] }
              0, 1, 7, 8, 0x0B, 0x0C, 0x1B, 0x1F, 0x7F),
        [ 'other scripts in a value',         lines("A: \xC3\xA9\xFF\x85\xA0\r\n$cl: 3"),          200 ],
        [ 'every visible character',          lines('A: ' . join('', map { chr } 0x21 .. 0x7E) . "\r\n$cl: 3"), 200 ],
    ],
    'request line' => [
        [ 'HTTP/0.9',                         "GET /hooks/shop\r\n",                               400 ],
        [ 'HTTP/0.9 with a space',            "GET /hooks/shop \r\n",                              400 ],
        [ 'HTTP/0.9 by its name',             get('/hooks/shop', 'HTTP/0.9'),                      505 ],
        [ 'HTTP/1.2',                         get('/hooks/shop', 'HTTP/1.2'),                      505 ],
        [ 'HTTP/2.0',                         get('/hooks/shop', 'HTTP/2.0'),                      505 ],
        [ 'HTTP/3.0',                         get('/hooks/shop', 'HTTP/3.0'),                      505 ],
        [ 'HTTP/1.10',                        get('/hooks/shop', 'HTTP/1.10'),                     400 ],
        [ 'HTTP/01.1',                        get('/hooks/shop', 'HTTP/01.1'),                     400 ],
        [ 'HTTP/1.',                          get('/hooks/shop', 'HTTP/1.'),                       400 ],
        [ 'HTTP/-1.1',                        get('/hooks/shop', 'HTTP/-1.1'),                     400 ],
        [ 'HTTP/1,1',                         get('/hooks/shop', 'HTTP/1,1'),                      400 ],
        [ 'http/1.1',                         get('/hooks/shop', 'http/1.1'),                      400 ],
        [ 'HTTPS/1.1',                        get('/hooks/shop', 'HTTPS/1.1'),                     400 ],
        [ 'ICY',                              get('/hooks/shop', 'ICY'),                           400 ],
        [ 'a space behind the version',       get('/hooks/shop', 'HTTP/1.1 '),                     400 ],
        [ 'a second version',                 get('/hooks/shop', 'HTTP/1.1 HTTP/1.1'),             400 ],
        [ 'two spaces before the version',    get('/hooks/shop', ' HTTP/1.1'),                     400 ],
        [ 'a tab before the version',         "GET /hooks/shop\tHTTP/1.1\r\nHost: a\r\n\r\n",      400 ],
        [ 'no target',                        "GET HTTP/1.1\r\nHost: a\r\n\r\n",                   400 ],
        [ 'no method',                        "/hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n",           400 ],
        [ 'a method with a colon',            "GET: /hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n",      400 ],
        [ 'a method with a zero byte',        "GE\0T /hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n",     400 ],
        [ 'a method that is not ASCII',       "G\xC9T /hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n",    400 ],
        [ 'a method of 33 bytes',             ('A' x 33) . " /hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n", 501 ],
        [ 'a method of 32 bytes',             ('A' x 32) . " /hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n", 405 ],
        [ 'TRACE',                            "TRACE /hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n",     405 ],
        [ 'PATCH',                            "PATCH /hooks/shop HTTP/1.1\r\nHost: a\r\n$cl: 0\r\n\r\n", 405 ],
        [ 'post',                             signed('{}') =~ s/POST/post/r,                       405 ],
        [ 'CONNECT to another server',        "CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400 ],
        [ 'CONNECT to an endpoint',           "CONNECT /hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n",   400 ],
        [ 'CONNECT to a URL',                 "CONNECT http://a/hooks/shop HTTP/1.1\r\nHost: a\r\n\r\n", 400 ],
        [ 'a method override',                signed('{}', 'X-HTTP-Method-Override' => 'DELETE'),  200 ],
    ],
    'target' => [
        [ 'an authority',                     get('example.com:80'),                               400 ],
        [ 'an asterisk',                      get('*'),                                            400 ],
        [ 'an asterisk with a query',         get('*?a'),                                          400 ],
        [ 'OPTIONS *',                        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",             400 ],
        [ 'relative',                         get('hooks/shop'),                                   400 ],
        [ 'dots',                             get('../hooks/shop'),                                400 ],
        [ 'another scheme',                   get('file:///etc/passwd'),                           400 ],
        [ 'a scheme only',                    get('http:'),                                        400 ],
        [ 'no host',                          get('http:///hooks/shop'),                           400 ],
        [ 'a port only',                      get('http://:80/hooks/shop'),                        400 ],
        [ 'a user',                           get('http://user@a/hooks/shop'),                     400 ],
        [ 'a user and a password',            get('http://user:word@a/hooks/shop'),                400 ],
        [ 'a port that is none',              get('http://a:80b/hooks/shop'),                      400 ],
        [ 'two ports',                        get('http://a:80:80/hooks/shop'),                    400 ],
        [ 'half an address',                  get('http://[::1/hooks/shop'),                       400 ],
        [ 'a backslash in the host',          get('http://a\\b/hooks/shop'),                       400 ],
        [ 'a URL of another host',            get('http://other.example/hooks/shop'),              200 ],
        [ 'a URL in a URL',                   get('http://a/http://b/hooks/shop'),                 404 ],
        [ 'a fragment',                       get('/hooks/shop#a'),                                400 ],
        [ 'a space',                          get('/hooks/ shop'),                                 400 ],
        [ 'a tab',                            get("/hooks/\tshop"),                                400 ],
        [ 'a zero byte',                      get("/hooks/\0shop"),                                400 ],
        [ 'a control byte',                   get("/hooks/\x1Fshop"),                              400 ],
        [ 'DEL',                              get("/hooks/shop\x7F"),                              400 ],
        [ 'UTF-8',                            get("/hooks/sh\xC3\xB6p"),                           400 ],
        [ 'a zero byte in the query',         get("/hooks/shop?a=\0"),                             400 ],
        [ 'CR LF in the query',               get("/hooks/shop?a=\r\nX: y"),                       400 ],
        [ 'an escape that is none',           get('/hooks/%zzshop'),                               404 ],
        [ 'half an escape',                   get('/hooks/shop%2'),                                404 ],
        [ 'an escaped zero byte',             get('/hooks/shop%00'),                               404 ],
        [ 'an escaped slash',                 get('/hooks%2Fshop'),                                404 ],
        [ 'an escaped letter',                get('/hooks/s%68op'),                                404 ],
        [ 'an escaped line end',              get('/hooks/shop%0d%0a'),                            404 ],
        [ 'an escaped question mark',         get('/hooks/shop%3fa'),                              404 ],
        [ 'dots within',                      get('/hooks/../hooks/shop'),                         404 ],
        [ 'escaped dots',                     get('/hooks/%2e%2e/hooks/shop'),                     404 ],
        [ 'overlong escaped dots',            get('/%c0%ae%c0%ae/hooks/shop'),                     404 ],
        [ 'a backslash',                      get('/hooks\\shop'),                                 404 ],
        [ 'two slashes',                      get('//hooks/shop'),                                 404 ],
        [ 'a slash behind',                   get('/hooks/shop/'),                                 404 ],
        [ 'a parameter',                      get('/hooks/shop;a=b'),                              404 ],
        [ 'another case',                     get('/HOOKS/shop'),                                  404 ],
        [ 'another suffix',                   get('/hooks/shop.php'),                              404 ],
        [ 'SQL',                              get("/hooks/shop'--"),                               404 ],
        [ 'SQL in the query',                 get("/hooks/shop?a=1';DROP%20TABLE%20events"),       200 ],
        [ 'broken escapes in the query',      get('/hooks/shop?a=%zz&%=%00&%0d%0aX:1'),            200 ],
        [ 'a query of only separators',       get('/hooks/shop?' . ('&' x 1000) . ('=' x 1000)),   200 ],
        [ 'a path of 8000 bytes',             get('/' . ('a' x 7999)),                             404 ],
        [ 'a path of 8001 bytes',             get('/' . ('a' x 8000)),                             414 ],
        [ 'a query that is too long',         get('/hooks/shop?' . ('a' x 8000)),                  414 ],
        [ 'a URL that is too long',           get('http://' . ('a' x 8000) . '/hooks/shop'),       414 ],
    ],
    'Host' => [
        [ 'none',                             get('/hooks/shop', 'HTTP/1.1', 'A: b'),                 400 ],
        [ 'none, the target has one',         get('http://a/hooks/shop', 'HTTP/1.1', 'A: b'),         400 ],
        [ 'the same twice',                   get('/hooks/shop', 'HTTP/1.1', "Host: a\r\nHost: a"),   400 ],
        [ 'two',                              get('/hooks/shop', 'HTTP/1.1', "Host: a\r\nhost: b"),   400 ],
        [ 'two in HTTP/1.0',                  get('/hooks/shop', 'HTTP/1.0', "Host: a\r\nHost: b"),   400 ],
        [ 'empty and another',                get('/hooks/shop', 'HTTP/1.1', "Host:\r\nHost: b"),     400 ],
        [ 'folded',                           get('/hooks/shop', 'HTTP/1.1', "Host: a\r\n b"),        400 ],
        [ 'a space before the colon',         get('/hooks/shop', 'HTTP/1.1', 'Host : a'),             400 ],
        (map { [ "\"$_\"", get('/hooks/shop', 'HTTP/1.1', "Host: $_"), 400 ] }
              'a b', 'a, b', 'a/b', 'http://a', 'user@a', 'a?b', 'a#b', 'a\\b', '<a>', ':80', 'a:b', 'a:80:80', '::1',
            '[::1', '[]', '[::1]a', 'a[b]', 'a%', 'a%zz'),
        [ 'not ASCII',                        get('/hooks/shop', 'HTTP/1.1', "Host: b\xC3\xBCcher"),  400 ],
        [ 'a zero byte',                      get('/hooks/shop', 'HTTP/1.1', "Host: a\0"),            400 ],
        [ 'empty',                            get('/hooks/shop', 'HTTP/1.1', 'Host:'),                200 ],
        [ 'an address',                       get('/hooks/shop', 'HTTP/1.1', 'Host: [::1]:8090'),     200 ],
        [ 'another than the target',          get('http://a/hooks/shop', 'HTTP/1.1', 'Host: b'),      200 ],
        [ 'another by way of a proxy',        signed('{}', 'X-Forwarded-Host' => 'evil.example', 'X-Original-URL' => '/admin'), 200 ],
    ],
    'Expect' => [
        [ 'something else',                   lines("$cl: 3\r\nExpect: 200-ok"),                   417 ],
        [ 'a parameter',                      lines("$cl: 3\r\nExpect: 100-continue;a"),           417 ],
        [ 'two in a list',                    lines("$cl: 3\r\nExpect: 100-continue, b"),          417 ],
        [ 'two in two lines',                 lines("$cl: 3\r\nExpect: 100-continue\r\nExpect: b"), 417 ],
        [ 'with both lengths',                lines("$cl: 3\r\n$te: chunked\r\nExpect: 100-continue", $abc), 400 ],
        [ 'for a body that is too large',     lines("$cl: 65537\r\nExpect: 100-continue", ''),     413 ],
        [ 'without a body',                   get('/hooks/shop', 'HTTP/1.1', "Host: a\r\nExpect: 100-continue"), 200 ],
        [ 'empty',                            lines("$cl: 3\r\nExpect:"),                          200 ],
        [ 'something else in HTTP/1.0',       get('/hooks/shop', 'HTTP/1.0', 'Expect: 200-ok'),    '200 close' ],
    ],
    'sizes' => [
        [ 'a value',                          lines('A: ' . ('x' x 17_000)),                       431 ],
        [ 'a value without end',              "POST /hooks/shop HTTP/1.1\r\nHost: a\r\nA: " . ('x' x 17_000), 431 ],
        [ 'a name',                           lines(('x' x 17_000) . ': a'),                       431 ],
        [ 'a name without end',               "POST /hooks/shop HTTP/1.1\r\nHost: a\r\n" . ('x' x 17_000), 431 ],
        [ 'many cookies',                     lines(join("\r\n", map { "Cookie: a$_=" . ('x' x 400) } 1 .. 50)), 431 ],
        [ '101 headers',                      lines(join("\r\n", map { "A$_:" } 1 .. 98)),         431 ],
        [ '100 headers',                      lines(join("\r\n", "$cl: 3", map { "A$_:" } 1 .. 96)), 200 ],
        [ 'headers without end',              "POST /hooks/shop HTTP/1.1\r\nHost: a\r\n" . ("A:\r\n" x 5000), 431 ],
        [ 'a body',                           lines("$cl: 65537", 'x' x 65537),                    413 ],
        [ 'a body that is announced',         lines("$cl: 65537", ''),                             413 ],
        [ 'a body beyond all memory',         lines("$cl: 4611686018427387904", ''),               413 ],
        [ 'a body for nobody',                "POST /none HTTP/1.1\r\nHost: a\r\n$cl: 65537\r\n\r\n", 413 ],
    ],
    'other protocols' => [
        [ 'HTTP/2',                           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",  505 ],
        [ 'TLS 1.3',                          "\x16\x03\x01\0\xC8\x01\0\0\xC4\x03\x03" . ("\xA5" x 193), 400 ],
        [ 'SSL 2',                            "\x80\x2E\x01\0\x02\0\x15\0\0\0\x10" . ("\x5A" x 37),  400 ],
        [ 'SSH',                              "SSH-2.0-OpenSSH_9.2\r\n",                           400 ],
        [ 'SMTP',                             "EHLO example.com\r\n",                              400 ],
        [ 'FTP',                              "USER anonymous\r\n",                                400 ],
        [ 'IMAP',                             "a001 LOGIN a b\r\n",                                400 ],
        [ 'Redis',                            "*1\r\n\$4\r\nPING\r\n",                             400 ],
        [ 'memcached',                        "stats\r\n",                                         400 ],
        [ 'PostgreSQL',                       "\0\0\0\x08\x04\xD2\x16\x2F",                        400 ],
        [ 'MQTT',                             "\x10\x0C\0\x04MQTT\x04\x02\0\x3C\0\0",              400 ],
        [ 'SIP',                              "OPTIONS sip:a\@b SIP/2.0\r\n\r\n",                  400 ],
        [ 'RTSP',                             "OPTIONS rtsp://a/ RTSP/1.0\r\n\r\n",                400 ],
        [ 'SOCKS 5',                          "\x05\x01\0",                                        400 ],
        [ 'the PROXY protocol, 1',            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",                400 ],
        [ 'the PROXY protocol, 2',            "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C" . ("\1" x 12),  400 ],
        [ 'RDP',                              "\x03\0\0\x13\x0E\xE0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0", 400 ],
        [ 'an answer',                        "HTTP/1.1 200 OK\r\n$cl: 0\r\n\r\n",                 400 ],
        [ 'JSON',                             '{"good":0}',                                        400 ],
        [ 'letters without end',              'A' x 10_000,                                        501 ],
        [ 'zero bytes',                       "\0" x 10_000,                                       400 ],
        [ 'all bytes',                        join('', map { chr } reverse 0 .. 255),              400 ],
    ],
    'hop by hop' => [
        [ 'WebSocket', get('/hooks/shop', 'HTTP/1.1',
            "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), 200 ],
        [ 'HTTP/2 in clear',                  signed('{}', Connection => 'Upgrade, HTTP2-Settings', Upgrade => 'h2c', 'HTTP2-Settings' => 'AAMAAABk'), 200 ],
        [ 'an upgrade with both lengths',     lines("Connection: Upgrade\r\nUpgrade: h2c\r\n$cl: 3\r\n$te: chunked", $abc), 400 ],
        [ 'the signature is named',           signed('{}', Connection => 'X-Ecomanager-Signature'), 200 ],
        [ 'the length is named',              signed('{}', Connection => $cl),                     200 ],
        [ 'the coding is named, and close',   lines("Connection: close, $te\r\n$te: chunked", $abc), '200 close' ],
        [ 'Keep-Alive without end',           signed('{}', 'Keep-Alive' => 'timeout=999999999, max=0'), 200 ],
        [ 'TE',                               signed('{}', TE => 'trailers, chunked'),             200 ],
        [ 'Proxy-Connection',                 signed('{}', 'Proxy-Connection' => 'close'),         200 ],
        [ 'a coding of the content',          signed('{}', 'Content-Encoding' => 'gzip, br, identity'), 200 ],
    ],
    'pipelines' => [
        [ 'a bad one behind a good one',      signed('{}') . "BAD\r\n\r\n",                        '200 400' ],
        [ 'garbage behind a body',            signed('{}') . 'xyz' . $prize =~ s/.*?\r\n//sr,      '200 400' ],
        [ 'three empty lines between',        signed('{}') . "\r\n\r\n\r\n" . $prize,              '200 400' ],
        [ 'CL.TE behind good ones',           signed('{}') x 3 . lines("$cl: 6\r\n$te: chunked", "${zero}G"), '200 200 200 400' ],
        [ 'one behind the last',              signed('{}', Connection => 'close') . $prize,        '200 close' ],
        [ 'a request within a body',          signed($prize),                                      200 ],
        [ 'a request within a GET',           get('/hooks/shop', 'HTTP/1.1', "Host: a\r\n$cl: " . length $prize) . $prize, 200 ],
        [ 'a request within a HEAD',          get('/hooks/none', 'HTTP/1.1', "Host: a\r\n$cl: " . length $prize) . $prize, 404 ],
        [ 'a request within what is refused', http_request('POST', '/hooks/shop', [], $prize),     401 ],
        [ 'a request within a DELETE',        http_request('DELETE', '/hooks/shop', [], $prize),   405 ],
        [ '100 for nobody',                   get('/') x 100,                                      join(' ', (404) x 100) ],
    ]);

# What a client sees of a row: the statuses, what becomes of the connection, and
# how a good request is answered, on it and on another.
sub outcome
{
    my ($row, $pieces) = @_;
    my (undef, $bytes, $expected) = @$row;
    my $client  = $bridge->connect;
    my $closes  = $expected =~ /(?:$refusal|close)\z/;
    my $answers = () = $expected =~ /\d+/g;
    my @seen;

    $bytes .= $prize if $closes;
    $client->send($_) for @$pieces ? (@$pieces, $prize x $closes) : $bytes;
    for (1 .. $answers)
    {
        my $answer = eval { $client->response };
        push @seen, $answer ? $answer->{status} : $@ || 'no answer';
        last unless $answer;
        push @seen, 'without saying so' if $answer->{status} =~ $refusal && $answer->{headers}{connection} ne 'close';
    }
    if ($closes)
    {
        push @seen, $client->is_closed && $client->{input} eq '' ? 'closed' : "not closed: $client->{input}";
    }
    else
    {
        push @seen, 'goes on:', good_request($client);
    }
    return join ' ', @seen, 'others:', good_request($witness);
}

sub expected_outcome
{
    my ($expected) = @_;
    my $end = $expected =~ s/ close\z// || $expected =~ /$refusal\z/ ? 'closed' : "goes on: $stored";
    return "$expected $end others: $stored";
}

# Cuts bytes into pieces of 1 to 9, the same each time.
sub cut
{
    my ($bytes) = @_;
    my ($at, $size) = (0, 0);
    my @pieces;
    while ($at < length $bytes)
    {
        $size = ($size * 5 + 3) % 9;
        push @pieces, substr $bytes, $at, $size + 1;
        $at += $size + 1;
    }
    return \@pieces;
}

my $count = 0;
while (my ($group, $rows) = splice @rows, 0, 2)
{
    for my $row (@$rows)
    {
        my ($name, $bytes, $expected) = @$row;
        $count++;
        is(outcome($row, []), expected_outcome($expected), "$group: $name");
        is(outcome($row, cut($bytes)), expected_outcome($expected), "$group: $name, in pieces") if length $bytes < 2000;
    }
}
cmp_ok($count, '>=', 150, "there are many rows: $count");

# --- A client that goes away at any byte of a good request ------------------------------

{
    my $request = signed('{"prize":1}');
    my $chunks  = chunked("5\r\n{\"pri\r\n6;x=y\r\nze\":1}\r\n0\r\nT: u\r\n\r\n", '{"prize":1}');
    for my $bytes ($request, $chunks)
    {
        my $what = $bytes eq $chunks ? 'chunked' : 'whole';
        my (@answered, @refused);
        for my $length (0 .. length($bytes) - 1)
        {
            # one says that it sends no more, one is gone
            my ($half, $gone) = ($bridge->connect, $bridge->connect);
            $_->send(substr $bytes, 0, $length) for $half, $gone;
            $half->finish_sending;
            setsockopt $gone->socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $length % 2;
            $gone->close;
            push @answered, $length unless $half->is_closed && $half->{input} eq '';
            push @refused, $length if good_request($witness) ne $stored;
        }
        is("@answered", '', "a request that breaks off, $what: at no byte it is answered");
        is("@refused",  '', "a request that breaks off, $what: others are served");
    }
}

# --- What is there in the end -------------------------------------------------------------

my $events = 'webhook_bridge.events';
is($bridge->count("$events WHERE payload->>'prize' IS NOT NULL"), 0, 'nothing was smuggled in');
is( $bridge->sql("SELECT count(*), count(DISTINCT payload->>'good'), max((payload->>'good')::int)"
          . " FROM $events WHERE payload->>'good' IS NOT NULL"),
    "$good|$good|$good",
    "each of $good good requests is stored, once");
is($bridge->workers('receiver'), 1, 'there is one receiver');
is($bridge->status->{stored}, $bridge->count($events), 'the same that answered all the time');

# --- A byte a second --------------------------------------------------------------------------

# At this rate no request would be complete within minutes; the deadline counts
# from the first byte, whatever arrives.
$bridge->node->append_conf('postgresql.conf', "webhook_bridge.request_timeout = '5s'\n");
$bridge->node->restart;
$bridge->wait_until_listening;
{
    my $body = '{"prize":"' . ('x' x 200) . '"}';
    my $slow = http_request('POST', '/hooks/shop', ecomanager_headers($secret, $body), $body);
    my $head = index($slow, "\r\n\r\n") + 4;
    my @clients;
    for my $row (
        # what, sent at once, sent a byte at a time, answers before the last
        [ 'a head',                        '',                       $slow ],
        [ 'the middle of a head',          substr($slow, 0, 30),     substr($slow, 30) ],
        [ 'headers, one a second',         "POST /hooks/shop HTTP/1.1\r\nHost: a\r\n", [ ("A: b\r\n") x 95 ] ],
        [ 'empty lines first',             "\r\n",                   "\r\n$slow" ],
        [ 'a body',                        substr($slow, 0, $head),  substr($slow, $head) ],
        [ 'the end of a body',             substr($slow, 0, -60),    substr($slow, -60) ],
        [ 'a chunk',                       chunked("c8\r\n"),        'x' x 200 ],
        [ 'chunks of one byte',            chunked(''),              [ ("1\r\nx\r\n") x 200 ] ],
        [ 'a chunk extension',             chunked('1;'),            'x' x 200 ],
        [ 'a trailer',                     chunked("3\r\nabc\r\n0\r\n"), 'X-Trailer: ' . ('x' x 200) ],
        [ 'a body that was asked for',     http_request('POST', '/hooks/shop', [ Expect => '100-continue', 'Content-Length' => 200 ]), 'x' x 200, 1 ],
        [ 'the second request',            signed('{}'),             $slow, 1 ],
        [ 'behind pipelined ones',         signed('{}') x 3,         $slow, 3 ])
    {
        my ($what, $first, $rest, $others) = @$row;
        my $begun  = time;
        my $client = $bridge->connect;
        $client->send($first);
        push @clients,
          {
            what   => $what,
            client => $client,
            begun  => $begun,
            rest   => ref $rest ? $rest : [ split //, $rest ],
            others => $others // 0
          };
    }

    my $start   = time;
    my $seconds = 0;
    $_->{client}->responses($_->{others}) for @clients;
    my @left = @clients;
    while (@left && $seconds < $WebhookBridge::DEADLINE)
    {
        # a second goes by, unless there is an answer
        $_->{client}->send(shift @{ $_->{rest} } // '') for @left;
        my $next = $start + ++$seconds;
        my %waits = map { fileno($_->{client}->socket) => $_ } @left;
        while (@left && (my $pause = $next - time) > 0)
        {
            for my $socket (IO::Select->new(map { $_->{client}->socket } @left)->can_read($pause))
            {
                my $case = $waits{ fileno $socket };
                $case->{answered_s} = time - $case->{begun};
                @left = grep { $_ != $case } @left;
            }
        }
        is(good_request($bridge->connect), $stored, "a byte a second: others are served after $seconds s");
    }
    for my $case (@clients)
    {
        my $name = "a byte a second: $case->{what}";
        ok(defined $case->{answered_s}, "$name: has an end, although bytes go on arriving");
        cmp_ok($case->{answered_s} // 0, '>=', 4,  "$name: it has its time");
        cmp_ok(scalar @{ $case->{rest} }, '>', 20, "$name: but not until it is complete");
        answer_is($case->{client}->response, 408, 'request took too long', "$name: 408");
        ok($case->{client}->is_closed && $case->{client}->{input} eq '', "$name: closed");
    }
}
is($bridge->count("$events WHERE payload->>'prize' IS NOT NULL"), 0, 'nothing slow was stored');
is($bridge->count("$events WHERE payload->>'good' IS NOT NULL"), $good, 'all that was good');

my $log = $bridge->log_text;
unlike($log, qr/ (?:WARNING|ERROR|FATAL|PANIC): (?!.*terminating)/, 'nobody has filled the log');
unlike($log, qr/terminated by signal/, 'nothing has crashed');

$bridge->stop;
done_testing;
