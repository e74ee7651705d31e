# Repeated deliveries: each is stored once, by its id or by its content, however
# many attempts there are at once, and nobody is taken for somebody else.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_base64);
use FindBin;
use lib "$FindBin::Bin/../perl";
use Test::More;
use WebhookBridge;

my $secret = 'a secret of the shop';
my $bridge = WebhookBridge->start('dedup', conf => <<'CONF');
webhook_bridge.receivers = 2
log_statement = none
deadlock_timeout = 50ms
CONF
my $stored = 0;

$bridge->sql(<<"SQL");
INSERT INTO webhook_bridge.providers (name, title, signature_from, external_id_from)
VALUES ('numbered', 'With ids', 'header:X-Ecomanager-Signature', '{json:id}');
INSERT INTO webhook_bridge.providers (name, title, signature_from, topic_from, source_from, content_from)
VALUES ('versioned', 'With versions', 'header:X-Signature', '{header:X-Topic}', '{header:X-Shop}', '{json:id} {json:version}'),
       ('anonymous', 'With nothing', 'header:X-Signature', NULL, NULL, NULL);
SELECT webhook_bridge.create_endpoint('by-id', 'numbered', '$secret');
SELECT webhook_bridge.create_endpoint('shop', 'ecomanager', '$secret', dedup => 'content');
SELECT webhook_bridge.create_endpoint('shop2', 'ecomanager', '$secret', dedup => 'content');
SELECT webhook_bridge.create_endpoint('open', 'ecomanager', '$secret', dedup => 'content', allow_unverified => true);
SELECT webhook_bridge.create_endpoint('cart', 'api2cart', '$secret', dedup => 'content');
SELECT webhook_bridge.create_endpoint('versions', 'versioned', '$secret', dedup => 'content');
SELECT webhook_bridge.create_endpoint('later-nothing', 'versioned', '$secret', dedup => 'content');
SELECT webhook_bridge.create_endpoint('no-id', 'ecomanager', '$secret');
SELECT webhook_bridge.create_endpoint('none', 'numbered', '$secret', dedup => 'none');
SQL

# --- By content, where there is no id ---------------------------------------------------

my $body = '{"id":1,"state":"new"}';

becomes(eco('shop', $body), 'stored',    'content: an order');
becomes(eco('shop', $body), 'duplicate', 'content: the same again');
becomes(eco('shop', $body), 'duplicate', 'content: and again');
becomes(eco('shop', '{"id":1, "state":"new"}'), 'stored', 'content: another byte');
becomes(eco('shop', $body, event   => 'OrderDeleted'),         'stored',    'content: another topic');
becomes(eco('shop', $body, event   => 'OrderDeleted'),         'duplicate', 'content: that again');
becomes(eco('shop', $body, source  => 'https://b.example.com'), 'stored',   'content: another source');
becomes(eco('shop', $body, webhook => 62),                     'stored',    'content: another webhook');
becomes(eco('shop2', $body), 'stored', 'content: another endpoint');
becomes(eco('shop', ''),     'stored', 'content: an empty body of a webhook');
becomes(eco('no-id', $body), 'stored', 'id: a provider without one') for 1, 2;

# What a GET carries is in its query.
for my $row ([ 'a=1', 'stored' ], [ 'a=1', 'duplicate' ], [ 'a=2', 'stored' ])
{
    my ($query, $result) = @$row;
    becomes($bridge->request('GET', "/hooks/shop?$query", ecomanager_headers($secret, '')), $result, "content: GET with $query");
}

# Nobody can use up somebody else's content, nor is looked up.
my $next = '{"id":2}';
answer_is(forged('shop', $next), 401, 'delivery is not authentic', 'content: a forged delivery');
becomes(eco('shop', $next), 'stored', 'content: leaves no trace');
becomes(forged('open', $next), 'stored', 'content: unverified deliveries, where they are taken') for 1, 2;
becomes(eco('open', $next), 'stored',    'content: leave no trace either');
becomes(eco('open', $next), 'duplicate', 'content: while verified ones do');
becomes(forged('open', $next), 'stored', 'content: nor are they looked up');

# API2Cart signs a time, which is not content; a notice has none.
becomes(cart('{"id":"86"}', 1), 'stored',    'api2cart: a product');
becomes(cart('{"id":"86"}', 2), 'duplicate', 'api2cart: the second attempt with its own time');
becomes(cart('', $_, 'X-Webhook-Error-Code' => '100'), 'stored', 'api2cart: notices are all stored') for 3, 3, 4;

# --- What the provider's row says ------------------------------------------------------------

