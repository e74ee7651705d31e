/*-------------------------------------------------------------------------
 *
 * delivery.c
 *	  One delivery: what arrived, what was decided, what will be stored.
 *
 * Decides in the order that keeps strangers away from the tables: method, size,
 * signature; answers handshakes, which are not stored; then reads topic, id,
 * source and time by the provider's templates, and makes of them by what another
 * attempt is recognised.  Touches no table itself.
 *
 * Texts are allocated in the current memory context, which is the batch's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "datum.h"
#include "delivery.h"
#include "digest.h"
#include "guc.h"
#include "json_scan.h"
#include "urlencoded.h"

/* What is stored where a token stood, which is the secret itself. */
#define MASKED_TOKEN "***"

/* Where the text goes that identifies a delivery by its content. */
typedef struct Content
{
	WbSha256 digest;
	bool is_empty;
} Content;

static void refuse(WbDelivery *delivery, WbAnswer answer, const char *reason);
static bool carries_delivery(const WbDelivery *delivery, WbMessage *message);
static void remember_token(WbDelivery *delivery);
static bool answer_handshake(WbDelivery *delivery, const WbMessage *message);
static bool verify(WbDelivery *delivery, WbMessage *message, TimestampTz now);
static void extract(WbDelivery *delivery, WbMessage *message);
static pg_uuid_t *identify(const WbDelivery *delivery, const WbMessage *message);
static bool add_content(Content *content, const WbDelivery *delivery, const WbMessage *message);
static bool content_sink(void *arg, const char *data, size_t len);
static bool add_field(Content *content, const char *field);
static bool storable_text(const char *text, size_t len);
static bool is_token(const WbDelivery *delivery, WbPartKind kind, WbSlice name);
static void append_json_string(StringInfo out, WbSlice text);

/*
 * Decides what becomes of a delivery.  endpoint is NULL if the path is not
 * known.  Afterwards answer is WB_ANSWER_STORED if it has to be stored.
 */
void
wb_delivery_judge(WbDelivery *delivery, const WbEndpoint *endpoint, TimestampTz now)
{
	WbMessage message = {0};
	bool is_get = wb_slice_equal(delivery->method, wb_slice_cstring("GET"));
	int limit;

	if (delivery->arrived_at == 0)
		delivery->arrived_at = now;
	delivery->endpoint = endpoint;
	delivery->refusal = NULL;
	delivery->refused_by = NULL;
	delivery->verified = false;
	delivery->secret_label = NULL;
	delivery->dedup_key = NULL;
	memset(delivery->field, 0, sizeof(delivery->field));

	if (endpoint == NULL)
	{
		delivery->answer = delivery->refused_size > 0 ? WB_ANSWER_BODY_TOO_LARGE : WB_ANSWER_NOT_FOUND;
		return;
	}
	remember_token(delivery);
	if (delivery->refused_size > 0)
	{
		refuse(delivery, WB_ANSWER_BODY_TOO_LARGE, "body too large");
		return;
	}

	message.method = delivery->method;
	message.url = endpoint->url;
	message.query = delivery->query;
	message.headers = delivery->headers;
	message.header_count = delivery->header_count;
	message.body = delivery->body;
	message.params = endpoint->params;
	message.param_count = endpoint->param_count;

	if (!endpoint->provider->handshake.is_signed && answer_handshake(delivery, &message))
		return;
	if ((is_get && !(endpoint->provider->get_deliveries && carries_delivery(delivery, &message))) ||
		wb_slice_equal(delivery->method, wb_slice_cstring("HEAD")))
	{
		delivery->answer = WB_ANSWER_PROBE;
		return;
	}
	if (!is_get && !wb_slice_equal(delivery->method, wb_slice_cstring("POST")))
	{
		refuse(delivery, WB_ANSWER_BAD_METHOD, "method not allowed");
		return;
	}
	limit = endpoint->max_body_size > 0 ? endpoint->max_body_size : wb_max_body_size;
	if (delivery->body.len > (size_t) limit)
	{
		refuse(delivery, WB_ANSWER_BODY_TOO_LARGE, "body too large");
		return;
	}
	if (!verify(delivery, &message, now) && !endpoint->allow_unverified)
	{
		refuse(delivery, WB_ANSWER_UNAUTHORIZED, wb_verdict_text(delivery->verdict));
		return;
	}
	if (delivery->verified && endpoint->provider->handshake.is_signed &&
		answer_handshake(delivery, &message))
		return;
	message.secret = wb_slice(NULL, 0); /* nothing that is stored may contain it */
	extract(delivery, &message);
	delivery->dedup_key = identify(delivery, &message);
	delivery->answer = WB_ANSWER_STORED;
}

