/*-------------------------------------------------------------------------
 *
 * http_session.c
 *	  libcurl in a session of PostgreSQL: its handles, and waiting for it.
 *
 * libcurl does the work without ever blocking; what it wants to wait for is in
 * an epoll instance, on which the session waits together with its latch.  So a
 * cancelled statement, a terminated session and a barrier (DROP DATABASE) are
 * served at once, and every error is raised between two calls of libcurl.
 * What a request is, and what its answer, is the business of http_client.c.
 *
 * The handles are kept for the next call, with at most one connection.  Whoever
 * raises an error while a request is under way closes them.
 *
 * libcurl looks up addresses in a thread.  It runs no code of PostgreSQL:
 * signals are blocked where it may be started.  A look-up that takes too long
 * is left to itself and ends with its own time-out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "guc.h"
#include "http_session.h"

#define MAX_LOST_LOOKUPS 16

/*
 * Descriptors that the session may have open: the epoll instance, two that
 * wake libcurl, two of a look-up, the kept connection, two being opened
 * (IPv4 and IPv6), and one of each look-up that was left to itself.
 */
#define RESERVED_FDS (5 + 1 + 2 + MAX_LOST_LOOKUPS)

#define MAX_EVENTS 8
#define LONGEST_WAIT_MS (60 * 1000)

/* libcurl has the same deadline and the better words. */
#define GRACE_MS 20

typedef struct Session
{
	CURLM *multi;
	CURL *easy;
	int epoll_fd;
	int reserved_fds;
	curl_socket_t kept_fd; /* the connection that is kept, or CURL_SOCKET_BAD */
	char *ca_file;         /* of the kept connection */
	bool insecure;         /* likewise */
	int64 timer;           /* when libcurl wants to be called, as wb_http_now_ms(); -1: not */

	/* of the current request */
	bool added; /* easy to multi */
	bool done;
	CURLcode code; /* once it is done */
	CURLMcode multi_code;
} Session;

static Session session = {.epoll_fd = -1, .kept_fd = CURL_SOCKET_BAD};

static void check_lost_lookups(void);
static bool has_unread_bytes(curl_socket_t fd);
static void transfer(int64 deadline);
static void drive(curl_socket_t fd, int flags);
static void read_result(void);
static void finish(CURLcode code);
static bool wait_until(int64 until, bool or_socket);
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *client, void *socket_client);
static int set_timer(CURLM *multi, long timeout_ms, void *client);
static void block_signals(sigset_t *saved);
static void restore_signals(const sigset_t *saved);

/* ---------------------------------------------------------------------------
 * The handles
 * ------------------------------------------------------------------------- */

/* A connection that was made under other rules is not kept. */
CURL *
wb_http_session_open(void)
{
	static bool initialized = false;

	check_lost_lookups();
	if (session.multi != NULL && session.insecure == wb_http_allow_insecure &&
		strcmp(session.ca_file, wb_http_ca_file) == 0 && !has_unread_bytes(session.kept_fd))
		return session.easy;
	wb_http_session_close();

	if (!initialized)
	{
		/* would have the keys of all connections written to a file */
		unsetenv("SSLKEYLOGFILE");
		if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("could not initialize libcurl")));
		initialized = true;
	}
	session.ca_file = MemoryContextStrdup(TopMemoryContext, wb_http_ca_file);
	session.insecure = wb_http_allow_insecure;

	for (; session.reserved_fds < RESERVED_FDS; session.reserved_fds++)
	{
		if (!AcquireExternalFD())
		{
			wb_http_session_close();
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("could not open a connection to a provider"),
					 errdetail("There are too many open files on the local server."),
					 errhint("Raise the server's max_files_per_process and/or \"ulimit -n\" limits.")));
		}
	}
	session.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (session.epoll_fd < 0)
	{
		int saved_errno = errno;

		wb_http_session_close();
		errno = saved_errno;
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not create an epoll instance: %m")));
	}
	session.easy = curl_easy_init();
	session.multi = curl_multi_init();
	if (session.easy == NULL || session.multi == NULL ||
		curl_multi_setopt(session.multi, CURLMOPT_SOCKETFUNCTION, watch_socket) != CURLM_OK ||
		curl_multi_setopt(session.multi, CURLMOPT_TIMERFUNCTION, set_timer) != CURLM_OK ||
		curl_multi_setopt(session.multi, CURLMOPT_MAXCONNECTS, 1L) != CURLM_OK)
	{
		wb_http_session_close();
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not make the handles of libcurl")));
	}
	return session.easy;
}

/*
 * A look-up that is left to itself keeps a thread and a descriptor until the
 * resolver gives up, and a caller with short time-outs could begin any number
 * of them.  Threads are counted by Linux: a directory has a link more for each
 * directory in it.
 */
static void
check_lost_lookups(void)
{
	struct stat threads;

	if (stat("/proc/self/task", &threads) == 0 && threads.st_nlink >= 2 + 1 + MAX_LOST_LOOKUPS)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("too many look-ups of addresses are under way"),
				 errdetail("The name service has not answered those of %d earlier calls of this session.", MAX_LOST_LOOKUPS),
				 errhint("Try again later.")));
}

/*
 * What has arrived since the last answer, such as word that the other side has
 * waited long enough, would be taken for the answer to the next request.
 */
