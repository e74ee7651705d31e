# Endpoints, secrets and providers change by SQL while deliveries arrive: what is
# committed holds for the very next request, even on a connection that is
# already open, and what is not committed does not.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha512_hex);
use PostgreSQL::Test::Cluster;
use Test::More;

use WebhookBridge;

my $bridge = WebhookBridge->start('main');
my $connection = $bridge->connect;

# What a delivery is answered, as "status text", and for one that was stored
# also the endpoint's name, the topic and the label of the secret.
my $number = 0;

sub answer_to
{
    my ($path, $headers, $body) = @_;
    my $answer = $connection->request('POST', $path, $headers, $body);
    my ($text) = $answer->{body} =~ /\A\{"(?:status|error)":"(.*)"\}\z/;
    return "$answer->{status} $text" if $text ne 'stored';
    return join ' ', 'stored', map { $_ eq '' ? '-' : $_ } split /\|/, $bridge->sql(<<'SQL'), -1;
SELECT endpoint, topic, secret_label FROM webhook_bridge.events ORDER BY id DESC LIMIT 1
SQL
}

sub ecomanager
{
    my ($path, $secret) = @_;
    my $body = '{"n":' . ++$number . '}';
    return answer_to($path, ecomanager_headers($secret, $body), $body);
}

my $not_found    = '404 no such endpoint';
my $unauthorized = '401 delivery is not authentic';

# --- One step after the other, each delivery right behind the COMMIT -----------------

