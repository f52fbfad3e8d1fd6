/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/p2m.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define ROOT 0u

static uint32_t index_at(uint64_t gfn, unsigned int level)
{
	return (gfn >> (level * P2M_BITS)) % P2M_ENTRIES;
}

void p2m_init(struct p2m *p2m)
{
	p2m->max_gfn = 0;
	memset(p2m->used, 0, sizeof(p2m->used));
	memset(p2m->tables[ROOT], 0, sizeof(p2m->tables[ROOT]));
	p2m->used[ROOT] = 1;
}

uint32_t p2m_get(const struct p2m *p2m, uint64_t gfn)
{
	uint32_t table = ROOT;
	for (unsigned int level = P2M_LEVELS - 1; level > 0; level--) {
		table = p2m->tables[table][index_at(gfn, level)];
		if (!table)
			return 0;
	}
	return p2m->tables[table][index_at(gfn, 0)];
}

static uint32_t table_new(struct p2m *p2m)
{
	uint8_t *free_table = memchr(p2m->used, 0, sizeof(p2m->used));
	if (!free_table)
		return 0;
	uint32_t table = free_table - p2m->used;
	memset(p2m->tables[table], 0, sizeof(p2m->tables[table]));
	*free_table = 1;
	return table;
}

/* Unlinks empty tables; is anything left below this one? */
static bool collect_below(struct p2m *p2m, uint32_t table, unsigned int level, uint8_t *reachable)
{
	bool live = false;
	for (unsigned int i = 0; i < P2M_ENTRIES; i++) {
		uint32_t *entry = &p2m->tables[table][i];
		if (!*entry)
			continue;
		if (level > 0 && !collect_below(p2m, *entry, level - 1, reachable))
			*entry = 0;
		else
			live = true;
	}
	reachable[table] = live;
	return live;
}

static void collect(struct p2m *p2m)
{
	uint8_t reachable[P2M_MAX_TABLES] = {0};
	collect_below(p2m, ROOT, P2M_LEVELS - 1, reachable);
	reachable[ROOT] = 1;
	memcpy(p2m->used, reachable, sizeof(p2m->used));
}

static uint32_t *entry_try_new(struct p2m *p2m, uint64_t gfn)
{
	uint32_t table = ROOT;
	for (unsigned int level = P2M_LEVELS - 1; level > 0; level--) {
		uint32_t *entry = &p2m->tables[table][index_at(gfn, level)];
		if (!*entry)
			*entry = table_new(p2m);
		if (!*entry)
			return NULL;
		table = *entry;
	}
	return &p2m->tables[table][index_at(gfn, 0)];
}

static uint32_t *entry_new(struct p2m *p2m, uint64_t gfn)
{
	uint32_t *entry = entry_try_new(p2m, gfn);
	if (!entry) {
		collect(p2m);
		entry = entry_try_new(p2m, gfn);
	}
	return entry;
}

int p2m_reserve(struct p2m *p2m, uint64_t gfn)
{
	return entry_new(p2m, gfn) ? 0 : -ENOMEM;
}

int p2m_set(struct p2m *p2m, uint64_t gfn, uint32_t frame)
{
	uint32_t *entry = entry_new(p2m, gfn);
	if (!entry)
		return -ENOMEM;
	*entry = frame;
	if (gfn > p2m->max_gfn)
		p2m->max_gfn = gfn;
	return 0;
}

void p2m_clear(struct p2m *p2m, uint64_t gfn)
{
	if (p2m_get(p2m, gfn))
		*entry_new(p2m, gfn) = 0;
}

static bool next_below(const struct p2m *p2m, uint32_t table, unsigned int level, uint64_t base,
	uint64_t from, uint64_t *ret_gfn)
{
	unsigned int shift = level * P2M_BITS;
	for (uint64_t i = from > base ? (from - base) >> shift : 0; i < P2M_ENTRIES; i++) {
		uint32_t entry = p2m->tables[table][i];
		uint64_t gfn = base + (i << shift);
		if (!entry)
			continue;
		if (level > 0 && !next_below(p2m, entry, level - 1, gfn, from, ret_gfn))
			continue;
		if (level == 0)
			*ret_gfn = gfn;
		return true;
	}
	return false;
}

bool p2m_next(const struct p2m *p2m, uint64_t from, uint64_t *ret_gfn)
{
	return next_below(p2m, ROOT, P2M_LEVELS - 1, 0, from, ret_gfn);
}
