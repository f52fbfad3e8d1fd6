/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libxenvram: regions of guest video RAM on a Xen host, owned by the xenvramd service.
 *
 * A region is a run of guest pages that the service has moved to where the guest sees its framebuffer, whose
 * memory type it has pinned, and whose writes it follows. Any number of readers follow the same region, each
 * at its own pace; none can take an update away from another.
 *
 *     struct xenvram *conn = xenvram_new("mydm");
 *     struct xenvram_view *view;
 *     uint64_t cursor = 0;
 *
 *     if (xenvram_connect(conn, NULL) < 0 || xenvram_subscribe(conn, cookie, 0, 0, &view) < 0)
 *             errx(1, "%s", xenvram_error(conn));
 *     for (;;) {
 *             if (xenvram_view_changed(view, cursor))
 *                     n = xenvram_view_read(view, &cursor, 0, nr_pages, bitmap);
 *             ...
 *     }
 *
 * Conventions. Functions that can fail return -1 and set errno; xenvram_error() then has the reason in words.
 * Results named ret_x are stored on success only. A gfn is a guest frame number, a page 4096 bytes. A bitmap
 * is an array of 64-bit words: page i is bit i % 64 of word i / 64, and there are
 * XENVRAM_BITMAP_WORDS(nr_pages) of them.
 *
 * Generations. A region counts generations, one for each poll of the hypervisor that found dirty pages.
 * A cursor is the generation up to which a reader has seen everything; it is a plain number that the reader
 * keeps, and 0 is before all. "Which pages were dirtied after generation G" means the same for
 * xenvram_view_read() and xenvram_snapshot(), so a cursor can go from one to the other. A page may be
 * reported more than once, never too seldom.
 *
 * Errors of every call that talks to the service, besides its own:
 *   EAGAIN      a part of the service was restarted while the call waited; it may or may not have been
 *               carried out. List the regions, then ask again. The connection and all views go on. Snapshots
 *               are asked for again by themselves. Or the domain's worker process has more to do than it may:
 *               ask again later.
 *   ETIMEDOUT   no answer within xenvram_set_timeout_ms(); it may or may not have been carried out, or
 *               still be. The connection can be used on.
 *   ECONNRESET  the service closed the connection. Later calls fail with ENOTCONN.
 *   EPROTO      the service sent what is no answer to the question. The connection is given up; later calls
 *               fail with ENOTCONN.
 *   ENOTCONN    not connected, or not any more. Free the connection and make a new one.
 *   EPERM       the service does not let this user, or this connection, do that.
 *   EDQUOT      this domain's device models have asked for more than they may, a second, of what pauses the
 *               guest; the reason says when there is room.
 *   ENOMEM      here or there.
 * No other errno is made up: what the service reports is the errno that it found, often the hypervisor's.
 *
 * Threads. The library has no global state. One connection is for one thread at a time; different
 * connections are independent. A view never changes after xenvram_subscribe(): any number of threads may use
 * it, each with a cursor of its own, until one of them ends it. No signal is raised, and no signal ends a
 * call early. All descriptors are close-on-exec.
 */
#ifndef XENVRAM_H
#define XENVRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define XENVRAM_SOCKET_PATH         "/run/xenvram/xenvram.sock"
#define XENVRAM_MAX_REGION_PAGES    262144 /* 1 GiB: what one tracking call of the hypervisor can cover */
#define XENVRAM_MAX_BYTES_PER_PIXEL 16

#define XENVRAM_BITMAP_WORDS(nr_pages) (((nr_pages) + 63) / 64)

struct xenvram;

/* ---- connections ---- */

/*
 * A connection, not connected yet. client_name is told to the service, at most 64 bytes; NULL takes the
 * program's name. NULL with ENOMEM, or EINVAL when the name is too long.
 */
struct xenvram *xenvram_new(const char *client_name);

/*
 * Connects to the service's socket and agrees on a protocol version. NULL is XENVRAM_SOCKET_PATH. Until it
 * has succeeded it may be called again.
 *   EISCONN          it had succeeded before
 *   ENAMETOOLONG     the path is longer than a socket address can be (107 bytes)
 *   EPROTONOSUPPORT  the service speaks no protocol version that this library does
 *   EACCES           this user neither administers nor is a domain's device model; the reason names the rule
 *   ESRCH            a device model's domain is not there (any more)
 *   EUSERS           this user, or all together, have too many connections open
 * and what socket(2) and connect(2) say: ENOENT or ECONNREFUSED when no service is there.
 */
