/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/common/settings.h"

#include <string.h>

#define LIMIT(key, field, min, max)                                                                          \
	{                                                                                                    \
		"limits", key, offsetof(struct settings, field), min, max, max, false                        \
	}

const struct setting settings_numbers[SETTINGS_N_NUMBERS] = {
	LIMIT("connections", connections, MIN_CONNECTIONS_FOR_ROOT + 1, MAX_CONNECTIONS),
	LIMIT("connections-per-uid", connections_per_uid, 1, MAX_CONNECTIONS_PER_UID),
	LIMIT("requests-in-flight", requests_in_flight, 1, MAX_REQUESTS_IN_FLIGHT),
	LIMIT("queued-bytes", queued_bytes, QUEUED_BYTES_FOR(1), MAX_QUEUED_BYTES),
	{"tracking", "poll-budget-percent", offsetof(struct settings, poll_budget_percent), 1,
		MAX_POLL_BUDGET_PERCENT, DEFAULT_POLL_BUDGET_PERCENT, false},
	{"tracking", "refresh-interval-ms", offsetof(struct settings, refresh_interval_ms),
		MIN_REFRESH_INTERVAL_MS, MAX_REFRESH_INTERVAL_MS, 0, true},
};

uint32_t settings_get(const struct settings *settings, const struct setting *setting)
{
	uint32_t value;
	memcpy(&value, (const char *)settings + setting->offset, sizeof(value));
	return value;
}

void settings_set(struct settings *settings, const struct setting *setting, uint32_t value)
{
	memcpy((char *)settings + setting->offset, &value, sizeof(value));
}

void settings_init(struct settings *settings)
{
	memset(settings, 0, sizeof(*settings));
	for (size_t i = 0; i < SETTINGS_N_NUMBERS; i++)
		settings_set(settings, &settings_numbers[i], settings_numbers[i].initial);
}
