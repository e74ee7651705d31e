# Deliveries signed by code that is not ours, and ours judged by it: PHP as
# providers document it, the npm packages of vendors, and the command openssl.
# The cases of deliveries are in test/vendor/send.*.

use strict;
use warnings;

use File::Temp;
use FindBin;
use IPC::Run;
use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64);
use Test::More;

use WebhookBridge;

my $vendor = "$FindBin::RealBin/../vendor";
my %program = (php => 'php', mjs => 'node');

# What cannot run is a failure: these tests are the proof that signatures are
# understood as the vendors mean them.
for my $name (values %program)
{
    eval { run_program([ $name, '--version' ]); 1 } or die "$name does not run; \"script/setup test\" installs it\n";
}
for my $package (
    '@octokit/webhooks-methods', '@paddle/paddle-node-sdk', '@sendgrid/eventwebhook', 'discord-interactions',
    'razorpay', 'standardwebhooks', 'stripe', 'svix', 'twilio')
{
    -e "$vendor/node_modules/$package/package.json"
      or die "npm package $package is not in test/vendor/node_modules; \"script/setup test\" installs it\n";
}

my %secret = (
    api2cart          => 'ed58a22dfecb405a50ea3ea56979360d',
    ecomanager        => 'geheim "ü" /',
    ecwid             => '3kWBaOrJ2sPzHcsD0mVvXQ91yZ',
    github_sha1       => 'sha1 secret',
    github            => q{It's a Secret to Everybody},
    shoplazza         => 'f1c8f9a0e1d24d0c9d7f3a8a',
    standard_webhooks => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    stripe            => 'whsec_test_secret',
    paddle            => 'pdl_ntfset_01gkpjp8bkm3tm53kdgkx6sms7_6h3qd3uFSi9YCD3OLYAShQI90XTI5vEI',
    razorpay          => 'Razor "ü" secret',
    svix              => 'whsec_plJ3nmyCDGBKInavdOK15jsl',
    adyen_platform    => 'DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00',
    hubspot_v1        => 'yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy',
    hubspot_v2        => 'yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy',
    hubspot_v3        => 'yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy',
    oracle_commerce   => 'clé / "x"',
    paystack          => 'sk_test_0123456789',
    slack             => '8f742231b10e8888abcd99yyyzzz85a5',
    square            => 'asdf1234',
    twilio            => '12345',
    twilio_json       => '2bd9e9638872de601313dc77410d3b23',
    vercel            => 'vercel secret',
);

# Of public-key schemes, the private keys as sign() takes them; %secret has the
# public ones.
my %private_key;
my %pem;      # the pairs as openssl writes them
my @files;    # temporary, until the end
my %params = (paypal => '{"webhook_id": "8PT597110X687430LKGECATA"}');
make_key_pairs();

my $json       = JSON::PP->new->canonical->allow_nonref;
my $public_url = 'https://hooks.example.com/in';

# Names, ids and bodies are UTF-8.
my $bridge = WebhookBridge->start('vendors', database => 'vendors', extension => 0,
    conf => "webhook_bridge.public_url = '$public_url'");
$bridge->node->safe_psql('postgres', "CREATE DATABASE vendors ENCODING 'UTF8' TEMPLATE template0");
$bridge->sql("SET client_encoding = 'UTF8';\nCREATE EXTENSION webhook_bridge;\n" . join '',
    map { "SELECT webhook_bridge.create_endpoint('$_', '$_', secret => \$\$$secret{$_}\$\$, params => '@{[ $params{$_} // '{}' ]}');\n" } sort keys %secret);
$bridge->wait_until_listening;

deliveries_are_stored('php');
deliveries_are_stored('mjs');
signatures_are_accepted('php',
    qw(adyen_platform api2cart ecomanager ecwid hubspot_v1 hubspot_v2 hubspot_v3 oracle_commerce paypal paystack
      shoplazza slack square vercel));
signatures_are_accepted('mjs',
    qw(discord github paddle razorpay sendgrid standard_webhooks stripe svix twilio twilio_json));

openssl_agrees();

done_testing();

# ---------------------------------------------------------------------------

# Makes key pairs and writes them as the providers do.
sub make_key_pairs
{
    for my $provider ('discord', 'standard_webhooks_v1a')
    {
        my ($private, $public) = key_pair($provider, '-algorithm', 'ed25519');
        # both forms end with the 32 bytes of the key
        ($private, $public) = map { substr $_, -32 } $private, $public;
        if ($provider eq 'discord')
        {
            ($private_key{$provider}, $secret{$provider}) = map { unpack 'H*', $_ } $private, $public;
        }
        else
        {
            $private_key{$provider} = 'whsk_' . encode_base64("$private$public", '');
            $secret{$provider}      = 'whpk_' . encode_base64($public, '');
        }
    }
    ($private_key{sendgrid}, $secret{sendgrid}) =
      map { encode_base64($_, '') } key_pair('sendgrid', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256');
    key_pair('paypal', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048');
    ($private_key{paypal}, $secret{paypal}) = @{ $pem{paypal} };
    return;
}

# A new key pair of openssl genpkey: PKCS#8 and SubjectPublicKeyInfo, DER.
sub key_pair
{
    my ($provider, @options) = @_;
    my $private = run_program([ 'openssl', 'genpkey', @options ]);
    my @der     = ('-outform', 'DER');
    $pem{$provider} = [ $private, run_program([ 'openssl', 'pkey', '-pubout' ], $private) ];
    return (run_program([ 'openssl', 'pkcs8', '-topk8', '-nocrypt', @der ], $private),
        run_program([ 'openssl', 'pkey', '-pubout', @der ], $private));
}

# Lets a sender deliver its cases, one after the other, and compares answers and
# rows with what it says has to become of them.
sub deliveries_are_stored
{
    my ($kind) = @_;
    my $last   = $bridge->sql('SELECT coalesce(max(id), 0) FROM webhook_bridge.events');
    my $output = run_program(
        [ $program{$kind}, "$vendor/send.$kind", 'http://127.0.0.1:' . $bridge->port, secrets(), $public_url ]);
    my @deliveries = map { $json->decode($_) } split /\n/, $output;
    my %answer     = (
        stored    => [ 200, '{"status":"stored"}' ],
        duplicate => [ 200, '{"status":"duplicate"}' ],
        refused   => [ 401, '{"error":"delivery is not authentic"}' ]);

    cmp_ok(scalar @deliveries, '>', 20, "send.$kind has delivered");
    for my $delivery (@deliveries)
    {
        is_deeply(
            [ $delivery->{status}, $delivery->{answer} ],
            $answer{ $delivery->{outcome} },
            "$delivery->{endpoint}, $delivery->{case}: $delivery->{outcome}");
    }

    my @rows   = events_after($last);
    my @stored = grep { $_->{answer} eq $answer{stored}[1] } @deliveries;
    is(scalar @rows, scalar @stored, "as many events as deliveries of send.$kind were answered so");
    for my $delivery (@stored)
    {
        my %expected = (
            %{ $delivery->{row} // {} },
            endpoint => $delivery->{endpoint},
            body     => $delivery->{body},
            verified => JSON::PP::true);
        is($json->ascii->encode(shift @rows), $json->ascii->encode(\%expected),
            "$delivery->{endpoint}, $delivery->{case}: the event");
    }
    return;
}

# What senders sign with, as JSON.
sub secrets
{
    my %decoded = map { my $text = $private_key{$_} // $secret{$_}; utf8::decode($text); $_ => $text } keys %secret;
    return $json->ascii->encode(\%decoded);
}

# The events in order of arrival, as the senders describe them.
sub events_after
{
    my ($last) = @_;
    my $rows = $bridge->sql(<<"SQL");
SET client_encoding = 'UTF8';
SELECT json_build_object(
    'endpoint', endpoint, 'topic', topic, 'external_id', external_id, 'source', source,
    'occurred_at', extract(epoch FROM occurred_at)::bigint, 'error_code', error_code, 'verified', verified,
    'has_payload', payload IS NOT NULL,
    'body', encode(webhook_bridge.event_body(e), 'hex'))
FROM webhook_bridge.events e WHERE id > $last ORDER BY id
SQL
    return map { $json->utf8->decode($_) } split /\n/, $rows;
}

# Lets others judge what webhook_bridge.sign() makes, of various bodies, and the
# same with a changed body, which they have to refuse.  Paddle's package allows 5
# seconds, which may pass before it runs, and any time in the future.
sub signatures_are_accepted
{
    my ($kind, @providers) = @_;
    my $list = join ', ', map { 
        my $private = $private_key{$_} // $secret{$_};
        my $params  = $params{$_}      // '{}';
        "('$_', \$\$$secret{$_}\$\$, \$\$$private\$\$, '$params'::jsonb)"
    } @providers;
    my $lines = $bridge->sql(<<"SQL");
SET client_encoding = 'UTF8';
WITH providers (provider, secret, signing_secret, params) AS (VALUES $list),
bodies (number, body) AS (VALUES
    (1, '{"eventId":"80aece08","eventCreated":1469429915,"type":"order.created"}'),
    (2, '{"eventId":"z\\u0065ro/\\/","eventCreated":7891234567,"note":"Grüße и 漢字 😀"}'),
    (3, E'{\\n  "eventCreated": 1,\\r\\n  "note": "\\\\u2028 \\\\t",\\n  "eventId": "événement 🛒"\\n}\\r\\n'),
    (4, '{"eventId":"large","eventCreated":2,"pad":"' || repeat('é 😀 ', 20000) || '"}')),
headers (headers) AS (VALUES
    ('{"X-Webhook-Zeta": "1", "X-Webhook-A1": "2", "X-Webhook-A-B": "3", "X-Webhook-Store-Id": "1",
       "X-Webhook-Error-Message": "a/b \\\\ \\" \\t < \\u007f é 😀 \\u2028", "X-Webhookish": "no",
       "webhook-id": "msg_é.1", "svix-id": "msg_2",
       "PAYPAL-TRANSMISSION-ID": "69cd13f0-d67a-11e5-baa3-778b53f4ae55"}'::jsonb)),
bodies_of AS (
    SELECT provider, number,
           CASE provider WHEN 'twilio' THEN 'b=' || number || '&eventId=+%2B' || repeat('%C3%A9', number) || '&a.b=ü&B=&b=1&b=%31'
           ELSE body END AS body
    FROM providers, bodies),
deliveries AS (
    SELECT provider, secret, signing_secret, params, number, changed, convert_to(body, 'UTF8') AS body, signed, headers,
           '$public_url/hooks/' || provider
           || CASE provider WHEN 'twilio_json' THEN '?a=b+c&bodySHA256=' || encode(sha256(signed), 'hex') ELSE '' END AS url
    FROM providers JOIN bodies_of USING (provider), headers, (VALUES (false), (true)) AS c (changed),
         LATERAL (SELECT convert_to(CASE WHEN changed THEN regexp_replace(body, '("eventId": ?"|eventId=)', '\\1x') ELSE body END,
                                    'UTF8') AS signed) AS s)
SELECT json_build_object('provider', provider, 'secret', secret, 'number', number, 'changed', changed,
    'body', encode(body, 'hex'), 'url', url,
    'headers', webhook_bridge.sign(provider, signing_secret, signed, headers, url => url, params => params,
        at => now() + CASE provider WHEN 'paddle' THEN '1 minute' ELSE '0' END::interval))
FROM deliveries ORDER BY provider, number, changed
SQL
    my @signed   = map { $json->utf8->decode($_) } split /\n/, $lines;
    my @verdicts = split /\n/, run_program([ $program{$kind}, "$vendor/verify.$kind" ], "$lines\n");

    is(scalar @verdicts, 8 * @providers, "verify.$kind has judged");
    for my $delivery (@signed)
    {
        my ($expected, $what) = $delivery->{changed} ? ('refused', 'a changed body') : ('accepted', 'a body');
        is(shift @verdicts, $expected, "$delivery->{provider}: $what ($delivery->{number}) signed by us is $expected");
    }
    return;
}

# Compares with the command openssl, in both directions: what is signed is put
# together here, as documented.
sub openssl_agrees
{
    my $body = qq({"id": "Gr\xc3\xbc\xc3\x9fe", "n": 1}\r\n\0\xff);
    my $time = time;
    my $iso  = $bridge->sql("SELECT to_char(to_timestamp($time) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
    my $url  = "$public_url/hooks/";
    my $crc  = unpack 'N', pack 'H*', run_program([ 'php', '-r', 'echo hash("crc32b", stream_get_contents(STDIN));' ], $body);
    my $id   = '69cd13f0';

    # What is signed and with which digest, how it is written, and other headers.
    my %scheme = (
        discord         => [ 'ed25519', "$time$body", 'hex', 'X-Signature-Ed25519', 'X-Signature-Timestamp' => $time ],
        github_sha1     => [ 'sha1', $body, 'hex', 'X-Hub-Signature' ],
        hubspot_v1      => [ 'plain', "$secret{hubspot_v1}$body", 'hex', 'X-HubSpot-Signature' ],
        hubspot_v2      => [ 'plain', "$secret{hubspot_v2}POST${url}hubspot_v2$body", 'hex', 'X-HubSpot-Signature' ],
        oracle_commerce => [ 'sha512', $body, 'base64', 'X-Oracle-CC-WebHook-Signature' ],
        paypal          => [
            'sign', "$id|$iso|8PT597110X687430LKGECATA|$crc", 'base64', 'PAYPAL-TRANSMISSION-SIG',
            'PAYPAL-TRANSMISSION-ID' => $id, 'PAYPAL-TRANSMISSION-TIME' => $iso ],
        paystack => [ 'sha512', $body, 'hex', 'x-paystack-signature' ],
        sendgrid => [
            'sign', "$time$body", 'base64', 'X-Twilio-Email-Event-Webhook-Signature',
            'X-Twilio-Email-Event-Webhook-Timestamp' => $time ],
        standard_webhooks_v1a => [
            'ed25519', "$id.$time.$body", 'base64', 'webhook-signature', 'webhook-id' => $id, 'webhook-timestamp' => $time ],
        vercel => [ 'sha1', $body, 'hex', 'x-vercel-signature' ],
    );
    my %prefix = (github_sha1 => 'sha1=', standard_webhooks_v1a => 'v1a,');

    for my $provider (sort keys %scheme)
    {
        my ($kind, $content, $encoding, $header, %headers) = @{ $scheme{$provider} };
        my $bytes = openssl_sign($provider, $kind, $content);
        my $text  = $encoding eq 'hex' ? unpack 'H*', $bytes : encode_base64($bytes, '');
        $headers{$header} = ($prefix{$provider} // '') . $text;

        for my $case ([ $body, 200 ], [ "$body ", 401 ], [ substr($body, 1), 401 ])
        {
            my $answer = $bridge->post("/hooks/$provider", $case->[0], [%headers]);
            is($answer->{status}, $case->[1], "$provider: signed by openssl, answered $case->[1]");
        }

        my $private = $private_key{$provider} // $secret{$provider};
        my $params  = $params{$provider}      // '{}';
        my $ours    = $bridge->sql(<<"SQL");
SELECT webhook_bridge.sign('$provider', \$\$$private\$\$, '\\x@{[ unpack 'H*', $body ]}'::bytea,
    '@{[ $json->encode({ map { $_ => "$headers{$_}" } grep { $_ ne $header } keys %headers }) ]}', url => '$url$provider',
    at => to_timestamp($time), params => '$params') ->> '$header'
SQL
        $ours = substr $ours, length($prefix{$provider} // '');
        $ours = $encoding eq 'hex' ? pack 'H*', $ours : decode_base64($ours);
        if ($kind eq 'sign')
        {
            ok(openssl_verifies($provider, $content, $ours), "$provider: signed by us, verified by openssl");
            ok(!openssl_verifies($provider, "$content ", $ours), "$provider: ... and not with other content");
        }
        else
        {
            is(unpack('H*', $ours), unpack('H*', $bytes), "$provider: signed by us as by openssl");
        }
    }
    return;
}

sub openssl_sign
{
    my ($provider, $kind, $content) = @_;
    my @dgst = ('openssl', 'dgst', '-binary');

    return run_program([ @dgst, '-sha256' ], $content) if $kind eq 'plain';
    return run_program([ @dgst, "-$kind", '-mac', 'HMAC', '-macopt', 'hexkey:' . unpack 'H*', $secret{$provider} ], $content)
      if $kind =~ /^sha/;
    return run_program([ @dgst, '-sha256', '-sign', file_of($pem{$provider}[0]) ], $content) if $kind eq 'sign';
    return run_program([ 'openssl', 'pkeyutl', '-sign', '-rawin', '-inkey', file_of($pem{$provider}[0]), '-in', file_of($content) ]);
}

sub openssl_verifies
{
    my ($provider, $content, $signature) = @_;
    my $output = '';
    return IPC::Run::run(
        [ 'openssl', 'dgst', '-sha256', '-verify', file_of($pem{$provider}[1]), '-signature', file_of($signature) ],
        '<', \$content, '>&', \$output, IPC::Run::timeout(60));
}

# The name of a temporary file with that content.
sub file_of
{
    my ($content) = @_;
    my $file = File::Temp->new;
    binmode $file;
    print {$file} $content;
    close $file or die "could not write a temporary file: $!\n";
    push @files, $file;
    return $file->filename;
}

# Runs a program to its end and returns its output.  Dies with what it said if
# it fails.
sub run_program
{
    my ($command, $input) = @_;
    my ($output, $errors);
    IPC::Run::run($command, '<', \($input // ''), '>', \$output, '2>', \$errors, IPC::Run::timeout(60))
      or die "@{$command}[0, 1] failed: $errors\n";
    return $output;
}
