/*-------------------------------------------------------------------------
 *
 * http_parse.h
 *	  A strict, incremental parser of HTTP/1.0 and HTTP/1.1 requests.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_HTTP_PARSE_H
#define WB_HTTP_PARSE_H

#include "slice.h"

/* Header lines a request may have.  More are answered 431. */
#define WB_HTTP_MAX_HEADERS 100

/* Bytes of chunk extensions, and of trailers, that one body may carry. */
#define WB_HTTP_MAX_CHUNK_EXTENSION 256
#define WB_HTTP_MAX_TRAILER 4096

/* What follows the head (RFC 9112, section 6.3). */
typedef enum WbHttpFraming
{
	WB_HTTP_NO_BODY, /* neither Content-Length nor Transfer-Encoding */
	WB_HTTP_LENGTH,  /* content_length bytes, possibly 0 */
	WB_HTTP_CHUNKED  /* Transfer-Encoding: chunked */
} WbHttpFraming;

typedef struct WbHttpHead
{
	WbSlice method;    /* as sent; methods are case-sensitive */
	WbSlice path;      /* of the target, before "?", not decoded; starts with "/" */
	WbSlice query;     /* after the first "?", not decoded; empty if there is none */
	int minor_version; /* 0 or 1 */
	WbHttpFraming framing;
	uint64_t content_length; /* if framing is WB_HTTP_LENGTH */
	bool keep_alive;         /* the client wants the connection to go on */
	bool expect_continue;    /* Expect: 100-continue in HTTP/1.1 */
	int header_count;
	WbHeader headers[WB_HTTP_MAX_HEADERS]; /* in order of arrival */
} WbHttpHead;

/* Results of wb_http_parse_head() that are not a length. */
#define WB_HTTP_INCOMPLETE 0

/*
 * Parses the head of a request at the start of a buffer.
 *
 * "seen" is the number of bytes of this same buffer that an earlier call
 * already found incomplete (0 at first); it only saves work.
 *
 * Returns the length of the head (the body starts there), or
 * WB_HTTP_INCOMPLETE, or the negative of the status to answer with: -400,
 * -414, -417, -431, -501, -505.  After a negative result the connection must
 * be closed, because the place of the next request is unknown.  The slices in
 * *head point into the buffer; *head is undefined unless a length is returned.
 */
extern int wb_http_parse_head(const char *data, size_t len, size_t seen, WbHttpHead *head);

/* Where a chunked body stands; all zero at first. */
typedef struct WbHttpChunks
{
	int state;
	uint64_t remaining;     /* data bytes left in the current chunk */
	size_t extension_bytes; /* of all chunks so far */
	size_t trailer_bytes;   /* so far */
} WbHttpChunks;

#define WB_HTTP_CHUNKS_INCOMPLETE (-1)
#define WB_HTTP_CHUNKS_INVALID (-2)

/*
 * Decodes in place what has arrived of a chunked body (RFC 9112, section 7.1).
 *
 * data[0 .. *len) are raw bytes not yet decoded.  On return data[0 .. *len)
 * are body bytes, so that the caller appends what it reads next at data +
 * *len and passes only that to the next call.  Returns
 * WB_HTTP_CHUNKS_INCOMPLETE, WB_HTTP_CHUNKS_INVALID (answer 400, close), or
 * the number of raw bytes that follow the body (a pipelined request), moved
 * to data + *len.  Trailer fields are checked and dropped (RFC 9110, section
 * 6.5.1).
 */
extern ptrdiff_t wb_http_decode_chunks(WbHttpChunks *chunks, char *data, size_t *len);

/* Body bytes that a chunk has announced and that have not been decoded yet. */
extern uint64_t wb_http_chunks_announced(const WbHttpChunks *chunks);

#endif /* WB_HTTP_PARSE_H */
