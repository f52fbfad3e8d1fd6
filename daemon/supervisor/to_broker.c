/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The supervisor's side of the broker: its life, and what it asks for. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#include "daemon/common/clock.h"
#include "daemon/common/fd.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"
#include "daemon/supervisor/file_limit.h"
#include "daemon/supervisor/supervisor.h"
#include "proto/region_log.h"

/* That objects are not kept. */
#define SAID_EVERY_NS 1000000000ull

typedef Xenvram__Internal__ToBroker ToBroker;

static void tell(struct supervisor *supervisor, const ToBroker *message, const int *fds, unsigned int n_fds)
{
	if (!supervisor->broker.channel)
		return;
	channel_send(supervisor->broker.channel, &message->base, fds, n_fds);
	heartbeat_expect(supervisor);
}

void broker_ask(struct supervisor *supervisor)
{
	Xenvram__Internal__Nothing nothing = XENVRAM__INTERNAL__NOTHING__INIT;
	ToBroker message = XENVRAM__INTERNAL__TO_BROKER__INIT;

	message.what_case = XENVRAM__INTERNAL__TO_BROKER__WHAT_PING;
	message.ping = &nothing;
	if (supervisor->broker.channel)
		channel_send(supervisor->broker.channel, &message.base, NULL, 0);
}

void broker_tell_settings(struct supervisor *supervisor)
{
	Xenvram__Internal__Settings packed = XENVRAM__INTERNAL__SETTINGS__INIT;
	ToBroker message = XENVRAM__INTERNAL__TO_BROKER__INIT;
	packed.settings =
		(ProtobufCBinaryData){sizeof(supervisor->settings), (uint8_t *)&supervisor->settings};
	message.what_case = XENVRAM__INTERNAL__TO_BROKER__WHAT_SETTINGS;
	message.settings = &packed;
	tell(supervisor, &message, NULL, 0);
}

void broker_tell_log(struct supervisor *supervisor, struct log_file *log)
{
	Xenvram__Internal__LogRef ref = XENVRAM__INTERNAL__LOG_REF__INIT;
	ToBroker message = XENVRAM__INTERNAL__TO_BROKER__INIT;
	ref.cookie = log->cookie;
	ref.domid = log->domid;
	ref.nr_pages = log->nr_pages;
	message.what_case = XENVRAM__INTERNAL__TO_BROKER__WHAT_LOG;
	message.log = &ref;
	log->announced = true;
	tell(supervisor, &message, &log->readable_fd, 1);
}

void broker_tell_log_failed(struct supervisor *supervisor, uint64_t cookie, int error)
{
	Xenvram__Internal__Failure failure = XENVRAM__INTERNAL__FAILURE__INIT;
	Xenvram__Internal__LogFailed failed = XENVRAM__INTERNAL__LOG_FAILED__INIT;
	ToBroker message = XENVRAM__INTERNAL__TO_BROKER__INIT;
	failure.status = XENVRAM__V1__STATUS__INTERNAL;
	failure.os_error = error;
	failure.message = strerror(error);
	failed.cookie = cookie;
	failed.failure = &failure;
	message.what_case = XENVRAM__INTERNAL__TO_BROKER__WHAT_LOG_FAILED;
	message.log_failed = &failed;
	tell(supervisor, &message, NULL, 0);
}

static void tell_domain(struct supervisor *supervisor, Xenvram__Internal__ToBroker__WhatCase what,
	uint32_t domid, const char *uuid, int fd)
{
	Xenvram__Internal__DomainRef ref = XENVRAM__INTERNAL__DOMAIN_REF__INIT;
	ToBroker message = XENVRAM__INTERNAL__TO_BROKER__INIT;
	ref.domid = domid;
	ref.uuid = (char *)uuid;
	message.what_case = what;
	message.worker = &ref; /* one arm of the union, whichever `what` */
	tell(supervisor, &message, &fd, fd >= 0 ? 1 : 0);
}

void broker_tell_worker(struct supervisor *supervisor, uint32_t domid, const char *uuid, int channel_fd)
{
	tell_domain(supervisor, XENVRAM__INTERNAL__TO_BROKER__WHAT_WORKER, domid, uuid, channel_fd);
}

