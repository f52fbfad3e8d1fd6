/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The simulated host for programs in other languages: flat functions, whose arguments need no headers.
 * What the hypervisor holds can be looked at, and what a toolstack and a guest do can be done, without a
 * process for each.
 */
#ifndef XENVRAM_SIMXEN_VIEW_H
#define XENVRAM_SIMXEN_VIEW_H

#include <stdbool.h>
#include <stdint.h>

struct host;

/* The host named by the environment; NULL with errno. */
struct host *view_open(void);
void view_close(struct host *host);

/* All below return a negative errno when they fail. */

int view_create_domain(struct host *host, uint16_t domid, bool pv, uint32_t ram_pages, const char *uuid);
/* It is dying from now on, and has all of its memory until it is destroyed. */
int view_begin_death(struct host *host, uint16_t domid);
int view_destroy_domain(struct host *host, uint16_t domid);

/* How many pages are populated; the first max_pages of them, by gfn. */
int view_pages(
	struct host *host, uint32_t domid, uint32_t max_pages, uint64_t *ret_gfns, uint32_t *ret_frames);

/* How many ranges are pinned; three numbers each: first gfn, last gfn, type. Room for 64 is needed. */
int view_pins(struct host *host, uint32_t domid, uint64_t *ret_pins);

/* The tracked range; nr_pages 0: none. */
int view_tracked(struct host *host, uint32_t domid, uint64_t *ret_first_gfn, uint32_t *ret_nr_pages);

/* Calls of a kind so far, on this domain. */
int64_t view_calls(struct host *host, uint32_t domid, uint32_t kind);

/*
 * Call number `nth` of a kind from now on, and with `lasting` every later one, fails having done so many
 * pages; or with `of_page`, of a map call, that page alone. The fault's number.
 */
int view_fault(struct host *host, uint32_t kind, uint16_t domid, uint32_t nth, bool lasting, int error,
	uint32_t pages, bool of_page);
/* Whether it has struck: 0 or 1, also after it was cleared, until another one is armed. */
int view_fault_struck(struct host *host, uint32_t number);
void view_clear_faults(struct host *host);

/* The guest writes to the page. -EFAULT: it is a hole. */
int view_write(struct host *host, uint32_t domid, uint64_t gfn);

/* A toolstack puts a fresh page there, takes the one away, or pins a range. */
int view_populate(struct host *host, uint32_t domid, uint64_t gfn);
int view_depopulate(struct host *host, uint32_t domid, uint64_t gfn);
int view_pin(struct host *host, uint32_t domid, uint64_t first_gfn, uint64_t last_gfn, uint32_t type);

#endif
