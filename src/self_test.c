/*-------------------------------------------------------------------------
 *
 * self_test.c
 *	  Self-tests that are under way, as all processes know them.
 *
 * A self-test sends a sample through the real listener, and no consumer but its
 * own may ever be offered that.  So the sample has a token in a header: a random
 * number with a digest of it, made with a key that is in shared memory since the
 * start of the server and known to nobody outside.  A receiver that is about to
 * store a delivery with such a token looks whether the self-test is still
 * running.  If so, the delivery is the consumer's of that self-test alone; if
 * not, it is not stored: whoever sent it has gone and removed everything.  In
 * between there is no gap, because the receiver holds a lock until its
 * transaction ends, for which settle_self_test() waits.  Any other content of
 * the header means nothing.
 *
 * What the endpoint says against a sample is told to the self-test through
 * shared memory and is not kept as a rejection.
 *
 * The function self_test() is here as well: it only starts the process that
 * does the work (self_test_worker.c), because a function can neither commit nor
 * receive a notification, and returns what that sends.
 *
 * Locking: the mutex guards what is running and is held for a few instructions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "datum.h"
#include "digest.h"
#include "self_test.h"

PG_FUNCTION_INFO_V1(webhook_bridge_self_test);
PG_FUNCTION_INFO_V1(webhook_bridge_settle_self_test);

#define MAX_RUNNING 16 /* in all databases */
#define NONCE_DIGITS 16
#define KEY_BYTES 32
#define CONSUMER_PREFIX "self_test"

/* Beside 1 and 2, which are those of pg_advisory_lock(), and that of consumer.c. */
#define LOCK_SPACE 4

#define QUEUE_BYTES 16384
#define PATIENCE_MS 15000 /* the process that does the work ends by itself before */

typedef struct Running
{
	uint64 nonce;     /* 0: free */
	char refusal[64]; /* why the endpoint refused the sample, or empty */
} Running;

typedef struct Shared
{
	unsigned char key[KEY_BYTES]; /* nobody writes it after the start */
	pg_atomic_uint64 begun;       /* since the start; while it is 0, there is no token */
	slock_t mutex;
	Running running[MAX_RUNNING];
} Shared;

static Shared *shared = NULL;

static void make_token(uint64 nonce, char *token);
static bool read_token(WbSlice token, uint64 *nonce);
static Running *find_running(uint64 nonce);
static bool is_running(uint64 nonce);
static bool lock_sample(uint64 nonce, LOCKMODE mode, bool wait);
static void check_server(void);
static void start_worker(FunctionCallInfo fcinfo, dsm_segment *segment, BackgroundWorkerHandle **handle);
static void stop_worker(int code, Datum handle);
static void receive_steps(ReturnSetInfo *result, shm_mq_handle *queue);
static bool take_message(ReturnSetInfo *result, StringInfo message);
static void raise_error(StringInfo message);

/* ---------------------------------------------------------------------------
 * Shared memory
 * ------------------------------------------------------------------------- */

size_t
wb_self_test_memory(void)
{
	return sizeof(Shared);
}

void
wb_self_test_attach(void)
{
	bool found;

	shared = ShmemInitStruct("webhook_bridge self_test", sizeof(Shared), &found);
	if (found)
		return;
	memset(shared, 0, sizeof(Shared));
	SpinLockInit(&shared->mutex);
	pg_atomic_init_u64(&shared->begun, 0);
	if (!pg_strong_random(shared->key, sizeof(shared->key)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random key for self-tests")));
}

/* ---------------------------------------------------------------------------
 * Tokens
 * ------------------------------------------------------------------------- */

/* The number and half of its digest, in hexadecimal digits. */
static void
make_token(uint64 nonce, char *token)
{
	char digest[65];

	snprintf(token, NONCE_DIGITS + 1, "%016" INT64_MODIFIER "x", nonce);
	if (!wb_hmac_sha256_hex(wb_slice((const char *) shared->key, KEY_BYTES), wb_slice_cstring(token), digest))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("could not compute the token of a self-test")));
	strlcpy(token + NONCE_DIGITS, digest, WB_SELF_TEST_TOKEN - NONCE_DIGITS + 1);
}

/* Whether a text is a token of this server, whenever it was made. */
static bool
read_token(WbSlice token, uint64 *nonce)
{
	char expected[WB_SELF_TEST_TOKEN + 1];

	if (token.len != WB_SELF_TEST_TOKEN)
		return false;
	*nonce = 0;
	for (int i = 0; i < NONCE_DIGITS; i++)
	{
		int digit = wb_hex_value(token.data[i]);

		if (digit < 0)
			return false;
		*nonce = *nonce << 4 | (uint64) digit;
	}
	make_token(*nonce, expected);
	return CRYPTO_memcmp(expected, token.data, WB_SELF_TEST_TOKEN) == 0;
}

