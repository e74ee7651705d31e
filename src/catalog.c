/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  What CREATE EXTENSION made, and the role in which we use it.
 *
 * A receiver keeps the OIDs of the extension's tables and notices through the
 * relation cache that something about them changed: CREATE, ALTER and DROP
 * invalidate by themselves, a change of rows through the triggers that call
 * webhook_bridge.invalidate().  Invalidations arrive when a transaction starts
 * or takes a lock; they only raise a number here, and whoever caches something
 * compares it at the start of the next transaction.
 *
 * All work on tables is done between wb_begin() and wb_commit(): receivers' in the
 * role that webhook_bridge.role names, or the tables' owner, the keeper's in that of
 * the owner, as a security-restricted operation, so that a trigger or an index
 * expression on them can do no more than that role could.  A role that does not
 * exist or lacks a privilege is said in the log once, and nothing is done until that
 * is mended: "ready" is false.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "guc.h"

#define SAY_INTERVAL_MS 1000 /* between messages about the role */

static WbCatalog catalog;
static uint64 generation = 1;         /* raised by every invalidation */
static uint64 checked_generation = 0; /* at the last look */
static Oid role;                      /* that transactions are done in, if catalog.ready */
static uint64 role_generation = 0;    /* when catalog.ready was found out */
static char *role_problem = NULL;     /* what was said of the role last, so that it is said once */
static bool warns_of_version = false;
static bool warned_version = false;
static int guc_level = 0;              /* of settings in this transaction, 0 if none */
static bool relies_on_commits = false; /* this transaction; see wb_rely_on_commits() */
static bool promises_nothing = false;  /* this transaction; see wb_promise_nothing() */

static void begin(bool as_owner);
static void note_invalidation(Datum argument, Oid relation);
static bool extension_usable(void);
static void resolve(void);
static void check_role(void);
static char *missing_privileges(Oid of_role, Oid schema);
static bool has_privilege(PGFunction test, Oid of_role, Oid object, const char *privilege);
static void say_of_role(const char *name, int sqlstate, const char *problem, const char *hint);
static bool standbys_have(XLogRecPtr position, int level);

/*
 * Called once in a process, before its first transaction.  One that receives says
 * so if it cannot, because the version is another.
 */
void
wb_catalog_init(bool receives)
{
	warns_of_version = receives;
	CacheRegisterRelcacheCallback(note_invalidation, (Datum) 0);
}

const WbCatalog *
wb_catalog(void)
{
	return &catalog;
}

/*
 * A number that changes whenever rows of providers, endpoints, secrets or
 * consumers, or the tables themselves, may have changed.
 */
uint64
wb_catalog_generation(void)
{
	return generation;
}

/*
 * Makes the next transaction look again, whatever was invalidated: a change of
 * the extension's version alone is told to nobody.
 */
void
wb_catalog_doubt(void)
{
	checked_generation = 0;
	role_generation = 0;
}

static void
note_invalidation(Datum argument, Oid relation)
{
	if (!OidIsValid(relation) ||
		relation == catalog.providers ||
		relation == catalog.endpoints ||
		relation == catalog.secrets ||
		relation == catalog.consumers ||
		relation == catalog.events)
		generation++;
}

/*
 * Looks whether the extension exists, if it did not at the last look or
 * something has changed since.  To be called between wb_begin() and
 * wb_commit(); true if the tables can be used in this transaction.
 */
bool
wb_catalog_check(void)
{
	if (!catalog.exists || checked_generation != generation)
	{
		checked_generation = generation;
		catalog.exists = extension_usable();
		if (catalog.exists)
			resolve();
	}
	return catalog.exists;
}

/* Whether pg_extension has us, in a version whose tables we know. */
static bool
extension_usable(void)
{
	Relation relation = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool usable = false;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("webhook_bridge"));
	scan = systable_beginscan(relation, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum datum = heap_getattr(tuple, Anum_pg_extension_extversion,
								   RelationGetDescr(relation), &isnull);
		char *version = isnull ? pstrdup("") : TextDatumGetCString(datum);

		usable = strcmp(version, WB_SQL_VERSION) == 0;
		if (!usable && warns_of_version && !warned_version)
			ereport(WARNING,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("webhooks are not received because extension \"webhook_bridge\" has version %s",
							version),
					 errdetail("The loaded library works with version %s.", WB_SQL_VERSION),
					 errhint("Run ALTER EXTENSION webhook_bridge UPDATE, or restart the server if it still has an older library loaded.")));
		warned_version = !usable;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return usable;
}

