/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What polling costs: rates between two listings, and the order of domains. */
#include "tests/unit/unit.h"

#include <stddef.h>

#include "client/xenvramctl/polling.h"

#define S_NS  1000000000ull
#define MS_NS 1000000ull
#define BEGIN (7 * S_NS)

static struct xenvram_domain domain_at(uint32_t domid, uint64_t polls, uint64_t poll_ns)
{
	return (struct xenvram_domain){
		.domid = domid, .uuid = "one", .regions = 2, .polls = polls, .poll_ns = poll_ns};
}

static void add(struct polling *polling, struct xenvram_domain domain)
{
	assert_int_equal(polling_add(polling, &domain), 0);
}

/* Two listings, two seconds apart. */
struct two {
	struct polling before;
	struct polling now;
};

static struct two two_begin(void)
{
	struct two two;
	polling_init(&two.before, BEGIN);
	polling_init(&two.now, BEGIN + 2 * S_NS);
	return two;
}

static void two_end(struct two *two)
{
	polling_deinit(&two->before);
	polling_deinit(&two->now);
}

static void test_rates_are_differences(void **state)
{
	(void)state;
	struct two two = two_begin();
	struct xenvram_domain domain = domain_at(5, 100, 70 * MS_NS);
	domain.dirty_guest_pages = 1000;
	domain.dirty_device_model_pages = 50;
	domain.dirty_forced_pages = 7;
	add(&two.before, domain);
	domain.polls += 60;
	domain.poll_ns += 30 * MS_NS;
	domain.dirty_guest_pages += 9;
	domain.dirty_device_model_pages += 4;
	domain.dirty_forced_pages += 2;
	add(&two.now, domain);

	polling_compare(&two.now, &two.before);
	assert_int_equal(two.now.n_domains, 1);
	const struct polled_domain *found = &two.now.domains[0];
	assert_true(found->has_rates);
	assert_float_equal(found->polls_per_s, 30, 1e-9);
	assert_float_equal(found->cpu_percent, 1.5, 1e-9);
	assert_float_equal(found->dirty_guest_pages_per_s, 4.5, 1e-9);
	assert_float_equal(found->dirty_device_model_pages_per_s, 2, 1e-9);
	assert_float_equal(found->dirty_forced_pages_per_s, 1, 1e-9);
	assert_int_equal(found->info.regions, 2);
	assert_string_equal(found->uuid, "one");
	two_end(&two);
}

