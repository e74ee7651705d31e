/*-------------------------------------------------------------------------
 *
 * test_handshake.c
 *	  Tests of handshake.c and of {hmac:}.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "handshake.h"

static WbHandshakeText
columns(const char *condition, const char *equals, const char *reply)
{
	WbHandshakeText text = {
		.condition = wb_slice_cstring(condition),
		.has_condition = condition != NULL,
		.equals = wb_slice_cstring(equals),
		.has_equals = equals != NULL,
		.reply = wb_slice_cstring(reply),
		.has_reply = reply != NULL,
		.is_json = false,
		.is_signed = true,
		.can_be_signed = true};

	return text;
}

/* What is answered to a message, NULL if it is no handshake. */
static const char *
answer(const WbHandshakeText *text, const WbMessage *message)
{
	static char bytes[WB_MAX_REPLY + 1];
	WbTextBuffer reply = {bytes, 0, WB_MAX_REPLY};
	WbHandshake handshake;
	WbColumnError error;

	if (!CHECK(wb_handshake_parse(text, &handshake, &error)) ||
		!wb_handshake_answer(&handshake, message, &reply))
		return NULL;
	bytes[reply.len] = '\0';
	return bytes;
}

static void
test_none(void)
{
	WbHandshakeText text = columns(NULL, NULL, NULL);
	WbMessage message = {0};

	CHECK_STR(answer(&text, &message), NULL);
}

static void
test_echo_of_parameter(void)
{
	WbHandshakeText text = columns("{method} {query:hub.mode} {query:hub.verify_token}",
								   "GET subscribe {param:verify_token}", "{query:hub.challenge}");
	WbParam params[] = {{wb_slice_cstring("verify_token"), wb_slice_cstring("s e")}};
	WbMessage message = {
		.method = wb_slice_cstring("GET"),
		.query = wb_slice_cstring("hub.mode=subscribe&hub.challenge=1%3C2&hub.verify_token=s+e"),
		.params = params,
		.param_count = 1};

	text.is_signed = false;
	CHECK_STR(answer(&text, &message), "1<2");
	message.query = wb_slice_cstring("hub.mode=subscribe&hub.challenge=1&hub.verify_token=s+f");
	CHECK_STR(answer(&text, &message), NULL);
	message.query = wb_slice_cstring("hub.mode=subscribe&hub.challenge=1");
	CHECK_STR(answer(&text, &message), NULL);
	message.query = wb_slice_cstring("hub.mode=subscribe&hub.verify_token=s+e");
	CHECK_STR(answer(&text, &message), NULL);
	message.query = wb_slice_cstring("hub.mode=subscribe&hub.challenge=1&hub.verify_token=s+e");
	message.method = wb_slice_cstring("POST");
	CHECK_STR(answer(&text, &message), NULL);
	message.method = wb_slice_cstring("GET");
	message.param_count = 0;
	CHECK_STR(answer(&text, &message), NULL);
}

/* Zoom's validation of a URL. */
static void
test_hashed_challenge(void)
{
	WbHandshakeText text = columns(
		"{json:event}", "endpoint.url_validation",
		"{{\"plainToken\":\"{json:payload.plainToken}\",\"encryptedToken\":\"{hmac:json:payload.plainToken}\"}}");
	WbMessage message = {
		.body = wb_slice_cstring("{\"event\":\"endpoint.url_validation\",\"payload\":{\"plainToken\":\"qgg8vlvZRS6UYooatFL8Aw\"}}")};

	text.is_json = true;
	CHECK_STR(answer(&text, &message), NULL);
	message.secret = wb_slice_cstring("key");
	/* printf qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -hmac key */
	CHECK_STR(answer(&text, &message),
			  "{\"plainToken\":\"qgg8vlvZRS6UYooatFL8Aw\",\"encryptedToken\":\"f2b3627702c43576251dc6a643384a2eb050e6e1d078adecf3415e1416944a43\"}");
	message.body = wb_slice_cstring("{\"event\":\"meeting.started\",\"payload\":{\"plainToken\":\"a\"}}");
	CHECK_STR(answer(&text, &message), NULL);
	message.body = wb_slice_cstring("not json");
	CHECK_STR(answer(&text, &message), NULL);
}

