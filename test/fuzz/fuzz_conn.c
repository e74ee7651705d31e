/*-------------------------------------------------------------------------
 *
 * fuzz_conn.c
 *	  Fuzz target of conn.c, input.c, output.c and client.c, with the parser,
 *	  the answers and the limits of addresses.
 *
 * Input: a line that says how the bytes arrive, then the bytes that a client
 * sends.  Two connections send the same bytes, one as the line says, the other
 * a few at a time, from a trusted proxy and over what behaves like TLS: it
 * begins with a handshake, hands out less than it holds and then says so, while
 * the socket is silent.  The target plays socket, clock and batch; the batch is
 * small and looks at what it was given when it "stores".
 *
 * What a connection makes of the bytes must be what the parser makes of all of
 * them at once: the same requests, each answered once and in order, then the
 * refusal, or nothing.  Only what kind of refusal it is may depend on how they
 * arrived: a body that is both broken and too large is refused for what is
 * seen first.  What clients do not take is counted, as long as they do not.  And
 * nobody else is harmed: a third connection is served, and when all are gone
 * nothing is left of them.
 *
 * The line, a character at a time:
 *	  a to z    1 to 26 bytes arrive
 *	  A to H    64 to 8192 bytes arrive
 *	  0 to 9    the client takes ten times as many bytes of answers, then none
 *	  +         the client takes all answers again
 *	  .         half of the time that a request may take goes by
 *	  -         memory is short
 *	  $         the client sends no more
 *	  !         the connection breaks
 *	  =         the receiver begins to drain
 *	  %         the batch sheds load
 *	  #         an address may have one connection, and one request a second
 *	  *         somebody else arrives, and there are no more connections
 *
 *-------------------------------------------------------------------------
 */
#include "backend.h"

#include <netinet/in.h>

#include "batch.h"
#include "client.h"
#include "conn.h"
#include "guc.h"
#include "input.h"
#include "output.h"
#include "stream.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLIENTS 4 /* two that send the input, a good one, a newcomer */
#define MAX_REQUESTS 2000
#define BATCH 3
#define REQUEST_MS 1000
#define TLS_RECORD 20

/* Settings that conn.c and what is linked with it read. */
int wb_max_connections = CLIENTS;
int wb_max_connections_per_address = 2; /* as many as there may be: the proxy can name the other client */
int wb_max_request_rate_per_address = 0;
int wb_max_header_size = 2048;
int wb_max_body_size = 1000;
int wb_request_timeout_ms = REQUEST_MS;
int wb_keepalive_timeout_ms = 5 * REQUEST_MS;
int wb_max_buffered_kb = 1024;
int wb_max_batch = BATCH;

/* What the parser makes of all bytes at once. */
typedef struct Model
{
	int count;       /* requests */
	bool is_final;   /* the connection ends after them: */
	bool is_refused; /* with a refusal */
	int status;
	bool is_large; /* the refusal may be for size as well */
	size_t end[MAX_REQUESTS];
	WbSlice body[MAX_REQUESTS];
} Model;

typedef struct Client
{
	WbStream *stream;
	WbWatch *watch;
	const char *input; /* all it sends */
	size_t len;
	size_t arrived;     /* bytes that could be read */
	size_t read;        /* bytes that were */
	size_t takes;       /* bytes of answers that it takes */
	bool sends_no_more; /* after what has arrived */
	bool is_broken;
	bool is_finished; /* the receiver writes no more */
	bool is_closed;
	bool is_disturbed; /* something happened that may end the connection */
	bool with_tls;
	int starts;       /* steps of its handshake so far */
	bool is_fresh;    /* bytes have arrived since it was read */
	bool is_again;    /* the next turn tells it in any case */
	int requests;     /* handed to the batch */
	bool was_refused; /* the last one for its size */
	StringInfoData output;
	bool is_head[MAX_REQUESTS];
} Client;

