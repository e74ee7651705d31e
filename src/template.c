/*-------------------------------------------------------------------------
 *
 * template.c
 *	  The template language: parser and evaluator.
 *
 * A template is a flat list of parts, each literal text or a placeholder.
 * Evaluating one looks its parts up in a delivery and hands their text to a
 * sink piece by piece, so that signing a large body copies nothing.
 *
 * It does not know what the text is for, does not check that it is UTF-8 or
 * free of NUL (bytes of a delivery pass as they are), and keeps no state.
 * Templates point into the text they were parsed from; messages belong to the
 * caller.  All functions are re-entrant.
 *
 *-------------------------------------------------------------------------
 */
#include "template.h"

#include "digest.h"
#include "json_scan.h"
#include "urlencoded.h"
#include "utf8.h"

#define MAX_SIGNED_HEADERS 64

/* A field of a form or query that is longer cannot be looked up or sorted. */
#define MAX_FIELD_NAME 1024

#define MAX_HMAC_TEXT 1024 /* bytes of what {hmac:} digests */

typedef enum Argument
{
	ARGUMENT_NONE,
	ARGUMENT_NEEDED,
	ARGUMENT_LOOKUP, /* needed, and what it names may be missing */
	ARGUMENT_LOCATOR /* the same, and the placeholder may be a locator */
} Argument;

typedef struct Placeholder
{
	const char *name;
	WbPartKind kind;
	Argument argument;
} Placeholder;

static const Placeholder placeholders[] = {
	{"body", WB_PART_BODY, ARGUMENT_NONE},
	{"body_crc32", WB_PART_BODY_CRC32, ARGUMENT_NONE},
	{"form_sorted", WB_PART_FORM_SORTED, ARGUMENT_NONE},
	{"header", WB_PART_HEADER, ARGUMENT_LOCATOR},
	{"headers_json", WB_PART_HEADERS_JSON, ARGUMENT_NEEDED},
	{"hmac", WB_PART_HMAC, ARGUMENT_NEEDED},
	{"json", WB_PART_JSON, ARGUMENT_LOCATOR},
	{"method", WB_PART_METHOD, ARGUMENT_NONE},
	{"param", WB_PART_PARAM, ARGUMENT_LOOKUP},
	{"query", WB_PART_QUERY, ARGUMENT_LOCATOR},
	{"secret", WB_PART_SECRET, ARGUMENT_NONE},
	{"sig", WB_PART_SIG, ARGUMENT_LOCATOR},
	{"ts", WB_PART_TS, ARGUMENT_NONE},
	{"url", WB_PART_URL, ARGUMENT_NONE},
};

/* The headers that {headers_json:} speaks of, sorted by canonical name. */
typedef struct HeaderList
{
	int count;
	const WbHeader *headers[MAX_SIGNED_HEADERS];
} HeaderList;

static bool
fail_at(WbTemplateError *error, size_t at, const char *problem)
{
	error->problem = problem;
	error->at = at;
	return false;
}

/*
 * Parses the inside of a placeholder, "name" or "name:argument", with "?" at
 * the end if the part is optional.
 */
