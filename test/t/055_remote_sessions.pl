# Remote webhooks and several sessions: calls that meet at the same webhook, where
# the first commits, is rolled back, cancelled or ended while the second waits, and
# what is there afterwards; and how much memory it takes to list many.  The
# provider is test/emulator, which holds an answer back until it is told to let it
# go, so that nothing here depends on time.

use strict;
use warnings;

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use Emulator;
use WebhookBridge;

my $emulator = Emulator->start;
my $bridge   = WebhookBridge->start('sessions', conf => <<'CONF');
webhook_bridge.http_allow_insecure = on
webhook_bridge.http_timeout = '120s'
deadlock_timeout = '10s'
CONF
my $node     = $bridge->node;
my %settings = map { $_ => $emulator->overview->{providers}{$_}{settings} } qw(ecomanager api2cart blaze shoplazza);
my $json     = JSON::PP->new->canonical;

# ---------------------------------------------------------------------------
# Accounts
# ---------------------------------------------------------------------------

# "url" makes the members of a record that are its delivery URL, "of_topic" its
# topic.  "off" is what set_webhook_active(..., false) asks the provider to do.
my %provider = (
    ecomanager => {
        credentials => { token => $settings{ecomanager}{token} },
        topic       => 'OrderCreated',
        other       => 'OrderDeleted',
        url         => sub { (delivery_url => $_[0]) },
        of_topic    => sub { (event => $_[0]) },
        off         => 'set_active',
    },
    api2cart => {
        credentials => { api_key => $settings{api2cart}{api_key}, store_key => $settings{api2cart}{store_keys}[0] },
        topic       => 'order.add',
        other       => 'order.update',
        url         => sub { (callback => $_[0]) },
        of_topic    => sub { my ($entity, $action) = split /\./, $_[0]; (entity => $entity, action => $action) },
        off         => 'update',
    },
    blaze => {
        credentials => { map { $_ => $settings{blaze}{$_} } qw(partner_key developer_key) },
        topic       => 'NEW_MEMBER',
        other       => 'UPDATE_MEMBER',
        url         => sub { (webHookUrls => [ $_[0] ]) },
        of_topic    => sub { (webHookType => $_[0]) },
        off         => 'delete',
    },
    shoplazza => {
        credentials => { map { $_ => $settings{shoplazza}{$_} } qw(access_token client_secret) },
        topic       => 'orders/create',
        other       => 'orders/paid',
        url         => sub { (address => $_[0]) },
        of_topic    => sub { (topic => $_[0]) },
        off         => 'delete',
    });

my @accounts;
for my $name ('ecomanager', 'api2cart 1.0', 'api2cart 1.1', 'blaze', 'shoplazza 2022-01', 'shoplazza 2025-06')
{
    my ($provider) = split / /, $name;
    my $account = { %{ $provider{$provider} }, name => $name, provider => $provider, id => $name =~ s/[ .]/-/gr };
    my $credentials = $json->encode($account->{credentials});
    $bridge->sql("SELECT webhook_bridge.create_account('$account->{id}', '$provider', '" . $emulator->url($name) . "', '$credentials')");
    create_endpoint($account, $account->{id});
    create_endpoint($account, "$account->{id}-2");
    push @accounts, $account;
}
my %account = map { $_->{name} => $_ } @accounts;

sub create_endpoint
{
    my ($account, $name) = @_;
    my $params = $account->{provider} eq 'blaze' ? '{"topic": "NEW_MEMBER"}' : '{}';
    $bridge->sql("SELECT webhook_bridge.create_endpoint('$name', '$account->{provider}', account => '$account->{id}', params => '$params')");
    return;
}

# ---------------------------------------------------------------------------
# Sessions
# ---------------------------------------------------------------------------

