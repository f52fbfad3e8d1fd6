# SPDX-License-Identifier: LGPL-2.1-or-later
"""A broker that does not go on, for whatever reason, is woken or replaced, and whoever waits for it is answered."""

import os
import signal
import socket
import struct
import threading
import time
import unittest

import protocol
import xenvram_pb2 as pb
from harness import OldKernel, SimTest, now
from people import Signal, as_user, needs_root
from waiting import PATIENCE_S, SLOWNESS, wait_for

BASE, STRANGER = 3000000, 2000001
VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 64
BEAT_S, MAX_MISSED = 1, 10  # proto/limits.h
LINGER_S = 60


def kernel_refuses_descriptors():
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.getsockopt(socket.SOL_SOCKET, protocol.SO_PASSRIGHTS)
        except OSError:
            return False
        return True


def lingering():
    """A socket whose last close waits for its peer to read, which it does not; and what must stay open for that."""
    listening = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listening.getsockname())
    peer, _ = listening.accept()
    ours.setblocking(False)
    try:
        while True:
            ours.send(bytes(65536))
    except BlockingIOError:
        pass
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_S))
    return ours, (listening, peer)


@needs_root
class Lingering(SimTest):
    """The sender has closed it by the time it arrives: the daemon's close is the last one."""

    config = f"[access]\ndomain-uid-base = {BASE}\n"
    refused = kernel_refuses_descriptors()

    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)
        self.add_domain(1)
        self.asker = self.client()
        self.sent, self.done = Signal(), Signal()
        self.addCleanup(self.sent.close)
        self.addCleanup(self.done.close)

    def attack(self, copies):
        """Did the kernel refuse to send it? What is open then goes with the process, whose end waits for nobody."""
        ours, self.kept_open = lingering()
        with protocol.Connection(self.daemon.socket) as connection:
            connection.send("hello", pb.Hello(version_min=1, version_max=1))
            try:
                connection.send("list_regions", pb.ListRegions(), [ours.fileno()] * copies)
                refused = False
            except PermissionError:
                refused = True
            if refused:
                self.kept_open += (ours,)
            else:
                ours.close()
            self.sent.give()
            self.done.wait("the others are answered")
        return refused

    def check(self, uid, copies=1):
        broker, outcomes = self.daemon.broker_pid(), []
        attacker = threading.Thread(
            target=lambda: outcomes.append(as_user(uid, lambda: self.attack(copies)).value), daemon=True
        )
        os.kill(broker, signal.SIGSTOP)
        attacker.start()
        self.sent.wait("it is sent")
        os.kill(broker, signal.SIGCONT)
        time.sleep(0.2)  # it is met before the question
        began = now()
        self.asker.regions()
        took = now() - began
        self.client().regions()
        self.done.give()
        attacker.join(PATIENCE_S)
        self.assertEqual(outcomes, [self.refused])
        self.assertLess(took, 5 * SLOWNESS, "an administrator waits")
        if not self.refused:
            self.assertGreater(took, BEAT_S / 2, "nothing lingered")
        self.assertEqual(self.daemon.broker_pid(), broker)
        self.assertFalse(self.asker.events, "nobody notices")

    def test_from_a_stranger(self):
        self.check(STRANGER)

    def test_from_a_device_model(self):
        self.check(BASE + 1)

    def test_from_a_device_model_too_many(self):
        """The kernel closes those that there is no room for."""
        self.check(BASE + 1, protocol.MAX_MESSAGE_FDS + 1)


class LingeringWithOldKernel(OldKernel, Lingering):
    refused = False


class Silence(SimTest):
    def setUp(self):
        super().setUp()
        self.add_domain(1)
        self.asker = self.client()
        self.cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        self.broker = self.daemon.broker_pid()

    def await_quiet(self):
        """All that was asked for is done, and the broker was asked whether it is."""
        time.sleep(3 * BEAT_S)

    def stop_broker(self):
        os.kill(self.broker, signal.SIGSTOP)
        self.stopped = now()

    def assert_replaced(self):
        wait_for(lambda: self.broker not in self.daemon.role_pids("broker"), "it is killed")
        self.assertGreater(now() - self.stopped, (MAX_MISSED - 2) * BEAT_S)
        self.assertLess(now() - self.stopped, (MAX_MISSED + 5) * BEAT_S * SLOWNESS)
        self.assertIn(f"the broker (pid {self.broker}) has not answered for 10000 ms and is killed", self.daemon.log())
        self.assertEqual(self.asker.take_events("restarted"), [pb.Restarted()])
        self.assertEqual([r.cookie for r in self.asker.regions()], [self.cookie])
        self.assertEqual(len(self.asker.snapshot(self.cookie)[0]), NR_PAGES)

    def test_with_a_question_before_it(self):
        self.asker.regions()
        self.stop_broker()
        self.assert_replaced()

    def test_with_somebody_at_the_door(self):
        self.await_quiet()
        self.stop_broker()
        early = self.connection()
        early.send("hello", pb.Hello(version_min=1, version_max=1))
        self.assert_replaced()
        self.assertEqual(early.receive()[0].reply.status, pb.OK)

    def test_with_something_to_tell_it(self):
        self.await_quiet()
        self.stop_broker()
        self.daemon.process.send_signal(signal.SIGHUP)
        self.assert_replaced()

    def test_of_all(self):
        """Nobody is silent while nobody listens."""
        supervisor = self.daemon.process.pid
        self.asker.regions()
        self.stop_broker()
        time.sleep(2 * BEAT_S)
        os.kill(supervisor, signal.SIGSTOP)
        time.sleep((MAX_MISSED + 2) * BEAT_S)
        os.kill(supervisor, signal.SIGCONT)
        time.sleep(BEAT_S / 2)
        os.kill(self.broker, signal.SIGCONT)
        self.asker.regions()
        self.await_quiet()
        self.assertEqual(self.daemon.broker_pid(), self.broker)

    def test_nobody_wakes_up_for_it(self):
        self.asker.destroy(self.cookie)
        self.await_quiet()

        def switches():
            n = 0
            for pid in (self.daemon.process.pid, self.broker):
                with open(f"/proc/{pid}/status", encoding="ascii") as status:
                    n += sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
            return n

        wait_for(lambda: not self.daemon.worker_pid(1), "the worker ends")
        self.await_quiet()
        before = switches()
        time.sleep(3 * BEAT_S)
        self.assertEqual(switches(), before)


if __name__ == "__main__":
    unittest.main()
