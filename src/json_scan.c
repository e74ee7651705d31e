/*-------------------------------------------------------------------------
 *
 * json_scan.c
 *	  Checks JSON and finds members in it without building a tree.
 *
 * One iterative scanner serves both purposes: it validates a whole text
 * against the grammar of RFC 8259 as PostgreSQL's lexer reads it, notes on the
 * way what jsonb would refuse, and, if a search is attached, follows a path.
 * A single pass, no recursion, no allocation: the state is one bit per level
 * of nesting.
 *
 * It does not convert numbers, does not detect encodings other than UTF-8,
 * and keeps nothing: results are slices of the caller's text.  All functions
 * are re-entrant.
 *
 *-------------------------------------------------------------------------
 */
#include "json_scan.h"

/*
 * What jsonb is known to take, with a margin.  Its form ends at 256 MB; an
 * element costs it 4 bytes of entry, up to 3 of padding and, for a number, up
 * to 10 more than half its digits, so text plus ELEMENT_BYTES for each key and
 * value is an upper bound.  The limit also keeps jsonb's construction arrays
 * (32 bytes an element, 72 a member, doubled when full) below 1 GB.
 */
#define MAX_JSONB_BYTES ((size_t) 200 * 1024 * 1024)
#define MAX_STRING_BYTES ((size_t) 64 * 1024 * 1024)
#define ELEMENT_BYTES 20

/* numeric goes to 131072 digits and 16383 decimals; nobody sends that. */
#define MAX_NUMBER_DIGITS 1000
#define MAX_NUMBER_EXPONENT 1000

#define NO_INDEX SIZE_MAX

/* Every byte of a word set to the same value. */
#define REPEAT_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

typedef const unsigned char *Cursor;

/* A path being followed; see open_searched() for how. */
typedef struct Search
{
	WbSlice path;
	size_t element_start; /* path element wanted in the followed container */
	size_t element_end;
	int followed;      /* how many containers from the root are on the path */
	size_t countdown;  /* elements before the wanted one, or NO_INDEX */
	bool hit;          /* the next value is what the path element names */
	bool found;        /* value is set, so far */
	int capture_depth; /* depth of the container that is the value, or 0 */
	WbJsonValue value;
} Search;

typedef struct Scanner
{
	Cursor end;
	int depth;                                         /* open containers */
	bool storable;                                     /* nothing met that jsonb refuses */
	bool unicode;                                      /* something above 0x7F met */
	size_t elements;                                   /* keys and values met */
	Search *search;                                    /* NULL if nothing is looked for */
	uint64_t is_object[(WB_JSON_MAX_DEPTH + 64) / 64]; /* a bit per depth; depth 0 is no object */
} Scanner;

static inline bool
in_object(const Scanner *scanner)
{
	return (scanner->is_object[scanner->depth / 64] >> (scanner->depth % 64)) & 1;
}

static inline unsigned char
closing_byte(const Scanner *scanner)
{
	return in_object(scanner) ? '}' : ']';
}

