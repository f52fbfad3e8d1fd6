# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is done while something fails or dies, and from where."""

import errno

import protocol
import xenvram_pb2 as pb
from checker import check, check_followed, check_recovery
from places import ANCHOR_BACKING, ANCHOR_VRAM, BACKING, LOOSE, NEW_VRAM, NR_PAGES, PART, STRICT, VRAM
from stage import DOMID, Violation


class Operation:
    is_written_when_done = True

    def __init__(self, name, request, prepare=lambda stage: None, anchored=True):
        self.name = name
        self._request = request
        self._prepare = prepare
        self.anchored = anchored

    def prepare(self, stage):
        """From a domain as it was born, perhaps with the anchor, to where the operation begins; the cookie, if any."""
        if self.anchored:
            anchors = [r.cookie for r in stage.client.regions() if r.vram_gfn == ANCHOR_VRAM]
            anchor = anchors[0] if anchors else stage.client.create(DOMID, ANCHOR_VRAM, ANCHOR_BACKING, 1).cookie
            stage.client.snapshot(anchor, 0, sync=True)
        return self._prepare(stage)

    def request(self, cookie):
        """(name in Request, message)"""
        return self._request(cookie)

    def check(self, stage, cookie, reply, is_written=True):
        """Is all as the answer says, and perhaps, is it followed? The regions that are left."""
        left = check(stage, *self.request(cookie), cookie, reply, is_written)
        if stage.looks_at_tracking:
            check_followed(stage, stage.settled_regions())
        return left

    def judge(self, stage, cookie, reply, again):
        """And can it be undone; or finished, by asking again?"""
        name, message = self.request(cookie)
        left = self.check(stage, cookie, reply)
        check_recovery(stage, name, message, left, again and (reply is None or reply.status != pb.OK))


class Refusal(Operation):
    """Of what must not be begun."""

    def judge(self, stage, cookie, reply, _again):
        if reply is not None and reply.status != pb.CONFLICT:
            raise Violation(f"not refused: the answer is {pb.Status.Name(reply.status)} ({reply.message})")
        super().judge(stage, cookie, reply, again=False)


def _create(**more):
    fields = {"vram_gfn": VRAM, "backing_gfn": BACKING, "nr_pages": NR_PAGES, **more}
    return lambda cookie: ("create_region", pb.CreateRegion(domid=DOMID, **fields))


def _destroy(cookie):
    return "destroy_region", pb.DestroyRegion(cookie=cookie)


def _created(stage):
    return stage.client.create(DOMID, VRAM, BACKING, NR_PAGES).cookie


def _adopted(stage):
    return stage.client.create(DOMID, BACKING, 0, NR_PAGES, adopt=True).cookie


def _must_stick(function, stage, *arguments, **more):
    """Relocations fail, from the second on."""
    stage.view.fault("relocate", DOMID, 2, errno.ENOMEM, lasting=True)
    try:
        function(*arguments, **more)
        raise Violation("done, although pages cannot be moved")
    except protocol.Failed as failed:
        if failed.status != pb.STUCK:
            raise Violation(f"pages cannot be moved back, and the answer is {failed}") from None
    finally:
        stage.view.clear_faults()


def _stuck(stage):
    """Half of it at vram: the second chunk could not be moved back."""
    cookie = _created(stage)
    _must_stick(stage.client.destroy, stage, cookie)
    return cookie


def _move(cookie):
    return "move_region", pb.MoveRegion(cookie=cookie, vram_gfn=NEW_VRAM)


def _part(cookie):
    return "destroy_region", pb.DestroyRegion(cookie=cookie, first_page=PART.start, nr_pages=len(PART))


def _in_pieces(stage, strict=True):
    """Whose memory type has to be pinned, unless it is not strict."""
    kind = STRICT if strict else LOOSE
    cookie = stage.client.create(DOMID, VRAM, BACKING, NR_PAGES, cache_attr=kind, require_cache_attr=strict).cookie
    stage.client.destroy(cookie, first_page=2, nr_pages=2)
    stage.client.destroy(cookie, first_page=290, nr_pages=3)
    return cookie


def _in_loose_pieces(stage):
    return _in_pieces(stage, strict=False)


def _stuck_move(stage):
    """Half of it at each of two places."""
    cookie = _created(stage)
    _must_stick(stage.client.move, stage, cookie, NEW_VRAM)
    return cookie


def _stuck_twice(stage):
    """A part of it at each of three places."""
    cookie = _stuck_move(stage)
    _must_stick(stage.client.destroy, stage, cookie)
    return cookie


def _adopted_stuck_move(stage):
    cookie = _adopted(stage)
    _must_stick(stage.client.move, stage, cookie, NEW_VRAM)
    return cookie


def _stuck_part(stage):
    cookie = _in_pieces(stage)
    _must_stick(stage.client.destroy, stage, cookie, first_page=PART.start, nr_pages=len(PART))
    return cookie


REGION_OPERATIONS = [
    Operation("create", _create()),
    Operation("create-first", _create(), anchored=False),
    Operation("create-strict", _create(cache_attr=STRICT, require_cache_attr=True)),
    Operation("dry-run", _create(dry_run=True)),
    Operation("adopt", _create(vram_gfn=BACKING, backing_gfn=0, adopt=True)),
    Operation("destroy", _destroy, _created),
    Operation("destroy-last", _destroy, _created, anchored=False),
    Operation("destroy-adopted", _destroy, _adopted),
    Operation("destroy-stuck", _destroy, _stuck),
    Operation("move", _move, _created),
    Operation("move-pieces", _move, _in_pieces),
    Operation("move-loose-pieces", _move, _in_loose_pieces),
    Operation("move-stuck", _move, _stuck_move),
    Operation("destroy-stuck-move", _destroy, _stuck_move),
    Operation("destroy-stuck-twice", _destroy, _stuck_twice),
    Refusal("move-stuck-twice", _move, _stuck_twice),
    Operation("destroy-adopted-stuck-move", _destroy, _adopted_stuck_move),
    Operation("part", _part, _created),
    Operation("part-pieces", _part, _in_pieces, anchored=False),
    Operation("part-loose-pieces", _part, _in_loose_pieces, anchored=False),
    Operation("part-adopted", _part, _adopted),
    Operation("part-stuck", _part, _stuck_part),
    Operation("destroy-stuck-part", _destroy, _stuck_part),
    Operation("destroy-pieces", _destroy, _in_pieces),
]
