/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenvram-demo [--disturbed] DOMID SOCKET SECONDS [COMMAND...]: the job of xenvram on one guest, on simulated
 * and on real Xen alike, checked page by page. COMMAND, if given, runs with the region's cookie as its last
 * argument while the guest paints: the live view. --disturbed: somebody kills parts of the service meanwhile,
 * so that pages may be reported without cause, but still none may be lost.
 *
 * Exits with 0 only if all of this was so:
 *   - each of two readers with cursors of their own saw exactly the pages that the guest says it drew on;
 *   - both were served by the same polls of the hypervisor;
 *   - after the region is destroyed every page is back where it was, with its contents.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xenvram.h>

#include "tests/xen/guest_driver.h"
#include "tests/xen/guest_memory.h"

/* 16 MiB of the test guest's memory, and a hole where a graphics card's framebuffer would be. */
#define BACKING_GFN 0x1000u
#define VRAM_GFN    0xf1000u
#define NR_PAGES    4096u

/* The picture is a part of the region, so that there are pages which must stay clean. */
#define PICTURE_PAGES 3072u
#define BAND_PAGES    48u
#define PACE          200000u

#define SCATTERED_PAGES  100u /* written in each of two goes */
#define SCATTERED_FIRST  1024u
#define SCATTERED_STEP   5u
#define SCATTERED_SECOND 700u /* how far the second go is from the first */

#define WORDS XENVRAM_BITMAP_WORDS(NR_PAGES)

struct reader {
	const char *name;
	struct xenvram *conn;
	struct xenvram_view *view;
	uint64_t cursor;
	uint64_t seen[WORDS]; /* the union of all that it read since it began */
	unsigned int n_reads;
};

static bool disturbed;

static void need(bool yes, const char *what)
{
	if (!yes)
		errx(1, "WRONG: %s", what);
}

static void need_guest(int result, const char *what)
{
	if (result < 0)
		errx(1, "the guest does not %s: %s", what, strerror(-result));
}

static void fail_call(struct xenvram *conn, const char *what)
{
	errx(1, "%s: %s (%s)", what, xenvram_error(conn), strerror(errno));
}

static struct xenvram *connect_to(const char *socket_path)
{
	struct xenvram *conn = xenvram_new("xenvram-demo");
	if (!conn)
		err(1, "xenvram_new");
	if (xenvram_connect(conn, socket_path) < 0)
		fail_call(conn, "connect");
	return conn;
}

/* ---- readers ---- */

static void reader_init(
	struct reader *reader, const char *name, const char *socket_path, uint64_t cookie, uint32_t period_us)
{
	*reader = (struct reader){.name = name, .conn = connect_to(socket_path)};
	if (xenvram_subscribe(reader->conn, cookie, period_us, XENVRAM_SUBSCRIBE_WAKE, &reader->view) < 0)
		fail_call(reader->conn, "subscribe");
}

static void reader_read(struct reader *reader)
{
	uint64_t bitmap[WORDS];

	xenvram_view_drain(reader->view);
	reader->n_reads++;
	if (!xenvram_view_changed(reader->view, reader->cursor))
		return;
	if (xenvram_view_read(reader->view, &reader->cursor, 0, NR_PAGES, bitmap) < 0)
		err(1, "reader %s", reader->name);
	for (unsigned int i = 0; i < WORDS; i++)
		reader->seen[i] |= bitmap[i];
}

static void reader_deinit(struct reader *reader)
{
	if (xenvram_unsubscribe(reader->conn, reader->view) < 0)
		fail_call(reader->conn, "unsubscribe");
	xenvram_free(reader->conn);
}

/* Asks the hypervisor now, so that all that was drawn up to here is in the log. */
static void sync_log(struct xenvram *conn, uint64_t cookie)
{
	static uint64_t bitmap[WORDS];
	struct xenvram_snapshot snapshot;
	while (xenvram_snapshot(conn, cookie, 0, XENVRAM_SNAPSHOT_SYNC, bitmap, NR_PAGES, &snapshot) < 0) {
		if (errno != EAGAIN || !disturbed)
			fail_call(conn, "snapshot");
	}
}

/* From here on a reader's union starts anew: what went before, such as "all dirty at first", is not in it. */
static void start_anew(struct reader *reader)
{
	reader_read(reader);
	memset(reader->seen, 0, sizeof(reader->seen));
	reader->n_reads = 0;
}

/* ---- what the guest says ---- */

/* The counts are kept for the picture, from its first page on, and stay 0 beyond it. */
static void remember_counts(const struct guest_driver *guest, uint32_t counts[NR_PAGES])
{
	for (unsigned int i = 0; i < NR_PAGES; i++)
		counts[i] = guest->drawn[i];
}

