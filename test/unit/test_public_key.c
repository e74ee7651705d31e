/*-------------------------------------------------------------------------
 *
 * test_public_key.c
 *	  Unit tests of public_key.c, through signature.c.
 *
 * Vectors of four vendors; round trips with keys made here; then what people
 * give as a key although it is none, or not the right one.
 *
 *-------------------------------------------------------------------------
 */
#include "encoding.h"
#include "signature.h"
#include "unit.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* A scheme and one delivery, in the words of a row and a request. */
typedef struct Sample
{
	const char *algorithm;
	const char *encoding;
	const char *signature_from;
	const char *list_separator;
	const char *element_prefix;
	const char *signed_content;
	const char *secret_encoding;
	const char *timestamp_from;
	const char *timestamp_format;
	const char *secret;
	int64_t now_s;
	const char *body;
	const char *headers[6]; /* the signature's is the first */
} Sample;

static const Sample discord = {
	"ed25519", "hex", "header:X-Signature-Ed25519", "", "", "{ts}{body}", "hex", "header:X-Signature-Timestamp", "s", "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c", 1700000002, "{\"type\":1}", {"X-Signature-Ed25519", "f7caed702889e902c2cde4a4fb00f601284aa47ff4caf84588d7c8c3d8fe7183fd73e13e30d0c07d1515b6684f7b3cfaa231c421768d9667b104f760cf0da302", "X-Signature-Timestamp", "1700000000", NULL, NULL}};

#define V1A "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="

static const Sample standard_webhooks = {
	"ed25519", "base64", "header:webhook-signature", " ", "v1a,", "{header:webhook-id}.{ts}.{body}", "base64:whpk_:whsk_", "header:webhook-timestamp", "s", "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", 1614265335, "{\"test\": 2432232314}", {"webhook-signature", V1A, "webhook-timestamp", "1614265330", "webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"}};

static const Sample sendgrid = {
	"ecdsa-p256-sha256", "base64", "header:X-Twilio-Email-Event-Webhook-Signature", "", "", "{ts}{body}", "spki", "header:X-Twilio-Email-Event-Webhook-Timestamp", "s", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==", 1600112510, "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\","
																																																																													"\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n",
	{"X-Twilio-Email-Event-Webhook-Signature", "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=", "X-Twilio-Email-Event-Webhook-Timestamp", "1600112502", NULL, NULL}};

static const Sample paypal = {
	"rsa-sha256", "base64", "header:PAYPAL-TRANSMISSION-SIG", "", "", "{header:PAYPAL-TRANSMISSION-ID}|{ts}|{param:webhook_id}|{body_crc32}", "pem", "header:PAYPAL-TRANSMISSION-TIME", "iso8601", "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2hHsG5E2szzeRflAWCEj\no5ZojvAOKvPwnvNGAb566gGMnCAMNusKM68eFzlS7i/X7L+OqiL7FFt5+Gt92NOs\n"
																																																   "vQQ5/JUNAIwSWohbZGkBMsL61md+OJTaGS7pG6MpXHZdtXmi5FEl2KBnhP5tkign\n/CYeJcXMpmPJDIEkp8xumD/weDmdbQt7/FO2ZpHaOWMWZFlf7uRAbomXFSaYHqOq\n"
																																																   "sWSv5q0YiNTuOwzHOQTxSoAdoTlWnh7RR0hbQ8XmB8n9qG216wXnVaRO/4121NJC\nNfffEgbDL1+R4CC4xZZ6gkeU6IQgV1nBLOvze+C42Vg5CWFDGwaeaH3w5gF4ixGu\nPQIDAQAB\n-----END PUBLIC KEY-----\n",
	1455825700,
	"{\"id\":\"WH-1\",\"event_type\":\"PAYMENT.CAPTURE.COMPLETED\"}",
	{"PAYPAL-TRANSMISSION-SIG", "JJDwd/d5FWov5MysY27f/BVuIVJEzl6ys6nYSvX7/WGdtqyFLUWgNrcdp8lGP/DIl7wBUwAPHl1Y45V5ZnhzT25Qe+knuViLNiAbHB6fDxWpaoyv61ZooOb0tjnVju+24kRuB6xbBQpyDgHG10F2bXg2HkC4xfTp/stdV575Kd8X6pD9fk/Nq8+j4/oNVvD3oqmSdq4XePFKNOjiBMmXjpESi0fDLjNt4ZNcopwnHuplSNMMS+OnCGzP2MViuaGZCh1k6pqDZaNScoc9XdRBpRI4iL+KbQg8VVD0n4uwes3CacxUT2/iQdBdZ54jwMZHQcdA1eZ6QOw7BZwVCnEtEw==", "PAYPAL-TRANSMISSION-TIME", "2016-02-18T20:01:35Z", "PAYPAL-TRANSMISSION-ID", "69cd13f0-d67a-11e5-baa3-778b53f4ae55"}};

