/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the enums of the library are called on the command line. A value from a newer service is "unknown". */
#ifndef XENVRAM_CTL_NAMES_H
#define XENVRAM_CTL_NAMES_H

#include "client/libxenvram/xenvram.h"

const char *name_of_cache_attr(enum xenvram_cache_attr cache_attr);
const char *name_of_region_state(enum xenvram_region_state state);
const char *name_of_page_place(enum xenvram_page_place place);
const char *name_of_view_state(enum xenvram_view_state state);
const char *name_of_stretch(enum xenvram_stretch stretch);

#endif
