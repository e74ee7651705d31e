/*-------------------------------------------------------------------------
 *
 * verify_speed.c
 *	  What verifying a signature costs in a receiver.
 *
 *		verify_speed [MILLISECONDS]
 *
 * Signs a body of 1 KB in each scheme below, verifies it over and over through
 * the function that receivers call, and prints a line "name,nanoseconds,limit"
 * for each: processor time, the best of several runs of that length, because
 * others use the machine, too; and what it may be, if that is said.  The keys
 * are prepared once, as receivers do; key pairs are made for the run.  Linked
 * with the pure modules and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "signature.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BODY_LEN 1024
#define RUNS 41
#define BATCH 128 /* verifications between two looks at the clock */

#define HMAC_SHA256_LIMIT_NS 3000

#define NOW_S INT64_C(1700000000)
#define NOW "1700000000"

typedef struct Case
{
	const char *name;
	int limit_ns;          /* 0: only shown */
	const char *secret;    /* NULL: a key pair */
	WbHeader other_header; /* signed or not, but there */
	struct
	{
		const char *algorithm;
		const char *encoding;
		const char *signature_from;
		const char *list_separator;
		const char *element_prefix;
		const char *signed_content;
		const char *secret_encoding;
		const char *timestamp_from;
		const char *timestamp_format;
		int64_t tolerance_s;
	} scheme;
} Case;

#define HEADER(name, value)          \
	{                                \
		{name, sizeof(name) - 1},    \
		{                            \
			value, sizeof(value) - 1 \
		}                            \
	}

static const Case cases[] = {
	{"hmac-sha256 hex of the body (GitHub)", HMAC_SHA256_LIMIT_NS, "It's a Secret to Everybody", HEADER("X-GitHub-Event", "push"), {"hmac-sha256", "hex", "header:X-Hub-Signature-256", "", "sha256=", "{body}", "raw", "", "", -1}},
	{"hmac-sha256 hex of time and body (Stripe)", HMAC_SHA256_LIMIT_NS, "whsec_test_secret", HEADER("User-Agent", "Stripe/1.0"), {"hmac-sha256", "hex", "header:Stripe-Signature", ",", "v1=", "{ts}.{body}", "raw", "sig:t", "s", 300}},
	{"hmac-sha256 base64 of the body (Shopify)", HMAC_SHA256_LIMIT_NS, "hush", HEADER("X-Shopify-Topic", "orders/create"), {"hmac-sha256", "base64", "header:X-Shopify-Hmac-SHA256", "", "", "{body}", "raw", "", "", -1}},
	{"hmac-sha256 base64 of id, time and body (Standard Webhooks)", HMAC_SHA256_LIMIT_NS, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", HEADER("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"), {"hmac-sha256", "base64", "header:webhook-signature", " ", "v1,", "{header:webhook-id}.{ts}.{body}", "base64:whsec_", "header:webhook-timestamp", "s", 300}},
	{"hmac-sha512 hex of the body", 0, "hush", HEADER("User-Agent", "acme"), {"hmac-sha512", "hex", "header:X-Signature", "", "", "{body}", "raw", "", "", -1}},
	{"hmac-sha1 hex of the body", 0, "hush", HEADER("User-Agent", "acme"), {"hmac-sha1", "hex", "header:X-Signature", "", "", "{body}", "raw", "", "", -1}},
	{"sha256 hex of secret and body", 0, "hush", HEADER("User-Agent", "acme"), {"sha256", "hex", "header:X-Signature", "", "", "{secret}{body}", "raw", "", "", -1}},
	{"token", 0, "correct horse", HEADER("User-Agent", "acme"), {"token", "hex", "header:X-Gitlab-Token", "", "", "", "raw", "", "", -1}},
	{"ed25519 hex of time and body (Discord)", 0, NULL, HEADER("User-Agent", "acme"), {"ed25519", "hex", "header:X-Signature-Ed25519", "", "", "{ts}{body}", "pem", "header:X-Signature-Timestamp", "s", 300}},
	{"ecdsa-p256-sha256 base64 of time and body (SendGrid)", 0, NULL, HEADER("User-Agent", "acme"), {"ecdsa-p256-sha256", "base64", "header:X-Twilio-Email-Event-Webhook-Signature", "", "", "{ts}{body}", "pem", "header:X-Twilio-Email-Event-Webhook-Timestamp", "s", 300}},
	{"rsa-sha256 base64 of the body, 2048 bits", 0, NULL, HEADER("User-Agent", "acme"), {"rsa-sha256", "base64", "header:X-Signature", "", "", "{body}", "pem", "", "", -1}},
};

static void
fail(const char *name, const char *problem)
{
	fprintf(stderr, "%s: %s\n", name, problem);
	exit(1);
}

static int64_t
cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void
parse_scheme(const Case *c, WbScheme *scheme)
{
	WbSchemeText text = {
		.algorithm = wb_slice_cstring(c->scheme.algorithm),
		.encoding = wb_slice_cstring(c->scheme.encoding),
		.signature_from = wb_slice_cstring(c->scheme.signature_from),
		.list_separator = wb_slice_cstring(c->scheme.list_separator),
		.element_prefix = wb_slice_cstring(c->scheme.element_prefix),
		.signed_content = wb_slice_cstring(c->scheme.signed_content),
		.secret_encoding = wb_slice_cstring(c->scheme.secret_encoding),
		.timestamp_from = wb_slice_cstring(c->scheme.timestamp_from),
		.timestamp_format = wb_slice_cstring(c->scheme.timestamp_format),
		.tolerance_s = c->scheme.tolerance_s};
	WbColumnError error;

	if (!wb_scheme_parse(&text, scheme, &error))
		fail(error.column, error.problem);
}

/* Nanoseconds for one verification, in a run of that many milliseconds. */
static double
measure(const Case *c, const WbScheme *scheme, WbKey *key, WbMessage *message, int64_t run_ms)
{
	int64_t start = cpu_ns();
	int64_t end;
	int64_t count = 0;

	do
	{
		for (int i = 0; i < BATCH; i++)
			if (wb_signature_verify(scheme, &key, 1, message, NOW_S * 1000, NULL) != WB_VERIFIED)
				fail(c->name, "not verified");
		count += BATCH;
		end = cpu_ns();
	} while (end - start < run_ms * 1000000);
	return (double) (end - start) / (double) count;
}

/* Prepares the key that signs and the one that verifies. */
static void
prepare_keys(const Case *c, const WbScheme *scheme, WbKey *signs, WbKey *verifies)
{
	WbSlice secrets[] = {wb_slice_cstring(c->secret), wb_slice_cstring(c->secret)};
	BIO *pem[] = {BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem())};
	EVP_PKEY *pair = NULL;
	const char *problem;

	if (scheme->algorithm == WB_ALG_ED25519)
		pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else if (scheme->algorithm == WB_ALG_ECDSA_P256_SHA256)
		pair = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	else if (scheme->algorithm == WB_ALG_RSA_SHA256)
		pair = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048);
	if (c->secret == NULL)
	{
		if (pair == NULL || PEM_write_bio_PrivateKey(pem[0], pair, NULL, NULL, 0, NULL, NULL) != 1 ||
			PEM_write_bio_PUBKEY(pem[1], pair) != 1)
			fail(c->name, "no key pair could be made");
		for (int i = 0; i < 2; i++)
		{
			char *data;
			long len = BIO_get_mem_data(pem[i], &data);

			secrets[i] = wb_slice(data, (size_t) len);
		}
	}
	if (!wb_key_init(signs, scheme, WB_KEY_SIGN, secrets[0], &problem) ||
		!wb_key_init(verifies, scheme, WB_KEY_VERIFY, secrets[1], &problem))
		fail(c->name, problem);
	EVP_PKEY_free(pair);
	BIO_free(pem[0]);
	BIO_free(pem[1]);
}

