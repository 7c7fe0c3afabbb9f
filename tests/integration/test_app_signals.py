# SPDX-License-Identifier: MIT
"""Signal handlers of the application's own: they run soon, in the main thread, and what the server
is told by its arbiter holds beside them. And what else an application leaves to the end of its
worker: threads and atexit handlers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, poll

Serve = Callable[..., Server]

PRELUDE = """
import atexit, os, signal, sys, threading, time

def note(name):
    with open("notes", "a") as notes:
        is_main = threading.current_thread() is threading.main_thread()
        notes.write(f"{name} {os.getpid()} {is_main}\\n")
"""

HOOKS = (
    PRELUDE
    + """
def worker_int(worker):
    note("worker_int")

def worker_exit(server, worker):
    note("worker_exit")
"""
)

APP = (
    PRELUDE
    + """
def app(environ, start_response):
    text = str(act(environ["PATH_INFO"]))
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text.encode()]

def act(path):
    return os.getpid()
"""
)

KILLED = "did not end in time"


def start(
    serve: Serve, tmp_path: Path, worker_class: str, code: str, *args: str, hooks: str = ""
) -> Server:
    (tmp_path / "hooks.py").write_text(HOOKS + hooks)
    return serve(APP + code, "-k", worker_class, "-c", "hooks.py", *args)


def worker_of(server: Server) -> int:
    return int(server.get().body)


def notes(tmp_path: Path, name: str) -> list[int]:
    """Who has noted it, in their main threads."""
    path = tmp_path / "notes"
    text = path.read_text() if path.exists() else ""
    assert not re.findall(rf"(?m)^{name} \d+ False$", text)
    return [int(pid) for pid in re.findall(rf"(?m)^{name} (\d+) True$", text)]


def wait_note(tmp_path: Path, name: str, n: int = 1) -> list[int]:
    poll(lambda: len(notes(tmp_path, name)) >= n, f"{n} notes of {name}")
    return notes(tmp_path, name)


def check_stop(server: Server, tmp_path: Path) -> None:
    """A graceful stop lets the worker end by itself."""
    worker = worker_of(server)
    assert server.stop() == 0
    assert notes(tmp_path, "worker_exit")[-1] == worker
    assert KILLED not in server.log


NUMBERS = ["HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "CHLD", "WINCH", "TTIN", "PROF"]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_handler_runs_while_the_worker_waits(
    serve: Serve, tmp_path: Path, worker_class: str, name: str
) -> None:
    code = f"signal.signal(signal.SIG{name}, lambda *_: note('handler'))\n"
    server = start(serve, tmp_path, worker_class, code)
    worker = worker_of(server)
    for n in (1, 2, 3):
        os.kill(worker, signal.Signals[f"SIG{name}"])
        assert wait_note(tmp_path, "handler", n) == [worker] * n
    assert worker_of(server) == worker
    check_stop(server, tmp_path)


@pytest.mark.parametrize("where", ["post_fork(server, worker)", "post_worker_init(worker)"])
def test_a_handler_may_be_set_by_a_hook(
    serve: Serve, tmp_path: Path, worker_class: str, where: str
) -> None:
    hook = f"def {where}:\n    signal.signal(signal.SIGUSR2, lambda *_: note('handler'))\n"
    server = start(serve, tmp_path, worker_class, "", hooks=hook)
    worker = worker_of(server)
    os.kill(worker, signal.SIGUSR2)
    assert wait_note(tmp_path, "handler") == [worker]
    check_stop(server, tmp_path)


def test_a_handler_may_be_set_by_a_view_in_the_main_thread(serve: Serve, tmp_path: Path) -> None:
    code = """
def act(path):
    signal.signal(signal.SIGALRM, lambda *_: note("handler"))
    signal.alarm(1)
    return os.getpid()
"""
    server = start(serve, tmp_path, "sync", code)
    worker = worker_of(server)
    assert wait_note(tmp_path, "handler") == [worker]
    assert server.stop() == 0


def test_a_timer_ticks_while_requests_are_served(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    code = """
ticks = 0
def tick(*_):
    global ticks
    ticks += 1
signal.signal(signal.SIGALRM, tick)

def act(path):
    return ticks if path == "/ticks" else os.getpid()
"""
    hook = "def post_worker_init(worker): signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)\n"
    server = start(serve, tmp_path, worker_class, code, hooks=hook)
    poll(lambda: int(server.get("/ticks").body) > 50, "fifty ticks")
    check_stop(server, tmp_path)


@pytest.mark.parametrize("how", ["signal.raise_signal(number)", "signal.pthread_kill(me, number)"])
def test_a_signal_to_another_thread_is_handled_in_the_main_one(
    serve: Serve, tmp_path: Path, worker_class: str, how: str
) -> None:
    """The main thread waits, and the kernel does not tell it."""
    code = f"""
