/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bitmap of pages as runs. No I/O but into the JSON and the stream given. */
#ifndef XENVRAM_CTL_RUNS_H
#define XENVRAM_CTL_RUNS_H

#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>

/* "0-3 9 12-15"; of more than max_runs runs the rest are counted: "0-3 9 and 7 more". Nothing when none is
 * set. */
void runs_print(FILE *stream, const uint64_t *bitmap, uint64_t nr_pages, unsigned int max_runs);

/* [{"first": 0, "pages": 4}, ...] */
struct json_object *runs_to_json(const uint64_t *bitmap, uint64_t nr_pages);

#endif
