/*-------------------------------------------------------------------------
 *
 * conn.h
 *	  Client connections.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_CONN_H
#define WB_CONN_H

#include "postgres.h"

#include <sys/socket.h>

#include "event_loop.h"
#include "shmem.h"

extern void wb_conns_init(WbLoop *loop, WbSlot *slot);
extern int wb_conns_count(void);
extern uint64 wb_conns_opened(void);
extern bool wb_conns_have_room(void);
extern void wb_conn_open(int fd, const struct sockaddr_storage *peer, bool with_tls);
extern bool wb_conns_have_work(void);
extern void wb_conns_answer(void);
extern void wb_conns_expire(void);
extern long wb_conns_timeout_ms(void);
extern void wb_conns_reload(void);
extern void wb_conns_drain(void);
extern void wb_conns_reset(void);

#endif /* WB_CONN_H */
