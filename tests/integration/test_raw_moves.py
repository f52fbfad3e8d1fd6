# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pages moved outside of regions: all, or none, or exactly said which."""

import errno
import os
import re
import struct
import unittest

import protocol
import xenvram_pb2 as pb
from harness import SimTest, kill
from unwritten import Unwritten
from waiting import wait_for

SOURCE, HOLE, NR_PAGES = 0x400, 0xE0000, 600  # three chunks, the last one short
CHUNK_PAGES = 256
VRAM, BACKING, REGION_PAGES = 0xF0000, 0x300, 100
MAX_REGIONS, MAX_PINS, SLOT_BYTES, MOVE_MAGIC = 1024, 1024, 256, b"XVMJ"


class MoveTest(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.before = self.domain.contents()
        self.asker = self.client()

    def move(self, source=SOURCE, destination=HOLE, nr_pages=NR_PAGES, **more):
        return self.asker.move_ram(1, source, destination, nr_pages, **more)

    def start_slowly(self, nth, delay_us=700000):
        """A move whose nth chunk takes long; the request's serial, when that is under way."""
        relocations = self.host.begun("relocate")
        self.host.fault("relocate", 1, nth, "delay", delay_us)
        request = pb.MoveRam(domid=1, source_gfn=SOURCE, destination_gfn=HOLE, nr_pages=NR_PAGES)
        serial = self.asker.start("move_ram", request)
        self.host.await_begun("relocate", relocations + nth)
        return serial

    def moved(self, pages, source=SOURCE, destination=HOLE):
        """The contents with these pages moved."""
        contents = dict(self.before)
        for page in pages:
            contents[destination + page] = contents.pop(source + page)
        return contents

    def assert_nothing_is_left(self):
        self.assertEqual(self.asker.regions(), [])
        self.assertEqual(self.domain.pins(), [])
        self.assertEqual(self.journal(), [])
        self.daemon.await_no_worker(1)
        self.assertEqual(self.asker.domains(), [])

    def journal(self):
        with open(os.path.join(self.daemon.directory, "journal"), "rb") as file:
            file.seek((MAX_REGIONS + MAX_PINS) * SLOT_BYTES)
            data = file.read()
        return [i // SLOT_BYTES for i in range(0, len(data), SLOT_BYTES) if data[i : i + 4] == MOVE_MAGIC]


class Moves(MoveTest):
    def test_there_and_back(self):
        for nr_pages in (1, CHUNK_PAGES, CHUNK_PAGES + 1, NR_PAGES):
            self.move(nr_pages=nr_pages)
            self.assert_contents(self.moved(range(nr_pages)), self.domain)
            self.move(HOLE, SOURCE, nr_pages)
            self.assert_contents(self.before, self.domain)
        self.assert_nothing_is_left()

    def test_what_is_not_where_it_must_be(self):
        top = max(self.before) + 1
        for source, destination, error, word in (
            (SOURCE, SOURCE + 0x300, errno.EEXIST, "destination"),
            (SOURCE, top - 1, errno.EEXIST, "destination"),
            (HOLE, HOLE + 0x1000, errno.ENXIO, "source"),
            (top - NR_PAGES + 1, HOLE, errno.ENXIO, "source"),
        ):
            message = self.refused(pb.CONFLICT, error, self.move, source, destination)
            self.assertIn(word, message)
            self.assert_contents(self.before, self.domain)
        self.assert_nothing_is_left()

    def test_force_drops_what_is_there(self):
        destination = SOURCE + 0x300
        self.refused(pb.CONFLICT, errno.EEXIST, self.move, SOURCE, destination, 300)
        self.move(SOURCE, destination, 300, force=True)
        expected = {g: c for g, c in self.before.items() if not SOURCE <= g < SOURCE + 300}
        for page in range(300):
            expected[destination + page] = self.before[SOURCE + page]
        self.assert_contents(expected, self.domain)
        who = rf"audit: .*uid={os.getuid()} pid={os.getpid()} .*operation=MoveRam .*force=1 status=OK"
        self.assertEqual(len(re.findall(who, self.daemon.log())), 1, "not in the audit trail")

    def test_force_drops_only_as_far_as_it_came(self):
        destination = SOURCE + 0x300
        self.host.fault("relocate", 1, 2, "fail", "ENOMEM", 10)
        message = self.refused(pb.HYPERVISOR, errno.ENOMEM, self.move, SOURCE, destination, 300, force=True)
        self.assertIn("what was at the first 300 pages of the destination may be dropped", message)
        lost = range(destination, destination + CHUNK_PAGES + 10)
        self.assert_contents({g: c for g, c in self.before.items() if g not in lost}, self.domain)

    def test_force_is_for_administrators(self):
        if os.geteuid() != 0:
            self.skipTest("binding a connection takes root")
        self.asker.call("bind", pb.Bind(domid=1))
        message = self.refused(
            pb.PERMISSION_DENIED, errno.EPERM, self.move, SOURCE, SOURCE + 0x300, 300, force=True
        )
        for word in (f"uid {os.geteuid()}, bound to domain 1 by Bind", "an administrator's", "bound to no domain may"):
            self.assertIn(word, message)
        self.assert_contents(self.before, self.domain)
        self.move()
        self.assert_contents(self.moved(range(NR_PAGES)), self.domain)

    def test_regions_are_not_touched(self):
        cookie = self.asker.create(1, VRAM, BACKING, REGION_PAGES).cookie
        self.before = self.domain.contents()
        for source, destination, nr_pages in (
            (VRAM, HOLE, 10),
            (VRAM + REGION_PAGES - 1, HOLE, 1),
            (SOURCE, BACKING + REGION_PAGES - 5, 10),
            (BACKING + 1, HOLE, REGION_PAGES - 1),  # not all of its backing: not the region is meant
        ):
            message = self.refused(pb.CONFLICT, errno.EBUSY, self.move, source, destination, nr_pages)
            self.assertIn(hex(cookie), message)
            self.assert_contents(self.before, self.domain)
        self.move()
        self.assert_contents(self.moved(range(NR_PAGES)), self.domain)

    def test_a_backing_stands_for_its_region(self):
        """The guest has moved its framebuffer, and the device model names the pages as it did at first."""
        cookie = self.asker.create(1, VRAM, BACKING, REGION_PAGES).cookie
        self.asker.subscribe(cookie)
        self.settle(self.asker, cookie)
        for destination in (HOLE, HOLE + 0x800, VRAM, VRAM):
            self.move(BACKING, destination, REGION_PAGES)
            self.assertEqual(self.asker.region(cookie).vram_gfn, destination)
            self.assertEqual(self.asker.region(cookie).state, pb.ACTIVE)
            self.assert_moved(self.before, self.domain, destination, BACKING, REGION_PAGES)
            [generation] = self.settle(self.asker, cookie)
            self.guest.write([destination + 7], 1)
            self.before[BACKING + 7] = self.domain.contents()[destination + 7]
            self.assertEqual(self.asker.snapshot(cookie, generation, sync=True)[0], [7])
        self.asker.destroy(cookie)
        self.assert_contents(self.before, self.domain)

    def test_readers_of_a_region_lose_nothing(self):
        cookie = self.asker.create(1, VRAM, BACKING, REGION_PAGES).cookie
        self.asker.subscribe(cookie)
        [generation] = self.settle(self.asker, cookie)
        self.guest.write([VRAM + 3], 1)
        self.move()
        self.guest.write([VRAM + 5], 1)
        self.assertLessEqual({3, 5}, set(self.asker.snapshot(cookie, generation, sync=True)[0]))

    def test_no_such_domain(self):
        self.refused(pb.NO_DOMAIN, errno.ESRCH, self.asker.move_ram, 9, SOURCE, HOLE, 1)
        self.assert_nothing_is_left()

    def test_one_at_a_time_of_the_same_pages(self):
        """Nobody comes between the chunks of a move."""
        other = self.client()
        serial = self.start_slowly(2, 2000000)
        busy = (pb.CONFLICT, errno.EBUSY)
        self.refused(*busy, other.move_ram, 1, SOURCE + 500, HOLE + 0x5000, 8)
        self.refused(*busy, other.move_ram, 1, BACKING, HOLE + 500, 8)
        self.refused(*busy, other.create, 1, VRAM, SOURCE + 500, 8)
        self.refused(*busy, other.create, 1, HOLE + 500, BACKING, 8)
        reply, _ = self.asker.finish(serial)
        self.assertEqual(reply.status, pb.OK, reply.message)
        self.assert_contents(self.moved(range(NR_PAGES)), self.domain)


class Maps(MoveTest):
    """Where pages are that were to be moved is told exactly, however many runs of them there are."""

    def expected(self, source, nr_pages):
        """A run for each page."""
        populated = self.domain.pages()
        runs = []
        for page in range(nr_pages):
            at_source, at_destination = source + page in populated, HOLE + page in populated
            if at_source and at_destination:
                runs.append((page, 1, pb.CONTESTED, HOLE + page))
            elif at_destination:
                runs.append((page, 1, pb.AT_VRAM, HOLE + page))
            elif at_source:
                runs.append((page, 1, pb.AT_BACKING, source + page))
            else:
                runs.append((page, 1, pb.MISSING, 0))
        return runs

    def test_more_runs_than_a_reply_has(self):
        source, nr_pages = 0x300, 1280
        for page in range(0, nr_pages, 2):
            self.move(source + page, HOLE + page, 1)
        self.assertEqual(self.asker.map_ram(1, source, HOLE, nr_pages), self.expected(source, nr_pages))
        self.assert_nothing_is_left()

    def test_missing_and_contested(self):
        self.move(SOURCE, HOLE, 1)
        self.move(SOURCE + 1, HOLE + 0x1000, 1)
        self.move(SOURCE + 0x200, HOLE + 2, 1)
        self.assertEqual(self.asker.map_ram(1, SOURCE, HOLE, 4), self.expected(SOURCE, 4))

    def test_of_another_domain(self):
        self.refused(pb.NO_DOMAIN, errno.ESRCH, self.asker.map_ram, 9, SOURCE, HOLE, 4)
        self.add_domain(2)
        if os.geteuid() == 0:
            self.asker.bind(1)
            self.refused(pb.PERMISSION_DENIED, errno.EPERM, self.asker.map_ram, 2, SOURCE, HOLE, 4)
        self.asker.map_ram(1, SOURCE, HOLE, 4)

    def test_workers_die_while_it_is_asked(self):
        """Another one answers; or the domain is gone."""
        self.host.fault("map", 1, 3, "kill", "after")
        self.assertEqual(self.asker.map_ram(1, SOURCE, HOLE, 600), [(0, 600, pb.AT_BACKING, SOURCE)])
        self.daemon.await_no_worker(1)
        self.host.fault("map", 1, 3, "delay", 500000)
        request = pb.MapRam(domid=1, source_gfn=SOURCE, destination_gfn=HOLE, nr_pages=600)
        serial = self.asker.start("map_ram", request)
        self.daemon.await_worker(1)
        self.domain.destroy()
        reply, _ = self.asker.finish(serial)
        self.assertIn(reply.status, (pb.OK, pb.NO_DOMAIN), reply.message)  # it may have been quick
        self.assertEqual(self.asker.domains(), [])


class Trouble(MoveTest):
    def test_it_is_moved_back(self):
        for error in ("EINVAL", "EACCES", "EXDEV", "EPERM", "ENOMEM", "ENXIO", "EBUSY"):
            for nth, pages in ((1, 0), (1, 255), (2, 17), (3, 0), (3, NR_PAGES - 2 * CHUNK_PAGES - 1)):
                with self.subTest(error=error, nth=nth, pages=pages):
                    self.host.fault("relocate", 1, nth, "fail", error, pages)
                    message = self.refused(pb.HYPERVISOR, getattr(errno, error), self.move)
                    self.assertIn("move", message)
                    self.assert_contents(self.before, self.domain)
        self.assert_nothing_is_left()
        self.move()
        self.assert_contents(self.moved(range(NR_PAGES)), self.domain)

    def test_what_cannot_be_moved_back_is_said(self):
        # Of two faults that strike, the one that was armed last does.
        self.host.fault("relocate", 1, "every", "fail", "EBUSY")
        self.host.fault("relocate", 1, 1, "fail", "ENOMEM", 10)
        message = self.refused(pb.STUCK, errno.EBUSY, self.move)
        for word in ("0 to 9 are at the destination", f"of {NR_PAGES} pages"):
            self.assertIn(word, message)
        self.assert_contents(self.moved(range(10)), self.domain)
        self.assertEqual(
            self.asker.map_ram(1, SOURCE, HOLE, NR_PAGES),
            [(0, 10, pb.AT_VRAM, HOLE), (10, NR_PAGES - 10, pb.AT_BACKING, SOURCE + 10)],
        )
        self.assert_nothing_is_left()
        self.host.clear_faults()
        self.move(HOLE, SOURCE, 10)
        self.assert_contents(self.before, self.domain)

    def test_a_worker_dies(self):
        for nth in (1, 2, 3):
            for when in ("before", "after"):
                with self.subTest(nth=nth, when=when):
                    self.host.fault("relocate", 1, nth, "kill", when)
                    message = self.refused(pb.RETRY, errno.EAGAIN, self.move)
                    self.assertIn("undone", message)
                    self.assert_contents(self.before, self.domain)
                    self.fresh_daemon()
                    self.asker = self.client()
        self.assert_nothing_is_left()

    def assert_undone(self):
        wait_for(lambda: not self.journal(), "the move is undone")
        self.assert_contents(self.before, self.domain)
        self.asker = self.client()
        self.move()
        self.assert_contents(self.moved(range(NR_PAGES)), self.domain)
        self.move(HOLE, SOURCE)

    def test_a_broker_dies(self):
        for nth in (1, 2, 3):
            with self.subTest(nth=nth):
                self.start_slowly(nth)
                kill(self.daemon.broker_pid())
                self.assert_undone()
        self.assert_nothing_is_left()

    def test_everything_dies(self):
        for nth in (1, 3):
            with self.subTest(nth=nth):
                self.start_slowly(nth)
                self.daemon.kill()
                self.daemon.start()
                self.assert_undone()
        self.assert_nothing_is_left()

    def test_no_other_worker_can_be_had(self):
        """Then nobody knows yet where the pages are; they go back when somebody can look."""
        serial = self.start_slowly(2, 20000000)
        self.host.fault("map", 1, "every", "fail", "ENOMEM")
        kill(self.daemon.worker_pid(1))
        reply, _ = self.asker.finish(serial)
        self.assertEqual((reply.status, reply.os_error), (pb.STUCK, errno.EBUSY), reply.message)
        self.assertIn("go back", reply.message)
        self.assertTrue(self.journal())
        self.host.clear_faults()
        wait_for(lambda: not self.journal(), "the move is undone")
        self.assert_contents(self.before, self.domain)

    def test_the_domain_dies(self):
        serial = self.start_slowly(2)
        self.domain.destroy()
        reply, _ = self.asker.finish(serial)
        self.assertEqual((reply.status, reply.os_error), (pb.NO_DOMAIN, errno.ESRCH), reply.message)
        wait_for(lambda: not self.journal(), "the move is forgotten")
        self.daemon.await_no_worker(1)

    def test_a_journal_of_the_future(self):
        self.daemon.kill()
        future = struct.pack("<4sHH", MOVE_MAGIC, 9, 8).ljust(SLOT_BYTES, b"f")
        path = os.path.join(self.daemon.directory, "journal")
        offset = (MAX_REGIONS + MAX_PINS) * SLOT_BYTES
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(future)
        self.daemon.start()
        self.asker = self.client()
        self.move()
        with open(path, "rb") as file:
            file.seek(offset)
            self.assertEqual(file.read(SLOT_BYTES), future)


class UnwrittenMoves(Unwritten, MoveTest):
    def setUp(self):
        super().setUp()
        self.use_steps()
        self.asker = self.client()

    def test_what_was_said_is_what_the_next_broker_leaves(self):
        """Each write to the journal fails, the one that forgets the move among them."""
        seen = set()
        for nth in self.each_write():
            with self.subTest(nth=nth):
                self.asker = self.client()
                at = len(self.daemon.log())
                self.fail_write(nth)
                try:
                    self.move()
                    status = pb.OK
                except protocol.Failed as failed:
                    status = failed.status
                self.fail_no_more()
                seen.add(status)
                expected = self.moved(range(NR_PAGES)) if status == pb.OK else self.before
                self.assert_contents(expected, self.domain)
                lines = [x for x in self.daemon.log()[at:].splitlines() if "operation=MoveRam" in x]
                self.assertIn(f"status={pb.Status.Name(status)}", lines[-1])
                kill(self.daemon.broker_pid())
                self.fresh_daemon()
                self.asker = self.client()
                wait_for(lambda: not self.journal(), "nothing is left to do")
                self.assert_contents(expected, self.domain)
                if status == pb.OK:
                    self.move(HOLE, SOURCE)
        self.assertEqual(seen, {pb.OK, pb.INTERNAL})

    def failed_move(self, nth):
        """The hypervisor refuses a page of the second chunk, and the nth write to the journal fails, too."""
        self.host.fault("relocate", 1, 2, "fail", "ENOMEM", 10)
        self.fail_write(nth)
        with self.assertRaises(protocol.Failed) as failed:
            self.move()
        self.fail_no_more()
        self.host.clear_faults()
        self.assertIn(failed.exception.status, (pb.HYPERVISOR, pb.INTERNAL))
        self.assert_contents(self.before, self.domain)
        return len(self.journal())

    def test_a_failed_move_that_stays_in_the_journal_takes_nothing_back_later(self):
        """A region is made where it went, from where it came; then the broker dies."""
        left = set()
        for nth in self.each_write():
            with self.subTest(nth=nth):
                left.add(self.failed_move(nth))
                cookie = self.asker.create(1, HOLE, SOURCE, NR_PAGES).cookie
                there = self.domain.contents()
                self.restart_broker()
                (region,) = self.asker.regions()
                self.assertEqual((region.cookie, region.state), (cookie, pb.ACTIVE))
                self.asker.snapshot(cookie)
                self.assertEqual(self.journal(), [])
                self.assert_contents(there, self.domain)
                self.asker.destroy(cookie)
        self.assertEqual(left, {0, 1}, "moves left in the journal")

    def test_as_long_as_it_is_in_the_journal_it_is_in_the_way(self):
        nth = next(nth for nth in self.each_write() if self.failed_move(nth))
        cookie = self.asker.create(1, VRAM, BACKING, REGION_PAGES).cookie
        self.assertEqual(self.journal(), [], f"what write {nth} left")
        self.before = self.domain.contents()
        self.failed_move(nth)
        for call in (
            lambda: self.asker.create(1, HOLE, SOURCE, NR_PAGES),
            lambda: self.asker.move(cookie, HOLE + NR_PAGES - 1),
            self.move,
        ):
            # The first write of each is to erase it.
            self.fail_write(1)
            message = self.refused(pb.CONFLICT, errno.EBUSY, call)
            self.fail_no_more()
            self.assertIn("cannot be erased from the journal", message)
            self.assertEqual(len(self.journal()), 1)
        self.move()
        self.assert_contents(self.moved(range(NR_PAGES)), self.domain)
        self.assertEqual(self.journal(), [])

    def test_it_goes_with_its_domain(self):
        next(nth for nth in self.each_write() if self.failed_move(nth))
        self.domain.destroy()
        self.daemon.await_no_worker(1)
        wait_for(lambda: not self.journal(), "it is erased")
        self.assertEqual(self.asker.domains(), [])


if __name__ == "__main__":
    unittest.main()
