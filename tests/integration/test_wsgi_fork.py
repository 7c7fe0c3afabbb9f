# SPDX-License-Identifier: MIT
"""What becomes of processes that an application forks: a copy of the worker serves nobody, ends
where it comes back from the application, and keeps nothing that clients wait for."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, SHORT_TIMEOUT, Server, alive, listens_at, poll

Serve = Callable[..., Server]

#: Notes who runs what is to be run by workers only.
HOOKS = """
import os

def note(name):
    with open("notes", "a") as notes:
        notes.write(f"{name} {os.getpid()}\\n")

def post_request(worker, req, environ, resp):
    note("post_request")

def worker_exit(server, worker):
    note("worker_exit")

def child_exit(server, worker):
    note("child_exit")

def on_exit(server):
    note("on_exit")
"""

#: /NAME forks; the copy does what `copy` says under that name, its parent answers with its end.
APP = """
import atexit, os, signal, sys, threading, time
from pathlib import Path

pid_of_worker = os.getpid()
def note(name):
    with open("notes", "a") as notes:
        notes.write(f"{name} {os.getpid()}\\n")
atexit.register(note, "atexit")

def end_of(pid):
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status)

def stay():
    Path("long").write_text(str(os.getpid()))
    while not Path("go").exists():
        time.sleep(0.01)

def copy(name, start_response):
    note("copy")
    if name == "raises":
        raise ValueError("said by the copy")
    if name == "exits":
        sys.exit(7)
    if name == "exits with words":
        sys.exit("said by the copy")
    if name == "ends":
        os._exit(9)
    if name == "writes":
        start_response("200 OK", [])(b"from the copy")
    if name == "stays":
        stay()
        os._exit(0)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"copy"]

class Body:
    def __init__(self, name):
        self.name = name
        self.pid = None
    def __iter__(self):
        yield b"1"
        if self.name == "iterates":
            self.pid = os.fork()
        yield b"2" if self.pid != 0 else b"copy"
    def close(self):
        if self.name == "closes":
            self.pid = os.fork()
        if self.pid:
            Path("ended").write_text(str(end_of(self.pid)))

def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/").replace("-", " ")
    if name in ("iterates", "closes"):
        start_response("200 OK", [])
        return Body(name)
    text = "nothing"
    if name:
        pid = os.fork()
        if pid == 0:
            return copy(name, start_response)
        text = "it stays" if name == "stays" else str(end_of(pid))
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text.encode()]
"""


def start(serve: Serve, tmp_path: Path, worker_class: str, *args: str, app: str = APP) -> Server:
    (tmp_path / "hooks.py").write_text(HOOKS)
    server = serve(app, "-k", worker_class, "-c", "hooks.py", "--access-logfile", "-", *args)
    assert server.get("/").body == b"nothing" or app is not APP
    return server


def notes(tmp_path: Path, name: str) -> list[int]:
    """Who has noted it."""
    text = (tmp_path / "notes").read_text() if (tmp_path / "notes").exists() else ""
    return [int(pid) for pid in re.findall(rf"(?m)^{name} (\d+)$", text)]


@contextlib.contextmanager
def staying(tmp_path: Path) -> Iterator[int]:
    """The copy that stays until the block is over."""
    path = tmp_path / "long"
    poll(lambda: path.exists() and path.read_text(), "a copy that stays")
    pid = int(path.read_text())
    try:
        assert alive(pid)
        yield pid
        assert alive(pid)
    finally:
        (tmp_path / "go").touch()
        poll(lambda: not alive(pid), f"copy {pid} ends")


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("raises", 1, "ValueError: said by the copy"),
        ("exits", 7, None),
        ("exits-with-words", 1, "said by the copy"),
        ("ends", 9, None),
        ("returns", 0, "came back from the application"),
        ("writes", 1, "ClientDisconnected"),
    ],
)
def test_a_copy_ends_where_it_comes_back_and_its_parent_answers(
    serve: Serve, tmp_path: Path, worker_class: str, name: str, code: int, words: str | None
) -> None:
    server = start(serve, tmp_path, worker_class)
    answer = server.raw(f"GET /{name} HTTP/1.0\r\n\r\n".encode())
    assert answer.count(b"HTTP/1.") == 1
    assert answer.endswith(b"\r\n\r\n%d" % code), answer
    assert server.get("/").body == b"nothing"
    (worker,) = server.workers()
    assert server.stop() == 0
    (copy,) = notes(tmp_path, "copy")
    assert notes(tmp_path, "worker_exit") == notes(tmp_path, "atexit") == [worker]
    assert notes(tmp_path, "child_exit") == notes(tmp_path, "on_exit") == [server.pid]
    assert notes(tmp_path, "post_request") == [worker] * 3
    assert len(re.findall(rf'"GET /{name} HTTP/1.0" 200', server.log)) == 1
    assert len(re.findall('"GET / HTTP/1.1" 200', server.log)) == 2
    said = [line for line in server.log.splitlines() if words and words in line]
    assert len(said) == (1 if words else 0), server.log
    assert f"Worker exiting (pid: {copy})" not in server.log


@pytest.mark.parametrize("where", ["worker", "hook"])
def test_a_signal_right_after_the_fork_is_not_lost(
    serve: Serve, tmp_path: Path, worker_class: str, where: str
) -> None:
    """It comes before the copy has done anything at all."""
    ends = """
