/*-------------------------------------------------------------------------
 *
 * test_timestamp.c
 *	  Unit tests of timestamp.c.
 *
 *-------------------------------------------------------------------------
 */
#include "timestamp.h"
#include "unit.h"

#define LENGTH_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

typedef struct TimeCase
{
	WbTimeFormat format;
	const char *text;
	int64_t unix_us; /* -1: not a time */
} TimeCase;

static const TimeCase time_cases[] = {
	{WB_TIME_SECONDS, "0", 0},
	{WB_TIME_SECONDS, "1700000000", INT64_C(1700000000000000)},
	{WB_TIME_SECONDS, "0001", 1000000},
	{WB_TIME_SECONDS, "253402300799", INT64_C(253402300799000000)},
	{WB_TIME_SECONDS, "253402300800", -1},
	{WB_TIME_SECONDS, "99999999999999999999999999", -1},
	{WB_TIME_SECONDS, "", -1},
	{WB_TIME_SECONDS, "-1", -1},
	{WB_TIME_SECONDS, "+1", -1},
	{WB_TIME_SECONDS, " 1", -1},
	{WB_TIME_SECONDS, "1 ", -1},
	{WB_TIME_SECONDS, "1.5", -1},
	{WB_TIME_SECONDS, "1e9", -1},
	{WB_TIME_SECONDS, "0x10", -1},
	{WB_TIME_SECONDS, "2023-11-14T22:13:20Z", -1},
	{WB_TIME_MILLISECONDS, "1700000000123", INT64_C(1700000000123000)},
	{WB_TIME_MILLISECONDS, "253402300799999", INT64_C(253402300799999000)},
	{WB_TIME_MILLISECONDS, "253402300800000", -1},
	{WB_TIME_MILLISECONDS, "1.5", -1},
	{WB_TIME_ISO8601, "1970-01-01T00:00:00Z", 0},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20Z", INT64_C(1700000000000000)},
	{WB_TIME_ISO8601, "2023-11-14t22:13:20z", INT64_C(1700000000000000)},
	{WB_TIME_ISO8601, "2023-11-14 22:13:20Z", INT64_C(1700000000000000)},
	{WB_TIME_ISO8601, "2023-11-15T00:13:20+02:00", INT64_C(1700000000000000)},
	{WB_TIME_ISO8601, "2023-11-14T16:43:20-05:30", INT64_C(1700000000000000)},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20.5Z", INT64_C(1700000000500000)},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20.05Z", INT64_C(1700000000050000)},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20.9-00:00", INT64_C(1700000000900000)},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20./Z", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20.:Z", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20.123456Z", INT64_C(1700000000123456)},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20.123456999999999999+00:00", INT64_C(1700000000123456)},
	{WB_TIME_ISO8601, "2000-02-29T00:00:00Z", INT64_C(951782400000000)},
	{WB_TIME_ISO8601, "2000-03-01T00:00:00Z", INT64_C(951868800000000)},
	{WB_TIME_ISO8601, "2024-02-29T12:00:00Z", INT64_C(1709208000000000)},
	{WB_TIME_ISO8601, "2100-03-01T00:00:00Z", INT64_C(4107542400000000)},
	{WB_TIME_ISO8601, "2016-12-31T23:59:60Z", INT64_C(1483228800000000)},
	{WB_TIME_ISO8601, "9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999)},
	{WB_TIME_ISO8601, "9999-12-31T23:59:59-00:01", -1},
	{WB_TIME_ISO8601, "1969-12-31T23:59:59Z", -1},
	{WB_TIME_ISO8601, "1970-01-01T00:00:00+00:01", -1},
	{WB_TIME_ISO8601, "1969-12-31T23:59:00-00:01", 0},
	{WB_TIME_ISO8601, "0000-01-01T00:00:00Z", -1},
	{WB_TIME_ISO8601, "2023-02-29T00:00:00Z", -1},
	{WB_TIME_ISO8601, "2100-02-29T00:00:00Z", -1},
	{WB_TIME_ISO8601, "2023-00-14T00:00:00Z", -1},
	{WB_TIME_ISO8601, "2023-13-14T00:00:00Z", -1},
	{WB_TIME_ISO8601, "2023-11-00T00:00:00Z", -1},
	{WB_TIME_ISO8601, "2023-11-31T00:00:00Z", -1},
	{WB_TIME_ISO8601, "2023-11-14T24:00:00Z", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:60:00Z", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:61Z", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20.Z", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20,5Z", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20ZZ", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20+0200", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20+02", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20+24:00", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20+02:60", -1},
	{WB_TIME_ISO8601, "2023-11-14T22:13:20 Z", -1},
	{WB_TIME_ISO8601, "2023-11-14", -1},
	{WB_TIME_ISO8601, "23-11-14T22:13:20Z", -1},
	{WB_TIME_ISO8601, "2023/11/14T22:13:20Z", -1},
	{WB_TIME_ISO8601, "+023-11-14T22:13:20Z", -1},
	{WB_TIME_ISO8601, "2023-1 -14T22:13:20Z", -1},
	{WB_TIME_ISO8601, "1700000000", -1},
	{WB_TIME_ISO8601, "", -1},
};

static void
test_times(void)
{
	WbTimeFormat format;
	int64_t unix_us;

	for (int i = 0; i < LENGTH_OF(time_cases); i++)
	{
		const TimeCase *time_case = &time_cases[i];
		size_t len = strlen(time_case->text);

		for (size_t cut = 0; cut <= len; cut++)
		{
			char *copy = guarded(time_case->text, cut);
			bool parsed = wb_time_parse(wb_slice(copy, cut), time_case->format, &unix_us);

			unit_case("%.*s", (int) cut, time_case->text);
			if (cut == len)
				CHECK_INT(parsed ? unix_us : -1, time_case->unix_us);
			else if (time_case->format == WB_TIME_ISO8601)
				CHECK(!parsed || cut == len - 1);
			guarded_free(copy);
		}
	}
	/* a NUL is no separator */
	CHECK(!wb_time_parse(wb_slice("2023\0"
								  "11-14T22:13:20Z",
								  20),
						 WB_TIME_ISO8601, &unix_us));
	CHECK(wb_time_format_parse(wb_slice_cstring("s"), &format) && format == WB_TIME_SECONDS);
	CHECK(wb_time_format_parse(wb_slice_cstring("ms"), &format) && format == WB_TIME_MILLISECONDS);
	CHECK(wb_time_format_parse(wb_slice_cstring("iso8601"), &format) && format == WB_TIME_ISO8601);
	CHECK(!wb_time_format_parse(wb_slice_cstring("S"), &format));
	CHECK(!wb_time_format_parse(wb_slice_cstring(""), &format));
}

int
main(void)
{
	RUN(test_times);
	return unit_finish();
}
