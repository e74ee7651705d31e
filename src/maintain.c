/*-------------------------------------------------------------------------
 *
 * maintain.c
 *	  What the keeper does: partitions ahead, and an end to what is too old.
 *
 * What is too old is decided by SQL functions, see extension/56_maintenance.sql;
 * here are the transactions around them.  Each is small, so that nobody waits for
 * it and no snapshot is kept for long, and each can fail without harm to the
 * others.  Waits for locks are short: for those of rows shorter than
 * deadlock_timeout, so that in a deadlock it is always the keeper that gives way;
 * for those of tables longer, so that an autovacuum gives way to it.
 *
 * A partition goes in three steps: it is marked, detached, and dropped.  Detaching
 * CONCURRENTLY blocks neither deliveries nor readers of events; it waits for
 * transactions that may still see the partition, and if they take too long, it is
 * finished (FINALIZE) in a later round.  It commits in between, so that it cannot
 * be part of a transaction of ours, nor a security-restricted operation.
 *
 * All memory is the caller's current context's, but for what is known of
 * partitions, which lives as long as the process.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "guc.h"
#include "maintain.h"
#include "store.h"
#include "worker.h"

/* Rows: below any deadlock_timeout that makes sense.  Tables: above it. */
#define ROW_LOCK_TIMEOUT "200ms"
#define TABLE_LOCK_MARGIN_MS 2000

/* What is deleted in one transaction, and the pause after it. */
#define CHUNK_PAGES 128
#define CHUNK_ROWS 1000
#define NAP_MS 5

/*
 * Between two partitions.  Each that goes makes receivers read the catalogs again,
 * which takes some milliseconds; nobody is in a hurry to have the next one gone.
 */
#define PARTITION_NAP_MS 1000

/* The ledger is passed over once in this time, but in so many pages at least. */
#define LEDGER_PASS_S (60 * 60)
#define LEDGER_PAGES 1024

/* How soon a partition is looked at again if other endpoints than before are kept. */
#define LOOK_AGAIN_MS (24 * 60 * 60 * 1000)

#define RULE_LENGTH 32

/* A partition of which some events are kept and the others are deleted. */
typedef struct Swept
{
	Oid partition;              /* hash key */
	char rule[RULE_LENGTH + 1]; /* see expired_partitions() */
	TimestampTz at;
} Swept;

typedef struct Partition
{
	Oid id;
	char *name; /* qualified and quoted */
	TimestampTz until;
	TimestampTz at; /* as of when it is expired */
	bool whole;
	char *rule;
	bool condemned;
	bool keeps;    /* there are events in it to keep */
	int64 deleted; /* events, so far */
} Partition;

/* A statement with a number as its result. */
typedef struct Question
{
	const char *sql;
	int argument_count;
	const Oid *types;
	const Datum *values;
	bool rows_only; /* takes no locks but those of rows */
	int64 result;
} Question;

const char *const wb_task_names[WB_TASKS] = {"partitions", "events", "ledger", "rejections", "consumers"};

static MemoryContext context; /* the caller's */
static HTAB *swept = NULL;
static int64 ledger_page = 0; /* where the next pass goes on */

static void make_partitions(WbOutcome *outcome);
static void expire_events(WbOutcome *outcome);
static void trim_ledger(WbOutcome *outcome);
static void trim_rejections(WbOutcome *outcome);
static void trim_queue(WbOutcome *outcome);

void
wb_maintain(WbTask task, WbOutcome *outcome)
{
	static void (*const tasks[WB_TASKS])(WbOutcome *) = {
		[WB_TASK_PARTITIONS] = make_partitions,
		[WB_TASK_EVENTS] = expire_events,
		[WB_TASK_LEDGER] = trim_ledger,
		[WB_TASK_REJECTIONS] = trim_rejections,
		[WB_TASK_CONSUMERS] = trim_queue};

	context = CurrentMemoryContext;
	tasks[task](outcome);
}

void
wb_maintain_afresh(void)
{
	if (swept != NULL)
		hash_destroy(swept);
	swept = NULL;
	wb_store_partitions_doubt();
}

/* ----------------------------------------------------------------------
 * Steps
 * ---------------------------------------------------------------------- */

