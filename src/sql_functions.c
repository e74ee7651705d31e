/*-------------------------------------------------------------------------
 *
 * sql_functions.c
 *	  What SQL calls: wrappers, and nothing that decides.
 *
 * Secrets arrive here as arguments and are shown in no message.  verify() and
 * sign() keep the last one, prepared, for the next row of the same query, and
 * wipe it when the query ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "datum.h"
#include "endpoint.h"
#include "maintain.h"
#include "shmem.h"
#include "signature.h"

PG_FUNCTION_INFO_V1(webhook_bridge_base_url);
PG_FUNCTION_INFO_V1(webhook_bridge_check_scheme);
PG_FUNCTION_INFO_V1(webhook_bridge_check_template);
PG_FUNCTION_INFO_V1(webhook_bridge_check_handshake);
PG_FUNCTION_INFO_V1(webhook_bridge_check_secret);
PG_FUNCTION_INFO_V1(webhook_bridge_invalidate);
PG_FUNCTION_INFO_V1(webhook_bridge_verify);
PG_FUNCTION_INFO_V1(webhook_bridge_sign);
PG_FUNCTION_INFO_V1(webhook_bridge_status);

/*
 * What a call of verify() or sign() in a query has made of its first two
 * arguments, for the next one.  It is a memory context of its own, below that
 * of the call's FmgrInfo.
 */
typedef struct Prepared
{
	MemoryContext context;
	MemoryContextCallback forget; /* wipes key and secret */
	uint64 generation;            /* of providers when it was read; 0: the scheme is not usable */
	char *provider;
	size_t provider_len;
	WbScheme scheme;
	WbSlice secret; /* as given; empty if there is no key */
	WbKey key;
} Prepared;

/* Raised by whatever may have changed rows of providers, in any session. */
static uint64 providers_generation = 1;
static Oid providers_relation = InvalidOid;

static Datum closed_ports(const WbSlotInfo *info);
static Datum failing_tasks(uint32 failing);
static void require_argument(FunctionCallInfo fcinfo, int number, const char *name);
static void load_scheme(const char *provider, WbScheme *scheme);
static Prepared *prepare_scheme(FunctionCallInfo fcinfo, Datum provider);
static WbKey *prepare_key(Prepared *prepared, WbKeyUse use, Datum secret);
static void wipe_key(void *arg);
static void note_invalidation(Datum argument, Oid relation);
static void init_key(WbKey *key, const WbScheme *scheme, WbKeyUse use, Datum secret, const char *provider);
static void read_message(FunctionCallInfo fcinfo, int headers, int body, WbMessage *message);
static void read_headers(Jsonb *object, WbMessage *message);
static void read_params(Jsonb *object, WbMessage *message);
static WbSlice scalar_text(const JsonbValue *value, const char *what);
static char *format_time(TimestampTz at, WbTimeFormat format);
static WbSlice place_of(const WbTemplatePart *locator);
static void add_member(StringInfo json, WbSlice name, WbSlice value);

/* base_url() → text: what delivery URLs start with. */
Datum
webhook_bridge_base_url(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(wb_base_url()));
}

/*
 * check_scheme(WB_SCHEME_COLUMNS) → true, or an error that says which column
 * is wrong.  The CHECK of providers.
 */
Datum
webhook_bridge_check_scheme(PG_FUNCTION_ARGS)
{
	WbSchemeText text = {0};
	WbSlice *const members[] = {
		&text.algorithm, &text.encoding, &text.signature_from, &text.list_separator,
		&text.element_prefix, &text.signed_content, &text.secret_encoding,
		&text.timestamp_from, &text.timestamp_format, &text.body_digest_from};
	WbScheme scheme;
	WbColumnError error;

	for (int i = 0; i < (int) lengthof(members); i++)
		if (!PG_ARGISNULL(i))
			*members[i] = wb_text_slice(PG_GETARG_DATUM(i));
	text.tolerance_s = PG_ARGISNULL(lengthof(members)) ? -1 : PG_GETARG_INT64(lengthof(members));
	if (!PG_ARGISNULL(lengthof(members)) && text.tolerance_s < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid signature scheme"),
				 errdetail("Column \"tolerance\": It is negative."),
				 errhint("Null means that the time of signing is not checked.")));

	if (!wb_scheme_parse(&text, &scheme, &error))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid signature scheme"),
				 errdetail("Column \"%s\": %s", error.column, error.problem),
				 errhint("The rows of webhook_bridge.providers are examples.")));
	PG_RETURN_BOOL(true);
}

