# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL of a worker, of the broker, of both, at any moment: no reader loses a page, nothing stays half done."""

import errno
import os
import random
import subprocess
import time
import unittest

import protocol
import xenvram_pb2 as pb
from followers import LogFollower, SnapshotFollower, WakeFollower
from harness import Follower, SimTest, kill
from waiting import wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x800, 1024
OTHER_VRAM, OTHER_BACKING, OTHER_PAGES = 0xF8000, 0x600, 80
PERIOD_US = 3000
LONG_US = 1000000  # of a hypercall, in which something can be done
# A child that keeps dying is started again ever later, so a daemon is killed at only so often.
ROUNDS, KILLS_A_ROUND = 5, 7


class Churn(Follower):
    """Creates and destroys another region of the domain without pause."""

    def __init__(self, test):
        super().__init__()
        self.client = test.client()
        self.outcomes = {}

    def note(self, outcome):
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def attempt(self, what, function):
        try:
            function()
            self.note(f"{what} done")
        except protocol.Restarted:
            self.note(f"{what} restarted")
        except protocol.Failed as failed:
            if failed.status not in (pb.RETRY, pb.CONFLICT, pb.NOT_FOUND):
                raise
            self.note(f"{what} {pb.Status.Name(failed.status)}")

    def step(self):
        self.attempt("create", lambda: self.client.create(1, OTHER_VRAM, OTHER_BACKING, OTHER_PAGES))
        for region in self.listed():
            self.attempt("destroy", lambda: self.client.destroy(region.cookie))

    def listed(self):
        try:
            return [r for r in self.client.regions(1) if r.vram_gfn == OTHER_VRAM]
        except protocol.Restarted:
            return []


class Kills(SimTest):
    def set_up_round(self, with_churn):
        self.asker = self.client()
        self.cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        # Hardly a page is drawn twice between two looks: a loss is not made good by the next drawing.
        self.guest.set_picture(VRAM, NR_PAGES, band_pages=4, pace=100000)
        subscriptions = [self.asker.subscribe(self.cookie, PERIOD_US, want_wake) for want_wake in (False, True)]
        self.logs = [self.open_log(s) for s in subscriptions]
        picture = (self.domain, VRAM, NR_PAGES)
        self.followers = [
            LogFollower(*picture, self.logs[0], max_pause=0.003),
            LogFollower(*picture, self.logs[0], max_pause=0.2),
            WakeFollower(*picture, self.logs[1], subscriptions[1].wake_fd),
            SnapshotFollower(*picture, self.client(), self.cookie, sync=False),
            SnapshotFollower(*picture, self.client(), self.cookie, sync=True),
        ]
        self.churn = Churn(self)
        self.threads = [*self.followers, self.churn] if with_churn else self.followers
        for thread in self.threads:
            thread.start()
            self.addCleanup(thread.stopping.set)

    def end_round(self):
        for thread in self.threads:
            thread.finish()
        self.asker.drain()
        self.assert_other_region_is_whole()
        self.asker.destroy(self.cookie)
        os.close(self.followers[2].wake_fd)

    def assert_nothing_lost(self):
        """With the guest idle: once a reader is up to date, its picture is the guest's."""
        _, generation = protocol.until_answered(lambda: self.asker.snapshot(self.cookie, 0, sync=True))
        for follower in self.followers:
            wait_for(
                lambda: follower.cursor >= generation or follower.error,
                f"{type(follower).__name__} catches up with generation {generation}",
            )
            if follower.error:
                raise follower.error
            stale = follower.stale_pages()
            self.assertEqual(stale, [], f"pages that {type(follower).__name__} lost")

    def assert_other_region_is_whole(self):
        """All of it is at vram, or all of it at backing."""

        def settled():
            regions = protocol.until_answered(lambda: self.asker.regions(1))
            return all(r.state == pb.ACTIVE for r in regions)

        wait_for(settled, "no region is half made")
        regions = [r for r in protocol.until_answered(lambda: self.asker.regions(1)) if r.vram_gfn == OTHER_VRAM]
        expected = dict(self.before)
        if regions:
            for i in range(OTHER_PAGES):
                expected[OTHER_VRAM + i] = expected.pop(OTHER_BACKING + i)
        found = self.domain.contents()
        for contents in (expected, found):
            for i in range(NR_PAGES):
                contents.pop(VRAM + i, None)
                contents.pop(BACKING + i, None)
        self.assertEqual(sorted(found), sorted(expected))
        self.assertEqual([hex(g) for g in found if found[g] != expected[g]], [])
        for region in regions:
            protocol.until_answered(lambda: self.asker.destroy(region.cookie))

    def kill_roles(self, victims):
        pids = {"broker": self.daemon.broker_pid, "worker": lambda: self.daemon.await_worker(1)}
        for victim in victims:
            kill(pids[victim]())

    def run_rounds(self, victims, rounds=ROUNDS, with_churn=True):
        """Yields after each kill, with the guest idle and every reader found to have lost nothing."""
        self.domain = self.add_domain(1, ram_mib=16)
        self.before = self.domain.contents()
        self.guest = self.add_guest(self.domain)
        self.host.fault("relocate", 1, "every", "delay", 2000)
        random.seed(1)
        for i in range(rounds):
            # Every creation and destruction makes all dirty; some rounds go without, and show each lost bit.
            self.set_up_round(with_churn and i % 2 == 0)
            for _ in range(KILLS_A_ROUND):
                self.guest.paint()
                time.sleep(random.uniform(0, 0.06))
                self.kill_roles(victims)
                time.sleep(random.uniform(0, 0.06))
                self.guest.idle()
                self.assert_nothing_lost()
                yield
            self.end_round()
            self.guest.set_picture(0, 0)
            self.fresh_daemon()

    def test_worker(self):
        for _ in self.run_rounds(["worker"]):
            pass
        self.assertGreater(self.churn.outcomes.get("create done", 0), 0, self.churn.outcomes)

    def test_broker(self):
        for _ in self.run_rounds(["broker"]):
            self.assertEqual(len(self.asker.take_events("restarted")), 1, "one event a restart")
        self.assertGreater(self.churn.outcomes.get("create done", 0), 0, self.churn.outcomes)

    def test_broker_and_worker(self):
        for _ in self.run_rounds(["broker", "worker"]):
            pass

    def test_readers_do_not_notice_a_broker(self):
        """Its worker goes on, so that nothing has to be reported that was not drawn."""
        forced = None
        for _ in self.run_rounds(["broker"], rounds=1, with_churn=False):
            counters = self.logs[0].counters()
            self.assertIn(forced, (None, counters["dirty_forced"]))
            forced = counters["dirty_forced"]


