/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  A byte stream to a client: plain TCP.
 *
 * The table of functions keeps whoever speaks HTTP from knowing what carries
 * it.  A stream owns its socket.  Faults of the peer are results, never errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event_loop.h"
#include "stream.h"

static ssize_t
plain_result(WbStream *stream, ssize_t result, int awaits)
{
	if (result >= 0)
		return result;
	stream->awaits = awaits;
	return (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? WB_STREAM_AGAIN
																	   : WB_STREAM_BROKEN;
}

static ssize_t
plain_read(WbStream *stream, char *data, size_t capacity)
{
	return plain_result(stream, recv(stream->fd, data, capacity, 0), WB_READABLE);
}

static ssize_t
plain_write(WbStream *stream, const char *data, size_t len, bool is_last)
{
	return plain_result(stream, wb_stream_send(stream->fd, data, len, is_last), WB_WRITABLE);
}

static void
plain_finish(WbStream *stream)
{
	(void) shutdown(stream->fd, SHUT_WR);
}

static void
plain_close(WbStream *stream)
{
	if (stream->fd >= 0)
		(void) close(stream->fd);
	stream->fd = -1;
}

static const WbTransport plain_transport = {NULL, plain_read, plain_write, plain_finish, plain_close};

/*
 * Like send().  A client that has gone must not signal the process.  With
 * "more_follows", and where the system knows that, what does not fill a packet
 * shares one with what comes next: more bytes, or the end.
 */
ssize_t
wb_stream_send(int fd, const char *data, size_t len, bool more_follows)
{
#ifdef MSG_MORE
	int more = more_follows ? MSG_MORE : 0;
#else
	int more = 0;
#endif

	return send(fd, data, len, MSG_NOSIGNAL | more);
}

/*
 * Whether there are bytes to read, of whatever kind: those of TLS may be none of
 * the client's.  That a client will send no more is not one of them.
 */
bool
wb_stream_has_input(const WbStream *stream)
{
	char byte;

	return stream->has_more || recv(stream->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Takes over a connected, non-blocking socket. */
void
wb_stream_open_plain(WbStream *stream, int fd)
{
	stream->transport = &plain_transport;
	stream->fd = fd;
	stream->awaits = WB_READABLE;
	stream->has_more = false;
	stream->ticket_due = false;
	stream->ssl = NULL;
}
