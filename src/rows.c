/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  Rows that are put together in memory and inserted into a table.
 *
 * As long as a table is as CREATE EXTENSION made it, its access method gets many
 * rows at a time, in the way of COPY, which takes half as long as an INSERT: no
 * executor stands between, and a page of rows is one WAL record.  Partitions,
 * indexes, constraints and privileges are heeded as by COPY.  A table with
 * triggers, rules, row security or other columns than ours gets the feed's
 * statement instead, so that whatever users put on a table does what they expect;
 * so do one that is a partition, and rows for partitions that are foreign tables or
 * have triggers or generated columns.
 *
 * Where a row may be there already, all are inserted as if none were, in a
 * subtransaction.  If one meets another, that is rolled back, and each is inserted
 * by itself: it is taken back alone and given to the statement, which waits for who
 * is about to insert the same and goes on when he rolls back.  Both save looking
 * before each row, but leave dead rows behind where rows repeat.  So after one that
 * did, each is inserted by itself for a while; and while many do, the statement gets
 * all of them.
 *
 * Knows nothing of what rows mean.  Locks and buffers belong to the transaction,
 * memory to the current context.  Errors are raised as by any SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "rows.h"

#define MAX_AT_ONCE 256 /* rows in one call of the access method */
#define REPEATS 8       /* many are there already: one of so many */
#define CALM 8          /* calls without a row that was there already, after one that had some */
#define TRY_AT_ONCE 16  /* rows that are worth the transaction id of a subtransaction */

/* The executor's functions have other arguments from 16 on, where nobody has tried them yet. */
#define DIRECTLY (PG_VERSION_NUM < 160000)

#if DIRECTLY
/* A table that takes rows directly, while it is open. */
typedef struct Target
{
	EState *estate;
	ResultRelInfo *table;
	ModifyTableState *state;            /* for routing */
	PartitionTupleRouting *routing;     /* NULL: the table has no partitions */
	int *columns;                       /* of the rows: their places in the table */
	TupleTableSlot *row;                /* as the table has it */
	ResultRelInfo *leaf;                /* the table itself or a partition */
	TupleTableSlot *slots[MAX_AT_ONCE]; /* for rows as the leaf has them */
	int slot_count;
} Target;
#endif

static bool insert_as_new(WbRows *rows);
static int insert(WbRows *rows, bool *is_new);
static int insert_by_statement(WbRows *rows, int first, int count, bool *is_new);
static int insert_directly(WbRows *rows, bool *is_new, int *inserted);
static int compare_ids(const void *a, const void *b);
#if DIRECTLY
static bool open_target(Target *target, const WbRows *rows);
static Relation open_table(const char *name);
static int *find_columns(const WbFeed *feed, TupleDesc desc);
static RangeTblEntry *range_entry(Relation table);
static void close_target(Target *target);
static int take_rows(Target *target, const WbRows *rows, int first);
static ResultRelInfo *find_leaf(Target *target);
static int write_rows(Target *target, WbRows *rows, int first, int count, bool *is_new);
static void write_slots(Target *target, int count);
static bool write_if_new(Target *target, TupleTableSlot *slot);
#endif

void
wb_rows_init(WbRows *rows, WbTable *table, int capacity)
{
	rows->table = table;
	rows->count = 0;
	rows->capacity = Max(capacity, 1);
	rows->values = palloc(sizeof(Datum) * rows->capacity * table->feed.column_count);
	rows->nulls = palloc(sizeof(bool) * rows->capacity * table->feed.column_count);
}

void
wb_rows_add(WbRows *rows, const Datum *values, const bool *nulls)
{
	int columns = rows->table->feed.column_count;

	if (rows->count == rows->capacity)
	{
		rows->capacity *= 2;
		rows->values = repalloc(rows->values, sizeof(Datum) * rows->capacity * columns);
		rows->nulls = repalloc(rows->nulls, sizeof(bool) * rows->capacity * columns);
	}
	memcpy(&rows->values[rows->count * columns], values, sizeof(Datum) * columns);
	memcpy(&rows->nulls[rows->count * columns], nulls, sizeof(bool) * columns);
	rows->count++;
}

