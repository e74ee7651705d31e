/*-------------------------------------------------------------------------
 *
 * self_test_worker.c
 *	  The process that does the work of a self-test.
 *
 * It looks at endpoint and listener, makes a consumer, listens on the endpoint's
 * channel, sends a sample to the receivers and follows it to the row, the
 * notification and the consumer.  Each step has transactions of its own, in the
 * role that owns the tables; no transaction is open while it waits.  Who may
 * call self_test() may have this done.
 *
 * A notification reaches a session as a message to its client between two
 * transactions.  This process has no client, so it takes the place of one: what
 * PostgreSQL sends goes to take_message(), which keeps notifications and drops
 * the rest.
 *
 * Whatever happens, the last thing it does is to remove what it has made.  All
 * waits end with LIMIT_MS, or at once when the process is asked to end; removing
 * then has REMOVAL_MS.  If that fails as well, or the server crashes, a row of
 * webhook_bridge.self_tests says what is left, and the keeper or the next
 * self-test removes it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

/* libpq.h would want the headers of Kerberos, for a type that is not used here */
#undef ENABLE_GSS

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "libpq/libpq.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/wait_event.h"

#include "catalog.h"
#include "datum.h"
#include "guc.h"
#include "http_session.h"
#include "sample.h"
#include "self_test.h"
#include "shmem.h"
#include "worker.h"

#define LIMIT_MS 6500   /* for all steps but the last one */
#define REMOVAL_MS 3000 /* for that; a receiver may need half of it for its transaction */
#define NOTIFICATION_MS 3000
#define MAX_DETAIL 1000

typedef struct Test
{
	char token[WB_SELF_TEST_TOKEN + 1];
	char endpoint[64];
	int64 until; /* as wb_http_now_ms() */
	char *base;  /* where samples go */

	/* what make_sample() says */
	char *problem; /* NULL: none */
	char *summary;
	char *expected; /* verified, unverified or refused */
	char *channel;
	char *notify;
	WbSample sample;

	int64 event_id;
	char *skipped; /* why the other steps are not tried, or NULL */
} Test;

/* The outcome of a step. */
typedef struct Step
{
	char ok; /* 't', 'f', or '?' if it could not be tried */
	char *detail;
} Step;

typedef void (*Work)(Test *test, Step *step);

/* A notification that has arrived since LISTEN. */
typedef struct Note
{
	struct Note *next;
	char *channel;
	char *payload;
} Note;

static shm_mq_handle *queue;
static Note *notes = NULL;
static bool step_failed = false; /* those that follow are not tried */
static MemoryContext test_context;

static void on_terminate(SIGNAL_ARGS);
static void attach_to_session(dsm_handle handle);
static void prepare_session(const WbSelfTestOrder *order);
static void run_steps(Test *test);
static void look(Test *test, Step *step);
static void check_listener(Test *test, Step *step);
static const char *receiver_problem(bool *with_tls);
static void prepare(Test *test, Step *step);
static void send_sample(Test *test, Step *step);
static char *explain_status(int status, const char *refusal, const char *content);
static void find_row(Test *test, Step *step);
static void await_notification(Test *test, Step *step);
static bool is_ours(const Test *test, const Note *note);
static void consume(Test *test, Step *step);
static void remove_all(Test *test, Step *step);
static void take_step(const char *name, Work work, bool in_transaction, Test *test);
static void begin_transaction(void);
static void commit_transaction(void);
static HeapTuple fetch_row(const char *sql, int count, Oid *types, Datum *values, TupleDesc *desc);
static char *column(HeapTuple row, TupleDesc desc, const char *name);
static void read_texts(HeapTuple row, TupleDesc desc, const char *name, char ***texts, int *count);
static void report(const char *name, const Step *step, double ms);
static void report_error(const ErrorData *error);
static void send_message(StringInfo message);
static void take_comm_reset(void);
static int take_flush(void);
static bool take_is_send_pending(void);
static int take_message(char kind, const char *data, size_t len);
static void take_message_noblock(char kind, const char *data, size_t len);

static const PQcommMethods no_client = {
	take_comm_reset, take_flush, take_flush, take_is_send_pending, take_message, take_message_noblock};

