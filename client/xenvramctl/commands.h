/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subcommands. Each returns the exit status, or ends the program when it is called wrongly. */
#ifndef XENVRAM_CTL_COMMANDS_H
#define XENVRAM_CTL_COMMANDS_H

#include "client/xenvramctl/ctl.h"

int command_regions(struct ctl *ctl, int argc, char **argv);
int command_domains(struct ctl *ctl, int argc, char **argv);
int command_create(struct ctl *ctl, int argc, char **argv);
int command_destroy(struct ctl *ctl, int argc, char **argv);
int command_move(struct ctl *ctl, int argc, char **argv);
int command_map(struct ctl *ctl, int argc, char **argv);
int command_dirty(struct ctl *ctl, int argc, char **argv);
int command_map_ram(struct ctl *ctl, int argc, char **argv);
int command_move_ram(struct ctl *ctl, int argc, char **argv);
int command_pin(struct ctl *ctl, int argc, char **argv);
int command_unpin(struct ctl *ctl, int argc, char **argv);
int command_pins(struct ctl *ctl, int argc, char **argv);
int command_snapshot(struct ctl *ctl, int argc, char **argv);
int command_watch(struct ctl *ctl, int argc, char **argv);
int command_top(struct ctl *ctl, int argc, char **argv);

#endif
