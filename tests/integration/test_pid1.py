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


def why_not() -> str:
    """What is in the way of a process namespace; empty when nothing is."""
    if not shutil.which("unshare"):
        return "needs unshare, of util-linux"
    done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return f"no process namespace can be made here: {done.stderr}" if done.returncode else ""


WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

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

        def look() -> list[int]:
            # One that can't load its application may have ended already.
            has_ended = server.process.poll() is not None
            return [server.pid] if has_ended else children(server.process.pid)

        server.pid = int(poll(look, "the server starts")[0])  # type: ignore[index]
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
    # In short sleeps: an interrupt that comes just before one is seen by Python after it.
    app = "import pathlib, time\npathlib.Path('loading').touch()\n"
    app += "for _ in range(600):\n    time.sleep(0.1)\n"
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


def test_every_signal_means_what_it_means_elsewhere(serve_as_pid1: Callable[..., Server]) -> None:
    server = serve_as_pid1(ORPHAN_APP, "--error-logfile", "e.log", wait=False)
    log = server.directory / "e.log"

    def wait_log(text: str) -> None:
        poll(lambda: log.exists() and text in log.read_text(), f"{text!r} in the log")

    def has_workers(n: int) -> bool:
        return len(children(server.pid)) == n

    server.wait_listening_in(log)
    poll(lambda: has_workers(1), "a worker")
    assert server.get().body.startswith(b"1 ")
    server.send_signal(signal.SIGHUP)
    wait_log("Reloaded: ")
    poll(lambda: has_workers(1), "the old worker has left")
    server.send_signal(signal.SIGTTIN)
    poll(lambda: has_workers(2), "one worker more")
    server.send_signal(signal.SIGTTOU)
    poll(lambda: has_workers(1), "one worker less")
    log.rename(server.directory / "old.log")
    server.send_signal(signal.SIGUSR1)
    poll(log.exists, "a new log")
    server.send_signal(signal.SIGUSR2)
    wait_log("Upgraded: the new workers are ready")
    server.send_signal(signal.SIGWINCH)
    poll(lambda: has_workers(1), "only the new master is left")
    assert not server.get().body.startswith(b"1 ")
    (new,) = children(server.pid)
    os.kill(new, signal.SIGTERM)
    wait_log("exited with code 0, this one goes on")
    poll(lambda: has_workers(1) and all(map(alive, children(server.pid))), "a worker again")
    assert server.get().body.startswith(b"1 ")
    assert server.stop() == 0
