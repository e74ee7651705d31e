/*-------------------------------------------------------------------------
 *
 * tls.c
 *	  TLS as what carries a stream: certificate and key of this process, and
 *	  the transport's functions.
 *
 * The settings mean what PostgreSQL's ssl_* mean.  A process has one SSL_CTX,
 * made of the files that they name.  A reload makes another, for connections
 * from then on; those that are open keep theirs, which OpenSSL counts.  If
 * another cannot be made, the one there is stays.
 *
 * The server's own TLS and libcurl use the same library: nothing of its global
 * state is changed here.  Its error queue is shared as well, so it is emptied
 * before each call that may add to it and after each that has.
 *
 * A client must neither stop the process nor fill its log or memory.  Its
 * faults are results and are told at DEBUG1.  No renegotiation, no compression,
 * no early data, which could be repeated by others.  A connection at rest has no
 * buffers for records, unless its first answer was its last.  Sessions are resumed
 * with tickets, so nothing of them is kept here; that of TLS 1.3 shares a packet with
 * the first answer.  Where client certificates are asked for they are not resumed,
 * because a certificate is verified in a full handshake only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "utils/memutils.h"

#include "event_loop.h"
#include "guc.h"
#include "shmem.h"
#include "tls.h"

/*
 * In order of preference: what every client of TLS 1.3 has (RFC 8446, section
 * 9.1) comes first, and hashes with SHA-256, which takes less of the handshake
 * than SHA-384.  Of TLS 1.2 forward secrecy and authenticated encryption only,
 * as 1.3 has it.
 */
#define SUITES_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_1_2 "ECDHE+AES128+AESGCM:ECDHE+AESGCM:ECDHE+CHACHA20"

#define SECURITY_LEVEL 2             /* 112 bits: RSA from 2048 bits, no SHA-1 */
#define MAX_CLIENT_CHAIN (32 * 1024) /* bytes of a client's certificates */

static SSL_CTX *context = NULL;
static BIO_METHOD *socket_method = NULL;
static char *last_problem = NULL; /* so that a lasting one is said once */
static bool passphrase_wanted;
static bool more_follows = false; /* soon, and may share a packet with what is written now */
static bool socket_is_dry;        /* the current call has read all there is */

static char *load(void);
static char *use_files(SSL_CTX *fresh);
static char *check_key_file(const char *path);
static int refuse_passphrase(char *buffer, int size, int writing, void *data);
static char *ask_for_certificates(SSL_CTX *fresh);
static char *apply_policy(SSL_CTX *fresh);
static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length,
						   const unsigned char *offered, unsigned int offered_length, void *data);
static const char *openssl_reason(void);
static void remember_problem(const char *problem);

static WbTlsStart start_tls(WbStream *stream);
static ssize_t tls_read(WbStream *stream, char *data, size_t capacity);
static ssize_t tls_write(WbStream *stream, const char *data, size_t len, bool is_last);
static void tls_finish(WbStream *stream);
static void tls_close(WbStream *stream);
static void send_ticket(WbStream *stream);
static void acknowledge(int fd);
static void prepare_call(void);
static ssize_t tls_result(WbStream *stream, int result);
static void end_tls(WbStream *stream);
static BIO *open_bio(int fd);
static int bio_read(BIO *bio, char *data, int capacity);
static int bio_write(BIO *bio, const char *data, int length);
static long bio_control(BIO *bio, int command, long number, void *pointer);

static const WbTransport tls_transport = {start_tls, tls_read, tls_write, tls_finish, tls_close};

/* ---------------------------------------------------------------------------
 * The certificate
 * ---------------------------------------------------------------------------
 */

/*
 * Makes sure that there is a certificate to serve with.  If not, says so once,
 * until the reason changes.
 */
bool
wb_tls_prepare(void)
{
	char *problem = context ? NULL : load();

	if (problem && (last_problem == NULL || strcmp(problem, last_problem) != 0))
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("webhook_bridge cannot serve TLS on port %d", wb_tls_port),
				 errdetail("%s.", problem),
				 errhint("See webhook_bridge.tls_cert_file and webhook_bridge.tls_key_file; "
						 "reload the configuration when they are right.")));
	remember_problem(problem);
	return context != NULL;
}

/* Follows the settings and the files that they name, after a reload. */
void
wb_tls_reload(void)
{
	char *problem = wb_tls_port == 0 ? NULL : load();

	if (wb_tls_port == 0)
	{
		SSL_CTX_free(context);
		context = NULL;
	}
	if (problem)
		ereport(LOG,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("webhook_bridge did not reload its TLS certificate"),
				 errdetail("%s.", problem),
				 context ? errhint("The one it has remains in use.")
						 : errhint("It does not serve TLS until it has one.")));
	remember_problem(problem);
}

