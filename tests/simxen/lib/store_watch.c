/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches: as in the real library a thread of the handle collects what happened, and a descriptor tells that
 * there is something to read.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xenstore.h>

#include "tests/simxen/lib/store_handle.h"

#define N_NOTICE_FIELDS 2u /* path and token */

int store_watch_init(struct xs_handle *h)
{
	LIST_INIT(&h->watches);
	STAILQ_INIT(&h->notices);
	h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->event_fd < 0)
		return -errno;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->arrived, NULL);
	return 0;
}

static void notice_add(struct xs_handle *h, const struct watch *watch, const char *path)
{
	struct notice *notice = calloc(1, sizeof(*notice));
	if (!notice)
		abort();
	notice->path = strdup(path);
	notice->token = strdup(watch->token);
	if (!notice->path || !notice->token)
		abort();
	if (STAILQ_EMPTY(&h->notices))
		eventfd_write(h->event_fd, 1);
	STAILQ_INSERT_TAIL(&h->notices, notice, entry);
	pthread_cond_broadcast(&h->arrived);
}

static void notice_free(struct notice *notice)
{
	free(notice->path);
	free(notice->token);
	free(notice);
}

static void notice_remove(struct xs_handle *h, struct notice *notice)
{
	eventfd_t value;
	STAILQ_REMOVE(&h->notices, notice, notice, entry);
	if (STAILQ_EMPTY(&h->notices))
		eventfd_read(h->event_fd, &value);
}

static void deliver(struct xs_handle *h, const struct store_event *event)
{
	for (struct watch *watch = LIST_FIRST(&h->watches); watch; watch = LIST_NEXT(watch, entry)) {
		if (store_path_is_within(event->path, watch->path))
			notice_add(h, watch, event->path);
		else if (event->removed && store_path_is_within(watch->path, event->path))
			notice_add(h, watch, watch->path);
	}
}

/* Events were overwritten before we saw them: everything may have changed. */
static void deliver_all(struct xs_handle *h)
{
	for (struct watch *watch = LIST_FIRST(&h->watches); watch; watch = LIST_NEXT(watch, entry))
		notice_add(h, watch, watch->path);
}

/* With the handle's lock held. */
static void collect(struct xs_handle *h)
{
	struct host *host = &h->handle.host;
	uint64_t n_events = store_count_events(host);
	struct store_event event;

	while (h->next_event < n_events && store_check(h) == 0) {
		if (store_event_get(host, h->next_event++, &event)) {
			deliver(h, &event);
		} else {
			deliver_all(h);
			h->next_event = n_events;
		}
	}
}

static void *run_reader(void *data)
{
	struct xs_handle *h = data;
	struct host *host = &h->handle.host;

	for (;;) {
		uint32_t seen = atomic_load(&host->file->store.bell);
		pthread_mutex_lock(&h->lock);
		collect(h);
		bool closing = h->closing;
		pthread_mutex_unlock(&h->lock);
		if (closing)
			return NULL;
		store_wait_bell(host, seen);
	}
}

/* The program's signals are not the thread's business. */
static int start_reader(struct xs_handle *h)
{
	sigset_t all, before;

	h->next_event = store_count_events(&h->handle.host);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&h->reader, NULL, run_reader, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	h->has_reader = error == 0;
	return -error;
}

static struct watch *watch_find(struct xs_handle *h, const char *path, const char *token)
{
	for (struct watch *watch = LIST_FIRST(&h->watches); watch; watch = LIST_NEXT(watch, entry)) {
		if (!strcmp(watch->path, path) && !strcmp(watch->token, token))
			return watch;
	}
	return NULL;
}

static void watch_free(struct watch *watch)
{
	LIST_REMOVE(watch, entry);
	free(watch->path);
	free(watch->token);
	free(watch);
}

