/*-------------------------------------------------------------------------
 *
 * answer.h
 *	  The answers a receiver gives.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_ANSWER_H
#define WB_ANSWER_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "shmem.h"
#include "slice.h"

typedef enum WbAnswer
{
	WB_ANSWER_STORED,
	WB_ANSWER_DUPLICATE,
	WB_ANSWER_PROBE,
	WB_ANSWER_HANDSHAKE, /* with the form's content */
	WB_ANSWER_MALFORMED,
	WB_ANSWER_UNAUTHORIZED,
	WB_ANSWER_NOT_FOUND,
	WB_ANSWER_BAD_METHOD,
	WB_ANSWER_TIMED_OUT,
	WB_ANSWER_BODY_TOO_LARGE,
	WB_ANSWER_TARGET_TOO_LONG,
	WB_ANSWER_EXPECTATION_FAILED,
	WB_ANSWER_TOO_MANY,
	WB_ANSWER_HEAD_TOO_LARGE,
	WB_ANSWER_NOT_IMPLEMENTED,
	WB_ANSWER_UNAVAILABLE,
	WB_ANSWER_VERSION
} WbAnswer;

/* What else the answer depends on. */
typedef struct WbAnswerForm
{
	bool keep_alive; /* the connection goes on */
	bool http_1_0;   /* the client speaks HTTP/1.0 */
	bool head;       /* the request was a HEAD: no body */
	const char *content_type;
	WbSlice content; /* of the answer to a handshake; other answers have their own */
} WbAnswerForm;

extern WbAnswer wb_answer_for_status(int status);
extern WbCounter wb_answer_counter(WbAnswer answer);
extern void wb_answer_append(StringInfo out, WbAnswer answer, WbAnswerForm form);

#endif /* WB_ANSWER_H */
