/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/broker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "daemon/broker/backlog.h"
#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/governor.h"
#include "daemon/broker/listening.h"
#include "daemon/broker/maps.h"
#include "daemon/broker/supervisor_link.h"
#include "daemon/common/fd.h"
#include "daemon/common/log.h"
#include "daemon/common/privilege.h"
#include "daemon/common/role.h"
#include "daemon/common/sandbox.h"

uint64_t broker_new_id(struct broker *broker)
{
	return ++broker->last_id;
}

/* The supervisor sends it to end a sleep in the kernel, which an ignored signal does not. */
static void on_urge(int number)
{
	(void)number;
}

static void serve(struct broker *broker)
{
	if (broker->base && region_table_init(&broker->regions, MAX_REGIONS) == 0 &&
		audit_init(broker) == 0 && backlog_init(broker) == 0 && governor_init(broker) == 0 &&
		supervisor_link_open(broker) == 0) {
		broker->exit_status = 0;
		event_base_dispatch(broker->base);
	} else {
		log_error("cannot start: %s", strerror(errno));
	}
}

int broker_main(const struct role_options *options)
{
	struct broker broker = {.journal_fd = -1, .governor.timer_fd = -1, .exit_status = ROLE_CANNOT_RUN};

	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* of a terminal, as SIGHUP: the supervisor decides */
	signal(SIGHUP, SIG_IGN);
	signal(SIGURG, on_urge);
	settings_init(&broker.settings);
	pins_init(&broker.pins);
	moves_init(&broker.moves);
	LIST_INIT(&broker.maps);
	LIST_INIT(&broker.domains);
	LIST_INIT(&broker.connections);
	broker.base = event_base_new();
	log_open_journal(LOG_JOURNAL_SOCKET);
	/* Before the first byte of anybody else's is read. */
	if (privilege_drop(options->broker_user) == 0 && sandbox_enter(SANDBOX_BROKER) == 0)
		serve(&broker);

	connections_free_all(&broker);
	region_table_deinit(&broker.regions);
	pins_deinit(&broker.pins);
	moves_deinit(&broker.moves);
	maps_free_all(&broker);
	domain_free_all(&broker);
	governor_deinit(&broker);
	audit_deinit(&broker);
	listening_free(&broker);
	backlog_deinit(&broker);
	channel_free(broker.supervisor);
	fd_close(broker.journal_fd);
	if (broker.base)
		event_base_free(broker.base);
	return broker.exit_status;
}
