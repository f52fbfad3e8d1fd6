# SPDX-License-Identifier: LGPL-2.1-or-later
"""A device model that is after another domain's region: whatever it tries is refused, and in the audit trail."""

import os
import re
import socket
import struct
import unittest

import protocol
from harness import OldKernel, SimTest, children, kill
from people import as_user, attempt, needs_root
from protocol import Client, Connection, pb
from waiting import wait_for

BASE = 3000000
VICTIM = BASE + 1
INTRUDER = BASE + 2
ADMIN_GROUP = 2000100
VRAM = 0x4000
BACKING = 0x400
NR_PAGES = 16
FREE_VRAM = 0x5000
FREE_BACKING = 0x500
MAX_GFN = 1 << 36
FIRST_WINDOW, LAST_WINDOW = 0x4000, 0x5FFF

DENIED, NOT_FOUND, INVALID = pb.PERMISSION_DENIED, pb.NOT_FOUND, pb.INVALID


def varint(number):
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded + bytes([number]))


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


class Attempt:
    """What is tried, by whom, and how it must end: refused with one of these, or cut off."""

    def __init__(self, name, run, statuses, uid=INTRUDER, operation=None, words=(), names_sender=False, **user):
        self.name = name
        self.run = run
        self.statuses = statuses
        self.uid = uid
        self.operation = operation
        self.words = words
        self.names_sender = names_sender  # its message does: it is another process than the one that began
        self.user = user


