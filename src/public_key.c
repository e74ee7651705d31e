/*-------------------------------------------------------------------------
 *
 * public_key.c
 *	  Keys of the algorithms that sign with a private key and verify with a
 *	  public one.
 *
 * What is given as a key is a configuration made by people, so most of this is
 * about saying what is wrong with it: another type of key, one too short or
 * too long, the private key where the public one is meant.
 *
 * PEM is split into its blocks by libcrypto but decoded here by label, because
 * the functions that do both ask for a passphrase on the terminal when a key
 * is encrypted.  No function leaves anything in libcrypto's error queue, which
 * is the whole process's.  All functions are re-entrant.
 *
 *-------------------------------------------------------------------------
 */
#include "public_key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "encoding.h"

#define ED25519_KEY_LEN 32
#define MIN_RSA_BITS 2048
#define MAX_RSA_BITS 8192 /* keeps the time of one verification below a millisecond */

#define PRIVATE_FOR_PUBLIC "It is a private key; give the public key, which is all that verifying needs."
#define PUBLIC_FOR_PRIVATE "It is a public key; signing needs the private key."

/* Decoders of DER: all of it has to be the key. */

static EVP_PKEY *
decode_spki(const unsigned char *der, long len)
{
	const unsigned char *at = der;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, len);

	if (pkey != NULL && at == der + len)
		return pkey;
	EVP_PKEY_free(pkey);
	return NULL;
}

static EVP_PKEY *
decode_rsa_public(const unsigned char *der, long len)
{
	const unsigned char *at = der;
	EVP_PKEY *pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, len);

	if (pkey != NULL && at == der + len)
		return pkey;
	EVP_PKEY_free(pkey);
	return NULL;
}

static EVP_PKEY *
decode_certificate(const unsigned char *der, long len)
{
	const unsigned char *at = der;
	X509 *certificate = d2i_X509(NULL, &at, len);
	EVP_PKEY *pkey = NULL;

	if (certificate != NULL && at == der + len)
		pkey = X509_get_pubkey(certificate);
	X509_free(certificate);
	return pkey;
}

static EVP_PKEY *
decode_pkcs8(const unsigned char *der, long len)
{
	const unsigned char *at = der;
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, len);
	EVP_PKEY *pkey = NULL;

	if (info != NULL && at == der + len)
		pkey = EVP_PKCS82PKEY(info);
	PKCS8_PRIV_KEY_INFO_free(info);
	return pkey;
}

static EVP_PKEY *
decode_private(int type, const unsigned char *der, long len)
{
	const unsigned char *at = der;
	EVP_PKEY *pkey = d2i_PrivateKey(type, NULL, &at, len);

	if (pkey != NULL && at == der + len)
		return pkey;
	EVP_PKEY_free(pkey);
	return NULL;
}

static EVP_PKEY *
decode_rsa_private(const unsigned char *der, long len)
{
	return decode_private(EVP_PKEY_RSA, der, len);
}

static EVP_PKEY *
decode_ec_private(const unsigned char *der, long len)
{
	return decode_private(EVP_PKEY_EC, der, len);
}

typedef struct PemLabel
{
	const char *label;
	bool is_private;
	EVP_PKEY *(*decode)(const unsigned char *der, long len); /* NULL if encrypted */
} PemLabel;

static const PemLabel pem_labels[] = {
	{"PUBLIC KEY", false, decode_spki},
	{"CERTIFICATE", false, decode_certificate},
	{"RSA PUBLIC KEY", false, decode_rsa_public},
	{"PRIVATE KEY", true, decode_pkcs8},
	{"RSA PRIVATE KEY", true, decode_rsa_private},
	{"EC PRIVATE KEY", true, decode_ec_private},
	{"ENCRYPTED PRIVATE KEY", true, NULL},
};

