// send.mjs URL SECRETS PUBLIC
//
// Delivers as vendors do whose own packages can tell what they sign, sent by
// Node's fetch.  Where a package only verifies, Node's crypto signs and the
// package has to agree before anything is sent.  SECRETS is a JSON object by
// endpoint, with private keys where there are any; endpoints are named as
// providers and are at URL/hooks/NAME, and at PUBLIC/hooks/NAME for who signs
// that.
// Prints a JSON line per delivery: what was sent and answered, and what has to
// be stored.

import { createHmac, createPrivateKey, createPublicKey, sign as signWithKey } from 'node:crypto';

import Stripe from 'stripe';
import { sign as signForGitHub } from '@octokit/webhooks-methods';
import { Webhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import twilio from 'twilio';

import { accepts } from './verifiers.mjs';

const [url, secretsText, publicUrl] = process.argv.slice(2);
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

// --- Svix ----------------------------------------------------------------------

const svix = new SvixWebhook(secrets.svix);

for (const item of [
  { case: 'plain', id: 'msg_1', body: contact() },
  { case: 'words of all kinds', id: 'msg_2', body: contact({ words: words.replace('\0', '') }) },
  { case: 'body changed', id: 'msg_3', body: contact(), change: altered, outcome: 'refused' },
  { case: 'id changed', id: 'msg_4', signedId: 'msg_5', body: contact(), outcome: 'refused' },
]) {
  const headers = {
    'svix-id': item.id,
    'svix-timestamp': String(now),
    'svix-signature': svix.sign(item.signedId ?? item.id, new Date(now * 1000), item.body),
  };
  await deliver('svix', item, headers, { topic: 'contact.created', external_id: item.id, occurred_at: now });
}

// --- Standard Webhooks, asymmetric ---------------------------------------------

// A private key made of its 32 bytes, which a PKCS#8 form has at its end.
const ed25519 = (seed) => createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed.subarray(0, 32)]),
  format: 'der',
  type: 'pkcs8',
});

const v1aKey = ed25519(Buffer.from(secrets.standard_webhooks_v1a.replace('whsk_', ''), 'base64'));

for (const item of [
  { case: 'plain', id: 'msg_1', body: contact() },
  { case: 'beside a symmetric signature', id: 'msg_2', body: contact(), more: true },
  { case: 'body changed', id: 'msg_3', body: contact(), change: altered, outcome: 'refused' },
]) {
  const signature = signWithKey(null, Buffer.from(`${item.id}.${now}.${item.body}`), v1aKey);
  const symmetric = item.more ? `${standard.sign(item.id, new Date(now * 1000), item.body)} ` : '';
  const headers = {
    'webhook-id': item.id,
    'webhook-timestamp': String(now),
    'webhook-signature': `${symmetric}v1a,${signature.toString('base64')}`,
  };
  await deliver('standard_webhooks_v1a', item, headers, {
    topic: 'contact.created', external_id: item.id, occurred_at: now,
  });
}

// --- Discord -------------------------------------------------------------------

const discordKey = ed25519(Buffer.from(secrets.discord, 'hex'));
const discordPublic = createPublicKey(discordKey).export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');

const appEvent = (id) => JSON.stringify({
  version: 1,
  application_id: '1234560123453231555',
  id,
  type: 1,
  event: { type: 'APPLICATION_AUTHORIZED', timestamp: '2024-10-18T14:42:53.064834', data: { name: 'Zoë 😀' } },
});

for (const item of [
  { case: 'an event', id: '1', body: appEvent('1') },
  { case: 'line end after the body', id: '2', body: `${appEvent('2')}\n` },
  { case: 'body changed', id: '3', body: appEvent('3'), change: altered, outcome: 'refused' },
]) {
  const headers = {
    'X-Signature-Timestamp': String(now),
    'X-Signature-Ed25519': signWithKey(null, Buffer.from(`${now}${item.body}`), discordKey).toString('hex'),
  };
  await mustAccept('discord', headers, discordPublic, item.body);
  await deliver('discord', item, headers, {
    topic: 'APPLICATION_AUTHORIZED', external_id: item.id, source: '1234560123453231555',
  });
}

// --- SendGrid ------------------------------------------------------------------

const sendgridKey = createPrivateKey({
  key: Buffer.from(secrets.sendgrid, 'base64'), format: 'der', type: 'pkcs8',
});
const sendgridPublic = createPublicKey(sendgridKey).export({ format: 'der', type: 'spki' }).toString('base64');
const sent = (more = {}) => `${JSON.stringify([{ email: 'zoë@example.com', event: 'processed', sg_event_id: '1', ...more }])}\r\n`;

for (const item of [
  { case: 'with CR LF', body: sent() },
  { case: 'words of all kinds', body: sent({ words: words.replace('\0', '') }) },
  ...Array.from({ length: 20 }, (_, i) => ({ case: `signature ${i}`, body: sent({ i }) })),
  { case: 'CR LF cut off', body: sent(), change: (body) => body.trim(), outcome: 'refused' },
  { case: 'body changed', body: sent(), change: altered, outcome: 'refused' },
]) {
  const headers = {
    'X-Twilio-Email-Event-Webhook-Timestamp': String(now),
    'X-Twilio-Email-Event-Webhook-Signature':
      signWithKey('sha256', Buffer.from(`${now}${item.body}`), sendgridKey).toString('base64'),
  };
  await mustAccept('sendgrid', headers, sendgridPublic, item.body);
  await deliver('sendgrid', item, headers, { occurred_at: now });
}

