/*-------------------------------------------------------------------------
 *
 * handshake.h
 *	  Requests by which a provider checks an endpoint, declared as data.
 *	  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_HANDSHAKE_H
#define WB_HANDSHAKE_H

#include "template.h"

#define WB_MAX_REPLY 4096 /* bytes of the longest answer to a handshake */

/* A handshake as the columns of webhook_bridge.providers spell it. */
typedef struct WbHandshakeText
{
	WbSlice condition; /* handshake_if: template; without one there is no handshake */
	bool has_condition;
	WbSlice equals; /* handshake_equals: template */
	bool has_equals;
	WbSlice reply; /* handshake_reply: template */
	bool has_reply;
	bool is_json;       /* of handshake_type */
	bool is_signed;     /* handshake_signed */
	bool can_be_signed; /* the provider's algorithm is not "none" */
} WbHandshakeText;

/* The same, parsed; points into the WbHandshakeText's bytes. */
typedef struct WbHandshake
{
	bool exists;
	bool is_json;
	bool is_signed;
	WbTemplate condition;
	WbTemplate equals;
	WbTemplate reply;
} WbHandshake;

/*
 * Reads a handshake.  False, with *error filled in, if a column is missing or
 * no template, if a reply would tell the secret, or if it is computed with the
 * secret and not reserved to those who know it.
 */
extern bool wb_handshake_parse(const WbHandshakeText *text, WbHandshake *handshake,
							   WbColumnError *error);

/*
 * Whether a message is a handshake; if so, reply becomes what to answer.  For
 * {hmac:} the message's "secret" has to be set to the key that verified it.
 * False also if the answer cannot be made: a placeholder is missing, a value
 * is not UTF-8 where it has to be, or the reply does not fit.
 */
extern bool wb_handshake_answer(const WbHandshake *handshake, const WbMessage *message,
								WbTextBuffer *reply);

#endif /* WB_HANDSHAKE_H */
