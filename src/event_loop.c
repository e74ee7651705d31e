/*-------------------------------------------------------------------------
 *
 * event_loop.c
 *	  Waiting for many sockets, the latch and the postmaster at once.
 *
 * PostgreSQL's WaitEventSet cannot give up a socket before version 17, so the
 * sockets live in a private epoll instance, and that instance is one event of
 * a WaitEventSet beside the latch and the postmaster.  Level-triggered: what
 * is not handled in one turn is reported again in the next.
 *
 * Knows nothing of HTTP and keeps no timers; who has deadlines says how long a
 * turn may wait.  One instance per process, never freed: it ends with the
 * receiver.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <time.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "event_loop.h"

struct WbLoop
{
	int epoll_fd;
	WaitEventSet *waits; /* latch, postmaster, epoll_fd */
	int64 now_ms;
	uint64 turn;      /* number of the current one */
	dlist_head again; /* of watches that are due without an event */
	struct epoll_event events[WB_EVENTS_PER_TURN];
};

static uint32
epoll_interest(int interest)
{
	return ((interest & WB_READABLE) ? EPOLLIN : 0) |
		   ((interest & WB_WRITABLE) ? EPOLLOUT : 0);
}

static void
read_clock(WbLoop *loop)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	loop->now_ms = (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Allocated in TopMemoryContext.  Raises an error if the system refuses. */
WbLoop *
wb_loop_create(void)
{
	WbLoop *loop = MemoryContextAllocZero(TopMemoryContext, sizeof(WbLoop));

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not create an epoll instance: %m")));
#if PG_VERSION_NUM >= 170000
	loop->waits = CreateWaitEventSet(NULL, 3);
#else
	loop->waits = CreateWaitEventSet(TopMemoryContext, 3);
#endif
	AddWaitEventToSet(loop->waits, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(loop->waits, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(loop->waits, WL_SOCKET_READABLE, loop->epoll_fd, NULL, NULL);
	dlist_init(&loop->again);
	read_clock(loop);
	return loop;
}

/* The socket stays the caller's. */
void
wb_loop_add(WbLoop *loop, WbWatch *watch, int fd, WbReadyCallback ready, void *owner)
{
	watch->fd = fd;
	watch->is_told = false;
	watch->interest = 0;
	watch->ready = ready;
	watch->owner = owner;
	watch->is_again = false;
	watch->last_turn = loop->turn;
}

bool
wb_loop_change(WbLoop *loop, WbWatch *watch, int interest)
{
	struct epoll_event event;

	if (watch->fd < 0 || (watch->is_told && watch->interest == interest))
		return true;
	event.events = epoll_interest(interest);
	event.data.ptr = watch;
	if (epoll_ctl(loop->epoll_fd, watch->is_told ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event) < 0)
	{
		if (!watch->is_told)
			return false;
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not change an epoll entry: %m")));
	}
	watch->is_told = true;
	watch->interest = interest;
	return true;
}

/*
 * Has the callback called in the next turn, as readable: for who keeps bytes
 * that it has already taken from the socket.
 */
void
wb_loop_again(WbLoop *loop, WbWatch *watch)
{
	if (watch->fd < 0 || watch->is_again)
		return;
	dlist_push_tail(&loop->again, &watch->again_node);
	watch->is_again = true;
}

static void
forget_again(WbWatch *watch)
{
	if (watch->is_again)
		dlist_delete(&watch->again_node);
	watch->is_again = false;
}

/* Does not close the socket. */
void
wb_loop_remove(WbLoop *loop, WbWatch *watch)
{
	if (watch->fd < 0)
		return;
	forget_again(watch);
	if (watch->is_told)
		(void) epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = -1;
}

static void
tell(WbLoop *loop, WbWatch *watch, int ready)
{
	forget_again(watch);
	watch->last_turn = loop->turn;
	watch->ready(watch->owner, ready);
}

/*
 * Under load sockets are ready at once and the latch is only looked at, which
 * saves the system calls of the WaitEventSet.
 */
void
wb_loop_turn(WbLoop *loop, long timeout_ms)
{
	int count = epoll_wait(loop->epoll_fd, loop->events, WB_EVENTS_PER_TURN, 0);

	if (count <= 0 && !MyLatch->is_set && timeout_ms != 0 && dlist_is_empty(&loop->again))
	{
		WaitEvent event;

		(void) WaitEventSetWait(loop->waits, timeout_ms, &event, 1, PG_WAIT_EXTENSION);
		count = epoll_wait(loop->epoll_fd, loop->events, WB_EVENTS_PER_TURN, 0);
	}
	else if (!PostmasterIsAlive())
		proc_exit(1);
	read_clock(loop);
	loop->turn++;

	for (int i = 0; i < count; i++)
	{
		WbWatch *watch = loop->events[i].data.ptr;
		uint32 events = loop->events[i].events;
		int ready = 0;

		/* removed by the callback of another socket in this turn */
		if (watch->fd < 0)
			continue;
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
			ready |= WB_READABLE;
		if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
			ready |= WB_WRITABLE;
		tell(loop, watch, ready);
	}

	/* those that were told or added above, and want to be again, are at the end */
	while (!dlist_is_empty(&loop->again))
	{
		WbWatch *watch = dlist_head_element(WbWatch, again_node, &loop->again);

		if (watch->last_turn == loop->turn)
			break;
		tell(loop, watch, WB_READABLE);
	}
}

/* Whether a socket is ready now; the next turn will not have to wait. */
bool
wb_loop_is_behind(WbLoop *loop)
{
	return !dlist_is_empty(&loop->again) || epoll_wait(loop->epoll_fd, loop->events, 1, 0) > 0;
}

int64
wb_loop_now_ms(WbLoop *loop)
{
	return loop->now_ms;
}
