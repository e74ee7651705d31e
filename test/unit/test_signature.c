/*-------------------------------------------------------------------------
 *
 * test_signature.c
 *	  Unit tests of signature.c.
 *
 * Vectors of RFC 4231 and RFC 2202 and of three vendors, then tables of what
 * can be wrong with signatures.
 *
 *-------------------------------------------------------------------------
 */
#include "signature.h"
#include "unit.h"

#include <stdio.h>

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

#define TEN(text) text text text text text text text text text text
#define AA20 TEN("aa") TEN("aa")
#define AA131 TEN(TEN("aa")) TEN("aa") TEN("aa") TEN("aa") "aa"
#define AB64 TEN("abababababab") "abababab"
#define CD50 TEN("\xCD\xCD\xCD\xCD\xCD")
#define DD50 TEN("\xDD\xDD\xDD\xDD\xDD")

#define NOW_S INT64_C(1700000000)
#define NOW "1700000000"

/* A scheme and one delivery, in the words of a row and a request. */
typedef struct Sample
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
	const char *secret;
	const char *body;
	const char *headers[6]; /* name, value, name, ... */
} Sample;

static const Sample plain = {
	"hmac-sha256", "hex", "header:X-Signature", "", "", "{body}", "raw", "", "", -1, "secret", "body", {NULL}};

