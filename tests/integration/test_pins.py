# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pins of memory types outside of regions: set, replaced, taken away, and never forgotten."""

import contextlib
import errno
import os
import struct
import unittest

import protocol
import xenvram_pb2 as pb
from harness import SimTest, kill
from sim_view import View
from unwritten import Unwritten
from waiting import wait_for

VRAM, BACKING, NR_PAGES = 0xF0000, 0x400, 120
GFN, N = 0xE0000, 16
UC, WC, WT, WP, WB, UCM = 0, 1, 4, 5, 6, 7  # the hypervisor's numbers
MAX_REGIONS, MAX_RAW_PINS, SLOT_BYTES, PIN_MAGIC = 1024, 1024, 256, b"XVPJ"
STATE_OFFSET = 28
SETTING, SET, DELETING = range(3)
DELETE = 0xFFFFFFFF


class PinTest(SimTest):
    def setUp(self):
        super().setUp()
        self.domain = self.add_domain(1)
        self.asker = self.client()

    def listed(self):
        return [(p.first_gfn, p.nr_pages, p.cache_attr, p.settled) for p in self.asker.pins(1)]

    def restart(self):
        self.daemon.kill()
        self.daemon.start()
        self.asker = self.client()

    def journal_path(self):
        return os.path.join(self.daemon.directory, "journal")

    def journal_states(self):
        with open(self.journal_path(), "rb") as file:
            file.seek(MAX_REGIONS * SLOT_BYTES)
            data = file.read()
        slots = [data[i : i + SLOT_BYTES] for i in range(0, len(data), SLOT_BYTES)]
        return {
            i: struct.unpack_from("<I", slot, STATE_OFFSET)[0]
            for i, slot in enumerate(slots)
            if slot.startswith(PIN_MAGIC)
        }

    def assert_pins(self, *expected):
        """(first, number, ours, the hypervisor's) of each"""
        self.assertEqual(self.listed(), [(f, n, ours, True) for f, n, ours, _ in sorted(expected)])
        self.assertEqual(sorted(self.domain.pins()), sorted((f, f + n - 1, x) for f, n, _, x in expected))


