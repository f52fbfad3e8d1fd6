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
#include "daemon/worker/arrangement.h"
#include "daemon/worker/guest.h"
#include "daemon/worker/log_store.h"
#include "daemon/worker/page_map.h"
#include "daemon/worker/pin.h"
#include "daemon/worker/relocation.h"
#include "daemon/worker/tracker.h"
#include "proto/internal.pb-c.h"

struct worker {
	struct guest guest;
	struct event_base *base;
	struct channel *supervisor;
	struct channel *broker; /* NULL between two brokers */
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

/* ---- commands; each returns 0, or -1 with the failure ---- */

/* Also one that is followed elsewhere, or in part, up to now. */
static int place(
	struct worker *worker, const Xenvram__Internal__Placement *placement, struct failure *failure)
{
	struct extent live[MAX_REGION_EXTENTS];
	size_t n_live = 0;

	for (; n_live < placement->n_live && n_live < MAX_REGION_EXTENTS; n_live++)
		live[n_live] =
			(struct extent){placement->live[n_live]->first, placement->live[n_live]->nr_pages};
	if (tracker_place(worker->tracker, placement->cookie, placement->vram_gfn, placement->scattered, live,
		    n_live) < 0)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno,
			"region 0x%" PRIx64 " cannot be followed: %s", placement->cookie, strerror(errno));
	return 0;
}

static int attach(
	struct worker *worker, const Xenvram__Internal__Placement *placement, struct failure *failure)
{
	struct extent vram = {placement->vram_gfn, placement->nr_pages};
	int fd = log_store_fd(&worker->logs, placement->cookie);
	if (fd < 0 || tracker_add(worker->tracker, placement->cookie, vram, fd) < 0)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno,
			"the log of region 0x%" PRIx64 " cannot be used: %s", placement->cookie,
			strerror(errno));
	return place(worker, placement, failure);
}

/* Unlike a new broker's attaching it keeps the readers that the region has. */
static int follow(
	struct worker *worker, const Xenvram__Internal__Placement *placement, struct failure *failure)
{
	return tracker_has(worker->tracker, placement->cookie) ? place(worker, placement, failure)
							       : attach(worker, placement, failure);
}

/* A page that is missing may be the first sign of the domain's end. */
static int check(struct worker *worker, const Xenvram__Internal__Check *check, struct failure *failure)
{
	struct failure gone;

	if (relocation_check(&worker->guest, check, failure) == 0)
		return 0;
	tracker_suspend(worker->tracker);
	if (guest_check_alive(&worker->guest, &gone) < 0)
		*failure = gone;
	return -1;
}

/* Tracking is off while pages are moved, and has to begin anew after that: what was not read is all dirty. */
static int arrange(struct worker *worker, const Xenvram__Internal__Arrange *arrange,
	Xenvram__Internal__Done *done, struct failure *warning, struct failure *failure)
{
	bool pinned = false;

	tracker_suspend(worker->tracker);
	if (guest_check_alive(&worker->guest, failure) < 0 ||
		arrangement_apply(&worker->guest, arrange, &pinned, warning, failure) < 0)
		return -1;
	done->pinned = pinned;
	switch (arrange->tracking) {
	case XENVRAM__INTERNAL__TRACKING__FOLLOWS:
		return follow(worker, arrange->placement, failure);
	case XENVRAM__INTERNAL__TRACKING__ENDS:
		tracker_remove(worker->tracker, arrange->cookie);
		return 0;
	default:
		return 0;
	}
}

static int no_region(uint64_t cookie, struct failure *failure)
{
	return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno, "region 0x%" PRIx64 ": %s", cookie,
		strerror(errno));
}

static int mark(struct worker *worker, const Xenvram__Internal__Mark *mark, struct failure *failure)
{
	struct extent pages[MAX_MARKED_RUNS];
	if (mark->n_runs > MAX_MARKED_RUNS)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, E2BIG, "%zu runs", mark->n_runs);
	for (size_t i = 0; i < mark->n_runs; i++)
		pages[i] = (struct extent){mark->runs[i]->first, mark->runs[i]->nr_pages};
	return tracker_mark(worker->tracker, mark->cookie, pages, mark->n_runs) < 0
		       ? no_region(mark->cookie, failure)
		       : 0;
}

static int add_reader(struct worker *worker, const Xenvram__Internal__Reader *reader, struct frame *frame,
	struct failure *failure)
{
	struct extent pages = {reader->first, reader->nr_pages};
	if (tracker_add_reader(worker->tracker, reader->cookie, reader->subscription, pages,
		    reader->period_us, frame_take_fd(frame, 0)) < 0)
		return no_region(reader->cookie, failure);
	return 0;
}

/* 1: will be answered later. */
static int poll_pages(
	struct worker *worker, const Xenvram__Internal__Poll *poll, uint64_t serial, struct failure *failure)
{
	struct extent pages = {poll->first, poll->nr_pages};
	return tracker_poll(worker->tracker, poll->cookie, pages, serial) < 0
		       ? no_region(poll->cookie, failure)
		       : 1;
}

/* What an answer points to until it is packed. */
struct answer_parts {
	Xenvram__Internal__Shifted shifted;
	Xenvram__V1__MappedRun runs[MAX_MAPPED_RUNS];
	Xenvram__V1__MappedRun *run_pointers[MAX_MAPPED_RUNS];
};