/* check_template(text) → true, or an error that says where it is wrong. */
Datum
webhook_bridge_check_template(PG_FUNCTION_ARGS)
{
	WbSlice source = wb_text_slice(PG_GETARG_DATUM(0));
	WbTemplate template;
	WbTemplateError error;

	if (!wb_template_parse(source, &template, &error))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid template \"%s\"", TextDatumGetCString(PG_GETARG_DATUM(0))),
				 errdetail("At byte %d: %s", (int) error.at + 1, error.problem),
				 errhint("A template is text with placeholders such as {header:X-Topic} or {json:data.id}.")));
	for (int i = 0; i < template.part_count; i++)
	{
		WbPartKind kind = template.parts[i].kind;

		if (kind == WB_PART_SECRET || kind == WB_PART_HMAC || kind == WB_PART_TS || kind == WB_PART_SIG)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid template \"%s\"", TextDatumGetCString(PG_GETARG_DATUM(0))),
					 errdetail("{%s} has a value only while a signature is verified.", wb_part_name(kind)),
					 errhint("What events contain is taken from headers, query and body.")));
	}
	PG_RETURN_BOOL(true);
}

/*
 * check_handshake(handshake_if, equals, reply, signed, algorithm) → true, or an
 * error that says which column is wrong.  The CHECK of providers.
 */
Datum
webhook_bridge_check_handshake(PG_FUNCTION_ARGS)
{
	WbHandshakeText text = {0};
	WbHandshake handshake;
	WbColumnError error;

	text.has_condition = !PG_ARGISNULL(0);
	text.has_equals = !PG_ARGISNULL(1);
	text.has_reply = !PG_ARGISNULL(2);
	if (text.has_condition)
		text.condition = wb_text_slice(PG_GETARG_DATUM(0));
	if (text.has_equals)
		text.equals = wb_text_slice(PG_GETARG_DATUM(1));
	if (text.has_reply)
		text.reply = wb_text_slice(PG_GETARG_DATUM(2));
	text.is_signed = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	text.can_be_signed = !PG_ARGISNULL(4) && !wb_slice_equal(wb_text_slice(PG_GETARG_DATUM(4)), wb_slice_cstring("none"));
	if (!wb_handshake_parse(&text, &handshake, &error))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid handshake"),
				 errdetail("Column \"%s\": %s", error.column, error.problem),
				 errhint("The rows \"slack\" and \"dropbox\" of webhook_bridge.providers are examples.")));
	PG_RETURN_BOOL(true);
}

/* check_secret(provider, secret) → true, or an error; never shows the secret. */
Datum
webhook_bridge_check_secret(PG_FUNCTION_ARGS)
{
	char *provider;
	WbScheme scheme;
	WbKey key = {0};

	require_argument(fcinfo, 0, "provider");
	require_argument(fcinfo, 1, "secret");
	provider = TextDatumGetCString(PG_GETARG_DATUM(0));
	load_scheme(provider, &scheme);
	init_key(&key, &scheme, WB_KEY_VERIFY, PG_GETARG_DATUM(1), provider);
	wb_key_clear(&key);
	PG_RETURN_BOOL(true);
}

/*
 * invalidate() → trigger: tells the receivers, when the transaction commits,
 * that rows they may have cached have changed.
 */
Datum
webhook_bridge_invalidate(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("webhook_bridge.invalidate() can only be called as a trigger")));
	CacheInvalidateRelcacheByRelid(RelationGetRelid(((TriggerData *) fcinfo->context)->tg_relation));
	PG_RETURN_POINTER(NULL);
}

/*
 * verify(provider, secret, headers jsonb, body bytea, method, url, at, params)
 * → whether the signature is right at that time.
 */
