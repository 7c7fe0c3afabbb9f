# SPDX-License-Identifier: MIT
"""Two servers, one scenario: what both are asked to do, and how their answers are made comparable.

A scenario is a function that is given a subject and returns what it found, by name: lines of text.
It runs once with Gunicorn and once with cgunicorn. Where the findings differ, docs/differences.md
must have a row with the lines that only the one and only the other has, and a reason.
"""

from __future__ import annotations

import difflib
import functools
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import PATIENCE, Server, catches, poll, server_environment

DIFFERENCES = Path(__file__).resolve().parents[2] / "docs/differences.md"
#: Stands for any text in a cell of the table.
ANYTHING = "…"
APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2"), ("Content-Type", "text/plain")])
    return [b"hi"]
"""

Findings = Mapping[str, Sequence[str]]


@dataclass
class Subject:
    """One of the two servers in a folder of its own, where app.py is."""

    name: str
    folder: Path
    has_control_socket: bool = False
    servers: list[Server] = field(default_factory=list)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", self.name]

    def environment(self, **more: str) -> dict[str, str]:
        """HOME is the folder, for what is written there. Gunicorn's control socket is off, which is
        told of in every log."""
        env = {"HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", **more}
        if self.name == "gunicorn" and not self.has_control_socket:
            env["GUNICORN_CMD_ARGS"] = f"--no-control-socket {env.get('GUNICORN_CMD_ARGS', '')}"
        return env

    def run(self, *args: str, **env: str) -> list[str]:
        """Runs the command to its end; what it printed, and its exit code in the last line."""
        return self.run_to_end(*self.command, *args, **env)

    def run_to_end(self, *command: str, **env: str) -> list[str]:
        """The same with another command."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**server_environment(), **self.environment(**env)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * PATIENCE,
        )
        return [*self.plain(done.stdout), f"exit {done.returncode}"]

    def serve(
        self,
        app: str = APP,
        *args: str,
        bind: str | Sequence[str] = "127.0.0.1:0",
        spec: str = "app:app",
        wait: bool = True,
        **env: str,
    ) -> Server:
        """Starts a server that ends with the scenario."""
        (self.folder / "app.py").write_text(app)
        server = Server(
            self.folder,
            None,
            args,
            bind=bind,
            spec=spec,
            command=self.command,
            env=self.environment(**env),
            wait=False,
        )
        self.servers.append(server)
        if wait:
            server.wait_listening()
        return server

    def wait_hearing(self, server: Server, n: int = 1) -> None:
        """Waits until n workers have their own signal handlers, of which ABRT's is the last. Before
        that Gunicorn's are deaf to a stop, which then lasts for graceful_timeout."""
        poll(
            lambda: sum(catches(pid, signal.SIGABRT) for pid in server.workers()) == n,
            f"{n} workers that hear",
        )

    def run_program(self) -> Server:
        """Runs program.py, which is to be a server, as serve() does."""
        server = Server(
            self.folder,
            None,
            bind=(),
            spec="",
            command=[sys.executable, "program.py"],
            env=self.environment(),
            wait=False,
        )
        self.servers.append(server)
        server.wait_listening()
        return server

    def close(self) -> None:
        for server in self.servers:
            server.close()

    def plain(self, text: str) -> list[str]:
        """The lines of a text without what differs between any two runs, or by the name alone.
        Of a traceback, and of a chain of them, the last line is kept."""
        text = text.replace(str(self.folder), "FOLDER")
        text = re.sub(r"(?m)^(?:\s*|[ \t]+.*|\[?Traceback .*)\n", "", text)
        text = re.sub(r"(?m)^.*\nDuring handling of the above .*\n", "", text)
        text = re.sub(r" at 0x[0-9a-f]+", "", text)
        text = re.sub(r"cgunicorn(?!\.\w)", "gunicorn", text)
        text = re.sub(r"(gunicorn[ /]|\(version )\d[\w.]*", r"\1VERSION", text)
        text = re.sub(r"(127\.0\.0\.1(?::|', ))\d+", r"\1PORT", text)
        return [line for line in text.splitlines() if line.strip()]


