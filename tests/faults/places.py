# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where in the domain everything happens, and with what."""

import xenvram_pb2 as pb

# More than one chunk of a relocation.
VRAM, BACKING, NR_PAGES = 0xF0000, 200, 300
NEW_VRAM = 0xD0000
# Of it, with something on both sides.
PART = range(5, 285)
# A region that is there all the time: its domain's worker is, too, and tracks.
ANCHOR_VRAM, ANCHOR_BACKING = 0xE0000, 100
# Memory types: a region with the first must have it pinned, one with the other need not.
STRICT, LOOSE = pb.WC, pb.WT