import os, signal

def ends():
    found = set()
    for _ in range(50):
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        os.kill(pid, signal.SIGTERM)
        found.add(os.waitpid(pid, 0)[1])
    return str(found).encode()
"""
    app = f"""{ends}
def app(environ, start_response):
    start_response("200 OK", [])
    return [ends()]
"""
    hooks = f"{ends}\ndef when_ready(server):\n    open('ends', 'wb').write(ends())\n"
    (tmp_path / "hooks.py").write_text(hooks if where == "hook" else "")
    server = serve(app, "-k", worker_class, "-c", "hooks.py")
    if where == "hook":
        poll(lambda: (tmp_path / "ends").read_bytes(), "the ends")
    found = (tmp_path / "ends").read_bytes() if where == "hook" else server.get().body
    assert found == b"{15}"


def test_a_copy_that_is_aborted_tells_no_hook(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    app = """
import os, signal, time

def app(environ, start_response):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"!")
        while True:
            time.sleep(0.01)
    os.read(reader, 1)
    os.kill(pid, signal.SIGABRT)
    status = os.waitpid(pid, 0)[1]
    start_response("200 OK", [])
    return [str(os.waitstatus_to_exitcode(status)).encode()]
"""
    (tmp_path / "hooks.py").write_text(f"{HOOKS}\ndef worker_abort(worker): note('worker_abort')\n")
    server = serve(app, "-k", worker_class, "-c", "hooks.py")
    assert server.get().body == b"-6"
    assert notes(tmp_path, "worker_abort") == []


@pytest.mark.parametrize("name", ["iterates", "closes"])
def test_a_copy_made_while_the_response_is_made_ends_there(
    serve: Serve, tmp_path: Path, worker_class: str, name: str
) -> None:
    server = start(serve, tmp_path, worker_class)
    with server.connect() as client:
        client.send_request("GET", f"/{name}")
        assert client.response().body == b"12"
    poll((tmp_path / "ended").exists, "the end of the copy")
    assert poll((tmp_path / "ended").read_text, "its code") == "0"
    assert server.get("/").body == b"nothing"
    assert server.stop() == 0
    assert len(re.findall(f'"GET /{name} HTTP/1.1" 200', server.log)) == 1


def test_a_copy_that_stays_keeps_no_client_and_no_address(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    server = start(serve, tmp_path, worker_class)
    (worker,) = server.workers()
    idle = server.connect()
    idle.send_request("GET", "/")
    assert idle.response().body == b"nothing"
    assert server.raw(b"GET /stays HTTP/1.0\r\n\r\n").endswith(b"it stays")
    with staying(tmp_path):
        assert server.get("/").body == b"nothing"
        server.send_signal(signal.SIGTERM)
        assert idle.at_end()
        idle.close()
        assert server.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    assert notes(tmp_path, "worker_exit") == [worker]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_copy_of_the_master_that_stays_keeps_nothing_either(
    serve: Serve, tmp_path: Path, number: int
) -> None:
    """Neither the address, nor the workers of a master that was killed."""
    (tmp_path / "hooks.py").write_text(f"""{HOOKS}
import time
from pathlib import Path

def when_ready(server):
    if os.fork() == 0:
        Path("long").write_text(str(os.getpid()))
        while not Path("go").exists():
            time.sleep(0.01)
        os._exit(0)
