// What test/t/050_http_client.pl calls: a provider that misbehaves as the path
// says.  node server.mjs DIRECTORY serves with the certificates in it, until
// its standard input ends, and prints the ports as one line of JSON:
//
//     http        without TLS
//     https       certificate of the test's authority for good.test
//     other       ... for another host
//     expired     ... that is no longer valid
//     unknown     of an authority that nobody knows
//     selfsigned  of nobody
//     old         with TLS 1.1 at most
//     http2       with HTTP/2 only
//     trickle     of a TLS handshake, a byte now and then
//
// A path selects what happens to a request on any of them; see "answers".  The
// path /requests tells how many requests a path has had, and connections
// "trickle".
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { gzipSync } from 'node:zlib';

const directory = process.argv[2];
const counts = {};

const answers = {
    // What was received.
    echo: (request, response, body) => send(response, 200, JSON.stringify({
        method: request.method, url: request.url, body: body.toString('latin1'), raw: request.rawHeaders,
        connection: connectionId(request.socket),
    })),
    requests: (request, response) => send(response, 200, JSON.stringify(counts)),
    status: (request, response, body, argument) => send(response, Number(argument), `status ${argument}`),
    empty: (request, response) => response.writeHead(204).end(),
    redirect: (request, response) => response.writeHead(302, { Location: '/echo' }).end('elsewhere'),
    cookie: (request, response) => response.writeHead(200, { 'Set-Cookie': ['a=1; Path=/', 'b=2; Path=/'] }).end('{}'),
    unauthorized: (request, response) => response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }).end('{}'),
    interim: (request, response) => raw(request, 'HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n'
        + 'HTTP/1.1 200 OK\r\nX-Late: 2\r\nContent-Length: 2\r\n\r\nok'),
    trailers: (request, response) => raw(request, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n'
        + '2\r\nok\r\n0\r\nX-Trailer: 1\r\nX-Head: no\r\n\r\n'),
    folded: (request) => raw(request, 'HTTP/1.1 200 OK\r\nX-Folded: a\r\n  b\r\nX-Odd:\t\xff\x01 c \r\nx-TWICE: 1\r\nX-Twice: 2\r\n'
        + 'X-Empty:\r\nContent-Length: 2\r\n\r\nok'),
    lonely: (request) => raw(request, 'HTTP/1.1 200 OK: x\r\nHTTP/1.1: yes\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n'),
    switching: (request) => raw(request, 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nok'),
    // Compressed, which nobody has asked for.
    transfer: (request, response, body, argument) => packed(request, `Transfer-Encoding: ${decodeURIComponent(argument)}`),
    content: (request) => packed(request, 'Content-Encoding: gzip'),
    // Too much.
    bytes: (request, response, body, argument) => send(response, 200, 'x'.repeat(Number(argument))),
    stream: (request, response, body, argument) => pour(response, Number(argument)),
    endless: (request, response) => pour(response, Infinity),
    fields: (request, response, body, argument) => raw(request, 'HTTP/1.1 200 OK\r\n'
        + Array.from({ length: Number(argument) }, (_, i) => `X-${i}: ${i}\r\n`).join('') + 'Content-Length: 2\r\n\r\nok'),
    field: (request, response, body, argument) => raw(request, 'HTTP/1.1 200 OK\r\n'
        + `X-Long: ${'x'.repeat(90000)}\r\n`.repeat(Number(argument)) + 'Content-Length: 2\r\n\r\nok'),
    line: (request, response, body, argument) => raw(request, `HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(Number(argument))}\r\n\r\nok`),
    reason: (request, response, body, argument) => raw(request, `HTTP/1.1 200 ${'x'.repeat(Number(argument))}\r\n\r\nok`),
    longinterims: (request) => raw(request, `HTTP/1.1 103 Early Hints\r\nX-Long: ${'x'.repeat(90000)}\r\n\r\n`.repeat(3)
        + 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
    interims: (request) => flood(request, '', 'HTTP/1.1 100 Continue\r\n\r\n'),
    heads: (request) => flood(request, 'HTTP/1.1 200 OK\r\n', 'X: 1\r\n'),
    tails: (request) => flood(request, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n', 'X: 1\r\n'),
    // Not text.
    utf8: (request, response) => send(response, 200, 'Grüße, 世界'),
    western: (request, response) => send(response, 200, 'Grüße'),
    latin1: (request, response) => send(response, 200, Buffer.from('Gr\xfc\xdfe', 'latin1')),
    zero: (request, response) => send(response, 200, 'a\0b'),
    // Not HTTP, not all of it, or not now.
    garbage: (request) => raw(request, 'This is not HTTP at all\r\n\r\n'),
    silent: (request) => request.socket.end(),
    reset: (request) => reset(request),
    truncated: (request) => raw(request, 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.'),
    halfhead: (request) => raw(request, 'HTTP/1.1 200 OK\r\nX-Half: 1\r\n'),
    halfline: (request) => raw(request, 'HTTP/1.1 200 OK\r\nX-Half'),
    badchunk: (request) => raw(request, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nten bytes.'),
    hang: () => {},
    halfway: (request) => request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.'),
    drip: (request) => drip(request.socket, 'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n', 'x'),
    driphead: (request) => drip(request.socket, 'HTTP/1.1 200 OK\r\nX-Long: ', 'x'),
    slow: (request, response, body, argument) => setTimeout(() => send(response, 200, 'slow'), Number(argument)),
    // The first N requests of this path fail.
    flaky: (request, response, body, argument) => counts[request.url] <= Number(argument)
        ? reset(request) : send(response, 200, `attempt ${counts[request.url]}`),
    // A connection on which /haunt sends an answer that nobody has asked for.
    haunted: (request, response) => {
        haunted = request.socket;
        send(response, 200, 'haunted');
    },
    haunt: (request, response) => haunted.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nghost', () => send(response, 200, 'done')),
    // Closes the connection when the next request has come on it.
    once: (request, response) => {
        send(response, 200, 'once');
        request.socket.isOver = true;
    },
};

let connections = 0;
let haunted;

function connectionId(socket) {
    socket.number ??= ++connections;
    return socket.number;
}

function send(response, status, body) {
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }).end(body);
}

function raw(request, text) {
    request.socket.end(Buffer.from(text, 'latin1'));
}

function reset(request) {
    (request.socket._parent ?? request.socket).resetAndDestroy();
}

function pour(response, bytes) {
    response.writeHead(200);
    const chunk = Buffer.alloc(65536, 'x');
    const more = () => {
        while (bytes > 0 && !response.destroyed) {
            bytes -= chunk.length;
            if (!response.write(chunk)) {
                response.once('drain', more);
                return;
            }
        }
        response.end();
    };
    more();
}

function drip(socket, head, piece) {
    socket.write(head);
    const timer = setInterval(() => socket.destroyed ? clearInterval(timer) : socket.write(piece), 20);
}

// What begins so goes on for ever.
function flood(request, head, piece) {
    const pieces = piece.repeat(1000);
    const more = () => {
        while (!request.socket.destroyed && request.socket.write(pieces));
        request.socket.once('drain', more);
    };
    request.socket.write(head);
    more();
}

function packed(request, field) {
    request.socket.write(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n`);
    request.socket.end(gzipSync('a text'));
}

function count(what) {
    counts[what] = (counts[what] ?? 0) + 1;
}

function serve(request, response) {
    const chunks = [];
    if (request.socket.isOver) {
        count('/again');
        reset(request);
        return;
    }
    // A body that nobody reads.
    if (request.url.startsWith('/unread')) {
        count(request.url);
        request.pause();
        return;
    }
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
        const [, name, argument] = /^\/([a-z0-9]*)\/?([^?]*)/.exec(request.url);
        count(request.url);
        (answers[name] ?? answers.echo)(request, response, Buffer.concat(chunks), argument);
    });
}

function listen(server) {
    // A client that goes away is what is tested.
    server.on('connection', (socket) => socket.on('error', () => {}));
    server.on('clientError', (error, socket) => socket.destroy());
    server.on('tlsClientError', () => {});
    server.keepAliveTimeout = 60000;
    server.headersTimeout = server.requestTimeout = 0;
    return new Promise((resolve) => server.listen(0, '127.0.0.1', 1024, () => resolve(server.address().port)));
}

function secure(name, options = {}, speak = undefined) {
    const given = { key: readFileSync(`${directory}/${name}.key`), cert: readFileSync(`${directory}/${name}.crt`), ...options };
    return listen(speak ? tls.createServer(given, speak) : https.createServer(given, serve));
}

const ports = {
    http: await listen(http.createServer(serve)),
    https: await secure('good'),
    other: await secure('other'),
    expired: await secure('expired'),
    unknown: await secure('unknown'),
    http2: await secure('good', {}, (socket) => socket.end(Buffer.from('000000040000000000', 'hex'))), // empty SETTINGS
    trickle: await listen(net.createServer((socket) => {
        count('trickle');
        drip(socket, Buffer.from('1603034000', 'hex'), '\x02');
    })),
    selfsigned: await secure('selfsigned'),
    old: await secure('good', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
};
process.on('uncaughtException', (error) => process.stderr.write(`${error.stack}\n`));
process.stdin.resume().on('end', () => process.exit(0));
console.log(JSON.stringify(ports));
