/*-------------------------------------------------------------------------
 *
 * fuzz_template.c
 *	  Fuzz target of template.c.
 *
 * Input, each on a line: a template, a query, the text of a signature, header
 * lines "name:value" up to an empty line; then the body.
 *
 *-------------------------------------------------------------------------
 */
#include "json_scan.h"
#include "template.h"

#include <stdlib.h>

#define MAX_HEADERS 80
#define OUTPUT_BYTES (1 << 20)

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition) \
	do                     \
	{                      \
		if (!(condition))  \
			abort();       \
	} while (0)

static char output[2][OUTPUT_BYTES];

static WbSlice
next_line(WbSlice *rest)
{
	WbSlice line = {rest->data, 0};

	wb_slice_next(rest, '\n', &line);
	return line;
}

/* A part of literal text or argument must lie within the template. */
static void
check_parts(WbSlice text, const WbTemplate *template)
{
	REQUIRE(template->part_count >= 0 && template->part_count <= WB_TEMPLATE_MAX_PARTS);
	for (int i = 0; i < template->part_count; i++)
	{
		WbSlice argument = template->parts[i].argument;

		if (argument.len > 0)
			REQUIRE(argument.data >= text.data && argument.data + argument.len <= text.data + text.len);
	}
}

/* Evaluates one part; what it says must agree with what can be known of it. */
static void
check_part(const WbTemplatePart *part, const WbMessage *message)
{
	WbTextBuffer out = {output[1], 0, OUTPUT_BYTES};
	bool resolved = wb_part_eval(part, message, wb_text_sink, &out);

	switch (part->kind)
	{
		case WB_PART_HEADERS_JSON:
			/* PHP's JSON is ASCII, and JSON. */
			for (size_t i = 0; resolved && i < out.len; i++)
				REQUIRE((unsigned char) out.data[i] < 0x80);
			/* PHP passes NUL on, jsonb does not. */
			if (resolved && out.len > 2 && memmem(out.data, out.len, "\\u0000", 6) == NULL)
				REQUIRE(wb_json_classify(wb_slice(out.data, out.len)) != WB_JSON_NOT_STORABLE);
			break;
		case WB_PART_JSON:
			REQUIRE(!resolved || wb_utf8_valid(out.data, out.len));
			break;
		case WB_PART_HEADER:
			if (!part->optional)
				REQUIRE(resolved == (wb_locator_count(part, message) == 1));
			break;
		case WB_PART_SIG:
			if (!part->optional)
				REQUIRE(resolved == (wb_locator_count(part, message) > 0));
			break;
		case WB_PART_QUERY:
			REQUIRE(!resolved || part->optional || wb_locator_count(part, message) == 1);
			break;
		case WB_PART_BODY_CRC32:
			REQUIRE(resolved && out.len >= 1 && out.len <= 10);
			break;
		default:
			break;
	}
}

static void
check_template(WbSlice text, const WbTemplate *template, const WbMessage *message)
{
	WbTextBuffer out = {output[0], 0, OUTPUT_BYTES};
	WbTextBuffer again = {output[1], 0, OUTPUT_BYTES};
	int failed_part = -1;
	bool resolved;

	check_parts(text, template);
	resolved = wb_template_eval(template, message, wb_text_sink, &out, &failed_part);
	REQUIRE(resolved == (failed_part == -1));
	if (resolved)
	{
		/* It fits exactly once, and not with a byte less. */
		again.capacity = out.len;
		REQUIRE(wb_template_eval(template, message, wb_text_sink, &again, NULL));
		REQUIRE(again.len == out.len && memcmp(output[0], output[1], out.len) == 0);
		again.len = 0;
		again.capacity = out.len - 1;
		REQUIRE(out.len == 0 || !wb_template_eval(template, message, wb_text_sink, &again, NULL));
	}
	for (int i = 0; i < template->part_count; i++)
		check_part(&template->parts[i], message);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	WbSlice rest = wb_slice((const char *) data, size);
	WbSlice text = next_line(&rest);
	WbHeader headers[MAX_HEADERS];
	WbParam param = {wb_slice_cstring("p"), wb_slice_cstring("value")};
	WbMessage message;
	WbTemplate template;
	WbTemplatePart locator;
	WbTemplateError error = {NULL, 0};
	WbSlice line;

	memset(&message, 0, sizeof(message));
	message.method = wb_slice_cstring("POST");
	message.url = wb_slice_cstring("https://example.com/");
	message.query = next_line(&rest);
	message.signature = next_line(&rest);
	message.list_separator = ',';
	message.signature_header = wb_slice_cstring("X-Signature");
	message.params = &param;
	message.param_count = 1;
	message.headers = headers;
	while ((line = next_line(&rest)).len > 0 && message.header_count < MAX_HEADERS)
	{
		WbHeader *header = &headers[message.header_count++];

		header->value = line;
		wb_slice_next(&header->value, ':', &header->name);
	}
	message.body = rest;

	if (wb_template_parse(text, &template, &error))
		check_template(text, &template, &message);
	else
		REQUIRE(error.problem != NULL && error.at <= text.len);
	if (wb_locator_parse(text, &locator, &error))
	{
		REQUIRE(wb_locator_count(&locator, &message) <= 2);
		check_part(&locator, &message);
	}
	return 0;
}
