# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another domain has the domid before the service has heard of the death of the one it knew."""

import contextlib
import errno
import os
import signal
import unittest

import protocol
from harness import Daemon, SimTest, kill
from people import needs_root
from protocol import pb
from waiting import SLOWNESS, wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 16
LONG_US = int(1000000 * SLOWNESS)
SLOT_BYTES = 256  # of the journal
NEW = pb.CreateRegion(domid=1, vram_gfn=VRAM + 0x1000, backing_gfn=BACKING + 0x100, nr_pages=NR_PAGES)


class ReplacedTest(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.asker = self.client()

    def replace(self):
        self.domain.destroy(unheard=True)
        self.domain = self.add_domain(1)

    def bound(self):
        client = self.client()
        client.bind(1)
        return client

    @contextlib.contextmanager
    def stopped(self, pid):
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def begin(self, kind, nth, operation, request):
        """Asks as an administrator; that call of the worker, which starts for it, is delayed by LONG_US. The serial."""
        calls = self.host.begun(kind)
        self.host.fault(kind, 1, nth, "delay", LONG_US)
        serial = self.asker.start(operation, request)
        self.host.await_begun(kind, calls + nth)
        return serial

    def status(self, client, serial):
        return pb.Status.Name(client.finish(serial)[0].status)


class WhileItsWorkerStarts(ReplacedTest):
    def have_it_served_by_others(self, name):
        """By another daemon: its pages are in place, pinned and tracked."""
        directory = os.path.join(self.directory, name)
        os.mkdir(directory)
        other = Daemon(self.build, self.host, directory)
        self.addCleanup(other.end)
        other.start()
        client = protocol.Client(other.socket)
        self.addCleanup(client.close)
        cookie = client.create(1, VRAM, BACKING, NR_PAGES).cookie
        os.close(client.subscribe(cookie, 10000000).log_fd)
        wait_for(lambda: self.domain.tracked() == (VRAM, NR_PAGES), "it is tracked")
        return other

    def test_nothing_is_done_to_the_other(self):
        """Whatever call of the worker it comes before. When a page is held nobody can replace the domain any more."""
        for kind, nth in (("modified", 1), ("map", 1), ("map", 2)):
            with self.subTest(kind, nth=nth):
                serial = self.begin(kind, nth, "create_region", NEW)
                with self.stopped(self.daemon.await_worker(1)):
                    self.replace()
                    other = self.have_it_served_by_others(f"{kind}{nth}")
                    before = self.domain.contents(), self.domain.pins()
                    calls = self.host.calls(1)
                self.assertEqual(self.status(self.asker, serial), "NO_DOMAIN")
                self.daemon.await_no_worker(1)
                self.assertEqual((self.domain.contents(), self.domain.pins()), before)
                self.assertEqual(self.domain.tracked(), (VRAM, NR_PAGES), "tracking was stopped")
                now = self.host.calls(1)
                for what in ("relocate", "pin", "stops"):
                    self.assertEqual(now[what], calls[what], what)
                other.kill()
                self.host.clear_faults()
                self.asker.destroy(self.asker.call("create_region", NEW).create_region.cookie)
                self.daemon.await_no_worker(1)

    def test_that_the_other_cannot_be_served(self):
        """Is nothing to whoever meant the dead one."""
        serial = self.begin("modified", 1, "create_region", NEW)
        with self.stopped(self.daemon.await_worker(1)):
            self.replace()
            self.host.fault("map", 1, "every", "fail", "EFAULT")
        self.assertEqual(self.status(self.asker, serial), "NO_DOMAIN")
        self.daemon.await_no_worker(1)


class Journal(ReplacedTest):
    """It has a region of a dead domain, which could not be erased, before one of that which has the domid now."""

    def setUp(self):
        super().setUp()
        path = os.path.join(self.daemon.directory, "journal")
        self.asker.create(1, VRAM, BACKING, NR_PAGES)
        with open(path, "rb") as file:
            of_the_dead = file.read(SLOT_BYTES)
        self.domain.destroy()
        wait_for(lambda: not self.asker.regions(), "the region of the dead one goes")
        self.daemon.await_no_worker(1)
        self.domain = self.add_domain(1)
        self.before = self.domain.contents()
        first = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        self.cookie = self.asker.call("create_region", NEW).create_region.cookie
        self.asker.destroy(first)
        self.assertEqual(self.daemon.stop(), 0)
        with open(path, "r+b") as file:
            file.write(of_the_dead)

    def test_the_living_is_served(self):
        self.daemon.start()
        asker, bound = self.client(), self.bound()
        mapping = bound.start("map_region", pb.MapRegion(cookie=self.cookie))
        asker.snapshot(self.cookie, sync=True)
        self.assertEqual(self.status(bound, mapping), "OK")
        bound.destroy(self.cookie)
        self.assertEqual(asker.regions(), [])
        self.assert_contents(self.before, self.domain)
        bound.create(1, VRAM, BACKING, NR_PAGES)


@needs_root
class Bound(ReplacedTest):
    def test_the_dead_ones_see_nothing_of_the_living(self):
        old = self.bound()
        self.replace()
        pin = pb.PinCacheattr(domid=1, first_gfn=VRAM, nr_pages=NR_PAGES, cache_attr=pb.UC)
        serial = self.begin("modified", 1, "pin_cacheattr", pin)
        self.assertEqual(len(self.asker.pins(1)), 1)
        self.assertEqual((old.pins(1), old.regions(), old.domains()), ([], [], []))
        asks = (
            lambda: old.pin(1, VRAM + 1, NR_PAGES),
            lambda: old.unpin(1, VRAM, NR_PAGES),
            lambda: old.create(1, VRAM, BACKING, NR_PAGES),
            lambda: old.move_ram(1, BACKING, VRAM, NR_PAGES),
        )
        for ask in asks:
            message = self.refused(pb.RETRY, errno.EAGAIN, ask)
            self.assertNotIn(hex(VRAM), message)
        self.assertEqual(self.status(self.asker, serial), "OK")
        for ask in (*asks, lambda: old.pins(1)):
            self.refused(pb.NO_DOMAIN, errno.ESRCH, ask)
        self.assertEqual([(p.first_gfn, p.nr_pages) for p in self.bound().pins(1)], [(VRAM, NR_PAGES)])

    def test_the_living_ones_are_not_refused_for_the_dead(self):
        """What one of these asks for is all that the broker knows of the domid."""
        old = self.bound()
        self.replace()
        new = self.bound()
        with self.stopped(self.daemon.process.pid):
            request = pb.MapRam(domid=1, source_gfn=BACKING, destination_gfn=VRAM, nr_pages=1)
            serial = old.start("map_ram", request)
            wait_for(lambda: self.asker.domains(), "the broker knows of the domain")
            self.refused(pb.RETRY, errno.EAGAIN, new.create, 1, VRAM, BACKING, NR_PAGES)
            # An administrator means the domain that there is.
            by_number = self.asker.start("create_region", NEW)
        self.assertEqual(self.status(old, serial), "NO_DOMAIN")
        self.assertEqual(self.status(self.asker, by_number), "OK")
        self.assertEqual([region.vram_gfn for region in new.regions()], [NEW.vram_gfn])
        new.create(1, VRAM, BACKING, NR_PAGES)

    def test_the_living_ones_are_not_refused_for_one_that_was_served(self):
        """Its worker is dead, and the next one has not begun."""
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        old, worker = self.bound(), self.daemon.worker_pid(1)
        calls = self.host.begun("modified")
        self.host.fault("modified", 1, 1, "delay", LONG_US)
        kill(worker)
        self.host.await_begun("modified", calls + 1)
        with self.stopped(self.daemon.await_worker(1)):
            self.replace()
            new = self.bound()
            self.refused(pb.RETRY, errno.EAGAIN, new.create, 1, VRAM, BACKING, NR_PAGES)
            serial = old.start("destroy_region", pb.DestroyRegion(cookie=cookie))
        self.assertEqual(self.status(old, serial), "NO_DOMAIN")
        new.create(1, VRAM, BACKING, NR_PAGES)
        self.refused(pb.NO_DOMAIN, errno.ESRCH, old.create, 1, VRAM, BACKING, NR_PAGES)


if __name__ == "__main__":
    unittest.main()
