/*-------------------------------------------------------------------------
 *
 * store.h
 *	  Accepted deliveries into tables, and the notifications about them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_STORE_H
#define WB_STORE_H

#include "delivery.h"

/* Days from today on for which partitions are kept ready, today included. */
#define WB_PARTITION_DAYS 3

extern bool wb_store_partitions_ready(TimestampTz now);
extern bool wb_store_partitions_needless(void);
extern void wb_store_partitions_doubt(void);
extern int wb_store_partitions(TimestampTz now);
extern int wb_store_deliveries(WbDelivery **deliveries, int count, TimestampTz now);
extern void wb_store_notify(WbDelivery **deliveries, int count);

#endif /* WB_STORE_H */
