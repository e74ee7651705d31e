/*-------------------------------------------------------------------------
 *
 * backend.c
 *	  As much of a PostgreSQL backend as the receiver's modules need in a
 *	  fuzz target.
 *
 * Memory contexts, each allocation of which is one of malloc(), so that the
 * address sanitizer knows its bounds; errors, which are findings, because one
 * outside a batch ends the receiver; messages below that, which are dropped.
 * Texts, encodings and JSON are PostgreSQL's own, from libpgcommon.
 *
 *-------------------------------------------------------------------------
 */
#include "backend.h"

#include "common/jsonapi.h"
#include "lib/ilist.h"
#include "mb/pg_wchar.h"

#define MAX_CONTEXTS 8

typedef struct Chunk
{
	dlist_node node;
	MemoryContext context;
} Chunk;

/* What precedes an allocation, which is aligned as malloc() does it. */
#define CHUNK_BYTES MAXALIGN(sizeof(Chunk) + MAXIMUM_ALIGNOF)

static MemoryContextData contexts[MAX_CONTEXTS] = {{.type = T_AllocSetContext}, {.type = T_AllocSetContext}};
static int context_count = 2;
static dlist_head chunks = DLIST_STATIC_INIT(chunks);

MemoryContext TopMemoryContext = &contexts[0];
MemoryContext backend_turn_context = &contexts[1];
MemoryContext CurrentMemoryContext = &contexts[1];
bool backend_is_out_of_memory = false;
int backend_encoding = PG_UTF8;

/* --- Memory ---------------------------------------------------------------- */

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size min_size,
							  Size first_size, Size max_size)
{
	REQUIRE(context_count < MAX_CONTEXTS);
	contexts[context_count].type = T_AllocSetContext;
	return &contexts[context_count++];
}

MemoryContext
SlabContextCreate(MemoryContext parent, const char *name, Size block_size, Size chunk_size)
{
	return AllocSetContextCreateInternal(parent, name, 0, block_size, block_size);
}

void *
MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	Chunk *chunk;

	REQUIRE((flags & MCXT_ALLOC_HUGE) != 0 || AllocSizeIsValid(size));
	if (backend_is_out_of_memory && (flags & MCXT_ALLOC_NO_OOM) != 0)
	{
		backend_is_out_of_memory = false;
		return NULL;
	}
	chunk = (Chunk *) malloc(CHUNK_BYTES + size);
	REQUIRE(chunk != NULL);
	chunk->context = context;
	dlist_push_tail(&chunks, &chunk->node);
	memset((char *) chunk + CHUNK_BYTES, (flags & MCXT_ALLOC_ZERO) != 0 ? 0 : 0x7f, size);
	return (char *) chunk + CHUNK_BYTES;
}

static Chunk *
chunk_of(void *pointer)
{
	return (Chunk *) ((char *) pointer - CHUNK_BYTES);
}

void
pfree(void *pointer)
{
	dlist_delete(&chunk_of(pointer)->node);
	free(chunk_of(pointer));
}

void *
repalloc(void *pointer, Size size)
{
	Chunk *chunk = chunk_of(pointer);

	dlist_delete(&chunk->node);
	chunk = (Chunk *) realloc(chunk, CHUNK_BYTES + size);
	REQUIRE(chunk != NULL);
	dlist_push_tail(&chunks, &chunk->node);
	return (char *) chunk + CHUNK_BYTES;
}

void *
palloc(Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size, 0);
}

void *
palloc0(Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size, MCXT_ALLOC_ZERO);
}

void *
palloc_extended(Size size, int flags)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size, flags);
}

char *
pnstrdup(const char *text, Size len)
{
	char *copy;

	len = strnlen(text, len);
	copy = palloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *
pstrdup(const char *text)
{
	return pnstrdup(text, strlen(text));
}

/* Frees what was allocated in the context of the turn. */
void
backend_reset_turn(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &chunks)
	{
		Chunk *chunk = dlist_container(Chunk, node, iter.cur);

		if (chunk->context != backend_turn_context)
			continue;
		dlist_delete(&chunk->node);
		free(chunk);
	}
}

/* Allocations of all contexts that have not been freed. */
size_t
backend_allocations(void)
{
	dlist_iter iter;
	size_t count = 0;

	dlist_foreach(iter, &chunks)
		count++;
	return count;
}

/* --- Errors ------------------------------------------------------------------ */

bool
errstart(int level, const char *domain)
{
	return level >= ERROR;
}

bool
errstart_cold(int level, const char *domain)
{
	return errstart(level, domain);
}

int
errmsg_internal(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	return 0;
}

int
errmsg(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	return 0;
}

int
errcode(int code)
{
	return 0;
}

void
errfinish(const char *file, int line, const char *function)
{
	fprintf(stderr, "\n%s:%d: an error was raised\n", file, line);
	abort();
}

/* --- Encodings and JSON ------------------------------------------------------ */

int
GetDatabaseEncoding(void)
{
	return backend_encoding;
}

#if PG_VERSION_NUM >= 160000
static JsonParseErrorType
count_member(void *count, char *name, bool is_null)
{
	*(int *) count += 1;
	return JSON_SUCCESS;
}
#else
static void
count_member(void *count, char *name, bool is_null)
{
	*(int *) count += 1;
}
#endif

/* The members of all objects in a text, -1 if it is not JSON. */
int
backend_json_members(WbSlice text)
{
	char *copy = palloc(text.len + 1);
	int count = 0;
	JsonSemAction action = {.semstate = &count, .object_field_start = count_member};
	JsonLexContext *lexer;

	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	if (pg_encoding_verifymbstr(PG_UTF8, copy, (int) text.len) != (int) text.len)
		return -1;
#if PG_VERSION_NUM >= 170000
	lexer = makeJsonLexContextCstringLen(NULL, copy, text.len, PG_UTF8, true);
#else
	lexer = makeJsonLexContextCstringLen(copy, (int) text.len, PG_UTF8, true);
#endif
	return pg_parse_json(lexer, &action) == JSON_SUCCESS ? count : -1;
}