bool
wb_step_begin(const char *doing)
{
	char timeout[32];

	context = CurrentMemoryContext;
	pgstat_report_activity(STATE_RUNNING, doing);
	wb_begin_as_owner();
	if (!wb_catalog()->ready)
	{
		(void) wb_commit();
		pgstat_report_activity(STATE_IDLE, NULL);
		MemoryContextSwitchTo(context);
		return false;
	}
	wb_promise_nothing();
	snprintf(timeout, sizeof(timeout), "%dms", DeadlockTimeout + TABLE_LOCK_MARGIN_MS);
	(void) set_config_option("lock_timeout", timeout, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	SPI_connect();
	return true;
}

void
wb_step_end(void)
{
	SPI_finish();
	(void) wb_commit();
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(context);
}

bool
wb_attempt(WbOutcome *outcome, char *doing, WbAttempt work, void *argument)
{
	MemoryContext old_context = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		work(argument);
		done = true;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(old_context);
		error = CopyErrorData();
		FlushErrorState();
		wb_abort();
		/* where the role was not a transaction's, see run_alone() */
		SetUserIdAndSecContext(GetSessionUserId(), 0);
		if (outcome->error == NULL)
		{
			outcome->error = error;
			outcome->doing = doing;
		}
	}
	PG_END_TRY();

	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(old_context);
	return done;
}

/* An attempt: a query in a transaction of its own.  Without the extension its result is 0. */
static void
run_query(void *argument)
{
	Question *query = (Question *) argument;
	bool isnull;

	query->result = 0;
	if (!wb_step_begin(query->sql))
		return;
	if (query->rows_only)
		(void) set_config_option("lock_timeout", ROW_LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	if (SPI_execute_with_args(query->sql, query->argument_count, unconstify(Oid *, query->types),
							  unconstify(Datum *, query->values), NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\": %s", query->sql, SPI_result_code_string(SPI_result));
	if (SPI_processed > 0)
	{
		Datum result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		query->result = isnull ? 0 : DatumGetInt64(result);
	}
	wb_step_end();
}

/*
 * Lets others have the machine.  False if the process is to end.  A reload is left
 * for the main loop.
 */
static bool
nap(long time_ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, time_ms, PG_WAIT_EXTENSION);
	wb_worker_breathe();
	return !ShutdownRequestPending;
}

/*
 * An attempt: a statement that commits by itself, in the role of the owner.  As
 * the protocol runs a statement: only a portal that is active survives a commit.
 */
static void
run_alone(void *argument)
{
	const char *statement = (const char *) argument;
	char timeout[32];
	RawStmt *parsed;
	List *plans;
	Portal portal;

	/* for the whole session: what is set for a transaction ends with its first part */
	snprintf(timeout, sizeof(timeout), "%dms", DeadlockTimeout + TABLE_LOCK_MARGIN_MS);
	SetConfigOption("lock_timeout", timeout, PGC_SUSET, PGC_S_OVERRIDE);

	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, statement);
	StartTransactionCommand();
	if (!wb_catalog_check())
	{
		CommitTransactionCommand();
		MemoryContextSwitchTo(context);
		return;
	}
	SetUserIdAndSecContext(wb_catalog()->owner, 0);
	MemoryContextSwitchTo(context);
	parsed = linitial_node(RawStmt, pg_parse_query(statement));
	plans = pg_plan_queries(pg_analyze_and_rewrite_fixedparams(parsed, statement, NULL, 0, NULL),
							statement, CURSOR_OPT_PARALLEL_OK, NULL);

	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, statement, CreateCommandTag(parsed->stmt), plans, NULL);
	PortalStart(portal, NULL, 0, InvalidSnapshot);
	(void) PortalRun(portal, FETCH_ALL, true, true, None_Receiver, None_Receiver, NULL);
	PortalDrop(portal, false);
	CommitTransactionCommand();
	SetUserIdAndSecContext(GetSessionUserId(), 0);
	MemoryContextSwitchTo(context);
}

/* ----------------------------------------------------------------------
 * Partitions ahead
 * ---------------------------------------------------------------------- */

static void
make_missing(void *argument)
{
	TimestampTz now = GetCurrentTimestamp();

	if (wb_store_partitions_ready(now) || !wb_step_begin("making partitions"))
		return;
	*(int *) argument = wb_store_partitions(GetCurrentTransactionStartTimestamp());
	wb_step_end();
}

