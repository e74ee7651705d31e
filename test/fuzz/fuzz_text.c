/*-------------------------------------------------------------------------
 *
 * fuzz_text.c
 *	  Fuzz target of encoding.c, urlencoded.h, timestamp.c, utf8.c, address.c,
 *	  proxy.c and handshake.c: the small readers of what strangers write.
 *
 * Input, each on a line: options of a handshake ("j" JSON, "s" signed), its
 * three templates, a query; then a text, which is read in every way there is
 * and is also the body.  What was read, written again, must be the text or read
 * the same; what is refused must be refused as a part of more.
 *
 *-------------------------------------------------------------------------
 */
#include "encoding.h"
#include "handshake.h"
#include "json_scan.h"
#include "proxy.h"
#include "timestamp.h"
#include "urlencoded.h"
#include "utf8.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

static void *
allocate(size_t len)
{
	void *bytes = malloc(len > 0 ? len : 1);

	REQUIRE(bytes != NULL);
	return bytes;
}

/* Hexadecimal has two spellings of a byte's digits, case, and no other. */
static void
check_hex(WbSlice text)
{
	size_t capacity = text.len / 2;
	unsigned char *bytes = allocate(capacity);
	WbTextBuffer again = {allocate(text.len), 0, text.len};
	size_t len;

	if (wb_hex_decode(text, bytes, capacity, &len))
	{
		REQUIRE(len * 2 == text.len);
		REQUIRE(wb_hex_put(&again, bytes, len) && again.len == text.len);
		REQUIRE(wb_slice_equal_nocase(wb_slice(again.data, again.len), text));
		REQUIRE(len == 0 || !wb_hex_decode(text, bytes, len - 1, &len));
	}
	free(bytes);
	free(again.data);
}

/* Canonical base64 has one spelling; every other is of bytes that have one. */
static void
check_base64(WbSlice text, bool is_url, bool canonical)
{
	size_t capacity = text.len / 4 * 3 + 3;
	unsigned char *bytes = allocate(capacity);
	unsigned char *same = allocate(capacity);
	WbTextBuffer again = {allocate(text.len + 4), 0, text.len + 4};
	size_t len;
	size_t same_len;

	if (wb_base64_decode(text, is_url, canonical, bytes, capacity, &len))
	{
		WbSlice written;

		REQUIRE(len <= text.len * 3 / 4);
		REQUIRE(wb_base64_put(&again, bytes, len, is_url));
		written = wb_slice(again.data, again.len);
		if (canonical && !is_url)
			REQUIRE(wb_slice_equal(written, text));
		else if (canonical)
			REQUIRE(written.len <= text.len && wb_slice_equal(written, wb_slice(text.data, written.len)));
		REQUIRE(wb_base64_decode(written, is_url, true, same, capacity, &same_len));
		REQUIRE(same_len == len && memcmp(bytes, same, len) == 0);
		REQUIRE(len == 0 || !wb_base64_decode(text, is_url, canonical, bytes, len - 1, &len));
	}
	else if (!canonical)
		REQUIRE(!wb_base64_decode(text, is_url, true, bytes, capacity, &len));
	free(bytes);
	free(same);
	free(again.data);
}

/* A decoded text, escaped again byte by byte, stands for the same bytes. */
static void
check_field(WbSlice field)
{
	WbTextBuffer decoded = {allocate(field.len), 0, field.len};
	char *escaped = allocate(3 * field.len + 1);
	WbGather gather;
	bool is_whole;

	wb_gather_init(&gather, wb_text_sink, &decoded);
	is_whole = wb_url_put(&gather, field) && wb_gather_flush(&gather);
	if (is_whole)
	{
		for (size_t i = 0; i < decoded.len; i++)
			sprintf(escaped + 3 * i, "%%%02x", (unsigned char) decoded.data[i]);
		REQUIRE(wb_url_compare(field, wb_slice(escaped, 3 * decoded.len)) == 0);
		REQUIRE(wb_url_equals(wb_slice(escaped, 3 * decoded.len), wb_slice(decoded.data, decoded.len)));
	}
	REQUIRE(wb_url_equals(field, wb_slice(decoded.data, decoded.len)) == is_whole);
	REQUIRE(wb_url_compare(field, field) == 0);
	free(decoded.data);
	free(escaped);
}

