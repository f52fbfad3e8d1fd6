# SPDX-License-Identifier: LGPL-2.1-or-later
"""One go at an operation, undisturbed or not, and the verdict on it."""

import time
import zlib

import protocol
import xenvram_pb2 as pb
from checker import check_refusal, what_is
from stage import ROLES, Violation

HEADSTART_S = 0.03
QUIET_S = 0.01  # when no role has made a step for so long, there is none to come
QUIET_AT_START_S = 0.05
LATEST_STEP_S = 1  # by then a step is made that is still to come, also where the machine is busy with something else


class Point:
    """Where something fails or dies."""

    may_not_come = False  # as what comes by the clock, at another time or not at all


class Attempt:
    """One go at the operation."""

    def __init__(self, stage, operation, point=""):
        # At one point it is asked for again, at the next the region is destroyed; each time the same at the same one.
        lot = zlib.crc32(str(point).encode())
        self.again = lot % 2 == 0
        # This takes longer than all else.
        stage.looks_at_tracking = lot % 5 == 0
        self.stage = stage
        self.operation = operation
        self.cookie = operation.prepare(stage)
        stage.view.armed.clear()
        self.name, self.message = operation.request(self.cookie)
        self.client = stage.client
        self.serial = None
        self.before = what_is(stage)

    def start(self):
        self.serial = self.client.start(self.name, self.message)

    def reply(self):
        """None if nobody knows."""
        try:
            return self.client.finish(self.serial)[0]
        except (protocol.Restarted, protocol.Closed):
            return None
        except TimeoutError:
            raise Violation("the request has no answer") from None

    def has_ended(self):
        try:
            while self.serial and self.serial not in self.client.replies:
                self.client.dispatch(0)
        except TimeoutError:
            return False
        except protocol.Closed:
            pass
        return True

    def await_quiet(self, quiet_s=QUIET_S):
        """Until the last step of any role was made, or somebody is held at one."""
        steps = self.stage.steps
        seen, since = None, time.monotonic()
        while not steps.held():
            counts = [steps.count(role) for role in ROLES]
            if counts != seen or not self.has_ended():
                seen, since = counts, time.monotonic()
            elif time.monotonic() - since > quiet_s:
                return
            time.sleep(0.0001)

    def check_unwritten(self, reply):
        """Is what is so as the answer says? Of what was not done the journal may not know."""
        is_written = reply.status == pb.OK and self.operation.is_written_when_done
        check_refusal(self.stage, self.before, reply)
        self.operation.check(self.stage, self.cookie, reply, is_written)

    def judge(self, reply):
        check_refusal(self.stage, self.before, reply)
        self.operation.judge(self.stage, self.cookie, reply, self.again)


class Held(Attempt):
    """An operation that is held at a step."""

    def run_to(self, role, moment, nth):
        """False if it ends before."""
        self.stage.steps.arm(role, moment, nth)
        self.start()
        return self.await_step()

    def await_step(self):
        """Until somebody is held at the step that is armed; False if that does not come."""
        self.await_quiet(LATEST_STEP_S)
        if self.stage.steps.held():
            return True
        self.stage.steps.disarm()
        return False

    def release_late(self):
        """When the next supervisor would be at work, if it did not wait for the roles of the dead one."""
        time.sleep(HEADSTART_S)
        self.stage.steps.release()


def undisturbed(stage, operation):
    """(the attempt, once it has ended, {role: steps that it makes for the operation})"""
    stage.new_daemon()
    attempt = Attempt(stage, operation)
    # What comes after an answer would be counted among the steps.
    attempt.await_quiet()
    before = {role: stage.steps.count(role) for role in ROLES}
    attempt.start()
    attempt.await_quiet()
    return attempt, {role: stage.steps.count(role) - before[role] for role in ROLES}


def count_steps(stage, operation):
    attempt, counts = undisturbed(stage, operation)
    attempt.judge(attempt.reply())
    return counts
