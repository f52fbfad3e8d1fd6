/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/file_limit.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/common/log.h"

uint64_t file_limit_needed(const struct settings *settings)
{
	uint64_t connections = settings->connections, domains = settings->regions;
	uint64_t subscriptions = connections * settings->subscriptions_per_connection;
	uint64_t logs = settings->regions + connections * MAX_TRACKED_RANGES_PER_DOMAIN;

	if (subscriptions > domains * settings->subscriptions_per_domain)
		subscriptions = domains * settings->subscriptions_per_domain;
	return FILE_LIMIT_BY_KEPT * (connections + subscriptions + 2 * logs);
}

uint64_t file_limit_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		log_warning("the limit of open files cannot be found out: %s", strerror(errno));
		return RLIM_INFINITY;
	}
	rlim_t soft = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return limit.rlim_cur;
	log_warning("the limit of open files cannot be raised: %s", strerror(errno));
	return soft;
}
