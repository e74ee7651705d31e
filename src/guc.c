/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  The settings of webhook_bridge.
 *
 * Every setting can be changed by a reload: receivers open and close their
 * sockets themselves and shared memory has room for WB_MAX_RECEIVERS of them
 * from the start.  Those of the client for remote webhooks can also be changed
 * in a session; the ones that guard the server's network, by superusers.  The
 * settings exist in every process that loads the library, preloaded or not,
 * because SQL functions read some of them.
 *
 * The README lists the same settings in the same order; test/t/006_readme.pl
 * compares them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "guc.h"

/* What a check hook leaves behind is freed by PostgreSQL. */
#if PG_VERSION_NUM < 160000
#define guc_malloc(elevel, size) malloc(size)
#define guc_free(memory) free(memory)
#endif

char *wb_database;
char *wb_role;
char *wb_listen_addresses;
int wb_port;
int wb_tls_port;
char *wb_tls_cert_file;
char *wb_tls_key_file;
int wb_tls_min_version;
char *wb_tls_client_ca_file;
int wb_receivers;
char *wb_public_url;
int wb_max_connections;
int wb_max_connections_per_address;
int wb_max_request_rate_per_address;
int wb_max_header_size;
int wb_max_body_size;
int wb_request_timeout_ms;
int wb_keepalive_timeout_ms;
int wb_max_batch;
int wb_max_buffered_kb;
int wb_max_rejections;
int wb_keeper_interval_s;
int wb_http_timeout_ms;
int wb_http_connect_timeout_ms;
int wb_http_max_response_kb;
char *wb_http_ca_file;
bool wb_http_allow_insecure;

/* Also as ssl_min_protocol_version has them. */
static const struct config_enum_entry tls_versions[] = {
	{"1.2", WB_TLS_1_2, false},
	{"1.3", WB_TLS_1_3, false},
	{"TLSv1.2", WB_TLS_1_2, true},
	{"TLSv1.3", WB_TLS_1_3, true},
	{NULL, 0, false}};

/* As it was given, and as it was understood. */
static char *trusted_proxies_text;
static const WbProxies no_proxies = {0};
static const WbProxies *trusted_proxies = &no_proxies;

static bool check_listen_addresses(char **newval, void **extra, GucSource source);
static bool check_public_url(char **newval, void **extra, GucSource source);
static bool check_trusted_proxies(char **newval, void **extra, GucSource source);
static void assign_trusted_proxies(const char *newval, void *extra);
static void define_listening(void);
static void define_limits(void);
static void define_calls(void);
static void define_int(const char *name, const char *description, const char *detail,
					   int *variable, int value, int min, int max, int flags);
static void define_string(const char *name, const char *description, const char *detail,
						  char **variable, const char *value, GucStringCheckHook check);

/* Defines the settings and reserves the prefix.  Called once, from _PG_init(). */
void
wb_guc_init(void)
{
	define_listening();
	define_limits();
	define_calls();
	MarkGUCPrefixReserved("webhook_bridge");
}

