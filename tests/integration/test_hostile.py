# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that break the rules of PROTOCOL.md get what that page says, and nobody else notices."""

import errno
import os
import random
import select
import signal
import socket
import threading
import time
import unittest

import protocol
import xenvram_pb2 as pb
from followers import WakeFollower
from harness import OldKernel, SimTest, count_fds
from waiting import PATIENCE_S, SLOWNESS, wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 256
PERIOD_US = 5000
MAX_GAP_S = 3
MAX_CONNECTIONS_PER_UID = 256
MAX_IN_FLIGHT = 32


def hello(version_min=1, version_max=1, **more):
    return pb.Hello(version_min=version_min, version_max=version_max, **more)


def field(number, value):
    """An unknown varint field of one byte's value."""
    return bytes([number << 3, value]) if number < 16 else protobuf_varint(number << 3) + bytes([value])


def protobuf_varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


class HostileTest(SimTest):
    """A well-behaved reader follows a painting guest all the time."""

    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.guest = self.add_guest(self.domain)
        self.asker = self.client()
        self.cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        subscription = self.asker.subscribe(self.cookie, PERIOD_US, want_wake=True)
        self.follower = WakeFollower(
            self.domain, VRAM, NR_PAGES, self.open_log(subscription), subscription.wake_fd
        )
        self.guest.set_picture(VRAM, NR_PAGES, pace=200000)
        self.guest.paint()
        self.follower.start()
        self.addCleanup(self.follower.stopping.set)
        wait_for(lambda: self.follower.wakes > 3, "the good reader follows")
        self.follower.longest_gap = 0.0
        self.opened = []
        self.broker = self.daemon.broker_pid()
        self.n_fds = count_fds(self.broker)

    def tearDown(self):
        if self.daemon.process.poll() is None and not self.follower.error:
            self.assert_unharmed()

    def assert_unharmed(self):
        self.assertEqual(self.daemon.broker_pid(), self.broker, "the broker died")
        wakes = self.follower.wakes
        wait_for(lambda: self.follower.wakes > wakes + 3, "the good reader is woken")
        self.guest.idle()
        _, generation = self.asker.snapshot(self.cookie, 0, sync=True)
        wait_for(lambda: self.follower.cursor >= generation, "the good reader catches up")
        self.follower.finish()
        os.close(self.follower.wake_fd)
        self.assertEqual(self.follower.stale_pages(), [], "the good reader lost pages")
        self.assertLess(self.follower.longest_gap, MAX_GAP_S * SLOWNESS, "the good reader's stream stuttered")
        for connection in self.opened:
            connection.close()
        wait_for(lambda: count_fds(self.broker) <= self.n_fds, "the broker closes every descriptor")

    # ---- one connection ----

    def connection(self):
        self.opened.append(super().connection())
        return self.opened[-1]

    def greeted(self):
        connection = self.connection()
        connection.send("hello", hello())
        packet, _ = connection.receive()
        self.assertEqual(packet.reply.status, pb.OK)
        return connection

    def answer(self, connection):
        packet, fds = connection.receive()
        self.assertEqual(fds, [])
        return packet.reply

    def assert_invalid(self, reply, serial, os_error=errno.EINVAL):
        self.assertEqual((reply.status, reply.serial, reply.os_error), (pb.INVALID, serial, os_error), reply.message)
        self.assertTrue(reply.message)

    def assert_works(self, connection):
        serial = connection.send("list_regions", pb.ListRegions())
        reply = self.answer(connection)
        self.assertEqual((reply.status, reply.serial), (pb.OK, serial))
        self.assertEqual([r.cookie for r in reply.list_regions.regions], [self.cookie])

    def assert_closed_silently(self, connection):
        self.assertEqual(connection.expect_close(), [])

    def assert_refused_and_closed(self, connection, status, os_error):
        packets = connection.expect_close()
        self.assertEqual(len(packets), 1)
        reply = packets[0].reply
        self.assertEqual((reply.status, reply.os_error), (status, os_error), reply.message)
        return reply.message


