/*-------------------------------------------------------------------------
 *
 * utf8.c
 *	  Checks UTF-8 (RFC 3629).
 *
 * It does not convert and does not judge characters: noncharacters and
 * controls, NUL among them, are well-formed.  Nothing is kept; re-entrant.
 *
 *-------------------------------------------------------------------------
 */
#include "utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

bool
wb_utf8_valid(const char *data, size_t len)
{
	const unsigned char *at = (const unsigned char *) data;
	const unsigned char *end;

	if (len == 0)
		return true;
	end = at + len;
	while (at < end)
	{
		uint64_t word;
		size_t sequence = 1;

		/* Most texts are mostly ASCII: take eight bytes at a time. */
		if (end - at >= (ptrdiff_t) sizeof(word))
		{
			memcpy(&word, at, sizeof(word));
			if ((word & HIGH_BITS) == 0)
			{
				at += sizeof(word);
				continue;
			}
		}
		if (*at >= 0x80)
			sequence = wb_utf8_sequence(at, end);
		if (sequence == 0)
			return false;
		at += sequence;
	}
	return true;
}
