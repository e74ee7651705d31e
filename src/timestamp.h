/*-------------------------------------------------------------------------
 *
 * timestamp.h
 *	  Reads the points in time that providers send.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_TIMESTAMP_H
#define WB_TIMESTAMP_H

#include "slice.h"

typedef enum WbTimeFormat
{
	WB_TIME_SECONDS,      /* Unix seconds, decimal */
	WB_TIME_MILLISECONDS, /* Unix milliseconds, decimal */
	WB_TIME_ISO8601       /* RFC 3339 with zone */
} WbTimeFormat;

/*
 * Reads a point in time.  False if the text is not of the format or outside
 * the years 1970 to 9999.
 */
extern bool wb_time_parse(WbSlice text, WbTimeFormat format, int64_t *unix_us);

/* Reads the name of a format: "s", "ms" or "iso8601". */
extern bool wb_time_format_parse(WbSlice text, WbTimeFormat *format);

#endif /* WB_TIMESTAMP_H */
