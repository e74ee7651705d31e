/*-------------------------------------------------------------------------
 *
 * conn.c
 *	  Client connections: read, parse, answer, limits, deadlines.
 *
 * A connection reads requests into a buffer of its own and hands the complete
 * ones to the batch.  They stay in that buffer, unmoved, until the batch has
 * been stored and wb_conns_answer() has written the answers, all within one
 * turn of the loop: at the start of a turn no request is pending.
 *
 * The connection owns its stream, its input and its output.  It is in the list
 * of its phase (phase.c), and with something to write also in the list "dirty".
 * A closed connection is freed at the end of the turn, when no event of the turn
 * can refer to it any more.
 *
 * What clients send is taken into memory without errors being raised: who
 * cannot be served is refused, and everybody else goes on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <malloc.h>

#include "lib/ilist.h"
#include "utils/memutils.h"

#include "batch.h"
#include "client.h"
#include "conn.h"
#include "guc.h"
#include "input.h"
#include "output.h"
#include "phase.h"
#include "stream.h"
#include "tls.h"

#define LINGER_MS 1000         /* of silence, in which a refused client can read why */
#define LAST_READS 64          /* of one that gives way */
#define TRIM_CONNS 32          /* worth giving their memory back to the system */
#define TRIM_PAUSE_MS 1000     /* but not again and again */
#define TLS_STARTS_PER_TURN 16 /* they cost more than a delivery */
#define REQUESTS_PER_TURN 64   /* of one connection, so that others have their turn */
#define SHED_TURNS 3           /* and as many more as there are connections for */
#define DRAIN_MS 500           /* time for requests under way when the receiver ends */
#define DRAIN_IDLE_MS 100      /* the same for requests that may be on their way */

typedef struct WbConn
{
	WbWatch watch;
	WbStream stream;
	int awaits; /* what of the socket to wait for */
	WbStay stay;
	slist_node dirty_node;
	slist_node closed_node;
	int64 linger_until_ms; /* while lingering, whatever still arrives */
	bool is_dirty;
	bool is_closed;

	WbInput input;
	uint64 turn;    /* when it was last given a share: */
	int share;      /* requests that it may still hand over in that turn */
	bool is_behind; /* there may be whole requests, which no event will tell of */

	WbOutput output;
	int pending;    /* deliveries in the batch */
	bool has_final; /* the connection ends with this answer: */
	WbAnswer final;
	bool close_after; /* close when the output is written */

	WbClient client;
} WbConn;

static WbLoop *loop;
static WbSlot *slot;
static MemoryContext conn_context; /* of WbConn */
static slist_head dirty = SLIST_STATIC_INIT(dirty);
static slist_head closed = SLIST_STATIC_INIT(closed);
static int conn_count = 0;
static uint64 opened = 0;  /* connections, ever */
static int most_conns = 0; /* since memory was given back */
static int tls_starts = 0; /* attempted in this turn */
static uint64 turn = 1;    /* number of the current one */
static bool draining = false;

static WbConn *conn_of(dlist_node *node);
static bool can_end(WbStay *stay);
static bool is_waking(WbConn *conn);
static WbConn *who_gives_way(void);
static void give_way(WbConn *conn);
static int64 time_of(WbPhase phase);
static void set_phase(WbConn *conn, WbPhase phase);
static void on_ready(void *owner, int ready);
static void wait_for_socket(WbConn *conn);
static void start_tls(WbConn *conn);
static void receive(WbConn *conn);
static void discard(WbConn *conn);
static ssize_t drop_input(WbConn *conn);
static void check_unpinned(WbConn *conn);
static void give_back_buffer(WbConn *conn);
static void give_back_idle_buffers(void);
static void parse(WbConn *conn);
static bool is_welcome(WbConn *conn);
static bool has_room(WbConn *conn);
static void refuse_body(WbConn *conn);
static bool submit(WbConn *conn);
static WbDelivery *hand_over(WbConn *conn, const WbHttpHead *head);
static void refuse(WbConn *conn, WbAnswer answer);
static void mark_dirty(WbConn *conn);
static void write_out(WbConn *conn);
static void finish_writing(WbConn *conn);
static void end_conn(WbConn *conn);
static void linger(WbConn *conn);
static void close_conn(WbConn *conn);
static void free_closed(void);
static void append_answer(WbConn *conn, WbAnswer answer, WbAnswerForm form);
static void count_answer(WbAnswer answer);
static void resume_batches(void);
static void trim_memory(void);
static void count_tls_failure(void);