# A session, in which one thing at a time is begun and finished later.
package Session
{
    sub start
    {
        my ($class) = @_;
        my $self = bless { in => "\\set VERBOSITY verbose\n", out => '', err => '' }, $class;
        $self->{process} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
            \$self->{in}, \$self->{out}, \$self->{err}, IPC::Run::timeout(900));
        ($self->{pid}) = $self->run('SELECT pg_backend_pid()')->{out} =~ /(\d+)/;
        return $self;
    }

    sub begin
    {
        my ($self, $sql) = @_;
        $self->{in} .= "$sql;\n\\echo done\n\\warn done\n";
        $self->{process}->pump_nb;
        return;
    }

    sub is_done
    {
        my ($self) = @_;
        # one whose server process was ended is gone
        return 1 if !$self->{process}->pumpable;
        $self->{process}->pump_nb;
        return $self->{out} =~ /^done\n\z/m && $self->{err} =~ /^done\n\z/m;
    }

    # What was printed, and the SQLSTATE, 00000 if there was no error.
    sub finish
    {
        my ($self) = @_;
        WebhookBridge::poll_until(sub { $self->is_done }, "the end of a statement: $self->{out}$self->{err}");
        my %answer = (out => $self->{out}, err => $self->{err}, state => '00000');
        s/^done\n\z//m, chomp for @answer{qw(out err)};
        $answer{state} = $1 if $answer{err} =~ /(?:ERROR|FATAL):  (\w{5}): /;
        ($self->{out}, $self->{err}) = ('', '');
        return \%answer;
    }

    sub run
    {
        my ($self, $sql) = @_;
        $self->begin($sql);
        return $self->finish;
    }

    sub stop
    {
        my ($self) = @_;
        $self->{process}->finish;
        return;
    }

    # Sessions that are used again, by who has taken and given them back.
    my @idle;

    sub take
    {
        my ($class, $count) = @_;
        return map { shift @idle // $class->start } 1 .. $count;
    }

    sub give_back
    {
        my ($self) = @_;
        return $self->{process}->pumpable ? push @idle, $self : $self->stop;
    }

    sub stop_idle
    {
        $_->stop for splice @idle;
        return;
    }
}

my $observer = Session->start;

sub look
{
    my ($sql) = @_;
    my $answer = $observer->run($sql);
    BAIL_OUT("$sql: $answer->{err}") if $answer->{state} ne '00000';
    return $answer->{out};
}

sub waits_for
{
    my ($second, $first) = @_;
    return look("SELECT $first->{pid} = ANY (pg_blocking_pids($second->{pid}))") eq 't';
}

# ---------------------------------------------------------------------------
# What is called
# ---------------------------------------------------------------------------

# The number of the first webhook of an account, as SQL.
sub id_of
{
    my ($account) = @_;
    return "(SELECT id FROM webhook_bridge.webhooks WHERE account = '$account->{id}' ORDER BY id LIMIT 1)";
}

my %call = (
    register => sub { "register_webhook('$_[0]{id}', '$_[0]{topic}', '$_[0]{id}', active => true)" },
    update   => sub { "update_webhook($_[0]{webhook}, label => 'other')" },
    move     => sub { "update_webhook($_[0]{webhook}, endpoint => '$_[0]{id}-2')" },
    'register there' => sub { "register_webhook('$_[0]{id}', '$_[0]{topic}', '$_[0]{id}-2')" },
    off      => sub { "set_webhook_active($_[0]{webhook}, false)" },
    on       => sub { "set_webhook_active($_[0]{webhook}, true)" },
    delete   => sub { "delete_webhook($_[0]{webhook})" },
    adopt    => sub { "adopt_webhook('$_[0]{id}', '$_[0]{seeded}', '$_[0]{id}')" },
    'adopt there' => sub { "adopt_webhook('$_[0]{id}', '$_[0]{seeded}', '$_[0]{id}-2')" },
    repair   => sub { "sync_webhooks('$_[0]{id}', repair => true)" },
    'drop the endpoint' => sub { "drop_endpoint('$_[0]{id}')" },
    'drop the account'  => sub { "drop_account('$_[0]{id}')" });

# What a webhook's functions print is the provider's id of it.
sub statement
{
    my ($account, $function) = @_;
    my $call = 'webhook_bridge.' . $call{$function}->($account);
    return "SELECT difference FROM $call WHERE difference IS NOT NULL" if $function eq 'repair';
    return "SELECT $call" if $function =~ /^(?:delete|drop)/;
    return "SELECT remote_id FROM $call";
}

