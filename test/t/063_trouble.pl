# Trouble in the database: deliveries are answered 503 with Retry-After while
# nothing can be stored, 200 only for what is, and all is well again by itself, in
# one and the same receiver.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WebhookBridge;

my $secret    = 'a secret of the shop';
my $directory = PostgreSQL::Test::Utils::tempdir;
my $full      = "$directory/full";
my $sources   = "$FindBin::Bin/../trouble";

# A disk that can be full, and a NOTIFY queue.
compile("$directory/disk.so", "$sources/disk.c", '-D_GNU_SOURCE', '-ldl');

my ($major) = qx(pg_config --version) =~ /(\d+)/;
my $small_queue = $major >= 17;    # its size is a setting
my $bridge;
{
    local $ENV{LD_PRELOAD}   = "$directory/disk.so";
    local $ENV{WB_TEST_FULL} = $full;
    $bridge = WebhookBridge->start('trouble', conf => <<"CONF");
log_statement = none
autovacuum = off
shared_buffers = 64MB
@{[ $small_queue ? 'max_notify_queue_pages = 64' : '' ]}
CONF
}
my $node = $bridge->node;
$bridge->sql(<<"SQL");
INSERT INTO webhook_bridge.providers (name, title, signature_from, external_id_from)
VALUES ('sender', 'Sender', 'header:X-Webhook-Signature', '{header:X-Webhook-Id}');
SELECT webhook_bridge.create_endpoint('shop', 'sender', '$secret');
SELECT webhook_bridge.create_endpoint('storm', 'ecomanager', '$secret')
SQL
$bridge->wait_until_listening;
my ($pid) = $bridge->workers('receiver');
poll_until(sub { deliver()->{status} == 200 }, 'the first delivery');

# --- Locks ----------------------------------------------------------------------------------------

for my $row (
    [ 'webhook_bridge.events', 503 ],
    [ 'webhook_bridge.dedup',  503 ],
    # endpoints are cached, so these keep only what changes them waiting
    [ 'webhook_bridge.endpoints',  200 ],
    [ 'webhook_bridge.secrets',    200 ],
    [ 'webhook_bridge.providers',  200 ],
    [ 'webhook_bridge.rejections', 200 ])
{
    my ($table, $status) = @$row;
    my $session = $node->background_psql('postgres');
    is(deliver()->{status}, 200, "before a lock on $table");
    $session->query_safe("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
    answer_unless_stored(deliver("lock-$table"), $status, "a lock on $table");
    is(deliver(undef, secret => 'wrong')->{status}, 401, "a lock on $table: what is refused is refused") if $status == 200;
    $session->query_safe('COMMIT');
    $session->quit;
    is(poll_until(sub { my $s = deliver("lock-$table")->{status}; $s == 200 && $s }, 'the lock to be over'),
        200, "after a lock on $table");
    is(rows_of("lock-$table"), 1, "after a lock on $table: one row");
}

# What locks tables itself gets through, while deliveries arrive.
{
    my $storm = storm();
    $storm->wait_for_more(500);
    for my $sql (
        'VACUUM FULL webhook_bridge.dedup',
        'VACUUM FULL webhook_bridge.events',
        'ALTER TABLE webhook_bridge.events ADD COLUMN note text',
        'CREATE INDEX note ON webhook_bridge.events (note)',
        'DROP INDEX webhook_bridge.note',
        'ALTER TABLE webhook_bridge.events DROP COLUMN note',
        'REINDEX TABLE webhook_bridge.dedup',
        'TRUNCATE webhook_bridge.rejections')
    {
        is(scalar $node->psql('postgres', "SET lock_timeout = '20s'; $sql"), 0, "$sql, under load");
        $storm->wait_for_more(100);
    }
    all_is_well($storm, 'with statements that lock tables');
}

# --- A full disk ----------------------------------------------------------------------------------

{
    my $storm = storm();
    $storm->wait_for_more(500);
    my $offset = (stat $node->logfile)[7];
    my $before = $storm->progress->{refused};
    fill_disk('/base/');
    poll_until(sub { $storm->progress->{refused} > $before + 100 }, 'refusals');

    # what is there has room for a few more rows, a large one needs some of its own
    my $answer = deliver('disk', size => 500_000);
    answer_unless_stored($answer, 503, 'disk full');
    is(rows_of('disk'), 0, 'disk full: it is not stored');
    my @lines = grep { /WARNING|ERROR|PANIC|FATAL/ } split /\n/, $bridge->log_text($offset);
    like("@lines", qr/WARNING: .*webhook_bridge failed in storing deliveries: .*No space left on device/, 'disk full: the log says so');
    cmp_ok(scalar @lines, '<', 10, 'disk full: and is not flooded') or diag join "\n", @lines;

    empty_disk();
    poll_until(sub { deliver('disk', size => 500_000)->{status} == 200 }, 'room');
    is(rows_of('disk'), 1, 'disk full: what is sent again is stored');
    $storm->wait_for_more(500);
    all_is_well($storm, 'with a full disk in between');
}

# So full that not even a partition can be made.
{
    my $partition = $bridge->sql(q(SELECT 'webhook_bridge.events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')));
    my $rows      = $bridge->count($partition);
    $bridge->sql("ALTER TABLE webhook_bridge.events DETACH PARTITION $partition; ALTER TABLE $partition RENAME TO old_events");
    fill_disk('/base/');
    answer_unless_stored(deliver("no-partition-$_"), 503, "no partition on a full disk, $_") for 1 .. 3;
    empty_disk();
    poll_until(sub { deliver('no-partition-1')->{status} == 200 }, 'a partition');
    is(rows_of('no-partition-1'), 1, 'no partition on a full disk: made when there is room');
    $bridge->sql("DROP TABLE webhook_bridge.old_events");
}

