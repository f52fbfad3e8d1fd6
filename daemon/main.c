/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenvramd: one binary, three roles. What is started by hand or by systemd is the supervisor; it starts
 * the other two from the same file.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "daemon/common/log.h"
#include "daemon/common/role.h"
#include "proto/limits.h"

struct role {
	const char *name;
	const char *process_name; /* in ps and top; started through /proc/self/exe, it would be "exe" */
	int (*run)(const struct role_options *options);
};

static const struct role roles[] = {
	{"supervisor", "xenvramd", supervisor_main},
	{"broker", "xenvram-broker", broker_main},
	{"worker", "xenvram-worker", worker_main},
};

static const char help[] =
	"Usage: xenvramd [--config FILE] [--socket DIR] [--broker-user USER] [--worker-user USER]\n"
	"\n"
	"Owns the video RAM of this Xen host's guests and serves it to device models over a Unix socket.\n"
	"\n"
	"  --config FILE       the configuration; without it " XENVRAM_CONFIG_PATH ", if that is there\n"
	"  --socket DIR        listen on DIR/xenvram.sock and keep the journal in DIR; without it the\n"
	"                      listening sockets come from systemd\n"
	"  --broker-user USER  whom the broker runs as when started by root (default xenvram)\n"
	"  --worker-user USER  whom the workers run as when started by root (default xenvram-worker)\n"
	"  --help, --version\n";

enum {
	OPTION_ROLE = 256,
	OPTION_CONFIG,
	OPTION_SOCKET,
	OPTION_BROKER_USER,
	OPTION_WORKER_USER,
	OPTION_DOMID
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"broker-user", required_argument, NULL, OPTION_BROKER_USER},
	{"worker-user", required_argument, NULL, OPTION_WORKER_USER},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	/* Between the roles only. */
	{"role", required_argument, NULL, OPTION_ROLE},
	{"domid", required_argument, NULL, OPTION_DOMID},
	{NULL, 0, NULL, 0},
};

static const struct role *role_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(roles[i].name, name) == 0)
			return &roles[i];
	}
	fprintf(stderr, "xenvramd: there is no role \"%s\"\n", name);
	exit(2);
}

static uint32_t parse_domid(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);
	if (end == text || *end || value > MAX_DOMID) {
		fprintf(stderr, "xenvramd: --domid \"%s\" is not a number in 0..%u\n", text, MAX_DOMID);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	struct role_options options = {.broker_user = "xenvram", .worker_user = "xenvram-worker"};
	const struct role *role = &roles[0];
	int option;

	while ((option = getopt_long(argc, argv, "hV", long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_ROLE:
			role = role_by_name(optarg);
			break;
		case OPTION_CONFIG:
			options.config_path = optarg;
			break;
		case OPTION_SOCKET:
			options.socket_dir = optarg;
			break;
		case OPTION_BROKER_USER:
			options.broker_user = optarg;
			break;
		case OPTION_WORKER_USER:
			options.worker_user = optarg;
			break;
		case OPTION_DOMID:
			options.domid = parse_domid(optarg);
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'V':
			puts("xenvramd " XENVRAM_VERSION);
			return 0;
		default:
			fputs(help, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "xenvramd: \"%s\" is not an option\n", argv[optind]);
		return 2;
	}
	log_init(role->name);
	prctl(PR_SET_NAME, role->process_name);
	return role->run(&options);
}