signal.signal(signal.SIGUSR2, lambda *_: note("handler"))
go = threading.Event()

def raise_it():
    number, me = signal.SIGUSR2, threading.get_ident()
    go.wait()
    time.sleep(0.5)
    {how}

def act(path):
    if path == "/raise":
        threading.Thread(target=raise_it, daemon=True).start()
        go.set()
    return os.getpid()
"""
    server = start(serve, tmp_path, worker_class, code, "--timeout", "1000")
    worker = worker_of(server)
    assert int(server.get("/raise").body) == worker
    assert wait_note(tmp_path, "handler") == [worker]
    check_stop(server, tmp_path)


def test_an_exception_of_an_idle_workers_handler_is_logged(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    code = """
def handle(*_):
    raise ValueError("said by the handler")
signal.signal(signal.SIGUSR2, handle)
"""
    server = start(serve, tmp_path, worker_class, code)
    worker = worker_of(server)
    os.kill(worker, signal.SIGUSR2)
    server.wait_log("ValueError: said by the handler")
    assert worker_of(server) == worker
    check_stop(server, tmp_path)


@pytest.mark.parametrize(
    ("handler", "code"),
    [("sys.exit(7)", 7), ("sys.exit()", 0), ("signal.default_int_handler(*_)", 0)],
)
@pytest.mark.parametrize("name", ["TERM", "INT", "USR2"])
def test_a_handler_may_end_an_idle_worker(
    serve: Serve, tmp_path: Path, worker_class: str, name: str, handler: str, code: int
) -> None:
    app = f"def handle(*_): {handler}\nsignal.signal(signal.SIG{name}, handle)\n"
    server = start(serve, tmp_path, worker_class, app)
    worker = worker_of(server)
    os.kill(worker, signal.Signals[f"SIG{name}"])
    assert wait_note(tmp_path, "worker_exit") == [worker]
    server.wait_log("Booting worker", count=2)
    if code:
        server.wait_log(rf"Worker \(pid:{worker}\) exited with code {code}")
    assert worker_of(server) != worker
    check_stop(server, tmp_path)


def test_a_handler_that_exits_at_a_stop_lets_requests_end(serve: Serve, tmp_path: Path) -> None:
    """With threads the handler finds a request that goes on."""
    code = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
def act(path):
    note("act") if path == "/slow" else None
    time.sleep(1 if path == "/slow" else 0)
    return os.getpid()
"""
    server = start(serve, tmp_path, "gthread", code, "--threads", "2")
    with server.connect() as client:
        client.send_request("GET", "/slow")
        poll(lambda: (tmp_path / "notes").exists(), "the request")
        server.send_signal(signal.SIGTERM)
        assert client.response().status == 200
    assert server.wait() == 0
    assert len(notes(tmp_path, "worker_exit")) == 1
    assert KILLED not in server.log


@pytest.mark.parametrize("name", ["TERM", "INT", "QUIT"])
def test_a_handler_may_call_the_one_that_it_has_replaced(
    serve: Serve, tmp_path: Path, worker_class: str, name: str
) -> None:
    code = f"""
def handle(number, frame):
    note("handler")
    before(number, frame)
before = signal.signal(signal.SIG{name}, handle)
assert callable(before)
"""
    server = start(serve, tmp_path, worker_class, code)
    worker = worker_of(server)
    os.kill(worker, signal.Signals[f"SIG{name}"])
    assert wait_note(tmp_path, "worker_exit") == [worker]
    assert notes(tmp_path, "handler") == [worker]
    assert notes(tmp_path, "worker_int") == ([] if name == "TERM" else [worker])
    server.wait_log("Booting worker", count=2)
    assert "Traceback" not in server.log
    check_stop(server, tmp_path)


def test_a_handler_may_be_put_back(serve: Serve, tmp_path: Path, worker_class: str) -> None:
    code = """
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGWINCH):
    signal.signal(number, signal.signal(number, signal.SIG_IGN))
"""
    server = start(serve, tmp_path, worker_class, code)
    worker = worker_of(server)
    for number in (signal.SIGUSR1, signal.SIGWINCH):
        os.kill(worker, number)
    assert worker_of(server) == worker
    os.kill(worker, signal.SIGTERM)
    assert wait_note(tmp_path, "worker_exit") == [worker]
    server.wait_log("Booting worker", count=2)
    worker = worker_of(server)
    os.kill(worker, signal.SIGINT)
    assert wait_note(tmp_path, "worker_exit", 2)[-1] == worker
    assert notes(tmp_path, "worker_int") == [worker]


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_the_default_action_ends_the_worker(
    serve: Serve, tmp_path: Path, worker_class: str, name: str
) -> None:
    code = f"signal.signal(signal.SIG{name}, signal.SIG_DFL)\n"
    server = start(serve, tmp_path, worker_class, code)
    worker = worker_of(server)
    os.kill(worker, signal.Signals[f"SIG{name}"])
    server.wait_log("Booting worker", count=2)
    assert worker_of(server) != worker
    assert notes(tmp_path, "worker_exit") == []


