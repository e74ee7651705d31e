# soak.pl MINUTES: everything at once, for long, and what it leaves behind.
#
# Good deliveries with and without TLS, over connections that are kept and that
# are made anew, large ones too; strangers who forge, malform and exceed; idle
# and slow connections; each second other settings and a SIGHUP, an endpoint that
# is made, used and dropped, and a secret that comes and goes.  Every few seconds
# it is measured what the processes hold.  In the end the first quarter is
# compared with the last one, and what was acknowledged with what is stored.
#
# The choices are made by a seed: TEST_SEED=7 script/soak 30

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use IPC::Run;
use List::Util qw(max min sum0);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Tls;
use WebhookBridge;

use constant SAMPLE_SECONDS => 5;

# What a process may hold more in the last quarter than in the first: the noise
# of what is under way when it is measured.
use constant MEMORY_MARGIN     => 1.10;
use constant MEMORY_MARGIN_KB  => 1024;
use constant DESCRIPTOR_MARGIN => 1.10;

# What receivers and launcher may write to the log, bytes per second.
use constant LOG_LIMIT => 1000;

my ($minutes) = @ARGV;
my $seed = $ENV{TEST_SEED} // int rand 1_000_000;
srand $seed;

my $secret = 'a secret';
my $tls    = Tls->new(tempdir(CLEANUP => 1));
$tls->make('authority', ca => 1);
$tls->make($_, by => 'authority', names => 'IP:127.0.0.1') for qw(first second);

my $tls_port = PostgreSQL::Test::Cluster::get_free_port();
my $bridge   = WebhookBridge->start('soak', conf => <<"CONF");
log_statement = none
log_replication_commands = off
log_line_prefix = '%m [%p] %b: '
log_checkpoints = off
log_autovacuum_min_duration = -1
restart_after_crash = off
shared_buffers = 16MB
max_wal_size = 1GB
max_worker_processes = 16
webhook_bridge.receivers = 2
webhook_bridge.tls_port = $tls_port
webhook_bridge.tls_cert_file = '@{[ $tls->file('first', 'crt') ]}'
webhook_bridge.tls_key_file = '@{[ $tls->file('first', 'key') ]}'
include_if_exists = 'soak.conf'
CONF
my $node = $bridge->node;

$bridge->create_endpoint($_, $secret) for qw(shop herd);
poll_until(sub { $bridge->count(q(webhook_bridge.status() WHERE state = 'listening')) == 2 }, 'two receivers');
my %process = (
    server   => slurp_file($node->data_dir . '/postmaster.pid') =~ /\A(\d+)/,
    launcher => $bridge->workers('launcher'),
    map { +"receiver $_" => $bridge->sql("SELECT pid FROM webhook_bridge.status() WHERE receiver = $_") } 0, 1);
my @watched = ('launcher', 'receiver 0', 'receiver 1');

# --- Those who send -----------------------------------------------------------

my %storm_options = (
    'kept'          => { connections => 16, interval => 40 },
    'anew'          => { connections => 4,  requests => 1, pause => 40 },
    'large'         => { connections => 2,  interval => 500, size => 40_000 },
    'kept, TLS'     => { connections => 16, interval => 40, encrypted => 1 },
    'anew, TLS'     => { connections => 4,  requests => 1, pause => 100, encrypted => 1 },
    'large, TLS'    => { connections => 2,  interval => 500, size => 40_000, encrypted => 1 },
);
my @storms = sort keys %storm_options;
my $next   = 0;
my %storm  = map {
    my %options   = %{ $storm_options{$_} };
    my $encrypted = delete $options{encrypted};
    $_ => $bridge->storm(
        path   => '/hooks/shop',
        secret => $secret,
        first  => 1 + 100_000_000 * $next++,
        ($encrypted ? (port => $tls_port, ca => $tls->file('authority', 'crt')) : ()),
        %options)
} @storms;

