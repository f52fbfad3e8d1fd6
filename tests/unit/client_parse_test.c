/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers and names on the command line: exact, or refused. */
#include "tests/unit/unit.h"

#include "client/xenvramctl/names.h"
#include "client/xenvramctl/parse.h"

static void assert_number(const char *text, uint64_t expected)
{
	uint64_t number = ~expected;
	assert_true(parse_number(text, UINT64_MAX, &number));
	assert_int_equal(number, expected);
}

static void assert_no_number(const char *text)
{
	uint64_t number = 7;
	if (parse_number(text, UINT64_MAX, &number))
		fail_msg("\"%s\" was taken for a number", text);
	assert_int_equal(number, 7);
}

static void numbers_are_decimal_or_hex(void **state)
{
	(void)state;
	assert_number("0", 0);
	assert_number("42", 42);
	assert_number("010", 10);
	assert_number("0x10", 16);
	assert_number("0XfF", 255);
	assert_number("18446744073709551615", UINT64_MAX);
	assert_number("0xffffffffffffffff", UINT64_MAX);
	assert_number("0x0000000000000000000000001", 1);
}

static void what_is_no_number_is_refused(void **state)
{
	static const char *const texts[] = {"", " ", "-1", "+1", " 1", "1 ", "1k", "0x", "0xg", "1.0", "1e3",
		"x1", "ff", "0x-1", "0x 1", "1\n", "18446744073709551616", "0x10000000000000000",
		"99999999999999999999999999"};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_no_number(texts[i]);
}

static void numbers_above_the_maximum_are_refused(void **state)
{
	uint64_t number = 7;
	(void)state;
	assert_true(parse_number("10", 10, &number));
	assert_int_equal(number, 10);
	assert_false(parse_number("11", 10, &number));
	assert_false(parse_number("0xb", 10, &number));
	assert_int_equal(number, 10);
}

static void cache_attrs_go_both_ways(void **state)
{
	(void)state;
	for (int i = XENVRAM_CACHE_WB; i <= XENVRAM_CACHE_WP; i++) {
		enum xenvram_cache_attr cache_attr;
		assert_true(parse_cache_attr(name_of_cache_attr((enum xenvram_cache_attr)i), &cache_attr));
		assert_int_equal(cache_attr, i);
	}
	enum xenvram_cache_attr cache_attr;
	assert_false(parse_cache_attr("WB", &cache_attr));
	assert_false(parse_cache_attr("", &cache_attr));
	assert_false(parse_cache_attr("unknown", &cache_attr));
}

static void values_of_a_newer_service_have_a_name(void **state)
{
	(void)state;
	assert_string_equal(name_of_region_state((enum xenvram_region_state)77), "unknown");
	assert_string_equal(name_of_view_state((enum xenvram_view_state) - 1), "unknown");
	assert_string_equal(name_of_cache_attr((enum xenvram_cache_attr)6), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_decimal_or_hex),
		cmocka_unit_test(what_is_no_number_is_refused),
		cmocka_unit_test(numbers_above_the_maximum_are_refused),
		cmocka_unit_test(cache_attrs_go_both_ways),
		cmocka_unit_test(values_of_a_newer_service_have_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
