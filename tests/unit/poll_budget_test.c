/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>

#include "daemon/broker/poll_budget.h"

#define MAX_DEMANDS 64u

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t total(const uint64_t *demands, size_t n, uint64_t share)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += min(demands[i], share);
	return sum;
}

/* The largest share with which all together keep to the budget; nobody is starved altogether. */
static uint64_t best_share(const uint64_t *demands, size_t n, uint64_t budget)
{
	for (uint64_t share = budget; share > 1; share--) {
		if (total(demands, n, share) <= budget)
			return share;
	}
	return 1;
}

static void check(const uint64_t *demands, size_t n, uint32_t budget, uint64_t expected)
{
	uint64_t sorted[MAX_DEMANDS];
	if (n > 0)
		memcpy(sorted, demands, n * sizeof(*demands));
	assert_int_equal(poll_budget_share(n > 0 ? sorted : NULL, n, budget), expected);
}

static void test_all_small_cases(void **state)
{
	enum { N = 4, LARGEST = 7, BUDGETS = 20 };
	uint64_t demands[N];
	(void)state;

	for (size_t n = 0; n <= N; n++) {
		for (unsigned int i = 0; i < 1u << (3 * n); i++) {
			for (size_t k = 0; k < n; k++)
				demands[k] = i >> (3 * k) & LARGEST;
			for (uint32_t budget = 1; budget <= BUDGETS; budget++)
				check(demands, n, budget, best_share(demands, n, budget));
		}
	}
}

/* As many domains as there may be, from those that cost nothing to those that could fill a host. */
static void test_random_cases(void **state)
{
	uint64_t demands[MAX_DEMANDS], random = 29;
	(void)state;

	for (unsigned int round = 0; round < 20000; round++) {
		size_t n = 1 + next_random(&random) % MAX_DEMANDS;
		uint32_t budget = MAX_DEMANDS + next_random(&random) % 1000000;
		for (size_t i = 0; i < n; i++)
			demands[i] = next_random(&random) % (1ull << (1 + next_random(&random) % 40));
		uint64_t sorted[MAX_DEMANDS];
		memcpy(sorted, demands, sizeof(sorted));
		uint64_t share = poll_budget_share(sorted, n, budget);
		assert_in_range(share, 1, budget);
		assert_true(total(demands, n, share) <= budget);
		/* Nothing is left over that somebody wants, but for what cannot be divided. */
		if (share < budget)
			assert_true(total(demands, n, share + 1) > budget);
		/* Whoever wants no more than an equal part has what it wants. */
		assert_true(share >= budget / n);
	}
}

static void test_small_demands_are_unharmed(void **state)
{
	(void)state;
	static const uint64_t demands[] = {1000, 900000, 2000, 700000, 3000};
	check(demands, 5, 250000, 122000);
	static const uint64_t fitting[] = {100000, 150000};
	check(fitting, 2, 250000, 250000);
	check(fitting, 2, 249999, 149999);
	static const uint64_t greedy[] = {UINT64_MAX};
	check(greedy, 1, 250000, 250000);
	check(NULL, 0, 250000, 250000);
}

static void test_demand(void **state)
{
	(void)state;
	assert_int_equal(poll_budget_demand(0, 1000), 0);
	assert_int_equal(poll_budget_demand(1000000, 1000), 1000000);
	assert_int_equal(poll_budget_demand(1000000, 10000), 100000);
	assert_int_equal(poll_budget_demand(33000, 33000), 1000);
	assert_int_equal(poll_budget_demand(5000000000, 1), 5000000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_small_cases),
		cmocka_unit_test(test_random_cases),
		cmocka_unit_test(test_small_demands_are_unharmed),
		cmocka_unit_test(test_demand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
