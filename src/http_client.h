/*-------------------------------------------------------------------------
 *
 * http_client.h
 *	  Calls to providers over HTTPS, from a session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_HTTP_CLIENT_H
#define WB_HTTP_CLIENT_H

#include "postgres.h"

#include "http_request.h"
#include "slice.h"

typedef struct WbHttpResponse
{
	int status;
	WbSlice fields;   /* status line and lines of headers of the final response, as received */
	WbSlice body;     /* as received */
	const char *host; /* for messages */
	const char *call; /* "GET https://host/path", for messages: without the query */
} WbHttpResponse;

/*
 * Sends the request and waits for the response, which is made in the current
 * memory context.  Raises an error if there is none.  A status of 300 and more
 * is a response like any other; redirections are not followed.
 */
extern void wb_http_send(const WbHttpRequest *request, WbHttpResponse *response);

#endif /* WB_HTTP_CLIENT_H */
