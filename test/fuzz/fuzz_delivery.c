/*-------------------------------------------------------------------------
 *
 * fuzz_delivery.c
 *	  Fuzz target of delivery.c: from a request to what will be stored.
 *
 * Input, each on a line: what the endpoint is like, a character each ("u" takes
 * what is not verified, "h" and "q" a token in a header or parameter, "m" and
 * "i" times in milliseconds and ISO 8601, "j" and "s" handshakes that are JSON
 * and signed, "8" a database that is not UTF-8); six templates, of topic, id,
 * source, webhook, error and time; three of a handshake, or empty lines; then
 * the request.  "$" in its head stands for the body's signature, so that what
 * is stored is reached.
 *
 * Whatever a sender writes, every text must be one that PostgreSQL stores, the
 * headers must be JSON and say what was sent, a body that goes to "payload"
 * must be JSON to PostgreSQL too, and no token must remain.
 *
 *-------------------------------------------------------------------------
 */
#include "backend.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#include "delivery.h"
#include "json_scan.h"
#include "urlencoded.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "the secret of the endpoint"
#define NOW INT64CONST(700000000000000) /* microseconds since 2000 */

int wb_max_body_size = 2000;

typedef struct Target
{
	WbProvider provider;
	WbEndpoint endpoint;
	WbSecret secret;
	bool has_token;
} Target;

static bool
has_option(WbSlice options, char option)
{
	return options.len > 0 && memchr(options.data, option, options.len) != NULL;
}

static WbSlice
next_line(WbSlice *rest)
{
	WbSlice line = {rest->data, 0};

	wb_slice_next(rest, '\n', &line);
	return line;
}

static void
make_scheme(Target *target, WbSlice options)
{
	bool in_header = has_option(options, 'h');
	WbSchemeText text = {0};
	WbColumnError error;
	const char *problem;

	target->has_token = in_header || has_option(options, 'q');
	text.tolerance_s = -1;
	text.algorithm = wb_slice_cstring(target->has_token ? "token" : "hmac-sha256");
	text.signature_from = wb_slice_cstring(in_header ? "header:X-Token" : target->has_token ? "query:token"
																							: "header:X-Signature");
	text.encoding = wb_slice_cstring("hex");
	text.secret_encoding = wb_slice_cstring("raw");
	if (!target->has_token)
		text.signed_content = wb_slice_cstring("{body}");
	REQUIRE(wb_scheme_parse(&text, &target->provider.scheme, &error));
	REQUIRE(wb_key_init(&target->secret.key, &target->provider.scheme, WB_KEY_VERIFY, wb_slice_cstring(SECRET), &problem));
}

/* Reads the lines that describe the endpoint; false if they do not. */
static bool
make_target(Target *target, WbSlice *rest)
{
	static WbParam param;
	WbSlice options = next_line(rest);
	WbProvider *provider = &target->provider;
	WbHandshakeText handshake = {0};
	WbTemplateError problem;
	WbColumnError error;

	memset(target, 0, sizeof(*target));
	make_scheme(target, options);
	for (int i = 0; i < WB_FIELDS; i++)
	{
		WbSlice text = next_line(rest);

		provider->has_field[i] = text.len > 0;
		if (text.len > 0 && !wb_template_parse(text, &provider->field[i], &problem))
			return false;
	}
	provider->occurred_at_format = has_option(options, 'm')   ? WB_TIME_MILLISECONDS
								   : has_option(options, 'i') ? WB_TIME_ISO8601
															  : WB_TIME_SECONDS;
	provider->get_deliveries = true;
	provider->has_content = provider->has_field[WB_FIELD_SOURCE];
	provider->content = provider->field[WB_FIELD_SOURCE];

	handshake.condition = next_line(rest);
	handshake.equals = next_line(rest);
	handshake.reply = next_line(rest);
	handshake.has_condition = handshake.has_equals = handshake.has_reply = handshake.condition.len > 0;
	handshake.is_json = has_option(options, 'j');
	handshake.is_signed = has_option(options, 's') && handshake.has_condition;
	handshake.can_be_signed = true;
	if (!wb_handshake_parse(&handshake, &provider->handshake, &error))
		return false;

	param.name = wb_slice_cstring("p");
	param.value = wb_slice_cstring("value");
	target->secret.label = "default";
	target->secret.expires_at = DT_NOEND;
	target->endpoint.name = "shop";
	target->endpoint.provider = provider;
	target->endpoint.dedup = has_option(options, 'c') ? WB_DEDUP_CONTENT : WB_DEDUP_ID;
	target->endpoint.allow_unverified = has_option(options, 'u');
	target->endpoint.url = wb_slice_cstring("https://example.com/hooks/shop");
	target->endpoint.params = &param;
	target->endpoint.param_count = 1;
	target->endpoint.secrets = &target->secret;
	target->endpoint.secret_count = 1;
	backend_encoding = has_option(options, '8') ? PG_LATIN1 : PG_UTF8;
	return true;
}

