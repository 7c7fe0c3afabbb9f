# SPDX-License-Identifier: MIT
"""Server hooks that write down when they are called, and the reader of what they wrote."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import poll

APP = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("expected")
    environ["app.seen"] = True
    start_response("200 OK", [("X-App", "1")])
    return [b"hello"]
"""

#: Every hook writes one line: its name, M or W, and what the test wants to see of its arguments.
RECORDER = """
import os
_master = os.getpid()

def _note(name, *details):
    where = "M" if os.getpid() == _master else "W"
    line = repr((name, where) + details) + "\\n"
    fd = os.open("hooks.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)

def on_starting(server): _note("on_starting", len(server.LISTENERS))
def nworkers_changed(server, new, old): _note("nworkers_changed", new, old)
def when_ready(server): _note("when_ready", len(server.LISTENERS))
def on_reload(server): _note("on_reload", len(server.LISTENERS))
def pre_fork(server, worker): _note("pre_fork", worker.age, worker.pid)
def post_fork(server, worker): _note("post_fork", worker.age, worker.pid == os.getpid())
def post_worker_init(worker): _note("post_worker_init", worker.age, worker.booted)
def pre_request(worker, req): _note("pre_request", worker.age, req.path)
def post_request(worker, req, environ, resp):
    _note("post_request", worker.age, getattr(resp, "status", None))
def worker_int(worker): _note("worker_int", worker.age)
def worker_abort(worker): _note("worker_abort", worker.age)
def worker_exit(server, worker): _note("worker_exit", worker.age)
def child_exit(server, worker): _note("child_exit", worker.age)
def on_exit(server): _note("on_exit", len(server.LISTENERS))
"""


class Story:
    """What the hooks of a server have noted."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "hooks.txt"

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        text = self.path.read_text() if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        return (ast.literal_eval(line) for line in whole.splitlines())

    def names(self) -> list[str]:
        return [row[0] for row in self]

    def wait(self, name: str, count: int = 1) -> None:
        poll(lambda: self.names().count(name) >= count, f"{count} times {name}: {list(self)}")

    def forget(self) -> None:
        self.path.unlink()


def hooks(directory: Path, source: str) -> None:
    (directory / "gunicorn.conf.py").write_text(source)


def recorded(directory: Path, *sources: str) -> None:
    hooks(directory, "\n".join([RECORDER, *sources]))
