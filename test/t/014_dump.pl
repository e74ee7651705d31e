# What a dump carries: everything the user has put in, once, and nothing that
# CREATE EXTENSION makes by itself.  The servers that it is restored into have
# a receiver at work, which sees the extension half restored.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WebhookBridge;

my $dir    = PostgreSQL::Test::Utils::tempdir;
my $source = WebhookBridge->start('source', conf => "log_statement = none\n");

# ---------------------------------------------------------------------------
# Something of everything
# ---------------------------------------------------------------------------

$source->sql(<<'SQL');
INSERT INTO webhook_bridge.providers (name, title, signature_from, topic_from, external_id_from)
VALUES ('acme', 'Acme "Corp"', 'header:X-Acme-Signature', '{header:X-Acme-Topic}', '{json:id}');
SELECT webhook_bridge.create_endpoint('shop', 'ecomanager', 'shop''s secret');
SELECT webhook_bridge.create_endpoint('acme', 'acme', 'old', path => '/in/acme', notify => 'batch', params => '{"a": "b"}');
SELECT webhook_bridge.add_secret('acme', 'new', 'second', now() + interval '1 year');
SELECT webhook_bridge.create_endpoint('blaze', 'blaze', allow_unverified => true);
SELECT webhook_bridge.create_event_partitions(current_date - 10, 2);
INSERT INTO webhook_bridge.events (received_at, endpoint, method, headers, raw_body, verified)
SELECT now() - interval '9 days', 'blaze', 'POST', '[["Aä","b"]]', '\x00ff'::bytea || n::text::bytea, false
FROM generate_series(1, 50) n;
SELECT webhook_bridge.create_endpoint('gone', 'ecomanager', 'secret');
SELECT webhook_bridge.create_consumer('billing', endpoints => '{shop,gone}');
SELECT webhook_bridge.create_consumer('stock', topics => '{order*}', order_by => 'payload.id');
SELECT webhook_bridge.create_consumer('archive', endpoints => '{blaze}', starting => 'earliest');
SELECT webhook_bridge.drop_endpoint('gone');
SQL
is(shop($source, 1), 'stored', 'an event of the shop');
is(acme($source, 'old', 7), 'stored',    'an event of acme');
is(acme($source, 'new', 8), 'stored',    'another one with the other secret');
is(acme($source, 'new', 7), 'duplicate', 'a duplicate');

is( $source->sql("SELECT count(*) FROM webhook_bridge.fetch_events('stock', 1); SELECT count(*) FROM webhook_bridge.fetch_events('archive', 20)"),
    "1\n20", 'consumers are at work');

my $contents   = contents($source);
my $partitions = partitions($source);
cmp_ok(scalar(split /\n/, $partitions), '>=', 4, 'there are several partitions');

# ---------------------------------------------------------------------------
# pg_dump
# ---------------------------------------------------------------------------

$source->node->command_ok([ 'pg_dump', '-f', "$dir/plain", 'postgres' ], 'pg_dump, plain');
$source->node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom", 'postgres' ], 'pg_dump, custom');
$source->node->command_ok([ 'pg_dumpall', '-f', "$dir/all" ], 'pg_dumpall');

{
    # A restore of a large dump gives the receiver time to notice the extension.
    my $sql = slurp_file("$dir/plain");
    $sql =~ s/^(CREATE EXTENSION .*;)$/$1\nSELECT pg_sleep(1);/m or die 'no CREATE EXTENSION';
    append_to_file("$dir/slow", $sql);
    unlike($sql, qr/github|stripe/, 'built-in providers are not dumped');

    my $target = fresh('plain');
    $target->node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/slow", 'postgres' ],
        'restored with psql, without an error');
    check($target, 'plain');
}
{
    my $target = fresh('custom');
    $target->node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'postgres', "$dir/custom" ],
        'restored with pg_restore, without an error');
    check($target, 'custom');
}
{
    my $target = fresh('single');
    $target->node->command_ok([ 'pg_restore', '--single-transaction', '-d', 'postgres', "$dir/custom" ],
        'restored in one transaction');
    check($target, 'single');
}
{
    my $target = fresh('all');
    my ($out, $error) = ('', '');
    my $result =
      $target->node->psql('postgres', slurp_file("$dir/all"), stdout => \$out, stderr => \$error, on_error_stop => 0);
    my @errors = grep { /ERROR/ && !/role .* already exists/ } split /\n/, $error;
    is_deeply(\@errors, [], 'pg_dumpall: restored without an error');
    check($target, 'all');
}

# ---------------------------------------------------------------------------
# pg_upgrade
# ---------------------------------------------------------------------------

