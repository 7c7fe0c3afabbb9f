# SPDX-License-Identifier: MIT
"""Writes docs/settings.md from the table: `python -m cgunicorn.settings.reference`. Not imported by
the server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from cgunicorn.settings import SECTIONS, SETTINGS, Setting
from cgunicorn.settings.kinds import BOOL, CALLABLE
from cgunicorn.settings.row import ABSENT

_INTRODUCTION = """\
# Settings

<!-- Written by `./dev docs` from pyext/cgunicorn/settings/; edit the rows there. -->

A setting can be given in five places. The later ones in this list are the stronger ones:

1. Some of Gunicorn's environment variables set a default: `PORT`, `WEB_CONCURRENCY`,
   `FORWARDED_ALLOW_IPS`, `SENDFILE`.
2. The configuration file: what `--config` names, else `cgunicorn.conf.py`, else `gunicorn.conf.py`
   of the folder the server was started in. It is Python; each global variable with the name of a
   setting sets it, all others are its own. One file is read, not several.
3. The environment variable of the setting, `CGUNICORN_` and its name in capitals:
   `CGUNICORN_WORKERS=4`. It beats the file, as it belongs to one place where the server runs and
   the file to all of them.
4. `CGUNICORN_CMD_ARGS`, or else `GUNICORN_CMD_ARGS`: arguments of the command line.
5. The command line.

`cgunicorn --print-config APP` shows the result, `cgunicorn --check-config APP` tells whether it can
be used. A value that cannot be used is told with where it was given, down to the line of the
configuration file, and with what is valid; the server then does not start, or a reload leaves it
as it was. Values that a stronger place overrides are checked as well.

A name in the configuration file, or a variable that begins with `CGUNICORN_`, that is no setting
but looks much like one draws a warning that says which one may be meant.

In an environment variable, and there alone:

* an empty value is as good as none;
* a list is written as items separated by blanks, quoted as in a shell:
  `CGUNICORN_BIND="127.0.0.1:8000 unix:/run/app.sock"`;
* True is `true`, `1`, `yes` or `on`, False is `false`, `0`, `no` or `off`;
* a dict is a JSON object: `CGUNICORN_SECURE_SCHEME_HEADERS='{"X-Forwarded-Proto": "https"}'`;
* a function or a class is given by its dotted path: `CGUNICORN_POST_FORK=package.module.function`.

Names, flags and defaults are Gunicorn's, where Gunicorn has the setting; where something else
differs, the setting says so. What hooks are called with is in [hooks.md](hooks.md), formats of logs
are in [logging.md](logging.md), and options of uWSGI in [from-uwsgi.md](from-uwsgi.md).
"""

_ABSENT = """\
Settings of Gunicorn for what is no part of this server. They are accepted, so that command lines
and configuration files go on working; to give one another value than its default draws a warning.
"""


def pages() -> Iterator[str]:
    """The paragraphs of the file."""
    yield _INTRODUCTION
    for section in SECTIONS:
        yield f"## {section}\n"
        rows = [row for row in SETTINGS.values() if row.section == section]
        if section == ABSENT:
            yield _ABSENT
            yield "\n".join(_absent_table(rows))
        else:
            yield from map(_entry, rows)


def _absent_table(rows: list[Setting]) -> Iterator[str]:
    yield "| Setting | Flag | Instead |\n|---|---|---|"
    for row in rows:
        yield f"| `{row.name}` | {_code(row.flags)} | {row.instead} |"
    yield ""


def _entry(row: Setting) -> str:
    text = [f"### `{row.name}`\n", f"{row.help}.\n", "\n".join(_facts(row)) + "\n"]
    if row.description:
        text.append(f"{row.description}\n")
    if row.instead:
        text.append(f"It has no effect here: {row.instead}.\n")
    if row.unlike:
        text.append(f"*In Gunicorn:* {row.unlike}\n")
    return "\n".join(text)


def _facts(row: Setting) -> Iterator[str]:
    if row.kind is CALLABLE:
        yield f"* Called with: `{row.meta}`"
    if row.flags:
        yield f"* Flags: {_code(row.flags)}"
    default = f"; the default: `{row.env}`" if row.env else ""
    yield f"* Environment: `{row.variable}`{default}"
    yield f"* Default: {_default(row)}"
    yield f"* Valid: {row.valid}"


def _default(row: Setting) -> str:
    if row.default_text:
        return row.default_text
    if row.default is None:
        return "not set"
    value = row.default
    if isinstance(value, Mapping):
        value = dict(value)
    elif isinstance(value, tuple):
        value = list(value)
    elif row.kind is not BOOL and isinstance(value, int):
        return f"`{value}` {row.unit}".rstrip()
    return f"`{value!r}`"


def _code(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    sys.stdout.write("\n".join(pages()))