# The children of this process that print lines of names and numbers.
my %child = (
    strangers => start_child(
        'strangers.js',
        port        => $bridge->port,
        tls_port    => $tls_port,
        path        => '/hooks/shop',
        connections => 12,
        pause       => 20,
        seed        => $seed),
    herd        => start_child('herd.js', port => $bridge->port, idle => 150, silent => 50, slow => 30),
    'TLS herd'  => start_child('herd.js', port => $tls_port, silent => 40),
);

sub start_child
{
    my ($script, %options) = @_;
    my %child = (out => '', err => '', last => {});
    $child{process} = IPC::Run::start(
        [ 'node', "$FindBin::Bin/../load/$script", map { "$_=$options{$_}" } sort keys %options ],
        '<', '/dev/null', '>', \$child{out}, '2>', \$child{err});
    return \%child;
}

sub child
{
    my ($name) = @_;
    my $child = $child{$name};
    die "$name has ended: $child->{err}\n" unless $child->{process}->pumpable;
    $child->{process}->pump_nb;
    my @lines = split /\n/, $child->{out}, -1;
    if (@lines > 1)
    {
        $child->{last} = { split / /, $lines[-2] };
        $child->{out} = $lines[-1];
    }
    return $child->{last};
}

# --- What changes -------------------------------------------------------------

my %choices = (
    'webhook_bridge.receivers'                    => [ 2, 2, 3 ],
    'webhook_bridge.listen_addresses'             => [ '127.0.0.1', '127.0.0.1', '127.0.0.1, 127.0.0.2' ],
    'webhook_bridge.max_connections'              => [ 1000, 1000, 150 ],
    'webhook_bridge.max_body_size'                => [ '1MB', '512kB' ],
    'webhook_bridge.max_buffered'                 => [ '64MB', '16MB' ],
    'webhook_bridge.max_batch'                    => [ 512, 16 ],
    'webhook_bridge.max_rejections'               => [ 100, 0 ],
    'webhook_bridge.request_timeout'              => [ '10s', '3s' ],
    'webhook_bridge.keepalive_timeout'            => [ '75s', '5s' ],
    'webhook_bridge.trusted_proxies'              => [ '', '127.0.0.0/8' ],
    'webhook_bridge.max_connections_per_address'  => [ 0, 0, 0, 100 ],
    'webhook_bridge.max_request_rate_per_address' => [ 0, 0, 0, 100 ],
    'webhook_bridge.tls_min_version'              => [ '1.2', '1.3' ],
    'webhook_bridge.public_url'                   => [ '', 'https://hooks.example.com' ],
);
my %changed = (reloads => 0, endpoints => 0, deliveries => 0, refusals => 0, secrets => 0);

sub change_settings
{
    my $name   = rand() < 0.5 ? 'first' : 'second';
    my %chosen = map { $_ => $choices{$_}[ rand @{ $choices{$_} } ] } keys %choices;
    $chosen{'webhook_bridge.tls_cert_file'} = $tls->file($name, 'crt');
    $chosen{'webhook_bridge.tls_key_file'}  = $tls->file($name, 'key');
    open my $file, '>', $node->data_dir . '/soak.conf' or die "soak.conf: $!";
    print $file "$_ = '$chosen{$_}'\n" for sort keys %chosen;
    close $file or die "soak.conf: $!";
    kill 'HUP', $process{server};
    $changed{reloads}++;
    return;
}

my @single;    # ids of deliveries that were acknowledged

