/*-------------------------------------------------------------------------
 *
 * signature.h
 *	  Signature schemes declared as data: verifying and signing.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_SIGNATURE_H
#define WB_SIGNATURE_H

#include "public_key.h"

#define WB_MAX_DIGEST 64 /* bytes of the longest digest, SHA-512 */
#define WB_MAX_TOKEN 512 /* bytes of the longest token or decoded key */

#define WB_MAX_SIGNATURE_TEXT 4096 /* bytes of the text at signature_from */
#define WB_MAX_TIMESTAMP_TEXT 128

/*
 * A decoded secret, with whatever libcrypto state makes using it cheap.
 * wb_key_init() allocates through libcrypto; wb_key_clear() frees and wipes
 * and may be called on a zeroed or failed key.  Of an asymmetric scheme the
 * bytes stay empty: the key is part of libcrypto's state.
 */
typedef struct WbKey
{
	unsigned char bytes[WB_MAX_TOKEN];
	size_t len;
	void *prepared; /* libcrypto state, NULL where the algorithm needs none */
} WbKey;

/*
 * Decodes a secret for a scheme.  False, with *problem a static sentence that
 * reveals nothing of the secret, if it is empty, too long, not in the scheme's
 * secret encoding, or not a key of its algorithm.  The use tells which key of
 * an asymmetric scheme it has to be; to others it makes no difference.
 */
extern bool wb_key_init(WbKey *key, const WbScheme *scheme, WbKeyUse use, WbSlice secret,
						const char **problem);
extern void wb_key_clear(WbKey *key);

/*
 * Outcome of a verification.  Only WB_VERIFIED means that the delivery is
 * authentic.  Signature first, digest and window second: WB_STALE is told only
 * to those who have the key.
 */
typedef enum WbVerdict
{
	WB_VERIFIED,
	WB_UNSIGNED,           /* the scheme is "none": there is nothing to verify */
	WB_NO_SECRET,          /* no key was given */
	WB_NO_SIGNATURE,       /* signature_from is absent, empty, or has no element with the prefix */
	WB_SEVERAL_SIGNATURES, /* signature_from occurs with different values */
	WB_BAD_SIGNATURE,      /* no element decodes to a signature of the right length */
	WB_UNRESOLVED,         /* a placeholder of the signed content, or the timestamp, is missing */
	WB_MISMATCH,
	WB_BODY_CHANGED,  /* authentic, but the digest it vouches for is another body's, or missing */
	WB_BAD_TIMESTAMP, /* authentic, but the timestamp is not one */
	WB_STALE          /* authentic, but outside the window */
} WbVerdict;

/* A short phrase for log and rejection, such as "signature does not match". */
extern const char *wb_verdict_text(WbVerdict verdict);

/*
 * Verifies a message against any of several keys.  now_ms: Unix milliseconds
 * at which the window is judged.  *matched (may be NULL) becomes the index of
 * the key that fits, or -1.  The message's signature members are overwritten.
 */
extern WbVerdict wb_signature_verify(const WbScheme *scheme, WbKey *const *keys, int key_count,
									 WbMessage *message, int64_t now_ms, int *matched);

/*
 * Computes the text that belongs at signature_from, prefix and timestamp
 * element included ("sha256=...", "t=...,v1=..."); for algorithm "token" the
 * secret.  If the timestamp lives in a header or in the signature, ts is the
 * text to use; if it lives in the body, it is read from there.  False if a
 * placeholder cannot be resolved, the text does not fit, or the scheme is
 * "none"; *failed_part as in wb_template_eval(), or -1.
 */
extern bool wb_signature_sign(const WbScheme *scheme, WbKey *key, WbMessage *message,
							  WbSlice ts, WbTextBuffer *signature, int *failed_part);

/* What a verification saw and made of it. */
typedef struct WbSignatureDetails
{
	char signature[WB_MAX_SIGNATURE_TEXT]; /* text at signature_from, as far as it fits */
	size_t signature_len;
	int elements;   /* of the text, with the prefix, as far as they were looked at */
	int candidates; /* those among them that decode */
	char timestamp[WB_MAX_TIMESTAMP_TEXT];
	size_t timestamp_len;
	bool has_time;        /* the timestamp is one */
	int64_t signed_at_us; /* Unix microseconds */
	int failed_part;      /* of the signed content: the first without a value, -1 if all have one */
	char expected[1400];  /* element that would have been right, with the prefix */
	size_t expected_len;  /* 0 if only the sender can tell: asymmetric, token, no key */
} WbSignatureDetails;

/*
 * Verifies a message against one key (NULL: there is none) as
 * wb_signature_verify() does and returns the same verdict, but goes on after a
 * failure and fills in what can be known.  The signed content is handed to the
 * sink piece by piece, with "***" in place of {secret}; it ends early before
 * failed_part or when the sink refuses, which changes nothing else.  The text
 * in "expected" is a valid signature: it is for those who may know the key.
 */
extern WbVerdict wb_signature_explain(const WbScheme *scheme, WbKey *key, WbMessage *message,
									  int64_t now_ms, WbSink content_sink, void *content_arg,
									  WbSignatureDetails *details);

#endif /* WB_SIGNATURE_H */