my @steps = (
    # what, SQL, then deliveries: path, secret, answer
    [ 'nothing', undef, [ '/hooks/a', 'one', $not_found ] ],
    [
        'create', q(SELECT webhook_bridge.create_endpoint('a', 'ecomanager', 'one')),
        [ '/hooks/a', 'one',   'stored a OrderCreated default' ],
        [ '/hooks/a', 'two',   $unauthorized ],
        [ '/hooks/b', 'one',   $not_found ]
    ],
    [
        'a second secret', q(SELECT webhook_bridge.add_secret('a', 'two', 'second')),
        [ '/hooks/a', 'one', 'stored a OrderCreated default' ],
        [ '/hooks/a', 'two', 'stored a OrderCreated second' ],
        [ '/hooks/a', 'three', $unauthorized ]
    ],
    [
        'retire the first', q(SELECT webhook_bridge.retire_secret('a', 'default')),
        [ '/hooks/a', 'one', $unauthorized ],
        [ '/hooks/a', 'two', 'stored a OrderCreated second' ]
    ],
    [
        'a secret that has expired',
        q(SELECT webhook_bridge.add_secret('a', 'old', 'old', now() - interval '1 second')),
        [ '/hooks/a', 'old', $unauthorized ],
        [ '/hooks/a', 'two', 'stored a OrderCreated second' ]
    ],
    [
        'a secret that will expire',
        q(SELECT webhook_bridge.add_secret('a', 'soon', 'soon', now() + interval '1 hour')),
        [ '/hooks/a', 'soon', 'stored a OrderCreated soon' ]
    ],
    [
        'now it has', q(UPDATE webhook_bridge.secrets SET expires_at = now() WHERE label = 'soon'),
        [ '/hooks/a', 'soon', $unauthorized ]
    ],
    [
        'another text of a secret', q(UPDATE webhook_bridge.secrets SET secret = 'deux' WHERE label = 'second'),
        [ '/hooks/a', 'two',  $unauthorized ],
        [ '/hooks/a', 'deux', 'stored a OrderCreated second' ]
    ],
    [
        'another label', q(UPDATE webhook_bridge.secrets SET label = 'deuxieme' WHERE label = 'second'),
        [ '/hooks/a', 'deux', 'stored a OrderCreated deuxieme' ]
    ],
    [
        'another path', q(UPDATE webhook_bridge.endpoints SET path = '/in/a' WHERE name = 'a'),
        [ '/hooks/a', 'deux', $not_found ],
        [ '/in/a',    'deux', 'stored a OrderCreated deuxieme' ]
    ],
    [
        'another endpoint on the old path',
        q(SELECT webhook_bridge.create_endpoint('b', 'ecomanager', 'b', '/hooks/a')),
        [ '/hooks/a', 'deux', $unauthorized ],
        [ '/hooks/a', 'b',    'stored b OrderCreated default' ]
    ],
    [
        'exchange of paths', q(UPDATE webhook_bridge.endpoints SET path = '/tmp' WHERE name = 'a';
                               UPDATE webhook_bridge.endpoints SET path = '/in/a' WHERE name = 'b';
                               UPDATE webhook_bridge.endpoints SET path = '/hooks/a' WHERE name = 'a'),
        [ '/hooks/a', 'deux', 'stored a OrderCreated deuxieme' ],
        [ '/in/a',    'b',    'stored b OrderCreated default' ]
    ],
    [
        'another name', q(UPDATE webhook_bridge.endpoints SET name = 'alpha' WHERE name = 'a'),
        [ '/hooks/a', 'deux', 'stored alpha OrderCreated deuxieme' ]
    ],
    [
        'disabled', q(UPDATE webhook_bridge.endpoints SET enabled = false WHERE name = 'alpha'),
        [ '/hooks/a', 'deux', $not_found ],
        [ '/in/a',    'b',    'stored b OrderCreated default' ]
    ],
    [
        'enabled', q(UPDATE webhook_bridge.endpoints SET enabled = true WHERE name = 'alpha'),
        [ '/hooks/a', 'deux', 'stored alpha OrderCreated deuxieme' ]
    ],
    [
        'unverified allowed', q(UPDATE webhook_bridge.endpoints SET allow_unverified = true WHERE name = 'alpha'),
        [ '/hooks/a', 'wrong', 'stored alpha OrderCreated -' ],
        [ '/hooks/a', 'deux',  'stored alpha OrderCreated deuxieme' ]
    ],
    [
        'and not', q(UPDATE webhook_bridge.endpoints SET allow_unverified = false WHERE name = 'alpha'),
        [ '/hooks/a', 'wrong', $unauthorized ]
    ],
    [
        'another limit', q(UPDATE webhook_bridge.endpoints SET max_body_size = 3 WHERE name = 'alpha'),
        [ '/hooks/a', 'deux', '413 body is too large' ]
    ],
    [
        'and none', q(UPDATE webhook_bridge.endpoints SET max_body_size = NULL WHERE name = 'alpha'),
        [ '/hooks/a', 'deux', 'stored alpha OrderCreated deuxieme' ]
    ],
    [
        'another provider', q(UPDATE webhook_bridge.endpoints SET provider = 'github' WHERE name = 'alpha'),
        [ '/hooks/a', 'deux', $unauthorized ]
    ],
    [
        'a copy of the first one',
        q(INSERT INTO webhook_bridge.providers (name, title, signature_from, topic_from)
              VALUES ('mine', 'Mine', 'header:X-Ecomanager-Signature', 'mine/{header:X-Ecomanager-Event}');
          UPDATE webhook_bridge.endpoints SET provider = 'mine' WHERE name = 'alpha'),
        [ '/hooks/a', 'deux', 'stored alpha mine/OrderCreated deuxieme' ]
    ],
    [
        'another template',
        q(UPDATE webhook_bridge.providers SET topic_from = '{header:X-Ecomanager-Source}' WHERE name = 'mine'),
        [ '/hooks/a', 'deux', 'stored alpha https://myshop.ecomanager.dz deuxieme' ]
    ],
    [
        'another header',
        q(UPDATE webhook_bridge.providers SET signature_from = 'header:X-Other' WHERE name = 'mine'),
        [ '/hooks/a', 'deux', $unauthorized ]
    ],
    [
        'the first again',
        q(UPDATE webhook_bridge.providers SET signature_from = 'header:X-Ecomanager-Signature' WHERE name = 'mine'),
        [ '/hooks/a', 'deux', 'stored alpha https://myshop.ecomanager.dz deuxieme' ]
    ],
    [
        'another name of the provider', q(UPDATE webhook_bridge.providers SET name = 'ours' WHERE name = 'mine'),
        [ '/hooks/a', 'deux', 'stored alpha https://myshop.ecomanager.dz deuxieme' ]
    ],
    [
        'no secrets', q(DELETE FROM webhook_bridge.secrets WHERE endpoint = 'alpha'),
        [ '/hooks/a', 'deux', $unauthorized ],
        [ '/hooks/a', '',     $unauthorized ]
    ],
    [
        'drop', q(SELECT webhook_bridge.drop_endpoint('alpha')),
        [ '/hooks/a', 'deux', $not_found ],
        [ '/in/a',    'b',    'stored b OrderCreated default' ]
    ],
    [
        'the same once more', q(SELECT webhook_bridge.create_endpoint('alpha', 'ecomanager', 'again', '/hooks/a')),
        [ '/hooks/a', 'deux',  $unauthorized ],
        [ '/hooks/a', 'again', 'stored alpha OrderCreated default' ]
    ],
    [
        'truncate secrets', q(TRUNCATE webhook_bridge.secrets),
        [ '/hooks/a', 'again', $unauthorized ],
        [ '/in/a',    'b',     $unauthorized ]
    ],
    [
        'new secrets', q(SELECT webhook_bridge.add_secret('alpha', 'new', 'new')),
        [ '/hooks/a', 'new', 'stored alpha OrderCreated new' ]
    ],
    [
        'truncate endpoints', q(TRUNCATE webhook_bridge.endpoints CASCADE),
        [ '/hooks/a', 'new', $not_found ],
        [ '/in/a',    'b',   $not_found ]
    ]);

