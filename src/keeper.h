/*-------------------------------------------------------------------------
 *
 * keeper.h
 *	  The process that does maintenance.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_KEEPER_H
#define WB_KEEPER_H

#include "postgres.h"

extern PGDLLEXPORT void webhook_bridge_keeper_main(Datum argument);

#endif /* WB_KEEPER_H */
