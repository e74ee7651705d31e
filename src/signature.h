/*-------------------------------------------------------------------------
 *
 * signature.h
 *	  Signature schemes declared as data: verifying and signing.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_SIGNATURE_H
#define WB_SIGNATURE_H

#include "scheme.h"

#define WB_MAX_DIGEST 64 /* bytes of the longest digest, SHA-512 */
#define WB_MAX_TOKEN 512 /* bytes of the longest token or decoded key */

/*
 * A decoded secret, with whatever libcrypto state makes using it cheap.
 * wb_key_init() allocates through libcrypto; wb_key_clear() frees and wipes
 * and may be called on a zeroed or failed key.
 */
typedef struct WbKey
{
	unsigned char bytes[WB_MAX_TOKEN];
	size_t len;
	void *prepared; /* libcrypto state, NULL where the algorithm needs none */
} WbKey;

/*
 * Decodes a secret for a scheme.  False, with *problem a static sentence that
 * reveals nothing of the secret, if it is empty, too long or not in the
 * scheme's secret encoding.
 */
extern bool wb_key_init(WbKey *key, const WbScheme *scheme, WbSlice secret, const char **problem);
extern void wb_key_clear(WbKey *key);

/*
 * Outcome of a verification.  Only WB_VERIFIED means that the delivery is
 * authentic.  Signature first, window second: WB_STALE is told only to those
 * who have the key.
 */
typedef enum WbVerdict
{
	WB_VERIFIED,
	WB_UNSIGNED,           /* the scheme is "none": there is nothing to verify */
	WB_NO_SECRET,          /* no key was given */
	WB_NO_SIGNATURE,       /* signature_from is absent, empty, or has no element with the prefix */
	WB_SEVERAL_SIGNATURES, /* signature_from occurs with different values */
	WB_BAD_SIGNATURE,      /* no element decodes to a digest of the right length */
	WB_UNRESOLVED,         /* a placeholder of the signed content, or the timestamp, is missing */
	WB_MISMATCH,
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

#endif /* WB_SIGNATURE_H */
