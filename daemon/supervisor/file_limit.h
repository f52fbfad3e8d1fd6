/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many descriptors the supervisor may have. What comes has the lowest number that is free, so that number says how
 * many there are. Connections and subscriptions are kept below a quarter of the limit, so that they do not get in the
 * way of regions, whose logs are kept below half of it. Beside these all of them may wait for a new broker, of the two
 * descriptors of a log one; what is left is for starting roles and talking to them.
 */
#ifndef XENVRAM_SUPERVISOR_FILE_LIMIT_H
#define XENVRAM_SUPERVISOR_FILE_LIMIT_H

#include "daemon/common/settings.h"

#define FILE_LIMIT_BY_KEPT 4u
#define FILE_LIMIT_BY_LOGS 2u

/* The limit under which everybody can have all that the settings allow. */
uint64_t file_limit_needed(const struct settings *settings);

/* Raises the limit as far as it goes, and returns it. */
uint64_t file_limit_raise(void);

#endif
