# SPDX-License-Identifier: MIT
"""How workers end, what the log says about it, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import SHORT_TIMEOUT, Client, Server, alive, poll, run_command
from story import hooks

Serve = Callable[..., Server]

#: The path says how to come to grief; else the pid.
APP = """
import ctypes, os, pathlib, signal, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path != "/":
        pathlib.Path("entered").touch()
    if path == "/sleep":
        time.sleep(600)
    elif path == "/crash":
        ctypes.string_at(0)
    elif path == "/exit":
        os._exit(7)
    elif path == "/kill":
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


#: What a hook of the master does so that its process does not end.
MASTER_HANGS = {
    "thread": "threading.Thread(target=time.sleep, args=(600,)).start()",
    "atexit": "atexit.register(time.sleep, 600)",
    "lock": "atexit.register(ctypes.PyDLL(None).sleep, 600)",
}


def ask(server: Server, target: str) -> Client:
    """A client whose request is inside the application."""
    client = server.connect()
    client.send_request("GET", target, "User-Agent: test")
    poll((server.directory / "entered").exists, "the request is in the application")
    return client


# The access line of a request that ended with its worker


@pytest.mark.parametrize(("path", "status"), [("/crash", 500), ("/exit", 500), ("/kill", 500)])
def test_a_request_that_took_its_worker_down_has_an_access_line(
    serve: Serve, worker_class: str, path: str, status: int
) -> None:
    server = serve(APP, "-k", worker_class, "--access-logfile", "access.log")
    (worker,) = server.wait_workers(1)
    with server.connect() as client:
        client.send_request("GET", path + "?a=1")
        assert client.rest() == b""
    access = server.directory / "access.log"
    poll(lambda: access.read_text().count("\n") == 1, "an access line")
    line = access.read_text()
    assert re.fullmatch(
        rf'127\.0\.0\.1 - - \[.*\] "GET {path}\?a=1 HTTP/1\.1" {status} 0 "-" "-"\n', line
    )
    assert re.search(rf"Worker \(pid:{worker}\) .*GET {path}\?a=1 HTTP/1.1", server.log)


def test_a_request_past_its_timeout_has_an_access_line(serve: Serve) -> None:
    log_format = "%(h)s %(m)s %(U)s %(q)s %(H)s %(s)s %(L)s %(p)s %({user-agent}i)s"
    args = [*SHORT_TIMEOUT, "--access-logfile", "access.log", "--access-logformat", log_format]
    server = serve(APP, *args)
    (worker,) = server.wait_workers(1)
    with ask(server, "/sleep?b=2") as client:
        assert client.rest() == b""
    access = server.directory / "access.log"
    poll(lambda: access.read_text().count("\n") == 1, "an access line")
    pattern = rf"127\.0\.0\.1 GET /sleep b=2 HTTP/1\.1 504 [1-9]\d*\.\d+ <{worker}> -\n"
    assert re.fullmatch(pattern, access.read_text())


def test_a_lost_request_has_its_line_in_json_too(serve: Serve) -> None:
    server = serve(APP, "--access-logfile", "access.log", "--access-logformat", "json")
    (worker,) = server.wait_workers(1)
    with server.connect() as client:
        client.send_request("GET", "/exit")
        assert client.rest() == b""
    access = server.directory / "access.log"
    poll(lambda: access.read_text().count("\n") == 1, "an access line")
    record = json.loads(access.read_text())
    assert record["status"] == 500
    assert record["aborted"] is True
    assert record["pid"] == worker


def test_a_request_that_a_quick_stop_breaks_off_has_one_access_line(
    serve: Serve, worker_class: str
) -> None:
    server = serve(APP, "-k", worker_class, "--access-logfile", "access.log")
    with ask(server, "/sleep"):
        assert server.stop(signal.SIGQUIT) == 0
    lines = (server.directory / "access.log").read_text().splitlines()
    assert len(lines) == 1, lines
    assert '"GET /sleep HTTP/1.1" ' in lines[0]


# Boot


def test_a_stuck_import_is_ended_and_its_stack_logged(serve: Serve) -> None:
    app = "import time\ndef loading_forever():\n    time.sleep(600)\nloading_forever()\n"
    server = serve(app, "--timeout", "0", "--boot-timeout", "1")
    server.wait_log(r"\[CRITICAL\] WORKER TIMEOUT \(pid:\d+\): while booting")
    server.wait_log("loading_forever")
    server.wait_log(r"Worker \(pid:\d+\) was ended for its timeout: ")
    server.wait_log("Booting worker", count=2)


