/*-------------------------------------------------------------------------
 *
 * store.c
 *	  Accepted deliveries into tables, and the notifications about them.
 *
 * Runs inside the transaction of a batch, or of a session that readmits a
 * delivery, and raises errors as any SQL does; the caller deals with them.  How
 * the rows reach the tables is described in rows.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "queue.h"
#include "rows.h"
#include "store.h"

#define PARTITION_LOCK_TIMEOUT "200ms"

static const char *const event_names[] = {
	"id", "received_at", "endpoint", "topic", "external_id", "source", "webhook_remote_id",
	"error_code", "occurred_at", "method", "query", "headers", "payload", "raw_body",
	"remote_addr", "secret_label", "verified"};
static const Oid event_types[] = {
	INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, JSONOID, JSONOID, BYTEAOID,
	INETOID, TEXTOID, BOOLOID};

static WbTable events = {
	"events",
	{"deliveries",
	 "INSERT INTO webhook_bridge.events "
	 "(id, received_at, endpoint, topic, external_id, source, webhook_remote_id, "
	 " error_code, occurred_at, method, query, headers, payload, raw_body, "
	 " remote_addr, secret_label, verified) "
	 "SELECT id, received_at, endpoint, topic, external_id, source, webhook_remote_id, "
	 " error_code, occurred_at, method, query, headers, payload, raw_body, "
	 " remote_addr, secret_label, verified FROM deliveries",
	 lengthof(event_names), event_names, event_types, NULL, NULL},
	false,
	0};

static const char *const key_names[] = {"event_id", "received_at", "endpoint", "key"};
static const Oid key_types[] = {INT8OID, TIMESTAMPTZOID, INT4OID, UUIDOID};

static WbTable ledger = {
	"dedup",
	{"keys",
	 "INSERT INTO webhook_bridge.dedup (event_id, received_at, endpoint, key) "
	 "SELECT event_id, received_at, endpoint, key FROM keys "
	 "ON CONFLICT (endpoint, key) DO NOTHING RETURNING event_id",
	 lengthof(key_names), key_names, key_types, NULL, NULL},
	false,
	0};

/* The days for which partitions exist, and the catalog for which this is known. */
static DateADT ready_from;
static DateADT ready_until = 0; /* exclusive */
static uint64 ready_generation = 0;

static void recognise_duplicates(WbDelivery **deliveries, int count, TimestampTz now);
static int compare_keys(const void *a, const void *b);
static void put_event(WbRows *rows, WbDelivery *delivery, TimestampTz now);
static char *event_payload(const WbDelivery *delivery);
static void notify_batches(WbDelivery **deliveries, int count);

static DateADT
utc_day(TimestampTz time)
{
	return (DateADT) (time / USECS_PER_DAY) - (time % USECS_PER_DAY < 0 ? 1 : 0);
}

/*
 * Whether there are partitions for today and tomorrow, as far as is known
 * without asking.  Somebody who drops one makes us ask again.
 */
bool
wb_store_partitions_ready(TimestampTz now)
{
	return ready_generation == wb_catalog_generation() &&
		   utc_day(now) >= ready_from && utc_day(now) + 1 < ready_until;
}

/* Whether nobody needs partitions: there was no endpoint, and nothing has changed. */
bool
wb_store_partitions_needless(void)
{
	return ready_generation == wb_catalog_generation() && ready_until == 0;
}

/* Forgets what is known: a table that was detached before is dropped unnoticed. */
void
wb_store_partitions_doubt(void)
{
	ready_generation = 0;
}

/*
 * Makes partitions for today and the next days, if there is an endpoint: the
 * extension may just have been created by pg_restore, which brings partitions
 * of its own first and endpoints later.  To be run in a transaction of its own,
 * so that its locks are released before deliveries are stored.  Returns how many
 * were made.
 */
