# SPDX-License-Identifier: LGPL-2.1-or-later
"""The life of a region, as PROTOCOL.md and xenvram.proto tell it."""

import os
import random
import unittest

import region_log
import xenvram_pb2 as pb
from harness import SimTest
from waiting import wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 200


class Life(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.client_a = self.client()

    def create(self, **more):
        return self.client_a.create(1, VRAM, BACKING, NR_PAGES, **more)

    def test_pages_follow_and_come_back(self):
        before = self.domain.contents()
        created = self.create()
        self.assertNotEqual(created.cookie, 0)
        self.assertTrue(created.pinned)
        self.assert_moved(before, self.domain, VRAM, BACKING, NR_PAGES)
        self.assertEqual(self.domain.pins(), [(VRAM, VRAM + NR_PAGES - 1, 6)])  # 6: write-back
        self.client_a.destroy(created.cookie)
        self.assert_contents(before, self.domain)
        self.assertEqual(self.domain.pins(), [])
        self.refused(pb.NOT_FOUND, 2, self.client_a.snapshot, created.cookie)

    def test_what_the_guest_writes_meanwhile_comes_back_too(self):
        created = self.create()
        self.guest.write([VRAM + i for i in range(NR_PAGES)], 0x1000)
        before = self.domain.contents()
        self.client_a.destroy(created.cookie)
        self.assertEqual(self.guest.read([BACKING + i for i in range(NR_PAGES)]), [0x1000 + i for i in range(NR_PAGES)])
        after = self.domain.contents()
        for i in range(NR_PAGES):
            self.assertEqual(after[BACKING + i], before[VRAM + i], f"page {i}")

    def test_every_memory_type_is_pinned(self):
        types = {pb.WB: 6, pb.UC: 0, pb.UC_MINUS: 7, pb.WC: 1, pb.WT: 4, pb.WP: 5}
        for attr, pinned_as in types.items():
            with self.subTest(pb.CacheAttr.Name(attr)):
                created = self.create(cache_attr=attr, require_cache_attr=True)
                self.assertEqual([pin[2] for pin in self.domain.pins()], [pinned_as])
                self.client_a.destroy(created.cookie)

    def test_lists(self):
        other = self.add_domain(2)
        created = self.create(cache_attr=pb.WC)
        theirs = self.client_a.create(2, VRAM, BACKING, 10)
        mine = self.client_a.regions(1)
        self.assertEqual([r.cookie for r in mine], [created.cookie])
        region = mine[0]
        uuid = self.host.simxen("list").split()
        self.assertIn(region.domain_uuid, uuid)
        self.assertEqual(
            (region.domid, region.vram_gfn, region.backing_gfn, region.nr_pages, region.cache_attr, region.state),
            (1, VRAM, BACKING, NR_PAGES, pb.WC, pb.ACTIVE),
        )
        self.assertEqual((region.pinned, region.owner_uid), (True, os.getuid()))
        self.assertEqual((region.subscriptions, region.period_us), (0, 0))
        cookies = [r.cookie for r in self.client_a.regions()]
        self.assertEqual(cookies, sorted([created.cookie, theirs.cookie]))

        self.client_a.subscribe(created.cookie, period_us=50000)
        self.client_a.subscribe(created.cookie, period_us=20000)
        region = self.client_a.region(created.cookie)
        self.assertEqual((region.subscriptions, region.period_us), (2, 20000))
        domains = self.client_a.domains()
        self.assertEqual([(d.domid, d.regions, d.subscriptions) for d in domains], [(1, 1, 2), (2, 1, 0)])
        self.assertTrue(all(d.worker_running for d in domains))
        self.client_a.destroy(theirs.cookie)
        self.assertEqual([d.domid for d in self.client_a.domains()], [1])
        self.daemon.await_no_worker(2)
        self.assertEqual(len(other.pages()), other.ram_pages)

    def test_snapshot_tells_exactly_what_was_written(self):
        cookie = self.create().cookie
        dirty, since = self.client_a.snapshot(cookie)
        self.assertEqual(dirty, list(range(NR_PAGES)), "the first answer has every page")
        for seed in range(20):
            written = sorted(random.Random(seed).sample(range(NR_PAGES), 1 + seed * 5))
            self.guest.write([VRAM + i for i in written], seed)
            dirty, next_since = self.client_a.snapshot(cookie, since)
            self.assertEqual(dirty, written)
            self.assertGreater(next_since, since)
            dirty, again = self.client_a.snapshot(cookie, next_since)
            self.assertEqual((dirty, again), ([], next_since), "nothing was written")
            since = next_since
        dirty, _ = self.client_a.snapshot(cookie, 0)
        self.assertEqual(dirty, list(range(NR_PAGES)))

    def test_edges_of_a_bitmap(self):
        """Sizes around a byte, a word and a block of the log: no page more, none less."""
        for nr_pages in (1, 7, 8, 9, 63, 64, 65, 127, 128, 129):
            with self.subTest(nr_pages):
                cookie = self.client_a.create(1, VRAM + 3, BACKING, nr_pages).cookie
                dirty, since = self.client_a.snapshot(cookie)
                self.assertEqual(dirty, list(range(nr_pages)))
                self.guest.write([VRAM + 3, VRAM + 3 + nr_pages - 1], 1)
                dirty, _ = self.client_a.snapshot(cookie, since)
                self.assertEqual(dirty, sorted({0, nr_pages - 1}))
                self.client_a.destroy(cookie)

    def test_two_regions_of_a_domain_do_not_disturb_each_other(self):
        first = self.create().cookie
        second = self.client_a.create(1, VRAM + 0x1000, BACKING + 0x100, 50).cookie
        # Both are in one range of the hypervisor in the end, whose bits a read for either clears.
        since_first, since_second = self.settle(self.client_a, first, second)
        self.guest.write([VRAM + 7, VRAM + 0x1000 + 9], 5)
        self.assertEqual(self.client_a.snapshot(first, since_first)[0], [7])
        self.assertEqual(self.client_a.snapshot(second, since_second)[0], [9])
        self.client_a.destroy(first)
        (since_second,) = self.settle(self.client_a, second)
        self.guest.write([VRAM + 0x1000 + 11], 5)
        self.assertEqual(self.client_a.snapshot(second, since_second)[0], [11])

    def test_subscription(self):
        cookie = self.create().cookie
        reader = self.client()
        subscription = reader.subscribe(cookie, period_us=5000, want_wake=True)
        self.assertEqual((subscription.nr_pages, subscription.period_us), (NR_PAGES, 5000))
        log = self.open_log(subscription)
        self.assertEqual((log.nr_pages, log.cookie), (NR_PAGES, cookie))
        wait_for(lambda: log.state == region_log.TRACKED, "the region is tracked")
        self.assertEqual(log.counters()["period_ns"], 5000000)
        dirty, cursor = log.scan(0)
        self.assertEqual(dirty, list(range(NR_PAGES)))
        wait_for(lambda: log.counters()["polls"] > 5, "polls go on")
        cursor = log.generation
        self.guest.write([VRAM + 100], 9)
        wait_for(lambda: log.generation > cursor, "the write is published")
        self.assertEqual(log.scan(cursor)[0], [100])
        heat = log.heat(100)
        self.guest.write([VRAM + 100], 10)
        wait_for(lambda: log.heat(100) > heat, "the page's heat rises")
        reader.unsubscribe(subscription)
        self.refused(pb.NOT_FOUND, 2, reader.unsubscribe, subscription)
        wait_for(lambda: log.state == region_log.IDLE, "nobody watches", 10)

    def test_a_log_cannot_be_written(self):
        subscription = self.client_a.subscribe(self.create().cookie)
        log = self.open_log(subscription)
        with self.assertRaises(PermissionError):
            region_log.mmap.mmap(log.fd, 0, region_log.mmap.MAP_SHARED, region_log.mmap.PROT_WRITE)
        with self.assertRaises(OSError):
            os.write(log.fd, b"x")
        with self.assertRaises(OSError):
            os.ftruncate(log.fd, 0)

    def test_destroy_while_subscribed(self):
        cookie = self.create().cookie
        reader = self.client()
        subscription = reader.subscribe(cookie, period_us=5000, want_wake=True)
        log = self.open_log(subscription)
        self.client_a.destroy(cookie)
        changed = reader.take_events("region_changed")[0]
        self.assertEqual((changed.cookie, changed.state), (cookie, pb.GONE))
        wait_for(lambda: log.state == region_log.GONE, "the log says so too")
        # Whoever keeps it keeps no memory of the daemon's.
        wait_for(lambda: os.fstat(log.fd).st_blocks * 512 <= region_log.HEADER_BYTES, "its memory goes")
        self.assertEqual(log.scan(0), ([], log.generation))
        self.assertGreater(log.generation, 0)
        self.refused(pb.NOT_FOUND, 2, reader.unsubscribe, subscription)
        self.assertTrue(self.client_a.no_events(0.1), "only subscribers are told")


if __name__ == "__main__":
    unittest.main()