int xenvram_connect(struct xenvram *conn, const char *socket_path);

/*
 * Has the connection act for this domain alone from now on, whoever holds it: the regions of others are not
 * there. For administrators (see xenvramd.conf(5)), who hand it to the domain's device model then, which
 * needs no right of its own to connect. For good, and for this very domain: not for a later one that has the
 * same domid.
 *   EPERM   this user may not act for that domain; or the connection is bound to another one already
 *   EBUSY   the connection has views, or has ranges tracked
 *   ESRCH   no such domain
 *   EDQUOT  too many connections act for that domain
 */
int xenvram_bind(struct xenvram *conn, uint32_t domid);

/*
 * Lets go of the connection's socket and returns it, for a device model to go on with: across exec, without
 * its close-on-exec flag, or by SCM_RIGHTS. Bind it first: what comes through a connection that is not bound
 * must come from an administrator. conn is as before xenvram_connect(). End its views before.
 */
int xenvram_release_fd(struct xenvram *conn);

/*
 * Goes on with a socket that xenvram_release_fd() returned, in whatever process. Takes fd over when it
 * succeeds. EISCONN, EPROTONOSUPPORT as xenvram_connect().
 */
int xenvram_connect_fd(struct xenvram *conn, int fd);

/*
 * Closes and frees; NULL is allowed. The service ends the connection's subscriptions, never its regions.
 * Views stay readable, standing still, until xenvram_unsubscribe(NULL, view).
 */
void xenvram_free(struct xenvram *conn);

/* How long any one call waits for the service, from 1 ms. At first 30,000. EINVAL: 0. */
int xenvram_set_timeout_ms(struct xenvram *conn, uint32_t timeout_ms);

/* Why the last call on this connection failed; "" if it did not. Valid until the next call. Never NULL. */
const char *xenvram_error(const struct xenvram *conn);

/* What the service had to remark on the last call, which succeeded; mostly "". Valid until the next call. */
const char *xenvram_warning(const struct xenvram *conn);

/* ---- events ---- */

enum xenvram_region_state {
	XENVRAM_REGION_CREATING = 0,
	XENVRAM_REGION_ACTIVE = 1,
	XENVRAM_REGION_DESTROYING = 2,
	/* Its pages could not all be moved back: destroy it again, or what was to be destroyed of it; one that is stuck
	   in a move, and was not destroyed since, can also be moved to either of the two places. */
	XENVRAM_REGION_STUCK = 3,
	XENVRAM_REGION_GONE = 4, /* it, or its domain, is no more; only in events */
	XENVRAM_REGION_MOVING = 5,
	XENVRAM_REGION_SHRINKING = 6, /* a part of it is being destroyed */
};

struct xenvram_handlers {
	/* A region that this connection has a view of is gone; no other change is told. */
	void (*region_changed)(
		uint64_t cookie, enum xenvram_region_state state, const char *reason, void *data);
	/* The connection was handed to a new process of the service. Views go on without a gap. */
	void (*restarted)(void *data);
};

/*
 * Says who xenvram_dispatch() calls; either may be NULL. A handler may use the connection in any way but
 * xenvram_free(). Strings are valid during the call.
 */
void xenvram_set_handlers(struct xenvram *conn, const struct xenvram_handlers *handlers, void *data);

/*
 * A descriptor that polls readable whenever xenvram_dispatch() has something to do, also when that was read
 * by a blocking call in between. It is the connection's: do not read, write or close it. -1 with ENOTCONN
 * before xenvram_connect() has succeeded, or EMFILE.
 */
int xenvram_fd(struct xenvram *conn);

/*
 * Reads what the service has sent, without waiting, and calls the handlers. Returns the number of events
 * handled. -1 with ECONNRESET, EPROTO or ENOTCONN when the connection has ended, after the last event was
 * handled.
 *
 * Events wait for dispatch in a bounded queue: of several changes of one region the last is kept, and when
 * 64 regions have changed the oldest is dropped. The state of a view tells of a region's end in any case.
 */
int xenvram_dispatch(struct xenvram *conn);

/* ---- regions ---- */

enum xenvram_cache_attr {
	XENVRAM_CACHE_WB = 0, /* write-back: what a framebuffer in RAM wants */
	XENVRAM_CACHE_UC = 1,
	XENVRAM_CACHE_UC_MINUS = 2,
	XENVRAM_CACHE_WC = 3,
	XENVRAM_CACHE_WT = 4,
	XENVRAM_CACHE_WP = 5,
};

