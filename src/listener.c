/*-------------------------------------------------------------------------
 *
 * listener.c
 *	  The sockets on which deliveries arrive.
 *
 * Opens one socket per address of webhook_bridge.listen_addresses and port,
 * with TLS and without, accepts connections and hands them to conn.c.  A port is
 * open on all addresses or on none; one that cannot be opened is tried again and
 * does not keep the other closed.  For want of a certificate that for TLS stays
 * closed, until a reload brings one.  When no more connections can be taken, for
 * the limit or for want of descriptors, it stops watching its sockets instead of
 * spinning on them: clients wait in the kernel's queue.
 *
 * Several receivers share a port through SO_REUSEPORT, which would also let in
 * the receivers of another server of the same user.  Hence a receiver asks for it
 * before it binds only if one of its own server has claimed the port, in shared
 * memory.  Any other takes the port for itself alone, which fails if somebody has
 * it, and asks once it listens.  Not earlier: the system looks for others at bind()
 * and again at listen(), where two that have come at once would both be let in.
 * A single receiver does not ask at all, so that programs that do are noticed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "conn.h"
#include "guc.h"
#include "listener.h"
#include "tls.h"

#define MAX_LISTENERS 32 /* of a port */
#define ACCEPTS_PER_TURN 64
#define BACKLOG 1024 /* the system cuts it to what it allows */
#define SHORTAGE_PAUSE_MS 100
#define SPARE_DESCRIPTORS 64 /* for what else the process has open */

typedef struct WbListener
{
	WbWatch watch;
	int fd;
	bool with_tls;
} WbListener;

typedef struct WbPort
{
	WbListener listeners[MAX_LISTENERS];
	int count;          /* of them; 0 while the port is closed */
	char *last_problem; /* so that a lasting one is said once */
	bool has_lost;      /* the port, perhaps to a receiver that came first */
} WbPort;

static WbLoop *loop;
static WbSlot *slot;
static WbPort ports[2]; /* without TLS, and with */
static bool paused = false;
static int64 paused_until_ms;  /* a shortage of descriptors is not over at once */
static char *opened_as = NULL; /* the settings with which opening began */

static char *settings(void);
static int number_of(bool with_tls);
static bool open_port(bool with_tls);
static bool open_addresses(bool with_tls, bool joins);
static bool open_address(const char *host, bool with_tls, bool joins);
static int open_socket(const struct addrinfo *address, bool joins);
static bool take_socket(WbListener *listener, int fd);
static void close_port(bool with_tls);
static void tell_closed(void);
static void watch(int interest);
static void report(bool with_tls, const char *host, const char *problem);
static void forget_problem(WbPort *port);
static void say_where(void);
static void on_ready(void *owner, int ready);
static void pause_accepting(int pause_ms);
static void raise_descriptor_limit(void);

void
wb_listeners_init(WbLoop *receiver_loop, WbSlot *receiver_slot)
{
	loop = receiver_loop;
	slot = receiver_slot;
}

/*
 * Opens the ports that the settings name and that are closed.  False if none is
 * open then.  Says in the log what is wrong, unless the reason may be gone at the
 * next attempt.
 */
bool
wb_listeners_open(void)
{
	if (wb_listeners_outdated())
		wb_listeners_close();
	if (opened_as == NULL)
	{
		opened_as = MemoryContextStrdup(TopMemoryContext, settings());
		raise_descriptor_limit();
		if (wb_tls_port != 0)
			(void) wb_tls_prepare();
	}
	if (wb_port == 0 && wb_tls_port == 0)
		report(false, wb_listen_addresses, "Neither webhook_bridge.port nor webhook_bridge.tls_port is set");
	/* who shares a port would share it with itself */
	else if (wb_port == wb_tls_port)
		report(false, wb_listen_addresses, "webhook_bridge.port and webhook_bridge.tls_port are the same");
	else
	{
		bool opened = open_port(false);

		if (open_port(true) || opened)
			say_where();
	}
	tell_closed();
	return ports[false].count > 0 || ports[true].count > 0;
}

