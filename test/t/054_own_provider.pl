# A provider of one's own, with a management API: the README's example, against
# a stand-in for Shopify.  And what a role that has the README's grants for
# registering can do, find out, and not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookBridge;

my $token  = 'shpat_7f1d0c9be2';
my $secret = 'shpss_52a8cc01d7';

# --- The stand-in ------------------------------------------------------------

# It ends when its standard input does; see Emulator.pm.
pipe my $reader, my $stdin or die "could not make a pipe: $!";
my ($out, $err) = ('', '');
my $stub = IPC::Run::start([ 'node', "$FindBin::Bin/../shopify_stub.mjs", $token ], '<', $reader, '>', \$out, '2>', \$err);
close $reader;
$stub->pump until $out =~ /\n/;
my ($port) = $out =~ /(\d+)/;

# Makes an answer the next one.
sub next_answer
{
    my ($status, $body, %headers) = @_;
    my $content = encode_json({ status => $status, body => $body, headers => \%headers });
    HTTP::Tiny->new->put("http://127.0.0.1:$port/answer", { content => $content })->{success} or die;
    return;
}

# --- The provider, as in the README ------------------------------------------

my $bridge = WebhookBridge->start('own_provider', conf => 'webhook_bridge.http_allow_insecure = on');
my $node   = $bridge->node;
my @blocks = slurp_file("$FindBin::Bin/../../README.md") =~ /^```sql\n(.*?)^```/msg;

for my $text ('CREATE SCHEMA shopify_admin', 'CREATE ROLE shop_admin')
{
    my ($block) = grep { index($_, $text) >= 0 } @blocks;
    $bridge->sql($block);
}

