/*-------------------------------------------------------------------------
 *
 * signature.c
 *	  Signature schemes declared as data: verifying and signing.
 *
 * A scheme says where the signature is, how it is written, and by a template
 * what it covers.  Verifying reads the candidates, streams the template into
 * a digest and compares decoded bytes in constant time; signing goes the same
 * way in the other direction.  For asymmetric algorithms, of which Ed25519
 * passes twice over what it signs, the template is put together in memory.
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

#include "encoding.h"

/*
 * Elements that are decoded and compared.  Rotation makes two or three; a
 * sender who lists more than this gains nothing but our time, of which
 * verifying with a public key takes far more: each candidate costs a pass over
 * the whole body.
 */
#define MAX_CANDIDATES 16
#define MAX_PUBLIC_CANDIDATES 3

#define SHA256_LEN 32
#define MAX_BLOCK 128                     /* bytes of the longest digest block, SHA-512 */
#define END_OF_TIME INT64_C(253402300800) /* 10000-01-01, in Unix seconds */

typedef struct AlgorithmTraits
{
	const EVP_MD *(*digest)(void); /* NULL if signatures are not compared */
	size_t min_len;                /* bytes of a decoded signature */
	size_t max_len;
	bool is_hmac;
} AlgorithmTraits;

/*
 * In the order of WbAlgorithm.  Tokens are compared by their digests.  A DER
 * signature on P-256 is a sequence of two numbers of 1 to 33 bytes each.
 */
static const AlgorithmTraits algorithms[] = {
	{NULL, 0, 0, false},
	{EVP_sha256, 32, 32, false},
	{EVP_sha1, 20, 20, true},
	{EVP_sha256, 32, 32, true},
	{EVP_sha512, 64, 64, true},
	{EVP_sha256, 32, 32, false},
	{NULL, 64, 64, false},
	{NULL, 8, 72, false},
	{NULL, 256, WB_MAX_PUBLIC_SIGNATURE, false},
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
	EVP_PKEY *pkey; /* of asymmetric schemes, instead of inner and outer */
} PreparedKey;

typedef struct Candidate
{
	size_t len;
	unsigned char bytes[WB_MAX_PUBLIC_SIGNATURE];
} Candidate;

typedef struct Candidates
{
	int count;
	Candidate list[MAX_CANDIDATES];
} Candidates;

static const AlgorithmTraits *
traits_of(const WbScheme *scheme)
{
	return &algorithms[scheme->algorithm];
}

