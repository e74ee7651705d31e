/*-------------------------------------------------------------------------
 *
 * fuzz_signature.c
 *	  Fuzz target of signature.c, public_key.c, scheme.c and timestamp.c.
 *
 * Input, each on a line: the ten columns of a scheme, tolerance, secret,
 * timestamp, signature; then the body.  What is signed must verify, and what
 * nobody signed must not.
 *
 * An empty secret stands for the fixed key pair of an asymmetric algorithm,
 * because a fuzzer makes none.  Tabulators in a secret stand for line feeds.
 *
 *-------------------------------------------------------------------------
 */
#include "signature.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition) \
	do                     \
	{                      \
		if (!(condition))  \
			abort();       \
	} while (0)

/* Base64 of PKCS#8 and SubjectPublicKeyInfo. */
static const char p256_private[] =
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgMo2Fm2LHyU2kFSdW5wdyLYLVw/ut0FJQCyvrUb2D+XShRANC"
	"AATnOBqa0g9EHfrxAlkqCDGxIFudEqKudB57NQKifBpJqmozV//1WQzIdGy3g/O3gRNPORRSxYBItK70YAOXWM6M";

static const char p256_public[] =
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE5zgamtIPRB368QJZKggxsSBbnRKirnQeezUConwaSapqM1f/9VkMyHRst4Pz"
	"t4ETTzkUUsWASLSu9GADl1jOjA==";

static const char rsa_private[] =
	"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDSyvi2j0V/KOFOCibyq43VYlXcFv/Xm0lw4ByhDMbiWjYw"
	"65nkoYSNZ/EWIXbVzcgoPfBU60DS2nPBGXFbXZk8CQrOuWst8VvWlC5iAJF/zQAliN+CwpDFaTFSEffmiTMXnWUnV5lcOkWf"
	"tFHSljiloiX4a1SbtpQ1+/Ke2XVIjiEPVAWmivFqj3GTT+8c0vhFTNgOWlP3FKnU1bfZ11XUblUBUk5cU0IP7bmhS0mj7qyU"
	"TnhwNIflJS2LhJ+WbIcB3zcCgM3oY5Xs/dqZ4vqjcJ5Zihx+JBcCkGnoeueCT7SWgmH+geIV3Me9rNPPaTkYpKWks/Lo0oDQ"
	"zDLQ0MRnAgMBAAECggEABrL1p0FYPdur86rl7dWxMb+oy+KdPCxqJpeMLxb0ykjtzz/Fku1Tcr9M1sskd51xrF5NRctVDiL+"
	"czKnuvXS51/AMT/VuTxrN0QSdiZxwnaDLuUNMENNadL78H8hjItHRFSlbordpzZXvRvPvHWAcBX+NIBDA1C1VvmVV5AJyzyp"
	"vzV7zK14GL2G4qgf80YkHijrCrq9u5BYOBGMRX8NoRC2/z4qrgZ/lUZnVn/ShcsCPJ3dvdgUTEVxJv6tEXxnIReV8U11K/Fd"
	"VVlikR3sAfEyiWWjQX68rIwoK3+Ntb/d2kiWS5ZQmnOSdY12BC7tzVcYntn+yGx0upPkPOGtqQKBgQD2ShcTQ4/L8tRsUZJg"
	"U9QQXApnWZRfjVOYn2hBrtL4Y4M96xhre54FGYWdU7ncb4/TwOzOOtbUqdwd9hXRpIVlziWI8dW/veZKfuU/tDFqGPMov76d"
	"yPpbVOH2KOcl3oT7qUiVvqV7CaZvRQ0WQVWqeTuxKq5AtgAMuozD+3lqvwKBgQDbGplC/09eeSe61BD5yLHcqa7gdY2B7TwI"
	"VaaFdxYRBxnpgBYO21SiHvFqg3RGrwh62AWe+KScolOfh9QGFlCVRFp/ZgRGeNdxdnQh48xzFcb2qiWq3ppYCmVK56L9T8Wb"
	"5GIsc2i8dyIaNaWGwyMo9W0NEMcMBbOTMDhcoFdYWQKBgFOByZMpjD8dpbLYcaYhpjypyIlEUU+YrqiIHCRxL20y6JP8+3mu"
	"H2UhQzGV6uX4Ga81sdU3FBJlSZILF1jOzMA5BncJcG0j6UqG/hn8cejEbuX5JZuAQornG/qH4d/wM+zUeBz12EwAeKMvqYFL"
	"Q82ab4fhrdWZICkws3vb704nAoGBAKKdGyKeWknDobkHq5G3YkpjpWbx2BSV/fgxmWV0/OumWZTze2uLXUT1sjdbWPEc9y41"
	"JfbWk1WtJGNCbBoYdbZTBNeI36NuDHgpcge1CghgIUrw/QPUMrkk/giZ4l4e1orc9gAHp7Q4txa8uh1Kts2vWUBZM2G42Y5k"
	"O3CDkFABAoGACAK4WmpDk41NyBC9DKGUnnbZexiDb0iH+Isr3uplzyd1z3+IL86cieyEGXhQ1kca7xL3pVhnYdUdhM+0hAVe"
	"k8mrBUIckWvY9ggBNirFZxX9Lug7uY9EakEbGFKFzaqSqL2bGjGr+PAaX/cp759rQtnwNGnmG/Y8DDy2svLi5Bc=";

