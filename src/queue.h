/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  Stored events into the queues of the consumers that get them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_QUEUE_H
#define WB_QUEUE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "delivery.h"

/*
 * To be called between SPI_connect() and SPI_finish(), in the transaction that
 * has stored the deliveries, after it has: who takes the lock on events learns
 * first of every consumer that has been committed.  Others than stored ones are
 * passed over.  Raises errors as any SQL does.
 */
extern void wb_queue_events(WbDelivery **deliveries, int count, TimestampTz now);

#endif /* WB_QUEUE_H */
