/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "daemon/supervisor/file_limit.h"

static void test_needed(void **state)
{
	struct settings settings;

	(void)state;
	settings_init(&settings);
	settings.connections = 10;
	settings.subscriptions_per_connection = 5;
	settings.regions = 3;
	settings.subscriptions_per_domain = 100;
	assert_int_equal(file_limit_needed(&settings), 4 * (10 + 50 + 2 * (3 + 80)));
	/* No more domains can be followed than have regions. */
	settings.subscriptions_per_domain = 7;
	assert_int_equal(file_limit_needed(&settings), 4 * (10 + 21 + 2 * (3 + 80)));
}

/* The unit sets what the caps need, and says how that comes about. */
static void test_the_unit(void **state)
{
	static char text[16384];
	char line[64];
	struct settings settings;
	FILE *file = fopen(UNIT_PATH, "r");

	(void)state;
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	settings_init(&settings);
	snprintf(line, sizeof(line), "\nLimitNOFILE=%u\n", (unsigned int)file_limit_needed(&settings));
	assert_non_null(strstr(text, line));
	snprintf(line, sizeof(line), "%u * (%u + %u * %u + 2 * (%u + %u * %u))", FILE_LIMIT_BY_KEPT,
		MAX_CONNECTIONS, MAX_CONNECTIONS, MAX_SUBSCRIPTIONS_PER_CONNECTION, MAX_REGIONS,
		MAX_CONNECTIONS, MAX_TRACKED_RANGES_PER_DOMAIN);
	assert_non_null(strstr(text, line));
}

static void test_raising(void **state)
{
	struct rlimit limit, before;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){32, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(file_limit_raise(), before.rlim_max);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(limit.rlim_cur, before.rlim_max);
	restore_fd_limit(&before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_needed),
		cmocka_unit_test(test_the_unit),
		cmocka_unit_test(test_raising),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
