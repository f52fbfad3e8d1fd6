# SPDX-License-Identifier: LGPL-2.1-or-later
"""What attacks on the service once achieved: it must not happen again."""

import contextlib
import errno
import fcntl
import multiprocessing
import os
import re
import select
import signal
import socket
import subprocess
import time
import unittest

import protocol
import region_log
import xenvram_pb2 as pb
from guest import end_with_us
from harness import Daemon, SimTest, count_fds, is_alive, kill, now
from waiting import PATIENCE_S, SLOWNESS, wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 64
MAX_RUNS = 1024
SMALL_PIPE_BYTES = 16384


class FoundTest(SimTest):
    def start_as(self, **options):
        """Starts the daemon in another way than the harness does."""
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.process = subprocess.Popen(
            self.daemon.command,
            env=self.daemon.environment,
            stdin=subprocess.DEVNULL,
            preexec_fn=end_with_us,
            **options,
        )

        def can_connect():
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                return client.connect_ex(self.daemon.socket) == 0

        wait_for(can_connect, "xenvramd listens")

    def assert_prompt(self, client):
        began = now()
        client.regions()
        self.assertLess(now() - began, 5 * SLOWNESS, "another client waits")


class Cursors(FoundTest):
    """A reader's cursor means the same to the log that follows a restart of everything."""

    def check_restart(self, end):
        domain = self.add_domain(1)
        guest = self.add_guest(domain)
        asker = self.client()
        cookie = asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        log = self.open_log(asker.subscribe(cookie, 1000))
        guest.set_picture(VRAM, NR_PAGES, pace=20000)
        guest.paint()
        wait_for(lambda: log.generation > 50, "there are many generations")
        guest.idle()
        _, since = asker.snapshot(cookie, sync=True)
        cursor = log.scan(0)[1]
        for value in range(3):
            end()
            self.assertNotEqual(log.state, region_log.GONE, "only the daemon is gone")
            guest.write([VRAM + 7], value + 1000)
            self.daemon.start()
            asker = self.client()
            # A log is there again as soon as the domain has a worker.
            log = self.open_log(protocol.until_answered(lambda: asker.subscribe(cookie, 1000)))
            guest.write([VRAM + 9], value + 2000)
            pages, since = asker.snapshot(cookie, since, sync=True)
            self.assertLessEqual({7, 9}, set(pages), "Snapshot has lost pages")
            pages, cursor = log.scan(cursor)
            self.assertLessEqual({7, 9}, set(pages), "the log has lost pages")
            guest.write([VRAM + 5], value + 3000)
            pages, since = asker.snapshot(cookie, since, sync=True)
            self.assertEqual(pages, [5], "what the next cursor brings")
            pages, cursor = log.scan(cursor)
            self.assertEqual(pages, [5], "what the next cursor brings")

    def test_stopped(self):
        self.check_restart(lambda: self.assertEqual(self.daemon.stop(), 0))

    def test_killed(self):
        self.check_restart(self.daemon.kill)


