/*-------------------------------------------------------------------------
 *
 * http_client.c
 *	  Calls to providers over HTTPS, from a session.
 *
 * One call at a time, in the session that asks for it and while it waits;
 * http_session.c does the waiting.  libcurl's callbacks only take notes, and
 * errors are raised between two calls of libcurl.
 *
 * Where a call may go is decided when the socket is opened, about the very
 * address that it will be connected to; nobody can change the answer of the
 * name service in between.  Redirections are not followed, and of the
 * environment nothing is used: no proxy, no netrc, no cookies.
 *
 * Everything that belongs to one call ends with it.  libcurl's handles are
 * kept for the next one if there was an answer.  After an error everything is
 * made anew: nothing of what has failed is left, and a file of authorities that
 * has been put right is read again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <sys/socket.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "address.h"
#include "guc.h"
#include "http_client.h"
#include "http_failure.h"
#include "http_session.h"

/* For idempotent requests, if the connection fails. */
#define MAX_ATTEMPTS 3
#define FIRST_PAUSE_MS 100

#define MAX_FIELD_BYTES (256 * 1024)
#define MAX_FIELD_LINES 1000

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
	int64 deadline; /* as wb_http_now_ms() */
	WbHttpOutcome outcome;

	/* libcurl's */
	CURL *easy;
	CURLU *url;
	struct curl_slist *lines; /* of headers */

	/* of the current attempt */
	Buffer fields;
	Buffer body;
	int field_lines;    /* of interim responses as well */
	size_t field_bytes; /* likewise */
	bool head_ended;
	long status;
} Exchange;

static void read_url(Exchange *exchange);
static bool has_two_slashes(const char *url);
static char *url_part(CURLU *url, CURLUPart part);
static void list_fields(Exchange *exchange);
static void add_field(Exchange *exchange, const char *line);
static void free_request(Exchange *exchange);
static void attempt(Exchange *exchange);
static bool has_begun(CURL *easy);
static CURLcode set_options(Exchange *exchange);
static CURLcode set_method(CURL *easy, const WbHttpRequest *request);
static curl_socket_t open_socket(void *client, curlsocktype purpose, struct curl_sockaddr *address);
static size_t take_field(char *data, size_t size, size_t count, void *client);
static bool is_compressed(WbSlice line);
static size_t take_body(char *data, size_t size, size_t count, void *client);
static bool append(Buffer *buffer, const char *data, size_t len);

