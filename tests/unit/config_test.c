/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/supervisor/config.h"
#include "proto/limits.h"

#define MAX_FAULTS 16

struct faults {
	unsigned int n;
	char sentences[MAX_FAULTS][512];
};

static void on_fault(void *data, const char *sentence)
{
	struct faults *faults = data;
	assert_in_range(faults->n, 0, MAX_FAULTS - 1);
	snprintf(faults->sentences[faults->n++], sizeof(faults->sentences[0]), "%s", sentence);
}

/* The users and groups of a host. */
struct name {
	const char *name;
	uint32_t id;
};

static const struct name *users, *groups;

/* That of a lookup that fails; 0: none does. */
static int lookup_error;

static int find(const struct name *names, const char *wanted, uint32_t *ret_id)
{
	errno = lookup_error;
	if (lookup_error)
		return -1;
	for (; names && names->name; names++) {
		if (strcmp(names->name, wanted) == 0) {
			*ret_id = names->id;
			return 1;
		}
	}
	return 0;
}

static int find_user(void *data, const char *name, uint32_t *ret_id)
{
	assert_non_null(data);
	return find(users, name, ret_id);
}

static int find_group(void *data, const char *name, uint32_t *ret_id)
{
	assert_non_null(data);
	return find(groups, name, ret_id);
}

static int parse_bytes(const char *text, size_t n_bytes, struct settings *settings, struct faults *faults)
{
	const struct config_reader reader = {"test.conf", on_fault, find_user, find_group, faults};
	struct settings before;

	memset(settings, 0x5a, sizeof(*settings));
	before = *settings;
	faults->n = 0;
	int rc = config_parse(&reader, text, n_bytes, settings);
	assert_int_equal(rc, faults->n > 0 ? -1 : 0);
	if (rc < 0)
		assert_memory_equal(settings, &before, sizeof(before));
	return rc;
}

static struct settings parse(const char *text)
{
	struct settings settings;
	struct faults faults;
	if (parse_bytes(text, strlen(text), &settings, &faults) < 0)
		fail_msg("%s", faults.sentences[0]);
	return settings;
}

/* Each sentence, up to a NULL, must be what is said of the text. */
static void assert_faults(const char *text, const char *const *expected)
{
	struct settings settings;
	struct faults faults;
	unsigned int n = 0;

	parse_bytes(text, strlen(text), &settings, &faults);
	for (; expected[n]; n++) {
		assert_in_range(n, 0, faults.n - 1);
		assert_string_equal(faults.sentences[n], expected[n]);
	}
	assert_int_equal(faults.n, n);
}

static void assert_fault(const char *text, const char *sentence)
{
	assert_faults(text, (const char *const[]){sentence, NULL});
}

static void test_nothing_set(void **state)
{
	(void)state;
	struct settings settings = parse("");
	assert_int_equal(settings.connections, MAX_CONNECTIONS);
	assert_int_equal(settings.connections_per_uid, MAX_CONNECTIONS_PER_UID);
	assert_int_equal(settings.requests_in_flight, MAX_REQUESTS_IN_FLIGHT);
	assert_int_equal(settings.queued_bytes, MAX_QUEUED_BYTES);
	assert_int_equal(settings.poll_budget_percent, DEFAULT_POLL_BUDGET_PERCENT);
	assert_int_equal(settings.refresh_interval_ms, 0);
	assert_string_equal(settings.file, "test.conf");
	assert_int_equal(settings.admin_uids.n, 0);
	assert_int_equal(settings.admin_gids.n, 0);
	assert_int_equal(settings.domain_uid_base, 0);
}

static void test_forms(void **state)
{
	(void)state;
	static const char *const same[] = {
		"[tracking]\npoll-budget-percent = 40\n",
		"[tracking]\npoll-budget-percent=0x28",
		"[tracking]\npoll-budget-percent = 040",
		"# comment\n\n  [tracking]  \n\t poll-budget-percent\t=  40 ; of one CPU\r\n; comment\n",
		"[limits]\n[tracking]\n[limits]\n[tracking]\npoll-budget-percent = 40",
	};
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_int_equal(parse(same[i]).poll_budget_percent, 40);
}

