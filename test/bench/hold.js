'use strict';

// Opens connections, delivers once on each, and keeps them open.
//
//     node hold.js CONNECTIONS plain|TLS PORT FILE
//
// FILE is as for deliver.lua.  Prints "held" when all have been answered, and
// ends when it is sent a line.

const crypto = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const tls = require('node:tls');

const [connections, transport, port, file] = process.argv.slice(2);
const lines = fs.readFileSync(file, 'utf8').split('\n').slice(0, -1);

function request(number) {
  const [path, signature, body] = lines[number % lines.length].split('\t');
  return `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nUser-Agent: bench\r\n` +
    `X-GitHub-Event: push\r\nX-GitHub-Delivery: ${crypto.randomUUID()}\r\nX-Hub-Signature-256: sha256=${signature}\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

function deliver(number) {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: Number(port), rejectUnauthorized: false };
    const socket = transport === 'TLS' ? tls.connect(options) : net.connect(options);
    socket.on(transport === 'TLS' ? 'secureConnect' : 'connect', () => socket.write(request(number)));
    socket.on('data', (answer) => {
      if (answer.toString('latin1').startsWith('HTTP/1.1 200 ')) resolve();
      else reject(new Error('a delivery was not stored'));
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('a connection was closed')));
  });
}

async function main() {
  for (let number = 0; number < connections; number += 50) {
    const some = Math.min(50, connections - number);
    await Promise.all(Array.from({ length: some }, (_, i) => deliver(number + i)));
  }
  console.log('held');
  process.stdin.once('data', () => process.exit(0));
}

main().catch((error) => {
  console.log(error.message);
  process.exit(1);
});
