/*-------------------------------------------------------------------------
 *
 * digest.h
 *	  Digests that are not a signature's.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_DIGEST_H
#define WB_DIGEST_H

#include "slice.h"

#define WB_HMAC_SHA256_HEX 64 /* characters */
#define WB_SHA256_SIZE 32     /* bytes */

/* A SHA-256 in the making.  Once begun it has to be ended. */
typedef struct WbSha256
{
	void *context; /* libcrypto's, NULL if it has refused */
} WbSha256;

/*
 * Writes the HMAC-SHA256 (RFC 2104) of a text as lower-case hexadecimal digits
 * without a terminator.  False if libcrypto refuses.
 */
extern bool wb_hmac_sha256_hex(WbSlice key, WbSlice text, char *hex);

extern void wb_sha256_begin(WbSha256 *digest);

/* A sink; the argument is the WbSha256. */
extern bool wb_sha256_sink(void *arg, const char *data, size_t len);

/*
 * Frees what the digest holds and writes its WB_SHA256_SIZE bytes.  False if
 * libcrypto has refused.
 */
extern bool wb_sha256_end(WbSha256 *digest, unsigned char *bytes);

#endif /* WB_DIGEST_H */
