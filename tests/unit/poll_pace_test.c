/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include "daemon/worker/poll_pace.h"
#include "proto/limits.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           1000000ull /* in nanoseconds */
#define PPM          1000000ull
#define START        (3600 * 1000 * MS)

static const uint64_t costs_ns[] = {0, 1, 999, 30000, MS / 2, 5 * MS, 80 * MS, 3000 * MS};
static const uint32_t shares_ppm[] = {1, 100, 10000, 250000, 499999, 500000, 500001, 1000000};
static const uint64_t wanted_ns[] = {1 * MS, 10 * MS, 33 * MS, 70 * MS, 200 * MS, 10000 * MS};

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What readers get who want this, while nothing changes. */
static uint64_t idle_ns(uint64_t wanted, uint32_t factor)
{
	uint64_t longest = MAX_IDLE_PERIOD_US * 1000ull;
	return max(wanted, wanted * factor < longest ? wanted * factor : longest);
}

static struct poll_pace pace_of(uint32_t share_ppm, uint64_t cost_ns, uint32_t idle_factor)
{
	struct poll_pace pace;
	poll_pace_init(&pace, share_ppm);
	assert_int_equal(pace.idle_factor, 1);
	poll_pace_polled(&pace, START, START + cost_ns, START + cost_ns, true);
	pace.idle_factor = idle_factor;
	return pace;
}

/* ---- the period ---- */

static void check_period(const struct poll_pace *pace, uint64_t wanted)
{
	uint64_t by_reason[] = {
		[REGION_LOG_AS_WANTED] = wanted,
		[REGION_LOG_STRETCHED_IDLE] = idle_ns(wanted, pace->idle_factor),
		[REGION_LOG_STRETCHED_BUDGET] = pace->cost_ns * PPM / pace->share_ppm,
		[REGION_LOG_STRETCHED_GUEST] = 2 * pace->cost_ns,
	};
	uint64_t longest = 0;
	for (size_t i = 0; i < COUNT(by_reason); i++)
		longest = max(longest, by_reason[i]);
	struct poll_period period = poll_pace_period(pace, wanted);
	assert_int_equal(period.ns, longest);
	assert_in_range(period.stretch, 0, COUNT(by_reason) - 1);
	assert_int_equal(by_reason[period.stretch], longest);
	assert_int_equal(period.stretch == REGION_LOG_AS_WANTED, longest == wanted);
	/* When both the host and the guest want it longer, the one that wants more is named. */
	if (period.stretch == REGION_LOG_STRETCHED_GUEST)
		assert_true(pace->share_ppm > PPM / 2);
}

static void test_period(void **state)
{
	(void)state;
	for (size_t c = 0; c < COUNT(costs_ns); c++)
		for (size_t s = 0; s < COUNT(shares_ppm); s++)
			for (uint32_t factor = 1; factor <= MAX_IDLE_FACTOR; factor *= 2) {
				struct poll_pace pace = pace_of(shares_ppm[s], costs_ns[c], factor);
				for (size_t w = 0; w < COUNT(wanted_ns); w++)
					check_period(&pace, wanted_ns[w]);
			}
}

static void test_each_reason(void **state)
{
	(void)state;
	struct poll_pace pace = pace_of(250000, 1 * MS, 1);
	assert_int_equal(poll_pace_period(&pace, 10 * MS).ns, 10 * MS);
	assert_int_equal(poll_pace_period(&pace, 10 * MS).stretch, REGION_LOG_AS_WANTED);
	pace.idle_factor = 2;
	assert_int_equal(poll_pace_period(&pace, 10 * MS).ns, 20 * MS);
	assert_int_equal(poll_pace_period(&pace, 10 * MS).stretch, REGION_LOG_STRETCHED_IDLE);
	/* Whoever wants it rarely anyway is not kept waiting even longer. */
	assert_int_equal(poll_pace_period(&pace, 10000 * MS).ns, 10000 * MS);
	assert_int_equal(poll_pace_period(&pace, 10000 * MS).stretch, REGION_LOG_AS_WANTED);
	pace = pace_of(50000, 1 * MS, 1);
	assert_int_equal(poll_pace_period(&pace, 10 * MS).ns, 20 * MS);
	assert_int_equal(poll_pace_period(&pace, 10 * MS).stretch, REGION_LOG_STRETCHED_BUDGET);
	pace = pace_of(1000000, 20 * MS, 1);
	assert_int_equal(poll_pace_period(&pace, 10 * MS).ns, 40 * MS);
	assert_int_equal(poll_pace_period(&pace, 10 * MS).stretch, REGION_LOG_STRETCHED_GUEST);
	/* What publishing takes is the host's, and stops no guest. */
	poll_pace_polled(&pace, START, START + 1 * MS, START + 20 * MS, true);
	assert_int_equal(poll_pace_period(&pace, 10 * MS).ns, 20 * MS);
	assert_int_equal(poll_pace_period(&pace, 10 * MS).stretch, REGION_LOG_STRETCHED_BUDGET);
}

