'use strict';

// What a user would write in Node: fastify and pg, one process.
//
//     node fastify.js PORT SECRET
//
// Verifies GitHub's signature over the bytes of the body and answers after the
// INSERT.

const crypto = require('node:crypto');
const fastify = require('fastify')({ logger: false });
const { Pool } = require('pg');

const [port, secret] = process.argv.slice(2);
const pool = new Pool({ max: 32 });

const insert = {
  name: 'insert',
  text: `INSERT INTO webhook_events (id, topic, payload) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`,
};

function isSigned(body, signature) {
  const expected = Buffer.from('sha256=' + crypto.createHmac('sha256', secret).update(body).digest('hex'));
  const actual = Buffer.from(signature || '');
  return expected.length === actual.length && crypto.timingSafeEqual(expected, actual);
}

fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => done(null, body));

fastify.post('/hooks/:name', async (request, reply) => {
  const headers = request.headers;
  if (!isSigned(request.body, headers['x-hub-signature-256'])) {
    return reply.code(401).send({ status: 'unauthorized' });
  }
  await pool.query({ ...insert, values: [headers['x-github-delivery'], headers['x-github-event'], request.body.toString()] });
  return { status: 'stored' };
});

fastify.listen({ host: '127.0.0.1', port: Number(port), backlog: 4096 });
