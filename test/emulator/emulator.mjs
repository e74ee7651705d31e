// emulator.mjs [--port N] [--tls-cert FILE --tls-key FILE] [--speed N]
//
// Stands in for the five providers: their management APIs as documented, below
// /ecomanager, /api2cart, /blaze and /shoplazza, their delivery engines, Ecwid's
// among them, and faults.  What each provider does, and which document says so,
// is at the top of its file; how deliveries are made in deliver.mjs.
//
// Listens on 127.0.0.1 only, on any free port if N is 0 or not given, prints
// "listening on PORT", and ends at SIGTERM or when its standard input is closed.
// N of --speed is how many times faster than real the clock of retries runs.
//
// A base URL of an account is http://127.0.0.1:PORT followed by
//
//   /ecomanager   /api2cart/v1.0   /api2cart/v1.1   /blaze
//   /shoplazza/openapi/2022-01   /shoplazza/openapi/2025-06
//
// and credentials are those in the settings of the provider.
//
// An address to deliver to is http://127.0.0.1:PORT/_sink/STATUS?ms=N: it answers
// so, after N milliseconds.  STATUS can be a list, "503,503,200", for one request
// after the other, the last for all that follow.
//
// The control API takes and gives JSON; a wrong call is answered 400.
//
//   GET    /_control                        settings, counts, clock, open and held requests
//   POST   /_control/reset                  everything as at the start
//   POST   /_control/settings               {PROVIDER: {...}, speed, routes, timeout_ms}; routes:
//                                           see deliver.mjs; timeout_ms: of every attempt
//   GET    /_control/requests               what was asked: ?provider= &operation=
//   DELETE /_control/requests               forgets that
//   GET    /_control/webhooks/PROVIDER      what is registered: id, topic, urls, active, record
//   PATCH  /_control/webhooks/PROVIDER/ID   changes members of a record behind everybody's back
//   DELETE /_control/webhooks/PROVIDER/ID   removes it
//   POST   /_control/seed                   {provider, count, members}: adds webhooks, returns {ids}
//   POST   /_control/fire                   {provider, topic, data, wait, ...}: an event; delivers it to
//                                           the active webhooks of the topic and returns {deliveries},
//                                           after the first attempt unless wait is false.  secret signs
//                                           with another one, webhook_id delivers to one, data can be
//                                           the text of a body; more in fire() of the provider
//   GET    /_control/deliveries             with all attempts and answers: ?provider=
//   POST   /_control/settle                 moves the clock until no retry is left, returns {deliveries}
//   POST   /_control/advance                {seconds}: moves the clock, retry by retry
//   GET    /_control/notices                e-mails that the providers would have sent
//   POST   /_control/faults                 adds a fault, returns {id}; see below
//   GET    /_control/faults                 those that are left
//   DELETE /_control/faults                 removes all
//   POST   /_control/release                lets the answers go that a fault "hold" holds back, returns
//                                           how many: {released}
//
// A fault is {provider, operation, kind, ...}; without provider or operation it
// is for any.  Operations: list, get, create, update, set_active, delete, count,
// topics, failed.  It spares the first "skip" requests (0) and is for as many
// "times" (1; 0 for ever).  With "done" the operation is carried out all the same,
// and only its answer suffers.  Kinds:
//
//   status       {status, headers, body}: this answer
//   rate_limit   {retry_after: seconds, a text, or null for none}: as the
//                provider says it
//   return_code  {code, message}: API2Cart's
//   slow         {ms}: the answer comes later; done unless said otherwise
//   drip         {ms}: the body comes byte by byte; done likewise
//   hold         the answer waits for /_control/release; done before that, with
//                done false after it, whether or not the client is still there
//   hang         no answer
//   reset        the connection is reset
//   lost         the same, but done
//   truncate     half of the body, then the connection is closed; done
//   invalid_json a body that is broken off where nobody can tell; done
//   html         {status (200)}: a page instead; done
//   empty        200 without a body; done
//   bytes        a body that is not UTF-8; done
//   huge         {bytes, announced}: white space before the body, with or without
//                Content-Length; done
//   redirect     {location, status (302)}
//
// Every provider has a setting "bucket", null or {size, leak}: a rate limit that
// works, of so many requests, leaking so many in a second.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { parseArgs } from 'node:util';
import { Api2cart } from './api2cart.mjs';
import { Blaze } from './blaze.mjs';
import { Request, answer, isUrl, text } from './common.mjs';
import { Clock, Engine, SECOND } from './deliver.mjs';
import { Ecomanager } from './ecomanager.mjs';
import { Ecwid } from './ecwid.mjs';
import { Shoplazza } from './shoplazza.mjs';

