/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A region under random readers, polls, marks and moves, page by page against a model that says for each
 * page whether it is there, wanted, inside the hull, and followed. What is published must be exactly that,
 * and so must be who is woken.
 */
#include "tests/unit/region_bench.h"

#include <string.h>

#define ROUNDS  60u
#define STEPS   400u
#define READERS 4u
/* Gfns that hulls are made of: the region is somewhere in the middle. */
#define SPACE      400u
#define MAX_MOVE   (SPACE - PAGES)
#define MAX_HULL   SPACE
#define HULL_WORDS (SPACE / 64 + 2)

struct model_reader {
	bool is_there;
	struct extent pages;
	int fd;
	bool stale;
	uint64_t woken_ns;
};

struct model {
	uint64_t vram_first;
	bool live[PAGES];
	bool followed[PAGES];
	bool dirty[PAGES]; /* since the last look */
	bool asked[PAGES];
	bool lingering[PAGES];
	uint64_t linger_till_ns;
	struct model_reader readers[READERS];
};

static struct model model;
static uint64_t random_state;

static unsigned int below(unsigned int n)
{
	return next_random(&random_state) % n;
}

static struct extent some_pages(void)
{
	unsigned int first = below(PAGES), most = PAGES - first;
	return (struct extent){first, 1 + below(below(2) && most > 8 ? 8 : most)};
}

static void set(bool pages[PAGES], struct extent extent)
{
	for (uint64_t i = extent.first; i < extent_end(extent); i++)
		pages[i] = true;
}

/* Everything between the first and the last page that is set counts as set. */
static void fill(bool pages[PAGES])
{
	unsigned int first = 0, end = PAGES;
	while (first < PAGES && !pages[first])
		first++;
	while (end > first && !pages[end - 1])
		end--;
	set(pages, (struct extent){first, end - first});
}

static void model_wanted(const struct region_bench *b, bool wanted[PAGES])
{
	for (unsigned int i = 0; i < PAGES; i++)
		wanted[i] = model.asked[i] || (model.lingering[i] && b->now_ns < model.linger_till_ns);
	for (unsigned int r = 0; r < READERS; r++) {
		if (model.readers[r].is_there)
			set(wanted, model.readers[r].pages);
	}
	fill(wanted);
}

static void model_linger(const struct region_bench *b, struct extent pages)
{
	if (b->now_ns >= model.linger_till_ns)
		memset(model.lingering, 0, sizeof(model.lingering));
	set(model.lingering, pages);
	fill(model.lingering);
	model.linger_till_ns = b->now_ns + LINGER_US * 1000;
}

static void model_dirty(unsigned int page)
{
	model.dirty[page] = true;
	for (unsigned int r = 0; r < READERS; r++) {
		struct extent pages = model.readers[r].pages;
		model.readers[r].stale |= page >= pages.first && page < extent_end(pages);
	}
}

/* ---- steps ---- */

static void poll_some_hull(struct region_bench *b)
{
	struct extent hull = {VRAM + below(SPACE), below(MAX_HULL)};
	bool wanted[PAGES], bits_are_known = below(4);
	unsigned long bitmap[HULL_WORDS];

	if (below(2)) /* often one that has all of it */
		hull = (struct extent){model.vram_first - below(100), PAGES + 100};
	for (unsigned int i = 0; i < HULL_WORDS; i++)
		bitmap[i] = next_random(&random_state) & next_random(&random_state);
	model_wanted(b, wanted);
	for (unsigned int i = 0; i < PAGES; i++) {
		uint64_t bit = model.vram_first + i - hull.first;
		bool inside = bit < hull.nr_pages;
		bool known = bits_are_known && inside && model.followed[i];
		bool is_dirty = known ? bitmap[bit / 64] >> (bit % 64) & 1 : true;
		if (model.live[i] && wanted[i] && is_dirty)
			model_dirty(i);
		model.followed[i] = inside && wanted[i];
	}
	region_bench_poll_gfns(b, hull, bits_are_known ? bitmap : NULL);
	uint64_t untracked = 0;
	bool is_read = tracked_region_period_ns(b->region) > 0;
	for (unsigned int i = 0; i < PAGES; i++)
		untracked += model.live[i] && wanted[i] && !model.followed[i];
	assert_int_equal(b->log.header->untracked_pages, untracked);
	assert_int_equal(b->log.header->state, !is_read    ? REGION_LOG_IDLE
					       : untracked ? REGION_LOG_PARTIAL
							   : REGION_LOG_TRACKED);
}

