// Stands in for the webhooks of Shopify's Admin REST API, for the README's
// example of a provider of your own (test/t/054_own_provider.pl).
//
// shopify_stub.mjs TOKEN
//
// Listens on a free port of 127.0.0.1, prints it, and ends with its standard
// input.  Below /admin/api/VERSION it has what the reference of the resource
// "Webhook" documents: list (limit, address and topic; pages by the Link header),
// count, get, create, update, delete, and errors in their three shapes.
// PUT /answer with {"status", "headers", "body"} makes that the next answer.

import http from 'node:http';

const TOKEN = process.argv[2];
const webhooks = new Map();
let nextId = 901431826;
let prepared = null;

const send = (response, status, body, headers = {}) =>
  response
    .writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', ...headers })
    .end(typeof body === 'string' ? body : JSON.stringify(body));

function list(url, response) {
  // a further page says by itself what it is of, and takes no other filters
  const page = url.searchParams.get('page_info');
  const { from, ...filter } = page
    ? JSON.parse(Buffer.from(page, 'base64url'))
    : { from: 0, address: url.searchParams.get('address'), topic: url.searchParams.get('topic') };
  if (page && [...url.searchParams.keys()].some((name) => !['page_info', 'limit'].includes(name))) {
    return send(response, 400, { errors: { page_info: 'Invalid value.' } });
  }
  const limit = Math.min(Number(url.searchParams.get('limit') ?? 50), 250);
  const all = matching(filter).filter((webhook) => webhook.id > from);
  const shown = all.slice(0, limit);
  const headers = {};
  if (all.length > limit) {
    const next = Buffer.from(JSON.stringify({ from: shown.at(-1).id, ...filter })).toString('base64url');
    headers.Link = `<${url.origin}${url.pathname}?page_info=before&limit=${limit}>; rel="previous", ` +
      `<${url.origin}${url.pathname}?page_info=${next}&limit=${limit}>; rel="next"`;
  }
  return send(response, 200, { webhooks: shown }, headers);
}

const matching = ({ address, topic }) =>
  [...webhooks.values()].filter((w) => (!address || w.address === address) && (!topic || w.topic === topic));

// Keeps a webhook with what was given, or answers what is wrong with it.
function keep(given, before, status, response) {
  const webhook = { ...before, ...given };
  const errors = {};
  if (!/^[a-z_]+\/[a-z_]+$/.test(webhook.topic ?? '')) {
    errors.topic = ['Invalid topic specified.'];
  }
  if (!URL.canParse(webhook.address ?? '')) {
    errors.address = [webhook.address ? 'is invalid' : "can't be blank"];
  } else if (matching(webhook).some((other) => other.id !== webhook.id)) {
    errors.address = ['for this topic has already been taken'];
  }
  if (Object.keys(errors).length > 0) {
    return send(response, 422, { errors });
  }
  webhook.updated_at = new Date().toISOString();
  webhooks.set(webhook.id, webhook);
  return send(response, status, { webhook });
}

function answer(request, url, body, response) {
  const [, place] = /^\/admin\/api\/\d{4}-\d\d\/webhooks(\/\w+)?\.json$/.exec(url.pathname) ?? [null, null];
  const found = webhooks.get(Number(place?.slice(1)));
  const call = `${request.method} ${place === undefined ? 'all' : place === '/count' ? 'count' : place ? 'one' : ''}`;

  if (prepared) {
    const { status, headers, body: text } = prepared;
    prepared = null;
    return send(response, status, text, headers);
  }
  if (request.headers['x-shopify-access-token'] !== TOKEN) {
    return send(response, 401, { errors: '[API] Invalid API key or access token (unrecognized login or wrong password)' });
  }
  switch (call) {
    case 'GET all':
      return list(url, response);
    case 'GET count':
      return send(response, 200, {
        count: matching({ address: url.searchParams.get('address'), topic: url.searchParams.get('topic') }).length,
      });
    case 'POST all': {
      const made = { id: nextId++, format: 'json', created_at: new Date().toISOString(), fields: [], api_version: '2025-01' };
      return keep(body.webhook, made, 201, response);
    }
    default:
      if (!found) {
        return send(response, 404, { errors: 'Not Found' });
      }
      if (call === 'GET one') {
        return send(response, 200, { webhook: found });
      }
      if (call === 'PUT one') {
        return keep(body.webhook, found, 200, response);
      }
      webhooks.delete(found.id);
      return send(response, 200, {});
  }
}

const server = http.createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) {
    parts.push(part);
  }
  const body = JSON.parse(Buffer.concat(parts).toString() || '{}');
  const url = new URL(request.url, `http://${request.headers.host}`);
  if (url.pathname === '/answer') {
    prepared = body;
    send(response, 200, {});
  } else {
    answer(request, url, body, response);
  }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