/* The caller holds the mutex. */
static Running *
find_running(uint64 nonce)
{
	for (int i = 0; i < MAX_RUNNING; i++)
		if (shared->running[i].nonce == nonce)
			return &shared->running[i];
	return NULL;
}

static bool
is_running(uint64 nonce)
{
	bool found;

	SpinLockAcquire(&shared->mutex);
	found = find_running(nonce) != NULL;
	SpinLockRelease(&shared->mutex);
	return found;
}

/* Begins one, with a token of its own.  False if there are too many. */
bool
wb_self_test_begin(char *token)
{
	uint64 nonce = 0;
	Running *place;

	while (nonce == 0)
		if (!pg_strong_random(&nonce, sizeof(nonce)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate the token of a self-test")));
	make_token(nonce, token);

	SpinLockAcquire(&shared->mutex);
	place = find_running(0);
	if (place)
	{
		place->nonce = nonce;
		place->refusal[0] = '\0';
	}
	SpinLockRelease(&shared->mutex);
	pg_atomic_fetch_add_u64(&shared->begun, 1);
	return place != NULL;
}

/* Why its endpoint refused the sample, palloc'd, or NULL. */
const char *
wb_self_test_refusal(const char *token)
{
	char refusal[sizeof(shared->running[0].refusal)] = "";
	uint64 nonce;
	Running *place;

	if (!read_token(wb_slice_cstring(token), &nonce))
		return NULL;
	SpinLockAcquire(&shared->mutex);
	place = find_running(nonce);
	if (place)
		memcpy(refusal, place->refusal, sizeof(refusal));
	SpinLockRelease(&shared->mutex);
	return refusal[0] == '\0' ? NULL : pstrdup(refusal);
}

/* From now on its sample is not stored any more; harmless if it is over. */
void
wb_self_test_end(const char *token)
{
	uint64 nonce;
	Running *place;

	if (!read_token(wb_slice_cstring(token), &nonce))
		return;
	SpinLockAcquire(&shared->mutex);
	place = find_running(nonce);
	if (place)
		place->nonce = 0;
	SpinLockRelease(&shared->mutex);
}

/* ---------------------------------------------------------------------------
 * Samples in receivers
 * ------------------------------------------------------------------------- */

/*
 * Recognises a sample, after wb_delivery_judge() and in the transaction that
 * will store it.  Sets who alone is to be offered it, or that it is not to be
 * stored.
 */
void
wb_self_test_claim(WbDelivery *delivery)
{
	WbSlice token = {0};
	uint64 nonce;

	delivery->self_test = NULL;
	if (pg_atomic_read_u64(&shared->begun) == 0)
		return;
	for (int i = 0; i < delivery->header_count && token.len == 0; i++)
		if (wb_slice_equal_nocase(delivery->headers[i].name, wb_slice_cstring(WB_SELF_TEST_HEADER)))
			token = delivery->headers[i].value;
	if (!read_token(token, &nonce))
		return;

	if (delivery->refused_by != NULL)
	{
		Running *place;

		SpinLockAcquire(&shared->mutex);
		place = find_running(nonce);
		if (place)
			strlcpy(place->refusal, delivery->refusal, sizeof(place->refusal));
		SpinLockRelease(&shared->mutex);
		delivery->refused_by = NULL;
	}
	else if (delivery->answer == WB_ANSWER_STORED)
	{
		if (lock_sample(nonce, ShareLock, false) && is_running(nonce))
			delivery->self_test = psprintf(CONSUMER_PREFIX "%.*s", (int) token.len, token.data);
		else
			delivery->answer = WB_ANSWER_UNAVAILABLE;
	}
}

/* Until the end of the transaction. */
static bool
lock_sample(uint64 nonce, LOCKMODE mode, bool wait)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (nonce >> 32), (uint32) nonce, LOCK_SPACE);
	return LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/* settle_self_test(token) → whether it is over, and its sample stored or never. */
Datum
webhook_bridge_settle_self_test(PG_FUNCTION_ARGS)
{
	uint64 nonce;

	check_server();
	/* a token of an earlier start is nobody's */
	if (!read_token(wb_text_slice(PG_GETARG_DATUM(0)), &nonce))
		PG_RETURN_BOOL(true);
	if (is_running(nonce))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(lock_sample(nonce, ExclusiveLock, true));
}

/* ---------------------------------------------------------------------------
 * The function
 * ------------------------------------------------------------------------- */

static void
check_server(void)
{
	if (shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("webhook_bridge is not loaded by the server"),
				 errdetail("Without its background processes no deliveries are received."),
				 errhint("Add webhook_bridge to shared_preload_libraries and restart the server.")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a standby receives no deliveries"),
				 errhint("Run the self-test on the primary.")));
}

