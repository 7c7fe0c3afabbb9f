# SPDX-License-Identifier: MIT
"""What follows from the figures, in a few sentences, and what does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cgunicorn import cpus
from cgunicorn.lab.figures import Trial
from cgunicorn.lab.table import duration, rate

#: Rates that differ by less than this share are taken for the same.
NOISE = 0.15


def sentences(trials: Sequence[Trial]) -> list[str]:
    """In the order of their weight. `trials` is not empty."""
    return [*_lesson(trials), *_limits(trials), *_warnings(trials)]


def best_fit(trials: Sequence[Trial]) -> Trial | None:
    """Of those where a quick request does not wait behind a slow one, and whose rate is about the
    best of these, the one with the fewest processes, then threads. None when there is none."""
    fit = [t for t in trials if t.behind_one.is_telling and not t.behind_one.was_held_up]
    enough = max((t.load.rate for t in fit), default=0) * (1 - NOISE)
    quick = [t for t in fit if t.load.rate >= enough]
    return min(quick, key=lambda t: (t.cell.workers, t.cell.threads, -t.load.rate), default=None)


def _lesson(trials: Sequence[Trial]) -> Iterator[str]:
    slow_s = max(t.behind_one.slow_s for t in trials)
    if not any(t.behind_one.is_telling for t in trials):
        yield (
            f"The slow request took only {duration(slow_s)}: too little to show who waits for it."
        )
        return
    held_up = [t for t in trials if t.behind_one.was_held_up]
    best = best_fit(trials)
    if held_up:
        names = _listed([str(t.cell) for t in held_up])
        wait = duration(max(t.behind_one.median_s for t in held_up))
        yield f"One request of {duration(slow_s)} makes all others wait with {names}: {wait}."
    if best:
        yield _recommendation(best)
    else:
        yield "With none of these does a quick request get past a slow one: try more places."


def _recommendation(best: Trial) -> str:
    cell, load = best.cell, best.load
    end = f", until {cell.places} slow ones run at once" if best.behind_all.was_held_up else ""
    safe = "; the application must be thread-safe" if cell.threads > 1 else ""
    return (
        f"Best fit of what was measured: {cell}, the smallest with about the highest rate"
        f" ({rate(load)} requests/s) where a quick request does not wait for a slow one{end}{safe}."
    )


def _limits(trials: Sequence[Trial]) -> Iterator[str]:
    cpus_n = cpus.usable()
    shared = f"{cpus_n} processors" if cpus_n > 1 else "one processor"
    yield (
        f"Clients and servers shared {shared} of one machine with whatever else ran there: take"
        f" rates that differ by less than {NOISE:.0%} for the same, and measure where it will run."
    )
    if any(t.load.is_client_bound for t in trials):
        yield ">= marks rates at which the clients had no rest: the server may do more."


def _warnings(trials: Sequence[Trial]) -> Iterator[str]:
    for trial in trials:
        load = trial.load
        asked_n = len(load.latencies_s) + sum(load.failures.values())
        if load.bad_n:
            yield f"Warning: {trial.cell}: {load.bad_n} of {asked_n} requests: {_bad(trial)}."
        if trial.behind_all.slow_n < trial.cell.places:
            yield (
                f"Warning: {trial.cell}: only {trial.behind_all.slow_n} of {trial.cell.places}"
                " slow requests came to run at once."
            )


def _bad(trial: Trial) -> str:
    load = trial.load
    statuses = [f"status {status}" for status in sorted(load.statuses) if status >= 400]
    return _listed([*statuses, *(why for why, _ in load.failures.most_common(3))])


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
