/*-------------------------------------------------------------------------
 *
 * test_secret.c
 *	  Unit tests of signature.c: how secrets become keys.
 *
 *-------------------------------------------------------------------------
 */
#include "signature.h"
#include "unit.h"

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

static WbScheme
scheme_with(const char *secret_encoding)
{
	WbSchemeText text = {
		.algorithm = wb_slice_cstring("hmac-sha256"),
		.encoding = wb_slice_cstring("hex"),
		.signature_from = wb_slice_cstring("header:X-Signature"),
		.signed_content = wb_slice_cstring("{body}"),
		.secret_encoding = wb_slice_cstring(secret_encoding),
		.tolerance_s = -1};
	WbColumnError error;
	WbScheme scheme;

	CHECK(wb_scheme_parse(&text, &scheme, &error));
	return scheme;
}

typedef struct SecretCase
{
	const char *encoding;
	const char *secret;
	const char *key; /* NULL: refused */
} SecretCase;

static const SecretCase secret_cases[] = {
	{"raw", "abc", "abc"},
	{"raw", " abc ", " abc "},
	{"raw", "", NULL},
	{"raw:x_", "x_abc", "abc"},
	{"raw:x_", "abc", "abc"},
	{"raw:x_", "x_", NULL},
	{"raw:x_", "X_abc", "X_abc"},
	{"hex", "616263", "abc"},
	{"hex", "4a4B", "JK"},
	{"hex", "61626", NULL},
	{"hex", "61 62", NULL},
	{"hex", "0x61", NULL},
	{"hex", "", NULL},
	{"hex:k:", "k6162", "ab"},
	{"hex:k:", "k:6162", NULL},
	{"hex::k", "k6162", "ab"},
	{"raw:a_:b_", "a_secret", "secret"},
	{"raw:a_:b_", "b_secret", "secret"},
	{"raw:a_:b_", "a_b_secret", "b_secret"},
	{"raw:a_:b_", "c_secret", "c_secret"},
	{"raw:a_:b_", "b_", NULL},
	{"raw:a_:b_", "a", "a"},
	{"base64:whpk_:whsk_", "whsk_YWJj", "abc"},
	{"base64", "YWJj", "abc"},
	{"base64", "YWI=", "ab"},
	{"base64", "YWI", "ab"},
	{"base64", "YQ==", "a"},
	{"base64", "YQ", "a"},
	{"base64", "YR", "a"},
	{"base64", "YQ=", NULL},
	{"base64", "YWJj=", NULL},
	{"base64", "YWJj====", NULL},
	{"base64", "Y", NULL},
	{"base64", "=", NULL},
	{"base64", "==", NULL},
	{"base64", "YW=I", NULL},
	{"base64", " YWJj", NULL},
	{"base64", "YWJj\n", NULL},
	{"base64", "YW-_", NULL},
	{"base64:whsec_", "whsec_YWJj", "abc"},
	{"base64:whsec_", "YWJj", "abc"},
	{"base64:whsec_", "whsec_", NULL},
	{"base64:whsec_", "whsec-YWJj", NULL},
};

static void
test_secrets(void)
{
	for (int i = 0; i < LENGTH_OF(secret_cases); i++)
	{
		const SecretCase *secret_case = &secret_cases[i];
		WbScheme scheme = scheme_with(secret_case->encoding);
		WbKey key;
		const char *problem = NULL;

		unit_case("%s as %s", secret_case->secret, secret_case->encoding);
		if (wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_slice_cstring(secret_case->secret), &problem))
		{
			if (CHECK(secret_case->key != NULL))
				CHECK_BYTES((char *) key.bytes, key.len, secret_case->key, strlen(secret_case->key));
			CHECK(problem == NULL);
			wb_key_clear(&key);
		}
		else
			CHECK(secret_case->key == NULL && problem != NULL);
		CHECK(key.prepared == NULL && key.len == 0);
		wb_key_clear(&key);
	}
}

/* 512 bytes decoded, in each encoding; one more is refused. */
static void
test_secret_lengths(void)
{
	static const char *const encodings[] = {"raw", "hex", "base64"};
	static const size_t lengths[] = {512, 1024, 683};
	char secret[2048];

	memset(secret, 'A', sizeof(secret));
	for (int i = 0; i < 3; i++)
	{
		WbScheme scheme = scheme_with(encodings[i]);
		WbKey key;
		const char *problem;

		unit_case("%s", encodings[i]);
		CHECK(wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_slice(secret, lengths[i]), &problem));
		CHECK_INT(key.len, 512);
		wb_key_clear(&key);
		CHECK(!wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_slice(secret, lengths[i] + 1), &problem));
		CHECK(!wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_slice(secret, lengths[i] + 2), &problem));
		CHECK(!wb_key_init(&key, &scheme, WB_KEY_VERIFY, wb_slice(secret, sizeof(secret)), &problem));
	}
}

int
main(void)
{
	RUN(test_secrets);
	RUN(test_secret_lengths);
	return unit_finish();
}
