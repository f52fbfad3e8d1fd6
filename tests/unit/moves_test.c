/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "daemon/broker/moves.h"

#define CONFLICT XENVRAM__V1__STATUS__CONFLICT
#define PAGES    700u /* three chunks, the last one short */

static struct moves moves;
static struct region_table regions;
static struct failure failure;

static int set_up(void **state)
{
	(void)state;
	moves_init(&moves);
	failure = (struct failure){.text = ""};
	return region_table_init(&regions, 8);
}

static int tear_down(void **state)
{
	(void)state;
	moves_deinit(&moves);
	region_table_deinit(&regions);
	return 0;
}

static struct move_record record_of(uint32_t domid, uint64_t source, uint64_t destination, uint64_t nr_pages)
{
	return (struct move_record){
		.domid = domid, .source = source, .destination = destination, .nr_pages = nr_pages};
}

static struct move *add(uint32_t domid, uint64_t source, uint64_t destination, uint64_t nr_pages)
{
	struct move_record record = record_of(domid, source, destination, nr_pages);
	struct move *move = moves_add(&moves, &record, MAX_RAW_MOVES);
	assert_non_null(move);
	return move;
}

static struct region *add_region(uint64_t vram, uint64_t backing, uint64_t nr_pages)
{
	struct region_record record = {.cookie = 0xabc1,
		.domid = 7,
		.vram_gfn = vram,
		.backing_gfn = backing,
		.nr_pages = nr_pages,
		.live = extents_whole(nr_pages),
		.state = XENVRAM__V1__REGION_STATE__ACTIVE};
	return region_table_add(&regions, &record, regions.n_slots);
}

static int admit(uint32_t domid, uint64_t source, uint64_t destination, uint64_t nr_pages)
{
	struct move_record record = record_of(domid, source, destination, nr_pages);
	return moves_admit(&moves, &regions, &record, &failure);
}

static void assert_refused(int result, Xenvram__V1__Status status, int os_error, const char *text)
{
	assert_int_equal(result, -1);
	assert_int_equal(failure.status, status);
	assert_int_equal(failure.os_error, os_error);
	if (!strstr(failure.text, text))
		fail_msg("\"%s\" is not in: %s", text, failure.text);
}

/* ---- admission ---- */

