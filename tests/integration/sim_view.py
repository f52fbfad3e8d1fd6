# SPDX-License-Identifier: LGPL-2.1-or-later
"""The simulated host at arm's length: looked at and acted on in this process, by tests/simxen/view."""

import ctypes
import os
import uuid

CALL_KINDS = ("track", "relocate", "pin", "modified", "map")
MAX_PINS = 64

_u64p = ctypes.POINTER(ctypes.c_uint64)
_u32p = ctypes.POINTER(ctypes.c_uint32)
_FUNCTIONS = {
    "view_create_domain": [ctypes.c_uint16, ctypes.c_bool, ctypes.c_uint32, ctypes.c_char_p],
    "view_begin_death": [ctypes.c_uint16],
    "view_destroy_domain": [ctypes.c_uint16],
    "view_pages": [ctypes.c_uint32, ctypes.c_uint32, _u64p, _u32p],
    "view_pins": [ctypes.c_uint32, _u64p],
    "view_tracked": [ctypes.c_uint32, _u64p, _u32p],
    "view_calls": [ctypes.c_uint32, ctypes.c_uint32],
    "view_fault": [
        ctypes.c_uint32,
        ctypes.c_uint16,
        ctypes.c_uint32,
        ctypes.c_bool,
        ctypes.c_int,
        ctypes.c_uint32,
        ctypes.c_bool,
    ],
    "view_fault_struck": [ctypes.c_uint32],
    "view_write": [ctypes.c_uint32, ctypes.c_uint64],
    "view_populate": [ctypes.c_uint32, ctypes.c_uint64],
    "view_depopulate": [ctypes.c_uint32, ctypes.c_uint64],
    "view_pin": [ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32],
}


class View:
    def __init__(self, build, host_path):
        self._library = ctypes.CDLL(os.path.join(build.directory, "tests/simxen/libsimxen-view.so"))
        self._library.view_open.restype = ctypes.c_void_p
        for name, arguments in _FUNCTIONS.items():
            getattr(self._library, name).argtypes = [ctypes.c_void_p, *arguments]
        self._library.view_clear_faults.argtypes = [ctypes.c_void_p]
        self._library.view_calls.restype = ctypes.c_int64
        os.environ["SIMXEN_HOST"] = host_path
        self._host = ctypes.c_void_p(self._library.view_open())
        if not self._host:
            raise RuntimeError(f"{host_path} cannot be opened")
        self._max_pages = 0
        self.armed = set()  # kinds of calls of which one was to fail, for whoever empties it

    def _call(self, name, *arguments):
        result = getattr(self._library, name)(self._host, *arguments)
        if result < 0:
            raise OSError(-result, f"{name}{arguments}: {os.strerror(-result)}")
        return result

    def close(self):
        self._library.view_close(self._host)

    def create_domain(self, domid, ram_pages, pv=False):
        """Its UUID."""
        text = str(uuid.uuid4())
        self._call("view_create_domain", domid, pv, ram_pages, text.encode())
        return text

    def begin_death(self, domid):
        """It has all of its memory until it is destroyed."""
        self._call("view_begin_death", domid)

    def destroy_domain(self, domid):
        self._call("view_destroy_domain", domid)

    def pages(self, domid):
        """{gfn: frame}"""
        while True:
            gfns = (ctypes.c_uint64 * self._max_pages)()
            frames = (ctypes.c_uint32 * self._max_pages)()
            n = self._call("view_pages", domid, self._max_pages, gfns, frames)
            if n <= self._max_pages:
                return dict(zip(gfns[:n], frames[:n]))
            self._max_pages = n

    def pins(self, domid):
        """{(first gfn, last gfn): type}"""
        numbers = (ctypes.c_uint64 * (3 * MAX_PINS))()
        n = self._call("view_pins", domid, numbers)
        return {(numbers[3 * i], numbers[3 * i + 1]): numbers[3 * i + 2] for i in range(n)}

    def tracked(self, domid):
        """(first gfn, pages); 0 pages: nothing is tracked."""
        first, nr_pages = ctypes.c_uint64(), ctypes.c_uint32()
        self._call("view_tracked", domid, ctypes.byref(first), ctypes.byref(nr_pages))
        return first.value, nr_pages.value

    def calls(self, domid):
        """{kind: hypercalls so far}"""
        return {kind: self._call("view_calls", domid, i) for i, kind in enumerate(CALL_KINDS)}

    def fault(self, kind, domid, nth, error, pages=0, lasting=False, of_page=False):
        """Call number nth of the kind fails, having done so many pages; or of_page, that page of a map call. Its number."""
        self.armed.add(kind)
        return self._call("view_fault", CALL_KINDS.index(kind), domid, nth, lasting, error, pages, of_page)

    def has_struck(self, fault):
        """Known also after it was cleared, until another one is armed."""
        return self._call("view_fault_struck", fault) != 0

    def clear_faults(self):
        self._library.view_clear_faults(self._host)

    def write(self, domid, gfn):
        """The guest does."""
        self._call("view_write", domid, gfn)

    def populate(self, domid, gfn):
        self._call("view_populate", domid, gfn)

    def depopulate(self, domid, gfn):
        self._call("view_depopulate", domid, gfn)

    def pin(self, domid, first_gfn, last_gfn, kind):
        self._call("view_pin", domid, first_gfn, last_gfn, kind)
