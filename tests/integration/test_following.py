# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many readers of one picture: each at its own pace, none in another's way, and silence when nobody looks."""

import array
import fcntl
import os
import select
import termios
import time
import unittest

import protocol
import region_log
import xenvram_pb2 as pb
from followers import LogFollower, SnapshotFollower, WakeFollower
from harness import SimTest
from waiting import PATIENCE_S, SLOWNESS, wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 300
PIPE_BYTES = 4096
LINGER_S = 5
MIN_PERIOD_S = 0.001


def bytes_in(fd):
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


class FollowingTest(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.asker = self.client()
        self.cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        self.picture = (self.domain, VRAM, NR_PAGES)

    def subscribe(self, client=None, **more):
        """(subscription, log)"""
        subscription = (client or self.client()).subscribe(self.cookie, **more)
        if subscription.wake_fd is not None:
            self.addCleanup(os.close, subscription.wake_fd)
        return subscription, self.open_log(subscription)

    def idle(self, log):
        """Waits until the region is tracked and what there was to tell has been told. The cursor then."""
        wait_for(lambda: log.state == region_log.TRACKED, "tracking begins")
        polls = log.counters()["polls"]
        wait_for(lambda: log.counters()["polls"] > polls + 2, "polls go on")
        return log.generation

    def wait_wake(self, fd):
        self.assertTrue(select.select([fd], [], [], PATIENCE_S)[0], "nobody was woken")
        return os.read(fd, 2 * PIPE_BYTES)

    def calls(self):
        return self.host.calls(1)

    def check_readers_at_every_pace(self):
        """Each sees the whole picture."""
        readers = [self.subscribe(period_us=period, want_wake=True) for period in (2000, 50000)]
        followers = [
            LogFollower(*self.picture, readers[0][1], max_pause=0.001),
            LogFollower(*self.picture, readers[0][1], max_pause=0.6),
            LogFollower(*self.picture, readers[1][1], max_pause=0.05),
            WakeFollower(*self.picture, readers[0][1], readers[0][0].wake_fd),
            WakeFollower(*self.picture, readers[1][1], readers[1][0].wake_fd),
            SnapshotFollower(*self.picture, self.client(), self.cookie, sync=False),
            SnapshotFollower(*self.picture, self.client(), self.cookie, sync=True),
        ]
        for follower in followers:
            follower.start()
            self.addCleanup(follower.stopping.set)
        for mode in (self.guest.paint, self.guest.sweep):
            # Not fast, so that a loss is not made good by the next drawing.
            self.guest.set_picture(VRAM, NR_PAGES, band_pages=8, pace=2500000)
            mode()
            time.sleep(1.2)
            wait_for(lambda: all(self.guest.counts(NR_PAGES)), "the guest has drawn on every page")
            self.guest.idle()
            _, generation = self.asker.snapshot(self.cookie, 0, sync=True)
            for follower in followers:
                name = type(follower).__name__
                wait_for(lambda: follower.cursor >= generation or follower.error, f"{name} catches up")
                self.assertEqual(follower.stale_pages(), [], name)
        for follower in followers:
            follower.finish()


class Following(FollowingTest):
    def test_readers_at_every_pace(self):
        self.check_readers_at_every_pace()

    def test_each_cursor_gets_what_came_after_it(self):
        """Two readers: what one has seen is still there for the other."""
        _, log = self.subscribe(period_us=2000)
        self.idle(log)
        _, start = log.scan(0)
        cursors = {start: set()}
        for i in range(10):
            page = 13 * i
            before = log.generation
            self.guest.write([VRAM + page], i)
            wait_for(lambda: log.generation > before, "the write is published")
            for pages in cursors.values():
                pages.add(page)
            cursors[log.generation] = set()
        for cursor, pages in cursors.items():
            self.assertEqual(set(log.scan(cursor)[0]), pages)
            self.assertEqual(set(self.asker.snapshot(self.cookie, cursor)[0]), pages)

    def test_wakes(self):
        subscription, log = self.subscribe(period_us=2000, want_wake=True)
        fd = subscription.wake_fd
        self.wait_wake(fd)
        self.idle(log)
        while select.select([fd], [], [], 0)[0]:
            os.read(fd, PIPE_BYTES)
        self.assertFalse(select.select([fd], [], [], 0.2)[0], "woken although nothing was drawn")
        for i in range(5):
            cursor = log.generation
            self.guest.write([VRAM + i], i)
            self.wait_wake(fd)
            self.assertEqual(log.scan(cursor)[0], [i], "the log is ahead of the wake")
        # Its end is the pipe's end.
        self.asker.destroy(self.cookie)

        def ended():
            return select.select([fd], [], [], 5)[0] and os.read(fd, PIPE_BYTES) == b""

        wait_for(ended, "the pipe ends")
        self.assertEqual(log.state, region_log.GONE)

    def test_who_asks_for_no_wake_gets_none(self):
        subscription, _ = self.subscribe()
        self.assertIsNone(subscription.wake_fd)

    def test_bad_readers_disturb_nobody(self):
        """Pipes that are never read, closed, or made blocking: the good reader is woken all the same."""
        bad = [self.subscribe(period_us=1000, want_wake=True)[0] for _ in range(4)]
        os.set_blocking(bad[1].wake_fd, True)  # never read either
        closing = self.client()
        subscription = closing.subscribe(self.cookie, period_us=1000, want_wake=True)
        os.close(subscription.wake_fd)
        os.close(subscription.log_fd)
        gone = protocol.Client(self.daemon.socket)
        for want_wake in (True, False):
            lost = gone.subscribe(self.cookie, period_us=1000, want_wake=want_wake)
            os.close(lost.log_fd)
            if want_wake:
                os.close(lost.wake_fd)
        gone.close()
        # Writing into the reader's end of a pipe is impossible, also through /proc.
        with self.assertRaises(OSError):
            os.write(bad[0].wake_fd, b"x")

        good, log = self.subscribe(period_us=5000, want_wake=True)
        follower = WakeFollower(*self.picture, log, good.wake_fd)
        self.guest.set_picture(VRAM, NR_PAGES, pace=50000)
        self.guest.paint()
        follower.start()
        self.addCleanup(follower.stopping.set)
        # More wakes, one a period at most, than a pipe of the smallest size takes bytes.
        mark = pb.MarkDirty(cookie=self.cookie, runs=[pb.Run(first=0, nr_pages=1)])
        deadline = time.monotonic() + PATIENCE_S
        while bytes_in(bad[0].wake_fd) < PIPE_BYTES:
            self.assertLess(time.monotonic(), deadline, "the pipe does not fill")
            for serial in [self.asker.start("mark_dirty", mark) for _ in range(20)]:
                self.asker.finish(serial)
        self.asker.call("mark_dirty", mark)
        self.guest.idle()
        _, generation = self.asker.snapshot(self.cookie, 0, sync=True)
        wait_for(lambda: follower.cursor >= generation or follower.error, "the good reader catches up")
        follower.finish()
        self.assertEqual(follower.stale_pages(), [])
        self.assertLess(follower.longest_gap, 5.0 * SLOWNESS)
        # A pipe that was full wakes again once it is read empty.
        self.assertEqual(len(self.wait_wake(bad[0].wake_fd)), PIPE_BYTES)
        self.guest.write([VRAM], 1)
        self.wait_wake(bad[0].wake_fd)

    def test_the_shortest_period_counts(self):
        _, log = self.subscribe(period_us=500000)
        self.idle(log)
        self.assertEqual(log.counters()["period_ns"], 500000000)
        fast_client = self.client()
        fast = fast_client.subscribe(self.cookie, period_us=2000)
        wait_for(lambda: log.counters()["period_ns"] == 2000000, "the faster period is taken")
        fast_client.close()
        os.close(fast.log_fd)
        wait_for(lambda: log.counters()["period_ns"] == 500000000, "its reader has gone")
        self.assertEqual(self.asker.region(self.cookie).subscriptions, 1)
        polls, began = log.counters()["polls"], time.monotonic()
        time.sleep(1)
        polls = log.counters()["polls"] - polls
        self.assertLess(polls, (time.monotonic() - began) / 0.5 + 3, "and so have its polls")

    def test_nobody_looks_and_nothing_happens(self):
        """Tracking ends five seconds after the last reader, and until then it has every bit."""
        reader = self.client()
        subscription, log = self.subscribe(reader, period_us=2000)
        cursor = self.idle(log)
        reader.unsubscribe(subscription)
        # A poll may be under way.
        calls = self.when_steady(self.calls)
        self.guest.write([VRAM + 42], 1)
        time.sleep(1)
        self.assertEqual(self.calls(), calls, "hypercalls while nobody looks")
        self.assertEqual(self.domain.tracked(), (VRAM, NR_PAGES))
        asked = time.monotonic()
        dirty, _ = self.asker.snapshot(self.cookie, cursor)
        self.assertEqual(dirty, [42], "written while nobody looked, and still exact")
        wait_for(lambda: self.domain.tracked() is None, "tracking ends")
        self.assertGreaterEqual(time.monotonic() - asked, LINGER_S)
        wait_for(lambda: log.state == region_log.IDLE, "the log says so")

        calls = self.calls()
        switches = self.when_steady(self.context_switches)
        generation = log.generation
        self.guest.write([VRAM + 43], 1)
        time.sleep(2)
        self.assertEqual(self.calls(), calls, "hypercalls while nobody looks")
        self.assertEqual(log.generation, generation)
        self.assertEqual(self.context_switches(), switches, "a role woke up for nothing")

        dirty, _ = self.asker.snapshot(self.cookie, generation)
        self.assertEqual(dirty, list(range(NR_PAGES)), "the first answer after that")

    def when_steady(self, look):
        """What look() finds once it has found the same for a while."""
        found = look()

        def steady():
            nonlocal found
            before, found = found, (time.sleep(0.2), look())[1]
            return found == before

        wait_for(steady, "nothing happens any more")
        return found

    def context_switches(self):
        """How often each role has slept."""
        found = {}
        for pid in (self.daemon.process.pid, self.daemon.broker_pid(), self.daemon.worker_pid(1)):
            with open(f"/proc/{pid}/status", encoding="ascii") as status:
                lines = dict(line.split(":", 1) for line in status if line.startswith("voluntary"))
            found[pid] = int(lines["voluntary_ctxt_switches"])
        return found

    def test_a_snapshot_alone_makes_no_polls_go_on(self):
        self.asker.snapshot(self.cookie)
        tracks = self.calls()["track"]
        time.sleep(1)
        self.assertEqual(self.calls()["track"], tracks)
        self.asker.snapshot(self.cookie)
        self.assertEqual(self.calls()["track"], tracks + 1)

    def test_sync_is_now(self):
        """A watched region answers from its last poll, unless it is told to look."""
        _, log = self.subscribe(period_us=10000000)
        self.idle_once(log)
        _, since = self.asker.snapshot(self.cookie, 0, sync=True)
        self.guest.write([VRAM + 5], 1)
        self.assertEqual(self.asker.snapshot(self.cookie, since)[0], [])
        self.assertEqual(self.asker.snapshot(self.cookie, since, sync=True)[0], [5])

    def idle_once(self, log):
        wait_for(lambda: log.state == region_log.TRACKED, "tracking begins")

    def test_many_snapshots_share_a_hypercall(self):
        """Who asks while a hypercall is under way shares the next one."""
        self.host.fault("track", 1, "every", "delay", 20000)
        clients = [self.client() for _ in range(8)]
        tracks = self.calls()["track"]
        for _ in range(5):
            serials = [
                (client, client.start("snapshot", pb.Snapshot(cookie=self.cookie, sync=True)))
                for client in clients
                for _ in range(4)
            ]
            for client, serial in serials:
                self.assertEqual(client.finish(serial)[0].status, pb.OK)
        self.assertLess(self.calls()["track"] - tracks, 5 * 8 * 4 / 2)

    def test_hypercalls_keep_their_distance(self):
        """However many ask, one after the other."""
        tracks, began = self.calls()["track"], time.monotonic()
        for _ in range(200):
            self.asker.snapshot(self.cookie, sync=True)
        tracks = self.calls()["track"] - tracks
        self.assertLessEqual(tracks, (time.monotonic() - began) / MIN_PERIOD_S + 2)


class OnShadowPaging(FollowingTest):
    """Shadow paging says ENODATA where HAP says all dirty."""

    host_options = {"mode": "shadow"}

    def test_readers_at_every_pace(self):
        self.check_readers_at_every_pace()

    def test_snapshots(self):
        dirty, since = self.asker.snapshot(self.cookie)
        self.assertEqual(dirty, list(range(NR_PAGES)))
        dirty, since = self.asker.snapshot(self.cookie, since)
        for page in (0, 77, NR_PAGES - 1):
            self.guest.write([VRAM + page], 1)
            dirty, since = self.asker.snapshot(self.cookie, since)
            self.assertEqual(dirty, [page])


class BeyondOneHypercall(SimTest):
    """dom0's kernel passes on at most 32768 pages; what lies beyond is always dirty, so nobody loses it."""

    host_options = {"frames": 100000}

    def test_untracked_pages(self):
        tracked, nr_pages = 32768, 33000
        domain = self.add_domain(1, ram_mib=160)
        guest = self.add_guest(domain)
        asker = self.client()
        cookie = asker.create(1, VRAM, BACKING, nr_pages).cookie
        subscription = asker.subscribe(cookie, period_us=5000)
        log = self.open_log(subscription)
        wait_for(lambda: log.state == region_log.PARTIAL, "tracking begins")
        self.assertEqual(log.counters()["untracked_pages"], nr_pages - tracked)
        _, since = asker.snapshot(cookie, 0, sync=True)
        guest.write([VRAM, VRAM + tracked - 1], 1)
        dirty, _ = asker.snapshot(cookie, since, sync=True)
        self.assertEqual(dirty, [0, tracked - 1, *range(tracked, nr_pages)])
        message = asker.call("snapshot", pb.Snapshot(cookie=cookie, since=since, sync=True)).message
        for word in ("domain 1", f"{nr_pages - tracked} of the {nr_pages} pages", hex(VRAM), "dm_op_buf_max_size"):
            self.assertIn(word, message)

    def test_an_untracked_range(self):
        """Beside a region that one call just covers."""
        self.add_domain(1, ram_mib=160)
        asker = self.client()
        cookie = asker.create(1, VRAM, BACKING, 32768).cookie
        asker.subscribe(cookie, period_us=5000)
        request = pb.TrackDirty(domid=1, first_gfn=0x100, nr_pages=10)
        wait_for(lambda: "10 of the 10 pages" in asker.call("track_dirty", request).message, "that is said")
        asker.destroy(cookie)
        wait_for(lambda: not asker.call("track_dirty", request).message, "it is tracked")


if __name__ == "__main__":
    unittest.main()
