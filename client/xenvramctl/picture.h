/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which pages are dirty now, and which were lately, as rows of characters. No I/O. */
#ifndef XENVRAM_CTL_PICTURE_H
#define XENVRAM_CTL_PICTURE_H

#include <stdint.h>

#define PICTURE_LEGEND "# dirty now  * + - lately  . not"

struct picture {
	uint64_t nr_pages;
	uint8_t *warmth; /* a page: 255 when it is dirty, cooling down frame by frame */
};

/* -1 with ENOMEM. */
int picture_init(struct picture *picture, uint64_t nr_pages);
void picture_deinit(struct picture *picture);

/* A frame: the pages of the bitmap are dirty, all others cool down. */
void picture_update(struct picture *picture, const uint64_t *bitmap);

/* How many pages a character stands for, so that it all fits into cols x rows; both at least 1. */
uint64_t picture_pages_per_cell(const struct picture *picture, unsigned int cols, unsigned int rows);

/*
 * Characters for the pages from `first` on, at most cols, ended by a zero: cols + 1 bytes. A character shows
 * the warmest of its pages.
 */
void picture_row(const struct picture *picture, uint64_t first, uint64_t pages_per_cell, unsigned int cols,
	char *text);

#endif