static void test_regions_are_in_the_way(void **state)
{
	(void)state;
	add_region(0x1000, 0x100, 16);
	const struct {
		uint64_t source, destination;
		const char *text;
	} cases[] = {
		{0x1000, 0x5000, "source 0x1000 + 8 pages overlaps the vram 0x1000"},
		{0x100f, 0x5000, "overlaps the vram"},
		{0x5000, 0xff9, "destination 0xff9"},
		{0x10f, 0x5000, "overlaps the backing 0x100 + 16 pages of region 0xabc1"},
		{0x5000, 0x0f9, "overlaps the backing"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(
			admit(7, cases[i].source, cases[i].destination, 8), CONFLICT, EBUSY, cases[i].text);
	assert_int_equal(admit(7, 0x1010, 0xf8, 8), 0);
	assert_int_equal(admit(8, 0x1000, 0x100, 8), 0);
}

static void test_moves_are_in_the_way(void **state)
{
	(void)state;
	add(7, 0x100, 0x1000, 16);
	assert_refused(admit(7, 0x10f, 0x5000, 1), CONFLICT, EBUSY, "source 0x10f");
	assert_refused(admit(7, 0x5000, 0x100f, 1), CONFLICT, EBUSY, "from 0x100 to 0x1000");
	assert_int_equal(admit(7, 0x110, 0x1010, 8), 0);
	assert_int_equal(admit(8, 0x100, 0x1000, 16), 0);

	struct region *region = add_region(0x2000, 0x200, 16);
	assert_int_equal(moves_admit_region(&moves, &region->record, 0x2000, &failure), 0);
	assert_refused(
		moves_admit_region(&moves, &region->record, 0xff1, &failure), CONFLICT, EBUSY, "vram 0xff1");
	region->record.backing_gfn = 0x10f;
	assert_refused(moves_admit_region(&moves, &region->record, 0x2000, &failure), CONFLICT, EBUSY,
		"backing 0x10f");
}

static void test_moves_that_the_journal_still_has(void **state)
{
	(void)state;
	add(7, 0x100, 0x1000, 16)->over = true;
	assert_refused(admit(7, 0x10f, 0x5000, 1), CONFLICT, EBUSY, "cannot be erased from the journal");
	assert_int_equal(admit(7, 0x110, 0x1010, 8), 0);
}

static void test_limits(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < MAX_RAW_MOVES_PER_DOMAIN; i++) {
		assert_int_equal(admit(7, 2 * i, 0x1000 + 2 * i, 1), 0);
		add(7, 2 * i, 0x1000 + 2 * i, 1);
	}
	assert_refused(admit(7, 0x100, 0x200, 1), XENVRAM__V1__STATUS__LIMIT, EDQUOT,
		"domain 7 has 4 moves under way and asks for 1 more; at most 4 are allowed by "
		"MAX_RAW_MOVES_PER_DOMAIN, which is fixed in this build: wait for one");
	for (unsigned int i = MAX_RAW_MOVES_PER_DOMAIN; i < MAX_RAW_MOVES; i++)
		add(100 + i, 1, 2, 1);
	assert_refused(admit(8, 0x100, 0x200, 1), XENVRAM__V1__STATUS__LIMIT, EDQUOT,
		"domain 8: this host has 64 moves under way and asks for 1 more; at most 64 are allowed by "
		"MAX_RAW_MOVES, which is fixed in this build: wait for one");
	struct move_record record = record_of(8, 1, 2, 1);
	assert_null_with(moves_add(&moves, &record, MAX_RAW_MOVES), ENOSPC);
}

static void test_a_region_by_its_backing(void **state)
{
	(void)state;
	struct region *region = add_region(0x1000, 0x100, 16);
	struct move_record record = record_of(7, 0x100, 0x3000, 16);

	assert_ptr_equal(moves_find_region(&regions, &record), region);
	record.nr_pages = 15;
	assert_null(moves_find_region(&regions, &record));
	record.nr_pages = 16;
	record.domid = 8;
	assert_null(moves_find_region(&regions, &record));
	record.domid = 7;
	region->record.state = XENVRAM__V1__REGION_STATE__REGION_STUCK;
	assert_null(moves_find_region(&regions, &record));
	region->record.state = XENVRAM__V1__REGION_STATE__ACTIVE;
	extents_remove(&region->record.live, (struct extent){0, 1}, &region->record.live);
	assert_null(moves_find_region(&regions, &record));
	region->record.live = extents_whole(16);
	region->record.adopted = true; /* its backing means nothing */
	assert_null(moves_find_region(&regions, &record));
}

static void test_table(void **state)
{
	(void)state;
	struct move *first = add(7, 1, 2, 1), *second = add(7, 3, 4, 1);
	struct move_record record = record_of(7, 5, 6, 1);

	assert_int_equal(moves_count(&moves, 7), 2);
	assert_ptr_equal(moves_find(&moves, first->id), first);
	assert_ptr_equal(moves_find(&moves, second->id), second);
	assert_null_with(moves_add(&moves, &record, second->slot), EEXIST);
	unsigned int slot = first->slot;
	moves_remove(&moves, first);
	moves_reserve(&moves, slot);
	assert_true(add(7, 1, 2, 1)->slot > slot);
}

/* ---- steps, on a guest of which only these pages are known ---- */

static struct {
	bool at_source[PAGES], at_destination[PAGES];
	int shift_fails_at; /* this many pages move, then it fails; -1: never */
	Xenvram__V1__Status failure_status;
	uint64_t immovable; /* this page does not go back; PAGES: none */
	unsigned int n_forward, n_back, n_stops;
} guest;

static void reset_guest(void)
{
	memset(&guest, 0, sizeof(guest));
	memset(guest.at_source, true, sizeof(guest.at_source));
	guest.shift_fails_at = -1;
	guest.immovable = PAGES;
	guest.failure_status = XENVRAM__V1__STATUS__HYPERVISOR;
}

static bool shift_forward(struct extent chunk)
{
	for (uint64_t page = chunk.first; page < extent_end(chunk); page++) {
		if (guest.shift_fails_at == (int)page)
			return false;
		assert_true(guest.at_source[page]);
		guest.at_source[page] = false;
		guest.at_destination[page] = true;
	}
	return true;
}

static void shift_back(struct extent chunk, Xenvram__Internal__Shifted *shifted)
{
	for (uint64_t page = chunk.first; page < extent_end(chunk); page++) {
		if (guest.at_source[page] || !guest.at_destination[page]) {
			shifted->n_missing += !guest.at_source[page];
			continue;
		}
		if (page == guest.immovable) {
			shifted->n_stuck++;
			shifted->os_error = EXDEV;
			continue;
		}
		guest.at_source[page] = true;
		guest.at_destination[page] = false;
	}
}

/* Carries out one step as a worker would. */
static void do_step(struct move *move)
{
	Xenvram__Internal__Done done = XENVRAM__INTERNAL__DONE__INIT;
	Xenvram__Internal__Shifted shifted = XENVRAM__INTERNAL__SHIFTED__INIT;
	Xenvram__V1__MappedRun run = XENVRAM__V1__MAPPED_RUN__INIT, *run_pointer = &run;
	struct failure refused;
	bool ok = true;

	move->at_work = true;
	switch (move->stage) {
	case MOVE_LOOSEN:
	case MOVE_SETTLE:
		guest.n_stops++;
		break;
	case MOVE_SHIFT:
		assert_true(move_is_journaled(move));
		guest.n_forward++;
		ok = shift_forward(move_chunk(move));
		failure_set(&refused, guest.failure_status, ENOMEM, "cannot move");
		break;
	case MOVE_BACK:
		assert_true(move_is_journaled(move));
		guest.n_back++;
		done.shifted = &shifted;
		shift_back(move_chunk(move), &shifted);
		break;
	case MOVE_MAP:
		run.first = guest.immovable;
		run.nr_pages = 1;
		run.place = XENVRAM__V1__PAGE_PLACE__AT_VRAM;
		done.n_map = 1;
		done.map = &run_pointer;
		break;
	default:
		break;
	}
	move_answered(move, &done, ok ? NULL : &refused);
}

static void run_to_end(struct move *move)
{
	for (unsigned int i = 0; move->stage != MOVE_END; i++) {
		assert_true(i < 20);
		do_step(move);
	}
	assert_false(move_is_journaled(move));
}

static void assert_all_at_source(void)
{
	for (unsigned int i = 0; i < PAGES; i++)
		assert_true(guest.at_source[i] && !guest.at_destination[i]);
}

static void test_all_goes_well(void **state)
{
	(void)state;
	struct move *move = add(7, 0x100, 0x10000, PAGES);
	reset_guest();
	assert_false(move_is_journaled(move));
	run_to_end(move);
	assert_false(move->failed);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_true(!guest.at_source[i] && guest.at_destination[i]);
	assert_int_equal(guest.n_forward, 3);
	assert_int_equal(guest.n_back, 0);
	assert_int_equal(guest.n_stops, 2);
}

/* Wherever it fails, all is back, with no more steps than needed. */
static void test_it_goes_back(void **state)
{
	(void)state;
	for (unsigned int at = 0; at < PAGES; at++) {
		struct move *move = add(7, 0x100, 0x10000, PAGES);
		reset_guest();
		guest.shift_fails_at = at;
		run_to_end(move);
		assert_true(move->failed);
		assert_int_equal(move->failure.os_error, ENOMEM);
		assert_string_equal(move->failure.text, "cannot move");
		assert_all_at_source();
		assert_int_equal(guest.n_back, at / CHUNK_PAGES + 1);
		assert_int_equal(guest.n_stops, 2);
		moves_remove(&moves, move);
	}
}

/* A chunk whose destination is taken was not begun with: what is there is none of the move's. */
static void test_a_destination_is_taken(void **state)
{
	(void)state;
	for (unsigned int at = 0; at < PAGES; at += CHUNK_PAGES) {
		struct move *move = add(7, 0x100, 0x10000, PAGES);
		reset_guest();
		guest.shift_fails_at = at;
		guest.failure_status = XENVRAM__V1__STATUS__CONFLICT;
		while (!move->failed)
			do_step(move);
		/* Somebody else moves a page of it, too. */
		guest.at_source[at + 1] = false;
		guest.at_destination[at + 1] = true;
		run_to_end(move);
		assert_int_equal(move->failure.status, XENVRAM__V1__STATUS__CONFLICT);
		assert_true(!guest.at_source[at + 1] && guest.at_destination[at + 1]);
		assert_int_equal(guest.n_back, at / CHUNK_PAGES);
		assert_int_equal(guest.n_stops, 2);
		moves_remove(&moves, move);
	}
}

static void test_what_is_missing_is_said(void **state)
{
	(void)state;
	struct move *move = add(7, 0x100, 0x10000, PAGES);
	reset_guest();
	guest.shift_fails_at = 600;
	while (!move->failed)
		do_step(move);
	guest.at_destination[3] = guest.at_destination[299] = false;
	run_to_end(move);
	assert_int_equal(move->failure.os_error, ENOMEM);
	assert_string_equal(move->failure.text,
		"cannot move; 2 of 700 pages are neither at the source nor at the destination");
}

static void test_what_stays_is_named(void **state)
{
	(void)state;
	struct move *move = add(7, 0x100, 0x10000, PAGES);
	reset_guest();
	guest.shift_fails_at = 600;
	guest.immovable = 300;
	run_to_end(move);
	assert_int_equal(move->failure.status, XENVRAM__V1__STATUS__STUCK);
	assert_int_equal(move->failure.os_error, EBUSY);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(guest.at_source[i], i != 300);
	assert_non_null(strstr(move->failure.text, "cannot move; moving back failed (Invalid cross-device"));
	assert_non_null(strstr(move->failure.text, "300 to 300 are at the destination"));
	assert_int_equal(guest.n_back, 3);
}

static void test_runs_are_named_as_far_as_there_is_room(void **state)
{
	(void)state;
	struct move *move = add(7, 0x100, 0x10000, MAX_REGION_PAGES);
	Xenvram__Internal__Done done = XENVRAM__INTERNAL__DONE__INIT;
	Xenvram__V1__MappedRun runs[12], *pointers[12];

	for (unsigned int i = 0; i < 12; i++) {
		xenvram__v1__mapped_run__init(&runs[i]);
		runs[i].first = 262000 + 20 * i;
		runs[i].nr_pages = 10;
		runs[i].place =
			i % 2 ? XENVRAM__V1__PAGE_PLACE__AT_BACKING : XENVRAM__V1__PAGE_PLACE__AT_VRAM;
		pointers[i] = &runs[i];
	}
	done.n_map = 12;
	done.map = pointers;
	move->stage = MOVE_MAP;
	move->failed = true;
	memset(move->failure.text, 'x', sizeof(move->failure.text) - 1);
	move_answered(move, &done, NULL);
	assert_non_null(strstr(move->failure.text, " 262000 to 262009, 262040 to 262049, 262080 to 262089, "
						   "262120 to 262129, and 2 more runs are at"));

	move->stage = MOVE_MAP;
	failure_set(&failure, XENVRAM__V1__STATUS__HYPERVISOR, ENOMEM, "no map");
	move_answered(move, &done, &failure);
	assert_non_null(strstr(move->failure.text, "cannot be told"));
}

/* The worker dies before any step, and after it was done. */
static void test_workers_die(void **state)
{
	(void)state;
	for (unsigned int step = 0; step < 7; step++) {
		for (int done = 0; done < 2; done++) {
			struct move *move = add(7, 0x100, 0x10000, PAGES);
			reset_guest();
			for (unsigned int i = 0; i < step && move->stage != MOVE_END; i++)
				do_step(move);
			bool was_shifting = move->stage == MOVE_SHIFT;
			if (done && was_shifting)
				shift_forward(move_chunk(move));
			move->at_work = true;
			failure_set(&failure, XENVRAM__V1__STATUS__RETRY, EAGAIN, "it died");
			move_resume(move, &failure);
			assert_false(move->at_work);
			run_to_end(move);
			assert_int_equal(move->failed, was_shifting);
			if (was_shifting) {
				assert_int_equal(move->failure.status, XENVRAM__V1__STATUS__RETRY);
				assert_all_at_source();
			}
			moves_remove(&moves, move);
		}
	}
}

/* How far it had come does not matter, nor that it had come to its end. */
static void test_a_broker_dies(void **state)
{
	(void)state;
	for (unsigned int moved = 0; moved <= PAGES; moved += 50) {
		struct move *move = add(7, 0x100, 0x10000, PAGES);
		reset_guest();
		shift_forward((struct extent){0, moved});
		move_begin_inherited(move);
		run_to_end(move);
		assert_true(move->failed);
		assert_all_at_source();
		moves_remove(&moves, move);
	}
}

static void test_refusals_and_ends(void **state)
{
	(void)state;
	Xenvram__Internal__Done done = XENVRAM__INTERNAL__DONE__INIT;

	/* Of the check: nothing has changed, nothing is stopped. */
	struct move *move = add(7, 0x100, 0x10000, PAGES);
	reset_guest();
	failure_set(&failure, CONFLICT, EEXIST, "a page is there");
	move_answered(move, &done, &failure);
	assert_int_equal(move->stage, MOVE_END);
	assert_int_equal(move->failure.os_error, EEXIST);

	/* The domain is gone, in whatever stage. */
	for (enum move_stage stage = MOVE_CHECK; stage < MOVE_END; stage++) {
		move = add(7, 0x100, 0x10000, PAGES);
		failure_set(&failure, XENVRAM__V1__STATUS__RETRY, EAGAIN, "it died");
		if (stage == MOVE_BACK)
			move_begin_inherited(move);
		move->stage = stage;
		failure_set(&failure, XENVRAM__V1__STATUS__NO_DOMAIN, ESRCH, "gone");
		move_answered(move, &done, &failure);
		assert_int_equal(move->stage, MOVE_END);
		assert_int_equal(move->failure.status, XENVRAM__V1__STATUS__NO_DOMAIN);
		moves_remove(&moves, move);
	}

	/* A page whose place cannot be probed is taken for stuck, and the others still go back. */
	move = add(8, 0x100, 0x10000, PAGES);
	move_begin_inherited(move);
	failure_set(&failure, XENVRAM__V1__STATUS__HYPERVISOR, ENOMEM, "no probe");
	move_answered(move, &done, &failure);
	assert_int_equal(move->stage, MOVE_BACK);
	assert_int_equal(move->n_stuck, CHUNK_PAGES);
}

/* All of it has moved, and that cannot be written: it goes back, for the reason that is given. */
static void test_an_end_that_cannot_be_written(void **state)
{
	(void)state;
	struct move *move = add(7, 0x100, 0x10000, PAGES);

	reset_guest();
	run_to_end(move);
	assert_false(move->failed);
	failure_set(&failure, XENVRAM__V1__STATUS__INTERNAL, EIO, "cannot be written");
	move_unended(move, &failure);
	assert_true(move->failed);
	assert_true(move_is_journaled(move));
	run_to_end(move);
	assert_all_at_source();
	assert_int_equal(guest.n_back, 3);
	assert_int_equal(move->failure.status, XENVRAM__V1__STATUS__INTERNAL);
	assert_string_equal(move->failure.text, "cannot be written");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_regions_are_in_the_way),
		TEST(test_moves_are_in_the_way),
		TEST(test_moves_that_the_journal_still_has),
		TEST(test_limits),
		TEST(test_a_region_by_its_backing),
		TEST(test_table),
		TEST(test_all_goes_well),
		TEST(test_it_goes_back),
		TEST(test_a_destination_is_taken),
		TEST(test_what_is_missing_is_said),
		TEST(test_what_stays_is_named),
		TEST(test_runs_are_named_as_far_as_there_is_room),
		TEST(test_workers_die),
		TEST(test_a_broker_dies),
		TEST(test_refusals_and_ends),
		TEST(test_an_end_that_cannot_be_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