Datum
webhook_bridge_verify(PG_FUNCTION_ARGS)
{
	Prepared *prepared;
	WbMessage message = {0};
	WbKey *key;
	WbVerdict verdict;

	require_argument(fcinfo, 0, "provider");
	require_argument(fcinfo, 1, "secret");
	require_argument(fcinfo, 2, "headers");
	require_argument(fcinfo, 3, "body");
	require_argument(fcinfo, 6, "at");
	prepared = prepare_scheme(fcinfo, PG_GETARG_DATUM(0));
	read_message(fcinfo, 2, 3, &message);
	key = prepare_key(prepared, WB_KEY_VERIFY, PG_GETARG_DATUM(1));
	verdict = wb_signature_verify(&prepared->scheme, &key, 1, &message,
								  wb_unix_ms(PG_GETARG_TIMESTAMPTZ(6)), NULL);
	PG_RETURN_BOOL(verdict == WB_VERIFIED);
}

/*
 * sign(provider, secret, body bytea, headers jsonb, method, url, at, params) →
 * jsonb: the given headers with those that the signature adds.  A signature that
 * belongs into the body or the query comes as a member named like its locator,
 * "json:path" or "query:name".
 */
Datum
webhook_bridge_sign(PG_FUNCTION_ARGS)
{
	Prepared *prepared;
	const WbScheme *scheme;
	char *ts;
	WbMessage message = {0};
	char bytes[WB_MAX_SIGNATURE_TEXT];
	WbTextBuffer signature = {bytes, 0, sizeof(bytes)};
	int failed_part;
	bool signed_it;
	StringInfoData added;

	require_argument(fcinfo, 0, "provider");
	require_argument(fcinfo, 1, "secret");
	require_argument(fcinfo, 2, "body");
	require_argument(fcinfo, 3, "headers");
	require_argument(fcinfo, 6, "at");
	prepared = prepare_scheme(fcinfo, PG_GETARG_DATUM(0));
	scheme = &prepared->scheme;
	if (!scheme->has_signature)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("deliveries of provider \"%s\" are not signed", prepared->provider),
				 errdetail("Its algorithm is \"none\"."),
				 errhint("Send them as they are, to an endpoint with allow_unverified.")));
	read_message(fcinfo, 3, 2, &message);
	ts = format_time(PG_GETARG_TIMESTAMPTZ(6), scheme->timestamp_format);

	initStringInfo(&added);
	appendStringInfoChar(&added, '{');
	if (scheme->has_timestamp && scheme->timestamp_from.kind == WB_PART_HEADER)
		add_member(&added, place_of(&scheme->timestamp_from), wb_slice_cstring(ts));

	signed_it = wb_signature_sign(scheme, prepare_key(prepared, WB_KEY_SIGN, PG_GETARG_DATUM(1)), &message,
								  wb_slice_cstring(ts), &signature, &failed_part);
	if (!signed_it)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("could not compute the signature of a delivery of provider \"%s\"", prepared->provider),
				 failed_part >= 0
					 ? errdetail("Part %d of what it signs has no value.", failed_part + 1)
					 : errdetail("The timestamp is missing, or the signature too long."),
				 errhint("See signed_content and timestamp_from in webhook_bridge.providers; "
						 "a header that is signed has to be given in \"headers\".")));

	add_member(&added, place_of(&scheme->signature_from), wb_slice(signature.data, signature.len));
	appendStringInfoChar(&added, '}');
	PG_RETURN_DATUM(DirectFunctionCall2(jsonb_concat, PG_GETARG_DATUM(3),
										DirectFunctionCall1(jsonb_in, CStringGetDatum(added.data))));
}