bool
wb_tls_is_ready(void)
{
	return context != NULL;
}

/* Makes a new context.  If that fails, says why and leaves the old one. */
static char *
load(void)
{
	SSL_CTX *fresh;
	char *problem;

	ERR_clear_error();
	fresh = SSL_CTX_new(TLS_server_method());
	if (fresh == NULL)
		problem = psprintf("Could not create a TLS context: %s", openssl_reason());
	else if ((problem = apply_policy(fresh)) == NULL &&
			 (problem = use_files(fresh)) == NULL &&
			 (problem = ask_for_certificates(fresh)) == NULL)
	{
		SSL_CTX_free(context);
		context = fresh;
		fresh = NULL;
	}
	SSL_CTX_free(fresh);
	ERR_clear_error();
	return problem;
}

/* Loads certificate and key; NULL, or what is wrong. */
static char *
use_files(SSL_CTX *fresh)
{
	char *problem = check_key_file(wb_tls_key_file);

	if (problem)
		return problem;
	passphrase_wanted = false;
	SSL_CTX_set_default_passwd_cb(fresh, refuse_passphrase);
	if (SSL_CTX_use_certificate_chain_file(fresh, wb_tls_cert_file) != 1)
		return psprintf("Could not load the certificate file \"%s\": %s",
						wb_tls_cert_file, openssl_reason());
	if (SSL_CTX_use_PrivateKey_file(fresh, wb_tls_key_file, SSL_FILETYPE_PEM) != 1)
	{
		if (passphrase_wanted)
			return psprintf("The private key file \"%s\" requires a passphrase, which nobody can enter",
							wb_tls_key_file);
		return psprintf("Could not load the private key file \"%s\": %s",
						wb_tls_key_file, openssl_reason());
	}
	if (SSL_CTX_check_private_key(fresh) != 1)
		return psprintf("The private key file \"%s\" does not belong to the certificate file \"%s\"",
						wb_tls_key_file, wb_tls_cert_file);
	return NULL;
}

/* What check_ssl_key_file_permissions() demands of the server's own key. */
static char *
check_key_file(const char *path)
{
	struct stat file;

	if (stat(path, &file) != 0)
		return psprintf("Could not access the private key file \"%s\": %m", path);
	if (!S_ISREG(file.st_mode))
		return psprintf("The private key file \"%s\" is not a regular file", path);
	if (file.st_uid != geteuid() && file.st_uid != 0)
		return psprintf("The private key file \"%s\" must be owned by the database user or root", path);
	if ((file.st_uid == geteuid() && (file.st_mode & (S_IRWXG | S_IRWXO))) ||
		(file.st_uid == 0 && (file.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO))))
		return psprintf("The private key file \"%s\" has group or world access; it must have "
						"permissions 0600 or less, or 0640 or less if it is owned by root",
						path);
	return NULL;
}

static int
refuse_passphrase(char *buffer, int size, int writing, void *data)
{
	passphrase_wanted = true;
	return -1;
}

/*
 * Requires certificates of clients if the settings say so; only the chain is
 * verified, not the name.  NULL, or what is wrong.
 */