for my $step (@steps)
{
    my ($what, $sql, @deliveries) = @$step;
    $bridge->sql($sql) if defined $sql;
    for my $delivery (@deliveries)
    {
        my ($path, $secret, $expected) = @$delivery;
        is(ecomanager($path, $secret), $expected, "$what: $path, secret \"$secret\"");
    }
}

# A request whose head came before a change and whose body came after it.
{
    $bridge->create_endpoint('late', 'before');
    my $body    = '{"late":1}';
    my $request = http_request('POST', '/hooks/late', ecomanager_headers('after', $body), $body);
    is(ecomanager('/hooks/late', 'before'), 'stored late OrderCreated default', 'a change within a request: before');
    $connection->send(substr $request, 0, -5);
    $bridge->sql(q(UPDATE webhook_bridge.secrets SET secret = 'after' WHERE endpoint = 'late'));
    $connection->send(substr $request, -5);
    answer_is($connection->response, 200, 'stored', 'a change within a request: what holds at its end counts');
}

# --- A secret expires by itself, without any change ------------------------------------

$bridge->sql(q(SELECT webhook_bridge.add_secret('late', 'short', 'short', clock_timestamp() + interval '1 second')));
is(ecomanager('/hooks/late', 'short'), 'stored late OrderCreated short', 'expiry: before its time');
poll_until(sub { ecomanager('/hooks/late', 'short') eq $unauthorized }, 'the secret to expire');
is($bridge->sql(q(SELECT clock_timestamp() >= expires_at FROM webhook_bridge.secrets WHERE label = 'short')),
    't', 'expiry: not too early');
is(ecomanager('/hooks/late', 'after'), 'stored late OrderCreated default', 'expiry: the other secret stays');

# --- Uncommitted changes ------------------------------------------------------------------

