/*-------------------------------------------------------------------------
 *
 * http_parse.c
 *	  A strict, incremental parser of HTTP/1.0 and HTTP/1.1 requests.  Pure.
 *
 * Where the RFCs let a recipient choose between repairing and refusing, this
 * parser refuses: two programs that repair the same bytes differently is what
 * request smuggling is made of.  There is one way to end a line, one way to
 * state a length, and no second guess.
 *
 * It does not decode percent-encoding, merge repeated fields, interpret a
 * body, limit the size of a head (the caller's buffer does) or know which
 * methods, CONNECT apart, and paths exist.
 *
 * Nothing is allocated or kept between calls.  All slices point into the
 * caller's buffer and live as long as it is neither changed nor moved.
 *
 * Every verdict holds for all continuations of the input: once a prefix has
 * been refused, each longer input is refused with the same status.  That is
 * why a call may skip work without changing what is decided in the end.
 *
 *-------------------------------------------------------------------------
 */
#include "http_parse.h"

#include <limits.h>

/* Result of a step that found what it looked for; others as in the header. */
#define STEP_DONE 1

/* No body is longer, so that adding lengths cannot overflow. */
#define MAX_BODY_LENGTH (UINT64_C(1) << 62)

/* RFC 9112, section 3: at least 8000 octets are recommended. */
#define MAX_TARGET_LENGTH 8000

/* Longer than any registered method. */
#define MAX_METHOD_LENGTH 32

/* CRLFs tolerated before the request line (RFC 9112, section 2.2). */
#define MAX_EMPTY_LINES 2

/* A buffer up to this size is parsed anew whenever bytes arrive. */
#define EAGER_LENGTH 256

/* What a byte may be part of. */
#define IN_TOKEN 0x01  /* token (RFC 9110, section 5.6.2) */
#define IN_VALUE 0x02  /* field value (RFC 9110, section 5.5) */
#define IN_TARGET 0x04 /* request target without "#" (RFC 9112, section 3.2) */
#define IN_HOST 0x08   /* host and port (RFC 3986, section 3.2.2) */

/* The combinations that occur. */
enum
{
	V = IN_VALUE,
	N = V | IN_TOKEN,
	U = V | IN_TARGET,
	T = U | IN_TOKEN,
	H = U | IN_HOST,
	A = T | IN_HOST
};

static const uint8_t byte_class[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0, /* HTAB */
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	V, A, U, N, A, A, A, A, H, H, A, A, H, A, A, U,                                                 /* SP to "/" */
	A, A, A, A, A, A, A, A, A, A, H, H, U, H, U, U,                                                 /* digits to "?" */
	U, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,                                                 /* "@", letters */
	A, A, A, A, A, A, A, A, A, A, A, H, U, H, T, A,                                                 /* to "_" */
	T, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A,                                                 /* "`", letters */
	A, A, A, A, A, A, A, A, A, A, A, U, T, U, A, 0,                                                 /* to DEL */
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, /* obs-text */
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
	V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V};

/* The part of the input that is not parsed yet. */
typedef struct Cursor
{
	const char *at;
	const char *end;
} Cursor;

/* What the fields that concern this parser have said so far. */
typedef struct Fields
{
	bool host;              /* there was a Host */
	bool content_length;    /* there was a Content-Length */
	bool transfer_encoding; /* there was a Transfer-Encoding */
	bool chunked;           /* its coding is chunked */
	bool close;             /* Connection: close */
	bool keep_alive;        /* Connection: keep-alive */
	bool expect_continue;   /* Expect: 100-continue */
	bool expect_other;      /* Expect: anything else */
} Fields;

static inline bool
is_in(char c, uint8_t class)
{
	return (byte_class[(unsigned char) c] & class) != 0;
}

static inline bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Returns the first byte that is not of the class, or end. */
static inline const char *
skip_class(const char *at, const char *end, uint8_t class)
{
	while (at < end && is_in(*at, class))
		at++;
	return at;
}

static bool
equals_nocase(WbSlice slice, const char *text)
{
	return wb_slice_equal_nocase(slice, wb_slice_cstring(text));
}

