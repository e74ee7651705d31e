/*-------------------------------------------------------------------------
 *
 * listener.c
 *	  The sockets on which deliveries arrive.
 *
 * Opens one socket per address of webhook_bridge.listen_addresses and port,
 * with TLS and without, accepts connections and hands them to conn.c.  For want
 * of a certificate those for TLS stay closed, until a reload brings one.  When
 * no more connections can be taken, for the limit or for want of descriptors,
 * it stops watching its sockets instead of spinning on them: clients wait in
 * the kernel's queue.
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

#define MAX_LISTENERS 32
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

static WbLoop *loop;
static WbSlot *slot;
static WbListener listeners[MAX_LISTENERS];
static int listener_count = 0;
static bool paused = false;
static int64 paused_until_ms;     /* a shortage of descriptors is not over at once */
static char *opened_as = NULL;    /* the settings the sockets were opened with */
static char *last_problem = NULL; /* so that a lasting one is said once */
static bool has_lost = false;     /* the port, perhaps to a receiver that came first */

static char *settings(void);
static bool open_port(int port, bool with_tls);
static bool open_address(const char *host, int port, bool with_tls, bool joins);
static int open_socket(const struct addrinfo *address, bool joins);
static void report(const char *host, int port, const char *problem);
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
 * Opens all sockets, or none: false if one of the addresses cannot be used, after
 * a message in the log unless the reason may be gone at the next attempt.
 */
bool
wb_listeners_open(void)
{
	raise_descriptor_limit();
	if (wb_port == 0 && wb_tls_port == 0)
		report(wb_listen_addresses, 0, "Neither webhook_bridge.port nor webhook_bridge.tls_port is set");
	/* who shares a port would share it with itself */
	else if (wb_port == wb_tls_port)
		report(wb_listen_addresses, wb_port, "webhook_bridge.port and webhook_bridge.tls_port are the same");
	else if (open_port(wb_port, false) &&
			 (wb_tls_port == 0 || !wb_tls_prepare() || open_port(wb_tls_port, true)) &&
			 listener_count > 0)
	{
		opened_as = MemoryContextStrdup(TopMemoryContext, settings());
		say_where();
		if (last_problem)
			pfree(last_problem);
		last_problem = NULL;
		has_lost = false;
		return true;
	}
	wb_listeners_close();
	return false;
}

