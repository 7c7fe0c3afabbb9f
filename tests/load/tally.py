# SPDX-License-Identifier: MIT
"""What became of the requests of one run: the generator's records held against the journal of the
application."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from generator import Record


class Records:
    """The generator's file, read as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self.all: list[Record] = []

    def read(self) -> list[Record]:
        if self.path.exists():
            with self.path.open("rb") as f:
                f.seek(self._offset)
                lines, newline, _ = f.read().rpartition(b"\n")
            self._offset += len(lines) + len(newline)
            self.all += [Record(**json.loads(line)) for line in lines.splitlines()]
        return self.all


@dataclass
class Tally:
    sent: int = 0
    answered: int = 0
    failed: list[Record] = field(default_factory=list)
    crossed: int = 0
    #: Failed, although the application had done all of it.
    done_unanswered: int = 0
    #: Begun more than once.
    repeated: list[str] = field(default_factory=list)
    #: For each request the workers in which it began.
    begun: dict[str, list[int]] = field(default_factory=dict)

    def ways(self) -> Counter[str]:
        return Counter(r.outcome for r in self.failed)


def count(records: Iterable[Record], journal: Path) -> Tally:
    tally = Tally()
    ended = set()
    for line in journal.read_text().splitlines() if journal.exists() else []:
        mark, ident, pid = line.split()
        if mark == "begun":
            tally.begun.setdefault(ident, []).append(int(pid))
        else:
            ended.add(ident)
    for record in records:
        tally.sent += 1
        tally.crossed += record.crossed
        begun = tally.begun.get(record.ident, [])
        if record.crossed and len(begun) > 1:
            # The request was there before the close, and only the client's second look came after
            # it: what looked crossed was executed, and is a failure.
            tally.crossed -= 1
            tally.begun[record.ident] = begun[:-1]
            record = replace(record, outcome="dropped", pid=0)
        if record.outcome == "answered":
            tally.answered += 1
        else:
            tally.failed.append(record)
            tally.done_unanswered += record.ident in ended
    tally.repeated = [ident for ident, pids in tally.begun.items() if len(pids) > 1]
    return tally
