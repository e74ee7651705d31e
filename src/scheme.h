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
	WB_ALG_SHA256, /* plain digest; the template contains {secret} */
	WB_ALG_ED25519,
	WB_ALG_ECDSA_P256_SHA256, /* the signature is DER */
	WB_ALG_RSA_SHA256         /* PKCS#1 v1.5 */
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
	WB_SECRET_BASE64,
	WB_SECRET_PEM, /* a public key or certificate; for signing a private key */
	WB_SECRET_SPKI /* base64 of a DER SubjectPublicKeyInfo; for signing of PKCS#8 */
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
	WbSlice secret_encoding;  /* "raw", "hex", "base64", "pem", "spki", and any number of ":PREFIX" */
	WbSlice timestamp_from;   /* locator, empty if none */
	WbSlice timestamp_format; /* "s", "ms", "iso8601" */
	WbSlice body_digest_from; /* locator, empty if none */
	int64_t tolerance_s;      /* negative: no window */
} WbSchemeText;

/* The same, parsed; points into the WbSchemeText's bytes. */
typedef struct WbScheme
{
	WbAlgorithm algorithm;
	WbEncoding encoding;
	bool has_content;   /* signed_content is signed: neither none nor token */
	bool is_asymmetric; /* who verifies has only the public key */
	bool has_signature; /* signature_from is set */
	WbTemplatePart signature_from;
	char list_separator; /* 0 if none */
	WbSlice element_prefix;
	WbTemplate signed_content;
	WbSecretEncoding secret_encoding;
	WbSlice secret_prefixes; /* between ":"; the one that a secret has is stripped */
	bool has_timestamp;      /* timestamp_from is set, and the algorithm signs */
	WbTemplatePart timestamp_from;
	WbTimeFormat timestamp_format;
	int64_t tolerance_s;
	bool has_body_digest;            /* body_digest_from is set, and the signature covers it */
	WbTemplatePart body_digest_from; /* hexadecimal SHA-256 of the body */
} WbScheme;

/*
 * Reads a scheme.  False, with *error filled in, if a column is wrong: an
 * unknown word, a locator or template that is none, a secret encoding that
 * the algorithm has no use for, a signed content that covers nothing of the
 * delivery, a window on a timestamp or a body digest that are not signed.
 * Of token and none the signed content and the encoding play no part.
 */
extern bool wb_scheme_parse(const WbSchemeText *text, WbScheme *scheme, WbColumnError *error);

#endif /* WB_SCHEME_H */