struct xenvram_create {
	uint32_t domid;
	uint64_t vram_gfn;    /* first of nr_pages holes in the guest's memory: where the pages go */
	uint64_t backing_gfn; /* first of nr_pages populated pages: where they come from; 0 with adopt */
	uint64_t nr_pages;    /* 1 to XENVRAM_MAX_REGION_PAGES */
	enum xenvram_cache_attr cache_attr;
	/* Fail when the memory type cannot be pinned; otherwise that is a warning. Newer hypervisors pin
	   anything but WB only for domains with devices passed through. */
	bool require_cache_attr;
	/* The pages are at vram_gfn already, and stay there when the region is destroyed. */
	bool adopt;
	/* Only find out whether it could be created, now: nothing changes, and the cookie is 0. */
	bool dry_run;
};

/*
 * Creates a region: moves the pages, unless it adopts them, pins their memory type, tracks them. Stores its
 * cookie, which is never 0, but after a dry run, and never used for another region. Nothing has changed when
 * it fails, unless the reason says that the region is stuck. It lives until it is destroyed or its domain
 * ends, whatever becomes of the connection.
 *   EINVAL  a range is empty, too long, wraps, overlaps the other, or ends above gfn 2^36; backing_gfn is not 0
 *           with adopt; cache_attr is none; or a domain of a kind that has no device model (PV)
 *   EPERM   the configuration lets no vram, or no backing, be there
 *   ESRCH   no such domain
 *   EEXIST  it overlaps a region, or a page of the destination is populated
 *   ENXIO   a page of the backing, or one to be adopted, is not populated
 *   EDQUOT  a limit; the reason says whose, how much is used, and the most
 *   EBUSY   it overlaps a pin of xenvram_pin_cacheattr(), or pages that are being moved; or its pages could
 *           neither be moved nor moved back: the region is listed as stuck
 * and what the hypervisor says of moving or, with require_cache_attr, of pinning (EPERM, from 4.21 on, of a type for a
 * domain without devices of its own).
 */
int xenvram_create_region(struct xenvram *conn, const struct xenvram_create *create, uint64_t *ret_cookie);

/*
 * Destroys a region: ends its tracking, unpins it, moves its pages back to backing_gfn unless they were
 * adopted; these stay, and are brought together at its vram_gfn if it is stuck in a move. Views of it see the
 * state XENVRAM_VIEW_GONE.
 *   EINVAL  cookie 0
 *   ENOENT  no such region
 *   EBUSY   it is being created, moved or destroyed; or pages could not be moved back, or the journal not be told
 *           that all is done, and it stays listed as stuck (xenvram_map_region() tells where pages are) and can be
 *           destroyed again
 */
int xenvram_destroy_region(struct xenvram *conn, uint64_t cookie);

/*
 * The same for nr_pages of its pages from first_page on, which must all be there still. What stays keeps its
 * page numbers, memory type, log and readers; of pages that were destroyed nothing is reported any more, and
 * their frames are free for other regions. With the last page the region ends. At most 8 runs of pages may
 * stay.
 *   EINVAL  nr_pages is 0, or cookie
 *   ERANGE  a page goes beyond the region
 *   ENOENT  no such region
 *   ENXIO   a page was destroyed before
 *   EDQUOT  more than 8 runs of pages would stay
 *   EBUSY   as above, or what stays cannot even be pinned as it was: this call can be repeated, with the same
 *           pages, or all of the region destroyed
 * and what the hypervisor says of pinning what stays, if that was insisted on; then nothing has changed.
 */
int xenvram_destroy_range(struct xenvram *conn, uint64_t cookie, uint64_t first_page, uint64_t nr_pages);

/*
 * Moves the region to vram_gfn, for a guest that has moved its framebuffer, as an operating system may do
 * with a graphics card's BAR while it runs. All of its pages must be where they were, and all frames that
 * they go to holes, none of them of this or another region. Cookie, backing, log, views and readers stay;
 * every page is dirty once. Success is also that it is there already. When it fails the region is where it
 * was, unless it is stuck between the two places; then it can be moved to either of them, or destroyed; and if
 * that gets stuck, too, only destroyed. One that was stuck and could not be moved on is at the other place, if it
 * is not stuck still.
 *   EINVAL  cookie 0, or vram_gfn is out of range
 *   EPERM   the configuration lets no vram be there
 *   ENOENT  no such region
 *   EEXIST  there is a page where one would go, or the new place overlaps a region's, also its own
 *   ENXIO   a page is not where it was: the guest gave it up
 *   EBUSY   it is being created, moved or destroyed; or pages could not be moved back, or the journal not be told
 *           that all is done, and it is stuck
 * and what the hypervisor says of moving or, if that was insisted on, pinning.
 */
