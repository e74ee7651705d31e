/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  What the processes of webhook_bridge tell each other and status().
 *
 * One slot per possible receiver and one for the keeper, in shared memory,
 * holding plain data and atomics only: never a pointer or descriptor, which would
 * mean something else in another process and after a crash.  Slots outlive
 * processes, so counters go on when one is restarted, and start at zero with the
 * server.
 *
 * Besides, the key of TLS session tickets, so that each receiver can resume
 * what another has begun; nobody writes it after the start.
 *
 * Locking: the mutex of a slot guards its small state and is held for a few
 * instructions.  The launcher moves a slot from free to starting, the process
 * from starting onwards and back to free.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "self_test.h"
#include "shmem.h"

typedef struct WbShared
{
	WbSlot slots[WB_SLOTS];
	unsigned char ticket_key[WB_TICKET_KEY_BYTES];
} WbShared;

static WbShared *shared = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void request_memory(void);
static void attach_memory(void);

/* Installs the hooks.  Does nothing unless the library is being preloaded. */
void
wb_shmem_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;

	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = attach_memory;
}

WbSlot *
wb_shmem_slots(void)
{
	return shared ? shared->slots : NULL;
}

unsigned char *
wb_shmem_ticket_key(void)
{
	return shared->ticket_key;
}

static void
request_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(add_size(MAXALIGN(sizeof(WbShared)), MAXALIGN(wb_self_test_memory())));
}

static void
attach_memory(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("webhook_bridge", sizeof(WbShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(WbShared));
		for (int i = 0; i < WB_SLOTS; i++)
		{
			WbSlot *slot = &shared->slots[i];

			SpinLockInit(&slot->mutex);
			pg_atomic_init_u32(&slot->connections, 0);
			pg_atomic_init_u64(&slot->batches, 0);
			for (int c = 0; c < WB_COUNTERS; c++)
				pg_atomic_init_u64(&slot->counters[c], 0);
			pg_atomic_init_u64(&slot->tls_failures, 0);
			pg_atomic_init_u64(&slot->last_run, 0);
			pg_atomic_init_u32(&slot->failing, 0);
		}
		if (!pg_strong_random(shared->ticket_key, sizeof(shared->ticket_key)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate a random key for TLS session tickets")));
	}
	wb_self_test_attach();
	LWLockRelease(AddinShmemInitLock);
}

/* Without receivers there is no keeper either: webhook_bridge stays out of the database. */
bool
wb_slot_is_wanted(int index)
{
	return index == WB_KEEPER_SLOT ? wb_receivers > 0 && wb_keeper_interval_s > 0 : index < wb_receivers;
}

WbSlotInfo
wb_slot_read(WbSlot *slot)
{
	WbSlotInfo info;

	SpinLockAcquire(&slot->mutex);
	info.state = slot->state;
	info.pid = slot->pid;
	info.database = slot->database;
	info.since = slot->since;
	memcpy(info.closed_ports, slot->closed_ports, sizeof(info.closed_ports));
	SpinLockRelease(&slot->mutex);
	return info;
}

/* The caller holds the mutex. */
static void
change(WbSlot *slot, WbSlotState state, pid_t pid, TimestampTz now)
{
	slot->state = state;
	slot->pid = pid;
	slot->since = now;
}

/* Launcher: claims a free slot for a process about to be started. */
bool
wb_slot_reserve(WbSlot *slot, Oid database)
{
	TimestampTz now = GetCurrentTimestamp();
	bool reserved = false;

	SpinLockAcquire(&slot->mutex);
	if (slot->state == WB_SLOT_FREE)
	{
		change(slot, WB_SLOT_STARTING, 0, now);
		slot->database = database;
		reserved = true;
	}
	SpinLockRelease(&slot->mutex);
	return reserved;
}

/* Launcher: gives up on a process that was to start before "before". */
void
wb_slot_release_stale(WbSlot *slot, TimestampTz before)
{
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&slot->mutex);
	if (slot->state == WB_SLOT_STARTING && slot->since < before)
		change(slot, WB_SLOT_FREE, 0, now);
	SpinLockRelease(&slot->mutex);
}

/*
 * Worker: takes the slot it was started for.  False if the launcher has
 * given up on it in the meantime; it then has to leave.
 */
bool
wb_slot_attach(WbSlot *slot, Oid database)
{
	TimestampTz now = GetCurrentTimestamp();
	bool attached = false;

	SpinLockAcquire(&slot->mutex);
	if (slot->state == WB_SLOT_STARTING && slot->database == database)
	{
		change(slot, WB_SLOT_WAITING, MyProcPid, now);
		attached = true;
	}
	SpinLockRelease(&slot->mutex);
	return attached;
}

/* Worker: says what it is doing.  Repeating a state does not renew "since". */
void
wb_slot_set_state(WbSlot *slot, WbSlotState state)
{
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&slot->mutex);
	if (slot->state != state)
		change(slot, state, MyProcPid, now);
	SpinLockRelease(&slot->mutex);
}

/*
 * Receiver: says on which addresses and port it listens, in one number, or with
 * 0 that it is about to do so no more.
 */
void
wb_slot_claim(WbSlot *slot, bool with_tls, uint64 claim)
{
	SpinLockAcquire(&slot->mutex);
	slot->claims[with_tls] = claim;
	SpinLockRelease(&slot->mutex);
}

/* Whether a receiver of this server listens on these addresses and this port. */
bool
wb_slots_have_claim(uint64 claim)
{
	bool found = false;

	for (int i = 0; i < WB_MAX_RECEIVERS && !found; i++)
	{
		WbSlot *slot = &shared->slots[i];

		SpinLockAcquire(&slot->mutex);
		found = slot->claims[false] == claim || slot->claims[true] == claim;
		SpinLockRelease(&slot->mutex);
	}
	return found;
}

/* Receiver: says which ports it should listen on and cannot; 0 for none. */
void
wb_slot_set_closed_ports(WbSlot *slot, int port, int tls_port)
{
	SpinLockAcquire(&slot->mutex);
	slot->closed_ports[false] = port;
	slot->closed_ports[true] = tls_port;
	SpinLockRelease(&slot->mutex);
}

/* Worker: leaves; harmless if the slot belongs to somebody else. */
void
wb_slot_detach(WbSlot *slot)
{
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&slot->mutex);
	if (slot->pid == MyProcPid)
	{
		change(slot, WB_SLOT_FREE, 0, now);
		slot->claims[false] = slot->claims[true] = 0;
		slot->closed_ports[false] = slot->closed_ports[true] = 0;
		pg_atomic_write_u32(&slot->connections, 0);
	}
	SpinLockRelease(&slot->mutex);
}
