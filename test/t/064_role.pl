# webhook_bridge.role: receivers work in it and can do no more than it may; what
# it lacks is said once and makes deliveries 503, until it has been granted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookBridge;

my $secret = 'a secret of the shop';
my $role   = 'webhook_receiver';
my $bridge = WebhookBridge->start('role', conf => <<'CONF');
log_statement = none
autovacuum = off
CONF
$bridge->sql(<<"SQL");
INSERT INTO webhook_bridge.providers (name, title, signature_from, topic_from, external_id_from)
VALUES ('sender', 'Sender', 'header:X-Webhook-Signature', '{header:X-Webhook-Topic}', '{header:X-Webhook-Id}');
SELECT webhook_bridge.create_endpoint('shop', 'sender', '$secret', max_body_size => 2000000)
SQL
my ($pid) = $bridge->workers('receiver');

# The grants are those of the README.
my ($grants) = slurp_file("$FindBin::Bin/../../README.md") =~ /^```sql\n(CREATE ROLE $role;\n.*?)^```/ms
  or die 'the README has no grants';

# A trigger tells in whose role it runs, and does what its row says.
$bridge->sql(<<'SQL');
CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.source := current_user;
    IF NEW.topic LIKE 'sql %' THEN
        EXECUTE substr(NEW.topic, 5);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER act BEFORE INSERT ON webhook_bridge.events FOR EACH ROW EXECUTE FUNCTION act();
CREATE TABLE other (n int);
SQL
my $owner = $bridge->sql('SELECT current_user');

# --- The owner's role --------------------------------------------------------

answer_is(deliver('d-owner'), 200, 'stored', 'without a role');
is(source('d-owner'), $owner, 'without a role: the owner of the tables');

# He is a superuser here, and yet a trigger can neither take another role nor leave
# anything behind in the session.
for my $row (
    [ 'SELECT 1',                                              200 ],
    [ 'INSERT INTO public.other VALUES (0)',                          200 ],
    [ "SET ROLE $owner",                                       503 ],
    [ 'RESET ROLE',                                            503 ],
    [ 'SET SESSION AUTHORIZATION DEFAULT',                     503 ],
    [ 'CREATE TEMP TABLE t (n int)',                           503 ],
    [ 'DECLARE c CURSOR WITH HOLD FOR SELECT 1',               503 ])
{
    my ($sql, $status) = @$row;
    is(deliver(undef, topic => "sql $sql")->{status}, $status, "without a role, in a trigger: $sql");
}
$bridge->sql('TRUNCATE other');

# --- A role that is not there, and one that may nothing ----------------------

my $offset = (stat $bridge->node->logfile)[7];
$bridge->reload('webhook_bridge.role' => $role);
unavailable('no such role');
my $large = $bridge->post('/hooks/shop', 'x' x 1_500_000, []);
is($large->{status}, 503, 'no such role: a body that may be too large is not judged');
is($bridge->request('GET', '/hooks/shop')->{status}, 503, 'no such role: nor is a probe answered');
my @said = said(qr/role "$role" cannot store them/);
is(scalar @said, 1, 'no such role: said once') or diag join "\n", @said;
like(scalar $bridge->log_text($offset), qr/DETAIL:  There is no such role\.\n.*HINT:  Create the role, or change webhook_bridge\.role\./,
    'no such role: with what to do');

$offset = (stat $bridge->node->logfile)[7];
$bridge->sql("CREATE ROLE $role");
unavailable('no privileges');
poll_until(sub { $bridge->log_text($offset) =~ /It lacks/ }, 'what is missing');
my ($missing) = $bridge->log_text($offset) =~ /DETAIL:  It lacks in schema webhook_bridge: (.*)\./;
is($missing, join(', ',
        'USAGE on schema',                    'SELECT on table providers',
        'SELECT on table endpoints',          'UPDATE on a column of table endpoints',
        'SELECT on table secrets',            'INSERT on table events',
        'SELECT on table dedup',              'INSERT on table dedup',
        'SELECT on table consumers',          'INSERT on table queue',
        'SELECT on table rejections',         'INSERT on table rejections',
        'UPDATE on a column of table rejections', 'DELETE on table rejections',
        'USAGE on sequence rejection_ids',    'EXECUTE on function create_event_partitions'),
    'no privileges: all that is missing is listed');
is(scalar said(qr/role "$role" cannot store them/), 1, 'no privileges: said once');

# --- The grants of the README ------------------------------------------------

