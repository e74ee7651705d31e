/*-------------------------------------------------------------------------
 *
 * listen.c
 *	  Sessions that LISTEN and count what they are notified of.
 *
 *		listen SESSIONS CHANNEL
 *
 * Prints "listening" once all do.  Then reads a number from standard input:
 * takes notifications until the sessions have got so many together, prints how
 * many they have got, and ends.  Gives up waiting after a minute.
 *
 *-------------------------------------------------------------------------
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PATIENCE_S 60

static void
fail(const char *what)
{
	fprintf(stderr, "listen: %s\n", what);
	exit(1);
}

static PGconn *
start_session(const char *channel)
{
	PGconn *session = PQconnectdb("");
	char *name;
	char sql[200];

	if (PQstatus(session) != CONNECTION_OK)
		fail(PQerrorMessage(session));
	name = PQescapeIdentifier(session, channel, 63);
	snprintf(sql, sizeof(sql), "LISTEN %s", name);
	PQfreemem(name);
	PQclear(PQexec(session, sql));
	return session;
}

static long
take_notifications(PGconn *session)
{
	PGnotify *notification;
	long taken = 0;

	if (!PQconsumeInput(session))
		fail(PQerrorMessage(session));
	while ((notification = PQnotifies(session)) != NULL)
	{
		PQfreemem(notification);
		taken++;
	}
	return taken;
}

int
main(int argc, char **argv)
{
	int count = argc == 3 ? atoi(argv[1]) : 0;
	PGconn **sessions = calloc((size_t) count, sizeof(*sessions));
	struct pollfd *sockets = calloc((size_t) count + 1, sizeof(*sockets));
	long taken = 0;
	long expected = -1;
	time_t deadline = 0;

	if (count < 1 || sessions == NULL || sockets == NULL)
		fail("usage: listen SESSIONS CHANNEL");
	for (int i = 0; i < count; i++)
	{
		sessions[i] = start_session(argv[2]);
		sockets[i] = (struct pollfd){.fd = PQsocket(sessions[i]), .events = POLLIN};
	}
	sockets[count] = (struct pollfd){.fd = 0, .events = POLLIN};
	puts("listening");
	fflush(stdout);

	while (expected < 0 || (taken < expected && time(NULL) < deadline))
	{
		if (poll(sockets, (nfds_t) count + 1, 1000) < 0)
			fail("could not wait");
		for (int i = 0; i < count; i++)
			if (sockets[i].revents != 0)
				taken += take_notifications(sessions[i]);
		if (sockets[count].revents != 0)
		{
			if (scanf("%ld", &expected) != 1)
				return 1;
			deadline = time(NULL) + PATIENCE_S;
			sockets[count].fd = -1;
		}
	}
	printf("%ld\n", taken);
	return 0;
}