void
wb_conns_init(WbLoop *receiver_loop, WbSlot *receiver_slot)
{
	loop = receiver_loop;
	slot = receiver_slot;
	/* one that gives memory back to the system when connections have ended */
	conn_context = SlabContextCreate(TopMemoryContext, "webhook_bridge connections",
									 SLAB_DEFAULT_BLOCK_SIZE, sizeof(WbConn));
	wb_inputs_init();
	wb_outputs_init();
	wb_clients_init();
	wb_phases_init();
}

int
wb_conns_count(void)
{
	return conn_count;
}

/* How many there have been, those that are open included. */
uint64
wb_conns_opened(void)
{
	return opened;
}

/*
 * Whether one more connection may be accepted.  At the limit that takes one
 * that gives way.
 */
bool
wb_conns_have_room(void)
{
	dlist_mutable_iter iter;

	/* the limit may have been lowered */
	dlist_foreach_modify(iter, wb_phase_list(WB_PHASE_IDLE))
	{
		WbConn *conn = conn_of(iter.cur);

		if (conn_count <= wb_max_connections)
			break;
		if (can_end(&conn->stay))
			close_conn(conn);
	}
	return conn_count < wb_max_connections ||
		   (conn_count == wb_max_connections && who_gives_way() != NULL);
}

/* The connection that is in the list of a phase. */
static WbConn *
conn_of(dlist_node *node)
{
	return dlist_container(WbConn, stay.node, node);
}

/*
 * Whether nothing of a connection is in the batch or to be written, and no request
 * has begun to arrive that has not been looked at.
 */
static bool
can_end(WbStay *stay)
{
	WbConn *conn = conn_of(&stay->node);

	return conn->pending == 0 && !conn->is_dirty && !is_waking(conn);
}

/*
 * Whether bytes have arrived for a connection that was without a request.  It is
 * not closed then, however long it had been so: its client has every reason to
 * expect an answer.  There are such connections when many are ready at once, or
 * when the last batch took long.
 */
static bool
is_waking(WbConn *conn)
{
	if ((conn->stay.phase != WB_PHASE_NEW && conn->stay.phase != WB_PHASE_IDLE) ||
		!wb_stream_has_input(&conn->stream))
		return false;
	set_phase(conn, WB_PHASE_RECEIVING);
	return true;
}

/* The connection to be closed for a newcomer, or NULL. */
static WbConn *
who_gives_way(void)
{
	WbStay *stay = wb_phases_give_way(wb_loop_now_ms(loop), can_end);

	return stay ? conn_of(&stay->node) : NULL;
}

/* Who has sent a part of a request is told, if its socket takes that at once. */
static void
give_way(WbConn *conn)
{
	if (conn->stay.phase == WB_PHASE_RECEIVING)
	{
		append_answer(conn, WB_ANSWER_UNAVAILABLE, (WbAnswerForm){.keep_alive = false});
		(void) wb_output_write(&conn->output, &conn->stream, true);
		conn->stream.transport->finish(&conn->stream);
		/* as in end_conn(), but its place is needed now */
		for (int i = 0; i < LAST_READS && drop_input(conn) > 0; i++)
			;
	}
	close_conn(conn);
}

/*
 * Takes over an accepted, non-blocking socket, on which the client speaks TLS or
 * not, unless its address has enough of them: those are closed without a word.
 */
