/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  Stored events into the queues of the consumers that get them.
 *
 * Runs inside the transaction that stores the events, so that an event and its
 * places in the queues are there together or not at all.  The consumers are read
 * again only when the catalog's generation has changed; what is kept of them is
 * in a memory context of its own, for the life of the process.  Taking events out
 * of the queues is SQL (extension/52_consumers.sql), and so is queueing events
 * that are stored already: queue_stored() there decides by the same rules.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "queue.h"
#include "rows.h"

#define MAX_IDS 16  /* in a row, so that a consumer costs little under load */
#define MIN_ROWS 16 /* of what a transaction stores, because sessions share events by the row */
#define MAX_KEY 200 /* characters of a key, which is indexed */
#define ORDER_SOURCE "source"

typedef struct WbConsumer
{
	int32 id;
	char *name;
	char **places; /* names and paths of its endpoints, in order; NULL: all */
	int place_count;
	Datum *patterns; /* text, for LIKE; NULL: any topic or none */
	int pattern_count;
	bool by_source; /* how events are ordered: by their source, */
	Datum path;     /* by what is at this path of the payload (text[]), or, if 0, not */
} WbConsumer;

static MemoryContext consumers_context = NULL;
static WbConsumer *consumers;
static int consumer_count;
static uint64 known_generation = 0; /* of the catalog, when they were read */

/*
 * An endpoint may have been renamed after a delivery's was found, so the path
 * tells it as well.
 */
#define READ_QUERY                                                                                 \
	"SELECT c.id, CASE WHEN c.endpoints IS NOT NULL THEN c.endpoints || "                          \
	"ARRAY(SELECT e.path FROM webhook_bridge.endpoints e WHERE e.name = ANY (c.endpoints)) END, "  \
	"c.patterns, c.order_by = '" ORDER_SOURCE "', (string_to_array(c.order_by, '.'))[2:], c.name " \
	"FROM webhook_bridge.consumers c"

static SPIPlanPtr read_plan = NULL;

static const char *const queue_names[] = {"consumer", "position", "received_at", "ids", "key"};
static const Oid queue_types[] = {INT4OID, INT8OID, TIMESTAMPTZOID, INT8ARRAYOID, TEXTOID};

static WbTable queue = {
	"queue",
	{"places",
	 "INSERT INTO webhook_bridge.queue (consumer, position, received_at, ids, key) "
	 "SELECT consumer, position, received_at, ids, key FROM places",
	 lengthof(queue_names), queue_names, queue_types, NULL, NULL},
	false,
	0};

static void read_consumers(void);
static void read_consumer(WbConsumer *consumer, HeapTuple row, TupleDesc desc);
static int read_texts(Datum array, Datum **texts);
static int compare_places(const void *a, const void *b);
static bool has_place(const WbConsumer *consumer, const char *place);
static bool wants(const WbConsumer *consumer, const WbDelivery *delivery);
static Datum key_of(const WbConsumer *consumer, WbDelivery *delivery);
static void put_places(WbRows *rows, const WbConsumer *consumer, Datum *ids, int count,
					   Datum key, TimestampTz now);

void
wb_queue_events(WbDelivery **deliveries, int count, TimestampTz now)
{
	WbRows rows;
	int width = Min(Max(count / MIN_ROWS, 1), MAX_IDS);

	if (known_generation != wb_catalog_generation())
		read_consumers();
	if (consumer_count == 0)
		return;

	wb_rows_init(&rows, &queue, consumer_count * (count / width + 1));
	for (int c = 0; c < consumer_count; c++)
	{
		const WbConsumer *consumer = &consumers[c];
		bool ordered = consumer->by_source || consumer->path != (Datum) 0;
		Datum ids[MAX_IDS];
		int taken = 0;

		for (int i = 0; i < count; i++)
		{
			if (deliveries[i]->answer != WB_ANSWER_STORED || !wants(consumer, deliveries[i]))
				continue;
			ids[taken++] = Int64GetDatum(deliveries[i]->id);
			if (!ordered && taken < width)
				continue;
			put_places(&rows, consumer, ids, taken, ordered ? key_of(consumer, deliveries[i]) : (Datum) 0, now);
			taken = 0;
		}
		if (taken > 0)
			put_places(&rows, consumer, ids, taken, (Datum) 0, now);
	}
	(void) wb_rows_insert(&rows);
}

/*
 * With a snapshot of now, whatever the transaction's own: one that is older does
 * not show consumers that nobody waits with until the transaction has ended.
 */
