/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of a configuration file, made into settings. No I/O. */
#ifndef XENVRAM_SUPERVISOR_CONFIG_H
#define XENVRAM_SUPERVISOR_CONFIG_H

#include "daemon/common/settings.h"

/* Who hears what is wrong with the file: a sentence that begins with "FILE:LINE: ". */
struct config_reader {
	const char *file; /* its name, for the sentences */
	void (*complain)(void *data, const char *sentence);
	void *data;
};

/*
 * What the file does not name is as settings_init has it. 0, or -1 when anything was wrong: every fault has
 * then been complained about, and *ret_settings is untouched.
 */
int config_parse(
	const struct config_reader *reader, const char *text, size_t n_bytes, struct settings *ret_settings);

#endif
