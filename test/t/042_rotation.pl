# Secrets are rotated under load: no delivery is lost, refused or stored twice,
# and a secret that was retired or has expired is accepted never again.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use WebhookBridge;

my ($old, $new) = ('the old secret', 'the new secret');
my $senders = 24;

rotate($_) for 1, 2;
done_testing;

sub rotate
{
    my ($receivers) = @_;
    my $bridge = WebhookBridge->start("receivers_$receivers", conf => "webhook_bridge.receivers = $receivers");
    my $what   = $receivers == 1 ? 'one receiver' : "$receivers receivers";

    poll_until(
        sub { $bridge->count(q(webhook_bridge.status() WHERE state = 'listening')) == $receivers },
        "$receivers receivers");
    senders_switch($bridge, "$what, rotation");
    senders_are_late($bridge, "$what, too early");
    secret_expires($bridge, "$what, expiry");
    is($bridge->count('webhook_bridge.status() WHERE stored > 0'), $receivers, "$what: each had its share");
    is($bridge->status->{unavailable}, 0, "$what: nothing was answered 503");
    unlike(scalar $bridge->log_text, qr/WARNING|PANIC|ERROR/, "$what: nothing was said in the log");
    $bridge->stop;
    return;
}

# As it should be done: a new secret, the senders one after the other, and only
# then the old one is retired.
sub senders_switch
{
    my ($bridge, $what) = @_;

    $bridge->create_endpoint('shop', $old);
    my $storm = $bridge->storm(path => '/hooks/shop', secret => $old, next_secret => $new, connections => $senders);
    $storm->wait_for_acknowledged(500);
    $bridge->sql("SELECT webhook_bridge.add_secret('shop', '$new', 'new')");
    $storm->wait_for_more(100);
    for (1 .. $senders)
    {
        $storm->switch_one;
        $storm->wait_for_more(20);
    }
    is(all_refused($bridge, 'shop', 'wrong'), 1, "$what: meanwhile a third secret is refused");
    my $last = $bridge->sql(<<'SQL');
SELECT webhook_bridge.retire_secret('shop', 'default');
SELECT max(id) FROM webhook_bridge.events
SQL
    $last =~ s/\s//g;
    is(all_refused($bridge, 'shop', $old), 1, "$what: the old one is refused at once");
    $storm->wait_for_more(500);
    my $all = $storm->finish;

    is("$all->{refused} $all->{lost} $all->{switched}", "0 0 $senders", "$what: no delivery was refused or lost");
    each_is_stored_once($bridge, 'shop', $storm, $what);
    is($bridge->sql(q(SELECT string_agg(DISTINCT secret_label, ' ' ORDER BY secret_label) FROM webhook_bridge.events WHERE endpoint = 'shop')),
        'default new', "$what: both secrets were used");
    is($bridge->count("webhook_bridge.events WHERE id > $last AND secret_label = 'default'"),
        0, "$what: the old one never since it was retired");
    cmp_ok($bridge->count("webhook_bridge.events WHERE id > $last"), '>=', 400, "$what: while many more were stored");
    is($bridge->count(q(webhook_bridge.events WHERE NOT verified)), 0, "$what: all are verified");
    is($bridge->count(q(webhook_bridge.rejections WHERE headers ->> 'X-Mark' IS NULL)), 0, "$what: no delivery of the storm was rejected");
    return;
}

# As it should not be done: the old secret is retired while some still use it.
# They are refused from then on, and only they.
sub senders_are_late
{
    my ($bridge, $what) = @_;

    $bridge->create_endpoint('late', $old);
    $bridge->sql("SELECT webhook_bridge.add_secret('late', '$new', 'new')");
    my $late  = $bridge->storm(path => '/hooks/late', secret => $old, connections => $senders / 2);
    my $early = $bridge->storm(path => '/hooks/late', secret => $new, connections => $senders / 2, first => 1_000_000);
    $_->wait_for_acknowledged(300) for $late, $early;
    $bridge->sql(q(SELECT webhook_bridge.retire_secret('late', 'default')));
    my $retired = $bridge->sql('SELECT clock_timestamp()');
    is(all_refused($bridge, 'late', $old), 1, "$what: the old one is refused at once");
    poll_until(sub { $late->progress->{refused} > 300 }, 'the late ones to be refused');
    $early->wait_for_more(200);
    $_->finish for $late, $early;

    is($bridge->count("webhook_bridge.events WHERE secret_label = 'default' AND received_at > '$retired'"),
        0, "$what: nothing that is signed with it is stored since");
    is(stored_of_storm($bridge, 'late', 'default'), $late->progress->{acknowledged}, "$what: what was answered 200 was stored");
    is($early->progress->{refused}, 0, "$what: those who have switched are not refused");
    each_is_stored_once($bridge, 'late', $_, $what) for $late, $early;
    cmp_ok($bridge->count(q(webhook_bridge.rejections WHERE endpoint = 'late' AND reason = 'signature does not match')),
        '>', 0, "$what: rejections tell of the others");
    return;
}

