// SPDX-License-Identifier: LGPL-2.1-or-later
#include "harness.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_TRACKED_PAGES 32768u
#define MAX_PROBED        16u

/* Shared with the processes that run rows apart. */
static struct {
	unsigned int n_rows;
	unsigned int n_failed;
} * counts;

struct text {
	char buffer[4096];
	size_t used;
};

/* Adds one more word. */
__attribute__((format(printf, 2, 3))) static void text_add(struct text *text, const char *format, ...)
{
	size_t left = sizeof(text->buffer) - text->used;
	va_list args;
	int n = 0;

	if (text->used)
		text->used += snprintf(text->buffer + text->used, left, " ");
	left = sizeof(text->buffer) - text->used;
	va_start(args, format);
	n = vsnprintf(text->buffer + text->used, left, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= left)
		abort();
	text->used += n;
}

static const char *errno_name(int number)
{
	const char *name = strerrorname_np(number);

	return name ? name : "an unknown errno";
}

__attribute__((noreturn)) static void give_up(const char *what, int number)
{
	row(what, "ok", errno_name(number));
	rows_summary();
	exit(1);
}

void rows_init(void)
{
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
}

unsigned int rows_summary(void)
{
	printf("%u rows, %u failed\n", counts->n_rows, counts->n_failed);
	return counts->n_failed;
}

void row(const char *what, const char *expected, const char *found)
{
	bool ok = strcmp(expected, found) == 0;

	counts->n_rows++;
	if (ok) {
		printf("ok    %s: %s\n", what, found);
	} else {
		counts->n_failed++;
		printf("FAIL  %s: expected %s, found %s\n", what, expected, found);
	}
}

void row_call(const char *what, const char *expected, int rc)
{
	row(what, expected, rc == 0 ? "ok" : errno_name(errno));
}

void row_number(const char *what, uint64_t expected, uint64_t found)
{
	struct text expected_text = {0};
	struct text found_text = {0};

	text_add(&expected_text, "%#lx", expected);
	text_add(&found_text, "%#lx", found);
	row(what, expected_text.buffer, found_text.buffer);
}

void row_skip(const char *what, const char *why)
{
	printf("skip  %s: %s\n", what, why);
}

unsigned long *world_bitmap(void)
{
	static unsigned long space[(MAX_TRACKED_PAGES / 8 + 4096) / sizeof(unsigned long)]
		__attribute__((aligned(4096)));

	return space + 8;
}

static bool is_dirty(const unsigned long *bitmap, uint32_t index)
{
	return bitmap[index / 64] >> (index % 64) & 1;
}

/* The dirty pages as runs, which is how people write them down. */
static void text_add_dirty(struct text *text, const unsigned long *bitmap, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t first = i;

		if (!is_dirty(bitmap, i))
			continue;
		while (i + 1 < nr && is_dirty(bitmap, i + 1))
			i++;
		if (first == i)
			text_add(text, "%u", i);
		else
			text_add(text, "%u-%u", first, i);
		if (text->used > 200) {
			text_add(text, "...");
			return;
		}
	}
	if (text->used == 0)
		text_add(text, "none");
}

void row_dirty(struct world *world, const char *what, uint64_t first, uint32_t nr, const char *expected)
{
	unsigned long *bitmap = world_bitmap();
	struct text found = {0};

	/* Neither all dirty nor all clean, so that a call that writes nothing is seen. */
	memset(bitmap, 0x5a, MAX_TRACKED_PAGES / 8);
	if (xendevicemodel_track_dirty_vram(world->dm, world->guest, first, nr, bitmap) == 0)
		text_add_dirty(&found, bitmap, nr);
	else
		text_add(&found, "%s", errno_name(errno));
	row(what, expected, found.buffer);
}

int world_stop_tracking(struct world *world, uint32_t domid)
{
	return xendevicemodel_track_dirty_vram(world->dm, domid, 0, 0, world_bitmap());
}

void world_write(struct world *world, uint32_t value, const uint32_t *gfns, uint32_t count)
{
	int r = guest_driver_write(&world->driver, gfns, count, value);

	if (r < 0)
		give_up("the guest answers a request to write", -r);
}

void world_idle(struct world *world)
{
	int r = guest_driver_idle(&world->driver);

	if (r < 0)
		give_up("the guest stops drawing", -r);
}

void row_words(
	struct world *world, const char *what, const char *expected, const uint32_t *gfns, uint32_t count)
{
	uint32_t words[GUEST_MAX_LIST];
	struct text found = {0};
	int r = guest_driver_read(&world->driver, gfns, count, words);

	if (r < 0)
		give_up("the guest answers a request to read", -r);
	for (uint32_t i = 0; i < count; i++) {
		if (words[i] == UINT32_MAX)
			text_add(&found, "hole");
		else
			text_add(&found, "%x", words[i]);
	}
	row(what, expected, found.buffer);
}

void row_probe(struct world *world, uint32_t domid, const char *what, const char *expected,
	const uint64_t *gfns, uint32_t count)
{
	int errors[MAX_PROBED];
	struct text found = {0};
	void *pages;

	if (count > MAX_PROBED)
		abort();
	pages = xenforeignmemory_map(world->memory, domid, PROT_READ, count, gfns, errors);
	if (!pages)
		text_add(&found, "no mapping, %s", errno_name(errno));
	for (uint32_t i = 0; pages && i < count; i++)
		text_add(&found, "%s", errors[i] == 0 ? "ok" : errno_name(-errors[i]));
	if (pages)
		xenforeignmemory_unmap(world->memory, pages, count);
	row(what, expected, found.buffer);
}

void world_open_handles(struct world *world)
{
	world->dm = xendevicemodel_open(NULL, 0);
	if (!world->dm)
		give_up("xendevicemodel_open", errno);
	world->memory = xenforeignmemory_open(NULL, 0);
	if (!world->memory)
		give_up("xenforeignmemory_open", errno);
}

void world_run_apart(struct world *world, void (*rows)(struct world *world))
{
	struct world child_world = *world;
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		give_up("fork", errno);
	if (pid == 0) {
		/* Restrictions belong to the open file, which the parent shares. */
		xendevicemodel_close(world->dm);
		xenforeignmemory_close(world->memory);
		child_world.driver = (struct guest_driver){0};
		world_open_handles(&child_world);
		rows(&child_world);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status != 0)
		row("the process with these rows ends well", "ok", "died");
}
