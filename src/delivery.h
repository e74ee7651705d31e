/*-------------------------------------------------------------------------
 *
 * delivery.h
 *	  One delivery: what arrived, what was decided, what will be stored.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_DELIVERY_H
#define WB_DELIVERY_H

#include "postgres.h"

#include "utils/inet.h"
#include "utils/uuid.h"

#include "answer.h"
#include "endpoint.h"
#include "http_parse.h"

/* Bytes of an extracted text.  A longer one is not stored; the event is. */
#define WB_MAX_FIELD 1000

typedef struct WbDelivery
{
	/* what arrived: points into the connection's buffer */
	void *connection;
	WbSlice method;
	WbSlice path;
	WbSlice query;
	const WbHeader *headers;
	int header_count;
	WbSlice body;
	uint64 refused_size;    /* bytes of a body that is too large to be read, at least; else 0 */
	Datum remote_addr;      /* inet, 0 if null */
	inet remote_inet;       /* space for that; aligned as a Datum is, which its type does not ask for */
	WbAnswerForm form;      /* how the request wants to be answered */
	TimestampTz arrived_at; /* when its time of signing is judged; 0: when it is first judged */

	/* what wb_delivery_judge() decides */
	WbAnswer answer; /* WB_ANSWER_STORED if it is to be stored */
	const WbEndpoint *endpoint;
	const char *refusal;    /* why the endpoint refused it, static, or NULL */
	const char *refused_by; /* that endpoint's name, a copy, or NULL */
	WbPartKind token_kind;  /* where a token is: WB_PART_HEADER or WB_PART_QUERY, if token_name */
	char *token_name;       /* a copy, or NULL; see wb_delivery_headers_json() */
	WbVerdict verdict;
	bool verified;
	const char *secret_label; /* of the secret that matched, or NULL */
	char *field[WB_FIELDS];   /* NULL if not found; in the database encoding */
	TimestampTz occurred_at;  /* if field[WB_FIELD_OCCURRED_AT] */
	pg_uuid_t *dedup_key;     /* by which another attempt is recognised, or NULL */

	/* what wb_self_test_claim() finds */
	const char *self_test; /* the consumer that alone is offered it, or NULL: all that want it */

	/* what storing adds */
	int64 id;
} WbDelivery;

extern void wb_delivery_judge(WbDelivery *delivery, const WbEndpoint *endpoint, TimestampTz now);
extern char *wb_delivery_headers_json(const WbDelivery *delivery, bool mask);
extern char *wb_delivery_query(const WbDelivery *delivery, bool mask);
extern bool wb_delivery_body_is_json(const WbDelivery *delivery);

#endif /* WB_DELIVERY_H */