void
webhook_bridge_self_test_main(Datum argument)
{
	WbSelfTestOrder order;
	Test *test;
	StringInfoData end;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	pqsignal(SIGTERM, on_terminate);
	BackgroundWorkerUnblockSignals();
	attach_to_session(DatumGetUInt32(argument));
	prepare_session(&order);

	MemoryContextSwitchTo(test_context);
	test = palloc0(sizeof(Test));
	strlcpy(test->endpoint, order.endpoint, sizeof(test->endpoint));
	test->until = wb_http_now_ms() + LIMIT_MS;
	PG_TRY();
	{
		if (!wb_self_test_begin(test->token))
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("too many self-tests are running"),
					 errhint("Try again when others have ended.")));
		run_steps(test);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(test_context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		wb_self_test_end(test->token);
		report_error(error);
		proc_exit(0);
	}
	PG_END_TRY();

	initStringInfo(&end);
	appendStringInfoChar(&end, WB_SELF_TEST_END);
	send_message(&end);
	proc_exit(0);
}

/* ---------------------------------------------------------------------------
 * The process
 * ------------------------------------------------------------------------- */

/* Cancels what is under way; what has been made is removed before the end. */
static void
on_terminate(SIGNAL_ARGS)
{
	int save_errno = errno;

	ShutdownRequestPending = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
attach_to_session(dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);
	shm_mq *memory;

	if (segment == NULL)
		proc_exit(0); /* the session has ended in the meantime */
	dsm_pin_mapping(segment);
	memory = dsm_segment_address(segment);
	shm_mq_set_sender(memory, MyProc);
	queue = shm_mq_attach(memory, segment, NULL);
}

static void
prepare_session(const WbSelfTestOrder *order)
{
	BackgroundWorkerInitializeConnectionByOid(order->database, InvalidOid, 0);
	wb_worker_fix_settings();
	/* a standby that is stuck is the receivers' trouble, as the answer says */
	SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
	pgstat_report_appname("webhook_bridge");
	wb_catalog_init(false);
	test_context = AllocSetContextCreate(TopMemoryContext, "webhook_bridge self_test",
										 ALLOCSET_DEFAULT_SIZES);
	PqCommMethods = &no_client;
	whereToSendOutput = DestRemote;
}

/* ---------------------------------------------------------------------------
 * The steps
 * ------------------------------------------------------------------------- */

static void
run_steps(Test *test)
{
	const struct
	{
		const char *name;
		Work work;
		bool in_transaction;
	} steps[] = {
		{"endpoint", look, true},
		{"listener", check_listener, false},
		{"preparation", prepare, true},
		{"answer", send_sample, false},
		{"row", find_row, true},
		{"notification", await_notification, false},
		{"consumer", consume, true}};

	for (int i = 0; i < (int) lengthof(steps); i++)
		take_step(steps[i].name, steps[i].work, steps[i].in_transaction, test);

	/* whatever has become of the others */
	wb_self_test_end(test->token);
	QueryCancelPending = false;
	step_failed = false;
	test->until = wb_http_now_ms() + REMOVAL_MS;
	take_step("removal", remove_all, true, test);
}

/*
 * Does a step and reports it.  An error is its outcome, but for an endpoint that
 * does not exist, which is the caller's.
 */
