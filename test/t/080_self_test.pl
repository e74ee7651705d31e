# self_test(): a sample goes the whole way at every provider, what is wrong is
# said, no consumer but its own is offered the sample, and nothing remains,
# whatever happens in the middle.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use File::Temp qw(tempdir);
use IPC::Run;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tls;
use WebhookBridge;

my $secret   = 'secret-of-the-shop';
my $tls_port = PostgreSQL::Test::Cluster::get_free_port();
my $bridge   = WebhookBridge->start('self_test', conf => <<'CONF');
log_statement = none
max_worker_processes = 16
wal_level = replica
max_wal_senders = 2
restart_after_crash = on
CONF
my $node = $bridge->node;

my @all_steps = qw(endpoint listener preparation answer row notification consumer removal);
my @others    = qw(row notification consumer);    # which need a stored event

# --- Every provider ----------------------------------------------------------

# Public keys, whose private halves nobody has.
my %der = map { $_->[0] => run('openssl', 'genpkey', @{ $_->[1] }) } (
    [ 'ed25519',           [qw(-algorithm ed25519)] ],
    [ 'ecdsa-p256-sha256', [qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-256)] ],
    [ 'rsa-sha256',        [qw(-algorithm RSA)] ]);
$_ = run_with_input($_, qw(openssl pkey -pubout -outform DER)) for values %der;

