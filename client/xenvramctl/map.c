/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* map and map-ram */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/move_operands.h"
#include "client/xenvramctl/names.h"

static int print_run(const struct xenvram_mapped_run *run, void *data)
{
	(void)data;
	printf("page %7" PRIu64 " to %7" PRIu64 ": %7" PRIu64 " %-9s", run->first,
		run->first + run->nr_pages - 1, run->nr_pages, name_of_page_place(run->place));
	if (run->place != XENVRAM_MISSING)
		printf(" 0x%" PRIx64, run->gfn);
	putchar('\n');
	return 0;
}

static int add_run(const struct xenvram_mapped_run *run, void *data)
{
	struct json_object *object = json_object_new_object();
	json_object_object_add(object, "first", json_object_new_uint64(run->first));
	json_object_object_add(object, "pages", json_object_new_uint64(run->nr_pages));
	json_object_object_add(object, "place", json_object_new_string(name_of_page_place(run->place)));
	if (run->place != XENVRAM_MISSING)
		json_object_object_add(object, "gfn", json_object_new_uint64(run->gfn));
	json_object_array_add(data, object);
	return 0;
}

/* What to ask: of a region, by its cookie, or of a move. */
struct question {
	uint64_t cookie; /* 0: of a move */
	struct move_operands move;
};

static int ask(struct ctl *ctl, const struct question *question,
	int (*each)(const struct xenvram_mapped_run *run, void *data), void *data)
{
	const struct move_operands *move = &question->move;
	if (question->cookie)
		return xenvram_map_region(ctl->conn, question->cookie, each, data);
	return xenvram_map_ram(ctl->conn, move->domid, move->from, move->to, move->nr_pages, each, data);
}

static int print(struct ctl *ctl, const struct question *question)
{
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	if (!ctl->json)
		return ask(ctl, question, print_run, NULL) < 0 ? ctl_fail(ctl) : EXIT_SUCCESS;
	struct json_object *array = json_object_new_array();
	if (ask(ctl, question, add_run, array) < 0) {
		json_object_put(array);
		return ctl_fail(ctl);
	}
	ctl_print_json(array);
	return EXIT_SUCCESS;
}

int command_map(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS, {0}};
	struct question question = {0};

	ctl_next_option(ctl, argc, argv, options);
	question.cookie = ctl_number(ctl, "COOKIE", ctl_operands(ctl, argc, argv, 1)[0], 1, UINT64_MAX);
	return print(ctl, &question);
}

int command_map_ram(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS, MOVE_OPTIONS, {0}};
	struct question question = {0};

	move_operands_parse(ctl, argc, argv, options, &question.move);
	return print(ctl, &question);
}
