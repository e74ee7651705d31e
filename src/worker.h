/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  What receivers and the keeper have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_WORKER_H
#define WB_WORKER_H

#include "postgres.h"

#include "libpq/pqsignal.h"

#include "shmem.h"

/*
 * From a new process to one that can work in its database: signals, its slot,
 * which is left again when it ends, connection and settings.  Does not return if
 * the launcher has given up on it.
 */
extern WbSlot *wb_worker_settle_in(int index, pqsigfunc on_term);

/*
 * Makes the session independent of what was set for users' sessions.  Workers
 * have their own limits of time; default_transaction_read_only is left alone,
 * because whoever sets it means it.
 */
extern void wb_worker_fix_settings(void);

/* Does what other processes wait for, between transactions. */
extern void wb_worker_breathe(void);

/*
 * The same, and takes notice of a reload; true if the settings have been read
 * again.  A shutdown is for the caller to see.
 */
extern bool wb_worker_take_signals(void);

/* Whether messages of an error contain what was given: values, or a user's words. */
extern bool wb_error_may_quote(int sqlstate);

#endif /* WB_WORKER_H */
