/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bitmaps as runs and as a picture. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/xenvramctl/picture.h"
#include "client/xenvramctl/runs.h"

#define MAX_PAGES 300u

static void set(uint64_t *bitmap, uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++)
		bitmap[i / 64] |= 1ull << (i % 64);
}

static void assert_printed(
	const uint64_t *bitmap, uint64_t nr_pages, unsigned int max_runs, const char *expected)
{
	char *text = NULL;
	size_t n_bytes;
	FILE *stream = open_memstream(&text, &n_bytes);
	assert_non_null(stream);
	runs_print(stream, bitmap, nr_pages, max_runs);
	fclose(stream);
	assert_string_equal(text, expected);
	free(text);
}

static void runs_are_printed(void **state)
{
	uint64_t bitmap[5] = {0};
	(void)state;
	assert_printed(bitmap, MAX_PAGES, 9, "");
	set(bitmap, 0, 4);
	set(bitmap, 9, 1);
	set(bitmap, 63, 2);
	set(bitmap, 128, 64);
	set(bitmap, 299, 1);
	assert_printed(bitmap, MAX_PAGES, 9, "0-3 9 63-64 128-191 299");
	assert_printed(bitmap, MAX_PAGES, 2, "0-3 9 and 3 more");
	assert_printed(bitmap, 64, 9, "0-3 9 63");
	assert_printed(bitmap, 2, 9, "0-1");
}

static void runs_go_to_json(void **state)
{
	uint64_t bitmap[2] = {0};
	(void)state;
	set(bitmap, 3, 2);
	set(bitmap, 100, 1);
	struct json_object *json = runs_to_json(bitmap, 128);
	assert_string_equal(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN),
		"[{\"first\":3,\"pages\":2},{\"first\":100,\"pages\":1}]");
	json_object_put(json);
}

static void a_picture_cools_down(void **state)
{
	struct picture picture;
	uint64_t dirty[1] = {0};
	uint64_t clean[1] = {0};
	char text[11];
	(void)state;
	assert_int_equal(picture_init(&picture, 10), 0);
	picture_row(&picture, 0, 1, 10, text);
	assert_string_equal(text, "..........");
	set(dirty, 2, 3);
	picture_update(&picture, dirty);
	picture_row(&picture, 0, 1, 10, text);
	assert_string_equal(text, "..###.....");
	picture_update(&picture, clean);
	picture_row(&picture, 0, 1, 10, text);
	assert_string_equal(text, "..***.....");
	for (unsigned int i = 0; i < 30; i++)
		picture_update(&picture, clean);
	picture_row(&picture, 0, 1, 10, text);
	assert_string_equal(text, "..........");
	picture_deinit(&picture);
}

static void a_cell_shows_its_warmest_page(void **state)
{
	struct picture picture;
	uint64_t dirty[5] = {0};
	char text[5];
	(void)state;
	assert_int_equal(picture_init(&picture, 10), 0);
	set(dirty, 9, 1);
	picture_update(&picture, dirty);
	assert_int_equal(picture_pages_per_cell(&picture, 2, 2), 3);
	picture_row(&picture, 0, 3, 2, text);
	assert_string_equal(text, "..");
	picture_row(&picture, 6, 3, 2, text);
	assert_string_equal(text, ".#");
	picture_row(&picture, 6, 3, 4, text);
	assert_string_equal(text, ".#");
	picture_deinit(&picture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_are_printed),
		cmocka_unit_test(runs_go_to_json),
		cmocka_unit_test(a_picture_cools_down),
		cmocka_unit_test(a_cell_shows_its_warmest_page),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
