/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records, as systemd's journal gets them, and as they are read on a terminal. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/common/clock.h"
#include "daemon/common/log.h"

/* ---- waiting ---- */

static int asked_ms; /* that may be waited, all together */
static time_t skipped_s;

int __real_poll(struct pollfd *fds, nfds_t n, int wait_ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int wait_ms);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_poll(struct pollfd *fds, nfds_t n, int wait_ms)
{
	asked_ms += wait_ms;
	return __real_poll(fds, n, wait_ms);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = __real_clock_gettime(clock, now);
	now->tv_sec += skipped_s;
	return result;
}

/* What others have waited does not count. */
static int later(void **state)
{
	(void)state;
	skipped_s += 10;
	asked_ms = 0;
	return 0;
}

static const struct log_field fields[] = {
	{"operation", "DestroyRegion"},
	{"cookie", "0x12"},
	{"reason", "no such\nMESSAGE=region"},
};

/* What is written to stderr meanwhile. */
static void record_to_stderr(char *ret_text, size_t size)
{
	int ends[2], saved = dup(STDERR_FILENO);
	assert_int_equal(pipe(ends), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	log_record(LOG_WARNING, "a sentence", fields, 3);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(ends[1]);
	ssize_t n = read(ends[0], ret_text, size - 1);
	ret_text[n > 0 ? n : 0] = '\0';
	close(ends[0]);
	close(saved);
}

static void test_terminal(void **state)
{
	(void)state;
	char text[512];
	unsetenv("JOURNAL_STREAM");
	log_init("broker");
	log_open_journal("/nonexistent/journal");
	record_to_stderr(text, sizeof(text));
	assert_string_equal(
		text, "xenvramd[broker]: audit: a sentence [operation=DestroyRegion cookie=0x12]\n");
}

/* Where records go as to systemd's. */
static int open_journal(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[] = "/tmp/xenvram-log-XXXXXX";

	assert_non_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
	int journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(journal, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_init("broker");
	log_open_journal(address.sun_path);
	unlink(address.sun_path);
	rmdir(directory);
	return journal;
}

static void test_journal(void **state)
{
	(void)state;
	char text[512];
	int journal = open_journal();

	log_record(LOG_WARNING, "a sentence", fields, 3);
	ssize_t n = recv(journal, text, sizeof(text) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "MESSAGE=a sentence\nPRIORITY=4\nSYSLOG_IDENTIFIER=xenvramd\n"
				  "XENVRAM_OPERATION=DestroyRegion\nXENVRAM_COOKIE=0x12\n"
				  "XENVRAM_REASON=no such?MESSAGE=region\n");

	/* Without a journal that takes it, it goes the way of other lines. */
	close(journal);
	record_to_stderr(text, sizeof(text));
	assert_string_equal(text, "<4>broker: audit: a sentence [operation=DestroyRegion cookie=0x12]\n");
}

/* ---- nobody reads ---- */

/* stderr, as a pipe that is full, and what it was before. */
struct full_pipe {
	int reader;
	int saved;
};

static void fill(void)
{
	static const char bytes[4096];
	int flags = fcntl(STDERR_FILENO, F_GETFL);

	fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
	while (write(STDERR_FILENO, bytes, sizeof(bytes)) > 0)
		;
	fcntl(STDERR_FILENO, F_SETFL, flags);
}

static struct full_pipe full_pipe(void)
{
	int ends[2];
	struct full_pipe pipe = {.saved = dup(STDERR_FILENO)};

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	close(ends[1]);
	fill();
	pipe.reader = ends[0];
	fcntl(pipe.reader, F_SETFL, O_NONBLOCK);
	return pipe;
}

/* What came after what filled it. */
static void drain(const struct full_pipe *pipe, char *ret_text, size_t size)
{
	char bytes[8192];
	size_t used = 0;
	ssize_t n;

	while ((n = read(pipe->reader, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (bytes[i] != '\0' && used < size - 1)
				ret_text[used++] = bytes[i];
		}
	}
	ret_text[used] = '\0';
}

static void end_pipe(const struct full_pipe *pipe)
{
	assert_true(dup2(pipe->saved, STDERR_FILENO) >= 0);
	close(pipe->saved);
	close(pipe->reader);
}

static void test_a_gap_is_told(void **state)
{
	(void)state;
	char text[512];
	unsetenv("JOURNAL_STREAM");
	log_init("broker");
	struct full_pipe pipe = full_pipe();

	log_record(LOG_WARNING, "lost", fields, 3);
	log_warning("lost, too");
	log_record(LOG_WARNING, "lost as well", fields, 3);
	drain(&pipe, text, sizeof(text));
	assert_string_equal(text, "");
	log_record(LOG_WARNING, "a sentence", fields, 1);
	log_warning("a line");
	drain(&pipe, text, sizeof(text));
	end_pipe(&pipe);
	assert_string_equal(text, "xenvramd[broker]: nobody took 3 lines or records meanwhile\n"
				  "xenvramd[broker]: audit: a sentence [operation=DestroyRegion]\n"
				  "xenvramd[broker]: a line\n");
}

static void *read_late(void *arg)
{
	const struct full_pipe *pipe = arg;
	char bytes[8192];
	usleep(10000);
	assert_true(read(pipe->reader, bytes, sizeof(bytes)) > 0);
	return NULL;
}

static void test_a_record_is_worth_waiting(void **state)
{
	(void)state;
	char text[512] = "";
	unsetenv("JOURNAL_STREAM");
	log_init("broker");
	/* A reader that is slower than what is waited is none. */
	for (unsigned int i = 0; i < 5 && !strstr(text, "a sentence"); i++) {
		struct full_pipe pipe = full_pipe();
		pthread_t reader;
		assert_int_equal(pthread_create(&reader, NULL, read_late, &pipe), 0);
		log_record(LOG_WARNING, "a sentence", fields, 1);
		pthread_join(reader, NULL);
		drain(&pipe, text, sizeof(text));
		log_record(LOG_WARNING, "and now there is room", fields, 1);
		end_pipe(&pipe);
	}
	assert_non_null(strstr(text, "a sentence"));
}

/* A reader that takes some of them now and then has them waited for no longer than one that takes none. */
static void test_a_slow_reader(void **state)
{
	(void)state;
	char text[512];
	unsetenv("JOURNAL_STREAM");
	log_init("broker");
	struct full_pipe pipe = full_pipe();
	uint64_t began_ns = clock_now_ns();

	for (unsigned int i = 0; i < 20; i++) {
		log_record(LOG_WARNING, "lost", fields, 1);
		drain(&pipe, text, sizeof(text));
		log_record(LOG_WARNING, "taken", fields, 1);
		fill();
	}
	uint64_t took_ms = (clock_now_ns() - began_ns) / 1000000;
	assert_in_range(asked_ms, 100, 101 + took_ms / 10);
	/* Its part of the time is given back. */
	later(state);
	log_record(LOG_WARNING, "lost", fields, 1);
	assert_int_equal(asked_ms, 100);
	drain(&pipe, text, sizeof(text));
	log_record(LOG_WARNING, "taken", fields, 1);
	end_pipe(&pipe);
}

static unsigned int count(const char *text, const char *word)
{
	unsigned int n = 0;
	for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
		n++;
	return n;
}

/* The journal's queue is full: a record is a line, as long as that is taken. */
static void test_journal_is_full(void **state)
{
	(void)state;
	static char text[1 << 18];
	unsigned int n = 0;
	int journal = open_journal();
	struct full_pipe pipe = full_pipe();

	fcntl(STDERR_FILENO, F_SETPIPE_SZ, 1 << 18);
	for (n = 0; n < 1000 && count(text, "audit: ") == 0; n++) {
		log_record(LOG_WARNING, "a sentence", fields, 1);
		drain(&pipe, text, sizeof(text));
	}
	assert_int_equal(count(text, "<4>broker: audit: a sentence [operation=DestroyRegion]\n"), 1);
	fill();
	log_record(LOG_WARNING, "lost", fields, 1);
	drain(&pipe, text, sizeof(text));
	while (recv(journal, text, sizeof(text), MSG_DONTWAIT) > 0)
		n--;
	assert_int_equal(n, 1);
	log_record(LOG_WARNING, "the next one", fields, 1);
	drain(&pipe, text, sizeof(text));
	assert_string_equal(text, "<4>broker: nobody took 1 lines or records meanwhile\n");
	ssize_t n_bytes = recv(journal, text, sizeof(text) - 1, MSG_DONTWAIT);
	assert_true(n_bytes > 0);
	text[n_bytes] = '\0';
	assert_non_null(strstr(text, "MESSAGE=the next one\n"));
	end_pipe(&pipe);
	close(journal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_terminal, later),
		cmocka_unit_test_setup(test_a_gap_is_told, later),
		cmocka_unit_test_setup(test_a_record_is_worth_waiting, later),
		cmocka_unit_test_setup(test_a_slow_reader, later),
		cmocka_unit_test_setup(test_journal, later),
		cmocka_unit_test_setup(test_journal_is_full, later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
