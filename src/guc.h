/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  The settings of webhook_bridge.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_GUC_H
#define WB_GUC_H

#include "postgres.h"

#include "proxy.h"

extern char *wb_database;
extern char *wb_role; /* empty: the owner of the tables */
extern char *wb_listen_addresses;
extern int wb_port;     /* 0: none */
extern int wb_tls_port; /* 0: none */
extern char *wb_tls_cert_file;
extern char *wb_tls_key_file;
extern int wb_tls_min_version; /* a WbTlsVersion */
extern char *wb_tls_client_ca_file;
extern int wb_receivers;
extern char *wb_public_url;
extern int wb_max_connections;
extern int wb_max_connections_per_address;  /* 0: any number */
extern int wb_max_request_rate_per_address; /* per second; 0: any */
extern int wb_max_header_size;              /* bytes */
extern int wb_max_body_size;                /* bytes */
extern int wb_request_timeout_ms;
extern int wb_keepalive_timeout_ms;
extern int wb_max_batch;
extern int wb_max_buffered_kb;
extern int wb_max_rejections;
extern int wb_keeper_interval_s; /* 0: no keeper */
extern int wb_http_timeout_ms;
extern int wb_http_connect_timeout_ms;
extern int wb_http_max_response_kb;
extern char *wb_http_ca_file;
extern bool wb_http_allow_insecure;

typedef enum WbTlsVersion
{
	WB_TLS_1_2,
	WB_TLS_1_3
} WbTlsVersion;

/* Bounds shared by settings and tables. */
#define WB_MAX_RECEIVERS 32
#define WB_MAX_BODY_LIMIT (64 * 1024 * 1024)  /* bytes; see wb_json_classify() */
#define WB_MAX_RESPONSE_LIMIT_KB (200 * 1024) /* a text in any encoding can hold it */

extern void wb_guc_init(void);

/* webhook_bridge.trusted_proxies, valid until the next reload. */
extern const WbProxies *wb_trusted_proxies(void);

#endif /* WB_GUC_H */