static void
test_values_are_escaped(void)
{
	WbHandshakeText text = columns("{json:type}", "1", "{{\"a\":\"{json:a}\"}}");
	WbMessage message = {.body = wb_slice_cstring("{\"type\":1,\"a\":\"\\\"}\\\\\\n\xC3\xBC\"}")};

	text.is_json = true;
	CHECK_STR(answer(&text, &message), "{\"a\":\"\\u0022}\\u005c\\u000a\xC3\xBC\"}");
	text.is_json = false;
	CHECK_STR(answer(&text, &message), "{\"a\":\"\"}\\\n\xC3\xBC\"}");
}

static void
test_reply_is_bounded(void)
{
	static char query[2 * WB_MAX_REPLY] = "a=";
	WbHandshakeText text = columns("{method}", "GET", "{query:a}");
	WbMessage message = {.method = wb_slice_cstring("GET")};

	memset(query + 2, 'x', sizeof(query) - 2);
	message.query = wb_slice(query, WB_MAX_REPLY + 2);
	CHECK(answer(&text, &message) != NULL);
	message.query = wb_slice(query, WB_MAX_REPLY + 3);
	CHECK_STR(answer(&text, &message), NULL);
	text.is_json = true;
	message.query = wb_slice_cstring("a=%FF");
	CHECK_STR(answer(&text, &message), NULL);
}

static void
check_refused(WbHandshakeText text, const char *column)
{
	WbHandshake handshake;
	WbColumnError error = {NULL, NULL};

	unit_case("%.*s", (int) text.reply.len, text.reply.data ? text.reply.data : "");
	CHECK(!wb_handshake_parse(&text, &handshake, &error));
	CHECK_STR(error.column, column);
	CHECK(error.problem != NULL);
}

static void
test_what_is_refused(void)
{
	WbHandshakeText unsigned_hmac = columns("{method}", "GET", "{hmac:query:a}");

	WbHandshakeText unsignable = columns("{method}", "GET", "x");

	unsignable.can_be_signed = false;
	check_refused(unsignable, "handshake_signed");
	unsigned_hmac.is_signed = false;
	check_refused(unsigned_hmac, "handshake_signed");
	check_refused(columns(NULL, "GET", NULL), "handshake_if");
	check_refused(columns(NULL, NULL, "x"), "handshake_if");
	check_refused(columns("{method}", NULL, "x"), "handshake_equals");
	check_refused(columns("{method}", "GET", NULL), "handshake_reply");
	check_refused(columns("{method", "GET", "x"), "handshake_if");
	check_refused(columns("{method}", "{nonsense}", "x"), "handshake_equals");
	check_refused(columns("{method}", "GET", "{secret}"), "handshake_reply");
	check_refused(columns("{method}", "GET", "{ts}"), "handshake_reply");
	check_refused(columns("{method}", "GET", "{sig:t}"), "handshake_reply");
	check_refused(columns("{hmac:query:a}", "GET", "x"), "handshake_if");
	check_refused(columns("{method}", "{hmac:query:a}", "x"), "handshake_equals");
	check_refused(columns("{method}", "GET", "{hmac:}"), "handshake_reply");
	check_refused(columns("{method}", "GET", "{hmac:body}"), "handshake_reply");
	check_refused(columns("{method}", "GET", "{hmac:query:a?}"), "handshake_reply");
}

int
main(void)
{
	RUN(test_none);
	RUN(test_echo_of_parameter);
	RUN(test_hashed_challenge);
	RUN(test_values_are_escaped);
	RUN(test_reply_is_bounded);
	RUN(test_what_is_refused);
	return unit_finish();
}
