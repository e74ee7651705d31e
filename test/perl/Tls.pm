package Tls;

# What a test of TLS needs: certificates, made by the command openssl, and
# clients that are its s_client.
#
#     my $tls = Tls->new(tempdir(CLEANUP => 1));
#     $tls->make('authority', ca => 1);
#     $tls->make('server', by => 'authority', names => 'IP:127.0.0.1');
#     my ($output) = $tls->hello($port, '-tls1_2');
#     my $connection = $tls->connect($port, '-tls1_3');    # a WebhookBridge::Connection
#
# Every client verifies the server with the authority that is called so.

use strict;
use warnings;

use IPC::Run;
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM);
use WebhookBridge;

sub new
{
    my ($class, $directory) = @_;
    return bless { directory => $directory, serial => 0, processes => {} }, $class;
}

# The path of a file of a name that was made: kind "crt" or "key".
sub file
{
    my ($self, $name, $kind) = @_;
    return "$self->{directory}/$name.$kind";
}

sub _run
{
    my (@command) = @_;
    my ($out, $err);
    IPC::Run::run([ grep { defined } @command ], '<', '/dev/null', '>', \$out, '2>', \$err) or die "@command: $err\n";
    return $out;
}

# Makes a key and a certificate.  Options: ca (it may sign others), by (who
# signs; itself unless given), names (subjectAltName), days (30), rsa (bits, in
# place of a key on P-256), purpose (extendedKeyUsage), passphrase (of the key).
# Returns the serial number.
sub make
{
    my ($self, $name, %options) = @_;
    my ($key, $request, $extensions) = map { $self->file($name, $_) } qw(key csr ext);
    my $serial = ++$self->{serial};
    my @kind   = $options{rsa} ? ('-newkey', "rsa:$options{rsa}") : qw(-newkey ec -pkeyopt ec_paramgen_curve:P-256);
    my @secret = defined $options{passphrase} ? ('-passout', "pass:$options{passphrase}") : '-nodes';

    open my $file, '>', $extensions or die "$extensions: $!";
    print $file "basicConstraints = critical, CA:", ($options{ca} ? 'TRUE' : 'FALSE'), "\n";
    print $file "subjectAltName = $options{names}\n"       if $options{names};
    print $file "extendedKeyUsage = $options{purpose}\n"   if $options{purpose};
    close $file;
    _run(qw(openssl req -new), @kind, @secret, '-keyout', $key, '-out', $request, '-subj', "/CN=$name");
    _run(qw(openssl x509 -req -set_serial), $serial, '-days', $options{days} // 30, '-extfile', $extensions, '-in', $request,
        '-out', $self->file($name, 'crt'),
        $options{by}
        ? ('-CA', $self->file($options{by}, 'crt'), '-CAkey', $self->file($options{by}, 'key'))
        : ('-signkey', $key, defined $options{passphrase} ? ('-passin', "pass:$options{passphrase}") : ()));
    chmod 0600, $key;
    return $serial;
}

sub _client
{
    my ($self, $port, @options) = @_;
    return ('openssl', 's_client', '-connect', "127.0.0.1:$port", '-CAfile', $self->file('authority', 'crt'),
        '-verify_return_error', '-verify_ip', '127.0.0.1', @options);
}

# One connection on which $input is sent, which should make the server close it;
# without input it ends after the handshake.  Returns what s_client says,
# errors included, and whether it succeeded.
sub hello
{
    my ($self, $port, @options) = @_;
    my $input  = ref $options[-1] ? ${ pop @options } : undef;
    my $output = '';
    # a file, because a client that is refused does not read it
    open my $file, '>', $self->file('client', 'input') or die "could not write the client's input: $!";
    print $file $input // '';
    close $file;
    my $client = IPC::Run::start([ $self->_client($port, @options, defined $input ? '-ign_eof' : ()) ],
        '<', $self->file('client', 'input'), '>', \$output, '2>&1', IPC::Run::timeout($WebhookBridge::DEADLINE));
    my $success = $client->finish;
    return wantarray ? ($output, $success) : $output;
}

# A connection, used like one without TLS.  It is the process of a client, whose
# messages errors() returns when it has ended.
sub connect    ## no critic: the word fits
{
    my ($self, $port, @options) = @_;
    my $log = "$self->{directory}/client." . ++$self->{clients};

    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!";
    my $pid = fork // die "fork: $!";
    if ($pid == 0)
    {
        open STDIN,  '<&', $theirs or POSIX::_exit(1);
        open STDOUT, '>&', $theirs or POSIX::_exit(1);
        open STDERR, '>',  $log    or POSIX::_exit(1);
        close $ours;
        exec $self->_client($port, '-quiet', @options) or POSIX::_exit(1);
    }
    close $theirs;
    $ours->blocking(0);
    my $connection = bless { socket => $ours, input => '', closed => 0 }, 'WebhookBridge::Connection';
    $self->{processes}{$connection} = { pid => $pid, log => $log };
    return $connection;
}

# What the client of a connection has complained of so far.
sub errors
{
    my ($self, $connection) = @_;
    open my $file, '<', $self->{processes}{$connection}{log} or return '';
    return join '', grep { !/^(?:depth=|verify return|DONE|Can't use SSL_get_servername)/ } <$file>;
}

# Ends it.
sub disconnect
{
    my ($self, $connection) = @_;
    my $process = delete $self->{processes}{$connection} or return;
    $connection->close;
    kill 'TERM', $process->{pid};
    waitpid $process->{pid}, 0;
    return;
}

sub DESTROY
{
    my ($self) = @_;
    local ($?, $!);
    for my $process (values %{ $self->{processes} })
    {
        kill 'TERM', $process->{pid};
        waitpid $process->{pid}, 0;
    }
    return;
}

1;
