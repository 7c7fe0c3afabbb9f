# SPDX-License-Identifier: MIT
"""The grid: which worker classes are measured with how many workers and threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cgunicorn.settings import SETTINGS

DEFAULT = "sync:1,2,4 async:1x1,1x4,2x4"

_CELLS_MAX = 24
_COUNT_MAX = 64
_PLACES_MAX = 256


@dataclass(frozen=True)
class Cell:
    """One combination. `places`: how many requests can be in the application at once."""

    worker_class: str
    workers: int
    threads: int

    @property
    def places(self) -> int:
        return self.workers * self.threads

    def __str__(self) -> str:
        return f"{self.worker_class} {self.workers}x{self.threads}"


def parse(text: str) -> tuple[Cell, ...]:
    """The cells of `CLASS:WORKERSxTHREADS,... CLASS:...`, each once; one thread where none is
    said. ValueError with a sentence."""
    cells = tuple(dict.fromkeys(cell for word in text.split() for cell in _parse_row(word)))
    if not cells:
        raise ValueError(f"the grid is empty, it must be like {DEFAULT!r}.")
    if len(cells) > _CELLS_MAX:
        raise ValueError(f"the grid has {len(cells)} cells, at most {_CELLS_MAX} are possible.")
    return cells


def _parse_row(word: str) -> Iterator[Cell]:
    worker_class, colon, sizes = word.partition(":")
    if not colon or not sizes:
        raise ValueError(f"{word!r} is no part of a grid, it must be like 'async:1x4,2x4'.")
    try:
        worker_class = SETTINGS["worker_class"].accept(worker_class)
    except ValueError as error:
        raise ValueError(f"{worker_class!r} is no worker class: {error}") from None
    for size in sizes.split(","):
        yield _parse_cell(worker_class, size)


def _parse_cell(worker_class: str, size: str) -> Cell:
    workers, x, threads = size.partition("x")
    counts = [_count(size, workers), _count(size, threads) if x else 1]
    cell = Cell(worker_class, *counts)
    if worker_class == "sync" and cell.threads > 1:
        raise ValueError(f"a sync worker has one thread, write async:{size}.")
    if cell.places > _PLACES_MAX:
        raise ValueError(
            f"{cell} serves {cell.places} requests at once, at most {_PLACES_MAX} are measured."
        )
    return cell


def _count(size: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _COUNT_MAX):
        raise ValueError(
            f"{size!r} is no size, it must be WORKERS or WORKERSxTHREADS, each from 1 to"
            f" {_COUNT_MAX}."
        )
    return int(text)
