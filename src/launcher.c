/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The process that keeps the receivers and the keeper running.
 *
 * A background worker can connect to one database only, and only once, and
 * fails if that database does not exist.  The launcher therefore connects to
 * none: it reads pg_database, and starts the others when there is a database
 * for them to connect to.  It never receives anything itself.
 *
 * It works level-triggered: each turn compares the slots in shared memory with
 * what the settings ask for and mends the difference, so that a lost signal, a
 * failed fork or its own restart leaves nothing behind.  A process that keeps
 * ending soon after its start is started again ever more slowly.
 *
 * Who drops, renames, moves or copies their database locks it and then waits
 * some seconds for its sessions to end.  The launcher looks at that lock and ends
 * them while it is held, so that nobody has to stop them first.
 *
 * PostgreSQL takes room in its NOTIFY queue back when something is added, which a
 * full queue does not let happen: it would stay full for ever, also without the
 * session that kept it so.  The launcher asks now and then how full it is, which
 * takes the room back as well.  That can take seconds, in which no receiver should
 * be.
 *
 * Started after recovery, hence on a standby only once it is promoted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/bgworker_internals.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "launcher.h"
#include "shmem.h"

/* How PostgreSQL links BackgroundWorkerList. */
#if PG_VERSION_NUM >= 180000
#define worker_list_iter dlist_iter
#define worker_list_foreach dlist_foreach
#define worker_list_container dlist_container
#else
#define worker_list_iter slist_iter
#define worker_list_foreach slist_foreach
#define worker_list_container slist_container
#endif

#define TURN_MS 500             /* how soon a new database is noticed */
#define LOCKED_MS 100           /* a shorter lock on the database is nothing: who is refused takes it, too */
#define START_PATIENCE_MS 10000 /* for a process to attach to its slot */
#define HEALTHY_MS 10000        /* what lived longer is restarted at once */
#define MAX_BACKOFF_MS 5000     /* providers give up after some seconds */
#define QUEUE_INTERVAL_MS 5000  /* between looks at the NOTIFY queue */

/* What the launcher remembers of a slot, in its own memory. */
typedef struct SlotHistory
{
	TimestampTz started_at; /* last start, 0 if none */
	int backoff_ms;         /* pause before the next start */
	bool lacks_slot;        /* of max_worker_processes, at the last attempt */
} SlotHistory;

static SlotHistory history[WB_SLOTS];
static bool warned_no_slot = false;
static TimestampTz locked_since = 0; /* the database, 0 if it is not */

static Oid find_database(void);
static bool is_locked(Oid database);
static void tidy_notify_queue(void);
static bool is_registered(void);
static void reconcile(Oid database);
static void start_worker(int index, Oid database, TimestampTz now);
static void note_missing(Oid database);
static void say_no_slot(int missing, bool keeper_only);
static int own_processes(void);
static bool register_worker(int index, Oid database);

/*
 * Registers the launcher, or says why there is none: PostgreSQL does not name
 * whom it had no room for.  Does nothing unless the library is being preloaded.
 */
void
wb_launcher_init(void)
{
	BackgroundWorker worker;

	/* pg_upgrade starts servers that must do nothing on their own */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "webhook_bridge launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "webhook_bridge launcher");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "webhook_bridge");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "webhook_bridge_launcher_main");
	RegisterBackgroundWorker(&worker);
	if (!is_registered())
		say_no_slot(own_processes(), false);
}

/* Whether there was room for the launcher. */
static bool
is_registered(void)
{
	worker_list_iter i;

	worker_list_foreach(i, &BackgroundWorkerList)
	{
		RegisteredBgWorker *worker = worker_list_container(RegisteredBgWorker, rw_lnode, i.cur);

		if (strcmp(worker->rw_worker.bgw_function_name, "webhook_bridge_launcher_main") == 0)
			return true;
	}
	return false;
}

void
webhook_bridge_launcher_main(Datum argument)
{
	MemoryContext turn_context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	turn_context = AllocSetContextCreate(TopMemoryContext, "webhook_bridge launcher turn",
										 ALLOCSET_DEFAULT_SIZES);
	pgstat_report_activity(STATE_IDLE, NULL);

	while (!ShutdownRequestPending)
	{
		MemoryContextSwitchTo(turn_context);
		MemoryContextReset(turn_context);

		reconcile(find_database());
		tidy_notify_queue();

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 locked_since != 0 ? LOCKED_MS : TURN_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		HOLD_CANCEL_INTERRUPTS();
		CHECK_FOR_INTERRUPTS();
		RESUME_CANCEL_INTERRUPTS();
		QueryCancelPending = false; /* there is no query to cancel */
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}

	/* not 0, which would unregister the worker if only this process was asked to end */
	proc_exit(1);
}

/*
 * Returns the database named by the setting, or InvalidOid if a worker
 * cannot or should not connect to it: a session would make a template
 * unusable as such, and keep others from what they have locked a database for.
 */
