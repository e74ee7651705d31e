/*-------------------------------------------------------------------------
 *
 * output.h
 *	  What a client has not yet taken of its answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_OUTPUT_H
#define WB_OUTPUT_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "answer.h"
#include "stream.h"

/* All zero while there is nothing to write. */
typedef struct WbOutput
{
	StringInfoData text;
	int sent;       /* bytes of text */
	size_t waiting; /* bytes of memory that its client has made wait */
} WbOutput;

#define WB_OUTPUT_DONE 0 /* result of writing: everything is written, and the memory given back */

extern void wb_outputs_init(void);
extern void wb_output_answer(WbOutput *output, WbAnswer answer, WbAnswerForm form);
extern void wb_output_continue(WbOutput *output);
extern int wb_output_write(WbOutput *output, WbStream *stream, bool is_last);
extern void wb_output_free(WbOutput *output);

/* Bytes of memory of all outputs whose clients do not take them. */
extern size_t wb_outputs_waiting(void);

#endif /* WB_OUTPUT_H */