typedef struct Pending
{
	WbDelivery delivery;
	WbHeader headers[WB_HTTP_MAX_HEADERS];
	char *copy; /* of all its bytes, in order: what they were when it was added */
	size_t copy_len;
	bool is_stored;
} Pending;

static const WbProxies proxies = {
	.count = 1, .networks = {{.address = {.bytes = {127}, .size = 4}, .bits = 8}}};
static const uint8_t client_address[] = {10, 0, 0, 1};
static const uint8_t proxy_address[] = {127, 0, 0, 1};

static WbSlot slot;
static Client clients[CLIENTS];
static Model model;
static Pending batch[BATCH];
static int batch_count;
static bool batch_sheds = false;
static int64 now_ms = 1000;

const WbProxies *
wb_trusted_proxies(void)
{
	return &proxies;
}

/* --- Clock and sockets -------------------------------------------------------- */

int64
wb_loop_now_ms(WbLoop *loop)
{
	return now_ms;
}

void
wb_loop_add(WbLoop *loop, WbWatch *watch, int fd, WbReadyCallback ready, void *owner)
{
	watch->fd = fd;
	watch->interest = 0;
	watch->ready = ready;
	watch->owner = owner;
	clients[fd].watch = watch;
}

bool
wb_loop_change(WbLoop *loop, WbWatch *watch, int interest)
{
	if (watch->fd >= 0)
		watch->interest = interest;
	return true;
}

void
wb_loop_again(WbLoop *loop, WbWatch *watch)
{
	if (watch->fd >= 0)
		clients[watch->fd].is_again = true;
}

void
wb_loop_remove(WbLoop *loop, WbWatch *watch)
{
	clients[watch->fd].watch = NULL;
	watch->fd = -1;
}

static ssize_t
read_client(WbStream *stream, char *data, size_t capacity)
{
	Client *client = &clients[stream->fd];
	size_t len = Min(client->arrived - client->read, capacity);

	REQUIRE(!client->is_closed && capacity > 0);
	client->is_fresh = false;
	stream->has_more = false;
	stream->awaits = WB_READABLE;
	if (client->is_broken)
		return WB_STREAM_BROKEN;
	if (len == 0)
		return client->sends_no_more ? WB_STREAM_END : WB_STREAM_AGAIN;
	if (client->with_tls)
	{
		len = Min(len, TLS_RECORD);
		stream->has_more = client->read + len < client->arrived;
	}
	memcpy(data, client->input + client->read, len);
	client->read += len;
	return (ssize_t) len;
}

static ssize_t
write_client(WbStream *stream, const char *data, size_t len, bool is_last)
{
	Client *client = &clients[stream->fd];

	REQUIRE(!client->is_closed && !client->is_finished && len > 0);
	if (client->is_broken)
		return WB_STREAM_BROKEN;
	len = Min(len, client->takes);
	stream->awaits = WB_WRITABLE;
	if (len == 0)
		return WB_STREAM_AGAIN;
	if (client->takes != SIZE_MAX)
		client->takes -= len;
	appendBinaryStringInfo(&client->output, data, (int) len);
	return (ssize_t) len;
}

static void
finish_client(WbStream *stream)
{
	clients[stream->fd].is_finished = true;
}

static void
close_client(WbStream *stream)
{
	REQUIRE(!clients[stream->fd].is_closed);
	clients[stream->fd].is_closed = true;
}

/* A handshake reads, writes, reads again and is done. */
static WbTlsStart
start_client(WbStream *stream)
{
	Client *client = &clients[stream->fd];

	stream->awaits = client->starts == 1 ? WB_WRITABLE : WB_READABLE;
	return client->starts++ < 3 ? WB_TLS_START_AGAIN : WB_TLS_START_DONE;
}

static const WbTransport transport = {
	.start = start_client,
	.read = read_client,
	.write = write_client,
	.finish = finish_client,
	.close = close_client};

