// Shoplazza: Open API, webhooks.
//
// Documented (shoplazza.dev, reference 2022-01, "Create a webhook"; "Webhooks
// overview", "Webhook properties", "Webhook best practices", "HTTP status", "API
// rate limits"; Open API 2025-06; conventions of the vendor's command line tool,
// github.com/Shoplazza/shoplazza-cli; the 2022-01 OpenAPI document as kept in
// github.com/api-evangelist/shoplazza):
//
// - Paths /openapi/VERSION/webhooks, header access-token.
// - 2022-01: create and update with {"address","topic"}, answers {"webhook"} and
//   {"webhooks"}, page and limit (50, at most 250), delete answers {}.  From
//   2025-06 on: {"webhook":{...}} in, {"code":"Success","data":{...}} out,
//   page_size and cursor, has_more.  Filters address, topic, created_at_min and
//   _max, updated_at_min and _max; /webhooks/count gives {"count"}.
// - Webhook: id (UUID), address, topic, created_at, updated_at, format.
// - Topics are those that the 422 of 2022-01 lists; messages "Topic is not
//   allowed, allowed topic are: ...", "Topic already exists", "Address can't be
//   blank", "Address is invalid".
// - Errors have four shapes: a list in "errors", lists by field in "errors", a
//   text in "error", bare text.  From 2025-06 on statuses are only 400, 403 and
//   500.
// - Deliveries: X-Shoplazza-Topic, -Hmac-Sha256 (base64 of HMAC-SHA256 over the
//   body with the application's client secret), -Shop-Domain, -Api-Version,
//   -Deduplication-ID.  Any 2xx is success; 19 retries after 1, 2, 2, 5, 20, 30
//   minutes, 1, 2 and then 11 times 4 hours; then the webhook is deleted.
//
// Not documented, and so only our idea: a topic exists already if it has the
// same address (setting unique: "topic" or "none"); which shape an error has
// where the documents differ (setting error_shape: "list", "fields", "error" or
// "text" for all of 2022-01); {"code","message"} for errors from 2025-06 on;
// 50 in a page and at most 250 there; 401 for a wrong token in 2022-01; 10 s for
// an answer.

import { answer, copy, hmac, isDeliveryUrl, isoTime, randomUUID, text } from './common.mjs';
import { HOUR, MINUTE, SECOND } from './deliver.mjs';

const VERSIONS = ['2022-01', '2025-06', '2026-01', '2026-07'];

const TOPICS = [
  'app/expired', 'app/uninstalled', 'cart/create', 'cart/update', 'collections/create', 'collections/delete',
  'collections/update', 'customers/create', 'customers/delete', 'customers/update', 'fulfillments/create',
  'fulfillments/update', 'orders/cancelled', 'orders/create', 'orders/delete', 'orders/finished', 'orders/fulfilled',
  'orders/paid', 'orders/partially_fulfilled', 'orders/partially_refunded', 'orders/refunded', 'orders/update',
  'procurements/create', 'procurements/update', 'products/create', 'products/delete', 'products/publish',
  'products/unpublish', 'products/update', 'shop/update', 'stores/subscribe', 'suppliers/create', 'suppliers/delete',
  'suppliers/update',
]; // prettier-ignore

const TIMEOUT = 10 * SECOND;
const GAPS = [...[1, 2, 2, 5, 20, 30].map((m) => m * MINUTE), HOUR, 2 * HOUR, ...Array(11).fill(4 * HOUR)];

export class Shoplazza {
  name = 'shoplazza';
  settings = {
    access_token: 'emulated-shoplazza-token',
    client_secret: 'emulated-shoplazza-secret',
    shop_domain: 'emulated.myshoplaza.com',
    api_version: '2020-07', // of the deliveries
    unique: 'topic_and_address',
    error_shape: null,
  };
  #webhooks = new Map();

  constructor({ engine, tell }) {
    this.engine = engine;
    this.tell = tell;
  }

  // --- Management API ----------------------------------------------------------

