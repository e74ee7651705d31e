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

extern bool wb_listeners_open(WbLoop *loop);
extern void wb_listeners_close(void);
extern void wb_listeners_resume(void);
extern bool wb_listeners_outdated(void);

#endif /* WB_LISTENER_H */
