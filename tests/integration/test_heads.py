# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several heads of one domain, in one region or in several, each reader with its own pages and its own pace."""

import os
import select
import time

import region_log
import xenvram_pb2 as pb
from harness import SimTest
from waiting import PATIENCE_S, SLOWNESS, wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 300
FAR = VRAM + 40000  # further than what one call of the hypervisor can cover


class Heads(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.asker = self.client()
        self.cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie

    def follow(self, first, nr_pages, cookie=None, **more):
        """(wake descriptor, log) of a reader of its own connection"""
        subscription = self.client().subscribe(
            cookie or self.cookie, first=first, nr_pages=nr_pages, want_wake=True, **more
        )
        self.addCleanup(os.close, subscription.wake_fd)
        return subscription.wake_fd, self.open_log(subscription)

    def wakes(self, fd, seconds):
        """How often it is woken in this time."""
        n, deadline = 0, time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                return n
            os.read(fd, 4096)
            n += 1

    def await_wake(self, fd):
        self.assertTrue(select.select([fd], [], [], PATIENCE_S)[0], "nobody was woken")
        os.read(fd, 4096)

    def quiet(self, *fds):
        for fd in fds:
            wait_for(lambda: self.wakes(fd, 0.3 * SLOWNESS) == 0, "wake-ups end")

    def test_only_the_reader_of_what_changed_is_woken(self):
        left, log = self.follow(0, 100, period_us=2000)
        right, _ = self.follow(100, 200, period_us=2000)
        both, _ = self.follow(50, 100, period_us=2000)
        self.quiet(left, right, both)
        for page, expected in ((7, (1, 0, 0)), (60, (1, 0, 1)), (99, (1, 0, 1)), (100, (0, 1, 1)), (299, (0, 1, 0))):
            cursor = log.generation
            self.guest.write([VRAM + page], page)
            wait_for(lambda: log.generation > cursor, "the write is published")
            self.assertEqual(log.scan(cursor)[0], [page])
            for fd, is_its_own in zip((left, right, both), expected):
                if is_its_own:
                    self.await_wake(fd)
            found = [self.wakes(fd, 0.05) for fd in (left, right, both)]
            self.assertEqual(found, [0, 0, 0], f"page {page} wakes others, or twice")

    def test_each_is_woken_at_its_own_pace(self):
        fast, _ = self.follow(0, 0, period_us=5000)
        slow, _ = self.follow(0, 0, period_us=200000)
        self.guest.set_picture(VRAM, NR_PAGES, band_pages=1, pace=1000)
        self.guest.paint()
        began = time.monotonic()
        n_slow = self.wakes(slow, 2)
        self.assertLessEqual(n_slow, (time.monotonic() - began) / 0.2 + 3)
        self.assertGreaterEqual(n_slow, 2)
        # Where others keep this process from reading, wake-ups add up to one: any two seconds in which there are more
        # than the slow one could ever have.
        wait_for(lambda: self.wakes(fast, 2) > 2 / 0.2 + 3, "the fast one is woken more often")

    def test_what_nobody_follows_is_not_tracked_and_not_lost(self):
        _, log = self.follow(0, 100, period_us=2000)
        wait_for(lambda: log.state == region_log.TRACKED, "tracking begins")
        wait_for(lambda: self.host.inspect(1)["tracked"][1] == 100, "no more than that is tracked")
        pages, whole = self.asker.snapshot(self.cookie)
        self.assertEqual(len(pages), NR_PAGES)  # asks for all, which is followed from now on
        self.guest.write([VRAM + 5, VRAM + 250], 1)
        pages, whole = self.asker.snapshot(self.cookie, whole)
        self.assertLessEqual({5, 250}, set(pages))
        (whole,) = self.settle(self.asker, self.cookie)
        time.sleep(5.2)  # nobody has asked for the rest since
        wait_for(lambda: self.host.inspect(1)["tracked"][1] == 100, "the rest is let go")
        self.guest.write([VRAM + 250], 2)
        # What it can still tell exactly it does; the rest may have changed.
        pages, _ = self.asker.snapshot(self.cookie, whole)
        self.assertEqual(set(pages) - set(range(100)), set(range(100, NR_PAGES)))

    def test_snapshots_of_a_part(self):
        (whole,) = self.settle(self.asker, self.cookie)
        self.guest.write([VRAM + 99, VRAM + 100, VRAM + 149, VRAM + 150], 1)
        self.assertEqual(self.asker.snapshot(self.cookie, whole, first=100, nr_pages=50)[0], [0, 49])
        self.assertEqual(self.asker.snapshot(self.cookie, whole, first=150)[0], [0])
        self.assertEqual(self.asker.snapshot(self.cookie, whole)[0], [99, 100, 149, 150])

    def test_pages_beyond_the_region_are_refused(self):
        for first, nr_pages in ((NR_PAGES, 0), (NR_PAGES, 1), (0, NR_PAGES + 1), (1, NR_PAGES), (1 << 63, 1), (1, (1 << 64) - 1)):
            message = self.refused(
                pb.INVALID, 34, self.asker.subscribe, self.cookie, first=first, nr_pages=nr_pages
            )
            self.assertIn(f"{NR_PAGES} pages of region", message)
            self.refused(pb.INVALID, 34, self.asker.snapshot, self.cookie, first=first, nr_pages=nr_pages)
        self.assertEqual(self.asker.region(self.cookie).subscriptions, 0)

    def test_heads_too_far_apart_for_one_range(self):
        """The larger one is tracked, the other always dirty and said to be so; nothing is lost in either."""
        small = self.asker.create(1, FAR, BACKING + NR_PAGES, 50).cookie
        _, big_log = self.follow(0, 0, period_us=5000)
        _, small_log = self.follow(0, 0, cookie=small, period_us=5000)
        wait_for(lambda: small_log.state == region_log.PARTIAL, "the small head is said to be untracked")
        self.assertEqual(small_log.counters()["untracked_pages"], 50)
        wait_for(lambda: big_log.state == region_log.TRACKED, "the big one is tracked")
        big, little = big_log.generation, small_log.generation
        self.guest.write([VRAM + 3, FAR + 3], 1)
        wait_for(lambda: big_log.generation > big and small_log.generation > little, "both are told")
        self.assertEqual(big_log.scan(big)[0], [3])
        self.assertIn(3, small_log.scan(little)[0])

    def test_idle_regions_are_polled_less_and_snap_back(self):
        fd, log = self.follow(0, 0, period_us=10000)
        wait_for(lambda: log.counters()["stretch"] == region_log.STRETCHED_IDLE, "the pace slows down")
        wait_for(lambda: log.counters()["period_ns"] == 40000000, "down to a quarter")
        self.assertEqual(log.counters()["wanted_period_ns"], 10000000)
        (domain,) = self.asker.domains()
        self.assertEqual((domain.wanted_period_us, domain.period_us), (10000, 40000))
        self.assertEqual(domain.stretch, pb.IDLE)
        self.guest.write([VRAM], 1)
        wait_for(lambda: log.counters()["period_ns"] == 10000000, "the first change ends it")
        self.assertEqual(log.counters()["stretch"], region_log.AS_WANTED)

    def test_a_broker_and_a_worker_that_die_forget_no_part(self):
        fd, log = self.follow(100, 50, period_us=2000)
        for kill in (self.daemon.broker_pid, lambda: self.daemon.await_worker(1)):
            self.quiet(fd)
            os.kill(kill(), 9)
            self.daemon.await_worker(1)
            self.daemon.broker_pid()
            self.quiet(fd)
            cursor = log.generation
            self.guest.write([VRAM + 99, VRAM + 149], 1)
            self.await_wake(fd)
            self.assertEqual(log.scan(cursor)[0], [149])
