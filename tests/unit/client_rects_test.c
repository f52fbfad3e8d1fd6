/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changed rectangles: known ones, and what is refused. */
#include "tests/unit/unit.h"

#include <string.h>

#include "client/libxenvram/view.h"
#include "tests/unit/fake_log.h"

#define PAGE_BYTES 4096u
#define MAX_PAGES  512u
#define MAX_WORDS  XENVRAM_BITMAP_WORDS(MAX_PAGES)
#define MAX_RECTS  2000u

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

static void assert_rect(unsigned int i, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	assert_int_equal(rects[i].x, x);
	assert_int_equal(rects[i].y, y);
	assert_int_equal(rects[i].width, width);
	assert_int_equal(rects[i].height, height);
}

/* ---- known ones ---- */

static const struct xenvram_picture vga = {
	.stride = 1024 * 4, .width = 1024, .height = 400, .bytes_per_pixel = 4};

static int find(const struct xenvram_picture *picture)
{
	bool coarse = true;
	int n = xenvram_bitmap_rects(bitmap, 0, MAX_PAGES, picture, rects, MAX_RECTS, &coarse);
	assert_false(coarse);
	return n;
}

static void nothing_and_everything(void **state)
{
	(void)state;
	only(0, 0);
	assert_int_equal(find(&vga), 0);
	set(0, MAX_PAGES);
	assert_int_equal(find(&vga), 1);
	assert_rect(0, 0, 0, 1024, 400);
	only(400, MAX_PAGES - 400); /* behind the picture */
	assert_int_equal(find(&vga), 0);
}

static void a_page_a_row(void **state)
{
	(void)state;
	only(7, 3);
	set(399, 1);
	assert_int_equal(find(&vga), 2);
	assert_rect(0, 0, 7, 1024, 3);
	assert_rect(1, 0, 399, 1024, 1);
}

static void a_page_within_rows_gives_three(void **state)
{
	/* Page 1 is bytes 4096 to 8191: row 4 from byte 96 on, rows 5 to 7, row 8 up to byte 191. */
	const struct xenvram_picture small = {
		.stride = 1000, .width = 250, .height = 100, .bytes_per_pixel = 4};
	(void)state;
	only(1, 1);
	assert_int_equal(find(&small), 3);
	assert_rect(0, 24, 4, 226, 1);
	assert_rect(1, 0, 5, 250, 3);
	assert_rect(2, 0, 8, 48, 1);
}

static void a_column_is_one(void **state)
{
	/* Two pages a row: the right halves of rows 10 to 19, then whole rows, then left halves. */
	const struct xenvram_picture wide = {
		.stride = 8192, .width = 2048, .height = 200, .bytes_per_pixel = 4};
	(void)state;
	only(0, 0);
	for (uint64_t y = 10; y < 20; y++)
		set(2 * y + 1, 1);
	for (uint64_t y = 30; y < 40; y++)
		set(2 * y, 1);
	assert_int_equal(find(&wide), 2);
	assert_rect(0, 1024, 10, 1024, 10);
	assert_rect(1, 0, 30, 1024, 10);
}

static void columns_side_by_side_stay_apart(void **state)
{
	/* Of four pages a row the first and the third, and one more of a row in between. */
	const struct xenvram_picture wide = {
		.stride = 16384, .width = 16384, .height = 100, .bytes_per_pixel = 1};
	(void)state;
	only(0, 0);
	for (uint64_t y = 5; y < 15; y++) {
		set(4 * y, 1);
		set(4 * y + 2, 1);
	}
	assert_int_equal(find(&wide), 2);
	assert_rect(0, 0, 5, 4096, 10);
	assert_rect(1, 8192, 5, 4096, 10);
}

static void padding_has_no_pixels(void **state)
{
	const struct xenvram_picture padded = {
		.stride = 8192, .width = 1000, .height = 100, .bytes_per_pixel = 4};
	(void)state;
	only(1, 1); /* all padding */
	assert_int_equal(find(&padded), 0);
	only(1, 2); /* padding, then the next row */
	assert_int_equal(find(&padded), 1);
	assert_rect(0, 0, 1, 1000, 1);
}

