# What endpoints refuse is kept: with the reason, as it came, within bounds, and
# without harm to anything else; and it can be readmitted.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(sleep time);

use WebhookBridge;

# The keeper would delete what waits for its turn.
my $bridge = WebhookBridge->start('main', conf => 'webhook_bridge.keeper_interval = 0');
my $secret = 'shared secret';
my $connection = $bridge->connect;

$bridge->sql("SELECT webhook_bridge.create_endpoint('$_', 'ecomanager', '$secret')")
  for qw(shop flood quiet bounded probe renamed dropped off fresh storm beside);
$bridge->sql(<<"SQL");
SELECT webhook_bridge.create_endpoint('small', 'ecomanager', '$secret', max_body_size => 100);
SELECT webhook_bridge.create_endpoint('stripe', 'stripe', '$secret');
SELECT webhook_bridge.create_endpoint('standard', 'standard_webhooks', 'whsec_AAAA');
SELECT webhook_bridge.create_endpoint('cart', 'api2cart', '$secret');
SELECT webhook_bridge.create_endpoint('blaze', 'blaze', 'right-token');
SQL

sub rejections
{
    my ($condition) = @_;
    my $rows = $bridge->sql(<<"SQL");
SELECT row_to_json(r) FROM (
    SELECT id, endpoint, reason, method, query, encode(body, 'hex') AS body, body_size, remote_addr,
           extract(epoch FROM rejected_at)::text AS rejected_unix,
           (SELECT json_agg(json_build_array(key, value)) FROM json_each_text(headers)) AS header_list
    FROM webhook_bridge.rejections WHERE $condition ORDER BY id) r
SQL
    my @rows = map { decode_json($_) } split /\n/, $rows;
    $_->{body} = pack 'H*', $_->{body} for @rows;
    return @rows;
}

# Headers of a delivery that is signed with another secret.
sub forged
{
    my ($body) = @_;
    return ecomanager_headers('wrong', $body);
}

# Sends a delivery, again if need be because of the rate, until it is kept, and
# returns the row.  A header marks it.
my $mark = 0;

