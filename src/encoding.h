/*-------------------------------------------------------------------------
 *
 * encoding.h
 *	  Bytes written as text: hexadecimal and base64.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_ENCODING_H
#define WB_ENCODING_H

#include "slice.h"

/*
 * Decode into a buffer of "capacity" bytes, of which *len are used.  False if
 * the text is not in the encoding or does not fit; the buffer may then have
 * been written to.
 *
 * Hexadecimal is taken in either case.  Of base64 (RFC 4648, the URL alphabet
 * if is_url) the padding that is there must be right.  Canonical: padding is
 * needed, except in the URL alphabet, and spare bits of the last digit are
 * zero, so that a signature has one spelling; what people type is taken without.
 */
extern bool wb_hex_decode(WbSlice text, unsigned char *out, size_t capacity, size_t *len);
extern bool wb_base64_decode(WbSlice text, bool is_url, bool canonical,
							 unsigned char *out, size_t capacity, size_t *len);

/*
 * Append to a text: lower-case hexadecimal, or base64, which in the URL
 * alphabet goes without padding.  False if it does not fit.
 */
extern bool wb_hex_put(WbTextBuffer *text, const unsigned char *bytes, size_t len);
extern bool wb_base64_put(WbTextBuffer *text, const unsigned char *bytes, size_t len, bool is_url);

#endif /* WB_ENCODING_H */
