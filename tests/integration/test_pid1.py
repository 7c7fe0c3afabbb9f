# SPDX-License-Identifier: MIT
"""The server as process 1 of a container: signals whose default action the kernel does not apply
there, processes that nobody else reaps, the exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, alive, children, poll

UNSHARE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


def can_unshare() -> bool:
    command = [*UNSHARE, "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_unshare(), reason="no process namespace can be made here")

#: Leaves a grandchild behind whose parent has ended.
ORPHAN_APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/orphan":
        pid = os.fork()
        if pid == 0:
            os.fork()
            os._exit(0)
        os.waitpid(pid, 0)
    return [b"%d %d" % (os.getppid(), os.getpid())]
"""


@pytest.fixture
def serve_as_pid1(serve: Callable[..., Server]) -> Callable[..., Server]:
    """Starts the server under `unshare`, and has `pid` be its own, as it is called out here."""

    def start(app: str, *args: str, **options: object) -> Server:
        command = [*UNSHARE, sys.executable, "-m", "cgunicorn"]
        server = serve(app, *args, command=command, **options)
        server.pid = int(poll(lambda: children(server.process.pid), "the server starts")[0])
        return server

    return start


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_stop_it_with_exit_code_0(
    serve_as_pid1: Callable[..., Server], signum: int
) -> None:
    server = serve_as_pid1(ORPHAN_APP)
    assert server.get().body.startswith(b"1 ")
    assert server.stop(signum) == 0
    assert "Shutting down: Master" in server.log


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT])
def test_signals_stop_it_while_the_application_is_loaded(
    serve_as_pid1: Callable[..., Server], signum: int, tmp_path: Path
) -> None:
    app = "import pathlib, time\npathlib.Path('loading').touch()\ntime.sleep(60)\n"
    server = serve_as_pid1(app, "--preload", wait=False)
    poll((tmp_path / "loading").exists, "the application is loaded")
    assert server.stop(signum) == 128 + signum


def test_strangers_are_reaped(serve_as_pid1: Callable[..., Server]) -> None:
    server = serve_as_pid1(ORPHAN_APP, "--log-level", "debug")
    server.get("/orphan")
    server.wait_log(r"Reaped unknown child process \(pid:\d+, status:\d+\)")
    poll(lambda: all(alive(p) for p in children(server.pid)), "no zombie is left")


def test_a_dead_worker_is_replaced(serve_as_pid1: Callable[..., Server]) -> None:
    server = serve_as_pid1(ORPHAN_APP)
    server.get()
    os.kill(children(server.pid)[0], signal.SIGKILL)
    server.wait_log("Booting worker", count=2)
    assert server.get().status == 200


def test_the_exit_code_says_why_it_could_not_start(serve_as_pid1: Callable[..., Server]) -> None:
    server = serve_as_pid1("raise RuntimeError('broken')")
    assert server.wait() == 3
