// Ecomanager: Shop API v2, webhooks.
//
// Documented (Ecomanager, documentation of the Shop API of an account, section
// Webhooks):
//
// - Paths below /api/shop/v2, headers Authorization: Bearer TOKEN, Content-Type
//   and Accept: application/json.  Create, list, get, set status, update answer
//   200, delete answers 201 with {"success": ...}.
// - Members of create and update and which of them are required; headers (at
//   most 5) and payload (at most 10) are [{"key","value"}] in a request and
//   [{KEY: VALUE}] in an answer; is_active is a boolean in a request, 1 or 0 in
//   an answer; the secret is in every answer; dates are YYYY-MM-DD HH:MM:SS.
// - A page is {"data", "links", "meta"}; the cursor is base64 of
//   {"id":N,"_pointsToNextItems":true}; "ids" filters.
// - A GET is sent to the delivery URL after a create or an activation, and only
//   if it succeeds the webhook becomes active.
// - Deliveries carry X-Ecomanager-Signature (HMAC-SHA256 of the payload with
//   the webhook's secret), -Source, -Event, -Webhook-ID and the custom headers.
//   Success is 200 within 5 s; up to 6 retries with growing gaps, the last
//   about 24 h after the first attempt; then the webhook is disabled and the
//   account gets an e-mail.
//
// Not documented, and so only our idea:
//
// - Errors and JSON are those of Laravel, whose cursor it is: 401, 404, 405, 422
//   with "errors", a redirect to a login page for who does not accept JSON, an
//   unknown cursor that gives the first page.
// - The signature is lower-case hex.  A GET delivery has no body.  Members of
//   "payload" become members of the body.  Gaps double.  The GET has neither
//   signature nor custom headers, counts when answered 200 within 5 s, and
//   leaves the answer of create at 200 when it fails.
// - An update clears headers and payload that it does not mention (setting
//   update_keeps), the safer thing to assume for a client.

import { copy, hmac, isDeliveryUrl, phpAnswer, sqlTime, text } from './common.mjs';
import { HOUR, SECOND } from './deliver.mjs';

const BASE = '/api/shop/v2/webhooks';

const EVENTS = [
  'OrderCreated',
  'OrderDeleted',
  'OrderStatusChanged',
  'OrderConfirmationStatusChanged',
  'OrderShippingStatusChanged',
];

const TIMEOUT = 5 * SECOND;
const GAPS = Array.from({ length: 6 }, (_, i) => (24 * HOUR * 2 ** i) / (2 ** 6 - 1));

const ORDER = {
  id: 4711,
  reference: 'CMD-4711',
  order_state_name: 'En attente',
  confirmation_state_name: 'Confirmée',
  full_name: 'Amine Zaïdi',
  telephone: '0550000000',
  wilaya: 'Alger',
  commune: 'Bab El Oued',
  items: [{ product_id: 12, title: 'Théière', quantity: 1, sku: 'TH/1', unit_price: 2500, total_price: 2500 }],
  total_products: 2500,
  total: 3100,
};

export class Ecomanager {
  name = 'ecomanager';
  settings = {
    token: 'emulated-ecomanager-token',
    source: 'https://myshop.ecomanager.dz',
    // When the activation GET is sent: "before" the answer, which waits for it,
    // or "after" it, when the answer already says what was asked for; "none".
    activation: 'before',
    update_keeps: false,
    max_per_page: 100,
  };
  #webhooks = new Map();
  #nextId = 101;

  constructor({ engine, tell }) {
    this.engine = engine;
    this.tell = tell;
  }

  // --- Management API ----------------------------------------------------------

