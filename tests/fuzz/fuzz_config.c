/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an administrator, or a broken disk, can make of the configuration file. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/supervisor/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_fault(void *data, const char *sentence)
{
	unsigned int *n_faults = data;
	if (!*sentence)
		abort();
	++*n_faults;
}

/* Some are there, some are not, and of some that cannot be told. */
static int find_id(void *data, const char *name, uint32_t *ret_id)
{
	(void)data;
	*ret_id = *name;
	errno = EIO;
	return strchr(name, '!') ? -1 : *name & 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int n_faults = 0;
	const struct config_reader reader = {"fuzz", on_fault, find_id, find_id, &n_faults};
	struct settings settings;

	if ((config_parse(&reader, (const char *)data, size, &settings) < 0) != (n_faults > 0))
		abort();
	for (size_t i = 0; i < SETTINGS_N_NUMBERS && n_faults == 0; i++) {
		const struct setting *setting = &settings_numbers[i];
		uint32_t value = settings_get(&settings, setting);
		if ((value < setting->min || value > setting->max) && !(value == 0 && setting->may_be_0))
			abort();
	}
	return 0;
}
