/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>

#include "daemon/broker/identity.h"

#define BASE 100000u

static struct settings make_settings(void)
{
	struct settings settings;
	settings_init(&settings);
	strcpy(settings.file, "/test.conf");
	settings.own_uid = 33;
	settings.domain_uid_base = BASE;
	settings.admin_uids = (struct id_list){2, {1000, BASE + 5}};
	settings.admin_gids = (struct id_list){2, {990, 10}};
	return settings;
}

static enum identity_kind identify(uint32_t uid, const uint32_t *gids, size_t n_gids, uint32_t *ret_domid)
{
	const struct settings settings = make_settings();
	const struct peer peer = {.uid = uid, .gids = gids, .n_gids = n_gids};
	return identity_of(&settings, &peer, ret_domid);
}

static void test_administrators(void **state)
{
	(void)state;
	static const uint32_t listed[] = {5, 990}, none[] = {5, 991};
	uint32_t domid = 77;
	assert_int_equal(identify(0, NULL, 0, &domid), IDENTITY_ADMINISTRATOR);
	assert_int_equal(identify(33, NULL, 0, &domid), IDENTITY_ADMINISTRATOR);
	assert_int_equal(identify(1000, none, 2, &domid), IDENTITY_ADMINISTRATOR);
	assert_int_equal(identify(1001, listed, 2, &domid), IDENTITY_ADMINISTRATOR);
	assert_int_equal(identify(1001, none, 2, &domid), IDENTITY_STRANGER);
	assert_int_equal(identify(1001, NULL, 0, &domid), IDENTITY_STRANGER);
	assert_int_equal(domid, 77);
}

static void test_range(void **state)
{
	(void)state;
	static const struct {
		uint32_t uid;
		enum identity_kind kind;
		uint32_t domid;
	} rows[] = {
		{BASE - 1, IDENTITY_STRANGER, 77},
		{BASE, IDENTITY_STRANGER, 77}, /* domain 0 has no device model */
		{BASE + 1, IDENTITY_DEVICE_MODEL, 1},
		{BASE + MAX_DOMID, IDENTITY_DEVICE_MODEL, MAX_DOMID},
		{BASE + MAX_DOMID + 1, IDENTITY_STRANGER, 77},
		{UINT32_MAX, IDENTITY_STRANGER, 77},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t domid = 77;
		assert_int_equal(identify(rows[i].uid, NULL, 0, &domid), rows[i].kind);
		assert_int_equal(domid, rows[i].domid);
	}
}

/* In whatever list or group it is. */
static void test_a_device_model_is_no_administrator(void **state)
{
	(void)state;
	static const uint32_t listed[] = {990};
	uint32_t domid = 0;
	assert_int_equal(identify(BASE + 5, listed, 1, &domid), IDENTITY_DEVICE_MODEL);
	assert_int_equal(domid, 5);
}

static void test_no_range(void **state)
{
	(void)state;
	struct settings settings = make_settings();
	struct failure failure;
	uint32_t domid = 77;
	const struct peer peer = {.uid = 5};

	settings.domain_uid_base = 0;
	assert_int_equal(identity_of(&settings, &peer, &domid), IDENTITY_STRANGER);
	assert_int_equal(identity_refuse(&settings, &peer, "/the/socket", &failure), -1);
	assert_int_equal(failure.status, XENVRAM__V1__STATUS__PERMISSION_DENIED);
	assert_int_equal(failure.os_error, EACCES);
	assert_string_equal(failure.text, "uid 5 may not use /the/socket: it is not root, no device model's "
					  "uid (of which this host has none), "
					  "and not in admin-users or admin-groups of [access] in /test.conf");
}

static void test_refusal_names_the_range(void **state)
{
	(void)state;
	const struct settings settings = make_settings();
	const struct peer peer = {.uid = 5};
	struct failure failure;
	identity_refuse(&settings, &peer, "/the/socket", &failure);
	assert_non_null(strstr(failure.text, "(100001 to 132751)"));
}

