/*-------------------------------------------------------------------------
 *
 * test_ratelimit.c
 *	  Unit tests of ratelimit.c.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "ratelimit.h"
#include "unit.h"

#define SECOND 1000000

static WbRates *
new_rates(uint64_t seed)
{
	WbRates *rates = calloc(1, sizeof(WbRates));

	for (int row = 0; row < WB_RATE_ROWS; row++)
		for (int i = 0; i < 4; i++)
			rates->seed[row][i] = (uint64_t) unit_random(&seed) << 32 | unit_random(&seed);
	return rates;
}

static WbRatePlace
place_of(const WbRates *rates, const char *text)
{
	WbAddress address = {{0}, 0};

	CHECK(wb_address_parse(wb_slice_cstring(text), &address));
	return wb_rate_place(rates, &address);
}

static WbRatePlace
place_of_number(const WbRates *rates, uint32_t number)
{
	uint8_t bytes[4] = {(uint8_t) (number >> 24), (uint8_t) (number >> 16), (uint8_t) (number >> 8), (uint8_t) number};
	WbAddress address = wb_address_ipv4(bytes);

	return wb_rate_place(rates, &address);
}

static bool
same_place(const WbRates *rates, const char *a, const char *b)
{
	WbRatePlace at_a = place_of(rates, a);
	WbRatePlace at_b = place_of(rates, b);

	return memcmp(&at_a, &at_b, sizeof(at_a)) == 0;
}

static int
requests(WbRates *rates, WbRatePlace at, int per_second, int64_t now_us, int attempts)
{
	int taken = 0;

	for (int i = 0; i < attempts; i++)
		taken += wb_rate_request(rates, at, per_second, now_us);
	return taken;
}

static void
test_places(void)
{
	WbRates *rates = new_rates(1);

	CHECK(same_place(rates, "192.0.2.1", "::ffff:192.0.2.1"));
	CHECK(!same_place(rates, "192.0.2.1", "192.0.2.2"));
	CHECK(!same_place(rates, "192.0.2.1", "c000:201::"));
	/* of IPv6 the network of 64 bits */
	CHECK(same_place(rates, "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"));
	CHECK(!same_place(rates, "2001:db8::1", "2001:db8:0:1::1"));
	CHECK(!same_place(rates, "2001:db8::1", "2001:db9::1"));
	CHECK(!same_place(rates, "::1", "0.0.0.0"));
	for (uint32_t i = 0; i < 100000; i++)
	{
		WbRatePlace at = place_of_number(rates, i * 2654435761u);

		for (int row = 0; row < WB_RATE_ROWS; row++)
			CHECK(at.place[row] < WB_RATE_PLACES);
	}
	free(rates);
}

static void
test_connections(void)
{
	WbRates *rates = new_rates(2);
	WbRatePlace a = place_of(rates, "192.0.2.1");
	WbRatePlace b = place_of(rates, "192.0.2.2");

	CHECK_INT(wb_rate_connections(rates, a), 0);
	wb_rate_connect(rates, a);
	wb_rate_connect(rates, a);
	CHECK_INT(wb_rate_connections(rates, a), 2);
	CHECK_INT(wb_rate_connections(rates, b), 0);
	wb_rate_connect(rates, b);
	wb_rate_disconnect(rates, a);
	CHECK_INT(wb_rate_connections(rates, a), 1);
	CHECK_INT(wb_rate_connections(rates, b), 1);
	wb_rate_disconnect(rates, a);
	wb_rate_disconnect(rates, b);
	for (int row = 0; row < WB_RATE_ROWS; row++)
		for (int i = 0; i < WB_RATE_PLACES; i++)
			CHECK_INT(rates->connections[row][i], 0);
	free(rates);
}

static void
test_requests(void)
{
	static const int rates_per_second[] = {1, 2, 3, 7, 10, 100, 333, 1000, 100000};
	WbRates *rates = new_rates(3);
	WbRatePlace at = place_of(rates, "192.0.2.1");
	int64_t now = 5 * SECOND;

	for (int i = 0; i < (int) (sizeof(rates_per_second) / sizeof(rates_per_second[0])); i++)
	{
		int rate = rates_per_second[i];
		int64_t interval = SECOND / rate;

		unit_case("%d per second", rate);
		CHECK_INT(requests(rates, at, rate, now, rate * 2 + 5), rate);
		CHECK_INT(requests(rates, at, rate, now + interval - 1, 5), 0);
		CHECK_INT(requests(rates, at, rate, now + interval, 5), 1);
		CHECK_INT(requests(rates, at, rate, now + interval, 5), 0);
		/* who has rested has all of it again, and no more */
		now += 100 * SECOND;
		CHECK_INT(requests(rates, at, rate, now, rate * 2 + 5), rate);
		now += 100 * SECOND;
	}
	unit_case("an hour at twice the rate");
	{
		int taken = 0;

		for (int i = 0; i < 3600 * 20; i++)
			taken += wb_rate_request(rates, at, 10, now + (int64_t) i * SECOND / 20);
		CHECK(taken >= 36000 && taken <= 36010);
	}
	free(rates);
}

/* What happens when the limit is changed. */
static void
test_change(void)
{
	WbRates *rates = new_rates(4);
	WbRatePlace at = place_of(rates, "2001:db8::1");
	int64_t now = SECOND;

	CHECK_INT(requests(rates, at, 100000, now, 200000), 100000);
	CHECK_INT(requests(rates, at, 1, now + SECOND, 5), 1);
	CHECK_INT(requests(rates, at, 1, now + SECOND + 1, 5), 0);
	CHECK_INT(requests(rates, at, 100, now + SECOND + SECOND / 2, 1000), 50);
	free(rates);
}

/* Strangers in any number: how many others are taken for one of them? */
static void
test_neighbours(void)
{
	static const struct
	{
		uint32_t strangers;
		int per_mille; /* at most */
	} cases[] = {{100, 0}, {1000, 1}, {4000, 10}, {10000, 100}};

	for (int i = 0; i < (int) (sizeof(cases) / sizeof(cases[0])); i++)
	{
		WbRates *rates = new_rates(5 + (uint64_t) i);
		int wronged_connections = 0;
		int wronged_requests = 0;

		unit_case("%u strangers", cases[i].strangers);
		for (uint32_t s = 0; s < cases[i].strangers; s++)
		{
			WbRatePlace at = place_of_number(rates, 0x0a000000 + s);

			for (int n = 0; n < 3; n++)
				wb_rate_connect(rates, at);
			requests(rates, at, 10, SECOND, 10);
		}
		for (uint32_t n = 0; n < 10000; n++)
		{
			WbRatePlace at = place_of_number(rates, 0xc0000000 + n * 4099);

			wronged_connections += wb_rate_connections(rates, at) >= 3;
			wronged_requests += requests(rates, at, 10, SECOND + 1, 1) == 0;
		}
		printf("# %u strangers: of 10000 others %d meet them with connections, %d with requests\n",
			   cases[i].strangers, wronged_connections, wronged_requests);
		CHECK(wronged_connections <= cases[i].per_mille * 10);
		CHECK(wronged_requests <= cases[i].per_mille * 10);
		free(rates);
	}
}

int
main(void)
{
	RUN(test_places);
	RUN(test_connections);
	RUN(test_requests);
	RUN(test_change);
	RUN(test_neighbours);
	return unit_finish();
}
