/*-------------------------------------------------------------------------
 *
 * address.c
 *	  IP addresses: their texts, their networks, and which are public.
 *
 * The client connects to none that is not of the public internet unless told
 * otherwise, so that nobody can reach services of the database's own network
 * through it.  The tables follow IANA's registries of special-purpose addresses
 * (RFC 6890).  Of IPv6 only the space that is given out, 2000::/3, can be
 * public; addresses that carry one of IPv4 are as public as that.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>

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
static const Block mapped_ipv4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96};
static const Block nat64 = {{0x00, 0x64, 0xff, 0x9b}, 96};

static bool
starts_with(const uint8_t *bytes, const uint8_t *start, int bits)
{
	int whole = bits / 8;
	int rest = bits % 8;

	return memcmp(bytes, start, whole) == 0 &&
		   (rest == 0 || (bytes[whole] ^ start[whole]) >> (8 - rest) == 0);
}

static bool
is_in(const uint8_t *bytes, const Block *block)
{
	return starts_with(bytes, block->bytes, block->bits);
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
	if (is_in(bytes, &mapped_ipv4) || is_in(bytes, &nat64))
		return wb_ipv4_is_public(bytes + 12);
	return is_in(bytes, &public_ipv6) &&
		   !is_in_any(bytes, special_ipv6, LENGTH_OF(special_ipv6));
}

WbAddress
wb_address_ipv4(const uint8_t bytes[4])
{
	WbAddress address = {{0}, 4};

	memcpy(address.bytes, bytes, 4);
	return address;
}

WbAddress
wb_address_ipv6(const uint8_t bytes[16])
{
	WbAddress address = {{0}, 16};

	if (is_in(bytes, &mapped_ipv4))
		return wb_address_ipv4(bytes + 12);
	memcpy(address.bytes, bytes, 16);
	return address;
}

/* Takes the usual text of an address, without zone, port or brackets. */
bool
wb_address_parse(WbSlice text, WbAddress *address)
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t bytes[16];

	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.data, '\0', text.len) != NULL)
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	if (inet_pton(AF_INET, copy, bytes) == 1)
		*address = wb_address_ipv4(bytes);
	else if (inet_pton(AF_INET6, copy, bytes) == 1)
		*address = wb_address_ipv6(bytes);
	else
		return false;
	return true;
}

/*
 * Takes an address, or a network with its number of bits, ADDRESS/BITS.  Bits
 * that are set behind those that count are most likely a mistake: false.
 */
bool
wb_network_parse(WbSlice text, WbNetwork *network)
{
	const char *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
	size_t length = slash ? (size_t) (slash - text.data) : text.len;
	bool as_ipv6 = length > 0 && memchr(text.data, ':', length) != NULL;
	int given = as_ipv6 ? 128 : 32;
	int bits = 0;

	if (!wb_address_parse(wb_slice(text.data, length), &network->address))
		return false;
	if (slash)
	{
		WbSlice number = wb_slice(slash + 1, text.len - length - 1);

		if (number.len == 0 || number.len > 3 || (number.data[0] == '0' && number.len > 1))
			return false;
		for (size_t i = 0; i < number.len; i++)
		{
			if (number.data[i] < '0' || number.data[i] > '9')
				return false;
			bits = bits * 10 + (number.data[i] - '0');
		}
		if (bits > given)
			return false;
		given = bits;
	}
	network->bits = as_ipv6 && network->address.size == 4 ? given - 96 : given;
	if (network->bits < 0)
		return false;
	for (int i = network->bits; i < network->address.size * 8; i++)
		if (network->address.bytes[i / 8] & (0x80 >> (i % 8)))
			return false;
	return true;
}

bool
wb_network_contains(const WbNetwork *network, const WbAddress *address)
{
	return network->address.size == address->size &&
		   starts_with(address->bytes, network->address.bytes, network->bits);
}
