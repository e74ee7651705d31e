// BLAZE: Partner API, webHooks.
//
// Documented (BLAZE Partner API, page Webhooks API; apidocs.blaze.me, "Webhooks
// overview", "Authentication", "Errors", "Pagination"):
//
// - Paths /api/v1/partner/webHooks (capital H), headers x-api-key (partner key)
//   and Authorization (developer key, without "Bearer").
// - PartnerWebHook: id, companyId, shopId, created and modified (epoch
//   milliseconds), deleted, updated, url, webHookType, webHookUrls.  Create
//   requires webHookUrls.  Update takes the full object.
// - List: start (or skip, 0), limit (100), shopId; {"count", "total",
//   "searchResult"}.
// - Errors: {"error", "message", "status"} with 400, 401, 403, 404, 429, 500.
// - Deliveries are POSTs and 200 is success; nothing is signed.
//
// Not documented, and so only our idea: delete answers 200 without a body and
// keeps the record with "deleted": true, which lists and get still show, and
// update and delete do not find; a member that an update does not send is
// lost; any webHookType is taken, because the documentation contradicts itself
// about them; url is kept and not delivered to; the body of a delivery is what
// the test gives, and a failed one is not repeated (setting retry_minutes).

import { answer, copy, hexId, isDeliveryUrl } from './common.mjs';
import { MINUTE, SECOND } from './deliver.mjs';

const BASE = '/api/v1/partner/webHooks';
const TIMEOUT = 5 * SECOND;

const TYPES = [
  'NEW_CONSUMER_ORDER', 'NEW_CONSUMER_SIGNUP', 'UPDATE_CONSUMER_ORDER', 'UPDATE_CONSUMER_USER', 'NEW_MEMBER',
  'UPDATE_MEMBER', 'CREATE_TRANSACTION', 'UPDATE_TRANSACTION', 'CANCEL_TRANSACTION', 'COMPLETE_TRANSACTION',
  'UPDATE_PRODUCT',
]; // prettier-ignore

const MEMBERS = {
  url: 'string',
  shopId: 'string',
  webHookType: 'string',
  webHookUrls: 'list',
  id: 'string',
  companyId: 'string',
  created: 'number',
  modified: 'number',
  deleted: 'boolean',
  updated: 'boolean',
};

export class Blaze {
  name = 'blaze';
  settings = {
    partner_key: 'emulated-blaze-partner-key',
    developer_key: 'emulated-blaze-developer-key',
    company_id: '5e8f4a1b2c3d4e5f60718293',
    shop_id: '5e8f4a1b2c3d4e5f60718294',
    list_deleted: true,
    retry_minutes: [],
  };
  #webhooks = new Map();

  constructor({ engine }) {
    this.engine = engine;
  }

  // --- Management API ----------------------------------------------------------

