/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The queue of events: in order, one for each region, bounded. */
#include "tests/unit/unit.h"

#include <string.h>

#include "client/libxenvram/events.h"

static void assert_taken(
	struct events *events, uint64_t cookie, enum xenvram_region_state state, const char *reason)
{
	struct event event;
	assert_true(events_take(events, &event));
	assert_int_equal(event.cookie, cookie);
	assert_int_equal(event.state, state);
	assert_string_equal(event.reason, reason);
}

static void events_come_in_order(void **state)
{
	struct events events = {0};
	struct event event;
	(void)state;
	assert_false(events_take(&events, &event));
	events_put(&events, 5, XENVRAM_REGION_ACTIVE, "a");
	events_put(&events, 3, XENVRAM_REGION_GONE, "b");
	assert_taken(&events, 5, XENVRAM_REGION_ACTIVE, "a");
	events_put(&events, 4, XENVRAM_REGION_STUCK, "");
	assert_taken(&events, 3, XENVRAM_REGION_GONE, "b");
	assert_taken(&events, 4, XENVRAM_REGION_STUCK, "");
	assert_false(events_take(&events, &event));
}

static void the_last_of_a_region_is_kept_in_its_place(void **state)
{
	struct events events = {0};
	struct event event;
	(void)state;
	events_put(&events, 5, XENVRAM_REGION_ACTIVE, "first");
	events_put(&events, 0, XENVRAM_REGION_ACTIVE, "");
	events_put(&events, 6, XENVRAM_REGION_ACTIVE, "other");
	events_put(&events, 5, XENVRAM_REGION_GONE, "last");
	events_put(&events, 0, XENVRAM_REGION_ACTIVE, "");
	assert_taken(&events, 5, XENVRAM_REGION_GONE, "last");
	assert_taken(&events, 0, XENVRAM_REGION_ACTIVE, "");
	assert_taken(&events, 6, XENVRAM_REGION_ACTIVE, "other");
	assert_false(events_take(&events, &event));
}

static void a_full_queue_loses_the_oldest(void **state)
{
	struct events events = {0};
	struct event event;
	(void)state;
	for (uint64_t cookie = 1; cookie <= 3 * MAX_EVENTS + 5; cookie++)
		events_put(&events, cookie, XENVRAM_REGION_ACTIVE, "");
	for (uint64_t cookie = 2 * MAX_EVENTS + 6; cookie <= 3 * MAX_EVENTS + 5; cookie++)
		assert_taken(&events, cookie, XENVRAM_REGION_ACTIVE, "");
	assert_false(events_take(&events, &event));
}

static void a_long_reason_is_cut(void **state)
{
	struct events events = {0};
	struct event event;
	char reason[2 * MAX_REASON_BYTES];
	(void)state;
	memset(reason, 'x', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	events_put(&events, 1, XENVRAM_REGION_GONE, reason);
	assert_true(events_take(&events, &event));
	assert_int_equal(strlen(event.reason), MAX_REASON_BYTES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_in_order),
		cmocka_unit_test(the_last_of_a_region_is_kept_in_its_place),
		cmocka_unit_test(a_full_queue_loses_the_oldest),
		cmocka_unit_test(a_long_reason_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
