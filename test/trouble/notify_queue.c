/*-------------------------------------------------------------------------
 *
 * notify_queue.c
 *	  A full NOTIFY queue for test/t/063_trouble.pl.
 *
 * Before PostgreSQL 17 the queue has 8 GB, which nobody wants to write for a
 * test.  Here the page at which it has to stop is moved, in shared memory, so
 * that PostgreSQL itself finds it full.  Only for the versions whose structure
 * is below; later ones have max_notify_queue_pages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(stop_notify_queue);

/* The beginning of AsyncQueueControl in async.c of PostgreSQL 15 and 16. */
typedef struct QueueBeginning
{
	int head_page;
	int head_offset;
	int tail_page;
	int tail_offset;
	int stop_page;
} QueueBeginning;

/*
 * stop_notify_queue(size of the structure, whether a session is stuck): full, and
 * for good; or full as it is when 8 GB have been written and the session that
 * had not read them is gone.
 */
Datum
stop_notify_queue(PG_FUNCTION_ARGS)
{
	bool found;
	QueueBeginning *queue = ShmemInitStruct("Async Queue Control", (Size) PG_GETARG_INT64(0), &found);

	if (PG_VERSION_NUM >= 170000 || !found)
		elog(ERROR, "the structure of the NOTIFY queue is not known");
	LWLockAcquire(NotifyQueueLock, LW_EXCLUSIVE);
	/* see asyncQueueIsFull() and asyncQueueAdvanceTail(): 32 pages are a segment */
	queue->stop_page = queue->head_page / 32 * 32 + (PG_GETARG_BOOL(1) ? 2 * 32 : 32 * 0x8000);
	LWLockRelease(NotifyQueueLock);
	PG_RETURN_VOID();
}