static const WbParam webhook_id = {{"webhook_id", 10}, {"0EH40505U7160970P", 17}};

static WbScheme
scheme_of(const Sample *sample)
{
	WbSchemeText text = {
		.algorithm = wb_slice_cstring(sample->algorithm),
		.encoding = wb_slice_cstring(sample->encoding),
		.signature_from = wb_slice_cstring(sample->signature_from),
		.list_separator = wb_slice_cstring(sample->list_separator),
		.element_prefix = wb_slice_cstring(sample->element_prefix),
		.signed_content = wb_slice_cstring(sample->signed_content),
		.secret_encoding = wb_slice_cstring(sample->secret_encoding),
		.timestamp_from = wb_slice_cstring(sample->timestamp_from),
		.timestamp_format = wb_slice_cstring(sample->timestamp_format),
		.tolerance_s = sample->timestamp_from[0] != '\0' ? 300 : -1};
	WbColumnError error = {"none", "none"};
	WbScheme scheme;

	CHECK(wb_scheme_parse(&text, &scheme, &error));
	return scheme;
}

/* Fills in a message; headers has room for three. */
static WbMessage
message_of(const Sample *sample, WbHeader *headers)
{
	WbMessage message = {.method = {"POST", 4}, .headers = headers, .params = &webhook_id, .param_count = 1};

	message.body = wb_slice_cstring(sample->body);
	for (int i = 0; i < 6 && sample->headers[i] != NULL; i += 2)
	{
		headers[i / 2].name = wb_slice_cstring(sample->headers[i]);
		headers[i / 2].value = wb_slice_cstring(sample->headers[i + 1]);
		message.header_count++;
	}
	return message;
}

static WbVerdict
verify(const Sample *sample)
{
	WbScheme scheme = scheme_of(sample);
	WbHeader headers[3];
	WbMessage message = message_of(sample, headers);
	WbKey key;
	WbKey *keys[] = {&key};
	const char *problem = NULL;
	WbVerdict verdict;
	int matched = 7;

	if (!CHECK(wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_slice_cstring(sample->secret), &problem)))
	{
		CHECK_STR(problem, "");
		return WB_NO_SECRET;
	}
	CHECK_INT(ERR_peek_error(), 0);
	verdict = wb_signature_verify(&scheme, keys, 1, &message, sample->now_s * 1000, &matched);
	CHECK_INT(ERR_peek_error(), 0);
	CHECK_INT(matched, verdict == WB_VERIFIED || verdict == WB_STALE ? 0 : -1);
	/* a second time with the same key, whose state was used */
	CHECK_INT(wb_signature_verify(&scheme, keys, 1, &message, sample->now_s * 1000, NULL), verdict);
	wb_key_clear(&key);
	return verdict;
}

/* Signs a sample with a private key into a terminated text. */
static bool
sign(const Sample *sample, const char *private_key, char *out, size_t size)
{
	WbScheme scheme = scheme_of(sample);
	WbHeader headers[3];
	WbMessage message = message_of(sample, headers);
	WbTextBuffer buffer = {out, 0, size - 1};
	WbKey key;
	const char *problem;
	bool done;

	if (!CHECK(wb_key_init(&key, &scheme, WB_KEY_SIGN, wb_slice_cstring(private_key), &problem)))
		return false;
	done = wb_signature_sign(&scheme, &key, &message, wb_slice_cstring("1700000000"), &buffer, NULL);
	CHECK_INT(ERR_peek_error(), 0);
	out[buffer.len] = '\0';
	wb_key_clear(&key);
	return done;
}

static void
test_vectors(void)
{
	Sample sample = paypal;

	CHECK_INT(verify(&discord), WB_VERIFIED);
	CHECK_INT(verify(&standard_webhooks), WB_VERIFIED);
	CHECK_INT(verify(&sendgrid), WB_VERIFIED);
	CHECK_INT(verify(&paypal), WB_VERIFIED);
	sample.now_s += 301;
	CHECK_INT(verify(&sample), WB_STALE);
	sample.signed_content = "{header:PAYPAL-TRANSMISSION-ID}|{ts}|0EH40505U7160970X|{body_crc32}";
	CHECK_INT(verify(&sample), WB_MISMATCH);
	sample.signed_content = "{header:PAYPAL-TRANSMISSION-ID}|{ts}|{param:other}|{body_crc32}";
	CHECK_INT(verify(&sample), WB_UNRESOLVED);

	sample = standard_webhooks;
	sample.headers[1] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= " V1A;
	CHECK_INT(verify(&sample), WB_VERIFIED);
	sample.headers[1] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
	CHECK_INT(verify(&sample), WB_NO_SIGNATURE);
	sample.headers[1] = "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
	CHECK_INT(verify(&sample), WB_BAD_SIGNATURE);
	sample.headers[1] = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAgA=";
	CHECK_INT(verify(&sample), WB_BAD_SIGNATURE);
}