void broker_tell_domain_gone(struct supervisor *supervisor, uint32_t domid, const char *uuid)
{
	tell_domain(supervisor, XENVRAM__INTERNAL__TO_BROKER__WHAT_DOMAIN_GONE, domid, uuid, -1);
}

void broker_tell_open_failed(
	struct supervisor *supervisor, uint32_t domid, const Xenvram__Internal__Failure *failure)
{
	Xenvram__Internal__OpenFailed failed = XENVRAM__INTERNAL__OPEN_FAILED__INIT;
	ToBroker message = XENVRAM__INTERNAL__TO_BROKER__INIT;
	failed.domid = domid;
	failed.failure = (Xenvram__Internal__Failure *)failure;
	message.what_case = XENVRAM__INTERNAL__TO_BROKER__WHAT_OPEN_FAILED;
	message.open_failed = &failed;
	tell(supervisor, &message, NULL, 0);
}

static void tell_kept(struct supervisor *supervisor, const struct kept *kept)
{
	Xenvram__Internal__Kept packed = XENVRAM__INTERNAL__KEPT__INIT;
	ToBroker message = XENVRAM__INTERNAL__TO_BROKER__INIT;
	packed.kind = kept->kind;
	packed.id = kept->id;
	packed.state = (ProtobufCBinaryData){kept->n_bytes, kept->bytes};
	message.what_case = XENVRAM__INTERNAL__TO_BROKER__WHAT_KEPT;
	message.kept = &packed;
	tell(supervisor, &message, &kept->fd, kept->fd >= 0 ? 1 : 0);
}

static void tell_start(struct supervisor *supervisor)
{
	Xenvram__Internal__Nothing nothing = XENVRAM__INTERNAL__NOTHING__INIT;
	ToBroker message = XENVRAM__INTERNAL__TO_BROKER__INIT;
	int fds[1 + MAX_LISTENERS] = {supervisor->listener.journal_fd};
	for (unsigned int i = 0; i < supervisor->listener.n_fds; i++)
		fds[1 + i] = supervisor->listener.fds[i];
	message.what_case = XENVRAM__INTERNAL__TO_BROKER__WHAT_START;
	message.start = &nothing;
	tell(supervisor, &message, fds, 1 + supervisor->listener.n_fds);
}

static void tell_inheritance(struct supervisor *supervisor)
{
	Xenvram__Internal__Nothing nothing = XENVRAM__INTERNAL__NOTHING__INIT;
	ToBroker message = XENVRAM__INTERNAL__TO_BROKER__INIT;
	struct kept *kept;
	struct log_file *log;

	broker_tell_settings(supervisor);
	tell_start(supervisor);
	LIST_FOREACH(log, &supervisor->logs, link) {
		if (log->announced)
			broker_tell_log(supervisor, log);
	}
	TAILQ_FOREACH(kept, &supervisor->kept, link)
		tell_kept(supervisor, kept);
	workers_meet_broker(supervisor);
	message.what_case = XENVRAM__INTERNAL__TO_BROKER__WHAT_INHERITED_ALL;
	message.inherited_all = &nothing;
	tell(supervisor, &message, NULL, 0);
}

/* ---- what the broker asks for ---- */

static struct log_file *find_log(struct supervisor *supervisor, uint64_t cookie)
{
	struct log_file *log;
	LIST_FOREACH(log, &supervisor->logs, link) {
		if (log->cookie == cookie)
			return log;
	}
	return NULL;
}

/* The broker reads what anybody sends: what it asks for is held to what a broker in order would. */
static struct log_file *make_log(const struct supervisor *supervisor, const Xenvram__Internal__LogRef *ref)
{
	struct log_file *log;
	unsigned int n_logs = 0;

