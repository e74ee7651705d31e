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

#include "encoding.h"

bool
wb_hmac_sha256_hex(WbSlice key, WbSlice text, char *hex)
{
	WbTextBuffer out = {hex, 0, WB_HMAC_SHA256_HEX};
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	bool done;

	done = key.len <= INT_MAX &&
		   HMAC(EVP_sha256(), key.data, (int) key.len, (const unsigned char *) text.data, text.len,
				digest, &len) != NULL &&
		   wb_hex_put(&out, digest, len);
	if (!done)
		ERR_clear_error();
	OPENSSL_cleanse(digest, sizeof(digest));
	return done;
}
