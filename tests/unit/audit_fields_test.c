/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>

#include "daemon/broker/audit_fields.h"

static const char *value(const struct audit_fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->n; i++) {
		if (strcmp(fields->names[i], name) == 0)
			return fields->text + fields->begins[i];
	}
	return "(none)";
}

static void test_request(void **state)
{
	(void)state;
	Xenvram__V1__CreateRegion create = XENVRAM__V1__CREATE_REGION__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;
	struct audit_fields fields = {0};

	assert_null(audit_operation(&request));
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_CREATE_REGION;
	request.create_region = &create;
	create.domid = 5;
	create.vram_gfn = 0xf1000;
	create.cache_attr = XENVRAM__V1__CACHE_ATTR__WC;
	create.require_cache_attr = true;
	audit_fields_add_request(&fields, audit_operation(&request));
	assert_string_equal(value(&fields, "operation"), "CreateRegion");
	assert_string_equal(value(&fields, "domid"), "5");
	assert_string_equal(value(&fields, "vram_gfn"), "0xf1000");
	assert_string_equal(value(&fields, "backing_gfn"), "(none)");
	assert_string_equal(value(&fields, "cache_attr"), "3");
	assert_string_equal(value(&fields, "require_cache_attr"), "1");
	assert_string_equal(value(&fields, "adopt"), "(none)");
}

static void test_lists_and_words(void **state)
{
	(void)state;
	Xenvram__V1__MarkDirty mark = XENVRAM__V1__MARK_DIRTY__INIT;
	Xenvram__V1__Hello hello = XENVRAM__V1__HELLO__INIT;
	Xenvram__V1__Run *runs[3] = {0};
	struct audit_fields fields = {0};

	mark.cookie = 0x1234;
	mark.n_runs = 3;
	mark.runs = runs;
	audit_fields_add_request(&fields, &mark.base);
	assert_string_equal(value(&fields, "cookie"), "0x1234");
	assert_string_equal(value(&fields, "runs"), "3 of them");
	fields = (struct audit_fields){0};
	hello.client = (char *)"I am root\nMESSAGE=nothing happened";
	audit_fields_add_request(&fields, &hello.base);
	assert_string_equal(value(&fields, "client"), "(none)");
}

static void test_replies(void **state)
{
	(void)state;
	Xenvram__V1__CreateRegionReply created = XENVRAM__V1__CREATE_REGION_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	struct audit_fields fields = {0};
	char sentence[MAX_AUDIT_SENTENCE_BYTES];

	created.cookie = 0xabc;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_CREATE_REGION;
	reply.create_region = &created;
	audit_fields_add(&fields, "uid", "%u", 5);
	audit_fields_add(&fields, "pid", "%u", 7);
	audit_fields_add(&fields, "operation", "CreateRegion");
	audit_fields_add_reply(&fields, &reply);
	assert_string_equal(value(&fields, "cookie"), "0xabc");
	assert_string_equal(value(&fields, "status"), "OK");
	assert_string_equal(value(&fields, "errno"), "(none)");
	audit_fields_sentence(&fields, sentence, sizeof(sentence));
	assert_string_equal(sentence, "uid 5 (pid 7): CreateRegion: OK");

	reply = (Xenvram__V1__Reply)XENVRAM__V1__REPLY__INIT;
	fields = (struct audit_fields){0};
	reply.status = XENVRAM__V1__STATUS__NOT_FOUND;
	reply.os_error = ENOENT;
	reply.message = (char *)"no region";
	audit_fields_add(&fields, "uid", "%u", 5);
	audit_fields_add(&fields, "pid", "%u", 7);
	audit_fields_add(&fields, "bound_domid", "%u", 3);
	audit_fields_add(&fields, "operation", "DestroyRegion");
	audit_fields_add_reply(&fields, &reply);
	audit_fields_add(&fields, "rule", "it is another's");
	audit_fields_sentence(&fields, sentence, sizeof(sentence));
	assert_string_equal(sentence,
		"uid 5 (pid 7, for domain 3): DestroyRegion: NOT_FOUND: no region (it is another's)");
}

static void test_too_much(void **state)
{
	(void)state;
	struct audit_fields fields = {0};
	char text[MAX_AUDIT_TEXT_BYTES + 100];
	char sentence[8];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	audit_fields_add(&fields, "first", "%s", text);
	audit_fields_add(&fields, "second", "%s", text);
	assert_int_equal(fields.n, 1);
	assert_int_equal(strlen(value(&fields, "first")), MAX_AUDIT_TEXT_BYTES - 1);
	fields = (struct audit_fields){0};
	for (unsigned int i = 0; i < 2 * MAX_AUDIT_FIELDS; i++)
		audit_fields_add(&fields, "one", "%u", i);
	assert_int_equal(fields.n, MAX_AUDIT_FIELDS);
	audit_fields_sentence(&fields, sentence, sizeof(sentence));
	assert_string_equal(sentence, "uid ? (");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_lists_and_words),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_too_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
