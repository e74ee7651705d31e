/*-------------------------------------------------------------------------
 *
 * test_template.c
 *	  Unit tests of template.c.
 *
 * One delivery, and a table of templates with what they make of it; further
 * tables for headers, queries and forms, where the delivery is what varies.
 *
 *-------------------------------------------------------------------------
 */
#include "template.h"
#include "unit.h"

#include <stdio.h>

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

#define HEADER(name, value)          \
	{                                \
		{name, sizeof(name) - 1},    \
		{                            \
			value, sizeof(value) - 1 \
		}                            \
	}
#define SLICE(text)            \
	{                          \
		text, sizeof(text) - 1 \
	}

static const WbHeader sample_headers[] = {
	HEADER("Content-Type", "application/json"),
	HEADER("X-Id", "id-1"),
	HEADER("x-id", "id-1"),
	HEADER("X-Twice", "1"),
	HEADER("x-twice", "2"),
	HEADER("X-Empty", ""),
	HEADER("X-Empty-Or-Not", ""),
	HEADER("X-Empty-Or-Not", "a"),
	HEADER("X-Thrice", "1"),
	HEADER("X-Thrice", "2"),
	HEADER("X-Thrice", "3"),
};

static const WbParam sample_params[] = {
	HEADER("webhook_id", "WH-1"),
	HEADER("twice", "1"),
	HEADER("twice", "2"),
};

static const WbMessage sample = {
	.method = SLICE("POST"),
	.url = SLICE("https://example.com/in"),
	.query = SLICE("a=1&b=x%20y+z%2B&c&d=1&d=%31&e=1&e=2&%66=six&bad=%4&n%C3%A9=%c3%a9&t=1&t=2&t=3"),
	.headers = sample_headers,
	.header_count = LENGTH_OF(sample_headers),
	.body = SLICE("{\"id\":\"86\",\"n\":1.50,\"o\":{\"k\":[true,null]},\"s\":\"\\u00e9\\/\"}"),
	.params = sample_params,
	.param_count = LENGTH_OF(sample_params),
	.signature = SLICE("t=17, v1=ab ,v1=cd,=x,v,w=,z=1,z=2,z=3"),
	.list_separator = ',',
	.signature_header = SLICE("X-Signature"),
	.ts = SLICE("17"),
	.has_ts = true,
	.secret = SLICE("s3cret"),
};

typedef struct EvalCase
{
	const char *template;
	const char *expected; /* NULL: cannot be resolved */
} EvalCase;

static const EvalCase eval_cases[] = {
	{"", ""},
	{"text", "text"},
	{"{{", "{"},
	{"}}", "}"},
	{"a{{b}}c", "a{b}c"},
	{"{{{{}}}}", "{{}}"},
	{"{{{method}}}", "{POST}"},
	{"{{method}}", "{method}"},
	{"{body}", "{\"id\":\"86\",\"n\":1.50,\"o\":{\"k\":[true,null]},\"s\":\"\\u00e9\\/\"}"},
	{"v0:{ts}:{method}", "v0:17:POST"},
	{"{url}", "https://example.com/in?a=1&b=x%20y+z%2B&c&d=1&d=%31&e=1&e=2&%66=six&bad=%4&n%C3%A9=%c3%a9&t=1&t=2&t=3"},
	{"{secret}|{param:webhook_id}", "s3cret|WH-1"},
	{"{param:twice}", NULL},
	{"{param:twice?}", NULL},
	{"{param:none}", NULL},
	{"{param:Webhook_Id}", NULL},
	{"<{param:none?}>", "<>"},
	{"{header:content-TYPE}", "application/json"},
	{"{header:X-Id}", "id-1"},
	{"{header:X-Twice}", NULL},
	{"{header:X-Twice?}", NULL},
	{"{header:X-Empty}", ""},
	{"{header:X-Empty-Or-Not}", NULL},
	{"{header:X-None}", NULL},
	{"{header:X-I}", NULL},
	{"{header:X-None?}.{header:X-Id?}", ".id-1"},
	{"{json:id}-{json:n}", "86-1.50"},
	{"{json:s}", "\xC3\xA9/"},
	{"{json:o.k.0}", "true"},
	{"{json:o.k.1}", NULL},
	{"<{json:o.k.1?}>", "<>"},
	{"{json:o.k.2}", NULL},
	{"<{json:o.k.2?}>", "<>"},
	{"{json:o}", NULL},
	{"{json:o?}", NULL},
	{"{json:o.k?}", NULL},
	{"{query:a}", "1"},
	{"{query:b}", "x y z+"},
	{"<{query:c}>", "<>"},
	{"{query:d}", "1"},
	{"{query:e}", NULL},
	{"{query:e?}", NULL},
	{"{query:f}", "six"},
	{"{query:A}", NULL},
	{"{query:none}", NULL},
	{"<{query:none?}>", "<>"},
	{"{query:bad}", NULL},
	{"{query:bad?}", NULL},
	{"{query:n\xC3\xA9}", "\xC3\xA9"},
	{"{sig:t}.{sig:v1}", "17.ab"},
	{"<{sig:w}>", "<>"},
	{"{sig:v}", NULL},
	{"{sig:v2}", NULL},
	{"<{sig:v2?}>", "<>"},
	{"{body_crc32}", "1474719378"},
	{"{headers_json:X-Other-}", "[]"},
	{"{headers_json:X-I}", "{\"X-Id\":\"id-1\"}"},
	{"{headers_json:x-empty-o}", NULL},
};

