/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/runs.h"

#include <inttypes.h>

#include "client/libxenvram/xenvram.h"

static void print_run(FILE *stream, const char *separator, const struct xenvram_run *run)
{
	fprintf(stream, "%s%" PRIu64, separator, run->first);
	if (run->nr_pages > 1)
		fprintf(stream, "-%" PRIu64, run->first + run->nr_pages - 1);
}

void runs_print(FILE *stream, const uint64_t *bitmap, uint64_t nr_pages, unsigned int max_runs)
{
	struct xenvram_run run = {0};
	unsigned int n_runs = 0;

	while (xenvram_bitmap_next_run(bitmap, nr_pages, run.first + run.nr_pages, &run)) {
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
	struct xenvram_run run = {0};

	while (xenvram_bitmap_next_run(bitmap, nr_pages, run.first + run.nr_pages, &run)) {
		struct json_object *object = json_object_new_object();
		json_object_object_add(object, "first", json_object_new_uint64(run.first));
		json_object_object_add(object, "pages", json_object_new_uint64(run.nr_pages));
		json_object_array_add(array, object);
	}
	return array;
}
