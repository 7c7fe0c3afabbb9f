# SPDX-License-Identifier: MIT
"""What somebody may have meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cgunicorn.settings import SETTINGS

#: How alike two names must be, from 0 to 1: in a file that may have names of its own, and where
#: nothing else can stand.
_SURELY = 0.85
LIKELY = 0.75

_ADDRESS = "-b HOST:PORT"

#: What flags of other servers are here.
_ELSEWHERE = {
    "--port": _ADDRESS,
    "--host": _ADDRESS,
    "--address": _ADDRESS,
    "--listen": _ADDRESS,
    "--interface": _ADDRESS,
    "--uds": "-b unix:PATH",
    "--debug": "--log-level debug",
    "--verbose": "--log-level debug",
    "--ssl-certfile": "a proxy that ends TLS: this version does not speak it",
    "--ssl-keyfile": "a proxy that ends TLS: this version does not speak it",
    "--factory": "the application MODULE:FACTORY()",
    "--app": "the application without a flag",
    "--wsgi": "the application without a flag",
}

#: Flags by themselves, and settings by what their flag would be if it were their name.
_FLAGS = {flag: flag for row in SETTINGS.values() for flag in row.flags if flag.startswith("--")}
_NAMES = {f"--{row.name.replace('_', '-')}": row for row in SETTINGS.values()}

#: Settings by the words of their flags.
_WORDS = {
    flag[2:].replace("-", "_"): row.name
    for row in SETTINGS.values()
    for flag in row.flags
    if flag.startswith("--")
}

#: Of these, what a file may well have for itself.
_COMMON = {"env", "name", "pid"}


def for_setting(name: str, candidates: Iterable[str]) -> str:
    """The setting that a variable may be meant for; empty where there is none."""
    candidates = list(candidates)
    meant = "" if name in _COMMON else _WORDS.get(name, "")
    return meant if meant in candidates else similar(name, candidates)


def similar(name: str, candidates: Iterable[str], likeness: float = _SURELY) -> str:
    """The candidate that is most like a name; empty where none is."""
    import difflib

    return next(iter(difflib.get_close_matches(name, list(candidates), 1, likeness)), "")


def for_unknown(arguments: Sequence[str], app_spec: str | None) -> str:
    """The end of a sentence about arguments that nothing is done with; may be empty."""
    flag = next((argument for argument in arguments if argument.startswith("-")), "")
    if not flag:
        already = f"the application is {app_spec!r} already, and " if app_spec else ""
        return f"; {already}flags that switch something on take no value"
    flag = flag.partition("=")[0].replace("_", "-").lower()
    if flag in _ELSEWHERE:
        return f"; use {_ELSEWHERE[flag]}"
    names = {name: row.flags[-1] for name, row in _NAMES.items() if row.flags}
    flags = {**{known.replace("_", "-"): known for known in _FLAGS}, **names}
    meant = flags.get(similar(flag, flags, LIKELY), "")
    if not meant and flag in _NAMES:
        row = _NAMES[flag]
        return f"; {row.name} has no flag, a configuration file or {row.variable} sets it"
    return f"; did you mean {meant}?" if meant else ""


def for_dashes(arguments: Sequence[str]) -> str:
    """The same for a long flag with one dash, which is read as a short one and its value."""
    meant = (f"-{a.partition('=')[0]}" for a in arguments if a.startswith("-") and a[1:2] != "-")
    return next((f"; did you mean {flag}?" for flag in meant if flag in _FLAGS), "")
