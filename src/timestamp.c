/*-------------------------------------------------------------------------
 *
 * timestamp.c
 *	  Reads the points in time that providers send.
 *
 * It does not read the clock and knows no time zones by name.  Nothing is
 * kept or allocated; all functions are re-entrant.
 *
 *-------------------------------------------------------------------------
 */
#include "timestamp.h"

#define END_OF_TIME INT64_C(253402300800) /* 10000-01-01, in Unix seconds */

bool
wb_time_format_parse(WbSlice text, WbTimeFormat *format)
{
	/* In the order of WbTimeFormat. */
	static const char *const names[] = {"s", "ms", "iso8601"};

	for (int i = 0; i < (int) (sizeof(names) / sizeof(names[0])); i++)
	{
		if (wb_slice_equal(text, wb_slice_cstring(names[i])))
		{
			*format = (WbTimeFormat) i;
			return true;
		}
	}
	return false;
}

/* Reads a number of decimal digits, no more than a limit. */
static bool
parse_decimal(WbSlice text, int64_t limit, int64_t *number)
{
	int64_t value = 0;

	if (text.len == 0)
		return false;
	for (size_t i = 0; i < text.len; i++)
	{
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		value = value * 10 + (text.data[i] - '0');
		if (value > limit)
			return false;
	}
	*number = value;
	return true;
}

/*
 * Takes a number of so many digits and the separator behind it, one of those
 * given or none if none is given, off a text.
 */
static bool
take_field(WbSlice *text, size_t digits, const char *separators, int64_t limit, int64_t *number)
{
	size_t separator_count = strlen(separators);
	size_t len = digits + (separator_count > 0);

	if (text->len < len || !parse_decimal(wb_slice(text->data, digits), limit, number))
		return false;
	if (separator_count > 0 && memchr(separators, text->data[digits], separator_count) == NULL)
		return false;
	text->data += len;
	text->len -= len;
	return true;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar; false if none. */
static bool
count_days(int64_t year, int64_t month, int64_t day, int64_t *days)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	int64_t past = year - 1;

	if (month < 1 || day < 1 || year < 1 ||
		day > month_days[month - 1] + (month == 2 && is_leap))
		return false;
	/* 719162 days lie between 0001-01-01 and 1970-01-01. */
	*days = past * 365 + past / 4 - past / 100 + past / 400 - 719162 + day - 1;
	for (int64_t i = 1; i < month; i++)
		*days += month_days[i - 1] + (i == 2 && is_leap);
	return true;
}

/* Takes a fraction of a second off a text, in microseconds, rounded down. */
static int64_t
take_fraction(WbSlice *text)
{
	int64_t us = 0;
	int64_t weight = 100000;
	size_t i = 1;

	if (text->len < 2 || text->data[0] != '.' || text->data[1] < '0' || text->data[1] > '9')
		return 0;
	for (; i < text->len && text->data[i] >= '0' && text->data[i] <= '9'; i++)
	{
		us += weight * (text->data[i] - '0');
		weight /= 10;
	}
	text->data += i;
	text->len -= i;
	return us;
}

/* Takes "Z" or "+hh:mm" off a text, in minutes east of Greenwich. */
static bool
take_zone(WbSlice *text, int64_t *minutes_east)
{
	char sign = text->len > 0 ? text->data[0] : '\0';
	int64_t hours;
	int64_t minutes;

	*minutes_east = 0;
	if (sign != 'Z' && sign != 'z' && sign != '+' && sign != '-')
		return false;
	text->data++;
	text->len--;
	if (sign == 'Z' || sign == 'z')
		return true;
	if (!take_field(text, 2, ":", 23, &hours) || !take_field(text, 2, "", 59, &minutes))
		return false;
	*minutes_east = (hours * 60 + minutes) * (sign == '-' ? -1 : 1);
	return true;
}

/* RFC 3339, section 5.6; a second of 60 is the first one of the next minute. */
static bool
parse_iso8601(WbSlice text, int64_t *unix_us)
{
	int64_t year, month, day, hour, minute, second;
	int64_t days, us, minutes_east;

	if (!take_field(&text, 4, "-", 9999, &year) ||
		!take_field(&text, 2, "-", 12, &month) ||
		!take_field(&text, 2, "Tt ", 31, &day) ||
		!take_field(&text, 2, ":", 23, &hour) ||
		!take_field(&text, 2, ":", 59, &minute) ||
		!take_field(&text, 2, "", 60, &second) ||
		!count_days(year, month, day, &days))
		return false;
	us = take_fraction(&text);
	if (!take_zone(&text, &minutes_east) || text.len > 0)
		return false;
	second += ((days * 24 + hour) * 60 + minute - minutes_east) * 60;
	*unix_us = second * 1000000 + us;
	return second >= 0 && second < END_OF_TIME;
}

bool
wb_time_parse(WbSlice text, WbTimeFormat format, int64_t *unix_us)
{
	int64_t number;

	switch (format)
	{
		case WB_TIME_SECONDS:
			if (!parse_decimal(text, END_OF_TIME - 1, &number))
				return false;
			*unix_us = number * 1000000;
			return true;
		case WB_TIME_MILLISECONDS:
			if (!parse_decimal(text, END_OF_TIME * 1000 - 1, &number))
				return false;
			*unix_us = number * 1000;
			return true;
		case WB_TIME_ISO8601:
			return parse_iso8601(text, unix_us);
	}
	return false;
}
