/*-------------------------------------------------------------------------
 *
 * http_client.c
 *	  Calls to providers over HTTPS, from a session.
 *
 * One call at a time, in the session that asks for it and while it waits.
 * libcurl does the work without ever blocking; what it wants to wait for is in
 * an epoll instance, on which the session waits together with its latch.  So a
 * cancelled statement, a terminated session and a barrier (DROP DATABASE) are
 * served at once, and every error is raised between two calls of libcurl:
 * callbacks only take notes.
 *
 * Where a call may go is decided when the socket is opened, about the very
 * address that it will be connected to; nobody can change the answer of the
 * name service in between.  Redirections are not followed, and of the
 * environment nothing is used: no proxy, no netrc, no cookies.
 *
 * libcurl's handles are kept for the next call, with at most
 * KEPT_CONNECTIONS connections.  Everything that belongs to one call ends with
 * it, and an error that interrupts a call ends the handles as well.
 *
 * libcurl looks up addresses in a thread.  It runs no code of PostgreSQL:
 * signals are blocked where it may be started.  A look-up that takes too long
 * is left to itself and ends with its own time-out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "address.h"
#include "guc.h"
#include "http_client.h"
#include "http_failure.h"

#define KEPT_CONNECTIONS 2

/*
 * Descriptors that the session may have open: the epoll instance, two that
 * wake libcurl, two of a look-up, the kept connections and two being opened
 * (IPv4 and IPv6).
 */
#define RESERVED_FDS (5 + KEPT_CONNECTIONS + 2)

/* For idempotent requests, if the connection fails. */
#define MAX_ATTEMPTS 3
#define FIRST_PAUSE_MS 100

#define MAX_FIELD_BYTES (256 * 1024)
#define MAX_FIELD_LINES 1000
#define MAX_EVENTS 8
#define LONGEST_WAIT_MS (60 * 1000)

/* Bytes that grow in a memory context, without ever raising an error. */
typedef struct Buffer
{
	MemoryContext context;
	char *data;
	size_t len;
	size_t capacity;
} Buffer;

/* One call of wb_http_send(). */
typedef struct Exchange
{
	const WbHttpRequest *request;
	int64 deadline; /* as now_ms() */
	WbHttpOutcome outcome;

	/* of the current attempt */
	Buffer fields;
	Buffer body;
	int field_lines;
	bool in_body;
	bool done;
	long status;
} Exchange;

/* What is kept between calls, and what libcurl needs during one. */
typedef struct Session
{
	CURLM *multi;
	CURL *easy;
	int epoll_fd;
	int reserved_fds;
	char *ca_file; /* of the kept connections */
	bool insecure; /* likewise */
	int64 timer;   /* when libcurl wants to be called, as now_ms(); -1: not */

	/* of the current call */
	bool added; /* easy to multi */
	CURLU *url;
	struct curl_slist *fields;
} Session;

static Session session = {.epoll_fd = -1};

static void open_session(void);
static void close_session(void);
static void end_attempt(void);
static void read_url(Exchange *exchange);
static char *url_part(CURLUPart part);
static void list_fields(const WbHttpRequest *request);
static void add_field(const char *line);
static void attempt(Exchange *exchange);
static CURLcode set_options(Exchange *exchange);
static CURLcode set_method(CURL *easy, const WbHttpRequest *request);
static void transfer(Exchange *exchange);
static void drive(Exchange *exchange, curl_socket_t fd, int flags);
static void read_result(Exchange *exchange);
static void finish(Exchange *exchange, CURLcode code);
static bool wait_until(int64 until, bool or_socket);
static curl_socket_t open_socket(void *client, curlsocktype purpose, struct curl_sockaddr *address);
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *client, void *socket_client);
static int set_timer(CURLM *multi, long timeout_ms, void *client);
static size_t take_field(char *data, size_t size, size_t count, void *client);
static size_t take_body(char *data, size_t size, size_t count, void *client);
static bool append(Buffer *buffer, const char *data, size_t len);
static void block_signals(sigset_t *saved);
static int64 now_ms(void);

