/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Views: cursors over a log, and what a log and a wake descriptor must be. */
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/mman.h>

#include "client/libxenvram/view.h"
#include "tests/unit/fake_log.h"

#define NR_PAGES 200u
#define N_WORDS  XENVRAM_BITMAP_WORDS(NR_PAGES)

static struct view *new_view(const struct fake_log *log)
{
	struct view *view = view_new(1, log->fd, -1);
	assert_non_null(view);
	return view;
}

static void assert_only(const uint64_t *bitmap, uint64_t page)
{
	uint64_t expected[N_WORDS] = {0};
	expected[page / 64] = 1ull << (page % 64);
	assert_memory_equal(bitmap, expected, sizeof(expected));
}

static void a_new_reader_sees_everything_once(void **state)
{
	struct fake_log log;
	uint64_t bitmap[N_WORDS];
	uint64_t cursor = 0;
	(void)state;
	fake_log_init(&log, 7, NR_PAGES);
	struct view *view = new_view(&log);
	assert_true(xenvram_view_changed(&view->public, cursor));
	assert_int_equal(xenvram_view_read(&view->public, &cursor, 0, NR_PAGES, bitmap), NR_PAGES);
	assert_false(xenvram_view_changed(&view->public, cursor));
	assert_int_equal(xenvram_view_read(&view->public, &cursor, 0, NR_PAGES, bitmap), 0);
	view_free(view);
	fake_log_deinit(&log);
}

static void cursors_are_independent(void **state)
{
	struct fake_log log;
	uint64_t bitmap[N_WORDS];
	uint64_t fast = 1;
	uint64_t slow = 1;
	(void)state;
	fake_log_init(&log, 7, NR_PAGES);
	struct view *view = new_view(&log);
	for (uint64_t page = 0; page < NR_PAGES; page += 7) {
		fake_log_mark(&log, page);
		fake_log_publish(&log);
		assert_int_equal(xenvram_view_read(&view->public, &fast, 0, NR_PAGES, bitmap), 1);
		assert_only(bitmap, page);
	}
	assert_int_equal(xenvram_view_read(&view->public, &slow, 0, NR_PAGES, bitmap), (NR_PAGES + 6) / 7);
	assert_int_equal(slow, fast);
	view_free(view);
	fake_log_deinit(&log);
}

static void what_is_marked_but_not_published_is_seen_later_too(void **state)
{
	struct fake_log log;
	uint64_t bitmap[N_WORDS];
	uint64_t cursor = 1;
	(void)state;
	fake_log_init(&log, 7, NR_PAGES);
	struct view *view = new_view(&log);
	fake_log_mark(&log, 130);
	assert_false(xenvram_view_changed(&view->public, cursor));
	assert_int_equal(xenvram_view_read(&view->public, &cursor, 0, NR_PAGES, bitmap), 0);
	fake_log_publish(&log);
	assert_true(xenvram_view_changed(&view->public, cursor));
	assert_int_equal(xenvram_view_read(&view->public, &cursor, 0, NR_PAGES, bitmap), 1);
	assert_only(bitmap, 130);
	view_free(view);
	fake_log_deinit(&log);
}

static void parts_of_a_region_can_be_read(void **state)
{
	struct fake_log log;
	uint64_t bitmap[N_WORDS];
	uint32_t heat[3];
	uint64_t cursor = 1;
	(void)state;
	fake_log_init(&log, 7, NR_PAGES);
	struct view *view = new_view(&log);
	fake_log_mark(&log, 101);
	fake_log_publish(&log);
	assert_int_equal(xenvram_view_read(&view->public, &cursor, 100, 3, bitmap), 1);
	assert_int_equal(bitmap[0], 1 << 1);
	assert_int_equal(xenvram_view_heat(&view->public, 100, 3, heat), 0);
	assert_int_equal(heat[0], 1);
	assert_int_equal(heat[1], 2);
	assert_int_equal(heat[2], 1);
	view_free(view);
	fake_log_deinit(&log);
}

static void pages_beyond_the_region_are_refused(void **state)
{
	struct fake_log log;
	uint64_t bitmap[N_WORDS];
	uint32_t heat[NR_PAGES];
	uint64_t cursor = 0;
	(void)state;
	fake_log_init(&log, 7, NR_PAGES);
	struct view *view = new_view(&log);
	assert_fails(xenvram_view_read(&view->public, &cursor, 0, NR_PAGES + 1, bitmap), ERANGE);
	assert_fails(xenvram_view_read(&view->public, &cursor, NR_PAGES + 1, 0, bitmap), ERANGE);
	assert_fails(xenvram_view_read(&view->public, &cursor, 1, UINT64_MAX, bitmap), ERANGE);
	assert_fails(xenvram_view_heat(&view->public, UINT64_MAX, 1, heat), ERANGE);
	assert_int_equal(cursor, 0);
	assert_int_equal(xenvram_view_read(&view->public, &cursor, NR_PAGES, 0, bitmap), 0);
	view_free(view);
	fake_log_deinit(&log);
}

