/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all subcommands share: options, the connection, errors, output. */
#ifndef XENVRAM_CTL_CTL_H
#define XENVRAM_CTL_CTL_H

#include <getopt.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/libxenvram/xenvram.h"

#define EXIT_USAGE 2

struct ctl;

struct command {
	const char *name;
	const char *arguments; /* after the name, in the usage line */
	const char *summary;
	const char *help; /* its own options, a line each */
	int (*run)(struct ctl *ctl, int argc, char **argv);
};

struct ctl {
	const struct command *command; /* NULL while there is none */
	const char *socket_path;
	bool json;
	struct xenvram *conn;
};

/* Options that may stand before and after the subcommand; own ones begin at OPTION_OWN. */
enum {
	OPTION_SOCKET = 256,
	OPTION_JSON,
	OPTION_HELP,
	OPTION_OWN,
};

#define COMMON_OPTIONS                                                                                       \
	{"socket", required_argument, NULL, OPTION_SOCKET}, {"json", no_argument, NULL, OPTION_JSON},        \
	{                                                                                                    \
		"help", no_argument, NULL, OPTION_HELP                                                       \
	}

/* The next of a subcommand's own options, or -1. Ends the program on --help and on what is not understood. */
int ctl_next_option(struct ctl *ctl, int argc, char **argv, const struct option *options);

/* A usage error that names the option for which getopt_long returned ':' or '?'. */
_Noreturn void ctl_bad_option(const struct ctl *ctl, char **argv, int option);

/* After the options: exactly n operands are left. Returns them. */
char **ctl_operands(struct ctl *ctl, int argc, char **argv, int n);

/* "xenvramctl: create: ..." and a hint to --help; exit status 2. */
_Noreturn void ctl_usage_error(const struct ctl *ctl, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A number in min..max, or a usage error that names what it is for. */
uint64_t ctl_number(const struct ctl *ctl, const char *name, const char *text, uint64_t min, uint64_t max);

/* "xenvramctl: create: ..." on stderr. */
void ctl_say(const struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says why the last call failed; returns EXIT_FAILURE. */
int ctl_fail(const struct ctl *ctl);

/* Says what the last call, which succeeded, warns of. */
void ctl_warn(const struct ctl *ctl);

/* 0, or -1 with the reason said. */
int ctl_connect(struct ctl *ctl);

/* Prints one JSON document on a line of its own, and frees it. */
void ctl_print_json(struct json_object *object);

/* Cookies are 64-bit, more than a JSON number holds for many readers: "0x...". */
struct json_object *ctl_cookie_to_json(uint64_t cookie);

/* null when the period is as wanted. */
struct json_object *ctl_stretch_to_json(enum xenvram_stretch stretch);

/* null when the rate is not known. */
struct json_object *ctl_rate_to_json(bool is_known, double rate);

struct json_object *ctl_domain_to_json(const struct xenvram_domain *domain);

#endif