/* Each single change of a delivery makes it a wrong one. */
static void
test_changes(void)
{
	const Sample *samples[] = {&discord, &standard_webhooks, &sendgrid, &paypal};

	for (int i = 0; i < LENGTH_OF(samples); i++)
	{
		Sample sample = *samples[i];
		size_t prefix_len = strlen(sample.element_prefix);
		unsigned char bytes[512];
		char changed[1024];
		size_t len = 0;
		WbSlice text = wb_slice_cstring(sample.headers[1] + prefix_len);

		CHECK(strcmp(sample.encoding, "hex") == 0 ? wb_hex_decode(text, bytes, sizeof(bytes), &len)
												  : wb_base64_decode(text, false, true, bytes, sizeof(bytes), &len));
		CHECK(len >= 64);
		sample.headers[1] = changed;
		for (size_t at = 0; at < 8 * len; at++)
		{
			WbTextBuffer buffer = {changed, prefix_len, sizeof(changed)};

			unit_case("bit %zu of the signature of %s", at, sample.signature_from);
			memcpy(changed, sample.element_prefix, prefix_len);
			bytes[at / 8] ^= (unsigned char) (1 << at % 8);
			CHECK(strcmp(sample.encoding, "hex") == 0 ? wb_hex_put(&buffer, bytes, len)
													  : wb_base64_put(&buffer, bytes, len, false));
			changed[buffer.len] = '\0';
			CHECK_INT(verify(&sample), WB_MISMATCH);
			bytes[at / 8] ^= (unsigned char) (1 << at % 8);
		}
		sample = *samples[i];
		sample.body = changed;
		for (size_t at = 0; at < strlen(samples[i]->body); at++)
		{
			unit_case("byte %zu of the body of %s", at, sample.signature_from);
			snprintf(changed, sizeof(changed), "%s", samples[i]->body);
			changed[at] ^= 1;
			CHECK_INT(verify(&sample), WB_MISMATCH);
		}
		changed[0] = '\0';
		CHECK_INT(verify(&sample), WB_MISMATCH);
	}
}

/* Keys of all kinds, made once. */
typedef struct Keys
{
	EVP_PKEY *ed25519;
	EVP_PKEY *p256;
	EVP_PKEY *other_p256;
	EVP_PKEY *p384;
	EVP_PKEY *rsa;
	EVP_PKEY *small_rsa;
} Keys;

static Keys made;

static void
make_keys(void)
{
	made.ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	made.p256 = EVP_EC_gen("P-256");
	made.other_p256 = EVP_EC_gen("P-256");
	made.p384 = EVP_EC_gen("P-384");
	made.rsa = EVP_RSA_gen((size_t) 2048);
	made.small_rsa = EVP_RSA_gen((size_t) 1024);
	ERR_clear_error();
}

static void
free_keys(void)
{
	EVP_PKEY_free(made.ed25519);
	EVP_PKEY_free(made.p256);
	EVP_PKEY_free(made.other_p256);
	EVP_PKEY_free(made.p384);
	EVP_PKEY_free(made.rsa);
	EVP_PKEY_free(made.small_rsa);
}

/* Takes what was written to a BIO as a terminated text, to be freed. */
static char *
take_text(BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);
	char *text = calloc(1, (size_t) len + 1);

	memcpy(text, data, (size_t) len);
	BIO_free(bio);
	return text;
}

static char *
base64_text(unsigned char *der, int len)
{
	char *text = calloc(1, (size_t) len * 2 + 8);
	WbTextBuffer buffer = {text, 0, (size_t) len * 2 + 4};

	CHECK(wb_base64_put(&buffer, der, (size_t) len, false));
	OPENSSL_free(der);
	return text;
}

static char *
public_pem(EVP_PKEY *pkey)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PUBKEY(bio, pkey);
	return take_text(bio);
}

static char *
private_pem(EVP_PKEY *pkey, const EVP_CIPHER *cipher)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PKCS8PrivateKey(bio, pkey, cipher, cipher ? "pass" : NULL, cipher ? 4 : 0, NULL, NULL);
	return take_text(bio);
}