# An endpoint is there when its transaction has been committed, and is gone so.
sub change_endpoints
{
    my $id   = 9_000_000_000 + $changed{endpoints}++;
    my $body = qq({"id":$id});
    my $path = "/hooks/passing_$id";
    my $request = http_request('POST', $path, [ @{ ecomanager_headers('passing', $body) }, Connection => 'close' ], $body);
    my $try = sub {
        my $answer = eval {
            my $connection = $bridge->connect;
            $connection->send($request);
            $connection->response;
        };
        return $answer ? $answer->{status} : 0;
    };

    $bridge->create_endpoint("passing_$id", 'passing');
    my $status = $try->();
    $changed{deliveries}++ if $status == 200;
    push @single, $id if $status == 200;
    $bridge->sql("SELECT webhook_bridge.drop_endpoint('passing_$id')");
    my $after = $try->();
    $changed{refusals}++ if $after == 404;
    # at a limit both may be put off
    fail("an endpoint that is made is there, one that is dropped is not: $status, $after")
      if $status =~ /^4(?!29)/ || $after == 200;
    $bridge->sql("SELECT webhook_bridge.add_secret('shop', 'another', 'passing')");
    $bridge->sql("SELECT webhook_bridge.retire_secret('shop', 'passing')");
    $changed{secrets}++;
    return;
}

# --- What is measured ---------------------------------------------------------

my @samples;
my $log_offset = 0;
my %log_lines;    # texts of receivers and launcher, without numbers
my @alarms;       # lines that must not be there

# How many bytes our processes have written since the last time.
sub read_log
{
    my $bytes = 0;
    (my $text, $log_offset) = $bridge->log_text($log_offset);
    for my $line (split /\n/, $text)
    {
        push @alarms, $line if $line =~ /terminated by signal|PANIC:|TRAP:|exited with exit code [^01]/;
        $line =~ /\] webhook_bridge \w+: (.*)/ or next;
        $bytes += 1 + length $line;
        $log_lines{ $1 =~ s/\d+/N/gr }++;
    }
    return $bytes;
}

sub take_sample
{
    my ($since) = @_;
    my %sample = (at => time, log => read_log() / max(0.1, time - $since));
    my %connections = split /[|\n]/, $bridge->sql('SELECT receiver, connections FROM webhook_bridge.status() WHERE receiver IS NOT NULL');
    for my $name (@watched)
    {
        my $pid  = $process{$name};
        my $text = -e "/proc/$pid" ? slurp_file("/proc/$pid/status") : '';
        my @open = glob "/proc/$pid/fd/*";
        ($sample{"$name memory"}) = $text =~ /^RssAnon:\s+(\d+) kB/m or die "$name has died\n";
        ($sample{"$name RSS"})    = $text =~ /^VmRSS:\s+(\d+) kB/m;
        $sample{"$name descriptors"} = @open - ($name =~ /(\d)/ ? $connections{$1} : 0);
        $sample{"$name sockets"} = $connections{$1} if $name =~ /(\d)/;
    }
    # transactions that the oldest snapshot is behind, and how long our oldest transaction takes
    @sample{qw(xmin seconds)} = split /\|/, $bridge->sql(<<'SQL');
SELECT coalesce(max(greatest(age(backend_xmin), age(backend_xid))), 0),
       coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)
