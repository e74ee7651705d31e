#!/usr/bin/env node
'use strict';

// herd.js NAME=VALUE...: many connections that do little and never finish.
//
//   port    where the receiver listens, on 127.0.0.1
//   idle    connections that make one request and then nothing (0)
//   silent  connections that send nothing at all (0)
//   slow    connections that send a delivery byte by byte (0), every other one
//           within its head
//   pause   milliseconds between two bytes of a slow one (100)
//
// A connection that is lost is made anew a little later.  At SIGTERM, or without
// its parent, it ends.  Every 25 ms it prints a line "opened N lost N idle N
// silent N slow N": connections made and lost since it began, and those that
// are open now, the idle ones after their request.

const net = require('net');
const report = require('./report.js');

const options = {port: '0', idle: '0', silent: '0', slow: '0', pause: '100'};
for (const argument of process.argv.slice(2)) {
    const [, name, value] = /^(\w+)=(.*)$/s.exec(argument);
    options[name] = value;
}
const parent = process.ppid;
const tally = {opened: 0, lost: 0, idle: 0, silent: 0, slow: 0};
const slow = new Set();

function connect(kind, number) {
    const socket = net.connect({host: '127.0.0.1', port: Number(options.port), noDelay: true});
    let is_open = false;
    let answer = '';

    const opened = () => {
        is_open = true;
        tally[kind]++;
    };
    socket.setEncoding('latin1');
    socket.on('connect', () => {
        tally.opened++;
        if (kind === 'idle') {
            socket.write('GET /hooks/herd HTTP/1.1\r\nHost: localhost\r\n\r\n');
        } else if (kind === 'slow') {
            socket.write('POST /hooks/herd HTTP/1.1\r\nHost: localhost\r\n' +
                (number % 2 ? 'X-Long: ' : 'Content-Length: 100000\r\n\r\n'));
            slow.add(socket);
            opened();
        } else {
            opened();
        }
    });
    socket.on('data', (data) => {
        answer += data;
        if (kind === 'idle' && !is_open && answer.includes('\r\n\r\n')) {
            opened();
        }
    });
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
        tally.lost++;
        tally[kind] -= is_open;
        slow.delete(socket);
        setTimeout(() => connect(kind, number), 50 + number % 100);
    });
}

for (const kind of ['idle', 'silent', 'slow']) {
    for (let i = 0; i < Number(options[kind]); i++) {
        setTimeout(() => connect(kind, i), i / 2);
    }
}

setInterval(() => {
    for (const socket of slow) {
        socket.write('x');
    }
}, Number(options.pause));

setInterval(() => {
    report(tally);
    if (process.ppid !== parent) {
        process.exit(0);
    }
}, 25);

process.on('SIGTERM', () => report(tally, () => process.exit(0)));
