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

static void report(struct bucket *bucket, const char *whose, struct audit_fields *fields)
{
	char sentence[96];

	snprintf(sentence, sizeof(sentence), "%" PRIu64 " records about %s were left out", bucket->suppressed,
		whose);
	audit_fields_add(fields, "left_out", "%" PRIu64, bucket->suppressed);
	bucket->suppressed = 0;
	audit_fields_write(fields, LOG_WARNING, sentence);
}

static void on_report(evutil_socket_t fd, short what, void *data)
{
	struct audit_rates *rates = data;
	(void)fd;
	(void)what;
	for (unsigned int i = 0; i < MAX_BUCKETS; i++) {
		struct bucket *bucket = &rates->users.buckets[i];
		struct audit_fields fields = {0};
		char whose[32];
		if (bucket->suppressed == 0)
			continue;
		snprintf(whose, sizeof(whose), "uid %" PRIu64, bucket->key);
		audit_fields_add(&fields, "uid", "%" PRIu64, bucket->key);
		report(bucket, whose, &fields);
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

bool audit_rates_admit(struct audit_rates *rates, uint32_t uid)
{
	uint64_t now_ns = clock_now_ns();
	return admit(rates, buckets_get(&rates->users, uid, now_ns), &own_rate, now_ns);
}

bool audit_rates_admit_stranger(struct audit_rates *rates, uint32_t uid)
{
	return audit_rates_admit(rates, uid) &&
	       admit(rates, &rates->strangers, &strangers_rate, clock_now_ns());
}

void audit_rates_leave_out(struct audit_rates *rates, uint32_t uid)
{
	leave_out(rates, buckets_get(&rates->users, uid, clock_now_ns()));
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
