/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* simxen: makes simulated Xen hosts, and domains, guests and faults on them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simxen/tool/commands.h"

static const struct command {
	const char *name;
	const char *arguments;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"create-host",
		"FILE [--xen 4.17|4.20] [--mode hap|shadow] [--domains N] [--frames N] "
		"[--dm-op-buf-max-size BYTES]",
		command_create_host},
	{"create", "DOMID [--ram-mib N] [--kind hvm|pvh|pv] [--name NAME] [--uuid UUID]", command_create},
	{"destroy", "DOMID [unheard]", command_destroy},
	{"guest", "DOMID", command_guest},
	{"list", "", command_list},
	{"stats", "[--json]", command_stats},
	{"p2m", "DOMID [FIRST N]", command_p2m},
	{"fault",
		"KIND DOMID NTH|every (fail ERRNO [PAGES] | kill before|after|PAGES | delay MICROSECONDS)\n"
		"       simxen fault clear",
		command_fault},
};

static const struct command *current;

static void print_usage(FILE *stream, const struct command *command)
{
	fprintf(stream, "usage: simxen %s %s\n", command->name, command->arguments);
}

void usage(void)
{
	print_usage(stderr, current);
	exit(EXIT_FAILURE);
}

uint64_t parse_number(const char *text, uint64_t max)
{
	char *end;

	errno = 0;
	unsigned long long value = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || value > max) {
		fprintf(stderr, "simxen: %s is not a number up to %llu\n", text, (unsigned long long)max);
		usage();
	}
	return value;
}

void open_host(struct host *host)
{
	int result = host_open(host);
	if (result < 0) {
		fprintf(stderr, "simxen: cannot open the host named by " HOST_ENV ": %s\n",
			strerror(-result));
		exit(EXIT_FAILURE);
	}
}

int fail(const char *what, int result)
{
	fprintf(stderr, "simxen: %s: %s\n", what, strerror(-result));
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	size_t n_commands = sizeof(commands) / sizeof(commands[0]);

	for (size_t i = 0; i < n_commands && argc > 1; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		current = &commands[i];
		return current->run(argc - 1, argv + 1);
	}
	for (size_t i = 0; i < n_commands; i++)
		print_usage(stderr, &commands[i]);
	return EXIT_FAILURE;
}
