/*-------------------------------------------------------------------------
 *
 * test_scheme.c
 *	  Unit tests of scheme.c.
 *
 *-------------------------------------------------------------------------
 */
#include "scheme.h"
#include "unit.h"

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* The columns of a scheme, and which one is to blame (NULL: none). */
typedef struct SchemeCase
{
	const char *blamed;
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
	const char *body_digest_from; /* NULL: none */
} SchemeCase;

static const SchemeCase scheme_cases[] = {
	{NULL, "hmac-sha256", "hex", "header:A", "", "", "{body}", "raw", "", "", -1, NULL},
	{"algorithm", "", "hex", "header:A", "", "", "{body}", "raw", "", "", -1, NULL},
	{"algorithm", "hmac-md5", "hex", "header:A", "", "", "{body}", "raw", "", "", -1, NULL},
	{"algorithm", "HMAC-SHA256", "hex", "header:A", "", "", "{body}", "raw", "", "", -1, NULL},
	{"algorithm", "rsa-sha1", "hex", "header:A", "", "", "{body}", "pem", "", "", -1, NULL},
	{"encoding", "hmac-sha256", "", "header:A", "", "", "{body}", "raw", "", "", -1, NULL},
	{"encoding", "hmac-sha256", "base32", "header:A", "", "", "{body}", "raw", "", "", -1, NULL},
	{"encoding", "token", "x", "header:A", "", "", "", "raw", "", "", -1, NULL},
	{"signature_from", "hmac-sha256", "hex", "", "", "", "{body}", "raw", "", "", -1, NULL},
	{"signature_from", "token", "hex", "", "", "", "", "raw", "", "", -1, NULL},
	{"signature_from", "hmac-sha256", "hex", "A", "", "", "{body}", "raw", "", "", -1, NULL},
	{"signature_from", "hmac-sha256", "hex", "header:A?", "", "", "{body}", "raw", "", "", -1, NULL},
	{"signature_from", "hmac-sha256", "hex", "sig:v1", ",", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", ", ", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", "\n", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", "\xE9", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", "a", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", "=", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", "-", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", "_", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", "+", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", "/", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", "9", "", "{body}", "raw", "", "", -1, NULL},
	{"list_separator", "hmac-sha256", "hex", "header:A", "Z", "", "{body}", "raw", "", "", -1, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", ";", "", "{body}", "raw", "", "", -1, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", " ", "v1,", "{body}", "raw", "", "", -1, NULL},
	{"element_prefix", "hmac-sha256", "hex", "header:A", "", " v1", "{body}", "raw", "", "", -1, NULL},
	{"element_prefix", "hmac-sha256", "hex", "header:A", ",", "v1,", "{body}", "raw", "", "", -1, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", "", "v1,", "{body}", "raw", "", "", -1, NULL},
	{"signed_content", "hmac-sha256", "hex", "header:A", "", "", "", "raw", "", "", -1, NULL},
	{"signed_content", "hmac-sha256", "hex", "header:A", "", "", "body", "raw", "", "", -1, NULL},
	{"signed_content", "hmac-sha256", "hex", "header:A", "", "", "{bodi}", "raw", "", "", -1, NULL},
	{"signed_content", "hmac-sha256", "hex", "header:A", "", "", "a{param:x}{secret}", "raw", "", "", -1, NULL},
	{"signed_content", "hmac-sha256", "hex", "header:A", "", "", "{ts}{body}", "raw", "", "", -1, NULL},
	{"signed_content", "hmac-sha256", "hex", "header:A", "", "", "{sig:t}{body}", "raw", "", "", -1, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", ",", "", "{sig:t}{body}", "raw", "", "", -1, NULL},
	{"signed_content", "sha256", "hex", "header:A", "", "", "{body}", "raw", "", "", -1, NULL},
	{"signed_content", "sha256", "hex", "header:A", "", "", "{secret}", "raw", "", "", -1, NULL},
	{"signed_content", "hmac-sha256", "hex", "header:A", "", "", "{hmac:json:a}{body}", "raw", "", "", -1, NULL},
	{NULL, "sha256", "hex", "header:A", "", "", "{secret}{body}", "raw", "", "", -1, NULL},
	{NULL, "none", "hex", "", "", "", "}", "raw", "", "", -1, NULL},
	{NULL, "token", "hex", "query:token", "", "", "}", "raw", "", "", -1, NULL},
	{"secret_encoding", "hmac-sha256", "hex", "header:A", "", "", "{body}", "", "", "", -1, NULL},
	{"secret_encoding", "hmac-sha256", "hex", "header:A", "", "", "{body}", "pem", "", "", -1, NULL},
	{"secret_encoding", "hmac-sha256", "hex", "header:A", "", "", "{body}", ":whsec_", "", "", -1, NULL},
	{"secret_encoding", "hmac-sha256", "hex", "header:A", "", "", "{body}", "base64whsec_", "", "", -1, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", "", "", "{body}", "raw:a:b", "", "", -1, NULL},
	{"timestamp_from", "hmac-sha256", "hex", "header:A", "", "", "{ts}", "raw", "T", "s", -1, NULL},
	{"timestamp_from", "hmac-sha256", "hex", "header:A", "", "", "{ts}", "raw", "sig:t", "s", -1, NULL},
	{"timestamp_format", "hmac-sha256", "hex", "header:A", "", "", "{ts}", "raw", "header:T", "", -1, NULL},
	{"timestamp_format", "hmac-sha256", "hex", "header:A", "", "", "{ts}", "raw", "header:T", "us", -1, NULL},
	{"timestamp_format", "hmac-sha256", "hex", "header:A", "", "", "{body}", "raw", "", "s", -1, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", "", "", "{ts}", "raw", "header:T", "iso8601", 300, NULL},
	{"tolerance", "hmac-sha256", "hex", "header:A", "", "", "{body}", "raw", "", "", 0, NULL},
	/* a window on a timestamp that the signature does not cover */
	{"tolerance", "hmac-sha256", "hex", "header:A", "", "", "{body}", "raw", "header:T", "s", 300, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", "", "", "{body}", "raw", "header:T", "s", -1, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", "", "", "{body}", "raw", "json:t", "ms", 60, NULL},
	{"tolerance", "hmac-sha256", "hex", "header:A", "", "", "{json:id}", "raw", "json:t", "ms", 60, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", "", "", "{json:t}", "raw", "json:t", "ms", 60, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", "", "", "{header:t}{body}", "raw", "header:T", "s", 300, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", "", "", "{headers_json:x-}", "raw", "header:X-T", "s", 300, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", "", "", "{headers_json:X-T}", "raw", "header:X-T", "s", 300, NULL},
	{"tolerance", "hmac-sha256", "hex", "header:A", "", "", "{headers_json:X-}", "raw", "header:T", "s", 300, NULL},
	{NULL, "hmac-sha256", "hex", "header:A", "", "", "{url}", "raw", "query:t", "s", 300, NULL},
	{"tolerance", "hmac-sha256", "hex", "header:A", "", "", "{body}", "raw", "query:t", "s", 300, NULL},
	{"tolerance", "token", "hex", "header:A", "", "", "{ts}", "raw", "header:T", "s", 300, NULL},
	{"tolerance", "none", "hex", "", "", "", "", "raw", "header:T", "s", 300, NULL},
	/* members of JSON are told apart by case, headers are not */
	{"tolerance", "hmac-sha256", "hex", "header:A", "", "", "{json:T}", "raw", "json:t", "ms", 60, NULL},
	{"tolerance", "hmac-sha256", "hex", "header:X-A", "", "", "{headers_json:X-}", "raw", "header:x-a", "s", 300, NULL},
	/* public keys */
	{NULL, "ed25519", "hex", "header:A", "", "", "{body}", "hex", "", "", -1, NULL},
	{NULL, "ed25519", "auto", "header:A", "", "", "{body}", "base64", "", "", -1, NULL},
	{NULL, "ed25519", "base64", "header:A", "", "", "{body}", "pem", "", "", -1, NULL},
	{NULL, "ed25519", "base64url", "header:A", "", "", "{body}", "spki", "", "", -1, NULL},
	{NULL, "ed25519", "base64", "header:A", " ", "v1a,", "{body}", "base64:whpk_:whsk_", "", "", -1, NULL},
	{"secret_encoding", "ed25519", "hex", "header:A", "", "", "{body}", "raw", "", "", -1, NULL},
	{NULL, "ecdsa-p256-sha256", "base64", "header:A", "", "", "{body}", "pem", "", "", -1, NULL},
	{NULL, "ecdsa-p256-sha256", "hex", "header:A", "", "", "{body}", "spki:x_", "", "", -1, NULL},
	{"encoding", "ecdsa-p256-sha256", "auto", "header:A", "", "", "{body}", "pem", "", "", -1, NULL},
	{"secret_encoding", "ecdsa-p256-sha256", "hex", "header:A", "", "", "{body}", "raw", "", "", -1, NULL},
	{"secret_encoding", "ecdsa-p256-sha256", "hex", "header:A", "", "", "{body}", "hex", "", "", -1, NULL},
	{"secret_encoding", "ecdsa-p256-sha256", "hex", "header:A", "", "", "{body}", "base64", "", "", -1, NULL},
	{NULL, "rsa-sha256", "base64", "header:A", "", "", "{body}", "pem", "", "", -1, NULL},
	{NULL, "rsa-sha256", "base64url", "header:A", "", "", "{body}", "spki", "", "", -1, NULL},
	{"encoding", "rsa-sha256", "auto", "header:A", "", "", "{body}", "pem", "", "", -1, NULL},
	{"secret_encoding", "rsa-sha256", "base64", "header:A", "", "", "{body}", "raw", "", "", -1, NULL},
	{"secret_encoding", "rsa-sha256", "base64", "header:A", "", "", "{body}", "base64", "", "", -1, NULL},
	{"signed_content", "ed25519", "hex", "header:A", "", "", "{secret}{body}", "hex", "", "", -1, NULL},
	{"signed_content", "rsa-sha256", "hex", "header:A", "", "", "{secret}{body}", "pem", "", "", -1, NULL},
	{"secret_encoding", "hmac-sha256", "hex", "header:A", "", "", "{body}", "spki", "", "", -1, NULL},
	{"secret_encoding", "sha256", "hex", "header:A", "", "", "{secret}{body}", "pem", "", "", -1, NULL},
	{"secret_encoding", "token", "hex", "header:A", "", "", "", "pem", "", "", -1, NULL},
	{NULL, "ed25519", "hex", "header:A", "", "", "{ts}{body}", "hex", "header:T", "s", 300, NULL},
	{"tolerance", "ed25519", "hex", "header:A", "", "", "{body}", "hex", "header:T", "s", 300, NULL},
	/* a digest of the body that the signature covers, or not */
	{NULL, "hmac-sha1", "base64", "header:A", "", "", "{url}", "raw", "", "", -1, "query:bodySHA256"},
	{NULL, "hmac-sha1", "base64", "header:A", "", "", "{query:d}", "raw", "", "", -1, "query:d"},
	{NULL, "ed25519", "base64", "header:A", "", "", "{header:D}", "pem", "", "", -1, "header:d"},
	{NULL, "hmac-sha1", "base64", "header:A", "", "", "{headers_json:X-}", "raw", "", "", -1, "header:x-digest"},
	{NULL, "hmac-sha1", "base64", "header:A", ",", "", "{sig:d}", "raw", "", "", -1, "sig:d"},
	{NULL, "hmac-sha1", "base64", "header:A", "", "", "{json:d}", "raw", "", "", -1, "json:d"},
	{"body_digest_from", "hmac-sha1", "base64", "header:A", "", "", "{query:D}", "raw", "", "", -1, "query:d"},
	{"body_digest_from", "hmac-sha1", "base64", "header:A", "", "", "{header:d}", "raw", "", "", -1, "query:d"},
	{"body_digest_from", "hmac-sha1", "base64", "header:A", "", "", "{body}", "raw", "", "", -1, "header:d"},
	{"body_digest_from", "hmac-sha1", "base64", "header:A", "", "", "{body}", "raw", "", "", -1, "sig:d"},
	{"body_digest_from", "hmac-sha1", "base64", "header:A", "", "", "{headers_json:X-}", "raw", "", "", -1, "header:d"},
	{"body_digest_from", "hmac-sha1", "base64", "header:A", "", "", "{url}", "raw", "", "", -1, "digest"},
	{"body_digest_from", "hmac-sha1", "base64", "header:A", "", "", "{url}", "raw", "", "", -1, "query:d?"},
	{"body_digest_from", "token", "base64", "header:A", "", "", "{url}", "raw", "", "", -1, "query:d"},
	{"body_digest_from", "none", "base64", "", "", "", "{url}", "raw", "", "", -1, "query:d"},
};

static WbSchemeText
text_of(const SchemeCase *scheme_case)
{
	WbSchemeText text = {
		wb_slice_cstring(scheme_case->algorithm),
		wb_slice_cstring(scheme_case->encoding),
		wb_slice_cstring(scheme_case->signature_from),
		wb_slice_cstring(scheme_case->list_separator),
		wb_slice_cstring(scheme_case->element_prefix),
		wb_slice_cstring(scheme_case->signed_content),
		wb_slice_cstring(scheme_case->secret_encoding),
		wb_slice_cstring(scheme_case->timestamp_from),
		wb_slice_cstring(scheme_case->timestamp_format),
		wb_slice_cstring(scheme_case->body_digest_from),
		scheme_case->tolerance_s};

	return text;
}

static void
test_columns(void)
{
	for (int i = 0; i < LENGTH_OF(scheme_cases); i++)
	{
		const SchemeCase *scheme_case = &scheme_cases[i];
		WbSchemeText text = text_of(scheme_case);
		WbColumnError error = {"none", NULL};
		WbScheme scheme;

		unit_case("%s, %s, %s, \"%s\", %s, %s", scheme_case->algorithm, scheme_case->signature_from,
				  scheme_case->signed_content, scheme_case->list_separator,
				  scheme_case->secret_encoding, scheme_case->timestamp_from);
		if (wb_scheme_parse(&text, &scheme, &error))
			CHECK(scheme_case->blamed == NULL);
		else
		{
			CHECK_STR(error.column, scheme_case->blamed);
			CHECK(error.problem[0] >= 'A' && error.problem[0] <= 'Z');
			CHECK(error.problem[strlen(error.problem) - 1] == '.');
		}
	}
}

/* Every column arrives in its member. */
static void
test_members(void)
{
	static const SchemeCase stripe = {
		NULL, "hmac-sha512", "base64url", "header:Stripe-Signature", ",", "v1=", "{ts}.{body}",
		"base64:whsec_", "sig:t", "ms", 300, "sig:t"};
	WbSchemeText text = text_of(&stripe);
	WbColumnError error;
	WbScheme scheme;

	if (!CHECK(wb_scheme_parse(&text, &scheme, &error)))
		return;
	CHECK_INT(scheme.algorithm, WB_ALG_HMAC_SHA512);
	CHECK_INT(scheme.encoding, WB_ENC_BASE64URL);
	CHECK(scheme.has_content && scheme.has_signature && scheme.has_timestamp);
	CHECK_INT(scheme.signature_from.kind, WB_PART_HEADER);
	CHECK_SLICE(scheme.signature_from.argument, "Stripe-Signature");
	CHECK_INT(scheme.list_separator, ',');
	CHECK_SLICE(scheme.element_prefix, "v1=");
	CHECK_INT(scheme.signed_content.part_count, 3);
	CHECK_INT(scheme.secret_encoding, WB_SECRET_BASE64);
	CHECK_SLICE(scheme.secret_prefixes, "whsec_");
	CHECK_INT(scheme.timestamp_from.kind, WB_PART_SIG);
	CHECK_INT(scheme.timestamp_format, WB_TIME_MILLISECONDS);
	CHECK_INT(scheme.tolerance_s, 300);
	CHECK(!scheme.is_asymmetric && scheme.has_body_digest);
	CHECK_INT(scheme.body_digest_from.kind, WB_PART_SIG);
	CHECK_SLICE(scheme.body_digest_from.argument, "t");
}

int
main(void)
{
	RUN(test_columns);
	RUN(test_members);
	return unit_finish();
}
