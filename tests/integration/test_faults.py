# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hypervisor refuses: nothing is lost, nothing stays half done, and the answer says what happened."""

import errno
import time
import unittest

import region_log
import xenvram_pb2 as pb
from harness import SimTest
from waiting import SLOWNESS, wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 300  # more than one relocation takes
CHUNK_PAGES = 256


class FaultTest(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.before = self.domain.contents()
        self.asker = self.client()

    def create(self, **more):
        return self.asker.create(1, VRAM, BACKING, NR_PAGES, **more)

    def assert_at_home(self):
        self.assertEqual(self.asker.regions(), [])
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])


class Relocation(FaultTest):
    def test_a_creation_is_undone(self):
        for error in ("EINVAL", "EACCES", "EXDEV", "EPERM", "EOVERFLOW", "ENOMEM", "ENOENT", "ENXIO", "EBUSY"):
            for nth, pages in ((1, 0), (1, 1), (1, 77), (1, 255), (2, 0), (2, NR_PAGES - CHUNK_PAGES - 1)):
                with self.subTest(error=error, nth=nth, pages=pages):
                    self.host.fault("relocate", 1, nth, "fail", error, pages)
                    number = getattr(errno, error)
                    message = self.refused(pb.HYPERVISOR, number, self.create)
                    for word in ("domain 1", "move"):
                        self.assertIn(word, message)
                    self.assert_at_home()
        self.asker.destroy(self.create().cookie)
        self.assert_at_home()

    def test_a_creation_that_cannot_be_undone(self):
        """Its region stays listed as stuck, until destroying it succeeds."""
        # Of two faults that strike, the one that was armed last does.
        self.host.fault("relocate", 1, "every", "fail", "EBUSY")
        self.host.fault("relocate", 1, 1, "fail", "ENOMEM", 10)
        message = self.refused(pb.STUCK, errno.EBUSY, self.create)
        self.assertIn(hex(VRAM), message)
        region = self.asker.regions()[0]
        self.assertEqual((region.state, region.vram_gfn, region.nr_pages), (pb.REGION_STUCK, VRAM, NR_PAGES))
        self.assertEqual(len(self.domain.contents()), len(self.before), "no page is lost")
        # Nobody else may have its gfns meanwhile.
        self.refused(pb.CONFLICT, errno.EEXIST, self.asker.create, 1, VRAM, BACKING + 0x180, 10)
        self.host.clear_faults()
        self.asker.destroy(region.cookie)
        self.assert_at_home()

    def test_destruction_gets_stuck_and_can_be_repeated(self):
        cookie = self.create().cookie
        self.host.fault("relocate", 1, "every", "fail", "ENOMEM")
        for _ in range(2):
            message = self.refused(pb.STUCK, errno.EBUSY, self.asker.destroy, cookie)
            self.assertIn(f"{NR_PAGES} of {NR_PAGES} pages", message)
            self.assertIn(hex(VRAM), message, "where the first page is that stayed")
            self.assertEqual(self.asker.region(cookie).state, pb.REGION_STUCK)
            self.assert_moved(self.before, self.domain, VRAM, BACKING, NR_PAGES)
        self.host.clear_faults()
        # Some go home with the first call, and then none.
        self.host.fault("relocate", 1, "every", "fail", "ENOMEM")
        self.host.fault("relocate", 1, 1, "fail", "ENOMEM", 100)
        message = self.refused(pb.STUCK, errno.EBUSY, self.asker.destroy, cookie)
        # The last chunk goes first.
        for word in (f"{NR_PAGES - 100} of {NR_PAGES} pages", hex(VRAM), "Cannot allocate memory"):
            self.assertIn(word, message)
        found = self.domain.contents()
        self.assertEqual(sum(gfn >= VRAM for gfn in found), NR_PAGES - 100)
        self.assertEqual(len(found), len(self.before), "no page is lost")
        self.assertLess(self.daemon.log().count("cannot move pages back"), 20, "said for each page")
        self.host.clear_faults()
        self.asker.destroy(cookie)
        self.assert_at_home()

    def test_one_bad_page_does_not_keep_the_others(self):
        cookie = self.create().cookie
        self.host.fault("relocate", 1, 1, "fail", "EBUSY", 5)
        # The second pass goes page by page; its first call is for page 5.
        self.host.fault("relocate", 1, 2, "fail", "EBUSY")
        self.asker.destroy(cookie)
        self.assert_at_home()

    def test_a_stuck_region_can_still_be_followed(self):
        """Its pages are on the screen as before."""
        cookie = self.create().cookie
        self.host.fault("relocate", 1, "every", "fail", "EBUSY")
        self.refused(pb.STUCK, errno.EBUSY, self.asker.destroy, cookie)
        self.host.clear_faults()
        _, since = self.asker.snapshot(cookie)
        self.guest.write([VRAM + 9], 1)
        self.assertEqual(self.asker.snapshot(cookie, since)[0], [9])

    def test_unpinning_fails(self):
        cookie = self.create().cookie
        self.host.fault("pin", 1, 1, "fail", "EBUSY")
        self.refused(pb.STUCK, errno.EBUSY, self.asker.destroy, cookie)
        self.assertEqual(self.asker.region(cookie).state, pb.REGION_STUCK)
        self.assert_moved(self.before, self.domain, VRAM, BACKING, NR_PAGES)
        self.asker.destroy(cookie)
        self.assert_at_home()


