/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changed rectangles of random pictures, against a painter who goes pixel by pixel. */
#include "tests/unit/unit.h"

#include <string.h>

#include "client/libxenvram/xenvram.h"

#define PAGE_BYTES 4096u
#define MAX_PAGES  512u
#define MAX_WORDS  XENVRAM_BITMAP_WORDS(MAX_PAGES)
#define MAX_SIDE   64u
#define MAX_RECTS  2000u
#define ROUNDS     20000u

static uint64_t bitmap[MAX_WORDS];
static struct xenvram_rect rects[MAX_RECTS];

static void set(uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++)
		bitmap[i / 64] |= 1ull << (i % 64);
}

static void only(uint64_t first, uint64_t n)
{
	memset(bitmap, 0, sizeof(bitmap));
	set(first, n);
}

static bool is_set(uint64_t i)
{
	return bitmap[i / 64] >> (i % 64) & 1;
}

struct canvas {
	bool dirty[MAX_SIDE][MAX_SIDE];
	bool covered[MAX_SIDE][MAX_SIDE];
};

static void canvas_paint(struct canvas *canvas, const struct xenvram_picture *picture, uint64_t first)
{
	memset(canvas, 0, sizeof(*canvas));
	for (uint32_t y = 0; y < picture->height; y++) {
		for (uint32_t x = 0; x < picture->width; x++) {
			for (uint32_t b = 0; b < picture->bytes_per_pixel; b++) {
				uint64_t byte = picture->offset + (uint64_t)y * picture->stride +
						x * picture->bytes_per_pixel + b;
				canvas->dirty[y][x] |= is_set(byte / PAGE_BYTES - first);
			}
		}
	}
}

static void assert_within(const struct xenvram_picture *picture, const struct xenvram_rect *rect)
{
	assert_true(rect->width > 0 && rect->x < picture->width && rect->width <= picture->width - rect->x);
	assert_true(
		rect->height > 0 && rect->y < picture->height && rect->height <= picture->height - rect->y);
}

/* An exact rectangle: dirty pixels only, none of which another has. */
static void canvas_cover(struct canvas *canvas, const struct xenvram_rect *rect)
{
	for (uint32_t y = rect->y; y < rect->y + rect->height; y++) {
		for (uint32_t x = rect->x; x < rect->x + rect->width; x++) {
			assert_true(canvas->dirty[y][x]);
			assert_false(canvas->covered[y][x]);
			canvas->covered[y][x] = true;
		}
	}
}

/* The bounding box of what is dirty and not covered; empty if nothing is. */
static struct xenvram_rect canvas_rest(const struct canvas *canvas)
{
	uint32_t left = MAX_SIDE, top = MAX_SIDE, right = 0, bottom = 0;

	for (uint32_t y = 0; y < MAX_SIDE; y++) {
		for (uint32_t x = 0; x < MAX_SIDE; x++) {
			if (!canvas->dirty[y][x] || canvas->covered[y][x])
				continue;
			left = x < left ? x : left;
			right = x + 1 > right ? x + 1 : right;
			top = y < top ? y : top;
			bottom = y + 1;
		}
	}
	if (right == 0)
		return (struct xenvram_rect){0};
	return (struct xenvram_rect){left, top, right - left, bottom - top};
}

static uint32_t pick_stride(uint32_t row_bytes, uint64_t *random)
{
	switch (next_random(random) % 4) {
	case 0:
		return row_bytes;
	case 1:
		return row_bytes + next_random(random) % 100;
	case 2:
		return (1 + next_random(random) % 4) * PAGE_BYTES;
	default:
		return row_bytes + next_random(random) % (5 * PAGE_BYTES);
	}
}

static struct xenvram_picture pick_picture(uint64_t *random)
{
	struct xenvram_picture picture = {
		.width = 1 + next_random(random) % MAX_SIDE,
		.height = 1 + next_random(random) % MAX_SIDE,
		.bytes_per_pixel = 1 + next_random(random) % XENVRAM_MAX_BYTES_PER_PIXEL,
	};
	picture.stride = pick_stride(picture.width * picture.bytes_per_pixel, random);
	picture.offset = next_random(random) % (40 * PAGE_BYTES);
	if (next_random(random) % 4 == 0)
		picture.offset -= picture.offset % PAGE_BYTES;
	return picture;
}

/* Scattered pages, runs, or all. Returns the number of runs. */
static unsigned int pick_pages(uint64_t n, uint64_t *random)
{
	struct xenvram_run run = {0};
	unsigned int n_runs = 0;

	only(0, 0);
	for (uint64_t i = next_random(random) % 12; i > 0; i--) {
		uint64_t first = next_random(random) % n;
		uint64_t longest = next_random(random) % 2 ? n - first : 1;
		set(first, 1 + next_random(random) % longest);
	}
	if (next_random(random) % 8 == 0) {
		for (uint64_t i = 0; i < n; i++)
			bitmap[i / 64] ^= (next_random(random) & 1) << (i % 64);
	}
	while (xenvram_bitmap_next_run(bitmap, n, run.first + run.nr_pages, &run))
		n_runs++;
	return n_runs;
}

static void random_pictures(void **state)
{
	static struct canvas canvas;
	uint64_t random = 1;
	unsigned int n_coarse = 0, n_exact = 0;
	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct xenvram_picture picture = pick_picture(&random);
		uint64_t end = picture.offset + (picture.height - 1) * picture.stride +
			       picture.width * picture.bytes_per_pixel;
		uint64_t first = next_random(&random) % (picture.offset / PAGE_BYTES + 1);
		uint64_t n = (end - 1) / PAGE_BYTES + 1 - first;
		uint32_t max_rects = round % 2 ? MAX_RECTS : 1 + next_random(&random) % 6;
		bool coarse;

		unsigned int n_runs = pick_pages(n, &random);
		int n_rects = xenvram_bitmap_rects(bitmap, first, n, &picture, rects, max_rects, &coarse);
		assert_in_range(n_rects, 0, max_rects);
		assert_true((unsigned int)n_rects <= 3 * n_runs);
		canvas_paint(&canvas, &picture, first);
		for (int i = 0; i < n_rects; i++) {
			assert_within(&picture, &rects[i]);
			if (i < n_rects - coarse)
				canvas_cover(&canvas, &rects[i]);
		}
		struct xenvram_rect rest = canvas_rest(&canvas);
		if (coarse) {
			assert_int_equal(n_rects, max_rects);
			assert_memory_equal(&rest, &rects[n_rects - 1], sizeof(rest));
			n_coarse++;
		} else {
			assert_int_equal(rest.width, 0);
			n_exact += n_rects > 1;
		}
	}
	assert_true(n_coarse > ROUNDS / 20);
	assert_true(n_exact > ROUNDS / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_pictures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
