/*-------------------------------------------------------------------------
 *
 * datum.h
 *	  Between PostgreSQL's values and those of the pure modules.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_DATUM_H
#define WB_DATUM_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"

#include "slice.h"

/* Between the epoch of Unix, 1970, and PostgreSQL's, 2000. */
#define WB_EPOCH_DAYS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE))

/* Unix milliseconds of a point in time; infinity stays far away. */
static inline int64
wb_unix_ms(TimestampTz time)
{
	return time / 1000 + WB_EPOCH_DAYS * SECS_PER_DAY * 1000;
}

/* The point in time of Unix microseconds that wb_time_parse() has returned. */
static inline TimestampTz
wb_timestamp_from_unix_us(int64 unix_us)
{
	return unix_us - WB_EPOCH_DAYS * USECS_PER_DAY;
}

/* The bytes of a text or bytea; valid as long as the value, or a copy of it, is. */
static inline WbSlice
wb_text_slice(Datum value)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	return wb_slice(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

/* Takes a URL apart at the question mark. */
static inline void
wb_split_url(WbSlice whole, WbSlice *url, WbSlice *query)
{
	*query = whole;
	if (!wb_slice_next(query, '?', url))
		*url = whole;
}

#endif /* WB_DATUM_H */