static void
take_step(const char *name, Work work, bool in_transaction, Test *test)
{
	Step step = {'t', ""};
	volatile bool failed = false;
	instr_time begun;
	instr_time ended;

	if (step_failed)
		return;
	if (test->skipped && work != remove_all)
	{
		step = (Step){'?', test->skipped};
		report(name, &step, 0);
		return;
	}
	pgstat_report_activity(STATE_RUNNING, psprintf("self-test of an endpoint: %s", name));
	INSTR_TIME_SET_CURRENT(begun);
	PG_TRY();
	{
		if (in_transaction)
		{
			/* what is left of the time, for locks, triggers or a standby */
			enable_timeout_after(STATEMENT_TIMEOUT, (int) Max(test->until - wb_http_now_ms(), 1));
			begin_transaction();
		}
		work(test, &step);
		if (in_transaction)
		{
			commit_transaction();
			disable_timeout(STATEMENT_TIMEOUT, false);
		}
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(test_context);
		error = CopyErrorData();
		FlushErrorState();
		disable_timeout(STATEMENT_TIMEOUT, false);
		QueryCancelPending = false;
		if (in_transaction)
			AbortCurrentTransaction();
		MemoryContextSwitchTo(test_context);
		if (error->sqlerrcode == ERRCODE_UNDEFINED_OBJECT && work == look)
			ReThrowError(error);
		failed = true;
		step.ok = 'f';
		step.detail = ShutdownRequestPending ? "The self-test was cancelled."
											 : psprintf("%s%s%s%s%s", error->message,
														error->detail ? " " : "", error->detail ? error->detail : "",
														error->hint ? " " : "", error->hint ? error->hint : "");
	}
	PG_END_TRY();

	MemoryContextSwitchTo(test_context);
	INSTR_TIME_SET_CURRENT(ended);
	INSTR_TIME_SUBTRACT(ended, begun);
	step_failed = failed || step.ok == 'f' || ShutdownRequestPending;
	report(name, &step, INSTR_TIME_GET_MILLISEC(ended));
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Is there a sample to be sent?  What an interrupted self-test has left is removed first. */
static void
look(Test *test, Step *step)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(test->endpoint), CStringGetTextDatum(test->token)};
	TupleDesc desc;
	HeapTuple row;
	int count;
	bool isnull;
	Datum body;

	(void) fetch_row("SELECT webhook_bridge.remove_self_tests()", 0, NULL, NULL, &desc);
	row = fetch_row("SELECT * FROM webhook_bridge.make_sample($1, $2)", 2, types, values, &desc);
	test->problem = column(row, desc, "problem");
	test->summary = column(row, desc, "summary");
	test->expected = column(row, desc, "expected");
	test->channel = column(row, desc, "channel");
	test->notify = column(row, desc, "notify");
	if (test->problem)
	{
		step->ok = 'f';
		step->detail = test->problem;
		return;
	}
	step->detail = test->summary;
	test->sample.target = column(row, desc, "target");
	read_texts(row, desc, "header_names", &test->sample.names, &test->sample.field_count);
	read_texts(row, desc, "header_values", &test->sample.values, &count);
	body = SPI_getbinval(row, desc, SPI_fnumber(desc, "body"), &isnull);
	test->sample.body = wb_text_slice(body);
	test->sample.body.data = memcpy(palloc(Max(test->sample.body.len, 1)), test->sample.body.data, test->sample.body.len);
}

static void
check_listener(Test *test, Step *step)
{
	bool with_tls = wb_port == 0;
	const char *problem = receiver_problem(&with_tls);

	test->base = wb_sample_base(with_tls);
	if (problem == NULL && test->base == NULL)
		problem = "Neither webhook_bridge.port nor webhook_bridge.tls_port is set, or no listen address.";
	step->ok = problem ? 'f' : 't';
	step->detail = problem ? unconstify(char *, problem) : test->base;
	if (problem == NULL && with_tls && wb_tls_client_ca_file[0] != '\0')
	{
		step->ok = 'f';
		step->detail = "Senders need a certificate (webhook_bridge.tls_client_ca_file), which a self-test does not have. "
					   "With webhook_bridge.port and listen_addresses on the loopback it can do without.";
	}
}

/* Why no receiver takes deliveries for this database; NULL if one does, and whether only over TLS. */
static const char *
receiver_problem(bool *with_tls)
{
	WbSlot *slots = wb_shmem_slots();
	bool blocked = false;
	bool elsewhere = false;
	bool waiting = false;

	for (int i = 0; i < WB_MAX_RECEIVERS; i++)
	{
		WbSlotInfo info = wb_slot_read(&slots[i]);

		if (info.state == WB_SLOT_LISTENING && info.database == MyDatabaseId)
		{
			*with_tls = wb_port == 0 || info.closed_ports[false] != 0;
			return NULL;
		}
		blocked = blocked || info.state == WB_SLOT_BLOCKED;
		elsewhere = elsewhere || (info.state != WB_SLOT_FREE && info.database != MyDatabaseId);
		waiting = waiting || info.state == WB_SLOT_WAITING || info.state == WB_SLOT_STARTING;
	}
	if (wb_receivers == 0)
		return "No receiver runs: webhook_bridge.receivers is 0. Set it to 1 and reload the configuration.";
	if (elsewhere)
		return psprintf("The receivers work for database \"%s\": see webhook_bridge.database.", wb_database);
	if (blocked)
		return "The receivers cannot open their sockets; the server's log says why.";
	if (waiting)
		return "The receivers are about to start: try again in a second. If that lasts, the server's log says why.";
	return "No receiver runs; the server's log says why, and webhook_bridge.status() shows them.";
}

static void
prepare(Test *test, Step *step)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(test->endpoint), CStringGetTextDatum(test->token)};
	TupleDesc desc;

	(void) fetch_row("SELECT webhook_bridge.begin_self_test($1, $2)", 2, types, values, &desc);
	Async_Listen(test->channel);
	step->detail = psprintf("a consumer of its own, LISTEN %s", quote_identifier(test->channel));
}

