// The delivery engine that the emulated providers share.
//
// A delivery is tried at once and, until an answer counts as success, again
// after each of the gaps that the provider documents.  How to sign, which
// answers count, how long to wait and what follows the last failure is the
// provider's; see there.
//
// Gaps and expiries are of the emulator's clock, which can run faster than the
// real one or be moved forward.  Dates in requests and answers are real, and so
// are time-outs of an attempt.
//
// Deliveries stay on this machine.  "routes" maps the beginning of a registered
// URL to where it is served: {"https://hooks.example.com": "http://127.0.0.1:8090"};
// an address elsewhere that has no route is unreachable.

import http from 'node:http';
import https from 'node:https';
import { isLoopback } from './common.mjs';

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;

const LONGEST_TIMER = 0x7fffffff;

// ---------------------------------------------------------------------------
// The clock
// ---------------------------------------------------------------------------

export class Clock {
  #speed = 1;
  #real = performance.now();
  #time = 0;
  #tasks = []; // by time
  #timer = null;

  // Milliseconds since the emulator began.
  now() {
    return this.#time + (performance.now() - this.#real) * this.#speed;
  }

  get speed() {
    return this.#speed;
  }

  set speed(speed) {
    this.#set(this.now());
    this.#speed = speed;
    this.#arm();
  }

  // Moves it forward; what is due then is done.
  advance(ms) {
    this.#set(this.now() + ms);
    this.#run();
  }

  // Does something after that long.
  after(ms, run) {
    const task = { time: this.now() + ms, run };
    this.#tasks.push(task);
    this.#tasks.sort((a, b) => a.time - b.time);
    this.#arm();
    return task;
  }

  // How long until the next task; null without one.
  get untilNext() {
    return this.#tasks.length ? Math.max(0, this.#tasks[0].time - this.now()) : null;
  }

  stop() {
    this.#tasks = [];
    clearTimeout(this.#timer);
  }

  #set(time) {
    this.#time = time;
    this.#real = performance.now();
  }

  #arm() {
    clearTimeout(this.#timer);
    if (this.#tasks.length) {
      const wait = Math.ceil(this.untilNext / this.#speed);
      this.#timer = setTimeout(() => this.#run(), Math.min(wait, LONGEST_TIMER));
      this.#timer.unref();
    }
  }

  #run() {
    while (this.#tasks.length && this.#tasks[0].time <= this.now()) {
      this.#tasks.shift().run();
    }
    this.#arm();
  }
}

// ---------------------------------------------------------------------------
// One request
// ---------------------------------------------------------------------------

// Where a URL is really served; null if nowhere.
function resolve(url, routes) {
  for (const [from, to] of Object.entries(routes)) {
    if (url.startsWith(from)) {
      return new URL(to + url.slice(from.length));
    }
  }
  const target = new URL(url);
  return isLoopback(target) ? target : null;
}

