# SPDX-License-Identifier: MIT
"""Code in the master that is not the server's: hooks, a preloaded application, a configuration
file. It may reap our children, and take our signals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, alive, poll
from story import APP, hooks

Serve = Callable[..., Server]

#: Reaps all children of the master, in a thread, as fast as it can.
REAPER = """
import os, threading, time

def _reap():
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.001)

def start_reaper():
    threading.Thread(target=_reap, daemon=True).start()
"""

BLOCK = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD})"
IGNORE = (
    "[signal.signal(n, signal.SIG_IGN) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)]"
)
HANDLE = "[signal.signal(n, print) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)]"


def kill_worker(server: Server) -> int:
    """Kills the only worker, and waits for another one."""
    (worker,) = server.wait_workers(1)
    os.kill(worker, signal.SIGKILL)
    poll(lambda: server.workers() not in ([], [worker]), "another worker")
    return worker


def wait_told_gone(server: Server, pid: int) -> None:
    """Either was first: the log says what the arbiter has learned."""
    server.wait_log(rf"Worker \(pid:{pid}\) (was sent SIGKILL|is gone, and code in the master)")


def test_workers_whose_exit_status_others_take_are_replaced(serve: Serve, tmp_path: Path) -> None:
    hooks(tmp_path, REAPER + "def when_ready(server): start_reaper()\n")
    server = serve(APP)

    def lose_one() -> bool:
        wait_told_gone(server, kill_worker(server))
        assert server.get().status == 200
        return "code in the master that is not the server's has taken its exit status" in server.log

    for _ in range(3):
        lose_one()
    poll(lose_one, "the other one was first")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    assert server.get().status == 200
    assert server.stop() == 0


def test_a_new_master_whose_exit_status_others_take_is_missed(serve: Serve, tmp_path: Path) -> None:
    hooks(tmp_path, REAPER + "def when_ready(server): start_reaper()\n")
    server = serve(APP)
    for n in range(1, 4):
        server.send_signal(signal.SIGUSR2)
        line = server.wait_log(r"Starting a new master with pid: (\d+)", count=n)
        os.kill(int(line.group(1)), signal.SIGKILL)
        server.wait_log(r"The new master \(pid:\d+\) (is gone|was ended by signal 9)", count=n)
    assert server.get().status == 200


def test_a_worker_that_ends_while_a_hook_ignores_it_is_replaced(
    serve: Serve, tmp_path: Path
) -> None:
    hooks(
        tmp_path,
        """
import os, signal, time

def on_reload(server):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    (pid,) = server.WORKERS
    os.kill(pid, signal.SIGKILL)
    while os.path.exists(f"/proc/{pid}"):
        time.sleep(0.01)

""",
    )
    server = serve(APP)
    (old,) = server.wait_workers(1)
    server.send_signal(signal.SIGHUP)
    server.wait_log(rf"Worker \(pid:{old}\) is gone, and code in the master")
    poll(lambda: server.workers() not in ([], [old]), "another worker")
    assert server.get().status == 200
    kill_worker(server)
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("hook", "how"),
    [
        ("on_starting", IGNORE),
        ("when_ready", BLOCK),
        ("when_ready", IGNORE),
        ("when_ready", HANDLE),
        ("pre_fork", BLOCK),
        ("config", IGNORE),
        ("app", HANDLE),
    ],
    ids=lambda text: text.split("(")[0],
)
def test_the_master_takes_its_signals_back(
    serve: Serve, tmp_path: Path, how: str, hook: str
) -> None:
    source = "import signal\n"
    app = APP
    args = []
    if hook == "config":
        source += how
    elif hook == "app":
        app, args = f"import signal\n{how}\n{APP}", ["--preload"]
    else:
        source += f"def {hook}(server, *_): {how}\n"
    hooks(tmp_path, source)
    server = serve(app, *args)
    assert server.get().status == 200
    kill_worker(server)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    poll(lambda: len(server.workers()) == 1, "the old worker has left")
    kill_worker(server)
    assert server.get().status == 200
    assert server.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("hook", ["on_reload", "child_exit", "nworkers_changed"])
def test_a_hook_of_a_running_master_is_no_exception(
    serve: Serve, tmp_path: Path, hook: str
) -> None:
    hooks(tmp_path, f"import signal\ndef {hook}(server, *_): {IGNORE}\n")
    server = serve(APP)
    for n in range(1, 3):
        server.send_signal(signal.SIGHUP)
        server.wait_log("Reloaded: the new workers are ready", count=n)
        poll(lambda: len(server.workers()) == 1, "the old worker has left")
        kill_worker(server)
    line = server.wait_log(r"has changed what the master does on (.*): changed back")
    assert set(line.group(1).split(", ")) == {"SIGTERM", "SIGHUP", "SIGCHLD"}
    assert server.stop() == 0


def test_a_signal_handler_in_the_master_is_no_exception_either(
    serve: Serve, tmp_path: Path
) -> None:
    """It runs when the master has waited, long after the hook that has put it there."""
    hooks(
        tmp_path,
        f"""
import signal

def on_alarm(*_):
    {IGNORE}

def when_ready(server):
    signal.signal(signal.SIGALRM, on_alarm)
