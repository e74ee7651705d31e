// Ecwid (Lightspeed E-Series): deliveries.  There is no management API: an
// application's URL, events and headers are set by the vendor, here through the
// control API, as settings.
//
// Documented (docs.ecwid.com, "Set up webhooks", "Event data in webhooks", "List
// of webhook events"; api-docs.ecwid.com, "Webhook security"):
//
// - POST to URL?eventtype=EVENT with Content-Type: application/json;
//   charset=UTF-8 and Cache-Control: no-cache.  The application's own headers
//   are sent as well, beside one of the same name.
// - Body: eventId, eventCreated (seconds), storeId, entityId, eventType, data.
// - X-Ecwid-Webhook-Signature: base64 of HMAC-SHA256 with the client_secret over
//   "eventCreated.eventId".
// - 200, 201, 202, 204 and 209 are success.  3 s to connect, 10 s for an answer.
//   Redelivery after 15, 30, 45 and 60 minutes and then hourly to 24 h, 27 times
//   in all.  A URL that fails for two weeks is blocked.
//
// Not documented, and so only our idea: the two weeks begin with the first
// failure after a success.

import { hmac, randomUUID } from './common.mjs';
import { HOUR, MINUTE, SECOND } from './deliver.mjs';

const AFTER = [15, 30, 45, ...Array.from({ length: 24 }, (_, i) => 60 * (i + 1))].map((m) => m * MINUTE);
const GAPS = AFTER.map((time, i) => time - (AFTER[i - 1] ?? 0));
const PATIENCE = 14 * 24 * HOUR;

export class Ecwid {
  name = 'ecwid';
  settings = {
    client_secret: 'emulated-ecwid-secret',
    store_id: 1003,
    url: null,
    events: null, // null: all
    headers: {},
    blocked: false,
  };
  #failingSince = null;

  constructor({ engine, clock, tell }) {
    Object.assign(this, { engine, clock, tell });
  }

  route() {
    return {
      operation: null,
      run: () => ({ status: 404, headers: { 'Content-Type': 'text/plain' }, body: 'There is no management API' }),
    };
  }

  fire({ topic, data, entity_id: entityId = 103878161, event_id: eventId = randomUUID(), event_created, secret }) {
    const { url, events, headers, blocked, store_id: storeId, client_secret: clientSecret } = this.settings;
    if (!url || blocked || (events && !events.includes(topic))) {
      return [];
    }
    const eventCreated = event_created ?? Math.floor(Date.now() / 1000);
    const body = JSON.stringify({ eventId, eventCreated, storeId, entityId, eventType: topic, data });

    return [
      this.engine.deliver({
        provider: this.name,
        webhook: null,
        event: topic,
        gaps: GAPS,
        connectTimeout: 3 * SECOND,
        timeout: 10 * SECOND,
        counts: (status) => this.#counted([200, 201, 202, 204, 209].includes(status)),
        wanted: () => this.#patient(),
        request: () => ({
          method: 'POST',
          url: `${url}${url.includes('?') ? '&' : '?'}eventtype=${encodeURIComponent(topic)}`,
          headers: [
            ['Content-Type', 'application/json; charset=UTF-8'],
            ['Cache-Control', 'no-cache'],
            ['X-Ecwid-Webhook-Signature', hmac(secret ?? clientSecret, `${eventCreated}.${eventId}`, 'base64')],
            ...Object.entries(headers),
          ],
          body,
        }),
      }),
    ];
  }

  #counted(success) {
    if (success) {
      this.#failingSince = null;
    }
    return success;
  }

  // Asked after each failure and before each retry: whether to go on.
  #patient() {
    this.#failingSince ??= this.clock.now();
    if (!this.settings.blocked && this.clock.now() - this.#failingSince >= PATIENCE) {
      this.settings.blocked = true;
      this.tell(this.name, `Webhooks to ${this.settings.url} are blocked: it has failed for two weeks`);
    }
    return !this.settings.blocked;
  }

  seed() {
    return null;
  }

  get webhooks() {
    const { url, events, blocked } = this.settings;
    return url ? [{ id: null, topic: events, urls: [url], active: !blocked, record: null }] : [];
  }

  change() {
    return null;
  }

  remove() {
    return false;
  }
}
