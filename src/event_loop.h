/*-------------------------------------------------------------------------
 *
 * event_loop.h
 *	  Waiting for many sockets, the latch and the postmaster at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_EVENT_LOOP_H
#define WB_EVENT_LOOP_H

#include "postgres.h"

#include "lib/ilist.h"

#define WB_EVENTS_PER_TURN 256 /* at most */

#define WB_READABLE 1
#define WB_WRITABLE 2

typedef struct WbLoop WbLoop;
typedef struct WbWatch WbWatch;

/* Told that a socket is ready; may add, change and remove any watch. */
typedef void (*WbReadyCallback)(void *owner, int ready);

/*
 * One watched socket, embedded in the struct of whoever owns the socket.  Its
 * memory must stay valid until the end of the turn in which it is removed.
 */
struct WbWatch
{
	int fd;       /* -1 if not watched */
	bool is_told; /* the system knows of it: */
	int interest; /* WB_READABLE and WB_WRITABLE; may be 0 */
	WbReadyCallback ready;
	void *owner;
	dlist_node again_node;
	bool is_again;    /* due in the next turn, whatever the socket says */
	uint64 last_turn; /* in which it was told */
};

extern WbLoop *wb_loop_create(void);

/* Begins with a socket that is not waited for until wb_loop_change(). */
extern void wb_loop_add(WbLoop *loop, WbWatch *watch, int fd, WbReadyCallback ready, void *owner);

/* What to wait for.  False, with errno set, if the system does not take one more socket. */
extern bool wb_loop_change(WbLoop *loop, WbWatch *watch, int interest);

extern void wb_loop_again(WbLoop *loop, WbWatch *watch);
extern void wb_loop_remove(WbLoop *loop, WbWatch *watch);

/*
 * Waits until a socket is ready, the latch is set or the time (ms, -1 for
 * ever) is over, then calls the callbacks, of each watch at most once.  Does
 * not reset the latch.  Ends the process if the postmaster is gone.
 */
extern void wb_loop_turn(WbLoop *loop, long timeout_ms);

extern bool wb_loop_is_behind(WbLoop *loop);

/* Milliseconds on a clock that never jumps, as of the last wait. */
extern int64 wb_loop_now_ms(WbLoop *loop);

#endif /* WB_EVENT_LOOP_H */
