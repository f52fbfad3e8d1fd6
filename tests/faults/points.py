# SPDX-License-Identifier: LGPL-2.1-or-later
"""The points at which an operation is disturbed. Each has a name by which it can be run alone."""

import errno
import itertools
import time

import protocol
from checker import check, check_gone, check_recovery
from stage import DOMID, MOMENTS, ROLES, Violation

ALL_PAGES = 0xFFFFFFFF

# What each call can answer, by Xen and by Linux. Left out are those that would be a lie here: ESRCH is for domains that
# die, and those really do; ENOENT for a pin that is not there.
ERRORS = {
    "track": ("ENODATA", "EINVAL", "ENOMEM", "EFAULT", "E2BIG", "EPERM", "EOPNOTSUPP"),
    "relocate": ("EINVAL", "EACCES", "EXDEV", "EPERM", "EOVERFLOW", "ENOMEM", "ENOENT", "ENXIO", "EFAULT"),
    "pin": ("EBUSY", "ENOSPC", "EINVAL", "EPERM", "ENOMEM", "EOPNOTSUPP"),
    "modified": ("EINVAL", "EPERM", "ENOMEM", "EOPNOTSUPP"),
    "map": ("EPERM", "EINVAL", "ENOMEM", "EFAULT"),
}
# How much of the call was done before it failed.
PROGRESS = {"relocate": (0, 1, 20, ALL_PAGES), "track": (0, ALL_PAGES), "map": (0,), "pin": (0,), "modified": (0,)}
# A page that a map call is refused, neither RAM nor hole.
PAGE_ERRORS = ("ENOENT", "ENOMEM")

# Where pages are moved one by one: which of the calls of a kind fail, besides the last.
FIRST_CALLS = 5

HEADSTART_S = 0.03
LATER_STEPS_S = 0.05  # what a role does after the answer is done by then
LATEST_STEP_S = 1  # by then also where the machine is busy with something else


class Fault:
    """The nth call of a kind fails."""

    def __init__(self, kind, nth, error, pages=0, lasting=False, of_page=False):
        self.kind, self.nth, self.error, self.pages = kind, nth, error, pages
        self.lasting, self.of_page = lasting, of_page

    def __str__(self):
        pages = "all" if self.pages == ALL_PAGES else self.pages
        where = f"page{pages}" if self.of_page else f"after{pages}"
        return f"{self.kind}{self.nth}{'+' if self.lasting else ''}-{self.error}-{where}"

    def arm(self, view):
        view.fault(self.kind, DOMID, self.nth, getattr(errno, self.error), self.pages, self.lasting, self.of_page)


def faults_of(counts, lasting):
    """Every failure of every call that an operation makes, {kind: how many}."""
    for kind, n in counts.items():
        for nth in sorted({*range(1, min(n, FIRST_CALLS) + 1), n} - {0}):
            for error, pages in itertools.product(ERRORS[kind], PROGRESS[kind]):
                yield Fault(kind, nth, error, pages, lasting)
            if kind == "map":
                for error, page in itertools.product(PAGE_ERRORS, (0, 1)):
                    yield Fault(kind, nth, error, page, lasting, of_page=True)


class Attempt:
    """One go at the operation."""

    def __init__(self, stage, operation):
        self.stage = stage
        self.cookie = operation.prepare(stage)
        self.name, self.message = operation.request(self.cookie)
        self.serial = None

    def start(self):
        self.serial = self.stage.client.start(self.name, self.message)

    def reply(self):
        """None if nobody knows."""
        try:
            return self.stage.client.finish(self.serial)[0]
        except (protocol.Restarted, protocol.Closed):
            return None
        except TimeoutError:
            raise Violation("the request has no answer") from None

    def has_reply(self):
        try:
            while self.serial not in self.stage.client.replies:
                self.stage.client.dispatch(0)
        except TimeoutError:
            return False
        return True

    def last_word(self):
        """The reply that came before the connection ended, if any."""
        try:
            return self.reply() if self.has_reply() else None
        except protocol.Closed:
            return None

    def judge(self, reply):
        left = check(self.stage, self.name, self.message, self.cookie, reply)
        check_recovery(self.stage, self.name, self.message, left)


def count_calls(stage, operation, faults=()):
    """{kind: hypercalls that the operation makes}"""
    attempt = Attempt(stage, operation)
    before = stage.view.calls(DOMID)
    for fault in faults:
        fault.arm(stage.view)
    attempt.start()
    reply = attempt.reply()
    # A call that fails is not counted by the host.
    after = stage.view.calls(DOMID)
    counts = {kind: after[kind] - before[kind] + sum(f.kind == kind for f in faults) for kind in after}
    attempt.judge(reply)
    return counts


