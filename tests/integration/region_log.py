# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reader of the region log, written from its description in proto/region_log.h alone."""

import mmap
import os
import struct

MAGIC = 0x474C5658
VERSION = 1
HEADER_BYTES = 4096
BLOCK_PAGES = 64

IDLE, TRACKED, PARTIAL, GONE = range(4)
AS_WANTED, STRETCHED_IDLE, STRETCHED_BUDGET, STRETCHED_GUEST = range(4)

_HEAD = struct.Struct("<IIQQI")  # magic, version, nr_pages, cookie, state
_GENERATION_OFFSET = 64
_COUNTERS = struct.Struct("<10QI")
_COUNTER_NAMES = (
    "generation",
    "last_poll_ns",
    "period_ns",
    "polls",
    "poll_ns",
    "dirty_guest",
    "dirty_forced",
    "untracked_pages",
    "dirty_device_model",
    "wanted_period_ns",
    "stretch",
)


class RegionLog:
    def __init__(self, fd):
        """Takes the descriptor over."""
        self.fd = fd
        self.map = mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ)
        magic, version, self.nr_pages, self.cookie, _ = _HEAD.unpack_from(self.map)
        if (magic, version) != (MAGIC, VERSION):
            raise ValueError(f"no region log: magic {magic:#x}, version {version}")
        self.n_blocks = -(-self.nr_pages // BLOCK_PAGES)
        page_offset = HEADER_BYTES + 8 * self.n_blocks
        heat_offset = page_offset + 8 * self.nr_pages
        expected = heat_offset + 4 * self.nr_pages
        if os.fstat(fd).st_size != expected:
            raise ValueError(f"the log has {os.fstat(fd).st_size} bytes, its page count means {expected}")
        # Views of machine words: an element is loaded at once, as the layout demands of a reader.
        view = memoryview(self.map)
        self._state = view[24:28].cast("I")
        self._generation = view[_GENERATION_OFFSET : _GENERATION_OFFSET + 8].cast("Q")
        self._blocks = view[HEADER_BYTES:page_offset].cast("Q")
        self._pages = view[page_offset:heat_offset].cast("Q")
        self._heat = view[heat_offset:expected].cast("I")

    @property
    def generation(self):
        return self._generation[0]

    @property
    def state(self):
        return self._state[0]

    def counters(self):
        return dict(zip(_COUNTER_NAMES, _COUNTERS.unpack_from(self.map, _GENERATION_OFFSET)))

    def heat(self, page):
        return self._heat[page]

    def scan(self, cursor):
        """(pages dirtied after the cursor, the next cursor)"""
        generation = self.generation
        if generation == cursor:
            return [], cursor
        pages = []
        for b, when in enumerate(self._blocks):
            if when <= cursor:
                continue
            first = b * BLOCK_PAGES
            block = self._pages[first : first + BLOCK_PAGES].tolist()
            pages += [first + i for i, at in enumerate(block) if at > cursor]
        return pages, generation

    def close(self):
        for view in (self._state, self._generation, self._blocks, self._pages, self._heat):
            view.release()
        os.close(self.fd)
