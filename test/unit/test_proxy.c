/*-------------------------------------------------------------------------
 *
 * test_proxy.c
 *	  Unit tests of proxy.c.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "proxy.h"
#include "unit.h"

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

static WbProxies *
proxies_of(const char *list)
{
	WbProxies *proxies = malloc(sizeof(WbProxies) + sizeof(WbNetwork) * (size_t) wb_proxies_count(list));
	WbSlice bad;

	CHECK(wb_proxies_parse(list, proxies, &bad));
	CHECK_INT(proxies->count, wb_proxies_count(list));
	return proxies;
}

static void
test_lists(void)
{
	static const struct
	{
		const char *list;
		int count;
		const char *bad; /* NULL: none */
	} cases[] = {
		{"", 0, NULL},
		{" , ,", 0, NULL},
		{"127.0.0.1", 1, NULL},
		{"127.0.0.1,::1", 2, NULL},
		{" 127.0.0.1 , ::1\t10.0.0.0/8,\n", 3, NULL},
		{"127.0.0.1, localhost, *", 3, "localhost"},
		{"10.0.0.0/8, 10.0.0.1/8", 2, "10.0.0.1/8"},
		{"127.0.0.1;::1", 1, "127.0.0.1;::1"},
	};

	for (int i = 0; i < LENGTH_OF(cases); i++)
	{
		WbSlice bad = wb_slice(NULL, 0);
		WbProxies *proxies;
		bool good;

		unit_case("%s", cases[i].list);
		CHECK_INT(wb_proxies_count(cases[i].list), cases[i].count);
		proxies = malloc(sizeof(WbProxies) + sizeof(WbNetwork) * (size_t) cases[i].count);
		good = wb_proxies_parse(cases[i].list, proxies, &bad);
		CHECK_INT(good, cases[i].bad == NULL);
		if (cases[i].bad)
			CHECK_SLICE(bad, cases[i].bad);
		else
			CHECK_INT(proxies->count, cases[i].count);
		free(proxies);
	}
}

static void
test_membership(void)
{
	WbProxies *proxies = proxies_of("10.0.0.0/8, 2001:db8::/32");
	WbAddress address;

	CHECK(wb_address_parse(wb_slice_cstring("10.1.2.3"), &address) && wb_proxies_contain(proxies, &address));
	CHECK(wb_address_parse(wb_slice_cstring("::ffff:10.1.2.3"), &address) && wb_proxies_contain(proxies, &address));
	CHECK(wb_address_parse(wb_slice_cstring("2001:db8:1::"), &address) && wb_proxies_contain(proxies, &address));
	CHECK(wb_address_parse(wb_slice_cstring("11.1.2.3"), &address) && !wb_proxies_contain(proxies, &address));
	free(proxies);
	proxies = proxies_of("");
	CHECK(wb_address_parse(wb_slice_cstring("0.0.0.0"), &address) && !wb_proxies_contain(proxies, &address));
	free(proxies);
}

/* Trusted are 10.0.0.0/8 and 2001:db8::/32. */
static const struct
{
	const char *lines[3]; /* of X-Forwarded-For */
	const char *client;   /* NULL: not said */
} client_cases[] = {
	{{NULL}, NULL},
	{{""}, NULL},
	{{" , ,\t"}, NULL},
	{{"192.0.2.1"}, "192.0.2.1"},
	{{"\t192.0.2.1 "}, "192.0.2.1"},
	{{"2001:db9::5"}, "2001:db9::5"},
	{{"::ffff:192.0.2.1"}, "192.0.2.1"},
	/* the last that is not trusted */
	{{"198.51.100.7, 192.0.2.1"}, "192.0.2.1"},
	{{"198.51.100.7,192.0.2.1,10.0.0.1"}, "192.0.2.1"},
	{{"192.0.2.1, 10.0.0.1 , 2001:db8::2,"}, "192.0.2.1"},
	{{"192.0.2.1,,10.0.0.1"}, "192.0.2.1"},
	{{"10.0.0.7, 192.0.2.1, 10.0.0.1"}, "192.0.2.1"},
	{{"10.0.0.1"}, NULL},
	{{"10.0.0.2, 2001:db8::9, ::ffff:10.0.0.1"}, NULL},
	/* what the client invented is not looked at */
	{{"unknown, 192.0.2.1"}, "192.0.2.1"},
	{{"\x80\xff[[[, 192.0.2.1, 10.0.0.1"}, "192.0.2.1"},
	/* what a trusted proxy wrote must be an address */
	{{"192.0.2.1, unknown"}, NULL},
	{{"192.0.2.1, unknown, 10.0.0.1"}, NULL},
	{{"192.0.2.1, _hidden"}, NULL},
	{{"192.0.2.1; 10.0.0.1"}, NULL},
	{{"192.0.2.1 10.0.0.1"}, NULL},
	{{"\"192.0.2.1\""}, NULL},
	{{"192.0.2.300"}, NULL},
	{{"192.0.2.1/32"}, NULL},
	{{"for=192.0.2.1"}, NULL},
	/* ports and brackets */
	{{"192.0.2.1:65535"}, "192.0.2.1"},
	{{"192.0.2.1:1, 10.0.0.1:2"}, "192.0.2.1"},
	{{"[2001:db9::5]:443"}, "2001:db9::5"},
	{{"[2001:db9::5]"}, "2001:db9::5"},
	{{"[::ffff:192.0.2.1]:80"}, "192.0.2.1"},
	{{"192.0.2.1:"}, NULL},
	{{"192.0.2.1:x"}, NULL},
	{{"192.0.2.1:123456"}, NULL},
	{{"192.0.2.1:80:80"}, NULL},
	{{"[192.0.2.1]"}, NULL},
	{{"[192.0.2.1]:80"}, NULL},
	{{"[2001:db9::5]443"}, NULL},
	{{"[2001:db9::5"}, NULL},
	{{"[]"}, NULL},
	{{"["}, NULL},
	{{":"}, NULL},
	{{":80"}, NULL},
	/* several lines */
	{{"198.51.100.7", "192.0.2.1"}, "192.0.2.1"},
	{{"192.0.2.1", "10.0.0.1"}, "192.0.2.1"},
	{{"192.0.2.1", "", "10.0.0.1"}, "192.0.2.1"},
	{{"192.0.2.1", "unknown", "10.0.0.1"}, NULL},
};

