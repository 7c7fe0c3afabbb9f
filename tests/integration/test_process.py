# SPDX-License-Identifier: MIT
"""The server as a process among others: how it is shown, its pidfile, the way into the background,
what is shared with the master."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import (
    Server,
    alive,
    children,
    descriptors,
    poll,
    refused,
    server_environment,
)
from users import as_nobody, run_as_nobody

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


# Titles


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows titles")


@pytest.fixture(params=["alone", "with setproctitle"])
def means(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """How titles are given: by what the server has itself, or by the package."""
    if request.param == "alone":
        (tmp_path / "setproctitle.py").write_text("raise ImportError\n")
    else:
        pytest.importorskip("setproctitle")


@linux
@pytest.mark.usefixtures("means")
def test_titles_tell_master_and_workers_and_the_application(serve: Serve) -> None:
    server = serve(APP)
    server.get()
    (worker,) = server.wait_workers(1)
    assert title(server.pid) == "cgunicorn: master [app:app]"
    assert title(worker) == "cgunicorn: worker [app:app]"
    for pid in (server.pid, worker):
        assert Path(f"/proc/{pid}/comm").read_text() == "cgunicorn\n"


@linux
@pytest.mark.usefixtures("means")
def test_titles_have_the_name_that_was_given_and_a_reload_changes_it(serve: Serve) -> None:
    config = Path(serve(APP, "--name", "shop").directory, "gunicorn.conf.py")
    config.write_text("proc_name = 'first'\n")
    server = serve(APP)
    poll(lambda: title(server.pid) == "cgunicorn: master [first]", "its title")
    config.write_text("proc_name = 'second'\n")
    reloaded(server)
    server.get()
    poll(lambda: title(server.pid) == "cgunicorn: master [second]", "the master's title")
    assert [title(p) for p in server.wait_workers(1)] == ["cgunicorn: worker [second]"]


@linux
@pytest.mark.usefixtures("means")
def test_titles_leave_the_environment_alone(serve: Serve) -> None:
    source = """
import ctypes, os
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
def app(environ, start_response):
    start_response("200 OK", [])
    return [getenv(b"CGTEST_LAST") + os.environ["CGTEST_LAST"].encode()]
"""
    server = serve(source, "-n", "n" * 300, env={"CGTEST_LAST": "kept"})
    assert server.get().body == b"keptkept"
    assert title(server.pid) == "cgunicorn: master [" + "n" * 300 + "]"


@linux
@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["forked", "preloaded"])
def test_an_application_may_give_titles_too(serve: Serve, preload: tuple[str, ...]) -> None:
    pytest.importorskip("setproctitle")
    source = """
import ctypes, os, subprocess, sys
import setproctitle
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
def app(environ, start_response):
    start_response("200 OK", [])
    setproctitle.setproctitle("serves " + environ["PATH_INFO"])
    seen = subprocess.check_output([sys.executable, "-c", "import os; print(dict(os.environ))"])
    same = eval(seen) == dict(os.environ)
    return [b"%s %s %d" % (getenv(b"CGTEST_LAST"), os.environ["CGTEST_LAST"].encode(), same)]
"""
    server = serve(source, *preload, env={"CGTEST_LAST": "kept", "LC_ALL": "C.UTF-8"})
    assert server.get("/first").body == b"kept kept 1"
    (worker,) = server.wait_workers(1)
    assert title(worker) == "serves /first"
    assert title(server.pid) == "cgunicorn: master [app:app]"
    reloaded(server)
    poll(lambda: worker not in server.workers(), "the old worker leaves")
    assert server.get("/second").body == b"kept kept 1"
    assert [title(p) for p in server.wait_workers(1)] == ["serves /second"]


# Preloading


def test_preloaded_application_is_frozen_before_the_fork(serve: Serve) -> None:
    source = """
import gc
class Thing: pass
things = [Thing() for _ in range(1000)]
def app(environ, start_response):
    frozen = not any(o is things[0].__dict__ or o is things[0] for o in gc.get_objects())
    start_response("200 OK", [])
    return [b"%d %d" % (frozen, gc.get_freeze_count() > 1000)]
