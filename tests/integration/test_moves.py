# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest moves its framebuffer: the region goes with it, and its readers with the region."""

import errno
import os
import random
import time
import unittest

import protocol
import region_log
import xenvram_pb2 as pb
from harness import SimTest, kill
from sim_view import View
from waiting import wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x300, 600  # three chunks of a relocation
NEW = 0xE0000
WB = 6


class MoveTest(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.owner = self.client()
        self.before = self.domain.contents()

    def create(self, **more):
        return self.owner.create(1, VRAM, BACKING, NR_PAGES, **more).cookie

    def assert_at(self, cookie, vram):
        region = self.owner.region(cookie)
        self.assertEqual((region.state, hex(region.vram_gfn), region.between), (pb.ACTIVE, hex(vram), False))
        self.assert_moved(self.before, self.domain, vram, BACKING, NR_PAGES)
        self.assertEqual(self.domain.pins(), [(vram, vram + NR_PAGES - 1, WB)])
        self.assertEqual(self.owner.map(cookie), [(0, NR_PAGES, pb.AT_VRAM, vram)])

    def settled(self, cookie, state=pb.ACTIVE):
        try:
            region = self.owner.region(cookie)
            return region.state == state and all(d.worker_running for d in self.owner.domains())
        except protocol.Restarted:
            return False

    def assert_followed_at(self, cookie, vram):
        since = self.exact_since(self.owner, cookie)
        written = sorted(random.Random(vram).sample(range(NR_PAGES), 40))
        self.guest.write([vram + i for i in written], 7)
        self.assertEqual(self.owner.snapshot(cookie, since=since, sync=True)[0], written)


class Moves(MoveTest):
    def test_pages_pin_and_tracking_go_along(self):
        cookie = self.create()
        for vram in (NEW, VRAM, VRAM + NR_PAGES, NEW):
            self.owner.move(cookie, vram)
            self.assert_at(cookie, vram)
        self.owner.move(cookie, NEW)
        self.assert_at(cookie, NEW)
        self.assert_followed_at(cookie, NEW)
        region = self.owner.region(cookie)
        self.assertEqual((region.backing_gfn, region.nr_pages), (BACKING, NR_PAGES))
        contents = self.domain.contents()
        self.owner.destroy(cookie)
        after = self.domain.contents()
        self.assertEqual(sorted(after), sorted(self.before))
        for i in range(NR_PAGES):
            self.assertEqual(after[BACKING + i], contents[NEW + i], f"page {i}")
        self.assertEqual(self.domain.pins(), [])

    def test_a_region_in_pieces(self):
        cookie = self.create()
        self.owner.destroy(cookie, first_page=100, nr_pages=10)
        self.owner.destroy(cookie, first_page=400, nr_pages=100)
        self.owner.move(cookie, NEW)
        runs = [(0, 100), (110, 290), (500, 100)]
        self.assertEqual(self.owner.map(cookie), [(f, n, pb.AT_VRAM, NEW + f) for f, n in runs])
        self.assertEqual(sorted(self.domain.pins()), [(NEW + f, NEW + f + n - 1, WB) for f, n in runs])
        self.owner.destroy(cookie)
        self.assert_contents(self.before, self.domain)

    def test_an_adopted_region(self):
        cookie = self.owner.create(1, BACKING, 0, NR_PAGES, adopt=True).cookie
        self.owner.move(cookie, NEW)
        self.assert_moved(self.before, self.domain, NEW, BACKING, NR_PAGES)
        self.owner.move(cookie, BACKING)
        self.assert_contents(self.before, self.domain)
        self.owner.destroy(cookie)
        self.assert_contents(self.before, self.domain)

    def test_readers_go_along(self):
        """Log, wake pipe and cursor stay; every page is dirty once, and then what the guest writes at the new place."""
        cookie = self.create()
        reader = self.client()
        subscription = reader.subscribe(cookie, period_us=5000, want_wake=True)
        log = self.open_log(subscription)
        wait_for(lambda: log.state == region_log.TRACKED, "the region is tracked")
        _, cursor = log.scan(0)
        self.owner.move(cookie, NEW)
        wait_for(lambda: log.scan(cursor)[0] == list(range(NR_PAGES)), "every page is dirty once")
        os.set_blocking(subscription.wake_fd, False)
        self.assertTrue(os.read(subscription.wake_fd, 4096))
        since = self.exact_since(self.owner, cookie)
        self.guest.write([NEW + 3, NEW + 599], 1)
        wait_for(lambda: log.scan(since)[0] == [3, 599], "what the guest writes there is seen")
        self.assertTrue(reader.no_events(0.05))

    def test_the_guest_keeps_drawing(self):
        """It draws where it has moved its framebuffer to, before the region is there and after."""
        cookie = self.create()
        reader = self.client()
        log = self.open_log(reader.subscribe(cookie, period_us=2000))
        for vram in (NEW, VRAM, NEW):
            self.guest.set_picture(vram, NR_PAGES, band_pages=50)
            self.guest.paint()
            cursor = log.generation
            self.owner.move(cookie, vram)
            frames = self.guest.frames()
            wait_for(lambda: self.guest.frames() > frames + 40, "the guest draws")
            self.guest.idle()
            generation = self.exact_since(self.owner, cookie)
            self.assertEqual(log.scan(cursor)[0], list(range(NR_PAGES)))
            self.guest.write([vram + 9], 4)
            self.assertEqual(self.owner.snapshot(cookie, since=generation, sync=True)[0], [9])
        self.assertEqual(self.owner.map(cookie), [(0, NR_PAGES, pb.AT_VRAM, NEW)])

    def test_refusals_change_nothing(self):
        cookie = self.create()
        other = self.owner.create(1, NEW, 0x600, 16).cookie
        self.before = dict(self.before)
        pages = self.domain.contents()
        for status, error, vram, words in (
            (pb.INVALID, errno.EINVAL, 1 << 36, ("vram_gfn",)),
            (pb.INVALID, errno.EINVAL, (1 << 64) - 1, ("vram_gfn",)),
            (pb.INVALID, errno.EINVAL, (1 << 36) - NR_PAGES + 1, ("600 pages",)),
            (pb.CONFLICT, errno.EEXIST, VRAM + NR_PAGES - 1, ("overlaps", hex(VRAM), hex(cookie))),
            (pb.CONFLICT, errno.EEXIST, VRAM - 1, ("overlaps",)),
            (pb.CONFLICT, errno.EEXIST, BACKING + 1, ("overlaps", "backing")),
            (pb.CONFLICT, errno.EEXIST, NEW + 15, ("overlaps", hex(other))),
            (pb.CONFLICT, errno.EEXIST, 0x610 - NR_PAGES, ("overlaps",)),
            (pb.CONFLICT, errno.EEXIST, 0x700 - NR_PAGES + 1, ("overlaps",)),
        ):
            with self.subTest(hex(vram)):
                message = self.refused(status, error, self.owner.move, cookie, vram)
                for word in words:
                    self.assertIn(word, message)
                self.assertEqual(self.domain.contents(), pages)
        self.refused(pb.NOT_FOUND, errno.ENOENT, self.owner.move, 0x1234, NEW)

    def test_no_page_may_be_in_the_way(self):
        """Of the guest's own memory: it would be freed."""
        small = self.owner.create(1, VRAM, BACKING, 16).cookie
        pages = self.domain.contents()
        message = self.refused(pb.CONFLICT, errno.EEXIST, self.owner.move, small, 0x700)
        self.assertIn("new vram gfn 0x700", message)
        self.assertEqual(self.domain.contents(), pages)
        self.assertEqual(self.owner.region(small).vram_gfn, VRAM)


class Faults(MoveTest):
    def setUp(self):
        super().setUp()
        self.view = View(self.build, self.host.path)
        self.addCleanup(self.view.close)

    def test_a_move_is_undone(self):
        cookie = self.create()
        for error in ("EINVAL", "EACCES", "EXDEV", "EPERM", "ENOMEM", "ENOENT"):
            for nth, pages in ((1, 0), (1, 77), (2, 0), (2, 255), (3, 87)):
                with self.subTest(error=error, nth=nth, pages=pages):
                    self.host.fault("relocate", 1, nth, "fail", error, pages)
                    self.refused(pb.HYPERVISOR, getattr(errno, error), self.owner.move, cookie, NEW)
                    self.assert_at(cookie, VRAM)
        self.assert_followed_at(cookie, VRAM)

    def test_a_pin_is_refused(self):
        cookie = self.create(require_cache_attr=True)
        for nth in (1, 2):  # unpinning there, pinning here
            self.host.fault("pin", 1, nth, "fail", "EBUSY")
            self.refused(pb.HYPERVISOR, errno.EBUSY, self.owner.move, cookie, NEW)
            self.assert_at(cookie, VRAM)
        self.owner.move(cookie, NEW)
        self.assert_at(cookie, NEW)

    def stick(self):
        """The second chunk cannot be moved, nor anything after that."""
        cookie = self.create()
        self.view.fault("relocate", 1, 2, errno.ENOMEM, lasting=True)
        message = self.refused(pb.STUCK, errno.EBUSY, self.owner.move, cookie, NEW)
        self.assertIn(f"256 of {NR_PAGES} pages", message)
        self.assertIn(hex(NEW), message)
        self.host.clear_faults()
        return cookie

    def test_stuck_between_two_places(self):
        for vram in (VRAM, NEW):
            with self.subTest(hex(vram)):
                cookie = self.stick()
                region = self.owner.region(cookie)
                self.assertEqual((region.state, region.between), (pb.REGION_STUCK, True))
                self.assertEqual({region.vram_gfn, region.old_vram_gfn}, {VRAM, NEW})
                self.assertEqual(
                    self.owner.map(cookie), [(0, 256, pb.AT_OLD_VRAM, NEW), (256, 344, pb.AT_VRAM, VRAM + 256)]
                )
                self.refused(pb.CONFLICT, errno.EBUSY, self.owner.destroy, cookie, first_page=0, nr_pages=1)
                self.refused(pb.CONFLICT, errno.EBUSY, self.owner.move, cookie, NEW + 0x5000)
                self.refused(pb.CONFLICT, errno.EEXIST, self.owner.create, 1, NEW + 3, 0x600, 2)
                # One range of the hypervisor cannot have both places, and no write may be missed.
                _, since = self.owner.snapshot(cookie, sync=True)
                for _ in range(3):
                    dirty, since = self.owner.snapshot(cookie, since=since, sync=True)
                    self.assertEqual(dirty, list(range(NR_PAGES)))
                self.owner.move(cookie, vram)
                self.assert_at(cookie, vram)
                self.assert_followed_at(cookie, vram)
                self.before = self.domain.contents()
                for i in range(NR_PAGES):
                    self.before[BACKING + i] = self.before.pop(vram + i)
                self.owner.destroy(cookie)
                self.assert_contents(self.before, self.domain)

    def test_destroyed_while_stuck_between(self):
        cookie = self.stick()
        self.owner.destroy(cookie)
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])

    def test_destruction_is_stuck_of_one_that_is_stuck_between(self):
        """It can only be destroyed then: its pages may be at three places."""
        cookie = self.stick()
        self.view.fault("relocate", 1, 2, errno.ENOMEM, lasting=True)
        self.refused(pb.STUCK, errno.EBUSY, self.owner.destroy, cookie)
        self.host.clear_faults()
        for vram in (VRAM, NEW):
            message = self.refused(pb.CONFLICT, errno.EBUSY, self.owner.move, cookie, vram)
            self.assertIn("destroy it again", message)
        kill(self.daemon.broker_pid())
        wait_for(lambda: self.settled(cookie, pb.REGION_STUCK), "the next broker has it")
        self.owner.destroy(cookie)
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])

    def test_another_page_is_where_one_was(self):
        """Which of the two is the region's nobody can tell: both stay."""
        cookie = self.stick()
        self.view.populate(1, VRAM + 3)
        before = self.domain.contents()
        message = self.refused(pb.STUCK, errno.EBUSY, self.owner.destroy, cookie)
        self.assertIn(f"1 of {NR_PAGES} pages are still at the new or old vram", message)
        self.assertIn("another page", message)
        after = self.domain.contents()
        for gfn in (VRAM + 3, NEW + 3):
            self.assertEqual(after[gfn], before[gfn])
        self.assertNotIn(BACKING + 3, after)
        self.assertEqual(self.owner.map(cookie)[1][2], pb.CONTESTED)
        self.view.depopulate(1, VRAM + 3)
        self.owner.destroy(cookie)
        self.assert_contents(self.before, self.domain)

    def test_what_an_undone_move_cannot_pin_again(self):
        """With any status but OK and STUCK all is as it was, also what is pinned."""
        cookie = self.create(require_cache_attr=True)
        for nth in (2, 5):  # there, and after two that unpin, here
            self.view.fault("pin", 1, nth, errno.ENOSPC)
        message = self.refused(pb.STUCK, errno.EBUSY, self.owner.move, cookie, NEW)
        self.assertIn("back at the old vram", message)
        region = self.owner.region(cookie)
        self.assertEqual((region.state, region.between, region.pinned), (pb.REGION_STUCK, True, False))
        self.assert_moved(self.before, self.domain, VRAM, BACKING, NR_PAGES)
        self.host.clear_faults()
        self.owner.move(cookie, VRAM)
        self.assert_at(cookie, VRAM)


