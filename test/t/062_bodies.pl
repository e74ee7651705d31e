# Bodies of every kind: each is stored whole, in "payload" if it is JSON that jsonb
# takes too and in "raw_body" if not, and none is an error.  001_receive.pl shows
# the main kinds; here are the others, their bounds, the ways they can arrive, and
# very many that were made by chance.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Encode qw(encode);
use Test::More;

use WebhookBridge;

my $bridge = WebhookBridge->start('main', conf => "webhook_bridge.max_body_size = '4MB'");
my $secret = 'shared secret';
my $events = 'webhook_bridge.events';

# Everything is looked for in the body, so that nothing is stored unread.
my $setup = <<"SQL";
INSERT INTO webhook_bridge.providers
    (name, title, algorithm, encoding, signature_from, signed_content, topic_from, external_id_from, source_from, occurred_at_from)
VALUES ('reader', 'Reads all', 'hmac-sha256', 'hex', 'header:X-Signature', '{body}',
        '{json:type}', '{json:data.0.id}', '{json:a.b.c.d}', '{json:created}');
SELECT webhook_bridge.create_endpoint('bodies', 'reader', '$secret', dedup => 'none');

-- what PostgreSQL itself says of a text
CREATE FUNCTION jsonb_takes(body bytea) RETURNS boolean LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM convert_from(body, 'UTF8')::jsonb;
    RETURN true;
EXCEPTION WHEN others THEN
    RETURN false;
END \$\$;
SQL
$bridge->sql($setup);

sub signed
{
    my ($body, @headers) = @_;
    return http_request('POST', '/hooks/bodies', [ 'X-Signature' => hmac_sha256_hex($body, $secret), @headers ], $body);
}

# The same in chunks of some size.
sub chunked
{
    my ($body, $size, @headers) = @_;
    my $head   = http_request('POST', '/hooks/bodies',
        [ 'X-Signature' => hmac_sha256_hex($body, $secret), 'Transfer-Encoding' => 'chunked', @headers ]);
    return $head . join('', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack "(a$size)*", $body) . "0\r\n\r\n";
}

# --- One by one ---------------------------------------------------------------------

sub nested
{
    my ($levels, $open, $inner, $close) = @_;
    return $open x $levels . $inner . $close x $levels;
}

# gzip -9 of 10 MB of spaces would be 10 kB; one of a hundred bytes shows as much.
my $gzip = pack 'H*', '1f8b0800000000000003ab564acc49cecf4bb552aa05000c6f3a5c0d000000';

