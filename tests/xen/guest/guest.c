// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The PVH guest that tests drive through guest_ctl.h: it draws a picture, or writes and reads single pages on
 * request, and counts what it has written. Freestanding, 32-bit, without paging, so that a pointer is a guest
 * physical address. It never halts: nothing would wake it.
 */
#include <stdbool.h>

#include "../../guest_ctl.h"

#define PAGE_SHIFT     12
#define WORDS_PER_PAGE 1024u
#define XEN_DEBUG_PORT 0xe9

_Noreturn void guest_main(void);

static struct guest_ctl *const ctl = (struct guest_ctl *)(GUEST_CTL_GFN << PAGE_SHIFT);
static volatile uint32_t *const drawn = (volatile uint32_t *)(GUEST_DRAWN_GFN << PAGE_SHIFT);

static volatile uint32_t *page_words(uint32_t gfn)
{
	return (volatile uint32_t *)(gfn << PAGE_SHIFT);
}

/* A line on the hypervisor's console. */
static void print(const char *text)
{
	for (; *text; text++)
		__asm__ volatile("outb %0, %1" : : "a"(*text), "Nd"((uint16_t)XEN_DEBUG_PORT));
}

/* Counts a page as written, if it is one of the picture's. To be called when the words are there. */
static void count_drawn(uint32_t gfn)
{
	uint32_t index = gfn - ctl->base_gfn;

	if (index < ctl->nr_pages && index < GUEST_MAX_DRAWN)
		drawn[index]++;
}

static void answer_request(void)
{
	uint32_t request = ctl->request;
	uint32_t count = ctl->count < GUEST_MAX_LIST ? ctl->count : GUEST_MAX_LIST;

	if (request == ctl->done)
		return;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t gfn = ctl->list[i];

		if (ctl->op == GUEST_OP_WRITE) {
			*page_words(gfn) = ctl->value + i;
			count_drawn(gfn);
		} else {
			ctl->out[i] = *page_words(gfn);
		}
	}
	ctl->done = request;
}

static void wait_rounds(uint32_t rounds)
{
	while (rounds--)
		__asm__ volatile("");
}

/* Fills a whole page, each word with a value that none had before. */
static void paint_page(uint32_t gfn)
{
	static uint32_t fresh_word;
	volatile uint32_t *words = page_words(gfn);

	for (uint32_t i = 0; i < WORDS_PER_PAGE; i++)
		words[i] = ++fresh_word;
	count_drawn(gfn);
}

/* One word is enough to make a page dirty; another one each time, so that none stays the same for long. */
static void sweep_page(uint32_t gfn)
{
	static uint32_t step;

	page_words(gfn)[step++ % WORDS_PER_PAGE]++;
	count_drawn(gfn);
}

/* Draws one page of the picture, the one at the cursor. A frame is a band, or a whole sweep. */
static void draw_next_page(uint32_t mode)
{
	static uint32_t done_in_frame;
	uint32_t nr_pages = ctl->nr_pages;
	uint32_t cursor = ctl->cursor < nr_pages ? ctl->cursor : 0;
	uint32_t next = cursor + 1 < nr_pages ? cursor + 1 : 0;
	bool finished;

	if (mode == GUEST_PAINT) {
		paint_page(ctl->base_gfn + cursor);
		finished = ++done_in_frame >= ctl->band_pages;
	} else {
		sweep_page(ctl->base_gfn + cursor);
		finished = next == 0;
	}
	ctl->cursor = next;
	if (finished) {
		done_in_frame = 0;
		ctl->frames++;
	}
	wait_rounds(ctl->pace);
}

void guest_main(void)
{
	for (uint32_t i = 0; i < GUEST_MAX_DRAWN; i++)
		drawn[i] = 0;
	for (uint32_t i = 0; i < WORDS_PER_PAGE; i++)
		page_words(GUEST_CTL_GFN)[i] = 0;
	ctl->magic = GUEST_CTL_MAGIC;
	print("guest: ready\n");

	for (;;) {
		uint32_t mode = ctl->mode;

		ctl->beat++;
		ctl->mode_now = mode;
		answer_request();
		if (mode != GUEST_IDLE && ctl->nr_pages != 0)
			draw_next_page(mode);
	}
}