void
wb_stream_open_plain(WbStream *stream, int fd)
{
	memset(stream, 0, sizeof(*stream));
	stream->transport = &transport;
	stream->fd = fd;
	stream->awaits = WB_READABLE;
}

bool
wb_stream_has_input(const WbStream *stream)
{
	const Client *client = &clients[stream->fd];

	REQUIRE(!client->is_closed);
	return client->read < client->arrived;
}

bool
wb_tls_begin(WbStream *stream)
{
	return true;
}

/* --- The batch ------------------------------------------------------------------ */

/* All bytes of a delivery, one slice behind the other. */
static void
gather_bytes(const WbDelivery *delivery, StringInfo out)
{
	const WbSlice slices[] = {delivery->method, delivery->path, delivery->query, delivery->body};

	for (int i = 0; i < (int) lengthof(slices); i++)
	{
		if (slices[i].len > 0)
			appendBinaryStringInfo(out, slices[i].data, (int) slices[i].len);
		appendStringInfoChar(out, '\n');
	}
	for (int i = 0; i < delivery->header_count; i++)
	{
		appendBinaryStringInfo(out, delivery->headers[i].name.data, (int) delivery->headers[i].name.len);
		appendStringInfoChar(out, ':');
		appendBinaryStringInfo(out, delivery->headers[i].value.data, (int) delivery->headers[i].value.len);
		appendStringInfoChar(out, '\n');
	}
}

WbDelivery *
wb_batch_add(const WbHttpHead *head, WbSlice body)
{
	Pending *pending;
	StringInfoData bytes;

	if (batch_count == BATCH)
		return NULL;
	pending = &batch[batch_count++];
	memset(pending, 0, sizeof(*pending));
	memcpy(pending->headers, head->headers, sizeof(WbHeader) * head->header_count);
	pending->delivery.method = head->method;
	pending->delivery.path = head->path;
	pending->delivery.query = head->query;
	pending->delivery.headers = pending->headers;
	pending->delivery.header_count = head->header_count;
	pending->delivery.body = body;
	initStringInfo(&bytes);
	gather_bytes(&pending->delivery, &bytes);
	pending->copy = bytes.data;
	pending->copy_len = bytes.len;
	return &pending->delivery;
}

int
wb_batch_count(void)
{
	return batch_count;
}

WbDelivery *
wb_batch_get(int index)
{
	REQUIRE(index < batch_count && batch[index].is_stored);
	return &batch[index].delivery;
}

void
wb_batch_clear(void)
{
	batch_count = 0;
}

bool
wb_batch_sheds(void)
{
	return batch_sheds;
}

void
wb_batch_resume(void)
{
	batch_sheds = false;
}

/* An endpoint that takes more than others, one that takes less, and one that cannot be found now. */
bool
wb_batch_body_limit(WbSlice path, size_t *limit)
{
	if (wb_slice_equal(path, wb_slice_cstring("/busy")))
		return false;
	if (wb_slice_equal(path, wb_slice_cstring("/big")))
		*limit = 3000;
	else if (wb_slice_equal(path, wb_slice_cstring("/small")))
		*limit = 10;
	return true;
}

static Client *
client_of(const WbDelivery *delivery)
{
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].watch != NULL && clients[i].watch->owner == delivery->connection)
			return &clients[i];
	return NULL;
}

/* The request, or what there is of it, must be what the model has at this place. */
static void
check_request(Client *client, const WbDelivery *delivery)
{
	static WbHttpHead head;
	int index = client->requests;
	size_t start = index > 0 ? model.end[index - 1] : 0;
	int length = wb_http_parse_head(client->input + start, client->len - start, 0, &head);
	WbDelivery expected = {.method = head.method, .path = head.path, .query = head.query, .headers = head.headers, .header_count = head.header_count};
	StringInfoData bytes;
	StringInfoData expected_bytes;

	REQUIRE(length > 0);
	if (delivery->refused_size > 0)
	{
		REQUIRE(index == model.count && model.is_refused && model.is_large);
		REQUIRE(delivery->body.len <= client->len - start - length);
		expected.body = delivery->body;
	}
	else
	{
		REQUIRE(index < model.count);
		expected.body = model.body[index];
	}
	initStringInfo(&bytes);
	initStringInfo(&expected_bytes);
	gather_bytes(delivery, &bytes);
	gather_bytes(&expected, &expected_bytes);
	REQUIRE(bytes.len == expected_bytes.len && memcmp(bytes.data, expected_bytes.data, bytes.len) == 0);
}