/* ---- when the next one is due ---- */

static void test_due(void **state)
{
	(void)state;
	struct poll_pace pace = pace_of(250000, 1 * MS, 1);
	assert_int_equal(poll_pace_due(&pace, 0, false), UINT64_MAX);
	assert_int_equal(poll_pace_due(&pace, 10 * MS, false), START + 10 * MS);
	/* A single poll waits for nothing but what is due to others. */
	assert_int_equal(poll_pace_due(&pace, 0, true), START + 4 * MS);
	assert_int_equal(poll_pace_due(&pace, 10 * MS, true), START + 4 * MS);
	pace = pace_of(250000, MS / 100, MAX_IDLE_FACTOR);
	assert_int_equal(poll_pace_due(&pace, 10 * MS, false), START + MAX_IDLE_FACTOR * 10 * MS);
	assert_int_equal(poll_pace_due(&pace, 10 * MS, true), START + MIN_PERIOD_US * 1000);
	assert_int_equal(poll_pace_due(&pace, 0, true), START + MIN_PERIOD_US * 1000);
	/* Before the first poll there is nothing to wait for. */
	poll_pace_init(&pace, 1);
	assert_true(poll_pace_due(&pace, 10000 * MS, false) <= START);
	assert_true(poll_pace_due(&pace, 0, true) <= START);
}

/* However it is asked, budget and guest get what is theirs; and asking never makes it later. */
static void test_due_obeys(void **state)
{
	(void)state;
	for (size_t c = 0; c < COUNT(costs_ns); c++)
		for (size_t s = 0; s < COUNT(shares_ppm); s++)
			for (size_t w = 0; w <= COUNT(wanted_ns); w++) {
				struct poll_pace pace = pace_of(shares_ppm[s], costs_ns[c], 2);
				uint64_t wanted = w < COUNT(wanted_ns) ? wanted_ns[w] : 0;
				uint64_t others = max(costs_ns[c] * PPM / shares_ppm[s], 2 * costs_ns[c]);
				uint64_t asked = poll_pace_due(&pace, wanted, true);
				uint64_t followed = poll_pace_due(&pace, wanted, false);
				assert_int_equal(asked, START + max(others, MIN_PERIOD_US * 1000));
				assert_true(asked <= followed);
				if (wanted > 0)
					assert_int_equal(followed, START + max(others, idle_ns(wanted, 2)));
			}
}

/* ---- idleness ---- */

static void poll_at(struct poll_pace *pace, uint64_t at_ns, bool changed)
{
	poll_pace_polled(pace, at_ns, at_ns + 1000, at_ns + 1000, changed);
	assert_int_equal(pace->begun_ns, at_ns);
	assert_int_equal(pace->cost_ns, 1000);
}