/* Lets other receivers have the same ports, if there are to be any. */
void
wb_listeners_share(void)
{
	int on = 1;

	/* who is left alone goes on sharing: the others may still have their sockets */
	for (int p = 0; p < (int) lengthof(ports) && wb_receivers > 1; p++)
		for (int i = 0; i < ports[p].count; i++)
			(void) setsockopt(ports[p].listeners[i].fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

void
wb_listeners_close(void)
{
	close_port(false);
	close_port(true);
	paused = false;
	if (opened_as)
		pfree(opened_as);
	opened_as = NULL;
	wb_slot_set_closed_ports(slot, 0, 0);
}

/* Whether the settings have changed since opening began. */
bool
wb_listeners_outdated(void)
{
	char *now = settings();
	bool outdated = opened_as != NULL && strcmp(opened_as, now) != 0;

	pfree(now);
	return outdated;
}

static char *
settings(void)
{
	return psprintf("%s:%d:%d", wb_listen_addresses, wb_port, wb_tls_port);
}

static int
number_of(bool with_tls)
{
	return with_tls ? wb_tls_port : wb_port;
}

/*
 * Opens a port that is closed and can be opened.  Shares it if another receiver
 * of this server has it, and still has it afterwards: in between, that one may
 * have ended and a stranger taken the port.
 */
static bool
open_port(bool with_tls)
{
	WbPort *port = &ports[with_tls];
	uint64 claim = hash_bytes_extended((const unsigned char *) wb_listen_addresses,
									   strlen(wb_listen_addresses), number_of(with_tls));
	bool joins = wb_slots_have_claim(claim);

	if (number_of(with_tls) == 0 || port->count > 0 || (with_tls && !wb_tls_is_ready()))
		return false;
	if (!open_addresses(with_tls, joins) || (joins && !wb_slots_have_claim(claim)))
	{
		close_port(with_tls);
		return false;
	}
	wb_listeners_share();
	wb_slot_claim(slot, with_tls, claim);
	forget_problem(port);
	port->has_lost = false;
	return true;
}

/* Opens the sockets of a port; on a failure some of them may be open. */
static bool
open_addresses(bool with_tls, bool joins)
{
	char *list = pstrdup(wb_listen_addresses);
	char *rest = NULL;
	char *host = strtok_r(list, " ,", &rest);
	bool success = host != NULL;

	if (host == NULL)
		report(with_tls, "", "webhook_bridge.listen_addresses names no address");
	for (; host && success; host = strtok_r(NULL, " ,", &rest))
		success = open_address(host, with_tls, joins);
	pfree(list);
	return success && ports[with_tls].count > 0;
}

/*
 * Opens the sockets of one address, or of what "*" and "localhost" stand for.
 * Nothing is ever looked up, which could take long while deliveries wait.
 */
static bool
open_address(const char *host, bool with_tls, bool joins)
{
	WbPort *port = &ports[with_tls];
	bool is_any = strcmp(host, "*") == 0;
	bool is_local = pg_strcasecmp(host, "localhost") == 0;
	struct addrinfo hints = {0};
	struct addrinfo *addresses;
	char service[8];
	int result;
	bool success = true;

	snprintf(service, sizeof(service), "%d", number_of(with_tls));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | (is_any ? AI_PASSIVE : 0);
	result = getaddrinfo(is_any || is_local ? NULL : host, service, &hints, &addresses);
	if (result != 0)
	{
		report(with_tls, host, gai_strerror(result));
		return false;
	}
	for (struct addrinfo *a = addresses; a && success; a = a->ai_next)
	{
		WbListener *listener = &port->listeners[port->count];
		int fd;

		if (port->count == MAX_LISTENERS)
		{
			report(with_tls, host, "too many addresses");
			success = false;
			break;
		}
		fd = open_socket(a, joins);
		/* a machine without IPv6 still has "*" and "localhost" */
		if (fd < 0 && (errno == EAFNOSUPPORT || (errno == EADDRNOTAVAIL && addresses->ai_next)))
			continue;
		if (fd < 0 && errno == EADDRINUSE && wb_receivers > 1 && !port->has_lost)
		{
			/* another receiver may have been faster, and is joined next time */
			port->has_lost = true;
			success = false;
		}
		else if (fd < 0 || !take_socket(listener, fd))
		{
			report(with_tls, host, strerror(errno));
			success = false;
		}
		else
		{
			listener->with_tls = with_tls;
			port->count++;
		}
	}
	freeaddrinfo(addresses);
	return success;
}

/* A listening socket, or -1 with errno set. */
static int
open_socket(const struct addrinfo *address, bool joins)
{
	int on = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* the sockets of connections inherit TCP_NODELAY */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		(joins && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0) ||
		(address->ai_family == AF_INET6 &&
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
		bind(fd, address->ai_addr, address->ai_addrlen) < 0 ||
		listen(fd, BACKLOG) < 0)
	{
		int saved_errno = errno;

		(void) close(fd);
		errno = saved_errno;
		return -1;
	}
	return fd;
}

/* Takes over a listening socket; if it cannot be watched closes it, with errno set. */
static bool
take_socket(WbListener *listener, int fd)
{
	int saved_errno;

	wb_loop_add(loop, &listener->watch, fd, on_ready, listener);
	listener->fd = fd;
	if (wb_loop_change(loop, &listener->watch, WB_READABLE))
		return true;
	saved_errno = errno;
	(void) close(fd);
	errno = saved_errno;
	return false;
}

static void
close_port(bool with_tls)
{
	WbPort *port = &ports[with_tls];

	/* first, so that who has seen a claim after joining has not joined a stranger */
	wb_slot_claim(slot, with_tls, 0);
	for (int i = 0; i < port->count; i++)
	{
		wb_loop_remove(loop, &port->listeners[i].watch);
		(void) close(port->listeners[i].fd);
	}
	port->count = 0;
}

/* Tells status() which ports should be open and are not. */
static void
tell_closed(void)
{
	bool is_same = wb_port == wb_tls_port;

	wb_slot_set_closed_ports(slot, ports[false].count == 0 ? wb_port : 0,
							 ports[true].count == 0 && !is_same ? wb_tls_port : 0);
}

/* Says once that deliveries cannot be received on a port, until the reason changes. */
static void
report(bool with_tls, const char *host, const char *problem)
{
	WbPort *port = &ports[with_tls];

	if (port->last_problem && strcmp(port->last_problem, problem) == 0)
		return;
	forget_problem(port);
	port->last_problem = MemoryContextStrdup(TopMemoryContext, problem);
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("webhook_bridge could not listen on \"%s\", port %d", host, number_of(with_tls)),
			 errdetail("%s.", problem),
			 errhint("It tries again every second. Is another program using the port? "
					 "See webhook_bridge.listen_addresses, webhook_bridge.port and webhook_bridge.tls_port.")));
}

