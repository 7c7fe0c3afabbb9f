# SPDX-License-Identifier: MIT
"""Writes docs/from-uwsgi.md: `python -m cgunicorn.uwsgi.reference`. Not imported by the server."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from cgunicorn.uwsgi.options import OPTIONS, Effect, Option

_INTRODUCTION = """\
# From uWSGI

<!-- Written by `./dev docs` from pyext/cgunicorn/uwsgi/; edit the rows and the text there. -->

cgunicorn reads uWSGI's ini files and command lines. In nginx nothing changes, `uwsgi_pass` works
([uwsgi-protocol.md](uwsgi-protocol.md)); neither does the file. What changes is the word:

| uWSGI | cgunicorn |
|---|---|
| `uwsgi --ini uwsgi.ini`, `uwsgi -i uwsgi.ini`, `uwsgi uwsgi.ini` | the same with `cgunicorn` |
| `uwsgi --ini uwsgi.ini:staging` | another section than `[uwsgi]` |
| `uwsgi -s /tmp/uwsgi.sock --module app --callable app --venv .venv` | the same |
| `uwsgi --http :5000 --wsgi-file app.py --callable app -p 4` | the same |

```sh
cgunicorn --ini uwsgi.ini --check-config
```

prints what became of each option, loads the application, and starts nothing. On HUP the file is
read again; what cannot be used is logged, and the server goes on as it was.

## What counts

Weakest first: `cgunicorn.conf.py` if `-c` names it (not looked for otherwise), variables
`UWSGI_<KEY>`, the ini files, `CGUNICORN_<NAME>`, the options of uWSGI on the command line, the
flags of cgunicorn. So `cgunicorn --ini uwsgi.ini --workers 8 --access-logfile -` works. The
variables `UWSGI_<KEY>` are only read where an ini file or an option of uWSGI is given.

A command line is read as one of uWSGI's if it has a long option that only uWSGI has, one of
`-s -i -H -C -M -L -T -l -z -d -S`, or a bare `FILE.ini`. In such a line

* `-p` is the number of processes, not the pidfile (`--pid` still is that);
* `-w` is the module, unless it is a number;
* `-R` takes a number, the requests after which a worker is replaced;
* `-i FILE` is `--ini FILE`, as in many tutorials, though for uWSGI it is another switch;
* flags that both have are cgunicorn's: `-b`, `-t`, `--reload`, `--threads`, `--chdir`, ....

In a line without such an option all flags have Gunicorn's meaning, `-p` and `-w` included.

## The grammar of the file

* One section is read, `[uwsgi]` or the one named after the colon.
* `;` and `#` begin a comment at the beginning of a line, not behind a value.
* `key = value`; a switch without a value is on; `false`, `off`, `no` and `0` are off. Where a key
  is repeated, the last one counts, or all of them for addresses, `env` and `pythonpath`.
* `ini = other.ini` and `include = other.ini` read another file in their place.
* `%d` the folder of the file, with a slash at the end; `%n` its name without extension, `%s` with
  it, `%p` its path, `%c` the name of its folder, `%e` the extension; `%0` to `%9` the parts of the
  folder; `%k` the number of cores, `%h` the host, `%u` `%U` `%g` `%G` user and group, `%v` the
  folder of the start, `%t` the time, `%x` file and section, `%%` a percent sign.
* `$(VARIABLE)` from the environment, `@(FILE)` the content of a file, `%(key)` the value of another
  key. A placeholder that is not known stays as it is.
* Unlike uWSGI, which says nothing, a key that is no option and that no `%(key)` refers to draws a
  warning with the option that may be meant. `process`, which uWSGI ignores, is taken for
  `processes`.

## The virtual environment

With `virtualenv` (`venv`, `home`, `-H`) the application runs with its packages:

* if cgunicorn is installed in it, the server runs by its Python, whatever version that is;
* else its packages are put in front of `sys.path`, if it is for the same version of Python;
* else the server does not start, and says what to install.

## What is otherwise

* A master is always there; TERM stops it, letting requests be finished (uWSGI without `die-on-term`
  reloads); HUP reloads, USR1 opens the logs anew, USR2 starts a new master. USR1 and USR2 are not
  those of uWSGI, and QUIT and INT stop at once.
* The application is loaded in each worker, not before the fork; `--preload` changes that.
* `import uwsgi` does not work: the module is part of uWSGI itself.
* Sockets that speak the uwsgi protocol believe only `uwsgi_allow_ips` over TCP (`127.0.0.1` and
  `::1`); unix sockets believe everybody who may connect.
* Requests may take any time, as in uWSGI, as long as there is no `harakiri`; other servers' default
  here would be 30 seconds.
* Without a socket the server listens at 127.0.0.1:8000, and speaks both protocols there.
"""

_LEADS = {
    Effect.SETS: "In the second column are [settings](settings.md).",
    Effect.NEEDLESS: "They are accepted, and nothing is said.",
    Effect.ABSENT: "They draw a warning, and the server starts. `*` stands for any ending.",
    Effect.REFUSED: "The server does not start: it would not do what they ask for.",
}


def pages() -> Iterator[str]:
    """The paragraphs of the file."""
    yield _INTRODUCTION
    for effect, lead in _LEADS.items():
        yield f"## {effect.value}\n\n{lead}\n"
        yield "\n".join(_table(effect)) + "\n"


def _table(effect: Effect) -> Iterator[str]:
    rows = [row for row in OPTIONS if row.effect is effect]
    if effect is Effect.SETS:
        yield "| uWSGI | Setting | Remarks |\n|---|---|---|"
        yield from (f"| {_flags(row)} | {_code(row.settings)} | {row.note} |" for row in rows)
        return
    yield "| uWSGI | Why |\n|---|---|"
    yield from (f"| {_flags(row)} | {row.note} |" for row in rows)


def _flags(row: Option) -> str:
    short = f", `{row.short}`" if row.short else ""
    return _code(row.names) + short


def _code(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    sys.stdout.write("\n".join(pages()))
