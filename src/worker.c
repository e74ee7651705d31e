/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  What receivers and the keeper have in common.
 *
 * Both are started by the launcher for a slot in shared memory, work in one
 * database and end at SIGTERM.  What they do there is not decided here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"

#include "worker.h"

static void leave(int code, Datum slot);

WbSlot *
wb_worker_settle_in(int index, pqsigfunc on_term)
{
	WbSlot *slot = &wb_shmem_slots()[index];
	Oid database;

	memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof(database));

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_term);
	BackgroundWorkerUnblockSignals();

	if (!wb_slot_attach(slot, database))
		proc_exit(0);
	on_shmem_exit(leave, PointerGetDatum(slot));

	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	wb_worker_fix_settings();
	pgstat_report_appname("webhook_bridge");
	pgstat_report_activity(STATE_IDLE, NULL);
	return slot;
}

void
wb_worker_fix_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"}, /* since PostgreSQL 17 */
		{"default_transaction_isolation", "read committed"},
		{"row_security", "on"},
		{"jit", "off"},
		{"session_replication_role", "origin"}};

	for (int i = 0; i < (int) lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

static void
leave(int code, Datum slot)
{
	wb_slot_detach((WbSlot *) DatumGetPointer(slot));
}

void
wb_worker_breathe(void)
{
	ResetLatch(MyLatch);
	/* between transactions there is nothing that pg_cancel_backend() could cancel */
	HOLD_CANCEL_INTERRUPTS();
	CHECK_FOR_INTERRUPTS();
	RESUME_CANCEL_INTERRUPTS();
	QueryCancelPending = false;
}

bool
wb_worker_take_signals(void)
{
	wb_worker_breathe();
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

bool
wb_error_may_quote(int sqlstate)
{
	int class = ERRCODE_TO_CATEGORY(sqlstate);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		   class == ERRCODE_TO_CATEGORY(ERRCODE_PLPGSQL_ERROR) ||
		   class == ERRCODE_TO_CATEGORY(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION);
}
