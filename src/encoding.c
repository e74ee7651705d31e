/*-------------------------------------------------------------------------
 *
 * encoding.c
 *	  Bytes written as text: hexadecimal and base64.
 *
 * It is stricter than the decoder of libcrypto, which skips white space and
 * takes text without padding.  Neither direction takes a time that is
 * independent of the bytes.  All functions are re-entrant.
 *
 *-------------------------------------------------------------------------
 */
#include "encoding.h"

bool
wb_hex_decode(WbSlice text, unsigned char *out, size_t capacity, size_t *len)
{
	if (text.len % 2 != 0 || text.len / 2 > capacity)
		return false;
	for (size_t i = 0; i < text.len; i += 2)
	{
		int high = wb_hex_value(text.data[i]);
		int low = wb_hex_value(text.data[i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (unsigned char) (high << 4 | low);
	}
	*len = text.len / 2;
	return true;
}

static int
base64_value(char c, bool is_url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (is_url ? '-' : '+'))
		return 62;
	return c == (is_url ? '_' : '/') ? 63 : -1;
}

bool
wb_base64_decode(WbSlice text, bool is_url, bool canonical,
				 unsigned char *out, size_t capacity, size_t *len)
{
	size_t padding = 0;
	uint32_t bits = 0;

	while (padding < 2 && text.len > 0 && text.data[text.len - 1] == '=')
	{
		text.len--;
		padding++;
	}
	if (text.len % 4 == 1 ||
		((padding > 0 || (canonical && !is_url)) && (text.len + padding) % 4 != 0))
		return false;
	*len = 0;
	for (size_t i = 0; i < text.len; i++)
	{
		int value = base64_value(text.data[i], is_url);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t) value;
		if (i % 4 == 0)
			continue;
		if (*len == capacity)
			return false;
		out[(*len)++] = (unsigned char) (bits >> (6 - i % 4 * 2));
	}
	return !canonical || text.len % 4 == 0 || (bits & (text.len % 4 == 2 ? 0xF : 0x3)) == 0;
}

bool
wb_hex_put(WbTextBuffer *text, const unsigned char *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++)
	{
		char pair[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 0xF]};

		if (!wb_text_sink(text, pair, sizeof(pair)))
			return false;
	}
	return true;
}

bool
wb_base64_put(WbTextBuffer *text, const unsigned char *bytes, size_t len, bool is_url)
{
	const char *digits = is_url ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
								: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3)
	{
		size_t taken = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t) bytes[i] << 16;
		char group[4] = {0, 0, '=', '='};

		if (taken > 1)
			bits |= (uint32_t) bytes[i + 1] << 8;
		if (taken > 2)
			bits |= bytes[i + 2];
		for (size_t j = 0; j <= taken; j++)
			group[j] = digits[bits >> (18 - 6 * j) & 0x3F];
		if (!wb_text_sink(text, group, is_url ? taken + 1 : sizeof(group)))
			return false;
	}
	return true;
}