/* status() → a row per receiver and one for the keeper: its columns are declared in extension/70_status.sql. */
Datum
webhook_bridge_status(PG_FUNCTION_ARGS)
{
	static const char *const state_names[] = {
		[WB_SLOT_FREE] = "stopped",
		[WB_SLOT_STARTING] = "starting",
		[WB_SLOT_WAITING] = "waiting",
		[WB_SLOT_BLOCKED] = "blocked",
		[WB_SLOT_LISTENING] = "listening",
		[WB_SLOT_DRAINING] = "draining",
		[WB_SLOT_RUNNING] = "running"};
	enum
	{
		FIXED_COLUMNS = 7,
		COL_TLS_FAILURES = FIXED_COLUMNS + WB_COUNTERS,
		COL_CLOSED_PORTS,
		COL_LAST_RUN,
		COL_FAILING,
		COLUMNS
	};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	WbSlot *slots = wb_shmem_slots();

	if (slots == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("webhook_bridge is not loaded by the server"),
				 errdetail("Without its background processes no deliveries are received."),
				 errhint("Add webhook_bridge to shared_preload_libraries and restart the server.")));

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < WB_SLOTS; i++)
	{
		WbSlotInfo info = wb_slot_read(&slots[i]);
		Datum values[COLUMNS] = {0};
		bool nulls[COLUMNS] = {false};
		char *database = OidIsValid(info.database) ? get_database_name(info.database) : NULL;

		if (info.state == WB_SLOT_FREE && !wb_slot_is_wanted(i))
			continue;
		values[0] = Int32GetDatum(i);
		values[1] = Int32GetDatum(info.pid);
		nulls[1] = info.pid == 0;
		values[2] = CStringGetTextDatum(state_names[info.state]);
		values[3] = TimestampTzGetDatum(info.since);
		nulls[3] = info.since == 0;
		if (database)
			values[4] = CStringGetTextDatum(database);
		nulls[4] = database == NULL;
		values[5] = Int32GetDatum((int32) pg_atomic_read_u32(&slots[i].connections));
		values[6] = Int64GetDatum((int64) pg_atomic_read_u64(&slots[i].batches));
		for (int c = 0; c < WB_COUNTERS; c++)
			values[FIXED_COLUMNS + c] =
				Int64GetDatum((int64) pg_atomic_read_u64(&slots[i].counters[c]));
		values[COL_TLS_FAILURES] =
			Int64GetDatum((int64) pg_atomic_read_u64(&slots[i].tls_failures));
		values[COL_CLOSED_PORTS] = closed_ports(&info);
		if (i == WB_KEEPER_SLOT)
		{
			TimestampTz last_run = (TimestampTz) pg_atomic_read_u64(&slots[i].last_run);

			nulls[0] = true;
			memset(&nulls[5], true, COL_LAST_RUN - 5);
			values[COL_LAST_RUN] = TimestampTzGetDatum(last_run);
			nulls[COL_LAST_RUN] = last_run == 0;
			values[COL_FAILING] = failing_tasks(pg_atomic_read_u32(&slots[i].failing));
		}
		else
			nulls[COL_LAST_RUN] = nulls[COL_FAILING] = true;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* An array of int4, of what is not 0. */
static Datum
closed_ports(const WbSlotInfo *info)
{
	Datum ports[lengthof(info->closed_ports)];
	int count = 0;

	for (int i = 0; i < (int) lengthof(info->closed_ports); i++)
		if (info->closed_ports[i] != 0)
			ports[count++] = Int32GetDatum(info->closed_ports[i]);
	return PointerGetDatum(construct_array(ports, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* The names of tasks as an array. */
static Datum
failing_tasks(uint32 failing)
{
	Datum names[WB_TASKS];
	int count = 0;

	for (int t = 0; t < WB_TASKS; t++)
		if (failing & ((uint32) 1 << t))
			names[count++] = CStringGetTextDatum(wb_task_names[t]);
	return PointerGetDatum(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
require_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
}

/*
 * Reads a provider's scheme; its texts live in the caller's memory context.
 * Like a catalog, providers is read as it is now and not as the query's
 * snapshot shows it: an invalidation says that there is something newer, and
 * not to whom.
 */
static void
load_scheme(const char *provider, WbScheme *scheme)
{
	MemoryContext caller_context = CurrentMemoryContext;
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(provider)};
	SPIPlanPtr plan;
	bool isnull;

	providers_relation = InvalidOid; /* until it is known, every invalidation counts */
	SPI_connect();
	plan = SPI_prepare("SELECT " WB_SCHEME_COLUMNS ", p.tableoid"
					   " FROM webhook_bridge.providers p WHERE p.name OPERATOR(pg_catalog.=) $1",
					   1, types);
	if (plan == NULL ||
		SPI_execute_snapshot(plan, values, NULL, GetCatalogSnapshot(InvalidOid), InvalidSnapshot,
							 true, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read providers: %s", SPI_result_code_string(SPI_result));
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("provider \"%s\" does not exist", provider),
				 errhint("SELECT name FROM webhook_bridge.providers shows those there are; add one with INSERT.")));

	providers_relation = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
														WB_SCHEME_COLUMN_COUNT + 1, &isnull));
	MemoryContextSwitchTo(caller_context);
	wb_scheme_from_row(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, scheme);
	SPI_finish();
}

/*
 * The scheme of the provider, read again only if this is not what the previous
 * call asked for or rows of providers may have changed since.
 */
static Prepared *
prepare_scheme(FunctionCallInfo fcinfo, Datum provider)
{
	static bool registered = false;
	FmgrInfo *flinfo = fcinfo->flinfo;
	Prepared *prepared = flinfo->fn_extra;
	WbSlice name = wb_text_slice(provider);
	MemoryContext context;
	MemoryContext caller_context;
	uint64 generation;

	if (prepared != NULL)
	{
		if (prepared->generation == providers_generation &&
			wb_slice_equal(name, wb_slice(prepared->provider, prepared->provider_len)))
			return prepared;
		flinfo->fn_extra = NULL;
		MemoryContextDelete(prepared->context);
	}
	if (!registered)
	{
		CacheRegisterRelcacheCallback(note_invalidation, (Datum) 0);
		registered = true;
	}

	/* Before the scheme is read, so that an error leaves nothing behind for long. */
	context = AllocSetContextCreate(flinfo->fn_mcxt, "webhook_bridge prepared", ALLOCSET_SMALL_SIZES);
	prepared = MemoryContextAllocZero(context, sizeof(Prepared));
	prepared->context = context;
	prepared->forget.func = wipe_key;
	prepared->forget.arg = prepared;
	MemoryContextRegisterResetCallback(context, &prepared->forget);
	flinfo->fn_extra = prepared;

	caller_context = MemoryContextSwitchTo(context);
	prepared->provider = pnstrdup(name.data, name.len);
	prepared->provider_len = name.len;
	generation = providers_generation;
	load_scheme(prepared->provider, &prepared->scheme);
	prepared->generation = generation;
	MemoryContextSwitchTo(caller_context);
	return prepared;
}

/*
 * The key made of the secret, made again only if that differs from the last.
 * The use is the same whenever a call site asks.
 */
static WbKey *
prepare_key(Prepared *prepared, WbKeyUse use, Datum secret)
{
	WbSlice given = wb_text_slice(secret);
	char *copy;

	if (prepared->secret.len > 0 && wb_slice_equal(given, prepared->secret))
		return &prepared->key;
	wipe_key(prepared);
	init_key(&prepared->key, &prepared->scheme, use, secret, prepared->provider);
	copy = MemoryContextAlloc(prepared->context, given.len);
	memcpy(copy, given.data, given.len);
	prepared->secret = wb_slice(copy, given.len);
	return &prepared->key;
}

/* Also called when the context of what is prepared ends. */
static void
wipe_key(void *arg)
{
	Prepared *prepared = arg;

	wb_key_clear(&prepared->key);
	if (prepared->secret.len > 0)
	{
		explicit_bzero(unconstify(char *, prepared->secret.data), prepared->secret.len);
		pfree(unconstify(char *, prepared->secret.data));
		prepared->secret = wb_slice(NULL, 0);
	}
}

static void
note_invalidation(Datum argument, Oid relation)
{
	if (!OidIsValid(relation) || !OidIsValid(providers_relation) || relation == providers_relation)
		providers_generation++;
}

static void
init_key(WbKey *key, const WbScheme *scheme, WbKeyUse use, Datum secret, const char *provider)
{
	const char *problem;

	if (!wb_key_init(key, scheme, use, wb_secret_bytes(secret), &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the secret cannot be used for provider \"%s\"", provider),
				 errdetail("%s", problem),
				 errhint("See secret_encoding in webhook_bridge.providers.")));
}

/*
 * Reads the arguments that describe a delivery.  Besides headers and body,
 * whose places differ, these are 4 method, 5 url, 7 params.
 */
static void
read_message(FunctionCallInfo fcinfo, int headers, int body, WbMessage *message)
{
	message->method = PG_ARGISNULL(4) ? wb_slice_cstring("POST") : wb_text_slice(PG_GETARG_DATUM(4));
	if (!PG_ARGISNULL(5))
		wb_split_url(wb_text_slice(PG_GETARG_DATUM(5)), &message->url, &message->query);
	message->body = wb_text_slice(PG_GETARG_DATUM(body));
	read_headers(PG_GETARG_JSONB_P(headers), message);
	if (!PG_ARGISNULL(7))
		read_params(PG_GETARG_JSONB_P(7), message);
}

/* {"Name": "value", ...}; an array of values stands for repeated headers. */
static void
read_headers(Jsonb *object, WbMessage *message)
{
	WbHeader *headers;
	int capacity = 16;
	int count = 0;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	WbSlice name = {NULL, 0};
	int depth = 0;

	headers = palloc(sizeof(WbHeader) * capacity);
	iterator = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (token == WJB_END_OBJECT || token == WJB_END_ARRAY)
			depth--;
		else if (token == WJB_BEGIN_OBJECT || token == WJB_BEGIN_ARRAY)
		{
			/* one object, and in it arrays that contain nothing deeper */
			if ((token == WJB_BEGIN_OBJECT) != (depth == 0) || ++depth > 2)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("\"headers\" must be a JSON object of strings"),
						 errhint("For example {\"Content-Type\": \"application/json\"}; "
								 "an array of strings stands for a repeated header.")));
		}
		else if (token == WJB_KEY)
			name = wb_slice(value.val.string.val, value.val.string.len);
		else
		{
			if (count == capacity)
				headers = repalloc(headers, sizeof(WbHeader) * (capacity *= 2));
			headers[count].name = name;
			headers[count++].value = scalar_text(&value, "headers");
		}
	}
	message->headers = headers;
	message->header_count = count;
}

