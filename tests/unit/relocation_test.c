/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <xendevicemodel.h>

#include "daemon/worker/arrangement.h"
#include "daemon/worker/page_map.h"
#include "daemon/worker/relocation.h"
#include "tests/unit/fake_xen.h"

#define PAGES   1300u /* more than one batch of a probe */
#define BACKING 0x100u
#define VRAM    0x1000u
#define OTHER   0x1800u
#define NUMBER  5000u /* of the first page at backing */

typedef Xenvram__Internal__Shift Shift;
typedef Xenvram__Internal__Shifted Shifted;

static struct guest guest = {.domid = FAKE_DOMID};
static struct failure failure, warning;
static Shifted shifted;

static int set_up(void **state)
{
	(void)state;
	fake_xen_reset();
	failure = warning = (struct failure){.text = ""};
	return 0;
}

/* In no test may a page be lost. */
static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(xen.n_freed, 0);
	assert_int_equal(xen.n_maps, 0);
	return 0;
}

static void put_pages_at(uint64_t gfn)
{
	memset(xen.page, 0, sizeof(xen.page));
	fake_xen_populate(gfn, PAGES, NUMBER);
}

static void assert_pages(uint64_t first, uint64_t n, uint32_t number)
{
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(xen.page[first + i], number + i);
}

static void assert_holes(uint64_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(xen.page[first + i], 0);
}

static void assert_all_at_backing(void)
{
	assert_pages(BACKING, PAGES, NUMBER);
	assert_holes(VRAM, PAGES);
}

static void assert_failed(int rc, Xenvram__V1__Status status, const char *text)
{
	assert_int_equal(rc, -1);
	assert_int_equal(failure.status, status);
	if (!strstr(failure.text, text))
		fail_msg("\"%s\" does not say \"%s\"", failure.text, text);
}

/* ---- check ---- */

static int check(uint64_t first_gfn, uint64_t nr_pages, bool populated)
{
	Xenvram__Internal__Range range = XENVRAM__INTERNAL__RANGE__INIT;
	Xenvram__Internal__Expectation expectation = XENVRAM__INTERNAL__EXPECTATION__INIT;
	Xenvram__Internal__Expectation *expected[] = {&expectation, &expectation};
	Xenvram__Internal__Check request = XENVRAM__INTERNAL__CHECK__INIT;
	range.first_gfn = first_gfn;
	range.nr_pages = nr_pages;
	expectation.name = (char *)"some";
	expectation.range = &range;
	expectation.populated = populated;
	request.n_expected = 2;
	request.expected = expected;
	return relocation_check(&guest, &request, &failure);
}

static void test_check_finds_every_wrong_page(void **state)
{
	(void)state;
	char gfn[32];
	put_pages_at(BACKING);
	assert_int_equal(check(BACKING, PAGES, true), 0);
	assert_int_equal(check(VRAM, PAGES, false), 0);
	/* What lies around does not matter. */
	fake_xen_populate(VRAM - 1, 1, 1);
	fake_xen_populate(VRAM + PAGES, 1, 1);
	assert_int_equal(check(VRAM, PAGES, false), 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		xen.page[BACKING + i] = 0;
		snprintf(gfn, sizeof(gfn), "some gfn 0x%x", BACKING + i);
		assert_failed(check(BACKING, PAGES, true), XENVRAM__V1__STATUS__CONFLICT, gfn);
		assert_int_equal(failure.os_error, ENXIO);
		xen.page[BACKING + i] = NUMBER + i;

		xen.page[VRAM + i] = 1;
		snprintf(gfn, sizeof(gfn), "some gfn 0x%x", VRAM + i);
		assert_failed(check(VRAM, PAGES, false), XENVRAM__V1__STATUS__CONFLICT, gfn);
		assert_int_equal(failure.os_error, EEXIST);
		xen.page[VRAM + i] = 0;
	}
}

