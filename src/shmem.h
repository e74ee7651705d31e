/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  What the processes of webhook_bridge tell each other and status().
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_SHMEM_H
#define WB_SHMEM_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/spin.h"

#include "guc.h"

/* How a request ended; every request is counted under exactly one of these. */
typedef enum WbCounter
{
	WB_COUNT_STORED,
	WB_COUNT_DUPLICATE,
	WB_COUNT_PROBE, /* GET or HEAD without a delivery */
	WB_COUNT_UNAUTHORIZED,
	WB_COUNT_NOT_FOUND,
	WB_COUNT_BAD_METHOD,
	WB_COUNT_TOO_LARGE, /* head or body */
	WB_COUNT_MALFORMED,
	WB_COUNT_TIMED_OUT,
	WB_COUNT_UNAVAILABLE,
	WB_COUNT_RATE_LIMITED, /* also a connection of an address that has enough */
	WB_COUNTERS
} WbCounter;

typedef enum WbSlotState
{
	WB_SLOT_FREE,     /* nobody; zero, so that new memory is free */
	WB_SLOT_STARTING, /* asked for by the launcher, not yet attached */
	WB_SLOT_WAITING,  /* runs, but the extension does not exist */
	WB_SLOT_BLOCKED,  /* runs, but cannot open any port */
	WB_SLOT_LISTENING,
	WB_SLOT_DRAINING,
	WB_SLOT_RUNNING /* of the keeper: the extension exists */
} WbSlotState;

/* The keeper's slot comes after those of the receivers. */
#define WB_KEEPER_SLOT WB_MAX_RECEIVERS
#define WB_SLOTS (WB_MAX_RECEIVERS + 1)

/*
 * One receiver, or the keeper.  state, pid, since, database, claims and
 * closed_ports are protected by the mutex; the atomics are written by the process
 * alone and read by anybody.
 */
typedef struct WbSlot
{
	slock_t mutex;
	WbSlotState state;
	pid_t pid;
	Oid database;                 /* that it works in */
	TimestampTz since;            /* of the state */
	uint64 claims[2];             /* addresses and port without TLS, and with, that are open; 0 if not */
	int closed_ports[2];          /* the same two, that cannot be opened; 0 if not */
	pg_atomic_uint32 connections; /* open now */
	pg_atomic_uint64 batches;     /* transactions that stored something */
	pg_atomic_uint64 counters[WB_COUNTERS];
	pg_atomic_uint64 tls_failures; /* connections on which TLS did not begin */
	pg_atomic_uint64 last_run;     /* of the keeper: TimestampTz of the end of its last round, 0 if none */
	pg_atomic_uint32 failing;      /* of the keeper: a bit for each WbTask that failed then */
} WbSlot;

/* A consistent copy of what the mutex protects. */
typedef struct WbSlotInfo
{
	WbSlotState state;
	pid_t pid;
	Oid database;
	TimestampTz since;
	int closed_ports[2];
} WbSlotInfo;

#define WB_TICKET_KEY_BYTES 80 /* what OpenSSL makes its keys for session tickets of */

extern void wb_shmem_init(void);

/* NULL if the library was not preloaded. */
extern WbSlot *wb_shmem_slots(void);

/* Random bytes, the same in all processes and others after a restart. */
extern unsigned char *wb_shmem_ticket_key(void);

/* Whether the settings ask for a process in this slot, if there is a database. */
extern bool wb_slot_is_wanted(int index);

extern WbSlotInfo wb_slot_read(WbSlot *slot);
extern bool wb_slot_reserve(WbSlot *slot, Oid database);
extern void wb_slot_release_stale(WbSlot *slot, TimestampTz before);
extern bool wb_slot_attach(WbSlot *slot, Oid database);
extern void wb_slot_set_state(WbSlot *slot, WbSlotState state);
extern void wb_slot_claim(WbSlot *slot, bool with_tls, uint64 claim);
extern bool wb_slots_have_claim(uint64 claim);
extern void wb_slot_set_closed_ports(WbSlot *slot, int port, int tls_port);
extern void wb_slot_detach(WbSlot *slot);

/* Adds to a number that only this process writes. */
static inline void
wb_count(pg_atomic_uint64 *counter, uint64 by)
{
	pg_atomic_write_u64(counter, pg_atomic_read_u64(counter) + by);
}

#endif /* WB_SHMEM_H */
