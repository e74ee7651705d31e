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
 * This is the only file of the receiver that catches errors, but for rows.c, where
 * a row that repeats is none.  It holds no connection and no socket; it does not
 * know how requests arrive or answers leave.  The batch's memory context is reset
 * by wb_batch_clear(), after the answers have been made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "catalog.h"
#include "rejection.h"
#include "self_test.h"
#include "store.h"
#include "worker.h"

/*
 * The longest that storing a batch may take, for locks, triggers or a standby,
 * all attempts together.  With the time to drain it has to fit into the two
 * seconds in which a receiver ends.
 */
#define TRANSACTION_TIMEOUT_MS 1000

/* After this, whatever has caught the cancellation is ended with the process. */
#define TIMEOUT_GRACE_MS 500

/* Failures of one kind are logged no more often than this; providers repeat their attempts. */
#define LOG_INTERVAL_MS 5000
#define LOG_KINDS 31

/* How long something that has failed is left out. */
#define NOTIFY_PAUSE_MS 10000    /* after its queue was found full */
#define PARTITION_PAUSE_MS 10000 /* unless one is missing */
#define LOOKUP_PAUSE_MS 1000     /* of endpoints for large bodies */
#define RECORD_PAUSE_MS 10000    /* of rejections */

/* Recording rejections may hold deliveries up for so long, and then not again for the pause. */
#define RECORD_TIMEOUT_MS 200

#define MAX_BATCH_LIMIT 10000 /* of webhook_bridge.max_batch */

/* If reading and verifying a batch took longer, the next one is smaller. */
#define SLOW_JUDGING_MS 250

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
	int stored; /* of them, by this transaction */
} WbGroup;

/* Refused deliveries that are to be kept. */
typedef struct WbChosen
{
	WbDelivery *deliveries[WB_MAX_CHOSEN];
	int count;
} WbChosen;

typedef struct WbLimitQuery
{
	WbSlice path;
	size_t limit;
	bool found_out;
} WbLimitQuery;

static MemoryContext batch_context;
static WbDelivery **deliveries;
static int delivery_count;
static int delivery_capacity;
static WbSlot *slot; /* where transactions are counted */
static TimestampTz notify_again_at = 0;
static TimeoutId transaction_timeout;
static volatile sig_atomic_t timed_out;   /* how often, in the current transaction */
static int batch_limit = MAX_BATCH_LIMIT; /* lower while transactions take too long */
static bool judged_slowly;                /* in the last transaction */
static bool shedding = false;

static void on_timeout(void);
static TimestampTz deadline_from(TimestampTz now);
static bool run_transaction(const char *doing, WbWork work, void *argument, TimestampTz until,
							WbFailure *failure);
static void log_failure(const char *doing, ErrorData *error);
static bool befalls_all(int sqlstate);
static bool store_group(WbDelivery **group, int count, TimestampTz until, WbFailure *failure);
static void judge_and_store(void *argument);
static void record_rejections(void);
static void write_rejections(void *argument);
static void prepare_partitions(bool missing);
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
	transaction_timeout = RegisterTimeout(USER_TIMEOUT, on_timeout);
}

/*
 * A signal handler: cancels the transaction, and if that has not helped, as
 * when a trigger catches it, asks for the end of the process.
 */
