/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/names.h"

#include <stddef.h>

static const char *name_of(const char *const *names, size_t n_names, unsigned int value)
{
	return value < n_names ? names[value] : "unknown";
}

#define NAME_OF(names, value) name_of(names, sizeof(names) / sizeof((names)[0]), value)

const char *name_of_cache_attr(enum xenvram_cache_attr cache_attr)
{
	static const char *const names[] = {
		[XENVRAM_CACHE_WB] = "wb",
		[XENVRAM_CACHE_UC] = "uc",
		[XENVRAM_CACHE_UC_MINUS] = "uc-",
		[XENVRAM_CACHE_WC] = "wc",
		[XENVRAM_CACHE_WT] = "wt",
		[XENVRAM_CACHE_WP] = "wp",
	};
	return NAME_OF(names, cache_attr);
}

const char *name_of_region_state(enum xenvram_region_state state)
{
	static const char *const names[] = {
		[XENVRAM_REGION_CREATING] = "creating",
		[XENVRAM_REGION_ACTIVE] = "active",
		[XENVRAM_REGION_DESTROYING] = "destroying",
		[XENVRAM_REGION_STUCK] = "stuck",
		[XENVRAM_REGION_GONE] = "gone",
		[XENVRAM_REGION_MOVING] = "moving",
		[XENVRAM_REGION_SHRINKING] = "shrinking",
	};
	return NAME_OF(names, state);
}

const char *name_of_page_place(enum xenvram_page_place place)
{
	static const char *const names[] = {
		[XENVRAM_AT_VRAM] = "vram",
		[XENVRAM_AT_BACKING] = "backing",
		[XENVRAM_AT_OLD_VRAM] = "old-vram",
		[XENVRAM_MISSING] = "missing",
		[XENVRAM_CONTESTED] = "contested",
	};
	return NAME_OF(names, place);
}

const char *name_of_view_state(enum xenvram_view_state state)
{
	static const char *const names[] = {
		[XENVRAM_VIEW_IDLE] = "idle",
		[XENVRAM_VIEW_TRACKED] = "tracked",
		[XENVRAM_VIEW_PARTIAL] = "partial",
		[XENVRAM_VIEW_GONE] = "gone",
	};
	return NAME_OF(names, state);
}

const char *name_of_stretch(enum xenvram_stretch stretch)
{
	static const char *const names[] = {
		[XENVRAM_AS_WANTED] = "-",
		[XENVRAM_STRETCHED_IDLE] = "idle",
		[XENVRAM_STRETCHED_BUDGET] = "budget",
		[XENVRAM_STRETCHED_GUEST] = "guest",
	};
	return NAME_OF(names, stretch);
}