/* Who is no proxy is nobody else. */
static void
check_address(const Client *client, const WbDelivery *delivery)
{
	const inet *address = (const inet *) DatumGetPointer(delivery->remote_addr);

	REQUIRE(ip_bits(address) == ip_maxbits(address));
	if (client != &clients[1])
		REQUIRE(ip_family(address) == PGSQL_AF_INET && memcmp(ip_addr(address), client_address, 4) == 0);
}

/* Looks at what has been added, which must not have moved, and decides. */
static void
store_batch(void)
{
	for (int i = 0; i < batch_count; i++)
	{
		WbDelivery *delivery = &batch[i].delivery;
		Client *client = client_of(delivery);
		StringInfoData bytes;

		initStringInfo(&bytes);
		gather_bytes(delivery, &bytes);
		REQUIRE((size_t) bytes.len == batch[i].copy_len);
		REQUIRE(memcmp(bytes.data, batch[i].copy, bytes.len) == 0);
		batch[i].is_stored = true;

		/* it may have been closed meanwhile; what it sent counts all the same */
		delivery->answer = delivery->refused_size > 0 ? WB_ANSWER_BODY_TOO_LARGE
						   : delivery->form.head      ? WB_ANSWER_PROBE
													  : WB_ANSWER_STORED;
		if (client == NULL)
			continue;
		check_request(client, delivery);
		check_address(client, delivery);
		REQUIRE(!client->was_refused);
		client->was_refused = delivery->refused_size > 0;
		client->is_head[client->requests++] = delivery->form.head;
	}
}

/* --- The model -------------------------------------------------------------------- */

static size_t
limit_of(WbSlice path)
{
	size_t limit = wb_max_body_size;

	wb_batch_body_limit(path, &limit);
	return Max(limit, (size_t) wb_max_body_size);
}

static void
model_refuses(int status, bool is_large)
{
	model.is_final = model.is_refused = true;
	model.status = status;
	model.is_large = is_large;
}

/* Whether a chunked body that begins here is ever known to be longer than that. */
static bool
is_large_in_chunks(const char *data, size_t len, size_t limit)
{
	WbHttpChunks chunks = {0};
	uint64 total = 0;

	/* a byte at a time, because at once it may be found to be broken */
	for (size_t i = 0; i < len; i++)
	{
		char byte = data[i];
		size_t body_len = 1;

		if (wb_http_decode_chunks(&chunks, &byte, &body_len) != WB_HTTP_CHUNKS_INCOMPLETE)
			return false;
		total += body_len;
		if (total + wb_http_chunks_announced(&chunks) > limit)
			return true;
	}
	return false;
}

/* Decodes a chunked body that begins here; false if that is the end. */
static bool
model_chunks(const char *data, size_t len, size_t limit, WbSlice *body, size_t *raw_len)
{
	WbHttpChunks chunks = {0};
	char *copy = palloc(len + 1);
	size_t body_len = len;
	ptrdiff_t rest;
	bool is_large;

	memcpy(copy, data, len);
	rest = wb_http_decode_chunks(&chunks, copy, &body_len);
	is_large = is_large_in_chunks(data, len, limit);
	if (rest == WB_HTTP_CHUNKS_INVALID || is_large)
	{
		model_refuses(rest == WB_HTTP_CHUNKS_INVALID ? 400 : 413, is_large);
		return false;
	}
	*body = wb_slice(copy, body_len);
	*raw_len = len - Max(rest, 0);
	return rest >= 0;
}

