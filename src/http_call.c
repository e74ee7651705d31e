/*-------------------------------------------------------------------------
 *
 * http_call.c
 *	  The SQL function http_call(): between rows and the client.
 *
 * Providers speak UTF-8.  The request is converted from the database's
 * encoding, the answer's body into it, or it is an error: a body is never
 * changed.  Headers are only read by machines; in their values what is not
 * printable ASCII becomes a question mark.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "http_client.h"
#include "http_failure.h"
#include "slice.h"

PG_FUNCTION_INFO_V1(webhook_bridge_http_call);

#define INITIAL_FIELDS 32

typedef struct ReceivedField
{
	char *name; /* in lower case */
	StringInfoData value;
} ReceivedField;

static char *member(HeapTupleHeader row, int number, const char *name);
static void read_fields(HeapTupleHeader row, WbHttpRequest *request);
static const char *field_value(const JsonbValue *value);
static char *to_utf8(const char *text);
static Datum fields_jsonb(WbSlice lines);
static char *take_name(WbSlice *line);
static void append_printable(StringInfo to, WbSlice text);
static void push_string(JsonbParseState **state, JsonbIteratorToken token, char *text);
static Datum body_text(const WbHttpResponse *response);
static void raise_unreadable(const WbHttpResponse *response, const char *problem);

/* http_call(request http_request, idempotent boolean) → http_response */
Datum
webhook_bridge_http_call(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row;
	WbHttpRequest request = {0};
	WbHttpResponse response = {0};
	TupleDesc columns;
	Datum values[3];
	bool nulls[3] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", PG_ARGISNULL(0) ? "request" : "idempotent")));
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE || columns->natts != lengthof(values))
		elog(ERROR, "http_call() does not return an http_response");

	row = PG_GETARG_HEAPTUPLEHEADER(0);
	request.method = member(row, 1, "method");
	request.url = member(row, 2, "url");
	read_fields(row, &request);
	request.body = member(row, 4, NULL);
	request.body_len = request.body ? strlen(request.body) : 0;
	request.idempotent = PG_GETARG_BOOL(1);

	wb_http_send(&request, &response);

	values[0] = Int32GetDatum(response.status);
	values[1] = fields_jsonb(response.fields);
	values[2] = body_text(&response);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
}

/* A text of the request in UTF-8; NULL if it is null, which only those without a name may be. */
static char *
member(HeapTupleHeader row, int number, const char *name)
{
	bool isnull;
	Datum value = GetAttributeByNum(row, number, &isnull);

	if (isnull && name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"%s\" of an HTTP request must not be null", name)));
	return isnull ? NULL : to_utf8(TextDatumGetCString(value));
}

/* {"Name": "value", ...}; an array of values stands for repeated headers. */
static void
read_fields(HeapTupleHeader row, WbHttpRequest *request)
{
	bool isnull;
	Datum value = GetAttributeByNum(row, 3, &isnull);
	WbHttpField *fields;
	int capacity = 8;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue json;
	const char *name = NULL;
	int depth = 0;

	if (isnull)
		return;
	fields = palloc(sizeof(WbHttpField) * capacity);
	iterator = JsonbIteratorInit(&DatumGetJsonbP(value)->root);
	while ((token = JsonbIteratorNext(&iterator, &json, false)) != WJB_DONE)
	{
		if (token == WJB_END_OBJECT || token == WJB_END_ARRAY)
			depth--;
		else if (token == WJB_BEGIN_OBJECT || token == WJB_BEGIN_ARRAY)
		{
			/* one object, and in it arrays that contain nothing deeper */
			if ((token == WJB_BEGIN_OBJECT) != (depth == 0) || ++depth > 2)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("\"headers\" of an HTTP request must be a JSON object of strings")));
		}
		else if (token == WJB_KEY)
			name = to_utf8(pnstrdup(json.val.string.val, json.val.string.len));
		else
		{
			if (request->field_count == capacity)
				fields = repalloc(fields, sizeof(WbHttpField) * (capacity *= 2));
			fields[request->field_count].name = name;
			fields[request->field_count++].value = field_value(&json);
		}
	}
	request->fields = fields;
}

static const char *
field_value(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return to_utf8(pnstrdup(value->val.string.val, value->val.string.len));
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"headers\" of an HTTP request must be a JSON object of strings")));
	}
	return NULL; /* keep compiler quiet */
}

static char *
to_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

