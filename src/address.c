/*-------------------------------------------------------------------------
 *
 * address.c
 *	  Which IP addresses belong to the public internet.
 *
 * The client connects to no others unless told otherwise, so that nobody can
 * reach services of the database's own network through it.  The tables follow
 * IANA's registries of special-purpose addresses (RFC 6890).  Of IPv6 only the
 * space that is given out, 2000::/3, can be public; addresses that carry one of
 * IPv4 are as public as that.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "address.h"

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

typedef struct Block
{
	uint8_t bytes[16];
	int bits; /* how many of them count */
} Block;

static const Block special_ipv4[] = {
	{{0}, 8},             /* this network, unspecified */
	{{10}, 8},            /* private */
	{{100, 64}, 10},      /* carrier-grade NAT */
	{{127}, 8},           /* loopback */
	{{169, 254}, 16},     /* link-local; metadata of cloud providers */
	{{172, 16}, 12},      /* private */
	{{192, 0, 0}, 24},    /* protocol assignments */
	{{192, 0, 2}, 24},    /* documentation */
	{{192, 88, 99}, 24},  /* relays of 6to4, given up */
	{{192, 168}, 16},     /* private */
	{{198, 18}, 15},      /* benchmarks */
	{{198, 51, 100}, 24}, /* documentation */
	{{203, 0, 113}, 24},  /* documentation */
	{{224}, 4},           /* multicast */
	{{240}, 4},           /* reserved, broadcast */
};

static const Block public_ipv6 = {{0x20}, 3};

static const Block special_ipv6[] = {
	{{0x20, 0x01, 0x00}, 23},       /* protocol assignments, Teredo */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x20, 0x02}, 16},             /* 6to4 */
	{{0x3f, 0xff, 0x00}, 20},       /* documentation */
};

/* The last four bytes are an address of IPv4. */
static const Block carry_ipv4[] = {
	{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, /* IPv4-mapped */
	{{0x00, 0x64, 0xff, 0x9b}, 96},                   /* NAT64 */
};

static bool
is_in(const uint8_t *bytes, const Block *block)
{
	int whole = block->bits / 8;
	int rest = block->bits % 8;

	return memcmp(bytes, block->bytes, whole) == 0 &&
		   (rest == 0 || (bytes[whole] ^ block->bytes[whole]) >> (8 - rest) == 0);
}

static bool
is_in_any(const uint8_t *bytes, const Block *blocks, int count)
{
	for (int i = 0; i < count; i++)
		if (is_in(bytes, &blocks[i]))
			return true;
	return false;
}

bool
wb_ipv4_is_public(const uint8_t bytes[4])
{
	return !is_in_any(bytes, special_ipv4, LENGTH_OF(special_ipv4));
}

bool
wb_ipv6_is_public(const uint8_t bytes[16])
{
	if (is_in_any(bytes, carry_ipv4, LENGTH_OF(carry_ipv4)))
		return wb_ipv4_is_public(bytes + 12);
	return is_in(bytes, &public_ipv6) &&
		   !is_in_any(bytes, special_ipv6, LENGTH_OF(special_ipv6));
}