static const char rsa_public[] =
	"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0sr4to9FfyjhTgom8quN1WJV3Bb/15tJcOAcoQzG4lo2MOuZ5KGE"
	"jWfxFiF21c3IKD3wVOtA0tpzwRlxW12ZPAkKzrlrLfFb1pQuYgCRf80AJYjfgsKQxWkxUhH35okzF51lJ1eZXDpFn7RR0pY4"
	"paIl+GtUm7aUNfvyntl1SI4hD1QFporxao9xk0/vHNL4RUzYDlpT9xSp1NW32ddV1G5VAVJOXFNCD+25oUtJo+6slE54cDSH"
	"5SUti4SflmyHAd83AoDN6GOV7P3ameL6o3CeWYocfiQXApBp6Hrngk+0loJh/oHiFdzHvazTz2k5GKSlpLPy6NKA0Mwy0NDE"
	"ZwIDAQAB";

/* RFC 8032, section 7.1, test 2: the same bytes in each encoding. */
static const char ed25519_private_hex[] = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
static const char ed25519_public_hex[] = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
static const char ed25519_private_base64[] = "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=";
static const char ed25519_public_base64[] = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
static const char ed25519_private[] = "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7";
static const char ed25519_public[] = "MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";

typedef struct Input
{
	WbSchemeText columns;
	WbSlice secret;
	WbSlice ts;
	WbSlice signature;
	WbSlice body;
} Input;

static WbSlice
next_line(WbSlice *rest)
{
	WbSlice line = {rest->data, 0};

	wb_slice_next(rest, '\n', &line);
	return line;
}

static Input
read_input(WbSlice rest)
{
	Input input;
	WbSlice tolerance;

	input.columns.algorithm = next_line(&rest);
	input.columns.encoding = next_line(&rest);
	input.columns.signature_from = next_line(&rest);
	input.columns.list_separator = next_line(&rest);
	input.columns.element_prefix = next_line(&rest);
	input.columns.signed_content = next_line(&rest);
	input.columns.secret_encoding = next_line(&rest);
	input.columns.timestamp_from = next_line(&rest);
	input.columns.timestamp_format = next_line(&rest);
	input.columns.body_digest_from = next_line(&rest);
	tolerance = next_line(&rest);
	input.columns.tolerance_s = tolerance.len > 0 ? tolerance.data[0] - '0' : -1;
	input.secret = next_line(&rest);
	input.ts = next_line(&rest);
	input.signature = next_line(&rest);
	input.body = rest;
	return input;
}

/* Writes base64 of DER as PEM. */
static WbSlice
write_pem(const char *base64, bool is_private, char *out, size_t size)
{
	const char *label = is_private ? "PRIVATE KEY" : "PUBLIC KEY";
	int len = snprintf(out, size, "-----BEGIN %s-----\n", label);

	for (size_t at = 0; at < strlen(base64); at += 64)
		len += snprintf(out + len, size - (size_t) len, "%.64s\n", base64 + at);
	len += snprintf(out + len, size - (size_t) len, "-----END %s-----\n", label);
	return wb_slice(out, (size_t) len);
}

