/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/governor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "daemon/broker/domain.h"
#include "daemon/broker/poll_budget.h"
#include "daemon/common/clock.h"
#include "daemon/common/fd.h"
#include "daemon/common/log.h"

#define PPM_PER_PERCENT 10000u

void governor_tell(const struct broker *broker, struct domain *domain)
{
	Xenvram__Internal__Limits limits = XENVRAM__INTERNAL__LIMITS__INIT;
	Xenvram__Internal__Command command = XENVRAM__INTERNAL__COMMAND__INIT;
	limits.share_ppm = broker->governor.share_ppm;
	limits.refresh_ms = broker->settings.refresh_interval_ms;
	command.what_case = XENVRAM__INTERNAL__COMMAND__WHAT_LIMITS;
	command.limits = &limits;
	domain_command(domain, NULL, &command, -1, NULL);
}

static void tell_all(struct broker *broker)
{
	struct domain *domain;
	LIST_FOREACH(domain, &broker->domains, link) {
		if (domain->worker)
			governor_tell(broker, domain);
	}
}

static uint64_t polls_of(const struct region *region)
{
	const struct region_log_header *header = region->log.header;
	return header ? __atomic_load_n(&header->polls, __ATOMIC_RELAXED) : 0;
}

static uint64_t poll_ns_of(const struct region *region)
{
	const struct region_log_header *header = region->log.header;
	return header ? __atomic_load_n(&header->poll_ns, __ATOMIC_RELAXED) : 0;
}

static void set_seen(struct region *region)
{
	region->seen_polls = polls_of(region);
	region->seen_poll_ns = poll_ns_of(region);
}

/* An earlier broker may have counted more, for other regions. */
void governor_meet_log(struct region *region)
{
	struct domain *domain = region->domain;

	set_seen(region);
	if (domain->polls < region->seen_polls) {
		domain->polls = region->seen_polls;
		domain->poll_ns = region->seen_poll_ns;
	}
}

/* One poll serves all that are there at the time; those of regions that come and go are different ones. */
void governor_part_log(struct region *region)
{
	const struct region_log_header *header = region->log.header;

	if (!header || !region->domain)
		return;
	struct poll_use *use = &region->domain->use;
	uint64_t last_poll_ns = __atomic_load_n(&header->last_poll_ns, __ATOMIC_RELAXED);
	if (last_poll_ns <= use->parted_ns)
		return;
	use->parted_ns = last_poll_ns;
	use->polls += polls_of(region) - region->seen_polls;
	use->poll_ns += poll_ns_of(region) - region->seen_poll_ns;
}

/* One hypercall serves all regions of a domain, and is counted in each of them. */
static void add_use(const struct region *region, struct poll_use *use)
{
	uint64_t polls = polls_of(region) - region->seen_polls;

	if (polls > use->polls) {
		use->polls = polls;
		use->poll_ns = poll_ns_of(region) - region->seen_poll_ns;
	}
	if (region->period_us > 0 && (use->period_us == 0 || region->period_us < use->period_us))
		use->period_us = region->period_us;
}

void governor_count(const struct domain *domain, uint64_t *ret_polls, uint64_t *ret_poll_ns)
{
	struct poll_use use = domain->use;
	const struct region *region;

	LIST_FOREACH(region, &domain->broker->regions.regions, link) {
		if (region->domain == domain)
			add_use(region, &use);
	}
	*ret_polls = domain->polls + use.polls;
	*ret_poll_ns = domain->poll_ns + use.poll_ns;
}

static uint64_t to_ppm(uint64_t used_ns, uint64_t elapsed_ns)
{
	return elapsed_ns > 0 ? used_ns * 1000000 / elapsed_ns : 0;
}

/*
 * What readers want or, if more was used, what it took to answer those who asked for single polls. How many
 * more they would have asked for had the domain's share not held them up, nobody knows.
 */
static uint64_t demand_of(const struct poll_use *use, uint64_t elapsed_ns, uint32_t share_ppm)
{
	uint64_t wanted_ppm = use->period_us > 0 ? poll_budget_demand(use->cost_ns, use->period_us) : 0;
	uint64_t used_ppm = to_ppm(use->poll_ns, elapsed_ns);
	if (used_ppm <= wanted_ppm + wanted_ppm / 8)
		return wanted_ppm;
	return used_ppm < share_ppm - share_ppm / 8 ? used_ppm : UINT64_MAX;
}