# Runs a statement and returns its result, or "SQLSTATE: DETAIL" of its error.
sub outcome
{
    my ($sql, %options) = @_;
    my ($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", %options);
    return $stdout if $status == 0 && $stderr eq '';
    my ($code)   = $stderr =~ /ERROR:  (\w{5}):/;
    my ($detail) = $stderr =~ /^DETAIL:  (.*)$/m;
    return ($code // $stderr) . ': ' . ($detail // '');
}

my $base = "http://127.0.0.1:$port/admin/api/2025-01";
# what is a secret is not to be logged by the test itself
my $quiet = q{SET log_statement = 'none'; SET log_min_error_statement = 'panic';};
$bridge->sql(qq($quiet SELECT webhook_bridge.create_account('teashop', 'shopify_admin', '$base', '{"access_token": "$token", "client_secret": "$secret"}')));
$bridge->sql(qq($quiet SELECT webhook_bridge.create_account('wrong', 'shopify_admin', '$base', '{"access_token": "shpat_wrong1", "client_secret": "$secret"}')));
$bridge->sql(q{SELECT webhook_bridge.create_endpoint('tea', 'shopify_admin', account => 'teashop')});
my $url = $bridge->sql(q{SELECT webhook_bridge.delivery_url('tea')});

# --- The full circle ---------------------------------------------------------

my $register = q{SELECT id, remote_id, delivery_url, state FROM webhook_bridge.register_webhook('teashop', 'orders/create', 'tea')};
like(outcome("$register;"), qr/^1\|\d+\|\Q$url\E\|active$/, 'registered');
my $first = $bridge->sql(q{SELECT remote_id FROM webhook_bridge.webhooks});
is(outcome("$register;"), "1|$first|$url|active", 'registered again, and found');
is(outcome("BEGIN; DELETE FROM webhook_bridge.webhooks; COMMIT; $register;") =~ s/^\d+//r, "|$first|$url|active", 'found by a server that did not know it');
my $id = $bridge->sql('SELECT id FROM webhook_bridge.webhooks');

my $body  = '{"id": 1, "total_price": "12.00"}';
my $signed = decode_json($bridge->sql("$quiet SELECT webhook_bridge.sign('shopify_admin', '$secret', '$body')"));
my $answer = $bridge->post('/hooks/tea', $body, [ %$signed, 'X-Shopify-Topic' => 'orders/create', 'X-Shopify-Webhook-Id' => 'a-1' ]);
answer_is($answer, 200, 'stored', 'a signed delivery is stored');
is($bridge->sql('SELECT endpoint, topic, external_id, verified FROM webhook_bridge.events'), 'tea|orders/create|a-1|t', 'as event');

is(outcome("SELECT topic, remote_id FROM webhook_bridge.update_webhook($id, topic => 'orders/paid');"), "orders/paid|$first", 'changed');
is(outcome("SELECT state, remote_id FROM webhook_bridge.set_webhook_active($id, false);"), 'inactive|', 'stopped: deleted there');
is(outcome("SELECT webhook_bridge.count_webhooks('teashop');"), '0', 'so that none is counted');
like(outcome("SELECT state, topic FROM webhook_bridge.set_webhook_active($id, true);"), qr{^active\|orders/paid$}, 'resumed');
is(outcome("SELECT difference, wanted FROM webhook_bridge.sync_webhooks('teashop');"), '|', 'the two sides agree');

# --- Pages -------------------------------------------------------------------

my $agent = HTTP::Tiny->new(default_headers => { 'X-Shopify-Access-Token' => $token });
for my $i (1 .. 600)
{
    $agent->post("$base/webhooks.json", { content => qq({"webhook": {"topic": "orders/create", "address": "https://example.com/$i"}}) });
}
is(outcome("SELECT count(*), count(DISTINCT remote_id) FROM webhook_bridge.list_webhooks('teashop');"), '601|601', 'all pages are read');
is(outcome(q(SELECT count(*) FROM webhook_bridge.list_webhooks('teashop', '{"topic": "orders/create"}');)), '600', 'also with a filter');
is(outcome(q(SELECT webhook_bridge.count_webhooks('teashop', '{"topic": "orders/create"}');)), '600', 'which counting has too');
is(outcome(q(SELECT webhook_bridge.count_webhooks('teashop', '{"active": false}');)), '0', 'or the list is counted');

# --- Errors ------------------------------------------------------------------

my $list = "SELECT count(*) FROM webhook_bridge.list_webhooks('teashop');";
my $get  = qq(Operation "list", GET $base/webhooks.json);
is(outcome("SELECT webhook_bridge.list_webhooks('wrong');"),
    "WB011: $get, status 401. [API] Invalid API key or access token (unrecognized login or wrong password)", 'a wrong token');
is(outcome("SELECT webhook_bridge.get_webhook('teashop', '1');"),
    qq(WB012: Operation "get", GET $base/webhooks/1.json, status 404. Not Found), 'a webhook that is not there');
is(outcome("SELECT webhook_bridge.register_webhook('teashop', 'orders', 'tea');"),
    qq(WB014: Operation "create", POST $base/webhooks.json, status 422. topic: Invalid topic specified.), 'a topic that is none');
next_answer(429, '{"errors": "Exceeded 2 calls per second for api client."}', 'Retry-After' => '2.0');
like(outcome($list), qr/^(?:WB015: \Q$get\E, status 429\. Exceeded 2 calls|601)/, 'too many calls');
next_answer(500, 'Internal Server Error');
like(outcome($list), qr/^(?:WB016: \Q$get\E, status 500|601)/, 'a failing server');
next_answer(200, '<html>maintenance</html>');
like(outcome($list), qr/^WB017: /, 'a page in place of an answer');
next_answer(200, qq({"webhooks": [{"nothing": "$token"}]}));
like(outcome($list), qr/^WB017: /, 'a list of something else');
next_answer(403, qq({"errors": "the token $token may not"}));
is(outcome($list), "WB011: $get, status 403. the token *** may not", 'a provider that shows the token');
is(outcome("SELECT webhook_bridge.register_webhook('teashop', 'shop/update', 'tea', active => false);"),
    '22023: Shopify has no webhooks that are not active.', 'what it does not have');
is(outcome(q(SELECT webhook_bridge.register_webhook('teashop', 'shop/update', 'tea', options => '{"a": 1}');)),
    '22023: There are: fields, metafield_namespaces.', 'an option that it does not have');

# --- The README's grants for who registers webhooks --------------------------

my @as = (extra_params => [ '-U', 'shop_admin' ]);
like(outcome("SELECT state FROM webhook_bridge.register_webhook('teashop', 'orders/updated', 'tea');", @as), qr/^active$/, 'it registers');
is(outcome($list, @as), '602', 'it lists');
is(outcome("SELECT count(*) FROM webhook_bridge.list_topics('teashop');", @as), '0', 'it asks for topics');
for my $statement (
    'TABLE webhook_bridge.accounts', 'TABLE webhook_bridge.secrets', 'TABLE webhook_bridge.webhooks', 'TABLE webhook_bridge.endpoints',
    'TABLE webhook_bridge.providers', 'TABLE webhook_bridge.events',
    "SELECT webhook_bridge.delete_webhook($id)", "SELECT webhook_bridge.update_webhook($id, topic => 'orders/delete')",
    "SELECT webhook_bridge.set_webhook_active($id, false)", "SELECT webhook_bridge.sync_webhooks('teashop', true)",
    "SELECT webhook_bridge.adopt_webhook('teashop', '1', 'tea')", "SELECT webhook_bridge.drop_account('teashop')",
    "SELECT webhook_bridge.account_row('teashop')", "SELECT webhook_bridge.create_endpoint('mine', 'generic', 's')",
    "SELECT webhook_bridge.add_secret('tea', 'mine')", "SELECT webhook_bridge.webhook_secret(NULL, 'tea')",
    q(SELECT webhook_bridge.remote_request(NULL, 'list', '{}')),
    q(SELECT webhook_bridge.http_call(ROW('GET', 'http://127.0.0.1/', '{}', NULL), true)),
    q(SELECT webhook_bridge.create_account('mine', 'shopify_admin', 'https://example.com/admin/api/2025-01', '{}')),
    'CREATE TABLE webhook_bridge.mine ()')
{
    is(outcome("$statement;", @as), '42501: ', "it may not: $statement");
}

# what it is shown, whatever goes wrong
my $shown = '';
next_answer(200, qq({"webhooks": [{"id": 1, "topic": "a/b", "token": "$token", "client_secret": "$secret"}]}));
for my $statement ($list =~ s/count\(\*\)/t/r =~ s/\('teashop'\)/$&  AS t/r, "SELECT webhook_bridge.list_webhooks('wrong');",
    "SELECT webhook_bridge.register_webhook('teashop', 'orders', 'tea');",
    q(SELECT webhook_bridge.list_webhooks('teashop', '[]');), q(SELECT webhook_bridge.list_webhooks('teashop', '{"page": 1}');),
    q(SET webhook_bridge.http_timeout = 1; SELECT webhook_bridge.list_webhooks('teashop');),
    q(SET statement_timeout = 1; SELECT webhook_bridge.list_webhooks('teashop');),
    q(SET plpgsql.print_strict_params = on; SELECT webhook_bridge.list_webhooks('wrong');),
    map { "SET client_min_messages = debug5; SET debug_print_parse = on; SET debug_print_rewritten = on; SET debug_print_plan = on;
           SET plan_cache_mode = force_custom_plan; SELECT webhook_bridge.$_;" }
    "list_topics('teashop')", "list_webhooks('wrong')", "register_webhook('teashop', 'orders/updated', 'tea')")
{
    my ($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement", @as);
    $shown .= $stdout . $stderr;
}
like($shown, qr/WB0\d\d/, 'it is shown errors');
like($shown, qr/PLANNEDSTMT/, 'and plans');
# in a plan as bytes in decimal, over several lines
my $leak = join '|', map { $_, join '\s+', map { ord } split // } $token, $secret, 'shpat_wrong1';
unlike($shown, qr/$leak/, 'and no secret');

# --- The log -----------------------------------------------------------------

$node->stop;
my $log = slurp_file($node->logfile);
like($log, qr/ERROR:  account "wrong" is not authorized at Shopify Admin/, 'errors are logged');
unlike($log, qr/$leak/, 'and no secret there either');

close $stdin;
$stub->finish;
is($err, '', 'the stand-in made no mistake');
done_testing();
