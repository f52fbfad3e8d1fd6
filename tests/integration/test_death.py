# SPDX-License-Identifier: LGPL-2.1-or-later
"""A domain dies: who watched it is told, its cookies never work again, and its domid can be used anew."""

import errno
import os
import select
import signal
import threading
import time
import unittest

import protocol
import region_log
import xenvram_pb2 as pb
from harness import SimTest, kill
from waiting import PATIENCE_S, wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 100


class Death(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.asker = self.client()

    def create(self, domid=1, vram=VRAM, backing=BACKING):
        return self.asker.create(domid, vram, backing, NR_PAGES).cookie

    def assert_dead(self, cookie):
        wait_for(lambda: self.asker.region(cookie) is None, "the region goes")
        for call in (self.asker.snapshot, self.asker.destroy, self.asker.subscribe):
            self.refused(pb.NOT_FOUND, errno.ENOENT, call, cookie)

    def assert_domid_is_free(self):
        self.daemon.await_no_worker(1)
        self.assertNotIn("sim1", self.host.simxen("list"), "something still holds the dead domain")

    def test_while_watched(self):
        cookies = [self.create(), self.create(vram=VRAM + 0x1000, backing=BACKING + 0x100)]
        reader = self.client()
        watched = []
        for cookie in cookies:
            for want_wake in (True, False):
                subscription = reader.subscribe(cookie, 5000, want_wake)
                watched.append((subscription, self.open_log(subscription)))
        wait_for(lambda: all(log.state == region_log.TRACKED for _, log in watched), "tracking begins")
        self.domain.destroy()
        events = reader.take_events("region_changed", count=2)
        self.assertEqual(sorted(e.cookie for e in events), sorted(cookies), "once for each region")
        for event in events:
            self.assertEqual(event.state, pb.GONE)
            self.assertIn("domain 1", event.reason)
        for subscription, log in watched:
            wait_for(lambda: log.state == region_log.GONE, "the log says so")
            self.refused(pb.NOT_FOUND, errno.ENOENT, reader.unsubscribe, subscription)
            if subscription.wake_fd is not None:
                wait_for(lambda: self.has_ended(subscription.wake_fd), "the wake pipe ends")
                os.close(subscription.wake_fd)
        self.assertTrue(reader.no_events(0.1))
        for cookie in cookies:
            self.assert_dead(cookie)
        self.assert_domid_is_free()
        self.assertEqual(self.asker.domains(), [])

    def has_ended(self, fd):
        return select.select([fd], [], [], 0)[0] and os.read(fd, 4096) == b""

    def test_while_idle(self):
        cookie = self.create()
        self.asker.snapshot(cookie)
        self.domain.destroy()
        self.assert_dead(cookie)
        self.assert_domid_is_free()
        self.assertTrue(self.asker.no_events(0.1), "it did not watch")

    def test_a_successor_is_another_domain(self):
        old = self.create()
        reader = self.client()
        subscription = reader.subscribe(old, 5000)
        old_log = self.open_log(subscription)
        self.domain.destroy()
        self.daemon.await_no_worker(1)
        domain = self.add_domain(1)
        before = domain.contents()
        self.assert_dead(old)
        self.assert_contents(before, domain)
        self.assertEqual(domain.pins(), [])
        new = self.create()
        self.assertNotEqual(new, old)
        self.assert_moved(before, domain, VRAM, BACKING, NR_PAGES)
        self.assertEqual(old_log.state, region_log.GONE)
        generation = old_log.generation
        self.asker.snapshot(new)
        self.refused(pb.NOT_FOUND, errno.ENOENT, reader.snapshot, old)
        self.assertEqual(old_log.generation, generation)
        self.assertEqual([e.cookie for e in reader.take_events("region_changed")], [old])
        self.asker.destroy(new)
        self.assert_contents(before, domain)

    def test_the_domid_is_held_until_it_is_known(self):
        """The worker's page keeps the domid from being given away while its handles live."""
        self.create()
        worker = self.daemon.await_worker(1)
        os.kill(worker, signal.SIGSTOP)  # it cannot react
        try:
            self.domain.destroy()
            with self.assertRaisesRegex(RuntimeError, "File exists"):
                self.host.simxen("create", "1")
        finally:
            os.kill(worker, signal.SIGCONT)
        self.assert_domid_is_free()

    def test_others_live_on(self):
        other = self.add_domain(2)
        before = other.contents()
        theirs = self.create(2)
        mine = self.create(1)
        reader = self.client()
        subscription = reader.subscribe(theirs, 5000)
        log = self.open_log(subscription)
        self.domain.destroy()
        self.assert_dead(mine)
        self.assertEqual(self.asker.region(theirs).state, pb.ACTIVE)
        polls = log.counters()["polls"]
        wait_for(lambda: log.counters()["polls"] > polls, "its polls go on")
        self.assertTrue(reader.no_events(0.1))
        self.asker.destroy(theirs)
        self.assert_contents(before, other)

    def test_while_a_region_is_created(self):
        for i, delay_ms in enumerate((0, 1, 5, 20, 30, 50)):
            with self.subTest(delay_ms):
                if i:
                    self.domain = self.add_domain(1)
                for kind in ("map", "relocate", "pin"):
                    self.host.fault(kind, 1, "every", "delay", 10000)
                request = pb.CreateRegion(domid=1, vram_gfn=VRAM, backing_gfn=BACKING, nr_pages=NR_PAGES)
                serial = self.asker.start("create_region", request)
                time.sleep(delay_ms / 1000)
                self.domain.destroy()
                reply, _ = self.asker.finish(serial)
                if reply.status == pb.OK:
                    self.assert_dead(reply.create_region.cookie)
                else:
                    # While it is dying its memory goes first, but that is not what is said.
                    self.assertEqual(reply.status, pb.NO_DOMAIN, reply.message)
                wait_for(lambda: not self.asker.regions(), "nothing remains")
                self.host.clear_faults()
                self.assert_domid_is_free()

    def test_while_a_region_is_destroyed(self):
        for i, delay_ms in enumerate((0, 5, 15, 30)):
            with self.subTest(delay_ms):
                if i:
                    self.domain = self.add_domain(1)
                cookie = self.create()
                self.host.fault("relocate", 1, "every", "delay", 30000)
                serial = self.asker.start("destroy_region", pb.DestroyRegion(cookie=cookie))
                time.sleep(delay_ms / 1000)
                self.domain.destroy()
                reply, _ = self.asker.finish(serial)
                self.assertIn(reply.status, (pb.OK, pb.NO_DOMAIN, pb.NOT_FOUND), reply.message)
                wait_for(lambda: not self.asker.regions(), "nothing remains")
                self.host.clear_faults()
                self.assert_domid_is_free()

    def test_while_a_region_is_moved_or_loses_a_part(self):
        requests = (
            ("move_region", lambda cookie: pb.MoveRegion(cookie=cookie, vram_gfn=VRAM + 0x1000)),
            ("destroy_region", lambda cookie: pb.DestroyRegion(cookie=cookie, first_page=1, nr_pages=NR_PAGES - 2)),
        )
        for name, request in requests:
            for delay_ms in (0, 5, 15, 30):
                with self.subTest(name, delay_ms=delay_ms):
                    self.domain = self.domain or self.add_domain(1)
                    cookie = self.create()
                    self.host.fault("relocate", 1, "every", "delay", 10000)
                    serial = self.asker.start(name, request(cookie))
                    time.sleep(delay_ms / 1000)
                    self.domain.destroy()
                    self.domain = None
                    reply, _ = self.asker.finish(serial)
                    self.assertIn(reply.status, (pb.OK, pb.NO_DOMAIN, pb.NOT_FOUND), reply.message)
                    wait_for(lambda: not self.asker.regions(), "nothing remains")
                    self.host.clear_faults()
                    self.assert_domid_is_free()

    def test_creating_on_a_domain_that_is_dying(self):
        """Of one that has a worker, and of one that has none: both are told that it is gone."""
        for has_worker in (True, False):
            for _ in range(5):
                with self.subTest(has_worker=has_worker):
                    self.domain = self.domain or self.add_domain(1)
                    if has_worker:
                        self.create()
                    request = pb.CreateRegion(domid=1, vram_gfn=VRAM + 0x1000, backing_gfn=0x600, nr_pages=1)
                    self.domain.destroy()
                    self.domain = None
                    reply, _ = self.asker.finish(self.asker.start("create_region", request))
                    self.assertEqual(reply.status, pb.NO_DOMAIN, reply.message)
                    wait_for(lambda: not self.asker.regions(), "nothing remains")
                    self.assert_domid_is_free()

    def test_while_snapshots_are_taken(self):
        cookie = self.create()
        statuses = []

        def ask():
            client = self.client()
            try:
                while True:
                    client.snapshot(cookie, sync=True)
            except protocol.Failed as failed:
                statuses.append(failed.status)

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        self.domain.destroy()
        for thread in threads:
            thread.join(PATIENCE_S)
        self.assertEqual(len(statuses), 4, "each asker gets its answer")
        self.assertLessEqual(set(statuses), {pb.NOT_FOUND, pb.NO_DOMAIN})
        self.assert_domid_is_free()

    def test_while_the_worker_is_dead(self):
        """Nobody of that domain is there to say so in the log, and yet it is said."""
        cookie = self.create()
        reader = self.client()
        log = self.open_log(reader.subscribe(cookie, 5000))
        wait_for(lambda: log.state == region_log.TRACKED, "tracking begins")
        self.host.fault("modified", 1, "every", "kill", "before")  # no other can start
        kill(self.daemon.await_worker(1))
        self.domain.destroy()
        self.assertEqual(reader.take_events("region_changed")[0].cookie, cookie)
        wait_for(lambda: log.state == region_log.GONE, "the log says so")
        self.assert_dead(cookie)
        self.assert_domid_is_free()

    @unittest.skipIf(os.geteuid() != 0, "binding a connection takes root")
    def test_what_was_bound_to_the_dead_does_not_use_up_its_successor(self):
        """Nor its share of requests that pause the guest."""
        old = self.client()
        old.bind(1)
        self.domain.destroy()
        self.daemon.await_no_worker(1)
        self.domain = self.add_domain(1)
        new = self.client()
        new.bind(1)
        create = pb.CreateRegion(domid=1, vram_gfn=VRAM, backing_gfn=BACKING, nr_pages=NR_PAGES)
        self.refused(pb.NO_DOMAIN, errno.ESRCH, old.create, 1, VRAM, BACKING, NR_PAGES)
        for _ in range(40):
            for serial in [old.start("create_region", create) for _ in range(30)]:
                reply, _ = old.finish(serial)
                self.assertEqual((reply.status, reply.os_error), (pb.NO_DOMAIN, errno.ESRCH), reply.message)
        new.destroy(new.create(1, VRAM, BACKING, NR_PAGES).cookie)

    def test_many_lives(self):
        """A domid that is used again and again leaves nothing behind."""
        for i in range(10):
            if i:
                self.domain = self.add_domain(1)
            cookie = self.create()
            self.domain.destroy()
            self.assert_dead(cookie)
            self.assert_domid_is_free()
        self.assertEqual(self.daemon.role_pids("worker"), [])


if __name__ == "__main__":
    unittest.main()
