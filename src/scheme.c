/*-------------------------------------------------------------------------
 *
 * scheme.c
 *	  Reads signature schemes from the columns that declare them.
 *
 * Everything that can be wrong with a scheme is found here, when a row is
 * written, and not when a delivery arrives; that includes schemes that are
 * well-formed and protect from nothing.
 *
 * It does not compute signatures (signature.c does).  A scheme points into
 * the texts it was parsed from and owns nothing.  All functions are
 * re-entrant.
 *
 *-------------------------------------------------------------------------
 */
#include "scheme.h"

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* In the orders of WbAlgorithm, WbEncoding and WbSecretEncoding. */
static const char *const algorithms[] = {
	"none", "token", "hmac-sha1", "hmac-sha256", "hmac-sha512", "sha256",
	"ed25519", "ecdsa-p256-sha256", "rsa-sha256"};
static const char *const encodings[] = {"hex", "base64", "base64url", "auto"};
static const char *const secret_encodings[] = {"raw", "hex", "base64", "pem", "spki"};

/* Returns the index of a text among words, -1 if it is none of them. */
static int
find_word(WbSlice text, const char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (wb_slice_equal(text, wb_slice_cstring(words[i])))
			return i;
	return -1;
}

/* Says why an algorithm cannot take secrets in an encoding; NULL if it can. */
static const char *
secret_problem(WbAlgorithm algorithm, bool is_asymmetric, WbSecretEncoding encoding)
{
	bool is_key_file = encoding == WB_SECRET_PEM || encoding == WB_SECRET_SPKI;

	if (!is_asymmetric)
		return is_key_file ? "Only ed25519, ecdsa-p256-sha256 and rsa-sha256 have public keys, which pem and spki are for." : NULL;
	if (algorithm != WB_ALG_ED25519)
		return is_key_file ? NULL : "The public keys of this algorithm are written as pem or spki.";
	return encoding == WB_SECRET_RAW ? "The public keys of ed25519 are written as hex, base64, pem or spki." : NULL;
}

static bool
parse_secret_encoding(WbSlice text, WbScheme *scheme, WbColumnError *error)
{
	WbSlice name;
	const char *problem;
	int word;

	scheme->secret_prefixes = text;
	if (!wb_slice_next(&scheme->secret_prefixes, ':', &name))
		name = text;
	word = find_word(name, secret_encodings, LENGTH_OF(secret_encodings));
	if (word < 0)
		return wb_column_fail(error, "secret_encoding", "It is one of raw, hex, base64, pem and spki, which \":\" and a prefix to strip may follow, also several.");
	scheme->secret_encoding = (WbSecretEncoding) word;
	problem = secret_problem(scheme->algorithm, scheme->is_asymmetric, scheme->secret_encoding);
	return problem == NULL || wb_column_fail(error, "secret_encoding", problem);
}

static bool
parse_names(const WbSchemeText *text, WbScheme *scheme, WbColumnError *error)
{
	int word = find_word(text->algorithm, algorithms, LENGTH_OF(algorithms));

	if (word < 0)
		return wb_column_fail(error, "algorithm", "It is one of none, token, hmac-sha1, hmac-sha256, hmac-sha512, sha256, ed25519, ecdsa-p256-sha256 and rsa-sha256.");
	scheme->algorithm = (WbAlgorithm) word;
	scheme->has_content = scheme->algorithm != WB_ALG_NONE && scheme->algorithm != WB_ALG_TOKEN;
	scheme->is_asymmetric = scheme->algorithm >= WB_ALG_ED25519;

	word = find_word(text->encoding, encodings, LENGTH_OF(encodings));
	if (word < 0)
		return wb_column_fail(error, "encoding", "It is one of hex, base64, base64url and auto.");
	scheme->encoding = (WbEncoding) word;
	if (scheme->encoding == WB_ENC_AUTO && scheme->is_asymmetric && scheme->algorithm != WB_ALG_ED25519)
		return wb_column_fail(error, "encoding", "Signatures of this algorithm differ in length, so that their encoding cannot be told from it.");
	return parse_secret_encoding(text->secret_encoding, scheme, error);
}

