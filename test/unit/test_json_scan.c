/*-------------------------------------------------------------------------
 *
 * test_json_scan.c
 *	  Unit tests of json_scan.c.
 *
 * Tables of documents with what PostgreSQL says of them.  Every document is
 * also cut at each position and placed against an unreadable page.
 *
 *-------------------------------------------------------------------------
 */
#include "json_scan.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct KindCase
{
	WbJsonKind kind;
	const char *text;
} KindCase;

#define LENGTH_OF(array) (sizeof(array) / sizeof((array)[0]))

static const KindCase kind_cases[] = {
	/* scalars at the top, white space around */
	{WB_JSON_ASCII, "null"},
	{WB_JSON_ASCII, "true"},
	{WB_JSON_ASCII, "false"},
	{WB_JSON_ASCII, "0"},
	{WB_JSON_ASCII, "\"\""},
	{WB_JSON_ASCII, " \t\r\n1 \t\r\n"},
	{WB_JSON_NOT_STORABLE, ""},
	{WB_JSON_NOT_STORABLE, " "},
	{WB_JSON_NOT_STORABLE, "\f1"},
	{WB_JSON_NOT_STORABLE, "\v1"},
	{WB_JSON_NOT_STORABLE, "\xC2\xA0"
						   "1"},
	{WB_JSON_NOT_STORABLE, "\xEF\xBB\xBF"
						   "1"},
	{WB_JSON_NOT_STORABLE, "1 2"},
	{WB_JSON_NOT_STORABLE, "nul"},
	{WB_JSON_NOT_STORABLE, "nulll"},
	{WB_JSON_NOT_STORABLE, "True"},
	{WB_JSON_NOT_STORABLE, "NaN"},
	{WB_JSON_NOT_STORABLE, "Infinity"},
	{WB_JSON_NOT_STORABLE, "undefined"},
	{WB_JSON_NOT_STORABLE, "'a'"},
	{WB_JSON_NOT_STORABLE, "// 1"},
	/* containers */
	{WB_JSON_ASCII, "{}"},
	{WB_JSON_ASCII, "[]"},
	{WB_JSON_ASCII, " { } "},
	{WB_JSON_ASCII, "[ ]"},
	{WB_JSON_ASCII, "{\"a\":1}"},
	{WB_JSON_ASCII, "{ \"a\" : [ 1 , { \"b\" : null } ] , \"\" : false }"},
	{WB_JSON_ASCII, "{\"a\":1,\"a\":2}"},
	{WB_JSON_ASCII, "[[],{},[{}]]"},
	{WB_JSON_NOT_STORABLE, "{"},
	{WB_JSON_NOT_STORABLE, "["},
	{WB_JSON_NOT_STORABLE, "}"},
	{WB_JSON_NOT_STORABLE, "]"},
	{WB_JSON_NOT_STORABLE, "{]"},
	{WB_JSON_NOT_STORABLE, "[}"},
	{WB_JSON_NOT_STORABLE, "[1}"},
	{WB_JSON_NOT_STORABLE, "{\"a\":1]"},
	{WB_JSON_NOT_STORABLE, "[,]"},
	{WB_JSON_NOT_STORABLE, "[1,]"},
	{WB_JSON_NOT_STORABLE, "[,1]"},
	{WB_JSON_NOT_STORABLE, "[1 2]"},
	{WB_JSON_NOT_STORABLE, "[1:2]"},
	{WB_JSON_NOT_STORABLE, "{,}"},
	{WB_JSON_NOT_STORABLE, "{\"a\"}"},
	{WB_JSON_NOT_STORABLE, "{\"a\":}"},
	{WB_JSON_NOT_STORABLE, "{\"a\":1,}"},
	{WB_JSON_NOT_STORABLE, "{\"a\" 1}"},
	{WB_JSON_NOT_STORABLE, "{\"a\"::1}"},
	{WB_JSON_NOT_STORABLE, "{a:1}"},
	{WB_JSON_NOT_STORABLE, "{1:1}"},
	{WB_JSON_NOT_STORABLE, "{\"a\":1 \"b\":2}"},
	{WB_JSON_NOT_STORABLE, "{\"a\":\"b\":1}"},
	{WB_JSON_NOT_STORABLE, "[]]"},
	{WB_JSON_NOT_STORABLE, "{}{}"},
	{WB_JSON_NOT_STORABLE, "[1],"},
	/* numbers */
	{WB_JSON_ASCII, "-0"},
	{WB_JSON_ASCII, "10"},
	{WB_JSON_ASCII, "1.0"},
	{WB_JSON_ASCII, "-1.50e+10"},
	{WB_JSON_ASCII, "1E-1"},
	{WB_JSON_ASCII, "0e0"},
	{WB_JSON_ASCII, "1e1000"},
	{WB_JSON_ASCII, "1e-1000"},
	{WB_JSON_ASCII, "1e0001000"},
	{WB_JSON_NOT_STORABLE, "1e1001"},
	{WB_JSON_NOT_STORABLE, "1e-1001"},
	{WB_JSON_NOT_STORABLE, "1e99999999999999999999999999"},
	{WB_JSON_NOT_STORABLE, "[1,2e4000000000]"},
	{WB_JSON_NOT_STORABLE, "01"},
	{WB_JSON_NOT_STORABLE, "-01"},
	{WB_JSON_NOT_STORABLE, "00"},
	{WB_JSON_NOT_STORABLE, "-"},
	{WB_JSON_NOT_STORABLE, "+1"},
	{WB_JSON_NOT_STORABLE, ".5"},
	{WB_JSON_NOT_STORABLE, "1."},
	{WB_JSON_NOT_STORABLE, "1.e1"},
	{WB_JSON_NOT_STORABLE, "1e"},
	{WB_JSON_NOT_STORABLE, "1e+"},
	{WB_JSON_NOT_STORABLE, "1e1.5"},
	{WB_JSON_NOT_STORABLE, "0x10"},
	{WB_JSON_NOT_STORABLE, "1a"},
	{WB_JSON_NOT_STORABLE, "1_000"},
	{WB_JSON_NOT_STORABLE, "--1"},
	{WB_JSON_NOT_STORABLE, "- 1"},
	/* strings */
	{WB_JSON_ASCII, "\"abcdefgh\""},
	{WB_JSON_ASCII, "\" a b \""},
	{WB_JSON_ASCII, "\"abcdefghi/jklmnop'qrstuvw\x7F\""},
	{WB_JSON_ASCII, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""},
	{WB_JSON_ASCII, "\"\\u0041\\u007f\\u007F\\u0001\""},
	{WB_JSON_NOT_STORABLE, "\""},
	{WB_JSON_NOT_STORABLE, "\"a"},
	{WB_JSON_NOT_STORABLE, "\"\\\""},
	{WB_JSON_NOT_STORABLE, "\"\\x41\""},
	{WB_JSON_NOT_STORABLE, "\"\\a\""},
	{WB_JSON_NOT_STORABLE, "\"\\'\""},
	{WB_JSON_NOT_STORABLE, "\"\\U0041\""},
	{WB_JSON_NOT_STORABLE, "\"\\u\""},
	{WB_JSON_NOT_STORABLE, "\"\\u004\""},
	{WB_JSON_NOT_STORABLE, "\"\\u004g\""},
	{WB_JSON_NOT_STORABLE, "\"\\u 041\""},
	{WB_JSON_NOT_STORABLE, "\"\\u00 1\""},
	{WB_JSON_NOT_STORABLE, "\"a\nb\""},
	{WB_JSON_NOT_STORABLE, "\"a\tb\""},
	{WB_JSON_NOT_STORABLE, "\"abcdefg\x1Fhijklmno\""},
	{WB_JSON_NOT_STORABLE, "\"\x01\""},
	/* NUL and surrogates, in values and keys */
	{WB_JSON_NOT_STORABLE, "\"\\u0000\""},
	{WB_JSON_NOT_STORABLE, "{\"a\\u0000\":1}"},
	{WB_JSON_NOT_STORABLE, "[\"\\u0000\"]"},
	{WB_JSON_ASCII, "\"\\\\u0000\""},
	{WB_JSON_UNICODE, "\"\\ud83d\\ude00\""},
	{WB_JSON_UNICODE, "\"\\uD83D\\uDE00\""},
	{WB_JSON_UNICODE, "{\"\\uDBFF\\uDFFF\":1}"},
	{WB_JSON_NOT_STORABLE, "\"\\ud83d\""},
	{WB_JSON_NOT_STORABLE, "\"\\ude00\""},
	{WB_JSON_NOT_STORABLE, "\"\\ude00\\ud83d\""},
	{WB_JSON_NOT_STORABLE, "\"\\ud83d\\ud83d\\ude00\""},
	{WB_JSON_NOT_STORABLE, "\"\\ud83d\\ude00\\ude00\""},
	{WB_JSON_NOT_STORABLE, "\"\\ud83dx\\ude00\""},
	{WB_JSON_NOT_STORABLE, "\"\\ud83d\\n\""},
	{WB_JSON_NOT_STORABLE, "\"\\ud83d\\u0041\""},
	{WB_JSON_NOT_STORABLE, "\"\\ud83d\xF0\x9F\x98\x80\""},
	{WB_JSON_NOT_STORABLE, "{\"\\ud800\":1}"},
	{WB_JSON_UNICODE, "\"\\ud7ff\\ue000\\uffff\""},
	/* above ASCII */
	{WB_JSON_UNICODE, "\"\\u0080\""},
	{WB_JSON_UNICODE, "\"\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\""},
	{WB_JSON_UNICODE, "{\"caf\xC3\xA9\":\"abcdefgh\xC3\xA9\"}"},
	{WB_JSON_NOT_STORABLE, "\"\xC0\x80\""},
	{WB_JSON_NOT_STORABLE, "\"\xC1\xBF\""},
	{WB_JSON_NOT_STORABLE, "\"\xE0\x9F\xBF\""},
	{WB_JSON_NOT_STORABLE, "\"\xED\xA0\x80\""},
	{WB_JSON_NOT_STORABLE, "\"\xF0\x8F\xBF\xBF\""},
	{WB_JSON_NOT_STORABLE, "\"\xF4\x90\x80\x80\""},
	{WB_JSON_NOT_STORABLE, "\"\xF5\x80\x80\x80\""},
	{WB_JSON_NOT_STORABLE, "\"\xFF\""},
	{WB_JSON_NOT_STORABLE, "\"\x80\""},
	{WB_JSON_NOT_STORABLE, "\"\xC3\""},
	{WB_JSON_NOT_STORABLE, "\"\xE2\x82\""},
	{WB_JSON_NOT_STORABLE, "\"\xF0\x9F\x98\""},
	{WB_JSON_NOT_STORABLE, "\"\xC3(\""},
	{WB_JSON_NOT_STORABLE, "\"\\\xC3\xA9\""},
	{WB_JSON_NOT_STORABLE, "{\"\xC3\":1}"},
	{WB_JSON_NOT_STORABLE, "\xC3\xA9"},
};