// --- Twilio --------------------------------------------------------------------

const status = (more) => new URLSearchParams({
  CallSid: 'CA1234567890ABCDE', Caller: '+14158675309', Digits: '1234', From: '+14158675309', To: '+18005551212', ...more,
});
const repeated = status();
for (const address of ['b+c', 'a b', 'b+c', 'Ünï', '']) {
  repeated.append('Address', address);
}

for (const item of [
  { case: 'as documented', form: status() },
  { case: 'parameters in the URL', form: status(), query: '?foo=1&bar=a%20b' },
  { case: 'words of all kinds', form: status({ Body: words, body: 'a&b=c+d', _: '', 'Ünï': '1' }) },
  { case: 'repeated fields', form: repeated },
  { case: 'without fields', form: new URLSearchParams() },
  { case: 'body changed', form: status(), change: (body) => body.replace('1234', '1235'), outcome: 'refused' },
  { case: 'URL changed', form: status(), query: '?a=1', signedQuery: '?a=2', outcome: 'refused' },
]) {
  // Fields that occur once as texts and others as lists, as web frameworks give them to the package.
  const fields = {};
  for (const name of item.form.keys()) {
    const values = item.form.getAll(name);
    fields[name] = values.length > 1 ? values : values[0];
  }
  const target = `${publicUrl}/hooks/twilio${item.signedQuery ?? item.query ?? ''}`;
  await deliver('twilio', { ...item, body: item.form.toString(), hasPayload: false }, {
    'Content-Type': 'application/x-www-form-urlencoded',
    'X-Twilio-Signature': twilio.getExpectedTwilioSignature(secrets.twilio, target, fields),
  }, {});
}

for (const item of [
  { case: 'plain', body: contact() },
  { case: 'words of all kinds', body: contact({ words: words.replace('\0', '') }) },
  { case: 'other parameters', body: contact(), more: '&a=b%20c' },
  { case: 'body changed', body: contact(), change: altered, outcome: 'refused' },
  { case: 'body of another URL', body: contact(), change: () => '{}', more: '&a=b', outcome: 'refused' },
]) {
  const query = `?bodySHA256=${twilio.getExpectedBodyHash(item.body)}${item.more ?? ''}`;
  await deliver('twilio_json', { ...item, query }, {
    'X-Twilio-Signature':
      twilio.getExpectedTwilioSignature(secrets.twilio_json, `${publicUrl}/hooks/twilio_json${query}`, {}),
  }, {});
}

// --- Razorpay, Paddle ----------------------------------------------------------

const hmac = (secret, text) => createHmac('sha256', secret).update(text).digest('hex');
const payment = (id) => JSON.stringify({ event: 'payment.captured', account_id: 'acc_Ü', created_at: 1567674606, id });

for (const item of [
  { case: 'plain', id: 'r1', body: payment('1') },
  { case: 'body changed', id: 'r2', body: payment('2'), change: altered, outcome: 'refused' },
]) {
  const headers = { 'X-Razorpay-Signature': hmac(secrets.razorpay, item.body), 'x-razorpay-event-id': item.id };
  await mustAccept('razorpay', headers, secrets.razorpay, item.body);
  await deliver('razorpay', item, headers, {
    topic: 'payment.captured', external_id: item.id, source: 'acc_Ü', occurred_at: 1567674606,
  });
}

const transaction = (id) => JSON.stringify({
  event_id: id, event_type: 'transaction.paid', occurred_at: '2024-04-12T10:18:47.135628Z', data: { name: 'Zoë' },
});

for (const item of [
  { case: 'plain', id: 'evt_1', body: transaction('evt_1') },
  { case: 'too old', id: 'evt_2', body: transaction('evt_2'), age: 60, outcome: 'refused' },
  { case: 'body changed', id: 'evt_3', body: transaction('evt_3'), change: altered, outcome: 'refused' },
]) {
  const ts = Math.floor(Date.now() / 1000) - (item.age ?? 0);
  const headers = { 'Paddle-Signature': `ts=${ts};h1=${hmac(secrets.paddle, `${ts}:${item.body}`)}` };
  if (!item.age) {
    await mustAccept('paddle', headers, secrets.paddle, item.body);
  }
  await deliver('paddle', item, headers, {
    topic: 'transaction.paid', external_id: item.id, occurred_at: 1712917127,
  });
}

// Ends the program unless the vendor's package accepts what is about to be sent.
async function mustAccept(provider, headers, secret, body) {
  if (!await accepts({ provider, headers, secret, body: Buffer.from(body).toString('hex') })) {
    throw new Error(`the package of ${provider} does not accept our signature`);
  }
}

// Sends a delivery and says how it went; row: what has to be stored.
async function deliver(endpoint, item, headers, row) {
  const outcome = item.outcome ?? 'stored';
  const body = Buffer.from(item.change ? item.change(item.body) : item.body, 'utf8');
  const response = await fetch(`${url}/hooks/${endpoint}${item.query ?? ''}`, {
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
    row: outcome === 'stored' ? {
      topic: null, external_id: null, source: null, occurred_at: null, ...row, error_code: null, has_payload: item.hasPayload ?? true,
    } : null,
  }));
}
