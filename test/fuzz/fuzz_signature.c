/*-------------------------------------------------------------------------
 *
 * fuzz_signature.c
 *	  Fuzz target of signature.c, scheme.c and timestamp.c.
 *
 * Input, each on a line: the nine columns of a scheme, tolerance, secret,
 * timestamp, signature; then the body.  What is signed must verify, and what
 * nobody signed must not.
 *
 *-------------------------------------------------------------------------
 */
#include "signature.h"

#include <stdlib.h>

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition) \
	do                     \
	{                      \
		if (!(condition))  \
			abort();       \
	} while (0)

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
	tolerance = next_line(&rest);
	input.columns.tolerance_s = tolerance.len > 0 ? tolerance.data[0] - '0' : -1;
	input.secret = next_line(&rest);
	input.ts = next_line(&rest);
	input.signature = next_line(&rest);
	input.body = rest;
	return input;
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
	WbVerdict verdict;
	int matched;

	if (!round_trips(input, scheme) || input->ts.len > 128)
		return;
	headers[0].name = wb_slice_cstring("Other");
	if (!wb_signature_sign(scheme, key, message, input->ts, &signature, NULL))
		return;
	headers[0].name = scheme->signature_from.argument;
	headers[0].value = wb_slice(text, signature.len);
	verdict = wb_signature_verify(scheme, keys, 1, message, 0, &matched);
	REQUIRE(verdict == WB_VERIFIED || verdict == WB_STALE || verdict == WB_BAD_TIMESTAMP);
	REQUIRE(matched == 0);
	REQUIRE(verdict == WB_VERIFIED || scheme->tolerance_s >= 0);

	/* One bit of the last byte, which is one of the digest or its padding. */
	if (scheme->has_content && (scheme->encoding == WB_ENC_HEX || scheme->encoding == WB_ENC_AUTO))
	{
		text[signature.len - 1] ^= 1;
		verdict = wb_signature_verify(scheme, keys, 1, message, 0, &matched);
		REQUIRE(verdict == WB_MISMATCH || verdict == WB_BAD_SIGNATURE);
		REQUIRE(matched == -1);
	}
}

static void
check_scheme(const Input *input, const WbScheme *scheme)
{
	WbHeader headers[2];
	WbMessage message;
	WbKey key;
	WbKey *keys[] = {&key};
	const char *problem;
	WbVerdict verdict;

	if (!wb_key_init(&key, scheme, input->secret, &problem))
	{
		REQUIRE(problem != NULL);
		return;
	}
	REQUIRE(key.len > 0 && key.len <= WB_MAX_TOKEN);
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
	check_round_trip(input, scheme, &key, &message, headers);
	wb_key_clear(&key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = read_input(wb_slice((const char *) data, size));
	WbScheme scheme;
	WbSchemeError error = {NULL, NULL};
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
