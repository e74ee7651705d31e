/*-------------------------------------------------------------------------
 *
 * test_explain.c
 *	  Unit tests of signature.c: what it tells about a verification.
 *
 *-------------------------------------------------------------------------
 */
#include "signature.h"
#include "unit.h"

#define STRIPE_HEX "d95c6b7477fbd7e9f90b1b0ef5f9c7ac25abca5382460e0d988c2b2a5b71b990"
#define NOW_MS INT64_C(1700000000000)

static const char stripe_body[] = "{\"id\":\"evt_test_webhook\",\"object\":\"event\"}";

/* A verification and what was told about it. */
typedef struct Told
{
	WbVerdict verdict;
	WbSignatureDetails details;
	char content_data[200];
	WbTextBuffer content;
} Told;

static WbSchemeText
stripe_scheme(void)
{
	WbSchemeText text = {
		.algorithm = wb_slice_cstring("hmac-sha256"),
		.encoding = wb_slice_cstring("hex"),
		.signature_from = wb_slice_cstring("header:Stripe-Signature"),
		.list_separator = wb_slice_cstring(","),
		.element_prefix = wb_slice_cstring("v1="),
		.signed_content = wb_slice_cstring("{ts}.{body}"),
		.secret_encoding = wb_slice_cstring("raw"),
		.timestamp_from = wb_slice_cstring("sig:t"),
		.timestamp_format = wb_slice_cstring("s"),
		.tolerance_s = 300};

	return text;
}

/*
 * Explains a delivery with one header, and checks that verifying it says the
 * same.  No secret: NULL.
 */
static void
explain(const WbSchemeText *text, const char *secret, const char *name, const char *value, Told *told)
{
	WbScheme scheme;
	WbColumnError error;
	WbKey key = {.len = 0};
	WbKey *keys[] = {&key};
	WbHeader header = {wb_slice_cstring(name), wb_slice_cstring(value)};
	WbMessage message = {.headers = &header, .header_count = value != NULL, .body = wb_slice_cstring(stripe_body)};
	const char *problem;

	memset(told, 0xFF, sizeof(*told));
	told->content = (WbTextBuffer){told->content_data, 0, sizeof(told->content_data)};
	if (!CHECK(wb_scheme_parse(text, &scheme, &error)) ||
		!CHECK(secret == NULL || wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_slice_cstring(secret), &problem)))
		return;
	told->verdict = wb_signature_explain(&scheme, secret ? &key : NULL, &message, NOW_MS,
										 wb_text_sink, &told->content, &told->details);
	CHECK(message.signature.len == 0 && message.ts.len == 0 && !message.has_ts && message.secret.len == 0);
	CHECK_INT(wb_signature_verify(&scheme, keys, secret != NULL, &message, NOW_MS, NULL), told->verdict);
	wb_key_clear(&key);
}

/* Checks texts against what was told. */
static void
check_told(const Told *told, const char *signature, const char *timestamp, const char *content, const char *expected)
{
	const WbSignatureDetails *details = &told->details;

	CHECK_BYTES(details->signature, details->signature_len, signature, strlen(signature));
	CHECK_BYTES(details->timestamp, details->timestamp_len, timestamp, strlen(timestamp));
	CHECK_BYTES(told->content_data, told->content.len, content, strlen(content));
	CHECK_BYTES(details->expected, details->expected_len, expected, strlen(expected));
}

static void
test_stripe(void)
{
	WbSchemeText text = stripe_scheme();
	char content[100] = "1700000000.";
	Told told;

	strcat(content, stripe_body);
	explain(&text, "whsec_test_secret", "Stripe-Signature", "t=1700000000,v1=" STRIPE_HEX, &told);
	CHECK_INT(told.verdict, WB_VERIFIED);
	check_told(&told, "t=1700000000,v1=" STRIPE_HEX, "1700000000", content, "v1=" STRIPE_HEX);
	CHECK(told.details.elements == 1 && told.details.candidates == 1 && told.details.failed_part == -1);
	CHECK(told.details.has_time && told.details.signed_at_us == NOW_MS * 1000);

	/* one that is wrong and one that is malformed; all the rest is told, too */
	explain(&text, "other", "Stripe-Signature", "t=1700000000,v1=" STRIPE_HEX ",v1=00,v0=1", &told);
	CHECK_INT(told.verdict, WB_MISMATCH);
	CHECK(told.details.elements == 2 && told.details.candidates == 1);
	CHECK(told.details.has_time);
	CHECK(told.details.expected_len == 67 && memcmp(told.details.expected, "v1=" STRIPE_HEX, 67) != 0);

	explain(&text, "whsec_test_secret", "Stripe-Signature", "t=1700000000,v1=", &told);
	CHECK_INT(told.verdict, WB_NO_SIGNATURE);
	check_told(&told, "t=1700000000,v1=", "1700000000", content, "v1=" STRIPE_HEX);
	CHECK(told.details.elements == 0 && told.details.candidates == 0);

	explain(&text, NULL, "Stripe-Signature", "t=1700000000,v1=" STRIPE_HEX, &told);
	CHECK_INT(told.verdict, WB_NO_SECRET);
	check_told(&told, "t=1700000000,v1=" STRIPE_HEX, "1700000000", content, "");
	CHECK_INT(told.details.candidates, 1);
}

