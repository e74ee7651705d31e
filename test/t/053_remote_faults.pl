# What can go wrong between register_webhook() and its like and a provider: every
# fault at every provider and operation, with its SQLSTATE; that nothing is left
# half-done; transactions that are rolled back after the provider has done its
# part; and calls that hang, which are cancelled, ended or passed by.  The
# provider is test/emulator.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use Emulator;
use WebhookBridge;

# Seconds within which a session whose call hangs has to react: generous, as
# machines that run tests are busy.  t/050_http_client.pl has the exact bound.
use constant REACTION => 5;

# Milliseconds that a call may take: where it has to be too long, where it is
# tried again until they are over, and elsewhere; and after which a slow provider
# answers.
use constant TIMEOUT_MS => 600;
use constant RETRY_MS   => 1000;
use constant ENOUGH_MS  => 20_000;
use constant SLOW_MS    => 900;

my $emulator = Emulator->start;
my $closed   = PostgreSQL::Test::Cluster::get_free_port();
my $bridge   = WebhookBridge->start('faults', conf => <<'CONF');
webhook_bridge.http_allow_insecure = on
webhook_bridge.http_max_response = '100kB'
log_error_verbosity = verbose
log_parameter_max_length_on_error = -1
max_connections = 30
CONF
my $node     = $bridge->node;
my %settings = map { $_ => $emulator->overview->{providers}{$_}{settings} } qw(ecomanager api2cart blaze shoplazza);
my $json     = JSON::PP->new->canonical;

# Milliseconds, by what had to be reacted to.
my %reactions;

# ---------------------------------------------------------------------------
# Accounts
# ---------------------------------------------------------------------------

my %credentials = (
    ecomanager => { token => $settings{ecomanager}{token} },
    api2cart   => { api_key => $settings{api2cart}{api_key}, store_key => $settings{api2cart}{store_keys}[0] },
    blaze      => { map { $_ => $settings{blaze}{$_} } qw(partner_key developer_key) },
    shoplazza  => { map { $_ => $settings{shoplazza}{$_} } qw(access_token client_secret) });

my %topic = (ecomanager => 'OrderCreated', api2cart => 'product.update', blaze => 'NEW_MEMBER', shoplazza => 'products/update');

# "switch" is what set_webhook_active(..., false) asks the provider to do.  Where
# there is no such thing, the webhook is deleted.
my %switch = (ecomanager => 'set_active', api2cart => 'update', blaze => 'delete', shoplazza => 'delete');

# What the provider is asked to do when one is looked for by its id.
my %get = (ecomanager => 'get', api2cart => 'list', blaze => 'get', shoplazza => 'get');

my @accounts;
for my $name ('ecomanager', 'api2cart 1.0', 'api2cart 1.1', 'blaze', 'shoplazza 2022-01', 'shoplazza 2025-06')
{
    my ($provider) = split / /, $name;
    push @accounts, {
        name     => $name,
        id       => $name =~ s/[ .]/-/gr,
        provider => $provider,
        topic    => $topic{$provider},
        base_url => $emulator->url($name),
        # of an API's older version some faults say it all, unless it is asked for
        is_older => $name =~ / (?:1\.0|2022-01)$/ && !$ENV{TEST_ACCOUNT},
    };
}
# Not in one transaction: what is not committed cannot be registered.
for my $account (@accounts)
{
    my $given = $json->encode($credentials{ $account->{provider} });
    my $secret = $account->{provider} =~ /^(ecomanager|blaze)$/ ? "'endpoint-secret-of-$1'" : 'NULL';
    my $params = $account->{provider} eq 'blaze' ? '{"topic": "NEW_MEMBER"}' : '{}';
    $bridge->sql(<<"SQL");
SELECT webhook_bridge.create_account('$account->{id}', '$account->{provider}', '$account->{base_url}', '$given');
SELECT webhook_bridge.create_endpoint('$account->{id}', '$account->{provider}', $secret, account => '$account->{id}', params => '$params');
SQL
    $account->{url} = $bridge->sql("SELECT webhook_bridge.delivery_url('$account->{id}')");
}
my @secrets = (map({ values %$_ } values %credentials), map { "endpoint-secret-of-$_" } qw(ecomanager blaze));
my (undef, $log_begin) = $bridge->log_text;

