/*-------------------------------------------------------------------------
 *
 * signature.c
 *	  Signature schemes declared as data: verifying and signing.
 *
 * A scheme says where the signature is, how it is written, and by a template
 * what it covers.  Verifying reads the candidates, streams the template into
 * a digest and compares decoded bytes in constant time; signing goes the same
 * way in the other direction.
 *
 * It knows no provider, reads no clock and decides nothing about deliveries
 * beyond the verdict.  A scheme points into the texts it was parsed from.  A
 * key owns its libcrypto state; the state is worked in, so a key must not be
 * used by two threads at once.  Everything else is re-entrant.
 *
 *-------------------------------------------------------------------------
 */
#include "signature.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#define MAX_SIGNATURE_TEXT 4096
#define MAX_TIMESTAMP_TEXT 128

/*
 * Elements that are decoded and compared.  Rotation makes two or three; a
 * sender who lists more than this gains nothing but our time.
 */
#define MAX_CANDIDATES 16

#define MAX_BLOCK 128                     /* bytes of the longest digest block, SHA-512 */
#define END_OF_TIME INT64_C(253402300800) /* 10000-01-01, in Unix seconds */

typedef struct AlgorithmTraits
{
	const EVP_MD *(*digest)(void); /* NULL if there is nothing to compare */
	size_t digest_len;
	bool is_hmac;
} AlgorithmTraits;

/* In the order of WbAlgorithm.  Tokens are compared by their digests. */
static const AlgorithmTraits algorithms[] = {
	{NULL, 0, false},
	{EVP_sha256, 32, false},
	{EVP_sha1, 20, true},
	{EVP_sha256, 32, true},
	{EVP_sha512, 64, true},
	{EVP_sha256, 32, false},
};

/*
 * Digests that have already taken in what every message begins with: for HMAC
 * the key's inner and outer block.  Copying them was measured (OpenSSL 3.0,
 * HMAC-SHA256 of 1 KB) at 0.69 us, EVP_MAC_init() without a key at 0.72 (and
 * before 3.0.3 it does not rewind), EVP_MAC_CTX_dup() at 0.94, a copied
 * EVP_DigestSign context at 1.34, HMAC() at 1.54.
 */
typedef struct PreparedKey
{
	EVP_MD_CTX *inner;
	EVP_MD_CTX *outer;
	EVP_MD_CTX *work;
} PreparedKey;

typedef struct Candidates
{
	bool has_element; /* an element with the prefix was there */
	int count;
	unsigned char digests[MAX_CANDIDATES][WB_MAX_DIGEST];
} Candidates;

static const AlgorithmTraits *
traits_of(const WbScheme *scheme)
{
	return &algorithms[scheme->algorithm];
}

static bool
decode_hex(WbSlice text, unsigned char *out, size_t capacity, size_t *len)
{
	if (text.len % 2 != 0 || text.len / 2 > capacity)
		return false;
	for (size_t i = 0; i < text.len; i += 2)
	{
		int high = wb_hex_value(text.data[i]);
		int low = wb_hex_value(text.data[i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (unsigned char) (high << 4 | low);
	}
	*len = text.len / 2;
	return true;
}

static int
base64_value(char c, bool is_url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (is_url ? '-' : '+'))
		return 62;
	return c == (is_url ? '_' : '/') ? 63 : -1;
}

/*
 * Decodes base64 (RFC 4648).  Padding that is there must be right.  Spare bits
 * of the last digit are ignored, as senders' libraries do; what is compared
 * are the decoded bytes.
 */
static bool
decode_base64(WbSlice text, bool is_url, bool needs_padding,
			  unsigned char *out, size_t capacity, size_t *len)
{
	size_t padding = 0;
	uint32_t bits = 0;

	while (padding < 2 && text.len > 0 && text.data[text.len - 1] == '=')
	{
		text.len--;
		padding++;
	}
	if (text.len % 4 == 1 ||
		((padding > 0 || needs_padding) && (text.len + padding) % 4 != 0))
		return false;
	*len = 0;
	for (size_t i = 0; i < text.len; i++)
	{
		int value = base64_value(text.data[i], is_url);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t) value;
		if (i % 4 == 0)
			continue;
		if (*len == capacity)
			return false;
		out[(*len)++] = (unsigned char) (bits >> (6 - i % 4 * 2));
	}
	return true;
}

