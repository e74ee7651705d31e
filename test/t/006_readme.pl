# The README does what it says: its quick start works when pasted, its other
# statements run, and its tables of settings and functions are those of the
# server.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use Emulator;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookBridge;

my $readme   = slurp_file("$FindBin::Bin/../../README.md");
my $emulator = Emulator->start;
my $bridge   = WebhookBridge->start('readme', extension => 0, conf => 'webhook_bridge.http_allow_insecure = on');
my $node     = $bridge->node;

# Statements of the block of SQL that contains a text.
sub block_with
{
    my ($text) = @_;
    my @blocks = grep { index($_, $text) >= 0 } $readme =~ /^```sql\n(.*?)^```/msg;
    is(scalar @blocks, 1, "one block of SQL contains \"$text\"");
    return $blocks[0];
}

# --- Five statements, pasted -------------------------------------------------

my ($out, $err);
IPC::Run::run([ 'psql', '-X', '-d', $node->connstr('postgres') ],
    '<', \block_with('CREATE EXTENSION'), '>', \$out, '2>', \$err);
is($err, '', 'the quick start raises no error');
like($out, qr/^\{"status":"stored"\}$/m, 'the delivery is answered');
like($out, qr/^ +1 \| shop +\| order\.created \| 42 +\| t$/m, 'the event is shown');
like($out,
    qr/^Asynchronous notification "webhook_bridge" with payload "\{"endpoint":"shop","topic":"order\.created","id":1\}"/m,
    'the notification is shown');

# --- The other statements ----------------------------------------------------

my %result;
for my $text ("'ecomanager', secret", 'change it at the provider', "SET dedup = 'content'", 'log_min_error_statement', "'acme', 'Acme'", "verify('acme'",
    'title, remarks', 'CREATE ROLE shop_reader', 'CREATE ROLE shop_worker', 'CREATE ROLE webhook_receiver', 'CREATE ROLE shop_admin', 'CREATE SCHEMA shopify_admin', "SET retention = '90 days'", 'failed_at, error', 'webhook_bridge.status()', 'explain_signature', 'reason, body_size', 'explain_rejection',
    "self_test('orders')", 'LISTEN webhook_bridge;                ')
{
    my ($status, $stdout, $stderr) = $node->psql('postgres', block_with($text), on_error_stop => 1);
    is($status, 0, "the statements with \"$text\" run") or diag $stderr;
    $result{$text} = $stdout;
}
is($result{"verify('acme'"}, 't', 'the signature made with openssl is right');
is(scalar(() = $result{"self_test('orders')"} =~ /\|t\|/g), 8, 'the self-test is well in all its steps');
like($result{explain_signature}, qr/without the white space around it/, 'the fault is found');

# --- Registering webhooks, at the emulator -----------------------------------