static void
on_timeout(void)
{
	if (timed_out++ == 0)
		QueryCancelPending = true;
	else
		ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
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

	if (delivery_count >= Min(wb_max_batch, batch_limit))
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
 *
 * False if the time was over before the transaction was: the next one would
 * probably fare no better.
 */
bool
wb_batch_store(void)
{
	WbFailure failure;
	TimestampTz until;
	bool in_time = true;

	if (delivery_count == 0)
		return true;
	if (shedding)
	{
		wb_batch_refuse();
		return false;
	}

	prepare_partitions(false);
	until = deadline_from(GetCurrentTimestamp());
	if (store_group(deliveries, delivery_count, until, &failure))
		batch_limit = judged_slowly ? Max(delivery_count / 2, 1) : Min(batch_limit * 2, MAX_BATCH_LIMIT);
	else
	{
		int done = 0;

		/* many slow rows may be too much for one transaction */
		in_time = failure.sqlstate != ERRCODE_QUERY_CANCELED;
		if (!in_time)
		{
			batch_limit = Max(delivery_count / 4, 1);
			shedding = true;
		}

		if (!befalls_all(failure.sqlstate))
			prepare_partitions(true); /* somebody may have dropped one */
		while (!befalls_all(failure.sqlstate) && done < delivery_count &&
			   GetCurrentTimestamp() < until && !ShutdownRequestPending)
		{
			if (store_group(&deliveries[done], 1, until, &failure))
				failure.sqlstate = 0;
			else
				refuse(&deliveries[done], 1);
			done++;
		}
		refuse(&deliveries[done], delivery_count - done);
	}
	if (in_time && !ShutdownRequestPending)
		record_rejections();
	(void) pgstat_report_stat(false);
	return in_time;
}

/*
 * Whether batches are refused without an attempt.  So it is after a transaction
 * that ran out of time, until the caller has read what arrived meanwhile: who
 * has waited for one is not made to wait for another.
 */
bool
wb_batch_sheds(void)
{
	return shedding;
}

void
wb_batch_resume(void)
{
	shedding = false;
}

/* Gives up the batch without an attempt. */
void
wb_batch_refuse(void)
{
	refuse(deliveries, delivery_count);
}

/*
 * Stores deliveries in one transaction that ends before "until".  If only the
 * notification queue is full they are stored without notifications: NOTIFY is
 * a wake-up, never the truth.
 */
static bool
store_group(WbDelivery **group, int count, TimestampTz until, WbFailure *failure)
{
	for (;;)
	{
		WbGroup work = {group, count, GetCurrentTimestamp() >= notify_again_at, 0};

		if (run_transaction("storing deliveries", judge_and_store, &work, until, failure))
		{
			if (work.stored > 0)
				wb_count(&slot->batches, 1);
			return true;
		}
		if (!work.notify || !failure->at_commit ||
			failure->sqlstate != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			return false;
		notify_again_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), NOTIFY_PAUSE_MS);
	}
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

	if (!wb_catalog()->ready)
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
		wb_self_test_claim(group->deliveries[i]);
		/* verifying waits for nothing, but many large bodies take long enough for on_timeout() */
		CHECK_FOR_INTERRUPTS();
		if (group->deliveries[i]->answer == WB_ANSWER_STORED)
			accepted[accepted_count++] = group->deliveries[i];
	}
	judged_slowly = TimestampDifferenceExceeds(now, GetCurrentTimestamp(), SLOW_JUDGING_MS);
	if (accepted_count == 0)
		return;

	group->stored = wb_store_deliveries(accepted, accepted_count, now);
	if (group->notify)
		wb_store_notify(accepted, accepted_count);
}

/*
 * Keeps some of what was refused, in a transaction of its own: whatever becomes
 * of it, what was accepted is stored and every answer is decided.
 */
static void
record_rejections(void)
{
	static TimestampTz again_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	WbChosen chosen;
	WbFailure failure;

	if (now < again_at)
		return;
	chosen.count = wb_rejections_choose(deliveries, delivery_count, now, chosen.deliveries);
	if (chosen.count > 0 &&
		!run_transaction("recording rejections", write_rejections, &chosen,
						 TimestampTzPlusMilliseconds(now, RECORD_TIMEOUT_MS), &failure))
		again_at = TimestampTzPlusMilliseconds(now, RECORD_PAUSE_MS);
}

static void
write_rejections(void *argument)
{
	WbChosen *chosen = (WbChosen *) argument;

	if (wb_catalog()->ready)
		wb_rejections_record(chosen->deliveries, chosen->count);
}

