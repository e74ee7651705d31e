#!/usr/bin/env node
'use strict';

// strangers.js NAME=VALUE...: requests that a receiver has to refuse, one after
// the other.
//
//   port, tls_port  where the receiver listens, on 127.0.0.1, without and with TLS
//   path            of an endpoint of provider ecomanager
//   max_body_size   bytes that it takes (1048576)
//   connections     kept busy at once (8)
//   pause           milliseconds between two requests of one of them (20)
//   seed            of the random numbers (1)
//
// Forged, malformed and oversized ones, whole and in pieces, with and without
// TLS; and what is no request: some that break off, and things that are not TLS
// at the port with TLS.  Each has the answers that it may get; to be told to
// come again (429, 503), or to be cut off, is one of them.  At SIGTERM, or
// without its parent, it ends.  Every 25 ms it prints a line "sent N refused N
// put_off N cut N broken_off N unexpected N"; what is unexpected is said on
// standard error.

const net = require('net');
const tls = require('tls');
const report = require('./report.js');

const options = {port: '0', tls_port: '0', path: '/', max_body_size: '1048576', connections: '8', pause: '20', seed: '1'};
for (const argument of process.argv.slice(2)) {
    const [, name, value] = /^(\w+)=(.*)$/s.exec(argument);
    options[name] = value;
}
const parent = process.ppid;
const tally = {sent: 0, refused: 0, put_off: 0, cut: 0, broken_off: 0, unexpected: 0};
const limit = Number(options.max_body_size);
const PATIENCE_MS = 30000;

