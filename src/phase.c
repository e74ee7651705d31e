/*-------------------------------------------------------------------------
 *
 * phase.c
 *	  What connections are doing, for how long, and which of them give way.
 *
 * A connection is in exactly one of the lists here, according to its phase,
 * each in order of deadline because all its members are given the same time,
 * after a reload another one.  The lists own nothing: a WbStay is a part of the
 * connection, which leaves before it is freed.
 *
 * It neither closes connections nor answers them; that is what conn.c does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"
#include "phase.h"

#define PATIENCE 10       /* the part of request_timeout after which somebody may give way */
#define IDLE_PATIENCE 100 /* the same for who is idle, if nobody else does */

static dlist_head phases[WB_PHASES];
static int64 opened_ms = 0; /* when the last connection came */

void
wb_phases_init(void)
{
	for (int i = 0; i < WB_PHASES; i++)
		dlist_init(&phases[i]);
}

void
wb_phase_enter(WbStay *stay, WbPhase phase, int64 now_ms, int64 time_ms)
{
	if (stay->node.next == NULL)
		opened_ms = now_ms;
	else
		dlist_delete(&stay->node);
	dlist_push_tail(&phases[phase], &stay->node);
	stay->phase = phase;
	stay->since_ms = now_ms;
	stay->deadline_ms = now_ms + time_ms;
}

void
wb_phase_prolong(WbStay *stay, int64 now_ms, int64 time_ms)
{
	dlist_delete(&stay->node);
	dlist_push_tail(&phases[stay->phase], &stay->node);
	stay->deadline_ms = now_ms + time_ms;
}

void
wb_phase_leave(WbStay *stay)
{
	dlist_delete(&stay->node);
}

dlist_head *
wb_phase_list(WbPhase phase)
{
	return &phases[phase];
}

int64
wb_phases_deadline_ms(void)
{
	int64 next_ms = PG_INT64_MAX;

	for (int p = 0; p < WB_PHASES; p++)
		if (!dlist_is_empty(&phases[p]))
			next_ms = Min(next_ms, dlist_head_element(WbStay, node, &phases[p])->deadline_ms);
	return next_ms;
}

/* Who is idle, and has been so since then. */
static WbStay *
idle_stay(int64 since_ms, WbStayCallback can_end)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &phases[WB_PHASE_IDLE])
	{
		WbStay *stay = dlist_container(WbStay, node, iter.cur);

		if (stay->since_ms > since_ms)
			break;
		if (can_end(stay))
			return stay;
	}
	return NULL;
}

/*
 * Who is idle comes before who is in the middle of a request, as long as neither
 * is so for a short time only: who sends one request after the other is idle now
 * and then, too.  Such senders give way last, and only now and then, however many
 * newcomers there are.
 */
WbStay *
wb_phases_give_way(int64 now_ms, WbStayCallback can_end)
{
	static const WbPhase order[] = {WB_PHASE_LINGERING, WB_PHASE_TLS_START, WB_PHASE_NEW, WB_PHASE_IDLE,
									WB_PHASE_RECEIVING, WB_PHASE_WRITING};
	int64 long_ago_ms = now_ms - wb_request_timeout_ms / PATIENCE;

	for (int i = 0; i < (int) lengthof(order); i++)
	{
		dlist_mutable_iter iter;

		dlist_foreach_modify(iter, &phases[order[i]])
		{
			WbStay *stay = dlist_container(WbStay, node, iter.cur);

			/* where the time is prolonged, those behind may have been there for longer */
			if (stay->since_ms > long_ago_ms && order[i] != WB_PHASE_LINGERING)
				break;
			if (stay->since_ms <= long_ago_ms && can_end(stay))
				return stay;
		}
	}
	return idle_stay(opened_ms <= long_ago_ms ? now_ms : now_ms - wb_request_timeout_ms / IDLE_PATIENCE, can_end);
}
