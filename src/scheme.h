/*-------------------------------------------------------------------------
 *
 * scheme.h
 *	  Signature schemes declared as data.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_SCHEME_H
#define WB_SCHEME_H

#include "template.h"
#include "timestamp.h"

typedef enum WbAlgorithm
{
	WB_ALG_NONE,  /* nothing is signed */
	WB_ALG_TOKEN, /* the signature is the secret itself */
	WB_ALG_HMAC_SHA1,
	WB_ALG_HMAC_SHA256,
	WB_ALG_HMAC_SHA512,
	WB_ALG_SHA256 /* plain digest; the template contains {secret} */
} WbAlgorithm;

typedef enum WbEncoding
{
	WB_ENC_HEX,       /* either case */
	WB_ENC_BASE64,    /* standard alphabet, padding required */
	WB_ENC_BASE64URL, /* padding optional */
	WB_ENC_AUTO       /* hex if the length fits a hex digest, else base64 */
} WbEncoding;

typedef enum WbSecretEncoding
{
	WB_SECRET_RAW, /* the text's bytes are the key */
	WB_SECRET_HEX,
	WB_SECRET_BASE64
} WbSecretEncoding;

/* A scheme as the columns of webhook_bridge.providers spell it. */
typedef struct WbSchemeText
{
	WbSlice algorithm;
	WbSlice encoding;
	WbSlice signature_from;   /* locator; empty only for algorithm "none" */
	WbSlice list_separator;   /* empty or one character */
	WbSlice element_prefix;   /* empty if none */
	WbSlice signed_content;   /* template */
	WbSlice secret_encoding;  /* "raw", "hex", "base64", optionally ":PREFIX" */
	WbSlice timestamp_from;   /* locator, empty if none */
	WbSlice timestamp_format; /* "s", "ms", "iso8601" */
	int64_t tolerance_s;      /* negative: no window */
} WbSchemeText;

/* The same, parsed; points into the WbSchemeText's bytes. */
typedef struct WbScheme
{
	WbAlgorithm algorithm;
	WbEncoding encoding;
	bool has_content;   /* signed_content is signed: neither none nor token */
	bool has_signature; /* signature_from is set */
	WbTemplatePart signature_from;
	char list_separator; /* 0 if none */
	WbSlice element_prefix;
	WbTemplate signed_content;
	WbSecretEncoding secret_encoding;
	WbSlice secret_prefix; /* stripped from a secret if it is there */
	bool has_timestamp;    /* timestamp_from is set, and the algorithm signs */
	WbTemplatePart timestamp_from;
	WbTimeFormat timestamp_format;
	int64_t tolerance_s;
} WbScheme;

/* Which column is wrong and why. */
typedef struct WbSchemeError
{
	const char *column;  /* static */
	const char *problem; /* static, a sentence for errdetail */
} WbSchemeError;

/*
 * Reads a scheme.  False, with *error filled in, if a column is wrong: an
 * unknown word, a locator or template that is none, a signed content that
 * covers nothing of the delivery, a window on a timestamp that is not signed.
 * Of token and none the signed content and the encoding play no part.
 */
extern bool wb_scheme_parse(const WbSchemeText *text, WbScheme *scheme, WbSchemeError *error);

#endif /* WB_SCHEME_H */