int
wb_store_partitions(TimestampTz now)
{
	DateADT today = utc_day(now);
	Oid types[] = {DATEOID, INT4OID};
	Datum values[] = {DateADTGetDatum(today), Int32GetDatum(WB_PARTITION_DAYS)};
	int created = 0;
	uint64 generation = wb_catalog_generation(); /* what changes from here on is looked at again */

	/* who holds a lock on events is not worth making deliveries wait */
	(void) set_config_option("lock_timeout", PARTITION_LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	SPI_connect();
	if (SPI_execute_with_args("SELECT webhook_bridge.create_event_partitions($1, $2) "
							  "WHERE EXISTS (SELECT FROM webhook_bridge.endpoints)",
							  2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not create partitions: %s", SPI_result_code_string(SPI_result));

	if (SPI_processed > 0)
	{
		bool isnull;

		created = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	ready_from = today;
	ready_until = SPI_processed > 0 ? today + WB_PARTITION_DAYS : 0;
	ready_generation = generation;
	SPI_finish();
	return created;
}

/*
 * Stores deliveries and returns how many.  Those found to be duplicates get
 * another answer and are left out.
 */
int
wb_store_deliveries(WbDelivery **deliveries, int count, TimestampTz now)
{
	WbRows rows;
	int inserted;

	for (int i = 0; i < count; i++)
		deliveries[i]->id = nextval_internal(wb_catalog()->event_ids, false);

	SPI_connect();
	recognise_duplicates(deliveries, count, now);

	wb_rows_init(&rows, &events, count);
	for (int i = 0; i < count; i++)
		if (deliveries[i]->answer == WB_ANSWER_STORED)
			put_event(&rows, deliveries[i], now);
	inserted = wb_rows_insert(&rows);
	/* a trigger that swallows rows must not make us acknowledge them */
	if (inserted != rows.count)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("deliveries were not stored as they are"),
				 errdetail("%d rows were inserted, %d were stored.", rows.count, inserted),
				 errhint("A trigger or rule on webhook_bridge.events must not suppress rows.")));
	if (inserted > 0)
		wb_queue_events(deliveries, count, now);
	SPI_finish();
	return rows.count;
}

/*
 * Enters what identifies the deliveries into the ledger.  Who finds the place
 * taken is a duplicate.
 *
 * Keys are entered in one order by all receivers: two batches that carry the
 * same keys then wait for each other and never both at once, which would be a
 * deadlock.
 */
static void
recognise_duplicates(WbDelivery **deliveries, int count, TimestampTz now)
{
	WbDelivery **keyed = palloc(sizeof(WbDelivery *) * count);
	bool *is_new = palloc(sizeof(bool) * count);
	int keyed_count = 0;
	WbRows rows;

	for (int i = 0; i < count; i++)
		if (deliveries[i]->dedup_key != NULL)
			keyed[keyed_count++] = deliveries[i];
	if (keyed_count == 0)
		return;
	qsort(keyed, keyed_count, sizeof(WbDelivery *), compare_keys);

	wb_rows_init(&rows, &ledger, keyed_count);
	for (int i = 0; i < keyed_count; i++)
	{
		Datum values[lengthof(key_names)];
		bool nulls[lengthof(key_names)] = {false};

		values[0] = Int64GetDatum(keyed[i]->id);
		values[1] = TimestampTzGetDatum(now);
		values[2] = Int32GetDatum(keyed[i]->endpoint->id);
		values[3] = UUIDPGetDatum(keyed[i]->dedup_key);
		wb_rows_add(&rows, values, nulls);
	}
	(void) wb_rows_insert_new(&rows, is_new);

	for (int i = 0; i < keyed_count; i++)
	{
		if (is_new[i])
			continue;
		keyed[i]->answer = WB_ANSWER_DUPLICATE;
		wb_rely_on_commits();
	}
}

static int
compare_keys(const void *a, const void *b)
{
	const WbDelivery *left = *(WbDelivery *const *) a;
	const WbDelivery *right = *(WbDelivery *const *) b;
	int order = memcmp(left->dedup_key, right->dedup_key, UUID_LEN);

	if (order == 0)
		order = (left->endpoint->id > right->endpoint->id) - (left->endpoint->id < right->endpoint->id);
	if (order == 0)
		order = (left->id > right->id) - (left->id < right->id);
	return order;
}

/* Adds one row, in the order of event_names. */
static void
put_event(WbRows *rows, WbDelivery *delivery, TimestampTz now)
{
	Datum values[lengthof(event_names)];
	bool nulls[lengthof(event_names)] = {false};
	bool is_json = wb_delivery_body_is_json(delivery);
	int c = 0;

	values[c++] = Int64GetDatum(delivery->id);
	values[c++] = TimestampTzGetDatum(now);
	values[c++] = CStringGetTextDatum(delivery->endpoint->name);
	for (int i = 0; i < WB_FIELD_OCCURRED_AT; i++, c++)
		values[c] = wb_feed_text(delivery->field[i], &nulls[c]);
	values[c] = TimestampTzGetDatum(delivery->occurred_at);
	nulls[c++] = delivery->field[WB_FIELD_OCCURRED_AT] == NULL;
	values[c++] = wb_feed_bytes(delivery->method);
	values[c] = wb_feed_text(wb_delivery_query(delivery, true), &nulls[c]);
	c++;
	values[c++] = CStringGetTextDatum(wb_delivery_headers_json(delivery, true));
	/* json and bytea are both the bytes behind a length */
	values[c] = wb_feed_bytes(delivery->body);
	nulls[c++] = !is_json;
	values[c] = values[c - 1];
	nulls[c++] = is_json;
	values[c] = delivery->remote_addr;
	nulls[c++] = delivery->remote_addr == (Datum) 0;
	values[c] = wb_feed_text(delivery->secret_label, &nulls[c]);
	c++;
	values[c++] = BoolGetDatum(delivery->verified);
	Assert(c == lengthof(event_names));

	wb_rows_add(rows, values, nulls);
}

/* Queues the notifications of stored events; they go out with the commit. */
void
wb_store_notify(WbDelivery **deliveries, int count)
{
	for (int i = 0; i < count; i++)
	{
		WbDelivery *delivery = deliveries[i];

		if (delivery->answer == WB_ANSWER_STORED &&
			delivery->endpoint->notify == WB_NOTIFY_EVENT)
			Async_Notify(delivery->endpoint->channel, event_payload(delivery));
	}
	notify_batches(deliveries, count);
}

/*
 * What a listener learns of an event.  The texts are at most WB_MAX_FIELD
 * bytes, six times as many when escaped: below NOTIFY's limit of 8000.
 */
static char *
event_payload(const WbDelivery *delivery)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, "{\"endpoint\":");
	escape_json(&out, delivery->endpoint->name);
	appendStringInfoString(&out, ",\"topic\":");
	if (delivery->field[WB_FIELD_TOPIC])
		escape_json(&out, delivery->field[WB_FIELD_TOPIC]);
	else
		appendStringInfoString(&out, "null");
	appendStringInfo(&out, ",\"id\":" INT64_FORMAT "}", delivery->id);
	return out.data;
}