/*
 * Notes where a token is, for when the delivery is written; by then the
 * endpoint of one that was refused may be gone from the cache.
 */
static void
remember_token(WbDelivery *delivery)
{
	const WbScheme *scheme = &delivery->endpoint->provider->scheme;

	delivery->token_name = NULL;
	if (scheme->algorithm != WB_ALG_TOKEN)
		return;
	delivery->token_kind = scheme->signature_from.kind;
	delivery->token_name = pnstrdup(scheme->signature_from.argument.data, scheme->signature_from.argument.len);
}

/* Answers a handshake if the request is one. */
static bool
answer_handshake(WbDelivery *delivery, const WbMessage *message)
{
	const WbHandshake *handshake = &delivery->endpoint->provider->handshake;
	char bytes[WB_MAX_REPLY];
	WbTextBuffer reply = {bytes, 0, sizeof(bytes)};
	char *content;

	if (!wb_handshake_answer(handshake, message, &reply))
		return false;
	delivery->answer = WB_ANSWER_HANDSHAKE;
	delivery->form.content_type = handshake->is_json ? "application/json" : "text/plain; charset=utf-8";
	/* not pnstrdup(), which stops at a zero byte: the answer would go on with other memory */
	content = palloc(reply.len + 1);
	memcpy(content, reply.data, reply.len);
	delivery->form.content = wb_slice(content, reply.len);
	return true;
}

/*
 * The endpoint refuses a delivery.  The reason is for those who run it, not for
 * the client; its name is copied, because what rejection.c keeps is written when
 * the endpoint may be gone from the cache.
 */
static void
refuse(WbDelivery *delivery, WbAnswer answer, const char *reason)
{
	delivery->answer = answer;
	delivery->refusal = reason;
	delivery->refused_by = pstrdup(delivery->endpoint->name);
}

/* Whether a GET has what deliveries of its provider have: signature and topic. */
static bool
carries_delivery(const WbDelivery *delivery, WbMessage *message)
{
	const WbProvider *provider = delivery->endpoint->provider;
	char bytes[WB_MAX_FIELD];
	WbTextBuffer topic = {bytes, 0, sizeof(bytes)};

	return provider->scheme.has_signature &&
		   wb_locator_count(&provider->scheme.signature_from, message) > 0 &&
		   provider->has_field[WB_FIELD_TOPIC] &&
		   wb_template_eval(&provider->field[WB_FIELD_TOPIC], message, wb_text_sink, &topic, NULL) &&
		   topic.len > 0;
}

/*
 * Checks the signature against the secrets that have not expired now, and the
 * time of signing against that of arrival.
 */
static bool
verify(WbDelivery *delivery, WbMessage *message, TimestampTz now)
{
	const WbEndpoint *endpoint = delivery->endpoint;
	WbKey **keys = palloc(sizeof(WbKey *) * Max(endpoint->secret_count, 1));
	const char **labels = palloc(sizeof(char *) * Max(endpoint->secret_count, 1));
	int key_count = 0;
	int matched;

	for (int i = 0; i < endpoint->secret_count; i++)
	{
		WbSecret *secret = &endpoint->secrets[i];

		if (secret->expires_at > now)
		{
			keys[key_count] = &secret->key;
			labels[key_count++] = secret->label;
		}
	}

	delivery->verdict = wb_signature_verify(&endpoint->provider->scheme, keys, key_count, message,
											wb_unix_ms(delivery->arrived_at),
											&matched);
	delivery->verified = (delivery->verdict == WB_VERIFIED);
	if (delivery->verified)
	{
		delivery->secret_label = labels[matched];
		/* a signed handshake may ask for a digest made with it */
		message->secret = wb_slice((const char *) keys[matched]->bytes, keys[matched]->len);
	}
	else
		ereport(DEBUG1,
				(errmsg_internal("delivery to endpoint \"%s\" is not verified: %s",
								 endpoint->name, wb_verdict_text(delivery->verdict))));
	pfree(keys);
	pfree(labels);
	return delivery->verified;
}