""")
    server = serve(APP, "-c", "hooks.py")
    assert server.get("/").body == b"nothing"
    with staying(tmp_path) as copy:
        (worker,) = set(server.workers()) - {copy}
        server.send_signal(number)
        server.wait()
        poll(lambda: not alive(worker), "the end of the worker")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), PATIENCE)


def descriptors(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(entry.readlink()))
    return found


def test_a_copy_shares_no_socket_with_the_server(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    server = start(serve, tmp_path, worker_class)
    (worker,) = server.workers()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(server.connect())
            client.send(b"GET / HT")
        assert server.get("/stays").body == b"it stays"
        with staying(tmp_path) as copy:
            sockets = {d for d in descriptors(worker) if d.startswith("socket:")}
            assert len(sockets) > 1
            assert not sockets & descriptors(copy)


def test_a_copy_keeps_no_client_that_a_stuck_request_was_answered_for(
    serve: Serve, tmp_path: Path
) -> None:
    """The client is told by a descriptor of its own."""
    app = f"""{APP}
def fork():
    while not Path("fork").exists():
        time.sleep(0.01)
    if os.fork() == 0:
        stay()
        os._exit(0)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/stuck":
        fork()
        time.sleep(1000)
    start_response("200 OK", [("Content-Length", "7")])
    return [b"nothing"]
"""
    server = start(serve, tmp_path, "gthread", "--threads", "2", *SHORT_TIMEOUT, app=app)
    with server.connect() as client:
        client.send_request("GET", "/stuck")
        assert client.response().status == 504
        (tmp_path / "fork").touch()
        with staying(tmp_path) as copy:
            assert not {d for d in descriptors(copy) if d.startswith("socket:")}


def test_a_copy_neither_beats_nor_stops_for_its_worker(serve: Serve, tmp_path: Path) -> None:
    app = """
import os

def app(environ, start_response):
    worker = app.worker
    before = worker.tmp.last_update()
    pid = os.fork()
    if pid == 0:
        worker.tmp.notify()
        worker.alive = False
        os._exit(0)
    os.waitpid(pid, 0)
    text = b"silent" if worker.tmp.last_update() == before and worker.alive else b"beaten"
    start_response("200 OK", [("Content-Length", "6")])
    return [text]
"""
    (tmp_path / "hooks.py").write_text(
        "def post_worker_init(worker):\n    import app\n    app.app.worker = worker\n"
    )
    server = serve(app, "-c", "hooks.py")
    assert server.get().body == b"silent"
    assert server.get().body == b"silent"


#: Forks where it is called; the copy comes back to its caller, the parent notes its end.
FORKING = """
def fork(name):
    pid = os.fork()
    if pid == 0:
        note("copy")
        return
    status = os.waitpid(pid, 0)[1]
    note(f"{name} saw {os.waitstatus_to_exitcode(status)} in")
"""


@pytest.mark.parametrize(
    "hook",
    [
        "on_starting(server)",
        "when_ready(server)",
        "nworkers_changed(server, new_value, old_value)",
        "pre_fork(server, worker)",
        "post_fork(server, worker)",
        "post_worker_init(worker)",
        "pre_request(worker, req)",
        "post_request(worker, req, environ, resp)",
        "worker_exit(server, worker)",
        "child_exit(server, worker)",
        "on_exit(server)",
    ],
)
def test_a_copy_made_by_a_hook_ends_there(
    serve: Serve, tmp_path: Path, worker_class: str, hook: str
) -> None:
    forking = f"{FORKING}\ndef {hook}:\n    note('hook')\n    fork('hook')\n"
    (tmp_path / "hooks.py").write_text("import os\n" + HOOKS + forking)
    server = serve(APP, "-k", worker_class, "-c", "hooks.py")
    assert server.get("/").body == b"nothing"
    assert server.stop() == 0
    (copy,) = notes(tmp_path, "copy")
    (parent,) = notes(tmp_path, "hook")
    assert notes(tmp_path, "hook saw 0 in") == [parent]
    assert f"is ended (pid:{copy})" in server.log
    for name in ("worker_exit", "child_exit", "on_exit", "atexit"):
        assert copy not in notes(tmp_path, name)


@pytest.mark.parametrize("args", [(), ("--preload",)], ids=["forked", "preloaded"])
def test_a_copy_made_at_import_ends_there(
    serve: Serve, tmp_path: Path, worker_class: str, args: tuple[str, ...]
) -> None:
    app = f"{APP}{FORKING}\nnote('import')\nfork('import')\n"
    server = start(serve, tmp_path, worker_class, *args, app=app)
    assert server.get("/").body == b"nothing"
    (parent,) = notes(tmp_path, "import")
    assert notes(tmp_path, "import saw 0 in") == [parent]
    assert server.stop() == 0
    assert len(notes(tmp_path, "worker_exit")) == len(notes(tmp_path, "on_exit")) == 1


def test_a_copy_made_by_a_signal_handler_ends_there(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    app = f"{APP}{FORKING}\nsignal.signal(signal.SIGUSR2, lambda *_: fork('handler'))\n"
    server = start(serve, tmp_path, worker_class, app=app)
    assert server.get("/").body == b"nothing"
    (worker,) = server.workers()
    os.kill(worker, signal.SIGUSR2)
    poll(lambda: notes(tmp_path, "handler saw 0 in") == [worker], "the end of the copy")
    assert server.get("/").body == b"nothing"
    assert server.stop() == 0
    assert notes(tmp_path, "worker_exit") == [worker]


def test_a_thread_of_the_application_may_fork(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    app = f"""{APP}{FORKING}
def app(environ, start_response):
    thread = threading.Thread(target=fork, args=("thread",))
    thread.start()
    thread.join()
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]
"""
    server = start(serve, tmp_path, worker_class, app=app)
    (worker,) = server.workers()
    assert server.get("/").body == b"done"
    assert notes(tmp_path, "thread saw 0 in") == [worker] * 2
    assert server.stop() == 0
    assert notes(tmp_path, "worker_exit") == notes(tmp_path, "atexit") == [worker]


#: Each path one way to have something done by another process.
OTHERS = """
import multiprocessing, os, signal, subprocess, sys, threading, time