# --- A full NOTIFY queue --------------------------------------------------------------------------

SKIP:
{
    my $fill = $small_queue ? undef : queue_function();
    skip 'no headers of the server', 1 unless $fill || $small_queue;

    my $session = $node->background_psql('postgres');
    $session->query_safe('LISTEN webhook_bridge');
    is(deliver('queue-0')->{status}, 200, 'queue: before');
    like(heard($session), qr/"id":/, 'queue: notified');

    my $stuck;
    if ($fill)
    {
        $bridge->sql("SELECT stop_notify_queue($fill, true)");
    }
    else
    {
        $stuck = $node->background_psql('postgres');
        $stuck->query_safe('LISTEN elsewhere');
        $stuck->query_safe('BEGIN');
        1 while $node->psql('postgres', q(SELECT pg_notify('elsewhere', repeat('x', 7000)) FROM generate_series(1, 5))) == 0;
    }
    my ($status, $out, $error) = $node->psql('postgres', q(NOTIFY elsewhere, 'x'));
    like($error, qr/too many notifications in the NOTIFY queue/, 'queue: it is full');

    my $offset = (stat $node->logfile)[7];
    my $storm  = storm();
    for my $n (1 .. 5)
    {
        answer_is(deliver("queue-$n"), 200, 'stored', "queue full: delivery $n is stored");
        is(rows_of("queue-$n"), 1, "queue full: delivery $n: once");
    }
    $storm->wait_for_more(2000);
    my $sent = all_is_well($storm, 'with a full queue');
    is($sent->{refused}, 0, 'queue full: nothing is refused');
    my @lines = grep { /WARNING|ERROR|FATAL/ } split /\n/, $bridge->log_text($offset);
    like("@lines", qr/WARNING: .*webhook_bridge failed in storing deliveries: too many notifications in the NOTIFY queue/,
        'queue full: the log says so');
    cmp_ok(scalar @lines, '<', 10, 'queue full: and is not flooded') or diag join "\n", @lines;
    unlike(heard($session), qr/"id":/, 'queue full: nobody is notified');

    # full, without a reason: PostgreSQL does not notice by itself
    $fill ? $bridge->sql("SELECT stop_notify_queue($fill, false)") : $stuck->quit;
    poll_until(sub { deliver(); heard($session) =~ /"id":/ }, 'a notification');
    pass('queue: with room in it, notifications go on');
    $session->quit;
}

# --- Descriptors ----------------------------------------------------------------------------------

{
    my @before = map { $bridge->connect } 1 .. 10;
    is(deliver_on($_)->{status}, 200, 'descriptors: a connection') for @before;
    my $used = () = glob "/proc/$pid/fd/*";
    system_or_bail('prlimit', "--pid=$pid", '--nofile=' . ($used + 5) . ':');
    my @waiting = map { $bridge->connect } 1 .. 40;
    poll_until(sub { my $n = () = glob "/proc/$pid/fd/*"; $n >= $used + 5 }, 'the limit');

    # it waits quietly
    my ($cpu, $since) = (cpu_seconds(), time);
    sleep 0.05 while time < $since + 2;
    my $spent = cpu_seconds() - $cpu;
    diag sprintf 'without descriptors: %.2f s of CPU in %.1f s', $spent, time - $since;
    cmp_ok($spent, '<', 0.5, 'descriptors: without any left it does not spin');

    # PostgreSQL gives back those of files when it needs others
    my $partition = $bridge->sql(q(SELECT 'webhook_bridge.events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')));
    is(deliver_on($_)->{status}, 200, 'descriptors: without any left, deliveries are stored') for @before;
    $bridge->sql("DROP TABLE $partition");
    is(deliver_on($_)->{status}, 200, 'descriptors: also in a new partition') for @before[ 0, 1 ];

    # who waits is served as others leave
    $_->close for splice @before, 0, 8;
    my $served = 0;
    for my $connection (@waiting)
    {
        $served += deliver_on($connection)->{status} == 200;
        $connection->close;
    }
    is($served, 40, 'descriptors: all who waited are served, one after the other');
    system_or_bail('prlimit', "--pid=$pid", '--nofile=1000:');
    is_deeply([ $bridge->workers('receiver') ], [$pid], 'the receiver is still the first');
}

