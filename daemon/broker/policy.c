/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)

/* Of the windows that a refusal names, so that it fits; and the most that naming one takes. */
#define MAX_WINDOWS_SAID 3
#define WINDOW_BYTES     sizeof("0xffffffffffffffff-0xffffffffffffffff, ")

/* "regions-per-domain of [limits], which can be raised to 16; change and reload FILE": last what may be long */
static void say_how(const struct settings *settings, const struct setting *limit, char *text, size_t size)
{
	int n = snprintf(text, size, "%s of [%s], which ", limit->key, limit->section);

	if (settings_get(settings, limit) < limit->max)
		snprintf(text + n, size - n, "can be raised to %" PRIu32 "; change and reload %s", limit->max,
			settings->file);
	else
		snprintf(text + n, size - n, "is as high as this build allows, in %s", settings->file);
}

static bool is_within(uint64_t used, uint64_t wanted, uint64_t max)
{
	return used < max && wanted <= max - used;
}

/* `allowed` goes on after "are allowed". */
static int refuse(struct failure *failure, const char *who, const char *noun, uint64_t used, uint64_t wanted,
	uint64_t max, const char *allowed)
{
	return failure_set(failure, XENVRAM__V1__STATUS__LIMIT, EDQUOT,
		"%s has %" PRIu64 " %s and asks for %" PRIu64 " more; at most %" PRIu64 " are allowed%s", who,
		used, noun, wanted, max, allowed);
}

int policy_admit(const struct settings *settings, const struct setting *limit, const char *who, uint64_t used,
	uint64_t wanted, struct failure *failure)
{
	uint32_t max = settings_get(settings, limit);
	char allowed[FAILURE_TEXT_BYTES] = " by ";

	if (is_within(used, wanted, max))
		return 0;
	say_how(settings, limit, allowed + strlen(allowed), sizeof(allowed) - strlen(allowed));
	return refuse(failure, who, limit->noun, used, wanted, max, allowed);
}

int policy_admit_fixed(const struct fixed_limit *limit, const char *who, uint64_t used, uint64_t wanted,
	struct failure *failure)
{
	char allowed[FAILURE_TEXT_BYTES];

	if (is_within(used, wanted, limit->max))
		return 0;
	snprintf(allowed, sizeof(allowed), " by %s, which is fixed in this build: %s", limit->name,
		limit->advice);
	return refuse(failure, who, limit->noun, used, wanted, limit->max, allowed);
}

int policy_refuse_slots(const struct fixed_limit *slots, uint32_t domid, struct failure *failure)
{
	char who[48];

	snprintf(who, sizeof(who), "domain %" PRIu32 ": this host", domid);
	return policy_admit_fixed(slots, who, slots->max, 1, failure);
}

int policy_admit_rate(const struct settings *settings, const struct setting *limit, const char *who,
	struct bucket *bucket, uint64_t now_ns, struct failure *failure)
{
	uint32_t max = settings_get(settings, limit);
	const struct rate rate = {.per_second = max, .burst = 2 * max};
	char how[FAILURE_TEXT_BYTES];

	uint64_t wait_ns = bucket_take(bucket, &rate, now_ns);
	if (wait_ns == 0)
		return 0;
	say_how(settings, limit, how, sizeof(how));
	return failure_set(failure, XENVRAM__V1__STATUS__LIMIT, EDQUOT,
		"%s has made %" PRIu32 " %s, as many as may come at once, and the next may come in %" PRIu64
		" ms; at most %" PRIu32 " a second are allowed by %s",
		who, rate.burst, limit->noun, wait_ns / NS_PER_MS + 1, max, how);
}

int policy_admit_connection(
	const struct settings *settings, uint32_t uid, uint64_t used, struct failure *failure)
{
	const struct setting *limit = POLICY(connections);
	uint32_t reserved = uid == 0 ? 0 : MIN_CONNECTIONS_FOR_ROOT;
	uint32_t max = settings_get(settings, limit) - reserved;
	char who[40], how[FAILURE_TEXT_BYTES], allowed[FAILURE_TEXT_BYTES + 48];

	if (is_within(used, 1, max))
		return 0;
	snprintf(who, sizeof(who), "uid %" PRIu32 ": this host", uid);
	say_how(settings, limit, how, sizeof(how));
	if (reserved > 0)
		snprintf(allowed, sizeof(allowed), ", with %" PRIu32 " more reserved for root, by %s",
			reserved, how);
	else
		snprintf(allowed, sizeof(allowed), " by %s", how);
	return refuse(failure, who, limit->noun, used, 1, max, allowed);
}

int policy_admit_region(const struct settings *settings, uint32_t domid, const struct region_usage *usage,
	uint64_t nr_pages, struct failure *failure)
{
	char who[32], on_host[48];

	snprintf(who, sizeof(who), "domain %" PRIu32, domid);
	snprintf(on_host, sizeof(on_host), "%s: this host", who);
	if (policy_admit(settings, POLICY(regions_per_domain), who, usage->domain_regions, 1, failure) < 0 ||
		policy_admit(
			settings, POLICY(pages_per_domain), who, usage->domain_pages, nr_pages, failure) < 0)
		return -1;
	return policy_admit(settings, POLICY(regions), on_host, usage->regions, 1, failure);
}

/* "0x100-0x1ff, 0x300-0x3ff and 2 more" */
static void say_windows(const struct window_list *windows, char *text, size_t size)
{
	uint64_t n_said = windows->n < MAX_WINDOWS_SAID ? windows->n : MAX_WINDOWS_SAID;
	size_t n = 0;

	for (uint64_t i = 0; i < n_said; i++)
		n += snprintf(text + n, size - n, "%s0x%" PRIx64 "-0x%" PRIx64, i > 0 ? ", " : "",
			windows->windows[i].first, windows->windows[i].last);
	if (n_said < windows->n)
		snprintf(text + n, size - n, " and %" PRIu64 " more", windows->n - n_said);
}

int policy_admit_gfns(const struct settings *settings, const struct window_list *windows, const char *name,
	uint32_t domid, uint64_t first_gfn, uint64_t nr_pages, struct failure *failure)
{
	char allowed[MAX_WINDOWS_SAID * WINDOW_BYTES + 32];

	for (uint64_t i = 0; i < windows->n; i++) {
		const struct gfn_window *window = &windows->windows[i];
		if (first_gfn >= window->first && first_gfn <= window->last &&
			nr_pages - 1 <= window->last - first_gfn)
			return 0;
	}
	if (windows->n == 0)
		return 0;
	say_windows(windows, allowed, sizeof(allowed));
	return failure_set(failure, XENVRAM__V1__STATUS__PERMISSION_DENIED, EPERM,
		"domain %" PRIu32 ": %s 0x%" PRIx64 " + %" PRIu64 " pages lies in none of the %" PRIu64
		" windows that %s of [gfns] allows, %s; to allow more, change and reload %s",
		domid, name, first_gfn, nr_pages, windows->n, name, allowed, settings->file);
}
