/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  Deliveries in memory, one transaction, answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_BATCH_H
#define WB_BATCH_H

#include "delivery.h"

extern void wb_batch_init(WbSlot *slot);
extern WbDelivery *wb_batch_add(const WbHttpHead *head, WbSlice body);
extern int wb_batch_count(void);
extern WbDelivery *wb_batch_get(int index);
extern bool wb_batch_store(void);
extern void wb_batch_refuse(void);
extern bool wb_batch_sheds(void);
extern void wb_batch_resume(void);
extern void wb_batch_clear(void);

extern bool wb_batch_probe_extension(void);
extern bool wb_batch_body_limit(WbSlice path, size_t *limit);

#endif /* WB_BATCH_H */
