/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Deliveries in memory, one transaction, answers.
 *
 * The complete requests of one turn of the loop form a batch, which is stored
 * in one transaction; only when its COMMIT has returned is any of them
 * answered 200.  If the transaction fails, each delivery gets one of its own,
 * so that one that cannot be stored harms only itself, unless the error is of
 * a kind that would befall every one of them: then all are answered 503 at
 * once and the receiver is ready for the next.
 *
 * This is the only file of the receiver that catches errors.  It holds no
 * connection and no socket; it does not know how requests arrive or answers
 * leave.  The batch's memory context is reset by wb_batch_clear(), after the
 * answers have been made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "catalog.h"
#include "store.h"

/*
 * The longest a transaction may wait for a lock, a trigger or a standby.
 * Together with the time to drain it has to fit into the two seconds in which
 * a receiver ends.
 */
#define TRANSACTION_TIMEOUT_MS 1200

/* Failures of one kind are logged no more often than this; providers repeat their attempts. */
#define LOG_INTERVAL_MS 5000
#define LOG_KINDS 31

/* How long NOTIFY is left out after its queue was found full. */
#define NOTIFY_PAUSE_MS 10000

typedef struct WbFailure
{
	int sqlstate;
	bool at_commit; /* raised by COMMIT itself */
} WbFailure;

/* What a transaction of the receiver does, between wb_begin() and wb_commit(). */
typedef void (*WbWork)(void *argument);

/* Deliveries that share a transaction. */
typedef struct WbGroup
{
	WbDelivery **deliveries;
	int count;
	bool notify;
} WbGroup;

typedef struct WbLimitQuery
{
	WbSlice path;
	size_t limit;
} WbLimitQuery;

static MemoryContext batch_context;
static WbDelivery **deliveries;
static int delivery_count;
static int delivery_capacity;
static WbSlot *slot; /* where transactions are counted */
static TimestampTz notify_again_at = 0;

static bool run_transaction(WbWork work, void *argument, WbFailure *failure);
static void log_failure(ErrorData *error);
static bool befalls_all(int sqlstate);
static bool store_group(WbDelivery **group, int count, WbFailure *failure);
static void judge_and_store(void *argument);
static void prepare_partitions(void);
static void make_partitions(void *argument);
static void find_limit(void *argument);
static void look(void *argument);
static void refuse(WbDelivery **group, int count);

void
wb_batch_init(WbSlot *receiver_slot)
{
	slot = receiver_slot;
	batch_context = AllocSetContextCreate(TopMemoryContext, "webhook_bridge batch",
										  ALLOCSET_DEFAULT_SIZES);
	delivery_capacity = 0;
	delivery_count = 0;
}

/*
 * Adds a request; the bytes stay in the caller's buffer and must not move
 * until the answer has been made.  Returns NULL if the batch is full and has
 * to be stored first.  The caller fills in connection, remote_addr and form.
 */
WbDelivery *
wb_batch_add(const WbHttpHead *head, WbSlice body)
{
	MemoryContext old_context;
	WbDelivery *delivery;
	WbHeader *headers;

	if (delivery_count >= wb_max_batch)
		return NULL;
	if (delivery_count == delivery_capacity)
	{
		int capacity = Max(delivery_capacity * 2, 64);

		deliveries = delivery_capacity == 0
						 ? MemoryContextAlloc(TopMemoryContext, sizeof(WbDelivery *) * capacity)
						 : repalloc(deliveries, sizeof(WbDelivery *) * capacity);
		delivery_capacity = capacity;
	}

	old_context = MemoryContextSwitchTo(batch_context);
	delivery = palloc0(sizeof(WbDelivery));
	headers = palloc(sizeof(WbHeader) * Max(head->header_count, 1));
	memcpy(headers, head->headers, sizeof(WbHeader) * head->header_count);
	delivery->method = head->method;
	delivery->path = head->path;
	delivery->query = head->query;
	delivery->headers = headers;
	delivery->header_count = head->header_count;
	delivery->body = body;
	delivery->answer = WB_ANSWER_UNAVAILABLE;
	deliveries[delivery_count++] = delivery;
	MemoryContextSwitchTo(old_context);
	return delivery;
}