/* self_test(endpoint) → a row per step. */
Datum
webhook_bridge_self_test(PG_FUNCTION_ARGS)
{
	dsm_segment *segment;
	shm_mq *queue;
	BackgroundWorkerHandle *handle = NULL;

	check_server();
	InitMaterializedSRF(fcinfo, 0);

	segment = dsm_create(QUEUE_BYTES, 0);
	queue = shm_mq_create(dsm_segment_address(segment), QUEUE_BYTES);
	shm_mq_set_receiver(queue, MyProc);
	start_worker(fcinfo, segment, &handle);

	PG_ENSURE_ERROR_CLEANUP(stop_worker, PointerGetDatum(handle));
	{
		receive_steps((ReturnSetInfo *) fcinfo->resultinfo, shm_mq_attach(queue, segment, handle));
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_worker, PointerGetDatum(handle));
	dsm_detach(segment);
	PG_RETURN_NULL();
}

static void
start_worker(FunctionCallInfo fcinfo, dsm_segment *segment, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;
	WbSelfTestOrder order = {0};

	order.database = MyDatabaseId;
	/* one that is too long is cut, and then does not exist either */
	text_to_cstring_buffer(PG_GETARG_TEXT_PP(0), order.endpoint, sizeof(order.endpoint));

	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "webhook_bridge self_test");
	snprintf(worker.bgw_type, BGW_MAXLEN, "webhook_bridge self_test");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "webhook_bridge");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "webhook_bridge_self_test_main");
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	StaticAssertStmt(sizeof(order) <= BGW_EXTRALEN, "a self-test's order fits");
	memcpy(worker.bgw_extra, &order, sizeof(order));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, handle))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start the process of a self-test"),
				 errdetail("There is no free background worker slot; max_worker_processes is %d.",
						   max_worker_processes),
				 errhint("Try again when others have ended, or increase max_worker_processes and restart the server.")));
}

/* It removes what it has made, and ends; nobody has to wait for that. */
static void
stop_worker(int code, Datum handle)
{
	TerminateBackgroundWorker((BackgroundWorkerHandle *) DatumGetPointer(handle));
}

static void
receive_steps(ReturnSetInfo *result, shm_mq_handle *queue)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PATIENCE_MS);

	for (;;)
	{
		Size size;
		void *data;
		shm_mq_result status = shm_mq_receive(queue, &size, &data, true);
		StringInfoData message;
		long left;

		if (status == SHM_MQ_DETACHED)
			ereport(ERROR,
					(errcode(ERRCODE_OPERATOR_INTERVENTION),
					 errmsg("the process of the self-test has ended early"),
					 errhint("The server's log may say why. What it has left, the next self-test removes.")));
		if (status == SHM_MQ_SUCCESS)
		{
			initStringInfo(&message);
			appendBinaryStringInfo(&message, data, (int) size);
			if (!take_message(result, &message))
				return;
			continue;
		}
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
		if (left <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("the self-test did not end in time"),
					 errhint("Is the machine overloaded? pg_stat_activity shows what the process \"webhook_bridge self_test\" does.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* False after the last one. */
static bool
take_message(ReturnSetInfo *result, StringInfo message)
{
	char kind = (char) pq_getmsgbyte(message);
	Datum values[4];
	bool nulls[4] = {false};
	char ok;

	if (kind == WB_SELF_TEST_ERROR)
		raise_error(message);
	if (kind == WB_SELF_TEST_END)
		return false;

	ok = (char) pq_getmsgbyte(message);
	values[1] = BoolGetDatum(ok == 't');
	nulls[1] = ok == '?';
	values[2] = Float8GetDatum(pq_getmsgfloat8(message));
	values[0] = CStringGetTextDatum(pq_getmsgrawstring(message));
	values[3] = CStringGetTextDatum(pq_getmsgrawstring(message));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return true;
}

static void
raise_error(StringInfo message)
{
	int sqlstate = (int) pq_getmsgint(message, 4);
	const char *primary = pq_getmsgrawstring(message);
	const char *detail = pq_getmsgrawstring(message);
	const char *hint = pq_getmsgrawstring(message);

	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg_internal("%s", primary),
			 detail[0] != '\0' ? errdetail_internal("%s", detail) : 0,
			 hint[0] != '\0' ? errhint("%s", hint) : 0));
}