""",
    )
    server = serve(APP)
    assert server.get().status == 200
    server.send_signal(signal.SIGALRM)
    line = server.wait_log(r"has changed what the master does on (.*): changed back")
    assert set(line.group(1).split(", ")) == {"SIGTERM", "SIGHUP", "SIGCHLD"}
    assert server.stop() == 0


def test_a_hook_that_runs_an_event_loop_leaves_int_to_the_master(
    serve: Serve, tmp_path: Path
) -> None:
    source = "import asyncio\ndef when_ready(server): asyncio.run(asyncio.sleep(0))\n"
    hooks(tmp_path, source)
    server = serve(APP)
    assert server.get().status == 200
    assert server.stop(signal.SIGINT) == 0
    assert "Handling signal: int" in server.log


def test_handlers_of_other_signals_run_while_the_master_waits(serve: Serve, tmp_path: Path) -> None:
    hooks(
        tmp_path,
        """
import signal

def when_ready(server):
    def ring(*_):
        server.log.info("it has rung")
        raise RuntimeError("in the handler")
    signal.signal(signal.SIGALRM, ring)

def on_reload(server):
    signal.setitimer(signal.ITIMER_REAL, 0.1)
""",
    )
    server = serve(APP, "--timeout", "0")
    assert server.get().status == 200
    for n in range(1, 3):
        server.send_signal(signal.SIGHUP)
        server.wait_log("Reloaded: the new workers are ready", count=n)
        server.wait_log("it has rung", count=n)
        server.wait_log("RuntimeError: in the handler", count=n)
    assert server.get().status == 200
    assert server.stop() == 0


def test_a_handler_of_another_signal_may_end_the_server(serve: Serve, tmp_path: Path) -> None:
    source = """
import signal, sys

def when_ready(server):
    signal.signal(signal.SIGALRM, lambda *_: sys.exit())
"""
    hooks(tmp_path, source)
    server = serve(APP)
    assert server.get().status == 200
    assert server.stop(signal.SIGALRM) == 0
    assert "Shutting down: Master" in server.log


def test_a_broken_pipe_does_not_end_a_master_whose_application_wants_that(
    serve: Serve, tmp_path: Path
) -> None:
    hooks(
        tmp_path,
        "import os, signal\n"
        "def when_ready(server): signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n",
    )
    server = serve(APP)
    server.send_signal(signal.SIGPIPE)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    assert server.stop() == 0


def test_a_worker_does_not_write_to_the_wakeup_descriptor_of_the_master(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    hooks(
        tmp_path,
        """
import os, signal

def on_starting(server):
    server.wakeup, writer = os.pipe()
    os.set_blocking(server.wakeup, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)

def child_exit(server, worker):
    try:
        found = os.read(server.wakeup, 100)
    except BlockingIOError:
        found = b""
    server.log.info("in the pipe: %r", found)
""",
    )
    app = """
import time
def app(environ, start_response):
    open("entered", "w").close()
    time.sleep(60)
"""
    server = serve(app, "-k", worker_class)
    (worker,) = server.wait_workers(1)
    with server.connect() as client:
        client.send_request("GET")
        poll((tmp_path / "entered").exists, "the application runs")
        os.kill(worker, signal.SIGQUIT)
        poll(lambda: not alive(worker), "the worker has left")
        line = server.wait_log("in the pipe: (.*)")
    assert line.group(1) == "b''"


def test_a_status_that_was_taken_ends_a_reload_that_does_not_come_up(
    serve: Serve, tmp_path: Path
) -> None:
    hooks(tmp_path, REAPER + "def when_ready(server): start_reaper()\n")
    server = serve(APP)
    assert server.get().status == 200
    (tmp_path / "app.py").write_text("raise RuntimeError('broken')")
    failed = "Reload failed, the old workers go on"

    def fail() -> bool:
        n = server.log.count(failed)
        server.send_signal(signal.SIGHUP)
        server.wait_log(failed, count=n + 1)
        return "a new worker ended before it was ready" in server.log

    for _ in range(4):
        fail()
    poll(fail, "the other one was first")
    assert server.get().status == 200
    assert server.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_configuration_that_ignores_ends_of_children_may_change_the_group(
    serve: Serve, tmp_path: Path
) -> None:
    hooks(tmp_path, "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n")
    server = serve(APP, "-g", "65533")
    assert server.get().status == 200
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    assert server.stop() == 0


#: Executes the command with all signals blocked, and those ignored that may be.
DEAF = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execv(sys.executable, [sys.executable, "-m", "cgunicorn", *sys.argv[1:]])
"""

#: Answers the exit code of a child, and what the child would be deaf to.
PARENT_APP = """
import signal, subprocess, sys
CHILD = "import signal; print(sorted(signal.pthread_sigmask(0, []))); raise SystemExit(7)"
def app(environ, start_response):
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{done.returncode} {done.stdout.strip()}".encode()]
"""


@pytest.mark.parametrize("args", [(), ("-D", "-p", "x.pid", "--log-file", "server-0.log")])
def test_a_parent_that_is_deaf_to_signals_has_a_server_that_is_not(
    serve: Serve, tmp_path: Path, args: tuple[str, ...]
) -> None:
    group = ("-g", "65533") if os.geteuid() == 0 else ()
    command = [sys.executable, "-c", DEAF]
    server = serve(PARENT_APP, *args, *group, command=command)
    if args:
        assert server.wait() == 0
        server.pid = int((tmp_path / "x.pid").read_text())
    try:
        assert server.get().body == b"7 []"
        (worker,) = server.wait_workers(1)
        os.kill(worker, signal.SIGKILL)
        poll(lambda: f"Worker (pid:{worker}) was sent SIGKILL" in server.log, "its end is told")
        assert server.get().body == b"7 []"
        server.send_signal(signal.SIGHUP)
        poll(lambda: "Reloaded: the new workers are ready" in server.log, "the reload")
    finally:
        server.send_signal(signal.SIGTERM)
        poll(lambda: not alive(server.pid), "the server ends")
    assert "Shutting down: Master" in server.log
