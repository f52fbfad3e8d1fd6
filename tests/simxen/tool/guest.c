/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A simulated guest: does what guest_ctl.h says, through the p2m of its domain. It holds the domain's lock
 * while it touches memory, so a hypercall pauses it as a real one does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/guest_ctl.h"
#include "tests/simxen/domain.h"
#include "tests/simxen/tool/commands.h"

#define WORDS_PER_PAGE    (HOST_PAGE_BYTES / 4)
#define HOLE_WORD         UINT32_MAX
#define NS_PER_S          1000000000ull
#define SHORTEST_SLEEP_NS 50000u
#define IDLE_MIN_NS       100000u
#define IDLE_MAX_NS       5000000u

struct guest {
	struct host host;
	uint32_t domid;
	uint64_t serial; /* of the domain: another one with the same domid is not ours */
	uint8_t *frames;
	uint32_t fresh_word;    /* the last that painting wrote */
	uint32_t sweep_step;    /* words that sweeping wrote */
	uint32_t done_in_frame; /* pages of the current band */
	uint32_t idle_ns;       /* how long the next idle sleep is */
};

/* The page, or NULL: a hole. */
static uint32_t *page_find(const struct guest *guest, const struct domain *domain, uint64_t gfn)
{
	uint32_t frame = p2m_get(&domain->p2m, gfn);
	return frame ? (uint32_t *)(guest->frames + (size_t)frame * HOST_PAGE_BYTES) : NULL;
}

static struct guest_ctl *find_ctl(const struct guest *guest, const struct domain *domain)
{
	return (struct guest_ctl *)page_find(guest, domain, GUEST_CTL_GFN);
}