/* Decodes a signature; its length must be one that the algorithm makes. */
static bool
decode_candidate(const WbScheme *scheme, WbSlice text, Candidate *candidate)
{
	const AlgorithmTraits *traits = traits_of(scheme);
	WbEncoding encoding = scheme->encoding;
	bool decoded;

	if (encoding == WB_ENC_AUTO)
		encoding = text.len == 2 * traits->max_len ? WB_ENC_HEX : WB_ENC_BASE64;
	if (encoding == WB_ENC_HEX)
		decoded = wb_hex_decode(text, candidate->bytes, traits->max_len, &candidate->len);
	else
		decoded = wb_base64_decode(text, encoding == WB_ENC_BASE64URL, true,
								   candidate->bytes, traits->max_len, &candidate->len);
	return decoded && candidate->len >= traits->min_len;
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

/* Sets up the digests of a key whose bytes are there. */
static bool
prepare_digests(PreparedKey *prepared, const WbKey *key, const AlgorithmTraits *traits)
{
	prepared->inner = EVP_MD_CTX_new();
	prepared->outer = EVP_MD_CTX_new();
	if (prepared->inner == NULL || prepared->outer == NULL ||
		EVP_DigestInit_ex(prepared->inner, traits->digest(), NULL) != 1)
		return false;
	return !traits->is_hmac || prepare_hmac(prepared, traits->digest(), key);
}

/* Decodes a secret into the key's bytes; returns what is wrong with it or NULL. */
static const char *
decode_secret(WbKey *key, WbSecretEncoding encoding, WbSlice secret)
{
	static const char too_long[] = "The secret is longer than 512 bytes.";

	switch (encoding)
	{
		case WB_SECRET_HEX:
			if (secret.len > WB_MAX_TOKEN * 2)
				return too_long;
			if (!wb_hex_decode(secret, key->bytes, sizeof(key->bytes), &key->len))
				return "The secret is not hexadecimal.";
			break;
		case WB_SECRET_BASE64:
			if (secret.len > (WB_MAX_TOKEN + 2) / 3 * 4)
				return too_long;
			if (!wb_base64_decode(secret, false, false, key->bytes, sizeof(key->bytes), &key->len))
				return "The secret is not base64.";
			break;
		default:
			if (secret.len > WB_MAX_TOKEN)
				return too_long;
			memcpy(key->bytes, secret.data, secret.len);
			key->len = secret.len;
	}
	return key->len == 0 ? "The secret is empty." : NULL;
}

/* Cuts off the first of the scheme's prefixes that the secret begins with. */
static WbSlice
strip_prefix(const WbScheme *scheme, WbSlice secret)
{
	WbSlice prefixes = scheme->secret_prefixes;
	WbSlice prefix;

	while (wb_slice_next(&prefixes, ':', &prefix))
		if (prefix.len > 0 && secret.len >= prefix.len &&
			memcmp(secret.data, prefix.data, prefix.len) == 0)
			return wb_slice(secret.data + prefix.len, secret.len - prefix.len);
	return secret;
}

bool
wb_key_init(WbKey *key, const WbScheme *scheme, WbKeyUse use, WbSlice secret, const char **problem)
{
	PreparedKey *prepared = scheme->has_content ? OPENSSL_zalloc(sizeof(PreparedKey)) : NULL;
	bool done = !scheme->has_content;

	memset(key, 0, sizeof(*key));
	key->prepared = prepared;
	*problem = NULL;
	secret = strip_prefix(scheme, secret);
	if (secret.len == 0)
		*problem = "The secret is empty.";
	else if (!scheme->is_asymmetric)
		*problem = decode_secret(key, scheme->secret_encoding, secret);

	if (*problem == NULL && prepared != NULL)
	{
		prepared->work = EVP_MD_CTX_new();
		if (scheme->is_asymmetric)
			prepared->pkey = wb_public_key_read(scheme, use, secret, problem);
		done = prepared->work != NULL &&
			   (scheme->is_asymmetric ? prepared->pkey != NULL
									  : prepare_digests(prepared, key, traits_of(scheme)));
	}
	if (*problem == NULL && !done)
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
		/* libcrypto wipes the state of a digest and private keys when it frees them. */
		EVP_MD_CTX_free(prepared->inner);
		EVP_MD_CTX_free(prepared->outer);
		EVP_MD_CTX_free(prepared->work);
		EVP_PKEY_free(prepared->pkey);
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
			   EVP_DigestUpdate(work, digest, traits->max_len) == 1 &&
			   EVP_DigestFinal_ex(work, digest, NULL) == 1;
	if (!done)
		ERR_clear_error();
	return done;
}

/*
 * Puts the signed content of an asymmetric scheme together.  Returns bytes to
 * give to OPENSSL_clear_free(), or NULL if a placeholder cannot be resolved or
 * there is no memory.
 */
static char *
assemble_content(const WbScheme *scheme, const WbMessage *message, size_t *len, int *failed_part)
{
	WbTextBuffer content = {NULL, 0, 0};

	if (!wb_template_eval(&scheme->signed_content, message, wb_count_sink, &content.capacity, failed_part))
		return NULL;
	/* One byte more, because no bytes would be no memory. */
	content.data = OPENSSL_malloc(content.capacity + 1);
	if (content.data != NULL &&
		wb_template_eval(&scheme->signed_content, message, wb_text_sink, &content, failed_part))
	{
		*len = content.len;
		return content.data;
	}
	OPENSSL_clear_free(content.data, content.capacity + 1);
	ERR_clear_error();
	return NULL;
}

static bool
digest_sha256(WbSlice text, unsigned char *digest)
{
	if (EVP_Digest(text.data, text.len, digest, NULL, EVP_sha256(), NULL) == 1)
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
read_signature(const WbScheme *scheme, WbMessage *message, WbSignatureDetails *details)
{
	WbTextBuffer text = {details->signature, 0, sizeof(details->signature)};
	int count = wb_locator_count(&scheme->signature_from, message);
	bool fits;

	if (count != 1)
		return count == 0 ? WB_NO_SIGNATURE : WB_SEVERAL_SIGNATURES;
	fits = wb_part_eval(&scheme->signature_from, message, wb_text_sink, &text);
	details->signature_len = text.len;
	if (!fits)
		return WB_BAD_SIGNATURE;
	if (text.len == 0)
		return WB_NO_SIGNATURE;
	message->signature = wb_slice(text.data, text.len);
	return WB_VERIFIED;
}

static bool
read_candidate(const WbScheme *scheme, WbSlice text, Candidate *candidate)
{
	if (scheme->algorithm != WB_ALG_TOKEN)
		return decode_candidate(scheme, text, candidate);
	/* Comparing digests shows nothing of the lengths of two tokens. */
	candidate->len = SHA256_LEN;
	return digest_sha256(text, candidate->bytes);
}

/* Collects the elements that could be a signature of this scheme. */
static WbVerdict
collect_candidates(const WbScheme *scheme, WbSlice text, Candidates *candidates,
				   WbSignatureDetails *details)
{
	int max_count = scheme->is_asymmetric ? MAX_PUBLIC_CANDIDATES : MAX_CANDIDATES;
	WbSlice prefix = scheme->element_prefix;
	WbSlice element;

	while (candidates->count < max_count &&
		   wb_slice_next(&text, scheme->list_separator, &element))
	{
		element = wb_slice_trim_spaces(element);
		if (element.len <= prefix.len ||
			(prefix.len > 0 && memcmp(element.data, prefix.data, prefix.len) != 0))
			continue;
		element = wb_slice(element.data + prefix.len, element.len - prefix.len);
		details->elements++;
		if (read_candidate(scheme, element, &candidates->list[candidates->count]))
			candidates->count++;
	}
	details->candidates = candidates->count;
	if (candidates->count > 0)
		return WB_VERIFIED;
	return details->elements > 0 ? WB_BAD_SIGNATURE : WB_NO_SIGNATURE;
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

/*
 * Reads what a message says about its signature.  WB_VERIFIED here means that
 * there is something to verify.  The message points into the details until
 * forget_signature().
 */
static WbVerdict
read_evidence(const WbScheme *scheme, WbMessage *message, Candidates *candidates,
			  WbSignatureDetails *details)
{
	WbTextBuffer ts = {details->timestamp, 0, sizeof(details->timestamp)};
	WbVerdict verdict;
	bool has_ts = true;

	details->signature_len = 0;
	details->elements = 0;
	details->candidates = 0;
	details->has_time = false;
	candidates->count = 0;

	announce_signature(scheme, message);
	verdict = read_signature(scheme, message, details);
	if (verdict == WB_VERIFIED)
		verdict = collect_candidates(scheme, message->signature, candidates, details);
	if (scheme->has_timestamp)
		has_ts = read_timestamp(scheme, message, &ts);
	details->timestamp_len = ts.len;
	return verdict == WB_VERIFIED && !has_ts ? WB_UNRESOLVED : verdict;
}

/* Compares every candidate with what every key makes of the message. */
static WbVerdict
match_digests(const WbScheme *scheme, WbKey *const *keys, int key_count,
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
			done = digest_sha256(wb_slice((const char *) keys[i]->bytes, keys[i]->len), expected);
		if (!done)
			verdict = WB_UNRESOLVED;
		for (int j = 0; j < candidates->count && verdict == WB_MISMATCH; j++)
			if (CRYPTO_memcmp(expected, candidates->list[j].bytes, traits->max_len) == 0)
			{
				verdict = WB_VERIFIED;
				*matched = i;
			}
	}
	OPENSSL_cleanse(expected, sizeof(expected));
	return verdict;
}

/* Tries every public key on every candidate; what is signed is the same for all. */
static WbVerdict
match_public_keys(const WbScheme *scheme, WbKey *const *keys, int key_count,
				  const WbMessage *message, const Candidates *candidates, int *matched)
{
	WbVerdict verdict = WB_MISMATCH;
	size_t len;
	char *content = assemble_content(scheme, message, &len, NULL);

	if (content == NULL)
		return WB_UNRESOLVED;
	for (int i = 0; i < key_count && verdict == WB_MISMATCH; i++)
	{
		PreparedKey *prepared = keys[i]->prepared;

		for (int j = 0; j < candidates->count && verdict == WB_MISMATCH; j++)
			if (wb_public_key_verify(scheme, prepared->pkey, prepared->work, wb_slice(content, len),
									 candidates->list[j].bytes, candidates->list[j].len))
			{
				verdict = WB_VERIFIED;
				*matched = i;
			}
	}
	OPENSSL_clear_free(content, len + 1);
	return verdict;
}

/* Compares the body with the digest of it that an authentic message carries. */
static WbVerdict
check_body(const WbScheme *scheme, const WbMessage *message)
{
	char text_data[2 * WB_MAX_DIGEST];
	WbTextBuffer text = {text_data, 0, sizeof(text_data)};
	unsigned char claimed[SHA256_LEN];
	unsigned char actual[SHA256_LEN];
	size_t len;

	if (wb_locator_count(&scheme->body_digest_from, message) != 1 ||
		!wb_part_eval(&scheme->body_digest_from, message, wb_text_sink, &text) ||
		!wb_hex_decode(wb_slice(text.data, text.len), claimed, sizeof(claimed), &len) ||
		len != sizeof(claimed) || !digest_sha256(message->body, actual))
		return WB_BODY_CHANGED;
	return CRYPTO_memcmp(claimed, actual, sizeof(actual)) == 0 ? WB_VERIFIED : WB_BODY_CHANGED;
}

static void
parse_time(const WbScheme *scheme, WbSignatureDetails *details)
{
	details->has_time = wb_time_parse(wb_slice(details->timestamp, details->timestamp_len),
									  scheme->timestamp_format, &details->signed_at_us);
}

/* Judges an authentic message by its age.  The window is symmetric. */
static WbVerdict
check_window(const WbScheme *scheme, WbSignatureDetails *details, int64_t now_ms)
{
	int64_t tolerance_s = scheme->tolerance_s;
	int64_t distance_us;

	parse_time(scheme, details);
	if (!details->has_time)
		return WB_BAD_TIMESTAMP;
	/* A caller's clock may say anything, also infinity: keep within range. */
	if (now_ms < 0)
		now_ms = 0;
	if (now_ms > END_OF_TIME * 1000)
		now_ms = END_OF_TIME * 1000;
	if (tolerance_s > END_OF_TIME)
		tolerance_s = END_OF_TIME;
	distance_us = now_ms * 1000 - details->signed_at_us;
	if (distance_us < 0)
		distance_us = -distance_us;
	return distance_us <= tolerance_s * 1000000 ? WB_VERIFIED : WB_STALE;
}

/* Judges a message of which read_evidence() found something to verify. */
static WbVerdict
judge(const WbScheme *scheme, WbKey *const *keys, int key_count, WbMessage *message, int64_t now_ms,
	  const Candidates *candidates, WbSignatureDetails *details, int *matched)
{
	WbVerdict verdict;

	if (scheme->is_asymmetric)
		verdict = match_public_keys(scheme, keys, key_count, message, candidates, matched);
	else
		verdict = match_digests(scheme, keys, key_count, message, candidates, matched);
	if (verdict == WB_VERIFIED && scheme->has_body_digest)
		verdict = check_body(scheme, message);
	if (verdict == WB_VERIFIED && scheme->has_timestamp && scheme->tolerance_s >= 0)
		verdict = check_window(scheme, details, now_ms);
	return verdict;
}

WbVerdict
wb_signature_verify(const WbScheme *scheme, WbKey *const *keys, int key_count,
					WbMessage *message, int64_t now_ms, int *matched)
{
	WbSignatureDetails details; /* set as far as it is needed */
	Candidates candidates;
	WbVerdict verdict;
	int key_index = -1;

	if (matched != NULL)
		*matched = -1;
	if (scheme->algorithm == WB_ALG_NONE)
		return WB_UNSIGNED;
	if (key_count <= 0)
		return WB_NO_SECRET;

	verdict = read_evidence(scheme, message, &candidates, &details);
	if (verdict == WB_VERIFIED)
		verdict = judge(scheme, keys, key_count, message, now_ms, &candidates, &details, &key_index);
	if (matched != NULL)
		*matched = key_index;

	/* What the message pointed to ends with this function. */
	forget_signature(message);
	return verdict;
}

static bool
put_signature(const WbScheme *scheme, const unsigned char *bytes, size_t len, WbTextBuffer *out)
{
	if (!wb_text_sink(out, scheme->element_prefix.data, scheme->element_prefix.len))
		return false;
	if (scheme->encoding == WB_ENC_HEX || scheme->encoding == WB_ENC_AUTO)
		return wb_hex_put(out, bytes, len);
	return wb_base64_put(out, bytes, len, scheme->encoding == WB_ENC_BASE64URL);
}

/* Writes down the element that would have been right. */
static void
describe_expected(const WbScheme *scheme, WbKey *key, WbMessage *message, WbSignatureDetails *details)
{
	WbTextBuffer text = {details->expected, 0, sizeof(details->expected)};
	unsigned char digest[WB_MAX_DIGEST];

	if (compute_digest(scheme, key, message, digest, NULL) &&
		put_signature(scheme, digest, traits_of(scheme)->max_len, &text))
		details->expected_len = text.len;
	OPENSSL_cleanse(digest, sizeof(digest));
}

/* Evaluates the signed content without the secret, once to see whether it can be. */
static void
describe_content(const WbScheme *scheme, WbMessage *message, WbSink sink, void *arg,
				 WbSignatureDetails *details)
{
	size_t len = 0;

	message->secret = wb_slice_cstring("***");
	(void) wb_template_eval(&scheme->signed_content, message, wb_count_sink, &len, &details->failed_part);
	(void) wb_template_eval(&scheme->signed_content, message, sink, arg, NULL);
	message->secret = wb_slice(NULL, 0);
}

WbVerdict
wb_signature_explain(const WbScheme *scheme, WbKey *key, WbMessage *message, int64_t now_ms,
					 WbSink content_sink, void *content_arg, WbSignatureDetails *details)
{
	Candidates candidates;
	WbVerdict verdict;
	int matched;

	memset(details, 0, sizeof(*details));
	details->failed_part = -1;
	if (scheme->algorithm == WB_ALG_NONE)
		return WB_UNSIGNED;

	verdict = read_evidence(scheme, message, &candidates, details);
	if (key == NULL)
		verdict = WB_NO_SECRET;
	else if (verdict == WB_VERIFIED)
		verdict = judge(scheme, &key, 1, message, now_ms, &candidates, details, &matched);

	if (message->has_ts)
		parse_time(scheme, details);
	if (scheme->has_content)
		describe_content(scheme, message, content_sink, content_arg, details);
	if (key != NULL && scheme->has_content && !scheme->is_asymmetric)
		describe_expected(scheme, key, message, details);
	forget_signature(message);
	return verdict;
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

/* Appends the signature of a message that place_timestamp() has completed. */
static bool
sign_content(const WbScheme *scheme, WbKey *key, WbMessage *message,
			 WbTextBuffer *signature, int *failed_part)
{
	PreparedKey *prepared = key->prepared;
	unsigned char bytes[WB_MAX_PUBLIC_SIGNATURE];
	size_t len = traits_of(scheme)->max_len;
	size_t content_len;
	char *content;
	bool done;

	if (!scheme->is_asymmetric)
		done = compute_digest(scheme, key, message, bytes, failed_part);
	else
	{
		content = assemble_content(scheme, message, &content_len, failed_part);
		if (content == NULL)
			return false;
		done = wb_public_key_sign(scheme, prepared->pkey, prepared->work,
								  wb_slice(content, content_len), bytes, &len);
		OPENSSL_clear_free(content, content_len + 1);
	}
	done = done && put_signature(scheme, bytes, len, signature);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return done;
}

bool
wb_signature_sign(const WbScheme *scheme, WbKey *key, WbMessage *message,
				  WbSlice ts, WbTextBuffer *signature, int *failed_part)
{
	char ts_data[WB_MAX_TIMESTAMP_TEXT];
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
	done = done && sign_content(scheme, key, message, signature, failed_part);
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
		"body does not match its digest",
		"timestamp malformed",
		"timestamp outside the window",
	};

	if ((size_t) verdict >= sizeof(texts) / sizeof(texts[0]))
		return "unknown verdict";
	return texts[verdict];
}