static void test_check_of_what_is_neither(void **state)
{
	(void)state;
	xen.probe_error = EACCES;
	xen.probe_error_gfn = VRAM + PAGES - 1;
	assert_failed(check(VRAM, PAGES, false), XENVRAM__V1__STATUS__HYPERVISOR, "0x1513");
	assert_int_equal(failure.os_error, EACCES);
	xen.probe_error_gfn = FAKE_NO_GFN;
	xen.domain_error = ESRCH;
	assert_failed(check(VRAM, PAGES, false), XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
	xen.domain_error = EPERM;
	assert_failed(check(VRAM, PAGES, false), XENVRAM__V1__STATUS__HYPERVISOR, "probed");
	xen.domain_error = 0;
}

/* ---- at once ---- */

static int shift_of(uint64_t from_gfn, uint64_t to_gfn, uint64_t nr_pages, bool thorough, bool home_wins)
{
	uint64_t from[] = {from_gfn};
	Shift shift = XENVRAM__INTERNAL__SHIFT__INIT;
	shift.n_from_gfn = 1;
	shift.from_gfn = from;
	shift.to_gfn = to_gfn;
	shift.nr_pages = nr_pages;
	shift.thorough = thorough;
	shift.home_wins = home_wins;
	shifted = (Shifted)XENVRAM__INTERNAL__SHIFTED__INIT;
	return relocation_shift(&guest, &shift, &shifted, &failure);
}

static int place(void)
{
	return shift_of(BACKING, VRAM, PAGES, false, false);
}

static int put_back(void)
{
	return shift_of(VRAM, BACKING, PAGES, true, false);
}

static void test_place(void **state)
{
	(void)state;
	put_pages_at(BACKING);
	assert_int_equal(place(), 0);
	assert_pages(VRAM, PAGES, NUMBER);
	assert_holes(BACKING, PAGES);
}

static void test_nothing_is_placed_onto_a_page(void **state)
{
	(void)state;
	static const unsigned int which[] = {0, 1023, 1024, PAGES - 1};
	put_pages_at(BACKING);
	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		xen.page[VRAM + which[i]] = 1;
		assert_failed(place(), XENVRAM__V1__STATUS__CONFLICT, "destination gfn");
		xen.page[VRAM + which[i]] = 0;
		assert_all_at_backing();
	}
}

/* However far a move came before it failed, or its worker died, everything comes back. */
static void test_place_fails_at_every_page(void **state)
{
	(void)state;
	for (unsigned int good = 0; good < PAGES; good++) {
		put_pages_at(BACKING);
		xen.relocate_error = ENOMEM;
		xen.relocate_failures = 1;
		xen.relocate_good_pages = good;
		assert_failed(place(), XENVRAM__V1__STATUS__HYPERVISOR, "into place");
		assert_int_equal(failure.os_error, ENOMEM);
		assert_pages(VRAM, good, NUMBER);
		assert_int_equal(shift_of(VRAM, BACKING, PAGES, true, true), 0);
		assert_all_at_backing();
		assert_int_equal(shifted.n_stuck + shifted.n_missing, 0);
	}
}

static void test_chunks_that_are_none(void **state)
{
	(void)state;
	Shift shift = XENVRAM__INTERNAL__SHIFT__INIT;
	assert_failed(
		relocation_shift(&guest, &shift, &shifted, &failure), XENVRAM__V1__STATUS__INTERNAL, "");
	assert_failed(shift_of(BACKING, VRAM, 0, true, false), XENVRAM__V1__STATUS__INTERNAL, "");
	assert_failed(shift_of(BACKING, VRAM, 262145, true, false), XENVRAM__V1__STATUS__INTERNAL, "");
}

/* ---- thoroughly ---- */

static void test_putting_back_fails_at_every_page(void **state)
{
	(void)state;
	for (unsigned int good = 0; good < PAGES; good++) {
		put_pages_at(VRAM);
		xen.relocate_error = ENOMEM;
		xen.relocate_failures = 1;
		xen.relocate_good_pages = good;
		assert_int_equal(put_back(), 0);
		assert_all_at_backing();
	}
}

