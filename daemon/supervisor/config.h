/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of a configuration file, made into settings. No I/O. */
#ifndef XENVRAM_SUPERVISOR_CONFIG_H
#define XENVRAM_SUPERVISOR_CONFIG_H

#include "daemon/common/settings.h"

/* What the file is read with. */
struct config_reader {
	const char *file; /* its name, for the sentences */
	/* Hears what is wrong: a sentence that begins with "FILE:LINE: ", or "FILE: " if it is no line's fault. */
	void (*complain)(void *data, const char *sentence);
	/* The id of a user or group. 1; 0: there is none of that name; -1 with errno: that cannot be told now. */
	int (*find_user)(void *data, const char *name, uint32_t *ret_id);
	int (*find_group)(void *data, const char *name, uint32_t *ret_id);
	void *data;
};

/*
 * What the file does not name is as xenvramd.conf(5) has it. 0, or -1 when anything was wrong: every fault
 * has then been complained about, and *ret_settings is untouched.
 */
int config_parse(
	const struct config_reader *reader, const char *text, size_t n_bytes, struct settings *ret_settings);

#endif