/* Lets other receivers have the same ports, if there are to be any. */
void
wb_listeners_share(void)
{
	int on = 1;

	/* who is left alone goes on sharing: the others may still have their sockets */
	for (int i = 0; i < listener_count && wb_receivers > 1; i++)
		(void) setsockopt(listeners[i].fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

void
wb_listeners_close(void)
{
	/* first, so that who has seen a claim after joining has not joined a stranger */
	wb_slot_claim(slot, false, 0);
	wb_slot_claim(slot, true, 0);
	for (int i = 0; i < listener_count; i++)
	{
		wb_loop_remove(loop, &listeners[i].watch);
		(void) close(listeners[i].fd);
	}
	listener_count = 0;
	paused = false;
	if (opened_as)
		pfree(opened_as);
	opened_as = NULL;
}

/* Whether the settings have changed since the sockets were opened. */
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
	return psprintf("%s:%d:%d", wb_listen_addresses, wb_port, wb_tls_is_ready() ? wb_tls_port : 0);
}

/*
 * Opens one port on all addresses; 0 stands for none.  Shares it if another
 * receiver of this server has it, and still has it afterwards: in between, that
 * one may have ended and a stranger taken the port.
 */
static bool
open_port(int port, bool with_tls)
{
	char *list = pstrdup(wb_listen_addresses);
	char *rest = NULL;
	char *host = strtok_r(list, " ,", &rest);
	uint64 claim = hash_bytes_extended((const unsigned char *) wb_listen_addresses,
									   strlen(wb_listen_addresses), port);
	bool joins = wb_slots_have_claim(claim);
	bool success = true;

	if (port != 0 && host == NULL)
	{
		report("", port, "webhook_bridge.listen_addresses names no address");
		success = false;
	}
	for (; port != 0 && host && success; host = strtok_r(NULL, " ,", &rest))
		success = open_address(strcmp(host, "*") == 0 ? NULL : host, port, with_tls, joins);
	if (joins && !wb_slots_have_claim(claim))
		success = false;
	if (port != 0 && success)
	{
		wb_listeners_share();
		wb_slot_claim(slot, with_tls, claim);
	}
	pfree(list);
	return success;
}

/* Opens the sockets of one name or address; NULL stands for all addresses. */
static bool
open_address(const char *host, int port, bool with_tls, bool joins)
{
	struct addrinfo hints = {0};
	struct addrinfo *addresses;
	char service[8];
	int result;
	bool success = true;

	snprintf(service, sizeof(service), "%d", port);
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
	result = getaddrinfo(host, service, &hints, &addresses);
	if (result != 0)
	{
		report(host ? host : "*", port, gai_strerror(result));
		return false;
	}
	for (struct addrinfo *a = addresses; a && success; a = a->ai_next)
	{
		WbListener *listener = &listeners[listener_count];
		int fd;

		if (listener_count == MAX_LISTENERS)
		{
			report(host ? host : "*", port, "too many addresses");
			success = false;
			break;
		}
		fd = open_socket(a, joins);
		/* a machine without IPv6 still has "*" and "localhost" */
		if (fd < 0 && (errno == EAFNOSUPPORT || (errno == EADDRNOTAVAIL && addresses->ai_next)))
			continue;
		if (fd < 0 && errno == EADDRINUSE && wb_receivers > 1 && !has_lost)
		{
			/* another receiver may have been faster, and is joined next time */
			has_lost = true;
			success = false;
		}
		else if (fd < 0 || !wb_loop_add(loop, &listener->watch, fd, WB_READABLE, on_ready, listener))
		{
			report(host ? host : "*", port, strerror(errno));
			if (fd >= 0)
				(void) close(fd);
			success = false;
		}
		else
		{
			listener->fd = fd;
			listener->with_tls = with_tls;
			listener_count++;
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
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
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

/* Says once that deliveries cannot be received, until the reason changes. */
static void
report(const char *host, int port, const char *problem)
{
	if (last_problem && strcmp(last_problem, problem) == 0)
		return;
	if (last_problem)
		pfree(last_problem);
	last_problem = MemoryContextStrdup(TopMemoryContext, problem);
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("webhook_bridge could not listen on \"%s\", port %d", host, port),
			 errdetail("%s.", problem),
			 errhint("It tries again every second. Is another program using the port? "
					 "See webhook_bridge.listen_addresses, webhook_bridge.port and webhook_bridge.tls_port.")));
}

static void
say_where(void)
{
	bool with_tls = listeners[listener_count - 1].with_tls;

	if (with_tls && wb_port != 0)
		ereport(LOG,
				(errmsg("webhook_bridge listens on %s, port %d, and with TLS on port %d",
						wb_listen_addresses, wb_port, wb_tls_port)));
	else
		ereport(LOG,
				(errmsg(with_tls ? "webhook_bridge listens on %s, with TLS on port %d"
								 : "webhook_bridge listens on %s, port %d",
						wb_listen_addresses, with_tls ? wb_tls_port : wb_port)));
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
		int on = 1;
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
		(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		wb_conn_open(fd, &peer, listener->with_tls);
	}
}

static void
pause_accepting(int pause_ms)
{
	paused = true;
	paused_until_ms = wb_loop_now_ms(loop) + pause_ms;
	for (int i = 0; i < listener_count; i++)
		wb_loop_change(loop, &listeners[i].watch, 0);
}

/* Watches the sockets again if connections can be taken; called every turn. */
void
wb_listeners_resume(void)
{
	if (!paused || wb_loop_now_ms(loop) < paused_until_ms || !wb_conns_have_room())
		return;
	paused = false;
	for (int i = 0; i < listener_count; i++)
		wb_loop_change(loop, &listeners[i].watch, WB_READABLE);
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
