# SPDX-License-Identifier: LGPL-2.1-or-later
"""Readers that keep a copy of the guest's picture, each by another of the protocol's ways."""

import os
import random
import select
import time

import protocol
import xenvram_pb2 as pb
from harness import Follower


class PictureFollower(Follower):
    """
    Copies a page whenever it is told that the page is dirty, as a viewer would. A page whose last
    change was never reported shows in the end as a copy that differs from the guest's memory.
    """

    def __init__(self, domain, vram, nr_pages):
        super().__init__()
        pages = domain.pages()
        self.domain = domain
        self.offsets = [pages[vram + i] for i in range(nr_pages)]
        self.copies = [None] * nr_pages
        self.cursor = 0
        self.reported = 0

    def take(self, pages, cursor):
        for page in pages:
            self.copies[page] = self.domain.read(self.offsets[page])
        self.reported += len(pages)
        self.cursor = cursor

    def stale_pages(self):
        return [
            i for i, offset in enumerate(self.offsets) if self.copies[i] != self.domain.read(offset)
        ]


class LogFollower(PictureFollower):
    """Looks at the mapped log whenever it likes."""

    def __init__(self, domain, vram, nr_pages, log, max_pause):
        super().__init__(domain, vram, nr_pages)
        self.log = log
        self.max_pause = max_pause

    def step(self):
        self.take(*self.log.scan(self.cursor))
        time.sleep(random.uniform(0, self.max_pause))


class WakeFollower(PictureFollower):
    """Looks at the mapped log when it is woken, and only then."""

    def __init__(self, domain, vram, nr_pages, log, wake_fd):
        super().__init__(domain, vram, nr_pages)
        self.log = log
        self.wake_fd = wake_fd
        self.wakes = 0
        self.longest_gap = 0.0
        self.last_wake = time.monotonic()
        self.take(*log.scan(0))

    def step(self):
        ready, _, _ = select.select([self.wake_fd], [], [], 0.05)
        if not ready:
            return
        if not os.read(self.wake_fd, 4096):
            raise EOFError("the wake pipe has ended")
        self.take(*self.log.scan(self.cursor))
        now = time.monotonic()
        self.longest_gap = max(self.longest_gap, now - self.last_wake)
        self.last_wake = now
        self.wakes += 1


class SnapshotFollower(PictureFollower):
    """Asks by message; asks again when the daemon says so, or was restarted."""

    def __init__(self, domain, vram, nr_pages, client, cookie, sync):
        super().__init__(domain, vram, nr_pages)
        self.client = client
        self.cookie = cookie
        self.sync = sync
        self.restarts = 0

    def step(self):
        try:
            self.take(*self.client.snapshot(self.cookie, self.cursor, sync=self.sync))
        except protocol.Restarted:
            self.restarts += 1
        except protocol.Failed as failed:
            if failed.status != pb.RETRY:
                raise
        time.sleep(random.uniform(0, 0.02))
