/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many records there may be about whom. What is left out is counted, and a record says how many within a second. */
#ifndef XENVRAM_BROKER_AUDIT_RATES_H
#define XENVRAM_BROKER_AUDIT_RATES_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/broker/bucket.h"

struct audit_rates {
	struct buckets users; /* by uid */
	struct bucket strangers;
	struct event *report; /* runs while there is something to say about what was left out */
};

/* 0, or -1 with ENOMEM. */
int audit_rates_init(struct audit_rates *rates, struct event_base *base);
void audit_rates_deinit(struct audit_rates *rates);

/* May there be another record about this user? Otherwise it is counted. */
bool audit_rates_admit(struct audit_rates *rates, uint32_t uid);
/* And about this one, who may not connect? Such users can have more uids than one: all together have a limit, too. */
bool audit_rates_admit_stranger(struct audit_rates *rates, uint32_t uid);
/* There is none, for another reason. */
void audit_rates_leave_out(struct audit_rates *rates, uint32_t uid);

#endif