/* Finds the OIDs.  An extension without one of its tables does not exist for us. */
static void
resolve(void)
{
	Oid schema = get_namespace_oid("webhook_bridge", true);
	HeapTuple tuple;

	catalog.providers = get_relname_relid("providers", schema);
	catalog.endpoints = get_relname_relid("endpoints", schema);
	catalog.secrets = get_relname_relid("secrets", schema);
	catalog.events = get_relname_relid("events", schema);
	catalog.consumers = get_relname_relid("consumers", schema);
	catalog.event_ids = get_relname_relid("event_ids", schema);
	catalog.exists = OidIsValid(catalog.providers) && OidIsValid(catalog.endpoints) &&
					 OidIsValid(catalog.secrets) && OidIsValid(catalog.events) &&
					 OidIsValid(catalog.consumers) && OidIsValid(catalog.event_ids);
	if (!catalog.exists)
		return;

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(catalog.events));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", catalog.events);
	catalog.owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
}

/*
 * What receivers do with the extension's objects.  FOR KEY SHARE needs UPDATE
 * on any column, FOR UPDATE as well.
 */
static const struct
{
	PGFunction test;
	const char *object; /* NULL: the schema */
	const char *kind;
	const char *privilege;
} needs[] = {
	{has_schema_privilege_id_id, NULL, "schema", "USAGE"},
	{has_table_privilege_id_id, "providers", "table", "SELECT"},
	{has_table_privilege_id_id, "endpoints", "table", "SELECT"},
	{has_any_column_privilege_id_id, "endpoints", "a column of table", "UPDATE"},
	{has_table_privilege_id_id, "secrets", "table", "SELECT"},
	{has_table_privilege_id_id, "events", "table", "INSERT"},
	{has_table_privilege_id_id, "dedup", "table", "SELECT"},
	{has_table_privilege_id_id, "dedup", "table", "INSERT"},
	{has_table_privilege_id_id, "consumers", "table", "SELECT"},
	{has_table_privilege_id_id, "queue", "table", "INSERT"},
	{has_table_privilege_id_id, "rejections", "table", "SELECT"},
	{has_table_privilege_id_id, "rejections", "table", "INSERT"},
	{has_any_column_privilege_id_id, "rejections", "a column of table", "UPDATE"},
	{has_table_privilege_id_id, "rejections", "table", "DELETE"},
	{has_sequence_privilege_id_id, "rejection_ids", "sequence", "USAGE"},
	{has_function_privilege_id_id, "create_event_partitions", "function", "EXECUTE"}};

/*
 * Finds the role and whether it has what it needs.  Roles, memberships and most
 * grants change without telling us; wb_catalog_doubt() makes us look again.
 */
static void
check_role(void)
{
	Oid schema = get_namespace_oid("webhook_bridge", true);
	char *missing;

	catalog.ready = false;
	role_generation = generation;
	if (!OidIsValid(schema))
		return; /* dropped just now, as will be seen in a moment */
	role = wb_role[0] == '\0' ? catalog.owner : get_role_oid(wb_role, true);
	if (!OidIsValid(role))
	{
		say_of_role(wb_role, ERRCODE_UNDEFINED_OBJECT, "There is no such role.",
					"Create the role, or change webhook_bridge.role.");
		return;
	}
	missing = missing_privileges(role, schema);
	if (missing[0] != '\0')
	{
		say_of_role(GetUserNameFromId(role, false), ERRCODE_INSUFFICIENT_PRIVILEGE,
					psprintf("It lacks in schema webhook_bridge: %s.", missing),
					"The README says what to grant to webhook_bridge.role.");
		return;
	}
	catalog.ready = true;
	if (role_problem)
		pfree(role_problem);
	role_problem = NULL;
}

/* A list for a message, empty if nothing is missing. */
static char *
missing_privileges(Oid of_role, Oid schema)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < (int) lengthof(needs); i++)
	{
		Oid object = schema;

		if (needs[i].test == has_function_privilege_id_id)
		{
			Oid types[] = {DATEOID, INT4OID};

			object = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(needs[i].object),
									 PointerGetDatum(buildoidvector(types, lengthof(types))),
									 ObjectIdGetDatum(schema));
		}
		else if (needs[i].object)
			object = get_relname_relid(needs[i].object, schema);
		if (OidIsValid(object) && has_privilege(needs[i].test, of_role, object, needs[i].privilege))
			continue;
		appendStringInfo(&list, "%s%s on %s%s%s", list.len > 0 ? ", " : "", needs[i].privilege, needs[i].kind,
						 needs[i].object ? " " : "", needs[i].object ? needs[i].object : "");
	}
	return list.data;
}

/* False also if the object is being dropped: then these functions return null. */
static bool
has_privilege(PGFunction test, Oid of_role, Oid object, const char *privilege)
{
	LOCAL_FCINFO(call, 3);
	Datum result;

	InitFunctionCallInfoData(*call, NULL, 3, InvalidOid, NULL, NULL);
	call->args[0] = (NullableDatum){ObjectIdGetDatum(of_role), false};
	call->args[1] = (NullableDatum){ObjectIdGetDatum(object), false};
	call->args[2] = (NullableDatum){CStringGetTextDatum(privilege), false};
	result = test(call);
	return !call->isnull && DatumGetBool(result);
}

