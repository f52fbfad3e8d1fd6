/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The region log as a model for spin: does every reader that goes on reading hear of every page that the guest
 * dirtied? However often the guest writes, calls fail, workers die, and regions are watched or not: none of this
 * is limited, and all that can happen is searched. ./run also breaks the model, in each of the ways that an
 * #ifdef shows, and wants every one of them found out. wake.pml has the other half: do readers that sleep wake up?
 *
 * Model and code:
 *   guest      the guest's writes, and those of its device model, which the hypervisor does not see; hv_* is
 *              the hypervisor's bitmap, track_dirty_vram the call that clears it
 *   worker     each step is one on_timer() of tracker.c, or a part of it: read_bitmap; publish, which is
 *              tracked_region_publish with log_writer_mark_bits and log_writer_mark_all; commit, which is
 *              log_writer_commit; pass_over, which is tracked_region_publish for other pages only, and
 *              tracked_region_describe when none are wanted; stop_tracking, which is tracker_suspend; or a
 *              tracker_mark. start is what a new worker does in tracker_new and tracker_add. Whether somebody
 *              watches, and which pages, may change before each poll. A range that may not be changed yet is one
 *              that is cut.
 *   memory     lets readers see what the worker stored
 *   reader     region_log_scan, again and again. Reader 0 has a cursor from the beginning, or none, which is 0;
 *              reader 1 has none. How long either rests, before its first scan and between two, is open, and
 *              whether anybody watches meanwhile; in the end both scan once more, after a poll.
 *
 * Memory order. Stores to page[] and block[] are relaxed: each becomes visible on its own, in any order, those
 * of the next generation perhaps before the generation that is being published. That one's store is a release:
 * it becomes visible after all before it. The loads of a scan come in any order, but after the generation's
 * (acquire). Whoever copies a page that a scan reports may have done so right after the generation's load, so
 * only what was written until then counts as heard of. Not more than one generation is under way at a time:
 * readers would not see a difference, for to them all that is ahead of the generation is newer than any cursor.
 * Both see stores in one order, and their scans take turns: neither stores anything, so they could not tell.
 *
 * A crash comes between any two steps and drops any set of stores that are not visible yet; a real one drops
 * fewer. That is why reading the bits and making all stores can be one step. A guest's write and its bit are one
 * step: the hypervisor reads and clears while the guest is paused.
 *
 * A scan's loads change nothing, and its verdict on a page depends on that page and its block. So the model
 * follows one page and keeps that page's cells only. What the others do to the block and to the generation is
 * decided when the bits are read. Of the writes to the page, any one must be heard of.
 */

/* Pages, as a set. */
#define FOLLOWED 1
#define SIBLING  2 /* in the same block */
#define OTHER    4 /* in another block */
#define BLOCK    (FOLLOWED | SIBLING)
#define REGION   (BLOCK | OTHER)

/* Stores, as a set: those to page[] and block[] for the page that is followed. */
#define PAGE_STORE  1
#define BLOCK_STORE 2

#ifndef READERS
#define READERS 2
#endif

/* ---- the log, as readers see it; log_file_new fills it with 1 ---- */

byte generation = 1;
byte page = 1;
byte block = 1;

/* ---- stores that they do not see yet ---- */

byte issued = 1; /* the generation stored last */
bool publishing; /* it is not seen yet */
byte before;     /* stores of this value, made before it */
byte after;      /* stores of the next value */

/* ---- the hypervisor ---- */

byte hv_range; /* the pages it tracks */
bool hv_dirty; /* the page that is followed */

/* ---- readers, and what they must hear of ---- */

byte cursor[2];
byte loaded[2]; /* the generation that a scan has loaded */

mtype = { NOTHING, OWED, OWED_ANEW /* written after the generation was loaded */ };
mtype owed[2] = NOTHING;

bool written; /* what they must hear of */
bool told;    /* the worker, by the device model that wrote it */
bool settled; /* it is published */

/*
 * Generations are only compared, so other numbers in the same order do as well, and small ones are finitely
 * many: a page's or block's is raised to the next number that a reader may compare it with, and numbers that
 * are not used are closed up.
 */