/*
 * Reads the fields.  What is missing, empty, too long or not a text in the
 * database's encoding becomes null: the headers and the body still say it all.
 */
static void
extract(WbDelivery *delivery, WbMessage *message)
{
	const WbProvider *provider = delivery->endpoint->provider;

	for (int i = 0; i < WB_FIELDS; i++)
	{
		char bytes[WB_MAX_FIELD];
		WbTextBuffer text = {bytes, 0, sizeof(bytes)};

		if (provider->has_field[i] &&
			wb_template_eval(&provider->field[i], message, wb_text_sink, &text, NULL) &&
			text.len > 0 && storable_text(text.data, text.len))
			delivery->field[i] = pnstrdup(text.data, text.len);
	}

	/* a code of 0 says that there was no error */
	if (delivery->field[WB_FIELD_ERROR_CODE] &&
		strcmp(delivery->field[WB_FIELD_ERROR_CODE], "0") == 0)
		delivery->field[WB_FIELD_ERROR_CODE] = NULL;

	if (delivery->field[WB_FIELD_OCCURRED_AT])
	{
		int64_t unix_us;

		if (wb_time_parse(wb_slice_cstring(delivery->field[WB_FIELD_OCCURRED_AT]),
						  provider->occurred_at_format, &unix_us))
			delivery->occurred_at = wb_timestamp_from_unix_us(unix_us);
		else
			delivery->field[WB_FIELD_OCCURRED_AT] = NULL;
	}
}

/*
 * By what another attempt of the same delivery is recognised, NULL if by nothing:
 * half of a SHA-256 of its id or content, which is as short in the ledger as it can
 * be while two never have the same by chance.  Only verified deliveries take part,
 * or a stranger could make us drop somebody else's.
 */
static pg_uuid_t *
identify(const WbDelivery *delivery, const WbMessage *message)
{
	const char *id = delivery->field[WB_FIELD_EXTERNAL_ID];
	Content content = {.is_empty = true};
	unsigned char digest[WB_SHA256_SIZE];
	pg_uuid_t *key;
	bool found;

	if (!delivery->verified || delivery->endpoint->dedup == WB_DEDUP_NONE ||
		(delivery->endpoint->dedup == WB_DEDUP_ID && id == NULL))
		return NULL;
	wb_sha256_begin(&content.digest);
	found = delivery->endpoint->dedup == WB_DEDUP_ID ? wb_sha256_sink(&content.digest, id, strlen(id))
													 : add_content(&content, delivery, message);
	if (!wb_sha256_end(&content.digest, digest) || !found)
		return NULL;
	key = palloc(sizeof(pg_uuid_t));
	memcpy(key->data, digest, UUID_LEN);
	return key;
}

/*
 * Topic, source and what the provider says to identify a delivery.  If that is
 * missing or empty, as the body of a notice may be, it identifies nothing, and no
 * delivery must be lost for that: false.
 */
static bool
add_content(Content *content, const WbDelivery *delivery, const WbMessage *message)
{
	const WbProvider *provider = delivery->endpoint->provider;

	return provider->has_content &&
		   add_field(content, delivery->field[WB_FIELD_TOPIC]) &&
		   add_field(content, delivery->field[WB_FIELD_SOURCE]) &&
		   wb_template_eval(&provider->content, message, content_sink, content, NULL) &&
		   !content->is_empty;
}

static bool
content_sink(void *arg, const char *data, size_t len)
{
	Content *content = (Content *) arg;

	content->is_empty &= len == 0;
	return wb_sha256_sink(&content->digest, data, len);
}

/* With its zero byte, which a field does not contain, and a byte that tells null from empty. */
static bool
add_field(Content *content, const char *field)
{
	return field ? wb_sha256_sink(&content->digest, "+", 1) &&
					   wb_sha256_sink(&content->digest, field, strlen(field) + 1)
				 : wb_sha256_sink(&content->digest, "-", 1);
}

/* Whether bytes off the wire, taken as UTF-8, are a value of type text here. */
static bool
storable_text(const char *text, size_t len)
{
	if (memchr(text, '\0', len) != NULL)
		return false;
	if (GetDatabaseEncoding() == PG_UTF8)
		return wb_utf8_valid(text, len);
	for (size_t i = 0; i < len; i++)
		if (IS_HIGHBIT_SET(text[i]))
			return false;
	return true;
}

