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


def only_unheard(rig: Rig, tally: Tally) -> Iterator[str]:
    """What has reached the server is answered; what its kernel has thrown away the server does not
    know of."""
    for record in tally.failed:
        if record.outcome != "unheard" or record.ident in tally.begun:
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
    """A failed request was inside a worker that was killed: it had begun there, or it was sent on a
    connection that this worker had, before the connection's end could be seen. Of a connection that
    nobody has answered on yet it cannot be told whose it is: some kill must explain its end."""
    kills = {pid: (began_s, gone_s) for began_s, gone_s, pid in rig.killed}
    for record in tally.failed:
        begun = tally.begun.get(record.ident, [])
        victim = begun[-1] if begun else record.pid
        suspects = [kills[victim]] if victim in kills else [] if victim else [*kills.values()]
        # Before it has been reaped its sockets may be open; then their end is there to be seen.
        explains = [s for s in suspects if s[0] <= record.ended_s and record.sent_s <= s[1]]
        if record.outcome not in ("reset", "dropped", "cut"):
            yield told(record)
        elif not explains:
            yield f"no kill of {victim or 'a worker'} explains it, {told(record)}"