/*
 * Header lines as an object: names in lower case, values of repeated ones
 * joined by commas (RFC 9110, section 5.3).
 */
static Datum
fields_jsonb(WbSlice lines)
{
	ReceivedField *fields = palloc(sizeof(ReceivedField) * INITIAL_FIELDS);
	ReceivedField *field = NULL;
	int capacity = INITIAL_FIELDS;
	int count = 0;
	WbSlice line;
	JsonbParseState *state = NULL;
	JsonbValue *object;

	(void) wb_slice_next(&lines, '\n', &line); /* the status line */
	while (wb_slice_next(&lines, '\n', &line))
	{
		char *name;

		/* a continuation, which nobody should send any more */
		if (line.len > 0 && (line.data[0] == ' ' || line.data[0] == '\t'))
		{
			if (field != NULL)
			{
				appendStringInfoChar(&field->value, ' ');
				append_printable(&field->value, line);
			}
			continue;
		}
		field = NULL;
		name = take_name(&line);
		if (name == NULL)
			continue;
		for (int i = 0; i < count && field == NULL; i++)
			if (strcmp(fields[i].name, name) == 0)
				field = &fields[i];
		if (field != NULL)
			appendStringInfoString(&field->value, ", ");
		else
		{
			if (count == capacity)
				fields = repalloc(fields, sizeof(ReceivedField) * (capacity *= 2));
			field = &fields[count++];
			field->name = name;
			initStringInfo(&field->value);
		}
		append_printable(&field->value, line);
	}

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count; i++)
	{
		push_string(&state, WJB_KEY, fields[i].name);
		push_string(&state, WJB_VALUE, fields[i].value.data);
	}
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(object));
}

/* Takes the name off a header line; NULL if it has none. */
static char *
take_name(WbSlice *line)
{
	WbSlice name;
	StringInfoData lower;

	if (line->len == 0 || memchr(line->data, ':', line->len) == NULL || !wb_slice_next(line, ':', &name))
		return NULL;
	initStringInfo(&lower);
	append_printable(&lower, name);
	for (int i = 0; i < lower.len; i++)
		lower.data[i] = wb_ascii_lower(lower.data[i]);
	return lower.len > 0 ? lower.data : NULL;
}

/* Without white space around it. */
static void
append_printable(StringInfo to, WbSlice text)
{
	while (text.len > 0 && strchr(" \t\r", text.data[0]) != NULL)
		text = wb_slice(text.data + 1, text.len - 1);
	while (text.len > 0 && strchr(" \t\r", text.data[text.len - 1]) != NULL)
		text.len--;
	for (size_t i = 0; i < text.len; i++)
		appendStringInfoChar(to, text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?');
}

static void
push_string(JsonbParseState **state, JsonbIteratorToken token, char *text)
{
	JsonbValue json;

	json.type = jbvString;
	json.val.string.val = text;
	json.val.string.len = strlen(text);
	(void) pushJsonbValue(state, token, &json);
}

/* The body in the database's encoding. */
static Datum
body_text(const WbHttpResponse *response)
{
	WbSlice body = response->body;
	Oid conversion;
	unsigned char *converted;
	int converted_size;

	if (body.len == 0)
		return CStringGetTextDatum("");
	if (!pg_verify_mbstr(PG_UTF8, body.data, (int) body.len, true))
		raise_unreadable(response, "It is not UTF-8, or contains a zero byte.");
	if (GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return PointerGetDatum(cstring_to_text_with_len(body.data, (int) body.len));

	conversion = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	if (!OidIsValid(conversion))
		raise_unreadable(response, "There is no conversion from UTF-8 into the database's encoding.");
	converted_size = (int) body.len * MAX_CONVERSION_GROWTH + 1;
	converted = MemoryContextAllocHuge(CurrentMemoryContext, converted_size);
	if (pg_do_encoding_conversion_buf(conversion, PG_UTF8, GetDatabaseEncoding(),
									  (unsigned char *) unconstify(char *, body.data), (int) body.len,
									  converted, converted_size, true) != (int) body.len)
		raise_unreadable(response, "It contains a character that the database's encoding does not have.");
	return CStringGetTextDatum((char *) converted);
}

static void
raise_unreadable(const WbHttpResponse *response, const char *problem)
{
	ereport(ERROR,
			(errcode(WB_ERRCODE_HTTP_ANSWER),
			 errmsg("the answer of \"%s\" cannot be read as text", response->host),
			 errdetail("%s: status %d. %s", response->call, response->status, problem)));
}