	LIST_FOREACH(log, &supervisor->logs, link)
		n_logs++;
	if (ref->domid > MAX_DOMID || n_logs >= MAX_LOGS) {
		errno = n_logs >= MAX_LOGS ? ENOSPC : EINVAL;
		return NULL;
	}
	log = log_file_new(ref->cookie, ref->domid, ref->nr_pages, ref->first_generation);
	if (!log || (uint64_t)log->readable_fd < supervisor->file_limit / FILE_LIMIT_BY_LOGS)
		return log;
	log_file_free(log, REGION_LOG_GONE);
	errno = EMFILE;
	return NULL;
}

static void create_log(struct supervisor *supervisor, const Xenvram__Internal__LogRef *ref)
{
	struct log_file *log = find_log(supervisor, ref->cookie);
	if (!log) {
		log = make_log(supervisor, ref);
		if (!log) {
			int error = errno;
			log_error("cannot make a region log of %" PRIu64 " pages: %s", ref->nr_pages,
				strerror(error));
			broker_tell_log_failed(supervisor, ref->cookie, error);
			return;
		}
		LIST_INSERT_HEAD(&supervisor->logs, log, link);
	}
	workers_give_log(supervisor, log);
}

static void drop_log(struct supervisor *supervisor, uint64_t cookie)
{
	struct log_file *log = find_log(supervisor, cookie);
	if (!log)
		return;
	workers_drop_log(supervisor, log);
	LIST_REMOVE(log, link);
	log_file_free(log, REGION_LOG_GONE);
}

/* Why there is none of this domid that could be acted for; by errno as xenstore_domain_uuid has it. */
static const char *no_identity(int error)
{
	switch (error) {
	case EPERM:
		return "is this host's own";
	case ESRCH:
		return "does not exist";
	case ENOENT:
		return "has no UUID in xenstore (/local/domain/<domid>/vm)";
	default:
		return "cannot be looked up in xenstore";
	}
}

static void identify(struct supervisor *supervisor, const Xenvram__Internal__Identify *question)
{
	Xenvram__Internal__Failure failure = XENVRAM__INTERNAL__FAILURE__INIT;
	Xenvram__Internal__Identify answer = XENVRAM__INTERNAL__IDENTIFY__INIT;
	ToBroker message = XENVRAM__INTERNAL__TO_BROKER__INIT;
	char uuid[UUID_BYTES];
	int error = 0;

	if (question->domid == 0)
		error = EPERM;
	else if (xenstore_domain_uuid(supervisor->xenstore, question->domid, uuid) < 0)
		error = errno;
	answer.connection = question->connection;
	answer.domid = question->domid;
	if (error) {
		failure.status = error == ESRCH || error == ENOENT ? XENVRAM__V1__STATUS__NO_DOMAIN
				 : error == EPERM                  ? XENVRAM__V1__STATUS__UNSUPPORTED_DOMAIN
								   : XENVRAM__V1__STATUS__INTERNAL;
		failure.os_error = error;
		failure.message = (char *)no_identity(error);
		answer.failure = &failure;
	} else {
		answer.uuid = uuid;
	}
	message.what_case = XENVRAM__INTERNAL__TO_BROKER__WHAT_IDENTIFIED;
	message.identified = &answer;
	tell(supervisor, &message, NULL, 0);
}

static void say_not_kept(struct supervisor *supervisor)
{
	uint64_t now_ns = clock_now_ns();

	supervisor->n_not_kept++;
	if (now_ns - supervisor->said_not_kept_ns < SAID_EVERY_NS)
		return;
	log_warning("%" PRIu64
		    " files can be open at a time, too few for %u more connections and subscriptions: "
		    "if the broker dies they end, or wake nobody any more",
		supervisor->file_limit, supervisor->n_not_kept);
	supervisor->n_not_kept = 0;
	supervisor->said_not_kept_ns = now_ns;
}

/* Without its descriptor an object is of less use to the next broker, and of no less to this one. */
static void keep(struct supervisor *supervisor, const Xenvram__Internal__Kept *message, struct frame *frame)
{
	bool lost = frame->fds_lost;
	int fd = frame_take_fd(frame, 0);

	if (fd >= 0 && (uint64_t)fd >= supervisor->file_limit / FILE_LIMIT_BY_KEPT) {
		fd = fd_close(fd);
		lost = true;
	}
	const struct kept *kept = kept_put(&supervisor->kept, message, fd);
	if (!kept)
		log_error("an object of the broker will not outlive it: %s", strerror(errno));
	else if (lost && kept->fd < 0)
		say_not_kept(supervisor);
}

