# SPDX-License-Identifier: MIT
"""The trials as a table of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cgunicorn.lab.figures import LoadFigures, Trial, WaitFigures

_HEADINGS = (
    ("", "workers x", "", "", "", "quick behind", "quick behind all"),
    ("class", "threads", "requests/s", "p50", "p99", "1 slow: p50 (max)", "places: p50 (max)"),
)
_GAP = "  "


def text(trials: Sequence[Trial]) -> str:
    """One line for each trial below two of headings; the class is left-aligned, all else right."""
    rows = [*_HEADINGS, *(_row(trial) for trial in trials)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = tuple("-" * width for width in widths)
    rows.insert(len(_HEADINGS), rule)
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return _GAP.join(cells).rstrip()


def _row(trial: Trial) -> tuple[str, ...]:
    cell, load = trial.cell, trial.load
    size = f"{cell.workers} x {cell.threads}"
    latencies = (duration(load.latency_s(0.5)), duration(load.latency_s(0.99)))
    waits = (_wait(trial.behind_one), f"{trial.behind_all.slow_n} slow: {_wait(trial.behind_all)}")
    return (cell.worker_class, size, rate(load), *latencies, *waits)


def _wait(figures: WaitFigures) -> str:
    return f"{duration(figures.median_s)} ({duration(figures.longest_s)})"


def rate(load: LoadFigures) -> str:
    """Per second; at least so many, where the clients were what limited it."""
    sign = ">=" if load.is_client_bound else ""
    return sign + (f"{load.rate:,.0f}" if load.rate >= 100 else f"{load.rate:.1f}")


def duration(seconds: float) -> str:
    """In seconds or milliseconds, with as many digits as mean something."""
    if math.isnan(seconds):
        return "none"
    if seconds >= 0.1:
        return f"{seconds:.2f} s"
    ms = seconds * 1000
    return f"{ms:.1f} ms" if ms >= 9.95 else f"{ms:.2f} ms"