static void
send_sample(Test *test, Step *step)
{
	WbSampleAnswer answer;
	const char *refusal;

	wb_sample_send(test->base, &test->sample, test->until, &answer);
	if (answer.status == 0)
	{
		step->ok = 'f';
		step->detail = psprintf("There is no answer from %s: %s", test->base, answer.problem);
		return;
	}
	if (answer.status == 200 && strstr(answer.content, "\"stored\"") != NULL)
	{
		step->detail = "200, stored";
		return;
	}
	refusal = wb_self_test_refusal(test->token);
	step->detail = explain_status(answer.status, refusal, answer.content);
	if (strcmp(test->expected, "refused") != 0 || answer.status != 401 || refusal == NULL)
	{
		step->ok = 'f';
		return;
	}
	step->detail = psprintf("%d, %s, as it should be without a signature", answer.status, refusal);
	test->skipped = "not tried: only the provider has the private key";
}

/* What to do about an answer that was not wanted. */
static char *
explain_status(int status, const char *refusal, const char *content)
{
	const char *advice =
		refusal != NULL ? "The endpoint refuses it; the sample was signed as the provider signs, with the newest valid secret."
		: status == 404 ? "No enabled endpoint has this path: it was changed while the self-test ran."
		: status == 429 ? "The address has sent too much: see webhook_bridge.max_request_rate_per_address."
		: status == 503 ? "It could not be stored; the server's log says why."
		: status == 200 ? "It was not taken for a delivery: see handshake_if of the provider, and dedup of the endpoint."
						: "Something else than a receiver may have answered.";

	return psprintf("%d, %s. %s", status, refusal ? refusal : content, advice);
}

static void
find_row(Test *test, Step *step)
{
	Oid types[] = {TEXTOID, BYTEAOID, TEXTOID};
	bytea *body = palloc(VARHDRSZ + test->sample.body.len);
	Datum values[] = {CStringGetTextDatum(test->token), PointerGetDatum(body), CStringGetTextDatum(test->expected)};
	TupleDesc desc;
	HeapTuple row;
	char *problem;
	char *id;

	SET_VARSIZE(body, VARHDRSZ + test->sample.body.len);
	memcpy(VARDATA(body), test->sample.body.data, test->sample.body.len);
	row = fetch_row("SELECT * FROM webhook_bridge.find_sample($1, $2, $3)", 3, types, values, &desc);
	problem = column(row, desc, "problem");
	id = column(row, desc, "event_id");
	test->event_id = id ? strtoi64(id, NULL, 10) : 0;
	step->ok = problem ? 'f' : 't';
	step->detail = problem ? problem : column(row, desc, "summary");
}

static void
await_notification(Test *test, Step *step)
{
	int64 until = Min(wb_http_now_ms() + NOTIFICATION_MS, test->until);

	if (strcmp(test->notify, "none") == 0)
	{
		step->ok = '?';
		step->detail = "The endpoint notifies nobody: its notify is \"none\".";
		return;
	}
	for (;;)
	{
		int64 left;

		if (notifyInterruptPending)
			ProcessNotifyInterrupt(false);
		for (Note *note = notes; note; note = note->next)
			if (is_ours(test, note))
			{
				step->detail = psprintf("channel \"%s\": %s", note->channel, note->payload);
				return;
			}
		left = until - wb_http_now_ms();
		if (left <= 0)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	step->ok = 'f';
	step->detail = psprintf("None has arrived on channel \"%s\" within %d s. Is the NOTIFY queue full? See pg_notification_queue_usage() and the server's log.",
							test->channel, NOTIFICATION_MS / 1000);
}

/* Whether it is about the sample; one per transaction names the last event of that. */
static bool
is_ours(const Test *test, const Note *note)
{
	char *start = psprintf("{\"endpoint\":\"%s\",\"%s\":", test->endpoint,
						   strcmp(test->notify, "batch") == 0 ? "events" : "topic");
	const char *id = strrchr(note->payload, ':');

	if (strcmp(note->channel, test->channel) != 0 || strncmp(note->payload, start, strlen(start)) != 0)
		return false;
	return strcmp(test->notify, "batch") == 0 ? strtoi64(id + 1, NULL, 10) >= test->event_id
											  : strtoi64(id + 1, NULL, 10) == test->event_id;
}

static void
consume(Test *test, Step *step)
{
	Oid types[] = {TEXTOID, INT8OID};
	Datum values[] = {CStringGetTextDatum(test->token), Int64GetDatum(test->event_id)};
	TupleDesc desc;
	HeapTuple row = fetch_row("SELECT webhook_bridge.consume_sample($1, $2) AS problem", 2, types, values, &desc);
	char *problem = column(row, desc, "problem");

	step->ok = problem ? 'f' : 't';
	step->detail = problem ? problem : "fetched and acknowledged";
}

static void
remove_all(Test *test, Step *step)
{
	TupleDesc desc;

	(void) fetch_row("SELECT webhook_bridge.remove_self_tests()", 0, NULL, NULL, &desc);
	step->detail = "event, ledger and consumer are removed";
}

/* ---------------------------------------------------------------------------
 * Transactions
 * ------------------------------------------------------------------------- */

/* As the owner of the tables, whose functions are called. */
static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	wb_catalog_doubt();
	if (!wb_catalog_check())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the loaded library does not fit the extension \"webhook_bridge\""),
				 errhint("Run ALTER EXTENSION webhook_bridge UPDATE, or restart the server if it still has an older library loaded.")));
	SetUserIdAndSecContext(wb_catalog()->owner, SECURITY_RESTRICTED_OPERATION);
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	MemoryContextSwitchTo(test_context);
}

