/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/runs.h"

#include <inttypes.h>

/* The first page at or after `from` whose bit, exclusive-or'ed with `flip`, is set; nr_pages if there is
 * none. */
static uint64_t find_bit(const uint64_t *bitmap, uint64_t nr_pages, uint64_t from, uint64_t flip)
{
	for (uint64_t i = from; i < nr_pages; i += 64 - i % 64) {
		uint64_t word = (bitmap[i / 64] ^ flip) >> (i % 64);
		if (word != 0) {
			i += __builtin_ctzll(word);
			return i < nr_pages ? i : nr_pages;
		}
	}
	return nr_pages;
}

bool runs_next(const uint64_t *bitmap, uint64_t nr_pages, uint64_t from, struct run *ret_run)
{
	uint64_t first = find_bit(bitmap, nr_pages, from, 0);
	if (first == nr_pages)
		return false;
	*ret_run = (struct run){first, find_bit(bitmap, nr_pages, first, ~0ull) - first};
	return true;
}

static void print_run(FILE *stream, const char *separator, const struct run *run)
{
	fprintf(stream, "%s%" PRIu64, separator, run->first);
	if (run->n_pages > 1)
		fprintf(stream, "-%" PRIu64, run->first + run->n_pages - 1);
}

void runs_print(FILE *stream, const uint64_t *bitmap, uint64_t nr_pages, unsigned int max_runs)
{
	struct run run = {0};
	unsigned int n_runs = 0;

	while (runs_next(bitmap, nr_pages, run.first + run.n_pages, &run)) {
		if (n_runs < max_runs)
			print_run(stream, n_runs == 0 ? "" : " ", &run);
		n_runs++;
	}
	if (n_runs > max_runs)
		fprintf(stream, " and %u more", n_runs - max_runs);
}

struct json_object *runs_to_json(const uint64_t *bitmap, uint64_t nr_pages)
{
	struct json_object *array = json_object_new_array();
	struct run run = {0};

	while (runs_next(bitmap, nr_pages, run.first + run.n_pages, &run)) {
		struct json_object *object = json_object_new_object();
		json_object_object_add(object, "first", json_object_new_uint64(run.first));
		json_object_object_add(object, "pages", json_object_new_uint64(run.n_pages));
		json_object_array_add(array, object);
	}
	return array;
}
