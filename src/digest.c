/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  Digests that are not a signature's.
 *
 * What a handshake asks for, and by what the content of a delivery is known
 * again; signatures of deliveries have prepared keys of their own in
 * signature.c.  Keeps no state but the caller's and libcrypto's algorithm, which
 * is fetched once in a process because that takes longer than a digest.
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

void
wb_sha256_begin(WbSha256 *digest)
{
	static EVP_MD *sha256 = NULL;
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (context != NULL && (sha256 == NULL || EVP_DigestInit_ex(context, sha256, NULL) != 1))
	{
		EVP_MD_CTX_free(context);
		context = NULL;
	}
	digest->context = context;
}

bool
wb_sha256_sink(void *arg, const char *data, size_t len)
{
	WbSha256 *digest = (WbSha256 *) arg;

	return digest->context != NULL && EVP_DigestUpdate(digest->context, data, len) == 1;
}

bool
wb_sha256_end(WbSha256 *digest, unsigned char *bytes)
{
	bool done = digest->context != NULL && EVP_DigestFinal_ex(digest->context, bytes, NULL) == 1;

	if (!done)
		ERR_clear_error();
	EVP_MD_CTX_free(digest->context);
	digest->context = NULL;
	return done;
}
