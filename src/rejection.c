/*-------------------------------------------------------------------------
 *
 * rejection.c
 *	  What is kept of refused deliveries.
 *
 * Deliveries that an endpoint refused, for signature, size or method, are
 * what its owner wants to see when a secret is wrong; they are also what any
 * stranger can send, as many as the network carries.  So little of them is
 * kept, at a low rate, and without a promise:
 *
 * - Each receiver keeps at most so many at once and per second of one endpoint,
 *   and of all together, so that one that is flooded does not hide the others.
 *   The memory for this is an array of fixed size.
 * - A row is bounded: a part of the body, and nothing at all of a delivery with
 *   an excessive head.
 * - An endpoint has at most webhook_bridge.max_rejections rows.  Receivers
 *   write one after the other, behind a lock of their own, and each deletes the
 *   oldest rows in the transaction that adds new ones.  So no commit leaves an
 *   endpoint with more, except for rows that somebody else has locked just
 *   then; the next one deletes those.
 *
 * Decides nothing about the answers: batch.c calls it when they are certain,
 * outside of the transaction that stored what was accepted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "feed.h"
#include "guc.h"
#include "rejection.h"

#define KEPT_BODY 8192  /* bytes of a body */
#define KEPT_HEAD 32768 /* bytes of query and headers, as stored; a longer head is not kept */

/* Who holds a lock on rejections is not worth making deliveries wait. */
#define LOCK_TIMEOUT "50ms"

/*
 * A rate: so many at once, and one more after each interval.  The state is the
 * time at which all of the allowance will be there again.
 */
typedef struct Rate
{
	int burst;
	int64 interval_us;
} Rate;

static const Rate endpoint_rate = {20, USECS_PER_SEC};
static const Rate receiver_rate = {WB_MAX_CHOSEN, USECS_PER_SEC / 5};

/* Endpoints share a place if the hashes of their names say so. */
#define PLACES 256
static TimestampTz endpoint_full_at[PLACES];
static TimestampTz receiver_full_at;

static const char *const row_names[] = {
	"number", "rejected_at", "endpoint", "reason", "method", "query", "headers",
	"body", "body_size", "remote_addr"};
static const Oid row_types[] = {
	INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONOID,
	BYTEAOID, INT8OID, INETOID};

/*
 * An endpoint that has been dropped or renamed, or is just being so, has no row
 * to lock, and its deliveries are left out.
 */
static WbFeed row_feed = {
	"refused",
	"INSERT INTO webhook_bridge.rejections "
	"(rejected_at, endpoint, reason, method, query, headers, body, body_size, remote_addr) "
	"SELECT r.rejected_at, r.endpoint, r.reason, r.method, r.query, r.headers, r.body, r.body_size, "
	" r.remote_addr "
	"FROM refused r JOIN webhook_bridge.endpoints e ON e.name = r.endpoint "
	"ORDER BY r.number FOR KEY SHARE OF e SKIP LOCKED",
	lengthof(row_names), row_names, row_types, NULL, NULL};

/* Rows that somebody is readmitting are not waited for.  An array, so that no plan reads the whole table. */
#define TRIM_QUERY                                                                     \
	"DELETE FROM webhook_bridge.rejections WHERE id = ANY (ARRAY("                     \
	" SELECT r.id FROM (SELECT DISTINCT pg_catalog.unnest($1)) AS t (endpoint)"        \
	" CROSS JOIN LATERAL ("                                                            \
	"  SELECT n.id FROM webhook_bridge.rejections n WHERE n.endpoint = t.endpoint"     \
	"  ORDER BY n.id DESC OFFSET $2 LIMIT 1) AS last"                                  \
	" JOIN webhook_bridge.rejections r ON r.endpoint = t.endpoint AND r.id <= last.id" \
	" FOR UPDATE OF r SKIP LOCKED))"

static bool has_room(TimestampTz full_at, const Rate *rate, TimestampTz now);
static void take(TimestampTz *full_at, const Rate *rate, TimestampTz now);
static bool put_row(Tuplestorestate *rows, const WbDelivery *delivery, int number);
static size_t head_size(const WbDelivery *delivery);
static void trim(WbDelivery *const *chosen, int count);

