/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an administrator can set, as numbers. The supervisor reads it from the configuration file, the broker
 * goes by it. No I/O.
 */
#ifndef XENVRAM_COMMON_SETTINGS_H
#define XENVRAM_COMMON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

/* Users or groups. */
struct id_list {
	uint32_t n;
	uint32_t ids[MAX_CONFIG_IDS];
};

/* Guest frames, the last one included. */
struct gfn_window {
	uint64_t first;
	uint64_t last;
};

struct window_list {
	uint64_t n; /* 0: everywhere */
	struct gfn_window windows[MAX_GFN_WINDOWS];
};

struct settings {
	char file[CONFIG_PATH_BYTES]; /* where it is set, for those who are refused something */
	/* [access] */
	uint32_t own_uid; /* of the daemon: an administrator, besides root */
	struct id_list admin_uids;
	struct id_list admin_gids;
	uint32_t domain_uid_base; /* the device model of domain N is this + N; 0: there is no such range */
	/* [gfns]: where the pages of regions may lie in a guest */
	struct window_list vram;
	struct window_list backing;
	/* [limits]: proto/limits.h has the most that each can be, which it is unless it is set lower */
	uint32_t regions;
	uint32_t regions_per_domain;
	uint32_t pages_per_domain;
	uint32_t pins_per_domain; /* besides those of regions */
	uint32_t subscriptions_per_connection;
	uint32_t subscriptions_per_domain;
	uint32_t guest_pauses_per_second;
	uint32_t connections;
	uint32_t connections_per_uid;
	uint32_t connections_per_domain; /* that act for it alone */
	uint32_t connections_per_second;
	uint32_t requests_in_flight;
	uint32_t queued_bytes;
	/* [tracking] */
	uint32_t poll_budget_percent; /* of one CPU, for the polls of all domains together */
	uint32_t refresh_interval_ms; /* every page of every region is taken for dirty so often; 0: never */
};

/* A number that can be set: where it stands in the file and in struct settings, and what it may be. */
struct setting {
	const char *section;
	const char *key;
	const char *noun; /* what it counts, for refusals */
	size_t offset;
	uint32_t min;
	uint32_t max;
	uint32_t initial;
	bool may_be_0;
};

#define SETTINGS_N_NUMBERS 15
extern const struct setting settings_numbers[SETTINGS_N_NUMBERS];

/* The number at this offset of struct settings. */
const struct setting *settings_number_at(size_t offset);

/* Every setting as it is without a file. */
void settings_init(struct settings *settings);

uint32_t settings_get(const struct settings *settings, const struct setting *setting);
void settings_set(struct settings *settings, const struct setting *setting, uint32_t value);

#endif