/* A document with every construct, cut and searched in below. */
static const char sample[] =
	"{\"a\":{\"b\":[10,20,{\"c\":\"deep\"},[]]},\"s\":\"x\\n\\u00e9\\ud83d\\ude00\\\"\\/\","
	"\"n\":-1.50e+3,\"t\":true,\"f\":false,\"z\":null,\"\":{\"\":\"empty\"},"
	"\"k\\u0065y\":\"escaped key\",\"7\":{\"0\":\"digits\"},\"dup\":1,\"dup\":\"last\","
	"\"caf\xC3\xA9\":\"\xE2\x82\xAC\",\"d.t\":1,\"d\":{\"u\":2}}";

static void
test_classify(void)
{
	for (size_t i = 0; i < LENGTH_OF(kind_cases); i++)
	{
		const char *text = kind_cases[i].text;
		size_t len = strlen(text);
		char *behind = guarded(text, len);
		char *before = guarded_front(text, len);

		unit_case("%s", text);
		CHECK_INT(wb_json_classify(wb_slice(behind, len)), kind_cases[i].kind);
		CHECK_INT(wb_json_classify(wb_slice(before, len)), kind_cases[i].kind);
		guarded_free(behind);
		guarded_free(before);
	}
	CHECK_INT(wb_json_classify(wb_slice(NULL, 0)), WB_JSON_NOT_STORABLE);
	CHECK_INT(wb_json_classify(wb_slice("1\0", 2)), WB_JSON_NOT_STORABLE);
	CHECK_INT(wb_json_classify(wb_slice("\"\0\"", 3)), WB_JSON_NOT_STORABLE);
	CHECK_INT(wb_json_classify(wb_slice("\"abcdefg\0\"", 10)), WB_JSON_NOT_STORABLE);
}