static EVP_PKEY *
decode_pem_block(WbKeyUse use, const char *name, const char *header,
				 const unsigned char *der, long len, const char **problem)
{
	const PemLabel *label = NULL;
	EVP_PKEY *pkey;

	for (size_t i = 0; i < sizeof(pem_labels) / sizeof(pem_labels[0]); i++)
		if (strcmp(name, pem_labels[i].label) == 0)
			label = &pem_labels[i];
	if (label == NULL)
		*problem = "It is PEM, but neither a key nor a certificate.";
	else if (label->is_private && use == WB_KEY_VERIFY)
		*problem = PRIVATE_FOR_PUBLIC;
	else if (!label->is_private && use == WB_KEY_SIGN)
		*problem = PUBLIC_FOR_PRIVATE;
	/* The older formats say "Proc-Type: 4,ENCRYPTED" (RFC 1421). */
	else if (label->decode == NULL || strstr(header, "ENCRYPTED") != NULL)
		*problem = "The private key is encrypted; give it without a passphrase.";
	if (*problem != NULL)
		return NULL;
	pkey = label->decode(der, len);
	if (pkey == NULL)
		*problem = "What the PEM contains is damaged, or a key of an unknown type.";
	return pkey;
}

static EVP_PKEY *
read_pem(WbKeyUse use, WbSlice text, const char **problem)
{
	BIO *bio = BIO_new_mem_buf(text.data, (int) text.len);
	EVP_PKEY *pkey = NULL;
	bool is_parameters = true;

	/* "openssl ecparam" writes the name of the curve in front of the key. */
	while (is_parameters)
	{
		char *name = NULL;
		char *header = NULL;
		unsigned char *der = NULL;
		long len = 0;
		bool found = bio != NULL && PEM_read_bio(bio, &name, &header, &der, &len) == 1;

		is_parameters = found && strcmp(name, "EC PARAMETERS") == 0;
		if (!found)
			*problem = "It is not PEM, which has lines from -----BEGIN to -----END.";
		else if (!is_parameters)
			pkey = decode_pem_block(use, name, header, der, len, problem);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t) len);
	}
	BIO_free(bio);
	return pkey;
}

/* Reads base64 of a SubjectPublicKeyInfo, for signing of PKCS#8 (RFC 5208). */
static EVP_PKEY *
read_der(WbKeyUse use, WbSlice text, const char **problem)
{
	unsigned char der[WB_MAX_KEY_TEXT / 4 * 3];
	size_t len;
	EVP_PKEY *pkey;
	EVP_PKEY *other;

	if (!wb_base64_decode(text, false, false, der, sizeof(der), &len))
	{
		*problem = "It is not base64.";
		OPENSSL_cleanse(der, sizeof(der));
		return NULL;
	}
	pkey = use == WB_KEY_SIGN ? decode_pkcs8(der, (long) len) : decode_spki(der, (long) len);
	if (pkey == NULL)
	{
		other = use == WB_KEY_SIGN ? decode_spki(der, (long) len) : decode_pkcs8(der, (long) len);
		if (use == WB_KEY_SIGN)
			*problem = other ? PUBLIC_FOR_PRIVATE : "It is not base64 of a private key in PKCS#8.";
		else
			*problem = other ? PRIVATE_FOR_PUBLIC : "It is not base64 of a public key (SubjectPublicKeyInfo).";
		EVP_PKEY_free(other);
	}
	OPENSSL_cleanse(der, sizeof(der));
	return pkey;
}

/* Makes an Ed25519 key of its seed; if there is more, it is the public key. */
static EVP_PKEY *
make_ed25519_private(const unsigned char *bytes, size_t len, const char **problem)
{
	unsigned char public_bytes[ED25519_KEY_LEN];
	size_t public_len = sizeof(public_bytes);
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes, ED25519_KEY_LEN);

	if (len == ED25519_KEY_LEN ||
		(pkey != NULL && EVP_PKEY_get_raw_public_key(pkey, public_bytes, &public_len) == 1 &&
		 memcmp(public_bytes, bytes + ED25519_KEY_LEN, ED25519_KEY_LEN) == 0))
		return pkey;
	*problem = "The second half of the private key is not its public key.";
	EVP_PKEY_free(pkey);
	return NULL;
}

/* Reads an Ed25519 key that is nothing but its bytes (RFC 8032). */
static EVP_PKEY *
read_ed25519(const WbScheme *scheme, WbKeyUse use, WbSlice text, const char **problem)
{
	unsigned char bytes[2 * ED25519_KEY_LEN];
	size_t len;
	bool decoded;
	EVP_PKEY *pkey = NULL;

	if (scheme->secret_encoding == WB_SECRET_HEX)
		decoded = wb_hex_decode(text, bytes, sizeof(bytes), &len);
	else
		decoded = wb_base64_decode(text, false, false, bytes, sizeof(bytes), &len);
	if (!decoded || (len != ED25519_KEY_LEN && len != sizeof(bytes)))
		*problem = use == WB_KEY_SIGN ? "It is not the 32 or 64 bytes of an Ed25519 private key."
									  : "It is not the 32 bytes of an Ed25519 public key.";
	else if (use == WB_KEY_SIGN)
		pkey = make_ed25519_private(bytes, len, problem);
	else if (len != ED25519_KEY_LEN)
		*problem = PRIVATE_FOR_PUBLIC;
	else
		pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, len);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return pkey;
}

