# SPDX-License-Identifier: MIT
"""uWSGI's command lines, read by the parser of our own: which lines are uWSGI's, and its flags."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from cgunicorn.settings import SETTINGS
from cgunicorn.settings.kinds import BOOL
from cgunicorn.uwsgi.ini import INCLUDES, Item
from cgunicorn.uwsgi.options import BY_NAME, Arity, Option

#: Where the parser leaves the options, in the order in which they were given.
DEST = "uwsgi"

#: Flags of ours that mean something else in uWSGI's command lines.
TAKEN_OVER = ("-p", "-w", "-R")

#: uWSGI's switch of the same name needs nothing; tutorials take it for --ini.
_INI_FLAG = "-i"

_OUR_FLAGS = {flag: row for row in SETTINGS.values() for flag in row.flags}


def _own_flags() -> dict[str, Option | None]:
    """The flags that only uWSGI has; None for those that name a file to read."""
    flags: dict[str, Option | None] = {f"--{name}": None for name in INCLUDES}
    flags[_INI_FLAG] = None
    for name, row in BY_NAME.items():
        flags[f"--{name}"] = row
        if row.short:
            flags[row.short] = row
    ours = [flag for flag in _OUR_FLAGS if flag not in TAKEN_OVER]
    return {flag: row for flag, row in flags.items() if flag not in ours}


_FLAGS = _own_flags()


def is_uwsgi(arguments: Sequence[str]) -> bool:
    """Whether the line is plainly one of uWSGI's: it has a flag that only uWSGI has, or a bare ini
    file. The value of a flag never begins with a dash."""
    before = ""
    for argument in arguments:
        flag = argument.partition("=")[0]
        if flag in _FLAGS and flag not in TAKEN_OVER:
            return True
        row = _OUR_FLAGS.get(before)
        is_value = row and row.kind is not BOOL
        if _is_ini(argument) and not argument.startswith("-") and not is_value:
            return True
        before = argument
    return False


def prepare(arguments: Sequence[str]) -> list[str]:
    """An optional value stands behind `=`, here as in uWSGI: what follows is none."""
    optional = {f for f, row in _FLAGS.items() if row and row.arity is Arity.OPTIONAL}
    names = {f: f"--{row.names[0]}" for f, row in _FLAGS.items() if row and f in optional}
    return [f"{names[a]}=" if a in optional else a for a in arguments]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Those of uWSGI that the parser does not have."""
    for flag, row in _FLAGS.items():
        is_switch = row is not None and row.arity is Arity.FLAG
        parser.add_argument(
            flag,
            dest=DEST,
            action=_Append,
            nargs=0 if is_switch else None,
            key=row.names[0] if row else INCLUDES[0],
            help=argparse.SUPPRESS,
        )


class _Append(argparse.Action):
    def __init__(self, *args: object, key: str, **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type]
        self._key = key

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        value: object,
        flag: str | None = None,
    ) -> None:
        text = str(value) if isinstance(value, str) else ""
        key = "processes" if flag == "-w" and text.isdigit() else self._key
        item = Item(key, text, f"the command line, {flag}", is_argument=True)
        setattr(namespace, DEST, (*getattr(namespace, DEST, ()), item))


def split_words(words: Sequence[str]) -> tuple[list[str], list[Item]]:
    """Words that are no flag: the applications, and the options that the others stand for."""
    items = list(_items(words))
    return [w for w in words if w not in [item.value for item in items]], items


def _items(words: Sequence[str]) -> Iterator[Item]:
    for word in words:
        if _is_ini(word):
            yield Item(INCLUDES[0], word, "the command line", is_argument=True)
        elif word.endswith((".py", ".wsgi")):
            yield Item("wsgi-file", word, f"the command line, {word}", is_argument=True)


def _is_ini(word: str) -> bool:
    return word.partition(":")[0].endswith(".ini")