int xenvram_move_region(struct xenvram *conn, uint64_t cookie, uint64_t vram_gfn);

/* Where a page of a region is. */
enum xenvram_page_place {
	XENVRAM_AT_VRAM = 0,
	XENVRAM_AT_BACKING = 1,
	XENVRAM_AT_OLD_VRAM = 2, /* of a move */
	XENVRAM_MISSING = 3,     /* at none of these: the guest or its toolstack took it */
	XENVRAM_CONTESTED = 4,   /* at more than one: one of them is another's page */
};

/* Pages in a row that are at the same place, in a row there as well. */
struct xenvram_mapped_run {
	uint64_t first; /* page of the region */
	uint64_t nr_pages;
	enum xenvram_page_place place;
	uint64_t gfn; /* of the first; 0 when missing; of a contested one that at vram, or at the old vram */
};

/*
 * Finds out where each page of the region is, and calls each() for every run of them, in ascending order;
 * pages that were destroyed are in none. Of an active region all are at vram: this is for one that is stuck.
 * The connection may be used in each(). When that returns other than 0, the listing ends and returns that.
 *   EINVAL  cookie 0
 *   ENOENT  no such region
 */
int xenvram_map_region(struct xenvram *conn, uint64_t cookie,
	int (*each)(const struct xenvram_mapped_run *run, void *data), void *data);

struct xenvram_region {
	uint64_t cookie;
	uint32_t domid;
	const char *domain_uuid;
	uint64_t vram_gfn;
	uint64_t backing_gfn;
	uint64_t nr_pages;                 /* as it was created */
	uint64_t live_pages;               /* without those that were destroyed */
	const struct xenvram_run *extents; /* which those are, in runs */
	size_t n_extents;
	enum xenvram_cache_attr cache_attr;
	bool pinned;  /* all of it, and it is active; xenvram_list_pins() says which parts are */
	bool adopted; /* backing_gfn means nothing */
	bool between; /* pages may also be at old_vram_gfn: in a move, or stuck in one */
	uint64_t old_vram_gfn;
	enum xenvram_region_state state;
	uint64_t generation;
	uint32_t subscriptions;
	uint32_t period_us; /* of polling; 0: nobody watches */
	uint32_t owner_uid; /* who created it */
	uint64_t polls;
	uint64_t dirty_pages; /* summed over all polls */
};

/*
 * Calls each() for every region, by cookie, ascending; by_domid, if not NULL, selects those of one domain.
 * The struct is valid during the call; the connection may be used in it. When each() returns other than 0,
 * the listing ends and returns that.
 */
int xenvram_list_regions(struct xenvram *conn, const uint32_t *by_domid,
	int (*each)(const struct xenvram_region *region, void *data), void *data);

/* Why regions are polled less often than their readers want. */
enum xenvram_stretch {
	XENVRAM_AS_WANTED = 0,        /* they are not */
	XENVRAM_STRETCHED_IDLE = 1,   /* nothing has changed for a while; the first change ends it */
	XENVRAM_STRETCHED_BUDGET = 2, /* all polls of the host together would take more than they may */
	XENVRAM_STRETCHED_GUEST = 3,  /* the guest, paused by each poll, would not get its share */
};

struct xenvram_domain {
	uint32_t domid;
	const char *uuid;
	uint32_t regions;
	uint32_t subscriptions;
	bool worker_running;          /* the process that holds the hypervisor's handles of this domain */
	uint32_t wanted_period_us;    /* the shortest that a reader asks for; 0: nobody watches */
	uint32_t period_us;           /* that in effect */
	enum xenvram_stretch stretch; /* why it is longer */
	uint64_t polls;               /* of the hypervisor, since the oldest of its regions was created */
	uint64_t poll_ns;             /* time spent in them, and in publishing what they found */
	uint64_t dirty_guest_pages;   /* summed over all regions and polls, as in struct xenvram_view_info */
	uint64_t dirty_device_model_pages;
	uint64_t dirty_forced_pages;
};

/* The same for every domain that has regions, by domid, ascending. */
int xenvram_list_domains(
	struct xenvram *conn, int (*each)(const struct xenvram_domain *domain, void *data), void *data);