/* The fixed key for a scheme and use. */
static WbSlice
fixed_key(const WbScheme *scheme, bool is_private, char *out, size_t size)
{
	const char *text;

	if (scheme->secret_encoding == WB_SECRET_HEX)
		return wb_slice_cstring(is_private ? ed25519_private_hex : ed25519_public_hex);
	if (scheme->secret_encoding == WB_SECRET_BASE64)
		return wb_slice_cstring(is_private ? ed25519_private_base64 : ed25519_public_base64);
	if (scheme->algorithm == WB_ALG_ED25519)
		text = is_private ? ed25519_private : ed25519_public;
	else if (scheme->algorithm == WB_ALG_ECDSA_P256_SHA256)
		text = is_private ? p256_private : p256_public;
	else
		text = is_private ? rsa_private : rsa_public;
	return scheme->secret_encoding == WB_SECRET_PEM ? write_pem(text, is_private, out, size) : wb_slice_cstring(text);
}

/* Makes a key of the input's secret, or of the fixed one in place of none. */
static bool
make_key(WbKey *key, const Input *input, const WbScheme *scheme, WbKeyUse use)
{
	char text[WB_MAX_KEY_TEXT + 100];
	WbSlice secret = input->secret;
	const char *problem;
	bool is_fixed = scheme->is_asymmetric && secret.len == 0;
	bool done;

	if (is_fixed)
		secret = fixed_key(scheme, use == WB_KEY_SIGN, text, sizeof(text));
	else if (scheme->is_asymmetric && secret.len <= sizeof(text))
	{
		for (size_t i = 0; i < secret.len; i++)
			text[i] = secret.data[i] == '\t' ? '\n' : secret.data[i];
		secret.data = text;
	}
	done = wb_key_init(key, scheme, use, secret, &problem);
	REQUIRE(done == (problem == NULL));
	/* A prefix may be what the key itself begins with. */
	REQUIRE(done || !is_fixed || scheme->secret_prefixes.len > 0);
	REQUIRE(!done || (scheme->is_asymmetric ? key->len == 0 : key->len > 0 && key->len <= WB_MAX_TOKEN));
	REQUIRE(ERR_peek_error() == 0);
	return done;
}

static bool
contains(WbSlice text, char c)
{
	return text.len > 0 && c != 0 && memchr(text.data, c, text.len) != NULL;
}

static bool
reads_header(const WbScheme *scheme, WbSlice name)
{
	for (int i = 0; i < scheme->signed_content.part_count; i++)
	{
		const WbTemplatePart *part = &scheme->signed_content.parts[i];

		if (part->kind == WB_PART_HEADER && wb_slice_equal_nocase(part->argument, name))
			return true;
	}
	return false;
}

/*
 * True if what is signed can be sent back in a header as it is: the signed
 * text does not contain the signature, and no text that the sender chose
 * falls apart at the separator.
 */
static bool
round_trips(const Input *input, const WbScheme *scheme)
{
	WbSlice name = scheme->signature_from.argument;
	WbSlice key = scheme->timestamp_from.argument;

	if (scheme->signature_from.kind != WB_PART_HEADER || reads_header(scheme, name))
		return false;
	if (scheme->algorithm == WB_ALG_TOKEN)
		return !contains(input->secret, scheme->list_separator) &&
			   wb_slice_trim_spaces(input->secret).len == input->secret.len;
	if (!scheme->has_timestamp)
		return true;
	if (scheme->timestamp_from.kind == WB_PART_HEADER)
		return !wb_slice_equal_nocase(key, name);
	return scheme->timestamp_from.kind != WB_PART_SIG ||
		   (!contains(input->ts, scheme->list_separator) && !contains(key, scheme->list_separator) &&
			key.data[0] != ' ' && wb_slice_trim_spaces(input->ts).len == input->ts.len);
}

