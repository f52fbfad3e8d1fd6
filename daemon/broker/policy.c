/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define NS_PER_MS UINT64_C(1000000)

/* "regions-per-domain of [limits] in /etc/xenvram/xenvramd.conf, which can be raised to 16" */
static void say_how(const struct settings *settings, const struct setting *limit, char *text, size_t size)
{
	int n = snprintf(text, size, "%s of [%s] in %s", limit->key, limit->section, settings->file);
	if (n < 0 || (size_t)n >= size)
		return;
	if (settings_get(settings, limit) < limit->max)
		snprintf(text + n, size - n, ", which can be raised to %" PRIu32, limit->max);
	else
		snprintf(text + n, size - n, ", which is as high as it can be");
}

int policy_admit(const struct settings *settings, const struct setting *limit, const char *who, uint64_t used,
	uint64_t wanted, struct failure *failure)
{
	uint32_t max = settings_get(settings, limit);
	char how[FAILURE_TEXT_BYTES];

	if (used < max && wanted <= max - used)
		return 0;
	say_how(settings, limit, how, sizeof(how));
	return failure_set(failure, XENVRAM__V1__STATUS__LIMIT, EDQUOT,
		"%s has %" PRIu64 " %s and asks for %" PRIu64 " more; at most %" PRIu32 " are allowed by %s",
		who, used, limit->noun, wanted, max, how);
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
		"%s has used up its %s, %" PRIu32 " a second by %s; the next is in %" PRIu64 " ms", who,
		limit->noun, max, how, wait_ns / NS_PER_MS + 1);
}

int policy_admit_region(const struct settings *settings, uint32_t domid, const struct region_usage *usage,
	uint64_t nr_pages, struct failure *failure)
{
	char who[32];
	snprintf(who, sizeof(who), "domain %" PRIu32, domid);
	if (policy_admit(settings, POLICY(regions_per_domain), who, usage->domain_regions, 1, failure) < 0 ||
		policy_admit(
			settings, POLICY(pages_per_domain), who, usage->domain_pages, nr_pages, failure) < 0)
		return -1;
	return policy_admit(settings, POLICY(regions), "this host", usage->regions, 1, failure);
}

int policy_admit_gfns(const struct settings *settings, const struct window_list *windows, const char *name,
	uint32_t domid, uint64_t first_gfn, uint64_t nr_pages, struct failure *failure)
{
	for (uint64_t i = 0; i < windows->n; i++) {
		const struct gfn_window *window = &windows->windows[i];
		if (first_gfn >= window->first && first_gfn <= window->last &&
			nr_pages - 1 <= window->last - first_gfn)
			return 0;
	}
	if (windows->n == 0)
		return 0;
	return failure_set(failure, XENVRAM__V1__STATUS__PERMISSION_DENIED, EPERM,
		"domain %" PRIu32 ": %s 0x%" PRIx64 " + %" PRIu64 " pages lies in none of the %" PRIu64
		" windows that %s of [gfns] in %s allows",
		domid, name, first_gfn, nr_pages, windows->n, name, settings->file);
}