class Rules(HostileTest):
    def test_hello(self):
        connection = self.connection()
        connection.send("hello", hello(0, 99, client="x" * 64, features=(1 << 64) - 1), serial=0xDEADBEEF00000001)
        reply = self.answer(connection)
        self.assertEqual((reply.status, reply.serial), (pb.OK, 0xDEADBEEF00000001))
        self.assertEqual(reply.hello.version, 1)
        self.assertTrue(reply.hello.daemon)
        limits = reply.hello
        self.assertEqual((limits.max_message_bytes, limits.max_requests_in_flight), (65536, MAX_IN_FLIGHT))
        self.assertEqual((limits.max_region_pages, limits.min_period_us, limits.max_period_us), (262144, 1000, 10000000))
        self.assert_works(connection)

    def test_unknown_versions(self):
        for low, high in ((2, 2), (2, 0xFFFFFFFF), (0, 0), (0xFFFFFFFF, 0xFFFFFFFF)):
            with self.subTest((low, high)):
                connection = self.connection()
                connection.send("hello", hello(low, high))
                message = self.assert_refused_and_closed(connection, pb.VERSION, errno.EPROTONOSUPPORT)
                for word in (f"{low} to {high}", "1 to 1"):
                    self.assertIn(word, message)

    def test_a_version_range_the_wrong_way_round(self):
        connection = self.connection()
        connection.send("hello", hello(3, 1))
        self.assert_refused_and_closed(connection, pb.INVALID, errno.EINVAL)

    def test_anything_before_hello(self):
        for operation, message in (
            ("list_regions", pb.ListRegions()),
            ("destroy_region", pb.DestroyRegion(cookie=self.cookie)),
            ("subscribe", pb.Subscribe(cookie=self.cookie)),
        ):
            with self.subTest(operation):
                connection = self.connection()
                connection.send(operation, message)
                self.assertIn("Hello", self.assert_refused_and_closed(connection, pb.INVALID, errno.EPROTO))
        self.assertEqual(self.asker.region(self.cookie).state, pb.ACTIVE)

    def test_a_second_hello(self):
        connection = self.greeted()
        connection.send("hello", hello())
        self.assert_refused_and_closed(connection, pb.INVALID, errno.EPROTO)

    def test_a_name_too_long(self):
        connection = self.connection()
        connection.send("hello", hello(client="x" * 65))
        self.assertIn("65", self.assert_refused_and_closed(connection, pb.INVALID, errno.EINVAL))

    def test_serial_0(self):
        connection = self.greeted()
        connection.send("list_regions", pb.ListRegions(), serial=0)
        self.assert_invalid(self.answer(connection), 0)
        self.assert_works(connection)

    def test_the_same_serial_twice(self):
        connection = self.greeted()
        for _ in range(2):
            connection.send("list_regions", pb.ListRegions(), serial=7)
        self.assertEqual([self.answer(connection).serial for _ in range(2)], [7, 7])

    def test_unknown_operations(self):
        connection = self.greeted()
        for rest in (b"", b"\xa2\x06\x03abc", field(15, 1)):
            connection.send_bytes(pb.Request(serial=5).SerializeToString() + rest)
            self.assert_invalid(self.answer(connection), 5, errno.EOPNOTSUPP)
        self.assert_works(connection)

    def test_unknown_fields_are_ignored(self):
        connection = self.greeted()
        request = pb.Request(serial=9, list_regions=pb.ListRegions()).SerializeToString()
        connection.send_bytes(request + field(100, 1) + field(15, 2))
        self.assertEqual((r := self.answer(connection)).status, pb.OK, r.message)

    def test_length(self):
        """A packet of exactly the maximum is taken, one byte more is not."""
        request = pb.Request(serial=3, list_regions=pb.ListRegions()).SerializeToString()
        # An unknown field of bytes fills it up: tag, length in three bytes, contents.
        padding = 65536 - len(request) - 4
        filler = bytes([15 << 3 | 2]) + protobuf_varint(padding) + bytes(padding)
        connection = self.greeted()
        connection.send_bytes(request + filler)
        self.assertEqual(self.answer(connection).status, pb.OK)
        connection.send_bytes(request + filler + b"\0")
        self.assert_closed_silently(connection)

    def test_a_packet_that_grows_on_unpacking(self):
        connection = self.greeted()
        connection.send_bytes(field(15, 1) * 32768)
        self.assert_closed_silently(connection)

    def test_an_empty_packet(self):
        for connection in (self.connection(), self.greeted()):
            connection.send_bytes(b"")
            self.assert_closed_silently(connection)

    def test_garbage(self):
        for garbage in (b"\xff" * 100, b"\0", b"\x0a", b"\x12\xff\xff\xff\xff\x0f", bytes(range(256))):
            with self.subTest(garbage[:8]):
                for connection in (self.connection(), self.greeted()):
                    connection.send_bytes(garbage)
                    self.assert_closed_silently(connection)

    def test_random_garbage(self):
        """It may happen to be a message; then it is a wrong one."""
        source = random.Random(5)
        valid = pb.Request(serial=1, snapshot=pb.Snapshot(cookie=self.cookie)).SerializeToString()
        for i in range(300):
            connection = self.connection() if i % 2 else self.greeted()
            if i % 3:
                data = source.randbytes(source.randint(1, 300))
            else:
                data = bytearray(valid)
                for _ in range(source.randint(1, 3)):
                    data[source.randrange(len(data))] = source.randrange(256)
            connection.send_bytes(bytes(data))
            try:
                reply = connection.receive()[0].reply
                if i % 2:
                    self.assertEqual(reply.status, pb.INVALID)
            except protocol.Closed:
                pass
            connection.close()

    def test_a_request_and_away(self):
        """Replies to who is gone go nowhere."""
        for _ in range(100):
            connection = self.greeted()
            connection.send("snapshot", pb.Snapshot(cookie=self.cookie, sync=True))
            connection.send("subscribe", pb.Subscribe(cookie=self.cookie, want_wake=True))
            connection.close()
        wait_for(lambda: self.asker.region(self.cookie).subscriptions == 1, "their subscriptions end")