{
    my $session = $bridge->node->background_psql('postgres');
    my $stored  = 'stored late OrderCreated default';

    for my $row (
        # what, SQL, path, secret, meanwhile and after ROLLBACK, after COMMIT
        [ 'create', q(SELECT webhook_bridge.create_endpoint('tx', 'ecomanager', 'x')), '/hooks/tx', 'x',
            $not_found, 'stored tx OrderCreated default' ],
        [ 'add a secret', q(SELECT webhook_bridge.add_secret('late', 'tx', 'tx')), '/hooks/late', 'tx',
            $unauthorized, 'stored late OrderCreated tx' ],
        [ 'disable', q(UPDATE webhook_bridge.endpoints SET enabled = false WHERE name = 'late'), '/hooks/late', 'after',
            $stored, $not_found ],
        [ 'move', q(UPDATE webhook_bridge.endpoints SET path = '/moved', enabled = true WHERE name = 'late'),
            '/moved', 'after', $not_found, $stored ],
        [ 'drop', q(SELECT webhook_bridge.drop_endpoint('late')), '/moved', 'after',
            $stored, $not_found ])
    {
        my ($what, $sql, $path, $secret, $before, $after) = @$row;

        $session->query_safe("BEGIN; $sql");
        is(ecomanager($path, $secret), $before, "$what: without effect before the end");
        $session->query_safe('ROLLBACK');
        is(ecomanager($path, $secret), $before, "$what: without effect after ROLLBACK");
        $session->query_safe("BEGIN; $sql");
        is(ecomanager($path, $secret), $before, "$what: again without effect");
        $session->query_safe('COMMIT');
        is(ecomanager($path, $secret), $after, "$what: in effect after COMMIT");
    }
    $session->quit;
}

# --- A provider of one's own ------------------------------------------------------------------

$bridge->sql(<<'SQL');
INSERT INTO webhook_bridge.providers
    (name, title, algorithm, signature_from, element_prefix,
     topic_from, external_id_from, occurred_at_from, occurred_at_format)
VALUES
    ('acme', 'ACME', 'hmac-sha512', 'header:X-Acme-Sign', 'v2=',
     'acme.{json:kind}.{query:k?}', '{json:ids.0}', '{json:at}', 'ms');
SELECT webhook_bridge.create_endpoint('acme', 'acme', 'own');
SQL
{
    my $body = '{"kind":"made","ids":[77],"at":1700000000123}';
    my $sign = hmac_sha512_hex($body, 'own');
    my @signature = ('x-acme-sign' => "v2=$sign");
    is(answer_to('/hooks/acme', [ 'X-Acme-Sign' => $sign ], $body), $unauthorized, 'own provider: prefix missing');
    is(answer_to('/hooks/acme', \@signature, "$body "), $unauthorized, 'own provider: another body');
    is(answer_to('/hooks/acme?k=q', \@signature, $body), 'stored acme acme.made.q default', 'own provider: stored');
    my ($event) = $bridge->events("endpoint = 'acme'");
    is("$event->{external_id} $event->{occurred_unix}", '77 1700000000.123000', 'own provider: id and time');
    is(answer_to('/hooks/acme', \@signature, $body), '200 duplicate', 'own provider: duplicate');
}

# --- Many endpoints ------------------------------------------------------------------------------

$bridge->sql(<<'SQL');
SELECT count(webhook_bridge.create_endpoint('many-' || n, 'ecomanager', 'secret ' || n)) FROM generate_series(1, 300) n
SQL
{
    for my $round (1 .. 2)
    {
        $connection->send(http_request('POST', "/hooks/many-$_", ecomanager_headers("secret $_", '{}'), '{}'))
          for 1 .. 300;
        is(scalar(grep { $_->{status} == 200 } $connection->responses(300)), 300, "300 endpoints: round $round");
    }
    my $twice = q(SELECT FROM webhook_bridge.events WHERE endpoint ~ '^many-' GROUP BY endpoint HAVING count(*) = 2);
    is($bridge->count("($twice) e"), 300, '300 endpoints: each has what was sent to it');
    is(ecomanager('/hooks/many-300', 'secret 299'), $unauthorized, '300 endpoints: each with its own secret');
}

# --- public_url -------------------------------------------------------------------------------------

$bridge->sql(<<'SQL');
INSERT INTO webhook_bridge.providers (name, title, signature_from, signed_content)
VALUES ('url', 'URL', 'header:X-Sign', '{url}{body}');
SELECT webhook_bridge.create_endpoint('url', 'url', 'u');
SQL

