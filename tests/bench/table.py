#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Figures, a line of JSON each on standard input, as a table on standard output.

--write FILE also stores them there; --add FILE stores them beside what is there of other benchmarks."""

import json
import os
import sys

HEADINGS = ("figure", "value", "unit", "against", "is", "ratio", "goal", "met")


def number(value):
    if value is None:
        return "-"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def row(figure):
    met = {True: "yes", False: "NO", None: ""}[figure["met"]]
    return (
        figure["figure"],
        number(figure["value"]),
        figure["unit"],
        figure["anchor"],
        number(figure["anchor_value"]),
        number(figure["ratio"]),
        figure["goal"] or "",
        met,
    )


def print_table(figures):
    rows = [HEADINGS] + [row(figure) for figure in figures]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    for cells in rows:
        line = (
            cell.rjust(width) if HEADINGS[i] in ("value", "is", "ratio") else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths))
        )
        print("  ".join(line).rstrip())
    with_goal = [figure for figure in figures if figure["met"] is not None]
    print(f"{sum(figure['met'] for figure in with_goal)} of {len(with_goal)} goals met")


def store(path, figures, keep):
    if keep and os.path.exists(path):
        names = {figure["figure"] for figure in figures}
        with open(path, encoding="utf-8") as file:
            figures = [f for f in json.load(file)["figures"] if f["figure"] not in names] + figures
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"figures": figures}, file, indent=2)
        file.write("\n")


figures = [json.loads(line) for line in sys.stdin]
if not figures:
    sys.exit("table.py: there are no figures")
print_table(figures)
if len(sys.argv) == 3:
    store(sys.argv[2], figures, keep=sys.argv[1] == "--add")