@needs_root
class Intruder(OldKernel, SimTest):
    config = (
        f"[access]\ndomain-uid-base = {BASE}\nadmin-groups = {ADMIN_GROUP}\n"
        f"[gfns]\nvram = {FIRST_WINDOW:#x}-{LAST_WINDOW:#x}\n"
    )

    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)
        self.theirs = self.add_domain(1)
        self.mine = self.add_domain(2)
        self.before = {domain: domain.contents() for domain in (self.theirs, self.mine)}
        self.admin = self.client()
        self.cookie = self.admin.create(1, VRAM, BACKING, NR_PAGES).cookie
        self.own_cookie = self.admin.create(2, VRAM, BACKING, NR_PAGES).cookie
        self.subscription = self.admin.subscribe(self.cookie)
        self.admin.pin(1, 0x5800, 4)
        self.pins = self.theirs.pins()
        self.tried = []

    # ---- how an attempt is made ----

    def by(self, function):
        """As a client of its own, which has said Hello."""

        def connect():
            with Client(self.daemon.socket) as client:
                return function(client)

        return connect

    def raw(self, data, fds=(), hello=True):
        """A packet of these bytes, and what is said to it."""

        def send():
            with Client(self.daemon.socket) if hello else Connection(self.daemon.socket) as client:
                try:
                    client.send_bytes(data, fds)
                except BrokenPipeError:
                    pass
                packet, _ = client.receive()
                if packet.reply.status != pb.OK:
                    raise protocol.Failed(packet.reply)
                return "done"

        return send

    def through(self, held, data):
        """A packet through a connection that somebody else has made."""

        def send():
            with Connection(None, fd=os.dup(held.fileno())) as client:
                client.send_bytes(data)
                packet, _ = client.receive()
                if packet.reply.status != pb.OK:
                    raise protocol.Failed(packet.reply)
                return "done"

        return send

    def request(self, operation, message, serial=7):
        request = pb.Request(serial=serial)
        getattr(request, operation).CopyFrom(message)
        return request.SerializeToString()

    # ---- what is tried ----

    def by_cookie(self):
        cookie = self.cookie
        run = [pb.Run(first=0, nr_pages=1)]
        for name, operation, message in (
            ("destroy it", "DestroyRegion", pb.DestroyRegion(cookie=cookie)),
            ("destroy a part of it", "DestroyRegion", pb.DestroyRegion(cookie=cookie, first_page=1, nr_pages=2)),
            ("move it", "MoveRegion", pb.MoveRegion(cookie=cookie, vram_gfn=FREE_VRAM)),
            ("move it to where it is", "MoveRegion", pb.MoveRegion(cookie=cookie, vram_gfn=VRAM)),
            ("see where its pages are", "MapRegion", pb.MapRegion(cookie=cookie)),
            ("see what is dirty", "Snapshot", pb.Snapshot(cookie=cookie)),
            ("have it polled", "Snapshot", pb.Snapshot(cookie=cookie, sync=True)),
            ("see a part of it", "Snapshot", pb.Snapshot(cookie=cookie, first=2, nr_pages=3)),
            ("follow it", "Subscribe", pb.Subscribe(cookie=cookie)),
            ("be woken by it", "Subscribe", pb.Subscribe(cookie=cookie, want_wake=True)),
            ("follow a part of it", "Subscribe", pb.Subscribe(cookie=cookie, first=1, nr_pages=1)),
            ("mark it dirty", "MarkDirty", pb.MarkDirty(cookie=cookie, runs=run)),
            ("refresh it", "Refresh", pb.Refresh(cookie=cookie)),
        ):
            name_of_field = re.sub(r"(?<!^)([A-Z])", r"_\1", operation).lower()
            yield Attempt(
                f"cookie: {name}",
                self.by(lambda client, f=name_of_field, m=message: client.call(f, m)),
                {NOT_FOUND},
                operation=operation,
                words=(f"cookie={cookie:#x}", "it is of domain 1"),
            )
        subscription = pb.Unsubscribe(subscription=self.subscription.id)
        yield Attempt(
            "cookie: end its subscription",
            self.by(lambda client: client.call("unsubscribe", subscription)),
            {NOT_FOUND},
            operation="Unsubscribe",
        )
        for guess in (cookie ^ 1, cookie ^ 1 << 63, 1):
            yield Attempt(
                f"cookie: guess {guess:#x}",
                self.by(lambda client, g=guess: client.destroy(g)),
                {NOT_FOUND},
                operation="DestroyRegion",
            )

    def by_domid(self):
        for name, create in (
            ("create a region", dict(vram_gfn=FREE_VRAM, backing_gfn=FREE_BACKING)),
            ("find out about its pages", dict(vram_gfn=FREE_VRAM, backing_gfn=FREE_BACKING, dry_run=True)),
            ("adopt its framebuffer", dict(vram_gfn=VRAM, adopt=True)),
            ("move pages onto its framebuffer", dict(vram_gfn=VRAM, backing_gfn=FREE_BACKING)),
            ("move its framebuffer away", dict(vram_gfn=FREE_VRAM, backing_gfn=VRAM)),
        ):
            message = pb.CreateRegion(domid=1, nr_pages=NR_PAGES, **create)
            yield Attempt(
                f"domid: {name}",
                self.by(lambda client, m=message: client.call("create_region", m)),
                {DENIED},
                operation="CreateRegion",
                words=("domid=1",),
            )
        for name, operation, call in (
            ("list its regions", "ListRegions", lambda client: client.regions(1)),
            ("list its pins", "ListPins", lambda client: client.pins(1)),
            ("pin its framebuffer", "PinCacheattr", lambda client: client.pin(1, VRAM, NR_PAGES, pb.UC)),
            ("pin its memory", "PinCacheattr", lambda client: client.pin(1, 0x100, 1, pb.UC)),
            ("unpin its framebuffer", "UnpinCacheattr", lambda client: client.unpin(1, VRAM, NR_PAGES)),
            ("unpin what it has pinned", "UnpinCacheattr", lambda client: client.unpin(1, 0x5800, 4)),
            ("move its memory away", "MoveRam", lambda client: client.move_ram(1, 0x100, FREE_VRAM, 4)),
            ("move its memory over its own", "MoveRam", lambda client: client.move_ram(1, 0x100, 0x200, 4, force=True)),
            ("map its memory", "MapRam", lambda client: client.map_ram(1, 0x100, FREE_VRAM, 4)),
            ("follow its memory", "TrackDirty", lambda client: client.track_dirty(1, 0x100, 4)),
        ):
            yield Attempt(f"domid: {name}", self.by(call), {DENIED}, operation=operation, words=("domid=1",))
        for domid in (0, 0x7FF0, 0x10001, 0xFFFFFFFF):
            message = pb.CreateRegion(domid=domid, vram_gfn=FREE_VRAM, backing_gfn=FREE_BACKING, nr_pages=1)
            yield Attempt(
                f"domid: {domid:#x}",
                self.by(lambda client, m=message: client.call("create_region", m)),
                {DENIED, INVALID},
                operation="CreateRegion",
            )

    def by_gfn(self):
        for name, vram, backing, nr_pages in (
            ("wrap around", (1 << 64) - 8, FREE_BACKING, NR_PAGES),
            ("wrap the backing around", FREE_VRAM, (1 << 64) - 8, NR_PAGES),
            ("leave what the hypervisor handles", MAX_GFN, FREE_BACKING, 1),
            ("end beyond it", FREE_VRAM, MAX_GFN - 1, 2),
            ("take more than there is", FREE_VRAM, FREE_BACKING, 1 << 40),
            ("lie outside the window", LAST_WINDOW + 1, FREE_BACKING, 1),
            ("end outside the window", LAST_WINDOW, FREE_BACKING, 2),
            ("overlap a region", VRAM + 1, FREE_BACKING, 1),
            ("take a region's backing", FREE_VRAM, BACKING + 1, 1),
        ):
            yield Attempt(
                f"gfn: {name}",
                self.by(lambda client, a=(2, vram, backing, nr_pages): client.create(*a)),
                {DENIED, INVALID, pb.CONFLICT},
                operation="CreateRegion",
            )
        own = self.own_cookie
        for name, operation, message in (
            ("move out of the window", "move_region", pb.MoveRegion(cookie=own, vram_gfn=LAST_WINDOW - 1)),
            ("move to where gfns wrap", "move_region", pb.MoveRegion(cookie=own, vram_gfn=(1 << 64) - 1)),
            ("see pages beyond the end", "snapshot", pb.Snapshot(cookie=own, first=NR_PAGES, nr_pages=1)),
            ("follow pages beyond the end", "subscribe", pb.Subscribe(cookie=own, first=1, nr_pages=NR_PAGES)),
            (
                "mark pages beyond the end",
                "mark_dirty",
                pb.MarkDirty(cookie=own, runs=[pb.Run(first=NR_PAGES - 1, nr_pages=2)]),
            ),
        ):
            yield Attempt(
                f"gfn: {name}",
                self.by(lambda client, f=operation, m=message: client.call(f, m)),
                {DENIED, INVALID},
                words=(f"cookie={own:#x}",),
            )

    def by_bind(self):
        yield Attempt("bind: to it", self.by(lambda c: c.bind(1)), {DENIED}, operation="Bind", words=("domid=1",))
        yield Attempt("bind: to the host", self.by(lambda c: c.bind(0)), {DENIED}, operation="Bind")
        yield Attempt("bind: to no domid", self.by(lambda c: c.bind(0x7FF0)), {INVALID}, operation="Bind")

        def again(client):
            client.bind(2)
            client.bind(1)

        yield Attempt("bind: to its own, then to it", self.by(again), {DENIED}, operation="Bind")
        first = self.request("bind", pb.Bind(domid=1))
        yield Attempt("bind: before Hello", self.raw(first, hello=False), {INVALID}, operation="Bind")

        def hello_again(client):
            client.call("hello", pb.Hello(version_min=1, version_max=1, client="root"))
            client.destroy(self.cookie)

        yield Attempt("bind: to be somebody else by another Hello", self.by(hello_again), {NOT_FOUND})

    def by_descriptor(self):
        leaked = self.client()
        destroy = self.request("destroy_region", pb.DestroyRegion(cookie=self.cookie))
        for name, data in (
            ("destroy", destroy),
            ("destroy its own", self.request("destroy_region", pb.DestroyRegion(cookie=self.own_cookie))),
            ("list", self.request("list_regions", pb.ListRegions())),
            ("follow", self.request("subscribe", pb.Subscribe(cookie=self.cookie))),
            ("bind to itself", self.request("bind", pb.Bind(domid=2))),
            ("bind to it", self.request("bind", pb.Bind(domid=1))),
            ("say Hello again", self.request("hello", pb.Hello(version_min=1, version_max=1))),
        ):
            yield Attempt(
                f"fd: {name} through an administrator's connection",
                self.through(leaked, data),
                {DENIED},
                words=("connected_uid=0",),
            )
        ungreeted = self.connection()
        yield Attempt(
            "fd: Hello through an administrator's connection",
            self.through(ungreeted, self.request("hello", pb.Hello(version_min=1, version_max=1))),
            {DENIED},
            operation="Hello",
        )
        handed = self.client()
        handed.bind(2)
        yield Attempt("fd: through one that is handed over", self.through(handed, destroy), {NOT_FOUND})
        bind = self.request("bind", pb.Bind(domid=1))
        yield Attempt("fd: bind one that is handed over", self.through(handed, bind), {DENIED})
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
        self.addCleanup(lambda: [os.close(fd) for fd in fds])
        yield Attempt("fd: give some along", self.raw(destroy, fds[:4]), {INVALID}, words=("4 file descriptors",))
        yield Attempt("fd: give too many along", self.raw(destroy, fds), set(), operation="Close")

    def forge(self, held, ids):
        """Sends a request with these (pid, uid, gid) as its sender's, if the kernel lets it."""
        destroy = self.request("destroy_region", pb.DestroyRegion(cookie=self.cookie))
        pid, uid, gid = ids
        control = struct.pack("3i", os.getpid() if pid is None else pid, uid, gid)
        held.socket.sendmsg([destroy], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, control)])
        packet, _ = held.receive()
        raise protocol.Failed(packet.reply)

    def by_identity(self):
        for name, uid in (
            ("of a domain that is not there", BASE + 3),
            ("below the range", BASE - 1),
            ("of the range itself", BASE),
            ("above the range", BASE + 0x7FF0),
            ("nobody", 65534),
            ("somebody", 2000001),
        ):
            yield Attempt(
                f"uid: {name}",
                self.by(lambda client: client.destroy(self.cookie)),
                {DENIED, pb.NO_DOMAIN},
                uid=uid,
                operation="Connect",
            )
        destroy = self.by(lambda client: client.destroy(self.cookie))
        for name, user in (
            ("in the administrators' group", dict(gid=ADMIN_GROUP)),
            ("with that group beside its own", dict(groups=[ADMIN_GROUP])),
            ("with root's group", dict(gid=0, groups=[0])),
            ("with its victim's group", dict(gid=VICTIM, groups=[VICTIM])),
        ):
            yield Attempt(f"uid: {name}", destroy, {NOT_FOUND}, words=("it is of domain 1",), **user)

        def connect_before_it_is_less():
            """As root, as a device model does that opens its sockets first."""
            with Client(self.daemon.socket) as client:
                os.setresgid(INTRUDER, INTRUDER, INTRUDER)
                os.setresuid(INTRUDER, INTRUDER, INTRUDER)
                client.destroy(self.cookie)

        yield Attempt(
            "uid: connect as root, then become less",
            connect_before_it_is_less,
            {DENIED},
            uid=0,
            words=(f"uid={INTRUDER}", "connected_uid=0"),
        )

        def connect_with_less():
            """Only for the moment of connecting."""
            os.seteuid(INTRUDER)
            client = Client(self.daemon.socket)
            os.seteuid(0)
            with client:
                client.destroy(self.cookie)

        yield Attempt(
            "uid: connect as itself, then be root again",
            connect_with_less,
            {NOT_FOUND},
            uid=0,
            words=("bound_domid=2", "it is of domain 1"),
        )

        def in_a_child(client):
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    outcome = attempt(lambda: client.destroy(self.cookie))
                    os.write(writer, outcome.status.to_bytes(1, "little"))
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
            os.close(writer)
            with os.fdopen(reader, "rb") as pipe:
                status = pipe.read()[0]
            raise protocol.Failed(pb.Reply(status=status, os_error=2, message=f"pid={pid} "))

        yield Attempt("pid: through another process", self.by(in_a_child), {NOT_FOUND}, names_sender=True)
        leaked = self.client()
        yield Attempt(
            "uid: its own credentials through an administrator's connection",
            lambda: self.forge(leaked, (None, INTRUDER, INTRUDER)),
            {DENIED},
            words=(f"uid={INTRUDER}", f"uid {INTRUDER} may not use {self.daemon.socket}"),
        )

    def by_bytes(self):
        destroy = pb.DestroyRegion(cookie=self.cookie).SerializeToString()
        own = pb.DestroyRegion(cookie=self.own_cookie ^ 1).SerializeToString()
        serial = varint(1 << 3) + varint(7)
        where = varint(2 << 3) + varint(FREE_VRAM) + varint(3 << 3) + varint(FREE_BACKING)
        rest = where + varint(4 << 3) + varint(1)
        yield Attempt(
            "bytes: two operations, its own first",
            self.raw(serial + field(4, own) + field(4, destroy)),
            {NOT_FOUND},
            words=("it is of domain 1",),
        )
        yield Attempt(
            "bytes: two domids, its own first",
            self.raw(serial + field(3, varint(8) + varint(2) + varint(8) + varint(1) + rest)),
            {DENIED},
        )
        yield Attempt(
            "bytes: a domid of 33 bits",
            self.raw(serial + field(3, varint(8) + varint(1 << 32 | 1) + rest)),
            {DENIED, INVALID},
        )
        yield Attempt("bytes: an operation of the future", self.raw(serial + field(90, destroy)), {INVALID})
        yield Attempt("bytes: no serial", self.raw(field(4, destroy)), {INVALID}, operation="DestroyRegion")
        yield Attempt("bytes: nonsense", self.raw(b"\xff" * 40), set(), operation="Close")
        yield Attempt("bytes: too many", self.raw(b"\0" * 65537), set(), operation="Close")

    # ---- whether it has failed ----

    def assert_refused(self, made, outcome):
        if made.statuses:
            self.assertIn(outcome.status, made.statuses, f"{made.name}: {outcome}")
            self.assertTrue(outcome.message)
        else:
            self.assertTrue(outcome.closed, f"{made.name}: {outcome}")

    def assert_audited(self, made, said, outcome):
        expected = list(made.words)
        if made.operation:
            expected.append(f"operation={made.operation}")
        if made.statuses:
            expected.append(f"status={pb.Status.Name(outcome.status)}")
        if made.uid != 0:
            expected += [f"uid={made.uid}", outcome.message if made.names_sender else f"pid={outcome.pid} "]

        def found():
            lines = [line for line in said().splitlines() if "audit: " in line]
            return any(all(word in line for word in expected) for line in lines)

        wait_for(found, lambda: f"{made.name} is audited with {expected}: {said()}")

    def assert_unharmed(self):
        self.assert_moved(self.before[self.theirs], self.theirs, VRAM, BACKING, NR_PAGES)
        self.assert_moved(self.before[self.mine], self.mine, VRAM, BACKING, NR_PAGES)
        self.assertEqual(self.theirs.pins(), self.pins)
        region = self.admin.region(self.cookie)
        self.assertEqual(
            (region.state, region.vram_gfn, region.nr_pages, region.subscriptions),
            (pb.ACTIVE, VRAM, NR_PAGES, 1),
        )

    def make(self, attempts):
        for made in attempts:
            with self.subTest(made.name):
                at = len(self.daemon.log())
                outcome = as_user(made.uid, made.run, **made.user)
                self.assert_refused(made, outcome)
                self.assert_audited(made, lambda at=at: self.daemon.log()[at:], outcome)
                self.tried.append(made.name)
        self.assert_unharmed()

    def test_every_attempt(self):
        for theme in (
            self.by_cookie,
            self.by_domid,
            self.by_gfn,
            self.by_bind,
            self.by_descriptor,
            self.by_identity,
            self.by_bytes,
        ):
            self.make(theme())
        # A new broker knows no less.
        broker = self.daemon.broker_pid()
        kill(broker)
        wait_for(lambda: broker not in children(self.daemon.process.pid), "it dies")
        self.admin.take_events("restarted")
        self.make(
            Attempt(f"{made.name}, of a new broker", made.run, made.statuses, made.uid, made.operation, made.words)
            for made in self.by_cookie()
        )
        self.assertEqual(len(self.tried), len(set(self.tried)))
        self.assertGreaterEqual(len(self.tried), 80)
        print(f"{len(self.tried)} attempts, each refused and audited")

    def test_the_kernel_lets_nobody_forge_a_sender(self):
        held = self.client()
        for ids in ((None, 0, 0), (1, INTRUDER, INTRUDER), (None, VICTIM, VICTIM)):

            def send(ids=ids):
                try:
                    self.forge(held, ids)
                except PermissionError:
                    return "refused by the kernel"

            self.assertEqual(as_user(INTRUDER, send).value, "refused by the kernel")
        self.assert_unharmed()


if __name__ == "__main__":
    unittest.main()
