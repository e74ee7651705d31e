/*-------------------------------------------------------------------------
 *
 * client.h
 *	  Who is at the other end of a connection, and how much it may have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_CLIENT_H
#define WB_CLIENT_H

#include "postgres.h"

#include <sys/socket.h>

#include "utils/inet.h"

#include "http_parse.h"
#include "ratelimit.h"

typedef struct WbClient
{
	WbAddress peer;    /* who has connected */
	WbAddress address; /* who counts: the peer, or whom a trusted proxy has named */
	bool is_named;     /* the latter */
	bool is_counted;   /* among the connections, at: */
	WbRatePlace place;
} WbClient;

extern void wb_clients_init(void);
extern bool wb_client_arrive(WbClient *client, const struct sockaddr_storage *peer);
extern bool wb_client_is_proxy(const WbClient *client);
extern bool wb_client_request(WbClient *client, const WbHttpHead *head, int64 now_ms);
extern void wb_client_rest(WbClient *client);
extern void wb_client_leave(WbClient *client);
extern Datum wb_client_inet(const WbClient *client, inet *space);

#endif /* WB_CLIENT_H */