void
wb_http_send(const WbHttpRequest *request, WbHttpResponse *response)
{
	Exchange *exchange = palloc0(sizeof(Exchange));

	wb_http_check_request(request);
	exchange->request = request;
	exchange->outcome.idempotent = request->idempotent;
	exchange->deadline = wb_http_now_ms() + wb_http_timeout_ms;
	exchange->fields.context = CurrentMemoryContext;
	exchange->body.context = CurrentMemoryContext;
	CHECK_FOR_INTERRUPTS();
	exchange->easy = wb_http_session_open();
	PG_TRY();
	{
		int pause_ms = FIRST_PAUSE_MS;

		read_url(exchange);
		list_fields(exchange);
		for (int i = 1;; i++)
		{
			int64 next;

			attempt(exchange);
			next = wb_http_now_ms() + pause_ms;
			if (i == MAX_ATTEMPTS || next >= exchange->deadline || !request->idempotent || !wb_http_may_pass(&exchange->outcome))
				break;
			wb_http_session_wait(next);
			pause_ms *= 2;
		}
		if (exchange->outcome.code != CURLE_OK)
			wb_http_raise(&exchange->outcome);
	}
	PG_CATCH();
	{
		wb_http_session_close();
		free_request(exchange);
		PG_RE_THROW();
	}
	PG_END_TRY();

	free_request(exchange);

	response->status = (int) exchange->status;
	response->fields = wb_slice(exchange->fields.data, exchange->fields.len);
	response->body = wb_slice(exchange->body.data, exchange->body.len);
	response->host = exchange->outcome.host;
	response->call = exchange->outcome.call;
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

	exchange->url = curl_url();
	if (exchange->url != NULL)
		code = curl_url_set(exchange->url, CURLUPART_URL, exchange->request->url, CURLU_NON_SUPPORT_SCHEME);
	if (code == CURLUE_OK && !has_two_slashes(exchange->request->url))
		code = CURLUE_MALFORMED_INPUT;
	if (code == CURLUE_OUT_OF_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	scheme = code == CURLUE_OK ? url_part(exchange->url, CURLUPART_SCHEME) : NULL;
	exchange->outcome.host = code == CURLUE_OK ? url_part(exchange->url, CURLUPART_HOST) : NULL;
	if (scheme == NULL || exchange->outcome.host == NULL || exchange->outcome.host[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid URL of an HTTP request"),
				 errdetail("It has no scheme, no host, or a part that is not well-formed."),
				 errhint("It must be like \"https://api.example.com/v1/webhooks\".")));
	if (url_part(exchange->url, CURLUPART_USER) != NULL || url_part(exchange->url, CURLUPART_PASSWORD) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid URL of an HTTP request"),
				 errdetail("It contains a user name or a password."),
				 errhint("Credentials belong in a header.")));

	port = url_part(exchange->url, CURLUPART_PORT);
	exchange->outcome.call = psprintf("%s %s://%s%s%s%s", exchange->request->method, scheme, exchange->outcome.host,
									  port ? ":" : "", port ? port : "", url_part(exchange->url, CURLUPART_PATH));
	if (strcmp(scheme, "https") != 0 && (strcmp(scheme, "http") != 0 || !wb_http_allow_insecure))
		ereport(ERROR,
				(errcode(WB_ERRCODE_HTTP_ADDRESS),
				 errmsg("connecting to \"%s\" is not allowed", exchange->outcome.host),
				 errdetail("%s: The URL does not start with \"https://\".", exchange->outcome.call),
				 strcmp(scheme, "http") != 0
					 ? 0
					 : errhint("For a trial in a private network, a superuser can turn on webhook_bridge.http_allow_insecure.")));
}

/* libcurl also takes one slash or three in front of the host. */
static bool
has_two_slashes(const char *url)
{
	const char *colon = strchr(url, ':');

	return colon != NULL && strncmp(colon, "://", 3) == 0 && colon[3] != '/';
}

/* A copy, or NULL if the URL has no such part. */
static char *
url_part(CURLU *url, CURLUPart part)
{
	char *text;
	char *copy;

	if (curl_url_get(url, part, &text, CURLU_NO_DEFAULT_PORT) != CURLUE_OK)
		return NULL;
	copy = pstrdup(text);
	curl_free(text);
	return copy;
}

/* Names without a value remove what libcurl would send on its own account. */
static void
list_fields(Exchange *exchange)
{
	const WbHttpRequest *request = exchange->request;
	bool has_type = false;

	for (int i = 0; i < request->field_count; i++)
	{
		const WbHttpField *field = &request->fields[i];

		has_type = has_type || pg_strcasecmp(field->name, "Content-Type") == 0;
		/* libcurl's way to say that a header has an empty value */
		if (field->value[strspn(field->value, " \t")] == '\0')
			add_field(exchange, psprintf("%s;", field->name));
		else
			add_field(exchange, psprintf("%s: %s", field->name, field->value));
	}
	if (!has_type)
		add_field(exchange, "Content-Type:");
	add_field(exchange, "Expect:");
}

static void
add_field(Exchange *exchange, const char *line)
{
	struct curl_slist *longer = curl_slist_append(exchange->lines, line);

	if (longer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	exchange->lines = longer;
}

static void
free_request(Exchange *exchange)
{
	curl_slist_free_all(exchange->lines);
	curl_url_cleanup(exchange->url);
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
	exchange->field_bytes = 0;
	exchange->head_ended = false;
	exchange->outcome.too_large = false;
	exchange->outcome.compressed = false;
	exchange->outcome.opened = false;
	exchange->outcome.refused[0] = '\0';
	exchange->outcome.message[0] = '\0';
	exchange->status = 0;

	exchange->outcome.code = set_options(exchange);
	if (exchange->outcome.code == CURLE_OK)
		exchange->outcome.code = wb_http_session_perform(exchange->deadline, &exchange->outcome.multi_code);
	if (exchange->outcome.code == CURLE_OK)
		exchange->outcome.code = curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &exchange->status);
	/* libcurl's word for a line that is longer than it takes, which is 100 kB */
	if (exchange->outcome.code == CURLE_OUT_OF_MEMORY && !exchange->head_ended && has_begun(exchange->easy))
		exchange->outcome.too_large = true;
	/* an interim response that libcurl takes for the answer: 101 */
	if (exchange->outcome.code == CURLE_OK && exchange->status < 200)
		exchange->outcome.code = CURLE_WEIRD_SERVER_REPLY;
	/* which libcurl takes for an answer without a body */
	if (exchange->outcome.code == CURLE_OK && !exchange->head_ended)
		exchange->outcome.code = CURLE_PARTIAL_FILE;
	wb_http_session_reset();
}

