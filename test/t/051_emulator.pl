# The emulator of the providers by itself: shapes, faults, deliveries.  What
# other tests learn from it is worth as much as it resembles the documentation.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_base64);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use Test::More;
use Time::HiRes qw(sleep time);

use Emulator;
use WebhookBridge;

my $json     = JSON::PP->new->utf8->canonical->allow_nonref;
my $http     = HTTP::Tiny->new(timeout => 30, max_redirect => 0);
my $emulator = Emulator->start;
my $bridge   = WebhookBridge->start('emulator', conf => 'webhook_bridge.max_connections = 50');

my %settings = map { $_ => $emulator->overview->{providers}{$_}{settings} } qw(ecomanager api2cart ecwid blaze shoplazza);
my $true     = JSON::PP::true;
my $false    = JSON::PP::false;

my %topic = (
    ecomanager => 'OrderCreated',
    api2cart   => 'product.update',
    ecwid      => 'order.updated',
    blaze      => 'NEW_MEMBER',
    shoplazza  => 'products/update');

# A port that nobody listens on.
my $nobody = IO::Socket::INET->new(LocalHost => '127.0.0.1', Proto => 'tcp', Listen => 1)->sockport;

my %headers = (
    ecomanager => {
        Authorization  => "Bearer $settings{ecomanager}{token}",
        'Content-Type' => 'application/json',
        Accept         => 'application/json',
    },
    'api2cart 1.0' => {},
    'api2cart 1.1' => {
        'x-api-key'    => $settings{api2cart}{api_key},
        'x-store-key'  => $settings{api2cart}{store_keys}[0],
        'Content-Type' => 'application/json',
    },
    blaze => {
        'x-api-key'    => $settings{blaze}{partner_key},
        Authorization  => $settings{blaze}{developer_key},
        'Content-Type' => 'application/json',
    },
    'shoplazza 2022-01' =>
      { 'access-token' => $settings{shoplazza}{access_token}, 'Content-Type' => 'application/json' },
    'shoplazza 2025-06' =>
      { 'access-token' => $settings{shoplazza}{access_token}, 'Content-Type' => 'application/json' },
);

ecomanager_api();
ecomanager_activation();
api2cart_api($_) for '1.0', '1.1';
api2cart_codes();
blaze_api();
shoplazza_api('2022-01');
shoplazza_api('2025-06');
shoplazza_errors();
no_ecwid_api();
rate_limits();
faults();
deliveries_are_authentic();
api2cart_signature();
retries();
lost_connection();
unreachable();
with_tls();
ends_with_its_input();

$emulator->stop;
pass('the emulator ends well');
done_testing();

# ---------------------------------------------------------------------------
# Ecomanager
# ---------------------------------------------------------------------------

sub ecomanager_api
{
    my $account = 'ecomanager';
    my $path    = '/api/shop/v2/webhooks';
    my %wanted  = (
        name         => 'Commandes',
        event        => 'OrderCreated',
        delivery_url => $emulator->sink(200),
        headers      => [ { key => 'X-Shop', value => 'a/b' }, { key => 'X-Two', value => '2' } ],
        payload      => [ { key => 'shop',   value => "Za\xefdi" } ],
        secret       => 'clear text',
        is_active    => $true,
    );

    my $created = call($account, POST => $path, \%wanted);
    is($created->{status}, 200, 'ecomanager, create: 200');
    my $webhook = $created->{json};
    like($webhook->{id}, qr/^\d+$/, 'with an id');
    is_deeply($webhook->{headers}, [ { 'X-Shop' => 'a/b' }, { 'X-Two' => '2' } ], 'headers come back in another shape');
    is_deeply($webhook->{payload}, [ { shop => "Za\xefdi" } ], 'so does payload');
    is($webhook->{secret}, 'clear text', 'the secret comes back in clear');
    like($created->{content}, qr/"is_active":1[,}]/, 'is_active comes back as a number');
    like($webhook->{created_at}, qr/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/, 'dates have no zone');
    like($created->{content}, qr{a\\/b}, 'JSON is written as PHP does');

    is(call($account, GET => "$path/$webhook->{id}")->{json}{name}, 'Commandes', 'get');
    my $changed = call($account, PUT => "$path/$webhook->{id}",
        { %wanted{qw(event delivery_url)}, name => 'Anders', is_active => $true });
    is($changed->{json}{name},   'Anders',     'update');
    is($changed->{json}{secret}, 'clear text', 'the secret need not be sent again');
    is_deeply($changed->{json}{headers}, [], 'what else is not sent is lost');
    $emulator->settings(ecomanager => { update_keeps => $true });
    call($account, PUT => "$path/$webhook->{id}", \%wanted);
    is(scalar @{ call($account, PUT => "$path/$webhook->{id}", { %wanted, headers => undef })->{json}{headers} },
        2, 'or kept, as set');

    is(call($account, PUT => "$path/$webhook->{id}/status", { status => $false })->{json}{is_active}, 0, 'status: off');
    is(call($account, PUT => "$path/$webhook->{id}/status", { status => $true })->{json}{is_active},  1, 'status: on');
    is(call($account, PUT => "$path/$webhook->{id}/status", { is_active => $true })->{status},
        422, 'status: the member has another name');
    my $deleted = call($account, DELETE => "$path/$webhook->{id}");
    is("$deleted->{status} $deleted->{content}", '201 {"success":"Webhook deleted successfully."}', 'delete: 201');

    # errors
    is(call($account, GET => "$path/$webhook->{id}")->{status},    404, 'get: not found');
    is(call($account, DELETE => "$path/$webhook->{id}")->{status}, 404, 'delete: not found');
    is(call($account, PATCH => $path)->{status},                   405, 'a method that is none');
    like(call($account, GET => '/api/shop/v2/other')->{json}{message}, qr/could not be found/, 'a path that is none');
    my $empty = call($account, POST => $path, {});
    is($empty->{status}, 422, 'create: invalid');
    is_deeply([ sort keys %{ $empty->{json}{errors} } ],
        [qw(delivery_url event is_active name secret)], 'what is missing, by field');
    like($empty->{json}{message}, qr/^The name field is required\. \(and 4 more errors\)$/, 'and in a sentence');
    for my $case (
        [ 'an event that is none',  { event        => 'OrderLost' },                                   'event' ],
        [ 'six headers',            { headers      => [ ({ key => 'X', value => 'y' }) x 6 ] },         'headers' ],
        [ 'eleven payload members', { payload      => [ ({ key => 'x', value => 'y' }) x 11 ] },        'payload' ],
        [ 'headers as they are answered', { headers => [ { 'X-Shop' => '1' } ] },                     'headers.0.key' ],
        [ 'POST in capitals',       { http_method  => 'POST' },                                        'http_method' ],
        [ 'plain HTTP',             { delivery_url => 'http://example.com/' },                         'delivery_url' ],
        [ 'a state that is none',   { is_active    => 'yes' },                                         'is_active' ])
    {
        my ($name, $members, $field) = @$case;
        my $answer = call($account, POST => $path, { %wanted, %$members });
        ok($answer->{status} == 422 && $answer->{json}{errors}{$field}, "create: $name");
    }
    {
        local $headers{ecomanager}{Authorization} = 'Bearer wrong';
        my $answer = call($account, GET => $path);
        is("$answer->{status} $answer->{json}{message}", '401 Unauthenticated.', 'a wrong token');
        local $headers{ecomanager}{Accept} = '*/*';
        $answer = call($account, GET => $path);
        is($answer->{status}, 302, 'a wrong token and no Accept: to the login page');
        like($answer->{headers}{location}, qr{/login$}, 'which is named');
    }
    is(call($account, POST => $path, \%wanted, { 'Content-Type' => 'text/plain' })->{status},
        422, 'create: a body that is not declared as JSON is none');

    # paging
    my @ids = $emulator->seed($account, 25);
    my (@seen, $cursor, $pages);
    do
    {
        my $page = call($account, GET => "$path?per_page=10" . ($cursor ? "&cursor=$cursor" : ''))->{json};
        push @seen, map { $_->{id} } @{ $page->{data} };
        $pages++;
        $cursor = $page->{meta}{next_cursor};
        is_deeply([ sort keys %{ $page->{links} } ], [qw(first last next prev)], "list: links of page $pages");
        like($page->{links}{next} // '', $cursor ? qr/\?cursor=\Q$cursor\E$/ : qr/^$/, 'the next, or none');
        like(decode_base64($cursor), qr/^\{"id":\d+,"_pointsToNextItems":true\}$/, 'its cursor') if $cursor;
    } while ($cursor && $pages < 9);
    is("@seen", "@ids", 'list: all pages are all webhooks');
    is(scalar @{ call($account, GET => $path)->{json}{data} }, 10, 'list: ten without per_page');
    is_deeply([ map { $_->{id} } @{ call($account, GET => "$path?ids=$ids[3],$ids[20]")->{json}{data} } ],
        [ @ids[ 3, 20 ] ], 'list: by id');
    $emulator->reset;
    return;
}