/*
 * Makes partitions unless they are known to be there.  After a failure, which
 * a lock on events is enough for, not again at once: those of today exist most
 * of the time, and if not, "missing" says that something could not be stored.
 */
static void
prepare_partitions(bool missing)
{
	static TimestampTz again_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	WbFailure failure;

	if (missing)
		wb_store_partitions_doubt();
	if (wb_store_partitions_ready(now) || (!missing && now < again_at))
		return;
	if (!run_transaction("creating partitions", make_partitions, NULL, deadline_from(now), &failure))
		again_at = TimestampTzPlusMilliseconds(now, PARTITION_PAUSE_MS);
}

static void
make_partitions(void *argument)
{
	if (wb_catalog()->ready)
		(void) wb_store_partitions(GetCurrentTransactionStartTimestamp());
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
	if (!run_transaction("looking for the extension", look, &exists,
						 deadline_from(GetCurrentTimestamp()), &failure))
		exists = wb_catalog()->exists;
	else if (exists && !wb_store_partitions_needless())
		prepare_partitions(false);
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
	static TimestampTz again_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	WbLimitQuery query = {path, wb_max_body_size, false};
	WbFailure failure;

	/* strangers must not make us wait for a lock again and again */
	if (now < again_at)
		return false;
	if (!run_transaction("looking up an endpoint", find_limit, &query, deadline_from(now), &failure))
	{
		again_at = TimestampTzPlusMilliseconds(now, LOOKUP_PAUSE_MS);
		return false;
	}
	*limit = query.limit;
	return query.found_out;
}

static void
find_limit(void *argument)
{
	WbLimitQuery *query = (WbLimitQuery *) argument;
	const WbEndpoint *endpoint;

	query->found_out = wb_catalog()->ready;
	if (!query->found_out)
		return;
	wb_endpoints_find(&query->path, &endpoint, 1);
	if (endpoint && endpoint->max_body_size > 0)
		query->limit = endpoint->max_body_size;
}

/* When a transaction that begins now has to have ended. */
static TimestampTz
deadline_from(TimestampTz now)
{
	return TimestampTzPlusMilliseconds(now, TRANSACTION_TIMEOUT_MS);
}

/*
 * Runs work in a transaction.  False, with the failure described, if it was
 * rolled back or has not reached the standbys that it should have.  Waits
 * inside are cancelled at "until".  "doing" is for pg_stat_activity and the
 * log.
 */
static bool
run_transaction(const char *doing, WbWork work, void *argument, TimestampTz until,
				WbFailure *failure)
{
	volatile bool at_commit = false;
	volatile bool committed = false;
	MemoryContext old_context = CurrentMemoryContext;

	pgstat_report_activity(STATE_RUNNING, doing);
	PG_TRY();
	{
		timed_out = 0;
		enable_timeout_every(transaction_timeout, until, TIMEOUT_GRACE_MS);
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
		log_failure(doing, error);
	}
	PG_END_TRY();

	disable_timeout(transaction_timeout, false);
	/* a cancellation that came too late, perhaps while the disk was slow, is over */
	QueryCancelPending = false;
	if (timed_out > 0)
		ProcDiePending = false;
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(old_context);
	return committed;
}

/*
 * Says in the log what went wrong, without detail, context and statement,
 * which may quote a delivery.  Errors of one kind are said once in a while.
 */
static void
log_failure(const char *doing, ErrorData *error)
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
			 wb_error_may_quote(error->sqlerrcode)
				 ? errmsg("webhook_bridge failed in %s: error %s, whose message may quote a delivery",
						  doing, unpack_sql_state(error->sqlerrcode))
				 : errmsg("webhook_bridge failed in %s: %s", doing, error->message),
			 errdetail("What could not be stored is answered 503, and what could not be recorded is lost. "
					   "Failures not logged since the last message: " UINT64_FORMAT ".",
					   suppressed),
			 wb_error_may_quote(error->sqlerrcode)
				 ? errhint("A trigger, an index or a constraint on a table of webhook_bridge raised it.")
				 : 0));
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
