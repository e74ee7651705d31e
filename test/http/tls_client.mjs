// A sender over TLS that test/t/060_tls.pl calls for what a command cannot do.
// node tls_client.mjs MODE PORT CA ARGUMENT... prints one line of JSON.
//
//     split SEED PATH SECRET SIZE...   a delivery of each size on one connection,
//                  every second one chunked, cut at random twice: into records,
//                  and these into what is written to the socket. Prints a list of
//                  { size, status, sha256 }
//     half PATH    a GET, then no more in this direction, and the answer
//     slow PATH COUNT   that many GETs at once; does not read until a line comes
//                  on standard input. Prints how many answers of each status came
import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';

const [mode, port, authority, ...rest] = process.argv.slice(2);
const ca = readFileSync(authority);
let state = 1;

// Between 1 and limit, small numbers as likely as large ones; the same for the same seed.
function random(limit) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.max(1, Math.min(limit, Math.floor(Math.exp((state / 2 ** 32) * Math.log(limit + 1)))));
}

function cut(bytes) {
    const pieces = [];
    // a few hundred cuts, whatever the size
    const least = Math.ceil(bytes.length / 300);
    for (let start = 0; start < bytes.length;) {
        const end = start + Math.max(least, random(bytes.length - start));
        pieces.push(bytes.subarray(start, end));
        start = end;
    }
    return pieces;
}

// A socket that writes in pieces, each after the one before has gone out.
class Cutter extends Duplex {
    constructor(socket) {
        super();
        this.socket = socket;
        socket.on('data', (data) => this.push(data));
        socket.on('end', () => this.push(null));
        socket.on('error', (error) => this.destroy(error));
    }

    _read() {}

    _write(bytes, encoding, done) {
        const pieces = cut(bytes);
        const next = () => pieces.length === 0 ? done() : this.socket.write(pieces.shift(), () => setImmediate(next));
        next();
    }

    _final(done) {
        this.socket.end(done);
    }
}

// Resolves with a TLS connection; "over" is what carries it.
function open(options = {}) {
    return new Promise((resolve, reject) => {
        const socket = tls.connect({ host: '127.0.0.1', port: Number(port), ca, ALPNProtocols: ['http/1.1'], ...options },
            () => resolve(socket));
        socket.on('error', reject);
    });
}

// Calls "take" with the status of each answer, until it returns true.
function answers(socket, take) {
    let input = '';
    return new Promise((resolve, reject) => {
        socket.setEncoding('latin1');
        socket.on('data', (data) => {
            input += data;
            for (;;) {
                const end = input.indexOf('\r\n\r\n');
                const length = end < 0 ? null : /^content-length: *(\d+)/im.exec(input.slice(0, end));
                if (!length || input.length < end + 4 + Number(length[1])) {
                    return;
                }
                const status = Number(input.slice(9, 12));
                input = input.slice(end + 4 + Number(length[1]));
                if (take(status)) {
                    resolve();
                    return;
                }
            }
        });
        socket.on('close', () => reject(new Error(`closed; left: ${input.slice(0, 200)}`)));
    });
}

function chunked(body) {
    return Buffer.concat([...cut(body).flatMap((piece) => [
        Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]), Buffer.from('0\r\n\r\n')]);
}

async function split(seed, path, secret, ...sizes) {
    state = Number(seed);
    const plain = net.connect({ host: '127.0.0.1', port: Number(port), noDelay: true });
    const socket = await open({ socket: new Cutter(plain) });
    const done = [];
    for (const size of sizes.map(Number)) {
        const body = Buffer.from(Array.from({ length: size }, () => random(255)));
        const framing = done.length % 2 ? 'Transfer-Encoding: chunked' : `Content-Length: ${size}`;
        const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n` +
            'X-Ecomanager-Event: OrderCreated\r\nX-Ecomanager-Source: https://myshop.ecomanager.dz\r\n' +
            `X-Ecomanager-Webhook-ID: 61\r\n${framing}\r\n` +
            `X-Ecomanager-Signature: ${createHmac('sha256', secret).update(body).digest('hex')}\r\n\r\n`;
        const answer = answers(socket, (status) => {
            done.push({ size, status, sha256: createHash('sha256').update(body).digest('hex') });
            return true;
        });
        for (const piece of cut(Buffer.concat([Buffer.from(head), done.length % 2 ? chunked(body) : body]))) {
            socket.write(piece);
        }
        await answer;
        socket.removeAllListeners('data');
        socket.removeAllListeners('close');
    }
    return done;
}

async function half(path) {
    const socket = await open({ allowHalfOpen: true });
    let result;
    const answer = answers(socket, (status) => {
        result = { status };
        return true;
    });
    socket.end(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await answer;
    return result;
}

async function slow(path, count) {
    const socket = await open();
    const tally = {};
    let left = Number(count);
    socket.pause();
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(left));
    await new Promise((resolve) => process.stdin.once('data', resolve));
    socket.resume();
    await answers(socket, (status) => {
        tally[status] = (tally[status] ?? 0) + 1;
        left--;
        return left === 0;
    });
    return tally;
}

console.log(JSON.stringify(await { split, half, slow }[mode](...rest)));
process.exit(0);