/* Parts per million of one processor's time. */
struct xenvram_poll_budget {
	uint32_t budget_ppm; /* what the polls of all domains together may take */
	uint32_t used_ppm;   /* what they took lately, measured once a second; 0 if bound */
	uint32_t share_ppm;  /* what any one domain may take; below the budget when they compete for it */
};

int xenvram_get_poll_budget(struct xenvram *conn, struct xenvram_poll_budget *ret_budget);

/* ---- snapshots: what has changed, by message ---- */

#define XENVRAM_SNAPSHOT_SYNC 1u /* ask the hypervisor now, though the region is watched */

struct xenvram_snapshot {
	uint64_t generation; /* the cursor to go on with */
	uint64_t nr_pages;
	uint64_t dirty_pages;
};

/*
 * Which pages were dirtied after generation `since`? 0 asks for all that ever were. bitmap has room for
 * bitmap_pages pages; XENVRAM_MAX_REGION_PAGES is enough for any region. Bits beyond the region are 0. Pages
 * that somebody watches answer from their last poll unless flags has XENVRAM_SNAPSHOT_SYNC; else the
 * hypervisor is asked. Tracking ends some seconds after the last reader has gone, and then the next answer
 * has every page dirty.
 *   EINVAL  cookie 0, or a flag that is none
 *   ENOENT  no such region
 *   EBUSY   it is being created or destroyed
 *   ERANGE  there are more than bitmap_pages pages
 */
int xenvram_snapshot(struct xenvram *conn, uint64_t cookie, uint64_t since, uint32_t flags, uint64_t *bitmap,
	uint64_t bitmap_pages, struct xenvram_snapshot *ret_snapshot);

/*
 * The same for nr_pages pages from `first` on, 0 meaning all from there: bit 0 of the bitmap is page `first`.
 * Also ERANGE: they are not all the region's.
 */
int xenvram_snapshot_pages(struct xenvram *conn, uint64_t cookie, uint64_t first, uint64_t nr_pages,
	uint64_t since, uint32_t flags, uint64_t *bitmap, uint64_t bitmap_pages,
	struct xenvram_snapshot *ret_snapshot);

/* ---- what the hypervisor does not see ---- */

/* Pages of a region in a row, counted from its first. */
struct xenvram_run {
	uint64_t first;
	uint64_t nr_pages;
};

/*
 * Tells every reader that these pages were written. The hypervisor sees what the guest's processors write,
 * not what a device model writes through a mapping, or a device by DMA: whoever does that says so here. The
 * runs are in ascending order and do not overlap. When it returns, the region's log has them. More than 1,024
 * runs go in several requests, and when one fails those before it stay marked. Of requests with more than 8,192
 * pages, device models may make so many a second as of others that pause the guest.
 *   EINVAL  cookie 0, no run, an empty one, or one that begins before the end of the one before it
 *   ENOENT  no such region
 *   ERANGE  a run goes beyond the region; none of its request is marked
 *   EBUSY   the region is being created or destroyed
 */
int xenvram_mark_dirty(struct xenvram *conn, uint64_t cookie, const struct xenvram_run *runs, size_t n_runs);

/*
 * Has every reader see every page of the region dirty once: for when something beside the service may have
 * read the hypervisor's bitmap, as live migration does. Errors as above.
 */
int xenvram_refresh(struct xenvram *conn, uint64_t cookie);

/* ---- raw calls: one thing done to a domain, outside of regions ---- */

#define XENVRAM_MOVE_FORCE 1u /* pages at the destination are dropped, for good; for administrators */

/*
 * Moves nr_pages pages of a domain, 1 to XENVRAM_MAX_REGION_PAGES, from source_gfn on to destination_gfn, and
 * nothing else: nothing is pinned, followed, or remembered. Every source page must be populated and every
 * destination page a hole, for the hypervisor would silently free a page that is there. The ranges do not
 * overlap each other, nor any region's vram or backing, but for one case: when the source is all of the backing
 * of an active region, whose pages are elsewhere, none of them destroyed, the guest has moved its framebuffer,
 * and this is xenvram_move_region() to destination_gfn, which drops nothing there, also with
 * XENVRAM_MOVE_FORCE.
 *
 * When it fails in the middle, the pages that have moved are moved back. Nothing has changed then, unless the
 * reason says that pages could not be moved back, as where another page has appeared meanwhile: it names the
 * first runs of those at the destination, or at both, counted from 0, and xenvram_map_ram() tells of all. Also
 * when a part of the service dies: but with EAGAIN that may still be under way. What XENVRAM_MOVE_FORCE dropped
 * by then stays dropped; the reason says how much that may be.
 *   EINVAL  a range is empty, too long, wraps, overlaps the other, or ends above gfn 2^36; a flag that is
 *           none; or a domain of a kind that has no device model (PV)
 *   ESRCH   no such domain
 *   ENXIO   a page of the source is not populated
 *   EEXIST  a page of the destination is, and XENVRAM_MOVE_FORCE is not given
 *   EBUSY   a range overlaps a region, or another move under way, or a failed one that cannot be erased from the
 *           journal; or pages are left at the destination
 *   EDQUOT  too many moves of the domain or the host are under way
 *   EPERM   XENVRAM_MOVE_FORCE, from a connection that acts for one domain alone; or the configuration lets no pages be
 *           moved between these gfns
 */
