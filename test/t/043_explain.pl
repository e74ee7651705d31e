# Why deliveries are refused, found out from what was kept of them; and once the
# cause that was named is removed, they are readmitted.  No secret is shown.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

use WebhookBridge;

# The test's own statements stay out of the log, so that what is there is ours.
my $bridge = WebhookBridge->start('main', conf => "log_statement = 'none'\nlog_min_messages = 'debug1'");

# Secrets, which are looked for in all that is said.
my %secret = map { $_ => "very-secret-$_-" . 'z' x 12 }
  qw(shop other first second third expired token stripe square hubspot off renamed dropped small spaced slack);
my $said = '';

sub create
{
    my ($name, $provider, $text, $more) = @_;
    $bridge->sql(
        sprintf "SELECT name FROM webhook_bridge.create_endpoint('%s', '%s', E'%s'%s)",
        $name, $provider, $text // $secret{$name}, $more ? ", $more" : '');
    return;
}

create($_, 'github') for qw(shop other off renamed dropped);
create('several', 'stripe', $secret{first});
create('stripe',  'stripe');
create('square',  'square');
create('hubspot', 'hubspot_v2');
create('blaze',   'blaze',           $secret{token});
create('gitlab',  'gitlab_token',    $secret{token});
create('graph',   'microsoft_graph', $secret{token});
create('small',   'github', undef, 'max_body_size => 100');
create('spaced',  'github', "$secret{spaced}\\n");
create('slack',   'slack');
$bridge->sql("SELECT webhook_bridge.add_secret('several', '$secret{$_->[0]}', $_->[1])")
  for [ 'second', q('2026-07') ], [ 'third', q('third') ], [ 'expired', q('expired', now() - interval '1 day') ];

# Sends what is refused and returns the id of the rejection.  All come from the
# same connection, so that the newest is the one.
my $connection = $bridge->connect;

sub refused
{
    my ($target, $headers, $body, $status) = @_;
    my $before = $bridge->sql('SELECT coalesce(max(id), 0) FROM webhook_bridge.rejections');
    return poll_until(
        sub {
            my $answer = $connection->request('POST', $target, $headers, $body);
            die "answered $answer->{status} $answer->{body}" if $answer->{status} != ($status // 401);
            return $bridge->sql("SELECT id FROM webhook_bridge.rejections WHERE id > $before ORDER BY id DESC LIMIT 1");
        },
        "the rejection of a delivery to $target");
}

# What explain_rejection() says, as a list of hashes.
sub explained
{
    my ($id) = @_;
    my $rows = $bridge->sql("SELECT row_to_json(e) FROM webhook_bridge.explain_rejection($id) e");
    $said .= "$rows\n";
    return map { decode_json($_) } split /\n/, $rows;
}

# One of its rows, as "expected | actual | ok"; rows of the same step are joined.
sub step
{
    my ($step, @rows) = @_;
    return join ' & ', map {
        my $row = $_;
        join ' | ', map { !defined $row->{$_} ? '' : ref $row->{$_} ? ($row->{$_} ? 't' : 'f') : $row->{$_} } qw(expected actual ok)
    } grep { $_->{step} eq $step } @rows;
}

sub steps { return join ', ', map { $_->{step} } @_ }

# What is wrong, in a sentence.
sub diagnosis
{
    my (@rows) = @_;
    return join ' & ', map { $_->{actual} } grep { $_->{step} eq 'diagnosis' } @rows;
}

sub diagnosis_is
{
    my ($id, $expected, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(diagnosis(explained($id)), $expected, "$what: the diagnosis");
}

# Readmits, and tests that this stores the body as it was.
sub readmitted
{
    my ($id, $body, $label, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $event_id = $bridge->sql("SELECT webhook_bridge.readmit_rejection($id)");
    my ($event) = $bridge->events("id = $event_id");
    is("$event->{body} $event->{secret_label} $event->{verified}", "$body $label 1", "$what: then it is readmitted");
    return is($bridge->count("webhook_bridge.rejections WHERE id = $id"), 0, "$what: and is no longer a rejection");
}

# Readmits in vain, and returns what is said.
sub still_refused
{
    my ($id) = @_;
    my ($status, $out, $err) = $bridge->node->psql('postgres', "\\set VERBOSITY verbose\nSELECT webhook_bridge.readmit_rejection($id)");
    $said .= "$out$err";
    return $err;
}

sub github
{
    my ($body, $with) = @_;
    return [ 'X-Hub-Signature-256' => 'sha256=' . hmac_sha256_hex($body, $with), 'X-GitHub-Event' => 'push' ];
}

sub stripe
{
    my ($body, $with, $ts) = @_;
    $ts //= time;
    return [ 'Stripe-Signature' => "t=$ts,v1=" . hmac_sha256_hex("$ts.$body", $with) ];
}

# --- Another secret ----------------------------------------------------------------------

{
    my $body = '{"n":1}';
    my $id   = refused('/hooks/shop', github($body, $secret{other}), $body);
    my @rows = explained($id);

    is(steps(@rows), 'rejection, scheme, signature, elements, signed content, secret "default", verdict, diagnosis', 'wrong secret: the steps');
    is(step('rejection', @rows), 'endpoint "shop" | signature does not match | ', 'wrong secret: the rejection');
    is(step('signed content', @rows), "{body} | $body | t", 'wrong secret: what is signed');
    is(step('secret "default"', @rows), 'sha256=' . hmac_sha256_hex($body, $secret{shop}) . ' | sha256=' . hmac_sha256_hex($body, $secret{other}) . ' | f',
        'wrong secret: both signatures');
    is(step('verdict', @rows), ' | signature does not match | f', 'wrong secret: the verdict');
    is(diagnosis(@rows), 'The signature is right with secret "default" of endpoint "other".', 'wrong secret: the diagnosis');
    like(still_refused($id), qr/55000: rejection $id is still refused\nDETAIL:  The reason: signature does not match/, 'wrong secret: not yet');

    $bridge->sql(q(SELECT webhook_bridge.add_secret('shop', secret, 'of other') FROM webhook_bridge.secrets WHERE endpoint = 'other'));
    @rows = explained($id);
    is(steps(@rows),
        'rejection, scheme, signature, elements, signed content, secret "of other", secret "default", verdict', 'wrong secret, added: the steps');
    is(step('rejection', @rows), 'endpoint "shop" | signature does not match | ', 'wrong secret, added: the rejection');
    is(step('verdict', @rows), ' | signature verified | t', 'wrong secret, added: the verdict');
    readmitted($id, $body, 'of other', 'wrong secret, added');
    $bridge->sql(q(SELECT webhook_bridge.retire_secret('shop', 'of other')));

    # nobody's
    $id = refused('/hooks/shop', github('{}', 'nobody'), '{}');
    diagnosis_is($id, 'None of the usual causes fits: most likely the sender signs with another secret, or the body is not the one that was signed.', q(nobody's secret));

    # the line end of a file
    $id = refused('/hooks/spaced', github('{}', $secret{spaced}), '{}');
    diagnosis_is($id, 'The signature is right with the secret without the white space around it.', 'a line feed in the secret');
    $bridge->sql(q(UPDATE webhook_bridge.secrets SET secret = rtrim(secret, E'\n') WHERE endpoint = 'spaced'));
    readmitted($id, '{}', 'default', 'a line feed in the secret, cut');
}

# --- Several secrets ------------------------------------------------------------------------

{
    my $body = '{"id":"evt_1"}';
    my $id   = refused('/hooks/several', stripe($body, 'nobody'), $body);
    my @rows = explained($id);
    is(join(', ', map { $_->{step} } grep { $_->{step} =~ /^secret/ } @rows), 'secret third, secret "2026-07", secret "default"',
        'several secrets: a row for each, with its label');
    is(join(' ', map { $_->{ok} ? 't' : 'f' } grep { $_->{step} =~ /^secret/ } @rows), 'f f f', 'several secrets: none fits');
    is(scalar(grep { $_->{step} eq 'diagnosis' } @rows), 1, 'several secrets: one diagnosis');

    # one fits, but the time does not
    my $ts = time - 3600;
    $id   = refused('/hooks/several', stripe($body, $secret{second}, $ts), $body);
    @rows = explained($id);
    is(step('rejection', @rows), 'endpoint "several" | timestamp outside the window | ', 'several secrets, stale: the rejection');
    is(join(' ', map { $_->{ok} ? 't' : 'f' } grep { $_->{step} =~ /^secret/ } @rows), 'f t f', 'several secrets, stale: the one that fits');
    like(step('window', @rows), qr/^within 00:05:00 of .* \| 00:59:[0-9.]+ earlier \| f$|^within 00:05:00 of .* \| 01:00:[0-9.]+ earlier \| f$/, 'several secrets, stale: the window');
    is(diagnosis(@rows), 'The signature is right, but was made earlier than the window of 00:05:00 allows: a clock is wrong, or the delivery is an old one.',
        'several secrets, stale: the diagnosis');

    # one that had expired
    $id   = refused('/hooks/several', stripe($body, $secret{expired}), $body);
    @rows = explained($id);
    is(step('secret expired', @rows), '', 'expired secret: it is not among those that count');
    is(diagnosis(@rows), 'The signature is right with secret "expired" of endpoint "several", which had expired.', 'expired secret: the diagnosis');
    $bridge->sql(q(UPDATE webhook_bridge.secrets SET expires_at = now() + interval '1 hour' WHERE label = 'expired'));
    readmitted($id, $body, 'expired', 'expired secret, prolonged');

    # none at all
    $id = refused('/hooks/several', stripe($body, 'nobody'), $body);
    $bridge->sql(q(BEGIN; DELETE FROM webhook_bridge.secrets WHERE endpoint = 'several'; COMMIT));
    is(steps(@rows = explained($id)), 'rejection, scheme, verdict', 'no secret: the steps');
    is(step('verdict', @rows), ' | no secret to verify with | f', 'no secret: the verdict');
}

# --- Time --------------------------------------------------------------------------------------

{
    my $body = '{"id":"evt_2"}';
    my $id   = refused('/hooks/stripe', stripe($body, $secret{stripe}, time - 3600), $body);
    my @rows = explained($id);
    is(step('verdict', @rows), ' | timestamp outside the window | f', 'stale: the verdict');
    like(diagnosis(@rows), qr/^The signature is right, but was made earlier than the window of 00:05:00 allows/, 'stale: the diagnosis');
    like(still_refused($id), qr/The reason: timestamp outside the window/, 'stale: still refused');
    diagnosis_is(refused('/hooks/stripe', stripe($body, $secret{stripe}, time + 3600), $body),
        'The signature is right, but was made later than the window of 00:05:00 allows: a clock is wrong, or the delivery is an old one.', 'from the future');
    diagnosis_is(refused('/hooks/stripe', stripe($body, $secret{stripe}, $_), $body),
        'The signature is right, but the time of signing is not written as "s": see timestamp_format of provider "stripe".', "\"$_\"")
      for 'now', time . '000';

    own_copy('patient', 'stripe', q(tolerance = '2 hours'));
    $bridge->sql(q(UPDATE webhook_bridge.endpoints SET provider = 'patient' WHERE name = 'stripe'));
    is(step('verdict', explained($id)), ' | signature verified | t', 'stale, more tolerance: the verdict');
    readmitted($id, $body, 'default', 'stale, more tolerance');
}

# Makes a provider that differs from another in a column.
sub own_copy
{
    my ($name, $from, $set) = @_;
    $bridge->sql(<<"SQL");
CREATE TEMP TABLE copy AS SELECT * FROM webhook_bridge.providers WHERE name = '$from';
UPDATE copy SET name = '$name', builtin = false, $set;
INSERT INTO webhook_bridge.providers SELECT * FROM copy;
SQL
    return;
}

# --- Headers ---------------------------------------------------------------------------------------

{
    my $body      = '{"n":2}';
    my $signature = github($body, $secret{shop})->[1];

    diagnosis_is(refused('/hooks/shop', [ 'X_Hub_Signature_256' => $signature ], $body),
        'The signature is right, but headers were renamed on the way, as proxies do: "X-Hub-Signature-256" has become "X_Hub_Signature_256".', 'renamed header');
    diagnosis_is(refused('/hooks/shop', [ 'Signature' => $signature ], $body),
        'The signature is right, but in header "Signature" instead of "X-Hub-Signature-256".', 'another header');
    diagnosis_is(refused('/hooks/shop', [ 'X_Hub_Signature_256' => 'sha256=' . 'a' x 64 ], $body),
        'Headers were probably renamed on the way, as proxies do: "X-Hub-Signature-256" has become "X_Hub_Signature_256".', 'renamed header, wrong signature');
    diagnosis_is(refused('/hooks/shop', [], $body), 'There is no signature at header:X-Hub-Signature-256: the sender does not sign, or in a way of its own.', 'no signature');
    diagnosis_is(refused('/hooks/shop', [ 'X-Hub-Signature-256' => $signature, 'X-Hub-Signature-256' => 'sha256=' . 'a' x 64 ], $body),
        'header:X-Hub-Signature-256 occurs several times with different values: the sender, or something on the way, adds a second one.', 'two signatures');
    diagnosis_is(refused('/hooks/shop', [ 'X-Hub-Signature-256' => 'sha256=' . encode_base64(hmac_sha256($body, $secret{shop}), '') ], $body),
        'The signature is right, but written in base64 instead of hex.', 'base64');

    my $id = refused('/hooks/shop', [ 'X-Forwarded-Hub-Signature-256' => $signature ], $body);
    diagnosis_is($id, 'The signature is right, but headers were renamed on the way, as proxies do: "X-Hub-Signature-256" has become "X-Forwarded-Hub-Signature-256".', 'renamed by a proxy');
    own_copy('behind_proxy', 'github', q(signature_from = 'header:X-Forwarded-Hub-Signature-256'));
    $bridge->sql(q(UPDATE webhook_bridge.endpoints SET provider = 'behind_proxy' WHERE name = 'shop'));
    readmitted($id, $body, 'default', 'renamed by a proxy, declared');
    $bridge->sql(q(UPDATE webhook_bridge.endpoints SET provider = 'github' WHERE name = 'shop'));

    my $ts = time;
    diagnosis_is(
        refused('/hooks/slack', [ 'HTTP_X_SLACK_SIGNATURE' => 'v0=' . hmac_sha256_hex("v0:$ts:{}", $secret{slack}), 'HTTP_X_SLACK_REQUEST_TIMESTAMP' => $ts ], '{}'),
        'The signature is right, but headers were renamed on the way, as proxies do: "X-Slack-Signature" has become "HTTP_X_SLACK_SIGNATURE", "X-Slack-Request-Timestamp" has become "HTTP_X_SLACK_REQUEST_TIMESTAMP".',
        'two renamed headers');
}

# --- Bodies -------------------------------------------------------------------------------------------

{
    my $body = '{"pad":"' . 'x' x 8192 . '"}';
    my $id   = refused('/hooks/shop', github($body, $secret{other}), $body);
    my @rows = explained($id);
    is(steps(@rows), 'rejection, body, scheme, signature, elements', 'a long body: the steps, and no guess at a cause');
    is(step('body', @rows), 'all of its 8202 bytes | its first 8192; a signature over it cannot be checked again | f', 'a long body: it is said');
    like(still_refused($id), qr/rejection $id cannot be readmitted\nDETAIL:  Only 8192 of 8202 bytes of its body were kept\./, 'a long body: not readmitted');

    $id   = refused('/hooks/shop', [ 'X_Hub_Signature_256' => github($body, $secret{shop})->[1] ], $body);
    @rows = explained($id);
    is(steps(@rows), 'rejection, body, scheme, signature, verdict, diagnosis', 'a long body, renamed header: the steps');
    is(diagnosis(@rows), 'Headers were probably renamed on the way, as proxies do: "X-Hub-Signature-256" has become "X_Hub_Signature_256".',
        'a long body, renamed header: the diagnosis');
    $id = refused('/hooks/slack', [ 'X-Slack-Signature' => 'v0=' . 'a' x 64, 'X-Slack-Request-Timestamp' => time - 3600 ], $body);
    is(steps(explained($id)), 'rejection, body, scheme, signature, elements, timestamp, window', 'a long body, timestamp: the steps');
    $id = refused('/hooks/gitlab', [ 'X-Gitlab-Token' => 'WRONG-TOKEN' ], $body);
    is(diagnosis(explained($id)), 'It is another token.', 'a long body, token: the diagnosis');

    $body = '{"pad":"' . 'x' x 8182 . '"}';
    $id   = refused('/hooks/shop', github($body, $secret{other}), $body);
    @rows = explained($id);
    is(diagnosis(@rows), 'The signature is right with secret "default" of endpoint "other".', 'a body just short enough: the diagnosis');
    like(step('signed content', @rows), qr/^\{body\} \| \{"pad":"x+ \x{2026} \(8192 bytes in all\) \x{2026} x+"\} \| t$/, 'a body just short enough: it is shortened');

    $body = join '', map { chr } 0 .. 255;
    diagnosis_is(refused('/hooks/shop', github($body, $secret{other}), $body),
        'The signature is right with secret "default" of endpoint "other".', 'a body of every byte');
    diagnosis_is(refused('/hooks/shop', github("{\"a\":1}\n", $secret{shop}), '{"a":1}'), 'The signature is right for the body with a line feed behind it.', 'a line feed cut');
    diagnosis_is(refused('/hooks/shop', github('{"a": "é", "b": [1, 2]}', $secret{shop}), '{"a":"é","b":[1,2]}'),
        'The signature is right for the body with other white space or escapes: it was parsed and written again, instead of being kept as received.', 'rewritten JSON');

    # what is too large may be authentic
    $body = 'x' x 101;
    $id   = refused('/hooks/small', github($body, $secret{small}), $body, 413);
    @rows = explained($id);
    is(step('rejection', @rows), 'endpoint "small" | body too large | ', 'too large: the rejection');
    is(step('verdict', @rows), ' | signature verified | t', 'too large: the signature is right');
    like(still_refused($id), qr/The reason: body too large/, 'too large: still refused');
    $bridge->sql(q(UPDATE webhook_bridge.endpoints SET max_body_size = NULL WHERE name = 'small'));
    readmitted($id, $body, 'default', 'too large, allowed');
}

# --- Tokens --------------------------------------------------------------------------------------------

{
    my $graph = sub { my ($token) = @_; return qq({"value":[{"clientState":"$token"}]}) };
    for my $case (
        [ 'token in the URL', '/hooks/blaze?token=WRONG-TOKEN', [], '{}' ],
        [ 'token in a header', '/hooks/gitlab', [ 'X-Gitlab-Token' => 'WRONG-TOKEN' ], '{}' ],
        [ 'token in the body', '/hooks/graph', [], $graph->('WRONG-TOKEN') ])
    {
        my ($what, $target, $headers, $body) = @$case;
        my @rows = explained(refused($target, $headers, $body));
        is(steps(@rows), 'rejection, scheme, signature, secret "default", verdict, diagnosis', "$what: the steps");
        is(step('signature', @rows) =~ s/.*? \| //r, '11 bytes | t', "$what: only its length");
        is(step('secret "default"', @rows), 'the secret itself | another | f', "$what: nothing of the secret");
        is(diagnosis(@rows), 'It is another token.', "$what: the diagnosis");
    }
    diagnosis_is(refused('/hooks/blaze', [], '{}'), 'There is no signature at query:token: the sender does not sign, or in a way of its own.', 'no token');
    unlike($said, qr/WRONG-TOKEN/, 'a token is not shown');

    my $id = refused('/hooks/gitlab', [ 'X-Gitlab-Token' => 'WRONG-TOKEN' ], '{}');
    $bridge->sql(q(SELECT webhook_bridge.add_secret('gitlab', 'WRONG-TOKEN', 'new')));
    readmitted($id, '{}', 'new', 'token, added');
}

# --- URLs --------------------------------------------------------------------------------------------------

{
    my $body   = '{"event_id":"1"}';
    my $own    = 'http://127.0.0.1:' . $bridge->port . '/hooks/square';
    my $square = sub { my ($url, @more) = @_;
        return [ 'x-square-hmacsha256-signature' => encode_base64(hmac_sha256("$url$body", $secret{square}), ''), @more ] };

    my $id = refused('/hooks/square', $square->('https://hooks.example.com/hooks/square', Host => 'hooks.example.com'), $body);
    my @rows = explained($id);
    is(step('signed content', @rows), "{url}{body} | $own$body | t", 'another URL: what we take for signed');
    is(diagnosis(@rows),
        "The signature is right for the URL https://hooks.example.com/hooks/square instead of $own: see webhook_bridge.public_url, and what is registered at the provider.",
        'another URL: the diagnosis');

    my $prefixed = refused('/hooks/square',
        $square->('https://api.example.com/in/hooks/square?a=b', 'X-Forwarded-Host' => 'api.example.com', 'X-Original-URI' => '/in/hooks/square'), $body);
    diagnosis_is($prefixed, 'None of the usual causes fits: most likely the sender signs with another secret, or the body is not the one that was signed.',
        'another URL, with a query that did not arrive');
    $prefixed = refused('/hooks/square?a=b',
        $square->('https://api.example.com/in/hooks/square?a=b', 'X-Forwarded-Host' => 'api.example.com', 'X-Original-URI' => '/in/hooks/square?a=b'), $body);
    diagnosis_is($prefixed,
        "The signature is right for the URL https://api.example.com/in/hooks/square?a=b instead of $own?a=b: see webhook_bridge.public_url, and what is registered at the provider.",
        'another URL, behind a proxy with a prefix');

    $bridge->reload('webhook_bridge.public_url' => 'https://hooks.example.com');
    poll_until(sub { $bridge->sql('SELECT webhook_bridge.base_url()') eq 'https://hooks.example.com' }, 'the new URL');
    is(step('verdict', explained($id)), ' | signature verified | t', 'another URL, set: the verdict');
    readmitted($id, $body, 'default', 'another URL, set');
    $bridge->reload('webhook_bridge.public_url' => 'https://api.example.com/in');
    poll_until(sub { $bridge->sql('SELECT webhook_bridge.base_url()') eq 'https://api.example.com/in' }, 'the new URL');
    is(step('verdict', explained($prefixed)), ' | signature verified | t', 'another URL, with a prefix, set: the verdict');

    # the secret is part of what is signed
    @rows = explained(refused('/hooks/hubspot', [ 'X-HubSpot-Signature' => 'a' x 64 ], $body));
    is(step('signed content', @rows) =~ s/https.*(?=\{)/URL/r, '{secret}{method}{url}{body} | ***POSTURL' . "$body | t", 'the secret in what is signed is masked');
}

# --- Endpoints that have changed ------------------------------------------------------------------------------

{
    my $id = refused('/hooks/renamed', github('{}', $secret{other}), '{}');
    $bridge->sql(q(UPDATE webhook_bridge.endpoints SET name = 'new-name' WHERE name = 'renamed'));
    is(step('rejection', explained($id)), 'endpoint "new-name" | signature does not match | ', 'renamed endpoint');

    $id = refused('/hooks/off', github('{}', $secret{other}), '{}');
    $bridge->sql(q(UPDATE webhook_bridge.endpoints SET enabled = false WHERE name = 'off'));
    diagnosis_is($id, 'The signature is right with secret "default" of endpoint "other".', 'disabled endpoint');
    like(still_refused($id), qr/DETAIL:  Endpoint "off" is disabled\./, 'disabled endpoint: not readmitted');

    $bridge->sql(q(UPDATE webhook_bridge.endpoints SET enabled = true, provider = 'shopify' WHERE name = 'off'));
    my @rows = explained($id);
    is(step('scheme', @rows), 'provider "shopify" | hmac-sha256, base64 | t', 'another provider: as it is now');
    is(diagnosis(@rows), 'There is no signature at header:X-Shopify-Hmac-Sha256: the sender does not sign, or in a way of its own.', 'another provider: the diagnosis');

    $id = refused('/hooks/dropped', github('{}', $secret{other}), '{}');
    $bridge->sql(q(SELECT webhook_bridge.drop_endpoint('dropped')));
    my ($status, $out, $err) = $bridge->node->psql('postgres', "\\set VERBOSITY verbose\nSELECT * FROM webhook_bridge.explain_rejection($id)");
    like($err, qr/ERROR:  42704: rejection $id does not exist\nDETAIL:  Only the newest rejections/, 'deleted endpoint');
    is($bridge->count('webhook_bridge.explain_rejection(NULL)'), 0, 'null');
}

# --- Nothing is told ------------------------------------------------------------------------------------------------

cmp_ok(length $said, '>', 10_000, 'much was said');
unlike($said, qr/very-secret|zzzz/, 'but no secret');
unlike(scalar $bridge->log_text, qr/very-secret|zzzz/, 'and none in the log');
$bridge->stop;
done_testing;
