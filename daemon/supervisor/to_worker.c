/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's side of the workers: one for each domain in use. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "daemon/common/fd.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"
#include "daemon/supervisor/supervisor.h"
#include "proto/failure.h"

struct worker_child {
	LIST_ENTRY(worker_child) link; /* supervisor::workers */
	struct supervisor *supervisor;
	struct child child;
	uint32_t domid;
	char uuid[UUID_BYTES];
	bool ready;
	bool in_use; /* has regions, or was ready once: it is worth trying again */
	bool ending; /* is not to be started again: closed, gone, or unable to serve its domain */
	bool wanted; /* asked for anew while it was ending, for the domain with wanted_uuid (empty: any) */
	char wanted_uuid[UUID_BYTES];
};

typedef Xenvram__Internal__ToWorker ToWorker;

static struct worker_child *find_worker(struct supervisor *supervisor, uint32_t domid)
{
	struct worker_child *worker;
	LIST_FOREACH(worker, &supervisor->workers, link) {
		if (worker->domid == domid)
			return worker;
	}
	return NULL;
}

static void tell(struct worker_child *worker, const ToWorker *message, int fd)
{
	if (worker->child.channel)
		channel_send(worker->child.channel, &message->base, &fd, fd >= 0 ? 1 : 0);
}

static void tell_log(struct worker_child *worker, Xenvram__Internal__ToWorker__WhatCase what,
	const struct log_file *log, int fd)
{
	Xenvram__Internal__LogRef ref = XENVRAM__INTERNAL__LOG_REF__INIT;
	ToWorker message = XENVRAM__INTERNAL__TO_WORKER__INIT;
	ref.cookie = log->cookie;
	ref.domid = log->domid;
	ref.nr_pages = log->nr_pages;
	message.what_case = what;
	message.log = &ref; /* one arm of the union, whichever `what` */
	tell(worker, &message, fd);
}

/* It ends, and another one is started when it has, a little later each time. */
static void renew(struct worker_child *worker)
{
	worker->child.channel = channel_free(worker->child.channel);
}

static void meet_broker(struct worker_child *worker)
{
	Xenvram__Internal__Nothing nothing = XENVRAM__INTERNAL__NOTHING__INIT;
	ToWorker message = XENVRAM__INTERNAL__TO_WORKER__INIT;
	int pair[2];

	if (!worker->supervisor->broker.channel)
		return; /* its successor will be introduced */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		log_error("the worker of domain %u and the broker cannot be connected: %s", worker->domid,
			strerror(errno));
		renew(worker);
		return;
	}
	message.what_case = XENVRAM__INTERNAL__TO_WORKER__WHAT_BROKER;
	message.broker = &nothing;
	tell(worker, &message, pair[0]);
	broker_tell_worker(worker->supervisor, worker->domid, worker->uuid, pair[1]);
	close(pair[0]);
	close(pair[1]);
}

static void open_failed(struct supervisor *supervisor, uint32_t domid, Xenvram__V1__Status status, int error,
	const char *reason)
{
	Xenvram__Internal__Failure failure = XENVRAM__INTERNAL__FAILURE__INIT;
	char text[128];
	snprintf(text, sizeof(text), "domain %u %s", domid, reason);
	failure.status = status;
	failure.os_error = error;
	failure.message = text;
	broker_tell_open_failed(supervisor, domid, &failure);
}

static void end_worker(struct worker_child *worker)
{
	worker->ending = true;
	worker->child.explained = true; /* also one that does not come to say so */
	event_del(worker->child.respawn);
	worker->child.channel = channel_free(worker->child.channel);
}

static void free_worker(struct worker_child *worker)
{
	LIST_REMOVE(worker, link);
	child_deinit(&worker->child);
	free(worker);
}

/* The domain is gone, or another one has its domid: whoever knew it is told, and nothing is started again. */
static void domain_gone(struct worker_child *worker)
{
	Xenvram__Internal__Nothing nothing = XENVRAM__INTERNAL__NOTHING__INIT;
	ToWorker message = XENVRAM__INTERNAL__TO_WORKER__INIT;

	if (worker->ending)
		return;
	message.what_case = XENVRAM__INTERNAL__TO_WORKER__WHAT_DOMAIN_GONE;
	message.domain_gone = &nothing;
	tell(worker, &message, -1);
	broker_tell_domain_gone(worker->supervisor, worker->domid, worker->uuid);
	worker->ending = true;
	event_del(worker->child.respawn);
	if (!worker->child.pid)
		free_worker(worker);
}

static bool is_same_domain(struct worker_child *worker)
{
	char uuid[UUID_BYTES];
	if (xenstore_domain_uuid(worker->supervisor->xenstore, worker->domid, uuid) == 0)
		return strcmp(uuid, worker->uuid) == 0;
	return errno != ESRCH && errno != ENOENT; /* not told: as before */
}

/* ---- what a worker says ---- */

