/*-------------------------------------------------------------------------
 *
 * receiver.h
 *	  The process that receives deliveries.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_RECEIVER_H
#define WB_RECEIVER_H

#include "postgres.h"

extern PGDLLEXPORT void webhook_bridge_receiver_main(Datum argument);

#endif /* WB_RECEIVER_H */
