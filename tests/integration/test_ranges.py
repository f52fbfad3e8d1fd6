# SPDX-License-Identifier: LGPL-2.1-or-later
"""TrackDirty: any range of gfns, followed for one connection."""

import os
import signal
import time

import protocol
import xenvram_pb2 as pb
from harness import SimTest
from waiting import PATIENCE_S, wait_for

VRAM, BACKING, NR_PAGES = 0x5000, 0x400, 100  # one call of the hypervisor covers both
FIRST, N = 0x600, 200  # RAM that is no region's


class Ranges(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.asker = self.client()

    def settled(self, client, first=FIRST, nr_pages=N):
        """The generation after which nothing is dirty."""
        generation = [0]

        def quiet():
            pages, generation[0] = client.track_dirty(1, first, nr_pages, generation[0])
            return not pages

        wait_for(quiet, "nothing is dirty any more")
        return generation[0]

    def test_each_call_has_what_was_written_since_the_one_before(self):
        pages, since = self.asker.track_dirty(1, FIRST, N)
        self.assertEqual(pages, list(range(N)))
        since = self.settled(self.asker)
        for page in (0, 7, N - 1):
            self.guest.write([FIRST + page, FIRST - 1, FIRST + N], page)
            pages, since = self.asker.track_dirty(1, FIRST, N, since)
            self.assertEqual(pages, [page])
        self.assertEqual(self.asker.regions(), [])
        (domain,) = self.asker.domains()
        self.assertEqual((domain.regions, domain.subscriptions), (0, 0))

    def test_ranges_regions_and_readers_share_the_hypervisors_range(self):
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        other = self.client()
        # Across the region's old place, in another connection; and over its vram, in this one.
        low = self.settled(other)
        over = self.settled(self.asker, VRAM - 10, 50)
        (region,) = self.settle(self.asker, cookie)
        low, over = self.settled(other), self.settled(self.asker, VRAM - 10, 50)
        (region,) = self.settle(self.asker, cookie)
        self.guest.write([FIRST + 5, VRAM, VRAM + 39, VRAM + 40], 1)
        self.assertEqual(other.track_dirty(1, FIRST, N, low)[0], [5])
        self.assertEqual(self.asker.track_dirty(1, VRAM - 10, 50, over)[0], [10, 49])
        self.assertEqual(self.asker.snapshot(cookie, region, sync=True)[0], [0, 39, 40])

    def test_it_ends_with_its_connection_and_when_told(self):
        other = protocol.Client(self.daemon.socket)
        since = self.settled(other)
        self.assertEqual(len(self.asker.domains()), 1)
        self.assertEqual(other.track_dirty(1, 0, 0)[0], [])
        wait_for(lambda: not self.asker.domains(), "the domain is let go")
        # A cursor from before has everything before it.
        self.assertEqual(len(other.track_dirty(1, FIRST, N, since)[0]), N)
        other.close()
        wait_for(lambda: not self.asker.domains(), "it ends with its connection")
        wait_for(lambda: self.host.inspect(1)["tracked"][1] == 0, "nothing is tracked")

    def test_a_late_caller_misses_nothing(self):
        since = self.settled(self.asker)
        time.sleep(5.3)
        self.guest.write([FIRST + 1], 1)
        self.assertIn(1, self.asker.track_dirty(1, FIRST, N, since)[0])

    def test_deaths_lose_nothing(self):
        since = self.settled(self.asker)
        for kill in (lambda: self.daemon.await_worker(1), self.daemon.broker_pid):
            self.guest.write([FIRST + 3], 1)
            os.kill(kill(), signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    pages, since = self.asker.track_dirty(1, FIRST, N, since)
                    break
                except (protocol.Restarted, protocol.Failed):
                    self.assertLess(time.monotonic(), deadline)
            self.assertIn(3, pages)
            since = self.settled(self.asker)

    def test_what_is_refused(self):
        for first, nr_pages in ((0, (1 << 18) + 1), (1 << 36, 1), ((1 << 36) - 1, 2), (5, 0)):
            self.refused(pb.INVALID, 22, self.asker.track_dirty, 1, first, nr_pages)
        self.refused(pb.NO_DOMAIN, 3, self.asker.track_dirty, 77, FIRST, N)
        for i in range(8):
            self.asker.track_dirty(1, FIRST + i, N)
        message = self.refused(pb.LIMIT, 122, self.client().track_dirty, 1, FIRST, N)
        self.assertIn("8 ranges", message)
        self.assertEqual(len(self.asker.track_dirty(1, FIRST, N, 0)[0]), N)

    def test_a_domain_that_cannot_be_tracked(self):
        self.host.simxen("create", "2", "--kind", "pv", "--ram-mib", "1")
        for _ in range(10):  # more than may be tracked: none of them stays
            self.refused(pb.UNSUPPORTED_DOMAIN, 22, self.asker.track_dirty, 2, 0x10, 4)
            self.refused(pb.UNSUPPORTED_DOMAIN, 22, self.client().track_dirty, 2, 0x20, 4)
        self.assertEqual(self.asker.domains(), [])

    def test_a_range_is_no_obstacle_and_no_region(self):
        self.asker.track_dirty(1, BACKING, NR_PAGES)
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        self.assertEqual([r.cookie for r in self.asker.regions()], [cookie])
        self.asker.destroy(cookie)

    def test_the_domain_dies(self):
        self.settled(self.asker)
        self.domain.destroy()
        wait_for(lambda: not self.asker.domains(), "it ends with its domain")
        self.refused(pb.NO_DOMAIN, 3, self.asker.track_dirty, 1, FIRST, N)
