/*-------------------------------------------------------------------------
 *
 * feed.c
 *	  Rows in memory as a relation that a statement can read.
 *
 * What does not reach its table directly (rows.c) goes to PostgreSQL through SPI,
 * so that triggers, rules and whatever else a user put on the tables work as for
 * any other INSERT.  The rows are handed over as an ephemeral named relation, which is
 * cheaper than arrays and, unlike values in the text of a statement, appears in
 * no log.
 *
 * Knows nothing of what the rows mean.  A feed is a static variable of the
 * module that uses it; its plan and its row type are made once and kept for the
 * life of the process, and PostgreSQL makes the plan anew when tables change.
 * The rows belong to the caller's memory context.  Errors are raised as by any
 * SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"

#include "feed.h"
#include "guc.h"

/* In memory, because what is fed is bounded. */
Tuplestorestate *
wb_feed_open(WbFeed *feed)
{
	if (feed->desc == NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);
		TupleDesc desc = CreateTemplateTupleDesc(feed->column_count);

		for (int i = 0; i < feed->column_count; i++)
			TupleDescInitEntry(desc, (AttrNumber) (i + 1), feed->column_names[i],
							   feed->column_types[i], -1, 0);
		feed->desc = desc;
		MemoryContextSwitchTo(old_context);
	}
	return tuplestore_begin_heap(false, false, wb_max_buffered_kb);
}

void
wb_feed_run(WbFeed *feed, Tuplestorestate *rows)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));
	int result;

	relation->md.name = pstrdup(feed->name);
	relation->md.tupdesc = feed->desc;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = tuplestore_tuple_count(rows);
	relation->reldata = rows;
	if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register relation \"%s\"", feed->name);

	if (feed->plan == NULL)
	{
		feed->plan = SPI_prepare_cursor(feed->statement, 0, NULL, CURSOR_OPT_GENERIC_PLAN);
		if (feed->plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(feed->plan);
	}
	result = SPI_execute_plan(feed->plan, NULL, NULL, false, 0);
	if (result != SPI_OK_INSERT && result != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not store \"%s\": %s", feed->name, SPI_result_code_string(result));
	(void) SPI_unregister_relation(feed->name);
}

Datum
wb_feed_text(const char *text, bool *isnull)
{
	*isnull = (text == NULL);
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

Datum
wb_feed_bytes(WbSlice bytes)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes.data, (int) bytes.len));
}
