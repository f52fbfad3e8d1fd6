/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/libxenvram/view.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/libxenvram/own.h"

/* More than a pipe holds: who writes faster than that is read cannot keep us. */
#define MAX_DRAIN_READS 32u
#define DRAIN_BYTES     4096u

static_assert((int)XENVRAM_VIEW_IDLE == (int)REGION_LOG_IDLE, "states are the log's");
static_assert((int)XENVRAM_VIEW_TRACKED == (int)REGION_LOG_TRACKED, "");
static_assert((int)XENVRAM_VIEW_PARTIAL == (int)REGION_LOG_PARTIAL, "");
static_assert((int)XENVRAM_VIEW_GONE == (int)REGION_LOG_GONE, "");
static_assert((int)XENVRAM_AS_WANTED == (int)REGION_LOG_AS_WANTED, "so are reasons");
static_assert((int)XENVRAM_STRETCHED_IDLE == (int)REGION_LOG_STRETCHED_IDLE, "");
static_assert((int)XENVRAM_STRETCHED_BUDGET == (int)REGION_LOG_STRETCHED_BUDGET, "");
static_assert((int)XENVRAM_STRETCHED_GUEST == (int)REGION_LOG_STRETCHED_GUEST, "");

static int check_log_fd(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals >= 0 && (seals & F_SEAL_SHRINK))
		return 0;
	errno = EPROTO;
	return -1;
}

static int check_wake_fd(int fd)
{
	struct stat st;
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -1;
	if (!S_ISFIFO(st.st_mode)) {
		errno = EPROTO;
		return -1;
	}
	return fcntl(fd, F_SETFL, O_NONBLOCK);
}

struct view *view_new(uint64_t subscription, int log_fd, int wake_fd)
{
	_own_fd_ int wake = wake_fd;

	if (check_log_fd(log_fd) < 0 || check_wake_fd(wake) < 0)
		return NULL;
	struct view *view = malloc(sizeof(*view));
	if (!view)
		return NULL;
	if (region_log_map(&view->log, log_fd) < 0) {
		free(view);
		return NULL;
	}
	view->public.generation = &view->log.header->generation;
	view->subscription = subscription;
	view->first = 0;
	view->nr_pages = view->log.nr_pages;
	view->wake_fd = own_steal(&wake);
	return view;
}

struct view *view_free(struct view *view)
{
	if (view) {
		own_close(&view->wake_fd);
		region_log_unmap(&view->log);
		free(view);
	}
	return NULL;
}

static int check_range(const struct view *view, uint64_t first, uint64_t n)
{
	if (first >= view->first && first - view->first <= view->nr_pages &&
		n <= view->nr_pages - (first - view->first))
		return 0;
	errno = ERANGE;
	return -1;
}

int xenvram_view_read(
	const struct xenvram_view *public, uint64_t *cursor, uint64_t first, uint64_t n, uint64_t *bitmap)
{
	const struct view *view = view_of(public);

	if (check_range(view, first, n) < 0)
		return -1;
	return region_log_scan(&view->log, *cursor, first, n, bitmap, cursor);
}

int xenvram_view_heat(const struct xenvram_view *public, uint64_t first, uint64_t n, uint32_t *heat)
{
	const struct view *view = view_of(public);

	if (check_range(view, first, n) < 0)
		return -1;
	for (uint64_t i = 0; i < n; i++)
		heat[i] = __atomic_load_n(&view->log.heat[first + i], __ATOMIC_RELAXED);
	return 0;
}

void xenvram_view_info(const struct xenvram_view *public, struct xenvram_view_info *ret_info)
{
	const struct view *view = view_of(public);
	const struct region_log_header *header = view->log.header;

	*ret_info = (struct xenvram_view_info){
		.cookie = header->cookie,
		.nr_pages = view->log.nr_pages,
		.view_first = view->first,
		.view_pages = view->nr_pages,
		.state = (enum xenvram_view_state)__atomic_load_n(&header->state, __ATOMIC_RELAXED),
		.generation = region_log_generation(&view->log),
		.last_poll_ns = __atomic_load_n(&header->last_poll_ns, __ATOMIC_RELAXED),
		.wanted_period_ns = __atomic_load_n(&header->wanted_period_ns, __ATOMIC_RELAXED),
		.stretch = (enum xenvram_stretch)__atomic_load_n(&header->stretch, __ATOMIC_RELAXED),
		.period_ns = __atomic_load_n(&header->period_ns, __ATOMIC_RELAXED),
		.polls = __atomic_load_n(&header->polls, __ATOMIC_RELAXED),
		.poll_ns = __atomic_load_n(&header->poll_ns, __ATOMIC_RELAXED),
		.dirty_guest_pages = __atomic_load_n(&header->dirty_guest, __ATOMIC_RELAXED),
		.dirty_device_model_pages = __atomic_load_n(&header->dirty_device_model, __ATOMIC_RELAXED),
		.dirty_forced_pages = __atomic_load_n(&header->dirty_forced, __ATOMIC_RELAXED),
		.untracked_pages = __atomic_load_n(&header->untracked_pages, __ATOMIC_RELAXED),
	};
}

int xenvram_view_wake_fd(const struct xenvram_view *public)
{
	return view_of(public)->wake_fd;
}

int xenvram_view_drain(const struct xenvram_view *public)
{
	const struct view *view = view_of(public);
	char bytes[DRAIN_BYTES];
	int woken = 0;

	for (unsigned int i = 0; i < MAX_DRAIN_READS; i++) {
		ssize_t n = read(view->wake_fd, bytes, sizeof(bytes));
		if (n > 0) {
			woken = 1;
			if (n < (ssize_t)sizeof(bytes))
				break;
		} else if (n == 0) {
			errno = EPIPE;
			return woken ? 1 : -1;
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return woken;
}
