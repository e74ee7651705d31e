/*-------------------------------------------------------------------------
 *
 * feed.h
 *	  Rows in memory as a relation that a statement can read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_FEED_H
#define WB_FEED_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "executor/spi.h"
#include "utils/tuplestore.h"

#include "slice.h"

/* A relation made of rows in memory, and the statement that reads it. */
typedef struct WbFeed
{
	const char *name; /* in the statement */
	const char *statement;
	int column_count;
	const char *const *column_names;
	const Oid *column_types;
	SPIPlanPtr plan; /* made at the first run */
	TupleDesc desc;  /* made by wb_feed_open(); both for the life of the process */
} WbFeed;

/* An empty tuplestore for rows of feed->desc; the caller ends it. */
extern Tuplestorestate *wb_feed_open(WbFeed *feed);

/*
 * Runs the statement, an INSERT, on the rows; to be called between
 * SPI_connect() and SPI_finish().  SPI_processed and SPI_tuptable are its.
 */
extern void wb_feed_run(WbFeed *feed, Tuplestorestate *rows);

/* Values of text columns: of a string that may be NULL, of bytes (also bytea). */
extern Datum wb_feed_text(const char *text, bool *isnull);
extern Datum wb_feed_bytes(WbSlice bytes);

#endif /* WB_FEED_H */
