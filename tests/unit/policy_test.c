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
		"of [limits], which is as high as this build allows, in /test.conf");
	settings.regions_per_domain = 3;
	assert_limit(policy_admit(&settings, POLICY(regions_per_domain), "domain 5", 3, 1, &failure),
		"domain 5 has 3 regions and asks for 1 more; at most 3 are allowed by regions-per-domain of "
		"[limits], which can be raised to 16; change and reload /test.conf");
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
		"domain 5 has made 4 requests that may pause the guest, as many as may come at once, and the "
		"next may "
		"come in 501 ms; at most 2 a second are allowed by guest-pauses-per-second of [limits], "
		"which can be "
		"raised to 250; change and reload /test.conf");
	assert_int_equal(policy_admit_rate(&settings, POLICY(guest_pauses_per_second), "domain 5", &bucket,
				 500000000, &failure),
		0);
}

static void test_fixed(void **state)
{
	(void)state;
	const struct fixed_limit *limit = POLICY_FIXED(MAX_RAW_MOVES_PER_DOMAIN, "moves", "wait for one");
	assert_int_equal(policy_admit_fixed(limit, "domain 5", 3, 1, &failure), 0);
	assert_limit(policy_admit_fixed(limit, "domain 5", 3, 2, &failure),
		"domain 5 has 3 moves and asks for 2 more; at most 4 are allowed by "
		"MAX_RAW_MOVES_PER_DOMAIN, "
		"which is fixed in this build: wait for one");
	assert_int_equal(policy_admit_fixed(limit, "domain 5", UINT64_MAX, 1, &failure), -1);
}

/* What is open is counted, and what is reserved is none of it. */
static void test_connections(void **state)
{
	(void)state;
	settings.connections = MIN_CONNECTIONS_FOR_ROOT + 2;
	assert_int_equal(policy_admit_connection(&settings, 1000, 1, &failure), 0);
	assert_limit(policy_admit_connection(&settings, 1000, 2, &failure),
		"uid 1000: this host has 2 connections and asks for 1 more; at most 2 are allowed, with 8 "
		"more "
		"reserved for root, by connections of [limits], which can be raised to 512; change and "
		"reload "
		"/test.conf");
	assert_int_equal(policy_admit_connection(&settings, 0, 9, &failure), 0);
	assert_limit(policy_admit_connection(&settings, 0, 10, &failure),
		"uid 0: this host has 10 connections and asks for 1 more; at most 10 are allowed by "
		"connections of "
		"[limits], which can be raised to 512; change and reload /test.conf");
}

/* The longest there are: of the path alone the end may be missing. */
static void test_long_path(void **state)
{
	(void)state;
	struct bucket bucket = {0};

	memset(settings.file, '/', sizeof(settings.file) - 1);
	settings.connections--;
	policy_admit_connection(&settings, UINT32_MAX, UINT32_MAX, &failure);
	assert_non_null(strstr(failure.text, "raised to 512; change and reload //"));
	settings.guest_pauses_per_second--;
	while (policy_admit_rate(
		       &settings, POLICY(guest_pauses_per_second), "domain 32751", &bucket, 0, &failure) == 0)
		;
	assert_non_null(strstr(failure.text, "raised to 250; change and reload //"));
	settings.vram.n = MAX_GFN_WINDOWS;
	for (unsigned int i = 0; i < MAX_GFN_WINDOWS; i++)
		settings.vram.windows[i] = (struct gfn_window){MAX_GFN - 1, MAX_GFN};
	policy_admit_gfns(
		&settings, &settings.vram, "backing", MAX_DOMID, MAX_GFN, MAX_REGION_PAGES, &failure);
	assert_non_null(strstr(failure.text, "to allow more, change and reload //"));
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
	assert_non_null(
		strstr(failure.text, "domain 5: this host has 11 regions and asks for 1 more; at most 11 "));
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
		"domain 5: vram 0x200 + 16 pages lies in none of the 2 windows that vram of [gfns] allows, "
		"0x100-0x1ff, 0x300-0x300; to allow more, change and reload /test.conf");

	settings.vram.n = MAX_GFN_WINDOWS;
	assert_int_equal(admit_gfns(0x200, 16), -1);
	assert_non_null(
		strstr(failure.text, "the 8 windows that vram of [gfns] allows, 0x100-0x1ff, 0x300-0x300, "
				     "0x0-0x0 and 5 more; to allow"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_refusal_says_everything, reset),
		cmocka_unit_test_setup(test_every_limit, reset),
		cmocka_unit_test_setup(test_rate, reset),
		cmocka_unit_test_setup(test_fixed, reset),
		cmocka_unit_test_setup(test_connections, reset),
		cmocka_unit_test_setup(test_long_path, reset),
		cmocka_unit_test_setup(test_regions, reset),
		cmocka_unit_test_setup(test_windows, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