const PROVIDERS = [Ecomanager, Api2cart, Ecwid, Blaze, Shoplazza];
const MAX_BODY = 20_000_000;

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
    speed: { type: 'string', default: '1' },
  },
});

// ---------------------------------------------------------------------------
// The state
// ---------------------------------------------------------------------------

let clock, engine, providers, requests, faults, notices, buckets;
let held = []; // what lets each answer go that is held back
let lastFault = 0;

function reset() {
  clock?.stop();
  release();
  clock = new Clock();
  clock.speed = Number(options.speed);
  engine = new Engine(clock, { routes: {} });
  requests = [];
  faults = [];
  notices = [];
  buckets = new Map();
  const tell = (provider, message) => notices.push({ at: new Date().toISOString(), provider, message });
  providers = Object.fromEntries(
    PROVIDERS.map((Provider) => {
      const provider = new Provider({ engine, clock, tell });
      provider.settings.bucket = null;
      return [provider.name, provider];
    }),
  );
}

// ---------------------------------------------------------------------------
// Faults
// ---------------------------------------------------------------------------

const RUINED_AFTERWARDS = ['slow', 'hold', 'drip', 'lost', 'truncate', 'invalid_json', 'html', 'empty', 'bytes', 'huge'];
const RUINED_BEFORE = ['status', 'rate_limit', 'return_code', 'hang', 'reset', 'redirect'];

function addFault(given) {
  const { kind, provider = null, operation = null, skip = 0, times = 1, ...rest } = given;
  if (![...RUINED_AFTERWARDS, ...RUINED_BEFORE].includes(kind)) {
    throw new Mistake(`there is no fault "${kind}"`);
  }
  if (provider !== null) {
    find(provider);
  }
  const done = RUINED_AFTERWARDS.includes(kind);
  const fault = { id: ++lastFault, kind, provider, operation, skip, times, done, ...rest };
  faults.push(fault);
  return fault;
}

// The fault that a request meets, if any.
function takeFault(provider, operation) {
  for (const fault of faults) {
    if ((fault.provider ?? provider) !== provider || (fault.operation ?? operation) !== operation) {
      continue;
    }
    if (fault.skip > 0) {
      fault.skip--;
      continue;
    }
    if (fault.times > 0 && --fault.times === 0) {
      faults = faults.filter((f) => f !== fault);
    }
    return fault;
  }
  return null;
}

function release() {
  const released = held.length;
  held.forEach((go) => go());
  held = [];
  return { released };
}

// A leaky bucket; returns whether another request fits.
function fits(provider) {
  const limit = provider.settings.bucket;
  if (!limit) {
    return true;
  }
  const now = performance.now();
  const { level = 0, at = now } = buckets.get(provider.name) ?? {};
  const left = Math.max(0, level - ((now - at) / SECOND) * limit.leak);
  const fitting = left + 1 <= limit.size;
  buckets.set(provider.name, { level: fitting ? left + 1 : left, at: now });
  return fitting;
}

