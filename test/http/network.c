/*-------------------------------------------------------------------------
 *
 * network.c
 *	  A name service and an internet for test/t/050_http_client.pl.
 *
 * Preloaded into a server.  Names that end in ".test" are looked up in the
 * file $WB_TEST_HOSTS, where a line is NAME MILLISECONDS ADDRESS...: how long
 * the look-up takes and what it returns.  Who connects to 8.8.8.0/24 is
 * connected to the same port of this machine.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static int
add_address(const char *text, const char *service, const struct addrinfo *hints, struct addrinfo ***end)
{
	struct addrinfo numeric = {0};
	struct addrinfo *found;
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
	int code;

	numeric.ai_family = hints ? hints->ai_family : AF_UNSPEC;
	numeric.ai_socktype = hints ? hints->ai_socktype : SOCK_STREAM;
	numeric.ai_flags = AI_NUMERICHOST;
	code = real(text, service, &numeric, &found);
	if (code == 0)
	{
		**end = found;
		*end = &found->ai_next;
	}
	return code;
}

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
	size_t len = name ? strlen(name) : 0;
	const char *path = getenv("WB_TEST_HOSTS");
	char line[1024];
	FILE *file;
	struct addrinfo **end = result;

	if (len < 5 || strcmp(name + len - 5, ".test") != 0 || path == NULL)
		return real(name, service, hints, result);
	*result = NULL;
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
	{
		char *save;
		char *word = strtok_r(line, " \n", &save);
		struct timespec pause;
		long ms;

		if (word == NULL || strcmp(word, name) != 0)
			continue;
		ms = atol(strtok_r(NULL, " \n", &save));
		pause.tv_sec = ms / 1000;
		pause.tv_nsec = ms % 1000 * 1000000;
		nanosleep(&pause, NULL);
		while ((word = strtok_r(NULL, " \n", &save)) != NULL)
			add_address(word, service, hints, &end);
		break;
	}
	if (file)
		fclose(file);
	return *result ? 0 : EAI_NONAME;
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
	struct sockaddr_in here;

	if (address->sa_family == AF_INET)
	{
		memcpy(&here, address, sizeof(here));
		if ((ntohl(here.sin_addr.s_addr) & 0xffffff00) == 0x08080800)
		{
			here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			return real(fd, (struct sockaddr *) &here, sizeof(here));
		}
	}
	return real(fd, address, len);
}