  route(request) {
    const [, id] = /^\/api\/v1\/partner\/webHooks(?:\/([^/]+))?$/.exec(request.path) ?? [];
    const known = request.path === BASE || id !== undefined;
    const operations = id
      ? {
          GET: ['get', () => this.#find(id, true, (webhook) => answer(200, webhook))],
          PUT: ['update', () => this.#find(id, false, (webhook) => this.#update(request, webhook))],
          DELETE: ['delete', () => this.#find(id, false, (webhook) => this.#delete(webhook))],
        }
      : { GET: ['list', () => this.#list(request)], POST: ['create', () => this.#create(request)] };
    const [operation, run] = (known && operations[request.method]) || [];

    return {
      operation: operation ?? null,
      run: () => {
        if (request.headers['x-api-key'] !== this.settings.partner_key) {
          return error(401, 'Unauthorized', 'Invalid partner key');
        }
        if (request.headers.authorization !== this.settings.developer_key) {
          return error(401, 'Unauthorized', 'Invalid developer key');
        }
        return run ? run() : error(404, 'Not found', 'HTTP 404 Not Found');
      },
    };
  }

  limited(seconds) {
    const { headers, ...rest } = error(429, 'Too many requests', 'Rate limit exceeded');
    return { ...rest, headers: seconds === null ? headers : { ...headers, 'Retry-After': String(seconds) } };
  }

  #find(id, withDeleted, use) {
    const webhook = this.#webhooks.get(id);
    return webhook && (withDeleted || !webhook.deleted)
      ? use(webhook)
      : error(404, 'Not found', `WebHook with id ${id} does not exist`);
  }

  #list(request) {
    const start = request.number('start', request.number('skip', 0));
    const limit = request.number('limit', 100);
    const shop = request.query.get('shopId');
    const all = [...this.#webhooks.values()].filter(
      (w) => (shop === null || w.shopId === shop) && (this.settings.list_deleted || !w.deleted),
    );
    const page = all.slice(start, start + limit);
    return answer(200, { count: page.length, total: all.length, searchResult: page });
  }

  #create(request) {
    const given = request.object;
    const problem = refused(request, given);
    return problem ? error(400, 'Invalid argument', problem) : answer(200, this.#add(given));
  }

  #add(given) {
    const now = Date.now();
    const webhook = {
      id: hexId(12),
      created: now,
      modified: now,
      deleted: false,
      updated: false,
      companyId: this.settings.company_id,
      shopId: given.shopId ?? this.settings.shop_id,
      url: given.url ?? null,
      webHookType: given.webHookType ?? null,
      webHookUrls: given.webHookUrls,
    };
    this.#webhooks.set(webhook.id, webhook);
    return webhook;
  }

  #update(request, webhook) {
    const given = request.object;
    const problem = refused(request, given);
    if (problem) {
      return error(400, 'Invalid argument', problem);
    }
    Object.assign(webhook, {
      modified: Date.now(),
      updated: true,
      deleted: given.deleted ?? false,
      shopId: given.shopId ?? null,
      url: given.url ?? null,
      webHookType: given.webHookType ?? null,
      webHookUrls: given.webHookUrls,
    });
    return answer(200, webhook);
  }

  #delete(webhook) {
    Object.assign(webhook, { deleted: true, updated: true, modified: Date.now() });
    return { status: 200, headers: {}, body: '' };
  }

  // --- Deliveries ----------------------------------------------------------------

  fire({ topic, data = { id: hexId(12), type: topic }, webhook_id: only }) {
    const body = typeof data === 'string' ? data : JSON.stringify(data);
    return [...this.#webhooks.values()]
      .filter((w) => w.webHookType === topic && !w.deleted && (only === undefined || w.id === only))
      .flatMap((webhook) =>
        webhook.webHookUrls.map((url) =>
          this.engine.deliver({
            provider: this.name,
            webhook: webhook.id,
            event: topic,
            gaps: this.settings.retry_minutes.map((minutes) => minutes * MINUTE),
            timeout: TIMEOUT,
            counts: (status) => status === 200,
            wanted: () => !webhook.deleted,
            request: () => ({ method: 'POST', url, headers: [['Content-Type', 'application/json']], body }),
          }),
        ),
      );
  }

  // --- Control ---------------------------------------------------------------------

  seed(number, given = {}) {
    const { deleted = false, ...members } = given;
    const webhook = this.#add({
      webHookType: TYPES[number % TYPES.length],
      webHookUrls: [`https://seeded.example/hooks/${number}`],
      ...members,
    });
    webhook.deleted = deleted;
    return webhook.id;
  }

  get webhooks() {
    return [...this.#webhooks.values()].map((w) => ({
      id: w.id,
      topic: w.webHookType,
      urls: [...w.webHookUrls],
      active: !w.deleted,
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

const error = (status, kind, message) => answer(status, { error: kind, message, status });

// What is wrong with a body; null if nothing.
function refused(request, given) {
  if (!request.isJson || !given) {
    return 'Body must be a JSON object';
  }
  for (const [name, value] of Object.entries(given)) {
    const type = MEMBERS[name];
    if (!type) {
      return `Unrecognized field "${name}"`;
    }
    if (value !== null && (type === 'list' ? !Array.isArray(value) : typeof value !== type)) {
      return `Field "${name}" must be a ${type}`;
    }
  }
  if (!given.webHookUrls?.length) {
    return 'webHookUrls is required';
  }
  return given.webHookUrls.every(isDeliveryUrl) ? null : 'webHookUrls must be valid URLs';
}
