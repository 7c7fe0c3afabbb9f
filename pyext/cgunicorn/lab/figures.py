# SPDX-License-Identifier: MIT
"""What was measured, and what is computed of it. Times are seconds."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from cgunicorn.lab.grid import Cell

#: Clients that compute for more than this share of the time may be what limits the rate.
_BUSY_MOST = 0.8

#: A slow request that lasts for less than this shows nothing.
SLOW_LEAST_S = 0.05


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the values, which are in order, that `share` of them do not exceed; NaN when
    there are none."""
    if not ordered:
        return math.nan
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


@dataclass
class LoadFigures:
    """What a load of clients was given in how long. `latencies_s` is in order, and has those of
    failed requests not."""

    latencies_s: array[float] = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    elapsed_s: float = 0.0
    client_cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Responses per second."""
        return len(self.latencies_s) / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def is_client_bound(self) -> bool:
        """Whether the clients had hardly a rest, so that a server might have done more."""
        return self.client_cpu_s > _BUSY_MOST * self.elapsed_s

    @property
    def bad_n(self) -> int:
        """Requests that failed, or that were answered with an error."""
        errors_n = sum(n for status, n in self.statuses.items() if status >= 400)
        return errors_n + sum(self.failures.values())

    def latency_s(self, share: float) -> float:
        return quantile(self.latencies_s, share)


@dataclass(frozen=True)
class WaitFigures:
    """What quick requests, in order, waited while `slow_n` slow ones were in the application, of
    which the longest took `slow_s`."""

    slow_n: int
    slow_s: float
    quick_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return quantile(self.quick_s, 0.5)

    @property
    def longest_s(self) -> float:
        return self.quick_s[-1] if self.quick_s else math.nan

    @property
    def is_telling(self) -> bool:
        return self.slow_n > 0 and self.slow_s >= SLOW_LEAST_S and bool(self.quick_s)

    @property
    def was_held_up(self) -> bool:
        """Whether quick requests waited for the slow ones: the middle one, as the longest of all
        may have met with somebody else on this machine."""
        return self.is_telling and self.median_s >= self.slow_s / 2


@dataclass(frozen=True)
class Trial:
    """All of one cell: the load, behind one slow request, and behind as many as have a place."""

    cell: Cell
    load: LoadFigures
    behind_one: WaitFigures
    behind_all: WaitFigures
