/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The groups of rows. Each leaves the guest's memory, pins and tracking as they were, but for lost pages. */
#ifndef XENVRAM_TESTS_ROWS_H
#define XENVRAM_TESTS_ROWS_H

#include "harness.h"

void rows_track(struct world *world);
void rows_relocate(struct world *world);
void rows_pin(struct world *world);
void rows_modified(struct world *world);
void rows_restrict(struct world *world);
void rows_map(struct world *world);
void rows_death(struct world *world);

#endif