static void handle(
	struct supervisor *supervisor, const Xenvram__Internal__FromBroker *message, struct frame *frame)
{
	switch (message->what_case) {
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_READY:
		supervisor->served = true;
		sd_notify(0, "READY=1\nSTATUS=Serving");
		log_info("serving");
		break;
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_KEEP:
		keep(supervisor, message->keep, frame);
		break;
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_DROP:
		kept_drop(&supervisor->kept, message->drop);
		break;
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_OPEN_WORKER:
		workers_open(supervisor, message->open_worker->domid, message->open_worker->uuid);
		break;
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_CLOSE_WORKER:
		workers_close(supervisor, message->close_worker->domid);
		break;
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_RESTART_WORKER:
		workers_restart(supervisor, message->restart_worker->domid);
		break;
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_CREATE_LOG:
		create_log(supervisor, message->create_log);
		break;
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_DROP_LOG:
		drop_log(supervisor, message->drop_log->cookie);
		break;
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_IDENTIFY:
		identify(supervisor, message->identify);
		break;
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_ACTIVE:
		heartbeat_expect(supervisor);
		break;
	case XENVRAM__INTERNAL__FROM_BROKER__WHAT_PONG:
		heartbeat_answered(supervisor);
		break;
	default:
		log_error("unknown message %d of the broker", (int)message->what_case);
	}
}

static void on_packet(void *owner, struct frame *frame)
{
	Xenvram__Internal__FromBroker *message = (Xenvram__Internal__FromBroker *)frame_unpack(
		frame, &xenvram__internal__from_broker__descriptor);
	if (!message) {
		log_error("a message of the broker cannot be read: %s", strerror(errno));
		return;
	}
	handle(owner, message, frame);
	frame_free_message(&message->base);
}

/* ---- its life ---- */

/* What is kept goes only when a broker drops it, and for its number none can be started: clients reconnect. */
static void forget_if_too_many(struct supervisor *supervisor, int error)
{
	if (error == EMFILE || error == ENFILE)
		kept_drop_all(&supervisor->kept);
}

/* Whatever it is that it says no more: it is restarted when it is reaped. */
static void on_close(void *owner, int error)
{
	struct supervisor *supervisor = owner;
	if (error)
		log_error("the channel to the broker failed: %s", strerror(error));
	forget_if_too_many(supervisor, error);
	supervisor->broker.channel = channel_free(supervisor->broker.channel);
	if (supervisor->broker.pid)
		kill(supervisor->broker.pid, SIGKILL);
}

static void start(struct supervisor *supervisor)
{
	static const struct channel_ops ops = {on_packet, on_close};
	if (child_start(&supervisor->broker, supervisor->base, "broker", supervisor->options,
		    supervisor->listener.roles_lock_fd, &ops, supervisor) == 0) {
		tell_inheritance(supervisor);
		return;
	}
	forget_if_too_many(supervisor, errno);
	child_respawn_later(&supervisor->broker);
}

static void on_respawn(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	start(data);
}

int broker_start(struct supervisor *supervisor)
{
	if (child_init(&supervisor->broker, supervisor->base, on_respawn, supervisor) < 0) {
		log_error("cannot start the broker: out of memory");
		return -1;
	}
	start(supervisor);
	return 0;
}

void broker_reaped(struct supervisor *supervisor, int status)
{
	child_reaped(&supervisor->broker, "the broker", status);
	heartbeat_stop(supervisor);
	if (supervisor->stopping)
		return;
	/* Asked for nothing and yet ended on its own: it could not start, and would not the next time. */
	if (!supervisor->served && WIFEXITED(status) && WEXITSTATUS(status) == ROLE_CANNOT_RUN) {
		supervisor->failed = true;
		event_base_loopbreak(supervisor->base);
		return;
	}
	child_respawn_later(&supervisor->broker);
}