static bool
parse_placeholder(WbSlice inside, WbTemplatePart *part, WbTemplateError *error, size_t at,
				  const Placeholder **found)
{
	const Placeholder *placeholder = NULL;
	const char *colon;
	WbSlice name;

	part->optional = inside.len > 0 && inside.data[inside.len - 1] == '?';
	if (part->optional)
		inside.len--;
	colon = inside.len > 0 ? memchr(inside.data, ':', inside.len) : NULL;
	name = wb_slice(inside.data, colon ? (size_t) (colon - inside.data) : inside.len);

	for (size_t i = 0; i < sizeof(placeholders) / sizeof(placeholders[0]); i++)
	{
		if (wb_slice_equal(name, wb_slice_cstring(placeholders[i].name)))
			placeholder = &placeholders[i];
	}
	if (placeholder == NULL)
		return fail_at(error, at, "There is no placeholder of this name.");

	part->kind = placeholder->kind;
	part->argument = wb_slice(NULL, 0);
	if (colon != NULL)
		part->argument = wb_slice(colon + 1, inside.len - name.len - 1);
	if (placeholder->argument == ARGUMENT_NONE && colon != NULL)
		return fail_at(error, at + name.len, "This placeholder takes no argument.");
	if (placeholder->argument != ARGUMENT_NONE && part->argument.len == 0)
		return fail_at(error, at + name.len, "This placeholder needs an argument, as in \"header:Name\".");
	if (part->optional && placeholder->argument < ARGUMENT_LOOKUP)
		return fail_at(error, at + inside.len, "Only header, json, param, query and sig can be optional.");
	if (part->kind == WB_PART_HMAC)
	{
		WbTemplatePart locator;

		if (!wb_locator_parse(part->argument, &locator, error))
			return fail_at(error, at + name.len + 1, "This placeholder needs a locator, as in \"hmac:json:data.id\".");
	}
	*found = placeholder;
	return true;
}

static WbTemplatePart *
add_part(WbTemplate *template, WbTemplateError *error, size_t at)
{
	if (template->part_count == WB_TEMPLATE_MAX_PARTS)
	{
		fail_at(error, at, "A template has at most 32 parts.");
		return NULL;
	}
	return &template->parts[template->part_count++];
}

/*
 * Adds the literal text that begins at *at and moves *at behind it.  A doubled
 * brace ends a part that takes in only the first of the two.
 */
static bool
parse_literal(WbSlice text, size_t *at, WbTemplate *template, WbTemplateError *error)
{
	WbTemplatePart *part = add_part(template, error, *at);
	size_t stop = *at;

	if (part == NULL)
		return false;
	while (stop < text.len && text.data[stop] != '{' && text.data[stop] != '}')
		stop++;
	part->kind = WB_PART_LITERAL;
	part->optional = false;
	part->argument = wb_slice(text.data + *at, stop - *at);
	*at = stop;
	if (stop < text.len && stop + 1 < text.len && text.data[stop + 1] == text.data[stop])
	{
		part->argument.len++;
		*at += 2;
	}
	else if (stop < text.len && text.data[stop] == '}')
		return fail_at(error, stop, "A closing brace has no opening one; a literal brace is written twice.");
	return true;
}

bool
wb_template_parse(WbSlice text, WbTemplate *template, WbTemplateError *error)
{
	size_t at = 0;

	template->part_count = 0;
	while (at < text.len)
	{
		const Placeholder *placeholder;
		WbTemplatePart *part;
		size_t stop;

		if (text.data[at] != '{' || (at + 1 < text.len && text.data[at + 1] == '{'))
		{
			if (!parse_literal(text, &at, template, error))
				return false;
			continue;
		}
		stop = at + 1;
		while (stop < text.len && text.data[stop] != '}' && text.data[stop] != '{')
			stop++;
		if (stop == text.len || text.data[stop] == '{')
			return fail_at(error, at, "An opening brace is not closed; a literal brace is written twice.");
		part = add_part(template, error, at);
		if (part == NULL)
			return false;
		if (!parse_placeholder(wb_slice(text.data + at + 1, stop - at - 1), part, error, at + 1,
							   &placeholder))
			return false;
		at = stop + 1;
	}
	return true;
}

bool
wb_locator_parse(WbSlice text, WbTemplatePart *locator, WbTemplateError *error)
{
	const Placeholder *placeholder;

	if (!parse_placeholder(text, locator, error, 0, &placeholder))
		return false;
	if (placeholder->argument != ARGUMENT_LOCATOR)
		return fail_at(error, 0, "Only header, json, query and sig tell where something is.");
	if (locator->optional)
		return fail_at(error, text.len - 1, "A locator cannot be optional.");
	return true;
}

