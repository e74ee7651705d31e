/*-------------------------------------------------------------------------
 *
 * disk.c
 *	  A disk without room for test/t/063_trouble.pl.
 *
 * Preloaded into a server.  While the file $WB_TEST_FULL exists, files whose
 * path contains what it says do not grow: who writes beyond their end fails with
 * ENOSPC, as on a full disk.  What they have already can be written again.
 *
 *-------------------------------------------------------------------------
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Whether a file may not grow to a size. */
static int
is_full(int fd, off_t size)
{
	const char *switch_path = getenv("WB_TEST_FULL");
	FILE *file = switch_path ? fopen(switch_path, "r") : NULL;
	char pattern[256] = "";
	char link[64];
	char path[4096];
	ssize_t length;
	struct stat now;

	if (file == NULL)
		return 0;
	if (fgets(pattern, sizeof(pattern), file) == NULL)
		pattern[0] = '\0';
	fclose(file);
	pattern[strcspn(pattern, "\n")] = '\0';
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (pattern[0] == '\0' || length < 0)
		return 0;
	path[length] = '\0';
	return strstr(path, pattern) != NULL && fstat(fd, &now) == 0 && size > now.st_size;
}

ssize_t
pwrite(int fd, const void *data, size_t length, off_t offset)
{
	ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
	int saved_errno = errno;

	if (is_full(fd, offset + (off_t) length))
	{
		errno = ENOSPC;
		return -1;
	}
	errno = saved_errno;
	return real(fd, data, length, offset);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	ssize_t (*real)(int, const struct iovec *, int, off_t) = dlsym(RTLD_NEXT, "pwritev");
	off_t end = offset;
	int saved_errno = errno;

	for (int i = 0; i < count; i++)
		end += (off_t) parts[i].iov_len;
	if (is_full(fd, end))
	{
		errno = ENOSPC;
		return -1;
	}
	errno = saved_errno;
	return real(fd, parts, count, offset);
}

int
posix_fallocate(int fd, off_t offset, off_t length)
{
	int (*real)(int, off_t, off_t) = dlsym(RTLD_NEXT, "posix_fallocate");

	return is_full(fd, offset + length) ? ENOSPC : real(fd, offset, length);
}

/* The same functions under the names that they have for large files. */
ssize_t
pwrite64(int fd, const void *data, size_t length, off_t offset)
{
	return pwrite(fd, data, length, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
	return pwritev(fd, parts, count, offset);
}

int
posix_fallocate64(int fd, off_t offset, off_t length)
{
	return posix_fallocate(fd, offset, length);
}
