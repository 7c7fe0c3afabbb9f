# SPDX-License-Identifier: MIT
"""Which requests of a run may have failed. A rule takes the rig and the tally and says what is
against it, one sentence each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from generator import Record
from rig import Rig
from tally import Tally

Rule = Callable[[Rig, Tally], Iterator[str]]


def told(record: Record) -> str:
    return f"{record.outcome}: {record}"


def none(rig: Rig, tally: Tally) -> Iterator[str]:
    """No request fails."""
    for record in tally.failed:
        yield told(record)


def only_after(rig: Rig, tally: Tally) -> Iterator[str]:
    """A request that was with the kernel when the end was ordered is answered."""
    for record in tally.failed:
        if record.sent_s and record.sent_s < rig.marked_s:
            yield f"sent {rig.marked_s - record.sent_s:.3f} s before the end, {told(record)}"


def only_during(rig: Rig, tally: Tally) -> Iterator[str]:
    """What needs the thing that has run out gets an error until it is there again. A request that
    does not need it, or was begun a second after the fault's end, is answered."""
    for record in tally.failed:
        if record.path == "/work" or record.outcome != "error":
            yield told(record)
        if record.started_s > rig.marked_s + 1:
            yield f"begun {record.started_s - rig.marked_s:.3f} s after the fault, {told(record)}"


def only_in_killed(rig: Rig, tally: Tally) -> Iterator[str]:
    """A failed request had begun in a worker that was killed, or had not begun at all and was on a
    connection which such a worker had, as far as can be told: it had answered there before, or
    was ending while the request was under way."""
    killed = {pid for _, _, pid in rig.killed}
    for record in tally.failed:
        begun = set(tally.begun.get(record.ident, []))
        ending = any(r0 <= record.ended_s and record.started_s <= r1 for r0, r1, _ in rig.killed)
        if record.outcome not in ("reset", "dropped", "cut"):
            yield told(record)
        elif not begun <= killed:
            yield f"had begun in {begun}, which was not killed, {told(record)}"
        elif not ending or (record.pid and record.pid not in killed):
            yield f"no kill explains it, {told(record)}"
