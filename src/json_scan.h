/*-------------------------------------------------------------------------
 *
 * json_scan.h
 *	  Checks JSON and finds members in it without building a tree.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_JSON_SCAN_H
#define WB_JSON_SCAN_H

#include "slice.h"
#include "utf8.h"

/* Levels of nesting that are followed; deeper texts are WB_JSON_NOT_STORABLE. */
#define WB_JSON_MAX_DEPTH 512

/*
 * Whether json takes a text and jsonb would take it too, whatever the size of
 * the stack: correct UTF-8, no \u0000, surrogates in pairs, nesting within
 * WB_JSON_MAX_DEPTH, numbers within numeric's range, and a jsonb form that
 * stays below its 256 MB.  Where the exact bound is awkward the answer is
 * WB_JSON_NOT_STORABLE: such a body is kept as bytes, nothing is lost.
 */
typedef enum WbJsonKind
{
	WB_JSON_NOT_STORABLE, /* not JSON, or not JSON that jsonb takes */
	WB_JSON_ASCII,        /* storable, and neither a byte nor a \u escape above 0x7F */
	WB_JSON_UNICODE       /* storable */
} WbJsonKind;

extern WbJsonKind wb_json_classify(WbSlice text);

typedef enum WbJsonType
{
	WB_JSON_STRING,
	WB_JSON_NUMBER,
	WB_JSON_TRUE,
	WB_JSON_FALSE,
	WB_JSON_NULL,
	WB_JSON_OBJECT,
	WB_JSON_ARRAY
} WbJsonType;

typedef struct WbJsonValue
{
	WbJsonType type;
	WbSlice text;     /* as written; of a string, what is between the quotes */
	bool has_escapes; /* of a string: text contains a backslash */
} WbJsonValue;

/*
 * Finds the member that a path names: object keys and array indexes separated
 * by dots ("data.items.0.id"; keys are compared after unescaping).  Of
 * repeated keys the last one counts, as for jsonb.  False if the member does
 * not exist or the text as a whole is not valid JSON.
 */
extern bool wb_json_find(WbSlice text, WbSlice path, WbJsonValue *value);

/*
 * Hands out a scalar as text: strings unescaped (as UTF-8), numbers as
 * written, true and false.  False for null, objects, arrays, and lone
 * surrogates, or if the sink refuses.  \u0000 comes out as a NUL byte, which
 * a signature may well cover: who wants to store the text has to look for it.
 */
extern bool wb_json_emit(const WbJsonValue *value, WbSink sink, void *arg);

#endif /* WB_JSON_SCAN_H */
