# Deliveries over TLS: what is agreed on and what is refused, client
# certificates, resumption, reloads, and the promises that hold without TLS.
#
# The clients are the command openssl, curl and Node.js.  The number of reloads
# under load is 200; to repeat the test with more:
#     TEST_TLS_RELOADS=1000 script/test tap tls

use strict;
use warnings;

use File::Copy qw(copy);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../perl";
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Tls;
use WebhookBridge;

my $reloads = $ENV{TEST_TLS_RELOADS} || 200;
my $secret  = 'a secret';
my $storms  = 0;
my $probe   = "GET /hooks/shop HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

my $directory = tempdir(CLEANUP => 1);
my $tls       = Tls->new($directory);
$tls->make('authority', ca => 1);
$tls->make('stranger',  ca => 1);
$tls->make('rsa', by => 'authority', names => 'IP:127.0.0.1', rsa => 2048);
$tls->make('ec',  by => 'authority', names => 'IP:127.0.0.1');

my $tls_port = PostgreSQL::Test::Cluster::get_free_port();
my $bridge   = WebhookBridge->start('tls', extension => 0, conf => <<"CONF");
log_statement = none
restart_after_crash = on
shared_buffers = 64MB
commit_siblings = 0
jit = off
webhook_bridge.tls_port = $tls_port
CONF
my $node = $bridge->node;
my $data = $node->data_dir;

# Where the settings look for them, unless told otherwise.
install('rsa');
$bridge->sql('CREATE EXTENSION webhook_bridge');
$bridge->wait_until_listening;
$bridge->create_endpoint('shop', $secret);
$bridge->sql('CREATE TABLE storm (id bigint, status int)');
$bridge->sql('CREATE TABLE stored (id bigint)');
like($bridge->log_text, qr/webhook_bridge listens on 127\.0\.0\.1, port @{[ $bridge->port ]}, and with TLS on port $tls_port$/m,
    'it listens with and without TLS');

versions_and_ciphers();
hostile_hellos();
protocols_of_http();
resumption();
client_certificates();
reloading();
bad_certificates();
without_a_certificate();
one_port_taken();
sizes_and_pieces();
errors_of_others();
ends_of_connections();
stalled();
curl();
reloads_under_load();
several_receivers();
hard_stops();
unlike($bridge->log_text, qr/terminated by signal 11|TRAP:|PANIC/, 'nothing crashed');
unlike($bridge->log_text, qr/PRIVATE KEY|$secret/, 'no secret is in the log');
done_testing();

# ---------------------------------------------------------------------------
# What is agreed on
# ---------------------------------------------------------------------------

