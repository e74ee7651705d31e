/*-------------------------------------------------------------------------
 *
 * unit.h
 *	  The harness of the unit tests: checks, TAP output, guard pages.
 *
 * A test program is one .c file, linked with unit.c and the pure module under
 * test:
 *
 *		static void
 *		test_something(void)
 *		{
 *			CHECK_INT(1 + 1, 2);
 *		}
 *
 *		int
 *		main(void)
 *		{
 *			RUN(test_something);
 *			return unit_finish();
 *		}
 *
 * A failed check prints where and what, marks the running test as failed and
 * goes on.  Every CHECK is also an expression, true if the check held.  The
 * value under test comes first, the expected one second.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_UNIT_H
#define WB_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Runs one test function and prints its "ok" or "not ok". */
#define RUN(function) unit_run(#function, function)

#define CHECK(condition) \
	unit_check(__FILE__, __LINE__, #condition, (condition))

/* Integers up to 64 bits, signed or not, enums and booleans. */
#define CHECK_INT(actual, expected) \
	unit_check_int(__FILE__, __LINE__, #actual, (int64_t) (actual), (int64_t) (expected))

/* Terminated strings; NULL equals only NULL. */
#define CHECK_STR(actual, expected) \
	unit_check_str(__FILE__, __LINE__, #actual, (actual), (expected))

/* Bytes, which may contain NUL. */
#define CHECK_BYTES(actual, actual_len, expected, expected_len) \
	unit_check_bytes(__FILE__, __LINE__, #actual, (actual), (actual_len), (expected), (expected_len))

/* A WbSlice (slice.h) against a terminated string; both evaluated twice. */
#define CHECK_SLICE(slice, expected) \
	unit_check_bytes(__FILE__, __LINE__, #slice, (slice).data, (slice).len, (expected), strlen(expected))

/*
 * Names the case that a table-driven test is at, printf-like; it is printed
 * with every failure until the next call or the end of the test.
 */
extern void unit_case(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern void unit_run(const char *name, void (*function)(void));

/* Prints the plan; returns what main() has to return. */
extern int unit_finish(void);

extern bool unit_check(const char *file, int line, const char *text, bool held);
extern bool unit_check_int(const char *file, int line, const char *text, int64_t actual, int64_t expected);
extern bool unit_check_str(const char *file, int line, const char *text, const char *actual, const char *expected);
extern bool unit_check_bytes(const char *file, int line, const char *text, const char *actual, size_t actual_len, const char *expected, size_t expected_len);

/*
 * Return a writable copy of the bytes that touches an unreadable page: behind
 * its last byte (guarded) or before its first one (guarded_front).  Reading
 * or writing across the border ends the program.  The copy is not
 * terminated; "data" may be NULL if len is 0.  Give it back with
 * guarded_free(); up to 64 copies may be alive.
 */
extern char *guarded(const char *data, size_t len);
extern char *guarded_front(const char *data, size_t len);
extern void guarded_free(char *copy);

/* A reproducible stream of numbers: xorshift, seeded by the caller. */
static inline uint32_t
unit_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t) (*seed >> 32);
}

#endif /* WB_UNIT_H */