class Pins(PinTest):
    def test_every_type_is_set_replaced_and_taken_away(self):
        self.assertEqual(self.asker.pins(1), [])
        types = ((pb.UC, UC), (pb.UC_MINUS, UCM), (pb.WC, WC), (pb.WT, WT), (pb.WP, WP), (pb.WB, WB))
        for ours, xens in types:
            self.asker.pin(1, GFN, N, ours)
            self.assert_pins((GFN, N, ours, xens))
        self.assertEqual(self.asker.pins(1)[0].owner_uid, os.getuid())
        self.asker.unpin(1, GFN, N)
        self.assert_pins()

    def test_it_outlives_its_connection_and_keeps_the_worker(self):
        with self.client() as setter:
            setter.pin(1, GFN, N)
        self.assert_pins((GFN, N, pb.WB, WB))
        self.daemon.await_worker(1)
        self.asker.unpin(1, GFN, N)
        self.daemon.await_no_worker(1)

    def test_bounds_are_exact(self):
        self.asker.pin(1, GFN, N)
        for first, number in ((GFN, N - 1), (GFN + 1, N - 1), (GFN - 1, 2), (GFN + N - 1, 1), (GFN - 1, N + 2)):
            for call in (self.asker.pin, self.asker.unpin):
                status, error = (
                    (pb.CONFLICT, errno.EBUSY) if call == self.asker.pin else (pb.NOT_FOUND, errno.ENOENT)
                )
                message = self.refused(status, error, call, 1, first, number)
                self.assertIn(f"{GFN:#x} + {N} pages", message)
        message = self.refused(pb.NOT_FOUND, errno.ENOENT, self.asker.unpin, 1, GFN + N, N)
        self.assertIn("nothing", message)
        self.asker.pin(1, GFN + N, N)
        self.asker.pin(1, GFN - N, N)
        self.assert_pins((GFN - N, N, pb.WB, WB), (GFN, N, pb.WB, WB), (GFN + N, N, pb.WB, WB))

    def test_populated_pages_can_be_pinned(self):
        before = self.domain.contents()
        self.asker.pin(1, BACKING, N, pb.WC)
        self.assert_pins((BACKING, N, pb.WC, WC))
        self.assert_contents(before, self.domain)

    def test_regions_and_pins_keep_apart(self):
        cookie = self.asker.create(1, VRAM, BACKING, NR_PAGES).cookie
        for first, number in ((VRAM, NR_PAGES), (VRAM + NR_PAGES - 1, 5), (VRAM - 1, NR_PAGES + 2)):
            message = self.refused(pb.CONFLICT, errno.EBUSY, self.asker.pin, 1, first, number)
            self.assertIn(hex(cookie), message)
            self.refused(pb.NOT_FOUND, errno.ENOENT, self.asker.unpin, 1, first, number)
        self.asker.pin(1, VRAM + NR_PAGES, N, pb.WC)
        pins = self.asker.pins(1)
        self.assertEqual([(p.first_gfn, p.cookie) for p in pins], [(VRAM, cookie), (VRAM + NR_PAGES, 0)])

        # No region over a pin, whatever its bounds.
        for vram in (VRAM + NR_PAGES, VRAM + NR_PAGES + N - 1):
            message = self.refused(pb.CONFLICT, errno.EBUSY, self.asker.create, 1, vram, BACKING + 0x100, N)
            self.assertIn("unpin", message)
        self.asker.destroy(cookie)
        self.assert_pins((VRAM + NR_PAGES, N, pb.WC, WC))
        self.asker.create(1, VRAM, BACKING, NR_PAGES)
        self.assertEqual(len(self.domain.pins()), 2)

    def test_room_of_a_domain(self):
        self.asker.create(1, VRAM, BACKING, NR_PAGES)
        for i in range(63):
            self.asker.pin(1, GFN + 2 * i, 1)
        message = self.refused(pb.LIMIT, errno.EDQUOT, self.asker.pin, 1, GFN + 500, 1)
        for word in ("64 pins, those of its regions among them", "64"):
            self.assertIn(word, message)
        self.asker.pin(1, GFN, 1, pb.UC)  # another type needs no room
        self.asker.unpin(1, GFN, 1)
        self.asker.pin(1, GFN + 500, 1)
        self.assertEqual(len(self.asker.pins(1)), 64)
        self.assertEqual(len(self.domain.pins()), 64)

    def test_no_such_domain(self):
        self.refused(pb.NO_DOMAIN, errno.ESRCH, self.asker.pin, 9, GFN, N)
        self.assertEqual(self.asker.pins(9), [])
        self.refused(pb.NOT_FOUND, errno.ENOENT, self.asker.unpin, 9, GFN, N)
        self.assertEqual(self.asker.domains(), [])


class Windows(PinTest):
    config = f"[gfns]\nvram = {GFN:#x}-{GFN + N - 1:#x}\n"

    def test_pins_lie_where_vram_may(self):
        for first, n in ((GFN - 1, 2), (GFN, N + 1), (GFN + N, 1), (0, GFN + N)):
            message = self.refused(pb.PERMISSION_DENIED, errno.EPERM, self.asker.pin, 1, first, n)
            self.assertIn("vram of [gfns]", message)
        self.assertEqual(self.asker.pins(1), [])
        self.asker.pin(1, GFN, N)
        # What is there can be taken away, wherever pins may be now.
        self.daemon.configure("[gfns]\nvram = 0x1-0x2\n")
        self.daemon.reload()
        self.refused(pb.PERMISSION_DENIED, errno.EPERM, self.asker.pin, 1, GFN, N, pb.WC)
        self.assert_pins((GFN, N, pb.WB, WB))
        self.asker.unpin(1, GFN, N)
        self.assertEqual(self.domain.pins(), [])