/* Whether the first byte of an answer has arrived. */
static bool
has_begun(CURL *easy)
{
	curl_off_t begun = 0;

	(void) curl_easy_getinfo(easy, CURLINFO_STARTTRANSFER_TIME_T, &begun);
	return begun > 0;
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
	CURL *easy = exchange->easy;
	CURLcode code = CURLE_OK;
	int64 remaining = Max(exchange->deadline - wb_http_now_ms(), 1);

	SET(CURLOPT_ERRORBUFFER, exchange->outcome.message);
	SET(CURLOPT_CURLU, exchange->url);
	SET(CURLOPT_HTTPHEADER, exchange->lines);
	SET(CURLOPT_USERAGENT, "webhook_bridge");
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);

	/* where it goes, and where not */
	SET(CURLOPT_PROTOCOLS_STR, wb_http_allow_insecure ? "https,http" : "https");
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, exchange);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (wb_http_ca_file[0] != '\0')
	{
		SET(CURLOPT_CAINFO, wb_http_ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}

	/* a look-up that is interrupted must not be waited for */
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
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
	if (!is_public && !wb_http_allow_insecure)
	{
		if (inet_ntop(address->family, bytes, exchange->outcome.refused, sizeof(exchange->outcome.refused)) == NULL)
			strcpy(exchange->outcome.refused, "?");
		return CURL_SOCKET_BAD;
	}
	exchange->outcome.opened = true;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/*
 * Called with one whole line of a head, also of interim responses, which are
 * dropped when they end, and of trailers, which are left out.
 */
static size_t
take_field(char *data, size_t size, size_t count, void *client)
{
	Exchange *exchange = client;
	WbSlice line = wb_slice(data, size * count);

	if (exchange->head_ended)
		return line.len;
	exchange->field_lines++;
	exchange->field_bytes += line.len;
	if (exchange->field_lines > MAX_FIELD_LINES ||
		exchange->field_bytes > Min(MAX_FIELD_BYTES, (size_t) wb_http_max_response_kb * 1024))
	{
		exchange->outcome.too_large = true;
		return 0;
	}
	if (is_compressed(line))
	{
		exchange->outcome.compressed = true;
		return 0;
	}
	if (!append(&exchange->fields, line.data, line.len))
	{
		exchange->outcome.out_of_memory = true;
		return 0;
	}
	if (line.data[0] == '\r' || line.data[0] == '\n')
	{
		long status = 0;

		(void) curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
		exchange->head_ended = status >= 200;
		if (!exchange->head_ended)
			exchange->fields.len = 0;
	}
	return line.len;
}

/*
 * libcurl undoes encodings of the transfer that nobody has asked for (RFC 9112,
 * section 7.4), one upon the other, and some bytes from the network can then
 * keep it busy for minutes in which no interrupt is served.
 */
static bool
is_compressed(WbSlice line)
{
	WbSlice name;

	if (!wb_slice_next(&line, ':', &name) || !wb_slice_equal_nocase(name, wb_slice_cstring("Transfer-Encoding")))
		return false;
	while (line.len > 0 && strchr(" \t\r\n", line.data[line.len - 1]) != NULL)
		line.len--;
	while (line.len > 0 && strchr(" \t", line.data[0]) != NULL)
		line = wb_slice(line.data + 1, line.len - 1);
	return !wb_slice_equal_nocase(line, wb_slice_cstring("chunked"));
}

static size_t
take_body(char *data, size_t size, size_t count, void *client)
{
	Exchange *exchange = client;
	size_t len = size * count;

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
