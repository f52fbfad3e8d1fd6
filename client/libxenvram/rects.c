/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From dirty pages to changed rectangles of a picture. */
#include <errno.h>

#include "client/libxenvram/xenvram.h"

#define PAGE_BYTES 4096u
/* How many of the newest rectangles are looked at for one that the next continues downwards. */
#define MERGE_DEPTH 16u

struct rects {
	struct xenvram_rect *rect;
	uint32_t max;
	uint32_t n;
	bool coarse; /* the last one is the bounding box of what has no other place */
};

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void extend(struct xenvram_rect *rect, const struct xenvram_rect *by)
{
	uint32_t right = max_u32(rect->x + rect->width, by->x + by->width);
	uint32_t bottom = max_u32(rect->y + rect->height, by->y + by->height);

	rect->x = min_u32(rect->x, by->x);
	rect->y = min_u32(rect->y, by->y);
	rect->width = right - rect->x;
	rect->height = bottom - rect->y;
}

/* The rectangle that `below` continues, if any. */
static struct xenvram_rect *find_upper(const struct rects *rects, const struct xenvram_rect *below)
{
	uint32_t begin = rects->n > MERGE_DEPTH ? rects->n - MERGE_DEPTH : 0;

	for (uint32_t i = rects->n; i-- > begin;) {
		struct xenvram_rect *rect = &rects->rect[i];
		if (rect->x == below->x && rect->width == below->width && rect->y + rect->height == below->y)
			return rect;
	}
	return NULL;
}

static void add(struct rects *rects, const struct xenvram_rect *rect)
{
	struct xenvram_rect *upper = find_upper(rects, rect);

	if (upper) {
		upper->height += rect->height;
	} else if (rects->n < rects->max) {
		rects->rect[rects->n++] = *rect;
	} else {
		extend(&rects->rect[rects->n - 1], rect);
		rects->coarse = true;
	}
}

/* The pixels of row y of which a byte is in [begin, end), counted from the row's first. */
static void add_part_of_row(
	struct rects *rects, const struct xenvram_picture *picture, uint32_t y, uint32_t begin, uint32_t end)
{
	uint32_t pixel_bytes = picture->bytes_per_pixel;
	uint32_t x = begin / pixel_bytes;
	uint32_t right = min_u32(end / pixel_bytes + (end % pixel_bytes != 0), picture->width);

	if (x < right)
		add(rects, &(struct xenvram_rect){x, y, right - x, 1});
}

/* The pixels of which a byte is in [begin, end), counted from the picture's first, as at most three. */
static void add_bytes(
	struct rects *rects, const struct xenvram_picture *picture, uint64_t begin, uint64_t end)
{
	uint32_t stride = picture->stride;
	uint32_t row_bytes = picture->width * picture->bytes_per_pixel;
	uint32_t y = begin / stride;
	uint32_t first_byte = begin % stride;
	uint32_t last_y = (end - 1) / stride;
	uint32_t end_byte = (end - 1) % stride + 1;

	if (y == last_y) {
		add_part_of_row(rects, picture, y, first_byte, end_byte);
		return;
	}
	if (first_byte > 0)
		add_part_of_row(rects, picture, y++, first_byte, row_bytes);
	uint32_t end_of_whole = last_y + (end_byte >= row_bytes);
	if (y < end_of_whole)
		add(rects, &(struct xenvram_rect){0, y, picture->width, end_of_whole - y});
	if (end_byte < row_bytes)
		add_part_of_row(rects, picture, last_y, 0, end_byte);
}

/* Bytes from the picture's first to its last, without the padding of the last row. */
static int measure(const struct xenvram_picture *picture, uint64_t *ret_bytes)
{
	uint64_t row_bytes = (uint64_t)picture->width * picture->bytes_per_pixel;

	if (row_bytes == 0 || picture->height == 0 || picture->stride < row_bytes ||
		picture->bytes_per_pixel > XENVRAM_MAX_BYTES_PER_PIXEL) {
		errno = EINVAL;
		return -1;
	}
	/* Below 2^64: both factors, and the addend, are below 2^32. */
	*ret_bytes = (picture->height - 1ull) * picture->stride + row_bytes;
	return 0;
}

/* The picture lies in the pages that the bitmap has. */
static int check_place(uint64_t first, uint64_t n, uint64_t offset, uint64_t n_bytes)
{
	uint64_t begin = first * PAGE_BYTES;
	uint64_t room = n * PAGE_BYTES;

	if (first <= XENVRAM_MAX_REGION_PAGES && n <= XENVRAM_MAX_REGION_PAGES - first && offset >= begin &&
		n_bytes <= room && offset - begin <= room - n_bytes)
		return 0;
	errno = ERANGE;
	return -1;
}

int xenvram_bitmap_rects(const uint64_t *bitmap, uint64_t first, uint64_t n,
	const struct xenvram_picture *picture, struct xenvram_rect *rects, uint32_t max_rects,
	bool *ret_coarse)
{
	struct rects found = {.rect = rects, .max = max_rects};
	struct xenvram_run run;
	uint64_t n_bytes;

	if (max_rects == 0) {
		errno = EINVAL;
		return -1;
	}
	if (measure(picture, &n_bytes) < 0 || check_place(first, n, picture->offset, n_bytes) < 0)
		return -1;

	uint64_t begin = picture->offset;
	uint64_t end = begin + n_bytes;
	uint64_t end_page = (end - 1) / PAGE_BYTES + 1 - first;
	for (uint64_t i = begin / PAGE_BYTES - first; xenvram_bitmap_next_run(bitmap, end_page, i, &run);
		i = run.first + run.nr_pages) {
		uint64_t from = (first + run.first) * PAGE_BYTES;
		uint64_t to = from + run.nr_pages * PAGE_BYTES;
		add_bytes(&found, picture, (from > begin ? from : begin) - begin,
			(to < end ? to : end) - begin);
	}
	if (ret_coarse)
		*ret_coarse = found.coarse;
	return found.n;
}
