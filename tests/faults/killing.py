# SPDX-License-Identifier: LGPL-2.1-or-later
"""Roles are killed, and domains die, at steps of the roles. Each time the daemon is a fresh one."""

import itertools

from attempt import QUIET_AT_START_S, QUIET_S, Held, Point, count_steps
from checker import check_dying, check_gone
from stage import MOMENTS, ROLES, Violation


class KillPoint(Point):
    """At a step of a role somebody is killed, who need not be the one that is at the step."""

    def __init__(self, role, moment, nth, victims, late=False):
        self.role, self.moment, self.nth, self.victims = role, moment, nth, victims
        self.late = late  # whoever was held goes on only when the next supervisor is there

    def __str__(self):
        return f"kill/{'+'.join(self.victims)}-{self.moment}-{self.role}{self.nth}{'-late' if self.late else ''}"

    def run(self, stage, operation):
        stage.new_daemon()
        held = Held(stage, operation, self)
        if not held.run_to(self.role, self.moment, self.nth):
            return False
        stage.kill_roles(self.victims)
        if self.late:
            stage.start_supervisor()
            held.release_late()
        else:
            stage.steps.release()
            stage.start_supervisor_if_dead()
        stage.await_service()
        held.judge(held.reply())
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


class DeathPoint(Point):
    """At a step of a role the domain dies."""

    def __init__(self, role, moment, nth):
        self.role, self.moment, self.nth = role, moment, nth

    def __str__(self):
        return f"death/{self.moment}-{self.role}{self.nth}"

    def run(self, stage, operation):
        stage.new_daemon()
        held = Held(stage, operation, self)
        if not held.run_to(self.role, self.moment, self.nth):
            return False
        self.strike(stage)
        stage.steps.release()
        if held.reply() is None:
            raise Violation("no role was killed, and there is no answer")
        self.finish(stage)
        check_gone(stage)
        return True

    @staticmethod
    def strike(stage):
        """Whatever it is: the memory of a dying domain goes before the domain does."""
        stage.kill_domain()

    @staticmethod
    def finish(stage):
        pass


class DyingPoint(DeathPoint):
    """At a step of a role the domain begins to die: tracking ends with ESRCH, its memory is there to the end."""

    def __str__(self):
        return f"death/dying-{super().__str__().removeprefix('death/')}"

    @staticmethod
    def strike(stage):
        stage.begin_death()

    @staticmethod
    def finish(stage):
        """That may take long yet."""
        check_dying(stage)
        stage.kill_domain()


def death_points(stage, operation):
    for role, n in count_steps(stage, operation).items():
        for nth, moment in itertools.product(range(1, n + 1), MOMENTS):
            yield DeathPoint(role, moment, nth)
        # Inside a call is as before it: it finds out when it begins, or not at all.
        for nth in range(1, n + 1):
            yield DyingPoint(role, "before", nth)


class RecoveryPoint(Point):
    """A role is killed, and while others make that good, so is another, or the next of its kind."""

    may_not_come = True  # roles are started again after a while, and their steps overlap

    def __init__(self, first, second):
        self.first, self.second = first, second  # (role, nth step), before it

    def __str__(self):
        (role, nth), (then, later) = self.first, self.second
        return f"recovery/{role}{nth}-{then}{later}"

    @staticmethod
    def kill_held(stage, role):
        """Who is held at a step."""
        stage.kill_roles((role,))
        stage.steps.release()
        stage.start_supervisor_if_dead()

    def run(self, stage, operation):
        stage.new_daemon()
        held = Held(stage, operation, self)
        if not held.run_to(self.first[0], "before", self.first[1]):
            return False
        stage.steps.arm(self.second[0], "before", self.second[1])
        self.kill_held(stage, self.first[0])
        reached = held.await_step()
        if reached:
            self.kill_held(stage, self.second[0])
        stage.await_service()
        held.judge(held.reply())
        return reached


def quiet_after(role):
    return QUIET_AT_START_S if role == "supervisor" else QUIET_S


def count_recovery(stage, operation, role, nth):
    """{role: steps that are made for it when one was killed before its nth}; none if it did not come that far."""
    stage.new_daemon()
    held = Held(stage, operation)
    if not held.run_to(role, "before", nth):
        return {}
    before = {each: stage.steps.count(each) for each in ROLES}
    RecoveryPoint.kill_held(stage, role)
    held.await_quiet(quiet_after(role))
    counts = {each: stage.steps.count(each) - before[each] for each in ROLES}
    stage.await_service()
    held.judge(held.reply())
    return counts


def recovery_points(stage, operation, sample):
    """Of every so many first deaths all second ones: to count these takes a go at the first."""
    counts = count_steps(stage, operation)
    firsts = [(role, nth) for role, n in counts.items() for nth in range(1, n + 1)]
    for first in firsts[::sample]:
        for then, n_later in count_recovery(stage, operation, *first).items():
            for later in range(1, n_later + 1):
                yield RecoveryPoint(first, (then, later))