static char *
old_private_pem(EVP_PKEY *pkey, const EVP_CIPHER *cipher)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PrivateKey_traditional(bio, pkey, cipher, (const unsigned char *) (cipher ? "pass" : NULL),
										 cipher ? 4 : 0, NULL, NULL);
	return take_text(bio);
}

static char *
public_der(EVP_PKEY *pkey)
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(pkey, &der);

	return base64_text(der, len);
}

static char *
private_der(EVP_PKEY *pkey)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
	unsigned char *der = NULL;
	int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);

	PKCS8_PRIV_KEY_INFO_free(info);
	return base64_text(der, len);
}

/* A certificate that nobody vouches for and that has expired long ago. */
static char *
certificate_pem(EVP_PKEY *pkey, EVP_PKEY *issuer)
{
	BIO *bio = BIO_new(BIO_s_mem());
	X509 *certificate = X509_new();

	X509_gmtime_adj(X509_getm_notBefore(certificate), -86400L * 300);
	X509_gmtime_adj(X509_getm_notAfter(certificate), -86400L * 200);
	X509_set_pubkey(certificate, pkey);
	X509_sign(certificate, issuer, EVP_sha256());
	PEM_write_bio_X509(bio, certificate);
	X509_free(certificate);
	return take_text(bio);
}

static const Sample made_here = {
	"rsa-sha256", "base64", "header:X-Signature", ",", "v=", "{body}", "pem", "", "", "", 1700000000, "some body", {"X-Signature", "", NULL, NULL, NULL, NULL}};

/* Signs with one text of a key and verifies with another, in each encoding. */
static void
check_round_trip(const char *algorithm, const char *secret_encoding, const char *private_key, const char *public_key)
{
	static const char *const encodings[] = {"hex", "base64", "base64url", "auto"};
	Sample sample = made_here;
	char signature[2200];

	sample.algorithm = algorithm;
	sample.secret_encoding = secret_encoding;
	for (int i = 0; i < (strcmp(algorithm, "ed25519") == 0 ? 4 : 3); i++)
	{
		unit_case("%s, %s, %s", algorithm, secret_encoding, encodings[i]);
		sample.encoding = encodings[i];
		sample.secret = public_key;
		sample.headers[1] = signature;
		/* the lengths of ECDSA's signatures differ from one to the next */
		for (int j = 0; j < 20; j++)
		{
			CHECK(sign(&sample, private_key, signature, sizeof(signature)));
			CHECK_INT(verify(&sample), WB_VERIFIED);
		}
		for (size_t size = 1; size <= strlen(signature); size += 7)
			CHECK(!sign(&sample, private_key, signature, size));
		CHECK(sign(&sample, private_key, signature, sizeof(signature)));
		sample.body = "some bodY";
		CHECK_INT(verify(&sample), WB_MISMATCH);
		sample.body = "";
		CHECK_INT(verify(&sample), WB_MISMATCH);
		CHECK(sign(&sample, private_key, signature, sizeof(signature)));
		CHECK_INT(verify(&sample), WB_VERIFIED);
		sample.body = made_here.body;
	}
}

static void
test_round_trips(void)
{
	static const char *const algorithms[] = {"ed25519", "ecdsa-p256-sha256", "rsa-sha256"};
	EVP_PKEY *pkeys[] = {made.ed25519, made.p256, made.rsa};

	for (int i = 0; i < 3; i++)
	{
		char *private_key = private_pem(pkeys[i], NULL);
		char *public_key = public_pem(pkeys[i]);
		char *certificate = certificate_pem(pkeys[i], made.p256);

		check_round_trip(algorithms[i], "pem", private_key, public_key);
		check_round_trip(algorithms[i], "pem", private_key, certificate);
		free(private_key);
		free(public_key);
		free(certificate);
		private_key = private_der(pkeys[i]);
		public_key = public_der(pkeys[i]);
		check_round_trip(algorithms[i], "spki", private_key, public_key);
		check_round_trip(algorithms[i], "spki:k_", private_key, public_key);
		free(private_key);
		free(public_key);
		if (i > 0)
		{
			private_key = old_private_pem(pkeys[i], NULL);
			public_key = public_pem(pkeys[i]);
			check_round_trip(algorithms[i], "pem", private_key, public_key);
			free(private_key);
			free(public_key);
		}
	}
}