void
wb_http_send(const WbHttpRequest *request, WbHttpResponse *response)
{
	Exchange *exchange = palloc0(sizeof(Exchange));

	wb_http_check_request(request);
	exchange->request = request;
	exchange->outcome.idempotent = request->idempotent;
	exchange->deadline = now_ms() + wb_http_timeout_ms;
	exchange->fields.context = CurrentMemoryContext;
	exchange->body.context = CurrentMemoryContext;
	CHECK_FOR_INTERRUPTS();
	open_session();
	PG_TRY();
	{
		int pause_ms = FIRST_PAUSE_MS;

		read_url(exchange);
		list_fields(request);
		for (int i = 1;; i++)
		{
			int64 next;

			attempt(exchange);
			end_attempt();
			next = now_ms() + pause_ms;
			if (i == MAX_ATTEMPTS || next >= exchange->deadline || !request->idempotent || !wb_http_may_pass(&exchange->outcome))
				break;
			while (now_ms() < next)
				(void) wait_until(next, false);
			pause_ms *= 2;
		}
	}
	PG_CATCH();
	{
		close_session();
		PG_RE_THROW();
	}
	PG_END_TRY();

	curl_slist_free_all(session.fields);
	session.fields = NULL;
	curl_url_cleanup(session.url);
	session.url = NULL;
	if (exchange->outcome.code != CURLE_OK)
		wb_http_raise(&exchange->outcome);

	response->status = (int) exchange->status;
	response->fields = wb_slice(exchange->fields.data, exchange->fields.len);
	response->body = wb_slice(exchange->body.data, exchange->body.len);
	response->host = exchange->outcome.host;
	response->call = exchange->outcome.call;
}

/* ---------------------------------------------------------------------------
 * The session
 * ------------------------------------------------------------------------- */

/*
 * Makes the handles, or keeps those of the last call.  Connections that were
 * made under other rules are not kept.
 */
static void
open_session(void)
{
	static bool initialized = false;

	if (session.multi != NULL && session.insecure == wb_http_allow_insecure &&
		strcmp(session.ca_file, wb_http_ca_file) == 0)
		return;
	close_session();

	if (!initialized)
	{
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
			close_session();
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

		close_session();
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
		curl_multi_setopt(session.multi, CURLMOPT_MAXCONNECTS, (long) KEPT_CONNECTIONS) != CURLM_OK)
	{
		close_session();
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not make the handles of libcurl")));
	}
}

/* Ends everything that there is, a call that is under way included.  Raises no error. */
static void
close_session(void)
{
	sigset_t saved;

	end_attempt();
	curl_slist_free_all(session.fields);
	session.fields = NULL;
	curl_url_cleanup(session.url);
	session.url = NULL;

	block_signals(&saved);
	curl_easy_cleanup(session.easy);
	session.easy = NULL;
	if (session.multi != NULL)
		curl_multi_cleanup(session.multi);
	session.multi = NULL;
	sigprocmask(SIG_SETMASK, &saved, NULL);

	if (session.epoll_fd >= 0)
		close(session.epoll_fd);
	session.epoll_fd = -1;
	for (; session.reserved_fds > 0; session.reserved_fds--)
		ReleaseExternalFD();
	if (session.ca_file != NULL)
		pfree(session.ca_file);
	session.ca_file = NULL;
}

/*
 * Takes the request out of libcurl; a connection on which it is under way is
 * closed.  The handle forgets everything it was told.
 */
static void
end_attempt(void)
{
	sigset_t saved;

	if (!session.added)
		return;
	block_signals(&saved);
	(void) curl_multi_remove_handle(session.multi, session.easy);
	curl_easy_reset(session.easy);
	sigprocmask(SIG_SETMASK, &saved, NULL);
	session.added = false;
}

/* ---------------------------------------------------------------------------
 * The request
 * ------------------------------------------------------------------------- */

/*
 * The URL is taken apart by libcurl, and in this form given to it, so that
 * there are no two opinions about what the host is.
 */