class Pins(FaultTest):
    def test_a_refused_pin_is_a_warning(self):
        for error in ("EPERM", "ENOSPC", "EINVAL"):
            with self.subTest(error):
                self.host.fault("pin", 1, 1, "fail", error)
                request = pb.CreateRegion(domid=1, vram_gfn=VRAM, backing_gfn=BACKING, nr_pages=NR_PAGES, cache_attr=pb.UC)
                reply = self.asker.call("create_region", request)
                self.assertFalse(reply.create_region.pinned)
                self.assertIn("pin", reply.message)
                cookie = reply.create_region.cookie
                self.assertFalse(self.asker.region(cookie).pinned)
                self.assert_moved(self.before, self.domain, VRAM, BACKING, NR_PAGES)
                self.asker.destroy(cookie)
                self.assert_at_home()

    def test_or_an_error_for_who_insists(self):
        for error in ("EPERM", "ENOSPC", "EINVAL"):
            with self.subTest(error):
                self.host.fault("pin", 1, 1, "fail", error)
                message = self.refused(
                    pb.HYPERVISOR, getattr(errno, error), self.create, cache_attr=pb.UC, require_cache_attr=True
                )
                self.assertIn("pin", message)
                self.assert_at_home()


class Tracking(FaultTest):
    """Whatever the hypervisor says of dirty bits that it did not deliver: they are taken for dirty."""

    def follow(self):
        self.cookie = self.create().cookie
        subscription = self.asker.subscribe(self.cookie, period_us=3000)
        log = self.open_log(subscription)
        wait_for(lambda: log.state == region_log.TRACKED, "tracking begins")
        self.asker.snapshot(self.cookie, 0, sync=True)
        self.asker.snapshot(self.cookie, 0, sync=True)
        return log

    def test_one_failure_is_all_dirty_once(self):
        log = self.follow()
        for error in ("ENODATA", "ENOMEM", "EINVAL", "EFAULT", "EAGAIN"):
            with self.subTest(error):
                _, since = self.asker.snapshot(self.cookie, 0, sync=True)
                self.guest.write([VRAM + 7], 1)
                self.host.fault("track", 1, 1, "fail", error)
                wait_for(lambda: len(log.scan(since)[0]) == NR_PAGES, "all is dirty")
                # The answer after a lost one may have to be thrown away too; then it is exact again.
                for _ in range(2):
                    _, since = self.asker.snapshot(self.cookie, 0, sync=True)
                self.guest.write([VRAM + 8], 1)
                self.assertEqual(self.asker.snapshot(self.cookie, since, sync=True)[0], [8])

    def test_a_lasting_failure_is_always_dirty(self):
        log = self.follow()
        self.host.fault("track", 1, "every", "fail", "ENOMEM")
        for _ in range(5):
            since = log.generation
            wait_for(lambda: len(log.scan(since)[0]) == NR_PAGES, "all is dirty")
        time.sleep(0.2)
        self.assertLessEqual(self.daemon.log().count("Cannot allocate memory"), 1, "said once, not at every poll")
        self.assertEqual(log.state, region_log.PARTIAL)
        self.assertEqual(log.counters()["untracked_pages"], NR_PAGES)
        self.host.clear_faults()
        wait_for(lambda: log.state == region_log.TRACKED, "tracking works again")
        for _ in range(2):
            _, since = self.asker.snapshot(self.cookie, 0, sync=True)
        self.guest.write([VRAM + 9], 1)
        self.assertEqual(self.asker.snapshot(self.cookie, since, sync=True)[0], [9])

    def test_it_fails_from_the_start(self):
        self.cookie = self.create().cookie
        self.host.fault("track", 1, "every", "fail", "EINVAL")
        for _ in range(3):
            dirty, since = self.asker.snapshot(self.cookie, 0)
            self.assertEqual(dirty, list(range(NR_PAGES)))
            dirty, _ = self.asker.snapshot(self.cookie, since)
            self.assertEqual(dirty, list(range(NR_PAGES)))

    def test_a_slow_hypervisor_stalls_its_own_domain_alone(self):
        log = self.follow()
        other = self.add_domain(2)
        theirs = self.asker.create(2, VRAM, BACKING, 10).cookie
        log = self.open_log(self.asker.subscribe(theirs, period_us=3000))
        self.host.fault("track", 1, "every", "delay", int(2000000 * SLOWNESS))
        waiting = self.client()
        serial = waiting.start("snapshot", pb.Snapshot(cookie=self.cookie, sync=True))
        polls = log.counters()["polls"]
        for _ in range(20):
            self.asker.regions()
            self.asker.snapshot(theirs, 0, sync=True)
        self.assertGreater(log.counters()["polls"], polls)
        with self.assertRaises(TimeoutError):
            waiting.finish(serial, 0)
        self.host.clear_faults()
        self.assertEqual(waiting.finish(serial)[0].status, pb.OK)
        self.assertEqual(len(other.pages()), other.ram_pages)


if __name__ == "__main__":
    unittest.main()