/* Says why a key does not suit an algorithm; NULL if it does. */
static const char *
find_mismatch(WbAlgorithm algorithm, EVP_PKEY *pkey)
{
	char curve[32] = "";

	switch (algorithm)
	{
		case WB_ALG_ED25519:
			return EVP_PKEY_is_a(pkey, "ED25519") ? NULL : "It is not an Ed25519 key.";
		case WB_ALG_ECDSA_P256_SHA256:
			if (!EVP_PKEY_is_a(pkey, "EC") ||
				EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve), NULL) != 1 ||
				strcmp(curve, "prime256v1") != 0)
				return "It is not an elliptic curve key on P-256 (prime256v1).";
			return NULL;
		case WB_ALG_RSA_SHA256:
			if (!EVP_PKEY_is_a(pkey, "RSA"))
				return "It is not an RSA key.";
			if (EVP_PKEY_get_bits(pkey) < MIN_RSA_BITS || EVP_PKEY_get_bits(pkey) > MAX_RSA_BITS)
				return "It is not between 2048 and 8192 bits long.";
			return NULL;
		default:
			return "The algorithm has no public keys.";
	}
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

EVP_PKEY *
wb_public_key_read(const WbScheme *scheme, WbKeyUse use, WbSlice text, const char **problem)
{
	EVP_PKEY *pkey = NULL;

	*problem = NULL;
	while (text.len > 0 && is_space(text.data[text.len - 1]))
		text.len--;
	while (text.len > 0 && is_space(text.data[0]))
		text = wb_slice(text.data + 1, text.len - 1);

	if (text.len > WB_MAX_KEY_TEXT)
		*problem = "The key is longer than 8192 bytes.";
	else if (scheme->secret_encoding == WB_SECRET_PEM)
		pkey = read_pem(use, text, problem);
	else if (scheme->secret_encoding == WB_SECRET_SPKI)
		pkey = read_der(use, text, problem);
	else
		pkey = read_ed25519(scheme, use, text, problem);

	if (pkey != NULL)
		*problem = find_mismatch(scheme->algorithm, pkey);
	else if (*problem == NULL)
		*problem = "The cryptographic library refused to set up the key.";
	if (*problem != NULL)
	{
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	/* Decoders try one format after the other and leave errors even if one fits. */
	ERR_clear_error();
	return pkey;
}

/* Ed25519 brings its own digest (RFC 8032, section 5.1). */
static const EVP_MD *
digest_of(const WbScheme *scheme)
{
	return scheme->algorithm == WB_ALG_ED25519 ? NULL : EVP_sha256();
}

bool
wb_public_key_verify(const WbScheme *scheme, EVP_PKEY *pkey, EVP_MD_CTX *work,
					 WbSlice content, const unsigned char *signature, size_t len)
{
	/* The last call returns 0 for a wrong signature, less for a malformed one. */
	bool verified = EVP_MD_CTX_reset(work) == 1 &&
					EVP_DigestVerifyInit(work, NULL, digest_of(scheme), NULL, pkey) == 1 &&
					EVP_DigestVerify(work, signature, len, (const unsigned char *) content.data, content.len) == 1;

	ERR_clear_error();
	return verified;
}

bool
wb_public_key_sign(const WbScheme *scheme, EVP_PKEY *pkey, EVP_MD_CTX *work,
				   WbSlice content, unsigned char *signature, size_t *len)
{
	bool done;

	*len = WB_MAX_PUBLIC_SIGNATURE;
	done = EVP_MD_CTX_reset(work) == 1 &&
		   EVP_DigestSignInit(work, NULL, digest_of(scheme), NULL, pkey) == 1 &&
		   EVP_DigestSign(work, signature, len, (const unsigned char *) content.data, content.len) == 1;
	ERR_clear_error();
	return done;
}