/* Replaces "$" in the head by the signature of the body. */
static WbSlice
sign_request(WbSlice request, const WbScheme *scheme, WbKey *key)
{
	StringInfoData out;
	const char *end = memmem(request.data, request.len, "\r\n\r\n", 4);
	const char *sign = end != NULL ? memchr(request.data, '$', end - request.data) : NULL;
	char text[200];
	WbTextBuffer signature = {text, 0, sizeof(text)};
	WbMessage message = {0};

	if (sign == NULL)
		return request;
	message.body = wb_slice(end + 4, request.data + request.len - end - 4);
	REQUIRE(wb_signature_sign(scheme, key, &message, wb_slice(NULL, 0), &signature, NULL));
	initStringInfo(&out);
	appendBinaryStringInfo(&out, request.data, (int) (sign - request.data));
	appendBinaryStringInfo(&out, text, (int) signature.len);
	appendBinaryStringInfo(&out, sign + 1, (int) (request.data + request.len - sign - 1));
	return wb_slice(out.data, out.len);
}

static bool
is_text(const char *text)
{
	int len = (int) strlen(text);

	if (backend_encoding == PG_UTF8)
		return pg_encoding_verifymbstr(PG_UTF8, text, len) == len;
	for (int i = 0; i < len; i++)
		if (IS_HIGHBIT_SET(text[i]))
			return false;
	return true;
}

/* The members must be the headers, in order; a token is masked. */
static void
check_headers(const WbDelivery *delivery, const Target *target, bool mask)
{
	char *json = wb_delivery_headers_json(delivery, mask);
	WbSlice text = wb_slice_cstring(json);

	for (size_t i = 0; i < text.len; i++)
		REQUIRE(text.data[i] >= 0x20 && text.data[i] < 0x7f);
	REQUIRE(backend_json_members(text) == delivery->header_count);
	REQUIRE(wb_json_classify(text) != WB_JSON_NOT_STORABLE);

	for (int i = 0; i < delivery->header_count; i++)
	{
		const WbHeader *header = &delivery->headers[i];
		bool is_token = target->has_token && wb_slice_equal(target->provider.scheme.signature_from.argument, wb_slice_cstring("X-Token")) &&
						wb_slice_equal_nocase(header->name, wb_slice_cstring("X-Token"));
		WbJsonValue value;
		char path[100];
		char bytes[16384];
		WbTextBuffer out = {bytes, 0, sizeof(bytes)};
		bool is_last = header->name.len < sizeof(path) && memchr(header->name.data, '.', header->name.len) == NULL;

		/* of repeated names the last one is found */
		for (int j = i + 1; j < delivery->header_count; j++)
			if (wb_slice_equal(delivery->headers[j].name, header->name))
				is_last = false;
		if (!is_last)
			continue;
		REQUIRE(wb_json_find(text, header->name, &value));
		REQUIRE(wb_json_emit(&value, wb_text_sink, &out));
		if (is_token && mask)
			REQUIRE(wb_slice_equal(wb_slice(bytes, out.len), wb_slice_cstring("***")));
		else if (wb_utf8_valid(header->value.data, header->value.len))
			REQUIRE(wb_slice_equal(wb_slice(bytes, out.len), header->value));
	}
}