# --- Settings of role and database, with which a receiver starts --------------------------------------

{
    my $me = $bridge->sql('SELECT current_user');
    my %settings = (
        statement_timeout                   => '1ms',
        lock_timeout                        => '1ms',
        idle_in_transaction_session_timeout => '1ms',
        idle_session_timeout                => '1ms',
        default_transaction_isolation       => 'serializable',
        default_transaction_deferrable      => 'on',
        session_replication_role            => 'replica',
        row_security                        => 'off',
        search_path                         => 'nowhere',
        client_encoding                     => 'latin1',
        standard_conforming_strings         => 'off',
        bytea_output                        => 'escape',
        datestyle                           => 'sql, dmy',
        timezone                            => 'Pacific/Kiritimati',
        intervalstyle                       => 'sql_standard',
        array_nulls                         => 'off',
        transform_null_equals               => 'on',
        'plpgsql.variable_conflict'         => 'use_column',
        client_min_messages                 => 'error',
        work_mem                            => '64kB',
        temp_buffers                        => '800kB',
        debug_print_plan                    => 'on',
        log_min_messages                    => 'debug1',
        log_min_duration_statement          => '0',
        log_statement                       => 'all');
    $settings{transaction_timeout} = '1ms' if $major >= 17;
    my $clear = join ' ', map { "-c $_=0" } grep { /timeout/ } keys %settings;
    local $ENV{PGOPTIONS} = "$clear -c log_statement=none -c log_min_duration_statement=-1 -c debug_print_plan=off "
      . '-c search_path=public -c session_replication_role=origin -c client_encoding=UTF8 -c default_transaction_isolation=read\ committed';

    # A trigger tells what is in force; it would not be run if session_replication_role were.
    my @fixed = qw(statement_timeout lock_timeout idle_in_transaction_session_timeout transaction_isolation row_security
      session_replication_role search_path);
    my $list = join q( || '; ' || ), map { "current_setting('$_')" } @fixed;
    $bridge->sql(<<"SQL");
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN NEW.source := $list; RETURN NEW; END \$\$;
CREATE TRIGGER tell BEFORE INSERT ON webhook_bridge.events FOR EACH ROW EXECUTE FUNCTION tell();
SQL
    for my $whose ('DATABASE postgres', "ROLE \"$me\"")
    {
        my $offset = (stat $node->logfile)[7];
        $bridge->sql(join ' ', map { "ALTER $whose SET $_ = '$settings{$_}';" } sort keys %settings);
        new_receiver();
        my $id = "settings-$whose";
        answer_is(deliver($id), 200, 'stored',    "settings of $whose: stored");
        answer_is(deliver($id), 200, 'duplicate', "settings of $whose: and known");
        is( $bridge->sql("SELECT source FROM webhook_bridge.events WHERE external_id = '$id'"),
            '0; 0; 0; read committed; on; origin; pg_catalog, pg_temp',
            "settings of $whose: do not reach it");
        is($bridge->count("webhook_bridge.dedup WHERE key = webhook_bridge.ledger_key('$id')"), 1, "settings of $whose: in the ledger");
        is(deliver(undef, secret => 'wrong')->{status}, 401, "settings of $whose: refused");
        my $partition = $bridge->sql(q(SELECT 'webhook_bridge.events_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')));
        $bridge->sql("DROP TABLE $partition");
        is(deliver()->{status}, 200, "settings of $whose: a new partition");
        unlike(scalar $bridge->log_text($offset), qr/\Q$secret\E|"paid"/, "settings of $whose: neither secret nor body is in the log");
        $bridge->sql("ALTER $whose RESET ALL");
    }
    $bridge->sql('DROP TRIGGER tell ON webhook_bridge.events');
    $bridge->sql('ALTER DATABASE postgres SET default_transaction_read_only = on');
    $ENV{PGOPTIONS} .= ' -c default_transaction_read_only=off';
    new_receiver();
    answer_unless_stored(deliver('read-only'), 503, 'a database that is read-only by default');
    is(rows_of('read-only'), 0, 'read-only: it is not stored');
    $bridge->sql('ALTER DATABASE postgres RESET ALL');
    new_receiver();
    answer_is(deliver('read-only'), 200, 'stored', 'no longer read-only');
}

