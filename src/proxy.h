/*-------------------------------------------------------------------------
 *
 * proxy.h
 *	  Who a request is from when a proxy has passed it on.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_PROXY_H
#define WB_PROXY_H

#include "address.h"

/* The networks of those who are believed. */
typedef struct WbProxies
{
	int count;
	WbNetwork networks[];
} WbProxies;

extern int wb_proxies_count(const char *list);
extern bool wb_proxies_parse(const char *list, WbProxies *proxies, WbSlice *bad);
extern bool wb_proxies_contain(const WbProxies *proxies, const WbAddress *address);
extern bool wb_proxies_find_client(const WbProxies *proxies, const WbHeader *headers, int header_count,
								   WbAddress *client);

#endif /* WB_PROXY_H */