/* Compares what the reader saw with which counts have changed; returns how many have. */
static unsigned int compare(
	const struct reader *reader, const struct guest_driver *guest, const uint32_t before[NR_PAGES])
{
	unsigned int n_drawn = 0, n_lost = 0, n_extra = 0;

	for (unsigned int i = 0; i < NR_PAGES; i++) {
		bool drawn = guest->drawn[i] != before[i];
		bool seen = reader->seen[i / 64] >> (i % 64) & 1;
		n_drawn += drawn;
		n_lost += drawn && !seen;
		n_extra += seen && !drawn;
	}
	printf("  reader %s: %u pages drawn on, %u lost, %u reported without cause\n", reader->name, n_drawn,
		n_lost, n_extra);
	need(n_lost == 0 && (n_extra == 0 || disturbed), "a reader did not see exactly what the guest drew");
	return n_drawn;
}

/* ---- the live view ---- */

static pid_t start_live_view(char **command, int n_words, uint64_t cookie)
{
	char cookie_text[32];
	char *arguments[32] = {0};

	if (n_words == 0)
		return 0;
	if (n_words > 30)
		errx(2, "the command is too long");
	snprintf(cookie_text, sizeof(cookie_text), "0x%" PRIx64, cookie);
	memcpy(arguments, command, n_words * sizeof(*command));
	arguments[n_words] = cookie_text;
	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		execv(arguments[0], arguments);
		err(127, "%s", arguments[0]);
	}
	return pid;
}

static void end_live_view(pid_t pid)
{
	int status;
	if (pid == 0)
		return;
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	need(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the live view ended with an error");
}

/* Follows with both readers, each at its own pace, until the time is up. */
static void follow(struct reader *fast, struct reader *slow, double seconds)
{
	struct timespec begin, now;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int round = 1;; round++) {
		struct pollfd wake = {.fd = xenvram_view_wake_fd(fast->view), .events = POLLIN};
		poll(&wake, 1, 100);
		reader_read(fast);
		if (round % 7 == 0)
			reader_read(slow);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - begin.tv_sec + (now.tv_nsec - begin.tv_nsec) / 1e9 > seconds)
			break;
	}
}

/* ---- the steps ---- */

static void paint(struct guest_driver *guest, struct reader *fast, struct reader *slow, uint64_t cookie,
	double seconds, char **command, int n_words)
{
	static uint32_t before[NR_PAGES];
	struct xenvram_view_info start, end;

	sync_log(fast->conn, cookie);
	start_anew(fast);
	start_anew(slow);
	remember_counts(guest, before);
	xenvram_view_info(fast->view, &start);

	printf("The guest paints for %.0f s; two readers follow.\n", seconds);
	need_guest(guest_driver_paint(guest, VRAM_GFN, PICTURE_PAGES, BAND_PAGES, PACE), "paint");
	pid_t view = start_live_view(command, n_words, cookie);
	follow(fast, slow, seconds);
	need_guest(guest_driver_idle(guest), "stop");
	end_live_view(view);

	sync_log(fast->conn, cookie);
	reader_read(fast);
	reader_read(slow);
	xenvram_view_info(fast->view, &end);
	printf("  %u frames drawn; %" PRIu64 " hypercalls served %u reads by 2 readers\n", guest->ctl->frames,
		end.polls - start.polls, fast->n_reads + slow->n_reads);
	need(compare(fast, guest, before) > 0, "the guest drew nothing");
	compare(slow, guest, before);
	need(end.polls > start.polls, "the hypervisor was never asked");
}

/* The slow reader stands still while the fast one catches up in between: the bitmap was read once only. */
static void draw_a_few(struct guest_driver *guest, struct reader *fast, struct reader *slow, uint64_t cookie)
{
	static uint32_t before[NR_PAGES];
	uint32_t gfns[SCATTERED_PAGES];

	start_anew(fast);
	start_anew(slow);
	remember_counts(guest, before);
	for (unsigned int half = 0; half < 2; half++) {
		for (unsigned int i = 0; i < SCATTERED_PAGES; i++)
			gfns[i] = VRAM_GFN + SCATTERED_FIRST + half * SCATTERED_SECOND + i * SCATTERED_STEP;
		need_guest(guest_driver_write(guest, gfns, SCATTERED_PAGES, 0xd0000000u), "write");
		sync_log(fast->conn, cookie);
		reader_read(fast);
	}
	reader_read(slow);
	printf("The guest writes %u scattered pages in two goes; one reader looks twice, the other once.\n",
		2 * SCATTERED_PAGES);
	need(compare(fast, guest, before) == 2 * SCATTERED_PAGES, "the guest drew other pages");
	need(compare(slow, guest, before) == 2 * SCATTERED_PAGES, "the guest drew other pages");
}

static unsigned int count_seen(const struct reader *reader)
{
	unsigned int n = 0;
	for (unsigned int i = 0; i < WORDS; i++)
		n += __builtin_popcountll(reader->seen[i]);
	return n;
}

