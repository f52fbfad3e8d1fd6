# SPDX-License-Identifier: LGPL-2.1-or-later
"""Regions of memory that is in place already, and dry runs."""

import xenvram_pb2 as pb
from harness import SimTest

VRAM, HOLE, BACKING, NR_PAGES = 0x500, 0xF0000, 0x300, 200


class Adopt(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.owner = self.client()
        self.before = self.domain.contents()

    def adopt(self, vram=VRAM, nr_pages=NR_PAGES, **more):
        return self.owner.create(1, vram, 0, nr_pages, adopt=True, **more)

    def test_nothing_moves_but_all_else_is_as_ever(self):
        created = self.adopt()
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [(VRAM, VRAM + NR_PAGES - 1, 6)])
        region = self.owner.region(created.cookie)
        self.assertEqual((region.adopted, region.backing_gfn, region.state), (True, 0, pb.ACTIVE))

        self.owner.subscribe(created.cookie)
        _, generation = self.owner.snapshot(created.cookie, sync=True)
        self.guest.write([VRAM + 3, VRAM + 199], 0x77)
        pages, _ = self.owner.snapshot(created.cookie, since=generation, sync=True)
        self.assertEqual(pages, [3, 199])

        after = self.domain.contents()
        self.owner.destroy(created.cookie)
        self.assert_contents(after, self.domain)
        self.assertEqual(self.domain.pins(), [])
        self.assertEqual(self.owner.regions(), [])

    def test_a_hole_cannot_be_adopted(self):
        message = self.refused(pb.CONFLICT, 6, self.adopt, HOLE)
        self.assertIn(hex(HOLE), message)
        self.refused(pb.CONFLICT, 6, self.adopt, self.domain.ram_pages - 5, 10)
        self.assert_contents(self.before, self.domain)

    def test_a_backing_is_refused(self):
        self.refused(pb.INVALID, 22, self.owner.create, 1, VRAM, BACKING, NR_PAGES, adopt=True)

    def test_overlaps_are_those_of_vram_alone(self):
        self.adopt()
        self.refused(pb.CONFLICT, 17, self.adopt, VRAM + NR_PAGES - 1)
        self.refused(pb.CONFLICT, 17, self.owner.create, 1, HOLE, VRAM + 1, 10)
        self.owner.create(1, HOLE, 0, 10, adopt=False)  # gfn 0 on is nobody's backing so far

    def test_it_is_found_again_after_a_restart(self):
        created = self.adopt()
        self.daemon.kill()
        self.daemon.start()
        owner = self.client()
        self.assertTrue(owner.region(created.cookie).adopted)
        owner.destroy(created.cookie)
        self.assert_contents(self.before, self.domain)


class DryRun(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.owner = self.client()
        self.before = self.domain.contents()

    def test_what_can_be_done_is_not_done(self):
        for more in ({"backing": BACKING}, {"backing": 0, "adopt": True}):
            vram = VRAM if more.get("adopt") else HOLE
            backing = more.pop("backing")
            created = self.owner.create(1, vram, backing, NR_PAGES, dry_run=True, **more)
            self.assertEqual(created.cookie, 0)
        self.assertEqual(self.owner.regions(), [])
        self.assertEqual(self.domain.pins(), [])
        self.assert_contents(self.before, self.domain)

    def test_what_cannot_be_done_is_refused_as_in_earnest(self):
        for vram, backing in ((VRAM, BACKING), (HOLE, HOLE + 1000)):
            status = pb.CONFLICT
            os_error = 17 if vram == VRAM else 6
            self.refused(status, os_error, self.owner.create, 1, vram, backing, NR_PAGES, dry_run=True)
            self.refused(status, os_error, self.owner.create, 1, vram, backing, NR_PAGES)
        self.assert_contents(self.before, self.domain)