static bool
evaluate(const char *text, const WbMessage *message, char *out, size_t size, int *failed_part)
{
	WbTemplate template;
	WbTemplateError error;
	WbTextBuffer buffer = {out, 0, size - 1};
	bool resolved;

	if (!CHECK(wb_template_parse(wb_slice_cstring(text), &template, &error)))
		return false;
	resolved = wb_template_eval(&template, message, wb_text_sink, &buffer, failed_part);
	out[buffer.len] = '\0';
	return resolved;
}

static void
check_eval(const char *text, const WbMessage *message, const char *expected)
{
	char out[8192];
	int failed_part;

	if (evaluate(text, message, out, sizeof(out), &failed_part))
		CHECK_STR(out, expected);
	else
		CHECK(expected == NULL);
}

static void
test_eval(void)
{
	for (int i = 0; i < LENGTH_OF(eval_cases); i++)
	{
		unit_case("%s", eval_cases[i].template);
		check_eval(eval_cases[i].template, &sample, eval_cases[i].expected);
	}
}

/* A sink that is full at each position fails; none is written beyond it. */
static void
test_full_sink(void)
{
	for (int i = 0; i < LENGTH_OF(eval_cases); i++)
	{
		const EvalCase *eval_case = &eval_cases[i];
		size_t len = eval_case->expected ? strlen(eval_case->expected) : 0;

		for (size_t capacity = 0; capacity < len; capacity++)
		{
			char *out = guarded(eval_case->expected, capacity);
			WbTextBuffer buffer = {out, 0, capacity};
			WbTemplate template;
			WbTemplateError error;

			unit_case("%s into %zu bytes", eval_case->template, capacity);
			CHECK(wb_template_parse(wb_slice_cstring(eval_case->template), &template, &error));
			CHECK(!wb_template_eval(&template, &sample, wb_text_sink, &buffer, NULL));
			guarded_free(out);
		}
	}
}

static void
test_failed_part(void)
{
	char out[100];
	int failed_part = -1;

	CHECK(!evaluate("a{method}b{header:X-None}{json:none}", &sample, out, sizeof(out), &failed_part));
	CHECK_INT(failed_part, 3);
	CHECK_STR(out, "aPOSTb");
}

/* What is not there is not resolved: an empty message. */
static void
test_empty_message(void)
{
	WbMessage message;

	memset(&message, 0, sizeof(message));
	check_eval("{body}{method}{url}", &message, "");
	check_eval("{ts}", &message, NULL);
	check_eval("{secret}", &message, NULL);
	check_eval("{header:a}", &message, NULL);
	check_eval("{json:a}", &message, NULL);
	check_eval("<{json:a?}{query:a?}{sig:a?}{param:a?}{header:a?}>", &message, "<>");
	check_eval("{query:a}", &message, NULL);
	check_eval("{sig:a}", &message, NULL);
	check_eval("{param:a}", &message, NULL);
	check_eval("{headers_json:a}", &message, "[]");
	check_eval("{form_sorted}", &message, "");
	check_eval("{body_crc32}", &message, "0");
	message.has_ts = true;
	check_eval("<{ts}>", &message, "<>");
	message.url = wb_slice_cstring("https://example.com/");
	check_eval("{url}", &message, "https://example.com/");
	message.body = wb_slice_cstring("123456789");
	check_eval("{body_crc32}", &message, "3421780262");
	/* without a separator the signature is one element */
	message.signature = wb_slice_cstring("t=1,v1=2");
	check_eval("{sig:t}", &message, "1,v1=2");
	message.signature = wb_slice(guarded("t", 1), 1);
	check_eval("{sig:t}", &message, NULL);
	guarded_free((char *) message.signature.data);
}