static void the_counters_are_the_logs(void **state)
{
	struct fake_log log;
	struct xenvram_view_info info;
	(void)state;
	fake_log_init(&log, 7, NR_PAGES);
	log.header->state = REGION_LOG_PARTIAL;
	log.header->polls = 11;
	log.header->period_ns = 12;
	log.header->dirty_guest = 13;
	log.header->dirty_forced = 14;
	log.header->untracked_pages = 15;
	log.header->last_poll_ns = 16;
	log.header->poll_ns = 17;
	struct view *view = new_view(&log);
	xenvram_view_info(&view->public, &info);
	assert_int_equal(info.cookie, 7);
	assert_int_equal(info.nr_pages, NR_PAGES);
	assert_int_equal(info.state, XENVRAM_VIEW_PARTIAL);
	assert_int_equal(info.generation, 1);
	assert_int_equal(info.polls, 11);
	assert_int_equal(info.period_ns, 12);
	assert_int_equal(info.dirty_guest_pages, 13);
	assert_int_equal(info.dirty_forced_pages, 14);
	assert_int_equal(info.untracked_pages, 15);
	assert_int_equal(info.last_poll_ns, 16);
	assert_int_equal(info.poll_ns, 17);
	view_free(view);
	fake_log_deinit(&log);
}

static void what_is_no_log_is_refused(void **state)
{
	unsigned int n_open = count_open_fds();
	struct fake_log log;
	int pipe_fds[2];
	(void)state;

	int unsealed = fake_log_file(region_log_bytes(NR_PAGES));
	assert_null_with(view_new(1, unsealed, -1), EPROTO);
	assert_int_equal(fcntl(unsealed, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_null_with(view_new(1, unsealed, -1), EPROTO); /* all zero */
	close(unsealed);

	assert_int_equal(pipe(pipe_fds), 0);
	assert_null_with(view_new(1, pipe_fds[0], -1), EPROTO);
	close(pipe_fds[0]);
	close(pipe_fds[1]);

	fake_log_init(&log, 7, NR_PAGES);
	log.header->nr_pages = NR_PAGES + 1;
	assert_null_with(view_new(1, log.fd, -1), EPROTO);
	log.header->nr_pages = UINT64_MAX / 8;
	assert_null_with(view_new(1, log.fd, -1), EPROTO);
	log.header->nr_pages = NR_PAGES;
	log.header->version++;
	assert_null_with(view_new(1, log.fd, -1), EPROTO);
	log.header->version--;
	/* A wake descriptor is taken over in any case, and must be a pipe. */
	assert_null_with(view_new(1, log.fd, dup(log.fd)), EPROTO);
	fake_log_deinit(&log);
	assert_int_equal(count_open_fds(), n_open);
}

static void a_wake_up_is_drained(void **state)
{
	struct fake_log log;
	int pipe_fds[2];
	char bytes[10000] = {0};
	(void)state;
	fake_log_init(&log, 7, NR_PAGES);
	assert_int_equal(pipe(pipe_fds), 0);
	struct view *view = view_new(1, log.fd, pipe_fds[0]);
	assert_non_null(view);
	assert_int_equal(xenvram_view_wake_fd(&view->public), pipe_fds[0]);
	assert_int_equal(xenvram_view_drain(&view->public), 0);
	assert_int_equal(write(pipe_fds[1], bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(xenvram_view_drain(&view->public), 1);
	assert_int_equal(xenvram_view_drain(&view->public), 0);
	assert_int_equal(write(pipe_fds[1], bytes, 1), 1);
	close(pipe_fds[1]);
	assert_int_equal(xenvram_view_drain(&view->public), 1);
	assert_fails(xenvram_view_drain(&view->public), EPIPE);
	view_free(view);
	assert_false(fd_is_open(pipe_fds[0]));

	view = new_view(&log);
	assert_int_equal(xenvram_view_wake_fd(&view->public), -1);
	assert_fails(xenvram_view_drain(&view->public), EBADF);
	view_free(view);
	fake_log_deinit(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_reader_sees_everything_once),
		cmocka_unit_test(cursors_are_independent),
		cmocka_unit_test(what_is_marked_but_not_published_is_seen_later_too),
		cmocka_unit_test(parts_of_a_region_can_be_read),
		cmocka_unit_test(pages_beyond_the_region_are_refused),
		cmocka_unit_test(the_counters_are_the_logs),
		cmocka_unit_test(what_is_no_log_is_refused),
		cmocka_unit_test(a_wake_up_is_drained),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
