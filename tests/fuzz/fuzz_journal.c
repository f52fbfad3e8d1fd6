/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A slot of the journal, as a broken or a newer daemon may have left it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/broker/region_journal.h"
#include "daemon/broker/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing may be asked of the hypervisor that a request could not ask for. */
static bool is_safe(const struct region_record *record)
{
	return record->nr_pages > 0 && record->nr_pages <= MAX_REGION_PAGES &&
	       extents_are_good(&record->live, record->nr_pages) && record->pinned >> record->live.n == 0 &&
	       record->frontier + record->unsettled <= record->nr_pages && record->old_vram_gfn < MAX_GFN &&
	       record->old_vram_gfn + record->nr_pages <= MAX_GFN &&
	       record->vram_gfn + record->nr_pages <= MAX_GFN &&
	       record->backing_gfn + record->nr_pages <= MAX_GFN && record->vram_gfn < MAX_GFN &&
	       record->backing_gfn < MAX_GFN && record->domid <= MAX_DOMID &&
	       memchr(record->uuid, '\0', sizeof(record->uuid));
}

/* Whatever was being done to it comes to an end, and no step goes beyond the region. */
static void carry_out(struct region_record *record)
{
	struct task_answer answer = {.warning = "", .pinned = UINT32_MAX};
	struct task_step step;
	struct task task;

	task_begin_inherited(&task, record);
	for (unsigned int n = 0; task.stage != TASK_IDLE; n++) {
		task_next(&task, record, &step);
		if (step.stage == TASK_END)
			break;
		if (n > MAX_REGION_PAGES / CHUNK_PAGES + 2 * MAX_REGION_EXTENTS + 4 ||
			extent_end(task.chunk) > record->nr_pages || step.nr_pages > CHUNK_PAGES)
			abort();
		task_answered(&task, record, &answer);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t slot[JOURNAL_SLOT_BYTES] = {0}, again[JOURNAL_SLOT_BYTES];
	struct region_record record, decoded;

	if (size > 0)
		memcpy(slot, data, size < sizeof(slot) ? size : sizeof(slot));
	if (region_journal_decode(slot, &record) != 1)
		return 0;
	if (!is_safe(&record))
		abort();
	region_journal_encode(&record, again);
	if (region_journal_decode(again, &decoded) != 1 || decoded.cookie != record.cookie ||
		decoded.vram_gfn != record.vram_gfn || decoded.state != record.state ||
		decoded.pinned != record.pinned || strcmp(decoded.uuid, record.uuid) != 0)
		abort();
	carry_out(&record);
	return 0;
}
