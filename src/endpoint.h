/*-------------------------------------------------------------------------
 *
 * endpoint.h
 *	  Endpoints and providers as a receiver uses them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_ENDPOINT_H
#define WB_ENDPOINT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/palloc.h"

#include "handshake.h"
#include "signature.h"

#define WB_MAX_PATH 255 /* bytes; also a rule of check_endpoint() */

/* What a provider's templates find in a delivery. */
typedef enum WbField
{
	WB_FIELD_TOPIC,
	WB_FIELD_EXTERNAL_ID,
	WB_FIELD_SOURCE,
	WB_FIELD_WEBHOOK_REMOTE_ID,
	WB_FIELD_ERROR_CODE,
	WB_FIELD_OCCURRED_AT,
	WB_FIELDS
} WbField;

typedef struct WbProvider
{
	char name[64]; /* hash key */
	WbScheme scheme;
	bool get_deliveries; /* a GET may carry a delivery */
	bool has_field[WB_FIELDS];
	WbTemplate field[WB_FIELDS];
	WbTimeFormat occurred_at_format;
	bool has_content; /* something in a delivery tells it from all others */
	WbTemplate content;
	WbHandshake handshake;
} WbProvider;

typedef enum WbNotify
{
	WB_NOTIFY_NONE,
	WB_NOTIFY_EVENT, /* one per event */
	WB_NOTIFY_BATCH  /* one per endpoint and transaction */
} WbNotify;

/* By what a repeated delivery is known. */
typedef enum WbDedup
{
	WB_DEDUP_NONE,
	WB_DEDUP_ID, /* the external id */
	WB_DEDUP_CONTENT
} WbDedup;

typedef struct WbSecret
{
	char *label;
	TimestampTz expires_at; /* DT_NOEND if never */
	WbKey key;
} WbSecret;

typedef struct WbEndpoint
{
	int32 id;
	char *name;
	char *channel;
	WbNotify notify;
	WbDedup dedup;
	int max_body_size; /* bytes */
	bool allow_unverified;
	WbSlice url; /* configured, without a query */
	const WbProvider *provider;
	int param_count;
	WbParam *params;
	int secret_count;
	WbSecret *secrets;
	MemoryContextCallback forget; /* wipes the keys with the cache */
} WbEndpoint;

/*
 * Finds the endpoints of some paths; found[i] is NULL where there is none.
 * Between wb_begin() and wb_commit().  The endpoints stay valid until the next
 * transaction's first call.
 */
extern void wb_endpoints_find(const WbSlice *paths, const WbEndpoint **found, int count);

/*
 * Throws everything cached away and wipes the keys; endpoints that were found
 * are no longer valid.
 */
extern void wb_endpoints_forget(void);

/* The URL of the receiver without a path, palloc'd. */
extern char *wb_base_url(void);

/* The bytes of a secret given as text: providers know it as UTF-8. */
extern WbSlice wb_secret_bytes(Datum secret);

/* Columns of providers that make up a scheme, for SQL queries. */
#define WB_SCHEME_COLUMNS                                                             \
	"p.algorithm, p.encoding, p.signature_from, p.list_separator, p.element_prefix, " \
	"p.signed_content, p.secret_encoding, p.timestamp_from, p.timestamp_format, "     \
	"p.body_digest_from, (extract(epoch from p.tolerance))::pg_catalog.int8"
#define WB_SCHEME_COLUMN_COUNT 11

struct HeapTupleData;
struct TupleDescData;

extern void wb_scheme_from_row(struct HeapTupleData *row, struct TupleDescData *desc,
							   int first_column, WbScheme *scheme);

#endif /* WB_ENDPOINT_H */