# ---------------------------------------------------------------------------
# Calls
# ---------------------------------------------------------------------------

# A session, as a function that runs SQL and returns what it prints and says.
sub start_session
{
    my ($in, $out, $err) = ("\\set VERBOSITY verbose\n\\set SHOW_CONTEXT always\n", '', '');
    my $process = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], \$in, \$out, \$err, IPC::Run::timeout(900));
    return sub {
        my ($sql) = @_;
        if (!defined $sql)
        {
            $process->finish;
            return;
        }
        $in .= "$sql;\n\\echo done\n\\warn done\n";
        $process->pump until $out =~ /^done\n\z/m && $err =~ /^done\n\z/m;
        my @result = ($out, $err);
        ($out, $err) = ('', '');
        s/^done\n\z//m, chomp for @result;
        return @result;
    };
}

# All calls are made in one session, which every fault leaves usable, and what
# they left is looked at in another.
my ($caller, $observer);

# Calls a function and returns { out, state, message, detail, hint, all }; state
# is 00000 if there was no error.
sub try_sql
{
    my ($sql, $timeout) = @_;
    my ($out, $err) = $caller->('SET webhook_bridge.http_timeout = ' . ($timeout // ENOUGH_MS) . ";\n$sql");
    my %answer = (out => $out, all => $err, state => '00000', detail => '', hint => '');
    if ($err =~ /^ERROR:  (\w{5}): /m)
    {
        $answer{state} = $1;
        $answer{$_} = $err =~ /^\U$_\E:  (.*)$/m ? $1 : '' for qw(detail hint);
    }
    return \%answer;
}

sub look
{
    my ($sql) = @_;
    my ($out, $err) = $observer->($sql);
    BAIL_OUT("$sql: $err") if $err ne '';
    return $out;
}

sub has_no_secret
{
    my ($text, $name) = @_;
    my @found = grep { index($text, $_) >= 0 } @secrets;
    return @found ? fail("$name: a secret is shown: $text") : 1;
}

# What there is: "N remote, M here, STATE".
sub what_there_is
{
    my ($account) = @_;
    my @remote = grep { !$_->{record}{deleted} } $emulator->webhooks($account->{provider});
    my $here = look("SELECT count(*), string_agg(remote_id, ' ') FROM webhook_bridge.webhooks WHERE account = '$account->{id}'");
    my ($count, $ids) = split /\|/, $here;
    my $same = @remote == 1 ? ($remote[0]{id} eq $ids ? 'the same' : "$remote[0]{id} and $ids") : $ids;
    return @remote . " remote, $count here, $same";
}

# SQL of the functions, and how things are when they have succeeded.
my $one = '1 remote, 1 here, the same';
my %function = (
    register   => sub { "SELECT remote_id FROM webhook_bridge.register_webhook('$_[0]{id}', '$_[0]{topic}', '$_[0]{id}')" },
    list       => sub { "SELECT remote_id FROM webhook_bridge.list_webhooks('$_[0]{id}')" },
    update     => sub { "SELECT remote_id FROM webhook_bridge.update_webhook((SELECT id FROM webhook_bridge.webhooks WHERE account = '$_[0]{id}'), label => 'other')" },
    deactivate => sub { "SELECT state FROM webhook_bridge.set_webhook_active((SELECT id FROM webhook_bridge.webhooks WHERE account = '$_[0]{id}'), false)" },
    activate   => sub { "SELECT state FROM webhook_bridge.set_webhook_active((SELECT id FROM webhook_bridge.webhooks WHERE account = '$_[0]{id}'), true)" },
    # what is not there any more needs no second call
    delete => sub { "SELECT webhook_bridge.delete_webhook(id) FROM webhook_bridge.webhooks WHERE account = '$_[0]{id}'" });

sub when_done
{
    my ($account, $function) = @_;
    return '0 remote, 0 here, '  if $function eq 'delete';
    return '0 remote, 1 here, '  if $function eq 'deactivate' && $switch{ $account->{provider} } eq 'delete';
    return $one;
}

# The operations of a function that faults are tried at: the one that it is for,
# and what is asked before.
sub operations
{
    my ($account, $function) = @_;
    my $provider = $account->{provider};
    my %of = (
        register   => [qw(list create)],
        list       => ['list'],
        update     => [ $get{$provider}, 'update' ],
        deactivate => [ $switch{$provider} ],
        activate   => [ $switch{$provider} eq 'delete' ? 'create' : $switch{$provider} ],
        delete     => ['delete']);
    return @{ $of{$function} };
}

# The faults, and what they are for one who has asked.
my %fault = (
    'status 500'    => { kind => 'status', status => 500, body => { message => "it's broken", error => 'Internal' } },
    'rate limit'    => { kind => 'rate_limit', retry_after => 60 },
    slow            => { kind => 'slow', ms => SLOW_MS },
    'no answer'     => { kind => 'hang' },
    reset           => { kind => 'reset' },
    lost            => { kind => 'lost' },
    truncated       => { kind => 'truncate' },
    'invalid JSON'  => { kind => 'invalid_json' },
    'page'          => { kind => 'html' },
    empty           => { kind => 'empty' },
    'bytes'         => { kind => 'bytes' },
    huge            => { kind => 'huge', bytes => 300_000 },
    'huge, unannounced' => { kind => 'huge', bytes => 300_000, announced => JSON::PP::false },
    redirect        => { kind => 'redirect', location => "http://127.0.0.1:$closed/elsewhere" });
my %state = (
    'status 500' => 'WB016', 'rate limit' => 'WB015', slow => 'WB002', 'no answer' => 'WB002', reset => 'WB001', lost => 'WB001',
    truncated => 'WB001', 'invalid JSON' => 'WB017', page => 'WB017', empty => 'WB017', bytes => 'WB004', huge => 'WB004',
    'huge, unannounced' => 'WB004', redirect => 'WB017');
my %time = (slow => TIMEOUT_MS, 'no answer' => TIMEOUT_MS, 'status 500' => RETRY_MS);
my %is_done = map { $_ => 1 } 'slow', 'lost', 'truncated', 'invalid JSON', 'page', 'empty', 'bytes', 'huge', 'huge, unannounced';
my @some = ('lost', 'page', 'status 500');
my %message = ('status 500' => qr/it's broken/, redirect => qr/A redirect, which is not followed/);

# The SQLSTATE of a call whose operation meets a fault every time.
sub expected
{
    my ($account, $function, $operation, $fault) = @_;
    # it is looked for, and found
    return '00000' if $operation eq 'create' && $is_done{$fault};
    # what the answer to a deletion says is documented nowhere; BLAZE's has no body, and so no half of it
    return '00000' if $operation eq 'delete' && $fault eq 'empty' && $account->{provider} ne 'api2cart';
    return '00000' if $operation eq 'delete' && $fault =~ /^(truncated|invalid JSON)$/ && $account->{provider} eq 'blaze';
    return $state{$fault};
}

sub check_error
{
    my ($account, $operation, $answer, $state, $name) = @_;
    my @wrong;
    push @wrong, "SQLSTATE $answer->{state} instead of $state" if $answer->{state} ne $state;
    if ($state ne '00000')
    {
        my $base = quotemeta $account->{base_url};
        my $asked = $operation eq 'list' ? '(?:list|get)' : $operation eq 'update' ? '(?:update|set_active)' : $operation;
        push @wrong, 'operation or URL' unless $answer->{detail} =~ m{^Operation "$asked", (?:GET|POST|PUT|DELETE) $base[^ ?]*[ :,]};
        push @wrong, 'status' if $state =~ /^WB01/ && $answer->{detail} !~ /, status \d{3}\./;
        push @wrong, 'hint' if $answer->{hint} eq '';
    }
    push @wrong, 'a secret' unless has_no_secret($answer->{all}, $name);
    ok(!@wrong, $name) or diag "wrong: @wrong\n$answer->{all}";
    return;
}

# How often an operation was asked for since the last reset.
sub asked
{
    my ($account, $operation) = @_;
    return scalar(() = $emulator->requests(provider => $account->{provider}, operation => $operation));
}

sub prepare
{
    my ($account, $function) = @_;
    look("DELETE FROM webhook_bridge.webhooks WHERE account = '$account->{id}'");
    $emulator->reset;
    return if $function eq 'register';
    my $made = try_sql($function{register}->($account));
    if ($function eq 'activate')
    {
        $made = try_sql($function{deactivate}->($account));
    }
    $made->{state} eq '00000' or BAIL_OUT("$account->{name}: $made->{all}");
    $emulator->control('DELETE', 'requests');
    return;
}

# ---------------------------------------------------------------------------
# Every fault
# ---------------------------------------------------------------------------

# What a second call of the same function does, when nothing is wrong any more.
sub succeeds_then
{
    my ($account, $function, $name) = @_;
    my $again = try_sql($function{$function}->($account));
    my $there = what_there_is($account);
    ok($again->{state} eq '00000' && $there eq when_done($account, $function), "$name: the next call succeeds, $there")
      or diag $again->{all};
    return;
}

sub every_fault
{
    my ($account) = @_;
    for my $function (qw(register list update deactivate activate delete))
    {
        for my $operation (operations($account, $function))
        {
            for my $fault ($account->{is_older} ? @some : sort keys %fault)
            {
                my $name = "$account->{name}, $function, $fault at $operation";
                prepare($account, $function);
                $emulator->fault(provider => $account->{provider}, operation => $operation, times => 0, %{ $fault{$fault} });
                my $answer = try_sql($function{$function}->($account), $time{$fault});
                my $expected = expected($account, $function, $operation, $fault);
                check_error($account, $operation, $answer, $expected, "$name: $expected");
                if ($expected ne '00000' && $message{$fault})
                {
                    like($answer->{detail}, $message{$fault}, "$name: the provider's words are told");
                }
                if ($expected eq 'WB015' && $account->{provider} ne 'api2cart')
                {
                    like($answer->{hint}, qr/60 seconds/, "$name: how long to wait is told");
                }
                cmp_ok(asked($account, $operation), '==', 1, "$name: asked once") if $operation =~ /^(create|update|set_active)$/;
                $emulator->no_faults;
                succeeds_then($account, $function, $name);
            }
        }
        # nobody there
        my $name = "$account->{name}, $function, connection refused";
        prepare($account, $function);
        my $elsewhere = $account->{base_url} =~ s/:\d+/:$closed/r;
        look("UPDATE webhook_bridge.accounts SET base_url = '$elsewhere' WHERE name = '$account->{id}'");
        my $answer = try_sql($function{$function}->($account));
        look("UPDATE webhook_bridge.accounts SET base_url = '$account->{base_url}' WHERE name = '$account->{id}'");
        is($answer->{state}, 'WB001', "$name: WB001") or diag $answer->{all};
        like($answer->{detail}, qr/^Operation "\w+", [A-Z]+ \Q$elsewhere\E[^ ?]*: /, "$name: operation and URL");
        has_no_secret($answer->{all}, $name);
        succeeds_then($account, $function, $name);
    }
    return;
}

# A fault that comes once: what is safe is tried again, and succeeds.
sub one_fault
{
    my ($account) = @_;
    my $limits = $account->{provider} ne 'api2cart';
    my @cases = (
        # function, operation, fault, SQLSTATE, requests of the operation
        [ 'list',   'list',   'reset',      '00000', 2 ],
        [ 'list',   'list',   'lost',       '00000', 2 ],
        [ 'list',   'list',   'truncated',  '00000', 2 ],
        [ 'list',   'list',   'status 500', '00000', 2 ],
        [ 'list',   'list',   'empty',      'WB017', 1 ],
        [ 'delete', 'delete', 'reset',      '00000', 2 ],
        [ 'delete', 'delete', 'lost',       '00000', 2 ],
        [ 'delete', 'delete', 'status 500', '00000', 2 ],
        [ 'register', 'create', 'reset',      'WB001', 1 ],
        [ 'register', 'create', 'lost',       '00000', 1 ],
        [ 'register', 'create', 'status 500', 'WB016', 1 ],
        [ 'register', 'list',   'reset',      '00000', 2 ],
        map { [ @$_, 'wait a second', $limits ? ('00000', 2) : ('WB015', 1) ] }
          [ 'list', 'list' ], [ 'register', 'create' ], [ 'delete', 'delete' ], [ 'deactivate', $switch{ $account->{provider} } ]);

    for my $case (@cases)
    {
        my ($function, $operation, $fault, $state, $requests) = @$case;
        # where nothing tells that a page is the last one, an empty one does
        $requests++ if $function eq 'list' && $state eq '00000' && $account->{name} =~ /^(api2cart|shoplazza 2022)/;
        my $name = "$account->{name}, $function, $fault once at $operation";
        prepare($account, $function);
        $emulator->fault(provider => $account->{provider}, operation => $operation,
            $fault eq 'wait a second' ? (kind => 'rate_limit', retry_after => 1) : %{ $fault{$fault} });
        my $begun = time;
        my $answer = try_sql($function{$function}->($account), 5000);
        check_error($account, $operation, $answer, $state, "$name: $state");
        is(asked($account, $operation), $requests, "$name: $requests requests");
        cmp_ok(time - $begun, '>=', 1, "$name: has waited") if $fault eq 'wait a second' && $limits;
        is(what_there_is($account), when_done($account, $function), "$name: as it shall be") if $state eq '00000';
        succeeds_then($account, $function, $name);
    }

    # created, but neither the answer nor what is there can be read
    prepare($account, 'register');
    $emulator->fault(provider => $account->{provider}, operation => 'create', kind => 'lost');
    $emulator->fault(provider => $account->{provider}, operation => 'list', skip => 1, times => 0, kind => 'reset');
    my $answer = try_sql($function{register}->($account));
    check_error($account, 'create', $answer, 'WB001', "$account->{name}: created, but nothing can be looked up: WB001");
    like($answer->{hint}, qr/look|created/, 'which warns that it may have been created') or diag $answer->{all};
    $emulator->no_faults;
    succeeds_then($account, 'register', "$account->{name}, created without knowing");
    is(asked($account, 'create'), 1, 'and creates nothing');
    return;
}

# What a provider says: a SQLSTATE for each kind, and nothing of it repeats a
# secret, even where the provider does.
sub every_word
{
    my ($account) = @_;
    my $echo  = join ' ', values %{ $credentials{ $account->{provider} } }, $account->{url};
    my @cases = (
        map({ [ @$_[ 0, 1 ], { kind => 'status', status => $_->[2], body => { message => "no way: $echo" } }, $_->[3] ] }
              [ list => list => 401 => 'WB011' ], [ list => list => 403 => 'WB011' ], [ update => $get{ $account->{provider} } => 404 => 'WB012' ],
              [ register => create => 409 => 'WB013' ], [ register => create => 422 => 'WB014' ], [ register => create => 400 => 'WB014' ],
              [ list => list => 418 => 'WB014' ], [ register => create => 503 => 'WB016' ]),
        [ list => list => { kind => 'html', status => 502 }, 'WB016' ],
        [ register => create => { kind => 'status', status => 422, body => { message => 'invalid', errors => { name => ['too long'] } } }, 'WB014' ]);
    if ($account->{provider} eq 'api2cart')
    {
        push @cases, map { [ list => list => { kind => 'return_code', code => $_->[0], message => "no way: $echo" }, $_->[1] ] }
          [ 2 => 'WB011' ], [ 101 => 'WB011' ], [ 112 => 'WB012' ], [ 109 => 'WB014' ], [ 7 => 'WB015' ], [ 10 => 'WB015' ],
          [ 1 => 'WB016' ], [ 9 => 'WB016' ], [ 105 => 'WB016' ], [ 999 => 'WB017' ];
        push @cases, [ register => create => { kind => 'return_code', code => 113, message => 'there' }, 'WB013' ];
    }
    for my $case (@cases)
    {
        my ($function, $operation, $fault, $state) = @$case;
        my $what = $fault->{code} // $fault->{status};
        my $name = "$account->{name}, $function, $fault->{kind} $what at $operation";
        prepare($account, $function);
        $emulator->fault(provider => $account->{provider}, operation => $operation, times => 0, %$fault);
        my $answer = try_sql($function{$function}->($account), $state eq 'WB016' ? RETRY_MS : ENOUGH_MS);
        check_error($account, $operation, $answer, $state, "$name: $state");
        like($answer->{detail}, qr/no way: .*\*\*\*/, "$name: told without secrets") if $json->encode($fault) =~ /no way/;
        like($answer->{detail}, qr/name: too long/, "$name: with the field") if $fault->{body} && $fault->{body}{errors};
        $emulator->no_faults;
        succeeds_then($account, $function, $name);
    }

    # a secret that a message is cut in, one that JSON has in another form
    for my $secret (values %{ $credentials{ $account->{provider} } })
    {
        $emulator->fault(provider => $account->{provider}, operation => 'list', kind => 'status', status => 401,
            body => { message => 'no way: ' . ('x' x (985 - length($secret))) . $secret . (' ' . substr($secret, 0, 1)) x 20 });
        my $answer = try_sql($function{list}->($account));
        like($answer->{detail}, qr/no way: x+\*\*\*/, "$account->{name}: a secret where the message is cut");
        my $part = substr $secret, 0, 8;
        unlike($answer->{detail}, qr/x\Q$part/, "$account->{name}: no part of it");
    }

    my ($out, $err) = $caller->("SET webhook_bridge.http_allow_insecure = off; SELECT webhook_bridge.list_webhooks('$account->{id}'); RESET webhook_bridge.http_allow_insecure");
    like($err, qr/^ERROR:  WB003: .*\nDETAIL:  Operation "list", GET \Q$account->{base_url}\E[^ ?]*: /, "$account->{name}, not HTTPS: WB003");
    has_no_secret($err, 'WB003');
    return;
}

# ---------------------------------------------------------------------------
# Rolled back
# ---------------------------------------------------------------------------

sub rolled_back
{
    my ($account) = @_;
    my $register = $function{register}->($account);
    my %way = (
        ROLLBACK => "BEGIN; $register; ROLLBACK",
        'an error later' => "BEGIN; $register; SELECT 1 / 0; COMMIT",
        'a failing COMMIT' => "BEGIN; INSERT INTO later SELECT; $register; COMMIT",
        'ROLLBACK TO' => "BEGIN; SAVEPOINT s; $register; ROLLBACK TO s; COMMIT",
        'a lost session' => "BEGIN; $register; SELECT pg_terminate_backend(pg_backend_pid())",
        # the same session, the same transaction
        'ROLLBACK TO, and again' => "BEGIN; SAVEPOINT s; $register; ROLLBACK TO s; $register; COMMIT");
    for my $way (sort keys %way)
    {
        my $name = "$account->{name}, $way";
        prepare($account, 'register');
        my $first = $way =~ /session/ ? { all => ($node->psql('postgres', $way{$way}))[2] } : try_sql($way{$way});
        my ($id) = map { $_->{id} } $emulator->webhooks($account->{provider});
        like(what_there_is($account), $way =~ /again/ ? qr/^1 remote, 1 here/ : qr/^1 remote, 0 here/, "$name: left at the provider") or diag $first->{all};
        my $again = try_sql($register);
        is($again->{out}, $id, "$name: adopted by the next call") or diag $again->{all};
        is(what_there_is($account), $one, "$name: one");
        is(asked($account, 'create'), 1, "$name: created once");
    }
    return;
}

# What was changed at the provider and rolled back here is put right by any next
# call, also one for the opposite.
sub changes_rolled_back
{
    my ($account) = @_;
    for my $pair ([qw(deactivate activate)], [qw(deactivate deactivate)], [qw(activate deactivate)], [qw(activate activate)],
        [qw(activate delete)], [qw(update update)], [qw(delete delete)], [qw(delete register)])
    {
        my ($lost, $next) = @$pair;
        my $name = "$account->{name}, $lost is rolled back, then $next";
        prepare($account, $lost);
        my $first = try_sql('BEGIN; ' . $function{$lost}->($account) . '; ROLLBACK');
        is($first->{state}, '00000', $name) or diag $first->{all};
        succeeds_then($account, $next, $name);
    }
    return;
}

# ---------------------------------------------------------------------------
# Calls that hang
# ---------------------------------------------------------------------------

# Starts psql whose call hangs, and returns { process, pid, out, err } when the
# provider has the request.
sub start_hanging
{
    my ($account, $function, %options) = @_;
    my %psql = (in => '', out => '', err => '');
    $psql{in} = <<"SQL";
\\set VERBOSITY verbose
SET webhook_bridge.http_timeout = '60s';
SELECT pg_backend_pid();
@{[ $options{first} // '' ]}
@{[ $function{$function}->($account) ]};
SELECT 'goes on';
SQL
    $psql{process} = IPC::Run::start(
        [ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
        '<', \$psql{in}, '>', \$psql{out}, '2>', \$psql{err}, IPC::Run::timeout(60));
    poll_until(sub { $psql{process}->pump_nb if $psql{process}->pumpable; $psql{out} =~ /^\d+$/m }, 'psql');
    ($psql{pid}) = $psql{out} =~ /^(\d+)$/m;
    poll_until(sub { $options{asleep} ? asleep($psql{pid}) : $emulator->overview->{open} == 1 }, 'the request to arrive');
    return \%psql;
}

sub asleep
{
    my ($pid) = @_;
    return look("SELECT wait_event FROM pg_stat_activity WHERE pid = $pid") eq 'PgSleep';
}

sub reacts_in_time
{
    my ($begun, $name) = @_;
    my $took = time - $begun;
    cmp_ok($took, '<', REACTION, "$name: in time");
    note sprintf '%s: %.0f ms', $name, 1000 * $took;
    my ($what) = $name =~ /, ([^,]+)$/;
    push @{ $reactions{$what} }, 1000 * $took;
    return;
}

sub hangs
{
    my ($account) = @_;
    for my $function (qw(list register delete))
    {
        my $operation = $function eq 'register' ? 'create' : $function;
        # a provider that does not answer, and one that has to be asked again later
        for my $kind (qw(hang later))
        {
            my @fault = $kind eq 'hang' ? (kind => 'hang') : (kind => 'rate_limit', retry_after => 50);
            next if $kind eq 'later' && ($account->{provider} eq 'api2cart' || $function ne 'register');
            my %options = (asleep => $kind eq 'later');
            my $begin = sub {
                my (%more) = @_;
                prepare($account, $function);
                $emulator->fault(provider => $account->{provider}, operation => $operation, times => 0, @fault);
                return start_hanging($account, $function, %options, %more);
            };
            my $end = sub {
                my ($psql, $begun, $name, $message, $goes_on) = @_;
                poll_until(sub { $psql->{process}->pump_nb if $psql->{process}->pumpable; $psql->{err} =~ $message }, "$name: $message");
                reacts_in_time($begun, $name);
                $psql->{process}->finish;
                my $closed = time;
                poll_until(sub { $emulator->overview->{open} == 0 }, 'the connection to be closed');
                cmp_ok(time - $closed, '<', REACTION, "$name: the provider's connection is closed");
                (($goes_on // 1) ? \&like : \&unlike)->($psql->{out}, qr/goes on/, "$name: the session");
                has_no_secret($psql->{err}, $name);
                $emulator->no_faults;
                succeeds_then($account, $function, $name);
            };
            my $name = "$account->{name}, $function, $kind";

            my $psql = $begin->();
            my $begun = time;
            $psql->{process}->signal('INT');
            $end->($psql, $begun, "$name, Ctrl-C", qr/57014: canceling statement due to user request/, 0);

            $psql = $begin->();
            $begun = time;
            look("SELECT pg_cancel_backend($psql->{pid})");
            $end->($psql, $begun, "$name, pg_cancel_backend", qr/57014: canceling statement due to user request/);

            $psql = $begin->(first => "SET statement_timeout = '500ms';");
            $begun = time;
            $end->($psql, $begun, "$name, statement_timeout", qr/57014: canceling statement due to statement timeout/);

            $psql = $begin->();
            look('CREATE DATABASE other');
            $begun = time;
            look('DROP DATABASE other');
            reacts_in_time($begun, "$name, DROP DATABASE of another");
            is(look("SELECT state FROM pg_stat_activity WHERE pid = $psql->{pid}"), 'active', "$name, DROP DATABASE: the call goes on");
            $begun = time;
            look("SELECT pg_terminate_backend($psql->{pid})");
            $end->($psql, $begun, "$name, pg_terminate_backend", qr/57P01: terminating connection due to administrator command/, 0);
        }
    }
    return;
}

# ---------------------------------------------------------------------------
# All of it
# ---------------------------------------------------------------------------

$bridge->sql(<<'SQL');
CREATE TABLE later (name text);
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'too late'; END $$;
CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail();
SQL

($caller, $observer) = (start_session(), start_session());
for my $account (@accounts)
{
    next if $ENV{TEST_ACCOUNT} && $account->{name} !~ /$ENV{TEST_ACCOUNT}/;
    my $begun = time;
    every_fault($account);
    note sprintf '%s, every fault: %.0f s', $account->{name}, time - $begun;
    every_word($account);
    one_fault($account);
    note sprintf '%s, one fault: %.0f s', $account->{name}, time - $begun;
    rolled_back($account);
    changes_rolled_back($account);
    note sprintf '%s, rolled back: %.0f s', $account->{name}, time - $begun;
    hangs($account) unless $account->{is_older};
    note sprintf '%s: %.0f s', $account->{name}, time - $begun;
}

$_->() for $caller, $observer;
for my $what (sort keys %reactions)
{
    my @took = sort { $a <=> $b } @{ $reactions{$what} };
    diag sprintf 'a call that hangs, %s: %d times, %.0f to %.0f ms', $what, scalar @took, @took[ 0, -1 ];
}

{
    my ($log) = $bridge->log_text($log_begin);
    unlike($log, qr/terminated by signal|PANIC|TRAP/, 'no process has crashed');
    my @shown = grep { my $line = $_; grep { index($line, $_) >= 0 } @secrets } split /\n/, $log;
    is_deeply(\@shown, [], 'no secret is in the log');
    like($log, qr/WB016/, 'which has the errors');
}

$bridge->stop;
$emulator->stop;
done_testing();
