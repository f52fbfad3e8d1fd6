# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The broker is killed at each step of a change: what has changed is in the audit trail, whoever finished it, and the last
record says what is so.
"""

import errno
import itertools
import os
import re
import shutil
import tempfile
import unittest

import xenvram_pb2 as pb
from attempt import QUIET_AT_START_S, Held, undisturbed
from checker import live
from operations import REGION_OPERATIONS, Operation
from places import ANCHOR_VRAM, BACKING, NR_PAGES, VRAM
from stage import DOMID, MOMENTS, Stage, Steps, Violation, wait_until

PINNED = {"domid": DOMID, "first_gfn": VRAM, "nr_pages": 4}


def _of_name(name):
    return next(operation for operation in REGION_OPERATIONS if operation.name == name)


def _stuck_destroy(stage):
    """Some of its pages will not move back."""
    cookie = _of_name("destroy").prepare(stage)
    stage.view.fault("relocate", DOMID, 2, errno.ENOMEM, lasting=True)
    return cookie


def _move_ram(destination, nr_pages, **more):
    message = pb.MoveRam(
        domid=DOMID, source_gfn=BACKING, destination_gfn=destination, nr_pages=nr_pages, **more
    )
    return lambda _: ("move_ram", message)


def _pin(cache_attr):
    return lambda _: ("pin_cacheattr", pb.PinCacheattr(cache_attr=cache_attr, **PINNED))


def _pinned(stage):
    stage.client.pin(DOMID, VRAM, PINNED["nr_pages"], pb.UC)


class Trail(unittest.TestCase):
    def setUp(self):
        directory = tempfile.mkdtemp(prefix="xenvram-trail-")
        self.addCleanup(shutil.rmtree, directory)
        os.chmod(directory, 0o755)
        self.stage = Stage(os.environ["XENVRAM_BUILD_DIR"], directory, "4.17", "hap")
        self.addCleanup(self.stage.close)
        self.wrong = []  # deaths after which the trail does not say what has changed

    def host(self):
        """Where the pages are, by where they were born, and the pins."""
        born = {frame: gfn for gfn, frame in self.stage.home.items()}
        return {gfn: born.get(frame) for gfn, frame in self.stage.view.pages(DOMID).items()}, self.stage.view.pins(DOMID)

    def prepare(self, operation):
        self.stage.new_daemon()
        held = Held(self.stage, operation)
        # What comes after an answer would be counted among the steps.
        held.await_quiet()
        return held

    def undisturbed(self, operation):
        """(its steps, what it changes the host to, its status)"""
        attempt, n_steps = undisturbed(self.stage, operation)
        return n_steps["broker"], self.host(), pb.Status.Name(attempt.reply().status)

    def lines(self, record, at):
        lines = [line for line in self.stage.daemon.log()[at:].splitlines() if "audit: " in line]
        return [line for line in lines if f"operation={record} " in line or "operation=Finish " in line]

    def records(self, operation, record, at):
        """
        (status, what has come of a region, if that is what it says) of each; each says who asked, and one of what the
        next broker has finished, for what
        """
        lines = self.lines(record, at)
        nameless = [line for line in lines if f"[uid={os.getuid()} pid={os.getpid()} " not in line]
        if nameless:
            raise Violation(f"by the trail uid {os.getuid()}, pid {os.getpid()} did not ask for: {nameless}")
        force = getattr(operation.request(None)[1], "force", False)
        asked = rf"operation=Finish asked={record} domid={DOMID} (cookie=\S+ )?{'force=1 ' if force else ''}what="
        others = [line for line in lines if "operation=Finish " in line and not re.search(asked, line)]
        if others:
            raise Violation(f"{record} was asked for, and by the trail something else was finished: {others}")
        whats = [re.search(r"cookie=\S+ what=(.*?)(; .*)? status=", line) for line in lines]
        return [(re.search(r"status=(\w+)", x).group(1), w and w.group(1)) for x, w in zip(lines, whats)]

    def left(self):
        """What there is of the region."""
        regions = [region for region in self.stage.client.regions() if region.vram_gfn != ANCHOR_VRAM]
        if not regions:
            return pb.ACTIVE, "no page is left of it"
        n, gfns = len(live(regions[0])), f"at gfn {regions[0].vram_gfn:#x} from {regions[0].backing_gfn:#x}"
        return regions[0].state, f"{n} of {regions[0].nr_pages} pages, {gfns}"

    def agrees(self, record, records, before, done, done_status):
        """Does the last record, if there is one, say what is so?"""
        status, what = records[-1] if records else (None, None)
        pages, pins = self.host()
        if what:
            state, left = self.left()
            # A creation is undone, anything else done.
            finished = "RETRY" if record == "CreateRegion" else "OK"
            return what == left and status == ("STUCK" if state == pb.REGION_STUCK else finished)
        if (pages, pins) == done:
            return status == done_status
        # By force, pages at the destination are dropped for good.
        if pages.items() <= before[0].items() and pins == before[1]:
            return status not in ("OK", "STUCK")
        return status == "STUCK"

    def killed(self, operation, record, moment, nth, with_domain, outcome):
        """Had something changed? None if the broker makes no such step."""
        held = self.prepare(operation)
        before, at = self.host(), len(self.stage.daemon.log())
        if not held.run_to("broker", moment, nth):
            return None
        if with_domain:
            changed = self.host() != before
            self.stage.kill_domain()
        self.stage.kill_roles(["broker"])
        self.stage.steps.release()
        held.await_quiet(QUIET_AT_START_S)
        if with_domain:
            self.stage.add_domain()
            if changed and not self.records(operation, record, at):
                self.wrong.append(f"{moment} step {nth}")
            return changed
        try:
            wait_until(lambda: self.agrees(record, self.records(operation, record, at), before, *outcome), "they agree")
        except Violation as violation:
            self.wrong.append(f"{moment} step {nth}: {violation}: {self.lines(record, at)}")
        return self.host() != before

    def sweep(self, operation, record, with_domain=False):
        """`record` is what the broker that was asked calls it in the trail; the next one only finishes it."""
        n_steps, *outcome = self.undisturbed(operation)
        changes = []
        for nth in range(1, n_steps + 1):
            changes += [self.killed(operation, record, moment, nth, with_domain, outcome) for moment in MOMENTS]
        self.assertEqual(self.wrong, [], f"of {len(changes)} deaths")
        self.assertIn(True, changes, "nothing is ever changed")
        # Those that come by the clock may not come.
        self.assertLessEqual(changes.count(None), len(changes) // 10)

    def unwritten(self, operation, record, nth):
        """The records of a request whose nth write fails; the last one says what the answer does. None: there is none."""
        held = self.prepare(operation)
        at = len(self.stage.daemon.log())
        self.stage.steps.arm("broker", "before", nth, Steps.FAIL)
        held.start()
        reply = held.reply()
        if not self.stage.steps.was_struck():
            self.stage.steps.disarm()
            return None
        lines = [line for line in self.stage.daemon.log()[at:].splitlines() if f"operation={record} " in line]
        statuses = [re.search(r"status=(\w+)", line).group(1) for line in lines]
        self.assertEqual(statuses[-1:], [pb.Status.Name(reply.status)], f"step {nth}")
        return statuses

    def test_unwritten(self):
        """What the journal does not take is undone, where it can be: a record of success is followed by another."""
        outcomes = []
        for name, record in (("create", "CreateRegion"), ("move", "MoveRegion"), ("part-pieces", "DestroyRegion")):
            operation = _of_name(name)
            writes = (self.unwritten(operation, record, nth) for nth in itertools.count(1))
            outcomes += itertools.takewhile(lambda statuses: statuses is not None, writes)
        self.assertIn(["OK", "INTERNAL"], outcomes)
        self.assertIn(["OK", "STUCK"], outcomes)
        self.assertIn(["INTERNAL"], outcomes)
        self.assertTrue(all(len(statuses) < 3 for statuses in outcomes), outcomes)

    def test_create(self):
        self.sweep(_of_name("create"), "CreateRegion")

    def test_move(self):
        self.sweep(_of_name("move"), "MoveRegion")

    def test_destroy(self):
        self.sweep(_of_name("destroy"), "DestroyRegion")

    def test_destroy_part(self):
        self.sweep(_of_name("part-pieces"), "DestroyRegion")

    def test_stuck(self):
        """It stays half done."""
        self.sweep(Operation("stuck", _of_name("destroy").request, _stuck_destroy), "DestroyRegion")

    def test_move_ram(self):
        self.sweep(Operation("move-ram", _move_ram(VRAM, NR_PAGES)), "MoveRam")

    def test_move_ram_by_force(self):
        self.sweep(Operation("force", _move_ram(BACKING + 8, 8, force=True)), "MoveRam")

    def test_pin(self):
        self.sweep(Operation("pin", _pin(pb.UC)), "PinCacheattr")

    def test_pin_again(self):
        self.sweep(Operation("pin-again", _pin(pb.WB), _pinned), "PinCacheattr")

    def test_unpin(self):
        unpin = pb.UnpinCacheattr(**PINNED)
        self.sweep(Operation("unpin", lambda _: ("unpin_cacheattr", unpin), _pinned), "UnpinCacheattr")

    def test_destroy_with_domain(self):
        self.sweep(_of_name("destroy"), "DestroyRegion", with_domain=True)

    def test_move_ram_with_domain(self):
        self.sweep(Operation("move-ram", _move_ram(VRAM, NR_PAGES)), "MoveRam", with_domain=True)

    def test_pin_with_domain(self):
        self.sweep(Operation("pin", _pin(pb.UC)), "PinCacheattr", with_domain=True)


if __name__ == "__main__":
    unittest.main()