/* Stores the demand of each domain that is polled, and returns their number. */
static size_t collect(
	struct broker *broker, uint64_t elapsed_ns, uint64_t *demands_ppm, uint32_t *ret_used_ppm)
{
	struct domain *domain;
	struct region *region;
	uint64_t used_ns = 0;
	size_t n = 0;

	LIST_FOREACH(region, &broker->regions.regions, link) {
		if (!region->domain)
			continue;
		add_use(region, &region->domain->use);
		set_seen(region);
	}
	LIST_FOREACH(domain, &broker->domains, link) {
		struct poll_use *use = &domain->use;
		used_ns += use->poll_ns;
		domain->polls += use->polls;
		domain->poll_ns += use->poll_ns;
		if (use->polls > 0)
			use->cost_ns = use->poll_ns / use->polls;
		if ((use->polls > 0 || use->period_us > 0) && n < MAX_REGIONS)
			demands_ppm[n++] = demand_of(use, elapsed_ns, broker->governor.share_ppm);
		*use = (struct poll_use){.cost_ns = use->cost_ns, .parted_ns = use->parted_ns};
	}
	*ret_used_ppm = to_ppm(used_ns, elapsed_ns);
	return n;
}

/* A share that is hardly larger is not worth a message to every worker. One that is smaller keeps the budget. */
static bool differs(uint32_t share_ppm, uint32_t told_ppm)
{
	return share_ppm < told_ppm || share_ppm - told_ppm > share_ppm / 16;
}

static void set_share(struct broker *broker, uint32_t share_ppm)
{
	struct governor *governor = &broker->governor;
	bool restored = share_ppm == governor->budget_ppm && governor->share_ppm != share_ppm;

	if (!restored && !differs(share_ppm, governor->share_ppm))
		return;
	if (governor->share_ppm == governor->budget_ppm)
		log_info("polling wants more than its budget of %u %% of a CPU: periods are stretched",
			governor->budget_ppm / PPM_PER_PERCENT);
	else if (restored)
		log_info("polling is within its budget again");
	governor->share_ppm = share_ppm;
	tell_all(broker);
}

static void on_tick(evutil_socket_t fd, short what, void *data)
{
	struct broker *broker = data;
	struct governor *governor = &broker->governor;
	uint64_t demands_ppm[MAX_REGIONS];
	uint64_t n_ticks;

	(void)what;
	if (read(fd, &n_ticks, sizeof(n_ticks)) < 0)
		return; /* none is due */
	uint64_t now = clock_now_ns();
	size_t n = collect(broker, now - governor->looked_ns, demands_ppm, &governor->used_ppm);
	governor->ticking = false;
	governor->looked_ns = now;
	set_share(broker, poll_budget_share(demands_ppm, n, governor->budget_ppm));
	if (n > 0)
		governor_wake(broker);
	else
		governor->looked_ns = 0;
}

void governor_wake(struct broker *broker)
{
	static const struct itimerspec in_a_second = {.it_value.tv_sec = 1};
	struct governor *governor = &broker->governor;

	if (governor->ticking)
		return;
	if (governor->looked_ns == 0)
		governor->looked_ns = clock_now_ns();
	if (timerfd_settime(governor->timer_fd, 0, &in_a_second, NULL) < 0)
		log_error("the cost of polling is not watched: %s", strerror(errno));
	else
		governor->ticking = true;
}

void governor_configure(struct broker *broker)
{
	struct governor *governor = &broker->governor;
	governor->budget_ppm = broker->settings.poll_budget_percent * PPM_PER_PERCENT;
	governor->share_ppm = governor->budget_ppm;
	tell_all(broker);
}

int governor_init(struct broker *broker)
{
	struct governor *governor = &broker->governor;

	/*
	 * No timer of the event loop, which would have to be set in the kernel each time that the loop waits: several
	 * percent of what a request costs, for a tick a second.
	 */
	governor->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (governor->timer_fd < 0)
		return -1;
	governor->timer = event_new(broker->base, governor->timer_fd, EV_READ | EV_PERSIST, on_tick, broker);
	if (!governor->timer || event_add(governor->timer, NULL) < 0)
		return -1;
	governor_configure(broker);
	return 0;
}

void governor_deinit(struct broker *broker)
{
	if (broker->governor.timer)
		event_free(broker->governor.timer);
	broker->governor.timer = NULL;
	broker->governor.timer_fd = fd_close(broker->governor.timer_fd);
}