// The connections below TLS, by the client's port.
const transports = new Map();
const transport = (socket) => transports.get(socket.remotePort) ?? socket;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Sends an answer as a fault has it.
async function ruin(fault, provider, response, good) {
  const body = Buffer.from(good.body);
  const socket = transport(response.socket);

  switch (fault.kind) {
    case 'status':
      return respond(response, {
        status: fault.status,
        headers: { 'Content-Type': 'application/json', ...fault.headers },
        body: typeof fault.body === 'string' ? fault.body : JSON.stringify(fault.body ?? { message: 'Server Error' }),
      });
    case 'rate_limit':
      return respond(response, provider.limited(fault.retry_after === undefined ? 1 : fault.retry_after));
    case 'return_code':
      return respond(response, providers.api2cart.failure(fault.code, fault.message));
    case 'hold':
      if (fault.done) {
        await new Promise((go) => held.push(go));
      }
      return respond(response, good);
    case 'slow':
      await pause(fault.ms);
      return respond(response, good);
    case 'drip':
      response.writeHead(good.status, { ...good.headers, 'Content-Length': body.length });
      for (const byte of body) {
        if (response.destroyed) {
          return undefined;
        }
        response.write(Buffer.from([byte]));
        await pause(fault.ms);
      }
      return response.end();
    case 'hang':
      return undefined;
    case 'reset':
    case 'lost':
      return socket.resetAndDestroy();
    case 'truncate':
      response.writeHead(good.status, { ...good.headers, 'Content-Length': body.length });
      response.write(body.subarray(0, body.length >> 1));
      // what was written has to arrive before the end does
      await pause(20);
      return socket.destroy();
    case 'invalid_json':
      return respond(response, { ...good, body: body.subarray(0, Math.max(1, body.length - 3)) });
    case 'html':
      return respond(response, text(fault.status ?? 200, '<html><body>Down for maintenance</body></html>', 'text/html'));
    case 'empty':
      return respond(response, { status: 200, headers: {}, body: '' });
    case 'bytes':
      return respond(response, { ...good, body: Buffer.concat([Buffer.from([0x22, 0xff, 0xfe, 0xc3, 0x28, 0x22]), body]) });
    case 'huge': {
      const bytes = fault.bytes ?? 20_000_000;
      const announced = fault.announced ?? true;
      response.writeHead(good.status, { ...good.headers, ...(announced && { 'Content-Length': bytes + body.length }) });
      const space = Buffer.alloc(65536, 0x20);
      for (let sent = 0; sent < bytes && !response.destroyed; sent += space.length) {
        if (!response.write(space.subarray(0, Math.min(space.length, bytes - sent)))) {
          await new Promise((done) => {
            response.once('drain', done);
            response.once('close', done);
          });
        }
      }
      return response.end(body);
    }
    case 'redirect':
      return respond(response, {
        status: fault.status ?? 302,
        headers: { Location: fault.location ?? 'http://127.0.0.1:9/', 'Content-Type': 'text/html' },
        body: '',
      });
    default:
      throw new Error(`unknown fault ${fault.kind}`);
  }
}

// ---------------------------------------------------------------------------
// Requests to providers
// ---------------------------------------------------------------------------

async function serve(provider, request, record, response) {
  const call = provider.route(request);
  Object.assign(record, { provider: provider.name, operation: call.operation });
  if (!fits(provider)) {
    record.limited = true;
    return respond(response, provider.limited(Math.ceil(1 / provider.settings.bucket.leak)));
  }
  const fault = takeFault(provider.name, call.operation);
  record.fault = fault?.kind ?? null;
  if (fault?.kind === 'hold' && !fault.done) {
    await new Promise((go) => held.push(go));
  }
  const good = !fault || fault.done || fault.kind === 'hold' ? await call.run() : null;
  if (fault) {
    await ruin(fault, provider, response, good ?? answer(200, {}));
  } else {
    respond(response, good);
  }
  if (good?.afterwards) {
    // when the answer is on its way
    setTimeout(good.afterwards, 20);
  }
  return undefined;
}

async function sink(request, record, response) {
  const statuses = request.path.slice(1).split(',').map(Number);
  const before = requests.filter((r) => r.target === record.target).length - 1;
  await pause(request.number('ms', 0));
  const status = statuses[Math.min(before, statuses.length - 1)] || 200;
  response.writeHead(status).end();
}

