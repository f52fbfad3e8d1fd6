/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/move_operands.h"

void move_operands_parse(struct ctl *ctl, int argc, char **argv, const struct option *options,
	struct move_operands *ret_operands)
{
	bool given[MOVE_OPTIONS_END] = {false};
	struct move_operands operands = {0};
	int option;

	while ((option = ctl_next_option(ctl, argc, argv, options)) != -1) {
		given[option] = true;
		switch (option) {
		case OPTION_MOVE_DOMID:
			operands.domid = ctl_number(ctl, "--domid", optarg, 0, UINT32_MAX);
			break;
		case OPTION_MOVE_FROM:
			operands.from = ctl_number(ctl, "--from", optarg, 0, UINT64_MAX);
			break;
		case OPTION_MOVE_TO:
			operands.to = ctl_number(ctl, "--to", optarg, 0, UINT64_MAX);
			break;
		case OPTION_MOVE_PAGES:
			operands.nr_pages = ctl_number(ctl, "--pages", optarg, 0, UINT64_MAX);
			break;
		case OPTION_MOVE_FORCE:
			operands.flags = XENVRAM_MOVE_FORCE;
			break;
		}
	}
	ctl_operands(ctl, argc, argv, 0);
	if (!given[OPTION_MOVE_DOMID] || !given[OPTION_MOVE_FROM] || !given[OPTION_MOVE_TO] ||
		!given[OPTION_MOVE_PAGES])
		ctl_usage_error(ctl, "--domid, --from, --to, and --pages must be given");
	*ret_operands = operands;
}
