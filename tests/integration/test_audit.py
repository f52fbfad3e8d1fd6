# SPDX-License-Identifier: LGPL-2.1-or-later
"""The audit trail: what has a record, and what is left out when there are too many."""

import errno
import itertools
import os
import re
import unittest

from harness import SimTest
from people import needs_root
from protocol import pb
from waiting import wait_for

VRAM, BACKING = 0x4000, 0x400
MAX_PENDING_READS = 4096
AT_ONCE = 200
FLOOD = 450  # of which some are left out, unless the service is slow; and not yet too many for the guest


class Trail(SimTest):
    def records(self, at=0):
        return [line for line in self.daemon.log()[at:].splitlines() if "audit: " in line]

    def test_changes(self):
        self.add_domain(1)
        asker = self.client()
        cookie = asker.create(1, VRAM, BACKING, 4).cookie
        asker.regions()
        asker.snapshot(cookie)
        asker.call("move_region", pb.MoveRegion(cookie=cookie, vram_gfn=VRAM + 0x100))
        asker.destroy(cookie)
        records = self.records()
        self.assertEqual(len(records), 3, records)
        twice = [line for line in self.daemon.log().splitlines() if f"{cookie:x}" in line and "audit: " not in line]
        self.assertEqual(twice, [], "what is in the trail is said once more")
        who = f"uid={os.getuid()} pid={os.getpid()} connection="
        for record, operation, words in zip(
            records,
            ("CreateRegion", "MoveRegion", "DestroyRegion"),
            (
                ("domid=1", f"vram_gfn={VRAM:#x}", f"backing_gfn={BACKING:#x}", "nr_pages=0x4"),
                ("domid=1", f"vram_gfn={VRAM + 0x100:#x}"),
                ("domid=1",),
            ),
        ):
            for word in (who, f"operation={operation}", f"cookie={cookie:#x}", "status=OK", *words):
                self.assertIn(word, record)

    def test_raw_changes(self):
        self.add_domain(1)
        asker = self.client()
        asker.move_ram(1, BACKING, VRAM, 2)
        asker.move_ram(1, BACKING + 2, BACKING + 4, 2, force=True)
        asker.pin(1, VRAM, 2, pb.UC)
        asker.unpin(1, VRAM, 2)
        asker.bind(1)
        self.assertEqual(
            [re.search(r"operation=(\w+) domid=1 .*?(force=1 )?status=(\w+)", r).groups("") for r in self.records()],
            [
                ("MoveRam", "", "OK"),
                ("MoveRam", "force=1 ", "OK"),
                ("PinCacheattr", "", "OK"),
                ("UnpinCacheattr", "", "OK"),
                ("Bind", "", "OK"),
            ],
        )

    def test_moves_of_a_region_by_its_backing(self):
        """They are asked for by gfns alone; which region it was, the trail says."""
        self.add_domain(1)
        asker = self.client()
        cookie = asker.create(1, VRAM, BACKING, 4).cookie
        asker.move_ram(1, BACKING, VRAM + 16, 4)
        self.refused(pb.CONFLICT, errno.EEXIST, asker.move_ram, 1, BACKING, VRAM + 17, 4)
        found = [re.search(r"operation=MoveRam domid=1 .* cookie=(\S+) status=(\w+)", r) for r in self.records()[1:]]
        self.assertEqual([match.groups() for match in found], [(hex(cookie), "OK"), (hex(cookie), "CONFLICT")])

    def test_who_does_not_wait_for_the_answer(self):
        self.add_domain(1)
        with self.client() as client:
            message = pb.CreateRegion(domid=1, vram_gfn=VRAM, backing_gfn=BACKING, nr_pages=1)
            client.start("create_region", message)
        wait_for(lambda: self.client().regions(), "the region is there")
        wait_for(self.records, "there is a record")
        self.assertIn("operation=CreateRegion", self.records()[0])
        self.assertIn("status=OK", self.records()[0])

    def test_each_change_with_its_own_result(self):
        """Serials are the client's choice: by using one twice it must not swap the results in the trail."""
        self.add_domain(1)
        with self.connection() as asker:
            asker.send("hello", pb.Hello(version_min=1, version_max=1), serial=1)
            asker.receive()
            # Its domain's worker is to be started first; that there is no domain 9 is known sooner.
            for domid in (1, 9):
                message = pb.CreateRegion(domid=domid, vram_gfn=VRAM, backing_gfn=BACKING, nr_pages=4)
                asker.send("create_region", message, serial=7)
            statuses = [asker.receive()[0].reply.status for _ in range(2)]
        self.assertEqual(statuses, [pb.NO_DOMAIN, pb.OK])
        found = [re.search(r" domid=(\d+) .* status=(\w+)", record).groups() for record in self.records()]
        self.assertEqual(found, [("9", "NO_DOMAIN"), ("1", "OK")])

    @needs_root
    def test_a_flood_of_users(self):
        """Whoever has a range of uids to spare, as for containers, gets no more records by using many."""
        os.chmod(self.directory, 0o755)
        n_refused = 2000
        for i in range(n_refused):
            os.seteuid(4000000 + i)
            try:
                with self.connection() as stranger:
                    self.assertEqual(stranger.receive()[0].reply.status, pb.PERMISSION_DENIED)
            finally:
                os.seteuid(0)

        def left_out():
            return sum(int(n) for n in re.findall(r"audit: (\d+) records about", self.daemon.log()))

        def written():
            return sum("operation=Connect" in record for record in self.records())

        wait_for(lambda: written() + left_out() == n_refused, lambda: f"{written()} records, {left_out()} left out")
        self.assertGreater(left_out(), 0)

    def test_refusals_say_nothing_beside_it(self):
        """There their number is limited: of each that needs a worker the log had two lines more."""
        at_start = self.daemon.log()
        dead = self.add_domain(1)
        self.add_domain(2, kind="pv")
        of_dead, of_pv = self.client(), self.client()
        of_dead.bind(1)
        of_pv.bind(2)
        dead.destroy()
        for _ in range(10):
            self.refused(pb.NO_DOMAIN, errno.ESRCH, of_dead.track_dirty, 1, BACKING, 1)
            self.refused(pb.UNSUPPORTED_DOMAIN, errno.EINVAL, of_pv.track_dirty, 2, BACKING, 1)
        self.daemon.await_no_worker(2)
        said = self.daemon.log()[len(at_start) :].splitlines()
        self.assertEqual([line for line in said if "audit: " not in line], [])
        for status in ("NO_DOMAIN", "UNSUPPORTED_DOMAIN"):
            found = [r for r in self.records() if "operation=TrackDirty" in r and f"status={status}" in r]
            self.assertEqual(len(found), 10, found)

    def test_a_flood(self):
        n_refused = 2000
        with self.client() as client:
            for _ in range(n_refused):
                self.refused(pb.NOT_FOUND, errno.ENOENT, client.destroy, 7)

        def left_out():
            return sum(int(n) for n in re.findall(r"audit: (\d+) records about uid", self.daemon.log()))

        def written():
            return sum("operation=DestroyRegion" in record for record in self.records())

        wait_for(
            lambda: written() + left_out() == n_refused,
            lambda: f"{written()} records and {left_out()} left out make {n_refused}",
        )
        self.assertGreaterEqual(written(), 200)
        self.assertGreater(left_out(), 0)

    def left_out(self, at):
        """{(uid, domid, kind): how many records}"""
        found = {}
        for line in self.records(at):
            match = re.search(r"\[uid=(\d+)(?: bound_domid=(\d+))? kind=(\w+) left_out=(\d+)\]", line)
            if match:
                uid, domid, kind, n = match.groups()
                found[uid, domid, kind] = found.get((uid, domid, kind), 0) + int(n)
        return found

    def written(self, words, at=0):
        return sum(words in record for record in self.records(at))

    def flood(self, ask, words, at=0):
        """Asks so often that some of the records, which have these words, are left out; how often."""
        n = 0
        while n < FLOOD or self.written(words, at) == n:
            ask()
            n += 1
        return n

    def await_all(self, n, of, words, at=0):
        """Of n records of this kind some are left out, and a record says how many."""
        wait_for(
            lambda: self.written(words, at) + self.left_out(at).get(of, 0) == n,
            lambda: f"{self.written(words, at)} records and {self.left_out(at)} left out make {n}",
        )
        self.assertGreaterEqual(self.written(words, at), AT_ONCE - 1)  # one may be another's
        self.assertGreater(self.left_out(at)[of], 0)

    def refused_on_record(self, words, *refusal):
        at = len(self.records())
        self.refused(*refusal)
        self.assertTrue(any(words in record for record in self.records()[at:]), words)

    def test_a_flood_of_one_kind_hides_no_other(self):
        uid = str(os.getuid())
        for domid in (1, 2):
            self.add_domain(domid)
        theirs = self.client().create(2, VRAM, BACKING, 4).cookie
        asker = self.client()
        asker.bind(1)
        reads, changes = "operation=Snapshot cookie=0x7 ", "operation=DestroyRegion cookie=0x7 "
        n_reads = self.flood(lambda: self.refused(pb.NOT_FOUND, errno.ENOENT, asker.snapshot, 7), reads)
        self.refused_on_record("operation=DestroyRegion cookie=0x8 ", pb.NOT_FOUND, errno.ENOENT, asker.destroy, 8)
        n_changes = self.flood(lambda: self.refused(pb.NOT_FOUND, errno.ENOENT, asker.destroy, 7), changes)
        denied = (pb.PERMISSION_DENIED, errno.EPERM, asker.create, 2, VRAM + 16, BACKING + 16, 4)
        self.refused_on_record("operation=CreateRegion domid=2 ", *denied)
        self.refused_on_record(f"(it is of domain 2) [uid={uid}", pb.NOT_FOUND, errno.ENOENT, asker.destroy, theirs)
        self.refused_on_record("operation=Snapshot", pb.NOT_FOUND, errno.ENOENT, asker.snapshot, theirs)
        self.await_all(n_reads, (uid, "1", "others"), reads)
        self.await_all(n_changes, (uid, "1", "changes"), changes)
        self.assertEqual(len(self.left_out(0)), 2)

    def test_a_flood_for_one_domain_hides_no_other(self):
        """Though all connections are those of one user, who has bound them."""
        uid, askers = str(os.getuid()), [self.client() for _ in range(3)]
        for domid in (1, 2):
            self.add_domain(domid)
            askers[domid].bind(domid)
        changes = "operation=DestroyRegion cookie=0x7 "
        n = self.flood(lambda: self.refused(pb.NOT_FOUND, errno.ENOENT, askers[1].destroy, 7), changes)
        for i, whose in ((0, f"uid {uid} (pid {os.getpid()})"), (2, f"uid {uid} (pid {os.getpid()}, for domain 2)")):
            words = f"audit: {whose}: DestroyRegion: NOT_FOUND: there is no region 0x9"
            self.refused_on_record(words, pb.NOT_FOUND, errno.ENOENT, askers[i].destroy, 9)
        self.await_all(n, (uid, "1", "changes"), changes)
        text = f"uid {uid} for domain 1, of changes that were not made, were left out"
        self.assertTrue(any(text in record for record in self.records()))

    def test_a_flood_of_what_changes_nothing(self):
        """It is done as it was asked, and has no more records than what is refused."""

        def bind(asker):
            return lambda: asker.bind(1)

        def move_to_where_it_is(asker):
            cookie = asker.create(1, VRAM, BACKING, 4).cookie
            return lambda: asker.move(cookie, VRAM)

        def move_ram_to_where_it_is(asker):
            asker.create(1, VRAM, BACKING, 4)
            return lambda: asker.move_ram(1, BACKING, VRAM, 4)

        def dry_run(asker):
            asker.create(1, VRAM + 32, BACKING + 32, 4)  # its worker stays
            return lambda: asker.create(1, VRAM, BACKING, 4, dry_run=True)

        for prepare, words in (
            (bind, "bound_domid=1 operation=Bind "),
            (move_to_where_it_is, "operation=MoveRegion "),
            (move_ram_to_where_it_is, "operation=MoveRam "),
            (dry_run, "dry_run=1 "),
        ):
            with self.subTest(prepare.__name__):
                self.fresh_daemon()
                domain = self.add_domain(1)
                asker, at = self.client(), len(self.daemon.log())
                asker.bind(1)
                ask = prepare(asker)
                n = self.flood(ask, words, at)
                asker.destroy(asker.create(1, VRAM + 16, BACKING + 16, 4).cookie)
                done = [record for record in self.records(at) if "status=OK" in record and f"{VRAM + 16:#x}" in record]
                self.assertEqual(len(done), 1)
                self.refused_on_record("operation=DestroyRegion cookie=0x7 ", pb.NOT_FOUND, errno.ENOENT, asker.destroy, 7)
                self.await_all(n, (str(os.getuid()), "1", "others"), words, at)
                domain.destroy()

    @needs_root
    def test_a_flood_by_many_uids_through_one_connection(self):
        """Who holds it may have them: it is the same holder to the trail."""
        self.add_domain(1)
        asker = self.client()
        asker.bind(1)
        uids = itertools.count(4000000)

        def ask():
            os.seteuid(next(uids))
            try:
                self.refused(pb.NOT_FOUND, errno.ENOENT, asker.destroy, 7)
            finally:
                os.seteuid(0)

        changes = "operation=DestroyRegion cookie=0x7 "
        self.await_all(self.flood(ask, changes), ("0", "1", "changes"), changes)

    def test_more_refusals_at_once_than_are_kept_in_mind(self):
        """Of requests that wait for the hypervisor, who asked is remembered for so many."""
        domain = self.add_domain(1)
        cookie = self.client().create(1, VRAM, BACKING, 4).cookie
        self.host.fault("track", 1, "every", "delay", 10000000)
        request = pb.Snapshot(cookie=cookie, sync=True)
        waiting = []
        while len(waiting) < MAX_PENDING_READS + 40:
            client = self.client()
            n = client.hello.max_requests_in_flight - 1
            waiting += [(client, client.start("snapshot", request)) for _ in range(n)]
            client.regions()  # has an answer when the others have been read
        domain.destroy()
        self.assertEqual({client.finish(serial)[0].status for client, serial in waiting}, {pb.NOT_FOUND})
        n_refused = len(waiting)

        def left_out():
            return sum(int(n) for n in re.findall(r"audit: (\d+) records about uid", self.daemon.log()))

        def written():
            return sum("operation=Snapshot" in record for record in self.records())

        wait_for(
            lambda: written() + left_out() == n_refused,
            lambda: f"{written()} records and {left_out()} left out make {n_refused}",
        )

    def test_a_flood_hides_nothing_that_was_done(self):
        self.add_domain(1)
        asker = self.client()
        for _ in range(1000):
            self.refused(pb.NOT_FOUND, errno.ENOENT, asker.destroy, 7)
        cookie = asker.create(1, VRAM, BACKING, 4).cookie
        asker.destroy(cookie)
        self.host.fault("relocate", 1, 1, "fail", "ENOMEM", 2)
        self.refused(pb.HYPERVISOR, errno.ENOMEM, asker.move_ram, 1, BACKING, BACKING + 8, 4, force=True)
        found = [re.search(r"operation=(\w+) .*status=(\w+)", record).groups() for record in self.records()]
        self.assertEqual(
            [what for what in found if what != ("DestroyRegion", "NOT_FOUND")],
            [("CreateRegion", "OK"), ("DestroyRegion", "OK"), ("MoveRam", "HYPERVISOR")],
        )


if __name__ == "__main__":
    unittest.main()
