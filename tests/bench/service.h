/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service under test, and regions in it. Each function ends the program when the service refuses. */
#ifndef XENVRAM_TESTS_BENCH_SERVICE_H
#define XENVRAM_TESTS_BENCH_SERVICE_H

#include <sys/types.h>
#include <xenvram.h>

#include "bench.h"

#define PAGES_PER_MIB 256u
/* A hole in every domain; each region lies in one of its own, this far apart. */
#define VRAM_GFN     0x100000u
#define VRAM_SPACING 0x10000u
/* The first page that no guest of ours uses for itself. */
#define BACKING_GFN 0x400u

#define LONGEST_PERIOD_US 10000000u

struct xenvram *service_connect(const struct bench_options *options);

/* Ends the program with what the library says. */
_Noreturn void service_fail(struct xenvram *conn, const char *what);

/* Takes nr_pages from backing_gfn; `place` counts the regions of the domain. */
uint64_t service_create(
	struct xenvram *conn, uint32_t domid, unsigned int place, uint64_t backing_gfn, uint64_t nr_pages);
void service_destroy(struct xenvram *conn, uint64_t cookie);
struct xenvram_view *service_subscribe(
	struct xenvram *conn, uint64_t cookie, uint32_t period_us, uint32_t flags);
void service_unsubscribe(struct xenvram *conn, struct xenvram_view *view);

/* Has the hypervisor asked until a poll finds nothing any more. Returns the generation. */
uint64_t service_settle(struct xenvram *conn, uint64_t cookie);

pid_t service_broker(const struct bench_options *options);
/* The only worker. */
pid_t service_worker(const struct bench_options *options);

#endif