static const Sample github = {
	"hmac-sha256", "hex", "header:X-Hub-Signature-256", "", "sha256=", "{body}", "raw", "", "", -1, "It's a Secret to Everybody", "Hello, World!", {"x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}};

static const Sample standard_webhooks = {
	"hmac-sha256", "base64", "header:webhook-signature", " ", "v1,", "{header:webhook-id}.{ts}.{body}", "base64:whsec_", "header:webhook-timestamp", "s", 300, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "{\"test\": 2432232314}", {"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330", "webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}};

static const Sample stripe = {
	"hmac-sha256", "hex", "header:Stripe-Signature", ",", "v1=", "{ts}.{body}", "raw", "sig:t", "s", 300, "whsec_test_secret", "{\"id\":\"evt_test_webhook\",\"object\":\"event\"}", {"Stripe-Signature", "t=" NOW ",v1=d95c6b7477fbd7e9f90b1b0ef5f9c7ac25abca5382460e0d988c2b2a5b71b990"}};

static const Sample token = {
	"token", "hex", "header:X-Gitlab-Token", "", "", "", "raw", "", "", -1, "correct horse", "body", {"X-Gitlab-Token", "correct horse"}};

static WbSchemeText
scheme_text(const Sample *sample)
{
	WbSchemeText text = {
		wb_slice_cstring(sample->algorithm),
		wb_slice_cstring(sample->encoding),
		wb_slice_cstring(sample->signature_from),
		wb_slice_cstring(sample->list_separator),
		wb_slice_cstring(sample->element_prefix),
		wb_slice_cstring(sample->signed_content),
		wb_slice_cstring(sample->secret_encoding),
		wb_slice_cstring(sample->timestamp_from),
		wb_slice_cstring(sample->timestamp_format),
		wb_slice(NULL, 0),
		sample->tolerance_s};

	return text;
}

/* Fills in a message; headers has room for three. */
static WbMessage
message_of(const Sample *sample, WbHeader *headers)
{
	WbMessage message;

	memset(&message, 0, sizeof(message));
	message.method = wb_slice_cstring("POST");
	message.url = wb_slice_cstring("https://example.com/in");
	message.body = wb_slice_cstring(sample->body);
	message.headers = headers;
	for (int i = 0; i < 6 && sample->headers[i] != NULL; i += 2)
	{
		headers[i / 2].name = wb_slice_cstring(sample->headers[i]);
		headers[i / 2].value = wb_slice_cstring(sample->headers[i + 1]);
		message.header_count++;
	}
	return message;
}

/* Moves header values and body against an unreadable page. */
static void
guard_message(WbMessage *message, WbHeader *headers)
{
	message->body.data = guarded(message->body.data, message->body.len);
	for (int i = 0; i < message->header_count; i++)
		headers[i].value.data = guarded(headers[i].value.data, headers[i].value.len);
}

static void
free_guarded(const WbMessage *message)
{
	guarded_free((char *) message->body.data);
	for (int i = 0; i < message->header_count; i++)
		guarded_free((char *) message->headers[i].value.data);
}

static WbVerdict
verify_at(const Sample *sample, int64_t now_ms)
{
	WbSchemeText text = scheme_text(sample);
	WbColumnError error = {"none", "none"};
	WbScheme scheme;
	WbHeader headers[3];
	WbMessage message = message_of(sample, headers);
	WbKey key;
	WbKey *keys[] = {&key};
	const char *problem;
	WbVerdict verdict;
	int matched = 7;

	if (!CHECK(wb_scheme_parse(&text, &scheme, &error)))
		return WB_UNSIGNED;
	if (!CHECK(wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_slice_cstring(sample->secret), &problem)))
		return WB_NO_SECRET;
	guard_message(&message, headers);
	verdict = wb_signature_verify(&scheme, keys, 1, &message, now_ms, &matched);
	CHECK_INT(matched, verdict == WB_VERIFIED || verdict == WB_STALE || verdict == WB_BAD_TIMESTAMP ? 0 : -1);
	CHECK(message.signature.len == 0 && message.ts.len == 0 && !message.has_ts && message.secret.len == 0);
	/* a second time with the same key, whose state was used */
	CHECK_INT(wb_signature_verify(&scheme, keys, 1, &message, now_ms, NULL), verdict);
	free_guarded(&message);
	wb_key_clear(&key);
	return verdict;
}

static WbVerdict
verify(const Sample *sample)
{
	return verify_at(sample, NOW_S * 1000);
}

/* Signs a sample into a terminated text; false as wb_signature_sign(). */
static bool
sign(const Sample *sample, const char *ts, char *out, size_t size, int *failed_part)
{
	WbSchemeText text = scheme_text(sample);
	WbColumnError error;
	WbScheme scheme;
	WbHeader headers[3];
	WbMessage message = message_of(sample, headers);
	WbTextBuffer buffer = {out, 0, size - 1};
	WbKey key;
	const char *problem;
	bool done;

	if (!CHECK(wb_scheme_parse(&text, &scheme, &error)) ||
		!CHECK(wb_key_init(&key, &scheme, WB_KEY_SIGN, wb_slice_cstring(sample->secret), &problem)))
		return false;
	done = wb_signature_sign(&scheme, &key, &message, wb_slice_cstring(ts), &buffer, failed_part);
	out[buffer.len] = '\0';
	wb_key_clear(&key);
	return done;
}

typedef struct HmacCase
{
	const char *algorithm;
	const char *key; /* in hexadecimal */
	const char *data;
	const char *digest;
} HmacCase;

/* RFC 2202, section 3, and RFC 4231, sections 4.2 to 4.5, 4.7 and 4.8 */
static const HmacCase hmac_cases[] = {
	{"hmac-sha1", TEN("0b") TEN("0b"), "Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"},
	{"hmac-sha1", "4a656665", "what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
	{"hmac-sha1", AA20, DD50, "125d7342b9ac11cd91a39af48aa17b4f63f175d3"},
	{"hmac-sha256", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There",
	 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
	{"hmac-sha512", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There",
	 "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"},
	{"hmac-sha256", "4a656665", "what do ya want for nothing?",
	 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	{"hmac-sha512", "4a656665", "what do ya want for nothing?",
	 "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
	{"hmac-sha256", AA20, DD50,
	 "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	{"hmac-sha512", AA20, DD50,
	 "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb"},
	{"hmac-sha256", "0102030405060708090a0b0c0d0e0f10111213141516171819", CD50,
	 "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	{"hmac-sha512", "0102030405060708090a0b0c0d0e0f10111213141516171819", CD50,
	 "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd"},
	{"hmac-sha256", AA131, "Test Using Larger Than Block-Size Key - Hash Key First",
	 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	{"hmac-sha512", AA131, "Test Using Larger Than Block-Size Key - Hash Key First",
	 "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"},
	{"hmac-sha256", AA131, "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
	 "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
	{"hmac-sha512", AA131, "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
	 "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58"},
	/* keys as long as the block */
	{"hmac-sha256", AB64, "body", "3bbda9eac273583a4471a198c53836cdf8b856784f45e4fd6ca0251b5c4517b6"},
	{"hmac-sha512", AB64 AB64, "body",
	 "fd4633afed85a9eddec78b03f6d34fbd73b5101933f45435dc6418f004f4085ed73f3edee40a2da3ba9728d05f0fe9b732682f1a9e2925eb123880d7bb4c91f0"},
};

static void
test_hmac_vectors(void)
{
	for (int i = 0; i < LENGTH_OF(hmac_cases); i++)
	{
		const HmacCase *hmac_case = &hmac_cases[i];
		Sample sample = plain;
		char out[200];

		unit_case("%s of %s", hmac_case->algorithm, hmac_case->data);
		sample.algorithm = hmac_case->algorithm;
		sample.secret_encoding = "hex";
		sample.secret = hmac_case->key;
		sample.body = hmac_case->data;
		sample.headers[0] = "X-Signature";
		sample.headers[1] = hmac_case->digest;
		CHECK_INT(verify(&sample), WB_VERIFIED);
		if (CHECK(sign(&sample, "", out, sizeof(out), NULL)))
			CHECK_STR(out, hmac_case->digest);
	}
}

static void
test_vendor_vectors(void)
{
	Sample sample = standard_webhooks;

	CHECK_INT(verify(&github), WB_VERIFIED);
	CHECK_INT(verify_at(&standard_webhooks, INT64_C(1614265335000)), WB_VERIFIED);
	sample.secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
	CHECK_INT(verify_at(&sample, INT64_C(1614265335000)), WB_VERIFIED);
	CHECK_INT(verify(&stripe), WB_VERIFIED);
	CHECK_INT(verify(&token), WB_VERIFIED);
}

/* Each single change of a delivery makes it a wrong one. */
static void
test_changes(void)
{
	const Sample *samples[] = {&github, &standard_webhooks, &stripe, &token};

	for (int i = 0; i < LENGTH_OF(samples); i++)
	{
		int64_t now_ms = samples[i] == &standard_webhooks ? INT64_C(1614265330000) : NOW_S * 1000;
		Sample sample = *samples[i];
		char changed[200];

		unit_case("secret of %s", sample.signature_from);
		snprintf(changed, sizeof(changed), "%s", sample.secret);
		changed[strlen(changed) - 1] ^= 1;
		sample.secret = changed;
		CHECK_INT(verify_at(&sample, now_ms), WB_MISMATCH);
		sample = *samples[i];
		if (samples[i] == &token)
			continue;
		for (size_t at = 0; at < strlen(sample.body); at++)
		{
			unit_case("byte %zu of the body of %s", at, sample.signature_from);
			snprintf(changed, sizeof(changed), "%s", samples[i]->body);
			changed[at] ^= 1;
			sample.body = changed;
			CHECK_INT(verify_at(&sample, now_ms), WB_MISMATCH);
		}
		sample.body = "";
		CHECK_INT(verify_at(&sample, now_ms), WB_MISMATCH);
	}
}

typedef struct SignatureCase
{
	WbVerdict verdict;
	const char *signature;
} SignatureCase;

#define GITHUB_HEX "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
#define WRONG_HEX "857107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

/* In a list separated by commas, with the prefix "sha256=", for GitHub's body. */
static const SignatureCase list_cases[] = {
	{WB_VERIFIED, "sha256=" GITHUB_HEX},
	{WB_VERIFIED, "sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17"},
	{WB_VERIFIED, "  sha256=" GITHUB_HEX "  "},
	{WB_VERIFIED, "sha256=" WRONG_HEX ",sha256=" GITHUB_HEX},
	{WB_VERIFIED, "sha256=" GITHUB_HEX ",sha256=" WRONG_HEX},
	{WB_VERIFIED, "sha1=00, sha256=12 , sha256=" GITHUB_HEX " ,,x"},
	{WB_VERIFIED, ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,sha256=" GITHUB_HEX},
	{WB_VERIFIED, TEN("sha256=00,") TEN("sha256=00,") "sha256=" GITHUB_HEX},
	{WB_MISMATCH, "sha256=" WRONG_HEX},
	{WB_MISMATCH, "sha256=" WRONG_HEX ",sha1=" GITHUB_HEX},
	/* sixteen digests are looked at */
	{WB_VERIFIED, TEN("sha256=" WRONG_HEX ",") "sha256=" WRONG_HEX ",sha256=" WRONG_HEX ",sha256=" WRONG_HEX ",sha256=" WRONG_HEX ",sha256=" WRONG_HEX ",sha256=" GITHUB_HEX},
	{WB_MISMATCH, TEN("sha256=" WRONG_HEX ",") "sha256=" WRONG_HEX ",sha256=" WRONG_HEX ",sha256=" WRONG_HEX ",sha256=" WRONG_HEX ",sha256=" WRONG_HEX ",sha256=" WRONG_HEX ",sha256=" GITHUB_HEX},
	{WB_NO_SIGNATURE, ""},
	{WB_NO_SIGNATURE, "   "},
	{WB_NO_SIGNATURE, ",,,"},
	{WB_NO_SIGNATURE, GITHUB_HEX},
	{WB_NO_SIGNATURE, "sha1=" GITHUB_HEX},
	{WB_NO_SIGNATURE, "SHA256=" GITHUB_HEX},
	{WB_NO_SIGNATURE, "sha256="},
	{WB_NO_SIGNATURE, "sha256= "},
	{WB_NO_SIGNATURE, "sha256"},
	{WB_BAD_SIGNATURE, "sha256=0"},
	{WB_BAD_SIGNATURE, "sha256=7571"},
	{WB_BAD_SIGNATURE, "sha256=" GITHUB_HEX "0"},
	{WB_BAD_SIGNATURE, "sha256=" GITHUB_HEX "00"},
	{WB_BAD_SIGNATURE, "sha256= " GITHUB_HEX},
	{WB_BAD_SIGNATURE, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e1"},
	{WB_BAD_SIGNATURE, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e1g"},
	{WB_BAD_SIGNATURE, "sha256=757107ea0eb2509fc211221cce984b8a 7570b6d7586c22c46f4379c8b043e17"},
	{WB_BAD_SIGNATURE, "sha256=dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="},
	{WB_BAD_SIGNATURE, "sha256=0x757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
};

static void
test_lists(void)
{
	for (int i = 0; i < LENGTH_OF(list_cases); i++)
	{
		Sample sample = github;

		unit_case("%s", list_cases[i].signature);
		sample.list_separator = ",";
		sample.headers[1] = list_cases[i].signature;
		CHECK_INT(verify(&sample), list_cases[i].verdict);
	}
}

/* A long header is malformed, not half read. */
static void
test_long_signature(void)
{
	static char signature[5000];
	Sample sample = github;

	sample.list_separator = ",";
	sample.headers[1] = signature;
	memset(signature, ',', sizeof(signature) - 1);
	memcpy(signature, github.headers[1], strlen(github.headers[1]));
	signature[4096] = '\0';
	CHECK_INT(verify(&sample), WB_VERIFIED);
	signature[4096] = ',';
	CHECK_INT(verify(&sample), WB_BAD_SIGNATURE);
}

typedef struct EncodingCase
{
	const char *encoding;
	const char *signature; /* of "body" by "secret" */
	WbVerdict verdict;
} EncodingCase;

#define BODY_HEX "dc46983557fea127b43af721467eb9b3fde2338fe3e14f51952aa8478c13d355"
#define BODY_BASE64 "3EaYNVf+oSe0OvchRn65s/3iM4/j4U9RlSqoR4wT01U"

static const EncodingCase encoding_cases[] = {
	{"hex", BODY_HEX, WB_VERIFIED},
	{"base64", BODY_BASE64 "=", WB_VERIFIED},
	{"base64", BODY_BASE64, WB_BAD_SIGNATURE},
	{"base64", BODY_BASE64 "==", WB_BAD_SIGNATURE},
	{"base64", BODY_BASE64 "=\t", WB_BAD_SIGNATURE},
	{"base64", "=" BODY_BASE64, WB_BAD_SIGNATURE},
	{"base64", "3EaYNVf-oSe0OvchRn65s_3iM4_j4U9RlSqoR4wT01U=", WB_BAD_SIGNATURE},
	{"base64url", "3EaYNVf-oSe0OvchRn65s_3iM4_j4U9RlSqoR4wT01U", WB_VERIFIED},
	{"base64url", "3EaYNVf-oSe0OvchRn65s_3iM4_j4U9RlSqoR4wT01U=", WB_VERIFIED},
	{"base64url", "3EaYNVf-oSe0OvchRn65s_3iM4_j4U9RlSqoR4wT01U==", WB_BAD_SIGNATURE},
	{"base64url", BODY_BASE64, WB_BAD_SIGNATURE},
	{"auto", BODY_HEX, WB_VERIFIED},
	{"auto", BODY_BASE64 "=", WB_VERIFIED},
	{"auto", BODY_BASE64, WB_BAD_SIGNATURE},
	{"hex", BODY_BASE64 "=", WB_BAD_SIGNATURE},
	{"base64", BODY_HEX, WB_BAD_SIGNATURE},
	/* 44 characters that are 33 bytes, 43 that are 32 and a bit, 31 bytes */
	{"base64", "3EaYNVf+oSe0OvchRn65s/3iM4/j4U9RlSqoR4wT01UA", WB_BAD_SIGNATURE},
	{"base64", TEN("AAAA") "AAAA", WB_BAD_SIGNATURE},
	{"base64", TEN("AAAA") "AA==", WB_BAD_SIGNATURE},
	{"base64", TEN("AAAA") "AAA=", WB_MISMATCH},
	{"base64", TEN("AAAA") "A", WB_BAD_SIGNATURE},
	{"base64", TEN("AAAA") "A===", WB_BAD_SIGNATURE},
	{"base64", TEN("AAAA") "====", WB_BAD_SIGNATURE},
	{"base64", "====", WB_BAD_SIGNATURE},
	{"base64", "=", WB_BAD_SIGNATURE},
	{"base64", TEN("AAAA") TEN("AAAA") TEN("AAAA"), WB_BAD_SIGNATURE},
	{"hex", TEN(TEN("aa")) TEN(TEN("aa")), WB_BAD_SIGNATURE},
};

static void
test_encodings(void)
{
	for (int i = 0; i < LENGTH_OF(encoding_cases); i++)
	{
		Sample sample = plain;
		char out[100];

		unit_case("%s as %s", encoding_cases[i].signature, encoding_cases[i].encoding);
		sample.encoding = encoding_cases[i].encoding;
		sample.headers[0] = "X-Signature";
		sample.headers[1] = encoding_cases[i].signature;
		CHECK_INT(verify(&sample), encoding_cases[i].verdict);
		if (encoding_cases[i].verdict == WB_VERIFIED)
		{
			CHECK(sign(&sample, "", out, sizeof(out), NULL));
			CHECK((strchr(out, '=') != NULL) == (strcmp(sample.encoding, "base64") == 0));
			sample.headers[1] = out;
			CHECK_INT(verify(&sample), WB_VERIFIED);
		}
	}
}

/* Different values of a header that should occur once, or none. */
static void
test_repeated_headers(void)
{
	Sample sample = github;

	sample.headers[2] = "X-Hub-Signature-256";
	sample.headers[3] = github.headers[1];
	CHECK_INT(verify(&sample), WB_VERIFIED);
	sample.headers[3] = "sha256=" WRONG_HEX;
	CHECK_INT(verify(&sample), WB_SEVERAL_SIGNATURES);
	sample.headers[0] = NULL;
	CHECK_INT(verify(&sample), WB_NO_SIGNATURE);

	sample = standard_webhooks;
	sample.headers[0] = "webhook-timestamp";
	CHECK_INT(verify_at(&sample, INT64_C(1614265335000)), WB_UNRESOLVED);
	sample.headers[0] = "Other";
	CHECK_INT(verify_at(&sample, INT64_C(1614265335000)), WB_UNRESOLVED);
	sample = standard_webhooks;
	sample.headers[3] = "";
	CHECK_INT(verify_at(&sample, INT64_C(1614265335000)), WB_UNRESOLVED);
}

static void
test_tokens(void)
{
	static const char *const wrong[] = {"correct hors", "correct horse1", "Correct horse", "c", "correct", "horse"};
	Sample sample = token;

	for (int i = 0; i < LENGTH_OF(wrong); i++)
	{
		sample.headers[1] = wrong[i];
		CHECK_INT(verify(&sample), WB_MISMATCH);
	}
	sample.headers[1] = "";
	CHECK_INT(verify(&sample), WB_NO_SIGNATURE);
	sample.headers[1] = "Bearer correct horse";
	sample.element_prefix = "Bearer ";
	CHECK_INT(verify(&sample), WB_VERIFIED);
	/* the columns of a digest play no part, but have to be words */
	sample.encoding = "base64";
	sample.signed_content = "{{{";
	CHECK_INT(verify(&sample), WB_VERIFIED);
}

static void
test_none(void)
{
	Sample sample = plain;
	WbSchemeText text;
	WbScheme scheme;
	WbColumnError error;
	WbMessage message;

	sample.algorithm = "none";
	sample.signature_from = "";
	text = scheme_text(&sample);
	memset(&message, 0, sizeof(message));
	CHECK(wb_scheme_parse(&text, &scheme, &error));
	CHECK_INT(wb_signature_verify(&scheme, NULL, 0, &message, 0, NULL), WB_UNSIGNED);
	CHECK(!wb_signature_sign(&scheme, NULL, &message, wb_slice(NULL, 0), NULL, NULL));
}

static void
test_several_keys(void)
{
	static const char *const secrets[] = {"one", "two", "secret", "three"};
	WbSchemeText text = scheme_text(&plain);
	WbScheme scheme;
	WbColumnError error;
	WbHeader header = {wb_slice_cstring("X-Signature"), wb_slice_cstring(BODY_HEX)};
	WbMessage message = message_of(&plain, NULL);
	WbKey keys[4];
	WbKey *pointers[4];
	const char *problem;
	int matched;

	CHECK(wb_scheme_parse(&text, &scheme, &error));
	message.headers = &header;
	message.header_count = 1;
	for (int i = 0; i < 4; i++)
	{
		pointers[i] = &keys[i];
		CHECK(wb_key_init(&keys[i], &scheme, WB_KEY_VERIFY, wb_slice_cstring(secrets[i]), &problem));
	}
	CHECK_INT(wb_signature_verify(&scheme, pointers, 4, &message, 0, &matched), WB_VERIFIED);
	CHECK_INT(matched, 2);
	CHECK_INT(wb_signature_verify(&scheme, pointers, 2, &message, 0, &matched), WB_MISMATCH);
	CHECK_INT(matched, -1);
	CHECK_INT(wb_signature_verify(&scheme, pointers + 2, 1, &message, 0, &matched), WB_VERIFIED);
	CHECK_INT(matched, 0);
	CHECK_INT(wb_signature_verify(&scheme, pointers, 0, &message, 0, &matched), WB_NO_SECRET);
	for (int i = 0; i < 4; i++)
		wb_key_clear(&keys[i]);
}

/* Signature first, window second; the window is symmetric and closed. */
static void
test_window(void)
{
	Sample sample = stripe;

	CHECK_INT(verify_at(&sample, (NOW_S + 300) * 1000), WB_VERIFIED);
	CHECK_INT(verify_at(&sample, (NOW_S + 300) * 1000 + 1), WB_STALE);
	CHECK_INT(verify_at(&sample, (NOW_S - 300) * 1000), WB_VERIFIED);
	CHECK_INT(verify_at(&sample, (NOW_S - 300) * 1000 - 1), WB_STALE);
	CHECK_INT(verify_at(&sample, INT64_MAX), WB_STALE);
	CHECK_INT(verify_at(&sample, INT64_MIN), WB_STALE);
	sample.body = "other";
	CHECK_INT(verify_at(&sample, INT64_MAX), WB_MISMATCH);
	sample.body = stripe.body;
	sample.tolerance_s = 0;
	CHECK_INT(verify(&sample), WB_VERIFIED);
	CHECK_INT(verify_at(&sample, NOW_S * 1000 + 1), WB_STALE);
	sample.tolerance_s = INT64_MAX;
	CHECK_INT(verify_at(&sample, INT64_MAX), WB_VERIFIED);
	sample.tolerance_s = -1;
	CHECK_INT(verify_at(&sample, INT64_MAX), WB_VERIFIED);
	sample.headers[1] = "v1=d95c6b7477fbd7e9f90b1b0ef5f9c7ac25abca5382460e0d988c2b2a5b71b990";
	CHECK_INT(verify(&sample), WB_UNRESOLVED);
	sample.headers[1] = "t=,v1=d95c6b7477fbd7e9f90b1b0ef5f9c7ac25abca5382460e0d988c2b2a5b71b990";
	CHECK_INT(verify(&sample), WB_UNRESOLVED);
}

/* What was signed may not be a time at all. */
static void
test_bad_timestamp(void)
{
	Sample sample = stripe;
	char signature[400];
	char long_ts[200];

	CHECK(sign(&sample, "yesterday", signature, sizeof(signature), NULL));
	sample.headers[1] = signature;
	CHECK_INT(verify(&sample), WB_BAD_TIMESTAMP);
	sample.tolerance_s = -1;
	CHECK_INT(verify(&sample), WB_VERIFIED);
	memset(long_ts, '1', sizeof(long_ts));
	long_ts[128] = '\0';
	CHECK(sign(&sample, long_ts, signature, sizeof(signature), NULL));
	CHECK_INT(verify(&sample), WB_VERIFIED);
	long_ts[128] = '1';
	long_ts[129] = '\0';
	CHECK(sign(&sample, long_ts, signature, sizeof(signature), NULL));
	CHECK_INT(verify(&sample), WB_UNRESOLVED);
	/* signed with the body, but missing there */
	sample.signed_content = "{body}";
	sample.timestamp_from = "json:t";
	CHECK_INT(verify(&sample), WB_UNRESOLVED);
}

static void
test_sign(void)
{
	Sample sample = stripe;
	char out[200];
	int failed_part = 7;

	CHECK(sign(&github, "", out, sizeof(out), &failed_part));
	CHECK_STR(out, github.headers[1]);
	CHECK(sign(&standard_webhooks, "1614265330", out, sizeof(out), &failed_part));
	CHECK_STR(out, standard_webhooks.headers[5]);
	CHECK(sign(&stripe, NOW, out, sizeof(out), &failed_part));
	CHECK_STR(out, stripe.headers[1]);
	CHECK_INT(failed_part, -1);
	CHECK(sign(&token, "", out, sizeof(out), &failed_part));
	CHECK_STR(out, "correct horse");

	/* {sig:t} says the same as {ts} */
	sample.signed_content = "{sig:t}.{body}";
	CHECK_INT(verify(&sample), WB_VERIFIED);
	CHECK(sign(&sample, NOW, out, sizeof(out), &failed_part));
	CHECK_STR(out, stripe.headers[1]);

	/* no timestamp, no header, no room */
	CHECK(!sign(&stripe, "", out, sizeof(out), &failed_part));
	sample = standard_webhooks;
	sample.headers[0] = "Other";
	CHECK(!sign(&sample, NOW, out, sizeof(out), &failed_part));
	CHECK_INT(failed_part, 0);
	for (size_t size = 1; size <= strlen(stripe.headers[1]); size++)
		CHECK(!sign(&stripe, NOW, out, size, NULL));
	CHECK(sign(&stripe, NOW, out, strlen(stripe.headers[1]) + 1, NULL));
	CHECK(!sign(&token, "", out, strlen(token.secret), NULL));
}

/* Mailgun: signature and timestamp are members of the body. */
static void
test_signature_in_body(void)
{
	Sample sample = {
		"hmac-sha256", "hex", "json:signature.signature", "", "", "{ts}{json:signature.token}", "raw", "json:signature.timestamp", "s", 300, "mg-signing-key", "{\"signature\":{\"timestamp\":\"1529006854\",\"token\":\"a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0\","
																																							   "\"signature\":\"13419fb6afd047225d098b7f6b002a4f061022ad3bc2e9b153326308345dcfa0\"}}",
		{NULL}};
	char out[100];

	CHECK_INT(verify_at(&sample, INT64_C(1529006860000)), WB_VERIFIED);
	CHECK_INT(verify_at(&sample, INT64_C(1529007860000)), WB_STALE);
	CHECK(sign(&sample, "", out, sizeof(out), NULL));
	CHECK_STR(out, "13419fb6afd047225d098b7f6b002a4f061022ad3bc2e9b153326308345dcfa0");
	sample.body = "{\"signature\":{\"timestamp\":\"1529006854\",\"signature\":{}}}";
	CHECK_INT(verify(&sample), WB_BAD_SIGNATURE);
	sample.body = "{\"signature\":{\"timestamp\":\"1529006854\",\"signature\":null}}";
	CHECK_INT(verify(&sample), WB_NO_SIGNATURE);
	sample.body = "{}";
	CHECK_INT(verify(&sample), WB_NO_SIGNATURE);
	sample.body = "";
	CHECK_INT(verify(&sample), WB_NO_SIGNATURE);
}

/* API2Cart: the signature's own header is not among those that are signed. */
static void
test_signed_headers(void)
{
	Sample sample = {
		"hmac-sha256", "base64", "header:X-Webhook-Signature", "", "", "{headers_json:X-Webhook-}{body}", "raw", "", "", -1, "ed58a22dfecb405a50ea3ea56979360d", "{}", {"X-Webhook-Action", "update", "x-webhook-signature", "oEtjDlz6iGVYI4Z4kaC543YACsV7Viv0Q2UfhXYK8h4=", "x-webhook-entity", "a/b"}};
	char out[100];

	CHECK_INT(verify(&sample), WB_VERIFIED);
	CHECK(sign(&sample, "", out, sizeof(out), NULL));
	CHECK_STR(out, sample.headers[3]);
	sample.headers[5] = "a/c";
	CHECK_INT(verify(&sample), WB_MISMATCH);
	/* a signature from elsewhere leaves all headers in */
	sample.signature_from = "json:s";
	sample.body = "{\"s\":\"oEtjDlz6iGVYI4Z4kaC543YACsV7Viv0Q2UfhXYK8h4=\"}";
	CHECK(sign(&sample, "", out, sizeof(out), NULL));
	CHECK_STR(out, "IPrBTFPve+/ew3vjAcDjGf8E8gDHN4ri8RVfkSeos/k=");
}

/* HubSpot v1: a plain digest of secret and body. */
static void
test_plain_digest(void)
{
	Sample sample = {
		"sha256", "hex", "header:X-HubSpot-Signature", "", "", "{secret}{body}", "raw", "", "", -1, "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "[{\"eventId\":1,\"subscriptionId\":12345,\"portalId\":62515,\"occurredAt\":1564113600000,"
																																			"\"subscriptionType\":\"contact.creation\",\"attemptNumber\":0,\"objectId\":123,"
																																			"\"changeSource\":\"CRM\",\"changeFlag\":\"NEW\",\"appId\":54321}]",
		{"X-HubSpot-Signature", "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"}};

	CHECK_INT(verify(&sample), WB_VERIFIED);
	sample.secret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyx";
	CHECK_INT(verify(&sample), WB_MISMATCH);
}

#define TWILIO_DIGEST "d5729c000e5de6b3a10698fec78d482db85d744f1be820d1382b6bda1cfb7795"

typedef struct DigestCase
{
	const char *query;
	WbVerdict verdict; /* of the body whose digest TWILIO_DIGEST is */
} DigestCase;

static const DigestCase digest_cases[] = {
	{"bodySHA256=" TWILIO_DIGEST, WB_VERIFIED},
	{"a=1&bodySHA256=" TWILIO_DIGEST "&b=2", WB_VERIFIED},
	{"bodySHA256=D5729C000E5DE6B3A10698FEC78D482DB85D744F1BE820D1382B6BDA1CFB7795", WB_VERIFIED},
	{"bodySHA256=" TWILIO_DIGEST "&bodySHA256=" TWILIO_DIGEST, WB_VERIFIED},
	{"bodySHA256=" TWILIO_DIGEST "&bodySHA256=" WRONG_HEX, WB_BODY_CHANGED},
	{"bodySHA256=" WRONG_HEX, WB_BODY_CHANGED},
	{"bodySHA256=" TWILIO_DIGEST "00", WB_BODY_CHANGED},
	{"bodySHA256=d5729c000e5de6b3a10698fec78d482db85d744f1be820d1382b6bda1cfb77", WB_BODY_CHANGED},
	{"bodySHA256=" TWILIO_DIGEST TWILIO_DIGEST TWILIO_DIGEST, WB_BODY_CHANGED},
	{"bodySHA256=x5729c000e5de6b3a10698fec78d482db85d744f1be820d1382b6bda1cfb7795", WB_BODY_CHANGED},
	{"bodysha256=" TWILIO_DIGEST, WB_BODY_CHANGED},
	{"bodySHA256=", WB_BODY_CHANGED},
	{"", WB_BODY_CHANGED},
};

/* Twilio: of a JSON body only the digest is signed, as part of the URL. */
static void
test_body_digest(void)
{
	static const char body[] = "{\"property\":\"value\",\"boolean\":true} ";
	WbSchemeText text = {
		.algorithm = wb_slice_cstring("hmac-sha1"),
		.encoding = wb_slice_cstring("base64"),
		.signature_from = wb_slice_cstring("header:X-Twilio-Signature"),
		.signed_content = wb_slice_cstring("{url}"),
		.secret_encoding = wb_slice_cstring("raw"),
		.body_digest_from = wb_slice_cstring("query:bodySHA256"),
		.tolerance_s = -1};
	WbHeader header = {wb_slice_cstring("X-Twilio-Signature"), wb_slice_cstring("Q3Mhbno0ELegm8NX0d4qBQKcMZI=")};
	WbMessage message = {.url = wb_slice_cstring("https://example.com/hook"), .headers = &header, .header_count = 1};
	WbScheme scheme;
	WbColumnError error;
	WbKey key;
	WbKey *keys[] = {&key};
	const char *problem;
	int matched;

	CHECK(wb_scheme_parse(&text, &scheme, &error));
	CHECK(wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_slice_cstring("12345"), &problem));
	message.body = wb_slice(body, strlen(body) - 1);
	message.query = wb_slice_cstring(digest_cases[0].query);
	CHECK_INT(wb_signature_verify(&scheme, keys, 1, &message, 0, &matched), WB_VERIFIED);
	message.query = wb_slice_cstring(digest_cases[1].query);
	CHECK_INT(wb_signature_verify(&scheme, keys, 1, &message, 0, &matched), WB_MISMATCH);
	CHECK_INT(matched, -1);

	for (int i = 0; i < LENGTH_OF(digest_cases); i++)
	{
		char out[100];
		WbTextBuffer signature = {out, 0, sizeof(out)};

		unit_case("%s", digest_cases[i].query);
		message.query = wb_slice_cstring(digest_cases[i].query);
		message.body = wb_slice(body, strlen(body) - 1);
		CHECK(wb_signature_sign(&scheme, &key, &message, wb_slice(NULL, 0), &signature, NULL));
		header.value = wb_slice(out, signature.len);
		CHECK_INT(wb_signature_verify(&scheme, keys, 1, &message, 0, &matched), digest_cases[i].verdict);
		CHECK_INT(matched, 0);
		message.body = wb_slice(body, strlen(body));
		CHECK_INT(wb_signature_verify(&scheme, keys, 1, &message, 0, &matched), WB_BODY_CHANGED);
	}
	wb_key_clear(&key);
}

static void
test_verdict_texts(void)
{
	CHECK_STR(wb_verdict_text(WB_MISMATCH), "signature does not match");
	CHECK_STR(wb_verdict_text(WB_BODY_CHANGED), "body does not match its digest");
	CHECK_STR(wb_verdict_text(WB_BAD_TIMESTAMP), "timestamp malformed");
	CHECK_STR(wb_verdict_text(WB_STALE), "timestamp outside the window");
	CHECK_STR(wb_verdict_text((WbVerdict) (WB_STALE + 1)), "unknown verdict");
}

int
main(void)
{
	RUN(test_hmac_vectors);
	RUN(test_vendor_vectors);
	RUN(test_changes);
	RUN(test_lists);
	RUN(test_long_signature);
	RUN(test_encodings);
	RUN(test_repeated_headers);
	RUN(test_tokens);
	RUN(test_none);
	RUN(test_several_keys);
	RUN(test_window);
	RUN(test_bad_timestamp);
	RUN(test_sign);
	RUN(test_signature_in_body);
	RUN(test_signed_headers);
	RUN(test_plain_digest);
	RUN(test_body_digest);
	RUN(test_verdict_texts);
	return unit_finish();
}
