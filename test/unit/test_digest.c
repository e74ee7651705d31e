/*-------------------------------------------------------------------------
 *
 * test_digest.c
 *	  Tests of digest.c.  HMACs are tested by test_handshake.c.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "digest.h"
#include "encoding.h"

/* The digest of some pieces of text, up to NULL. */
static const char *
sha256(const char *const *pieces)
{
	static char hex[2 * WB_SHA256_SIZE + 1];
	unsigned char bytes[WB_SHA256_SIZE];
	WbTextBuffer out = {hex, 0, 2 * WB_SHA256_SIZE};
	WbSha256 digest;

	memset(hex, 0, sizeof(hex));
	wb_sha256_begin(&digest);
	for (; *pieces; pieces++)
		CHECK(wb_sha256_sink(&digest, *pieces, strlen(*pieces)));
	CHECK(wb_sha256_end(&digest, bytes));
	CHECK(wb_hex_put(&out, bytes, sizeof(bytes)));
	return hex;
}

/* FIPS 180-2, appendix B. */
static void
test_sha256(void)
{
	CHECK_STR(sha256((const char *const[]){NULL}),
			  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	CHECK_STR(sha256((const char *const[]){"abc", NULL}),
			  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	CHECK_STR(sha256((const char *const[]){"abcdbcdecdefdefgefghfghighijhijk", "",
										   "ijkljklmklmnlmnomnopnopq", NULL}),
			  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void
test_refused(void)
{
	WbSha256 digest = {NULL};
	unsigned char bytes[WB_SHA256_SIZE];

	CHECK(!wb_sha256_sink(&digest, "a", 1));
	CHECK(!wb_sha256_end(&digest, bytes));
}

int
main(void)
{
	RUN(test_sha256);
	RUN(test_refused);
	return unit_finish();
}
