/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <xendevicemodel.h>

#include "daemon/worker/relocation.h"
#include "tests/unit/fake_xen.h"

#define PAGES   1300u /* more than one batch of a probe, and than five chunks of a move */
#define BACKING 0x100u
#define VRAM    0x1000u
#define NUMBER  5000u /* of the first page at backing */

typedef Xenvram__Internal__Region Region;

static struct guest guest = {.domid = FAKE_DOMID};
static struct failure failure, warning;

static int set_up(void **state)
{
	(void)state;
	fake_xen_reset();
	xen.max_run = 256;
	failure = warning = (struct failure){.text = ""};
	return 0;
}

/* In no test may a page be lost. */
static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(xen.n_freed, 0);
	assert_int_equal(xen.n_long_runs, 0);
	assert_int_equal(xen.n_maps, 0);
	return 0;
}

static Region region_of(uint64_t nr_pages)
{
	Region region = XENVRAM__INTERNAL__REGION__INIT;
	region.cookie = 1;
	region.vram_gfn = VRAM;
	region.backing_gfn = BACKING;
	region.nr_pages = nr_pages;
	return region;
}

/* A region before it is created. */
static Region at_backing(uint64_t nr_pages)
{
	memset(xen.page, 0, sizeof(xen.page));
	fake_xen_populate(BACKING, nr_pages, NUMBER);
	return region_of(nr_pages);
}

