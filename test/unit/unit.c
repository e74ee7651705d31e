/*-------------------------------------------------------------------------
 *
 * unit.c
 *	  The harness of the unit tests: checks, TAP output, guard pages.
 *
 * It does not isolate tests from each other: a crash ends the program, and
 * the missing plan tells the TAP reader so.  Guarded copies belong to the
 * test, which gives them back with guarded_free().
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Failures printed per test: a broken module fails thousands of checks. */
#define MAX_PRINTED 20

#define MAX_GUARDED 64

typedef struct GuardedCopy
{
	char *copy;    /* NULL: nobody uses it */
	char *mapping; /* stays for the next copy */
	size_t mapping_len;
} GuardedCopy;

static int tests_run = 0;
static int tests_failed = 0;
static int failures = 0; /* in the running test */
static char case_name[256];
static GuardedCopy guarded_copies[MAX_GUARDED];

void
unit_case(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(case_name, sizeof(case_name), format, args);
	va_end(args);

	/* Samples are often pasted in; a line end would break the TAP comment. */
	for (char *c = case_name; *c != '\0'; c++)
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
			*c = ' ';
}

void
unit_run(const char *name, void (*function)(void))
{
	failures = 0;
	case_name[0] = '\0';
	function();
	tests_run++;
	if (failures > MAX_PRINTED)
		printf("# ... and %d more failed checks\n", failures - MAX_PRINTED);
	if (failures > 0)
		tests_failed++;
	printf("%s %d - %s\n", failures > 0 ? "not ok" : "ok", tests_run, name);
	fflush(stdout);
}

int
unit_finish(void)
{
	printf("1..%d\n", tests_run);
	return tests_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Counts a failure and prints its first line; false if that is too much. */
static bool
print_failure(const char *file, int line, const char *text)
{
	failures++;
	if (failures > MAX_PRINTED)
		return false;
	printf("# %s:%d: %s\n", file, line, text);
	if (case_name[0] != '\0')
		printf("#     case:     %s\n", case_name);
	return true;
}

/* Prints bytes as a C literal, so that they can be pasted into a test. */
static void
print_bytes(const char *label, const char *data, size_t len)
{
	printf("#     %s (%zu) \"", label, len);
	for (size_t i = 0; i < len && i < 200; i++)
	{
		unsigned char c = (unsigned char) data[i];

		if (c == '\r')
			fputs("\\r", stdout);
		else if (c == '\n')
			fputs("\\n", stdout);
		else if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c >= 0x20 && c < 0x7f)
			putchar(c);
		else
			printf("\\%03o", c);
	}
	printf("\"%s\n", len > 200 ? "..." : "");
}

bool
unit_check(const char *file, int line, const char *text, bool held)
{
	if (!held)
		print_failure(file, line, text);
	return held;
}

bool
unit_check_int(const char *file, int line, const char *text, int64_t actual, int64_t expected)
{
	if (actual == expected)
		return true;
	if (print_failure(file, line, text))
	{
		printf("#     actual:   %" PRId64 "\n", actual);
		printf("#     expected: %" PRId64 "\n", expected);
	}
	return false;
}

bool
unit_check_str(const char *file, int line, const char *text, const char *actual, const char *expected)
{
	if (actual != NULL && expected != NULL)
		return unit_check_bytes(file, line, text, actual, strlen(actual), expected, strlen(expected));
	if (actual == expected)
		return true;
	if (print_failure(file, line, text))
	{
		printf("#     actual:   %s\n", actual != NULL ? actual : "NULL");
		printf("#     expected: %s\n", expected != NULL ? expected : "NULL");
	}
	return false;
}

bool
unit_check_bytes(const char *file, int line, const char *text, const char *actual, size_t actual_len, const char *expected, size_t expected_len)
{
	if (actual_len == expected_len && (actual_len == 0 || memcmp(actual, expected, actual_len) == 0))
		return true;
	if (print_failure(file, line, text))
	{
		print_bytes("actual:  ", actual, actual_len);
		print_bytes("expected:", expected, expected_len);
	}
	return false;
}

/* Ends the program: without its memory a test proves nothing. */
static void __attribute__((noreturn))
give_up(const char *why)
{
	printf("Bail out! %s\n", why);
	exit(EXIT_FAILURE);
}

/*
 * Returns inner bytes, whole pages, with an unreadable page on either side.
 * Mappings of the same size are used again: tests make thousands of copies.
 */
static GuardedCopy *
map_guarded(size_t page, size_t inner)
{
	size_t mapping_len = inner + 2 * page;
	GuardedCopy *slot = NULL;

	for (int i = 0; i < MAX_GUARDED; i++)
		if (guarded_copies[i].copy == NULL && (slot == NULL || guarded_copies[i].mapping_len == mapping_len))
			slot = &guarded_copies[i];
	if (slot == NULL)
		give_up("too many guarded copies are alive");
	if (slot->mapping_len != mapping_len)
	{
		if (slot->mapping != NULL)
			munmap(slot->mapping, slot->mapping_len);
		slot->mapping = mmap(NULL, mapping_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (slot->mapping == MAP_FAILED || mprotect(slot->mapping + page, inner, PROT_READ | PROT_WRITE) != 0)
			give_up("could not map a guarded copy");
		slot->mapping_len = mapping_len;
	}

	/* Not zero: a parser that runs too far must not meet a terminator. */
	memset(slot->mapping + page, 'A', inner);
	return slot;
}

/* Copies the bytes to one end of freshly mapped pages. */
static char *
make_guarded(const char *data, size_t len, bool front)
{
	size_t page = (size_t) sysconf(_SC_PAGESIZE);
	size_t inner = (len / page + 1) * page;
	GuardedCopy *slot = map_guarded(page, inner);

	slot->copy = slot->mapping + page + (front ? 0 : inner - len);
	if (len > 0)
		memcpy(slot->copy, data, len);
	return slot->copy;
}

char *
guarded(const char *data, size_t len)
{
	return make_guarded(data, len, false);
}

char *
guarded_front(const char *data, size_t len)
{
	return make_guarded(data, len, true);
}

void
guarded_free(char *copy)
{
	for (int i = 0; i < MAX_GUARDED; i++)
	{
		if (copy == NULL || guarded_copies[i].copy != copy)
			continue;
		guarded_copies[i].copy = NULL;
		return;
	}
	give_up("guarded_free() of something that is not a guarded copy");
}