static int shift(struct worker *worker, const Xenvram__Internal__Shift *shift, Xenvram__Internal__Done *done,
	struct answer_parts *parts, struct failure *failure)
{
	xenvram__internal__shifted__init(&parts->shifted);
	done->shifted = &parts->shifted;
	return relocation_shift(&worker->guest, shift, &parts->shifted, failure);
}

static int map(struct worker *worker, const Xenvram__Internal__Map *map, Xenvram__Internal__Done *done,
	struct answer_parts *parts, struct failure *failure)
{
	size_t n;
	if (page_map_list(&worker->guest, map, parts->runs, MAX_MAPPED_RUNS, &n, failure) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		parts->run_pointers[i] = &parts->runs[i];
	done->n_map = n;
	done->map = parts->run_pointers;
	return 0;
}

static struct extent extent_of_pin(const Xenvram__Internal__Pin *pin)
{
	return (struct extent){pin->first_gfn, pin->nr_pages};
}

/* 1: will be answered later. */
static int handle_command(struct worker *worker, const Xenvram__Internal__Command *command,
	struct frame *frame, Xenvram__Internal__Done *done, struct answer_parts *parts,
	struct failure *warning, struct failure *failure)
{
	switch (command->what_case) {
	case XENVRAM__INTERNAL__COMMAND__WHAT_CHECK:
		return check(worker, command->check, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_ARRANGE:
		return arrange(worker, command->arrange, done, warning, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_SHIFT:
		return shift(worker, command->shift, done, parts, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_ATTACH:
		return attach(worker, command->attach, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_MAP:
		return map(worker, command->map, done, parts, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_ADD_READER:
		return add_reader(worker, command->add_reader, frame, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_DROP_READER:
		tracker_drop_reader(worker->tracker, command->drop_reader->subscription);
		return 0;
	case XENVRAM__INTERNAL__COMMAND__WHAT_POLL:
		return poll_pages(worker, command->poll, command->serial, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_MARK:
		return mark(worker, command->mark, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_LIMITS:
		tracker_limit(worker->tracker, command->limits->share_ppm,
			command->limits->refresh_ms * 1000000ull);
		return 0;
	case XENVRAM__INTERNAL__COMMAND__WHAT_PIN:
		return pin_set(
			&worker->guest, extent_of_pin(command->pin), command->pin->cache_attr, failure);
	case XENVRAM__INTERNAL__COMMAND__WHAT_UNPIN:
		return pin_delete(&worker->guest, extent_of_pin(command->unpin), failure);
	default:
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, EPROTO, "unknown command %d",
			(int)command->what_case);
	}
}

static void on_broker_packet(void *owner, struct frame *frame)
{
	struct worker *worker = owner;
	Xenvram__Internal__Done done = XENVRAM__INTERNAL__DONE__INIT;
	struct failure failure, warning = {.text = ""};
	struct answer_parts parts;

	Xenvram__Internal__Command *command =
		(Xenvram__Internal__Command *)frame_unpack(frame, &xenvram__internal__command__descriptor);
	if (!command) {
		log_error("a command of the broker cannot be read: %s", strerror(errno));
		event_base_loopbreak(worker->base); /* its successor is told all anew */
		return;
	}
	done.serial = command->serial;
	int rc = handle_command(worker, command, frame, &done, &parts, &warning, &failure);
	done.warning = warning.text;
	if (rc <= 0)
		answer(worker, &done, rc < 0 ? &failure : NULL);
	frame_free_message(&command->base);
	if (rc < 0 && failure.status == XENVRAM__V1__STATUS__NO_DOMAIN)
		end_with_domain(worker);
}

static void on_broker_close(void *owner, int error)
{
	struct worker *worker = owner;
	(void)error;
	worker->broker = channel_free(worker->broker);
}

static const struct channel_ops broker_ops = {on_broker_packet, on_broker_close};

/* ---- the supervisor ---- */

static void keep_log(struct worker *worker, Xenvram__Internal__LogRef *log, int fd)
{
	Xenvram__Internal__FromWorker message = XENVRAM__INTERNAL__FROM_WORKER__INIT;
	message.what_case = XENVRAM__INTERNAL__FROM_WORKER__WHAT_LOG_KEPT;
	message.log_kept = log;
	if (log_store_add(&worker->logs, log->cookie, fd) == 0)
		tell_supervisor(worker, &message);
	else
		log_error("the log of region 0x%" PRIx64 " cannot be kept: %s", log->cookie, strerror(errno));
}

static void handle_supervisor(
	struct worker *worker, const Xenvram__Internal__ToWorker *message, struct frame *frame)
{
	switch (message->what_case) {
	case XENVRAM__INTERNAL__TO_WORKER__WHAT_BROKER:
		channel_free(worker->broker);
		worker->broker =
			channel_new(worker->base, frame_take_fd(frame, 0), CHANNEL_ROLE, &broker_ops, worker);
		if (!worker->broker)
			log_error("the broker cannot be listened to: %s", strerror(errno));
		break;
	case XENVRAM__INTERNAL__TO_WORKER__WHAT_LOG:
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
		return;
	}
	handle_supervisor(worker, message, frame);
	frame_free_message(&message->base);
}

static void on_supervisor_close(void *owner, int error)
{
	struct worker *worker = owner;
	(void)error;
	tracker_rest(worker->tracker);
	event_base_loopbreak(worker->base);
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
	log_warning("%s", failure->text);
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