# A secret expires in use, without any change in the tables.
sub secret_expires
{
    my ($bridge, $what) = @_;
    my $refused = sub { all_refused($bridge, 'brief', $old) };

    $bridge->create_endpoint('brief', $new);
    is($refused->(), 1, "$what: a secret that is not there");
    $bridge->sql("SELECT webhook_bridge.add_secret('brief', '$old', 'old', now() - interval '1 second')");
    is($refused->(), 1, "$what: a secret that has expired before");
    my $lasting = $bridge->storm(path => '/hooks/brief', secret => $new, connections => $senders / 2, first => 1_000_000);
    my $brief   = $bridge->storm(path => '/hooks/brief', secret => $old, connections => $senders / 2);
    poll_until(sub { ($brief->progress->{refused} // 0) > 50 }, 'the storm to begin');
    is($brief->progress->{acknowledged}, 0, "$what: and under load");

    # long enough to be used, however slow the machine: it is made longer until it was
    my $seconds = 1;
    poll_until(
        sub {
            $bridge->sql(<<"SQL");
UPDATE webhook_bridge.secrets SET expires_at = clock_timestamp() + interval '$seconds seconds' WHERE label = 'old'
SQL
            $seconds *= 2;
            poll_until($refused, 'the secret to expire', $seconds + $WebhookBridge::DEADLINE);
            return $brief->progress->{acknowledged} > 0;
        },
        'the secret to be used before it expires');
    my $before = $brief->progress->{refused};
    poll_until(sub { $brief->progress->{refused} > $before + 100 }, 'its users to be refused');
    $lasting->wait_for_more(100);
    $_->finish for $lasting, $brief;

    is($bridge->sql(q(SELECT clock_timestamp() >= expires_at FROM webhook_bridge.secrets WHERE label = 'old')), 't', "$what: not before its time");
    is(stored_of_storm($bridge, 'brief', 'old'), $brief->progress->{acknowledged}, "$what: what was answered 200 was stored");
    is($bridge->count(<<'SQL'), 0, "$what: nothing arrived after it");
webhook_bridge.events e JOIN webhook_bridge.secrets s ON s.endpoint = e.endpoint AND s.label = e.secret_label
WHERE e.received_at > s.expires_at
SQL
    is($lasting->progress->{refused}, 0, "$what: the other secret is not concerned");
    each_is_stored_once($bridge, 'brief', $_, $what) for $lasting, $brief;

    $bridge->sql(q(UPDATE webhook_bridge.secrets SET expires_at = NULL WHERE label = 'old'));
    is($refused->(), 0, "$what: a secret whose end was taken back");
    return;
}

# Whether a delivery is refused, by whichever receiver gets it: 1 if always, 0
# if never.
sub all_refused
{
    my ($bridge, $endpoint, $secret) = @_;
    my $body = '{"mark":1}';
    my @answers = map {
        $bridge->post("/hooks/$endpoint", $body, [ @{ ecomanager_headers($secret, $body) }, 'X-Mark' => 1 ])->{status}
    } 1 .. 8;
    return 1 if !grep { $_ != 401 } @answers;
    return 0 if !grep { $_ != 200 } @answers;
    return undef;    ## no critic: neither
}

# How many events there are of storms that signed with a secret.
sub stored_of_storm
{
    my ($bridge, $endpoint, $label) = @_;
    return $bridge->count(
        "webhook_bridge.events WHERE endpoint = '$endpoint' AND secret_label = '$label' AND payload ->> 'id' IS NOT NULL");
}

# Compares what a storm was answered with what is in the table.
sub each_is_stored_once
{
    my ($bridge, $endpoint, $storm, $what) = @_;
    my %stored;
    my ($twice, $missing, $extra) = (0, 0, 0);

    $stored{$_}++ for split /\n/, $bridge->sql(<<"SQL");
SELECT payload ->> 'id' FROM webhook_bridge.events WHERE endpoint = '$endpoint' AND payload ->> 'id' IS NOT NULL
SQL
    $twice = grep { $_ > 1 } values %stored;
    for my $line (split /\n/, slurp_file($storm->outcomes))
    {
        my ($id, $status) = split /\t/, $line;
        $missing++ if $status == 200 && !$stored{$id};
        $extra++   if $status != 200 && $stored{$id};
    }
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is("$missing $extra $twice", '0 0 0', "$what: what was answered 200 is stored, once, and nothing else");
}
