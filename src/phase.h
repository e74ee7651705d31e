/*-------------------------------------------------------------------------
 *
 * phase.h
 *	  What connections are doing, for how long, and which of them give way.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_PHASE_H
#define WB_PHASE_H

#include "postgres.h"

#include "lib/ilist.h"

typedef enum WbPhase
{
	WB_PHASE_TLS_START, /* TLS is being agreed on */
	WB_PHASE_NEW,       /* nothing has arrived yet */
	WB_PHASE_IDLE,      /* a request was answered, and nothing of another has arrived */
	WB_PHASE_RECEIVING, /* a request has begun */
	WB_PHASE_WRITING,   /* the client is slow to take its answers */
	WB_PHASE_LINGERING, /* answered for the last time, its input is dropped */
	WB_PHASES
} WbPhase;

/* One connection's part of this, embedded in it; all zero before the first phase. */
typedef struct WbStay
{
	dlist_node node; /* in the list of the phase */
	WbPhase phase;
	int64 since_ms;
	int64 deadline_ms;
} WbStay;

/* Whether a connection can be ended now; one that cannot may be moved to another phase. */
typedef bool (*WbStayCallback)(WbStay *stay);

extern void wb_phases_init(void);

/* Moves a connection to the end of a phase's list and gives it new time. */
extern void wb_phase_enter(WbStay *stay, WbPhase phase, int64 now_ms, int64 time_ms);
/* Gives it new time in the same phase, where it has been all along. */
extern void wb_phase_prolong(WbStay *stay, int64 now_ms, int64 time_ms);
extern void wb_phase_leave(WbStay *stay);

/* The WbStays of a phase, those first that have been in it for longest. */
extern dlist_head *wb_phase_list(WbPhase phase);

/* The first deadline of all, or PG_INT64_MAX. */
extern int64 wb_phases_deadline_ms(void);

/* The connection to be closed for a newcomer, or NULL. */
extern WbStay *wb_phases_give_way(int64 now_ms, WbStayCallback can_end);

#endif /* WB_PHASE_H */