class FailurePoint:
    """One or two hypercalls fail."""

    def __init__(self, *faults):
        self.faults = faults

    def __str__(self):
        return "fail/" + ",".join(map(str, self.faults))

    def run(self, stage, operation):
        attempt = Attempt(stage, operation)
        for fault in self.faults:
            fault.arm(stage.view)
        attempt.start()
        attempt.judge(attempt.reply())
        return True


def failure_points(stage, operation):
    counts = count_calls(stage, operation)
    for lasting in (False, True):
        for fault in faults_of(counts, lasting):
            yield FailurePoint(fault)
    # What undoes the operation fails as well.
    for first in (Fault("relocate", 1, "ENOMEM", 20), Fault("relocate", 2, "EINVAL", 20), Fault("pin", 1, "EPERM")):
        if counts[first.kind] < first.nth:
            continue
        more = count_calls(stage, operation, [first])
        for lasting in (False, True):
            for second in faults_of(more, lasting):
                # Calls that the first lets happen as they did were dealt with above.
                if second.nth > counts[second.kind] or (second.kind, second.nth) > (first.kind, first.nth):
                    yield FailurePoint(first, second)


# ---- steps of the roles ----


class Held(Attempt):
    """An operation that is held at a step."""

    def run_to(self, role, moment, nth):
        """False if it ends before."""
        steps = self.stage.steps
        steps.arm(role, moment, nth)
        self.start()
        deadline = None
        while not steps.held():
            if deadline is None and self.has_reply():
                deadline = time.monotonic() + LATEST_STEP_S
            if deadline and time.monotonic() > deadline:
                steps.disarm()
                return False
            time.sleep(0.0001)
        return True

    def release_late(self):
        """When the next supervisor would be at work, if it did not wait for the roles of the dead one."""
        time.sleep(HEADSTART_S)
        self.stage.steps.release()


def count_steps(stage, operation):
    """{role: steps that it makes for the operation}"""
    stage.new_daemon()
    attempt = Attempt(stage, operation)
    before = {role: stage.steps.count(role) for role in ROLES}
    attempt.start()
    reply = attempt.reply()
    time.sleep(LATER_STEPS_S)
    counts = {role: stage.steps.count(role) - before[role] for role in ROLES}
    attempt.judge(reply)
    return counts


class KillPoint:
    """At a step of a role somebody is killed, who need not be the one that is at the step."""

    def __init__(self, role, moment, nth, victims, late=False):
        self.role, self.moment, self.nth, self.victims = role, moment, nth, victims
        self.late = late  # whoever was held goes on only when the next supervisor is there

    def __str__(self):
        return f"kill/{'+'.join(self.victims)}-{self.moment}-{self.role}{self.nth}{'-late' if self.late else ''}"

    def run(self, stage, operation):
        stage.new_daemon()
        held = Held(stage, operation)
        if not held.run_to(self.role, self.moment, self.nth):
            return False
        stage.kill_roles(self.victims)
        if "supervisor" in self.victims:
            reply = held.last_word()
            if not self.late:
                stage.steps.release()
            stage.restart_daemon(held.release_late if self.late else lambda: None)
        else:
            stage.steps.release()
            reply = held.reply()
        if self.victims != ("worker",) and "supervisor" not in self.victims:
            stage.client.take_events("restarted")
        held.judge(reply)
        return True


def victims_of(role):
    others = [other for other in ROLES if other != role]
    return [(role,), *((other,) for other in others), ("broker", "worker")]


def kill_points(stage, operation):
    for role, n in count_steps(stage, operation).items():
        for nth, moment, victims in itertools.product(range(1, n + 1), MOMENTS, victims_of(role)):
            yield KillPoint(role, moment, nth, victims)
            if "supervisor" in victims and role == "worker":
                yield KillPoint(role, moment, nth, victims, late=True)


class DeathPoint:
    """At a step of a role the domain dies."""

    def __init__(self, role, moment, nth):
        self.role, self.moment, self.nth = role, moment, nth

    def __str__(self):
        return f"death/{self.moment}-{self.role}{self.nth}"

    def run(self, stage, operation):
        stage.new_daemon()
        held = Held(stage, operation)
        if not held.run_to(self.role, self.moment, self.nth):
            return False
        stage.kill_domain()
        stage.steps.release()
        # Whatever it is: the memory of a dying domain goes before the domain does.
        if held.reply() is None:
            raise Violation("no role was killed, and there is no answer")
        check_gone(stage)
        return True


def death_points(stage, operation):
    for role, n in count_steps(stage, operation).items():
        for nth, moment in itertools.product(range(1, n + 1), MOMENTS):
            yield DeathPoint(role, moment, nth)


# Of points that are held the daemon is a fresh one each time; the others share one.
CATEGORIES = {"fail": failure_points, "kill": kill_points, "death": death_points}
