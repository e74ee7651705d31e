/*-------------------------------------------------------------------------
 *
 * template.h
 *	  The template language: literal text with placeholders that name parts
 *	  of a delivery.  Pure.
 *
 * One language serves signed content and extraction.  A template is parsed
 * once, when an endpoint is loaded; evaluation allocates nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_TEMPLATE_H
#define WB_TEMPLATE_H

#include "slice.h"

#define WB_TEMPLATE_MAX_PARTS 32
#define WB_TEMPLATE_MAX_FORM_FIELDS 512

typedef enum WbPartKind
{
	WB_PART_LITERAL,      /* argument: the text */
	WB_PART_BODY,         /* {body}: the raw body */
	WB_PART_TS,           /* {ts}: the timestamp as it arrived */
	WB_PART_HEADER,       /* {header:Name}: value, name in any case */
	WB_PART_JSON,         /* {json:a.b.0.c}: member of the body as text */
	WB_PART_QUERY,        /* {query:name}: parameter, percent-decoded */
	WB_PART_SIG,          /* {sig:key}: element "key=" of the signature text */
	WB_PART_METHOD,       /* {method} */
	WB_PART_URL,          /* {url}: configured URL, and the query as received */
	WB_PART_SECRET,       /* {secret}: the decoded key */
	WB_PART_PARAM,        /* {param:name}: constant of the endpoint */
	WB_PART_HEADERS_JSON, /* {headers_json:Prefix}: as PHP's json_encode */
	WB_PART_FORM_SORTED,  /* {form_sorted}: fields by name and value, each once */
	WB_PART_BODY_CRC32,   /* {body_crc32}: CRC-32 (ISO-HDLC), decimal */
	WB_PART_HMAC          /* {hmac:json:a.b}: hex HMAC-SHA256 of what a locator finds */
} WbPartKind;

typedef struct WbTemplatePart
{
	WbPartKind kind;
	bool optional;    /* "?" at the end: missing or null means empty */
	WbSlice argument; /* points into the template's text */
} WbTemplatePart;

typedef struct WbTemplate
{
	int part_count;
	WbTemplatePart parts[WB_TEMPLATE_MAX_PARTS];
} WbTemplate;

/* Why a text is not a template; "at" counts bytes from the start. */
typedef struct WbTemplateError
{
	const char *problem; /* static text in PostgreSQL's style for errdetail */
	size_t at;
} WbTemplateError;

/* Which column of a provider is wrong and why. */
typedef struct WbColumnError
{
	const char *column;  /* static */
	const char *problem; /* static, a sentence for errdetail */
} WbColumnError;

/* A constant of an endpoint, for {param:name}. */
typedef struct WbParam
{
	WbSlice name;
	WbSlice value;
} WbParam;

/* A delivery, as placeholders see it.  Everything belongs to the caller. */
typedef struct WbMessage
{
	WbSlice method;
	WbSlice url;   /* configured URL of the endpoint, without a query */
	WbSlice query; /* as received, without "?" */
	const WbHeader *headers;
	int header_count;
	WbSlice body;
	const WbParam *params;
	int param_count;
	/* set by signature.c while it evaluates a scheme, empty otherwise */
	WbSlice signature;        /* text found at signature_from */
	char list_separator;      /* of the signature's elements, 0 if none */
	WbSlice signature_header; /* name of the header it came from, if any */
	WbSlice ts;
	bool has_ts;
	WbSlice secret;
} WbMessage;

/* Fills in an error and returns false. */
static inline bool
wb_column_fail(WbColumnError *error, const char *column, const char *problem)
{
	error->column = column;
	error->problem = problem;
	return false;
}

/*
 * Parses a template.  "{{" and "}}" stand for braces.  False, with *error
 * filled in, if the text is not a template: unknown placeholder, missing or
 * superfluous argument, unbalanced brace, too many parts.  The parts point
 * into the text, which must live as long as the template.
 */
extern bool wb_template_parse(WbSlice text, WbTemplate *template, WbTemplateError *error);

/*
 * Parses a locator: one placeholder without braces, one of "header:Name",
 * "json:path", "query:name", "sig:key".
 */
extern bool wb_locator_parse(WbSlice text, WbTemplatePart *locator, WbTemplateError *error);

/*
 * Evaluates a template and hands the text to the sink piece by piece.  False
 * if a placeholder cannot be resolved and is not optional, or if the sink
 * refuses; *failed_part (if not NULL) then is the index of the part.  The sink
 * may have received some pieces by then.
 *
 * Unresolved are: a missing header, parameter, member, element; a header or
 * parameter that occurs more than once with different values; a member that
 * is null, an object or an array; for {headers_json:} a value that is not
 * UTF-8, a header that is repeated with another value, or more than 64
 * headers; for {form_sorted} a body with more than WB_TEMPLATE_MAX_FORM_FIELDS
 * fields, a name of more than 1024 bytes or a broken escape; for {hmac:} a
 * missing secret or a value of more than 1024 bytes.  "?" excuses only
 * what is missing or null, not what is ambiguous or of the wrong kind.
 *
 * The text may be any bytes: %00, \u0000 and bytes of headers that are not
 * UTF-8 pass.  Who stores it as text has to check it.
 */
extern bool wb_template_eval(const WbTemplate *template, const WbMessage *message,
							 WbSink sink, void *arg, int *failed_part);

/* The same for a single part; also evaluates locators. */
extern bool wb_part_eval(const WbTemplatePart *part, const WbMessage *message,
						 WbSink sink, void *arg);

/* The name of a placeholder as templates spell it, such as "json"; empty for literal text. */
extern const char *wb_part_name(WbPartKind kind);

/*
 * How often the header, parameter, member or element that a locator names
 * occurs with different values: 0, 1 or 2 (2 stands for "several").
 */
extern int wb_locator_count(const WbTemplatePart *locator, const WbMessage *message);

#endif /* WB_TEMPLATE_H */
