/*-------------------------------------------------------------------------
 *
 * http_request.c
 *	  Which requests the client sends.
 *
 * What is refused may be secret and is not shown.  About the URL libcurl has
 * the last word: see http_client.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "http_request.h"

static bool is_token(const char *text);

/*
 * Refuses what is not one request, but could become two on its way, or another
 * one than libcurl was told.
 */
void
wb_http_check_request(const WbHttpRequest *request)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
	static const char *const own_fields[] = {
		"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "TE", "Trailer",
		"Transfer-Encoding", "Upgrade"};
	bool known = false;

	for (int i = 0; i < (int) lengthof(methods); i++)
		known = known || strcmp(request->method, methods[i]) == 0;
	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid method of an HTTP request"),
				 errhint("It must be GET, HEAD, POST, PUT, PATCH or DELETE.")));

	for (const char *c = request->url; *c; c++)
		if (*c <= ' ' || *c > '~')
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid URL of an HTTP request"),
					 errdetail("Byte %d is a space, a control character or not ASCII.", (int) (c - request->url) + 1),
					 errhint("Such characters have to be written as %%XX.")));

	for (int i = 0; i < request->field_count; i++)
	{
		const WbHttpField *field = &request->fields[i];

		if (!is_token(field->name))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid name of a header of an HTTP request"),
					 errdetail("Header %d: a name consists of letters, digits and hyphens.", i + 1)));
		for (int j = 0; j < (int) lengthof(own_fields); j++)
			if (pg_strcasecmp(field->name, own_fields[j]) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("header \"%s\" of an HTTP request cannot be given", field->name),
						 errdetail("It follows from URL and body.")));
		for (const char *c = field->value; *c; c++)
			if (((unsigned char) *c < ' ' && *c != '\t') || *c == 0x7f)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("invalid value of header \"%s\" of an HTTP request", field->name),
						 errdetail("Byte %d is a control character.", (int) (c - field->value) + 1)));
	}
}

/* RFC 9110, section 5.6.2. */
static bool
is_token(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text; text++)
		if (!((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
			  (*text >= '0' && *text <= '9') || strchr("!#$%&'*+-.^_`|~", *text) != NULL))
			return false;
	return true;
}