class Polls(FoundTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.asker = self.client()
        self.cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie

    def test_a_pipe_that_comes_during_a_poll(self):
        """Between the reply and the worker's getting the pipe, a poll publishes: the reader is woken."""
        guest = self.add_guest(self.domain)
        first = self.open_log(self.asker.subscribe(self.cookie, 1000))
        wait_for(lambda: first.state == region_log.TRACKED, "tracking begins")
        self.asker.snapshot(self.cookie, sync=True)
        self.host.fault("track", 1, "every", "delay", 200000)
        reader = self.client()
        for value in range(4):
            self.host.await_begun("track", self.host.begun("track") + 1)
            guest.write([VRAM + 9], value + 1)
            subscription = reader.subscribe(self.cookie, 1000, want_wake=True)
            log = self.open_log(subscription)
            seen = log.generation
            wait_for(lambda: log.generation != seen, "the write is published")
            readable, _, _ = select.select([subscription.wake_fd], [], [], PATIENCE_S)
            self.assertTrue(readable, "the reader sleeps on")
            reader.unsubscribe(subscription)
            os.close(subscription.wake_fd)

    def assert_guest_has_half(self, function):
        """A poll of 5 ms pauses the guest; function() asks for as many as it can for a second."""
        self.host.fault("track", 1, "every", "delay", 5000)
        time.sleep(0.05)
        began, before = now(), self.host.calls(1)["track"]
        while now() - began < 1:
            function()
        polls, took = self.host.calls(1)["track"] - before, now() - began
        self.assertGreater(polls, 5)
        self.assertLess(polls * 0.005 / took, 0.55, f"{polls} polls in {took:.3f} s")

    def test_a_period_shorter_than_a_poll(self):
        self.asker.subscribe(self.cookie, 1000)
        self.assert_guest_has_half(lambda: time.sleep(0.1))

    def test_snapshots_without_pause(self):
        self.assert_guest_has_half(lambda: self.asker.snapshot(self.cookie, sync=True))

    def test_marks_that_cost_more_than_the_region_is_long(self):
        _, generation = self.asker.snapshot(self.cookie)
        whole = pb.Run(first=0, nr_pages=NR_PAGES)
        last = pb.Run(first=NR_PAGES - 1, nr_pages=1)
        first = pb.Run(first=0, nr_pages=1)
        for runs in ([whole] * MAX_RUNS, [first, whole], [whole, last], [last, last], [last, first]):
            mark = pb.MarkDirty(cookie=self.cookie, runs=runs)
            self.refused(pb.INVALID, errno.EINVAL, self.asker.call, "mark_dirty", mark)
        self.assertEqual(self.asker.snapshot(self.cookie, since=generation)[0], [])


class Strangers(FoundTest):
    """A domain has the domid of one that died with a region."""

    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.cookie = self.client().create(1, VRAM, BACKING, NR_PAGES).cookie

    def add_stranger(self):
        """Another domain 1. By somebody else's doing it has pages and a pin where the dead one had them."""
        self.stranger = self.add_domain(1)
        directory = os.path.join(self.directory, "other")
        os.mkdir(directory)
        other = Daemon(self.build, self.host, directory)
        self.addCleanup(other.end)
        other.start()
        with protocol.Client(other.socket) as client:
            client.create(1, VRAM, BACKING, NR_PAGES)
        other.kill()
        self.before = self.stranger.contents()
        self.pins = self.stranger.pins()
        self.assertEqual(len(self.pins), 1)

    def assert_stranger_is_left_alone(self):
        asker = self.client()
        wait_for(lambda: not asker.regions(), "the region of the dead one goes")
        self.refused(pb.NOT_FOUND, errno.ENOENT, asker.snapshot, self.cookie)
        self.refused(pb.NOT_FOUND, errno.ENOENT, asker.destroy, self.cookie)
        self.assertIsNone(self.stranger.tracked())
        self.assert_contents(self.before, self.stranger)
        self.assertEqual(self.stranger.pins(), self.pins)
        # And it can be served.
        cookie = asker.create(1, VRAM + 0x1000, BACKING + 0x100, NR_PAGES).cookie
        self.assert_moved(self.before, self.stranger, VRAM + 0x1000, BACKING + 0x100, NR_PAGES)
        asker.destroy(cookie)
        self.assert_contents(self.before, self.stranger)
        self.assertEqual(self.stranger.pins(), self.pins)

    def let_it_die_with_its_worker_asleep(self):
        """The broker that knew it is dead, the next one has asked for a worker, the old one cannot end."""
        worker, broker = self.daemon.await_worker(1), self.daemon.broker_pid()
        os.kill(worker, signal.SIGSTOP)
        os.kill(broker, signal.SIGSTOP)
        self.domain.destroy()
        time.sleep(0.1 * SLOWNESS)  # the supervisor tells those two
        served = self.daemon.log().count("serving")
        kill(broker)
        wait_for(lambda: self.daemon.log().count("serving") > served, "another broker serves")
        time.sleep(0.1 * SLOWNESS)
        return worker

    def check_left_over_journal(self):
        self.daemon.kill()
        self.host.clear_faults()
        self.domain.destroy()
        self.add_stranger()
        self.daemon.start()
        self.assert_stranger_is_left_alone()

    def test_the_journal_is_left_over(self):
        self.check_left_over_journal()

    def test_the_journal_is_left_over_with_a_destruction_begun(self):
        """The pages are to be moved back, but those at vram are not the dead one's."""
        self.host.fault("relocate", 1, "every", "delay", 300000)
        client = self.client()
        relocations = self.host.begun("relocate")
        client.start("destroy_region", pb.DestroyRegion(cookie=self.cookie))
        self.host.await_begun("relocate", relocations + 1)
        self.check_left_over_journal()

    def test_the_old_worker_is_still_ending(self):
        worker = self.let_it_die_with_its_worker_asleep()
        supervisor = self.daemon.process.pid
        os.kill(supervisor, signal.SIGSTOP)
        try:
            kill(worker)
            wait_for(lambda: not is_alive(worker), "the old worker ends")
            self.add_stranger()
        finally:
            os.kill(supervisor, signal.SIGCONT)
        self.assert_stranger_is_left_alone()

    def test_nobody_took_the_domid(self):
        """No worker can be started for a region of the dead: it goes."""
        worker = self.let_it_die_with_its_worker_asleep()
        os.kill(worker, signal.SIGCONT)
        asker = self.client()
        wait_for(lambda: not asker.regions(), "the region of the dead one goes")
        self.daemon.await_no_worker(1)
        self.add_domain(1)
        asker.create(1, VRAM, BACKING, NR_PAGES)


class Orphans(FoundTest):
    """SIGKILL of the supervisor while its worker moves pages; another is started at once."""

    PAGES = 1024  # four hypercalls
    DELAY_US = 1000000

    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.before = self.domain.contents()
        self.asker = self.client()

    def check_restart(self, operation, message):
        """Kills it in the third hypercall."""
        relocations = self.host.begun("relocate")
        self.host.fault("relocate", 1, 3, "delay", self.DELAY_US)
        self.asker.start(operation, message)
        self.host.await_begun("relocate", relocations + 3)
        worker = self.daemon.worker_pid(1)
        self.daemon.process.kill()
        self.daemon.process.wait()
        self.daemon.start()
        asker = self.client()

        def settled():
            return all(r.state == pb.ACTIVE for r in asker.regions())

        wait_for(settled, "no region is half made")
        wait_for(lambda: not is_alive(worker), "the old worker ends")
        regions = asker.regions()
        if regions:
            self.assert_moved(self.before, self.domain, VRAM, BACKING, self.PAGES)
            asker.destroy(regions[0].cookie)
        self.assert_contents(self.before, self.domain)
        self.assertEqual(self.domain.pins(), [])

    def test_creation(self):
        region = pb.CreateRegion(domid=1, vram_gfn=VRAM, backing_gfn=BACKING, nr_pages=self.PAGES)
        self.check_restart("create_region", region)

    def test_destruction(self):
        cookie = self.asker.create(1, VRAM, BACKING, self.PAGES).cookie
        self.check_restart("destroy_region", pb.DestroyRegion(cookie=cookie))


def flood(path, seconds):
    """Connects, says something that costs a line in the log, goes away."""
    deadline = now() + seconds
    while now() < deadline:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(20)
            try:
                client.connect(path)
                client.send(b"\xff")
                client.recv(16)
            except OSError:
                pass


class Clients(FoundTest):
    def test_closed_with_snapshots_pending(self):
        """Nothing is kept for who went away."""
        self.add_domain(1)
        asker = self.client()
        cookie = asker.create(1, VRAM, BACKING, 1024).cookie
        broker, worker = self.daemon.broker_pid(), self.daemon.await_worker(1)
        n_fds = count_fds(broker)

        def ask_and_leave(times):
            for _ in range(times):
                with protocol.Client(self.daemon.socket) as client:
                    for _ in range(30):
                        client.send("snapshot", pb.Snapshot(cookie=cookie, sync=True))
            wait_for(lambda: count_fds(broker) == n_fds, "the broker has seen them go")

        def resident_kib():
            with open(f"/proc/{broker}/status", encoding="ascii") as status:
                return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

        os.kill(worker, signal.SIGSTOP)
        try:
            ask_and_leave(50)
            before = resident_kib()
            ask_and_leave(1000)
            grown = resident_kib() - before
            self.assert_prompt(asker)
        finally:
            os.kill(worker, signal.SIGCONT)
        if SLOWNESS == 1:  # a sanitizer does not give memory back at once
            self.assertLess(grown, 500, "KiB for what nobody waits for")
        began = now()
        self.assertEqual(len(asker.snapshot(cookie, sync=True)[0]), 1024)
        self.assertLess(now() - began, 5 * SLOWNESS, "what nobody waits for is done first")
        self.assertEqual(self.daemon.broker_pid(), broker)

    def check_flood(self, meanwhile):
        self.add_domain(1)
        asker = self.client()
        cookie = asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        broker = self.daemon.broker_pid()
        n_fds = count_fds(broker)
        context = multiprocessing.get_context("fork")
        flooders = [context.Process(target=flood, args=(self.daemon.socket, 2), daemon=True) for _ in range(2)]
        for flooder in flooders:
            flooder.start()
        meanwhile()
        while any(flooder.is_alive() for flooder in flooders):
            self.assert_prompt(asker)
            self.assertEqual(len(asker.snapshot(cookie)[0]), NR_PAGES)
            self.assertLess(count_fds(broker), 2000, "descriptors of clients that are gone")
            time.sleep(0.01)
        self.assertEqual(self.daemon.broker_pid(), broker)
        wait_for(lambda: count_fds(broker) == n_fds, "nothing remains of them")
        self.assertLess(self.daemon.log().count("\n"), 500, "lines in the log")
        self.client()

    def test_a_flood(self):
        self.check_flood(lambda: None)

    def test_a_flood_that_the_supervisor_cannot_follow(self):
        """It keeps every connection for the next broker, and gets no more of them than it can take."""

        def stop_supervisor():
            os.kill(self.daemon.process.pid, signal.SIGSTOP)
            try:
                time.sleep(1)
            finally:
                os.kill(self.daemon.process.pid, signal.SIGCONT)

        self.check_flood(stop_supervisor)


class Terminal(FoundTest):
    def test_nobody_reads_what_it_says(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SMALL_PIPE_BYTES)
        # An open file of our own: that it does not block is nothing to the daemon.
        filler = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
        with self.assertRaises(BlockingIOError):
            while True:
                os.write(filler, b"x")
        os.close(filler)
        self.start_as(stdout=writer, stderr=writer)
        os.close(writer)
        self.add_domain(1)
        asker = self.client()
        cookie = asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        self.send_nonsense(20)
        for victim in (self.daemon.await_worker(1), self.daemon.broker_pid()):
            kill(victim)
            wait_for(lambda: not is_alive(victim), "it is dead")
        self.assertEqual(asker.take_events("restarted"), [pb.Restarted()])
        self.assertEqual(len(asker.snapshot(cookie)[0]), NR_PAGES)
        self.send_nonsense(20)
        text = self.read_all(reader)
        self.assertEqual(text.strip("x"), "")
        asker.destroy(cookie)
        # What the broker before this one could not say went with it.
        lines = self.read_all(reader).splitlines()
        self.assertRegex(lines[0], r"^xenvramd\[broker\]: nobody took [2-9]\d lines or records meanwhile$")
        self.assertIn("operation=DestroyRegion", lines[1])
        self.assertEqual(self.daemon.stop(), 0)

    def send_nonsense(self, times):
        for _ in range(times):
            with self.connection() as bad:
                bad.send_bytes(b"\xff")
                bad.expect_close()

    def read_all(self, reader):
        os.set_blocking(reader, False)
        text = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                text += os.read(reader, 65536)
        return text.decode()

    def test_control_c(self):
        """A terminal sends SIGINT to every process of the daemon at once."""
        with open(self.daemon.log_path, "ab") as output:
            self.start_as(stdout=output, stderr=output, start_new_session=True)
        domain = self.add_domain(1)
        asker = self.client()
        cookie = asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        log = self.open_log(asker.subscribe(cookie, 1000))
        wait_for(lambda: domain.tracked() is not None, "tracking begins")
        os.killpg(self.daemon.process.pid, signal.SIGINT)
        self.assertEqual(self.daemon.process.wait(PATIENCE_S), 0)
        self.assertIsNone(domain.tracked())
        self.assertEqual(log.state, region_log.IDLE)
        self.assertNotIn("killed by signal", self.daemon.log())
        self.assertFalse(os.path.exists(self.daemon.socket), "the socket is left behind")
        self.daemon.start()
        self.assertEqual([r.cookie for r in self.client().regions()], [cookie])


if __name__ == "__main__":
    unittest.main()