def test_a_slow_import_is_not_bounded_by_timeout(serve: Serve) -> None:
    server = serve("import time\ntime.sleep(2.5)\n" + APP, "--timeout", "1", "--boot-timeout", "60")
    assert server.get().status == 200
    assert "TIMEOUT" not in server.log


def test_a_worker_that_can_not_boot_does_not_take_a_running_service_down(serve: Serve) -> None:
    app = APP + "pathlib.Path(f'loaded-{os.getpid()}').touch()\n"
    server = serve(app, "-w", "2")
    first, second = server.wait_workers(2)
    poll(lambda: len(list(server.directory.glob("loaded-*"))) == 2, "both have loaded it")
    assert server.get().status == 200  # so one of them is ready, and the service runs
    good = (server.directory / "app.py").read_text()
    (server.directory / "app.py").write_text("raise SystemError('broken by the test')\n")
    os.kill(first, signal.SIGKILL)
    server.wait_log("Waiting 0.2 s before the next fork: workers died early 3 times in a row")
    assert int(server.get().body) == second
    (server.directory / "app.py").write_text(good)
    server.send_signal(signal.SIGTTIN)  # who asks for workers does not want to wait for them
    server.wait_workers(3)
    assert server.get().status == 200


# Exit


@pytest.mark.parametrize(
    "hang",
    [
        "import threading\nthreading.Thread(target=time.sleep, args=(600,)).start()\n",
        "import atexit\natexit.register(time.sleep, 600)\n",
    ],
    ids=["thread", "atexit"],
)
def test_an_exit_that_hangs_is_bounded_and_told(serve: Serve, worker_class: str, hang: str) -> None:
    server = serve("import time\n" + hang + APP, "-k", worker_class, "--graceful-timeout", "3")
    assert server.get().status == 200
    assert server.stop() == 0
    words = r"Worker \(pid:\d+\) did not end in time, sending it SIGKILL: while exiting \(atexit"
    assert re.search(words, server.log), server.log


def test_an_exit_that_hangs_is_bounded_when_the_worker_leaves_by_itself(serve: Serve) -> None:
    app = "import atexit, time\natexit.register(time.sleep, 600)\n" + APP
    server = serve(app, "--graceful-timeout", "3", "--timeout", "0")
    (first,) = server.wait_workers(1)
    assert server.get().status == 200
    os.kill(first, signal.SIGTERM)
    server.wait_log(r"did not end in time, sending it SIGKILL: while exiting")
    poll(lambda: not alive(first), "the worker ends")
    assert int(server.get().body) != first


# The master's own end


@pytest.mark.parametrize("hang", MASTER_HANGS.values(), ids=MASTER_HANGS)
def test_an_end_of_the_master_that_hangs_is_bounded_and_told(
    serve: Serve, tmp_path: Path, hang: str
) -> None:
    hooks(tmp_path, f"import atexit, ctypes, threading, time\ndef when_ready(server): {hang}\n")
    server = serve(APP, "--graceful-timeout", "1", "-p", "x.pid")
    assert server.get().status == 200
    assert server.stop() == 0
    assert (
        "[WARNING] This process did not end in time, it is ended now: while exiting" in server.log
    )
    assert not (tmp_path / "x.pid").exists()


def test_that_the_masters_end_hangs_is_told_where_pythons_loggers_have_the_lines(
    serve: Serve, tmp_path: Path
) -> None:
    """They can't be called any more."""
    source = f"import threading, time\ndef when_ready(server): {MASTER_HANGS['thread']}\n"
    handler = {"class": "logging.FileHandler", "filename": "py-error"}
    config = {"root": {}, "handlers": {"errors": handler}}
    config["loggers"] = {"gunicorn.error": {"level": "INFO", "handlers": ["errors"]}}
    hooks(tmp_path, f"{source}\nlogconfig_dict = {config!r}\n")
    server = serve(APP, "--graceful-timeout", "1", wait=False)
    poll(lambda: "Listening" in read_if_there(tmp_path / "py-error"), "the listening line")
    assert server.stop() == 0
    assert "This process did not end in time, it is ended now: while exiting" in server.log


