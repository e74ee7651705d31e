package WebhookBridge;

# A server with webhook_bridge, as the tests in test/t see it:
#
#     my $bridge = WebhookBridge->start('main', conf => "webhook_bridge.max_body_size = '4kB'");
#     $bridge->node->safe_psql('postgres', 'SELECT ...');
#     my $answer = $bridge->post('/hooks/shop', $body, ecomanager_headers($secret, $body));
#     is($answer->{status}, 200);
#
# and, below the level of requests, WebhookBridge::Connection: bytes out,
# responses in.  Nothing here sleeps for a fixed time, and everything that
# waits has a deadline.

use strict;
use warnings;

use Carp;
use Digest::SHA qw(hmac_sha256_hex);
use Exporter qw(import);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(answer_is ecomanager_headers hmac_sha256_hex http_request poll_until);

# Seconds that anything may take on a slow machine.
our $DEADLINE = $ENV{TEST_DEADLINE} || 30;

# Starts a server that preloads the extension, with a free port for webhooks.
# Options: conf (more settings), database (default postgres), extension (0 to
# leave CREATE EXTENSION and waiting for the receiver to the test), init (a list
# of arguments for the node's init).
sub start
{
    my ($class, $name, %options) = @_;
    my $self = $class->of_node(
        PostgreSQL::Test::Cluster->new($name),
        PostgreSQL::Test::Cluster::get_free_port(),
        $options{database});
    my $node = $self->{node};

    $node->init(extra => [ '--encoding=UTF8', '--no-locale' ], @{ $options{init} // [] });
    $node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'webhook_bridge'
webhook_bridge.database = '$self->{database}'
webhook_bridge.port = $self->{port}
synchronous_commit = on
@{[ $options{conf} // '' ]}
CONF
    $node->start;
    if ($options{extension} // 1)
    {
        $node->safe_psql('postgres', "CREATE DATABASE $self->{database}")
          unless $self->{database} eq 'postgres';
        $self->sql('CREATE EXTENSION webhook_bridge');
        $self->wait_until_listening;
    }
    return $self;
}

# The same for a node that the test makes, starts and configures.
sub of_node
{
    my ($class, $node, $port, $database) = @_;
    return bless { node => $node, port => $port, database => $database // 'postgres' }, $class;
}

sub node { return $_[0]{node} }
sub port { return $_[0]{port} }

# Runs SQL in the receiver's database and returns the result as text.
sub sql
{
    my ($self, $sql) = @_;
    return $self->{node}->safe_psql($self->{database}, $sql);
}

# The number of rows of a query that starts after FROM.
sub count
{
    my ($self, $from) = @_;
    return 0 + $self->sql("SELECT count(*) FROM $from");
}

# What webhook_bridge.status() counts, summed over the receivers: a hash by
# column.
sub status
{
    my ($self) = @_;
    my @counters = qw(connections batches stored duplicates probes unauthorized not_found
      bad_method too_large malformed timed_out unavailable rate_limited);
    my $sums = join ', ', map { "sum($_) AS $_" } @counters;
    return decode_json($self->sql("SELECT row_to_json(s) FROM (SELECT $sums FROM webhook_bridge.status()) s"));
}

# Stored events as hashes by column, in order of arrival.  Besides the columns
# there are header_list (pairs of name and value), occurred_unix (seconds) and
# body (what event_body() returns, as bytes).
sub events
{
    my ($self, $condition) = @_;
    my $rows = $self->sql(<<"SQL");
SELECT row_to_json(r) FROM (
    SELECT id, endpoint, topic, external_id, source, webhook_remote_id, error_code, method, query,
           payload::text AS payload, raw_body IS NOT NULL AS has_raw_body, remote_addr, secret_label, verified,
           extract(epoch FROM occurred_at)::text AS occurred_unix, received_at,
           (SELECT json_agg(json_build_array(key, value)) FROM json_each_text(headers)) AS header_list,
           encode(webhook_bridge.event_body(events), 'hex') AS body
    FROM webhook_bridge.events WHERE @{[ $condition // 'true' ]} ORDER BY id) r
SQL
    my @events = map { decode_json($_) } split /\n/, $rows;
    $_->{body} = pack 'H*', $_->{body} for @events;
    return @events;
}

sub stop
{
    my ($self) = @_;
    $self->{node}->stop;
    return;
}

# The server's log, from an offset that an earlier call returned in a list.
sub log_text
{
    my ($self, $offset) = @_;
    my $text = slurp_file($self->{node}->logfile, $offset // 0);
    return wantarray ? ($text, ($offset // 0) + length $text) : $text;
}

# The process ids of our workers, "launcher", "receiver" or "keeper", in ascending order.
sub workers
{
    my ($self, $kind) = @_;
    return split /\n/, $self->{node}->safe_psql('postgres',
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'webhook_bridge $kind' ORDER BY pid");
}

# Changes settings, given by name, and tells the server.
sub reload
{
    my ($self, %settings) = @_;
    $self->{node}->append_conf('postgresql.conf', join '', map { "$_ = '$settings{$_}'\n" } sort keys %settings);
    $self->{node}->reload;
    return;
}

# Makes an endpoint of provider ecomanager, at /hooks/NAME.
sub create_endpoint
{
    my ($self, $name, $secret) = @_;
    $self->sql("SELECT webhook_bridge.create_endpoint('$name', 'ecomanager', '$secret')");
    return;
}

# A load of deliveries; see WebhookBridge::Storm.
sub storm
{
    my ($self, %options) = @_;
    return WebhookBridge::Storm->new(port => $self->{port}, %options);
}

sub is_listening
{
    my ($self) = @_;
    return defined eval { $self->connect };
}

sub wait_until_listening
{
    my ($self) = @_;
    poll_until(sub { $self->is_listening }, "a receiver on port $self->{port}");
    return;
}

sub wait_until_not_listening
{
    my ($self) = @_;
    poll_until(sub { !$self->is_listening }, "no receiver on port $self->{port}");
    return;
}

sub connect    ## no critic: the word fits
{
    my ($self, $from) = @_;
    return WebhookBridge::Connection->new($self->{port}, undef, $from);
}

# One request on a connection of its own.  Returns the response.
sub request
{
    my ($self, $method, $target, $headers, $body) = @_;
    my $connection = $self->connect;
    $connection->send(http_request($method, $target, [ @{ $headers // [] }, Connection => 'close' ], $body));
    return $connection->response($method);
}

sub post
{
    my ($self, $target, $body, $headers) = @_;
    return $self->request('POST', $target, $headers, $body);
}

# ---------------------------------------------------------------------------
# Functions
# ---------------------------------------------------------------------------

# The bytes of a request.  Headers are a list of names and values; Host, and
# Content-Length where there is a body, are added unless given.
sub http_request
{
    my ($method, $target, $headers, $body) = @_;
    my @headers = @{ $headers // [] };
    my %given   = map { lc $headers[ 2 * $_ ] => 1 } 0 .. @headers / 2 - 1;

    unshift @headers, Host => 'localhost' unless $given{host};
    push @headers, 'Content-Length' => length $body
      if defined $body && !$given{'content-length'} && !$given{'transfer-encoding'};

    my $text = "$method $target HTTP/1.1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2)
    {
        $text .= "$name: $value\r\n";
    }
    return "$text\r\n" . ($body // '');
}

# The headers of a delivery as Ecomanager sends it.
sub ecomanager_headers
{
    my ($secret, $body, %options) = @_;
    return [
        'Content-Type'            => 'application/json',
        'X-Ecomanager-Event'      => $options{event}   // 'OrderCreated',
        'X-Ecomanager-Source'     => $options{source}  // 'https://myshop.ecomanager.dz',
        'X-Ecomanager-Webhook-ID' => $options{webhook} // 61,
        'X-Ecomanager-Signature'  => hmac_sha256_hex($body, $secret),
    ];
}

# Tests an answer: its status and what its body says, which is one member,
# "status" if the request was taken and "error" if not.
sub answer_is
{
    my ($answer, $status, $text, $name) = @_;
    my $member = $status == 200 ? 'status' : 'error';
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is($answer && "$answer->{status} $answer->{body}", qq($status {"$member":"$text"}), $name);
}

# Calls a function until it returns true, and returns that.  Dies after the
# deadline, naming what did not happen.
sub poll_until
{
    my ($function, $what, $seconds) = @_;
    my $end   = time + ($seconds // $DEADLINE);
    my $pause = 0.005;

    while (1)
    {
        my $result = $function->();
        return $result if $result;
        croak "waited in vain for $what" if time > $end;
        sleep $pause;
        $pause = $pause * 2 < 0.2 ? $pause * 2 : 0.2;
    }
}

# ---------------------------------------------------------------------------
# A client's end of one connection
# ---------------------------------------------------------------------------

package WebhookBridge::Connection;

use strict;
use warnings;

use Carp;
use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use IO::Select;
use IO::Socket::INET;
use Socket qw(INADDR_LOOPBACK IPPROTO_TCP SHUT_WR SOL_SOCKET SO_RCVBUF TCP_MAXSEG TCP_NODELAY sockaddr_in);
use Time::HiRes qw(time);

# Connects, or dies.  $from is the client's own address, such as 127.0.0.2.
sub new
{
    my ($class, $port, $host, $from) = @_;
    my $socket = IO::Socket::INET->new(
        PeerHost => $host // '127.0.0.1',
        PeerPort => $port,
        Proto    => 'tcp',
        (defined $from ? (LocalHost => $from) : ()),
        Timeout  => $WebhookBridge::DEADLINE) or die "could not connect to port $port: $@\n";

    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    $socket->blocking(0);
    return bless { socket => $socket, input => '', closed => 0 }, $class;
}

# The same over a connection that holds no more than some 100 kB of answers
# that the client has not read.
sub new_narrow
{
    my ($class, $port) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp', LocalHost => '127.0.0.1') or die "could not make a socket: $@\n";

    setsockopt $socket, SOL_SOCKET,  SO_RCVBUF,  2048;
    setsockopt $socket, IPPROTO_TCP, TCP_MAXSEG, 536;
    connect $socket, sockaddr_in($port, INADDR_LOOPBACK) or die "could not connect to port $port: $!\n";
    $socket->blocking(0);
    return bless { socket => $socket, input => '', closed => 0 }, $class;
}

# Sends bytes.  Returns how many went out before the other side closed or, with
# a number of seconds, took no more for that long.
sub send    ## no critic: the word fits
{
    my ($self, $bytes, $seconds) = @_;
    my $select = IO::Select->new($self->{socket});
    my $sent   = 0;

    while ($sent < length $bytes)
    {
        my $count = syswrite $self->{socket}, $bytes, length($bytes) - $sent, $sent;
        if (defined $count)
        {
            $sent += $count;
        }
        elsif ($! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR)
        {
            last unless $select->can_write($seconds // $WebhookBridge::DEADLINE);
        }
        else
        {
            last;
        }
    }
    return $sent;
}

# Reads exactly one response; what follows it is kept for the next call.
# Returns { status, reason, headers (by name in lower case), body }, or undef
# if the connection was closed before its first byte.  $method tells whether a
# body may follow (HEAD).  Dies after the deadline, or on anything else that is
# not a response.
sub response
{
    my ($self, $method) = @_;

    while ($self->{input} !~ /\r\n\r\n/)
    {
        next if $self->_read;
        return undef if $self->{input} eq '';    ## no critic: also in a list of arguments
        croak "closed within the head of a response: $self->{input}";
    }
    $self->{input} =~ s/\A(.*?)\r\n\r\n//s;
    my ($first, @lines) = split /\r\n/, $1;
    my ($status, $reason) = $first =~ m{\AHTTP/1\.1 (\d{3}) ([^\r\n]*)\z}
      or croak "not a status line: $first";
    my %headers = map { /\A([^:\s]+):\s*(.*?)\s*\z/ ? (lc $1 => $2) : croak "not a header: $_" } @lines;

    my $length = $headers{'content-length'};
    $length = 0 if $status < 200 || $status == 204 || $status == 304 || ($method // '') eq 'HEAD';
    while (!defined $length || length $self->{input} < $length)
    {
        next if $self->_read;
        croak "closed within the body of a response" if defined $length;
        $length = length $self->{input};
    }
    return {
        status  => $status,
        reason  => $reason,
        headers => \%headers,
        body    => substr($self->{input}, 0, $length, ''),
    };
}

# Reads that many responses.
sub responses
{
    my ($self, $count) = @_;
    return map { $self->response } 1 .. $count;
}

# Sends a request and reads its response; the connection stays open.
sub request
{
    my ($self, $method, $target, $headers, $body) = @_;
    $self->send(WebhookBridge::http_request($method, $target, $headers, $body));
    return $self->response($method);
}

# Has the other side closed, or does it within the given seconds?  Bytes that
# arrive meanwhile are kept.
sub is_closed
{
    my ($self, $seconds) = @_;
    my $end = time + ($seconds // $WebhookBridge::DEADLINE);
    while (!$self->{closed})
    {
        my $left = $end - time;
        last if $left < 0 || !IO::Select->new($self->{socket})->can_read($left);
        $self->_read;
    }
    return $self->{closed};
}

# Sends no more, but goes on reading.
sub finish_sending
{
    my ($self) = @_;
    shutdown $self->{socket}, SHUT_WR;
    return;
}

sub close    ## no critic: the word fits
{
    my ($self) = @_;
    CORE::close($self->{socket});
    return;
}

sub socket { return $_[0]{socket} }

# Waits for bytes and appends them to the input.  False once the other side has
# closed; dies after the deadline.
sub _read
{
    my ($self) = @_;

    while (!$self->{closed})
    {
        my $count = sysread $self->{socket}, $self->{input}, 65536, length $self->{input};
        return 1 if $count;
        if (defined $count || !($! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR))
        {
            $self->{closed} = 1;
        }
        elsif (!IO::Select->new($self->{socket})->can_read($WebhookBridge::DEADLINE))
        {
            croak "no bytes arrived within $WebhookBridge::DEADLINE s";
        }
    }
    return 0;
}

# ---------------------------------------------------------------------------
# Many deliveries at once, from a process of its own
# ---------------------------------------------------------------------------

package WebhookBridge::Storm;

use strict;
use warnings;

use Carp;
use File::Basename qw(dirname);
use File::Temp;
use IPC::Run;
use Time::HiRes qw(sleep time);

# Starts the storm.  Options are those of test/load/storm.js; port, path and
# secret have to be given.
sub new
{
    my ($class, %options) = @_;
    my $self = bless { out => '', err => '', last => {} }, $class;

    $self->{outcomes} = File::Temp->new;
    $options{outcomes} = $self->{outcomes}->filename;
    $self->{process} = IPC::Run::start(
        [
            'node', dirname(__FILE__) . '/../load/storm.js',
            map { "$_=$options{$_}" } sort keys %options
        ],
        '<', '/dev/null', '>', \$self->{out}, '2>', \$self->{err});
    return $self;
}

# How far it is: { sent, acknowledged, refused, lost, switched }.
sub progress
{
    my ($self) = @_;
    $self->{process}->pump_nb if $self->{process}->pumpable;
    my @lines = split /\n/, $self->{out}, -1;
    if (@lines > 1)
    {
        $self->{last} = { split / /, $lines[-2] };
        $self->{out} = $lines[-1];
    }
    return $self->{last};
}

# Waits until that many more than now have been acknowledged.
sub wait_for_more
{
    my ($self, $more) = @_;
    $self->wait_for_acknowledged(($self->progress->{acknowledged} // 0) + $more);
    return;
}

# Waits until that many have been acknowledged since it began.
sub wait_for_acknowledged
{
    my ($self, $count) = @_;
    my $before = -1;
    my $end;

    while (1)
    {
        my $now = $self->progress->{acknowledged} // 0;
        return if $now >= $count;
        croak "the storm has ended: $self->{err}" unless $self->{process}->pumpable;
        # the deadline is for standing still, not for the whole
        $end    = time + $WebhookBridge::DEADLINE if $now > $before;
        $before = $now;
        croak "the storm stands still after $now deliveries" if time > $end;
        sleep 0.005;
    }
}

# Lets one more of its connections sign with next_secret, and returns when its
# last delivery with the other one has been answered.
sub switch_one
{
    my ($self) = @_;
    my $before = $self->progress->{switched};
    croak "the storm has not begun" unless defined $before;
    $self->{process}->signal('USR2');
    WebhookBridge::poll_until(sub { $self->progress->{switched} > $before }, 'a connection to switch');
    return;
}

# Waits until it ends by itself, and returns the final numbers.
sub wait_for_end
{
    my ($self) = @_;
    my $before = -1;
    my $end;
    while ($self->{process}->pumpable)
    {
        my $now = $self->progress->{acknowledged} // 0;
        $end    = time + $WebhookBridge::DEADLINE if $now > $before;
        $before = $now;
        croak "the storm stands still after $now deliveries" if time > $end;
        sleep 0.02;
    }
    return $self->finish;
}

# Ends it, if it has not ended by itself, and returns the final numbers.
sub finish
{
    my ($self) = @_;
    $self->{process}->signal('TERM') if $self->{process}->pumpable;
    $self->{process}->finish or croak "the storm failed: $self->{err}";
    return $self->progress;
}

# The name of a file with a line "ID<tab>STATUS" for every delivery that was
# sent; status 0 if there was no answer.
sub outcomes { return $_[0]{outcomes}->filename }

1;