static void
run(const Case *c, int64_t run_ms)
{
	char body[BODY_LEN];
	char signature_data[WB_MAX_SIGNATURE_TEXT];
	WbTextBuffer signature = {signature_data, 0, sizeof(signature_data)};
	WbHeader headers[] = {HEADER("Content-Type", "application/json"), c->other_header, HEADER("", ""), HEADER("", "")};
	WbMessage message = {.method = {"POST", 4}, .body = {body, BODY_LEN}, .headers = headers, .header_count = 2};
	WbScheme scheme;
	WbKey signs;
	WbKey key;
	double best;

	for (int i = 0; i < BODY_LEN; i++)
		body[i] = (char) (' ' + i % 95);
	parse_scheme(c, &scheme);
	prepare_keys(c, &scheme, &signs, &key);
	if (scheme.has_timestamp && scheme.timestamp_from.kind == WB_PART_HEADER)
		headers[message.header_count++] = (WbHeader){scheme.timestamp_from.argument, wb_slice_cstring(NOW)};
	if (!wb_signature_sign(&scheme, &signs, &message, wb_slice_cstring(NOW), &signature, NULL))
		fail(c->name, "could not be signed");
	headers[message.header_count++] = (WbHeader){scheme.signature_from.argument, wb_slice(signature.data, signature.len)};

	best = measure(c, &scheme, &key, &message, run_ms);
	for (int i = 1; i < RUNS; i++)
	{
		double ns = measure(c, &scheme, &key, &message, run_ms);

		if (ns < best)
			best = ns;
	}
	printf("\"%s\",%.0f,", c->name, best);
	if (c->limit_ns > 0)
		printf("%d", c->limit_ns);
	putchar('\n');
	wb_key_clear(&signs);
	wb_key_clear(&key);
}

int
main(int argc, char **argv)
{
	int64_t run_ms = argc > 1 ? atoi(argv[1]) : 10;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run(&cases[i], run_ms);
	return 0;
}
