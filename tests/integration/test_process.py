# SPDX-License-Identifier: MIT
"""The server as a process among others: its pidfile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Server, poll, run_command

Serve = Callable[..., Server]

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.fixture
def bystander() -> Iterator[int]:
    """The pid of a process that lives and is no server."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.kill()
    process.communicate()


def refused(directory: Path, *args: str) -> str:
    """Runs a server that must not start; returns what it said, which must be no traceback."""
    (directory / "app.py").write_text(APP)
    done = run_command(directory, "-b", "127.0.0.1:0", *args, "app:app")
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert "Traceback" not in text
    return text


# The pidfile


def test_pidfile_holds_the_pid_of_the_master_while_it_runs(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP, "--pid", "x.pid")
    pidfile = tmp_path / "x.pid"
    assert pidfile.read_text() == f"{server.pid}\n"
    assert pidfile.stat().st_mode & 0o7777 == 0o644
    assert server.stop() == 0
    assert not pidfile.exists()
    assert not list(tmp_path.glob("x.pid*"))


def test_pidfile_of_a_living_process_is_respected(tmp_path: Path, bystander: int) -> None:
    pidfile = tmp_path / "x.pid"
    pidfile.write_text(f"{bystander}\n")
    text = refused(tmp_path, "-p", "x.pid")
    assert f"Already running on PID {bystander} (or pid file '{pidfile}' is stale)" in text
    assert pidfile.read_text() == f"{bystander}\n"


def test_pidfile_of_a_dead_process_is_replaced(serve: Serve, tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], stdout=subprocess.PIPE
    )
    (tmp_path / "x.pid").write_bytes(gone.stdout)
    server = serve(APP, "-p", "x.pid")
    assert (tmp_path / "x.pid").read_text() == f"{server.pid}\n"


def test_pidfile_in_a_missing_folder_is_told(tmp_path: Path) -> None:
    text = refused(tmp_path, "-p", "gone/x.pid")
    assert f"{tmp_path}/gone doesn't exist. Can't create pidfile." in text


def test_pidfile_does_not_stay_when_the_address_is_taken(serve: Serve, tmp_path: Path) -> None:
    first = serve(APP)
    args = ["-m", "cgunicorn", "-p", "x.pid", "-b", f"127.0.0.1:{first.port}", "app:app"]
    second = serve(None, command=[sys.executable, *args], bind=(), spec="", wait=False)
    second.wait_log("Connection in use")
    assert second.stop() == 0
    assert not (tmp_path / "x.pid").exists()


def test_pidfile_taken_over_by_another_is_left_alone(
    serve: Serve, tmp_path: Path, bystander: int
) -> None:
    server = serve(APP, "-p", "x.pid")
    (tmp_path / "x.pid").write_text(f"{bystander}\n")
    assert server.stop() == 0
    assert (tmp_path / "x.pid").read_text() == f"{bystander}\n"


def test_pidfile_is_not_removed_by_a_worker(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP, "-p", "x.pid")
    (old,) = server.wait_workers(1)
    os.kill(old, signal.SIGTERM)
    server.wait_log("Booting worker", count=2)
    assert (tmp_path / "x.pid").read_text() == f"{server.pid}\n"


def reloaded(server: Server) -> None:
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: ")


def test_pidfile_is_written_anew_by_a_reload(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP, "-p", "x.pid")
    (tmp_path / "x.pid").unlink()
    reloaded(server)
    poll((tmp_path / "x.pid").exists, "the pidfile is back")
    assert (tmp_path / "x.pid").read_text() == f"{server.pid}\n"


def test_pidfile_moves_when_a_reload_changes_it(serve: Serve, tmp_path: Path) -> None:
    config = tmp_path / "gunicorn.conf.py"
    config.write_text("pidfile = 'x.pid'\n")
    server = serve(APP)
    config.write_text("pidfile = 'y.pid'\n")
    reloaded(server)
    poll(lambda: not (tmp_path / "x.pid").exists(), "the old pidfile is gone")
    assert (tmp_path / "y.pid").read_text() == f"{server.pid}\n"
    assert server.stop() == 0
    assert not list(tmp_path.glob("*.pid*"))


def test_pidfile_that_a_reload_cannot_write_leaves_the_old_one(
    serve: Serve, tmp_path: Path
) -> None:
    config = tmp_path / "gunicorn.conf.py"
    config.write_text("pidfile = 'x.pid'\n")
    server = serve(APP)
    config.write_text("pidfile = 'gone/x.pid'\n")
    reloaded(server)
    server.wait_log("gone doesn't exist. Can't create pidfile.")
    assert (tmp_path / "x.pid").read_text() == f"{server.pid}\n"
    assert server.stop() == 0
    assert not (tmp_path / "x.pid").exists()