context = multiprocessing.get_context("fork")

def square(n):
    return n * n

def sleep(started, default):
    if default:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
    started.set()
    time.sleep(1000)

def ended_by(number, default):
    started = context.Event()
    process = context.Process(target=sleep, args=(started, default))
    process.start()
    started.wait()
    os.kill(process.pid, number)
    process.join()
    return process.exitcode

def process(target, *args):
    process = context.Process(target=target, args=args)
    process.start()
    process.join()
    return process.exitcode

def fail():
    raise ValueError("said by the process")

def sockets():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink("/proc/self/fd/" + name))
        except OSError:
            pass
    return [f for f in found if f.startswith("socket:")]

def in_thread(function, *args):
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*args)))
    thread.start()
    thread.join()
    return results[0]

LIST = "import os; print(len([1 for f in os.listdir('/proc/self/fd') if int(f) > 2]))"

def run(**more):
    return subprocess.run([sys.executable, "-c", LIST], stdout=-1, close_fds=False, **more).stdout

PATHS = {
    "process": lambda: process(sys.exit, 3),
    "fails": lambda: process(fail),
    "no sockets": lambda: process(lambda: sys.exit(len(sockets()))),
    "terminated": lambda: ended_by(signal.SIGTERM, False),
    "interrupted": lambda: ended_by(signal.SIGINT, False),
    "terminated by default": lambda: ended_by(signal.SIGTERM, True),
    "interrupted by default": lambda: ended_by(signal.SIGINT, True),
    "pool": lambda: pool.map(square, [1, 2, 3]),
    "new pool": lambda: new_pool(),
    "popen": lambda: run(preexec_fn=os.setsid),
    "plain popen": lambda: run(),
}

def new_pool():
    pool = context.Pool(2)
    result = pool.map(square, [1, 2, 3])
    pool.close()
    pool.join()
    return result

def app(environ, start_response):
    path = environ["PATH_INFO"][1:].replace("-", " ")
    if path.startswith("thread "):
        text = str(in_thread(PATHS[path[7:]]))
    else:
        text = str(PATHS[path]())
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text.encode()]
"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("process", "3"),
        ("fails", "1"),
        ("no-sockets", "0"),
        ("terminated", "-15"),
        ("interrupted", "-2"),
        ("terminated-by-default", "-15"),
        ("interrupted-by-default", "-2"),
        ("new-pool", "[1, 4, 9]"),
        ("popen", "b'1\\n'"),
        ("plain-popen", "b'1\\n'"),
    ],
)
def test_other_processes_are_what_they_are_elsewhere(
    serve: Serve, tmp_path: Path, worker_class: str, path: str, text: str
) -> None:
    server = start(serve, tmp_path, worker_class, app=f"{OTHERS}\nPATHS[''] = lambda: 'nothing'\n")
    (worker,) = server.workers()
    assert server.get(f"/{path}").body.decode() == text
    assert server.get(f"/thread-{path}").body.decode() == text
    assert server.get("/").body == b"nothing"
    assert server.workers() == [worker]
    assert server.stop() == 0
    assert notes(tmp_path, "worker_exit") == [worker]