#: What an application may do to a signal that the server's stop is told by.
TAKEN = {
    "handled": "lambda *_: None",
    "ignored": "signal.SIG_IGN",
}


@pytest.mark.parametrize("taken", TAKEN)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_holds_whatever_has_become_of_the_handlers(
    serve: Serve, tmp_path: Path, worker_class: str, number: int, taken: str
) -> None:
    code = f"""
for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
    signal.signal(number, {TAKEN[taken]})
"""
    server = start(serve, tmp_path, worker_class, code, "--timeout", "10")
    worker = worker_of(server)
    assert server.stop(number) == 0
    if number == signal.SIGTERM:
        assert KILLED not in server.log
    if KILLED not in server.log:  # a quick stop has little time
        assert notes(tmp_path, "worker_exit") == [worker]


@pytest.mark.parametrize("args", [("--max-requests", "1"), ()], ids=["max_requests", "alive"])
def test_recycling_does_not_need_the_signal(
    serve: Serve, tmp_path: Path, worker_class: str, args: tuple[str, ...]
) -> None:
    hook = "" if args else "def post_request(worker, req): worker.alive = False\n"
    code = "signal.signal(signal.SIGTERM, lambda *_: note('handler'))\n"
    server = start(serve, tmp_path, worker_class, code, *args, hooks=hook)
    worker = worker_of(server)
    assert wait_note(tmp_path, "worker_exit") == [worker]
    server.wait_log("Booting worker", count=2)
    assert KILLED not in server.log


def test_a_reload_does_not_need_the_signal(serve: Serve, tmp_path: Path, worker_class: str) -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: note('handler'))\n"
    server = start(serve, tmp_path, worker_class, code)
    worker = worker_of(server)
    server.send_signal(signal.SIGHUP)
    assert wait_note(tmp_path, "worker_exit") == [worker]
    assert notes(tmp_path, "handler") == [worker]
    check_stop(server, tmp_path)


def test_a_quick_stop_breaks_a_view_off_and_leaves_the_handler_of_int_alone(
    serve: Serve, tmp_path: Path
) -> None:
    code = """
signal.signal(signal.SIGINT, lambda *_: note("handler"))
def act(path):
    note("act")
    time.sleep(1000)
"""
    server = start(serve, tmp_path, "sync", code)
    with server.connect() as client:
        client.send_request("GET")
        (worker,) = wait_note(tmp_path, "act")
        os.kill(worker, signal.SIGQUIT)
        assert wait_note(tmp_path, "worker_exit") == [worker]
    assert notes(tmp_path, "worker_int") == [worker]
    assert notes(tmp_path, "handler") == []


def test_worker_exit_is_called_behind_an_int_that_nobody_has_seen(
    serve: Serve, tmp_path: Path
) -> None:
    """The last thing that the request does is a call into C, which looks at no signal: the next
    Python code is the worker's end."""
    code = """
import ctypes, functools
sleep = ctypes.CDLL(None).usleep

class Body(list):
    close = functools.partial(sleep, 500 * 1000)

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    note("act")
    return Body([b"ok"])
"""
    server = start(serve, tmp_path, "sync", code)
    with server.connect() as client:
        client.send_request("GET")
        assert client.response().body == b"ok"
        (worker,) = wait_note(tmp_path, "act")
        os.kill(worker, signal.SIGINT)
    assert wait_note(tmp_path, "worker_exit") == [worker]
    assert notes(tmp_path, "worker_int") == [worker]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_atexit_handlers_run_at_the_end_of_a_worker(
    serve: Serve, tmp_path: Path, worker_class: str, number: int
) -> None:
    code = """
thread = threading.Thread(target=time.sleep, args=(0.1,))
thread.start()
atexit.register(lambda: note("atexit" if not thread.is_alive() else "too early"))
"""
    server = start(serve, tmp_path, worker_class, code)
    worker = worker_of(server)
    os.kill(worker, number)
    assert wait_note(tmp_path, "atexit") == notes(tmp_path, "worker_exit") == [worker]
    assert KILLED not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_thread_that_does_not_end_is_not_waited_for_for_ever(
    serve: Serve, tmp_path: Path, worker_class: str, number: int
) -> None:
    code = "threading.Thread(target=time.sleep, args=(1000,)).start()\n"
    server = start(serve, tmp_path, worker_class, code, "--graceful-timeout", "2")
    worker = worker_of(server)
    os.kill(worker, number)
    assert wait_note(tmp_path, "worker_exit") == [worker]
    server.wait_log(rf"Worker \(pid:{worker}\) {KILLED}")
    server.wait_log("Booting worker", count=2)
    assert server.stop() == 0
