/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  Rows that are put together in memory and inserted into a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_ROWS_H
#define WB_ROWS_H

#include "postgres.h"

#include "feed.h"

/* One of the extension's tables; a static variable of the module that fills it. */
typedef struct WbTable
{
	const char *name; /* in schema webhook_bridge */
	WbFeed feed;      /* its columns, and the statement that inserts them */
	bool repeats;     /* many rows of the last time were there already */
	int calm;         /* for how many times none was */
} WbTable;

typedef struct WbRows
{
	WbTable *table;
	int count;
	int capacity;
	Datum *values; /* one row after the other */
	bool *nulls;
} WbRows;

/* Begins without rows, in the current memory context; "capacity" is a guess. */
extern void wb_rows_init(WbRows *rows, WbTable *table, int capacity);

/*
 * Adds a row, with the columns of the feed.  What values point to must stay
 * until it is inserted.
 */
extern void wb_rows_add(WbRows *rows, const Datum *values, const bool *nulls);

/*
 * Inserts the rows, between SPI_connect() and SPI_finish(), and returns how many
 * were inserted: all, unless a trigger or a rule left some out.
 */
extern int wb_rows_insert(WbRows *rows);

/*
 * Inserts, in the order of the rows, those whose place in the table's unique
 * indexes is free.  is_new[i] tells which they were; returns how many.  The
 * feed's statement says ON CONFLICT DO NOTHING and returns the first column, a
 * bigint that no two rows share.
 */
extern int wb_rows_insert_new(WbRows *rows, bool *is_new);

#endif /* WB_ROWS_H */