sub ecomanager_activation
{
    my $path   = '/api/shop/v2/webhooks';
    my %wanted = (name => 'n', event => 'OrderCreated', secret => 's', is_active => $true);

    my $webhook = call('ecomanager', POST => $path, { %wanted, delivery_url => $emulator->sink(200) })->{json};
    my ($probe) = $emulator->requests(provider => 'sink');
    is($probe->{method},      'GET', 'ecomanager, activation: a GET comes before the answer');
    is($webhook->{is_active}, 1,     'and decides');
    for my $case ([ 204, $emulator->sink(204) ], [ 404, $emulator->sink(404) ], [ 'nobody', "http://127.0.0.1:$nobody/" ])
    {
        $webhook = call('ecomanager', POST => $path, { %wanted, delivery_url => $case->[1] })->{json};
        is($webhook->{is_active}, 0, "activation: $case->[0] is no success");
    }
    $emulator->settings(timeout_ms => 100);
    my $began = time;
    $webhook = call('ecomanager', POST => $path, { %wanted, delivery_url => $emulator->sink(200) . '?ms=3000' })->{json};
    is($webhook->{is_active}, 0, 'activation: too late is no success');
    cmp_ok(time - $began, '<', 2, 'and not waited for');
    $emulator->settings(timeout_ms => undef);

    # A webhook that was registered before it was served.
    my $url = $emulator->sink(503, 200);
    $webhook = call('ecomanager', POST => $path, { %wanted, delivery_url => $url })->{json};
    is($webhook->{is_active}, 0, 'activation: not yet');
    is(call('ecomanager', PUT => "$path/$webhook->{id}/status", { status => $true })->{json}{is_active}, 1, 'but later');
    is(call('ecomanager', POST => $path, { %wanted, delivery_url => $url, is_active => $false })->{json}{is_active},
        0, 'not asked for');

    $emulator->reset;
    $emulator->settings(ecomanager => { activation => 'after' });
    $webhook = call('ecomanager', POST => $path, { %wanted, delivery_url => $emulator->sink(404) })->{json};
    is($webhook->{is_active}, 1, 'activation after the answer: it says what was asked for');
    poll_until(sub { $emulator->requests(provider => 'sink') }, 'the GET');
    poll_until(sub { $emulator->notices }, 'its effect');
    ok(!($emulator->webhooks('ecomanager'))[0]{active}, 'the GET decides');
    $emulator->reset;
    return;
}

# ---------------------------------------------------------------------------
# API2Cart
# ---------------------------------------------------------------------------

# A call of a method, as either version has it.
sub api2cart
{
    my ($version, $method, %arguments) = @_;
    my %verb = ('webhook.create' => 'POST', 'webhook.update' => 'PUT', 'webhook.delete' => 'DELETE');
    my $verb = $version eq '1.1' ? $verb{$method} // 'GET' : 'GET';
    my $body;

    if ($version eq '1.0')
    {
        %arguments = (
            api_key   => $settings{api2cart}{api_key},
            store_key => $settings{api2cart}{store_keys}[0],
            %arguments);
    }
    elsif ($verb eq 'POST' || $verb eq 'PUT')
    {
        $body      = {%arguments};
        %arguments = ();
    }
    my $query = $http->www_form_urlencode(\%arguments);
    return call("api2cart $version", $verb, "/$method.json" . (length $query ? "?$query" : ''), $body);
}