/*
 * The lookups below return how many different values there are: 0, 1, or 2
 * for several.  *value becomes the first one.
 */
static int
count_value(int count, WbSlice found, WbSlice *value)
{
	if (count == 0)
		*value = found;
	else if (wb_slice_equal(found, *value))
		return count;
	return count + 1;
}

static int
find_header(const WbMessage *message, WbSlice name, WbSlice *value)
{
	int count = 0;

	for (int i = 0; i < message->header_count && count < 2; i++)
		if (wb_slice_equal_nocase(message->headers[i].name, name))
			count = count_value(count, message->headers[i].value, value);
	return count;
}

static int
find_param(const WbMessage *message, WbSlice name, WbSlice *value)
{
	int count = 0;

	for (int i = 0; i < message->param_count && count < 2; i++)
		if (wb_slice_equal(message->params[i].name, name))
			count = count_value(count, message->params[i].value, value);
	return count;
}

static int
find_query(const WbMessage *message, WbSlice name, WbSlice *value)
{
	WbSlice rest = message->query;
	WbSlice field;
	int count = 0;

	while (count < 2 && wb_url_field(&rest, &field))
	{
		WbSlice field_name;
		WbSlice field_value;

		wb_url_split(field, &field_name, &field_value);
		if (!wb_url_equals(field_name, name))
			continue;
		if (count == 0)
			*value = field_value;
		else if (wb_url_compare(field_value, *value) == 0)
			continue;
		count++;
	}
	return count;
}

static int
find_signature_element(const WbMessage *message, WbSlice key, WbSlice *value)
{
	WbSlice rest = message->signature;
	WbSlice element;
	int count = 0;

	while (count < 2 && wb_slice_next(&rest, message->list_separator, &element))
	{
		element = wb_slice_trim_spaces(element);
		if (element.len <= key.len || element.data[key.len] != '=' ||
			memcmp(element.data, key.data, key.len) != 0)
			continue;
		element = wb_slice(element.data + key.len + 1, element.len - key.len - 1);
		count = count_value(count, element, value);
	}
	return count;
}

static bool
emit(WbSlice text, WbSink sink, void *arg)
{
	return text.len == 0 || sink(arg, text.data, text.len);
}

/*
 * Returns a byte of a header name as {headers_json:} spells it: the first
 * letter of each word between dashes upper case, the others lower.  Behind an
 * HTTP/2 hop names arrive in lower case, while the sender signed "X-Webhook-Id".
 */
static char
canonical_byte(WbSlice name, size_t i)
{
	char c = wb_ascii_lower(name.data[i]);

	if ((i == 0 || name.data[i - 1] == '-') && c >= 'a' && c <= 'z')
		c = (char) (c & ~0x20);
	return c;
}

/* Compares two header names by their canonical spelling, in byte order. */
static int
compare_names(WbSlice a, WbSlice b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++)
	{
		int byte_a = (unsigned char) canonical_byte(a, i);
		int byte_b = (unsigned char) canonical_byte(b, i);

		if (byte_a != byte_b)
			return byte_a - byte_b;
	}
	return (a.len > b.len) - (a.len < b.len);
}

/*
 * Adds a header at its place.  False if there is no room, or if the list has
 * the same name with another value.
 */
static bool
insert_header(HeaderList *list, const WbHeader *header)
{
	int at = list->count;

	while (at > 0)
	{
		int order = compare_names(list->headers[at - 1]->name, header->name);

		if (order == 0)
			return wb_slice_equal(list->headers[at - 1]->value, header->value);
		if (order < 0)
			break;
		at--;
	}
	if (list->count == MAX_SIGNED_HEADERS)
		return false;
	memmove(&list->headers[at + 1], &list->headers[at], (size_t) (list->count - at) * sizeof(list->headers[0]));
	list->headers[at] = header;
	list->count++;
	return true;
}

