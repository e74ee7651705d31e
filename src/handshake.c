/*-------------------------------------------------------------------------
 *
 * handshake.c
 *	  Requests by which a provider checks an endpoint, declared as data.
 *
 * Before a provider delivers to a URL it may want a sign of life: an echo of a
 * parameter, of a member of the body, or a digest of one.  Two templates say
 * what such a request looks like (what the first makes of it equals what the
 * second makes of it), a third what is answered.
 *
 * It does not verify signatures, although some handshakes are signed; the
 * caller asks at the right time.  A handshake points into the texts it was
 * parsed from and owns nothing.  All functions are re-entrant.
 *
 *-------------------------------------------------------------------------
 */
#include "handshake.h"

#include <openssl/crypto.h>

#include "utf8.h"

#define MAX_COMPARED 1024 /* bytes of what a condition makes of a request */

static bool
parse_template(WbSlice text, WbTemplate *template, const char *column, WbColumnError *error)
{
	WbTemplateError problem;

	if (!wb_template_parse(text, template, &problem))
		return wb_column_fail(error, column, problem.problem);
	for (int i = 0; i < template->part_count; i++)
		switch (template->parts[i].kind)
		{
			case WB_PART_SECRET:
				return wb_column_fail(error, column, "A handshake must not depend on the secret but by {hmac:}.");
			case WB_PART_TS:
			case WB_PART_SIG:
				return wb_column_fail(error, column, "Elements of the signature are not known here.");
			default:
				break;
		}
	return true;
}

static bool
has_hmac(const WbTemplate *template)
{
	for (int i = 0; i < template->part_count; i++)
		if (template->parts[i].kind == WB_PART_HMAC)
			return true;
	return false;
}

bool
wb_handshake_parse(const WbHandshakeText *text, WbHandshake *handshake, WbColumnError *error)
{
	memset(handshake, 0, sizeof(*handshake));
	if (!text->has_condition)
	{
		if (text->has_equals || text->has_reply)
			return wb_column_fail(error, "handshake_if", "Without it there is no handshake to compare and to answer.");
		return true;
	}
	if (!text->has_equals)
		return wb_column_fail(error, "handshake_equals", "It is missing, so that every request would be a handshake.");
	if (!text->has_reply)
		return wb_column_fail(error, "handshake_reply", "It is missing, so that there is nothing to answer.");
	if (!parse_template(text->condition, &handshake->condition, "handshake_if", error) ||
		!parse_template(text->equals, &handshake->equals, "handshake_equals", error) ||
		!parse_template(text->reply, &handshake->reply, "handshake_reply", error))
		return false;
	if (has_hmac(&handshake->condition))
		return wb_column_fail(error, "handshake_if", "Only the reply can contain {hmac:}.");
	if (has_hmac(&handshake->equals))
		return wb_column_fail(error, "handshake_equals", "Only the reply can contain {hmac:}.");
	if (has_hmac(&handshake->reply) && !text->is_signed)
		return wb_column_fail(error, "handshake_signed",
							  "The reply is computed with the secret, so that only who knows it may ask for it.");
	if (text->is_signed && !text->can_be_signed)
		return wb_column_fail(error, "handshake_signed", "The provider signs nothing, so that no handshake would be answered.");
	handshake->is_json = text->is_json;
	handshake->is_signed = text->is_signed;
	handshake->exists = true;
	return true;
}

/*
 * Whether the condition's two sides make the same text of the message.  One of
 * them may contain a token that a stranger would like to guess, as Meta's does:
 * compared in constant time, after the length.
 */
static bool
condition_holds(const WbHandshake *handshake, const WbMessage *message)
{
	char left_data[MAX_COMPARED];
	char right_data[MAX_COMPARED];
	WbTextBuffer left = {left_data, 0, sizeof(left_data)};
	WbTextBuffer right = {right_data, 0, sizeof(right_data)};

	return wb_template_eval(&handshake->condition, message, wb_text_sink, &left, NULL) &&
		   wb_template_eval(&handshake->equals, message, wb_text_sink, &right, NULL) &&
		   left.len == right.len && CRYPTO_memcmp(left_data, right_data, left.len) == 0;
}

/* Adds a value as it has to be written between the quotes of a JSON string. */
static bool
put_escaped(WbTextBuffer *reply, WbSlice value)
{
	static const char digits[] = "0123456789abcdef";

	if (!wb_utf8_valid(value.data, value.len))
		return false;
	for (size_t i = 0; i < value.len; i++)
	{
		unsigned char c = (unsigned char) value.data[i];
		char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 0xF]};

		if (!(c < 0x20 || c == '"' || c == '\\' ? wb_text_sink(reply, escape, sizeof(escape))
												: wb_text_sink(reply, value.data + i, 1)))
			return false;
	}
	return true;
}

bool
wb_handshake_answer(const WbHandshake *handshake, const WbMessage *message, WbTextBuffer *reply)
{
	if (!handshake->exists || !condition_holds(handshake, message))
		return false;

	for (int i = 0; i < handshake->reply.part_count; i++)
	{
		const WbTemplatePart *part = &handshake->reply.parts[i];
		char data[WB_MAX_REPLY];
		WbTextBuffer value = {data, 0, sizeof(data)};
		bool is_value = handshake->is_json && part->kind != WB_PART_LITERAL;

		if (!wb_part_eval(part, message, wb_text_sink, is_value ? &value : reply) ||
			(is_value && !put_escaped(reply, wb_slice(data, value.len))))
			return false;
	}
	return true;
}