static void
read_consumers(void)
{
	uint64 generation = wb_catalog_generation(); /* what changes from here on is read again */
	MemoryContext old_context;
	int result;

	known_generation = 0;
	consumer_count = 0;
	if (read_plan == NULL)
	{
		read_plan = SPI_prepare(READ_QUERY, 0, NULL);
		if (read_plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(read_plan);
	}
	result = SPI_execute_snapshot(read_plan, NULL, NULL, GetLatestSnapshot(), InvalidSnapshot, false, false, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read consumers: %s", SPI_result_code_string(result));

	if (consumers_context == NULL)
		consumers_context = AllocSetContextCreate(TopMemoryContext, "webhook_bridge consumers",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(consumers_context);
	old_context = MemoryContextSwitchTo(consumers_context);
	consumers = palloc0(sizeof(WbConsumer) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
		read_consumer(&consumers[i], SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	MemoryContextSwitchTo(old_context);
	consumer_count = (int) SPI_processed;
	known_generation = generation;
}

static void
read_consumer(WbConsumer *consumer, HeapTuple row, TupleDesc desc)
{
	bool isnull;
	Datum value;
	Datum *texts;

	consumer->id = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
	value = SPI_getbinval(row, desc, 2, &isnull);
	if (!isnull)
	{
		consumer->place_count = read_texts(value, &texts);
		consumer->places = palloc(sizeof(char *) * Max(consumer->place_count, 1));
		for (int i = 0; i < consumer->place_count; i++)
			consumer->places[i] = TextDatumGetCString(texts[i]);
		qsort(consumer->places, consumer->place_count, sizeof(char *), compare_places);
	}
	value = SPI_getbinval(row, desc, 3, &isnull);
	if (!isnull)
		consumer->pattern_count = read_texts(value, &consumer->patterns);
	value = SPI_getbinval(row, desc, 4, &isnull);
	consumer->by_source = !isnull && DatumGetBool(value);
	value = SPI_getbinval(row, desc, 5, &isnull);
	if (!isnull && !consumer->by_source)
		consumer->path = PointerGetDatum(DatumGetArrayTypePCopy(value));
	consumer->name = TextDatumGetCString(SPI_getbinval(row, desc, 6, &isnull));
}

/* The elements of a text[], copied; there are no nulls among them. */
static int
read_texts(Datum array, Datum **texts)
{
	bool *nulls;
	int count;

	deconstruct_array(DatumGetArrayTypePCopy(array), TEXTOID, -1, false, TYPALIGN_INT, texts, &nulls, &count);
	return count;
}

static int
compare_places(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool
has_place(const WbConsumer *consumer, const char *place)
{
	return bsearch(&place, consumer->places, consumer->place_count, sizeof(char *), compare_places) != NULL;
}

static bool
wants(const WbConsumer *consumer, const WbDelivery *delivery)
{
	const char *topic = delivery->field[WB_FIELD_TOPIC];

	/* the sample of a self-test is for nobody else */
	if (delivery->self_test)
		return strcmp(consumer->name, delivery->self_test) == 0;
	if (consumer->places && !has_place(consumer, delivery->endpoint->name) &&
		!has_place(consumer, pnstrdup(delivery->path.data, delivery->path.len)))
		return false;
	if (consumer->patterns == NULL)
		return true;
	for (int i = 0; topic && i < consumer->pattern_count; i++)
		if (DatumGetBool(DirectFunctionCall2Coll(textlike, C_COLLATION_OID,
												 CStringGetTextDatum(topic), consumer->patterns[i])))
			return true;
	return false;
}

/* What the events of one key have in common; an event that has nothing of it is alone with its id. */
static Datum
key_of(const WbConsumer *consumer, WbDelivery *delivery)
{
	Datum value = (Datum) 0;

	if (consumer->by_source)
	{
		if (delivery->field[WB_FIELD_SOURCE])
			value = CStringGetTextDatum(delivery->field[WB_FIELD_SOURCE]);
	}
	else if (wb_delivery_body_is_json(delivery))
	{
		LOCAL_FCINFO(call, 2);

		InitFunctionCallInfoData(*call, NULL, 2, InvalidOid, NULL, NULL);
		call->args[0] = (NullableDatum){wb_feed_bytes(delivery->body), false};
		call->args[1] = (NullableDatum){consumer->path, false};
		value = json_extract_path_text(call);
		if (call->isnull)
			value = (Datum) 0;
	}
	if (value == (Datum) 0)
		return CStringGetTextDatum(psprintf("#" INT64_FORMAT, delivery->id));
	return DirectFunctionCall2(text_left, value, Int32GetDatum(MAX_KEY));
}

/* Adds one row, in the order of queue_names; without a key, 0. */
static void
put_places(WbRows *rows, const WbConsumer *consumer, Datum *ids, int count, Datum key,
		   TimestampTz now)
{
	Datum values[lengthof(queue_names)];
	bool nulls[lengthof(queue_names)] = {false};

	values[0] = Int32GetDatum(consumer->id);
	values[1] = ids[0];
	values[2] = TimestampTzGetDatum(now);
	values[3] = PointerGetDatum(construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[4] = key;
	nulls[4] = key == (Datum) 0;
	wb_rows_add(rows, values, nulls);
}
