/*-------------------------------------------------------------------------
 *
 * keeper.c
 *	  The process that does maintenance: signals, main loop, reports.
 *
 * Wakes every webhook_bridge.keeper_interval, or at a reload, and does each task
 * of maintain.c, whatever becomes of the others.  What it did is in
 * webhook_bridge.maintenance and status(), and what it cannot do in the log: once,
 * until it can or there is another cause.  It waits quietly where the extension
 * does not exist.
 *
 * No transaction is open while it waits.  SIGTERM cancels what it is doing;
 * everything can be done again, and goes on after the next start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "guc.h"
#include "keeper.h"
#include "maintain.h"
#include "worker.h"

#define TICK_MS 1000 /* how soon CREATE and DROP EXTENSION are noticed */

/* When a failure that goes on is said again. */
#define SAY_AGAIN_MS (24 * 60 * 60 * 1000)

/* What was said of a task that fails; sqlstate is 0 if it does not. */
typedef struct Said
{
	int sqlstate;
	TimestampTz at;
} Said;

/* The rounds' results, on their way to webhook_bridge.maintenance. */
typedef struct Report
{
	WbOutcome outcomes[WB_TASKS];
} Report;

static WbSlot *slot;
static Said said[WB_TASKS + 1]; /* the last one of what is no task */

static void end_soon(SIGNAL_ARGS);
static int64 now_ms(void);
static bool look(void);
static void probe(void *argument);
static void do_round(void);
static void record(void *argument);
static void note_failure(Said *before, const WbOutcome *outcome);
static char *error_text(const ErrorData *error);
static const char *hint_for(const ErrorData *error);

void
webhook_bridge_keeper_main(Datum argument)
{
	MemoryContext round_context;
	int64 due_ms = 0;
	Oid events = InvalidOid; /* of the extension that was looked after */

	slot = wb_worker_settle_in(WB_KEEPER_SLOT, end_soon);
	wb_catalog_init(false);
	round_context = AllocSetContextCreate(TopMemoryContext, "webhook_bridge round", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		bool exists;

		MemoryContextSwitchTo(round_context);
		MemoryContextReset(round_context);
		if (wb_worker_take_signals())
		{
			wb_maintain_afresh();
			due_ms = 0;
		}
		if (ShutdownRequestPending)
			proc_exit(0);

		exists = look();
		wb_slot_set_state(slot, exists ? WB_SLOT_RUNNING : WB_SLOT_WAITING);
		if (!exists || wb_catalog()->events != events)
		{
			/* gone, or made anew since the last look */
			events = exists ? wb_catalog()->events : InvalidOid;
			wb_maintain_afresh();
			due_ms = 0;
		}
		if (exists && now_ms() >= due_ms)
		{
			do_round();
			due_ms = now_ms() + (int64) wb_keeper_interval_s * 1000;
			continue; /* signals may have come */
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, TICK_MS, PG_WAIT_EXTENSION);
	}
}

/* A signal handler: asks for the end of the process, and cancels what it is doing. */
static void
end_soon(SIGNAL_ARGS)
{
	int save_errno = errno;

	ShutdownRequestPending = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

/* Of a clock that nobody sets. */
static int64
now_ms(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

/* Whether the extension exists. */
static bool
look(void)
{
	WbOutcome outcome = {0};
	bool exists = false;

	wb_catalog_doubt();
	(void) wb_attempt(&outcome, "looking for the extension", probe, &exists);
	note_failure(&said[WB_TASKS], &outcome);
	return exists;
}

/* An attempt. */
static void
probe(void *argument)
{
	wb_begin_as_owner();
	*(bool *) argument = wb_catalog()->ready;
	(void) wb_commit();
}

static void
do_round(void)
{
	Report report = {0};
	WbOutcome outcome = {0};
	uint32 failing = 0;

	for (int t = 0; t < WB_TASKS && !ShutdownRequestPending; t++)
	{
		wb_maintain((WbTask) t, &report.outcomes[t]);
		if (report.outcomes[t].error)
			failing |= (uint32) 1 << t;
	}
	/* what was cut short is no failure, and so is what fails because of DROP EXTENSION */
	if (ShutdownRequestPending || (failing && !look()))
		return;
	for (int t = 0; t < WB_TASKS; t++)
		note_failure(&said[t], &report.outcomes[t]);

	pg_atomic_write_u32(&slot->failing, failing);
	pg_atomic_write_u64(&slot->last_run, (uint64) GetCurrentTimestamp());
	(void) wb_attempt(&outcome, "writing webhook_bridge.maintenance", record, &report);
	if (!ShutdownRequestPending)
		note_failure(&said[WB_TASKS], &outcome);
	(void) pgstat_report_stat(true);
}

/* An attempt. */
static void
record(void *argument)
{
	Report *report = (Report *) argument;
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID};

	if (!wb_step_begin("recording maintenance"))
		return;
	for (int t = 0; t < WB_TASKS; t++)
	{
		const WbOutcome *outcome = &report->outcomes[t];
		Datum values[] = {
			CStringGetTextDatum(wb_task_names[t]),
			CStringGetTextDatum(outcome->detail ? outcome->detail : ""),
			CStringGetTextDatum(outcome->error ? psprintf("%s: %s", outcome->doing, error_text(outcome->error)) : "")};
		char nulls[] = {' ', outcome->detail ? ' ' : 'n', outcome->error ? ' ' : 'n', '\0'};

		if (SPI_execute_with_args("SELECT webhook_bridge.record_maintenance($1, pg_catalog.now(), $2, $3)",
								  lengthof(types), types, values, nulls, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not record maintenance: %s", SPI_result_code_string(SPI_result));
	}
	wb_step_end();
}

/* Says in the log what went wrong, unless it has been said. */
static void
note_failure(Said *before, const WbOutcome *outcome)
{
	const ErrorData *error = outcome->error;
	TimestampTz now = GetCurrentTimestamp();

	if (error == NULL)
	{
		before->sqlstate = 0;
		return;
	}
	if (before->sqlstate == error->sqlerrcode && !TimestampDifferenceExceeds(before->at, now, SAY_AGAIN_MS))
		return;
	before->sqlstate = error->sqlerrcode;
	before->at = now;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("webhook_bridge failed in %s: %s", outcome->doing, error_text(error)),
			 error->detail && error->sqlerrcode == ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST ? errdetail("%s", error->detail) : 0,
			 errhint("%s", hint_for(error))));
}

static char *
error_text(const ErrorData *error)
{
	if (wb_error_may_quote(error->sqlerrcode))
		return psprintf("error %s, whose message may quote a delivery", unpack_sql_state(error->sqlerrcode));
	return pstrdup(error->message);
}

static const char *
hint_for(const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return "A transaction that has been open for long is in the way; pg_locks and pg_stat_activity show it. "
			   "The keeper tries again by itself.";
	if (error->hint && !wb_error_may_quote(error->sqlerrcode))
		return error->hint;
	return "The keeper tries again by itself; webhook_bridge.maintenance shows whether it could.";
}
