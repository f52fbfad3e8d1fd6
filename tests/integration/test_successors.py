# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one broker has asked of a worker is none of the next one's business."""

import contextlib
import errno
import unittest

import protocol
import xenvram_pb2 as pb
from harness import SimTest, kill

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


if __name__ == "__main__":
    unittest.main()
