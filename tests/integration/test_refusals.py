# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must not be done is refused by name, before anything of the guest is touched."""

import errno
import os
import unittest

import xenvram_pb2 as pb
from harness import SimTest

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 64
MAX_GFN = 1 << 36
MAX_REGION_PAGES = 262144
MAX_U64 = (1 << 64) - 1


class Refusals(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.asker = self.client()

    def create_fails(self, status, os_error, *words, domid=1, vram=VRAM, backing=BACKING, nr_pages=NR_PAGES, **more):
        """Nothing has changed, no hypercall moved or pinned anything, and the message has the words."""
        before = self.domain.contents()
        pins = self.domain.pins()
        calls = self.host.calls(1)
        message = self.refused(status, os_error, self.asker.create, domid, vram, backing, nr_pages, **more)
        for word in words:
            self.assertIn(word, message)
        self.assert_contents(before, self.domain)
        self.assertEqual(self.domain.pins(), pins)
        after = self.host.calls(1)
        self.assertEqual((after["relocate"], after["pin"]), (calls["relocate"], calls["pin"]))

    def test_ranges(self):
        invalid = (pb.INVALID, errno.EINVAL)
        self.create_fails(*invalid, "nr_pages 0", "262144", nr_pages=0)
        self.create_fails(*invalid, "nr_pages 262145", "262144", nr_pages=MAX_REGION_PAGES + 1)
        self.create_fails(*invalid, str(MAX_U64), nr_pages=MAX_U64)
        for name in ("vram", "backing"):
            for first, nr_pages in (
                (MAX_U64, 1),
                (MAX_U64 - 10, 64),  # wraps around
                (MAX_U64 - 63, 64),  # ends exactly at the wrap
                (1 << 63, 64),
                (1 << 52, 64),
                (1 << 41, 64),
                (1 << 40, 64),
                (MAX_GFN, 1),
                (MAX_GFN - 63, 64),
                (MAX_GFN - 1, 2),
            ):
                with self.subTest(name=name, first=hex(first), nr_pages=nr_pages):
                    words = (f"{name}_gfn", hex(first), hex(MAX_GFN))
                    self.create_fails(*invalid, *words, nr_pages=nr_pages, **{name: first})
        self.assertEqual(self.host.calls(1)["map"], 0, "no hypercall was needed to see this")
        self.assertEqual(self.asker.domains(), [])

    def test_the_last_good_gfn_is_good(self):
        before = self.domain.contents()
        cookie = self.asker.create(1, MAX_GFN - NR_PAGES, BACKING, NR_PAGES).cookie
        self.assert_moved(before, self.domain, MAX_GFN - NR_PAGES, BACKING, NR_PAGES)
        self.asker.destroy(cookie)
        self.assert_contents(before, self.domain)

    def test_overlap_of_vram_and_backing(self):
        for vram in (BACKING, BACKING + 1, BACKING + NR_PAGES - 1, BACKING - 1, BACKING - NR_PAGES + 1):
            with self.subTest(hex(vram)):
                self.create_fails(pb.INVALID, errno.EINVAL, hex(vram), hex(BACKING), "overlap", vram=vram)

    def test_overlap_of_another_region(self):
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        free = {"vram": VRAM + 0x1000, "backing": BACKING + 0x100}
        for change in (
            {"vram": VRAM},
            {"vram": VRAM + NR_PAGES - 1},
            {"vram": VRAM - NR_PAGES + 1},
            {"vram": BACKING},
            {"backing": BACKING},
            {"backing": BACKING + NR_PAGES - 1},
            {"backing": BACKING - NR_PAGES + 1},
            {"backing": VRAM},
        ):
            with self.subTest(str(change)):
                mine = hex(next(iter(change.values())))
                self.create_fails(pb.CONFLICT, errno.EEXIST, "domain 1", mine, hex(cookie), **{**free, **change})
        for change in ({"vram": VRAM + NR_PAGES}, {"vram": VRAM - NR_PAGES}):
            with self.subTest(str(change)):
                neighbour = self.asker.create(1, nr_pages=NR_PAGES, **{**free, **change}).cookie
                self.asker.destroy(neighbour)
        # Another domain's gfns are other gfns.
        self.add_domain(2)
        self.asker.create(2, VRAM, BACKING, NR_PAGES)

    def test_populated_destination(self):
        top = self.domain.ram_pages
        conflict = (pb.CONFLICT, errno.EEXIST, "vram", "hole")
        self.create_fails(*conflict, hex(0x300), vram=0x300)
        # Only the first, and only the last page.
        self.create_fails(*conflict, hex(top - 1), "page 0", vram=top - 1)
        outside = self.asker.create(1, VRAM + 2000, BACKING + 0x80, 1).cookie
        self.create_fails(*(pb.CONFLICT, errno.EEXIST, hex(outside)), vram=VRAM + 2000 - NR_PAGES + 1)
        self.asker.destroy(outside)

    def test_populated_destination_in_the_middle(self):
        """Of a page that no region of ours put there."""
        hole = self.domain.ram_pages + 100
        self.asker.create(1, hole + 30, BACKING, 1)
        self.daemon.stop()
        os.unlink(os.path.join(self.daemon.directory, "journal"))
        self.daemon.start()
        self.asker = self.client()
        conflict = (pb.CONFLICT, errno.EEXIST, hex(hole + 30), "page 30", "hole")
        self.create_fails(*conflict, vram=hole, backing=BACKING + 1)

    def test_unpopulated_source(self):
        top = self.domain.ram_pages
        conflict = (pb.CONFLICT, errno.ENXIO, "backing", "populated")
        self.create_fails(*conflict, hex(0x80000), "page 0", backing=0x80000)
        self.create_fails(*conflict, hex(top), f"page {NR_PAGES - 1}", backing=top - NR_PAGES + 1)
        # A hole that a region has left behind in what was memory.
        self.asker.create(1, VRAM + 0x1000, 0x600, 1)
        self.create_fails(pb.CONFLICT, errno.EEXIST, hex(0x600), backing=0x5F0)

    def test_domains(self):
        self.add_domain(3, kind="pv")
        self.create_fails(pb.UNSUPPORTED_DOMAIN, errno.EINVAL, "domain 3", "PV", domid=3)
        self.create_fails(pb.NO_DOMAIN, errno.ESRCH, "domain 77", "not exist", domid=77)
        self.create_fails(pb.UNSUPPORTED_DOMAIN, errno.EPERM, "domain 0", "host", domid=0)
        self.create_fails(pb.INVALID, errno.EINVAL, "domid 32752", "32751", domid=0x7FF0)
        self.create_fails(pb.INVALID, errno.EINVAL, str(0xFFFFFFFF), domid=0xFFFFFFFF)
        self.assertEqual(self.asker.domains(), [], "nothing remains of them")
        self.assertEqual(self.daemon.role_pids("worker"), [])
        # And the service is as good as before.
        self.asker.create(1, VRAM, BACKING, NR_PAGES)

    def test_hvm_is_served_too(self):
        self.add_domain(2, kind="hvm")
        self.asker.create(2, VRAM, BACKING, NR_PAGES)

    def test_cache_attributes(self):
        for value in (6, 7, 77, 0x7FFFFFFF, -1):
            with self.subTest(value):
                self.create_fails(pb.INVALID, errno.EINVAL, f"cache_attr {value}", "0", "5", cache_attr=value)

    def test_periods(self):
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        for period_us in (1, 999, 10000001, 0xFFFFFFFF):
            with self.subTest(period_us):
                message = self.refused(pb.INVALID, errno.EINVAL, self.asker.subscribe, cookie, period_us=period_us)
                for word in (f"period_us {period_us}", "1000", "10000000"):
                    self.assertIn(word, message)
        for period_us in (1000, 10000000):
            self.assertEqual(self.asker.subscribe(cookie, period_us=period_us).period_us, period_us)
        self.assertEqual(self.asker.subscribe(cookie).period_us, 33000)

    def test_unknown_cookies(self):
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        for call in (self.asker.destroy, self.asker.snapshot, self.asker.subscribe):
            with self.subTest(call.__name__):
                self.assertIn(hex(cookie ^ 1), self.refused(pb.NOT_FOUND, errno.ENOENT, call, cookie ^ 1))
                self.refused(pb.INVALID, errno.EINVAL, call, 0)
        self.asker.destroy(cookie)
        for call in (self.asker.destroy, self.asker.snapshot, self.asker.subscribe):
            with self.subTest(call.__name__):
                self.refused(pb.NOT_FOUND, errno.ENOENT, call, cookie)

    def test_unknown_subscriptions(self):
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        subscription = self.asker.subscribe(cookie)
        other = self.client()
        self.refused(pb.NOT_FOUND, errno.ENOENT, other.unsubscribe, subscription)
        self.asker.unsubscribe(subscription)
        self.refused(pb.NOT_FOUND, errno.ENOENT, self.asker.unsubscribe, subscription)
        subscription.id = 0
        self.refused(pb.INVALID, errno.EINVAL, self.asker.unsubscribe, subscription)


class OnNewerXen(Refusals):
    """Xen 4.20 gives other errnos for the same things; nobody may notice."""

    host_options = {"xen": "4.20"}


if __name__ == "__main__":
    unittest.main()