$bridge->sql($grants =~ s/^CREATE ROLE.*?;//mr);
available('granted');
answer_is(deliver('d-role'), 200, 'stored', 'granted: nobody had to restart or reload');
is(source('d-role'), $role, 'granted: deliveries are stored in the role');
answer_is(deliver('d-role'), 200, 'duplicate', 'granted: duplicates are recognised');
$bridge->sql('ALTER TABLE webhook_bridge.events ENABLE ROW LEVEL SECURITY');
is(deliver('d-secured')->{status}, 503, 'granted: row security keeps the role from storing');
$bridge->sql("CREATE POLICY known ON webhook_bridge.events FOR INSERT TO $role WITH CHECK (endpoint = 'shop')");
answer_is(deliver('d-secured'), 200, 'stored', 'granted: a policy allows it');
$bridge->sql('DROP POLICY known ON webhook_bridge.events; ALTER TABLE webhook_bridge.events DISABLE ROW LEVEL SECURITY');
is($bridge->sql(q(SELECT bool_and(ok) FROM webhook_bridge.self_test('shop'))), 't', 'granted: a self-test is well');

answer_is(deliver('d-wrong', secret => 'wrong'), 401, 'delivery is not authentic', 'granted: refusals') for 1 .. 3;
is(poll_until(sub { $bridge->count("webhook_bridge.rejections WHERE reason = 'signature does not match'") >= 3 }, 'rejections'),
    1, 'granted: rejections are kept');
$bridge->reload('webhook_bridge.max_rejections' => 2);
poll_until(
    sub {
        deliver('d-wrong', secret => 'wrong');
        return $bridge->count('webhook_bridge.rejections') == 2;
    },
    'old rejections to be deleted');
pass('granted: old rejections are deleted');

my $partition = $bridge->sql(q(SELECT 'webhook_bridge.events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')));
$bridge->sql("DROP TABLE $partition");
answer_is(deliver('d-partition'), 200, 'stored', 'granted: a partition is made');
is($bridge->sql("SELECT relowner::regrole FROM pg_class WHERE oid = '$partition'::regclass"),
    $owner, 'granted: and belongs to the owner of events');

# --- What a trigger can do in it ---------------------------------------------

for my $row (
    [ 'SELECT 1',                                              200 ],
    [ 'SELECT webhook_bridge.create_event_partitions(current_date, 1)', 200 ],
    [ 'INSERT INTO public.other VALUES (1)',                          503 ],
    [ 'SELECT * FROM webhook_bridge.accounts',                 503 ],
    [ 'SELECT * FROM webhook_bridge.events',                   503 ],
    [ 'DELETE FROM webhook_bridge.events',                     503 ],
    [ 'UPDATE webhook_bridge.endpoints SET allow_unverified = true', 503 ],
    [ "SET ROLE $owner",                                       503 ],
    [ 'RESET ROLE',                                            503 ],
    [ 'RESET SESSION AUTHORIZATION',                           503 ],
    [ 'CREATE TEMP TABLE t (n int)',                           503 ],
    [ "COPY public.other FROM PROGRAM 'true'",                        503 ],
    [ 'LISTEN somewhere',                                      503 ])
{
    my ($sql, $status) = @$row;
    is(deliver(undef, topic => "sql $sql")->{status}, $status, "in a trigger: $sql");
}
answer_is(deliver(), 200, 'stored', 'and the next delivery is stored');
is($bridge->count('other'), 0, 'nothing was written that may not be');

# A privilege that the trigger lacks is the trouble of its delivery alone.
{
    my $connection = $bridge->connect;
    $connection->send(join '', map { request("d-mixed-$_", topic => $_ == 3 ? 'sql INSERT INTO public.other VALUES (1)' : 'topic') } 1 .. 6);
    is(join(' ', map { $_->{status} } $connection->responses(6)), '200 200 503 200 200 200', 'one of six lacks a privilege');
}

# --- Every privilege is needed, and missed ------------------------------------------------------

for my $row (
    # what is revoked, and how that is said
    [ 'USAGE ON SCHEMA webhook_bridge',             'USAGE on schema' ],
    [ 'SELECT ON webhook_bridge.providers',         'SELECT on table providers' ],
    [ 'SELECT ON webhook_bridge.endpoints',         'SELECT on table endpoints' ],
    [ 'UPDATE (created_at) ON webhook_bridge.endpoints', 'UPDATE on a column of table endpoints' ],
    [ 'SELECT ON webhook_bridge.secrets',           'SELECT on table secrets' ],
    [ 'INSERT ON webhook_bridge.events',            'INSERT on table events' ],
    [ 'SELECT ON webhook_bridge.dedup',             'SELECT on table dedup' ],
    [ 'INSERT ON webhook_bridge.dedup',             'INSERT on table dedup' ],
    [ 'SELECT ON webhook_bridge.rejections',        'SELECT on table rejections' ],
    [ 'SELECT ON webhook_bridge.consumers',         'SELECT on table consumers' ],
    [ 'INSERT ON webhook_bridge.queue',             'INSERT on table queue' ],
    [ 'INSERT ON webhook_bridge.rejections',        'INSERT on table rejections' ],
    [ 'UPDATE ON webhook_bridge.rejections',        'UPDATE on a column of table rejections' ],
    [ 'DELETE ON webhook_bridge.rejections',        'DELETE on table rejections' ],
    [ 'USAGE ON SEQUENCE webhook_bridge.rejection_ids', 'USAGE on sequence rejection_ids' ],
    [
        'EXECUTE ON FUNCTION webhook_bridge.create_event_partitions(date, integer)',
        'EXECUTE on function create_event_partitions'
    ])
{
    my ($what, $name) = @$row;
    $offset = (stat $bridge->node->logfile)[7];
    $bridge->sql("REVOKE $what FROM $role");
    unavailable("revoked: $what");
    poll_until(sub { $bridge->log_text($offset) =~ /DETAIL:  It lacks in schema webhook_bridge: \Q$name\E\./ }, "\"$name\"");
    $bridge->sql("GRANT $what TO $role");
    available("granted again: $what");
}

