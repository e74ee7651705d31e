/*-------------------------------------------------------------------------
 *
 * receiver.c
 *	  The process that receives deliveries: start-up, signals, main loop.
 *
 * A receiver waits for the extension, listens while it exists, and drains its
 * connections when the extension is dropped or the process is to end.  One
 * turn of the loop reads what has arrived, stores it in one transaction and
 * answers; no transaction is open while it waits.
 *
 * An error outside a batch ends the process; the launcher starts another.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <malloc.h>

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "batch.h"
#include "catalog.h"
#include "conn.h"
#include "event_loop.h"
#include "guc.h"
#include "listener.h"
#include "receiver.h"
#include "shmem.h"
#include "tls.h"
#include "worker.h"

#define TICK_MS 250 /* how soon CREATE and DROP EXTENSION are noticed */
#define RETRY_LISTEN_MS 1000
#define KEPT_MEMORY (8 * 1024 * 1024) /* freed by one batch and needed by the next: not given back in between */
#define DRAIN_LIMIT_MS 600            /* for all connections to end */
#define ACCEPT_LIMIT_MS 100           /* for taking those that wait to be accepted */

static WbLoop *loop;
static WbSlot *slot;
static WbSlotState state = WB_SLOT_WAITING;
static int64 next_tick_ms = 0;
static int64 next_listen_ms = 0;
static int64 drain_until_ms;

static void settle_in(int index);
static void handle_signals(void);
static bool serve(bool in_time);
static bool stop_listening(void);
static void tick(void);
static void start_drain(void);
static void enter(WbSlotState new_state);
static long turn_timeout_ms(void);

void
webhook_bridge_receiver_main(Datum argument)
{
	MemoryContext turn_context;

	settle_in(DatumGetInt32(argument));
	turn_context = AllocSetContextCreate(TopMemoryContext, "webhook_bridge turn",
										 ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContextSwitchTo(turn_context);
		MemoryContextReset(turn_context);

		wb_loop_turn(loop, turn_timeout_ms());
		handle_signals();
		(void) serve(true);
		wb_conns_expire();
		wb_listeners_resume();

		if (ShutdownRequestPending && state != WB_SLOT_DRAINING)
			start_drain();
		if (state == WB_SLOT_DRAINING)
		{
			if (wb_conns_count() == 0 || wb_loop_now_ms(loop) >= drain_until_ms)
			{
				wb_conns_reset();
				if (ShutdownRequestPending)
					proc_exit(0);
				enter(WB_SLOT_WAITING);
			}
		}
		else if (wb_loop_now_ms(loop) >= next_tick_ms)
		{
			tick();
			next_tick_ms = wb_loop_now_ms(loop) + TICK_MS;
		}
	}
}

/* From a new process to one that can serve. */
static void
settle_in(int index)
{
	slot = wb_worker_settle_in(index, SignalHandlerForShutdownRequest);
#ifdef __GLIBC__
	(void) mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
	(void) mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY / 8); /* larger blocks are given back one by one */
#endif
	wb_catalog_init(true);
	wb_batch_init(slot);
	loop = wb_loop_create();
	wb_conns_init(loop, slot);
	wb_listeners_init(loop, slot);
}

static void
handle_signals(void)
{
	if (!wb_worker_take_signals())
		return;
	wb_catalog_doubt(); /* there may be another role */
	wb_conns_reload();
	wb_tls_reload();
	wb_listeners_share();
	if (state == WB_SLOT_LISTENING && wb_listeners_outdated())
	{
		(void) stop_listening();
		enter(WB_SLOT_BLOCKED);
		next_tick_ms = 0;
	}
}

/*
 * Stores and answers what has arrived.  Requests that a full batch left behind
 * form the next; each pass uses up buffered bytes, so this ends, and always
 * with no request pending.  Who is waiting while a transaction runs out of
 * time, or when the process is to end, is refused and not made to wait for
 * another.  False if there is no time to be lost with more of them.
 */
static bool
serve(bool in_time)
{
	bool stored_one = false;

	while (wb_conns_have_work())
	{
		if (in_time && !(stored_one && ShutdownRequestPending))
			in_time = wb_batch_store();
		else
			wb_batch_refuse();
		stored_one = true;
		wb_conns_answer();
	}
	return in_time;
}

/* Compares what is with what should be. */
static void
tick(void)
{
	bool exists = wb_batch_probe_extension();

	if (!exists)
	{
		if (state == WB_SLOT_LISTENING)
			start_drain();
		else
		{
			wb_listeners_close();
			enter(WB_SLOT_WAITING);
		}
	}
	else if (wb_loop_now_ms(loop) >= next_listen_ms)
	{
		enter(wb_listeners_open() ? WB_SLOT_LISTENING : WB_SLOT_BLOCKED);
		next_listen_ms = wb_loop_now_ms(loop) + RETRY_LISTEN_MS;
	}
}

/*
 * Closes the sockets.  Clients that the kernel has connected are accepted first:
 * they would be cut off without an answer.  Returns what serve() does.
 */
static bool
stop_listening(void)
{
	int64 until_ms = 0;
	bool in_time = serve(true); /* no request is pending when a turn begins */
	uint64 before;

	do
	{
		before = wb_conns_opened();
		wb_loop_turn(loop, 0);
		if (until_ms == 0) /* the clock is read by the turn */
			until_ms = wb_loop_now_ms(loop) + ACCEPT_LIMIT_MS;
		in_time = serve(in_time);
	} while (in_time && wb_conns_opened() > before && wb_loop_now_ms(loop) < until_ms);
	wb_listeners_close();
	next_listen_ms = 0;
	return in_time;
}

/*
 * Takes no more connections, answers what has already arrived, and gives the
 * rest a little time.
 */
static void
start_drain(void)
{
	bool in_time = stop_listening();

	wb_loop_turn(loop, 0);
	(void) serve(in_time);
	wb_conns_drain();
	enter(WB_SLOT_DRAINING);
	drain_until_ms = wb_loop_now_ms(loop) + DRAIN_LIMIT_MS;
}

static void
enter(WbSlotState new_state)
{
	state = new_state;
	wb_slot_set_state(slot, new_state);
}

static long
turn_timeout_ms(void)
{
	int64 wake_ms = state == WB_SLOT_DRAINING ? drain_until_ms : next_tick_ms;
	long own_ms = (long) Max(wake_ms - wb_loop_now_ms(loop), 0);
	long conns_ms = wb_conns_timeout_ms();

	return conns_ms < 0 ? own_ms : Min(own_ms, conns_ms);
}
