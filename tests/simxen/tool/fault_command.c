/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arming faults: which call of which domain fails, kills its caller, or takes its time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simxen/tool/commands.h"

#define MAX_ERRNO 133

static uint32_t parse_kind(const char *text)
{
	for (unsigned int kind = 0; kind < N_CALL_KINDS; kind++) {
		if (!strcmp(text, call_names[kind]))
			return kind;
	}
	fprintf(stderr, "simxen: %s is no kind of call; there are:", text);
	for (unsigned int kind = 0; kind < N_CALL_KINDS; kind++)
		fprintf(stderr, " %s", call_names[kind]);
	fputc('\n', stderr);
	usage();
}

static int parse_errno(const char *text)
{
	for (int error = 1; error <= MAX_ERRNO; error++) {
		const char *name = strerrorname_np(error);
		if (name && !strcmp(text, name))
			return error;
	}
	fprintf(stderr, "simxen: %s is no errno\n", text);
	usage();
}

static uint32_t parse_moment(const char *text)
{
	if (!strcmp(text, "before"))
		return 0;
	if (!strcmp(text, "after"))
		return FAULT_ALL_PAGES;
	return parse_number(text, FAULT_ALL_PAGES);
}

static struct fault parse_fault(int argc, char **argv)
{
	struct fault fault = {.kind = parse_kind(argv[1])};
	uint32_t action = FAULT_NONE;

	fault.domid = parse_number(argv[2], HOST_MAX_DOMID - 1);
	fault.every_call = !strcmp(argv[3], "every");
	uint32_t nth = fault.every_call ? 0 : parse_number(argv[3], UINT32_MAX);
	if (!fault.every_call && nth == 0)
		usage();
	atomic_store(&fault.countdown, nth);

	if (!strcmp(argv[4], "fail") && argc <= 7) {
		action = FAULT_FAIL;
		fault.error = parse_errno(argv[5]);
		fault.pages = argc == 7 ? parse_number(argv[6], FAULT_ALL_PAGES - 1) : 0;
	} else if (!strcmp(argv[4], "kill") && argc == 6) {
		action = FAULT_KILL;
		fault.pages = parse_moment(argv[5]);
	} else if (!strcmp(argv[4], "delay") && argc == 6) {
		action = FAULT_DELAY;
		fault.delay_us = parse_number(argv[5], UINT32_MAX);
	} else {
		usage();
	}
	atomic_store(&fault.action, action);
	return fault;
}

int command_fault(int argc, char **argv)
{
	struct host host;
	int result = 0;

	if (argc == 2 && !strcmp(argv[1], "clear")) {
		open_host(&host);
		fault_clear_all(&host);
	} else if (argc >= 6) {
		struct fault fault = parse_fault(argc, argv);
		open_host(&host);
		result = fault_arm(&host, &fault);
	} else {
		usage();
	}
	host_close(&host);
	return result < 0 ? fail("cannot arm the fault", result) : EXIT_SUCCESS;
}
