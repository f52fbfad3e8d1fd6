# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients of other users, each in a process of its own that has become that user for good."""

import os
import pickle
import select
import unittest

import protocol
from guest import end_with_us
from waiting import PATIENCE_S

needs_root = unittest.skipUnless(os.geteuid() == 0, "becoming another user takes root")


class Outcome:
    """What became of it: a value, a refusal, or a connection that was closed."""

    def __init__(self, value=None, status=None, os_error=None, message="", refused=False, closed=False):
        self.value = value
        self.status = status
        self.os_error = os_error
        self.message = message
        self.refused = refused  # at the door: by a reply to no request
        self.closed = closed
        self.pid = None  # of the process that did it

    def __repr__(self):
        name = protocol.pb.Status.Name(self.status) if self.status is not None else None
        return f"<{name} errno {self.os_error} refused={self.refused} closed={self.closed} {self.value!r} {self.message}>"


def attempt(function):
    try:
        return Outcome(function())
    except protocol.Failed as failed:
        refused = isinstance(failed, protocol.Refused)
        return Outcome(None, failed.status, failed.os_error, failed.message, refused)
    except protocol.Closed:
        return Outcome(closed=True)


class Signal:
    """One process gives it, another that shares it waits for it, but not for ever."""

    def __init__(self):
        self._reader, self._writer = os.pipe()

    def give(self):
        os.write(self._writer, b"!")

    def wait(self, what):
        if not select.select([self._reader], [], [], PATIENCE_S)[0]:
            raise TimeoutError(f"{what}: not within {PATIENCE_S:.0f} s")
        os.read(self._reader, 1)

    def close(self):
        os.close(self._reader)
        os.close(self._writer)


def _become(uid, gid, groups):
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def as_user(uid, function, gid=None, groups=()):
    """Calls the function in a new process of that user; its outcome. Other exceptions come through."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        result = None
        try:
            os.close(reader)
            end_with_us()
            _become(uid, uid if gid is None else gid, list(groups))
            result = attempt(function)
        except BaseException as error:  # the parent's to raise
            result = error
        finally:
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(result, pipe)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    result = pickle.loads(data)
    if isinstance(result, BaseException):
        raise result
    result.pid = pid
    return result