# --- Other roles ---------------------------------------------------------------------------

$bridge->sql(qq(CREATE ROLE "A ""role"" 'x'"; GRANT $role TO "A ""role"" 'x'"));
$bridge->reload('webhook_bridge.role' => q(A "role" ''x''));
poll_until(sub { deliver('d-member'); source('d-member') eq q(A "role" 'x') || $bridge->sql(q(DELETE FROM webhook_bridge.events WHERE external_id = 'd-member'; DELETE FROM webhook_bridge.dedup WHERE key = webhook_bridge.ledger_key('d-member'))) && 0 },
    'the other role');
pass('another role, which has the privileges as a member');

$bridge->sql(qq(DROP ROLE "A ""role"" 'x'"));
unavailable('dropped');
$bridge->reload('webhook_bridge.role' => '');
available('the owner again');
answer_is(deliver('d-owner-again'), 200, 'stored', 'the owner again: stored');
is(source('d-owner-again'), $owner, 'the owner again: it is he');

# --- Dropped and made again under load -----------------------------------------------------

$bridge->reload('webhook_bridge.role' => $role);
my $round = 0;
poll_until(sub { $round++; deliver("d-round-$round"); source("d-round-$round") eq $role }, 'the role');
$bridge->create_endpoint('load', $secret);
my $storm = $bridge->storm(path => '/hooks/load', secret => $secret, connections => 8);
for (1 .. 5)
{
    $storm->wait_for_more(300);
    my $refused = $storm->progress->{refused} // 0;
    $bridge->sql("DROP OWNED BY $role; DROP ROLE $role");
    poll_until(sub { ($storm->progress->{refused} // 0) > $refused }, 'refusals');
    $bridge->sql($grants);
}
$storm->wait_for_more(300);
my $sent = $storm->finish;
diag "dropped 5 times: sent $sent->{sent}, acknowledged $sent->{acknowledged}, refused $sent->{refused}, without an answer $sent->{lost}";
is($sent->{lost}, 0, 'under load: everything is answered');
$bridge->sql(sprintf q{CREATE TABLE storm (id bigint, status int); COPY storm FROM '%s'}, $storm->outcomes);
is($bridge->sql('SELECT DISTINCT status FROM storm WHERE status NOT IN (200, 503)'), '', 'under load: with 200 or 503');
is($bridge->count(<<'SQL'), 0, 'under load: everything acknowledged is stored, and nothing else');
storm s FULL JOIN (SELECT (payload->>'id')::bigint AS id FROM webhook_bridge.events WHERE endpoint = 'load') e USING (id)
WHERE (s.status = 200) IS DISTINCT FROM (e.id IS NOT NULL)
SQL

is_deeply([ $bridge->workers('receiver') ], [$pid], 'the receiver is still the first');
unlike(scalar $bridge->log_text, qr/\Q$secret\E/, 'the log has no secret');
$bridge->stop;
done_testing();

# ---------------------------------------------------------------------------

sub request
{
    my ($id, %options) = @_;
    our $number;
    $id //= 'n-' . ++$number;
    my $body = qq({"id":"$id"});
    return http_request('POST', '/hooks/shop',
        [
            'X-Webhook-Topic'     => $options{topic} // 'topic',
            'X-Webhook-Id'        => $id,
            'X-Webhook-Signature' => hmac_sha256_hex($body, $options{secret} // $secret)
        ],
        $body);
}

sub deliver
{
    my ($id, %options) = @_;
    my $connection = $bridge->connect;
    $connection->send(request($id, %options));
    return $connection->response;
}

sub source
{
    my ($id) = @_;
    return $bridge->sql("SELECT source FROM webhook_bridge.events WHERE external_id = '$id'");
}

# Waits until deliveries are answered 503, by one and the same receiver.
sub unavailable
{
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $answer;
    poll_until(sub { $answer = deliver(); $answer->{status} != 200 }, "503 ($name)");
    my $before = $bridge->count('webhook_bridge.events');
    for (1 .. 3)
    {
        is($answer->{status}, 503, "$name: 503");
        ok($answer->{headers}{'retry-after'}, "$name: Retry-After");
        $answer = deliver();
    }
    is($bridge->count('webhook_bridge.events'), $before, "$name: nothing is stored");
    return is_deeply([ $bridge->workers('receiver') ], [$pid], "$name: the receiver lives on");
}

sub available
{
    my ($name) = @_;
    poll_until(sub { deliver()->{status} == 200 }, "200 ($name)");
    return;
}

# Lines of the log since the offset.
sub said
{
    my ($pattern) = @_;
    return grep { /$pattern/ } split /\n/, $bridge->log_text($offset);
}
