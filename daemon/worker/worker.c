/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker: every hypercall on one domain. It opens and confines its Xen handles, gives up root, and
 * only then listens: to the supervisor for region logs and the broker's channel, to the broker for
 * commands. It outlives brokers, and goes on publishing without one.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/common/channel.h"
#include "daemon/common/fd.h"
#include "daemon/common/log.h"
#include "daemon/common/privilege.h"
#include "daemon/common/role.h"
#include "daemon/common/sandbox.h"
#include "daemon/worker/command.h"
#include "daemon/worker/guest.h"
#include "daemon/worker/log_store.h"
#include "daemon/worker/tracker.h"
#include "proto/internal.pb-c.h"

struct worker {
	struct guest guest;
	struct event_base *base;
	struct channel *supervisor;
	struct channel *broker; /* NULL between two brokers */
	bool met_domain;        /* it is known to be the one that is meant */
	struct tracker *tracker;
	struct log_store logs;
};

static void tell_supervisor(struct worker *worker, const Xenvram__Internal__FromWorker *message)
{
	channel_send(worker->supervisor, &message->base, NULL, 0);
}

/* Nothing will ever change in its regions again; readers are told, and the page is let go at the end. */
static void leave_domain(struct worker *worker)
{
	tracker_remove_all(worker->tracker);
	event_base_loopbreak(worker->base);
}

/* To a successor, which is told everything anew. */
static void give_way(struct worker *worker)
{
	tracker_rest(worker->tracker);
	event_base_loopbreak(worker->base);
}

static void end_with_domain(struct worker *worker)
{
	Xenvram__Internal__Nothing nothing = XENVRAM__INTERNAL__NOTHING__INIT;
	Xenvram__Internal__FromWorker message = XENVRAM__INTERNAL__FROM_WORKER__INIT;
	message.what_case = XENVRAM__INTERNAL__FROM_WORKER__WHAT_DOMAIN_GONE;
	message.domain_gone = &nothing;
	log_info("domain %u is gone", worker->guest.domid);
	tell_supervisor(worker, &message);
	leave_domain(worker);
}

/* ---- answers to the broker ---- */

static void answer(struct worker *worker, const Xenvram__Internal__Done *done, const struct failure *failure)
{
	Xenvram__Internal__Failure packed = XENVRAM__INTERNAL__FAILURE__INIT;
	Xenvram__Internal__Done message = *done;
	if (failure) {
		packed.status = failure->status;
		packed.os_error = failure->os_error;
		packed.message = (char *)failure->text;
		message.failure = &packed;
	}
	if (worker->broker)
		channel_send(worker->broker, &message.base, NULL, 0);
}

static void on_polled(void *owner, uint64_t serial)
{
	Xenvram__Internal__Done done = XENVRAM__INTERNAL__DONE__INIT;
	done.serial = serial;
	answer(owner, &done, NULL);
}

static void on_domain_gone(void *owner)
{
	end_with_domain(owner);
}

static const struct tracker_ops tracker_ops = {on_polled, on_domain_gone};

/* ---- the broker ---- */

static void on_broker_packet(void *owner, struct frame *frame)
{
	struct worker *worker = owner;
	struct hands hands = {&worker->guest, worker->tracker, &worker->logs};
	struct command_answer done;
	struct failure failure;

	Xenvram__Internal__Command *command =
		(Xenvram__Internal__Command *)frame_unpack(frame, &xenvram__internal__command__descriptor);
	if (!command) {
		log_error("a command of the broker cannot be read: %s", strerror(errno));
		give_way(worker);
		return;
	}
	int rc = command_carry_out(&hands, command, frame, &done, &failure);
	if (rc <= 0)
		answer(worker, &done.done, rc < 0 ? &failure : NULL);
	frame_free_message(&command->base);
	if (rc < 0 && failure.status == XENVRAM__V1__STATUS__NO_DOMAIN)
		end_with_domain(worker);
}

/* Its successor numbers commands anew: an answer to one of these would be taken for that to another. */
static void leave_broker(struct worker *worker)
{
	tracker_forget_polls(worker->tracker);
	worker->broker = channel_free(worker->broker);
}

static void on_broker_close(void *owner, int error)
{
	struct worker *worker = owner;

	leave_broker(worker);
	if (!error)
		return;
	log_error("the channel to the broker failed: %s", strerror(error));
	give_way(worker);
}

static const struct channel_ops broker_ops = {on_broker_packet, on_broker_close};

/* ---- the supervisor ---- */

static void keep_log(struct worker *worker, Xenvram__Internal__LogRef *log, int fd)
{
	Xenvram__Internal__FromWorker message = XENVRAM__INTERNAL__FROM_WORKER__INIT;
	message.what_case = XENVRAM__INTERNAL__FROM_WORKER__WHAT_LOG_KEPT;
	message.log_kept = log;
	if (log_store_add(&worker->logs, log->cookie, fd) == 0) {
		tell_supervisor(worker, &message);
		return;
	}
	log_error("the log of region 0x%" PRIx64 " cannot be kept: %s", log->cookie, strerror(errno));
	give_way(worker); /* its successor is handed all logs again */
}

/*
 * The page that is held is of the domain that is meant: the supervisor has looked, or it would not hand anything
 * over. Until then this may be somebody else's domain, in which nothing may change.
 */
