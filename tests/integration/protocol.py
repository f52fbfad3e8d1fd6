# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of the protocol of proto/PROTOCOL.md that shares no code with libxenvram."""

import os
import select
import socket
import time

import xenvram_pb2 as pb
from waiting import PATIENCE_S

MAX_MESSAGE_BYTES = 65536
MAX_MESSAGE_FDS = 4
SO_PASSRIGHTS = 83  # of Linux 6.16


class Failed(Exception):
    """A reply with a status other than OK."""

    def __init__(self, reply):
        super().__init__(f"{pb.Status.Name(reply.status)} (errno {reply.os_error}): {reply.message}")
        self.status = reply.status
        self.os_error = reply.os_error
        self.message = reply.message


class Refused(Failed):
    """A reply to no request: the daemon does not want the connection."""


class Restarted(Exception):
    """The daemon's broker was replaced while the request was under way."""


class Closed(Exception):
    """The daemon has closed the connection."""


def until_answered(function):
    """Its result; asks again for as long as a part of the service is being restarted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return function()
        except Restarted:
            pass
        except Failed as failed:
            if failed.status != pb.RETRY or time.monotonic() > deadline:
                raise
        time.sleep(0.001)


class Subscription:
    def __init__(self, reply, fds):
        expected = 2 if reply.has_wake else 1
        if len(fds) != expected:
            raise AssertionError(f"{len(fds)} descriptors came with a subscription, not {expected}")
        self.id = reply.subscription
        self.nr_pages = reply.nr_pages
        self.period_us = reply.period_us
        self.log_fd = fds[0]
        self.wake_fd = fds[1] if reply.has_wake else None


class Connection:
    """The bare socket: packets in and out, nothing else is assumed."""

    def __init__(self, path, fd=None):
        """Connects; or goes on with a connection that somebody else has made."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd)
        self.socket.settimeout(PATIENCE_S)
        if fd is None:
            self.socket.connect(path)
        self.last_serial = 0

    def fileno(self):
        return self.socket.fileno()

    def send_bytes(self, data, fds=()):
        if fds:
            socket.send_fds(self.socket, [data], list(fds))
        else:
            self.socket.send(data)

    def send(self, operation, message, fds=(), serial=None):
        """Sends a request; its serial."""
        if serial is None:
            self.last_serial += 1
            serial = self.last_serial
        request = pb.Request(serial=serial)
        getattr(request, operation).CopyFrom(message)
        self.send_bytes(request.SerializeToString(), fds)
        return serial

    def receive(self, timeout=PATIENCE_S):
        """(packet, descriptors); raises Closed or TimeoutError."""
        ready, _, _ = select.select([self.socket], [], [], timeout)
        if not ready:
            raise TimeoutError(f"no packet for {timeout} s")
        try:
            data, fds, flags, _ = socket.recv_fds(self.socket, MAX_MESSAGE_BYTES, MAX_MESSAGE_FDS)
        except ConnectionResetError:
            raise Closed from None
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise AssertionError("a packet is larger than the protocol allows")
        if not data:
            raise Closed
        packet = pb.Packet()
        packet.ParseFromString(data)
        return packet, fds

    def expect_close(self, timeout=PATIENCE_S):
        """Reads until the daemon closes; the packets that came before."""
        packets = []
        deadline = time.monotonic() + timeout
        while True:
            try:
                packet, fds = self.receive(max(0.0, deadline - time.monotonic()))
            except Closed:
                return packets
            for fd in fds:
                os.close(fd)
            packets.append(packet)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Client(Connection):
    """A connection that has said Hello, with a call for each operation."""

    def __init__(self, path, name="integration", fd=None):
        super().__init__(path, fd)
        self.events = []
        self.pending = {}
        self.replies = {}
        try:
            self.hello = self.call("hello", pb.Hello(version_min=1, version_max=1, client=name)).hello
        except BaseException:
            self.close()
            raise

    def start(self, operation, message):
        try:
            serial = self.send(operation, message)
        except BrokenPipeError:
            while True:  # until it raises what the daemon had to say
                self.dispatch(20)
        self.pending[serial] = operation
        return serial

    def dispatch(self, timeout):
        """Takes one packet. A restart ends all that is pending."""
        packet, fds = self.receive(timeout)
        if packet.WhichOneof("content") == "event":
            self.events.append(packet.event)
            if packet.event.WhichOneof("what") == "restarted":
                self.replies.update({serial: (None, []) for serial in self.pending})
                self.pending.clear()
            return
        serial = packet.reply.serial
        if serial == 0:
            raise Refused(packet.reply)
        if serial in self.pending:
            del self.pending[serial]
            self.replies[serial] = (packet.reply, fds)
        else:
            # Of an operation that was ended by a restart.
            for fd in fds:
                os.close(fd)

    def finish(self, serial, timeout=PATIENCE_S):
        """(reply, descriptors) of a request that was started."""
        deadline = time.monotonic() + timeout
        while serial not in self.replies:
            self.dispatch(max(0.0, deadline - time.monotonic()))
        reply, fds = self.replies.pop(serial)
        if reply is None:
            raise Restarted
        return reply, fds

    def call_with_fds(self, operation, message, timeout=PATIENCE_S):
        reply, fds = self.finish(self.start(operation, message), timeout)
        if reply.status != pb.OK:
            raise Failed(reply)
        return reply, fds

    def call(self, operation, message, timeout=PATIENCE_S):
        return self.call_with_fds(operation, message, timeout)[0]

    def take_events(self, what, timeout=PATIENCE_S, count=1):
        """Waits for events of a kind, and returns them; others stay."""
        deadline = time.monotonic() + timeout
        while True:
            found = [e for e in self.events if e.WhichOneof("what") == what]
            if len(found) >= count:
                self.events = [e for e in self.events if e.WhichOneof("what") != what]
                return [getattr(e, what) for e in found]
            self.dispatch(max(0.0, deadline - time.monotonic()))

    def no_events(self, seconds):
        """Is nothing said for that long?"""
        try:
            self.dispatch(seconds)
        except TimeoutError:
            return not self.events
        return False

    def drain(self):
        """Takes what is there, without waiting."""
        try:
            while True:
                self.dispatch(0)
        except TimeoutError:
            pass

    # ---- operations ----

    def bind(self, domid):
        return self.call("bind", pb.Bind(domid=domid))

    def create(self, domid, vram, backing, nr_pages, timeout=PATIENCE_S, **more):
        message = pb.CreateRegion(
            domid=domid, vram_gfn=vram, backing_gfn=backing, nr_pages=nr_pages, **more
        )
        return self.call("create_region", message, timeout).create_region

    def destroy(self, cookie, timeout=PATIENCE_S, **more):
        return self.call("destroy_region", pb.DestroyRegion(cookie=cookie, **more), timeout)

    def move(self, cookie, vram, timeout=PATIENCE_S):
        return self.call("move_region", pb.MoveRegion(cookie=cookie, vram_gfn=vram), timeout)

    def map(self, cookie):
        """[(first page, pages, place, gfn)]"""
        first, runs = 0, []
        while True:
            reply = self.call("map_region", pb.MapRegion(cookie=cookie, first_page=first)).map_region
            runs += [(run.first, run.nr_pages, run.place, run.gfn) for run in reply.runs]
            if not reply.next_page:
                return runs
            first = reply.next_page

    def regions(self, domid=None):
        after, regions = 0, []
        while True:
            request = pb.ListRegions(after_cookie=after, domid=domid or 0, by_domid=domid is not None)
            reply = self.call("list_regions", request).list_regions
            regions += reply.regions
            if not reply.more:
                return regions
            after = regions[-1].cookie

    def region(self, cookie):
        """The region, or None."""
        found = [r for r in self.regions() if r.cookie == cookie]
        return found[0] if found else None

    def domains(self):
        return list(self.call("list_domains", pb.ListDomains()).list_domains.domains)

    def snapshot(self, cookie, since=0, sync=False, timeout=PATIENCE_S, first=0, nr_pages=0):
        """(dirty pages, generation); pages are counted from `first`"""
        request = pb.Snapshot(cookie=cookie, since=since, sync=sync, first=first, nr_pages=nr_pages)
        reply = self.call("snapshot", request, timeout).snapshot
        pages = pages_of_bitmap(reply.bitmap)
        if len(pages) != reply.dirty_pages or (pages and pages[-1] >= reply.nr_pages):
            raise AssertionError(f"a bitmap of {len(pages)} pages, {reply.dirty_pages} were announced")
        return pages, reply.generation

    def subscribe(self, cookie, period_us=0, want_wake=False, first=0, nr_pages=0):
        request = pb.Subscribe(
            cookie=cookie, period_us=period_us, want_wake=want_wake, first=first, nr_pages=nr_pages
        )
        reply, fds = self.call_with_fds("subscribe", request)
        return Subscription(reply.subscribe, fds)

    def track_dirty(self, domid, first_gfn, nr_pages, since=0):
        """(dirty pages, counted from the first; generation)"""
        request = pb.TrackDirty(domid=domid, first_gfn=first_gfn, nr_pages=nr_pages, since=since)
        reply = self.call("track_dirty", request)
        return pages_of_bitmap(reply.snapshot.bitmap), reply.snapshot.generation

    def unsubscribe(self, subscription):
        return self.call("unsubscribe", pb.Unsubscribe(subscription=subscription.id))

    def move_ram(self, domid, source_gfn, destination_gfn, nr_pages, force=False, timeout=PATIENCE_S):
        request = pb.MoveRam(
            domid=domid, source_gfn=source_gfn, destination_gfn=destination_gfn, nr_pages=nr_pages, force=force
        )
        return self.call("move_ram", request, timeout)

    def map_ram(self, domid, source_gfn, destination_gfn, nr_pages):
        """[(first page, pages, place, gfn)]"""
        first, runs = 0, []
        while True:
            request = pb.MapRam(
                domid=domid,
                source_gfn=source_gfn,
                destination_gfn=destination_gfn,
                nr_pages=nr_pages,
                first_page=first,
            )
            reply = self.call("map_ram", request).map_region
            runs += [(run.first, run.nr_pages, run.place, run.gfn) for run in reply.runs]
            if not reply.next_page:
                return runs
            first = reply.next_page

    def pin(self, domid, first_gfn, nr_pages, cache_attr=pb.WB):
        request = pb.PinCacheattr(domid=domid, first_gfn=first_gfn, nr_pages=nr_pages, cache_attr=cache_attr)
        return self.call("pin_cacheattr", request)

    def unpin(self, domid, first_gfn, nr_pages):
        request = pb.UnpinCacheattr(domid=domid, first_gfn=first_gfn, nr_pages=nr_pages)
        return self.call("unpin_cacheattr", request)

    def pins(self, domid):
        return list(self.call("list_pins", pb.ListPins(domid=domid)).list_pins.pins)


def pages_of_bitmap(bitmap):
    return [8 * i + bit for i, byte in enumerate(bitmap) if byte for bit in range(8) if byte >> bit & 1]
