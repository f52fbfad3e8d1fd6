# SPDX-License-Identifier: LGPL-2.1-or-later
"""MarkDirty and Refresh: pages that are dirty although the hypervisor does not know."""

import os
import select
import signal

import xenvram_pb2 as pb
from harness import SimTest

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 200


def run(first, nr_pages):
    return pb.Run(first=first, nr_pages=nr_pages)


class Marks(SimTest):
    def setUp(self):
        super().setUp()
        self.add_domain(1)
        self.owner = self.client()
        self.cookie = self.owner.create(1, VRAM, BACKING, NR_PAGES).cookie

    def mark(self, *runs, cookie=None):
        return self.owner.call("mark_dirty", pb.MarkDirty(cookie=cookie or self.cookie, runs=runs))

    def test_every_reader_sees_the_pages_when_the_reply_is_there(self):
        reader = self.client()
        subscribed = reader.subscribe(self.cookie, want_wake=True)
        log = self.open_log(subscribed)
        _, generation = reader.snapshot(self.cookie, sync=True)
        cursor = log.scan(0)[1]

        self.mark(run(0, 1), run(150, 10), run(160, 40))
        expected = {0} | set(range(150, 200))
        self.assertEqual(set(log.scan(cursor)[0]), expected)
        self.assertEqual(set(reader.snapshot(self.cookie, since=generation)[0]), expected)
        self.assertEqual(log.counters()["dirty_device_model"], 51)
        readable, _, _ = select.select([subscribed.wake_fd], [], [], 5)
        self.assertTrue(readable)

    def test_a_region_that_nobody_watches(self):
        _, generation = self.owner.snapshot(self.cookie)
        self.mark(run(7, 2))
        self.assertEqual(self.owner.snapshot(self.cookie, since=generation)[0], [7, 8])

    def test_refresh_is_every_page_once(self):
        subscribed = self.owner.subscribe(self.cookie)
        _, generation = self.owner.snapshot(self.cookie, sync=True)
        self.owner.call("refresh", pb.Refresh(cookie=self.cookie))
        pages, generation = self.owner.snapshot(self.cookie, since=generation)
        self.assertEqual(len(pages), NR_PAGES)
        pages, _ = self.owner.snapshot(self.cookie, since=generation, sync=True)
        self.assertEqual(pages, [])
        self.owner.unsubscribe(subscribed)

    def test_what_is_wrong_is_refused_and_marks_nothing(self):
        _, generation = self.owner.snapshot(self.cookie)
        for runs in ([], [run(5, 0)], [run(2 * i, 1) for i in range(1025)], [run(5, 2), run(6, 1)], [run(9, 1), run(3, 1)], [run(1 << 40, 1)], [run(0, (1 << 64) - 1)]):
            self.refused(pb.INVALID, 22, self.mark, *runs)
        for wrong in (run(NR_PAGES, 1), run(NR_PAGES - 1, 2)):
            self.refused(pb.INVALID, 34, self.mark, run(3, 1), wrong)
        self.refused(pb.NOT_FOUND, 2, self.mark, run(0, 1), cookie=self.cookie ^ 1)
        self.refused(pb.NOT_FOUND, 2, self.owner.call, "refresh", pb.Refresh(cookie=self.cookie ^ 1))
        self.assertEqual(self.owner.snapshot(self.cookie, since=generation)[0], [])

    def test_a_mark_survives_the_worker(self):
        subscribed = self.owner.subscribe(self.cookie)
        log = self.open_log(subscribed)
        self.owner.snapshot(self.cookie, sync=True)
        for _ in range(10):
            cursor = log.scan(0)[1]
            serial = self.owner.start("mark_dirty", pb.MarkDirty(cookie=self.cookie, runs=[run(11, 1)]))
            os.kill(self.daemon.await_worker(1), signal.SIGKILL)
            self.owner.finish(serial)
            self.owner.snapshot(self.cookie, sync=True)
            self.assertIn(11, log.scan(cursor)[0])