/*
 * Once, until something else is wrong or nothing.  While one grant follows the
 * other, not each time.
 */
static void
say_of_role(const char *name, int sqlstate, const char *problem, const char *hint)
{
	static TimestampTz said_at = 0;
	char *all = psprintf("%s: %s", name, problem);
	TimestampTz now = GetCurrentTimestamp();

	if ((role_problem && strcmp(role_problem, all) == 0) ||
		!TimestampDifferenceExceeds(said_at, now, SAY_INTERVAL_MS))
		return;
	said_at = now;
	if (role_problem)
		pfree(role_problem);
	role_problem = MemoryContextStrdup(TopMemoryContext, all);
	ereport(WARNING,
			(errcode(sqlstate),
			 errmsg("webhooks are answered 503 because role \"%s\" cannot store them", name),
			 errdetail("%s", problem),
			 errhint("%s", hint)));
}

/* Starts a transaction in the role.  Invalidations are accepted here. */
void
wb_begin(void)
{
	begin(false);
}

/* The same for what webhook_bridge.role need not be able to do. */
void
wb_begin_as_owner(void)
{
	begin(true);
}

static void
begin(bool as_owner)
{
	relies_on_commits = false;
	promises_nothing = false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	guc_level = 0;
	if (!wb_catalog_check())
		catalog.ready = false;
	else if (as_owner)
	{
		role = catalog.owner;
		catalog.ready = true;
	}
	else if (!catalog.ready || role_generation != generation)
		check_role();
	if (catalog.ready)
	{
		SetUserIdAndSecContext(role, SECURITY_RESTRICTED_OPERATION);
		guc_level = NewGUCNestLevel();
	}
	PushActiveSnapshot(GetTransactionSnapshot());
}

/*
 * To be called between wb_begin() and wb_commit() if what is acknowledged was
 * stored by an earlier transaction.  The commit then waits for the standbys to
 * have that, too: whoever stored it may have given up waiting.
 */
void
wb_rely_on_commits(void)
{
	relies_on_commits = true;
}

/*
 * To be called between wb_begin() and wb_commit() if nobody is told that what
 * is stored is stored.  The commit then waits neither for the disk nor for
 * standbys.
 */
void
wb_promise_nothing(void)
{
	promises_nothing = true;
}

/*
 * Commits, durably unless wb_promise_nothing() was called: what a receiver
 * acknowledges must be on disk, so a weaker synchronous_commit is raised for
 * this transaction.  The restricted role is kept until the end, so that a
 * deferred trigger is refused instead of running with the rights of the
 * process.
 *
 * False if synchronous_commit asks for a standby and the wait for it was cut
 * short: the transaction is committed here, and only here.
 */
bool
wb_commit(void)
{
	bool wrote;
	int level;
	XLogRecPtr seen = InvalidXLogRecPtr;

	PopActiveSnapshot();
	if (guc_level > 0)
		AtEOXact_GUC(false, guc_level); /* what a trigger has SET ends here */
	if (promises_nothing || synchronous_commit == SYNCHRONOUS_COMMIT_OFF ||
		synchronous_commit == SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
		(void) set_config_option("synchronous_commit", promises_nothing ? "off" : "on", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	level = synchronous_commit;
	wrote = TransactionIdIsValid(GetTopTransactionIdIfAny());
	if (!wrote && relies_on_commits)
	{
		/* whatever this transaction saw was flushed before; its own commit waits for nobody */
		seen = GetFlushRecPtr(NULL);
		HOLD_INTERRUPTS();
		SyncRepWaitForLSN(seen, true);
		RESUME_INTERRUPTS();
	}
	CommitTransactionCommand();
	SetUserIdAndSecContext(GetSessionUserId(), 0);
	if (promises_nothing)
		return true;
	return wrote ? standbys_have(XactLastCommitEnd, level)
				 : !relies_on_commits || standbys_have(seen, level);
}

/*
 * Whether the synchronous standbys, if there are to be any, have confirmed a
 * position.  PostgreSQL itself says so only in a warning.
 */
static bool
standbys_have(XLogRecPtr position, int level)
{
	int mode = level == SYNCHRONOUS_COMMIT_REMOTE_WRITE   ? SYNC_REP_WAIT_WRITE
			   : level == SYNCHRONOUS_COMMIT_REMOTE_APPLY ? SYNC_REP_WAIT_APPLY
														  : SYNC_REP_WAIT_FLUSH;
	bool confirmed;

	if (max_wal_senders == 0 || SyncRepStandbyNames == NULL || SyncRepStandbyNames[0] == '\0')
		return true;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	confirmed = WalSndCtl->lsn[mode] >= position;
	LWLockRelease(SyncRepLock);
	return confirmed;
}

/* After an error: rolls back, which also restores the role. */
void
wb_abort(void)
{
	AbortCurrentTransaction();
}