becomes(version('versions', '{"id":7,"version":1,"attempt":1}'), 'stored',    'content_from: a version');
becomes(version('versions', '{"attempt":2,"version":1,"id":7}'), 'duplicate', 'content_from: another attempt');
becomes(version('versions', '{"id":7,"version":2}'),             'stored',    'content_from: another version');
becomes(version('versions', '{"id":7}'), 'stored', 'content_from: one that lacks what identifies it') for 1, 2;
becomes(version('versions', 'not JSON'), 'stored', 'content_from: nothing to read it from')           for 1, 2;

# Topic and source cannot run into each other.
becomes(version('versions', '{"id":8,"version":1}', topic => 'ab', shop => 'c'),  'stored', 'topic ab, source c');
becomes(version('versions', '{"id":8,"version":1}', topic => 'a',  shop => 'bc'), 'stored', 'topic a, source bc');
becomes(version('versions', '{"id":8,"version":1}', topic => 'abc'),              'stored', 'topic abc');
becomes(version('versions', '{"id":8,"version":1}', shop => 'abc'),               'stored', 'source abc');

$bridge->sql("UPDATE webhook_bridge.providers SET content_from = NULL WHERE name = 'versioned'");
becomes(version('later-nothing', '{"id":7,"version":1}'), 'stored', 'content_from null: nothing is recognised') for 1, 2;

# --- The ledger -------------------------------------------------------------------------------

is($bridge->count("webhook_bridge.dedup d JOIN webhook_bridge.endpoints e ON e.id = d.endpoint WHERE e.name = 'no-id'"), 0, 'without an id there is no key');
is( $bridge->count('webhook_bridge.dedup d JOIN webhook_bridge.endpoints p ON p.id = d.endpoint JOIN webhook_bridge.events e ON e.id = d.event_id AND e.endpoint = p.name'),
    $bridge->count('webhook_bridge.dedup'), 'every key is of an event');
$bridge->sql("UPDATE webhook_bridge.endpoints SET dedup = 'none' WHERE name = 'shop'");
becomes(eco('shop', $body), 'stored', 'none: the same again');
$bridge->sql("UPDATE webhook_bridge.endpoints SET dedup = 'content' WHERE name = 'shop'");
becomes(eco('shop', $body), 'duplicate', 'content again: what was stored is known');
is($bridge->count('webhook_bridge.events'), $stored, 'every answer "stored" is a row, and no other is');

# --- A rejection that is readmitted ------------------------------------------------------------

$bridge->sql("SELECT webhook_bridge.add_secret('shop2', 'another secret', label => 'new')");
eco('shop2', '{"id":3}', secret => 'a third secret');
my $rejection = poll_until(sub { $bridge->sql("SELECT id FROM webhook_bridge.rejections WHERE endpoint = 'shop2'") }, 'the rejection');
$bridge->sql("SELECT webhook_bridge.add_secret('shop2', 'a third secret', label => 'third')");
becomes(eco('shop2', '{"id":3}'), 'stored', 'readmit: stored meanwhile');
is($bridge->sql("SELECT webhook_bridge.readmit_rejection($rejection)"), '', 'readmit: recognised by its content');

# --- Duplicate storm ------------------------------------------------------------------------------

poll_until(sub { $bridge->count("webhook_bridge.status() WHERE state = 'listening'") == 2 }, 'both receivers to listen');

# Every connection sends the same ids at about the same time, half of them
# backwards, so that batches with the same keys in opposite order meet.
for my $row ([ 'by-id', 'id', 10_000, 32 ], [ 'shop2', 'content', 1000, 32 ])
{
    my ($endpoint, $what, $each, $connections) = @$row;
    my $offset = (stat $bridge->node->logfile)[7];
    my $before = $bridge->status;
    my $rows   = $bridge->count("webhook_bridge.events WHERE endpoint = '$endpoint'");
    my $sent   = $bridge->storm(
        path        => "/hooks/$endpoint",
        secret      => $secret,
        connections => $connections,
        first       => 1_000_000,
        each        => $each)->wait_for_end;
    my $after = $bridge->status;

    diag "storm by $what: sent $sent->{sent}, acknowledged $sent->{acknowledged}, refused $sent->{refused}, lost $sent->{lost}, "
      . 'stored ' . ($after->{stored} - $before->{stored}) . ', duplicates ' . ($after->{duplicates} - $before->{duplicates});
    is($sent->{acknowledged}, $each * $connections, "storm by $what: every attempt is answered 200");
    is($bridge->count("webhook_bridge.events WHERE endpoint = '$endpoint'") - $rows, $each, "storm by $what: every delivery is stored once");
    is( $bridge->count("(SELECT DISTINCT payload->>'id' FROM webhook_bridge.events WHERE endpoint = '$endpoint' AND (payload->>'id')::bigint >= 1000000) ids"),
        $each, "storm by $what: and none is missing");
    is($after->{stored} - $before->{stored}, $each, "storm by $what: counted as stored");
    is($after->{duplicates} - $before->{duplicates}, $each * ($connections - 1), "storm by $what: counted as duplicates");
    is($bridge->count('webhook_bridge.status() WHERE duplicates > 0'), 2, "storm by $what: both receivers had some");
    unlike(scalar $bridge->log_text($offset), qr/deadlock|WARNING|ERROR/, "storm by $what: without a deadlock");
}

