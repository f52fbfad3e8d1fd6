/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every sequence of few steps against what they mean: when a range may change, and what its bits are worth.
 */
#include "tests/unit/unit.h"

#include "daemon/worker/tracked_range.h"
#include "proto/limits.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PAUSE_NS     (RANGE_CHANGE_US * 1000ull)
#define START        3600000000000ull
#define DEPTH        7u

static const struct extent ranges[] = {{0, 0}, {100, 10}, {100, 11}, {101, 10}};
static const uint64_t waits_ns[] = {1, PAUSE_NS - 1};
static const int errors[] = {0, ENODATA, ENOMEM, EINVAL, EFAULT, EBUSY, EPERM, ESRCH};

/* All that has happened; which range is set stands here by its number in ranges[], 0: off. */
struct history {
	struct tracked_range range;
	uint64_t now_ns;
	unsigned int set;
	uint64_t set_ns;    /* 0: never */
	bool last_was_good; /* the last answer for this range, if there was one */
};

static uint64_t n_sequences;

static void go_on(struct history history, unsigned int depth);

static void check_set(const struct history *history)
{
	uint64_t nr_pages = ranges[history->set].nr_pages;
	assert_int_equal(history->range.gfns.first, ranges[history->set].first);
	assert_int_equal(history->range.gfns.nr_pages, nr_pages);
	assert_int_equal(
		tracked_range_known(&history->range).nr_pages, history->last_was_good ? nr_pages : 0);
}

static void want(struct history history, unsigned int wanted, unsigned int depth)
{
	bool may = history.set_ns == 0 || history.now_ns >= history.set_ns + PAUSE_NS;
	if (may && wanted != history.set) {
		history.set = wanted;
		history.set_ns = history.now_ns;
		history.last_was_good = false;
	}
	tracked_range_want(&history.range, ranges[wanted], history.now_ns);
	check_set(&history);
	go_on(history, depth);
}

static void answer(struct history history, int error, unsigned int depth)
{
	enum tracked_range_answer expected =
		error == 0 && history.last_was_good ? TRACKED_RANGE_EXACT : TRACKED_RANGE_ALL_DIRTY;
	if (error == ESRCH)
		expected = TRACKED_RANGE_GONE;
	assert_int_equal(tracked_range_answered(&history.range, error), expected);
	if (error == ESRCH)
		return;
	history.last_was_good = error == 0 || error == ENODATA;
	check_set(&history);
	go_on(history, depth);
}

static void stop(struct history history, unsigned int depth)
{
	assert_int_equal(tracked_range_stop(&history.range), history.set != 0);
	history.set = 0;
	history.last_was_good = false;
	check_set(&history);
	go_on(history, depth);
}

static void go_on(struct history history, unsigned int depth)
{
	if (depth == 0) {
		n_sequences++;
		return;
	}
	for (unsigned int i = 1; i < COUNT(ranges); i++)
		want(history, i, depth - 1);
	/* Nobody asks the hypervisor for the bits of no range. */
	for (size_t i = 0; history.set != 0 && i < COUNT(errors); i++)
		answer(history, errors[i], depth - 1);
	for (size_t i = 0; i < COUNT(waits_ns); i++) {
		struct history later = history;
		later.now_ns += waits_ns[i];
		go_on(later, depth - 1);
	}
	stop(history, depth - 1);
}

static void test_all_sequences(void **state)
{
	(void)state;
	go_on((struct history){.now_ns = START}, DEPTH);
	assert_true(n_sequences > 10000000);
}

static void test_life(void **state)
{
	(void)state;
	struct tracked_range range = {0};
	static const struct extent small = {100, 10}, large = {100, 20};
	assert_false(tracked_range_stop(&range));
	tracked_range_want(&range, small, START);
	assert_int_equal(range.gfns.nr_pages, 10);
	assert_int_equal(tracked_range_answered(&range, 0), TRACKED_RANGE_ALL_DIRTY);
	assert_int_equal(tracked_range_answered(&range, 0), TRACKED_RANGE_EXACT);
	tracked_range_want(&range, large, START + PAUSE_NS - 1);
	assert_int_equal(range.gfns.nr_pages, 10);
	assert_int_equal(tracked_range_answered(&range, 0), TRACKED_RANGE_EXACT);
	tracked_range_want(&range, large, START + PAUSE_NS);
	assert_int_equal(range.gfns.nr_pages, 20);
	/* Shadow paging. */
	assert_int_equal(tracked_range_answered(&range, ENODATA), TRACKED_RANGE_ALL_DIRTY);
	assert_int_equal(tracked_range_answered(&range, 0), TRACKED_RANGE_EXACT);
	assert_int_equal(tracked_range_answered(&range, ENOMEM), TRACKED_RANGE_ALL_DIRTY);
	assert_int_equal(tracked_range_answered(&range, 0), TRACKED_RANGE_ALL_DIRTY);
	assert_int_equal(tracked_range_answered(&range, 0), TRACKED_RANGE_EXACT);
	/* Off at any time, on again not before its time, even to the same. */
	assert_true(tracked_range_stop(&range));
	assert_false(tracked_range_stop(&range));
	tracked_range_want(&range, large, START + 2 * PAUSE_NS - 1);
	assert_int_equal(range.gfns.nr_pages, 0);
	tracked_range_want(&range, large, START + 2 * PAUSE_NS);
	assert_int_equal(range.gfns.nr_pages, 20);
	assert_int_equal(tracked_range_answered(&range, 0), TRACKED_RANGE_ALL_DIRTY);
	assert_int_equal(tracked_range_answered(&range, ESRCH), TRACKED_RANGE_GONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_all_sequences),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
