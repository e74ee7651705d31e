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

/*
 * Writes the HMAC-SHA256 (RFC 2104) of a text as lower-case hexadecimal digits
 * without a terminator.  False if libcrypto refuses.
 */
extern bool wb_hmac_sha256_hex(WbSlice key, WbSlice text, char *hex);

#endif /* WB_DIGEST_H */