static void
make_model(const char *data, size_t len)
{
	static WbHttpHead head;
	size_t at = 0;

	memset(&model, 0, sizeof(model));
	while (at < len && model.count < MAX_REQUESTS)
	{
		int head_len = wb_http_parse_head(data + at, len - at, 0, &head);
		size_t left;
		size_t limit;
		size_t raw_len = 0;
		WbSlice body;

		if (head_len > wb_max_header_size || (head_len == 0 && len - at >= (size_t) wb_max_header_size))
			model_refuses(431, false);
		else if (head_len < 0)
			model_refuses(-head_len, false);
		if (head_len <= 0 || model.is_final)
			return;

		left = len - at - head_len;
		limit = limit_of(head.path);
		body = wb_slice(data + at + head_len, 0);
		if (head.framing == WB_HTTP_CHUNKED)
		{
			if (!model_chunks(body.data, left, limit, &body, &raw_len))
				return;
		}
		else if (head.framing == WB_HTTP_LENGTH)
		{
			if (head.content_length > limit)
			{
				model_refuses(413, true);
				return;
			}
			if (head.content_length > left)
				return;
			body.len = raw_len = head.content_length;
		}
		at += head_len + raw_len;
		model.body[model.count] = body;
		model.end[model.count++] = at;
		if (!head.keep_alive)
		{
			model.is_final = true;
			return;
		}
	}
}

/* --- A receiver's turns -------------------------------------------------------------- */

/* Whether the socket can be read; a handshake's bytes are always there. */
static bool
is_readable(const Client *client)
{
	if (client->is_broken || client->sends_no_more)
		return true;
	if (client->with_tls)
		return client->is_fresh || client->starts < 4;
	return client->arrived > client->read;
}

static bool
is_watched(const Client *client, int interest)
{
	return client->watch != NULL && (client->watch->interest & interest) != 0;
}

bool
wb_loop_is_behind(WbLoop *loop)
{
	for (int i = 0; i < CLIENTS; i++)
		if (is_watched(&clients[i], WB_READABLE) && is_readable(&clients[i]))
			return true;
	return false;
}

/* Answers that wait for their clients are counted as memory, and no others. */
static void
check_waiting(void)
{
	bool is_waiting = false;

	for (int i = 0; i < CLIENTS; i++)
	{
		bool has_begun = !clients[i].with_tls || clients[i].starts >= 4;

		is_waiting = is_waiting || (has_begun && is_watched(&clients[i], WB_WRITABLE));
	}
	REQUIRE(is_waiting == (wb_outputs_waiting() > 0));
}

/* One turn of the loop; false if there was nothing to do. */
static bool
turn(void)
{
	bool was_ready = false;

	for (int i = 0; i < CLIENTS; i++)
	{
		Client *client = &clients[i];

		if ((client->is_again && client->watch != NULL) || (is_watched(client, WB_READABLE) && is_readable(client)))
		{
			was_ready = true;
			client->is_again = false;
			client->watch->ready(client->watch->owner, WB_READABLE);
		}
		if (is_watched(client, WB_WRITABLE) && (client->is_broken || client->takes > 0))
		{
			was_ready = true;
			client->watch->ready(client->watch->owner, WB_WRITABLE);
		}
	}
	while (wb_conns_have_work())
	{
		store_batch();
		wb_conns_answer();
	}
	wb_conns_expire();
	check_waiting();

	/* a request that is there has been served, or will be in the next turn */
	for (int i = 0; i < 2; i++)
	{
		const Client *client = &clients[i];

		if (client->watch != NULL && !client->is_disturbed && client->takes == SIZE_MAX && !client->is_again &&
			client->requests < model.count)
			REQUIRE(client->read < model.end[client->requests]);
	}
	return was_ready;
}

