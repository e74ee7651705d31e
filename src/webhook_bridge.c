/*-------------------------------------------------------------------------
 *
 * webhook_bridge.c
 *	  Module entry: one call per subsystem.
 *
 * The library works in two ways.  Named in shared_preload_libraries it also
 * starts the launcher, which starts the receivers.  Loaded on demand by a
 * session it only serves SQL functions; those that need the receivers say so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "guc.h"
#include "launcher.h"
#include "shmem.h"

PG_MODULE_MAGIC;

void _PG_init(void);

void
_PG_init(void)
{
	wb_guc_init();
	wb_shmem_init();
	wb_launcher_init();
}