int xenvram_move_ram(struct xenvram *conn, uint32_t domid, uint64_t source_gfn, uint64_t destination_gfn,
	uint64_t nr_pages, uint32_t flags);

/*
 * Finds out where the pages of a move are that could not be moved back, as xenvram_map_region(): a run is at
 * its destination (XENVRAM_AT_VRAM), at its source (XENVRAM_AT_BACKING), missing, or contested, which says that
 * both gfns are populated. Each run can be moved either way by a call of its own. nr_pages is 1 to
 * XENVRAM_MAX_REGION_PAGES here, too.
 *   EINVAL, ESRCH  as above
 */
int xenvram_map_ram(struct xenvram *conn, uint32_t domid, uint64_t source_gfn, uint64_t destination_gfn,
	uint64_t nr_pages, int (*each)(const struct xenvram_mapped_run *run, void *data), void *data);

/*
 * Which of nr_pages gfns of a domain, at most XENVRAM_MAX_REGION_PAGES, from first_gfn on, in regions or not,
 * were dirtied after generation `since`? The hypervisor is asked, and from then on the range is tracked for
 * this connection, until that ends; so a loop of calls with the same range, each with the generation of the one
 * before (at first 0), sees every write. Everything is dirty the first time, and again whenever bits may have
 * been lost: after more than five seconds without a call, after a restart of a part of the service, and for as
 * long as the hypervisor's one range of the domain cannot be changed yet or does not reach so far. bitmap has
 * room for nr_pages pages; bit 0 is first_gfn. nr_pages 0, with first_gfn 0, ends all that this connection
 * tracks in the domain; then bitmap and ret_snapshot are not looked at.
 *   EINVAL  the range is too long, wraps, or ends above gfn 2^36; or a domain of a kind that has no device
 *           model (PV)
 *   ESRCH   no such domain
 *   EDQUOT  too many ranges of the domain are tracked so
 */
int xenvram_track_dirty(struct xenvram *conn, uint32_t domid, uint64_t first_gfn, uint64_t nr_pages,
	uint64_t since, uint64_t *bitmap, struct xenvram_snapshot *ret_snapshot);

/*
 * Pins the memory type of nr_pages gfns of a domain from first_gfn on, populated or not. A guest's own choice
 * of memory type then has no effect there. A region's vram has a pin of its own, and cannot be pinned so.
 * Pins cannot overlap; the same range again gets the new type. A pin belongs to no connection: it lives until
 * xenvram_unpin_cacheattr(), or until its domain ends, also over restarts of the service. When the call
 * fails, the pins are what they were, unless the reason says that this is not certain.
 *   EINVAL  the range is empty, or ends above gfn 2^36; cache_attr is none; or a domain of a kind that has no device
 *           model (PV)
 *   ESRCH   no such domain
 *   EBUSY   it overlaps a region's vram, or a pin with other bounds, which the reason names; or that pin is
 *           being changed; or it overlaps a pin that was not set through this service; or a worker died that was
 *           asked, and the next one is refused, or the journal cannot be written, so that nobody knows what is
 *           pinned: set it again, or take it away
 *   EDQUOT  the domain has 64 pins, those of its regions among them; or another limit, which the reason names
 *   EPERM   the configuration lets no vram be there; or the hypervisor (4.21 and later) refuses this type for a
 *           domain without devices of its own
 */
int xenvram_pin_cacheattr(struct xenvram *conn, uint32_t domid, uint64_t first_gfn, uint64_t nr_pages,
	enum xenvram_cache_attr cache_attr);

/*
 * Takes away the pin that has exactly these bounds.
 *   EINVAL  the range is empty, or ends above gfn 2^36
 *   ENOENT  no pin has these bounds; the reason names the one, or the region, that overlaps them
 *   EBUSY   the pin is being changed; or a worker died that was asked, and the next one is refused, or
 *           the journal cannot be written: ask again, since until then it cannot be set either
 */