/* Decodes a signature; it must have exactly the length of the digest. */
static bool
decode_digest(const WbScheme *scheme, WbSlice text, unsigned char *digest)
{
	size_t expected_len = traits_of(scheme)->digest_len;
	WbEncoding encoding = scheme->encoding;
	size_t len;
	bool decoded;

	if (encoding == WB_ENC_AUTO)
		encoding = text.len == 2 * expected_len ? WB_ENC_HEX : WB_ENC_BASE64;
	if (encoding == WB_ENC_HEX)
		decoded = decode_hex(text, digest, WB_MAX_DIGEST, &len);
	else
		decoded = decode_base64(text, encoding == WB_ENC_BASE64URL, encoding == WB_ENC_BASE64,
								digest, WB_MAX_DIGEST, &len);
	return decoded && len == expected_len;
}

/* Feeds a key's first blocks to the inner and outer digest (RFC 2104). */
static bool
prepare_hmac(PreparedKey *prepared, const EVP_MD *digest, const WbKey *key)
{
	unsigned char block[MAX_BLOCK] = {0};
	size_t block_len = (size_t) EVP_MD_get_block_size(digest);
	bool done = true;

	if (key->len > block_len)
		done = EVP_Digest(key->bytes, key->len, block, NULL, digest, NULL) == 1;
	else
		memcpy(block, key->bytes, key->len);
	for (size_t i = 0; i < block_len; i++)
		block[i] ^= 0x36;
	done = done && EVP_DigestUpdate(prepared->inner, block, block_len) == 1;
	for (size_t i = 0; i < block_len; i++)
		block[i] ^= 0x36 ^ 0x5C;
	done = done && EVP_DigestInit_ex(prepared->outer, digest, NULL) == 1 &&
		   EVP_DigestUpdate(prepared->outer, block, block_len) == 1;
	OPENSSL_cleanse(block, sizeof(block));
	return done;
}

static bool
prepare_key(WbKey *key, const AlgorithmTraits *traits)
{
	PreparedKey *prepared = OPENSSL_zalloc(sizeof(PreparedKey));

	key->prepared = prepared;
	if (prepared == NULL)
		return false;
	prepared->inner = EVP_MD_CTX_new();
	prepared->outer = EVP_MD_CTX_new();
	prepared->work = EVP_MD_CTX_new();
	if (prepared->inner == NULL || prepared->outer == NULL || prepared->work == NULL ||
		EVP_DigestInit_ex(prepared->inner, traits->digest(), NULL) != 1)
		return false;
	return !traits->is_hmac || prepare_hmac(prepared, traits->digest(), key);
}

/* Decodes a secret into the key's bytes; false if it is not in its encoding. */
static bool
decode_secret(WbKey *key, WbSecretEncoding encoding, WbSlice secret)
{
	switch (encoding)
	{
		case WB_SECRET_HEX:
			return decode_hex(secret, key->bytes, sizeof(key->bytes), &key->len);
		case WB_SECRET_BASE64:
			return decode_base64(secret, false, false, key->bytes, sizeof(key->bytes), &key->len);
		case WB_SECRET_RAW:
			break;
	}
	memcpy(key->bytes, secret.data, secret.len);
	key->len = secret.len;
	return true;
}

bool
wb_key_init(WbKey *key, const WbScheme *scheme, WbSlice secret, const char **problem)
{
	WbSlice prefix = scheme->secret_prefix;
	size_t max_len = WB_MAX_TOKEN;

	memset(key, 0, sizeof(*key));
	*problem = NULL;
	if (prefix.len > 0 && secret.len >= prefix.len &&
		memcmp(secret.data, prefix.data, prefix.len) == 0)
		secret = wb_slice(secret.data + prefix.len, secret.len - prefix.len);
	if (scheme->secret_encoding == WB_SECRET_HEX)
		max_len = WB_MAX_TOKEN * 2;
	else if (scheme->secret_encoding == WB_SECRET_BASE64)
		max_len = (WB_MAX_TOKEN + 2) / 3 * 4;

	if (secret.len == 0)
		*problem = "The secret is empty.";
	else if (secret.len > max_len)
		*problem = "The secret is longer than 512 bytes.";
	else if (!decode_secret(key, scheme->secret_encoding, secret))
		*problem = scheme->secret_encoding == WB_SECRET_HEX ? "The secret is not hexadecimal." : "The secret is not base64.";
	else if (key->len == 0)
		*problem = "The secret is empty.";
	else if (scheme->has_content && !prepare_key(key, traits_of(scheme)))
		*problem = "The cryptographic library refused to set up the digest.";
	if (*problem == NULL)
		return true;
	ERR_clear_error();
	wb_key_clear(key);
	return false;
}

