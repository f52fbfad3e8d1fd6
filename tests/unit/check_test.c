/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>

#include "proto/check.h"
#include "proto/frame.h"

typedef Xenvram__V1__Request Request;
typedef Xenvram__V1__CreateRegion CreateRegion;

#define PAGES 16u

static void assert_accepted(const Request *request)
{
	struct failure failure = {.text = ""};
	if (check_request(request, &failure) < 0)
		fail_msg("refused: %s", failure.text);
}

/* Refused, with a message that names `what`. */
static void assert_refused(const Request *request, int os_error, const char *what)
{
	struct failure failure = {.text = ""};
	assert_int_equal(check_request(request, &failure), -1);
	assert_int_equal(failure.status, XENVRAM__V1__STATUS__INVALID);
	assert_int_equal(failure.os_error, os_error);
	if (!strstr(failure.text, what))
		fail_msg("\"%s\" does not mention %s", failure.text, what);
}

static CreateRegion good_region(void)
{
	CreateRegion create = XENVRAM__V1__CREATE_REGION__INIT;
	create.domid = 7;
	create.vram_gfn = 0xf1000;
	create.backing_gfn = 0x7000;
	create.nr_pages = PAGES;
	return create;
}

static Request creating(CreateRegion *create)
{
	Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_CREATE_REGION;
	request.create_region = create;
	return request;
}

static void test_good_region(void **state)
{
	(void)state;
	CreateRegion create = good_region();
	Request request = creating(&create);
	assert_accepted(&request);
}

static void test_serial_zero(void **state)
{
	(void)state;
	CreateRegion create = good_region();
	Request request = creating(&create);
	request.serial = 0;
	assert_refused(&request, EINVAL, "serial");
	request.serial = UINT64_MAX;
	assert_accepted(&request);
}

static void test_domid(void **state)
{
	(void)state;
	CreateRegion create = good_region();
	Request request = creating(&create);
	create.domid = 0;
	assert_accepted(&request);
	create.domid = MAX_DOMID;
	assert_accepted(&request);
	create.domid = MAX_DOMID + 1;
	assert_refused(&request, EINVAL, "domid");
	create.domid = UINT32_MAX;
	assert_refused(&request, EINVAL, "domid");
}

static void test_nr_pages(void **state)
{
	(void)state;
	CreateRegion create = good_region();
	Request request = creating(&create);
	create.vram_gfn = 0x1000000;
	create.nr_pages = 0;
	assert_refused(&request, EINVAL, "nr_pages");
	create.nr_pages = 1;
	assert_accepted(&request);
	create.nr_pages = MAX_REGION_PAGES;
	assert_accepted(&request);
	create.nr_pages = MAX_REGION_PAGES + 1;
	assert_refused(&request, EINVAL,
		"nr_pages 262145 is not in 1..262144, by MAX_REGION_PAGES, which is fixed in this build");
	create.nr_pages = UINT64_MAX;
	assert_refused(&request, EINVAL, "nr_pages");
}

static void test_gfns_stay_below_the_last(void **state)
{
	(void)state;
	static const uint64_t bad[] = {
		MAX_GFN - PAGES + 1, MAX_GFN - 1, MAX_GFN, 1ull << 40, UINT64_MAX - PAGES + 1, UINT64_MAX};
	CreateRegion create = good_region();
	Request request = creating(&create);

	create.vram_gfn = MAX_GFN - PAGES;
	assert_accepted(&request);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		create.vram_gfn = bad[i];
		assert_refused(&request, EINVAL, "vram_gfn");
	}
	create = good_region();
	create.backing_gfn = MAX_GFN - PAGES;
	assert_accepted(&request);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		create.backing_gfn = bad[i];
		assert_refused(&request, EINVAL, "backing_gfn");
	}
}

static void test_ranges_do_not_overlap(void **state)
{
	(void)state;
	CreateRegion create = good_region();
	Request request = creating(&create);

	for (int distance = -(int)PAGES - 1; distance <= (int)PAGES + 1; distance++) {
		create.vram_gfn = create.backing_gfn + distance;
		if (distance > -(int)PAGES && distance < (int)PAGES)
			assert_refused(&request, EINVAL, "overlap");
		else
			assert_accepted(&request);
	}
}

static void test_cache_attr(void **state)
{
	(void)state;
	CreateRegion create = good_region();
	Request request = creating(&create);

	for (int attr = -1; attr <= 6; attr++) {
		create.cache_attr = (Xenvram__V1__CacheAttr)attr;
		if (attr < 0 || attr > 5)
			assert_refused(&request, EINVAL, "cache_attr");
		else
			assert_accepted(&request);
	}
}

