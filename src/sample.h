/*-------------------------------------------------------------------------
 *
 * sample.h
 *	  Sending a self-test's sample to the receivers of this server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_SAMPLE_H
#define WB_SAMPLE_H

#include "postgres.h"

#include "slice.h"

typedef struct WbSample
{
	const char *target; /* path and query */
	int field_count;
	char **names; /* of headers */
	char **values;
	WbSlice body;
} WbSample;

typedef struct WbSampleAnswer
{
	int status;    /* 0: there is none */
	char *content; /* its beginning */
	char *problem; /* why there is none */
} WbSampleAnswer;

/* Where samples go, such as "https://127.0.0.1:8443"; NULL if there is no such port. */
extern char *wb_sample_base(bool with_tls);

/*
 * Sends a sample and waits for the answer, at most until then as
 * wb_http_now_ms().  Serves interrupts; raises no error for what the other side
 * does.
 */
extern void wb_sample_send(const char *base, const WbSample *sample, int64 until, WbSampleAnswer *answer);

#endif /* WB_SAMPLE_H */
