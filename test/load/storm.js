#!/usr/bin/env node
'use strict';

// storm.js NAME=VALUE...: many distinct signed deliveries, as fast as they are
// answered, and a record of what became of each.
//
//   port         where the receiver listens, on 127.0.0.1
//   ca           file of the authority that its certificate must be of: TLS
//   path, secret of an endpoint of provider ecomanager
//   next_secret  what senders sign with once they have switched
//   outcomes     file that gets a line "ID<tab>STATUS" for every delivery sent,
//                STATUS 0 if no answer came
//   connections  kept open at once (64)
//   count        deliveries to be answered 200 before it ends (0: no limit)
//   first        id of the first delivery (1); the others count up from it
//   size         bytes of a body (300)
//   requests     sent on one connection before another is made, with a full
//                handshake where it is TLS (0: no limit)
//   each         every connection sends the ids from the first on to this many,
//                in an order of its own, and is closed then (0: see above)
//   latencies    file that gets a line "TIME<tab>LATENCY" for every delivery
//                answered 200: Unix time of the answer and how long it took, in ms
//   pause        milliseconds before another attempt to connect (10)
//   interval     milliseconds between an answer and the next delivery of the
//                same connection (0)
//
// An id is sent once and never again, whatever the answer, unless with "each", so
// a receiver that stores one twice is at fault.  A connection that is lost is made anew.  At
// SIGTERM, or without its parent, it ends after the answers that are due.  At
// each SIGUSR2 one more of the connections switches to next_secret, after the
// answer that is due.  Every 25 ms it prints a line "sent N acknowledged N
// refused N lost N switched N unopened N certificate N": unopened are the
// connections that failed before they could be used, and certificate is the
// serial number of the one seen last.

const crypto = require('crypto');
const fs = require('fs');
const net = require('net');
const tls = require('tls');
const report = require('./report.js');

const options = {
    path: '/', secret: '', next_secret: '', outcomes: '/dev/null',
    connections: '64', count: '0', first: '1', size: '300', requests: '0', pause: '10', interval: '0', ca: '',
    each: '0', latencies: '',
};
for (const argument of process.argv.slice(2)) {
    const [, name, value] = /^(\w+)=(.*)$/s.exec(argument);
    options[name] = value;
}
const limit = Number(options.count) || Infinity;
const first = Number(options.first);
const parent = process.ppid;

const BLOCK = 20; // ids that connections send in different orders, with "each"
const PATIENCE_MS = 15000; // for one answer, or a connection
const each = Number(options.each);
const statuses = []; // by id, from the first
const requests = []; // the same, if they are sent by several
const latencies = [];
const tally = {sent: 0, acknowledged: 0, refused: 0, lost: 0, switched: 0, unopened: 0, certificate: 0};
const secureContext = options.ca && tls.createSecureContext({ca: fs.readFileSync(options.ca)});
const clients = new Set();
let to_switch = 0; // connections, in all
let ending = false;

function delivery(secret, index) {
    requests[index] ||= request(secret, first + index);
    tally.sent++;
    return {index, sent_at: Date.now(), begun: performance.now(), bytes: requests[index]};
}

function new_delivery(secret) {
    const index = statuses.length;

    statuses.push(0);
    tally.sent++;
    return {index, sent_at: Date.now(), begun: performance.now(), bytes: request(secret, first + index)};
}