typedef struct ErrorCase
{
	const char *template;
	const char *problem; /* its beginning */
	size_t at;
} ErrorCase;

static const ErrorCase error_cases[] = {
	{"{", "An opening brace", 0},
	{"a{", "An opening brace", 1},
	{"a{body", "An opening brace", 1},
	{"{body{", "An opening brace", 0},
	{"{header:{body}}", "An opening brace", 0},
	{"{{{body", "An opening brace", 2},
	{"}", "A closing brace", 0},
	{"a}b", "A closing brace", 1},
	{"{body}}", "A closing brace", 6},
	{"{body}}}}", "A closing brace", 8},
	{"{}", "There is no placeholder", 1},
	{"{?}", "There is no placeholder", 1},
	{"{:a}", "There is no placeholder", 1},
	{"x{bodi}", "There is no placeholder", 2},
	{"{Body}", "There is no placeholder", 1},
	{"{ body}", "There is no placeholder", 1},
	{"{body }", "There is no placeholder", 1},
	{"{body:}", "This placeholder takes no", 5},
	{"{body:x}", "This placeholder takes no", 5},
	{"{ts:x}", "This placeholder takes no", 3},
	{"{header}", "This placeholder needs", 7},
	{"{header:}", "This placeholder needs", 7},
	{"{header:?}", "This placeholder needs", 7},
	{"{header?}", "This placeholder needs", 7},
	{"{headers_json:}", "This placeholder needs", 13},
	{"{body?}", "Only header", 5},
	{"{ts?}", "Only header", 3},
	{"{secret?}", "Only header", 7},
	{"{headers_json:X?}", "Only header", 15},
	{"{url?}", "Only header", 4},
	{"{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{", "A template has", 64},
	{"{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}"
	 "{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}{ts}",
	 "A template has", 128},
};

static void
test_parse_errors(void)
{
	for (int i = 0; i < LENGTH_OF(error_cases); i++)
	{
		const ErrorCase *error_case = &error_cases[i];
		size_t len = strlen(error_case->template);
		char *text = guarded(error_case->template, len);
		WbTemplate template;
		WbTemplateError error = {"none", 0};

		unit_case("%s", error_case->template);
		CHECK(!wb_template_parse(wb_slice(text, len), &template, &error));
		CHECK(strncmp(error.problem, error_case->problem, strlen(error_case->problem)) == 0);
		CHECK_INT(error.at, error_case->at);
		guarded_free(text);
	}
}

/* Each prefix of each template against an unreadable page. */
static void
test_parse_prefixes(void)
{
	for (int i = 0; i < LENGTH_OF(eval_cases); i++)
	{
		size_t len = strlen(eval_cases[i].template);

		for (size_t cut = 0; cut <= len; cut++)
		{
			char *text = guarded(eval_cases[i].template, cut);
			WbTemplate template;
			WbTemplateError error;

			unit_case("%.*s", (int) cut, eval_cases[i].template);
			CHECK(wb_template_parse(wb_slice(text, cut), &template, &error) || cut < len);
			wb_locator_parse(wb_slice(text, cut), &template.parts[0], &error);
			guarded_free(text);
			text = guarded_front(eval_cases[i].template, cut);
			CHECK(wb_template_parse(wb_slice(text, cut), &template, &error) || cut < len);
			wb_locator_parse(wb_slice(text, cut), &template.parts[0], &error);
			guarded_free(text);
		}
	}
}

