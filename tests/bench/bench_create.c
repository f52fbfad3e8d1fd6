/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Creating a region of 16 MiB, against the calls that a device model makes where there is no service. */
#include <err.h>

#include "direct.h"
#include "service.h"

#define NR_PAGES (16u * PAGES_PER_MIB)
#define VRAM_END (VRAM_GFN + NR_PAGES - 1)

static double measure_service(const struct bench_options *options, struct xenvram *conn)
{
	uint64_t begin = bench_now_ns();
	uint64_t cookie = service_create(conn, options->domid, 0, BACKING_GFN, NR_PAGES);
	uint64_t end = bench_now_ns();
	service_destroy(conn, cookie);
	return end - begin;
}

static void need(int result, const char *what)
{
	if (result < 0)
		err(1, "%s", what);
}

static double measure_direct(const struct direct *direct)
{
	xendevicemodel_handle *devicemodel = direct->devicemodel;
	uint32_t domid = direct->domid;

	uint64_t begin = bench_now_ns();
	need(xendevicemodel_relocate_memory(devicemodel, domid, NR_PAGES, BACKING_GFN, VRAM_GFN),
		"relocate_memory");
	need(xendevicemodel_pin_memory_cacheattr(
		     devicemodel, domid, VRAM_GFN, VRAM_END, XEN_DMOP_MEM_CACHEATTR_WB),
		"pin_memory_cacheattr");
	uint64_t end = bench_now_ns();

	need(xendevicemodel_pin_memory_cacheattr(
		     devicemodel, domid, VRAM_GFN, VRAM_END, XEN_DMOP_DELETE_MEM_CACHEATTR),
		"pin_memory_cacheattr");
	need(xendevicemodel_relocate_memory(devicemodel, domid, NR_PAGES, VRAM_GFN, BACKING_GFN),
		"relocate_memory");
	return end - begin;
}

int main(int argc, char **argv)
{
	static struct bench_subject first = {.name = "service"};
	static struct bench_subject further = {.name = "service"};
	static struct bench_subject calls = {.name = "relocate and pin, directly"};
	struct bench_options options;
	struct direct direct;

	bench_parse(&options, argc, argv);
	struct xenvram *conn = service_connect(&options);
	direct_init(&direct, options.domid, VRAM_GFN, NR_PAGES);
	for (uint32_t round = 0; round < options.rounds; round++) {
		first.value[round] = measure_service(&options, conn);
		/* A region of one page keeps the domain's worker. */
		uint64_t other = service_create(conn, options.domid, 1, BACKING_GFN + NR_PAGES, 1);
		further.value[round] = measure_service(&options, conn);
		service_destroy(conn, other);
		calls.value[round] = measure_direct(&direct);
	}
	bench_report_pair(&options, "create 16 MiB, worker started for it", "ms", 1e6, &first, &calls,
		(struct bench_goal){0});
	bench_report_pair(&options, "create 16 MiB, worker running", "ms", 1e6, &further, &calls,
		(struct bench_goal){0});
	direct_deinit(&direct);
	xenvram_free(conn);
	return 0;
}
