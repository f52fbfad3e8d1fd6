/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* move-ram */
#include <stdlib.h>

#include "client/xenvramctl/commands.h"

enum {
	OPTION_DOMID = OPTION_OWN,
	OPTION_FROM,
	OPTION_TO,
	OPTION_PAGES,
	OPTION_FORCE,
	OPTIONS_END,
};

int command_move_ram(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{"domid", required_argument, NULL, OPTION_DOMID},
		{"from", required_argument, NULL, OPTION_FROM},
		{"to", required_argument, NULL, OPTION_TO},
		{"pages", required_argument, NULL, OPTION_PAGES},
		{"force", no_argument, NULL, OPTION_FORCE},
		{0},
	};
	bool given[OPTIONS_END] = {false};
	uint64_t from = 0, to = 0, nr_pages = 0;
	uint32_t domid = 0, flags = 0;
	int option;

	while ((option = ctl_next_option(ctl, argc, argv, options)) != -1) {
		given[option] = true;
		switch (option) {
		case OPTION_DOMID:
			domid = ctl_number(ctl, "--domid", optarg, 0, UINT32_MAX);
			break;
		case OPTION_FROM:
			from = ctl_number(ctl, "--from", optarg, 0, UINT64_MAX);
			break;
		case OPTION_TO:
			to = ctl_number(ctl, "--to", optarg, 0, UINT64_MAX);
			break;
		case OPTION_PAGES:
			nr_pages = ctl_number(ctl, "--pages", optarg, 0, UINT64_MAX);
			break;
		case OPTION_FORCE:
			flags = XENVRAM_MOVE_FORCE;
			break;
		}
	}
	ctl_operands(ctl, argc, argv, 0);
	if (!given[OPTION_DOMID] || !given[OPTION_FROM] || !given[OPTION_TO] || !given[OPTION_PAGES])
		ctl_usage_error(ctl, "--domid, --from, --to, and --pages must be given");
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	if (xenvram_move_ram(ctl->conn, domid, from, to, nr_pages, flags) < 0)
		return ctl_fail(ctl);
	ctl_warn(ctl);
	return EXIT_SUCCESS;
}
