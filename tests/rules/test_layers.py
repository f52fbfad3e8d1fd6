# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may include whom: the "Rules of the house" of ARCHITECTURE.md."""

import re
import unittest

from tree import files, includes, read

OURS = ("client/", "daemon/", "proto/", "tests/")
# What each folder may include of ours, besides itself.
LAYERS = {
    "proto": (),
    "client/libxenvram": ("proto",),
    "client/xenvramctl": ("client/libxenvram", "proto"),
    "daemon/common": ("proto",),
    "daemon/supervisor": ("daemon/common", "proto"),
    "daemon/broker": ("daemon/common", "proto"),
    "daemon/worker": ("daemon/common", "proto"),
}
XEN = re.compile(r"^xen(devicemodel|foreignmemory|toolcore|store|ctrl)")
# How a file comes by I/O, an event loop, or another process.
OUTSIDE = re.compile(
    r"^(event2/|xen|systemd/|seccomp|fcntl\.h|poll\.h|signal\.h|sys/(epoll|eventfd|inotify|ioctl|select|signalfd|socket|"
    r"timerfd|un|wait)\.h|(.*/)?(channel|log|sandbox|privilege)\.h$)"
)


def deciding():
    """The modules that ARCHITECTURE.md lists as deciding."""
    (sentence,) = re.findall(r"^\* What decides does no I/O.*?\.$", read("ARCHITECTURE.md"), re.MULTILINE | re.DOTALL)
    return re.findall(r"`(\w+)`", sentence)


def reachable(path):
    """{a header of ours or of others: who includes it}, from this file on."""
    found, todo = {}, [path]
    while todo:
        file = todo.pop()
        for header in includes(file):
            if header not in found:
                found[header] = file
                if header.startswith(OURS) and not header.endswith(".pb-c.h"):
                    todo.append(header)
    return found


class Layers(unittest.TestCase):
    def test_every_file_has_a_layer(self):
        for path in files("proto", ".c", ".h") + files("client", ".c", ".h") + files("daemon", ".c", ".h"):
            self.assertTrue(path == "daemon/main.c" or path.startswith(tuple(f"{folder}/" for folder in LAYERS)), path)

    def test_layers_only_look_down(self):
        for folder, below in LAYERS.items():
            allowed = tuple(f"{name}/" for name in (folder, *below))
            for path in files(folder, ".c", ".h"):
                for header in includes(path):
                    if header.startswith(OURS):
                        self.assertTrue(header.startswith(allowed), f"{path} includes {header}")

    def test_xen_is_the_workers(self):
        for path in files("proto", ".c", ".h") + files("client", ".c", ".h") + files("daemon", ".c", ".h"):
            seen = [header for header in includes(path) if XEN.match(header)]
            if seen and not path.startswith("daemon/worker/"):
                self.assertEqual((path, seen), ("daemon/supervisor/xenstore.c", ["xenstore.h"]))

    def test_systemd_is_the_supervisors(self):
        for path in files("proto", ".c", ".h") + files("client", ".c", ".h") + files("daemon", ".c", ".h"):
            if any(header.startswith("systemd/") for header in includes(path)):
                self.assertTrue(path.startswith("daemon/supervisor/"), path)

    def test_what_decides_sees_nothing_outside(self):
        sources = files("proto", ".c") + files("daemon", ".c")
        for module in deciding():
            paths = [path for path in sources if path.endswith(f"/{module}.c")]
            self.assertEqual(len(paths), 1, f"{module}: {paths}")
            outside = {h: by for h, by in reachable(paths[0]).items() if OUTSIDE.match(h)}
            self.assertEqual(outside, {}, paths[0])

    def test_what_decides_is_listed(self):
        """What unit tests link without the rest, and what the document says, are the same."""
        (listed,) = re.findall(r"add_library\(daemon-decide STATIC(.*?)\)", read("daemon/CMakeLists.txt"), re.DOTALL)
        built = set(re.findall(r"/(\w+)\.c", listed))
        # Of other libraries; and parts of a module that have its name.
        documented = set(deciding()) - {"check", "config"}
        parts = {name for name in built - documented if any(name.startswith(module) for module in documented)}
        self.assertEqual(built - parts, documented)


class Limits(unittest.TestCase):
    def test_every_cap_has_a_use(self):
        used = "".join(
            read(path)
            for folder in ("proto", "client", "daemon")
            for path in files(folder, ".c", ".h")
        )
        for name in re.findall(r"^#define (\w+)[ (]", read("proto/limits.h"), re.MULTILINE):
            self.assertGreater(len(re.findall(rf"\b{name}\b", used)), 1, name)


if __name__ == "__main__":
    unittest.main()
