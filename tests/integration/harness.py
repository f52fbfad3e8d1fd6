# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the real programs against a simulated host, and cleans up after them."""

import contextlib
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import protocol
from guest import Domain, Guest, Host, end_with_us
from region_log import RegionLog
from waiting import PATIENCE_S, wait_for

MAX_LOG_LINES = 400
REPORTS = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")
CRASHES = re.compile(r"killed by signal (?!9\b)\d+|exited with status (?!1\b)\d+")


class Build:
    """Where the programs under test are."""

    def __init__(self, directory):
        self.directory = directory
        self.xenvramd = os.path.join(directory, "daemon/xenvramd")
        self.xenvramctl = os.path.join(directory, "client/xenvramctl/xenvramctl")
        self.simxen = os.path.join(directory, "tests/simxen/simxen")
        self.inspect = os.path.join(directory, "tests/integration/inspect")
        self.handover = os.path.join(directory, "tests/integration/handover")
        self.libraries = os.path.join(directory, "tests/simxen/lib")

    def environment(self, more=()):
        environment = dict(os.environ, LD_LIBRARY_PATH=self.libraries)
        environment.update(more)
        return environment


def user_exists(name):
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def children(pid):
    """{pid: command line} of the process's living children."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                command = file.read().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state != b"Z":
            found[int(entry)] = [word.decode() for word in command]
    return found


class Daemon:
    """xenvramd with its sockets and journal in a directory."""

    def __init__(self, build, host, directory, config=""):
        self.directory = os.path.join(directory, "run")
        self.socket = os.path.join(self.directory, "xenvram.sock")
        self.log_path = os.path.join(directory, "daemon.log")
        self.host = host
        self.process = None
        self.open_files = None  # the limit of each process, if not the usual one
        # Not that of the machine which the test runs on.
        self.config_path = os.path.join(directory, "xenvramd.conf")
        self.configure(config)
        self.command = [build.xenvramd, "--config", self.config_path, "--socket", self.directory]
        if os.geteuid() == 0 and not (user_exists("xenvram") and user_exists("xenvram-worker")):
            self.command += ["--broker-user", "nobody", "--worker-user", "nobody"]
        self.environment = build.environment(host.environment)

    def start(self):
        self.begin()()

    def begin(self):
        """Starts it; returns what waits until it serves."""
        return self._begin(self.command, self.environment)

    def start_activated(self, listening):
        """With this socket, as systemd hands it over."""
        at = self.command.index("--socket")
        # The shell becomes the daemon, which has the shell's process id.
        script = f'exec 3<&{listening.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        command = ["sh", "-c", script, "sh", *self.command[:at], *self.command[at + 2 :]]
        environment = dict(self.environment, RUNTIME_DIRECTORY=self.directory)
        self._begin(command, environment, pass_fds=[listening.fileno()])()

    def _begin(self, command, environment, **more):
        before = self.log().count("serving")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=self._prepare,
                **more,
            )

        def serving():
            if self.process.poll() is not None:
                raise RuntimeError(f"xenvramd ended with status {self.process.returncode}:\n{self.log()}")
            return self.log().count("serving") > before

        return lambda: wait_for(serving, "xenvramd serves")

    def _prepare(self):
        end_with_us()
        if self.open_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.open_files, self.open_files))

    def configure(self, text):
        """Writes the configuration file, which is read at the next start or reload."""
        os.makedirs(os.path.dirname(self.config_path), exist_ok=True)
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(text)

    def reload(self):
        """Has it read its configuration anew; what it says to that."""
        before = len(self.log())
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "read anew" in self.log()[before:], "the configuration is read")
        return self.log()[before:]

    def stop(self):
        """Asks it to end; its exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def kill(self):
        """SIGKILL of the supervisor. The other roles end by themselves."""
        roles = list(children(self.process.pid))
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not any(is_alive(pid) for pid in roles), "the roles end")

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def role_pids(self, role):
        return [
            pid for pid, command in children(self.process.pid).items() if f"--role={role}" in command
        ]

    def broker_pid(self):
        pids = []

        def found():
            pids[:] = self.role_pids("broker")
            return pids

        wait_for(found, "there is a broker")
        return pids[0]

    def worker_pid(self, domid):
        """None if there is none."""
        for pid, command in children(self.process.pid).items():
            if "--role=worker" in command and f"--domid={domid}" in command:
                return pid
        return None

    def await_worker(self, domid):
        wait_for(lambda: self.worker_pid(domid), f"domain {domid} has a worker")
        return self.worker_pid(domid)

    def await_no_worker(self, domid):
        wait_for(lambda: not self.worker_pid(domid), f"the worker of {domid} ends")

    def end(self):
        """Whatever state it is in, nothing of it remains."""
        if self.process is None:
            return
        roles = []
        if self.process.poll() is None:
            roles = list(children(self.process.pid))
            self.process.kill()
        self.process.wait()
        for pid in roles:
            kill(pid)


