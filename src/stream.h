/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  A byte stream to a client, whatever carries it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_STREAM_H
#define WB_STREAM_H

#include "postgres.h"

/* Results of read and write that are not a number of bytes. */
#define WB_STREAM_END 0       /* of read only: the client sends no more */
#define WB_STREAM_AGAIN (-1)  /* nothing now; wait for the socket, as the stream says */
#define WB_STREAM_BROKEN (-2) /* the connection is of no more use */

/* What has become of an attempt to begin with TLS. */
typedef enum WbTlsStart
{
	WB_TLS_START_DONE,
	WB_TLS_START_AGAIN,  /* wait for the socket */
	WB_TLS_START_FAILED, /* the client has been told as far as possible */
	WB_TLS_START_NO_TLS  /* failed because the client speaks HTTP without TLS */
} WbTlsStart;

typedef struct WbStream WbStream;

/* How a transport does it.  None of these raises an error or waits. */
typedef struct WbTransport
{
	WbTlsStart (*start)(WbStream *stream); /* NULL if there is none */
	ssize_t (*read)(WbStream *stream, char *data, size_t capacity);
	/* with "is_last" what is written may wait for finish(), which then has to follow at once */
	ssize_t (*write)(WbStream *stream, const char *data, size_t len, bool is_last);
	void (*finish)(WbStream *stream); /* says that no more will be written; input can only be dropped */
	void (*close)(WbStream *stream);
} WbTransport;

struct WbStream
{
	const WbTransport *transport;
	int fd;             /* owned; -1 after close */
	int awaits;         /* what to wait for when told to: WB_READABLE or WB_WRITABLE */
	bool has_more;      /* bytes can be read of which the socket knows no more */
	bool ticket_due;    /* of TLS: comes with the first that is written */
	struct ssl_st *ssl; /* owned; of TLS only */
};

extern void wb_stream_open_plain(WbStream *stream, int fd);
extern bool wb_stream_has_input(const WbStream *stream);
extern ssize_t wb_stream_send(int fd, const char *data, size_t len, bool more_follows);

#endif /* WB_STREAM_H */