void
wb_key_clear(WbKey *key)
{
	PreparedKey *prepared = key->prepared;

	if (prepared != NULL)
	{
		/* libcrypto wipes the state of a digest when it frees it. */
		EVP_MD_CTX_free(prepared->inner);
		EVP_MD_CTX_free(prepared->outer);
		EVP_MD_CTX_free(prepared->work);
		OPENSSL_free(prepared);
	}
	OPENSSL_cleanse(key, sizeof(*key));
}

static bool
digest_sink(void *arg, const char *data, size_t len)
{
	return EVP_DigestUpdate((EVP_MD_CTX *) arg, data, len) == 1;
}

/* Computes the digest of the signed content; digest has WB_MAX_DIGEST bytes. */
static bool
compute_digest(const WbScheme *scheme, WbKey *key, WbMessage *message,
			   unsigned char *digest, int *failed_part)
{
	const AlgorithmTraits *traits = traits_of(scheme);
	PreparedKey *prepared = key->prepared;
	EVP_MD_CTX *work = prepared->work;
	bool done;

	message->secret = wb_slice((const char *) key->bytes, key->len);
	done = EVP_MD_CTX_copy_ex(work, prepared->inner) == 1 &&
		   wb_template_eval(&scheme->signed_content, message, digest_sink, work, failed_part) &&
		   EVP_DigestFinal_ex(work, digest, NULL) == 1;
	message->secret = wb_slice(NULL, 0);
	if (done && traits->is_hmac)
		done = EVP_MD_CTX_copy_ex(work, prepared->outer) == 1 &&
			   EVP_DigestUpdate(work, digest, traits->digest_len) == 1 &&
			   EVP_DigestFinal_ex(work, digest, NULL) == 1;
	if (!done)
		ERR_clear_error();
	return done;
}

/* Digests a token, so that comparing two shows nothing of their lengths. */
static bool
digest_token(WbSlice token, unsigned char *digest)
{
	if (EVP_Digest(token.data, token.len, digest, NULL, EVP_sha256(), NULL) == 1)
		return true;
	ERR_clear_error();
	return false;
}

static void
forget_signature(WbMessage *message)
{
	message->signature = wb_slice(NULL, 0);
	message->list_separator = 0;
	message->signature_header = wb_slice(NULL, 0);
	message->ts = wb_slice(NULL, 0);
	message->has_ts = false;
	message->secret = wb_slice(NULL, 0);
}

/* Tells the placeholders what the scheme says about the signature. */
static void
announce_signature(const WbScheme *scheme, WbMessage *message)
{
	forget_signature(message);
	message->list_separator = scheme->list_separator;
	if (scheme->signature_from.kind == WB_PART_HEADER)
		message->signature_header = scheme->signature_from.argument;
}

/* Reads the signature's text; WB_VERIFIED here means that it is there. */
static WbVerdict
read_signature(const WbScheme *scheme, WbMessage *message, WbTextBuffer *text)
{
	int count = wb_locator_count(&scheme->signature_from, message);

	if (count != 1)
		return count == 0 ? WB_NO_SIGNATURE : WB_SEVERAL_SIGNATURES;
	if (!wb_part_eval(&scheme->signature_from, message, wb_text_sink, text))
		return WB_BAD_SIGNATURE;
	if (text->len == 0)
		return WB_NO_SIGNATURE;
	message->signature = wb_slice(text->data, text->len);
	return WB_VERIFIED;
}