my $token = $emulator->overview->{providers}{ecomanager}{settings}{token};
for my $text ("register_webhook('main-shop'", 'count_webhooks(', 'sync_webhooks(', 'SET credentials', 'registration_request(')
{
    my $block = block_with($text);
    $block =~ s{https://myshop\.ecomanager\.dz}{$emulator->url('ecomanager')}e;
    $block =~ s{the API token}{$token};
    # people at Ecwid take HTTPS only
    if ($text =~ /registration/)
    {
        $bridge->sql(q{ALTER SYSTEM SET webhook_bridge.public_url = 'https://hooks.example.com'});
        $bridge->sql('SELECT pg_reload_conf()');
        $node->poll_query_until('postgres', q{SELECT webhook_bridge.base_url() LIKE 'https:%'});
    }
    my ($status, $stdout, $stderr) = $node->psql('postgres', $block, on_error_stop => 1);
    is($status, 0, "the statements with \"$text\" run") or diag $stderr;
    $result{$text} = $stdout;
}
like($result{"register_webhook('main-shop'"}, qr/^1\|\d+\|active$/m, 'the webhook is registered and was activated');
like($result{'count_webhooks('}, qr{^1\|\d+\|OrderCreated\|http://127\.0\.0\.1:\d+/hooks/shop-orders\|active\n1\nNew orders\|\{.*"X-Shop".*\ninactive\nactive$}s,
    'it is listed, counted, changed, stopped and resumed');
like($result{'sync_webhooks('}, qr/^1\|shop-orders\|OrderCreated\|\d+\|\|/, 'the two sides agree');
is(scalar $emulator->webhooks('ecomanager'), 0, 'it is deleted');
like($result{'registration_request('}, qr{https://hooks\.example\.com/hooks/ecwid\nmanual\nTo: },
    'what is to be registered at Ecwid is recorded');
like($result{'registration_request('}, qr{\nWebhook URL: https://hooks\.example\.com/hooks/ecwid\n.*order\.created}s,
    'the text for Ecwid says it');

# --- Consuming ---------------------------------------------------------------

my %consuming = ("create_consumer('billing'" => '', "fetch_events('billing', 100)" => '', "create_consumer('stock'" => '',
    "fail_event('billing'" => '', 'consumer_status()' => '');
for my $text ("create_consumer('billing'", "create_consumer('stock'")
{
    is(($node->psql('postgres', block_with($text), on_error_stop => 1))[0], 0, "the statements with \"$text\" run");
}
my @ids = split /\n/, $bridge->sql(<<~'SQL');
    INSERT INTO webhook_bridge.events (endpoint, topic, method, headers, payload, verified)
    SELECT 'orders', 'order.' || n, 'POST', '[]', json_build_object('n', n), true FROM generate_series(1, 3) n RETURNING id
    SQL
my $acknowledged = "$ids[0],$ids[2]";
my $loop = block_with("fetch_events('billing', 100)") =~ s/1,2,3/$acknowledged/r;
is($bridge->sql($loop), join("\n", (map { qq($ids[$_ - 1]|order.$_|{"n" : $_}) } 1 .. 3), 2), 'events are fetched and acknowledged');
like($bridge->sql(block_with("fail_event('billing'") =~ s/, 2,/, $ids[1],/r), qr/\A\d{4}-/, 'one fails');
like($bridge->sql(block_with('consumer_status()')), qr/\Abilling\|1\|[\d.]+\|0\|1\|0\|.*\nstock\|0\|.*\n2\z/, 'which shows, and the others are replayed');
%result = (%result, %consuming);

my $block_count = () = $readme =~ /^```sql$/mg;
is(scalar(keys %result) + 1, $block_count, 'no block of SQL is left out');
is($bridge->sql(q{SELECT webhook_bridge.sign('acme', 'k', '{}') ? 'X-Acme-Time'}), 't', 'the own provider works');

# --- Settings ----------------------------------------------------------------

my $settings = $bridge->sql(<<~'SQL');
    SELECT name, context, CASE unit WHEN 'B' THEN '' ELSE coalesce(unit, '') END, boot_val
    FROM pg_settings WHERE name LIKE 'webhook\_bridge.%' ORDER BY name
    SQL
my %unit = (kB => [ 1024, 'MB' ], ms => [ 1000, 's' ], s => [ 60, 'min' ], '' => [ 1024, 'kB' ]);
my %shown;
for (split /\n/, $settings)
{
    my ($name, $context, $unit, $value) = split /\|/, $_, 4;
    my $expected = $name !~ /\.http_/ ? 'sighup' : $name =~ /timeout/ ? 'user' : 'superuser';
    is($context, $expected, "$name can be changed by a reload, and otherwise as the README says");
    if ($name =~ /max_(header|body)_size|timeout|buffered|max_response|interval/)
    {
        my ($per, $larger) = @{ $unit{$unit} };
        $value = $value / $per . $larger;
        $value = '1MB' if $value eq '1024kB';
    }
    $shown{$name} = $value eq '' ? "''" : $value;
}
my %documented = $readme =~ /^\| `(webhook_bridge\.\w+)` \| `?([^`|]*?)`? \|/mg;
is_deeply(\%documented, \%shown, 'the table of settings is true');

# --- Functions ---------------------------------------------------------------

my %functions = map { my ($name, $arguments) = /^`(\w+)\(([^)]*)\)`/; $name => $arguments }
  map { /^\| (`\w+\([^)]*\)`) \|/ ? $1 : () } split /\n/, $readme;
my %public = map { split /\|/, $_, 2 } split /\n/, $bridge->sql(<<~'SQL');
    SELECT DISTINCT proname, coalesce(array_to_string(proargnames[:pronargs], ', '), '')
    FROM pg_proc p
    WHERE pronamespace = 'webhook_bridge'::regnamespace
      AND obj_description(oid, 'pg_proc') NOT LIKE 'Private: %'
    SQL
$public{$_} //= '' for keys %public;
is_deeply(\%functions, \%public, 'the table of functions is true');

$emulator->stop;
$node->stop;
done_testing();
