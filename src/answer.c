/*-------------------------------------------------------------------------
 *
 * answer.c
 *	  The answers a receiver gives.
 *
 * A fixed text per outcome: the body says what happened and nothing about why,
 * because whoever is refused may be an attacker.  Successes are 200 and
 * nothing else; some providers count any other 2xx as a failure.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "answer.h"

/* Seconds after which a client may try again when nothing can be stored. */
#define RETRY_AFTER "5"

typedef struct AnswerText
{
	int status;
	const char *reason;
	const char *fields; /* header lines particular to this answer */
	const char *body;
	WbCounter counter;
} AnswerText;

static const AnswerText answers[] = {
	[WB_ANSWER_STORED] = {200, "OK", "", "{\"status\":\"stored\"}", WB_COUNT_STORED},
	[WB_ANSWER_DUPLICATE] = {200, "OK", "", "{\"status\":\"duplicate\"}", WB_COUNT_DUPLICATE},
	[WB_ANSWER_PROBE] = {200, "OK", "", "{\"status\":\"ready\"}", WB_COUNT_PROBE},
	/* what is echoed is text, whatever a browser would like to make of it */
	[WB_ANSWER_HANDSHAKE] = {200, "OK", "X-Content-Type-Options: nosniff\r\n", "", WB_COUNT_PROBE},
	[WB_ANSWER_MALFORMED] = {400, "Bad Request", "",
							 "{\"error\":\"malformed request\"}", WB_COUNT_MALFORMED},
	/* a challenge is mandatory (RFC 9110, section 15.5.2); no registered scheme fits */
	[WB_ANSWER_UNAUTHORIZED] = {401, "Unauthorized", "WWW-Authenticate: Signature\r\n",
								"{\"error\":\"delivery is not authentic\"}", WB_COUNT_UNAUTHORIZED},
	[WB_ANSWER_NOT_FOUND] = {404, "Not Found", "",
							 "{\"error\":\"no such endpoint\"}", WB_COUNT_NOT_FOUND},
	/* Allow is mandatory (RFC 9110, section 15.5.6) */
	[WB_ANSWER_BAD_METHOD] = {405, "Method Not Allowed", "Allow: GET, HEAD, POST\r\n",
							  "{\"error\":\"method not allowed\"}", WB_COUNT_BAD_METHOD},
	[WB_ANSWER_TIMED_OUT] = {408, "Request Timeout", "",
							 "{\"error\":\"request took too long\"}", WB_COUNT_TIMED_OUT},
	[WB_ANSWER_BODY_TOO_LARGE] = {413, "Content Too Large", "",
								  "{\"error\":\"body is too large\"}", WB_COUNT_TOO_LARGE},
	[WB_ANSWER_TARGET_TOO_LONG] = {414, "URI Too Long", "",
								   "{\"error\":\"request target is too long\"}", WB_COUNT_TOO_LARGE},
	[WB_ANSWER_EXPECTATION_FAILED] = {417, "Expectation Failed", "",
									  "{\"error\":\"expectation cannot be met\"}", WB_COUNT_MALFORMED},
	/* RFC 6585, section 4; in a second who was refused may send as much again */
	[WB_ANSWER_TOO_MANY] = {429, "Too Many Requests", "Retry-After: 1\r\n",
							"{\"error\":\"too many requests\"}", WB_COUNT_RATE_LIMITED},
	[WB_ANSWER_HEAD_TOO_LARGE] = {431, "Request Header Fields Too Large", "",
								  "{\"error\":\"header is too large\"}", WB_COUNT_TOO_LARGE},
	[WB_ANSWER_NOT_IMPLEMENTED] = {501, "Not Implemented", "",
								   "{\"error\":\"method is not supported\"}", WB_COUNT_MALFORMED},
	[WB_ANSWER_UNAVAILABLE] = {503, "Service Unavailable", "Retry-After: " RETRY_AFTER "\r\n",
							   "{\"error\":\"delivery could not be stored\"}", WB_COUNT_UNAVAILABLE},
	[WB_ANSWER_VERSION] = {505, "HTTP Version Not Supported", "",
						   "{\"error\":\"only HTTP/1.0 and HTTP/1.1 are supported\"}", WB_COUNT_MALFORMED},
};

static const char *date_field(void);

/* The answer for a status that the parser returned. */
WbAnswer
wb_answer_for_status(int status)
{
	for (int i = WB_ANSWER_MALFORMED; i < (int) lengthof(answers); i++)
		if (answers[i].status == status)
			return (WbAnswer) i;
	return WB_ANSWER_MALFORMED;
}

WbCounter
wb_answer_counter(WbAnswer answer)
{
	return answers[answer].counter;
}

/* Appends the whole response, in HTTP/1.1 as RFC 9110, section 6.2 wants it. */
void
wb_answer_append(StringInfo out, WbAnswer answer, WbAnswerForm form)
{
	const AnswerText *text = &answers[answer];
	const char *connection = !form.keep_alive ? "Connection: close\r\n"
							 : form.http_1_0  ? "Connection: keep-alive\r\n"
											  : "";

	if (answer != WB_ANSWER_HANDSHAKE)
	{
		form.content_type = "application/json";
		form.content = wb_slice_cstring(text->body);
	}
	appendStringInfo(out,
					 "HTTP/1.1 %d %s\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n%s%s\r\n",
					 text->status, text->reason, date_field(), form.content_type,
					 (int) form.content.len, text->fields, connection);
	if (!form.head)
		appendBinaryStringInfo(out, form.content.data, (int) form.content.len);
}

/*
 * The Date field (RFC 9110, section 6.6.1), made once a second.  Not strftime(),
 * whose names of days and months follow the locale.
 */
static const char *
date_field(void)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
										 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	static char field[64];
	static time_t made_at = 0;
	time_t now = time(NULL);
	struct tm tm;

	if (now != made_at && gmtime_r(&now, &tm) != NULL)
	{
		snprintf(field, sizeof(field), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
				 days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
				 tm.tm_hour, tm.tm_min, tm.tm_sec);
		made_at = now;
	}
	return field;
}