function respond(response, { status, headers, body }) {
  const content = Buffer.from(body);
  response.writeHead(status, { ...headers, 'Content-Length': content.length });
  response.end(content);
}

async function onRequest(message, response) {
  const parts = [];
  let size = 0;
  for await (const part of message) {
    parts.push(part);
    size += part.length;
    if (size > MAX_BODY) {
      respond(response, text(413, 'too large'));
      return;
    }
  }

  const scheme = message.socket.encrypted ? 'https' : 'http';
  const origin = `${scheme}://${message.headers.host ?? '127.0.0.1'}`;
  if (!message.url.startsWith('/') || !isUrl(origin + message.url)) {
    respond(response, text(400, 'Bad Request'));
    return;
  }
  const url = new URL(origin + message.url);
  const [, prefix, path] = /^\/([^/]*)(.*)$/.exec(url.pathname);
  const request = new Request({
    method: message.method,
    path,
    query: url.searchParams,
    headers: message.headers,
    text: Buffer.concat(parts).toString(),
    base: `${url.origin}/${prefix}`,
  });

  if (prefix === '_control') {
    await control(request, response);
    return;
  }

  const record = {
    id: (requests.at(-1)?.id ?? 0) + 1,
    at: new Date().toISOString(),
    provider: null,
    operation: null,
    method: request.method,
    target: message.url,
    headers: message.headers,
    raw_headers: message.rawHeaders,
    body: request.text,
    fault: null,
    status: null, // of the answer
    open: true,
  };
  requests.push(record);
  response.on('close', () => {
    record.open = false;
    record.status = response.headersSent ? response.statusCode : null;
  });
  const provider = Object.hasOwn(providers, prefix) ? providers[prefix] : null;
  if (prefix === '_sink') {
    record.provider = 'sink';
    await sink(request, record, response);
  } else if (provider) {
    await serve(provider, request, record, response);
  } else {
    respond(response, text(404, 'There is no such provider'));
  }
}

// ---------------------------------------------------------------------------
// The control API
// ---------------------------------------------------------------------------

class Mistake extends Error {}

function find(name) {
  if (!Object.hasOwn(providers, name)) {
    throw new Mistake(`there is no provider "${name}"`);
  }
  return providers[name];
}

function assign(target, members, what) {
  for (const name of Object.keys(members)) {
    if (!Object.hasOwn(target, name)) {
      throw new Mistake(`${what} has no "${name}"`);
    }
  }
  return Object.assign(target, members);
}

function changeSettings(given) {
  for (const [name, value] of Object.entries(given)) {
    if (name === 'speed') {
      clock.speed = value;
    } else if (name === 'routes') {
      engine.options.routes = value;
    } else if (name === 'timeout_ms') {
      engine.options.timeout = value ?? undefined;
    } else {
      assign(find(name).settings, value, name);
    }
  }
}

function overview() {
  return {
    providers: Object.fromEntries(
      Object.values(providers).map((p) => [p.name, { settings: p.settings, webhooks: p.webhooks.length }]),
    ),
    clock: { seconds: clock.now() / SECOND, speed: clock.speed, until_next: clock.untilNext },
    requests: requests.length,
    open: requests.filter((r) => r.open).length,
    held: held.length,
    in_flight: engine.inFlight,
    deliveries: countBy(engine.deliveries, (d) => d.state),
    routes: engine.options.routes,
    timeout_ms: engine.options.timeout ?? null,
  };
}

function countBy(list, key) {
  const counts = {};
  for (const item of list) {
    counts[key(item)] = (counts[key(item)] ?? 0) + 1;
  }
  return counts;
}

const matching = (list, query, names) =>
  list.filter((item) => names.every((name) => !query.has(name) || String(item[name]) === query.get(name)));