/*
 * Whether the body goes to "payload".  In a database that is not UTF-8 only
 * ASCII does, so that casts and operators never meet a character they cannot
 * convert.
 */
bool
wb_delivery_body_is_json(const WbDelivery *delivery)
{
	WbJsonKind kind = wb_json_classify(delivery->body);

	return kind == WB_JSON_ASCII ||
		   (kind == WB_JSON_UNICODE && GetDatabaseEncoding() == PG_UTF8);
}

/*
 * The headers as a JSON object in order of arrival, with their spelling and
 * repetitions.  Pure ASCII, hence right in every encoding.  "mask" hides the
 * endpoint's secret where one stands.
 */
char *
wb_delivery_headers_json(const WbDelivery *delivery, bool mask)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 0; i < delivery->header_count; i++)
	{
		const WbHeader *header = &delivery->headers[i];

		if (i > 0)
			appendStringInfoChar(&out, ',');
		append_json_string(&out, header->name);
		appendStringInfoChar(&out, ':');
		append_json_string(&out, mask && is_token(delivery, WB_PART_HEADER, header->name)
									 ? wb_slice_cstring(MASKED_TOKEN)
									 : header->value);
	}
	appendStringInfoChar(&out, '}');
	return out.data;
}

/* The query as received, NULL if empty.  The parser admits only ASCII. */
char *
wb_delivery_query(const WbDelivery *delivery, bool mask)
{
	StringInfoData out;
	WbSlice rest = delivery->query;
	WbSlice field;

	if (rest.len == 0)
		return NULL;
	if (!mask)
		return pnstrdup(rest.data, rest.len);

	initStringInfo(&out);
	while (wb_slice_next(&rest, '&', &field))
	{
		WbSlice name;
		WbSlice value;

		if (field.data != delivery->query.data)
			appendStringInfoChar(&out, '&');
		wb_url_split(field, &name, &value);
		if (is_token(delivery, WB_PART_QUERY, name))
			appendStringInfo(&out, "%.*s=" MASKED_TOKEN, (int) name.len, name.data);
		else
			appendBinaryStringInfo(&out, field.data, (int) field.len);
	}
	if (delivery->query.data[delivery->query.len - 1] == '&')
		appendStringInfoChar(&out, '&');
	return out.data;
}

/*
 * Whether a header or parameter carries the endpoint's secret in clear, which
 * readers of events must not see.
 */
static bool
is_token(const WbDelivery *delivery, WbPartKind kind, WbSlice name)
{
	WbSlice token = wb_slice_cstring(delivery->token_name);

	return delivery->token_name != NULL && delivery->token_kind == kind &&
		   (kind == WB_PART_HEADER ? wb_slice_equal_nocase(token, name) : wb_url_equals(name, token));
}

/*
 * Appends a quoted JSON string.  Bytes that are not UTF-8 are taken as ISO
 * 8859-1, which header values were before RFC 9110, section 5.5.
 */
static void
append_json_string(StringInfo out, WbSlice text)
{
	bool utf8 = wb_utf8_valid(text.data, text.len);
	size_t plain = 0; /* start of the bytes that need no escape */

	appendStringInfoChar(out, '"');
	for (size_t i = 0; i < text.len;)
	{
		unsigned char c = (unsigned char) text.data[i];
		pg_wchar code = c;
		int length = 1;

		if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\')
		{
			i++;
			continue;
		}
		appendBinaryStringInfo(out, text.data + plain, (int) (i - plain));
		if (utf8)
		{
			length = pg_utf_mblen((const unsigned char *) text.data + i);
			code = utf8_to_unicode((const unsigned char *) text.data + i);
		}
		if (code > 0xFFFF)
			appendStringInfo(out, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10),
							 0xDC00 + ((code - 0x10000) & 0x3FF));
		else if (code == '"' || code == '\\')
			appendStringInfo(out, "\\%c", (char) code);
		else
			appendStringInfo(out, "\\u%04x", code);
		i += length;
		plain = i;
	}
	appendBinaryStringInfo(out, text.data + plain, (int) (text.len - plain));
	appendStringInfoChar(out, '"');
}