/* Adds a UTF-16 unit as PHP's json_encode() escapes it. */
static bool
put_unit(WbGather *gather, uint32_t unit)
{
	static const char digits[] = "0123456789abcdef";
	char text[6] = {'\\', 'u'};

	for (int i = 0; i < 4; i++)
		text[2 + i] = digits[unit >> (12 - 4 * i) & 0xF];
	return wb_gather_put(gather, text, sizeof(text));
}

/*
 * Adds one byte below 0x80 as PHP's json_encode() without flags writes it
 * (providers.md, section 2.2): DEL, "<", ">", "&" and "'" stay raw.
 */
static bool
put_ascii(WbGather *gather, char c)
{
	static const char specials[] = "\"\\/\b\f\n\r\t";
	static const char letters[] = "\"\\/bfnrt";
	const char *special = memchr(specials, c, sizeof(specials) - 1);
	char pair[2] = {'\\', c};

	if (special != NULL)
	{
		pair[1] = letters[special - specials];
		return wb_gather_put(gather, pair, 2);
	}
	if ((unsigned char) c < 0x20)
		return put_unit(gather, (unsigned char) c);
	return wb_gather_put(gather, &c, 1);
}

/* Adds a quoted string; false if it is not UTF-8. */
static bool
put_php_string(WbGather *gather, WbSlice text, bool is_name)
{
	size_t i = 0;

	if (!wb_gather_put(gather, "\"", 1))
		return false;
	while (i < text.len)
	{
		const unsigned char *at = (const unsigned char *) text.data + i;
		size_t len = 1;
		bool taken;

		if (*at < 0x80)
			taken = put_ascii(gather, is_name ? canonical_byte(text, i) : text.data[i]);
		else
		{
			uint32_t code;

			len = wb_utf8_sequence(at, (const unsigned char *) text.data + text.len);
			if (len == 0)
				return false;
			code = wb_utf8_decode(at, len);
			if (code < 0x10000)
				taken = put_unit(gather, code);
			else
				taken = put_unit(gather, 0xD800 + ((code - 0x10000) >> 10)) &&
						put_unit(gather, 0xDC00 + (code & 0x3FF));
		}
		if (!taken)
			return false;
		i += len;
	}
	return wb_gather_put(gather, "\"", 1);
}

static bool
emit_headers_json(WbSlice prefix, const WbMessage *message, WbSink sink, void *arg)
{
	HeaderList list;
	WbGather gather;

	list.count = 0;
	for (int i = 0; i < message->header_count; i++)
	{
		const WbHeader *header = &message->headers[i];

		if (header->name.len < prefix.len ||
			!wb_slice_equal_nocase(wb_slice(header->name.data, prefix.len), prefix) ||
			wb_slice_equal_nocase(header->name, message->signature_header))
			continue;
		if (!insert_header(&list, header))
			return false;
	}
	/* PHP does not know that an empty array would have been an object. */
	if (list.count == 0)
		return sink(arg, "[]", 2);

	wb_gather_init(&gather, sink, arg);
	for (int i = 0; i < list.count; i++)
	{
		if (!wb_gather_put(&gather, i == 0 ? "{" : ",", 1) ||
			!put_php_string(&gather, list.headers[i]->name, true) ||
			!wb_gather_put(&gather, ":", 1) ||
			!put_php_string(&gather, list.headers[i]->value, false))
			return false;
	}
	return wb_gather_put(&gather, "}", 1) && wb_gather_flush(&gather);
}

/* Compares two fields of one form by name and, of equal names, by value. */
static int
compare_fields(WbSlice a, WbSlice b)
{
	WbSlice name_a;
	WbSlice name_b;
	WbSlice value_a;
	WbSlice value_b;
	int order;

	wb_url_split(a, &name_a, &value_a);
	wb_url_split(b, &name_b, &value_b);
	order = wb_url_compare(name_a, name_b);
	return order != 0 ? order : wb_url_compare(value_a, value_b);
}