#: Closed at the end of the process that made it: Python's own way to end one may hang.
POOL = """
import atexit
pool = context.Pool(2)
made_in = os.getpid()

def close():
    if os.getpid() == made_in:
        pool.close()
        pool.join()

atexit.register(close)
"""


@pytest.mark.parametrize("args", [(), ("--preload",)], ids=["forked", "preloaded"])
def test_a_pool_made_at_import_works(
    serve: Serve, tmp_path: Path, worker_class: str, args: tuple[str, ...]
) -> None:
    app = f"{OTHERS}{POOL}\nPATHS[''] = lambda: 'nothing'\n"
    if args:  # only the master has its threads
        app += "PATHS['pool'] = lambda: [p.pid for p in pool._pool]\n"
    server = start(serve, tmp_path, worker_class, *args, app=app)
    pool = server.get("/pool").body.decode()
    if args:
        server.send_signal(signal.SIGHUP)
        server.wait_log("Worker exiting")
        assert all(alive(pid) for pid in json.loads(pool))
    else:
        assert pool == "[1, 4, 9]"
    server.wait_log("Booting worker", count=1 + len(args))
    assert server.stop() == 0
    assert len(notes(tmp_path, "worker_exit")) == 1 + len(args)
    assert "Traceback" not in server.log


def test_what_a_copy_logs_through_loggers_is_neither_lost_nor_doubled(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    (tmp_path / "log.ini").write_text(LOG_INI)
    (tmp_path / "hooks.py").write_text(HOOKS)
    args = ("-k", worker_class, "-c", "hooks.py", "--log-config", "log.ini")
    server = serve(APP, *args, wait=False)
    server.wait_listening_in(tmp_path / "all.log")
    assert server.get("/raises").body == b"1"
    assert server.get("/returns").body == b"0"
    assert server.stop() == 0
    text = (tmp_path / "all.log").read_text()
    assert text.count("mine: Exception in a process that the application has forked") == 1
    assert text.count("came back from the application") == 1
    assert text.count("GET /raises") == text.count("GET /returns") == 1


#: A handler that takes its time with the access line, and has a lock of its own, as files have.
SLOW_HANDLER = """
import logging, pathlib, threading, time

class Slow(logging.Handler):
    turn = threading.Lock()
    def emit(self, record):
        with self.turn:
            if record.name == "gunicorn.access" and not pathlib.Path("emitting").exists():
                pathlib.Path("emitting").touch()
                time.sleep(0.5)
"""


def test_a_fork_waits_for_the_line_that_another_thread_hands_on(
    serve: Serve, tmp_path: Path
) -> None:
    """Or the copy would wait for the handler's lock for ever."""
    ini = LOG_INI.replace("class = FileHandler", "class = handlers.Slow").replace('"all.log",', "")
    (tmp_path / "log.ini").write_text(ini)
    (tmp_path / "handlers.py").write_text(SLOW_HANDLER)
    (tmp_path / "hooks.py").write_text(HOOKS)
    args = ("-k", "async", "-c", "hooks.py", "--log-config", "log.ini")
    server = serve(APP, *args, wait=False, bind="unix:app.sock")
    server.connect = lambda: server.connect_unix("app.sock")  # type: ignore[method-assign]
    poll(lambda: listens_at(tmp_path / "app.sock"), "listening")
    assert server.get("/").body == b"nothing"
    poll((tmp_path / "emitting").exists, "its line is handed on")
    assert server.get("/returns").body == b"0"


LOG_INI = """
[loggers]
keys = root, gunicorn.error, gunicorn.access
[handlers]
keys = file
[formatters]
keys = mine
[logger_root]
level = INFO
handlers = file
[logger_gunicorn.error]
level = INFO
handlers = file
propagate = 0
qualname = gunicorn.error
[logger_gunicorn.access]
level = INFO
handlers = file
propagate = 0
qualname = gunicorn.access
[handler_file]
class = FileHandler
formatter = mine
args = ("all.log",)
[formatter_mine]
format = mine: %(message)s
"""
