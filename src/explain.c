/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  What explain_signature() says is found out here.
 *
 * One function, inspect_signature(), which verifies as a receiver does and
 * tells what it saw on the way.  The scheme comes as an argument, so that the
 * SQL function that calls it can ask what would be if one column were another.
 * Sentences, and the search for the cause, are SQL (extension/65_explain.sql).
 *
 * It never hands out a secret: where the signed text contains it, it is masked,
 * and of a token nothing is told but its length.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "datum.h"
#include "endpoint.h"
#include "signature.h"

PG_FUNCTION_INFO_V1(webhook_bridge_inspect_signature);

/* The columns of inspect_signature(). */
enum ResultColumn
{
	RESULT_VERDICT,
	RESULT_MATCHED,
	RESULT_PROBLEM,
	RESULT_SIGNATURE,
	RESULT_ELEMENTS,
	RESULT_CANDIDATES,
	RESULT_TS,
	RESULT_SIGNED_AT,
	RESULT_CONTENT,
	RESULT_MISSING,
	RESULT_EXPECTED,
	RESULTS
};

static bool read_scheme(HeapTupleHeader kind, WbScheme *scheme, const char **problem);
static void read_message(HeapTupleHeader request, WbMessage *message);
static void inspect(const WbScheme *scheme, WbKey *key, WbMessage *message, TimestampTz at,
					Datum *values, bool *nulls);
static Datum required_member(HeapTupleHeader row, const char *name);
static WbSlice member_bytes(HeapTupleHeader row, const char *name);
static int member_texts(HeapTupleHeader row, const char *name, WbSlice **texts);
static void put_text(Datum *values, bool *nulls, int column, const char *text, size_t len);

/*
 * inspect_signature(request, secret) → a row, declared in
 * extension/65_explain.sql.  Raises no error for what a delivery, a scheme or
 * a secret contains; none of them, nor the time, may be null.
 */