class Descriptors(OldKernel, HostileTest):
    def test_descriptors_with_a_request(self):
        connection = self.greeted()
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(protocol.MAX_MESSAGE_FDS + 1)]
        try:
            for n in range(1, protocol.MAX_MESSAGE_FDS + 1):
                serial = connection.send("list_regions", pb.ListRegions(), fds[:n])
                reply = self.answer(connection)
                self.assert_invalid(reply, serial)
                self.assertIn(str(n), reply.message)
            self.assert_works(connection)
            for n in (protocol.MAX_MESSAGE_FDS + 1, 200):
                connection = self.greeted()
                connection.send("list_regions", pb.ListRegions(), (fds * 50)[:n])
                self.assert_closed_silently(connection)
        finally:
            for fd in fds:
                os.close(fd)

    def test_descriptors_of_every_kind(self):
        """Whatever it is, it is closed and never touched."""
        reader, writer = os.pipe()
        left, right = socket.socketpair()
        for _ in range(50):
            connection = self.greeted()
            connection.send("list_domains", pb.ListDomains(), [reader, writer, left.fileno(), connection.fileno()])
            self.assert_invalid(self.answer(connection), connection.last_serial)
            connection.close()
        os.close(writer)
        self.assertTrue(select.select([reader], [], [], 5)[0], "a write end is still open somewhere")
        os.close(reader)
        left.close()
        right.close()


