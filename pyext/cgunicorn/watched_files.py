# SPDX-License-Identifier: MIT
"""Which files a reload depends on, and whether one of them has changed. Waits for nothing."""

from __future__ import annotations

import fnmatch
import glob
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

#: Time of change, size and inode: one of them differs also after a file was replaced by another
#: that is as old.
_Stamp = tuple[int, int, int]

#: The clock that files are stamped by may be a tick behind; 100 Hz is the slowest.
_MTIME_LAG_NS = 10_000_000


class WatchedFiles:
    """The files of all modules and some more, and how they were when they were last looked at.

    Made before the application is loaded: what is written while it is loaded has changed."""

    def __init__(self, extra: Iterable[str]) -> None:
        """`extra`: paths and globs, from the working folder. What matches a glob later is new."""
        self._since_ns = time.time_ns() - _MTIME_LAG_NS
        self._stamps: dict[Path, _Stamp | None] = {}  # None: not there yet
        self._folders: set[Path] = set()
        self._names: set[str] = set()
        self._modules_n = 0
        paths = [Path(path).absolute() for path in extra]
        self._patterns = [str(path) for path in paths if glob.has_magic(str(path))]
        for path in (*paths, *self._matches()):
            if str(path) not in self._patterns:
                self._note(path, _stamp(path))

    def add(self, path: str | Path) -> None:
        """One more, which need not exist."""
        path = Path(path).absolute()
        if path in self._stamps:
            return
        stamp = _stamp(path)
        is_new = stamp and self._since_ns < stamp[0] <= time.time_ns()  # a clock may be wrong
        self._note(path, None if is_new else stamp)

    def changed(self) -> Path | None:
        """One that has changed since the last call. A file that is gone has not: most are back in
        a moment."""
        self._add_modules()
        for path in self._matches():
            if path not in self._stamps:
                self._note(path, None)
        for path, before in self._stamps.items():
            stamp = _stamp(path)
            if stamp and stamp != before:
                self._stamps[path] = stamp
                return path
        return None

    def modules_grew(self) -> bool:
        """Whether something was imported since the last look."""
        return len(sys.modules) != self._modules_n

    def folders(self) -> set[str]:
        """Where something happens when one of them changes, or one more comes."""
        folders = set(self._folders)
        for pattern in self._patterns:
            within = os.path.dirname(pattern)  # noqa: PTH120 - of a pattern
            folders.update(Path(f) for f in _expand(f"{within}/") if Path(f).is_dir())
            folders.add(_fixed_part(Path(pattern)))
        return {str(_existing(folder)) for folder in folders}

    def may_be(self, name: str) -> bool:
        """Whether one of them may have this name, without its folder."""
        return name in self._names or any(
            fnmatch.fnmatch(name, Path(pattern).name) for pattern in self._patterns
        )

    def _add_modules(self) -> None:
        if not self.modules_grew():
            return
        modules = list(sys.modules.values())
        self._modules_n = len(modules)
        for module in modules:
            path = vars(module).get("__file__") if isinstance(module, ModuleType) else None
            if isinstance(path, str):
                self.add(path)

    def _note(self, path: Path, stamp: _Stamp | None) -> None:
        self._stamps[path] = stamp
        for place in (path, path.resolve(), *_links(path)):
            self._folders.add(place.parent)
            self._names.add(place.name)

    def _matches(self) -> Iterator[Path]:
        for pattern in self._patterns:
            yield from (path for path in map(Path, _expand(pattern)) if path.is_file())


def _links(path: Path) -> set[Path]:
    """The symbolic links on the way to a file, each of which may be made to lead elsewhere."""
    links: set[Path] = set()
    ways = [path]
    while ways:
        way = ways.pop()
        for place in (way, *way.parents):
            if place.is_symlink() and place not in links:
                links.add(place)
                ways.append(Path(os.path.normpath(place.parent / place.readlink())))
    return links


def _expand(pattern: str) -> list[str]:
    # Not Path.glob(), which differs in hidden files and in ** at the end.
    return glob.glob(pattern, recursive=True)  # noqa: PTH207


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _fixed_part(pattern: Path) -> Path:
    """The folder above the first part that is a pattern."""
    while glob.has_magic(str(pattern)):
        pattern = pattern.parent
    return pattern


def _existing(folder: Path) -> Path:
    """The folder, or the one in which it would appear."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder
