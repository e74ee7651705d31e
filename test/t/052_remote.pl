# Remote webhooks from SQL, the full circle at every provider: account, endpoint,
# register, receive, look, change, switch off and on, adopt, compare, delete.  The
# providers are the emulator's; see test/emulator/emulator.mjs.

use strict;
use warnings;

use JSON::PP;
use Test::More;

use Emulator;
use WebhookBridge;

# How the world reaches the receiver; deliveries are routed to it.
my $public   = 'https://hooks.example.com';
my $emulator = Emulator->start;
my $bridge   = WebhookBridge->start('remote', conf => <<"CONF");
webhook_bridge.public_url = '$public'
webhook_bridge.http_allow_insecure = on
CONF
my %settings = map { $_ => $emulator->overview->{providers}{$_}{settings} } qw(ecomanager api2cart ecwid blaze shoplazza);

# What a provider has and calls what: topic, other and third are topics, url and
# of_topic make members of its records, label is what it calls that, switch tells
# whether webhooks can be inactive, count whether it counts them, mutable whether a webhook's topic can be changed.
my %ecomanager = (
    provider    => 'ecomanager',
    credentials => { token => $settings{ecomanager}{token} },
    topic       => 'OrderCreated',
    other       => 'OrderDeleted',
    third       => 'OrderStatusChanged',
    source      => $settings{ecomanager}{source},
    url         => sub { (delivery_url => $_[0]) },
    of_topic    => sub { (event => $_[0]) },
    inactive    => { is_active => JSON::PP::false },
    label       => 'name',
    option      => [ headers => { 'X-Shop' => 'main' }, [ headers => [ { 'X-Shop' => 'other' } ] ] ],
    switch      => 1,
    mutable     => 1,
    topics      => 5,
);
my %api2cart = (
    provider    => 'api2cart',
    credentials => { api_key => $settings{api2cart}{api_key}, store_key => $settings{api2cart}{store_keys}[0] },
    topic       => 'order.add',
    other       => 'order.update',
    third       => 'product.delete',
    source      => '1',
    url         => sub { (callback => $_[0]) },
    of_topic    => sub { my ($entity, $action) = split /\./, $_[0]; (entity => $entity, action => $action) },
    inactive    => { active => JSON::PP::false },
    label       => 'label',
    option      => [ fields => 'id,total', [ fields => 'id' ] ],
    switch      => 1,
    count       => 1,
    topics      => 12,
);
my %blaze = (
    provider    => 'blaze',
    credentials => { partner_key => $settings{blaze}{partner_key}, developer_key => $settings{blaze}{developer_key} },
    topic       => 'NEW_MEMBER',
    other       => 'UPDATE_MEMBER',
    third       => 'UPDATE_PRODUCT',
    source      => '',
    url         => sub { (webHookUrls => [ $_[0] ]) },
    of_topic    => sub { (webHookType => $_[0]) },
    # nothing of a delivery tells its topic, and here the endpoint is for several
    stored      => '',
    option      => [ shopId => 'shop-1', [ shopId => 'shop-2' ] ],
    mutable     => 1,
    topics      => 11,
);
my %shoplazza = (
    provider    => 'shoplazza',
    credentials => { access_token => $settings{shoplazza}{access_token}, client_secret => $settings{shoplazza}{client_secret} },
    topic       => 'orders/create',
    other       => 'orders/paid',
    third       => 'products/update',
    source      => $settings{shoplazza}{shop_domain},
    url         => sub { (address => $_[0]) },
    of_topic    => sub { (topic => $_[0]) },
    count       => 1,
    mutable     => 1,
    topics      => 34,
);
my @cases = (
    { %ecomanager, account => 'ecomanager' },
    { %api2cart,   account => 'api2cart 1.0' },
    { %api2cart,   account => 'api2cart 1.1' },
    { %blaze,      account => 'blaze' },
    { %shoplazza,  account => 'shoplazza 2022-01' },
    { %shoplazza,  account => 'shoplazza 2025-06' });

for my $case (@cases)
{
    ($case->{name} = $case->{account}) =~ tr/ ./-_/;
    fresh_emulator();
    subtest $case->{account} => sub { circle($case) };
}
fresh_emulator();
subtest 'ecomanager, what is its own' => \&ecomanager_only;
fresh_emulator();
subtest 'api2cart, what is its own' => sub { api2cart_only($_) for '1.0', '1.1' };
fresh_emulator();
subtest 'blaze, what is its own' => \&blaze_only;
fresh_emulator();
subtest 'shoplazza, what is its own' => \&shoplazza_only;
fresh_emulator();
subtest 'ecwid' => \&ecwid;
for my $case (@cases)
{
    fresh_emulator();
    subtest "$case->{account}, a long list" => sub { long_list($case) };
}

# Statements are in the log because the tests' servers log them.
my @messages = grep { /(?:ERROR|DETAIL|HINT|CONTEXT|WARNING|NOTICE|FATAL|PANIC):  / } split /\n/, $bridge->log_text;
ok(scalar(grep { /does not have this webhook/ } @messages), 'the log has the errors');
my @secrets = map { values %{ $_->{credentials} } } @cases;
is_deeply([ grep { my $line = $_; grep { index($line, $_) >= 0 } @secrets } @messages ], [], 'and no credentials');
is_deeply([ grep { /FATAL|PANIC|internal error|cache lookup/ } @messages ], [], 'nor what nobody meant');

$bridge->stop;
$emulator->stop;
done_testing();

# ---------------------------------------------------------------------------
# The circle
# ---------------------------------------------------------------------------

sub circle
{
    my ($case) = @_;
    create($case);
    register($case);
    receive($case, $case->{topic}, 'registered');
    look($case);
    update($case);
    switch_off_and_on($case);
    gone($case);
    moved($case);
    adopt($case);
    compare($case);
    remove($case);
    return;
}