#define COMPARED(n) ((n) == cursor[0] || (n) == cursor[1] || (n) == loaded[0] || (n) == loaded[1])

inline raise(number)
{
	do
	:: number < generation && !COMPARED(number) -> number++
	:: else -> break
	od
}

inline lower(number)
{
	number = number - (number > unused -> 1 : 0)
}

inline renumber()
{
	raise(page);
	raise(block);
	unused = generation;
	do
	:: unused > 1 ->
		unused--;
		if
		:: !COMPARED(unused) ->
			lower(generation);
			lower(issued);
			lower(page);
			lower(block);
			lower(cursor[0]);
			lower(cursor[1]);
			lower(loaded[0]);
			lower(loaded[1])
		:: else
		fi
	:: else -> break
	od;
	unused = 0
}

inline owe()
{
	written = true;
	owed[0] = OWED_ANEW;
	owed[1] = OWED_ANEW
}

proctype guest()
{
end:
	do
	:: d_step { hv_range & FOLLOWED -> hv_dirty = true }
	:: d_step { !written -> owe(); hv_dirty = hv_dirty || (hv_range & FOLLOWED) }
	:: d_step { !written -> owe(); told = true }
	od
}

/* ---- memory ---- */

#if defined(PUBLISH_EARLY)
#define RELEASED true
#elif defined(BLOCK_LATE)
#define RELEASED (!(before & PAGE_STORE))
#else
#define RELEASED (before == 0)
#endif

proctype memory()
{
	byte unused;

end:
	do
	:: d_step { before & PAGE_STORE -> before = before & ~PAGE_STORE; page = issued; renumber() }
	:: d_step { before & BLOCK_STORE -> before = before & ~BLOCK_STORE; block = issued; renumber() }
	/* What an earlier store left there need not be seen any more. */
	:: d_step {
		after & PAGE_STORE ->
		after = after & ~PAGE_STORE;
		before = before & ~PAGE_STORE;
		page = issued + 1
	}
	:: d_step {
		after & BLOCK_STORE ->
		after = after & ~BLOCK_STORE;
		before = before & ~BLOCK_STORE;
		block = issued + 1
	}
	:: d_step { publishing && RELEASED -> publishing = false; generation = issued; renumber() }
	od
}

/* ---- the worker ---- */

/* The first answer to a new range is all ones. */
inline track_dirty_vram(range, others)
{
	bits = (hv_range == range -> (hv_dirty -> FOLLOWED : 0) | others : range);
	hv_range = range;
	hv_dirty = false
}

inline stop_tracking()
{
	tracked = 0;
	hv_range = 0;
	hv_dirty = false
}

inline read_bitmap(range, others)
{
	exact = tracked == range;
	tracked = range;
	track_dirty_vram(range, others)
}

/* The call failed, and what it read is lost. */
inline lose_bitmap()
{
#ifdef ERROR_SWALLOWED
	bits = 0
#else
	exact = false;
	tracked = 0
#endif
}

inline mark(pages)
{
	marked = pages != 0;
	after = (pages & FOLLOWED -> PAGE_STORE : 0);
#ifndef BLOCK_DROPPED
	after = after | (pages & BLOCK -> BLOCK_STORE : 0)
#endif
}

inline publish(range)
{
	bits = (exact && followed -> bits : range);
#ifndef CUT_IGNORED
	bits = bits | (REGION & ~range);
#endif
	mark(bits);
	bits = 0;
	exact = false;
	followed = true;
	collected = written && !told
}

/* Its bits were read for other regions, or for other pages of this one. */
inline pass_over()
{
#ifndef FOLLOWED_IGNORED
	followed = false;
#endif
	bits = 0;
	exact = false
}

inline commit()
{
	before = after;
	after = 0;
	issued++;
	publishing = true;
	marked = false
}

inline crash()
{
	issued = generation;
	publishing = false;
	before = 0;
	after = 0;
	told = false;
	collected = false
}

inline start()
{
#ifdef SUCCESSOR_TRUSTS
	tracked = hv_range;
	marked = false
#else
	tracked = 0;
	followed = false;
	mark(REGION)
#endif
}