/* One notification per endpoint that wants one per transaction. */
static void
notify_batches(WbDelivery **deliveries, int count)
{
	typedef struct
	{
		const WbEndpoint *endpoint;
		int events;
		int64 last_id;
	} Tally;
	Tally *tallies = palloc(sizeof(Tally) * Max(count, 1));
	int tally_count = 0;

	for (int i = 0; i < count; i++)
	{
		const WbDelivery *delivery = deliveries[i];
		int t = 0;

		if (delivery->answer != WB_ANSWER_STORED ||
			delivery->endpoint->notify != WB_NOTIFY_BATCH)
			continue;
		while (t < tally_count && tallies[t].endpoint != delivery->endpoint)
			t++;
		if (t == tally_count)
			tallies[tally_count++] = (Tally){delivery->endpoint, 0, 0};
		tallies[t].events++;
		tallies[t].last_id = delivery->id;
	}

	for (int t = 0; t < tally_count; t++)
	{
		StringInfoData out;

		initStringInfo(&out);
		appendStringInfoString(&out, "{\"endpoint\":");
		escape_json(&out, tallies[t].endpoint->name);
		appendStringInfo(&out, ",\"events\":%d,\"id\":" INT64_FORMAT "}",
						 tallies[t].events, tallies[t].last_id);
		Async_Notify(tallies[t].endpoint->channel, out.data);
	}
}