/* Steps over CRLF; a bare CR or LF never ends a line (RFC 9112, 2.2). */
static inline int
take_crlf(Cursor *cursor)
{
	if (cursor->at == cursor->end)
		return WB_HTTP_INCOMPLETE;
	if (cursor->at[0] != '\r')
		return -400;
	if (cursor->end - cursor->at < 2)
		return WB_HTTP_INCOMPLETE;
	if (cursor->at[1] != '\n')
		return -400;
	cursor->at += 2;
	return STEP_DONE;
}

/* Some old clients send CRLF after a body; RFC 9112, section 2.2. */
static int
skip_empty_lines(Cursor *cursor)
{
	int result = STEP_DONE;

	for (int i = 0; i < MAX_EMPTY_LINES && result == STEP_DONE; i++)
		if (cursor->at < cursor->end && *cursor->at == '\r')
			result = take_crlf(cursor);
	return result;
}

/* method SP (RFC 9112, section 3.1) */
static int
parse_method(Cursor *cursor, WbSlice *method)
{
	const char *start = cursor->at;
	const char *stop = skip_class(start, cursor->end, IN_TOKEN);

	*method = wb_slice(start, (size_t) (stop - start));

	/* Nothing that long is a method; RFC 9112, section 3 asks for 501. */
	if (method->len > MAX_METHOD_LENGTH)
		return -501;
	if (stop == cursor->end)
		return WB_HTTP_INCOMPLETE;
	if (method->len == 0 || *stop != ' ')
		return -400;

	/* Asks for a tunnel, which whoever sees a 200 would have (RFC 9110, 9.3.6). */
	if (wb_slice_equal(*method, wb_slice_cstring("CONNECT")))
		return -400;
	cursor->at = stop + 1;
	return STEP_DONE;
}

/*
 * Whether bytes that may all be part of a host are uri-host [":" port] (RFC
 * 9110, section 7.2, with RFC 3986, section 3.2).  What is between brackets is
 * not looked into: nobody connects to it.
 */
static bool
is_host_and_port(const char *at, const char *end)
{
	const char *start = at;

	if (at < end && *at == '[')
	{
		do
			at++;
		while (at < end && *at != '[' && *at != ']');
		if (at == end || *at != ']' || at == start + 1)
			return false;
		at++;
	}
	else
		for (; at < end && *at != ':'; at++)
		{
			if (*at == '[' || *at == ']')
				return false;
			if (*at == '%' && (end - at < 3 || wb_hex_value(at[1]) < 0 || wb_hex_value(at[2]) < 0))
				return false;
		}
	if (at == start)
		return false;
	if (at < end && *at++ != ':')
		return false;
	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at == end;
}

/*
 * Returns the length of the scheme and "://" that the target begins with, or
 * could still begin with; 0 if it does not.
 */
static size_t
match_scheme(const char *target, size_t len)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (int i = 0; i < 2; i++)
	{
		size_t scheme_len = strlen(schemes[i]);
		size_t common = len < scheme_len ? len : scheme_len;

		if (wb_slice_equal_nocase(wb_slice(target, common), wb_slice(schemes[i], common)))
			return scheme_len;
	}
	return 0;
}

/* Finds path and query in a whole target; false if it is not valid. */
static bool
split_target(const char *target, size_t len, size_t scheme_len, WbHttpHead *head)
{
	const char *end = target + len;
	const char *path = target;
	const char *query;

	/* absolute-form: RFC 9112, section 3.2.2 */
	if (scheme_len > 0)
	{
		/* No empty host (RFC 9110, 4.2.1), no user name and "@" (4.2.4). */
		if (len <= scheme_len)
			return false;
		path = skip_class(target + scheme_len, end, IN_HOST);
		if (!is_host_and_port(target + scheme_len, path) || (path < end && *path != '/' && *path != '?'))
			return false;
	}

	query = memchr(path, '?', (size_t) (end - path));
	head->query = query != NULL ? wb_slice(query + 1, (size_t) (end - query - 1)) : wb_slice(end, 0);
	head->path = wb_slice(path, (size_t) ((query != NULL ? query : end) - path));

	/* An empty path means "/"; the last byte of "://" is one at hand. */
	if (head->path.len == 0)
		head->path = wb_slice(target + scheme_len - 1, 1);
	return *target != '*' || len == 1;
}