  route(request) {
    const rest = request.path.startsWith(BASE) ? request.path.slice(BASE.length) : null;
    const [, id, status] = /^(?:\/([^/]+)(\/status)?)?$/.exec(rest ?? '-') ?? [];
    const operations =
      rest === null || (rest !== '' && id === undefined)
        ? null
        : id === undefined
          ? { GET: ['list', () => this.#list(request)], POST: ['create', () => this.#create(request)] }
          : status
            ? { PUT: ['set_active', () => this.#setStatus(request, id)] }
            : {
                GET: ['get', () => this.#find(id, (webhook) => shown(webhook))],
                PUT: ['update', () => this.#update(request, id)],
                DELETE: ['delete', () => this.#delete(id)],
              };
    const [operation, run] = operations?.[request.method] ?? [];

    return {
      operation: operation ?? null,
      run: () => {
        if (!operations) {
          return error(404, `The route ${request.path.slice(1)} could not be found.`);
        }
        if (!run) {
          const allowed = Object.keys(operations).join(', ');
          return error(405, `The ${request.method} method is not supported for this route. Supported methods: ${allowed}.`, {
            Allow: allowed,
          });
        }
        if (request.headers.authorization !== `Bearer ${this.settings.token}`) {
          return this.#forJson(request, error(401, 'Unauthenticated.'));
        }
        return run();
      },
    };
  }

  limited(seconds) {
    return error(429, 'Too Many Attempts.', seconds === null ? {} : { 'Retry-After': String(seconds) });
  }

  // Laravel: who does not accept JSON is a browser, and is sent elsewhere.
  #forJson(request, answer) {
    return request.wantsJson
      ? answer
      : {
          ...text(302, '<!DOCTYPE html><html><body>Redirecting to /login</body></html>', 'text/html; charset=utf-8'),
          headers: { Location: `${request.base}/login`, 'Content-Type': 'text/html; charset=utf-8' },
        };
  }

  #find(id, use) {
    const webhook = /^\d+$/.test(id) ? this.#webhooks.get(Number(id)) : undefined;
    return webhook
      ? phpAnswer(200, use(webhook))
      : error(404, `No query results for model [App\\Models\\Webhook] ${id}`);
  }

  #list(request) {
    const wanted = request.query.get('ids')?.split(',').map(Number);
    const perPage = Math.min(Math.max(request.number('per_page', 10), 1), this.settings.max_per_page);
    const cursor = readCursor(request.query.get('cursor'));
    const all = [...this.#webhooks.values()].filter((w) => !wanted || wanted.includes(w.id));
    const from = cursor === null ? 0 : all.filter((w) => w.id <= cursor).length;
    const page = all.slice(from, from + perPage);
    const next = from + page.length < all.length ? makeCursor(page.at(-1).id, true) : null;
    const previous = from > 0 && page.length > 0 ? makeCursor(page[0].id, false) : null;
    const path = request.base + BASE;

    return phpAnswer(200, {
      data: page.map(shown),
      links: {
        first: null,
        last: null,
        prev: previous && `${path}?cursor=${previous}`,
        next: next && `${path}?cursor=${next}`,
      },
      meta: { path, per_page: perPage, next_cursor: next, prev_cursor: previous },
    });
  }

  async #create(request) {
    const given = request.isJson ? (request.object ?? {}) : {};
    const errors = invalid(given, true);
    if (errors) {
      return this.#forJson(request, errors);
    }
    const webhook = this.#add(given);
    return this.#activated(webhook, given.is_active);
  }

  async #update(request, id) {
    const webhook = this.#webhooks.get(Number(id));
    if (!webhook) {
      return this.#find(id);
    }
    const given = request.isJson ? (request.object ?? {}) : {};
    const errors = invalid(given, false);
    if (errors) {
      return this.#forJson(request, errors);
    }
    const wasActive = webhook.is_active;
    Object.assign(webhook, members(given, this.settings.update_keeps ? webhook : { secret: webhook.secret }), {
      updated_at: sqlTime(),
    });
    webhook.is_active = wasActive && truth(given.is_active);
    return this.#activated(webhook, truth(given.is_active) && !wasActive);
  }

  async #setStatus(request, id) {
    const webhook = this.#webhooks.get(Number(id));
    if (!webhook) {
      return this.#find(id);
    }
    const status = (request.isJson ? request.object : null)?.status;
    if (truth(status) === undefined) {
      const message = status === undefined ? 'The status field is required.' : 'The status field must be true or false.';
      return this.#forJson(request, unprocessable({ status: [message] }));
    }
    webhook.updated_at = sqlTime();
    webhook.is_active = truth(status) && webhook.is_active;
    return this.#activated(webhook, truth(status));
  }

  #delete(id) {
    const webhook = this.#webhooks.get(Number(id));
    if (!webhook) {
      return this.#find(id);
    }
    this.#webhooks.delete(webhook.id);
    return phpAnswer(201, { success: 'Webhook deleted successfully.' });
  }

  #add(given) {
    const now = sqlTime();
    const webhook = { id: this.#nextId++, ...members(given), is_active: false, created_at: now, updated_at: now };
    this.#webhooks.set(webhook.id, webhook);
    return webhook;
  }

  // The answer to what can activate a webhook, which a GET decides.
  async #activated(webhook, wanted) {
    if (!truth(wanted) || this.settings.activation === 'none') {
      webhook.is_active = truth(wanted) || webhook.is_active;
      return phpAnswer(200, shown(webhook));
    }
    if (this.settings.activation === 'before') {
      await this.#probe(webhook);
      return phpAnswer(200, shown(webhook));
    }
    return { ...phpAnswer(200, { ...shown(webhook), is_active: 1 }), afterwards: () => this.#probe(webhook) };
  }

  async #probe(webhook) {
    const outcome = await this.engine.probe(
      { method: 'GET', url: webhook.delivery_url, headers: [['Accept', '*/*']] },
      { timeout: TIMEOUT },
    );
    webhook.is_active = outcome.status === 200;
    if (!webhook.is_active) {
      this.tell(this.name, `Webhook ${webhook.id} was not activated: ${outcome.status ?? outcome.error}`);
    }
  }