proctype worker()
{
	byte tracked;         /* tracked_range::gfns, what it has of this region; 0 also for tracked_range::fresh */
	bool followed = true; /* tracked_region::followed */
	bool marked;          /* pages, in a generation that is not stored yet */
	bool collected;       /* what readers must hear of */
	byte bits;
	bool exact;

	d_step { start() }
	do
	:: d_step { !marked -> read_bitmap(REGION, 0); publish(REGION) }
	:: d_step { !marked -> read_bitmap(REGION, SIBLING); publish(REGION) }
	:: d_step { !marked -> read_bitmap(REGION, OTHER); publish(REGION) }
	:: d_step { !marked -> read_bitmap(REGION, 0); lose_bitmap(); publish(REGION) }
	/* The hull was cut: a part of the region is left in it, or nothing. */
	:: d_step { !marked -> read_bitmap(BLOCK, 0); publish(BLOCK) }
	:: d_step { !marked -> read_bitmap(BLOCK, SIBLING); publish(BLOCK) }
	:: d_step { !marked -> read_bitmap(OTHER, 0); publish(OTHER) }
	:: d_step { !marked -> read_bitmap(0, 0); publish(0) }
	/* Nobody watches, but the hull of other regions goes over this one, or over a part of it. */
	:: d_step { !marked -> read_bitmap(REGION, 0); pass_over() }
	:: d_step { !marked -> read_bitmap(REGION, 0); lose_bitmap(); pass_over() }
	:: d_step { !marked -> read_bitmap(BLOCK, 0); pass_over() }
	:: d_step { !marked -> read_bitmap(OTHER, 0); pass_over() }
	/* Others of its pages are watched, in its block or elsewhere, and something is found there, or not. */
	:: d_step { !marked -> read_bitmap(REGION, 0); pass_over(); mark(SIBLING) }
	:: d_step { !marked -> read_bitmap(REGION, 0); pass_over(); mark(OTHER) }
	:: d_step { !marked -> read_bitmap(BLOCK, 0); pass_over(); mark(OTHER) }
	/* A device model reports what it wrote; somebody asks for all. */
	:: d_step { !marked && told -> told = false; mark(FOLLOWED); collected = true }
	:: d_step { !marked -> mark(REGION) }
	:: d_step { !marked && tracked -> stop_tracking() }
	:: d_step { marked && !publishing && !before -> commit() }
	:: d_step { true -> crash(); start() }
	:: d_step { collected && !marked && !publishing && !before -> settled = true }; break
	od
}

/* ---- readers ---- */

inline load_generation()
{
	has_generation = true;
	last = settled;
	loaded[me] = generation;
	done = done || loaded[me] == cursor[me];
	if
	:: owed[me] == OWED_ANEW -> owed[me] = OWED
	:: else
	fi
}

/* The first that is not newer decides; what else is loaded makes no difference. */
inline load(number, newer)
{
	newer = number > cursor[me];
	done = !newer || (page_newer && block_newer)
}

inline finish_scan()
{
	if
	:: page_newer && block_newer && owed[me] == OWED -> owed[me] = NOTHING
	:: else
	fi;
#ifdef CURSOR_LOADED_LAST
	cursor[me] = generation;
#else
	cursor[me] = loaded[me];
#endif
	loaded[me] = 0;
	has_generation = false;
	page_newer = false;
	block_newer = false;
	done = false;
	renumber()
}

#ifdef LOADS_EARLY
#define ACQUIRED true
#else
#define ACQUIRED has_generation
#endif

proctype reader(byte me)
{
	bool has_generation, page_newer, block_newer;
	bool done; /* but for the generation, perhaps */
	bool last;
	byte unused;

	do
	:: d_step { !has_generation && !loaded[1 - me] -> load_generation() }
	:: d_step { ACQUIRED && !done && !page_newer -> load(page, page_newer) }
	:: d_step { ACQUIRED && !done && !block_newer -> load(block, block_newer) }
	:: d_step { has_generation && done -> finish_scan() };
		if
		:: last -> break
		:: else
		fi
	od;
	assert(owed[me] == NOTHING)
}

init
{
	atomic {
		if
		:: true
		:: cursor[0] = 1
		fi;
		run guest();
		run memory();
		run worker();
		run reader(0);
#if READERS == 2
		run reader(1)
#endif
	}
}
