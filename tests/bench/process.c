/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 64

uint64_t process_cpu_ns(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	int error = clock_getcpuclockid(pid, &clock);
	if (error)
		errx(1, "process %d: %s", pid, strerror(error));
	if (clock_gettime(clock, &used) < 0)
		err(1, "process %d", pid);
	return used.tv_sec * 1000000000ull + used.tv_nsec;
}

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[PATH_BYTES];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return fopen(path, "re");
}

uint64_t process_switches(pid_t pid)
{
	char line[256];
	uint64_t sum = 0;

	FILE *file = open_proc(pid, "status");
	if (!file)
		err(1, "/proc/%d/status", pid);
	while (fgets(line, sizeof(line), file)) {
		uint64_t count;
		if (sscanf(line, "voluntary_ctxt_switches: %" SCNu64, &count) == 1 ||
			sscanf(line, "nonvoluntary_ctxt_switches: %" SCNu64, &count) == 1)
			sum += count;
	}
	fclose(file);
	return sum;
}

/* A mapping begins with a line of addresses, in lower case; what it uses follows, each with its name. */
static bool is_mapping(const char *line)
{
	return isdigit((unsigned char)line[0]) || islower((unsigned char)line[0]);
}

/* The region logs, and the file that SIMXEN_HOST names. */
static bool is_not_its_own(const char *line)
{
	const char *host = getenv("SIMXEN_HOST");
	return strstr(line, "/memfd:") || (host && strstr(line, host));
}

uint64_t process_private_bytes(pid_t pid)
{
	char line[4096];
	uint64_t sum_kib = 0;
	bool skip = false;

	FILE *file = open_proc(pid, "smaps");
	if (!file)
		err(1, "/proc/%d/smaps", pid);
	while (fgets(line, sizeof(line), file)) {
		uint64_t kib;
		if (is_mapping(line))
			skip = is_not_its_own(line);
		else if (!skip && (sscanf(line, "Private_Clean: %" SCNu64, &kib) == 1 ||
					  sscanf(line, "Private_Dirty: %" SCNu64, &kib) == 1))
			sum_kib += kib;
	}
	fclose(file);
	return sum_kib * 1024;
}

/* The parent of a process, and its name; 0 when it has gone meanwhile. */
static pid_t read_parent(pid_t pid, char ret_name[32])
{
	char state;
	pid_t parent = 0;

	FILE *file = open_proc(pid, "stat");
	if (!file)
		return 0;
	if (fscanf(file, "%*d (%31[^)]) %c %d", ret_name, &state, &parent) != 3 || state == 'Z')
		parent = 0;
	fclose(file);
	return parent;
}

size_t process_children(pid_t parent, const char *name, pid_t *pids, size_t max)
{
	const struct dirent *entry;
	char found[32];
	size_t n = 0;

	DIR *directory = opendir("/proc");
	if (!directory)
		err(1, "/proc");
	while ((entry = readdir(directory)) && n < max) {
		pid_t pid = strtol(entry->d_name, NULL, 10);
		if (pid > 0 && read_parent(pid, found) == parent && (!name || strcmp(found, name) == 0))
			pids[n++] = pid;
	}
	closedir(directory);
	return n;
}

pid_t process_fork(void (*run)(void *data), void *data)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			run(data);
		_exit(0);
	}
	return pid;
}

void process_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	if (waitpid(pid, NULL, 0) != pid)
		err(1, "waitpid");
}

void process_share_cpu(pid_t pid)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_setaffinity(pid, sizeof(first), &first) < 0 ||
		sched_setaffinity(0, sizeof(first), &first) < 0)
		err(1, "cannot choose the processor of process %d", pid);
}
