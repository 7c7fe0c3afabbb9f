# SPDX-License-Identifier: MIT
"""Who may include whom, and the few other rules of the C sources that no tool checks.

    python tests/lint/include_matrix.py [ROOT]

Prints one line `path:line: what is wrong` per breach and exits 1 when there is any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

#: Folder -> what its files may include, apart from their own folder and system headers. A name
#: that ends in .h is one header; the others are folders.
MATRIX = {
    "server/base": [],
    "server/settings": [],
    "server/net": ["server/base", "server/settings"],
    "server/http": ["server/base", "server/settings", "server/uwsgi"],
    "server/uwsgi": [
        "server/base",
        "server/http/fault.h",
        "server/http/field.h",
        "server/http/request.h",
    ],
    "server/arbiter": ["server/base", "server/settings", "server/net"],
    "workers": [
        "server/base",
        "server/settings",
        "server/net",
        "server/http",
        "server/arbiter/child.h",
        "server/arbiter/runtime.h",
        "server/arbiter/slot.h",
        "server/arbiter/stack.h",
    ],
    "pyext": [
        "server/base",
        "server/settings",
        "server/net",
        "server/http",
        "server/arbiter",
        "workers",
    ],
    "tests": ["server", "workers"],
}

#: Headers of other projects -> the only files that may include them.
FOREIGN = {
    "Python.h": r"pyext/py\.h",
    "llhttp.h": r"server/http/parser\.c",
    "uv.h": r"workers/(async|io_uv|libuv)\w*\.[ch]",
}

#: What reads the wall clock, or waits by it -> the files that may. Times in logs and dates are all
#: that it is for: it jumps.
WALL_CLOCK = {
    r"CLOCK_REALTIME|gettimeofday|\btime\(|pthread_cond_timedwait|sem_timedwait": [
        "server/base/clock.c",
    ],
    r"\bcg_clock_wall_": [
        "server/base/clock.c",
        "server/base/clock.h",
        "server/base/log.c",
        "server/http/access_value.c",
        "server/http/conn.c",
        "workers/lost.c",
    ],
}

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 80
LICENCE = "/* SPDX-License-Identifier: MIT"
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
INCLUDE = re.compile(r'#\s*include\s+(["<])([^">]+)')

Breach = tuple[int, str]


def folder_of(path: str) -> str:
    """The row of the matrix that a file belongs to."""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "server" else parts[0]


def include_breaches(root: Path, path: str, lines: list[str]) -> Iterator[Breach]:
    folder = folder_of(path)
    if folder not in MATRIX:
        yield 1, f"{folder} is not in the include matrix"
        return
    allowed = [folder, *MATRIX[folder]]
    for n, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        quote, target = found.groups()
        if quote == "<":
            if target in FOREIGN and not re.fullmatch(FOREIGN[target], path):
                yield n, f"<{target}> may be included only in {FOREIGN[target]}"
        elif not (root / target).is_file():
            yield n, f'"{target}" is not a path from the repository root'
        elif not any(target == a or target.startswith(f"{a}/") for a in allowed):
            yield n, f'{folder} may not include "{target}"'


def text_breaches(lines: list[str]) -> Iterator[Breach]:
    if not lines or lines[0] != LICENCE:
        yield 1, f"the first line is not {LICENCE!r}"
    if len(lines) > MAX_FILE_LINES:
        yield len(lines), f"longer than {MAX_FILE_LINES} lines"
    for n, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            yield n, "an unfinished place"


def clock_breaches(path: str, lines: list[str]) -> Iterator[Breach]:
    if path.startswith("tests/"):
        return
    for pattern, files in WALL_CLOCK.items():
        for n, line in enumerate(lines, 1):
            if path not in files and re.search(pattern, line):
                yield n, "the wall clock may be read only for a date, and waited by never"


def function_breaches(lines: list[str]) -> Iterator[Breach]:
    """By the layout that clang-format enforces: a definition begins in column 0, where but for it
    only labels stand, and a function ends with a lone brace there."""
    begin = 1
    for n, line in enumerate(lines, 1):
        if line == "}" and n - begin >= MAX_FUNCTION_LINES:
            yield begin, f"a function longer than {MAX_FUNCTION_LINES} lines"
        elif re.match(r"\w", line) and not re.fullmatch(r"\w+:", line):
            begin = n


def breaches(root: Path) -> Iterator[str]:
    for top in ("server", "workers", "pyext", "tests"):
        for file in sorted((root / top).rglob("*.[ch]")) + sorted((root / top).rglob("*.def")):
            path = file.relative_to(root).as_posix()
            lines = file.read_text(encoding="utf-8").splitlines()
            found = [*include_breaches(root, path, lines), *text_breaches(lines)]
            found += clock_breaches(path, lines)
            if file.suffix == ".c":
                found += function_breaches(lines)
            for n, what in sorted(found):
                yield f"{path}:{n}: {what}"


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    found = list(breaches(root))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