class Deaths(MoveTest):
    def test_roles_are_killed_while_a_region_goes_to_and_fro(self):
        """Whoever dies when: it is here or there, whole, and its reader has seen every page since."""
        cookie = self.create()
        log = self.open_log(self.client().subscribe(cookie, period_us=2000))
        generator = random.Random(5)
        for i in range(14):
            vram = NEW if i % 2 == 0 else VRAM
            serial = self.owner.start("move_region", pb.MoveRegion(cookie=cookie, vram_gfn=vram))
            time.sleep(generator.random() * 0.006)
            pid = self.daemon.broker_pid() if i % 3 == 0 else self.daemon.worker_pid(1)
            if pid:
                kill(pid)
            try:
                self.owner.finish(serial)
            except protocol.Restarted:
                pass
            wait_for(lambda: self.settled(cookie), "the region is active again")
            region = self.owner.region(cookie)
            self.assertIn(region.vram_gfn, (VRAM, NEW))
            self.assert_moved(self.before, self.domain, region.vram_gfn, BACKING, NR_PAGES)
            if region.vram_gfn != vram:
                self.owner.move(cookie, vram)
        self.assert_at(cookie, VRAM)
        cursor = log.generation
        self.guest.write([VRAM + 11], 1)
        wait_for(lambda: 11 in log.scan(cursor)[0], "it is followed")

    def test_the_whole_service_is_killed(self):
        cookie = self.create()
        for i in range(8):
            vram = NEW if i % 2 == 0 else VRAM
            self.owner.start("move_region", pb.MoveRegion(cookie=cookie, vram_gfn=vram))
            time.sleep(0.0005 * i)
            self.daemon.kill()
            self.daemon.start()
            self.owner = self.client()
            wait_for(lambda: self.settled(cookie), "the region is active again")
            region = self.owner.region(cookie)
            self.assert_moved(self.before, self.domain, region.vram_gfn, BACKING, NR_PAGES)
            self.owner.move(cookie, vram)
            self.assert_at(cookie, vram)

    def test_workers_are_killed_while_pages_are_mapped(self):
        """Whoever comes next answers: nobody has to ask again."""
        cookie = self.create()
        for _ in range(3):
            kill(self.daemon.await_worker(1))
            self.assertEqual(self.owner.map(cookie), [(0, NR_PAGES, pb.AT_VRAM, VRAM)])
            self.host.fault("map", 1, 1, "kill", "after")
            self.assertEqual(self.owner.map(cookie), [(0, NR_PAGES, pb.AT_VRAM, VRAM)])
        self.host.fault("map", 1, 1, "delay", 500000)
        serial = self.owner.start("map_region", pb.MapRegion(cookie=cookie))
        wait_for(lambda: self.daemon.worker_pid(1), "there is a worker")
        self.domain.destroy()
        reply, _ = self.owner.finish(serial)
        # It may have been quick.
        self.assertIn(reply.status, (pb.OK, pb.NO_DOMAIN, pb.NOT_FOUND), reply.message)
        wait_for(lambda: not self.owner.regions(), "the region goes")

    def test_the_domain_dies_meanwhile(self):
        cookie = self.create()
        serials = [self.owner.start("move_region", pb.MoveRegion(cookie=cookie, vram_gfn=NEW))]
        self.domain.destroy()
        for serial in serials:
            reply, _ = self.owner.finish(serial)
            self.assertIn(reply.status, (pb.OK, pb.NO_DOMAIN))
        wait_for(lambda: not self.owner.regions(), "the region goes")


if __name__ == "__main__":
    unittest.main()
