/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/exactness/victim.h"

#include <dirent.h>
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads a file of /proc/PID as text, its zero bytes turned into spaces. Empty when the process is gone. */
static void read_proc(const char *pid, const char *name, char *ret_text, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, name);
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(ret_text, 1, size - 1, file) : 0;
	if (file)
		fclose(file);
	for (size_t i = 0; i < n; i++) {
		if (!ret_text[i])
			ret_text[i] = ' ';
	}
	ret_text[n] = '\0';
}

static pid_t parent_of(const char *pid)
{
	char text[512];
	int parent;
	read_proc(pid, "stat", text, sizeof(text));
	const char *behind_name = strrchr(text, ')');
	return behind_name && sscanf(behind_name, ") %*c %d", &parent) == 1 ? parent : 0;
}

static bool has_role(const char *pid, const char *role)
{
	char text[512], wanted[32];
	read_proc(pid, "cmdline", text, sizeof(text));
	snprintf(wanted, sizeof(wanted), "--role=%s ", role);
	return strstr(text, wanted);
}

bool victim_kill(pid_t supervisor, const char *role)
{
	bool killed = false;
	DIR *processes = opendir("/proc");
	if (!processes)
		err(1, "/proc");
	for (const struct dirent *entry; !killed && (entry = readdir(processes));) {
		if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name) &&
			parent_of(entry->d_name) == supervisor && has_role(entry->d_name, role))
			killed = kill(atoi(entry->d_name), SIGKILL) == 0;
	}
	closedir(processes);
	return killed;
}