/* Says what is wrong with a key, "" if nothing is. */
static const char *
problem_of(const char *algorithm, const char *secret_encoding, WbKeyUse use, WbSlice text)
{
	Sample sample = made_here;
	WbScheme scheme;
	WbKey key;
	const char *problem = "";
	bool done;

	sample.algorithm = algorithm;
	sample.secret_encoding = secret_encoding;
	scheme = scheme_of(&sample);
	text.data = guarded(text.data, text.len);
	done = wb_key_init(&key, &scheme, use, text, &problem);
	CHECK_INT(ERR_peek_error(), 0);
	CHECK(done == (problem == NULL));
	CHECK(done == (key.prepared != NULL));
	CHECK_INT(key.len, 0);
	wb_key_clear(&key);
	guarded_free((char *) text.data);
	return problem ? problem : "";
}

#define NOT_PEM "It is not PEM, which has lines from -----BEGIN to -----END."
#define NOT_SPKI "It is not base64 of a public key (SubjectPublicKeyInfo)."
#define GIVE_PUBLIC "It is a private key; give the public key, which is all that verifying needs."
#define GIVE_PRIVATE "It is a public key; signing needs the private key."
#define DAMAGED "What the PEM contains is damaged, or a key of an unknown type."

/* Checks what is said of a text, which is freed. */
static void
check_key(const char *algorithm, const char *secret_encoding, WbKeyUse use, char *text, const char *problem)
{
	unit_case("%s, %s, %s", algorithm, secret_encoding, text);
	CHECK_STR(problem_of(algorithm, secret_encoding, use, wb_slice_cstring(text)), problem);
	free(text);
}

static char *
joined(const char *a, char *b, const char *c)
{
	char *text = calloc(1, strlen(a) + strlen(b) + strlen(c) + 1);

	sprintf(text, "%s%s%s", a, b, c);
	free(b);
	return text;
}

static void
test_kinds_of_keys(void)
{
	static const char not_ed25519[] = "It is not an Ed25519 key.";
	static const char not_p256[] = "It is not an elliptic curve key on P-256 (prime256v1).";
	static const char not_rsa[] = "It is not an RSA key.";
	static const char not_long[] = "It is not between 2048 and 8192 bits long.";

	check_key("ed25519", "pem", WB_KEY_VERIFY, public_pem(made.p256), not_ed25519);
	check_key("ed25519", "pem", WB_KEY_VERIFY, public_pem(made.rsa), not_ed25519);
	check_key("ed25519", "spki", WB_KEY_VERIFY, public_der(made.p256), not_ed25519);
	check_key("ed25519", "pem", WB_KEY_SIGN, private_pem(made.rsa, NULL), not_ed25519);
	check_key("ecdsa-p256-sha256", "pem", WB_KEY_VERIFY, public_pem(made.ed25519), not_p256);
	check_key("ecdsa-p256-sha256", "pem", WB_KEY_VERIFY, public_pem(made.p384), not_p256);
	check_key("ecdsa-p256-sha256", "pem", WB_KEY_VERIFY, public_pem(made.rsa), not_p256);
	check_key("ecdsa-p256-sha256", "spki", WB_KEY_VERIFY, public_der(made.p384), not_p256);
	check_key("ecdsa-p256-sha256", "pem", WB_KEY_SIGN, private_pem(made.p384, NULL), not_p256);
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, public_pem(made.p256), not_rsa);
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, certificate_pem(made.ed25519, made.p256), not_rsa);
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, public_pem(made.small_rsa), not_long);
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, certificate_pem(made.small_rsa, made.rsa), not_long);
	check_key("rsa-sha256", "spki", WB_KEY_SIGN, private_der(made.small_rsa), not_long);

	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, private_pem(made.rsa, NULL), GIVE_PUBLIC);
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, old_private_pem(made.rsa, NULL), GIVE_PUBLIC);
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, private_pem(made.rsa, EVP_aes_128_cbc()), GIVE_PUBLIC);
	check_key("ecdsa-p256-sha256", "pem", WB_KEY_VERIFY, old_private_pem(made.p256, NULL), GIVE_PUBLIC);
	check_key("ecdsa-p256-sha256", "spki", WB_KEY_VERIFY, private_der(made.p256), GIVE_PUBLIC);
	check_key("rsa-sha256", "pem", WB_KEY_SIGN, public_pem(made.rsa), GIVE_PRIVATE);
	check_key("rsa-sha256", "pem", WB_KEY_SIGN, certificate_pem(made.rsa, made.p256), GIVE_PRIVATE);
	check_key("rsa-sha256", "spki", WB_KEY_SIGN, public_der(made.rsa), GIVE_PRIVATE);
	check_key("rsa-sha256", "pem", WB_KEY_SIGN, private_pem(made.rsa, EVP_aes_128_cbc()),
			  "The private key is encrypted; give it without a passphrase.");
	check_key("rsa-sha256", "pem", WB_KEY_SIGN, old_private_pem(made.rsa, EVP_aes_128_cbc()),
			  "The private key is encrypted; give it without a passphrase.");
}

