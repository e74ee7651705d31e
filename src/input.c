/*-------------------------------------------------------------------------
 *
 * input.c
 *	  What a client has sent, and the request at its beginning.
 *
 * The buffer of one connection, and where in it the current request is: its
 * head, its framing, how much of its body is there, whether it is too large.
 * Reading from the socket, answering and the batch are the connection's
 * business, which also sees to it that a buffer neither moves nor is freed while
 * the batch points into it.
 *
 * The connection owns the buffer.  All buffers of the process together, with the
 * answers that clients do not take, stay below webhook_bridge.max_buffered: none
 * grows beyond it.  A few that are free are kept besides, of the size that most
 * need.  No errors are raised for want of memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "batch.h"
#include "guc.h"
#include "input.h"
#include "output.h"

#define FIRST_BUFFER 8192 /* bytes; most deliveries fit */
#define KEEP_BUFFER 65536 /* a larger one is given back after the request */
#define SPARE_BUFFERS 256 /* as many as connections can be read in one turn */

/* A buffer of the first size that nobody has. */
typedef struct Spare
{
	struct Spare *next;
} Spare;

static MemoryContext input_context;
static Spare *spares = NULL; /* the one that was used last, and is in the processor's cache, first */
static int spare_count = 0;
static size_t buffered = 0; /* bytes of all buffers */
static WbHttpHead head;     /* of the request looked at last */

static char *take_buffer(size_t capacity);
static void drop_buffer(char *data, size_t capacity);
static bool has_memory(size_t bytes);
static WbInputResult look_at_head(WbInput *input);
static WbInputResult look_at_body(WbInput *input);
static WbInputResult check_body_limit(WbInput *input, uint64 size);
static WbInputResult refuse(WbInput *input, WbAnswer answer);

void
wb_inputs_init(void)
{
	/* its chunks are small enough for buffers to be given back to the system, not kept */
	input_context = AllocSetContextCreate(TopMemoryContext, "webhook_bridge buffers",
										  ALLOCSET_SMALL_SIZES);
}

/*
 * Makes sure that there is room to read into.  Buffers grow with what has
 * arrived, never with what a client announces.  False if memory is short.
 */
bool
wb_input_make_space(WbInput *input)
{
	size_t capacity;
	char *data;

	if (input->start > 0)
	{
		memmove(input->data, input->data + input->start, input->length - input->start);
		input->length -= input->start;
		input->start = 0;
	}
	if (input->length < input->capacity)
		return true;

	capacity = Max(input->capacity * 2, FIRST_BUFFER);
	if (input->head_length > 0)
	{
		/* no more than the request can need, with framing and the next one's beginning */
		size_t body = input->framing == WB_HTTP_LENGTH ? input->content_length : input->body_limit;

		capacity = Min(capacity, input->head_length + body + FIRST_BUFFER);
		capacity = Max(capacity, input->capacity + FIRST_BUFFER);
	}
	if (!has_memory(capacity - input->capacity))
		return false;
	data = take_buffer(capacity);
	if (data == NULL)
		return false;
	if (input->data)
	{
		memcpy(data, input->data, input->length);
		drop_buffer(input->data, input->capacity);
	}
	buffered += capacity - input->capacity;
	input->data = data;
	input->capacity = capacity;
	return true;
}