def kill(pid):
    """SIGKILL; that it is dying already does not matter."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def count_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class SimTest(unittest.TestCase):
    """A host, a daemon, and at the end proof that the daemon is well and ends as it should."""

    host_options = {}
    config = ""
    open_files = None

    def setUp(self):
        self.build = Build(os.environ["XENVRAM_BUILD_DIR"])
        self.directory = tempfile.mkdtemp(prefix="xenvram-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.log_text = ""
        self.host = Host(self.build, os.path.join(self.directory, "host"), **self.host_options)
        self.daemon = Daemon(self.build, self.host, self.directory, self.config)
        self.daemon.open_files = self.open_files
        self.addCleanup(self._end_daemon)
        self.start_daemon()

    def start_daemon(self):
        self.daemon.start()

    def _end_daemon(self):
        try:
            if self.daemon.process and self.daemon.process.poll() is None:
                status = self.daemon.stop()
                self.assertEqual(status, 0, "xenvramd's exit status")
        finally:
            self.daemon.end()
            self.log_text = self.daemon.log()
        self.assertIsNone(REPORTS.search(self.log_text), "a sanitizer has something to report")
        self.assertIsNone(CRASHES.search(self.log_text), "a role of the daemon crashed")

    def run(self, result=None):
        result = super().run(result)
        if result and any(test is self for test, _ in result.failures + result.errors):
            lines = self.log_text.splitlines()[-MAX_LOG_LINES:]
            print(f"---- log of xenvramd in {self.id()}", *lines, "----", sep="\n", flush=True)
        return result

    def fresh_daemon(self):
        """Stops the daemon and starts another: child processes are respawned without delay again."""
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()

    def add_domain(self, domid=1, **options):
        domain = Domain(self.host, domid, **options)
        domain.fill()
        return domain

    def add_guest(self, domain):
        guest = Guest(domain)
        self.addCleanup(guest.stop)
        return guest

    def connection(self):
        connection = protocol.Connection(self.daemon.socket)
        self.addCleanup(connection.close)
        return connection

    def client(self):
        client = protocol.Client(self.daemon.socket)
        self.addCleanup(client.close)
        return client

    def open_log(self, subscription):
        log = RegionLog(subscription.log_fd)
        self.addCleanup(log.close)
        return log

    def settle(self, client, *cookies):
        """Polls until the regions are tracked together and nothing is dirty any more; their generations."""
        generations = [0] * len(cookies)

        def quiet():
            n_dirty = 0
            for i, cookie in enumerate(cookies):
                pages, generations[i] = client.snapshot(cookie, generations[i], sync=True)
                n_dirty += len(pages)
            return n_dirty == 0

        wait_for(quiet, "nothing is dirty any more")
        return generations

    def exact_since(self, client, cookie):
        """A generation from which on bits are exact: shortly after a change of place all pages are called dirty."""
        since = 0

        def nothing_is_dirty():
            nonlocal since
            dirty, since = client.snapshot(cookie, since=since, sync=True)
            return not dirty

        wait_for(nothing_is_dirty, "bits are exact")
        return since

    def refused(self, status, os_error, function, *arguments, **more):
        """Must fail with this status and errno; the message."""
        with self.assertRaises(protocol.Failed) as context:
            function(*arguments, **more)
        failed = context.exception
        name = protocol.pb.Status.Name
        self.assertEqual(
            (name(failed.status), failed.os_error), (name(status), os_error), f"message: {failed.message}"
        )
        self.assertTrue(failed.message, "a refusal without a reason")
        return failed.message

    def assert_moved(self, before, domain, vram, backing, nr_pages):
        """The region's pages, and nothing else, are at vram with the contents they had."""
        expected = dict(before)
        for i in range(nr_pages):
            expected[vram + i] = expected.pop(backing + i)
        self.assert_contents(expected, domain)

    def assert_contents(self, expected, domain):
        found = domain.contents()
        self.assertEqual(sorted(expected), sorted(found), "other pages are populated")
        different = [hex(gfn) for gfn in expected if expected[gfn] != found[gfn]]
        self.assertEqual(different, [], "contents of pages")


class OldKernel:
    """Mixed into a SimTest: clients' descriptors come through, as on a kernel that cannot refuse them."""

    def start_daemon(self):
        os.mkdir(self.daemon.directory, 0o755)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(self.daemon.socket)
            os.chmod(self.daemon.socket, 0o666)
            listening.listen()
            self.daemon.start_activated(listening)
            with contextlib.suppress(OSError):
                listening.setsockopt(socket.SOL_SOCKET, protocol.SO_PASSRIGHTS, 1)


class Follower(threading.Thread):
    """Runs step() until it is stopped; an exception of it fails the test that calls finish()."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stopping = threading.Event()
        self.error = None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
        except BaseException as error:  # handed to the test's own thread
            self.error = error

    def step(self):
        raise NotImplementedError

    def finish(self):
        self.stopping.set()
        self.join(PATIENCE_S)
        if self.error:
            raise self.error
        if self.is_alive():
            raise TimeoutError(f"{type(self).__name__} does not end")


def now():
    return time.monotonic()