static char *
rsa_public_pem(EVP_PKEY *pkey)
{
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char *der = NULL;
	int len = i2d_PublicKey(pkey, &der);

	PEM_write_bio(bio, "RSA PUBLIC KEY", "", der, len);
	OPENSSL_free(der);
	return take_text(bio);
}

static char *
with_crlf(char *text)
{
	char *out = calloc(2, strlen(text) + 1);
	size_t len = 0;

	for (const char *at = text; *at != '\0'; at++)
	{
		if (*at == '\n')
			out[len++] = '\r';
		out[len++] = *at;
	}
	free(text);
	return out;
}

/* What surrounds a key in the files that people have. */
static void
test_key_files(void)
{
	char *chain;

	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, rsa_public_pem(made.rsa), "");
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, with_crlf(public_pem(made.rsa)), "");
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, joined(" \r\n\t", public_pem(made.rsa), "\n\n \t "), "");
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, joined("Key of PayPal\n", public_pem(made.rsa), "until 2030"), "");
	check_key("rsa-sha256", "spki", WB_KEY_VERIFY, joined("\n", public_der(made.rsa), " \r\n"), "");
	check_key("rsa-sha256", "pem:k_", WB_KEY_VERIFY, joined("k_", public_pem(made.rsa), ""), "");
	check_key("ecdsa-p256-sha256", "pem", WB_KEY_SIGN,
			  joined("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", old_private_pem(made.p256, NULL), ""), "");
	check_key("ecdsa-p256-sha256", "pem", WB_KEY_VERIFY,
			  joined("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", calloc(1, 1), ""), NOT_PEM);

	/* of a chain it is the first certificate that counts */
	chain = certificate_pem(made.rsa, made.p256);
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, joined(chain, certificate_pem(made.p256, made.p256), ""), "");
	check_key("rsa-sha256", "pem", WB_KEY_VERIFY, joined("", certificate_pem(made.p256, made.p256), chain), "It is not an RSA key.");
	free(chain);
}

typedef struct GarbageCase
{
	const char *algorithm;
	const char *secret_encoding;
	const char *text;
	const char *problem;
} GarbageCase;

