/*-------------------------------------------------------------------------
 *
 * endpoint.c
 *	  Endpoints and providers as a receiver uses them.
 *
 * A cache from path to endpoint, filled on demand: a path that is not there is
 * looked up in the tables, all those of a batch in one query.  Unknown paths
 * are not remembered, so that nobody can fill memory with them.  Templates and
 * schemes are parsed once per provider and shared by its endpoints.
 *
 * Everything cached lives in one memory context that is thrown away as a whole
 * when wb_catalog_generation() has changed or the cache has grown too large;
 * keys are wiped by a callback of that context.  One cache per process, no
 * locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "endpoint.h"
#include "guc.h"

#define MAX_CACHED 20000 /* endpoints; a bound on memory, not on endpoints */

typedef struct CacheEntry
{
	char path[WB_MAX_PATH + 1];
	WbEndpoint *endpoint;
} CacheEntry;

static MemoryContext cache_context = NULL;
static HTAB *endpoints_by_path;
static HTAB *providers_by_name;
static uint64 cache_generation = 0;
static char *cache_base_url; /* what the cached URLs start with */
static SPIPlanPtr load_plan = NULL;

/*
 * One row per endpoint.  The three lists of secrets are ordered alike: newest
 * first, so that the secret in use after a rotation is tried first.
 */
#define LOAD_QUERY                                                                                             \
	"SELECT e.path, e.id, e.name, e.channel, e.notify, e.dedup, e.max_body_size, e.allow_unverified, "         \
	"ARRAY(SELECT m.key FROM pg_catalog.jsonb_each_text(e.params) m ORDER BY m.key), "                         \
	"ARRAY(SELECT coalesce(m.value, '') FROM pg_catalog.jsonb_each_text(e.params) m ORDER BY m.key), "         \
	"ARRAY(SELECT s.label FROM webhook_bridge.secrets s WHERE s.endpoint = e.name "                            \
	"      ORDER BY s.created_at DESC, s.label), "                                                             \
	"ARRAY(SELECT s.secret FROM webhook_bridge.secrets s WHERE s.endpoint = e.name "                           \
	"      ORDER BY s.created_at DESC, s.label), "                                                             \
	"ARRAY(SELECT coalesce(s.expires_at, 'infinity') FROM webhook_bridge.secrets s WHERE s.endpoint = e.name " \
	"      ORDER BY s.created_at DESC, s.label), "                                                             \
	"p.name, p.get_deliveries, p.occurred_at_format, "                                                         \
	"p.handshake_if, p.handshake_equals, p.handshake_reply, "                                                  \
	"p.handshake_type = 'application/json', p.handshake_signed, "                                              \
	"p.topic_from, p.external_id_from, p.source_from, p.webhook_remote_id_from, "                              \
	"p.error_code_from, p.occurred_at_from, p.content_from, " WB_SCHEME_COLUMNS                                \
	" FROM webhook_bridge.endpoints e JOIN webhook_bridge.providers p ON p.name = e.provider"                  \
	" WHERE e.path = ANY ($1) AND e.enabled"

enum LoadColumn
{
	COL_PATH = 1,
	COL_ID,
	COL_NAME,
	COL_CHANNEL,
	COL_NOTIFY,
	COL_DEDUP,
	COL_MAX_BODY_SIZE,
	COL_ALLOW_UNVERIFIED,
	COL_PARAM_NAMES,
	COL_PARAM_VALUES,
	COL_SECRET_LABELS,
	COL_SECRETS,
	COL_SECRET_EXPIRES,
	COL_PROVIDER,
	COL_GET_DELIVERIES,
	COL_OCCURRED_AT_FORMAT,
	COL_HANDSHAKE_IF,
	COL_HANDSHAKE_EQUALS,
	COL_HANDSHAKE_REPLY,
	COL_HANDSHAKE_IS_JSON,
	COL_HANDSHAKE_SIGNED,
	COL_FIRST_FIELD,
	COL_CONTENT = COL_FIRST_FIELD + WB_FIELDS,
	COL_FIRST_SCHEME
};

static void reset_cache(void);
static void load(const WbSlice *paths, int count);
static WbEndpoint *make_endpoint(HeapTuple row, TupleDesc desc, const WbProvider *provider);
static void make_secrets(WbEndpoint *endpoint, HeapTuple row, TupleDesc desc);
static const WbProvider *make_provider(HeapTuple row, TupleDesc desc);
static bool make_template(const char *provider, char *text, WbTemplate *template);
static void make_handshake(WbProvider *provider, HeapTuple row, TupleDesc desc);
static void forget_keys(void *argument);
static CacheEntry *find_cached(WbSlice path);
static Datum column(HeapTuple row, TupleDesc desc, int number, bool *isnull);
static char *text_column(HeapTuple row, TupleDesc desc, int number);
static int array_column(HeapTuple row, TupleDesc desc, int number, Oid type, Datum **values);