static bool
has_unread_bytes(curl_socket_t fd)
{
	char byte;

	return fd != CURL_SOCKET_BAD && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void
wb_http_session_close(void)
{
	sigset_t saved;

	wb_http_session_reset();

	block_signals(&saved);
	curl_easy_cleanup(session.easy);
	session.easy = NULL;
	if (session.multi != NULL)
		curl_multi_cleanup(session.multi);
	session.multi = NULL;
	session.kept_fd = CURL_SOCKET_BAD;
	restore_signals(&saved);

	if (session.epoll_fd >= 0)
		close(session.epoll_fd);
	session.epoll_fd = -1;
	for (; session.reserved_fds > 0; session.reserved_fds--)
		ReleaseExternalFD();
	if (session.ca_file != NULL)
		pfree(session.ca_file);
	session.ca_file = NULL;
}

void
wb_http_session_reset(void)
{
	sigset_t saved;

	if (session.easy == NULL)
		return;
	block_signals(&saved);
	if (session.added)
		(void) curl_multi_remove_handle(session.multi, session.easy);
	session.added = false;
	curl_easy_reset(session.easy);
	restore_signals(&saved);
}

/* ---------------------------------------------------------------------------
 * A request
 * ------------------------------------------------------------------------- */

CURLcode
wb_http_session_perform(int64 deadline, CURLMcode *multi_code)
{
	session.done = false;
	session.timer = -1;
	session.kept_fd = CURL_SOCKET_BAD;
	session.multi_code = curl_multi_add_handle(session.multi, session.easy);
	if (session.multi_code == CURLM_OK)
	{
		session.added = true;
		transfer(deadline);
	}
	else
		finish(CURLE_FAILED_INIT);
	if (session.code == CURLE_OK)
		(void) curl_easy_getinfo(session.easy, CURLINFO_ACTIVESOCKET, &session.kept_fd);
	*multi_code = session.multi_code;
	return session.code;
}

/* Waits for what libcurl waits for until the request is done. */
static void
transfer(int64 deadline)
{
	drive(CURL_SOCKET_TIMEOUT, 0);
	while (!session.done)
	{
		int64 until = session.timer >= 0 ? Min(session.timer, deadline + GRACE_MS) : deadline + GRACE_MS;
		struct epoll_event events[MAX_EVENTS];
		int count = 0;

		if (wait_until(until, true))
			count = epoll_wait(session.epoll_fd, events, MAX_EVENTS, 0);
		for (int i = 0; i < count && !session.done; i++)
			drive(events[i].data.fd,
				  ((events[i].events & EPOLLIN) ? CURL_CSELECT_IN : 0) |
					  ((events[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
					  ((events[i].events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0));
		if (!session.done && session.timer >= 0 && session.timer <= wb_http_now_ms())
		{
			session.timer = -1;
			drive(CURL_SOCKET_TIMEOUT, 0);
		}
		if (!session.done && wb_http_now_ms() >= deadline + GRACE_MS)
			finish(CURLE_OPERATION_TIMEDOUT);
	}
}

static void
drive(curl_socket_t fd, int flags)
{
	sigset_t saved;
	int running;

	block_signals(&saved);
	session.multi_code = curl_multi_socket_action(session.multi, fd, flags, &running);
	restore_signals(&saved);
	read_result();
}

static void
read_result(void)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(session.multi, &left)) != NULL)
		if (message->msg == CURLMSG_DONE && message->easy_handle == session.easy)
			finish(message->data.result);
	if (!session.done && session.multi_code != CURLM_OK)
		finish(CURLE_FAILED_INIT);
}

static void
finish(CURLcode code)
{
	session.done = true;
	session.code = code;
}

void
wb_http_session_wait(int64 until)
{
	while (wb_http_now_ms() < until)
		(void) wait_until(until, false);
}

/*
 * True if a socket may be ready; false if the time has come or the session was
 * woken for something else, which is then served.
 */
static bool
wait_until(int64 until, bool or_socket)
{
	int64 timeout = Max(until - wb_http_now_ms(), 0);
	int events = WaitLatchOrSocket(MyLatch,
								   WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | (or_socket ? WL_SOCKET_READABLE : 0),
								   or_socket ? session.epoll_fd : PGINVALID_SOCKET,
								   (long) Min(timeout, LONGEST_WAIT_MS), PG_WAIT_EXTENSION);

	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return (events & WL_SOCKET_READABLE) != 0;
}

/* ---------------------------------------------------------------------------
 * Callbacks of libcurl.  They raise no error.
 * ------------------------------------------------------------------------- */

/* A socket that was closed without a word, and its number given out again, is added anew. */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *client, void *socket_client)
{
	struct epoll_event event = {0};

	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(session.epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.data.fd = fd;
	event.events = ((what & CURL_POLL_IN) ? EPOLLIN : 0) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0);
	if (epoll_ctl(session.epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0 ||
		(errno == ENOENT && epoll_ctl(session.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0))
		return 0;
	return -1;
}

static int
set_timer(CURLM *multi, long timeout_ms, void *client)
{
	session.timer = timeout_ms < 0 ? -1 : wb_http_now_ms() + timeout_ms;
	return 0;
}

/* ---------------------------------------------------------------------------
 * The process
 * ------------------------------------------------------------------------- */

/* A thread inherits what is blocked, and so never runs a handler of ours. */
static void
block_signals(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

int64
wb_http_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
