// Whether vendors' own packages accept a delivery, which is an object with
// provider, secret (or public key), headers, url and body (hex).

import { verify as verifyForGitHub } from '@octokit/webhooks-methods';
import { Paddle } from '@paddle/paddle-node-sdk';
import sendgrid from '@sendgrid/eventwebhook';
import { verifyKey } from 'discord-interactions';
import Razorpay from 'razorpay';
import { Webhook } from 'standardwebhooks';
import Stripe from 'stripe';
import { Webhook as SvixWebhook } from 'svix';
import twilio from 'twilio';

const stripe = new Stripe('sk_test_unused');
const paddle = new Paddle('unused');
const eventWebhook = new sendgrid.EventWebhook();

// A form as web frameworks give it to Twilio's package.
const fields = (body) => {
  const form = new URLSearchParams(body.toString('utf8'));
  return Object.fromEntries([...form.keys()].map((name) => {
    const values = form.getAll(name);
    return [name, values.length > 1 ? values : values[0]];
  }));
};

// Each returns false or throws if it does not accept.
const verifiers = {
  discord: ({ headers, secret }, body) =>
    verifyKey(body, headers['X-Signature-Ed25519'], headers['X-Signature-Timestamp'], secret),
  github: ({ headers, secret }, body) => verifyForGitHub(secret, body.toString('utf8'), headers['X-Hub-Signature-256']),
  paddle: ({ headers, secret }, body) =>
    paddle.webhooks.isSignatureValid(body.toString('utf8'), secret, headers['Paddle-Signature']),
  razorpay: ({ headers, secret }, body) =>
    Razorpay.validateWebhookSignature(body.toString('utf8'), headers['X-Razorpay-Signature'], secret),
  sendgrid: ({ headers, secret }, body) => eventWebhook.verifySignature(
    eventWebhook.convertPublicKeyToECDSA(secret), body, headers['X-Twilio-Email-Event-Webhook-Signature'],
    headers['X-Twilio-Email-Event-Webhook-Timestamp']),
  standard_webhooks: ({ headers, secret }, body) => new Webhook(secret).verify(body, headers),
  stripe: ({ headers, secret }, body) => stripe.webhooks.constructEvent(body, headers['Stripe-Signature'], secret),
  svix: ({ headers, secret }, body) => new SvixWebhook(secret).verify(body, headers),
  twilio: ({ headers, secret, url }, body) =>
    twilio.validateRequest(secret, headers['X-Twilio-Signature'], url, fields(body)),
  twilio_json: ({ headers, secret, url }, body) =>
    twilio.validateRequestWithBody(secret, headers['X-Twilio-Signature'], url, body.toString('utf8')),
};

export async function accepts(delivery) {
  try {
    return Boolean(await verifiers[delivery.provider](delivery, Buffer.from(delivery.body, 'hex')));
  } catch (error) {
    if (!/VerificationError/.test(error.constructor.name)) {
      throw error;
    }
    return false;
  }
}