/* Collects the elements that could be a digest of this scheme. */
static WbVerdict
collect_candidates(const WbScheme *scheme, WbSlice text, Candidates *candidates)
{
	WbSlice prefix = scheme->element_prefix;
	WbSlice element;

	candidates->has_element = false;
	candidates->count = 0;
	while (candidates->count < MAX_CANDIDATES &&
		   wb_slice_next(&text, scheme->list_separator, &element))
	{
		unsigned char *digest = candidates->digests[candidates->count];

		element = wb_slice_trim_spaces(element);
		if (element.len <= prefix.len ||
			(prefix.len > 0 && memcmp(element.data, prefix.data, prefix.len) != 0))
			continue;
		element = wb_slice(element.data + prefix.len, element.len - prefix.len);
		candidates->has_element = true;
		if (scheme->algorithm == WB_ALG_TOKEN ? digest_token(element, digest)
											  : decode_digest(scheme, element, digest))
			candidates->count++;
	}
	if (candidates->count > 0)
		return WB_VERIFIED;
	return candidates->has_element ? WB_BAD_SIGNATURE : WB_NO_SIGNATURE;
}

/* Reads the timestamp's text; false if it is missing, empty or too long. */
static bool
read_timestamp(const WbScheme *scheme, WbMessage *message, WbTextBuffer *text)
{
	if (!wb_part_eval(&scheme->timestamp_from, message, wb_text_sink, text) || text->len == 0)
		return false;
	message->ts = wb_slice(text->data, text->len);
	message->has_ts = true;
	return true;
}

/* Compares every candidate with what every key makes of the message. */
static WbVerdict
match_keys(const WbScheme *scheme, WbKey *const *keys, int key_count,
		   WbMessage *message, const Candidates *candidates, int *matched)
{
	const AlgorithmTraits *traits = traits_of(scheme);
	unsigned char expected[WB_MAX_DIGEST];
	WbVerdict verdict = WB_MISMATCH;

	for (int i = 0; i < key_count && verdict == WB_MISMATCH; i++)
	{
		bool done;

		if (scheme->has_content)
			done = compute_digest(scheme, keys[i], message, expected, NULL);
		else
			done = digest_token(wb_slice((const char *) keys[i]->bytes, keys[i]->len), expected);
		if (!done)
			verdict = WB_UNRESOLVED;
		for (int j = 0; j < candidates->count && verdict == WB_MISMATCH; j++)
			if (CRYPTO_memcmp(expected, candidates->digests[j], traits->digest_len) == 0)
			{
				verdict = WB_VERIFIED;
				*matched = i;
			}
	}
	OPENSSL_cleanse(expected, sizeof(expected));
	return verdict;
}

/* Judges an authentic message by its age.  The window is symmetric. */
static WbVerdict
check_window(const WbScheme *scheme, WbSlice ts, int64_t now_ms)
{
	int64_t tolerance_s = scheme->tolerance_s;
	int64_t unix_us;
	int64_t distance_us;

	if (!wb_time_parse(ts, scheme->timestamp_format, &unix_us))
		return WB_BAD_TIMESTAMP;
	/* A caller's clock may say anything, also infinity: keep within range. */
	if (now_ms < 0)
		now_ms = 0;
	if (now_ms > END_OF_TIME * 1000)
		now_ms = END_OF_TIME * 1000;
	if (tolerance_s > END_OF_TIME)
		tolerance_s = END_OF_TIME;
	distance_us = now_ms * 1000 - unix_us;
	if (distance_us < 0)
		distance_us = -distance_us;
	return distance_us <= tolerance_s * 1000000 ? WB_VERIFIED : WB_STALE;
}

WbVerdict
wb_signature_verify(const WbScheme *scheme, WbKey *const *keys, int key_count,
					WbMessage *message, int64_t now_ms, int *matched)
{
	char signature_data[MAX_SIGNATURE_TEXT];
	char ts_data[MAX_TIMESTAMP_TEXT];
	WbTextBuffer signature = {signature_data, 0, sizeof(signature_data)};
	WbTextBuffer ts = {ts_data, 0, sizeof(ts_data)};
	Candidates candidates;
	WbVerdict verdict;
	int key_index = -1;

	if (matched != NULL)
		*matched = -1;
	if (scheme->algorithm == WB_ALG_NONE)
		return WB_UNSIGNED;
	if (key_count <= 0)
		return WB_NO_SECRET;

	announce_signature(scheme, message);
	verdict = read_signature(scheme, message, &signature);
	if (verdict == WB_VERIFIED)
		verdict = collect_candidates(scheme, message->signature, &candidates);
	if (verdict == WB_VERIFIED && scheme->has_timestamp && !read_timestamp(scheme, message, &ts))
		verdict = WB_UNRESOLVED;
	if (verdict == WB_VERIFIED)
		verdict = match_keys(scheme, keys, key_count, message, &candidates, &key_index);
	if (verdict == WB_VERIFIED && matched != NULL)
		*matched = key_index;
	if (verdict == WB_VERIFIED && scheme->has_timestamp && scheme->tolerance_s >= 0)
		verdict = check_window(scheme, message->ts, now_ms);

	/* What the message pointed to ends with this function. */
	forget_signature(message);
	return verdict;
}

