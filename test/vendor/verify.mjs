// verify.mjs
//
// Reads JSON lines, each a signed delivery { provider, secret, body (hex),
// headers, url }, and prints for each whether the vendor's own package accepts
// it.

import { createInterface } from 'node:readline';

import { accepts } from './verifiers.mjs';

for await (const line of createInterface({ input: process.stdin })) {
  console.log(await accepts(JSON.parse(line)) ? 'accepted' : 'refused');
}
