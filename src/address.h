/*-------------------------------------------------------------------------
 *
 * address.h
 *	  IP addresses: their texts, their networks, and which are public.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_ADDRESS_H
#define WB_ADDRESS_H

#include "slice.h"

/* An IPv4 address that is carried in one of IPv6 ("::ffff:...") is an IPv4 address. */
typedef struct WbAddress
{
	uint8_t bytes[16]; /* zero behind the address */
	int size;          /* bytes of the address: 4 or 16 */
} WbAddress;

typedef struct WbNetwork
{
	WbAddress address;
	int bits; /* how many of them count */
} WbNetwork;

extern WbAddress wb_address_ipv4(const uint8_t bytes[4]);
extern WbAddress wb_address_ipv6(const uint8_t bytes[16]);
extern bool wb_address_parse(WbSlice text, WbAddress *address);
extern bool wb_network_parse(WbSlice text, WbNetwork *network);
extern bool wb_network_contains(const WbNetwork *network, const WbAddress *address);

extern bool wb_ipv4_is_public(const uint8_t bytes[4]);
extern bool wb_ipv6_is_public(const uint8_t bytes[16]);

#endif /* WB_ADDRESS_H */
