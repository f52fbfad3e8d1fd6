/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration file on disk. */
#ifndef XENVRAM_SUPERVISOR_CONFIG_FILE_H
#define XENVRAM_SUPERVISOR_CONFIG_FILE_H

#include "daemon/common/settings.h"

/*
 * Reads the file at `path`; NULL is the default one, which need not be there. 0, or -1 with every reason in
 * the log, and *ret_settings untouched.
 */
int config_file_read(const char *path, struct settings *ret_settings);

#endif
