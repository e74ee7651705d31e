// API2Cart: webhook methods of API 1.0 and 1.1.
//
// Documented (API2Cart, "Working with webhooks"; OpenAPI document of API 1.1 in
// github.com/api2cart/doc; generated documentation in
// github.com/api2cart/php-sdk, docs/Api/WebhookApi.md and docs/Model/Webhook.md;
// "Response status codes"; "Webhooks: lost store connection"):
//
// - v1.0: GET for everything, api_key and store_key and all arguments in the
//   query.  v1.1: keys in x-api-key and x-store-key, GET, POST, PUT, DELETE,
//   arguments of create and update in a JSON body.
// - Every answer is {"return_code", "return_message", "result"}; codes 0 to 10
//   and 100 to 116 with their meaning.
// - webhook.events, count, list (start 0, count 10 and at most 250, entity,
//   action, active, ids, params by default id,entity,action,callback), create,
//   update, delete, account.failed_webhooks (with the API key only); arguments
//   and results of each; updated and deleted are strings; entity and action
//   cannot be changed; idempotency_key repeats the answer for 15 minutes.
// - Deliveries: POST with X-Webhook-Store-Id, -Action, -Entity, -Error-Code,
//   -Timestamp and -Signature: base64 of HMAC-SHA256 with the store_key over
//   json_encode() of the sorted X-Webhook-* headers and the body.  200 is
//   success; otherwise one more attempt, then the failed list, kept 24 h.
// - A lost connection to the store is told by an empty body, an error code and
//   X-Webhook-Error-Reason, -Error-Message, -Error-Try-Count; after five the
//   webhook is disabled.
//
// Not documented, and so only our idea: errors have HTTP status 200; which code
// each mistake gets, and that an unknown argument is one (109); that a second
// webhook for the same entity, action and callback is allowed (setting unique:
// refused with 113); 60 s before the second attempt, which repeats timestamp and
// signature (setting fresh_timestamp: it has its own); 10 s for an answer; gaps
// between notices of a lost connection; the list of events.

import { copy, hmac, isDeliveryUrl, phpAnswer, phpJson, pick } from './common.mjs';
import { HOUR, MINUTE, SECOND } from './deliver.mjs';

const MEANING = {
  0: '',
  1: 'Service is not available',
  2: 'Incorrect API key',
  3: 'Method is not specified',
  4: 'Store access denied',
  5: 'API access denied',
  6: 'API key is disabled',
  7: 'Store request limit exceeded',
  8: 'Store already exists',
  9: 'Internal error',
  10: 'Account request limit exceeded',
  100: 'Store API is not reachable or credentials are wrong',
  101: 'Store not found',
  102: 'FTP connection failed',
  103: 'Bridge location is wrong',
  104: 'Bridge could not be uploaded',
  105: 'Bridge response error',
  106: 'Store URL is not reachable',
  107: 'Uncategorised store error',
  109: 'Incorrect parameters',
  110: "Too many requests to the store's API",
  111: 'Too many items requested',
  112: 'Item not found',
  113: 'Entity already exists',
  114: 'Required parameter is missing',
  115: 'Too many possible prefixes',
  116: 'Duplicate record',
};

const EVENTS = ['product', 'order', 'customer', 'category'].flatMap((entity) =>
  ['add', 'update', 'delete'].map((action) => ({
    webhook_name: `${entity}.${action}`,
    entity,
    action,
    filterable_fields: entity === 'order' && action !== 'delete' ? { status: { type: 'string' } } : {},
  })),
);

const ALL_FIELDS = [
  'id', 'label', 'store_id', 'lang_id', 'active', 'callback', 'fields', 'response_fields', 'created_at', 'updated_at',
  'entity', 'action', 'filtering_conditions', 'additional_fields', 'custom_fields',
]; // prettier-ignore

const CHANGEABLE = {
  'v1.0': ['callback', 'label', 'fields', 'active'],
  'v1.1': ['callback', 'label', 'fields', 'response_fields', 'active', 'lang_id', 'filtering_conditions'],
};
const CREATABLE = {
  'v1.0': [...CHANGEABLE['v1.0'], 'entity', 'action', 'store_id'],
  'v1.1': [...CHANGEABLE['v1.1'], 'entity', 'action', 'store_id', 'idempotency_key'],
};

const METHODS = {
  'webhook.events': { operation: 'topics', verb: 'GET', arguments: [] },
  'webhook.count': { operation: 'count', verb: 'GET', arguments: ['entity', 'action', 'active'] },
  'webhook.list': {
    operation: 'list',
    verb: 'GET',
    arguments: ['start', 'count', 'entity', 'action', 'active', 'ids', 'params', 'response_fields'],
  },
  'webhook.create': { operation: 'create', verb: 'POST', arguments: CREATABLE },
  'webhook.update': {
    operation: 'update',
    verb: 'PUT',
    arguments: {
      'v1.0': ['id', ...CHANGEABLE['v1.0']],
      'v1.1': ['id', ...CHANGEABLE['v1.1'], 'idempotency_key'],
    },
  },
  'webhook.delete': { operation: 'delete', verb: 'DELETE', arguments: ['id'] },
  'account.failed_webhooks': { operation: 'failed', verb: 'GET', arguments: ['start', 'count', 'ids'], keyOnly: true },
};