is( $bridge->sql(q(SELECT bool_and(d.key = webhook_bridge.ledger_key(e.external_id)) FROM webhook_bridge.dedup d JOIN webhook_bridge.events e ON e.id = d.event_id WHERE e.endpoint = 'by-id')),
    't', 'ledger_key() makes the key of an id');

# --- Two batches with the same keys in opposite order -------------------------------------------

# Keys are entered slowly, so that both batches have begun when either needs the
# other's.  In the order of arrival that is a deadlock; in one order for all, one waits.
{
    my ($here, $there) = connections_of_both();
    $bridge->sql(<<~'SQL');
        CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$;
        CREATE TRIGGER linger BEFORE INSERT ON webhook_bridge.dedup FOR EACH ROW EXECUTE FUNCTION linger();
        SQL
    my $deadlocks = $bridge->sql('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()');
    my $offset = (stat $bridge->node->logfile)[7];
    for my $round (1 .. 5)
    {
        my @requests = map { numbered(2_000_000 + 10 * $round + $_) } 1, 2;
        $here->send(join '', @requests);
        $there->send(join '', reverse @requests);
        $_->responses(2) for $here, $there;
    }
    $bridge->sql('DROP TRIGGER linger ON webhook_bridge.dedup');
    unlike(scalar $bridge->log_text($offset), qr/deadlock/, 'opposite orders: no deadlock is said');
    is($bridge->sql('SELECT pg_stat_clear_snapshot(), deadlocks FROM pg_stat_database WHERE datname = current_database()'),
        "|$deadlocks", 'opposite orders: and none counted');
    is($bridge->count("(SELECT payload->>'id' FROM webhook_bridge.events WHERE (payload->>'id')::bigint > 2000000 GROUP BY 1 HAVING count(*) > 1) twice"),
        0, 'opposite orders: nothing is stored twice');
}

# --- One of many that come together -------------------------------------------------------------

# While nothing repeats, many are entered as if none could; what does repeat is found all the same.
{
    my ($here) = connections_of_both();
    my $first  = 4_000_000;
    for my $round (1 .. 3)
    {
        my @new = map { $first + 1000 * $round + $_ } 0 .. 59;
        my $ids = join ',', map { "'$_'" } @new;

        is(calm($here, $first + 10 * $round), 10, 'nothing repeats for a while') if $round != 2;
        is_deeply([ together($here, @new[ 0 .. 19 ]) ], [ ('stored') x 20 ], 'many that are new');
        is($bridge->count("webhook_bridge.dedup d JOIN webhook_bridge.events e ON e.id = d.event_id AND d.xmin <> e.xmin WHERE external_id IN ($ids)") > 0,
            $round != 2, $round == 2 ? 'after one that was not, by itself' : 'are entered at once');
        is_deeply(
            [ together($here, @new[ 20 .. 29 ], $first + 10, @new[ 30 .. 49 ], @new[ 7, 31 ], @new[ 50 .. 59 ]) ],
            [ ('stored') x 10, 'duplicate', ('stored') x 20, ('duplicate') x 2, ('stored') x 10 ],
            'those among them that are not');
        is($bridge->count("webhook_bridge.events e JOIN webhook_bridge.dedup d ON d.event_id = e.id AND d.key = webhook_bridge.ledger_key(e.external_id) WHERE external_id IN ($ids)"),
            @new, 'each is stored and known');
    }
}

# --- Two that wait for a third ----------------------------------------------------------------

