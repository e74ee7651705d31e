/*-------------------------------------------------------------------------
 *
 * consumer.c
 *	  What fetching events needs beside SQL: locks that are no rows, and where
 *	  to begin looking.
 *
 * Everything else about consumers is SQL (extension/52_consumers.sql), which
 * calls these functions with the rights of the extension's owner.
 *
 * Rows of queue and attempts come and go by the thousand, and as long as there
 * is an old transaction anywhere in the cluster none of those that are gone can
 * be removed.  A session therefore remembers where it found the first row that
 * was there, and begins to look a little before that.  Rows may appear further
 * back: now and then it looks at everything, at most a tenth of the time.
 *
 * What is remembered is a guess and belongs to the session; it is forgotten when
 * a transaction or a part of one is rolled back, because that puts rows back.
 * Locks end with the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* Beside 1 and 2, which are those of pg_advisory_lock(). */
#define KEY_LOCK_SPACE 3

#define LOOK_INTERVAL_MS 1000           /* between looks at everything */
#define LOOK_SHARE 10                   /* which take no more than one of so many parts of the time */
#define LATE_EVENTS 4096                /* events that are queued later may have ids that are so much smaller */
#define LATE_USECS (10 * USECS_PER_SEC) /* the same for the end of a lease */

typedef struct WbLook
{
	int32 consumer;     /* the key */
	int64 position;     /* in queue; before it there was no row */
	TimestampTz due_at; /* in attempts */
	TimestampTz all_at; /* when all was looked at last */
	int64 all_took;     /* microseconds */
	bool looking_at_all;
} WbLook;

static HTAB *looks = NULL;

PG_FUNCTION_INFO_V1(webhook_bridge_wait_for_storing);
PG_FUNCTION_INFO_V1(webhook_bridge_try_key);
PG_FUNCTION_INFO_V1(webhook_bridge_look_from);
PG_FUNCTION_INFO_V1(webhook_bridge_looked);

static WbLook *find_look(int32 consumer);
static void forget_at_abort(XactEvent event, void *argument);
static void forget_at_subabort(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *argument);
static void forget_all(void);

/*
 * wait_for_storing(xid8) → nothing, when every transaction has ended that had a
 * lock on events, to insert into it, when this was called.  Others are not held
 * up.  Whoever takes that lock later learns first of the consumer that was
 * committed by the given transaction: it holds the lock on its id until it has
 * told everybody, a moment longer than others take it to be running.
 */
Datum
webhook_bridge_wait_for_storing(PG_FUNCTION_ARGS)
{
	Oid events = get_relname_relid("events", get_namespace_oid("webhook_bridge", false));
	LOCKTAG tag;

	SET_LOCKTAG_TRANSACTION(tag, XidFromFullTransactionId(PG_GETARG_FULLTRANSACTIONID(0)));
	(void) LockAcquire(&tag, ShareLock, false, false);
	LockRelease(&tag, ShareLock, false);
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, events);
	WaitForLockers(tag, ShareLock, false);
	PG_RETURN_VOID();
}

/*
 * try_key(consumer, key) → whether the key is this transaction's, until it ends.
 * Two keys that have a hash in common keep each other waiting, no more.
 */
Datum
webhook_bridge_try_key(PG_FUNCTION_ARGS)
{
	uint32 consumer = (uint32) PG_GETARG_INT32(0);
	text *key = PG_GETARG_TEXT_PP(1);
	uint32 hash = hash_bytes((unsigned char *) VARDATA_ANY(key), (int) VARSIZE_ANY_EXHDR(key));
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, consumer, hash, KEY_LOCK_SPACE);
	PG_RETURN_BOOL(LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL);
}

/*
 * look_from(consumer) → (place, due_at): where to begin to look in queue and
 * in attempts; 0 and -infinity if it is time to look at everything.
 */
Datum
webhook_bridge_look_from(PG_FUNCTION_ARGS)
{
	WbLook *look = find_look(PG_GETARG_INT32(0));
	TimestampTz now = GetCurrentTimestamp();
	int64 interval = Max(LOOK_INTERVAL_MS * INT64CONST(1000), look->all_took * LOOK_SHARE);
	Datum values[2];
	bool nulls[2] = {false};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	look->looking_at_all = look->all_at == 0 || now < look->all_at || now - look->all_at > interval;
	if (look->looking_at_all)
		look->all_at = now;
	values[0] = Int64GetDatum(look->looking_at_all ? 0 : Max(look->position - LATE_EVENTS, 0));
	values[1] = TimestampTzGetDatum(look->looking_at_all ? DT_NOBEGIN : look->due_at - LATE_USECS);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* looked(consumer, place, due_at) → nothing: the first places where there may be rows. */
Datum
webhook_bridge_looked(PG_FUNCTION_ARGS)
{
	WbLook *look = find_look(PG_GETARG_INT32(0));

	look->position = PG_GETARG_INT64(1);
	look->due_at = PG_GETARG_TIMESTAMPTZ(2);
	if (look->looking_at_all)
		look->all_took = GetCurrentTimestamp() - look->all_at;
	look->looking_at_all = false;
	PG_RETURN_VOID();
}

/* What is remembered of a consumer, zero if nothing is. */
static WbLook *
find_look(int32 consumer)
{
	WbLook *look;
	bool found;

	if (looks == NULL)
	{
		HASHCTL control = {.keysize = sizeof(int32), .entrysize = sizeof(WbLook), .hcxt = TopMemoryContext};

		looks = hash_create("webhook_bridge looks", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		RegisterXactCallback(forget_at_abort, NULL);
		RegisterSubXactCallback(forget_at_subabort, NULL);
	}
	look = hash_search(looks, &consumer, HASH_ENTER, &found);
	if (!found)
		*look = (WbLook){.consumer = consumer};
	return look;
}

static void
forget_at_abort(XactEvent event, void *argument)
{
	if (event == XACT_EVENT_ABORT)
		forget_all();
}

static void
forget_at_subabort(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *argument)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_all();
}

/* How long it takes to look at everything is no guess and is kept. */
static void
forget_all(void)
{
	HASH_SEQ_STATUS scan;
	WbLook *look;

	hash_seq_init(&scan, looks);
	while ((look = hash_seq_search(&scan)) != NULL)
	{
		look->position = 0;
		look->due_at = DT_NOBEGIN + LATE_USECS;
	}
}
