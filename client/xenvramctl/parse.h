/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers and names from the command line. No I/O. */
#ifndef XENVRAM_CTL_PARSE_H
#define XENVRAM_CTL_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/libxenvram/xenvram.h"

/*
 * Decimal, or hexadecimal after 0x; digits and nothing else, not above max. A leading zero does not make it
 * octal.
 */
bool parse_number(const char *text, uint64_t max, uint64_t *ret_number);

/* "wb", "uc", "uc-", "wc", "wt", "wp". */
bool parse_cache_attr(const char *text, enum xenvram_cache_attr *ret_cache_attr);

#endif