/* The fields are what is between the separators, whole. */
static void
check_form(WbSlice text)
{
	WbSlice rest = text;
	WbSlice field;
	const char *last = text.data;

	while (wb_url_field(&rest, &field))
	{
		WbSlice name;
		WbSlice value;

		REQUIRE(field.len > 0 && field.data >= last && field.data + field.len <= text.data + text.len);
		REQUIRE(memchr(field.data, '&', field.len) == NULL);
		last = field.data + field.len;
		wb_url_split(field, &name, &value);
		REQUIRE(name.data == field.data && name.len <= field.len && value.len <= field.len - name.len);
		REQUIRE(name.len == 0 || memchr(name.data, '=', name.len) == NULL);
		check_field(name);
		check_field(value);
	}
}

/* A point in time, written as RFC 3339 by the C library, is the same. */
static void
check_time(WbSlice text, WbTimeFormat format)
{
	int64_t unix_us;
	int64_t again;
	char written[64];
	time_t seconds;
	struct tm tm;

	if (!wb_time_parse(text, format, &unix_us))
		return;
	REQUIRE(unix_us >= 0 && unix_us < INT64_C(253402300800000000));
	seconds = unix_us / 1000000;
	REQUIRE(gmtime_r(&seconds, &tm) != NULL);
	snprintf(written, sizeof(written), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			 tm.tm_hour, tm.tm_min, tm.tm_sec, (int) (unix_us % 1000000));
	REQUIRE(wb_time_parse(wb_slice_cstring(written), WB_TIME_ISO8601, &again));
	REQUIRE(again == unix_us);
}

/* What is encoded is valid, and what is valid is made of what can be encoded. */
static void
check_utf8(WbSlice text)
{
	const unsigned char *at = (const unsigned char *) text.data;
	const unsigned char *end = at + text.len;
	bool valid = true;

	while (at < end && valid)
	{
		size_t len = wb_utf8_sequence(at, end);
		uint32_t code = *at;
		char bytes[4];

		if (*at < 0x80)
			len = 1;
		valid = len > 0;
		if (len == 2)
			code = (uint32_t) (at[0] & 0x1f) << 6 | (at[1] & 0x3f);
		else if (len == 3)
			code = (uint32_t) (at[0] & 0x0f) << 12 | (uint32_t) (at[1] & 0x3f) << 6 | (at[2] & 0x3f);
		else if (len == 4)
			code = (uint32_t) (at[0] & 0x07) << 18 | (uint32_t) (at[1] & 0x3f) << 12 | (uint32_t) (at[2] & 0x3f) << 6 | (at[3] & 0x3f);
		if (valid)
			REQUIRE(code < 0x110000 && (code < 0xd800 || code > 0xdfff) &&
					wb_utf8_encode(code, bytes) == len && memcmp(bytes, at, len) == 0);
		at += len;
	}
	REQUIRE(wb_utf8_valid(text.data, text.len) == valid);
}

static WbSlice
next_line(WbSlice *rest)
{
	WbSlice line = {rest->data, 0};

	wb_slice_next(rest, '\n', &line);
	return line;
}

/* An address is the same when it is written as usual, and as a network of its own. */
static void
check_address(WbSlice text)
{
	char usual[INET6_ADDRSTRLEN];
	WbAddress address;
	WbAddress again;
	WbNetwork network;

	if (wb_network_parse(text, &network))
		REQUIRE(network.bits >= 0 && network.bits <= network.address.size * 8 &&
				wb_network_contains(&network, &network.address));
	if (!wb_address_parse(text, &address))
		return;
	REQUIRE(inet_ntop(address.size == 4 ? AF_INET : AF_INET6, address.bytes, usual, sizeof(usual)) != NULL);
	REQUIRE(wb_address_parse(wb_slice_cstring(usual), &again) && memcmp(&address, &again, sizeof(address)) == 0);
	REQUIRE(wb_network_parse(text, &network) && memcmp(&network.address, &address, sizeof(address)) == 0);
}