static void test_cookies(void **state)
{
	(void)state;
	Xenvram__V1__DestroyRegion destroy = XENVRAM__V1__DESTROY_REGION__INIT;
	Xenvram__V1__Snapshot snapshot = XENVRAM__V1__SNAPSHOT__INIT;
	Xenvram__V1__Subscribe subscribe = XENVRAM__V1__SUBSCRIBE__INIT;
	Xenvram__V1__Refresh refresh = XENVRAM__V1__REFRESH__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = 1;

	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_DESTROY_REGION;
	request.destroy_region = &destroy;
	assert_refused(&request, EINVAL, "cookie");
	destroy.cookie = 1;
	assert_accepted(&request);

	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_SNAPSHOT;
	request.snapshot = &snapshot;
	assert_refused(&request, EINVAL, "cookie");
	snapshot.cookie = UINT64_MAX;
	snapshot.since = UINT64_MAX;
	assert_accepted(&request);

	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_SUBSCRIBE;
	request.subscribe = &subscribe;
	assert_refused(&request, EINVAL, "cookie");
	subscribe.cookie = 1;
	assert_accepted(&request);

	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_REFRESH;
	request.refresh = &refresh;
	assert_refused(&request, EINVAL, "cookie");
	refresh.cookie = 1;
	assert_accepted(&request);
}

static void test_period(void **state)
{
	(void)state;
	static const uint32_t good[] = {0, MIN_PERIOD_US, DEFAULT_PERIOD_US, MAX_PERIOD_US};
	static const uint32_t bad[] = {1, MIN_PERIOD_US - 1, MAX_PERIOD_US + 1, UINT32_MAX};
	Xenvram__V1__Subscribe subscribe = XENVRAM__V1__SUBSCRIBE__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_SUBSCRIBE;
	request.subscribe = &subscribe;
	subscribe.cookie = 1;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		subscribe.period_us = good[i];
		assert_accepted(&request);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		subscribe.period_us = bad[i];
		assert_refused(&request, EINVAL,
			" is neither 0 (default, 33000) nor in 1000..10000000, by "
			"MIN_PERIOD_US..MAX_PERIOD_US, "
			"which is fixed in this build");
	}
}

static void test_unsubscribe(void **state)
{
	(void)state;
	Xenvram__V1__Unsubscribe unsubscribe = XENVRAM__V1__UNSUBSCRIBE__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_UNSUBSCRIBE;
	request.unsubscribe = &unsubscribe;
	assert_refused(&request, EINVAL, "subscription");
	unsubscribe.subscription = 1;
	assert_accepted(&request);
}

static void test_mark_dirty(void **state)
{
	(void)state;
	static const struct {
		uint64_t first, nr_pages;
		bool good;
	} rows[] = {
		{0, 1, true},
		{0, MAX_REGION_PAGES, true},
		{MAX_REGION_PAGES - 1, 1, true},
		{0, 0, false},
		{0, MAX_REGION_PAGES + 1, false},
		{0, UINT64_MAX, false},
		{MAX_REGION_PAGES, 1, false},
		{UINT64_MAX, 1, false},
	};
	static Xenvram__V1__Run *runs[MAX_MARKED_RUNS + 1];
	static Xenvram__V1__Run good[MAX_MARKED_RUNS + 1];
	Xenvram__V1__Run run = XENVRAM__V1__RUN__INIT;
	Xenvram__V1__MarkDirty mark = XENVRAM__V1__MARK_DIRTY__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_MARK_DIRTY;
	request.mark_dirty = &mark;
	mark.runs = runs;
	for (unsigned int i = 0; i <= MAX_MARKED_RUNS; i++) {
		xenvram__v1__run__init(&good[i]);
		good[i].first = i;
		good[i].nr_pages = 1;
		runs[i] = &good[i];
	}

	mark.n_runs = 1;
	assert_refused(&request, EINVAL, "cookie");
	mark.cookie = 1;
	assert_accepted(&request);
	mark.n_runs = 0;
	assert_refused(&request, EINVAL, "runs");
	mark.n_runs = MAX_MARKED_RUNS + 1;
	assert_refused(&request, EINVAL,
		"1025 runs are not in 1..1024, by MAX_MARKED_RUNS, which is fixed in this build");
	mark.n_runs = MAX_MARKED_RUNS;
	assert_accepted(&request);
	/* Not only the first of them is looked at. */
	good[MAX_MARKED_RUNS - 1].nr_pages = 0;
	assert_refused(&request, EINVAL, "run 1023");
	good[MAX_MARKED_RUNS - 1].nr_pages = 1;
	good[7].first = 6;
	assert_refused(&request, EINVAL, "run 7");
	good[7].first = 5;
	assert_refused(&request, EINVAL, "run 7");
	good[7].first = 7;
	good[7].nr_pages = 2;
	assert_refused(&request, EINVAL, "run 8");

	mark.n_runs = 1;
	runs[0] = &run;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		run.first = rows[i].first;
		run.nr_pages = rows[i].nr_pages;
		if (rows[i].good)
			assert_accepted(&request);
		else
			assert_refused(&request, EINVAL, "run 0");
	}
}

