/*-------------------------------------------------------------------------
 *
 * full_handshake.c
 *	  Preloaded into wrk, makes it hand-shake in full on every connection.
 *
 * wrk uses one SSL object for all connections that follow each other, and so
 * resumes the session of the one before.  Here the session is forgotten with
 * the connection.  When wrk ends, prints "handshakes," with how many there have
 * been and how many of them were resumed all the same.
 *
 *-------------------------------------------------------------------------
 */
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_long handshakes;
static atomic_long resumed;

int
SSL_clear(SSL *ssl)
{
	int (*real)(SSL *) = (int (*)(SSL *)) dlsym(RTLD_NEXT, "SSL_clear");

	handshakes += SSL_is_init_finished(ssl);
	resumed += SSL_session_reused(ssl);
	if (SSL_set_session(ssl, NULL) != 1)
		return 0;
	return real(ssl);
}

__attribute__((destructor)) static void
report(void)
{
	if (handshakes > 0)
		fprintf(stderr, "handshakes,%ld,%ld\n", (long) handshakes, (long) resumed);
}