static void
make_partitions(WbOutcome *outcome)
{
	int created = 0;

	if (wb_attempt(outcome, "making partitions", make_missing, &created) && created > 0)
		outcome->detail = psprintf("%d made", created);
}

/* ----------------------------------------------------------------------
 * Events
 * ---------------------------------------------------------------------- */

typedef struct PartitionList
{
	const char *sql; /* id, name, state or null, and of those expired the rest */
	TimestampTz at;
	Partition *partitions;
	int count;
} PartitionList;

/* An attempt. */
static void
list_partitions(void *argument)
{
	PartitionList *list = (PartitionList *) argument;
	Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(list->at)};

	list->count = 0;
	if (!wb_step_begin(list->sql))
		return;
	if (SPI_execute_with_args(list->sql, 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list partitions: %s", SPI_result_code_string(SPI_result));
	list->partitions = MemoryContextAllocZero(context, sizeof(Partition) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		Partition *partition = &list->partitions[list->count++];
		char *rule = SPI_getvalue(row, desc, 6);
		bool isnull;

		partition->id = DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull));
		partition->name = MemoryContextStrdup(context, SPI_getvalue(row, desc, 2));
		partition->condemned = DatumGetBool(SPI_getbinval(row, desc, 3, &isnull));
		partition->until = DatumGetTimestampTz(SPI_getbinval(row, desc, 4, &isnull));
		partition->at = list->at;
		partition->whole = DatumGetBool(SPI_getbinval(row, desc, 5, &isnull));
		partition->rule = MemoryContextStrdup(context, rule ? rule : "");
	}
	wb_step_end();
}

