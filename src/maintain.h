/*-------------------------------------------------------------------------
 *
 * maintain.h
 *	  What the keeper does: partitions ahead, and an end to what is too old.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_MAINTAIN_H
#define WB_MAINTAIN_H

#include "postgres.h"

typedef enum WbTask
{
	WB_TASK_PARTITIONS,
	WB_TASK_EVENTS,
	WB_TASK_LEDGER,
	WB_TASK_REJECTIONS,
	WB_TASK_CONSUMERS,
	WB_TASKS
} WbTask;

/* As in maintenance.task. */
extern const char *const wb_task_names[WB_TASKS];

/* What became of a task; texts are in the caller's memory context. */
typedef struct WbOutcome
{
	char *detail;     /* what was changed, NULL if nothing */
	ErrorData *error; /* the first one, NULL if none */
	char *doing;      /* what failed */
} WbOutcome;

/* What can fail, alone. */
typedef void (*WbAttempt)(void *argument);

/*
 * Does a task, in as many transactions as it takes.  Raises no error: what fails
 * is rolled back and told in the outcome.  Ends early at a shutdown.
 */
extern void wb_maintain(WbTask task, WbOutcome *outcome);

/* Forgets which events have been looked at before. */
extern void wb_maintain_afresh(void);

/* Runs something; if it fails, false, and the first error is kept in the outcome. */
extern bool wb_attempt(WbOutcome *outcome, char *doing, WbAttempt work, void *argument);

/*
 * A transaction in the role of the owner, with SPI.  False, and none is open, if
 * the extension is not there.  Whoever holds a lock is waited for a little while.
 */
extern bool wb_step_begin(const char *doing);
extern void wb_step_end(void);

#endif /* WB_MAINTAIN_H */
