# More than the receiver has room for: connections, memory, a database that does
# not answer.  Who behaves is served, what is acknowledged is stored, and nothing
# grows.  Times are printed, and asserted with a wide margin.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WebhookBridge;

my $secret = 'overload-secret';
my $bridge = WebhookBridge->start('overload', conf => "log_statement = none");
my $number = 0;
$bridge->create_endpoint($_, $secret) for qw(shop herd storm);

sub delivery
{
    my $body = '{"n":' . ++$number . '}';
    return http_request('POST', '/hooks/shop', ecomanager_headers($secret, $body), $body);
}

# Memory of the receiver alone, in kB: not what it shares with others.
sub memory
{
    my ($pid) = $bridge->workers('receiver');
    return slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 : die 'RssAnon is not known';
}

sub all_quiet
{
    poll_until(sub { $bridge->status->{connections} == 0 }, 'all connections to end');
    return;
}

sub percentile
{
    my ($part, @times) = @_;
    return 1000 * (sort { $a <=> $b } @times)[ $part * $#times ];
}

sub summary
{
    my ($what, @times) = @_;
    diag(sprintf '%s: p50 %.1f ms, p99 %.1f ms, longest %.1f ms', $what, map { percentile($_, @times) } 0.5, 0.99, 1);
    return;
}

# Good deliveries one after the other.  Returns how long each took, in seconds.
sub deliver
{
    my ($what, $count, $connection) = @_;
    my @times;
    my %answers;
    for my $n (1 .. $count)
    {
        my $start  = time;
        my $client = $connection // $bridge->connect;
        $client->send(delivery());
        my $answer = $client->response;
        $answers{ $answer ? $answer->{status} : 'closed' }++;
        push @times, time - $start;
        last unless $answer;
    }
    is_deeply(\%answers, { 200 => $count }, "$what: all are stored");
    summary($what, @times);
    return @times;
}

# --- A herd of others ----------------------------------------------------------

my %herd;

sub start_herd
{
    my (%options) = @_;
    %herd = (out => '', last => {});
    $herd{process} = IPC::Run::start([ 'node', "$FindBin::Bin/../load/herd.js", map { "$_=$options{$_}" } 'port', sort keys %options ],
        '<', '/dev/null', '>', \$herd{out});
    return;
}

sub herd
{
    $herd{process}->pump_nb;
    my @lines = split /\n/, $herd{out}, -1;
    if (@lines > 1)
    {
        $herd{last} = { split / /, $lines[-2] };
        $herd{out} = $lines[-1];
    }
    return $herd{last};
}

sub end_herd
{
    $herd{process}->signal('TERM');
    $herd{process}->finish;
    return;
}

# Once before, so that what is made on first use is there; the second time
# counts.
for my $limit (3000, 1000)
{
    my $name = "2000 idle and 200 slow, $limit connections";
    all_quiet();
    $bridge->reload('webhook_bridge.max_connections' => $limit);
    my $connection = $bridge->connect;
    deliver("$name, before", 500, $connection);
    my $before = memory();

    start_herd(port => $bridge->port, idle => 1500, silent => 500, slow => 200);
    poll_until(
        sub {
            my $herd = herd();
            return ($herd->{opened} // 0) >= 2200 && $bridge->status->{connections} >= ($limit > 2200 ? 2200 : $limit - 100);
        },
        'the herd');
    my $opened = herd()->{opened};

    # who has been idle while the herd came may have given way to it
    $connection = $bridge->connect;
    my @times = deliver($name, 3000, $connection);
    cmp_ok(percentile(0.99, @times), '<', 500, "$name: the good one is served quickly");
    @times = deliver("$name, a connection for each", 100);
    cmp_ok(percentile(0.99, @times), '<', 10_000, "$name: newcomers are served");
    cmp_ok($bridge->status->{connections}, '<=', $limit, "$name: the limit is kept");
    my $herd = herd();
    diag(sprintf '%s: meanwhile %d connections were made anew', $name, $herd->{opened} - $opened);
    my $during = memory();
    end_herd();

    $connection->close;
    all_quiet();
    my $after = memory();
    diag("$name: memory before, during, after: $before kB, $during kB, $after kB");
    cmp_ok($after, '<', $before * 1.1, "$name: memory is given back");
}

is($bridge->count(q(webhook_bridge.events WHERE endpoint = 'shop')), $number, 'all good deliveries are stored, once');

$bridge->stop;
done_testing;
