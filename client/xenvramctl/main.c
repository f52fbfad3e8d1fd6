/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* xenvramctl: video RAM regions of Xen guests, for the administrator at a terminal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/live.h"

static const struct command commands[] = {
	{"regions", "", "List regions.", "  --domid D             only those of one domain\n",
		command_regions},
	{"domains", "", "List the domains that have regions.", "", command_domains},
	{"create", "--domid D --vram-gfn G (--backing-gfn B | --adopt) --pages N",
		"Move N pages of domain D from gfn B to gfn G and follow them; prints the region's cookie.",
		"  --domid D             the domain, HVM or PVH\n"
		"  --vram-gfn G          where the pages go: N holes\n"
		"  --backing-gfn B       where they come from: N populated pages\n"
		"  --pages N             of 4 KiB, at most 262144\n"
		"  --cache-attr TYPE     memory type: wb (default), wc, uc, uc-, wt, wp\n"
		"  --require-cache-attr  fail when the memory type cannot be pinned, instead of a warning\n"
		"  --adopt               the pages are at G already, and stay\n"
		"  --dry-run             only say whether it could be done\n",
		command_create},
	{"destroy", "COOKIE [--first P --pages N]",
		"Move a region's pages back to where they came from, and forget it, or only a part.",
		"  --first P             page of the region where the part begins\n"
		"  --pages N             how many pages it has\n",
		command_destroy},
	{"move", "COOKIE --vram-gfn G",
		"Move a region to where its guest has moved the framebuffer; its readers stay.",
		"  --vram-gfn G          where the pages go: holes\n", command_move},
	{"map", "COOKIE", "Find out where each page of a region is, above all of a stuck one.", "",
		command_map},
	{"move-ram", "--domid D --from G --to H --pages N",
		"Move N pages of domain D from gfn G to gfn H, outside of regions.",
		"  --domid D             the domain, HVM or PVH\n"
		"  --from G              where they are: N populated pages\n"
		"  --to H                where they go: N holes\n"
		"  --pages N             of 4 KiB, at most 262144\n"
		"  --force               drop the pages that are at H, for good\n",
		command_move_ram},
	{"map-ram", "--domid D --from G --to H --pages N",
		"Find out where each page of a move-ram is: at H (vram) or still at G (backing).",
		"  --domid D             as it was moved\n"
		"  --from G              as it was moved\n"
		"  --to H                as it was moved\n"
		"  --pages N             as it was moved\n",
		command_map_ram},
	{"dirty", "--domid D --gfn G --pages N",
		"Print which of N gfns of domain D from G on, in regions or not, are written to in a second.",
		"  --domid D             the domain, HVM or PVH\n"
		"  --gfn G               the first\n"
		"  --pages N             how many, at most 262144\n"
		"  --interval MS         how long to look, 1 to 4000; default 1000\n",
		command_dirty},
	{"pin", "--domid D --gfn G --pages N [--cache-attr TYPE]",
		"Pin the memory type of N gfns of domain D from G on, which are no region's vram.",
		"  --domid D             the domain, HVM or PVH\n"
		"  --gfn G               the first of N gfns, populated or not\n"
		"  --pages N             of 4 KiB\n"
		"  --cache-attr TYPE     memory type: wb (default), wc, uc, uc-, wt, wp\n",
		command_pin},
	{"unpin", "--domid D --gfn G --pages N", "Take away the pin that has exactly these bounds.",
		"  --domid D             the domain\n"
		"  --gfn G               as it was pinned\n"
		"  --pages N             as it was pinned\n",
		command_unpin},
	{"pins", "--domid D", "List the pins of a domain, those of its regions among them.",
		"  --domid D             the domain\n", command_pins},
	{"snapshot", "COOKIE", "Print which pages of a region are dirty.",
		"  --since G             dirtied after generation G; default 0: ever\n"
		"  --sync                ask the hypervisor now, though the region is being watched\n"
		"  --first P             only from page P of the region on, which is then page 0 of the "
		"output\n"
		"  --pages N             only N pages; default all from the first on\n",
		command_snapshot},
	{"watch", "COOKIE",
		"Follow a region in the terminal until q or Ctrl-C; as lines when not on a terminal.",
		LIVE_HELP
		"  --interval MS         between frames, 1 to 10000; default 100, or 1000 as lines\n",
		command_watch},
	{"top", "",
		"Show what polling costs, domain by domain, until q or Ctrl-C; as lines when not on a "
		"terminal.",
		LIVE_HELP "  --interval MS         between frames, 1 to 10000; default 1000\n", command_top},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

enum {
	OPTION_VERSION = OPTION_OWN,
};

static _Noreturn void print_overview(void)
{
	puts("Usage: xenvramctl [--socket PATH] [--json] COMMAND [ARGUMENT]...\n\n"
	     "Video RAM regions of Xen guests, as owned by xenvramd.\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	puts("\n  --socket PATH  of the service; default " XENVRAM_SOCKET_PATH "\n"
	     "  --json         print JSON\n"
	     "  --version      print the version\n"
	     "  --help         print this, or after a command, what it takes\n\n"
	     "Numbers are decimal, or hexadecimal after 0x. Exit status: 0; 1 failed; 2 called wrongly.");
	exit(EXIT_SUCCESS);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

/* What stands before the subcommand. */
static void parse_global_options(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS, {"version", no_argument, NULL, OPTION_VERSION}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		switch (option) {
		case OPTION_SOCKET:
			ctl->socket_path = optarg;
			break;
		case OPTION_JSON:
			ctl->json = true;
			break;
		case OPTION_HELP:
			print_overview();
		case OPTION_VERSION:
			puts("xenvramctl " XENVRAM_VERSION);
			exit(EXIT_SUCCESS);
		default:
			ctl_bad_option(ctl, argv, option);
		}
	}
}

int main(int argc, char **argv)
{
	struct ctl ctl = {0};

	opterr = 0;
	parse_global_options(&ctl, argc, argv);
	if (optind >= argc)
		ctl_usage_error(&ctl, "no command given");
	argc -= optind;
	argv += optind;
	ctl.command = find_command(argv[0]);
	if (!ctl.command)
		ctl_usage_error(&ctl, "there is no command \"%s\"", argv[0]);

	optind = 0; /* the C library's way to say: from the start, with other options */
	int status = ctl.command->run(&ctl, argc, argv);
	xenvram_free(ctl.conn);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		ctl_say(&ctl, "cannot write to standard output");
		status = EXIT_FAILURE;
	}
	return status;
}