static void
test_parts(void)
{
	WbTemplate template;
	WbTemplateError error;

	CHECK(wb_template_parse(wb_slice_cstring("v0:{ts}:{json:a.0?}{headers_json:X-}"), &template, &error));
	if (!CHECK_INT(template.part_count, 5))
		return;
	CHECK_INT(template.parts[0].kind, WB_PART_LITERAL);
	CHECK_SLICE(template.parts[0].argument, "v0:");
	CHECK_INT(template.parts[1].kind, WB_PART_TS);
	CHECK_INT(template.parts[3].kind, WB_PART_JSON);
	CHECK_INT(template.parts[3].optional, true);
	CHECK_SLICE(template.parts[3].argument, "a.0");
	CHECK_INT(template.parts[4].kind, WB_PART_HEADERS_JSON);
	CHECK_INT(template.parts[4].optional, false);
	CHECK_SLICE(template.parts[4].argument, "X-");
}

typedef struct LocatorCase
{
	const char *locator;
	int count; /* in the sample, -1: not a locator */
} LocatorCase;

static const LocatorCase locator_cases[] = {
	{"header:X-Id", 1},
	{"header:X-Twice", 2},
	{"header:X-None", 0},
	{"header:X-Empty", 1},
	{"header:X-Empty-Or-Not", 2},
	{"header:X-Thrice", 2},
	{"query:t", 2},
	{"sig:z", 2},
	{"json:id", 1},
	{"json:o", 1},
	{"json:o.k.1", 0},
	{"json:none", 0},
	{"query:a", 1},
	{"query:d", 1},
	{"query:e", 2},
	{"query:none", 0},
	{"sig:t", 1},
	{"sig:v1", 2},
	{"sig:v9", 0},
	{"", -1},
	{"{header:X-Id}", -1},
	{"header", -1},
	{"header:", -1},
	{"header:X-Id?", -1},
	{"body", -1},
	{"param:webhook_id", -1},
	{"headers_json:X-", -1},
	{"X-Id", -1},
};

static void
test_locators(void)
{
	for (int i = 0; i < LENGTH_OF(locator_cases); i++)
	{
		WbTemplatePart locator;
		WbTemplateError error = {"none", 0};

		unit_case("%s", locator_cases[i].locator);
		if (wb_locator_parse(wb_slice_cstring(locator_cases[i].locator), &locator, &error))
			CHECK_INT(wb_locator_count(&locator, &sample), locator_cases[i].count);
		else
		{
			CHECK_INT(locator_cases[i].count, -1);
			CHECK(error.problem[0] >= 'A' && error.problem[0] <= 'Z');
		}
	}
}

typedef struct HeadersCase
{
	const char *expected; /* of {headers_json:X-Webhook-}, NULL: unresolved */
	WbHeader headers[6];
} HeadersCase;

