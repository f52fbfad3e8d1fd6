// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen-conformance: what xenvram relies on in Xen, stated row by row and put to the test. It runs on real Xen
 * and on the simulated one; both must agree on every row.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"

static const struct group {
	const char *name;
	void (*run)(struct world *world);
} groups[] = {
	{"track_dirty_vram", rows_track},
	{"relocate_memory", rows_relocate},
	{"pin_memory_cacheattr", rows_pin},
	{"modified_memory", rows_modified},
	{"restricted handles", rows_restrict},
	{"mapping and probing", rows_map},
	{"dead domains", rows_death},
};

static int usage(void)
{
	fputs("usage: xen-conformance --xen 4.17|4.20 --destroy COMMAND GUEST OTHER VICTIM HELD_VICTIM PV\n"
	      "The last five are domids; `COMMAND DOMID` destroys one. VICTIM and HELD_VICTIM will be "
	      "destroyed.\n",
		stderr);
	return 2;
}

static bool set_version(struct world *world, const char *version)
{
	if (strcmp(version, "4.17") == 0) {
		world->hole_error = "EINVAL";
		world->overlap_survives = false;
		return true;
	}
	if (strcmp(version, "4.20") == 0) {
		world->hole_error = "EACCES";
		world->overlap_survives = true;
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"xen", required_argument, NULL, 'x'},
		{"destroy", required_argument, NULL, 'd'},
		{0},
	};
	struct world world = {0};
	int option;
	int r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			world.destroy_command = optarg;
		else if (option != 'x' || !set_version(&world, optarg))
			return usage();
	}
	if (argc - optind != 5 || !world.hole_error || !world.destroy_command)
		return usage();
	world.guest = strtoul(argv[optind], NULL, 10);
	world.other = strtoul(argv[optind + 1], NULL, 10);
	world.victim = strtoul(argv[optind + 2], NULL, 10);
	world.held_victim = strtoul(argv[optind + 3], NULL, 10);
	world.pv = strtoul(argv[optind + 4], NULL, 10);

	rows_init();
	world_open_handles(&world);
	r = guest_driver_init(&world.driver, world.memory, world.guest);
	if (r < 0) {
		fprintf(stderr, "xen-conformance: no guest answers in domain %u: %s\n", world.guest,
			strerror(-r));
		return 1;
	}
	world_idle(&world);

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		printf("== %s\n", groups[i].name);
		groups[i].run(&world);
	}

	guest_driver_deinit(&world.driver);
	xenforeignmemory_close(world.memory);
	xendevicemodel_close(world.dm);
	return rows_summary() != 0;
}