/* request-target SP (RFC 9112, section 3.2) */
static int
parse_target(Cursor *cursor, WbHttpHead *head)
{
	const char *start = cursor->at;
	const char *limit = cursor->end;
	const char *stop;
	size_t len;
	size_t scheme_len = 0;

	if (limit - start > MAX_TARGET_LENGTH)
		limit = start + MAX_TARGET_LENGTH + 1;
	stop = skip_class(start, limit, IN_TARGET);
	len = (size_t) (stop - start);

	/* authority-form is for proxies: neither "/" nor "*" nor a scheme */
	if (len > 0 && *start != '/' && *start != '*' && (scheme_len = match_scheme(start, len)) == 0)
		return -400;
	if (len > MAX_TARGET_LENGTH)
		return -414;
	if (stop == cursor->end)
		return WB_HTTP_INCOMPLETE;
	if (len == 0 || *stop != ' ' || !split_target(start, len, scheme_len, head))
		return -400;
	cursor->at = stop + 1;
	return STEP_DONE;
}

/* HTTP-version CRLF (RFC 9112, section 2.3) */
static int
parse_version(Cursor *cursor, WbHttpHead *head)
{
	static const char pattern[] = "HTTP/0.0";
	const char *version = cursor->at;
	int result;

	for (size_t i = 0; i < sizeof(pattern) - 1; i++, cursor->at++)
	{
		if (cursor->at == cursor->end)
			return WB_HTTP_INCOMPLETE;
		if (pattern[i] == '0' ? (*cursor->at < '0' || *cursor->at > '9') : *cursor->at != pattern[i])
			return -400;
	}
	if ((result = take_crlf(cursor)) != STEP_DONE)
		return result;
	if (version[5] != '1' || version[7] > '1')
		return -505;
	head->minor_version = version[7] - '0';
	return STEP_DONE;
}

static int
parse_request_line(Cursor *cursor, WbHttpHead *head)
{
	int result;

	if ((result = parse_method(cursor, &head->method)) != STEP_DONE ||
		(result = parse_target(cursor, head)) != STEP_DONE ||
		(result = parse_version(cursor, head)) != STEP_DONE)
		return result;

	/*
	 * "OPTIONS *" asks about the server as a whole, of which there is nothing
	 * to say.  Only now, because HTTP/2 begins with "PRI * HTTP/2.0".
	 */
	return *head->path.data == '*' ? -400 : STEP_DONE;
}

/* Takes a slice without the blanks around it. */
static inline WbSlice
trim(const char *start, const char *end)
{
	while (start < end && is_blank(*start))
		start++;
	while (end > start && is_blank(end[-1]))
		end--;
	return wb_slice(start, (size_t) (end - start));
}

/* Takes the next element of a comma-separated list (RFC 9110, 5.6.1). */
static bool
next_element(WbSlice *list, WbSlice *element)
{
	const char *end;
	const char *comma;

	if (list->data == NULL)
		return false;
	end = list->data + list->len;
	comma = memchr(list->data, ',', list->len);
	*element = trim(list->data, comma != NULL ? comma : end);
	*list = comma != NULL ? wb_slice(comma + 1, (size_t) (end - comma - 1)) : wb_slice(NULL, 0);
	return true;
}

/* Host: once, a host and port or nothing at all (RFC 9112, section 3.2). */
static bool
read_host(Fields *fields, WbSlice value)
{
	const char *end = value.data + value.len;

	if (fields->host)
		return false;
	fields->host = true;
	return skip_class(value.data, end, IN_HOST) == end &&
		   (value.len == 0 || is_host_and_port(value.data, end));
}

/*
 * Content-Length (RFC 9110, section 8.6): digits only.  That section allows a
 * recipient to accept "5, 5" or two equal lines; this one does not.
 */