unlike(scalar $bridge->log_text, qr/PANIC|TRAP|terminated by signal/, 'nothing has crashed');
$bridge->stop;
done_testing();

# ---------------------------------------------------------------------------

sub compile
{
    my ($library, $source, @options) = @_;
    return system('cc', '-shared', '-fPIC', '-o', $library, $source, @options) == 0 || die "could not compile $source";
}

# Creates stop_notify_queue() and returns its first argument.
sub queue_function
{
    chomp(my $headers = qx('@{[ $ENV{PG_CONFIG} // 'pg_config' ]}' --includedir-server));
    return undef unless -e "$headers/postgres.h";    ## no critic: also in a list
    compile("$directory/notify_queue.so", "$sources/notify_queue.c", "-I$headers");
    $bridge->sql("CREATE FUNCTION stop_notify_queue(bigint, boolean) RETURNS void LANGUAGE c STRICT AS '$directory/notify_queue.so'");
    return $bridge->sql(q(SELECT size FROM pg_shmem_allocations WHERE name = 'Async Queue Control'));
}

# What a listening session has heard until now.
sub heard
{
    my ($session) = @_;
    return $session->query_safe('SELECT 1');
}

sub fill_disk
{
    my ($pattern) = @_;
    append_to_file("$full.new", "$pattern\n");
    rename "$full.new", $full or die "could not rename to $full: $!";
    return;
}

sub empty_disk
{
    unlink $full or die "could not remove $full: $!";
    return;
}

sub request
{
    my ($id, %options) = @_;
    our $number;
    $id //= 'n-' . ++$number;
    my $body = sprintf '{"id":"%s","state":"paid","padding":"%s"}', $id, 'x' x ($options{size} // 0);
    return http_request('POST', '/hooks/shop',
        [
            'X-Webhook-Id'        => $id,
            'X-Webhook-Signature' => hmac_sha256_hex($body, $options{secret} // $secret)
        ],
        $body);
}

sub deliver_on
{
    my ($connection, $id, %options) = @_;
    $connection->send(request($id, %options));
    return $connection->response;
}

sub deliver
{
    my ($id, %options) = @_;
    return deliver_on($bridge->connect, $id, %options);
}

sub rows_of
{
    my ($id) = @_;
    return $bridge->count("webhook_bridge.events WHERE external_id = '$id'");
}

sub answer_unless_stored
{
    my ($answer, $status, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($answer->{status}, $status, "$name: $status");
    like($answer->{headers}{'retry-after'}, qr/\A[1-9]\d*\z/, "$name: Retry-After") if $status == 503;
    return;
}

sub cpu_seconds
{
    my @fields = split ' ', slurp_file("/proc/$pid/stat") =~ s/\A.*\) //sr;
    return ($fields[11] + $fields[12]) / 100;
}

# Ends the receiver and waits for the next.
sub new_receiver
{
    my ($old) = $bridge->workers('receiver');
    $bridge->sql("SELECT pg_terminate_backend($old)");
    poll_until(sub { my ($now) = $bridge->workers('receiver'); $now && $now != $old && $bridge->is_listening }, 'another receiver');
    return;
}

my $storms = 0;

sub storm
{
    return $bridge->storm(path => '/hooks/storm', secret => $secret, connections => 8, first => 1 + 1_000_000 * $storms++);
}

# Ends a storm; compares what it was told with what is stored.
sub all_is_well
{
    my ($storm, $what) = @_;
    my $sent = $storm->finish;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    diag "$what: sent $sent->{sent}, acknowledged $sent->{acknowledged}, refused $sent->{refused}, without an answer $sent->{lost}";
    $bridge->sql(sprintf q{CREATE TABLE IF NOT EXISTS storm (id bigint, status int); TRUNCATE storm; COPY storm FROM '%s'}, $storm->outcomes);
    is($sent->{lost}, 0, "$what: everything is answered");
    is($bridge->sql('SELECT DISTINCT status FROM storm WHERE status NOT IN (200, 503)'), '', "$what: with 200 or 503");
    is($bridge->count(<<'SQL'), 0, "$what: what was answered 200 is stored, once, and nothing else");
storm s FULL JOIN (SELECT (payload->>'id')::bigint AS id, count(*) FROM webhook_bridge.events WHERE endpoint = 'storm' GROUP BY 1) e
USING (id)
WHERE s.status = 200 AND e.count IS DISTINCT FROM 1
   OR s.status <> 200 AND e.id IS NOT NULL
SQL
    is_deeply([ $bridge->workers('receiver') ], [$pid], "$what: the receiver is still the first");
    return $sent;
}
