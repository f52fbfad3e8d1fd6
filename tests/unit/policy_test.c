/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>

#include "daemon/broker/policy.h"

static struct settings settings;
static struct failure failure;

static int reset(void **state)
{
	(void)state;
	settings_init(&settings);
	strcpy(settings.file, "/test.conf");
	memset(&failure, 0, sizeof(failure));
	return 0;
}

static void assert_limit(int result, const char *text)
{
	assert_int_equal(result, -1);
	assert_int_equal(failure.status, XENVRAM__V1__STATUS__LIMIT);
	assert_int_equal(failure.os_error, EDQUOT);
	assert_string_equal(failure.text, text);
}

static void test_refusal_says_everything(void **state)
{
	(void)state;
	assert_limit(policy_admit(&settings, POLICY(regions_per_domain), "domain 5", 16, 1, &failure),
		"domain 5 has 16 regions and asks for 1 more; at most 16 are allowed by regions-per-domain "
		"of "
		"[limits] in /test.conf, which is as high as it can be");
	settings.regions_per_domain = 3;
	assert_limit(policy_admit(&settings, POLICY(regions_per_domain), "domain 5", 3, 1, &failure),
		"domain 5 has 3 regions and asks for 1 more; at most 3 are allowed by regions-per-domain of "
		"[limits] in /test.conf, which can be raised to 16");
}

/* Every limit there is, at its edges; wherever the numbers come from, they do not wrap. */
static void test_every_limit(void **state)
{
	(void)state;
	for (size_t i = 0; i < SETTINGS_N_NUMBERS; i++) {
		const struct setting *limit = &settings_numbers[i];
		uint32_t max = 5;
		settings_set(&settings, limit, max);
		for (uint64_t used = 0; used < 8; used++) {
			for (uint64_t wanted = 1; wanted < 8; wanted++)
				assert_int_equal(policy_admit(&settings, limit, "x", used, wanted, &failure),
					used + wanted <= max ? 0 : -1);
			assert_int_equal(policy_admit(&settings, limit, "x", used, UINT64_MAX, &failure), -1);
		}
		assert_int_equal(policy_admit(&settings, limit, "x", UINT64_MAX, 1, &failure), -1);
		assert_non_null(strstr(failure.text, limit->key));
		assert_ptr_equal(settings_number_at(limit->offset), limit);
	}
	assert_null(settings_number_at(sizeof(struct settings)));
}

static void test_rate(void **state)
{
	(void)state;
	struct bucket bucket = {0};
	settings.guest_pauses_per_second = 2;
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(policy_admit_rate(&settings, POLICY(guest_pauses_per_second), "domain 5",
					 &bucket, 0, &failure),
			0);
	assert_limit(policy_admit_rate(
			     &settings, POLICY(guest_pauses_per_second), "domain 5", &bucket, 0, &failure),
		"domain 5 has used up its requests that may pause the guest, 2 a second by "
		"guest-pauses-per-second of [limits] in /test.conf, which can be raised to 250; the next is "
		"in "
		"501 ms");
	assert_int_equal(policy_admit_rate(&settings, POLICY(guest_pauses_per_second), "domain 5", &bucket,
				 500000000, &failure),
		0);
}

static void test_regions(void **state)
{
	(void)state;
	struct region_usage usage = {.regions = 10, .domain_regions = 2, .domain_pages = 100};
	settings.regions = 11;
	settings.regions_per_domain = 3;
	settings.pages_per_domain = 200;
	assert_int_equal(policy_admit_region(&settings, 5, &usage, 100, &failure), 0);
	assert_int_equal(policy_admit_region(&settings, 5, &usage, 101, &failure), -1);
	assert_non_null(strstr(failure.text, "domain 5 has 100 pages and asks for 101 more"));
	usage.regions = 11;
	assert_int_equal(policy_admit_region(&settings, 5, &usage, 100, &failure), -1);
	assert_non_null(strstr(failure.text, "this host has 11 regions"));
	usage.domain_regions = 3;
	assert_int_equal(policy_admit_region(&settings, 5, &usage, 100, &failure), -1);
	assert_non_null(strstr(failure.text, "domain 5 has 3 regions"));
}

static int admit_gfns(uint64_t first, uint64_t nr_pages)
{
	return policy_admit_gfns(&settings, &settings.vram, "vram", 5, first, nr_pages, &failure);
}

static void test_windows(void **state)
{
	(void)state;
	assert_int_equal(admit_gfns(0, 1), 0);
	assert_int_equal(admit_gfns(MAX_GFN - 1, 1), 0);

	settings.vram = (struct window_list){2, {{0x100, 0x1ff}, {0x300, 0x300}}};
	for (uint64_t first = 0xfe; first < 0x303; first++) {
		for (uint64_t nr_pages = 1; nr_pages < 0x104; nr_pages++) {
			uint64_t last = first + nr_pages - 1;
			bool inside = (first >= 0x100 && last <= 0x1ff) || (first == 0x300 && last == 0x300);
			assert_int_equal(admit_gfns(first, nr_pages), inside ? 0 : -1);
		}
	}
	assert_int_equal(admit_gfns(0x100, MAX_GFN), -1);
	assert_int_equal(failure.status, XENVRAM__V1__STATUS__PERMISSION_DENIED);
	assert_int_equal(failure.os_error, EPERM);
	assert_int_equal(admit_gfns(0x200, 16), -1);
	assert_string_equal(failure.text,
		"domain 5: vram 0x200 + 16 pages lies in none of the 2 windows that vram of [gfns] in "
		"/test.conf allows");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_refusal_says_everything, reset),
		cmocka_unit_test_setup(test_every_limit, reset),
		cmocka_unit_test_setup(test_rate, reset),
		cmocka_unit_test_setup(test_regions, reset),
		cmocka_unit_test_setup(test_windows, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
