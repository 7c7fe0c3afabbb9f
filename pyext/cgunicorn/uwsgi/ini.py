# SPDX-License-Identifier: MIT
"""Reads uWSGI's ini files by uWSGI's rules, down to a list of keys with values.

What keys mean is not known here, but for those that include another file. `;` and `#` begin a
comment at the beginning of a line alone; keys may be repeated, and need no value; a key may have
any name and be used in other values as %(key).
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cgunicorn.errors import ConfigError

#: The keys whose value is a file that is read in their place.
INCLUDES = ("ini", "include")

#: The keys whose value is KEY=VALUE, for use as %(KEY).
_SETTERS = ("set-placeholder", "set-ph", "set")

_DEFAULT_SECTION = "uwsgi"
_MAGIC = re.compile(r"%(.)")
_SCHEME = re.compile(r"[a-z]+://")


class Item(NamedTuple):
    """`place` is where it was given, for messages; `is_argument`: on the command line."""

    key: str
    value: str
    place: str
    is_argument: bool = False

    @property
    def origin(self) -> str:
        """Place and key. The place of an argument ends with the flag."""
        return self.place if self.is_argument else f"{self.place}, {self.key}"


class Document(NamedTuple):
    """All that was given, with placeholders filled in. `used` are the keys that others refer to."""

    items: tuple[Item, ...]
    used: frozenset[str]


def read(given: Sequence[Item], environ: Mapping[str, str]) -> Document:
    """Items given elsewhere, and those of the files that they name. ConfigError."""
    reader = _Reader(environ)
    for item in given:
        reader.add(item)
    return reader.document()


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._items: list[Item] = []
        self._open: list[
            tuple[str, str]
        ] = []  # the sections that are being read, the innermost last
        self._used: set[str] = set()

    def document(self) -> Document:
        """In the order of uWSGI: all $(VARIABLE), then all @(FILE), then all %(KEY)."""
        for symbol in "$@%":
            for i, item in enumerate(self._items):
                self._items[i] = self._fill(symbol, item)
        return Document(tuple(self._items), frozenset(self._used))

    def add(self, item: Item) -> None:
        if item.key in _SETTERS:
            name, _, value = item.value.partition("=")
            item = item._replace(key=name, value=value)
            self._used.add(name)
        if item.key not in INCLUDES:
            self._items.append(item)
            return
        for symbol in "$@%":
            item = self._fill(symbol, item)
        self._include(item)

    def _include(self, item: Item) -> None:
        path, colon, section = item.value.rpartition(":")
        path = path if colon else section
        section = section if colon and section else _DEFAULT_SECTION
        if not path and self._open:  # another section of the same file
            path = self._open[-1][0]
        if (path, section) in self._open:
            raise ConfigError(f"{item.place}: {item.value} is being read already.")
        self._open.append((path, section))
        for found in _section(path, section, item):
            self.add(found)
        self._open.pop()

    # Placeholders: one whose name is not known stays as it is.

    def _fill(self, symbol: str, item: Item) -> Item:
        if symbol not in item.value:
            return item

        def replace(match: re.Match[str]) -> str:
            found = self._look_up(symbol, match[1], item)
            return match[0] if found is None else found

        value = re.sub(re.escape(symbol) + r"\(([^)]+)\)", replace, item.value)
        return item._replace(value=value)

    def _look_up(self, symbol: str, name: str, item: Item) -> str | None:
        if symbol == "$":
            return self._environ.get(name)
        if symbol == "@":
            return _content(name, item)
        self._used.add(name)
        return next((other.value for other in self._items if other.key == name), None)


def _content(path: str, item: Item) -> str:
    if _SCHEME.match(path):
        raise ConfigError(f"{item.place}: @({path}) can't be read, only files can.")
    return _read_text(path, item.place).rstrip("\r\n")


def _read_text(path: str, place: str) -> str:
    try:
        return Path(path).read_text(errors="surrogateescape")
    except OSError as error:
        raise ConfigError(f"{place}: can't read {path!r}: {error.strerror}.") from None


def _section(path: str, wanted: str, including: Item) -> Iterator[Item]:
    """The items of one section of a file, all of its parts if it occurs more than once."""
    text = _read_text(path, including.place)
    magic = _magic(path, wanted)
    section, found = "", False
    for number, raw in enumerate(text.splitlines(), 1):
        line = _MAGIC.sub(lambda m: magic.get(m[1], m[0]), raw.strip(" \t\r\n"))
        if not line or line[0] in ";#":
            continue
        if line[0] == "[":
            section, end, _ = line[1:].partition("]")
            if not end:
                raise ConfigError(f"{path}:{number}: the name of a section ends with ']'.")
            found = found or section == wanted
        elif section == wanted:
            key, _, value = line.partition("=")
            yield Item(key.rstrip(), value.lstrip(), f"{path}:{number}")
        elif not section:
            raise ConfigError(f"{path}:{number}: a section such as [uwsgi] must come first.")
    if not found:
        raise ConfigError(f"{path} has no section [{wanted}].")


def _magic(location: str, section: str) -> dict[str, str]:
    """What stands for %d, %n and their kin. The folder ends with a slash, as in uWSGI."""
    path = str(Path(location).absolute() if Path(location).is_symlink() else _resolved(location))
    folder, _, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    of_file = {
        "o": location,
        "p": path,
        "s": name,
        "d": f"{folder}/",
        "c": folder.rpartition("/")[2],
        "n": stem if dot else name,
        "e": extension if dot else "",
        "x": f"{path}:{section}",
    }
    # In capitals they are about the first file that is not a template, which is this one.
    return {
        **{str(i): part for i, part in enumerate(folder.split("/")[1:11])},
        **of_file,
        **{letter.upper(): value for letter, value in of_file.items()},
        **_magic_of_process(),
    }


def _resolved(location: str) -> str:
    return os.path.realpath(location)


def _magic_of_process() -> dict[str, str]:
    now = time.time()
    return {
        "%": "%",
        "v": str(Path.cwd()),
        "h": socket.gethostname(),
        "k": str(os.cpu_count() or 1),
        "u": str(os.getuid()),
        "U": _user_name(),
        "g": str(os.getgid()),
        "G": _group_name(),
        "t": str(int(now)),
        "T": str(int(now * 1e6)),
        "[": "\033",
    }


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _group_name() -> str:
    import grp

    try:
        return grp.getgrgid(os.getgid()).gr_name
    except KeyError:
        return str(os.getgid())