const TIMEOUT = 10 * SECOND;
const GAPS = [MINUTE];
const KEPT_FAILED = 24 * HOUR;
const KEPT_ANSWER = 15 * MINUTE;
const NOTICE_GAPS = [5 * MINUTE, 15 * MINUTE, 45 * MINUTE, 135 * MINUTE];

const ENTITY = {
  product: { id: '86', name: 'Théière "Aïn/Sefra" 😀', price: 24.5, sku: 'TH-1' },
  order: { id: '1042', status: 'pending', total: 31 },
  customer: { id: '7', email: 'someone@example.com' },
  category: { id: '3', name: 'Thé & café' },
};

export class Api2cart {
  name = 'api2cart';
  settings = {
    api_key: 'emulated-api2cart-key',
    store_keys: ['emulated-api2cart-store'], // the first is whose webhooks are seeded
    unique: false,
    fresh_timestamp: false,
  };
  #webhooks = new Map();
  #nextId = 1;
  #failed = [];
  #answers = new Map(); // by idempotency key

  constructor({ engine, clock, tell }) {
    Object.assign(this, { engine, clock, tell });
  }

  // --- Management API ----------------------------------------------------------

  route(request) {
    const [, version, name] = /^\/(v1\.[01])\/([\w.]+)\.json$/.exec(request.path) ?? [];
    const method = METHODS[name];
    const verb = version === 'v1.0' ? 'GET' : method?.verb;
    const fits = method !== undefined && request.method === verb;

    return {
      operation: fits ? method.operation : null,
      run: () => {
        if (!version) {
          return { status: 404, headers: { 'Content-Type': 'text/html' }, body: '<h1>Not Found</h1>' };
        }
        if (!fits) {
          return failure(3);
        }
        try {
          return this.#run(method, version, request);
        } catch (problem) {
          if (problem instanceof Refusal) {
            return failure(problem.code, problem.message);
          }
          throw problem;
        }
      },
    };
  }

  // How it says that there were too many requests.
  limited() {
    return failure(10);
  }

  // The answer of a fault of kind "return_code".
  failure = (code, message) => failure(code, message);

  #run(method, version, request) {
    const keys =
      version === 'v1.0'
        ? { api: request.query.get('api_key'), store: request.query.get('store_key') }
        : { api: request.headers['x-api-key'], store: request.headers['x-store-key'] };
    if (keys.api !== this.settings.api_key) {
      return failure(2);
    }
    if (!method.keyOnly && !this.settings.store_keys.includes(keys.store)) {
      return keys.store ? failure(101) : failure(114, "Parameter 'store_key' is required");
    }

    const inBody = version === 'v1.1' && ['POST', 'PUT'].includes(method.verb);
    const given = inBody ? readBody(request) : readQuery(request);
    const known = Array.isArray(method.arguments) ? method.arguments : method.arguments[version];
    for (const name of Object.keys(given)) {
      if (!known.includes(name)) {
        throw new Refusal(109, `Parameter '${name}' is not allowed`);
      }
    }

    const run = {
      topics: () => success({ events: EVENTS }),
      count: () => success({ webhook_count: this.#select(keys.store, given).length }),
      list: () => this.#list(keys.store, given),
      create: () => this.#once(keys.store, given, () => this.#create(keys.store, given)),
      update: () => this.#once(keys.store, given, () => this.#update(keys.store, given)),
      delete: () => this.#delete(keys.store, given),
      failed: () => this.#listFailed(given),
    };
    return run[method.operation]();
  }

  #select(store, { entity, action, active, ids }) {
    const wanted = ids === undefined ? null : String(ids).split(',').map((id) => id.trim());
    const state = active === undefined ? null : readBoolean('active', active);
    return [...this.#webhooks.values()].filter(
      (w) =>
        w.store_key === store &&
        (entity === undefined || w.entity === entity) &&
        (action === undefined || w.action === action) &&
        (state === null || w.active === state) &&
        (!wanted || wanted.includes(String(w.id))),
    );
  }

  #list(store, given) {
    const page = slice(this.#select(store, given), given);
    const picked = /webhook\s*\{([^}]*)\}/.exec(given.response_fields ?? '')?.[1];
    const params = picked ?? (given.response_fields ? 'force_all' : (given.params ?? 'id,entity,action,callback'));
    const names = params === 'force_all' ? ALL_FIELDS : params.split(',').map((name) => name.trim());
    return success({ webhook: page.map((w) => pick(w, names.filter((name) => ALL_FIELDS.includes(name)))) });
  }

  #create(store, given) {
    for (const name of ['entity', 'action']) {
      if (!given[name]) {
        throw new Refusal(114, `Parameter '${name}' is required`);
      }
    }
    if (!EVENTS.some((e) => e.entity === given.entity && e.action === given.action)) {
      throw new Refusal(109, `Webhook ${given.entity}.${given.action} is not supported by this store`);
    }
    const same = this.#select(store, pick(given, ['entity', 'action'])).some((w) => w.callback === given.callback);
    if (this.settings.unique && same) {
      throw new Refusal(113, 'Webhook already exists');
    }
    return success({ id: this.#add(store, checked(given)).id });
  }

  #add(store, given) {
    const now = apiTime();
    const webhook = {
      store_key: store,
      id: this.#nextId++,
      label: given.label ?? null,
      store_id: given.store_id ?? '1',
      lang_id: given.lang_id ?? null,
      active: given.active ?? true,
      callback: given.callback ?? null,
      fields: given.fields ?? 'force_all',
      response_fields: given.response_fields ?? null,
      created_at: now,
      updated_at: now,
      entity: given.entity,
      action: given.action,
      filtering_conditions: given.filtering_conditions ?? null,
      additional_fields: {},
      custom_fields: {},
    };
    this.#webhooks.set(webhook.id, webhook);
    return webhook;
  }

  #update(store, given) {
    const webhook = this.#find(store, given);
    const { id, idempotency_key, ...changes } = checked(given);
    Object.assign(webhook, changes, { updated_at: apiTime() });
    return success({ updated: '1' });
  }

  #delete(store, given) {
    this.#webhooks.delete(this.#find(store, given).id);
    return success({ deleted: '1' });
  }

  #find(store, { id }) {
    if (id === undefined || id === '') {
      throw new Refusal(114, "Parameter 'id' is required");
    }
    const webhook = /^\d+$/.test(id) ? this.#webhooks.get(Number(id)) : undefined;
    if (webhook?.store_key !== store) {
      throw new Refusal(112, `Webhook with id ${id} was not found`);
    }
    return webhook;
  }

  // The answer of an earlier call with the same key, if there was one of late.
  #once(store, { idempotency_key: key }, run) {
    if (key === undefined) {
      return run();
    }
    const known = this.#answers.get(`${store} ${key}`);
    if (known && this.clock.now() - known.time < KEPT_ANSWER) {
      return known.answer;
    }
    const answer = run();
    this.#answers.set(`${store} ${key}`, { time: this.clock.now(), answer });
    return answer;
  }

  #listFailed(given) {
    const wanted = given.ids === undefined ? null : String(given.ids).split(',').map((id) => id.trim());
    const kept = this.#failed.filter((f) => this.clock.now() - f.clock < KEPT_FAILED);
    const all = kept.filter((f) => !wanted || wanted.includes(String(f.webhook_id)));
    return success({
      all_failed_webhook: String(all.length),
      webhook: slice(all, given).map((f) => pick(f, ['webhook_id', 'entity_id', 'time'])),
    });
  }

  // --- Deliveries ----------------------------------------------------------------

  topicOf = (webhook) => `${webhook.entity}.${webhook.action}`;

  // The topic is ENTITY.ACTION.  lost_connection: {code, reason, message, tries}
  // tells that the store was not reachable that many times in a row (5).
  fire({ topic, data, secret, webhook_id: only, lost_connection: lost }) {
    const [entity, action] = topic.split('.');
    const content = data ?? ENTITY[entity] ?? { id: '1' };
    const webhooks = [...this.#webhooks.values()].filter(
      (w) =>
        w.entity === entity &&
        w.action === action &&
        w.active &&
        w.callback &&
        (only === undefined || w.id === Number(only)),
    );
    return webhooks.map((webhook) =>
      lost ? this.#notify(webhook, lost, secret, 0) : this.#deliver(webhook, content, secret),
    );
  }

  #deliver(webhook, content, secret) {
    const names = webhook.fields === 'force_all' ? null : webhook.fields.split(',').map((name) => name.trim());
    const body =
      typeof content === 'string' ? content : phpJson(names ? pick(content, names) : content);
    let request;

    return this.engine.deliver({
      provider: this.name,
      webhook: webhook.id,
      event: this.topicOf(webhook),
      gaps: GAPS,
      timeout: TIMEOUT,
      counts: (status) => status === 200,
      request: () => {
        if (!request || this.settings.fresh_timestamp) {
          request = this.#request(webhook, { 'X-Webhook-Error-Code': '0' }, body, secret);
        }
        return request;
      },
      failed: () =>
        this.#failed.push({
          clock: this.clock.now(),
          webhook_id: webhook.id,
          entity_id: String(content.id ?? ''),
          time: { value: apiTime(), format: 'Y-m-d\\TH:i:sO' },
        }),
    });
  }

  // Tells of the connection that was lost, and tells again while it is.
  #notify(webhook, lost, secret, told) {
    const { code = '100', reason = 'store_connection', message = 'Store is not reachable', tries = 5 } = lost;
    const left = NOTICE_GAPS.length - told;
    const delivery = this.engine.deliver({
      provider: this.name,
      webhook: webhook.id,
      event: this.topicOf(webhook),
      gaps: [],
      timeout: TIMEOUT,
      counts: (status) => status === 200,
      request: () =>
        this.#request(
          webhook,
          {
            'X-Webhook-Error-Code': String(code),
            'X-Webhook-Error-Reason': reason,
            'X-Webhook-Error-Message': message,
            'X-Webhook-Error-Try-Count': String(left),
          },
          '',
          secret,
        ),
    });
    if (left === 0) {
      webhook.active = false;
      this.tell(this.name, `Webhook ${webhook.id} was disabled: the store was not reachable five times`);
    } else if (told + 1 < tries) {
      this.clock.after(NOTICE_GAPS[told], () => webhook.active && this.#notify(webhook, lost, secret, told + 1));
    }
    return delivery;
  }

  #request(webhook, more, body, secret) {
    const headers = {
      'X-Webhook-Store-Id': webhook.store_id,
      'X-Webhook-Action': webhook.action,
      'X-Webhook-Entity': webhook.entity,
      'X-Webhook-Timestamp': String(Math.floor(Date.now() / 1000)),
      ...more,
    };
    return {
      method: 'POST',
      url: webhook.callback,
      headers: [
        ['Content-Type', 'application/json'],
        ...Object.entries(headers),
        ['X-Webhook-Signature', signature(secret ?? webhook.store_key, headers, body)],
      ],
      body,
    };
  }

  // --- Control ---------------------------------------------------------------------

  seed(number, given = {}) {
    const { entity, action } = EVENTS[number % EVENTS.length];
    return this.#add(this.settings.store_keys[0], {
      entity,
      action,
      label: `Seeded ${number}`,
      callback: `https://seeded.example/hooks/${number}`,
      ...given,
    }).id;
  }

  get webhooks() {
    return [...this.#webhooks.values()].map((w) => ({
      id: w.id,
      topic: this.topicOf(w),
      urls: [w.callback],
      active: w.active,
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

class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const success = (result) => phpAnswer(200, { return_code: 0, return_message: '', result });
const failure = (code, message = MEANING[code] ?? 'Unknown error') =>
  phpAnswer(200, { return_code: code, return_message: message, result: {} });

// API2Cart, "Working with webhooks", the example in PHP: ksort() orders the
// names by their bytes, json_encode() has no flags.
function signature(secret, headers, body) {
  const sorted = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
  return hmac(secret, phpJson(Object.fromEntries(sorted)) + body, 'base64');
}

const apiTime = () => new Date().toISOString().replace(/\.\d+Z$/, '+0000');

function readBody(request) {
  const object = request.isJson ? request.object : null;
  if (!object) {
    throw new Refusal(109, 'Body must be a JSON object');
  }
  return object;
}

const readQuery = (request) =>
  Object.fromEntries([...request.query].filter(([name]) => name !== 'api_key' && name !== 'store_key'));

function readBoolean(name, value) {
  if ([true, 'true', '1', 1].includes(value)) {
    return true;
  }
  if ([false, 'false', '0', 0].includes(value)) {
    return false;
  }
  throw new Refusal(109, `Parameter '${name}' must be a boolean`);
}

function slice(list, { start = '0', count = '10' }) {
  if (!/^\d+$/.test(start) || !/^\d+$/.test(count)) {
    throw new Refusal(109, "Parameters 'start' and 'count' must be numbers");
  }
  if (Number(count) > 250) {
    throw new Refusal(111);
  }
  return list.slice(Number(start), Number(start) + Number(count));
}

// The arguments of create and update, with "active" as a boolean.
function checked(given) {
  if (given.callback !== undefined && !isDeliveryUrl(given.callback)) {
    throw new Refusal(109, "Parameter 'callback' must be a valid URL");
  }
  for (const name of ['label', 'fields', 'response_fields', 'store_id', 'lang_id']) {
    if (given[name] !== undefined && typeof given[name] !== 'string') {
      throw new Refusal(109, `Parameter '${name}' must be a string`);
    }
  }
  if (given.filtering_conditions !== undefined && typeof given.filtering_conditions !== 'object') {
    throw new Refusal(109, "Parameter 'filtering_conditions' must be an object");
  }
  return given.active === undefined ? given : { ...given, active: readBoolean('active', given.active) };
}