const CONTROL = {
  'GET /': overview,
  'POST /reset': () => reset() ?? {},
  'POST /settings': (given) => changeSettings(given) ?? overview(),
  'GET /requests': (given, { query }) => matching(requests, query, ['provider', 'operation']),
  'DELETE /requests': () => {
    requests = requests.filter((r) => r.open);
    return {};
  },
  'GET /webhooks/:provider': (given, { provider }) => find(provider).webhooks,
  'PATCH /webhooks/:provider/:id': (given, { provider, id }) =>
    find(provider).change(id, given) ?? missing(`webhook ${id}`),
  'DELETE /webhooks/:provider/:id': (given, { provider, id }) =>
    find(provider).remove(id) ? {} : missing(`webhook ${id}`),
  'POST /seed': ({ provider, count = 1, members }) => {
    const before = find(provider).webhooks.length;
    return { ids: Array.from({ length: count }, (_, i) => find(provider).seed(before + i, members)) };
  },
  'POST /fire': async ({ provider, wait = true, ...event }) => {
    if (typeof event.topic !== 'string') {
      throw new Mistake('an event needs a topic');
    }
    const deliveries = find(provider).fire(event);
    if (wait) {
      await Promise.all(deliveries.map((d) => d.first));
    }
    return { deliveries };
  },
  'GET /deliveries': (given, { query }) => matching(engine.deliveries, query, ['provider', 'state', 'event']),
  'POST /settle': async () => {
    await engine.settle();
    return { deliveries: engine.deliveries };
  },
  'POST /advance': async ({ seconds }) => {
    if (!(seconds >= 0)) {
      throw new Mistake('seconds are needed');
    }
    await engine.advance(seconds * SECOND);
    return overview();
  },
  'GET /notices': () => notices,
  'POST /faults': addFault,
  'GET /faults': () => faults,
  'DELETE /faults': () => {
    faults = [];
    return {};
  },
  'POST /release': release,
};

function missing(what) {
  throw new Mistake(`there is no ${what}`);
}

async function control(request, response) {
  const path = request.path === '' ? '/' : request.path;
  const [, room, provider, id] = path.split('/').map(decodeURIComponent);
  const pattern = `/${room}${provider ? '/:provider' : ''}${id ? '/:id' : ''}`;
  try {
    const run = CONTROL[`${request.method} ${pattern}`] ?? missing(`${request.method} ${path}`);
    const given = request.text === '' ? {} : (request.object ?? missing('JSON object in the body'));
    respond(response, answer(200, await run(given, { provider, id, query: request.query })));
  } catch (problem) {
    if (!(problem instanceof Mistake)) {
      throw problem;
    }
    respond(response, answer(400, { error: problem.message }));
  }
}

// ---------------------------------------------------------------------------
// The server
// ---------------------------------------------------------------------------

function listener(message, response) {
  onRequest(message, response).catch((problem) => {
    if (message.aborted || message.destroyed) {
      return;
    }
    // a mistake of ours must not pass for a provider's error
    console.error(problem);
    process.exit(1);
  });
}

// With TLS the control API, and nothing else, can also be had without: the first
// byte of a connection tells.
function withTls(tls) {
  const secure = https.createServer(tls, listener);
  const plain = http.createServer((message, response) => {
    if (message.url.startsWith('/_control')) {
      listener(message, response);
    } else {
      respond(response, text(400, 'The plain HTTP request was sent to HTTPS port'));
    }
  });
  return net.createServer((socket) => {
    transports.set(socket.remotePort, socket);
    socket.on('close', () => transports.delete(socket.remotePort));
    socket.on('error', () => {});
    socket.once('data', (bytes) => {
      socket.pause();
      socket.unshift(bytes);
      (bytes[0] === 0x16 ? secure : plain).emit('connection', socket);
      process.nextTick(() => socket.resume());
    });
  });
}

const server = options['tls-cert']
  ? withTls({
      cert: readFileSync(options['tls-cert']),
      key: readFileSync(options['tls-key'] ?? options['tls-cert']),
    })
  : http.createServer(listener);

reset();
server.on('connection', (socket) => socket.setNoDelay(true));
server.listen(Number(options.port), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));

const end = () => process.exit(0);
process.on('SIGTERM', end);
process.on('SIGINT', end);
process.stdin.on('end', end).on('error', end).resume();
