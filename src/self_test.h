/*-------------------------------------------------------------------------
 *
 * self_test.h
 *	  Self-tests that are under way, as all processes know them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_SELF_TEST_H
#define WB_SELF_TEST_H

#include "postgres.h"

#include "storage/shm_mq.h"

#include "delivery.h"

/* The header by which a sample is recognised. */
#define WB_SELF_TEST_HEADER "Webhook-Bridge-Self-Test"

#define WB_SELF_TEST_TOKEN 48 /* characters */

/* What is asked of the process that does the work, in bgw_extra. */
typedef struct WbSelfTestOrder
{
	Oid database;
	char endpoint[64]; /* name */
} WbSelfTestOrder;

/* What it sends back: a byte, then what belongs to it. */
#define WB_SELF_TEST_STEP 'S'  /* ok ('t', 'f' or '?'), milliseconds as float8, step and detail, each with its zero byte */
#define WB_SELF_TEST_ERROR 'E' /* SQLSTATE as int, message, detail and hint; nothing follows */
#define WB_SELF_TEST_END 'Z'   /* nothing follows */

/* For shmem.c, which has the hooks: how much is needed, and the start, under AddinShmemInitLock. */
extern size_t wb_self_test_memory(void);
extern void wb_self_test_attach(void);

/* For receivers: what a self-test is told of its sample, and who may see it. */
extern void wb_self_test_claim(WbDelivery *delivery);

/* For the process that does the work. */
extern bool wb_self_test_begin(char *token);
extern const char *wb_self_test_refusal(const char *token);
extern void wb_self_test_end(const char *token);

extern PGDLLEXPORT void webhook_bridge_self_test_main(Datum argument);

#endif /* WB_SELF_TEST_H */