/* Every number at both ends of its range, and just beyond. */
static void test_every_number(void **state)
{
	(void)state;
	for (size_t i = 0; i < SETTINGS_N_NUMBERS; i++) {
		const struct setting *setting = &settings_numbers[i];
		const uint64_t values[] = {setting->min, setting->max, (uint64_t)setting->min - 1,
			(uint64_t)setting->max + 1, setting->max + 0x100000000ull};
		for (size_t j = 0; j < sizeof(values) / sizeof(values[0]); j++) {
			struct settings settings;
			struct faults faults;
			char text[256];
			/* Not too few bytes for the requests that are in flight. */
			snprintf(text, sizeof(text), "[limits]\n%s\n[%s]\n%s = %llu\n",
				strcmp(setting->key, "requests-in-flight") ? "requests-in-flight = 1" : "",
				setting->section, setting->key, (unsigned long long)values[j]);
			int rc = parse_bytes(text, strlen(text), &settings, &faults);
			bool allowed = j < 2 || (values[j] == 0 && setting->may_be_0);
			assert_int_equal(rc, allowed ? 0 : -1);
			if (allowed)
				assert_int_equal(settings_get(&settings, setting), values[j]);
			else
				assert_non_null(strstr(faults.sentences[0], setting->key));
		}
	}
}

static void test_zero_is_off(void **state)
{
	(void)state;
	assert_int_equal(parse("[tracking]\nrefresh-interval-ms = 0\n").refresh_interval_ms, 0);
	assert_fault("[tracking]\nrefresh-interval-ms = 99\n",
		"test.conf:2: refresh-interval-ms is \"99\"; 0 or a number from 100 to 86400000 is allowed");
	assert_fault("[limits]\n\nconnections = 0\n",
		"test.conf:3: connections is \"0\"; a number from 9 to 512 is allowed");
}

static void test_what_is_no_number(void **state)
{
	(void)state;
	static const char *const values[] = {
		"", "many", "-1", "+1", "1.5", "10 20", "0x", "1k", "99999999999999999999999", "\"10\""};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char text[128], sentence[256];
		snprintf(text, sizeof(text), "[limits]\nconnections = %s\n", values[i]);
		snprintf(sentence, sizeof(sentence),
			"test.conf:2: connections is \"%s\"; a number from 9 to 512 is allowed", values[i]);
		assert_fault(text, sentence);
	}
}

static void test_faults_are_all_named(void **state)
{
	(void)state;
	assert_faults("connections = 10\n"
		      "[limits]\n"
		      "connections = 20\n"
		      "nonsense = 1\n"
		      "connections = 30\n"
		      "no value\n"
		      "[limit]\n"
		      "connections = 40\n"
		      "[tracking\n"
		      "[]\n"
		      "[tracking]\n"
		      "poll-budget-percent = 0\n",
		(const char *const[]){
			"test.conf:1: connections stands before the first section",
			"test.conf:4: section [limits] has no key \"nonsense\"",
			"test.conf:5: connections is set already, in line 3",
			"test.conf:6: \"no value\" is no section, no \"key = value\", and no comment",
			"test.conf:7: there is no section [limit]",
			"test.conf:8: connections is set already, in line 5",
			"test.conf:9: \"[tracking\" has no closing bracket",
			"test.conf:10: there is no section []",
			"test.conf:12: poll-budget-percent is \"0\"; a number from 1 to 6400 is allowed",
			NULL,
		});
}

/* The library would pass over what stands behind a section. */
static void test_lines_with_a_section_and_more(void **state)
{
	(void)state;
	parse("[limits] ; how much\n[tracking]\t;\n[gfns];\n");
	assert_faults("[limits] connections = 10\n"
		      "[tracking]]\n"
		      "[gfns]# where\n",
		(const char *const[]){
			"test.conf:1: \"connections = 10\" stands behind [limits], on a line that is for a "
			"section alone",
			"test.conf:2: \"]\" stands behind [tracking], on a line that is for a section alone",
			"test.conf:3: \"# where\" stands behind [gfns], on a line that is for a section "
			"alone",
			NULL,
		});
}