int
wb_rows_insert(WbRows *rows)
{
	return insert(rows, NULL);
}

int
wb_rows_insert_new(WbRows *rows, bool *is_new)
{
	WbTable *table = rows->table;
	int inserted;

	if (table->repeats)
		inserted = insert_by_statement(rows, 0, rows->count, is_new);
	else if (DIRECTLY && rows->count >= TRY_AT_ONCE && table->calm >= CALM && insert_as_new(rows))
	{
		memset(is_new, true, rows->count);
		inserted = rows->count;
	}
	else
		inserted = insert(rows, is_new);

	table->repeats = (rows->count - inserted) * REPEATS > rows->count;
	table->calm = inserted == rows->count ? Min(table->calm + 1, CALM) : 0;
	return inserted;
}

/* Inserts all rows; or none, and false, if one is there already or they are for the statement. */
static bool
insert_as_new(WbRows *rows)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool are_new = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		int inserted = 0;

		are_new = insert_directly(rows, NULL, &inserted) == rows->count;
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_UNIQUE_VIOLATION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	if (are_new)
		ReleaseCurrentSubTransaction();
	else
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return are_new;
}

static int
insert(WbRows *rows, bool *is_new)
{
	int inserted = 0;
	int done = insert_directly(rows, is_new, &inserted);

	if (done < rows->count)
		inserted += insert_by_statement(rows, done, rows->count - done, is_new);
	return inserted;
}

/* Returns how many were inserted, and in is_new, unless it is NULL, which. */
static int
insert_by_statement(WbRows *rows, int first, int count, bool *is_new)
{
	WbFeed *feed = &rows->table->feed;
	int columns = feed->column_count;
	Tuplestorestate *store = wb_feed_open(feed);
	int inserted;
	int64 *ids;

	for (int i = first; i < first + count; i++)
		tuplestore_putvalues(store, feed->desc, &rows->values[i * columns], &rows->nulls[i * columns]);
	wb_feed_run(feed, store);
	tuplestore_end(store);
	inserted = (int) SPI_processed;
	if (is_new == NULL)
		return inserted;

	ids = palloc(sizeof(int64) * Max(inserted, 1));
	for (int i = 0; i < inserted; i++)
	{
		bool isnull;

		ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	qsort(ids, inserted, sizeof(int64), compare_ids);
	for (int i = first; i < first + count; i++)
	{
		int64 id = DatumGetInt64(rows->values[i * columns]);

		is_new[i] = bsearch(&id, ids, inserted, sizeof(int64), compare_ids) != NULL;
	}
	return inserted;
}

static int
compare_ids(const void *a, const void *b)
{
	int64 left = *(const int64 *) a;
	int64 right = *(const int64 *) b;

	return (left > right) - (left < right);
}

#if DIRECTLY
/* Returns how many rows are done; those that follow are for the statement. */
static int
insert_directly(WbRows *rows, bool *is_new, int *inserted)
{
	Target target = {0};
	int done = 0;

	if (rows->count == 0 || !open_target(&target, rows))
		return 0;
	while (done < rows->count)
	{
		int count = take_rows(&target, rows, done);

		if (count == 0)
			break;
		*inserted += write_rows(&target, rows, done, count, is_new);
		done += count;
	}
	close_target(&target);
	/* statements that follow see the rows */
	CommandCounterIncrement();
	return done;
}

/* False, and nothing is open, if the table is one for the statement. */
static bool
open_target(Target *target, const WbRows *rows)
{
	Relation table = open_table(rows->table->name);
	EState *estate;

	if (table == NULL)
		return false;
	target->columns = find_columns(&rows->table->feed, RelationGetDescr(table));
	if (target->columns == NULL)
	{
		table_close(table, NoLock);
		return false;
	}

	target->estate = estate = CreateExecutorState();
	ExecInitRangeTable(estate, list_make1(range_entry(table)));
	(void) ExecCheckRTPerms(estate->es_range_table, true);
	target->table = makeNode(ResultRelInfo);
	ExecInitResultRelation(estate, target->table, 1);
	ExecOpenIndices(target->table, false);
	target->row = table_slot_create(table, &estate->es_tupleTable);
	if (table->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		target->state = makeNode(ModifyTableState);
		target->state->ps.state = estate;
		target->state->operation = CMD_INSERT;
		target->state->mt_nrels = 1;
		target->state->resultRelInfo = target->table;
		target->state->rootResultRelInfo = target->table;
		target->routing = ExecSetupPartitionTupleRouting(estate, table);
	}
	table_close(table, NoLock); /* the executor state has it, too */
	return true;
}

/* NULL if it does not exist or needs the statement. */
static Relation
open_table(const char *name)
{
	Relation table;
	Oid oid;

	/* the statement says what is wrong */
	if (XactReadOnly)
		return NULL;
	oid = RangeVarGetRelid(makeRangeVar("webhook_bridge", pstrdup(name), -1), RowExclusiveLock, true);
	if (!OidIsValid(oid))
		return NULL;
	table = relation_open(oid, NoLock);
	if ((table->rd_rel->relkind == RELKIND_RELATION || table->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) &&
		table->rd_rules == NULL && table->trigdesc == NULL && !table->rd_rel->relrowsecurity &&
		!table->rd_rel->relispartition)
		return table;
	relation_close(table, NoLock);
	return NULL;
}

/* The place of each column of the rows; NULL if the table has others or other types. */
static int *
find_columns(const WbFeed *feed, TupleDesc desc)
{
	int *columns = palloc(sizeof(int) * feed->column_count);
	int found = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		int c = 0;

		if (attribute->attisdropped)
			continue;
		while (c < feed->column_count && strcmp(feed->column_names[c], NameStr(attribute->attname)) != 0)
			c++;
		if (c == feed->column_count || attribute->atttypid != feed->column_types[c] ||
			attribute->atttypmod != -1 || attribute->attgenerated != '\0' || attribute->attidentity != '\0')
			return NULL;
		columns[c] = i;
		found++;
	}
	return found == feed->column_count ? columns : NULL;
}