FROM pg_stat_activity WHERE backend_type LIKE 'webhook_bridge%'
SQL
    $sample{acknowledged} = sum0(map { $storm{$_}->progress->{acknowledged} // 0 } @storms);
    $sample{refused}      = sum0(map { $storm{$_}->progress->{refused} // 0 } @storms);
    $sample{strangers}    = child('strangers')->{sent} // 0;
    push @samples, \%sample;
    return;
}

# --- The time -----------------------------------------------------------------

my $begun      = time;
my $end        = $begun + 60 * $minutes;
my $sampled_at = $begun;
my $said_at    = $begun;
read_log();
diag "seed $seed, $minutes minutes";

my $completed = eval {
    while (time < $end)
    {
        my $tick = time;
        change_settings();
        change_endpoints();
        child($_) for keys %child;
        $_->progress for values %storm;
        if (time >= $sampled_at + SAMPLE_SECONDS)
        {
            take_sample($sampled_at);
            $sampled_at = time;
            die "the log says: $alarms[0]\n" if @alarms;
        }
        if (time >= $said_at + 60)
        {
            $said_at = time;
            diag sprintf '%d min: acknowledged %d, strangers %d, receivers hold %d kB and %d kB',
              (time - $begun) / 60, @{ $samples[-1] }{ 'acknowledged', 'strangers', 'receiver 0 memory', 'receiver 1 memory' };
        }
        sleep max(0, $tick + 1 - time);
    }
    1;
};
ok($completed, 'nothing died meanwhile') or diag $@;
# what ends the script would be found in its log only
$SIG{__DIE__} = sub { diag @_ unless $^S };

# --- The end ------------------------------------------------------------------

# What they hold, by quarter.
my @quarters = map {
    my $quarter = $_;
    [ grep { min(3, int(4 * ($_->{at} - $begun) / ($end - $begun))) == $quarter } @samples ]
} 0 .. 3;

sub median
{
    my @sorted = sort { $a <=> $b } @_;
    return $sorted[ @sorted / 2 ] // 0;
}

sub by_quarter
{
    my ($of, $what) = @_;
    return map { $of->(map { $_->{$what} } @$_) // 0 } @quarters;
}

my $row = '%-34s %12s %12s %12s %12s';
diag '';
diag sprintf $row, 'by quarter', 1 .. 4;
my $show = sub {
    my ($name, $format, @values) = @_;
    diag sprintf $row, $name, map { sprintf $format, $_ } @values;
};
for my $what (qw(acknowledged strangers))
{
    my @ends = map { @$_ ? $_->[-1]{$what} : 0 } @quarters;
    $show->("$what, per s", '%.0f', map { ($ends[$_] - ($_ ? $ends[ $_ - 1 ] : 0)) / (15 * $minutes) } 0 .. 3);
}
for my $name (@watched)
{
    for my $what (qw(memory RSS))
    {
        my @values = by_quarter(\&median, "$name $what");
        $show->("$name: $what, median, kB", '%d', @values);
        $show->("$name: $what, highest, kB", '%d', by_quarter(\&max, "$name $what"));
        cmp_ok($values[3], '<=', $values[0] * MEMORY_MARGIN + MEMORY_MARGIN_KB, "$name: its $what is flat");
    }
    $show->("$name: connections, median", '%d', by_quarter(\&median, "$name sockets")) if $name =~ /receiver/;
    my @values = by_quarter(\&median, "$name descriptors");
    $show->("$name: other descriptors, median", '%d', @values);
    cmp_ok($values[3], '<=', $values[0] * DESCRIPTOR_MARGIN + 1, "$name: its descriptors are flat");
}
my @xmin = by_quarter(\&median, 'xmin');
$show->('snapshots behind, median', '%d', @xmin);
$show->('snapshots behind, most',   '%d', by_quarter(\&max, 'xmin'));
$show->('longest transaction, s', '%.2f', by_quarter(\&max, 'seconds'));
cmp_ok($xmin[3], '<=', $xmin[0] + 100, 'xmin is flat');
cmp_ok(max(map { $_->{seconds} } @samples), '<', 5, 'no transaction of ours is long');
$show->('log, highest, bytes/s', '%.0f', by_quarter(\&max, 'log'));
cmp_ok(max(map { $_->{log} } @samples), '<', LOG_LIMIT, 'nobody fills the log');

my %sent = map { $_ => $storm{$_}->finish } @storms;
my %told = map { $_ => child($_) } keys %child;
for my $child (values %child)
{
    $child->{process}->signal('TERM');
    $child->{process}->finish;
}
ok(eval { poll_until(sub { $bridge->status->{connections} == 0 }, 'all connections to end') }, 'all connections have ended')
  or diag $@, $bridge->sql('SELECT receiver, state, connections FROM webhook_bridge.status()');
read_log();

# Deliveries: what was told to the senders, and what is there.
$bridge->sql(<<'SQL');
CREATE TABLE told (id bigint, status int, storm text);
CREATE TABLE stored AS SELECT (payload->>'id')::bigint AS id FROM webhook_bridge.events WHERE endpoint = 'shop' OR endpoint LIKE 'passing%';
CREATE INDEX ON stored (id);
SQL
for my $name (@storms)
{
    $bridge->sql(sprintf q{ALTER TABLE told ALTER storm SET DEFAULT '%s'; COPY told (id, status) FROM '%s'},
        $name, $storm{$name}->outcomes);
}
$bridge->sql('CREATE INDEX ON told (id); ANALYZE told, stored');
$row = '%-12s %9s %12s %9s %9s %9s %6s';
diag '';
diag sprintf $row, 'deliveries', 'sent', 'acknowledged', 'refused', 'lost', 'stored', 'missing';
for my $name (@storms)
{
    my ($stored, $missing) = split /\|/, $bridge->sql(<<"SQL");
SELECT count(s.id), count(*) FILTER (WHERE t.status = 200 AND s.id IS NULL)
FROM told t LEFT JOIN (SELECT DISTINCT id FROM stored) s USING (id) WHERE t.storm = '$name'
SQL
    diag sprintf $row, $name, @{ $sent{$name} }{qw(sent acknowledged refused lost)}, $stored, $missing;
    is($missing, 0, "$name: every acknowledged delivery is stored");
    cmp_ok($sent{$name}{acknowledged}, '>', 10 * $minutes, "$name: it has sent");
}
is($bridge->count('(SELECT id FROM stored GROUP BY id HAVING count(*) > 1) twice'), 0, 'nothing is stored twice');
is($bridge->count('stored WHERE id < 9000000000 AND NOT EXISTS (SELECT FROM told WHERE told.id = stored.id)'), 0, 'nothing is stored that was not sent');
is($bridge->count('told WHERE status NOT IN (0, 200, 429, 503)'), 0, 'there were no other answers than 200, 429 and 503');
is(scalar @single - $bridge->count('stored WHERE id IN (' . join(',', @single, 0) . ')'),
    0, 'what passing endpoints have acknowledged is stored');
diag sprintf 'strangers: %s', join ', ', map { "$_ $told{strangers}{$_}" } sort keys %{ $told{strangers} };
diag sprintf 'herds: %s', join '; ', map {
    my $herd = $told{$_};
    "$_ " . join ', ', map { "$_ $herd->{$_}" } sort keys %$herd
} 'herd', 'TLS herd';
diag sprintf 'changes: %s', join ', ', map { "$_ $changed{$_}" } sort keys %changed;
is($told{strangers}{unexpected}, 0, 'strangers had the answers that they should') or diag substr $child{strangers}{err}, 0, 4000;
cmp_ok($told{strangers}{refused}, '>', 100 * $minutes, 'and were there');
cmp_ok($changed{deliveries}, '>', 0, 'passing endpoints have been used');

# Processes.
for my $name (sort keys %process)
{
    my ($now) = $name =~ /receiver (\d)/
      ? $bridge->sql("SELECT pid FROM webhook_bridge.status() WHERE receiver = $1")
      : $name eq 'launcher' ? $bridge->workers('launcher') : slurp_file($node->data_dir . '/postmaster.pid') =~ /\A(\d+)/;
    is($now, $process{$name}, "the $name is the same process");
}
is("@alarms", '', 'no process has crashed');

diag '';
diag 'what receivers and launcher have logged:';
diag sprintf '%7d  %s', $log_lines{$_}, substr $_, 0, 150 for sort { $log_lines{$b} <=> $log_lines{$a} } keys %log_lines;
diag '';
diag 'answers: ', join ', ', map { $_->[0] . ' ' . $_->[1] } do { my $s = $bridge->status; map { [ $_, $s->{$_} ] } sort keys %$s };

$bridge->stop;
done_testing();
