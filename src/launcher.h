/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The process that keeps the receivers and the keeper running.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_LAUNCHER_H
#define WB_LAUNCHER_H

#include "postgres.h"

extern void wb_launcher_init(void);
extern PGDLLEXPORT void webhook_bridge_launcher_main(Datum argument);

#endif /* WB_LAUNCHER_H */