static void a_pixel_on_two_pages_is_changed_by_either(void **state)
{
	/* 3 x 1365 = 4095: the pixel 1365 begins with the last byte of page 0. */
	const struct xenvram_picture rgb = {
		.stride = 3 * 2000, .width = 2000, .height = 2, .bytes_per_pixel = 3};
	(void)state;
	only(0, 1);
	assert_int_equal(find(&rgb), 1);
	assert_rect(0, 0, 0, 1366, 1);
	only(1, 1);
	assert_int_equal(find(&rgb), 2);
	assert_rect(0, 1365, 0, 635, 1);
	assert_rect(1, 0, 1, 731, 1);
}

static void one_pixel(void **state)
{
	struct xenvram_picture dot = {
		.offset = 4095, .stride = 4, .width = 1, .height = 1, .bytes_per_pixel = 4};
	(void)state;
	only(0, 1);
	assert_int_equal(find(&dot), 1);
	assert_rect(0, 0, 0, 1, 1);
	only(1, 1);
	assert_int_equal(find(&dot), 1);
	only(2, MAX_PAGES - 2);
	assert_int_equal(find(&dot), 0);
}

static void too_little_room_gives_a_bounding_box(void **state)
{
	bool coarse = false;
	(void)state;
	only(3, 1);
	set(10, 2);
	set(20, 1);
	set(50, 5);
	assert_int_equal(xenvram_bitmap_rects(bitmap, 0, MAX_PAGES, &vga, rects, 2, &coarse), 2);
	assert_true(coarse);
	assert_rect(0, 0, 3, 1024, 1);
	assert_rect(1, 0, 10, 1024, 45);
	assert_int_equal(xenvram_bitmap_rects(bitmap, 0, MAX_PAGES, &vga, rects, 1, NULL), 1);
	assert_rect(0, 0, 3, 1024, 52);
	assert_int_equal(xenvram_bitmap_rects(bitmap, 0, MAX_PAGES, &vga, rects, 4, &coarse), 4);
	assert_false(coarse);
}

/* ---- arguments ---- */

static void assert_refused(const struct xenvram_picture *picture, uint64_t first, uint64_t n, int error)
{
	bool coarse = true;
	memset(&rects[0], 0xa5, sizeof(rects[0]));
	assert_fails(xenvram_bitmap_rects(bitmap, first, n, picture, rects, MAX_RECTS, &coarse), error);
	assert_true(coarse);
	assert_int_equal(rects[0].x, 0xa5a5a5a5);
}

static void measures_that_are_none(void **state)
{
	struct xenvram_picture picture;
	(void)state;
	only(0, MAX_PAGES);
	assert_fails(xenvram_bitmap_rects(bitmap, 0, MAX_PAGES, &vga, rects, 0, NULL), EINVAL);
	picture = vga;
	picture.width = 0;
	assert_refused(&picture, 0, MAX_PAGES, EINVAL);
	picture = vga;
	picture.height = 0;
	assert_refused(&picture, 0, MAX_PAGES, EINVAL);
	picture = vga;
	picture.stride--;
	assert_refused(&picture, 0, MAX_PAGES, EINVAL);
	picture.stride = 0;
	assert_refused(&picture, 0, MAX_PAGES, EINVAL);
	picture = vga;
	picture.bytes_per_pixel = 0;
	assert_refused(&picture, 0, MAX_PAGES, EINVAL);
	picture.bytes_per_pixel = XENVRAM_MAX_BYTES_PER_PIXEL + 1;
	picture.stride = UINT32_MAX;
	assert_refused(&picture, 0, MAX_PAGES, EINVAL);
	/* A row of 2^32 and of 2^32 + 4 bytes. */
	picture = vga;
	picture.width = 1u << 30;
	assert_refused(&picture, 0, MAX_PAGES, EINVAL);
	picture.width++;
	assert_refused(&picture, 0, MAX_PAGES, EINVAL);
}