static void test_the_domain_ends_meanwhile(void **state)
{
	(void)state;
	put_pages_at(VRAM);
	xen.relocate_error = ESRCH;
	xen.relocate_failures = 1;
	xen.relocate_good_pages = 300;
	assert_failed(put_back(), XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
	xen.domain_error = ESRCH;
	assert_failed(put_back(), XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
	assert_failed(place(), XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
}

static void test_one_page_is_stuck(void **state)
{
	(void)state;
	static const unsigned int which[] = {0, 1, 255, 256, 257, 1023, 1024, PAGES - 1};
	for (size_t k = 0; k < sizeof(which) / sizeof(which[0]); k++) {
		unsigned int stuck = which[k];
		put_pages_at(VRAM);
		xen.immovable_gfn = VRAM + stuck;
		for (unsigned int i = 0; i < 2; i++) {
			assert_int_equal(put_back(), 0);
			assert_int_equal(shifted.n_stuck, 1);
			assert_int_equal(shifted.first_stuck_gfn, VRAM + stuck);
			assert_int_equal(shifted.os_error, EBUSY);
			assert_false(shifted.contested);
		}
		/* All the others are back. */
		assert_int_equal(xen.page[VRAM + stuck], NUMBER + stuck);
		assert_pages(BACKING, stuck, NUMBER);
		assert_holes(BACKING + stuck, 1);
		assert_pages(BACKING + stuck + 1, PAGES - stuck - 1, NUMBER + stuck + 1);
		xen.immovable_gfn = FAKE_NO_GFN;
		assert_int_equal(put_back(), 0);
		assert_int_equal(shifted.n_stuck, 0);
		assert_all_at_backing();
	}
}

static void test_another_page_took_its_place(void **state)
{
	(void)state;
	put_pages_at(VRAM);
	fake_xen_populate(BACKING + 300, 2, 1);
	assert_int_equal(put_back(), 0);
	assert_int_equal(shifted.n_stuck, 2);
	assert_true(shifted.contested);
	assert_int_equal(shifted.first_stuck_gfn, VRAM + 300);
	assert_int_equal(shifted.os_error, 0);
	assert_pages(BACKING + 300, 2, 1);
	assert_pages(VRAM + 300, 2, NUMBER + 300);
	assert_pages(BACKING, 300, NUMBER);
	assert_pages(BACKING + 302, PAGES - 302, NUMBER + 302);
	/* Of a move by force, there may have been one all along. */
	assert_int_equal(shift_of(VRAM, BACKING, PAGES, true, true), 0);
	assert_int_equal(shifted.n_stuck, 0);
	assert_pages(VRAM + 300, 2, NUMBER + 300);
}

static void test_missing_pages(void **state)
{
	(void)state;
	put_pages_at(VRAM);
	xen.page[VRAM] = xen.page[VRAM + PAGES - 1] = 0;
	assert_int_equal(put_back(), 0);
	assert_int_equal(shifted.n_missing, 2);
	assert_pages(BACKING + 1, PAGES - 2, NUMBER + 1);
	assert_holes(VRAM, PAGES);
}

static void test_what_is_back_is_left_alone(void **state)
{
	(void)state;
	put_pages_at(BACKING);
	xen.relocate_error = EIO;
	xen.relocate_failures = 1; /* not a single move */
	assert_int_equal(put_back(), 0);
	assert_int_equal(xen.relocate_failures, 1);
	assert_all_at_backing();
	xen.relocate_failures = 0;
}

static int put_back_from_two_places(void)
{
	uint64_t from[] = {VRAM, OTHER};
	Shift shift = XENVRAM__INTERNAL__SHIFT__INIT;
	shift.n_from_gfn = 2;
	shift.from_gfn = from;
	shift.to_gfn = BACKING;
	shift.nr_pages = 100;
	shift.thorough = true;
	shifted = (Shifted)XENVRAM__INTERNAL__SHIFTED__INIT;
	return relocation_shift(&guest, &shift, &shifted, &failure);
}

static void test_pages_of_two_places(void **state)
{
	(void)state;
	for (unsigned int split = 0; split <= 100; split++) {
		memset(xen.page, 0, sizeof(xen.page));
		fake_xen_populate(VRAM, split, NUMBER);
		fake_xen_populate(OTHER + split, 100 - split, NUMBER + split);
		assert_int_equal(put_back_from_two_places(), 0);
		assert_int_equal(shifted.n_stuck + shifted.n_missing, 0);
		assert_pages(BACKING, 100, NUMBER);
	}
	/* A page at both: one is somebody's, and nobody can tell which. */
	fake_xen_populate(VRAM + 7, 1, 1);
	fake_xen_populate(OTHER + 7, 1, 2);
	xen.page[BACKING + 7] = 0;
	assert_int_equal(put_back_from_two_places(), 0);
	assert_int_equal(shifted.n_stuck, 1);
	assert_true(shifted.contested);
	assert_int_equal(shifted.first_stuck_gfn, VRAM + 7);
	assert_pages(VRAM + 7, 1, 1);
	assert_pages(OTHER + 7, 1, 2);
	assert_holes(BACKING + 7, 1);
}

/* What a call that failed has moved is in the way of the other place's pages. */
static void test_two_places_and_a_failure(void **state)
{
	(void)state;
	for (unsigned int good_pages = 0; good_pages < 50; good_pages++) {
		memset(xen.page, 0, sizeof(xen.page));
		fake_xen_populate(VRAM, 50, NUMBER);
		fake_xen_populate(OTHER + 50, 50, NUMBER + 50);
		fake_xen_populate(OTHER + 7, 1, 1);
		xen.relocate_error = ENOMEM;
		xen.relocate_failures = 1;
		xen.relocate_good_pages = good_pages;
		assert_int_equal(put_back_from_two_places(), 0);
		assert_int_equal(xen.n_freed, 0);
		assert_int_equal(shifted.n_stuck, 1);
		assert_pages(BACKING, 7, NUMBER);
		assert_pages(BACKING + 8, 92, NUMBER + 8);
		assert_pages(OTHER + 7, 1, 1);
	}
}

/* ---- memory types ---- */

static int arrange_pin(Xenvram__V1__CacheAttr attr, bool require, bool unpin, uint32_t *ret_pinned)
{
	Xenvram__Internal__Range range = XENVRAM__INTERNAL__RANGE__INIT;
	Xenvram__Internal__Range *ranges[] = {&range};
	Xenvram__Internal__Arrange arrange = XENVRAM__INTERNAL__ARRANGE__INIT;
	range.first_gfn = VRAM;
	range.nr_pages = 4;
	arrange.n_unpin = unpin;
	arrange.n_pin = !unpin;
	arrange.unpin = arrange.pin = ranges;
	arrange.cache_attr = attr;
	arrange.require_pin = require;
	warning.text[0] = '\0';
	return arrangement_apply(&guest, &arrange, ret_pinned, &warning, &failure);
}

static void test_memory_types(void **state)
{
	(void)state;
	static const struct {
		Xenvram__V1__CacheAttr attr;
		uint32_t type;
	} types[] = {
		{XENVRAM__V1__CACHE_ATTR__WB, 6},
		{XENVRAM__V1__CACHE_ATTR__UC, 0},
		{XENVRAM__V1__CACHE_ATTR__UC_MINUS, 7},
		{XENVRAM__V1__CACHE_ATTR__WC, 1},
		{XENVRAM__V1__CACHE_ATTR__WT, 4},
		{XENVRAM__V1__CACHE_ATTR__WP, 5},
	};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint32_t pinned = 0;
		assert_int_equal(arrange_pin(types[i].attr, true, false, &pinned), 0);
		assert_int_equal(pinned, 1);
		assert_int_equal(xen.pins[0].type, types[i].type);
		assert_int_equal(xen.pins[0].first, VRAM);
		assert_int_equal(xen.pins[0].last, VRAM + 3);
		/* Again is not too often, and unpinning neither. */
		assert_int_equal(arrange_pin(types[i].attr, true, false, &pinned), 0);
		assert_int_equal(xen.n_pins, 1);
		assert_int_equal(arrange_pin(types[i].attr, true, true, &pinned), 0);
		assert_int_equal(arrange_pin(types[i].attr, true, true, &pinned), 0);
		assert_int_equal(xen.n_pins, 0);
	}
}

static void test_pins_are_refused(void **state)
{
	(void)state;
	uint32_t pinned = 1;
	xen.pin_error = EPERM;
	assert_int_equal(arrange_pin(XENVRAM__V1__CACHE_ATTR__UC, false, false, &pinned), 0);
	assert_int_equal(pinned, 0);
	assert_non_null(strstr(warning.text, "the pin of gfn 0x1000 + 4 pages"));
	assert_failed(arrange_pin(XENVRAM__V1__CACHE_ATTR__UC, true, false, &pinned),
		XENVRAM__V1__STATUS__HYPERVISOR, "pin");
	assert_int_equal(failure.os_error, EPERM);
	xen.pin_error = ESRCH;
	assert_failed(arrange_pin(XENVRAM__V1__CACHE_ATTR__UC, false, false, &pinned),
		XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
	xen.unpin_error = EINVAL;
	assert_failed(arrange_pin(XENVRAM__V1__CACHE_ATTR__UC, false, true, &pinned),
		XENVRAM__V1__STATUS__HYPERVISOR, "unpin");
}

/* ---- where pages are ---- */

static size_t list_runs(Xenvram__V1__MappedRun *runs, size_t max_runs, bool has_old_vram)
{
	Xenvram__V1__Run live[2] = {XENVRAM__V1__RUN__INIT, XENVRAM__V1__RUN__INIT};
	Xenvram__V1__Run *pointers[] = {&live[0], &live[1]};
	Xenvram__Internal__Map map = XENVRAM__INTERNAL__MAP__INIT;
	size_t n = 0;
	live[0].nr_pages = 20;
	live[1].first = 30;
	live[1].nr_pages = PAGES - 30;
	map.n_runs = 2;
	map.runs = pointers;
	map.vram_gfn = VRAM;
	map.has_backing = true;
	map.backing_gfn = BACKING;
	map.has_old_vram = has_old_vram;
	map.old_vram_gfn = OTHER;
	assert_int_equal(page_map_list(&guest, &map, runs, max_runs, &n, &failure), 0);
	return n;
}

static void assert_run(const Xenvram__V1__MappedRun *run, uint64_t first, uint64_t nr_pages,
	Xenvram__V1__PagePlace place, uint64_t gfn)
{
	assert_int_equal(run->first, first);
	assert_int_equal(run->nr_pages, nr_pages);
	assert_int_equal(run->place, place);
	assert_int_equal(run->gfn, gfn);
}

static void test_map(void **state)
{
	(void)state;
	Xenvram__V1__MappedRun runs[10];
	put_pages_at(VRAM);
	xen.page[VRAM + 5] = 0;
	xen.page[BACKING + 5] = 1;
	xen.page[VRAM + 40] = xen.page[VRAM + 41] = xen.page[VRAM + PAGES - 1] = 0;
	xen.page[OTHER + 41] = 1;
	xen.page[BACKING + 50] = 1;
	assert_int_equal(list_runs(runs, 10, true), 10);
	assert_run(&runs[0], 0, 5, XENVRAM__V1__PAGE_PLACE__AT_VRAM, VRAM);
	assert_run(&runs[1], 5, 1, XENVRAM__V1__PAGE_PLACE__AT_BACKING, BACKING + 5);
	assert_run(&runs[2], 6, 14, XENVRAM__V1__PAGE_PLACE__AT_VRAM, VRAM + 6);
	assert_run(&runs[3], 30, 10, XENVRAM__V1__PAGE_PLACE__AT_VRAM, VRAM + 30);
	assert_run(&runs[4], 40, 1, XENVRAM__V1__PAGE_PLACE__MISSING, 0);
	assert_run(&runs[5], 41, 1, XENVRAM__V1__PAGE_PLACE__AT_OLD_VRAM, OTHER + 41);
	assert_run(&runs[6], 42, 8, XENVRAM__V1__PAGE_PLACE__AT_VRAM, VRAM + 42);
	assert_run(&runs[7], 50, 1, XENVRAM__V1__PAGE_PLACE__CONTESTED, VRAM + 50);
	assert_run(&runs[8], 51, PAGES - 52, XENVRAM__V1__PAGE_PLACE__AT_VRAM, VRAM + 51);
	assert_run(&runs[9], PAGES - 1, 1, XENVRAM__V1__PAGE_PLACE__MISSING, 0);
	/* As many as there is room for, each whole or going on. */
	for (size_t room = 1; room < 10; room++) {
		assert_int_equal(list_runs(runs, room, true), room);
		assert_int_equal(runs[room - 1].first + runs[room - 1].nr_pages > 0, true);
	}
	/* Two missing pages in a row are one run. */
	assert_int_equal(list_runs(runs, 10, false), 9);
	assert_run(&runs[4], 40, 2, XENVRAM__V1__PAGE_PLACE__MISSING, 0);
}

/* ---- every state that a small region can be in ---- */

enum place { NOWHERE, BACK, FRONT, BOTH, PLACES };

#define SMALL 4u

static void arrange(const enum place *places)
{
	for (unsigned int i = 0; i < SMALL; i++) {
		xen.page[BACKING + i] = places[i] & BACK ? NUMBER + i : 0;
		xen.page[VRAM + i] = places[i] & FRONT ? NUMBER + 100 + i : 0;
	}
}

/* With a move that fails once, after so many pages. */
static void undo_arranged(const enum place *places, bool home_wins, unsigned int good_pages)
{
	unsigned int n_both = 0, n_nowhere = 0;
	arrange(places);
	xen.relocate_error = EINVAL;
	xen.relocate_failures = 1;
	xen.relocate_good_pages = good_pages;

	int rc = shift_of(VRAM, BACKING, SMALL, true, home_wins);
	for (unsigned int i = 0; i < SMALL; i++) {
		n_both += places[i] == BOTH;
		n_nowhere += places[i] == NOWHERE;
		uint32_t home = places[i] & BACK ? NUMBER + i : places[i] & FRONT ? NUMBER + 100 + i : 0;
		assert_int_equal(xen.page[BACKING + i], home);
		assert_int_equal(xen.page[VRAM + i], places[i] == BOTH ? NUMBER + 100 + i : 0);
	}
	assert_int_equal(xen.n_freed, 0);
	assert_int_equal(rc, 0);
	assert_int_equal(shifted.n_stuck, home_wins ? 0 : n_both);
	assert_int_equal(shifted.contested, !home_wins && n_both > 0);
	assert_int_equal(shifted.n_missing, n_nowhere);
}

static void test_every_small_state(void **state)
{
	(void)state;
	for (unsigned int code = 0; code < PLACES * PLACES * PLACES * PLACES; code++) {
		enum place places[SMALL];
		for (unsigned int i = 0, rest = code; i < SMALL; i++, rest /= PLACES)
			places[i] = rest % PLACES;
		for (unsigned int good = 0; good <= SMALL; good++) {
			undo_arranged(places, false, good);
			undo_arranged(places, true, good);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_check_finds_every_wrong_page),
		TEST(test_check_of_what_is_neither),
		TEST(test_place),
		TEST(test_nothing_is_placed_onto_a_page),
		TEST(test_place_fails_at_every_page),
		TEST(test_chunks_that_are_none),
		TEST(test_putting_back_fails_at_every_page),
		TEST(test_the_domain_ends_meanwhile),
		TEST(test_one_page_is_stuck),
		TEST(test_another_page_took_its_place),
		TEST(test_missing_pages),
		TEST(test_what_is_back_is_left_alone),
		TEST(test_pages_of_two_places),
		TEST(test_two_places_and_a_failure),
		TEST(test_memory_types),
		TEST(test_pins_are_refused),
		TEST(test_map),
		TEST(test_every_small_state),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
