# More than the receiver has room for: connections, memory, a database that does
# not answer.  Who behaves is served, what is acknowledged is stored, and nothing
# grows.  Times are printed, and asserted with a wide margin.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use IO::Select;
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

# The receiver stands still while the function is called with its process id, as it
# does when a transaction takes long.
sub while_it_stands_still
{
    my ($function) = @_;
    my ($receiver) = $bridge->workers('receiver');
    kill 'STOP', $receiver;
    my $success = eval {
        poll_until(sub { slurp_file("/proc/$receiver/stat") =~ /\) T / }, 'the receiver to stand still');
        $function->($receiver);
        1;
    };
    my $error   = $@;
    kill 'CONT', $receiver;
    die $error unless $success;
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

# Good deliveries one after the other, on one connection or on one each.  Returns
# how long each took, in seconds.  A connection that is closed before an answer
# is made anew, as every client does; on a slow machine it may have been idle for
# too long.
sub deliver
{
    my ($what, $count, $keep) = @_;
    my $again = 0;
    my $connection;
    my @times;
    my %answers;
    for my $n (1 .. $count)
    {
        my $start   = time;
        my $request = delivery();
        my $answer;
        while (!$answer)
        {
            $connection = $bridge->connect unless $keep && $connection;
            $connection->send($request);
            $answer = eval { $connection->response };
            next if $answer;
            undef $connection;
            die "$what: not answered again and again\n" if $again++ > $count / 10;
        }
        $answers{ $answer->{status} }++;
        push @times, time - $start;
    }
    is_deeply(\%answers, { 200 => $count }, "$what: all are stored");
    cmp_ok($again, '<=', $count / 100, "$what: hardly any had to be sent again");
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
    $herd{ended} = time;
    return;
}

