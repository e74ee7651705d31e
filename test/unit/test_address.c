/*-------------------------------------------------------------------------
 *
 * test_address.c
 *	  Unit tests of address.c.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "address.h"
#include "unit.h"

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

typedef struct AddressCase
{
	const char *text;
	bool is_public;
} AddressCase;

/* The first and the last address of each block, and their neighbours. */
static const AddressCase ipv4_cases[] = {
	{"0.0.0.0", false},
	{"0.255.255.255", false},
	{"1.0.0.0", true},
	{"9.255.255.255", true},
	{"10.0.0.0", false},
	{"10.255.255.255", false},
	{"11.0.0.0", true},
	{"100.63.255.255", true},
	{"100.64.0.0", false},
	{"100.127.255.255", false},
	{"100.128.0.0", true},
	{"126.255.255.255", true},
	{"127.0.0.0", false},
	{"127.0.0.1", false},
	{"127.255.255.255", false},
	{"128.0.0.0", true},
	{"169.253.255.255", true},
	{"169.254.0.0", false},
	{"169.254.169.254", false},
	{"169.254.255.255", false},
	{"169.255.0.0", true},
	{"172.15.255.255", true},
	{"172.16.0.0", false},
	{"172.31.255.255", false},
	{"172.32.0.0", true},
	{"191.255.255.255", true},
	{"192.0.0.0", false},
	{"192.0.0.255", false},
	{"192.0.1.0", true},
	{"192.0.2.1", false},
	{"192.0.3.0", true},
	{"192.88.98.255", true},
	{"192.88.99.0", false},
	{"192.88.100.0", true},
	{"192.167.255.255", true},
	{"192.168.0.0", false},
	{"192.168.255.255", false},
	{"192.169.0.0", true},
	{"198.17.255.255", true},
	{"198.18.0.0", false},
	{"198.19.255.255", false},
	{"198.20.0.0", true},
	{"198.51.99.255", true},
	{"198.51.100.0", false},
	{"198.51.101.0", true},
	{"203.0.112.255", true},
	{"203.0.113.0", false},
	{"203.0.114.0", true},
	{"223.255.255.255", true},
	{"224.0.0.0", false},
	{"239.255.255.255", false},
	{"240.0.0.0", false},
	{"255.255.255.255", false},
	{"8.8.8.8", true},
};