static void assert_order(const struct polling *polling, const uint32_t *domids, size_t n)
{
	assert_int_equal(polling->n_domains, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(polling->domains[i].info.domid, domids[i]);
}

/* Most time now, not most polls, nor most time ever; a listing that has been sorted is as good as another. */
static void test_most_expensive_first(void **state)
{
	(void)state;
	static const uint32_t first_order[] = {3, 1, 2, 4}, second_order[] = {4, 1, 2, 3};
	struct polling first, second, third;

	polling_init(&first, BEGIN);
	add(&first, domain_at(1, 0, 900 * S_NS));
	add(&first, domain_at(2, 0, 0));
	add(&first, domain_at(3, 0, 0));
	add(&first, domain_at(4, 0, 0));

	polling_init(&second, BEGIN + S_NS);
	add(&second, domain_at(1, 9, 900 * S_NS + 20 * MS_NS));
	add(&second, domain_at(2, 900, 20 * MS_NS));
	add(&second, domain_at(3, 2, 50 * MS_NS));
	add(&second, domain_at(4, 5, 10 * MS_NS));
	polling_compare(&second, &first);
	assert_order(&second, first_order, 4);

	polling_init(&third, BEGIN + 2 * S_NS);
	add(&third, domain_at(1, 9, 900 * S_NS + 20 * MS_NS));
	add(&third, domain_at(2, 900, 20 * MS_NS));
	add(&third, domain_at(3, 2, 50 * MS_NS));
	add(&third, domain_at(4, 6, 11 * MS_NS));
	polling_compare(&third, &second);
	assert_order(&third, second_order, 4);
	for (size_t i = 0; i < 4; i++)
		assert_true(third.domains[i].has_rates);
	polling_deinit(&first);
	polling_deinit(&second);
	polling_deinit(&third);
}

/* Nobody knows since when the new one's counters run; who has gone is not there. */
static void test_domains_come_and_go(void **state)
{
	(void)state;
	static const uint32_t order[] = {6, 9};
	struct two two = two_begin();

	add(&two.before, domain_at(5, 10, 10 * MS_NS));
	add(&two.before, domain_at(6, 10, 10 * MS_NS));
	add(&two.now, domain_at(6, 12, 12 * MS_NS));
	add(&two.now, domain_at(9, 1000, 1000 * MS_NS));
	polling_compare(&two.now, &two.before);
	assert_order(&two.now, order, 2);
	assert_true(two.now.domains[0].has_rates);
	assert_false(two.now.domains[1].has_rates);
	assert_float_equal(two.now.domains[1].cpu_percent, 0, 1e-9);
	two_end(&two);
}

static void test_another_domain_with_the_same_domid(void **state)
{
	(void)state;
	struct two two = two_begin();
	struct xenvram_domain other = domain_at(5, 12, 12 * MS_NS);

	other.uuid = "another";
	add(&two.before, domain_at(5, 10, 10 * MS_NS));
	add(&two.now, other);
	polling_compare(&two.now, &two.before);
	assert_false(two.now.domains[0].has_rates);
	two_end(&two);
}

/* A region was destroyed, and its counts have gone with it. */
static void test_a_counter_that_goes_back(void **state)
{
	(void)state;
	static const size_t counters[] = {offsetof(struct xenvram_domain, polls),
		offsetof(struct xenvram_domain, poll_ns), offsetof(struct xenvram_domain, dirty_guest_pages),
		offsetof(struct xenvram_domain, dirty_device_model_pages),
		offsetof(struct xenvram_domain, dirty_forced_pages)};

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		struct two two = two_begin();
		struct xenvram_domain domain = {.domid = 5,
			.uuid = "one",
			.polls = 10,
			.poll_ns = 10,
			.dirty_guest_pages = 10,
			.dirty_device_model_pages = 10,
			.dirty_forced_pages = 10};
		add(&two.before, domain);
		*(uint64_t *)((char *)&domain + counters[i]) = 9;
		add(&two.now, domain);
		polling_compare(&two.now, &two.before);
		assert_false(two.now.domains[0].has_rates);
		two_end(&two);
	}
}

static void test_no_time_has_passed(void **state)
{
	(void)state;
	struct two two = two_begin();

	two.now.taken_ns = two.before.taken_ns;
	add(&two.before, domain_at(5, 10, 10));
	add(&two.now, domain_at(5, 11, 11));
	polling_compare(&two.now, &two.before);
	assert_false(two.now.domains[0].has_rates);
	two_end(&two);
}

static void test_nobody(void **state)
{
	(void)state;
	struct two two = two_begin();

	polling_compare(&two.now, &two.before);
	assert_int_equal(two.now.n_domains, 0);
	two_end(&two);
}

static void test_many(void **state)
{
	(void)state;
	struct two two = two_begin();

	for (uint32_t domid = 1; domid <= 1000; domid++) {
		add(&two.before, domain_at(domid, 0, 0));
		add(&two.now, domain_at(domid, 1, domid));
	}
	polling_compare(&two.now, &two.before);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(two.now.domains[i].info.domid, 1000 - i);
		assert_true(two.now.domains[i].has_rates);
	}
	two_end(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates_are_differences),
		cmocka_unit_test(test_most_expensive_first),
		cmocka_unit_test(test_domains_come_and_go),
		cmocka_unit_test(test_another_domain_with_the_same_domid),
		cmocka_unit_test(test_a_counter_that_goes_back),
		cmocka_unit_test(test_no_time_has_passed),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