/*
 * It holds a page of whatever domain has the domid now; from here on the domid cannot change hands. If that
 * is still the domain that was asked for, it is safe to let it work.
 */
static void on_ready(struct worker_child *worker)
{
	struct log_file *log;
	char uuid[UUID_BYTES];
	if (xenstore_domain_uuid(worker->supervisor->xenstore, worker->domid, uuid) < 0) {
		if (errno != ESRCH && errno != ENOENT) {
			/* Not known is not good enough here: it is started again, and asked about again. */
			log_error("domain %u cannot be looked up in xenstore: %s", worker->domid,
				strerror(errno));
			renew(worker);
			return;
		}
		uuid[0] = '\0';
	}
	if (strcmp(uuid, worker->uuid) != 0) {
		domain_gone(worker);
		return;
	}
	worker->ready = true;
	worker->in_use = true;
	LIST_FOREACH(log, &worker->supervisor->logs, link) {
		if (log->domid == worker->domid)
			tell_log(worker, XENVRAM__INTERNAL__TO_WORKER__WHAT_LOG, log, log->writable_fd);
	}
	meet_broker(worker);
}

static void on_log_kept(struct worker_child *worker, uint64_t cookie)
{
	struct log_file *log;
	LIST_FOREACH(log, &worker->supervisor->logs, link) {
		if (log->cookie == cookie && log->domid == worker->domid && !log->announced)
			broker_tell_log(worker->supervisor, log);
	}
}

/* It could not serve its domain. What it says of that goes on to the broker, in a message that must hold it. */
static void on_failed(struct worker_child *worker, Xenvram__Internal__Failure *failure)
{
	worker->child.explained = true; /* to whoever asked */
	/* Whatever it could not do, it may have met a domain that is dying, or another one. */
	if (failure->status == XENVRAM__V1__STATUS__NO_DOMAIN || !is_same_domain(worker)) {
		domain_gone(worker);
		return;
	}
	if (strlen(failure->message) >= FAILURE_TEXT_BYTES)
		failure->message[FAILURE_TEXT_BYTES - 1] = '\0';
	broker_tell_open_failed(worker->supervisor, worker->domid, failure);
	/* A domain that could be served before can be again. */
	worker->ending = !worker->in_use;
}

static void handle(struct worker_child *worker, const Xenvram__Internal__FromWorker *message)
{
	switch (message->what_case) {
	case XENVRAM__INTERNAL__FROM_WORKER__WHAT_READY:
		/* Once: each time takes descriptors of the broker's. */
		if (!worker->ready)
			on_ready(worker);
		break;
	case XENVRAM__INTERNAL__FROM_WORKER__WHAT_FAILED:
		on_failed(worker, message->failed);
		break;
	case XENVRAM__INTERNAL__FROM_WORKER__WHAT_DOMAIN_GONE:
		domain_gone(worker);
		break;
	case XENVRAM__INTERNAL__FROM_WORKER__WHAT_LOG_KEPT:
		on_log_kept(worker, message->log_kept->cookie);
		break;
	default:
		log_error("unknown message %d of the worker of domain %u", (int)message->what_case,
			worker->domid);
	}
}

static void on_packet(void *owner, struct frame *frame)
{
	struct worker_child *worker = owner;
	Xenvram__Internal__FromWorker *message = (Xenvram__Internal__FromWorker *)frame_unpack(
		frame, &xenvram__internal__from_worker__descriptor);
	if (!message) {
		log_error("a message of the worker of domain %u cannot be read: %s", worker->domid,
			strerror(errno));
		return;
	}
	handle(worker, message);
	frame_free_message(&message->base);
}

static void on_close(void *owner, int error)
{
	struct worker_child *worker = owner;
	if (error)
		log_error(
			"the channel to the worker of domain %u failed: %s", worker->domid, strerror(error));
	worker->child.channel = channel_free(worker->child.channel);
	if (worker->child.pid && error)
		kill(worker->child.pid, SIGKILL);
}

/* ---- its life ---- */

static void start(struct worker_child *worker)
{
	static const struct channel_ops ops = {on_packet, on_close};
	struct role_options options = *worker->supervisor->options;

	if (!is_same_domain(worker)) {
		domain_gone(worker);
		return;
	}
	options.domid = worker->domid;
	worker->ready = false;
	if (child_start(&worker->child, worker->supervisor->base, "worker", &options,
		    worker->supervisor->listener.roles_lock_fd, &ops, worker) < 0)
		child_respawn_later(&worker->child);
}

static void on_respawn(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	start(data);
}

static void add_worker(struct supervisor *supervisor, uint32_t domid, const char *uuid, bool in_use)
{
	struct worker_child *worker = calloc(1, sizeof(*worker));
	if (!worker || child_init(&worker->child, supervisor->base, on_respawn, worker) < 0) {
		free(worker);
		open_failed(supervisor, domid, XENVRAM__V1__STATUS__INTERNAL, ENOMEM,
			"cannot be served: out of memory");
		return;
	}
	worker->supervisor = supervisor;
	worker->domid = domid;
	strcpy(worker->uuid, uuid);
	worker->in_use = in_use;
	LIST_INSERT_HEAD(&supervisor->workers, worker, link);
	start(worker);
}

