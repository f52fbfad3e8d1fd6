/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making a host, and looking at it. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simxen/domain.h"
#include "tests/simxen/tool/commands.h"

#define DEFAULT_DOMAINS           16u
#define DEFAULT_FRAMES_PER_DOMAIN 32768u
#define MAX_DOMAINS               4096u
#define MAX_FRAMES                (1u << 28)
#define DEFAULT_DM_OP_BUF_BYTES   4096u
#define MAX_DM_OP_BUF_BYTES       (1u << 20)

static const char *const state_names[] = {
	[DOMAIN_ALIVE] = "alive",
	[DOMAIN_DYING] = "dying",
	[DOMAIN_LINGERING] = "lingering",
};

/* Which of two words; ends the program if neither. */
static uint32_t parse_choice(const char *text, const char *first, const char *second)
{
	if (strcmp(text, first) && strcmp(text, second)) {
		fprintf(stderr, "simxen: %s is neither %s nor %s\n", text, first, second);
		usage();
	}
	return !strcmp(text, second);
}

int command_create_host(int argc, char **argv)
{
	static const struct option options[] = {
		{"xen", required_argument, NULL, 'x'},
		{"mode", required_argument, NULL, 'm'},
		{"domains", required_argument, NULL, 'd'},
		{"frames", required_argument, NULL, 'f'},
		{"dm-op-buf-max-size", required_argument, NULL, 'b'},
		{NULL, 0, NULL, 0},
	};
	struct host_settings settings = {
		.xen_minor = 17,
		.dm_op_buf_max_size_bytes = DEFAULT_DM_OP_BUF_BYTES,
		.max_domains = DEFAULT_DOMAINS,
	};

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 'x':
			settings.xen_minor = parse_choice(optarg, "4.17", "4.20") ? 20 : 17;
			break;
		case 'm':
			settings.shadow = parse_choice(optarg, "hap", "shadow");
			break;
		case 'd':
			settings.max_domains = parse_number(optarg, MAX_DOMAINS);
			break;
		case 'f':
			settings.n_frames = parse_number(optarg, MAX_FRAMES);
			break;
		case 'b':
			settings.dm_op_buf_max_size_bytes = parse_number(optarg, MAX_DM_OP_BUF_BYTES);
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 1)
		usage();
	if (!settings.n_frames)
		settings.n_frames = settings.max_domains * DEFAULT_FRAMES_PER_DOMAIN;
	settings.n_frames++; /* frame 0 is none */
	int result = host_create(argv[optind], &settings);
	return result < 0 ? fail(argv[optind], result) : EXIT_SUCCESS;
}

int command_list(int argc, char **argv)
{
	struct host host;

	(void)argv;
	if (argc != 1)
		usage();
	open_host(&host);
	printf("%-6s %-10s %-4s %-36s %s\n", "domid", "state", "kind", "uuid", "name");
	for (uint32_t slot = 0; slot < host.file->settings.max_domains; slot++) {
		struct domain *domain = domain_find_slot(&host, slot);
		if (!domain)
			continue;
		printf("%-6u %-10s %-4s %-36s %s\n", domain->domid, state_names[domain->state],
			domain_kind_names[domain->kind], domain->uuid, domain->name);
		domain_unlock(domain);
	}
	host_close(&host);
	return EXIT_SUCCESS;
}

static void print_counters(const _Atomic uint64_t *calls, bool json)
{
	for (unsigned int kind = 0; kind < N_CALL_KINDS; kind++) {
		uint64_t count = atomic_load(&calls[kind]);
		if (json)
			printf("%s\"%s\": %" PRIu64, kind ? ", " : "", call_names[kind], count);
		else
			printf(" %s %" PRIu64, call_names[kind], count);
	}
}

static void print_stats(struct host *host, bool json)
{
	const struct host_settings *settings = &host->file->settings;
	bool first = true;

	printf(json ? "{\"xen\": \"4.%u\", \"mode\": \"%s\", \"total\": {" : "xen 4.%u, %s\ntotal    ",
		settings->xen_minor, settings->shadow ? "shadow" : "hap");
	print_counters(host->file->calls, json);
	printf(json ? "}, \"domains\": {" : "\n");
	for (uint32_t slot = 0; slot < settings->max_domains; slot++) {
		struct domain *domain = domain_find_slot(host, slot);
		if (!domain)
			continue;
		if (json)
			printf("%s\"%u\": {", first ? "" : ", ", domain->domid);
		else
			printf("domain %-2u", domain->domid);
		print_counters(domain->calls, json);
		printf(json ? ", \"arms\": %" PRIu64 ", \"stops\": %" PRIu64 "}"
			    : ", tracking began %" PRIu64 " times and ended %" PRIu64 " times\n",
			domain->tracking.arms, domain->tracking.stops);
		domain_unlock(domain);
		first = false;
	}
	if (json)
		printf("}}\n");
}

int command_stats(int argc, char **argv)
{
	struct host host;

	bool json = argc == 2 && !strcmp(argv[1], "--json");
	if (argc != 1 + json)
		usage();
	open_host(&host);
	print_stats(&host, json);
	host_close(&host);
	return EXIT_SUCCESS;
}

static void print_frame(const struct domain *domain, uint64_t gfn)
{
	uint32_t frame = p2m_get(&domain->p2m, gfn);
	if (frame)
		printf("0x%" PRIx64 " 0x%" PRIx32 "\n", gfn, frame);
	else
		printf("0x%" PRIx64 " -\n", gfn);
}

/* A line a gfn: with a range all of it, else those that have a frame. */
int command_p2m(int argc, char **argv)
{
	struct domain *domain;
	struct host host;

	if (argc != 2 && argc != 4)
		usage();
	uint32_t domid = parse_number(argv[1], HOST_MAX_DOMID - 1);
	open_host(&host);
	int result = domain_find(&host, domid, &domain);
	if (result < 0)
		return fail(argv[1], result);
	if (argc == 4) {
		uint64_t first = parse_number(argv[2], P2M_MAX_GFN - 1);
		uint64_t n = parse_number(argv[3], P2M_MAX_GFN - first);
		for (uint64_t i = 0; i < n; i++)
			print_frame(domain, first + i);
	} else {
		for (uint64_t gfn = 0; p2m_next(&domain->p2m, gfn, &gfn); gfn++)
			print_frame(domain, gfn);
	}
	domain_unlock(domain);
	host_close(&host);
	return EXIT_SUCCESS;
}
