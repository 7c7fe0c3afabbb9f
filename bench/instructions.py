# SPDX-License-Identifier: MIT
"""Instructions that a worker spends on a request, counted by callgrind: the same in every run and
on every day, whoever else uses the machine. Not the time: an instruction may wait for memory.

The server runs twice under valgrind, with few requests and with many, each on a connection of its
own. The difference, divided by that of the requests, is what one request costs.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FEW, MANY = 50, 250
STARTING_S = 120

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
REQUEST = (
    b"GET /path?query HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: instructions\r\n"
    b"Accept: */*\r\nConnection: close\r\n\r\n"
)

#: Name -> arguments of the server, its configuration file.
SERVERS = {
    "plain": ([], ""),
    "with an access log": (["--access-logfile", "access.log"], ""),
    "with one in JSON": (["--access-logfile", "access.log", "--access-logformat", "json"], ""),
    "with an access log through Python": (
        ["--access-logfile", "access.log"],
        "import logging\nlogging.getLogger('gunicorn.access').addFilter(lambda record: True)\n",
    ),
    "with both hooks of a request": (
        [],
        "def pre_request(worker, req): pass\ndef post_request(worker, req, environ, resp): pass\n",
    ),
}

#: What is said about a run: name -> functions, with all that they call.
FUNCTIONS = {
    "begin, next and end of app_wsgi.c": [
        f"app_wsgi.c:{name}" for name in ("begin", "next", "end")
    ],
    "the access line": ["access.c:cg_access_render", "core.c:cg_core_access", "log.c:cg_log_flush"],
}
#: ... and lines of app_wsgi.c, without what they call: those that are there for hooks, and for
#: logger classes that want to know the exchange.
HOOK_LINE = re.compile(r"hooks\.(pre|post)\b|logs_exchanges|call->(request \|\||environ\))")


class Costs:
    """A file of callgrind's: instructions of lines, and of functions with what they call."""

    def __init__(self, path: Path) -> None:
        self.total = 0
        self.lines: Counter[tuple[str, int]] = Counter()
        self.functions: Counter[str] = Counter()
        self._names: dict[tuple[str, str], str] = {}
        self._read(path)

    def _name(self, kind: str, text: str) -> str:
        """A name that is written once, and afterwards by its number."""
        number, _, name = text.partition(" ")
        if name:
            self._names[kind, number] = name
        return self._names[kind, number]

    def _read(self, path: Path) -> None:
        function = file = ""
        line = 0
        is_call = False
        for text in path.read_text().splitlines():
            if found := re.match(r"(fl|fi|fe|fn|cfn|cfi|cfl)=(.*)", text):
                kind = found[1][-2:]
                name = self._name("fn" if kind == "fn" else "file", found[2])
                if found[1] in ("fl", "fi", "fe"):
                    file = name
                elif found[1] == "fn":
                    function = f"{Path(file).name}:{name}"
            elif text.startswith("calls="):
                is_call = True
            elif found := re.match(r"([+-]?\d+|\*) (\d+)$", text):
                line = self._position(line, found[1])
                self._add(function, (file, line), int(found[2]), is_call)
                is_call = False

    @staticmethod
    def _position(line: int, text: str) -> int:
        if text == "*":
            return line
        return line + int(text) if text[0] in "+-" else int(text)

    def _add(self, function: str, place: tuple[str, int], cost: int, is_call: bool) -> None:
        self.functions[function] += cost
        if not is_call:
            self.total += cost
            self.lines[place] += cost


def ask(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        s.sendall(REQUEST)
        answer = b""
        while part := s.recv(65536):
            answer += part
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"the server answers {answer!r}")


@contextmanager
def server(folder: Path, args: list[str]) -> Iterator[Path]:
    """Under callgrind, with one worker; yields its address."""
    address = folder / "socket"
    # Where callgrind writes must not be said: it looks at its arguments when it ends, and the
    # process title is there.
    command = ["valgrind", "--tool=callgrind", "--trace-children=yes", sys.executable, "-m"]
    command += ["cgunicorn", "--timeout", "0", "-b", f"unix:{address}", *args, "app:app"]
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=env)
    try:
        deadline = time.monotonic() + STARTING_S
        while "Booting worker" not in (folder / "log").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def count(args: list[str], config: str, requests_n: int) -> Costs:
    """What the worker has cost in all."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "app.py").write_text(APP)
        (folder / "gunicorn.conf.py").write_text(config)
        with server(folder, args) as address:
            for _ in range(requests_n):
                ask(address)
        booted = re.search(r"Booting worker with pid: (\d+)", (folder / "log").read_text())
        if not booted:
            raise SystemExit((folder / "log").read_text())
        return Costs(folder / f"callgrind.out.{booted[1]}")


def hook_lines(costs: Costs) -> int:
    source = (ROOT / "pyext/app_wsgi.c").read_text().splitlines()
    return sum(
        cost
        for (file, line), cost in costs.lines.items()
        if file.endswith("pyext/app_wsgi.c") and HOOK_LINE.search(source[line - 1])
    )


def figures(costs: Costs) -> dict[str, int]:
    found = {"the worker, in all": costs.total}
    for name, functions in FUNCTIONS.items():
        found[name] = sum(costs.functions[function] for function in functions)
    found["whether there are hooks"] = hook_lines(costs)
    return found


def main() -> None:
    wanted = sys.argv[1:] or list(SERVERS)
    for name in wanted:
        args, config = SERVERS[name]
        few = figures(count(args, config, FEW))
        many = figures(count(args, config, MANY))
        print(f"{name}:")
        for what in few:
            print(f"  {(many[what] - few[what]) / (MANY - FEW):>10,.1f}  {what}", flush=True)


if __name__ == "__main__":
    main()