/* What PHP 8.2 makes of the headers: ksort(), then json_encode(). */
static const HeadersCase headers_cases[] = {
	{"[]", {HEADER("Host", "example.com"), HEADER("X-Webhook-Signature", "sig"), HEADER("X-Webhook", "1")}},
	{"{\"X-Webhook-Action\":\"add\",\"X-Webhook-Entity\":\"product\",\"X-Webhook-Store-Id\":\"1\"}",
	 {HEADER("X-Webhook-Store-Id", "1"), HEADER("X-Webhook-Entity", "product"),
	  HEADER("X-Webhook-Signature", "sig"), HEADER("X-Webhook-Action", "add")}},
	/* an HTTP/2 hop has lowered the names, or somebody has raised them */
	{"{\"X-Webhook-Action\":\"add\",\"X-Webhook-Store-Id\":\"1\"}",
	 {HEADER("x-webhook-store-id", "1"), HEADER("X-WEBHOOK-ACTION", "add"), HEADER("x-WEBHOOK-signaturE", "s")}},
	/* byte order: "-" < digits < letters */
	{"{\"X-Webhook-A\":\"0\",\"X-Webhook-A-B\":\"1\",\"X-Webhook-A1\":\"2\",\"X-Webhook-Aa\":\"3\",\"X-Webhook-Z\":\"4\"}",
	 {HEADER("X-Webhook-Z", "4"), HEADER("X-Webhook-AA", "3"), HEADER("X-Webhook-A1", "2"),
	  HEADER("X-Webhook-A-b", "1"), HEADER("X-Webhook-a", "0")}},
	/* escapes */
	{"{\"X-Webhook-A\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", {HEADER("X-Webhook-A", "\"\\/\b\f\n\r\t")}},
	{"{\"X-Webhook-A\":\"\\u0001\\u000b\\u001f\x7F <>&'\"}", {HEADER("X-Webhook-A", "\x01\x0B\x1F\x7F <>&'")}},
	{"{\"X-Webhook-A\":\"\\u0000\"}", {HEADER("X-Webhook-A", "\0")}},
	{"{\"X-Webhook-A\":\"\\u00e9\\u20ac\\ud83d\\ude00\\u2028\\ufffe\"}",
	 {HEADER("X-Webhook-A", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xE2\x80\xA8\xEF\xBF\xBE")}},
	{"{\"X-Webhook-A\":\"\\udbff\\udfff\\ud800\\udc00\"}", {HEADER("X-Webhook-A", "\xF4\x8F\xBF\xBF\xF0\x90\x80\x80")}},
	{"{\"X-Webhook-A\":\"\"}", {HEADER("X-Webhook-A", "")}},
	/* not UTF-8 */
	{NULL, {HEADER("X-Webhook-A", "\xE9")}},
	{NULL, {HEADER("X-Webhook-A", "ok\xC3")}},
	{NULL, {HEADER("X-Webhook-A", "\xED\xA0\x80")}},
	{NULL, {HEADER("X-Webhook-A\xFF", "a")}},
	{"[]", {HEADER("Host", "\xFF")}},
	/* repetitions */
	{"{\"X-Webhook-A\":\"1\",\"X-Webhook-B\":\"2\"}",
	 {HEADER("X-Webhook-A", "1"), HEADER("X-Webhook-B", "2"), HEADER("x-webhook-a", "1")}},
	{NULL, {HEADER("X-Webhook-A", "1"), HEADER("X-Webhook-B", "2"), HEADER("x-webhook-a", "2")}},
};

static void
test_headers_json(void)
{
	for (int i = 0; i < LENGTH_OF(headers_cases); i++)
	{
		const HeadersCase *headers_case = &headers_cases[i];
		WbHeader headers[6];
		WbMessage message;

		memset(&message, 0, sizeof(message));
		message.headers = headers;
		for (int k = 0; k < 6 && headers_case->headers[k].name.len > 0; k++)
		{
			WbHeader header = headers_case->headers[k];

			headers[k].name = wb_slice(guarded(header.name.data, header.name.len), header.name.len);
			headers[k].value = wb_slice(guarded(header.value.data, header.value.len), header.value.len);
			message.header_count++;
		}
		message.signature_header = wb_slice_cstring("X-Webhook-Signature");
		unit_case("case %d", i);
		check_eval("{headers_json:X-Webhook-}", &message, headers_case->expected);
		check_eval("{headers_json:x-WEBHOOK-}", &message, headers_case->expected);
		for (int k = 0; k < message.header_count; k++)
		{
			guarded_free((char *) headers[k].name.data);
			guarded_free((char *) headers[k].value.data);
		}
	}
}

static void
test_many_headers(void)
{
	static char names[100][20];
	WbHeader headers[100];
	WbMessage message;
	char out[8192];
	int failed_part;

	memset(&message, 0, sizeof(message));
	message.headers = headers;
	for (int i = 0; i < 100; i++)
	{
		snprintf(names[i], sizeof(names[i]), "x-%02d", (i * 37) % 65);
		headers[i].name = wb_slice_cstring(names[i]);
		headers[i].value = wb_slice_cstring("v");
	}
	message.header_count = 64;
	if (CHECK(evaluate("{headers_json:X-}", &message, out, sizeof(out), &failed_part)))
	{
		CHECK(strncmp(out, "{\"X-00\":\"v\",\"X-01\":\"v\",", 23) == 0);
		CHECK_INT(strlen(out), 64 * 11 + 1);
	}
	message.header_count = 65;
	CHECK(!evaluate("{headers_json:X-}", &message, out, sizeof(out), &failed_part));
}

typedef struct FormCase
{
	const char *body;
	const char *expected; /* of {form_sorted}, NULL: unresolved */
} FormCase;

static const FormCase form_cases[] = {
	{"", ""},
	{"&&", ""},
	{"b=2&a=1", "a1b2"},
	{"To=%2B18005551212&From=%2B14158675310&Digits=1234&Caller=%2B14158675310&CallSid=CA1234567890ABCDE",
	 "CallSidCA1234567890ABCDECaller+14158675310Digits1234From+14158675310To+18005551212"},
	{"a=x+y%20z", "ax y z"},
	{"a+b=1", "a b1"},
	{"a=b=c", "ab=c"},
	{"a", "a"},
	{"=a", "a"},
	{"a=&b", "ab"},
	/* of equal names by value, each value once; %61 is a */
	{"a=3&a=1&%61=2", "a1a2a3"},
	{"a=3&a=1&%61=%33&b=3&a=33&a", "aa1a3a33b3"},
	{"a=%&a=%", NULL},
	{"b=1&%61=2&a%62=3&a=4", "a2a4ab3b1"},
	{"aa=1&a=2&a.=3&aA=4", "a2a.3aA4aa1"},
	{"%C3%A9=1&z=2&%c3%a8=3", "z2\xC3\xA8"
							  "3\xC3\xA9"
							  "1"},
	{"a=%", NULL},
	{"a=%4", NULL},
	{"a=%4g", NULL},
	{"%zz=1", NULL},
	{"b=1&a%=1", NULL},
};

static void
test_form_sorted(void)
{
	for (int i = 0; i < LENGTH_OF(form_cases); i++)
	{
		size_t len = strlen(form_cases[i].body);
		char *body = guarded(form_cases[i].body, len);
		WbMessage message;

		memset(&message, 0, sizeof(message));
		message.body = wb_slice(body, len);
		unit_case("%s", form_cases[i].body);
		check_eval("{form_sorted}", &message, form_cases[i].expected);
		message.body.len = 0;
		message.query = wb_slice(body, len);
		check_eval("<{query:none?}>", &message, "<>");
		guarded_free(body);
	}
}

/* As many fields as there may be, in shuffled order; one more is refused. */
static void
test_many_fields(void)
{
	static char body[8192];
	static char expected[8192];
	static char out[8192];
	WbMessage message;
	size_t len = 0;
	size_t expected_len = 0;
	int failed_part;

	memset(&message, 0, sizeof(message));
	for (int i = 0; i < WB_TEMPLATE_MAX_FORM_FIELDS; i++)
	{
		/* 205 and 512 have no common divisor: every second number, twice each */
		int number = (i * 205) % WB_TEMPLATE_MAX_FORM_FIELDS / 2;

		len += (size_t) snprintf(body + len, sizeof(body) - len, "%03d=%03d&", number, i);
	}
	for (int number = 0; number < WB_TEMPLATE_MAX_FORM_FIELDS / 2; number++)
		for (int i = 0; i < WB_TEMPLATE_MAX_FORM_FIELDS; i++)
			if ((i * 205) % WB_TEMPLATE_MAX_FORM_FIELDS / 2 == number)
				expected_len += (size_t) snprintf(expected + expected_len, sizeof(expected) - expected_len, "%03d%03d", number, i);
	message.body = wb_slice(body, len);
	if (CHECK(evaluate("{form_sorted}", &message, out, sizeof(out), &failed_part)))
		CHECK_STR(out, expected);
	body[len] = 'x';
	message.body.len++;
	CHECK(!evaluate("{form_sorted}", &message, out, sizeof(out), &failed_part));

	memset(body, 'a', sizeof(body));
	message.body = wb_slice(body, 1024);
	CHECK(evaluate("{form_sorted}", &message, out, sizeof(out), &failed_part));
	message.body = wb_slice(body, 1025);
	CHECK(!evaluate("{form_sorted}", &message, out, sizeof(out), &failed_part));
	body[1] = '=';
	message.body = wb_slice(body, 8000);
	CHECK(evaluate("{form_sorted}", &message, out, sizeof(out), &failed_part));
	CHECK_INT(strlen(out), 7999);
}

int
main(void)
{
	RUN(test_eval);
	RUN(test_full_sink);
	RUN(test_failed_part);
	RUN(test_empty_message);
	RUN(test_parse_errors);
	RUN(test_parse_prefixes);
	RUN(test_parts);
	RUN(test_locators);
	RUN(test_headers_json);
	RUN(test_many_headers);
	RUN(test_form_sorted);
	RUN(test_many_fields);
	return unit_finish();
}