# Who waits for a key holds nothing of it: when the third lets go, one of the two has it.
{
    my ($here, $there) = connections_of_both();
    my $ledger    = 'webhook_bridge.dedup';
    my $key       = 'webhook_bridge.ledger_key(%s)';
    my %third     = (
        'an insertion that is rolled back' => [
            "INSERT INTO $ledger SELECT 0, now(), id, $key FROM webhook_bridge.endpoints WHERE name = 'by-id'", 'ROLLBACK' ],
        'a deletion that is committed' => [ "DELETE FROM $ledger WHERE key = $key", 'COMMIT' ]);
    # says when both wait, from within the transaction that they wait for
    my $wait = <<~'SQL';
        DO $$ BEGIN
            WHILE (SELECT count(*) < 2 FROM pg_stat_activity WHERE backend_type = 'webhook_bridge receiver' AND wait_event_type = 'Lock')
                AND clock_timestamp() < statement_timestamp() + interval '3 s' LOOP
                PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
            END LOOP;
        END $$
        SQL
    my $number = 3_000_000;
    for my $case (map { my $what = $_; map { [ $what, $_ ] } 0, 19 } sort keys %third)
    {
        my ($what, $beside) = @$case;
        my ($statement, $end) = @{ $third{$what} };
        my $session = $bridge->node->background_psql('postgres');
        my $first   = (stat $bridge->node->logfile)[7];
        my ($offset, @answers);
        # a receiver gives up after a second, which is nothing on a machine that is busy enough;
        # a deadlock is no reason to try again
        for my $attempt (1 .. 10)
        {
            my $id = ++$number;
            $offset = (stat $bridge->node->logfile)[7];
            together($here, $id) if $end eq 'COMMIT';
            # what comes now is not taken for one of many that repeat
            calm($_, ($number += 10) - 9) for $here, $there;
            $session->query_safe('BEGIN; ' . sprintf $statement, "'$id'");
            $_->send(join '', map { numbered($_) } $id, map { ++$number } 1 .. $beside) for $here, $there;
            $session->query_safe("$wait; $end");
            @answers = map { $_->responses(1 + $beside) } $here, $there;
            last if $bridge->log_text($first) =~ /deadlock/ || !grep { $_->{status} == 503 } @answers;
        }
        my $name = $beside ? "$what, among others" : $what;
        is_deeply([ sort map { $_->{body} } @answers ], [ map { qq({"status":"$_"}) } 'duplicate', ('stored') x (1 + 2 * $beside) ], "$name: one of two is stored");
        unlike(scalar $bridge->log_text($offset), qr/deadlock|WARNING|ERROR/, "$name: without a deadlock");
        $session->quit;
    }
}

unlike(scalar $bridge->log_text, qr/\Q$secret\E/, 'the log has no secret');
$bridge->stop;
done_testing();

# ---------------------------------------------------------------------------

sub eco
{
    my ($endpoint, $content, %options) = @_;
    return $bridge->post("/hooks/$endpoint", $content, ecomanager_headers($options{secret} // $secret, $content, %options));
}

sub numbered
{
    my ($id) = @_;
    my $content = qq({"id":$id});
    return http_request('POST', '/hooks/by-id', ecomanager_headers($secret, $content), $content);
}

# Deliveries with these ids, sent at once: what becomes of each.
sub together
{
    my ($connection, @ids) = @_;
    $connection->send(join '', map { numbered($_) } @ids);
    return map { $_->{body} =~ /"status":"(.*)"/ } $connection->responses(scalar @ids);
}

# Ten that are new, from this id on, one after the other; returns how many were stored.
sub calm
{
    my ($connection, $id) = @_;
    return scalar grep { $_ eq 'stored' } map { together($connection, $_) } $id .. $id + 9;
}

# Two connections, one to each receiver: the kernel chooses.
sub connections_of_both
{
    my %of;
    my $open = sub { $bridge->sql('SELECT connections FROM webhook_bridge.status() WHERE receiver = ' . $_[0]) };
    poll_until(sub { $open->(0) + $open->(1) == 0 }, 'others to have gone');
    until (keys %of == 2)
    {
        my @before = map { $open->($_) } 0, 1;
        my $connection = $bridge->connect;
        poll_until(sub { $open->(0) + $open->(1) > $before[0] + $before[1] }, 'a connection');
        $of{ $open->(0) > $before[0] ? 0 : 1 } //= $connection;
    }
    return @of{ 0, 1 };
}

sub forged
{
    my ($endpoint, $content) = @_;
    return eco($endpoint, $content, secret => 'guessed');
}

sub cart
{
    my ($content, $time, %more) = @_;
    my %headers = (
        'X-Webhook-Action'     => 'update',
        'X-Webhook-Entity'     => 'product',
        'X-Webhook-Error-Code' => '0',
        'X-Webhook-Store-Id'   => '1',
        'X-Webhook-Timestamp'  => 1_700_000_000 + $time,
        %more);
    my $json = '{' . join(',', map { qq("$_":"$headers{$_}") } sort keys %headers) . '}';
    my $signature = hmac_sha256_base64($json . $content, $secret);
    $signature .= '=' while length($signature) % 4;
    return $bridge->post('/hooks/cart', $content, [ %headers, 'X-Webhook-Signature' => $signature ]);
}

sub version
{
    my ($endpoint, $content, %options) = @_;
    return $bridge->post("/hooks/$endpoint", $content,
        [
            (defined $options{topic} ? ('X-Topic' => $options{topic}) : ()),
            (defined $options{shop}  ? ('X-Shop'  => $options{shop})  : ()),
            'X-Signature' => hmac_sha256_hex($content, $secret)
        ]);
}

sub becomes
{
    my ($answer, $status, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $stored++ if $status eq 'stored';
    return answer_is($answer, 200, $status, $name);
}