/* What is missing is told, and what can be known is told nevertheless. */
static void
test_missing(void)
{
	WbSchemeText text = stripe_scheme();
	Told told;

	explain(&text, "s", "Stripe-Signature", "v1=" STRIPE_HEX, &told);
	CHECK_INT(told.verdict, WB_UNRESOLVED);
	check_told(&told, "v1=" STRIPE_HEX, "", "", "");
	CHECK_INT(told.details.failed_part, 0);
	CHECK(!told.details.has_time);

	explain(&text, "s", "Stripe-Signature", NULL, &told);
	CHECK_INT(told.verdict, WB_NO_SIGNATURE);
	check_told(&told, "", "", "", "");

	text.signed_content = wb_slice_cstring("{body}{header:Other}{ts}");
	explain(&text, "s", "Stripe-Signature", "t=x,v1=" STRIPE_HEX, &told);
	CHECK_INT(told.verdict, WB_UNRESOLVED);
	check_told(&told, "t=x,v1=" STRIPE_HEX, "x", stripe_body, "");
	CHECK_INT(told.details.failed_part, 1);
	CHECK(!told.details.has_time);
}

/* A sink that takes nothing. */
static bool
refuse(void *arg, const char *data, size_t len)
{
	(void) data;
	*(size_t *) arg += len;
	return false;
}

static void
test_refusing_sink(void)
{
	WbSchemeText text = stripe_scheme();
	WbHeader header = {wb_slice_cstring("Stripe-Signature"), wb_slice_cstring("t=1700000000,v1=" STRIPE_HEX)};
	WbMessage message = {.headers = &header, .header_count = 1, .body = wb_slice_cstring(stripe_body)};
	WbSignatureDetails details;
	WbScheme scheme;
	WbColumnError error;
	WbKey key;
	const char *problem;
	size_t len = 0;

	CHECK(wb_scheme_parse(&text, &scheme, &error));
	CHECK(wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_slice_cstring("whsec_test_secret"), &problem));
	CHECK_INT(wb_signature_explain(&scheme, &key, &message, NOW_MS, refuse, &len, &details), WB_VERIFIED);
	CHECK_INT(len, 10);
	CHECK_INT(details.failed_part, -1);
	CHECK_INT(details.expected_len, 67);
	wb_key_clear(&key);
}

/* The secret is neither in the content nor, as a token, in what is expected. */
static void
test_secrecy(void)
{
	WbSchemeText text = {
		.algorithm = wb_slice_cstring("sha256"),
		.encoding = wb_slice_cstring("base64"),
		.signature_from = wb_slice_cstring("header:S"),
		.signed_content = wb_slice_cstring("{secret}/{secret}{header:S}"),
		.secret_encoding = wb_slice_cstring("raw"),
		.tolerance_s = -1};
	Told told;

	explain(&text, "secret", "s", "x", &told);
	CHECK_INT(told.verdict, WB_BAD_SIGNATURE);
	CHECK_BYTES(told.content_data, told.content.len, "***/***x", 8);
	CHECK_INT(told.details.expected_len, 44);
	explain(&text, NULL, "s", "x", &told);
	CHECK_BYTES(told.content_data, told.content.len, "***/***x", 8);

	text.algorithm = wb_slice_cstring("token");
	explain(&text, "secret", "s", "x", &told);
	CHECK_INT(told.verdict, WB_MISMATCH);
	check_told(&told, "x", "", "", "");
	CHECK(told.details.elements == 1 && told.details.candidates == 1 && told.details.failed_part == -1);

	text.algorithm = wb_slice_cstring("none");
	explain(&text, "secret", "s", "x", &told);
	CHECK_INT(told.verdict, WB_UNSIGNED);
	check_told(&told, "", "", "", "");
}

static void
test_public_key(void)
{
	WbSchemeText text = {
		.algorithm = wb_slice_cstring("ed25519"),
		.encoding = wb_slice_cstring("hex"),
		.signature_from = wb_slice_cstring("header:S"),
		.signed_content = wb_slice_cstring("{header:S}"),
		.secret_encoding = wb_slice_cstring("hex"),
		.tolerance_s = -1};
	static const char public_key[] = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
	Told told;

	explain(&text, public_key, "s", "00ff", &told);
	CHECK_INT(told.verdict, WB_BAD_SIGNATURE);
	check_told(&told, "00ff", "", "00ff", "");
	explain(&text, public_key, "s", STRIPE_HEX STRIPE_HEX, &told);
	CHECK_INT(told.verdict, WB_MISMATCH);
	check_told(&told, STRIPE_HEX STRIPE_HEX, "", STRIPE_HEX STRIPE_HEX, "");
}

/* A text that does not fit is told as far as it does. */
static void
test_long_texts(void)
{
	static char signature[5000];
	static char prefix[1400];
	WbSchemeText text = stripe_scheme();
	Told told;

	memset(signature, ',', sizeof(signature) - 1);
	explain(&text, "s", "Stripe-Signature", signature, &told);
	CHECK_INT(told.verdict, WB_BAD_SIGNATURE);
	CHECK(told.details.signature_len <= WB_MAX_SIGNATURE_TEXT);

	memset(prefix, 'p', sizeof(prefix) - 1);
	text.element_prefix = wb_slice_cstring(prefix);
	explain(&text, "s", "Stripe-Signature", "t=1", &told);
	CHECK_INT(told.verdict, WB_NO_SIGNATURE);
	CHECK_INT(told.details.expected_len, 0);
	CHECK(told.details.has_time && told.details.signed_at_us == 1000000);
}

int
main(void)
{
	RUN(test_stripe);
	RUN(test_missing);
	RUN(test_refusing_sink);
	RUN(test_secrecy);
	RUN(test_public_key);
	RUN(test_long_texts);
	return unit_finish();
}
