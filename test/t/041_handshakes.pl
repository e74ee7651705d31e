# How providers check an endpoint: each handshake gets the answer that the
# provider wants, byte for byte, and leaves nothing behind; nobody else gets
# anything of it back.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use File::Temp;
use IPC::Run;
use JSON::PP;
use MIME::Base64;
use Test::More;

use WebhookBridge;

my $bridge     = WebhookBridge->start('main');
my $connection = $bridge->connect;
my $secret     = 'shared by all';

# Discord's key pair, which is OpenSSL's work alone.
my $key = File::Temp->new;

sub openssl
{
    my (@arguments) = @_;
    my ($out, $err);
    IPC::Run::run([ 'openssl', @arguments ], '<', '/dev/null', '>', \$out, '2>', \$err) or die "openssl @arguments: $err\n";
    return $out;
}

openssl(qw(genpkey -algorithm ed25519 -out), $key->filename);
my $public_key = unpack 'H*', substr openssl(qw(pkey -pubout -outform DER -in), $key->filename), -32;

$bridge->sql(<<"SQL");
INSERT INTO webhook_bridge.providers
    (name, title, signature_from, topic_from, handshake_if, handshake_equals, handshake_reply, handshake_type)
VALUES
    ('own', 'Own', 'header:X-Own-Signature', '{header:X-Own-Kind}',
     '{method} {header:X-Own-Kind}', 'POST check',
     '{{"echo":"{query:nonce}","by":"{param:by}","mac":"{hmac:query:nonce}"}}', 'application/json');
INSERT INTO webhook_bridge.providers
    (name, title, signature_from, handshake_if, handshake_equals, handshake_reply, handshake_signed)
VALUES
    ('head', 'HEAD', 'header:X-Head-Signature', '{method}', 'HEAD', '{header:X-Head-Check}', false);
SELECT webhook_bridge.create_endpoint(n, n, '$secret')
FROM unnest(ARRAY['ecomanager', 'dropbox', 'microsoft_graph', 'slack', 'zoom', 'xero', 'notion', 'head']) n;
SELECT webhook_bridge.create_endpoint('meta', 'meta', '$secret', params => '{"verify_token": "my token & more"}');
SELECT webhook_bridge.create_endpoint('tokenless', 'meta', '$secret');
SELECT webhook_bridge.create_endpoint('own', 'own', '$secret', params => '{"by": "\\"us\\" \\\\ é"}');
SELECT webhook_bridge.create_endpoint('discord', 'discord', '$public_key');
SQL

# ---------------------------------------------------------------------------
# Requests: lists of method, target, headers, body
# ---------------------------------------------------------------------------

