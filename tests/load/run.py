# SPDX-License-Identifier: MIT
"""Plays scenarios and prints the table of what became of the requests: `./dev load [NAME...]`.
With --write the table goes into docs/robustness.md, too."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from play import Row, may_mount, play  # noqa: E402
from rig import WORKER_CLASSES  # noqa: E402
from scenarios import SCENARIOS  # noqa: E402

DOCUMENT = ROOT / "docs" / "robustness.md"
BEGIN, END = "<!-- the table of ./dev load -->\n", "<!-- its end -->\n"
MODES = ("close", "keep-alive")
HEAD = (
    "| scenario | worker, connections | what was done | sent | answered | failed | slowest "
    "| back in | processes, descriptors, memory |\n|---|---|---|---|---|---|---|---|---|\n"
)


def line(row: Row) -> str:
    tally = row.tally
    failed = ", ".join(f"{n} {way}" for way, n in tally.ways().most_common())
    back = "" if row.back_s is None else f"{row.back_s * 1000:.0f} ms"
    held = ""
    if row.after:
        b, a = row.before, row.after
        held = f"{b.processes}, {b.descriptors}, {b.memory_kib / 1024:.1f} MiB → "
        held += f"{a.processes}, {a.descriptors}, {a.memory_kib / 1024:.1f} MiB"
    cells = [row.scenario.name, f"{row.worker_class}, {row.mode}", row.done]
    cells += [str(tally.sent), str(tally.answered)]
    cells += [f"**{len(tally.failed)}**: {failed}" if failed else "0"]
    cells += [f"{row.longest_s:.2f} s", back, held]
    return f"| {' | '.join(cells)} |\n"


def notes(row: Row) -> str:
    """What the table has no column for."""
    tally = row.tally
    begun = sum(r.ident in tally.begun for r in tally.failed)
    more = f"of those that failed {begun} had begun, {tally.done_unanswered} were done"
    lines = [f"   {more}"] if tally.failed else []
    lines += [f"   {tally.crossed} crossed by a close and sent again"] if tally.crossed else []
    lines += [f"   AGAINST THE RULE: {c}" for c in row.complaints[:5]]
    lines += [f"   and {len(row.complaints) - 5} more"] if len(row.complaints) > 5 else []
    return "".join(f"{each}\n" for each in lines)


def write(table: str) -> None:
    text = DOCUMENT.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    DOCUMENT.write_text(text[:begin] + HEAD + table + text[end:])


def main() -> int:
    names = [s.name for s in SCENARIOS]
    parser = argparse.ArgumentParser(prog="./dev load", description="Faults under load.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--worker-class", action="append", choices=WORKER_CLASSES)
    parser.add_argument("--connections", action="append", choices=MODES)
    parser.add_argument("--short", action="store_true", help="as the tests do it")
    parser.add_argument("--write", action="store_true", help="the table into docs/robustness.md")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    scenarios = [s for s in SCENARIOS if not options.names or s.name in options.names]
    table, bad = "", 0
    worker_classes, modes = options.worker_class or WORKER_CLASSES, options.connections or MODES
    for scenario, worker_class, mode in itertools.product(scenarios, worker_classes, modes):
        if worker_class not in ("sync", "async", *scenario.more) or mode not in scenario.modes:
            continue
        if scenario.disk and not may_mount():
            continue
        with tempfile.TemporaryDirectory() as directory:
            row = play(scenario, Path(directory), worker_class, mode, full=not options.short)
        table += line(row)
        bad += bool(row.complaints)
        print(line(row) + notes(row), end="", flush=True)
    if options.write:
        write(table)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