/* What a proxy says does not change with what was said before it. */
static void
check_proxy(WbSlice text)
{
	static const WbProxies proxies = {.count = 1, .networks = {{.address = {.bytes = {127}, .size = 4}, .bits = 8}}};
	WbHeader headers[] = {{wb_slice_cstring("X-Forwarded-For"), wb_slice_cstring("198.51.100.1, x")},
						  {wb_slice_cstring("x-forwarded-for"), text}};
	WbAddress client;
	WbAddress again;

	if (!wb_proxies_find_client(&proxies, headers + 1, 1, &client))
		return;
	REQUIRE(!wb_proxies_contain(&proxies, &client));
	REQUIRE(wb_proxies_find_client(&proxies, headers, 2, &again) && memcmp(&client, &again, sizeof(client)) == 0);
}

/* An answer fits, is the same each time, and tells no secret. */
static void
check_handshake(WbSlice input, WbSlice options, WbHandshakeText *text, WbSlice query, WbSlice body)
{
	static const char secret[] = "\x01the key of the endpoint\x02";
	WbHandshake handshake;
	WbColumnError error = {NULL, NULL};
	WbHeader header = {wb_slice_cstring("X-Challenge"), query};
	WbMessage message = {0};
	char answer[2][WB_MAX_REPLY];
	WbTextBuffer reply = {answer[0], 0, WB_MAX_REPLY};
	WbTextBuffer again = {answer[1], 0, WB_MAX_REPLY};

	text->is_json = options.len > 0 && memchr(options.data, 'j', options.len) != NULL;
	text->is_signed = options.len > 0 && memchr(options.data, 's', options.len) != NULL;
	text->can_be_signed = true;
	text->has_condition = text->has_equals = text->has_reply = text->condition.len > 0;
	if (!wb_handshake_parse(text, &handshake, &error))
	{
		REQUIRE(error.column != NULL && error.problem != NULL);
		return;
	}
	message.method = wb_slice_cstring("GET");
	message.url = wb_slice_cstring("https://example.com/hook");
	message.query = query;
	message.body = body;
	message.headers = &header;
	message.header_count = 1;
	message.secret = wb_slice(secret, sizeof(secret) - 1);
	if (!wb_handshake_answer(&handshake, &message, &reply))
		return;
	REQUIRE(handshake.exists && reply.len <= WB_MAX_REPLY);
	REQUIRE(wb_handshake_answer(&handshake, &message, &again));
	REQUIRE(wb_slice_equal(wb_slice(reply.data, reply.len), wb_slice(again.data, again.len)));
	if (memmem(input.data, input.len, secret, 5) == NULL)
		REQUIRE(memmem(reply.data, reply.len, secret, sizeof(secret) - 1) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* of its own size, so that each byte too far is seen */
	char *copy = allocate(size);
	WbSlice rest = wb_slice(copy, size);
	WbHandshakeText handshake = {0};
	WbSlice options;
	WbSlice query;

	memcpy(copy, data, size);
	options = next_line(&rest);
	handshake.condition = next_line(&rest);
	handshake.equals = next_line(&rest);
	handshake.reply = next_line(&rest);
	query = next_line(&rest);

	check_hex(rest);
	for (int i = 0; i < 4; i++)
		check_base64(rest, i & 1, i & 2);
	check_form(rest);
	for (int format = WB_TIME_SECONDS; format <= WB_TIME_ISO8601; format++)
		check_time(rest, (WbTimeFormat) format);
	check_utf8(rest);
	check_address(rest);
	check_proxy(rest);
	check_handshake(wb_slice(copy, size), options, &handshake, query, rest);
	free(copy);
	return 0;
}