for my $line (split /\n/, $bridge->sql(q(SELECT name || ' ' || algorithm || ' ' || secret_encoding FROM webhook_bridge.providers)))
{
    my ($name, $algorithm, $encoding) = split / /, $line, 3;
    my ($kind, $prefix) = split /:/, $encoding;
    my $key =
        $der{$algorithm} ? public_key($der{$algorithm}, $kind)
      : $kind eq 'hex'    ? '5a' x 32
      : $kind eq 'base64' ? MIME::Base64::encode_base64('Z' x 24, '')
      :                     "a secret of $name";
    $key = $algorithm eq 'none' ? 'NULL' : "'" . ($prefix // '') . "$key'";
    $bridge->sql(<<"SQL");
SELECT webhook_bridge.create_endpoint('p-$name', '$name', $key, allow_unverified => '$algorithm' = 'none',
    params => '{"topic": "a topic", "webhook_id": "w", "verify_token": "v"}')
SQL
}
$bridge->sql(<<"SQL");
INSERT INTO webhook_bridge.providers (name, title, algorithm, topic_from) VALUES ('unsigned', 'Unsigned', 'none', '{json:a.2.b}{header:X-T?}');
SELECT webhook_bridge.create_endpoint('p-unsigned', 'unsigned', allow_unverified => true);
INSERT INTO webhook_bridge.providers (name, title, signature_from, signed_content)
VALUES ('by_param', 'By a parameter', 'header:X-S', '{param:missing}{body}');
SELECT webhook_bridge.create_endpoint('p-by_param', 'by_param', '$secret');
SQL

my %before = rows();
my %result;
push @{ $result{ $_->{name} } }, $_ for query('SELECT e.name, t.* FROM webhook_bridge.endpoints e, webhook_bridge.self_test(e.name) t');
is(scalar keys %result, $bridge->count('webhook_bridge.providers'), 'every provider has been tried');
for my $name (sort keys %result)
{
    my @steps = @{ $result{$name} };
    if ($name eq 'p-by_param')
    {
        is(outcome(@steps), 'endpoint:f removal:t', "$name: a sample that cannot be signed");
        like($steps[0]{detail}, qr/could not compute the signature.*Part 1 of what it signs has no value/, "$name: why");
        next;
    }
    my $public = $name =~ /^p-(discord|paypal|sendgrid|standard_webhooks_v1a)$/;
    is(outcome(@steps), join(' ', map { my $s = $_; $public && grep({ $s eq $_ } @others) ? "$s:?" : "$s:t" } @all_steps), "$name: all steps")
      or diag join "\n", map { "$_->{step}: $_->{detail}" } @steps;
    is(scalar(grep { $_->{milliseconds} < 0 || $_->{milliseconds} > 10_000 } @steps), 0, "$name: each has its time");
    my %detail = map { $_->{step} => $_->{detail} } @steps;
    if ($public)
    {
        like($detail{answer}, qr/^401, signature missing, as it should be/, "$name: it is refused without a signature");
    }
    else
    {
        like($detail{row}, $name eq 'p-unsigned' ? qr/not verified, topic "self_testself_test"$/ : qr/, verified with secret "default"/, "$name: the row");
    }
    unlike(join(' ', %detail), qr/a secret of|WlpaWlpa|5a5a5a|ZZZZ/, "$name: no secret is shown");
}
is_deeply({ rows() }, \%before, 'every provider: nothing remains');
is($bridge->status->{unauthorized}, 4, 'deliveries of self-tests are counted as any other');

# --- Notifications -----------------------------------------------------------

$bridge->sql(<<"SQL");
SELECT webhook_bridge.create_endpoint('shop', 'github', '$secret');
SELECT webhook_bridge.create_endpoint('own', 'github', '$secret', channel => 'Own "channel"');
SELECT webhook_bridge.create_endpoint('batch', 'github', '$secret', notify => 'batch');
SELECT webhook_bridge.create_endpoint('quiet', 'github', '$secret', notify => 'none');
SELECT webhook_bridge.create_endpoint('always', 'github', '$secret', dedup => 'none');
SELECT webhook_bridge.create_endpoint('small', 'github', '$secret', max_body_size => 10);
SQL
%before = rows();
for my $row (
    [ 'shop',   't', qr/^channel "webhook_bridge": \{"endpoint":"shop","topic":"self_test","id":\d+\}$/ ],
    [ 'own',    't', qr/^channel "Own "channel"": \{"endpoint":"own"/ ],
    [ 'batch',  't', qr/\{"endpoint":"batch","events":1,"id":\d+\}$/ ],
    [ 'quiet',  '?', qr/^The endpoint notifies nobody/ ],
    [ 'always', 't', qr/"always"/ ])
{
    my ($name, $ok, $pattern) = @$row;
    my @steps = self_test($name);
    is(outcome(@steps), join(' ', map { "$_:" . ($_ eq 'notification' ? $ok : 't') } @all_steps), "$name: all steps");
    like($steps[5]{detail}, $pattern, "$name: the notification");
}

# --- What is wrong is said ---------------------------------------------------

for my $row (
    [
        'disabled', q(UPDATE webhook_bridge.endpoints SET enabled = false WHERE name = 'shop'),
        q(UPDATE webhook_bridge.endpoints SET enabled = true WHERE name = 'shop'),
        'endpoint:f removal:t', qr/^The endpoint is disabled: UPDATE/
    ],
    [
        'no secret that is valid',
        q(UPDATE webhook_bridge.secrets SET expires_at = now() WHERE endpoint = 'shop'),
        q(UPDATE webhook_bridge.secrets SET expires_at = NULL WHERE endpoint = 'shop'),
        'endpoint:f removal:t', qr/no valid secret.*add_secret/
    ],
    [
        'a trigger that changes the body',
        q(CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.payload := '{}'; RETURN NEW; END $$;
          CREATE TRIGGER change BEFORE INSERT ON webhook_bridge.events FOR EACH ROW EXECUTE FUNCTION change()),
        'DROP FUNCTION change CASCADE', 'endpoint:t listener:t preparation:t answer:t row:f removal:t', qr/other bytes \(2 instead of \d+\)/
    ],
    [
        'a trigger that raises an error',
        q(CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
          CREATE TRIGGER fail BEFORE INSERT ON webhook_bridge.events FOR EACH ROW EXECUTE FUNCTION fail()),
        'DROP FUNCTION fail CASCADE', 'endpoint:t listener:t preparation:t answer:f removal:t', qr/^503, .*could not be stored; the server's log says why/
    ])
{
    my ($name, $break, $mend, $outcome, $pattern) = @$row;
    $bridge->sql($break);
    my @steps = self_test('shop');
    $bridge->sql($mend);
    is(outcome(@steps), $outcome, "$name: up to there");
    like((grep { $_->{ok} eq 'f' } @steps)[0]{detail}, $pattern, "$name: what is said");
}
{
    my @steps = self_test('small');
    is(outcome(@steps), 'endpoint:t listener:t preparation:t answer:f removal:t', 'refused: up to there');
    like($steps[3]{detail}, qr/^413, body too large\. The endpoint refuses it/, 'refused: with the reason');
}
{
    # the receiver has committed the sample, and not told anybody
    $bridge->reload('synchronous_standby_names' => 'nobody');
    my ($status, $out);
    poll_until(
        sub {
            ($status, $out) = $node->psql('postgres', q(SET synchronous_commit = local; SELECT step || ':' || ok FROM webhook_bridge.self_test('shop')));
            return $out =~ /answer:false/;
        },
        'the receiver to wait for a standby');
    $bridge->reload('synchronous_standby_names' => '');
    is($out =~ s/\n/ /gr, 'endpoint:true listener:true preparation:true answer:false removal:true', 'a standby that does not confirm');
}
fails_with('no such endpoint', $node, 'postgres', q(SELECT * FROM webhook_bridge.self_test('nobody')), '42704', qr/endpoint "nobody" does not exist/);
fails_with('a name that is too long', $node, 'postgres', q(SELECT * FROM webhook_bridge.self_test(repeat('x', 300))), '42704', qr/does not exist/);
is($bridge->count(q(webhook_bridge.self_test(NULL))), 0, 'null: no row');
{
    # whoever may call it needs no other right
    $bridge->sql(q(CREATE ROLE watcher; GRANT USAGE ON SCHEMA webhook_bridge TO watcher));
    my $as_watcher = q(SET ROLE watcher; SELECT bool_and(ok) FROM webhook_bridge.self_test('shop'));
    fails_with('without the right', $node, 'postgres', $as_watcher, '42501', qr/permission denied for function self_test/);
    $bridge->sql(q(GRANT EXECUTE ON FUNCTION webhook_bridge.self_test(text) TO watcher));
    is($bridge->sql($as_watcher), 't', 'with the right');
    $bridge->sql('DROP OWNED BY watcher; DROP ROLE watcher');
}
is_deeply({ rows() }, \%before, 'what is wrong: nothing remains');

# --- Listeners ---------------------------------------------------------------

my $tls = Tls->new(tempdir(CLEANUP => 1));
$tls->make('authority', ca => 1);
$tls->make('server', by => 'authority', names => 'DNS:hooks.example.com');
$bridge->reload('webhook_bridge.receivers' => 0);
$bridge->wait_until_not_listening;
poll_until(sub { !$bridge->workers('receiver') }, 'the receiver to end');
listener_is('no receivers', 'f', qr/webhook_bridge\.receivers is 0/);
$bridge->reload('webhook_bridge.receivers' => 1, 'webhook_bridge.port' => 0);
poll_until(sub { $bridge->sql(q(SELECT state = 'blocked' FROM webhook_bridge.status() WHERE receiver = 0)) eq 't' }, 'a receiver without a port');
listener_is('no port', 'f', qr/cannot open their sockets/);
$bridge->reload(
    'webhook_bridge.tls_port'      => $tls_port,
    'webhook_bridge.tls_cert_file' => $tls->file('server', 'crt'),
    'webhook_bridge.tls_key_file'  => $tls->file('server', 'key'));
wait_until_state('listening');
listener_is('only TLS', 't', qr{^https://127\.0\.0\.1:$tls_port$});
$bridge->reload('webhook_bridge.tls_client_ca_file' => $tls->file('authority', 'crt'));
$node->poll_query_until('postgres', q(SELECT current_setting('webhook_bridge.tls_client_ca_file') <> ''));
listener_is('certificates of senders', 'f', qr/Senders need a certificate/);
$bridge->reload('webhook_bridge.tls_client_ca_file' => '', 'webhook_bridge.port' => $bridge->port, 'webhook_bridge.listen_addresses' => '*');
$bridge->wait_until_listening;
listener_is('all addresses', 't', qr{^http://127\.0\.0\.1:}) for 1 .. 2;
$bridge->sql('CREATE DATABASE other');
$node->safe_psql('other', q(CREATE EXTENSION webhook_bridge; SELECT webhook_bridge.create_endpoint('shop', 'github', 'k')));
like($node->safe_psql('other', q(SELECT ok, detail FROM webhook_bridge.self_test('shop') WHERE step = 'listener')),
    qr/^f\|The receivers work for database "postgres"/, 'another database');
$bridge->reload('webhook_bridge.receivers' => 2);
poll_until(sub { $bridge->workers('receiver') == 2 }, 'two receivers');
wait_until_state('listening', 2);
{
    my @tests = map { start_test('shop') } 1 .. 8;
    $_->{process}->finish for @tests;
    is(join(' ', map { () = $_->{out} =~ /\|t\|/g; scalar(my @n = $_->{out} =~ /\|t\|/g) } @tests), join(' ', (8) x 8), 'eight at once, two receivers')
      or diag map { $_->{out} . $_->{err} } @tests;
}
$bridge->reload('webhook_bridge.receivers' => 1);
poll_until(sub { $bridge->workers('receiver') == 1 }, 'one receiver');
wait_until_state('listening');
is_deeply({ rows() }, \%before, 'listeners: nothing remains');

# --- Other consumers ---------------------------------------------------------

$bridge->sql(q(SELECT webhook_bridge.create_consumer('everything')));
%before = rows();
self_test('shop') for 1 .. 5;
is($bridge->count(q(webhook_bridge.fetch_events('everything'))), 0, 'another consumer is never offered a sample');
{
    # not even one that asks for everything while it is stored
    my ($receiver) = $bridge->workers('receiver');
    kill STOP => $receiver;
    my $test = start_test('shop');
    wait_until_sent($test);
    kill STOP => $test->{worker};
    kill CONT => $receiver;
    poll_until(sub { $bridge->count('webhook_bridge.events') == 1 }, 'the event');
    is($bridge->sql(q(SELECT webhook_bridge.replay_events('everything'))), 0, 'a sample is not replayed');
    $bridge->sql(q(SELECT webhook_bridge.create_consumer('late', starting => 'earliest')));
    is($bridge->count(q(webhook_bridge.fetch_events('late'))), 0, 'a sample is not of the earliest events');
    $bridge->sql(q(SELECT webhook_bridge.drop_consumer('late')));
    kill CONT => $test->{worker};
    $test->{process}->finish;
    like($test->{out}, qr/^consumer\|t\|.*^removal\|t\|/ms, '... and its own consumer has got it');
}
is_deeply({ rows() }, \%before, 'another consumer: nothing remains');

# The token of a real sample, seen by a trigger; the same delivery later, and a
# token that nobody has made.
$bridge->sql(<<'SQL');
CREATE TABLE seen (headers json, body bytea);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.seen VALUES (NEW.headers, webhook_bridge.event_body(NEW));
    RETURN NULL;
END
$$;
CREATE TRIGGER note AFTER INSERT ON webhook_bridge.events FOR EACH ROW EXECUTE FUNCTION note();
SQL
self_test('shop');
{
    my ($sample) = query('SELECT headers::text, encode(body, \'hex\') AS body FROM seen');
    my %headers = %{ decode_json($sample->{headers}) };
    my $body    = pack 'H*', $sample->{body};
    delete @headers{ grep { /^(host|content-length|accept)$/i } keys %headers };
    my ($name) = grep { /self-test/i } keys %headers;
    like($headers{$name}, qr/^[0-9a-f]{48}$/, 'the sample has a token');

    my $answer = $bridge->post('/hooks/shop', $body, [%headers]);
    is($answer->{status}, 503, 'a sample that arrives when its self-test is over is not stored');
    is($bridge->count('webhook_bridge.events'), 0, '... there is no event');
    for my $token ('0' x 48, substr($headers{$name}, 0, 47) . (substr($headers{$name}, 47) eq '0' ? '1' : '0'), $headers{$name} . '0', '', 'x')
    {
        $headers{'X-GitHub-Delivery'} = "other-$token";
        answer_is($bridge->post('/hooks/shop', $body, [ %{ { %headers, $name => $token } } ]), 200, 'stored', "a header that says \"$token\" means nothing");
    }
    is($bridge->count(q(webhook_bridge.fetch_events('everything'))), 5, 'those are events for everybody');
}
$bridge->sql(<<'SQL');
DROP FUNCTION note CASCADE;
SELECT webhook_bridge.drop_consumer('everything');
DELETE FROM webhook_bridge.events;
DELETE FROM webhook_bridge.dedup;
SQL
%before = rows();

# --- In the middle -----------------------------------------------------------

# The receiver stands still, so that the sample waits for it.
my ($receiver) = $bridge->workers('receiver');
for my $row (
    [ 'cancelled', sub { $bridge->sql("SELECT pg_cancel_backend($_[0]{session})") }, qr/canceling statement due to user request/ ],
    [ 'terminated', sub { $bridge->sql("SELECT pg_terminate_backend($_[0]{session})") }, qr/terminating connection/ ],
    [ 'its process terminated', sub { $bridge->sql("SELECT pg_terminate_backend($_[0]{worker})") }, undef ],
    [ 'its process cancelled', sub { $bridge->sql("SELECT pg_cancel_backend($_[0]{worker})") }, undef ])
{
    my ($name, $act, $error) = @$row;
    my $unavailable = $bridge->status->{unavailable};
    kill STOP => $receiver;
    my $test = start_test('shop');
    wait_until_sent($test);
    $act->($test);
    $test->{process}->finish;
    kill CONT => $receiver;
    if ($error)
    {
        like($test->{err}, $error, "$name: the statement ends");
    }
    else
    {
        like($test->{out}, qr/^answer\|f\|/m, "$name: it is said");
        like($test->{out}, qr/^removal\|t\|/m, "$name: what was made is removed");
    }
    # the sample that was on its way
    poll_until(sub { $bridge->status->{unavailable} > $unavailable || !$bridge->status->{connections} }, 'the receiver to go on');
    nothing_remains($name);
    is(outcome(self_test('shop')), join(' ', map { "$_:t" } @all_steps), "$name: the next one is well");
}
{
    kill STOP => $receiver;
    my $test = start_test('shop', q(SET statement_timeout = '300ms'));
    $test->{process}->finish;
    like($test->{err}, qr/canceling statement due to statement timeout/, 'statement_timeout ends it');
    kill CONT => $receiver;
    nothing_remains('statement_timeout');
}
{
    kill STOP => $receiver;
    my $begun = time;
    my @steps = self_test('shop');
    my $took  = time - $begun;
    kill CONT => $receiver;
    like($steps[3]{detail}, qr/^There is no answer from http/, 'without an answer: it is said');
    is($steps[4]{step}, 'removal', 'without an answer: and the end');
    diag "without an answer it took $took s";
    nothing_remains('without an answer');
}

# A lock on events keeps it from removing; the next one does it, or the keeper.
{
    my $holder = $node->background_psql('postgres');
    my $test;
    kill STOP => $receiver;
    $test = start_test('shop');
    wait_until_sent($test);
    kill STOP => $test->{worker};
    kill CONT => $receiver;
    poll_until(sub { $bridge->count('webhook_bridge.events') == 1 }, 'the event');
    $holder->query_safe('BEGIN; LOCK webhook_bridge.events IN SHARE MODE');
    kill CONT => $test->{worker};
    $test->{process}->finish;
    like($test->{out}, qr/^removal\|f\|.*timeout/m, 'a lock: what cannot be removed is said');
    is($bridge->sql('SELECT count(*), (SELECT count(*) FROM webhook_bridge.self_tests) FROM webhook_bridge.events'), '1|1', 'a lock: it is still there, and noted');
    $holder->quit;
    self_test('quiet');
    is_deeply({ rows() }, \%before, 'a lock: the next one removes it, of whatever endpoint');
}

# The database is dropped.
{
    $bridge->reload('webhook_bridge.database' => 'other');
    poll_until(sub { $node->safe_psql('postgres', q(SELECT string_agg(database || state, '') FROM webhook_bridge.status() WHERE receiver = 0)) eq 'otherlistening' },
        'the receiver of the other database');
    my ($other) = $bridge->workers('receiver');
    kill STOP => $other;
    my $test = start_test('shop', 'SELECT 1', 'other');
    wait_until_sent($test);
    my $drop = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'DROP DATABASE other WITH (FORCE)' ],
        '<', '/dev/null', '>', \my $out, '2>', \my $err, IPC::Run::timeout(180));
    kill CONT => $other;
    $drop->finish;
    is($err, '', 'the database can be dropped with FORCE');
    eval { $test->{process}->finish };
    $bridge->reload('webhook_bridge.database' => 'postgres');
    wait_until_state('listening');
    ($receiver) = $bridge->workers('receiver');
}

# The server crashes with the event stored and all the rest: the keeper removes it.
for my $how ('kill -9 of the process', 'kill -9 of all')
{
    kill STOP => $receiver;
    my $test = start_test('shop');
    wait_until_sent($test);
    kill STOP => $test->{worker};
    kill CONT => $receiver;
    poll_until(sub { $bridge->count('webhook_bridge.events') == 1 }, 'the event');
    my $crashed_at = $bridge->sql('SELECT now()');
    if ($how =~ /all/)
    {
        $node->stop('immediate', fail_ok => 1);
        kill KILL => $test->{worker};
        $node->start;
    }
    else
    {
        kill KILL => $test->{worker};
        poll_until(sub { my ($new) = eval { $bridge->workers('receiver') }; $new && $new != $receiver }, 'the server to recover');
    }
    eval { $test->{process}->finish };
    poll_until(sub { eval { ($bridge->workers('receiver'))[0] } }, 'a receiver');
    $bridge->wait_until_listening;
    wait_until_state('listening');
    ($receiver) = $bridge->workers('receiver');
    poll_until(
        sub {
            return $bridge->sql("SELECT detail FROM webhook_bridge.maintenance WHERE task = 'consumers' AND last_change > '$crashed_at'") eq
              'interrupted self-tests removed: 1';
        },
        'the keeper to find what is left');
    is_deeply({ rows() }, \%before, "$how: nothing remains");
    is(outcome(self_test('shop')), join(' ', map { "$_:t" } @all_steps), "$how: the next one is well");
}

# --- Where it cannot start ---------------------------------------------------

# Launcher and receiver have a slot, and PostgreSQL's launcher of logical replication.

unlike(scalar $bridge->log_text, qr/\Q$secret\E/, 'the log has no secret');
$node->append_conf('postgresql.conf', 'max_worker_processes = 4');
$node->restart;
$bridge->wait_until_listening;
fails_with('no free worker slot', $node, 'postgres', q(SELECT * FROM webhook_bridge.self_test('shop')), '53000',
    qr/could not start the process of a self-test.*max_worker_processes is 4/s);
$node->append_conf('postgresql.conf', q(shared_preload_libraries = ''));
$node->restart;
fails_with('not preloaded', $node, 'postgres', q(SELECT * FROM webhook_bridge.self_test('shop')), '55000',
    qr/webhook_bridge is not loaded by the server.*shared_preload_libraries/s);
$node->stop;
done_testing();

# ---------------------------------------------------------------------------

sub run
{
    my (@command) = @_;
    return run_with_input('', @command);
}

sub run_with_input
{
    my ($input, @command) = @_;
    my ($out, $err);
    IPC::Run::run(\@command, '<', \$input, '>', \$out, '2>', \$err) or die "@command: $err\n";
    return $out;
}

# A public key as a secret of that encoding; one of Ed25519 ends with its 32 bytes.
sub public_key
{
    my ($der, $kind) = @_;
    return "-----BEGIN PUBLIC KEY-----\n" . MIME::Base64::encode_base64($der) . "-----END PUBLIC KEY-----\n" if $kind eq 'pem';
    return MIME::Base64::encode_base64($der, '') if $kind eq 'spki';
    my $raw = substr $der, -32;
    return $kind eq 'hex' ? unpack('H*', $raw) : MIME::Base64::encode_base64($raw, '');
}

# Rows of every table of the extension.
sub rows
{
    my @tables = split /\n/, $bridge->sql(<<'SQL');
SELECT relname FROM pg_class
WHERE relnamespace = 'webhook_bridge'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1
SQL
    return split /[|\n]/, $bridge->sql(join ' UNION ALL ', map { "SELECT '$_', count(*) FROM webhook_bridge.$_" } @tables);
}

sub query
{
    my ($sql) = @_;
    return map { decode_json($_) } split /\n/, $bridge->sql("SELECT row_to_json(r) FROM ($sql) r");
}

# The rows of a self-test, with ok as it is shown: t, f or ?.
sub self_test
{
    my ($name) = @_;
    return query("SELECT * FROM webhook_bridge.self_test('$name')");
}

sub outcome
{
    my (@steps) = @_;
    $_->{ok} = !defined $_->{ok} ? '?' : ref $_->{ok} ? ($_->{ok} ? 't' : 'f') : $_->{ok} for @steps;
    return join ' ', map { "$_->{step}:$_->{ok}" } @steps;
}

sub listener_is
{
    my ($name, $ok, $pattern) = @_;
    my @steps = self_test('shop');
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(outcome(@steps), $ok eq 't' ? join(' ', map { "$_:t" } @all_steps) : 'endpoint:t listener:f removal:t', "$name: the steps")
      or diag join "\n", map { "$_->{step}: $_->{detail}" } @steps;
    like($steps[1]{detail}, $pattern, "$name: what is said");
    return;
}

sub wait_until_state
{
    my ($state, $count) = @_;
    poll_until(sub { eval { $bridge->count("webhook_bridge.status() WHERE state = '$state'") } // 0 == ($count // 1) }, "state $state");
    return;
}

sub fails_with
{
    my ($name, $at, $database, $sql, $sqlstate, $pattern) = @_;
    my ($status, $out, $err) = $at->psql($database, "\\set VERBOSITY verbose\n$sql");
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    like($err, qr/ERROR:  $sqlstate: /, "$name: SQLSTATE $sqlstate");
    like($err, $pattern, "$name: the message");
    return;
}

# Starts a self-test in a session of its own.
sub start_test
{
    my ($name, $first, $database) = @_;
    my %test = (out => '', err => '');
    $test{process} = IPC::Run::start(
        [ 'psql', '-XAtq', '-d', $node->connstr($database // 'postgres'), '-c', $first // 'SELECT 1',
            '-c', "SELECT step, ok, detail FROM webhook_bridge.self_test('$name') /* begun */" ],
        '<', '/dev/null', '>', \$test{out}, '2>', \$test{err}, IPC::Run::timeout(180));
    return \%test;
}

# Waits until it is at a step, and finds out who does it.
sub wait_for_step
{
    my ($test, $step) = @_;
    poll_until(
        sub {
            @$test{qw(worker session)} = split /\|/, $node->safe_psql('postgres', <<"SQL");
SELECT w.pid, s.pid FROM pg_stat_activity w, pg_stat_activity s
WHERE w.backend_type = 'webhook_bridge self_test' AND w.query LIKE '%: $step' AND s.query LIKE '%/* begun */'
  AND s.backend_type = 'client backend'
SQL
            return $test->{session};
        },
        "step \"$step\"");
    return;
}

# Waits until the sample is there for a receiver that stands still to read.
sub wait_until_sent
{
    my ($test) = @_;
    my $port = sprintf '%04X', $bridge->port;
    wait_for_step($test, 'answer');
    poll_until(
        sub {
            open my $sockets, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";
            # local address, remote address, established, bytes to be sent and to be read
            return grep { /^\s*\d+: [0-9A-F]{8}:$port \S+ 01 [0-9A-F]+:(?!0{8})/ } <$sockets>;
        },
        'the sample to be sent');
    return;
}

# Whoever has called it does not wait for that.
sub nothing_remains
{
    my ($name) = @_;
    my %after;
    eval {
        poll_until(
            sub {
                return if $bridge->count(q(pg_stat_activity WHERE backend_type = 'webhook_bridge self_test'));
                %after = rows();
                return !grep { $after{$_} != $before{$_} } keys %before;
            },
            "nothing to remain ($name)");
    };
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply(\%after, \%before, "$name: nothing remains");
    return;
}