# Once before, so that what is made on first use is there; the second time
# counts.
for my $limit (3000, 1000)
{
    my $name = "2000 idle and 200 slow, $limit connections";
    all_quiet();
    $bridge->reload('webhook_bridge.max_connections' => $limit);
    deliver("$name, before", 500, 1);
    all_quiet();
    my $before = memory();

    start_herd(port => $bridge->port, idle => 1500, silent => 500, slow => 200);
    poll_until(
        sub {
            my $herd = herd();
            return ($herd->{opened} // 0) >= 2200 && $bridge->status->{connections} >= ($limit > 2200 ? 2200 : $limit - 100);
        },
        'the herd');
    my $opened = herd()->{opened};
    my @times = deliver($name, 3000, 1);
    cmp_ok(percentile(0.99, @times), '<', 500, "$name: the good one is served quickly");
    @times = deliver("$name, a connection for each", 100);
    cmp_ok(percentile(0.99, @times), '<', 10_000, "$name: newcomers are served");
    cmp_ok($bridge->status->{connections}, '<=', $limit, "$name: the limit is kept");
    my $herd = herd();
    diag(sprintf '%s: meanwhile %d connections were made anew', $name, $herd->{opened} - $opened);
    my $during = memory();
    end_herd();

    all_quiet();
    my $after = poll_until(
        sub {
            my $now = memory();
            return ($now < $before * 1.1 || time > $herd{ended} + $WebhookBridge::DEADLINE / 2) && $now;
        },
        'memory to be given back');
    diag("$name: memory before, during, after: $before kB, $during kB, $after kB");
  SKIP:
    {
        skip 'a sanitizer has its own memory, and keeps what was freed', 1 if $ENV{TEST_SANITIZER};
        cmp_ok($after, '<', $before * 1.1, "$name: memory is given back");
    }
}

# --- Who gives way ---------------------------------------------------------------

sub part
{
    my ($length) = @_;
    my $connection = $bridge->connect;
    my $request    = delivery();
    $connection->send(substr $request, 0, $length);
    return { connection => $connection, rest => substr($request, $length) };
}

sub complete
{
    my ($half) = @_;
    $half->{connection}->send($half->{rest});
    return $half->{connection}->response;
}

# In the order of their arrival, after a tenth of request_timeout; who has waited
# gets the place.
all_quiet();
$bridge->reload('webhook_bridge.max_connections' => 4, 'webhook_bridge.request_timeout' => '60s');
poll_until(
    sub {
        my @clients = map { $bridge->connect } 1 .. 6;
        $_->request('GET', '/hooks/shop') for @clients;
        return $bridge->status->{connections} <= 4;
    },
    'the limit of connections to be lowered');
all_quiet();
{
    my $silent = $bridge->connect;
    my @halves = map { part(20) } 1 .. 2;
    my $idle   = $bridge->connect;
    answer_is($idle->request('GET', '/hooks/shop'), 200, 'ready', 'give way: one is idle');
    poll_until(sub { $bridge->status->{connections} == 4 }, 'four connections');

    my @late = map { part(-1) } 1 .. 3;
    ok($idle->is_closed && $idle->{input} eq '', 'give way: who is idle, silently');
    ok($silent->is_closed && $silent->{input} eq '', 'give way: who has sent nothing, silently');
    my $answer = $halves[0]{connection}->response;
    answer_is($answer, 503, 'delivery could not be stored', 'give way: who has been slow for longest, with an answer');
    ok($answer->{headers}{'retry-after'}, 'give way: and Retry-After');
    ok($halves[0]{connection}->is_closed, 'give way: and is closed');
    $number--;    # will not be stored
    is_deeply([ map { complete($_)->{status} } @late ], [ (200) x 3 ], 'give way: newcomers are served');
    is(complete($halves[1])->{status}, 200, 'give way: who was not needed to is not disturbed');
}

# Who has been idle and sends a request has a claim to an answer, also if newcomers
# are looked at first.
all_quiet();
{
    my @idle = map { $bridge->connect } 1 .. 4;
    is_deeply([ map { $_->request('GET', '/hooks/shop')->{status} } @idle ], [ (200) x 4 ], 'give way: four are idle');
    my $since = time;
    my @late;
    # a hundredth of request_timeout, and then some: the receiver looks for newcomers again
    poll_until(sub { time > $since + 1.5 }, 'them to have been idle for long enough');
    while_it_stands_still(
        sub {
            @late = map { $bridge->connect } 1 .. 4;
            $_->send(http_request('GET', '/hooks/shop')) for @late;
            $_->send(delivery()) for @idle;
        });
    is_deeply([ map { my $answer = $_->response; $answer ? $answer->{status} : 'none' } @idle ],
        [ (200) x 4 ], 'give way: not who has sent a request');
    is_deeply([ map { $_->response->{status} } @late ], [ (200) x 4 ], 'give way: newcomers are served when those are');
}

# Who gives way is not cut off by a reset, which could destroy the answer on its way,
# because of bytes that the receiver has not read yet.
all_quiet();
{
    my @slow  = map { part(20) } 1 .. 4;
    $number -= @slow;
    my $since = time;
    my @late;
    # a tenth of request_timeout, and then some
    poll_until(sub { time > $since + 7 }, 'them to have been slow for long enough');
    while_it_stands_still(
        sub {
            @late = map { $bridge->connect } 1 .. 4;
            $_->send(http_request('GET', '/hooks/shop')) for @late;
            $_->{connection}->send(substr($_->{rest}, 0, -1) . 'x' x 10_000) for @slow;
        });
    for my $connection (map { $_->{connection} } @slow)
    {
        is($connection->response->{status}, 503, 'give way: who is slow and sends on is answered');
        poll_until(sub { IO::Select->new($connection->socket)->can_read }, 'the end');
        is(sysread($connection->socket, my $rest, 1), 0, 'give way: and closed in order');
    }
    is_deeply([ map { $_->response->{status} } @late ], [ (200) x 4 ], 'give way: newcomers are served');
}

# Who has had the last answer and sends on without end gives way as well.
all_quiet();
$bridge->reload('webhook_bridge.request_timeout' => '40s');
{
    my @refused = map { $bridge->connect } 1 .. 4;
    for my $connection (@refused)
    {
        $connection->send("BAD\r\n\r\n");
        is($connection->response->{status}, 400, 'give way: a refused client');
    }
    my $newcomer = $bridge->connect;
    $newcomer->send(http_request('GET', '/hooks/shop'));
    poll_until(
        sub {
            $_->send('x') for @refused;
            return IO::Select->new($newcomer->socket)->can_read(0.05);
        },
        'an answer while others linger');
    answer_is($newcomer->response, 200, 'ready', 'give way: refused clients who send on make no one wait');
}
$bridge->reload('webhook_bridge.request_timeout' => '60s');

# --- Memory ----------------------------------------------------------------------

# When nothing is left, a body is refused before it is sent.
all_quiet();
$bridge->reload(
    'webhook_bridge.max_connections' => 1000,
    'webhook_bridge.max_buffered'    => '1MB',
    'webhook_bridge.max_body_size'   => '900kB');
{
    my $announce = sub {
        my ($size) = @_;
        my $connection = $bridge->connect;
        $connection->send("POST /hooks/shop HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: $size\r\n\r\n");
        return $connection;
    };
    my $hog = poll_until(
        sub {
            my $connection = $announce->(900_000);
            return $connection->response->{status} == 100 && $connection;
        },
        'the setting to be known');
    $hog->send('x' x 899_999);
    my $refused = poll_until(
        sub {
            my $answer = $announce->(600_000)->response;
            return $answer->{status} != 100 && $answer;
        },
        'the memory to be taken');
    answer_is($refused, 503, 'delivery could not be stored', 'memory: a body that does not fit is refused before it is sent');
    ok($refused->{headers}{'retry-after'}, 'memory: with Retry-After');
    is(deliver('memory: beside it', 20), 20, 'memory: small ones are served');
    $hog->send('x');
    is($hog->response->{status}, 401, 'memory: who has it is answered');
    is(poll_until(sub { my $answer = $announce->(600_000)->response; $answer->{status} == 100 && $answer }, 'room')->{status}, 100,
        'memory: then there is room');
    $hog->close;
    all_quiet();

    # Answers that nobody reads are memory as well: with what has arrived of requests, some
    # 8 kB of each connection, they leave no room.
    my $request = http_request('GET', '/nowhere', [ 'X-Padding' => 'x' x 75 ]);
    my $bytes   = $request x 4000;
    my @deaf    = map { { client => WebhookBridge::Connection->new_narrow($bridge->port), sent => 0 } } 1 .. 28;
    poll_until(
        sub {
            $_->{sent} += $_->{client}->send(substr($bytes, $_->{sent}), 0) for @deaf;
            return $announce->(700_000)->response->{status} == 503;
        },
        'answers to take the memory');
    pass('memory: answers that their clients do not take count');
    is(deliver('memory: beside them', 20), 20, 'memory: small ones are served');
    $_->{client}->close for @deaf;
    is(poll_until(sub { my $answer = $announce->(700_000)->response; $answer->{status} == 100 && $answer }, 'room')->{status}, 100,
        'memory: room, when they have gone');
}
all_quiet();
$bridge->reload('webhook_bridge.max_buffered' => '64MB', 'webhook_bridge.request_timeout' => '10s');

is($bridge->count(q(webhook_bridge.events WHERE endpoint = 'shop')), $number, 'all good deliveries are stored, once');

# --- Many from one -------------------------------------------------------------------

# Who sends one request behind the other has no more than a share of each turn.
{
    my $connection = $bridge->connect;
    is($connection->request('POST', '/hooks/shop', [], 'x' x 50_000)->{status}, 401, 'many from one: has a large buffer');
    while_it_stands_still(sub { $connection->send(join '', map { delivery() } 1 .. 200) });
    is_deeply([ map { $_->{status} } $connection->responses(200) ], [ (200) x 200 ], 'many from one: all are stored');
    cmp_ok($bridge->sql(q(SELECT max(n) FROM (SELECT count(*) AS n FROM webhook_bridge.events WHERE endpoint = 'shop' GROUP BY xmin::text) t)),
        '<=', 64, 'many from one: not all in one turn');
}

# --- Many at once ------------------------------------------------------------------

# More sockets are ready than one turn looks at; the others have been idle for too
# long by then, and are answered all the same.
all_quiet();
{
    my @idle = map { $bridge->connect } 1 .. 300;
    $_->request('GET', '/hooks/shop') for @idle;
    while_it_stands_still(
        sub {
            my ($receiver) = @_;
            my $since = time;
            $_->send(http_request('GET', '/hooks/shop')) for @idle;
            $bridge->node->append_conf('postgresql.conf', "webhook_bridge.keepalive_timeout = '100ms'\n");
            kill 'HUP', $receiver;
            poll_until(sub { time > $since + 0.2 }, 'them to have been idle for too long');
        });
    my %answers;
    $answers{ $_ ? $_->{status} : 'none' }++ for map { $_->response } @idle;
    is_deeply(\%answers, { 200 => 300 }, 'many at once: all are answered');
    $bridge->reload('webhook_bridge.keepalive_timeout' => '75s');
}

# --- A database that does not answer -----------------------------------------------

# Who comes while a batch waits for it is refused when that is given up, and not
# asked for a body.
{
    my $session = $bridge->node->background_psql('postgres');
    $session->query_safe('BEGIN; LOCK TABLE webhook_bridge.events IN ACCESS EXCLUSIVE MODE');
    my $answer = poll_until(
        sub {
            my ($first, $second) = map { $bridge->connect } 1 .. 2;
            $_->request('GET', '/hooks/shop') for $first, $second;
            $first->send(delivery());
            $number--;
            poll_until(
                sub { $bridge->count(q(pg_stat_activity WHERE backend_type = 'webhook_bridge receiver' AND wait_event_type = 'Lock')) },
                'the receiver to wait');
            $second->send("POST /hooks/shop HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n");
            is($first->response->{status}, 503, 'lock: a delivery that cannot be stored');
            my $response = $second->response;
            return $response->{status} != 100 && $response;
        },
        'the second to be refused');
    answer_is($answer, 503, 'delivery could not be stored', 'lock: who came meanwhile is not asked for a body');
    ok($answer->{headers}{'retry-after'}, 'lock: Retry-After');
    $session->query_safe('COMMIT');
    $session->quit;
    deliver('lock: afterwards', 1);
}

{
    my $storm = $bridge->storm(path => '/hooks/storm', secret => $secret, connections => 500);
    $storm->wait_for_acknowledged(2000);
    my $before = memory();

    my $session = $bridge->node->background_psql('postgres');
    $session->query_safe('BEGIN; LOCK TABLE webhook_bridge.events IN ACCESS EXCLUSIVE MODE');
    my $refused = $storm->progress->{refused};
    my @waited;
    my $most = 0;
    while ($storm->progress->{refused} < $refused + 3000)
    {
        my $start = time;
        my $body  = '{"locked":true}';
        my $answer = $bridge->post('/hooks/shop', $body, ecomanager_headers($secret, $body));
        is($answer->{status}, 503, 'lock: 503') && ok($answer->{headers}{'retry-after'}, 'lock: Retry-After');
        push @waited, time - $start;
        $most = memory() if memory() > $most;
        die "lock: the storm is not answered\n" if @waited > 60;
    }
    summary('a lock and 500 senders: until a 503', @waited);
    cmp_ok(percentile(1, @waited), '<', 10_000, 'lock: nobody waits for long');

    my $acknowledged = $storm->progress->{acknowledged};
    my $released     = time;
    $session->query_safe('COMMIT');
    $session->quit;
    poll_until(sub { $storm->progress->{acknowledged} > $acknowledged }, 'a delivery to be stored');
    my $until_good = time - $released;
    diag(sprintf 'a lock and 500 senders: the first good answer %.0f ms after the lock', 1000 * $until_good);
    cmp_ok($until_good, '<', 5, 'lock: deliveries are stored again at once');
    $storm->wait_for_more(2000);
    my $after = memory();
    diag("a lock and 500 senders: memory before, at most, after: $before kB, $most kB, $after kB");
    cmp_ok($most, '<', $before + 16 * 1024, 'lock: memory is bounded');

    my $numbers = $storm->finish;
    my $file    = $storm->outcomes;
    $bridge->sql('CREATE TABLE storm (id bigint PRIMARY KEY, status int)');
    $bridge->node->safe_psql('postgres', "\\copy storm FROM '$file'");
    $bridge->sql(q(CREATE TABLE stored AS SELECT (payload->>'id')::bigint AS id FROM webhook_bridge.events WHERE endpoint = 'storm'));
    my $stored = $bridge->count('stored');
    diag("a lock and 500 senders: sent $numbers->{sent}, acknowledged $numbers->{acknowledged}, stored $stored, refused $numbers->{refused}, without an answer $numbers->{lost}");
    is($bridge->count('storm WHERE status = 200 AND id NOT IN (SELECT id FROM stored)'), 0, 'lock: what is acknowledged is stored');
    is($bridge->count('storm WHERE status = 503 AND id IN (SELECT id FROM stored)'), 0, 'lock: what is refused is not');
    is($bridge->count('(SELECT id FROM stored GROUP BY id HAVING count(*) > 1) d'), 0, 'lock: nothing twice');
    is($bridge->count('storm WHERE status NOT IN (0, 200, 503)'), 0, 'lock: there are no other answers');
    cmp_ok($bridge->count('storm WHERE status = 200'), '>=', 4000, 'lock: many are acknowledged');
}

is($bridge->count(q(webhook_bridge.events WHERE endpoint = 'shop')), $number, 'all good deliveries are stored, once');

$bridge->stop;
done_testing;