static void
forget_problem(WbPort *port)
{
	if (port->last_problem)
		pfree(port->last_problem);
	port->last_problem = NULL;
}

static void
say_where(void)
{
	bool with_tls = ports[true].count > 0;

	if (with_tls && ports[false].count > 0)
		ereport(LOG,
				(errmsg("webhook_bridge listens on %s, port %d, and with TLS on port %d",
						wb_listen_addresses, wb_port, wb_tls_port)));
	else
		ereport(LOG,
				(errmsg(with_tls ? "webhook_bridge listens on %s, with TLS on port %d"
								 : "webhook_bridge listens on %s, port %d",
						wb_listen_addresses, number_of(with_tls))));
}

/* Accepts what is there, but not so much that those connected have to wait. */
static void
on_ready(void *owner, int ready)
{
	WbListener *listener = (WbListener *) owner;

	for (int n = 0; n < ACCEPTS_PER_TURN; n++)
	{
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);
		int fd;

		if (!wb_conns_have_room())
		{
			pause_accepting(0);
			return;
		}
		fd = accept4(listener->fd, (struct sockaddr *) &peer, &length,
					 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
		{
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(SHORTAGE_PAUSE_MS);
			return;
		}
		wb_conn_open(fd, &peer, listener->with_tls);
	}
}

static void
pause_accepting(int pause_ms)
{
	paused = true;
	paused_until_ms = wb_loop_now_ms(loop) + pause_ms;
	watch(0);
}

/* Watches the sockets again if connections can be taken; called every turn. */
void
wb_listeners_resume(void)
{
	if (!paused || wb_loop_now_ms(loop) < paused_until_ms || !wb_conns_have_room())
		return;
	paused = false;
	watch(WB_READABLE);
}

static void
watch(int interest)
{
	for (int p = 0; p < (int) lengthof(ports); p++)
		for (int i = 0; i < ports[p].count; i++)
			(void) wb_loop_change(loop, &ports[p].listeners[i].watch, interest);
}

/*
 * Raises this process's soft limit so that connections do not take the
 * descriptors that PostgreSQL counts on.
 */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t) wb_max_connections + SPARE_DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return;
	/* max_files_per_process is at most what the limit was at the start */
	wanted += 1024;
	if (limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? wanted : Min(wanted, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
		ereport(LOG,
				(errmsg("webhook_bridge may run out of file descriptors before it reaches %d connections",
						wb_max_connections),
				 errdetail("The limit of the process is %lu.", (unsigned long) limit.rlim_cur)));
}
