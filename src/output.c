/*-------------------------------------------------------------------------
 *
 * output.c
 *	  What a client has not yet taken of its answers.
 *
 * The answers of one connection, in order, and how far they are written.  Which
 * answer a request has, when to write and what comes after is the connection's
 * business.
 *
 * The connection owns the text, which exists only while there is something to
 * write.  Answers to what has been stored are never withheld, so they take
 * memory without asking; but what a client is slow to take counts against
 * webhook_bridge.max_buffered, and leaves less for requests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "output.h"

static MemoryContext output_context;
static size_t waiting = 0; /* the sum of all */

static StringInfo text_of(WbOutput *output);
static void count_waiting(WbOutput *output, size_t bytes);

void
wb_outputs_init(void)
{
	output_context = AllocSetContextCreate(TopMemoryContext, "webhook_bridge answers",
										   ALLOCSET_DEFAULT_SIZES);
}

size_t
wb_outputs_waiting(void)
{
	return waiting;
}

/* Appends an answer. */
void
wb_output_answer(WbOutput *output, WbAnswer answer, WbAnswerForm form)
{
	wb_answer_append(text_of(output), answer, form);
}

/* Appends what a client waits for before it sends a body (RFC 9110, section 10.1.1). */
void
wb_output_continue(WbOutput *output)
{
	appendStringInfoString(text_of(output), "HTTP/1.1 100 Continue\r\n\r\n");
}

static StringInfo
text_of(WbOutput *output)
{
	if (output->text.data == NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(output_context);

		initStringInfo(&output->text);
		MemoryContextSwitchTo(old_context);
	}
	return &output->text;
}

/*
 * Writes as much as the client takes: WB_OUTPUT_DONE, WB_STREAM_AGAIN if it is
 * to be called again when the stream can be written, or WB_STREAM_BROKEN.  With
 * "is_last" the caller finishes the stream when it is done.
 */
int
wb_output_write(WbOutput *output, WbStream *stream, bool is_last)
{
	while (output->sent < output->text.len)
	{
		ssize_t put = stream->transport->write(stream, output->text.data + output->sent,
											   output->text.len - output->sent, is_last);

		if (put < 0)
		{
			count_waiting(output, output->text.maxlen);
			return (int) put;
		}
		output->sent += put;
	}
	wb_output_free(output);
	return WB_OUTPUT_DONE;
}

/* Gives the memory back, and drops what is left. */
void
wb_output_free(WbOutput *output)
{
	count_waiting(output, 0);
	if (output->text.data)
		pfree(output->text.data);
	memset(output, 0, sizeof(*output));
}

static void
count_waiting(WbOutput *output, size_t bytes)
{
	waiting += bytes - output->waiting;
	output->waiting = bytes;
}