{
    my $old = $source->node;
    my $log = $dir . '/binary_upgrade.log';
    $old->stop;

    # As pg_upgrade starts servers.
    command_ok([ 'pg_ctl', '-w', '-D', $old->data_dir, '-l', $log, '-o', '-b', 'start' ],
        'the server starts in binary-upgrade mode');
    my $end = time + 2;
    my %seen;
    while (time < $end)
    {
        $seen{$_}++ for $source->workers('launcher'), $source->workers('receiver');
        $seen{listens}++ if $source->is_listening;
        sleep 0.1;
    }
    is_deeply(\%seen, {}, 'and has none of our processes');
    command_ok([ 'pg_ctl', '-w', '-D', $old->data_dir, 'stop' ], 'it stops');
    unlike(slurp_file($log), qr{(?<!/)webhook|WARNING|FATAL}, 'without a word from us');

    my $bin = $old->config_data('--bindir');
    my $new = fresh('upgraded', start => 0);
    chdir $dir or die "could not change to $dir: $!";
    command_ok(
        [
            'pg_upgrade', '--no-sync',
            '-b', $bin, '-d', $old->data_dir,      '-p', $old->port,
            '-B', $bin, '-D', $new->node->data_dir, '-P', $new->node->port,
            '-s', $new->node->host
        ],
        'pg_upgrade');
    $new->node->start;
    check($new, 'upgraded');
}

done_testing();

# ---------------------------------------------------------------------------

# A new server whose receiver, once started, waits for the extension.
sub fresh
{
    my ($name, %options) = @_;
    my $bridge = WebhookBridge->of_node(PostgreSQL::Test::Cluster->new($name), PostgreSQL::Test::Cluster::get_free_port());
    my $node = $bridge->node;
    $node->init;
    $node->append_conf('postgresql.conf', <<"CONF");
log_statement = none
shared_preload_libraries = 'webhook_bridge'
webhook_bridge.port = @{[ $bridge->port ]}
CONF
    return $bridge unless $options{start} // 1;
    $node->start;
    poll_until(sub { scalar $bridge->workers('receiver') }, 'a receiver');
    return $bridge;
}

# Compares what was restored with what was dumped, and sees whether it works.
sub check
{
    my ($target, $name) = @_;

    $target->wait_until_listening;
    is(contents($target), $contents, "$name: every row is there once, as it was");
    # it may have made one for another day in the meantime
    my %found = map { $_ => 1 } split /\n/, partitions($target);
    is_deeply([ grep { !$found{$_} } split /\n/, $partitions ], [], "$name: every partition is attached and has its key");

    my $last = $target->sql('SELECT max(id) FROM webhook_bridge.events');
    is(shop($target, 2), 'stored', "$name: a restored endpoint is served");
    is(acme($target, 'old', 8), 'duplicate', "$name: a duplicate of what was stored before is recognised");
    is(acme($target, 'new', 9), 'stored',    "$name: a provider of the user's own works");
    is( $target->sql("SELECT string_agg(coalesce(external_id, 'shop'), ' ' ORDER BY id) FROM webhook_bridge.events WHERE id > $last"),
        'shop 9', "$name: ids go on");
    is( join(' ', map { $target->sql("SELECT count(*) FROM webhook_bridge.fetch_events('$_')") } qw(billing stock archive)),
        '2 2 30', "$name: consumers go on where they were");
    is($target->count("webhook_bridge.events WHERE NOT EXISTS (SELECT FROM pg_index WHERE indrelid = events.tableoid AND indisprimary)"),
        0, "$name: no event is in a partition without a key");
    unlike(scalar $target->log_text, qr/WARNING|ERROR:(?!.*already exists)|FATAL/, "$name: nothing in the log");
    $target->node->stop;
    return;
}

# Everything that users have put in, as text.
sub contents
{
    my ($bridge) = @_;
    my $text = '';
    for my $from (
        'providers t WHERE NOT builtin',
        'endpoints t', 'secrets t', 'events t', 'dedup t', 'consumers t', 'queue t', 'attempts t',
        '(SELECT count(*) AS builtin FROM webhook_bridge.providers WHERE builtin) t',
        '(SELECT last_value, is_called FROM webhook_bridge.event_ids) t')
    {
        my $relation = $from =~ /\A\(/ ? $from : "webhook_bridge.$from";
        $text .= "$from\n" . $bridge->sql("SET timezone = 'UTC'; SELECT t::text FROM $relation ORDER BY 1") . "\n";
    }
    return $text;
}

sub partitions
{
    my ($bridge) = @_;
    return $bridge->sql(<<'SQL');
SET timezone = 'UTC';
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), c.reloptions,
       ARRAY(SELECT pg_get_indexdef(x.indexrelid) FROM pg_index x WHERE x.indrelid = c.oid ORDER BY 1),
       ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid ORDER BY 1),
       (SELECT count(*) FROM pg_description d WHERE d.objoid = c.oid)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'webhook_bridge.events'::regclass
ORDER BY 1
SQL
}

# Make a delivery and return what the answer says.

sub shop
{
    my ($bridge, $id) = @_;
    my $body = qq({"id":$id});
    return status($bridge->post('/hooks/shop', $body, ecomanager_headers("shop's secret", $body)));
}

sub acme
{
    my ($bridge, $secret, $id) = @_;
    my $body = qq({"id":$id});
    return status(
        $bridge->post('/in/acme', $body, [ 'X-Acme-Topic' => 'order', 'X-Acme-Signature' => hmac_sha256_hex($body, $secret) ]));
}

sub status
{
    my ($answer) = @_;
    my ($status) = $answer->{body} =~ /"status":"(\w+)"/;
    return $status // "$answer->{status} $answer->{body}";
}
