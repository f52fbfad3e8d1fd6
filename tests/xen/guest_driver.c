// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guest_driver.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>

#define PATIENCE_MS 60000
#define POLL_NS     200000

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum wait_for { EXACTLY, AT_LEAST };

/* Waits for a word that the guest writes. */
static int wait_until(const volatile uint32_t *word, enum wait_for what, uint32_t value)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	int64_t deadline_ms = now_ms() + PATIENCE_MS;

	for (;;) {
		uint32_t ahead = __atomic_load_n(word, __ATOMIC_ACQUIRE) - value;

		if (ahead == 0 || (what == AT_LEAST && ahead <= INT32_MAX))
			return 0;
		if (now_ms() > deadline_ms)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
}

static int map_pages(
	struct guest_driver *driver, uint32_t domid, uint32_t first_gfn, size_t count, void **ret_words)
{
	xen_pfn_t gfns[GUEST_DRAWN_PAGES];
	void *words;

	for (size_t i = 0; i < count; i++)
		gfns[i] = first_gfn + i;
	words = xenforeignmemory_map(driver->memory, domid, PROT_READ | PROT_WRITE, count, gfns, NULL);
	if (!words)
		return -errno;
	*ret_words = words;
	return 0;
}

int guest_driver_init(struct guest_driver *driver, xenforeignmemory_handle *memory, uint32_t domid)
{
	void *ctl = NULL;
	void *drawn = NULL;
	int r;

	*driver = (struct guest_driver){.memory = memory};
	r = map_pages(driver, domid, GUEST_CTL_GFN, 1, &ctl);
	if (r < 0)
		return r;
	driver->ctl = ctl;

	r = map_pages(driver, domid, GUEST_DRAWN_GFN, GUEST_DRAWN_PAGES, &drawn);
	if (r < 0)
		goto fail;
	driver->drawn = drawn;

	r = wait_until(&driver->ctl->magic, EXACTLY, GUEST_CTL_MAGIC);
	if (r < 0)
		goto fail;
	return 0;

fail:
	guest_driver_deinit(driver);
	return r;
}

void guest_driver_deinit(struct guest_driver *driver)
{
	if (driver->ctl)
		xenforeignmemory_unmap(driver->memory, (void *)driver->ctl, 1);
	if (driver->drawn)
		xenforeignmemory_unmap(driver->memory, (void *)driver->drawn, GUEST_DRAWN_PAGES);
	*driver = (struct guest_driver){0};
}

static int set_mode(struct guest_driver *driver, enum guest_mode mode)
{
	__atomic_store_n(&driver->ctl->mode, mode, __ATOMIC_RELEASE);
	return wait_until(&driver->ctl->mode_now, EXACTLY, mode);
}

int guest_driver_idle(struct guest_driver *driver)
{
	return set_mode(driver, GUEST_IDLE);
}

/* Describes the picture, while the guest is idle. The counts of another picture mean nothing for it. */
static int set_picture(struct guest_driver *driver, uint32_t base_gfn, uint32_t nr_pages, uint32_t pace)
{
	int r = guest_driver_idle(driver);

	if (r < 0)
		return r;
	if (driver->ctl->base_gfn != base_gfn || driver->ctl->nr_pages != nr_pages) {
		for (uint32_t i = 0; i < GUEST_MAX_DRAWN; i++)
			driver->drawn[i] = 0;
	}
	driver->ctl->base_gfn = base_gfn;
	driver->ctl->nr_pages = nr_pages;
	driver->ctl->pace = pace;
	driver->ctl->cursor = 0;
	return 0;
}

int guest_driver_paint(
	struct guest_driver *driver, uint32_t base_gfn, uint32_t nr_pages, uint32_t band_pages, uint32_t pace)
{
	int r = set_picture(driver, base_gfn, nr_pages, pace);

	if (r < 0)
		return r;
	driver->ctl->band_pages = band_pages;
	return set_mode(driver, GUEST_PAINT);
}

int guest_driver_sweep(struct guest_driver *driver, uint32_t base_gfn, uint32_t nr_pages, uint32_t pace)
{
	int r = set_picture(driver, base_gfn, nr_pages, pace);

	return r < 0 ? r : set_mode(driver, GUEST_SWEEP);
}

int guest_driver_wait_frames(struct guest_driver *driver, uint32_t nr_frames)
{
	return wait_until(&driver->ctl->frames, AT_LEAST, driver->ctl->frames + nr_frames);
}

/* Has the guest act on a list of pages, and waits until it has. */
static int request(
	struct guest_driver *driver, enum guest_op op, const uint32_t *gfns, uint32_t count, uint32_t value)
{
	volatile struct guest_ctl *ctl = driver->ctl;
	uint32_t serial = ctl->request + 1;

	if (count > GUEST_MAX_LIST)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++)
		ctl->list[i] = gfns[i];
	ctl->op = op;
	ctl->count = count;
	ctl->value = value;
	__atomic_store_n(&ctl->request, serial, __ATOMIC_RELEASE);
	return wait_until(&ctl->done, EXACTLY, serial);
}

int guest_driver_write(struct guest_driver *driver, const uint32_t *gfns, uint32_t count, uint32_t value)
{
	return request(driver, GUEST_OP_WRITE, gfns, count, value);
}

int guest_driver_read(struct guest_driver *driver, const uint32_t *gfns, uint32_t count, uint32_t *ret_words)
{
	int r = request(driver, GUEST_OP_READ, gfns, count, 0);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < count; i++)
		ret_words[i] = driver->ctl->out[i];
	return 0;
}
