/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* move-ram */
#include <stdlib.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/move_operands.h"

int command_move_ram(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		MOVE_OPTIONS,
		{"force", no_argument, NULL, OPTION_MOVE_FORCE},
		{0},
	};
	struct move_operands move;

	move_operands_parse(ctl, argc, argv, options, &move);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	if (xenvram_move_ram(ctl->conn, move.domid, move.from, move.to, move.nr_pages, move.flags) < 0)
		return ctl_fail(ctl);
	ctl_warn(ctl);
	return EXIT_SUCCESS;
}