/* What is written through a mapping in dom0 the hypervisor does not see; whoever wrote it says so. */
static void write_from_outside(struct reader *fast, struct reader *slow, uint64_t cookie,
	xenforeignmemory_handle *memory, uint32_t domid)
{
	static const struct xenvram_run written = {.first = SCATTERED_FIRST, .nr_pages = 3};

	start_anew(fast);
	start_anew(slow);
	for (unsigned int i = 0; i < written.nr_pages; i++)
		guest_memory_write(memory, domid, VRAM_GFN + written.first + i, 0xdeed0000u + i);
	sync_log(fast->conn, cookie);
	reader_read(fast);
	need(count_seen(fast) == 0 || disturbed, "the hypervisor saw what dom0 wrote");
	while (xenvram_mark_dirty(fast->conn, cookie, &written, 1) < 0) {
		if (errno != EAGAIN || !disturbed)
			fail_call(fast->conn, "mark_dirty");
	}
	reader_read(fast);
	reader_read(slow);
	for (unsigned int i = 0; i < written.nr_pages; i++) {
		unsigned int page = written.first + i;
		need(fast->seen[page / 64] & slow->seen[page / 64] & 1ull << page % 64,
			"a reader was not told what dom0 wrote");
	}
	need((count_seen(fast) == written.nr_pages && count_seen(slow) == written.nr_pages) || disturbed,
		"a reader was told more than what dom0 wrote");
	printf("dom0 writes %" PRIu64
	       " pages, which the hypervisor does not see, and says so: both readers know\n",
		written.nr_pages);
}

/* Disturbed, a request may have been carried out although nobody said so: asked again until the region is
 * gone. */
static void destroy(struct xenvram *conn, uint64_t cookie)
{
	bool again = false;
	while (xenvram_destroy_region(conn, cookie) < 0) {
		if (again && errno == ENOENT)
			return;
		if (!disturbed || (errno != EAGAIN && errno != EBUSY))
			fail_call(conn, "destroy");
		again = true;
		usleep(100000);
	}
}

/* Every page's first word says which page it is, so that a page in the wrong place is found out. */
static void label_pages(struct guest_driver *guest)
{
	uint32_t gfns[GUEST_MAX_LIST];
	for (unsigned int first = 0; first < NR_PAGES; first += GUEST_MAX_LIST) {
		for (unsigned int i = 0; i < GUEST_MAX_LIST; i++)
			gfns[i] = BACKING_GFN + first + i;
		need_guest(guest_driver_write(guest, gfns, GUEST_MAX_LIST, 0xa0000000u + first), "write");
	}
}

int main(int argc, char **argv)
{
	static struct guest_driver guest;
	static struct reader fast, slow;

	if (argc > 1 && strcmp(argv[1], "--disturbed") == 0) {
		disturbed = true;
		argc--;
		argv++;
	}
	if (argc < 4)
		errx(2, "usage: xenvram-demo [--disturbed] DOMID SOCKET SECONDS [COMMAND...]");
	uint32_t domid = strtoul(argv[1], NULL, 10);
	double seconds = strtod(argv[3], NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);

	xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
	if (!memory)
		err(1, "xenforeignmemory_open");
	need_guest(guest_driver_init(&guest, memory, domid), "run");
	need_guest(guest_driver_idle(&guest), "stop");
	label_pages(&guest);
	struct page_copies *at_first = guest_memory_copy(memory, domid, BACKING_GFN, NR_PAGES);

	struct xenvram *conn = connect_to(argv[2]);
	const struct xenvram_create create = {
		.domid = domid, .vram_gfn = VRAM_GFN, .backing_gfn = BACKING_GFN, .nr_pages = NR_PAGES};
	uint64_t cookie;
	if (xenvram_create_region(conn, &create, &cookie) < 0)
		fail_call(conn, "create");
	printf("Region 0x%" PRIx64 ": %u pages moved from gfn 0x%x to 0x%x\n", cookie, NR_PAGES, BACKING_GFN,
		VRAM_GFN);
	struct page_copies *in_place = guest_memory_copy(memory, domid, VRAM_GFN, NR_PAGES);
	need(guest_memory_compare(at_first, in_place) == 0, "pages changed on their way to vram");

	/* From here on the draw counts are those of this picture. */
	need_guest(guest_driver_paint(&guest, VRAM_GFN, PICTURE_PAGES, BAND_PAGES, PACE), "paint");
	need_guest(guest_driver_idle(&guest), "stop");
	reader_init(&fast, "A", argv[2], cookie, 16000);
	reader_init(&slow, "B", argv[2], cookie, 500000);
	paint(&guest, &fast, &slow, cookie, seconds, argv + 4, argc - 4);
	draw_a_few(&guest, &fast, &slow, cookie);
	write_from_outside(&fast, &slow, cookie, memory, domid);
	reader_deinit(&slow);
	reader_deinit(&fast);

	struct page_copies *at_last = guest_memory_copy(memory, domid, VRAM_GFN, NR_PAGES);
	destroy(conn, cookie);
	struct page_copies *back = guest_memory_copy(memory, domid, BACKING_GFN, NR_PAGES);
	need(guest_memory_compare(at_last, back) == 0, "pages changed on their way back");
	need(guest_memory_is_hole(memory, domid, VRAM_GFN, NR_PAGES), "pages were left behind at vram");
	printf("Region destroyed: all %u pages are back at gfn 0x%x with their contents\n", NR_PAGES,
		BACKING_GFN);

	xenvram_free(conn);
	free(at_first);
	free(in_place);
	free(at_last);
	free(back);
	guest_driver_deinit(&guest);
	xenforeignmemory_close(memory);
	return 0;
}