/* What an INSERT into all columns needs by way of privileges. */
static RangeTblEntry *
range_entry(Relation table)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	TupleDesc desc = RelationGetDescr(table);

	entry->rtekind = RTE_RELATION;
	entry->relid = RelationGetRelid(table);
	entry->relkind = table->rd_rel->relkind;
	entry->rellockmode = RowExclusiveLock;
	entry->requiredPerms = ACL_INSERT;
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			entry->insertedCols = bms_add_member(entry->insertedCols,
												 i + 1 - FirstLowInvalidHeapAttributeNumber);
	return entry;
}

static void
close_target(Target *target)
{
	EState *estate = target->estate;

	ExecResetTupleTable(estate->es_tupleTable, false);
	if (target->routing)
		ExecCleanupTupleRouting(target->state, target->routing);
	ExecCloseResultRelations(estate);
	ExecCloseRangeTableRelations(estate);
	FreeExecutorState(estate);
}

/*
 * Puts rows of one leaf into slots, as many as follow each other and fit.
 * Returns how many; none if the leaf is one for the statement.
 */
static int
take_rows(Target *target, const WbRows *rows, int first)
{
	int columns = rows->table->feed.column_count;
	int limit = Min(rows->count - first, MAX_AT_ONCE);
	int count = 0;

	for (; count < limit; count++)
	{
		const Datum *values = &rows->values[(first + count) * columns];
		const bool *nulls = &rows->nulls[(first + count) * columns];
		TupleTableSlot *row = target->row;
		TupleTableSlot *slot;
		ResultRelInfo *leaf;

		ExecClearTuple(row);
		memset(row->tts_isnull, true, row->tts_tupleDescriptor->natts); /* dropped columns */
		for (int c = 0; c < columns; c++)
		{
			row->tts_values[target->columns[c]] = values[c];
			row->tts_isnull[target->columns[c]] = nulls[c];
		}
		ExecStoreVirtualTuple(row);

		leaf = find_leaf(target);
		if (leaf == NULL || (count > 0 && leaf != target->leaf))
			break;
		if (leaf != target->leaf)
		{
			target->leaf = leaf;
			target->slot_count = 0;
		}
		if (count == target->slot_count)
			target->slots[target->slot_count++] =
				table_slot_create(leaf->ri_RelationDesc, &target->estate->es_tupleTable);
		slot = target->slots[count];
		if (leaf->ri_RootToPartitionMap)
			(void) execute_attr_map_slot(leaf->ri_RootToPartitionMap->attrMap, row, slot);
		else
		{
			ExecClearTuple(slot);
			memcpy(slot->tts_values, row->tts_values, sizeof(Datum) * row->tts_tupleDescriptor->natts);
			memcpy(slot->tts_isnull, row->tts_isnull, sizeof(bool) * row->tts_tupleDescriptor->natts);
			ExecStoreVirtualTuple(slot);
		}
		slot->tts_tableOid = RelationGetRelid(leaf->ri_RelationDesc); /* for constraints */
		if (leaf->ri_RelationDesc->rd_att->constr)
			ExecConstraints(leaf, slot, target->estate);
		ResetPerTupleExprContext(target->estate);
	}
	return count;
}