/* Each control byte, at each position relative to the words that are read. */
static void
test_control_bytes(void)
{
	for (int c = 0; c < 0x20; c++)
	{
		for (size_t at = 0; at < 17; at++)
		{
			char text[] = "\"abcdefghijklmnopq\"";

			text[1 + at] = (char) c;
			unit_case("byte %d at %zu", c, at);
			CHECK_INT(wb_json_classify(wb_slice_cstring(text)), WB_JSON_NOT_STORABLE);
		}
	}
}

/* Each byte that ends a run of plain ones, behind runs of each length. */
static void
test_runs(void)
{
	char text[80];

	for (int len = 0; len < 40; len++)
	{
		unit_case("run of %d", len);
		snprintf(text, sizeof(text), "\"%.*s\"", len, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		CHECK_INT(wb_json_classify(wb_slice_cstring(text)), WB_JSON_ASCII);
		snprintf(text, sizeof(text), "\"%.*s\\n!#[]^`~\"", len, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		CHECK_INT(wb_json_classify(wb_slice_cstring(text)), WB_JSON_ASCII);
		snprintf(text, sizeof(text), "\"%.*s\xC3\xA9\"", len, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		CHECK_INT(wb_json_classify(wb_slice_cstring(text)), WB_JSON_UNICODE);
		snprintf(text, sizeof(text), "\"%.*s\x80\"", len, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		CHECK_INT(wb_json_classify(wb_slice_cstring(text)), WB_JSON_NOT_STORABLE);
	}
}

/* No prefix of an object is JSON, and none is read beyond its end. */
static void
test_prefixes(void)
{
	size_t len = sizeof(sample) - 1;
	WbJsonValue value;

	CHECK_INT(wb_json_classify(wb_slice(sample, len)), WB_JSON_UNICODE);
	for (size_t cut = 0; cut < len; cut++)
	{
		char *copy = guarded(sample, cut);

		unit_case("first %zu bytes", cut);
		CHECK_INT(wb_json_classify(wb_slice(copy, cut)), WB_JSON_NOT_STORABLE);
		CHECK(!wb_json_find(wb_slice(copy, cut), wb_slice_cstring("a.b.0"), &value));
		guarded_free(copy);
	}
	for (size_t i = 0; i < LENGTH_OF(kind_cases); i++)
	{
		for (size_t cut = 0; cut < strlen(kind_cases[i].text); cut++)
		{
			char *copy = guarded(kind_cases[i].text, cut);

			wb_json_classify(wb_slice(copy, cut));
			wb_json_find(wb_slice(copy, cut), wb_slice_cstring("a.1"), &value);
			guarded_free(copy);
		}
	}
}

static WbJsonKind
classify_nested(int depth, const char *opening, const char *closing)
{
	size_t opening_len = strlen(opening);
	size_t closing_len = strlen(closing);
	size_t len = 0;
	char *text = malloc((size_t) depth * (opening_len + closing_len) + 1);
	WbJsonKind kind;

	for (int i = 0; i < depth; i++, len += opening_len)
		memcpy(text + len, opening, opening_len);
	text[len++] = '1';
	for (int i = 0; i < depth; i++, len += closing_len)
		memcpy(text + len, closing, closing_len);
	kind = wb_json_classify(wb_slice(text, len));
	free(text);
	return kind;
}

static void
test_depth(void)
{
	for (int depth = 1; depth <= WB_JSON_MAX_DEPTH; depth++)
	{
		unit_case("depth %d", depth);
		CHECK_INT(classify_nested(depth, "[", "]"), WB_JSON_ASCII);
		CHECK_INT(classify_nested(depth, "{\"a\":", "}"), WB_JSON_ASCII);
		CHECK_INT(classify_nested(depth, "[", "}"), WB_JSON_NOT_STORABLE);
	}
	CHECK_INT(classify_nested(WB_JSON_MAX_DEPTH + 1, "[", "]"), WB_JSON_NOT_STORABLE);
	CHECK_INT(classify_nested(WB_JSON_MAX_DEPTH + 1, "{\"a\":", "}"), WB_JSON_NOT_STORABLE);
	CHECK_INT(classify_nested(1000000, "[", "]"), WB_JSON_NOT_STORABLE);
	CHECK_INT(classify_nested(WB_JSON_MAX_DEPTH / 2, "{\"a\":[", "]}"), WB_JSON_ASCII);
}

/* Classifies a text repeated, between a beginning and an end. */
static WbJsonKind
classify_repeated(const char *beginning, const char *repeated, size_t count, const char *end)
{
	size_t repeated_len = strlen(repeated);
	size_t len = strlen(beginning);
	char *text = malloc(len + count * repeated_len + strlen(end));
	WbJsonKind kind;

	memcpy(text, beginning, len);
	for (size_t i = 0; i < count; i++, len += repeated_len)
		memcpy(text + len, repeated, repeated_len);
	memcpy(text + len, end, strlen(end));
	kind = wb_json_classify(wb_slice(text, len + strlen(end)));
	free(text);
	return kind;
}

static void
test_size_limits(void)
{
	/* a number's length, with its sign and point */
	CHECK_INT(classify_repeated("", "1", 1000, ""), WB_JSON_ASCII);
	CHECK_INT(classify_repeated("", "1", 1001, ""), WB_JSON_NOT_STORABLE);
	CHECK_INT(classify_repeated("0.", "1", 998, ""), WB_JSON_ASCII);
	CHECK_INT(classify_repeated("0.", "1", 999, ""), WB_JSON_NOT_STORABLE);
	/* a string's length, 64 MB */
	CHECK_INT(classify_repeated("\"", "a", 64 << 20, "\""), WB_JSON_ASCII);
	CHECK_INT(classify_repeated("\"", "a", (64 << 20) + 1, "\""), WB_JSON_NOT_STORABLE);
	CHECK_INT(classify_repeated("{\"", "a", (64 << 20) + 1, "\":1}"), WB_JSON_NOT_STORABLE);
	/* 22 bytes of estimate per element, 200 MB in all */
	CHECK_INT(classify_repeated("[1", ",1", 9532000, "]"), WB_JSON_ASCII);
	CHECK_INT(classify_repeated("[1", ",1", 9533000, "]"), WB_JSON_NOT_STORABLE);
	CHECK_INT(classify_repeated("{\"\":1", ",\"\":1", 4660000, "}"), WB_JSON_ASCII);
	CHECK_INT(classify_repeated("{\"\":1", ",\"\":1", 4661000, "}"), WB_JSON_NOT_STORABLE);
}

typedef struct FindCase
{
	const char *text;
	const char *path;
	const char *found; /* text as written, NULL if missing */
	WbJsonType type;
} FindCase;

static const FindCase find_cases[] = {
	{sample, "a.b.0", "10", WB_JSON_NUMBER},
	{sample, "a.b.1", "20", WB_JSON_NUMBER},
	{sample, "a.b.2.c", "deep", WB_JSON_STRING},
	{sample, "a.b.2", "{\"c\":\"deep\"}", WB_JSON_OBJECT},
	{sample, "a.b.3", "[]", WB_JSON_ARRAY},
	{sample, "a.b.4", NULL, 0},
	{sample, "a.b.-1", NULL, 0},
	{sample, "a.b.00", "10", WB_JSON_NUMBER},
	{sample, "a.b.18446744073709551616", NULL, 0},
	{sample, "a.b.99999999999999999999999999", NULL, 0},
	{sample, "a.b", "[10,20,{\"c\":\"deep\"},[]]", WB_JSON_ARRAY},
	{sample, "a.c", NULL, 0},
	{sample, "a.b.0.c", NULL, 0},
	{sample, "b", NULL, 0},
	{sample, "s", "x\\n\\u00e9\\ud83d\\ude00\\\"\\/", WB_JSON_STRING},
	{sample, "s.0", NULL, 0},
	{sample, "n", "-1.50e+3", WB_JSON_NUMBER},
	{sample, "t", "true", WB_JSON_TRUE},
	{sample, "f", "false", WB_JSON_FALSE},
	{sample, "z", "null", WB_JSON_NULL},
	{sample, "z.a", NULL, 0},
	{sample, ".", "empty", WB_JSON_STRING},
	{sample, "", "{\"\":\"empty\"}", WB_JSON_OBJECT},
	{sample, "..", NULL, 0},
	{sample, "key", "escaped key", WB_JSON_STRING},
	{sample, "ke", NULL, 0},
	{sample, "keyy", NULL, 0},
	{sample, "k\\u0065y", NULL, 0},
	{sample, "7.0", "digits", WB_JSON_STRING},
	{sample, "07.0", NULL, 0},
	{sample, "dup", "last", WB_JSON_STRING},
	{sample, "caf\xC3\xA9", "\xE2\x82\xAC", WB_JSON_STRING},
	{sample, "d.t", NULL, 0},
	{sample, "d.u", "2", WB_JSON_NUMBER},
	{sample, "d.", NULL, 0},
	/* of repeated keys the last one counts, at each level */
	{"{\"a\":{\"x\":1},\"a\":{\"y\":2}}", "a.x", NULL, 0},
	{"{\"a\":{\"x\":1},\"a\":{\"y\":2}}", "a.y", "2", WB_JSON_NUMBER},
	{"{\"a\":{\"x\":1},\"a\":5}", "a.x", NULL, 0},
	{"{\"a\":{\"x\":1},\"a\":5}", "a", "5", WB_JSON_NUMBER},
	{"{\"a\":5,\"a\":{\"x\":1}}", "a.x", "1", WB_JSON_NUMBER},
	{"{\"a\":{\"x\":1},\"\\u0061\":[]}", "a.x", NULL, 0},
	{"{\"a\":{\"x\":1,\"x\":{\"b\":2}},\"c\":{\"x\":3}}", "a.x.b", "2", WB_JSON_NUMBER},
	{"{\"a\":{\"x\":1},\"b\":{\"a\":{\"x\":2}}}", "a.x", "1", WB_JSON_NUMBER},
	{"{\"a\":[{\"x\":1},{\"x\":2}],\"a\":[{\"x\":3}]}", "a.0.x", "3", WB_JSON_NUMBER},
	{"{\"a\":[{\"x\":1},{\"x\":2}],\"a\":[{\"x\":3}]}", "a.1.x", NULL, 0},
	{"{\"a\":{\"b\":{\"c\":1},\"b\":{}},\"a\":{\"b\":{\"c\":2}}}", "a.b.c", "2", WB_JSON_NUMBER},
	{"{\"a\":{\"b\":{\"c\":2}},\"a\":{\"b\":{\"c\":1},\"b\":{}}}", "a.b.c", NULL, 0},
	/* arrays in arrays: an index matches once */
	{"[[1,2],[3,4],[5,6]]", "0.1", "2", WB_JSON_NUMBER},
	{"[[1,2],[3,4],[5,6]]", "1.0", "3", WB_JSON_NUMBER},
	{"[[1,2],[3,4],[5,6]]", "2.1", "6", WB_JSON_NUMBER},
	{"[[1,2],[3,4],[5,6]]", "1", "[3,4]", WB_JSON_ARRAY},
	{"[[1],[3,4]]", "0.1", NULL, 0},
	{"[0,[1,[2,[3]]]]", "1.1.1.0", "3", WB_JSON_NUMBER},
	{"[{},{\"a\":[[],[7]]},{\"a\":[[],[8]]}]", "1.a.1.0", "7", WB_JSON_NUMBER},
	{"{\"0\":\"object\"}", "0", "object", WB_JSON_STRING},
	{"[ \"x\" , { \"y\" : { \"z\" : [ ] } } ]", "1.y", "{ \"z\" : [ ] }", WB_JSON_OBJECT},
	/* scalars at the top have no members */
	{"1", "", NULL, 0},
	{"\"a\"", "a", NULL, 0},
	/* keys that need unescaping */
	{"{\"\\ud83d\\ude00\":1}", "\xF0\x9F\x98\x80", "1", WB_JSON_NUMBER},
	{"{\"\\ud83d\":1}", "\xF0\x9F\x98\x80", NULL, 0},
	{"{\"\\n\\\\\\\"\":1}", "\n\\\"", "1", WB_JSON_NUMBER},
	{"{\"\\u00e9\":1}", "\xC3\xA9", "1", WB_JSON_NUMBER},
	/* what jsonb would refuse is JSON all the same */
	{"{\"a\":\"\\u0000\",\"b\":1}", "b", "1", WB_JSON_NUMBER},
	{"{\"a\":\"\\ud800\",\"b\":1e9999}", "b", "1e9999", WB_JSON_NUMBER},
	/* the text as a whole has to be valid */
	{"{\"a\":1", "a", NULL, 0},
	{"{\"a\":1}}", "a", NULL, 0},
	{"{\"a\":1,}", "a", NULL, 0},
	{"{\"a\":1,\"b\":\"\xFF\"}", "a", NULL, 0},
};

static void
test_find(void)
{
	for (size_t i = 0; i < LENGTH_OF(find_cases); i++)
	{
		const FindCase *find_case = &find_cases[i];
		size_t len = strlen(find_case->text);
		size_t path_len = strlen(find_case->path);
		char *text = guarded(find_case->text, len);
		char *path = guarded(find_case->path, path_len);
		WbJsonValue value;

		unit_case("%s in %s", find_case->path, find_case->text);
		if (!wb_json_find(wb_slice(text, len), wb_slice(path, path_len), &value))
			CHECK(find_case->found == NULL);
		else if (CHECK(find_case->found != NULL))
		{
			CHECK_SLICE(value.text, find_case->found);
			CHECK_INT(value.type, find_case->type);
			CHECK_INT(value.has_escapes,
					  value.type == WB_JSON_STRING && strchr(find_case->found, '\\') != NULL);
		}
		guarded_free(text);
		guarded_free(path);
	}
}

static void
test_find_deep(void)
{
	char text[2 * WB_JSON_MAX_DEPTH + 2];
	char path[2 * WB_JSON_MAX_DEPTH + 2];
	WbJsonValue value;

	memset(text, '[', WB_JSON_MAX_DEPTH);
	text[WB_JSON_MAX_DEPTH] = '1';
	memset(text + WB_JSON_MAX_DEPTH + 1, ']', WB_JSON_MAX_DEPTH);
	for (int i = 0; i <= WB_JSON_MAX_DEPTH; i++)
		memcpy(path + 2 * i, "0.", 2);
	CHECK(wb_json_find(wb_slice(text, 2 * WB_JSON_MAX_DEPTH + 1),
					   wb_slice(path, 2 * WB_JSON_MAX_DEPTH - 1), &value));
	CHECK_SLICE(value.text, "1");
	CHECK(!wb_json_find(wb_slice(text, 2 * WB_JSON_MAX_DEPTH + 1),
						wb_slice(path, 2 * WB_JSON_MAX_DEPTH + 1), &value));
}

typedef struct EmitCase
{
	const char *text; /* value of the member "v" */
	const char *emitted;
	size_t len;
} EmitCase;

#define EMITTED(text) text, sizeof(text) - 1

static const EmitCase emit_cases[] = {
	{"\"\"", EMITTED("")},
	{"\"plain\"", EMITTED("plain")},
	{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", EMITTED("\"\\/\b\f\n\r\t")},
	{"\"a\\u0041b\"", EMITTED("aAb")},
	{"\"\\u0000\"", EMITTED("\0")},
	{"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"", EMITTED("\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF")},
	{"\"\\ud800\\udc00\\udbff\\udfff\"", EMITTED("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF")},
	{"\"\\u20AC\xE2\x82\xAC\"", EMITTED("\xE2\x82\xAC\xE2\x82\xAC")},
	{"\"\\ud800\"", NULL, 0},
	{"\"x\\udc00\"", NULL, 0},
	{"\"\\ud800\\ud800\\udc00\"", NULL, 0},
	{"-12.50E+3", EMITTED("-12.50E+3")},
	{"true", EMITTED("true")},
	{"false", EMITTED("false")},
	{"null", NULL, 0},
	{"{}", NULL, 0},
	{"[1]", NULL, 0},
};

static void
test_emit(void)
{
	for (size_t i = 0; i < LENGTH_OF(emit_cases); i++)
	{
		char document[200];
		char out[200];
		WbTextBuffer buffer = {out, 0, sizeof(out)};
		WbJsonValue value;
		bool emitted;

		unit_case("%s", emit_cases[i].text);
		snprintf(document, sizeof(document), "{\"v\":%s}", emit_cases[i].text);
		if (!CHECK(wb_json_find(wb_slice_cstring(document), wb_slice_cstring("v"), &value)))
			continue;
		emitted = wb_json_emit(&value, wb_text_sink, &buffer);
		CHECK_INT(emitted, emit_cases[i].emitted != NULL);
		if (!emitted)
			continue;
		CHECK_BYTES(out, buffer.len, emit_cases[i].emitted, emit_cases[i].len);
		if (buffer.len == 0)
			continue;
		buffer.capacity = buffer.len - 1;
		buffer.len = 0;
		CHECK(!wb_json_emit(&value, wb_text_sink, &buffer));
	}
}

/* Longer than what is gathered in front of the sink. */
static void
test_emit_long(void)
{
	static char text[4096];
	static char expected[4096];
	static char out[4096];
	WbTextBuffer buffer = {out, 0, sizeof(out)};
	WbJsonValue value = {WB_JSON_STRING, {text, 0}, true};
	size_t expected_len = 0;

	for (int i = 0; i < 300; i++)
	{
		memcpy(text + value.text.len, "ab\\n\\u00e9", 10);
		value.text.len += 10;
		memcpy(expected + expected_len, "ab\n\xC3\xA9", 5);
		expected_len += 5;
	}
	memset(text + value.text.len, 'x', 600);
	memset(expected + expected_len, 'x', 600);
	value.text.len += 600;
	expected_len += 600;
	CHECK(wb_json_emit(&value, wb_text_sink, &buffer));
	CHECK_BYTES(out, buffer.len, expected, expected_len);
	for (buffer.capacity = 0; buffer.capacity < expected_len; buffer.capacity++)
	{
		buffer.len = 0;
		CHECK(!wb_json_emit(&value, wb_text_sink, &buffer));
	}
}

/* A value that did not come from wb_json_find() must not be overread. */
static void
test_emit_broken(void)
{
	static const char *const texts[] = {"\\", "a\\", "\\u", "\\u12", "\\u123", "\\x", "\\ud800\\u"};

	for (size_t i = 0; i < LENGTH_OF(texts); i++)
	{
		size_t len = strlen(texts[i]);
		char *copy = guarded(texts[i], len);
		char out[20];
		WbTextBuffer buffer = {out, 0, sizeof(out)};
		WbJsonValue value = {WB_JSON_STRING, {copy, len}, true};

		unit_case("%s", texts[i]);
		CHECK(!wb_json_emit(&value, wb_text_sink, &buffer));
		guarded_free(copy);
	}
}

/* Decides about UTF-8 by decoding, to compare with. */
static bool
decodes(const unsigned char *bytes, size_t len)
{
	size_t i = 0;

	while (i < len)
	{
		static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
		size_t need = bytes[i] < 0x80 ? 1 : bytes[i] >> 5 == 6 ? 2
										: bytes[i] >> 4 == 14  ? 3
										: bytes[i] >> 3 == 30  ? 4
															   : 0;
		uint32_t code;

		if (need == 0 || need > len - i)
			return false;
		code = need == 1 ? bytes[i] : bytes[i] & (0x7Fu >> need);
		for (size_t k = 1; k < need; k++)
		{
			if (bytes[i + k] >> 6 != 2)
				return false;
			code = code << 6 | (bytes[i + k] & 0x3F);
		}
		if (code < least[need] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
			return false;
		i += need;
	}
	return true;
}

static void
test_utf8(void)
{
	/* bounds of the ranges that RFC 3629 tells apart */
	static const unsigned char bounds[] = {
		0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1,
		0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
	size_t count = LENGTH_OF(bounds);

	CHECK(wb_utf8_valid(NULL, 0));
	for (size_t i = 0; i < count * count * count * count; i++)
	{
		unsigned char bytes[4] = {
			bounds[i % count], bounds[i / count % count],
			bounds[i / count / count % count], bounds[i / count / count / count]};
		char padded[15] = "abcdefghijk";

		for (size_t len = 1; len <= 4; len++)
		{
			bool expected = decodes(bytes, len);

			memcpy(padded + 11, bytes, len);
			unit_case("%02x %02x %02x %02x, %zu bytes", bytes[0], bytes[1], bytes[2], bytes[3], len);
			if (wb_utf8_valid((const char *) bytes, len) != expected ||
				wb_utf8_valid(padded, 11 + len) != expected)
				CHECK(false);
		}
	}
}

static void
test_utf8_guarded(void)
{
	static const char text[] = "abcdefgh\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";

	for (size_t cut = 0; cut < sizeof(text); cut++)
	{
		char *copy = guarded(text, cut);

		unit_case("first %zu bytes", cut);
		CHECK_INT(wb_utf8_valid(copy, cut), decodes((const unsigned char *) text, cut));
		guarded_free(copy);
	}
}

int
main(void)
{
	RUN(test_classify);
	RUN(test_control_bytes);
	RUN(test_runs);
	RUN(test_prefixes);
	RUN(test_depth);
	RUN(test_size_limits);
	RUN(test_find);
	RUN(test_find_deep);
	RUN(test_emit);
	RUN(test_emit_long);
	RUN(test_emit_broken);
	RUN(test_utf8);
	RUN(test_utf8_guarded);
	return unit_finish();
}
