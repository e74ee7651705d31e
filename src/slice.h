/*-------------------------------------------------------------------------
 *
 * slice.h
 *	  A run of bytes owned by somebody else.
 *
 * Modules without PostgreSQL's headers, the pure ones, speak of bytes only
 * through this type.  A slice never owns its bytes and is not terminated;
 * whoever makes one says how long the bytes live.  Pure modules include the C
 * standard library, some also libcrypto, and nothing of PostgreSQL, so that
 * the same object file serves the receiver, a backend, the unit tests and the
 * fuzzers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_SLICE_H
#define WB_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct WbSlice
{
	const char *data; /* may be NULL only if len is 0 */
	size_t len;       /* bytes */
} WbSlice;

/* One header line: the name as it was spelled, the value trimmed. */
typedef struct WbHeader
{
	WbSlice name;
	WbSlice value;
} WbHeader;

/*
 * Takes the next piece of a text that is produced in pieces.  False makes the
 * producer stop and report failure.
 */
typedef bool (*WbSink)(void *arg, const char *data, size_t len);

/* A sink that fills a caller's buffer and refuses what does not fit. */
typedef struct WbTextBuffer
{
	char *data;
	size_t len;      /* bytes used */
	size_t capacity; /* bytes there are */
} WbTextBuffer;

static inline WbSlice
wb_slice(const char *data, size_t len)
{
	WbSlice slice = {data, len};

	return slice;
}

static inline WbSlice
wb_slice_cstring(const char *text)
{
	return wb_slice(text, text ? strlen(text) : 0);
}

static inline bool
wb_slice_equal(WbSlice a, WbSlice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline char
wb_ascii_lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char) (c | 0x20) : c;
}

/* Value of a hexadecimal digit in either case, -1 of anything else. */
static inline int
wb_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = wb_ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ASCII only: header names and schemes know no other letters. */
static inline bool
wb_slice_equal_nocase(WbSlice a, WbSlice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (wb_ascii_lower(a.data[i]) != wb_ascii_lower(b.data[i]))
			return false;
	return true;
}

static inline WbSlice
wb_slice_trim_spaces(WbSlice text)
{
	while (text.len > 0 && text.data[text.len - 1] == ' ')
		text.len--;
	while (text.len > 0 && text.data[0] == ' ')
	{
		text.data++;
		text.len--;
	}
	return text;
}

/*
 * Takes the text up to the next separator off the rest, or all of it if the
 * separator is 0; false when there is no rest.  An empty text behind a last
 * separator is not handed out.
 */
static inline bool
wb_slice_next(WbSlice *rest, char separator, WbSlice *element)
{
	const char *stop = NULL;

	if (rest->len == 0)
		return false;
	if (separator != 0)
		stop = memchr(rest->data, separator, rest->len);
	*element = wb_slice(rest->data, stop ? (size_t) (stop - rest->data) : rest->len);
	rest->data += element->len + (stop != NULL);
	rest->len -= element->len + (stop != NULL);
	return true;
}

static inline bool
wb_text_sink(void *arg, const char *data, size_t len)
{
	WbTextBuffer *text = (WbTextBuffer *) arg;

	if (len > text->capacity - text->len)
		return false;
	if (len > 0)
		memcpy(text->data + text->len, data, len);
	text->len += len;
	return true;
}

/* A sink that keeps nothing and adds up the lengths, in the size_t that "arg" points to. */
static inline bool
wb_count_sink(void *arg, const char *data, size_t len)
{
	(void) data;
	*(size_t *) arg += len;
	return true;
}

/*
 * Gathers single bytes and short pieces in front of a sink, because a call of
 * a sink (often a digest update) costs far more than a byte.
 */
typedef struct WbGather
{
	WbSink sink;
	void *arg;   /* of the sink */
	size_t used; /* bytes waiting in data */
	char data[256];
} WbGather;

static inline void
wb_gather_init(WbGather *gather, WbSink sink, void *arg)
{
	gather->sink = sink;
	gather->arg = arg;
	gather->used = 0;
}

static inline bool
wb_gather_flush(WbGather *gather)
{
	size_t used = gather->used;

	gather->used = 0;
	return used == 0 || gather->sink(gather->arg, gather->data, used);
}

static inline bool
wb_gather_put(WbGather *gather, const char *data, size_t len)
{
	if (len > sizeof(gather->data) - gather->used)
	{
		if (!wb_gather_flush(gather))
			return false;
		if (len > sizeof(gather->data))
			return gather->sink(gather->arg, data, len);
	}
	if (len > 0)
		memcpy(gather->data + gather->used, data, len);
	gather->used += len;
	return true;
}

#endif /* WB_SLICE_H */