class Pressure(HostileTest):
    def test_a_thousand_requests_without_reading(self):
        connection = self.greeted()
        n = 1000
        snapshot = pb.Snapshot(cookie=self.cookie)

        def send_all():
            for i in range(n):
                if i % 2:
                    connection.send("list_regions", pb.ListRegions())
                else:
                    connection.send("snapshot", snapshot)

        sender = threading.Thread(target=send_all, daemon=True)
        sender.start()
        sender.join(0.5)
        self.assert_stream_goes_on()
        serials = []
        for _ in range(n):
            packet, _ = connection.receive()
            self.assertEqual(packet.reply.status, pb.OK)
            serials.append(packet.reply.serial)
        sender.join(10)
        self.assertEqual(sorted(serials), list(range(2, n + 2)), "each exactly once")
        self.assert_works(connection)

    def assert_stream_goes_on(self):
        wakes = self.follower.wakes
        wait_for(lambda: self.follower.wakes > wakes + 5, "the good reader is woken")

    def test_a_thousand_requests_and_nothing_ever_read(self):
        """The client's own send has to wait. The broker's memory does not grow with what it sends."""
        connection = self.greeted()
        connection.socket.setblocking(False)
        request = pb.Request(serial=1, snapshot=pb.Snapshot(cookie=self.cookie)).SerializeToString()
        sent, deadline = 0, time.monotonic() + 2
        while time.monotonic() < deadline:
            try:
                connection.send_bytes(request)
                sent += 1
            except BlockingIOError:
                time.sleep(0.01)
        self.assertGreater(sent, MAX_IN_FLIGHT)
        before = sent
        with self.assertRaises(BlockingIOError):
            for _ in range(10000):
                connection.send_bytes(request)
                sent += 1
        self.assertLess(sent - before, 10, "the daemon goes on reading what it cannot answer")
        self.assert_stream_goes_on()

    def test_a_slow_client_gets_everything(self):
        connection = self.greeted()
        snapshot = pb.Snapshot(cookie=self.cookie, sync=True)
        serials = {connection.send("snapshot", snapshot) for _ in range(2 * MAX_IN_FLIGHT)}
        while serials:
            time.sleep(0.01)
            serials.remove(self.answer(connection).serial)

    def test_connect_and_disconnect(self):
        for i in range(2000):
            connection = protocol.Connection(self.daemon.socket)
            if i % 2:
                connection.send("hello", hello())
            connection.close()

    def test_a_flood_of_connections(self):
        """Up to the limit of a uid; the one beyond is told so. The good client's is one of them."""
        silent = [self.connection() for _ in range(MAX_CONNECTIONS_PER_UID - 1)]
        beyond = [self.connection() for _ in range(5)]
        for connection in beyond:
            message = self.assert_refused_and_closed(connection, pb.LIMIT, errno.EUSERS)
            for word in (f"uid {os.getuid()}", "256"):
                self.assertIn(word, message)
        self.assert_stream_goes_on()
        self.asker.regions()
        silent.pop().close()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            connection = self.connection()
            connection.send("hello", hello())
            packet, _ = connection.receive()
            if packet.reply.status == pb.OK:
                break
            self.assertLess(time.monotonic(), deadline, "a place that was left is not given again")

    def test_subscriptions_end_with_their_connection(self):
        for _ in range(30):
            connection = protocol.Client(self.daemon.socket)
            for _ in range(10):
                subscription = connection.subscribe(self.cookie, 1000, want_wake=True)
                os.close(subscription.log_fd)
                os.close(subscription.wake_fd)
            connection.close()
        wait_for(lambda: self.asker.region(self.cookie).subscriptions == 1, "their subscriptions end")
        self.assertEqual(self.asker.region(self.cookie).period_us, PERIOD_US)

    def test_nobody_fills_what_waits_for_the_supervisor(self):
        """While it stands still clients wait; each of their subscriptions would be a descriptor in the queue."""
        supervisor = self.daemon.process.pid

        def subscribe_and_back(client):
            request = pb.Subscribe(cookie=self.cookie, want_wake=True)
            reply, fds = client.call_with_fds("subscribe", request, timeout=1)
            for fd in fds:
                os.close(fd)
            request = pb.Unsubscribe(subscription=reply.subscribe.subscription)
            client.call("unsubscribe", request, timeout=1)

        os.kill(supervisor, signal.SIGSTOP)
        try:
            with self.client() as client, self.assertRaises(TimeoutError):
                for _ in range(5000):
                    subscribe_and_back(client)
            self.assertLess(count_fds(self.broker), self.n_fds + 20)
        finally:
            os.kill(supervisor, signal.SIGCONT)


class Queue(SimTest):
    """Replies that nobody reads, up to the bound."""

    host_options = {"frames": 150000}

    def test_the_largest_replies_to_all_requests_in_flight_wait(self):
        """A client that reads late, and uses no more than it was promised, loses nothing."""
        nr_pages = 131072
        self.host.simxen("create", "1", "--ram-mib", "520")
        asker = self.client()
        cookie = asker.create(1, 1 << 30, BACKING, nr_pages, timeout=2 * PATIENCE_S).cookie
        late = self.client()
        request = pb.Snapshot(cookie=cookie, sync=True)
        serials = [late.start("snapshot", request) for _ in range(MAX_IN_FLIGHT)]
        self.assertEqual(len(asker.snapshot(cookie, sync=True)[0]), nr_pages)
        time.sleep(0.5)
        for serial in serials:
            self.assertEqual(late.finish(serial)[0].snapshot.dirty_pages, nr_pages)


if __name__ == "__main__":
    unittest.main()