static void
read_params(Jsonb *object, WbMessage *message)
{
	WbParam *params;
	int count = 0;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"params\" must be a JSON object of strings"),
				 errhint("For example {\"webhook_id\": \"8PT597110X687430LKGECATA\"}.")));

	if (JB_ROOT_COUNT(object) == 0)
		return;
	params = palloc(sizeof(WbParam) * JB_ROOT_COUNT(object));
	iterator = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			params[count].name = wb_slice(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			params[count++].value = scalar_text(&value, "params");
	}
	message->params = params;
	message->param_count = count;
}

/* Points into the JSON where it can. */
static WbSlice
scalar_text(const JsonbValue *value, const char *what)
{
	switch (value->type)
	{
		case jbvString:
			return wb_slice(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return wb_slice_cstring(DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))));
		case jbvBool:
			return wb_slice_cstring(value->val.boolean ? "true" : "false");
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the values of \"%s\" must be strings", what)));
	}
	return wb_slice(NULL, 0); /* keep compiler quiet */
}

/* A point in time as a sender of the scheme writes it. */
static char *
format_time(TimestampTz at, WbTimeFormat format)
{
	int64 ms = wb_unix_ms(at);

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("a delivery cannot be signed at an infinite time"),
				 errhint("Leave out \"at\" to sign it now.")));
	if (format == WB_TIME_ISO8601)
	{
		struct pg_tm tm;
		fsec_t fraction;

		if (timestamp2tm(at, NULL, &tm, &fraction, NULL, NULL) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					 errmsg("timestamp out of range")));
		return psprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
						tm.tm_hour, tm.tm_min, tm.tm_sec);
	}
	return psprintf(INT64_FORMAT, format == WB_TIME_SECONDS ? ms / 1000 : ms);
}

/* A header's name; of another place the locator, which no header's name can look like. */
static WbSlice
place_of(const WbTemplatePart *locator)
{
	if (locator->kind == WB_PART_HEADER)
		return locator->argument;
	return wb_slice_cstring(psprintf("%s:%.*s", wb_part_name(locator->kind),
									 (int) locator->argument.len, locator->argument.data));
}

/* A token may have been decoded to bytes that no text, and so no jsonb, can hold. */
static void
add_member(StringInfo json, WbSlice name, WbSlice value)
{
	if (memchr(value.data, '\0', value.len) != NULL ||
		!pg_verify_mbstr(GetDatabaseEncoding(), value.data, (int) value.len, true))
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("the value of \"%.*s\" is not a text", (int) name.len, name.data),
				 errdetail("What the secret stands for are bytes that are not valid in the encoding of the database."),
				 errhint("With secret_encoding \"raw\" the secret is sent as it stands.")));
	if (json->len > 1)
		appendStringInfoChar(json, ',');
	escape_json(json, pnstrdup(name.data, name.len));
	appendStringInfoChar(json, ':');
	escape_json(json, pnstrdup(value.data, value.len));
}