static int watch_add(struct xs_handle *h, const char *path, const char *token)
{
	if (!store_path_is_good(path, true))
		return -EINVAL;
	if (watch_find(h, path, token))
		return -EEXIST;
	int result = h->has_reader ? 0 : start_reader(h);
	if (result < 0)
		return result;

	struct watch *watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	LIST_INSERT_HEAD(&h->watches, watch, entry);
	watch->path = strdup(path);
	watch->token = strdup(token);
	if (!watch->path || !watch->token) {
		watch_free(watch);
		return -ENOMEM;
	}
	/* Every watch fires once when it is set. */
	notice_add(h, watch, path);
	return 0;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	int result = store_check(h);
	if (result == 0) {
		pthread_mutex_lock(&h->lock);
		result = watch_add(h, path, token);
		pthread_mutex_unlock(&h->lock);
	}
	return handle_result(result) == 0;
}

/* What the removed watch has brought and nobody has read goes with it. */
static void drop_notices_of(struct xs_handle *h, const char *path, const char *token)
{
	struct notice *notice = STAILQ_FIRST(&h->notices);
	while (notice) {
		struct notice *next = STAILQ_NEXT(notice, entry);
		if (!strcmp(notice->token, token) && store_path_is_within(notice->path, path)) {
			notice_remove(h, notice);
			notice_free(notice);
		}
		notice = next;
	}
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
	int result = store_check(h);
	if (result == 0) {
		pthread_mutex_lock(&h->lock);
		struct watch *watch = watch_find(h, path, token);
		if (watch) {
			watch_free(watch);
			drop_notices_of(h, path, token);
		}
		pthread_mutex_unlock(&h->lock);
		result = watch ? 0 : -ENOENT;
	}
	return handle_result(result) == 0;
}

int xs_fileno(struct xs_handle *h)
{
	return h->event_fd;
}

/* One block, to be freed at once: the two pointers, and what they point to. */
static char **notice_to_fields(const struct notice *notice)
{
	size_t path_bytes = strlen(notice->path) + 1;
	size_t token_bytes = strlen(notice->token) + 1;
	size_t table_bytes = N_NOTICE_FIELDS * sizeof(char *);

	char **fields = malloc(table_bytes + path_bytes + token_bytes);
	if (!fields)
		return NULL;
	char *text = (char *)fields + table_bytes;
	fields[XS_WATCH_PATH] = memcpy(text, notice->path, path_bytes);
	fields[XS_WATCH_TOKEN] = memcpy(text + path_bytes, notice->token, token_bytes);
	return fields;
}

static char **take_notice(struct xs_handle *h, bool block)
{
	char **fields = NULL;

	if (handle_result(store_check(h)) < 0)
		return NULL;
	pthread_mutex_lock(&h->lock);
	while (block && STAILQ_EMPTY(&h->notices))
		pthread_cond_wait(&h->arrived, &h->lock);
	struct notice *notice = STAILQ_FIRST(&h->notices);
	if (notice) {
		fields = notice_to_fields(notice);
		notice_remove(h, notice);
		notice_free(notice);
	} else {
		errno = EAGAIN;
	}
	pthread_mutex_unlock(&h->lock);
	return fields;
}

char **xs_check_watch(struct xs_handle *h)
{
	return take_notice(h, false);
}

char **xs_read_watch(struct xs_handle *h, unsigned int *num)
{
	char **fields = take_notice(h, true);
	if (fields)
		*num = N_NOTICE_FIELDS;
	return fields;
}

void store_watch_deinit(struct xs_handle *h)
{
	if (h->has_reader) {
		pthread_mutex_lock(&h->lock);
		h->closing = true;
		pthread_mutex_unlock(&h->lock);
		store_ring_bell(&h->handle.host);
		pthread_join(h->reader, NULL);
	}
	while (!LIST_EMPTY(&h->watches))
		watch_free(LIST_FIRST(&h->watches));
	while (!STAILQ_EMPTY(&h->notices)) {
		struct notice *notice = STAILQ_FIRST(&h->notices);
		STAILQ_REMOVE_HEAD(&h->notices, entry);
		notice_free(notice);
	}
	close(h->event_fd);
	pthread_cond_destroy(&h->arrived);
	pthread_mutex_destroy(&h->lock);
}
