/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which pages of which domain go where: the operands of move-ram and map-ram. */
#ifndef XENVRAM_CTL_MOVE_OPERANDS_H
#define XENVRAM_CTL_MOVE_OPERANDS_H

#include "client/xenvramctl/ctl.h"

struct move_operands {
	uint32_t domid;
	uint64_t from;
	uint64_t to;
	uint64_t nr_pages;
	uint32_t flags; /* XENVRAM_MOVE_*, of those that the options have */
};

enum {
	OPTION_MOVE_DOMID = OPTION_OWN,
	OPTION_MOVE_FROM,
	OPTION_MOVE_TO,
	OPTION_MOVE_PAGES,
	OPTION_MOVE_FORCE,
	MOVE_OPTIONS_END,
};

#define MOVE_OPTIONS                                                                                         \
	{"domid", required_argument, NULL, OPTION_MOVE_DOMID},                                               \
		{"from", required_argument, NULL, OPTION_MOVE_FROM},                                         \
		{"to", required_argument, NULL, OPTION_MOVE_TO},                                             \
	{                                                                                                    \
		"pages", required_argument, NULL, OPTION_MOVE_PAGES                                          \
	}

/* Ends with a usage error when one is missing. */
void move_operands_parse(struct ctl *ctl, int argc, char **argv, const struct option *options,
	struct move_operands *ret_operands);

#endif
