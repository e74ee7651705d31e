/*-------------------------------------------------------------------------
 *
 * http_session.h
 *	  libcurl in a session of PostgreSQL: its handles, and waiting for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_HTTP_SESSION_H
#define WB_HTTP_SESSION_H

#include "postgres.h"

#include <curl/curl.h>

/*
 * Makes the handles, or keeps those of the last call, and returns the one that
 * is told what to do.  Raises an error if that fails.
 */
extern CURL *wb_http_session_open(void);

/* Ends everything that there is, a request that is under way included.  Raises no error. */
extern void wb_http_session_close(void);

/*
 * Does what the handle was told, until it is done or the deadline has passed,
 * and serves interrupts.  If *multi_code is not CURLM_OK, it is the reason of
 * the failure.
 */
extern CURLcode wb_http_session_perform(int64 deadline, CURLMcode *multi_code);

/*
 * Ends what the handle was told; it forgets all of it.  A connection on which
 * a request is under way is closed.  Raises no error.
 */
extern void wb_http_session_reset(void);

/* Serves interrupts until then. */
extern void wb_http_session_wait(int64 until);

/* The time in which deadlines are given. */
extern int64 wb_http_now_ms(void);

#endif /* WB_HTTP_SESSION_H */
