/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/common/settings.h"

#include <string.h>

#define LIMIT(key, field, noun, min, max)                                                                    \
	{                                                                                                    \
		"limits", key, noun, offsetof(struct settings, field), min, max, max, false                  \
	}

const struct setting settings_numbers[SETTINGS_N_NUMBERS] = {
	LIMIT("regions", regions, "regions", 1, MAX_REGIONS),
	LIMIT("regions-per-domain", regions_per_domain, "regions", 1, MAX_REGIONS_PER_DOMAIN),
	LIMIT("pages-per-domain", pages_per_domain, "pages", 1, MAX_PAGES_PER_DOMAIN),
	LIMIT("pins-per-domain", pins_per_domain, "pins", 1, MAX_PINS_PER_DOMAIN),
	LIMIT("subscriptions-per-connection", subscriptions_per_connection, "subscriptions", 1,
		MAX_SUBSCRIPTIONS_PER_CONNECTION),
	LIMIT("subscriptions-per-domain", subscriptions_per_domain, "subscriptions", 1,
		MAX_SUBSCRIPTIONS_PER_DOMAIN),
	LIMIT("guest-pauses-per-second", guest_pauses_per_second, "requests that may pause the guest", 1,
		MAX_GUEST_PAUSES_PER_SECOND),
	LIMIT("connections", connections, "connections", MIN_CONNECTIONS_FOR_ROOT + 1, MAX_CONNECTIONS),
	LIMIT("connections-per-uid", connections_per_uid, "connections", 1, MAX_CONNECTIONS_PER_UID),
	LIMIT("connections-per-domain", connections_per_domain, "connections", 1, MAX_CONNECTIONS_PER_DOMAIN),
	LIMIT("connections-per-second", connections_per_second, "new connections", 1,
		MAX_CONNECTIONS_PER_SECOND),
	LIMIT("requests-in-flight", requests_in_flight, "requests", 1, MAX_REQUESTS_IN_FLIGHT),
	LIMIT("queued-bytes", queued_bytes, "bytes", QUEUED_BYTES_FOR(1), MAX_QUEUED_BYTES),
	{"tracking", "poll-budget-percent", "percent", offsetof(struct settings, poll_budget_percent), 1,
		MAX_POLL_BUDGET_PERCENT, DEFAULT_POLL_BUDGET_PERCENT, false},
	{"tracking", "refresh-interval-ms", "milliseconds", offsetof(struct settings, refresh_interval_ms),
		MIN_REFRESH_INTERVAL_MS, MAX_REFRESH_INTERVAL_MS, 0, true},
};

const struct setting *settings_number_at(size_t offset)
{
	for (size_t i = 0; i < SETTINGS_N_NUMBERS; i++) {
		if (settings_numbers[i].offset == offset)
			return &settings_numbers[i];
	}
	return NULL;
}

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
