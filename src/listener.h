/*-------------------------------------------------------------------------
 *
 * listener.h
 *	  The sockets on which deliveries arrive.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_LISTENER_H
#define WB_LISTENER_H

#include "postgres.h"

#include "event_loop.h"
#include "shmem.h"

extern void wb_listeners_init(WbLoop *loop, WbSlot *slot);
extern bool wb_listeners_open(void);
extern void wb_listeners_share(void);
extern void wb_listeners_close(void);
extern void wb_listeners_resume(void);
extern bool wb_listeners_outdated(void);

#endif /* WB_LISTENER_H */