static char *
take_buffer(size_t capacity)
{
	Spare *spare = spares;

	if (capacity != FIRST_BUFFER || spare == NULL)
		return MemoryContextAllocExtended(input_context, capacity, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
	spares = spare->next;
	spare_count--;
	return (char *) spare;
}

static void
drop_buffer(char *data, size_t capacity)
{
	Spare *spare = (Spare *) data;

	if (capacity != FIRST_BUFFER || spare_count == SPARE_BUFFERS)
	{
		pfree(data);
		return;
	}
	spare->next = spares;
	spares = spare;
	spare_count++;
}

/* Gives back the buffers that nobody has. */
void
wb_inputs_trim(void)
{
	while (spares)
	{
		Spare *spare = spares;

		spares = spare->next;
		pfree(spare);
	}
	spare_count = 0;
}

/* Whether buffers may grow by so much. */
static bool
has_memory(size_t bytes)
{
	return buffered + wb_outputs_waiting() + bytes <= (size_t) wb_max_buffered_kb * 1024;
}

/* Gives the buffer back, and what is in it. */
void
wb_input_free(WbInput *input)
{
	if (input->data)
		drop_buffer(input->data, input->capacity);
	buffered -= input->capacity;
	input->data = NULL;
	input->capacity = input->length = input->start = 0;
}

/* Gives back a buffer in which nothing is, and which another request can have as well. */
void
wb_input_rest(WbInput *input)
{
	Assert(input->start == input->length);
	input->start = input->length = 0;
	if (input->capacity <= FIRST_BUFFER || input->capacity > KEEP_BUFFER)
		wb_input_free(input);
}

/* Looks at the current request; to be called when there is more of it. */
WbInputResult
wb_input_look(WbInput *input)
{
	if (input->head_length == 0)
		return look_at_head(input);
	return input->body_complete ? WB_INPUT_COMPLETE : look_at_body(input);
}

static WbInputResult
look_at_head(WbInput *input)
{
	size_t available = input->length - input->start;
	int length = wb_http_parse_head(input->data + input->start, available, input->seen, &head);

	if (length < 0)
		return refuse(input, wb_answer_for_status(-length));
	if (length > wb_max_header_size ||
		(length == WB_HTTP_INCOMPLETE && available >= (size_t) wb_max_header_size))
		return refuse(input, WB_ANSWER_HEAD_TOO_LARGE);
	if (length == WB_HTTP_INCOMPLETE)
	{
		input->seen = available;
		return WB_INPUT_INCOMPLETE;
	}

	input->head_length = length;
	input->framing = head.framing;
	input->content_length = head.framing == WB_HTTP_LENGTH ? head.content_length : 0;
	input->body_limit = wb_max_body_size;
	input->body_length = 0;
	input->body_complete = false;
	memset(&input->chunks, 0, sizeof(input->chunks));
	input->continue_due = head.expect_continue;
	return WB_INPUT_HEAD;
}

/*
 * Refuses a body that is larger than what its endpoint takes, or than what
 * there will ever be memory for.  Endpoints that take more than the setting
 * says are looked up only when it matters; those that take less refuse later,
 * when the delivery is judged.
 */
static WbInputResult
check_body_limit(WbInput *input, uint64 size)
{
	input->refused_size = size;
	if (input->head_length + size + FIRST_BUFFER > (uint64) wb_max_buffered_kb * 1024)
		return WB_INPUT_TOO_LARGE;
	if (size <= input->body_limit)
		return WB_INPUT_COMPLETE;
	if (input->body_limit == (size_t) wb_max_body_size)
	{
		if (wb_http_parse_head(input->data + input->start, input->head_length, 0, &head) > 0 &&
			!wb_batch_body_limit(head.path, &input->body_limit))
			return refuse(input, WB_ANSWER_UNAVAILABLE);
		if (size <= input->body_limit)
			return WB_INPUT_COMPLETE;
	}
	return WB_INPUT_TOO_LARGE;
}

/* Whether the body of the current request is there; decodes chunks. */
static WbInputResult
look_at_body(WbInput *input)
{
	size_t body_start = input->start + input->head_length;
	WbInputResult result;

	if (input->framing == WB_HTTP_CHUNKED)
	{
		char *raw = input->data + body_start + input->body_length;
		size_t length = input->length - body_start - input->body_length;
		ptrdiff_t rest = wb_http_decode_chunks(&input->chunks, raw, &length);

		if (rest == WB_HTTP_CHUNKS_INVALID)
			return refuse(input, WB_ANSWER_MALFORMED);
		input->body_length += length;
		input->body_complete = rest >= 0;
		input->length = body_start + input->body_length + Max(rest, 0);
		result = check_body_limit(input, input->body_length + wb_http_chunks_announced(&input->chunks));
	}
	else
	{
		result = check_body_limit(input, input->content_length);
		input->body_complete = input->length - body_start >= input->content_length;
		input->body_length = input->body_complete ? input->content_length : 0;
	}
	return result == WB_INPUT_COMPLETE && !input->body_complete ? WB_INPUT_INCOMPLETE : result;
}

static WbInputResult
refuse(WbInput *input, WbAnswer answer)
{
	input->refusal = answer;
	return WB_INPUT_REFUSED;
}

/*
 * The head of the current request, which must be complete.  Parsed again,
 * because the buffer may have moved; valid until the next call for any input.
 */
const WbHttpHead *
wb_input_head(WbInput *input)
{
	if (wb_http_parse_head(input->data + input->start, input->head_length, 0, &head) <= 0)
		elog(ERROR, "a request changed while its body was read");
	return &head;
}

/*
 * Whether there is memory for what the head announces.  No promise: others may
 * take it before that has arrived.
 */
bool
wb_input_fits(const WbInput *input)
{
	size_t needed = input->head_length + input->content_length;

	return needed <= input->capacity || has_memory(needed - input->capacity);
}

/* What there is of its body. */
WbSlice
wb_input_body(const WbInput *input)
{
	return wb_slice(input->data + input->start + input->head_length, input->body_length);
}

/* Moves on from the current request, which is complete, to the next. */
void
wb_input_next(WbInput *input)
{
	input->start += input->head_length + input->body_length;
	input->seen = 0;
	input->head_length = 0;
	input->body_complete = false;
	input->continue_due = false;
}