def read_if_there(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    ("args", "more", "code"), [(["--check-config"], "", 0), (["--preload"], "1 / 0", 1)]
)
def test_an_end_that_hangs_is_bounded_where_nothing_was_served(
    tmp_path: Path, args: list[str], more: str, code: int
) -> None:
    thread = "import threading, time\n" + MASTER_HANGS["thread"]
    (tmp_path / "app.py").write_text(f"{thread}\n{APP}\n{more}\n")
    bind = ("-b", "127.0.0.1:0")
    done = run_command(tmp_path, *bind, "--graceful-timeout", "1", *args, "app:app")
    assert done.returncode == code
    assert "This process did not end in time, it is ended now: while exiting" in done.stderr


def test_an_end_of_the_master_that_takes_a_while_is_let_go_on(serve: Serve, tmp_path: Path) -> None:
    source = """
import threading, time
def work():
    while server.LISTENERS:
        time.sleep(0.01)
    time.sleep(0.5)
    open("done", "w").close()
def when_ready(it):
    global server
    server = it
    threading.Thread(target=work).start()
"""
    hooks(tmp_path, source)
    server = serve(APP)
    assert server.get().status == 200
    assert server.stop() == 0
    assert (tmp_path / "done").exists()
    assert "did not end in time" not in server.log


def test_a_busy_worker_does_not_survive_a_killed_master(serve: Serve, worker_class: str) -> None:
    args = ["-k", worker_class, "--graceful-timeout", "1", "--timeout", "0"]
    server = serve(APP, *args)
    (worker,) = server.wait_workers(1)
    with ask(server, "/sleep") as client:
        server.send_signal(signal.SIGKILL)
        poll(lambda: not alive(worker), "the worker ends")
        assert not client.rest().startswith(b"HTTP/1.1 200")


def test_a_booting_worker_does_not_survive_a_killed_master(serve: Serve) -> None:
    app = "import pathlib, time\npathlib.Path('loading').touch()\ntime.sleep(600)\n"
    server = serve(app, "--graceful-timeout", "1", "--timeout", "0")
    (worker,) = server.wait_workers(1)
    poll((server.directory / "loading").exists, "the application is being loaded")
    server.send_signal(signal.SIGKILL)
    poll(lambda: not alive(worker), "the worker ends")


def test_a_request_is_finished_after_the_master_was_killed(serve: Serve, worker_class: str) -> None:
    app = """
import pathlib, time
def app(environ, start_response):
    pathlib.Path("entered").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    start_response("200 OK", [])
    return [b"finished"]
"""
    server = serve(app, "-k", worker_class)
    (worker,) = server.wait_workers(1)
    with ask(server, "/") as client:
        server.send_signal(signal.SIGKILL)
        server.process.wait()
        (server.directory / "go").touch()
        assert client.response().body == b"finished"
    poll(lambda: not alive(worker), "the worker ends")
    assert f"Parent changed, shutting down: <Worker {worker}>" in server.log


# Clocks


def test_a_master_that_stood_still_kills_nobody(serve: Serve, worker_class: str) -> None:
    args = ["--timeout", "5", "--boot-timeout", "60"]
    server = serve(APP, "-k", worker_class, "-w", "2", *args)
    workers = server.wait_workers(2)
    assert server.get().status == 200
    server.send_signal(signal.SIGSTOP)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(7)  # what is tested: time passes, and nobody beats
    server.send_signal(signal.SIGCONT)
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    server.send_signal(signal.SIGTTIN)
    server.wait_workers(3)  # it has looked at the others since
    assert server.get().status == 200
    assert set(workers) <= set(server.workers())
    assert "TIMEOUT" not in server.log


def test_a_worker_that_stood_still_is_replaced_or_goes_on(serve: Serve, worker_class: str) -> None:
    args = ["--timeout", "5", "--boot-timeout", "60"]
    server = serve(APP, "-k", worker_class, "-w", "2", *args)
    workers = server.wait_workers(2)
    stopped = int(server.get().body)  # the other one may still boot, and has longer for that
    (other,) = set(workers) - {stopped}
    os.kill(stopped, signal.SIGSTOP)
    server.wait_log(rf"WORKER TIMEOUT \(pid:{stopped}\)")
    poll(lambda: not alive(stopped), "who does not go on is replaced")
    server.wait_workers(2)
    assert other in server.workers()
    assert server.get().status == 200
