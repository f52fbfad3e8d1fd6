# SPDX-License-Identifier: LGPL-2.1-or-later
"""The project's files, as they are in the source tree."""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def files(folder, *endings):
    """Paths below the folder, from the root, of files whose names end so."""
    found = []
    for where, _, names in os.walk(os.path.join(ROOT, folder)):
        found += [os.path.relpath(os.path.join(where, name), ROOT) for name in names if name.endswith(endings)]
    return sorted(found)


def includes(path):
    return re.findall(r'^\s*#\s*include\s+["<]([^">]+)[">]', read(path), re.MULTILINE)
