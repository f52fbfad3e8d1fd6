# SPDX-License-Identifier: LGPL-2.1-or-later
"""One thing goes wrong, and then another of another kind. Each time the daemon is a fresh one."""

import errno
import itertools

import xenvram_pb2 as pb
from attempt import Attempt, Held, Point, count_steps
from stage import DOMID, Steps

# What the next worker is refused, once, of what it is asked again.
REFUSALS = (("pin", errno.EPERM), ("relocate", errno.ENOMEM), ("map", errno.ENOMEM))


def after_broker(reply):
    """What is stuck goes on with the next broker, and may come to its end."""
    return None if reply is None or reply.status == pb.STUCK else reply


class UnwrittenPoint(Point):
    """The broker cannot write to the journal, once; and after its answer it dies."""

    def __init__(self, nth):
        self.nth = nth

    def __str__(self):
        return f"unwritten/write{self.nth}"

    def run(self, stage, operation):
        stage.new_daemon()
        attempt = Attempt(stage, operation, self)
        stage.steps.arm("broker", "before", self.nth, Steps.FAIL)
        attempt.start()
        reply = attempt.reply()
        if not stage.steps.was_struck():
            stage.steps.disarm()
            attempt.judge(reply)
            return False
        attempt.check_unwritten(reply)
        stage.kill_roles(("broker",))
        attempt.judge(after_broker(reply))
        return True


def count_writes(stage, operation):
    stage.new_daemon()
    attempt = Attempt(stage, operation)
    never = 1 << 30
    stage.steps.arm("broker", "before", never, Steps.FAIL)
    attempt.start()
    reply = attempt.reply()
    n_writes = never - stage.steps.countdown()
    stage.steps.disarm()
    attempt.judge(reply)
    return n_writes


def unwritten_points(stage, operation):
    for nth in range(1, count_writes(stage, operation) + 1):
        yield UnwrittenPoint(nth)
        yield UnwritablePoint(nth)
        for later in later_steps(stage, operation, nth):
            yield UnwritableKillPoint(nth, later)


class UnwritablePoint(Point):
    """From a write on the broker can write nothing to the journal until it has answered; then it can, and dies."""

    def __init__(self, nth):
        self.nth = nth

    def __str__(self):
        return f"unwritten/write{self.nth}+"

    def run(self, stage, operation):
        stage.new_daemon()
        attempt = Attempt(stage, operation, self)
        stage.steps.fail_writes(self.nth)
        attempt.start()
        reply = attempt.reply()
        reached = stage.steps.unwritten_at() > 0
        if reached:
            attempt.check_unwritten(reply)
        stage.steps.write_again()
        stage.kill_roles(("broker",))
        attempt.judge(after_broker(reply))
        return reached


class UnwritableKillPoint(Point):
    """From a write on the broker can write nothing to the journal, and dies before a later step."""

    def __init__(self, nth, later):
        self.nth, self.later = nth, later

    def __str__(self):
        return f"unwritten/write{self.nth}+-kill-before-broker{self.later}"

    def run(self, stage, operation):
        stage.new_daemon()
        held = Held(stage, operation, self)
        stage.steps.fail_writes(self.nth)
        reached = held.run_to("broker", "before", self.later)
        stage.steps.write_again()
        stage.kill_roles(("broker",))
        stage.steps.release()
        held.judge(after_broker(held.reply()))
        return reached


def later_steps(stage, operation, nth):
    """Those of the broker after its nth write to the journal, when this one fails and so does each that follows."""
    stage.new_daemon()
    attempt = Attempt(stage, operation)
    attempt.await_quiet()
    before = stage.steps.count("broker")
    stage.steps.fail_writes(nth)
    attempt.start()
    attempt.await_quiet()
    return range(stage.steps.unwritten_at() - before + 1, stage.steps.count("broker") - before + 1)


class ResentPoint(Point):
    """A worker is killed after a step, and when the next one does it again, the hypervisor refuses something, once."""

    def __init__(self, nth, kind, error):
        self.nth, self.kind, self.error = nth, kind, error

    def __str__(self):
        return f"resent/worker{self.nth}-{self.kind}-{errno.errorcode[self.error]}"

    def run(self, stage, operation):
        stage.new_daemon()
        held = Held(stage, operation, self)
        if not held.run_to("worker", "after", self.nth):
            return False
        stage.view.fault(self.kind, DOMID, 1, self.error)
        stage.kill_roles(("worker",))
        stage.steps.release()
        held.judge(held.reply())
        return True


def resent_points(stage, operation):
    n_steps = count_steps(stage, operation)["worker"]
    for nth, (kind, error) in itertools.product(range(1, n_steps + 1), REFUSALS):
        yield ResentPoint(nth, kind, error)
