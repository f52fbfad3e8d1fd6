# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is done without a region while something fails or dies, and the verdict: pages are moved, memory types pinned."""

import errno

import protocol
import xenvram_pb2 as pb
from checker import attempt, check_journal, check_pages, check_pins
from operations import Operation
from places import ANCHOR_VRAM, BACKING, NR_PAGES, VRAM
from stage import DOMID, Violation, wait_until

PINNED = (0x1000, 16)  # first gfn, pages; there are none


def settled_regions(stage):
    """When what was begun is finished or undone, for which nobody may wait any more: only the anchor is a region."""

    def settled():
        try:
            pins = stage.client.pins(DOMID)
        except protocol.Restarted:
            return False
        return all(pin.settled for pin in pins)

    wait_until(settled, "all pins are settled")
    regions = stage.settled_regions()
    if any(region.vram_gfn != ANCHOR_VRAM for region in regions):
        raise Violation(f"regions at {[hex(region.vram_gfn) for region in regions]} are listed")
    return regions


class RawOperation(Operation):
    """Which sets up what it needs, can be undone, and has a verdict of its own."""

    def __init__(self, name, request, anchored=True):
        super().__init__(name, request, self.set_up, anchored)

    def judge(self, stage, cookie, reply, _again):
        self.check(stage, cookie, reply)
        stage.clear_way()
        self.undo_and_check(stage)
        self.set_up(stage)
        self.check(stage, cookie, attempt(f"{self.name} again", stage.client.call, *self.request(None)))
        self.undo_and_check(stage)

    def check(self, stage, _cookie, reply, is_written=True):
        if reply is None:
            wait_until(lambda: not self.is_under_way(stage), "it has ended")
        regions = settled_regions(stage)
        check_pages(stage, regions, self.moved_pages(stage))
        check_pins(stage, regions)
        if is_written:
            check_journal(stage, regions)
        outcome, expected = self.outcome(stage), self.expected(reply)
        if outcome not in expected:
            answer = "unknown" if reply is None else f"{pb.Status.Name(reply.status)} ({reply.message})"
            raise Violation(f"the answer is {answer}, and the outcome {outcome}")

    def undo_and_check(self, stage):
        self.undo(stage)
        regions = settled_regions(stage)
        check_pages(stage, regions, [])
        check_pins(stage, regions)

    @staticmethod
    def is_under_way(_stage):
        """Perhaps only now: what the dead broker had not read the next one reads."""
        return False

    @staticmethod
    def moved_pages(_stage):
        return []


