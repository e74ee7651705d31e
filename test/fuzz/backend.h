/*-------------------------------------------------------------------------
 *
 * backend.h
 *	  As much of a PostgreSQL backend as the receiver's modules need in a
 *	  fuzz target.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_FUZZ_BACKEND_H
#define WB_FUZZ_BACKEND_H

#include "postgres.h"

#include "slice.h"
#include "utils/memutils.h"

#define REQUIRE(condition)                                                            \
	do                                                                                \
	{                                                                                 \
		if (!(condition))                                                             \
		{                                                                             \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                  \
		}                                                                             \
	} while (0)

/* The next allocation that may fail does so. */
extern bool backend_is_out_of_memory;

/* The encoding of the database. */
extern int backend_encoding;

extern MemoryContext backend_turn_context;
extern void backend_reset_turn(void);
extern size_t backend_allocations(void);

/* What PostgreSQL's own parser says. */
extern int backend_json_members(WbSlice text);

#endif /* WB_FUZZ_BACKEND_H */