static void test_idle(void **state)
{
	(void)state;
	struct poll_pace pace;
	uint64_t now = START;
	poll_pace_init(&pace, 250000);
	poll_at(&pace, now, true);
	uint64_t idle_from = now + 1000 + IDLE_AFTER_US * 1000;

	for (now += 10 * MS; now < idle_from; now += 10 * MS) {
		poll_at(&pace, now, false);
		assert_int_equal(pace.idle_factor, 1);
	}
	for (uint32_t factor = 2; factor <= MAX_IDLE_FACTOR; factor *= 2, now += 10 * MS) {
		poll_at(&pace, now, false);
		assert_int_equal(pace.idle_factor, factor);
	}
	for (unsigned int i = 0; i < 100; i++, now += 10 * MS) {
		poll_at(&pace, now, false);
		assert_int_equal(pace.idle_factor, MAX_IDLE_FACTOR);
	}
	/* The first change ends it, and the time begins anew. */
	poll_at(&pace, now, true);
	assert_int_equal(pace.idle_factor, 1);
	poll_at(&pace, now + 1000 + IDLE_AFTER_US * 1000 - 1, false);
	assert_int_equal(pace.idle_factor, 1);
	poll_at(&pace, now + 1000 + IDLE_AFTER_US * 1000, false);
	assert_int_equal(pace.idle_factor, 2);
	/* So does anything else that happens. */
	now += 2000 * MS;
	poll_pace_stir(&pace, now);
	assert_int_equal(pace.idle_factor, 1);
	poll_at(&pace, now + IDLE_AFTER_US * 1000 - 1, false);
	assert_int_equal(pace.idle_factor, 1);
	poll_at(&pace, now + IDLE_AFTER_US * 1000, false);
	assert_int_equal(pace.idle_factor, 2);
	/* But a poll is when it was. */
	assert_int_equal(pace.begun_ns, now + IDLE_AFTER_US * 1000);
}

/* ---- long runs ---- */

/* What polls have taken so far, by the pace's rules; a poll may take any time, and is paid for afterwards. */
struct account {
	uint64_t first_ns, n_polls, used_ns;
};

static void check_account(const struct account *account, uint32_t share_ppm, uint64_t now, uint64_t last_ns)
{
	/* Each period is rounded down by less than a nanosecond. */
	uint64_t elapsed_ns = now - account->first_ns + account->n_polls;
	assert_true((double)(account->used_ns - last_ns) * PPM <= (double)elapsed_ns * share_ppm);
	assert_true(2 * (account->used_ns - last_ns) <= elapsed_ns);
}

/* Polls of random cost, sometimes late, followed, asked for, or both, found to have changed or not. */
static void run_long(uint32_t share_ppm, uint64_t max_cost_ns, uint64_t *random)
{
	struct poll_pace pace;
	struct account account = {0};
	uint64_t now = START;

	poll_pace_init(&pace, share_ppm);
	for (unsigned int i = 0; i < 3000; i++) {
		bool asked = next_random(random) % 2;
		uint64_t wanted = asked && next_random(random) % 2 ? 0 : wanted_ns[next_random(random) % 2];
		uint64_t due = poll_pace_due(&pace, wanted, asked);
		now = max(now, due);
		if (next_random(random) % 8 == 0)
			now += next_random(random) % (3 * MS);
		uint64_t cost = next_random(random) % (max_cost_ns + 1);
		if (account.n_polls == 0)
			account.first_ns = now;
		account.n_polls++;
		account.used_ns += cost;
		check_account(&account, share_ppm, now, cost);
		poll_pace_polled(&pace, now, now + cost, now + cost, next_random(random) % 4 == 0);
		now += cost;
		if (next_random(random) % 16 == 0)
			poll_pace_stir(&pace, now);
	}
}

static void test_budget_is_kept(void **state)
{
	(void)state;
	uint64_t random = 23;
	for (size_t s = 0; s < COUNT(shares_ppm); s++)
		for (uint64_t max_cost_ns = 10; max_cost_ns <= 1000 * MS; max_cost_ns *= 100)
			run_long(shares_ppm[s], max_cost_ns, &random);
}

/* And is made use of: whoever waits all the time is served at once when its share allows it. */
static void test_budget_is_used(void **state)
{
	(void)state;
	for (size_t s = 1; s < COUNT(shares_ppm); s++) {
		struct poll_pace pace;
		uint64_t now = START, used_ns = 0;
		uint64_t share = shares_ppm[s] < PPM / 2 ? shares_ppm[s] : PPM / 2;
		poll_pace_init(&pace, shares_ppm[s]);
		for (unsigned int i = 0; i < 1000; i++) {
			now = max(now, poll_pace_due(&pace, 1 * MS, i % 2));
			poll_pace_polled(&pace, now, now + 5 * MS, now + 5 * MS, true);
			used_ns += 5 * MS;
		}
		double part = (double)used_ns / (poll_pace_due(&pace, 1 * MS, true) - START);
		assert_true(part * PPM > share * 0.999 && part * PPM < share * 1.001);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_period),
		cmocka_unit_test(test_each_reason),
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_due_obeys),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_budget_is_kept),
		cmocka_unit_test(test_budget_is_used),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
