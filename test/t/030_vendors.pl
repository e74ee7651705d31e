# Deliveries signed by code that is not ours, and ours judged by it: PHP as
# API2Cart and Ecwid document it, and the npm packages of Stripe, GitHub and
# Standard Webhooks.  The cases are in test/vendor/send.*.

use strict;
use warnings;

use FindBin;
use IPC::Run;
use JSON::PP;
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
for my $package ('stripe', '@octokit/webhooks-methods', 'standardwebhooks')
{
    -e "$vendor/node_modules/$package/package.json"
      or die "npm package $package is not in test/vendor/node_modules; \"script/setup test\" installs it\n";
}

my %secret = (
    api2cart          => 'ed58a22dfecb405a50ea3ea56979360d',
    ecomanager        => 'geheim "ü" /',
    ecwid             => '3kWBaOrJ2sPzHcsD0mVvXQ91yZ',
    github            => q{It's a Secret to Everybody},
    shoplazza         => 'f1c8f9a0e1d24d0c9d7f3a8a',
    standard_webhooks => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    stripe            => 'whsec_test_secret',
);

my $json = JSON::PP->new->canonical->allow_nonref;

# Names, ids and bodies are UTF-8.
my $bridge = WebhookBridge->start('vendors', database => 'vendors', extension => 0);
$bridge->node->safe_psql('postgres', "CREATE DATABASE vendors ENCODING 'UTF8' TEMPLATE template0");
$bridge->sql("SET client_encoding = 'UTF8';\nCREATE EXTENSION webhook_bridge;\n" . join '',
    map { "SELECT webhook_bridge.create_endpoint('$_', '$_', secret => \$\$$secret{$_}\$\$);\n" } sort keys %secret);
$bridge->wait_until_listening;

deliveries_are_stored('php');
deliveries_are_stored('mjs');
signatures_are_accepted('php', qw(api2cart ecomanager ecwid shoplazza));
signatures_are_accepted('mjs', qw(github standard_webhooks stripe));

done_testing();

# ---------------------------------------------------------------------------

# Lets a sender deliver its cases, one after the other, and compares answers and
# rows with what it says has to become of them.
sub deliveries_are_stored
{
    my ($kind) = @_;
    my $last   = $bridge->sql('SELECT coalesce(max(id), 0) FROM webhook_bridge.events');
    my $output = run_program(
        [ $program{$kind}, "$vendor/send.$kind", 'http://127.0.0.1:' . $bridge->port, secrets() ]);
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

# The secrets as JSON.
sub secrets
{
    my %decoded = map { my $text = $secret{$_}; utf8::decode($text); $_ => $text } keys %secret;
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
# same with a changed body, which they have to refuse.
sub signatures_are_accepted
{
    my ($kind, @providers) = @_;
    my $list  = join ', ', map { "('$_', \$\$$secret{$_}\$\$)" } @providers;
    my $lines = $bridge->sql(<<"SQL");
SET client_encoding = 'UTF8';
WITH providers (provider, secret) AS (VALUES $list),
bodies (number, body) AS (VALUES
    (1, '{"eventId":"80aece08","eventCreated":1469429915,"type":"order.created"}'),
    (2, '{"eventId":"z\\u0065ro/\\/","eventCreated":7891234567,"note":"Grüße и 漢字 😀"}'),
    (3, E'{\\n  "eventCreated": 1,\\r\\n  "note": "\\\\u2028 \\\\t",\\n  "eventId": "événement 🛒"\\n}\\r\\n'),
    (4, '{"eventId":"large","eventCreated":2,"pad":"' || repeat('é 😀 ', 20000) || '"}')),
headers (headers) AS (VALUES
    ('{"X-Webhook-Zeta": "1", "X-Webhook-A1": "2", "X-Webhook-A-B": "3", "X-Webhook-Store-Id": "1",
       "X-Webhook-Error-Message": "a/b \\\\ \\" \\t < \\u007f é 😀 \\u2028", "X-Webhookish": "no",
       "webhook-id": "msg_é.1"}'::jsonb)),
deliveries AS (
    SELECT provider, secret, number, changed, convert_to(body, 'UTF8') AS body,
           convert_to(CASE WHEN changed THEN regexp_replace(body, '("eventId": ?")', '\\1x') ELSE body END,
                      'UTF8') AS signed, headers
    FROM providers, bodies, headers, (VALUES (false), (true)) AS c (changed))
SELECT json_build_object('provider', provider, 'secret', secret, 'number', number, 'changed', changed,
    'body', encode(body, 'hex'), 'headers', webhook_bridge.sign(provider, secret, signed, headers))
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
