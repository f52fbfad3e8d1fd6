/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making and destroying domains. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tests/simxen/domain.h"
#include "tests/simxen/tool/commands.h"

#define PAGES_PER_MIB   256u
#define DEFAULT_RAM_MIB 64u
#define MAX_RAM_MIB     2048u

static enum domain_kind parse_kind(const char *text)
{
	for (unsigned int kind = 0; kind < N_DOMAIN_KINDS; kind++) {
		if (!strcmp(text, domain_kind_names[kind]))
			return kind;
	}
	usage();
}

static int make_uuid(char *ret_uuid)
{
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return -1;
	b[6] = (b[6] & 0x0f) | 0x40; /* version 4, random */
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(ret_uuid, DOMAIN_UUID_BYTES,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
		b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return 0;
}

static int create(const struct domain_spec *spec)
{
	struct host host;

	open_host(&host);
	int result = domain_create(&host, spec);
	host_close(&host);
	return result < 0 ? fail("cannot create the domain", result) : EXIT_SUCCESS;
}

int command_create(int argc, char **argv)
{
	static const struct option options[] = {
		{"ram-mib", required_argument, NULL, 'r'},
		{"kind", required_argument, NULL, 'k'},
		{"name", required_argument, NULL, 'n'},
		{"uuid", required_argument, NULL, 'u'},
		{NULL, 0, NULL, 0},
	};
	char uuid[DOMAIN_UUID_BYTES], name[16];
	struct domain_spec spec = {
		.kind = DOMAIN_PVH,
		.ram_pages = DEFAULT_RAM_MIB * PAGES_PER_MIB,
	};

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 'r':
			spec.ram_pages = parse_number(optarg, MAX_RAM_MIB) * PAGES_PER_MIB;
			break;
		case 'k':
			spec.kind = parse_kind(optarg);
			break;
		case 'n':
			spec.name = optarg;
			break;
		case 'u':
			spec.uuid = optarg;
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 1 || (spec.uuid && strlen(spec.uuid) != DOMAIN_UUID_BYTES - 1) ||
		(spec.name && strlen(spec.name) >= DOMAIN_NAME_BYTES))
		usage();
	spec.domid = parse_number(argv[optind], HOST_MAX_DOMID - 1);
	if (!spec.name) {
		snprintf(name, sizeof(name), "sim%u", spec.domid);
		spec.name = name;
	}
	if (!spec.uuid) {
		if (make_uuid(uuid) < 0)
			return EXIT_FAILURE;
		spec.uuid = uuid;
	}
	return create(&spec);
}

int command_destroy(int argc, char **argv)
{
	struct host host;

	bool unheard = argc == 3 && !strcmp(argv[2], "unheard");
	if (argc != 2 && !unheard)
		usage();
	uint16_t domid = parse_number(argv[1], HOST_MAX_DOMID - 1);
	open_host(&host);
	int result = domain_destroy(&host, domid, unheard);
	host_close(&host);
	return result < 0 ? fail("cannot destroy the domain", result) : EXIT_SUCCESS;
}
