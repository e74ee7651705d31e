# The main path: deliveries of every provider, signed here independently of the
# extension, become rows that say all about them; forged ones become nothing.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha1 hmac_sha256 hmac_sha256_hex hmac_sha512_hex);
use Encode qw(decode encode);
use JSON::PP;
use MIME::Base64;
use Test::More;

use WebhookBridge;

# Two receivers, so that what concerns several processes is seen too.
my $bridge = WebhookBridge->start('main', conf => 'webhook_bridge.receivers = 2');
my $now    = time;

sub hmac_sha256_base64
{
    my ($text, $key) = @_;
    return encode_base64(hmac_sha256($text, $key), '');
}

# A string as PHP's json_encode() writes it; bytes in, bytes out.
sub php_string
{
    my ($bytes) = @_;
    my $text = decode('UTF-8', $bytes, Encode::FB_CROAK | Encode::LEAVE_SRC);
    $text =~ s/([\\"\/])/\\$1/g;
    $text =~ s/\t/\\t/g;
    $text =~ s{([^\x00-\x7F])}{join '', map { sprintf '\\u%04x', $_ } unpack 'n*', encode('UTF-16BE', $1)}eg;
    return qq("$text");
}

# API2Cart's signature; the names are taken as they are spelled.
sub api2cart_signature
{
    my ($secret, $body, @headers) = @_;
    my %signed;
    while (my ($name, $value) = splice @headers, 0, 2)
    {
        $signed{$name} = $value if $name =~ /\AX-Webhook-/;
    }
    my $json = join ',', map { php_string($_) . ':' . php_string($signed{$_}) } sort keys %signed;
    return hmac_sha256_base64("{$json}$body", $secret);
}

my @api2cart_headers = (
    'X-Webhook-Timestamp'  => '1516291592',
    'X-Webhook-Entity'     => 'product',
    'X-Webhook-Action'     => 'update',
    'X-Webhook-Store-Id'   => '1',
    'X-Webhook-Error-Code' => '0');
my $ecwid_body = '{"eventId":"80aece08-40e8","eventCreated":1469429915,"storeId":1003,"entityId":103878161,'
  . '"eventType":"order.created","data":{"orderId":"XJ12H"}}';
my $stripe_body = '{"id":"evt_1","object":"event","account":"acct_9","created":1700000000,"type":"invoice.paid"}';
my $whsec       = 'whsec_' . encode_base64('0123456789abcdef01234567', '');

# Per provider: what it sends, how it signs, and what is found in it.
#
#   sign       gets secret, body and headers; returns the headers that sign
#   forged     bodies under the same signature that must be refused; unless
#              given, the body with one byte changed
#   columns    of the row; those not named are null
my @providers = (
    {
        provider => 'ecomanager',
        secret   => 'eco-secret',
        body     => '{"id":905448,"order_state_name":"confirm\u00e9"}',
        headers  => [
            'X-Ecomanager-Event'      => 'OrderCreated',
            'X-Ecomanager-Source'     => 'https://myshop.ecomanager.dz',
            'X-Ecomanager-Webhook-ID' => '61',
        ],
        sign    => sub { ('X-Ecomanager-Signature' => hmac_sha256_hex($_[1], $_[0])) },
        columns => {
            topic             => 'OrderCreated',
            source            => 'https://myshop.ecomanager.dz',
            webhook_remote_id => '61',
        },
    },
    {
        provider => 'ecomanager',
        name     => 'ecomanager in base64',
        secret   => 'eco-secret',
        body     => '{"id":905449}',
        headers  => [ 'X-Ecomanager-Event' => 'OrderDeleted' ],
        sign     => sub { ('X-Ecomanager-Signature' => hmac_sha256_base64($_[1], $_[0])) },
        columns  => { topic => 'OrderDeleted' },
    },
    {
        provider => 'api2cart',
        secret   => 'ed58a22dfecb405a50ea3ea56979360d',
        body     => '{"id":"86","name":"test product"}',
        headers  => \@api2cart_headers,
        sign     => sub { ('X-Webhook-Signature' => api2cart_signature(@_)) },
        columns  => { topic => 'product.update', source => '1', occurred_unix => 1516291592 },
    },
    {
        provider => 'api2cart',
        name     => 'api2cart with slashes, quotes and other scripts',
        secret   => 'ed58a22dfecb405a50ea3ea56979360d',
        body     => '',
        headers  => [
            @api2cart_headers[ 0 .. 7 ],
            'X-Webhook-Error-Code'    => '101',
            'X-Webhook-Error-Reason'  => 'store https://shop.example.com/admin "not\\found" <&\'>',
            'X-Webhook-Error-Message' => "Cl\xC3\xA9 \xD0\xBA \xE2\x80\xA8 \xF0\x9F\x9B\x92\ttab",
        ],
        sign    => sub { ('X-Webhook-Signature' => api2cart_signature(@_)) },
        forged  => ['x'],
        columns => {
            topic         => 'product.update',
            source        => '1',
            occurred_unix => 1516291592,
            error_code    => '101',
        },
    },
    {
        provider => 'ecwid',
        secret   => '3kWBaOrJ2sPzHcsD0mVvXQ91yZ',
        target   => '?eventtype=order.created',
        body     => $ecwid_body,
        sign     => sub { ('X-Ecwid-Webhook-Signature' => hmac_sha256_base64('1469429915.80aece08-40e8', $_[0])) },
        forged   => [ $ecwid_body =~ s/40e8/40e9/r, $ecwid_body =~ s/915/916/r ],
        columns  => {
            topic         => 'order.created',
            external_id   => '80aece08-40e8',
            source        => '1003',
            occurred_unix => 1469429915,
            query         => 'eventtype=order.created',
        },
    },
    {
        provider => 'shoplazza',
        secret   => 'shoplazza-client-secret',
        body     => '{"id":"1","title":"\ud83d\uded2"}',
        headers  => [
            'X-Shoplazza-Topic'            => 'orders/create',
            'X-Shoplazza-Shop-Domain'      => 'abc.myshoplaza.com',
            'X-Shoplazza-Deduplication-ID' => 'sl-1',
        ],
        sign    => sub { ('X-Shoplazza-Hmac-Sha256' => hmac_sha256_base64($_[1], $_[0])) },
        columns => { topic => 'orders/create', external_id => 'sl-1', source => 'abc.myshoplaza.com' },
    },
    {
        provider => 'standard_webhooks',
        secret   => $whsec,
        body     => '{"type":"contact.created","data":{}}',
        headers  => [ 'webhook-id' => 'msg_1', 'webhook-timestamp' => $now ],
        sign     => sub {
            ('webhook-signature' => 'v1,AAAA v1a,BBBB v1,'
                  . hmac_sha256_base64("msg_1.$now.$_[1]", '0123456789abcdef01234567'));
        },
        columns => { topic => 'contact.created', external_id => 'msg_1', occurred_unix => $now },
    },
    {
        provider => 'github',
        secret   => "It's a Secret to Everybody",
        body     => '{"zen":"x","repository":{"full_name":"octo/hello"}}',
        headers  => [
            'X-GitHub-Event'    => 'push',
            'X-GitHub-Delivery' => '72d3162e-cc78-11e3-81ab-4c9367dc0958',
            'X-GitHub-Hook-ID'  => '292430182',
        ],
        sign    => sub { ('X-Hub-Signature-256' => 'sha256=' . hmac_sha256_hex($_[1], $_[0])) },
        columns => {
            topic             => 'push',
            external_id       => '72d3162e-cc78-11e3-81ab-4c9367dc0958',
            source            => 'octo/hello',
            webhook_remote_id => '292430182',
        },
    },
    {
        provider => 'shopify',
        secret   => 'hush',
        body     => '{"line_items":[]}',
        headers  => [
            'X-Shopify-Topic'        => 'orders/create',
            'X-Shopify-Webhook-Id'   => 'b54557e4',
            'X-Shopify-Shop-Domain'  => 'my-shop.myshopify.com',
            'X-Shopify-Triggered-At' => '2023-03-29T18:00:27.877041743Z',
        ],
        sign    => sub { ('X-Shopify-Hmac-Sha256' => hmac_sha256_base64($_[1], $_[0])) },
        columns => {
            topic         => 'orders/create',
            external_id   => 'b54557e4',
            source        => 'my-shop.myshopify.com',
            occurred_unix => 1680112827.877041,
        },
    },
    {
        provider => 'stripe',
        secret   => 'whsec_stripe',
        body     => $stripe_body,
        sign     => sub { ('Stripe-Signature' => "t=$now,v0=abc,v1=" . hmac_sha256_hex("$now.$_[1]", $_[0])) },
        columns  => {
            topic         => 'invoice.paid',
            external_id   => 'evt_1',
            source        => 'acct_9',
            occurred_unix => 1700000000,
        },
    },
    {
        provider => 'generic',
        secret   => 'generic secret',
        body     => '{"a":1}',
        headers  => [
            'X-Webhook-Topic'     => 'thing.made',
            'X-Webhook-Source'    => 'here',
            'X-Webhook-Timestamp' => '1700000001',
        ],
        sign    => sub { ('X-Webhook-Signature' => uc hmac_sha256_hex($_[1], $_[0])) },
        columns => {
            topic         => 'thing.made',
            source        => 'here',
            occurred_unix => 1700000001,
        },
    });

# The value of a query parameter or SQL string.
sub quoted
{
    my ($text) = @_;
    $text =~ s/'/''/g;
    return "'$text'";
}

sub endpoint
{
    my ($name, $provider, $secret, @more) = @_;
    my $arguments = join ', ', map { quoted($_) } $name, $provider, $secret;
    return $bridge->sql("SELECT url FROM webhook_bridge.create_endpoint(" . join(', ', $arguments, @more) . ')');
}

sub flip
{
    my ($bytes, $at) = @_;
    substr($bytes, $at, 1) ^= "\x01";
    return $bytes;
}

# --- What every provider sends ------------------------------------------------

my $number = 0;
for my $case (@providers)
{
    my $name    = $case->{name} // $case->{provider};
    my $path    = '/hooks/p' . ++$number;
    my $target  = $path . ($case->{target} // '');
    my $body    = $case->{body};
    my @headers = (
        'User-Agent' => 'sender/1.0',
        'x-CUSTOM'   => 'first',
        'X-Custom'   => 'second',
        @{ $case->{headers} // [] });
    my @signing = $case->{sign}->($case->{secret}, $body, @headers);
    my @sent    = (@headers, @signing, 'x-custom' => 'third');

    endpoint("p$number", $case->{provider}, $case->{secret});

    # forgeries first: if one were stored or entered in the ledger, it would show below
    my @forgeries =
      map { [ 'another body', [@sent], $_ ] } @{ $case->{forged} // [ flip($body, length($body) - 3) ] };
    push @forgeries,
      [ 'another signature', [ @headers, @signing[ 0 .. $#signing - 1 ], flip($signing[-1], -9) ], $body ];
    push @forgeries,
      [ 'half a signature', [ @headers, @signing[ 0 .. $#signing - 1 ], substr($signing[-1], 0, -20) ], $body ];
    push @forgeries, [ 'no signature', \@headers, $body ];
    push @forgeries, [ 'two signatures', [ @sent, @signing[ 0 .. $#signing - 1 ], flip($signing[-1], -9) ], $body ];
    for my $forgery (@forgeries)
    {
        my ($what, $forged_headers, $forged_body) = @$forgery;
        answer_is($bridge->post($target, $forged_body, $forged_headers),
            401, 'delivery is not authentic', "$name: $what is refused");
    }
    is($bridge->count("webhook_bridge.events WHERE endpoint = 'p$number'"), 0, "$name: forgeries are not stored");

    answer_is($bridge->post($target, $body, \@sent), 200, 'stored', "$name: is taken");
    my ($event, @others) = $bridge->events("endpoint = 'p$number'");
    is(@others, 0, "$name: one row");

    for my $column (qw(topic external_id source webhook_remote_id error_code query))
    {
        is($event->{$column}, $case->{columns}{$column}, "$name: $column");
    }
    my ($got, $expected) = ($event->{occurred_unix}, $case->{columns}{occurred_unix});
    ok(defined $expected ? defined $got && $got == $expected : !defined $got, "$name: occurred_at")
      or diag('occurred_at is ' . ($got // 'null'));
    is($event->{method},       'POST',      "$name: method");
    is($event->{remote_addr},  '127.0.0.1', "$name: remote_addr");
    is($event->{secret_label}, 'default',   "$name: secret_label");
    ok($event->{verified}, "$name: verified");
    is($event->{body}, $body, "$name: body");
    is($event->{payload} // '', $body, "$name: payload");
    is($event->{has_raw_body}, $body eq '' ? JSON::PP::true : JSON::PP::false, "$name: raw_body");

    my @pairs;
    my @expected = (Host => 'localhost', @sent, Connection => 'close', 'Content-Length' => length $body);
    while (my ($header, $value) = splice @expected, 0, 2)
    {
        push @pairs, [ $header, decode('UTF-8', $value) ];
    }
    is_deeply($event->{header_list}, \@pairs, "$name: headers, in order, as spelled and repeated");
}

# --- API2Cart behind a proxy that changes the spelling ----------------------------

{
    my ($case)  = grep { $_->{provider} eq 'api2cart' } @providers;
    my $body    = '{"id":"87"}';
    my @headers = @api2cart_headers;
    my @signing = $case->{sign}->($case->{secret}, $body, @headers);
    my @lower   = (@headers, @signing);
    $lower[ 2 * $_ ] = lc $lower[ 2 * $_ ] for 0 .. $#lower / 2;

    endpoint('lower', 'api2cart', $case->{secret});
    answer_is($bridge->post('/hooks/lower', $body, \@lower), 200, 'stored', 'api2cart: names in lower case verify');
    my ($event) = $bridge->events("endpoint = 'lower'");
    is($event->{topic}, 'product.update', 'api2cart: topic from names in lower case');
    is($event->{header_list}[1][0], 'x-webhook-timestamp', 'api2cart: the spelling that arrived is kept');

    my @more = (@lower, 'X-Webhook-Added' => 'by somebody');
    is($bridge->post('/hooks/lower', $body, \@more)->{status}, 401, 'api2cart: an added header is refused');
    my @fewer = @lower[ 2 .. $#lower ];
    is($bridge->post('/hooks/lower', $body, \@fewer)->{status}, 401, 'api2cart: a removed header is refused');
    my @invalid = map { $_ eq 'product' ? "produ\xFFct" : $_ } @lower;
    is($bridge->post('/hooks/lower', $body, \@invalid)->{status},
        401, 'api2cart: a header that is not UTF-8 is refused');
}

# --- Ecwid signs two members only ------------------------------------------------

{
    my ($case) = grep { $_->{provider} eq 'ecwid' } @providers;
    my $body   = $ecwid_body =~ s/103878161/999/r;

    endpoint('ecwid', 'ecwid', $case->{secret});
    answer_is($bridge->post('/hooks/ecwid', $body, [ $case->{sign}->($case->{secret}) ]),
        200, 'stored', 'ecwid: other members are not signed');
}

# --- Ecomanager: activation, and deliveries by GET ----------------------------------

{
    my $signature = hmac_sha256_hex('', 'eco-secret');
    my @event     = ('X-Ecomanager-Event' => 'OrderCreated');
    my @signed    = (@event, 'X-Ecomanager-Signature' => $signature);
    my @forged    = (@event, 'X-Ecomanager-Signature' => flip($signature, 0));
    my @table     = (
        # what, method, headers, status, text, rows
        [ 'activation GET',            'GET',  [],      200, 'ready',                     0 ],
        [ 'activation HEAD',           'HEAD', [],      200, undef,                       0 ],
        [ 'GET with event only',       'GET',  \@event, 200, 'ready',                     0 ],
        [ 'GET with signature only',   'GET',  [ @signed[ 2, 3 ] ], 200, 'ready',         0 ],
        [ 'HEAD with all of it',       'HEAD', \@signed, 200, undef,                      0 ],
        [ 'GET with wrong signature',  'GET',  \@forged, 401, 'delivery is not authentic', 0 ],
        [ 'GET with signature, event', 'GET',  \@signed, 200, 'stored',                   1 ]);

    endpoint('eco', 'ecomanager', 'eco-secret');
    for my $row (@table)
    {
        my ($what, $method, $headers, $status, $text, $rows) = @$row;
        my $answer = $bridge->request($method, '/hooks/eco?a=b', $headers);
        if (defined $text)
        {
            answer_is($answer, $status, $text, "ecomanager: $what");
        }
        else
        {
            is($answer->{status}, $status, "ecomanager: $what");
        }
        is($bridge->count("webhook_bridge.events WHERE endpoint = 'eco'"), $rows, "ecomanager: rows after $what");
    }
    my ($event) = $bridge->events("endpoint = 'eco'");
    is("$event->{method} $event->{topic} $event->{query}", 'GET OrderCreated a=b', 'ecomanager: row of a GET');
    is($event->{body}, '', 'ecomanager: a GET has an empty body');

    my ($github) = grep { $_->{provider} eq 'github' } @providers;
    endpoint('hub', 'github', $github->{secret});
    answer_is(
        $bridge->request('GET', '/hooks/hub', [ 'X-GitHub-Event' => 'push', $github->{sign}->($github->{secret}, '') ]),
        200, 'ready', 'a GET is no delivery where the provider sends none');
    is($bridge->count("webhook_bridge.events WHERE endpoint = 'hub'"), 0, 'and is not stored');
}

# --- Blaze: a token in the URL -----------------------------------------------------

{
    my $url = $bridge->sql(
        q(SELECT url FROM webhook_bridge.create_endpoint('blaze', 'blaze', params => '{"topic": "NEW_MEMBER"}')));
    my ($base, $target, $token) = $url =~ m{\A(http://127\.0\.0\.1:\d+)(/hooks/blaze\?token=(.*))\z};
    is($base, 'http://127.0.0.1:' . $bridge->port, 'blaze: the URL is that of the receiver');
    cmp_ok(length $token, '>=', 32, 'blaze: the token cannot be guessed');

    my @wrong = (
        '/hooks/blaze',
        '/hooks/blaze?token=',
        '/hooks/blaze?token=' . flip($token, 0),
        '/hooks/blaze?token=' . substr($token, 0, -1),
        "/hooks/blaze?token=${token}0",
        "/hooks/blaze?Token=$token",
        "/hooks/blaze?token=$token&token=other");
    is($bridge->post($_, '{}')->{status}, 401, 'blaze: refused: ' . ($_ =~ s/\Q$token\E/(token)/r)) for @wrong;
    is($bridge->post('/hooks/blaze', '{}', [ token => $token ])->{status}, 401, 'blaze: refused in a header');

    answer_is($bridge->post($target,                    '{"member":1}'), 200, 'stored', 'blaze: with the token');
    answer_is($bridge->post("/hooks/blaze?a=1&token=$token&b", '{}'), 200, 'stored', 'blaze: with others beside it');
    my ($first, $second) = $bridge->events("endpoint = 'blaze'");
    is($first->{topic},  'NEW_MEMBER',      'blaze: topic of the endpoint');
    is($first->{query},  'token=***',       'blaze: the token is not shown');
    is($second->{query}, 'a=1&token=***&b', 'blaze: the rest of the query is');
    answer_is($bridge->post("/hooks/blaze?&%74oken=$token&", '{}'), 200, 'stored', 'blaze: an escaped name');
    is(($bridge->events("endpoint = 'blaze'"))[-1]{query}, '&%74oken=***&', 'blaze: the token is not shown then, either');
    is( $bridge->count("webhook_bridge.events e WHERE e::text LIKE '%$token%'"),
        0, 'blaze: the token is nowhere in the rows');
}

# A token in a header, of a provider that is not built in.
$bridge->sql(<<'SQL');
INSERT INTO webhook_bridge.providers (name, title, algorithm, signature_from, topic_from)
VALUES ('header_token', 'Token in a header', 'token', 'header:X-Token', '{json:object_kind}');
SELECT webhook_bridge.create_endpoint('lab', 'header_token', 'glpat-0123456789');
SQL
is($bridge->post('/hooks/lab', '{}', [ 'X-Token' => 'glpat-0123456780' ])->{status}, 401, 'token: wrong in a header');
answer_is($bridge->post('/hooks/lab', '{"object_kind":"push"}', [ 'x-token' => 'glpat-0123456789' ]),
    200, 'stored', 'token: right in a header');
{
    my ($event) = $bridge->events("endpoint = 'lab'");
    is_deeply($event->{header_list}[1], [ 'x-token', '***' ], 'token: not shown among the headers');
    is($event->{topic}, 'push', 'token: topic');
}

# --- Bodies -------------------------------------------------------------------------

my @bodies = (
    # what, bytes, whether jsonb takes it
    [ 'empty',                     '',                                       0 ],
    [ 'invalid UTF-8',             qq({"a":"\xC3\x28"}),                     0 ],
    [ 'overlong UTF-8',            qq({"a":"\xC0\x80"}),                     0 ],
    [ 'a surrogate in UTF-8',      qq({"a":"\xED\xA0\x80"}),                 0 ],
    [ 'a zero escape',             '{"a":"\\u0000"}',                        0 ],
    [ 'a zero escape as key',      '{"\\u0000":1}',                          0 ],
    [ 'a zero byte',               qq({"a":"\0"}),                           0 ],
    [ 'a high surrogate',          '{"a":"\\ud800"}',                        0 ],
    [ 'a low surrogate',           '{"a":"\\udc00"}',                        0 ],
    [ 'surrogates in wrong order', '{"a":"\\ude00\\ud83d"}',                 0 ],
    [ '2000 levels',               ('[' x 2000) . (']' x 2000),              0 ],
    [ 'a huge number',             '{"a":1e400000}',                         0 ],
    [ 'a form',                    'a=1&b=%20x',                             0 ],
    [ 'XML',                       "<?xml version=\"1.0\"?><a b='c'/>\r\n",  0 ],
    [ 'half of an object',         '{"a":1',                                 0 ],
    [ 'a byte order mark',         "\xEF\xBB\xBF{}",                         0 ],
    [ 'two objects',               '{}{}',                                   0 ],
    [ 'all bytes',                 join('', map { chr } 0 .. 255),           0 ],
    [ 'white space and order',     qq(\r\n{ "b" : 1 ,\t"a":1.50,"b":2 }\n),  1 ],
    [ 'UTF-8',                     qq({"a":"\xC3\xA9 \xF0\x9F\x9B\x92"}),    1 ],
    [ 'escapes',                   '{"a":"\\ud83d\\uded2 \\u00e9 \\/\\n"}',  1 ],
    [ 'a scalar',                  'null',                                   1 ],
    [ 'a big number',              '{"a":123456789012345678901234567890.5}', 1 ],
    [ '100 levels',                ('[' x 100) . (']' x 100),                1 ],
    [ '100 kB',                    '{"a":"' . ('x' x 100_000) . '"}',        1 ]);

endpoint('bodies', 'generic', 'generic secret');
for my $row (@bodies)
{
    my ($what, $body) = @$row;
    answer_is(
        $bridge->post(
            '/hooks/bodies', $body, [ 'X-Webhook-Signature' => hmac_sha256_hex($body, 'generic secret') ]),
        200, 'stored', "body: $what is stored");
}
{
    my @events = $bridge->events("endpoint = 'bodies'");
    is(@events, @bodies, 'body: all are there');
    for my $i (0 .. $#bodies)
    {
        my ($what, $body, $is_json) = @{ $bodies[$i] };
        my $event = $events[$i];
        ok($event->{body} eq $body, "body: $what, byte for byte");
        is(defined $event->{payload} ? 1 : 0, $is_json, "body: $what " . ($is_json ? 'is' : 'is not') . ' a payload');
        is($event->{has_raw_body} ? 1 : 0, 1 - $is_json, "body: $what is in one column");
    }
    is( $bridge->sql('SELECT count(payload::jsonb) = count(payload) FROM webhook_bridge.events'),
        't', 'body: every payload can be cast to jsonb');
}

# --- What cannot be verified ----------------------------------------------------------

{
    my ($case) = grep { $_->{provider} eq 'shoplazza' } @providers;
    my $secret = $case->{secret};
    my $signed = sub {
        my ($id, $body) = @_;
        return [
            'X-Shoplazza-Topic'            => 'orders/create',
            'X-Shoplazza-Deduplication-ID' => $id,
            $case->{sign}->($secret, $body)
        ];
    };

    endpoint('open', 'shoplazza', $secret, 'allow_unverified => true');
    answer_is($bridge->post('/hooks/open', '{"n":1}', [ 'X-Shoplazza-Deduplication-ID' => 'o-1' ]),
        200, 'stored', 'allow_unverified: without signature');
    answer_is($bridge->post('/hooks/open', '{"n":2}', $signed->('o-1', '{"n":2}')),
        200, 'stored', 'allow_unverified: the id of an unverified delivery is not taken');
    answer_is($bridge->post('/hooks/open', '{"n":3}', $signed->('o-1', '{}')),
        200, 'stored', 'allow_unverified: an unverified delivery is no duplicate');
    answer_is($bridge->post('/hooks/open', '{"n":2}', $signed->('o-1', '{"n":2}')),
        200, 'duplicate', 'allow_unverified: a verified one is');
    is_deeply(
        [ map { [ $_->{payload}, $_->{verified} ? 1 : 0, $_->{secret_label} ] } $bridge->events("endpoint = 'open'") ],
        [ [ '{"n":1}', 0, undef ], [ '{"n":2}', 1, 'default' ], [ '{"n":3}', 0, undef ] ],
        'allow_unverified: the rows say what was verified');

    $bridge->sql(<<'SQL');
INSERT INTO webhook_bridge.providers (name, title, algorithm) VALUES ('unsigned', 'Unsigned', 'none');
SELECT webhook_bridge.create_endpoint('unsigned', 'unsigned', allow_unverified => true);
SQL
    answer_is($bridge->post('/hooks/unsigned', 'x'), 200, 'stored', 'a provider that signs nothing');
    ok(!($bridge->events("endpoint = 'unsigned'"))[0]{verified}, 'is never verified');

    # --- Duplicates ---

    endpoint('dedup', 'shoplazza', $secret);
    endpoint('other', 'shoplazza', $secret);
    endpoint('all',   'shoplazza', $secret, "dedup => 'none'");
    for my $row (
        # what, endpoint, id, body, text
        [ 'first',                     'dedup', 'd-1', '{"n":1}', 'stored' ],
        [ 'same again',                'dedup', 'd-1', '{"n":1}', 'duplicate' ],
        [ 'same id, another body',     'dedup', 'd-1', '{"n":2}', 'duplicate' ],
        [ 'another id',                'dedup', 'd-2', '{"n":1}', 'stored' ],
        [ 'id in other case',          'dedup', 'D-1', '{"n":1}', 'stored' ],
        [ 'another endpoint',          'other', 'd-1', '{"n":1}', 'stored' ],
        [ 'dedup none',                'all',   'd-1', '{"n":1}', 'stored' ],
        [ 'dedup none, again',         'all',   'd-1', '{"n":1}', 'stored' ],
        [ 'without id',                'dedup', '',    '{"n":3}', 'stored' ],
        [ 'without id, again',         'dedup', '',    '{"n":3}', 'stored' ])
    {
        my ($what, $endpoint, $id, $body, $text) = @$row;
        answer_is($bridge->post("/hooks/$endpoint", $body, $signed->($id, $body)), 200, $text, "duplicates: $what");
    }
    is($bridge->count("webhook_bridge.events WHERE endpoint = 'dedup'"), 5, 'duplicates: rows');
    is($bridge->count("webhook_bridge.events WHERE endpoint = 'all'"),   2, 'duplicates: rows of dedup none');

    # an endpoint of the same name that is made later has ids of its own
    $bridge->sql("SELECT webhook_bridge.drop_endpoint('all')");
    endpoint('all', 'shoplazza', $secret);
    answer_is($bridge->post('/hooks/all', '{"n":1}', $signed->('d-1', '{"n":1}')), 200, 'stored', 'duplicates: new endpoint');
    $bridge->sql("SELECT webhook_bridge.drop_endpoint('all')");
    endpoint('all', 'shoplazza', $secret);
    answer_is($bridge->post('/hooks/all', '{"n":1}', $signed->('d-1', '{"n":1}')), 200, 'stored', 'duplicates: of its name');

    # a forged delivery with a known id learns nothing and changes nothing
    answer_is($bridge->post('/hooks/dedup', '{"n":9}', $signed->('d-1', '{}')),
        401, 'delivery is not authentic', 'duplicates: a forged one is refused as any other');
    answer_is($bridge->post('/hooks/dedup', '{"n":9}', $signed->('d-9', '{}')),
        401, 'delivery is not authentic', 'duplicates: a forged one with a new id');
    answer_is($bridge->post('/hooks/dedup', '{"n":9}', $signed->('d-9', '{"n":9}')),
        200, 'stored', 'duplicates: does not use that id up');

    # --- and at the same time ---

    for my $round (1 .. 5)
    {
        my @connections = map { $bridge->connect } 1 .. 20;
        my $request = http_request('POST', '/hooks/dedup', $signed->("same-$round", '{}'), '{}');
        $_->send(substr $request, 0, -1) for @connections;
        $_->send(substr $request, -1) for @connections;
        my %texts;
        $texts{ $_->response->{body} }++ for @connections;
        is_deeply(\%texts, { '{"status":"stored"}' => 1, '{"status":"duplicate"}' => 19 },
            "duplicates: 20 at the same time, round $round");
        is($bridge->count("webhook_bridge.events WHERE external_id = 'same-$round'"), 1, 'one row of them');
    }

    # the same within one batch
    my $pipelined = $bridge->connect;
    $pipelined->send(http_request('POST', '/hooks/dedup', $signed->('twin', '{}'), '{}') x 10);
    is(join(' ', map { $_->{body} =~ /stored/ ? 's' : 'd' } $pipelined->responses(10)),
        's d d d d d d d d d', 'duplicates: of those in one batch the first is stored');
}

my $status = $bridge->status;
is($status->{stored}, $bridge->count('webhook_bridge.events'), 'status() counts what was stored');
is($status->{duplicates}, 2 + 1 + 5 * 19 + 9, 'status() counts duplicates');

$bridge->stop;
done_testing;