static Oid
find_database(void)
{
	Relation catalog;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;
	Oid database = InvalidOid;

	StartTransactionCommand();
	catalog = table_open(DatabaseRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_database_datname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(wb_database));
	/* after a crash the index is not known until somebody has connected to a database */
	scan = systable_beginscan(catalog, DatabaseNameIndexId, criticalSharedRelcachesBuilt, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->datallowconn && !form->datistemplate)
			database = form->oid;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	if (!OidIsValid(database) || !is_locked(database))
		locked_since = 0;
	else if (locked_since == 0)
		locked_since = GetCurrentTimestamp();
	else if (TimestampDifferenceExceeds(locked_since, GetCurrentTimestamp(), LOCKED_MS))
		database = InvalidOid;
	CommitTransactionCommand();
	return database;
}

/* Whether somebody has a lock on a database that keeps sessions from connecting to it. */
static bool
is_locked(Oid database)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
	if (LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, RowExclusiveLock, false);
	return false;
}

static void
tidy_notify_queue(void)
{
	static TimestampTz looked_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(looked_at, now, QUEUE_INTERVAL_MS))
		return;
	looked_at = now;
	(void) OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE);
}

/* Makes the workers that run the workers that should run. */
static void
reconcile(Oid database)
{
	WbSlot *slots = wb_shmem_slots();
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < WB_SLOTS; i++)
	{
		WbSlotInfo info;
		bool wanted = OidIsValid(database) && wb_slot_is_wanted(i);

		wb_slot_release_stale(&slots[i], TimestampTzPlusMilliseconds(now, -START_PATIENCE_MS));
		info = wb_slot_read(&slots[i]);
		if (info.state == WB_SLOT_FREE)
		{
			if (wanted)
				start_worker(i, database, now);
		}
		else if (info.pid != 0 && (!wanted || info.database != database) &&
				 info.state != WB_SLOT_DRAINING)
		{
			/* an error means that it has just ended, which is what we want */
			(void) kill(info.pid, SIGTERM);
			history[i].started_at = 0; /* no failure of its own */
		}
	}
	note_missing(database);
}

/* Starts a worker in a free slot, unless it is too soon after a failure. */
static void
start_worker(int index, Oid database, TimestampTz now)
{
	SlotHistory *past = &history[index];
	WbSlot *slot = &wb_shmem_slots()[index];

	if (past->started_at != 0)
	{
		TimestampTz due;

		/* "since" of a free slot is when its process ended */
		if (TimestampDifferenceExceeds(past->started_at, wb_slot_read(slot).since, HEALTHY_MS))
			past->backoff_ms = 0;
		due = TimestampTzPlusMilliseconds(past->started_at, past->backoff_ms);
		if (now < due)
			return;
		past->backoff_ms = Min(Max(past->backoff_ms * 2, 1000), MAX_BACKOFF_MS);
	}

	if (!wb_slot_reserve(slot, database))
		return;
	past->started_at = now;
	/* without room it stays reserved until START_PATIENCE_MS are over, then is tried again */
	past->lacks_slot = !register_worker(index, database);
}

/* Says once that there are too few processes, until there are enough. */
static void
note_missing(Oid database)
{
	int missing = 0;
	bool keeper_only = true;

	for (int i = 0; i < WB_SLOTS; i++)
	{
		if (!OidIsValid(database) || !wb_slot_is_wanted(i) || !history[i].lacks_slot)
			continue;
		missing++;
		keeper_only &= i == WB_KEEPER_SLOT;
	}
	if (missing > 0 && !warned_no_slot)
		say_no_slot(missing, keeper_only);
	warned_no_slot = missing > 0;
}

/* All worker slots are taken, and so many more are needed. */
static void
say_no_slot(int missing, bool keeper_only)
{
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 keeper_only ? errmsg("could not start the webhook keeper")
						 : errmsg("could not start a webhook receiver"),
			 errdetail("There is no free background worker slot; max_worker_processes is %d.",
					   max_worker_processes),
			 errhint("webhook_bridge needs %d of them for itself. "
					 "Set max_worker_processes to %d or more and restart the server.",
					 own_processes(), max_worker_processes + missing)));
}

/* The launcher, and whom it starts. */
static int
own_processes(void)
{
	int count = 1;

	for (int i = 0; i < WB_SLOTS; i++)
		count += wb_slot_is_wanted(i);
	return count;
}

static bool
register_worker(int index, Oid database)
{
	bool keeper = index == WB_KEEPER_SLOT;
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	if (keeper)
		snprintf(worker.bgw_name, BGW_MAXLEN, "webhook_bridge keeper");
	else
		snprintf(worker.bgw_name, BGW_MAXLEN, "webhook_bridge receiver %d", index);
	snprintf(worker.bgw_type, BGW_MAXLEN, "webhook_bridge %s", keeper ? "keeper" : "receiver");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART; /* the launcher restarts it */
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "webhook_bridge");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "webhook_bridge_%s_main", keeper ? "keeper" : "receiver");
	worker.bgw_main_arg = Int32GetDatum(index);
	memcpy(worker.bgw_extra, &database, sizeof(database));
	worker.bgw_notify_pid = MyProcPid; /* so that its end is noticed at once */
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}