static const GarbageCase garbage_cases[] = {
	{"rsa-sha256", "pem", "", "The secret is empty."},
	{"rsa-sha256", "pem", " \n", NOT_PEM},
	{"rsa-sha256", "pem", "secret", NOT_PEM},
	{"rsa-sha256", "pem", "-----BEGIN PUBLIC KEY-----", NOT_PEM},
	{"rsa-sha256", "pem", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", NOT_PEM},
	{"rsa-sha256", "pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", DAMAGED},
	{"rsa-sha256", "pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END CERTIFICATE-----", NOT_PEM},
	{"rsa-sha256", "pem", "-----BEGIN PUBLIC KEY-----\n????\n-----END PUBLIC KEY-----", NOT_PEM},
	{"rsa-sha256", "pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", DAMAGED},
	{"rsa-sha256", "pem", "-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----", DAMAGED},
	{"rsa-sha256", "pem", "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----", "It is PEM, but neither a key nor a certificate."},
	{"rsa-sha256", "pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", GIVE_PUBLIC},
	{"rsa-sha256", "spki", "", "The secret is empty."},
	{"rsa-sha256", "spki", " ", NOT_SPKI},
	{"rsa-sha256", "spki", "AAAA", NOT_SPKI},
	{"rsa-sha256", "spki", "AAAA AAAA", "It is not base64."},
	{"rsa-sha256", "spki", "-----BEGIN PUBLIC KEY-----", "It is not base64."},
	{"ed25519", "hex", "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c", ""},
	{"ed25519", "hex", "EA4A6C63E29C520ABEF5507B132EC5F9954776AEBEBE7B92421EEA691446D22C\n", ""},
	{"ed25519", "hex", "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d2", "It is not the 32 bytes of an Ed25519 public key."},
	{"ed25519", "hex", "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22cff", "It is not the 32 bytes of an Ed25519 public key."},
	{"ed25519", "hex", "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22g", "It is not the 32 bytes of an Ed25519 public key."},
	{"ed25519", "hex", "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22cea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c", GIVE_PUBLIC},
	{"ed25519", "base64:whpk_:whsk_", "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", ""},
	{"ed25519", "base64:whpk_:whsk_", "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4", ""},
	{"ed25519", "base64", "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "It is not the 32 bytes of an Ed25519 public key."},
};

static void
test_garbage(void)
{
	char *text = calloc(1, 9000);
	char *pem = public_pem(made.rsa);
	char *der = public_der(made.p256);

	for (int i = 0; i < LENGTH_OF(garbage_cases); i++)
	{
		const GarbageCase *garbage_case = &garbage_cases[i];

		unit_case("%s, %s, %s", garbage_case->algorithm, garbage_case->secret_encoding, garbage_case->text);
		CHECK_STR(problem_of(garbage_case->algorithm, garbage_case->secret_encoding, WB_KEY_VERIFY,
							 wb_slice_cstring(garbage_case->text)),
				  garbage_case->problem);
	}

	/* a key can stand in 8192 bytes */
	memset(text, '\n', 8999);
	memset(text, 'x', 8192 - strlen(pem) - 1);
	memcpy(text + 8192 - strlen(pem), pem, strlen(pem) - 1);
	CHECK_STR(problem_of("rsa-sha256", "pem", WB_KEY_VERIFY, wb_slice(text, 8192)), "");
	text[8192] = 'x';
	CHECK_STR(problem_of("rsa-sha256", "pem", WB_KEY_VERIFY, wb_slice(text, 8193)), "The key is longer than 8192 bytes.");

	for (size_t len = 1; len + 2 < strlen(pem); len++)
	{
		unit_case("%zu bytes of PEM", len);
		CHECK(problem_of("rsa-sha256", "pem", WB_KEY_VERIFY, wb_slice(pem, len))[0] != '\0');
	}
	for (size_t len = 1; len < strlen(der) - 2; len++)
	{
		unit_case("%zu bytes of DER", len);
		CHECK(problem_of("ecdsa-p256-sha256", "spki", WB_KEY_VERIFY, wb_slice(der, len))[0] != '\0');
	}
	/* whatever comes of it, it is read within bounds and leaves no error behind */
	for (size_t at = 0; at < strlen(der); at++)
	{
		der[at] ^= 1;
		(void) problem_of("ecdsa-p256-sha256", "spki", WB_KEY_VERIFY, wb_slice_cstring(der));
		der[at] ^= 1;
	}
	free(text);
	free(pem);
	free(der);
}

/* Seeds, and seeds with the public key behind them (Standard Webhooks). */
static void
test_raw_private_keys(void)
{
	unsigned char bytes[64];
	size_t seed_len = 32;
	size_t public_len = 32;
	char private_key[200] = {0};
	char seed[200] = {0};
	char public_key[200] = {0};
	WbTextBuffer whole = {private_key, 0, sizeof(private_key) - 1};
	WbTextBuffer half = {seed, 0, sizeof(seed) - 1};
	WbTextBuffer other = {public_key, 0, sizeof(public_key) - 1};

	CHECK_INT(EVP_PKEY_get_raw_private_key(made.ed25519, bytes, &seed_len), 1);
	CHECK_INT(EVP_PKEY_get_raw_public_key(made.ed25519, bytes + 32, &public_len), 1);
	CHECK(wb_hex_put(&whole, bytes, 64) && wb_hex_put(&half, bytes, 32) && wb_hex_put(&other, bytes + 32, 32));
	check_round_trip("ed25519", "hex", private_key, public_key);
	check_round_trip("ed25519", "hex", seed, public_key);

	private_key[0] = private_key[0] == '0' ? '1' : '0';
	CHECK_STR(problem_of("ed25519", "hex", WB_KEY_SIGN, wb_slice_cstring(private_key)),
			  "The second half of the private key is not its public key.");
	CHECK_STR(problem_of("ed25519", "hex", WB_KEY_SIGN, wb_slice(private_key, 66)),
			  "It is not the 32 or 64 bytes of an Ed25519 private key.");

	memset(private_key, 0, sizeof(private_key));
	whole.len = 0;
	other.len = 0;
	memset(public_key, 0, sizeof(public_key));
	CHECK(wb_text_sink(&whole, "whsk_", 5) && wb_base64_put(&whole, bytes, 64, false));
	CHECK(wb_text_sink(&other, "whpk_", 5) && wb_base64_put(&other, bytes + 32, 32, false));
	check_round_trip("ed25519", "base64:whpk_:whsk_", private_key, public_key);
	CHECK_STR(problem_of("ed25519", "base64:whpk_:whsk_", WB_KEY_VERIFY, wb_slice_cstring(private_key)), GIVE_PUBLIC);
}

/* A public key of any length that nobody has the private one of. */
static EVP_PKEY *
fake_rsa(int bits)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	BIGNUM *modulus = BN_new();
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *pkey = NULL;
	OSSL_PARAM *params;

	BN_rand(modulus, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
	OSSL_PARAM_BLD_push_ulong(builder, OSSL_PKEY_PARAM_RSA_E, 65537);
	params = OSSL_PARAM_BLD_to_param(builder);
	CHECK(EVP_PKEY_fromdata_init(context) == 1 &&
		  EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(context);
	BN_free(modulus);
	return pkey;
}

static void
test_long_keys(void)
{
	static const int bits[] = {2047, 2048, 8192, 8193, 16384};
	unsigned char bytes[1024];
	char signature[3000];

	for (int i = 0; i < LENGTH_OF(bits); i++)
	{
		EVP_PKEY *pkey = fake_rsa(bits[i]);
		bool fits = bits[i] >= 2048 && bits[i] <= 8192;
		char *pem = public_pem(pkey);
		Sample sample = made_here;
		size_t len = (size_t) (bits[i] + 7) / 8;
		WbTextBuffer buffer = {signature, 0, sizeof(signature) - 1};

		unit_case("%d bits", bits[i]);
		CHECK_STR(problem_of("rsa-sha256", "pem", WB_KEY_VERIFY, wb_slice_cstring(pem)),
				  fits ? "" : "It is not between 2048 and 8192 bits long.");
		sample.encoding = "hex";
		sample.secret = pem;
		sample.headers[1] = signature;
		memset(bytes, 'x', sizeof(bytes));
		if (fits && CHECK(wb_text_sink(&buffer, "v=", 2) && wb_hex_put(&buffer, bytes, len)))
		{
			signature[buffer.len] = '\0';
			CHECK_INT(verify(&sample), WB_MISMATCH);
			CHECK(wb_hex_put(&buffer, bytes, 1));
			signature[buffer.len] = '\0';
			CHECK_INT(verify(&sample), len == 1024 ? WB_BAD_SIGNATURE : WB_MISMATCH);
			signature[buffer.len - 4] = '\0';
			CHECK_INT(verify(&sample), len == 256 ? WB_BAD_SIGNATURE : WB_MISMATCH);
		}
		free(pem);
		EVP_PKEY_free(pkey);
	}
}

/* Rotation: several public keys, and several signatures. */
static void
test_several_keys(void)
{
	char *texts[] = {public_pem(made.other_p256), public_pem(made.p256)};
	char *private_key = private_pem(made.p256, NULL);
	Sample sample = made_here;
	WbScheme scheme;
	WbKey key[2];
	WbKey *keys[] = {&key[0], &key[1]};
	WbHeader headers[3];
	WbMessage message;
	char element[200];
	char list[2000] = "";
	const char *problem;
	int matched;

	sample.algorithm = "ecdsa-p256-sha256";
	scheme = scheme_of(&sample);
	CHECK(sign(&sample, private_key, element, sizeof(element)));
	for (int i = 0; i < 2; i++)
		CHECK(wb_key_init(keys[i], &scheme, WB_KEY_VERIFY, wb_slice_cstring(texts[i]), &problem));

	sample.headers[1] = list;
	/* three signatures are looked at; others than DER count as such if they have the length */
	for (int before = 0; before < 6; before++)
	{
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s", element);
		message = message_of(&sample, headers);
		unit_case("%d wrong signatures before", before);
		CHECK_INT(wb_signature_verify(&scheme, keys, 2, &message, 0, &matched), before < 3 ? WB_VERIFIED : WB_MISMATCH);
		CHECK_INT(matched, before < 3 ? 1 : -1);
		CHECK_INT(wb_signature_verify(&scheme, keys, 1, &message, 0, &matched), WB_MISMATCH);
		CHECK_INT(ERR_peek_error(), 0);
		list[strlen(list) - strlen(element)] = '\0';
		strcat(list, "v=AAAAAAAAAAAAAAAA,v=AAAA,");
	}
	/* a public key does not sign */
	message = message_of(&sample, headers);
	CHECK(!wb_signature_sign(&scheme, keys[1], &message, wb_slice(NULL, 0), &(WbTextBuffer){list, 0, sizeof(list)}, &matched));
	CHECK_INT(matched, -1);
	CHECK_INT(ERR_peek_error(), 0);
	for (int i = 0; i < 2; i++)
	{
		wb_key_clear(keys[i]);
		free(texts[i]);
	}
	free(private_key);
}

int
main(void)
{
	make_keys();
	RUN(test_vectors);
	RUN(test_changes);
	RUN(test_round_trips);
	RUN(test_kinds_of_keys);
	RUN(test_key_files);
	RUN(test_garbage);
	RUN(test_raw_private_keys);
	RUN(test_long_keys);
	RUN(test_several_keys);
	free_keys();
	return unit_finish();
}
