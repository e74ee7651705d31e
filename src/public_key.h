/*-------------------------------------------------------------------------
 *
 * public_key.h
 *	  Keys of the algorithms that sign with a private key and verify with a
 *	  public one.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_PUBLIC_KEY_H
#define WB_PUBLIC_KEY_H

#include "scheme.h"

#define WB_MAX_KEY_TEXT 8192         /* bytes of a key in PEM, or in base64 of DER */
#define WB_MAX_PUBLIC_SIGNATURE 1024 /* bytes of the longest signature, RSA with 8192 bits */

/* libcrypto's EVP_PKEY and EVP_MD_CTX, for those who do without its headers. */
struct evp_pkey_st;
struct evp_md_ctx_st;

/* What a key is for: public and private keys are not the same text. */
typedef enum WbKeyUse
{
	WB_KEY_VERIFY,
	WB_KEY_SIGN
} WbKeyUse;

/*
 * Reads the key of an asymmetric scheme: a public one for verifying, a private
 * one for signing.  Returns a key to give to EVP_PKEY_free(), or NULL with
 * *problem a static sentence that reveals nothing of the key.  White space
 * around PEM and base64 is ignored; of several PEM blocks the first one
 * counts, as in a certificate with its chain.
 *
 * Of a certificate only the key is used: who stored it vouches for it, not its
 * issuer or its dates.
 */
extern struct evp_pkey_st *wb_public_key_read(const WbScheme *scheme, WbKeyUse use,
											  WbSlice text, const char **problem);

/*
 * True if the signature of the content is right.  "work" is reset first and
 * holds nothing of use afterwards.
 */
extern bool wb_public_key_verify(const WbScheme *scheme, struct evp_pkey_st *pkey,
								 struct evp_md_ctx_st *work, WbSlice content,
								 const unsigned char *signature, size_t len);

/*
 * Signs the content; signature has WB_MAX_PUBLIC_SIGNATURE bytes, of which
 * *len are used.  False if the key is not a private one or libcrypto refuses.
 */
extern bool wb_public_key_sign(const WbScheme *scheme, struct evp_pkey_st *pkey,
							   struct evp_md_ctx_st *work, WbSlice content,
							   unsigned char *signature, size_t *len);

#endif /* WB_PUBLIC_KEY_H */