function request(secret, id) {
    const start = `{"id":${id},"status":"confirmed","total":"${id % 9973}.50","note":"`;
    const body = start + 'x'.repeat(Math.max(Number(options.size) - start.length - 2, 0)) + '"}';
    const signature = crypto.createHmac('sha256', secret).update(body).digest('hex');

    return `POST ${options.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
        'X-Ecomanager-Event: OrderCreated\r\nX-Ecomanager-Source: https://myshop.ecomanager.dz\r\n' +
        `X-Ecomanager-Webhook-ID: 61\r\nX-Ecomanager-Signature: ${signature}\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`;
}

// One place in the storm: a connection, its successors, one delivery at a time.
class Client {
    constructor() {
        this.number = clients.size;
        this.sent = 0;
        clients.add(this);
        this.secret = options.secret;
        this.has_switched = false;
        this.connect();
    }

    connect() {
        this.pending = null;
        this.requests = 0;
        this.input = '';
        this.is_open = false;
        this.begun_at = Date.now();
        const address = {host: '127.0.0.1', port: Number(options.port), noDelay: true};
        this.socket = secureContext ? tls.connect({...address, secureContext}) : net.connect(address);
        this.socket.setNoDelay();
        this.socket.setEncoding('latin1');
        this.socket.on(secureContext ? 'secureConnect' : 'connect', () => this.opened());
        this.socket.on('data', (data) => this.receive(data));
        this.socket.on('error', () => {}); // 'close' follows
        this.socket.on('close', () => this.closed());
    }

    opened() {
        this.is_open = true;
        if (secureContext) {
            tally.certificate = parseInt(this.socket.getPeerCertificate().serialNumber, 16);
        }
        this.next();
    }

    next() {
        if (ending || (each && this.sent === each)) {
            this.socket.destroy();
            return;
        }
        if (!this.has_switched && tally.switched < to_switch) {
            this.secret = options.next_secret;
            this.has_switched = true;
            tally.switched++;
        }
        this.requests++;
        this.pending = each ? delivery(this.secret, this.next_index()) : new_delivery(this.secret);
        this.sent++;
        this.socket.write(this.pending.bytes);
    }

    // All are at the same ids at about the same time, each in an order of its own.
    next_index() {
        const start = Math.floor(this.sent / BLOCK) * BLOCK;
        const length = Math.min(BLOCK, each - start);
        const place = (this.sent + 7 * this.number) % length;

        return start + (this.number % 2 ? length - 1 - place : place);
    }

    receive(data) {
        this.input += data;
        const end = this.input.indexOf('\r\n\r\n');
        if (end < 0) {
            return;
        }
        const head = this.input.slice(0, end);
        const total = end + 4 + Number(/^content-length: *(\d+)/im.exec(head)[1]);
        if (this.input.length < total) {
            return;
        }
        this.input = this.input.slice(total);
        this.answered(Number(head.slice(9, 12)));
        if (/^connection: *close/im.test(head) || this.requests === Number(options.requests)) {
            this.socket.destroy();
        } else if (Number(options.interval)) {
            const socket = this.socket;
            setTimeout(() => socket === this.socket && this.is_open && this.next(), Number(options.interval));
        } else {
            this.next();
        }
    }

    answered(status) {
        statuses[this.pending.index] = status;
        if (options.latencies && status === 200) {
            latencies.push(`${Date.now()}\t${(performance.now() - this.pending.begun).toFixed(3)}\n`);
        }
        this.pending = null;
        if (status === 200) {
            tally.acknowledged++;
            ending ||= tally.acknowledged >= limit;
        } else {
            tally.refused++;
        }
    }

    closed() {
        if (!this.is_open) {
            tally.unopened++;
        }
        if (this.pending) {
            tally.lost++;
        }
        this.is_open = false;
        if (ending || (each && this.sent === each)) {
            clients.delete(this);
            finish();
        } else {
            setTimeout(() => this.connect(), Number(options.pause));
        }
    }
}

function finish() {
    if (clients.size > 0) {
        return;
    }
    clearInterval(reporting);
    fs.writeFileSync(options.outcomes,
        statuses.map((status, index) => `${first + index}\t${status}\n`).join(''));
    if (options.latencies) {
        fs.writeFileSync(options.latencies, latencies.join(''));
    }
    report(tally, () => process.exit(0));
}

const reporting = setInterval(() => {
    report(tally);
    ending ||= process.ppid !== parent;
    for (const client of clients) {
        const waits = client.pending || !client.is_open;
        const since = client.pending ? client.pending.sent_at : client.begun_at;
        if (waits ? since < Date.now() - PATIENCE_MS : ending) {
            client.socket.destroy();
        }
    }
}, 25);

process.on('SIGTERM', () => {
    ending = true;
});

process.on('SIGUSR2', () => {
    to_switch++;
});

for (let i = 0; i < Number(options.connections); i++) {
    new Client();
}
