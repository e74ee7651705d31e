// What the emulated providers share: reading a request, making an answer,
// URLs, PHP's spelling of JSON.

import { randomBytes, randomUUID, createHmac } from 'node:crypto';

export { randomUUID };

// --- Requests ----------------------------------------------------------------

// A request as a provider's module sees it: method, path (below the provider's
// prefix), query, headers (names in lower case), text (the body), base (scheme,
// host and prefix it was sent to).
export class Request {
  constructor({ method, path, query, headers, text, base }) {
    Object.assign(this, { method, path, query, headers, text, base });
  }

  get isJson() {
    return /^application\/json\s*(;|$)/i.test(this.headers['content-type'] ?? '');
  }

  get wantsJson() {
    return /[/+]json/i.test(this.headers.accept ?? '');
  }

  // The object that the body holds, null where it holds none.
  get object() {
    try {
      const value = JSON.parse(this.text);
      return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : null;
    } catch {
      return null;
    }
  }

  // A query parameter that is a number, else what to take instead.
  number(name, otherwise) {
    const value = this.query.get(name);
    return value !== null && /^\d+$/.test(value) ? Number(value) : otherwise;
  }
}

// --- Answers -----------------------------------------------------------------

export const answer = (status, body, headers = {}) => ({
  status,
  headers: { 'Content-Type': 'application/json', ...headers },
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

// The same as PHP writes it.
export const phpAnswer = (status, body, headers = {}) => answer(status, phpJson(body), headers);

export const text = (status, body, type = 'text/plain; charset=utf-8') => ({
  status,
  headers: { 'Content-Type': type },
  body,
});

// --- Values ------------------------------------------------------------------

// PHP: json_encode() without flags escapes the slash and all that is not ASCII;
// what JSON.stringify() escapes is escaped alike.
export const phpJson = (value) =>
  JSON.stringify(value)
    .replaceAll('/', '\\/')
    .replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

export const hmac = (secret, content, encoding) => createHmac('sha256', secret).update(content).digest(encoding);

export const hexId = (bytes) => randomBytes(bytes).toString('hex');

export const copy = (value) => structuredClone(value);

export const pick = (object, names) =>
  Object.fromEntries(names.filter((name) => name in object).map((name) => [name, object[name]]));

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

export const isLoopback = (url) => LOOPBACK.test(url.hostname);

export function isUrl(value) {
  try {
    return Boolean(new URL(value));
  } catch {
    return false;
  }
}

// An address that a provider delivers to: HTTPS.  Receivers in tests have no
// certificate, so HTTP is taken where it stays on this machine.
export function isDeliveryUrl(value) {
  if (!isUrl(value)) {
    return false;
  }
  const url = new URL(value);
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url));
}

// Times: 2024-05-06 07:08:09 and 2024-05-06T07:08:09Z.
export const sqlTime = (date = new Date()) => date.toISOString().slice(0, 19).replace('T', ' ');
export const isoTime = (date = new Date()) => `${date.toISOString().slice(0, 19)}Z`;