int xenvram_unpin_cacheattr(struct xenvram *conn, uint32_t domid, uint64_t first_gfn, uint64_t nr_pages);

struct xenvram_pin {
	uint64_t first_gfn;
	uint64_t nr_pages;
	enum xenvram_cache_attr cache_attr;
	uint64_t cookie; /* of the region that it belongs to; 0: none, xenvram_pin_cacheattr() has set it */
	uint32_t owner_uid; /* who set it, or created the region */
	bool settled; /* false: it is being set or taken away, or nobody knows what has become of that */
};

/*
 * Calls each() for every pin of the domain that was set through this service, by gfn, ascending; the
 * hypervisor has no way to ask it for others. A domain without any, or that does not exist, has none listed.
 * As xenvram_list_regions() otherwise.
 */
int xenvram_list_pins(struct xenvram *conn, uint32_t domid,
	int (*each)(const struct xenvram_pin *pin, void *data), void *data);

/* ---- views: what has changed, from shared memory, without a system call ---- */

/* Only what xenvram_view_changed() needs is seen here. */
struct xenvram_view {
	const uint64_t *generation;
};

#define XENVRAM_SUBSCRIBE_WAKE 1u /* with a descriptor to sleep on, see xenvram_view_wake_fd() */

/*
 * Has the region polled at least every period_us microseconds, 1,000 to 10,000,000, or 0 for the service's
 * own choice (33,000), and maps its log. The shortest period of all readers holds for all. End it with
 * xenvram_unsubscribe().
 *   EINVAL  cookie 0, a period out of range, or a flag that is none
 *   ENOENT  no such region
 *   EBUSY   it is being created or destroyed
 *   EAGAIN  its log is not there yet, soon after a restart of the whole service
 *   EDQUOT  too many subscriptions of the connection or the domain
 *   EMFILE  no descriptor is left for what the service sent; the connection is given up
 */
int xenvram_subscribe(struct xenvram *conn, uint64_t cookie, uint32_t period_us, uint32_t flags,
	struct xenvram_view **ret_view);

/*
 * The same for nr_pages pages from `first` on, 0 meaning all from there: one head of several in a region. The
 * view has no others, and changes elsewhere do not wake it. Also ERANGE: they are not all the region's.
 */
int xenvram_subscribe_pages(struct xenvram *conn, uint64_t cookie, uint64_t first, uint64_t nr_pages,
	uint32_t period_us, uint32_t flags, struct xenvram_view **ret_view);

/*
 * Ends the subscription, closes its wake descriptor, unmaps the log, and frees the view; the last three also
 * when it fails. conn is the connection that subscribed, or NULL if that is freed already. A NULL view is
 * allowed.
 */
int xenvram_unsubscribe(struct xenvram *conn, struct xenvram_view *view);

/* Has anything changed since? One load; equal generations mean that nothing has. */
static inline bool xenvram_view_changed(const struct xenvram_view *view, uint64_t cursor)
{
	return __atomic_load_n(view->generation, __ATOMIC_ACQUIRE) != cursor;
}

/*
 * Sets the bit of each of the n pages from `first` on that was dirtied after *cursor, counted from `first`,
 * clears the others, and moves *cursor on. Returns the number of set bits. Nothing but loads. A reader that
 * goes through a region in parts keeps a cursor for each part. -1 with ERANGE: the pages are not all the
 * view's.
 */
int xenvram_view_read(
	const struct xenvram_view *view, uint64_t *cursor, uint64_t first, uint64_t n, uint64_t *bitmap);

/*
 * Stores how often each of the n pages from `first` on was found dirty since the region was created; it stops
 * at UINT32_MAX. -1 with ERANGE: the pages are not all the view's.
 */
int xenvram_view_heat(const struct xenvram_view *view, uint64_t first, uint64_t n, uint32_t *heat);

enum xenvram_view_state {
	XENVRAM_VIEW_IDLE = 0,    /* not polled (yet): generations stand still */
	XENVRAM_VIEW_TRACKED = 1, /* polled every period_ns, or more often for readers of other regions */
	XENVRAM_VIEW_PARTIAL = 2, /* polled, but untracked_pages pages are always reported dirty */
	XENVRAM_VIEW_GONE = 3,    /* the region or its domain is gone: nothing will change any more */
};