void
wb_endpoints_find(const WbSlice *paths, const WbEndpoint **found, int count)
{
	WbSlice *missing;
	int missing_count = 0;

	if (cache_context == NULL || cache_generation != wb_catalog_generation() ||
		hash_get_num_entries(endpoints_by_path) > MAX_CACHED ||
		strcmp(cache_base_url, wb_base_url()) != 0)
		reset_cache();

	missing = palloc(sizeof(WbSlice) * count);
	for (int i = 0; i < count; i++)
		if (find_cached(paths[i]) == NULL)
			missing[missing_count++] = paths[i];
	if (missing_count > 0)
		load(missing, missing_count);

	for (int i = 0; i < count; i++)
	{
		CacheEntry *entry = find_cached(paths[i]);

		found[i] = entry ? entry->endpoint : NULL;
	}
}

static CacheEntry *
find_cached(WbSlice path)
{
	char key[WB_MAX_PATH + 1];

	if (path.len > WB_MAX_PATH)
		return NULL;
	memcpy(key, path.data, path.len);
	key[path.len] = '\0';
	return hash_search(endpoints_by_path, key, HASH_FIND, NULL);
}

void
wb_endpoints_forget(void)
{
	cache_generation = 0; /* the next search starts with an empty cache */
	if (cache_context != NULL)
		MemoryContextReset(cache_context);
}