/* Turns until nothing is left to do, which must not take for ever. */
static void
settle(void)
{
	size_t most = 1000;

	for (int i = 0; i < CLIENTS; i++)
		most += 2 * clients[i].len + (size_t) clients[i].output.len;
	while (turn())
		REQUIRE(most-- > 0);
}

static struct sockaddr_storage
peer_at(const uint8_t address[4])
{
	struct sockaddr_storage peer = {.ss_family = AF_INET};

	memcpy(&((struct sockaddr_in *) &peer)->sin_addr, address, 4);
	return peer;
}

static void
open_client(int index, const char *input, size_t len, bool with_tls)
{
	struct sockaddr_storage peer = peer_at(with_tls ? proxy_address : client_address);
	Client *client = &clients[index];
	bool is_short = backend_is_out_of_memory;

	memset(client, 0, sizeof(*client));
	initStringInfo(&client->output);
	client->input = input;
	client->len = len;
	client->takes = SIZE_MAX;
	client->with_tls = with_tls;
	wb_conn_open(index, &peer, with_tls);
	REQUIRE(client->watch != NULL || (is_short && client->is_closed));
}

static void
arrive(Client *client, size_t len)
{
	if (client->sends_no_more)
		return;
	len = Min(len, client->len - client->arrived);
	client->arrived += len;
	client->is_fresh = client->is_fresh || len > 0;
}

/* A connection beyond the limit, for which another one may give way; it says nothing. */
static void
newcomer_arrives(void)
{
	wb_max_connections = wb_conns_count();
	if (clients[3].watch == NULL && wb_max_connections > 0 && wb_conns_have_room())
		open_client(3, "", 0, true);
	wb_max_connections = CLIENTS;
}

/* Does what one character of the script says. */
static void
follow(Client *client, char step)
{
	if (step >= 'a' && step <= 'z')
		arrive(client, step - 'a' + 1);
	else if (step >= 'A' && step <= 'H')
		arrive(client, (size_t) 64 << (step - 'A'));
	else if (step >= '0' && step <= '9')
		client->takes = 10 * (step - '0');
	else if (step == '+')
		client->takes = SIZE_MAX;
	else if (step == '$' || step == '!')
	{
		client->is_disturbed = true;
		if (step == '$')
			client->sends_no_more = true;
		else
			client->is_broken = true;
	}
	else if (step != '\0' && strchr(".-=%#*", step) != NULL)
	{
		client->is_disturbed = clients[1].is_disturbed = true;
		if (step == '.')
			now_ms += REQUEST_MS / 2;
		else if (step == '-')
			backend_is_out_of_memory = true;
		else if (step == '=')
			wb_conns_drain();
		else if (step == '%')
			batch_sheds = true;
		else if (step == '#')
			wb_max_connections_per_address = wb_max_request_rate_per_address = 1;
		else
			newcomer_arrives();
	}
}

/* --- What must be so in the end --------------------------------------------------------- */

/* Takes one answer off a client's output; returns its status, 0 if there is none. */
static int
take_answer(WbSlice *rest, bool is_head, bool *closes)
{
	const char *end = memmem(rest->data, rest->len, "\r\n\r\n", 4);
	const char *length;
	char *head;
	size_t len;
	int status;

	if (end == NULL)
		return 0;
	head = pnstrdup(rest->data, end - rest->data + 2);
	REQUIRE(sscanf(head, "HTTP/1.1 %3d ", &status) == 1);
	len = end + 4 - rest->data;
	length = strstr(head, "Content-Length: ");
	REQUIRE((length != NULL) == (status != 100));
	if (length != NULL && !is_head)
		len += atoi(length + 16);
	if (len > rest->len)
		return 0;
	*closes = strstr(head, "Connection: close\r\n") != NULL;
	*rest = wb_slice(rest->data + len, rest->len - len);
	return status;
}