static void
read_url(Exchange *exchange)
{
	CURLUcode code = CURLUE_OUT_OF_MEMORY;
	char *scheme;
	char *port;

	session.url = curl_url();
	if (session.url != NULL)
		code = curl_url_set(session.url, CURLUPART_URL, exchange->request->url, CURLU_NON_SUPPORT_SCHEME);
	if (code == CURLUE_OUT_OF_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	scheme = code == CURLUE_OK ? url_part(CURLUPART_SCHEME) : NULL;
	exchange->outcome.host = code == CURLUE_OK ? url_part(CURLUPART_HOST) : NULL;
	if (scheme == NULL || exchange->outcome.host == NULL || exchange->outcome.host[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid URL of an HTTP request"),
				 errdetail("It has no scheme, no host, or a part that is not well-formed."),
				 errhint("It must be like \"https://api.example.com/v1/webhooks\".")));
	if (url_part(CURLUPART_USER) != NULL || url_part(CURLUPART_PASSWORD) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid URL of an HTTP request"),
				 errdetail("It contains a user name or a password."),
				 errhint("Credentials belong in a header.")));

	port = url_part(CURLUPART_PORT);
	exchange->outcome.call = psprintf("%s %s://%s%s%s%s", exchange->request->method, scheme, exchange->outcome.host,
									  port ? ":" : "", port ? port : "", url_part(CURLUPART_PATH));
	if (strcmp(scheme, "https") != 0 && (strcmp(scheme, "http") != 0 || !wb_http_allow_insecure))
		ereport(ERROR,
				(errcode(WB_ERRCODE_HTTP_ADDRESS),
				 errmsg("connecting to \"%s\" is not allowed", exchange->outcome.host),
				 errdetail("%s: The URL does not start with \"https://\".", exchange->outcome.call),
				 strcmp(scheme, "http") != 0
					 ? 0
					 : errhint("For a trial in a private network, a superuser can turn on webhook_bridge.http_allow_insecure.")));
}

/* A copy, or NULL if the URL has no such part. */
static char *
url_part(CURLUPart part)
{
	char *text;
	char *copy;

	if (curl_url_get(session.url, part, &text, CURLU_NO_DEFAULT_PORT) != CURLUE_OK)
		return NULL;
	copy = pstrdup(text);
	curl_free(text);
	return copy;
}

/* Names without a value remove what libcurl would send on its own account. */
static void
list_fields(const WbHttpRequest *request)
{
	bool has_type = false;

	for (int i = 0; i < request->field_count; i++)
	{
		const WbHttpField *field = &request->fields[i];

		has_type = has_type || pg_strcasecmp(field->name, "Content-Type") == 0;
		/* libcurl's way to say that a header has an empty value */
		if (field->value[strspn(field->value, " \t")] == '\0')
			add_field(psprintf("%s;", field->name));
		else
			add_field(psprintf("%s: %s", field->name, field->value));
	}
	if (!has_type)
		add_field("Content-Type:");
	add_field("Expect:");
}