static bool
put_digest(const WbScheme *scheme, const unsigned char *digest, WbTextBuffer *out)
{
	static const char hex_digits[] = "0123456789abcdef";
	size_t digest_len = traits_of(scheme)->digest_len;
	char text[2 * WB_MAX_DIGEST + 1];
	size_t len = 0;

	if (scheme->encoding == WB_ENC_HEX || scheme->encoding == WB_ENC_AUTO)
	{
		for (size_t i = 0; i < digest_len; i++)
		{
			text[len++] = hex_digits[digest[i] >> 4];
			text[len++] = hex_digits[digest[i] & 0xF];
		}
		return wb_text_sink(out, text, len);
	}
	len = (size_t) EVP_EncodeBlock((unsigned char *) text, digest, (int) digest_len);
	if (scheme->encoding == WB_ENC_BASE64URL)
	{
		while (len > 0 && text[len - 1] == '=')
			len--;
		for (size_t i = 0; i < len; i++)
			text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_'
															: text[i];
	}
	return wb_text_sink(out, text, len);
}

/*
 * Makes the timestamp known to the template; one that is an element of the
 * signature is written there first, so that {sig:} finds it, too.
 */
static bool
place_timestamp(const WbScheme *scheme, WbMessage *message, WbSlice ts,
				WbTextBuffer *ts_buffer, WbTextBuffer *signature)
{
	WbPartKind kind = scheme->timestamp_from.kind;
	size_t start = signature->len;

	if (kind == WB_PART_JSON || kind == WB_PART_QUERY)
		return read_timestamp(scheme, message, ts_buffer);
	if (ts.len == 0)
		return false;
	message->ts = ts;
	message->has_ts = true;
	if (kind != WB_PART_SIG)
		return true;
	if (!wb_text_sink(signature, scheme->timestamp_from.argument.data, scheme->timestamp_from.argument.len) ||
		!wb_text_sink(signature, "=", 1) ||
		!wb_text_sink(signature, ts.data, ts.len))
		return false;
	message->signature = wb_slice(signature->data + start, signature->len - start);
	return wb_text_sink(signature, &scheme->list_separator, 1);
}

bool
wb_signature_sign(const WbScheme *scheme, WbKey *key, WbMessage *message,
				  WbSlice ts, WbTextBuffer *signature, int *failed_part)
{
	unsigned char digest[WB_MAX_DIGEST];
	char ts_data[MAX_TIMESTAMP_TEXT];
	WbTextBuffer ts_buffer = {ts_data, 0, sizeof(ts_data)};
	WbSlice prefix = scheme->element_prefix;
	bool done;

	if (failed_part != NULL)
		*failed_part = -1;
	if (scheme->algorithm == WB_ALG_NONE)
		return false;
	if (scheme->algorithm == WB_ALG_TOKEN)
		return wb_text_sink(signature, prefix.data, prefix.len) &&
			   wb_text_sink(signature, (const char *) key->bytes, key->len);

	announce_signature(scheme, message);
	done = !scheme->has_timestamp || place_timestamp(scheme, message, ts, &ts_buffer, signature);
	done = done && compute_digest(scheme, key, message, digest, failed_part) &&
		   wb_text_sink(signature, prefix.data, prefix.len) &&
		   put_digest(scheme, digest, signature);
	OPENSSL_cleanse(digest, sizeof(digest));
	forget_signature(message);
	return done;
}

const char *
wb_verdict_text(WbVerdict verdict)
{
	static const char *const texts[] = {
		"signature verified",
		"nothing is signed",
		"no secret to verify with",
		"signature missing",
		"several different signatures",
		"signature malformed",
		"signed content incomplete",
		"signature does not match",
		"timestamp malformed",
		"timestamp outside the window",
	};

	if ((size_t) verdict >= sizeof(texts) / sizeof(texts[0]))
		return "unknown verdict";
	return texts[verdict];
}