// mulberry32: numbers from 0 to 1.
let state = Number(options.seed);
function random() {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const noise = (n) => Buffer.from(Array.from({length: n}, () => below(256)));

function request(method, target, lines, body = '') {
    return `${method} ${target} HTTP/1.1\r\nHost: localhost\r\n${lines.map((line) => line + '\r\n').join('')}\r\n${body}`;
}

function delivery(lines, body) {
    return request('POST', options.path, ['X-Ecomanager-Event: OrderCreated', ...lines], body);
}

const forged = () => 'X-Ecomanager-Signature: ' + noise(32).toString('hex');
const length = (body) => 'Content-Length: ' + body.length;
const chunked = 'Transfer-Encoding: chunked';
const order = () => `{"id":${below(1e9)},"status":"confirmed"}`;
const any = (list) => list[below(list.length)];

// What is sent, and the statuses that are right.
const kinds = [
    () => { const body = order(); return [delivery([forged(), length(body)], body), 401]; },
    () => { const body = order(); return [delivery([forged(), 'X-Forwarded-For: 10.0.0.' + below(256), length(body)], body), 401]; },
    () => { const body = order(); return [delivery([length(body)], body), 401]; },
    () => { const body = 'x'.repeat(below(limit / 2)); return [delivery([forged(), length(body)], body), 401]; },
    () => [delivery([forged(), chunked], '5\r\nabcde\r\n0\r\n\r\n'), 401],
    () => [request('POST', '/hooks/' + noise(6).toString('hex'), ['Content-Length: 2'], '{}'), 404],
    () => [request(any(['PUT', 'DELETE', 'TRACE', 'BREW']), options.path, ['Content-Length: 0']), 405],
    () => [delivery([`Content-Length: ${limit + 1 + below(1e9)}`]), 413],
    () => [delivery([forged(), chunked], `${(limit + 1).toString(16)}\r\n${'x'.repeat(limit + 1)}\r\n0\r\n\r\n`), 413],
    () => [delivery(['X-Long: ' + 'x'.repeat(20000 + below(50000))]), 431],
    () => [delivery(Array.from({length: 200}, (_, i) => `X-${i}: y`)), 431],
    () => [request('GET', '/' + 'a'.repeat(9000 + below(9000)), []), 414],
    () => [delivery(['Content-Length: 3', chunked], '0\r\n\r\n'), 400],
    () => [delivery([any(['Content-Length: +3', 'Content-Length: 3, 3', 'Content-Length : 3', 'Content-Length: -1', 'Content-Length:'])], 'abc'), 400],
    () => [delivery(['Content-Length: 3', 'Content-Length: 4'], 'abcd'), 400],
    () => [delivery([chunked], any(['x\r\n', '3\nabc\r\n', '+3\r\nabc\r\n', '3\r\nabcd\r\n', '11111111111111111\r\n', '0\r\nA : b\r\n\r\n'])), 400],
    () => [delivery(['A: b\n' + 'C: d']), 400],
    () => [delivery(['A: b', ' folded']), 400],
    () => [delivery(['A: ' + String.fromCharCode(below(9))]), 400],
    () => [delivery(['Transfer-Encoding: ' + any(['gzip', 'xchunked', 'gzip, chunked'])]), 400],
    () => [Buffer.concat([noise(1 + below(2000)), Buffer.from('\r\n\r\n')]), 400, 414, 431, 501, 505],
    () => [order() + '\r\n\r\n', 400],
];

// Bytes that end in the middle.  No answer is waited for.
const fragments = [
    () => { const text = delivery([forged(), 'Content-Length: 100'], 'x'.repeat(99)); return text.slice(0, 1 + below(text.length - 1)); },
    () => delivery([forged(), chunked], '100\r\n' + 'x'.repeat(below(256))),
    () => '',
];

// At the port with TLS: the beginning of a hello, records of all kinds, HTTP.
const hello = Buffer.from('16030100c8010000c40303' + 'a5'.repeat(32) + '00' + '000213010100', 'hex');
const not_tls = [
    () => hello.subarray(0, 1 + below(hello.length - 1)),
    () => Buffer.concat([hello, noise(200)]),
    () => Buffer.concat([Buffer.from([20 + below(5), 3, below(5), below(80), below(256)]), noise(below(3000))]),
    () => noise(1 + below(600)),
    () => request('GET', options.path, []),
];

class Stranger {
    next() {
        const dice = random();
        const encrypted = random() < 0.4;
        if (dice < 0.7) {
            const [bytes, ...expected] = any(kinds)();
            this.visit(encrypted, Buffer.from(bytes, 'latin1'), expected);
        } else if (dice < 0.85) {
            this.visit(encrypted, Buffer.from(any(fragments)()), null);
        } else {
            this.visit(false, Buffer.from(any(not_tls)()), null, options.tls_port);
        }
    }

    // expected is null if the connection is broken off after the bytes.
    visit(encrypted, bytes, expected, port = encrypted ? options.tls_port : options.port) {
        const address = {host: '127.0.0.1', port: Number(port), noDelay: true};
        const carrier = net.connect(address);
        const socket = encrypted ? tls.connect({socket: carrier, rejectUnauthorized: false}) : carrier;
        let answer = '';
        const piece = random() < 0.5 ? bytes.length : 1 + below(bytes.length);
        const opened = () => {
            tally.sent++;
            let from = 0;
            const step = () => {
                if (socket.destroyed) {
                    return;
                }
                if (from < bytes.length) {
                    const size = Math.min(piece, bytes.length - from);
                    socket.write(bytes.subarray(from, from + size));
                    from += size;
                    setImmediate(step);
                } else if (expected === null) {
                    setTimeout(() => this.leave(socket, carrier), below(50));
                }
            };
            step();
        };
        socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('no answer')));
        socket.setEncoding('latin1');
        socket.on(encrypted ? 'secureConnect' : 'connect', opened);
        socket.on('data', (data) => {
            answer += data;
            if (expected && answer.includes('\r\n\r\n')) {
                socket.destroy();
            }
        });
        let silent = false;
        socket.on('error', (error) => {
            silent ||= error.message === 'no answer';
        });
        if (encrypted) {
            carrier.on('error', () => socket.destroy());
            carrier.on('close', () => socket.destroy());
        }
        socket.on('close', () => {
            this.judge(expected, answer, silent, bytes);
            setTimeout(() => this.next(), Number(options.pause));
        });
    }

    leave(socket, carrier) {
        if (random() < 0.5) {
            socket.end();
        } else if (!carrier.destroyed) {
            carrier.resetAndDestroy();
        }
    }

    judge(expected, answer, silent, bytes) {
        const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
        if (expected === null && status !== 200) {
            tally.broken_off++;
        } else if (expected && expected.includes(status)) {
            tally.refused++;
        } else if (status === 429 || status === 503) {
            tally.put_off++;
        } else if (status === 0 && !silent) {
            tally.cut++;
        } else {
            tally.unexpected++;
            console.error(`${silent ? 'no answer' : status} in place of ${expected}: ${JSON.stringify(bytes.toString('latin1', 0, 300))}`);
        }
    }
}

for (let i = 0; i < Number(options.connections); i++) {
    new Stranger().next();
}

setInterval(() => {
    report(tally);
    if (process.ppid !== parent) {
        process.exit(0);
    }
}, 25);

process.on('SIGTERM', () => report(tally, () => process.exit(0)));
