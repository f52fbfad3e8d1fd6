/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/picture.h"

#include <stdlib.h>

#define WARMTH_DIRTY 255u

int picture_init(struct picture *picture, uint64_t nr_pages)
{
	picture->nr_pages = nr_pages;
	picture->warmth = calloc(nr_pages, sizeof(*picture->warmth));
	return picture->warmth ? 0 : -1;
}

void picture_deinit(struct picture *picture)
{
	free(picture->warmth);
	picture->warmth = NULL;
}

void picture_update(struct picture *picture, const uint64_t *bitmap)
{
	for (uint64_t i = 0; i < picture->nr_pages; i++) {
		if (bitmap[i / 64] >> (i % 64) & 1)
			picture->warmth[i] = WARMTH_DIRTY;
		else
			picture->warmth[i] = picture->warmth[i] * 7 / 8;
	}
}

uint64_t picture_pages_per_cell(const struct picture *picture, unsigned int cols, unsigned int rows)
{
	uint64_t cells = (uint64_t)cols * rows;
	return (picture->nr_pages + cells - 1) / cells;
}

static char glyph(uint8_t warmth)
{
	if (warmth == WARMTH_DIRTY)
		return '#';
	if (warmth >= 128)
		return '*';
	if (warmth >= 48)
		return '+';
	return warmth >= 8 ? '-' : '.';
}

void picture_row(
	const struct picture *picture, uint64_t first, uint64_t pages_per_cell, unsigned int cols, char *text)
{
	for (unsigned int col = 0; col < cols && first < picture->nr_pages; col++) {
		uint64_t end = first + pages_per_cell;
		uint8_t warmest = 0;
		for (; first < end && first < picture->nr_pages; first++) {
			if (picture->warmth[first] > warmest)
				warmest = picture->warmth[first];
		}
		*text++ = glyph(warmest);
	}
	*text = '\0';
}
