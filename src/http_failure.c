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

/* What went wrong, in words. */
typedef struct Kind
{
	int sqlstate;
	const char *message; /* format, with the host */
	const char *hint;    /* or NULL */
	bool ambiguous;      /* whether the request was carried out */
} Kind;

/* What libcurl says. */
typedef struct Failure
{
	CURLcode code;
	const Kind *kind;
	bool may_pass; /* another attempt could do better */
} Failure;

static const Kind refused = {
	WB_ERRCODE_HTTP_ADDRESS, "connecting to \"%s\" is not allowed",
	"For a trial in a private network, a superuser can turn on webhook_bridge.http_allow_insecure.", false};
static const Kind timed_out = {
	WB_ERRCODE_HTTP_TIMEOUT, "\"%s\" did not answer in time",
	"The limits are webhook_bridge.http_timeout and webhook_bridge.http_connect_timeout.", true};
static const Kind not_connected = {
	WB_ERRCODE_HTTP_CONNECT, "could not connect to \"%s\"",
	"Check the host's name, and that the database server may reach it.", false};
static const Kind not_trusted = {
	WB_ERRCODE_HTTP_CONNECT, "could not connect securely to \"%s\"",
	"If its certificate comes from an authority of your own, name that in webhook_bridge.http_ca_file.", false};
static const Kind lost = {
	WB_ERRCODE_HTTP_CONNECT, "the connection to \"%s\" was lost before its answer was complete", NULL, true};
static const Kind too_large = {
	WB_ERRCODE_HTTP_ANSWER, "the answer of \"%s\" is too large",
	"A superuser can raise webhook_bridge.http_max_response.", true};
static const Kind compressed = {
	WB_ERRCODE_HTTP_ANSWER, "the answer of \"%s\" is in an encoding that was not asked for", NULL, true};
static const Kind not_http = {
	WB_ERRCODE_HTTP_ANSWER, "the answer of \"%s\" is not HTTP", NULL, true};
static const Kind bad_url = {
	ERRCODE_INVALID_PARAMETER_VALUE, "invalid URL of an HTTP request", NULL, false};
static const Kind bad_authorities = {
	ERRCODE_CONFIG_FILE_ERROR, "could not read the certificate authorities",
	"Check webhook_bridge.http_ca_file: a PEM file that the server can read.", false};
static const Kind no_memory = {
	ERRCODE_OUT_OF_MEMORY, "out of memory", NULL, false};
static const Kind other = {
	ERRCODE_EXTERNAL_ROUTINE_EXCEPTION, "could not call \"%s\"", NULL, false};

static const Failure failures[] = {
	{CURLE_OPERATION_TIMEDOUT, &timed_out, false},
	{CURLE_COULDNT_RESOLVE_HOST, &not_connected, true},
	{CURLE_COULDNT_CONNECT, &not_connected, true},
	{CURLE_SSL_CONNECT_ERROR, &not_trusted, true},
	{CURLE_PEER_FAILED_VERIFICATION, &not_trusted, false},
	{CURLE_SSL_ISSUER_ERROR, &not_trusted, false},
	{CURLE_SSL_INVALIDCERTSTATUS, &not_trusted, false},
	{CURLE_SEND_ERROR, &lost, true},
	{CURLE_RECV_ERROR, &lost, true},
	{CURLE_GOT_NOTHING, &lost, true},
	{CURLE_PARTIAL_FILE, &lost, true},
	{CURLE_FILESIZE_EXCEEDED, &too_large, false},
	{CURLE_WEIRD_SERVER_REPLY, &not_http, false},
	{CURLE_UNSUPPORTED_PROTOCOL, &not_http, false}, /* what it says to an answer that is not HTTP */
	{CURLE_BAD_CONTENT_ENCODING, &not_http, false},
	{CURLE_WRITE_ERROR, &not_http, false},
	{CURLE_HTTP2, &not_http, false},
	{CURLE_URL_MALFORMAT, &bad_url, false},
	{CURLE_SSL_CACERT_BADFILE, &bad_authorities, false},
	{CURLE_OUT_OF_MEMORY, &no_memory, false},
};

static const Failure *find_failure(CURLcode code);
static const Kind *kind_of(const WbHttpOutcome *outcome);
static bool was_refused(const WbHttpOutcome *outcome);
static char *detail_of(const WbHttpOutcome *outcome, const Kind *kind);
static const char *hint_of(const WbHttpOutcome *outcome, const Kind *kind);
static char *libcurl_text(const WbHttpOutcome *outcome);

bool
wb_http_may_pass(const WbHttpOutcome *outcome)
{
	const Failure *failure = find_failure(outcome->code);

	return failure != NULL && failure->may_pass && !was_refused(outcome);
}

void
wb_http_raise(const WbHttpOutcome *outcome)
{
	const Kind *kind = kind_of(outcome);
	const char *hint = hint_of(outcome, kind);

	ereport(ERROR,
			(errcode(kind->sqlstate),
			 errmsg(kind->message, outcome->host),
			 errdetail("%s: %s", outcome->call, detail_of(outcome, kind)),
			 hint ? errhint("%s", hint) : 0));
}

/* NULL if it is none that has to be expected. */
static const Failure *
find_failure(CURLcode code)
{
	for (int i = 0; i < (int) lengthof(failures); i++)
		if (failures[i].code == code)
			return &failures[i];
	return NULL;
}

/* What we have noted is more exact than what libcurl makes of it. */
static const Kind *
kind_of(const WbHttpOutcome *outcome)
{
	const Failure *failure = find_failure(outcome->code);

	if (was_refused(outcome))
		return &refused;
	if (outcome->out_of_memory)
		return &no_memory;
	if (outcome->too_large)
		return &too_large;
	if (outcome->compressed)
		return &compressed;
	return failure != NULL ? failure->kind : &other;
}

/* Whether there was no address that the call may go to. */
static bool
was_refused(const WbHttpOutcome *outcome)
{
	return outcome->code != CURLE_OK && outcome->refused[0] != '\0' && !outcome->opened;
}

/* A sentence. */
static char *
detail_of(const WbHttpOutcome *outcome, const Kind *kind)
{
	if (kind == &refused)
		return psprintf("The address %s is not one of the public internet.", outcome->refused);
	if (kind == &too_large)
		return psprintf("It has more than %d kB, or too many headers.", wb_http_max_response_kb);
	if (kind == &compressed)
		return pstrdup("Its Transfer-Encoding is not \"chunked\".");
	return libcurl_text(outcome);
}

static const char *
hint_of(const WbHttpOutcome *outcome, const Kind *kind)
{
	static const char look[] = "The provider may have carried out the request: look before it is sent again.";

	if (outcome->idempotent || !kind->ambiguous)
		return kind->hint;
	return kind->hint ? psprintf("%s %s", look, kind->hint) : look;
}

/*
 * What libcurl says, as a sentence.  It can contain what the other side has
 * sent, such as the name in its certificate.
 */
static char *
libcurl_text(const WbHttpOutcome *outcome)
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