/* Where receivers work and listen. */
static void
define_listening(void)
{
	define_string("webhook_bridge.database",
				  "Sets the database that receives webhooks.",
				  "The receivers wait until it exists and the extension is created in it.",
				  &wb_database, "postgres", NULL);
	define_string("webhook_bridge.role",
				  "Sets the role in which receivers look up endpoints and store deliveries.",
				  "If empty, the owner of the extension's tables.",
				  &wb_role, "", NULL);
	define_string("webhook_bridge.listen_addresses",
				  "Sets the IP addresses to listen on for deliveries.",
				  "Comma-separated; \"*\" stands for all addresses, \"localhost\" for those of the machine itself.",
				  &wb_listen_addresses, "127.0.0.1", check_listen_addresses);
	define_int("webhook_bridge.port",
			   "Sets the TCP port to listen on for deliveries without TLS.",
			   "0 stands for none.",
			   &wb_port, 8090, 0, 65535, 0);
	define_int("webhook_bridge.tls_port",
			   "Sets the TCP port to listen on for deliveries over TLS.",
			   "0 stands for none.",
			   &wb_tls_port, 0, 0, 65535, 0);
	define_string("webhook_bridge.tls_cert_file",
				  "Sets the file of the receiver's TLS certificate.",
				  "PEM, with the intermediate certificates after it. "
				  "A relative path starts at the data directory.",
				  &wb_tls_cert_file, "server.crt", NULL);
	DefineCustomStringVariable("webhook_bridge.tls_key_file",
							   "Sets the file of the private key of the receiver's TLS certificate.",
							   "PEM, without a passphrase.",
							   &wb_tls_key_file, "server.key",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomEnumVariable("webhook_bridge.tls_min_version",
							 "Sets the minimum version of TLS that senders have to speak.", NULL,
							 &wb_tls_min_version, WB_TLS_1_2, tls_versions,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_string("webhook_bridge.tls_client_ca_file",
				  "Sets the file of the certificate authorities that senders are verified with.",
				  "If it is set, only senders with a certificate of one of these can connect over TLS.",
				  &wb_tls_client_ca_file, "", NULL);
	define_int("webhook_bridge.receivers",
			   "Sets the number of receiver processes.",
			   "Each takes one of max_worker_processes, and launcher and keeper take two more.",
			   &wb_receivers, 1, 0, WB_MAX_RECEIVERS, 0);
	define_string("webhook_bridge.public_url",
				  "Sets the URL under which providers reach the receiver.",
				  "Scheme, host and optionally a path prefix, without a slash at the end. "
				  "If empty, the first listen address and the port are used.",
				  &wb_public_url, "", check_public_url);
	DefineCustomStringVariable("webhook_bridge.trusted_proxies",
							   "Sets the proxies that are believed when they say who the client is.",
							   "Comma-separated addresses and networks; X-Forwarded-For of all others is ignored.",
							   &trusted_proxies_text, "",
							   PGC_SIGHUP, 0, check_trusted_proxies, assign_trusted_proxies, NULL);
}

/* What receivers take from clients, and keep. */
static void
define_limits(void)
{
	define_int("webhook_bridge.max_connections",
			   "Sets the maximum number of client connections of one receiver.", NULL,
			   &wb_max_connections, 1000, 1, 100000, 0);
	define_int("webhook_bridge.max_connections_per_address",
			   "Sets the maximum number of connections of one address to one receiver.",
			   "Zero is no limit.",
			   &wb_max_connections_per_address, 0, 0, 100000, 0);
	define_int("webhook_bridge.max_request_rate_per_address",
			   "Sets the maximum number of requests per second from one address to one receiver.",
			   "Zero is no limit.",
			   &wb_max_request_rate_per_address, 0, 0, 100000, 0);
	define_int("webhook_bridge.max_header_size",
			   "Sets the maximum size of the head of a request.", NULL,
			   &wb_max_header_size, 16 * 1024, 1024, 1024 * 1024, GUC_UNIT_BYTE);
	define_int("webhook_bridge.max_body_size",
			   "Sets the maximum size of the body of a request.",
			   "An endpoint may set less or more.",
			   &wb_max_body_size, 1024 * 1024, 1024, WB_MAX_BODY_LIMIT, GUC_UNIT_BYTE);
	define_int("webhook_bridge.request_timeout",
			   "Sets the maximum time from the first byte of a request to its last.",
			   "Also the time a client may take to accept an answer.",
			   &wb_request_timeout_ms, 10 * 1000, 100, INT_MAX, GUC_UNIT_MS);
	define_int("webhook_bridge.keepalive_timeout",
			   "Sets the time an idle connection is kept open.", NULL,
			   &wb_keepalive_timeout_ms, 75 * 1000, 100, INT_MAX, GUC_UNIT_MS);
	define_int("webhook_bridge.max_batch",
			   "Sets the maximum number of deliveries stored in one transaction.", NULL,
			   &wb_max_batch, 512, 1, 10000, 0);
	define_int("webhook_bridge.max_buffered",
			   "Sets the maximum memory for requests being received by one receiver.",
			   "Answers that clients are slow to read are counted too. Beyond it, requests are answered 503 until memory is free again.",
			   &wb_max_buffered_kb, 64 * 1024, 1024, 8 * 1024 * 1024, GUC_UNIT_KB);
	define_int("webhook_bridge.max_rejections",
			   "Sets the maximum number of refused deliveries kept per endpoint.",
			   "The newest are kept, in webhook_bridge.rejections; 0 keeps none.",
			   &wb_max_rejections, 100, 0, 10000, 0);
	define_int("webhook_bridge.keeper_interval",
			   "Sets the time after which the keeper looks for what to make, drop and delete again.",
			   "0 stops the keeper.",
			   &wb_keeper_interval_s, 60, 0, 24 * 60 * 60, GUC_UNIT_S);
}

/* How sessions call providers. */
static void
define_calls(void)
{
	DefineCustomIntVariable("webhook_bridge.http_timeout",
							"Sets the maximum time of a call to a provider.",
							"From looking up its address to the last byte of its answer.",
							&wb_http_timeout_ms, 10 * 1000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("webhook_bridge.http_connect_timeout",
							"Sets the maximum time for connecting to a provider.",
							"Looking up its address and the TLS handshake are part of it.",
							&wb_http_connect_timeout_ms, 3 * 1000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("webhook_bridge.http_max_response",
							"Sets the maximum size of a provider's answer.", NULL,
							&wb_http_max_response_kb, 10 * 1024, 1, WB_MAX_RESPONSE_LIMIT_KB,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomStringVariable("webhook_bridge.http_ca_file",
							   "Sets the file of the certificate authorities that providers are verified with.",
							   "If empty, those of the system; otherwise these and no others.",
							   &wb_http_ca_file, "",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("webhook_bridge.http_allow_insecure",
							 "Allows calls to providers without TLS and in private networks.",
							 "Certificates are verified nevertheless.",
							 &wb_http_allow_insecure, false,
							 PGC_SUSET, 0, NULL, NULL, NULL);
}

/*
 * Names are refused: a receiver would have to look them up, again and again
 * while a port is taken, and nothing could interrupt it.
 */
static bool
check_listen_addresses(char **newval, void **extra, GucSource source)
{
	const char *at = *newval + strspn(*newval, " ,");

	for (size_t len; (len = strcspn(at, " ,")) > 0; at += len + strspn(at + len, " ,"))
	{
		WbAddress address;
		/* a zone is a matter of the machine's, and may come and go */
		size_t bytes = Min(strcspn(at, "%"), len);

		if ((len == 1 && *at == '*') ||
			(len == strlen("localhost") && pg_strncasecmp(at, "localhost", len) == 0) ||
			wb_address_parse(wb_slice(at, bytes), &address))
			continue;
		GUC_check_errdetail("\"%.*s\" is neither an IP address nor \"localhost\" nor \"*\".", (int) len, at);
		GUC_check_errhint("Names of hosts are not looked up, because deliveries would have to wait for that.");
		return false;
	}
	return true;
}

/*
 * {url} is part of what some providers sign, so the setting must be exactly
 * what precedes the path.
 */
static bool
check_public_url(char **newval, void **extra, GucSource source)
{
	const char *url = *newval;
	size_t len = strlen(url);
	const char *host;

	if (len == 0)
		return true;
	if (strncmp(url, "https://", 8) == 0)
		host = url + 8;
	else if (strncmp(url, "http://", 7) == 0)
		host = url + 7;
	else
	{
		GUC_check_errdetail("The URL must start with \"https://\" or \"http://\".");
		return false;
	}
	if (*host == '\0' || *host == '/')
	{
		GUC_check_errdetail("The URL has no host.");
		return false;
	}
	if (url[len - 1] == '/')
	{
		GUC_check_errdetail("The URL must not end with a slash.");
		return false;
	}
	for (const char *c = host; *c; c++)
	{
		if (*c <= ' ' || *c > '~' || strchr("?#@\"<>\\^`{|}", *c) != NULL)
		{
			GUC_check_errdetail("The URL must consist of scheme, host, port and path only.");
			return false;
		}
	}
	return true;
}

/* Reads the list into "extra", which belongs to the setting from then on. */
static bool
check_trusted_proxies(char **newval, void **extra, GucSource source)
{
	WbProxies *proxies = guc_malloc(LOG, offsetof(WbProxies, networks) + sizeof(WbNetwork) * wb_proxies_count(*newval));
	WbSlice bad;

	if (proxies == NULL)
		return false;
	if (!wb_proxies_parse(*newval, proxies, &bad))
	{
		GUC_check_errdetail("\"%.*s\" is neither an address nor a network such as 10.0.0.0/8.",
							(int) bad.len, bad.data);
		guc_free(proxies);
		return false;
	}
	*extra = proxies;
	return true;
}

static void
assign_trusted_proxies(const char *newval, void *extra)
{
	trusted_proxies = (const WbProxies *) extra;
}

const WbProxies *
wb_trusted_proxies(void)
{
	return trusted_proxies;
}

static void
define_int(const char *name, const char *description, const char *detail,
		   int *variable, int value, int min, int max, int flags)
{
	DefineCustomIntVariable(name, description, detail, variable, value, min, max,
							PGC_SIGHUP, flags, NULL, NULL, NULL);
}

static void
define_string(const char *name, const char *description, const char *detail,
			  char **variable, const char *value, GucStringCheckHook check)
{
	DefineCustomStringVariable(name, description, detail, variable, value,
							   PGC_SIGHUP, 0, check, NULL, NULL);
}