# The account, and an endpoint of it that needs no secret: it is the account's, or
# made at random.
sub create
{
    my ($case) = @_;
    my $name = $case->{name};
    is_deeply(create_account($case), { name => $name, provider => $case->{provider}, base_url => $emulator->url($case->{account}) },
        'an account');

    my $mark = mark();
    is(error_of("BEGIN; SELECT webhook_bridge.create_endpoint('$name', '$case->{provider}', account => '$name'"
              . ($case->{endpoint} // '') . "); SELECT webhook_bridge.register_webhook('$name', '$case->{topic}', '$name')"),
        '55000', 'an endpoint that is not committed');
    is(operations_since($mark), '', 'sends nothing');
    create_endpoint($case);
    is($bridge->sql("SELECT account FROM webhook_bridge.endpoints WHERE name = '$name'"), $name, 'an endpoint of the account');
    return;
}

sub register
{
    my ($case) = @_;
    my ($name, $topic) = @$case{qw(name topic)};
    my $function = "webhook_bridge.register_webhook('$name', '$topic', '$name')";

    $bridge->sql("BEGIN; SELECT $function; ROLLBACK");
    my ($remote, @more) = $emulator->webhooks($case->{provider});
    ok($remote && !@more, 'register, rolled back: one remote webhook');
    is($bridge->count('webhook_bridge.webhooks WHERE account = ' . "'$name'"), 0, 'and none here');

    my $webhook = row($function);
    my %expected = (
        account      => $name,
        endpoint     => $name,
        topic        => $topic,
        remote_id    => "$remote->{id}",
        delivery_url => masked($case),
        label        => $case->{label} ? $name : undef,
        active       => JSON::PP::true,
        state        => 'active');
    is_deeply({ map { $_ => $webhook->{$_} } keys %expected }, \%expected, 'register: the webhook is adopted');
    like($webhook->{id}, qr/^\d+$/, 'and known here');
    is(row($function)->{id}, $webhook->{id}, 'register again: it is the same');
    is(scalar $emulator->webhooks($case->{provider}), 1, 'and the only one');
    is(known($webhook->{id}), join('|', $topic, $name, 't', $remote->{id}, 'active', 't'), 'what is kept of it');

    if ($case->{label})
    {
        is(row("webhook_bridge.register_webhook('$name', '$topic', '$name', label => 'Second')")->{label}, 'Second', 'register with another label');
        is(($emulator->webhooks($case->{provider}))[0]{record}{ $case->{label} }, 'Second', 'which is told');
        row("webhook_bridge.register_webhook('$name', '$topic', '$name', label => '$name')");
    }

    $emulator->remove($case->{provider}, $remote->{id});
    isnt(($webhook = row($function))->{remote_id}, $remote->{id}, 'register, when it is gone: another one');
    is(scalar $emulator->webhooks($case->{provider}), 1, 'one');
    @$case{qw(id remote_id)} = @$webhook{qw(id remote_id)};
    is($emulator->overview->{providers}{ $case->{provider} }{webhooks}, 1, 'exactly');
    is($bridge->count("webhook_bridge.webhooks WHERE account = '$name'"), 1, 'here and there');
    return;
}

# An event of a topic is received, verified and stored, once.
sub receive
{
    my ($case, $topic, $name) = @_;
    my $last = $bridge->sql("SELECT coalesce(max(id), 0) FROM webhook_bridge.events");
    my ($delivery, @more) = $emulator->fire(provider => $case->{provider}, topic => $topic);
    is(scalar @more, 0, "$name: one delivery");
    is($delivery && $delivery->{state}, 'delivered', "$name: taken");
    is($bridge->sql("SELECT endpoint, topic, source, verified, secret_label, body IS NULL FROM (
            SELECT e.*, nullif(webhook_bridge.event_body(e), '') AS body FROM webhook_bridge.events e) e WHERE id > $last"),
        join('|', $case->{name}, $case->{stored} // $topic, $case->{source}, 't', 'default', 'f'), "$name: stored");
    return;
}

sub look
{
    my ($case) = @_;
    my ($name, $topic, $id, $remote_id, $provider) = @$case{qw(name topic id remote_id provider)};
    my $mine = "$name|$topic|$remote_id";
    my @seeded = map { $emulator->seed($provider, 1, $case->{url}->("https://elsewhere.example/$_"),
            $case->{of_topic}->($case->{other})) } 1 .. 3;
    $emulator->change($provider, $seeded[2], %{ $case->{inactive} }) if $case->{switch};
    $case->{seeded} = \@seeded;

    is(listed($case, '{}'), join("\n", sort $mine, map { "|$case->{other}|$_" } @seeded), 'list: all');
    is(listed($case, qq({"topic": "$topic"})), $mine, 'list: of a topic');
    is(listed($case, '{"topic": "no.thing"}'), '', 'list: of a topic that no webhook has');
    is(listed($case, qq({"topic": "$case->{other}", "delivery_url": "https://elsewhere.example/2"})),
        "|$case->{other}|$seeded[1]", 'list: of a topic and a URL');
    is(listed($case, json_of(delivery_url => $bridge->sql("SELECT webhook_bridge.delivery_url('$name')"))), $mine, 'list: of an endpoint');
    is(listed($case, '{"active": false}'), $case->{switch} ? "|$case->{other}|$seeded[2]" : '', 'list: inactive ones');
    is(listed($case, json_of(label => $name)), $mine, 'list: of a label') if $case->{label};
    is(listed($case, json_of(ids => [ $seeded[0], $remote_id ])), join("\n", sort $mine, "|$case->{other}|$seeded[0]"), 'list: of ids')
      if $case->{label};
    my $mark = mark();
    is(error_of("SELECT webhook_bridge.list_webhooks('$name', '{\"colour\": \"red\"}')"), '22023', 'list: a filter that is none');
    is(operations_since($mark), '', 'sends nothing');

    for my $filter ('{"active": "maybe"}', '{"topic": ["x"]}', '{"delivery_url": 1}')
    {
        is(error_of("SELECT webhook_bridge.$_('$name', '$filter')"), '22023', "$_: no such filter: $filter")
          for 'list_webhooks', 'count_webhooks';
    }
    is(operations_since($mark), '', 'sends nothing');

    my $webhook = row("webhook_bridge.get_webhook('$name', '$remote_id')");
    is(join('|', @$webhook{qw(id endpoint topic remote_id delivery_url active)}),
        join('|', $id, $name, $topic, $remote_id, masked($case), 1), 'get');
    is($webhook->{raw}{id}, $remote_id, 'get: what the provider has said');
    like($webhook->{created_at}, qr/^20\d\d-/, 'get: when it was created');
    shows_no_secret($case, json_of(%$webhook), 'get');
    $webhook = row("webhook_bridge.get_webhook('$name', '$seeded[0]')");
    is_deeply([ @$webhook{qw(id endpoint)} ], [ undef, undef ], 'get: one that is not known here');
    is(error_of("SELECT webhook_bridge.get_webhook('$name', '987654321')"), 'WB012', 'get: one that is not there');

    $mark = mark();
    is($bridge->sql("SELECT webhook_bridge.count_webhooks('$name')"), 4, 'count');
    is(operations_since($mark), $case->{count} ? 'count' : 'list', 'as the provider does');
    is($bridge->sql(qq(SELECT webhook_bridge.count_webhooks('$name', '{"topic": "$case->{other}"}'))), 3, 'count: of a topic');
    is($bridge->sql(qq(SELECT webhook_bridge.count_webhooks('$name', '{"active": true}'))), $case->{switch} ? 3 : 4, 'count: active ones');
    is($bridge->sql(qq(SELECT webhook_bridge.count_webhooks('$name', '{"topic": "$topic", "delivery_url": "https://elsewhere.example/1"}'))),
        0, 'count: of a topic and a URL');

    is($bridge->sql("SELECT count(*), count(*) FILTER (WHERE topic = '$topic') FROM webhook_bridge.list_topics('$name')"),
        "$case->{topics}|1", 'topics');
    is(error_of("SELECT * FROM webhook_bridge.list_failed_deliveries('$name')"), $provider eq 'api2cart' ? '' : '0A000', 'failed deliveries');
    return;
}

sub update
{
    my ($case) = @_;
    my ($name, $id, $remote_id, $provider) = @$case{qw(name id remote_id provider)};

    my $webhook = row("webhook_bridge.update_webhook($id, label => 'Other name')");
    is($webhook->{label}, 'Other name', 'update: the label');
    is($bridge->sql("SELECT label FROM webhook_bridge.webhooks WHERE id = $id"), 'Other name', 'kept');
    is(row("webhook_bridge.get_webhook('$name', '$remote_id')")->{label}, 'Other name', 'and there');
    is(join('|', @$webhook{qw(id topic remote_id delivery_url state)}),
        join('|', $id, $case->{topic}, $remote_id, masked($case), 'active'), 'update: the rest stays');
    shows_no_secret($case, json_of(%$webhook), 'update');

    my $mark = mark();
    my $change = "webhook_bridge.update_webhook($id, topic => '$case->{third}')";
    if ($case->{mutable})
    {
        is(row($change)->{topic}, $case->{third}, 'update: the topic');
        is(remote($case, $remote_id)->{topic}, $case->{third}, 'there');
        is(known($id), join('|', $case->{third}, $name, 't', $remote_id, 'active', 't'), 'and here');
        receive($case, $case->{third}, 'update');
        is(row("webhook_bridge.update_webhook($id, topic => '$case->{topic}')")->{topic}, $case->{topic}, 'update: and back');
    }
    else
    {
        is(error_of("SELECT $change"), '22023', 'update: a topic that cannot be changed');
        is(operations_since($mark), '', 'sends nothing');
        is(known($id), join('|', $case->{topic}, $name, 't', $remote_id, 'active', 't'), 'and changes nothing');
    }

    # the other endpoint has the provider's own name
    my $other = "$name-2";
    create_endpoint($case, $other);
    $webhook = row("webhook_bridge.update_webhook($id, endpoint => '$other')");
    is(join('|', @$webhook{qw(id endpoint delivery_url)}), join('|', $id, $other, masked($case, $other)), 'update: the endpoint');
    receive({ %$case, name => $other }, $case->{topic}, 'update of the endpoint');
    is(row("webhook_bridge.update_webhook($id, endpoint => '$name')")->{endpoint}, $name, 'update: and back');
    $bridge->sql("SELECT webhook_bridge.drop_endpoint('$other')");
    receive($case, $case->{topic}, 'update and back');

    $mark = mark();
    is(error_of(qq(SELECT webhook_bridge.update_webhook($id, options => '{"colour": "red"}'))), '22023', 'update: an option that is none');
    is(operations_since($mark), '', 'sends nothing');
    is(error_of('SELECT webhook_bridge.update_webhook(987654321)'), '42704', 'update: one that is not known');
    return;
}

sub switch_off_and_on
{
    my ($case) = @_;
    my ($name, $id, $provider) = @$case{qw(name id provider)};

    for my $time ('first', 'second')
    {
        my $webhook = row("webhook_bridge.set_webhook_active($id, false)");
        is(join('|', @$webhook{qw(id active state)}), join('|', $id, JSON::PP::false, 'inactive'), "off, $time time");
        is(scalar $emulator->fire(provider => $provider, topic => $case->{topic}), 0, 'nothing is delivered');
        is($bridge->sql("SELECT desired_active, remote_state FROM webhook_bridge.webhooks WHERE id = $id"), 'f|inactive', 'known here');
        is(listed($case, qq({"topic": "$case->{topic}", "active": true})), '', 'and there');
    }
    for my $time ('first', 'second')
    {
        my $webhook = row("webhook_bridge.set_webhook_active($id, true)");
        is(join('|', @$webhook{qw(id active state)}), join('|', $id, JSON::PP::true, 'active'), "on, $time time");
        $case->{remote_id} = $webhook->{remote_id};
        is(known($id), join('|', $case->{topic}, $name, 't', $case->{remote_id}, 'active', 't'), 'known here');
        is(listed($case, qq({"topic": "$case->{topic}"})), "$name|$case->{topic}|$case->{remote_id}", 'and there, once');
    }
    receive($case, $case->{topic}, 'on again');
    is(row("webhook_bridge.update_webhook($id, label => 'Last', active => false)")->{state}, 'inactive', 'off by an update');
    is(scalar $emulator->fire(provider => $provider, topic => $case->{topic}), 0, 'nothing is delivered');
    my $off = row(qq(webhook_bridge.update_webhook($id, label => 'Last')));
    is(join('|', @$off{qw(id topic endpoint state)}), join('|', $id, $case->{topic}, $name, 'inactive'), 'an update while it is off');
    my $mark = mark();
    is(error_of(qq(SELECT webhook_bridge.update_webhook($id, options => '{"colour": "red"}'))), '22023', 'refused as it is otherwise');
    is(operations_since($mark), '', 'sends nothing');
    $case->{remote_id} = row("webhook_bridge.set_webhook_active($id, true)")->{remote_id};
    is(remote($case, $case->{remote_id})->{record}{ $case->{label} }, 'Last', 'on, with its label') if $case->{label};
    is(error_of("SELECT webhook_bridge.set_webhook_active($id, NULL)"), '22004', 'neither on nor off');
    is(error_of('SELECT webhook_bridge.set_webhook_active(987654321, true)'), '42704', 'on: one that is not known');
    return;
}

# Gone at the provider, whoever did it.
sub gone
{
    my ($case) = @_;
    my ($name, $id, $provider, $topic) = @$case{qw(name id provider topic)};

    $emulator->remove($provider, $case->{remote_id});
    is(error_of("SELECT webhook_bridge.update_webhook($id, label => 'x')"), 'WB012', 'gone: an update says so');
    is(row("webhook_bridge.set_webhook_active($id, false)")->{state}, 'inactive', 'gone: off');
    is(known($id), "$topic|$name|f||inactive|t", 'gone: known here');
    is(row("webhook_bridge.register_webhook('$name', '$topic', '$name')")->{active}, JSON::PP::false,
        'registered again: the switch stays as it is');
    is(scalar(grep { $_->{active} && $_->{topic} eq $topic } $emulator->webhooks($provider)), 0, 'there, too');
    $emulator->remove($provider, $_->{id}) for grep { $_->{topic} eq $topic && !$_->{record}{deleted} } $emulator->webhooks($provider);
    my $webhook = row("webhook_bridge.set_webhook_active($id, true)");
    is($webhook->{state}, 'active', 'gone: on');
    $case->{remote_id} = $webhook->{remote_id};
    is(listed($case, qq({"topic": "$topic"})), "$name|$topic|$case->{remote_id}", 'gone: there again, once');
    receive($case, $topic, 'gone and on');

    # an answer that says nothing
    $emulator->remove($provider, $case->{remote_id});
    my $nothing = { ecomanager => { data => {} }, api2cart => { return_code => 0, result => {} }, blaze => { id => 'x', deleted => JSON::PP::true },
        shoplazza => { webhook => {} } }->{$provider};
    $emulator->fault(provider => $provider, operation => 'create', kind => 'status', status => 200, body => $nothing);
    is(error_of("SELECT webhook_bridge.register_webhook('$name', '$topic', '$name')"), 'WB017', 'created, says the answer, but not what');
    is($case->{remote_id} = row("webhook_bridge.register_webhook('$name', '$topic', '$name')")->{remote_id},
        remote_ids($case)->{$topic}, 'the next call makes it');
    return;
}

# The delivery URL is another one: its path, and where it has one, its token.
sub moved
{
    my ($case) = @_;
    my ($name, $id, $provider, $topic) = @$case{qw(name id provider topic)};
    my $register = "webhook_bridge.register_webhook('$name', '$topic', '$name')";

    $bridge->sql("UPDATE webhook_bridge.endpoints SET path = '/moved/$name' WHERE name = '$name'");
    my $webhook = row($register);
    is($webhook->{remote_id}, $case->{remote_id}, 'moved: the same webhook');
    like($webhook->{delivery_url}, qr{^\Q$public/moved/$name\E}, 'moved: with its URL');
    is(scalar(grep { $_->{topic} eq $topic && !$_->{record}{deleted} } $emulator->webhooks($provider)), 1, 'moved: one');
    receive($case, $topic, 'moved');
    $bridge->sql("UPDATE webhook_bridge.endpoints SET path = '/hooks/$name' WHERE name = '$name'");
    row("webhook_bridge.update_webhook($id)");
    receive($case, $topic, 'moved back by an update');

    # secrets that are the webhook's follow
    if ($provider =~ /ecomanager|blaze/)
    {
        $bridge->sql("SELECT webhook_bridge.add_secret('$name', 'another-secret', label => 'next')");
        is(row($register)->{remote_id}, $case->{remote_id}, 'another secret: the same webhook');
        is(scalar(grep { $_->{topic} eq $topic && !$_->{record}{deleted} } $emulator->webhooks($provider)), 1, 'another secret: one');
        $bridge->sql("SELECT webhook_bridge.retire_secret('$name', 'default')");
        my ($delivery) = $emulator->fire(provider => $provider, topic => $topic);
        is($delivery->{state}, 'delivered', 'another secret: is used');
        $bridge->sql("UPDATE webhook_bridge.secrets SET label = 'default' WHERE endpoint = '$name'");
    }
    return;
}

sub adopt
{
    my ($case) = @_;
    my ($name, $provider) = @$case{qw(name provider)};
    my $remote_id = shift @{ $case->{seeded} };

    my $webhook = row("webhook_bridge.adopt_webhook('$name', '$remote_id', '$name')");
    is(join('|', @$webhook{qw(endpoint topic remote_id delivery_url state)}),
        join('|', $name, $case->{other}, $remote_id, masked($case), 'active'), 'adopt');
    is(row("webhook_bridge.adopt_webhook('$name', '$remote_id', '$name')")->{id}, $webhook->{id}, 'adopt again: the same');
    $emulator->remove($provider, $_) for grep { !$case->{switch} } @{ $case->{seeded} };
    $emulator->remove($provider, $case->{seeded}[0]) if $case->{switch};
    receive($case, $case->{other}, 'adopted');
    is(error_of("SELECT webhook_bridge.adopt_webhook('$name', '987654321', '$name')"), 'WB012', 'adopt: one that is not there');
    is(error_of("SELECT webhook_bridge.adopt_webhook('$name', '$remote_id', 'nowhere')"), '42704', 'adopt: no endpoint');
    is($bridge->count("webhook_bridge.webhooks WHERE account = '$name'"), 2, 'adopted, both');
    @$case{qw(id_2 remote_id_2)} = @$webhook{qw(id remote_id)};

    # what would leave two of the same, or one in two places
    my $mark = mark();
    is(error_of("SELECT webhook_bridge.update_webhook($case->{id_2}, topic => '$case->{topic}')"), '55006', 'update: what there is already');
    is(operations_since($mark), '', 'sends nothing');
    my ($double) = $emulator->seed($provider, 1, $case->{url}->('https://elsewhere.example/double'), $case->{of_topic}->($case->{topic}));
    create_endpoint($case, "$name-2");
    my $before = json_of(map { $_->{id} => $_->{urls}[0] } $emulator->webhooks($provider));
    is(error_of("SELECT webhook_bridge.adopt_webhook('$name', '$double', '$name')"), '55006', 'adopt: a second one of a topic');
    is(error_of("SELECT webhook_bridge.adopt_webhook('$name', '$remote_id', '$name-2')"), '55006', 'adopt: one that has another endpoint');
    is(json_of(map { $_->{id} => $_->{urls}[0] } $emulator->webhooks($provider)), $before, 'changes nothing');
    $emulator->remove($provider, $double);
    $bridge->sql("SELECT webhook_bridge.drop_endpoint('$name-2')");
    return;
}

# What differs, is shown, and repaired if asked.
sub compare
{
    my ($case) = @_;
    my ($name, $provider) = @$case{qw(name provider)};
    my $url = $bridge->sql("SELECT webhook_bridge.delivery_url('$name')");
    my $anew = sub {
        return $emulator->seed($provider, 1, $case->{url}->($url), $case->{of_topic}->($case->{third}),
            $provider eq 'ecomanager' ? (secret => 'another') : ());
    };
    my ($seeded) = $emulator->seed($provider, 1, $case->{url}->('https://elsewhere.example/'), $case->{of_topic}->($case->{other}));
    $emulator->remove($provider, $case->{seeded}[1]) if $case->{switch};

    my $stranger = "|$case->{other}|$seeded|not known here|";
    my $one = "$name|$case->{topic}|$case->{remote_id}";
    my $two = "$name|$case->{other}|$case->{remote_id_2}";
    is(differences($case), join("\n", "$one||", "$two||", $stranger), 'sync: nothing differs');
    my $actual = (compared($case))[2]{actual};
    is_deeply([ @$actual{qw(delivery_url active)} ], [ 'https://elsewhere.example/', JSON::PP::true ], 'sync: where it delivers');

    # behind our back
    $emulator->change($provider, $case->{remote_id}, $case->{url}->('https://elsewhere.example/mine'));
    $emulator->remove($provider, $case->{remote_id_2});
    my ($ours) = $anew->();
    my $mark = mark();
    my @differences = ("$one|changed|", "$two|missing|", $stranger, "$name|$case->{third}|$ours|not known here|");
    is(differences($case), join("\n", @differences), 'sync: what differs');
    like(operations_since($mark), qr/^list( list)*$/, 'sync: looks, and no more');
    my ($changed) = compared($case);
    is_deeply([ @$changed{qw(wanted actual)} ],
        [ { delivery_url => masked($case) }, { delivery_url => 'https://elsewhere.example/mine' } ], 'sync: and how');
    is(differences($case), join("\n", @differences), 'sync: changes nothing');

    my $repaired = differences($case, ', repair => true');
    my $new = remote_ids($case)->{ $case->{other} } // '';
    $differences[0] .= 't';
    $differences[1] = "$name|$case->{other}|$new|missing|t";
    $differences[3] .= 't';
    is($repaired, join("\n", @differences[ 0, 1, 3, 2 ]), 'sync: repaired');
    my $well = join("\n", "$one||", "$name|$case->{other}|$new||", "$name|$case->{third}|$ours||", $stranger);
    is(differences($case), $well, 'sync: and well again');
    is(differences($case, ', repair => true'), $well, 'sync: nothing to repair');
    $emulator->remove($provider, $seeded);
    receive($case, $case->{$_}, "repaired, $_ topic") for qw(topic other third);

    # of the webhook that was adopted
    my $repair = sub {
        my ($what, $wanted, $actual) = @_;
        my $row = (compared($case))[2];
        is("$row->{difference} " . json_of(map { $_ => $row->{wanted}{$_} } keys %$wanted), 'changed ' . json_of(%$wanted), "sync: $what, wanted");
        is(json_of(map { $_ => $row->{actual}{$_} } keys %$actual), json_of(%$actual), "sync: $what, actual");
        is(((compared($case, ', repair => true'))[2])->{repaired}, JSON::PP::true, "sync: $what, repaired");
        is(((compared($case))[2])->{difference}, undef, "sync: $what, well again");
        receive($case, $case->{third}, $what);
        return;
    };

    # somebody has made it anew
    $emulator->remove($provider, $ours);
    my ($other) = $anew->();
    $repair->('another id', { remote_id => "$ours" }, { remote_id => "$other" });
    $ours = $other;

    # one more that delivers the same, which would arrive twice
    my ($double) = $anew->();
    $differences[2] = "$name|$case->{third}|$ours||";
    $differences[3] = "$name|$case->{third}|$double|duplicate|";
    is((split /\n/, differences($case))[3], $differences[3], 'sync: a duplicate');
    is((split /\n/, differences($case, ', repair => true'))[3], "$differences[3]t", 'sync: removed');
    is_deeply(remote($case, $double), undef, 'sync: there') unless $provider eq 'blaze';
    receive($case, $case->{third}, 'without a duplicate');

    if ($case->{switch})
    {
        $emulator->change($provider, $ours, %{ $case->{inactive} });
        $repair->('not active', { active => JSON::PP::true }, { active => JSON::PP::false });
    }
    if ($case->{label})
    {
        my $label = row("webhook_bridge.get_webhook('$name', '$ours')")->{label};
        $emulator->change($provider, $ours, $case->{label} => 'Renamed');
        $repair->('another label', { label => $label }, { label => 'Renamed' });
    }
    if ($case->{option})
    {
        my ($option, $wanted, $actual) = @{ $case->{option} };
        my $id = (compared($case))[2]{id};
        row("webhook_bridge.update_webhook($id, options => '" . json_of($option => $wanted) . "')");
        is(json_of(%{ row("webhook_bridge.get_webhook('$name', '$ours')")->{options} }{$option}), json_of($option => $wanted), 'options as they were given');
        $emulator->change($provider, $ours, @$actual);
        $repair->('another option', { options => { $option => $wanted } }, {});
    }
    $emulator->change($provider, $ours, $case->{of_topic}->($case->{mutable} ? 'NOTHING' : 'nothing.add'));
    if ($case->{mutable})
    {
        $repair->('another topic', { topic => $case->{third} }, { topic => 'NOTHING' });
    }
    else
    {
        # what cannot be repaired is told, and does not keep the others from it
        $emulator->change($provider, $case->{remote_id}, $case->{url}->('https://elsewhere.example/again'));
        my @rows = compared($case, ', repair => true');
        is(join('|', @rows[ 0, 2 ] ? map { $_->{repaired} } @rows[ 0, 2 ] : ()), '1|0', 'sync: a topic that cannot be changed');
        like($rows[2]{error}, qr/^22023: invalid value of "topic"\. API2Cart cannot change/, 'sync: which is told');
        receive($case, $case->{topic}, 'repaired beside it');
        $emulator->change($provider, $ours, $case->{of_topic}->($case->{third}));
    }

    # what has to do with the account ends it
    $emulator->change($provider, $case->{remote_id}, $case->{url}->('https://elsewhere.example/mine'));
    $emulator->fault(provider => $provider, operation => 'update', times => 0, kind => 'status', status => 401);
    is(error_of("SELECT * FROM webhook_bridge.sync_webhooks('$name', repair => true)"), 'WB011', 'sync: not authorized');
    $emulator->no_faults;
    is((split /\n/, differences($case, ', repair => true'))[0], "$one|changed|t", 'sync: again');
    return;
}

sub remove
{
    my ($case) = @_;
    my ($name, $id, $provider) = @$case{qw(name id provider)};
    my $remote_id = $case->{remote_id};

    is(error_of("SELECT webhook_bridge.drop_account('$name')"),  '55006', 'drop_account: in use');
    is(error_of("SELECT webhook_bridge.drop_endpoint('$name')"), '55006', 'drop_endpoint: in use');
    is(error_of("SELECT webhook_bridge.delete_webhook($id)"), '', 'delete');
    ok(!grep({ $_->{id} eq $remote_id && $_->{active} } $emulator->webhooks($provider)), 'gone there');
    is(scalar $emulator->fire(provider => $provider, topic => $case->{topic}), 0, 'nothing is delivered');
    is(error_of("SELECT webhook_bridge.get_webhook('$name', '$remote_id')"), 'WB012', 'get says so');
    is(error_of("SELECT webhook_bridge.delete_webhook($id)"), '42704', 'delete again says so');

    # one that somebody else has deleted
    $emulator->remove($provider, remote_ids($case)->{ $case->{other} });
    is(error_of("SELECT webhook_bridge.delete_webhook($case->{id_2})"), '', 'delete what is gone there');
    $bridge->sql("SELECT webhook_bridge.delete_webhook(id) FROM webhook_bridge.webhooks WHERE account = '$name'");
    is(join(' ', %{ remote_ids($case) }), '', 'nothing is left there');
    is($bridge->count("webhook_bridge.webhooks WHERE account = '$name'"), 0, 'nor here');
    is(error_of("SELECT webhook_bridge.drop_account('$name')"), '55006', 'drop_account: has an endpoint');
    $bridge->sql("SELECT webhook_bridge.drop_endpoint('$name')");
    is(error_of("SELECT webhook_bridge.drop_account('$name')"), '', 'drop_account');
    is(error_of("SELECT webhook_bridge.drop_account('$name')"), '42704', 'drop_account again says so');
    is(error_of("SELECT webhook_bridge.list_webhooks('$name')"), '42704', 'an account that is none');
    return;
}

# ---------------------------------------------------------------------------
# What is a provider's own
# ---------------------------------------------------------------------------

sub ecomanager_only
{
    my $case = { %ecomanager, account => 'ecomanager', name => 'shop' };
    create_account($case);
    create_endpoint($case);
    my $secret = $bridge->sql("SELECT secret FROM webhook_bridge.secrets WHERE endpoint = 'shop'");
    like($secret, qr/^[0-9a-f]{64}$/, 'a secret is made at random');

    # options are checked before anything is sent
    my $mark = mark();
    my %pairs = map { my $most = $_; ($most => join ', ', map { qq("X-$_": "v") } 1 .. $most) } 5, 6, 10, 11;
    for my $options (qq({"headers": {$pairs{6}}}), qq({"payload": {$pairs{11}}}), '{"headers": {"X A": "b"}}', '{"headers": {"X": 1}}',
        '{"headers": "X"}', '{"http_method": "POST"}', '{"colour": "red"}', '[]')
    {
        is(error_of("SELECT webhook_bridge.register_webhook('shop', 'OrderCreated', 'shop', options => '$options')"),
            '22023', "option refused: $options");
    }
    is(operations_since($mark), '', 'nothing is sent');
    is($bridge->count("webhook_bridge.webhooks WHERE account = 'shop'"), 0, 'nor kept');

    # the GET of the activation comes while the call waits, or after it
    for my $activation ('before', 'after')
    {
        $emulator->settings(ecomanager => { activation => $activation });
        my $probes = $bridge->status->{probes};
        my $webhook = row(qq(webhook_bridge.register_webhook('shop', 'OrderCreated', 'shop', label => 'Commandes',
            options => '{"headers": {$pairs{5}}, "payload": {$pairs{10}}}')));
        is($webhook->{state}, 'active', "activation $activation the answer: active");
        poll_until(sub { ($emulator->webhooks('ecomanager'))[0]{active} }, 'the activation');
        is($bridge->status->{probes}, $probes + 1, 'the receiver was asked once');
        my ($remote) = $emulator->webhooks('ecomanager');
        is($remote->{record}{secret}, $secret, 'with its secret');
        is($remote->{record}{name}, 'Commandes', 'and label');
        is_deeply($webhook->{raw}{payload}, [ map { { "X-$_" => 'v' } } sort { "X-$a" cmp "X-$b" } 1 .. 10 ], 'payload in raw');
        shows_no_secret($case, json_of(%$webhook), 'register');

        row("webhook_bridge.set_webhook_active($webhook->{id}, false)");
        ok(!($emulator->webhooks('ecomanager'))[0]{active}, 'off');
        is(row("webhook_bridge.set_webhook_active($webhook->{id}, true)")->{state}, 'active', 'on');
        poll_until(sub { ($emulator->webhooks('ecomanager'))[0]{active} }, 'another activation');
        is($bridge->status->{probes}, $probes + 2, 'the receiver was asked again');
        receive($case, 'OrderCreated', 'activated');
        my ($event) = reverse $bridge->events("endpoint = 'shop'");
        is($event->{webhook_remote_id}, $remote->{id}, 'the event names the webhook');
        is(scalar(grep { $_->[0] =~ /^X-[1-5]$/ && $_->[1] eq 'v' } @{ $event->{header_list} }), 5, 'and has the headers');
        is(scalar(grep { /^X-/ } keys %{ decode_json($event->{body}) }), 10, 'and the payload');

        my $updated = row(qq(webhook_bridge.update_webhook($webhook->{id}, options => '{"headers": {"X-Only": "1"}}')));
        is_deeply($updated->{raw}{headers}, [ { 'X-Only' => '1' } ], 'update: headers are replaced');
        is(scalar @{ $updated->{raw}{payload} }, 10, 'update: payload stays');
        is($updated->{label}, 'Commandes', 'update: so does the label');
        $updated = row("webhook_bridge.update_webhook($webhook->{id}, label => 'Anders')");
        is_deeply($updated->{raw}{headers}, [ { 'X-Only' => '1' } ], 'update of the label: headers stay');
        is(error_of(qq(SELECT webhook_bridge.update_webhook($webhook->{id}, options => '{"headers": {$pairs{6}}}'))), '22023', 'six headers');
        receive($case, 'OrderCreated', 'updated');
        $emulator->remove('ecomanager', $webhook->{remote_id});
        is($bridge->sql("SELECT difference, repaired FROM webhook_bridge.sync_webhooks('shop', repair => true)"), 'missing|t', 'gone and repaired');
        $updated = row("webhook_bridge.list_webhooks('shop')");
        is_deeply($updated->{options}, { http_method => 'post', headers => { 'X-Only' => '1' }, payload => { map { ("X-$_" => 'v') } 1 .. 10 } },
            'with all its options');
        $bridge->sql("SELECT webhook_bridge.delete_webhook($webhook->{id})");
        is(scalar $emulator->webhooks('ecomanager'), 0, 'deleted');
    }

    # what a provider was told it tells everybody, in members that nobody expects
    $emulator->fault(provider => 'ecomanager', operation => 'list', kind => 'status', status => 200, body => { data => [ { id => 1,
        event => 'OrderCreated', name => "of $case->{credentials}{token}", delivery_url => "https://elsewhere.example/?$secret",
        headers => [ { 'X-Echo' => $secret } ], debug => { request => [ "Bearer $case->{credentials}{token}", { $secret => 1 } ], number => 1 } } ] });
    my $echo = $bridge->sql("SELECT w FROM webhook_bridge.list_webhooks('shop') AS w");
    like($echo, qr/of \*\*\*/, 'an echo');
    unlike($echo, qr/\Q$_/, 'is masked') for $secret, $case->{credentials}{token};

    # not active: it could not be activated
    $emulator->settings(ecomanager => { activation => 'before' }, routes => {});
    my $register = "webhook_bridge.register_webhook('shop', 'OrderCreated', 'shop')";
    like(error_text("SELECT $register"), qr/WARNING:  01000: .*the webhook is not active/, 'an activation that fails: a warning');
    my $webhook = row($register);
    is($webhook->{state}, 'inactive', 'registered, not active');
    is($bridge->sql("SELECT difference, wanted, actual FROM webhook_bridge.sync_webhooks('shop')"), q(changed|{"active": true}|{"active": false}), 'is shown');
    route();
    is($bridge->sql("SELECT difference, repaired FROM webhook_bridge.sync_webhooks('shop', repair => true)"), 'changed|t', 'and repaired');
    receive($case, 'OrderCreated', 'repaired');

    # disabled by the provider after the last retry
    $emulator->fire(provider => 'ecomanager', topic => 'OrderCreated', secret => 'another');
    $emulator->settle;
    is($bridge->sql("SELECT difference, wanted, actual FROM webhook_bridge.sync_webhooks('shop')"), q(changed|{"active": true}|{"active": false}), 'disabled');
    is(row("webhook_bridge.set_webhook_active($webhook->{id}, true)")->{state}, 'active', 'and activated');

    # a webhook that is not wanted active
    is(row("webhook_bridge.register_webhook('shop', 'OrderDeleted', 'shop', active => false)")->{state}, 'inactive', 'registered inactive');
    is(row("webhook_bridge.register_webhook('shop', 'OrderDeleted', 'shop', active => true)")->{state}, 'active', 'then active');
    is(scalar $emulator->webhooks('ecomanager'), 2, 'still one of this topic');
    like(error_text("SELECT webhook_bridge.register_webhook('shop', 'OrderLost', 'shop')"),
        qr/ERROR:  WB014: .*DETAIL:  .*selected event is invalid/s, 'refused by the provider, in its own words');
    return;
}

sub api2cart_only
{
    my ($version) = @_;
    my $case = { %api2cart, account => "api2cart $version", name => 'cart-' . ($version =~ tr/./_/r) };
    my $name = $case->{name};
    my $new  = $version eq '1.1';
    create_account($case);
    create_endpoint($case);
    is($bridge->sql("SELECT secret FROM webhook_bridge.secrets WHERE endpoint = '$name'"), $settings{api2cart}{store_keys}[0],
        "$version: the secret is the store's");

    my $mark = mark();
    for my $options ('{"colour": 1}', '{"fields": {}}', '{"fields": ""}',
        $new ? ('{"filtering_conditions": []}', '{"filtering_conditions": {"field": "x"}}') : ('{"lang_id": "1"}', '{"response_fields": "x"}'))
    {
        is(error_of("SELECT webhook_bridge.register_webhook('$name', 'order.add', '$name', options => '$options')"),
            '22023', "$version: option refused: $options");
    }
    is(error_of("SELECT webhook_bridge.register_webhook('$name', 'order', '$name')"), '22023', "$version: topic refused");
    is(operations_since($mark), '', "$version: nothing is sent");

    my %options = (fields => 'id,total', store_id => '1',
        $new ? (response_fields => '{return_code}', lang_id => '2', filtering_conditions => { field => 'status', operator => 'eq', value => 'paid' }) : ());
    my $options = json_of(%options);
    $mark = mark();
    my $webhook = row("webhook_bridge.register_webhook('$name', 'order.add', '$name', label => 'Mine', options => '$options')");
    my ($remote) = $emulator->webhooks('api2cart');
    is_deeply({ map { $_ => $remote->{record}{$_} } keys %options }, \%options, "$version: options");
    is($remote->{record}{label}, 'Mine', "$version: label");
    my ($request) = grep { $_->{id} > $mark && $_->{operation} eq 'create' } $emulator->requests(provider => 'api2cart');
    is($request->{method}, $new ? 'POST' : 'GET', "$version: method");
    $new
      ? like($request->{body}, qr/"idempotency_key"/, 'with a key that makes it repeatable')
      : is($request->{body}, '', 'all of it in the query');
    is(row("webhook_bridge.register_webhook('$name', 'order.add', '$name', options => '$options')")->{remote_id}, $remote->{id},
        "$version: the same options again");

    my $id = $webhook->{id};
    $webhook = row(qq(webhook_bridge.update_webhook($id, label => 'New', options => '{"fields": ["id", "status"]}')));
    ($remote) = $emulator->webhooks('api2cart');
    is("$remote->{record}{label} $remote->{record}{fields}", 'New id,status', "$version: update");
    is($webhook->{label}, 'New', "$version: is returned");
    $mark = mark();
    is(error_of("SELECT webhook_bridge.update_webhook($id, $_)"), '22023', "$version: update refused: $_")
      for q(topic => 'order.update'), q(options => '{"store_id": "7"}'), q(options => '{"entity": "order"}');
    is(operations_since($mark), '', "$version: nothing is sent");

    # what was given up
    is($bridge->sql("SELECT count(*) FROM webhook_bridge.list_failed_deliveries('$name')"), 0, "$version: none failed");
    $emulator->fire(provider => 'api2cart', topic => 'order.add', secret => 'another', data => { id => "o$_" }) for 1, 2;
    $emulator->settle;
    is($bridge->sql("SELECT id, remote_id, failed_at > now() - interval '1 hour', raw ->> 'entity_id' FROM webhook_bridge.list_failed_deliveries('$name')"),
        join("\n", map { "$id|$remote->{id}|t|o$_" } 1, 2), "$version: failed deliveries");
    is($bridge->sql(qq(SELECT count(*) FROM webhook_bridge.list_failed_deliveries('$name', '{"ids": [4711]}'))), 0, "$version: of others");

    # the connection to the store is lost
    $emulator->fire(provider => 'api2cart', topic => 'order.add', lost_connection => { code => 106, tries => 1 });
    is(($bridge->events("endpoint = '$name'"))[-1]{error_code}, '106', "$version: a lost connection is an event");
    is(listed($case, '{"entity": "order", "action": "add"}'), "$name|order.add|$remote->{id}", "$version: list by entity and action");
    like($bridge->sql("SELECT raw FROM webhook_bridge.list_topics('$name') WHERE topic = 'order.add'"), qr/filterable_fields/,
        "$version: topics as the store has them");
    like(error_text("SELECT webhook_bridge.register_webhook('$name', 'comet.add', '$name')"), qr/ERROR:  WB014: .*DETAIL:  .*comet\.add.*109/s,
        "$version: refused by the provider, in its own words");

    # several ids are not one
    is(error_of("SELECT webhook_bridge.get_webhook('$name', '$remote->{id},4711')"), 'WB012', "$version: get of two");
    for my $filter ('{"topic": "order"}', '{"topic": "order.add", "entity": "product"}')
    {
        is($bridge->sql("SELECT webhook_bridge.count_webhooks('$name', '$filter') = (SELECT count(*) FROM webhook_bridge.list_webhooks('$name', '$filter'))"),
            't', "$version: counted as listed: $filter");
    }

    # pages that are shorter than asked for
    my @ids = $emulator->seed('api2cart', 230);
    $emulator->fault(provider => 'api2cart', operation => 'list', kind => 'status', status => 200,
        body => { return_code => 0, return_message => '', result => { webhook => [ map { { id => $_, entity => 'order', action => 'add' } } @ids[ 0 .. 99 ] ] } });
    is($bridge->sql("SELECT count(DISTINCT remote_id) >= 230 FROM webhook_bridge.list_webhooks('$name')"), 't', "$version: short pages");
    $emulator->remove('api2cart', $_) for @ids;

    # another store at the same URL is nobody's duplicate
    my ($twin) = $emulator->seed('api2cart', 1, callback => "$public/hooks/$name", entity => 'order', action => 'add', store_id => '2', fields => 'id,status');
    is($bridge->sql("SELECT difference, repaired FROM webhook_bridge.sync_webhooks('$name', repair => true) WHERE remote_id = '$twin'"),
        'not known here|', "$version: another store's");
    ok(remote($case, $twin), "$version: which is left alone");
    $emulator->remove('api2cart', $twin);

    # a proxy that knows nothing of pages
    $emulator->fault(provider => 'api2cart', operation => 'list', times => 0, kind => 'status', status => 200,
        body => { return_code => 0, return_message => '', result => { webhook => [ map { { id => $_, entity => 'order', action => 'add' } } 1 .. 250 ] } });
    is(error_of("SELECT count(*) FROM webhook_bridge.list_webhooks('$name')"), 'WB017', "$version: pages that do not end");
    $emulator->no_faults;

    # Somebody else's, twice the same
    $emulator->settings(api2cart => { unique => JSON::PP::true });
    is(row("webhook_bridge.register_webhook('$name', 'product.add', '$name')")->{state}, 'active', "$version: unique webhooks");
    is(row("webhook_bridge.register_webhook('$name', 'product.add', '$name')")->{state}, 'active', "$version: and again");
    $bridge->sql("SELECT webhook_bridge.delete_webhook(id) FROM webhook_bridge.webhooks WHERE account = '$name'");
    is(scalar $emulator->webhooks('api2cart'), 0, "$version: deleted");
    fresh_emulator();
    return;
}

sub blaze_only
{
    my $case = { %blaze, account => 'blaze', name => 'pos' };
    create_account($case);
    create_endpoint($case);
    my $token = $bridge->sql("SELECT secret FROM webhook_bridge.secrets WHERE endpoint = 'pos'");

    my $mark = mark();
    is(error_of(qq(SELECT webhook_bridge.register_webhook('pos', 'NEW_MEMBER', 'pos', options => '$_'))), '22023', "option refused: $_")
      for '{"shopId": 1}', '{"shopId": ""}', '{"id": "x"}';
    is(error_of("SELECT webhook_bridge.register_webhook('pos', 'NEW_MEMBER', 'pos', active => false)"), '22023', 'not inactive');
    is(operations_since($mark), '', 'nothing is sent');

    my $webhook = row(q(webhook_bridge.register_webhook('pos', 'NEW_MEMBER', 'pos', options => '{"shopId": "abc"}')));
    my ($remote) = $emulator->webhooks('blaze');
    is($remote->{record}{shopId}, 'abc', 'shopId');
    is_deeply($remote->{urls}, ["$public/hooks/pos?token=$token"], 'the token is in the URL');
    unlike(json_of(%$webhook), qr/\Q$token/, 'and shown to nobody');
    is($webhook->{delivery_url}, "$public/hooks/pos?token=***", 'but as asterisks');

    # an update sends the whole object
    $emulator->change('blaze', $remote->{id}, webHookUrls => [ $remote->{urls}[0], 'https://elsewhere.example/too' ], url => $remote->{urls}[0]);
    $bridge->sql(qq(SELECT webhook_bridge.update_webhook($webhook->{id}, options => '{"shopId": "def"}')));
    ($remote) = $emulator->webhooks('blaze');
    is($remote->{record}{shopId}, 'def', 'update: shopId');
    is_deeply($remote->{urls}, [ "$public/hooks/pos?token=$token", 'https://elsewhere.example/too' ], 'update: other URLs stay');
    $emulator->change('blaze', $remote->{id}, webHookUrls => [ $remote->{urls}[0] ]);
    receive($case, 'NEW_MEMBER', 'updated');

    $emulator->seed('blaze', 2, shopId => 'def', webHookType => 'UPDATE_MEMBER');
    $emulator->seed('blaze', 2, deleted => JSON::PP::true);
    is($bridge->sql(q(SELECT count(*) FROM webhook_bridge.list_webhooks('pos', '{"shopId": "def"}'))), 3, 'list of a shop');
    is($bridge->sql(q(SELECT count(*) FROM webhook_bridge.list_webhooks('pos'))), 3, 'list without the deleted');
    is($bridge->sql(q(SELECT webhook_bridge.count_webhooks('pos'))), 3, 'count without the deleted');
    is($bridge->sql("SELECT created_at BETWEEN now() - interval '1 hour' AND now() + interval '1 minute'
        FROM webhook_bridge.get_webhook('pos', '$remote->{id}')"), 't', 'times are milliseconds there');
    $bridge->sql("SELECT webhook_bridge.delete_webhook($webhook->{id})");

    # an endpoint for one topic
    my %members = (%$case, name => 'members', endpoint => q[, params => '{"topic": "NEW_MEMBER"}']);
    $bridge->sql(q[SELECT webhook_bridge.create_endpoint('members', 'blaze', account => 'pos', params => '{"topic": "NEW_MEMBER"}')]);
    $mark = mark();
    is(error_of("SELECT webhook_bridge.register_webhook('pos', 'UPDATE_MEMBER', 'members')"), '22023', 'register: another topic');
    is(operations_since($mark), '', 'sends nothing');
    $webhook = row("webhook_bridge.register_webhook('pos', 'NEW_MEMBER', 'members')");
    receive({ %members, stored => 'NEW_MEMBER' }, 'NEW_MEMBER', 'of the endpoint');
    is(error_of("SELECT webhook_bridge.update_webhook($webhook->{id}, topic => 'UPDATE_MEMBER')"), '22023', 'update: another topic');
    my ($other) = $emulator->seed('blaze', 1, webHookType => 'UPDATE_MEMBER', webHookUrls => ['https://elsewhere.example/']);
    is(error_of("SELECT webhook_bridge.adopt_webhook('pos', '$other', 'members')"), '22023', 'adopt: another topic');
    is_deeply(remote($case, $other)->{urls}, ['https://elsewhere.example/'], 'changes nothing');

    # another shop's is nobody's duplicate
    my ($twin) = $emulator->seed('blaze', 1, webHookType => 'NEW_MEMBER', shopId => 'another',
        webHookUrls => [ $bridge->sql("SELECT webhook_bridge.delivery_url('members')") ]);
    is($bridge->sql("SELECT difference, repaired FROM webhook_bridge.sync_webhooks('pos', repair => true) WHERE remote_id = '$twin'"),
        'not known here|', "another shop's");
    ok(!remote($case, $twin)->{record}{deleted}, 'which is left alone');
    $emulator->remove('blaze', $twin);

    # changed while it is off
    row("webhook_bridge.set_webhook_active($webhook->{id}, false)");
    row(qq(webhook_bridge.update_webhook($webhook->{id}, options => '{"shopId": "off"}')));
    $webhook = row("webhook_bridge.set_webhook_active($webhook->{id}, true)");
    is(remote($case, $webhook->{remote_id})->{record}{shopId}, 'off', 'on, with what was changed while it was off');

    # the provider's topic has changed, and another is registered for what it was
    $bridge->sql("SELECT webhook_bridge.update_webhook($webhook->{id}, endpoint => 'pos')");
    $emulator->change('blaze', $webhook->{remote_id}, webHookType => 'UPDATE_PRODUCT');
    my $product = row("webhook_bridge.register_webhook('pos', 'UPDATE_PRODUCT', 'pos')");
    is($product->{remote_id}, $webhook->{remote_id}, 'register: what has become of another one');
    is(known($webhook->{id}), 'NEW_MEMBER|pos|t||missing|t', 'which is missing from then on');
    is(row("webhook_bridge.register_webhook('pos', 'NEW_MEMBER', 'pos')")->{id}, $webhook->{id}, 'and is registered again');
    $bridge->sql("SELECT webhook_bridge.delete_webhook(id) FROM webhook_bridge.webhooks WHERE account = 'pos'");
    return;
}

sub shoplazza_only
{
    my $case = { %shoplazza, account => 'shoplazza 2022-01', name => 'plaza' };
    create_account($case);
    create_endpoint($case);
    is($bridge->sql("SELECT secret FROM webhook_bridge.secrets WHERE endpoint = 'plaza'"), $settings{shoplazza}{client_secret},
        "the secret is the application's");

    my $mark = mark();
    is(error_of(qq(SELECT webhook_bridge.register_webhook('plaza', 'orders/create', 'plaza', options => '$_'))), '22023', "option refused: $_")
      for '{"version": "1"}', '{"format": "json"}';
    is(error_of("SELECT webhook_bridge.register_webhook('plaza', 'orders/create', 'plaza', active => false)"), '22023', 'not inactive');
    is(operations_since($mark), '', 'nothing is sent');

    is(error_of("SET standard_conforming_strings = off; SELECT webhook_bridge.list_webhooks('plaza')"), '', 'whatever the session has set');

    # "already exists" although the list does not show it: for this topic whatever the address
    for my $shape (undef, qw(list fields error text))
    {
        $emulator->settings(shoplazza => { error_shape => $shape, unique => 'topic' });
        my ($other) = $emulator->seed('shoplazza', 1, topic => 'orders/create', address => 'https://elsewhere.example/');
        is(error_of("SELECT webhook_bridge.register_webhook('plaza', 'orders/create', 'plaza')"), 'WB013', 'the topic is taken, as ' . ($shape // 'documented'));
        is(row("webhook_bridge.adopt_webhook('plaza', '$other', 'plaza')")->{remote_id}, $other, 'and can be adopted');
        receive($case, 'orders/create', 'adopted');
        is(error_of("SELECT webhook_bridge.register_webhook('plaza', 'orders/lost', 'plaza')"), 'WB014', 'a topic that is none');
        is(error_of("SELECT webhook_bridge.get_webhook('plaza', 'nothing')"), 'WB012', 'a webhook that is none');
        $bridge->sql("SELECT webhook_bridge.delete_webhook(id) FROM webhook_bridge.webhooks WHERE account = 'plaza'");
    }

    # by an option in the other version
    $emulator->settings(shoplazza => { error_shape => undef, unique => 'topic_and_address' });
    $mark = mark();
    my $webhook = row(q(webhook_bridge.register_webhook('plaza', 'orders/create', 'plaza', options => '{"version": "2025-06"}')));
    my ($request) = grep { $_->{id} > $mark && $_->{operation} eq 'create' } $emulator->requests(provider => 'shoplazza');
    is($request->{target}, '/shoplazza/openapi/2025-06/webhooks', 'the version of an option');
    $bridge->sql("SELECT webhook_bridge.delete_webhook($webhook->{id})");
    is(scalar $emulator->webhooks('shoplazza'), 0, 'deleted');
    return;
}

# Ecwid: people do it.
sub ecwid
{
    $bridge->sql("SELECT webhook_bridge.create_account('app', 'ecwid', 'https://app.ecwid.com', '"
          . json_of(client_secret => $settings{ecwid}{client_secret}) . "')");
    $bridge->sql("SELECT webhook_bridge.create_endpoint('app', 'ecwid', account => 'app')");
    is($bridge->sql("SELECT secret FROM webhook_bridge.secrets WHERE endpoint = 'app'"), $settings{ecwid}{client_secret},
        "the secret is the application's");

    my $webhook = row(q(webhook_bridge.register_webhook('app', 'order.created', 'app', options => '{"application": "shop-app", "headers": {"X-Shop": "main"}}')));
    is(join('|', map { $_ // '' } @$webhook{qw(endpoint topic remote_id delivery_url active state)}), "app|order.created||$public/hooks/app||manual",
        'register: manual');
    is(row("webhook_bridge.register_webhook('app', 'order.created', 'app')")->{id}, $webhook->{id}, 'register again: the same');
    my $other = row("webhook_bridge.register_webhook('app', 'product.updated', 'app')");
    is($bridge->sql("SELECT webhook_bridge.registration_request('app')"), <<"TEXT" =~ s/\n\z//r, 'the text of the e-mail');
To: ec.apps\@lightspeedhq.com
Subject: Webhooks of our application

Please set up webhooks for our application.

Application (name or client_id): shop-app
Webhook URL: $public/hooks/app

Events, and the access scopes that they need:
  order.created (read_orders)
  product.updated (read_catalog)

Custom HTTP headers:
  X-Shop: main

Thank you.
TEXT

    # somebody has read it
    $emulator->settings(ecwid => { url => "$public/hooks/app", events => [ 'order.created', 'product.updated' ], headers => { 'X-Shop' => 'main' } });
    receive({ provider => 'ecwid', name => 'app', source => $settings{ecwid}{store_id} }, $_, 'ecwid') for 'order.created', 'product.updated';
    is(($bridge->events("endpoint = 'app'"))[0]{query}, 'eventtype=order.created', 'the query');

    is(error_of("SELECT webhook_bridge.$_"), '0A000', "not to be had: $_")
      for "list_webhooks('app')", "get_webhook('app', '1')", "count_webhooks('app')", "list_failed_deliveries('app')", "adopt_webhook('app', '1', 'app')";
    is(row("webhook_bridge.update_webhook($webhook->{id}, label => 'x')")->{label}, 'x', 'update: what is kept here');
    is($bridge->sql("SELECT count(*) FROM webhook_bridge.list_topics('app') WHERE topic IN ('order.created', 'product.updated')"), 2, 'topics');
    is($bridge->sql("SELECT topic, difference, wanted FROM webhook_bridge.sync_webhooks('app')"),
        "order.created|unknown|\nproduct.updated|unknown|", 'sync: nothing is known');
    is($bridge->sql("SELECT topic, difference, repaired FROM webhook_bridge.sync_webhooks('app', repair => true)"),
        "order.created|unknown|\nproduct.updated|unknown|", 'sync: nor repaired');

    like(error_text("SELECT webhook_bridge.set_webhook_active($other->{id}, false)"), qr/NOTICE:  00000: people have to be asked/, 'off');
    is(known($other->{id}) =~ s/\|[^|]*$//r, 'product.updated|app|f||manual', 'known as people\'s');
    unlike($bridge->sql("SELECT webhook_bridge.registration_request('app')"), qr/product\.updated/, 'is not asked for');
    row("webhook_bridge.set_webhook_active($webhook->{id}, false)");
    like($bridge->sql("SELECT webhook_bridge.registration_request('app')"), qr/\nPlease remove the webhooks of our application\.\n/, 'none is wanted');
    row("webhook_bridge.set_webhook_active($webhook->{id}, true)");
    is(row("webhook_bridge.set_webhook_active($other->{id}, true)")->{state}, 'manual', 'on');
    row(q(webhook_bridge.register_webhook('app', 'product.updated', 'app', options => '{"headers": {"X-Other": "1"}}')));
    like($bridge->sql("SELECT webhook_bridge.registration_request('app')"), qr/\n  X-Other: 1\n  X-Shop: main\n/, 'all headers are asked for');
    like($bridge->sql("SELECT webhook_bridge.registration_request('app')"), qr/product\.updated/, 'is asked for again');

    # what cannot be delivered to
    for my $url ('http://hooks.example.com', 'https://hooks.example.com:81')
    {
        public_url($url);
        is(error_of("SELECT webhook_bridge.register_webhook('app', 'order.updated', 'app')"), '22023', "not $url");
    }
    for my $url ('https://hooks.example.com:8443', 'https://hooks.example.com:443', $public)
    {
        public_url($url);
        is(row("webhook_bridge.register_webhook('app', 'order.updated', 'app')")->{delivery_url}, "$url/hooks/app", "but $url");
    }
    is(error_of("SELECT webhook_bridge.register_webhook('app', 'order updated', 'app')"), '22023', 'a topic that is none');
    is(error_of(qq(SELECT webhook_bridge.register_webhook('app', 'order.updated', 'app', options => '{"headers": 1}'))), '22023', 'nor such headers');

    like(error_text("SELECT webhook_bridge.delete_webhook($webhook->{id})"), qr/^psql:\S+ NOTICE: /, 'delete: who has to do it');
    is(error_of("SELECT webhook_bridge.delete_webhook($webhook->{id})"), '42704', 'delete again says so');
    $bridge->sql("SELECT webhook_bridge.delete_webhook(id) FROM webhook_bridge.webhooks WHERE account = 'app'");
    is(error_of("SELECT webhook_bridge.registration_request('app')"), '55000', 'nothing to ask for');
    $bridge->sql("SELECT webhook_bridge.drop_endpoint('app')");
    is(error_of("SELECT webhook_bridge.drop_account('app')"), '', 'drop_account');
    is(scalar $emulator->requests(provider => 'ecwid'), 0, 'the provider was never asked');
    return;
}

# A thousand webhooks: every page, once.
sub long_list
{
    my ($case) = @_;
    my %account = (%$case, name => "long-$case->{name}");
    my %pages = (ecomanager => 11, 'api2cart 1.0' => 6, 'api2cart 1.1' => 6, blaze => 11, 'shoplazza 2022-01' => 6, 'shoplazza 2025-06' => 21);
    my $name = $account{name};
    create_account(\%account);
    my @ids = $emulator->seed($case->{provider}, 1007);

    my $mark = mark();
    my $ids = $bridge->sql("SELECT remote_id FROM webhook_bridge.list_webhooks('$name')");
    is(join(' ', sort split /\n/, $ids), join(' ', sort @ids), 'all of them');
    is(operations_since($mark), join(' ', ('list') x $pages{ $case->{account} }), 'page by page');
    is($bridge->sql("SELECT webhook_bridge.count_webhooks('$name')"), 1007, 'counted');
    is(listed(\%account, json_of(delivery_url => 'https://seeded.example/hooks/1006')) =~ s/.*\|//r, $ids[1006], 'the last is found');
    $bridge->sql("SELECT webhook_bridge.drop_account('$name')");
    return;
}

# ---------------------------------------------------------------------------
# Helpers
# ---------------------------------------------------------------------------

sub fresh_emulator
{
    $emulator->reset;
    route();
    return;
}

sub route
{
    $emulator->settings(routes => { $public => 'http://127.0.0.1:' . $bridge->port });
    return;
}

sub create_account
{
    my ($case) = @_;
    return row("webhook_bridge.create_account('$case->{name}', '$case->{provider}', '"
          . $emulator->url($case->{account}) . "', '" . json_of(%{ $case->{credentials} }) . "')");
}

sub create_endpoint
{
    my ($case, $name) = @_;
    $name //= $case->{name};
    $bridge->sql("SELECT webhook_bridge.create_endpoint('$name', '$case->{provider}', account => '$case->{name}'" . ($case->{endpoint} // '') . ')');
    return;
}

# The delivery URL of an endpoint as functions show it.
sub masked
{
    my ($case, $endpoint) = @_;
    return "$public/hooks/" . ($endpoint // $case->{name}) . ($case->{provider} eq 'blaze' ? '?token=***' : '');
}

# What a function returns, as a hash by column.
sub row
{
    my ($call) = @_;
    my $text = $bridge->sql("SELECT row_to_json(r) FROM $call AS r");
    return $text eq '' ? {} : decode_json($text);
}

# What a statement says on standard error, and the SQLSTATE, or nothing, of its error.
sub error_text
{
    my ($sql) = @_;
    my $err = '';
    $bridge->node->psql('postgres', $sql, stderr => \$err, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
    for my $secret (map { values %{ $_->{credentials} } } \%ecomanager, \%api2cart, \%blaze, \%shoplazza)
    {
        fail("a credential is shown: $err") if index($err, $secret) >= 0;
    }
    return $err;
}

sub error_of
{
    my ($sql) = @_;
    return error_text($sql) =~ /(?:ERROR|FATAL):  (\w{5}): / ? $1 : '';
}

sub shows_no_secret
{
    my ($case, $text, $name) = @_;
    my @secrets = (values %{ $case->{credentials} }, split /\n/, $bridge->sql("SELECT secret FROM webhook_bridge.secrets WHERE endpoint = '$case->{name}'"));
    ok(!grep({ index($text, $_) >= 0 } @secrets), "$name: shows no secret");
    return;
}

sub json_of
{
    my (%members) = @_;
    return JSON::PP->new->canonical->allow_nonref->encode(\%members);
}

# A webhook as it is kept here.
sub known
{
    my ($id) = @_;
    return $bridge->sql("SELECT topic, endpoint, desired_active, remote_id, remote_state, checked_at > now() - interval '1 hour'
        FROM webhook_bridge.webhooks WHERE id = $id");
}

# What a provider has: a webhook by its id, the ids of those with our URLs by topic.
sub remote
{
    my ($case, $id) = @_;
    my ($webhook) = grep { $_->{id} eq $id } $emulator->webhooks($case->{provider});
    return $webhook;
}

sub remote_ids
{
    my ($case) = @_;
    return { map { $_->{topic} => $_->{id} }
          grep { ($_->{active} || $case->{switch}) && $_->{urls}[0] =~ m{^\Q$public/hooks/} } $emulator->webhooks($case->{provider}) };
}

sub listed
{
    my ($case, $filters) = @_;
    return join "\n", sort split /\n/, $bridge->sql("SELECT endpoint, topic, remote_id FROM webhook_bridge.list_webhooks('$case->{name}', '$filters')");
}

# Rows of sync_webhooks(), as lines and as hashes.
sub differences
{
    my ($case, $more) = @_;
    return $bridge->sql("SELECT endpoint, topic, remote_id, difference, repaired
        FROM webhook_bridge.sync_webhooks('$case->{name}'" . ($more // '') . ')
        ORDER BY id NULLS LAST, difference NULLS FIRST, endpoint NULLS FIRST');
}

sub compared
{
    my ($case, $more) = @_;
    return map { decode_json($_) } split /\n/, $bridge->sql("SELECT row_to_json(s)
        FROM webhook_bridge.sync_webhooks('$case->{name}'" . ($more // '') . ') AS s');
}

# The id of the last request that providers have seen, and the operations since.
sub mark
{
    my @requests = $emulator->requests;
    return @requests ? $requests[-1]{id} : 0;
}

sub operations_since
{
    my ($mark) = @_;
    return join ' ', map { $_->{operation} // $_->{target} } grep { $_->{id} > $mark } $emulator->requests;
}

sub public_url
{
    my ($url) = @_;
    $bridge->reload('webhook_bridge.public_url' => $url);
    poll_until(sub { $bridge->sql('SHOW webhook_bridge.public_url') eq $url }, 'the setting');
    return;
}
