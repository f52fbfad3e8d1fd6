/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>

#include "daemon/supervisor/kept.h"
#include "proto/limits.h"

typedef Xenvram__Internal__Kept Kept;

static struct kept_list list = TAILQ_HEAD_INITIALIZER(list);

static int drop_all(void **state)
{
	(void)state;
	kept_drop_all(&list);
	return 0;
}

static Kept object(Xenvram__Internal__KeptKind kind, uint64_t id, const char *text)
{
	Kept kept = XENVRAM__INTERNAL__KEPT__INIT;
	kept.kind = kind;
	kept.id = id;
	kept.state = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
	return kept;
}

static void put(Xenvram__Internal__KeptKind kind, uint64_t id, const char *text, int fd)
{
	Kept message = object(kind, id, text);
	assert_non_null(kept_put(&list, &message, fd));
}

static void drop(Xenvram__Internal__KeptKind kind, uint64_t id)
{
	Kept message = object(kind, id, "");
	kept_drop(&list, &message);
}

static void assert_kept(
	const struct kept *kept, Xenvram__Internal__KeptKind kind, uint64_t id, const char *text, int fd)
{
	assert_non_null(kept);
	assert_int_equal(kept->kind, kind);
	assert_int_equal(kept->id, id);
	assert_int_equal(kept->n_bytes, strlen(text));
	assert_memory_equal(kept->bytes, text, kept->n_bytes);
	assert_int_equal(kept->fd, fd);
}

static int some_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

#define CONNECTION   XENVRAM__INTERNAL__KEPT_KIND__CONNECTION
#define SUBSCRIPTION XENVRAM__INTERNAL__KEPT_KIND__SUBSCRIPTION

static void test_order_and_identity(void **state)
{
	(void)state;
	int fds[] = {some_fd(), some_fd(), -1};
	put(CONNECTION, 5, "five", fds[0]);
	put(CONNECTION, 1, "one", fds[1]);
	put(SUBSCRIPTION, 5, "", fds[2]);

	struct kept *kept = TAILQ_FIRST(&list);
	assert_kept(kept, CONNECTION, 5, "five", fds[0]);
	kept = TAILQ_NEXT(kept, link);
	assert_kept(kept, CONNECTION, 1, "one", fds[1]);
	kept = TAILQ_NEXT(kept, link);
	assert_kept(kept, SUBSCRIPTION, 5, "", -1);
	assert_null(TAILQ_NEXT(kept, link));
}

static void test_replacing(void **state)
{
	(void)state;
	int first = some_fd(), second = some_fd();
	put(CONNECTION, 1, "before", first);
	put(CONNECTION, 2, "other", -1);
	put(CONNECTION, 1, "afterwards", second);
	assert_false(fd_is_open(first));
	assert_true(fd_is_open(second));
	/* In its old place. */
	assert_kept(TAILQ_FIRST(&list), CONNECTION, 1, "afterwards", second);
	assert_null(TAILQ_NEXT(TAILQ_NEXT(TAILQ_FIRST(&list), link), link));
	/* A descriptor that was lost on the way leaves the one that is there. */
	put(CONNECTION, 1, "", -1);
	assert_true(fd_is_open(second));
	assert_kept(TAILQ_FIRST(&list), CONNECTION, 1, "", second);
}

static void test_dropping(void **state)
{
	(void)state;
	int fd = some_fd(), other = some_fd();
	put(CONNECTION, 1, "x", fd);
	put(SUBSCRIPTION, 1, "y", other);
	drop(CONNECTION, 2);
	drop(CONNECTION, 1);
	drop(CONNECTION, 1);
	assert_false(fd_is_open(fd));
	assert_kept(TAILQ_FIRST(&list), SUBSCRIPTION, 1, "y", other);
	kept_drop_all(&list);
	assert_false(fd_is_open(other));
	assert_true(TAILQ_EMPTY(&list));
}

static void test_leaving(void **state)
{
	(void)state;
	int fd = some_fd();
	put(CONNECTION, 1, "x", fd);
	put(SUBSCRIPTION, 1, "", -1);
	kept_leave_all(&list);
	assert_true(TAILQ_EMPTY(&list));
	assert_true(fd_is_open(fd));
	close(fd);
}

static void assert_refused(const Kept *message, int fd, int error)
{
	errno = 0;
	assert_null(kept_put(&list, message, fd));
	assert_int_equal(errno, error);
	assert_false(fd_is_open(fd));
}

static void test_no_more_than_a_broker_has(void **state)
{
	(void)state;
	static const char long_text[] = "0123456789012345678901234567890123456789012345678901234567890123"
					"0123456789012345678901234567890123456789012345678901234567890123+";
	int fd = some_fd();
	Kept message = object(CONNECTION, 1, long_text);
	assert_int_equal(strlen(long_text), MAX_KEPT_BYTES + 1);
	assert_refused(&message, fd, EMSGSIZE);
	message.state.len--;
	for (unsigned int i = 0; i < 3; i++)
		assert_non_null(kept_put(&list, &message, -1));
	assert_null(TAILQ_NEXT(TAILQ_FIRST(&list), link));
}

static void test_full(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 10; i++)
		put(CONNECTION, i, "", -1);
	/* Not by kept_put, which looks at all of them each time. */
	static struct kept more[MAX_KEPT - 10];
	for (unsigned int i = 0; i < MAX_KEPT - 10; i++) {
		more[i] = (struct kept){.kind = SUBSCRIPTION, .id = i, .fd = -1};
		TAILQ_INSERT_HEAD(&list, &more[i], link);
	}
	int fd = some_fd(), other = some_fd();
	Kept message = object(CONNECTION, 10, "");
	assert_refused(&message, fd, ENOSPC);
	put(CONNECTION, 9, "another", other);
	drop(CONNECTION, 0);
	put(CONNECTION, 10, "", -1);
	for (unsigned int i = 0; i < MAX_KEPT - 10; i++)
		TAILQ_REMOVE(&list, &more[i], link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_order_and_identity, drop_all),
		cmocka_unit_test_teardown(test_replacing, drop_all),
		cmocka_unit_test_teardown(test_dropping, drop_all),
		cmocka_unit_test_teardown(test_leaving, drop_all),
		cmocka_unit_test_teardown(test_no_more_than_a_broker_has, drop_all),
		cmocka_unit_test_teardown(test_full, drop_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
