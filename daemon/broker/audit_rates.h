/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many records there may be about whom. What is left out is counted, and a record says how many within a second. */
#ifndef XENVRAM_BROKER_AUDIT_RATES_H
#define XENVRAM_BROKER_AUDIT_RATES_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/broker/bucket.h"

/* Whom a record is about. */
struct audit_user {
	uint32_t uid;
	uint32_t domid; /* which it acts for alone, or AUDIT_NO_DOMAIN */
};

#define AUDIT_NO_DOMAIN UINT32_MAX

/* Each has a rate of its own: what is refused a thousand times hides nothing that is worse. */
enum audit_kind {
	AUDIT_DENIALS, /* of what is not permitted, or another domain's */
	AUDIT_CHANGES, /* that were not made */
	AUDIT_OTHERS,
	N_AUDIT_KINDS,
};

struct audit_rates {
	struct buckets users[N_AUDIT_KINDS];
	struct bucket strangers;
	struct event *report; /* runs while there is something to say about what was left out */
};

/* 0, or -1 with ENOMEM. */
int audit_rates_init(struct audit_rates *rates, struct event_base *base);
void audit_rates_deinit(struct audit_rates *rates);

/* May there be another record of this kind about this user? Otherwise it is counted. */
bool audit_rates_admit(struct audit_rates *rates, struct audit_user user, enum audit_kind kind);
/*
 * And that this one may not connect? Such users can have more uids than one: all together have a limit, too.
 */
bool audit_rates_admit_stranger(struct audit_rates *rates, struct audit_user user);
/* There is none, for another reason. */
void audit_rates_leave_out(struct audit_rates *rates, struct audit_user user, enum audit_kind kind);

#endif