Scenario = Callable[[Subject], Findings]


Lines = tuple[str, ...]


@dataclass
class Difference:
    """The lines that only one of the two has."""

    gunicorn: list[str]
    ours: list[str]

    def __bool__(self) -> bool:
        return bool(self.gunicorn or self.ours)

    def row(self, name: str) -> str:
        """The row of the table that tells this, but for the reason."""
        return f"| `{_escaped(name)}` | {_cell(self.gunicorn)} | {_cell(self.ours)} | |"


@dataclass(frozen=True)
class Row:
    """A difference that the document tells: of which findings, by patterns, and the lines."""

    names: Lines
    gunicorn: Lines
    ours: Lines

    def only(self, scenario: str) -> Row:
        """What of this row is about one scenario."""
        names = tuple(n for n in self.names if n.startswith(f"{scenario}/"))
        return Row(names, self.gunicorn, self.ours)

    def explain(self, found: Difference) -> bool:
        """Takes the lines of this row out of a difference, if all of them are there."""
        gunicorn = _without(found.gunicorn, self.gunicorn)
        ours = _without(found.ours, self.ours)
        if gunicorn is None or ours is None:
            return False
        found.gunicorn, found.ours = gunicorn, ours
        return True


def compare(gunicorn: Findings, ours: Findings) -> dict[str, Difference]:
    """The findings that differ, in both directions."""
    names = [*gunicorn, *(n for n in ours if n not in gunicorn)]
    found = {name: _difference(gunicorn.get(name, ()), ours.get(name, ())) for name in names}
    return {name: difference for name, difference in found.items() if difference}


def _difference(gunicorn: Sequence[str], ours: Sequence[str]) -> Difference:
    found = Difference([], [])
    matcher = difflib.SequenceMatcher(None, gunicorn, ours, autojunk=False)
    for tag, g_begin, g_end, c_begin, c_end in matcher.get_opcodes():
        if tag != "equal":
            found.gunicorn += gunicorn[g_begin:g_end]
            found.ours += ours[c_begin:c_end]
    return found


def explain(found: Mapping[str, Difference], rows: Sequence[Row]) -> set[str]:
    """Takes out of the differences what the rows tell; returns the names of rows that told
    nothing."""
    idle = {name for row in rows for name in row.names}
    for name, difference in found.items():
        for row in rows:
            hits = [n for n in row.names if _is_like(n, name)]
            if hits and row.explain(difference):
                idle -= set(hits)
    return idle


@functools.cache
def rows() -> list[Row]:
    """Reads the tables of the document whose first column is called Scenario."""
    found = []
    inside = False
    for line in DIFFERENCES.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 4:
            inside = False
        elif cells[0] == "Scenario":
            inside = True
        elif inside and not set(cells[0]) <= set("-:"):
            assert cells[3], f"{cells[0]} has no reason"
            found.append(Row(_lines(cells[0]), _lines(cells[1]), _lines(cells[2])))
    return found


def _cell(lines: Sequence[str]) -> str:
    return "<br>".join(f"`{_escaped(line)}`" for line in lines) or "-"


def _escaped(line: str) -> str:
    """A line as it stands between backticks in a cell."""
    return line.replace("`", "'").replace("|", "\\|")


def _lines(cell: str) -> Lines:
    return tuple(re.findall(r"`([^`]+)`", cell))


def _is_like(cell: str, line: str) -> bool:
    pattern = re.escape(cell).replace(re.escape(ANYTHING), ".*")
    return re.fullmatch(pattern, _escaped(line)) is not None


def _without(lines: Sequence[str], cells: Sequence[str]) -> list[str] | None:
    """The lines but for one for each cell; None if a cell has none."""
    left = list(lines)
    for cell in cells:
        hit = next((line for line in left if _is_like(cell, line)), None)
        if hit is None:
            return None
        left.remove(hit)
    return left


def write_files(folder: Path, **texts: str) -> None:
    """Writes NAME.py for each name."""
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