int
wb_batch_count(void)
{
	return delivery_count;
}

WbDelivery *
wb_batch_get(int index)
{
	Assert(index >= 0 && index < delivery_count);
	return deliveries[index];
}

/* Forgets the batch, answered or not. */
void
wb_batch_clear(void)
{
	delivery_count = 0;
	MemoryContextReset(batch_context);
}

/*
 * Stores the batch.  Afterwards every delivery has its answer, and what is
 * answered as stored is on disk.  Never raises an error for what a delivery or
 * the database does; FATAL conditions end the process before any answer.
 */
void
wb_batch_store(void)
{
	WbFailure failure;

	if (delivery_count == 0)
		return;

	pgstat_report_activity(STATE_RUNNING, "storing deliveries");
	prepare_partitions();

	if (!store_group(deliveries, delivery_count, &failure))
	{
		/* somebody may just have dropped a partition; then a single one is tried again, too */
		bool again = delivery_count > 1 || !wb_store_partitions_ready(GetCurrentTimestamp());
		int done = 0;

		prepare_partitions();
		while (again && !befalls_all(failure.sqlstate) && done < delivery_count)
		{
			if (store_group(&deliveries[done], 1, &failure))
				failure.sqlstate = 0;
			else
				refuse(&deliveries[done], 1);
			done++;
		}
		refuse(&deliveries[done], delivery_count - done);
	}

	(void) pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * Stores deliveries in one transaction.  If only the notification queue is
 * full they are stored without notifications: NOTIFY is a wake-up, never the
 * truth.
 */
static bool
store_group(WbDelivery **group, int count, WbFailure *failure)
{
	WbGroup work = {group, count, GetCurrentTimestamp() >= notify_again_at};

	if (run_transaction(judge_and_store, &work, failure))
		return true;
	if (!work.notify || !failure->at_commit ||
		failure->sqlstate != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		return false;

	notify_again_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), NOTIFY_PAUSE_MS);
	work.notify = false;
	return run_transaction(judge_and_store, &work, failure);
}

static void
refuse(WbDelivery **group, int count)
{
	for (int i = 0; i < count; i++)
		group[i]->answer = WB_ANSWER_UNAVAILABLE;
}

/* Route, verify, de-duplicate, insert, notify: in that order. */
static void
judge_and_store(void *argument)
{
	WbGroup *group = (WbGroup *) argument;
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	WbSlice *paths = palloc(sizeof(WbSlice) * group->count);
	const WbEndpoint **endpoints = palloc(sizeof(WbEndpoint *) * group->count);
	WbDelivery **accepted = palloc(sizeof(WbDelivery *) * group->count);
	int accepted_count = 0;

	if (!wb_catalog()->exists)
	{
		refuse(group->deliveries, group->count);
		return;
	}

	for (int i = 0; i < group->count; i++)
		paths[i] = group->deliveries[i]->path;
	wb_endpoints_find(paths, endpoints, group->count);
	for (int i = 0; i < group->count; i++)
	{
		wb_delivery_judge(group->deliveries[i], endpoints[i], now);
		if (group->deliveries[i]->answer == WB_ANSWER_STORED)
			accepted[accepted_count++] = group->deliveries[i];
	}
	if (accepted_count == 0)
		return;

	wb_store_deliveries(accepted, accepted_count, now);
	if (group->notify)
		wb_store_notify(accepted, accepted_count);
	wb_count(&slot->batches, 1);
}

/* Failing here loses nothing: the partitions of tomorrow can wait. */
static void
prepare_partitions(void)
{
	WbFailure failure;

	if (!wb_store_partitions_ready(GetCurrentTimestamp()))
		(void) run_transaction(make_partitions, NULL, &failure);
}

static void
make_partitions(void *argument)
{
	if (wb_catalog()->exists)
		wb_store_partitions(GetCurrentTransactionStartTimestamp());
}