static void test_windows(void **state)
{
	(void)state;
	struct settings settings =
		parse("[gfns]\nvram = 0xf0000-0xfffff, 0x100000\nbacking = 0-68719476735\n");
	assert_int_equal(settings.vram.n, 2);
	assert_int_equal(settings.vram.windows[0].first, 0xf0000);
	assert_int_equal(settings.vram.windows[0].last, 0xfffff);
	assert_int_equal(settings.vram.windows[1].first, 0x100000);
	assert_int_equal(settings.vram.windows[1].last, 0x100000);
	assert_int_equal(settings.backing.n, 1);
	assert_int_equal(settings.backing.windows[0].last, MAX_GFN - 1);

	/* What restricts nothing is no restriction: it was meant to be one. */
	static const char *const none[] = {"", ",", " , ,", "; 0x4000-0x4fff"};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		char text[64];
		snprintf(text, sizeof(text), "[gfns]\n\nvram = %s\n", none[i]);
		assert_fault(text, "test.conf:3: vram has no window; where pages may lie everywhere there is "
				   "no such line");
	}

	static const char *const bad[] = {"5-4", "-5", "5-", "a-b", "0-0x1000000000", "1-2-3"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[64], sentence[128];
		snprintf(text, sizeof(text), "[gfns]\nbacking = %s\n", bad[i]);
		snprintf(sentence, sizeof(sentence),
			"test.conf:2: backing has \"%s\", which is no FIRST-LAST of gfns below 0x1000000000",
			bad[i]);
		assert_fault(text, sentence);
	}
	assert_fault("[gfns]\nvram = 1 2 3 4 5 6 7 8 9\n", "test.conf:2: vram has more than 8 windows");
}

static int set_names(void **state)
{
	static const struct name host_users[] = {{"alice", 1000}, {"bob", 1001}, {"root", 0},
		{"last", UINT32_MAX - 1}, {"xen-qemuuser-range-base", 131072}, {NULL, 0}};
	static const struct name host_groups[] = {{"xenvram", 990}, {"wheel", 10}, {NULL, 0}};
	(void)state;
	users = host_users;
	groups = host_groups;
	return 0;
}

static int forget_names(void **state)
{
	(void)state;
	users = groups = NULL;
	lookup_error = 0;
	return 0;
}

static void test_usual_names(void **state)
{
	(void)state;
	struct settings settings = parse("");
	assert_int_equal(settings.admin_uids.n, 0);
	assert_int_equal(settings.admin_gids.n, 1);
	assert_int_equal(settings.admin_gids.ids[0], 990);
	assert_int_equal(settings.domain_uid_base, 131072);
	/* Others in their place, not beside them. */
	settings = parse("[access]\nadmin-groups =\ndomain-uid-base = none\n");
	assert_int_equal(settings.admin_gids.n, 0);
	assert_int_equal(settings.domain_uid_base, 0);
}

static void test_names(void **state)
{
	(void)state;
	struct settings settings = parse("[access]\nadmin-users = alice, 7 bob,,\t4294967294\n"
					 "admin-groups = wheel 0\ndomain-uid-base = bob\n");
	assert_int_equal(settings.admin_uids.n, 4);
	assert_int_equal(settings.admin_uids.ids[0], 1000);
	assert_int_equal(settings.admin_uids.ids[1], 7);
	assert_int_equal(settings.admin_uids.ids[2], 1001);
	assert_int_equal(settings.admin_uids.ids[3], UINT32_MAX - 1);
	assert_int_equal(settings.admin_gids.n, 2);
	assert_int_equal(settings.admin_gids.ids[0], 10);
	assert_int_equal(settings.admin_gids.ids[1], 0);
	assert_int_equal(settings.domain_uid_base, 1001);
	assert_int_equal(parse("[access]\ndomain-uid-base = 4294934543").domain_uid_base, 4294934543u);
}

