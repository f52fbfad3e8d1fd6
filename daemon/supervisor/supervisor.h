/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The supervisor: root of the process tree. It starts the broker and the workers, introduces them to each
 * other, and keeps what must outlive them. It reads nothing that a client sent.
 */
#ifndef XENVRAM_SUPERVISOR_SUPERVISOR_H
#define XENVRAM_SUPERVISOR_SUPERVISOR_H

#include <stdbool.h>

#include "daemon/common/role.h"
#include "daemon/common/settings.h"
#include "daemon/supervisor/children.h"
#include "daemon/supervisor/heartbeat.h"
#include "daemon/supervisor/kept.h"
#include "daemon/supervisor/listener.h"
#include "daemon/supervisor/log_file.h"
#include "daemon/supervisor/xenstore.h"

struct worker_child;

LIST_HEAD(worker_list, worker_child);

struct supervisor {
	const struct role_options *options;
	struct settings settings;
	struct event_base *base;
	struct xenstore *xenstore;
	struct listener listener;
	uint64_t file_limit; /* how many descriptors there can be */
	struct kept_list kept;
	unsigned int n_not_kept; /* objects of the broker, since that was last said */
	uint64_t said_not_kept_ns;
	struct log_file_list logs;
	struct child broker;
	struct heartbeat heartbeat; /* of the broker */
	struct worker_list workers;
	bool served; /* a broker was ready once */
	bool stopping;
	bool failed;
};

/* ---- to_broker.c ---- */

/* Starts the broker and hands it all that there is. -1 with a line in the log. */
int broker_start(struct supervisor *supervisor);
/* The broker's process has ended. */
void broker_reaped(struct supervisor *supervisor, int status);

/* Does it go on? heartbeat_answered when it does. */
void broker_ask(struct supervisor *supervisor);

/* The settings, as they are now. */
void broker_tell_settings(struct supervisor *supervisor);

/* Each tells the broker something; nothing happens while there is none, the next one is told at its start. */
void broker_tell_log(struct supervisor *supervisor, struct log_file *log);
void broker_tell_log_failed(struct supervisor *supervisor, uint64_t cookie, int error);
void broker_tell_worker(struct supervisor *supervisor, uint32_t domid, const char *uuid, int channel_fd);
void broker_tell_open_failed(
	struct supervisor *supervisor, uint32_t domid, const Xenvram__Internal__Failure *failure);
void broker_tell_domain_gone(struct supervisor *supervisor, uint32_t domid, const char *uuid);

/* ---- to_worker.c ---- */

/* Starts a worker for the domain, unless there is one. uuid empty: whichever domain has this domid now. */
void workers_open(struct supervisor *supervisor, uint32_t domid, const char *uuid);
/* The broker has no use for the domain's worker any more. */
void workers_close(struct supervisor *supervisor, uint32_t domid);
/* The broker cannot talk to the domain's worker, if there is one: it is to end, and another one to be started. */
void workers_restart(struct supervisor *supervisor, uint32_t domid);
/* Gives every running worker a channel to the broker that was just started. */
void workers_meet_broker(struct supervisor *supervisor);
/* Gives the log to its domain's worker, now or when it is running. */
void workers_give_log(struct supervisor *supervisor, struct log_file *log);
void workers_drop_log(struct supervisor *supervisor, const struct log_file *log);
/* Looks every domain up again after a release. */
void workers_check_domains(struct supervisor *supervisor);
/* Was it a worker? */
bool workers_reaped(struct supervisor *supervisor, pid_t pid, int status);
void workers_stop(struct supervisor *supervisor);
void workers_free(struct supervisor *supervisor);

#endif
