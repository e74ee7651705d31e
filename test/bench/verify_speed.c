/*-------------------------------------------------------------------------
 *
 * verify_speed.c
 *	  What verifying a signature costs in a receiver.
 *
 *		verify_speed [MILLISECONDS]
 *
 * Signs a body of 1 KB in each scheme below, verifies it over and over through
 * the function that receivers call, and prints a line "name,nanoseconds,limit"
 * for each: the best of several runs of that length, because others use the
 * machine, too; and what it may be, if that is said.  The keys are prepared once, as receivers do.  Linked with the
 * pure modules and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "signature.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BODY_LEN 1024
#define RUNS 9
#define BATCH 256 /* verifications between two looks at the clock */

#define HMAC_SHA256_LIMIT_NS 3000

#define NOW_S INT64_C(1700000000)
#define NOW "1700000000"

typedef struct Case
{
	const char *name;
	int limit_ns; /* 0: only shown */
	const char *secret;
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
};

static void
fail(const char *name, const char *problem)
{
	fprintf(stderr, "%s: %s\n", name, problem);
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
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
	WbSchemeError error;

	if (!wb_scheme_parse(&text, scheme, &error))
		fail(error.column, error.problem);
}

/* Nanoseconds for one verification, in a run of that many milliseconds. */
static double
measure(const Case *c, const WbScheme *scheme, WbKey *key, WbMessage *message, int64_t run_ms)
{
	int64_t start = now_ns();
	int64_t end;
	int64_t count = 0;

	do
	{
		for (int i = 0; i < BATCH; i++)
			if (wb_signature_verify(scheme, &key, 1, message, NOW_S * 1000, NULL) != WB_VERIFIED)
				fail(c->name, "not verified");
		count += BATCH;
		end = now_ns();
	} while (end - start < run_ms * 1000000);
	return (double) (end - start) / (double) count;
}

static void
run(const Case *c, int64_t run_ms)
{
	char body[BODY_LEN];
	char signature_data[512];
	WbTextBuffer signature = {signature_data, 0, sizeof(signature_data)};
	WbHeader headers[] = {HEADER("Content-Type", "application/json"), c->other_header, HEADER("", ""), HEADER("", "")};
	WbMessage message = {.method = {"POST", 4}, .body = {body, BODY_LEN}, .headers = headers, .header_count = 2};
	WbScheme scheme;
	WbKey key;
	const char *problem;
	double best;

	for (int i = 0; i < BODY_LEN; i++)
		body[i] = (char) (' ' + i % 95);
	parse_scheme(c, &scheme);
	if (!wb_key_init(&key, &scheme, wb_slice_cstring(c->secret), &problem))
		fail(c->name, problem);
	if (scheme.has_timestamp && scheme.timestamp_from.kind == WB_PART_HEADER)
		headers[message.header_count++] = (WbHeader){scheme.timestamp_from.argument, wb_slice_cstring(NOW)};
	if (!wb_signature_sign(&scheme, &key, &message, wb_slice_cstring(NOW), &signature, NULL))
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
	wb_key_clear(&key);
}

int
main(int argc, char **argv)
{
	int64_t run_ms = argc > 1 ? atoi(argv[1]) : 50;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run(&cases[i], run_ms);
	return 0;
}
