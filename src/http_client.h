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

#include "slice.h"

/* Raised by wb_http_send(); the README explains them. */
#define WB_ERRCODE_HTTP_CONNECT MAKE_SQLSTATE('W', 'B', '0', '0', '1')
#define WB_ERRCODE_HTTP_TIMEOUT MAKE_SQLSTATE('W', 'B', '0', '0', '2')
#define WB_ERRCODE_HTTP_ADDRESS MAKE_SQLSTATE('W', 'B', '0', '0', '3')
#define WB_ERRCODE_HTTP_ANSWER MAKE_SQLSTATE('W', 'B', '0', '0', '4')

typedef struct WbHttpField
{
	const char *name;
	const char *value;
} WbHttpField;

/* Everything in it is checked before a byte is sent. */
typedef struct WbHttpRequest
{
	const char *method; /* one of GET, HEAD, POST, PUT, PATCH, DELETE */
	const char *url;
	const WbHttpField *fields; /* headers */
	int field_count;
	const char *body; /* NULL: none */
	size_t body_len;
	bool idempotent; /* may be sent more than once */
} WbHttpRequest;

typedef struct WbHttpResponse
{
	int status;
	WbSlice fields;   /* lines of headers, as received; of the final response only */
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
