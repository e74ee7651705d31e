/*-------------------------------------------------------------------------
 *
 * input.h
 *	  What a client has sent, and the request at its beginning.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_INPUT_H
#define WB_INPUT_H

#include "postgres.h"

#include "answer.h"
#include "http_parse.h"

/* What is to be done with the request at the beginning. */
typedef enum WbInputResult
{
	WB_INPUT_INCOMPLETE, /* wait for more */
	WB_INPUT_HEAD,       /* its head is complete now: look again if it is welcome */
	WB_INPUT_COMPLETE,   /* hand it over */
	WB_INPUT_TOO_LARGE,  /* hand it over to be refused: its body has refused_size bytes */
	WB_INPUT_REFUSED     /* end the connection with the answer "refusal" */
} WbInputResult;

/* Bytes: start <= length <= capacity. */
typedef struct WbInput
{
	char *data;
	size_t capacity;
	size_t length; /* bytes received */
	size_t start;  /* where the current request begins */
	size_t seen;   /* of its head, already looked at */

	/* the current request, once its head is complete */
	size_t head_length; /* 0 while the head is incomplete */
	WbHttpFraming framing;
	uint64 content_length;
	size_t body_limit;  /* bytes */
	size_t body_length; /* bytes that are ready */
	bool body_complete;
	WbHttpChunks chunks;
	bool continue_due; /* the client waits for 100 Continue */

	/* with some results */
	uint64 refused_size;
	WbAnswer refusal;
} WbInput;

extern void wb_inputs_init(void);
extern void wb_inputs_trim(void);
extern bool wb_input_make_space(WbInput *input);
extern void wb_input_free(WbInput *input);
extern void wb_input_rest(WbInput *input);
extern WbInputResult wb_input_look(WbInput *input);
extern bool wb_input_fits(const WbInput *input);
extern const WbHttpHead *wb_input_head(WbInput *input);
extern WbSlice wb_input_body(const WbInput *input);
extern void wb_input_next(WbInput *input);

#endif /* WB_INPUT_H */
