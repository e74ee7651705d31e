/*-------------------------------------------------------------------------
 *
 * ratelimit.h
 *	  How much each address has of a receiver.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_RATELIMIT_H
#define WB_RATELIMIT_H

#include "address.h"

#define WB_RATE_ROWS 4
#define WB_RATE_PLACE_BITS 14
#define WB_RATE_PLACES (1 << WB_RATE_PLACE_BITS) /* in each row */

/* All zero at first, except for the seed. */
typedef struct WbRates
{
	uint64_t seed[WB_RATE_ROWS][4];                     /* random, so that nobody can choose its neighbours */
	uint32_t connections[WB_RATE_ROWS][WB_RATE_PLACES]; /* open now */
	int64_t rested_at_us[WB_RATE_ROWS][WB_RATE_PLACES]; /* when all requests so far will be forgotten */
} WbRates;

/* Where an address is counted. */
typedef struct WbRatePlace
{
	uint16_t place[WB_RATE_ROWS];
} WbRatePlace;

extern WbRatePlace wb_rate_place(const WbRates *rates, const WbAddress *address);
extern uint32_t wb_rate_connections(const WbRates *rates, WbRatePlace at);
extern void wb_rate_connect(WbRates *rates, WbRatePlace at);
extern void wb_rate_disconnect(WbRates *rates, WbRatePlace at);
extern bool wb_rate_request(WbRates *rates, WbRatePlace at, int per_second, int64_t now_us);

#endif /* WB_RATELIMIT_H */