/* And after it was. */
static Region at_vram(uint64_t nr_pages)
{
	Region region = region_of(nr_pages);
	region.placed = true;
	memset(xen.page, 0, sizeof(xen.page));
	fake_xen_populate(VRAM, nr_pages, NUMBER);
	return region;
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

static void assert_all_at_backing(const Region *region)
{
	assert_pages(BACKING, region->nr_pages, NUMBER);
	assert_holes(VRAM, region->nr_pages);
}

static void assert_failed(int rc, Xenvram__V1__Status status, const char *text)
{
	assert_int_equal(rc, -1);
	assert_int_equal(failure.status, status);
	if (!strstr(failure.text, text))
		fail_msg("\"%s\" does not say \"%s\"", failure.text, text);
}

static int undo(const Region *region)
{
	return relocation_undo(&guest, region, &warning, &failure);
}

/* ---- check ---- */

static void test_check(void **state)
{
	(void)state;
	Region region = at_backing(PAGES);
	assert_int_equal(relocation_check(&guest, &region, &failure), 0);
	assert_all_at_backing(&region);
	/* What lies around does not matter. */
	fake_xen_populate(VRAM - 1, 1, 1);
	fake_xen_populate(VRAM + PAGES, 1, 1);
	assert_int_equal(relocation_check(&guest, &region, &failure), 0);
}

static void test_check_finds_every_wrong_page(void **state)
{
	(void)state;
	Region region = at_backing(PAGES);
	char gfn[32];
	for (unsigned int i = 0; i < PAGES; i++) {
		xen.page[BACKING + i] = 0;
		snprintf(gfn, sizeof(gfn), "backing gfn 0x%x", BACKING + i);
		assert_failed(
			relocation_check(&guest, &region, &failure), XENVRAM__V1__STATUS__CONFLICT, gfn);
		assert_int_equal(failure.os_error, ENXIO);
		xen.page[BACKING + i] = NUMBER + i;

		xen.page[VRAM + i] = 1;
		snprintf(gfn, sizeof(gfn), "vram gfn 0x%x", VRAM + i);
		assert_failed(
			relocation_check(&guest, &region, &failure), XENVRAM__V1__STATUS__CONFLICT, gfn);
		assert_int_equal(failure.os_error, EEXIST);
		xen.page[VRAM + i] = 0;
	}
	assert_all_at_backing(&region);
}

static void test_check_of_what_is_neither(void **state)
{
	(void)state;
	Region region = at_backing(PAGES);
	xen.probe_error = EACCES;
	xen.probe_error_gfn = VRAM + PAGES - 1;
	assert_failed(relocation_check(&guest, &region, &failure), XENVRAM__V1__STATUS__HYPERVISOR, "0x1513");
	assert_int_equal(failure.os_error, EACCES);
	xen.probe_error_gfn = FAKE_NO_GFN;
	xen.domain_error = ESRCH;
	assert_failed(
		relocation_check(&guest, &region, &failure), XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
	xen.domain_error = EPERM;
	assert_failed(relocation_check(&guest, &region, &failure), XENVRAM__V1__STATUS__HYPERVISOR, "probed");
	xen.domain_error = 0;
}

/* ---- place ---- */

static void test_place_and_undo(void **state)
{
	(void)state;
	Region region = at_backing(PAGES);
	bool pinned = false;
	assert_int_equal(relocation_place(&guest, &region, &pinned, &warning, &failure), 0);
	assert_true(pinned);
	assert_pages(VRAM, PAGES, NUMBER);
	assert_holes(BACKING, PAGES);
	assert_int_equal(xen.n_pins, 1);
	assert_int_equal(xen.pins[0].first, VRAM);
	assert_int_equal(xen.pins[0].last, VRAM + PAGES - 1);
	assert_int_equal(xen.pins[0].type, XEN_DMOP_MEM_CACHEATTR_WB);

	region.placed = true;
	assert_int_equal(undo(&region), 0);
	assert_all_at_backing(&region);
	assert_int_equal(xen.n_pins, 0);
	assert_string_equal(warning.text, "");
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
		Region region = at_backing(4);
		bool pinned = false;
		region.cache_attr = types[i].attr;
		assert_int_equal(relocation_place(&guest, &region, &pinned, &warning, &failure), 0);
		assert_int_equal(xen.pins[0].type, types[i].type);
		assert_int_equal(undo(&region), 0);
	}
}

static void test_pin_is_refused(void **state)
{
	(void)state;
	Region region = at_backing(4);
	bool pinned = true;
	xen.pin_error = EPERM;
	assert_int_equal(relocation_place(&guest, &region, &pinned, &warning, &failure), 0);
	assert_false(pinned);
	assert_non_null(strstr(warning.text, "pin"));
	assert_int_equal(undo(&region), 0);

	region.require_cache_attr = true;
	assert_failed(relocation_place(&guest, &region, &pinned, &warning, &failure),
		XENVRAM__V1__STATUS__HYPERVISOR, "pin");
	assert_int_equal(failure.os_error, EPERM);
	assert_int_equal(undo(&region), 0);
	assert_all_at_backing(&region);

	region.require_cache_attr = false;
	xen.pin_error = ESRCH;
	assert_failed(relocation_place(&guest, &region, &pinned, &warning, &failure),
		XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
	assert_int_equal(undo(&region), 0);
}

/* However far a move came before it failed, or its worker died, everything comes back. */
static void test_place_fails_at_every_page(void **state)
{
	(void)state;
	for (unsigned int good = 0; good < PAGES; good++) {
		Region region = at_backing(PAGES);
		bool pinned;
		xen.relocate_error = ENOMEM;
		xen.relocate_failures = 1;
		xen.relocate_good_pages = good;
		assert_failed(relocation_place(&guest, &region, &pinned, &warning, &failure),
			XENVRAM__V1__STATUS__HYPERVISOR, "into place");
		assert_int_equal(failure.os_error, ENOMEM);
		assert_pages(VRAM, good, NUMBER);
		assert_int_equal(xen.n_pins, 0);
		assert_int_equal(undo(&region), 0);
		assert_all_at_backing(&region);
		assert_string_equal(warning.text, "");
	}
}

static void test_place_of_a_domain_that_died(void **state)
{
	(void)state;
	Region region = at_backing(PAGES);
	bool pinned;
	xen.domain_error = ESRCH;
	assert_failed(relocation_place(&guest, &region, &pinned, &warning, &failure),
		XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
	assert_failed(undo(&region), XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
}

/* ---- undo ---- */

static void test_undo_fails_at_every_page(void **state)
{
	(void)state;
	for (unsigned int good = 0; good < PAGES; good++) {
		Region region = at_vram(PAGES);
		xen.relocate_error = ENOMEM;
		xen.relocate_failures = 1;
		xen.relocate_good_pages = good;
		assert_int_equal(undo(&region), 0);
		assert_all_at_backing(&region);
	}
}

static void test_undo_is_interrupted_by_the_end_of_the_domain(void **state)
{
	(void)state;
	Region region = at_vram(PAGES);
	xen.relocate_error = ESRCH;
	xen.relocate_failures = 1;
	xen.relocate_good_pages = 300;
	assert_failed(undo(&region), XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
}

static void test_one_page_is_stuck(void **state)
{
	(void)state;
	static const unsigned int which[] = {0, 1, 255, 256, 257, 1023, 1024, PAGES - 1};
	for (size_t k = 0; k < sizeof(which) / sizeof(which[0]); k++) {
		Region region = at_vram(PAGES);
		unsigned int stuck = which[k];
		char gfn[16];
		snprintf(gfn, sizeof(gfn), "gfn 0x%x", VRAM + stuck);
		xen.immovable_gfn = VRAM + stuck;
		assert_failed(undo(&region), XENVRAM__V1__STATUS__STUCK, gfn);
		assert_non_null(strstr(failure.text, "1 of 1300 pages"));
		/* All the others are back. */
		assert_int_equal(xen.page[VRAM + stuck], NUMBER + stuck);
		assert_pages(BACKING, stuck, NUMBER);
		assert_holes(BACKING + stuck, 1);
		assert_pages(BACKING + stuck + 1, PAGES - stuck - 1, NUMBER + stuck + 1);

		assert_failed(undo(&region), XENVRAM__V1__STATUS__STUCK, gfn);
		xen.immovable_gfn = FAKE_NO_GFN;
		assert_int_equal(undo(&region), 0);
		assert_all_at_backing(&region);
	}
}

static void test_another_page_took_its_place(void **state)
{
	(void)state;
	Region region = at_vram(PAGES);
	fake_xen_populate(BACKING + 300, 2, 1);
	assert_failed(undo(&region), XENVRAM__V1__STATUS__STUCK, "2 of 1300 pages");
	assert_non_null(strstr(failure.text, "another page in its place"));
	assert_pages(BACKING + 300, 2, 1);
	assert_pages(VRAM + 300, 2, NUMBER + 300);
	assert_pages(BACKING, 300, NUMBER);
	assert_pages(BACKING + 302, PAGES - 302, NUMBER + 302);
	xen.page[BACKING + 300] = xen.page[BACKING + 301] = 0;
	assert_int_equal(undo(&region), 0);
	assert_all_at_backing(&region);
}

static void test_missing_pages(void **state)
{
	(void)state;
	Region region = at_vram(PAGES);
	xen.page[VRAM] = xen.page[VRAM + PAGES - 1] = 0;
	assert_int_equal(undo(&region), 0);
	assert_non_null(strstr(warning.text, "2 of 1300 pages"));
	assert_pages(BACKING + 1, PAGES - 2, NUMBER + 1);
	assert_holes(VRAM, PAGES);
}

static void test_undo_of_nothing(void **state)
{
	(void)state;
	Region region = at_backing(PAGES);
	xen.relocate_error = EIO;
	xen.relocate_failures = 1; /* not a single move */
	assert_int_equal(undo(&region), 0);
	assert_int_equal(xen.relocate_failures, 1);
	assert_all_at_backing(&region);
	region.placed = true; /* of a region that was undone before */
	assert_int_equal(undo(&region), 0);
	assert_int_equal(xen.relocate_failures, 1);
	xen.relocate_failures = 0;
}

static void test_unpin(void **state)
{
	(void)state;
	Region region = at_vram(4);
	xen.unpin_error = EINVAL;
	assert_failed(undo(&region), XENVRAM__V1__STATUS__HYPERVISOR, "unpin");
	assert_pages(VRAM, 4, NUMBER);
	xen.unpin_error = ESRCH;
	assert_failed(undo(&region), XENVRAM__V1__STATUS__NO_DOMAIN, "domain 7");
	/* A worker died before the pin, or after the unpin. */
	xen.unpin_error = ENOENT;
	assert_int_equal(undo(&region), 0);
	assert_all_at_backing(&region);
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
static void undo_arranged(const enum place *places, bool placed, unsigned int good_pages)
{
	Region region = region_of(SMALL);
	unsigned int n_both = 0, n_nowhere = 0;
	region.placed = placed;
	arrange(places);
	warning.text[0] = '\0';
	xen.relocate_error = EINVAL;
	xen.relocate_failures = 1;
	xen.relocate_good_pages = good_pages;

	int rc = undo(&region);
	for (unsigned int i = 0; i < SMALL; i++) {
		n_both += places[i] == BOTH;
		n_nowhere += places[i] == NOWHERE;
		uint32_t home = places[i] & BACK ? NUMBER + i : places[i] & FRONT ? NUMBER + 100 + i : 0;
		assert_int_equal(xen.page[BACKING + i], home);
		assert_int_equal(xen.page[VRAM + i], places[i] == BOTH ? NUMBER + 100 + i : 0);
	}
	assert_int_equal(xen.n_freed, 0);
	if (placed && n_both > 0) {
		assert_failed(rc, XENVRAM__V1__STATUS__STUCK, "another page");
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(warning.text[0] != '\0', n_nowhere > 0);
	}
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
		TEST(test_check),
		TEST(test_check_finds_every_wrong_page),
		TEST(test_check_of_what_is_neither),
		TEST(test_place_and_undo),
		TEST(test_memory_types),
		TEST(test_pin_is_refused),
		TEST(test_place_fails_at_every_page),
		TEST(test_place_of_a_domain_that_died),
		TEST(test_undo_fails_at_every_page),
		TEST(test_undo_is_interrupted_by_the_end_of_the_domain),
		TEST(test_one_page_is_stuck),
		TEST(test_another_page_took_its_place),
		TEST(test_missing_pages),
		TEST(test_undo_of_nothing),
		TEST(test_unpin),
		TEST(test_every_small_state),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