class Trouble(PinTest):
    def test_a_refused_pin_is_none(self):
        for error in ("EPERM", "EBUSY", "ENOSPC", "ENOMEM"):
            self.host.fault("pin", 1, 1, "fail", error)
            message = self.refused(pb.HYPERVISOR, getattr(errno, error), self.asker.pin, 1, GFN, N)
            self.assertIn("pin", message)
            self.assert_pins()
        self.daemon.await_no_worker(1)

    def test_a_refused_type_leaves_the_old_one(self):
        self.asker.pin(1, GFN, N, pb.WC)
        self.host.fault("pin", 1, 1, "fail", "EPERM")
        self.refused(pb.HYPERVISOR, errno.EPERM, self.asker.pin, 1, GFN, N, pb.UC)
        self.assert_pins((GFN, N, pb.WC, WC))
        self.restart()
        self.assert_pins((GFN, N, pb.WC, WC))

    def test_a_refused_unpin_leaves_it(self):
        self.asker.pin(1, GFN, N, pb.WC)
        self.host.fault("pin", 1, 1, "fail", "EINVAL")
        self.refused(pb.HYPERVISOR, errno.EINVAL, self.asker.unpin, 1, GFN, N)
        self.assert_pins((GFN, N, pb.WC, WC))
        self.asker.unpin(1, GFN, N)
        self.assert_pins()

    def test_pins_outlive_every_role(self):
        self.asker.pin(1, GFN, N, pb.WC)
        self.asker.pin(1, GFN + N, N, pb.WB)
        for role in ("worker", "broker"):
            pid = self.daemon.worker_pid(1) if role == "worker" else self.daemon.broker_pid()
            kill(pid)
            wait_for(lambda: self.daemon.role_pids(role) not in ([], [pid]), "there is another one")
            self.asker = self.client()
            self.assert_pins((GFN, N, pb.WC, WC), (GFN + N, N, pb.WB, WB))
        self.restart()
        self.assert_pins((GFN, N, pb.WC, WC), (GFN + N, N, pb.WB, WB))
        self.refused(pb.CONFLICT, errno.EBUSY, self.asker.pin, 1, GFN + 1, N)
        self.asker.unpin(1, GFN, N)
        self.asker.unpin(1, GFN + N, N)
        self.restart()
        self.assert_pins()

    def test_a_worker_that_dies_at_it(self):
        """Its successor finishes it, and the asker hears of that."""
        self.asker.pin(1, GFN + N, N)
        others = ((GFN + N, N, pb.WB, WB),)
        for when in ("before", "after"):
            with self.subTest(when=when):
                self.host.fault("pin", 1, 1, "kill", when)
                self.asker.pin(1, GFN, N, pb.WC)
                self.assert_pins((GFN, N, pb.WC, WC), *others)
                self.host.fault("pin", 1, 1, "kill", when)
                self.asker.pin(1, GFN, N, pb.UC)
                self.assert_pins((GFN, N, pb.UC, UC), *others)
                self.host.fault("pin", 1, 1, "kill", when)
                self.asker.unpin(1, GFN, N)
                self.assert_pins(*others)

    def test_a_pin_that_could_not_be_taken_away_is_not_forgotten(self):
        """No worker can be had to unpin; then another type is asked for, and the worker that comes is refused."""
        self.asker.pin(1, GFN, N)
        self.host.fault("map", 1, "every", "fail", "ENOMEM")
        kill(self.daemon.worker_pid(1))
        self.daemon.await_no_worker(1)
        with self.assertRaises(protocol.Failed) as refused:
            self.asker.unpin(1, GFN, N)
        # It may have been sent to the worker that was dying.
        self.assertIn(refused.exception.status, (pb.HYPERVISOR, pb.STUCK))
        self.host.fault("pin", 1, "every", "fail", "EPERM")
        serial = self.asker.start("pin_cacheattr", pb.PinCacheattr(domid=1, first_gfn=GFN, nr_pages=N, cache_attr=pb.UC))
        self.host.clear_faults()
        self.host.fault("pin", 1, "every", "fail", "EPERM")
        # Or not, if it was quicker than the two lines before.
        self.asker.finish(serial)
        self.host.clear_faults()

        def agreed():
            pins = self.asker.pins(1)
            if all(p.settled for p in pins):
                return len(pins) == len(self.domain.pins())
            # What a dying worker was sent is not certain, and nobody but who asks again settles it.
            with contextlib.suppress(protocol.Failed):
                self.asker.unpin(1, GFN, N)
            return False

        wait_for(agreed, "list and hypervisor agree")

    def test_what_a_crash_interrupted_is_finished(self):
        """Whether the hypervisor was asked already or not."""
        self.asker.pin(1, GFN, N, pb.WC)
        self.assertEqual(self.journal_states(), {0: SET})
        host = View(self.build, self.host.path)
        self.addCleanup(host.close)
        for state, is_pinned in ((SETTING, False), (SETTING, True), (DELETING, True), (DELETING, False)):
            with self.subTest(state=state, is_pinned=is_pinned):
                self.daemon.kill()
                if not is_pinned:
                    host.pin(1, GFN, GFN + N - 1, DELETE)
                with open(self.journal_path(), "r+b") as file:
                    file.seek(MAX_REGIONS * SLOT_BYTES + STATE_OFFSET)
                    file.write(struct.pack("<I", state))
                self.daemon.start()
                self.asker = self.client()
                if state == SETTING:
                    wait_for(lambda: all(p.settled for p in self.asker.pins(1)), "it is set")
                    self.assert_pins((GFN, N, pb.WC, WC))
                    self.assertEqual(self.journal_states(), {0: SET})
                else:
                    wait_for(lambda: not self.asker.pins(1), "it is taken away")
                    self.assert_pins()
                    self.assertEqual(self.journal_states(), {})
                    self.asker.pin(1, GFN, N, pb.WC)

    def test_slots_of_the_future_are_left_alone(self):
        self.daemon.kill()
        future = struct.pack("<4sHH", PIN_MAGIC, 9, 8).ljust(SLOT_BYTES, b"f")
        with open(self.journal_path(), "r+b") as file:
            file.seek(MAX_REGIONS * SLOT_BYTES)
            file.write(future)
        self.daemon.start()
        self.asker = self.client()
        self.asker.pin(1, GFN, N)
        with open(self.journal_path(), "rb") as file:
            file.seek(MAX_REGIONS * SLOT_BYTES)
            self.assertEqual(file.read(SLOT_BYTES), future)
        self.assertEqual(self.journal_states()[1], SET)

    def test_slots_of_the_future_that_take_all(self):
        self.daemon.kill()
        future = struct.pack("<4sHH", PIN_MAGIC, 9, 8).ljust(SLOT_BYTES, b"f")
        with open(self.journal_path(), "r+b") as file:
            file.seek(MAX_REGIONS * SLOT_BYTES)
            file.write(future * MAX_RAW_PINS)
        self.daemon.start()
        self.asker = self.client()
        message = self.refused(pb.LIMIT, errno.EDQUOT, self.asker.pin, 1, GFN, N)
        for word in ("domain 1: this host", "1024 slots of the journal", "at most 1024", "MAX_RAW_PINS, which is fixed"):
            self.assertIn(word, message)

    def test_a_domain_takes_its_pins_with_it(self):
        self.asker.pin(1, GFN, N)
        self.domain.destroy()
        wait_for(lambda: not self.asker.pins(1), "the pins are gone")
        self.assertEqual(self.journal_states(), {})
        self.daemon.await_no_worker(1)
        self.assertEqual(self.asker.domains(), [])

    def test_another_domain_does_not_inherit_them(self):
        self.asker.pin(1, GFN, N)
        self.daemon.kill()
        self.domain.destroy()
        self.domain = self.add_domain(1)
        self.daemon.start()
        self.asker = self.client()
        wait_for(lambda: not self.asker.pins(1), "the pins are gone")
        self.assert_pins()
        self.assertEqual(self.journal_states(), {})


