# SPDX-License-Identifier: MIT
"""Plays one scenario with one worker class and one kind of connection: what became of the
requests, how soon the service was back, what its processes held before and after, and what in all
of this is against the rules."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import alive, poll
from rig import Holding, Rig, family
from scenarios import Scenario
from tally import Tally

#: The service answers again so soon after a fault; `./dev load` is for a machine with time, the
#: tests are also run on others.
BACK_S = {True: 1.0, False: 10.0}
#: The part of the memory that may stay: heaps do not return to the byte. Sanitizers keep what is
#: freed.
SLACK = 1.0 if os.environ.get("CGUNICORN_TEST_ENV") else 0.25


@dataclass
class Row:
    scenario: Scenario
    worker_class: str
    mode: str
    done: str
    tally: Tally
    #: The longest that a request took.
    longest_s: float
    #: From the end of the fault to the next answer.
    back_s: float | None
    before: Holding
    after: Holding | None
    complaints: list[str]


def may_mount() -> bool:
    """Whether this process may mount: root may, but not in each container."""
    return (
        os.geteuid() == 0
        and subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode
        == 0
    )


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    disk = directory / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        # Somebody who looks around on the machine may be in there for a moment.
        umount = ["umount", str(disk)]
        poll(lambda: subprocess.run(umount, check=False).returncode == 0, "it can be unmounted")


def back_s(rig: Rig) -> float | None:
    later = [
        r.ended_s for r in rig.records.all if r.outcome == "answered" and r.ended_s > rig.marked_s
    ]
    return min(later) - rig.marked_s if rig.marked_s and later else None


def complaints(row: Row, rig: Rig, *, full: bool) -> Iterator[str]:
    yield from row.scenario.rule(rig, row.tally)
    for ident in row.tally.repeated:
        yield f"{ident} was executed more than once"
    if row.scenario.ends:
        return
    if rig.marked_s and (row.back_s is None or row.back_s > BACK_S[full]):
        yield f"answered again after {row.back_s} s"
    assert row.after
    if (row.before.processes, row.before.descriptors) != (
        row.after.processes,
        row.after.descriptors,
    ):
        yield f"held {row.before}, holds {row.after}"
    if row.after.memory_kib > row.before.memory_kib * (1 + SLACK):
        yield f"memory was {row.before.memory_kib} KiB, is {row.after.memory_kib} KiB"


def perform(scenario: Scenario, rig: Rig, worker_class: str, mode: str, *, full: bool) -> Row:
    rig.ready()
    rig.ask(*scenario.load)
    if scenario.first:
        scenario.first(rig, full=False)
    rig.quiet()
    before = rig.hold()
    rig.ask(*scenario.load)
    done = scenario.act(rig, full=full)
    rig.quiet()
    after = None if scenario.ends else rig.holding(before)
    tally = rig.tally()
    longest_s = max(r.ended_s - r.started_s for r in rig.records.all)
    back = None if scenario.ends else back_s(rig)
    row = Row(scenario, worker_class, mode, done, tally, longest_s, back, before, after, [])
    row.complaints += complaints(row, rig, full=full)
    return row


def end(rig: Rig, row: Row) -> None:
    """Ends the server as one does, and looks that nothing is left of it."""
    pids = family(rig.master)
    if not row.scenario.ends:
        rig.end_master(rig.master, signal.SIGTERM)
    left = [pid for pid in pids if alive(pid)]
    if left:
        row.complaints.append(f"survived the master: {left}")


def play(scenario: Scenario, directory: Path, worker_class: str, mode: str, *, full: bool) -> Row:
    with small_disk(directory) if scenario.disk else contextlib.nullcontext() as disk:
        rig = Rig(
            directory,
            worker_class,
            keep_alive=mode == "keep-alive",
            args=scenario.args,
            workers=scenario.workers,
            work_s=scenario.work_s,
            disk=disk,
            unix=scenario.unix,
        )
        try:
            row = perform(scenario, rig, worker_class, mode, full=full)
            end(rig, row)
        finally:
            rig.close()
    return row
