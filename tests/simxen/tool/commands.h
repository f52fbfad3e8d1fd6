/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subcommands of the tool. argv[0] is the subcommand's name; each returns the exit status. */
#ifndef XENVRAM_SIMXEN_COMMANDS_H
#define XENVRAM_SIMXEN_COMMANDS_H

#include <stdint.h>

#include "tests/simxen/host.h"

int command_create_host(int argc, char **argv);
int command_list(int argc, char **argv);
int command_stats(int argc, char **argv);
int command_p2m(int argc, char **argv);
int command_create(int argc, char **argv);
int command_destroy(int argc, char **argv);
int command_guest(int argc, char **argv);
int command_fault(int argc, char **argv);

/* Ends the program with a word on how the subcommand is used. */
_Noreturn void usage(void);

/* Both end the program with a message if they cannot. */
uint64_t parse_number(const char *text, uint64_t max);
void open_host(struct host *host);

/* Says what failed; the exit status. */
int fail(const char *what, int result);

#endif