"""
    assert serve(source, "--preload").get().body == b"1 1"


def test_threads_of_a_preloaded_application_are_told_once(serve: Serve) -> None:
    source = (
        "import threading\n"
        "stop = threading.Event()\n"
        "threading.Thread(target=stop.wait, daemon=True).start()\n" + APP
    )
    server = serve(source, "--preload", "-w", "2")
    server.wait_workers(2)
    assert server.get().status == 200
    assert server.log.count("The preloaded application has threads in the master (1)") == 1
    quiet = serve(APP, "--preload")
    assert "has threads" not in quiet.log


# The background


class Background:
    """What `cgunicorn --daemon` has left running; ended by its pid, which the pidfile holds."""

    def __init__(self, directory: Path, *args: str, app: str = APP) -> None:
        if not (directory / "app.py").exists():  # the first one may be about to load it
            (directory / "app.py").write_text(app)
        self.directory = directory
        self.pidfile = directory / "x.pid"
        with (directory / "terminal").open("wb") as terminal:
            done = subprocess.run(
                [sys.executable, "-m", "cgunicorn", "-D", "-p", "x.pid", *args, "app:app"],
                cwd=directory,
                env=server_environment(),
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=subprocess.STDOUT,
                timeout=60,
            )
        self.exit_code = done.returncode
        self.terminal = (directory / "terminal").read_text()

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def stop(self) -> None:
        if self.pidfile.exists():
            pid = self.pid
            os.kill(pid, signal.SIGTERM)
            poll(lambda: not alive(pid), "the daemon ends")


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Callable[..., Background]]:
    started: list[Background] = []

    def start(*args: str, app: str = APP) -> Background:
        started.append(Background(tmp_path, *args, app=app))
        return started[-1]

    yield start
    for daemon in started:
        daemon.stop()


def streams(pid: int) -> list[str]:
    return [str(Path(f"/proc/{pid}/fd/{n}").readlink()) for n in (0, 1, 2)]


def test_daemon_serves_when_its_command_returns(
    background: Callable[..., Background], tmp_path: Path
) -> None:
    daemon = background("-b", "unix:x.sock", "--error-logfile", "e.log")
    assert daemon.exit_code == 0
    assert daemon.terminal == ""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(tmp_path / "x.sock"))
    stat = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    parent, session = int(stat[1]), int(stat[3])
    assert session not in (daemon.pid, os.getsid(0))
    assert parent != os.getpid()
    assert streams(daemon.pid) == ["/dev/null"] * 3
    workers = poll(lambda: children(daemon.pid), "a worker")
    assert streams(workers[0]) == ["/dev/null"] * 3  # type: ignore[index]
    assert f"({daemon.pid})" in (tmp_path / "e.log").read_text()
    daemon.stop()
    assert not daemon.pidfile.exists()
    assert not (tmp_path / "x.sock").exists()


def test_daemon_lets_go_of_a_log_that_was_the_terminal(
    background: Callable[..., Background], tmp_path: Path
) -> None:
    daemon = background("-b", "unix:x.sock")
    assert str(tmp_path / "terminal") not in descriptors(daemon.pid).values()
    assert "Listening at" in daemon.terminal


def test_daemon_keeps_redirected_streams_when_it_is_told_to(
    background: Callable[..., Background], tmp_path: Path
) -> None:
    daemon = background("-b", "unix:x.sock", "-R")
    assert streams(daemon.pid) == ["/dev/null", *[str(tmp_path / "terminal")] * 2]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["-b", "192.0.2.1:0"], "this machine has no such address"),
        (
            ["-b", "192.0.2.1:0", "--log-file", "e.log"],
            "The server did not start, 'e.log' says why.",
        ),
        (["-u", "no-such-one"], "No such user: 'no-such-one'"),
        (["-p", "gone/x.pid"], "gone doesn't exist. Can't create pidfile."),
        (["--log-file", "gone/e.log"], "Can't open the log 'gone/e.log': No such file"),
        (["--preload", "--env", "BROKEN=1"], "ZeroDivisionError"),
    ],
)
def test_daemon_that_cannot_start_says_so_on_the_terminal(
    background: Callable[..., Background], args: list[str], sentence: str
) -> None:
    app = "import os\nif 'BROKEN' in os.environ: 1 / 0\n" + APP
    daemon = background("-b", "unix:x.sock", *args, app=app)
    assert daemon.exit_code == 1
    assert sentence in daemon.terminal
    assert not daemon.pidfile.exists()
    assert not (daemon.directory / "x.sock").exists()


def test_daemon_refuses_to_be_started_twice(background: Callable[..., Background]) -> None:
    first = background("-b", "unix:x.sock")
    pid = first.pid
    second = background("-b", "unix:y.sock")
    assert second.exit_code == 1
    assert f"Already running on PID {pid} (or pid file" in second.terminal
    assert first.pid == pid


# Files


@as_nobody
def test_log_in_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    done = run_as_nobody("--log-file", "/proc/1/x.log", "app:app")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Can't open the log '/proc/1/x.log': ")
    assert done.stderr.count("\n") == 1