static void test_destroy_region(void **state)
{
	(void)state;
	Xenvram__V1__DestroyRegion destroy = XENVRAM__V1__DESTROY_REGION__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_DESTROY_REGION;
	request.destroy_region = &destroy;
	destroy.cookie = 1;
	destroy.first_page = 3;
	assert_refused(&request, EINVAL, "first_page 3");
	destroy.nr_pages = 1;
	assert_accepted(&request);
	destroy.cookie = 0;
	assert_refused(&request, EINVAL, "cookie 0");
}

static void test_move_region(void **state)
{
	(void)state;
	Xenvram__V1__MoveRegion move = XENVRAM__V1__MOVE_REGION__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_MOVE_REGION;
	request.move_region = &move;
	move.vram_gfn = MAX_GFN - 1;
	assert_refused(&request, EINVAL, "cookie 0");
	move.cookie = 1;
	assert_accepted(&request);
	move.vram_gfn = MAX_GFN;
	assert_refused(&request, EINVAL, "vram_gfn");
	move.vram_gfn = UINT64_MAX;
	assert_refused(&request, EINVAL, "vram_gfn");
}

static void test_listing(void **state)
{
	(void)state;
	Xenvram__V1__ListRegions regions = XENVRAM__V1__LIST_REGIONS__INIT;
	Xenvram__V1__ListDomains domains = XENVRAM__V1__LIST_DOMAINS__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_LIST_REGIONS;
	request.list_regions = &regions;

	regions.domid = UINT32_MAX; /* not looked at */
	assert_accepted(&request);
	regions.by_domid = true;
	assert_refused(&request, EINVAL, "domid");
	regions.domid = MAX_DOMID;
	assert_accepted(&request);

	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_LIST_DOMAINS;
	request.list_domains = &domains;
	assert_accepted(&request);
}

static void test_pins(void **state)
{
	(void)state;
	Xenvram__V1__PinCacheattr pin = XENVRAM__V1__PIN_CACHEATTR__INIT;
	Xenvram__V1__UnpinCacheattr unpin = XENVRAM__V1__UNPIN_CACHEATTR__INIT;
	Request pinning = XENVRAM__V1__REQUEST__INIT, unpinning = XENVRAM__V1__REQUEST__INIT;
	static const struct {
		uint32_t domid;
		uint64_t first_gfn, nr_pages;
		const char *what; /* NULL: good */
	} cases[] = {
		{7, 0, 1, NULL},
		{7, 0, MAX_GFN, NULL},
		{MAX_DOMID, MAX_GFN - 1, 1, NULL},
		{MAX_DOMID + 1, 0, 1, "domid"},
		{7, 0, 0, "nr_pages"},
		{7, 0, MAX_GFN + 1, "first_gfn"},
		{7, MAX_GFN, 1, "first_gfn"},
		{7, MAX_GFN - 1, 2, "first_gfn"},
		{7, 1, UINT64_MAX, "first_gfn"},
		{7, UINT64_MAX, 1, "first_gfn"},
	};

	pinning.serial = unpinning.serial = 1;
	pinning.operation_case = XENVRAM__V1__REQUEST__OPERATION_PIN_CACHEATTR;
	pinning.pin_cacheattr = &pin;
	unpinning.operation_case = XENVRAM__V1__REQUEST__OPERATION_UNPIN_CACHEATTR;
	unpinning.unpin_cacheattr = &unpin;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pin.domid = unpin.domid = cases[i].domid;
		pin.first_gfn = unpin.first_gfn = cases[i].first_gfn;
		pin.nr_pages = unpin.nr_pages = cases[i].nr_pages;
		if (!cases[i].what) {
			assert_accepted(&pinning);
			assert_accepted(&unpinning);
		} else {
			assert_refused(&pinning, EINVAL, cases[i].what);
			assert_refused(&unpinning, EINVAL, cases[i].what);
		}
	}
	pin.first_gfn = 0;
	pin.cache_attr = (Xenvram__V1__CacheAttr)6;
	pin.nr_pages = 1;
	assert_refused(&pinning, EINVAL, "cache_attr");
}