  // --- Deliveries ----------------------------------------------------------------

  topicOf = (webhook) => webhook.event;

  fire({ topic, data = ORDER, secret, webhook_id: only }) {
    return this.#active(topic, only).map((webhook) => {
      const extra = Object.fromEntries(webhook.payload.map(({ key, value }) => [key, value]));
      const get = webhook.http_method === 'get';
      const body = get ? null : typeof data === 'string' ? data : JSON.stringify({ ...data, ...extra });

      return this.engine.deliver({
        provider: this.name,
        webhook: webhook.id,
        event: topic,
        gaps: GAPS,
        timeout: TIMEOUT,
        counts: (status) => status === 200,
        wanted: () => this.#webhooks.get(webhook.id) === webhook && webhook.is_active,
        request: () => ({
          method: get ? 'GET' : 'POST',
          url: webhook.delivery_url,
          headers: [
            ...(get ? [] : [['Content-Type', 'application/json']]),
            ['X-Ecomanager-Signature', hmac(secret ?? webhook.secret, body ?? '', 'hex')],
            ['X-Ecomanager-Source', this.settings.source],
            ['X-Ecomanager-Event', topic],
            ['X-Ecomanager-Webhook-ID', webhook.id],
            ...webhook.headers.map(({ key, value }) => [key, value]),
          ],
          body,
        }),
        failed: () => {
          webhook.is_active = false;
          webhook.updated_at = sqlTime();
          this.tell(this.name, `Webhook ${webhook.id} (${webhook.name}) was disabled after 7 failed attempts`);
        },
      });
    });
  }

  #active(topic, only) {
    return [...this.#webhooks.values()].filter(
      (w) => w.event === topic && w.is_active && (only === undefined || w.id === Number(only)),
    );
  }

  // --- Control ---------------------------------------------------------------------

  seed(number, { active = true, ...given } = {}) {
    const webhook = this.#add({
      name: `Seeded ${number}`,
      event: EVENTS[number % EVENTS.length],
      http_method: 'post',
      delivery_url: `https://seeded.example/hooks/${number}`,
      secret: `seeded-secret-${number}`,
      ...given,
    });
    webhook.is_active = active;
    return webhook.id;
  }

  get webhooks() {
    return [...this.#webhooks.values()].map((w) => ({
      id: w.id,
      topic: w.event,
      urls: [w.delivery_url],
      active: w.is_active,
      record: copy(w),
    }));
  }

  change(id, members) {
    const webhook = this.#webhooks.get(Number(id));
    return webhook && Object.assign(webhook, members);
  }

  remove(id) {
    return this.#webhooks.delete(Number(id));
  }
}