/*
 * Looks whether the extension exists, and makes its partitions ready.  For
 * the start, and for times without deliveries.
 */
bool
wb_batch_probe_extension(void)
{
	bool exists = false;
	WbFailure failure;

	wb_catalog_doubt();
	if (!run_transaction(look, &exists, &failure))
		return wb_catalog()->exists;
	if (exists && !wb_store_partitions_needless())
		prepare_partitions();
	pgstat_report_stat(true);
	wb_batch_clear();
	return exists;
}

static void
look(void *argument)
{
	*(bool *) argument = wb_catalog()->exists;
}

/*
 * Finds out the size of body, in bytes, that a path takes.  Costs a
 * transaction; only asked for bodies larger than the setting.  False if the
 * database cannot be asked.
 */
bool
wb_batch_body_limit(WbSlice path, size_t *limit)
{
	WbLimitQuery query = {path, wb_max_body_size};
	WbFailure failure;

	if (!run_transaction(find_limit, &query, &failure))
		return false;
	*limit = query.limit;
	return true;
}

static void
find_limit(void *argument)
{
	WbLimitQuery *query = (WbLimitQuery *) argument;
	const WbEndpoint *endpoint;

	if (!wb_catalog()->exists)
		return;
	wb_endpoints_find(&query->path, &endpoint, 1);
	if (endpoint && endpoint->max_body_size > 0)
		query->limit = endpoint->max_body_size;
}

/*
 * Runs work in a transaction.  False, with the failure described, if it was
 * rolled back or has not reached the standbys that it should have.  Bounded in
 * time: waits inside are cancelled.
 */
static bool
run_transaction(WbWork work, void *argument, WbFailure *failure)
{
	volatile bool at_commit = false;
	volatile bool committed = false;
	MemoryContext old_context = CurrentMemoryContext;

	PG_TRY();
	{
		enable_timeout_after(STATEMENT_TIMEOUT, TRANSACTION_TIMEOUT_MS);
		wb_begin();
		/* what work allocates for the answers must outlive the transaction */
		MemoryContextSwitchTo(batch_context);
		work(argument);
		at_commit = true;
		committed = wb_commit();
		if (!committed)
		{
			/* not to be stored a second time; the sender's next attempt may be */
			failure->sqlstate = ERRCODE_QUERY_CANCELED;
			failure->at_commit = true;
		}
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(batch_context);
		error = CopyErrorData();
		FlushErrorState();
		wb_abort();
		failure->sqlstate = error->sqlerrcode;
		failure->at_commit = at_commit;
		log_failure(error);
	}
	PG_END_TRY();

	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false; /* a cancellation that came too late is over */
	MemoryContextSwitchTo(old_context);
	return committed;
}

/*
 * Says in the log what went wrong, without detail, context and statement,
 * which may quote a delivery.  Errors of one kind are said once in a while.
 */
static void
log_failure(ErrorData *error)
{
	static TimestampTz last_logged[LOG_KINDS];
	static uint64 suppressed = 0;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz *last = &last_logged[(uint32) error->sqlerrcode % LOG_KINDS];

	if (*last != 0 && !TimestampDifferenceExceeds(*last, now, LOG_INTERVAL_MS))
	{
		suppressed++;
		return;
	}
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("could not store webhook deliveries: %s", error->message),
			 errdetail("The deliveries concerned are answered 503 unless a second attempt succeeds. "
					   "Failures not logged since the last message: " UINT64_FORMAT ".",
					   suppressed)));
	*last = now;
	suppressed = 0;
}

/*
 * Whether an error says something about the database and nothing about the
 * delivery, so that trying the others one by one would only take time.
 */
static bool
befalls_all(int sqlstate)
{
	int class = ERRCODE_TO_CATEGORY(sqlstate);

	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
		   class == ERRCODE_TO_CATEGORY(ERRCODE_INVALID_TRANSACTION_STATE) || /* read-only */
		   class == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		   class == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) || /* cancelled */
		   class == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR);
}