my @bodies = (
    # what, bytes, whether jsonb takes it
    [ '100,000 arrays',                nested(100_000, '[', '', ']'),                          0 ],
    [ '100,000 arrays without end',    '[' x 100_000,                                          0 ],
    [ '100,000 objects',               nested(100_000, '{"a":', '1', '}'),                     0 ],
    [ '100,000 levels behind a member', '{"type":"deep","a":' . nested(100_000, '[', '', ']') . '}', 0 ],
    [ '512 levels',                    nested(512, '[', '', ']'),                              1 ],
    [ '513 levels',                    nested(513, '[', '', ']'),                              0 ],
    [ '512 levels of both kinds',      nested(256, '{"a":[', '1', ']}'),                       1 ],
    [ '100,000 closing brackets',      ']' x 100_000,                                          0 ],
    [ 'a number of 1000 digits',       '1' x 1000,                                             1 ],
    [ 'a number of a million digits',  '{"type":"number","n":' . ('7' x 1_000_000) . '}',      0 ],
    [ 'a million decimals',            '0.' . ('7' x 1_000_000),                               0 ],
    [ 'an exponent of 1000',           '{"n":1e1000}',                                         1 ],
    [ 'an exponent of 1001',           '{"n":1e1001}',                                         0 ],
    [ 'an exponent of -1000',          '{"n":1E-1000}',                                        1 ],
    [ 'an exponent beyond all',        '{"n":-1e+99999999999999999999}',                       0 ],
    [ 'an exponent of many zeros',     '{"n":1e' . ('0' x 100) . '}',                          1 ],
    [ 'minus zero',                    '[-0, -0.0, 0e0]',                                      1 ],
    [ 'leading zeros',                 '[007]',                                                0 ],
    [ 'a plus',                        '[+1]',                                                 0 ],
    [ 'no digit before the point',     '[.5]',                                                 0 ],
    [ 'NaN',                           '{"n":NaN}',                                            0 ],
    [ 'Infinity',                      '{"n":-Infinity}',                                      0 ],
    [ 'a hexadecimal number',          '{"n":0x10}',                                           0 ],
    [ 'a zero escape behind others',   '{"a":"\\u0001\\u0000"}',                               0 ],
    [ 'a zero escape that is none',    '{"a":"\\\\u0000"}',                                    1 ],
    [ 'a high surrogate at the end',   '{"a":"\\ud83d"}',                                      0 ],
    [ 'two high surrogates',           '{"a":"\\ud83d\\ud83d\\ude00"}',                        0 ],
    [ 'a high one and a letter',       '{"a":"\\ud83dA"}',                                     0 ],
    [ 'a high one and an escape',      '{"a":"\\ud83d\\n"}',                                   0 ],
    [ 'a lone low one in a key',       '{"\\udfff":1}',                                        0 ],
    [ 'the last of all characters',    '{"a":"\\udbff\\udfff\\uffff"}',                        1 ],
    [ 'half an escape',                '{"a":"\\u12"}',                                        0 ],
    [ 'an unknown escape',             '{"a":"\\x41"}',                                        0 ],
    [ 'a line end in a string',        "{\"a\":\"b\nc\"}",                                     0 ],
    [ 'DEL in a string',               "{\"a\":\"\x7F\"}",                                     1 ],
    [ 'Latin-1',                       "{\"a\":\"caf\xE9\"}",                                  0 ],
    [ 'half a character at the end',   "{\"a\":\"\xE2\x82",                                    0 ],
    [ 'half a character in a string',  "{\"a\":\"\xE2\x82\"}",                                 0 ],
    [ 'surrogates as UTF-8',           "{\"a\":\"\xED\xA0\xBD\xED\xB8\x80\"}",                 0 ],
    [ 'beyond Unicode',                "{\"a\":\"\xF4\x90\x80\x80\"}",                         0 ],
    [ 'UTF-16',                        encode('UTF-16', '{"a":1}'),                            0 ],
    [ 'UTF-32',                        encode('UTF-32LE', '{"a":1}'),                          0 ],
    [ 'zero bytes behind it',          "{\"a\":1}\0\0",                                        0 ],
    [ 'a zero byte',                   "\0",                                                   0 ],
    [ 'a million zero bytes',          "\0" x 1_000_000,                                       0 ],
    [ 'white space',                   " \r\n\t",                                              0 ],
    [ 'a comment',                     '{"a":1} // b',                                         0 ],
    [ 'a comma behind the last',       '[1,]',                                                 0 ],
    [ 'apostrophes',                   "{'a':1}",                                              0 ],
    [ 'lines of JSON',                 "{\"a\":1}\n{\"a\":2}\n",                               0 ],
    [ 'a string',                      '"\\u00e9"',                                            1 ],
    [ 'an empty key',                  '{"":{"":""}}',                                         1 ],
    [ 'the same key many times',       '{' . join(',', ('"a":1') x 1000) . '}',                1 ],
    [ 'a key of 100 kB',               '{"' . ('k' x 100_000) . '":1}',                        1 ],
    [ '200,000 elements',              '[' . join(',', (0) x 200_000) . ']',                   1 ],
    [ '50,000 escapes',                '["' . ('\\u00e9' x 50_000) . '"]',                     1 ],
    [ 'types that are none',           '{"type":{},"data":[{"id":[]}],"a":{"b":{"c":null}},"created":"soon"}', 1 ],
    [ 'types that are too long',       '{"type":"' . ('t' x 100_000) . '","data":[{"id":' . ('1' x 1000) . '}]}', 1 ],
    [ 'a form',                        'a=1&b=%00&c=%zz&=&&%',                                 0 ],
    [ 'a form of one word',            'payload=%7B%22a%22%3A1%7D',                            0 ],
    [ 'a number that is a form',       '12',                                                   1 ],
    [ 'XML',                           "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>", 0 ],
    [ 'multipart',                     "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\0b\"\r\n\r\n\xFF\xD8\r\n--x--\r\n", 0 ],
    [ 'gzip',                          $gzip,                                                  0, 'Content-Encoding' => 'gzip' ],
    [ 'gzip, not said so',             $gzip,                                                  0 ],
    [ 'said to be gzip',               '{"type":"plain"}',                                     1, 'Content-Encoding' => 'gzip' ],
    [ 'said to be many things',        '{"type":"plain"}',                                     1, 'Content-Encoding' => 'gzip, br, zstd, deflate' ],
    [ 'a gzip bomb',                   $gzip x 1000,                                           0, 'Content-Encoding' => 'gzip' ],
    [ 'said to be XML',                '{"type":"json"}',                                      1, 'Content-Type' => 'text/xml; charset=utf-16' ],
    [ 'said to be JSON',               "\xFF\xFE",                                             0, 'Content-Type' => 'application/json' ],
    [ 'a program',                     "\x7FELF\2\1\1\0" . join('', map { chr($_ * 31 % 256) } 1 .. 5000), 0 ],
    [ 'a request',                     "POST / HTTP/1.1\r\nHost: a\r\n\r\n",                   0 ],
    [ 'chunks',                        "3\r\nabc\r\n0\r\n\r\n",                                0 ],
    [ 'SQL',                           "'; DROP TABLE webhook_bridge.events; --",              0 ],
    [ 'a COPY',                        "\\.\n\\N\t\\x00\n",                                    0 ],
    [ '4 MB',                          '"' . ('x' x (4 * 1024 * 1024 - 2)) . '"',              1 ]);