class Unanswered(PinTest):
    """A worker dies after the hypervisor did what it was asked, and the next one is refused."""

    def lose(self, call, *arguments):
        # Of two faults that strike, the one that was armed last does.
        self.host.fault("pin", 1, 2, "fail", "EPERM")
        self.host.fault("pin", 1, 1, "kill", "after")
        message = self.refused(pb.STUCK, errno.EBUSY, call, 1, GFN, N, *arguments)
        self.assertIn("is not certain", message)
        self.assertIn(os.strerror(errno.EPERM), message)
        self.host.clear_faults()
        return message

    def assert_unsettled(self, ours, *at_host):
        self.assertEqual(self.listed(), [(GFN, N, ours, False)])
        self.assertEqual(self.domain.pins(), [(GFN, GFN + N - 1, x) for x in at_host])

    def lost_pin(self):
        self.lose(self.asker.pin, pb.WC)
        self.assert_unsettled(pb.WC, WC)
        self.assertEqual(self.journal_states(), {0: SETTING})

    def lost_type(self):
        self.asker.pin(1, GFN, N, pb.WC)
        self.lose(self.asker.pin, pb.UC)
        self.assert_unsettled(pb.UC, UC)
        self.assertEqual(self.journal_states(), {0: SETTING})

    def lost_unpin(self):
        self.asker.pin(1, GFN, N, pb.WC)
        self.lose(self.asker.unpin)
        self.assert_unsettled(pb.WC)
        self.assertEqual(self.journal_states(), {0: DELETING})

    def test_it_can_be_taken_away(self):
        for lost in (self.lost_pin, self.lost_type, self.lost_unpin):
            with self.subTest(lost=lost.__name__):
                lost()
                self.asker.unpin(1, GFN, N)
                self.assert_pins()
                self.assertEqual(self.journal_states(), {})

    def test_it_can_be_set_again(self):
        for lost in (self.lost_pin, self.lost_type):
            with self.subTest(lost=lost.__name__):
                lost()
                self.asker.pin(1, GFN, N, pb.WT)
                self.assert_pins((GFN, N, pb.WT, WT))
                self.asker.unpin(1, GFN, N)

    def test_what_the_reason_advises_is_possible(self):
        self.assertIn("set it again, or take it away", self.lose(self.asker.pin, pb.WC))
        self.asker.pin(1, GFN, N, pb.WC)
        message = self.lose(self.asker.unpin)
        self.assertIn("take it away again", message)
        self.assertNotIn("set it", message)
        self.refused(pb.CONFLICT, errno.EBUSY, self.asker.pin, 1, GFN, N, pb.WT)
        self.asker.unpin(1, GFN, N)
        self.asker.pin(1, GFN, N, pb.WT)
        self.assert_pins((GFN, N, pb.WT, WT))

    def test_another_refusal_does_not_settle_it(self):
        self.lost_pin()
        self.host.fault("pin", 1, 1, "fail", "EINVAL")
        message = self.refused(pb.STUCK, errno.EBUSY, self.asker.unpin, 1, GFN, N)
        self.assertIn(os.strerror(errno.EINVAL), message)
        self.assert_unsettled(pb.WC, WC)

    def test_the_next_worker_is_asked_again(self):
        for lost, settled in (
            (self.lost_pin, ((GFN, N, pb.WC, WC),)),
            (self.lost_type, ((GFN, N, pb.UC, UC),)),
            (self.lost_unpin, ()),
        ):
            with self.subTest(lost=lost.__name__):
                lost()
                kill(self.daemon.await_worker(1))
                wait_for(lambda: all(p.settled for p in self.asker.pins(1)), "it is settled")
                self.assert_pins(*settled)
                if settled:
                    self.asker.unpin(1, GFN, N)

    def test_the_next_broker_is_refused(self):
        """Nobody waits for it any more: the trail says the same."""
        self.asker.pin(1, GFN, N, pb.WC)
        for state in (SETTING, DELETING):
            with self.subTest(state=state):
                self.daemon.kill()
                with open(self.journal_path(), "r+b") as file:
                    file.seek(MAX_REGIONS * SLOT_BYTES + STATE_OFFSET)
                    file.write(struct.pack("<I", state))
                at = len(self.daemon.log())
                self.host.fault("pin", 1, 1, "fail", "EPERM")
                self.daemon.start()
                self.asker = self.client()
                wait_for(lambda: "operation=Finish" in self.daemon.log()[at:], "the trail has its end")
                lines = [line for line in self.daemon.log()[at:].splitlines() if "operation=Finish" in line]
                self.assertEqual(len(lines), 1)
                self.assertIn("status=STUCK", lines[0])
                self.assert_unsettled(pb.WC, WC)
                self.assertEqual(self.journal_states(), {0: state})

    def test_the_domain_takes_it_along(self):
        self.lost_pin()
        self.domain.destroy()
        wait_for(lambda: not self.asker.pins(1), "it is forgotten")
        self.assertEqual(self.journal_states(), {})


