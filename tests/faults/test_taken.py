# SPDX-License-Identifier: LGPL-2.1-or-later
"""
At each step of a change the worker is killed, or the broker and the worker, and before others take their place, a page
appears where one has just left, or where the next one is to go. Nobody can tell then which of the two is the region's.
So nothing may be relocated onto either; and unless every page is where the outcome has it, the region is stuck, and the
map has both.
"""

import itertools
import os
import re
import shutil
import tempfile
import unittest

import journal
import xenvram_pb2 as pb
from attempt import Held, undisturbed
from checker import pages_found
from operations import REGION_OPERATIONS, Operation
from places import ANCHOR_VRAM, BACKING, NEW_VRAM, NR_PAGES, VRAM
from stage import DOMID, MOMENTS, Stage, wait_until

MOVE_RAM = pb.MoveRam(domid=DOMID, source_gfn=BACKING, destination_gfn=VRAM, nr_pages=NR_PAGES)


class Taken(unittest.TestCase):
    def setUp(self):
        directory = tempfile.mkdtemp(prefix="xenvram-taken-")
        self.addCleanup(shutil.rmtree, directory)
        os.chmod(directory, 0o755)
        self.stage = Stage(os.environ["XENVRAM_BUILD_DIR"], directory, "4.17", "hap")
        self.addCleanup(self.stage.close)

    def at(self, gfn):
        """Which of the pages are there, in their order from this gfn on?"""
        pages = self.stage.view.pages(DOMID)
        return [i for i in range(NR_PAGES) if pages.get(gfn + i) == self.stage.home[BACKING + i]]

    def free_gfn(self, source, destination, behind):
        """Where the last page that has moved came from, or the next one is going; None: there is none."""
        moved = self.at(destination)
        if behind:
            return source + moved[-1] if moved else None
        ahead = [i for i in self.at(source) if i not in moved]
        return destination + ahead[0] if ahead else None

    def expected_map(self, bases):
        """[(page, place)], by what is populated."""
        pages = self.stage.view.pages(DOMID)
        found = []
        for i in range(NR_PAGES):
            at = [place for place, base in bases.items() if base + i in pages]
            found.append((i, at[0] if len(at) == 1 else pb.CONTESTED if at else pb.MISSING))
        return found

    def assert_mapped(self, runs, bases):
        seen = [(first + i, place) for first, nr_pages, place, _ in runs for i in range(nr_pages)]
        self.assertEqual(seen, self.expected_map(bases))

    def judge_region(self, reply, regions):
        """Is all as the service has it? Was it stuck?"""
        is_stuck = [region.state for region in regions] == [pb.REGION_STUCK]
        if reply:
            self.assertEqual(reply.status == pb.STUCK, is_stuck, reply)
        if is_stuck:
            bases = {pb.AT_VRAM: regions[0].vram_gfn, pb.AT_BACKING: BACKING}
            if regions[0].between:
                bases[pb.AT_OLD_VRAM] = regions[0].old_vram_gfn
            self.assert_mapped(self.stage.client.map(regions[0].cookie), bases)
        else:
            base = regions[0].vram_gfn if regions else BACKING
            self.assertEqual(self.at(base), list(range(NR_PAGES)))
        return is_stuck

    def judge_move_ram(self, reply, regions):
        self.assertEqual(regions, [])
        wait_until(
            lambda: all(magic != journal.MOVE_MAGIC for magic, _ in journal.slots(self.stage.journal)), "the move ends"
        )
        status = reply and pb.Status.Name(reply.status)
        if not reply:
            # Its sender is not told, but the audit trail is.
            found = re.findall(r"operation=(?:MoveRam|Finish) .*status=(\w+)", self.stage.daemon.log())
            status = found[-1] if found else "never begun"
        if status == "STUCK":
            runs = self.stage.client.map_ram(DOMID, BACKING, VRAM, NR_PAGES)
            self.assert_mapped(runs, {pb.AT_VRAM: VRAM, pb.AT_BACKING: BACKING})
            return True
        self.assertEqual(self.at(VRAM if status == "OK" else BACKING), list(range(NR_PAGES)), status)
        return False

    def recover(self):
        """Without the other page all can be brought home."""
        client = self.stage.client
        for region in client.regions():
            client.destroy(region.cookie)
        for page in self.at(VRAM):
            client.move_ram(DOMID, VRAM + page, BACKING + page, 1)
        self.assertEqual(pages_found(self.stage), self.stage.home)

    def killed(self, operation, way, judge, role, moment, nth, behind):
        """Was the region stuck? None: the role makes no such step, or there is no such place."""
        self.stage.new_daemon()
        held = Held(self.stage, operation)
        held.await_quiet()
        if not held.run_to(role, moment, nth):
            return None
        if role == "broker":
            # Without it no page moves while the broker is held.
            self.stage.kill_roles(["worker"])
        gfn = self.free_gfn(*way, behind)
        if gfn is not None:
            self.stage.view.populate(DOMID, gfn)
        stranger = self.stage.view.pages(DOMID).get(gfn)
        self.stage.kill_roles([role])
        self.stage.steps.release()
        held.await_quiet()
        reply = held.reply()
        regions = self.stage.settled_regions()
        is_stuck = judge(reply, [region for region in regions if region.vram_gfn != ANCHOR_VRAM])
        pages_found(self.stage)
        if gfn is None:
            return None
        self.assertEqual(self.stage.view.pages(DOMID).get(gfn), stranger, "the other page")
        self.stage.view.depopulate(DOMID, gfn)
        self.recover()
        return is_stuck

    def sweep(self, operation, way, judge):
        outcomes = []
        _, n_steps = undisturbed(self.stage, operation)
        for role in ("worker", "broker"):
            for nth, moment, behind in itertools.product(range(1, n_steps[role] + 1), MOMENTS, (True, False)):
                with self.subTest(role=role, nth=nth, moment=moment, behind=behind):
                    outcomes.append(self.killed(operation, way, judge, role, moment, nth, behind))
        self.assertIn(True, outcomes, "never stuck")
        self.assertIn(False, outcomes, "always stuck")

    def sweep_region(self, name, way):
        operation = next(operation for operation in REGION_OPERATIONS if operation.name == name)
        self.sweep(operation, way, self.judge_region)

    def test_create(self):
        self.sweep_region("create", (BACKING, VRAM))

    def test_destroy(self):
        self.sweep_region("destroy", (VRAM, BACKING))

    def test_move(self):
        self.sweep_region("move", (VRAM, NEW_VRAM))

    def test_move_ram(self):
        self.sweep(Operation("move-ram", lambda _: ("move_ram", MOVE_RAM)), (BACKING, VRAM), self.judge_move_ram)


if __name__ == "__main__":
    unittest.main()