/* Starts with an empty cache.  The old one's keys are wiped by forget_keys(). */
static void
reset_cache(void)
{
	HASHCTL control = {0};

	cache_generation = 0; /* not usable if an error interrupts us */
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(TopMemoryContext, "webhook_bridge endpoints",
											  ALLOCSET_DEFAULT_SIZES);
	else
		MemoryContextReset(cache_context);

	control.hcxt = cache_context;
	control.keysize = WB_MAX_PATH + 1;
	control.entrysize = sizeof(CacheEntry);
	endpoints_by_path = hash_create("webhook_bridge endpoints by path", 64, &control,
									HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	control.keysize = sizeof(((WbProvider *) NULL)->name);
	control.entrysize = sizeof(WbProvider);
	providers_by_name = hash_create("webhook_bridge providers by name", 16, &control,
									HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	cache_base_url = MemoryContextStrdup(cache_context, wb_base_url());
	cache_generation = wb_catalog_generation();
}

/*
 * Reads endpoints into the cache.  An invalidation that arrives meanwhile has
 * raised the generation, so the next transaction reads them again.
 */
static void
load(const WbSlice *paths, int count)
{
	Datum *values = palloc(sizeof(Datum) * count);
	Datum argument;
	Oid type = TEXTARRAYOID;
	uint64 generation = cache_generation;

	cache_generation = 0; /* an error throws the cache away, with what is half made in it */

	for (int i = 0; i < count; i++)
		values[i] = PointerGetDatum(cstring_to_text_with_len(paths[i].data, (int) paths[i].len));
	argument = PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));

	SPI_connect();
	if (load_plan == NULL)
	{
		load_plan = SPI_prepare(LOAD_QUERY, 1, &type);
		if (load_plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(load_plan);
	}
	if (SPI_execute_plan(load_plan, &argument, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read endpoints: %s", SPI_result_code_string(SPI_result));

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		MemoryContext old_context = MemoryContextSwitchTo(cache_context);
		WbEndpoint *endpoint = make_endpoint(row, desc, make_provider(row, desc));
		CacheEntry *entry = hash_search(endpoints_by_path, text_column(row, desc, COL_PATH),
										HASH_ENTER, NULL);

		entry->endpoint = endpoint;
		MemoryContextSwitchTo(old_context);
	}
	SPI_finish();
	cache_generation = generation;
}

/* Runs in the cache's context, as do the functions it calls. */
static WbEndpoint *
make_endpoint(HeapTuple row, TupleDesc desc, const WbProvider *provider)
{
	WbEndpoint *endpoint = palloc0(sizeof(WbEndpoint));
	char *notify = text_column(row, desc, COL_NOTIFY);
	char *dedup = text_column(row, desc, COL_DEDUP);
	Datum *names;
	Datum *values;
	bool isnull;
	Datum limit;

	endpoint->provider = provider;
	endpoint->id = DatumGetInt32(column(row, desc, COL_ID, &isnull));
	endpoint->name = text_column(row, desc, COL_NAME);
	endpoint->channel = text_column(row, desc, COL_CHANNEL);
	endpoint->notify = strcmp(notify, "event") == 0   ? WB_NOTIFY_EVENT
					   : strcmp(notify, "batch") == 0 ? WB_NOTIFY_BATCH
													  : WB_NOTIFY_NONE;
	endpoint->dedup = strcmp(dedup, "id") == 0        ? WB_DEDUP_ID
					  : strcmp(dedup, "content") == 0 ? WB_DEDUP_CONTENT
													  : WB_DEDUP_NONE;
	limit = column(row, desc, COL_MAX_BODY_SIZE, &isnull);
	endpoint->max_body_size = isnull ? 0 : DatumGetInt32(limit);
	endpoint->allow_unverified = DatumGetBool(column(row, desc, COL_ALLOW_UNVERIFIED, &isnull));
	endpoint->url = wb_slice_cstring(psprintf("%s%s", cache_base_url,
											  text_column(row, desc, COL_PATH)));

	endpoint->param_count = array_column(row, desc, COL_PARAM_NAMES, TEXTOID, &names);
	(void) array_column(row, desc, COL_PARAM_VALUES, TEXTOID, &values);
	endpoint->params = palloc0(sizeof(WbParam) * Max(endpoint->param_count, 1));
	for (int i = 0; i < endpoint->param_count; i++)
	{
		endpoint->params[i].name = wb_slice_cstring(TextDatumGetCString(names[i]));
		endpoint->params[i].value = wb_slice_cstring(TextDatumGetCString(values[i]));
	}

	make_secrets(endpoint, row, desc);
	return endpoint;
}

/*
 * Prepares the keys.  A secret that does not fit its scheme cannot have been
 * written, but may have become so by a change of the provider; it is left out
 * and said in the log, and the endpoint goes on with the others.
 */
static void
make_secrets(WbEndpoint *endpoint, HeapTuple row, TupleDesc desc)
{
	Datum *labels;
	Datum *secrets;
	Datum *expires;
	int count = array_column(row, desc, COL_SECRET_LABELS, TEXTOID, &labels);

	(void) array_column(row, desc, COL_SECRETS, TEXTOID, &secrets);
	(void) array_column(row, desc, COL_SECRET_EXPIRES, TIMESTAMPTZOID, &expires);

	endpoint->secrets = palloc0(sizeof(WbSecret) * Max(count, 1));
	endpoint->forget.func = forget_keys;
	endpoint->forget.arg = endpoint;
	MemoryContextRegisterResetCallback(cache_context, &endpoint->forget);

	for (int i = 0; i < count; i++)
	{
		WbSecret *secret = &endpoint->secrets[endpoint->secret_count];
		WbSlice value = wb_secret_bytes(secrets[i]);
		const char *problem;

		secret->label = TextDatumGetCString(labels[i]);
		secret->expires_at = DatumGetTimestampTz(expires[i]);
		if (wb_key_init(&secret->key, &endpoint->provider->scheme, WB_KEY_VERIFY,
						value, &problem))
			endpoint->secret_count++;
		else
			ereport(WARNING,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("secret \"%s\" of endpoint \"%s\" cannot be used",
							secret->label, endpoint->name),
					 errdetail("%s", problem),
					 errhint("Replace it with webhook_bridge.add_secret().")));
		explicit_bzero(unconstify(char *, value.data), value.len);
	}
}

static void
forget_keys(void *argument)
{
	WbEndpoint *endpoint = (WbEndpoint *) argument;

	for (int i = 0; i < endpoint->secret_count; i++)
		wb_key_clear(&endpoint->secrets[i].key);
	endpoint->secret_count = 0;
}

/* Returns the cached provider of a row, parsing it if it is the first. */
static const WbProvider *
make_provider(HeapTuple row, TupleDesc desc)
{
	char *name = text_column(row, desc, COL_PROVIDER);
	WbProvider *provider = hash_search(providers_by_name, name, HASH_FIND, NULL);
	WbProvider fresh = {0};
	char *format;
	bool isnull;

	if (provider != NULL)
		return provider;

	wb_scheme_from_row(row, desc, COL_FIRST_SCHEME, &fresh.scheme);
	fresh.get_deliveries = DatumGetBool(column(row, desc, COL_GET_DELIVERIES, &isnull));
	format = text_column(row, desc, COL_OCCURRED_AT_FORMAT);
	if (!wb_time_format_parse(wb_slice_cstring(format), &fresh.occurred_at_format))
		elog(ERROR, "provider \"%s\" has an unknown time format", name);
	for (int i = 0; i < WB_FIELDS; i++)
		fresh.has_field[i] = make_template(name, text_column(row, desc, COL_FIRST_FIELD + i), &fresh.field[i]);
	fresh.has_content = make_template(name, text_column(row, desc, COL_CONTENT), &fresh.content);
	make_handshake(&fresh, row, desc);

	/* entered only now, so that an error leaves no half-made provider behind */
	provider = hash_search(providers_by_name, name, HASH_ENTER, NULL);
	strlcpy(fresh.name, name, sizeof(fresh.name));
	*provider = fresh;
	return provider;
}

/* False if there is none, which text == NULL stands for. */
static bool
make_template(const char *provider, char *text, WbTemplate *template)
{
	WbTemplateError error;

	if (text == NULL)
		return false;
	if (!wb_template_parse(wb_slice_cstring(text), template, &error))
		elog(ERROR, "provider \"%s\" has a bad template: %s", provider, error.problem);
	return true;
}

static void
make_handshake(WbProvider *provider, HeapTuple row, TupleDesc desc)
{
	char *condition = text_column(row, desc, COL_HANDSHAKE_IF);
	char *equals = text_column(row, desc, COL_HANDSHAKE_EQUALS);
	char *reply = text_column(row, desc, COL_HANDSHAKE_REPLY);
	bool isnull;
	WbHandshakeText text = {
		.condition = wb_slice_cstring(condition),
		.has_condition = condition != NULL,
		.equals = wb_slice_cstring(equals),
		.has_equals = equals != NULL,
		.reply = wb_slice_cstring(reply),
		.has_reply = reply != NULL,
		.is_json = DatumGetBool(column(row, desc, COL_HANDSHAKE_IS_JSON, &isnull)),
		.is_signed = DatumGetBool(column(row, desc, COL_HANDSHAKE_SIGNED, &isnull)),
		.can_be_signed = provider->scheme.algorithm != WB_ALG_NONE};
	WbColumnError error;

	if (!wb_handshake_parse(&text, &provider->handshake, &error))
		elog(ERROR, "column %s of a provider is not usable: %s", error.column, error.problem);
}

/*
 * Parses the scheme in WB_SCHEME_COLUMNS of a row.  The scheme points into
 * texts allocated in the current context.  Raises an error if it is not one,
 * which the CHECK of providers prevents.
 */
void
wb_scheme_from_row(HeapTuple row, TupleDesc desc, int first_column, WbScheme *scheme)
{
	WbSchemeText text = {0};
	WbSlice *const members[] = {
		&text.algorithm, &text.encoding, &text.signature_from, &text.list_separator,
		&text.element_prefix, &text.signed_content, &text.secret_encoding,
		&text.timestamp_from, &text.timestamp_format, &text.body_digest_from};
	WbColumnError error;
	Datum tolerance;
	bool isnull;

	StaticAssertStmt(lengthof(members) + 1 == WB_SCHEME_COLUMN_COUNT,
					 "WB_SCHEME_COLUMNS and WbSchemeText differ");
	for (int i = 0; i < (int) lengthof(members); i++)
		*members[i] = wb_slice_cstring(text_column(row, desc, first_column + i));
	tolerance = column(row, desc, first_column + lengthof(members), &isnull);
	text.tolerance_s = isnull ? -1 : DatumGetInt64(tolerance);

	if (!wb_scheme_parse(&text, scheme, &error))
		elog(ERROR, "column %s of a provider is not usable: %s", error.column, error.problem);
}

WbSlice
wb_secret_bytes(Datum secret)
{
	text *value = DatumGetTextPP(secret);
	int length = VARSIZE_ANY_EXHDR(value);
	char *utf8 = pg_server_to_any(VARDATA_ANY(value), length, PG_UTF8);

	return wb_slice(utf8, utf8 == VARDATA_ANY(value) ? (size_t) length : strlen(utf8));
}

char *
wb_base_url(void)
{
	const char *scheme = wb_port != 0 ? "http" : "https";
	int port = wb_port != 0 ? wb_port : wb_tls_port;
	char *host;
	size_t length;

	if (wb_public_url[0] != '\0')
		return pstrdup(wb_public_url);

	host = wb_listen_addresses + strspn(wb_listen_addresses, " ,");
	length = strcspn(host, " ,");
	if (length == 0 || *host == '*')
		return psprintf("%s://localhost:%d", scheme, port);
	host = pnstrdup(host, length);
	return psprintf(strchr(host, ':') ? "%s://[%s]:%d" : "%s://%s:%d", scheme, host, port);
}

static Datum
column(HeapTuple row, TupleDesc desc, int number, bool *isnull)
{
	return heap_getattr(row, number, desc, isnull);
}

/* A text column as a string of the current context, NULL if null. */
static char *
text_column(HeapTuple row, TupleDesc desc, int number)
{
	bool isnull;
	Datum value = column(row, desc, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* Takes an array column without nulls apart; returns its length. */
static int
array_column(HeapTuple row, TupleDesc desc, int number, Oid type, Datum **values)
{
	bool isnull;
	Datum array = column(row, desc, number, &isnull);
	int count;
	bool by_value = (type == TIMESTAMPTZOID);

	deconstruct_array(DatumGetArrayTypeP(array), type, by_value ? 8 : -1, by_value,
					  by_value ? TYPALIGN_DOUBLE : TYPALIGN_INT, values, NULL, &count);
	return count;
}