static char *
ask_for_certificates(SSL_CTX *fresh)
{
	STACK_OF(X509_NAME) * names;

	if (wb_tls_client_ca_file[0] == '\0')
		return NULL;
	if (SSL_CTX_load_verify_locations(fresh, wb_tls_client_ca_file, NULL) != 1 ||
		(names = SSL_load_client_CA_file(wb_tls_client_ca_file)) == NULL)
		return psprintf("Could not load the file of client authorities \"%s\": %s",
						wb_tls_client_ca_file, openssl_reason());
	SSL_CTX_set_client_CA_list(fresh, names);
	SSL_CTX_set_verify(fresh, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_max_cert_list(fresh, MAX_CLIENT_CHAIN);
	SSL_CTX_set_options(fresh, SSL_OP_NO_TICKET);
	return NULL;
}

/* Versions, ciphers and whatever else does not depend on files. */
static char *
apply_policy(SSL_CTX *fresh)
{
	int version = wb_tls_min_version == WB_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;

	if (SSL_CTX_set_min_proto_version(fresh, version) != 1 ||
		SSL_CTX_set_ciphersuites(fresh, SUITES_1_3) != 1 ||
		SSL_CTX_set_cipher_list(fresh, CIPHERS_1_2) != 1 ||
		SSL_CTX_set_num_tickets(fresh, 0) != 1 || /* by itself; see send_ticket() */
		SSL_CTX_set_tlsext_ticket_keys(fresh, wb_shmem_ticket_key(), WB_TICKET_KEY_BYTES) != 1)
		return psprintf("Could not set up TLS: %s", openssl_reason());
	if (SSL_CTX_get_security_level(fresh) < SECURITY_LEVEL)
		SSL_CTX_set_security_level(fresh, SECURITY_LEVEL);
	SSL_CTX_set_options(fresh, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
								   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(fresh, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
								SSL_MODE_RELEASE_BUFFERS);
	/* a record without data ends a read, so that no client can keep one going */
	SSL_CTX_clear_mode(fresh, SSL_MODE_AUTO_RETRY);
	/* head and body of a record, and all that a client says at once, with one system call */
	SSL_CTX_set_read_ahead(fresh, 1);
	SSL_CTX_set_session_cache_mode(fresh, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(fresh, choose_protocol, NULL);
	return NULL;
}

/* HTTP/1.1, and nothing else for who names protocols (RFC 7301, section 3.2). */
static int
choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length,
				const unsigned char *offered, unsigned int offered_length, void *data)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *found;

	if (SSL_select_next_proto(&found, chosen_length, ours, sizeof(ours) - 1,
							  offered, offered_length) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*chosen = found;
	return SSL_TLSEXT_ERR_OK;
}

static const char *
openssl_reason(void)
{
	unsigned long code = ERR_peek_error();
	const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

	if (reason)
		return reason;
	/* ERR_reason_error_string() has none for errors of the system */
	return ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : "unknown reason";
}

static void
remember_problem(const char *problem)
{
	if (last_problem)
		pfree(last_problem);
	last_problem = problem ? MemoryContextStrdup(TopMemoryContext, problem) : NULL;
}

/* ---------------------------------------------------------------------------
 * The transport
 * ---------------------------------------------------------------------------
 */

/*
 * Puts TLS on a plain stream that has just been opened.  False, and the stream
 * is as it was, if there is no certificate or memory is short.
 */
bool
wb_tls_begin(WbStream *stream)
{
	SSL *ssl;
	BIO *bio = NULL;

	ERR_clear_error();
	ssl = context ? SSL_new(context) : NULL;
	if (ssl)
		bio = open_bio(stream->fd);
	ERR_clear_error();
	if (bio == NULL)
	{
		SSL_free(ssl);
		return false;
	}
	SSL_set_bio(ssl, bio, bio);
	SSL_set_accept_state(ssl);
	stream->ssl = ssl;
	stream->transport = &tls_transport;
	return true;
}

/* When it has failed, the stream is without TLS again. */
static WbTlsStart
start_tls(WbStream *stream)
{
	int result;
	unsigned long code;
	bool without_tls;

	prepare_call();
	result = SSL_do_handshake(stream->ssl);
	code = ERR_peek_error();
	without_tls = ERR_GET_LIB(code) == ERR_LIB_SSL &&
				  (ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST ||
				   ERR_GET_REASON(code) == SSL_R_HTTPS_PROXY_REQUEST);
	switch (tls_result(stream, result))
	{
		case 1:
			stream->has_more = SSL_has_pending(stream->ssl) != 0;
			/* a client may hold its request until its part of the handshake is acknowledged */
			if (!stream->has_more)
				acknowledge(stream->fd);
			stream->ticket_due = (SSL_get_options(stream->ssl) & SSL_OP_NO_TICKET) == 0;
			return WB_TLS_START_DONE;
		case WB_STREAM_AGAIN:
			return WB_TLS_START_AGAIN;
		default:
			end_tls(stream);
			return without_tls ? WB_TLS_START_NO_TLS : WB_TLS_START_FAILED;
	}
}

/* Reads one record, or as many as there are of a large body. */
static ssize_t
tls_read(WbStream *stream, char *data, size_t capacity)
{
	size_t total = 0;
	ssize_t got;

	do
	{
		prepare_call();
		got = tls_result(stream, SSL_read(stream->ssl, data + total, (int) Min(capacity - total, INT_MAX)));
		if (got > 0)
			total += got;
	} while (got == SSL3_RT_MAX_PLAIN_LENGTH && total < capacity);

	/*
	 * What OpenSSL has taken from the socket and not handed out, unless it is only
	 * the beginning of a record; or an end that is told of next time.
	 */
	if (got == WB_STREAM_END || got == WB_STREAM_BROKEN)
		stream->has_more = total > 0;
	else if (got == WB_STREAM_AGAIN && (socket_is_dry || stream->awaits == WB_WRITABLE))
		stream->has_more = false;
	else
		stream->has_more = SSL_has_pending(stream->ssl) != 0;
	return total > 0 ? (ssize_t) total : got;
}

static ssize_t
tls_write(WbStream *stream, const char *data, size_t len, bool is_last)
{
	ssize_t put;

	prepare_call();
	if (stream->ticket_due)
		send_ticket(stream);
	more_follows = is_last;
	put = tls_result(stream, SSL_write(stream->ssl, data, (int) Min(len, INT_MAX)));
	more_follows = false;
	return put;
}

/*
 * With what is written next, which also goes on with it if the socket does not take
 * all.  TLS before 1.3 has its ticket in the handshake.
 */
static void
send_ticket(WbStream *stream)
{
	stream->ticket_due = false;
	if (SSL_new_session_ticket(stream->ssl) != 1)
		return;
	more_follows = true;
	(void) SSL_do_handshake(stream->ssl);
	more_follows = false;
	/*
	 * OpenSSL has made a buffer for reading, too, and keeps it until the next
	 * request.  SSL_free_buffers() is no remedy: before 3.0.14 it also frees one
	 * that holds a part of a record (CVE-2024-4741).
	 */
}

/* What has arrived, now and not with what is sent next. */
static void
acknowledge(int fd)
{
#ifdef TCP_QUICKACK
	int on = 1;

	(void) setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
#endif
}

/*
 * Says so with an alert, if the socket takes it at once.  What the client still
 * sends is dropped, and therefore not decrypted.
 */
static void
tls_finish(WbStream *stream)
{
	more_follows = true;
	end_tls(stream);
	more_follows = false;
	stream->transport->finish(stream);
}

static void
tls_close(WbStream *stream)
{
	end_tls(stream);
	stream->transport->close(stream);
}

/* So that tls_result() sees what this call leaves, and nothing else. */
static void
prepare_call(void)
{
	ERR_clear_error();
	errno = 0;
	socket_is_dry = false;
}

/* What a call has returned, as a result of the transport's functions. */
static ssize_t
tls_result(WbStream *stream, int result)
{
	int saved_errno = errno;
	int error = SSL_get_error(stream->ssl, result);
	const char *reason = NULL;

	switch (error)
	{
		case SSL_ERROR_NONE:
			return result;
		case SSL_ERROR_WANT_READ:
			stream->awaits = WB_READABLE;
			return WB_STREAM_AGAIN;
		case SSL_ERROR_WANT_WRITE:
			stream->awaits = WB_WRITABLE;
			return WB_STREAM_AGAIN;
		case SSL_ERROR_ZERO_RETURN:
			return WB_STREAM_END;
		case SSL_ERROR_SSL:
			reason = openssl_reason();
			break;
		default:
			reason = saved_errno != 0 ? strerror(saved_errno) : "end of file";
			break;
	}
	ereport(DEBUG1,
			(errmsg_internal("a TLS connection has failed: %s", reason)));
	ERR_clear_error();
	/* there must be no further calls, not even for the alert */
	SSL_set_quiet_shutdown(stream->ssl, 1);
	return WB_STREAM_BROKEN;
}

/* Ends TLS, with an alert if it had begun, and leaves a plain stream. */
static void
end_tls(WbStream *stream)
{
	SSL *ssl = stream->ssl;

	ERR_clear_error();
	if (!SSL_in_init(ssl))
		(void) SSL_shutdown(ssl);
	SSL_free(ssl);
	ERR_clear_error();
	wb_stream_open_plain(stream, stream->fd);
}

/* ---------------------------------------------------------------------------
 * The socket as OpenSSL sees it: its own would let a client that has gone
 * signal the process
 * ---------------------------------------------------------------------------
 */

static BIO *
open_bio(int fd)
{
	BIO *bio;

	if (socket_method == NULL)
	{
		int type = BIO_get_new_index();
		BIO_METHOD *method = type < 0 ? NULL : BIO_meth_new(type | BIO_TYPE_SOURCE_SINK, "webhook_bridge");

		if (method == NULL ||
			BIO_meth_set_read(method, bio_read) != 1 ||
			BIO_meth_set_write(method, bio_write) != 1 ||
			BIO_meth_set_ctrl(method, bio_control) != 1)
		{
			BIO_meth_free(method);
			return NULL;
		}
		socket_method = method;
	}
	bio = BIO_new(socket_method);
	if (bio)
	{
		BIO_set_data(bio, (void *) (intptr_t) fd);
		BIO_set_init(bio, 1);
	}
	return bio;
}

static int
bio_read(BIO *bio, char *data, int capacity)
{
	int result = recv((int) (intptr_t) BIO_get_data(bio), data, capacity, 0);

	BIO_clear_retry_flags(bio);
	if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
	{
		BIO_set_retry_read(bio);
		socket_is_dry = true;
	}
	return result;
}

static int
bio_write(BIO *bio, const char *data, int length)
{
	int result = (int) wb_stream_send((int) (intptr_t) BIO_get_data(bio), data, length, more_follows);

	BIO_clear_retry_flags(bio);
	if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		BIO_set_retry_write(bio);
	return result;
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}