sub refused
{
    my ($target, $headers, $body, $status, $method) = @_;
    $mark++;
    my $row = poll_until(
        sub {
            my $answer = $connection->request($method // 'POST', $target, [ @$headers, 'X-Mark' => $mark ], $body);
            die "answered $answer->{status}" if $answer->{status} != ($status // 401);
            return (rejections("headers ->> 'X-Mark' = '$mark'"))[0];
        },
        "the rejection of a delivery to $target");
    $row->{answered} = $mark;
    return $row;
}

# Readmits and returns the result, "error" and what psql said, or "notice".
sub readmit
{
    my ($id) = @_;
    my ($status, $out, $err) = $bridge->node->psql('postgres', "\\set VERBOSITY verbose\nSELECT webhook_bridge.readmit_rejection($id)");
    return "error $err" if $status || $err =~ /ERROR/;
    return $err ? "notice $err" : $out;
}

# --- A flood, before anything else has used up the rates ---------------------------------

{
    my $start = time;
    my $other = $bridge->connect;
    $other->send(http_request('POST', '/hooks/flood', forged("{$_}"), "{$_}")) for 1 .. 300;
    $other->send(http_request('POST', '/hooks/quiet', forged('{}'), '{}'));
    my @answers = $other->responses(301);
    is(scalar(grep { "$_->{status} $_->{body}" ne '401 {"error":"delivery is not authentic"}' } @answers),
        0, 'flood: every one is answered');

    my $kept  = $bridge->count(q(webhook_bridge.rejections WHERE endpoint = 'flood'));
    my $bound = 20 + int(time - $start) + 1;
    cmp_ok($kept, '<=', $bound, 'flood: no more is kept than the rate allows');
    cmp_ok($kept, '>=', 20,     'flood: and no less');
    is($bridge->count(q(webhook_bridge.rejections WHERE endpoint = 'quiet')),
        1, 'flood: the first rejection of another endpoint is not hidden');
    is($bridge->status->{unauthorized}, 301, 'flood: all are counted');
    is((rejections(q(endpoint = 'flood')))[0]{body}, '{1}', 'flood: in order of arrival');
}

# --- Reasons, and that nothing of them is told --------------------------------------------

my $stale = time - 3600;
$stale = int $stale;
my $stripe_body = '{"id":"evt_1","type":"invoice.paid"}';

sub stripe
{
    my ($ts, $body, $key) = @_;
    return "t=$ts,v1=" . hmac_sha256_hex("$ts.$body", $key // $secret);
}

my %answers;
for my $row (
    # endpoint, headers, body, reason
    [ 'shop',   [],                                                       '{}', 'signature missing' ],
    [ 'shop',   [ 'X-Ecomanager-Signature' => '' ],                       '{}', 'signature missing' ],
    [ 'shop',   forged('{}'),                                             '{}', 'signature does not match' ],
    [ 'shop',   ecomanager_headers($secret, '{}'),                        '{ }', 'signature does not match' ],
    [ 'shop',   [ 'X-Ecomanager-Signature' => 'zzz' ],                    '{}', 'signature malformed' ],
    [ 'shop',   [ @{ ecomanager_headers($secret, '{}') }, 'X-Ecomanager-Signature' => 'f' x 64 ], '{}', 'several different signatures' ],
    [ 'stripe', [ 'Stripe-Signature' => stripe($stale, $stripe_body) ],   $stripe_body, 'timestamp outside the window' ],
    [ 'stripe', [ 'Stripe-Signature' => stripe($stale, $stripe_body, 'wrong') ], $stripe_body, 'signature does not match' ],
    [ 'stripe', [ 'Stripe-Signature' => stripe('soon', $stripe_body) ],   $stripe_body, 'timestamp malformed' ],
    [ 'stripe', [ 'Stripe-Signature' => 'v1=' . ('0' x 64) ],             $stripe_body, 'signed content incomplete' ])
{
    my ($endpoint, $headers, $body, $reason) = @$row;
    is(refused("/hooks/$endpoint", $headers, $body)->{reason}, $reason, "reason: $reason");
    my $answer = $connection->request('POST', "/hooks/$endpoint", $headers, $body);
    delete $answer->{headers}{date};
    $answers{ encode_json([ map { ref $_ ? [ map { "$_" } %$_{ sort keys %$_ } ] : "$_" } @$answer{qw(status reason body headers)} ]) } = $reason;
}
is(scalar keys %answers, 1, 'the answer is the same for every reason');
like((keys %answers)[0], qr/delivery is not authentic/, 'and says nothing more');
is(refused('/hooks/small', forged('x' x 101), 'x' x 101, 413)->{reason}, 'body too large', 'reason: body too large');
is(refused('/hooks/shop', [], '{}', 405, 'PUT')->{reason}, 'method not allowed', 'reason: method not allowed');

# larger than anything that is read
for my $size (1024 * 1024 + 1, 1 << 40)
{
    my $row = poll_until(
        sub {
            my $client = $bridge->connect;
            $client->send("POST /hooks/shop HTTP/1.1\r\nHost: x\r\nX-Mark: size $size\r\nExpect: 100-continue\r\nContent-Length: $size\r\n\r\n");
            answer_is($client->response, 413, 'body is too large', 'a body that is announced too large');
            ok($client->is_closed, 'the connection ends') if $size > 1 << 30;
            return (rejections("headers ->> 'X-Mark' = 'size $size'"))[0];
        },
        'the rejection of a body that was not read');
    is("$row->{reason} $row->{body_size} [$row->{body}]", "body too large $size []", 'a body that is not read: its size');
}
{
    my $row = poll_until(
        sub {
            my $client = $bridge->connect;
            $client->send("POST /hooks/shop HTTP/1.1\r\nHost: x\r\nX-Mark: chunks\r\nTransfer-Encoding: chunked\r\n\r\n"
                  . join '', map { "40000\r\n" . ('y' x 0x40000) . "\r\n" } 1 .. 5);
            answer_is($client->response, 413, 'body is too large', 'chunks that become too large');
            return (rejections("headers ->> 'X-Mark' = 'chunks'"))[0];
        },
        'the rejection of chunks');
    is("$row->{reason} $row->{body}", 'body too large ' . 'y' x 8192, 'chunks: the beginning is kept');
    cmp_ok($row->{body_size}, '>', 1024 * 1024, 'chunks: as far as they were read');
}

# --- What is kept --------------------------------------------------------------------------

{
    my $body = join '', map { chr } 0 .. 255;
    my $row  = refused('/hooks/shop?b=2&a=%20x&&', [ 'x-LOWER' => 'one', 'X-Twice' => 'a', 'X-Twice' => 'b', 'X-Latin' => "caf\xe9", 'X-Utf' => "caf\xc3\xa9", 'X-Quote' => q(a"\\b) ], $body);

    is($row->{body},      $body, 'body: byte for byte');
    is($row->{body_size}, 256,   'body: its size');
    is_deeply(
        $row->{header_list},
        [
            [ 'Host' => 'localhost' ], [ 'x-LOWER' => 'one' ], [ 'X-Twice' => 'a' ], [ 'X-Twice' => 'b' ],
            [ 'X-Latin' => "caf\x{e9}" ], [ 'X-Utf' => "caf\x{e9}" ], [ 'X-Quote' => q(a"\\b) ],
            [ 'X-Mark' => $row->{answered} ], [ 'Content-Length' => '256' ]
        ],
        'headers: in order, with spelling and repetitions');
    is($row->{query},       'b=2&a=%20x&&', 'query: as received');
    is($row->{method},      'POST',         'method');
    is($row->{remote_addr}, '127.0.0.1',    'address');
    cmp_ok(abs($row->{rejected_unix} - time), '<', $WebhookBridge::DEADLINE, 'time');

    $row = refused('/hooks/shop', [], 'x' x 20_000);
    is("$row->{body} $row->{body_size}", 'x' x 8192 . ' 20000', 'a long body: its beginning, and its size');
    $row = refused('/hooks/shop', [], 'x' x 8192);
    is("$row->{body} $row->{body_size}", 'x' x 8192 . ' 8192', 'a body just short enough: all of it');
    $row = refused('/hooks/blaze?token=wrong-token', [], '{}');
    is($row->{query}, 'token=wrong-token', 'a wrong token is not masked');
    my $token = $bridge->sql(q(SELECT secret FROM webhook_bridge.secrets WHERE endpoint = 'blaze'));
    $row = refused("/hooks/blaze?a=1&token=$token", [], '{}', 405, 'PUT');
    is($row->{query}, 'a=1&token=***', 'one that was not looked at is');
}

# --- What is not ---------------------------------------------------------------------------

{
    my $before = $bridge->count('webhook_bridge.rejections');
    $bridge->sql(q(UPDATE webhook_bridge.endpoints SET enabled = false WHERE name = 'off'));
    is($connection->request('POST', '/hooks/nowhere', forged('{}'), '{}')->{status}, 404, 'not kept: unknown path');
    is($connection->request('POST', '/hooks/off',     forged('{}'), '{}')->{status}, 404, 'not kept: disabled endpoint');
    is($connection->request('GET',  '/hooks/shop')->{status}, 200, 'not kept: probe');
    is($connection->request('POST', '/hooks/shop', ecomanager_headers($secret, '{}'), '{}')->{status}, 200, 'not kept: accepted');
    is($bridge->count('webhook_bridge.rejections'), $before, 'none of them is there');

    # an excessive head, once raw and once as JSON; "fresh" has its whole rate
    $bridge->reload('webhook_bridge.max_header_size' => '64kB');
    for my $value ('x' x 40_000, "\xe9" x 10_000)
    {
        poll_until(
            sub {
                my $answer = $bridge->post('/hooks/fresh', '{}', [ 'X-Long' => $value ]);
                return $answer->{status} == 401;
            },
            'long heads to be read');
    }
    refused('/hooks/fresh', [], 'behind');
    is(join(' ', map { $_->{body} } rejections(q(endpoint = 'fresh'))), 'behind', 'not kept: an excessive head');
}

# --- Endpoints that go --------------------------------------------------------------------------

{
    refused('/hooks/dropped', [], '{}');
    refused('/hooks/renamed', [], '{}');
    $bridge->sql(q(SELECT webhook_bridge.drop_endpoint('dropped')));
    is($bridge->count(q(webhook_bridge.rejections WHERE endpoint = 'dropped')), 0, 'drop_endpoint removes rejections');
    $bridge->sql(q(UPDATE webhook_bridge.endpoints SET name = 'new-name' WHERE name = 'renamed'));
    is($bridge->count(q(webhook_bridge.rejections WHERE endpoint = 'new-name')), 1, 'they follow a new name');
    is(refused('/hooks/renamed', [], '{}')->{endpoint}, 'new-name', 'and so do new ones');

    # somebody is just dropping one: nothing waits, nothing fails
    my $holder = $bridge->node->background_psql('postgres');
    $holder->query_safe(q(BEGIN; SELECT webhook_bridge.drop_endpoint('new-name');));
    is($connection->request('POST', '/hooks/renamed', [], '{}')->{status}, 401, 'an endpoint that is being dropped');
    refused('/hooks/shop', [], '{}');
    $holder->query_safe('ROLLBACK');
    $holder->quit;
    unlike(scalar $bridge->log_text, qr/failed in recording/, 'nothing has failed so far');
}

# --- The bound of rows -------------------------------------------------------------------------------

# Returns when the receiver has read the settings, which shows in the size of
# body it takes.
my $limit = 10_000;

sub reload
{
    my (%settings) = @_;
    $limit++;
    $bridge->reload(%settings, 'webhook_bridge.max_body_size' => $limit);
    poll_until(sub { $bridge->post('/hooks/probe', 'x' x $limit)->{status} == 401 }, 'settings to be read');
    return;
}

{
    reload('webhook_bridge.max_rejections' => 5);
    refused('/hooks/bounded', [], "{$_}") for 1 .. 12;
    is(join(' ', map { $_->{body} } rejections(q(endpoint = 'bounded'))), join(' ', map { "{$_}" } 8 .. 12), 'bound: the newest are kept');
    is($bridge->count(q(webhook_bridge.rejections WHERE endpoint = 'flood')) > 5, 1, 'bound: those of other endpoints wait for their turn');

    # rows that a session has locked are not waited for, and go later
    my $holder = $bridge->node->background_psql('postgres');
    $holder->query_safe(q(BEGIN; SELECT FROM webhook_bridge.rejections WHERE endpoint = 'bounded' FOR UPDATE;));
    refused('/hooks/bounded', [], '{13}');
    is($bridge->count(q(webhook_bridge.rejections WHERE endpoint = 'bounded')), 6, 'bound: a locked row stays');
    $holder->query_safe('ROLLBACK');
    $holder->quit;
    refused('/hooks/bounded', [], '{14}');
    is(join(' ', map { $_->{body} } rejections(q(endpoint = 'bounded'))), join(' ', map { "{$_}" } 10 .. 14), 'bound: until the next');
    unlike(scalar $bridge->log_text, qr/failed in recording/, 'bound: nothing has failed');

    reload('webhook_bridge.max_rejections' => 0);
    is($connection->request('POST', '/hooks/bounded', [], '{15}')->{status}, 401, 'bound of 0');
    sleep 1.1;    # more than the interval of the rate
    is($connection->request('POST', '/hooks/bounded', [], '{16}')->{status}, 401, 'bound of 0');
    is((rejections(q(endpoint = 'bounded')))[-1]{body}, '{14}', 'bound of 0: nothing more is kept');
    reload('webhook_bridge.max_rejections' => 100);
}

# --- Readmission ------------------------------------------------------------------------------------------

{
    my $body = join '', map { chr } 0 .. 255;
    my $row  = refused('/hooks/shop', [ @{ forged($body) }, 'X-Twice' => 'a', 'X-Twice' => 'b' ], $body);
    my $id   = $row->{id};
    my $session = $bridge->node->background_psql('postgres');
    $session->query_safe('LISTEN webhook_bridge');

    my $error = readmit($id);
    like($error, qr/ERROR:  55000: rejection $id is still refused/, 'readmit: still wrong');
    like($error, qr/DETAIL:  The reason: signature does not match\./, 'readmit: still wrong, reason');
    like($error, qr/HINT:  .*explain_rejection\($id\)/, 'readmit: still wrong, hint');
    is(scalar(rejections("id = $id")), 1, 'readmit: still wrong, still there');

    # in one transaction with the secret, and taken back
    $bridge->sql("BEGIN; SELECT webhook_bridge.add_secret('shop', 'wrong', 'new'); SELECT webhook_bridge.readmit_rejection($id); ROLLBACK");
    is(scalar(rejections("id = $id")), 1, 'readmit: rolled back, still there');
    like(readmit($id), qr/still refused/, 'readmit: rolled back, nothing stays in memory');
    $bridge->sql("BEGIN; SELECT webhook_bridge.add_secret('shop', 'wrong', 'new'); COMMIT");

    my $event_id = readmit($id);
    like($event_id, qr/\A\d+\z/, 'readmit: returns an id');
    my ($event) = $bridge->events("id = $event_id");
    is($event->{body}, $body, 'readmit: the body, byte for byte');
    is_deeply($event->{header_list}, $row->{header_list}, 'readmit: the headers');
    is_deeply(
        [ @$event{qw(endpoint topic method query remote_addr secret_label)} ],
        [ 'shop', 'OrderCreated', 'POST', undef, '127.0.0.1', 'new' ],
        'readmit: the columns');
    ok($event->{verified}, 'readmit: verified');
    is(scalar(rejections("id = $id")), 0, 'readmit: the rejection is gone');
    my $output = $session->query_safe('SELECT 1');
    poll_until(sub { ($output .= $session->query_safe('SELECT 1')) =~ /Asynchronous/ }, 'the notification');
    like($output, qr/payload "\{"endpoint":"shop","topic":"OrderCreated","id":$event_id\}"/, 'readmit: notified');
    $session->quit;

    like(readmit($id), qr/ERROR:  42704: rejection $id does not exist/, 'readmit twice');
    is($bridge->sql('SELECT webhook_bridge.readmit_rejection(NULL) IS NULL'), 't', 'readmit null');
    $bridge->sql(q(SELECT webhook_bridge.retire_secret('shop', 'new')));
}

# Two sessions at once: the second waits, and finds nothing.
{
    my $id = refused('/hooks/shop', ecomanager_headers('other', '{"twice":1}'), '{"twice":1}')->{id};
    $bridge->sql(q(SELECT webhook_bridge.add_secret('shop', 'other', 'other')));
    my $first  = $bridge->node->background_psql('postgres');
    my $second = $bridge->node->background_psql('postgres', on_error_stop => 0);
    $first->query_safe("BEGIN; SELECT webhook_bridge.readmit_rejection($id);");
    $second->query_until(qr/started/, "\\echo started\nSELECT webhook_bridge.readmit_rejection($id);\n");
    poll_until(sub { $bridge->count('pg_locks WHERE NOT granted') > 0 }, 'the second session to wait');
    $first->query_safe('COMMIT');
    $first->quit;
    $second->query('SELECT 1');
    like($second->{stderr}, qr/rejection $id does not exist/, 'readmit in two sessions: one finds nothing');
    $second->quit;
    is($bridge->count(q(webhook_bridge.events WHERE payload ->> 'twice' = '1')), 1, 'readmit in two sessions: one event');
    $bridge->sql(q(SELECT webhook_bridge.retire_secret('shop', 'other')));
}

# Headers that are signed, with their spelling.
{
    my @signed = ('X-Webhook-Action' => 'update', 'X-Webhook-Entity' => 'product', 'X-Webhook-Store-Id' => '1');
    my $json   = '{' . join(',', map { qq("$signed[2 * $_]":"$signed[2 * $_ + 1]") } 0 .. 2) . '}';
    my $row    = refused('/hooks/cart', [ @signed, 'X-Webhook-Signature' => encode_base64(hmac_sha256("$json\{}", 'other'), '') ], '{}');
    is($row->{reason}, 'signature does not match', 'signed headers: refused');
    $bridge->sql(q(SELECT webhook_bridge.add_secret('cart', 'other')));
    like(readmit($row->{id}), qr/\A\d+\z/, 'signed headers: readmitted');
}

# A token: masked in the event.
{
    my $row = refused('/hooks/blaze?token=other-token', [], '{}');
    $bridge->sql(q(SELECT webhook_bridge.add_secret('blaze', 'other-token')));
    my $id = readmit($row->{id});
    is(($bridge->events("id = $id"))[0]{query}, 'token=***', 'a token is masked in the event');
}

# Time of signing: judged as of the arrival.
{
    my $row = refused('/hooks/stripe', [ 'Stripe-Signature' => stripe($stale, $stripe_body) ], $stripe_body);
    like(readmit($row->{id}), qr/The reason: timestamp outside the window\./, 'readmit: stale then');
    my $now = int time;
    $row = refused('/hooks/stripe', [ 'Stripe-Signature' => stripe($now, $stripe_body, 'other') ], $stripe_body);
    $bridge->sql(q(SELECT webhook_bridge.add_secret('stripe', 'other')));
    $bridge->sql("UPDATE webhook_bridge.rejections SET rejected_at = rejected_at + interval '1 hour' WHERE id = $row->{id}");
    like(readmit($row->{id}), qr/outside the window/, 'readmit: in time now, not then');

    my $early = stripe($stale, $stripe_body, 'other');
    $row = refused('/hooks/stripe', [ 'Stripe-Signature' => $early ], $stripe_body);
    $bridge->sql("UPDATE webhook_bridge.rejections SET rejected_at = to_timestamp($stale + 10) WHERE id = $row->{id}");
    like(readmit($row->{id}), qr/\A\d+\z/, 'readmit: in time then, not now');

    # a secret that has expired since counts no more
    $row = refused('/hooks/shop', ecomanager_headers('expired', '{}'), '{}');
    $bridge->sql(q(SELECT webhook_bridge.add_secret('shop', 'expired', 'expired', now() - interval '1 microsecond')));
    $bridge->sql("UPDATE webhook_bridge.rejections SET rejected_at = rejected_at - interval '1 hour' WHERE id = $row->{id}");
    like(readmit($row->{id}), qr/still refused/, 'readmit: with secrets of today');
}

# What was stored before.
{
    my $now  = int time;
    my $body = '{"type":"a"}';
    my $sign = sub { 'v1,' . encode_base64(hmac_sha256("m-1.$now.$body", decode_base64($_[0])), '') };
    my @id   = ('webhook-id' => 'm-1', 'webhook-timestamp' => $now);
    my $row  = refused('/hooks/standard', [ @id, 'webhook-signature' => $sign->('BBBB') ], $body);
    answer_is($connection->request('POST', '/hooks/standard', [ @id, 'webhook-signature' => $sign->('AAAA') ], $body),
        200, 'stored', 'the same delivery, well signed');
    $bridge->sql(q(SELECT webhook_bridge.add_secret('standard', 'whsec_BBBB')));
    my $result = readmit($row->{id});
    like($result, qr/\Anotice .*NOTICE:  00000: the delivery of rejection $row->{id} was stored before/, 'readmit: stored before, a notice');
    is(scalar(rejections("id = $row->{id}")), 0, 'readmit: stored before, the rejection is gone');
    is($bridge->count(q(webhook_bridge.events WHERE external_id = 'm-1')), 1, 'readmit: stored before, one event');
    $row = refused('/hooks/standard', [ @id, 'webhook-signature' => $sign->('CCCC') ], $body);
    $bridge->sql(q(SELECT webhook_bridge.add_secret('standard', 'whsec_CCCC')));
    is($bridge->sql("SELECT webhook_bridge.readmit_rejection($row->{id}) IS NULL"), 't', 'readmit: stored before, null');
}

# What cannot be.
{
    my $row = refused('/hooks/shop', ecomanager_headers('late', 'x' x 9000), 'x' x 9000);
    my $error = readmit($row->{id});
    like($error, qr/ERROR:  55000: rejection $row->{id} cannot be readmitted.*Only 8192 of 9000 bytes of its body were kept/s, 'readmit: part of a body');
    $row = refused('/hooks/flood', forged('{}'), '{}');
    $bridge->sql(q(UPDATE webhook_bridge.endpoints SET enabled = false WHERE name = 'flood'));
    like(readmit($row->{id}), qr/ERROR:  55000: .*Endpoint "flood" is disabled/s, 'readmit: disabled endpoint');
    like(readmit(-1), qr/ERROR:  42704: rejection -1 does not exist/, 'readmit: no such rejection');
}

# A partition of events for today, if it is missing; and a null address.
{
    my $row = refused('/hooks/shop', ecomanager_headers('late', '{}'), '{}');
    $bridge->sql(q(SELECT webhook_bridge.add_secret('shop', 'late')));
    $bridge->sql(q(UPDATE webhook_bridge.rejections SET remote_addr = NULL));
    my $partition = $bridge->sql(q(SELECT 'webhook_bridge.events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')));
    like($bridge->sql("DROP TABLE $partition; SELECT webhook_bridge.readmit_rejection($row->{id})"), qr/\A\d+\z/, 'readmit: without a partition');
}

# --- Harm ---------------------------------------------------------------------------------------------------

# A forged and a right delivery in one batch, until the log says that recording
# has failed; then some more.  All are answered, and the right ones stored.
my $log_offset = 0;
my $right      = 0;

sub unharmed
{
    my ($what, $failure) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $from = $right;
    my $text;
    my $send = sub {
        my $body = '{"right":' . ++$right . '}';
        $connection->send(http_request('POST', '/hooks/quiet', forged('{}'), '{}')
              . http_request('POST', '/hooks/quiet', ecomanager_headers($secret, $body), $body));
        my $statuses = join ' ', map { $_->{status} } $connection->responses(2);
        die "$what: answered $statuses" if $statuses ne '401 200';
    };
    poll_until(
        sub {
            $send->();
            ($text) = $bridge->log_text($log_offset);
            return $text =~ /failed in recording rejections: $failure/;
        },
        "recording to fail by $what");
    pass("$what: recording fails");
    $send->() for 1 .. 20;
    return $from;
}

sub stored_since
{
    my ($what, $from) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($bridge->count("webhook_bridge.events WHERE (payload ->> 'right')::int > $from"),
        $right - $from, "$what: every delivery that was accepted is stored");
    (undef, $log_offset) = $bridge->log_text;
    return;
}

{
    my $holder = $bridge->node->background_psql('postgres');
    $holder->query_safe('BEGIN; LOCK TABLE webhook_bridge.rejections IN ACCESS EXCLUSIVE MODE');
    my $from = unharmed('a lock', 'canceling statement due to lock timeout');
    stored_since('a lock', $from);
    $holder->query_safe('COMMIT');
    $holder->quit;

    for my $row (
        [ 'a trigger that raises', q(RAISE EXCEPTION 'no';), 'error P0001' ],
        [ 'a trigger that sleeps', q(PERFORM pg_sleep(600); RETURN NEW;), 'canceling statement due to user request' ])
    {
        my ($what, $code, $failure) = @$row;
        $bridge->sql("CREATE OR REPLACE FUNCTION harm() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN $code END\$\$");
        $bridge->sql('CREATE TRIGGER harm BEFORE INSERT ON webhook_bridge.rejections FOR EACH ROW EXECUTE FUNCTION harm()');
        stored_since($what, unharmed($what, $failure));
        $bridge->sql('DROP TRIGGER harm ON webhook_bridge.rejections');
    }
    ok(refused('/hooks/quiet', [], '{}'), 'afterwards rejections are kept again');
    is($bridge->status->{unavailable}, 0, 'and none of all was answered 503');
}

# --- Forged deliveries that are dear to verify -----------------------------------------------------------------

# Large bodies with as many signatures as are tried, at a public key: nobody
# else has to wait long, and the receivers live on.
{
    $bridge->sql(q(SELECT webhook_bridge.create_endpoint('dear', 'standard_webhooks_v1a',
        'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=', max_body_size => 1000000)));
    my @receivers = $bridge->workers('receiver');
    my $forged = 'v1a,' . ('A' x 86) . '==';
    my $body   = 'x' x 900_000;
    my @clients = map { $bridge->connect } 1 .. 40;
    for my $client (@clients)
    {
        $client->send(http_request('POST', '/hooks/dear',
            [ 'webhook-id' => 'm', 'webhook-timestamp' => int time, 'webhook-signature' => join ' ', ($forged) x 12 ], $body));
    }
    my %honest;
    for my $i (1 .. 50)
    {
        my $text = "{\"honest\":$i}";
        my $answer = poll_until(
            sub {
                my $try = $bridge->post('/hooks/shop', $text, ecomanager_headers($secret, $text));
                return $try->{status} == 200 && $try;
            },
            'an honest delivery beside');
        $honest{ $answer->{status} }++;
    }
    my %dear;
    $dear{ $_->response->{status} }++ for @clients;
    is_deeply(\%honest, { 200 => 50 }, 'dear: honest deliveries are stored');
    delete $dear{503};    # the rest of a batch that took too long
    is(join(',', keys %dear), '401', 'dear: forged ones are refused');
    is_deeply([ $bridge->workers('receiver') ], \@receivers, 'dear: the receivers are the same');
}

# --- A storm of forged deliveries, from many, at two receivers ------------------------------------------------

{
    $bridge->reload('webhook_bridge.receivers' => 2, 'webhook_bridge.max_rejections' => 10);
    poll_until(sub { $bridge->sql(q(SELECT count(*) FROM webhook_bridge.status() WHERE state = 'listening')) == 2 },
        'two receivers');
    my $before = $bridge->status;
    my $forged = $bridge->storm(path => '/hooks/storm', secret => 'wrong', connections => 128);
    my $true   = $bridge->storm(path => '/hooks/beside', secret => $secret, connections => 8);
    my $end    = time + 10;
    my $most   = 0;

    poll_until(
        sub {
            my $rows = $bridge->sql(<<'SQL');
SELECT coalesce(max(n), 0) FROM (SELECT count(*) n FROM webhook_bridge.rejections WHERE endpoint = 'storm') c
SQL
            $most = $rows if $rows > $most;
            return time > $end && ($forged->progress->{refused} // 0) > 1000 && ($true->progress->{acknowledged} // 0) > 100;
        },
        'the storm');
    my $all  = $forged->finish;
    my $good = $true->finish;
    diag(sprintf '%d forged refused, %d true stored beside; rejections: %s',
        $all->{refused}, $good->{acknowledged},
        $bridge->sql(q(SELECT pg_size_pretty(pg_total_relation_size('webhook_bridge.rejections')))));
    is($all->{acknowledged}, 0, 'storm: no forged delivery is accepted');
    is("$good->{refused} $good->{lost}", '0 0', 'storm: no true one is refused');
    is($bridge->count(q(webhook_bridge.events WHERE endpoint = 'beside')), $good->{acknowledged}, 'storm: and all of them are stored');
    is($bridge->count(q(webhook_bridge.events WHERE endpoint = 'storm')), 0, 'storm: nothing else is');
    cmp_ok($most, '>', 0,  'storm: some rejections are kept');
    cmp_ok($most, '<=', 10, 'storm: at no time more than the bound');
    cmp_ok($bridge->sql(q(SELECT pg_total_relation_size('webhook_bridge.rejections'))), '<', 4_000_000, 'storm: the table stays small');
    is($bridge->status->{unavailable}, $before->{unavailable}, 'storm: nothing is answered 503');
}

$bridge->stop;

# --- A server that does not preload the library, as after a restore ---------------------------------------------

{
    my $node = PostgreSQL::Test::Cluster->new('plain');
    $node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
    $node->start;
    $node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION webhook_bridge;
SELECT webhook_bridge.create_endpoint('plain', 'generic', 'a secret');
INSERT INTO webhook_bridge.rejections (endpoint, reason, method, headers, body, body_size)
SELECT 'plain', 'signature does not match', 'POST', webhook_bridge.sign('generic', 'another', 'hello')::json, 'hello', 5
FROM generate_series(1, 2);
SQL
    my ($status, undef, $err) = $node->psql('postgres', 'SELECT webhook_bridge.readmit_rejection(1)');
    like($err, qr/still refused/, 'not preloaded: judged');
    $node->safe_psql('postgres', q(SELECT webhook_bridge.add_secret('plain', 'another')));
    is($node->safe_psql('postgres', 'SELECT webhook_bridge.readmit_rejection(1) > 0'), 't', 'not preloaded: readmitted');

    # with the rights of whoever calls
    ($status, undef, $err) = $node->psql('postgres', <<'SQL');
CREATE ROLE caller;
GRANT USAGE ON SCHEMA webhook_bridge TO caller;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook_bridge TO caller;
GRANT SELECT, DELETE ON webhook_bridge.rejections TO caller;
GRANT SELECT ON webhook_bridge.endpoints TO caller;
SET ROLE caller;
SELECT webhook_bridge.readmit_rejection(2);
SQL
    like($err, qr/permission denied for table (?:secrets|providers)/, 'rights: who may not read secrets cannot readmit');
    is($node->safe_psql('postgres', 'SELECT count(*) FROM webhook_bridge.rejections'), 1, 'rights: nothing happens');
    $node->stop;
}

done_testing;
