/*-------------------------------------------------------------------------
 *
 * address.h
 *	  Which IP addresses belong to the public internet.
 *
 * Pure: nothing of PostgreSQL, no allocation, no input or output.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_ADDRESS_H
#define WB_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

extern bool wb_ipv4_is_public(const uint8_t bytes[4]);
extern bool wb_ipv6_is_public(const uint8_t bytes[16]);

#endif /* WB_ADDRESS_H */
