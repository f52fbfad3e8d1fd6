/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* xen-steps: kills a role at one of its steps, for scripts. */
#include "tests/faults/steps.h"

#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const role_names[N_STEP_ROLES] = {"supervisor", "broker", "worker"};

static int usage(void)
{
	fprintf(stderr, "usage: xen-steps begin | counts | armed | arm ROLE before|after N\n"
			"  begin   makes the file that " STEPS_ENV " names\n"
			"  counts  prints how many steps supervisor, broker and worker have made\n"
			"  arm     at its Nth step from now on the role is killed\n"
			"  armed   succeeds if that is still to come\n");
	return 2;
}

static struct steps *map_steps(bool begin)
{
	const char *path = getenv(STEPS_ENV);
	if (!path)
		errx(2, STEPS_ENV " is not set");
	int fd = open(path, O_RDWR | O_CLOEXEC | (begin ? O_CREAT | O_TRUNC : 0), 0666);
	if (fd < 0 || (begin && (fchmod(fd, 0666) < 0 || ftruncate(fd, sizeof(struct steps)) < 0)))
		err(1, "%s", path);
	void *map = mmap(NULL, sizeof(struct steps), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		err(1, "%s", path);
	return map;
}

static int arm(struct steps *steps, char **arguments)
{
	unsigned int role = 0;
	while (role < N_STEP_ROLES && strcmp(arguments[0], role_names[role]) != 0)
		role++;
	bool after = strcmp(arguments[1], "after") == 0;
	unsigned long nth = strtoul(arguments[2], NULL, 10);
	if (role == N_STEP_ROLES || (!after && strcmp(arguments[1], "before") != 0) || nth == 0)
		return usage();
	atomic_store(&steps->action, STEP_GO_ON);
	atomic_store(&steps->role, role);
	atomic_store(&steps->moment, after ? STEP_AFTER : STEP_BEFORE);
	atomic_store(&steps->countdown, nth);
	atomic_store(&steps->action, STEP_KILL);
	return 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (argc == 5 && strcmp(command, "arm") == 0)
		return arm(map_steps(false), argv + 2);
	if (argc != 2)
		return usage();
	if (strcmp(command, "begin") == 0) {
		map_steps(true);
		return 0;
	}
	if (strcmp(command, "armed") == 0)
		return atomic_load(&map_steps(false)->action) == STEP_GO_ON;
	if (strcmp(command, "counts") != 0)
		return usage();
	struct steps *steps = map_steps(false);
	for (unsigned int role = 0; role < N_STEP_ROLES; role++)
		printf("%u%s", atomic_load(&steps->counts[role]), role + 1 < N_STEP_ROLES ? " " : "\n");
	return 0;
}
