/*-------------------------------------------------------------------------
 *
 * admit.c
 *	  A delivery that was refused is taken after all, in a session.
 *
 * Goes the way a receiver goes, with the same functions, but in the
 * transaction and with the rights of whoever calls: nothing is visible,
 * notified or durable before the caller's commit.  Works where the library is
 * not preloaded.
 *
 * Rows are read anew by every call, so that a secret added in the same
 * transaction counts, and no key stays in the memory of a session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "datum.h"
#include "store.h"

PG_FUNCTION_INFO_V1(webhook_bridge_admit);

enum AdmitArgument
{
	ARG_PATH,
	ARG_ARRIVED_AT,
	ARG_METHOD,
	ARG_QUERY, /* may be null */
	ARG_HEADER_NAMES,
	ARG_HEADER_VALUES,
	ARG_BODY,
	ARG_REMOTE_ADDR, /* may be null */
	ARGUMENTS
};

static void require_catalog(void);
static void read_delivery(FunctionCallInfo fcinfo, WbDelivery *delivery);
static int read_texts(Datum array, Datum **texts);
static WbSlice utf8_slice(Datum value);
static void judge_and_store(WbDelivery *delivery, WbSlice path);

/*
 * admit(path, arrived_at, method, query, header_names, header_values, body,
 * remote_addr) → (event_id, refusal); both null for a duplicate.
 */
Datum
webhook_bridge_admit(PG_FUNCTION_ARGS)
{
	WbDelivery *delivery = palloc0(sizeof(WbDelivery));
	TupleDesc desc;
	Datum values[2] = {0};
	bool nulls[2] = {true, true};

	for (int i = 0; i < ARGUMENTS; i++)
		if (PG_ARGISNULL(i) && i != ARG_QUERY && i != ARG_REMOTE_ADDR)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument %d must not be null", i + 1)));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	read_delivery(fcinfo, delivery);

	require_catalog();
	wb_endpoints_forget();
	PG_TRY();
	{
		judge_and_store(delivery, wb_text_slice(PG_GETARG_DATUM(ARG_PATH)));
		if (delivery->answer == WB_ANSWER_STORED)
			values[0] = Int64GetDatum(delivery->id);
		else if (delivery->answer != WB_ANSWER_DUPLICATE)
			values[1] = CStringGetTextDatum(delivery->refusal ? delivery->refusal
															  : "it carries no event");
		nulls[0] = delivery->answer != WB_ANSWER_STORED;
		nulls[1] = delivery->answer == WB_ANSWER_STORED || delivery->answer == WB_ANSWER_DUPLICATE;
	}
	PG_FINALLY();
	{
		wb_endpoints_forget();
	}
	PG_END_TRY();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* What a receiver knows from its start on and from each wb_begin(). */
static void
require_catalog(void)
{
	static bool prepared = false;

	if (!prepared)
	{
		wb_catalog_init(true);
		prepared = true;
	}
	wb_catalog_doubt();
	if (!wb_catalog_check())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the loaded library does not fit the extension \"webhook_bridge\""),
				 errdetail("It works with version %s, with all its tables.", WB_SQL_VERSION),
				 errhint("Run ALTER EXTENSION webhook_bridge UPDATE, or restart the server if it still has an older library loaded.")));
}

static void
judge_and_store(WbDelivery *delivery, WbSlice path)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	const WbEndpoint *endpoint;

	delivery->path = path;
	wb_endpoints_find(&path, &endpoint, 1);
	wb_delivery_judge(delivery, endpoint, now);
	if (delivery->answer != WB_ANSWER_STORED)
		return;
	(void) wb_store_deliveries(&delivery, 1, now);
	wb_store_notify(&delivery, 1);
}

static void
read_delivery(FunctionCallInfo fcinfo, WbDelivery *delivery)
{
	Datum *names;
	Datum *values;
	WbHeader *headers;
	int count = read_texts(PG_GETARG_DATUM(ARG_HEADER_NAMES), &names);

	if (read_texts(PG_GETARG_DATUM(ARG_HEADER_VALUES), &values) != count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there must be as many values as names of headers")));
	headers = palloc(sizeof(WbHeader) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		headers[i].name = utf8_slice(names[i]);
		headers[i].value = utf8_slice(values[i]);
	}

	delivery->headers = headers;
	delivery->header_count = count;
	delivery->arrived_at = PG_GETARG_TIMESTAMPTZ(ARG_ARRIVED_AT);
	delivery->method = wb_text_slice(PG_GETARG_DATUM(ARG_METHOD));
	if (!PG_ARGISNULL(ARG_QUERY))
		delivery->query = wb_text_slice(PG_GETARG_DATUM(ARG_QUERY));
	delivery->body = wb_text_slice(PG_GETARG_DATUM(ARG_BODY));
	if (!PG_ARGISNULL(ARG_REMOTE_ADDR))
		delivery->remote_addr = PG_GETARG_DATUM(ARG_REMOTE_ADDR);
}

static int
read_texts(Datum array, Datum **texts)
{
	int count;
	bool *nulls;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  texts, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("names and values of headers must not be null")));
	return count;
}

/*
 * A header's text as it was on the wire, unless it was not UTF-8, which
 * wb_delivery_headers_json() takes as ISO 8859-1: a signature over such a value
 * does not verify.
 */
static WbSlice
utf8_slice(Datum value)
{
	char *bytes = TextDatumGetCString(value);

	return wb_slice_cstring(pg_server_to_any(bytes, (int) strlen(bytes), PG_UTF8));
}
