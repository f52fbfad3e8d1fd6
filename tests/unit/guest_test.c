/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>

#include "daemon/worker/guest.h"
#include "proto/limits.h"
#include "tests/unit/fake_xen.h"

static struct guest guest;
static struct failure failure;

static int set_up(void **state)
{
	(void)state;
	fake_xen_reset();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(xen.n_handles, 0);
	assert_int_equal(xen.n_maps, 0);
	return 0;
}

static void assert_not_opened(uint16_t domid, Xenvram__V1__Status status, int os_error, const char *text)
{
	assert_int_equal(guest_open(&guest, domid, &failure), -1);
	assert_int_equal(failure.status, status);
	assert_int_equal(failure.os_error, os_error);
	if (!strstr(failure.text, text))
		fail_msg("\"%s\" does not say \"%s\"", failure.text, text);
	assert_null(guest.devicemodel);
	assert_null(guest.held_page);
}

static void test_open(void **state)
{
	(void)state;
	/* The one page that there is. */
	fake_xen_populate(4095, 1, 1);
	assert_int_equal(guest_open(&guest, FAKE_DOMID, &failure), 0);
	assert_int_equal(guest.domid, FAKE_DOMID);
	assert_int_equal(xen.n_handles, 2);
	assert_int_equal(xen.n_maps, 1); /* held as long as the handles */
	assert_true(xen.restricted);
	assert_true(guest.max_tracked_pages > 0 && guest.max_tracked_pages <= MAX_REGION_PAGES);
	guest_close(&guest);
	assert_null(guest.held_page);
}

static void test_kinds_of_domains(void **state)
{
	(void)state;
	fake_xen_populate(0, 16, 1);
	xen.domain_error = EINVAL;
	assert_not_opened(FAKE_DOMID, XENVRAM__V1__STATUS__UNSUPPORTED_DOMAIN, EINVAL, "PV domain");
	xen.domain_error = EPERM;
	assert_not_opened(FAKE_DOMID, XENVRAM__V1__STATUS__UNSUPPORTED_DOMAIN, EPERM, "host's own");
	xen.domain_error = ESRCH;
	assert_not_opened(FAKE_DOMID, XENVRAM__V1__STATUS__NO_DOMAIN, ESRCH, "does not exist");
	xen.domain_error = EOPNOTSUPP;
	assert_not_opened(FAKE_DOMID, XENVRAM__V1__STATUS__HYPERVISOR, EOPNOTSUPP, "operated");
}

static void test_no_page_to_hold(void **state)
{
	(void)state;
	assert_not_opened(FAKE_DOMID, XENVRAM__V1__STATUS__HYPERVISOR, EFAULT, "no page");
	assert_false(xen.restricted);
	/* The domain may be another one than is meant, tracked by somebody else. */
	assert_int_equal(xen.n_stops, 0);
}

static void test_no_xen(void **state)
{
	(void)state;
	xen.open_error = ENOENT;
	assert_not_opened(FAKE_DOMID, XENVRAM__V1__STATUS__HYPERVISOR, ENOENT, "device model interface");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_open),
		TEST(test_kinds_of_domains),
		TEST(test_no_page_to_hold),
		TEST(test_no_xen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