static bool
read_content_length(Fields *fields, WbSlice value, uint64_t *length)
{
	uint64_t sum = 0;

	if (fields->content_length || value.len == 0)
		return false;
	fields->content_length = true;
	for (size_t i = 0; i < value.len; i++)
	{
		uint64_t digit = (unsigned char) value.data[i] - (uint64_t) '0';

		/* What is below "0" wraps around and is above 9, too. */
		if (digit > 9 || sum > (MAX_BODY_LENGTH - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*length = sum;
	return true;
}

/*
 * Transfer-Encoding (RFC 9112, section 6.1): "chunked", once, and nothing else.
 * RFC 9112 would have 501 for another coding; with a body whose end is not known
 * for sure the request is as malformed as any.
 */
static bool
read_transfer_encoding(Fields *fields, WbSlice value)
{
	WbSlice coding;

	fields->transfer_encoding = true;
	while (next_element(&value, &coding))
	{
		if (fields->chunked || !equals_nocase(coding, "chunked"))
			return false;
		fields->chunked = true;
	}
	return true;
}

/* Connection (RFC 9112, section 9.3); other options do not concern us. */
static bool
read_connection(Fields *fields, WbSlice value)
{
	WbSlice option;

	while (next_element(&value, &option))
	{
		if (equals_nocase(option, "close"))
			fields->close = true;
		else if (equals_nocase(option, "keep-alive"))
			fields->keep_alive = true;
	}
	return true;
}

/* Expect (RFC 9110, section 10.1.1) */
static bool
read_expect(Fields *fields, WbSlice value)
{
	WbSlice expectation;

	while (next_element(&value, &expectation))
	{
		if (equals_nocase(expectation, "100-continue"))
			fields->expect_continue = true;
		else if (expectation.len > 0)
			fields->expect_other = true;
	}
	return true;
}

/* Looks at one header line; false if it makes the request invalid. */
static inline bool
read_field(Fields *fields, const WbHeader *header, WbHttpHead *head)
{
	switch (header->name.len)
	{
		case 4:
			return !equals_nocase(header->name, "host") || read_host(fields, header->value);
		case 6:
			return !equals_nocase(header->name, "expect") || read_expect(fields, header->value);
		case 10:
			return !equals_nocase(header->name, "connection") || read_connection(fields, header->value);
		case 14:
			return !equals_nocase(header->name, "content-length") ||
				   read_content_length(fields, header->value, &head->content_length);
		case 17:
			return !equals_nocase(header->name, "transfer-encoding") ||
				   read_transfer_encoding(fields, header->value);
		default:
			return true;
	}
}

/*
 * field-name ":" OWS field-value OWS CRLF (RFC 9112, section 5).
 *
 * A blank before the name would be obs-fold (section 5.2) and one before the
 * colon a name in disguise (section 5.1); neither is a token byte.
 */
static inline int
parse_header_line(Cursor *cursor, WbHeader *header)
{
	const char *start = cursor->at;
	const char *stop = skip_class(start, cursor->end, IN_TOKEN);

	if (stop == cursor->end)
		return WB_HTTP_INCOMPLETE;
	if (stop == start || *stop != ':')
		return -400;
	header->name = wb_slice(start, (size_t) (stop - start));

	start = stop + 1;
	cursor->at = stop = skip_class(start, cursor->end, IN_VALUE);
	header->value = trim(start, stop);
	return take_crlf(cursor);
}

static int
parse_header_lines(Cursor *cursor, Fields *fields, WbHttpHead *head)
{
	int count;

	for (count = 0; cursor->at < cursor->end && *cursor->at != '\r'; count++)
	{
		WbHeader *header = &head->headers[count];
		int result;

		if (count == WB_HTTP_MAX_HEADERS)
			return -431;
		if ((result = parse_header_line(cursor, header)) != STEP_DONE)
			return result;
		if (!read_field(fields, header, head))
			return -400;
	}
	head->header_count = count;
	return take_crlf(cursor);
}

/* Draws the conclusions from a complete head. */
static int
conclude(const Fields *fields, WbHttpHead *head)
{
	bool is_http11 = head->minor_version == 1;

	/* Two lengths, or a coding HTTP/1.0 does not know: RFC 9112, 6.1. */
	if (fields->transfer_encoding && (fields->content_length || !is_http11))
		return -400;
	if (is_http11 && !fields->host)
		return -400;

	/* RFC 9110, section 10.1.1: HTTP/1.0 has no Expect. */
	if (is_http11 && fields->expect_other)
		return -417;

	head->framing = WB_HTTP_NO_BODY;
	if (fields->chunked)
		head->framing = WB_HTTP_CHUNKED;
	else if (fields->content_length)
		head->framing = WB_HTTP_LENGTH;
	head->keep_alive = !fields->close && (is_http11 || fields->keep_alive);
	head->expect_continue = is_http11 && fields->expect_continue;
	return STEP_DONE;
}

/*
 * Tells whether the bytes since "seen" can have changed the verdict.
 *
 * Within a line they cannot, unless they end it or are not allowed at all,
 * and "no" only postpones what a later call will find.  So an input that
 * trickles in is parsed once per line, of which there are few, and whenever
 * its length passes a power of two, rather than once per byte.  Short inputs
 * are always parsed, to refuse at once what is not HTTP.
 */
static bool
is_worth_parsing(const char *data, size_t len, size_t seen)
{
	if (seen <= EAGER_LENGTH || seen > len || (seen ^ len) > seen)
		return true;

	/* From the last byte seen: it may be a CR, or the LF before a new line. */
	return skip_class(data + seen - 1, data + len, IN_VALUE) != data + len;
}

int
wb_http_parse_head(const char *data, size_t len, size_t seen, WbHttpHead *head)
{
	Fields fields = {0};
	Cursor cursor = {data, data + len};
	int result;

	if (!is_worth_parsing(data, len, seen))
		return WB_HTTP_INCOMPLETE;

	/* The length of a head must fit the result. */
	if (len > INT_MAX)
		cursor.end = data + INT_MAX;

	head->content_length = 0;
	if ((result = skip_empty_lines(&cursor)) == STEP_DONE &&
		(result = parse_request_line(&cursor, head)) == STEP_DONE &&
		(result = parse_header_lines(&cursor, &fields, head)) == STEP_DONE &&
		(result = conclude(&fields, head)) == STEP_DONE)
		return (int) (cursor.at - data);
	return result == WB_HTTP_INCOMPLETE && len > INT_MAX ? -431 : result;
}

/* Decoder states.  0 to 16: in a chunk size, with so many digits read. */
enum
{
	CHUNK_SIZE = 0,
	CHUNK_SIZE_FULL = 16,
	CHUNK_BLANK,     /* after the size, before ";" */
	CHUNK_EXTENSION, /* after ";" */
	CHUNK_SIZE_LF,   /* after the CR of the size's line */
	CHUNK_DATA,
	CHUNK_DATA_CR, /* after the data, before CR */
	CHUNK_DATA_LF, /* after that CR */
	TRAILER_START, /* at the start of a trailer line or of the last CRLF */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF, /* after the CR of a trailer line */
	CHUNKS_LF,  /* after the CR of the last CRLF */
	CHUNKS_END,
	CHUNKS_INVALID
};

/*
 * Extensions are ignored (RFC 9112, section 7.1.1) but not unbounded.  Their
 * grammar is not checked: without control bytes they cannot end the line.
 */
static int
step_chunk_extension(WbHttpChunks *chunks, char c)
{
	if (chunks->state == CHUNK_EXTENSION && c == '\r')
		return CHUNK_SIZE_LF;
	if (++chunks->extension_bytes > WB_HTTP_MAX_CHUNK_EXTENSION || !is_in(c, IN_VALUE))
		return CHUNKS_INVALID;
	if (chunks->state == CHUNK_EXTENSION || c == ';')
		return CHUNK_EXTENSION;
	return is_blank(c) ? CHUNK_BLANK : CHUNKS_INVALID;
}

/* chunk-size = 1*HEXDIG, and what may follow it (RFC 9112, section 7.1) */
static int
step_chunk_size(WbHttpChunks *chunks, char c)
{
	int value = wb_hex_value(c);

	if (value >= 0)
	{
		/* 16 digits fit 64 bits; more, even zeros, are no honest size. */
		if (chunks->state == CHUNK_SIZE_FULL)
			return CHUNKS_INVALID;
		chunks->remaining = (chunks->remaining << 4) + (uint64_t) value;
		return chunks->remaining <= MAX_BODY_LENGTH ? chunks->state + 1 : CHUNKS_INVALID;
	}
	if (chunks->state == CHUNK_SIZE)
		return CHUNKS_INVALID;
	if (c == '\r')
		return CHUNK_SIZE_LF;
	chunks->state = CHUNK_BLANK;
	return step_chunk_extension(chunks, c);
}

/* trailer-section CRLF (RFC 9112, section 7.1.2): lines like header lines */
static int
step_trailer(WbHttpChunks *chunks, char c)
{
	if (chunks->state == CHUNKS_LF)
		return c == '\n' ? CHUNKS_END : CHUNKS_INVALID;
	if (chunks->state == TRAILER_START && c == '\r')
		return CHUNKS_LF;
	if (++chunks->trailer_bytes > WB_HTTP_MAX_TRAILER)
		return CHUNKS_INVALID;
	if (chunks->state == TRAILER_LF)
		return c == '\n' ? TRAILER_START : CHUNKS_INVALID;
	if (chunks->state == TRAILER_NAME && c == ':')
		return TRAILER_VALUE;
	if (chunks->state != TRAILER_VALUE)
		return is_in(c, IN_TOKEN) ? TRAILER_NAME : CHUNKS_INVALID;
	if (c == '\r')
		return TRAILER_LF;
	return is_in(c, IN_VALUE) ? TRAILER_VALUE : CHUNKS_INVALID;
}

/* Returns the state after a byte that is not data. */
static int
step_chunks(WbHttpChunks *chunks, char c)
{
	switch (chunks->state)
	{
		case CHUNK_BLANK:
		case CHUNK_EXTENSION:
			return step_chunk_extension(chunks, c);
		case CHUNK_SIZE_LF:
			if (c != '\n')
				return CHUNKS_INVALID;
			return chunks->remaining > 0 ? CHUNK_DATA : TRAILER_START;
		case CHUNK_DATA_CR:
			return c == '\r' ? CHUNK_DATA_LF : CHUNKS_INVALID;
		case CHUNK_DATA_LF:
			return c == '\n' ? CHUNK_SIZE : CHUNKS_INVALID;
		default:
			return chunks->state >= TRAILER_START ? step_trailer(chunks, c) : step_chunk_size(chunks, c);
	}
}

ptrdiff_t
wb_http_decode_chunks(WbHttpChunks *chunks, char *data, size_t *len)
{
	size_t in = 0;  /* raw bytes consumed */
	size_t out = 0; /* body bytes produced, never more than consumed */
	size_t rest;

	while (in < *len && chunks->state != CHUNKS_END && chunks->state != CHUNKS_INVALID)
	{
		size_t run;

		if (chunks->state != CHUNK_DATA)
		{
			chunks->state = step_chunks(chunks, data[in++]);
			continue;
		}
		run = *len - in;
		if (run > chunks->remaining)
			run = (size_t) chunks->remaining;
		memmove(data + out, data + in, run);
		in += run;
		out += run;
		chunks->remaining -= run;
		if (chunks->remaining == 0)
			chunks->state = CHUNK_DATA_CR;
	}

	rest = *len - in;
	*len = out;
	if (chunks->state == CHUNKS_INVALID)
		return WB_HTTP_CHUNKS_INVALID;
	if (chunks->state != CHUNKS_END)
		return WB_HTTP_CHUNKS_INCOMPLETE;

	/* What follows the body belongs to the next request. */
	if (rest > 0)
		memmove(data + out, data + in, rest);
	return (ptrdiff_t) rest;
}

uint64_t
wb_http_chunks_announced(const WbHttpChunks *chunks)
{
	/* within the line, what has been read of the size is not the size */
	return chunks->state == CHUNK_DATA ? chunks->remaining : 0;
}