/* Each request has its answer, in order, and what follows them is the refusal or nothing. */
static void
check_answers(const Client *client)
{
	WbSlice rest = wb_slice(client->output.data, client->output.len);
	int answered = 0;
	int refusal = 0;
	bool closes = false;

	while (rest.len > 0)
	{
		bool is_head = answered < client->requests && client->is_head[answered];
		int status;

		REQUIRE(!closes);
		status = take_answer(&rest, is_head, &closes);
		if (status == 0)
		{
			/* the end of an answer is missing only if the client did not take it */
			REQUIRE(client->is_disturbed);
			return;
		}
		if (status == 100)
			continue;
		if (status == 200)
		{
			REQUIRE(answered < client->requests);
			answered++;
			continue;
		}
		refusal = status;
		REQUIRE(closes);
	}
	if (client->is_disturbed)
		return;

	REQUIRE(client->requests - client->was_refused == model.count && answered == model.count);
	REQUIRE((refusal != 0) == model.is_refused);
	REQUIRE(closes == model.is_final);
	if (model.is_refused && refusal != model.status)
		/* a wrong head can be found to be too large first, a large body to be wrong or not to fit */
		REQUIRE((refusal == 431 && !model.is_large) ||
				((refusal == 413 || refusal == 503 || refusal == 400) && model.is_large));
	REQUIRE(!model.is_final || client->is_closed || client->is_finished);
}

/* Who has left is counted no more: the next one from there may be the only one. */
static void
check_nobody_counts(void)
{
	struct sockaddr_storage peer = peer_at(client_address);
	int limit = wb_max_connections_per_address;
	WbClient client;

	wb_max_connections_per_address = 1;
	REQUIRE(wb_client_arrive(&client, &peer));
	wb_client_leave(&client);
	wb_max_connections_per_address = limit;
}

static void
check_all(const char *script, size_t steps, const char *input, size_t len)
{
	static const char good[] = "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
	bool closes;
	WbSlice rest;

	make_model(input, len);
	open_client(0, input, len, false);
	open_client(1, input, len, true);
	clients[2].watch = clients[3].watch = NULL;

	for (size_t i = 0; i < steps; i++)
	{
		follow(&clients[0], script[i]);
		arrive(&clients[1], 7);
		turn();
	}
	backend_is_out_of_memory = false;
	wb_max_connections_per_address = 2;
	wb_max_request_rate_per_address = 0;
	clients[0].takes = SIZE_MAX;
	for (int i = 0; i < 2; i++)
		arrive(&clients[i], len);
	settle();
	check_answers(&clients[0]);
	check_answers(&clients[1]);

	/* a good client is served, whatever the others did */
	wb_conns_reset();
	check_nobody_counts();
	make_model(good, sizeof(good) - 1);
	open_client(2, good, sizeof(good) - 1, false);
	arrive(&clients[2], sizeof(good));
	settle();
	rest = wb_slice(clients[2].output.data, clients[2].output.len);
	REQUIRE(take_answer(&rest, false, &closes) == 200 && !closes && rest.len == 0);

	/* time ends what clients leave behind */
	now_ms += 10 * REQUEST_MS;
	settle();
	REQUIRE(wb_conns_count() == 0 && pg_atomic_read_u32(&slot.connections) == 0);
	check_nobody_counts();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	WbSlice input = wb_slice((const char *) data, size);
	WbSlice script;
	char *bytes;
	static bool is_ready = false;

	if (!is_ready)
		wb_conns_init(NULL, &slot);
	is_ready = true;
	if (!wb_slice_next(&input, '\n', &script))
		return 0;

	/* The parser may put off a refusal to the end of a line. */
	bytes = palloc(input.len + 1);
	memcpy(bytes, input.data, input.len);
	bytes[input.len] = '\n';
	check_all(script.data, script.len, bytes, input.len + 1);
	backend_reset_turn();
	wb_inputs_trim();
	REQUIRE(backend_allocations() == 0);
	return 0;
}
