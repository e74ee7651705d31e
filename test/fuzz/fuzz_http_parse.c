/*-------------------------------------------------------------------------
 *
 * fuzz_http_parse.c
 *	  Fuzzes the HTTP parser and the chunk decoder.
 *
 * Checks more than that nothing crashes: slices lie inside the input, a
 * verdict holds for all continuations and does not depend on how the bytes
 * arrived, and a chunked body is the same whole and byte by byte.  An input is
 * a request; what follows its head is decoded as chunks, even if the head does
 * not say so, and an input without a valid head is decoded from its start.
 *
 * It does not know what is right, only what contradicts itself; that is what
 * test/unit/test_http_parse.c is for.  Every input is copied to memory of its
 * own size, so that the address sanitizer sees each byte too far.
 *
 *-------------------------------------------------------------------------
 */
#include "http_parse.h"

#include <stdio.h>
#include <stdlib.h>

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                            \
	do                                                                                \
	{                                                                                 \
		if (!(condition))                                                             \
		{                                                                             \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                  \
		}                                                                             \
	} while (0)

/* Inputs up to this size are also parsed as every prefix. */
#define MAX_PREFIXES 600

static char *
copy_of(const char *data, size_t len)
{
	char *copy = calloc(len > 0 ? len : 1, 1);

	REQUIRE(copy != NULL);
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

static bool
is_inside(WbSlice slice, const char *data, size_t len)
{
	return slice.data >= data && slice.data <= data + len && slice.len <= (size_t) (data + len - slice.data);
}

/* Checks an accepted head of that length. */
static void
check_head(const char *data, size_t len, const WbHttpHead *head)
{
	const char *end = data;

	REQUIRE(len >= 4 && memcmp(data + len - 4, "\r\n\r\n", 4) == 0);
	REQUIRE(is_inside(head->method, data, len) && head->method.len > 0);
	REQUIRE(is_inside(head->path, data, len) && head->path.len > 0);
	REQUIRE(is_inside(head->query, data, len));
	REQUIRE(head->path.data[0] == '/');
	REQUIRE(head->minor_version == 0 || head->minor_version == 1);
	REQUIRE(head->framing != WB_HTTP_CHUNKED || head->minor_version == 1);
	REQUIRE(head->framing != WB_HTTP_LENGTH || head->content_length <= UINT64_C(1) << 62);
	REQUIRE(head->header_count >= 0 && head->header_count <= WB_HTTP_MAX_HEADERS);
	for (int i = 0; i < head->header_count; i++)
	{
		WbSlice name = head->headers[i].name;
		WbSlice value = head->headers[i].value;

		REQUIRE(is_inside(name, data, len) && is_inside(value, data, len));
		REQUIRE(name.len > 0 && name.data > end && value.data > name.data + name.len);
		REQUIRE(memchr(value.data, '\r', value.len) == NULL && memchr(value.data, '\n', value.len) == NULL);
		end = value.data + value.len;
	}

	/* No line ends but CRLF, so that nobody can see other lines. */
	for (size_t i = 0; i < len; i++)
	{
		REQUIRE(data[i] != '\n' || (i > 0 && data[i - 1] == '\r'));
		REQUIRE(data[i] != '\r' || (i + 1 < len && data[i + 1] == '\n'));
		REQUIRE(data[i] != '\0');
	}
}

/* Parses step bytes more at a time, until there is a verdict. */
static int
parse_in_steps(const char *data, size_t len, size_t step, WbHttpHead *head)
{
	size_t seen = 0;
	int result = WB_HTTP_INCOMPLETE;

	while (seen < len && result == WB_HTTP_INCOMPLETE)
	{
		size_t next = len - seen > step ? seen + step : len;

		result = wb_http_parse_head(data, next, seen, head);
		seen = next;
	}
	return result;
}

/* Parses every prefix: incomplete ones first, then one verdict for good. */
static void
check_prefixes(const char *data, size_t len, int whole)
{
	static WbHttpHead head;
	int result = WB_HTTP_INCOMPLETE;

	for (size_t n = 0; n <= len; n++)
	{
		char *copy = copy_of(data, n);
		int next = wb_http_parse_head(copy, n, 0, &head);

		REQUIRE(result == WB_HTTP_INCOMPLETE || next == result);
		REQUIRE(next <= 0 || next == (int) n || next == result);
		result = next;
		free(copy);
	}
	REQUIRE(result == whole);
}

static int
check_parser(const char *data, size_t len)
{
	static WbHttpHead head;
	static WbHttpHead other;
	int whole = wb_http_parse_head(data, len, 0, &head);

	if (whole > 0)
	{
		REQUIRE((size_t) whole <= len);
		check_head(data, (size_t) whole, &head);
	}
	else
		REQUIRE(whole == WB_HTTP_INCOMPLETE || whole == -400 || whole == -414 || whole == -417 ||
				whole == -431 || whole == -501 || whole == -505);

	for (size_t step = 1; step <= len && step < 2000; step = step * 3 + 1)
	{
		int result = parse_in_steps(data, len, step, &other);

		/* Work that was skipped may postpone a refusal, never change it. */
		REQUIRE(result == whole || (result == WB_HTTP_INCOMPLETE && whole < 0));
		if (result > 0)
			REQUIRE(other.framing == head.framing && other.header_count == head.header_count &&
					other.content_length == head.content_length && other.keep_alive == head.keep_alive &&
					other.path.data == head.path.data && other.path.len == head.path.len);
	}
	if (len <= MAX_PREFIXES)
		check_prefixes(data, len, whole);
	return whole;
}

/*
 * Decodes in steps as a connection does: what is read next goes behind the
 * body so far.  Returns the last result; *len becomes the length of the body.
 */
static ptrdiff_t
decode_in_steps(char *data, size_t *len, size_t step)
{
	WbHttpChunks chunks = {0};
	ptrdiff_t result = WB_HTTP_CHUNKS_INCOMPLETE;
	size_t body_len = 0;
	size_t seen = 0;

	while (seen < *len && result == WB_HTTP_CHUNKS_INCOMPLETE)
	{
		size_t piece = *len - seen > step ? step : *len - seen;
		size_t piece_len = piece;

		memmove(data + body_len, data + seen, piece);
		result = wb_http_decode_chunks(&chunks, data + body_len, &piece_len);
		REQUIRE(piece_len <= piece);
		REQUIRE(result < 0 || (size_t) result <= piece - piece_len);
		body_len += piece_len;
		seen += piece;
	}
	if (result >= 0)
	{
		memmove(data + body_len + result, data + seen, *len - seen);
		result += (ptrdiff_t) (*len - seen);
	}
	*len = body_len;
	return result;
}

static void
check_decoder(const char *data, size_t len)
{
	char *whole = copy_of(data, len);
	size_t whole_len = len;
	ptrdiff_t whole_result = decode_in_steps(whole, &whole_len, len);

	for (size_t step = 1; step < len && step < 100; step = step * 2 + 1)
	{
		char *pieces = copy_of(data, len);
		size_t pieces_len = len;

		REQUIRE(decode_in_steps(pieces, &pieces_len, step) == whole_result);
		REQUIRE(pieces_len == whole_len);
		REQUIRE(memcmp(pieces, whole, whole_len + (whole_result > 0 ? (size_t) whole_result : 0)) == 0);
		free(pieces);
	}

	/* What follows the body is the end of the input, untouched. */
	if (whole_result > 0)
		REQUIRE(memcmp(whole + whole_len, data + len - whole_result, (size_t) whole_result) == 0);
	free(whole);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = copy_of((const char *) data, size);
	int head_len = check_parser(copy, size);
	size_t body_at = head_len > 0 ? (size_t) head_len : 0;

	if (size > body_at)
		check_decoder(copy + body_at, size - body_at);
	free(copy);
	return 0;
}