void workers_open(struct supervisor *supervisor, uint32_t domid, const char *uuid)
{
	struct worker_child *worker = find_worker(supervisor, domid);
	char found[UUID_BYTES];

	if (worker && worker->ending) {
		worker->wanted = true;
		snprintf(worker->wanted_uuid, sizeof(worker->wanted_uuid), "%s", uuid);
		return;
	}
	if (worker && (!*uuid || strcmp(uuid, worker->uuid) == 0))
		return; /* the broker hears of it when it is ready */
	if (domid == 0) {
		open_failed(supervisor, domid, XENVRAM__V1__STATUS__UNSUPPORTED_DOMAIN, EPERM,
			"is this host's own; video RAM can be managed for HVM and PVH guests");
	} else if (xenstore_domain_uuid(supervisor->xenstore, domid, found) < 0) {
		if (*uuid && (errno == ESRCH || errno == ENOENT))
			broker_tell_domain_gone(supervisor, domid, uuid);
		else if (errno == ESRCH)
			open_failed(
				supervisor, domid, XENVRAM__V1__STATUS__NO_DOMAIN, ESRCH, "does not exist");
		else if (errno == ENOENT)
			open_failed(supervisor, domid, XENVRAM__V1__STATUS__NO_DOMAIN, ENOENT,
				"has no UUID in xenstore (/local/domain/<domid>/vm)");
		else
			open_failed(supervisor, domid, XENVRAM__V1__STATUS__INTERNAL, errno,
				"cannot be looked up in xenstore");
	} else if (*uuid && strcmp(uuid, found) != 0) {
		broker_tell_domain_gone(supervisor, domid, uuid);
	} else {
		/* Whoever knows the UUID has a region there. */
		add_worker(supervisor, domid, found, *uuid);
	}
}

void workers_close(struct supervisor *supervisor, uint32_t domid)
{
	struct worker_child *worker = find_worker(supervisor, domid);
	if (!worker)
		return;
	worker->wanted = false;
	end_worker(worker);
	if (!worker->child.pid)
		free_worker(worker);
}

void workers_restart(struct supervisor *supervisor, uint32_t domid)
{
	struct worker_child *worker = find_worker(supervisor, domid);
	if (worker && !worker->ending)
		renew(worker);
}

void workers_meet_broker(struct supervisor *supervisor)
{
	struct worker_child *worker;
	LIST_FOREACH(worker, &supervisor->workers, link) {
		if (worker->ready && !worker->ending)
			meet_broker(worker);
	}
}

bool workers_reaped(struct supervisor *supervisor, pid_t pid, int status)
{
	struct worker_child *worker;
	LIST_FOREACH(worker, &supervisor->workers, link) {
		if (worker->child.pid == pid)
			break;
	}
	if (!worker)
		return false;

	char what[48];
	snprintf(what, sizeof(what), "the worker of domain %u", worker->domid);
	child_reaped(&worker->child, what, status);
	worker->ready = false;
	if (worker->ending || supervisor->stopping) {
		bool wanted = worker->wanted && !supervisor->stopping;
		uint32_t domid = worker->domid;
		char uuid[UUID_BYTES];
		strcpy(uuid, worker->wanted_uuid);
		free_worker(worker);
		if (wanted)
			workers_open(supervisor, domid, uuid);
	} else {
		child_respawn_later(&worker->child);
	}
	return true;
}

void workers_check_domains(struct supervisor *supervisor)
{
	struct worker_child *worker, *next;
	LIST_FOREACH_SAFE(worker, &supervisor->workers, link, next) {
		if (!is_same_domain(worker))
			domain_gone(worker);
	}
}

void workers_stop(struct supervisor *supervisor)
{
	struct worker_child *worker, *next;
	LIST_FOREACH_SAFE(worker, &supervisor->workers, link, next) {
		end_worker(worker);
		if (!worker->child.pid)
			free_worker(worker);
	}
}

void workers_free(struct supervisor *supervisor)
{
	while (!LIST_EMPTY(&supervisor->workers))
		free_worker(LIST_FIRST(&supervisor->workers));
}

/* ---- logs ---- */

void workers_give_log(struct supervisor *supervisor, struct log_file *log)
{
	struct worker_child *worker = find_worker(supervisor, log->domid);
	if (worker && worker->ready)
		tell_log(worker, XENVRAM__INTERNAL__TO_WORKER__WHAT_LOG, log, log->writable_fd);
}

void workers_drop_log(struct supervisor *supervisor, const struct log_file *log)
{
	struct worker_child *worker = find_worker(supervisor, log->domid);
	if (worker)
		tell_log(worker, XENVRAM__INTERNAL__TO_WORKER__WHAT_DROP_LOG, log, -1);
}
