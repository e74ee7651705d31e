/*-------------------------------------------------------------------------
 *
 * http_request.h
 *	  Which requests the client sends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_HTTP_REQUEST_H
#define WB_HTTP_REQUEST_H

#include "postgres.h"

typedef struct WbHttpField
{
	const char *name;
	const char *value;
} WbHttpField;

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

/* Raises an error unless the request can be sent as it is. */
extern void wb_http_check_request(const WbHttpRequest *request);

#endif /* WB_HTTP_REQUEST_H */