sub versions_and_ciphers
{
    # SECLEVEL=0: it is the server that shall refuse
    my @all = grep { /\S/ } split /[:\n]/, scalar Tls::_run(qw(openssl ciphers ALL:COMPLEMENTOFALL:eNULL:@SECLEVEL=0));
    my @old = grep { !/^TLS_/ } @all;
    cmp_ok(scalar @old, '>', 100, 'the client knows many ciphers');
    for my $kind (qw(rsa ec))
    {
        my $name = $kind eq 'rsa' ? 'RSA' : 'ECDSA';
        serve($kind);
        like(scalar $tls->hello($tls_port, '-tls1_3'), qr/^New, TLSv1\.3, /m,                         "$name: TLS 1.3");
        like(scalar $tls->hello($tls_port, '-tls1_2'), qr/^New, TLSv1\.2, Cipher is ECDHE-$name-/m, "$name: TLS 1.2");
        my @taken = grep { ($tls->hello($tls_port, '-tls1_2', '-cipher', "$_:\@SECLEVEL=0"))[1] } @old;
        is_deeply(
            [ sort @taken ],
            [ sort map { "ECDHE-$name-$_" } qw(AES128-GCM-SHA256 AES256-GCM-SHA384 CHACHA20-POLY1305) ],
            "$name: of all ciphers of TLS 1.2 those with forward secrecy and authenticated encryption");
        for my $version (qw(-tls1 -tls1_1))
        {
            my ($output, $success) = $tls->hello($tls_port, $version, '-cipher', 'ALL:@SECLEVEL=0');
            ok(!$success, "$name: not $version");
            like($output, qr/alert protocol version/, 'for this reason');
        }
    }
    for my $cipher (qw(TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256))
    {
        like(scalar $tls->hello($tls_port, '-ciphersuites', $cipher), qr/Cipher is $cipher/, "TLS 1.3 with $cipher");
    }
    # which is chosen of several, whatever the client likes best, unless it has no AES of its own
    for my $row (
        [ '-tls1_3', '-ciphersuites', 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256', 'TLS_AES_128_GCM_SHA256' ],
        [ '-tls1_3', '-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256' ],
        [ '-tls1_2', '-cipher', 'ECDHE+AES256+AESGCM:ECDHE+AES128+AESGCM', 'ECDHE-ECDSA-AES128-GCM-SHA256' ])
    {
        my ($version, $option, $offered, $chosen) = @$row;
        like(scalar $tls->hello($tls_port, $version, $option, $offered), qr/Cipher is $chosen/, "of $offered");
    }
    ok(!($tls->hello($tls_port, '-tls1_3', '-ciphersuites', 'TLS_AES_128_CCM_8_SHA256'))[1],
        'not with a short authentication tag');
    like(scalar $tls->hello($tls_port, '-tls1_2', '-comp'), qr/^Compression: NONE/m, 'no compression');
    like(scalar $tls->hello($tls_port), qr/Early data was not sent/, 'no early data');

    my %offered = ('http/1.1' => 'http/1.1', 'h2,http/1.1' => 'http/1.1', 'http/1.1,h2' => 'http/1.1');
    for my $offer (sort keys %offered)
    {
        like(scalar $tls->hello($tls_port, '-alpn', $offer), qr/^ALPN protocol: http\/1\.1$/m, "ALPN, offered $offer");
    }
    like(scalar $tls->hello($tls_port), qr/^No ALPN negotiated$/m, 'ALPN is not required');
    like(scalar $tls->hello($tls_port, '-alpn', 'h2'), qr/alert no application protocol/, 'nothing but HTTP/1.1');

    reload_and_wait('webhook_bridge.tls_min_version' => '1.3', sub { !($tls->hello($tls_port, '-tls1_2'))[1] });
    ok(($tls->hello($tls_port, '-tls1_3'))[1], 'tls_min_version 1.3: TLS 1.3 and not 1.2');
    reload_and_wait('webhook_bridge.tls_min_version' => 'TLSv1.2', sub { ($tls->hello($tls_port, '-tls1_2'))[1] });
    is($node->safe_psql('postgres', 'SHOW webhook_bridge.tls_min_version'), '1.2', 'the spelling of ssl_min_protocol_version');

    # A client that asks for it again in the middle of a connection.
    my $output = talk([ '-tls1_2' ], "R\n", qr/RENEGOTIATING\n.*(?:error|alert)/s);
    like($output, qr/no renegotiation/, 'no renegotiation');
    $output = talk([ '-tls1_3' ], "K\n", qr/KEYUPDATE\n/, $probe, qr/\{"status":"ready"\}/);
    like($output, qr/^HTTP\/1\.1 200 OK/m, 'new keys within a connection');
    return;
}

# What the command openssl cannot say, or does not know any more: hellos made by
# hand, and whether a hello comes back.
sub hostile_hellos
{
    my @refused = (
        [ 'SSL 2',                       undef ],
        [ 'SSL 3',                       0x0300, 0xc02b ],
        [ 'TLS 1.0',                     0x0301, 0xc009, 0xc02b ],
        [ 'TLS 1.1',                     0x0302, 0xc009, 0xc02b ],
        [ 'NULL',                        0x0303, 0x0001, 0x0002, 0x003b, 0xc006, 0xc010 ],
        [ 'export ciphers',              0x0303, 0x0003, 0x0006, 0x0008, 0x0062, 0x0064 ],
        [ 'RC4',                         0x0303, 0x0004, 0x0005, 0xc007, 0xc011 ],
        [ '3DES',                        0x0303, 0x000a, 0x0016, 0xc008, 0xc012 ],
        [ 'DES and IDEA',                0x0303, 0x0007, 0x0009, 0x0015 ],
        [ 'anonymous',                   0x0303, 0x0018, 0x001b, 0x0034, 0x006c, 0x00a6, 0xc018, 0xc019 ],
        [ 'CBC',                         0x0303, 0x002f, 0x0035, 0x003c, 0xc009, 0xc00a, 0xc013, 0xc023, 0xc027 ],
        [ 'RSA key exchange',            0x0303, 0x009c, 0x009d ],
        [ 'finite fields',               0x0303, 0x0033, 0x0039, 0x009e, 0x009f ],
        [ 'pre-shared keys',             0x0303, 0x008c, 0x00a8, 0xc035 ],
        [ 'a fallback that is not one',  0x0302, 0xc02b, 0x5600 ],
        [ 'unknown ciphers',             0x0303, 0x0a0a, 0xfafa ]);
    my $before = failures();

    is(hello_by_hand(0x0303, 0xc02b), 'hello', 'a hello made by hand, with a good cipher');
    for my $case (@refused)
    {
        my ($name, $version, @ciphers) = @$case;
        my $answer = defined $version ? hello_by_hand($version, @ciphers) : answer_to("\x80\x2e\x01\x00\x02" . "\0" x 43);
        like($answer, qr/^(?:alert (?:40|50|70|86)|closed)$/, "refused: $name ($answer)");
    }

    is(answer_to(hello_bytes(0x0302, 0xc009) . 'x' x 1_000_000), 'alert 70', 'why is told whatever else was sent');

    # What is no hello at all, from many addresses' worth of clients.
    my ($log, $offset) = $bridge->log_text;
    my @garbage = ("\0" x 300, "\xff" x 300, "\x16\x03\x01\xff\xff" . 'x' x 300, "\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff",
        "\x15\x03\x01\x00\x02\x02\x28", "\x17\x03\x03\x00\x05hello", 'SSH-2.0-OpenSSH_9.2' . "\r\n", "\x16", '');
    for my $n (1 .. 300)
    {
        my $connection = WebhookBridge::Connection->new($tls_port);
        $connection->send($garbage[ $n % @garbage ]);
        if ($n % 3) { $connection->finish_sending; $connection->is_closed }
        $connection->close;
    }
    # with the good hello, which was left alone
    my $expected = $before + 1 + @refused + 1 + 300;
    poll_until(sub { failures() >= $expected }, 'the failures');
    is(failures(), $expected, 'status() counts them all');
    is(scalar $bridge->log_text($offset), '', 'and the log says nothing');
    delivery_is_stored('after them');
    return;
}

# One on the port of the other.
sub protocols_of_http
{
    my $before = $bridge->status->{malformed};
    for my $request ($probe, "POST /hooks/shop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" . 'x' x 100000,
        "CONNECT localhost:1 HTTP/1.1\r\n\r\n")
    {
        my ($method) = $request =~ /^(\w+)/;
        my $connection = WebhookBridge::Connection->new($tls_port);
        $connection->send($request);
        my $answer = $connection->response;
        answer_is($answer, 400, 'malformed request', "$method without TLS where it is spoken");
        is($answer->{headers}{connection}, 'close', 'and no more');
        ok($connection->is_closed, 'it is closed');
    }
    my ($output, $success) = $tls->hello($bridge->port);
    ok(!$success, 'TLS where it is not spoken');
    is($bridge->status->{malformed}, $before + 4, 'both are counted as malformed');
    delivery_is_stored('after both');
    return;
}

# ---------------------------------------------------------------------------
# Sessions and client certificates
# ---------------------------------------------------------------------------

sub resumption
{
    for my $version (qw(-tls1_2 -tls1_3))
    {
        my $session = new_session($version);
        ok(is_resumed($version, $session), "$version: a session is resumed");
        # a reload makes another context, with the same certificate
        $node->reload;
        ok(is_resumed($version, $session), 'also after a reload');
        my ($pid) = $bridge->workers('receiver');
        $bridge->sql("SELECT pg_terminate_backend($pid)");
        poll_until(sub { my ($now) = $bridge->workers('receiver'); $now && $now != $pid && $bridge->is_listening }, 'another receiver');
        ok(is_resumed($version, $session), 'and by another receiver');
        $node->restart;
        $bridge->wait_until_listening;
        my ($output, $success) = $tls->hello($tls_port, $version, '-sess_in', $session, \$probe);
        like($output, qr/^New, .*\{"status":"ready"\}/ms, 'not after a restart, and nobody notices');
    }
    return;
}

sub client_certificates
{
    my %session = map { $_ => new_session($_) } qw(-tls1_2 -tls1_3);
    $tls->make('sender',   by => 'authority', purpose => 'clientAuth');
    $tls->make('any',      by => 'authority');
    $tls->make('expired',  by => 'authority', days => -1);
    $tls->make('foreign',  by => 'stranger');
    $tls->make('selfmade');
    $tls->make('website',  by => 'authority', purpose => 'serverAuth');
    $tls->make('between',  by => 'authority', ca => 1);
    $tls->make('through',  by => 'between');
    my $with = sub { return ('-cert', $tls->file($_[0], 'crt'), '-key', $tls->file($_[0], 'key')) };

    my $open = $tls->connect($tls_port);
    is($open->request('GET', '/hooks/shop')->{status}, 200, 'a connection is open');
    reload_and_wait('webhook_bridge.tls_client_ca_file' => $tls->file('authority', 'crt'),
        sub { ($tls->hello($tls_port, \$probe))[0] !~ /"ready"/ });
    is($open->request('GET', '/hooks/shop')->{status}, 200, 'it stays open when certificates become required');
    $tls->disconnect($open);

    my @cases = (
        [ 'of the authority', [ $with->('sender') ], undef ],
        [ 'without a purpose', [ $with->('any') ], undef ],
        [ 'through another authority', [ $with->('through'), '-cert_chain', $tls->file('between', 'crt') ], undef ],
        [ 'through another authority that is not sent', [ $with->('through') ], 'unknown ca' ],
        [ 'missing', [], '(?:certificate required|handshake failure)' ],
        [ 'expired', [ $with->('expired') ], 'certificate expired' ],
        [ 'of an unknown authority', [ $with->('foreign') ], 'unknown ca' ],
        [ 'of nobody', [ $with->('selfmade') ], 'unknown ca' ],
        [ 'of a server', [ $with->('website') ], '(?:unsupported certificate|bad certificate|certificate unknown)' ]);
    for my $version (qw(-tls1_2 -tls1_3))
    {
        for my $case (@cases)
        {
            my ($name, $options, $alert) = @$case;
            my $before = failures();
            my $output = $tls->hello($tls_port, $version, @$options, \$probe);
            if (defined $alert)
            {
                like($output, qr/alert $alert/, "$version, client certificate $name: refused, and told why");
                unlike($output, qr/^HTTP/m, 'there is no answer');
                is(failures(), $before + 1, 'it is counted');
            }
            else
            {
                like($output, qr/^\{"status":"ready"\}/m, "$version, client certificate $name: taken");
            }
        }
        # Otherwise a session could outlive what its certificate was worth.
        unlike(scalar $tls->hello($tls_port, $version, '-sess_in', $session{$version}, \$probe),
            qr/^Reused|"ready"/m, "$version: a session without a certificate is of no use");
        like(scalar $tls->hello($tls_port, $version, $with->('sender'), '-sess_in', $session{$version}, \$probe),
            qr/^New, .*"ready"/ms, 'nor in the way of one with a certificate');
        my $own = new_session($version, $with->('sender'));
        ok(!-e $own || !is_resumed($version, $own, $with->('sender')), 'one with a certificate is not resumed');
    }
    reload_and_wait('webhook_bridge.tls_client_ca_file' => '', sub { ($tls->hello($tls_port, \$probe))[0] =~ /"ready"/ });
    pass('an empty setting requires no certificates');
    return;
}

# ---------------------------------------------------------------------------
# Reloads
# ---------------------------------------------------------------------------

sub reloading
{
    my $first  = $tls->make('first',  by => 'authority', names => 'IP:127.0.0.1');
    my $second = $tls->make('second', by => 'authority', names => 'IP:127.0.0.1', rsa => 2048);
    serve('first');
    my @open = map { $tls->connect($tls_port) } 1 .. 4;
    is($_->request('GET', '/hooks/shop')->{status}, 200, 'a connection is open') for @open;
    my $plain = $bridge->connect;
    is($plain->request('GET', '/hooks/shop')->{status}, 200, 'also one without TLS');
    my ($pid) = $bridge->workers('receiver');
    # one of them is in the middle of a request, and one in that of a handshake
    $open[0]->send("GET /hooks/shop HTTP/1.1\r\nHost: loc");
    my $late = WebhookBridge::Connection->new($tls_port);
    $late->send("\x16\x03");
    serve('second');
    $open[0]->send("alhost\r\n\r\n");
    is($open[0]->response->{status}, 200, 'a request that was begun before a reload is answered');
    is($_->request('GET', '/hooks/shop')->{status}, 200, 'a connection goes on') for @open[ 1 .. 3 ], $plain;
    is_deeply([ $bridge->workers('receiver') ], [$pid], 'the receiver is the same');
    ok(!$late->is_closed(0), 'a handshake under way goes on');
    $late->close;
    $tls->disconnect($_) for @open;

    # The clients know the authority, and what is between it and the certificate only
    # from the receiver.
    $tls->make('middle', by => 'authority', ca => 1);
    for my $kind (qw(rsa ec))
    {
        my $name = "end_$kind";
        serve('second');
        $tls->make($name, by => 'middle', names => 'IP:127.0.0.1', $kind eq 'rsa' ? (rsa => 2048) : ());
        install($name);
        $node->reload;
        poll_until(sub { !tls_answers() }, 'a certificate of an intermediate authority');
        pass("$kind: without the intermediate certificate a client refuses it");
        append_to_file($tls->file($name, 'crt'), slurp_file($tls->file('middle', 'crt')));
        install($name);
        $node->reload;
        poll_until(\&tls_answers, 'the chain');
        pass("$kind: with it behind the certificate, it is verified");
    }
    serve('second');

    # Other files, named by the settings.
    my ($certificate, $key) = map { $tls->file('first', $_) } qw(crt key);
    $bridge->reload('webhook_bridge.tls_cert_file' => $certificate, 'webhook_bridge.tls_key_file' => $key);
    poll_until(sub { served() == $first }, 'the certificate of the settings');
    pass('the settings name other files');
    $bridge->reload('webhook_bridge.tls_cert_file' => 'server.crt', 'webhook_bridge.tls_key_file' => 'server.key');
    poll_until(sub { served() == $second }, 'the certificate in the data directory');
    return;
}

sub bad_certificates
{
    my $good = serve('ec');
    $tls->make('locked', by => 'authority', passphrase => 'open sesame');
    $tls->make('short',  by => 'authority', rsa => 1024);
    append_to_file("$directory/garbage.crt", "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n");
    append_to_file("$directory/empty.crt", '');
    my $connection = $tls->connect($tls_port);
    is($connection->request('GET', '/hooks/shop')->{status}, 200, 'a connection is open');
    my @cases = (
        [ 'no certificate',         sub { unlink "$data/server.crt" },                         qr/Could not load the certificate file "server\.crt": No such file/ ],
        [ 'garbage',                sub { copy("$directory/garbage.crt", "$data/server.crt") }, qr/Could not load the certificate file "server\.crt": / ],
        [ 'an empty file',          sub { copy("$directory/empty.crt", "$data/server.crt") },   qr/Could not load the certificate file "server\.crt": / ],
        [ 'a short key',            sub { install('short') },                                   qr/ee key too small/ ],
        [ 'no key',                 sub { unlink "$data/server.key" },                          qr/Could not access the private key file "server\.key": No such file/ ],
        [ 'a directory',            sub { unlink "$data/server.key"; mkdir "$data/server.key" }, qr/"server\.key" is not a regular file/ ],
        [ 'the key of another',     sub { copy($tls->file('rsa', 'key'), "$data/server.key") }, qr/"server\.key" does not belong to the certificate/ ],
        [ 'another key of its kind',  sub { copy($tls->file('first', 'key'), "$data/server.key") }, qr/key values mismatch/ ],
        [ 'a key for the group',    sub { chmod 0640, "$data/server.key" },                     qr/"server\.key" has group or world access; it must have permissions 0600/ ],
        [ 'a key for all',          sub { chmod 0604, "$data/server.key" },                     qr/"server\.key" has group or world access/ ],
        [ 'a key with a passphrase', sub { install('locked') },                                 qr/"server\.key" requires a passphrase/ ]);
    for my $case (@cases)
    {
        my ($name, $break, $reason) = @$case;
        install('ec');
        $break->();
        my (undef, $offset) = $bridge->log_text;
        $node->reload;
        poll_until(sub { $bridge->log_text($offset) =~ /did not reload.*DETAIL.*HINT/s }, 'the message');
        is(served(), $good, "$name: the certificate there was is still served");
        my $log = $bridge->log_text($offset);
        is(scalar(() = $log =~ /webhook_bridge did not reload its TLS certificate/g), 1, 'the log says so, once');
        like($log, $reason, 'and why');
        rmdir "$data/server.key";
    }
    # Files of root: 0640 is good enough, so that it is the reading that fails, and 0644 is not.
    for my $case ([ '/etc/shadow', 0640, qr/Could not load the private key file "\/etc\/shadow": Permission denied/ ],
        [ '/etc/passwd', 0644, qr/"\/etc\/passwd" has group or world access; .* 0640 or less if it is owned by root/ ])
    {
        my ($file, $mode, $reason) = @$case;
        my @stat = stat $file;
      SKIP:
        {
            skip "$file is another", 1 unless @stat && $stat[4] == 0 && ($stat[2] & 07777) == $mode && ($mode == 0644 || !-r $file);
            install('ec');
            my (undef, $offset) = $bridge->log_text;
            $bridge->reload('webhook_bridge.tls_key_file' => $file);
            poll_until(sub { $bridge->log_text($offset) =~ /did not reload.*DETAIL.*HINT/s }, 'the message');
            like(scalar $bridge->log_text($offset), $reason, sprintf 'a key of root, %04o', $mode);
        }
    }
    $bridge->reload('webhook_bridge.tls_key_file' => 'server.key');
    my (undef, $offset) = $bridge->log_text;
    install('ec');
    $bridge->reload('webhook_bridge.tls_client_ca_file' => "$directory/garbage.crt");
    poll_until(sub { $bridge->log_text($offset) =~ /Could not load the file of client authorities/ }, 'the message');
    is(served(), $good, 'an unusable file of authorities: everything stays as it was');
    $bridge->reload('webhook_bridge.tls_client_ca_file' => '');
    is($connection->request('GET', '/hooks/shop')->{status}, 200, 'the connection is still open');
    $tls->disconnect($connection);
    return;
}

# From the start, and ports that come and go.
sub without_a_certificate
{
    install('ec');
    unlink "$data/server.crt";
    my (undef, $offset) = $bridge->log_text;
    $node->restart;
    $bridge->wait_until_listening;
    delivery_is_stored('without a certificate, deliveries without TLS');
    ok(!tls_answers(), 'nothing listens for TLS');
    my $log = $bridge->log_text($offset);
    is(scalar(() = $log =~ /WARNING:  webhook_bridge cannot serve TLS on port $tls_port/g), 1, 'the log says so, once');
    is(open_and_closed(), "listening|{$tls_port}", 'and status() which port is closed');
    my $open = $bridge->connect;
    install('ec');
    $node->reload;
    poll_until(\&tls_answers, 'TLS');
    pass('it begins with the reload that finds one');
    poll_until(sub { open_and_closed() eq 'listening|{}' }, 'status() to say so');
    is($open->request('GET', '/hooks/shop')->{status}, 200, 'and an open connection without TLS goes on');

    $bridge->reload('webhook_bridge.tls_port' => 0);
    poll_until(sub { !tls_answers() }, 'the end of TLS');
    $bridge->wait_until_listening;
    delivery_is_stored('without TLS');
    $bridge->reload('webhook_bridge.tls_port' => $bridge->port);
    poll_until(sub { $bridge->log_text($offset) =~ /webhook_bridge\.tls_port are the same/ }, 'the message');
    is(open_and_closed(), "blocked|{@{[ $bridge->port ]}}", 'one port cannot be both');
    $bridge->reload('webhook_bridge.tls_port' => 0, 'webhook_bridge.port' => 0);
    poll_until(sub { $bridge->log_text($offset) =~ /Neither webhook_bridge\.port nor webhook_bridge\.tls_port is set/ }, 'the message');
    is(open_and_closed(), 'blocked|{}', 'no port at all is said');
    $bridge->reload('webhook_bridge.tls_port' => $tls_port, 'webhook_bridge.port' => 0);
    poll_until(\&tls_answers, 'TLS');
    ok(!$bridge->is_listening, 'TLS alone');
    is($bridge->sql('SELECT webhook_bridge.base_url()'), "https://127.0.0.1:$tls_port", 'the URL says so');
    $bridge->reload('webhook_bridge.port' => $bridge->port);
    $bridge->wait_until_listening;
    poll_until(\&tls_answers, 'TLS');
    return;
}

# ---------------------------------------------------------------------------
# Deliveries
# ---------------------------------------------------------------------------

# Sizes around those of records and buffers, and up to the largest that is taken.
# Somebody else has one of the two ports: the other one is open.
sub one_port_taken
{
    for my $with_tls (0, 1)
    {
        my $setting = 'webhook_bridge.' . ($with_tls ? 'tls_port' : 'port');
        my $before  = $with_tls ? $tls_port : $bridge->port;
        my $port    = PostgreSQL::Test::Cluster::get_free_port();
        my $other   = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 5, ReuseAddr => 1)
          or die "could not listen on port $port: $!";
        my (undef, $offset) = $bridge->log_text;

        $bridge->reload($setting => $port);
        poll_until(sub { open_and_closed() eq "listening|{$port}" }, "$setting to be among the closed ports");
        like(scalar $bridge->log_text($offset),
            qr/WARNING:  webhook_bridge could not listen on "127\.0\.0\.1", port $port\n.*DETAIL:  Address already in use/,
            "$setting is taken: the log says so");
        my $open;
        if ($with_tls)
        {
            delivery_is_stored("$setting is taken: a delivery without TLS");
            $open = $bridge->connect;
        }
        else
        {
            ok(tls_answers(), "$setting is taken: TLS is served");
        }

        close $other;
        $tls_port = $port if $with_tls;
        $bridge->{port} = $port unless $with_tls;
        poll_until(sub { $with_tls ? tls_answers() : $bridge->is_listening }, "$setting to be open");
        poll_until(sub { open_and_closed() eq 'listening|{}' }, 'status() to say so');
        my $log = $bridge->log_text($offset);
        is(scalar(() = $log =~ /WARNING/g), 1, "$setting: it was said once");
        is($open->request('GET', '/hooks/shop')->{status}, 200, "$setting: who is connected to the other has not noticed") if $open;

        $bridge->reload($setting => $before);
        $tls_port = $before if $with_tls;
        $bridge->{port} = $before unless $with_tls;
        $bridge->wait_until_listening;
        poll_until(\&tls_answers, 'TLS');
    }
    return;
}