# The webhooks of a provider that are ours, those that are not deleted.
sub remote
{
    my ($account) = @_;
    my $base = look('SELECT webhook_bridge.base_url()');
    return grep { !$_->{record}{deleted} && $_->{urls}[0] =~ m{^\Q$base/hooks/$account->{id}\E} } $emulator->webhooks($account->{provider});
}

# What differs between here and there: what is compared by sync_webhooks(), and the
# secret of each webhook, where it has one.
sub differences
{
    my ($account) = @_;
    my @differences = split /\n/, look("SELECT concat_ws(' ', endpoint, topic, difference)
        FROM webhook_bridge.sync_webhooks('$account->{id}') WHERE difference IS NOT NULL AND endpoint IS NOT NULL");
    for my $remote (grep { defined $_->{record}{secret} } remote($account))
    {
        push @differences, "$remote->{id} has another secret" if look("SELECT count(*) FROM webhook_bridge.webhooks w
            JOIN webhook_bridge.secrets s USING (endpoint)
            WHERE w.account = '$account->{id}' AND w.remote_id = '$remote->{id}' AND s.secret <> '$remote->{record}{secret}'");
    }
    return join ', ', @differences;
}

# What there is: how many webhooks here and there, and what differs.
sub what_there_is
{
    my ($account) = @_;
    my @remote = remote($account);
    my $here = look("SELECT count(*) FROM webhook_bridge.webhooks WHERE account = '$account->{id}'");
    return join ', ', scalar(@remote) . " there, $here here", grep { $_ ne '' } differences($account);
}

# Everything as at the start; with "registered" one webhook, whose number is in
# webhook, with "seeded" one that delivers elsewhere.
sub prepare
{
    my ($account, %options) = @_;
    look("DELETE FROM webhook_bridge.webhooks WHERE account = '$account->{id}'");
    $emulator->reset;
    ($account->{seeded}) = $emulator->seed($account->{provider}, 1, $account->{url}->('https://elsewhere.example/'),
        $account->{of_topic}->($account->{topic})) if $options{seeded};
    if ($options{registered} // 1)
    {
        $account->{webhook} = look('SELECT id FROM webhook_bridge.' . $call{register}->($account));
        look(statement($account, 'off')) if $options{inactive};
    }
    return;
}

# ---------------------------------------------------------------------------
# Two calls that meet
# ---------------------------------------------------------------------------

my @ends = ('commit', 'rollback', 'cancel', 'terminate');

# A first call, held by the provider at an operation, and a second one that finds
# it there.  Options: first, second, at (the operation; none if the provider is not
# asked), end, isolation (of the second), waits (0 if the second does not have to
# wait, undefined if it does not matter), and what prepare() takes.  Returns both
# answers.
sub meet
{
    my ($account, %race) = @_;
    prepare($account, %race);
    my ($first, $second) = Session->take(2);
    my $level = $race{isolation} // 'READ COMMITTED';

    $emulator->fault(provider => $account->{provider}, operation => $race{at}, kind => 'hold') if $race{at};
    $first->begin('BEGIN; ' . statement($account, $race{first}));
    if ($race{at})
    {
        poll_until(sub { $emulator->overview->{held} == 1 }, 'the request of the first to be held');
    }
    else
    {
        poll_until(sub { $first->is_done }, 'the first');
    }

    $second->begin("BEGIN ISOLATION LEVEL $level; " . statement($account, $race{second}) . '; COMMIT');
    my $waits;
    poll_until(sub { ($waits = waits_for($second, $first)) || $second->is_done }, 'the second to meet the first');
    is($waits ? 1 : 0, $race{waits}, "$race{name}: the second " . ($race{waits} ? 'waits' : 'does not wait')) if defined $race{waits};

    my $answer;
    if ($race{end} eq 'commit' || $race{end} eq 'rollback')
    {
        $emulator->release;
        $answer = $first->finish;
        $first->run($race{end});
    }
    else
    {
        look("SELECT pg_${\($race{end})}_backend($first->{pid})");
        $answer = $first->finish;
        $first->run('ROLLBACK') if $race{end} eq 'cancel';
    }
    my @answers = ($answer, $second->finish);
    $emulator->release;
    $_->give_back for $first, $second;
    return @answers;
}

# Lets two calls meet and checks: "gives" is the SQLSTATE of the second, or a list
# of those it may have; "then" the function that is called next, the second one
# unless said otherwise, which has to succeed, and "leaves" what there is after
# it.  "half" is for where the first was undone here and not there, in such a way
# that the second does not put it right.  Returns what the three have given.
sub race
{
    my ($account, %race) = @_;
    my $name = "$account->{name}: $race{first}" . ($race{at} ? " at $race{at}" : '') . ", $race{end}, and $race{second}"
      . ($race{isolation} ? ', ' . lc $race{isolation} : '');
    my ($first, $second) = meet($account, waits => 1, %race, name => $name);
    my $ended    = { commit => '00000', rollback => '00000', cancel => '57014', terminate => '57P01' }->{ $race{end} };
    my $expected = join '|', map { ref $_ ? @$_ : $_ } $race{gives} // '00000';

    is($first->{state}, $ended, "$name: the first") or diag $first->{err};
    like($second->{state}, qr/^(?:$expected)$/, "$name: the second") or diag $second->{err};
    is(differences($account), '', "$name: nothing is half-done")
      if !$race{half} && ($race{end} eq 'commit' || $second->{state} eq '00000');
    $race{before_then}->() if $race{before_then};
    my $then = call_again($account, $race{then} // $race{second});
    is($then->{state}, '00000', "$name: the next call") or diag $then->{err};
    is(what_there_is($account), $race{leaves} // '1 there, 1 here', "$name: what there is");
    return ($first, $second, $then);
}

# A call when nobody else does anything.
sub call_again
{
    my ($account, $function) = @_;
    $account->{webhook} = look('SELECT ' . id_of($account));
    return $observer->run(statement($account, $function));
}

sub asked
{
    my ($account, $operation) = @_;
    return scalar $emulator->requests(provider => $account->{provider}, operation => $operation);
}

my @short = @account{ 'ecomanager', 'shoplazza 2025-06' };

# The same webhook: one of them creates it, both return it.
sub both_register
{
    my ($account) = @_;
    for my $isolation ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
    {
        for my $end (@ends)
        {
            my %race = (first => 'register', second => 'register', registered => 0, end => $end, isolation => $isolation);
            my $late = $end eq 'commit' && $isolation ne 'READ COMMITTED';
            my ($first, $second, $then) = race($account, %race, at => 'create', gives => $late ? '40001' : '00000');
            my $name = "$account->{name}, both register, $end, " . lc $isolation;
            is(asked($account, 'create'), 1, "$name: created once");
            is($second->{out}, $then->{out}, "$name: the same webhook") if !$late;
            is($first->{out}, $then->{out}, "$name: that of the first") if $end =~ /commit|rollback/;

            # before anything is created
            next if $isolation ne 'READ COMMITTED';
            race($account, %race, at => 'list');
            is(asked($account, 'create'), 1, "$name: before it is created, created once");
        }
    }
    return;
}

# Where people register it is only known here.
sub both_register_by_hand
{
    $bridge->sql(q(SELECT webhook_bridge.create_account('app', 'ecwid', 'https://app.ecwid.com', '{"client_secret": "s3cret"}')));
    $bridge->sql(q(SELECT webhook_bridge.create_endpoint('app', 'ecwid', account => 'app')));
    # it has to be such a URL as the provider takes
    $bridge->reload('webhook_bridge.public_url' => 'https://hooks.example.com');
    poll_until(sub { look('SHOW webhook_bridge.public_url') ne '' }, 'the setting');
    my $register = q(SELECT id FROM webhook_bridge.register_webhook('app', 'order.created', 'app'));
    for my $end ('commit', 'rollback')
    {
        look(q(DELETE FROM webhook_bridge.webhooks WHERE account = 'app'));
        my ($first, $second) = Session->take(2);
        my $one = $first->run("BEGIN; $register");
        $second->begin($register);
        poll_until(sub { waits_for($second, $first) }, 'the second to wait');
        $first->run($end);
        my $other = $second->finish;
        is($other->{state}, '00000', "ecwid, both register, $end") or diag $other->{err};
        is($other->{out}, $one->{out}, "ecwid, both register, $end: the same") if $end eq 'commit';
        is(look($register), $other->{out}, "ecwid, both register, $end: and again");
        is(look(q(SELECT count(*) FROM webhook_bridge.webhooks WHERE account = 'app')), 1, "ecwid, both register, $end: one");
        $_->give_back for $first, $second;
    }
    look(q(DELETE FROM webhook_bridge.webhooks WHERE account = 'app'));
    $bridge->reload('webhook_bridge.public_url' => '');
    poll_until(sub { look('SHOW webhook_bridge.public_url') eq '' }, 'the setting');
    return;
}

# Calls for a webhook that is registered.
sub others
{
    my ($account) = @_;
    my $gone = $account->{off} eq 'delete';
    my $on   = $gone ? 'create' : $account->{off};
    my $off  = { then => 'off', leaves => $gone ? '0 there, 1 here' : '1 there, 1 here' };
    my @races = (
        [ register => get    => 'delete', { then => 'register' } ],
        [ delete   => delete => 'register' ],
        [ update   => update => 'delete', { then => 'register' } ],
        [ update   => update => 'update' ],
        [ off => $account->{off} => 'on' ],
        [ off => $account->{off} => 'off', $off ],
        [ on => $on => 'off', { %$off, inactive => 1 } ],
        [ on => $on => 'on', { inactive => 1 } ],
        [ update => update => 'off', $off ],
        [ off => $account->{off} => 'delete', { then => 'register' } ],
        [ off => $account->{off} => 'register' ]);
    for my $race (@races)
    {
        my ($first, $at, $second, $options) = @$race;
        race($account, first => $first, at => $at, second => $second, end => $_, %{ $options // {} }) for @ends;
        race($account, first => $first, at => $at, second => $second, end => 'commit', isolation => 'REPEATABLE READ', gives => '40001',
            %{ $options // {} });
    }
    for my $end (@ends)
    {
        # what was deleted there and is known here has to be registered again
        race($account, first => 'delete', at => 'delete', second => 'update', end => $end, then => 'register',
            gives => $end eq 'commit' ? '42704' : 'WB012');
    }
    race($account, first => 'delete', at => 'delete', second => 'update', end => 'commit', then => 'register', isolation => 'REPEATABLE READ',
        gives => '40001');
    return;
}

# A webhook that is there: it delivers to one endpoint, and that is known here.
sub both_adopt
{
    my ($account) = @_;
    my %adopt = (registered => 0, seeded => 1, at => 'update', first => 'adopt');
    for my $end (@ends)
    {
        my $committed = $end eq 'commit';
        race($account, %adopt, second => 'adopt',    end => $end);
        race($account, %adopt, second => 'register', end => $end);
        race($account, %adopt, second => 'adopt there', end => $end, $committed ? (gives => '55006', then => 'adopt') : ());
        my ($remote) = remote($account);
        is($remote->{urls}[0], look("SELECT webhook_bridge.delivery_url('$account->{id}" . ($committed ? '' : '-2') . "')"),
            "$account->{name}, adopted twice, $end: it delivers to the endpoint that has it");
    }
    race($account, %adopt, second => 'adopt there', end => 'commit', isolation => 'REPEATABLE READ', gives => [ '40001', '55006' ],
        then => 'adopt');
    race($account, first => 'register', at => 'create', second => 'adopt', end => 'commit', registered => 0, seeded => 1, gives => '55006',
        then => 'register');
    return;
}

# A webhook that moves to another endpoint, where one is registered.
sub both_move
{
    my ($account) = @_;
    for my $end (@ends)
    {
        # one that has moved there only is the one that is registered; what was not moved here is missing then
        race($account, first => 'move', at => 'update', second => 'register there', end => $end, then => 'repair',
            $end eq 'commit' ? () : (half => 1, leaves => '2 there, 2 here'));
    }
    race($account, first => 'register there', at => 'create', second => 'move', end => 'commit', gives => '55006', then => 'register there',
        leaves => '2 there, 2 here');
    return;
}

# Endpoints and accounts that are dropped meanwhile.
sub dropped
{
    my ($account) = @_;
    my %drop = (first => 'register', at => 'create', registered => 0);
    for my $end (@ends)
    {
        race($account, %drop, second => 'drop the endpoint', end => $end, then => 'register',
            $end eq 'commit'
            ? (gives => '55006')
            : (before_then => sub { create_endpoint($account, $account->{id}) }));
        race($account, %drop, second => 'drop the account', end => $end, gives => '55006', then => 'register');
    }
    meet($account, first => 'drop the endpoint', second => 'register', end => 'commit', registered => 0, waits => 1,
        name => "$account->{name}: drop the endpoint and register");
    is(scalar $emulator->requests, 0, "$account->{name}: drop the endpoint and register: nothing is sent");
    create_endpoint($account, $account->{id});
    race($account, first => 'drop the endpoint', second => 'register', end => 'rollback', registered => 0);
    return;
}

# What was listed may not be so any more when it is compared.
sub repaired
{
    my ($account) = @_;
    my $name = "$account->{name}, repair";
    for my $function ('off, on', 'delete', 'delete, register', 'update', 'register there')
    {
        prepare($account);
        $emulator->fault(provider => $account->{provider}, operation => 'list', kind => 'hold');
        my ($first, $second) = Session->take(2);
        $first->begin(statement($account, 'repair'));
        poll_until(sub { $emulator->overview->{held} == 1 }, 'the list to be held');
        $second->begin(join '; ', map { statement($account, $_) } split /, /, $function);
        poll_until(sub { waits_for($second, $first) || $second->is_done }, 'the second');
        $emulator->release;
        my ($one, $two) = ($first->finish, $second->finish);
        $_->give_back for $first, $second;
        is($one->{state}, '00000', "$name, meanwhile $function: repair") or diag $one->{err};
        is($two->{state}, '00000', "$name, meanwhile $function") or diag $two->{err};
        is(what_there_is($account),
            $function eq 'delete' ? '0 there, 0 here' : $function eq 'register there' ? '2 there, 2 here' : '1 there, 1 here',
            "$name, meanwhile $function: what there is");
    }

    # one is missing there, one delivers elsewhere, one is not known here
    for my $at ('list', 'create', 'update')
    {
        for my $end (@ends)
        {
            prepare($account);
            look(statement($account, 'register there'));
            my ($missing, $elsewhere) = map { $_->{id} } remote($account);
            $emulator->remove($account->{provider}, $missing);
            $emulator->change($account->{provider}, $elsewhere, $account->{url}->('https://elsewhere.example/'));
            $emulator->seed($account->{provider}, 1, $account->{url}->(look("SELECT webhook_bridge.delivery_url('$account->{id}')")),
                $account->{of_topic}->($account->{other}));

            my ($first, $second) = Session->take(2);
            $emulator->fault(provider => $account->{provider}, operation => $at, kind => 'hold');
            $first->begin('BEGIN; ' . statement($account, 'repair'));
            poll_until(sub { $emulator->overview->{held} == 1 }, "the $at to be held");
            $second->begin(statement($account, 'repair'));
            poll_until(sub { waits_for($second, $first) || $second->is_done }, 'the second');
            look("SELECT pg_${end}_backend($first->{pid})") if $end =~ /cancel|terminate/;
            $emulator->release;
            $first->finish;
            $first->run($end eq 'commit' ? 'COMMIT' : 'ROLLBACK') if $end ne 'terminate';
            my $two = $second->finish;
            $_->give_back for $first, $second;
            is($two->{state}, '00000', "$name, both, at $at, $end") or diag $two->{err};
            is(what_there_is($account), '3 there, 3 here', "$name, both, at $at, $end: what there is");
            is(look(statement($account, 'repair')), '', "$name, both, at $at, $end: nothing is left to repair");
        }
    }
    return;
}

# ---------------------------------------------------------------------------
# What one session meets seldom
# ---------------------------------------------------------------------------

# An answer in place of the provider's own, once.
sub will_answer
{
    my ($account, $operation, $body) = @_;
    $emulator->fault(provider => $account->{provider}, operation => $operation, kind => 'status', status => 200, body => $body);
    return;
}

# Found although many others are listed before it, and although a list did not
# show it.
sub found
{
    my ($account) = @_;
    my $name = $account->{name};
    prepare($account);
    my ($one) = remote($account);
    $emulator->remove($account->{provider}, $one->{id});
    $emulator->seed($account->{provider}, 300, $account->{of_topic}->($account->{topic}));
    my $id = look(statement($account, 'register'));
    look("DELETE FROM webhook_bridge.webhooks WHERE account = '$account->{id}'");
    $emulator->control('DELETE', 'requests');
    is(look(statement($account, 'register')), $id, "$name: found among 300 others of the topic");
    is(asked($account, 'create'), 0, "$name: and not created");

    my $page = {
        'api2cart 1.0'      => { return_code => 0, result => { webhook => [] } },
        'api2cart 1.1'      => { return_code => 0, result => { webhook => [] } },
        'shoplazza 2022-01' => { webhooks => [] },
        'shoplazza 2025-06' => { code => 'Success', data => { webhooks => [], cursor => '', has_more => JSON::PP::false } }
    }->{$name} or return;
    prepare($account);
    ($one) = remote($account);
    look("DELETE FROM webhook_bridge.webhooks WHERE account = '$account->{id}'");
    $emulator->settings(api2cart => { unique => JSON::PP::true });
    $emulator->control('DELETE', 'requests');
    will_answer($account, 'list', $page);
    is(look(statement($account, 'register')), $one->{id}, "$name: refused as there already, then found");
    is(asked($account, 'create'), 1, "$name: by trying to create it");
    is(what_there_is($account), '1 there, 1 here', "$name: one");
    return;
}

# Nothing is kept of a webhook that the provider refuses.
sub refused
{
    my ($account) = @_;
    prepare($account, registered => 0);
    $emulator->fault(provider => $account->{provider}, operation => 'create', kind => 'status', status => 422);
    is($observer->run(statement($account, 'register'))->{state}, 'WB014', "$account->{name}: refused");
    is(look("SELECT count(*) FROM webhook_bridge.webhooks WHERE account = '$account->{id}'"), 0, "$account->{name}: and not known here");
    return;
}

# A list whose pages do not end.
sub endless
{
    my %page = (
        ecomanager          => { data => [], meta => { next_cursor => 'c1' } },
        # where an empty page is the last
        'shoplazza 2025-06' => {
            code => 'Success',
            data => {
                webhooks => [ { id => '1', topic => 'orders/create', address => 'https://elsewhere.example/' } ],
                cursor   => 'c1',
                has_more => JSON::PP::true
            }
        });
    for my $name (sort keys %page)
    {
        my $account = $account{$name};
        prepare($account, registered => 0);
        will_answer($account, 'list', $page{$name}) for 1 .. 3;
        my $answer = $observer->run("SELECT webhook_bridge.list_webhooks('$account->{id}')");
        is($answer->{state}, 'WB017', "$name: a page that is its own successor");
        like($answer->{err}, qr/the pages of the list do not end/, "$name: which is told");
        is(asked($account, 'list'), 2, "$name: and not followed");
    }
    return;
}

# What was given up, in two pages, of a webhook that is known here and of another.
sub failed_deliveries
{
    my ($account) = @_;
    prepare($account);
    my ($one) = remote($account);
    will_answer($account, 'failed', { return_code => 0, result => { all_failed_webhook => '2', webhook => [$_] } })
      for { webhook_id => $one->{id}, entity_id => '1', time => '2024-05-06 07:08:09' }, { webhook_id => 4711, entity_id => '2' };
    is(look("SELECT id, remote_id, failed_at AT TIME ZONE 'UTC', raw ->> 'entity_id' FROM webhook_bridge.list_failed_deliveries('$account->{id}')"),
        "$account->{webhook}|$one->{id}|2024-05-06 07:08:09|1\n|4711||2", "$account->{name}: failed deliveries on two pages");
    is(asked($account, 'failed'), 2, "$account->{name}: and no more");
    return;
}

# Webhooks that are not active: one that is registered so, one that is not there.
sub inactive
{
    my ($account) = @_;
    prepare($account);
    my ($one) = remote($account);
    look("SELECT webhook_bridge.update_webhook($account->{webhook}, label => 'mine')");
    is(look("SELECT remote_id, label, active, state FROM webhook_bridge.register_webhook('$account->{id}', '$account->{topic}', '$account->{id}', active => false)"),
        "$one->{id}|mine|f|inactive", "$account->{name}: registered again, inactive");
    ($one) = remote($account);
    is($one->{active} ? 1 : 0, 0, "$account->{name}: there, too");
    $emulator->remove($account->{provider}, $one->{id});
    for my $repair ('false', 'true')
    {
        is(look("SELECT difference, wanted, actual, repaired FROM webhook_bridge.sync_webhooks('$account->{id}', $repair)"), '|||',
            "$account->{name}: inactive and gone is no difference, repair $repair");
    }
    is(scalar remote($account), 0, "$account->{name}: and is not created");
    return;
}

# One that is listed as deleted is not there.
sub deleted
{
    my $account = $account{blaze};
    prepare($account, registered => 0);
    my ($gone) = $emulator->seed('blaze', 1, $account->{url}->(look("SELECT webhook_bridge.delivery_url('$account->{id}')")),
        $account->{of_topic}->($account->{topic}), deleted => JSON::PP::true);
    isnt(look(statement($account, 'register')), $gone, 'blaze: a deleted one is not taken');
    is(asked($account, 'create'), 1, 'blaze: but another is created');
    return;
}

# ---------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------

# Kilobytes that a backend had at most while a list was read, in one session for
# all lengths.
sub memory
{
    my ($account, @lengths) = @_;
    my $session = Session->start;
    my $peak = sub {
        my ($length) = @_;
        open my $clear, '>', "/proc/$session->{pid}/clear_refs" or die "could not reset the peak of memory: $!";
        print $clear "5\n";
        close $clear;
        my $answer = $session->run("SELECT count(*) FROM webhook_bridge.list_webhooks('$account->{id}')");
        is($answer->{out}, $length, "$account->{name}: $length webhooks are listed") or diag $answer->{err};
        my ($kilobytes) = slurp_file("/proc/$session->{pid}/status") =~ /^VmHWM:\s+(\d+) kB$/m;
        return $kilobytes;
    };
    prepare($account, registered => 0);
    $session->run(q(SET work_mem = '64kB'));
    my ($seeded, @peaks) = (0);
    for my $length (@lengths)
    {
        $emulator->seed($account->{provider}, $length - $seeded);
        $seeded = $length;
        # the first has to load what all need
        $peak->($length) if !@peaks;
        push @peaks, $peak->($length);
    }
    $session->stop;
    diag "$account->{name}: " . join ', ', map { "$lengths[$_] webhooks $peaks[$_] kB" } 0 .. $#lengths;
    cmp_ok($peaks[-1] - $peaks[0], '<', 1024, "$account->{name}: memory does not grow with the list");
    return;
}

# ---------------------------------------------------------------------------
# All of it
# ---------------------------------------------------------------------------

my ($only) = map { qr/$_/ } $ENV{TEST_ACCOUNT} // '';
for my $account (grep { $_->{name} =~ $only } @accounts)
{
    both_register($account);
    both_adopt($account);
    found($account);
    refused($account);
    failed_deliveries($account) if $account->{provider} eq 'api2cart';
    inactive($account) if $account->{off} ne 'delete';
}
both_register_by_hand();
endless();
deleted();
for my $account (grep { $_->{name} =~ $only } @short)
{
    others($account);
    both_move($account);
    dropped($account);
    repaired($account);
}
# TEST_LENGTHS: for example 1000,5000,20000
memory($account{$_}, split /,/, $ENV{TEST_LENGTHS} // '1000,5000') for grep { $_ =~ $only } 'ecomanager', 'api2cart 1.1', 'shoplazza 2025-06';

$observer->stop;
Session->stop_idle;
unlike(scalar $bridge->log_text, qr/terminated by signal|PANIC|TRAP|deadlock detected/, 'no process has crashed');
$bridge->stop;
$emulator->stop;
done_testing();
