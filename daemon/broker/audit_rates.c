/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/audit_rates.h"

#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>

#include "daemon/broker/audit_fields.h"
#include "daemon/common/clock.h"
#include "proto/limits.h"

static const struct rate own_rate = {AUDIT_RECORDS_PER_SECOND, AUDIT_RECORDS_AT_ONCE};
static const struct rate strangers_rate = {AUDIT_STRANGERS_PER_SECOND, AUDIT_STRANGERS_AT_ONCE};

/* As the trail calls them, and for a reader. */
static const struct {
	const char *name;
	const char *text;
} kinds[N_AUDIT_KINDS] = {
	[AUDIT_DENIALS] = {"denials", "of what is not permitted"},
	[AUDIT_CHANGES] = {"changes", "of changes that were not made"},
	[AUDIT_OTHERS] = {"others", "of what was to change nothing, and of connections"},
};

static uint64_t key_of(struct audit_user user)
{
	return (uint64_t)user.uid << 32 | user.domid;
}

static void report(struct bucket *bucket, const char *whose, struct audit_fields *fields)
{
	char sentence[160];

	snprintf(sentence, sizeof(sentence), "%" PRIu64 " records about %s were left out", bucket->suppressed,
		whose);
	audit_fields_add(fields, "left_out", "%" PRIu64, bucket->suppressed);
	bucket->suppressed = 0;
	audit_fields_write(fields, LOG_WARNING, sentence);
}

static void report_user(struct bucket *bucket, enum audit_kind kind)
{
	const struct audit_user user = {.uid = bucket->key >> 32, .domid = bucket->key};
	struct audit_fields fields = {0};
	char domain[32] = "", whose[128];

	audit_fields_add(&fields, "uid", "%" PRIu32, user.uid);
	if (user.domid != AUDIT_NO_DOMAIN) {
		snprintf(domain, sizeof(domain), " for domain %" PRIu32, user.domid);
		audit_fields_add(&fields, "bound_domid", "%" PRIu32, user.domid);
	}
	snprintf(whose, sizeof(whose), "uid %" PRIu32 "%s, %s,", user.uid, domain, kinds[kind].text);
	audit_fields_add(&fields, "kind", "%s", kinds[kind].name);
	report(bucket, whose, &fields);
}

static void on_report(evutil_socket_t fd, short what, void *data)
{
	struct audit_rates *rates = data;
	(void)fd;
	(void)what;
	for (unsigned int kind = 0; kind < N_AUDIT_KINDS; kind++) {
		for (unsigned int i = 0; i < MAX_BUCKETS; i++) {
			if (rates->users[kind].buckets[i].suppressed > 0)
				report_user(&rates->users[kind].buckets[i], kind);
		}
	}
	if (rates->strangers.suppressed > 0)
		report(&rates->strangers, "users who may not connect", &(struct audit_fields){0});
}

static void leave_out(struct audit_rates *rates, struct bucket *bucket)
{
	static const struct timeval delay = {.tv_sec = 1};

	bucket->suppressed++;
	if (!evtimer_pending(rates->report, NULL))
		evtimer_add(rates->report, &delay);
}

static bool admit(struct audit_rates *rates, struct bucket *bucket, const struct rate *rate, uint64_t now_ns)
{
	if (bucket_take(bucket, rate, now_ns) == 0)
		return true;
	leave_out(rates, bucket);
	return false;
}

bool audit_rates_admit(struct audit_rates *rates, struct audit_user user, enum audit_kind kind)
{
	uint64_t now_ns = clock_now_ns();
	return admit(rates, buckets_get(&rates->users[kind], key_of(user), now_ns), &own_rate, now_ns);
}

bool audit_rates_admit_stranger(struct audit_rates *rates, struct audit_user user)
{
	return audit_rates_admit(rates, user, AUDIT_DENIALS) &&
	       admit(rates, &rates->strangers, &strangers_rate, clock_now_ns());
}

void audit_rates_leave_out(struct audit_rates *rates, struct audit_user user, enum audit_kind kind)
{
	leave_out(rates, buckets_get(&rates->users[kind], key_of(user), clock_now_ns()));
}

int audit_rates_init(struct audit_rates *rates, struct event_base *base)
{
	rates->report = evtimer_new(base, on_report, rates);
	return rates->report ? 0 : -1;
}

void audit_rates_deinit(struct audit_rates *rates)
{
	if (rates->report)
		event_free(rates->report);
	*rates = (struct audit_rates){0};
}
