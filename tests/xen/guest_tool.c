// SPDX-License-Identifier: LGPL-2.1-or-later
/* xen-guest-tool: drives a test guest from a script, on real and on simulated Xen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest_driver.h"

static int do_wait(struct guest_driver *driver, const uint32_t *args)
{
	(void)driver;
	(void)args;
	return 0;
}

static int do_idle(struct guest_driver *driver, const uint32_t *args)
{
	(void)args;
	return guest_driver_idle(driver);
}

static int do_paint(struct guest_driver *driver, const uint32_t *args)
{
	return guest_driver_paint(driver, args[0], args[1], args[2], args[3]);
}

static int do_sweep(struct guest_driver *driver, const uint32_t *args)
{
	return guest_driver_sweep(driver, args[0], args[1], args[2]);
}

/* The guest goes on drawing, at another place: as one does that moves its framebuffer. */
static int do_rebase(struct guest_driver *driver, const uint32_t *args)
{
	driver->ctl->base_gfn = args[0];
	return 0;
}

static int do_frames(struct guest_driver *driver, const uint32_t *args)
{
	return guest_driver_wait_frames(driver, args[0]);
}

/* The pages from a gfn on, cut to what one request can name. */
static uint32_t list_gfns(uint32_t first_gfn, uint32_t count, uint32_t *gfns)
{
	if (count > GUEST_MAX_LIST)
		count = GUEST_MAX_LIST;
	for (uint32_t i = 0; i < count; i++)
		gfns[i] = first_gfn + i;
	return count;
}

static int do_write(struct guest_driver *driver, const uint32_t *args)
{
	uint32_t gfns[GUEST_MAX_LIST];
	uint32_t done = 0;

	while (done < args[1]) {
		uint32_t count = list_gfns(args[0] + done, args[1] - done, gfns);
		int r = guest_driver_write(driver, gfns, count, args[2] + done);

		if (r < 0)
			return r;
		done += count;
	}
	return 0;
}

static int do_read(struct guest_driver *driver, const uint32_t *args)
{
	uint32_t gfns[GUEST_MAX_LIST];
	uint32_t words[GUEST_MAX_LIST];
	uint32_t done = 0;

	while (done < args[1]) {
		uint32_t count = list_gfns(args[0] + done, args[1] - done, gfns);
		int r = guest_driver_read(driver, gfns, count, words);

		if (r < 0)
			return r;
		for (uint32_t i = 0; i < count; i++)
			printf("%#x %#x\n", gfns[i], words[i]);
		done += count;
	}
	return 0;
}

static int do_drawn(struct guest_driver *driver, const uint32_t *args)
{
	uint32_t nr_pages = driver->ctl->nr_pages;

	(void)args;
	for (uint32_t i = 0; i < nr_pages && i < GUEST_MAX_DRAWN; i++)
		printf("%u %u\n", i, driver->drawn[i]);
	return 0;
}

static const struct {
	const char *name;
	int n_args;
	int (*run)(struct guest_driver *driver, const uint32_t *args);
	const char *help;
} commands[] = {
	{"wait", 0, do_wait, "                            until the guest runs; all others do, too"},
	{"idle", 0, do_idle, "                            stop drawing"},
	{"paint", 4, do_paint, " GFN PAGES BAND_PAGES PACE"},
	{"sweep", 3, do_sweep, " GFN PAGES PACE"},
	{"rebase", 1, do_rebase, " GFN                      draw on from there"},
	{"frames", 1, do_frames, " N                        wait for N more frames or sweeps"},
	{"write", 3, do_write, " GFN PAGES VALUE           word 0 of page i becomes VALUE + i"},
	{"read", 2, do_read, " GFN PAGES                  print gfn and word 0 of each"},
	{"drawn", 0, do_drawn,
		"                           print index and draw count of the picture's pages"},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int usage(void)
{
	fprintf(stderr, "usage: xen-guest-tool DOMID COMMAND\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(stderr, "  %s%s\n", commands[i].name, commands[i].help);
	return 2;
}

int main(int argc, char **argv)
{
	struct guest_driver driver;
	xenforeignmemory_handle *memory;
	uint32_t args[4];
	size_t command = 0;
	int r;

	while (command < N_COMMANDS && (argc < 3 || strcmp(argv[2], commands[command].name) != 0))
		command++;
	if (command == N_COMMANDS || argc - 3 != commands[command].n_args)
		return usage();
	for (int i = 3; i < argc; i++)
		args[i - 3] = strtoul(argv[i], NULL, 0);

	memory = xenforeignmemory_open(NULL, 0);
	if (!memory) {
		perror("xen-guest-tool: xenforeignmemory_open");
		return 1;
	}
	r = guest_driver_init(&driver, memory, strtoul(argv[1], NULL, 10));
	if (r == 0) {
		r = commands[command].run(&driver, args);
		guest_driver_deinit(&driver);
	}
	xenforeignmemory_close(memory);
	if (r < 0)
		fprintf(stderr, "xen-guest-tool: %s %s: %s\n", argv[1], argv[2], strerror(-r));
	return r < 0;
}
