/*-------------------------------------------------------------------------
 *
 * test_address.c
 *	  Unit tests of address.c.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>

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

int
main(void)
{
	RUN(test_ipv4);
	RUN(test_ipv6);
	return unit_finish();
}