int
wb_rejections_choose(WbDelivery *const *deliveries, int count, TimestampTz now,
					 WbDelivery **chosen)
{
	int chosen_count = 0;

	if (wb_max_rejections == 0)
		return 0;
	for (int i = 0; i < count && chosen_count < WB_MAX_CHOSEN; i++)
	{
		const char *name = deliveries[i]->refused_by;
		TimestampTz *place;

		/* answered 503 if its transaction failed, whatever was decided before */
		if (name == NULL || deliveries[i]->answer == WB_ANSWER_UNAVAILABLE)
			continue;
		if (!has_room(receiver_full_at, &receiver_rate, now))
			break;
		place = &endpoint_full_at[hash_bytes((const unsigned char *) name, (int) strlen(name)) % PLACES];
		if (!has_room(*place, &endpoint_rate, now) || head_size(deliveries[i]) > KEPT_HEAD)
			continue;
		take(&receiver_full_at, &receiver_rate, now);
		take(place, &endpoint_rate, now);
		chosen[chosen_count++] = deliveries[i];
	}
	return chosen_count;
}

/* A clock that was set back must not stop us: more than a full burst is never owed. */
static bool
has_room(TimestampTz full_at, const Rate *rate, TimestampTz now)
{
	int64 owed_us = full_at - now;

	return owed_us <= (rate->burst - 1) * rate->interval_us ||
		   owed_us > rate->burst * rate->interval_us;
}

static void
take(TimestampTz *full_at, const Rate *rate, TimestampTz now)
{
	if (*full_at < now || *full_at - now > rate->burst * rate->interval_us)
		*full_at = now;
	*full_at += rate->interval_us;
}

/* Bytes of query and headers before they are made JSON, which only adds to them. */
static size_t
head_size(const WbDelivery *delivery)
{
	size_t size = delivery->query.len;

	for (int i = 0; i < delivery->header_count; i++)
		size += delivery->headers[i].name.len + delivery->headers[i].value.len;
	return size;
}

/* Raises errors as any SQL does.  Uses no endpoint, which may be gone. */
void
wb_rejections_record(WbDelivery *const *chosen, int count)
{
	Oid table = get_relname_relid("rejections", get_namespace_oid("webhook_bridge", false));
	Tuplestorestate *rows;
	bool any = false;

	wb_promise_nothing();
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	/* not the table's own lock, which vacuum and users would meet: nobody else takes this one */
	LockDatabaseObject(RelationRelationId, table, 0, ExclusiveLock);

	SPI_connect();
	rows = wb_feed_open(&row_feed);
	for (int i = 0; i < count; i++)
		any |= put_row(rows, chosen[i], i);
	if (any)
	{
		wb_feed_run(&row_feed, rows);
		trim(chosen, count);
	}
	tuplestore_end(rows);
	SPI_finish();
}

/* Adds one row, in the order of row_names.  False if its headers are too long. */
static bool
put_row(Tuplestorestate *rows, const WbDelivery *delivery, int number)
{
	Datum values[lengthof(row_names)];
	bool nulls[lengthof(row_names)] = {false};
	/* a token that was not looked at may be the right one */
	bool mask = delivery->answer != WB_ANSWER_UNAUTHORIZED;
	char *headers = wb_delivery_headers_json(delivery, mask);
	int c = 0;

	if (strlen(headers) + delivery->query.len > KEPT_HEAD)
		return false;
	values[c++] = Int32GetDatum(number);
	values[c++] = TimestampTzGetDatum(delivery->arrived_at);
	values[c++] = CStringGetTextDatum(delivery->refused_by);
	values[c++] = CStringGetTextDatum(delivery->refusal);
	values[c++] = wb_feed_bytes(delivery->method);
	values[c] = wb_feed_text(wb_delivery_query(delivery, mask), &nulls[c]);
	c++;
	values[c++] = CStringGetTextDatum(headers);
	values[c++] = wb_feed_bytes(wb_slice(delivery->body.data, Min(delivery->body.len, KEPT_BODY)));
	values[c++] = Int64GetDatum((int64) Max(delivery->body.len, delivery->refused_size));
	values[c++] = delivery->remote_addr;
	Assert(c == lengthof(row_names));

	tuplestore_putvalues(rows, row_feed.desc, values, nulls);
	return true;
}

/* Deletes all but the newest rows of the endpoints in question. */
static void
trim(WbDelivery *const *chosen, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTARRAYOID, INT4OID};
	Datum names[WB_MAX_CHOSEN];
	Datum values[2];

	Assert(count <= WB_MAX_CHOSEN);
	for (int i = 0; i < count; i++)
		names[i] = CStringGetTextDatum(chosen[i]->refused_by);
	values[0] = PointerGetDatum(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
	values[1] = Int32GetDatum(wb_max_rejections);

	if (plan == NULL)
	{
		plan = SPI_prepare_cursor(TRIM_QUERY, 2, types, CURSOR_OPT_GENERIC_PLAN);
		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
	}
	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete rejections: %s", SPI_result_code_string(SPI_result));
}