/* Lets the field at the top of a heap sink to its place. */
static void
sift_down(WbSlice *fields, size_t top, size_t count)
{
	for (;;)
	{
		size_t child = 2 * top + 1;
		WbSlice swap = fields[top];

		if (child >= count)
			return;
		if (child + 1 < count && compare_fields(fields[child], fields[child + 1]) < 0)
			child++;
		if (compare_fields(fields[top], fields[child]) >= 0)
			return;
		fields[top] = fields[child];
		fields[child] = swap;
		top = child;
	}
}

/* Sorts in place, without recursion, and in bounded time whatever the order. */
static void
sort_fields(WbSlice *fields, size_t count)
{
	for (size_t top = count / 2; top > 0; top--)
		sift_down(fields, top - 1, count);
	for (size_t left = count; left > 1; left--)
	{
		WbSlice swap = fields[0];

		fields[0] = fields[left - 1];
		fields[left - 1] = swap;
		sift_down(fields, 0, left - 1);
	}
}

/* As Twilio's libraries do: a field that is repeated with its value counts once. */
static bool
emit_form_sorted(const WbMessage *message, WbSink sink, void *arg)
{
	WbSlice fields[WB_TEMPLATE_MAX_FORM_FIELDS];
	WbSlice rest = message->body;
	WbSlice field;
	WbSlice name;
	WbSlice value;
	WbGather gather;
	size_t count = 0;

	while (wb_url_field(&rest, &field))
	{
		wb_url_split(field, &name, &value);
		if (count == WB_TEMPLATE_MAX_FORM_FIELDS || name.len > MAX_FIELD_NAME)
			return false;
		fields[count++] = field;
	}
	sort_fields(fields, count);

	wb_gather_init(&gather, sink, arg);
	for (size_t i = 0; i < count; i++)
	{
		if (i > 0 && compare_fields(fields[i - 1], fields[i]) == 0)
			continue;
		wb_url_split(fields[i], &name, &value);
		if (!wb_url_put(&gather, name) || !wb_url_put(&gather, value))
			return false;
	}
	return wb_gather_flush(&gather);
}

/* CRC-32 of ISO-HDLC (as zlib's), four bits at a time, in decimal. */
static bool
emit_body_crc32(const WbMessage *message, WbSink sink, void *arg)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC,
		0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
		0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
		0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
	uint32_t crc = 0xFFFFFFFF;
	char digits[10];
	size_t at = sizeof(digits);

	for (size_t i = 0; i < message->body.len; i++)
	{
		crc ^= (unsigned char) message->body.data[i];
		crc = crc >> 4 ^ table[crc & 0xF];
		crc = crc >> 4 ^ table[crc & 0xF];
	}
	crc = ~crc;
	do
	{
		digits[--at] = (char) ('0' + crc % 10);
		crc /= 10;
	} while (crc > 0);
	return sink(arg, digits + at, sizeof(digits) - at);
}

/* Emits what a lookup found; how often it did decides. */
static bool
emit_found(int count, bool optional, WbSlice value, WbSink sink, void *arg)
{
	if (count == 1)
		return emit(value, sink, arg);
	return count == 0 && optional;
}

static bool
emit_query(const WbTemplatePart *part, const WbMessage *message, WbSink sink, void *arg)
{
	WbSlice value;
	WbGather gather;
	int count = find_query(message, part->argument, &value);

	if (count != 1)
		return count == 0 && part->optional;
	wb_gather_init(&gather, sink, arg);
	return wb_url_put(&gather, value) && wb_gather_flush(&gather);
}

static bool
emit_json(const WbTemplatePart *part, const WbMessage *message, WbSink sink, void *arg)
{
	WbJsonValue value;

	if (!wb_json_find(message->body, part->argument, &value) || value.type == WB_JSON_NULL)
		return part->optional;
	return wb_json_emit(&value, sink, arg);
}