static void test_move_ram(void **state)
{
	(void)state;
	Xenvram__V1__MoveRam move = XENVRAM__V1__MOVE_RAM__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;
	static const struct {
		uint32_t domid;
		uint64_t source, destination, nr_pages;
		const char *what; /* NULL: good */
	} cases[] = {
		{7, 0x100, 0x200, 0x100, NULL},
		{7, 0x200, 0x100, 0x100, NULL},
		{MAX_DOMID, 0, MAX_GFN - 1, 1, NULL},
		{7, 0, MAX_REGION_PAGES, MAX_REGION_PAGES, NULL},
		{MAX_DOMID + 1, 0x100, 0x200, 1, "domid"},
		{7, 0x100, 0x200, 0, "nr_pages"},
		{7, 0x100, 0x1000000, MAX_REGION_PAGES + 1, "nr_pages"},
		{7, 0x100, 0x1ff, 0x100, "overlap"},
		{7, 0x1ff, 0x100, 0x100, "overlap"},
		{7, 0x100, 0x100, 1, "overlap"},
		{7, MAX_GFN, 0x100, 1, "source_gfn"},
		{7, UINT64_MAX, 0x100, 2, "source_gfn"},
		{7, 0x100, MAX_GFN - 1, 2, "destination_gfn"},
	};

	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_MOVE_RAM;
	request.move_ram = &move;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		move.domid = cases[i].domid;
		move.source_gfn = cases[i].source;
		move.destination_gfn = cases[i].destination;
		move.nr_pages = cases[i].nr_pages;
		if (cases[i].what)
			assert_refused(&request, EINVAL, cases[i].what);
		else
			assert_accepted(&request);
	}
}

static void test_map_ram(void **state)
{
	(void)state;
	Xenvram__V1__MapRam map = XENVRAM__V1__MAP_RAM__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;

	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_MAP_RAM;
	request.map_ram = &map;
	map.domid = 7;
	map.source_gfn = 0x100;
	map.destination_gfn = 0x200;
	map.nr_pages = 0x100;
	assert_accepted(&request);
	map.first_page = 0xff;
	assert_accepted(&request);
	map.first_page = 0x100;
	assert_refused(&request, ERANGE, "first_page");
	map.first_page = 0;
	map.nr_pages = 0x101;
	assert_refused(&request, EINVAL, "overlap");
	map.nr_pages = 0;
	assert_refused(&request, EINVAL, "nr_pages");
	map.nr_pages = 1;
	map.destination_gfn = MAX_GFN;
	assert_refused(&request, EINVAL, "destination_gfn");
}

static void test_track_dirty(void **state)
{
	(void)state;
	Xenvram__V1__TrackDirty track = XENVRAM__V1__TRACK_DIRTY__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;
	static const struct {
		uint32_t domid;
		uint64_t first, nr_pages;
		const char *what; /* NULL: good */
	} cases[] = {
		{7, 0, 1, NULL},
		{MAX_DOMID, MAX_GFN - 1, 1, NULL},
		{7, 0x100, MAX_REGION_PAGES, NULL},
		{7, 0, 0, NULL},
		{7, 1, 0, "nr_pages"},
		{MAX_DOMID + 1, 0, 0, "domid"},
		{7, 0, MAX_REGION_PAGES + 1, "nr_pages"},
		{7, MAX_GFN, 1, "first_gfn"},
		{7, UINT64_MAX, 2, "first_gfn"},
		{7, MAX_GFN - 1, 2, "first_gfn"},
	};

	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_TRACK_DIRTY;
	request.track_dirty = &track;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		track.domid = cases[i].domid;
		track.first_gfn = cases[i].first;
		track.nr_pages = cases[i].nr_pages;
		if (cases[i].what)
			assert_refused(&request, EINVAL, cases[i].what);
		else
			assert_accepted(&request);
	}
}

static void test_client_name(void **state)
{
	(void)state;
	char name[MAX_CLIENT_NAME_BYTES + 2];
	Xenvram__V1__Hello hello = XENVRAM__V1__HELLO__INIT;
	Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_HELLO;
	request.hello = &hello;

	assert_accepted(&request);
	memset(name, 'x', sizeof(name));
	hello.client = name;
	name[MAX_CLIENT_NAME_BYTES + 1] = '\0';
	assert_refused(&request, EINVAL,
		"the client's name has 65 bytes; at most 64 are allowed, by MAX_CLIENT_NAME_BYTES, which is "
		"fixed "
		"in this build");
	name[MAX_CLIENT_NAME_BYTES] = '\0';
	assert_accepted(&request);
}