/* True of what hexadecimal and both kinds of base64 are written with. */
static bool
occurs_in_digests(char c)
{
	char lower = wb_ascii_lower(c);

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
		   c == '+' || c == '/' || c == '=' || c == '-' || c == '_';
}

/* Parses where the signature is and of what elements it consists. */
static bool
parse_signature_place(const WbSchemeText *text, WbScheme *scheme, WbColumnError *error)
{
	WbTemplateError problem;

	if (text->list_separator.len > 1)
		return wb_column_fail(error, "list_separator", "It is a single byte.");
	if (text->list_separator.len == 1)
	{
		scheme->list_separator = text->list_separator.data[0];
		if (scheme->list_separator < ' ' || scheme->list_separator > '~')
			return wb_column_fail(error, "list_separator", "It is a printable ASCII character.");
		if (occurs_in_digests(scheme->list_separator))
			return wb_column_fail(error, "list_separator", "It can occur in a signature.");
	}
	scheme->element_prefix = text->element_prefix;
	if (scheme->list_separator != 0 && text->element_prefix.len > 0 &&
		memchr(text->element_prefix.data, scheme->list_separator, text->element_prefix.len) != NULL)
		return wb_column_fail(error, "element_prefix", "It contains the list separator, so that no element could begin with it.");
	if (text->element_prefix.len > 0 && text->element_prefix.data[0] == ' ')
		return wb_column_fail(error, "element_prefix", "Spaces around an element are cut off, so that none could begin with one.");

	if (scheme->algorithm == WB_ALG_NONE)
		return true;
	if (text->signature_from.len == 0)
		return wb_column_fail(error, "signature_from", "Every algorithm but none needs to know where the signature is.");
	if (!wb_locator_parse(text->signature_from, &scheme->signature_from, &problem))
		return wb_column_fail(error, "signature_from", problem.problem);
	if (scheme->signature_from.kind == WB_PART_SIG)
		return wb_column_fail(error, "signature_from", "An element of the signature cannot tell where the signature is.");
	scheme->has_signature = true;
	return true;
}

static bool
has_part(const WbTemplate *template, WbPartKind kind)
{
	for (int i = 0; i < template->part_count; i++)
		if (template->parts[i].kind == kind)
			return true;
	return false;
}

/* True if the template contains something that belongs to the message. */
static bool
signs_message(const WbTemplate *template)
{
	for (int i = 0; i < template->part_count; i++)
	{
		WbPartKind kind = template->parts[i].kind;

		if (kind != WB_PART_LITERAL && kind != WB_PART_PARAM && kind != WB_PART_SECRET)
			return true;
	}
	return false;
}

static bool
is_same_place(const WbTemplatePart *a, const WbTemplatePart *b)
{
	if (a->kind != b->kind)
		return false;
	return a->kind == WB_PART_HEADER ? wb_slice_equal_nocase(a->argument, b->argument)
									 : wb_slice_equal(a->argument, b->argument);
}

/* True if a part of the signed content contains what is at a place. */
static bool
part_covers(const WbScheme *scheme, const WbTemplatePart *part, const WbTemplatePart *place)
{
	switch (part->kind)
	{
		case WB_PART_TS:
			return is_same_place(&scheme->timestamp_from, place);
		case WB_PART_BODY:
			return place->kind == WB_PART_JSON;
		case WB_PART_URL:
			return place->kind == WB_PART_QUERY;
		case WB_PART_HEADERS_JSON:
			/* the signature's own header is not among them */
			return place->kind == WB_PART_HEADER && !is_same_place(&scheme->signature_from, place) &&
				   part->argument.len <= place->argument.len &&
				   wb_slice_equal_nocase(part->argument, wb_slice(place->argument.data, part->argument.len));
		default:
			return is_same_place(part, place);
	}
}

/*
 * True if a change at a place makes a wrong signature.  A window or a digest
 * at any other would look like protection and be none.
 */
static bool
covers(const WbScheme *scheme, const WbTemplatePart *place)
{
	for (int i = 0; i < scheme->signed_content.part_count; i++)
		if (part_covers(scheme, &scheme->signed_content.parts[i], place))
			return true;
	return false;
}