static void test_names_that_are_none(void **state)
{
	(void)state;
	assert_faults("[access]\nadmin-users = alice mallory 4294967295\nadmin-groups = alice\n",
		(const char *const[]){
			"test.conf:2: admin-users has \"mallory\", and there is no such user",
			"test.conf:2: admin-users has \"4294967295\", which is no name and no number from 0 "
			"to "
			"4294967294",
			"test.conf:3: admin-groups has \"alice\", and there is no such group",
			NULL,
		});
	assert_fault(
		"[access]\nadmin-users = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 "
		"26 27 28 29 30 31 32 33 34\n",
		"test.conf:2: admin-users has more than 32 names");
	assert_fault("[access]\nadmin-users =\nadmin-users = alice\n",
		"test.conf:3: admin-users is set already, in line 2");
}

/* Nobody loses what a name gives because it cannot be looked up at the moment. */
static void test_names_that_cannot_be_looked_up(void **state)
{
	(void)state;
	lookup_error = EIO;
	assert_faults(
		"", (const char *const[]){
			    "test.conf: admin-groups is not set, and whether there is its usual group "
			    "\"xenvram\" cannot be told: Input/output error",
			    "test.conf: domain-uid-base is not set, and whether there is its usual user "
			    "\"xen-qemuuser-range-base\" cannot be told: Input/output error",
			    NULL,
		    });
	assert_faults("[access]\nadmin-groups = wheel 10\nadmin-users = alice\ndomain-uid-base = 4711\n",
		(const char *const[]){
			"test.conf:2: admin-groups has \"wheel\", and whether there is such a group cannot "
			"be "
			"told: Input/output error",
			"test.conf:3: admin-users has \"alice\", and whether there is such a user cannot be "
			"told: Input/output error",
			NULL,
		});
	/* Numbers are not looked up, and usual names not in whose place others stand. */
	parse("[access]\nadmin-groups =\ndomain-uid-base = none\n");
}

static void test_uid_base(void **state)
{
	(void)state;
	static const char *const bad[] = {"root", "0", "last", "4294934544"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct settings settings;
		struct faults faults;
		char text[128];
		snprintf(text, sizeof(text), "[access]\ndomain-uid-base = %s\n", bad[i]);
		assert_int_equal(parse_bytes(text, strlen(text), &settings, &faults), -1);
		assert_non_null(strstr(faults.sentences[0], "; 1 to 4294934543 is allowed"));
	}
	assert_fault("[access]\ndomain-uid-base =\n",
		"test.conf:2: domain-uid-base has \"\", and there is no such user");
}

static void test_together(void **state)
{
	(void)state;
	parse("[limits]\nqueued-bytes = 655360\nrequests-in-flight = 6\n");
	assert_fault("[limits]\nqueued-bytes = 655360\nrequests-in-flight = 7\n",
		"test.conf:2: queued-bytes is 655360, too few for the replies to 7 requests in flight; at "
		"least "
		"720896 are needed, or requests-in-flight must be less");
}

static void test_odd_bytes(void **state)
{
	(void)state;
	static const char zero[] = "[limits]\nconnec\0tions = 10\n";
	struct settings settings;
	struct faults faults;

	assert_int_equal(parse_bytes(zero, sizeof(zero) - 1, &settings, &faults), -1);
	assert_string_equal(faults.sentences[0], "test.conf:2: the line has a zero byte");
	assert_fault("[limits]\nconnections = \x1b[31m\xff\n",
		"test.conf:2: connections is \"?[31m?\"; a number from 9 to 512 is allowed");
	/* The library takes no notice of it, so that what follows would be read as something else than here. */
	assert_fault("\xef\xbb\xbf[limit] =\n[limits]\nconnections = 20\n",
		"test.conf:1: the line begins with a byte order mark; the file must be without");
}

