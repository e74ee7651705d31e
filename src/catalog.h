/*-------------------------------------------------------------------------
 *
 * catalog.h
 *	  What CREATE EXTENSION made, and the role in which we use it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_CATALOG_H
#define WB_CATALOG_H

#include "postgres.h"

/* The SQL version this library works with. */
#define WB_SQL_VERSION "0.1"

typedef struct WbCatalog
{
	bool exists; /* the extension is there, in WB_SQL_VERSION */
	bool ready;  /* and between wb_begin() and wb_commit() the role may do what it is for */
	Oid owner;   /* role that owns the tables */
	Oid providers;
	Oid endpoints;
	Oid secrets;
	Oid events;
	Oid consumers;
	Oid event_ids; /* the sequence */
} WbCatalog;

extern void wb_catalog_init(bool receives);
extern const WbCatalog *wb_catalog(void);
extern bool wb_catalog_check(void);

extern uint64 wb_catalog_generation(void);
extern void wb_catalog_doubt(void);

extern void wb_begin(void);
extern void wb_begin_as_owner(void);
extern void wb_rely_on_commits(void);
extern void wb_promise_nothing(void);
extern bool wb_commit(void);
extern void wb_abort(void);

#endif /* WB_CATALOG_H */
