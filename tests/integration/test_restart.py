# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole daemon ends, by request or not, and another one starts in the same directory."""

import errno
import os
import struct
import subprocess
import unittest

import region_log
import xenvram_pb2 as pb
from harness import SimTest
from waiting import PATIENCE_S, wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 120
SLOT_BYTES, MAX_REGIONS = 256, 1024
SLOT_HEAD = struct.Struct("<IHH")  # magic, version, length
# Of a record of a region since version 2: vram; state; flags; old vram, frontier, unsettled.
VRAM_AT, STATE_AT, FLAGS_AT, PROGRESS_AT = 16, 44, 56, 124
PROGRESS = struct.Struct("<QII")
LENGTH_OF_V2 = 216
GOLDEN_V1 = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "journal-1")


class Restart(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.before = self.domain.contents()
        self.asker = self.client()
        self.cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES, cache_attr=pb.WC).cookie

    def restart(self, end):
        end()
        self.daemon.start()
        self.asker = self.client()

    def assert_region_is_good(self, cookie=None):
        cookie = cookie or self.cookie
        region = self.asker.region(cookie)
        self.assertEqual(
            (region.state, region.domid, region.vram_gfn, region.backing_gfn, region.nr_pages),
            (pb.ACTIVE, 1, VRAM, BACKING, NR_PAGES),
        )
        self.assertEqual((region.cache_attr, region.pinned, region.owner_uid), (pb.WC, True, os.getuid()))
        self.assertEqual(region.subscriptions, 0)
        dirty, since = self.asker.snapshot(cookie)
        self.assertEqual(dirty, list(range(NR_PAGES)), "nobody knows what was drawn meanwhile")
        self.assertEqual(self.asker.snapshot(cookie, since)[0], [])
        log = self.open_log(self.asker.subscribe(cookie, period_us=5000))
        wait_for(lambda: log.state == region_log.TRACKED, "it is tracked again")

    def check_regions_are_found_again(self, end):
        old = self.asker
        for _ in range(3):
            self.restart(end)
            self.assert_region_is_good()
        self.assert_moved(self.before, self.domain, VRAM, BACKING, NR_PAGES)
        self.asker.destroy(self.cookie)
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])
        self.assertEqual(old.expect_close(), [])
        self.restart(end)
        self.assertEqual(self.asker.regions(), [], "destroyed once and for all")

    def stop(self):
        self.assertEqual(self.daemon.stop(), 0)

    def test_stopped(self):
        self.check_regions_are_found_again(self.stop)

    def test_killed(self):
        self.check_regions_are_found_again(self.daemon.kill)

    def test_stopping_stops_tracking(self):
        self.asker.subscribe(self.cookie, period_us=5000)
        wait_for(lambda: self.domain.tracked() is not None, "tracking begins")
        self.stop()
        self.assertIsNone(self.domain.tracked())
        self.assertFalse(os.path.exists(self.daemon.socket), "the socket is left behind")
        self.daemon.start()

    def test_a_stuck_region(self):
        self.host.fault("relocate", 1, "every", "fail", "EBUSY")
        self.refused(pb.STUCK, errno.EBUSY, self.asker.destroy, self.cookie)
        self.restart(self.stop)
        self.assertEqual(self.asker.region(self.cookie).state, pb.REGION_STUCK)
        self.host.clear_faults()
        self.asker.destroy(self.cookie)
        self.assert_contents(self.before, self.domain)

    def test_the_domain_died_meanwhile(self):
        self.stop()
        self.domain.destroy()
        self.daemon.start()
        self.asker = self.client()
        wait_for(lambda: not self.asker.regions(), "its region goes")
        self.daemon.await_no_worker(1)
        self.restart(self.stop)
        self.assertEqual(self.asker.regions(), [])

    def test_another_domain_took_its_domid_meanwhile(self):
        self.stop()
        self.domain.destroy()
        domain = self.add_domain(1)
        self.daemon.start()
        self.asker = self.client()
        wait_for(lambda: not self.asker.regions(), "the region of the dead one goes")
        self.assert_contents(domain.contents(), domain)
        before = domain.contents()
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        self.assert_moved(before, domain, VRAM, BACKING, NR_PAGES)
        self.asker.destroy(cookie)
        self.assert_contents(before, domain)
        self.assertEqual(len(domain.contents()), len(self.before))

    def test_no_log_can_be_made(self):
        """Whoever asks is told so, and not left waiting; with another daemon all is well again."""
        cookie = self.asker.create(1, VRAM + 0x1000, BACKING + 0x80, 256).cookie
        before, contents = list(self.daemon.command), self.domain.contents()
        self.stop()
        # No file can grow beyond a few kilobytes: a region log has more.
        self.daemon.command = ["sh", "-c", "trap '' XFSZ; ulimit -f 12; exec \"$@\"", "sh", *before]
        self.daemon.log_path += ".limited"
        self.daemon.start()
        self.asker = self.client()
        for attempt in (
            lambda: self.asker.snapshot(cookie, sync=True),
            lambda: self.asker.destroy(cookie),
            lambda: self.asker.move(cookie, VRAM + 0x2000),
            lambda: self.asker.destroy(cookie, first_page=0, nr_pages=10),
        ):
            message = self.refused(pb.INTERNAL, errno.EFBIG, attempt)
            self.assertIn("log", message)
            self.assertEqual(self.asker.region(cookie).state, pb.ACTIVE)
        self.assert_contents(contents, self.domain)
        self.stop()
        self.daemon.command = before
        self.daemon.start()
        self.asker = self.client()
        self.asker.destroy(cookie)

    # ---- the journal ----

    def journal(self):
        return os.path.join(self.daemon.directory, "journal")

    def slot(self, index, data=None):
        with open(self.journal(), "r+b") as file:
            file.seek(index * SLOT_BYTES)
            if data is None:
                return file.read(SLOT_BYTES)
            return file.write(data)

    def make_it_version_1(self, state):
        """What a daemon of version 1 had written of the region that is in this state."""
        with open(GOLDEN_V1, "rb") as file:
            golden = next(slot for slot in iter(lambda: file.read(SLOT_BYTES), b"") if slot[44] == state)
        for index in range(MAX_REGIONS):
            slot = self.slot(index)
            if slot[8:16] == self.cookies[state].to_bytes(8, "little"):
                # Its own are cookie, places, sizes, owner and domain; form, state and flags are the golden one's.
                _, version, length = SLOT_HEAD.unpack_from(golden)
                self.assertEqual(version, 1)
                record = golden[:8] + slot[8:44] + golden[44:48] + slot[48:56] + golden[56:60] + slot[60:length]
                self.slot(index, record.ljust(SLOT_BYTES, b"\0"))
                return
        self.fail(f"no record of the region that is to be {state}")

    def stick(self, operation):
        """A part of the pages goes, and then none goes on or back."""
        self.host.fault("relocate", 1, "every", "fail", "EBUSY")
        self.host.fault("relocate", 1, 1, "fail", "ENOMEM", 50)
        self.refused(pb.STUCK, errno.EBUSY, operation)
        self.host.clear_faults()

    def test_a_journal_of_version_1(self):
        """It knew nothing of how far pages had come: what was half created or half destroyed goes home."""
        places = {pb.CREATING: (VRAM + 0x1000, BACKING + 0x80), pb.DESTROYING: (VRAM + 0x2000, BACKING + 0x100)}
        self.cookies = {pb.ACTIVE: self.cookie}
        self.cookies[pb.DESTROYING] = self.asker.create(1, *places[pb.DESTROYING], NR_PAGES).cookie
        operations = {
            pb.DESTROYING: lambda: self.asker.destroy(self.cookies[pb.DESTROYING]),
            pb.CREATING: lambda: self.asker.create(1, *places[pb.CREATING], NR_PAGES),
        }
        for state, operation in operations.items():
            self.stick(operation)
            vram, backing = places[state]
            self.cookies[state] = next(r.cookie for r in self.asker.regions() if r.vram_gfn == vram)
            pages = self.domain.pages()
            at_vram = [i for i in range(NR_PAGES) if vram + i in pages]
            self.assertIn(len(at_vram), range(1, NR_PAGES), "half moved")
            self.assertEqual([i for i in range(NR_PAGES) if backing + i not in pages], at_vram)
        self.stop()
        for state in self.cookies:
            self.make_it_version_1(state)
        self.daemon.start()
        self.asker = self.client()
        wait_for(lambda: len(self.asker.regions()) == 1, lambda: f"two regions go: {self.asker.regions()}")
        self.assert_region_is_good()
        self.assert_moved(self.before, self.domain, VRAM, BACKING, NR_PAGES)
        self.assertEqual(len(self.domain.pins()), 1, "of the region that is left")
        self.asker.destroy(self.cookie)
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])

    def make_it_version_2(self, cookie, state, vram_gfn, *progress):
        """What a daemon of version 2 had written of it, half way to there."""
        index = next(i for i in range(MAX_REGIONS) if self.slot(i)[8:16] == cookie.to_bytes(8, "little"))
        slot = bytearray(self.slot(index)[:LENGTH_OF_V2].ljust(SLOT_BYTES, b"\0"))
        magic, _, _ = SLOT_HEAD.unpack_from(slot)
        SLOT_HEAD.pack_into(slot, 0, magic, 2, LENGTH_OF_V2)
        struct.pack_into("<I", slot, STATE_AT, state)
        slot[FLAGS_AT] |= 2  # all of it was pinned
        struct.pack_into("<Q", slot, VRAM_AT, vram_gfn)
        PROGRESS.pack_into(slot, PROGRESS_AT, *progress)
        self.slot(index, bytes(slot))

    def test_a_journal_of_version_2(self):
        """What was being moved, or destroyed in part, goes on."""
        vram, new_vram, backing = VRAM + 0x1000, VRAM + 0x2000, BACKING + 0x80
        other = self.asker.create(1, vram, backing, NR_PAGES, cache_attr=pb.WC).cookie
        self.stick(lambda: self.asker.move(self.cookie, new_vram))
        self.stick(lambda: self.asker.destroy(other, first_page=10, nr_pages=60))
        pages = self.domain.pages()
        for at, nr_pages in ((new_vram, 50), (VRAM, 70), (backing, 50), (vram, 70)):
            self.assertEqual(sum(at + i in pages for i in range(NR_PAGES)), nr_pages, f"at {at:#x}")
        self.stop()
        self.make_it_version_2(self.cookie, pb.MOVING, new_vram, VRAM, 0, NR_PAGES)
        self.make_it_version_2(other, pb.SHRINKING, vram, 0, 10, 60)
        self.daemon.start()
        self.asker = self.client()
        wait_for(
            lambda: [r.state for r in self.asker.regions()] == 2 * [pb.ACTIVE],
            lambda: f"both regions are active: {self.asker.regions()}",
        )
        found = [self.asker.region(cookie) for cookie in (self.cookie, other)]
        regions = [(region.vram_gfn, region.live_pages, region.pinned) for region in found]
        self.assertEqual(regions, [(new_vram, NR_PAGES, True), (vram, NR_PAGES - 60, True)])
        expected = dict(self.before)
        for i in range(NR_PAGES):
            expected[new_vram + i] = expected.pop(BACKING + i)
        for i in (*range(10), *range(70, NR_PAGES)):
            expected[vram + i] = expected.pop(backing + i)
        self.assert_contents(expected, self.domain)
        self.assertEqual(len(self.domain.pins()), 3, "one, and one of each piece")
        for cookie in (self.cookie, other):
            self.asker.destroy(cookie)
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])

    def test_a_record_of_a_newer_version_is_left_alone(self):
        """An older daemon neither understands nor destroys it."""
        self.stop()
        magic, version, length = SLOT_HEAD.unpack_from(self.slot(0))
        newer = SLOT_HEAD.pack(magic, version + 1, length) + self.slot(0)[SLOT_HEAD.size :]
        self.slot(0, newer)
        self.daemon.start()
        self.asker = self.client()
        self.assertEqual(self.asker.regions(), [])
        self.add_domain(2)
        cookies = [self.asker.create(2, VRAM + i * 64, BACKING + i * 64, 64).cookie for i in range(2)]
        self.asker.destroy(cookies[0])
        self.assertEqual(self.slot(0), newer)
        # The newer one finds its region, and the other.
        self.stop()
        self.slot(0, SLOT_HEAD.pack(magic, version, length) + newer[SLOT_HEAD.size :])
        self.daemon.start()
        self.asker = self.client()
        self.assertEqual(sorted(r.cookie for r in self.asker.regions()), sorted([self.cookie, cookies[1]]))
        self.assert_region_is_good()

    def test_a_damaged_record_is_not_written_over(self):
        """Somebody who can read it may still find out where the pages are."""
        good = self.slot(0)
        self.stop()
        damaged = good[:16] + b"\xff" * 8 + good[24:]
        self.slot(0, damaged)
        self.daemon.start()
        self.asker = self.client()
        self.assertEqual(self.asker.regions(), [])
        other = self.asker.create(1, VRAM + 0x1000, BACKING + 0x100, 10).cookie
        self.assertEqual(self.slot(0), damaged)
        self.stop()
        self.slot(0, good)
        self.daemon.start()
        self.asker = self.client()
        self.assertEqual(sorted(r.cookie for r in self.asker.regions()), sorted([self.cookie, other]))
        self.assert_region_is_good()

    def test_no_slot_is_left(self):
        """What takes them all is said, and nothing begun."""
        self.stop()
        magic, version, length = SLOT_HEAD.unpack_from(self.slot(0))
        for i in range(MAX_REGIONS):
            self.slot(i, SLOT_HEAD.pack(magic, version + 1, length).ljust(SLOT_BYTES, b"f"))
        self.daemon.start()
        self.asker = self.client()
        domain = self.add_domain(2)
        before = domain.contents()
        for _ in range(3):
            message = self.refused(pb.LIMIT, errno.EDQUOT, self.asker.create, 2, VRAM, BACKING, NR_PAGES)
            for word in ("domain 2: this host", "1024 slots of the journal", "at most 1024", "MAX_REGIONS, which is fixed"):
                self.assertIn(word, message)
        self.assert_contents(before, domain)
        self.assertEqual(self.asker.domains(), [])

    def test_a_damaged_record_is_passed_over(self):
        other = self.asker.create(1, VRAM + 0x1000, BACKING + 0x100, 10).cookie
        good = self.slot(0)
        for offset in (6, 8, 16, 24, 32, 40, 44, 48):
            with self.subTest(offset=offset):
                self.stop()
                self.slot(0, good[:offset] + b"\xff" * 8 + good[offset + 8 :])
                self.daemon.start()
                self.asker = self.client()
                self.assertIn(other, [r.cookie for r in self.asker.regions()])
        self.stop()
        self.slot(0, good)
        self.daemon.start()
        self.asker = self.client()
        self.assert_region_is_good()

    def test_a_journal_of_garbage(self):
        self.stop()
        with open(self.journal(), "wb") as file:
            file.write(b"garbage" * 100000)
        self.daemon.start()
        self.asker = self.client()
        self.assertEqual(self.asker.regions(), [])
        self.add_domain(2)
        cookie = self.asker.create(2, VRAM, BACKING, NR_PAGES).cookie
        self.restart(self.stop)
        self.assertEqual([r.cookie for r in self.asker.regions()], [cookie])

    # ---- starting ----

    def run_another(self, *arguments):
        return subprocess.run(
            [self.build.xenvramd, *arguments],
            env=self.daemon.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def test_two_in_one_directory(self):
        done = self.run_another(*self.daemon.command[1:])
        self.assertEqual(done.returncode, 1)
        self.assertIn("another xenvramd", done.stderr)
        self.assert_region_is_good()
        self.client()

    def test_a_directory_that_others_can_write(self):
        """They could put a journal there, and with it have pages moved."""
        directory = os.path.join(self.directory, "theirs")
        os.mkdir(directory)
        for mode in (0o775, 0o757, 0o1777):
            os.chmod(directory, mode)
            done = self.run_another("--socket", directory)
            self.assertEqual(done.returncode, 1)
            for word in (directory, f"has mode {mode:04o}", f"uid {os.geteuid()}"):
                self.assertIn(word, done.stderr)
        os.chmod(directory, 0o755)
        if os.geteuid() == 0:
            os.chown(directory, 2000001, 0)
            done = self.run_another("--socket", directory)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{directory} belongs to uid 2000001", done.stderr)
        self.assertEqual(os.listdir(directory), [], "nothing is made there")

    def test_a_user_that_does_not_exist(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        directory = os.path.join(self.directory, "other")
        done = self.run_another("--socket", directory, "--broker-user", "nosuchuser")
        self.assertEqual(done.returncode, 1)
        for word in ("nosuchuser", "--broker-user"):
            self.assertIn(word, done.stderr)
        done = self.run_another("--socket", directory, "--broker-user", "root")
        self.assertEqual(done.returncode, 1)
        self.assertIn("root", done.stderr)

    def test_a_worker_user_that_does_not_exist(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        self.stop()
        arguments = self.daemon.command
        self.daemon.command = [*arguments, "--worker-user", "nosuchuser"]
        self.daemon.start()
        self.asker = self.client()
        self.add_domain(2)
        message = self.refused(pb.INTERNAL, errno.ENOENT, self.asker.create, 2, VRAM, BACKING, NR_PAGES)
        self.assertIn("nosuchuser", message)
        # Nothing was lost by it.
        self.daemon.command = arguments
        self.restart(self.stop)
        self.assert_region_is_good()

    def test_no_xenstore(self):
        environment = dict(self.daemon.environment, SIMXEN_HOST="/nonexistent")
        done = subprocess.run(
            [self.build.xenvramd, "--socket", os.path.join(self.directory, "other")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("xenstore", done.stderr)

    def test_roles_are_somebody_else(self):
        """What parses a client's bytes, or holds a handle of Xen, is not root."""
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        for pid in (self.daemon.broker_pid(), self.daemon.worker_pid(1)):
            with open(f"/proc/{pid}/status", encoding="ascii") as status:
                fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
            for ids in ("Uid", "Gid"):
                self.assertNotIn("0", fields[ids].split())
            self.assertEqual(fields["Groups"].split(), [])
            self.assertEqual(int(fields["CapEff"], 16), 0)
            self.assertEqual(fields["NoNewPrivs"], "1")

    def test_a_broker_has_no_handle_of_the_host(self):
        links = []
        pid = self.daemon.broker_pid()
        for fd in os.listdir(f"/proc/{pid}/fd"):
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        self.assertNotIn(self.host.path, links)
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            self.assertNotIn(self.host.path, maps.read())


if __name__ == "__main__":
    unittest.main()
