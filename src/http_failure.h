/*-------------------------------------------------------------------------
 *
 * http_failure.h
 *	  What became of a request that got no answer: errors and their words.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_HTTP_FAILURE_H
#define WB_HTTP_FAILURE_H

#include "postgres.h"

#include <arpa/inet.h>
#include <curl/curl.h>

/* Kinds of failures. */
#define WB_ERRCODE_HTTP_CONNECT MAKE_SQLSTATE('W', 'B', '0', '0', '1')
#define WB_ERRCODE_HTTP_TIMEOUT MAKE_SQLSTATE('W', 'B', '0', '0', '2')
#define WB_ERRCODE_HTTP_ADDRESS MAKE_SQLSTATE('W', 'B', '0', '0', '3')
#define WB_ERRCODE_HTTP_ANSWER MAKE_SQLSTATE('W', 'B', '0', '0', '4')

typedef struct WbHttpOutcome
{
	const char *host;
	const char *call; /* method and URL without query */
	bool idempotent;

	CURLcode code;        /* CURLE_OK: there is an answer */
	CURLMcode multi_code; /* if not CURLM_OK, the reason of the failure */
	char message[CURL_ERROR_SIZE];
	bool too_large;
	bool compressed;
	bool out_of_memory;
	bool opened;                    /* a socket, to an address that is allowed */
	char refused[INET6_ADDRSTRLEN]; /* an address that is not */
} WbHttpOutcome;

/* Whether the connection failed and another attempt could do better. */
extern bool wb_http_may_pass(const WbHttpOutcome *outcome);

extern void wb_http_raise(const WbHttpOutcome *outcome);

#endif /* WB_HTTP_FAILURE_H */
