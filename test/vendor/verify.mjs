// verify.mjs
//
// Reads JSON lines, each a signed delivery { provider, secret, body (hex),
// headers }, and prints for each whether the vendor's own package accepts it.

import { createInterface } from 'node:readline';

import Stripe from 'stripe';
import { verify as verifyForGitHub } from '@octokit/webhooks-methods';
import { Webhook } from 'standardwebhooks';

const stripe = new Stripe('sk_test_unused');

// Each returns false or throws if it does not accept.
const verifiers = {
  stripe: ({ headers, secret }, body) => stripe.webhooks.constructEvent(body, headers['Stripe-Signature'], secret),
  github: ({ headers, secret }, body) => verifyForGitHub(secret, body.toString('utf8'), headers['X-Hub-Signature-256']),
  standard_webhooks: ({ headers, secret }, body) => new Webhook(secret).verify(body, headers),
};

for await (const line of createInterface({ input: process.stdin })) {
  const delivery = JSON.parse(line);
  let accepted = false;
  try {
    accepted = Boolean(await verifiers[delivery.provider](delivery, Buffer.from(delivery.body, 'hex')));
  } catch (error) {
    if (!/VerificationError/.test(error.constructor.name)) {
      throw error;
    }
  }
  console.log(accepted ? 'accepted' : 'refused');
}