sub sizes_and_pieces
{
    my $limit = 1024 * 1024;
    my @sizes = (0, 1, 2, 5, 100, 1000, 4095, 4096, 8191, 8192, 8193, 16383, 16384, 16385, 24576, 32767, 65536, 65537, 100_000,
        262_144, 500_000, $limit - 1, $limit);
    for my $seed (split ' ', $ENV{TEST_SEEDS} // '1 2 3')
    {
        srand $seed;
        $bridge->create_endpoint("pieces$seed", $secret);
        my @all  = (@sizes, map { int(exp(rand log $limit)) } 1 .. 40);
        my $done = client('split', $seed, "/hooks/pieces$seed", $secret, @all);
        is_deeply([ map { $_->{status} } @$done ], [ (200) x @all ], "seed $seed: deliveries of all sizes, in pieces, are taken");
        is( $bridge->sql("SELECT string_agg(encode(sha256(webhook_bridge.event_body(e)), 'hex'), ' ' ORDER BY id)
                          FROM webhook_bridge.events e WHERE endpoint = 'pieces$seed'"),
            join(' ', map { $_->{sha256} } @$done),
            "seed $seed: and stored byte for byte, in order");
    }
    my $done = client('split', 9, '/hooks/shop', $secret, $limit + 1);
    is_deeply([ map { $_->{status} } @$done ], [413], 'one byte more is too much');
    return;
}

# What OpenSSL has to say of one connection is not taken for an error of another,
# which waits for the rest of a record meanwhile.
sub errors_of_others
{
    my @sizes = (1000) x 60;
    my ($out, $err) = ('', '');
    my $before = failures();
    my $sender = IPC::Run::start([ client_command('split', 4, '/hooks/shop', $secret, @sizes) ], '<', '/dev/null', '>', \$out, '2>', \$err,
        IPC::Run::timeout($WebhookBridge::DEADLINE * 2));
    my $failed = 0;
    while ($sender->pumpable)
    {
        $failed++ if hello_by_hand(0x0303, 0x0001) =~ /alert/;
        $sender->pump_nb;
    }
    $sender->finish;
    cmp_ok($failed, '>', 10, "beside $failed failed handshakes");
    my $done = eval { decode_json($out) } // [];
    is_deeply([ map { $_->{status} } @$done ], [ (200) x @sizes ], 'deliveries in pieces are taken') or diag $err;
    is(failures(), $before + $failed, 'and nothing else has failed');
    return;
}

sub ends_of_connections
{
    is_deeply(client('half', '/hooks/shop'), { status => 200 }, 'a client that sends no more gets its answer');

    # Both ways of closing are announced: the client would complain of the end of a file.
    my $connection = $tls->connect($tls_port, '-tls1_3');
    is($connection->request('GET', '/hooks/shop', [ Connection => 'close' ])->{status}, 200, 'a last request');
    ok($connection->is_closed, 'it is closed');
    is($tls->errors($connection), '', 'with an alert that says so');
    $tls->disconnect($connection);
    $bridge->reload('webhook_bridge.keepalive_timeout' => '100ms');
    poll_until(
        sub {
            my $idle = $tls->connect($tls_port);
            $idle->request('GET', '/hooks/shop');
            my $closed = $idle->is_closed(1);
            is($tls->errors($idle), '', 'an idle connection is closed in the same way') if $closed;
            $tls->disconnect($idle);
            return $closed;
        },
        'the end of an idle connection');
    $bridge->reload('webhook_bridge.keepalive_timeout' => '75s');

    # A client that does not read keeps nothing but its own connection.
    my $count  = 100_000;
    my $before = $bridge->status->{probes};
    my ($in, $out, $err) = ('', '', '');
    my $slow = IPC::Run::start([ client_command('slow', '/hooks/shop', $count) ], \$in, \$out, \$err);
    poll_until(sub { $slow->pump_nb; $bridge->status->{probes} > $before + 100 }, 'the first answers');
    poll_until(sub { my $now = $bridge->status->{probes}; $slow->pump_nb; $bridge->status->{probes} == $now }, 'a pause');
    delivery_is_stored('while a client does not read');
    $in .= "go\n";
    $slow->finish or diag $err;
    is_deeply(decode_json($out), { 200 => $count }, 'it gets all its answers when it does');

    # Without an alert, and in the middle of everything.
    my $begun = $bridge->status->{connections};
    for my $bytes ("\x16\x03\x01\x00\xff\x01", hello_bytes(0x0303, 0xc02b))
    {
        my $broken = WebhookBridge::Connection->new($tls_port);
        setsockopt $broken->socket, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack('ii', 1, 0);
        $broken->send($bytes);
        $broken->close;
    }
    my $cut = $tls->connect($tls_port);
    $cut->send("POST /hooks/shop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nnot all");
    poll_until(sub { $bridge->status->{connections} > 0 }, 'a connection');
    $tls->disconnect($cut);
    poll_until(sub { $bridge->status->{connections} == 0 }, 'the end of all connections');
    delivery_is_stored('after connections that were cut');
    return;
}

# Handshakes that stand still, at any point, harm nobody else.
sub stalled
{
    my $hello = hello_bytes(0x0303, 0xc02b);
    # The time of a handshake is what was set when it began.
    $bridge->reload('webhook_bridge.request_timeout' => '5min');
    poll_until(sub { $bridge->sql('SHOW webhook_bridge.request_timeout') eq '5min' }, 'the setting');
    $node->safe_psql('postgres', 'SELECT 1');
    delivery_is_stored('before handshakes stand still');
    my @stalled = map { WebhookBridge::Connection->new($tls_port) } 1 .. 300;
    $stalled[$_]->send(substr $hello, 0, $_ % 3 ? length($hello) * ($_ % 3 - 1) : $_ % length $hello) for 0 .. $#stalled;
    poll_until(sub { $bridge->status->{connections} >= @stalled }, 'their connections');
    my $begun = time;
    my $kept  = $tls->connect($tls_port);
    for my $n (1 .. 20)
    {
        my $body = qq({"id":$n});
        is($kept->request('POST', '/hooks/shop', WebhookBridge::ecomanager_headers($secret, $body), $body)->{status}, 200,
            'a delivery over TLS beside stalled handshakes');
        like(scalar $tls->hello($tls_port, \$probe), qr/"ready"/, 'another connection') if $n % 4 == 0;
    }
    delivery_is_stored('without TLS beside them');
    diag sprintf '20 deliveries and 5 connections beside 300 stalled handshakes: %.2f s', time - $begun;
    is(scalar(grep { $_->is_closed(0) } @stalled), 0, 'which are still there');
    $tls->disconnect($kept);
    $_->close for @stalled;
    poll_until(sub { $bridge->status->{connections} == 0 }, 'the end of all connections');

    my $before = failures();
    $bridge->reload('webhook_bridge.request_timeout' => '300ms');
    poll_until(
        sub {
            my $connection = WebhookBridge::Connection->new($tls_port);
            $connection->send(substr $hello, 0, 20);
            return $connection->is_closed(2);
        },
        'a handshake to end at its deadline');
    cmp_ok(failures(), '>', $before, 'a handshake has a deadline');
    $bridge->reload('webhook_bridge.request_timeout' => '10s');
    return;
}

sub curl
{
    my $body  = '{"id": 1, "from": "curl"}';
    my @headers = @{ WebhookBridge::ecomanager_headers($secret, $body) };
    my @options = ('-sS', '--cacert', $tls->file('authority', 'crt'), '-d', $body, '-w', "\n%{http_version} %{ssl_verify_result}\n");
    while (my ($name, $value) = splice @headers, 0, 2)
    {
        push @options, '-H', "$name: $value";
    }
    for my $version ('--tlsv1.3', [ '--tls-max', '1.2' ])
    {
        is(Tls::_run('curl', @options, ref $version ? @$version : $version, "https://127.0.0.1:$tls_port/hooks/shop"),
            qq({"status":"stored"}\n1.1 0\n), 'curl ' . (ref $version ? "@$version" : $version));
    }
    return;
}

# ---------------------------------------------------------------------------
# Under load
# ---------------------------------------------------------------------------

# A load with TLS, or without.
sub storm
{
    my ($with_tls, %options) = @_;
    return $bridge->storm(
        path        => '/hooks/shop',
        secret      => $secret,
        connections => 16,
        first       => 1 + 10_000_000 * ++$storms,
        $with_tls ? (ca => $tls->file('authority', 'crt'), port => $tls_port) : (),
        %options);
}

# Ends storms, and compares what they were told with what is stored.
sub check_storms
{
    my ($name, %storms) = @_;
    for my $kind (sort keys %storms)
    {
        my $end = $storms{$kind}->finish;
        $bridge->sql(sprintf q{TRUNCATE storm; COPY storm FROM '%s'; ANALYZE storm}, $storms{$kind}->outcomes);
        # storms are alone with their ids
        $bridge->sql(<<'SQL');
TRUNCATE stored;
INSERT INTO stored SELECT id FROM (
    SELECT (payload->>'id')::bigint AS id FROM webhook_bridge.events WHERE payload->>'note' IS NOT NULL) e
WHERE id BETWEEN (SELECT min(id) FROM storm) AND (SELECT max(id) FROM storm);
ANALYZE stored;
SQL
        my $acknowledged = $bridge->count('storm WHERE status = 200');
        my $stored       = $bridge->count('stored');
        diag sprintf '%s, %s: sent %d, acknowledged %d, stored %d, refused %d, without an answer %d, unopened %d',
          $name, $kind, $end->{sent}, $acknowledged, $stored, $end->{refused}, $end->{lost}, $end->{unopened};
        cmp_ok($acknowledged, '>', 1000, "$name, $kind: many are acknowledged");
        is($bridge->count('(SELECT id FROM storm WHERE status = 200 EXCEPT SELECT id FROM stored) missing'),
            0, "$name, $kind: everything acknowledged is stored");
        is($bridge->count('(SELECT id FROM stored GROUP BY id HAVING count(*) > 1) twice'), 0, "$name, $kind: nothing twice");
        is($bridge->count('storm WHERE status NOT IN (0, 200, 503)'), 0, "$name, $kind: no other answers than 200 and 503");
    }
    return;
}

# Certificates in turn, while each delivery has a handshake of its own.
sub reloads_under_load
{
    my @names  = map { "turn$_" } 1 .. 8;
    my %serial = map { $_ => $tls->make($_, by => 'authority', names => 'IP:127.0.0.1') } @names;
    serve($names[0]);
    my $before = failures();
    my $fresh  = storm(1, requests => 1, pause => 0, connections => 8);
    my $kept   = storm(1, connections => 1);
    my $plain  = storm(0, connections => 1);
    $_->wait_for_more(10) for $fresh, $kept, $plain;
    my $begun = time;
    my ($pid) = $bridge->workers('receiver');
    for my $n (1 .. $reloads)
    {
        my $name = $names[ $n % @names ];
        install($name);
        $node->reload;
        poll_until(sub { $_->progress for $kept, $plain; $fresh->progress->{certificate} == $serial{$name} }, "certificate $n");
    }
    my $took = time - $begun;
    my $end  = $fresh->progress;
    $_->wait_for_acknowledged(1001) for $fresh, $kept, $plain;
    # before the storm ends, which leaves handshakes half-way
    is(failures(), $before, 'no handshake failed, says status()');
    diag sprintf '%d reloads in %.0f s, meanwhile %d handshakes, of which %d failed', $reloads, $took, $end->{sent},
      $end->{unopened};
    check_storms("$reloads reloads", 'a connection each', $fresh, 'connections kept', $kept, 'without TLS', $plain);
    is($_->progress->{unopened}, 0, 'no connection failed to open') for $fresh, $kept, $plain;
    is($_->progress->{lost}, 0, 'and none was lost') for $fresh, $kept, $plain;
    is_deeply([ $bridge->workers('receiver') ], [$pid], 'the receiver is the same');
    return;
}

sub several_receivers
{
    my %session = map { $_ => new_session($_) } qw(-tls1_2 -tls1_3);
    $bridge->reload('webhook_bridge.receivers' => 3);
    poll_until(sub { $bridge->count("webhook_bridge.status() WHERE state = 'listening'") == 3 }, 'three receivers');
    for my $version (qw(-tls1_2 -tls1_3))
    {
        is(scalar(grep { !is_resumed($version, $session{$version}) } 1 .. 16), 0, "$version: each resumes the sessions of all");
    }
    my $storm = storm(1, requests => 1);
    $storm->wait_for_more(1100);
    check_storms('three receivers', 'TLS', $storm);
    $bridge->reload('webhook_bridge.receivers' => 1);
    poll_until(sub { $bridge->count("webhook_bridge.status() WHERE state = 'listening'") == 1 }, 'one receiver');
    $node->restart;
    $bridge->wait_until_listening;
    return;
}

# As in 020_durability.pl: every other stop happens while commits are slow.
sub hard_stops
{
    srand 1;
    my %storms = (
        'TLS'                   => storm(1),
        'TLS, a connection each' => storm(1, requests => 1),
        'without TLS'           => storm(0));
    for my $stop (1 .. 6)
    {
        $_->wait_for_more(100 + int rand 300) for values %storms;
        if ($stop % 2)
        {
            $bridge->reload(commit_delay => 20_000);
            $_->wait_for_more(50 + int rand 50) for values %storms;
        }
        if ($stop % 3)
        {
            $node->stop('immediate');
            $node->append_conf('postgresql.conf', 'commit_delay = 0');
            $node->start;
        }
        else
        {
            my ($pid) = $bridge->workers('receiver');
            kill 'KILL', $pid;
            $bridge->reload(commit_delay => 0);
            poll_until(
                sub {
                    # who is refused during recovery may end before it has read its statement
                    my ($status, $other) = eval { $node->psql('postgres', "SELECT pid FROM webhook_bridge.status() WHERE receiver = 0 AND pid <> $pid") };
                    return defined $status && $status == 0 && $other;
                },
                'the recovery');
        }
    }
    $_->wait_for_acknowledged(1001) for values %storms;
    check_storms('6 hard stops', %storms);
    return;
}

# ---------------------------------------------------------------------------
# Helpers
# ---------------------------------------------------------------------------

# Puts a certificate and its key where the server looks for them.
sub install
{
    my ($name) = @_;
    for my $kind (qw(crt key))
    {
        copy($tls->file($name, $kind), "$data/server.$kind.new") or die "copy: $!";
        chmod 0600, "$data/server.$kind.new";
        rename "$data/server.$kind.new", "$data/server.$kind" or die "rename: $!";
    }
    return;
}

# The same, followed by a reload that has taken effect.  Returns the serial number.
sub serve
{
    my ($name) = @_;
    my $serial = hex((Tls::_run(qw(openssl x509 -noout -serial -in), $tls->file($name, 'crt')) =~ /=(\w+)/)[0]);
    install($name);
    $node->reload;
    poll_until(sub { served() == $serial }, "the certificate $name");
    return $serial;
}

# The serial number of the certificate that a client is shown.
sub served
{
    my $output = $tls->hello($tls_port);
    my ($certificate) = $output =~ /(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n)/s or return 0;
    my $serial;
    IPC::Run::run([qw(openssl x509 -noout -serial)], '<', \$certificate, '>', \$serial);
    return hex(($serial =~ /=(\w+)/)[0]);
}

sub reload_and_wait
{
    my ($name, $value, $condition) = @_;
    $bridge->reload($name => $value);
    poll_until($condition, "$name = $value");
    return;
}

sub failures
{
    return $bridge->sql('SELECT sum(tls_failures) FROM webhook_bridge.status()');
}

sub tls_answers
{
    return ($tls->hello($tls_port))[1];
}

# What status() says of the only receiver's ports.
sub open_and_closed
{
    return $bridge->sql('SELECT state, closed_ports FROM webhook_bridge.status() WHERE receiver = 0');
}

sub delivery_is_stored
{
    my ($name) = @_;
    my $body   = sprintf '{"id": 1, "time": %f}', time;
    my $events = $bridge->count('webhook_bridge.events');
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    answer_is($bridge->post('/hooks/shop', $body, ecomanager_headers($secret, $body)), 200, 'stored', "a delivery: $name");
    is($bridge->count('webhook_bridge.events'), $events + 1, 'it is stored');
    return;
}

# A file with a session that the server has just made; there is none if it made none.
sub new_session
{
    my ($version, @options) = @_;
    my $file = "$directory/session$version" . @options;
    unlink $file;
    like(scalar $tls->hello($tls_port, $version, @options, '-sess_out', $file, \$probe), qr/"ready"/, "$version: a session");
    return $file;
}

sub is_resumed
{
    my ($version, $session, @options) = @_;
    my $output = $tls->hello($tls_port, $version, @options, '-sess_in', $session, \$probe);
    return $output =~ /^Reused, .*"ready"/ms;
}

# Talks to the command openssl itself: texts to enter, each followed by what has
# to appear.
sub talk
{
    my ($options, @dialogue) = @_;
    my ($in, $out) = ('', '');
    my $client = IPC::Run::start([ $tls->_client($tls_port, @$options) ], \$in, '>', \$out, '2>&1',
        IPC::Run::timeout($WebhookBridge::DEADLINE));
    $client->pump until $out =~ /^ *Extended master secret|^Verify return code/m;
    while (my ($text, $expected) = splice @dialogue, 0, 2)
    {
        $in .= $text;
        $client->pump while $out !~ $expected && $client->pumpable;
    }
    $client->finish;
    return $out;
}

sub client_command
{
    my ($mode, @arguments) = @_;
    return ('node', "$FindBin::Bin/../http/tls_client.mjs", $mode, $tls_port, $tls->file('authority', 'crt'), @arguments);
}

sub client
{
    my (@arguments) = @_;
    my ($out, $err);
    IPC::Run::run([ client_command(@arguments) ], '<', '/dev/null', '>', \$out, '2>', \$err)
      or die "the client failed: $err\n";
    return decode_json($out);
}

# A ClientHello up to TLS 1.2 with signatures and groups that the server knows.
sub hello_bytes
{
    my ($version, @ciphers) = @_;
    my $signatures = pack 'n*', 0x000d, 8, 6, 0x0403, 0x0804, 0x0401;
    my $groups     = pack 'n*', 0x000a, 6, 4, 0x001d, 0x0017;
    my $body       = pack 'n a32 C n/a* C C n/a*', $version, 'x' x 32, 0, pack('n*', @ciphers), 1, 0, $signatures . $groups;
    my $message    = pack('C', 1) . substr(pack('N', length $body), 1) . $body;
    return pack 'C n n/a*', 22, 0x0301, $message;
}

# What comes back: "hello", "alert NUMBER" or "closed".
sub answer_to
{
    my ($bytes) = @_;
    my $connection = WebhookBridge::Connection->new($tls_port);
    $connection->send($bytes);
    $connection->_read while length $connection->{input} < 7 && !$connection->{closed};
    my ($type, undef, undef, $first, $second) = unpack 'C n n C C', $connection->{input} . "\0" x 7;
    $connection->finish_sending;
    $connection->close;
    return $type == 22 && $first == 2 ? 'hello' : $type == 21 ? "alert $second" : 'closed';
}

sub hello_by_hand
{
    return answer_to(hello_bytes(@_));
}