static void meet_domain(struct worker *worker)
{
	if (!worker->met_domain)
		tracker_begin(worker->tracker);
	worker->met_domain = true;
}

static void handle_supervisor(
	struct worker *worker, const Xenvram__Internal__ToWorker *message, struct frame *frame)
{
	switch (message->what_case) {
	case XENVRAM__INTERNAL__TO_WORKER__WHAT_BROKER:
		meet_domain(worker);
		leave_broker(worker);
		worker->broker =
			channel_new(worker->base, frame_take_fd(frame, 0), CHANNEL_ROLE, &broker_ops, worker);
		if (!worker->broker) {
			log_error("the broker cannot be listened to: %s", strerror(errno));
			give_way(worker);
		}
		break;
	case XENVRAM__INTERNAL__TO_WORKER__WHAT_LOG:
		meet_domain(worker);
		keep_log(worker, message->log, frame_take_fd(frame, 0));
		break;
	case XENVRAM__INTERNAL__TO_WORKER__WHAT_DROP_LOG:
		tracker_remove(worker->tracker, message->drop_log->cookie);
		log_store_remove(&worker->logs, message->drop_log->cookie);
		break;
	case XENVRAM__INTERNAL__TO_WORKER__WHAT_DOMAIN_GONE:
		log_info("domain %u was released", worker->guest.domid);
		leave_domain(worker);
		break;
	default:
		log_error("unknown message %d of the supervisor", (int)message->what_case);
	}
}

static void on_supervisor_packet(void *owner, struct frame *frame)
{
	struct worker *worker = owner;
	Xenvram__Internal__ToWorker *message =
		(Xenvram__Internal__ToWorker *)frame_unpack(frame, &xenvram__internal__to_worker__descriptor);
	if (!message) {
		log_error("a message of the supervisor cannot be read: %s", strerror(errno));
		give_way(worker);
		return;
	}
	handle_supervisor(worker, message, frame);
	frame_free_message(&message->base);
}

static void on_supervisor_close(void *owner, int error)
{
	(void)error;
	give_way(owner);
}

static const struct channel_ops supervisor_ops = {on_supervisor_packet, on_supervisor_close};

/* ---- life ---- */

static int report_failed(struct worker *worker, const struct failure *failure)
{
	Xenvram__Internal__Failure packed = XENVRAM__INTERNAL__FAILURE__INIT;
	packed.status = failure->status;
	packed.os_error = failure->os_error;
	packed.message = (char *)failure->text;
	Xenvram__Internal__FromWorker message = XENVRAM__INTERNAL__FROM_WORKER__INIT;
	message.what_case = XENVRAM__INTERNAL__FROM_WORKER__WHAT_FAILED;
	message.failed = &packed;
	tell_supervisor(worker, &message);
	return 1;
}

static int run(struct worker *worker, const struct role_options *options)
{
	struct failure failure;
	Xenvram__Internal__Nothing nothing = XENVRAM__INTERNAL__NOTHING__INIT;
	Xenvram__Internal__FromWorker ready = XENVRAM__INTERNAL__FROM_WORKER__INIT;
	ready.what_case = XENVRAM__INTERNAL__FROM_WORKER__WHAT_READY;
	ready.ready = &nothing;

	if (guest_open(&worker->guest, options->domid, &failure) < 0)
		return report_failed(worker, &failure);
	if (privilege_drop(options->worker_user) < 0) {
		failure_set(&failure, XENVRAM__V1__STATUS__INTERNAL, errno,
			"the worker of domain %u cannot become user \"%s\": %s", options->domid,
			options->worker_user, strerror(errno));
		return report_failed(worker, &failure);
	}
	if (sandbox_enter(SANDBOX_WORKER) < 0) {
		failure_set(&failure, XENVRAM__V1__STATUS__INTERNAL, errno,
			"the worker of domain %u cannot be restricted: %s", options->domid, strerror(errno));
		return report_failed(worker, &failure);
	}
	/* From here on commands are obeyed. */
	tell_supervisor(worker, &ready);
	event_base_dispatch(worker->base);
	return 0;
}

/* Periods are of a few milliseconds: timers that are rounded up to the next one would be late by much. */
static struct event_base *new_precise_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;
	if (config && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

int worker_main(const struct role_options *options)
{
	struct worker worker = {.base = new_precise_base()};
	int status = 1;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* of a terminal, as SIGHUP: the supervisor decides */
	signal(SIGHUP, SIG_IGN);
	log_store_init(&worker.logs);
	if (worker.base) {
		worker.supervisor =
			channel_new(worker.base, ROLE_CHANNEL_FD, CHANNEL_ROLE, &supervisor_ops, &worker);
		worker.tracker = tracker_new(worker.base, &worker.guest, &tracker_ops, &worker);
	}
	if (worker.supervisor && worker.tracker)
		status = run(&worker, options);
	else
		log_error("cannot start: %s", strerror(errno));

	tracker_free(worker.tracker);
	guest_close(&worker.guest);
	channel_free(worker.broker);
	channel_free(worker.supervisor);
	log_store_deinit(&worker.logs);
	if (worker.base)
		event_base_free(worker.base);
	return status;
}
