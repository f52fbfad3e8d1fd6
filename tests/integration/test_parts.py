# SPDX-License-Identifier: LGPL-2.1-or-later
"""Destroying a part of a region: it goes home, and the rest is as if nothing had happened."""

import errno
import unittest

import protocol
import region_log
import xenvram_pb2 as pb
from harness import SimTest, kill
from sim_view import View
from waiting import wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x300, 600  # three chunks of a relocation
WB = 6
PINS = 0xC0000


class Parts(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.owner = self.client()
        self.before = self.domain.contents()

    def create(self, **more):
        return self.owner.create(1, VRAM, BACKING, NR_PAGES, **more).cookie

    def destroy(self, cookie, first, nr_pages):
        return self.owner.destroy(cookie, first_page=first, nr_pages=nr_pages)

    def assert_left(self, cookie, *runs):
        """The region consists of these (first, pages), which are at vram and pinned; all other pages are at home."""
        region = self.owner.region(cookie)
        self.assertEqual(region.state, pb.ACTIVE)
        self.assertEqual([(run.first, run.nr_pages) for run in region.extents], list(runs))
        self.assertEqual((region.nr_pages, region.live_pages), (NR_PAGES, sum(n for _, n in runs)))
        expected = dict(self.before)
        for first, nr_pages in runs:
            for i in range(first, first + nr_pages):
                expected[VRAM + i] = expected.pop(BACKING + i)
        self.assert_contents(expected, self.domain)
        self.assertEqual(sorted(self.domain.pins()), sorted((VRAM + f, VRAM + f + n - 1, WB) for f, n in runs))
        self.assertEqual(self.owner.map(cookie), [(f, n, pb.AT_VRAM, VRAM + f) for f, n in runs])

    def test_middle_ends_and_the_last(self):
        cookie = self.create()
        self.destroy(cookie, 100, 300)
        self.assert_left(cookie, (0, 100), (400, 200))
        self.destroy(cookie, 0, 1)
        self.assert_left(cookie, (1, 99), (400, 200))
        self.destroy(cookie, 599, 1)
        self.assert_left(cookie, (1, 99), (400, 199))
        self.destroy(cookie, 400, 199)
        self.assert_left(cookie, (1, 99))
        self.destroy(cookie, 1, 99)
        self.assertEqual(self.owner.regions(), [])
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])
        self.refused(pb.NOT_FOUND, errno.ENOENT, self.destroy, cookie, 1, 99)

    def test_all_of_what_is_left(self):
        cookie = self.create()
        self.destroy(cookie, 10, 10)
        self.destroy(cookie, 30, 10)
        self.owner.destroy(cookie)
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])

    def test_refusals_change_nothing(self):
        cookie = self.create()
        self.destroy(cookie, 100, 10)
        for status, error, first, nr_pages, word in (
            (pb.INVALID, errno.ERANGE, 600, 1, "600 pages"),
            (pb.INVALID, errno.ERANGE, 599, 2, "600 pages"),
            (pb.INVALID, errno.ERANGE, 1, (1 << 64) - 1, "600 pages"),
            (pb.INVALID, errno.EINVAL, 5, 0, "first_page 5"),
            (pb.CONFLICT, errno.ENXIO, 100, 1, "destroyed before"),
            (pb.CONFLICT, errno.ENXIO, 90, 11, "destroyed before"),
            (pb.CONFLICT, errno.ENXIO, 0, 600, "destroyed before"),
        ):
            with self.subTest(first=first, nr_pages=nr_pages):
                self.assertIn(word, self.refused(status, error, self.destroy, cookie, first, nr_pages))
                self.assert_left(cookie, (0, 100), (110, 490))

    def test_no_more_than_eight_runs(self):
        cookie = self.create()
        runs = [(0, 10)]
        for i in range(1, 8):
            self.destroy(cookie, 20 * i - 10, 10)
            runs.append((20 * i, 10))
        runs[-1] = (140, 460)
        self.assertIn("8 runs", self.refused(pb.LIMIT, errno.EDQUOT, self.destroy, cookie, 300, 1))
        self.assert_left(cookie, *runs)
        self.destroy(cookie, 140, 1)
        runs[-1] = (141, 459)
        self.assert_left(cookie, *runs)

    def test_its_frames_can_be_used_by_another_region(self):
        cookie = self.create()
        self.destroy(cookie, 100, 50)
        self.refused(pb.CONFLICT, errno.EEXIST, self.owner.create, 1, VRAM + 99, BACKING + 100, 10)
        self.refused(pb.CONFLICT, errno.EEXIST, self.owner.create, 1, VRAM + 100, BACKING + 141, 10)
        other = self.owner.create(1, VRAM + 100, BACKING + 100, 50).cookie
        self.assertEqual(self.owner.map(other), [(0, 50, pb.AT_VRAM, VRAM + 100)])
        self.owner.destroy(cookie)
        self.owner.destroy(other)
        self.assert_contents(self.before, self.domain)

    def test_readers_stay_and_see_what_stays(self):
        cookie = self.create()
        reader = self.client()
        subscription = reader.subscribe(cookie, period_us=5000, want_wake=True)
        log = self.open_log(subscription)
        wait_for(lambda: log.state == region_log.TRACKED, "the region is tracked")
        self.destroy(cookie, 100, 300)
        self.assertTrue(reader.no_events(0.05), "nothing is gone")
        since = self.exact_since(self.owner, cookie)
        self.guest.write([VRAM + 5, VRAM + 99, VRAM + 400, VRAM + 599, BACKING + 200], 1)
        self.assertEqual(self.owner.snapshot(cookie, since=since, sync=True)[0], [5, 99, 400, 599])
        self.assertEqual(log.scan(since)[0], [5, 99, 400, 599])

    def test_after_restarts(self):
        cookie = self.create()
        self.destroy(cookie, 100, 300)
        for restart in (
            lambda: self.kill_role(self.daemon.worker_pid(1)),
            lambda: self.kill_role(self.daemon.broker_pid()),
            self.restart_all,
        ):
            restart()
            wait_for(lambda: self.is_served(cookie), "the region is served again")
            self.assert_left(cookie, (0, 100), (400, 200))
            since = self.exact_since(self.owner, cookie)
            self.guest.write([VRAM + 5, VRAM + 400], 1)
            self.before = self.domain.contents() | {
                BACKING + i: page for i, page in self.live_contents().items()
            }
            for i in self.live_contents():
                del self.before[VRAM + i]
            self.assertEqual(self.owner.snapshot(cookie, since=since, sync=True)[0], [5, 400])
        self.owner.destroy(cookie)
        self.assert_contents(self.before, self.domain)

    def live_contents(self):
        contents = self.domain.contents()
        return {i: contents[VRAM + i] for i in range(NR_PAGES) if VRAM + i in contents}

    def kill_role(self, pid):
        self.assertIsNotNone(pid)
        kill(pid)

    def restart_all(self):
        self.daemon.kill()
        self.daemon.start()
        self.owner = self.client()

    def is_served(self, cookie):
        """Also by its domain's worker."""
        try:
            return bool(self.owner.map(cookie))
        except protocol.Restarted:
            return False
        except protocol.Failed as failed:
            self.assertEqual(failed.status, pb.RETRY)
            return False

    def test_stuck(self):
        cookie = self.create()
        self.host.fault("relocate", 1, "every", "fail", "ENOMEM")
        message = self.refused(pb.STUCK, errno.EBUSY, self.destroy, cookie, 100, 300)
        self.assertIn("300 of 300 pages", message)
        self.assertIn(hex(VRAM + 100), message)
        self.assertEqual(self.owner.region(cookie).state, pb.REGION_STUCK)
        self.assertEqual(self.owner.map(cookie), [(0, 600, pb.AT_VRAM, VRAM)])
        self.assertEqual(sorted(self.domain.pins()), [(VRAM, VRAM + 99, WB), (VRAM + 400, VRAM + 599, WB)])
        self.host.clear_faults()
        self.host.fault("relocate", 1, "every", "fail", "ENOMEM")
        self.host.fault("relocate", 1, 1, "fail", "ENOMEM", 40)
        self.refused(pb.STUCK, errno.EBUSY, self.destroy, cookie, 100, 300)
        self.assertEqual(
            self.owner.map(cookie),
            [
                (0, 144, pb.AT_VRAM, VRAM),
                (144, 40, pb.AT_BACKING, BACKING + 144),
                (184, 416, pb.AT_VRAM, VRAM + 184),
            ],
        )
        self.host.clear_faults()
        self.assertIn("100 + 300", self.refused(pb.CONFLICT, errno.EBUSY, self.destroy, cookie, 100, 299))
        self.refused(pb.CONFLICT, errno.EBUSY, self.owner.move, cookie, VRAM + 0x1000)
        self.destroy(cookie, 100, 300)
        self.assert_left(cookie, (0, 100), (400, 200))

    def test_pins_are_refused(self):
        """Who insists keeps all; who does not is told."""
        cookie = self.create(require_cache_attr=True)
        self.host.fault("pin", 1, 2, "fail", "ENOSPC")
        self.refused(pb.HYPERVISOR, errno.ENOSPC, self.destroy, cookie, 100, 300)
        self.assert_left(cookie, (0, 600))
        self.owner.destroy(cookie)
        cookie = self.create()
        self.host.fault("pin", 1, 3, "fail", "ENOSPC")
        message = self.destroy(cookie, 100, 300).message
        self.assertIn(f"the pin of gfn {VRAM + 400:#x} + 200 pages", message)
        self.assertFalse(self.owner.region(cookie).pinned)
        self.assertEqual(self.domain.pins(), [(VRAM, VRAM + 99, WB)])
        self.assertEqual([(pin.first_gfn, pin.nr_pages) for pin in self.owner.pins(1)], [(VRAM, 100)])
        # That of the other extent stays what it is.
        self.destroy(cookie, 10, 10)
        self.assertFalse(self.owner.region(cookie).pinned)
        listed = [(pin.first_gfn, pin.first_gfn + pin.nr_pages - 1, WB) for pin in self.owner.pins(1)]
        self.assertEqual(listed, [(VRAM, VRAM + 9, WB), (VRAM + 20, VRAM + 99, WB)])
        self.assertEqual(sorted(self.domain.pins()), listed)
        self.owner.destroy(cookie)
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])

    def test_no_pin_is_left(self):
        """Who insists is refused before a page moves."""
        cookie = self.create(require_cache_attr=True)
        for i in range(63):
            self.owner.pin(1, PINS + i, 1)
        message = self.refused(pb.LIMIT, errno.EDQUOT, self.destroy, cookie, 100, 300)
        for word in ("domain 1", "64 pins", "asks for 1 more", "at most 64"):
            self.assertIn(word, message)
        self.assertEqual(self.owner.map(cookie), [(0, NR_PAGES, pb.AT_VRAM, VRAM)])
        self.destroy(cookie, 0, 100)  # takes no more than there was
        self.owner.destroy(cookie)
        self.owner.pin(1, PINS + 63, 1)
        for dry_run in (True, False):
            self.refused(pb.LIMIT, errno.EDQUOT, self.create, require_cache_attr=True, dry_run=dry_run)
        self.assert_contents(self.before, self.domain)
        self.assertFalse(self.owner.create(1, VRAM, BACKING, NR_PAGES).pinned)

    def test_each_missing_pin_is_told_of(self):
        cookie = self.create()
        view = View(self.build, self.host.path)
        self.addCleanup(view.close)
        view.depopulate(1, VRAM + 150)
        # A piece that never had a pin of its own is unpinned first.
        view.fault("pin", 1, 2, errno.ENOSPC, lasting=True)
        message = self.destroy(cookie, 100, 300).message
        self.assertIn(f"the pin of gfn {VRAM:#x} + 100 pages", message)
        self.assertIn("so are 1 more of its pins", message)
        self.assertIn("1 of 300 pages are neither at vram nor at backing", message)

    def test_adopted(self):
        self.before = self.domain.contents()
        cookie = self.owner.create(1, BACKING, 0, NR_PAGES, adopt=True).cookie
        self.destroy(cookie, 100, 300)
        self.assert_contents(self.before, self.domain)
        self.assertEqual(sorted(self.domain.pins()), [(BACKING, BACKING + 99, WB), (BACKING + 400, BACKING + 599, WB)])


if __name__ == "__main__":
    unittest.main()