static void pictures_that_are_not_all_there(void **state)
{
	struct xenvram_picture picture = vga;
	(void)state;
	only(0, MAX_PAGES);
	assert_refused(&picture, 0, 399, ERANGE);
	assert_refused(&picture, 1, 400, ERANGE);
	assert_refused(&picture, 0, 0, ERANGE);
	picture.offset = 1;
	assert_refused(&picture, 0, 400, ERANGE);
	assert_int_equal(xenvram_bitmap_rects(bitmap, 0, 401, &picture, rects, MAX_RECTS, NULL), 1);
	picture.offset = PAGE_BYTES - 1;
	assert_refused(&picture, 1, 401, ERANGE);
	/* The padding after the last pixel may be beyond. */
	picture = (struct xenvram_picture){.stride = 8192, .width = 1, .height = 3, .bytes_per_pixel = 1};
	assert_int_equal(xenvram_bitmap_rects(bitmap, 0, 5, &picture, rects, MAX_RECTS, NULL), 1);
	assert_refused(&picture, 0, 4, ERANGE);
}

static void pictures_as_large_as_can_be_said(void **state)
{
	struct xenvram_picture picture = vga;
	(void)state;
	picture.offset = UINT64_MAX;
	assert_refused(&picture, 0, MAX_PAGES, ERANGE);
	picture.offset = UINT64_MAX - 400 * PAGE_BYTES + 1;
	assert_refused(&picture, 0, MAX_PAGES, ERANGE);
	picture = (struct xenvram_picture){
		.stride = UINT32_MAX, .width = UINT32_MAX, .height = UINT32_MAX, .bytes_per_pixel = 1};
	assert_refused(&picture, 0, MAX_PAGES, ERANGE);
	picture.offset = UINT64_MAX;
	assert_refused(&picture, 0, MAX_PAGES, ERANGE);
	assert_refused(&vga, 0, XENVRAM_MAX_REGION_PAGES + 1, ERANGE);
	assert_refused(&vga, 1, XENVRAM_MAX_REGION_PAGES, ERANGE);
	assert_refused(&vga, 1, UINT64_MAX, ERANGE);
	/* first * 4096 wraps around to 0. */
	assert_refused(&vga, 1ull << 52, MAX_PAGES, ERANGE);
}

/* ---- from a view ---- */

static void a_view_of_the_pictures_pages(void **state)
{
	const struct xenvram_picture picture = {.offset = 100 * PAGE_BYTES,
		.stride = 4096,
		.width = 1024,
		.height = 50,
		.bytes_per_pixel = 4};
	struct fake_log log;
	uint64_t cursor = 1;
	(void)state;
	fake_log_init(&log, 7, 200);
	struct view *view = view_new(1, log.fd, -1);
	assert_non_null(view);
	fake_log_mark(&log, 99);
	fake_log_mark(&log, 100);
	fake_log_mark(&log, 149);
	fake_log_mark(&log, 150);
	fake_log_publish(&log);
	assert_int_equal(xenvram_view_read(&view->public, &cursor, 100, 50, bitmap), 2);
	assert_int_equal(xenvram_bitmap_rects(bitmap, 100, 50, &picture, rects, MAX_RECTS, NULL), 2);
	assert_rect(0, 0, 0, 1024, 1);
	assert_rect(1, 0, 49, 1024, 1);
	view_free(view);
	fake_log_deinit(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_and_everything),
		cmocka_unit_test(a_page_a_row),
		cmocka_unit_test(a_page_within_rows_gives_three),
		cmocka_unit_test(a_column_is_one),
		cmocka_unit_test(columns_side_by_side_stay_apart),
		cmocka_unit_test(padding_has_no_pixels),
		cmocka_unit_test(a_pixel_on_two_pages_is_changed_by_either),
		cmocka_unit_test(one_pixel),
		cmocka_unit_test(too_little_room_gives_a_bounding_box),
		cmocka_unit_test(measures_that_are_none),
		cmocka_unit_test(pictures_that_are_not_all_there),
		cmocka_unit_test(pictures_as_large_as_can_be_said),
		cmocka_unit_test(a_view_of_the_pictures_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