# What is signed as by Slack and Zoom, with headers of their names.
sub v0
{
    my ($prefix, $body, %options) = @_;
    my $ts = time - ($options{age} // 0);
    return [
        "$prefix-Request-Timestamp" => $ts,
        "$prefix-Signature"         => 'v0=' . hmac_sha256_hex("v0:$ts:$body", $options{key} // $secret)
    ];
}

sub slack
{
    my ($body, %options) = @_;
    return ('POST', '/hooks/slack', v0('X-Slack', $body, %options), $body);
}

sub slack_challenge
{
    my ($challenge, %options) = @_;
    return slack(qq({"token":"t","challenge":"$challenge","type":"url_verification"}), %options);
}

sub zoom
{
    my ($body, %options) = @_;
    return ('POST', '/hooks/zoom', v0('x-zm', $body, %options), $body);
}

sub zoom_challenge
{
    my ($token, %options) = @_;
    return zoom(qq({"payload":{"plainToken":"$token"},"event_ts":1654503849680,"event":"endpoint.url_validation"}), %options);
}

# What Zoom wants, for a token of letters and digits.
sub zoom_reply
{
    my ($token, $with) = @_;
    return sprintf '{"plainToken":"%s","encryptedToken":"%s"}', $token, hmac_sha256_hex($token, $with // $secret);
}

sub discord
{
    my ($body, %options) = @_;
    my $ts   = time - ($options{age} // 0);
    my $file = File::Temp->new;
    print $file $ts . ($options{signed} // $body);
    $file->flush;
    return (
        'POST',
        '/hooks/discord',
        [
            'X-Signature-Timestamp' => $ts,
            'X-Signature-Ed25519'   => unpack 'H*', openssl(qw(pkeyutl -sign -rawin -inkey), $key->filename, '-in', $file->filename)
        ],
        $body);
}

sub own
{
    my ($nonce, $kind, %options) = @_;
    my $body = $options{body} // '{}';
    return (
        'POST', "/hooks/own?nonce=$nonce",
        [ 'X-Own-Kind' => $kind, 'X-Own-Signature' => hmac_sha256_hex($body, $options{key} // $secret) ], $body);
}

sub xero
{
    my ($body, $with) = @_;
    return ('POST', '/hooks/xero', [ 'x-xero-signature' => encode_base64(hmac_sha256($body, $with), '') ], $body);
}

sub meta
{
    my ($query, $endpoint) = @_;
    return ('GET', '/hooks/' . ($endpoint // 'meta') . "?$query");
}

# Without its signature.
sub unsigned
{
    my ($method, $target, $headers, $body) = @_;
    my %headers = @$headers;
    delete @headers{ grep { /signature(?!-timestamp)/i } keys %headers };
    return ($method, $target, [%headers], $body);
}

# ---------------------------------------------------------------------------
# Tests
# ---------------------------------------------------------------------------

# What all requests so far have been counted as and have left in tables.
sub counts
{
    my @counters = qw(stored duplicates probes unauthorized not_found bad_method too_large malformed unavailable);
    my $counters = join ', ', map { "sum($_) AS $_" } @counters;
    return decode_json($bridge->sql(<<"SQL"));
SELECT row_to_json(c) FROM (
    SELECT $counters, (SELECT count(*) FROM webhook_bridge.events) AS events,
           (SELECT count(*) FROM webhook_bridge.rejections) AS rejections
    FROM webhook_bridge.status()) c
SQL
}

my $before = counts();

# Sends a request and returns its answer, and what it changed: "probes 1".
sub effect
{
    my @request = @_;
    my $answer  = $connection->request(@request);
    my $after   = counts();
    my $changes = join ', ', map { "$_ " . ($after->{$_} - $before->{$_}) } grep { $after->{$_} != $before->{$_} } sort keys %$after;
    $before = $after;
    return ($answer, $changes);
}

sub handshake_is
{
    my ($what, $type, $body, @request) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($answer, $changes) = effect(@request);
    my %headers = %{ $answer->{headers} };
    is("$answer->{status} $answer->{body}", "200 $body", "$what: the answer");
    is_deeply(
        [ @headers{qw(content-type x-content-type-options content-length)} ],
        [ $type eq 'json' ? 'application/json' : 'text/plain; charset=utf-8', 'nosniff', length $body ],
        "$what: its headers");
    is(join(' ', sort keys %headers), 'content-length content-type date x-content-type-options', "$what: no others");
    return is($changes, 'probes 1', "$what: counted as probe, nothing stored");
}

# Something else than a handshake, which is answered with nothing of its own.
sub other_is
{
    my ($what, $status, $text, $expected, @request) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($answer, $changes) = effect(@request);
    answer_is($answer, $status, $text, "$what: the answer");
    is("$answer->{headers}{'content-type'} " . ($answer->{headers}{'x-content-type-options'} // '-'),
        'application/json -', "$what: its headers");
    return is($changes, $expected, "$what: counted and stored");
}

sub ready_is
{
    my ($what, @request) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return other_is($what, 200, 'ready', 'probes 1', @request);
}

sub stored_is
{
    my ($what, @request) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return other_is($what, 200, 'stored', 'events 1, stored 1', @request);
}

sub refused_is
{
    my ($what, $reason, @request) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    other_is($what, 401, 'delivery is not authentic', 'rejections 1, unauthorized 1', @request);
    return is($bridge->sql('SELECT reason FROM webhook_bridge.rejections ORDER BY id DESC LIMIT 1'), $reason, "$what: the reason");
}

# Percent-encodes every byte.
sub encoded
{
    my ($bytes) = @_;
    return join '', map { sprintf '%%%02X', ord } split //, $bytes;
}

my $all_bytes = join '', map { chr } 0 .. 255;
my $long      = 'x' x 4096;

# --- Ecomanager: a GET must succeed --------------------------------------------------

ready_is('ecomanager', 'GET', '/hooks/ecomanager');
stored_is('ecomanager, delivery', 'POST', '/hooks/ecomanager', ecomanager_headers($secret, '{}'), '{}');
ready_is('ecomanager, GET without topic',
    'GET', '/hooks/ecomanager', [ 'X-Ecomanager-Signature' => hmac_sha256_hex('', $secret) ]);
stored_is('ecomanager, GET that is a delivery', 'GET', '/hooks/ecomanager', ecomanager_headers($secret, ''));
refused_is('ecomanager, GET that is a forged one',
    'signature does not match', 'GET', '/hooks/ecomanager', ecomanager_headers('wrong', ''));

# --- Dropbox: a GET with a challenge ----------------------------------------------------

handshake_is('dropbox', 'text', 'abc-123', 'GET', '/hooks/dropbox?challenge=abc-123');
handshake_is('dropbox, beside other parameters', 'text', 'abc', 'GET', '/hooks/dropbox?a=1&challenge=abc&&b');
handshake_is('dropbox, space and plus', 'text', 'a b+c d', 'GET', '/hooks/dropbox?challenge=a+b%2Bc%20d');
handshake_is('dropbox, what a browser would run', 'text', '<script>alert("1")</script>&',
    'GET', '/hooks/dropbox?challenge=' . encoded('<script>alert("1")</script>&'));
handshake_is('dropbox, what looks like another answer', 'text', "x\r\nSet-Cookie: a=b\r\n\r\nHTTP/1.1 500 No\r\n\r\n",
    'GET', '/hooks/dropbox?challenge=' . encoded("x\r\nSet-Cookie: a=b\r\n\r\nHTTP/1.1 500 No\r\n\r\n"));
handshake_is('dropbox, every byte', 'text', $all_bytes, 'GET', '/hooks/dropbox?challenge=' . encoded($all_bytes));
handshake_is('dropbox, a zero byte, and nothing of other memory behind it', 'text', "\0" . 'x' x 4095,
    'GET', '/hooks/dropbox?challenge=%00' . 'x' x 4095);
handshake_is('dropbox, what looks like a template', 'text', '{method}{secret}', 'GET', '/hooks/dropbox?challenge=%7Bmethod%7D%7Bsecret%7D');
handshake_is('dropbox, empty', 'text', '', 'GET', '/hooks/dropbox?challenge=');
handshake_is('dropbox, name encoded', 'text', 'abc', 'GET', '/hooks/dropbox?%63hallenge=abc');
handshake_is('dropbox, longest', 'text', $long, 'GET', "/hooks/dropbox?challenge=$long");
handshake_is('dropbox, longest when decoded', 'text', 'y' x 2600, 'GET', '/hooks/dropbox?challenge=' . encoded('y' x 2600));
ready_is('dropbox, too long', 'GET', "/hooks/dropbox?challenge=${long}x");
ready_is('dropbox, broken escape', 'GET', '/hooks/dropbox?challenge=abc%2');
ready_is('dropbox, no challenge', 'GET', '/hooks/dropbox?Challenge=abc');
ready_is('dropbox, two challenges', 'GET', '/hooks/dropbox?challenge=abc&challenge=abd');
handshake_is('dropbox, the same twice', 'text', 'abc', 'GET', '/hooks/dropbox?challenge=abc&challenge=%61bc');
{
    my ($answer, $changes) = effect('HEAD', '/hooks/dropbox?challenge=abc');
    is("$answer->{status} $answer->{headers}{'content-type'} $changes", '200 application/json probes 1', 'dropbox, HEAD');
}
other_is('dropbox, PUT', 405, 'method not allowed', 'bad_method 1, rejections 1', 'PUT', '/hooks/dropbox?challenge=abc', [], '');
refused_is('dropbox, POST', 'signature missing', 'POST', '/hooks/dropbox?challenge=abc', [], '{}');
stored_is('dropbox, delivery', 'POST', '/hooks/dropbox?challenge=abc', [ 'X-Dropbox-Signature' => hmac_sha256_hex('{}', $secret) ], '{}');

# --- Meta: a GET with a token of one's own -------------------------------------------------

my $subscribe = 'hub.mode=subscribe&hub.challenge=1158201444';
handshake_is('meta', 'text', '1158201444', meta("$subscribe&hub.verify_token=my+token+%26+more"));
handshake_is('meta, in another order', 'text', '1158201444', meta("hub.verify_token=my%20token%20%26%20more&$subscribe"));
handshake_is('meta, special characters', 'text', qq("<é>\n), meta('hub.mode=subscribe&hub.verify_token=my+token+%26+more&hub.challenge=' . encoded(qq("<é>\n))));
ready_is('meta, wrong token', meta("$subscribe&hub.verify_token=my+token"));
ready_is('meta, longer token', meta("$subscribe&hub.verify_token=my+token+%26+more+"));
ready_is('meta, another case', meta("$subscribe&hub.verify_token=My+token+%26+more"));
ready_is('meta, empty token', meta("$subscribe&hub.verify_token="));
ready_is('meta, no token', meta($subscribe));
ready_is('meta, right and wrong token', meta("$subscribe&hub.verify_token=my+token+%26+more&hub.verify_token=x"));
ready_is('meta, the placeholder', meta("$subscribe&hub.verify_token=%7Bparam:verify_token%7D"));
ready_is('meta, NUL behind the token', meta("$subscribe&hub.verify_token=my+token+%26+more%00"));
ready_is('meta, a token longer than anything', meta("$subscribe&hub.verify_token=my+token+%26+more" . 'x' x 2000));
ready_is('meta, token in the mode', meta('hub.mode=subscribe+my+token+%26+more&hub.challenge=1158201444&hub.verify_token='));
ready_is('meta, another mode', meta('hub.mode=unsubscribe&hub.challenge=1158201444&hub.verify_token=my+token+%26+more'));
ready_is('meta, two challenges', meta("$subscribe&hub.challenge=2&hub.verify_token=my+token+%26+more"));
ready_is("meta, endpoint without a token, $_", meta("$subscribe&$_", 'tokenless'))
  for 'hub.verify_token=', 'hub.verify_token=x', 'a=b';
{
    my ($answer, $changes) = effect('HEAD', "/hooks/meta?$subscribe&hub.verify_token=my+token+%26+more");
    is("$answer->{status} $answer->{headers}{'content-type'} $changes", '200 application/json probes 1', 'meta, HEAD');
}
refused_is('meta, POST', 'signature missing', 'POST', "/hooks/meta?$subscribe&hub.verify_token=my+token+%26+more", [], '{}');
stored_is('meta, delivery', 'POST', '/hooks/meta', [ 'X-Hub-Signature-256' => 'sha256=' . hmac_sha256_hex('{}', $secret) ], '{}');
$bridge->sql(q(UPDATE webhook_bridge.endpoints SET params = '{"verify_token": "new"}' WHERE name = 'meta'));
ready_is('meta, the token before it was changed', meta("$subscribe&hub.verify_token=my+token+%26+more"));
handshake_is('meta, the token since', 'text', '1158201444', meta("$subscribe&hub.verify_token=new"));

# --- Microsoft Graph: a POST with a token, not signed --------------------------------------------

my $graph = encode_json({ value => [ { clientState => $secret, changeType => 'updated', subscriptionId => 's' } ] });
handshake_is('microsoft_graph', 'text', 'Validation: Testing client application reachability',
    'POST', '/hooks/microsoft_graph?validationToken=Validation%3a+Testing+client+application+reachability', [ 'Content-Type' => 'text/plain' ], '');
handshake_is('microsoft_graph, special characters', 'text', '<a href="x">\'&',
    'POST', '/hooks/microsoft_graph?validationToken=' . encoded('<a href="x">\'&'), [], '');
refused_is('microsoft_graph, too long', 'signature missing', 'POST', "/hooks/microsoft_graph?validationToken=${long}x", [], '');
refused_is('microsoft_graph, two tokens', 'signature missing', 'POST', '/hooks/microsoft_graph?validationToken=a&validationToken=b', [], '');
ready_is('microsoft_graph, GET', 'GET', '/hooks/microsoft_graph?validationToken=a');
stored_is('microsoft_graph, delivery', 'POST', '/hooks/microsoft_graph', [], $graph);
refused_is('microsoft_graph, another clientState', 'signature does not match', 'POST', '/hooks/microsoft_graph', [], $graph =~ s/$secret/x/r);

# --- Slack: signed, in the body --------------------------------------------------------------------

my $event = '{"type":"event_callback","event_id":"Ev%d","event":{"type":"message"}}';
my $slack = '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P';
handshake_is('slack', 'text', $slack, slack_challenge($slack));
handshake_is('slack, special characters', 'text', qq("<é>&\\/\n\x00) . "\xc3\xa9\xf0\x9f\x98\x80", slack_challenge('\\"<' . 'é' . '>&\\\\\\/\\n\\u0000\\u00e9\\ud83d\\ude00'));
handshake_is('slack, longest', 'text', $long, slack_challenge($long));
stored_is('slack, too long', slack_challenge("${long}x"));
stored_is('slack, no challenge', slack('{"type":"url_verification","event_id":"none"}'));
refused_is('slack, wrong signature', 'signature does not match', slack_challenge($slack, key => 'wrong'));
refused_is('slack, no signature', 'signature missing', unsigned(slack_challenge($slack)));
refused_is('slack, stale', 'timestamp outside the window', slack_challenge($slack, age => 400));
refused_is('slack, from the future', 'timestamp outside the window', slack_challenge($slack, age => -400));
{
    my @request = slack_challenge($slack);
    $request[3] =~ s/3eZ/3eY/;
    refused_is('slack, another challenge than was signed', 'signature does not match', @request);
    @request = slack_challenge($slack);
    ready_is('slack, GET', 'GET', $request[1], $request[2], $request[3]);
    my ($answer, $changes) = effect('HEAD', @request[ 1 .. 3 ]);
    is("$answer->{status} $answer->{headers}{'content-type'} $changes", '200 application/json probes 1', 'slack, HEAD');
}
stored_is('slack, delivery', slack(sprintf $event, 1));
$bridge->sql(q(UPDATE webhook_bridge.endpoints SET allow_unverified = true WHERE name = 'slack'));
stored_is('slack, wrong signature where unverified deliveries are allowed', slack_challenge($slack, key => 'wrong'));
handshake_is('slack, right signature there', 'text', $slack, slack_challenge($slack));
$bridge->sql(q(UPDATE webhook_bridge.endpoints SET allow_unverified = false WHERE name = 'slack'));

# --- Zoom: signed, answered with a digest -------------------------------------------------------------

my $zoom = 'qgg8vlvZRS6UYooatFL8Aw';
handshake_is('zoom', 'json', zoom_reply($zoom), zoom_challenge($zoom));
{
    my ($answer, $changes) = effect(zoom_challenge('"\\u00e9\\n\\/\\\\\\ud83d\\ude00<\\"' =~ s/^"/\\"/r));
    my $plain = qq("\x{e9}\n/\\\x{1f600}<");
    my $bytes = $plain;
    utf8::encode($bytes);
    is_deeply(eval { decode_json($answer->{body}) }, { plainToken => $plain, encryptedToken => hmac_sha256_hex($bytes, $secret) },
        'zoom, special characters: the answer is JSON, and right');
    is($changes, 'probes 1', 'zoom, special characters: counted as probe');
}
handshake_is('zoom, longest', 'json', zoom_reply('z' x 1024), zoom_challenge('z' x 1024));
stored_is('zoom, too long', zoom_challenge('z' x 1025));
stored_is('zoom, too long when escaped', zoom_challenge('\\u0001' x 1000));
stored_is('zoom, no token', zoom('{"event":"endpoint.url_validation","payload":{}}'));
refused_is('zoom, wrong signature', 'signature does not match', zoom_challenge($zoom, key => 'wrong'));
refused_is('zoom, no signature', 'signature missing', unsigned(zoom_challenge($zoom)));
refused_is('zoom, stale', 'timestamp outside the window', zoom_challenge($zoom, age => 400));
stored_is('zoom, delivery', zoom('{"event":"meeting.started","event_ts":1654503849680,"payload":{"plainToken":"x"}}'));

$bridge->sql(q(SELECT webhook_bridge.add_secret('zoom', 'second', 'second')));
handshake_is('zoom, signed with the older of two secrets', 'json', zoom_reply($zoom), zoom_challenge($zoom));
handshake_is('zoom, signed with the newer', 'json', zoom_reply($zoom, 'second'), zoom_challenge($zoom, key => 'second'));
$bridge->sql(q(SELECT webhook_bridge.retire_secret('zoom', 'default')));
refused_is('zoom, signed with one that was retired', 'signature does not match', zoom_challenge($zoom));
handshake_is('zoom, signed with the one that is left', 'json', zoom_reply($zoom, 'second'), zoom_challenge($zoom, key => 'second'));
$bridge->sql(qq(SELECT webhook_bridge.add_secret('zoom', '$secret', 'default', now() - interval '1 second')));
refused_is('zoom, signed with one that has expired', 'signature does not match', zoom_challenge($zoom));
$bridge->sql(q(UPDATE webhook_bridge.secrets SET expires_at = NULL));

# --- Discord: signed with a private key ---------------------------------------------------------------

my $ping = '{"application_id":"1","id":"2","token":"t","type":1,"user":{"id":"3"},"version":1}';
handshake_is('discord', 'json', '{"type":1}', discord($ping));
handshake_is('discord, spaced', 'json', '{"type":1}', discord('{ "type" : 1 }'));
refused_is('discord, wrong signature', 'signature does not match', discord($ping, signed => "$ping "));
refused_is('discord, no signature', 'signature missing', unsigned(discord($ping)));
refused_is('discord, stale', 'timestamp outside the window', discord($ping, age => 400));
{
    my @request = discord($ping);
    $request[2][3] =~ s/..$//;
    refused_is('discord, signature cut', 'signature malformed', @request);
    @request = discord($ping);
    $request[2][1]++;
    refused_is('discord, another time', 'signature does not match', @request);
}
stored_is('discord, interaction', discord('{"application_id":"1","id":"4","type":2}'));
stored_is('discord, type 10', discord('{"application_id":"1","id":"5","type":10}'));
stored_is('discord, webhook event', discord('{"application_id":"1","id":"6","type":1,"event":{"type":"ENTITLEMENT_CREATE"}}'));

# --- Xero: sends right and wrong signatures -----------------------------------------------------------

my $intent = '{"events":[],"firstEventSequence": 0,"lastEventSequence": 0, "entropy": "S0m3r4N"}';
refused_is('xero, wrong signature', 'signature does not match', xero($intent, 'wrong'));
stored_is('xero, right signature', xero($intent, $secret));
refused_is('xero, hex', 'signature malformed', 'POST', '/hooks/xero', [ 'x-xero-signature' => hmac_sha256_hex($intent, $secret) ], $intent);
refused_is('xero, no signature', 'signature missing', unsigned(xero($intent, $secret)));

# --- Notion: tells the secret ----------------------------------------------------------------------------

{
    my $body = '{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}';
    refused_is('notion, the first request', 'signature missing', 'POST', '/hooks/notion', [], $body);
    $bridge->sql(<<'SQL');
SELECT webhook_bridge.add_secret(endpoint, convert_from(body, 'UTF8')::json ->> 'verification_token')
FROM webhook_bridge.rejections WHERE endpoint = 'notion'
SQL
    stored_is('notion, a delivery afterwards', 'POST', '/hooks/notion',
        [ 'X-Notion-Signature' => 'sha256=' . hmac_sha256_hex('{"id":"1"}', decode_json($body)->{verification_token}) ], '{"id":"1"}');
}

# --- Providers of one's own ----------------------------------------------------------------------------------

sub own_reply
{
    my ($nonce, $decoded) = @_;
    return sprintf '{"echo":"%s","by":"\\u0022us\\u0022 \\u005c é","mac":"%s"}', $nonce, hmac_sha256_hex($decoded // $nonce, $secret);
}

handshake_is('own', 'json', own_reply('abc'), own('abc', 'check'));
handshake_is('own, quotes and controls', 'json', own_reply('\\u0022}\\u000a\\u0000\\u005c/é', qq("}\n\0\\/é)),
    own(encoded(qq("}\n\0\\/é)), 'check'));
stored_is('own, not UTF-8', own('%e9', 'check'));
stored_is('own, UTF-8 in the wrong form', own('%c0%af', 'check'));
stored_is('own, two nonces', own('a&nonce=b', 'check'));
stored_is('own, another kind', own('abc', 'made'));
refused_is('own, wrong signature', 'signature does not match', own('abc', 'check', key => 'wrong'));
{
    my ($answer, $changes) = effect('HEAD', '/hooks/head', [ 'X-Head-Check' => 'abc' ]);
    is("$answer->{status} $answer->{headers}{'content-length'} $changes", '200 3 probes 1', 'own, for HEAD');
    ready_is('own, for HEAD, GET', 'GET', '/hooks/head', [ 'X-Head-Check' => 'abc' ]);
}

for my $step (
    [ 'another reply', q(handshake_reply = '{query:nonce}!'), 'json', 'abc!' ],
    [ 'another type', q(handshake_type = 'text/plain'), 'text', 'abc!' ],
    [ 'another condition', q(handshake_if = '{query:nonce}', handshake_equals = 'abc'), 'text', 'abc!' ],
    [ 'a comparison that fails', q(handshake_equals = 'abd') ],
    [ 'one that holds', q(handshake_equals = '{query:nonce}'), 'text', 'abc!' ],
    [ 'none', q(handshake_if = NULL, handshake_equals = NULL, handshake_reply = NULL) ])
{
    my ($what, $set, $type, $reply) = @$step;
    $bridge->sql("UPDATE webhook_bridge.providers SET $set WHERE name = 'own'");
    $reply ? handshake_is("own, changed: $what", $type, $reply, own('abc', 'check')) : stored_is("own, changed: $what", own('abc', 'check'));
}
$bridge->sql(<<'SQL');
UPDATE webhook_bridge.providers
SET handshake_if = '{header:X-Own-Kind}', handshake_equals = 'check', handshake_reply = '{query:nonce}', handshake_signed = false
WHERE name = 'own'
SQL
handshake_is('own, changed: not signed', 'text', 'abc', own('abc', 'check', key => 'wrong'));
$bridge->sql(q(UPDATE webhook_bridge.providers SET handshake_signed = true WHERE name = 'own'));
refused_is('own, changed: signed', 'signature does not match', own('abc', 'check', key => 'wrong'));
$bridge->sql(q(UPDATE webhook_bridge.endpoints SET enabled = false WHERE name = 'own'));
other_is('own, disabled', 404, 'no such endpoint', 'not_found 1', own('abc', 'check'));
$bridge->sql(q(UPDATE webhook_bridge.endpoints SET enabled = true WHERE name = 'own'));

# --- The handshake of each at the endpoints of all others ------------------------------------------------------

{
    my %handshakes = (
        dropbox         => [ 'GET', '/hooks/dropbox?challenge=ECHOED' ],
        meta            => [ meta('hub.mode=subscribe&hub.challenge=ECHOED&hub.verify_token=new') ],
        microsoft_graph => [ 'POST', '/hooks/microsoft_graph?validationToken=ECHOED', [], '' ],
        slack           => [ slack_challenge('ECHOED') ],
        zoom            => [ zoom_challenge('ECHOED') ],
        discord         => [ discord($ping) ],
        own             => [ own('ECHOED', 'check') ]);
    my (@echoes, @own);

    for my $provider (sort keys %handshakes)
    {
        my ($method, undef, $headers, $body) = @{ $handshakes{$provider} };
        my ($query) = $handshakes{$provider}[1] =~ /(\?.*)?\z/;
        for my $endpoint (sort(keys %handshakes), qw(ecomanager xero notion tokenless head nowhere))
        {
            my $answer = $connection->request($method, "/hooks/$endpoint" . ($query // ''), $headers, $body);
            push @{ $endpoint eq $provider ? \@own : \@echoes }, "$provider at $endpoint"
              if $answer->{body} !~ /\A\{"(?:status|error)":"[a-z ]+"\}\z/;
        }
    }
    is_deeply(\@echoes, [], 'none is answered by the endpoint of another provider');
    is(scalar @own, 7, 'but each by its own');
    $before = counts();
}

# --- Pipelined, in order ---------------------------------------------------------------------------------------------

{
    my $other = $bridge->connect;
    my @sent  = (
        [ 'one',                 slack_challenge('one') ],
        [ '{"status":"stored"}', slack(sprintf $event, 100) ],
        [ 'two',                 slack_challenge('two') ],
        [ '{"error":"delivery is not authentic"}', slack_challenge('three', key => 'wrong') ],
        [ '',                    'HEAD', '/hooks/head', [ 'X-Head-Check' => 'abc' ] ],
        [ 'four',                'GET', '/hooks/dropbox?challenge=four' ],
        [ '{"status":"duplicate"}', slack(sprintf $event, 100) ],
        [ '',                    'GET', '/hooks/dropbox?challenge=' ],
        [ zoom_reply('five'),    zoom_challenge('five') ],
        [ '{"error":"no such endpoint"}', 'GET', '/hooks/nowhere?challenge=six' ],
        [ '{"type":1}',          discord($ping) ],
        [ '{"status":"ready"}',  'GET', '/hooks/slack' ],
        [ '{"status":"stored"}', slack(sprintf $event, 101) ]);
    $other->send(join '', map { my (undef, @request) = @$_; http_request(@request) } @sent);
    is_deeply([ map { $other->response($_->[1])->{body} } @sent ], [ map { $_->[0] } @sent ], 'pipelined: every answer at its place');
}

# Many at once, so that batches hold handshakes of several connections.
{
    my @connections = map { $bridge->connect } 1 .. 8;
    my $wrong       = 0;
    for my $n (0 .. $#connections)
    {
        $connections[$n]->send(
            join '', map { http_request('GET', "/hooks/dropbox?challenge=$n-$_-" . 'x' x ($_ * 10)), http_request(slack(sprintf $event, "$n$_" + 10_000)) } 1 .. 100);
    }
    for my $n (0 .. $#connections)
    {
        for (1 .. 100)
        {
            $wrong++ if $connections[$n]->response->{body} ne "$n-$_-" . 'x' x ($_ * 10);
            $wrong++ if $connections[$n]->response->{body} !~ /\A\{"status":"(?:stored|duplicate)"\}\z/;
        }
    }
    is($wrong, 0, 'many at once: each gets its own answer');
}

unlike(scalar $bridge->log_text, qr/ERROR|WARNING|PANIC/, 'nothing was said in the log');
$bridge->stop;
done_testing;