static inline Cursor
skip_space(Cursor at, Cursor end)
{
	while (at < end && *at <= ' ' &&
		   (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
		at++;
	return at;
}

/* Returns the byte at the cursor, at the end NUL: no token begins with it. */
static inline unsigned char
peek(Cursor at, Cursor end)
{
	return at < end ? *at : '\0';
}

static inline bool
is_digit(unsigned char c)
{
	return (unsigned) (c - '0') <= 9;
}

/* Loads eight bytes so that the first one is the least significant. */
static inline uint64_t
load_word(const void *data)
{
	uint64_t word;

	memcpy(&word, data, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

/*
 * Skips the bytes that stand for themselves in a string: anything but quote,
 * backslash, control bytes and bytes above 0x7F.
 */
static inline Cursor
skip_plain(Cursor at, Cursor end)
{
	while (end - at >= 8)
	{
		uint64_t word = load_word(at);
		uint64_t special;

		/*
		 * The high bit of a byte is set where one of the cases applies.  A
		 * borrow can set it falsely, but only above a byte where it is set
		 * rightly, and only the lowest one counts.
		 */
		special = (word - REPEAT_BYTE(0x20)) |
				  ((word ^ REPEAT_BYTE('"')) - REPEAT_BYTE(1)) |
				  ((word ^ REPEAT_BYTE('\\')) - REPEAT_BYTE(1)) |
				  word;
		special &= REPEAT_BYTE(0x80);
		if (special != 0)
			return at + (__builtin_ctzll(special) >> 3);
		at += 8;
	}
	while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
		at++;
	return at;
}

/* Reads the four hexadecimal digits of a \u escape. */
static bool
read_hex4(Cursor at, Cursor end, uint32_t *code)
{
	uint32_t value = 0;

	if (end - at < 4)
		return false;
	for (int i = 0; i < 4; i++)
	{
		int digit = wb_hex_value((char) at[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (uint32_t) digit;
	}
	*code = value;
	return true;
}

/*
 * Reads one escape, or two that form a surrogate pair, from its backslash on.
 * Returns the position behind it, NULL if it is none.  A surrogate without
 * its partner is returned as it is.
 */
static Cursor
read_escape(Cursor at, Cursor end, uint32_t *code)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	uint32_t low;

	if (end - at < 2)
		return NULL;
	if (at[1] != 'u')
	{
		const char *letter = memchr(letters, at[1], sizeof(letters) - 1);

		if (letter == NULL)
			return NULL;
		*code = (unsigned char) meanings[letter - letters];
		return at + 2;
	}
	if (!read_hex4(at + 2, end, code))
		return NULL;
	at += 6;
	if (*code >= 0xD800 && *code <= 0xDBFF &&
		end - at >= 2 && at[0] == '\\' && at[1] == 'u' &&
		read_hex4(at + 2, end, &low) && low >= 0xDC00 && low <= 0xDFFF)
	{
		*code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
		at += 6;
	}
	return at;
}

static inline bool
is_surrogate(uint32_t code)
{
	return code >= 0xD800 && code <= 0xDFFF;
}

/*
 * Scans a string from its opening quote on.  Returns the position behind the
 * closing quote, NULL if the string is broken.
 */
static inline Cursor
scan_string(Scanner *scanner, Cursor at, bool *has_escapes)
{
	Cursor end = scanner->end;
	Cursor start = ++at;

	*has_escapes = false;
	for (;;)
	{
		at = skip_plain(at, end);
		if (at == end || *at < 0x20)
			return NULL;
		if (*at == '"')
			break;
		if (*at == '\\')
		{
			uint32_t code;

			at = read_escape(at, end, &code);
			if (at == NULL)
				return NULL;
			*has_escapes = true;
			if (code == 0 || is_surrogate(code))
				scanner->storable = false;
			if (code > 0x7F)
				scanner->unicode = true;
		}
		else
		{
			scanner->unicode = true;
			do
			{
				size_t len = wb_utf8_sequence(at, end);

				if (len == 0)
					return NULL;
				at += len;
			} while (at < end && *at >= 0x80);
		}
	}
	if ((size_t) (at - start) > MAX_STRING_BYTES)
		scanner->storable = false;
	return at + 1;
}

/* Scans one digit or more; NULL if there is none. */
static inline Cursor
scan_digits(Cursor at, Cursor end)
{
	Cursor start = at;

	while (at < end && is_digit(*at))
		at++;
	return at > start ? at : NULL;
}

/*
 * Scans a number.  Returns the position behind it, NULL if it is broken.  What
 * follows is for the caller to judge: no token can begin there.
 */
static inline Cursor
scan_number(Scanner *scanner, Cursor at)
{
	Cursor end = scanner->end;
	Cursor start = at;

	if (*at == '-')
		at++;
	if (peek(at, end) == '0')
		at++;
	else if ((at = scan_digits(at, end)) == NULL)
		return NULL;
	if (peek(at, end) == '.' && (at = scan_digits(at + 1, end)) == NULL)
		return NULL;
	if ((peek(at, end) | 0x20) == 'e')
	{
		int exponent = 0;
		Cursor digits;

		at++;
		if (peek(at, end) == '+' || peek(at, end) == '-')
			at++;
		digits = at;
		if ((at = scan_digits(at, end)) == NULL)
			return NULL;
		for (; digits < at && exponent <= MAX_NUMBER_EXPONENT; digits++)
			exponent = exponent * 10 + (*digits - '0');
		if (exponent > MAX_NUMBER_EXPONENT)
			scanner->storable = false;
	}
	/* Sign, point and exponent count too: shorter to write, hardly stricter. */
	if (at - start > MAX_NUMBER_DIGITS)
		scanner->storable = false;
	return at;
}

/* Scans a word at the cursor; NULL if another text is there. */
static inline Cursor
scan_word(const Scanner *scanner, Cursor at, const char *word, size_t len)
{
	if ((size_t) (scanner->end - at) < len || memcmp(at, word, len) != 0)
		return NULL;
	return at + len;
}

/*
 * Scans a value that is no container.  Returns the position behind it, NULL if
 * there is no such value.
 */
static inline Cursor
scan_scalar(Scanner *scanner, Cursor at, WbJsonValue *value)
{
	Cursor start = at;
	Cursor stop;

	value->has_escapes = false;
	switch (*at)
	{
		case '"':
			value->type = WB_JSON_STRING;
			start++;
			at = scan_string(scanner, at, &value->has_escapes);
			break;
		case 't':
			value->type = WB_JSON_TRUE;
			at = scan_word(scanner, at, "true", 4);
			break;
		case 'f':
			value->type = WB_JSON_FALSE;
			at = scan_word(scanner, at, "false", 5);
			break;
		case 'n':
			value->type = WB_JSON_NULL;
			at = scan_word(scanner, at, "null", 4);
			break;
		default:
			value->type = WB_JSON_NUMBER;
			at = scan_number(scanner, at);
			break;
	}
	if (at == NULL)
		return NULL;
	stop = value->type == WB_JSON_STRING ? at - 1 : at;
	value->text = wb_slice((const char *) start, (size_t) (stop - start));
	return at;
}

/* Compares a key, unescaped, with an element of a path. */
static bool
key_equals(WbSlice key, bool has_escapes, WbSlice element)
{
	Cursor at = (Cursor) key.data;
	Cursor end = at + key.len;
	size_t matched = 0;

	if (!has_escapes)
		return wb_slice_equal(key, element);
	while (at < end)
	{
		char bytes[4];
		size_t len = 1;

		bytes[0] = (char) *at;
		if (*at == '\\')
		{
			uint32_t code;

			at = read_escape(at, end, &code);
			if (at == NULL || is_surrogate(code))
				return false;
			len = wb_utf8_encode(code, bytes);
		}
		else
			at++;
		if (len > element.len - matched ||
			memcmp(element.data + matched, bytes, len) != 0)
			return false;
		matched += len;
	}
	return matched == element.len;
}

static WbSlice
wanted_element(const Search *search)
{
	return wb_slice(search->path.data + search->element_start,
					search->element_end - search->element_start);
}

/* Reads the wanted path element as an array index. */
static size_t
wanted_index(const Search *search)
{
	WbSlice element = wanted_element(search);
	size_t index = 0;

	if (element.len == 0)
		return NO_INDEX;
	for (size_t i = 0; i < element.len; i++)
	{
		if (!is_digit((unsigned char) element.data[i]) || index > NO_INDEX / 16)
			return NO_INDEX;
		index = index * 10 + (size_t) (element.data[i] - '0');
	}
	return index;
}

/* Makes the path element that begins at a position the wanted one. */
static void
want_element(Search *search, size_t start)
{
	size_t left = search->path.len - start;
	const char *dot = NULL;

	if (left > 0)
		dot = memchr(search->path.data + start, '.', left);
	search->element_start = start;
	search->element_end = dot ? (size_t) (dot - search->path.data) : search->path.len;
}

static inline bool
is_followed(const Scanner *scanner)
{
	return scanner->search != NULL && scanner->depth == scanner->search->followed;
}

/* Notes whether the value that begins next is what the path names. */
static void
note_element(Scanner *scanner)
{
	Search *search = scanner->search;

	search->hit = search->countdown == 0;
	if (search->hit)
		search->countdown = NO_INDEX;
	else if (search->countdown != NO_INDEX)
		search->countdown--;
}

/*
 * Takes note of a container that was just opened on the path.
 *
 * The containers from the root that the path leads through are "followed";
 * in the innermost of them the wanted path element is compared with each key
 * or counted down with each element.  A hit drops whatever was found before:
 * of repeated keys the last one counts, even if the rest of the path is
 * missing there.
 */
static void
open_searched(Scanner *scanner, Cursor at)
{
	Search *search = scanner->search;

	search->hit = false;
	search->found = false;
	if (search->followed > 0 && search->element_end == search->path.len)
	{
		search->capture_depth = scanner->depth;
		search->value.type = in_object(scanner) ? WB_JSON_OBJECT : WB_JSON_ARRAY;
		search->value.text.data = (const char *) at;
		search->value.has_escapes = false;
		return;
	}
	want_element(search, search->followed == 0 ? 0 : search->element_end + 1);
	search->followed = scanner->depth;
	search->countdown = in_object(scanner) ? NO_INDEX : wanted_index(search);
}

/* Takes note that the innermost container ends before a position. */
static void
close_searched(Scanner *scanner, Cursor behind)
{
	Search *search = scanner->search;

	if (scanner->depth == search->capture_depth)
	{
		search->value.text.len = (size_t) ((const char *) behind - search->value.text.data);
		search->found = true;
		search->capture_depth = 0;
	}
	if (scanner->depth == search->followed)
	{
		size_t start = search->element_start;

		search->followed--;
		/* If an array is around, its wanted element is behind us. */
		search->countdown = NO_INDEX;
		if (start > 0)
		{
			search->element_end = --start;
			while (start > 0 && search->path.data[start - 1] != '.')
				start--;
			search->element_start = start;
		}
	}
}

/* Takes note of a scalar that the path element names. */
static void
hit_scalar(Search *search, const WbJsonValue *value)
{
	search->hit = false;
	search->found = search->followed > 0 && search->element_end == search->path.len;
	if (search->found)
		search->value = *value;
}

/*
 * Scans a key and the colon behind it.  Returns the position behind the colon,
 * NULL if something else is there.
 */
static inline Cursor
scan_key(Scanner *scanner, Cursor at)
{
	Cursor start = at;
	bool has_escapes;

	if (peek(at, scanner->end) != '"')
		return NULL;
	at = scan_string(scanner, at, &has_escapes);
	if (at == NULL)
		return NULL;
	scanner->elements++;
	if (is_followed(scanner))
		scanner->search->hit = key_equals(wb_slice((const char *) start + 1, (size_t) (at - start) - 2),
										  has_escapes, wanted_element(scanner->search));
	at = skip_space(at, scanner->end);
	if (peek(at, scanner->end) != ':')
		return NULL;
	return skip_space(at + 1, scanner->end);
}

/* Opens the container at the cursor; false if that is too deep. */
static inline bool
open_container(Scanner *scanner, Cursor at)
{
	uint64_t *word;
	uint64_t bit;

	if (scanner->depth == WB_JSON_MAX_DEPTH)
		return false;
	scanner->depth++;
	word = &scanner->is_object[scanner->depth / 64];
	bit = UINT64_C(1) << (scanner->depth % 64);
	*word = *at == '{' ? *word | bit : *word & ~bit;
	if (scanner->search != NULL && scanner->search->hit)
		open_searched(scanner, at);
	return true;
}

/* Scans a whole text.  False if it is not JSON or nested too deeply. */
static bool
scan_text(Scanner *scanner, Cursor at)
{
	Cursor end = scanner->end;

	for (;;)
	{
		/* Here a value begins; in an object its key comes first. */
		at = skip_space(at, end);
		if (in_object(scanner))
		{
			at = scan_key(scanner, at);
			if (at == NULL)
				return false;
		}
		else if (is_followed(scanner) && scanner->depth > 0)
			note_element(scanner);
		if (at == end)
			return false;
		scanner->elements++;
		if (*at == '{' || *at == '[')
		{
			if (!open_container(scanner, at))
				return false;
			at = skip_space(at + 1, end);
			if (peek(at, end) != closing_byte(scanner))
				continue;
		}
		else
		{
			WbJsonValue value;

			at = scan_scalar(scanner, at, &value);
			if (at == NULL)
				return false;
			if (scanner->search != NULL && scanner->search->hit)
				hit_scalar(scanner->search, &value);
		}

		/* Here a value has ended, and with it perhaps containers around it. */
		for (;;)
		{
			at = skip_space(at, end);
			if (scanner->depth == 0)
				return at == end;
			if (peek(at, end) == ',')
				break;
			if (peek(at, end) != closing_byte(scanner))
				return false;
			at++;
			if (scanner->search != NULL)
				close_searched(scanner, at);
			scanner->depth--;
		}
		at++;
	}
}

static void
init_scanner(Scanner *scanner, WbSlice text, Search *search)
{
	scanner->end = (Cursor) text.data + text.len;
	scanner->depth = 0;
	scanner->storable = true;
	scanner->unicode = false;
	scanner->elements = 0;
	scanner->search = search;
	memset(scanner->is_object, 0, sizeof(scanner->is_object));
}

WbJsonKind
wb_json_classify(WbSlice text)
{
	Scanner scanner;

	if (text.len == 0 || text.len > MAX_JSONB_BYTES)
		return WB_JSON_NOT_STORABLE;
	init_scanner(&scanner, text, NULL);
	if (!scan_text(&scanner, (Cursor) text.data) || !scanner.storable)
		return WB_JSON_NOT_STORABLE;
	if (scanner.elements > (MAX_JSONB_BYTES - text.len) / ELEMENT_BYTES)
		return WB_JSON_NOT_STORABLE;
	return scanner.unicode ? WB_JSON_UNICODE : WB_JSON_ASCII;
}

bool
wb_json_find(WbSlice text, WbSlice path, WbJsonValue *value)
{
	Scanner scanner;
	Search search;

	if (text.len == 0)
		return false;
	memset(&search, 0, sizeof(search));
	search.path = wb_slice(path.len > 0 ? path.data : "", path.len);
	search.countdown = NO_INDEX;
	search.hit = true; /* the root is always on the path */
	init_scanner(&scanner, text, &search);
	if (!scan_text(&scanner, (Cursor) text.data) || !search.found)
		return false;
	*value = search.value;
	return true;
}

bool
wb_json_emit(const WbJsonValue *value, WbSink sink, void *arg)
{
	Cursor at = (Cursor) value->text.data;
	Cursor end;
	WbGather gather;

	if (value->type == WB_JSON_NULL || value->type == WB_JSON_OBJECT ||
		value->type == WB_JSON_ARRAY)
		return false;
	if (!value->has_escapes)
		return value->text.len == 0 || sink(arg, value->text.data, value->text.len);

	end = at + value->text.len;
	wb_gather_init(&gather, sink, arg);
	while (at < end)
	{
		Cursor stop = memchr(at, '\\', (size_t) (end - at));
		char bytes[4];
		uint32_t code;

		if (stop == NULL)
			stop = end;
		if (!wb_gather_put(&gather, (const char *) at, (size_t) (stop - at)))
			return false;
		if (stop == end)
			break;
		at = read_escape(stop, end, &code);
		if (at == NULL || is_surrogate(code))
			return false;
		if (!wb_gather_put(&gather, bytes, wb_utf8_encode(code, bytes)))
			return false;
	}
	return wb_gather_flush(&gather);
}
