// send.mjs URL SECRETS
//
// Delivers as Stripe, GitHub and senders of Standard Webhooks do, signed by
// their own packages and sent by Node's fetch.  SECRETS is a JSON object by
// endpoint; endpoints are named as providers and are at URL/hooks/NAME.
// Prints a JSON line per delivery: what was sent and answered, and what has to
// be stored.

import Stripe from 'stripe';
import { sign as signForGitHub } from '@octokit/webhooks-methods';
import { Webhook } from 'standardwebhooks';

const [url, secretsText] = process.argv.slice(2);
const secrets = JSON.parse(secretsText);
const stripe = new Stripe('sk_test_unused');
const standard = new Webhook(secrets.standard_webhooks);
const now = Math.floor(Date.now() / 1000);

const words = 'Grüße, "Zoë" \\ a/b и 漢字 😀 \u2028 \u0000 \u007f';

// Changes a byte of a body after it was signed.
const altered = (body) => body.replace('"', ' ');

// --- Stripe ------------------------------------------------------------------

const charge = (id, more = {}) => ({
  id,
  object: 'event',
  type: 'charge.succeeded',
  created: 1633024800,
  data: { object: { id: 'ch_1', amount: 1000, description: 'Grüße 😀 a/b' } },
  ...more,
});

const stripeHeader = (payload, more = {}) =>
  stripe.webhooks.generateTestHeaderString({ payload, secret: secrets.stripe, ...more });

const stripeCases = [
  { case: 'as Stripe writes it', body: JSON.stringify(charge('evt_1'), null, 2) },
  { case: 'the same again', body: JSON.stringify(charge('evt_1'), null, 2), outcome: 'duplicate' },
  { case: 'of a connected account', body: JSON.stringify(charge('evt_2', { account: 'acct_1Ünï' })) },
  { case: 'line end after the body', body: `${JSON.stringify(charge('evt_3'))}\r\n` },
  { case: 'words of all kinds', body: JSON.stringify(charge('evt_4', { words: words.replace('\0', '') })) },
  { case: 'NUL in a string', body: JSON.stringify(charge('evt_5', { words })), hasPayload: false },
  {
    case: 'while the secret is rolled',
    body: JSON.stringify(charge('evt_6')),
    header: (body) => {
      const other = stripeHeader(body, { secret: 'whsec_other' });
      return `${other},${stripeHeader(body).replace(/^t=\d+,/, '')}`;
    },
  },
  {
    case: 'with an element of another scheme',
    body: JSON.stringify(charge('evt_7')),
    header: (body) => `${stripeHeader(body)},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39`,
  },
  { case: 'at the edge of the window', body: JSON.stringify(charge('evt_8')), timestamp: now - 270 },
  { case: 'too old', body: JSON.stringify(charge('evt_9')), timestamp: now - 400, outcome: 'refused' },
  { case: 'body changed', body: JSON.stringify(charge('evt_10')), change: altered, outcome: 'refused' },
  {
    case: 'another scheme only',
    body: JSON.stringify(charge('evt_11')),
    header: (body) => stripeHeader(body, { scheme: 'v0' }),
    outcome: 'refused',
  },
];

for (const item of stripeCases) {
  const event = JSON.parse(item.body);
  const header = item.header ?? ((body) => stripeHeader(body, { timestamp: item.timestamp }));
  await deliver('stripe', item, { 'Stripe-Signature': header(item.body) }, {
    topic: event.type,
    external_id: event.id,
    source: event.account ?? null,
    occurred_at: event.created,
  });
}

// --- GitHub ------------------------------------------------------------------

const push = (more = {}) => ({
  ref: 'refs/heads/main',
  repository: { id: 1, name: 'Hello-World', full_name: 'octocat/Hello-World' },
  commits: [{ message: 'Grüße 😀\n\n"a/b"', author: { name: 'Žofie' } }],
  ...more,
});