/* dom0 reads and writes the same pages at any time. */
static uint32_t load(const volatile uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(volatile uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* The page first, the count afterwards. */
static void count_drawn(struct guest *guest, struct domain *domain, const struct guest_ctl *ctl, uint32_t gfn)
{
	uint32_t index = gfn - load(&ctl->base_gfn);
	if (index >= load(&ctl->nr_pages) || index >= GUEST_MAX_DRAWN)
		return;
	uint32_t drawn_gfn = GUEST_DRAWN_GFN + index / WORDS_PER_PAGE;
	uint32_t *counts = page_find(guest, domain, drawn_gfn);
	if (counts) {
		store(&counts[index % WORDS_PER_PAGE], load(&counts[index % WORDS_PER_PAGE]) + 1);
		track_mark(&domain->tracking, drawn_gfn);
	}
}

static void write_word(
	struct guest *guest, struct domain *domain, const struct guest_ctl *ctl, uint32_t gfn, uint32_t value)
{
	uint32_t *words = page_find(guest, domain, gfn);
	if (words) {
		store(words, value);
		track_mark(&domain->tracking, gfn);
	}
	count_drawn(guest, domain, ctl, gfn);
}

static void answer_request(struct guest *guest, struct domain *domain, struct guest_ctl *ctl)
{
	uint32_t request = load(&ctl->request);
	uint32_t count = load(&ctl->count);

	if (request == load(&ctl->done))
		return;
	for (uint32_t i = 0; i < count && i < GUEST_MAX_LIST; i++) {
		uint32_t gfn = load(&ctl->list[i]);
		if (load(&ctl->op) == GUEST_OP_WRITE) {
			write_word(guest, domain, ctl, gfn, load(&ctl->value) + i);
		} else {
			const uint32_t *words = page_find(guest, domain, gfn);
			store(&ctl->out[i], words ? load(words) : HOLE_WORD);
		}
	}
	store(&ctl->done, request);
	guest->idle_ns = IDLE_MIN_NS;
}

static void paint_page(struct guest *guest, struct domain *domain, uint32_t gfn)
{
	uint32_t *words = page_find(guest, domain, gfn);
	if (!words)
		return;
	for (uint32_t i = 0; i < WORDS_PER_PAGE; i++)
		store(&words[i], ++guest->fresh_word);
	track_mark(&domain->tracking, gfn);
}

static void sweep_page(struct guest *guest, struct domain *domain, uint32_t gfn)
{
	uint32_t *words = page_find(guest, domain, gfn);
	if (!words)
		return;
	uint32_t *word = &words[guest->sweep_step++ % WORDS_PER_PAGE];
	store(word, load(word) + 1);
	track_mark(&domain->tracking, gfn);
}

/* Draws the page at the cursor. A frame is a band, or a whole sweep. */
static void draw_next_page(struct guest *guest, struct domain *domain, struct guest_ctl *ctl, uint32_t mode)
{
	uint32_t nr_pages = load(&ctl->nr_pages);
	uint32_t cursor = load(&ctl->cursor);
	if (cursor >= nr_pages)
		cursor = 0;
	uint32_t next = cursor + 1 < nr_pages ? cursor + 1 : 0;
	uint32_t gfn = load(&ctl->base_gfn) + cursor;
	bool finished;

	if (mode == GUEST_PAINT) {
		paint_page(guest, domain, gfn);
		finished = ++guest->done_in_frame >= load(&ctl->band_pages);
	} else {
		sweep_page(guest, domain, gfn);
		finished = next == 0;
	}
	count_drawn(guest, domain, ctl, gfn);
	store(&ctl->cursor, next);
	if (finished) {
		guest->done_in_frame = 0;
		store(&ctl->frames, load(&ctl->frames) + 1);
	}
}

static void sleep_ns(uint64_t ns)
{
	struct timespec time = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
	nanosleep(&time, NULL);
}

/* A round of the real guest's busy loop is about a nanosecond. */
static void pace(uint32_t rounds)
{
	if (rounds >= SHORTEST_SLEEP_NS) {
		sleep_ns(rounds);
		return;
	}
	while (rounds--)
		__asm__ volatile("");
}

/* One turn of the guest's loop. false: the domain is gone. */
static bool guest_step(struct guest *guest)
{
	struct domain *domain;
	uint32_t rounds = 0;
	bool drawing = false;

	if (domain_find(&guest->host, guest->domid, &domain) < 0)
		return false;
	if (domain->state != DOMAIN_ALIVE || domain->serial != guest->serial) {
		domain_unlock(domain);
		return false;
	}
	struct guest_ctl *ctl = find_ctl(guest, domain);
	if (ctl) {
		uint32_t mode = load(&ctl->mode);
		store(&ctl->beat, load(&ctl->beat) + 1);
		store(&ctl->mode_now, mode);
		answer_request(guest, domain, ctl);
		drawing = mode != GUEST_IDLE && load(&ctl->nr_pages) > 0;
		if (drawing)
			draw_next_page(guest, domain, ctl, mode);
		rounds = load(&ctl->pace);
		track_mark(&domain->tracking, GUEST_CTL_GFN);
	}
	domain_unlock(domain);

	if (drawing) {
		guest->idle_ns = IDLE_MIN_NS;
		pace(rounds);
	} else {
		sleep_ns(guest->idle_ns);
		guest->idle_ns = guest->idle_ns * 2 < IDLE_MAX_NS ? guest->idle_ns * 2 : IDLE_MAX_NS;
	}
	return true;
}

static int guest_boot(struct guest *guest)
{
	struct domain *domain;

	size_t bytes = (size_t)guest->host.file->settings.n_frames * HOST_PAGE_BYTES;
	void *frames = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, guest->host.fd,
		guest->host.file->layout.frames_offset);
	if (frames == MAP_FAILED)
		return -errno;
	guest->frames = frames;

	int result = domain_find(&guest->host, guest->domid, &domain);
	if (result < 0)
		return result;
	guest->serial = domain->serial;
	struct guest_ctl *ctl = find_ctl(guest, domain);
	if (ctl && page_find(guest, domain, GUEST_DRAWN_GFN + GUEST_DRAWN_PAGES - 1)) {
		memset(ctl, 0, HOST_PAGE_BYTES);
		for (uint32_t i = 0; i < GUEST_DRAWN_PAGES; i++)
			memset(page_find(guest, domain, GUEST_DRAWN_GFN + i), 0, HOST_PAGE_BYTES);
		store(&ctl->magic, GUEST_CTL_MAGIC);
	} else {
		result = -ENOMEM;
	}
	domain_unlock(domain);
	return result;
}

int command_guest(int argc, char **argv)
{
	struct guest guest = {.idle_ns = IDLE_MIN_NS};

	if (argc != 2)
		usage();
	guest.domid = parse_number(argv[1], HOST_MAX_DOMID - 1);
	open_host(&guest.host);
	int result = guest_boot(&guest);
	if (result < 0)
		return fail("the guest cannot start", result);
	while (guest_step(&guest))
		;
	munmap(guest.frames, (size_t)guest.host.file->settings.n_frames * HOST_PAGE_BYTES);
	host_close(&guest.host);
	return EXIT_SUCCESS;
}
