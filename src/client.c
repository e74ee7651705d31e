/*-------------------------------------------------------------------------
 *
 * client.c
 *	  Who is at the other end of a connection, and how much it may have.
 *
 * The address that counts is that of who has connected, unless that is one of
 * webhook_bridge.trusted_proxies; then it is whom the proxy names, for each
 * request anew.  A proxy's connection carries many clients, so it is counted
 * for one of them only while a request of that one is under way, and an idle
 * one is counted for nobody.
 *
 * Limits are those of one receiver; others have their own table.  It is asked
 * before anything else is done for a client: on arrival, and when the head of a
 * request is there.  The caller answers and closes.  Raises no errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netinet/in.h>

#include "client.h"
#include "guc.h"
#include "proxy.h"

static WbRates rates;

static bool count_connection(WbClient *client);

/* To be called once, before there are clients. */
void
wb_clients_init(void)
{
	if (!pg_strong_random(rates.seed, sizeof(rates.seed)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random seed")));
}

/* Begins with a new connection.  False if its address has enough of them. */
bool
wb_client_arrive(WbClient *client, const struct sockaddr_storage *peer)
{
	if (peer->ss_family == AF_INET6)
		client->peer = wb_address_ipv6(((const struct sockaddr_in6 *) peer)->sin6_addr.s6_addr);
	else
		client->peer = wb_address_ipv4((const uint8_t *) &((const struct sockaddr_in *) peer)->sin_addr);
	client->address = client->peer;
	client->is_named = false;
	client->is_counted = false;
	client->place = wb_rate_place(&rates, &client->address);
	return wb_client_is_proxy(client) || count_connection(client);
}

/* Whether the headers of its requests are believed. */
bool
wb_client_is_proxy(const WbClient *client)
{
	return wb_proxies_contain(wb_trusted_proxies(), &client->peer);
}

/*
 * Looks at the head of a request; who is no proxy needs none, NULL.  False if
 * its address has enough connections, or has sent enough requests.
 */
bool
wb_client_request(WbClient *client, const WbHttpHead *head, int64 now_ms)
{
	/* the setting may have changed since its last request */
	if (head || client->is_named)
	{
		wb_client_leave(client);
		client->is_named = head && wb_proxies_find_client(wb_trusted_proxies(), head->headers,
														  head->header_count, &client->address);
		if (!client->is_named)
			client->address = client->peer;
		client->place = wb_rate_place(&rates, &client->address);
		if (client->is_named && !count_connection(client))
			return false;
	}
	return wb_max_request_rate_per_address == 0 ||
		   wb_rate_request(&rates, client->place, wb_max_request_rate_per_address, now_ms * 1000);
}

/* Its requests are answered, and the connection goes on. */
void
wb_client_rest(WbClient *client)
{
	if (client->is_named)
		wb_client_leave(client);
}

/* The connection is closed. */
void
wb_client_leave(WbClient *client)
{
	if (client->is_counted)
		wb_rate_disconnect(&rates, client->place);
	client->is_counted = false;
}

static bool
count_connection(WbClient *client)
{
	if (wb_max_connections_per_address == 0)
		return true;
	if (wb_rate_connections(&rates, client->place) >= (uint32_t) wb_max_connections_per_address)
		return false;
	wb_rate_connect(&rates, client->place);
	client->is_counted = true;
	return true;
}

/* The address that counts, as a value of type inet in the caller's space, which is all zero. */
Datum
wb_client_inet(const WbClient *client, inet *space)
{
	ip_family(space) = client->address.size == 4 ? PGSQL_AF_INET : PGSQL_AF_INET6;
	ip_bits(space) = ip_maxbits(space);
	memcpy(ip_addr(space), client->address.bytes, client->address.size);
	SET_INET_VARSIZE(space);
	return InetPGetDatum(space);
}