struct xenvram_view_info {
	uint64_t cookie;
	uint64_t nr_pages;   /* of the region */
	uint64_t view_first; /* the view's own pages */
	uint64_t view_pages;
	enum xenvram_view_state state;
	uint64_t generation;
	uint64_t last_poll_ns;        /* CLOCK_MONOTONIC */
	uint64_t wanted_period_ns;    /* the shortest that a reader asks for */
	uint64_t period_ns;           /* that in effect */
	enum xenvram_stretch stretch; /* why it is longer */
	uint64_t polls;   /* of the hypervisor, since the region was created, for all readers together */
	uint64_t poll_ns; /* time spent in them, and in publishing what they found */
	uint64_t dirty_guest_pages; /* found dirty because the guest wrote them, summed over all polls */
	uint64_t dirty_device_model_pages; /* said to be written by xenvram_mark_dirty() */
	uint64_t dirty_forced_pages;       /* called dirty because what the guest wrote could not be told */
	uint64_t untracked_pages; /* beyond what one tracking call covers, or all, while that fails */
};

/* Loads the view's counters. Each is right; together they may be of neighbouring polls. */
void xenvram_view_info(const struct xenvram_view *view, struct xenvram_view_info *ret_info);

/*
 * The descriptor that polls readable when pages of the view have changed, at most once a period; -1 without
 * XENVRAM_SUBSCRIBE_WAKE. It is the view's: poll it, and empty it with xenvram_view_drain() before looking at
 * the view.
 */
int xenvram_view_wake_fd(const struct xenvram_view *view);

/*
 * Empties the wake descriptor. 1: it was readable; 0: it was not; -1 with EPIPE: the service has closed its
 * end, no wake-up will come any more (stop polling the descriptor: it stays readable); EBADF: there is none.
 */
int xenvram_view_drain(const struct xenvram_view *view);

/* ---- bitmaps, from views or snapshots: as runs, or as rectangles of a picture ---- */

/*
 * What follows computes and does nothing else: no allocation, no system call, no connection.
 *
 * Stores the first run of set bits at or after page `from` of a bitmap of n pages, as long as it is; false
 * when there is none. Bits beyond n are ignored. To go through all of them:
 *
 *     struct xenvram_run run = {0};
 *     while (xenvram_bitmap_next_run(bitmap, n, run.first + run.nr_pages, &run))
 *             ...
 */
bool xenvram_bitmap_next_run(const uint64_t *bitmap, uint64_t n, uint64_t from, struct xenvram_run *ret_run);

/* A picture in a region: rows of pixels, from top to bottom, each row from left to right. */
struct xenvram_picture {
	uint64_t offset; /* bytes from the region's first to the picture's */
	uint32_t stride; /* bytes from one row's first to the next row's */
	uint32_t width;  /* in pixels */
	uint32_t height;
	uint32_t bytes_per_pixel; /* 1 to XENVRAM_MAX_BYTES_PER_PIXEL */
};

/* In pixels, from the picture's upper left corner; never empty, never beyond the picture. */
struct xenvram_rect {
	uint32_t x;
	uint32_t y;
	uint32_t width;
	uint32_t height;
};

/*
 * Stores which parts of a picture have changed, and returns in how many rectangles; 0 when nothing has. The
 * bitmap is of the region's n pages from `first` on, as xenvram_view_read() fills it, and must have every
 * page of the picture; that of a snapshot begins at 0 and has its nr_pages.
 *
 * The rectangles do not overlap, and together they are exactly the pixels of which any byte is on a page
 * whose bit is set. A run of pages that begins and ends within rows gives three: the end of a row, whole
 * rows, the beginning of a row. Rectangles of the same columns in adjoining rows become one where that takes
 * no long search. Their order is not defined.
 *
 * Any max_rects is enough: when more would be needed, the last one stored is the bounding box of all that no
 * other holds. Then it may have pixels that did not change, and overlap the others. *ret_coarse says whether
 * that is so; ret_coarse may be NULL. With max_rects 1 it is the bounding box of all that has changed.
 *
 *   EINVAL  max_rects is 0; so is a measure of the picture; a row is longer than the stride; a pixel has more
 *           than XENVRAM_MAX_BYTES_PER_PIXEL
 *   ERANGE  the pages lie in no region, or the picture is not all in them. What the stride has beyond the
 *           last row's last pixel need not be.
 */
int xenvram_bitmap_rects(const uint64_t *bitmap, uint64_t first, uint64_t n,
	const struct xenvram_picture *picture, struct xenvram_rect *rects, uint32_t max_rects,
	bool *ret_coarse);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
