/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/ctl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/xenvramctl/names.h"
#include "client/xenvramctl/parse.h"

__attribute__((format(printf, 2, 0))) static void say(const struct ctl *ctl, const char *format, va_list args)
{
	fputs("xenvramctl: ", stderr);
	if (ctl->command)
		fprintf(stderr, "%s: ", ctl->command->name);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void ctl_say(const struct ctl *ctl, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(ctl, format, args);
	va_end(args);
}

void ctl_usage_error(const struct ctl *ctl, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(ctl, format, args);
	va_end(args);
	fprintf(stderr, "Try \"xenvramctl %s%s--help\".\n", ctl->command ? ctl->command->name : "",
		ctl->command ? " " : "");
	exit(EXIT_USAGE);
}

void ctl_bad_option(const struct ctl *ctl, char **argv, int option)
{
	if (option == ':')
		ctl_usage_error(ctl, "%s needs an argument", argv[optind - 1]);
	/* Of letters in a row the first is looked at, and the word not yet behind. */
	if (optopt > 0 && optopt < OPTION_SOCKET)
		ctl_usage_error(ctl, "-%c is not understood", optopt);
	ctl_usage_error(ctl, "%s is not understood", argv[optind - 1]);
}

static _Noreturn void print_help(const struct command *command)
{
	printf("Usage: xenvramctl %s%s%s [OPTION]...\n\n%s\n\n%s"
	       "  --json                print JSON\n"
	       "  --socket PATH         of the service; default %s\n"
	       "  --help                print this\n",
		command->name, command->arguments[0] ? " " : "", command->arguments, command->summary,
		command->help, XENVRAM_SOCKET_PATH);
	exit(EXIT_SUCCESS);
}

int ctl_next_option(struct ctl *ctl, int argc, char **argv, const struct option *options)
{
	for (;;) {
		int option = getopt_long(argc, argv, ":", options, NULL);
		switch (option) {
		case OPTION_SOCKET:
			ctl->socket_path = optarg;
			break;
		case OPTION_JSON:
			ctl->json = true;
			break;
		case OPTION_HELP:
			print_help(ctl->command);
		case ':':
		case '?':
			ctl_bad_option(ctl, argv, option);
		default:
			return option;
		}
	}
}

char **ctl_operands(struct ctl *ctl, int argc, char **argv, int n)
{
	if (argc - optind > n)
		ctl_usage_error(ctl, "\"%s\" is one argument too many", argv[optind + n]);
	if (argc - optind < n)
		ctl_usage_error(ctl, "an argument is missing: %s", ctl->command->arguments);
	return argv + optind;
}

uint64_t ctl_number(const struct ctl *ctl, const char *name, const char *text, uint64_t min, uint64_t max)
{
	uint64_t number;
	if (!parse_number(text, max, &number) || number < min)
		ctl_usage_error(ctl,
			"%s \"%s\" is not a number from %" PRIu64 " to %" PRIu64 ", decimal or 0x...", name,
			text, min, max);
	return number;
}

int ctl_fail(const struct ctl *ctl)
{
	ctl_say(ctl, "%s", xenvram_error(ctl->conn));
	return EXIT_FAILURE;
}

void ctl_warn(const struct ctl *ctl)
{
	const char *warning = xenvram_warning(ctl->conn);
	if (warning[0])
		ctl_say(ctl, "warning: %s", warning);
}

int ctl_connect(struct ctl *ctl)
{
	ctl->conn = xenvram_new("xenvramctl");
	if (!ctl->conn) {
		ctl_say(ctl, "out of memory");
		return -1;
	}
	if (xenvram_connect(ctl->conn, ctl->socket_path) < 0) {
		ctl_fail(ctl);
		return -1;
	}
	return 0;
}

void ctl_print_json(struct json_object *object)
{
	puts(json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

struct json_object *ctl_cookie_to_json(uint64_t cookie)
{
	char text[32];
	snprintf(text, sizeof(text), "0x%" PRIx64, cookie);
	return json_object_new_string(text);
}

struct json_object *ctl_stretch_to_json(enum xenvram_stretch stretch)
{
	return stretch == XENVRAM_AS_WANTED ? NULL : json_object_new_string(name_of_stretch(stretch));
}

struct json_object *ctl_rate_to_json(bool is_known, double rate)
{
	char text[32];

	if (!is_known)
		return NULL;
	snprintf(text, sizeof(text), "%.2f", rate);
	return json_object_new_double_s(rate, text);
}

struct json_object *ctl_domain_to_json(const struct xenvram_domain *domain)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "domid", json_object_new_uint64(domain->domid));
	json_object_object_add(object, "uuid", json_object_new_string(domain->uuid));
	json_object_object_add(object, "regions", json_object_new_uint64(domain->regions));
	json_object_object_add(object, "subscriptions", json_object_new_uint64(domain->subscriptions));
	json_object_object_add(object, "worker_running", json_object_new_boolean(domain->worker_running));
	json_object_object_add(object, "wanted_period_us", json_object_new_uint64(domain->wanted_period_us));
	json_object_object_add(object, "period_us", json_object_new_uint64(domain->period_us));
	json_object_object_add(object, "stretch", ctl_stretch_to_json(domain->stretch));
	return object;
}
