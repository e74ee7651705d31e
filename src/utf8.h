/*-------------------------------------------------------------------------
 *
 * utf8.h
 *	  UTF-8 (RFC 3629).  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WB_UTF8_H
#define WB_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True if a text, which may contain NUL, is well-formed UTF-8. */
extern bool wb_utf8_valid(const char *data, size_t len);

/*
 * Returns the length of the well-formed multi-byte sequence at a position, 0
 * if there is none (table of RFC 3629, section 4: no overlong forms, no
 * surrogates, nothing above U+10FFFF).  At least one byte must be readable.
 */
static inline size_t
wb_utf8_sequence(const unsigned char *at, const unsigned char *end)
{
	size_t left = (size_t) (end - at);
	unsigned char low = 0x80;
	unsigned char high = 0xBF;

	if (at[0] < 0xC2 || at[0] > 0xF4)
		return 0;
	if (at[0] < 0xE0)
		return left >= 2 && (at[1] & 0xC0) == 0x80 ? 2 : 0;
	if (at[0] == 0xE0)
		low = 0xA0;
	else if (at[0] == 0xED)
		high = 0x9F;
	else if (at[0] == 0xF0)
		low = 0x90;
	else if (at[0] == 0xF4)
		high = 0x8F;
	if (left < 3 || at[1] < low || at[1] > high || (at[2] & 0xC0) != 0x80)
		return 0;
	if (at[0] < 0xF0)
		return 3;
	return left >= 4 && (at[3] & 0xC0) == 0x80 ? 4 : 0;
}

/* Returns the character of a well-formed multi-byte sequence. */
static inline uint32_t
wb_utf8_decode(const unsigned char *at, size_t len)
{
	uint32_t code = at[0] & (0xFFu >> (len + 1));

	for (size_t i = 1; i < len; i++)
		code = code << 6 | (at[i] & 0x3F);
	return code;
}

/* Writes a character that is no surrogate to out[4], returns its length. */
static inline size_t
wb_utf8_encode(uint32_t code, char *out)
{
	static const unsigned char lead[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
	size_t len = 4;

	if (code < 0x80)
		len = 1;
	else if (code < 0x800)
		len = 2;
	else if (code < 0x10000)
		len = 3;
	for (size_t i = len - 1; i > 0; i--, code >>= 6)
		out[i] = (char) (0x80 | (code & 0x3F));
	out[0] = (char) (lead[len] | code);
	return len;
}

#endif /* WB_UTF8_H */