my $connection = $bridge->connect;
for my $row (@bodies)
{
    my ($what, $body, undef, @headers) = @$row;
    for my $way ('', ', in chunks')
    {
        $connection->send($way ? chunked($body, 4000, @headers) : signed($body, @headers));
        answer_is($connection->response, 200, 'stored', "$what$way: is stored");
    }
}

# The rows are too large to be fetched; digests say as much.
sub stored_rows
{
    my ($condition) = @_;
    return map { [ split /\|/, $_, -1 ] } split /\n/, $bridge->sql(
            "SELECT encode(sha256(webhook_bridge.event_body(e)), 'hex'), length(webhook_bridge.event_body(e)),"
          . ' payload IS NOT NULL, raw_body IS NOT NULL, coalesce(headers->>\'Content-Encoding\', \'\')'
          . " FROM $events e WHERE $condition ORDER BY id");
}
{
    my @rows = stored_rows('true');
    is(@rows, 2 * @bodies, 'all are there');
    for my $row (@bodies)
    {
        my ($what, $body, $is_json, %headers) = @$row;
        my $expected = [ sha256_hex($body), length $body, $is_json ? ('t', 'f') : ('f', 't'), $headers{'Content-Encoding'} // '' ];
        is_deeply(shift @rows, $expected, "$what: byte for byte, " . ($is_json ? 'a payload' : 'raw'));
        is_deeply(shift @rows, $expected, "$what, in chunks: the same");
    }
}
is($bridge->sql("SELECT count(*) = count(payload::jsonb) FROM $events WHERE payload IS NOT NULL"),
    't', 'every payload can be cast to jsonb');
is($bridge->sql("SELECT string_agg(DISTINCT topic, ' ' ORDER BY topic) FROM $events"), 'json number plain', 'what can be read is read');

# --- Many ------------------------------------------------------------------------------

# Texts near JSON, by a generator that makes the same ones each time: whatever it
# writes, PostgreSQL's judgement and ours must be the same.  Only exponents beyond
# 1000 are left to neither: jsonb takes some of them, we take none.
my $state = 1;

sub chance
{
    my ($below) = @_;
    $state = ($state * 1103515245 + 12345) % 2147483648;
    return ($state >> 8) % $below;
}

sub one_of { return $_[ chance(scalar @_) ] }

sub some_value
{
    my ($depth) = @_;
    my $kind = chance($depth > 4 ? 5 : 7);
    my $blank = one_of('', '', '', ' ', "\n", "\t\r");

    return $blank . one_of('0', '-1', '1.5e10', '12345678901234567890', '1E-7', '0.10') if $kind == 0;
    return $blank . one_of('true', 'false', 'null') if $kind == 1;
    return $blank . '"' . join('', map { one_of('a', ' ', '\\n', '\\u00e9', '\\ud83d\\ude00', "\xC3\xA9", "\xF0\x9F\x98\x80", '\\"', '\\\\', '/') } 1 .. chance(8)) . '"' if $kind < 5;
    return $blank . '[' . join(',', map { some_value($depth + 1) } 1 .. chance(4)) . $blank . ']' if $kind == 5;
    return $blank . '{' . join(',', map { one_of('"type"', '"a"', '"data"', '"b"', '"\\u0063"') . "$blank:" . some_value($depth + 1) } 1 .. chance(4)) . '}';
}

sub some_body
{
    my $body = some_value(0);
    for (1 .. chance(3))
    {
        my $at = chance(1 + length $body);
        substr $body, $at, chance(3), one_of('', '"', '\\', '{', '}', '[', ']', ',', ':', '-', '.', 'e', '0', 'u', "\0", "\xFF", "\x80",
            "\xC3", '\\u0000', '\\ud800', '\\udc00', "\xED\xA0\x80", ' ', "\x1F", 'nul', '1e999999', "\xEF\xBB\xBF");
    }
    return $body;
}

my $last  = $bridge->sql("SELECT max(id) FROM $events");
my @many  = map { some_body() } 1 .. 4000;
my $taken = 0;
for (my $i = 0; $i < @many; $i += 200)
{
    my @part = @many[ $i .. $i + 199 ];
    $connection->send(join '', map { signed($_) } @part);
    $taken += grep { $_->{body} eq '{"status":"stored"}' } $connection->responses(scalar @part);
}
is($taken, @many, 'by chance: each of ' . @many . ' is stored');
{
    my @rows = stored_rows("id > $last");
    is(join(' ', map { $_->[0] } @rows), join(' ', map { sha256_hex($_) } @many), 'by chance: byte for byte');
    is( $bridge->sql("SELECT count(*) = count(payload::jsonb) FROM $events WHERE id > $last AND payload IS NOT NULL"),
        't', 'by chance: every payload can be cast to jsonb');
    is( $bridge->count("$events e WHERE id > $last AND (payload IS NOT NULL) <> jsonb_takes(webhook_bridge.event_body(e))"
          . q( AND encode(webhook_bridge.event_body(e), 'escape') !~ '[eE][-+]?[0-9]{4}')),
        0, 'by chance: a payload is what jsonb takes, and nothing else');
    my $payloads = grep { $_->[2] eq 't' } @rows;
    cmp_ok($payloads,         '>', 500, "by chance: many of them are JSON: $payloads");
    cmp_ok(@rows - $payloads, '>', 500, 'by chance: and many are not');
}
is($bridge->status->{unavailable}, 0, 'no delivery was put off');
unlike(scalar $bridge->log_text, qr/ (?:WARNING|ERROR|FATAL|PANIC): /, 'nothing was an error');
$bridge->stop;

# --- In a database of another encoding --------------------------------------------------

# Only ASCII is JSON there, so that no operator meets what cannot be converted.
for my $encoding ('LATIN1', 'SQL_ASCII')
{
    my $other = WebhookBridge->start("in_$encoding", init => [ extra => [ "--encoding=$encoding", '--no-locale' ] ]);
    my @rows  = (
        # what, bytes, whether it is a payload
        [ 'ASCII',                    '{"type":"a"}',                      1 ],
        [ 'an escape beyond ASCII',   '{"type":"caf\\u00e9"}',             0 ],
        [ 'an escape beyond Latin-1', '{"type":"\\u20ac"}',                0 ],
        [ 'UTF-8',                    "{\"type\":\"caf\xC3\xA9\"}",        0 ],
        [ 'Latin-1',                  "{\"type\":\"caf\xE9\"}",            0 ],
        [ 'an emoji',                 "{\"type\":\"\xF0\x9F\x98\x80\"}",   0 ],
        [ 'all bytes',                join('', map { chr } 0 .. 255),      0 ]);

    $other->sql($setup =~ s/^-- what.*//smr);
    for my $row (@rows)
    {
        my ($what, $body) = @$row;
        my $client = $other->connect;
        $client->send(signed($body));
        answer_is($client->response, 200, 'stored', "$encoding: $what is stored");
    }
    my @expected = map { join '|', unpack('H*', $_->[1]), $_->[2] ? 't' : 'f' } @rows;
    is( $other->sql("SELECT encode(webhook_bridge.event_body(e), 'hex'), payload IS NOT NULL FROM $events e ORDER BY id"),
        join("\n", @expected), "$encoding: byte for byte");
    is($other->sql("SELECT count(payload::jsonb) FROM $events"), 1, "$encoding: a payload can be cast to jsonb");
    is($other->sql("SELECT string_agg(topic, ' ') FROM $events"), 'a', "$encoding: what can be text is read");
    $other->stop;
}

done_testing;