class MoveRam(RawOperation):
    """From where pages are born to a hole or, by force, onto others."""

    def __init__(self, name, force=False, anchored=True):
        move = pb.MoveRam(domid=DOMID, source_gfn=BACKING, destination_gfn=VRAM, nr_pages=NR_PAGES, force=force)
        super().__init__(name, lambda _: ("move_ram", move), anchored)
        self.force = force

    def set_up(self, stage):
        for page in range(NR_PAGES if self.force else 0):
            stage.view.populate(DOMID, VRAM + page)

    def moved_pages(self, stage):
        found = stage.pages()
        return [page for page in range(NR_PAGES) if found.get(VRAM + page) == stage.home[BACKING + page]]

    @staticmethod
    def is_under_way(stage):
        """It is listed nowhere, but in the way of regions."""
        try:
            stage.client.create(DOMID, VRAM, BACKING, NR_PAGES, dry_run=True)
        except protocol.Restarted:
            return True
        except protocol.Failed as failed:
            return (failed.status, failed.os_error) == (pb.CONFLICT, errno.EBUSY)
        return False

    @staticmethod
    def moved_runs(stage):
        """[(first, pages, gfn)] of those that are at the destination, says the service."""
        stage.view.clear_faults()
        runs = attempt("mapping", stage.client.map_ram, DOMID, BACKING, VRAM, NR_PAGES)
        return [(first, n, gfn) for first, n, place, gfn in runs if place == pb.AT_VRAM]

    def outcome(self, stage):
        moved = self.moved_pages(stage)
        return "none" if not moved else "all" if len(moved) == NR_PAGES else "some"

    def expected(self, reply):
        if reply is None:
            return ("none", "all")
        if reply.status == pb.STUCK:
            may_be_none = "cannot be told" in reply.message or "and at the source" in reply.message
            return ("none", "some", "all") if may_be_none else ("some", "all")
        return ("all",) if reply.status == pb.OK else ("none",)

    def check(self, stage, cookie, reply, is_written=True):
        if reply is not None and "go back as soon as the domain can be served" in reply.message:
            stage.view.clear_faults()
            reply = None
        super().check(stage, cookie, reply, is_written)
        if reply is not None and reply.status == pb.STUCK:
            mapped = [first + i for first, n, _ in self.moved_runs(stage) for i in range(n)]
            if mapped != [page for page in self.moved_pages(stage) if BACKING + page not in stage.strangers]:
                raise Violation("the map has other pages at the destination than there are")

    def undo(self, stage):
        found = stage.view.pages(DOMID)
        for first, n, gfn in self.moved_runs(stage):
            if found.get(gfn) == stage.home[BACKING + first]:
                attempt("moving back", stage.client.move_ram, DOMID, gfn, BACKING + first, n)
        for gfn in stage.view.pages(DOMID).keys() - stage.pages().keys():
            stage.view.depopulate(DOMID, gfn)


class Pin(RawOperation):
    """Memory types are set, replaced, taken away."""

    is_written_when_done = False  # the next broker may do it again

    def __init__(self, name, before, after, anchored=True):
        first_gfn, nr_pages = PINNED
        if after is None:
            request = "unpin_cacheattr", pb.UnpinCacheattr(domid=DOMID, first_gfn=first_gfn, nr_pages=nr_pages)
        else:
            message = pb.PinCacheattr(domid=DOMID, first_gfn=first_gfn, nr_pages=nr_pages, cache_attr=after)
            request = "pin_cacheattr", message
        super().__init__(name, lambda _: request, anchored)
        self.before, self.after = before, after

    def set_up(self, stage):
        if self.before is not None:
            attempt("pinning", stage.client.pin, DOMID, *PINNED, self.before)

    def check(self, stage, cookie, reply, is_written=True):
        if reply is None or reply.status != pb.STUCK:
            super().check(stage, cookie, reply, is_written)
            return
        listed = [(pin.first_gfn, pin.nr_pages, pin.settled) for pin in stage.client.pins(DOMID) if not pin.cookie]
        if listed != [(*PINNED, False)]:
            raise Violation(f"nobody knows what is pinned, and {listed} is listed")
        check_pages(stage, stage.settled_regions())

    def outcome(self, stage):
        """The type; None: there is no pin."""
        found = [(pin.first_gfn, pin.nr_pages, pin.cache_attr) for pin in stage.client.pins(DOMID) if not pin.cookie]
        if any(pin[:2] != PINNED for pin in found) or len(found) > 1:
            raise Violation(f"the pins {found} are listed")
        return found[0][2] if found else None

    def expected(self, reply):
        if reply is None:
            return (self.before, self.after)
        return (self.after if reply.status == pb.OK else self.before,)

    def undo(self, stage):
        if self.outcome(stage) is not None:
            attempt("unpinning", stage.client.unpin, DOMID, *PINNED)


RAW_OPERATIONS = [
    MoveRam("move-ram"),
    MoveRam("move-ram-first", anchored=False),
    MoveRam("move-ram-force", force=True),
    Pin("pin", None, pb.WC),
    Pin("pin-first", None, pb.WC, anchored=False),
    Pin("pin-again", pb.WC, pb.UC),
    Pin("unpin", pb.WC, None),
    Pin("unpin-last", pb.WC, None, anchored=False),
]