class UnwrittenPins(Unwritten, PinTest):
    """Each write to the journal fails: what was said, what is so, and what the next broker does agree."""

    def setUp(self):
        super().setUp()
        self.use_steps()
        self.asker = self.client()

    def outcome(self, call, *arguments):
        try:
            call(1, GFN, N, *arguments)
        except protocol.Failed as failed:
            return failed.status
        return pb.OK

    def sweep(self, prepare, call, before, after):
        """before, after: the pins if it was not done, and if it was"""
        seen = []
        for nth in self.each_write():
            self.asker = self.client()
            prepare()
            self.fail_write(nth)
            status = self.outcome(*call())
            self.fail_no_more()
            seen.append(status)
            with self.subTest(nth=nth, status=pb.Status.Name(status)):
                if status == pb.STUCK:
                    self.assertFalse(self.asker.pins(1)[0].settled)
                    self.assertEqual(self.outcome(self.asker.unpin), pb.OK)
                    self.assert_pins()
                    self.assertEqual(self.journal_states(), {})
                    continue
                expected = after if status == pb.OK else before
                self.assert_pins(*expected)
                self.restart_broker()
                wait_for(lambda: all(p.settled for p in self.asker.pins(1)), "it is settled")
                self.assert_pins(*expected)
                for pin in expected:
                    self.asker.unpin(1, *pin[:2])
                self.fresh_daemon()
        return set(seen)

    def test_set(self):
        seen = self.sweep(lambda: None, lambda: (self.asker.pin, pb.WC), (), ((GFN, N, pb.WC, WC),))
        self.assertEqual(seen, {pb.OK, pb.INTERNAL})

    def test_unpin(self):
        seen = self.sweep(
            lambda: self.asker.pin(1, GFN, N, pb.WC), lambda: (self.asker.unpin,), ((GFN, N, pb.WC, WC),), ()
        )
        self.assertEqual(seen, {pb.OK, pb.INTERNAL, pb.STUCK})

    def test_no_later_pin_is_taken_away(self):
        """Slot 1 holds what could not be erased, while slot 0 is free for the same pin."""
        for nth in self.each_write():
            with self.subTest(nth=nth):
                self.asker.pin(1, GFN + N, N, pb.WC)
                self.asker.pin(1, GFN, N, pb.WC)
                self.asker.unpin(1, GFN + N, N)
                self.fail_write(nth)
                status = self.outcome(self.asker.unpin)
                self.fail_no_more()
                if status == pb.STUCK:
                    self.asker.unpin(1, GFN, N)
                self.asker.pin(1, GFN, N, pb.UC)
                self.restart()
                wait_for(lambda: all(p.settled for p in self.asker.pins(1)), "it is settled")
                self.assert_pins((GFN, N, pb.UC, UC))
                self.asker.unpin(1, GFN, N)


if __name__ == "__main__":
    unittest.main()