/* No parameter of the query that is the token may show it. */
static void
check_query(const WbDelivery *delivery, const Target *target)
{
	char *query = wb_delivery_query(delivery, true);
	WbSlice rest = wb_slice_cstring(query);
	WbSlice field;

	REQUIRE((query == NULL) == (delivery->query.len == 0));
	if (query == NULL)
		return;
	REQUIRE(is_text(query));
	if (!target->has_token || target->provider.scheme.signature_from.kind != WB_PART_QUERY)
	{
		REQUIRE(wb_slice_equal(rest, delivery->query));
		return;
	}
	while (wb_url_field(&rest, &field))
	{
		WbSlice name;
		WbSlice value;

		wb_url_split(field, &name, &value);
		if (wb_url_equals(name, wb_slice_cstring("token")))
			REQUIRE(wb_slice_equal(value, wb_slice_cstring("***")));
	}
	for (const char *at = query; (at = strstr(at, "token=")) != NULL; at++)
		REQUIRE((at > query && at[-1] != '&') || strncmp(at + 6, "***&", strlen(at) > 9 ? 4 : 3) == 0);
}

static void
check_stored(const WbDelivery *delivery, const Target *target)
{
	REQUIRE(delivery->verified || target->endpoint.allow_unverified);
	REQUIRE((delivery->secret_label != NULL) == delivery->verified);
	for (int i = 0; i < WB_FIELDS; i++)
		if (delivery->field[i] != NULL)
		{
			REQUIRE(target->provider.has_field[i]);
			REQUIRE(strlen(delivery->field[i]) > 0 && strlen(delivery->field[i]) <= WB_MAX_FIELD);
			REQUIRE(is_text(delivery->field[i]));
		}
	if (delivery->field[WB_FIELD_OCCURRED_AT] != NULL)
		REQUIRE(IS_VALID_TIMESTAMP(delivery->occurred_at));
	if (wb_delivery_body_is_json(delivery))
	{
		REQUIRE(backend_json_members(delivery->body) >= 0);
		for (size_t i = 0; backend_encoding != PG_UTF8 && i < delivery->body.len; i++)
			REQUIRE(!IS_HIGHBIT_SET(delivery->body.data[i]));
	}
}

static void
check_delivery(WbDelivery *delivery, const Target *target)
{
	wb_delivery_judge(delivery, &target->endpoint, NOW);
	switch (delivery->answer)
	{
		case WB_ANSWER_STORED:
			REQUIRE(delivery->refusal == NULL);
			check_stored(delivery, target);
			break;
		case WB_ANSWER_HANDSHAKE:
			REQUIRE(target->provider.handshake.exists);
			REQUIRE(delivery->verified || !target->provider.handshake.is_signed);
			REQUIRE(delivery->form.content.len <= WB_MAX_REPLY && delivery->form.content_type != NULL);
			break;
		case WB_ANSWER_PROBE:
			REQUIRE(wb_slice_equal(delivery->method, wb_slice_cstring("GET")) ||
					wb_slice_equal(delivery->method, wb_slice_cstring("HEAD")));
			break;
		case WB_ANSWER_UNAUTHORIZED:
			REQUIRE(!delivery->verified && !target->endpoint.allow_unverified && delivery->refusal != NULL);
			break;
		case WB_ANSWER_BAD_METHOD:
		case WB_ANSWER_BODY_TOO_LARGE:
			REQUIRE(delivery->refusal != NULL);
			break;
		default:
			REQUIRE(false);
	}
	check_headers(delivery, target, true);
	check_headers(delivery, target, false);
	check_query(delivery, target);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static WbHttpHead head;
	static Target target;
	WbSlice rest = wb_slice((const char *) data, size);

	if (make_target(&target, &rest))
	{
		WbSlice request = sign_request(rest, &target.provider.scheme, &target.secret.key);
		int head_len = wb_http_parse_head(request.data, request.len, 0, &head);
		WbDelivery delivery = {0};

		delivery.method = head.method;
		delivery.path = head.path;
		delivery.query = head.query;
		delivery.headers = head.headers;
		delivery.header_count = head.header_count;
		if (head_len > 0)
		{
			delivery.body = wb_slice(request.data + head_len, request.len - head_len);
			check_delivery(&delivery, &target);
		}
	}
	wb_key_clear(&target.secret.key);
	backend_reset_turn();
	return 0;
}