static bool
parse_timestamp_place(const WbSchemeText *text, WbScheme *scheme, WbColumnError *error)
{
	WbTemplateError problem;

	scheme->tolerance_s = text->tolerance_s;
	if (text->timestamp_from.len == 0)
	{
		if (text->timestamp_format.len > 0)
			return wb_column_fail(error, "timestamp_format", "There is no timestamp_from that it would be the format of.");
		if (text->tolerance_s >= 0)
			return wb_column_fail(error, "tolerance", "There is no timestamp_from that it would apply to.");
		return true;
	}
	if (!wb_locator_parse(text->timestamp_from, &scheme->timestamp_from, &problem))
		return wb_column_fail(error, "timestamp_from", problem.problem);
	if (scheme->timestamp_from.kind == WB_PART_SIG && scheme->list_separator == 0)
		return wb_column_fail(error, "timestamp_from", "Without a list separator the signature has no other elements.");
	if (!wb_time_format_parse(text->timestamp_format, &scheme->timestamp_format))
		return wb_column_fail(error, "timestamp_format", "It is one of s, ms and iso8601.");
	scheme->has_timestamp = scheme->has_content;
	return true;
}

static bool
parse_content(const WbSchemeText *text, WbScheme *scheme, WbColumnError *error)
{
	WbTemplateError problem;

	if (!wb_template_parse(text->signed_content, &scheme->signed_content, &problem))
		return wb_column_fail(error, "signed_content", problem.problem);
	if (!signs_message(&scheme->signed_content))
		return wb_column_fail(error, "signed_content", "It contains nothing of the delivery, so that one signature would fit all.");
	if (scheme->algorithm == WB_ALG_SHA256 && !has_part(&scheme->signed_content, WB_PART_SECRET))
		return wb_column_fail(error, "signed_content", "A plain digest proves nothing unless it contains {secret}.");
	if (scheme->is_asymmetric && has_part(&scheme->signed_content, WB_PART_SECRET))
		return wb_column_fail(error, "signed_content", "It contains {secret}, but with this algorithm sender and receiver share none.");
	if (has_part(&scheme->signed_content, WB_PART_HMAC))
		return wb_column_fail(error, "signed_content", "Only the reply to a handshake can contain {hmac:}.");
	if (has_part(&scheme->signed_content, WB_PART_TS) && !scheme->has_timestamp)
		return wb_column_fail(error, "signed_content", "It contains {ts}, but there is no timestamp_from.");
	if (has_part(&scheme->signed_content, WB_PART_SIG) && scheme->list_separator == 0)
		return wb_column_fail(error, "signed_content", "Without a list separator the signature has no other elements.");
	return true;
}

static bool
parse_body_digest(const WbSchemeText *text, WbScheme *scheme, WbColumnError *error)
{
	WbTemplateError problem;

	if (text->body_digest_from.len == 0)
		return true;
	if (!scheme->has_content)
		return wb_column_fail(error, "body_digest_from", "This algorithm signs nothing, so that anyone could change body and digest.");
	if (!wb_locator_parse(text->body_digest_from, &scheme->body_digest_from, &problem))
		return wb_column_fail(error, "body_digest_from", problem.problem);
	if (!covers(scheme, &scheme->body_digest_from))
		return wb_column_fail(error, "body_digest_from", "The signature does not cover the digest, so that anyone could change it with the body.");
	scheme->has_body_digest = true;
	return true;
}

bool
wb_scheme_parse(const WbSchemeText *text, WbScheme *scheme, WbColumnError *error)
{
	memset(scheme, 0, sizeof(*scheme));
	if (!parse_names(text, scheme, error) ||
		!parse_signature_place(text, scheme, error) ||
		!parse_timestamp_place(text, scheme, error))
		return false;
	if (scheme->has_content && !parse_content(text, scheme, error))
		return false;
	if (!parse_body_digest(text, scheme, error))
		return false;
	if (scheme->tolerance_s >= 0 && !covers(scheme, &scheme->timestamp_from))
		return wb_column_fail(error, "tolerance", "The signature does not cover the timestamp, so that a window would protect from nothing.");
	return true;
}
