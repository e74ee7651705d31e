/*-------------------------------------------------------------------------
 *
 * fuzz_json_scan.c
 *	  Fuzz target of json_scan.c.
 *
 * Input: a path, a newline, a text.  What is found must be found again when
 * the text is wrapped, and what is emitted must be UTF-8.  What is JSON here
 * must be JSON to PostgreSQL's own parser, and the other way round, except
 * where numbers and nesting go beyond what is followed.
 *
 *-------------------------------------------------------------------------
 */
#include "backend.h"

#include "json_scan.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes within which no text is nested too deeply and no number has too many digits. */
#define HARMLESS_BYTES 500

/* Whether a number could have an exponent that is too large. */
static bool
has_long_number(WbSlice text)
{
	int digits = 0;

	for (size_t i = 0; i < text.len; i++)
	{
		digits = text.data[i] >= '0' && text.data[i] <= '9' ? digits + 1 : 0;
		if (digits > 3)
			return true;
	}
	return false;
}

static void
check_judgement(WbSlice text, WbJsonKind kind)
{
	bool is_json = backend_json_members(text) >= 0;

	if (kind != WB_JSON_NOT_STORABLE)
		REQUIRE(is_json);
	else if (text.len < HARMLESS_BYTES && !has_long_number(text))
		REQUIRE(!is_json);
}

/* Emits a value into a buffer that is large enough for what it may become. */
static void
check_emit(const WbJsonValue *value)
{
	WbTextBuffer out = {malloc(value->text.len + 1), 0, value->text.len};

	/* No escape is shorter than what it stands for. */
	if (wb_json_emit(value, wb_text_sink, &out))
	{
		REQUIRE(value->type != WB_JSON_OBJECT && value->type != WB_JSON_ARRAY && value->type != WB_JSON_NULL);
		REQUIRE(wb_utf8_valid(out.data, out.len));
		REQUIRE(value->has_escapes || out.len == value->text.len);
	}
	free(out.data);
}

/* Puts a text into an array; its values must be where they were. */
static void
check_wrapped(WbSlice text, WbSlice path, const WbJsonValue *found)
{
	char *wrapped = malloc(text.len + 4);
	char *wrapped_path = malloc(path.len + 2);
	WbJsonValue value;

	memcpy(wrapped, "[0,", 3);
	memcpy(wrapped + 3, text.data, text.len);
	wrapped[text.len + 3] = ']';
	memcpy(wrapped_path, "1.", 2);
	memcpy(wrapped_path + 2, path.data, path.len);
	/* Only one level more than may be followed is an excuse. */
	if (wb_json_find(wb_slice(wrapped, text.len + 4), wb_slice(wrapped_path, path.len + 2), &value))
	{
		REQUIRE(value.type == found->type && value.has_escapes == found->has_escapes);
		REQUIRE(value.text.len == found->text.len);
		REQUIRE(value.text.data - wrapped == found->text.data - text.data + 3);
	}
	else
		REQUIRE(text.len > 2 * (WB_JSON_MAX_DEPTH - 1));
	free(wrapped);
	free(wrapped_path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	WbSlice text = wb_slice((const char *) data, size);
	WbSlice path;
	WbJsonValue value;
	WbJsonKind kind;

	if (!wb_slice_next(&text, '\n', &path) || text.len == 0)
		return 0;
	kind = wb_json_classify(text);
	check_judgement(text, kind);
	backend_reset_turn();
	if (kind != WB_JSON_NOT_STORABLE)
		REQUIRE(wb_utf8_valid(text.data, text.len));
	for (size_t i = 0; kind == WB_JSON_ASCII && i < text.len; i++)
		REQUIRE((unsigned char) text.data[i] < 0x80);
	if (wb_json_find(text, path, &value))
	{
		REQUIRE(value.text.data >= text.data);
		REQUIRE(value.text.data + value.text.len <= text.data + text.len);
		REQUIRE(wb_utf8_valid(text.data, text.len));
		check_emit(&value);
		check_wrapped(text, path, &value);
		/* A value by itself is JSON, and storable if the whole is. */
		if (kind != WB_JSON_NOT_STORABLE && value.type != WB_JSON_STRING)
			REQUIRE(wb_json_classify(value.text) != WB_JSON_NOT_STORABLE);
	}
	return 0;
}