static void test_refusal_says_that_groups_are_not_known(void **state)
{
	(void)state;
	const struct settings settings = make_settings();
	const struct peer peer = {.uid = 5, .groups_error = ERANGE};
	struct failure failure;
	identity_refuse(&settings, &peer, "/the/socket", &failure);
	assert_non_null(
		strstr(failure.text, "admin-groups by its primary group, which alone is known (Numerical"));
	assert_non_null(strstr(failure.text, ") of [access] in /test.conf"));
}

static void test_binding(void **state)
{
	(void)state;
	struct binding binding = {.state = BINDING_NONE};
	assert_true(binding_covers(&binding, 1, "any"));
	binding = (struct binding){.state = BINDING_BOUND, .domid = 5, .uuid = "a"};
	assert_true(binding_covers(&binding, 5, "a"));
	assert_false(binding_covers(&binding, 5, "b"));
	assert_false(binding_covers(&binding, 5, ""));
	assert_false(binding_covers(&binding, 6, "a"));
	binding.state = BINDING_PENDING;
	assert_false(binding_covers(&binding, 5, "a"));
}

static void test_senders(void **state)
{
	(void)state;
	const struct settings settings = make_settings();
	static const uint32_t listed[] = {990}, none[] = {5};
	static const struct {
		uint32_t uid;
		const uint32_t *gid;
		bool may;
	} rows[] = {
		{0, none, true},
		{33, none, true},
		{1000, none, true},
		{1001, none, false},
		{1001, listed, true},
		{2000, none, true}, /* whose connection it is */
		{BASE + 5, none, false},
		{BASE + 5, listed, false},
		{65534, none, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct peer sender = {.uid = rows[i].uid, .gids = rows[i].gid, .n_gids = 1};
		assert_int_equal(identity_may_send(&settings, &sender, 2000), rows[i].may);
	}
	assert_false(identity_may_send(&settings, NULL, 0));
}

static void assert_refuses(const struct peer *sender, const char *text)
{
	const struct settings settings = make_settings();
	struct failure failure;
	assert_int_equal(identity_refuse_sender(&settings, sender, 2000, "/the/socket", &failure), -1);
	assert_int_equal(failure.status, XENVRAM__V1__STATUS__PERMISSION_DENIED);
	assert_int_equal(failure.os_error, EPERM);
	assert_string_equal(failure.text, text);
}

static void test_refused_senders(void **state)
{
	(void)state;
	const struct peer sender = {.uid = 1001};
	assert_refuses(&sender, "uid 1001 may not use /the/socket through the connection of uid 2000, which "
				"is bound to no domain: it "
				"is no administrator; bind the connection before it is handed on, or see "
				"admin-users and admin-groups "
				"of [access] in /test.conf");
	assert_refuses(NULL, "a sender that is not known may not use /the/socket through the connection of "
			     "uid 2000, which is "
			     "bound to no domain: it is no administrator; bind the connection before it is "
			     "handed on, or see "
			     "admin-users and admin-groups of [access] in /test.conf");
}

static void assert_described(uint32_t uid, enum binding_state state, const char *text)
{
	const struct settings settings = make_settings();
	const struct binding binding = {.state = state, .domid = 5};
	char described[IDENTITY_TEXT_BYTES];
	identity_describe(&settings, uid, &binding, described, sizeof(described));
	assert_string_equal(described, text);
}

static void test_descriptions(void **state)
{
	(void)state;
	assert_described(7, BINDING_NONE, "this connection of uid 7");
	assert_described(7, BINDING_BOUND, "this connection of uid 7, bound to domain 5 by Bind,");
	assert_described(BASE + 5, BINDING_BOUND,
		"this connection of uid 100005, bound to domain 5 by its uid (domain-uid-base + 5),");
	assert_described(
		BASE + 6, BINDING_PENDING, "this connection of uid 100006, to be bound to domain 5 by Bind,");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_administrators),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_a_device_model_is_no_administrator),
		cmocka_unit_test(test_no_range),
		cmocka_unit_test(test_refusal_names_the_range),
		cmocka_unit_test(test_refusal_says_that_groups_are_not_known),
		cmocka_unit_test(test_binding),
		cmocka_unit_test(test_senders),
		cmocka_unit_test(test_refused_senders),
		cmocka_unit_test(test_descriptions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