  route(request) {
    const [, version, rest] = /^\/openapi\/([^/]+)\/webhooks(\/[^/]+)?$/.exec(request.path) ?? [];
    const known = VERSIONS.includes(version);
    const dialect = version === '2022-01' ? new Flat(this.settings.error_shape) : new Wrapped();
    const id = rest?.slice(1);
    const operations =
      id === 'count'
        ? { GET: ['count', () => dialect.success({ count: this.#select(request).length })] }
        : id
          ? {
              GET: ['get', () => this.#find(dialect, id, (webhook) => dialect.success({ webhook }))],
              PUT: ['update', () => this.#find(dialect, id, (webhook) => this.#update(dialect, request, webhook))],
              DELETE: ['delete', () => this.#find(dialect, id, () => this.#delete(dialect, id))],
            }
          : {
              GET: ['list', () => dialect.page(request, this.#select(request))],
              POST: ['create', () => this.#create(dialect, request)],
            };
    const [operation, run] = (known && operations[request.method]) || [];

    return {
      operation: operation ?? null,
      run: () => {
        if (!known) {
          return new Flat(this.settings.error_shape).failure(404, 'error', 'page not found');
        }
        if (!run) {
          return dialect.failure(405, 'text', 'Method Not Allowed');
        }
        if (request.headers['access-token'] !== this.settings.access_token) {
          return dialect.failure(401, 'list', 'Invalid access token');
        }
        return run();
      },
    };
  }

  limited(seconds) {
    return answer(429, { errors: ['Too Many Requests'] }, seconds === null ? {} : { 'Retry-After': String(seconds) });
  }

  #select({ query }) {
    const filters = {
      address: (w, value) => w.address === value,
      topic: (w, value) => w.topic === value,
      created_at_min: (w, value) => new Date(w.created_at) >= new Date(value),
      created_at_max: (w, value) => new Date(w.created_at) <= new Date(value),
      updated_at_min: (w, value) => new Date(w.updated_at) >= new Date(value),
      updated_at_max: (w, value) => new Date(w.updated_at) <= new Date(value),
    };
    const asked = Object.keys(filters).filter((name) => query.get(name));
    return [...this.#webhooks.values()].filter((w) => asked.every((name) => filters[name](w, query.get(name))));
  }

  #find(dialect, id, use) {
    const webhook = this.#webhooks.get(id);
    return webhook ? use(webhook) : dialect.failure(404, 'list', 'record not found!');
  }

  #create(dialect, request) {
    if (!request.isJson || !request.object) {
      return dialect.failure(400, 'text', 'Bad Request');
    }
    const given = dialect.given(request.object);
    const problem = this.#invalid(given, true);
    return problem ? dialect.failure(422, 'fields', ...problem) : dialect.success({ webhook: this.#add(given) });
  }

  #update(dialect, request, webhook) {
    if (!request.isJson || !request.object) {
      return dialect.failure(400, 'text', 'Bad Request');
    }
    const given = dialect.given(request.object);
    const problem = this.#invalid(given, false, webhook);
    if (problem) {
      return dialect.failure(422, 'fields', ...problem);
    }
    Object.assign(webhook, {
      address: given.address ?? webhook.address,
      topic: given.topic ?? webhook.topic,
      updated_at: isoTime(),
    });
    return dialect.success({ webhook });
  }

  #delete(dialect, id) {
    this.#webhooks.delete(id);
    return dialect.success({});
  }

  #add({ address, topic }) {
    const now = isoTime();
    const webhook = { id: randomUUID(), address, topic, created_at: now, updated_at: now, format: 'json' };
    this.#webhooks.set(webhook.id, webhook);
    return webhook;
  }

  // What is wrong, as a list of [field, message, ...]; null if nothing.
  #invalid(given, creating, webhook) {
    const problems = [];
    for (const field of ['address', 'topic']) {
      if (given[field] === '' || given[field] === null || (creating && given[field] === undefined)) {
        problems.push([field, "can't be blank"]);
      }
    }
    if (given.address !== undefined && !isDeliveryUrl(given.address)) {
      problems.push(['address', 'is invalid']);
    }
    if (given.topic && !TOPICS.includes(given.topic)) {
      problems.push(['topic', `is not allowed, allowed topic are: ${TOPICS.join(', ')}`]);
    }
    if (!problems.length) {
      const wanted = { ...webhook, ...given };
      const same = [...this.#webhooks.values()].filter((w) => w !== webhook && w.topic === wanted.topic);
      const { unique } = this.settings;
      if (unique === 'topic' ? same.length : unique !== 'none' && same.some((w) => w.address === wanted.address)) {
        problems.push(['topic', 'already exists']);
      }
    }
    return problems.length ? problems : null;
  }

  // --- Deliveries ----------------------------------------------------------------

  fire({ topic, data, secret, deduplication_id: id = randomUUID(), webhook_id: only }) {
    const content = data ?? { id: randomUUID(), note: 'Größe 42/43 😀', updated_at: isoTime() };
    const body = typeof content === 'string' ? content : JSON.stringify(content);
    const webhooks = [...this.#webhooks.values()].filter(
      (w) => w.topic === topic && (only === undefined || w.id === only),
    );

    return webhooks.map((webhook) =>
      this.engine.deliver({
        provider: this.name,
        webhook: webhook.id,
        event: topic,
        gaps: GAPS,
        timeout: TIMEOUT,
        counts: (status) => status >= 200 && status <= 299,
        wanted: () => this.#webhooks.has(webhook.id),
        request: () => ({
          method: 'POST',
          url: webhook.address,
          headers: [
            ['Content-Type', 'application/json'],
            ['X-Shoplazza-Topic', topic],
            ['X-Shoplazza-Hmac-Sha256', hmac(secret ?? this.settings.client_secret, body, 'base64')],
            ['X-Shoplazza-Shop-Domain', this.settings.shop_domain],
            ['X-Shoplazza-Api-Version', this.settings.api_version],
            ...(id === null ? [] : [['X-Shoplazza-Deduplication-ID', id]]),
          ],
          body,
        }),
        failed: () => {
          this.#webhooks.delete(webhook.id);
          this.tell(this.name, `Webhook ${webhook.id} (${topic}) was deleted after 20 failed attempts`);
        },
      }),
    );
  }

  // --- Control ---------------------------------------------------------------------

  seed(number, given = {}) {
    return this.#add({
      topic: TOPICS[number % TOPICS.length],
      address: `https://seeded.example/hooks/${number}`,
      ...given,
    }).id;
  }

  get webhooks() {
    return [...this.#webhooks.values()].map((w) => ({
      id: w.id,
      topic: w.topic,
      urls: [w.address],
      active: true,
      record: copy(w),
    }));
  }

  change(id, members) {
    const webhook = this.#webhooks.get(id);
    return webhook && Object.assign(webhook, members);
  }

  remove(id) {
    return this.#webhooks.delete(id);
  }
}

// ---------------------------------------------------------------------------
// The two dialects
// ---------------------------------------------------------------------------

// A sentence of a problem, which is a text or [field, message].
const sentence = (problem) =>
  Array.isArray(problem) ? problem[0][0].toUpperCase() + problem.join(' ').slice(1) : problem;

class Flat {
  constructor(shape) {
    this.shape = shape;
  }

  given = (object) => object;

  success = (content) => answer(200, content);

  page(request, all) {
    const limit = request.number('limit', 50);
    const page = request.number('page', 1);
    if (limit < 1 || limit > 250 || page < 1) {
      return this.failure(422, 'fields', [limit < 1 || limit > 250 ? 'limit' : 'page', 'is invalid']);
    }
    return answer(200, { webhooks: all.slice((page - 1) * limit, page * limit) });
  }

  failure(status, shape, ...problems) {
    switch (this.shape ?? shape) {
      case 'list':
        return answer(status, { errors: problems.map(sentence) });
      case 'error':
        return answer(status, { error: problems.map(sentence).join('; ') });
      case 'text':
        return text(status, problems.map(sentence).join('; '));
      default: {
        const errors = {};
        for (const [field, message] of problems.map((p) => (Array.isArray(p) ? p : ['base', p]))) {
          (errors[field] ??= []).push(message);
        }
        return answer(status, { errors });
      }
    }
  }
}

class Wrapped {
  given = (object) => (typeof object.webhook === 'object' && object.webhook) || {};

  success = (data) => answer(200, { code: 'Success', data });

  page(request, all) {
    const size = request.number('page_size', 50);
    if (size < 1 || size > 250) {
      return this.failure(422, null, ['page_size', 'is invalid']);
    }
    const cursor = request.query.get('cursor');
    const last = cursor ? Buffer.from(cursor, 'base64url').toString() : null;
    const at = all.findIndex((w) => w.id === last);
    if (last !== null && at < 0) {
      return this.failure(422, null, ['cursor', 'is invalid']);
    }
    const webhooks = all.slice(at + 1, at + 1 + size);
    const more = at + 1 + size < all.length;
    return this.success({
      webhooks,
      cursor: more ? Buffer.from(webhooks.at(-1).id).toString('base64url') : '',
      has_more: more,
    });
  }

  failure(status, shape, ...problems) {
    const grouped = status === 401 || status === 403 ? 403 : status >= 500 ? 500 : 400;
    const code = { 401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound' }[status] ?? 'InvalidParameter';
    return answer(grouped, { code, message: problems.map(sentence).join('; ') });
  }
}