sub signed_url
{
    my ($url, $target) = @_;
    return answer_to($target, [ 'X-Sign' => hmac_sha256_hex("$url$target" . '{}', 'u') ], '{}');
}

{
    my $own    = 'http://127.0.0.1:' . $bridge->port;
    my $public = 'https://hooks.example.com/prefix';

    is(signed_url($own, '/hooks/url'), 'stored url - default', 'public_url: by default the address of the receiver');
    is(signed_url($own, '/hooks/url?a=b'), 'stored url - default', 'public_url: with a query');
    is(signed_url($public, '/hooks/url'), $unauthorized, 'public_url: not yet set');
    $bridge->reload('webhook_bridge.public_url' => $public);
    poll_until(sub { signed_url($public, '/hooks/url') eq 'stored url - default' }, 'the new URL to be used');
    is(signed_url($own, '/hooks/url'), $unauthorized, 'public_url: the old one is no longer accepted');
    is($bridge->sql(q(SELECT url FROM webhook_bridge.create_endpoint('url2', 'url', 'u'))),
        "$public/hooks/url2", 'public_url: SQL says the same');
    $bridge->reload('webhook_bridge.public_url' => '');
    poll_until(sub { signed_url($own, '/hooks/url') eq 'stored url - default' }, 'the old URL to be used again');
}

# --- Where it listens ------------------------------------------------------------------------------------

sub listens
{
    my ($port, $host) = @_;
    my $client = eval { WebhookBridge::Connection->new($port, $host) } or return 0;
    return $client->request('GET', '/hooks/url')->{status} == 200;
}

{
    my $old = $bridge->port;
    my $new = PostgreSQL::Test::Cluster::get_free_port();

    $bridge->reload('webhook_bridge.port' => $new);
    poll_until(sub { listens($new) }, 'the new port');
    ok(!listens($old), 'port: the old one is closed');
    is(signed_url("http://127.0.0.1:$new", '/hooks/url'), 'stored url - default', 'port: an open connection goes on');

    for my $bad ('hooks.example.com', '127.0.0.1, hooks', '127.0.0.0/8', '127.0.0.1:80', '127.1', '%lo', '**', '[::1]')
    {
        my ($status, undef, $error) = $bridge->node->psql('postgres', "ALTER SYSTEM SET webhook_bridge.listen_addresses = '$bad'");
        isnt($status, 0, "addresses: '$bad' is refused");
        like($error, qr/DETAIL:  "[^" ]+" is neither an IP address nor "localhost" nor "\*"\.\nHINT:  Names of hosts are not looked up/,
            "addresses: '$bad': and why");
    }
    $bridge->reload('webhook_bridge.listen_addresses' => 'localhost');
    poll_until(sub { signed_url("http://localhost:$new", '/hooks/url') eq 'stored url - default' }, 'localhost to be another URL');
    poll_until(sub { listens($new) }, 'localhost');
    ok(!listens($new, '127.0.0.2'), 'addresses: localhost is no other address');
    $bridge->reload('webhook_bridge.listen_addresses' => '*');
    poll_until(sub { listens($new, '127.0.0.2') }, 'all addresses');
    ok(listens($new), 'addresses: all of them');
    $bridge->reload('webhook_bridge.listen_addresses' => '127.0.0.1, 127.0.0.2');
    poll_until(sub { listens($new, '127.0.0.2') }, 'the second address');
    ok(listens($new), 'addresses: the first one still listens');
    $bridge->reload('webhook_bridge.listen_addresses' => '127.0.0.2');
    poll_until(sub { !listens($new) }, 'the first address to be given up');
    ok(listens($new, '127.0.0.2'), 'addresses: the second one still listens');
    is($bridge->sql('SELECT webhook_bridge.base_url()'), "http://127.0.0.2:$new", 'addresses: SQL says the same');
    is(signed_url("http://127.0.0.2:$new", '/hooks/url'),
        'stored url - default', 'addresses: an open connection goes on');
}

$bridge->stop;
done_testing;
