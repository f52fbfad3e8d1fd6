# SPDX-License-Identifier: LGPL-2.1-or-later
"""The journal, read as the broker writes it: daemon/broker/journal.c, region_journal.c and pin_journal.c."""

import struct
from typing import NamedTuple

SLOT_BYTES = 256
REGION_MAGIC, PIN_MAGIC, MOVE_MAGIC = b"XVRJ", b"XVPJ", b"XVMJ"
MAX_EXTENTS = 8

# Of both: magic, version, length; then as in the records below, where runs follow as first page and pages.
_HEAD = struct.Struct("<4sHH")
_REGION = struct.Struct(f"<4Q5I64sQ5I{2 * MAX_EXTENTS}II")
_PIN = struct.Struct("<2Q5I64s")

# At the end of each slot: is it known who asked the last time, uid, pid, 0.
_REQUESTER = struct.Struct("<4I")
_RECORD_BYTES = SLOT_BYTES - _REQUESTER.size

# Flags of regions, and the state of pins at rest.
REQUIRE_CACHE_ATTR, ADOPTED, ENDING, BETWEEN = 1, 8, 16, 32
PIN_SET = 1


class RegionRecord(NamedTuple):
    cookie: int
    vram_gfn: int
    backing_gfn: int
    nr_pages: int
    domid: int
    state: int
    cache_attr: int
    owner_uid: int
    flags: int
    uuid: str
    old_vram_gfn: int
    frontier: int
    unsettled: int
    going: tuple
    live: tuple
    pinned: int  # bit i: the ith of them is
    requester: tuple  # uid, pid


class PinRecord(NamedTuple):
    first_gfn: int
    nr_pages: int
    domid: int
    state: int
    cache_attr: int
    old_cache_attr: int
    owner_uid: int
    uuid: str
    requester: tuple


def _text(field):
    return field.rstrip(b"\0").decode()


def _region(slot, requester):
    *fields, uuid, old_vram_gfn, frontier, unsettled, first, nr_pages, n_live = slot[: -2 * MAX_EXTENTS - 1]
    runs, pinned = slot[-2 * MAX_EXTENTS - 1 : -1], slot[-1]
    live = tuple(zip(runs[::2], runs[1::2]))
    if any(number for run in live[n_live:] for number in run):
        raise ValueError(f"{n_live} runs are followed by others: {live}")
    return RegionRecord(
        *fields, _text(uuid), old_vram_gfn, frontier, unsettled, (first, nr_pages), live[:n_live], pinned, requester
    )


def _pin(slot, requester):
    *fields, uuid = slot
    return PinRecord(*fields, _text(uuid), requester)


_KINDS = {REGION_MAGIC: (3, _REGION, _region), PIN_MAGIC: (1, _PIN, _pin)}


def slots(path):
    """[(magic, slot)] of those that are not free"""
    with open(path, "rb") as file:
        data = file.read()
    found = [data[at : at + SLOT_BYTES] for at in range(0, len(data), SLOT_BYTES)]
    return [(slot[:4], slot) for slot in found if any(slot[:4])]


def records(path):
    """All of regions and pins; raises ValueError for what the broker would never write."""
    found = []
    for magic, slot in slots(path):
        if magic not in _KINDS:
            continue
        version, layout, make = _KINDS[magic]
        end = _HEAD.size + layout.size
        if _HEAD.unpack_from(slot) != (magic, version, end) or any(slot[end:_RECORD_BYTES]):
            raise ValueError(f"a slot of {magic} is not of version {version}, or not {end} bytes long")
        is_known, *requester, zero = _REQUESTER.unpack_from(slot, _RECORD_BYTES)
        if (is_known, zero) != (1, 0):
            raise ValueError(f"a slot of {magic} does not say who asked: {slot[_RECORD_BYTES:]}")
        found.append(make(layout.unpack_from(slot, _HEAD.size), tuple(requester)))
    return found
