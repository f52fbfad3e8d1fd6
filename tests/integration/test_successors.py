# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a role has begun is ended by its successor, or is none of its business."""

import contextlib
import errno
import os
import signal
import subprocess
import unittest

import protocol
import xenvram_pb2 as pb
from harness import SimTest, kill
from waiting import wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 1000  # four chunks
N_RANGES, RANGE_PAGES = 8, 4


class Successors(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.before = self.domain.contents()
        self.asker = self.client()

    def start_tracking(self, i):
        first = VRAM + i * RANGE_PAGES
        request = pb.TrackDirty(domid=1, first_gfn=first, nr_pages=RANGE_PAGES)
        return self.asker.start("track_dirty", request)

    def replace_broker(self, *pending):
        kill(self.daemon.broker_pid())
        for serial in pending:
            with contextlib.suppress(protocol.Restarted):
                self.asker.finish(serial)

    def test_tracking_that_the_worker_before_left_on(self):
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        subscription = self.asker.subscribe(cookie, 3000)
        wait_for(lambda: self.domain.tracked() == (VRAM, NR_PAGES), "tracking begins")
        worker = self.daemon.worker_pid(1)
        self.asker.unsubscribe(subscription)
        kill(worker)
        wait_for(lambda: self.daemon.worker_pid(1) not in (None, worker), "there is another worker")
        wait_for(lambda: self.domain.tracked() is None, "tracking ends, as nobody follows")

    def test_polls_of_the_broker_before(self):
        """
        Polls that wait for their time when the broker dies are not answered to the next one, which would take
        the answers for those to its own commands with the same numbers: here that pages were moved back.
        """
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        for i in range(N_RANGES):
            self.asker.finish(self.start_tracking(i))
        self.host.fault("track", 1, 1, "delay", 800000)
        self.asker.snapshot(cookie, sync=True)
        # Their commands have numbers from about 26 on, and are not due for two seconds.
        self.replace_broker(*[self.start_tracking(i) for i in range(N_RANGES)])
        for _ in range(24):
            self.asker.map(cookie)
        self.host.fault("relocate", 1, "every", "fail", "EBUSY")
        self.host.fault("relocate", 1, 1, "delay", 2500000)
        message = self.refused(pb.STUCK, errno.EBUSY, self.asker.destroy, cookie)
        self.assertIn(f"{NR_PAGES} of {NR_PAGES} pages are still", message)
        self.assertEqual(self.asker.region(cookie).state, pb.REGION_STUCK)
        self.assertNotIn("that nobody gave", self.daemon.log())
        self.host.clear_faults()
        self.asker.destroy(cookie)
        self.assert_contents(self.before, self.domain)


class Channels(SimTest):
    """Broker and worker are well, and yet cannot talk to each other any more."""

    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.before = self.domain.contents()
        self.asker = self.client()
        self.cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        self.asker.snapshot(self.cookie, sync=True)

    def allow_fds(self, pid, n_more):
        """The process can open so many descriptors more; how to take that back."""
        used = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
        limit = [fd for fd in range(len(used) + n_more + 1) if fd not in used][n_more]
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            ids = {line.split()[0]: int(line.split()[1]) for line in file if line[:4] in ("Uid:", "Gid:")}

        def set_limit(n):
            subprocess.run(
                ["prlimit", f"--pid={pid}", f"--nofile={n}:"],
                user=ids["Uid:"],
                group=ids["Gid:"],
                extra_groups=[],
                check=True,
            )

        set_limit(limit)
        return lambda: set_limit(1024)

    def assert_served_again(self):
        subscription = self.asker.subscribe(self.cookie, 5000)
        self.addCleanup(os.close, subscription.log_fd)
        self.asker.snapshot(self.cookie, sync=True)
        self.asker.destroy(self.cookie)
        self.assert_contents(self.before, self.domain)

    def test_the_worker_cannot_take_a_descriptor(self):
        worker = self.daemon.worker_pid(1)
        self.allow_fds(worker, 0)
        subscription = self.asker.subscribe(self.cookie, want_wake=True)
        self.addCleanup(os.close, subscription.wake_fd)
        self.assert_served_again()

    def test_the_broker_cannot_keep_a_descriptor(self):
        worker, broker = self.daemon.worker_pid(1), self.daemon.broker_pid()
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(kill, worker)
        # More than the socket to the worker holds.
        runs = [pb.Run(first=2 * (i % 200), nr_pages=1) for i in range(200)]
        for client in [self.client() for _ in range(10)]:
            for _ in range(30):
                client.start("mark_dirty", pb.MarkDirty(cookie=self.cookie, runs=runs))
        self.asker.regions()
        allow_again = self.allow_fds(broker, 2)  # a pipe, and nothing to send it with
        subscription = self.asker.subscribe(self.cookie, want_wake=True)
        self.addCleanup(os.close, subscription.wake_fd)
        allow_again()
        os.kill(worker, signal.SIGCONT)
        self.assert_served_again()


if __name__ == "__main__":
    unittest.main()
