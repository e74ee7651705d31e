/*-------------------------------------------------------------------------
 *
 * ratelimit.c
 *	  How much each address has of a receiver: connections and requests.
 *
 * A table of fixed size, whoever comes: an address is counted at one place in
 * each row, found by a hash of its own, and shares it with whom the hash puts
 * there too.  What it has is what is counted at the one of its places that has
 * least, so it is taken for more only if it meets others in every row.  No
 * address is remembered; there is nothing that strangers could make grow, and
 * nobody is forgotten because others come.
 *
 * Whoever has an IPv6 address has at least a network of 64 bits, so these count
 * as one address.
 *
 * Knows no limits and no clock: the caller names them.  Owns nothing and
 * allocates nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "ratelimit.h"

#define US_PER_SECOND 1000000

static uint64_t
read_32(const uint8_t *bytes)
{
	return (uint64_t) bytes[0] << 24 | (uint64_t) bytes[1] << 16 | (uint64_t) bytes[2] << 8 | bytes[3];
}

/* Two addresses meet in a row as rarely as if places were drawn by lot. */
WbRatePlace
wb_rate_place(const WbRates *rates, const WbAddress *address)
{
	uint64_t high = read_32(address->bytes);
	uint64_t low = address->size == 16 ? read_32(address->bytes + 4) : 0;
	uint64_t is_ipv6 = address->size == 16;
	WbRatePlace at;

	for (int row = 0; row < WB_RATE_ROWS; row++)
	{
		const uint64_t *seed = rates->seed[row];

		at.place[row] = (uint16_t) ((seed[0] + seed[1] * high + seed[2] * low + seed[3] * is_ipv6) >>
									(64 - WB_RATE_PLACE_BITS));
	}
	return at;
}

/* How many connections an address has, or some more. */
uint32_t
wb_rate_connections(const WbRates *rates, WbRatePlace at)
{
	uint32_t least = UINT32_MAX;

	for (int row = 0; row < WB_RATE_ROWS; row++)
	{
		uint32_t count = rates->connections[row][at.place[row]];

		if (count < least)
			least = count;
	}
	return least;
}

void
wb_rate_connect(WbRates *rates, WbRatePlace at)
{
	for (int row = 0; row < WB_RATE_ROWS; row++)
		rates->connections[row][at.place[row]]++;
}

/* The same place as that of the connect. */
void
wb_rate_disconnect(WbRates *rates, WbRatePlace at)
{
	for (int row = 0; row < WB_RATE_ROWS; row++)
		rates->connections[row][at.place[row]]--;
}

/*
 * Counts a request, unless it is one too many: as many as the rate at once, and
 * from then on one after each interval.  "now_us" comes from a clock that is
 * never set back.
 */
bool
wb_rate_request(WbRates *rates, WbRatePlace at, int per_second, int64_t now_us)
{
	int64_t interval_us = US_PER_SECOND / per_second;
	int64_t rested_at_us = INT64_MAX;

	for (int row = 0; row < WB_RATE_ROWS; row++)
		if (rates->rested_at_us[row][at.place[row]] < rested_at_us)
			rested_at_us = rates->rested_at_us[row][at.place[row]];
	if (rested_at_us - now_us > (per_second - 1) * interval_us)
		return false;

	rested_at_us = (rested_at_us > now_us ? rested_at_us : now_us) + interval_us;
	/* others' places already have as much, from those who are counted there too */
	for (int row = 0; row < WB_RATE_ROWS; row++)
		if (rates->rested_at_us[row][at.place[row]] < rested_at_us)
			rates->rested_at_us[row][at.place[row]] = rested_at_us;
	return true;
}