// Sends a request and resolves to what became of it: status, answer and ms, or
// error and ms.  Headers are pairs, sent in this order, spelling and number; a
// value is sent as UTF-8.  Redirects are not followed.
export function send({ method, url, headers = [], body = null }, { timeout, connectTimeout = timeout, routes = {} }) {
  const began = performance.now();
  const ms = () => Math.round(performance.now() - began);

  return new Promise((done) => {
    let target;
    try {
      target = resolve(url, routes);
    } catch {
      target = null;
    }
    if (!target) {
      done({ error: 'unreachable', ms: ms() });
      return;
    }

    const content = body === null ? null : Buffer.from(body);
    const sent = [
      ['Host', new URL(url).host],
      ...headers,
      ...(content ? [['Content-Length', String(content.length)]] : []),
      ['Connection', 'close'],
    ];
    const request = (target.protocol === 'https:' ? https : http).request(target, {
      method,
      agent: false,
      rejectUnauthorized: false, // it is this machine
      servername: new URL(url).hostname.replace(/^[\d.]+$|^\[.*$/, ''),
      headers: sent.flatMap(([name, value]) => [name, Buffer.from(String(value)).toString('latin1')]),
    });
    const finish = (outcome) => {
      clearTimeout(connecting);
      clearTimeout(answering);
      request.destroy();
      done({ ...outcome, ms: ms() });
    };
    const connecting = setTimeout(() => finish({ error: 'timed out' }), connectTimeout);
    const answering = setTimeout(() => finish({ error: 'timed out' }), timeout);

    request.on('socket', (socket) =>
      socket.once(target.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(connecting)),
    );
    request.on('error', (error) => finish({ error: error.code ?? error.message }));
    request.on('response', (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', (error) => finish({ error: error.code ?? error.message }));
      response.on('end', () => finish({ status: response.statusCode, answer: Buffer.concat(parts).toString() }));
    });
    request.end(content ?? undefined);
  });
}

// ---------------------------------------------------------------------------
// Deliveries
// ---------------------------------------------------------------------------

export class Engine {
  #last = 0;
  #inFlight = new Set();
  deliveries = [];

  // options: routes, and timeout (ms) to use instead of a provider's own.
  constructor(clock, options) {
    this.clock = clock;
    this.options = options;
  }

  // Begins a delivery, whose first attempt is on its way when this returns.
  //
  //   provider, webhook, event  what it is, for the record
  //   request(number)           method, url, headers, body of an attempt, from 1
  //   gaps                      milliseconds between attempts
  //   timeout, connectTimeout   milliseconds
  //   counts(status)            whether an answer is success
  //   wanted()                  false when retries are pointless by now
  //   delivered(), failed()     called at the end
  //
  // Returns the record; its "first" resolves after the first attempt.
  deliver(plan) {
    const delivery = {
      id: ++this.#last,
      provider: plan.provider,
      webhook_id: plan.webhook,
      event: plan.event,
      state: 'pending',
      attempts: [],
    };
    this.deliveries.push(delivery);
    Object.defineProperty(delivery, 'first', { value: this.#attempt(plan, delivery) });
    return delivery;
  }

  // Sends one request that is no delivery.
  probe(request, { timeout }) {
    return this.#track(send(request, { ...this.options, timeout: this.options.timeout ?? timeout }));
  }

  async #attempt(plan, delivery) {
    const request = plan.request(delivery.attempts.length + 1);
    const attempt = { at: new Date().toISOString(), clock_s: Math.round(this.clock.now() / SECOND), ...request };
    delivery.attempts.push(attempt);
    const outcome = await this.#track(
      send(request, {
        ...this.options,
        timeout: this.options.timeout ?? plan.timeout,
        connectTimeout: this.options.timeout ?? plan.connectTimeout,
      }),
    );
    Object.assign(attempt, outcome);

    const gap = plan.gaps[delivery.attempts.length - 1];
    if (outcome.status !== undefined && plan.counts(outcome.status)) {
      delivery.state = 'delivered';
      plan.delivered?.();
    } else if (plan.wanted && !plan.wanted()) {
      delivery.state = 'dropped';
    } else if (gap === undefined) {
      delivery.state = 'failed';
      plan.failed?.();
    } else {
      this.clock.after(gap, () => {
        if (plan.wanted && !plan.wanted()) {
          delivery.state = 'dropped';
        } else {
          this.#attempt(plan, delivery);
        }
      });
    }
  }

  #track(promise) {
    this.#inFlight.add(promise);
    promise.finally(() => this.#inFlight.delete(promise));
    return promise;
  }

  get inFlight() {
    return this.#inFlight.size;
  }

  async #quiet() {
    while (this.#inFlight.size) {
      await Promise.all(this.#inFlight);
      await new Promise(setImmediate);
    }
  }

  // Moves the clock from one retry to the next until none is left.
  async settle() {
    await this.#quiet();
    while (this.clock.untilNext !== null) {
      this.clock.advance(this.clock.untilNext);
      await this.#quiet();
    }
  }

  // Moves the clock that far, retry by retry, so that each comes in its turn.
  async advance(ms) {
    const end = this.clock.now() + ms;
    await this.#quiet();
    while (this.clock.untilNext !== null && this.clock.now() + this.clock.untilNext <= end) {
      this.clock.advance(this.clock.untilNext);
      await this.#quiet();
    }
    this.clock.advance(Math.max(0, end - this.clock.now()));
    await this.#quiet();
  }
}