static void
check_round_trip(const Input *input, const WbScheme *scheme, WbKey *key, WbMessage *message, WbHeader *headers)
{
	char text[4096];
	WbTextBuffer signature = {text, 0, sizeof(text)};
	WbKey *keys[] = {key};
	WbKey signing_key;
	WbVerdict verdict;
	int matched;
	bool is_signed;

	if (!round_trips(input, scheme) || input->ts.len > WB_MAX_TIMESTAMP_TEXT ||
		(scheme->is_asymmetric && input->secret.len > 0) ||
		!make_key(&signing_key, input, scheme, WB_KEY_SIGN))
		return;
	headers[0].name = wb_slice_cstring("Other");
	is_signed = wb_signature_sign(scheme, &signing_key, message, input->ts, &signature, NULL);
	wb_key_clear(&signing_key);
	if (!is_signed)
		return;
	headers[0].name = scheme->signature_from.argument;
	headers[0].value = wb_slice(text, signature.len);
	verdict = wb_signature_verify(scheme, keys, 1, message, 0, &matched);
	REQUIRE(verdict == WB_VERIFIED || verdict == WB_STALE || verdict == WB_BAD_TIMESTAMP || verdict == WB_BODY_CHANGED);
	REQUIRE(matched == 0);
	REQUIRE(verdict == WB_VERIFIED || scheme->tolerance_s >= 0 || scheme->has_body_digest);

	/* One bit of the last byte, which is one of the digest or its padding. */
	if (scheme->has_content && (scheme->encoding == WB_ENC_HEX || scheme->encoding == WB_ENC_AUTO))
	{
		text[signature.len - 1] ^= 1;
		verdict = wb_signature_verify(scheme, keys, 1, message, 0, &matched);
		REQUIRE(verdict == WB_MISMATCH || verdict == WB_BAD_SIGNATURE);
		REQUIRE(matched == -1);
	}
}

/* What is told of a verification agrees with it. */
static void
check_explanation(const WbScheme *scheme, WbKey *key, WbMessage *message, WbVerdict verdict)
{
	char text[1000];
	WbTextBuffer content = {text, 0, sizeof(text)};
	WbSignatureDetails details;

	REQUIRE(wb_signature_explain(scheme, key, message, 0, wb_text_sink, &content, &details) == verdict);
	REQUIRE(details.signature_len <= sizeof(details.signature));
	REQUIRE(details.timestamp_len <= sizeof(details.timestamp));
	REQUIRE(details.expected_len <= sizeof(details.expected));
	REQUIRE(details.candidates <= details.elements);
	REQUIRE(details.failed_part >= -1 && details.failed_part < WB_TEMPLATE_MAX_PARTS);
	REQUIRE(verdict != WB_VERIFIED || (details.candidates > 0 && details.failed_part == -1));
	REQUIRE(wb_signature_explain(scheme, NULL, message, 0, wb_text_sink, &content, &details) ==
			(scheme->algorithm == WB_ALG_NONE ? WB_UNSIGNED : WB_NO_SECRET));
}

static void
check_scheme(const Input *input, const WbScheme *scheme)
{
	WbHeader headers[2];
	WbMessage message;
	WbKey key;
	WbKey *keys[] = {&key};
	WbVerdict verdict;

	if (!make_key(&key, input, scheme, WB_KEY_VERIFY))
		return;
	memset(&message, 0, sizeof(message));
	message.method = wb_slice_cstring("POST");
	message.url = wb_slice_cstring("https://example.com/");
	message.query = wb_slice_cstring("a=1&t=17");
	message.body = input->body;
	message.headers = headers;
	message.header_count = 2;
	headers[0].name = scheme->signature_from.argument;
	headers[0].value = input->signature;
	headers[1].name = wb_slice_cstring("Unrelated");
	headers[1].value = input->ts;
	if (scheme->timestamp_from.kind == WB_PART_HEADER)
		headers[1].name = scheme->timestamp_from.argument;

	/* Nobody guesses a digest; a token may well be in the corpus. */
	verdict = wb_signature_verify(scheme, keys, 1, &message, 0, NULL);
	REQUIRE(wb_verdict_text(verdict)[0] != 'u');
	REQUIRE((verdict == WB_UNSIGNED) == (scheme->algorithm == WB_ALG_NONE));
	check_explanation(scheme, &key, &message, verdict);
	check_round_trip(input, scheme, &key, &message, headers);
	REQUIRE(ERR_peek_error() == 0);
	wb_key_clear(&key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = read_input(wb_slice((const char *) data, size));
	WbScheme scheme;
	WbColumnError error = {NULL, NULL};
	int64_t unix_us;

	if (wb_scheme_parse(&input.columns, &scheme, &error))
		check_scheme(&input, &scheme);
	else
		REQUIRE(error.column != NULL && error.problem != NULL);
	for (int format = WB_TIME_SECONDS; format <= WB_TIME_ISO8601; format++)
		if (wb_time_parse(input.ts, (WbTimeFormat) format, &unix_us))
			REQUIRE(unix_us >= 0 && unix_us < INT64_C(253402300800000000));
	return 0;
}