void
wb_conn_open(int fd, const struct sockaddr_storage *peer, bool with_tls)
{
	WbConn *conn = MemoryContextAllocExtended(conn_context, sizeof(WbConn),
											  MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
	WbPhase phase = with_tls ? WB_PHASE_TLS_START : WB_PHASE_NEW;
	WbStream stream;

	wb_stream_open_plain(&stream, fd);
	if (conn == NULL || !wb_client_arrive(&conn->client, peer))
	{
		stream.transport->close(&stream);
		if (conn)
		{
			pfree(conn);
			count_answer(WB_ANSWER_TOO_MANY);
		}
		return;
	}
	if (conn_count >= wb_max_connections)
	{
		WbConn *victim = who_gives_way();

		if (victim)
			give_way(victim);
	}
	if (with_tls && !wb_tls_begin(&stream))
	{
		wb_client_leave(&conn->client);
		stream.transport->close(&stream);
		pfree(conn);
		return;
	}
	wb_loop_add(loop, &conn->watch, fd, on_ready, conn);
	conn->stream = stream;
	conn->awaits = WB_READABLE;
	set_phase(conn, phase);
	conn_count++;
	opened++;
	pg_atomic_write_u32(&slot->connections, conn_count);
	/* what a client sends first is often there already; who has sent nothing has no buffer */
	if (with_tls || wb_input_make_space(&conn->input))
		on_ready(conn, WB_READABLE);
	else
		wait_for_socket(conn);
}

/* How long a connection may be in a phase, in milliseconds. */
static int64
time_of(WbPhase phase)
{
	return phase == WB_PHASE_IDLE        ? wb_keepalive_timeout_ms
		   : phase == WB_PHASE_LINGERING ? LINGER_MS
		   : draining                    ? DRAIN_MS
										 : wb_request_timeout_ms;
}

/* Begins a phase, or begins it anew. */
static void
set_phase(WbConn *conn, WbPhase phase)
{
	wb_phase_enter(&conn->stay, phase, wb_loop_now_ms(loop), time_of(phase));
	if (phase == WB_PHASE_IDLE)
		wb_client_rest(&conn->client);
}

static void
on_ready(void *owner, int ready)
{
	WbConn *conn = (WbConn *) owner;

	switch (conn->stay.phase)
	{
		case WB_PHASE_TLS_START:
			start_tls(conn);
			break;
		case WB_PHASE_NEW:
		case WB_PHASE_IDLE:
		case WB_PHASE_RECEIVING:
			if (conn->is_behind)
				parse(conn);
			else
				receive(conn);
			break;
		case WB_PHASE_WRITING:
			mark_dirty(conn);
			break;
		case WB_PHASE_LINGERING:
			discard(conn);
			break;
		case WB_PHASES:
			break;
	}
	if (conn->stream.has_more && conn->stay.phase != WB_PHASE_WRITING)
		wb_loop_again(loop, &conn->watch);
	wait_for_socket(conn);
}

/*
 * Lets the loop wait for what the connection awaits, to be called after whatever
 * is done with it.  Who has his answer in the turn in which he came, and goes, is
 * never waited for; that costs a system call to begin with and one to end.
 */
static void
wait_for_socket(WbConn *conn)
{
	if (conn->is_closed || conn->is_dirty)
		return;
	if (!wb_loop_change(loop, &conn->watch, conn->awaits))
		close_conn(conn);
}

/*
 * Goes on with a handshake, unless enough others have had their turn: a flood
 * of them must not keep deliveries waiting.  The socket stays ready then.
 */
static void
start_tls(WbConn *conn)
{
	if (tls_starts == TLS_STARTS_PER_TURN)
		return;
	tls_starts++;
	switch (conn->stream.transport->start(&conn->stream))
	{
		case WB_TLS_START_DONE:
			conn->awaits = WB_READABLE;
			set_phase(conn, WB_PHASE_NEW);
			/* the first request may have come with the end of the handshake */
			if (conn->stream.has_more)
				receive(conn);
			break;
		case WB_TLS_START_AGAIN:
			conn->awaits = conn->stream.awaits;
			break;
		case WB_TLS_START_FAILED:
			count_tls_failure();
			conn->awaits = WB_READABLE;
			conn->stream.transport->finish(&conn->stream);
			linger(conn);
			break;
		case WB_TLS_START_NO_TLS:
			set_phase(conn, WB_PHASE_RECEIVING);
			refuse(conn, WB_ANSWER_MALFORMED);
			break;
	}
}

/* Reads once, so that one busy client does not keep the others waiting. */
static void
receive(WbConn *conn)
{
	WbInput *input = &conn->input;
	ssize_t got;

	check_unpinned(conn);
	if (!wb_input_make_space(input))
	{
		give_back_idle_buffers();
		if (!wb_input_make_space(input))
		{
			if (conn->stay.phase != WB_PHASE_RECEIVING)
				set_phase(conn, WB_PHASE_RECEIVING);
			refuse(conn, WB_ANSWER_UNAVAILABLE);
			return;
		}
	}
	got = conn->stream.transport->read(&conn->stream, input->data + input->length,
									   input->capacity - input->length);
	/* reading may have to wait until something of TLS itself has been written */
	conn->awaits = got == WB_STREAM_AGAIN ? conn->stream.awaits : WB_READABLE;
	if (got == WB_STREAM_AGAIN)
	{
		if (input->length == 0)
			wb_input_rest(input);
		return;
	}
	if (got == WB_STREAM_END || got == WB_STREAM_BROKEN)
	{
		close_conn(conn);
		return;
	}
	input->length += got;
	if (conn->stay.phase != WB_PHASE_RECEIVING)
		set_phase(conn, WB_PHASE_RECEIVING);
	parse(conn);
}

/*
 * Reads what a refused client still sends, until it closes or pauses for too
 * long, and not for ever.
 */
static void
discard(WbConn *conn)
{
	ssize_t got = drop_input(conn);

	if (got == WB_STREAM_END || got == WB_STREAM_BROKEN)
		close_conn(conn);
	else if (got > 0 && wb_loop_now_ms(loop) < conn->linger_until_ms)
		wb_phase_prolong(&conn->stay, wb_loop_now_ms(loop), LINGER_MS);
}

/* Reads once, into nothing. */
static ssize_t
drop_input(WbConn *conn)
{
	static char waste[8192];

	return conn->stream.transport->read(&conn->stream, waste, sizeof(waste));
}

/*
 * What the batch points to must neither move nor be freed.  Ending the process
 * is better than going on if it ever would.
 */
static void
check_unpinned(WbConn *conn)
{
	if (conn->pending > 0)
		elog(ERROR, "the buffer of a connection is in use by %d requests", conn->pending);
}

static void
give_back_buffer(WbConn *conn)
{
	check_unpinned(conn);
	wb_input_free(&conn->input);
}

/* Idle connections keep large ones for the next request only while there is plenty. */
static void
give_back_idle_buffers(void)
{
	dlist_iter iter;

	dlist_foreach(iter, wb_phase_list(WB_PHASE_IDLE))
		give_back_buffer(conn_of(iter.cur));
}

/*
 * Hands all requests that are complete to the batch, as far as it takes them and
 * as the connection's share of this turn goes.
 */
static void
parse(WbConn *conn)
{
	WbInput *input = &conn->input;
	bool is_new = false; /* the request's head has just become complete */

	conn->is_behind = false;
	if (conn->turn != turn)
	{
		conn->turn = turn;
		conn->share = REQUESTS_PER_TURN;
	}
	while (!conn->has_final && !conn->close_after && input->start < input->length)
	{
		WbInputResult result = wb_input_look(input);

		if (input->continue_due)
			mark_dirty(conn);
		switch (result)
		{
			case WB_INPUT_INCOMPLETE:
				if (is_new && (wb_batch_sheds() || !has_room(conn)))
					refuse(conn, WB_ANSWER_UNAVAILABLE);
				return;
			case WB_INPUT_HEAD:
				if (!is_welcome(conn))
					refuse(conn, WB_ANSWER_TOO_MANY);
				is_new = true;
				break;
			case WB_INPUT_COMPLETE:
				if (conn->share == 0)
				{
					conn->is_behind = true;
					wb_loop_again(loop, &conn->watch);
					return;
				}
				if (!submit(conn))
					return;
				conn->share--;
				is_new = false;
				break;
			case WB_INPUT_TOO_LARGE:
				refuse_body(conn);
				return;
			case WB_INPUT_REFUSED:
				refuse(conn, input->refusal);
				return;
		}
	}
}

/* Whether the client may send the request whose head is there. */
static bool
is_welcome(WbConn *conn)
{
	const WbHttpHead *head = wb_client_is_proxy(&conn->client) ? wb_input_head(&conn->input) : NULL;

	return wb_client_request(&conn->client, head, wb_loop_now_ms(loop));
}

/* Whether there is memory for the body that is announced. */
static bool
has_room(WbConn *conn)
{
	if (wb_input_fits(&conn->input))
		return true;
	give_back_idle_buffers();
	return wb_input_fits(&conn->input);
}

/*
 * Ends a connection whose request has a body that is too large.  The request
 * goes through the batch, as far as it is there, because the endpoint's owner
 * will want to know of it.
 */
static void
refuse_body(WbConn *conn)
{
	WbDelivery *delivery = hand_over(conn, wb_input_head(&conn->input));

	if (delivery == NULL)
	{
		refuse(conn, WB_ANSWER_BODY_TOO_LARGE);
		return;
	}
	delivery->refused_size = conn->input.refused_size;
	conn->input.continue_due = false;
	conn->has_final = true;
	conn->close_after = true; /* the batch has the final answer */
}

/*
 * Hands the current request to the batch and moves on to the next.  False if
 * the batch is full; wb_conns_answer() then comes back to this connection.
 */
static bool
submit(WbConn *conn)
{
	const WbHttpHead *head = wb_input_head(&conn->input);
	WbDelivery *delivery = hand_over(conn, head);

	if (delivery == NULL)
		return false;
	delivery->form.keep_alive = head->keep_alive && !draining;
	delivery->form.http_1_0 = head->minor_version == 0;
	delivery->form.head = wb_slice_equal(head->method, wb_slice_cstring("HEAD"));
	conn->close_after = !delivery->form.keep_alive;
	wb_input_next(&conn->input);
	return true;
}

/*
 * Adds the current request to the batch, with what there is of its body; NULL
 * if the batch is full.
 */
static WbDelivery *
hand_over(WbConn *conn, const WbHttpHead *head)
{
	WbDelivery *delivery = wb_batch_add(head, wb_input_body(&conn->input));

	mark_dirty(conn);
	if (delivery == NULL)
		return NULL;
	delivery->connection = conn;
	delivery->remote_addr = wb_client_inet(&conn->client, &delivery->remote_inet);
	conn->pending++;
	return delivery;
}

/* Ends a connection with an answer, after those to the requests before. */
static void
refuse(WbConn *conn, WbAnswer answer)
{
	conn->has_final = true;
	conn->final = answer;
	mark_dirty(conn);
}

static void
mark_dirty(WbConn *conn)
{
	if (conn->is_dirty)
		return;
	conn->is_dirty = true;
	slist_push_head(&dirty, &conn->dirty_node);
}

/* Whether wb_conns_answer() has something to do. */
bool
wb_conns_have_work(void)
{
	return !slist_is_empty(&dirty) || wb_batch_count() > 0;
}

/*
 * Answers the stored batch, empties it and writes.  Connections that have more
 * complete requests in their buffer start the next batch.
 */
void
wb_conns_answer(void)
{
	slist_head work = dirty;

	for (int i = 0; i < wb_batch_count(); i++)
	{
		WbDelivery *delivery = wb_batch_get(i);
		WbConn *conn = (WbConn *) delivery->connection;

		append_answer(conn, delivery->answer, delivery->form);
		conn->pending--;
	}
	wb_batch_clear();

	slist_init(&dirty);
	while (!slist_is_empty(&work))
	{
		WbConn *conn = slist_container(WbConn, dirty_node, slist_pop_head_node(&work));

		conn->is_dirty = false;
		if (conn->is_closed)
			continue;
		/* once, however long writing takes */
		if (conn->has_final && !conn->close_after)
		{
			append_answer(conn, conn->final, (WbAnswerForm){.keep_alive = false});
			conn->close_after = true;
		}
		else if (conn->input.continue_due && conn->input.head_length > 0)
			wb_output_continue(&conn->output);
		conn->input.continue_due = false;
		write_out(conn);
		wait_for_socket(conn);
	}
	free_closed();
}

/* Writes as much as the client takes. */
static void
write_out(WbConn *conn)
{
	switch (wb_output_write(&conn->output, &conn->stream, conn->close_after))
	{
		case WB_OUTPUT_DONE:
			finish_writing(conn);
			break;
		case WB_STREAM_AGAIN:
			if (conn->stay.phase != WB_PHASE_WRITING)
				set_phase(conn, WB_PHASE_WRITING);
			conn->awaits = conn->stream.awaits;
			break;
		default:
			close_conn(conn);
			break;
	}
}

/* Everything is written: what next? */
static void
finish_writing(WbConn *conn)
{
	conn->awaits = WB_READABLE;
	if (conn->close_after)
	{
		end_conn(conn);
		return;
	}
	if (conn->stream.has_more)
		wb_loop_again(loop, &conn->watch);
	if (conn->input.start < conn->input.length)
	{
		/* a request that is whole does not wait for its client */
		if (conn->stay.phase != WB_PHASE_RECEIVING || conn->input.head_length == 0 || conn->input.body_complete)
			set_phase(conn, WB_PHASE_RECEIVING);
		parse(conn);
		return;
	}
	check_unpinned(conn);
	wb_input_rest(&conn->input);
	set_phase(conn, WB_PHASE_IDLE);
}

/*
 * Ends a connection after its last answer.  Closing with unread input makes
 * the kernel send a reset, which can destroy the answer on its way; so such
 * input is read first (RFC 9112, section 9.6).
 */
static void
end_conn(WbConn *conn)
{
	conn->stream.transport->finish(&conn->stream);
	if (!conn->has_final && !draining && conn->input.start == conn->input.length &&
		drop_input(conn) <= 0)
	{
		close_conn(conn);
		return;
	}
	linger(conn);
}

/* Drops what the client of a finished stream still sends, for a while. */
static void
linger(WbConn *conn)
{
	give_back_buffer(conn);
	conn->linger_until_ms = wb_loop_now_ms(loop) + wb_request_timeout_ms;
	set_phase(conn, WB_PHASE_LINGERING);
}

static void
close_conn(WbConn *conn)
{
	if (conn->is_closed)
		return;
	conn->is_closed = true;
	if (conn->stay.phase == WB_PHASE_TLS_START)
		count_tls_failure();
	wb_loop_remove(loop, &conn->watch);
	conn->stream.transport->close(&conn->stream);
	wb_client_leave(&conn->client);
	wb_phase_leave(&conn->stay);
	give_back_buffer(conn);
	slist_push_head(&closed, &conn->closed_node);
	conn_count--;
	pg_atomic_write_u32(&slot->connections, conn_count);
}

static void
free_closed(void)
{
	slist_mutable_iter iter;

	slist_foreach_modify(iter, &closed)
	{
		WbConn *conn = slist_container(WbConn, closed_node, iter.cur);

		if (conn->is_dirty)
			continue; /* still in that list; next time */
		slist_delete_current(&iter);
		wb_output_free(&conn->output);
		pfree(conn);
	}
}

/* Appends an answer to what is to be written, and counts it. */
static void
append_answer(WbConn *conn, WbAnswer answer, WbAnswerForm form)
{
	wb_output_answer(&conn->output, answer, form);
	count_answer(answer);
}

static void
count_answer(WbAnswer answer)
{
	wb_count(&slot->counters[wb_answer_counter(answer)], 1);
}

static void
count_tls_failure(void)
{
	wb_count(&slot->tls_failures, 1);
}

/*
 * Lets batches be stored again when what had arrived during the last one has
 * been refused: after as many turns as it takes to accept who has come, and to
 * hear each connection once.
 */
static void
resume_batches(void)
{
	static int turns = 0;

	if (!wb_batch_sheds())
		return;
	if (turns++ < conn_count / WB_EVENTS_PER_TURN + SHED_TURNS && wb_loop_is_behind(loop))
		return;
	turns = 0;
	wb_batch_resume();
}

/*
 * When many connections have ended, gives the memory that was theirs back to the
 * system, which the C library does by itself only at the very end of it.
 */
static void
trim_memory(void)
{
	static int64 again_at_ms = 0;
	int64 now_ms = wb_loop_now_ms(loop);

	most_conns = Max(most_conns, conn_count);
	if (most_conns - conn_count < TRIM_CONNS || now_ms < again_at_ms)
		return;
	most_conns = conn_count;
	again_at_ms = now_ms + TRIM_PAUSE_MS;
	wb_inputs_trim();
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

/* Ends what has had its time.  To be called once in every turn. */
void
wb_conns_expire(void)
{
	int64 now_ms = wb_loop_now_ms(loop);

	turn++;
	tls_starts = 0;
	resume_batches();
	trim_memory();

	for (int p = 0; p < WB_PHASES; p++)
	{
		dlist_mutable_iter iter;

		dlist_foreach_modify(iter, wb_phase_list((WbPhase) p))
		{
			WbConn *conn = conn_of(iter.cur);

			if (conn->stay.deadline_ms > now_ms)
				break;
			if (conn->stay.phase == WB_PHASE_RECEIVING && conn->input.length > 0 && !conn->has_final)
				refuse(conn, draining ? WB_ANSWER_UNAVAILABLE : WB_ANSWER_TIMED_OUT);
			else if (!is_waking(conn))
				close_conn(conn);
		}
	}
	free_closed();
}

/* Milliseconds until wb_conns_expire() will have something to do, or -1. */
long
wb_conns_timeout_ms(void)
{
	int64 next_ms = wb_phases_deadline_ms();

	if (next_ms == PG_INT64_MAX)
		return -1;
	return (long) Max(next_ms - wb_loop_now_ms(loop), 0);
}

/* Follows the settings, after a reload: also who is connected has the new times. */
void
wb_conns_reload(void)
{
	/* lingering depends on none, and is the last phase */
	for (int p = 0; p < WB_PHASE_LINGERING && !draining; p++)
	{
		dlist_iter iter;

		dlist_foreach(iter, wb_phase_list((WbPhase) p))
		{
			WbStay *stay = &conn_of(iter.cur)->stay;

			stay->deadline_ms = stay->since_ms + time_of(stay->phase);
		}
	}
}

/*
 * Begins to end all connections: after their current request, which they have
 * little time left to complete, or that which is on its way to an idle one.
 */
void
wb_conns_drain(void)
{
	draining = true;
	for (int p = 0; p < WB_PHASES; p++)
	{
		dlist_mutable_iter iter;

		dlist_foreach_modify(iter, wb_phase_list((WbPhase) p))
		{
			WbConn *conn = conn_of(iter.cur);

			conn->stay.deadline_ms = Min(conn->stay.deadline_ms,
										 wb_loop_now_ms(loop) + (conn->input.length == 0 ? DRAIN_IDLE_MS : DRAIN_MS));
		}
	}
	free_closed();
}

/* After draining: closes what is left and serves again. */
void
wb_conns_reset(void)
{
	for (int p = 0; p < WB_PHASES; p++)
	{
		dlist_mutable_iter iter;

		dlist_foreach_modify(iter, wb_phase_list((WbPhase) p))
			close_conn(conn_of(iter.cur));
	}
	free_closed();
	wb_inputs_trim();
	draining = false;
}