static void test_long(void **state)
{
	(void)state;
	static char text[MAX_CONFIG_BYTES + 2];
	struct settings settings;
	struct faults faults;

	memset(text, '#', sizeof(text));
	for (size_t i = 100; i < sizeof(text); i += 100)
		text[i] = '\n';
	assert_int_equal(parse_bytes(text, MAX_CONFIG_BYTES, &settings, &faults), 0);
	assert_int_equal(parse_bytes(text, MAX_CONFIG_BYTES + 1, &settings, &faults), -1);
	assert_int_equal(faults.n, 1);
	assert_string_equal(
		faults.sentences[0], "test.conf: the file has more than the 65536 bytes that are allowed");

	memset(text, '#', MAX_CONFIG_LINE_BYTES);
	assert_int_equal(parse_bytes(text, MAX_CONFIG_LINE_BYTES, &settings, &faults), 0);
	memset(text, 'x', MAX_CONFIG_BYTES);
	assert_int_equal(parse_bytes(text, MAX_CONFIG_BYTES, &settings, &faults), -1);
	assert_int_equal(faults.n, 1);
	assert_string_equal(
		faults.sentences[0], "test.conf:1: the line has 65536 bytes, at most 190 are allowed");
}

static void assert_everywhere(const struct window_list *list)
{
	assert_int_equal(list->n, 1);
	assert_int_equal(list->windows[0].first, 0);
	assert_int_equal(list->windows[0].last, MAX_GFN - 1);
}

/* The file that is installed: every line of it is true also without its comment sign. */
static void test_installed_file(void **state)
{
	(void)state;
	static char text[MAX_CONFIG_BYTES], uncommented[MAX_CONFIG_BYTES];
	FILE *file = fopen(EXAMPLE_PATH, "r");
	size_t n_keys = 0, n = 0;

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	const struct settings defaults = parse(text);
	for (const char *c = text; *c; c++) {
		bool line_begins = c == text || c[-1] == '\n';
		if (line_begins && *c == '#' && c[1] != ' ')
			n_keys++;
		else
			uncommented[n++] = *c;
	}
	uncommented[n] = '\0';
	assert_int_equal(n_keys, SETTINGS_N_NUMBERS + 5);
	struct settings settings = parse(uncommented);
	const struct settings without = parse("");
	assert_everywhere(&settings.vram);
	assert_everywhere(&settings.backing);
	settings.vram = settings.backing = (struct window_list){0}; /* which is the same */
	assert_memory_equal(&settings, &without, sizeof(settings));
	assert_memory_equal(&defaults, &without, sizeof(defaults));
}

/* What each number may be is in the manual, and with a default of its own that too. */
static void test_the_manual(void **state)
{
	(void)state;
	static char text[MAX_CONFIG_BYTES];
	FILE *file = fopen(MANUAL_PATH, "r");

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	for (size_t i = 0; i < SETTINGS_N_NUMBERS; i++) {
		const struct setting *setting = &settings_numbers[i];
		char line[128], initial[16] = "";
		if (setting->initial != setting->max)
			snprintf(initial, sizeof(initial), "; %" PRIu32, setting->initial);
		snprintf(line, sizeof(line), "\n.It Cm %s Pq %s%" PRIu32 " to %" PRIu32 "%s\n", setting->key,
			setting->may_be_0 ? "0, or " : "", setting->min, setting->max, initial);
		if (!strstr(text, line))
			fail_msg("the manual has no line %s", line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_manual),
		cmocka_unit_test(test_nothing_set),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_every_number),
		cmocka_unit_test(test_zero_is_off),
		cmocka_unit_test(test_what_is_no_number),
		cmocka_unit_test(test_faults_are_all_named),
		cmocka_unit_test(test_lines_with_a_section_and_more),
		cmocka_unit_test_setup_teardown(test_usual_names, set_names, forget_names),
		cmocka_unit_test_setup_teardown(test_names, set_names, forget_names),
		cmocka_unit_test_setup_teardown(test_names_that_are_none, set_names, forget_names),
		cmocka_unit_test_setup_teardown(test_names_that_cannot_be_looked_up, set_names, forget_names),
		cmocka_unit_test_setup_teardown(test_uid_base, set_names, forget_names),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_odd_bytes),
		cmocka_unit_test(test_long),
		cmocka_unit_test_setup_teardown(test_installed_file, set_names, forget_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
