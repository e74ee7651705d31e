package Emulator;

# The emulator of the providers, test/emulator, as tests see it:
#
#     my $emulator = Emulator->start;
#     my $base_url = $emulator->url('ecomanager');
#     $emulator->fault(provider => 'ecomanager', operation => 'create', kind => 'lost');
#     my $deliveries = $emulator->fire(provider => 'ecomanager', topic => 'OrderCreated');
#     $emulator->stop;
#
# What the control API has, and which faults there are, is at the top of
# test/emulator/emulator.mjs.

use strict;
use warnings;

use Carp;
use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use Time::HiRes qw(sleep time);

# Seconds that it may take to start on a slow machine.
my $DEADLINE = 30;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# Where an account's base URL begins, by provider and version.
my %prefix = (
    ecomanager          => '/ecomanager',
    'api2cart 1.0'      => '/api2cart/v1.0',
    'api2cart 1.1'      => '/api2cart/v1.1',
    blaze               => '/blaze',
    'shoplazza 2022-01' => '/shoplazza/openapi/2022-01',
    'shoplazza 2025-06' => '/shoplazza/openapi/2025-06',
);

# Starts it on a free port.  Options: port, speed, tls_cert and tls_key (names of
# files).
sub start
{
    my ($class, %options) = @_;
    my $self = bless { out => '', err => '', tls => defined $options{tls_cert} }, $class;
    my @arguments = map { my $name = $_; ("--$name" =~ tr/_/-/r, $options{$name}) } sort keys %options;

    # It ends when its standard input does, whatever becomes of the test.  A pipe
    # of IPC::Run's would be inherited, and held open, by servers started later.
    pipe my $reader, $self->{stdin} or croak "could not make a pipe: $!";
    $self->{process} = IPC::Run::start(
        [ 'node', dirname(__FILE__) . '/../emulator/emulator.mjs', @arguments ],
        '<', $reader, '>', \$self->{out}, '2>', \$self->{err});
    close $reader;
    my $end = time + $DEADLINE;
    until ($self->{out} =~ /^listening on \d+$/m)
    {
        croak "the emulator did not start: $self->{err}" if !$self->{process}->pumpable || time > $end;
        $self->{process}->pump_nb;
        sleep 0.01;
    }
    ($self->{port}) = $self->{out} =~ /^listening on (\d+)$/m;
    $self->{http} = HTTP::Tiny->new(timeout => $DEADLINE, keep_alive => 0, max_redirect => 0);
    return $self;
}

sub port { return $_[0]{port} }

# The base URL of an account; see %prefix.
sub url
{
    my ($self, $account) = @_;
    my $prefix = $prefix{$account} // croak "there is no account \"$account\"";
    return ($self->{tls} ? 'https' : 'http') . "://127.0.0.1:$self->{port}$prefix";
}

# An address to deliver to that answers with a status, or with one after the
# other.
sub sink
{
    my ($self, @statuses) = @_;
    return "http://127.0.0.1:$self->{port}/_sink/" . join ',', @statuses;
}

# A call of the control API; what is given and returned are Perl's structures.
sub control
{
    my ($self, $method, $path, $given) = @_;
    my $answer = $self->{http}->request(
        $method,
        "http://127.0.0.1:$self->{port}/_control/$path",
        { headers => { 'Content-Type' => 'application/json' }, content => $given ? $json->encode($given) : '' });
    croak "the emulator, $method $path: $answer->{status} $answer->{content} $self->{err}" unless $answer->{success};
    return $json->decode($answer->{content});
}

sub reset    ## no critic: the word fits
{
    my ($self) = @_;
    return $self->control('POST', 'reset');
}

# Settings of providers, given by name, and speed, routes, timeout_ms.
sub settings
{
    my ($self, %settings) = @_;
    return $self->control('POST', 'settings', \%settings);
}

sub overview
{
    my ($self) = @_;
    return $self->control('GET', '');
}

# The requests of a provider, and of one operation, as a list.
sub requests
{
    my ($self, %filter) = @_;
    return @{ $self->control('GET', 'requests' . query(%filter)) };
}

# What a provider has registered, as a list.
sub webhooks
{
    my ($self, $provider) = @_;
    return @{ $self->control('GET', "webhooks/$provider") };
}

# Adds webhooks and returns their ids.
sub seed
{
    my ($self, $provider, $count, %members) = @_;
    return @{ $self->control('POST', 'seed', { provider => $provider, count => $count, members => \%members })->{ids} };
}

# Changes or removes a webhook behind everybody's back.
sub change
{
    my ($self, $provider, $id, %members) = @_;
    return $self->control('PATCH', "webhooks/$provider/$id", \%members);
}

sub remove
{
    my ($self, $provider, $id) = @_;
    return $self->control('DELETE', "webhooks/$provider/$id");
}

# Lets an event happen: provider, topic, data and what else the provider takes.
# Returns the deliveries after their first attempt.
sub fire
{
    my ($self, %event) = @_;
    return @{ $self->control('POST', 'fire', \%event)->{deliveries} };
}

# Lets all retries happen and returns all deliveries.
sub settle
{
    my ($self) = @_;
    return @{ $self->control('POST', 'settle')->{deliveries} };
}

sub advance
{
    my ($self, $seconds) = @_;
    return $self->control('POST', 'advance', { seconds => $seconds });
}

sub deliveries
{
    my ($self, %filter) = @_;
    return @{ $self->control('GET', 'deliveries' . query(%filter)) };
}

sub notices
{
    my ($self) = @_;
    return @{ $self->control('GET', 'notices') };
}

# Adds a fault: kind, provider, operation, and what the kind takes.
sub fault
{
    my ($self, %fault) = @_;
    return $self->control('POST', 'faults', \%fault);
}

sub no_faults
{
    my ($self) = @_;
    return $self->control('DELETE', 'faults');
}

# Lets the answers go that faults of kind "hold" hold back, and returns how many.
sub release
{
    my ($self) = @_;
    return $self->control('POST', 'release')->{released};
}

# Ends it, and dies if it has not gone well.
sub stop
{
    my ($self) = @_;
    my $process = delete $self->{process} or return;
    close $self->{stdin};
    $process->finish or croak "the emulator failed: $self->{err}";
    return;
}

sub query
{
    my (%filter) = @_;
    my $query = join '&', map { "$_=$filter{$_}" } sort keys %filter;
    return length $query ? "?$query" : '';
}

sub DESTROY
{
    my ($self) = @_;
    local ($@, $?);
    eval { $self->stop };
    return;
}

1;
