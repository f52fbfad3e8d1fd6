# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration file: at the start, when it is read anew, and when it has faults."""

import fcntl
import os
import signal
import time
import unittest

import protocol
import xenvram_pb2 as pb
from harness import SimTest, children, kill
from waiting import wait_for

MAX_REGION_PAGES = 262144


class Config(SimTest):
    config = "[limits]\nrequests-in-flight = 7\n"

    def requests_in_flight(self):
        with protocol.Client(self.daemon.socket) as client:
            return client.hello.max_requests_in_flight

    def connect_until_refused(self, most):
        """How many connections are taken, and what is said to the next."""
        clients = [self.client() for _ in range(most)]
        with self.connection() as refused:
            packet, _ = refused.receive()
        for client in clients:
            client.close()
        return packet.reply

    def await_requests_in_flight(self, expected):
        wait_for(lambda: self.requests_in_flight() == expected, "the settings arrive")

    def daemon_is_locked(self):
        with open(os.path.join(self.daemon.directory, "lock"), "wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def test_holds_from_the_first_connection_on(self):
        self.assertEqual(self.requests_in_flight(), 7)

    def test_what_is_beyond_waits(self):
        """No more than so many requests are taken of a connection at a time; others do not notice."""
        self.add_domain(1)
        client, other = self.client(), self.client()
        cookie = client.create(1, 0xF0000, 0x400, 4).cookie
        worker = self.daemon.await_worker(1)
        os.kill(worker, signal.SIGSTOP)
        try:
            taken = [client.start("snapshot", pb.Snapshot(cookie=cookie, sync=True)) for _ in range(6)]
            self.assertEqual(len(client.regions()), 1)
            taken.append(client.start("snapshot", pb.Snapshot(cookie=cookie, sync=True)))
            beyond = client.start("list_regions", pb.ListRegions())
            for _ in range(20):
                self.assertEqual(len(other.regions()), 1)
            with self.assertRaises(TimeoutError):
                client.finish(beyond, 0)
        finally:
            os.kill(worker, signal.SIGCONT)
        for serial in (*taken, beyond):
            self.assertEqual(client.finish(serial)[0].status, pb.OK)

    def test_reload(self):
        client = self.client()
        self.daemon.configure("[limits]\nrequests-in-flight = 9\n")
        self.assertIn("was read anew", self.daemon.reload())
        self.await_requests_in_flight(9)
        self.assertEqual(client.regions(), [])
        self.daemon.configure("")
        self.daemon.reload()
        self.await_requests_in_flight(32)

    def test_reload_while_it_starts(self):
        """It waits for what is left of a predecessor, and has read the file already."""
        self.assertEqual(self.daemon.stop(), 0)
        with open(os.path.join(self.daemon.directory, "roles.lock"), "wb") as left:
            fcntl.flock(left, fcntl.LOCK_EX)
            await_serving = self.daemon.begin()
            wait_for(self.daemon_is_locked, "it waits")
            self.daemon.configure("[limits]\nrequests-in-flight = 9\n")
            self.daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.1)
            self.assertIsNone(self.daemon.process.poll())
        await_serving()
        self.await_requests_in_flight(9)

    def test_reload_of_a_faulty_file_changes_nothing(self):
        self.daemon.configure(
            "[limits]\nrequests-in-flight = 9\nconnections = lots\n\n[limit]\n[gfns]\nvram = ; 0x4000-0x4fff\n"
        )
        said = self.daemon.reload()
        self.assertIn("xenvramd.conf:7: vram has no window", said)
        self.assertIn('xenvramd.conf:3: connections is "lots"', said)
        self.assertIn("xenvramd.conf:5: there is no section [limit]", said)
        self.assertIn("was not read anew", said)
        self.assertEqual(self.requests_in_flight(), 7)
        os.unlink(self.daemon.config_path)
        self.assertIn("No such file or directory", self.daemon.reload())
        self.assertEqual(self.requests_in_flight(), 7)

    def test_reload_of_a_large_file(self):
        self.daemon.configure("# none\n" * 20000)
        said = self.daemon.reload()
        self.assertIn("xenvramd.conf: the file has more than the 65536 bytes that are allowed", said)
        self.assertIn("was not read anew", said)
        self.assertEqual(self.requests_in_flight(), 7)

    def test_reload_of_what_is_no_file(self):
        os.unlink(self.daemon.config_path)
        os.mkdir(self.daemon.config_path)
        self.assertIn("Is a directory", self.daemon.reload())
        os.rmdir(self.daemon.config_path)
        # That nobody writes to it must not count as a file without a setting.
        os.mkfifo(self.daemon.config_path)
        self.assertIn("is a pipe", self.daemon.reload())
        self.assertEqual(self.requests_in_flight(), 7)

    def test_outlives_the_broker(self):
        broker = self.daemon.broker_pid()
        kill(broker)
        wait_for(lambda: broker not in children(self.daemon.process.pid), "it dies")
        self.assertEqual(self.requests_in_flight(), 7)

    def test_does_not_start_with_a_faulty_file(self):
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.configure("connections = 10\n[limits]\nconnections = 0\n")
        with self.assertRaises(RuntimeError):
            self.daemon.start()
        self.assertEqual(self.daemon.process.returncode, 1)
        self.assertIn("xenvramd.conf:1: connections stands before the first section", self.daemon.log())
        self.assertIn('xenvramd.conf:3: connections is "0"', self.daemon.log())
        os.unlink(self.daemon.config_path)
        with self.assertRaises(RuntimeError):
            self.daemon.start()
        self.assertIn(f"cannot read the configuration file {self.daemon.config_path}", self.daemon.log())

    def test_connections_of_a_user(self):
        self.daemon.configure("[limits]\nconnections-per-uid = 3\nrequests-in-flight = 5\n")
        self.daemon.reload()
        self.await_requests_in_flight(5)
        reply = self.connect_until_refused(3)
        self.assertEqual(reply.serial, 0)
        self.assertIn(f"uid {os.getuid()} has 3 connections and asks for 1 more; at most 3 are allowed", reply.message)


class Promised(SimTest):
    def test_it_outlives_the_broker(self):
        """Requests in flight, and room for the replies to all of them, are what they were at Hello."""
        self.add_domain(1)
        client = self.client()
        n = client.hello.max_requests_in_flight
        self.daemon.configure("[limits]\nrequests-in-flight = 1\nqueued-bytes = 327680\n")
        self.daemon.reload()
        wait_for(lambda: self.client().hello.max_requests_in_flight == 1, "the settings arrive")
        kill(self.daemon.broker_pid())
        client.take_events("restarted")
        track = pb.TrackDirty(domid=1, first_gfn=0, nr_pages=MAX_REGION_PAGES)
        client.call("track_dirty", track)
        other = self.client()
        worker = self.daemon.await_worker(1)
        os.kill(worker, signal.SIGSTOP)
        try:
            taken = [client.start("track_dirty", track) for _ in range(n - 1)]
            self.assertEqual(client.regions(), [])
            taken.append(client.start("track_dirty", track))
            behind = other.start("track_dirty", pb.TrackDirty(domid=1, first_gfn=0, nr_pages=1))
        finally:
            os.kill(worker, signal.SIGCONT)
        self.assertEqual(other.finish(behind)[0].status, pb.OK)  # the others' are on their way, unread
        replies = [client.finish(serial)[0] for serial in taken]
        self.assertEqual({reply.status for reply in replies}, {pb.OK})
        self.assertGreater(sum(len(reply.snapshot.bitmap) for reply in replies), 2 * 327680)


if __name__ == "__main__":
    unittest.main()