static void ask(struct region_bench *b)
{
	struct extent pages = some_pages();
	assert_int_equal(tracked_region_ask(b->region, pages, b->now_ns), 0);
	set(model.asked, pages);
	fill(model.asked);
	model_linger(b, pages);
}

static void answer_who_asked(struct region_bench *b)
{
	b->region->asked = (struct extent){0};
	memset(model.asked, 0, sizeof(model.asked));
}

static void change_reader(struct region_bench *b, unsigned int r)
{
	struct model_reader *reader = &model.readers[r];
	bool leave = reader->is_there && below(2);

	if (leave) {
		assert_true(tracked_region_drop_reader(b->region, r, b->now_ns));
		model_linger(b, reader->pages);
	}
	if (reader->is_there)
		close(reader->fd);
	*reader = (struct model_reader){0};
	if (leave)
		return;
	*reader = (struct model_reader){.is_there = true, .pages = some_pages(), .stale = true};
	reader->fd = region_bench_add_reader(b, r, reader->pages);
}

static void mark(struct region_bench *b)
{
	struct extent pages[3];
	size_t n = 1 + below(3);
	for (size_t i = 0; i < n; i++) {
		pages[i] = some_pages();
		for (uint64_t page = pages[i].first; page < extent_end(pages[i]); page++) {
			if (model.live[page])
				model_dirty(page);
		}
	}
	assert_int_equal(tracked_region_mark(b->region, pages, n), 0);
}

static void dirty_all_that_is_live(void)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		if (model.live[i])
			model_dirty(i);
	}
}

static void place(struct region_bench *b)
{
	struct extent live[MAX_REGION_EXTENTS];
	size_t n = 0;
	memset(model.live, 0, sizeof(model.live));
	for (uint64_t page = below(10); page < PAGES && n < MAX_REGION_EXTENTS; page += 1 + below(20)) {
		uint64_t most = PAGES - page, pages = 1 + below(50);
		live[n] = (struct extent){page, pages < most ? pages : most};
		set(model.live, live[n]);
		page = extent_end(live[n++]);
	}
	model.vram_first = VRAM + below(MAX_MOVE);
	memset(model.followed, 0, sizeof(model.followed));
	assert_int_equal(tracked_region_place(b->region, model.vram_first, false, live, n), 0);
	dirty_all_that_is_live();
}

/* ---- what readers are told ---- */

static void look(struct region_bench *b)
{
	uint64_t bits[WORDS] = {0};
	for (unsigned int i = 0; i < PAGES; i++)
		bits[i / 64] |= (uint64_t)model.dirty[i] << (i % 64);
	region_bench_assert_bits(b, bits);
	memset(model.dirty, 0, sizeof(model.dirty));
}

/* Long enough after the last time, so that everybody may be woken whose pages have changed. */
static void wake(struct region_bench *b)
{
	b->now_ns += 1 * MS;
	assert_int_equal(tracked_region_wake(b->region, b->now_ns), UINT64_MAX);
	for (unsigned int r = 0; r < READERS; r++) {
		struct model_reader *reader = &model.readers[r];
		if (reader->is_there)
			assert_int_equal(drain(reader->fd), reader->stale);
		reader->stale = false;
	}
}

static void step(struct region_bench *b)
{
	switch (below(16)) {
	case 0:
	case 1:
		change_reader(b, below(READERS));
		break;
	case 2:
		ask(b);
		break;
	case 3:
		answer_who_asked(b);
		break;
	case 4:
		mark(b);
		break;
	case 5:
		if (below(4) == 0)
			place(b);
		break;
	case 6:
		if (below(4) == 0) {
			tracked_region_refresh(b->region);
			dirty_all_that_is_live();
		}
		break;
	case 7:
		b->now_ns += below(LINGER_US) * 1000ull;
		break;
	case 8:
		wake(b);
		break;
	case 9:
		look(b);
		break;
	default:
		poll_some_hull(b);
	}
}

static void test_rounds(void **state)
{
	for (unsigned int round = 0; round < ROUNDS; round++) {
		assert_int_equal(region_bench_open(state), 0);
		struct region_bench *b = *state;
		random_state = 1 + round;
		model = (struct model){.vram_first = VRAM};
		set(model.live, WHOLE);
		for (unsigned int n = 0; n < STEPS; n++)
			step(b);
		look(b);
		wake(b);
		for (unsigned int r = 0; r < READERS; r++) {
			if (model.readers[r].is_there)
				close(model.readers[r].fd);
		}
		region_bench_close(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