static bool
emit_hmac(const WbTemplatePart *part, const WbMessage *message, WbSink sink, void *arg)
{
	char data[MAX_HMAC_TEXT];
	char hex[WB_HMAC_SHA256_HEX];
	WbTextBuffer text = {data, 0, sizeof(data)};
	WbTemplatePart locator;
	WbTemplateError error;

	return message->secret.len > 0 &&
		   wb_locator_parse(part->argument, &locator, &error) &&
		   wb_part_eval(&locator, message, wb_text_sink, &text) &&
		   wb_hmac_sha256_hex(message->secret, wb_slice(data, text.len), hex) &&
		   sink(arg, hex, sizeof(hex));
}

bool
wb_part_eval(const WbTemplatePart *part, const WbMessage *message, WbSink sink, void *arg)
{
	WbSlice value = {NULL, 0};
	int count;

	switch (part->kind)
	{
		case WB_PART_LITERAL:
			return emit(part->argument, sink, arg);
		case WB_PART_BODY:
			return emit(message->body, sink, arg);
		case WB_PART_TS:
			return message->has_ts && emit(message->ts, sink, arg);
		case WB_PART_HEADER:
			count = find_header(message, part->argument, &value);
			return emit_found(count, part->optional, value, sink, arg);
		case WB_PART_JSON:
			return emit_json(part, message, sink, arg);
		case WB_PART_QUERY:
			return emit_query(part, message, sink, arg);
		case WB_PART_SIG:
			/* A list may name a key several times: the first one counts. */
			count = find_signature_element(message, part->argument, &value);
			return emit_found(count > 0, part->optional, value, sink, arg);
		case WB_PART_METHOD:
			return emit(message->method, sink, arg);
		case WB_PART_URL:
			if (!emit(message->url, sink, arg))
				return false;
			return message->query.len == 0 ||
				   (sink(arg, "?", 1) && emit(message->query, sink, arg));
		case WB_PART_SECRET:
			return message->secret.len > 0 && emit(message->secret, sink, arg);
		case WB_PART_PARAM:
			count = find_param(message, part->argument, &value);
			return emit_found(count, part->optional, value, sink, arg);
		case WB_PART_HEADERS_JSON:
			return emit_headers_json(part->argument, message, sink, arg);
		case WB_PART_FORM_SORTED:
			return emit_form_sorted(message, sink, arg);
		case WB_PART_BODY_CRC32:
			return emit_body_crc32(message, sink, arg);
		case WB_PART_HMAC:
			return emit_hmac(part, message, sink, arg);
	}
	return false;
}

bool
wb_template_eval(const WbTemplate *template, const WbMessage *message,
				 WbSink sink, void *arg, int *failed_part)
{
	for (int i = 0; i < template->part_count; i++)
	{
		if (!wb_part_eval(&template->parts[i], message, sink, arg))
		{
			if (failed_part != NULL)
				*failed_part = i;
			return false;
		}
	}
	return true;
}

const char *
wb_part_name(WbPartKind kind)
{
	for (size_t i = 0; i < sizeof(placeholders) / sizeof(placeholders[0]); i++)
		if (placeholders[i].kind == kind)
			return placeholders[i].name;
	return "";
}

int
wb_locator_count(const WbTemplatePart *locator, const WbMessage *message)
{
	WbJsonValue json;
	WbSlice value;

	switch (locator->kind)
	{
		case WB_PART_HEADER:
			return find_header(message, locator->argument, &value);
		case WB_PART_QUERY:
			return find_query(message, locator->argument, &value);
		case WB_PART_SIG:
			return find_signature_element(message, locator->argument, &value);
		case WB_PART_JSON:
			return wb_json_find(message->body, locator->argument, &json) && json.type != WB_JSON_NULL;
		default:
			return 0;
	}
}