sub code_is
{
    my ($answer, $code, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is("$answer->{status} $answer->{json}{return_code}", "200 $code", $name);
}

sub api2cart_api
{
    my ($version) = @_;
    my $v        = "api2cart $version";
    my $new      = $version eq '1.1';
    my $callback = 'https://hooks.example.com/hooks/api2cart?a=1&b=2';

    my $events = api2cart($version, 'webhook.events');
    is_deeply([ sort keys %{ $events->{json} } ], [qw(result return_code return_message)], "$v: the envelope");
    is_deeply([ sort keys %{ $events->{json}{result}{events}[0] } ],
        [qw(action entity filterable_fields webhook_name)], "$v: events");

    my $created = api2cart($version, 'webhook.create',
        entity => 'order', action => 'add', callback => $callback, label => 'Shop 1',
        fields => 'id,total', active => $new ? $false : 'false');
    code_is($created, 0, "$v: create");
    my $id = $created->{json}{result}{id};
    like($created->{content}, qr/"id":\d+/, "$v: the id is a number");

    my $list = api2cart($version, 'webhook.list', ids => $id)->{json}{result}{webhook};
    is_deeply($list, [ { id => $id, entity => 'order', action => 'add', callback => $callback } ],
        "$v: list has four members");
    my $all = api2cart($version, 'webhook.list', ids => $id, params => 'force_all')->{json}{result}{webhook}[0];
    is(scalar keys %$all, 15, "$v: list has all with params=force_all");
    ok(!$all->{active} && $all->{store_id} eq '1' && $all->{label} eq 'Shop 1', "$v: as they were given");

    my $updated = api2cart($version, 'webhook.update', id => $id, active => $new ? $true : 'true', label => 'Zwei');
    is_deeply($updated->{json}{result}, { updated => '1' }, "$v: update");
    like($updated->{content}, qr/"updated":"1"/, "$v: which is answered with a string");
    code_is(api2cart($version, 'webhook.update', id => $id, entity => 'product'), 109, "$v: the entity cannot be changed");
    code_is(api2cart($version, 'webhook.update', id => 999, label => 'x'),        112, "$v: update: not found");
    code_is(api2cart($version, 'webhook.update', id => $id, lang_id => '3'), $new ? 0 : 109, "$v: what update may change");
    code_is(api2cart($version, 'webhook.create', entity => 'order'), 114, "$v: create: something is missing");
    code_is(api2cart($version, 'webhook.create', entity => 'order', action => 'paint'), 109, "$v: create: no such event");
    code_is(api2cart($version, 'webhook.list', count => 251), 111, "$v: list: too many");
    code_is(api2cart($version, 'webhook.paint'), 3, "$v: a method that is none");

    my @ids = ($id, $emulator->seed('api2cart', 259));
    my @seen;
    for my $start (0, 100, 200, 300)
    {
        push @seen, map { $_->{id} }
          @{ api2cart($version, 'webhook.list', start => $start, count => 100)->{json}{result}{webhook} };
    }
    is("@seen", "@ids", "$v: all pages are all webhooks");
    is(scalar @{ api2cart($version, 'webhook.list')->{json}{result}{webhook} }, 10, "$v: ten without count");
    is(api2cart($version, 'webhook.count')->{json}{result}{webhook_count}, 260, "$v: count");
    my $orders = api2cart($version, 'webhook.count', entity => 'order', active => 'true')->{json}{result}{webhook_count};
    is(scalar @{
            api2cart($version, 'webhook.list', count => 250, entity => 'order', active => 'true')->{json}{result}{webhook}
        },
        $orders, "$v: filters");
    is_deeply(api2cart($version, 'webhook.delete', id => $id)->{json}{result}, { deleted => '1' }, "$v: delete");
    code_is(api2cart($version, 'webhook.delete', id => $id), 112, "$v: delete: not found");

    if ($new)
    {
        my %wanted = (entity => 'product', action => 'add', callback => $callback, idempotency_key => 'k1');
        my $first  = api2cart($version, 'webhook.create', %wanted)->{json}{result}{id};
        is(api2cart($version, 'webhook.create', %wanted)->{json}{result}{id}, $first, "$v: idempotency_key");
        $emulator->advance(15 * 60);
        isnt(api2cart($version, 'webhook.create', %wanted)->{json}{result}{id}, $first, "$v: is forgotten after 15 minutes");
        code_is(call($v, POST => '/webhook.create.json?entity=order&action=add', {}), 114, "$v: arguments are in the body");
        local $headers{$v}{'x-store-key'} = 'wrong';
        code_is(api2cart($version, 'webhook.list'), 101, "$v: wrong store key");
        code_is(api2cart($version, 'account.failed_webhooks'), 0, "$v: failed list needs none");
        local $headers{$v}{'x-api-key'} = 'wrong';
        code_is(api2cart($version, 'webhook.list'), 2, "$v: wrong API key");
        code_is(api2cart($version, 'account.failed_webhooks'), 2, "$v: failed list, too");
    }
    else
    {
        code_is(api2cart($version, 'webhook.create', entity => 'order', action => 'add', idempotency_key => 'k'),
            109, "$v: idempotency_key came later");
        code_is(api2cart($version, 'webhook.list', api_key   => 'wrong'), 2,   "$v: wrong API key");
        code_is(api2cart($version, 'webhook.list', store_key => 'wrong'), 101, "$v: wrong store key");
    }
    $emulator->settings(api2cart => { unique => $true });
    my %same = (entity => 'customer', action => 'add', callback => $callback);
    api2cart($version, 'webhook.create', %same);
    code_is(api2cart($version, 'webhook.create', %same), 113, "$v: already exists, where set");
    $emulator->reset;
    return;
}

sub api2cart_codes
{
    for my $code (1 .. 10, 100 .. 107, 109 .. 116)
    {
        $emulator->fault(provider => 'api2cart', kind => 'return_code', code => $code);
        my $answer = api2cart('1.1', 'webhook.list');
        ok($answer->{status} == 200
              && $answer->{json}{return_code} == $code
              && length $answer->{json}{return_message}
              && $answer->{json}{return_message} ne 'Unknown error',
            "api2cart: code $code");
    }
    return;
}

# ---------------------------------------------------------------------------
# Blaze
# ---------------------------------------------------------------------------

sub blaze_api
{
    my $path    = '/api/v1/partner/webHooks';
    my $created = call('blaze', POST => $path,
        { webHookType => 'NEW_MEMBER', shopId => 'shop-1', webHookUrls => ['https://hooks.example.com/b?token=t'] });
    is($created->{status}, 200, 'blaze, create');
    my $webhook = $created->{json};
    is_deeply([ sort keys %$webhook ],
        [qw(companyId created deleted id modified shopId updated url webHookType webHookUrls)], 'all its members');
    like($created->{content}, qr/"created":\d{13},/, 'times are milliseconds');
    like($webhook->{id},      qr/^[0-9a-f]{24}$/,    'the id is a text');
    is_deeply(call('blaze', GET => "$path/$webhook->{id}")->{json}, $webhook, 'get');

    my $changed = call('blaze', PUT => "$path/$webhook->{id}", { webHookUrls => ['https://hooks.example.com/c'] })->{json};
    is_deeply([ @$changed{qw(shopId webHookType)} ], [ undef, undef ], 'update: members that are not sent are lost');
    is_deeply([ @$changed{qw(id companyId created)} ], [ @$webhook{qw(id companyId created)} ], 'but for three');
    is_deeply(
        call('blaze', PUT => "$path/$webhook->{id}", { %$changed, webHookType => 'UPDATE_MEMBER', shopId => 'shop-1' })
          ->{json}{webHookType},
        'UPDATE_MEMBER', 'update: the full object is taken');

    my $deleted = call('blaze', DELETE => "$path/$webhook->{id}");
    is("$deleted->{status} [$deleted->{content}]", '200 []', 'delete: no body');
    my $list = call('blaze', GET => $path)->{json};
    is_deeply([ @$list{qw(count total)} ], [ 1, 1 ], 'list: a deleted record is there');
    ok($list->{searchResult}[0]{deleted}, 'and says so');
    is(call('blaze', DELETE => "$path/$webhook->{id}")->{status}, 404, 'delete: only once');

    my @ids = $emulator->seed('blaze', 230, shopId => 'shop-2');
    $list = call('blaze', GET => "$path?shopId=shop-2")->{json};
    is_deeply([ @$list{qw(count total)} ], [ 100, 230 ], 'list: a hundred without limit');
    my @seen;
    for my $start (0, 90, 180)
    {
        my $page = call('blaze', GET => "$path?shopId=shop-2&start=$start&limit=90")->{json};
        push @seen, map { $_->{id} } @{ $page->{searchResult} };
    }
    is("@seen", "@ids", 'list: all pages are all webhooks');
    is(call('blaze', GET => "$path?shopId=shop-2&skip=225")->{json}{count}, 5, 'list: skip');

    my $error = call('blaze', POST => $path, { webHookType => 'NEW_MEMBER' });
    is_deeply($error->{json},
        { error => 'Invalid argument', message => 'webHookUrls is required', status => 400 }, 'create: invalid');
    is(call('blaze', GET => "$path/unknown")->{json}{status},      404, 'get: not found');
    is(call('blaze', GET => '/api/v1/partner/webhooks')->{status}, 404, 'the h of webHooks is a capital');
    for my $name ('x-api-key', 'Authorization')
    {
        local $headers{blaze}{$name} = "Bearer $headers{blaze}{$name}";
        is(call('blaze', GET => $path)->{json}{status}, 401, "a wrong $name");
    }
    $emulator->reset;
    return;
}

# ---------------------------------------------------------------------------
# Shoplazza
# ---------------------------------------------------------------------------

sub shoplazza_api
{
    my ($version) = @_;
    my $account = "shoplazza $version";
    my $new     = $version ne '2022-01';
    my $wrap    = sub { return $new ? { webhook => $_[0] } : $_[0] };
    my $unwrap  = sub {
        my ($answer) = @_;
        return $answer->{json} unless $new;
        is($answer->{json}{code}, 'Success', "$account: the envelope");
        return $answer->{json}{data};
    };
    my $invalid = $new ? 400 : 422;
    my %wanted  = (topic => 'orders/create', address => 'https://hooks.example.com/s');

    my $webhook = $unwrap->(call($account, POST => '/webhooks', $wrap->(\%wanted)))->{webhook};
    is_deeply([ sort keys %$webhook ], [qw(address created_at format id topic updated_at)], "$account: create");
    like($webhook->{id},         qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "$account: the id is a UUID");
    like($webhook->{created_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,         "$account: times");
    my $again = call($account, POST => '/webhooks', $wrap->(\%wanted));
    is($again->{status}, $invalid, "$account: create again");
    like($again->{content}, qr/already exists/, "$account: already exists");
    is_deeply($unwrap->(call($account, GET => "/webhooks/$webhook->{id}"))->{webhook}, $webhook, "$account: get");
    is($unwrap->(call($account, PUT => "/webhooks/$webhook->{id}", $wrap->({ topic => 'orders/paid' })))->{webhook}{topic},
        'orders/paid', "$account: update of one member");
    is_deeply($unwrap->(call($account, DELETE => "/webhooks/$webhook->{id}")), {}, "$account: delete");
    is(call($account, GET => "/webhooks/$webhook->{id}")->{status}, $new ? 400 : 404, "$account: not found");
    is(call($account, POST => '/webhooks', $new ? \%wanted : { webhook => \%wanted })->{status},
        $invalid, "$account: the other version's body");

    my @ids = $emulator->seed('shoplazza', 120);
    my @seen;
    if ($new)
    {
        my ($cursor, $more, $pages) = ('', 1, 0);
        while ($more && $pages++ < 9)
        {
            my $page = $unwrap->(call($account, GET => "/webhooks?page_size=50&cursor=$cursor"));
            push @seen, map { $_->{id} } @{ $page->{webhooks} };
            ($cursor, $more) = @$page{qw(cursor has_more)};
        }
    }
    else
    {
        for my $page (1 .. 4)
        {
            push @seen,
              map { $_->{id} } @{ $unwrap->(call($account, GET => "/webhooks?page=$page&limit=40"))->{webhooks} };
        }
    }
    is("@seen", "@ids", "$account: all pages are all webhooks");
    is(scalar @{ $unwrap->(call($account, GET => '/webhooks'))->{webhooks} }, 50, "$account: fifty if not said otherwise");
    is($unwrap->(call($account, GET => '/webhooks/count'))->{count}, 120, "$account: count");
    my $filter = 'topic=orders%2Fcreate&address=https%3A%2F%2Fseeded.example%2Fhooks%2F13';
    is($unwrap->(call($account, GET => "/webhooks/count?$filter"))->{count}, 1, "$account: count with filters");
    is(scalar @{ $unwrap->(call($account, GET => "/webhooks?$filter"))->{webhooks} }, 1, "$account: list with filters");
    is(scalar @{ $unwrap->(call($account, GET => '/webhooks?created_at_min=2099-01-01T00:00:00Z'))->{webhooks} },
        0, "$account: list of what was created since");
    {
        local $headers{$account}{'access-token'} = 'wrong';
        is(call($account, GET => '/webhooks')->{status}, $new ? 403 : 401, "$account: a wrong token");
    }
    $emulator->reset;
    return;
}

sub shoplazza_errors
{
    my $account = 'shoplazza 2022-01';
    my %wanted  = (topic => 'orders/create', address => 'https://hooks.example.com/s');

    is(call($account, GET => '/webhooks/none')->{content},
        '{"errors":["record not found!"]}', 'shoplazza, errors: a list');
    is_deeply(
        call($account, POST => '/webhooks', {})->{json}{errors},
        { address => ["can't be blank"], topic => ["can't be blank"] },
        'by field');
    my $elsewhere = $http->get($emulator->url($account) =~ s/2022-01/1999-01/r . '/webhooks');
    is("$elsewhere->{status} $elsewhere->{content}", '404 {"error":"page not found"}', 'a text in "error"');
    my $bad = $http->post($emulator->url($account) . '/webhooks',
        { headers => $headers{$account}, content => '{"topic"' });
    is("$bad->{status} $bad->{content}", '400 Bad Request', 'bare text');
    like(call($account, POST => '/webhooks', { %wanted, topic => 'orders/lost' })->{content},
        qr{is not allowed, allowed topic are: app/expired, .*suppliers/update}, 'a topic that is none');

    call($account, POST => '/webhooks', \%wanted);
    my %already = (
        list   => '{"errors":["Topic already exists"]}',
        fields => '{"errors":{"topic":["already exists"]}}',
        error  => '{"error":"Topic already exists"}',
        text   => 'Topic already exists');
    for my $shape (sort keys %already)
    {
        $emulator->settings(shoplazza => { error_shape => $shape });
        my $answer = call($account, POST => '/webhooks', \%wanted);
        is("$answer->{status} $answer->{content}", "422 $already{$shape}", "already exists as $shape");
    }
    my %other = (%wanted, address => 'https://hooks.example.com/other');
    is(call($account, POST => '/webhooks', \%other)->{status}, 200, 'the topic at another address');
    $emulator->settings(shoplazza => { unique => 'topic' });
    is(call($account, POST => '/webhooks', { %wanted, address => 'https://hooks.example.com/third' })->{status},
        422, 'or not, as set');
    $emulator->reset;
    return;
}

sub no_ecwid_api
{
    my $port = $emulator->port;
    is($http->get("http://127.0.0.1:$port/ecwid/webhooks")->{status}, 404, 'ecwid has no API');
    is($http->get("http://127.0.0.1:$port/other/webhooks")->{status}, 404, 'others have none, either');
    return;
}

# ---------------------------------------------------------------------------
# Faults
# ---------------------------------------------------------------------------

sub rate_limits
{
    for my $account (sort keys %headers)
    {
        my ($provider) = split / /, $account;
        $emulator->settings($provider => { bucket => { size => 3, leak => 0.01 } });
        my @statuses = map { my $a = list($account); $a->{json}{return_code} || $a->{status} } 1 .. 4;
        my $limited  = $account =~ /api2cart/ ? 10 : 429;
        is("@statuses", "200 200 200 $limited", "$account: too many requests");
        $emulator->reset;
    }
    $emulator->fault(kind => 'rate_limit', retry_after => 7);
    is(list('ecomanager')->{headers}{'retry-after'}, 7, 'a rate limit with Retry-After');
    $emulator->fault(kind => 'rate_limit', retry_after => undef);
    is(list('blaze')->{headers}{'retry-after'}, undef, 'and without');
    $emulator->fault(kind => 'rate_limit', retry_after => 'Wed, 21 Oct 2099 07:28:00 GMT');
    like(list('shoplazza 2022-01')->{headers}{'retry-after'}, qr/GMT$/, 'and with a date');
    return;
}

# Each fault with a create, and whether something was created.
sub faults
{
    my %case = (
        status       => { with => { status => 503, headers => { 'Retry-After' => '1' } }, gives => qr/^503/, done => 0 },
        hang         => { gives => qr/^599.*timed out/is, done => 0 },
        reset        => { gives => qr/^599/,              done => 0 },
        lost         => { gives => qr/^599/,              done => 1 },
        truncate     => { gives => qr/^599/,              done => 1 },
        invalid_json => { gives => qr/^200 \{"[^{]*[^}]$/s, done => 1 },
        html         => { gives => qr/^200 <html>/,       done => 1 },
        empty        => { gives => qr/^200 $/,            done => 1 },
        bytes        => { gives => qr/^200 "\xff\xfe/,    done => 1 },
        huge         => { with => { bytes => 300_000 }, gives => qr/^200 (?: {30000}){10}\{/, done => 1 },
        redirect     => { gives => qr/^302/, done => 0 },
        slow         => { with => { ms => 300 }, gives => qr/^200 \{/, done => 1 },
        drip         => { with => { ms => 1 }, gives => qr/^200 \{/, done => 1 },
    );
    my $path = '/api/v1/partner/webHooks';
    my $body = { webHookType => 'NEW_MEMBER', webHookUrls => ['https://hooks.example.com/b'] };
    my $once = HTTP::Tiny->new(timeout => 2, max_redirect => 0);

    for my $kind (sort keys %case)
    {
        my %fault = (provider => 'blaze', operation => 'create', kind => $kind, %{ $case{$kind}{with} // {} });
        for my $done ($case{$kind}{done}, $kind =~ /^(hang|status)$/ ? 1 : ())
        {
            $emulator->fault(%fault, $done == $case{$kind}{done} ? () : (done => $true));
            my $began  = time;
            my $answer = $once->post($emulator->url('blaze') . $path,
                { headers => $headers{blaze}, content => $json->encode($body) });
            like("$answer->{status} $answer->{content}", $case{$kind}{gives}, "fault $kind" . ($done ? ', done' : ''));
            is(scalar $emulator->webhooks('blaze'), $done, 'done or not');
            cmp_ok(time - $began, '>=', 0.3, 'it took its time') if $kind eq 'slow';
            is(call('blaze', POST => $path, $body)->{status}, 200, 'once');
            $emulator->reset;
        }
    }

    # which request meets it
    $emulator->fault(provider => 'blaze', operation => 'list', kind => 'status', status => 500, skip => 1, times => 2);
    is(call('blaze', POST => $path, $body)->{status}, 200, 'fault for another operation');
    is(list('ecomanager')->{status},                  200, 'for another provider');
    is(join(' ', map { list('blaze')->{status} } 1 .. 4), '200 500 500 200', 'first spared, then twice');
    is_deeply($emulator->control('GET', 'faults'), [], 'then it is gone');
    $emulator->fault(kind => 'status', status => 502, times => 0);
    is(join(' ', map { list($_)->{status} } (sort keys %headers) x 2), join(' ', (502) x 12), 'for all, for ever');
    $emulator->no_faults;
    is(list('blaze')->{status}, 200, 'until it is taken away');
    my @faults = map { $_->{fault} // 'none' } $emulator->requests(provider => 'blaze', operation => 'list');
    is("@faults", 'none status status none status status none', 'requests say what they met');
    my ($request) = $emulator->requests(operation => 'create');
    is_deeply($json->decode($request->{body}), $body, 'and what they asked for');
    is($request->{headers}{'x-api-key'}, $settings{blaze}{partner_key}, 'with which headers');

    # a request that hangs can be seen
    $emulator->fault(kind => 'hang');
    my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $emulator->port, Proto => 'tcp');
    print $socket "GET /blaze$path HTTP/1.1\r\nHost: x\r\n\r\n";
    $socket->flush;
    poll_until(sub { $emulator->overview->{open} == 1 }, 'a request that hangs');
    close $socket;
    poll_until(sub { $emulator->overview->{open} == 0 }, 'its end');
    is(($emulator->requests)[-1]{status}, undef, 'a request that was not answered');

    # one that is held back, before or after it is done, with and without a client that waits
    for my $done (1, 0)
    {
        for my $waits (1, 0)
        {
            $emulator->reset;
            $emulator->fault(kind => 'hold', done => $done ? $true : $false);
            my $content = $json->encode($body);
            $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $emulator->port, Proto => 'tcp');
            print $socket "POST /blaze$path HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
              . "x-api-key: $settings{blaze}{partner_key}\r\nAuthorization: $settings{blaze}{developer_key}\r\n"
              . 'Content-Length: ' . length($content) . "\r\n\r\n$content";
            $socket->flush;
            poll_until(sub { $emulator->overview->{held} == 1 }, 'a request that is held back');
            is(scalar $emulator->webhooks('blaze'), $done, 'held back, ' . ($done ? 'done' : 'not done'));
            if (!$waits)
            {
                close $socket;
                poll_until(sub { $emulator->overview->{open} == 0 }, 'its end');
            }
            is($emulator->release, 1, 'released');
            is($emulator->release, 0, 'once');
            like(join('', <$socket>), qr/^HTTP\/1\.1 200 .*NEW_MEMBER/s, 'and answered') if $waits;
            poll_until(sub { $emulator->webhooks('blaze') == 1 }, 'what was asked for');
        }
    }

    # clients that give up
    $emulator->seed('blaze', 100);
    for my $fault ([ huge => bytes => 50_000_000 ], [ huge => bytes => 50_000_000, announced => $false ],
        [ drip => ms => 20 ], [ slow => ms => 500 ], [ 'hang' ])
    {
        my ($kind, %members) = @$fault;
        $emulator->fault(kind => $kind, %members);
        IPC::Run::run([ qw(curl -s -o /dev/null --limit-rate 100k --max-time 0.3),
            map({ ('-H', "$_: $headers{blaze}{$_}") } keys %{ $headers{blaze} }), $emulator->url('blaze') . $path ]);
        poll_until(sub { $emulator->overview->{open} == 0 }, "the end of fault $kind");
    }
    sleep 0.5;
    is(list('blaze')->{json}{count}, 100, 'clients that give up do no harm');
    for my $line ('OPTIONS * HTTP/1.1', 'GET http://[ HTTP/1.1', 'nonsense')
    {
        my $client = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $emulator->port, Proto => 'tcp');
        print $client "$line\r\nHost: x\r\nConnection: close\r\n\r\n";
        $client->flush;
        like(join('', <$client>), qr{^HTTP/1\.1 400}, "a request that is none: $line");
    }

    for my $wrong ([ POST => 'faults', { kind => 'flood' } ], [ POST => 'settings', { ecwid => { nothing => 1 } } ])
    {
        is(eval { $emulator->control(@$wrong); 1 }, undef, 'a wrong call of the control API fails');
    }
    $emulator->reset;
    return;
}

# ---------------------------------------------------------------------------
# Deliveries
# ---------------------------------------------------------------------------

# Registers an address for a topic as the provider's client would.
sub register
{
    my ($provider, $topic, $url, $secret) = @_;
    if ($provider eq 'ecomanager')
    {
        my %wanted = (name => 'n', event => $topic, delivery_url => $url, secret => $secret, is_active => $true);
        $wanted{headers} = [ { key => 'X-Custom', value => 'custom' } ];
        $wanted{payload} = [ { key => 'shop',     value => 'custom' } ];
        return call('ecomanager', POST => '/api/shop/v2/webhooks', \%wanted)->{json}{id};
    }
    if ($provider eq 'api2cart')
    {
        my ($entity, $action) = split /\./, $topic;
        my %wanted = (entity => $entity, action => $action, callback => $url);
        return api2cart('1.1', 'webhook.create', %wanted)->{json}{result}{id};
    }
    if ($provider eq 'blaze')
    {
        return call('blaze', POST => '/api/v1/partner/webHooks', { webHookType => $topic, webHookUrls => [$url] })
          ->{json}{id};
    }
    if ($provider eq 'shoplazza')
    {
        return call('shoplazza 2025-06', POST => '/webhooks', { webhook => { topic => $topic, address => $url } })
          ->{json}{data}{webhook}{id};
    }
    $emulator->settings(ecwid => { url => $url, headers => { 'X-Custom' => 'custom', 'Cache-Control' => 'private' } });
    return undef;
}

# What is delivered is stored by a receiver and passes verify(), and does not
# with another secret.
sub deliveries_are_authentic
{
    my %secret = (
        ecomanager => 'a "secret" /',
        api2cart   => $settings{api2cart}{store_keys}[0],
        ecwid      => $settings{ecwid}{client_secret},
        blaze      => 'token-of-blaze',
        shoplazza  => $settings{shoplazza}{client_secret});
    $emulator->settings(routes => { 'https://hooks.example.com' => 'http://127.0.0.1:' . $bridge->port });

    for my $provider (sort keys %secret)
    {
        $bridge->sql("SELECT webhook_bridge.create_endpoint('$provider', '$provider', secret => \$\$$secret{$provider}\$\$"
              . ($provider eq 'blaze' ? q[, params => '{"topic": "NEW_MEMBER"}')] : ')'));
        my $url = "https://hooks.example.com/hooks/$provider";
        $url .= "?token=$secret{$provider}" if $provider eq 'blaze';
        my $id = register($provider, $topic{$provider}, $url, $secret{$provider});

        my ($delivery, @more) = $emulator->fire(provider => $provider, topic => $topic{$provider});
        is(scalar @more, 0, "$provider: one delivery");
        is($delivery->{state}, 'delivered', "$provider: a delivery is taken");
        my ($event) = $bridge->events("endpoint = '$provider'");
        my $attempt = $delivery->{attempts}[0];
        is($event->{body},     utf8($attempt->{body}), "$provider: the body");
        is($event->{topic},    $topic{$provider},      "$provider: the topic");
        is($event->{verified}, $true,                  "$provider: verified");
        ok(verifies($provider, $secret{$provider}, $attempt), "$provider: verify() says so");
        ok(!verifies($provider, 'another', $attempt), "$provider: and not with another secret");

        # as they were on the wire
        my %sent = map { $_->[0] => 1 } @{ $event->{header_list} };
        ok($sent{ $_->[0] }, "$provider: header $_->[0]") for @{ $attempt->{headers} };
        is($event->{webhook_remote_id}, $id, 'ecomanager: id of the webhook') if $provider eq 'ecomanager';
        is($json->decode(utf8($attempt->{body}))->{shop}, 'custom', 'ecomanager: payload') if $provider eq 'ecomanager';
        if ($provider eq 'ecwid')
        {
            is($event->{query}, 'eventtype=order.updated', 'ecwid: the query names the event');
            is(scalar(grep { lc $_->[0] eq 'cache-control' } @{ $event->{header_list} }), 2, 'ecwid: a header twice');
        }

        next if $provider eq 'blaze';
        ($delivery) = $emulator->fire(provider => $provider, topic => $topic{$provider}, secret => 'another');
        is($delivery->{attempts}[0]{status}, 401, "$provider: refused when signed with another secret");
        is($delivery->{state}, 'pending', "$provider: and tried again later");
        is(scalar $emulator->fire(provider => $provider, topic => 'no.such'), 0, "$provider: other topics are not delivered")
          unless $provider eq 'ecwid';
    }

    # the same event twice
    for my $case ([ ecwid => 'event_id' ], [ shoplazza => 'deduplication_id' ])
    {
        my ($provider, $name) = @$case;
        my @answers = map {
            my ($d) = $emulator->fire(provider => $provider, topic => $topic{$provider}, $name => 'the same');
            $d->{attempts}[0]{answer}
        } 1, 2;
        is("@answers", '{"status":"stored"} {"status":"duplicate"}', "$provider: the same event twice");
    }

    # bodies of all kinds
    for my $provider (qw(ecomanager api2cart shoplazza))
    {
        for my $data (' {"a" : "/\u00fc"}' . "\n", "not JSON \x{fc}", { a => "\x{1f600}/\"" })
        {
            my ($delivery) = $emulator->fire(provider => $provider, topic => $topic{$provider}, data => $data);
            is($delivery->{state}, 'delivered', "$provider: another body");
        }
    }
    my ($restricted) = $emulator->fire(provider => 'ecomanager', topic => 'OrderCreated', webhook_id => 4711);
    is($restricted, undef, 'a delivery to one webhook only');
    $emulator->reset;
    return;
}

# Does webhook_bridge.verify() accept an attempt?
sub verifies
{
    my ($provider, $secret, $attempt) = @_;
    my %headers = map { $_->[0] => "$_->[1]" } @{ $attempt->{headers} };
    my ($headers, $body) = map { unpack 'H*', $_ } $json->encode(\%headers), utf8($attempt->{body});
    return $bridge->sql(<<"SQL") eq 't';
SELECT webhook_bridge.verify('$provider', \$\$$secret\$\$,
    convert_from('\\x$headers', 'UTF8')::jsonb, '\\x$body'::bytea, 'POST', '$attempt->{url}')
SQL
}

# API2Cart's signature, made here as its documentation says it.
sub api2cart_signature
{
    register('api2cart', 'product.add', $emulator->sink(200));
    my ($delivery) = $emulator->fire(
        provider        => 'api2cart',
        topic           => 'product.add',
        lost_connection => { code => 106, message => "Gr\x{fc}\x{df}e / \"\x{1f600}\" \\ <&'>" });
    my %sent    = map { @$_ } @{ $delivery->{attempts}[0]{headers} };
    my $given   = delete $sent{'X-Webhook-Signature'};
    my $message = 'Gr\u00fc\u00dfe \/ \"\ud83d\ude00\" \\\\ <&\'>';
    my $signed =
        qq({"X-Webhook-Action":"add","X-Webhook-Entity":"product","X-Webhook-Error-Code":"106",)
      . qq("X-Webhook-Error-Message":"$message","X-Webhook-Error-Reason":"store_connection",)
      . qq("X-Webhook-Error-Try-Count":"4","X-Webhook-Store-Id":"1",)
      . qq("X-Webhook-Timestamp":"$sent{'X-Webhook-Timestamp'}"});
    is($given, hmac_sha256_base64($signed, $settings{api2cart}{store_keys}[0]) . '=', 'api2cart: the text that is signed');
    $emulator->reset;
    return;
}

# How often and how long each tries, what counts, and what follows the last failure.
sub retries
{
    my %case = (
        ecomanager => { retries => 6,  hours => 24, counts => [200] },
        api2cart   => { retries => 1,  hours => 1 / 60, counts => [200] },
        ecwid      => { retries => 27, hours => 24, counts => [ 200, 201, 202, 204, 209 ] },
        blaze      => { retries => 0,  hours => 0,  counts => [200] },
        shoplazza  => { retries => 19, hours => 48, counts => [ 200 .. 299 ] });

    for my $provider (sort keys %case)
    {
        for my $status (200, 201, 202, 203, 204, 209, 299, 302, 404, 500)
        {
            register($provider, $topic{$provider}, answers_deliveries($provider, $status), 's');
            my ($delivery) = $emulator->fire(provider => $provider, topic => $topic{$provider});
            my $counts = grep { $_ == $status } @{ $case{$provider}{counts} };
            is($delivery->{state}, $counts ? 'delivered' : $case{$provider}{retries} ? 'pending' : 'failed',
                "$provider: $status");
            $emulator->reset;
        }

        my $id = register($provider, $topic{$provider}, answers_deliveries($provider, 503), 's');
        $emulator->fire(provider => $provider, topic => $topic{$provider});
        my $failed = ($emulator->settle)[-1];
        my @at     = map { $_->{clock_s} } @{ $failed->{attempts} };
        is($failed->{state}, 'failed', "$provider: fails in the end");
        is(scalar @at, $case{$provider}{retries} + 1, "$provider: number of attempts");
        cmp_ok(abs($at[-1] - $at[0] - $case{$provider}{hours} * 3600), '<', 30, "$provider: and for how long");
        my ($webhook) = $emulator->webhooks($provider);
        if ($provider eq 'ecomanager')
        {
            ok(!$webhook->{active}, 'ecomanager: the webhook is disabled');
            like(($emulator->notices)[0]{message}, qr/disabled/, 'and somebody told');
            is(scalar $emulator->fire(provider => $provider, topic => $topic{$provider}), 0, 'nothing more is delivered');
        }
        elsif ($provider eq 'api2cart')
        {
            my $list = api2cart('1.1', 'account.failed_webhooks')->{json}{result};
            is($list->{all_failed_webhook}, '1', 'api2cart: the failed list');
            is("$list->{webhook}[0]{webhook_id} $list->{webhook}[0]{entity_id}", "$id 86", 'says of what');
            like($list->{webhook}[0]{time}{value}, qr/^\d{4}-/, 'and when');
            is(api2cart('1.1', 'account.failed_webhooks', ids => 999)->{json}{result}{all_failed_webhook}, '0', 'by id');
            $emulator->advance(23 * 3600);
            is(api2cart('1.1', 'account.failed_webhooks')->{json}{result}{all_failed_webhook}, '1', 'after 23 hours');
            $emulator->advance(3601);
            is(api2cart('1.0', 'account.failed_webhooks')->{json}{result}{all_failed_webhook}, '0', 'not after 24');
            is($failed->{attempts}[0]{headers}[-1][1], $failed->{attempts}[1]{headers}[-1][1], 'the signature is repeated');
        }
        elsif ($provider eq 'shoplazza')
        {
            is($webhook, undef, 'shoplazza: the webhook is deleted');
        }
        elsif ($provider eq 'ecwid')
        {
            ok($webhook->{active}, 'ecwid: goes on after a day');
            $emulator->advance(13 * 86400);
            $emulator->fire(provider => $provider, topic => $topic{$provider});
            my ($blocked) = $emulator->webhooks($provider);
            ok(!$blocked->{active}, 'ecwid: the URL is blocked after two weeks');
            is(scalar $emulator->fire(provider => $provider, topic => $topic{$provider}), 0, 'nothing more is delivered');
        }
        $emulator->reset;
    }

    # in real time, compressed
    $emulator->settings(speed => 86400);
    register('shoplazza', $topic{shoplazza}, $emulator->sink(503, 500, 200));
    $emulator->fire(provider => 'shoplazza', topic => $topic{shoplazza});
    poll_until(sub { ($emulator->deliveries)[0]{state} eq 'delivered' }, 'a third attempt');
    is(scalar @{ ($emulator->deliveries)[0]{attempts} }, 3, 'retries come by themselves');
    is(scalar $emulator->webhooks('shoplazza'), 1, 'nothing is deleted');
    $emulator->reset;

    # a webhook that is gone is not tried again
    my $gone = register('shoplazza', $topic{shoplazza}, $emulator->sink(503));
    $emulator->fire(provider => 'shoplazza', topic => $topic{shoplazza});
    $emulator->remove('shoplazza', $gone);
    is(($emulator->settle)[0]{state}, 'dropped', 'no retries for a webhook that was deleted');
    $emulator->reset;
    return;
}

# An address that answers deliveries with a status, but lets itself be activated.
sub answers_deliveries
{
    my ($provider, $status) = @_;
    return $emulator->sink($provider eq 'ecomanager' ? 200 : (), $status);
}

sub lost_connection
{
    my $id = register('api2cart', 'product.add', $emulator->sink(200));
    $emulator->fire(provider => 'api2cart', topic => 'product.add', lost_connection => { code => 100 });
    my @notices = map { { map { @$_ } @{ $_->{attempts}[0]{headers} } } } $emulator->settle;
    is(join(' ', map { $_->{'X-Webhook-Error-Try-Count'} } @notices), '4 3 2 1 0', 'api2cart: a lost connection is told');
    my @sink = $emulator->requests(provider => 'sink');
    is($sink[0]{body}, '', 'without a body');
    is($sink[0]{headers}{'x-webhook-error-code'}, '100', 'with a code');
    ok(!($emulator->webhooks('api2cart'))[0]{active}, 'and then it is disabled');
    api2cart('1.1', 'webhook.update', id => $id, active => $true);
    $emulator->fire(provider => 'api2cart', topic => 'product.add', lost_connection => { tries => 2 });
    is(scalar $emulator->settle, 7, 'a connection that was found again');
    ok(($emulator->webhooks('api2cart'))[0]{active}, 'disables nothing');
    $emulator->reset;
    return;
}

sub unreachable
{
    register('shoplazza', $topic{shoplazza}, 'https://hooks.example.com/nowhere');
    my ($delivery) = $emulator->fire(provider => 'shoplazza', topic => $topic{shoplazza});
    is($delivery->{attempts}[0]{error}, 'unreachable', 'deliveries stay on this machine');
    register('ecwid', $topic{ecwid}, "http://127.0.0.1:$nobody/");
    ($delivery) = $emulator->fire(provider => 'ecwid', topic => $topic{ecwid});
    is($delivery->{attempts}[0]{error}, 'ECONNREFUSED', 'where nobody listens');
    $emulator->reset;
    return;
}

# ---------------------------------------------------------------------------
# The program
# ---------------------------------------------------------------------------

sub with_tls
{
    my ($key, $cert) = map { PostgreSQL::Test::Utils::tempdir() . $_ } '/key.pem', '/cert.pem';
    system('openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 '
          . "-keyout $key -out $cert 2>/dev/null") == 0
      or die "could not make a certificate\n";
    my $secure = Emulator->start(tls_cert => $cert, tls_key => $key);
    my @curl   = ('curl', '-sS', '--cacert', $cert, map { ('-H', "$_: $headers{blaze}{$_}") } keys %{ $headers{blaze} });
    my $url    = $secure->url('blaze') . '/api/v1/partner/webHooks';

    like(output(@curl, $url), qr/^\{"count":0/, 'TLS: an answer');
    for my $kind (qw(reset truncate))
    {
        $secure->fault(kind => $kind);
        like(output(@curl, $url), $kind eq 'reset' ? qr/reset|SSL/i : qr/closed|EOF|eof/, "TLS: $kind");
    }
    like(output(@curl, $url =~ s/^https/http/r), qr/was sent to HTTPS port/, 'TLS: not without');
    is(scalar $secure->requests(operation => 'list'), 3, 'TLS: but the control API');
    $secure->stop;
    return;
}

sub ends_with_its_input
{
    my $other = Emulator->start;
    my $port  = $other->port;
    $other->fault(kind => 'hang');
    my $socket = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $port, Proto => 'tcp');
    print $socket "GET /blaze HTTP/1.1\r\nHost: x\r\n\r\n";
    $socket->flush;
    poll_until(sub { $other->overview->{open} == 1 }, 'a request that hangs');
    $other->stop;
    is(IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $port, Proto => 'tcp'), undef, 'it ends at once');

    $other = Emulator->start;
    $other->{process}->signal('TERM');
    ok($other->{process}->finish, 'it ends at SIGTERM');
    delete $other->{process};
    return;
}

# ---------------------------------------------------------------------------
# Requests
# ---------------------------------------------------------------------------

# A request to an account's API.  Returns HTTP::Tiny's answer, and as "json" what
# its body holds.
sub call
{
    my ($account, $method, $path, $body, $more) = @_;
    my $answer = $http->request(
        $method,
        $emulator->url($account) . $path,
        { headers => { %{ $headers{$account} }, %{ $more // {} } }, $body ? (content => $json->encode($body)) : () });
    $answer->{json} = eval { $json->decode($answer->{content}) };
    return $answer;
}

sub list
{
    my ($account) = @_;
    return api2cart($1, 'webhook.list') if $account =~ /^api2cart (.*)/;
    my %path = (ecomanager => '/api/shop/v2/webhooks', blaze => '/api/v1/partner/webHooks');
    return call($account, GET => $path{$account} // '/webhooks');
}

sub utf8
{
    my ($text) = @_;
    utf8::encode($text);
    return $text;
}

sub output
{
    my $output = '';
    IPC::Run::run(\@_, '<', '/dev/null', '>&', \$output);
    return $output;
}