static void
commit_transaction(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	SetUserIdAndSecContext(GetSessionUserId(), 0);
	(void) pgstat_report_stat(false);
}

/* The one row of a query; valid until the end of the transaction. */
static HeapTuple
fetch_row(const char *sql, int count, Oid *types, Datum *values, TupleDesc *desc)
{
	if (SPI_execute_with_args(sql, count, types, values, NULL, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "a query of the self-test failed");
	MemoryContextSwitchTo(test_context); /* what is kept of it outlives the transaction */
	*desc = SPI_tuptable->tupdesc;
	return SPI_tuptable->vals[0];
}

/* A copy of a column as text in the current memory context, or NULL. */
static char *
column(HeapTuple row, TupleDesc desc, const char *name)
{
	char *text = SPI_getvalue(row, desc, SPI_fnumber(desc, name));

	return text ? pstrdup(text) : NULL;
}

static void
read_texts(HeapTuple row, TupleDesc desc, const char *name, char ***texts, int *count)
{
	bool isnull;
	Datum array = SPI_getbinval(row, desc, SPI_fnumber(desc, name), &isnull);
	Datum *elements;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, count);
	*texts = palloc(sizeof(char *) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		(*texts)[i] = TextDatumGetCString(elements[i]);
}

/* ---------------------------------------------------------------------------
 * To the session that waits
 * ------------------------------------------------------------------------- */

static void
report(const char *name, const Step *step, double ms)
{
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfoChar(&message, WB_SELF_TEST_STEP);
	appendStringInfoChar(&message, step->ok);
	pq_sendfloat8(&message, rint(ms * 1000) / 1000);
	pq_send_ascii_string(&message, name);
	appendBinaryStringInfo(&message, step->detail, (int) strlen(step->detail) + 1);
	send_message(&message);
}

static void
report_error(const ErrorData *error)
{
	StringInfoData message;
	const char *const texts[] = {error->message, error->detail, error->hint};

	initStringInfo(&message);
	appendStringInfoChar(&message, WB_SELF_TEST_ERROR);
	pq_sendint32(&message, (uint32) error->sqlerrcode);
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		const char *text = texts[i] ? texts[i] : "";

		appendBinaryStringInfo(&message, text, (int) strlen(text) + 1);
	}
	send_message(&message);
}

/* A session that does not listen any more has ended or cancelled this. */
static void
send_message(StringInfo message)
{
	if (shm_mq_send(queue, message->len, message->data, true, true) != SHM_MQ_SUCCESS)
		ShutdownRequestPending = true;
}

/* ---------------------------------------------------------------------------
 * In the place of a client
 * ------------------------------------------------------------------------- */

static void
take_comm_reset(void)
{
}

static int
take_flush(void)
{
	return 0;
}

static bool
take_is_send_pending(void)
{
	return false;
}

/* A NotificationResponse has the sender's process id, the channel and the payload. */
static int
take_message(char kind, const char *data, size_t len)
{
	Note *note;

	if (kind != 'A')
		return 0;
	note = MemoryContextAlloc(test_context, sizeof(Note));
	note->channel = MemoryContextStrdup(test_context, data + 4);
	note->payload = MemoryContextStrdup(test_context, data + 4 + strlen(data + 4) + 1);
	note->next = notes;
	notes = note;
	return 0;
}

static void
take_message_noblock(char kind, const char *data, size_t len)
{
	(void) take_message(kind, data, len);
}
