/*-------------------------------------------------------------------------
 *
 * urlencoded.h
 *	  Fields of application/x-www-form-urlencoded text.  Pure.
 *
 * For query strings and form bodies: "&" between fields, "=" after a name,
 * "+" for a space, "%" and two hexadecimal digits for any byte.  Texts stay
 * encoded as long as possible and are decoded a byte at a time, so that
 * nothing has to be stored.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_URLENCODED_H
#define WB_URLENCODED_H

#include "slice.h"

typedef struct WbUrlDecoder
{
	const char *at;
	const char *end;
	bool broken; /* a "%" without two hexadecimal digits was met */
} WbUrlDecoder;

static inline WbUrlDecoder
wb_url_decoder(WbSlice text)
{
	WbUrlDecoder decoder = {text.data, text.data, false};

	if (text.len > 0)
		decoder.end += text.len;
	return decoder;
}

/*
 * Returns the next byte of a decoded text, -1 at its end or at a broken
 * escape.
 */
static inline int
wb_url_next(WbUrlDecoder *decoder)
{
	char c;

	if (decoder->at == decoder->end)
		return -1;
	c = *decoder->at++;
	if (c == '+')
		return ' ';
	if (c == '%')
	{
		int high = -1;
		int low = -1;

		if (decoder->end - decoder->at >= 2)
		{
			high = wb_hex_value(decoder->at[0]);
			low = wb_hex_value(decoder->at[1]);
		}
		if (high < 0 || low < 0)
		{
			decoder->broken = true;
			return -1;
		}
		decoder->at += 2;
		return high << 4 | low;
	}
	return (unsigned char) c;
}

/* Compares two encoded texts by the bytes they stand for. */
static inline int
wb_url_compare(WbSlice a, WbSlice b)
{
	WbUrlDecoder decoder_a = wb_url_decoder(a);
	WbUrlDecoder decoder_b = wb_url_decoder(b);

	for (;;)
	{
		int byte_a = wb_url_next(&decoder_a);
		int byte_b = wb_url_next(&decoder_b);

		if (byte_a != byte_b)
			return byte_a < byte_b ? -1 : 1;
		if (byte_a < 0)
			return 0;
	}
}

/* Whether an encoded text stands for these bytes. */
static inline bool
wb_url_equals(WbSlice encoded, WbSlice bytes)
{
	WbUrlDecoder decoder = wb_url_decoder(encoded);

	/* an escape takes three bytes: most texts are told apart by their length */
	if (encoded.len < bytes.len || encoded.len / 3 > bytes.len)
		return false;
	for (size_t i = 0; i < bytes.len; i++)
		if (wb_url_next(&decoder) != (unsigned char) bytes.data[i])
			return false;
	return wb_url_next(&decoder) < 0 && !decoder.broken;
}

/* Hands on a decoded text; false if it is broken or the sink refuses. */
static inline bool
wb_url_put(WbGather *gather, WbSlice text)
{
	WbUrlDecoder decoder = wb_url_decoder(text);
	int byte;

	while ((byte = wb_url_next(&decoder)) >= 0)
	{
		char c = (char) byte;

		if (!wb_gather_put(gather, &c, 1))
			return false;
	}
	return !decoder.broken;
}

/* Takes the next field off a form or query; false at the end. */
static inline bool
wb_url_field(WbSlice *rest, WbSlice *field)
{
	while (wb_slice_next(rest, '&', field))
		if (field->len > 0)
			return true;
	return false;
}

/* Splits a field at its first "="; without one the value is empty. */
static inline void
wb_url_split(WbSlice field, WbSlice *name, WbSlice *value)
{
	const char *sign = memchr(field.data, '=', field.len);

	*name = field;
	*value = wb_slice(field.data + field.len, 0);
	if (sign != NULL)
	{
		name->len = (size_t) (sign - field.data);
		*value = wb_slice(sign + 1, field.len - name->len - 1);
	}
}

#endif /* WB_URLENCODED_H */
