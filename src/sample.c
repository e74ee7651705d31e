/*-------------------------------------------------------------------------
 *
 * sample.c
 *	  Sending a self-test's sample to the receivers of this server.
 *
 * Not a call to a provider: it goes to this server's own listen address, which
 * http_client.c would refuse, and over TLS its certificate, made for the world's
 * name of the receiver, is not verified.  What both have in common is in
 * http_session.c.  The connection ends with the call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "guc.h"
#include "http_session.h"
#include "sample.h"

#define CONNECT_TIMEOUT_MS 2000
#define MAX_CONTENT 200 /* bytes of an answer that are kept */

typedef struct Exchange
{
	CURL *easy;
	struct curl_slist *lines;
	char message[CURL_ERROR_SIZE];
	char content[MAX_CONTENT + 1];
	size_t content_len;
} Exchange;

static bool add_line(Exchange *exchange, const char *line);
static CURLcode set_options(Exchange *exchange, const char *url, const WbSample *sample, int64 until);
static size_t take_content(char *data, size_t size, size_t count, void *client);

/* The first listen address, and of all addresses the loopback. */
char *
wb_sample_base(bool with_tls)
{
	char *list = pstrdup(wb_listen_addresses);
	char *rest = NULL;
	char *host = strtok_r(list, " ,", &rest);
	int port = with_tls ? wb_tls_port : wb_port;

	if (host == NULL || port == 0)
		return NULL;
	if (strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0)
		host = "127.0.0.1";
	else if (strcmp(host, "::") == 0)
		host = "::1";
	return psprintf(strchr(host, ':') != NULL ? "%s://[%s]:%d" : "%s://%s:%d",
					with_tls ? "https" : "http", host, port);
}

void
wb_sample_send(const char *base, const WbSample *sample, int64 until, WbSampleAnswer *answer)
{
	Exchange *exchange = palloc0(sizeof(Exchange));
	char *url = psprintf("%s%s", base, sample->target);
	long status = 0;

	memset(answer, 0, sizeof(*answer));
	exchange->easy = wb_http_session_open();
	PG_TRY();
	{
		CURLMcode multi_code = CURLM_OK;
		CURLcode code = CURLE_OK;

		for (int i = 0; i < sample->field_count && code == CURLE_OK; i++)
			if (!add_line(exchange, psprintf("%s: %s", sample->names[i], sample->values[i])))
				code = CURLE_OUT_OF_MEMORY;
		if (code == CURLE_OK)
			code = add_line(exchange, "Expect:") ? set_options(exchange, url, sample, until) : CURLE_OUT_OF_MEMORY;
		if (code == CURLE_OK)
			code = wb_http_session_perform(until, &multi_code);
		if (code == CURLE_OK)
			code = curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
		answer->status = code == CURLE_OK ? (int) status : 0;
		answer->content = pstrdup(exchange->content);
		if (code != CURLE_OK)
			answer->problem = pstrdup(exchange->message[0] != '\0' ? exchange->message : curl_easy_strerror(code));
	}
	PG_FINALLY();
	{
		wb_http_session_close();
		curl_slist_free_all(exchange->lines);
	}
	PG_END_TRY();
}

static bool
add_line(Exchange *exchange, const char *line)
{
	struct curl_slist *longer = curl_slist_append(exchange->lines, line);

	if (longer != NULL)
		exchange->lines = longer;
	return longer != NULL;
}

#define SET(option, value)                                          \
	do                                                              \
	{                                                               \
		if (code == CURLE_OK)                                       \
			code = curl_easy_setopt(exchange->easy, option, value); \
	} while (0)

static CURLcode
set_options(Exchange *exchange, const char *url, const WbSample *sample, int64 until)
{
	CURLcode code = CURLE_OK;
	long remaining_ms = (long) Max(until - wb_http_now_ms(), 1);

	SET(CURLOPT_ERRORBUFFER, exchange->message);
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_HTTPHEADER, exchange->lines);
	SET(CURLOPT_USERAGENT, "webhook_bridge self_test");
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_PROTOCOLS_STR, "https,http");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_SSL_VERIFYPEER, 0L);
	SET(CURLOPT_SSL_VERIFYHOST, 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_TIMEOUT_MS, remaining_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, Min(remaining_ms, (long) CONNECT_TIMEOUT_MS));
	/* on a kept connection libcurl might send it twice */
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) sample->body.len);
	SET(CURLOPT_POSTFIELDS, sample->body.data);
	SET(CURLOPT_WRITEFUNCTION, take_content);
	SET(CURLOPT_WRITEDATA, exchange);
	return code;
}

/* A callback of libcurl.  It raises no error. */
static size_t
take_content(char *data, size_t size, size_t count, void *client)
{
	Exchange *exchange = client;
	size_t len = Min(size * count, MAX_CONTENT - exchange->content_len);

	memcpy(exchange->content + exchange->content_len, data, len);
	exchange->content_len += len;
	return size * count;
}
