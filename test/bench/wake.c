/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  How long after a delivery is sent a consumer has the event in its hands.
 *
 *		wake PORT FILE COUNT
 *
 * Sends the deliveries of FILE, which has a line per delivery with its path,
 * signature and body, tabs between them, COUNT in all, one after the other;
 * waits for each notification, fetches the event for consumer "bench" and acknowledges it.
 * Prints for each the microseconds from before the request was sent until
 * fetch_events() had returned the event: more than those since the commit.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define MAX_LINE 65536

static PGconn *database;
static int http;

static void
fail(const char *what)
{
	fprintf(stderr, "wake: %s\n", what);
	exit(1);
}

static double
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static PGresult *
run(const char *sql)
{
	PGresult *result = PQexec(database, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		fail(PQerrorMessage(database));
	return result;
}

/* Acknowledges the event that was fetched in the same transaction. */
static void
acknowledge(const char *id)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "SELECT webhook_bridge.ack_events('bench', '{%s}'); COMMIT", id);
	PQclear(run(sql));
}

static void
send_delivery(const char *path, const char *signature, const char *body)
{
	static char request[MAX_LINE + 1024];
	int length = snprintf(request, sizeof(request),
						  "POST %s HTTP/1.1\r\nHost: localhost\r\nX-Ecomanager-Event: OrderCreated\r\n"
						  "X-Ecomanager-Signature: %s\r\nContent-Length: %zu\r\n\r\n%s",
						  path, signature, strlen(body), body);

	if (write(http, request, length) != length)
		fail("could not send a delivery");
}

/* An answer is small and comes at once; there is one for each request. */
static void
read_answer(void)
{
	char answer[4096];
	ssize_t length = read(http, answer, sizeof(answer) - 1);

	answer[length > 0 ? length : 0] = '\0';
	if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0)
		fail("a delivery was not stored");
}

static void
wait_for_notification(void)
{
	PGnotify *notification;

	while ((notification = PQnotifies(database)) == NULL)
	{
		struct pollfd socket = {.fd = PQsocket(database), .events = POLLIN};

		if (poll(&socket, 1, PATIENCE_MS) != 1 || !PQconsumeInput(database))
			fail("no notification came");
	}
	PQfreemem(notification);
}

/* Ends the field and returns the one after it. */
static char *
next_field(char *field)
{
	char *tab = strchr(field, '\t');

	if (tab == NULL)
		fail("a line without its tabs");
	*tab = '\0';
	return tab + 1;
}

int
main(int argc, char **argv)
{
	static char line[MAX_LINE];
	struct sockaddr_in address = {.sin_family = AF_INET};
	int count;
	FILE *file;

	if (argc != 4 || (file = fopen(argv[2], "r")) == NULL)
		fail("usage: wake PORT FILE COUNT");
	count = atoi(argv[3]);
	address.sin_port = htons((uint16_t) atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	http = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(http, (struct sockaddr *) &address, sizeof(address)) != 0)
		fail("could not connect to the receiver");
	database = PQconnectdb("dbname=postgres");
	if (PQstatus(database) != CONNECTION_OK)
		fail(PQerrorMessage(database));
	PQclear(run("LISTEN webhook_bridge"));

	for (int i = 0; i < count; i++)
	{
		double sent_at;
		char *signature;
		char *body;
		PGresult *event;

		while (fgets(line, sizeof(line), file) == NULL)
			rewind(file);
		line[strcspn(line, "\n")] = '\0';
		signature = next_field(line);
		body = next_field(signature);

		sent_at = now_us();
		send_delivery(line, signature, body);
		wait_for_notification();
		event = run("BEGIN; SELECT id, payload FROM webhook_bridge.fetch_events('bench')");
		printf("%.0f\n", now_us() - sent_at);
		if (PQntuples(event) != 1)
			fail("the consumer did not get the one event");
		acknowledge(PQgetvalue(event, 0, 0));
		PQclear(event);
		read_answer();
	}
	PQfinish(database);
	return 0;
}
