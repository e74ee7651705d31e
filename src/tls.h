/*-------------------------------------------------------------------------
 *
 * tls.h
 *	  TLS as what carries a stream.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_TLS_H
#define WB_TLS_H

#include "postgres.h"

#include "stream.h"

extern bool wb_tls_prepare(void);
extern void wb_tls_reload(void);
extern bool wb_tls_is_ready(void);
extern bool wb_tls_begin(WbStream *stream);

#endif /* WB_TLS_H */
