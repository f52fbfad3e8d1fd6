/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include "daemon/broker/bucket.h"

#define MS 1000000ull

static struct buckets buckets;

static int empty(void **state)
{
	(void)state;
	buckets = (struct buckets){0};
	return 0;
}

static void test_burst_then_rate(void **state)
{
	(void)state;
	static const struct rate rate = {.per_second = 10, .burst = 3};
	uint64_t now = 5000 * MS;
	struct bucket *bucket = buckets_get(&buckets, 7, now);

	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(bucket_take(bucket, &rate, now), 0);
	assert_int_equal(bucket_take(bucket, &rate, now), 100 * MS);
	/* What is refused costs nothing. */
	assert_int_equal(bucket_take(bucket, &rate, now + 60 * MS), 40 * MS);
	assert_int_equal(bucket_take(bucket, &rate, now + 100 * MS), 0);
	assert_int_equal(bucket_take(bucket, &rate, now + 100 * MS), 100 * MS);
	/* Full again, and never fuller. */
	now += 100000 * MS;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(bucket_take(bucket, &rate, now), 0);
	assert_int_equal(bucket_take(bucket, &rate, now), 100 * MS);
}

/* Over any time no more than the burst and what the rate gives, whatever the pattern. */
static void test_never_more(void **state)
{
	(void)state;
	static const struct rate rate = {.per_second = 50, .burst = 20};
	uint64_t random = 42, now = 0, n_taken = 0, n_asked = 0;
	struct bucket *bucket = buckets_get(&buckets, 7, now);

	for (unsigned int i = 0; i < 100000; i++) {
		now += next_random(&random) % (20 * MS);
		n_asked++;
		n_taken += bucket_take(bucket, &rate, now) == 0;
		assert_true(n_taken <= 20 + now / (20 * MS));
	}
	assert_true(n_taken < n_asked);
	/* And no less than that, but for a rounding. */
	assert_true(n_taken + 1 >= now / (20 * MS));
}

static void test_lowered_limit(void **state)
{
	(void)state;
	static const struct rate high = {.per_second = 100, .burst = 200},
				 low = {.per_second = 1, .burst = 2};
	struct bucket *bucket = buckets_get(&buckets, 7, 0);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(bucket_take(bucket, &high, 0), 0);
	assert_int_equal(bucket_take(bucket, &low, 0), 1000 * MS);
	assert_int_equal(bucket_take(bucket, &low, 1000 * MS), 0);
}

static void test_each_has_its_own(void **state)
{
	(void)state;
	static const struct rate rate = {.per_second = 1, .burst = 1};
	for (uint32_t key = 0; key < MAX_BUCKETS; key++)
		assert_int_equal(bucket_take(buckets_get(&buckets, key, 0), &rate, 0), 0);
	for (uint32_t key = 0; key < MAX_BUCKETS; key++)
		assert_int_not_equal(bucket_take(buckets_get(&buckets, key, 0), &rate, 0), 0);
}

static void test_wide_keys(void **state)
{
	(void)state;
	static const struct rate rate = {.per_second = 1, .burst = 1};
	for (unsigned int bit = 0; bit < 64; bit++)
		assert_int_equal(bucket_take(buckets_get(&buckets, UINT64_C(1) << bit, 0), &rate, 0), 0);
}

/* The one that has least to remember. */
static void test_the_fullest_is_forgotten(void **state)
{
	(void)state;
	static const struct rate rate = {.per_second = 1, .burst = 10};
	for (uint32_t key = 0; key < MAX_BUCKETS; key++) {
		struct bucket *bucket = buckets_get(&buckets, key, 0);
		for (unsigned int i = 0; i < (key == 77 ? 1u : 2u); i++)
			bucket_take(bucket, &rate, 0);
	}
	struct bucket *added = buckets_get(&buckets, 1000000, 0);
	assert_int_equal(added->key, 1000000);
	assert_int_equal(added->suppressed, 0);
	for (uint32_t key = 0; key < MAX_BUCKETS; key++) {
		if (key != 77)
			assert_int_equal(buckets_get(&buckets, key, 0)->full_ns, 2000 * MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_burst_then_rate, empty),
		cmocka_unit_test_setup(test_never_more, empty),
		cmocka_unit_test_setup(test_lowered_limit, empty),
		cmocka_unit_test_setup(test_each_has_its_own, empty),
		cmocka_unit_test_setup(test_wide_keys, empty),
		cmocka_unit_test_setup(test_the_fullest_is_forgotten, empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