static void
test_clients(void)
{
	WbProxies *proxies = proxies_of("10.0.0.0/8, 2001:db8::/32");

	for (int i = 0; i < LENGTH_OF(client_cases); i++)
	{
		WbHeader headers[8];
		char *values[3] = {NULL};
		int count = 0;
		WbAddress client;
		WbAddress expected;
		bool found;

		headers[count++] = (WbHeader){wb_slice_cstring("Host"), wb_slice_cstring("192.0.2.99")};
		headers[count++] = (WbHeader){wb_slice_cstring("X-Forwarded"), wb_slice_cstring("192.0.2.99")};
		for (int line = 0; line < 3 && client_cases[i].lines[line]; line++)
		{
			size_t len = strlen(client_cases[i].lines[line]);

			values[line] = guarded(client_cases[i].lines[line], len);
			headers[count++] = (WbHeader){wb_slice_cstring(line % 2 ? "X-FORWARDED-FOR" : "x-forwarded-For"),
										  wb_slice(values[line], len)};
		}
		headers[count++] = (WbHeader){wb_slice_cstring("Forwarded"), wb_slice_cstring("for=192.0.2.99")};
		headers[count++] = (WbHeader){wb_slice_cstring("X-Real-IP"), wb_slice_cstring("192.0.2.99")};

		unit_case("%d: %s", i, client_cases[i].lines[0] ? client_cases[i].lines[0] : "none");
		found = wb_proxies_find_client(proxies, headers, count, &client);
		if (CHECK_INT(found, client_cases[i].client != NULL) && found &&
			CHECK(wb_address_parse(wb_slice_cstring(client_cases[i].client), &expected)))
		{
			CHECK_INT(client.size, expected.size);
			CHECK_BYTES((char *) client.bytes, 16, (char *) expected.bytes, 16);
		}
		for (int line = 0; line < 3; line++)
			if (values[line])
				guarded_free(values[line]);
	}
	free(proxies);
}

/* Whatever a client sends in front, the proxy's word is what counts. */
static void
test_forgeries(void)
{
	static const char alphabet[] = "0123456789abcdef.:,[]% \t;=\"_-unkow/";
	WbProxies *proxies = proxies_of("10.0.0.0/8, 2001:db8::/32");
	uint64_t seed = 20261122;

	for (int i = 0; i < 20000; i++)
	{
		char text[64];
		size_t len = unit_random(&seed) % 40;
		WbHeader header;
		WbAddress client;
		WbAddress expected;
		char *copy;

		for (size_t c = 0; c < len; c++)
			text[c] = alphabet[unit_random(&seed) % (sizeof(alphabet) - 1)];
		unit_case("%.*s", (int) len, text);
		copy = guarded(text, len);
		header = (WbHeader){wb_slice_cstring("X-Forwarded-For"), wb_slice(copy, len)};
		if (wb_proxies_find_client(proxies, &header, 1, &client))
			CHECK(!wb_proxies_contain(proxies, &client));
		guarded_free(copy);

		strcpy(text + len, ", 192.0.2.1");
		copy = guarded(text, strlen(text));
		header.value = wb_slice(copy, strlen(text));
		CHECK(wb_proxies_find_client(proxies, &header, 1, &client));
		CHECK(wb_address_parse(wb_slice_cstring("192.0.2.1"), &expected));
		CHECK_BYTES((char *) client.bytes, 16, (char *) expected.bytes, 16);
		guarded_free(copy);
	}
	free(proxies);
}

int
main(void)
{
	RUN(test_lists);
	RUN(test_membership);
	RUN(test_clients);
	RUN(test_forgeries);
	return unit_finish();
}
