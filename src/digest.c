/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  Digests that are not a signature's.
 *
 * What a handshake asks for is computed here, a few bytes at a time; signatures
 * of deliveries have prepared keys of their own in signature.c.  Owns nothing
 * and keeps no state; re-entrant.
 *
 *-------------------------------------------------------------------------
 */
#include "digest.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

bool
wb_hmac_sha256_hex(WbSlice key, WbSlice text, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (key.len > INT_MAX ||
		HMAC(EVP_sha256(), key.data, (int) key.len, (const unsigned char *) text.data, text.len,
			 digest, &len) == NULL ||
		len != WB_HMAC_SHA256_HEX / 2)
	{
		ERR_clear_error();
		return false;
	}
	for (unsigned int i = 0; i < len; i++)
	{
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 0xF];
	}
	OPENSSL_cleanse(digest, sizeof(digest));
	return true;
}