Datum
webhook_bridge_inspect_signature(PG_FUNCTION_ARGS)
{
	HeapTupleHeader request;
	TupleDesc desc;
	Datum values[RESULTS] = {0};
	bool nulls[RESULTS];
	WbScheme scheme;
	WbMessage message = {0};
	WbKey key = {0};
	Datum kind;
	TimestampTz at;
	const char *problem;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("request and secret must not be null")));
	request = PG_GETARG_HEAPTUPLEHEADER(0);
	kind = required_member(request, "kind");
	at = DatumGetTimestampTz(required_member(request, "at"));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "inspect_signature() must return a row");
	memset(nulls, true, sizeof(nulls));
	values[RESULT_MATCHED] = BoolGetDatum(false);
	nulls[RESULT_MATCHED] = false;

	read_message(request, &message);
	if (!read_scheme(DatumGetHeapTupleHeader(kind), &scheme, &problem) ||
		!wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_secret_bytes(PG_GETARG_DATUM(1)), &problem))
		put_text(values, nulls, RESULT_PROBLEM, problem, strlen(problem));
	else
	{
		PG_TRY();
		{
			inspect(&scheme, &key, &message, at, values, nulls);
		}
		PG_CATCH();
		{
			wb_key_clear(&key);
			PG_RE_THROW();
		}
		PG_END_TRY();
		wb_key_clear(&key);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* Verifies the message and fills in what that tells. */
static void
inspect(const WbScheme *scheme, WbKey *key, WbMessage *message, TimestampTz at,
		Datum *values, bool *nulls)
{
	WbSignatureDetails *details = palloc0(sizeof(WbSignatureDetails));
	size_t length = 0;
	WbTextBuffer content;
	WbVerdict verdict;
	const char *text;

	/* twice, because a sink must not raise an error for want of memory */
	(void) wb_signature_explain(scheme, key, message, wb_unix_ms(at), wb_count_sink, &length, details);
	content.data = MemoryContextAllocHuge(CurrentMemoryContext, length + 1);
	content.len = 0;
	content.capacity = length;
	memset(details, 0, sizeof(*details));
	verdict = wb_signature_explain(scheme, key, message, wb_unix_ms(at), wb_text_sink, &content, details);

	text = wb_verdict_text(verdict);
	put_text(values, nulls, RESULT_VERDICT, text, strlen(text));
	values[RESULT_MATCHED] = BoolGetDatum(verdict == WB_VERIFIED || verdict == WB_STALE ||
										  verdict == WB_BAD_TIMESTAMP || verdict == WB_BODY_CHANGED);
	values[RESULT_ELEMENTS] = Int32GetDatum(details->elements);
	nulls[RESULT_ELEMENTS] = false;
	values[RESULT_CANDIDATES] = Int32GetDatum(details->candidates);
	nulls[RESULT_CANDIDATES] = false;
	if (details->signature_len > 0)
		put_text(values, nulls, RESULT_SIGNATURE, details->signature, details->signature_len);
	if (details->timestamp_len > 0)
		put_text(values, nulls, RESULT_TS, details->timestamp, details->timestamp_len);
	if (details->has_time)
	{
		values[RESULT_SIGNED_AT] = TimestampTzGetDatum(wb_timestamp_from_unix_us(details->signed_at_us));
		nulls[RESULT_SIGNED_AT] = false;
	}
	if (details->failed_part >= 0)
	{
		const WbTemplatePart *part = &scheme->signed_content.parts[details->failed_part];
		char *name = psprintf("{%s%s%.*s}", wb_part_name(part->kind), part->argument.len > 0 ? ":" : "",
							  (int) part->argument.len, part->argument.len > 0 ? part->argument.data : "");

		put_text(values, nulls, RESULT_MISSING, name, strlen(name));
	}
	else if (content.len > 0)
		put_text(values, nulls, RESULT_CONTENT, content.data, content.len);
	if (details->expected_len > 0)
		put_text(values, nulls, RESULT_EXPECTED, details->expected, details->expected_len);
}

/* Reads the columns of a row of providers that make up its scheme. */
static bool
read_scheme(HeapTupleHeader kind, WbScheme *scheme, const char **problem)
{
	WbSchemeText text = {
		.algorithm = member_bytes(kind, "algorithm"),
		.encoding = member_bytes(kind, "encoding"),
		.signature_from = member_bytes(kind, "signature_from"),
		.list_separator = member_bytes(kind, "list_separator"),
		.element_prefix = member_bytes(kind, "element_prefix"),
		.signed_content = member_bytes(kind, "signed_content"),
		.secret_encoding = member_bytes(kind, "secret_encoding"),
		.timestamp_from = member_bytes(kind, "timestamp_from"),
		.timestamp_format = member_bytes(kind, "timestamp_format"),
		.body_digest_from = member_bytes(kind, "body_digest_from"),
		.tolerance_s = -1};
	WbColumnError error;
	bool isnull;
	Datum tolerance = GetAttributeByName(kind, "tolerance", &isnull);

	if (!isnull)
		text.tolerance_s = (int64) rint(DatumGetFloat8(DirectFunctionCall2(interval_part, CStringGetTextDatum("epoch"),
																		   tolerance)));
	if (wb_scheme_parse(&text, scheme, &error))
		return true;
	*problem = error.problem;
	return false;
}

static void
read_message(HeapTupleHeader request, WbMessage *message)
{
	WbSlice *names;
	WbSlice *values;
	WbHeader *headers;
	WbParam *params;

	message->method = member_bytes(request, "method");
	wb_split_url(member_bytes(request, "url"), &message->url, &message->query);
	message->body = member_bytes(request, "body");

	message->header_count = Min(member_texts(request, "header_names", &names),
								member_texts(request, "header_values", &values));
	headers = palloc(sizeof(WbHeader) * Max(message->header_count, 1));
	for (int i = 0; i < message->header_count; i++)
		headers[i] = (WbHeader){names[i], values[i]};
	message->headers = headers;

	message->param_count = Min(member_texts(request, "param_names", &names),
							   member_texts(request, "param_values", &values));
	params = palloc(sizeof(WbParam) * Max(message->param_count, 1));
	for (int i = 0; i < message->param_count; i++)
		params[i] = (WbParam){names[i], values[i]};
	message->params = params;
}

/* A member of a row that nothing can be said without. */
static Datum
required_member(HeapTupleHeader row, const char *name)
{
	bool isnull;
	Datum value = GetAttributeByName(row, name, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("member \"%s\" of the request must not be null", name)));
	return value;
}

/* A text or bytea of a row; empty if null. */
static WbSlice
member_bytes(HeapTupleHeader row, const char *name)
{
	bool isnull;
	Datum value = GetAttributeByName(row, name, &isnull);

	return isnull ? wb_slice(NULL, 0) : wb_text_slice(value);
}

/* Takes an array of texts apart; returns how many there are. */
static int
member_texts(HeapTupleHeader row, const char *name, WbSlice **texts)
{
	Datum *elements;
	bool *nulls;
	bool isnull;
	int count = 0;
	Datum array = GetAttributeByName(row, name, &isnull);

	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
						  &elements, &nulls, &count);
	*texts = palloc(sizeof(WbSlice) * Max(count, 1));
	for (int i = 0; i < count; i++)
		(*texts)[i] = nulls[i] ? wb_slice(NULL, 0) : wb_text_slice(elements[i]);
	return count;
}

/* Sets a result of type text or bytea, which look alike. */
static void
put_text(Datum *values, bool *nulls, int column, const char *text, size_t len)
{
	values[column] = PointerGetDatum(cstring_to_text_with_len(text, (int) len));
	nulls[column] = false;
}
