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
#define WB_STREAM_AGAIN (-1)  /* nothing now; wait for the socket */
#define WB_STREAM_BROKEN (-2) /* the connection is of no more use */

typedef struct WbStream WbStream;

/* How a transport does it.  None of these raises an error or waits. */
typedef struct WbTransport
{
	ssize_t (*read)(WbStream *stream, char *data, size_t capacity);
	ssize_t (*write)(WbStream *stream, const char *data, size_t len);
	void (*finish)(WbStream *stream); /* says that no more will be written */
	void (*close)(WbStream *stream);
} WbTransport;

struct WbStream
{
	const WbTransport *transport;
	int fd; /* owned; -1 after close */
};

extern void wb_stream_open_plain(WbStream *stream, int fd);

#endif /* WB_STREAM_H */
