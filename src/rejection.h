/*-------------------------------------------------------------------------
 *
 * rejection.h
 *	  What is kept of refused deliveries.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_REJECTION_H
#define WB_REJECTION_H

#include "delivery.h"

/* Of one transaction; no more than a receiver keeps at once. */
#define WB_MAX_CHOSEN 50

/*
 * Chooses those of some judged deliveries that are to be kept, at most
 * WB_MAX_CHOSEN, and returns how many.  Who is over the rate is left out.
 * Allocates nothing and raises no error.
 */
extern int wb_rejections_choose(WbDelivery *const *deliveries, int count, TimestampTz now,
								WbDelivery **chosen);

/* Writes them, and deletes the oldest beyond the limit, in the current transaction. */
extern void wb_rejections_record(WbDelivery *const *chosen, int count);

#endif /* WB_REJECTION_H */