static void
add_field(const char *line)
{
	struct curl_slist *longer = curl_slist_append(session.fields, line);

	if (longer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	session.fields = longer;
}

/* ---------------------------------------------------------------------------
 * An attempt
 * ------------------------------------------------------------------------- */

/* Leaves the result in exchange->outcome.code and what belongs to it. */
static void
attempt(Exchange *exchange)
{
	exchange->fields.len = 0;
	exchange->body.len = 0;
	exchange->field_lines = 0;
	exchange->in_body = false;
	exchange->outcome.too_large = false;
	exchange->outcome.opened = false;
	exchange->outcome.refused[0] = '\0';
	exchange->outcome.message[0] = '\0';
	exchange->status = 0;

	exchange->outcome.code = set_options(exchange);
	if (exchange->outcome.code != CURLE_OK)
	{
		curl_easy_reset(session.easy);
		return;
	}
	exchange->outcome.multi_code = curl_multi_add_handle(session.multi, session.easy);
	if (exchange->outcome.multi_code != CURLM_OK)
	{
		curl_easy_reset(session.easy);
		exchange->outcome.code = CURLE_FAILED_INIT;
		return;
	}
	session.added = true;
	transfer(exchange);
	if (exchange->outcome.code == CURLE_OK)
		exchange->outcome.code = curl_easy_getinfo(session.easy, CURLINFO_RESPONSE_CODE, &exchange->status);
}

#define SET(option, value)                                \
	do                                                    \
	{                                                     \
		if (code == CURLE_OK)                             \
			code = curl_easy_setopt(easy, option, value); \
	} while (0)

static CURLcode
set_options(Exchange *exchange)
{
	const WbHttpRequest *request = exchange->request;
	CURL *easy = session.easy;
	CURLcode code = CURLE_OK;
	int64 remaining = Max(exchange->deadline - now_ms(), 1);

	SET(CURLOPT_ERRORBUFFER, exchange->outcome.message);
	SET(CURLOPT_CURLU, session.url);
	SET(CURLOPT_HTTPHEADER, session.fields);
	SET(CURLOPT_USERAGENT, "webhook_bridge");
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);

	/* where it goes, and where not */
#if CURL_AT_LEAST_VERSION(7, 85, 0)
	SET(CURLOPT_PROTOCOLS_STR, session.insecure ? "https,http" : "https");
#else
	SET(CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTPS | (session.insecure ? CURLPROTO_HTTP : 0)));
#endif
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, exchange);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (session.ca_file[0] != '\0')
	{
		SET(CURLOPT_CAINFO, session.ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}

	/*
	 * A look-up that is interrupted must not be waited for.  Before 7.87 it
	 * is, and there a time-out or a cancel takes as long as the resolver.
	 */
	SET(CURLOPT_NOSIGNAL, 1L);
#if CURL_AT_LEAST_VERSION(7, 87, 0)
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(CURLOPT_TIMEOUT_MS, (long) remaining);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) Min(remaining, wb_http_connect_timeout_ms));

	/* who looks up a name that has moved finds it; kept connections need no look-up */
	SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L);

	/*
	 * On a kept connection that turns out to be dead libcurl sends a request
	 * again, and cannot know whether the other side has seen it.
	 */
	SET(CURLOPT_FRESH_CONNECT, request->idempotent ? 0L : 1L);

	SET(CURLOPT_HEADERFUNCTION, take_field);
	SET(CURLOPT_HEADERDATA, exchange);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, exchange);
	if (code == CURLE_OK)
		code = set_method(easy, request);
	return code;
}

static CURLcode
set_method(CURL *easy, const WbHttpRequest *request)
{
	CURLcode code = CURLE_OK;
	bool is_head = strcmp(request->method, "HEAD") == 0;

	if (request->body != NULL || request->method[0] == 'P')
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_len);
		SET(CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
	}
	else
		SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_CUSTOMREQUEST, request->method);
	/* what an answer to HEAD says about its size is not about itself */
	if (is_head)
		SET(CURLOPT_NOBODY, 1L);
	else
		SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) wb_http_max_response_kb * 1024);
	return code;
}

/*
 * Waits for what libcurl waits for until the request is done, and serves
 * interrupts.
 */