/* Where the row goes; NULL if that takes rows by the statement only. */
static ResultRelInfo *
find_leaf(Target *target)
{
	ResultRelInfo *leaf = target->table;
	TupleConstr *constr;

	if (target->routing)
		leaf = ExecFindPartition(target->state, target->table, target->routing, target->row, target->estate);
	constr = leaf->ri_RelationDesc->rd_att->constr;
	/* a partition may generate what its parent does not */
	if (leaf->ri_FdwRoutine || leaf->ri_TrigDesc || (constr && constr->has_generated_stored))
		return NULL;
	return leaf;
}

/* Inserts the rows in the slots, and returns how many were new: all, if is_new is NULL. */
static int
write_rows(Target *target, WbRows *rows, int first, int count, bool *is_new)
{
	int inserted = 0;

	if (is_new == NULL)
	{
		write_slots(target, count);
		return count;
	}
	for (int i = first; i < first + count; i++)
	{
		ResetPerTupleExprContext(target->estate);
		is_new[i] = write_if_new(target, target->slots[i - first]);
		inserted += is_new[i] ? 1 : insert_by_statement(rows, i, 1, is_new);
	}
	return inserted;
}

static void
write_slots(Target *target, int count)
{
	EState *estate = target->estate;
	ResultRelInfo *leaf = target->leaf;
	MemoryContext old_context = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));

	table_multi_insert(leaf->ri_RelationDesc, target->slots, count, GetCurrentCommandId(true), 0, NULL);
	MemoryContextSwitchTo(old_context);
	for (int i = 0; i < count && leaf->ri_NumIndices > 0; i++)
	{
		ResetPerTupleExprContext(estate);
		list_free(ExecInsertIndexTuples(leaf, target->slots[i], estate, false, false, NULL, NIL));
	}
}

/*
 * Inserts a row, and takes it back at once if it meets another one: false.  As
 * INSERT ... ON CONFLICT does, so that a row that is taken back is nothing that
 * anybody waits for.  One that was only deleted would be, until the transaction
 * ends: two that wait for a third would then wait for each other.
 */
static bool
write_if_new(Target *target, TupleTableSlot *slot)
{
	ResultRelInfo *leaf = target->leaf;
	TransactionId transaction = GetCurrentTransactionId();
	uint32 token = SpeculativeInsertionLockAcquire(transaction);
	bool taken = false;

	table_tuple_insert_speculative(leaf->ri_RelationDesc, slot, GetCurrentCommandId(true), 0, NULL, token);
	if (leaf->ri_NumIndices > 0)
		list_free(ExecInsertIndexTuples(leaf, slot, target->estate, false, true, &taken, NIL));
	table_tuple_complete_speculative(leaf->ri_RelationDesc, slot, token, !taken);
	SpeculativeInsertionLockRelease(transaction);
	return !taken;
}

#else

static int
insert_directly(WbRows *rows, bool *is_new, int *inserted)
{
	return 0;
}

#endif