static void test_versions(void **state)
{
	(void)state;
	Xenvram__V1__Hello hello = XENVRAM__V1__HELLO__INIT;
	struct failure failure;
	uint32_t version = 0;

	hello.version_min = PROTOCOL_VERSION_MIN;
	hello.version_max = PROTOCOL_VERSION_MAX;
	assert_int_equal(check_hello(&hello, &version, &failure), 0);
	assert_int_equal(version, PROTOCOL_VERSION_MAX);

	hello.version_min = 0;
	hello.version_max = UINT32_MAX;
	version = 0;
	assert_int_equal(check_hello(&hello, &version, &failure), 0);
	assert_int_equal(version, PROTOCOL_VERSION_MAX);

	version = 77;
	hello.version_min = PROTOCOL_VERSION_MAX + 1;
	assert_int_equal(check_hello(&hello, &version, &failure), -1);
	assert_int_equal(failure.status, XENVRAM__V1__STATUS__VERSION);
	assert_int_equal(failure.os_error, EPROTONOSUPPORT);

	hello.version_min = 0;
	hello.version_max = PROTOCOL_VERSION_MIN - 1;
	assert_int_equal(check_hello(&hello, &version, &failure), -1);
	assert_int_equal(failure.status, XENVRAM__V1__STATUS__VERSION);

	hello.version_min = 2;
	hello.version_max = 1;
	assert_int_equal(check_hello(&hello, &version, &failure), -1);
	assert_int_equal(failure.status, XENVRAM__V1__STATUS__INVALID);
	assert_int_equal(version, 77);
}

static void test_absent_and_unknown_operations(void **state)
{
	(void)state;
	Request request = XENVRAM__V1__REQUEST__INIT;
	request.serial = 1;
	assert_refused(&request, EOPNOTSUPP, "operation");
	request.operation_case = (Xenvram__V1__Request__OperationCase)99;
	assert_refused(&request, EOPNOTSUPP, "operation");
}

/* Serial 1, and the given operation as an empty message. */
static Request *unpack_operation(uint32_t field)
{
	/* The field's tag in two bytes, as it needs from 16 on. */
	struct frame frame = {
		.bytes = {1 << 3, 1, (field << 3 & 0x7f) | 2 | 0x80, field >> 4, 0}, .n_bytes = 5};
	ProtobufCMessage *message = frame_unpack(&frame, &xenvram__v1__request__descriptor);
	assert_non_null(message);
	return (Request *)message;
}

static void test_operation_of_the_future(void **state)
{
	(void)state;
	Request *request = unpack_operation(99);
	assert_refused(request, EOPNOTSUPP, "operation");
	frame_free_message(&request->base);
}

/* Whoever adds an operation to the grammar must add it to the check. */
static void test_every_operation_is_known(void **state)
{
	(void)state;
	const ProtobufCMessageDescriptor *descriptor = &xenvram__v1__request__descriptor;
	unsigned int n_operations = 0;

	for (unsigned int i = 0; i < descriptor->n_fields; i++) {
		struct failure failure = {.os_error = 0};
		if (!(descriptor->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
			continue;
		n_operations++;
		Request *request = unpack_operation(descriptor->fields[i].id);
		if (check_request(request, &failure) < 0 && failure.os_error == EOPNOTSUPP)
			fail_msg("%s is not known to check_request", descriptor->fields[i].name);
		frame_free_message(&request->base);
	}
	assert_true(n_operations >= 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_region),
		cmocka_unit_test(test_serial_zero),
		cmocka_unit_test(test_domid),
		cmocka_unit_test(test_nr_pages),
		cmocka_unit_test(test_gfns_stay_below_the_last),
		cmocka_unit_test(test_ranges_do_not_overlap),
		cmocka_unit_test(test_cache_attr),
		cmocka_unit_test(test_cookies),
		cmocka_unit_test(test_period),
		cmocka_unit_test(test_unsubscribe),
		cmocka_unit_test(test_mark_dirty),
		cmocka_unit_test(test_destroy_region),
		cmocka_unit_test(test_move_region),
		cmocka_unit_test(test_listing),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_move_ram),
		cmocka_unit_test(test_map_ram),
		cmocka_unit_test(test_track_dirty),
		cmocka_unit_test(test_client_name),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_absent_and_unknown_operations),
		cmocka_unit_test(test_operation_of_the_future),
		cmocka_unit_test(test_every_operation_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