class Greetings(SimTest):
    def test_hello_meets_a_dying_broker(self):
        """Nobody waits for ever: there is an answer, or a word that there will be none."""
        source = random.Random(3)
        for i in range(24):
            if i % 6 == 0 and i:
                self.fresh_daemon()
            connections = []
            killed_after = source.uniform(0, 0.004)
            began = time.monotonic()
            victim = self.daemon.broker_pid()
            while len(connections) < 40:
                if victim and time.monotonic() - began > killed_after:
                    kill(victim)
                    victim = None
                connections.append(protocol.Connection(self.daemon.socket))
                connections[-1].send("hello", pb.Hello(version_min=1, version_max=1))
            for connection in connections:
                try:
                    packet, _ = connection.receive()
                    self.assertTrue(packet.reply.hello.version == 1 or packet.event.HasField("restarted"))
                except protocol.Closed:
                    pass
                connection.close()
        self.assertEqual(self.client().regions(), [])


class InTheMiddle(SimTest):
    """Death at a chosen moment of a creation or destruction."""

    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.before = self.domain.contents()
        self.asker = self.client()

    def create(self):
        return self.asker.create(1, OTHER_VRAM, OTHER_BACKING, OTHER_PAGES).cookie

    def assert_at_home(self):
        wait_for(lambda: not self.asker.regions(), lambda: f"none of {self.asker.regions()}")
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])

    def await_settled(self):
        def settled():
            return all(region.state == pb.ACTIVE for region in self.asker.regions())

        wait_for(settled, lambda: f"settled: {self.asker.regions()}")

    def assert_in_place(self):
        self.assertEqual([r.state for r in self.asker.regions()], [pb.ACTIVE])
        self.assert_moved(self.before, self.domain, OTHER_VRAM, OTHER_BACKING, OTHER_PAGES)
        self.assertEqual(len(self.domain.pins()), 1)

    def test_a_worker_in_a_creation(self):
        for kind, moment in (
            ("relocate", "before"),
            ("relocate", 1),
            ("relocate", OTHER_PAGES // 2),
            ("relocate", OTHER_PAGES - 1),
            ("relocate", "after"),
            ("pin", "before"),
            ("pin", "after"),
        ):
            with self.subTest(kind=kind, moment=moment):
                self.host.fault(kind, 1, 1, "kill", moment)
                message = self.refused(pb.RETRY, errno.EAGAIN, self.create)
                self.assertIn("domain 1", message)
                self.assert_at_home()
                cookie = self.create()
                self.assert_in_place()
                self.asker.destroy(cookie)
                self.assert_at_home()

    def test_a_worker_that_looks_around_first(self):
        """While it takes hold of the domain and checks, nothing has begun, and it is simply done again."""
        for nth in range(1, 5):
            with self.subTest(nth):
                wait_for(lambda: self.daemon.worker_pid(1) is None, "the worker before has ended")
                self.host.fault("map", 1, nth, "kill", "before")
                cookie = self.create()
                self.assert_in_place()
                self.host.clear_faults()
                self.asker.destroy(cookie)
                self.assert_at_home()

    def test_a_worker_in_a_destruction(self):
        for kind, moment in (
            ("relocate", "before"),
            ("relocate", 1),
            ("relocate", OTHER_PAGES // 2),
            ("relocate", OTHER_PAGES - 1),
            ("relocate", "after"),
            ("pin", "before"),
            ("pin", "after"),
            ("map", "before"),
        ):
            with self.subTest(kind=kind, moment=moment):
                cookie = self.create()
                self.host.fault(kind, 1, 1, "kill", moment)
                self.asker.destroy(cookie)
                self.assert_at_home()

    def in_flight(self, serial):
        """What became of a request when the broker was killed: its reply, or None if it had none."""
        reply = None
        try:
            reply = self.asker.finish(serial)[0]
        except protocol.Restarted:
            pass
        self.assertEqual(len(self.asker.take_events("restarted")), 1)
        return reply

    def start_create(self):
        message = pb.CreateRegion(
            domid=1, vram_gfn=OTHER_VRAM, backing_gfn=OTHER_BACKING, nr_pages=OTHER_PAGES
        )
        return self.asker.start("create_region", message)

    def kill(self, role):
        pid = self.daemon.broker_pid() if role == "broker" else self.daemon.await_worker(1)
        kill(pid)

    def test_a_broker_in_a_creation(self):
        """It is undone by the next broker, or its reply has come."""
        self.host.fault("relocate", 1, "every", "delay", 60000)
        for i, pause in enumerate((0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.04, 0.06, 0.07, 0.08, 0.12, 0.2)):
            if i % 4 == 0:
                self.fresh_daemon()
                self.asker = self.client()
            with self.subTest(pause):
                serial = self.start_create()
                time.sleep(pause)
                self.kill("broker")
                reply = self.in_flight(serial)
                self.await_settled()
                left = [region.cookie for region in self.asker.regions()]
                if reply is not None:
                    self.assertEqual((reply.status, left), (pb.OK, [reply.create_region.cookie]))
                # Without a reply it was undone, unless the next broker was the first to read it.
                if left:
                    self.assert_in_place()
                    self.asker.destroy(left[0])
                self.assert_at_home()

    def test_broker_and_worker_in_a_creation(self):
        for i, pages in enumerate((1, OTHER_PAGES // 2, OTHER_PAGES - 1)):
            with self.subTest(pages):
                self.host.fault("relocate", 1, 1, "delay", LONG_US)
                self.host.fault("relocate", 1, 1, "kill", pages)
                relocations = self.host.begun("relocate")
                serial = self.start_create()
                self.host.await_begun("relocate", relocations + 1)
                self.kill("broker")
                self.assertIsNone(self.in_flight(serial))
                self.assert_at_home()

    def test_a_broker_in_a_destruction(self):
        """The next broker carries it on."""
        for pause in (0, 0.01, 0.05, 0.09):
            with self.subTest(pause):
                cookie = self.create()
                self.host.fault("relocate", 1, 1, "delay", 60000)
                serial = self.asker.start("destroy_region", pb.DestroyRegion(cookie=cookie))
                time.sleep(pause)
                self.kill("broker")
                reply = self.in_flight(serial)
                self.await_settled()
                if self.asker.regions():
                    self.assertIsNone(reply)
                    self.asker.destroy(cookie)  # the request had not been read
                self.assertTrue(reply is None or reply.status == pb.OK)
                self.assert_at_home()
                self.host.clear_faults()

    def finished(self, asked, call, *arguments, nth=1):
        """What is in the trail when the broker dies in the call, of what another process asked."""
        at, n_calls = len(self.daemon.log()), self.host.begun(call)
        self.host.fault(call, 1, nth, "delay", LONG_US)
        command = [self.build.xenvramctl, "--socket", self.daemon.socket, *map(str, arguments)]
        asking = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.host.await_begun(call, n_calls + nth)
        self.kill("broker")
        self.assertNotEqual(asking.wait(), 0)
        wait_for(lambda: "operation=Finish" in self.daemon.log()[at:], "it is finished")
        records = [line for line in self.daemon.log()[at:].splitlines() if "operation=Finish" in line]
        self.assertEqual(len(records), 1, records)
        self.assertIn(f"[uid={os.getuid()} pid={asking.pid} operation=Finish asked={asked} domid=1 ", records[0])
        return records[0]

    def test_what_a_broker_did_not_live_to_see_is_in_the_trail(self):
        """By whom it was asked, too, and not who made what was changed."""
        cookie = self.create()
        pages = ("--domid", 1, "--gfn", 0xE0000, "--pages", 16)
        self.asker.pin(1, 0xE0000, 16, pb.UC)
        record = self.finished("DestroyRegion", "relocate", "destroy", hex(cookie))
        for word in ("audit: domain 1", f"cookie={cookie:#x}", "status=OK"):
            self.assertIn(word, record)
        record = self.finished("PinCacheattr", "pin", "pin", *pages)
        self.assertIn("setting the pin of gfn 0xe0000 + 16 pages status=OK", record)
        record = self.finished("UnpinCacheattr", "pin", "unpin", *pages)
        self.assertIn("taking away the pin of gfn 0xe0000 + 16 pages", record)
        way = ("--domid", 1, "--from", OTHER_BACKING, "--to", 0xD0000, "--pages", 16)
        for force in ((), ("--force",)):
            record = self.finished("MoveRam", "relocate", "move-ram", *way, *force)
            self.assertIn("a move of 16 pages from gfn 0x600 to 0xd0000 status=RETRY", record)
            self.assertEqual(" force=1 " in record, bool(force))
        self.asker = self.client()
        self.assert_at_home()

    def test_what_was_not_done_after_all_is_in_the_trail_as_undone(self):
        where = ("--domid", 1, "--vram-gfn", OTHER_VRAM, "--backing-gfn", OTHER_BACKING, "--pages", OTHER_PAGES)
        record = self.finished("CreateRegion", "relocate", "create", *where)
        self.assertIn("what=no page is left of it status=RETRY", record)
        self.asker = self.client()
        self.assert_at_home()
        cookie = hex(self.create())
        record = self.finished("MoveRegion", "relocate", "move", cookie, "--vram-gfn", VRAM)
        self.assertIn(f"at gfn {VRAM:#x} from {OTHER_BACKING:#x} status=OK", record)
        # One that was refused, and is on its way back already.
        self.host.fault("relocate", 1, 1, "fail", "ENOMEM", 2)
        record = self.finished("MoveRegion", "relocate", "move", cookie, "--vram-gfn", OTHER_VRAM, nth=2)
        self.assertIn(f"at gfn {VRAM:#x} from {OTHER_BACKING:#x} status=RETRY", record)
        self.asker = self.client()
        self.asker.destroy(int(cookie, 16))
        self.assert_at_home()

    def test_a_supervisor_in_a_creation(self):
        for pages in (0, 1, OTHER_PAGES // 2):
            with self.subTest(pages):
                self.host.fault("relocate", 1, 1, "kill", pages)
                self.host.fault("relocate", 1, 1, "delay", LONG_US)
                relocations = self.host.begun("relocate")
                self.start_create()
                self.host.await_begun("relocate", relocations + 1)
                self.daemon.kill()
                self.daemon.start()
                self.asker = self.client()
                self.assert_at_home()


if __name__ == "__main__":
    unittest.main()