const gitHubCases = [
  { case: 'push', event: 'push', id: '72d3162e-cc78-11e3-81ab-4c9367dc0958', body: JSON.stringify(push()) },
  {
    case: 'the same again',
    event: 'push',
    id: '72d3162e-cc78-11e3-81ab-4c9367dc0958',
    body: JSON.stringify(push()),
    outcome: 'duplicate',
  },
  { case: 'issues', event: 'issues', id: '2', body: JSON.stringify(push({ words: words.replace('\0', '') }), null, 1) },
  {
    case: 'of an organisation, without a repository',
    event: 'member',
    id: '3',
    body: JSON.stringify({ action: 'added', organization: { login: 'Ünï' } }),
    source: null,
  },
  {
    case: 'as a form',
    event: 'push',
    id: '4',
    body: `payload=${encodeURIComponent(JSON.stringify(push()))}`,
    type: 'application/x-www-form-urlencoded',
    source: null,
    hasPayload: false,
  },
  { case: 'a large body', event: 'push', id: '5', body: JSON.stringify(push({ pad: '😀 é '.repeat(50000) })) },
  { case: 'body changed', event: 'push', id: '6', body: JSON.stringify(push()), change: altered, outcome: 'refused' },
  {
    case: 'another secret',
    event: 'push',
    id: '7',
    body: JSON.stringify(push()),
    secret: 'another',
    outcome: 'refused',
  },
];

for (const item of gitHubCases) {
  const headers = {
    'Content-Type': item.type ?? 'application/json',
    'X-GitHub-Event': item.event,
    'X-GitHub-Delivery': item.id,
    'X-GitHub-Hook-ID': '292430182',
    'X-Hub-Signature-256': await signForGitHub(item.secret ?? secrets.github, item.body),
  };
  await deliver('github', item, headers, {
    topic: item.event,
    external_id: item.id,
    source: item.source === undefined ? 'octocat/Hello-World' : item.source,
    occurred_at: null,
  });
}

// --- Standard Webhooks -------------------------------------------------------

const contact = (more = {}) => JSON.stringify({
  type: 'contact.created',
  timestamp: '2022-11-03T20:26:10.344522Z',
  data: { id: '1f81eb52-5198-4599-803e-771906343485', name: 'Zoë 😀 "a/b"' },
  ...more,
});

const standardCases = [
  { case: 'plain', id: 'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W', body: contact() },
  { case: 'the same again', id: 'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W', body: contact(), outcome: 'duplicate' },
  { case: 'words of all kinds', id: 'msg_2', body: contact({ words: words.replace('\0', '') }) },
  { case: 'a dot in the id', id: 'msg.3.5', body: contact() },
  {
    case: 'several signatures',
    id: 'msg_4',
    body: contact(),
    header: (signature) => [
      'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==',
      'v1,bm9ldHUjKzFob2VudXRob2VodWUzMjRvdWVvdW9ldQo=',
      signature,
      'v2,MzJsNDk4MzI0K2VvdSMjMTEjQEBAQDEyMzMzMzEyMwo=',
    ].join(' '),
  },
  { case: 'sent a while ago', id: 'msg_5', body: contact(), timestamp: now - 270 },
  { case: 'sent by a clock that is ahead', id: 'msg_6', body: contact(), timestamp: now + 270 },
  { case: 'too old', id: 'msg_7', body: contact(), timestamp: now - 400, outcome: 'refused' },
  { case: 'too new', id: 'msg_8', body: contact(), timestamp: now + 400, outcome: 'refused' },
  { case: 'body changed', id: 'msg_9', body: contact(), change: altered, outcome: 'refused' },
  { case: 'id changed', id: 'msg_10', signedId: 'msg_11', body: contact(), outcome: 'refused' },
];

for (const item of standardCases) {
  const timestamp = item.timestamp ?? now;
  const signature = standard.sign(item.signedId ?? item.id, new Date(timestamp * 1000), item.body);
  const headers = {
    'webhook-id': item.id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': item.header ? item.header(signature) : signature,
  };
  await deliver('standard_webhooks', item, headers, {
    topic: 'contact.created',
    external_id: item.id,
    source: null,
    occurred_at: timestamp,
  });
}

// Sends a delivery and says how it went; row: what has to be stored.
async function deliver(endpoint, item, headers, row) {
  const outcome = item.outcome ?? 'stored';
  const body = Buffer.from(item.change ? item.change(item.body) : item.body, 'utf8');
  const response = await fetch(`${url}/hooks/${endpoint}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body,
    signal: AbortSignal.timeout(10000),
  });
  console.log(JSON.stringify({
    endpoint,
    case: item.case,
    status: response.status,
    answer: await response.text(),
    body: body.toString('hex'),
    outcome,
    row: outcome === 'stored' ? { ...row, error_code: null, has_payload: item.hasPayload ?? true } : null,
  }));
}