/* An attempt: what a utility statement does, in a transaction of its own. */
static void
run_utility(void *argument)
{
	const char *statement = (const char *) argument;

	if (!wb_step_begin(statement))
		return;
	if (SPI_execute(statement, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run \"%s\": %s", statement, SPI_result_code_string(SPI_result));
	wb_step_end();
}

static bool
drop(WbOutcome *outcome, const Partition *partition)
{
	return wb_attempt(outcome, psprintf("dropping %s, which held expired events", partition->name), run_utility,
					  psprintf("DROP TABLE %s", partition->name));
}

static bool
detach(WbOutcome *outcome, const Partition *partition, const char *how)
{
	return wb_attempt(outcome, psprintf("detaching partition %s", partition->name), run_alone,
					  psprintf("ALTER TABLE webhook_bridge.events DETACH PARTITION %s %s", partition->name, how));
}

static bool
pardon(WbOutcome *outcome, const Partition *partition)
{
	return wb_attempt(outcome, psprintf("unmarking partition %s", partition->name), run_utility,
					  psprintf("COMMENT ON TABLE %s IS NULL", partition->name));
}

/* A query about a partition: its name or id, its bound, the time. */
static bool
ask(WbOutcome *outcome, const char *doing, const char *sql, const Partition *partition, int64 *result)
{
	Oid types[] = {OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {ObjectIdGetDatum(partition->id), TimestampTzGetDatum(partition->until),
					  TimestampTzGetDatum(partition->at)};
	Question query = {sql, lengthof(types), types, values, false, 0};
	bool done = wb_attempt(outcome, psprintf("%s %s", doing, partition->name), run_query, &query);

	*result = query.result;
	return done;
}

/*
 * What an earlier round has left: partitions to be dropped whose detachment was
 * interrupted, or which were only detached; and those that may stay, because
 * somebody has changed a retention in the meantime.  False if a detachment
 * cannot be finished, without which there is no other.
 */
static bool
finish_condemned(WbOutcome *outcome, TimestampTz at, int64 *dropped)
{
	PartitionList list = {
		"SELECT c.partition::pg_catalog.oid, c.partition::pg_catalog.text, true, $1, c.state = 'pending', c.state "
		"FROM webhook_bridge.condemned_partitions() c "
		"WHERE c.state <> 'attached' OR NOT EXISTS (SELECT FROM webhook_bridge.expired_partitions($1) e "
		"                                           WHERE e.partition = c.partition)",
		at, NULL, 0};

	if (!wb_attempt(outcome, "looking for partitions", list_partitions, &list))
		return false;
	for (int i = 0; i < list.count && !ShutdownRequestPending; i++)
	{
		Partition *partition = &list.partitions[i];

		if (strcmp(partition->rule, "attached") == 0)
		{
			(void) pardon(outcome, partition);
			continue;
		}
		if (strcmp(partition->rule, "pending") == 0 && !detach(outcome, partition, "FINALIZE"))
			return false;
		if (drop(outcome, partition))
			(*dropped)++;
	}
	return true;
}

/* Whether the events to be deleted have been deleted. */
static bool
is_swept(const Partition *partition)
{
	Swept *known = swept ? hash_search(swept, &partition->id, HASH_FIND, NULL) : NULL;

	return known && (strcmp(known->rule, partition->rule) == 0 ||
					 !TimestampDifferenceExceeds(known->at, partition->at, LOOK_AGAIN_MS));
}

static void
remember_swept(const Partition *partition)
{
	Swept *known;

	if (swept == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(Swept), .hcxt = TopMemoryContext};

		swept = hash_create("webhook_bridge partitions", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	known = hash_search(swept, &partition->id, HASH_ENTER, NULL);
	strlcpy(known->rule, partition->rule, sizeof(known->rule));
	known->at = partition->at;
}

/* Deletes the expired events of a partition that has others. */
static bool
sweep(WbOutcome *outcome, const Partition *partition, int64 *deleted)
{
	char *doing = psprintf("deleting expired events of partition %s", partition->name);
	Oid types[] = {OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT4OID};
	int64 pages;

	if (!ask(outcome, "looking at partition",
			 "SELECT pg_catalog.pg_relation_size($1) / pg_catalog.current_setting('block_size')::pg_catalog.int8 "
			 "WHERE $2 < $3",
			 partition, &pages))
		return false;
	for (int64 page = 0; page < pages; page += CHUNK_PAGES)
	{
		Datum values[] = {ObjectIdGetDatum(partition->id), TimestampTzGetDatum(partition->until),
						  TimestampTzGetDatum(partition->at), Int64GetDatum(page), Int32GetDatum(CHUNK_PAGES)};
		Question query = {"SELECT webhook_bridge.delete_expired_events($1, $2, $3, $4, $5)",
						  lengthof(types), types, values, true, 0};

		if (!wb_attempt(outcome, doing, run_query, &query))
			return false;
		*deleted += query.result;
		if (!nap(NAP_MS))
			return false;
	}
	return true;
}

/* Takes a partition away.  False if it is still there; then others cannot be detached either. */
static bool
remove_partition(WbOutcome *outcome, const Partition *partition, int64 *dropped)
{
	int64 ignored;

	if (!partition->condemned &&
		!ask(outcome, "marking partition",
			 "SELECT NULL::pg_catalog.int8 FROM webhook_bridge.condemn_partition($1) WHERE $2 < $3", partition, &ignored))
		return false;
	if (!detach(outcome, partition, "CONCURRENTLY"))
		return false;
	if (drop(outcome, partition))
		(*dropped)++;
	return true;
}

static void
expire_events(WbOutcome *outcome)
{
	int64 dropped = 0;
	int64 deleted = 0;
	PartitionList list = {
		"SELECT e.partition::pg_catalog.oid, e.partition::pg_catalog.text, "
		" EXISTS (SELECT FROM webhook_bridge.condemned_partitions() c WHERE c.partition = e.partition), "
		" e.until, e.whole, e.rule "
		"FROM webhook_bridge.expired_partitions($1) e",
		GetCurrentTimestamp(), NULL, 0};

	if (finish_condemned(outcome, list.at, &dropped) && !ShutdownRequestPending)
		(void) wb_attempt(outcome, "looking for expired partitions", list_partitions, &list);
	for (int i = 0; i < list.count && !ShutdownRequestPending; i++)
	{
		Partition *partition = &list.partitions[i];
		int64 keeps = 0;
		int64 ignored;

		if (!partition->whole && is_swept(partition))
			continue;
		if (!ask(outcome, "looking for unhandled events in",
				 "SELECT NULL::pg_catalog.int8 FROM webhook_bridge.warn_of_unhandled_events($1, $2, $3)",
				 partition, &ignored) ||
			(!partition->whole &&
			 !ask(outcome, "looking for events to keep in",
				  "SELECT webhook_bridge.has_events_to_keep($1, $2, $3)::pg_catalog.int4::pg_catalog.int8",
				  partition, &keeps)))
			continue;
		if (keeps == 0)
		{
			if (dropped > 0 && !nap(PARTITION_NAP_MS))
				break;
			if (!remove_partition(outcome, partition, &dropped))
				break;
		}
		else if (!partition->condemned || pardon(outcome, partition))
		{
			if (sweep(outcome, partition, &deleted))
				remember_swept(partition);
		}
	}
	if (dropped > 0 || deleted > 0)
		outcome->detail = psprintf("partitions dropped: " INT64_FORMAT ", events deleted: " INT64_FORMAT, dropped, deleted);
}

/* ----------------------------------------------------------------------
 * Ledger and rejections
 * ---------------------------------------------------------------------- */

/*
 * Passes over a part of the ledger: an index on the time would cost every
 * delivery something, and nobody is harmed by a key that is known a little longer.
 */
static void
trim_ledger(WbOutcome *outcome)
{
	char *doing = "deleting from the ledger of duplicates";
	TimestampTz now = GetCurrentTimestamp();
	Oid types[] = {TIMESTAMPTZOID, INT8OID, INT4OID};
	Question size = {"SELECT pg_catalog.pg_relation_size('webhook_bridge.dedup') / pg_catalog.current_setting('block_size')::pg_catalog.int8",
					 0, NULL, NULL, true, 0};
	int64 left;
	int64 deleted = 0;

	if (!wb_attempt(outcome, doing, run_query, &size))
		return;
	left = Min(size.result, Max(size.result * wb_keeper_interval_s / LEDGER_PASS_S + 1, LEDGER_PAGES));
	while (left > 0)
	{
		Datum values[] = {TimestampTzGetDatum(now), Int64GetDatum(ledger_page), Int32GetDatum(CHUNK_PAGES)};
		Question query = {"SELECT webhook_bridge.trim_ledger($1, $2, $3)", lengthof(types), types, values, true, 0};

		if (ledger_page >= size.result)
		{
			ledger_page = 0;
			continue;
		}
		if (!wb_attempt(outcome, doing, run_query, &query))
			break;
		deleted += query.result;
		ledger_page += CHUNK_PAGES;
		left -= CHUNK_PAGES;
		if (!nap(NAP_MS))
			break;
	}
	if (deleted > 0)
		outcome->detail = psprintf("deleted: " INT64_FORMAT, deleted);
}

/* What deletes CHUNK_ROWS at a time and returns how many it has found. */
static void
delete_in_chunks(WbOutcome *outcome, char *doing, const char *sql)
{
	Question query = {sql, 0, NULL, NULL, true, 0};
	int64 deleted = 0;

	do
	{
		if (!wb_attempt(outcome, doing, run_query, &query))
			break;
		deleted += query.result;
	} while (query.result == CHUNK_ROWS && nap(NAP_MS));
	if (deleted > 0)
		outcome->detail = psprintf("deleted: " INT64_FORMAT, deleted);
}

static void
trim_rejections(WbOutcome *outcome)
{
	delete_in_chunks(outcome, "deleting rejections",
					 psprintf("SELECT webhook_bridge.trim_rejections(%d, %d)", wb_max_rejections, CHUNK_ROWS));
}

/* ----------------------------------------------------------------------
 * Consumers
 * ---------------------------------------------------------------------- */

/* Also of those that self-tests have left behind, whose process did not end by itself. */
static void
trim_queue(WbOutcome *outcome)
{
	Question left = {"SELECT webhook_bridge.remove_self_tests()::pg_catalog.int8", 0, NULL, NULL, false, 0};

	if (wb_attempt(outcome, "removing what self-tests have left behind", run_query, &left) && left.result > 0)
		outcome->detail = psprintf("interrupted self-tests removed: " INT64_FORMAT, left.result);
	delete_in_chunks(outcome, "deleting what consumers cannot get any more",
					 psprintf("SELECT webhook_bridge.trim_queue(%d)", CHUNK_ROWS));
}
