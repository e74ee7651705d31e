/*-------------------------------------------------------------------------
 *
 * http_failure.c
 *	  What became of a request that got no answer: errors and their words.
 *
 * Shown are method, host, port and path, what libcurl says, and what to do;
 * neither query nor headers nor body, which may be secret.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"
#include "http_failure.h"

static bool was_refused(const WbHttpOutcome *outcome);
static char *failure_text(const WbHttpOutcome *outcome);

bool
wb_http_may_pass(const WbHttpOutcome *outcome)
{
	if (was_refused(outcome))
		return false;
	switch (outcome->code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_GOT_NOTHING:
		case CURLE_PARTIAL_FILE:
			return true;
		default:
			return false;
	}
}

void
wb_http_raise(const WbHttpOutcome *outcome)
{
	const char *ambiguous = outcome->idempotent
								? "Try again later."
								: "The provider may have carried out the request: look before it is sent again.";
	char *text = failure_text(outcome);

	if (was_refused(outcome))
		ereport(ERROR,
				(errcode(WB_ERRCODE_HTTP_ADDRESS),
				 errmsg("connecting to \"%s\" is not allowed", outcome->host),
				 errdetail("%s: The address %s is not one of the public internet.", outcome->call, outcome->refused),
				 errhint("For a trial in a private network, a superuser can turn on webhook_bridge.http_allow_insecure.")));
	if (outcome->out_of_memory || outcome->code == CURLE_OUT_OF_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("%s: %s", outcome->call, text)));
	if (outcome->too_large)
		ereport(ERROR,
				(errcode(WB_ERRCODE_HTTP_ANSWER),
				 errmsg("the answer of \"%s\" is too large", outcome->host),
				 errdetail("%s: It has more than %d kB, or too many headers.", outcome->call, wb_http_max_response_kb),
				 errhint("A superuser can raise webhook_bridge.http_max_response.")));

	switch (outcome->code)
	{
		case CURLE_OPERATION_TIMEDOUT:
			ereport(ERROR,
					(errcode(WB_ERRCODE_HTTP_TIMEOUT),
					 errmsg("\"%s\" did not answer in time", outcome->host),
					 errdetail("%s: %s", outcome->call, text),
					 errhint("%s The limits are webhook_bridge.http_timeout and webhook_bridge.http_connect_timeout.", ambiguous)));
			break;
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
			ereport(ERROR,
					(errcode(WB_ERRCODE_HTTP_CONNECT),
					 errmsg("could not connect to \"%s\"", outcome->host),
					 errdetail("%s: %s", outcome->call, text),
					 errhint("Check the host's name, and that the database server may reach it.")));
			break;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
			ereport(ERROR,
					(errcode(WB_ERRCODE_HTTP_CONNECT),
					 errmsg("could not connect securely to \"%s\"", outcome->host),
					 errdetail("%s: %s", outcome->call, text),
					 errhint("If its certificate comes from an authority of your own, name that in webhook_bridge.http_ca_file.")));
			break;
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_GOT_NOTHING:
		case CURLE_PARTIAL_FILE:
			ereport(ERROR,
					(errcode(WB_ERRCODE_HTTP_CONNECT),
					 errmsg("the connection to \"%s\" was lost before its answer was complete", outcome->host),
					 errdetail("%s: %s", outcome->call, text),
					 errhint("%s", ambiguous)));
			break;
		case CURLE_FILESIZE_EXCEEDED:
			ereport(ERROR,
					(errcode(WB_ERRCODE_HTTP_ANSWER),
					 errmsg("the answer of \"%s\" is too large", outcome->host),
					 errdetail("%s: %s", outcome->call, text),
					 errhint("A superuser can raise webhook_bridge.http_max_response.")));
			break;
		case CURLE_WEIRD_SERVER_REPLY:
		case CURLE_UNSUPPORTED_PROTOCOL: /* what it says to an answer that is not HTTP */
		case CURLE_BAD_CONTENT_ENCODING:
		case CURLE_WRITE_ERROR:
		case CURLE_HTTP2:
			ereport(ERROR,
					(errcode(WB_ERRCODE_HTTP_ANSWER),
					 errmsg("the answer of \"%s\" is not HTTP", outcome->host),
					 errdetail("%s: %s", outcome->call, text),
					 errhint("%s", ambiguous)));
			break;
		case CURLE_URL_MALFORMAT:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid URL of an HTTP request"),
					 errdetail("%s: %s", outcome->call, text)));
			break;
		case CURLE_SSL_CACERT_BADFILE:
			ereport(ERROR,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("could not read the certificate authorities"),
					 errdetail("%s: %s", outcome->call, text),
					 errhint("Check webhook_bridge.http_ca_file: a PEM file that the server can read.")));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("could not call \"%s\"", outcome->host),
					 errdetail("%s: %s", outcome->call, text)));
	}
}

/* Whether there was no address that the call may go to. */
static bool
was_refused(const WbHttpOutcome *outcome)
{
	return outcome->code != CURLE_OK && outcome->refused[0] != '\0' && !outcome->opened;
}

/*
 * What libcurl says, as a sentence.  It can contain what the other side has
 * sent, such as the name in its certificate.
 */
static char *
failure_text(const WbHttpOutcome *outcome)
{
	const char *message = outcome->message;
	char *text;
	size_t len;

	if (message[0] == '\0')
		message = outcome->multi_code != CURLM_OK ? curl_multi_strerror(outcome->multi_code)
												  : curl_easy_strerror(outcome->code);
	text = palloc(strlen(message) + 2);
	strcpy(text, message);
	len = strlen(text);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '.'))
		len--;
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
	strcpy(text + len, ".");
	return text;
}