// ---------------------------------------------------------------------------

const error = (status, message, headers) => phpAnswer(status, { message }, headers);

// Laravel: what a boolean may be written as; undefined if it is none.
const truth = (value) =>
  [true, 1, '1'].includes(value) ? true : [false, 0, '0'].includes(value) ? false : undefined;

// What a webhook keeps of a request, and what of an earlier state.
const members = (given, before = {}) => ({
  name: given.name,
  event: given.event,
  http_method: given.http_method ?? before.http_method ?? 'post',
  delivery_url: given.delivery_url,
  headers: given.headers ?? before.headers ?? [],
  payload: given.payload ?? before.payload ?? [],
  secret: given.secret ?? before.secret,
});

const shown = (webhook) => ({
  ...webhook,
  headers: webhook.headers.map(({ key, value }) => ({ [key]: value })),
  payload: webhook.payload.map(({ key, value }) => ({ [key]: value })),
  is_active: webhook.is_active ? 1 : 0,
});

function unprocessable(errors) {
  const messages = Object.values(errors).flat();
  const others = messages.length - 1;
  const more = others ? ` (and ${others} more error${others > 1 ? 's' : ''})` : '';
  return phpAnswer(422, { message: messages[0] + more, errors });
}

// The answer to a body that is not as documented; null if it is.
function invalid(given, creating) {
  const errors = {};
  const complain = (field, message) => (errors[field] ??= []).push(message);
  const required = ['name', 'event', 'delivery_url', ...(creating ? ['secret'] : []), 'is_active'];

  for (const field of required) {
    if (given[field] === undefined || given[field] === null || given[field] === '') {
      complain(field, `The ${field.replace('_', ' ')} field is required.`);
    }
  }
  for (const field of ['name', 'event', 'delivery_url', 'secret', 'http_method']) {
    if (given[field] !== undefined && given[field] !== null && typeof given[field] !== 'string') {
      complain(field, `The ${field.replace('_', ' ')} field must be a string.`);
    }
  }
  if (given.event && !EVENTS.includes(given.event)) {
    complain('event', 'The selected event is invalid.');
  }
  if (given.http_method !== undefined && !['post', 'get'].includes(given.http_method)) {
    complain('http_method', 'The selected http method is invalid.');
  }
  if (given.delivery_url && !isDeliveryUrl(given.delivery_url)) {
    complain('delivery_url', 'The delivery url field must be a valid URL.');
  }
  if (given.is_active !== undefined && truth(given.is_active) === undefined) {
    complain('is_active', 'The is active field must be true or false.');
  }
  for (const [field, most] of [
    ['headers', 5],
    ['payload', 10],
  ]) {
    const list = given[field];
    if (list === undefined || list === null) {
      continue;
    }
    if (!Array.isArray(list)) {
      complain(field, `The ${field} field must be an array.`);
      continue;
    }
    if (list.length > most) {
      complain(field, `The ${field} field must not have more than ${most} items.`);
    }
    list.forEach((item, i) => {
      for (const part of ['key', 'value']) {
        if (item?.[part] === undefined) {
          complain(`${field}.${i}.${part}`, `The ${field}.${i}.${part} field is required.`);
        }
      }
    });
  }
  return Object.keys(errors).length ? unprocessable(errors) : null;
}

const makeCursor = (id, forward) =>
  Buffer.from(JSON.stringify({ id, _pointsToNextItems: forward })).toString('base64url');

// The id that a page begins after; null where the cursor is unknown.
function readCursor(cursor) {
  try {
    const { id, _pointsToNextItems: forward } = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    return forward && Number.isInteger(id) ? id : null;
  } catch {
    return null;
  }
}