static void
transfer(Exchange *exchange)
{
	exchange->done = false;
	session.timer = -1;
	drive(exchange, CURL_SOCKET_TIMEOUT, 0);
	while (!exchange->done)
	{
		int64 until = session.timer >= 0 ? Min(session.timer, exchange->deadline) : exchange->deadline;
		struct epoll_event events[MAX_EVENTS];
		int count = 0;

		if (wait_until(until, true))
			count = epoll_wait(session.epoll_fd, events, MAX_EVENTS, 0);
		for (int i = 0; i < count && !exchange->done; i++)
			drive(exchange, events[i].data.fd,
				  ((events[i].events & EPOLLIN) ? CURL_CSELECT_IN : 0) |
					  ((events[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
					  ((events[i].events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0));
		if (!exchange->done && session.timer >= 0 && session.timer <= now_ms())
		{
			session.timer = -1;
			drive(exchange, CURL_SOCKET_TIMEOUT, 0);
		}
		/* libcurl has the same deadline and the better words */
		if (!exchange->done && now_ms() > exchange->deadline + 20)
			finish(exchange, CURLE_OPERATION_TIMEDOUT);
	}
}

static void
drive(Exchange *exchange, curl_socket_t fd, int flags)
{
	sigset_t saved;
	int running;

	block_signals(&saved);
	exchange->outcome.multi_code = curl_multi_socket_action(session.multi, fd, flags, &running);
	sigprocmask(SIG_SETMASK, &saved, NULL);
	read_result(exchange);
}

static void
read_result(Exchange *exchange)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(session.multi, &left)) != NULL)
		if (message->msg == CURLMSG_DONE && message->easy_handle == session.easy)
			finish(exchange, message->data.result);
	if (!exchange->done && exchange->outcome.multi_code != CURLM_OK)
		finish(exchange, CURLE_FAILED_INIT);
}

static void
finish(Exchange *exchange, CURLcode code)
{
	exchange->done = true;
	exchange->outcome.code = code;
}

/*
 * True if a socket may be ready; false if the time, as of now_ms(), has come
 * or the session was woken for something else, which is then served.
 */
static bool
wait_until(int64 until, bool or_socket)
{
	int64 timeout = Max(until - now_ms(), 0);
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

static curl_socket_t
open_socket(void *client, curlsocktype purpose, struct curl_sockaddr *address)
{
	Exchange *exchange = client;
	const void *bytes = NULL;
	bool is_public = false;

	if (address->family == AF_INET)
	{
		bytes = &((const struct sockaddr_in *) &address->addr)->sin_addr;
		is_public = wb_ipv4_is_public(bytes);
	}
	else if (address->family == AF_INET6)
	{
		bytes = &((const struct sockaddr_in6 *) &address->addr)->sin6_addr;
		is_public = wb_ipv6_is_public(bytes);
	}
	if (bytes == NULL || purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	if (!is_public && !session.insecure)
	{
		if (inet_ntop(address->family, bytes, exchange->outcome.refused, sizeof(exchange->outcome.refused)) == NULL)
			strcpy(exchange->outcome.refused, "?");
		return CURL_SOCKET_BAD;
	}
	exchange->outcome.opened = true;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

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
	session.timer = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	return 0;
}

/* Called with one whole line, also of interim responses and of trailers. */
static size_t
take_field(char *data, size_t size, size_t count, void *client)
{
	Exchange *exchange = client;
	size_t len = size * count;

	if (exchange->in_body)
		return len;
	if (++exchange->field_lines > MAX_FIELD_LINES ||
		exchange->fields.len + len > Min(MAX_FIELD_BYTES, (size_t) wb_http_max_response_kb * 1024))
	{
		exchange->outcome.too_large = true;
		return 0;
	}
	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
		exchange->fields.len = 0;
	else if (!append(&exchange->fields, data, len))
	{
		exchange->outcome.out_of_memory = true;
		return 0;
	}
	return len;
}

static size_t
take_body(char *data, size_t size, size_t count, void *client)
{
	Exchange *exchange = client;
	size_t len = size * count;

	exchange->in_body = true;
	if (exchange->body.len + len > (size_t) wb_http_max_response_kb * 1024)
	{
		exchange->outcome.too_large = true;
		return 0;
	}
	if (!append(&exchange->body, data, len))
	{
		exchange->outcome.out_of_memory = true;
		return 0;
	}
	return len;
}

/* False if there is no memory. */
static bool
append(Buffer *buffer, const char *data, size_t len)
{
	if (buffer->len + len > buffer->capacity)
	{
		size_t capacity = Max(buffer->len + len, Max(buffer->capacity * 2, 4096));
		char *larger = MemoryContextAllocExtended(buffer->context, capacity, MCXT_ALLOC_NO_OOM);

		if (larger == NULL)
			return false;
		if (buffer->data != NULL)
		{
			memcpy(larger, buffer->data, buffer->len);
			pfree(buffer->data);
		}
		buffer->data = larger;
		buffer->capacity = capacity;
	}
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	return true;
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
	sigprocmask(SIG_SETMASK, &all, saved);
}

static int64
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