static const AddressCase ipv6_cases[] = {
	{"::", false},
	{"::1", false},
	{"::8.8.8.8", false},
	{"::ffff:8.8.8.8", true},
	{"::ffff:0.0.0.0", false},
	{"::ffff:10.0.0.1", false},
	{"::ffff:100.64.0.1", false},
	{"::ffff:127.0.0.1", false},
	{"::ffff:169.254.169.254", false},
	{"::ffff:172.16.0.1", false},
	{"::ffff:192.168.1.1", false},
	{"::ffff:224.0.0.1", false},
	{"::fffe:8.8.8.8", false},
	{"::ffff:0:8.8.8.8", false},
	{"64:ff9b::8.8.8.8", true},
	{"64:ff9b::127.0.0.1", false},
	{"64:ff9b::192.168.1.1", false},
	{"64:ff9b:1::8.8.8.8", false},
	{"100::1", false},
	{"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
	{"2000::", true},
	{"2001::1", false},
	{"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", false},
	{"2001:200::", true},
	{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", true},
	{"2001:db8::", false},
	{"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", false},
	{"2001:db9::", true},
	{"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
	{"2002::", false},
	{"2002:7f00:1::", false},
	{"2003::", true},
	{"2606:4700:4700::1111", true},
	{"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
	{"3fff::", false},
	{"3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", false},
	{"3fff:1000::", true},
	{"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
	{"4000::", false},
	{"5f00::1", false},
	{"fc00::1", false},
	{"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
	{"fe80::1", false},
	{"fec0::1", false},
	{"ff02::1", false},
};

static void
test_ipv4(void)
{
	uint8_t bytes[4];

	for (int i = 0; i < LENGTH_OF(ipv4_cases); i++)
	{
		unit_case("%s", ipv4_cases[i].text);
		CHECK_INT(inet_pton(AF_INET, ipv4_cases[i].text, bytes), 1);
		CHECK_INT(wb_ipv4_is_public(bytes), ipv4_cases[i].is_public);
	}
}

static void
test_ipv6(void)
{
	uint8_t bytes[16];

	for (int i = 0; i < LENGTH_OF(ipv6_cases); i++)
	{
		unit_case("%s", ipv6_cases[i].text);
		CHECK_INT(inet_pton(AF_INET6, ipv6_cases[i].text, bytes), 1);
		CHECK_INT(wb_ipv6_is_public(bytes), ipv6_cases[i].is_public);
	}
}

typedef struct TextCase
{
	const char *text;
	const char *bytes; /* in hex; NULL: refused */
} TextCase;

static const TextCase address_cases[] = {
	{"192.0.2.1", "c0000201"},
	{"0.0.0.0", "00000000"},
	{"255.255.255.255", "ffffffff"},
	{"2001:db8::1", "20010db8000000000000000000000001"},
	{"2001:DB8:0:0::1", "20010db8000000000000000000000001"},
	{"::", "00000000000000000000000000000000"},
	{"::ffff:192.0.2.1", "c0000201"},
	{"::ffff:c000:201", "c0000201"},
	{"::192.0.2.1", "000000000000000000000000c0000201"},
	{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffffffffffffffffffffffffffffffff"},
	{"", NULL},
	{" 192.0.2.1", NULL},
	{"192.0.2.1 ", NULL},
	{"192.0.2", NULL},
	{"192.0.2.1.1", NULL},
	{"192.0.2.256", NULL},
	{"192.0.2.01", NULL},
	{"0x7f.0.0.1", NULL},
	{"127.1", NULL},
	{"2130706433", NULL},
	{"192.0.2.1:80", NULL},
	{"[::1]", NULL},
	{"::1%eth0", NULL},
	{"1::2::3", NULL},
	{":", NULL},
	{"unknown", NULL},
	{"localhost", NULL},
	{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555", NULL},
};

static void
check_bytes(const WbAddress *address, const char *hex)
{
	char text[33] = "";

	for (int i = 0; i < address->size; i++)
		snprintf(text + 2 * i, 3, "%02x", address->bytes[i]);
	CHECK_STR(text, hex);
	for (int i = address->size; i < 16; i++)
		CHECK_INT(address->bytes[i], 0);
}

static void
test_address_text(void)
{
	WbAddress address;

	for (int i = 0; i < LENGTH_OF(address_cases); i++)
	{
		const TextCase *c = &address_cases[i];
		char *text = guarded(c->text, strlen(c->text));

		unit_case("%s", c->text);
		memset(&address, 0x55, sizeof(address));
		if (CHECK_INT(wb_address_parse(wb_slice(text, strlen(c->text)), &address), c->bytes != NULL) && c->bytes)
			check_bytes(&address, c->bytes);
		guarded_free(text);
	}
	unit_case("a zero byte");
	CHECK(!wb_address_parse(wb_slice("192.0.2.1\0", 10), &address));
	CHECK(!wb_address_parse(wb_slice(NULL, 0), &address));
}

typedef struct NetworkCase
{
	const char *network;
	const char *inside; /* NULL: the network is refused */
	const char *outside;
} NetworkCase;

static const NetworkCase network_cases[] = {
	{"192.0.2.1", "192.0.2.1", "192.0.2.0"},
	{"192.0.2.1/32", "192.0.2.1", "192.0.2.3"},
	{"192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
	{"192.0.2.0/23", "192.0.3.255", "192.0.4.0"},
	{"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
	{"10.128.0.0/9", "10.128.0.0", "10.127.255.255"},
	{"0.0.0.0/0", "203.0.113.9", "::1"},
	{"0.0.0.0/0", "::ffff:203.0.113.9", "2001:db8::1"},
	{"::/0", "2001:db8::1", "192.0.2.1"},
	{"::/0", "::192.0.2.1", "::ffff:192.0.2.1"},
	{"2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
	{"2001:db8::/127", "2001:db8::1", "2001:db8::2"},
	{"2001:db8::1", "2001:db8::1", "2001:db8::2"},
	{"2001:db8::1/128", "2001:db8::1", "2001:db8::"},
	{"::ffff:192.0.2.0/120", "192.0.2.7", "192.0.3.0"},
	{"::ffff:0:0/96", "192.0.2.7", "::192.0.2.7"},
	{"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.0"},
	{"", NULL, NULL},
	{"/8", NULL, NULL},
	{"10.0.0.0/", NULL, NULL},
	{"10.0.0.0/33", NULL, NULL},
	{"10.0.0.0/08", NULL, NULL},
	{"10.0.0.0/-1", NULL, NULL},
	{"10.0.0.0/+8", NULL, NULL},
	{"10.0.0.0/8/8", NULL, NULL},
	{"10.0.0.0/1000", NULL, NULL},
	{"10.0.0.0/255.0.0.0", NULL, NULL},
	{"10.0.0.1/8", NULL, NULL},
	{"10.0.0.0/7 ", NULL, NULL},
	{"192.0.2.1/31", NULL, NULL},
	{"2001:db8::1/64", NULL, NULL},
	{"2001:db8::/129", NULL, NULL},
	{"::ffff:192.0.2.0/90", NULL, NULL},
	{"localhost", NULL, NULL},
	{"*", NULL, NULL},
};

static void
test_networks(void)
{
	for (int i = 0; i < LENGTH_OF(network_cases); i++)
	{
		const NetworkCase *c = &network_cases[i];
		char *text = guarded(c->network, strlen(c->network));
		WbNetwork network;
		WbAddress address;

		unit_case("%s", c->network);
		if (CHECK_INT(wb_network_parse(wb_slice(text, strlen(c->network)), &network), c->inside != NULL) && c->inside)
		{
			CHECK(wb_address_parse(wb_slice_cstring(c->inside), &address));
			CHECK(wb_network_contains(&network, &address));
			CHECK(wb_address_parse(wb_slice_cstring(c->outside), &address));
			CHECK(!wb_network_contains(&network, &address));
		}
		guarded_free(text);
	}
}

int
main(void)
{
	RUN(test_ipv4);
	RUN(test_ipv6);
	RUN(test_address_text);
	RUN(test_networks);
	return unit_finish();
}
