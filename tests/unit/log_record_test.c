/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records, as systemd's journal gets them, and as they are read on a terminal. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/common/log.h"

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

static void test_journal(void **state)
{
	(void)state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char text[512], directory[] = "/tmp/xenvram-log-XXXXXX";

	assert_non_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
	int journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(journal, (struct sockaddr *)&address, sizeof(address)), 0);

	setenv("JOURNAL_STREAM", "1:2", 1);
	log_init("broker");
	log_open_journal(address.sun_path);
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
	unlink(address.sun_path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_journal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
